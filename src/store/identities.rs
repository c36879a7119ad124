//! Identities: by what a task is found that is submitted again.

use super::{StoreError, Tx};
use crate::identity::Identity;
use crate::ids::TaskId;
use crate::state::TaskState;

/// The task of the identity, if there is one.
pub(super) async fn find(
    tx: &mut Tx,
    identity: &Identity,
) -> Result<Option<(TaskId, TaskState)>, StoreError> {
    let mut digests = tx.keys.digests(identity.fingerprint());
    // What was recorded before there were keys.
    digests.push(identity.fingerprint().to_vec());
    let found =
        sqlx::query_file!("src/store/sql/find_identity.sql", &digests).fetch_one(&mut **tx).await?;
    Ok(found.task_id.zip(found.state))
}

/// Gives the identity to a task, for so many seconds or for as long as there is the task. False when it is another
/// task's already; the transaction must be rolled back then.
pub(super) async fn record(
    tx: &mut Tx,
    identity: &Identity,
    task: TaskId,
    seconds: Option<f64>,
) -> Result<bool, StoreError> {
    let digests = tx.keys.digests(identity.fingerprint());
    let written = sqlx::query_file!("src/store/sql/record_identity.sql", &digests, task.0, seconds)
        .execute(&mut **tx)
        .await?
        .rows_affected();
    Ok(usize::try_from(written).is_ok_and(|written| written == digests.len()))
}
