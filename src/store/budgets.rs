//! What tasks may use up.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::{StoreError, Tx, count, int};
use crate::budget::{Budget, Constraint, Cost, Limits};
use crate::ids::{StepId, TaskId};

pub(super) fn big(cost: Cost) -> i64 {
    i64::try_from(cost.millionths()).unwrap_or(i64::MAX)
}

fn cost(millionths: i64) -> Cost {
    Cost::from_millionths(millionths.unsigned_abs())
}

/// Gives new tasks a budget.
pub(super) async fn record(
    tx: &mut Tx,
    tasks: &[TaskId],
    limits: Limits,
) -> Result<(), StoreError> {
    sqlx::query_file!(
        "src/store/sql/record_budgets.sql",
        tasks as &[TaskId],
        limits.attempts.map(|most| int(most.get())),
        limits.cost.map(big)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The budgets of those of the tasks that have one.
pub(super) async fn read(
    tx: &mut Tx,
    tasks: &[TaskId],
) -> Result<Vec<(TaskId, Budget)>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/read_budgets.sql", tasks as &[TaskId])
        .fetch_all(&mut **tx)
        .await?;
    let budgets = rows.into_iter().map(|row| {
        let limits = Limits {
            attempts: row.max_attempts.and_then(|most| NonZeroU32::new(count(most))),
            cost: row.max_cost.map(cost),
        };
        let exhausted = row.exhausted.map(|limit| match limit.as_str() {
            "attempts" => Constraint::Attempts,
            _ => Constraint::Cost,
        });
        let budget = Budget {
            limits,
            attempts: count(row.attempts),
            spent: cost(row.spent),
            reserved: cost(row.reserved),
            exhausted,
        };
        (row.task_id, budget)
    });
    Ok(budgets.collect())
}

/// Writes budgets that have changed.
pub(super) async fn write(tx: &mut Tx, budgets: &[(TaskId, Budget)]) -> Result<(), StoreError> {
    let ids: Vec<_> = budgets.iter().map(|(task, _)| *task).collect();
    let all = || budgets.iter().map(|(_, budget)| budget);
    let max_attempts: Vec<_> =
        all().map(|budget| budget.limits.attempts.map(|most| int(most.get()))).collect();
    let max_cost: Vec<_> = all().map(|budget| budget.limits.cost.map(big)).collect();
    let attempts: Vec<_> = all().map(|budget| int(budget.attempts)).collect();
    let spent: Vec<_> = all().map(|budget| big(budget.spent)).collect();
    let reserved: Vec<_> = all().map(|budget| big(budget.reserved)).collect();
    let exhausted: Vec<_> = all().map(|budget| budget.exhausted.map(Constraint::as_str)).collect();
    sqlx::query_file!(
        "src/store/sql/write_budgets.sql",
        &ids as &[TaskId],
        &max_attempts as &[Option<i32>],
        &max_cost as &[Option<i64>],
        &attempts,
        &spent,
        &reserved,
        &exhausted as &[Option<&str>]
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Has steps wait for so many seconds that could be claimed.
pub(super) async fn postpone(
    tx: &mut Tx,
    steps: &[StepId],
    seconds: f64,
) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/postpone_ready_steps.sql", steps as &[StepId], seconds)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Has so many postponed steps of each task be claimable at once. Returns their queues.
pub(super) async fn resume(
    tx: &mut Tx,
    freed: &BTreeMap<TaskId, u32>,
) -> Result<Vec<String>, StoreError> {
    let tasks: Vec<_> = freed.keys().copied().collect();
    let steps: Vec<_> = freed.values().copied().map(int).collect();
    Ok(sqlx::query_file_scalar!(
        "src/store/sql/resume_postponed_steps.sql",
        &tasks as &[TaskId],
        &steps
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// The steps of a task that its budget kept from being started.
pub(super) async fn kept_back(tx: &mut Tx, task: TaskId) -> Result<Vec<StepId>, StoreError> {
    Ok(sqlx::query_file_scalar!("src/store/sql/steps_out_of_budget.sql", task.0)
        .fetch_all(&mut **tx)
        .await?)
}
