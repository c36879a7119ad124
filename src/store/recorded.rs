//! How attempts ended whose handlers ran in transactions of the application's: recorded by these, until the claims are ended.

use super::{Store, StoreError, Tx, count, int};
use crate::decision::Claim;
use crate::encryption::{Content, Text};
use crate::ids::{StepId, TaskId, WorkerId};

/// The end of an attempt as its transaction recorded it.
#[derive(Clone, Debug)]
pub(crate) struct RecordedEnd {
    pub(crate) claim: Claim,
    /// JSON text.
    pub(crate) outcome: Text,
}

/// What these attempts have recorded, where they did; it is recorded no more.
pub(super) async fn take(tx: &mut Tx, claims: &[Claim]) -> Result<Vec<RecordedEnd>, StoreError> {
    let steps: Vec<_> = claims.iter().map(|claim| claim.step).collect();
    let attempts: Vec<_> = claims.iter().map(|claim| int(claim.attempt)).collect();
    let workers: Vec<_> = claims.iter().map(|claim| claim.worker.0).collect();
    let rows = sqlx::query_file!(
        "src/store/sql/take_recorded_ends.sql",
        &steps as &[StepId],
        &attempts,
        &workers
    )
    .fetch_all(&mut **tx)
    .await?;
    let claim = |step, attempt, worker| Claim { step, attempt: count(attempt), worker };
    Ok(rows
        .into_iter()
        .map(|row| RecordedEnd {
            claim: claim(row.step, row.attempt, row.worker),
            outcome: tx.keys.open(Content::End, row.outcome),
        })
        .collect())
}

/// The attempts of a task that have recorded how they ended.
pub(super) async fn of_task(tx: &mut Tx, task: TaskId) -> Result<Vec<Claim>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/recorded_ends_of.sql", task.0)
        .fetch_all(&mut **tx)
        .await?;
    let claim = |step, attempt, worker| Claim { step, attempt: count(attempt), worker };
    Ok(rows.into_iter().map(|row| claim(row.step, row.attempt, row.worker)).collect())
}

impl Store {
    /// What tells the engine's tables from those of any other database, and search_path.
    pub(crate) async fn identity(&self) -> Result<String, StoreError> {
        let row =
            sqlx::query_file!("src/store/sql/database_identity.sql").fetch_one(&self.pool).await?;
        Ok(row.identity)
    }
}
