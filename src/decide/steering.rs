//! What an operator does with single steps: has them tried again, leaves them out, gives their results.

use std::sync::Arc;

use super::cancel::taken_away;
use super::draft::{Draft, Place};
use super::growth;
use super::readiness::{self, Done};
use crate::decision::{Request, Step, StepChange, Taken};
use crate::ids::StepId;
use crate::state::{InvalidTransition, StepEvent, StepState, TaskEvent, TaskState};

/// Every one of the steps is enqueued again, to be tried at once, with all its attempts before it; one that is enqueued
/// or runs already stays as it is.
pub(super) fn retry(
    draft: &mut Draft<'_>,
    steps: &[StepId],
    request: &Request,
) -> Result<(), InvalidTransition> {
    may_go_on(draft, StepEvent::Retried)?;
    for step in steps {
        let Some(place) = draft.place(*step) else { continue };
        let (state, before) = (draft.step(place).state, draft.change(place).before.state);
        // A map step that failed by its items goes on with these.
        let has_items = before == StepState::Error && growth::items_of(draft, *step).is_some();
        if !state.is_runnable() && !has_items {
            let now = draft.now;
            let change = steer(draft, place, StepEvent::Retried, request)?;
            change.after.failures = 0;
            change.after.crashes = 0;
            change.available_at = Some(now);
            if state == StepState::Error {
                growth::retry_maps(draft, *step, request)?;
            }
        }
    }
    Ok(())
}

/// What an operator did stands in the history of the task, whose state stays.
pub(super) fn note(draft: &mut Draft<'_>, event: TaskEvent, detail: &str) {
    let view = draft.view;
    for task in view.tasks.keys() {
        let change = draft.task(*task);
        change.event = Some(event);
        change.detail = Some(detail.to_owned());
    }
}

/// The step counts as done for its children, without results. One that was skipped stays so.
pub(super) fn skip(
    draft: &mut Draft<'_>,
    step: StepId,
    request: &Request,
) -> Result<(), InvalidTransition> {
    end(draft, step, (StepEvent::Skipped, StepState::Skipped), Done::Skipped, None, request)
}

/// The step counts as complete for its children, with these results; for those that are not taken, as skipped. One
/// that was resolved keeps its results.
pub(super) fn resolve(
    draft: &mut Draft<'_>,
    step: StepId,
    (results, taken): (&Arc<str>, Option<&Taken>),
    request: &Request,
) -> Result<(), InvalidTransition> {
    let resolved = (StepEvent::ResolvedManually, StepState::ResolvedManually);
    end(draft, step, resolved, Done::with_results(taken), Some(results), request)
}

fn end(
    draft: &mut Draft<'_>,
    step: StepId,
    (event, state): (StepEvent, StepState),
    how: Done<'_>,
    results: Option<&Arc<str>>,
    request: &Request,
) -> Result<(), InvalidTransition> {
    let Some(place) = draft.place(step).filter(|place| draft.step(*place).state != state) else {
        return Ok(());
    };
    may_go_on(draft, event)?;
    leave_nothing_behind(draft, place, event)?;
    let ended = taken_away(draft.step(place).state);
    let change = steer(draft, place, event, request)?;
    change.results = results.map(Arc::clone);
    if let Done::Decided(taken) = how {
        change.detail = Some(request.detail_with(taken));
    }
    change.ended = ended;
    let ready = readiness::close_parents(draft, vec![(step, how)])?;
    readiness::hand_out(draft, &ready, None)
}

/// Items whose turn has not come begin only when others have ended, which the map step counts.
fn leave_nothing_behind(
    draft: &mut Draft<'_>,
    place: Place,
    event: StepEvent,
) -> Result<(), InvalidTransition> {
    let Step { id, state, open_parents, .. } = *draft.step(place);
    let items = growth::items_of(draft, id).and_then(|items| items.max_parallel);
    let waiting = open_parents.saturating_sub(items.unwrap_or(open_parents));
    if state != StepState::Pending || waiting == 0 {
        return Ok(());
    }
    let allowed = format!("to cancel its task, while {waiting} of its items wait for their turn");
    Err(state.refuses(event, allowed))
}

/// A task that has ended goes on where it ended in error.
fn may_go_on(draft: &Draft<'_>, event: StepEvent) -> Result<(), InvalidTransition> {
    let over = |state: TaskState| state.is_terminal() && state != TaskState::Error;
    draft.refuse_where(over, event.as_str(), "tasks that are in error or have not ended")
}

fn steer<'d>(
    draft: &'d mut Draft<'_>,
    place: Place,
    event: StepEvent,
    request: &Request,
) -> Result<&'d mut StepChange, InvalidTransition> {
    let (step, failed) = (draft.step(place).id, draft.step(place).state == StepState::Error);
    draft.transition(place, event)?;
    if failed {
        readiness::reopen_parent(draft, step);
    }
    let change = draft.change(place);
    change.detail = Some(request.detail());
    Ok(change)
}
