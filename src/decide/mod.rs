//! The decider: rows and an observation in, changes out. Pure: no clock, no I/O, no randomness but
//! what is passed in.

mod budget;
mod cancel;
mod claim;
mod draft;
mod follow_up;
mod fork;
mod growth;
mod late;
mod pause;
mod readiness;
mod rerun;
mod rescue;
mod retry;
mod signal;
mod steering;
mod step;
mod task;

pub(crate) use readiness::initial_state;
pub(crate) use rerun::is_reset;
pub use retry::{Jitter, MAX_RETRY_AFTER};

use crate::decision::{Decisions, Observation, Timestamp, View};
use crate::ids::StepId;
use crate::state::{InvalidTransition, TaskEvent};
use draft::Draft;

/// Why nothing was decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// The observation asks for a change that the machines do not allow.
    #[error(transparent)]
    Transition(#[from] InvalidTransition),
    /// What these steps do matters to their children, and the view does not hold them.
    #[error("the children of {0:?} are not in the view")]
    UnseenChildren(Vec<StepId>),
    /// These steps matter, and the view does not hold them.
    #[error("{0:?} are not in the view")]
    UnseenSteps(Vec<StepId>),
}

/// Decides what follows from `observation`.
///
/// `view` must hold each observed step with its task. `now` is the database's clock; `jitter` spreads the delays of
/// retries.
///
/// # Errors
/// [`Undecided::Transition`] when the observation asks for a change that the machines do not allow, such as
/// cancelling a task that is complete, or a signal to one. [`Undecided::UnseenChildren`] names steps whose children have to be added to
/// the view, which depends on what is decided: an attempt that fails for the last time matters to them, one that is
/// tried again does not. [`Undecided::UnseenSteps`] names items of map steps that have to be added. Nothing is decided then.
///
/// # Examples
/// ```
/// use chrono::DateTime;
/// use tasker_core::{decide, Jitter, Join, Observation, Step, StepId, StepState};
/// use tasker_core::{Task, TaskId, TaskState, View, WorkerId};
///
/// let (task, step) = (TaskId(1), TaskId(1).step(0));
/// let mut view = View::default();
/// view.tasks.insert(task, Task { id: task, state: TaskState::Pending, runnable: 1, waiting: 0, blocked: 0, failures: 0, is_child: false, priority: 0 });
/// let enqueued = Step::new(step, StepState::Enqueued, Join::default());
/// view.steps.insert(step, enqueued);
/// let seen = Observation::StepsClaimed { worker: WorkerId(7), steps: vec![step] };
/// let decisions = decide(&view, &seen, DateTime::UNIX_EPOCH, Jitter(1)).unwrap();
/// assert_eq!(decisions.steps[0].after.state, StepState::InProgress);
/// assert_eq!(decisions.tasks[0].after.state, TaskState::InProgress);
/// ```
pub fn decide(
    view: &View,
    observation: &Observation,
    now: Timestamp,
    jitter: Jitter,
) -> Result<Decisions, Undecided> {
    let mut draft = Draft::new(view, now, jitter);
    match observation {
        Observation::ClaimsEnded { ends, room } => step::end_claims(&mut draft, ends, *room)?,
        Observation::StepsClaimed { worker, steps } => claim::claim(&mut draft, *worker, steps)?,
        Observation::CancelRequested(request) => {
            cancel::cancel(&mut draft, TaskEvent::Cancelled, &request.detail())?;
        }
        Observation::DeadlinePassed(deadline) => {
            let detail = serde_json::json!({ "deadline_at": deadline }).to_string();
            cancel::cancel(&mut draft, TaskEvent::DeadlinePassed, &detail)?;
        }
        Observation::StepLate { step, deadline, failure } => {
            late::end(&mut draft, *step, *deadline, failure)?;
        }
        Observation::PauseRequested(request) => pause::pause(&mut draft, request),
        Observation::ResumeRequested(request) => pause::resume(&mut draft, request)?,
        Observation::RetryRequested { steps, request } => {
            steering::retry(&mut draft, steps, request)?;
        }
        Observation::SignalSent { steps, signal } => signal::send(&mut draft, steps, signal)?,
        Observation::SkipRequested { step, request } => {
            steering::skip(&mut draft, *step, request)?;
        }
        Observation::RerunRequested { steps, retired, childless, name, request } => {
            rerun::rerun(&mut draft, (steps, retired, childless), name, request)?;
        }
        Observation::Noted { event, detail } => steering::note(&mut draft, *event, detail),
        Observation::StepsCopied { copies, detail } => fork::copy(&mut draft, copies, detail)?,
        Observation::ResolveRequested { step, results, taken, request } => {
            steering::resolve(&mut draft, *step, (results, taken.as_deref()), request)?;
        }
    }
    draft.finish()
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod growth_tests;
