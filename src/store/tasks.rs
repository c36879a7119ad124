//! Tasks: written whole, locked before anything of theirs changes, read for people.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Store, StoreError, Tx, count, int};
use crate::decision::{Task, Timestamp};
use crate::encryption::{Content, Keyring, NoRandomness, Text};
use crate::ids::{StepId, TaskId, TemplateId};
use crate::state::{StepState, TaskState};

/// A locked task and its template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskRow {
    pub(crate) task: Task,
    pub(crate) template: TemplateId,
    /// How many steps it has.
    pub(crate) total_steps: u32,
    pub(crate) has_budget: bool,
    /// It had a deadline when it was made.
    pub(crate) has_deadline: bool,
    /// The database's clock when the row was asked for.
    pub(crate) now: Timestamp,
}

/// Tasks of one template that are to be written, as columns.
#[derive(Debug, Default)]
pub(crate) struct NewTasks<'a> {
    pub(crate) template: i32,
    pub(crate) initiator: Option<&'a str>,
    pub(crate) source_system: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) tags: Option<&'a str>,
    /// The step that runs them.
    pub(crate) parent_step: Option<StepId>,
    pub(crate) step_indexes: Vec<i32>,
    pub(crate) named_step_ids: Vec<i32>,
    pub(crate) states: Vec<StepState>,
    pub(crate) open_parents: Vec<i32>,
    pub(crate) edges_from: Vec<i32>,
    pub(crate) edges_to: Vec<i32>,
    pub(crate) ready_indexes: Vec<i32>,
    pub(crate) ready_queues: Vec<String>,
    /// Seconds until each of them can be claimed; none where none is delayed.
    pub(crate) ready_delays_s: Vec<f64>,
    pub(crate) has_budget: bool,
    pub(crate) has_deadline: bool,
    pub(crate) priority: i16,
}

impl NewTasks<'_> {
    /// How many steps each task has, and how many of them can be claimed at once.
    pub(super) fn planned(&self) -> (i32, i32) {
        let counted = |steps: &[i32]| int(u32::try_from(steps.len()).unwrap_or(u32::MAX));
        (counted(&self.step_indexes), counted(&self.ready_indexes))
    }
}

/// What a worker needs of a task to execute its steps.
#[derive(Clone, Debug)]
pub(crate) struct TaskContextRow {
    pub(crate) task: TaskId,
    pub(crate) template: TemplateId,
    pub(crate) context: Text,
}

/// Which tasks to list, newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskFilter {
    pub(crate) task: Option<TaskId>,
    pub(crate) state: Option<TaskState>,
    pub(crate) name: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) tags: Option<String>,
    pub(crate) unfinished: bool,
    pub(crate) requested_before: Option<DateTime<Utc>>,
    pub(crate) before: Option<TaskId>,
    pub(crate) limit: i64,
}

/// A task as people ask for it.
#[derive(Debug)]
pub(crate) struct TaskListRow {
    pub(crate) task_id: i64,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) state: TaskState,
    pub(crate) priority: i16,
    pub(crate) total_steps: i32,
    pub(crate) requested_at: DateTime<Utc>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) deadline_at: Option<DateTime<Utc>>,
    /// JSON.
    pub(crate) budget: Option<String>,
    pub(crate) initiator: Option<String>,
    pub(crate) source_system: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) tags: Option<String>,
    pub(crate) forked_from: Option<String>,
    pub(crate) forks: String,
    pub(crate) retired_steps: i32,
    pub(crate) steps_by_state: String,
    pub(crate) attempts: i64,
}

macro_rules! task_row {
    ($row:expr) => {
        TaskRow {
            template: TemplateId($row.named_task_id),
            total_steps: count($row.total_steps),
            has_budget: $row.has_budget,
            has_deadline: $row.has_deadline,
            now: $row.now,
            task: Task {
                id: TaskId($row.task_id),
                state: $row.state,
                runnable: count($row.runnable_steps),
                waiting: count($row.waiting_steps),
                blocked: count($row.blocked_steps),
                failures: count($row.open_failures),
                is_child: $row.is_child,
                priority: $row.priority,
            },
        }
    };
}

/// Locks the tasks, in the order of their ids, waiting for each.
pub(super) async fn lock(tx: &mut Tx, ids: &[TaskId]) -> Result<Vec<TaskRow>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/lock_tasks.sql", ids as &[TaskId])
        .fetch_all(&mut **tx)
        .await?;
    Ok(rows.into_iter().map(|row| task_row!(row)).collect())
}

/// Locks those of the tasks that nobody holds, and reads their contexts.
pub(super) async fn lock_free(
    tx: &mut Tx,
    ids: &[TaskId],
) -> Result<Vec<(TaskRow, Text)>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/lock_free_tasks.sql", ids as &[TaskId])
        .fetch_all(&mut **tx)
        .await?;
    let keys = &tx.keys;
    Ok(rows
        .into_iter()
        .map(|row| (task_row!(row), keys.open(Content::Context, row.context)))
        .collect())
}

/// Locks those of the tasks that nobody holds. Those that are gone count among them.
pub(super) async fn try_lock(tx: &mut Tx, ids: &[TaskId]) -> Result<Vec<TaskId>, StoreError> {
    let locked = sqlx::query_file_scalar!("src/store/sql/try_lock_tasks.sql", ids as &[TaskId])
        .fetch_all(&mut **tx)
        .await?;
    Ok(locked.into_iter().map(TaskId).collect())
}

/// Writes one task for each context, with its steps and edges.
pub(super) async fn create(
    tx: &mut Tx,
    new: &NewTasks<'_>,
    contexts: &[String],
) -> Result<Vec<TaskId>, StoreError> {
    let (total, runnable) = new.planned();
    let contexts = sealed(&tx.keys, contexts)?;
    let ids = sqlx::query_file_scalar!(
        "src/store/sql/create_tasks.sql",
        new.template,
        total,
        runnable,
        new.initiator,
        new.source_system,
        new.reason,
        new.tags,
        &contexts as &[Cow<'_, str>],
        &new.step_indexes,
        &new.named_step_ids,
        new.states.as_slice() as &[StepState],
        &new.open_parents,
        &new.edges_from,
        &new.edges_to,
        &new.ready_indexes,
        &new.ready_queues,
        &new.ready_delays_s,
        new.parent_step as Option<StepId>,
        new.has_budget,
        new.has_deadline,
        new.priority,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// Contexts as they are written.
pub(super) fn sealed<'a>(
    keys: &Keyring,
    contexts: &'a [String],
) -> Result<Vec<Cow<'a, str>>, NoRandomness> {
    contexts.iter().map(|context| keys.seal(Content::Context, context)).collect()
}

pub(super) async fn contexts(
    connection: impl PgExecutor<'_>,
    keys: &Keyring,
    ids: &[TaskId],
) -> Result<Vec<TaskContextRow>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/task_contexts.sql", ids as &[TaskId])
        .fetch_all(connection)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| TaskContextRow {
            task: TaskId(row.task_id),
            template: TemplateId(row.named_task_id),
            context: keys.open(Content::Context, row.context),
        })
        .collect())
}

impl Store {
    pub(crate) async fn list_tasks(
        &self,
        filter: &TaskFilter,
    ) -> Result<Vec<TaskListRow>, StoreError> {
        Ok(sqlx::query_file_as!(
            TaskListRow,
            "src/store/sql/list_tasks.sql",
            filter.task as Option<TaskId>,
            filter.state as Option<TaskState>,
            filter.name.as_deref(),
            filter.namespace.as_deref(),
            filter.before.map_or(i64::MAX, |task| task.0),
            filter.limit,
            filter.version.as_deref(),
            filter.unfinished,
            filter.requested_before,
            filter.tags.as_deref(),
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
