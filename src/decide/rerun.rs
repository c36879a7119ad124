//! An operator has a step executed anew, and with it every step below: what they did before counts no more. The counts of
//! parents are made anew from what these do.

use super::budget;
use super::cancel::taken_away;
use super::draft::{Draft, Place};
use super::readiness::{Verdict, verdict};
use crate::decision::{Request, Reset, Retired, Step};
use crate::guard::{Guard, removed};
use crate::ids::StepId;
use crate::state::{InvalidTransition, StepEvent, StepState, TaskState};

/// Resets the first of the steps, which is named `name`, and those below it, and ends what these have added. One that has not
/// begun, or runs, is on its way: nothing changes.
pub(super) fn rerun(
    draft: &mut Draft<'_>,
    (steps, retired, childless): (&[Reset], &[Retired], &[StepId]),
    name: &str,
    request: &Request,
) -> Result<(), InvalidTransition> {
    may_run_again(draft)?;
    let Some((first, below)) = steps.split_first() else { return Ok(()) };
    let Some(place) = draft.place(first.step) else { return Ok(()) };
    let state = draft.step(place).state;
    let waits = state == StepState::Pending && !items_are_done(draft, first.step);
    if waits || matches!(state, StepState::Enqueued | StepState::InProgress) {
        return Ok(());
    }
    can_start(&recounted(draft, place, first), state)?;
    has_budget(draft, first.step, state)?;
    let detail = request.detail_from(name);
    let below = if removed(Guard::RerunGoesDown) { &[] } else { below };
    for reset in std::iter::once(first).chain(below) {
        reset_step(draft, reset, &detail)?;
    }
    for step in retired {
        retire(draft, *step, &detail)?;
    }
    for step in childless {
        // Its error held up what is retired; from now on it does the task.
        let Some(place) = draft.place(*step) else { continue };
        if draft.step(place).state == StepState::Error {
            draft.task(step.task()).after.failures += 1;
        }
    }
    Ok(())
}

/// Whether a map step has items, and nothing more becomes of them by itself.
fn items_are_done(draft: &Draft<'_>, map: StepId) -> bool {
    let Some(items) = draft.view.grown.maps.get(&map) else { return false };
    let ids = items.first.0..items.first.0 + i64::from(items.items);
    let mut states = draft.view.steps.values().filter(|step| ids.contains(&step.id.0));
    states.all(|step| step.state.is_terminal() || step.state == StepState::Blocked)
}

/// A step that has not ended well is left out.
fn retire(
    draft: &mut Draft<'_>,
    Retired { step, last }: Retired,
    detail: &str,
) -> Result<(), InvalidTransition> {
    let Some(place) = draft.place(step) else { return Ok(()) };
    let state = draft.step(place).state;
    let failed = state == StepState::Error;
    if state.is_terminal() && !failed {
        return Ok(());
    }
    if failed && last {
        draft.task(step.task()).after.failures -= 1;
    }
    let change = draft.transition(place, StepEvent::Skipped)?;
    change.detail = Some(detail.to_owned());
    change.ended = taken_away(state);
    Ok(())
}

/// A task that has ended goes on, unless somebody, or its deadline, has ended it.
fn may_run_again(draft: &Draft<'_>) -> Result<(), InvalidTransition> {
    let over =
        |state: TaskState| matches!(state, TaskState::Cancelled | TaskState::ResolvedManually);
    let allowed = "tasks that are neither cancelled nor resolved manually";
    draft.refuse_where(over, StepEvent::Rerun.as_str(), allowed)
}

/// Without this nothing would ever become of the step.
fn can_start(step: &Step, state: StepState) -> Result<(), InvalidTransition> {
    match verdict(step) {
        Verdict::Ready => Ok(()),
        Verdict::Wait if step.open_parents > 0 => Ok(()),
        Verdict::Wait => Err(state
            .refuses(StepEvent::Rerun, "a rerun from a step above it: parents of it are in error")),
        Verdict::Skip => Err(state
            .refuses(StepEvent::Rerun, "a rerun from a step above it: its parents leave it out")),
    }
}

/// A task that has done well would fail for it. What is left may suffice for some of the steps below, or for none.
fn has_budget(draft: &Draft<'_>, step: StepId, state: StepState) -> Result<(), InvalidTransition> {
    let crate::budget::Verdict::Never(constraint) = budget::verdict(draft, step) else {
        return Ok(());
    };
    let used = draft.budgets.get(&step.task()).copied().unwrap_or_default();
    let reserve = draft.view.reserves.get(&step).copied().unwrap_or_default();
    let allowed = format!(
        "a rerun once the task's budget is raised, tasker budget {}: {}",
        step.task(),
        used.used_up(constraint, reserve)
    );
    Err(state.refuses(StepEvent::Rerun, allowed))
}

/// The step as it is when it has begun nothing, and counts its parents by what they do.
fn recounted(draft: &mut Draft<'_>, place: Place, reset: &Reset) -> Step {
    let mut step = *draft.step(place);
    (step.open_parents, step.failed_parents, step.skipped_parents) = (0, 0, 0);
    for parent in &reset.parents {
        let state = draft.place(parent.step).map(|place| draft.step(place).state);
        match state.unwrap_or(StepState::Pending) {
            StepState::Complete | StepState::ResolvedManually if parent.left_out => {
                step.skipped_parents += 1;
            }
            StepState::Complete | StepState::ResolvedManually => {}
            StepState::Skipped => step.skipped_parents += 1,
            StepState::Error => step.failed_parents += 1,
            StepState::Pending
            | StepState::Enqueued
            | StepState::InProgress
            | StepState::WaitingForRetry
            | StepState::Waiting
            | StepState::Blocked
            | StepState::Cancelled => step.open_parents += 1,
        }
    }
    step
}

fn reset_step(draft: &mut Draft<'_>, reset: &Reset, detail: &str) -> Result<(), InvalidTransition> {
    let Some(place) = draft.place(reset.step) else { return Ok(()) };
    let (state, counted) = (draft.step(place).state, recounted(draft, place, reset));
    // One that is executed anew has not ended, so that no step below it has parents that leave it out.
    let ready = verdict(&counted) == Verdict::Ready;
    if ready && reset.awaits_added {
        // What is to be added before it anew could not be.
        let allowed = "a rerun from a step below: what was added before it is added anew, and it would begin at once";
        return Err(state.refuses(StepEvent::Rerun, allowed));
    }
    match state {
        StepState::Pending if !ready => {
            recount(draft, place, &counted);
            return Ok(());
        }
        StepState::Enqueued if ready => return Ok(()),
        StepState::Error if reset.last => draft.task(reset.step.task()).after.failures -= 1,
        StepState::Pending
        | StepState::Enqueued
        | StepState::InProgress
        | StepState::WaitingForRetry
        | StepState::Waiting
        | StepState::Blocked
        | StepState::Complete
        | StepState::Error
        | StepState::Skipped
        | StepState::Cancelled
        | StepState::ResolvedManually => {}
    }
    let at = draft.now + draft.view.delays.get(&reset.step).copied().unwrap_or_default();
    let change =
        draft.transition(place, if ready { StepEvent::Rerun } else { StepEvent::Reset })?;
    change.after.failures = 0;
    change.after.crashes = 0;
    change.available_at = ready.then_some(at);
    change.detail = Some(detail.to_owned());
    change.ended = taken_away(state);
    if !ready {
        recount(draft, place, &counted);
    }
    Ok(())
}

fn recount(draft: &mut Draft<'_>, place: Place, counted: &Step) {
    let step = &mut draft.change(place).after;
    let (before, task) = (step.failed_parents, step.id.task());
    step.open_parents = counted.open_parents;
    step.failed_parents = counted.failed_parents;
    step.skipped_parents = counted.skipped_parents;
    if before != counted.failed_parents {
        let failures = &mut draft.task(task).after.failures;
        *failures = *failures + counted.failed_parents - before;
    }
}

/// The steps of a rerun that are executed, or wait, as if nothing had ever become of them.
pub(crate) fn is_reset(event: Option<StepEvent>) -> bool {
    matches!(event, Some(StepEvent::Rerun | StepEvent::Reset))
}
