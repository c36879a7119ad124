//! A worker takes the right to execute the next attempt of steps that are ready.

use super::draft::{Draft, Place};
use crate::decision::Task;
use crate::ids::{StepId, TaskId, WorkerId};
use crate::state::{InvalidTransition, StepEvent, TaskEvent, TaskState};

pub(super) fn claim(
    draft: &mut Draft<'_>,
    worker: WorkerId,
    steps: &[StepId],
) -> Result<(), InvalidTransition> {
    for id in steps {
        if let Some(place) = draft.place(*id) {
            claim_step(draft, place, worker)?;
            start_task(draft, id.task());
        }
    }
    Ok(())
}

/// Hands the step's next attempt to `worker`.
pub(super) fn claim_step(
    draft: &mut Draft<'_>,
    place: Place,
    worker: WorkerId,
) -> Result<(), InvalidTransition> {
    let change = draft.transition(place, StepEvent::Claimed)?;
    change.after.worker = Some(worker);
    change.after.attempts += 1;
    Ok(())
}

fn start_task(draft: &mut Draft<'_>, id: TaskId) {
    let pending = |task: &Task| task.state == TaskState::Pending;
    if draft.view.tasks.get(&id).is_some_and(pending) {
        draft.task(id).event = Some(TaskEvent::Started);
    }
}
