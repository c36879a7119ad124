//! What follows for a step from the end of a claim.

use serde_json::json;

use super::draft::Draft;
use super::{readiness, rescue, retry};
use crate::decision::{ClaimEnd, EndedAttempt, Failure, FailureKind, Outcome, Room, Step};
use crate::state::{AttemptOutcome, InvalidTransition, StepEvent};

pub(super) fn end_claims(
    draft: &mut Draft<'_>,
    ends: Vec<ClaimEnd>,
    room: Option<Room>,
) -> Result<(), InvalidTransition> {
    let mut ready = Vec::new();
    for end in ends {
        let current = draft.step(end.claim.step).filter(|step| step.claim() == Some(end.claim));
        match current.copied() {
            Some(step) => {
                let succeeded = matches!(end.outcome, Outcome::Succeeded(_));
                end_claim(draft, &step, end)?;
                if succeeded {
                    readiness::close_parent(draft, step.id, &mut ready);
                }
            }
            None => draft.refuse(end.claim),
        }
    }
    readiness::hand_out(draft, &ready, room)
}

fn end_claim(draft: &mut Draft<'_>, step: &Step, end: ClaimEnd) -> Result<(), InvalidTransition> {
    let ClaimEnd { outcome, execution, .. } = end;
    let (outcome, error) = match outcome {
        Outcome::Succeeded(results) => {
            draft.transition(step, StepEvent::Succeeded)?.results = Some(results);
            (AttemptOutcome::Succeeded, None)
        }
        Outcome::Failed(failure) => {
            fail(draft, step, &failure)?;
            (recorded(failure.kind), serde_json::to_string(&failure).ok())
        }
        Outcome::GivenBack => return give_back(draft, step),
        Outcome::Interrupted => {
            rescue::interrupt(draft, step)?;
            (AttemptOutcome::Interrupted, None)
        }
        Outcome::WorkerDied => {
            rescue::bury(draft, step)?;
            (AttemptOutcome::WorkerDied, None)
        }
    };
    draft.change(step).ended = Some(EndedAttempt { outcome, execution, error });
    Ok(())
}

/// An attempt that never began does not count.
fn give_back(draft: &mut Draft<'_>, step: &Step) -> Result<(), InvalidTransition> {
    let now = draft.now;
    let change = draft.transition(step, StepEvent::GivenBack)?;
    change.after.attempts -= 1;
    change.available_at = Some(now);
    Ok(())
}

fn recorded(kind: FailureKind) -> AttemptOutcome {
    match kind {
        FailureKind::Retryable => AttemptOutcome::Retryable,
        FailureKind::Permanent => AttemptOutcome::Permanent,
        FailureKind::Blocked => AttemptOutcome::Blocked,
        FailureKind::Timeout => AttemptOutcome::Timeout,
    }
}

fn fail(draft: &mut Draft<'_>, step: &Step, failure: &Failure) -> Result<(), InvalidTransition> {
    let failures = step.failures + 1;
    let limit = step.policy.max_attempts();
    let event = match failure.kind {
        FailureKind::Permanent => StepEvent::FailedPermanently,
        FailureKind::Blocked => StepEvent::NeedsIntervention,
        FailureKind::Retryable | FailureKind::Timeout if !step.policy.retryable => {
            StepEvent::NotRetryable
        }
        FailureKind::Retryable | FailureKind::Timeout if failures >= limit => {
            StepEvent::RetriesExhausted
        }
        FailureKind::Retryable | FailureKind::Timeout => return retry(draft, step, failure),
    };
    let change = draft.transition(step, event)?;
    change.after.failures = failures;
    change.detail = Some(json!({ "failures": failures, "retry_limit": limit }).to_string());
    Ok(())
}

fn retry(draft: &mut Draft<'_>, step: &Step, failure: &Failure) -> Result<(), InvalidTransition> {
    let failures = step.failures + 1;
    let asked = failure.retry_after_s;
    let unit = draft.jitter.unit(step.id, step.attempts);
    let delay = retry::delay(&step.policy, failures, asked, unit);
    let at = draft.now + delay;
    let change = draft.transition(step, StepEvent::RetryScheduled)?;
    change.after.failures = failures;
    change.available_at = Some(at);
    let detail = json!({
        "failures": failures,
        "retry_limit": step.policy.max_attempts(),
        "delay_ms": delay.as_millis(),
        "retry_at": at,
        "delay_by": if asked.is_some() { "handler" } else { step.policy.backoff.as_str() },
    });
    change.detail = Some(detail.to_string());
    Ok(())
}
