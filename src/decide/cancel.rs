//! An operator ends tasks: what has not ended is cancelled, what runs loses its claim.

use serde_json::json;

use super::draft::Draft;
use crate::decision::{EndedAttempt, Step};
use crate::state::{AttemptOutcome, InvalidTransition, StepEvent, StepState, TaskEvent};

pub(super) fn cancel(
    draft: &mut Draft<'_>,
    actor: &str,
    reason: Option<&str>,
) -> Result<(), InvalidTransition> {
    let view = draft.view;
    for task in view.tasks.values() {
        task.state.after(TaskEvent::Cancelled)?;
        let change = draft.task(task.id);
        change.event = Some(TaskEvent::Cancelled);
        change.detail = Some(json!({ "actor": actor, "reason": reason }).to_string());
    }
    for step in view.steps.values().filter(|step| !step.state.is_terminal()) {
        cancel_step(draft, step)?;
    }
    Ok(())
}

fn cancel_step(draft: &mut Draft<'_>, step: &Step) -> Result<(), InvalidTransition> {
    let place = draft.place(step.id).expect("a step of the view has a place");
    let runs = step.state == StepState::InProgress;
    let ended = EndedAttempt { outcome: AttemptOutcome::Cancelled, execution: None, error: None };
    draft.transition(place, StepEvent::Cancelled)?.ended = runs.then_some(ended);
    Ok(())
}
