//! The decider: rows and an observation in, changes out. Pure: no clock, no I/O, no randomness but
//! what is passed in.

mod cancel;
mod claim;
mod draft;
mod readiness;
mod redrive;
mod rescue;
mod retry;
mod step;
mod task;

pub(crate) use readiness::initial_state;
pub use rescue::CRASH_LIMIT;
pub use retry::{Jitter, MAX_RETRY_AFTER};

use crate::decision::{Decisions, Observation, Timestamp, View};
use crate::state::InvalidTransition;
use draft::Draft;

/// Decides what follows from `observation`.
///
/// `view` must hold each observed step with its task, and for ended claims the step's children.
/// `now` is the database's clock; `jitter` spreads the delays of retries.
///
/// # Errors
/// [`InvalidTransition`] when the observation asks for a change that the machines do not allow,
/// such as cancelling a task that is complete. Nothing is decided then.
///
/// # Examples
/// ```
/// use chrono::DateTime;
/// use tasker_core::{decide, Jitter, Observation, RetryPolicy, Step, StepId, StepState};
/// use tasker_core::{Task, TaskId, TaskState, View, WorkerId};
///
/// let (task, step) = (TaskId(1), TaskId(1).step(0));
/// let mut view = View::default();
/// view.tasks.insert(task, Task { id: task, state: TaskState::Pending, runnable: 1, waiting: 0, blocked: 0, failed: 0 });
/// view.steps.insert(step, Step {
///     id: step, state: StepState::Enqueued, open_parents: 0, attempts: 0, failures: 0, crashes: 0,
///     worker: None, policy: RetryPolicy::default(),
/// });
/// let seen = Observation::StepsClaimed { worker: WorkerId(7), steps: vec![step] };
/// let decisions = decide(&view, seen, DateTime::UNIX_EPOCH, Jitter(1)).unwrap();
/// assert_eq!(decisions.steps[0].after.state, StepState::InProgress);
/// assert_eq!(decisions.tasks[0].after.state, TaskState::InProgress);
/// ```
pub fn decide(
    view: &View,
    observation: Observation,
    now: Timestamp,
    jitter: Jitter,
) -> Result<Decisions, InvalidTransition> {
    let mut draft = Draft::new(view, now, jitter);
    match observation {
        Observation::ClaimsEnded { ends, room } => step::end_claims(&mut draft, ends, room)?,
        Observation::StepsClaimed { worker, steps } => claim::claim(&mut draft, worker, &steps)?,
        Observation::CancelRequested { actor, reason } => {
            cancel::cancel(&mut draft, &actor, reason.as_deref())?;
        }
        Observation::RetryRequested { actor, reason } => {
            redrive::retry(&mut draft, &actor, reason.as_deref())?;
        }
    }
    draft.finish()
}

#[cfg(test)]
mod tests;
