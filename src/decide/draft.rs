//! The changes decided so far: working copies of the touched rows, one change a row.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::growth::Additions;
use super::retry::Jitter;
use super::{Undecided, budget, follow_up, task};
use crate::budget::Budget;
use crate::decision::{
    Added, ByStep, Claim, Decisions, Step, StepChange, Task, TaskChange, Timestamp, View,
};
use crate::guard::{Guard, removed};
use crate::ids::{StepId, TaskId};
use crate::retry_policy::RetryPolicy;
use crate::state::{InvalidTransition, StepEvent, StepState, TaskState};

static DEFAULT_POLICY: RetryPolicy = RetryPolicy::DEFAULT;

/// The turn of a step that makes no transition: what becomes of it follows from all others.
const NO_TURN: u32 = u32::MAX;

/// Where a draft keeps the change of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(usize);

pub(super) struct Draft<'v> {
    pub(super) view: &'v View,
    pub(super) now: Timestamp,
    pub(super) jitter: Jitter,
    /// In the order in which steps are touched. A change is large: it is made in its place, and moved at most once, at
    /// the end (`benches/decide`).
    steps: Vec<StepChange>,
    places: ByStep<Place>,
    /// For each of them, how many transitions there were before its last one.
    turns: Vec<u32>,
    transitions: u32,
    tasks: BTreeMap<TaskId, TaskChange>,
    stale: Vec<Claim>,
    /// Steps whose children the view should hold, and does not.
    unseen: BTreeSet<StepId>,
    /// Other steps that it should hold.
    unseen_steps: BTreeSet<StepId>,
    /// Steps that are added; nothing in most decisions.
    additions: Option<Box<Additions>>,
    /// The budgets as decided so far; none for tasks that have none.
    pub(super) budgets: BTreeMap<TaskId, Budget>,
    pub(super) postponed: Vec<StepId>,
    pub(super) resumed: BTreeMap<TaskId, u32>,
}

impl<'v> Draft<'v> {
    pub(super) fn new(view: &'v View, now: Timestamp, jitter: Jitter) -> Self {
        let most = view.steps.len();
        Self {
            view,
            now,
            jitter,
            steps: Vec::with_capacity(most),
            places: ByStep::with_capacity_and_hasher(most, Default::default()),
            turns: Vec::with_capacity(most),
            transitions: 0,
            tasks: BTreeMap::new(),
            stale: Vec::new(),
            unseen: BTreeSet::new(),
            unseen_steps: BTreeSet::new(),
            additions: None,
            budgets: view.budgets.clone(),
            postponed: Vec::new(),
            resumed: BTreeMap::new(),
        }
    }

    /// The steps that are added.
    pub(super) fn additions(&mut self) -> &mut Additions {
        self.additions.get_or_insert_default()
    }

    /// The same where there are some.
    pub(super) fn added(&mut self) -> Option<&mut Additions> {
        self.additions.as_deref_mut()
    }

    /// A step that is added, and where its change is kept.
    pub(super) fn add(&mut self, step: Step) -> Place {
        let place = Place(self.steps.len());
        self.places.insert(step.id, place);
        self.steps.push(unchanged(step));
        self.turns.push(NO_TURN);
        place
    }

    /// A step that the view does not hold, and is needed.
    pub(super) fn ask_for(&mut self, step: StepId) {
        self.unseen_steps.insert(step);
    }

    /// The place of a step of the view; `None` for any other. Its change begins as "nothing changes".
    pub(super) fn place(&mut self, id: StepId) -> Option<Place> {
        match self.places.entry(id) {
            Entry::Occupied(entry) => Some(*entry.get()),
            Entry::Vacant(entry) => {
                let step = *self.view.steps.get(&id)?;
                let place = *entry.insert(Place(self.steps.len()));
                self.steps.push(unchanged(step));
                self.turns.push(NO_TURN);
                Some(place)
            }
        }
    }

    /// The children of a step; `None` when the view does not hold them, so that nothing can be decided.
    pub(super) fn children(&mut self, parent: StepId) -> Option<&'v [StepId]> {
        let children = self.view.children.get(&parent);
        if children.is_none() && self.additions.as_ref().is_some_and(|added| added.has(parent)) {
            return Some(&[]);
        }
        if children.is_none() {
            self.unseen.insert(parent);
        }
        children.map(Vec::as_slice)
    }

    /// The step as decided so far.
    pub(super) fn step(&self, place: Place) -> &Step {
        &self.steps[place.0].after
    }

    /// The policy of a step whose claim ended otherwise than with results.
    pub(super) fn policy(&self, place: Place) -> &'v RetryPolicy {
        self.view.policies.get(&self.step(place).id).unwrap_or(&DEFAULT_POLICY)
    }

    /// The change of a step.
    pub(super) fn change(&mut self, place: Place) -> &mut StepChange {
        &mut self.steps[place.0]
    }

    /// Moves a step along its machine and counts it where it is, for its task.
    pub(super) fn transition(
        &mut self,
        place: Place,
        event: StepEvent,
    ) -> Result<&mut StepChange, InvalidTransition> {
        let step = self.step(place);
        let (from, task, failed_parents) = (step.state, step.id.task(), step.failed_parents);
        let to = from.after(event)?;
        self.count(task, from, to);
        if !self.budgets.is_empty() {
            budget::count(self, place, event, to);
        }
        if failed_parents > 0 && from == StepState::Pending {
            self.task(task).after.failures -= failed_parents;
        }
        self.turns[place.0] = self.transitions;
        self.transitions += 1;
        let change = self.change(place);
        change.after.state = to;
        // Parents are counted for a step that waits for them.
        change.after.open_parents = 0;
        change.after.failed_parents = 0;
        change.after.skipped_parents = 0;
        change.event = Some(event);
        if to != StepState::InProgress {
            change.after.worker = None;
        }
        Ok(change)
    }

    fn count(&mut self, task: TaskId, from: StepState, to: StepState) {
        let (left, entered) = (task::counter(from), task::counter(to));
        if left == entered {
            return;
        }
        let change = self.task(task);
        if let Some(counter) = left {
            *counter.of(&mut change.after) -= 1;
        }
        if let Some(counter) = entered.filter(|_| !removed(Guard::TaskCounters)) {
            *counter.of(&mut change.after) += 1;
        }
    }

    /// The change of a task of the view, begun as "nothing changes".
    pub(super) fn task(&mut self, id: TaskId) -> &mut TaskChange {
        let view = self.view;
        self.tasks.entry(id).or_insert_with(|| {
            let task: Task =
                *view.tasks.get(&id).expect("the view holds the task of every step that changes");
            TaskChange { before: task, after: task, event: None, detail: None }
        })
    }

    /// Refuses what is asked of a task of the view that is in such a state.
    pub(super) fn refuse_where(
        &self,
        is_refused: impl Fn(TaskState) -> bool,
        event: &'static str,
        allowed: &str,
    ) -> Result<(), InvalidTransition> {
        match self.view.tasks.values().find(|task| is_refused(task.state)) {
            Some(task) => Err(task.state.refuses(event, allowed)),
            None => Ok(()),
        }
    }

    pub(super) fn refuse(&mut self, claim: Claim) {
        self.stale.push(claim);
    }

    /// Lets each touched task follow from its counters, and drops what did not change.
    pub(super) fn finish(mut self) -> Result<Decisions, Undecided> {
        if !self.unseen.is_empty() {
            return Err(Undecided::UnseenChildren(self.unseen.into_iter().collect()));
        }
        if !self.unseen_steps.is_empty() {
            return Err(Undecided::UnseenSteps(self.unseen_steps.into_iter().collect()));
        }
        for (id, change) in &mut self.tasks {
            task::settle(change, self.budgets.get(id))?;
        }
        let added = self.additions.take();
        let added = added.map_or_else(Added::default, |added| {
            let places = &self.places;
            added.finish(&mut self.steps, |step| places.get(&step).map(|place| place.0))
        });
        self.sort();
        self.steps.retain(|change| change.before != change.after);
        // No decision pauses a task, or lets it go on, and enqueues steps of it as well.
        let paused = |task: &&Task| task.state == TaskState::Paused;
        let paused = self.view.tasks.values().filter(paused).map(|task| task.id).collect();
        let prioritised = self.view.tasks.values().filter(|task| task.priority != 0);
        let prioritised = prioritised.filter(|_| !removed(Guard::PrioritiesGoAlong));
        let priorities = prioritised.map(|task| (task.id, task.priority)).collect();
        let follow_ups = self.tasks.values().flat_map(|change| follow_up::after(change, self.view));
        Ok(Decisions {
            paused,
            priorities,
            follow_ups: follow_ups.collect(),
            abandoned: self.steps.iter().filter_map(follow_up::abandoned).collect(),
            added,
            steps: self.steps,
            tasks: self.tasks.into_values().filter(TaskChange::says_something).collect(),
            stale: self.stale,
            now: self.now,
            budgets: budget::changed(self.view, self.budgets),
            postponed: self.postponed,
            resumed: self.resumed,
        })
    }

    /// Brings the changes into the order of their transitions, in which each follows from those before it: one that was
    /// touched early, by an end that came too late or the first of its parents, may have got ready as the last. Most are
    /// in order. From then on no place is valid.
    fn sort(&mut self) {
        if self.turns.is_sorted() || removed(Guard::TransitionsInOrder) {
            return;
        }
        let changes = std::mem::take(&mut self.steps);
        let mut in_turn: Vec<_> = self.turns.iter().zip(changes).collect();
        in_turn.sort_by_key(|(turn, _)| **turn);
        self.steps = in_turn.into_iter().map(|(_, change)| change).collect();
    }
}

fn unchanged(step: Step) -> StepChange {
    StepChange {
        before: step,
        after: step,
        event: None,
        available_at: None,
        results: None,
        detail: None,
        ended: None,
        wait: None,
    }
}
