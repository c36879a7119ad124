//! Deadlines: by when tasks have to have ended.

use super::{StoreError, Tx};
use crate::decision::Timestamp;
use crate::ids::TaskId;

/// Gives the tasks so many seconds from now.
pub(super) async fn record(tx: &mut Tx, tasks: &[TaskId], seconds: f64) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/record_deadlines.sql", tasks as &[TaskId], seconds)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Locks a deadline that has passed, that no other worker holds and that is of none of the `held` tasks.
pub(super) async fn lock_late(
    tx: &mut Tx,
    held: &[TaskId],
) -> Result<Option<(TaskId, Timestamp)>, StoreError> {
    let row = sqlx::query_file!("src/store/sql/lock_late_task.sql", held as &[TaskId])
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.map(|row| (row.task_id, row.deadline_at)))
}

/// Deletes the deadline of a task.
pub(super) async fn forget(tx: &mut Tx, task: TaskId) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/forget_deadline.sql", task.0).execute(&mut **tx).await?;
    Ok(())
}
