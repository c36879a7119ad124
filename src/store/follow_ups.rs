//! What ends of tasks leave to be done, the tasks that steps run, and those that undo others.

use super::{Store, StoreError, Tx, int};
use crate::ids::{FollowUpId, SignalId, StepId, TaskId, TemplateId};
use crate::state::{FollowUpKind, TaskState};
use sqlx::PgExecutor;

/// Something that the end of a task leaves to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FollowUp {
    pub(crate) id: FollowUpId,
    pub(crate) task: TaskId,
    pub(crate) kind: FollowUpKind,
}

/// The step that runs a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParentRow {
    pub(crate) step: StepId,
    /// By which name it does.
    pub(crate) name: String,
    /// How many tasks lie above.
    pub(crate) depth: u32,
}

/// The task that a step runs by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChildTaskRow {
    pub(crate) task: TaskId,
    pub(crate) template: TemplateId,
    pub(crate) state: TaskState,
    /// Which of those that were made for this name, from 1.
    pub(crate) generation: u32,
    /// Its undoing has begun.
    pub(crate) undone: bool,
    /// An operator has had the step executed anew since it was made.
    pub(crate) superseded: bool,
    /// An operator had the step tried again after the task's last change.
    pub(crate) retried: bool,
}

/// A task that is made for a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewChild<'a> {
    pub(crate) task: TaskId,
    pub(crate) step: StepId,
    pub(crate) name: &'a str,
    pub(crate) generation: u32,
    pub(crate) depth: u32,
    /// It goes on when nobody waits for it any more.
    pub(crate) left_alone: bool,
}

/// A task that undoes another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OriginalRow {
    pub(crate) task: TaskId,
    pub(crate) original: TaskId,
    pub(crate) template: TemplateId,
}

/// What a task has to do with another one.
#[derive(Clone, Debug)]
pub(crate) struct KinRow {
    pub(crate) of: TaskId,
    /// `parent`, `child`, `compensates`, `compensated_by`.
    pub(crate) kin: String,
    pub(crate) task: TaskId,
    pub(crate) call: Option<String>,
    /// The step that runs the other one, or is run by it.
    pub(crate) step: Option<StepId>,
    pub(crate) step_name: Option<String>,
    pub(crate) state: TaskState,
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Writes what ends of tasks leave to be done.
pub(super) async fn record(
    tx: &mut Tx,
    follow_ups: &[(TaskId, FollowUpKind)],
) -> Result<(), StoreError> {
    let (tasks, kinds): (Vec<_>, Vec<_>) = follow_ups.iter().copied().unzip();
    sqlx::query_file!(
        "src/store/sql/record_follow_ups.sql",
        &tasks as &[TaskId],
        &kinds as &[FollowUpKind]
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Has the tasks cancelled that these steps run. Returns how many.
pub(super) async fn cancel_children(tx: &mut Tx, steps: &[StepId]) -> Result<u64, StoreError> {
    let written = sqlx::query_file!("src/store/sql/cancel_children.sql", steps as &[StepId])
        .execute(&mut **tx)
        .await?;
    Ok(written.rows_affected())
}

/// Locks the first that is left to be done after this one, and that nobody else does.
pub(super) async fn lock_next(
    tx: &mut Tx,
    after: Option<FollowUpId>,
) -> Result<Option<FollowUp>, StoreError> {
    let after = after.map_or(0, |id| id.0);
    Ok(sqlx::query_file_as!(FollowUp, "src/store/sql/lock_follow_up.sql", after)
        .fetch_optional(&mut **tx)
        .await?)
}

pub(super) async fn delete(tx: &mut Tx, id: FollowUpId) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/delete_follow_up.sql", id.0).execute(&mut **tx).await?;
    Ok(())
}

/// The step that runs a task.
pub(super) async fn parent(tx: &mut Tx, task: TaskId) -> Result<Option<ParentRow>, StoreError> {
    let row = sqlx::query_file!("src/store/sql/parent_of_task.sql", task.0)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.map(|row| ParentRow { step: row.step, name: row.name, depth: super::count(row.depth) }))
}

/// The last task that was made for a step by a name.
pub(super) async fn child(
    tx: &mut Tx,
    step: StepId,
    name: &str,
) -> Result<Option<ChildTaskRow>, StoreError> {
    let row = sqlx::query_file!("src/store/sql/find_child.sql", step.0, name)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.map(|row| ChildTaskRow {
        task: row.task,
        template: TemplateId(row.named_task_id),
        state: row.state,
        generation: super::count(row.generation),
        undone: row.undone,
        superseded: row.superseded,
        retried: row.retried,
    }))
}

/// Those that were made for the steps are not found any more.
pub(super) async fn supersede(tx: &mut Tx, steps: &[StepId]) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/supersede_children.sql", steps as &[StepId])
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) async fn record_child(tx: &mut Tx, new: NewChild<'_>) -> Result<(), StoreError> {
    sqlx::query_file!(
        "src/store/sql/record_child.sql",
        new.task.0,
        new.step.0,
        new.name,
        int(new.generation),
        int(new.depth),
        new.left_alone
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The last signal of a name; 0 where there is none.
pub(super) async fn last_signal(
    tx: &mut Tx,
    task: TaskId,
    name: &str,
) -> Result<SignalId, StoreError> {
    Ok(sqlx::query_file_scalar!("src/store/sql/last_signal.sql", task.0, name)
        .fetch_one(&mut **tx)
        .await?)
}

/// The task that undoes another one.
pub(super) async fn compensation(
    tx: &mut Tx,
    original: TaskId,
) -> Result<Option<TaskId>, StoreError> {
    Ok(sqlx::query_file_scalar!("src/store/sql/compensation_of.sql", original.0)
        .fetch_optional(&mut **tx)
        .await?)
}

pub(super) async fn record_compensation(
    tx: &mut Tx,
    original: TaskId,
    task: TaskId,
) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/record_compensation.sql", original.0, task.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What those of the tasks undo that undo others.
pub(super) async fn originals(
    connection: impl PgExecutor<'_>,
    tasks: &[TaskId],
) -> Result<Vec<OriginalRow>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/originals.sql", tasks as &[TaskId])
        .fetch_all(connection)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| OriginalRow {
            task: row.task,
            original: row.original,
            template: TemplateId(row.named_task_id),
        })
        .collect())
}

impl Store {
    /// What tasks have to do with others.
    pub(crate) async fn kin(&self, tasks: &[TaskId]) -> Result<Vec<KinRow>, StoreError> {
        Ok(sqlx::query_file_as!(KinRow, "src/store/sql/kin_of_tasks.sql", tasks as &[TaskId])
            .fetch_all(&self.pool)
            .await?)
    }
}
