//! Deadlines: by when tasks, and all attempts of steps together, have to have ended.

use super::{StoreError, Tx};
use crate::decision::Timestamp;
use crate::ids::{StepId, TaskId};

/// The time that all attempts of a step together may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepTime {
    pub(crate) step: StepId,
    pub(crate) seconds: f64,
    /// From when on; from now on when there is none.
    pub(crate) from: Option<Timestamp>,
}

/// Gives the tasks so many seconds from now.
pub(super) async fn record(tx: &mut Tx, tasks: &[TaskId], seconds: f64) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/record_deadlines.sql", tasks as &[TaskId], seconds)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Those of the tasks whose deadline has passed.
pub(super) async fn late(tx: &mut Tx, tasks: &[TaskId]) -> Result<Vec<TaskId>, StoreError> {
    let late = sqlx::query_file_scalar!("src/store/sql/late_tasks.sql", tasks as &[TaskId])
        .fetch_all(&mut **tx)
        .await?;
    Ok(late.into_iter().map(TaskId).collect())
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

/// Gives steps their time.
pub(super) async fn record_steps(tx: &mut Tx, times: &[StepTime]) -> Result<(), StoreError> {
    let steps: Vec<_> = times.iter().map(|time| time.step).collect();
    let seconds: Vec<_> = times.iter().map(|time| time.seconds).collect();
    let from: Vec<_> = times.iter().map(|time| time.from).collect();
    sqlx::query_file!(
        "src/store/sql/record_step_deadlines.sql",
        &steps as &[StepId],
        &seconds,
        &from as &[Option<Timestamp>]
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes the deadlines of steps.
pub(super) async fn forget_steps(tx: &mut Tx, steps: &[StepId]) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/forget_step_deadlines.sql", steps as &[StepId])
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The deadlines of those of the steps that have one.
pub(super) async fn of_steps(
    tx: &mut Tx,
    steps: &[StepId],
) -> Result<Vec<(StepId, Timestamp)>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/step_deadlines.sql", steps as &[StepId])
        .fetch_all(&mut **tx)
        .await?;
    Ok(rows.into_iter().map(|row| (row.workflow_step_id, row.deadline_at)).collect())
}

/// Locks the deadline of a step that has passed, that no other worker holds and that is of none of the `held` tasks.
pub(super) async fn lock_late_step(
    tx: &mut Tx,
    held: &[TaskId],
) -> Result<Option<(StepId, Timestamp)>, StoreError> {
    let row = sqlx::query_file!("src/store/sql/lock_late_step.sql", held as &[TaskId])
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.map(|row| (row.workflow_step_id, row.deadline_at)))
}

/// Deletes the deadline of a task if it has passed.
pub(super) async fn forget_past(tx: &mut Tx, task: TaskId) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/forget_past_deadline.sql", task.0).execute(&mut **tx).await?;
    Ok(())
}
