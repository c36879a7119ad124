//! A signal ends the waits of the steps that wait for it.

use super::draft::Draft;
use crate::decision::Signal;
use crate::ids::StepId;
use crate::state::{InvalidTransition, StepEvent, StepState, TaskState};

/// Every one of the steps that still waits can be claimed at once.
pub(super) fn send(
    draft: &mut Draft<'_>,
    steps: &[StepId],
    signal: &Signal,
) -> Result<(), InvalidTransition> {
    let now = draft.now;
    let event = StepEvent::Signalled.as_str();
    draft.refuse_where(TaskState::is_terminal, event, "tasks that have not ended")?;
    for step in steps {
        let place = draft.place(*step);
        let waiting = |place: &_| draft.step(*place).state == StepState::Waiting;
        let Some(place) = place.filter(waiting) else { continue };
        let change = draft.transition(place, StepEvent::Signalled)?;
        change.available_at = Some(now);
        change.detail = serde_json::to_string(signal).ok();
    }
    Ok(())
}
