//! Looks at every commit and every execution for a broken invariant (`docs/invariants.md`).

mod executions;
mod history;
mod recount;
mod tasks;
mod times;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::server::Host;
use super::tables::{StepRecord, Tables, Tally, Written};
use crate::decide::is_reset;
use crate::decision::Claim;
use crate::ids::{StepId, TaskId, WorkerId};
use crate::join_policy::JoinPolicy;
use crate::state::{StepEvent, StepState, TaskState};

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
    /// As what operators have asked for tasks to be cancelled.
    to_be_cancelled: BTreeMap<TaskId, BTreeSet<String>>,
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
    /// Map steps, and steps whose handlers add others, that have changed.
    mapping: BTreeSet<StepId>,
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

    /// A constraint of the schema refuses a row.
    pub(super) fn refused(&mut self, step: StepId, why: &str) {
        self.violated(format!("the schema refuses a change of step {step}: {why}"));
    }

    /// The join policy of a step that starts is satisfied.
    fn parents_allow(&mut self, tables: &Tables, step: StepId, what: &str) {
        if !satisfied(tables, step, tables.tally(step)) {
            let join = tables.join(step);
            self.violated(format!("step {step} {what} before its parents allowed it: {join:?}"));
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
}
