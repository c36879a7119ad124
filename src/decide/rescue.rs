//! What follows when a worker ends before its handler does.

use serde_json::json;

use super::draft::Draft;
use crate::decision::Step;
use crate::state::{InvalidTransition, StepEvent};

/// How many workers may die while they hold the same step before it counts as the cause.
pub const CRASH_LIMIT: u32 = 3;

/// The worker stopped in order while the handler ran: another worker may begin anew.
pub(super) fn interrupt(draft: &mut Draft<'_>, step: &Step) -> Result<(), InvalidTransition> {
    if step.policy.retryable {
        enqueue(draft, step, StepEvent::Interrupted, None)
    } else {
        give_up(draft, step, StepEvent::NotRetryable, "interrupted")
    }
}

/// The worker died: another worker may begin anew, unless the step seems to kill its workers.
pub(super) fn bury(draft: &mut Draft<'_>, step: &Step) -> Result<(), InvalidTransition> {
    let crashes = step.crashes + 1;
    draft.change(step).after.crashes = crashes;
    let detail = json!({ "crashes": crashes, "crash_limit": CRASH_LIMIT }).to_string();
    if !step.policy.retryable {
        give_up(draft, step, StepEvent::NotRetryable, "worker_died")
    } else if crashes >= CRASH_LIMIT {
        draft.transition(step, StepEvent::CrashesExhausted)?.detail = Some(detail);
        Ok(())
    } else {
        enqueue(draft, step, StepEvent::WorkerDied, Some(detail))
    }
}

fn enqueue(
    draft: &mut Draft<'_>,
    step: &Step,
    event: StepEvent,
    detail: Option<String>,
) -> Result<(), InvalidTransition> {
    let now = draft.now;
    let change = draft.transition(step, event)?;
    change.available_at = Some(now);
    change.detail = detail;
    Ok(())
}

fn give_up(
    draft: &mut Draft<'_>,
    step: &Step,
    event: StepEvent,
    why: &str,
) -> Result<(), InvalidTransition> {
    draft.transition(step, event)?.detail = Some(json!({ "because": why }).to_string());
    Ok(())
}
