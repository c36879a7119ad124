//! An operator has steps tried again that failed for good or need a person.

use serde_json::json;

use super::draft::Draft;
use crate::ids::StepId;
use crate::state::{InvalidTransition, StepEvent, StepState, TaskEvent};

/// Every step of the view is enqueued again, with all its attempts before it; one that is on its way already stays
/// as it is.
pub(super) fn retry(
    draft: &mut Draft<'_>,
    actor: &str,
    reason: Option<&str>,
) -> Result<(), InvalidTransition> {
    let view = draft.view;
    for task in view.tasks.values().filter(|task| task.state.is_terminal()) {
        task.state.after(TaskEvent::Resumed)?;
    }
    let on_its_way = |state| {
        matches!(state, StepState::Enqueued | StepState::InProgress | StepState::WaitingForRetry)
    };
    for step in view.steps.values().filter(|step| !on_its_way(step.state)) {
        retry_step(draft, step.id, json!({ "actor": actor, "reason": reason }).to_string())?;
    }
    Ok(())
}

fn retry_step(draft: &mut Draft<'_>, id: StepId, detail: String) -> Result<(), InvalidTransition> {
    let place = draft.place(id).expect("a step of the view has a place");
    let now = draft.now;
    let change = draft.transition(place, StepEvent::Retried)?;
    change.after.failures = 0;
    change.after.crashes = 0;
    change.available_at = Some(now);
    change.detail = Some(detail);
    Ok(())
}
