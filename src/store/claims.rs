//! Steps that wait to be claimed, and the claims of workers.

use sqlx::PgExecutor;

use super::steps::step_row;
use super::{StoreError, Tx, count};
use crate::decision::{Claim, Timestamp};
use crate::ids::{ClaimBatchId, StepId, TaskId, WorkerId};
use crate::state::{StepState, TaskState};

use super::StepRow;

/// A step that can be claimed; its row of the hot table is locked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picked {
    pub(crate) step: StepRow,
    pub(crate) task_state: TaskState,
    pub(crate) has_budget: bool,
    pub(crate) has_deadline: bool,
    pub(crate) place: Place,
}

/// A place in the order in which steps are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) priority: i16,
    pub(crate) available_at: Timestamp,
    pub(crate) step: StepId,
}

impl Place {
    /// Before every step.
    pub(crate) const START: Self =
        Self { priority: i16::MIN, available_at: Timestamp::UNIX_EPOCH, step: StepId(0) };
}

impl Picked {
    /// The claim changes the task's row too, or its budget, and the task must be locked for it.
    pub(crate) fn changes_task(&self) -> bool {
        self.task_state == TaskState::Pending || self.step.state.is_waiting() || self.has_budget
    }
}

/// Locks up to `limit` due steps of the queues that stand after a place, belong to none of the tasks
/// `without` and that no other worker holds.
pub(super) async fn pick(
    tx: &mut Tx,
    queues: &[String],
    without: &[TaskId],
    after: Place,
    limit: i64,
) -> Result<Vec<Picked>, StoreError> {
    let rows = sqlx::query_file!(
        "src/store/sql/pick_ready_steps.sql",
        queues,
        limit,
        after.priority,
        after.available_at,
        after.step.0,
        without as &[TaskId]
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Picked {
            step: step_row!(row),
            task_state: row.task_state,
            has_budget: row.has_budget,
            has_deadline: row.has_deadline,
            place: Place {
                priority: row.priority,
                available_at: row.available_at,
                step: StepId(row.workflow_step_id),
            },
        })
        .collect())
}

/// A step that a batch of claims lists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListedClaim {
    pub(crate) batch: ClaimBatchId,
    /// The claim; `None` when the worker does not hold the step any more.
    pub(crate) claim: Option<Claim>,
    pub(crate) failures: u32,
    pub(crate) crashes: u32,
}

/// What the batches of a worker list. A step that was claimed twice is listed twice.
pub(super) async fn listed(
    connection: impl PgExecutor<'_>,
    worker: WorkerId,
) -> Result<Vec<ListedClaim>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/claims_of_worker.sql", worker.0)
        .fetch_all(connection)
        .await?;
    let claim = |id, attempts| Claim { step: StepId(id), attempt: count(attempts), worker };
    Ok(rows
        .into_iter()
        .map(|row| ListedClaim {
            batch: ClaimBatchId(row.claim_batch_id),
            claim: row.attempts.map(|attempts| claim(row.workflow_step_id, attempts)),
            failures: count(row.failures),
            crashes: count(row.crashes),
        })
        .collect())
}
