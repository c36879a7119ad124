//! Another try for steps of a task that failed for good or are blocked, from reading the rows to writing the
//! decision.

use super::ending::{self, ByTask};
use super::templates::Templates;
use super::worker::no_such_step;
use crate::decide::{Jitter, decide};
use crate::decision::{Decisions, Observation, View};
use crate::error::Error;
use crate::ids::TaskId;
use crate::store::Transaction;

/// Decides and writes what follows for one step, or for all of the task that failed; the caller commits.
///
/// # Errors
/// [`Error::UnknownTask`], [`Error::Argument`] for a step that there is not, [`Error::Transition`] where there is
/// nothing to try again.
pub(crate) async fn retry(
    tx: &mut impl Transaction,
    templates: &Templates,
    task: TaskId,
    step: Option<&str>,
    actor: &str,
    reason: Option<&str>,
) -> Result<Decisions, Error> {
    let rows = tx.lock_tasks(&[task]).await?;
    let row = *rows.first().ok_or(Error::UnknownTask { task })?;
    let stored = templates.get_within(tx, row.template).await?;
    let steps = match step {
        None => tx.read_failed_steps(task).await?,
        Some(name) => {
            let template = &stored.template;
            let index = template.step_index(name).ok_or_else(|| no_such_step(template, name))?;
            let read = tx.read_ended_steps(&[task.step(index)], &[]).await?;
            read.into_iter().map(|row| row.step).collect()
        }
    };
    let mut view = View::default();
    view.tasks.insert(task, row.task);
    let step = |row| ending::step(row, stored.policy(row.id));
    view.steps.extend(steps.iter().map(|row| (row.id, step(row))));
    let observation =
        Observation::RetryRequested { actor: actor.to_owned(), reason: reason.map(str::to_owned) };
    let decisions = decide(&view, observation, row.now, Jitter::at(row.now))
        .map_err(ending::transition_of(&rows))?;
    let by_task = ByTask::from([(task, stored)]);
    Ok(ending::write(tx, decisions, &by_task, &[]).await?.decisions)
}
