//! Tasks that take over what other tasks have done, and keys by which several tasks are found.

use sqlx::PgExecutor;

use super::{StoreError, Tx};
use crate::encryption::{Content, Text};
use crate::ids::{StepId, TaskId, TemplateId};
use crate::state::StepState;

/// A task that is to be forked, locked.
#[derive(Debug)]
pub(crate) struct ForkSource {
    pub(crate) template: TemplateId,
    pub(crate) priority: i16,
    pub(crate) context: Text,
    pub(crate) tags: Option<String>,
}

/// A step that has ended well, or was skipped.
#[derive(Debug)]
pub(crate) struct EndedStepRow {
    pub(crate) id: StepId,
    pub(crate) state: StepState,
    pub(crate) results: Option<Text>,
}

/// Where a task comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewFork<'a> {
    pub(crate) task: TaskId,
    pub(crate) forked_from: TaskId,
    /// The names of steps, a JSON array.
    pub(crate) from_steps: &'a str,
    pub(crate) actor: &'a str,
    pub(crate) reason: Option<&'a str>,
}

/// Locks a task, and reads what its fork gets of it.
pub(super) async fn source(tx: &mut Tx, task: TaskId) -> Result<Option<ForkSource>, StoreError> {
    let row = sqlx::query_file!("src/store/sql/fork_source.sql", task.0)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.map(|row| ForkSource {
        template: TemplateId(row.named_task_id),
        priority: row.priority,
        context: tx.keys.open(Content::Context, row.context),
        tags: row.tags,
    }))
}

/// The steps of a task that are complete, resolved or skipped.
pub(super) async fn ended_steps(
    tx: &mut Tx,
    task: TaskId,
) -> Result<Vec<EndedStepRow>, StoreError> {
    let rows =
        sqlx::query_file!("src/store/sql/ended_steps.sql", task.0).fetch_all(&mut **tx).await?;
    let open = |results| tx.keys.open(Content::Results, results);
    Ok(rows
        .into_iter()
        .map(|row| EndedStepRow {
            id: StepId(row.workflow_step_id),
            state: row.state,
            results: row.results.map(open),
        })
        .collect())
}

/// Writes where a task comes from.
pub(super) async fn record(tx: &mut Tx, new: NewFork<'_>) -> Result<(), StoreError> {
    sqlx::query_file!(
        "src/store/sql/record_fork.sql",
        new.task.0,
        new.forked_from.0,
        new.from_steps,
        new.actor,
        new.reason
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets the tasks be found by a key.
pub(super) async fn correlate(tx: &mut Tx, tasks: &[TaskId], key: &str) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/record_correlations.sql", tasks as &[TaskId], key)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Tasks with a key that have not ended, after one of them, in the order of their ids.
pub(super) async fn correlated(
    connection: impl PgExecutor<'_>,
    key: &str,
    after: TaskId,
    limit: i64,
) -> Result<Vec<TaskId>, StoreError> {
    Ok(sqlx::query_file_scalar!("src/store/sql/correlated_tasks.sql", key, after.0, limit)
        .fetch_all(connection)
        .await?)
}
