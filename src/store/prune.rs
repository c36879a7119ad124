//! Deleting tasks that ended long ago, a bounded number of rows at a time: first the tasks themselves, which
//! nobody sees from then on, then their rows, table by table.

use super::{StoreError, Tx};
use crate::ids::{StepId, TaskId};

/// Guards pruners against one another: "tasker" on a telephone's keys, and 2.
const PRUNING_LOCK: i64 = 8_275_372;

/// How long tasks and workers are kept after their end, in seconds; `None` keeps them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Retention {
    /// Complete, cancelled and resolved tasks.
    pub(crate) finished_s: Option<f64>,
    /// Tasks in error.
    pub(crate) failed_s: Option<f64>,
}

/// A stretch of tasks that was looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// Tasks that were deleted.
    pub(crate) tasks: i64,
    /// Steps that they had.
    pub(crate) steps: i64,
    /// The last task looked at.
    pub(crate) last_seen: Option<TaskId>,
    /// The first task that stays.
    pub(crate) first_kept: Option<TaskId>,
    /// No later task is old enough.
    pub(crate) ended: bool,
}

/// Rows of one table that were deleted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    /// How many.
    pub(crate) rows: i64,
    /// The id of the last one's task or step.
    pub(crate) last: Option<i64>,
}

/// The tables that hold rows of a task beside the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowsOf {
    Edges,
    Artifacts,
    StepTransitions,
    Steps,
    TaskTransitions,
    Waits,
    Signals,
    AddedSteps,
    ParentCounts,
}

impl RowsOf {
    /// The order in which they are deleted.
    pub(crate) const ALL: [Self; 9] = [
        Self::Edges,
        Self::Artifacts,
        Self::StepTransitions,
        Self::Steps,
        Self::TaskTransitions,
        Self::Waits,
        Self::Signals,
        Self::AddedSteps,
        Self::ParentCounts,
    ];

    /// The task of a row with this id.
    fn task(self, id: i64) -> TaskId {
        match self {
            Self::Edges
            | Self::Artifacts
            | Self::StepTransitions
            | Self::Steps
            | Self::Waits
            | Self::AddedSteps
            | Self::ParentCounts => StepId(id).task(),
            Self::TaskTransitions | Self::Signals => TaskId(id),
        }
    }
}

/// Begins to prune; false when somebody else does.
pub(crate) async fn begin(tx: &mut Tx) -> Result<bool, StoreError> {
    let row = sqlx::query_file!("src/store/sql/begin_pruning.sql", PRUNING_LOCK)
        .fetch_one(&mut **tx)
        .await?;
    Ok(row.alone)
}

/// Deletes those of `limit` tasks from `from` on that are old enough.
pub(crate) async fn tasks(
    tx: &mut Tx,
    retention: Retention,
    from: TaskId,
    limit: i64,
) -> Result<Stretch, StoreError> {
    let row = sqlx::query_file!(
        "src/store/sql/prune_tasks.sql",
        from.0,
        limit,
        retention.finished_s,
        retention.failed_s
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(Stretch {
        tasks: row.tasks,
        steps: row.steps,
        last_seen: row.last_seen.map(TaskId),
        first_kept: row.first_kept.map(TaskId),
        ended: row.ended,
    })
}

/// Tasks after `after` that were deleted and still have rows, in the order of their ids.
pub(crate) async fn left_over(
    tx: &mut Tx,
    after: TaskId,
    limit: i64,
) -> Result<Vec<TaskId>, StoreError> {
    Ok(sqlx::query_file_scalar!("src/store/sql/pruned_tasks.sql", after.0, limit)
        .fetch_all(&mut **tx)
        .await?)
}

/// Deletes at most `limit` rows of the tasks, given in order, from the id `from` on.
pub(crate) async fn rows(
    tx: &mut Tx,
    table: RowsOf,
    tasks: &[TaskId],
    from: i64,
    limit: i64,
) -> Result<Slice, StoreError> {
    // Tasks before that one are done with; each would cost a look into an index.
    let tasks = &tasks[tasks.partition_point(|task| *task < table.task(from))..];
    macro_rules! delete {
        ($file:literal) => {
            sqlx::query_file_as!(Slice, $file, tasks as &[TaskId], from, limit)
                .fetch_one(&mut **tx)
                .await?
        };
    }
    Ok(match table {
        RowsOf::Edges => delete!("src/store/sql/prune_edges.sql"),
        RowsOf::Artifacts => delete!("src/store/sql/prune_artifacts.sql"),
        RowsOf::StepTransitions => delete!("src/store/sql/prune_step_transitions.sql"),
        RowsOf::Steps => delete!("src/store/sql/prune_steps.sql"),
        RowsOf::TaskTransitions => delete!("src/store/sql/prune_task_transitions.sql"),
        RowsOf::Waits => delete!("src/store/sql/prune_waits.sql"),
        RowsOf::Signals => delete!("src/store/sql/prune_signals.sql"),
        RowsOf::AddedSteps => delete!("src/store/sql/prune_added_steps.sql"),
        RowsOf::ParentCounts => delete!("src/store/sql/prune_parent_counts.sql"),
    })
}

/// Nothing is left of the tasks.
pub(crate) async fn forget(tx: &mut Tx, tasks: &[TaskId]) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/forget_pruned_tasks.sql", tasks as &[TaskId])
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Deletes at most `limit` workers that ended more than `seconds` ago. Returns how many, and how many are alive.
pub(crate) async fn workers(
    tx: &mut Tx,
    seconds: f64,
    limit: i64,
) -> Result<(i64, i64), StoreError> {
    let row = sqlx::query_file!("src/store/sql/prune_workers.sql", seconds, limit)
        .fetch_one(&mut **tx)
        .await?;
    Ok((row.workers, row.alive))
}

/// Tasks that are old enough to be deleted, and their steps.
pub(crate) async fn count(tx: &mut Tx, retention: Retention) -> Result<(i64, i64), StoreError> {
    let row = sqlx::query_file!(
        "src/store/sql/count_prunable.sql",
        retention.finished_s,
        retention.failed_s
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok((row.tasks, row.steps))
}
