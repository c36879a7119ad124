//! The end of a task by an operator, from reading the rows to writing the decision.

use super::ending::{self, ByTask};
use crate::decide::{Jitter, decide};
use crate::decision::{Decisions, Observation, View};
use crate::error::Error;
use crate::ids::TaskId;
use crate::retry_policy::RetryPolicy;
use crate::store::Transaction;

/// Decides and writes what follows for a task and its steps; the caller commits.
///
/// # Errors
/// [`Error::UnknownTask`], [`Error::Transition`] when it has ended already.
pub(crate) async fn cancel(
    tx: &mut impl Transaction,
    task: TaskId,
    actor: &str,
    reason: Option<&str>,
) -> Result<Decisions, Error> {
    let rows = tx.lock_tasks(&[task]).await?;
    let row = rows.first().ok_or(Error::UnknownTask { task })?;
    let open = tx.read_open_steps(task).await?;
    let now = open.first().map_or(row.now, |step| step.now);
    let mut view = View::default();
    view.tasks.insert(task, row.task);
    let policy = RetryPolicy::default();
    view.steps.extend(open.iter().map(|step| (step.id, ending::step(step, policy))));
    let observation =
        Observation::CancelRequested { actor: actor.to_owned(), reason: reason.map(str::to_owned) };
    let decisions =
        decide(&view, observation, now, Jitter::at(now)).map_err(ending::transition_of(&rows))?;
    Ok(ending::write(tx, decisions, &ByTask::new(), &[]).await?.decisions)
}
