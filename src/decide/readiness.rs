//! Which children a completed step makes ready: one counter a child, nothing else is looked at.

use super::claim;
use super::draft::{Draft, Place};
use crate::decision::Room;
use crate::guard::{Guard, removed};
use crate::ids::StepId;
use crate::state::{InvalidTransition, StepEvent, StepState};

/// The state in which a step with this many parents is written.
pub(crate) fn initial_state(parents: u32) -> StepState {
    if parents == 0 { StepState::Enqueued } else { StepState::Pending }
}

/// Counts each parent off in each of its children. Returns those without open parents, in the order in
/// which they lost the last.
pub(super) fn close_parents(draft: &mut Draft<'_>, parents: &[StepId]) -> Vec<Place> {
    let view = draft.view;
    let mut ready = Vec::with_capacity(parents.len());
    for id in parents.iter().filter_map(|parent| view.children.get(parent)).flatten() {
        let Some(place) = draft.place(*id) else { continue };
        let child = &mut draft.change(place).after;
        // Without open parents here, one was completed before by a claim that was current: the write of
        // these changes fails.
        if child.state == StepState::Pending && child.open_parents > 0 {
            child.open_parents -= 1;
            if child.open_parents == 0 || removed(Guard::JoinCounter) {
                ready.push(place);
            }
        }
    }
    ready
}

/// Claims ready steps for the worker that has room, in their order, and enqueues the rest.
pub(super) fn hand_out(
    draft: &mut Draft<'_>,
    ready: &[Place],
    room: Option<Room>,
) -> Result<(), InvalidTransition> {
    let now = draft.now;
    let mut taken = 0;
    for place in ready {
        let here = !draft.view.elsewhere.contains(&draft.step(*place).id);
        match room.filter(|room| here && taken < room.steps) {
            Some(room) => {
                claim::claim_step(draft, *place, room.worker)?;
                taken += 1;
            }
            None => {
                draft.transition(*place, StepEvent::ParentsCompleted)?.available_at = Some(now);
            }
        }
    }
    Ok(())
}
