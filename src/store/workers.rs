//! Worker processes: registered, beating, ended.

use sqlx::PgExecutor;

use super::{StoreError, Tx, int};
use crate::decision::{Claim, Timestamp};
use crate::ids::{ClaimBatchId, StepId, WorkerId};
use crate::state::WorkerState;

/// What a worker says of itself.
#[derive(Clone, Debug)]
pub(crate) struct NewWorker {
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) concurrency: u32,
    /// The queues it serves; `None` for all of them.
    pub(crate) queues: Option<Vec<String>>,
    pub(crate) dead_after_ms: u32,
}

/// What a heartbeat says.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    pub(crate) worker: WorkerId,
    /// The queues it serves, as far as it knows them.
    pub(crate) queues: Vec<String>,
    /// It serves all others too.
    pub(crate) all_queues: bool,
    /// The worker rests: it may be silent for longer than others, by so many milliseconds for each
    /// worker of the fleet. 0 when it does not rest.
    pub(crate) resting_ms: u32,
    /// Batches that need not be listed any more.
    pub(crate) over: Vec<ClaimBatchId>,
    /// Its claims whose handlers run, as far as it knows.
    pub(crate) running: Vec<Claim>,
}

/// What a heartbeat brings back.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    /// The worker is still registered as alive.
    pub(crate) alive: bool,
    /// Workers that are registered as alive.
    pub(crate) workers: i64,
    /// Those of them that registered before this one.
    pub(crate) before: i64,
    /// Others of them that did not rest at their last heartbeat.
    pub(crate) busy: i64,
    /// Queues with steps, served and not known to the worker.
    pub(crate) other_queues: Vec<String>,
    /// Queues whose resting workers were called.
    pub(crate) called: i64,
    /// When the next step can be claimed; may lie in the past.
    pub(crate) next_available_at: Option<Timestamp>,
    pub(crate) now: Timestamp,
    /// Batches of claims that the database listed for the worker, those that are over included.
    pub(crate) claim_batches: i64,
    /// There is a worker to bury, or one that ended and still holds claims.
    pub(crate) somebody_died: bool,
    /// There is a task whose deadline has passed.
    pub(crate) somebody_late: bool,
    /// Steps of the claims whose handlers run that others have ended.
    pub(crate) lost: Vec<StepId>,
    /// The end of a task left something to be done.
    pub(crate) somebody_ended: bool,
}

/// Registers a worker under an id that no other registration ever gets.
pub(super) async fn register(
    connection: impl PgExecutor<'_>,
    new: &NewWorker,
) -> Result<WorkerId, StoreError> {
    let id = sqlx::query_file_scalar!(
        "src/store/sql/register_worker.sql",
        new.host,
        int(new.pid),
        int(new.concurrency),
        new.queues.as_deref(),
        int(new.dead_after_ms),
    )
    .fetch_one(connection)
    .await?;
    Ok(WorkerId(id))
}

/// Says that a worker begins to stop.
pub(super) async fn drain(
    connection: impl PgExecutor<'_>,
    worker: WorkerId,
) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/drain_worker.sql", worker.0).execute(connection).await?;
    Ok(())
}

/// Says that a worker has ended, in order or not.
pub(super) async fn end(
    connection: impl PgExecutor<'_>,
    worker: WorkerId,
    state: WorkerState,
) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/end_worker.sql", worker.0, state as WorkerState)
        .execute(connection)
        .await?;
    Ok(())
}

/// All queues that a template names.
pub(super) async fn known_queues(
    connection: impl PgExecutor<'_>,
) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_file_scalar!("src/store/sql/known_queues.sql").fetch_all(connection).await?)
}

/// Beats.
pub(super) async fn beat(
    connection: impl PgExecutor<'_>,
    pulse: &Pulse,
) -> Result<Beat, StoreError> {
    let steps: Vec<_> = pulse.running.iter().map(|claim| claim.step).collect();
    let attempts: Vec<_> = pulse.running.iter().map(|claim| int(claim.attempt)).collect();
    let row = sqlx::query_file!(
        "src/store/sql/beat.sql",
        pulse.worker.0,
        &pulse.queues,
        pulse.all_queues,
        int(pulse.resting_ms),
        &pulse.over as &[ClaimBatchId],
        &steps as &[StepId],
        &attempts,
    )
    .fetch_one(connection)
    .await?;
    Ok(Beat {
        alive: row.alive,
        workers: row.workers,
        before: row.before,
        busy: row.busy,
        other_queues: row.other_queues,
        called: row.called,
        next_available_at: row.next_available_at,
        now: row.now,
        claim_batches: row.claim_batches,
        somebody_died: row.somebody_died,
        somebody_late: row.somebody_late,
        lost: row.lost.into_iter().map(StepId).collect(),
        somebody_ended: row.somebody_ended,
    })
}

/// Locks one worker whose heartbeat ended, that no other rescuer holds and that is none of `passed`.
pub(super) async fn lock_dead(
    tx: &mut Tx,
    passed: &[WorkerId],
) -> Result<Option<WorkerId>, StoreError> {
    let id = sqlx::query_file_scalar!("src/store/sql/lock_dead_worker.sql", passed as &[WorkerId])
        .fetch_optional(&mut **tx)
        .await?;
    Ok(id.map(WorkerId))
}
