//! The decider as tables, and as properties over random graphs and random orders of outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;

use super::*;
use crate::budget::{Budget, Constraint, Cost, Limits};
use crate::decision::{
    Added, AwaitedSignal, Claim, ClaimEnd, Copied, CopiedEnd, Failure, FailureKind, Growth, Join,
    NEVER, NewStep, Outcome, Parent, Poll, Relative, Request, Reset, ResolvedStep, Retired, Room,
    Signal, Step, StepChange, Taken, Task, TaskChange, Until, Wait,
};
use crate::ids::{SignalId, StepId, TaskId, WorkerId};
use crate::join_policy::JoinPolicy;
use crate::retry_policy::RetryPolicy;
use crate::state::{AttemptOutcome, FollowUpKind, StepEvent, StepState, TaskEvent, TaskState};

const TASK: TaskId = TaskId(5);
const WORKER: WorkerId = WorkerId(9);

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "CardDeclined", "no funds")
}

/// A task in memory: what the store would hold, changed by decisions alone.
#[derive(Clone)]
struct World {
    view: View,
    parents: BTreeMap<StepId, Vec<StepId>>,
    now: Timestamp,
    available: BTreeMap<StepId, Timestamp>,
    /// Attempts that ended, and how.
    attempts: Vec<(Claim, AttemptOutcome)>,
    /// What decision steps take.
    taken: BTreeMap<StepId, Arc<Taken>>,
    /// Steps whose condition is not met.
    unmet: BTreeSet<StepId>,
    /// Steps that others have added, with those.
    added: BTreeMap<StepId, StepId>,
    /// What the handlers of steps add to their task, as random numbers.
    grows: BTreeMap<StepId, u32>,
}

impl World {
    /// A task whose step `i` has the parents `parents[i]`, all of them smaller than `i`.
    fn new(parents: &[Vec<u32>], policy: &RetryPolicy) -> Self {
        Self::joined(parents, policy, |_| JoinPolicy::AllComplete)
    }

    /// The same, whose steps follow these join policies.
    fn joined(
        parents: &[Vec<u32>],
        policy: &RetryPolicy,
        join: impl Fn(usize) -> JoinPolicy,
    ) -> Self {
        let mut view = View::default();
        let mut by_child = BTreeMap::new();
        for (index, above) in (0u32..).zip(parents) {
            let id = TASK.step(index);
            let open = u32::try_from(above.len()).unwrap();
            let state = if open == 0 { StepState::Enqueued } else { StepState::Pending };
            let join = Join { policy: join(index as usize), parents: open };
            let step = Step::new(id, state, join);
            view.children.entry(id).or_default();
            view.steps.insert(id, step);
            view.policies.insert(id, policy.clone());
            for parent in above {
                view.children.entry(TASK.step(*parent)).or_default().push(id);
            }
            by_child.insert(id, above.iter().map(|p| TASK.step(*p)).collect());
        }
        let runnable = u32::try_from(parents.iter().filter(|p| p.is_empty()).count()).unwrap();
        let task = Task {
            id: TASK,
            state: TaskState::Pending,
            runnable,
            waiting: 0,
            blocked: 0,
            failures: 0,
            is_child: true,
            priority: 0,
        };
        view.tasks.insert(TASK, task);
        view.compensated.insert(TASK);
        let available = view
            .steps
            .values()
            .filter(|step| step.state == StepState::Enqueued)
            .map(|step| (step.id, DateTime::UNIX_EPOCH))
            .collect();
        Self {
            view,
            parents: by_child,
            now: DateTime::UNIX_EPOCH,
            available,
            attempts: vec![],
            taken: BTreeMap::new(),
            unmet: BTreeSet::new(),
            added: BTreeMap::new(),
            grows: BTreeMap::new(),
        }
    }

    /// The step takes these of its children.
    fn decides(&mut self, index: u32, children: &[u32]) {
        let branches = children.iter().map(|child| (TASK.step(*child), format!("s{child}")));
        let taken = Taken { decision: format!("s{index}"), branches: branches.collect() };
        self.taken.insert(TASK.step(index), Arc::new(taken));
    }

    /// The end of a claim of a step of this task: what its handler says, where it is executed.
    fn said(&mut self, step: StepId, outcome: Outcome) -> Outcome {
        match (outcome, self.taken.get(&step).map(Arc::clone)) {
            (Outcome::Succeeded(_) | Outcome::Failed(_), _) if self.unmet.contains(&step) => {
                Outcome::ConditionUnmet("context.a".into())
            }
            (Outcome::Succeeded(results), None) if self.grows.contains_key(&step) => {
                Outcome::Grew(results, Arc::new(self.grows_by(step)))
            }
            (Outcome::Succeeded(results), Some(taken)) => Outcome::Decided(results, taken),
            (outcome, _) => outcome,
        }
    }

    /// What the handler of this step adds: up to two steps, behind it, behind any that are done or behind each other, and before
    /// any that are pending; in the first attempt sometimes behind one that is pending, which is refused.
    fn grows_by(&mut self, adding: StepId) -> Growth {
        let seed = self.grows[&adding];
        let of = |states: &[StepState]| -> Vec<StepId> {
            let steps = self.view.steps.values().filter(|step| states.contains(&step.state));
            steps.map(|step| step.id).collect()
        };
        let done = [
            StepState::Complete,
            StepState::ResolvedManually,
            StepState::Skipped,
            StepState::Error,
        ];
        let (mut done, pending) = (of(&done), of(&[StepState::Pending]));
        done.push(adding);
        let refused = seed.is_multiple_of(7) && self.view.steps[&adding].attempts == 1;
        done.extend(pending.iter().filter(|_| refused));
        let some = |of: &[StepId], by: u32| -> Vec<StepId> {
            let picked = |place: u32| seed.rotate_left(place + by) & 3 == 0;
            (0..).zip(of).filter(|(place, _)| picked(*place)).map(|(_, step)| *step).collect()
        };
        let resolved = |index: u32| {
            let parents = some(&done, 7 * index).into_iter().map(Relative::Existing);
            let behind = (index > 0 && seed & 1 == 0).then_some(Relative::Added(0));
            ResolvedStep {
                prototype: 0,
                join: join_policy(seed.to_le_bytes()[index as usize], 2),
                delay: None,
                elsewhere: false,
                parents: parents.chain(behind).collect(),
                before: some(&pending, 11 * index),
            }
        };
        let steps: Vec<_> = (0..seed % 3).map(resolved).collect();
        let new = |step: &ResolvedStep| NewStep {
            name: "piece".into(),
            like: "piece".into(),
            inputs: "{}".into(),
            depends_on: Some(vec![String::new(); step.parents.len()]),
            before: vec![String::new(); step.before.len()],
        };
        let growth = Growth { steps: steps.iter().map(new).collect() };
        self.view.grown.resolved.insert(adding, Ok(steps));
        growth
    }

    fn task(&self) -> Task {
        self.view.tasks[&TASK]
    }

    fn step(&self, index: u32) -> Step {
        self.view.steps[&TASK.step(index)]
    }

    fn see(&mut self, observation: &Observation) -> Decisions {
        self.try_to_see(observation).unwrap()
    }

    /// Changes nothing when it is refused.
    fn try_to_see(&mut self, observation: &Observation) -> Result<Decisions, InvalidTransition> {
        match decide(&self.view, observation, self.now, Jitter(1)) {
            Ok(decisions) => {
                self.write(&decisions);
                Ok(decisions)
            }
            Err(Undecided::Transition(refused)) => Err(refused),
            Err(Undecided::UnseenChildren(steps)) => panic!("all children of {steps:?} are seen"),
            Err(Undecided::UnseenSteps(steps)) => panic!("{steps:?} are seen"),
        }
    }

    /// A request to try all again that failed.
    fn retry(&mut self) -> Result<Decisions, InvalidTransition> {
        let failed = |step: &&Step| {
            matches!(step.state, StepState::Error | StepState::Blocked | StepState::WaitingForRetry)
        };
        let steps = self.view.steps.values().filter(failed).map(|step| step.id).collect();
        self.try_to_see(&Observation::RetryRequested { steps, request: request() })
    }

    /// A signal for all steps that wait.
    fn signal(&mut self) -> Result<Decisions, InvalidTransition> {
        let waits = |step: &&Step| step.state == StepState::Waiting;
        let steps = self.view.steps.values().filter(waits).map(|step| step.id).collect();
        let signal = Signal { signal_id: SignalId(1), signal: "go".into(), actor: None };
        self.try_to_see(&Observation::SignalSent { steps, signal })
    }

    fn pause(&mut self) -> Result<Decisions, InvalidTransition> {
        self.try_to_see(&Observation::PauseRequested(request()))
    }

    fn resume(&mut self) -> Result<Decisions, InvalidTransition> {
        self.try_to_see(&Observation::ResumeRequested(request()))
    }

    /// The worker dies, with all that it executes.
    fn crash(&mut self) -> Result<Decisions, InvalidTransition> {
        let running = self.view.steps.values().filter_map(Step::claim);
        let end = |claim| ClaimEnd { claim, outcome: Outcome::WorkerDied, execution: None };
        let ends = running.map(end).collect();
        self.try_to_see(&Observation::ClaimsEnded { ends, room: None })
    }

    /// The time for all attempts of a step together has passed.
    fn time_out(&mut self, index: u32) -> Result<Decisions, InvalidTransition> {
        let (step, deadline) = (TASK.step(index), self.now);
        let failure = failure(FailureKind::Timeout);
        self.try_to_see(&Observation::StepLate { step, deadline, failure })
    }

    /// What may be claimed.
    fn ready(&self) -> Vec<StepId> {
        let goes_on = self.task().state != TaskState::Paused;
        self.available.keys().filter(|_| goes_on).copied().collect()
    }

    /// The inserted rows and edges of what is added.
    fn insert(&mut self, added: &Added) {
        for one in &added.steps {
            let id = one.step.id;
            assert_eq!(self.view.steps.insert(id, one.step), None);
            self.parents.insert(id, Vec::new());
            self.view.children.insert(id, Vec::new());
            self.added.insert(id, one.by.step);
            self.available.extend(one.available_at.map(|at| (id, at)));
            self.view.grown.next.insert(TASK, id.index() + 1);
        }
        for (from, to) in &added.edges {
            self.view.children.get_mut(from).unwrap().push(*to);
            self.parents.get_mut(to).unwrap().push(*from);
        }
    }

    fn skip(&mut self, index: u32) -> Result<Decisions, InvalidTransition> {
        self.try_to_see(&Observation::SkipRequested { step: TASK.step(index), request: request() })
    }

    fn resolve(&mut self, index: u32) -> Result<Decisions, InvalidTransition> {
        let (step, results) = (TASK.step(index), "7".into());
        let (taken, request) = (self.taken.get(&step).map(Arc::clone), request());
        self.try_to_see(&Observation::ResolveRequested { step, results, taken, request })
    }

    /// Has a step executed anew, and those below it; what these have added is retired. Nothing changes where one of them waits
    /// only for what is retired.
    fn rerun(&mut self, index: u32) -> Result<Decisions, InvalidTransition> {
        let mut below = vec![TASK.step(index)];
        for step in self.parents.keys() {
            let above = self.parents[step].iter().chain(self.added.get(step));
            if !below.contains(step) && above.into_iter().any(|one| below.contains(one)) {
                below.push(*step);
            }
        }
        let adds = |step: &StepId| self.added.get(step).is_some_and(|by| below.contains(by));
        let (gone, below): (Vec<_>, Vec<_>) = below.iter().partition(|step| adds(step));
        let mut after = self.clone();
        let on_its_way = [StepState::Pending, StepState::Enqueued, StepState::InProgress];
        if !on_its_way.contains(&self.step(index).state) {
            after.retire(&gone, &below);
        }
        let waits = |step: &StepId| after.parents[step].iter().any(|parent| below.contains(parent));
        if !below.iter().skip(1).all(waits) {
            return Ok(Decisions::default());
        }
        let is_last = |step: &StepId| self.view.children[step].is_empty();
        let retired =
            gone.iter().map(|step| Retired { step: *step, last: is_last(step) }).collect();
        let is_childless = |step: &&StepId| {
            let has_some = !self.view.children[*step].is_empty();
            let others = !gone.contains(step) && !below.contains(step);
            has_some && others && after.view.children[*step].is_empty()
        };
        let childless = self.view.children.keys().filter(is_childless).copied().collect();
        let before = std::mem::replace(self, after);
        let reset = |step: &StepId| {
            let left_out = |parent: &StepId| {
                self.taken.get(parent).is_some_and(|taken| !taken.branches.contains_key(step))
            };
            let parents = self.parents[step].iter();
            let parents =
                parents.map(|parent| Parent { step: *parent, left_out: left_out(parent) });
            Reset {
                step: *step,
                parents: parents.collect(),
                last: before.view.children[step].is_empty(),
                awaits_added: before.parents[step].iter().any(|parent| gone.contains(parent)),
            }
        };
        let steps = below.iter().map(reset).collect();
        let name = format!("s{index}");
        let request = request();
        let seen = Observation::RerunRequested { steps, retired, childless, name, request };
        let decisions = self.try_to_see(&seen);
        if decisions.is_err() {
            *self = before;
        }
        decisions
    }

    /// Nothing waits for the steps that are `gone`, and they wait for nothing.
    fn retire(&mut self, gone: &[StepId], others: &[StepId]) {
        for step in gone {
            self.added.remove(step);
            self.parents.insert(*step, Vec::new());
            self.view.children.insert(*step, Vec::new());
        }
        self.parents.values_mut().for_each(|parents| parents.retain(|one| !gone.contains(one)));
        self.view.children.values_mut().for_each(|one| one.retain(|step| !gone.contains(step)));
        for step in gone.iter().chain(others) {
            let parents = u32::try_from(self.parents[step].len()).unwrap();
            let join = &mut self.view.steps.get_mut(step).unwrap().join;
            let policy = match join.policy {
                _ if parents == 0 => JoinPolicy::default(),
                JoinPolicy::Quorum(most) => JoinPolicy::Quorum(most.min(parents)),
                JoinPolicy::AllComplete
                | JoinPolicy::AllDone
                | JoinPolicy::AnyComplete
                | JoinPolicy::NoneFailed => join.policy,
            };
            *join = Join { policy, parents };
        }
    }

    fn write(&mut self, decisions: &Decisions) {
        self.view.budgets.extend(decisions.budgets.iter().copied());
        self.insert(&decisions.added);
        let is_paused = self.task().state == TaskState::Paused;
        for change in &decisions.steps {
            assert!(!is_paused || change.event != Some(StepEvent::Claimed), "{change:?}");
            assert_eq!(self.view.steps[&change.before.id], change.before);
            let begins =
                matches!(change.event, Some(StepEvent::ParentsCompleted | StepEvent::Claimed));
            let starts = begins && change.before.state == StepState::Pending;
            self.view.steps.insert(change.after.id, change.after);
            // Changes follow from those before them.
            if starts || change.event == Some(StepEvent::Rerun) {
                let step = change.after.id;
                assert!(
                    self.may_start(step),
                    "{step} started before its join policy was satisfied"
                );
            }
            self.available.remove(&change.after.id);
            if change.after.state.is_claimable() {
                self.available.insert(change.after.id, change.available_at.unwrap());
            }
        }
        for step in decisions.added.steps.iter().map(|added| added.step) {
            assert!(!step.state.is_claimable() || self.may_start(step.id), "{step:?}");
        }
        for count in &decisions.added.parents {
            assert_eq!(count.parents as usize, self.parents[&count.step].len());
        }
        for change in &decisions.tasks {
            self.view.tasks.insert(change.after.id, change.after);
        }
        assert_eq!(decisions.follow_ups, follow_ups(decisions.tasks.first()));
        let ended =
            decisions.steps.iter().filter_map(|change| Some((change, change.ended.as_ref()?)));
        self.attempts
            .extend(ended.map(|(change, ended)| (change.before.claim().unwrap(), ended.outcome)));
        self.check();
    }

    fn parents_in(&self, step: StepId, states: &[StepState]) -> u32 {
        let parents = self.parents[&step].iter();
        let found = parents.filter(|parent| states.contains(&self.state_for(**parent, step)));
        u32::try_from(found.count()).unwrap()
    }

    /// The state of a parent as one of its children sees it.
    fn state_for(&self, parent: StepId, child: StepId) -> StepState {
        let state = self.view.steps[&parent].state;
        let complete = matches!(state, StepState::Complete | StepState::ResolvedManually);
        let takes = |taken: &Arc<Taken>| taken.branches.contains_key(&child);
        let left_out = complete && !self.taken.get(&parent).is_none_or(takes);
        if left_out { StepState::Skipped } else { state }
    }

    /// What `docs/templates.md` says of join policies, from the states of the parents.
    fn may_start(&self, step: StepId) -> bool {
        let all = u32::try_from(self.parents[&step].len()).unwrap();
        let complete = self.parents_in(step, &[StepState::Complete, StepState::ResolvedManually]);
        let skipped = self.parents_in(step, &[StepState::Skipped]);
        let failed = self.parents_in(step, &[StepState::Error]);
        match self.view.steps[&step].join.policy {
            JoinPolicy::AllComplete => complete == all,
            JoinPolicy::AllDone => complete + skipped + failed == all,
            JoinPolicy::AnyComplete => complete >= 1,
            JoinPolicy::NoneFailed => complete + skipped == all && complete >= 1,
            JoinPolicy::Quorum(wanted) => complete >= wanted,
        }
    }

    fn claim(&mut self, index: u32) -> Claim {
        self.see(&Observation::StepsClaimed { worker: WORKER, steps: vec![TASK.step(index)] });
        self.step(index).claim().unwrap()
    }

    fn end(&mut self, claim: Claim, outcome: Outcome) -> Decisions {
        let outcome = self.said(claim.step, outcome);
        let ends = vec![ClaimEnd { claim, outcome, execution: None }];
        self.see(&Observation::ClaimsEnded { ends, room: None })
    }

    /// What must hold after every decision: the counters equal a recount, and nothing runs or ran
    /// before its parents.
    fn check(&self) {
        if let Some(budget) = self.view.budgets.get(&TASK) {
            let begun: u32 = self.view.steps.values().map(|step| step.attempts).sum();
            assert_eq!(budget.attempts, begun);
            assert!(budget.limits.attempts.is_none_or(|most| begun <= most.get()), "{budget:?}");
            let used = budget.spent.plus(budget.reserved);
            assert!(budget.limits.cost.is_none_or(|most| used <= most), "{budget:?}");
        }
        let task = self.task();
        let count = |wanted: fn(StepState) -> bool| {
            u32::try_from(self.view.steps.values().filter(|s| wanted(s.state)).count()).unwrap()
        };
        assert_eq!(task.runnable, count(StepState::is_runnable));
        assert_eq!(task.waiting, count(StepState::is_waiting));
        assert_eq!(task.blocked, count(|s| s == StepState::Blocked));
        let mut failures = 0;
        for step in self.view.steps.values() {
            let failed = self.parents_in(step.id, &[StepState::Error]);
            let counted = (step.open_parents, step.failed_parents, step.skipped_parents);
            if step.state == StepState::Pending {
                let skipped = self.parents_in(step.id, &[StepState::Skipped]);
                let ended = [StepState::Complete, StepState::ResolvedManually];
                let complete = self.parents_in(step.id, &ended);
                assert_eq!(
                    counted,
                    (step.join.parents - complete - failed - skipped, failed, skipped)
                );
                assert!(!self.may_start(step.id), "{} could start and does not", step.id);
                failures += failed;
            } else {
                assert_eq!(counted, (0, 0, 0));
            }
            if step.state == StepState::Error && self.view.children[&step.id].is_empty() {
                failures += 1;
            }
            assert_eq!(step.worker.is_some(), step.state == StepState::InProgress);
            assert_eq!(self.available.contains_key(&step.id), step.state.is_claimable());
        }
        assert_eq!(task.failures, failures);
        assert!(task.state != TaskState::Complete || task.runnable + task.waiting == 0);
        let idle = task.runnable + task.waiting + task.blocked == 0;
        if idle && failures == 0 && ![TaskState::Cancelled, TaskState::Paused].contains(&task.state)
        {
            assert_eq!((task.state, count(|s| s == StepState::Pending)), (TaskState::Complete, 0));
        }
    }
}

/// What the change of a task leaves to be done that a step of another one runs, and that is undone when it fails.
fn follow_ups(change: Option<&TaskChange>) -> Vec<(TaskId, FollowUpKind)> {
    let changes = |change: &&TaskChange| change.before.state != change.after.state;
    let state = change.filter(changes).map(|change| change.after.state);
    match state {
        Some(TaskState::Complete) => vec![(TASK, FollowUpKind::TellParent)],
        Some(TaskState::Error | TaskState::Cancelled) => {
            vec![(TASK, FollowUpKind::TellParent), (TASK, FollowUpKind::Compensate)]
        }
        Some(_) | None => vec![],
    }
}

fn request() -> Request {
    Request { actor: "mara".into(), reason: Some("the bank is back".into()), seen: None }
}

fn cancel() -> Observation {
    Observation::CancelRequested(request())
}

fn diamond() -> World {
    World::new(&[vec![], vec![0], vec![0], vec![1, 2]], &RetryPolicy::default())
}

fn ok() -> Outcome {
    Outcome::Succeeded("{}".into())
}

#[test]
fn a_child_gets_ready_with_its_last_parent_only() {
    let mut world = diamond();
    let a = world.claim(0);
    world.end(a, ok());
    let (b, c) = (world.claim(1), world.claim(2));
    world.end(b, ok());
    assert_eq!(world.step(3).state, StepState::Pending);
    world.end(c, ok());
    assert_eq!(world.step(3).state, StepState::Enqueued);
}

#[test]
fn two_parents_that_end_in_one_batch_count_off_twice() {
    let mut world = diamond();
    let a = world.claim(0);
    world.end(a, ok());
    let ends = [world.claim(1), world.claim(2)].map(|claim| ClaimEnd {
        claim,
        outcome: ok(),
        execution: None,
    });
    let decisions = world.see(&Observation::ClaimsEnded {
        ends: ends.to_vec(),
        room: Some(Room { worker: WORKER, steps: 1 }),
    });
    let child = decisions.steps.iter().find(|c| c.after.id == TASK.step(3)).unwrap();
    assert_eq!(child.event, Some(StepEvent::Claimed));
    assert_eq!(child.before.open_parents, 2);
    let claims: Vec<_> = decisions.steps.iter().filter_map(StepChange::claim).collect();
    assert_eq!(claims, [world.step(3).claim().unwrap()]);
}

#[test]
fn changes_stand_in_the_order_of_the_ends_and_children_after_their_parents() {
    let mut world = World::new(&[vec![], vec![], vec![0, 1], vec![]], &RetryPolicy::default());
    let ends = [3, 1, 0].map(|index| ClaimEnd {
        claim: world.claim(index),
        outcome: ok(),
        execution: None,
    });
    let decisions = world.see(&Observation::ClaimsEnded { ends: ends.to_vec(), room: None });
    let order: Vec<_> = decisions.steps.iter().map(|change| change.after.id.index()).collect();
    assert_eq!(order, [3, 1, 0, 2]);
}

#[test]
fn a_step_whose_late_end_comes_first_in_a_batch_starts_after_its_parent_all_the_same() {
    let mut world = World::new(&[vec![], vec![0]], &RetryPolicy::default());
    let parent = world.claim(0);
    world.end(parent, ok());
    let late = world.claim(1);
    world.rerun(0).unwrap();
    let again = world.claim(0);
    let ends = [late, again].map(|claim| ClaimEnd { claim, outcome: ok(), execution: None });
    let decisions = world.see(&Observation::ClaimsEnded { ends: ends.to_vec(), room: None });
    assert_eq!(decisions.stale, [late]);
    let order: Vec<_> = decisions.steps.iter().map(|change| change.after.id.index()).collect();
    assert_eq!(order, [0, 1]);
}

#[test]
fn a_step_that_joins_a_branch_and_the_decision_above_it_starts_after_both() {
    let parents = [vec![], vec![0], vec![0, 1]];
    let mut world = World::joined(&parents, &RetryPolicy::default(), |index| {
        if index == 2 { JoinPolicy::AllDone } else { JoinPolicy::AllComplete }
    });
    world.view.children.insert(TASK.step(0), vec![TASK.step(2), TASK.step(1)]);
    world.decides(0, &[2]);
    let claim = world.claim(0);
    let decisions = world.end(claim, ok());
    let order: Vec<_> = decisions.steps.iter().map(|change| change.after.id.index()).collect();
    assert_eq!(order, [0, 1, 2]);
}

#[test]
fn the_task_starts_with_its_first_claim_and_completes_with_its_last_step() {
    let mut world = World::new(&[vec![]], &RetryPolicy::default());
    assert_eq!(world.task().state, TaskState::Pending);
    let claim = world.claim(0);
    assert_eq!(world.task().state, TaskState::InProgress);
    let decisions = world.end(claim, ok());
    assert_eq!(decisions.tasks[0].event, Some(TaskEvent::Completed));
    assert_eq!(world.task().state, TaskState::Complete);
}

#[test]
fn a_completion_from_another_claim_changes_nothing() {
    let mut world = diamond();
    let claim = world.claim(0);
    for late in [
        Claim { attempt: 2, ..claim },
        Claim { worker: WorkerId(1), ..claim },
        Claim { step: TASK.step(1), ..claim },
        Claim { step: TASK.step(77), ..claim },
    ] {
        let decisions = world.end(late, ok());
        assert_eq!(decisions, Decisions { stale: vec![late], ..Decisions::default() });
    }
    world.end(claim, ok());
    let again = world.end(claim, ok());
    assert_eq!(again.stale, vec![claim]);
}

#[test]
fn the_same_end_twice_in_one_batch_counts_once() {
    let mut world = diamond();
    let claim = world.claim(0);
    let end = ClaimEnd { claim, outcome: ok(), execution: None };
    let ends = vec![end.clone(), end];
    let decisions = world.see(&Observation::ClaimsEnded { ends, room: None });
    assert_eq!(decisions.stale, vec![claim]);
    assert_eq!(decisions.steps.iter().filter(|change| change.ended.is_some()).count(), 1);
}

#[test]
fn failures_follow_their_kind_and_the_policy() {
    use FailureKind as K;
    let policy = RetryPolicy { limit: 2, ..RetryPolicy::default() };
    let once = RetryPolicy { limit: 0, ..policy.clone() };
    let never = RetryPolicy { retryable: false, ..policy.clone() };
    for (policy, kind, state, event) in [
        (&policy, K::Retryable, StepState::WaitingForRetry, StepEvent::RetryScheduled),
        (&policy, K::Timeout, StepState::WaitingForRetry, StepEvent::RetryScheduled),
        (&policy, K::Permanent, StepState::Error, StepEvent::FailedPermanently),
        (&policy, K::Blocked, StepState::Blocked, StepEvent::NeedsIntervention),
        (&once, K::Retryable, StepState::Error, StepEvent::RetriesExhausted),
        (&never, K::Retryable, StepState::Error, StepEvent::NotRetryable),
        (&never, K::Blocked, StepState::Blocked, StepEvent::NeedsIntervention),
    ] {
        let mut world = World::new(&[vec![]], policy);
        let claim = world.claim(0);
        let decisions = world.end(claim, Outcome::Failed(failure(kind)));
        assert_eq!((world.step(0).state, decisions.steps[0].event), (state, Some(event)));
        assert_eq!(world.step(0).failures, 1);
        assert!(
            decisions.steps[0]
                .ended
                .as_ref()
                .unwrap()
                .error
                .as_deref()
                .unwrap()
                .contains("no funds")
        );
    }
}

#[test]
fn a_task_waits_for_a_retry_and_goes_on_with_it() {
    let mut world = World::new(&[vec![]], &RetryPolicy { jitter: 0.0, ..RetryPolicy::default() });
    let claim = world.claim(0);
    world.end(claim, Outcome::Failed(failure(FailureKind::Retryable)));
    assert_eq!(world.task().state, TaskState::Waiting);
    assert_eq!(world.available[&TASK.step(0)], world.now + TimeDelta::seconds(1));
    let again = world.claim(0);
    assert_eq!((again.attempt, world.task().state), (2, TaskState::InProgress));
    world.end(again, ok());
    assert_eq!(world.task().state, TaskState::Complete);
}

fn waiting(seconds: Option<u64>, signal: Option<&str>) -> Outcome {
    let until = seconds.map(|seconds| Until::After(Duration::from_secs(seconds)));
    let signal = signal.map(|name| AwaitedSignal { name: name.into(), after: None });
    Outcome::Waiting(Arc::new(Wait { until, signal, data: Some("7".into()), poll: None }))
}

#[test]
fn a_handler_that_waits_for_a_time_begins_anew_then_and_has_not_failed() {
    let once = RetryPolicy { limit: 1, retryable: false, ..RetryPolicy::default() };
    let mut world = World::new(&[vec![]], &once);
    for attempt in 1..=5 {
        let claim = world.claim(0);
        assert_eq!((claim.attempt, world.task().state), (attempt, TaskState::InProgress));
        let decisions = world.end(claim, waiting(Some(30), None));
        let change = &decisions.steps[0];
        assert_eq!(change.event, Some(StepEvent::WentWaiting));
        assert_eq!(change.ended.as_ref().unwrap().outcome, AttemptOutcome::Waiting);
        assert_eq!(change.wait.as_ref().unwrap().data.as_deref(), Some("7"));
        assert_eq!(world.available[&TASK.step(0)], world.now + TimeDelta::seconds(30));
        assert_eq!((world.task().state, world.step(0).failures), (TaskState::Waiting, 0));
    }
}

#[test]
fn a_handler_that_looks_again_says_so_in_its_history() {
    let mut world = World::new(&[vec![]], &RetryPolicy::default());
    let claim = world.claim(0);
    let (until, last) =
        (Some(Until::After(Duration::from_secs(30))), world.now + TimeDelta::hours(1));
    let poll = Some(Poll { looks: 2, until: Some(last) });
    let decisions =
        world.end(claim, Outcome::Waiting(Arc::new(Wait { until, poll, ..Wait::default() })));
    let detail: serde_json::Value =
        serde_json::from_str(decisions.steps[0].detail.as_deref().unwrap()).unwrap();
    let until = world.now + TimeDelta::seconds(30);
    assert_eq!(
        detail,
        serde_json::json!({ "until": until, "poll": { "looks": 2, "until": last } })
    );
    let claim = world.claim(0);
    let decisions = world.end(claim, waiting(Some(30), None));
    assert!(!decisions.steps[0].detail.as_deref().unwrap().contains("poll"));
}

#[test]
fn a_wait_for_a_time_lasts_no_longer_than_a_year_and_is_over_when_the_time_has_passed() {
    let now = Timestamp::UNIX_EPOCH + TimeDelta::days(10_000);
    let deadline = |until| Wait { until: Some(until), ..Wait::default() }.deadline(now).unwrap();
    let year = now + TimeDelta::days(365);
    assert_eq!(deadline(Until::After(Duration::MAX)), year);
    assert_eq!(deadline(Until::At(Timestamp::MAX_UTC)), year);
    assert_eq!(deadline(Until::At(Timestamp::UNIX_EPOCH)), now);
    assert_eq!(deadline(Until::At(now + TimeDelta::hours(1))), now + TimeDelta::hours(1));
    assert_eq!(Wait::default().deadline(now), None);
}

#[test]
fn a_signal_has_the_steps_claimed_that_wait_for_it() {
    let mut world = World::new(&[vec![], vec![]], &RetryPolicy::default());
    let (a, b) = (world.claim(0), world.claim(1));
    world.end(a, waiting(None, Some("go")));
    assert_eq!(world.available[&TASK.step(0)], NEVER);
    world.end(b, waiting(Some(60), Some("go")));
    assert_eq!(world.task().state, TaskState::Waiting);
    let decisions = world.signal().unwrap();
    assert_eq!(decisions.tasks[0].event, Some(TaskEvent::Resumed));
    for (index, change) in (0..).zip(&decisions.steps) {
        assert_eq!(change.event, Some(StepEvent::Signalled));
        assert_eq!(world.available[&TASK.step(index)], world.now);
    }
    assert_eq!(world.signal().unwrap().steps, []);
    let claim = world.claim(0);
    world.end(claim, ok());
}

#[test]
fn a_signal_that_was_sent_before_is_not_waited_for() {
    let mut world = World::new(&[vec![]], &RetryPolicy::default());
    let claim = world.claim(0);
    world.view.signalled.insert(TASK.step(0));
    world.end(claim, waiting(None, Some("go")));
    assert_eq!(world.available[&TASK.step(0)], world.now);
}

#[test]
fn a_task_that_is_over_takes_no_signal() {
    let mut world = World::new(&[vec![]], &RetryPolicy::default());
    let claim = world.claim(0);
    world.end(claim, ok());
    let refused = world.signal().unwrap_err();
    assert_eq!((refused.from, refused.event), ("complete", "signalled"));
}

#[test]
fn a_step_that_waits_is_tried_again_at_once_when_it_is_asked_for() {
    let mut world = World::new(&[vec![]], &RetryPolicy::default());
    let claim = world.claim(0);
    world.end(claim, waiting(Some(86_400), None));
    let steps = vec![TASK.step(0)];
    world.see(&Observation::RetryRequested { steps, request: request() });
    assert_eq!(world.available[&TASK.step(0)], world.now);
}

#[test]
fn a_child_with_a_delay_is_not_taken_by_whoever_has_room() {
    let mut world = World::new(&[vec![], vec![0]], &RetryPolicy::default());
    world.view.delays.insert(TASK.step(1), Duration::from_secs(600));
    let ends = vec![ClaimEnd { claim: world.claim(0), outcome: ok(), execution: None }];
    world.see(&Observation::ClaimsEnded { ends, room: Some(Room { worker: WORKER, steps: 4 }) });
    assert_eq!(world.step(1).state, StepState::Enqueued);
    assert_eq!(world.available[&TASK.step(1)], world.now + TimeDelta::seconds(600));
}

#[test]
fn other_branches_go_on_after_a_failure_and_then_the_task_is_in_error() {
    let mut world = World::new(&[vec![], vec![], vec![0]], &RetryPolicy::default());
    let (a, b) = (world.claim(0), world.claim(1));
    world.end(b, Outcome::Failed(failure(FailureKind::Permanent)));
    assert_eq!(world.task().state, TaskState::InProgress);
    world.end(a, ok());
    let c = world.claim(2);
    world.end(c, ok());
    assert_eq!(world.task().state, TaskState::Error);
}

#[test]
fn a_task_with_a_blocked_step_is_blocked_once_nothing_else_can_move() {
    let mut world = World::new(&[vec![], vec![0]], &RetryPolicy::default());
    let claim = world.claim(0);
    let decisions = world.end(claim, Outcome::Failed(failure(FailureKind::Blocked)));
    assert_eq!(world.task().state, TaskState::Blocked);
    assert_eq!(decisions.tasks[0].event, Some(TaskEvent::GotBlocked));
}

#[test]
fn a_step_that_kills_its_workers_ends_in_error_with_the_last_that_its_policy_allows() {
    for limit in [1, 2, 3, 100] {
        let policy = RetryPolicy { crash_limit: limit, ..RetryPolicy::default() };
        let mut world = World::new(&[vec![]], &policy);
        for crash in 1..=limit {
            assert_eq!(world.step(0).state, StepState::Enqueued);
            let claim = world.claim(0);
            world.end(claim, Outcome::WorkerDied);
            assert_eq!(world.step(0).crashes, crash);
        }
        assert_eq!(world.step(0).state, StepState::Error);
        assert!(world.attempts.iter().all(|(_, outcome)| *outcome == AttemptOutcome::WorkerDied));
        assert_eq!(world.attempts.len(), limit as usize);
    }
}

#[test]
fn failures_and_crashes_have_budgets_of_their_own() {
    let policy = RetryPolicy { limit: 3, crash_limit: 2, ..RetryPolicy::default() };
    let mut world = World::new(&[vec![]], &policy);
    let fail = || Outcome::Failed(failure(FailureKind::Retryable));
    for outcome in [fail(), Outcome::WorkerDied, fail()] {
        let claim = world.claim(0);
        world.end(claim, outcome);
        assert!(world.step(0).state.is_claimable());
    }
    let mut other = world.clone();
    let claim = world.claim(0);
    let decisions = world.end(claim, fail());
    assert_eq!(decisions.steps[0].event, Some(StepEvent::RetriesExhausted));
    let claim = other.claim(0);
    let decisions = other.end(claim, Outcome::WorkerDied);
    assert_eq!(decisions.steps[0].event, Some(StepEvent::CrashesExhausted));
    let detail = decisions.steps[0].detail.as_deref();
    assert_eq!(detail, Some(r#"{"crash_limit":2,"crashes":2}"#));
}

#[test]
fn a_step_that_moves_its_checkpoint_is_not_given_up_for_the_workers_that_died_before() {
    let policy = RetryPolicy { crash_limit: 2, ..RetryPolicy::default() };
    let mut world = World::new(&[vec![]], &policy);
    let die = |world: &mut World, progressed: bool| {
        let claim = world.claim(0);
        world.view.progressed = progressed.then_some(claim.step).into_iter().collect();
        let decisions = world.end(claim, Outcome::WorkerDied);
        (decisions.steps[0].event, world.step(0).crashes)
    };
    for (progressed, crashes) in
        [(false, 1), (true, 0), (true, 0), (false, 1), (true, 0), (false, 1)]
    {
        assert_eq!(die(&mut world, progressed), (Some(StepEvent::WorkerDied), crashes));
    }
    assert_eq!(die(&mut world, false), (Some(StepEvent::CrashesExhausted), 2));
    let policy = RetryPolicy { retryable: false, ..policy };
    let mut world = World::new(&[vec![]], &policy);
    assert_eq!(die(&mut world, true), (Some(StepEvent::NotRetryable), 0));
}

fn late(world: &mut World, index: u32) -> Decisions {
    world.time_out(index).unwrap()
}

#[test]
fn an_attempt_that_would_begin_after_the_deadline_of_its_step_is_not_scheduled() {
    let policy = RetryPolicy { limit: 9, jitter: 0.0, ..RetryPolicy::default() };
    for (seconds, event) in [(1, StepEvent::TimedOut), (2, StepEvent::RetryScheduled)] {
        let mut world = World::new(&[vec![]], &policy);
        let claim = world.claim(0);
        let deadline = world.now + TimeDelta::seconds(seconds);
        world.view.deadlines.insert(claim.step, deadline);
        let decisions = world.end(claim, Outcome::Failed(failure(FailureKind::Retryable)));
        assert_eq!((decisions.steps[0].event, world.step(0).failures), (Some(event), 1));
        assert!(decisions.steps[0].detail.as_deref().unwrap().contains("retry_at"));
    }
}

#[test]
fn a_step_that_is_late_is_in_error_whatever_it_does_and_its_handler_is_called_off() {
    let enqueued = diamond();
    let mut running = diamond();
    let claim = running.claim(0);
    let mut waits = diamond();
    let other = waits.claim(0);
    waits.end(other, waiting(Some(60), None));
    let mut retried = diamond();
    let other = retried.claim(0);
    retried.end(other, Outcome::Failed(failure(FailureKind::Retryable)));
    for mut world in [enqueued, waits, retried] {
        let decisions = late(&mut world, 0);
        assert_eq!(decisions.steps[0].event, Some(StepEvent::TimedOut));
        assert_eq!((decisions.recalled(), decisions.steps[0].ended.is_none()), (vec![], true));
        assert_eq!((world.step(0).state, world.task().state), (StepState::Error, TaskState::Error));
        world.check();
    }
    let decisions = late(&mut running, 0);
    assert_eq!((decisions.recalled(), running.step(0).failures), (vec![claim], 1));
    assert_eq!(decisions.steps[0].ended.as_ref().unwrap().outcome, AttemptOutcome::Timeout);
    assert_eq!(running.end(claim, ok()).stale, vec![claim]);
    running.check();
}

#[test]
fn a_step_that_has_ended_or_waits_for_others_is_not_late() {
    let mut world = diamond();
    assert!(late(&mut world, 1).steps.is_empty());
    let claim = world.claim(0);
    world.end(claim, ok());
    assert!(late(&mut world, 0).steps.is_empty());
    let claim = world.claim(1);
    world.end(claim, Outcome::Failed(failure(FailureKind::Blocked)));
    assert!(late(&mut world, 1).steps.is_empty());
}

fn cost(number: f64) -> Cost {
    Cost::from_number(number).unwrap()
}

/// A task that may use up so much.
fn limited(mut world: World, attempts: Option<u32>, most: Option<f64>) -> World {
    let limits = Limits { attempts: attempts.and_then(NonZeroU32::new), cost: most.map(cost) };
    world.view.budgets.insert(TASK, Budget { limits, ..Budget::default() });
    world
}

fn claim_all(world: &mut World) -> Decisions {
    let steps = world.available.keys().copied().collect();
    world.see(&Observation::StepsClaimed { worker: WORKER, steps })
}

#[test]
fn a_task_that_has_used_up_its_attempts_starts_no_other_and_ends_when_the_last_has() {
    let roots = World::new(&[vec![], vec![], vec![], vec![0]], &RetryPolicy::default());
    let mut world = limited(roots, Some(2), None);
    let decisions = claim_all(&mut world);
    let claims: Vec<_> = decisions.steps.iter().filter_map(StepChange::claim).collect();
    assert_eq!(claims.len(), 2);
    assert_eq!(world.step(2).state, StepState::Error);
    let detail = decisions.steps.iter().find(|c| c.event == Some(StepEvent::BudgetExhausted));
    let detail = detail.unwrap().detail.as_deref().unwrap();
    assert!(detail.contains(r#""budget":"attempts""#) && detail.contains(r#""max_attempts":2"#));
    assert_eq!(world.task().state, TaskState::InProgress);
    world.end(claims[0], ok());
    assert_eq!(world.step(3).state, StepState::Enqueued);
    claim_all(&mut world);
    let last = world.end(claims[1], ok());
    assert_eq!(last.tasks[0].event, Some(TaskEvent::BudgetExhausted));
    assert!(last.tasks[0].detail.as_deref().unwrap().contains(r#""attempts":2"#));
    assert_eq!((world.task().state, world.step(0).state), (TaskState::Error, StepState::Complete));
    world.check();
}

#[test]
fn a_task_whose_budget_does_not_allow_its_first_step_ends_at_once() {
    let mut world = limited(World::new(&[vec![]], &RetryPolicy::default()), None, Some(1.0));
    world.view.reserves.insert(TASK.step(0), cost(1.5));
    let decisions = claim_all(&mut world);
    assert_eq!(decisions.tasks[0].event, Some(TaskEvent::BudgetExhausted));
    assert_eq!(world.view.budgets[&TASK].exhausted, Some(Constraint::Cost));
}

#[test]
fn a_step_whose_reserve_others_hold_waits_for_them() {
    let mut world =
        limited(World::new(&[vec![], vec![]], &RetryPolicy::default()), None, Some(1.0));
    for step in 0..2 {
        world.view.reserves.insert(TASK.step(step), cost(0.6));
        world.view.spent.insert(TASK.step(step), cost(0.1));
    }
    let decisions = claim_all(&mut world);
    assert_eq!((decisions.steps.len(), decisions.postponed), (1, vec![TASK.step(1)]));
    assert_eq!(world.step(1).state, StepState::Enqueued);
    assert!(decisions.resumed.is_empty());
    let claim = world.step(0).claim().unwrap();
    assert_eq!(world.end(claim, ok()).resumed, BTreeMap::from([(TASK, 2)]));
    assert_eq!(claim_all(&mut world).steps.len(), 1);
    let budget = world.view.budgets[&TASK];
    assert_eq!((budget.spent, budget.reserved, budget.attempts), (cost(0.1), cost(0.6), 2));
}

#[test]
fn steps_that_wait_for_a_budget_are_looked_at_when_another_is_given_up_but_not_for_what_reserves_nothing()
 {
    let mut world =
        limited(World::new(&[vec![], vec![]], &RetryPolicy::default()), None, Some(1.0));
    world.view.reserves.insert(TASK.step(1), cost(1.5));
    // One has started, and one is given up.
    assert_eq!(claim_all(&mut world).resumed, BTreeMap::from([(TASK, 4)]));
    let claim = world.step(0).claim().unwrap();
    assert!(world.end(claim, ok()).resumed.is_empty());
}

#[test]
fn an_attempt_that_never_began_counts_for_no_budget_and_one_that_failed_does() {
    let mut world = limited(World::new(&[vec![]], &RetryPolicy::default()), Some(5), Some(5.0));
    world.view.spent.insert(TASK.step(0), cost(2.0));
    let claim = world.claim(0);
    world.end(claim, Outcome::GivenBack(None));
    assert_eq!(world.view.budgets[&TASK].attempts, 0);
    world.view.budgets.get_mut(&TASK).unwrap().spent = Cost::default();
    let claim = world.claim(0);
    world.end(claim, Outcome::Failed(failure(FailureKind::Retryable)));
    let budget = world.view.budgets[&TASK];
    assert_eq!((budget.attempts, budget.spent), (1, cost(2.0)));
}

#[test]
fn claims_that_others_end_are_called_back_and_no_other() {
    let mut world = diamond();
    let a = world.claim(0);
    assert!(world.end(a, ok()).recalled().is_empty());
    let (b, c) = (world.claim(1), world.claim(2));
    assert_eq!(world.skip(1).unwrap().recalled(), vec![b]);
    assert_eq!(world.resolve(2).unwrap().recalled(), vec![c]);
    let mut world = diamond();
    let a = world.claim(0);
    assert_eq!(world.see(&cancel()).recalled(), vec![a]);
}

#[test]
fn a_step_without_a_policy_in_view_follows_the_default() {
    let mut world = World::new(&[vec![]], &RetryPolicy { limit: 9, ..RetryPolicy::default() });
    world.view.policies.clear();
    for _ in 0..2 {
        let claim = world.claim(0);
        world.end(claim, Outcome::Failed(failure(FailureKind::Retryable)));
    }
    let claim = world.claim(0);
    let decisions = world.end(claim, Outcome::Failed(failure(FailureKind::Retryable)));
    assert_eq!(decisions.steps[0].event, Some(StepEvent::RetriesExhausted));
}

#[test]
fn the_delay_is_said_to_come_from_the_policy_or_the_handler() {
    let delays = [2, 0].map(std::time::Duration::from_secs);
    let backoff = crate::retry_policy::Backoff::List(delays.into());
    let policy = RetryPolicy { backoff, jitter: 0.0, ..RetryPolicy::default() };
    for (asked, by, ms) in [(None, "list", 2_000), (Some(0.5), "handler", 500)] {
        let mut world = World::new(&[vec![]], &policy);
        let claim = world.claim(0);
        let failure = Failure { retry_after_s: asked, ..failure(FailureKind::Retryable) };
        let decisions = world.end(claim, Outcome::Failed(failure));
        let detail: serde_json::Value =
            serde_json::from_str(decisions.steps[0].detail.as_deref().unwrap()).unwrap();
        assert_eq!((&detail["delay_by"], &detail["delay_ms"]), (&by.into(), &ms.into()));
    }
}

#[test]
fn a_step_that_must_not_be_retried_is_not_run_again_after_its_worker_ended() {
    for outcome in [Outcome::WorkerDied, Outcome::Interrupted] {
        let policy = RetryPolicy { retryable: false, ..RetryPolicy::default() };
        let mut world = World::new(&[vec![]], &policy);
        let claim = world.claim(0);
        let decisions = world.end(claim, outcome);
        assert_eq!(decisions.steps[0].event, Some(StepEvent::NotRetryable));
        assert_eq!(world.task().state, TaskState::Error);
    }
}

#[test]
fn a_claim_given_back_leaves_no_attempt() {
    let mut world = World::new(&[vec![]], &RetryPolicy::default());
    let claim = world.claim(0);
    world.end(claim, Outcome::GivenBack(None));
    assert_eq!((world.step(0).state, world.step(0).attempts), (StepState::Enqueued, 0));
    assert!(world.attempts.is_empty());
}

#[test]
fn a_claim_given_back_keeps_its_place_in_the_queue() {
    let mut world = World::new(&[vec![]], &RetryPolicy::default());
    let hour = TimeDelta::hours(1);
    world.now += hour;
    for (since, available_at) in [
        (None, world.now),
        (Some(world.now - hour), world.now - hour),
        // The database's clock was put back.
        (Some(world.now + hour), world.now),
    ] {
        let claim = world.claim(0);
        let decisions = world.end(claim, Outcome::GivenBack(since));
        assert_eq!(decisions.steps[0].available_at, Some(available_at));
    }
}

#[test]
fn an_interrupted_attempt_is_recorded_and_costs_no_failure() {
    let mut world = World::new(&[vec![]], &RetryPolicy::default());
    let claim = world.claim(0);
    world.end(claim, Outcome::Interrupted);
    let step = world.step(0);
    assert_eq!((step.state, step.attempts, step.failures), (StepState::Enqueued, 1, 0));
    assert_eq!(world.attempts[0].1, AttemptOutcome::Interrupted);
}

#[test]
fn cancelling_ends_what_has_not_ended_and_takes_the_claims() {
    let mut world = diamond();
    let a = world.claim(0);
    world.end(a, ok());
    let b = world.claim(1);
    let decisions = world.see(&cancel());
    assert_eq!(world.task().state, TaskState::Cancelled);
    assert!(decisions.tasks[0].detail.as_deref().unwrap().contains("the bank is back"));
    assert_eq!(world.step(0).state, StepState::Complete);
    assert!((1..4).all(|i| world.step(i).state == StepState::Cancelled));
    assert_eq!(world.end(b, ok()).stale, vec![b]);
}

#[test]
fn what_changes_no_state_is_in_history_and_leaves_nothing_to_be_done() {
    let mut world = diamond();
    world.see(&Observation::CancelRequested(request()));
    let detail = request().detail_of_compensation(TaskId(9));
    let event = TaskEvent::CompensationRequested;
    let decisions = world.see(&Observation::Noted { event, detail: detail.clone() });
    let [change] = &*decisions.tasks else { panic!("{decisions:?}") };
    assert_eq!((change.before, change.event), (change.after, Some(event)));
    assert_eq!(change.detail, Some(detail));
    assert!(decisions.steps.is_empty() && decisions.follow_ups.is_empty());
}

#[test]
fn a_deadline_does_the_same_and_says_which_it_was() {
    let mut world = diamond();
    let a = world.claim(0);
    let decisions = world.see(&Observation::DeadlinePassed(DateTime::UNIX_EPOCH));
    assert_eq!(world.task().state, TaskState::Cancelled);
    assert_eq!(decisions.tasks[0].event, Some(TaskEvent::DeadlinePassed));
    let detail = decisions.tasks[0].detail.as_deref();
    assert_eq!(detail, Some(r#"{"deadline_at":"1970-01-01T00:00:00Z"}"#));
    assert!((0..4).all(|i| world.step(i).state == StepState::Cancelled));
    assert_eq!(world.end(a, ok()).stale, vec![a]);
}

#[test]
fn nobody_is_told_of_the_end_of_a_task_of_its_own() {
    let mut world = diamond();
    world.view.compensated.clear();
    world.view.tasks.get_mut(&TASK).unwrap().is_child = false;
    let decisions = decide(&world.view, &cancel(), world.now, Jitter(1)).unwrap();
    assert_eq!(decisions.tasks[0].after.state, TaskState::Cancelled);
    assert_eq!((decisions.follow_ups, decisions.abandoned), (vec![], vec![]));
}

#[test]
fn steps_that_begun_and_were_ended_by_others_are_abandoned() {
    let mut world = diamond();
    let a = world.claim(0);
    world.end(a, ok());
    let b = world.claim(1);
    assert_eq!(world.end(b, Outcome::Waiting(Arc::default())).abandoned, vec![]);
    assert_eq!(world.clone().skip(1).unwrap().abandoned, vec![TASK.step(1)]);
    assert_eq!(world.clone().resolve(1).unwrap().abandoned, vec![TASK.step(1)]);
    assert_eq!(world.clone().skip(2).unwrap().abandoned, vec![]);
    assert_eq!(world.see(&cancel()).abandoned, vec![TASK.step(1)]);
}

#[test]
fn a_task_that_has_ended_cannot_be_cancelled() {
    let mut world = World::new(&[vec![]], &RetryPolicy::default());
    let claim = world.claim(0);
    world.end(claim, ok());
    assert_eq!(world.try_to_see(&cancel()).unwrap_err().from, "complete");
}

#[test]
fn a_step_that_is_tried_again_has_all_its_attempts_before_it() {
    let policy = RetryPolicy { limit: 2, ..RetryPolicy::default() };
    let mut world = World::new(&[vec![], vec![0]], &policy);
    for _ in 0..2 {
        let claim = world.claim(0);
        world.end(claim, Outcome::Failed(failure(FailureKind::Retryable)));
    }
    assert_eq!((world.task().state, world.step(0).failures), (TaskState::Error, 2));
    let decisions = world.retry().unwrap();
    assert!(decisions.steps[0].detail.as_deref().unwrap().contains("the bank is back"));
    let step = world.step(0);
    assert_eq!((step.state, step.attempts, step.failures), (StepState::Enqueued, 2, 0));
    assert_eq!(world.task().state, TaskState::InProgress);
    let claim = world.claim(0);
    assert_eq!(claim.attempt, 3);
    world.end(claim, Outcome::Failed(failure(FailureKind::Retryable)));
    assert_eq!(world.step(0).state, StepState::WaitingForRetry);
    let claim = world.claim(0);
    world.end(claim, ok());
    let claim = world.claim(1);
    world.end(claim, ok());
    assert_eq!(world.task().state, TaskState::Complete);
}

#[test]
fn what_is_on_its_way_is_not_tried_again_and_what_is_over_is_refused() {
    let mut world = World::new(&[vec![]], &RetryPolicy::default());
    let again = |world: &mut World| {
        let steps = vec![TASK.step(0)];
        world.try_to_see(&Observation::RetryRequested { steps, request: request() })
    };
    let unchanged = |decisions: Decisions| decisions.steps.is_empty() && decisions.tasks.is_empty();
    assert!(unchanged(again(&mut world).unwrap()));
    let claim = world.claim(0);
    assert!(unchanged(again(&mut world).unwrap()));
    world.end(claim, ok());
    let refused = again(&mut world).unwrap_err();
    assert_eq!((refused.machine, refused.from), ("task", "complete"));
}

#[test]
fn a_step_whose_next_attempt_is_due_later_is_tried_at_once_with_all_its_attempts_before_it() {
    let policy = RetryPolicy { limit: 2, ..RetryPolicy::default() };
    let mut world = World::new(&[vec![]], &policy);
    for attempt in 1..=3 {
        let claim = world.claim(0);
        world.end(claim, Outcome::Failed(failure(FailureKind::Retryable)));
        assert_eq!(world.task().state, TaskState::Waiting);
        world.retry().unwrap();
        let step = world.step(0);
        assert_eq!((step.state, step.attempts), (StepState::Enqueued, attempt));
        assert_eq!((step.failures, world.task().state), (0, TaskState::InProgress));
        assert_eq!(world.available[&TASK.step(0)], world.now);
        world.check();
    }
}

#[test]
fn a_step_of_a_cancelled_task_is_not_tried_again() {
    let mut world = World::new(&[vec![], vec![]], &RetryPolicy::default());
    let claim = world.claim(0);
    world.end(claim, Outcome::Failed(failure(FailureKind::Permanent)));
    world.see(&cancel());
    let refused = world.retry().unwrap_err();
    assert_eq!((refused.machine, refused.from), ("task", "cancelled"));
}

/// Two roots and a step that joins them by `join`, with a last step below it.
fn joined(join: JoinPolicy) -> World {
    let policy = |step| if step == 2 { join } else { JoinPolicy::AllComplete };
    World::joined(&[vec![], vec![], vec![0, 1], vec![2]], &RetryPolicy::default(), policy)
}

#[test]
fn what_a_tolerant_step_got_over_does_not_fail_the_task() {
    let mut world = joined(JoinPolicy::AllDone);
    let (a, b) = (world.claim(0), world.claim(1));
    world.end(a, Outcome::Failed(failure(FailureKind::Permanent)));
    assert_eq!((world.task().failures, world.step(2).failed_parents), (1, 1));
    world.end(b, Outcome::Failed(failure(FailureKind::Permanent)));
    assert_eq!((world.step(2).state, world.task().failures), (StepState::Enqueued, 0));
    for step in [2, 3] {
        let claim = world.claim(step);
        world.end(claim, ok());
    }
    assert_eq!(world.task().state, TaskState::Complete);
}

#[test]
fn two_parents_that_complete_in_one_batch_start_a_step_that_needs_one_once() {
    let mut world = joined(JoinPolicy::AnyComplete);
    let ends = [world.claim(0), world.claim(1)];
    let ends = ends.map(|claim| ClaimEnd { claim, outcome: ok(), execution: None }).to_vec();
    let decisions = world.see(&Observation::ClaimsEnded { ends, room: None });
    let started = decisions.steps.iter().filter(|c| c.event == Some(StepEvent::ParentsCompleted));
    assert_eq!(started.count(), 1);
}

#[test]
fn skipping_goes_on_to_the_steps_below() {
    let mut world = joined(JoinPolicy::AllComplete);
    world.skip(0).unwrap();
    assert_eq!(world.step(2).state, StepState::Pending);
    let b = world.claim(1);
    let decisions = world.end(b, ok());
    assert_eq!(
        (world.step(2).state, world.step(3).state),
        (StepState::Skipped, StepState::Skipped)
    );
    let why = decisions.steps.iter().find(|change| change.after.id == TASK.step(3)).unwrap();
    assert_eq!(why.detail.as_deref(), Some(r#"{"because":"parents_skipped"}"#));
    assert_eq!(world.task().state, TaskState::Complete);
}

#[test]
fn a_parent_that_is_tried_again_is_open_again() {
    let mut world = joined(JoinPolicy::Quorum(2));
    let a = world.claim(0);
    world.end(a, Outcome::Failed(failure(FailureKind::Permanent)));
    assert_eq!((world.step(2).open_parents, world.step(2).failed_parents), (1, 1));
    world.retry().unwrap();
    assert_eq!((world.step(2).open_parents, world.step(2).failed_parents), (2, 0));
    assert_eq!(world.task().failures, 0);
}

#[test]
fn a_task_goes_on_from_error_when_its_failed_step_is_resolved() {
    let mut world = joined(JoinPolicy::AllComplete);
    let (a, b) = (world.claim(0), world.claim(1));
    world.end(a, ok());
    world.end(b, Outcome::Failed(failure(FailureKind::Permanent)));
    assert_eq!(world.task().state, TaskState::Error);
    let decisions = world.resolve(1).unwrap();
    assert_eq!(decisions.steps[0].results.as_deref(), Some("7"));
    assert_eq!(
        (world.step(2).state, world.task().state),
        (StepState::Enqueued, TaskState::InProgress)
    );
    // Once more changes nothing.
    let again = world.resolve(1).unwrap();
    assert!(again.steps.is_empty() && again.tasks.is_empty());
}

#[test]
fn a_last_step_that_failed_and_is_skipped_completes_the_task() {
    let mut world = World::new(&[vec![]], &RetryPolicy::default());
    let claim = world.claim(0);
    world.end(claim, Outcome::Failed(failure(FailureKind::Permanent)));
    assert_eq!((world.task().state, world.task().failures), (TaskState::Error, 1));
    let decisions = world.skip(0).unwrap();
    assert_eq!(decisions.tasks[0].event, Some(TaskEvent::Completed));
    assert_eq!((world.task().state, world.task().failures), (TaskState::Complete, 0));
}

#[test]
fn a_step_that_is_complete_or_of_a_cancelled_task_is_not_steered() {
    let mut world = World::new(&[vec![], vec![]], &RetryPolicy::default());
    let claim = world.claim(0);
    world.end(claim, ok());
    assert_eq!(world.skip(0).unwrap_err().from, "complete");
    assert_eq!(world.resolve(0).unwrap_err().from, "complete");
    world.see(&cancel());
    assert_eq!(world.skip(1).unwrap_err().from, "cancelled");
}

#[test]
fn a_step_that_is_executed_anew_takes_those_below_along_and_leaves_the_others() {
    let mut world = diamond();
    for step in 0..4 {
        let claim = world.claim(step);
        world.end(claim, ok());
    }
    assert_eq!(world.task().state, TaskState::Complete);
    let decisions = world.rerun(1).unwrap();
    let events: Vec<_> = decisions.steps.iter().map(|c| (c.after.id.index(), c.event)).collect();
    assert_eq!(events, [(1, Some(StepEvent::Rerun)), (3, Some(StepEvent::Reset))]);
    let detail = decisions.steps[1].detail.as_deref().unwrap();
    assert!(detail.contains(r#""actor":"mara""#) && detail.contains(r#""rerun_from":"s1""#));
    assert_eq!(decisions.tasks[0].event, Some(TaskEvent::Resumed));
    assert_eq!((world.step(2).state, world.step(3).open_parents), (StepState::Complete, 1));
    let again = world.rerun(1).unwrap();
    assert!(again.steps.is_empty() && again.tasks.is_empty());
    for step in [1, 3] {
        let claim = world.claim(step);
        assert_eq!(claim.attempt, 2);
        world.end(claim, ok());
    }
    assert_eq!(world.task().state, TaskState::Complete);
}

#[test]
fn a_claim_below_a_step_that_is_executed_anew_is_lost() {
    let mut world = World::new(&[vec![], vec![0], vec![1]], &RetryPolicy::default());
    let first = world.claim(0);
    world.end(first, ok());
    let held = world.claim(1);
    let decisions = world.rerun(0).unwrap();
    let lost = decisions.steps.iter().find(|change| change.after.id == held.step).unwrap();
    assert_eq!(lost.ended.as_ref().unwrap().outcome, AttemptOutcome::Cancelled);
    assert_eq!(world.end(held, ok()).stale, vec![held]);
    assert_eq!(world.step(1).state, StepState::Pending);
}

#[test]
fn what_failed_is_forgotten_where_it_is_executed_anew() {
    let policy = RetryPolicy { limit: 2, ..RetryPolicy::default() };
    let mut world = World::new(&[vec![], vec![0]], &policy);
    let claim = world.claim(0);
    world.end(claim, ok());
    for _ in 0..2 {
        let claim = world.claim(1);
        world.end(claim, Outcome::Failed(failure(FailureKind::Retryable)));
    }
    assert_eq!((world.task().state, world.task().failures), (TaskState::Error, 1));
    world.rerun(0).unwrap();
    let step = world.step(1);
    assert_eq!((step.state, step.attempts, step.failures), (StepState::Pending, 2, 0));
    assert_eq!((world.task().state, world.task().failures), (TaskState::InProgress, 0));
}

#[test]
fn a_step_that_could_not_start_is_not_executed_anew() {
    let mut world = fork(JoinPolicy::NoneFailed);
    world.decides(0, &[2]);
    let claim = world.claim(0);
    world.end(claim, ok());
    let refused = world.rerun(1).unwrap_err();
    assert_eq!((refused.from, refused.event), ("skipped", "rerun"));
    assert!(refused.allowed.contains("its parents leave it out"), "{refused}");
    let mut world = World::new(&[vec![], vec![0]], &RetryPolicy::default());
    let claim = world.claim(0);
    world.end(claim, Outcome::Failed(failure(FailureKind::Permanent)));
    world.resolve(1).unwrap();
    assert_eq!(world.task().state, TaskState::Complete);
    let refused = world.rerun(1).unwrap_err();
    assert!(refused.allowed.contains("in error"), "{refused}");
    world.rerun(0).unwrap();
    world.see(&cancel());
    assert_eq!(world.rerun(0).unwrap_err().from, "cancelled");
}

#[test]
fn a_step_that_needs_one_parent_begins_at_once_where_another_is_complete() {
    let mut world = joined(JoinPolicy::AnyComplete);
    for step in [0, 1, 2] {
        let claim = world.claim(step);
        world.end(claim, ok());
    }
    world.rerun(0).unwrap();
    assert_eq!(
        (world.step(2).state, world.step(3).state),
        (StepState::Enqueued, StepState::Pending)
    );
}

/// What a task takes over of another one that is as `source`, but for the steps from `index` on and those below.
fn copies(source: &World, anew: &[u32]) -> Observation {
    let mut below: Vec<_> = anew.iter().map(|index| TASK.step(*index)).collect();
    let mut copies = Vec::new();
    for (step, above) in &source.parents {
        if below.contains(step) || above.iter().any(|parent| below.contains(parent)) {
            below.push(*step);
            continue;
        }
        let end = match source.view.steps[step].state {
            StepState::Complete | StepState::ResolvedManually => {
                let taken = source.taken.get(step).map(Arc::clone);
                CopiedEnd::Complete { results: Some("7".into()), taken }
            }
            StepState::Skipped => CopiedEnd::Skipped,
            StepState::Pending
            | StepState::Enqueued
            | StepState::InProgress
            | StepState::WaitingForRetry
            | StepState::Waiting
            | StepState::Blocked
            | StepState::Error
            | StepState::Cancelled => continue,
        };
        copies.push(Copied { step: *step, end });
    }
    let detail = request().detail_of_copy(TaskId(1));
    Observation::StepsCopied { copies, detail }
}

#[test]
fn a_fork_has_done_what_stands_above_and_beside_and_executes_the_rest() {
    let source = {
        let mut world = diamond();
        for step in 0..4 {
            let claim = world.claim(step);
            world.end(claim, ok());
        }
        world
    };
    let mut world = diamond();
    let decisions = world.see(&copies(&source, &[1]));
    let state = |world: &World| [0, 1, 2, 3].map(|step| world.step(step).state.as_str());
    assert_eq!(state(&world), ["complete", "enqueued", "complete", "pending"]);
    assert_eq!((world.task().state, world.step(3).open_parents), (TaskState::Pending, 1));
    let copied = &decisions.steps[0];
    assert_eq!((copied.event, copied.after.attempts), (Some(StepEvent::Copied), 0));
    assert!(copied.detail.as_deref().unwrap().contains(r#""copied_from":1"#));
    for step in [1, 3] {
        let claim = world.claim(step);
        world.end(claim, ok());
    }
    assert_eq!(world.task().state, TaskState::Complete);
}

/// A decision between two branches, and a step that joins them by `join`.
fn fork(join: JoinPolicy) -> World {
    let policy = |step| if step == 3 { join } else { JoinPolicy::AllComplete };
    World::joined(&[vec![], vec![0], vec![0], vec![1, 2]], &RetryPolicy::default(), policy)
}

#[test]
fn a_branch_that_is_not_taken_is_skipped_and_a_tolerant_step_joins_the_other() {
    let mut world = fork(JoinPolicy::NoneFailed);
    world.decides(0, &[2]);
    let claim = world.claim(0);
    let decisions = world.end(claim, ok());
    assert_eq!(decisions.steps[0].detail.as_deref(), Some(r#"{"took":["s2"]}"#));
    let left = decisions.steps.iter().find(|change| change.after.id == TASK.step(1)).unwrap();
    assert_eq!(left.event, Some(StepEvent::Skipped));
    let detail: serde_json::Value = serde_json::from_str(left.detail.as_deref().unwrap()).unwrap();
    assert_eq!(detail, serde_json::json!({"because": "not_taken", "decision": "s0"}));
    let claim = world.claim(2);
    world.end(claim, ok());
    assert_eq!(world.step(3).state, StepState::Enqueued);
}

#[test]
fn without_any_branch_everything_below_is_skipped_and_the_task_is_complete() {
    let mut world = fork(JoinPolicy::AnyComplete);
    world.decides(0, &[]);
    let claim = world.claim(0);
    world.end(claim, ok());
    assert!((1..4).all(|step| world.step(step).state == StepState::Skipped));
    assert_eq!(world.task().state, TaskState::Complete);
}

#[test]
fn a_decision_by_hand_takes_what_the_operator_says() {
    let mut world = fork(JoinPolicy::AnyComplete);
    world.decides(0, &[1]);
    let decisions = world.resolve(0).unwrap();
    let detail = decisions.steps[0].detail.as_deref().unwrap();
    assert!(
        detail.contains(r#""actor":"mara""#) && detail.contains(r#""took":["s1"]"#),
        "{detail}"
    );
    assert_eq!(world.step(1).state, StepState::Enqueued);
    assert_eq!(world.step(2).state, StepState::Skipped);
}

#[test]
fn a_step_whose_condition_is_not_met_is_skipped_and_the_attempt_does_not_count() {
    let mut world = fork(JoinPolicy::NoneFailed);
    world.unmet.insert(TASK.step(1));
    for step in [0, 1, 2] {
        let claim = world.claim(step);
        world.end(claim, ok());
    }
    assert_eq!((world.step(1).state, world.step(1).attempts), (StepState::Skipped, 0));
    assert_eq!(world.step(3).state, StepState::Enqueued);
    assert_eq!(world.attempts.len(), 2);
}

#[test]
fn children_that_matter_and_are_not_in_the_view_are_asked_for() {
    let mut world = joined(JoinPolicy::AllComplete);
    let claim = world.claim(0);
    let mut view = world.view.clone();
    view.children.clear();
    let end = |kind| Observation::ClaimsEnded {
        ends: vec![ClaimEnd { claim, outcome: Outcome::Failed(failure(kind)), execution: None }],
        room: None,
    };
    let seen = |kind| decide(&view, &end(kind), world.now, Jitter(1));
    assert!(seen(FailureKind::Retryable).is_ok());
    assert_eq!(seen(FailureKind::Permanent), Err(Undecided::UnseenChildren(vec![TASK.step(0)])));
}

#[test]
fn claiming_a_step_that_is_not_ready_is_refused() {
    let world = diamond();
    let mut done = world.view.clone();
    done.steps.get_mut(&TASK.step(0)).unwrap().state = StepState::Complete;
    let claim = Observation::StepsClaimed { worker: WORKER, steps: vec![TASK.step(0)] };
    assert!(decide(&done, &claim, world.now, Jitter(1)).is_err());
}

#[test]
fn claiming_a_step_twice_at_once_is_refused() {
    let world = diamond();
    let steps = vec![TASK.step(0); 2];
    let claim = Observation::StepsClaimed { worker: WORKER, steps };
    let refused = decide(&world.view, &claim, world.now, Jitter(1)).unwrap_err();
    let Undecided::Transition(refused) = refused else { panic!("{refused}") };
    assert_eq!((refused.from, refused.event), ("in_progress", "claimed"));
}

/// Parents of each step: any subset of the steps before it.
fn graphs() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(any::<u32>(), 1..24).prop_map(|seeds| {
        (0u32..)
            .zip(seeds)
            .map(|(i, seed)| (0..i).filter(|p| seed.rotate_left(*p) & 3 == 0).collect())
            .collect()
    })
}

/// A join policy for each of the steps, of those that it may have.
fn joins() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 24)
}

fn joined_by(parents: &[Vec<u32>], joins: &[u8]) -> World {
    let join =
        |step: usize| join_policy(joins[step], u32::try_from(parents[step].len().max(1)).unwrap());
    World::joined(parents, &RetryPolicy::default(), join)
}

/// The policy of a step with so many parents.
fn join_policy(chosen: u8, parents: u32) -> JoinPolicy {
    match chosen {
        0..=99 => JoinPolicy::AllComplete,
        100..=139 => JoinPolicy::AllDone,
        140..=179 => JoinPolicy::AnyComplete,
        180..=219 => JoinPolicy::NoneFailed,
        220..=255 => JoinPolicy::Quorum(1 + u32::from(chosen) % parents),
    }
}

/// The same, of which about a third decide and those with a zero are left out.
fn branching(parents: &[Vec<u32>], joins: &[u8], takes: &[u32], unmet: &[u8]) -> World {
    let mut world = joined_by(parents, joins);
    for (index, takes) in (0u32..).zip(takes).take(parents.len()) {
        let children = world.view.children[&TASK.step(index)].clone();
        if takes.is_multiple_of(3) && !children.is_empty() {
            let taken = children.iter().map(|child| child.index());
            let taken: Vec<_> = taken.filter(|child| takes >> child & 1 == 1).collect();
            world.decides(index, &taken);
        }
        if unmet[index as usize] == 0 {
            world.unmet.insert(TASK.step(index));
        }
    }
    world
}

/// One turn of a random run: which of the possible moves, and how a handler ends.
#[derive(Clone, Debug)]
struct Turn {
    pick: usize,
    ends: u8,
    batch: usize,
    room: usize,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (any::<usize>(), any::<u8>(), 1usize..6, 0usize..4)
        .prop_map(|(pick, ends, batch, room)| Turn { pick, ends, batch, room });
    prop::collection::vec(turn, 1..400)
}

fn outcome(ends: u8) -> Outcome {
    match ends {
        0..=7 => Outcome::Failed(failure(FailureKind::Permanent)),
        8..=11 => Outcome::Failed(failure(FailureKind::Blocked)),
        12..=50 => Outcome::Failed(failure(FailureKind::Retryable)),
        51..=60 => Outcome::WorkerDied,
        61..=70 => Outcome::GivenBack(None),
        71..=80 => Outcome::Interrupted,
        81..=90 => waiting(None, Some("go")),
        91..=100 => waiting(Some(5), None),
        101..=255 => ok(),
    }
}

/// Claims that are only ever given back, or interrupted, or wait, never end.
fn an_end(ends: u8) -> Outcome {
    let outcome = outcome(ends);
    let again =
        matches!(outcome, Outcome::GivenBack(_) | Outcome::Interrupted | Outcome::Waiting(_));
    if again { ok() } else { outcome }
}

/// Turns after which every run of at most 24 steps, and of what these add, has ended.
const LONG: usize = 20_000;

/// Plays at most so many turns.
fn play(world: &mut World, turns: &[Turn], ends: fn(u8) -> Outcome, most: usize) {
    for turn in turns.iter().cycle().take(most) {
        let running: Vec<Claim> = world.view.steps.values().filter_map(Step::claim).collect();
        let ready = world.ready();
        if running.is_empty() && ready.is_empty() {
            return;
        }
        let choice = turn.pick % (running.len() + ready.len());
        if choice < ready.len() {
            let steps = ready.into_iter().skip(choice).take(turn.batch).collect();
            let claimed = world.see(&Observation::StepsClaimed { worker: WORKER, steps });
            // What waits for others would wait for ever if they never ended.
            if let Some(claim) = running.first().filter(|_| claimed.steps.is_empty()) {
                let outcome = world.said(claim.step, ends(turn.ends));
                world.end(*claim, outcome);
            }
        } else {
            let ended = running.iter().cycle().skip(choice - ready.len()).take(turn.batch);
            let ends = ended
                .map(|claim| {
                    let outcome = world.said(claim.step, ends(turn.ends));
                    ClaimEnd { claim: *claim, outcome, execution: None }
                })
                .collect();
            let room = Some(Room { worker: WORKER, steps: turn.room });
            world.see(&Observation::ClaimsEnded { ends, room });
        }
    }
    assert!(most < LONG, "a run of so few steps has ended by then");
}

/// One of the things that operators, clocks and crashes do.
fn operate(world: &mut World, what: u8, index: u32) -> Result<Decisions, InvalidTransition> {
    match what {
        0 => world.skip(index),
        1 => world.resolve(index),
        2 => world.retry(),
        3 => world.signal(),
        4 => world.pause(),
        5 => world.resume(),
        6 => world.crash(),
        7 => world.time_out(index),
        _ => {
            let steps = vec![TASK.step(index)];
            world.try_to_see(&Observation::RetryRequested { steps, request: request() })
        }
    }
}

/// Operators have the task go on until it is complete.
fn complete(world: &mut World, turns: &[Turn]) {
    // What has ended, or is not paused, needs it not.
    let _ = world.resume();
    play(world, turns, |_| ok(), LONG);
    for _ in 0..100 {
        if world.task().state != TaskState::Complete {
            world.retry().unwrap();
            play(world, turns, |_| ok(), LONG);
        }
    }
    assert_eq!(world.task().state, TaskState::Complete);
}

proptest! {
    #[test]
    fn any_graph_completes_when_all_handlers_succeed(parents in graphs(), turns in turns()) {
        let mut world = World::new(&parents, &RetryPolicy::default());
        play(&mut world, &turns, |_| ok(), LONG);
        prop_assert_eq!(world.task().state, TaskState::Complete);
        prop_assert_eq!(world.attempts.len(), parents.len());
    }

    #[test]
    fn any_run_ends_in_a_state_that_says_why(parents in graphs(), joins in joins(), turns in turns()) {
        let mut world = joined_by(&parents, &joins);
        play(&mut world, &turns, an_end, LONG);
        let of = |state| world.view.steps.values().filter(move |step| step.state == state);
        let last = |step: &Step| world.view.children[&step.id].is_empty();
        let expected = if of(StepState::Blocked).count() > 0 {
            TaskState::Blocked
        } else if of(StepState::Pending).count() > 0 || of(StepState::Error).any(last) {
            TaskState::Error
        } else {
            TaskState::Complete
        };
        prop_assert_eq!(world.task().state, expected);
    }

    #[test]
    fn operators_at_any_point_leave_the_counters_right(
        parents in graphs(), joins in joins(), turns in turns(), takes in prop::collection::vec(any::<u32>(), 24),
        asked in prop::collection::vec((0u8..11, 0u32..24), 1..40), added in prop::collection::vec(0usize..6, 24)
    ) {
        let mut world = branching(&parents, &joins, &takes, &[1; 24]);
        for ((step, above), by) in parents.iter().enumerate().zip(added) {
            let by = above.get(by).map(|by| (TASK.step(u32::try_from(step).unwrap()), TASK.step(*by)));
            world.added.extend(by);
        }
        for (turn, (what, step)) in turns.iter().zip(asked) {
            play(&mut world, std::slice::from_ref(turn), outcome, 3);
            let step = step % u32::try_from(parents.len()).unwrap();
            // What is refused changes nothing.
            let _ = match what {
                0..=8 => operate(&mut world, what, step),
                _ => world.rerun(step),
            };
        }
        complete(&mut world, &turns);
    }

    #[test]
    fn whatever_handlers_add_is_counted_right_and_completes(
        parents in graphs(), joins in joins(), turns in turns(), asked in prop::collection::vec((0u8..9, 0u32..40), 1..40),
        grows in prop::collection::vec(any::<u32>(), 40)
    ) {
        let mut world = joined_by(&parents, &joins);
        world.view.grown.next.insert(TASK, u32::try_from(parents.len()).unwrap());
        world.grows = (0..).zip(grows).map(|(index, seed)| (TASK.step(index), seed)).collect();
        for (turn, (what, step)) in turns.iter().zip(asked) {
            play(&mut world, std::slice::from_ref(turn), outcome, 3);
            let step = step % u32::try_from(world.view.steps.len()).unwrap();
            let _ = operate(&mut world, what, step);
        }
        complete(&mut world, &turns);
        // Nothing else adds as much as this.
        let most = parents.len() + 2 * world.grows.len();
        prop_assert!(world.view.steps.len() <= most);
    }

    #[test]
    fn no_run_uses_up_more_than_its_budget_and_every_one_ends(
        parents in graphs(), joins in joins(), turns in turns(), attempts in prop::option::of(1u32..40),
        most in prop::option::of(0u32..30), reserves in prop::collection::vec((0u32..4, 0u32..4), 24)
    ) {
        let most = most.or(attempts.is_none().then_some(9)).map(f64::from);
        let mut world = limited(joined_by(&parents, &joins), attempts, most);
        for (index, (reserve, spent)) in (0..).zip(reserves) {
            world.view.reserves.insert(TASK.step(index), cost(reserve.into()));
            world.view.spent.insert(TASK.step(index), cost(spent.min(reserve).into()));
        }
        play(&mut world, &turns, an_end, LONG);
        let settled = world.task().state.is_terminal() || world.task().state == TaskState::Blocked;
        prop_assert!(settled, "{:?}", world.task());
        prop_assert_eq!(world.view.budgets[&TASK].reserved, Cost::default());
    }

    #[test]
    fn a_fork_of_any_task_counts_right_and_completes(
        parents in graphs(), joins in joins(), turns in turns(), takes in prop::collection::vec(any::<u32>(), 24),
        unmet in prop::collection::vec(0u8..8, 24), first in 0u32..24
    ) {
        let mut source = branching(&parents, &joins, &takes, &unmet);
        play(&mut source, &turns, an_end, 300);
        let mut world = branching(&parents, &joins, &takes, &unmet);
        let first = first % u32::try_from(parents.len()).unwrap();
        world.see(&copies(&source, &[first]));
        play(&mut world, &turns, |_| ok(), LONG);
        prop_assert_eq!(world.task().state, TaskState::Complete);
    }

    #[test]
    fn whatever_failed_can_be_tried_again_until_the_task_is_complete(parents in graphs(), turns in turns()) {
        let mut world = World::new(&parents, &RetryPolicy::default());
        play(&mut world, &turns, an_end, LONG);
        if world.task().state != TaskState::Complete {
            world.retry().unwrap();
            prop_assert_eq!(world.task().state, TaskState::InProgress);
            play(&mut world, &turns, |_| ok(), LONG);
        }
        prop_assert_eq!(world.task().state, TaskState::Complete);
    }

    #[test]
    fn exactly_what_decisions_conditions_and_join_policies_lead_to_is_executed(
        parents in graphs(), joins in joins(), turns in turns(), takes in prop::collection::vec(any::<u32>(), 24),
        unmet in prop::collection::vec(0u8..8, 24)
    ) {
        let mut world = branching(&parents, &joins, &takes, &unmet);
        play(&mut world, &turns, |_| ok(), LONG);
        prop_assert_eq!(world.task().state, TaskState::Complete);
        for step in world.view.steps.values() {
            let runs = world.parents[&step.id].is_empty() || world.may_start(step.id);
            let runs = runs && !world.unmet.contains(&step.id);
            let expected = if runs { StepState::Complete } else { StepState::Skipped };
            prop_assert_eq!(step.state, expected, "step {}", step.id);
            prop_assert_eq!(step.attempts, u32::from(runs));
        }
    }

    #[test]
    fn each_attempt_is_recorded_once(parents in graphs(), mut turns in turns()) {
        turns.push(Turn { pick: 0, ends: 200, batch: 5, room: 0 });
        let mut world = World::new(&parents, &RetryPolicy::default());
        play(&mut world, &turns, an_end, LONG);
        let mut seen: Vec<_> = world.attempts.iter().map(|(claim, _)| (claim.step, claim.attempt)).collect();
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), all);
        let begun: u32 = world.view.steps.values().map(|s| s.attempts).sum();
        prop_assert_eq!(begun as usize, all);
    }

    #[test]
    fn cancelling_at_any_point_and_a_deadline_leave_nothing_claimable(
        parents in graphs(), turns in turns(), stop in 0usize..60, paused in any::<bool>(), late in any::<bool>()
    ) {
        let mut world = World::new(&parents, &RetryPolicy::default());
        for turn in turns.iter().take(stop) {
            let ready: Vec<StepId> = world.available.keys().copied().collect();
            let running: Vec<Claim> = world.view.steps.values().filter_map(Step::claim).collect();
            if let Some(id) = ready.get(turn.pick % 2) {
                world.see(&Observation::StepsClaimed { worker: WORKER, steps: vec![*id] });
            } else if let Some(claim) = running.first() {
                world.end(*claim, outcome(turn.ends));
            }
        }
        if paused {
            let _ = world.pause();
        }
        if !world.task().state.is_terminal() {
            let passed = Observation::DeadlinePassed(world.now);
            world.see(&if late { passed } else { cancel() });
            prop_assert!(world.available.is_empty());
            prop_assert_eq!(world.task().runnable + world.task().waiting + world.task().blocked, 0);
        }
    }
}
