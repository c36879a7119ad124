//! Which children get ready, or are skipped, by what their parents do: counters of the children, nothing else is
//! looked at.

use serde_json::json;

use super::draft::{Draft, Place};
use super::{claim, growth};
use crate::decision::{Room, Step, Taken, Task, View};
use crate::guard::{Guard, removed};
use crate::ids::StepId;
use crate::join_policy::JoinPolicy;
use crate::state::{InvalidTransition, StepEvent, StepState, TaskState};

/// How a parent that is done counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done<'a> {
    Complete,
    /// As complete for the children that are taken, as skipped for the others.
    Decided(&'a Taken),
    Skipped,
    Failed,
}

impl<'a> Done<'a> {
    /// How a parent counts that has results.
    pub(super) fn with_results(taken: Option<&'a Taken>) -> Self {
        taken.map_or(Self::Complete, Self::Decided)
    }

    /// How the parent counts for one of its children.
    fn seen_by(self, child: StepId) -> Self {
        match self {
            Self::Decided(taken) if taken.branches.contains_key(&child) => Self::Complete,
            Self::Decided(_) if removed(Guard::BranchesCount) => Self::Complete,
            Self::Complete | Self::Decided(_) | Self::Skipped | Self::Failed => self,
        }
    }

    /// Why a child is skipped that was the last to see the parent end.
    fn detail(self) -> String {
        match self {
            Self::Decided(taken) => {
                json!({ "because": "not_taken", "decision": taken.decision }).to_string()
            }
            Self::Complete | Self::Skipped | Self::Failed => {
                json!({ "because": "parents_skipped" }).to_string()
            }
        }
    }
}

/// What a join policy says of the parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ready,
    Wait,
    Skip,
}

/// The state in which a step with this many parents is written.
pub(crate) fn initial_state(parents: u32) -> StepState {
    if parents == 0 { StepState::Enqueued } else { StepState::Pending }
}

/// Counts each parent off in each of its pending children, and so on from those that are skipped by it. Returns the
/// children that are ready, in the order in which they became so.
pub(super) fn close_parents(
    draft: &mut Draft<'_>,
    mut done: Vec<(StepId, Done<'_>)>,
) -> Result<Vec<Place>, InvalidTransition> {
    let mut ready = Vec::with_capacity(done.len());
    release(draft, &mut done, &mut ready)?;
    let mut next = 0;
    while let Some((parent, how)) = done.get(next).copied() {
        next += 1;
        let Some(children) = draft.children(parent) else { continue };
        if how == Done::Failed && children.is_empty() {
            draft.task(parent.task()).after.failures += 1;
        }
        let added = draft.added().map(|added| added.children_of(parent)).unwrap_or_default();
        for child in children.iter().chain(&added) {
            let Some(place) = draft.place(*child).filter(|place| waits(draft.step(*place))) else {
                continue;
            };
            let items = growth::items_of(draft, *child);
            if items.is_some_and(|items| !items.has(parent)) {
                continue;
            }
            let how = how.seen_by(*child);
            count_off(draft, place, how);
            if let Some(items) = items {
                ready.extend(growth::next_in_turn(draft, place, &items));
                done.extend(growth::end_map(draft, place, &items)?.map(|how| (*child, how)));
                continue;
            }
            match verdict(draft.step(place)) {
                Verdict::Wait => {}
                Verdict::Ready => {
                    draft.change(place).after.open_parents = 0;
                    ready.push(place);
                }
                Verdict::Skip => {
                    draft.transition(place, StepEvent::Skipped)?.detail = Some(how.detail());
                    if !removed(Guard::SkipsGoOn) {
                        done.push((*child, Done::Skipped));
                    }
                }
            }
        }
    }
    Ok(ready)
}

/// Lets go of the steps that are added, which nothing else but their parents holds then.
fn release(
    draft: &mut Draft<'_>,
    done: &mut Vec<(StepId, Done<'_>)>,
    ready: &mut Vec<Place>,
) -> Result<(), InvalidTransition> {
    for place in draft.added().map(growth::Additions::take_holds).unwrap_or_default() {
        draft.change(place).after.open_parents -= 1;
        match verdict(draft.step(place)) {
            Verdict::Wait => {}
            Verdict::Ready => {
                draft.change(place).after.open_parents = 0;
                ready.push(place);
            }
            Verdict::Skip => {
                let skipped = draft.transition(place, StepEvent::Skipped)?;
                skipped.detail = Some(Done::Skipped.detail());
                done.push((skipped.after.id, Done::Skipped));
            }
        }
    }
    Ok(())
}

/// Takes back in each pending child that the parent failed; in a map step that failed by its items as well.
pub(super) fn reopen_parent(draft: &mut Draft<'_>, parent: StepId) {
    if removed(Guard::ParentsReopen) {
        return;
    }
    let Some(children) = draft.children(parent) else { return };
    if children.is_empty() {
        draft.task(parent.task()).after.failures -= 1;
    }
    for child in children {
        let failed = |step: &Step| counts(step) && step.failed_parents > 0;
        let Some(place) = draft.place(*child).filter(|place| failed(draft.step(*place))) else {
            continue;
        };
        if growth::items_of(draft, *child).is_some_and(|items| !items.has(parent)) {
            continue;
        }
        let child = &mut draft.change(place).after;
        child.failed_parents -= 1;
        child.open_parents += 1;
        if child.state == StepState::Pending {
            draft.task(parent.task()).after.failures -= 1;
        }
    }
}

/// Whether the step counts its parents: it waits for them, or is a map step that failed by its items.
fn counts(step: &Step) -> bool {
    matches!(step.state, StepState::Pending | StepState::Error)
}

/// Without open parents here, one was completed before by a claim that was current, and the write of these changes
/// fails; or the step is ready already.
fn waits(step: &Step) -> bool {
    counts(step) && step.open_parents > 0
}

fn count_off(draft: &mut Draft<'_>, place: Place, how: Done<'_>) {
    let child = &mut draft.change(place).after;
    child.open_parents -= 1;
    match how {
        Done::Complete => {}
        Done::Skipped | Done::Decided(_) => child.skipped_parents += 1,
        Done::Failed if removed(Guard::FailuresCount) => {}
        Done::Failed => {
            child.failed_parents += 1;
            let task = child.id.task();
            draft.task(task).after.failures += 1;
        }
    }
}

/// What the join policy of a step says of its parents as it counts them.
pub(super) fn verdict(step: &Step) -> Verdict {
    let (open, failed, skipped) = (step.open_parents, step.failed_parents, step.skipped_parents);
    let complete = step.join.parents.saturating_sub(open + failed + skipped);
    let satisfied = match step.join.policy {
        JoinPolicy::AllComplete => open + failed + skipped == 0,
        JoinPolicy::AllDone => open == 0,
        JoinPolicy::AnyComplete => complete > 0,
        JoinPolicy::NoneFailed => open + failed == 0 && complete > 0,
        JoinPolicy::Quorum(wanted) => complete >= wanted,
    };
    if satisfied || removed(Guard::JoinCounter) {
        Verdict::Ready
    } else if open + failed > 0 {
        Verdict::Wait
    } else {
        Verdict::Skip
    }
}

/// Whether the worker that has room serves the step, whose task is neither paused nor late. Those of a task that has a budget
/// are claimed where that is asked.
fn may_be_taken(view: &View, step: StepId) -> bool {
    let goes_on = |task: &Task| task.state != TaskState::Paused || removed(Guard::PausedWait);
    !view.elsewhere.contains(&step)
        && !view.budgets.contains_key(&step.task())
        && !view.late.contains(&step.task())
        && view.tasks.get(&step.task()).is_some_and(goes_on)
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
        let id = draft.step(*place).id;
        let added = draft.added();
        let elsewhere = added.as_ref().is_some_and(|added| added.is_elsewhere(id));
        let delay = added.and_then(|added| added.delay(id));
        if let Some(delay) = delay.or_else(|| draft.view.delays.get(&id).copied()) {
            let at = now + delay;
            let change = draft.transition(*place, StepEvent::ParentsCompleted)?;
            change.available_at = Some(at);
            change.detail = Some(json!({ "delayed_until": at }).to_string());
            continue;
        }
        let takes = |room: &Room| taken < room.steps && !elsewhere && may_be_taken(draft.view, id);
        match room.filter(takes) {
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
