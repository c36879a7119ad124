//! Steps that are in error or blocked and hold their task up.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, count};
use crate::encryption::{Content, Text};
use crate::ids::{StepId, TaskId, TransitionId};
use crate::state::{StepEvent, StepState, TaskState};

/// Which of them to list, newest tasks first.
#[derive(Clone, Debug)]
pub(crate) struct FailureQuery<'a> {
    pub(crate) before: StepId,
    pub(crate) task: Option<TaskId>,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) version: Option<&'a str>,
    pub(crate) step: Option<&'a str>,
    pub(crate) state: Option<StepState>,
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) until: Option<DateTime<Utc>>,
    /// A JSON list: the task has all of them.
    pub(crate) tags: Option<String>,
    pub(crate) limit: i64,
}

/// A step that is in error or blocked.
#[derive(Debug)]
pub(crate) struct FailureRow {
    pub(crate) step_id: StepId,
    pub(crate) named_task_id: i32,
    pub(crate) task_state: TaskState,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) step: String,
    /// Where its template tells about it.
    pub(crate) position: u32,
    /// Its task is undone by another one.
    pub(crate) undone: bool,
    pub(crate) state: StepState,
    pub(crate) attempts: i32,
    /// The change that brought it into its state.
    pub(crate) transition_id: TransitionId,
    pub(crate) failed_at: DateTime<Utc>,
    pub(crate) event: StepEvent,
    pub(crate) error: Option<Text>,
    /// Why an item was given up, a JSON object.
    pub(crate) given_up: Option<String>,
    /// Of a map step that failed by its items.
    pub(crate) items: Option<FailedItems>,
}

/// The items by which a map step failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailedItems {
    /// How many there are.
    pub(crate) all: u32,
    /// How many are in error.
    pub(crate) failed: u32,
    /// How many may be; `None` for all.
    pub(crate) tolerate: Option<u32>,
    /// The number of the first one, of those that were tried if there are any.
    pub(crate) first: u32,
}

/// How far a step is.
#[derive(Debug)]
pub(crate) struct StepStateRow {
    pub(crate) workflow_step_id: i64,
    pub(crate) state: StepState,
    pub(crate) attempts: i32,
}

impl Store {
    pub(crate) async fn list_failures(
        &self,
        query: &FailureQuery<'_>,
    ) -> Result<Vec<FailureRow>, StoreError> {
        let rows = sqlx::query_file!(
            "src/store/sql/list_failures.sql",
            query.before.0,
            query.task as Option<TaskId>,
            query.namespace,
            query.name,
            query.version,
            query.step,
            query.state as Option<StepState>,
            query.since,
            query.until,
            query.tags.as_deref(),
            query.limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| FailureRow {
                step_id: StepId(row.workflow_step_id),
                named_task_id: row.named_task_id,
                task_state: row.task_state,
                namespace: row.namespace,
                name: row.name,
                version: row.version,
                step: row.step,
                position: row.prototype.map_or(StepId(row.workflow_step_id).index(), count),
                undone: row.undone,
                state: row.state,
                attempts: row.attempts,
                transition_id: row.transition_id,
                failed_at: row.failed_at,
                event: row.event,
                error: row.error.map(|error| self.keys.open(Content::Failure, error)),
                given_up: row.given_up,
                items: row.items.zip(row.first_failed).map(|(all, first)| FailedItems {
                    all: count(all),
                    failed: count(row.failed_items),
                    tolerate: row.tolerate.map(count),
                    first: count(first),
                }),
            })
            .collect())
    }

    /// In no order; without those that there are not.
    pub(crate) async fn step_states(
        &self,
        steps: &[StepId],
    ) -> Result<Vec<StepStateRow>, StoreError> {
        Ok(sqlx::query_file_as!(StepStateRow, "src/store/sql/step_states.sql", steps as &[StepId])
            .fetch_all(&self.pool)
            .await?)
    }
}
