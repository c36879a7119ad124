//! Steps that run another template: the key `workflow` of a step.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::error::TemplateError;
use super::parse::{LONGEST_NAMESPACE, LONGEST_TASK_NAME, LONGEST_VERSION};
use super::section::Section;
use crate::condition::Condition;

type Result<T> = std::result::Result<T, TemplateError>;

const KEYS: [&str; 6] = ["name", "namespace_name", "version", "context", "on_failure", "on_cancel"];

/// Who executes such a step where it names nobody.
pub(super) const HANDLER: &str = "TaskerCore::StepHandler::Workflow";

const ALLOWED: &str = "the name of a template, or an object with name, namespace_name, version, context, on_failure, on_cancel";

const VALUE_ALLOWED: &str = "an expression in CEL over context and results, such as context.order_id, as text; or a number, a list, an \
                             object, true, false";

/// What becomes of a step when the task that it runs ends otherwise than complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It fails for good.
    #[default]
    Fail,
    /// It is blocked, until somebody has it tried again.
    Block,
}

/// What becomes of a task that a step runs when that is ended by others: its own task is cancelled, the step is skipped or
/// resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCancel {
    /// It is cancelled.
    #[default]
    Cancel,
    /// It goes on.
    Leave,
}

/// The template that a step runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(rename = "namespace_name")]
    pub namespace: String,
    /// Its version; the highest one when the step is executed where there is none.
    pub version: Option<String>,
    /// What makes the context of its task; nothing for the context of the step's own task.
    pub context: Option<WorkflowContext>,
    /// What becomes of the step when the task ends otherwise than complete.
    pub on_failure: OnFailure,
    /// What becomes of the task when the step is ended by others.
    pub on_cancel: OnCancel,
}

/// What makes a context: a value for each key.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowContext(Vec<(String, ContextValue)>);

#[derive(Clone, Debug, PartialEq)]
enum ContextValue {
    Expression(Condition),
    Constant(Value),
}

impl Serialize for WorkflowContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| match value {
            ContextValue::Expression(expression) => (key, json!(expression.text())),
            ContextValue::Constant(value) => (key, value.clone()),
        }))
    }
}

impl WorkflowContext {
    /// The context, from that of the step's own task and the results of the step's parents by name, JSON texts.
    ///
    /// # Errors
    /// The key whose expression has no value, and why.
    pub fn make(
        &self,
        context: &str,
        results: &[(&str, &str)],
    ) -> std::result::Result<Value, (String, String)> {
        let mut made = Map::new();
        for (key, value) in &self.0 {
            let value = match value {
                ContextValue::Constant(value) => value.clone(),
                ContextValue::Expression(expression) => expression
                    .value(context, results.iter().copied())
                    .map_err(|why| (key.clone(), why))?,
            };
            made.insert(key.clone(), value);
        }
        Ok(Value::Object(made))
    }
}

/// Reads the key of a step with these parents.
pub(super) fn read(step: &mut Section, parents: &[String]) -> Result<Option<Workflow>> {
    let Some(value) = step.take("workflow") else { return Ok(None) };
    let path = step.key("workflow");
    let value = match value {
        Value::String(name) => json!({ "name": name }),
        Value::Object(keys) => Value::Object(keys),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            return Err(TemplateError::value(path, &other, ALLOWED));
        }
    };
    let mut section = Section::open(path, value, &KEYS)?;
    let namespace = section.word("namespace_name", LONGEST_NAMESPACE)?;
    Ok(Some(Workflow {
        name: section.required_word("name", LONGEST_TASK_NAME)?,
        namespace: namespace.unwrap_or_else(|| "default".to_owned()),
        version: version(&mut section)?,
        context: context(&mut section, parents)?,
        on_failure: choice(&mut section, "on_failure", "fail, block")?,
        on_cancel: choice(&mut section, "on_cancel", "cancel, leave")?,
    }))
}

fn version(section: &mut Section) -> Result<Option<String>> {
    let Some(version) = section.text("version", 1..=LONGEST_VERSION)? else { return Ok(None) };
    if super::parse::is_version(&version) {
        return Ok(Some(version));
    }
    let allowed = "a semantic version, such as \"1.2.0\"; leave it out for the highest one";
    Err(TemplateError::value(section.key("version"), &Value::from(version), allowed))
}

fn choice<T: Default + for<'de> Deserialize<'de>>(
    section: &mut Section,
    key: &str,
    allowed: &str,
) -> Result<T> {
    let Some(value) = section.take(key) else { return Ok(T::default()) };
    T::deserialize(&value).map_err(|_| TemplateError::value(section.key(key), &value, allowed))
}

fn context(section: &mut Section, parents: &[String]) -> Result<Option<WorkflowContext>> {
    let key = section.key("context");
    let Some(value) = section.take("context") else { return Ok(None) };
    let Value::Object(keys) = value else {
        return Err(TemplateError::value(key, &value, "an object (keys and values)"));
    };
    let values = keys.into_iter().map(|(name, value)| {
        let Value::String(text) = &value else {
            return Ok((name, ContextValue::Constant(value)));
        };
        let parsed = Condition::parse(text, parents).map_err(|fault| {
            let problem =
                format!("is {value}, and at character {} it {}", fault.position, fault.problem);
            TemplateError::problem(format!("{key}.{name}"), problem, VALUE_ALLOWED)
                .seen(&value)
                .suggest(fault.suggestion.as_deref())
        })?;
        Ok((name, ContextValue::Expression(parsed)))
    });
    Ok(Some(WorkflowContext(values.collect::<Result<_>>()?)))
}
