//! Looks at every commit and every execution for a broken invariant (`docs/invariants.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::plan::{When, shortest_delay};
use super::server::Host;
use super::tables::{
    CheckpointRecord, ChildRecord, ForkRecord, StepRecord, StepTransition, Tables, Tally,
    TaskRecord, TaskTransition, WorkerRecord, Written, steps_of,
};
use super::world::GO;
use crate::decide::is_reset;
use crate::decision::{Claim, NEVER, Outcome, Until};
use crate::ids::{StepId, TaskId, WorkerId};
use crate::join_policy::JoinPolicy;
use crate::state::{FollowUpKind, StepEvent, StepState, TaskEvent, TaskState, WorkerState};

/// How long a worker that nothing disturbs may be without a heartbeat through delays on its way.
const SLACK: Duration = Duration::from_millis(500);

/// How long a worker that nothing disturbs may think that an attempt which runs is still its own: a second between two
/// heartbeats, and what may go wrong with one.
const LONGEST_IGNORANCE: Duration = Duration::from_secs(4);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The first broken invariant.
    pub(super) violation: Option<String>,
    /// Executions that a handler has begun, and when: each step, attempt and worker once.
    begun: BTreeMap<(StepId, u32, WorkerId), Instant>,
    /// Executions whose end a handler has reported, and whether as a success.
    reported: BTreeMap<(StepId, u32, WorkerId), bool>,
    /// Executions to which a handler has attached something.
    attached: BTreeSet<(StepId, u32, WorkerId)>,
    hosts: BTreeMap<WorkerId, (Arc<Host>, bool)>,
    /// Hosts on which a process runs.
    running: BTreeSet<usize>,
    /// Workers that have not beaten since the server's clock was put forward or back: how long ago they did, nobody
    /// can tell.
    unheard: BTreeSet<WorkerId>,
    /// Of which tasks clients were told that they submitted with a key, and when for the first time.
    submitted: BTreeMap<usize, BTreeMap<TaskId, Instant>>,
    /// Those that a client was told it has made.
    made: BTreeSet<(usize, TaskId)>,
    /// Tasks to which somebody was told that a signal was sent.
    signalled: BTreeSet<TaskId>,
    /// Tasks that operators have asked to be undone.
    to_be_undone: BTreeSet<TaskId>,
    /// When the waits of steps that wait for a time alone, or to be tried again, are over at the earliest, by the machines' clocks.
    waits: BTreeMap<StepId, Instant>,
    /// When tasks have ended, the last time.
    ended_at: BTreeMap<TaskId, Instant>,
    /// When the step of an execution may begin anew at the earliest, as its handler has reported, if it ends with this event.
    asked: BTreeMap<(StepId, u32, WorkerId), (StepEvent, Instant)>,
    /// What the handler of an execution has kept, as it has reported, and of a step, as it was committed.
    keeps: BTreeMap<(StepId, u32, WorkerId), u32>,
    kept: BTreeMap<StepId, u32>,
    /// The last checkpoint of each step of which its handler was told that it is written.
    checkpoints: BTreeMap<StepId, u64>,
    /// Tasks of steps that were executed anew since.
    replaced: BTreeSet<TaskId>,
    /// Tasks that were complete once; a person may have had them go on since.
    completed: BTreeSet<TaskId>,
    /// When others have ended executions that a handler may have begun.
    cut_off: BTreeMap<(StepId, u32, WorkerId), Instant>,
    /// The server's clock was put forward or back: waits by it may be shorter or longer.
    clock_put: bool,
    /// Map steps, their items, and steps whose handlers add others, that have changed.
    mapping: BTreeSet<StepId>,
    items: BTreeSet<StepId>,
    growing: BTreeSet<StepId>,
    /// The number of the last transition of each step and each task in the history, and of the last claim of a task.
    last_of_step: BTreeMap<StepId, u64>,
    last_of_task: BTreeMap<TaskId, u64>,
    last_claim: BTreeMap<TaskId, u64>,
    /// How often operators had to do with items of a task.
    steered: BTreeMap<TaskId, u32>,
    pub(super) transitions: u64,
}

/// The states of a step that is complete for its children.
const COMPLETE: &[StepState] = &[StepState::Complete, StepState::ResolvedManually];

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn is_complete(tables: &Tables, step: StepId) -> bool {
    tables.steps.get(&step).is_some_and(|step| COMPLETE.contains(&step.state))
}

/// Whether a step is complete by what was done in its own task, not in the one that it is a fork of.
fn is_done(tables: &Tables, step: StepId) -> bool {
    let own = |step: &StepRecord| step.attempts > 0 || step.state == StepState::ResolvedManually;
    is_complete(tables, step) && tables.steps.get(&step).is_some_and(own)
}

/// Whether the parents of a step are as its join policy asks for.
fn satisfied(tables: &Tables, step: StepId, tally: Tally) -> bool {
    let Tally { all, complete, skipped, failed } = tally;
    if tables.items(step).is_some() {
        let tolerate = tables.map(step).and_then(|map| map.tolerate);
        let is_tolerated = tolerate.is_none_or(|most| failed <= most);
        return complete + skipped + failed == all && is_tolerated;
    }
    match tables.join(step) {
        _ if all == 0 => true,
        JoinPolicy::AllComplete => complete == all,
        JoinPolicy::AllDone => complete + skipped + failed == all,
        JoinPolicy::AnyComplete => complete > 0,
        JoinPolicy::NoneFailed => complete + skipped == all && complete > 0,
        JoinPolicy::Quorum(wanted) => complete >= wanted.min(all),
    }
}

/// Whether the claim is the current one.
fn is_held(tables: &Tables, claim: Claim) -> bool {
    let held = |step: &StepRecord| {
        step.state == StepState::InProgress
            && (step.attempts, step.worker) == (claim.attempt, Some(claim.worker))
    };
    tables.steps.get(&claim.step).is_some_and(held)
}

impl Watch {
    fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// A process is a worker from now on, and none of those that it was before.
    pub(super) fn registered(&mut self, worker: WorkerId, host: &Arc<Host>) {
        self.forget(host);
        self.hosts.insert(worker, (Arc::clone(host), self.running.contains(&host.number)));
    }

    /// A process begins there.
    pub(super) fn came(&mut self, host: &Host) {
        self.running.insert(host.number);
    }

    /// The process there is gone, and with it its registrations; one of them may be committed only now.
    pub(super) fn gone(&mut self, host: &Host) {
        self.running.remove(&host.number);
        self.forget(host);
    }

    fn forget(&mut self, host: &Host) {
        for (other, alive) in self.hosts.values_mut() {
            *alive &= other.number != host.number;
        }
    }

    /// The server's clock was put forward or back.
    pub(super) fn clock_was_put(&mut self, tables: &Tables) {
        self.clock_put = true;
        self.unheard.extend(tables.workers.keys());
    }

    /// Somebody is told that a signal was sent.
    pub(super) fn signalled(&mut self, task: TaskId) {
        self.signalled.insert(task);
    }

    /// An operator asks for a task to be undone.
    pub(super) fn asks_to_undo(&mut self, task: TaskId) {
        self.to_be_undone.insert(task);
    }

    /// Whether somebody was told so.
    pub(super) fn is_signalled(&self, task: TaskId) -> bool {
        self.signalled.contains(&task)
    }

    /// Somebody is told that a signal was sent to all tasks with a key; these were there, and had not ended, when that began.
    pub(super) fn signalled_all(
        &mut self,
        tables: &Tables,
        key: &str,
        (there, began): (&[TaskId], Instant),
    ) {
        let missed = there.iter().find(|task| {
            let has_ended = self.ended_at.get(task).is_some_and(|ended| *ended >= began);
            !has_ended && !tables.signals_of(**task).any(|(_, sent)| sent.name == GO)
        });
        if let Some(task) = missed {
            self.violated(format!("task {task} has not got the signal to all with key {key}"));
        }
    }

    /// A fork takes over what its task has done, but for the steps that it begins with and those below them.
    fn fork_takes_over(&mut self, tables: &Tables, written: &Written) {
        let Some((task, ForkRecord { source, first })) = &written.fork else { return };
        let template = |task| tables.tasks.get(task).map(|record| record.template);
        if template(task) != template(source) {
            self.violated(format!("fork {task} of task {source} has another template"));
        }
        if tables.keys_of(*task) != tables.keys_of(*source) {
            self.violated(format!("fork {task} is not found by the keys of task {source}"));
        }
        if written.steps.keys().any(|step| step.task() != *task) {
            self.violated(format!("steps of others change with fork {task}"));
        }
        let anew = tables.following(*source, first);
        let added = tables.added.range(steps_of(*source));
        let added = added.filter(|(_, added)| !added.retired);
        for (left, _) in added.filter(|(_, added)| !anew.contains(&added.by)) {
            self.violated(format!("fork {task} knows nothing of step {left}, which was added"));
        }
        for (step, record) in tables.steps.range(steps_of(*task)) {
            let of_source = source.step(step.index());
            let was_complete = is_complete(tables, of_source);
            let mut own = written.step_transitions.iter().filter(|change| change.step == *step);
            let event = own.next().map(|change| change.event);
            if anew.contains(&of_source) {
                let skipped = event == Some(StepEvent::Skipped) && tables.tally(*step).skipped == 0;
                if event == Some(StepEvent::Copied) || skipped {
                    self.violated(format!("step {step} is to be executed, and took {event:?}"));
                }
            } else if event == Some(StepEvent::Copied) {
                let results = tables.steps.get(&of_source).map(|step| &step.results);
                if !was_complete || results != Some(&record.results) {
                    self.violated(format!("step {step} has not the results of step {of_source}"));
                }
                self.parents_allow(tables, *step, "was taken over");
            } else if was_complete && record.state == StepState::Enqueued {
                self.violated(format!("step {step} is executed, and step {of_source} is complete"));
            }
        }
    }

    /// A step that waits for a time, or to be tried again, goes on when that has come, not before, unless somebody asks for it.
    fn waits_last(&mut self, after: &Tables, change: &StepTransition) {
        let its = change.worker.map(|worker| (change.step, change.attempt, worker));
        let asked = its.and_then(|its| self.asked.get(&its));
        let asked = asked.filter(|(event, _)| *event == change.event).map(|(_, until)| *until);
        let least = if change.event == StepEvent::WentWaiting {
            asked
        } else if change.event == StepEvent::RetryScheduled {
            let failures = after.steps.get(&change.step).map_or(0, |step| step.failures);
            let delay = shortest_delay(after.position(change.step), failures);
            // Where the handler was too slow, that it failed was decided after the begin.
            asked.or_else(|| Some(*self.begun.get(&its?)? + delay))
        } else {
            None
        };
        if let Some(until) = least {
            self.waits.insert(change.step, until);
        } else if let Some(until) = self.waits.remove(&change.step)
            && change.event == StepEvent::Claimed
            && !self.clock_put
            && until > Instant::now()
        {
            self.violated(format!("step {} was claimed before its wait was over", change.step));
        }
    }

    /// A step does not wait for a signal that was sent.
    fn no_signal_is_missed(&mut self, tables: &Tables, id: StepId) {
        if tables.steps.get(&id).is_none_or(|step| step.state != StepState::Waiting) {
            return;
        }
        let Some(wait) = tables.waits.get(&id) else {
            return self.violated(format!("step {id} waits, and nobody knows for what"));
        };
        let sent = wait.signal.as_ref().and_then(|signal| tables.signal(id.task(), signal));
        let last = wait.deadline.unwrap_or(NEVER);
        let waits = tables.ready.get(&id).is_some_and(|ready| ready.available_at == last);
        if let Some(signal) = sent.filter(|_| waits) {
            self.violated(format!("step {id} waits for signal {signal}, which was sent"));
        }
    }

    /// A checkpoint is made by the claim that is current, and goes on where the last one was.
    fn checkpoint_is_its(&mut self, before: &Tables, written: &Written) {
        let Some(step) = written.checkpoint else { return };
        let Some(made) = written.waits.get(&step).and_then(|wait| wait.as_ref()?.checkpoint) else {
            return;
        };
        let held = before.steps.get(&step);
        let current = held.is_some_and(|held| {
            held.worker == Some(made.claim.worker) && held.attempts == made.claim.attempt
        });
        if !current {
            let Claim { attempt, worker, .. } = made.claim;
            self.violated(format!(
                "attempt {attempt} of step {step} made a checkpoint on worker {worker}, which does not hold it"
            ));
        }
        let last = before.waits.get(&step).and_then(|wait| wait.checkpoint);
        // One that is sent again is written again.
        let goes_on = |last: &CheckpointRecord| last.cursor < made.cursor || *last == made;
        if !last.as_ref().is_none_or(goes_on) {
            self.violated(format!("step {step} went back to checkpoint {}", made.cursor));
        }
    }

    /// A handler attaches something to its attempt.
    pub(super) fn attaches(&mut self, claim: Claim) {
        self.attached.insert((claim.step, claim.attempt, claim.worker));
    }

    /// What was attached to an attempt is written with the end of it that its handler has reported, and with no other.
    fn artifacts_are_its(&mut self, before: &Tables, written: &Written) {
        let holder = |step| before.steps.get(&step).and_then(|held| held.worker);
        let ends = written.step_transitions.iter().filter(|c| c.from == StepState::InProgress);
        let ends = ends.map(|end| (end.step, end.attempt, holder(end.step)));
        let recorded = written.recorded_ends.values().flatten().map(|record| record.claim);
        let recorded: Vec<_> = recorded.collect();
        let of_recorded =
            recorded.iter().map(|claim| (claim.step, claim.attempt, Some(claim.worker)));
        let ends: BTreeSet<_> = ends.chain(of_recorded).collect();
        if let Some((step, attempt, by)) = written.artifacts.difference(&ends).next() {
            self.violated(format!(
                "an artifact of attempt {attempt} of step {step} on {by:?} was written without its end"
            ));
        }
        for Claim { step, attempt, worker } in recorded {
            let is_attached = self.attached.contains(&(step, attempt, worker));
            if is_attached && !written.artifacts.contains(&(step, attempt, Some(worker))) {
                self.violated(format!(
                    "the end of attempt {attempt} of step {step} is recorded without what was attached to it"
                ));
            }
        }
        for change in &written.step_transitions {
            let Some(worker) = holder(change.step) else { continue };
            // It was written with the record.
            if before.recorded_ends.contains_key(&change.step) {
                continue;
            }
            let its = (change.step, change.attempt, worker);
            let by_it = matches!(
                change.event,
                StepEvent::Succeeded
                    | StepEvent::FailedPermanently
                    | StepEvent::NeedsIntervention
                    | StepEvent::WentWaiting
            );
            let reported =
                by_it && self.reported.contains_key(&its) && self.attached.contains(&its);
            if reported && !written.artifacts.contains(&(change.step, change.attempt, Some(worker)))
            {
                self.violated(format!(
                    "attempt {} of step {} ended, and what was attached to it is lost",
                    change.attempt, change.step
                ));
            }
        }
    }

    /// What an attempt does in a transaction happens once, while its claim is current, and is there if, and only if, it has
    /// ended as a success.
    fn effects_are_its(&mut self, before: &Tables, written: &Written) {
        for (step, attempt) in &written.effects {
            let record = written.recorded_ends.get(step).and_then(Option::as_ref);
            let its = record.is_some_and(|record| {
                record.claim.attempt == *attempt && is_held(before, record.claim)
            });
            if !its || before.effects.contains(&(*step, *attempt)) {
                self.violated(format!(
                    "attempt {attempt} of step {step} has an effect, and is not current, or had it before"
                ));
            }
        }
        let ends = written.step_transitions.iter().filter(|c| c.from == StepState::InProgress);
        for StepTransition { step, attempt, event, .. } in ends {
            let took_place = before.effects.contains(&(*step, *attempt));
            let succeeds = *event == StepEvent::Succeeded && before.is_transactional(*step);
            if took_place != succeeds {
                let took = if took_place { "took place" } else { "did not take place" };
                self.violated(format!(
                    "attempt {attempt} of step {step} ended with {event}, and its effect {took}"
                ));
            }
        }
    }

    /// A handler is told that its checkpoint is written.
    pub(super) fn checkpointed(&mut self, tables: &Tables, claim: Claim, cursor: u64) {
        // One of before a rerun is forgotten.
        if is_held(tables, claim) {
            self.checkpoints.insert(claim.step, cursor);
        }
    }

    /// A handler reads where it is to go on.
    pub(super) fn resumes(&mut self, step: StepId, cursor: Option<u64>) {
        let last = self.checkpoints.get(&step).copied();
        if last > cursor {
            self.violated(format!("step {step} goes on from {cursor:?}, and was told of {last:?}"));
        }
    }

    /// A handler looks whether its attempt is still its own.
    pub(super) fn looks(&mut self, claim: Claim, is_current: bool, host: &Host) {
        let execution = (claim.step, claim.attempt, claim.worker);
        if is_current
            && let Some(since) = self.cut_off.get(&execution)
            // A heartbeat asks of attempts that run.
            && let Some(begun) = self.begun.get(&execution)
            && since.max(begun).elapsed().min(host.undisturbed()) > LONGEST_IGNORANCE
        {
            self.violated(format!(
                "attempt {} of step {} was ended {:?} ago, and its worker does not know",
                claim.attempt,
                claim.step,
                since.elapsed()
            ));
        }
    }

    /// A task uses up no more than its budget, which counts what its steps do.
    fn budget_is_kept(&mut self, tables: &Tables, id: TaskId) {
        let Some(budget) = tables.budgets.get(&id).copied() else { return };
        let steps: Vec<_> = tables.steps.range(steps_of(id)).collect();
        let attempts: u32 = steps.iter().map(|(_, step)| step.attempts).sum();
        let runs = steps.iter().filter(|(_, step)| step.state == StepState::InProgress);
        let reserved: u64 = runs.map(|(id, _)| tables.reserve(**id).millionths()).sum();
        let cancelled = tables.tasks.get(&id).is_some_and(|t| t.task.state == TaskState::Cancelled);
        if budget.attempts != attempts || budget.reserved.millionths() != reserved && !cancelled {
            self.violated(format!("task {id} counts {budget:?}, and it is {attempts}, {reserved}"));
        }
        let used = budget.spent.millionths() + reserved;
        let over = budget.limits.attempts.is_some_and(|most| attempts > most.get())
            || budget.limits.cost.is_some_and(|most| used > most.millionths());
        if over {
            self.violated(format!("task {id} has used up more than its budget: {budget:?}"));
        }
    }

    /// A step ends by its deadline only if it has one, and no attempt is scheduled for later than that.
    fn deadline_is_kept(&mut self, after: &Tables, change: &StepTransition) {
        let step = change.step;
        let retries = change.event == StepEvent::RetryScheduled;
        let deadline = after.step_deadlines.get(&step).copied().filter(|_| retries);
        let retry_at = after.ready.get(&step).map(|ready| ready.available_at);
        if deadline.is_some_and(|deadline| retry_at.is_some_and(|at| at >= deadline)) {
            self.violated(format!(
                "step {step} is tried again at {retry_at:?}, after {deadline:?}"
            ));
        }
        let limited = after.is_limited(step);
        if change.event == StepEvent::BudgetExhausted && !after.budgets.contains_key(&step.task()) {
            self.violated(format!("step {step} was kept back, and its task has no budget"));
        }
        if change.event == StepEvent::TimedOut && !limited {
            self.violated(format!("step {step} was late, and has no limit"));
        }
        if change.from == StepState::Pending
            && matches!(change.to, StepState::Enqueued | StepState::InProgress)
            && limited
            && !after.step_deadlines.contains_key(&step)
        {
            self.violated(format!("step {step} begins, and its time does not"));
        }
    }

    /// A step is claimed once its delay is over, and is given up with the worker that was one too many.
    fn delay_and_crashes_count(&mut self, after: &Tables, change: &StepTransition) {
        let StepTransition { step, from, event, decided_at, .. } = *change;
        let delay = after.delay(step);
        let ready = after.ready.get(&step).map(|ready| ready.available_at);
        if from == StepState::Pending && !delay.is_zero() && !after.is_item(step) {
            let is_ready = event == StepEvent::ParentsCompleted;
            let is_early = is_ready && ready.is_none_or(|at| at < decided_at + delay);
            if is_early || event == StepEvent::Claimed {
                self.violated(format!(
                    "step {step} can be claimed at {ready:?}, before its delay is over"
                ));
            }
        }
        let crashes = after.steps.get(&step).map_or(0, |step| step.crashes);
        let limit = after.crash_limit(step);
        if event == StepEvent::CrashesExhausted && crashes < limit {
            self.violated(format!("step {step} was given up after {crashes} of {limit} workers"));
        }
    }

    /// The time of a step that can be claimed as soon as it is added begins with that.
    fn added_have_time(&mut self, after: &Tables, written: &Written) {
        let ready = written.added.keys().filter(|step| written.ready.contains_key(*step));
        let mut limited = ready.filter(|step| after.is_limited(**step));
        if let Some(step) = limited.find(|step| !after.step_deadlines.contains_key(*step)) {
            self.violated(format!("step {step} is added, and its time does not begin"));
        }
    }

    /// Remembers when others end attempts that run.
    fn cuts(&mut self, before: &Tables, written: &Written) {
        for change in written.step_transitions.iter().filter(|c| c.from == StepState::InProgress) {
            let ended = matches!(
                change.event,
                StepEvent::Cancelled
                    | StepEvent::Skipped
                    | StepEvent::ResolvedManually
                    | StepEvent::TimedOut
                    | StepEvent::Rerun
                    | StepEvent::Reset
            );
            let worker = before.steps.get(&change.step).and_then(|step| step.worker);
            if let Some(worker) = worker.filter(|_| ended) {
                self.cut_off.insert((change.step, change.attempt, worker), Instant::now());
            }
        }
    }

    /// A client is told which task it is that it has submitted with a key, and whether another one has made it. With a window
    /// it is known when the client asked.
    pub(super) fn submitted(
        &mut self,
        key: usize,
        task: TaskId,
        existing: bool,
        window: Option<(Duration, Instant)>,
    ) {
        let told = self.submitted.entry(key).or_default();
        let first = *told.entry(task).or_insert_with(Instant::now);
        let other = told.keys().copied().find(|other| *other != task && window.is_none());
        let is_over = window.is_some_and(|(lasts, asked)| first + lasts < asked);
        if let Some(other) = other {
            self.violated(format!("key {key} is that of task {other} and of task {task}"));
        }
        if existing && is_over && !self.clock_put {
            self.violated(format!("key {key} is that of task {task}, and its window is over"));
        }
        if !existing && !self.made.insert((key, task)) {
            self.violated(format!("two clients have made task {task} of key {key}"));
        }
    }

    /// Every key that was submitted has a task of which a client was told that it has made it.
    pub(super) fn all_made(&mut self) {
        let made: BTreeSet<_> = self.made.iter().map(|(key, _)| *key).collect();
        if let Some(key) = self.submitted.keys().find(|key| !made.contains(*key)).copied() {
            self.violated(format!("nobody has made the task of key {key}"));
        }
    }

    /// An identity stays with its task as long as its window lasts.
    fn identities_stay(&mut self, before: &Tables, written: &Written) {
        for (identity, new) in &written.identities {
            let last = before.identities.get(identity);
            if let Some(last) = last.filter(|last| !last.is_over(new.given_at)) {
                let (task, other) = (new.task, last.task);
                self.violated(format!("the identity of task {other} was given to task {task}"));
            }
        }
    }

    /// A handler begins.
    pub(super) fn begins(&mut self, tables: &Tables, claim: Claim) {
        let Claim { step, attempt, worker } = claim;
        if self.begun.insert((step, attempt, worker), Instant::now()).is_some() {
            self.violated(format!(
                "attempt {attempt} of step {step} began twice on worker {worker}"
            ));
        }
        if let Some(undone) = tables.undone_by(step)
            && !is_done(tables, undone)
        {
            self.violated(format!("step {undone} is undone, and was never done"));
        }
        if !matches!(tables.when(step), None | Some(When::Met)) {
            self.violated(format!("step {step} began, and its condition is not met"));
        }
        // Others may see their parents tried again after they have started.
        if tables.join(step) == JoinPolicy::AllComplete && is_held(tables, claim) {
            self.parents_allow(tables, step, "began");
        }
    }

    /// A handler reports how it ended; where its time is limited, the engine may have said before that it failed.
    pub(super) fn reports(&mut self, claim: Claim, outcome: &Outcome, is_limited: bool) {
        let its = (claim.step, claim.attempt, claim.worker);
        self.reported.insert(its, outcome.is_success());
        let (event, lasts) = if let Outcome::Waiting(wait) = outcome {
            let kept = wait.data.as_ref().and_then(|data| data.parse().ok());
            self.keeps.extend(kept.map(|kept| (its, kept)));
            let until = wait.until.filter(|_| wait.signal.is_none());
            let lasts = until.and_then(|until| match until {
                Until::After(lasts) => Some(lasts),
                Until::At(_) => None,
            });
            (StepEvent::WentWaiting, lasts)
        } else if let Outcome::Failed(failure) = outcome
            && !is_limited
        {
            (StepEvent::RetryScheduled, failure.retry_after_s.map(Duration::from_secs_f64))
        } else {
            return;
        };
        self.asked.extend(lasts.map(|lasts| (its, (event, Instant::now() + lasts))));
    }

    /// A handler reads what an earlier attempt has kept.
    pub(super) fn goes_on(&mut self, tables: &Tables, claim: Claim) -> u32 {
        let found = tables.waits.get(&claim.step).and_then(|wait| wait.data).unwrap_or_default();
        let kept = self.kept.get(&claim.step).copied().unwrap_or_default();
        // One of before a rerun is forgotten.
        if found != kept && is_held(tables, claim) {
            self.violated(format!("step {} is given {found}, and has kept {kept}", claim.step));
        }
        found
    }

    /// What the handler has kept is kept from now on.
    fn keeps_what_it_said(&mut self, change: &StepTransition) {
        let its = change.worker.map(|worker| (change.step, change.attempt, worker));
        let kept = its.and_then(|its| self.keeps.get(&its)).copied();
        if change.event == StepEvent::WentWaiting {
            self.kept.extend(kept.map(|kept| (change.step, kept)));
        }
    }

    /// A constraint of the schema refuses a row.
    pub(super) fn refused(&mut self, step: StepId, why: &str) {
        self.violated(format!("the schema refuses a change of step {step}: {why}"));
    }

    /// What a handler is given of the steps before its own.
    pub(super) fn inputs(&mut self, tables: &Tables, claim: Claim, given: Option<&str>) {
        // The steps before one that was reset on its way to a handler may be executed anew.
        if !is_held(tables, claim) {
            return;
        }
        let step = claim.step;
        // What it needs it reads from the task that it undoes.
        if tables.undone_by(step).is_some() {
            return;
        }
        let results =
            |parent: &StepId| tables.steps.get(parent).and_then(|parent| parent.results.as_deref());
        let parents: Vec<_> = tables.template_parents(step).collect();
        let expected = parents
            .iter()
            .map(|parent| format!("\"s{}\":{}", parent.index(), results(parent).unwrap_or("null")));
        let expected = format!("{{{}}}", expected.collect::<Vec<_>>().join(","));
        if given == (!parents.is_empty()).then_some(expected.as_str()) {
            return;
        }
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let found: BTreeMap<String, Value> =
            given.and_then(|given| serde_json::from_str(given).ok()).unwrap_or_default();
        // A step that does not wait for all may have been given its inputs before a parent completed.
        let may_miss = tables.join(step) != JoinPolicy::AllComplete;
        let is_given = |parent: &StepId| {
            found.get(&format!("s{}", parent.index())).is_some_and(|given| {
                may_miss && given.is_null()
                    || *given == results(parent).map(parse).unwrap_or_default()
            })
        };
        if found.len() != parents.len() || !parents.iter().all(is_given) {
            self.violated(format!("step {step} was given {given:?}"));
        }
    }

    /// The join policy of a step that starts is satisfied.
    fn parents_allow(&mut self, tables: &Tables, step: StepId, what: &str) {
        if !satisfied(tables, step, tables.tally(step)) {
            let join = tables.join(step);
            self.violated(format!("step {step} {what} before its parents allowed it: {join:?}"));
        }
    }

    /// History has the changes of a step, and of a task, in the order of their commits, and claims before the pause of
    /// the task that was committed after them.
    fn numbers_grow(&mut self, written: &Written) {
        for change in &written.step_transitions {
            let before = self.last_of_step.insert(change.step, change.number);
            if before >= Some(change.number) {
                self.violated(format!("history of step {} is not in order", change.step));
            }
            if change.event == StepEvent::Claimed {
                let last = self.last_claim.entry(change.step.task()).or_default();
                *last = change.number.max(*last);
            }
        }
        for change in &written.task_transitions {
            let before = self.last_of_task.insert(change.task, change.number);
            if before >= Some(change.number) {
                self.violated(format!("history of task {} is not in order", change.task));
            }
            let claimed = self.last_claim.get(&change.task).copied();
            if change.to == TaskState::Paused && claimed > Some(change.number) {
                let task = change.task;
                self.violated(format!(
                    "history has task {task} paused before a claim, which was there before"
                ));
            }
        }
    }

    /// The history has the ends from which a start follows before it.
    fn parents_come_first(&mut self, tables: &Tables, written: &Written) {
        let mut later = BTreeSet::new();
        for change in written.step_transitions.iter().rev() {
            let StepTransition { step, from, to, .. } = *change;
            let starts = matches!(to, StepState::Enqueued | StepState::InProgress);
            if from == StepState::Pending
                && starts
                && let Some(parent) = tables.parents(step).find(|parent| later.contains(parent))
            {
                self.violated(format!(
                    "step {step} started, and the end of {parent} is numbered after that"
                ));
            }
            if to.is_terminal() {
                later.insert(step);
            }
        }
    }

    /// Looks at what a transaction is about to change.
    pub(super) fn before(&mut self, before: &Tables, written: &Written, by: &Host) {
        self.note_growth(before, written);
        self.batches_are_over(before, written);
        self.identities_stay(before, written);
        self.checkpoint_is_its(before, written);
        self.artifacts_are_its(before, written);
        self.effects_are_its(before, written);
        self.cuts(before, written);
        self.changes_are_told(before, written);
        self.links_are_made_once(before, written);
        for transition in &written.step_transitions {
            self.step_changes(before, written, transition);
        }
        for transition in &written.task_transitions {
            self.task_changes(before, written, transition);
        }
        self.burials(before, written, by);
        self.heartbeats(before, written);
    }

    /// Looks at what a transaction has made visible.
    pub(super) fn after(&mut self, after: &Tables, written: &Written) {
        let completed =
            written.task_transitions.iter().filter(|change| change.to == TaskState::Complete);
        self.completed.extend(completed.map(|change| change.task));
        let changes = written.task_transitions.iter().filter(|change| change.from != change.to);
        let ended = changes.filter(|change| change.to.is_terminal());
        self.ended_at.extend(ended.map(|change| (change.task, Instant::now())));
        self.added_have_time(after, written);
        self.fork_takes_over(after, written);
        self.parents_come_first(after, written);
        self.numbers_grow(written);
        for change in &written.step_transitions {
            self.deadline_is_kept(after, change);
            self.delay_and_crashes_count(after, change);
            let starts = matches!(change.to, StepState::Enqueued | StepState::InProgress);
            let completes = change.event == StepEvent::ItemsDone;
            if completes || change.from == StepState::Pending && starts {
                self.parents_allow(after, change.step, "started");
            }
            if is_reset(Some(change.event)) {
                self.checkpoints.remove(&change.step);
                self.kept.remove(&change.step);
                self.replaced.extend(after.child_of(change.step).map(|(child, _)| child));
            }
            self.waits_last(after, change);
            self.keeps_what_it_said(change);
            self.ends_as_its_child(after, change);
            let task = after.tasks.get(&change.step.task());
            if change.event == StepEvent::Claimed
                && task.is_some_and(|task| task.task.state == TaskState::Paused)
            {
                self.violated(format!("step {} was claimed, and its task is paused", change.step));
            }
        }
        let tasks: BTreeSet<_> =
            written.tasks.keys().copied().chain(written.steps.keys().map(|id| id.task())).collect();
        for task in tasks {
            self.recount(after, task);
            self.budget_is_kept(after, task);
        }
    }

    fn step_changes(&mut self, before: &Tables, written: &Written, change: &StepTransition) {
        self.transitions += 1;
        let StepTransition { step, from, to, event, attempt, worker, decided_at, .. } = *change;
        // A step that is added is pending, if it is anything before.
        let Some(found) = before.steps.get(&step) else {
            let is_forked = written.fork.as_ref().is_some_and(|(task, _)| *task == step.task());
            if from != StepState::Pending && !(is_forked && from == StepState::Enqueued) {
                self.violated(format!("step {step} changes and does not exist"));
            }
            return;
        };
        if found.state != from {
            self.violated(format!(
                "history of step {step} has a gap: {} became {from}",
                found.state
            ));
        }
        if from.after(event).ok() != Some(to) {
            self.violated(format!("step {step} took {event} from {from} to {to}"));
        }
        if found.state == StepState::InProgress && found.attempts != attempt {
            let now = found.attempts;
            self.violated(format!(
                "an end of attempt {attempt} of step {step} was accepted, not {now}"
            ));
        }
        if from == StepState::InProgress
            && !matches!(
                event,
                StepEvent::Cancelled
                    | StepEvent::Skipped
                    | StepEvent::ResolvedManually
                    | StepEvent::Rerun
                    | StepEvent::Reset
            )
            && worker.is_some()
            && found.worker != worker
        {
            self.violated(format!(
                "an end of step {step} came from {worker:?}, not {:?}",
                found.worker
            ));
        }
        if event == StepEvent::Claimed && attempt != found.attempts + 1 {
            self.violated(format!(
                "step {step} was claimed for attempt {attempt} after {}",
                found.attempts
            ));
        }
        let deadline = before.deadlines.get(&step.task());
        let is_late = deadline.is_some_and(|deadline| *deadline <= decided_at);
        if event == StepEvent::Claimed && is_late && !self.clock_put {
            self.violated(format!(
                "step {step} was claimed, and the deadline of its task had passed"
            ));
        }
        let unmet = event == StepEvent::ConditionUnmet;
        let undone = before.undone_by(step);
        if unmet && undone.is_some_and(|undone| is_done(before, undone)) {
            self.violated(format!("step {step} was left out, and there is something to undo"));
        }
        if unmet && before.when(step) != Some(When::Unmet) && undone.is_none() {
            self.violated(format!("step {step} was left out, and nothing says so"));
        }
        // Nobody executes a step whose condition cannot be told.
        if before.when(step) != Some(When::Fails) {
            self.was_reported(change);
        }
    }

    /// An attempt ends as its handler has reported, if the end is a handler's. One that takes too long is ended by the
    /// engine, and need not have reported.
    fn was_reported(&mut self, change: &StepTransition) {
        let StepTransition { step, event, attempt, worker, .. } = *change;
        let reported =
            worker.and_then(|worker| self.reported.get(&(step, attempt, worker))).copied();
        let fits = match event {
            // Nobody executes a map step.
            StepEvent::Succeeded => reported == Some(true) || self.mapping.contains(&step),
            StepEvent::WentWaiting => reported == Some(false),
            StepEvent::FailedPermanently => {
                reported == Some(false)
                    || self.growing.contains(&step)
                    || self.items.contains(&step)
            }
            StepEvent::NeedsIntervention => reported == Some(false),
            StepEvent::RetryScheduled | StepEvent::RetriesExhausted => {
                reported == Some(false) || self.began(step, attempt, worker)
            }
            StepEvent::ParentsCompleted
            | StepEvent::Claimed
            | StepEvent::NotRetryable
            | StepEvent::ConditionUnmet
            | StepEvent::GivenBack
            | StepEvent::Interrupted
            | StepEvent::WorkerDied
            | StepEvent::CrashesExhausted
            | StepEvent::Cancelled
            | StepEvent::Retried
            | StepEvent::Signalled
            | StepEvent::TimedOut
            | StepEvent::Mapped
            | StepEvent::ItemsDone
            | StepEvent::ItemsFailed
            | StepEvent::ItemsRetried
            | StepEvent::BudgetExhausted
            | StepEvent::Rerun
            | StepEvent::Reset
            | StepEvent::Copied
            | StepEvent::Skipped
            | StepEvent::ResolvedManually => true,
        };
        if !fits {
            self.violated(format!(
                "attempt {attempt} of step {step} ended with {event}, and its handler reported {reported:?}"
            ));
        }
        let before_it_began = matches!(event, StepEvent::GivenBack | StepEvent::ConditionUnmet);
        if before_it_began && self.began(step, attempt, worker) {
            self.violated(format!(
                "attempt {attempt} of step {step} ended with {event} after it began"
            ));
        }
    }

    /// What may end without the report of a handler, or otherwise than it reported.
    fn note_growth(&mut self, before: &Tables, written: &Written) {
        for change in &written.step_transitions {
            let step = change.step;
            let template = before.tasks.get(&step.task());
            let Some(template) = template.and_then(|task| before.template(task.template)) else {
                continue;
            };
            if before.is_item(step) {
                self.items.insert(step);
                let steered = matches!(
                    change.event,
                    StepEvent::Retried | StepEvent::Skipped | StepEvent::ResolvedManually
                );
                *self.steered.entry(step.task()).or_default() += u32::from(steered);
            } else if before.map(step).is_some() {
                self.mapping.insert(step);
            } else if template.grows.get(step.index() as usize).copied().unwrap_or(false) {
                self.growing.insert(step);
            }
        }
    }

    /// No more items of a map step run at a time than may, but for those that operators have to do with.
    fn items_take_turns(&mut self, tables: &Tables, map: StepId) {
        let Some((first, items)) = tables.items(map) else { return };
        let Some(most) = tables.map(map).and_then(|map| map.max_parallel) else { return };
        let items = (0..i64::from(items)).filter_map(|n| tables.steps.get(&StepId(first.0 + n)));
        let run =
            items.filter(|item| !item.state.is_terminal() && item.state != StepState::Pending);
        let (run, steered) =
            (count(run.count()), self.steered.get(&map.task()).copied().unwrap_or_default());
        if run > most + steered {
            self.violated(format!("{run} items of step {map} run, and {most} may"));
        }
    }

    fn began(&self, step: StepId, attempt: u32, worker: Option<WorkerId>) -> bool {
        worker.is_some_and(|worker| self.begun.contains_key(&(step, attempt, worker)))
    }

    /// A state changes together with its transition only.
    fn changes_are_told(&mut self, before: &Tables, written: &Written) {
        for (id, step) in &written.steps {
            let told = written.step_transitions.iter().any(|change| change.step == *id);
            if before.steps.get(id).is_some_and(|before| before.state != step.state) && !told {
                self.violated(format!("step {id} is {} without a transition", step.state));
            }
        }
        for (id, record) in &written.tasks {
            let told = written.task_transitions.iter().any(|change| change.task == *id);
            let changed = |before: &TaskRecord| before.task.state != record.task.state;
            if before.tasks.get(id).is_some_and(changed) && !told {
                self.violated(format!("task {id} is {} without a transition", record.task.state));
            }
        }
    }

    /// A batch is deleted only when none of its claims is held, or another batch lists them.
    fn batches_are_over(&mut self, before: &Tables, written: &Written) {
        let deleted = written.batches.iter().filter(|(_, batch)| batch.is_none());
        for (id, batch) in deleted.filter_map(|(id, _)| Some((id, before.batches.get(id)?))) {
            let held = |step: &&StepId| {
                let record = written.steps.get(step).or_else(|| before.steps.get(step));
                record.is_some_and(|record| record.worker == Some(batch.worker))
            };
            let kept = before
                .batches
                .iter()
                .filter(|(id, _)| !matches!(written.batches.get(id), Some(None)));
            let new = written.batches.values().flatten();
            let listed: BTreeSet<_> = kept
                .map(|(_, other)| other)
                .chain(new)
                .filter(|other| other.worker == batch.worker)
                .flat_map(|other| &other.steps)
                .collect();
            if let Some(step) = batch.steps.iter().filter(held).find(|step| !listed.contains(step))
            {
                self.violated(format!("batch {id} was deleted while step {step} is held"));
            }
        }
    }

    fn task_changes(&mut self, before: &Tables, written: &Written, change: &TaskTransition) {
        self.transitions += 1;
        let TaskTransition { task, from, to, event, .. } = *change;
        let found = before.tasks.get(&task).map(|found| found.task.state);
        let is_forked = written.fork.as_ref().is_some_and(|(fork, _)| *fork == task);
        if found != Some(from) && !(is_forked && from == TaskState::Pending) {
            self.violated(format!("history of task {task} has a gap: {found:?} became {from}"));
        }
        if from.after(event).ok() != Some(to) {
            self.violated(format!("task {task} took {event} from {from} to {to}"));
        }
        if before.compensations.contains_key(&task) {
            self.violated(format!("task {task} took {event}, and is undone"));
        }
        if event == TaskEvent::DeadlinePassed && !before.deadlines.contains_key(&task) {
            self.violated(format!("task {task} was late, and has no deadline"));
        }
    }

    /// A task is made for a step when there is none that can go on, and a task is undone once, after it has failed.
    fn links_are_made_once(&mut self, before: &Tables, written: &Written) {
        let made = |(task, _): &(&TaskId, &ChildRecord)| !before.children.contains_key(task);
        let made: Vec<_> = written.children.iter().filter(made).collect();
        for (task, child) in &made {
            if let Some((other, _)) =
                before.child_of(child.step).filter(|(_, other)| !other.superseded)
            {
                let state = before.tasks.get(&other).map(|record| record.task.state);
                if !matches!(state, Some(TaskState::Error | TaskState::Cancelled)) {
                    let step = child.step;
                    self.violated(format!("step {step} has made task {task}, and has {other}"));
                }
            }
            if made.len() > 1 {
                self.violated(format!("step {} has made two tasks at once", child.step));
            }
            if child.left_alone != before.leaves(child.step) {
                let (step, left) = (child.step, child.left_alone);
                self.violated(format!("step {step} leaves task {task} alone: {left}"));
            }
        }
        for (task, by) in &written.compensations {
            if let Some(other) = before.compensations.get(task) {
                self.violated(format!("task {task} is undone by task {other} and by task {by}"));
            }
            let state = before.tasks.get(task).map(|record| record.task.state);
            if !matches!(state, Some(TaskState::Error | TaskState::Cancelled)) {
                self.violated(format!("task {task} is undone, and is {state:?}"));
            }
            if before.is_by_hand(*task) && !self.to_be_undone.contains(task) {
                self.violated(format!("task {task} is undone, and nobody has asked for it"));
            }
        }
    }

    /// A step that runs a task completes after that has.
    fn ends_as_its_child(&mut self, after: &Tables, change: &StepTransition) {
        if change.event != StepEvent::Succeeded || !after.runs(change.step) {
            return;
        }
        let child = after.child_of(change.step).map(|(child, _)| child);
        let state = child.and_then(|child| after.tasks.get(&child)).map(|child| child.task.state);
        if let Some(child) = child.filter(|child| self.replaced.contains(child)) {
            let step = change.step;
            self.violated(format!(
                "step {step} was executed anew, and is complete by task {child} of before"
            ));
        }
        if !child.is_some_and(|child| self.completed.contains(&child)) {
            let step = change.step;
            self.violated(format!(
                "step {step} is complete, and the task that it runs is {state:?}"
            ));
        }
    }

    /// What a task that has failed did is undone. Steps that an operator resolved afterwards, without having the task go on, are
    /// no part of what it did by then.
    pub(super) fn is_undone(&mut self, tables: &Tables, id: TaskId) {
        let Some(record) = tables.tasks.get(&id) else { return };
        let Some(steps) = tables.undoing(record.template) else { return };
        let failed = matches!(record.task.state, TaskState::Error | TaskState::Cancelled);
        let complete = |step: &StepRecord| step.state == StepState::Complete && step.attempts > 0;
        let done = steps.iter().any(|step| tables.steps.get(&id.step(*step)).is_some_and(complete));
        // Somebody cancelled it when no worker was left: the next one undoes it.
        let left = tables.follow_ups.values().any(|left| *left == (id, FollowUpKind::Compensate));
        let by_hand = tables.is_by_hand(id);
        if failed && done && !left && !by_hand && !tables.compensations.contains_key(&id) {
            let state = record.task.state;
            self.violated(format!("task {id} is {state}, and nothing undoes it"));
        }
    }

    /// Every counter and state of a task must be what a recount says.
    pub(super) fn recount(&mut self, tables: &Tables, id: TaskId) {
        let Some(record) = tables.tasks.get(&id) else {
            return self.violated(format!("steps of task {id} exist without it"));
        };
        for record in tables.recorded_ends.range(steps_of(id)).map(|(_, record)| record) {
            if !is_held(tables, record.claim) {
                let step = record.claim.step;
                self.violated(format!("the end of step {step} is recorded, and its claim is over"));
            }
        }
        let task = record.task;
        let mut counted = [0_u32; 4];
        let (mut pending, mut in_error) = (0, 0);
        for (step, found) in tables.steps.range(steps_of(id)) {
            in_error += u32::from(found.state == StepState::Error);
            let counter = match found.state {
                StepState::Enqueued | StepState::InProgress => Some(0),
                StepState::WaitingForRetry | StepState::Waiting => Some(1),
                StepState::Blocked => Some(2),
                StepState::Pending
                | StepState::Complete
                | StepState::Error
                | StepState::Skipped
                | StepState::Cancelled
                | StepState::ResolvedManually => None,
            };
            if let Some(counter) = counter {
                counted[counter] += 1;
            }
            let tally = tables.tally(*step);
            if found.state == StepState::Pending {
                pending += 1;
                counted[3] += tally.failed;
            } else if found.state == StepState::Error && tables.children(*step).next().is_none() {
                counted[3] += 1;
            }
            self.recount_step(tables, *step, task.state, tally);
            self.items_take_turns(tables, *step);
        }
        let steps = count(tables.steps.range(steps_of(id)).count());
        if record.total_steps != steps {
            let total = record.total_steps;
            self.violated(format!("task {id} says that it has {total} steps, and has {steps}"));
        }
        let kept = [task.runnable, task.waiting, task.blocked, task.failures];
        if kept != counted {
            self.violated(format!("task {id} counts {kept:?}, and its steps are {counted:?}"));
        }
        if task.state == TaskState::Complete && pending > 0 {
            self.violated(format!("task {id} is complete with {pending} steps pending"));
        }
        let undoes = tables.template(record.template).is_some_and(|one| one.undoes.is_some());
        if task.state == TaskState::Complete && undoes && in_error > 0 {
            self.violated(format!("task {id} is complete, and {in_error} steps are not undone"));
        }
        self.state_follows(id, task.state, counted);
    }

    fn state_follows(
        &mut self,
        id: TaskId,
        state: TaskState,
        [runnable, waiting, blocked, failed]: [u32; 4],
    ) {
        let follows = match state {
            TaskState::Complete => runnable + waiting + blocked + failed == 0,
            TaskState::Error => runnable + waiting + blocked == 0 && failed > 0,
            TaskState::Blocked => runnable + waiting == 0 && blocked > 0,
            TaskState::Waiting => runnable == 0 && waiting > 0,
            TaskState::InProgress | TaskState::Pending => runnable > 0,
            TaskState::Cancelled | TaskState::Paused | TaskState::ResolvedManually => true,
        };
        if !follows {
            let counts = [runnable, waiting, blocked, failed];
            self.violated(format!("task {id} is {state}, and its steps are {counts:?}"));
        }
    }

    fn recount_step(&mut self, tables: &Tables, id: StepId, task: TaskState, tally: Tally) {
        let Some(step) = tables.steps.get(&id) else { return };
        let Tally { all, complete, skipped, failed } = tally;
        let waits_for_turn = tables.waits_for_turn(id);
        let open = all - failed - skipped - complete + u32::from(waits_for_turn);
        if tables.parent_counts.get(&id).is_some_and(|(parents, _)| *parents != all) {
            self.violated(format!("step {id} has {all} parents, and its count says else"));
        }
        let counted = [step.open_parents, step.failed_parents, step.skipped_parents];
        let has_failed_items = step.state == StepState::Error && tables.items(id).is_some();
        let expected = if step.state == StepState::Pending || has_failed_items {
            [open, failed, skipped]
        } else {
            [0; 3]
        };
        if counted != expected {
            let state = step.state;
            self.violated(format!(
                "{state} step {id} counts {counted:?} parents, not {expected:?}"
            ));
        }
        let is_ready = || !waits_for_turn && satisfied(tables, id, tally);
        if step.state == StepState::Pending && (open + failed == 0 || is_ready()) {
            self.violated(format!("step {id} is pending with {counted:?} parents"));
        }
        self.ends_with_its_items(tables, id, open, satisfied(tables, id, tally));
        self.no_signal_is_missed(tables, id);
        let in_queue = tables.ready.get(&id).is_some_and(|ready| ready.queue.is_some());
        if in_queue && task == TaskState::Paused {
            self.violated(format!("step {id} can be claimed, and its task is paused"));
        }
        if step.state.is_claimable() && !in_queue && task != TaskState::Paused {
            self.violated(format!("step {id} is {} and in no queue", step.state));
        }
        if step.state.is_claimable() != tables.ready.contains_key(&id) {
            self.violated(format!(
                "step {id} is {}, and its place in the queue says else",
                step.state
            ));
        }
        let holder = step.worker.filter(|_| step.state == StepState::InProgress);
        if step.worker != holder || (step.state == StepState::InProgress && holder.is_none()) {
            self.violated(format!("step {id} is {}, and held by {:?}", step.state, step.worker));
        }
        let lists = |worker| {
            tables.batches.values().any(|batch| batch.worker == worker && batch.steps.contains(&id))
        };
        if let Some(worker) = holder.filter(|worker| !lists(*worker)) {
            self.violated(format!(
                "nobody could take step {id} back from worker {worker}: no batch lists it"
            ));
        }
        if task.is_terminal() && !step.state.is_terminal() && step.state != StepState::Pending {
            self.violated(format!(
                "task {} is {task} while step {id} is {}",
                id.task(),
                step.state
            ));
        }
        let template = tables.tasks.get(&id.task()).and_then(|task| tables.template(task.template));
        let limit = template.and_then(|template| template.retry_limits.get(tables.position(id)));
        if limit.is_some_and(|limit| step.failures > *limit) {
            self.violated(format!(
                "step {id} has failed {} times of {limit:?} allowed",
                step.failures
            ));
        }
        if step.failures + step.crashes > step.attempts {
            self.refused(id, "failures and crashes are more than attempts");
        }
        if step.results.is_some() && !COMPLETE.contains(&step.state) {
            self.refused(id, "results of a step that is not complete");
        }
        if step.crashes > tables.crash_limit(id) {
            self.violated(format!("step {id} has taken {} workers along", step.crashes));
        }
    }

    /// A map step is in error exactly when all its items have ended and more of them failed than may; with the last of them it
    /// is no longer pending.
    fn ends_with_its_items(&mut self, tables: &Tables, map: StepId, open: u32, is_well: bool) {
        let state = tables.steps.get(&map).map(|step| step.state);
        if tables.items(map).is_none() {
            return;
        }
        if state == Some(StepState::Pending) && open == 0 {
            self.violated(format!("step {map} is pending, and all its items have ended"));
        }
        if state == Some(StepState::Error) && (open > 0 || is_well) {
            self.violated(format!("step {map} is in error, and {open} of its items are open"));
        }
    }

    /// Nobody whom nothing disturbed is buried, or loses a claim.
    fn burials(&mut self, before: &Tables, written: &Written, by: &Host) {
        let taken = written.step_transitions.iter().filter(|change| {
            matches!(change.event, StepEvent::WorkerDied | StepEvent::CrashesExhausted)
        });
        let buried = written.workers.iter().filter(|(id, worker)| {
            let was_alive = before.workers.get(id).is_some_and(WorkerRecord::is_alive);
            worker.state == WorkerState::Dead && was_alive
        });
        let lost = taken.filter_map(|change| change.worker).chain(buried.map(|(id, _)| *id));
        let lost: BTreeSet<_> = lost.filter(|id| !self.unheard.contains(id)).collect();
        for id in lost {
            let Some(worker) = before.workers.get(&id) else { continue };
            let Some((host, alive)) = self.hosts.get(&id) else { continue };
            let calm = host.undisturbed();
            if *alive && calm > worker.dead_after + SLACK {
                let by = by.number;
                self.violated(format!(
                    "host {by} took worker {id} for dead, whom nothing disturbed for {calm:?}"
                ));
            }
        }
    }

    /// Who beats is heard by the clock as it is.
    fn heartbeats(&mut self, before: &Tables, written: &Written) {
        self.unheard.retain(|id| {
            let (was, is) = (before.workers.get(id), written.workers.get(id));
            is.is_none_or(|is| was.is_some_and(|was| was.heartbeat_at == is.heartbeat_at))
        });
    }

    /// What a transaction did, for those who read the story.
    pub(super) fn news(&self, written: &Written) -> Vec<String> {
        let steps = written.step_transitions.iter().map(|change| {
            let StepTransition { step, from, to, event, attempt, worker, .. } = change;
            let by = worker.map(|worker| format!(", worker {worker}")).unwrap_or_default();
            format!(
                "task {} step {}: {from} -> {to} ({event}, attempt {attempt}{by})",
                step.task(),
                step.index()
            )
        });
        let tasks = written.task_transitions.iter().map(|change| {
            format!("task {}: {} -> {} ({})", change.task, change.from, change.to, change.event)
        });
        let new = written
            .tasks
            .keys()
            .filter(|_| written.step_transitions.is_empty() && written.task_transitions.is_empty());
        let new = new.map(|task| format!("task {task} is made"));
        new.chain(steps).chain(tasks).collect()
    }
}
