//! Asks the decider, and shows it the children that its answer turns out to matter to.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::ending::{ByTask, queue_of, step};
use super::growth::{self, template_of};
use super::ledger::Ledger;
use crate::budget::Cost;
use crate::decide::{Jitter, Undecided, decide};
use crate::decision::{ByStep, Decisions, Join, Observation, Timestamp, View};
use crate::error::Error;
use crate::ids::{StepId, TaskId};
use crate::store::Transaction;

/// What is known of steps without their rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    pub(super) by_task: &'a ByTask,
    /// The queues of the one who takes steps at once; `None` for all.
    pub(super) served: Option<&'a [String]>,
    /// The claims of the one who does.
    pub(super) ledger: Option<&'a Ledger>,
    /// Tasks to which steps were added: what their steps depend on is in their rows.
    pub(super) grown: &'a BTreeSet<TaskId>,
}

impl Sight<'_> {
    /// When a step may start; as by default for a step that no template tells.
    pub(super) fn join(&self, step: StepId) -> Join {
        self.by_task.get(&step.task()).map(|stored| stored.join(step)).unwrap_or_default()
    }

    /// The children of a step; `None` when no template tells them.
    pub(super) fn children(&self, parent: StepId) -> Option<Vec<StepId>> {
        let stored = self.by_task.get(&parent.task())?;
        if self.grown.contains(&parent.task()) {
            return None;
        }
        stored.step(parent)?;
        Some(stored.children(parent).iter().map(|index| parent.task().step(*index)).collect())
    }

    /// How long these steps wait after they got ready, where they do.
    pub(super) fn delays(
        &self,
        steps: impl Iterator<Item = StepId>,
        prototypes: &ByStep<u32>,
    ) -> ByStep<Duration> {
        if !self.by_task.values().any(|stored| stored.delays) {
            return ByStep::default();
        }
        let delay = |step: StepId| {
            let template = template_of(self.by_task, prototypes, step)?;
            // A map step has waited before its items were made.
            let is_item = template.map.is_some() && prototypes.contains_key(&step);
            Some((step, template.delay.filter(|_| !is_item)?))
        };
        steps.filter_map(delay).collect()
    }

    /// What a step reserves before it starts, where it does.
    pub(super) fn reserve(&self, step: StepId, prototypes: &ByStep<u32>) -> Option<Cost> {
        template_of(self.by_task, prototypes, step)?.reserve_cost
    }

    /// Those of the steps that are not taken at once: others serve them, or one of their attempts is ending here.
    pub(super) fn elsewhere(
        &self,
        steps: impl Iterator<Item = StepId> + Clone,
        prototypes: &ByStep<u32>,
    ) -> BTreeSet<StepId> {
        let mut left = self.ledger.map_or_else(BTreeSet::new, |l| l.ending(steps.clone()));
        if let Some(served) = self.served {
            let is_served = |step| served.contains(&queue_of(step, self.by_task, prototypes));
            left.extend(steps.filter(|step| !is_served(*step)));
        }
        left
    }
}

/// Decides what follows from `observation`, and reads the children that have to be seen for it.
///
/// # Errors
/// [`Error::Transition`], and what reading comes to.
pub(super) async fn decide_seeing(
    tx: &mut impl Transaction,
    view: &mut View,
    observation: &Observation,
    now: Timestamp,
    sight: Sight<'_>,
) -> Result<Decisions, Error> {
    let mut ahead = 0;
    loop {
        match decide(view, observation, now, Jitter::at(now)) {
            Ok(decisions) => return Ok(decisions),
            Err(Undecided::Transition(source)) => {
                let task = view.tasks.keys().next().copied().unwrap_or(TaskId(0));
                return Err(Error::transition(task, source));
            }
            Err(Undecided::UnseenSteps(steps)) => growth::see(tx, view, &steps, sight).await?,
            Err(Undecided::UnseenChildren(parents)) => {
                see_children(tx, view, parents, ahead, sight).await?;
                // Skips may go on for long: as many rows again as were needed so far are read at once.
                ahead = view.steps.len();
            }
        }
    }
}

/// Adds the children of `parents` to the view, and about `ahead` rows of those that come after them.
async fn see_children(
    tx: &mut impl Transaction,
    view: &mut View,
    parents: Vec<StepId>,
    ahead: usize,
    sight: Sight<'_>,
) -> Result<(), Error> {
    let mut unread = BTreeSet::new();
    let mut strange = Vec::new();
    let wanted = parents.len();
    let mut family = parents;
    let mut next = 0;
    while next < family.len() && (next < wanted || unread.len() < ahead) {
        let parent = family[next];
        next += 1;
        if view.children.contains_key(&parent) {
            continue;
        }
        let children = sight.children(parent);
        if children.is_none() {
            strange.push(parent);
        }
        let children = children.unwrap_or_default();
        unread.extend(children.iter().filter(|child| !view.steps.contains_key(child)));
        family.extend_from_slice(&children);
        view.children.insert(parent, children);
    }
    let unread: Vec<_> = unread.into_iter().collect();
    let mut told: HashMap<StepId, Vec<StepId>> = HashMap::new();
    let mut read = Vec::new();
    for row in tx.read_ended_steps(&unread, &strange).await? {
        let id = row.step.id;
        read.push(id);
        view.steps.entry(id).or_insert_with(|| step(&row.step, sight.join(id)));
        if let Some(parent) = row.parent {
            told.entry(parent).or_default().push(id);
        }
    }
    view.children.extend(told);
    growth::learn(tx, view, &read, sight).await?;
    let prototypes = &view.grown.prototypes;
    view.elsewhere.extend(sight.elsewhere(view.steps.keys().copied(), prototypes));
    view.delays.extend(sight.delays(view.steps.keys().copied(), prototypes));
    Ok(())
}
