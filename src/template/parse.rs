//! From JSON text to a template: the keys of the template itself.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU32;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::TemplateError;
use super::section::Section;
use super::steps::{Common, LONGEST_STEP_NAME, Steps};
use super::{Content, TaskTemplate, classes, compensation, schema};
use crate::budget::Limits;
use crate::json::{self, JsonError, JsonLimits};

type Result<T> = std::result::Result<T, TemplateError>;

const KEYS: [&str; 18] = [
    "name",
    "namespace_name",
    "version",
    "description",
    "schema",
    "queue",
    "priority",
    "deadline_seconds",
    "compensation",
    "budget",
    "error_classes",
    "step_templates",
    "module_namespace",
    "task_handler_class",
    "default_dependent_system",
    "named_steps",
    "concurrent",
    "custom_events",
];

/// Longest name of a template, in bytes.
pub(crate) const LONGEST_TASK_NAME: usize = 128;

/// Longest name of a namespace, in bytes.
pub(crate) const LONGEST_NAMESPACE: usize = 64;

/// Longest version, in bytes.
pub(crate) const LONGEST_VERSION: usize = 64;

/// Longest name of a queue, in bytes.
pub(crate) const LONGEST_QUEUE: usize = 64;

/// Longest name of a system that a step depends on, in bytes.
pub(super) const LONGEST_SYSTEM: usize = 64;

/// Longest name of a class or module, in bytes.
pub(super) const LONGEST_CLASS: usize = 255;

/// Longest time from a task's submit to its deadline, in seconds: 366 days.
pub(crate) const LONGEST_DEADLINE: f64 = 366.0 * 86_400.0;

/// Longest description, in bytes.
pub(super) const LONGEST_DESCRIPTION: usize = 4096;

const VERSION_ALLOWED: &str = "a semantic version of at most 64 bytes, as text, such as \"1.2.0\"";

/// Reads a template that is within `limits`, both as given and normalised.
pub(super) fn template(text: &str, limits: JsonLimits) -> Result<TaskTemplate> {
    let (keys, steps) = read(text, limits)?;
    let mut section = Section::open(String::new(), keys, &KEYS)?;
    let name = section.required_word("name", LONGEST_TASK_NAME)?;
    let namespace_name = section.word("namespace_name", LONGEST_NAMESPACE)?;
    let version = version(&mut section)?;
    let description = section.text("description", 0..=LONGEST_DESCRIPTION)?;
    let schema = section.take("schema");
    let compiled = schema.as_ref().map(schema::compile).transpose()?;
    check_unused(&mut section)?;
    let common = common(&mut section)?;
    let priority = section.priority("priority")?;
    let deadline = section.seconds("deadline_seconds", LONGEST_DEADLINE)?;
    let compensation = compensation::mode(&mut section)?;
    let budget = budget(&mut section)?;
    let error_classes = classes::read(&mut section)?;
    let (step_templates, graph) = Steps::read(&mut section, steps, &common)?.connect()?;
    let content = Content {
        namespace_name: namespace_name.unwrap_or_else(|| "default".to_owned()),
        name,
        version,
        description,
        schema,
        queue: common.queue,
        priority,
        deadline,
        compensation,
        budget,
        error_classes,
        step_templates,
    };
    check_size(&content, limits.max_bytes)?;
    Ok(TaskTemplate::assemble(content, graph, compiled))
}

fn budget(section: &mut Section) -> Result<Limits> {
    let budget = Value::Object(section.object("budget")?);
    let mut budget = Section::open(section.key("budget"), budget, &["attempts", "cost"])?;
    let most = i32::MAX.unsigned_abs();
    let attempts = NonZeroU32::new(budget.integer("attempts", 1..=most, 0)?);
    Ok(Limits { attempts, cost: budget.cost("cost")? })
}

/// The steps of a template, each as its text, and the text of the whole.
pub(super) struct StepTexts<'a> {
    pub(super) steps: Vec<&'a RawValue>,
    whole: &'a str,
}

impl StepTexts<'_> {
    /// Why the text of a step was refused, told of the text as a whole.
    pub(super) fn refusal(&self, error: &serde_json::Error) -> TemplateError {
        let whole = serde_json::from_str::<Value>(self.whole).err();
        let error = json::syntax_error(self.whole, whole.as_ref().unwrap_or(error));
        refusal(self.whole, &error)
    }
}

/// The keys of a template, and its steps apart from them where they are a list: as a tree, all steps of a large
/// template together take many times the memory of what is made of them.
fn read(text: &str, limits: JsonLimits) -> Result<(Value, Option<StepTexts<'_>>)> {
    json::check(text, limits)
        .and_then(|()| parts(text).map_err(|error| json::syntax_error(text, &error)))
        .map_err(|error| refusal(text, &error))
}

/// Names the key where the text is JSON up to what is refused.
fn refusal(text: &str, error: &JsonError) -> TemplateError {
    let place = |offset| match json::path(text, offset) {
        path if path.is_empty() => "template".to_owned(),
        path => path,
    };
    let refused =
        |key| TemplateError::problem(key, format!("is refused: {error}"), "a JSON object");
    match error {
        JsonError::NulCharacter { offset } => {
            let allowed = "every other character; the database stores none such";
            TemplateError::problem(place(*offset), "holds the character U+0000", allowed)
        }
        JsonError::TooDeep { offset, .. }
        | JsonError::LoneSurrogate { offset, .. }
        | JsonError::NumberOutOfRange { offset, .. } => refused(place(*offset)).without_allowed(),
        JsonError::TooLarge { .. }
        | JsonError::TooLargeWrittenOut { .. }
        | JsonError::LooksEncrypted => refused("template".to_owned()).without_allowed(),
        JsonError::Syntax { .. } | JsonError::NotAnObject { .. } => refused("template".to_owned()),
    }
}

fn parts(text: &str) -> serde_json::Result<(Value, Option<StepTexts<'_>>)> {
    // What is wrong, and where, is told of the text as a whole.
    let whole = || serde_json::from_str(text).map(|whole| (whole, None));
    let Ok(mut keys) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else {
        return whole();
    };
    let steps = keys.get("step_templates").filter(|steps| steps.get().starts_with('['));
    let steps = steps.and_then(|steps| serde_json::from_str::<Vec<&RawValue>>(steps.get()).ok());
    if steps.is_some() {
        keys.remove("step_templates");
    }
    let values = keys.into_iter().map(|(key, raw)| Ok((key, serde_json::from_str(raw.get())?)));
    match values.collect::<serde_json::Result<Map<_, _>>>() {
        Ok(keys) => Ok((Value::Object(keys), steps.map(|steps| StepTexts { steps, whole: text }))),
        Err(_) => whole(),
    }
}

/// Refuses a template whose normalised form, with all defaults filled in, could not be read again.
fn check_size(content: &Content, allowed: usize) -> Result<()> {
    let bytes = json_length(content);
    if bytes <= allowed {
        return Ok(());
    }
    let problem = format!("is {bytes} bytes with all defaults filled in");
    let allowed = format!("at most {allowed}: split the work into several templates");
    Err(TemplateError::problem("template", problem, allowed))
}

/// Bytes of `value` as JSON.
pub(super) fn json_length(value: &impl Serialize) -> usize {
    let mut size = Size(0);
    serde_json::to_writer(&mut size, value).expect("keys are text and a size takes any bytes");
    size.0
}

/// Counts the bytes written to it.
struct Size(usize);

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether it is a semantic version.
pub(crate) fn is_version(text: &str) -> bool {
    semver::Version::parse(text).is_ok()
}

fn version(section: &mut Section) -> Result<String> {
    let Some(version) = section.take("version") else {
        return Ok("0.1.0".to_owned());
    };
    version
        .as_str()
        .filter(|text| text.len() <= LONGEST_VERSION && is_version(text))
        .map(str::to_owned)
        .ok_or_else(|| TemplateError::value("version", &version, VERSION_ALLOWED))
}

/// Keys that older templates carry and that decide nothing here must at least make sense.
fn check_unused(section: &mut Section) -> Result<()> {
    section.flag("concurrent", true)?;
    section.list("custom_events")?;
    section.word("task_handler_class", LONGEST_CLASS)?;
    Ok(())
}

fn common(section: &mut Section) -> Result<Common> {
    let named_steps = section.texts("named_steps", 1..=LONGEST_STEP_NAME)?;
    Ok(Common {
        queue: section.word("queue", LONGEST_QUEUE)?.unwrap_or_else(|| "default".to_owned()),
        dependent_system: section.word("default_dependent_system", LONGEST_SYSTEM)?,
        module_namespace: section.word("module_namespace", LONGEST_CLASS)?,
        named_steps: named_steps.map(HashSet::from_iter),
    })
}
