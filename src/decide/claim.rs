//! A worker takes the right to execute the next attempt of steps that are ready.

use super::draft::Draft;
use crate::decision::Step;
use crate::ids::{StepId, WorkerId};
use crate::state::{InvalidTransition, StepEvent, TaskEvent, TaskState};

pub(super) fn claim(
    draft: &mut Draft<'_>,
    worker: WorkerId,
    steps: &[StepId],
) -> Result<(), InvalidTransition> {
    for id in steps {
        if let Some(step) = draft.view.steps.get(id) {
            claim_step(draft, step, worker)?;
            start_task(draft, step);
        }
    }
    Ok(())
}

/// Hands the step's next attempt to `worker`.
pub(super) fn claim_step(
    draft: &mut Draft<'_>,
    step: &Step,
    worker: WorkerId,
) -> Result<(), InvalidTransition> {
    let change = draft.transition(step, StepEvent::Claimed)?;
    change.after.worker = Some(worker);
    change.after.attempts += 1;
    Ok(())
}

fn start_task(draft: &mut Draft<'_>, step: &Step) {
    let pending = |task: &crate::decision::Task| task.state == TaskState::Pending;
    if draft.view.tasks.get(&step.id.task()).is_some_and(pending) {
        draft.task(step.id.task()).event = Some(TaskEvent::Started);
    }
}
