//! What follows for a step from the end of a claim.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::draft::{Draft, Place};
use super::readiness::{self, Done};
use super::{growth, late, rescue, retry};
use crate::decision::{
    ClaimEnd, EndedAttempt, Failure, FailureKind, NEVER, Outcome, Poll, Room, Taken, Timestamp,
    Wait,
};
use crate::guard::{Guard, removed};
use crate::state::{AttemptOutcome, InvalidTransition, StepEvent, StepState};

pub(super) fn end_claims(
    draft: &mut Draft<'_>,
    ends: &[ClaimEnd],
    room: Option<Room>,
) -> Result<(), InvalidTransition> {
    let mut done = Vec::with_capacity(ends.len());
    for end in ends {
        let claim = end.claim;
        let place = draft.place(claim.step);
        let current = |place: &Place| {
            draft.step(*place).claim() == Some(claim) || removed(Guard::CurrentClaim)
        };
        match place.filter(current) {
            Some(place) => {
                end_claim(draft, place, end)?;
                let ended = draft.step(place).state;
                if ended == StepState::Complete {
                    done.push((claim.step, Done::with_results(taken(&end.outcome))));
                } else if ended == StepState::Error {
                    done.push((claim.step, Done::Failed));
                } else if ended == StepState::Skipped {
                    done.push((claim.step, Done::Skipped));
                }
            }
            None => draft.refuse(claim),
        }
    }
    for (item, why) in &draft.view.given_up {
        let Some(place) = draft.place(*item) else { continue };
        growth::give_up(draft, place, *why)?;
        done.push((*item, Done::Failed));
    }
    let ready = readiness::close_parents(draft, done)?;
    readiness::hand_out(draft, &ready, room)
}

/// The branches that a decision step takes.
fn taken(outcome: &Outcome) -> Option<&Taken> {
    match outcome {
        Outcome::Decided(_, taken) => Some(taken),
        Outcome::Succeeded(_)
        | Outcome::Grew(..)
        | Outcome::Mapped(_)
        | Outcome::Failed(_)
        | Outcome::Recorded(_)
        | Outcome::ConditionUnmet(_)
        | Outcome::ItemGivenUp(_)
        | Outcome::GivenBack(_)
        | Outcome::Interrupted
        | Outcome::Waiting(_)
        | Outcome::WorkerDied => None,
    }
}

fn end_claim(draft: &mut Draft<'_>, place: Place, end: &ClaimEnd) -> Result<(), InvalidTransition> {
    let ClaimEnd { outcome, execution, .. } = end;
    let (outcome, error) = match outcome {
        Outcome::Succeeded(results) => {
            draft.transition(place, StepEvent::Succeeded)?.results = Some(Arc::clone(results));
            (AttemptOutcome::Succeeded, None)
        }
        Outcome::Decided(results, taken) => {
            let change = draft.transition(place, StepEvent::Succeeded)?;
            change.results = Some(Arc::clone(results));
            change.detail = Some(taken.detail());
            (AttemptOutcome::Succeeded, None)
        }
        Outcome::Grew(results, growth) => match growth::grow(draft, end.claim, growth) {
            Ok(()) => {
                let change = draft.transition(place, StepEvent::Succeeded)?;
                change.results = Some(Arc::clone(results));
                change.detail = Some(json!({ "added": growth.steps.len() }).to_string());
                (AttemptOutcome::Succeeded, None)
            }
            Err(problem) => refuse_growth(draft, place, &problem)?,
        },
        Outcome::Mapped(items) => match growth::map(draft, place, end.claim, items)? {
            Ok(()) => return Ok(()),
            Err(problem) => refuse_growth(draft, place, &problem)?,
        },
        Outcome::Failed(failure) | Outcome::Recorded(failure) => {
            fail(draft, place, failure)?;
            (recorded(failure.kind), serde_json::to_string(failure).ok())
        }
        Outcome::Waiting(wait) => {
            begin_wait(draft, place, wait)?;
            (AttemptOutcome::Waiting, None)
        }
        Outcome::ConditionUnmet(condition) => return leave_out(draft, place, condition),
        Outcome::ItemGivenUp(why) => return growth::give_up(draft, place, *why),
        Outcome::GivenBack(since) => return give_back(draft, place, *since),
        Outcome::Interrupted => {
            rescue::interrupt(draft, place)?;
            (AttemptOutcome::Interrupted, None)
        }
        Outcome::WorkerDied => {
            rescue::bury(draft, place)?;
            (AttemptOutcome::WorkerDied, serde_json::to_string(&rescue::death(end.claim)).ok())
        }
    };
    draft.change(place).ended = Some(EndedAttempt { outcome, execution: *execution, error });
    Ok(())
}

/// An attempt that adds what must not be added fails for good.
fn refuse_growth(
    draft: &mut Draft<'_>,
    place: Place,
    problem: &str,
) -> Result<(AttemptOutcome, Option<String>), InvalidTransition> {
    let failure = Failure {
        code: Some("INVALID_GROWTH".to_owned()),
        ..Failure::new(FailureKind::Permanent, "TaskerCore::PermanentError", problem)
    };
    fail(draft, place, &failure)?;
    Ok((AttemptOutcome::Permanent, serde_json::to_string(&failure).ok()))
}

/// The step is skipped; an attempt that never began does not count.
fn leave_out(
    draft: &mut Draft<'_>,
    place: Place,
    condition: &str,
) -> Result<(), InvalidTransition> {
    let change = draft.transition(place, StepEvent::ConditionUnmet)?;
    change.after.attempts -= 1;
    change.detail = Some(json!({ "because": "condition_unmet", "when": condition }).to_string());
    Ok(())
}

/// An attempt that never began does not count.
fn give_back(
    draft: &mut Draft<'_>,
    place: Place,
    since: Option<Timestamp>,
) -> Result<(), InvalidTransition> {
    let now = draft.now;
    let change = draft.transition(place, StepEvent::GivenBack)?;
    change.after.attempts -= 1;
    change.available_at = Some(since.map_or(now, |since| since.min(now)));
    Ok(())
}

/// An attempt that waits does not count as a failure. A signal that was sent before ends the wait at once.
fn begin_wait(
    draft: &mut Draft<'_>,
    place: Place,
    wait: &Arc<Wait>,
) -> Result<(), InvalidTransition> {
    let now = draft.now;
    let signalled = draft.view.signalled.contains(&draft.step(place).id);
    let deadline = wait.deadline(now);
    let at = if signalled { now } else { deadline.unwrap_or(NEVER) };
    let change = draft.transition(place, StepEvent::WentWaiting)?;
    change.available_at = Some(at);
    change.wait = Some(Arc::clone(wait));
    let signal = wait.signal.as_ref().map(|signal| signal.name.as_str());
    let detail = WaitDetail { signal, until: deadline, poll: wait.poll };
    change.detail = serde_json::to_string(&detail).ok();
    Ok(())
}

/// What a step waits for.
#[derive(Serialize)]
struct WaitDetail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll: Option<Poll>,
}

fn recorded(kind: FailureKind) -> AttemptOutcome {
    match kind {
        FailureKind::Retryable => AttemptOutcome::Retryable,
        FailureKind::Permanent => AttemptOutcome::Permanent,
        FailureKind::Blocked => AttemptOutcome::Blocked,
        FailureKind::Timeout => AttemptOutcome::Timeout,
    }
}

fn fail(draft: &mut Draft<'_>, place: Place, failure: &Failure) -> Result<(), InvalidTransition> {
    let policy = draft.policy(place);
    let failures = draft.step(place).failures + 1;
    let limit = policy.max_attempts();
    let event = match failure.kind {
        FailureKind::Permanent => StepEvent::FailedPermanently,
        FailureKind::Blocked => StepEvent::NeedsIntervention,
        FailureKind::Retryable | FailureKind::Timeout if !policy.retryable => {
            StepEvent::NotRetryable
        }
        FailureKind::Retryable | FailureKind::Timeout
            if failures >= limit && !removed(Guard::RetryLimit) =>
        {
            StepEvent::RetriesExhausted
        }
        FailureKind::Retryable | FailureKind::Timeout => return retry(draft, place, failure),
    };
    let change = draft.transition(place, event)?;
    change.after.failures = failures;
    change.detail = Some(json!({ "failures": failures, "retry_limit": limit }).to_string());
    Ok(())
}

fn retry(draft: &mut Draft<'_>, place: Place, failure: &Failure) -> Result<(), InvalidTransition> {
    let policy = draft.policy(place);
    let step = draft.step(place);
    let failures = step.failures + 1;
    let asked = failure.retry_after_s.filter(|_| !removed(Guard::AskedDelay));
    let unit = draft.jitter.unit(step.id, step.attempts);
    let delay = retry::delay(policy, failures, asked, unit);
    let at = draft.now + delay;
    if let Some(deadline) = late::too_late(draft, place, at) {
        let change = draft.transition(place, StepEvent::TimedOut)?;
        change.after.failures = failures;
        let detail = json!({ "deadline_at": deadline, "failures": failures, "retry_at": at });
        change.detail = Some(detail.to_string());
        return Ok(());
    }
    let change = draft.transition(place, StepEvent::RetryScheduled)?;
    change.after.failures = failures;
    change.available_at = Some(at);
    change.detail = RetryDetail {
        failures,
        retry_limit: policy.max_attempts(),
        delay_ms: delay.as_millis(),
        retry_at: at,
        delay_by: if asked.is_some() { "handler" } else { policy.backoff.as_str() },
    }
    .text();
    Ok(())
}

/// Why the next attempt comes when it does.
#[derive(Serialize)]
struct RetryDetail {
    failures: u32,
    retry_limit: u32,
    delay_ms: u128,
    retry_at: Timestamp,
    delay_by: &'static str,
}

impl RetryDetail {
    fn text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}
