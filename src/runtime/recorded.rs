//! Attempts that run in transactions of the application's: these record how they ended, so that it is known by whoever ends
//! their claims, and is so if, and only if, all else that they did is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ending::{Known, Observed, end_claims};
use super::orchestrator::failure;
use super::spending::Spent;
use super::templates::Templates;
use crate::budget::Cost;
use crate::decision::{Claim, ClaimEnd, Decisions, Failure, FailureKind, Outcome, Taken};
use crate::error::Error;
use crate::guard::{Guard, removed};
use crate::ids::{StepId, TaskId};
use crate::store::{RecordedEnd, StoreError, Transaction};

/// What became of an end that was to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// It is recorded once the transaction is committed.
    Recorded,
    /// Others have ended the attempt: the transaction is to be rolled back.
    Lost,
    /// The attempt fails because of what its handler said: the transaction is to be rolled back, and the end reported as that of any
    /// other attempt.
    Refused,
}

impl Recording {
    /// As it is named across the border.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Lost => "lost",
            Self::Refused => "refused",
        }
    }
}

/// The end of an attempt as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    results: Box<RawValue>,
    /// The children that a step takes which does not take all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    took: Option<BTreeMap<StepId, String>>,
    /// The step's name, where it decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    /// What the attempt has spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spent: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    execution_us: Option<u64>,
}

/// The text that is kept of an end; `None` for one that is not kept: only success is.
pub(super) fn to_json(end: &ClaimEnd, spent: Option<Cost>) -> Option<String> {
    let (results, taken) = match &end.outcome {
        Outcome::Succeeded(results) => (results, None),
        Outcome::Decided(results, taken) => (results, Some(taken)),
        Outcome::Grew(..)
        | Outcome::Mapped(_)
        | Outcome::Failed(_)
        | Outcome::Recorded(_)
        | Outcome::Waiting(_)
        | Outcome::ConditionUnmet(_)
        | Outcome::ItemGivenUp(_)
        | Outcome::GivenBack(_)
        | Outcome::Interrupted
        | Outcome::WorkerDied => return None,
    };
    let execution = end.execution.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    let kept = Kept {
        results: RawValue::from_string(results.to_string()).ok()?,
        took: taken.map(|taken| taken.branches.clone()),
        decision: taken.map(|taken| taken.decision.clone()),
        spent: spent.map(Cost::number),
        execution_us: execution,
    };
    serde_json::to_string(&kept).ok()
}

fn read(claim: Claim, text: &str) -> Result<(ClaimEnd, Option<Cost>), serde_json::Error> {
    let Kept { results, took, decision, spent, execution_us } = serde_json::from_str(text)?;
    let results: Arc<str> = results.get().into();
    let taken = |branches| Taken { decision: decision.unwrap_or_default(), branches };
    let outcome = match took {
        Some(took) => Outcome::Decided(results, Arc::new(taken(took))),
        None => Outcome::Succeeded(results),
    };
    let end = ClaimEnd { claim, outcome, execution: execution_us.map(Duration::from_micros) };
    Ok((end, spent.and_then(Cost::from_number)))
}

/// Whether an attempt that is said to end so may have recorded how it ended: its transaction may have been committed before
/// somebody else ended it, or without its worker being told so.
fn may_be_recorded(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Recorded(_) => true,
        Outcome::Interrupted
        | Outcome::WorkerDied
        | Outcome::Failed(Failure { kind: FailureKind::Timeout, .. }) => {
            !removed(Guard::RecordedEndsCount)
        }
        Outcome::Succeeded(_)
        | Outcome::Decided(..)
        | Outcome::Grew(..)
        | Outcome::Mapped(_)
        | Outcome::Failed(_)
        | Outcome::Waiting(_)
        | Outcome::ConditionUnmet(_)
        | Outcome::ItemGivenUp(_)
        | Outcome::GivenBack(_) => false,
    }
}

/// The ends with what their attempts have recorded in the place of what is said of them, under the locks of their tasks: who
/// records an end holds that of its task until it is there. Those that were to be recorded and are not have failed. Adds what
/// the attempts have spent.
pub(super) async fn heed(
    tx: &mut impl Transaction,
    mut ends: Vec<ClaimEnd>,
    spent: &mut Spent,
) -> Result<Vec<ClaimEnd>, Error> {
    let in_doubt = ends.iter().filter(|end| may_be_recorded(&end.outcome));
    let in_doubt: Vec<_> = in_doubt.map(|end| end.claim).collect();
    if in_doubt.is_empty() {
        return Ok(ends);
    }
    for RecordedEnd { claim, outcome } in tx.take_recorded_ends(&in_doubt).await? {
        let what = format!("the end of attempt {} of step {}", claim.attempt, claim.step);
        let text = outcome.map_err(|source| Error::Decryption { what: what.clone(), source })?;
        let (recorded, cost) = read(claim, &text).map_err(|source| unreadable(&what, source))?;
        if let Some(cost) = cost {
            spent.insert((claim.step, claim.attempt), cost);
        }
        for end in ends.iter_mut().filter(|end| end.claim == claim) {
            *end = recorded.clone();
        }
    }
    for end in &mut ends {
        if let Outcome::Recorded(failure) = &end.outcome {
            end.outcome = Outcome::Failed(failure.clone());
        }
    }
    Ok(ends)
}

/// Only the engine writes it: a later version of it.
fn unreadable(what: &str, source: serde_json::Error) -> StoreError {
    let message = format!("{what} cannot be read: {source}");
    StoreError::Other { code: None, message, source: Box::new(sqlx::Error::Decode(source.into())) }
}

/// Ends the attempts of a task that have recorded how they ended, so that nobody ends them otherwise. The task is locked; `None`
/// where there are none. Else the caller commits, and begins anew with what it was about to do.
pub(super) async fn settle(
    tx: &mut impl Transaction,
    templates: &Templates,
    task: TaskId,
) -> Result<Option<Decisions>, Error> {
    if removed(Guard::RecordedEndsCount) {
        return Ok(None);
    }
    let claims = tx.recorded_ends_of(task).await?;
    if claims.is_empty() {
        return Ok(None);
    }
    let end = |claim| ClaimEnd { claim, outcome: not_committed(), execution: None };
    let observed = Observed {
        ends: claims.into_iter().map(end).collect(),
        known: &Known::new(),
        room: None,
        queues: None,
        ledger: None,
        spent: Spent::new(),
    };
    Ok(Some(end_claims(tx, templates, observed, &[]).await?.decisions))
}

/// The end of an attempt whose transaction was to be committed, and of whose failure nothing else is known.
pub(crate) fn not_committed() -> Outcome {
    let message = "the transaction in which the handler was executed was not committed";
    Outcome::Recorded(failure(FailureKind::Retryable, "NotCommitted", message.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::WorkerId;

    const CLAIM: Claim = Claim { step: StepId(7 << 20), attempt: 2, worker: WorkerId(3) };

    fn end(outcome: Outcome) -> ClaimEnd {
        ClaimEnd { claim: CLAIM, outcome, execution: Some(Duration::from_micros(1_500)) }
    }

    #[test]
    fn what_is_kept_of_a_success_is_read_as_it_was() {
        let branches = BTreeMap::from([(StepId(7 << 20 | 1), "ship".to_owned())]);
        let taken = Taken { decision: "route".to_owned(), branches };
        let results: Arc<str> = "{ \"n\": 1e400 }".into();
        let cost = Cost::from_number(0.25);
        for (outcome, spent) in [
            (Outcome::Succeeded(Arc::clone(&results)), None),
            (Outcome::Decided(Arc::clone(&results), Arc::new(taken)), cost),
            (Outcome::Decided("null".into(), Arc::default()), None),
        ] {
            let text = to_json(&end(outcome.clone()), spent).expect("a success is kept");
            assert_eq!(read(CLAIM, &text).expect("it is read"), (end(outcome), spent), "{text}");
        }
    }

    #[test]
    fn nothing_is_kept_of_other_ends() {
        for outcome in
            [not_committed(), Outcome::Interrupted, Outcome::Grew("1".into(), Arc::default())]
        {
            assert_eq!(to_json(&end(outcome), None), None);
        }
    }
}
