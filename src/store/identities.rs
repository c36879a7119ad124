//! Identities: by what a task is found that is submitted again.

use super::{LONGEST_WAIT, StoreError, Tx};
use crate::encryption::Keyring;
use crate::identity::Identity;
use crate::ids::TaskId;
use crate::state::TaskState;

/// The task of the identity, if there is one.
pub(super) async fn find(
    tx: &mut Tx,
    identity: &Identity,
) -> Result<Option<(TaskId, TaskState)>, StoreError> {
    let digests = to_find(&tx.keys, identity);
    let found = sqlx::query_file!("src/store/sql/find_identity.sql", &digests, LONGEST_WAIT)
        .fetch_one(&mut **tx)
        .await?;
    Ok(found.task_id.zip(found.state))
}

/// By what an identity was recorded, with whatever keys.
pub(super) fn to_find(keys: &Keyring, identity: &Identity) -> Vec<Vec<u8>> {
    let mut digests = keys.digests(identity.fingerprint());
    // What was recorded before there were keys.
    digests.push(identity.fingerprint().to_vec());
    digests
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
