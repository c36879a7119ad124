//! The rows of the schema, and what a statement reads of them. No time passes here and nobody waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::plan::When;
use crate::budget::{Budget, Constraint, Cost};
use crate::decision::{AwaitedSignal, Claim, Task, Timestamp};
use crate::identity::Identity;
use crate::ids::{ClaimBatchId, FollowUpId, SignalId, StepId, TaskId, TemplateId, WorkerId};
use crate::join_policy::JoinPolicy;
use crate::retry_policy::RetryPolicy;
use crate::state::{FollowUpKind, StepEvent, StepState, TaskEvent, TaskState, WorkerState};
use crate::store::{Call, ListedClaim, LoadedTemplate, Place, StepRow, TaskRow};

#[derive(Clone, Debug)]
pub(super) struct TemplateRecord {
    pub(super) configuration: String,
    /// The parents of each step.
    pub(super) parents: Vec<Vec<u32>>,
    pub(super) joins: Vec<JoinPolicy>,
    /// Which children each decision step takes.
    pub(super) taken: Vec<Option<Vec<u32>>>,
    /// What becomes of each step's condition.
    pub(super) whens: Vec<Option<When>>,
    pub(super) queues: Vec<String>,
    pub(super) retry_limits: Vec<u32>,
    /// Whether all attempts of a step together have a limit.
    pub(super) limited: Vec<bool>,
    /// How each map step's items run.
    pub(super) maps: Vec<Option<super::plan::MapPlan>>,
    /// Which steps may add others.
    pub(super) grows: Vec<bool>,
    /// Which steps are executed in transactions of the application's.
    pub(super) transactional: Vec<bool>,
    /// What each step reserves of a budget.
    pub(super) reserves: Vec<Cost>,
    /// Which steps run a task of another template, and which of them leave it alone when they are ended by others.
    pub(super) runs: Vec<bool>,
    pub(super) leaves: Vec<bool>,
    /// How long each step waits after it got ready.
    pub(super) delays: Vec<Duration>,
    /// How many workers may die over each step.
    pub(super) crash_limits: Vec<u32>,
    /// Its tasks are undone only where an operator asks for it.
    pub(super) by_hand: bool,
    /// Its name, and of a template that undoes another one, that one and the steps of it.
    pub(super) name: String,
    pub(super) undoes: Option<(TemplateId, Vec<u32>)>,
}

/// A task that a step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChildRecord {
    pub(super) step: StepId,
    pub(super) name: String,
    pub(super) generation: u32,
    pub(super) depth: u32,
    pub(super) left_alone: bool,
    pub(super) superseded: bool,
}

/// A step that was added, and the parents that its row was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddedRecord {
    pub(super) prototype: u32,
    pub(super) item: Option<u32>,
    pub(super) by: StepId,
    /// The one that has added it was executed anew.
    pub(super) retired: bool,
}

/// Where a task comes from that is a fork, and the positions of the steps that it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ForkRecord {
    pub(super) source: TaskId,
    pub(super) first: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TaskRecord {
    pub(super) task: Task,
    pub(super) template: TemplateId,
    pub(super) total_steps: u32,
    pub(super) requested_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct StepRecord {
    pub(super) state: StepState,
    pub(super) open_parents: u32,
    pub(super) failed_parents: u32,
    pub(super) skipped_parents: u32,
    pub(super) attempts: u32,
    pub(super) failures: u32,
    pub(super) crashes: u32,
    pub(super) worker: Option<WorkerId>,
    pub(super) claimed_at: Option<Timestamp>,
    pub(super) results: Option<String>,
}

impl StepRecord {
    pub(super) fn row(&self, id: StepId, now: Timestamp) -> StepRow {
        StepRow {
            id,
            state: self.state,
            open_parents: self.open_parents,
            failed_parents: self.failed_parents,
            skipped_parents: self.skipped_parents,
            attempts: self.attempts,
            failures: self.failures,
            crashes: self.crashes,
            worker: self.worker,
            now,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadyRecord {
    /// None while the task is paused.
    pub(super) queue: Option<String>,
    pub(super) priority: i16,
    pub(super) available_at: Timestamp,
    pub(super) postponed: bool,
}

impl ReadyRecord {
    pub(super) fn new(queue: Option<String>, priority: i16, available_at: Timestamp) -> Self {
        Self { queue, priority, available_at, postponed: false }
    }

    /// The place of the step in the order of claims.
    pub(super) fn place(&self, step: StepId) -> Place {
        Place { priority: self.priority, available_at: self.available_at, step }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BatchRecord {
    pub(super) worker: WorkerId,
    pub(super) steps: Vec<StepId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerRecord {
    pub(super) state: WorkerState,
    pub(super) dead_after: Duration,
    pub(super) resting: Duration,
    pub(super) heartbeat_at: Timestamp,
}

impl WorkerRecord {
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state, WorkerState::Running | WorkerState::Draining)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepTransition {
    /// As it is numbered in the history, which it is when it is written.
    pub(super) number: u64,
    pub(super) step: StepId,
    pub(super) from: StepState,
    pub(super) to: StepState,
    pub(super) event: StepEvent,
    pub(super) attempt: u32,
    pub(super) worker: Option<WorkerId>,
    /// When what it follows from was read.
    pub(super) decided_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaskTransition {
    pub(super) number: u64,
    pub(super) task: TaskId,
    pub(super) from: TaskState,
    pub(super) to: TaskState,
    pub(super) event: TaskEvent,
    pub(super) detail: Option<String>,
}

/// What a step waits for, or waited for last, and its last checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WaitRecord {
    pub(super) waits: u32,
    pub(super) signal: Option<AwaitedSignal>,
    pub(super) deadline: Option<Timestamp>,
    /// What the handler kept: how often it has looked.
    pub(super) data: Option<u32>,
    pub(super) checkpoint: Option<CheckpointRecord>,
}

/// The task of an identity, from when on and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdentityRecord {
    pub(super) task: TaskId,
    pub(super) given_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
}

impl IdentityRecord {
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// The last checkpoint of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CheckpointRecord {
    pub(super) cursor: u64,
    /// The last attempt whose checkpoints got further.
    pub(super) moved_in: Option<u32>,
    /// Who made it.
    pub(super) claim: Claim,
    /// Within the attempt.
    pub(super) number: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignalRecord {
    pub(super) name: String,
    pub(super) key: Option<String>,
}

/// The end of an attempt as its transaction recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndRecord {
    pub(super) claim: Claim,
    pub(super) outcome: String,
}

/// The parents of a step: how many there are, and what they have done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) all: u32,
    pub(super) complete: u32,
    pub(super) skipped: u32,
    pub(super) failed: u32,
}

/// What is committed.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) templates: Arc<Vec<TemplateRecord>>,
    pub(super) tasks: BTreeMap<TaskId, TaskRecord>,
    pub(super) steps: BTreeMap<StepId, StepRecord>,
    pub(super) ready: BTreeMap<StepId, ReadyRecord>,
    pub(super) batches: BTreeMap<ClaimBatchId, BatchRecord>,
    pub(super) workers: BTreeMap<WorkerId, WorkerRecord>,
    pub(super) identities: BTreeMap<Identity, IdentityRecord>,
    pub(super) deadlines: BTreeMap<TaskId, Timestamp>,
    pub(super) step_deadlines: BTreeMap<StepId, Timestamp>,
    pub(super) budgets: BTreeMap<TaskId, Budget>,
    /// The last event of steps.
    pub(super) last_events: BTreeMap<StepId, StepEvent>,
    pub(super) waits: BTreeMap<StepId, WaitRecord>,
    pub(super) recorded_ends: BTreeMap<StepId, EndRecord>,
    /// What attempts have done in transactions of the application's.
    pub(super) effects: BTreeSet<(StepId, u32)>,
    pub(super) signals: BTreeMap<(TaskId, SignalId), SignalRecord>,
    pub(super) children: BTreeMap<TaskId, ChildRecord>,
    /// The task that undoes another one, by that one.
    pub(super) compensations: BTreeMap<TaskId, TaskId>,
    pub(super) follow_ups: BTreeMap<FollowUpId, (TaskId, FollowUpKind)>,
    /// When steps were tried again by operators, and tasks changed: numbers of transitions.
    pub(super) retried: BTreeMap<StepId, u64>,
    pub(super) changed: BTreeMap<TaskId, u64>,
    pub(super) transitions: u64,
    pub(super) added: BTreeMap<StepId, AddedRecord>,
    pub(super) names: BTreeMap<(TaskId, String), StepId>,
    /// Edges that no template has, by child.
    pub(super) edges: BTreeSet<(StepId, StepId)>,
    pub(super) parent_counts: BTreeMap<StepId, (u32, Option<StepId>)>,
    /// The keys by which several tasks are found.
    pub(super) correlations: BTreeSet<(String, TaskId)>,
}

/// What a transaction has written.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) tasks: BTreeMap<TaskId, TaskRecord>,
    pub(super) steps: BTreeMap<StepId, StepRecord>,
    /// `None` for a row that is deleted.
    pub(super) ready: BTreeMap<StepId, Option<ReadyRecord>>,
    pub(super) batches: BTreeMap<ClaimBatchId, Option<BatchRecord>>,
    pub(super) workers: BTreeMap<WorkerId, WorkerRecord>,
    pub(super) identities: BTreeMap<Identity, IdentityRecord>,
    pub(super) deadlines: BTreeMap<TaskId, Option<Timestamp>>,
    pub(super) step_deadlines: BTreeMap<StepId, Option<Timestamp>>,
    pub(super) budgets: BTreeMap<TaskId, Budget>,
    pub(super) waits: BTreeMap<StepId, Option<WaitRecord>>,
    pub(super) recorded_ends: BTreeMap<StepId, Option<EndRecord>>,
    pub(super) effects: BTreeSet<(StepId, u32)>,
    pub(super) signals: BTreeMap<(TaskId, SignalId), SignalRecord>,
    pub(super) children: BTreeMap<TaskId, ChildRecord>,
    pub(super) compensations: BTreeMap<TaskId, TaskId>,
    pub(super) follow_ups: BTreeMap<FollowUpId, Option<(TaskId, FollowUpKind)>>,
    pub(super) added: BTreeMap<StepId, AddedRecord>,
    pub(super) names: BTreeMap<(TaskId, String), StepId>,
    pub(super) edges: BTreeSet<(StepId, StepId)>,
    pub(super) parent_counts: BTreeMap<StepId, (u32, Option<StepId>)>,
    /// Steps that are retired, and others whose parents are counted anew.
    pub(super) retired: BTreeSet<StepId>,
    pub(super) recounted: BTreeSet<StepId>,
    pub(super) correlations: BTreeSet<(String, TaskId)>,
    /// A fork that it makes.
    pub(super) fork: Option<(TaskId, ForkRecord)>,
    pub(super) step_transitions: Vec<StepTransition>,
    pub(super) task_transitions: Vec<TaskTransition>,
    pub(super) calls: Vec<Call>,
    /// What handlers have attached: to which attempt of which step, on which worker.
    pub(super) artifacts: BTreeSet<(StepId, u32, Option<WorkerId>)>,
    /// The step of a checkpoint.
    pub(super) checkpoint: Option<StepId>,
}

/// The steps of a task.
pub(super) fn steps_of(task: TaskId) -> std::ops::Range<StepId> {
    task.step(0)..TaskId(task.0 + 1).step(0)
}

impl Tables {
    pub(super) fn template(&self, id: TemplateId) -> Option<&TemplateRecord> {
        self.templates.get(usize::try_from(id.0).ok()?)
    }

    pub(super) fn load_template(&self, id: TemplateId) -> Option<LoadedTemplate> {
        let template = self.template(id)?;
        Some(LoadedTemplate {
            configuration: template.configuration.clone(),
            named_step_ids: (0..).take(template.parents.len()).collect(),
        })
    }

    pub(super) fn task_row(&self, id: TaskId, now: Timestamp) -> Option<TaskRow> {
        let record = self.tasks.get(&id)?;
        let TaskRecord { task, template, total_steps, .. } = *record;
        let has_budget = self.budgets.contains_key(&id);
        let has_deadline = self.deadlines.contains_key(&id);
        Some(TaskRow { task, template, total_steps, has_budget, has_deadline, now })
    }

    /// The tasks with a key.
    pub(super) fn correlated(&self, key: &str) -> impl Iterator<Item = TaskId> {
        let range = (key.to_owned(), TaskId(i64::MIN))..=(key.to_owned(), TaskId(i64::MAX));
        self.correlations.range(range).map(|(_, task)| *task)
    }

    /// The keys of a task.
    pub(super) fn keys_of(&self, task: TaskId) -> BTreeSet<&str> {
        let own = self.correlations.iter().filter(|(_, other)| *other == task);
        own.map(|(key, _)| key.as_str()).collect()
    }

    /// These steps of a task, those below them, and what any of them has added.
    pub(super) fn following(&self, task: TaskId, first: &BTreeSet<u32>) -> BTreeSet<StepId> {
        let mut found: BTreeSet<_> = first.iter().map(|index| task.step(*index)).collect();
        loop {
            let follows = |step: &StepId| {
                let by = self.added.get(step).filter(|added| !added.retired);
                let by = by.map(|added| added.by);
                self.all_parents(*step).chain(by).any(|from| found.contains(&from))
            };
            let steps = self.steps.range(steps_of(task)).map(|(step, _)| *step);
            let more: Vec<_> =
                steps.filter(|step| !found.contains(step) && follows(step)).collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    /// The position of the template that tells about a step.
    pub(super) fn position(&self, step: StepId) -> usize {
        self.added.get(&step).map_or(step.index(), |added| added.prototype) as usize
    }

    /// Whether a step is an item of a map step.
    pub(super) fn is_item(&self, step: StepId) -> bool {
        self.added.get(&step).is_some_and(|added| added.item.is_some())
    }

    /// Whether a step is an item of a map step that was skipped or resolved.
    pub(super) fn is_item_decided(&self, step: StepId) -> bool {
        let is_decided = |map: &StepRecord| {
            matches!(map.state, StepState::Skipped | StepState::ResolvedManually)
        };
        let map = self.added.get(&step).filter(|added| added.item.is_some());
        map.and_then(|added| self.steps.get(&added.by)).is_some_and(is_decided)
    }

    /// Whether all attempts of a step together have a limit: that of a map step is one of its items.
    pub(super) fn is_limited(&self, step: StepId) -> bool {
        let template = self.tasks.get(&step.task()).and_then(|task| self.template(task.template));
        let limited = template.and_then(|template| template.limited.get(self.position(step)));
        limited == Some(&true) && (self.is_item(step) || self.map(step).is_none())
    }

    /// Whether a step is executed in a transaction of the application's; nobody executes a map step.
    pub(super) fn is_transactional(&self, step: StepId) -> bool {
        let template = self.tasks.get(&step.task()).and_then(|task| self.template(task.template));
        let is = template.and_then(|template| template.transactional.get(self.position(step)));
        is == Some(&true) && (self.is_item(step) || self.map(step).is_none())
    }

    /// The first item of a map step that has begun, and how many there are.
    pub(super) fn items(&self, step: StepId) -> Option<(StepId, u32)> {
        let (items, first) = self.parent_counts.get(&step)?;
        Some(((*first)?, *items))
    }

    /// The position of an item's map step that waits for its items, and how many of these have failed: 0 where those that have not
    /// begun are executed nevertheless, because a step was refused when no attempt was left.
    pub(super) fn failed_items(&self, item: StepId) -> Option<(u32, u32)> {
        let added = self.added.get(&item).filter(|added| added.item.is_some())?;
        let map = self.steps.get(&added.by).filter(|map| map.state == StepState::Pending)?;
        let exhausted = self.budgets.get(&item.task()).and_then(|budget| budget.exhausted);
        let matters = exhausted != Some(Constraint::Attempts);
        Some((added.prototype, if matters { map.failed_parents } else { 0 }))
    }

    /// An item and so many after it of its map step.
    pub(super) fn items_after(
        &self,
        item: StepId,
        further: u32,
    ) -> impl Iterator<Item = (StepId, &StepRecord)> {
        let (first, items) =
            self.added.get(&item).and_then(|added| self.items(added.by)).unwrap_or((item, 0));
        let end = (first.0 + i64::from(items)).min(item.0 + i64::from(further) + 1);
        let steps = self.steps.range(first.max(item)..StepId(end.max(first.max(item).0)));
        steps.map(|(id, record)| (*id, record))
    }

    /// How a map step runs its items.
    pub(super) fn map(&self, step: StepId) -> Option<super::plan::MapPlan> {
        let template = self.template(self.tasks.get(&step.task())?.template)?;
        template.maps.get(self.position(step)).copied()?
    }

    /// Whether an item waits for its turn: the map step counts how many have ended.
    pub(super) fn waits_for_turn(&self, step: StepId) -> bool {
        let waits = || {
            let added = self.added.get(&step)?;
            let (index, most) = (added.item?, self.map(added.by)?.max_parallel?);
            let map = self.steps.get(&added.by)?;
            let (_, items) = self.items(added.by)?;
            let waits = map.state == StepState::Pending;
            Some(waits && index >= most + (items - map.open_parents))
        };
        waits().unwrap_or(false)
    }

    /// The steps that a step depends on, as its template says.
    pub(super) fn template_parents(&self, step: StepId) -> impl Iterator<Item = StepId> {
        let template = self.tasks.get(&step.task()).and_then(|task| self.template(task.template));
        let parents = template.and_then(|template| template.parents.get(step.index() as usize));
        let is_added = self.added.contains_key(&step);
        let parents = parents.filter(|_| !is_added);
        parents.into_iter().flatten().map(move |parent| step.task().step(*parent))
    }

    /// The steps that a step depends on: for a map step that has begun, its items.
    pub(super) fn parents(&self, step: StepId) -> impl Iterator<Item = StepId> {
        let items = self.items(step);
        let counts = move |parent: &StepId| match items {
            None => true,
            Some((first, items)) => (first.0..first.0 + i64::from(items)).contains(&parent.0),
        };
        self.all_parents(step).filter(counts)
    }

    pub(super) fn all_parents(&self, step: StepId) -> impl Iterator<Item = StepId> {
        let others = self.edges.range((step, StepId(i64::MIN))..=(step, StepId(i64::MAX)));
        self.template_parents(step).chain(others.map(|(_, parent)| *parent))
    }

    /// The join policy of a step.
    pub(super) fn join(&self, step: StepId) -> JoinPolicy {
        let template = self.tasks.get(&step.task()).and_then(|task| self.template(task.template));
        let join = template.and_then(|template| template.joins.get(self.position(step)));
        join.copied().filter(|_| !self.is_item(step)).unwrap_or_default()
    }

    /// What a step reserves of its task's budget.
    pub(super) fn reserve(&self, step: StepId) -> Cost {
        let template = self.tasks.get(&step.task()).and_then(|task| self.template(task.template));
        let reserve = template.and_then(|template| template.reserves.get(self.position(step)));
        reserve.copied().unwrap_or_default()
    }

    /// What becomes of a step's condition, if it has one.
    pub(super) fn when(&self, step: StepId) -> Option<When> {
        let template = self.template(self.tasks.get(&step.task())?.template)?;
        template.whens.get(step.index() as usize).copied().filter(|_| !self.is_item(step))?
    }

    /// Whether a parent that is complete is so for this child.
    fn takes(&self, parent: StepId, child: StepId) -> bool {
        self.taken(parent).is_none_or(|taken| taken.contains(&child.index()))
    }

    /// The children that a decision step takes.
    pub(super) fn taken(&self, step: StepId) -> Option<&Vec<u32>> {
        let template = self.tasks.get(&step.task()).and_then(|task| self.template(task.template));
        template.and_then(|template| template.taken.get(self.position(step)))?.as_ref()
    }

    /// What the parents of a step have done, as it sees them: a decision that does not take it counts as skipped.
    pub(super) fn tally(&self, step: StepId) -> Tally {
        let mut tally = Tally::default();
        for parent in self.parents(step) {
            tally.all += 1;
            let Some(record) = self.steps.get(&parent) else { continue };
            match record.state {
                StepState::Complete | StepState::ResolvedManually => {
                    let counter = if self.takes(parent, step) {
                        &mut tally.complete
                    } else {
                        &mut tally.skipped
                    };
                    *counter += 1;
                }
                StepState::Skipped => tally.skipped += 1,
                StepState::Error => tally.failed += 1,
                StepState::Pending
                | StepState::Enqueued
                | StepState::InProgress
                | StepState::WaitingForRetry
                | StepState::Waiting
                | StepState::Blocked
                | StepState::Cancelled => {}
            }
        }
        tally
    }

    /// The steps that depend on a step.
    pub(super) fn children(&self, step: StepId) -> impl Iterator<Item = StepId> {
        let steps = self.steps.range(steps_of(step.task())).map(|(id, _)| *id);
        steps.filter(move |id| self.all_parents(*id).any(|parent| parent == step))
    }

    /// The signals of a task, in their order.
    pub(super) fn signals_of(
        &self,
        task: TaskId,
    ) -> impl Iterator<Item = (SignalId, &SignalRecord)> {
        let range = (task, SignalId(i64::MIN))..=(task, SignalId(i64::MAX));
        self.signals.range(range).map(|((_, id), record)| (*id, record))
    }

    /// The first signal that answers a wait.
    pub(super) fn signal(&self, task: TaskId, awaited: &AwaitedSignal) -> Option<SignalId> {
        let answers = |(id, sent): &(SignalId, &SignalRecord)| {
            sent.name == awaited.name && awaited.after.is_none_or(|after| *id > after)
        };
        self.signals_of(task).find(answers).map(|(id, _)| id)
    }

    /// Whether a step runs a task of another template.
    pub(super) fn runs(&self, step: StepId) -> bool {
        let template = self.tasks.get(&step.task()).and_then(|task| self.template(task.template));
        template.and_then(|template| template.runs.get(step.index() as usize)) == Some(&true)
    }

    /// The last task that was made for a step.
    pub(super) fn child_of(&self, step: StepId) -> Option<(TaskId, &ChildRecord)> {
        let own = self.children.iter().filter(|(_, child)| child.step == step);
        own.max_by_key(|(_, child)| child.generation).map(|(task, child)| (*task, child))
    }

    /// Whether a task is undone only where an operator asks for it.
    pub(super) fn is_by_hand(&self, task: TaskId) -> bool {
        let template = self.tasks.get(&task).and_then(|task| self.template(task.template));
        template.is_some_and(|template| template.by_hand)
    }

    /// Whether a step leaves the task alone that it runs.
    pub(super) fn leaves(&self, step: StepId) -> bool {
        let template = self.tasks.get(&step.task()).and_then(|task| self.template(task.template));
        template.and_then(|template| template.leaves.get(step.index() as usize)) == Some(&true)
    }

    /// How long a step waits after it got ready.
    pub(super) fn delay(&self, step: StepId) -> Duration {
        let template = self.tasks.get(&step.task()).and_then(|task| self.template(task.template));
        let delay = template.and_then(|template| template.delays.get(self.position(step)));
        delay.copied().unwrap_or_default()
    }

    /// How many workers may die over a step.
    pub(super) fn crash_limit(&self, step: StepId) -> u32 {
        let template = self.tasks.get(&step.task()).and_then(|task| self.template(task.template));
        let limit = template.and_then(|template| template.crash_limits.get(self.position(step)));
        limit.copied().unwrap_or(RetryPolicy::DEFAULT.crash_limit)
    }

    /// The step that a step undoes; `None` for one that undoes none.
    pub(super) fn undone_by(&self, step: StepId) -> Option<StepId> {
        let template = self.template(self.tasks.get(&step.task())?.template)?;
        let (_, steps) = template.undoes.as_ref()?;
        let mut compensations = self.compensations.iter();
        let (original, _) = compensations.find(|(_, by)| **by == step.task())?;
        Some(original.step(*steps.get(step.index() as usize)?))
    }

    /// The template that undoes tasks of another one, and the steps of that one which it undoes.
    pub(super) fn undoing(&self, template: TemplateId) -> Option<&[u32]> {
        let undoing = self.templates.iter().filter_map(|record| record.undoes.as_ref());
        undoing.into_iter().find(|(of, _)| *of == template).map(|(_, steps)| steps.as_slice())
    }

    /// Nothing of the task can move before a person does something, with the task or with one that a step of it runs. Whoever
    /// holds one of the `kept` is a person too.
    pub(super) fn needs_person(&self, task: TaskId, kept: &BTreeSet<TaskId>) -> bool {
        let Some(record) = self.tasks.get(&task) else { return false };
        if record.task.state == TaskState::Blocked || kept.contains(&task) {
            return true;
        }
        let waits = |(id, step): (&StepId, &StepRecord)| {
            step.state == StepState::Waiting
                && self.child_of(*id).is_some_and(|(child, _)| self.needs_person(child, kept))
        };
        record.task.state == TaskState::Waiting && self.steps.range(steps_of(task)).any(waits)
    }

    /// Due steps of a queue after a place, in their order.
    pub(super) fn due(&self, queue: &str, after: Place, now: Timestamp) -> Vec<Place> {
        let due = self.ready.iter().filter(|(_, ready)| ready.available_at <= now);
        let served = due.filter(|(_, ready)| ready.queue.as_deref() == Some(queue));
        let places = served.map(|(step, ready)| ready.place(*step));
        places.filter(|place| *place > after).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The postponed steps of a task, those first that have waited longest.
    pub(super) fn postponed(&self, task: TaskId, now: Timestamp) -> Vec<Place> {
        let ready = self.ready.range(steps_of(task));
        let later = ready.filter(|(_, ready)| ready.postponed && ready.available_at > now);
        let places = later.map(|(step, ready)| ready.place(*step));
        places.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What the batches of a worker list.
    pub(super) fn listed(&self, worker: WorkerId) -> Vec<ListedClaim> {
        let batches = self.batches.iter().filter(|(_, batch)| batch.worker == worker);
        let listed =
            batches.flat_map(|(batch, record)| record.steps.iter().map(|step| (*batch, *step)));
        listed
            .map(|(batch, step)| {
                let held = self.steps.get(&step).filter(|record| record.worker == Some(worker));
                ListedClaim {
                    batch,
                    claim: held.map(|held| Claim { step, attempt: held.attempts, worker }),
                    failures: held.map_or(0, |held| held.failures),
                    crashes: held.map_or(0, |held| held.crashes),
                }
            })
            .collect()
    }

    /// Whether the deadline of a task has passed.
    pub(super) fn is_late(&self, task: TaskId, now: Timestamp) -> bool {
        self.deadlines.get(&task).is_some_and(|deadline| *deadline <= now)
    }

    /// Tasks whose deadline has passed, those that are late for the longest first.
    pub(super) fn late(&self, now: Timestamp) -> Vec<(TaskId, Timestamp)> {
        let late = self.deadlines.iter().filter(|(_, deadline)| **deadline <= now);
        let mut late: Vec<_> = late.map(|(task, deadline)| (*task, *deadline)).collect();
        late.sort_unstable_by_key(|(task, deadline)| (*deadline, *task));
        late
    }

    /// The same of steps.
    pub(super) fn late_steps(&self, now: Timestamp) -> Vec<(StepId, Timestamp)> {
        let late = self.step_deadlines.iter().filter(|(_, deadline)| **deadline <= now);
        let mut late: Vec<_> = late.map(|(step, deadline)| (*step, *deadline)).collect();
        late.sort_unstable_by_key(|(step, deadline)| (*deadline, *step));
        late
    }

    /// Workers whose heartbeat ended.
    pub(super) fn silent(&self, now: Timestamp) -> Vec<WorkerId> {
        let silent = |(id, worker): &(&WorkerId, &WorkerRecord)| {
            let heard_by = now - worker.dead_after;
            let last_claim = self
                .listed(**id)
                .iter()
                .filter_map(|one| one.claim)
                .filter_map(|claim| self.steps.get(&claim.step).and_then(|step| step.claimed_at))
                .max();
            worker.is_alive()
                && worker.heartbeat_at < heard_by
                && (worker.heartbeat_at < heard_by - worker.resting
                    || last_claim.is_some_and(|at| at < heard_by))
        };
        self.workers.iter().filter(silent).map(|(id, _)| *id).collect()
    }

    /// Workers that have ended and may still hold claims.
    pub(super) fn ended_with_claims(&self) -> Vec<WorkerId> {
        let holders: BTreeSet<_> = self.batches.values().map(|batch| batch.worker).collect();
        holders
            .into_iter()
            .filter(|id| self.workers.get(id).is_some_and(|worker| !worker.is_alive()))
            .collect()
    }

    /// The batches of a worker without a claim that it holds.
    pub(super) fn batches_over(&self, worker: WorkerId) -> Vec<ClaimBatchId> {
        let held = |step: &StepId| self.steps.get(step).is_some_and(|s| s.worker == Some(worker));
        let own = self.batches.iter().filter(|(_, batch)| batch.worker == worker);
        own.filter(|(_, batch)| !batch.steps.iter().any(held)).map(|(id, _)| *id).collect()
    }

    fn retire(&mut self, written: &Written) {
        if written.retired.is_empty() {
            return;
        }
        for step in &written.retired {
            self.added.entry(*step).and_modify(|added| added.retired = true);
        }
        let is_gone = |step: &StepId| written.retired.contains(step);
        self.names.retain(|_, step| !is_gone(step));
        self.edges.retain(|(to, from)| !is_gone(to) && !is_gone(from));
        for step in written.retired.iter().chain(&written.recounted) {
            let parents = u32::try_from(self.all_parents(*step).count()).unwrap_or(u32::MAX);
            self.parent_counts.entry(*step).and_modify(|count| *count = (parents, None));
        }
    }

    /// Makes what a transaction has written visible.
    pub(super) fn commit(&mut self, written: &Written) {
        self.tasks.extend(written.tasks.iter().map(|(id, task)| (*id, *task)));
        self.steps.extend(written.steps.iter().map(|(id, step)| (*id, step.clone())));
        self.workers.extend(written.workers.iter().map(|(id, worker)| (*id, *worker)));
        self.identities.extend(&written.identities);
        self.signals.extend(written.signals.iter().map(|(id, sent)| (*id, sent.clone())));
        self.children.extend(written.children.iter().map(|(id, child)| (*id, child.clone())));
        self.compensations.extend(&written.compensations);
        change(&mut self.follow_ups, &written.follow_ups);
        for change in &written.step_transitions {
            self.transitions += 1;
            if change.event == StepEvent::Retried {
                self.retried.insert(change.step, self.transitions);
            }
        }
        for change in written.task_transitions.iter().filter(|change| change.from != change.to) {
            self.transitions += 1;
            self.changed.insert(change.task, self.transitions);
        }
        self.added.extend(&written.added);
        self.names.extend(written.names.iter().map(|(name, step)| (name.clone(), *step)));
        self.edges.extend(&written.edges);
        self.parent_counts.extend(&written.parent_counts);
        self.retire(written);
        self.correlations.extend(written.correlations.iter().cloned());
        change(&mut self.ready, &written.ready);
        change(&mut self.batches, &written.batches);
        change(&mut self.deadlines, &written.deadlines);
        self.budgets.extend(&written.budgets);
        self.last_events.extend(written.step_transitions.iter().map(|c| (c.step, c.event)));
        change(&mut self.step_deadlines, &written.step_deadlines);
        change(&mut self.waits, &written.waits);
        change(&mut self.recorded_ends, &written.recorded_ends);
        self.effects.extend(&written.effects);
    }
}

fn change<K: Ord + Copy, V: Clone>(rows: &mut BTreeMap<K, V>, written: &BTreeMap<K, Option<V>>) {
    for (key, row) in written {
        match row {
            Some(row) => drop(rows.insert(*key, row.clone())),
            None => drop(rows.remove(key)),
        }
    }
}
