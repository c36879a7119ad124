//! What the steps before a step mean for it: that it waits, cannot start or was skipped.

use std::collections::HashSet;

use serde_json::Value;

use super::words::{MOST_PARENTS, asked_by, parsed, shown, words};
use super::{Facts, parents_in};
use crate::ids::StepId;
use crate::join_policy::JoinPolicy;
use crate::state::StepState;
use crate::store::StepTransitionRow;
use crate::template::{COMPENSATION_SUFFIX, TaskTemplate};

impl Facts<'_> {
    pub(super) fn pending(&self, at: usize) -> String {
        if let Some(mapping) = self.mapping(at) {
            return mapping;
        }
        let parents = self.parents(at);
        let all = parents.len();
        let join = self.step(at).map_or_else(JoinPolicy::default, |step| step.join);
        let of_state = |wanted: fn(StepState) -> bool| -> Vec<usize> {
            parents.iter().copied().filter(|parent| wanted(self.steps[*parent].state)).collect()
        };
        let failed = of_state(|state| state == StepState::Error);
        if let (JoinPolicy::AllComplete | JoinPolicy::NoneFailed, Some(parent)) =
            (join, failed.first())
        {
            return format!("cannot start: its parent {} is in error", self.name(*parent));
        }
        let open = of_state(|state| !state.is_terminal());
        if open.is_empty() {
            let failed = self.names(&failed);
            return format!("cannot start: it starts {}, and in error are: {failed}", wanted(join));
        }
        let (left, names) = (open.len(), self.names(&open));
        let waits = match all {
            1 => format!("waits for its parent {names}"),
            _ => format!("waits for {left} of {all} parents: {names}"),
        };
        let when = if join == JoinPolicy::default() {
            String::new()
        } else {
            format!("; it starts {}", wanted(join))
        };
        let held_up = match &*self.held_up_by(open) {
            [] => String::new(),
            steps => format!("; further up: {}", self.names(steps)),
        };
        waits + &when + &held_up
    }

    /// The steps in error or blocked above steps that wait for their parents.
    fn held_up_by(&self, mut waiting: Vec<usize>) -> Vec<usize> {
        let mut seen: HashSet<_> = waiting.iter().copied().collect();
        let mut found = Vec::new();
        while let Some(at) = waiting.pop() {
            if self.steps[at].state != StepState::Pending {
                continue;
            }
            for parent in self.parents(at) {
                if !seen.insert(parent) {
                    continue;
                }
                match self.steps[parent].state {
                    StepState::Pending => waiting.push(parent),
                    StepState::Error | StepState::Blocked => found.push(parent),
                    StepState::Enqueued
                    | StepState::InProgress
                    | StepState::WaitingForRetry
                    | StepState::Waiting
                    | StepState::Complete
                    | StepState::Skipped
                    | StepState::Cancelled
                    | StepState::ResolvedManually => {}
                }
            }
        }
        found.sort_unstable();
        found
    }

    pub(super) fn skipped(&self, at: usize, change: Option<&StepTransitionRow>) -> String {
        let detail = change.and_then(|change| change.detail.as_deref());
        let why = parsed(detail);
        if let Some(task) = why["copied_from"].as_i64() {
            return format!("skipped as in task {task}, of which its task is a fork");
        }
        if why["because"].is_null() {
            return format!("skipped by {}", asked_by(detail));
        }
        if let Some(condition) = why["when"].as_str() {
            if self.template.name().ends_with(COMPENSATION_SUFFIX) {
                return format!("there is nothing to undo: it is not so that {condition}");
            }
            return format!("skipped: its condition {condition} was not met");
        }
        self.not_taken(at).unwrap_or_else(|| {
            let join = self.step(at).map_or_else(JoinPolicy::default, |step| step.join);
            let mut parents = self.parents(at);
            parents.retain(|parent| self.steps[*parent].state == StepState::Skipped);
            format!("skipped: it starts {}; {}", wanted(join), self.skipped_ones(&parents))
        })
    }

    fn skipped_ones(&self, parents: &[usize]) -> String {
        let names: Vec<_> = parents.iter().map(|parent| self.name(*parent)).collect();
        match &*names {
            [] => "too many of them count as skipped".to_owned(),
            [one] => format!("{one} was skipped"),
            more => format!("{} were skipped", shown(more)),
        }
    }

    /// The decision that did not take the step, if there is one.
    fn not_taken(&self, at: usize) -> Option<String> {
        let step = StepId(self.steps[at].workflow_step_id);
        decisions_above(self.template, step).find_map(|decision| {
            let history = self.history.get(&decision.0)?;
            let decision = self.at(decision.0)?;
            let branches = branches(history.last()?)?;
            if branches.contains(&self.name(at)) {
                return None;
            }
            let conditions = &self.template.steps().get(at)?.edge_conditions;
            let decides = self.template.steps().get(decision)?.decides;
            let decision = self.name(decision);
            let condition = conditions.get(&decision).map(|condition| condition.text());
            if let Some(condition) = condition.filter(|_| !decides) {
                return Some(format!(
                    "skipped: the condition {condition} on the edge from {decision} was not met"
                ));
            }
            let or_condition = condition
                .map(|condition| format!(", or the condition {condition} on the edge was not met"));
            let or_condition = or_condition.unwrap_or_default();
            Some(match &*branches {
                [] => format!("skipped: {decision} took no branch{or_condition}"),
                some => {
                    format!(
                        "skipped: {decision} took {}, not this branch{or_condition}",
                        shown(some)
                    )
                }
            })
        })
    }

    /// What a decision took, or which steps below are left out by conditions, as the end of a sentence.
    pub(super) fn took(&self, at: usize, change: Option<&StepTransitionRow>) -> String {
        let Some(taken) = change.and_then(branches) else { return String::new() };
        if self.step(at).is_some_and(|step| step.decides) {
            return match &*taken {
                [] => "; took no branch".to_owned(),
                some => format!("; took {}", shown(some)),
            };
        }
        let name = self.name(at);
        let below = self.template.steps().iter();
        let left_out = below
            .filter(|step| step.edge_conditions.contains_key(&name) && !taken.contains(&step.name));
        let left_out: Vec<_> = left_out.map(|step| step.name.clone()).collect();
        match &*left_out {
            [] => String::new(),
            [one] => format!("; the condition on its edge to {one} was not met"),
            more => format!("; the conditions on its edges to {} were not met", shown(more)),
        }
    }

    /// The steps' names and states, the first of them.
    fn names(&self, steps: &[usize]) -> String {
        let name = |at: &usize| format!("{} ({})", self.name(*at), words(self.steps[*at].state));
        let shown: Vec<_> = steps.iter().take(MOST_PARENTS).map(name).collect();
        let more = steps.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        shown.join(", ") + &more
    }
}

/// When a step with this join policy starts.
fn wanted(join: JoinPolicy) -> String {
    match join {
        JoinPolicy::AllComplete => "when all its parents are complete".to_owned(),
        JoinPolicy::AllDone => "when all its parents are done".to_owned(),
        JoinPolicy::AnyComplete => "when one of its parents is complete".to_owned(),
        JoinPolicy::NoneFailed => "when none of its parents failed and one is complete".to_owned(),
        JoinPolicy::Quorum(count) => format!("when {count} of its parents are complete"),
    }
}

/// The parents of a step that may leave it out: they decide, or a condition lies on the edge.
pub(super) fn decisions_above(
    template: &TaskTemplate,
    step: StepId,
) -> impl Iterator<Item = StepId> {
    let parents = parents_in(template, step).iter();
    let conditions = template.steps().get(step.index() as usize).map(|step| &step.edge_conditions);
    let parents = parents.filter(move |parent| {
        let parent = &template.steps()[**parent as usize];
        parent.decides || conditions.is_some_and(|all| all.contains_key(&parent.name))
    });
    parents.map(move |parent| step.task().step(*parent))
}

/// The names of the branches that a decision took.
fn branches(change: &StepTransitionRow) -> Option<Vec<String>> {
    let detail = parsed(change.detail.as_deref());
    let names = detail["took"].as_array()?.iter().filter_map(Value::as_str);
    Some(names.map(str::to_owned).collect())
}
