//! An operator, or a deadline, ends tasks: what has not ended is cancelled, what runs loses its claim.

use super::draft::Draft;
use crate::decision::{EndedAttempt, Step, Task};
use crate::guard::{Guard, removed};
use crate::state::{AttemptOutcome, InvalidTransition, StepEvent, StepState, TaskEvent, TaskState};

/// Ends the tasks by `event`, for the reason that `detail` gives as JSON text. Nothing changes about one that is cancelled.
pub(super) fn cancel(
    draft: &mut Draft<'_>,
    event: TaskEvent,
    detail: &str,
) -> Result<(), InvalidTransition> {
    let view = draft.view;
    let is_cancelled = |task: &&Task| task.state == TaskState::Cancelled;
    for task in view.tasks.values().filter(|task| !is_cancelled(task)) {
        task.state.after(event)?;
        let change = draft.task(task.id);
        change.event = Some(event);
        change.detail = (!removed(Guard::EndsSayWhy)).then(|| detail.to_owned());
    }
    let stays = |step: &&Step| {
        step.state.is_terminal()
            || step.state == StepState::InProgress && removed(Guard::EndsCutOff)
    };
    for step in view.steps.values().filter(|step| !stays(step)) {
        cancel_step(draft, step)?;
    }
    Ok(())
}

fn cancel_step(draft: &mut Draft<'_>, step: &Step) -> Result<(), InvalidTransition> {
    let place = draft.place(step.id).expect("a step of the view has a place");
    draft.transition(place, StepEvent::Cancelled)?.ended = taken_away(step.state);
    Ok(())
}

/// The end of the attempt of a step in `state`, if it runs: its handler's is refused from now on.
pub(super) fn taken_away(state: StepState) -> Option<EndedAttempt> {
    let ended = EndedAttempt { outcome: AttemptOutcome::Cancelled, execution: None, error: None };
    (state == StepState::InProgress).then_some(ended)
}
