//! What an explanation is made of.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::ids::TaskId;
use crate::json::is_default;
use crate::runtime::remedies::Remedy;
use crate::runtime::reports::{ParentStep, milliseconds, optional_time, raw, time};
use crate::state::{AttemptOutcome, StepEvent, StepState, TaskEvent, TaskState};
use crate::store::{
    ArtifactSizeRow, AttemptRow, SentSignalRow, StepProgressRow, StepTransitionRow,
    TaskTransitionRow,
};

/// Why a task is where it is.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The task.
    pub task_id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Its steps are claimed before those of tasks with a higher one.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: i16,
    /// In words.
    pub summary: String,
    /// How its state came about.
    pub history: Vec<Change<TaskState, TaskEvent>>,
    /// The step asked for, or those that have not completed, the first 20.
    pub steps: Vec<StepExplanation>,
    /// How many others have not completed.
    pub more_steps: usize,
    /// Signals that were sent to it, that no step waits for and that none was given, the last of each name; none where it
    /// has ended.
    pub signals: Vec<SentSignal>,
    /// The step that runs it.
    pub parent: Option<ParentStep>,
    /// The task that it undoes.
    pub compensates: Option<TaskId>,
    /// The task that undoes it.
    pub compensated_by: Option<TaskId>,
}

/// A signal that was sent to a task.
#[derive(Debug, Serialize)]
pub struct SentSignal {
    /// Its name.
    pub name: String,
    /// Who sent it.
    pub actor: Option<String>,
    /// When.
    #[serde(serialize_with = "time")]
    pub sent_at: DateTime<Utc>,
}

impl From<&SentSignalRow> for SentSignal {
    fn from(row: &SentSignalRow) -> Self {
        Self { name: row.name.clone(), actor: row.actor.clone(), sent_at: row.created_at }
    }
}

/// Why a step is where it is.
#[derive(Debug, Serialize)]
pub struct StepExplanation {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StepState,
    /// In words.
    pub summary: String,
    /// Its handler's last checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointInfo>,
    /// What it looks at again and again, while it waits to do so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll: Option<PollInfo>,
    /// By when it has to have ended, in all its attempts together.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<DateTime<Utc>>,
    /// What can be done about it; nothing where it goes on by itself, or cannot any more.
    pub remedies: Vec<Remedy>,
    /// Its attempts that have ended.
    pub attempts: Vec<Attempt>,
    /// What its attempts have attached.
    pub artifacts: Vec<Attachment>,
    /// How its state came about.
    pub history: Vec<Change<StepState, StepEvent>>,
    /// The tasks that it runs, or ran last.
    pub children: Vec<RelatedTask>,
}

/// An artifact without its content.
#[derive(Debug, Serialize)]
pub struct Attachment {
    /// The number of the attempt.
    pub attempt: i32,
    /// Its name.
    pub name: String,
    /// What it is.
    pub media_type: String,
    /// The size of its content as it is kept, if it is kept here.
    pub bytes: Option<i32>,
    /// Where it lies otherwise.
    pub uri: Option<String>,
}

impl From<&ArtifactSizeRow> for Attachment {
    fn from(row: &ArtifactSizeRow) -> Self {
        Self {
            attempt: row.attempt,
            name: row.name.clone(),
            media_type: row.media_type.clone(),
            bytes: row.bytes,
            uri: row.uri.clone(),
        }
    }
}

/// Where a handler had come at its last checkpoint.
#[derive(Debug, Serialize)]
pub struct CheckpointInfo {
    /// What it goes on from; nothing where that cannot be decrypted here.
    pub cursor: Option<Box<RawValue>>,
    /// When it was made.
    #[serde(serialize_with = "time")]
    pub at: DateTime<Utc>,
}

impl StepProgressRow {
    pub(super) fn checkpoint(&self) -> Option<CheckpointInfo> {
        let at = self.checkpoint_at?;
        let cursor = self.cursor.as_ref().and_then(|cursor| cursor.as_ref().ok());
        Some(CheckpointInfo { cursor: cursor.cloned().and_then(raw), at })
    }
}

/// A condition that a handler looks at again and again.
#[derive(Debug, Serialize)]
pub struct PollInfo {
    /// How often it has looked.
    pub looks: u32,
    /// When, the last time.
    #[serde(serialize_with = "time")]
    pub looked_at: DateTime<Utc>,
    /// When it looks again.
    #[serde(serialize_with = "optional_time")]
    pub next_look_at: Option<DateTime<Utc>>,
    /// When it looks for the last time; nothing where it looks for as long as it takes.
    #[serde(serialize_with = "optional_time")]
    pub until: Option<DateTime<Utc>>,
    /// What it keeps besides; nothing also where that cannot be decrypted here.
    pub data: Option<Value>,
}

/// An attempt that has ended.
#[derive(Debug, Serialize)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: i32,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Who executed it.
    pub worker: String,
    /// When it was claimed.
    #[serde(serialize_with = "time")]
    pub claimed_at: DateTime<Utc>,
    /// When its end was written.
    #[serde(serialize_with = "time")]
    pub finished_at: DateTime<Utc>,
    /// How long the handler ran, in milliseconds.
    pub execution_ms: Option<f64>,
    /// How it failed.
    pub error: Option<Box<RawValue>>,
}

impl From<&AttemptRow> for Attempt {
    fn from(row: &AttemptRow) -> Self {
        let worker = match (&row.host, row.pid) {
            (Some(host), Some(pid)) => format!("{} ({host}, pid {pid})", row.worker_id),
            (_, _) => row.worker_id.to_string(),
        };
        Self {
            attempt: row.attempt,
            outcome: row.outcome,
            worker,
            claimed_at: row.claimed_at,
            finished_at: row.finished_at,
            execution_ms: row.execution_us.map(milliseconds),
            error: row.error.clone().and_then(raw),
        }
    }
}

/// A change of state and the decision behind it.
#[derive(Debug, Serialize)]
pub struct Change<S, E> {
    /// When.
    #[serde(serialize_with = "time")]
    pub at: DateTime<Utc>,
    /// The state before.
    pub from: S,
    /// The state after.
    pub to: S,
    /// What happened.
    pub cause: E,
    /// The attempt it was about, for a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// The worker that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<i64>,
    /// The facts of the decision.
    pub detail: Option<Box<RawValue>>,
    /// From when on the next attempt may be claimed, for a change that schedules one.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<DateTime<Utc>>,
}

impl From<&StepTransitionRow> for Change<StepState, StepEvent> {
    fn from(row: &StepTransitionRow) -> Self {
        Self {
            at: row.created_at,
            from: row.from_state,
            to: row.to_state,
            cause: row.event,
            attempt: Some(row.attempt),
            worker_id: row.worker_id,
            detail: row.detail.clone().and_then(raw),
            next_attempt_at: row.detail.as_deref().and_then(retry_at),
        }
    }
}

impl From<TaskTransitionRow> for Change<TaskState, TaskEvent> {
    fn from(row: TaskTransitionRow) -> Self {
        Self {
            at: row.created_at,
            from: row.from_state,
            to: row.to_state,
            cause: row.event,
            attempt: None,
            worker_id: None,
            detail: row.detail.and_then(raw),
            next_attempt_at: None,
        }
    }
}

fn retry_at(detail: &str) -> Option<DateTime<Utc>> {
    let detail: Value = serde_json::from_str(detail).ok()?;
    ["retry_at", "until"].iter().find_map(|key| detail[*key].as_str())?.parse().ok()
}

/// Another task of which an explanation tells.
#[derive(Clone, Debug, Serialize)]
pub struct RelatedTask {
    /// The task.
    pub task_id: TaskId,
    /// Its template: name and version.
    pub workflow: String,
    /// Its state.
    pub state: TaskState,
    /// Why, in words.
    pub summary: String,
}
