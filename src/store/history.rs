//! What happened to a task and its steps, and who is working: for explanations.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, Tx};
use crate::ids::{StepId, TaskId, TransitionId};
use crate::state::{AttemptOutcome, StepEvent, StepState, TaskEvent, TaskState, WorkerState};

/// An attempt that ended.
#[derive(Debug)]
pub(crate) struct AttemptRow {
    pub(crate) workflow_step_id: i64,
    pub(crate) attempt: i32,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) worker_id: i64,
    pub(crate) host: Option<String>,
    pub(crate) pid: Option<i32>,
    pub(crate) claimed_at: DateTime<Utc>,
    pub(crate) finished_at: DateTime<Utc>,
    pub(crate) execution_us: Option<i64>,
    pub(crate) error: Option<String>,
}

/// A change of a step's state.
#[derive(Debug)]
pub(crate) struct StepTransitionRow {
    pub(crate) workflow_step_id: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) from_state: StepState,
    pub(crate) to_state: StepState,
    pub(crate) event: StepEvent,
    pub(crate) attempt: i32,
    pub(crate) worker_id: Option<i64>,
    pub(crate) detail: Option<String>,
}

/// A change of a task's state.
#[derive(Debug)]
pub(crate) struct TaskTransitionRow {
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) from_state: TaskState,
    pub(crate) to_state: TaskState,
    pub(crate) event: TaskEvent,
    pub(crate) detail: Option<String>,
}

/// A worker process that is not known to have ended.
#[derive(Debug)]
pub(crate) struct WorkerRow {
    pub(crate) worker_id: i64,
    pub(crate) state: WorkerState,
    pub(crate) host: String,
    pub(crate) pid: i32,
    pub(crate) queues: Option<Vec<String>>,
    pub(crate) concurrency: i32,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) heartbeat_at: DateTime<Utc>,
    /// Its heartbeat is overdue.
    pub(crate) silent: bool,
    pub(crate) claims: i64,
}

impl Store {
    pub(crate) async fn attempts(&self, steps: &[StepId]) -> Result<Vec<AttemptRow>, StoreError> {
        let mut rows =
            sqlx::query_file_as!(AttemptRow, "src/store/sql/step_attempts.sql", steps as &[StepId])
                .fetch_all(&self.pool)
                .await?;
        for row in &mut rows {
            row.error = row.error.take().map(|error| self.keys.open_failure(error));
        }
        Ok(rows)
    }

    pub(crate) async fn step_history(
        &self,
        steps: &[StepId],
    ) -> Result<Vec<StepTransitionRow>, StoreError> {
        Ok(sqlx::query_file_as!(
            StepTransitionRow,
            "src/store/sql/step_history.sql",
            steps as &[StepId]
        )
        .fetch_all(&self.pool)
        .await?)
    }

    pub(crate) async fn task_history(
        &self,
        task: TaskId,
    ) -> Result<Vec<TaskTransitionRow>, StoreError> {
        Ok(sqlx::query_file_as!(TaskTransitionRow, "src/store/sql/task_history.sql", task.0)
            .fetch_all(&self.pool)
            .await?)
    }

    pub(crate) async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        Ok(sqlx::query_file_as!(WorkerRow, "src/store/sql/list_workers.sql")
            .fetch_all(&self.pool)
            .await?)
    }
}

impl Tx {
    /// The last change of a step's state.
    pub(crate) async fn last_transition(
        &mut self,
        step: StepId,
    ) -> Result<Option<TransitionId>, StoreError> {
        Ok(sqlx::query_file_scalar!("src/store/sql/last_transition.sql", step.0)
            .fetch_optional(&mut **self)
            .await?)
    }
}
