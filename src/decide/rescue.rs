//! What follows when a worker ends before its handler does.

use serde_json::json;

use super::draft::{Draft, Place};
use crate::decision::{Claim, Failure, FailureKind};
use crate::guard::{Guard, removed};
use crate::state::{InvalidTransition, StepEvent};

/// The worker stopped in order while the handler ran: another worker may begin anew.
pub(super) fn interrupt(draft: &mut Draft<'_>, place: Place) -> Result<(), InvalidTransition> {
    if draft.policy(place).retryable {
        enqueue(draft, place, StepEvent::Interrupted, None)
    } else {
        give_up(draft, place, StepEvent::NotRetryable, "interrupted")
    }
}

/// The worker died: another worker may begin anew, unless the step seems to kill its workers. One whose handler had
/// moved its checkpoint gets somewhere: what killed workers before is behind it.
pub(super) fn bury(draft: &mut Draft<'_>, place: Place) -> Result<(), InvalidTransition> {
    let policy = draft.policy(place);
    let progressed = draft.view.progressed.contains(&draft.step(place).id);
    let crashes = if progressed { 0 } else { draft.step(place).crashes + 1 };
    draft.change(place).after.crashes = crashes;
    let limit = policy.crash_limit;
    let mut detail = json!({ "crashes": crashes, "crash_limit": limit });
    if progressed {
        detail["checkpoint_moved"] = true.into();
    }
    let detail = detail.to_string();
    if !policy.retryable {
        give_up(draft, place, StepEvent::NotRetryable, "worker_died")
    } else if crashes >= limit && !removed(Guard::CrashLimit) {
        draft.transition(place, StepEvent::CrashesExhausted)?.detail = Some(detail);
        Ok(())
    } else {
        enqueue(draft, place, StepEvent::WorkerDied, Some(detail))
    }
}

/// The failure of an attempt whose worker died.
pub(super) fn death(claim: Claim) -> Failure {
    let message = format!("worker {} died while it executed the step", claim.worker);
    Failure::new(FailureKind::Retryable, "TaskerCore::WorkerDiedError", message)
}

fn enqueue(
    draft: &mut Draft<'_>,
    place: Place,
    event: StepEvent,
    detail: Option<String>,
) -> Result<(), InvalidTransition> {
    let now = draft.now;
    let change = draft.transition(place, event)?;
    change.available_at = Some(now);
    change.detail = detail;
    Ok(())
}

fn give_up(
    draft: &mut Draft<'_>,
    place: Place,
    event: StepEvent,
    why: &str,
) -> Result<(), InvalidTransition> {
    draft.transition(place, event)?.detail = Some(json!({ "because": why }).to_string());
    Ok(())
}
