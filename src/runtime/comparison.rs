//! What a change of a template means for the tasks that were made from it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::arguments::{at_most, parse, refused};
use super::reports::optional_time;
use crate::error::Error;
use crate::ids::TaskId;
use crate::store::{LiveTasksRow, StepToRunRow};
use crate::template::{
    LONGEST_NAMESPACE, LONGEST_TASK_NAME, LONGEST_VERSION, TaskTemplate, TemplateDiff,
};

/// Two versions of a template: a stored one, and another that is stored or given.
///
/// # Examples
/// ```
/// use tasker_core::TemplatesToCompare;
/// let two = TemplatesToCompare::from_json(r#"{"name": "order", "from": "1.0.0", "to": "1.1.0"}"#).unwrap();
/// assert_eq!(two.namespace, "default");
/// assert!(TemplatesToCompare::from_json(r#"{"name": "order", "from": "1.0.0"}"#).is_err());
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplatesToCompare {
    /// Namespace of both.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Name of both.
    pub name: String,
    /// Version of the first one; the highest one stored when absent.
    #[serde(default)]
    pub from: Option<String>,
    /// Version of the second one, where it is stored.
    #[serde(default)]
    pub to: Option<String>,
    /// The second one, where it is given.
    #[serde(default)]
    pub template: Option<Box<RawValue>>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

impl TemplatesToCompare {
    /// Reads a request from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown keys, for names that no template can have, and where there is not one second
    /// template.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let two: Self = parse("templates", json)?;
        at_most("namespace", Some(&two.namespace), LONGEST_NAMESPACE)?;
        at_most("name", Some(&two.name), LONGEST_TASK_NAME)?;
        at_most("from", two.from.as_deref(), LONGEST_VERSION)?;
        at_most("to", two.to.as_deref(), LONGEST_VERSION)?;
        if two.to.is_some() == two.template.is_some() {
            return Err(refused(
                "to",
                "given with template, or neither is",
                "one of to and template",
            ));
        }
        Ok(two)
    }
}

/// What two versions say differently, and what that means for the tasks of the first one.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Namespace of both.
    pub namespace: String,
    /// Name of both.
    pub name: String,
    /// Version of the first one.
    pub from: String,
    /// Version of the second one.
    pub to: String,
    /// Both say the same.
    pub same: bool,
    /// What differs.
    pub diff: TemplateDiff,
    /// Tasks of the first one that have not ended.
    pub live: LiveTasks,
}

/// Tasks of a version that have not ended.
#[derive(Debug, Serialize)]
pub struct LiveTasks {
    /// How many.
    pub count: i64,
    /// When the oldest one was requested.
    #[serde(serialize_with = "optional_time")]
    pub oldest_at: Option<DateTime<Utc>>,
    /// The oldest of them, at most 20.
    pub task_ids: Vec<TaskId>,
    /// Steps that some of them have still to run, and that the second version lacks or has executed by another handler.
    pub broken: Vec<BrokenStep>,
}

/// A step that tasks have still to run with a handler that the second version may not have.
#[derive(Debug, Serialize)]
pub struct BrokenStep {
    /// Its name in the first version.
    pub step: String,
    /// Its handler there.
    pub handler_class: String,
    /// `removed`, `renamed` or `handler_changed`.
    pub why: &'static str,
    /// In how many tasks it has still to run.
    pub tasks: i64,
    /// The oldest of them, at most 20.
    pub task_ids: Vec<TaskId>,
}

impl LiveTasks {
    pub(super) fn new(row: LiveTasksRow, broken: Vec<BrokenStep>) -> Self {
        let task_ids = row.task_ids.into_iter().map(TaskId).collect();
        Self { count: row.count, oldest_at: row.oldest_at, task_ids, broken }
    }
}

/// The steps of the first template that the second one does no more in the same way: their positions, and why.
pub(super) fn broken_steps(before: &TaskTemplate, diff: &TemplateDiff) -> Vec<(i32, &'static str)> {
    let place = |(name, why)| {
        let index = before.step_index(name).and_then(|index| i32::try_from(index).ok())?;
        Some((index, why))
    };
    diff.breaks().into_iter().filter_map(place).collect()
}

/// Joins what is counted of these steps with their names.
pub(super) fn broken(
    before: &TaskTemplate,
    steps: &[(i32, &'static str)],
    rows: Vec<StepToRunRow>,
) -> Vec<BrokenStep> {
    let named = |row: StepToRunRow| {
        let (_, why) = steps.iter().find(|(index, _)| *index == row.step_index)?;
        let step = before.steps().get(usize::try_from(row.step_index).ok()?)?;
        Some(BrokenStep {
            step: step.name.clone(),
            handler_class: step.handler_class.clone(),
            why,
            tasks: row.tasks,
            task_ids: row.task_ids.into_iter().map(TaskId).collect(),
        })
    };
    rows.into_iter().filter_map(named).collect()
}
