//! Steps that are in error or blocked and hold their task up: which, with what, and what can be done about them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments::{
    at_most, at_most_so_many, parse, refused, tags_a_task_can_have, wanted_tags,
};
use super::items;
use super::remedies::{Remedy, remedies};
use super::reports::time;
use crate::decision::Failure;
use crate::error::Error;
use crate::ids::{StepId, TaskId, TransitionId};
use crate::state::{StepEvent, StepState, TaskState};
use crate::store::{FailureQuery, FailureRow, StepStateRow};
use crate::template::{
    LONGEST_NAMESPACE, LONGEST_STEP_NAME, LONGEST_TASK_NAME, LONGEST_VERSION, StepTemplate,
};

/// Failures in an answer at most.
const LONGEST_PAGE: i64 = 1_000;

/// Rows that are looked at for one answer at least where only what they hold, which may be encrypted, says whether they
/// are meant.
const LOOKED_AT: i64 = 200;

/// Longest class or message to ask for, in bytes.
const LONGEST_TEXT: usize = 4_096;

/// Most steps whose states are asked for at once.
const MOST_STEPS: usize = 1_000;

/// Which failures to list. What is left out does not matter.
///
/// # Examples
/// ```
/// use tasker_core::FailureFilter;
/// let filter = FailureFilter::from_json(r#"{"name": "order", "error": "Net::ReadTimeout"}"#).unwrap();
/// assert_eq!(filter.limit, 20);
/// assert!(FailureFilter::from_json(r#"{"state": "complete"}"#).is_err());
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailureFilter {
    /// Of this task only.
    pub task_id: Option<TaskId>,
    /// Of templates of this namespace only.
    pub namespace: Option<String>,
    /// Of templates with this name only.
    pub name: Option<String>,
    /// Of templates of this version only.
    pub version: Option<String>,
    /// Of steps with this name only.
    pub step: Option<String>,
    /// Of steps in this state only: in error or blocked.
    pub state: Option<StepState>,
    /// With an exception of this class only.
    pub error: Option<String>,
    /// With a message that contains this text only.
    pub message: Option<String>,
    /// Of steps that came into their state then, or later, only.
    pub since: Option<DateTime<Utc>>,
    /// Of steps that came into their state before then only.
    pub until: Option<DateTime<Utc>>,
    /// Of tasks that have all of these tags only.
    pub tags: Vec<String>,
    /// What comes after this step, in the order of the list.
    pub before: Option<StepId>,
    /// At most so many, 1 to 1,000. Default 20.
    pub limit: i64,
}

impl Default for FailureFilter {
    fn default() -> Self {
        Self {
            task_id: None,
            namespace: None,
            name: None,
            version: None,
            step: None,
            state: None,
            error: None,
            message: None,
            since: None,
            until: None,
            tags: Vec::new(),
            before: None,
            limit: 20,
        }
    }
}

impl FailureFilter {
    /// Reads a filter from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown keys and states, for limits out of range, and for texts that nothing can have.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let filter: Self = parse("filter", json)?;
        filter.check()?;
        Ok(filter)
    }

    /// The last failures of a task.
    pub(super) fn of_task(task: TaskId, limit: i64) -> Self {
        Self { task_id: Some(task), limit, ..Self::default() }
    }

    fn check(&self) -> Result<(), Error> {
        at_most("namespace", self.namespace.as_deref(), LONGEST_NAMESPACE)?;
        at_most("name", self.name.as_deref(), LONGEST_TASK_NAME)?;
        at_most("version", self.version.as_deref(), LONGEST_VERSION)?;
        at_most("step", self.step.as_deref(), LONGEST_STEP_NAME)?;
        at_most("error", self.error.as_deref(), LONGEST_TEXT)?;
        at_most("message", self.message.as_deref(), LONGEST_TEXT)?;
        tags_a_task_can_have(&self.tags)?;
        match self.state {
            None | Some(StepState::Error | StepState::Blocked) => {}
            Some(state) => return Err(refused("state", state.as_str(), "error or blocked")),
        }
        if (1..=LONGEST_PAGE).contains(&self.limit) {
            return Ok(());
        }
        Err(refused("limit", &self.limit.to_string(), &format!("1 to {LONGEST_PAGE}")))
    }

    /// Whether what failed has to be read to know whether it is meant.
    fn reads(&self) -> bool {
        self.error.is_some() || self.message.is_some()
    }

    pub(super) fn selection(&self) -> FailureQuery<'_> {
        FailureQuery {
            before: self.before.unwrap_or(StepId(i64::MAX)),
            task: self.task_id,
            namespace: self.namespace.as_deref(),
            name: self.name.as_deref(),
            version: self.version.as_deref(),
            step: self.step.as_deref(),
            state: self.state,
            since: self.since,
            until: self.until,
            tags: wanted_tags(&self.tags),
            limit: if self.reads() { self.limit.max(LOOKED_AT) } else { self.limit },
        }
    }

    fn means(&self, failed: &Failed) -> bool {
        let class =
            self.error.as_deref().is_none_or(|class| failed.class.as_deref() == Some(class));
        class && self.message.as_deref().is_none_or(|text| failed.message.contains(text))
    }

    /// Those of the rows that are meant, and where to go on.
    ///
    /// # Errors
    /// [`Error::Decryption`] where a row has to be read for that, and cannot be.
    pub(super) fn choose(
        &self,
        rows: Vec<FailureRow>,
    ) -> Result<(Vec<Chosen>, Option<StepId>), Error> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let full = i64::try_from(rows.len()).is_ok_and(|count| count >= self.selection().limit);
        let last = rows.last().map(|row| row.step_id).filter(|_| full);
        let mut chosen = Vec::new();
        for row in rows {
            if chosen.len() == limit {
                let next = chosen.last().map(|(row, _): &Chosen| row.step_id);
                return Ok((chosen, next));
            }
            let failed = Failed::read(&row, self.reads())?;
            if self.means(&failed) {
                chosen.push((row, failed));
            }
        }
        Ok((chosen, last))
    }
}

/// A row, and what is said there.
pub(super) type Chosen = (FailureRow, Failed);

/// What is said of a failure.
#[derive(Debug, Default)]
pub(super) struct Failed {
    class: Option<String>,
    code: Option<String>,
    message: String,
}

impl Failed {
    fn read(row: &FailureRow, needed: bool) -> Result<Self, Error> {
        match &row.error {
            Some(Ok(json)) => Ok(Self::parse(json)),
            Some(Err(why)) if needed => {
                let (task, step) = (row.step_id.task(), &row.step);
                let what = format!("the failure of the step {step:?} of task {task}");
                Err(Error::Decryption { what, source: why.clone() })
            }
            Some(Err(why)) => Ok(Self {
                class: Some("TaskerCore::DecryptionError".to_owned()),
                message: format!("the failure is {why}"),
                ..Self::default()
            }),
            None => Ok(match (row.items, &row.given_up) {
                (Some(failed), _) => Self::of(items::failure(&row.step, failed)),
                (None, Some(detail)) => Self::of(items::given_up(detail)),
                (None, None) => {
                    Self { message: row.event.as_str().replace('_', " "), ..Self::default() }
                }
            }),
        }
    }

    fn of(failure: Failure) -> Self {
        Self { class: Some(failure.class), code: failure.code, message: failure.message }
    }

    fn parse(json: &str) -> Self {
        let failure: Value = serde_json::from_str(json).unwrap_or_default();
        let text = |key: &str| failure[key].as_str().map(str::to_owned);
        Self {
            class: text("class"),
            code: text("code"),
            message: text("message").unwrap_or_default(),
        }
    }
}

/// A step that is in error or blocked and holds its task up.
#[derive(Debug, Serialize)]
pub struct StepFailure {
    /// Its task.
    pub task_id: TaskId,
    /// Where the list goes on after it.
    pub step_id: StepId,
    /// Its template's namespace.
    pub namespace: String,
    /// Its template's name.
    pub name: String,
    /// Its template's version.
    pub version: String,
    /// Its name.
    pub step: String,
    /// The step of the template that it is, or is an item of, or was added like.
    pub template_step: String,
    /// Its state.
    pub state: StepState,
    /// The state of its task.
    pub task_state: TaskState,
    /// How often it was tried.
    pub attempts: i32,
    /// The change that brought it into its state.
    pub transition_id: TransitionId,
    /// When it came into its state.
    #[serde(serialize_with = "time")]
    pub failed_at: DateTime<Utc>,
    /// How.
    pub cause: StepEvent,
    /// The class of the exception.
    pub error: Option<String>,
    /// The handler's own code for the failure.
    pub code: Option<String>,
    /// The first line of the exception's message.
    pub message: String,
    /// What can be done about it.
    pub remedies: Vec<Remedy>,
}

impl StepFailure {
    /// `template`: what is said of the step there.
    pub(super) fn new((row, failed): Chosen, template: Option<&StepTemplate>) -> Self {
        let skippable = template.is_some_and(|template| template.skippable);
        Self {
            task_id: row.step_id.task(),
            step_id: row.step_id,
            remedies: remedies(row.task_state, row.state, skippable, row.undone),
            namespace: row.namespace,
            name: row.name,
            version: row.version,
            template_step: template
                .map_or_else(|| row.step.clone(), |template| template.name.clone()),
            step: row.step,
            state: row.state,
            task_state: row.task_state,
            attempts: row.attempts,
            transition_id: row.transition_id,
            failed_at: row.failed_at,
            cause: row.event,
            error: failed.class,
            code: failed.code,
            message: failed.message.lines().next().unwrap_or_default().to_owned(),
        }
    }
}

/// A part of the list of failures.
#[derive(Debug, Serialize)]
pub struct FailurePage {
    /// The failures, those of the newest tasks first.
    pub failures: Vec<StepFailure>,
    /// What to ask for with [`FailureFilter::before`] to go on; `None` at the end. There may be more although this
    /// part is short, or empty.
    pub next: Option<StepId>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StepProgress {
    /// The step.
    pub step_id: StepId,
    /// Its state.
    pub state: StepState,
    /// How often it was tried.
    pub attempts: i32,
}

impl From<StepStateRow> for StepProgress {
    fn from(row: StepStateRow) -> Self {
        let step_id = StepId(row.workflow_step_id);
        Self { step_id, state: row.state, attempts: row.attempts }
    }
}

/// Reads a list of steps from JSON.
///
/// # Errors
/// [`Error::Argument`] for what is no list of ids, and for more than 1,000.
///
/// # Examples
/// ```
/// assert_eq!(tasker_core::step_ids("[1048576]").unwrap(), [tasker_core::StepId(1_048_576)]);
/// ```
pub fn step_ids(json: &str) -> Result<Vec<StepId>, Error> {
    let ids: Vec<StepId> = parse("step_ids", json)?;
    at_most_so_many("step_ids", ids.len(), MOST_STEPS)?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::{Text, Unreadable};

    fn row(id: i64, error: Option<Text>) -> FailureRow {
        FailureRow {
            step_id: StepId(id),
            named_task_id: 1,
            task_state: TaskState::Error,
            namespace: "default".into(),
            name: "order".into(),
            version: "1.0.0".into(),
            step: "charge".into(),
            position: 0,
            undone: false,
            state: StepState::Error,
            attempts: 1,
            transition_id: TransitionId(1),
            failed_at: DateTime::UNIX_EPOCH,
            event: StepEvent::FailedPermanently,
            error,
            given_up: None,
            items: None,
        }
    }

    fn failed(id: i64, class: &str, message: &str) -> FailureRow {
        row(id, Some(Ok(serde_json::json!({"class": class, "message": message}).to_string())))
    }

    fn filter(json: &str) -> FailureFilter {
        FailureFilter::from_json(json).unwrap()
    }

    fn ids(chosen: &[Chosen]) -> Vec<i64> {
        chosen.iter().map(|(row, _)| row.step_id.0).collect()
    }

    #[test]
    fn classes_are_compared_whole_and_messages_in_part() {
        let rows =
            || vec![failed(3, "A", "no route"), failed(2, "A::B", "no"), failed(1, "B", "route")];
        let found = |json: &str| ids(&filter(json).choose(rows()).unwrap().0);
        assert_eq!(found("{}"), [3, 2, 1]);
        assert_eq!(found(r#"{"error": "A"}"#), [3]);
        assert_eq!(found(r#"{"message": "route"}"#), [3, 1]);
        assert_eq!(found(r#"{"error": "A", "message": "lost"}"#), [0; 0]);
    }

    #[test]
    fn a_part_says_where_the_next_one_begins() {
        let rows = || vec![failed(3, "A", ""), failed(2, "A", ""), failed(1, "B", "")];
        let next = |json: &str, rows| filter(json).choose(rows).unwrap().1;
        assert_eq!(next(r#"{"limit": 3}"#, rows()), Some(StepId(1)));
        assert_eq!(next(r#"{"limit": 4}"#, rows()), None);
        assert_eq!(next(r#"{"limit": 1, "error": "A"}"#, rows()), Some(StepId(3)));
        assert_eq!(next(r#"{"limit": 2, "error": "A"}"#, rows()), Some(StepId(2)));
        let many = (0..LOOKED_AT).rev().map(|id| failed(id, "B", "")).collect();
        assert_eq!(next(r#"{"limit": 1, "error": "A"}"#, many), Some(StepId(0)));
    }

    #[test]
    fn a_failure_that_cannot_be_read_is_shown_as_such_and_never_passed_over() {
        let sealed = || {
            let (name, known) = ("lost".to_owned(), "there are none".to_owned());
            vec![row(1, Some(Err(Unreadable::MissingKey { name, known })))]
        };
        let (chosen, _) = filter("{}").choose(sealed()).unwrap();
        assert_eq!(chosen[0].1.class.as_deref(), Some("TaskerCore::DecryptionError"));
        let refused = filter(r#"{"error": "A"}"#).choose(sealed()).unwrap_err();
        assert!(matches!(&refused, Error::Decryption { .. }), "{refused}");
        assert!(refused.to_string().contains("the step \"charge\" of task 0"), "{refused}");
    }

    #[test]
    fn what_nothing_can_have_is_refused() {
        for json in [
            r#"{"limit": 0}"#,
            r#"{"limit": 1001}"#,
            r#"{"state": "complete"}"#,
            r#"{"stat": "error"}"#,
            r#"{"since": "yesterday"}"#,
            r#"{"name": "a\u0000"}"#,
            &format!(r#"{{"tags": [{}"x"]}}"#, r#""x","#.repeat(64)),
        ] {
            assert!(
                matches!(FailureFilter::from_json(json), Err(Error::Argument { .. })),
                "{json}"
            );
        }
        assert!(step_ids("[1, null]").is_err());
    }
}
