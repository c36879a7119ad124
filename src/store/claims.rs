//! Steps that wait to be claimed, and the claims of workers.

use super::steps::step_row;
use super::{Store, StoreError, Tx, count};
use crate::decision::Claim;
use crate::ids::{StepId, WorkerId};
use crate::state::{StepState, TaskState};

use super::StepRow;

/// A step that can be claimed; its row of the hot table is locked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picked {
    pub(crate) step: StepRow,
    pub(crate) task_state: TaskState,
}

impl Picked {
    /// The claim changes the task's row too, which must be locked for it.
    pub(crate) fn changes_task(&self) -> bool {
        self.task_state == TaskState::Pending || self.step.state == StepState::WaitingForRetry
    }
}

/// Locks up to `limit` due steps of each queue that no other worker holds.
pub(crate) async fn pick(
    tx: &mut Tx,
    queues: &[String],
    limit: i64,
) -> Result<Vec<Picked>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/pick_ready_steps.sql", queues, limit)
        .fetch_all(&mut **tx)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Picked { step: step_row!(row), task_state: row.task_state })
        .collect())
}

/// Up to `limit` claims of a worker, within the transaction of a rescue.
pub(crate) async fn held_by(
    tx: &mut Tx,
    worker: WorkerId,
    limit: i64,
) -> Result<Vec<Claim>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/claims_of_worker.sql", worker.0, limit)
        .fetch_all(&mut **tx)
        .await?;
    let claim = |id, attempts| Claim { step: StepId(id), attempt: count(attempts), worker };
    Ok(rows.into_iter().map(|row| claim(row.workflow_step_id, row.attempts)).collect())
}

impl Store {
    /// Every claim that the database gives to a worker.
    pub(crate) async fn claims_of(&self, worker: WorkerId) -> Result<Vec<Claim>, StoreError> {
        held_by(&mut self.begin().await?, worker, i64::MAX).await
    }
}
