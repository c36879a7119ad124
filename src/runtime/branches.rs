//! Which children of a decision step are taken, from the names that its handler or an operator says.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::arguments::parse;
use super::orchestrator::failure;
use super::templates::Stored;
use crate::decision::{FailureKind, Growth, Outcome, Taken};
use crate::error::Error;
use crate::ids::StepId;
use crate::json;
use crate::suggest::nearest;

/// Most names of branches that a message lists.
const MOST_NAMES: usize = 20;

/// Longest part of a name that a message repeats, in characters.
const LONGEST_NAME: usize = 80;

/// Code of attempts whose decision is refused.
const INVALID_DECISION: &str = "INVALID_DECISION";

/// How an attempt ended that returned results and adds steps. `decision`: the template of a step that decides.
pub(super) fn grown(decision: Option<&Stored>, results: Arc<str>, growth: Growth) -> Outcome {
    if decision.is_none() {
        return Outcome::Grew(results, Arc::new(growth));
    }
    let message = "the handler adds steps, and its step decides; allowed: steps that do not decide";
    let mut failure = failure(FailureKind::Permanent, "Permanent", message.to_owned());
    failure.code = Some("INVALID_GROWTH".to_owned());
    Outcome::Failed(failure)
}

/// How an attempt ended that returned results. `decision`: the template of a step that decides; `took`: the names of
/// the branches that its handler takes.
pub(super) fn outcome(
    decision: Option<&Stored>,
    step: StepId,
    results: Arc<str>,
    took: Option<&[String]>,
) -> Outcome {
    let taken = match (decision, took) {
        (None, None) => return Outcome::Succeeded(results),
        (None, Some(_)) => {
            Err("the handler takes branches, and the template does not say that its step decides; \
                                add decides: true to the step"
                .to_owned())
        }
        (Some(stored), None) => Err(took_nothing(stored, step)),
        (Some(stored), Some(took)) => taken(stored, step, took),
    };
    match taken {
        Ok(taken) => Outcome::Decided(results, Arc::new(taken)),
        Err(message) => {
            let mut failure = failure(FailureKind::Permanent, "Permanent", message);
            failure.code = Some(INVALID_DECISION.to_owned());
            Outcome::Failed(failure)
        }
    }
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
