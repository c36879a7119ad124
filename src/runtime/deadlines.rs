//! Ends the tasks, and the steps, whose deadline has passed.

use tracing::info;

use super::ending::{ByTask, load_templates};
use super::growth;
use super::orchestrator::failure;
use super::recorded;
use super::shared::Shared;
use super::steering::decide_and_write;
use crate::decision::{FailureKind, Observation, Timestamp};
use crate::error::Error;
use crate::ids::{StepId, TaskId};
use crate::store::{Database, Transaction};

/// What came of looking for a task, or a step, that is late.
enum Late {
    /// It has ended; or attempts of it have that had recorded so, and it is to be looked at again.
    Ended,
    /// Somebody else holds its row.
    Held(TaskId),
    NoneLeft,
}

/// Ends every task and every step that is late, each in a transaction of its own. What somebody holds is left to the next
/// time.
pub(super) async fn enforce<D: Database>(shared: &Shared<D>) -> Result<(), Error> {
    let mut held = Vec::new();
    loop {
        match shared.answer(end_one(shared, &held)).await?? {
            Late::Ended => {}
            Late::Held(task) => held.push(task),
            Late::NoneLeft => break,
        }
    }
    loop {
        match shared.answer(end_one_step(shared, &held)).await?? {
            Late::Ended => {}
            Late::Held(task) => held.push(task),
            Late::NoneLeft => return Ok(()),
        }
    }
}

/// The transaction, once it holds the task; or what came of that.
async fn hold<D: Database>(
    shared: &Shared<D>,
    mut tx: D::Tx,
    task: TaskId,
) -> Result<Result<D::Tx, Late>, Error> {
    if tx.try_lock_tasks(&[task]).await?.is_empty() {
        return Ok(Err(Late::Held(task)));
    }
    let Some(settled) = recorded::settle(&mut tx, &shared.templates, task).await? else {
        return Ok(Ok(tx));
    };
    shared.events.commit(tx, &settled).await?;
    shared.leave(&settled);
    Ok(Err(Late::Ended))
}

async fn end_one_step<D: Database>(shared: &Shared<D>, held: &[TaskId]) -> Result<Late, Error> {
    let mut tx = shared.database.begin().await?;
    let Some((step, deadline)) = tx.lock_late_step(held).await? else {
        return Ok(Late::NoneLeft);
    };
    match hold(shared, tx, step.task()).await? {
        Ok(tx) => end_step(shared, tx, step, deadline).await.map(|()| Late::Ended),
        Err(late) => Ok(late),
    }
}

/// Ends a step whose task this transaction holds, unless it has ended.
async fn end_step<D: Database>(
    shared: &Shared<D>,
    mut tx: D::Tx,
    step: StepId,
    deadline: Timestamp,
) -> Result<(), Error> {
    tx.forget_step_deadlines(&[step]).await?;
    let rows = tx.lock_tasks(&[step.task()]).await?;
    let Some(row) = rows.into_iter().find(|row| !row.task.state.is_terminal()) else {
        return Ok(tx.commit().await?);
    };
    let stored = shared.templates.get_within(&mut tx, row.template).await?;
    let prototypes = growth::prototypes_of(&mut tx, step, &stored).await?;
    let by_task = ByTask::from([(step.task(), stored)]);
    let limit = growth::total_timeout(&by_task, &prototypes, step).unwrap_or_default();
    let limit = limit.as_secs_f64();
    let message = format!("the step did not end within {limit} s in all its attempts");
    let steps = tx.lock_steps(&[step]).await?;
    let failure = failure(FailureKind::Timeout, "Timeout", message);
    let observation = Observation::StepLate { step, deadline, failure };
    let decisions = decide_and_write(&mut tx, row, &steps, &observation, &by_task).await?;
    shared.events.commit(tx, &decisions).await?;
    shared.leave(&decisions);
    info!(step_id = step.0, %deadline, "ended a step whose attempts take too long");
    Ok(())
}

async fn end_one<D: Database>(shared: &Shared<D>, held: &[TaskId]) -> Result<Late, Error> {
    let mut tx = shared.database.begin().await?;
    let Some((task, deadline)) = tx.lock_late_task(held).await? else {
        return Ok(Late::NoneLeft);
    };
    match hold(shared, tx, task).await? {
        Ok(tx) => end(shared, tx, task, deadline).await.map(|()| Late::Ended),
        Err(late) => Ok(late),
    }
}

/// Ends a task that this transaction holds, unless it has ended.
async fn end<D: Database>(
    shared: &Shared<D>,
    mut tx: D::Tx,
    task: TaskId,
    deadline: Timestamp,
) -> Result<(), Error> {
    tx.forget_deadline(task).await?;
    let rows = tx.lock_tasks(&[task]).await?;
    let Some(row) = rows.into_iter().find(|row| !row.task.state.is_terminal()) else {
        return Ok(tx.commit().await?);
    };
    let steps = tx.read_open_steps(task).await?;
    let observation = Observation::DeadlinePassed(deadline);
    let by_task = load_templates(&mut tx, &shared.templates, &[row]).await?;
    let decisions = decide_and_write(&mut tx, row, &steps, &observation, &by_task).await?;
    shared.events.commit(tx, &decisions).await?;
    shared.leave(&decisions);
    info!(task_id = task.0, %deadline, "ended a task whose deadline has passed");
    Ok(())
}
