//! What this process has committed, told to its subscribers: a bounded queue in the order of the commits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;

use super::inbox::{Inbox, Interrupt};
use crate::decision::{Decisions, StepChange, TaskChange, Timestamp};
use crate::ids::{StepId, TaskId, WorkerId};
use crate::state::{StepEvent, StepState, TaskEvent, TaskState};
use crate::store::{StoreError, Transaction};

/// Events that wait for subscribers; beyond them the oldest are dropped. An event takes 64 bytes.
const MOST_WAITING: usize = 100_000;

/// A change of state that was committed, or what became of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was decided, by the database's clock; what became of a worker, by this machine's.
    pub at: Timestamp,
    /// What changed.
    pub transition: Transition,
}

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// A step's state.
    Step {
        /// The step.
        step: StepId,
        /// The cause.
        event: StepEvent,
        /// The state before.
        from: StepState,
        /// The state after.
        to: StepState,
        /// The number of the attempt, from 1; 0 before the first.
        attempt: u32,
        /// Who holds the claim or held it.
        worker: Option<WorkerId>,
    },
    /// A task's state.
    Task {
        /// The task.
        task: TaskId,
        /// The cause.
        event: TaskEvent,
        /// The state before.
        from: TaskState,
        /// The state after.
        to: TaskState,
    },
    /// What became of a worker.
    Worker {
        /// The worker.
        worker: WorkerId,
        /// What became of it.
        event: WorkerEvent,
    },
}

/// What becomes of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerEvent {
    /// It registered and begins to claim.
    Started,
    /// It claims no more, and waits for the handlers that run.
    Stopping,
    /// It has written everything that its handlers reported, or had no more time for it.
    Stopped,
    /// Its heartbeat ended, and its claims were taken back.
    Lost,
}

impl WorkerEvent {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Started, Self::Stopping, Self::Stopped, Self::Lost];

    /// What it is called.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
        }
    }
}

/// Some kinds of events: bit n stands for the n-th of [`Event::names`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventSet(pub u64);

impl EventSet {
    fn has(self, event: &Event) -> bool {
        self.0 >> event.number() & 1 == 1
    }
}

impl Event {
    /// The names of all kinds of events: "step." and "task." before the causes of transitions, then "worker.".
    pub fn names() -> impl Iterator<Item = String> {
        let steps = StepEvent::ALL.iter().map(|event| format!("step.{event}"));
        let tasks = TaskEvent::ALL.iter().map(|event| format!("task.{event}"));
        let workers = WorkerEvent::ALL.iter().map(|event| format!("worker.{}", event.as_str()));
        steps.chain(tasks).chain(workers)
    }

    /// The position of its name among [`Event::names`].
    #[must_use]
    pub fn number(&self) -> usize {
        match self.transition {
            Transition::Step { event, .. } => event as usize,
            Transition::Task { event, .. } => StepEvent::ALL.len() + event as usize,
            Transition::Worker { event, .. } => {
                StepEvent::ALL.len() + TaskEvent::ALL.len() + event as usize
            }
        }
    }

    fn of_step(change: &StepChange, at: Timestamp) -> Option<Self> {
        let (before, after, event) = (&change.before, &change.after, change.event?);
        let transition = Transition::Step {
            step: after.id,
            event,
            from: before.state,
            to: after.state,
            attempt: before.attempts.max(after.attempts),
            worker: after.worker.or(before.worker),
        };
        Some(Self { at, transition })
    }

    fn of_task(change: &TaskChange, at: Timestamp) -> Option<Self> {
        let (before, after, event) = (&change.before, &change.after, change.event?);
        let transition =
            Transition::Task { task: after.id, event, from: before.state, to: after.state };
        Some(Self { at, transition })
    }
}

/// The events of a decision, in the order of its transitions: a task that begins to run does so before its steps, and what
/// changes no state of it is written first; what else becomes of it follows from them.
fn events_of(decisions: &Decisions) -> impl Iterator<Item = Event> {
    let now = decisions.now;
    let begins = |change: &&TaskChange| {
        change.after.state == TaskState::InProgress || change.before.state == change.after.state
    };
    let tasks = decisions.tasks.iter();
    let (begun, others) = (tasks.clone().filter(begins), tasks.filter(move |c| !begins(c)));
    let steps = decisions.steps.iter().filter_map(move |change| Event::of_step(change, now));
    begun
        .filter_map(move |change| Event::of_task(change, now))
        .chain(steps)
        .chain(others.filter_map(move |change| Event::of_task(change, now)))
}

/// Events on their way to the subscribers of a process. Nobody who commits waits for them.
#[derive(Debug)]
pub struct Events {
    /// The bits of an [`EventSet`]: what there are subscribers for.
    wanted: AtomicU64,
    line: Mutex<Line>,
    inbox: Inbox<Event>,
    dropped: AtomicU64,
}

/// Commits in flight. A transaction that saw another one's changes began its commit after that one did,
/// but may learn first that it succeeded: events go on in the order in which the commits were begun.
#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// The events of each commit; `None` while it is in flight.
    turns: BTreeMap<u64, Option<Vec<Event>>>,
    /// Events in `turns`.
    held: usize,
}

/// The place of a commit that begins. Without a call of [`Turn::publish`] nothing came of it.
#[derive(Debug)]
struct Turn<'a> {
    events: &'a Events,
    number: u64,
    happened: Vec<Event>,
}

impl Turn<'_> {
    /// The commit succeeded.
    fn publish(mut self, decisions: &Decisions) {
        let wanted = self.events.wanted();
        self.happened = events_of(decisions).filter(|event| wanted.has(event)).collect();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.events.settle(self.number, std::mem::take(&mut self.happened));
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::bounded(MOST_WAITING)
    }
}

impl Events {
    fn bounded(most: usize) -> Self {
        Self {
            wanted: AtomicU64::new(0),
            line: Mutex::default(),
            inbox: Inbox::bounded(most),
            dropped: AtomicU64::new(0),
        }
    }

    fn wanted(&self) -> EventSet {
        EventSet(self.wanted.load(Ordering::Acquire))
    }

    /// Whether anybody subscribes to anything.
    #[must_use]
    pub fn are_wanted(&self) -> bool {
        self.wanted() != EventSet::default()
    }

    /// Records these kinds of events from now on. What is left of a time with other subscribers is
    /// forgotten when nothing was, or is, wanted.
    pub fn record(&self, wanted: EventSet) {
        let before = EventSet(self.wanted.swap(wanted.0, Ordering::AcqRel));
        if [before, wanted].contains(&EventSet::default()) {
            self.inbox.drain();
        }
    }

    /// Commits what follows from a decision, and tells it.
    pub(super) async fn commit(
        &self,
        tx: impl Transaction,
        decisions: &Decisions,
    ) -> Result<(), StoreError> {
        let turn = self.turn();
        tx.commit().await?;
        if let Some(turn) = turn {
            turn.publish(decisions);
        }
        Ok(())
    }

    /// Tells what becomes of a worker, after what was committed before.
    pub(super) fn tell(&self, worker: WorkerId, event: WorkerEvent) {
        if let Some(mut turn) = self.turn() {
            let event = Event { at: Utc::now(), transition: Transition::Worker { worker, event } };
            turn.happened.extend(self.wanted().has(&event).then_some(event));
        }
    }

    /// A place in line for a transaction that is about to commit; `None` while nobody subscribes.
    fn turn(&self) -> Option<Turn<'_>> {
        if !self.are_wanted() {
            return None;
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let number = line.next;
        line.next += 1;
        line.turns.insert(number, None);
        Some(Turn { events: self, number, happened: Vec::new() })
    }

    /// Hands over what no commit in flight stands before. One that stands before too many events loses
    /// its place.
    fn settle(&self, number: u64, happened: Vec<Event>) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.held += happened.len();
        line.turns.insert(number, Some(happened));
        while let Some((number, settled)) = line.turns.pop_first() {
            match settled {
                Some(events) => {
                    line.held -= events.len();
                    let dropped =
                        self.inbox.push(events.into_iter().map(|event| (0, event)).collect());
                    self.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
                }
                None if line.held > MOST_WAITING => {}
                None => {
                    line.turns.insert(number, None);
                    return;
                }
            }
        }
    }

    /// Waits up to `timeout` for at most `max` events; `None` when there will be no more.
    pub fn pop(&self, max: usize, timeout: Duration, interrupt: &Interrupt) -> Option<Vec<Event>> {
        self.inbox.pop(max, timeout, interrupt, |_, _| {})
    }

    /// Nothing is recorded any more; what was, can still be taken.
    pub(super) fn end(&self) {
        self.wanted.store(0, Ordering::Release);
        self.inbox.end();
    }

    /// Counts what nobody will take, and `more` that somebody took in vain, as dropped.
    pub fn give_up(&self, more: u64) {
        let left = self.inbox.drain().len() as u64;
        self.dropped.fetch_add(left + more, Ordering::Relaxed);
    }

    /// Events that were recorded and reached no subscriber, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

const _: () = assert!(
    StepEvent::ALL.len() + TaskEvent::ALL.len() + WorkerEvent::ALL.len() <= u64::BITS as usize
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Join, Step, Task};

    const ALL: EventSet = EventSet(u64::MAX);

    fn step(state: StepState, attempts: u32, worker: Option<i64>) -> Step {
        let worker = worker.map(WorkerId);
        let new = Step::new(TaskId(1).step(0), state, Join::default());
        Step { attempts, worker, ..new }
    }

    fn task(id: i64, state: TaskState) -> Task {
        Task {
            id: TaskId(id),
            state,
            runnable: 0,
            waiting: 0,
            blocked: 0,
            failures: 0,
            is_child: false,
            priority: 0,
        }
    }

    fn task_change(
        id: i64,
        from: TaskState,
        event: Option<TaskEvent>,
        to: TaskState,
    ) -> TaskChange {
        TaskChange { before: task(id, from), after: task(id, to), event, detail: None }
    }

    fn claimed() -> StepChange {
        StepChange {
            before: step(StepState::Enqueued, 0, None),
            after: step(StepState::InProgress, 1, Some(7)),
            event: Some(StepEvent::Claimed),
            available_at: None,
            results: None,
            detail: None,
            ended: None,
            wait: None,
        }
    }

    /// A task that completes; its id tells decisions apart.
    fn completed(id: i64) -> Decisions {
        let change =
            task_change(id, TaskState::InProgress, Some(TaskEvent::Completed), TaskState::Complete);
        Decisions { tasks: vec![change], ..Decisions::default() }
    }

    fn taken(events: &Events) -> Vec<i64> {
        let taken = events.pop(1_000, Duration::ZERO, &Interrupt::of_this_thread());
        let id = |event: Event| match event.transition {
            Transition::Step { step, .. } => step.0,
            Transition::Task { task, .. } => task.0,
            Transition::Worker { worker, .. } => worker.0,
        };
        taken.unwrap().into_iter().map(id).collect()
    }

    fn recording(most: usize) -> Events {
        let events = Events::bounded(most);
        events.record(ALL);
        events
    }

    #[test]
    fn a_task_begins_before_its_steps_and_ends_after_them() {
        let started =
            task_change(1, TaskState::Pending, Some(TaskEvent::Started), TaskState::InProgress);
        let counted = task_change(2, TaskState::InProgress, None, TaskState::InProgress);
        let tasks = [completed(3).tasks, vec![counted, started]].concat();
        let decisions = Decisions { steps: vec![claimed()], tasks, ..Decisions::default() };
        let names: Vec<_> = Event::names().collect();
        let told: Vec<_> = events_of(&decisions).map(|e| names[e.number()].as_str()).collect();
        assert_eq!(told, ["task.started", "step.claimed", "task.completed"]);
    }

    #[test]
    fn a_step_s_event_tells_its_attempt_and_who_held_it() {
        let claimed = claimed();
        let given_back = StepChange {
            before: claimed.after,
            after: step(StepState::Enqueued, 0, None),
            event: Some(StepEvent::GivenBack),
            ..claimed.clone()
        };
        for change in [claimed, given_back] {
            let event = Event::of_step(&change, Timestamp::default()).unwrap();
            let Transition::Step { attempt, worker, .. } = event.transition else { unreachable!() };
            assert_eq!((attempt, worker), (1, Some(WorkerId(7))));
        }
    }

    #[test]
    fn events_follow_the_begin_of_their_commits_whichever_is_known_first() {
        let events = recording(10);
        let (first, failed, last) = (events.turn(), events.turn(), events.turn());
        last.unwrap().publish(&completed(3));
        drop(failed);
        assert!(taken(&events).is_empty());
        first.unwrap().publish(&completed(1));
        assert_eq!(taken(&events), [1, 3]);
    }

    #[test]
    fn a_commit_that_hangs_holds_up_no_more_than_the_queue_holds() {
        let events = recording(MOST_WAITING);
        let hung = events.turn();
        let many = vec![claimed(); MOST_WAITING];
        events.turn().unwrap().publish(&Decisions { steps: many, ..Decisions::default() });
        assert!(taken(&events).is_empty());
        events.turn().unwrap().publish(&completed(9));
        assert_eq!((events.inbox.drain().len(), events.dropped()), (MOST_WAITING, 1));
        hung.unwrap().publish(&completed(1));
        assert_eq!(taken(&events), [1]);
        assert!(events.line.lock().unwrap().turns.is_empty());
    }

    #[test]
    fn who_is_too_slow_loses_the_oldest_which_are_counted() {
        let events = recording(2);
        (1..=5).for_each(|id| events.turn().unwrap().publish(&completed(id)));
        assert_eq!((taken(&events), events.dropped()), (vec![4, 5], 3));
    }

    #[test]
    fn what_becomes_of_a_worker_is_told_after_what_it_committed_before() {
        let events = recording(10);
        let turn = events.turn();
        events.tell(WorkerId(7), WorkerEvent::Stopped);
        turn.unwrap().publish(&completed(1));
        assert_eq!(taken(&events), [1, 7]);
        let stopped = Event::names().position(|name| name == "worker.stopped").unwrap();
        events.record(EventSet(!(1 << stopped)));
        WorkerEvent::ALL.into_iter().for_each(|event| events.tell(WorkerId(9), event));
        assert_eq!(taken(&events), [9, 9, 9]);
    }

    #[test]
    fn only_what_is_wanted_is_recorded() {
        let events = Events::bounded(10);
        assert!(events.turn().is_none());
        let claimed_only = EventSet(1 << StepEvent::Claimed as u64);
        events.record(claimed_only);
        let decisions = Decisions { steps: vec![claimed()], ..completed(1) };
        events.turn().unwrap().publish(&decisions);
        assert_eq!(taken(&events), [TaskId(1).step(0).0]);
        events.turn().unwrap().publish(&decisions);
        events.record(EventSet::default());
        events.record(ALL);
        assert!(taken(&events).is_empty());
    }

    #[test]
    fn what_was_recorded_before_the_end_is_taken_and_the_rest_is_given_up() {
        let events = recording(10);
        (1..=3).for_each(|id| events.turn().unwrap().publish(&completed(id)));
        events.end();
        assert!(events.turn().is_none());
        let interrupt = Interrupt::of_this_thread();
        assert_eq!(events.pop(1, Duration::from_secs(60), &interrupt).unwrap().len(), 1);
        events.give_up(1);
        assert_eq!(events.dropped(), 3);
        assert_eq!(events.pop(1, Duration::from_secs(60), &interrupt), None);
    }
}
