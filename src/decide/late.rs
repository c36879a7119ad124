//! Steps whose attempts together have taken longer than they may.

use serde_json::json;

use super::draft::{Draft, Place};
use super::readiness::{self, Done};
use crate::decision::{EndedAttempt, Failure, Timestamp};
use crate::guard::{Guard, removed};
use crate::ids::StepId;
use crate::state::{AttemptOutcome, InvalidTransition, StepEvent, StepState};

/// Ends the step, unless it has ended, needs a person or waits for its parents.
pub(super) fn end(
    draft: &mut Draft<'_>,
    step: StepId,
    deadline: Timestamp,
    failure: &Failure,
) -> Result<(), InvalidTransition> {
    let Some(place) = draft.place(step).filter(|place| goes_on(draft.step(*place).state)) else {
        return Ok(());
    };
    let runs = draft.step(place).state == StepState::InProgress;
    let change = draft.transition(place, StepEvent::TimedOut)?;
    change.detail = Some(json!({ "deadline_at": deadline }).to_string());
    if runs {
        change.after.failures += 1;
        let error = serde_json::to_string(failure).ok();
        let outcome = AttemptOutcome::Timeout;
        change.ended = Some(EndedAttempt { outcome, execution: None, error });
    }
    let ready = readiness::close_parents(draft, vec![(step, Done::Failed)])?;
    readiness::hand_out(draft, &ready, None)
}

fn goes_on(state: StepState) -> bool {
    match state {
        StepState::Enqueued
        | StepState::InProgress
        | StepState::WaitingForRetry
        | StepState::Waiting => true,
        StepState::Pending
        | StepState::Blocked
        | StepState::Complete
        | StepState::Error
        | StepState::Skipped
        | StepState::Cancelled
        | StepState::ResolvedManually => false,
    }
}

/// The deadline of a step whose next attempt would begin when it has passed.
pub(super) fn too_late(draft: &Draft<'_>, place: Place, retry_at: Timestamp) -> Option<Timestamp> {
    let deadline = draft.view.deadlines.get(&draft.step(place).id).copied();
    deadline.filter(|deadline| retry_at >= *deadline && !removed(Guard::TotalTimeout))
}
