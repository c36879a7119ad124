//! Worker processes: registered, beating, ended.

use super::{Store, StoreError, Tx, int};
use crate::decision::Timestamp;
use crate::ids::WorkerId;
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

/// What a heartbeat brings back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat {
    /// The worker is still registered as alive.
    pub(crate) alive: bool,
    /// When the next step can be claimed; may lie in the past.
    pub(crate) next_available_at: Option<Timestamp>,
    pub(crate) now: Timestamp,
    /// Batches of claims that the database lists for the worker.
    pub(crate) claim_batches: i64,
    /// There is a worker to bury, or one that ended and still holds claims.
    pub(crate) somebody_died: bool,
}

impl Store {
    pub(crate) async fn register_worker(&self, new: &NewWorker) -> Result<WorkerId, StoreError> {
        let id = sqlx::query_file_scalar!(
            "src/store/sql/register_worker.sql",
            new.host,
            int(new.pid),
            int(new.concurrency),
            new.queues.as_deref(),
            int(new.dead_after_ms),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(WorkerId(id))
    }

    pub(crate) async fn beat(
        &self,
        worker: WorkerId,
        queues: &[String],
    ) -> Result<Beat, StoreError> {
        let row = sqlx::query_file!("src/store/sql/beat.sql", worker.0, queues)
            .fetch_one(&self.pool)
            .await?;
        Ok(Beat {
            alive: row.alive,
            next_available_at: row.next_available_at,
            now: row.now,
            claim_batches: row.claim_batches,
            somebody_died: row.somebody_died,
        })
    }

    pub(crate) async fn drain_worker(&self, worker: WorkerId) -> Result<(), StoreError> {
        sqlx::query_file!("src/store/sql/drain_worker.sql", worker.0).execute(&self.pool).await?;
        Ok(())
    }

    pub(crate) async fn stop_worker(&self, worker: WorkerId) -> Result<(), StoreError> {
        let stopped = WorkerState::Stopped;
        sqlx::query_file!("src/store/sql/end_worker.sql", worker.0, stopped as WorkerState)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn known_queues(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_file_scalar!("src/store/sql/known_queues.sql").fetch_all(&self.pool).await?)
    }
}

/// Locks one worker whose heartbeat ended and that no other rescuer holds.
pub(crate) async fn lock_dead(tx: &mut Tx) -> Result<Option<WorkerId>, StoreError> {
    let id = sqlx::query_file_scalar!("src/store/sql/lock_dead_worker.sql")
        .fetch_optional(&mut **tx)
        .await?;
    Ok(id.map(WorkerId))
}

/// Marks a worker as dead, after its claims were taken back.
pub(crate) async fn bury(tx: &mut Tx, worker: WorkerId) -> Result<(), StoreError> {
    let dead = WorkerState::Dead;
    sqlx::query_file!("src/store/sql/end_worker.sql", worker.0, dead as WorkerState)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
