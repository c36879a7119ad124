//! A worker takes the right to execute the next attempt of steps that are ready.

use std::collections::BTreeMap;

use super::draft::{Draft, Place};
use super::readiness::Done;
use super::{budget, growth, readiness};
use crate::budget::Verdict;
use crate::decision::Task;
use crate::ids::{StepId, TaskId, WorkerId};
use crate::state::{InvalidTransition, StepEvent, TaskEvent, TaskState};

pub(super) fn claim(
    draft: &mut Draft<'_>,
    worker: WorkerId,
    steps: &[StepId],
) -> Result<(), InvalidTransition> {
    let (mut failed, mut started) = (Vec::new(), BTreeMap::new());
    for id in steps {
        let Some(place) = draft.place(*id) else { continue };
        if let Some(why) = draft.view.given_up.get(id) {
            growth::give_up(draft, place, *why)?;
            budget::resume(draft, id.task());
            failed.push((*id, Done::Failed));
            continue;
        }
        match budget::verdict(draft, *id) {
            Verdict::Start => {
                claim_step(draft, place, worker)?;
                start_task(draft, id.task());
                if !draft.budgets.is_empty() {
                    *started.entry(id.task()).or_default() += 1;
                }
            }
            Verdict::Later => draft.postponed.push(*id),
            Verdict::Never(constraint) => {
                budget::give_up(draft, place, constraint)?;
                failed.push((*id, Done::Failed));
            }
        }
    }
    budget::offer(draft, &started);
    if failed.is_empty() {
        return Ok(());
    }
    let ready = readiness::close_parents(draft, failed)?;
    readiness::hand_out(draft, &ready, None)
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
