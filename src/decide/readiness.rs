//! Which children a completed step makes ready: one counter a child, nothing else is looked at.

use super::claim;
use super::draft::Draft;
use crate::decision::Room;
use crate::ids::StepId;
use crate::state::{InvalidTransition, StepEvent, StepState};

/// The state in which a step with this many parents is written.
pub(crate) fn initial_state(parents: u32) -> StepState {
    if parents == 0 { StepState::Enqueued } else { StepState::Pending }
}

/// Counts `parent` off in each of its children; those without open parents join `ready`.
pub(super) fn close_parent(draft: &mut Draft<'_>, parent: StepId, ready: &mut Vec<StepId>) {
    let view = draft.view;
    for id in view.children.get(&parent).into_iter().flatten() {
        let Some(child) = view.steps.get(id).filter(|child| child.state == StepState::Pending)
        else {
            continue;
        };
        let open = &mut draft.change(child).after.open_parents;
        match *open {
            // A parent that was completed before, by a claim that is not current: its write fails.
            0 => continue,
            1 => ready.push(*id),
            _ => {}
        }
        *open -= 1;
    }
}

/// Claims ready steps for the worker that has room, in their order, and enqueues the rest.
pub(super) fn hand_out(
    draft: &mut Draft<'_>,
    ready: &[StepId],
    room: Option<Room>,
) -> Result<(), InvalidTransition> {
    let now = draft.now;
    for (taken, id) in ready.iter().enumerate() {
        let step = *draft.step(*id).expect("a step that got ready is in the view");
        match room.filter(|room| taken < room.steps) {
            Some(room) => claim::claim_step(draft, &step, room.worker)?,
            None => {
                draft.transition(&step, StepEvent::ParentsCompleted)?.available_at = Some(now);
            }
        }
    }
    Ok(())
}
