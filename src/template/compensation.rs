//! What undoes the steps of a template: the keys that say so, and the template that is made from them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::TemplateError;
use super::parse::LONGEST_TASK_NAME;
use super::section::{LONGEST_SECONDS, Section};
use super::steps::{Common, complete_class, retry_policy};
use super::{Content, ErrorClasses, MapTemplate, RetryJson, StepTemplate, TaskTemplate};
use crate::budget::{Cost, Limits};
use crate::condition::Condition;
use crate::graph::Graph;
use crate::join_policy::JoinPolicy;
use crate::retry_policy::RetryPolicy;

type Result<T> = std::result::Result<T, TemplateError>;

/// What names of templates end with that undo others.
pub(crate) const COMPENSATION_SUFFIX: &str = " (compensation)";

/// Name of the step that waits for all that are undone.
const ALL_UNDONE: &str = "all undone";

const KEYS: [&str; 5] =
    ["handler_class", "default_retryable", "default_retry_limit", "retry", "timeout_seconds"];

/// How many steps are looked at for the edges of the template that undoes another one.
const MOST_LOOKS: usize = 1 << 24;

/// When the steps of a task are undone that has ended otherwise than complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompensationMode {
    /// At once.
    #[default]
    Automatic,
    /// When somebody asks for it.
    Manual,
}

/// What undoes a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Compensation {
    /// Class that does it.
    pub handler_class: String,
    /// Whether, how often and when it is tried again.
    pub retry_policy: RetryPolicy,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
}

impl Serialize for Compensation {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'a> {
            handler_class: &'a str,
            default_retryable: bool,
            default_retry_limit: u32,
            retry: RetryJson,
            timeout_seconds: Option<f64>,
        }
        Json {
            handler_class: &self.handler_class,
            default_retryable: self.retry_policy.retryable,
            default_retry_limit: self.retry_policy.limit,
            retry: RetryJson::from(&self.retry_policy),
            timeout_seconds: self.timeout.map(|timeout| timeout.as_secs_f64()),
        }
        .serialize(serializer)
    }
}

/// Reads the keys of a step.
pub(super) fn read(step: &mut Section, common: &Common) -> Result<Option<Compensation>> {
    let long = step.take("compensate");
    let class = match (step.has("compensate_with"), long.is_some()) {
        (false, false) => return Ok(None),
        (false, true) => None,
        (true, false) => Some(complete_class(step, "compensate_with", common)?),
        (true, true) => {
            let class = step.take("compensate_with").unwrap_or_default();
            let allowed = "one of compensate_with and compensate";
            return Err(TemplateError::value(step.key("compensate_with"), &class, allowed));
        }
    };
    let keys = long.unwrap_or_else(|| json!({}));
    let mut section = Section::open(step.key("compensate"), keys, &KEYS)?;
    let class = class.map_or_else(|| complete_class(&mut section, "handler_class", common), Ok)?;
    Ok(Some(Compensation {
        handler_class: class,
        retry_policy: retry_policy(&mut section, false)?,
        timeout: section.seconds("timeout_seconds", LONGEST_SECONDS)?,
    }))
}

/// Reads the key of the template.
pub(super) fn mode(template: &mut Section) -> Result<CompensationMode> {
    let Some(value) = template.take("compensation") else { return Ok(CompensationMode::default()) };
    CompensationMode::deserialize(&value)
        .map_err(|_| TemplateError::value("compensation", &value, "automatic, manual"))
}

impl TaskTemplate {
    /// Whether a step says how it is undone.
    #[must_use]
    pub fn is_compensated(&self) -> bool {
        self.steps().iter().any(|step| step.compensation.is_some())
    }

    /// When the steps of a task are undone that has ended otherwise than complete.
    #[must_use]
    pub const fn compensation_mode(&self) -> CompensationMode {
        self.content.compensation
    }

    /// Refuses what only the engine may name, and what could never run. Templates that are stored already are read without it.
    /// Returns the template that undoes tasks of this one, as [`compensation`](Self::compensation).
    ///
    /// # Errors
    /// [`TemplateError`] for a name that only the engine gives, or is too long, and for a step that reserves more than the budget.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::template::TaskTemplate;
    ///
    /// let template = TaskTemplate::from_json(
    ///     r#"{"name": "x", "budget": {"cost": 1}, "step_templates": [
    ///         {"name": "a", "handler_class": "A", "reserve_cost": 2}]}"#,
    /// )?;
    /// let error = template.check_registrable().unwrap_err();
    /// assert_eq!(error.key.as_ref(), "step_templates[0].reserve_cost");
    /// # Ok::<(), tasker_core::template::TemplateError>(())
    /// ```
    pub fn check_registrable(&self) -> Result<Option<TaskTemplate>> {
        if self.name().ends_with(COMPENSATION_SUFFIX) {
            let allowed =
                format!("a name that does not end with {COMPENSATION_SUFFIX:?}: those undo others");
            return Err(TemplateError::value("name", &Value::from(self.name()), allowed));
        }
        self.check_reserves()?;
        self.compensation()
    }

    /// A step that reserves more than there is can never start.
    fn check_reserves(&self) -> Result<()> {
        let Some(most) = self.budget().cost else { return Ok(()) };
        let above = |step: &StepTemplate| step.reserve_cost.is_some_and(|cost| cost > most);
        let Some(index) = self.steps().iter().position(above) else { return Ok(()) };
        let step = &self.steps()[index];
        let seen = Value::from(step.reserve_cost.map(Cost::number));
        let allowed = format!("at most {}, the cost of the template's budget", most.number());
        let key = format!("step_templates[{index}].reserve_cost");
        Err(TemplateError::value(key, &seen, allowed).in_step(Some(&step.name)))
    }

    /// The template that undoes a task of this one; nothing where no step says how it is undone. It has a step of the same
    /// name for each step that does, which waits for the ends, good or bad, of what undoes the steps after it; and a last
    /// one, which waits until all are undone.
    ///
    /// # Errors
    /// [`TemplateError`] where its name would be too long, or its edges too many.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::template::TaskTemplate;
    ///
    /// let template = TaskTemplate::from_json(
    ///     r#"{"name": "order", "step_templates": [
    ///         {"name": "charge", "handler_class": "Charge", "compensate_with": "Refund"},
    ///         {"name": "check", "handler_class": "Check", "depends_on_step": "charge"},
    ///         {"name": "ship", "handler_class": "Ship", "depends_on_step": "check", "compensate_with": "Recall"}]}"#,
    /// )?;
    /// let undoing = template.compensation()?.expect("two steps say how they are undone");
    /// assert_eq!(undoing.name(), "order (compensation)");
    /// assert_eq!(undoing.steps()[0].handler_class, "Refund");
    /// assert_eq!(undoing.steps()[0].depends_on_steps, ["ship"]);
    /// assert_eq!(undoing.steps()[2].name, "all undone");
    /// # Ok::<(), tasker_core::template::TemplateError>(())
    /// ```
    pub fn compensation(&self) -> Result<Option<TaskTemplate>> {
        if !self.is_compensated() {
            return Ok(None);
        }
        let name = format!("{}{COMPENSATION_SUFFIX}", self.name());
        if name.len() > LONGEST_TASK_NAME {
            let most = LONGEST_TASK_NAME - COMPENSATION_SUFFIX.len();
            let allowed = format!("at most {most} bytes where a step says how it is undone");
            return Err(TemplateError::value("name", &Value::from(self.name()), allowed));
        }
        let mut steps = Vec::new();
        let mut looks = MOST_LOOKS;
        for (index, step) in (0..).zip(self.steps()) {
            if let Some(compensation) = &step.compensation {
                let after = self.next_undone(index, &mut looks)?;
                steps.push(self.undoing(step, compensation, after));
            }
        }
        steps.extend(all_undone(&steps));
        let parents = steps
            .iter()
            .map(|step| (step.name.as_str(), step.depends_on_steps.iter().map(String::as_str)));
        let graph = Graph::from_parents(parents).map_err(|error| too_many(&error.to_string()))?;
        let content = Content {
            namespace_name: self.namespace().to_owned(),
            name,
            version: self.version().to_owned(),
            description: Some(format!("undoes tasks of {}", self.name())),
            schema: None,
            queue: self.queue().to_owned(),
            priority: self.priority(),
            deadline: None,
            budget: Limits::default(),
            compensation: CompensationMode::default(),
            error_classes: self.error_classes().clone(),
            step_templates: steps,
        };
        Ok(Some(TaskTemplate::assemble(content, graph, None)))
    }

    /// The nearest steps after one that say how they are undone.
    fn next_undone(&self, index: u32, looks: &mut usize) -> Result<Vec<String>> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![index];
        while let Some(at) = open.pop() {
            for child in self.graph().children(at) {
                *looks = looks.checked_sub(1).ok_or_else(|| too_many("it would take too long"))?;
                if self.steps()[*child as usize].compensation.is_some() {
                    found.insert(*child);
                } else if seen.insert(*child) {
                    open.push(*child);
                }
            }
        }
        Ok(found.into_iter().map(|child| self.steps()[child as usize].name.clone()).collect())
    }

    fn undoing(
        &self,
        step: &StepTemplate,
        compensation: &Compensation,
        after: Vec<String>,
    ) -> StepTemplate {
        StepTemplate {
            name: step.name.clone(),
            handler_class: compensation.handler_class.clone(),
            description: None,
            join: if after.is_empty() { JoinPolicy::default() } else { JoinPolicy::AllDone },
            depends_on_steps: after,
            edge_conditions: BTreeMap::new(),
            when: None,
            queue: step.queue.clone(),
            retry_policy: compensation.retry_policy.clone(),
            decides: false,
            dynamic: false,
            map: None,
            skippable: true,
            delay: None,
            timeout: compensation.timeout,
            total_timeout: None,
            reserve_cost: None,
            error_classes: ErrorClasses::clone(&step.error_classes),
            handler_config: step.handler_config.clone(),
            dependent_system: step.dependent_system.clone(),
            workflow: None,
            compensation: None,
        }
    }
}

/// The step that waits until all others are done well: what failed to be undone holds up no other step but this one, so
/// that the task does not complete without it. Its list is empty, and nothing is executed for it. None where no step waits
/// for another: there each failure is the task's.
fn all_undone(steps: &[StepTemplate]) -> Option<StepTemplate> {
    let first = steps.iter().find(|step| !step.depends_on_steps.is_empty())?;
    let is_taken = |name: &String| steps.iter().any(|step| step.name == *name);
    let mut names = std::iter::successors(Some(ALL_UNDONE.to_owned()), |n| Some(format!("({n})")));
    let over = Condition::parse("[]", &[]).ok()?;
    Some(StepTemplate {
        name: names.find(|name| !is_taken(name))?,
        join: JoinPolicy::NoneFailed,
        depends_on_steps: steps.iter().map(|step| step.name.clone()).collect(),
        map: Some(MapTemplate { over, max_parallel: None, tolerate: Some(0) }),
        skippable: false,
        ..first.clone()
    })
}

fn too_many(why: &str) -> TemplateError {
    let problem = format!("cannot be undone in reverse order: {why}");
    TemplateError::problem("step_templates", problem, "fewer steps with compensate_with")
}
