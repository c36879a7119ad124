//! Which children of a decision step are taken, from the names that its handler or an operator says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::arguments::parse;
use super::orchestrator::failure;
use super::templates::Stored;
use crate::decision::{FailureKind, Growth, Outcome, Taken};
use crate::error::Error;
use crate::ids::StepId;
use crate::json;
use crate::store::Transaction;
use crate::suggest::nearest;

/// Most names of branches that a message lists.
const MOST_NAMES: usize = 20;

/// Longest part of a name that a message repeats, in characters.
const LONGEST_NAME: usize = 80;

/// Code of attempts whose decision is refused.
const INVALID_DECISION: &str = "INVALID_DECISION";

/// What tells which children of a step are taken when it is complete.
#[derive(Debug)]
pub(crate) struct Decider {
    pub(crate) stored: Arc<Stored>,
    /// The task's context, JSON text.
    pub(crate) context: Arc<str>,
}

/// How an attempt ended that returned results and adds steps. `decision`: of a step whose children are not all taken.
pub(super) fn grown(decision: Option<&Decider>, results: Arc<str>, growth: Growth) -> Outcome {
    if decision.is_none() {
        return Outcome::Grew(results, Arc::new(growth));
    }
    let message = "the handler adds steps, and its step decides, or conditions lie on the edges to the steps below it; \
                   allowed: other steps";
    let mut failure = failure(FailureKind::Permanent, "Permanent", message.to_owned());
    failure.code = Some("INVALID_GROWTH".to_owned());
    Outcome::Failed(failure)
}

/// How an attempt ended that returned results. `decision`: of a step whose children are not all taken; `took`: the names of
/// the branches that its handler takes.
pub(super) fn outcome(
    decision: Option<&Decider>,
    step: StepId,
    results: Arc<str>,
    took: Option<&[String]>,
) -> Outcome {
    let stored = decision.map(|decision| &*decision.stored);
    let deciding = stored.filter(|stored| stored.decides(step));
    let taken = match (deciding, took) {
        (None, None) if decision.is_none() => return Outcome::Succeeded(results),
        (None, None) => Ok(stored.map(|stored| all(stored, step)).unwrap_or_default()),
        (None, Some(_)) => {
            Err("the handler takes branches, and the template does not say that its step decides; \
                                add decides: true to the step"
                .to_owned())
        }
        (Some(stored), None) => Err(took_nothing(stored, step)),
        (Some(stored), Some(took)) => taken(stored, step, took),
    };
    match taken {
        Ok(mut taken) => {
            if let Some(Decider { stored, context }) = decision {
                leave_out_unmet(&mut taken, stored, step, (context, &results));
            }
            Outcome::Decided(results, Arc::new(taken))
        }
        Err(message) => {
            let mut failure = failure(FailureKind::Permanent, "Permanent", message);
            failure.code = Some(INVALID_DECISION.to_owned());
            Outcome::Failed(failure)
        }
    }
}

/// All children of a step.
pub(super) fn all(stored: &Stored, step: StepId) -> Taken {
    let children = stored.children(step).iter();
    let branches =
        children.map(|index| (step.task().step(*index), child_name(stored, *index).to_owned()));
    Taken { decision: name_of(stored, step).to_owned(), branches: branches.collect() }
}

/// Leaves out the children of a step on whose edge the condition is not met by the context and the step's results. Where
/// that cannot be told the child is taken, and finds it out when it is about to be executed.
pub(super) fn leave_out_unmet(
    taken: &mut Taken,
    stored: &Stored,
    step: StepId,
    (context, results): (&str, &str),
) {
    if !stored.has_conditions(step) {
        return;
    }
    let name = name_of(stored, step);
    taken.branches.retain(|child, _| {
        let condition = stored.edge_condition(step, *child);
        let met =
            condition.map(|condition| condition.is_met(context, std::iter::once((name, results))));
        !matches!(met, Some(Ok(false)))
    });
}

/// Names of branches from a JSON array.
///
/// # Errors
/// [`Error::Argument`] where it is none, or one of something else.
pub fn names(json: &str) -> Result<Vec<String>, Error> {
    parse("take", json)
}

/// The children of these names. A name may stand more than once.
pub(super) fn taken(stored: &Stored, step: StepId, names: &[String]) -> Result<Taken, String> {
    let mut branches = BTreeMap::new();
    for name in names {
        let named = stored.template.step_index(name).map(|index| step.task().step(index));
        let child = named.filter(|child| stored.parents(*child).contains(&step.index()));
        let child = child.ok_or_else(|| no_branch(stored, step, name))?;
        branches.insert(child, name.clone());
    }
    Ok(Taken { decision: name_of(stored, step).to_owned(), branches })
}

/// What decision steps have taken the last time that they were complete.
pub(super) async fn taken_before(
    tx: &mut impl Transaction,
    stored: &Stored,
    steps: &BTreeSet<StepId>,
) -> Result<BTreeMap<StepId, Taken>, Error> {
    if steps.is_empty() {
        return Ok(BTreeMap::new());
    }
    let steps: Vec<_> = steps.iter().copied().collect();
    let rows = tx.taken_branches(&steps).await?;
    let taken = rows.into_iter().filter_map(|(step, took)| {
        let names: Vec<String> = serde_json::from_str(&took).ok()?;
        Some((step, taken(stored, step, &names).ok()?))
    });
    Ok(taken.collect())
}

/// The branches of a step, for messages.
pub(super) fn allowed(stored: &Stored, step: StepId) -> String {
    let children = stored.children(step);
    let shown =
        children.iter().take(MOST_NAMES).map(|child| format!("{:?}", child_name(stored, *child)));
    let mut shown: Vec<_> = shown.collect();
    if children.len() > MOST_NAMES {
        shown.push(format!("({} more)", children.len() - MOST_NAMES));
    }
    shown.join(", ")
}

fn no_branch(stored: &Stored, step: StepId, name: &str) -> String {
    let names = stored.children(step).iter().map(|child| child_name(stored, *child));
    let meant = nearest(name, names);
    let meant = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
    format!(
        "step {:?} takes {:?}, which is not a branch of it; allowed: {}{meant}",
        name_of(stored, step),
        json::shorten(name, LONGEST_NAME),
        allowed(stored, step)
    )
}

fn took_nothing(stored: &Stored, step: StepId) -> String {
    let (name, allowed) = (name_of(stored, step), allowed(stored, step));
    format!(
        "step {name:?} decides, and its handler did not say which branches it takes; call step.take with the names of \
         some of {allowed}, or without any to take none"
    )
}

fn name_of(stored: &Stored, step: StepId) -> &str {
    stored.step(step).map_or("", |step| step.name.as_str())
}

fn child_name(stored: &Stored, child: u32) -> &str {
    stored.template.steps().get(child as usize).map_or("", |step| step.name.as_str())
}
