//! What the core sees and what it answers, as plain data: rows in, observation in, changes out.

mod growth;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Cost, Limits};
use crate::ids::{SignalId, StepId, TaskId, TransitionId, WorkerId};
use crate::join_policy::JoinPolicy;
use crate::retry_policy::RetryPolicy;
use crate::state::{AttemptOutcome, FollowUpKind, StepEvent, StepState, TaskEvent, TaskState};

pub use growth::{
    Added, AddedStep, Grown, Growth, Items, MOST_STEPS, Mapped, NewStep, ParentCount, Relative,
    ResolvedStep,
};

/// A point in time by the database's clock.
pub type Timestamp = DateTime<Utc>;

/// A task's row, as far as decisions need it. The counters count its steps by what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// The task.
    pub id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Steps that are enqueued or in progress.
    pub runnable: u32,
    /// Steps that wait for a retry, a signal or a timer.
    pub waiting: u32,
    /// Steps that need a person.
    pub blocked: u32,
    /// Failures that hold something up: for each pending step its parents in error, and each step in error that
    /// no other depends on.
    pub failures: u32,
    /// A step of another task runs it.
    pub is_child: bool,
    /// Those with a lower one are claimed first.
    pub priority: i16,
}

/// A step's row, as far as decisions need it, and what its template says of its parents. They are counted while it is
/// pending only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The step.
    pub id: StepId,
    /// Its state.
    pub state: StepState,
    /// Parents that are not done.
    pub open_parents: u32,
    /// Parents in error.
    pub failed_parents: u32,
    /// Parents that were skipped.
    pub skipped_parents: u32,
    /// Attempts begun; the number of the current one while in progress.
    pub attempts: u32,
    /// Attempts that count against the policy's limit.
    pub failures: u32,
    /// Attempts that ended because their worker died.
    pub crashes: u32,
    /// Who holds the claim.
    pub worker: Option<WorkerId>,
    /// The template's join policy for this step.
    pub join: Join,
}

/// When a step may start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// The policy.
    pub policy: JoinPolicy,
    /// How many parents the step has.
    pub parents: u32,
}

/// Something for each of some steps. Ids are numbers of the database's own, which nobody chooses: a
/// quick hash is safe.
pub type ByStep<T> = FxHashMap<StepId, T>;

/// The rows that one decision is made from.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The tasks, locked.
    pub tasks: BTreeMap<TaskId, Task>,
    /// The observed steps and their children.
    pub steps: BTreeMap<StepId, Step>,
    /// Children that whoever has room must leave to others.
    pub elsewhere: BTreeSet<StepId>,
    /// Tasks whose deadline has passed: nothing of theirs is claimed.
    pub late: BTreeSet<TaskId>,
    /// How long steps wait after they got ready, where they do.
    pub delays: ByStep<Duration>,
    /// By when the attempts of steps that failed have to have ended, all together, where they have to.
    pub deadlines: ByStep<Timestamp>,
    /// Steps whose handlers wait for a signal that was sent before.
    pub signalled: BTreeSet<StepId>,
    /// The budgets of those of the tasks that have one.
    pub budgets: BTreeMap<TaskId, Budget>,
    /// What steps of these reserve before they start, where they do.
    pub reserves: ByStep<Cost>,
    /// What attempts of these that end have spent, where they did.
    pub spent: ByStep<Cost>,
    /// Items of map steps that have not begun, and are not executed any more.
    pub given_up: BTreeMap<StepId, GivenUp>,
    /// Steps whose workers died after their handlers had moved a checkpoint in the same attempt.
    pub progressed: BTreeSet<StepId>,
    /// The children of observed steps: at least of those that succeeded.
    pub children: ByStep<Vec<StepId>>,
    /// Tasks whose template says that their steps are undone when they end otherwise than complete.
    pub compensated: BTreeSet<TaskId>,
    /// The policies of steps whose claims ended otherwise than with results; [`RetryPolicy::DEFAULT`] goes for
    /// one that is not here.
    pub policies: ByStep<RetryPolicy>,
    /// What is known of steps that were added, or are to be.
    pub grown: Grown,
}

/// Identifies a claim: a completion is accepted only when all three are current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The claimed step.
    pub step: StepId,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The holder.
    pub worker: WorkerId,
}

/// What a failed attempt says of itself; kept with the attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What it means: another attempt may help, or not.
    pub kind: FailureKind,
    /// The table of exception classes that says so; `None` when the failure says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classified_by: Option<String>,
    /// The exception's class.
    pub class: String,
    /// The exception's message.
    pub message: String,
    /// The handler's own code for the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Seconds until the next attempt, as asked for by whoever was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<f64>,
    /// What the handler added for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<serde_json::Value>,
    /// Where it was raised, innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// The chain of causes, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<FailureCause>,
}

impl Failure {
    /// A failure of this kind with nothing but its class and message.
    #[must_use]
    pub fn new(kind: FailureKind, class: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            classified_by: None,
            class: class.into(),
            message: message.into(),
            code: None,
            retry_after_s: None,
            context: None,
            backtrace: Vec::new(),
            causes: Vec::new(),
        }
    }
}

/// One link of a failure's chain of causes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureCause {
    /// The exception's class.
    pub class: String,
    /// The exception's message.
    pub message: String,
}

/// How a handler classifies its failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Another attempt may help.
    Retryable,
    /// No retry can help.
    Permanent,
    /// Needs a person or an outside event.
    Blocked,
    /// The handler did not end within its timeout.
    Timeout,
}

/// How a claim came to its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The handler returned; its results as JSON text.
    Succeeded(Arc<str>),
    /// The handler of a decision step returned; its results as JSON text, and the branches that it takes.
    Decided(Arc<str>, Arc<Taken>),
    /// The handler returned, and adds steps; its results as JSON text.
    Grew(Arc<str>, Arc<Growth>),
    /// The list that a map step is executed over, before any handler begins.
    Mapped(Arc<Items>),
    /// The handler failed.
    Failed(Failure),
    /// The handler's transaction was to be committed, with the end that it records. Where it records none it was not, and the
    /// attempt failed thus.
    Recorded(Failure),
    /// The handler waits, and begins anew afterwards.
    Waiting(Arc<Wait>),
    /// The step's condition, which is this expression, was not met before the handler began.
    ConditionUnmet(Arc<str>),
    /// So many items of the map step had failed before the handler of this one began that it is not executed.
    ItemGivenUp(GivenUp),
    /// No handler has begun: the worker stopped, or none of its threads came. Since when the step could be claimed, if that
    /// is known: it keeps its place in the queue.
    GivenBack(Option<Timestamp>),
    /// The worker stopped while the handler ran.
    Interrupted,
    /// The worker's heartbeat ended.
    WorkerDied,
}

/// Why an item of a map step is not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// How many others have failed.
    pub failed: u32,
    /// How many may.
    pub tolerate: u32,
}

/// What a handler waits for: a time, a signal, or whichever comes first. Without either, for an operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wait {
    /// Until when at the latest.
    pub until: Option<Until>,
    /// The signal.
    pub signal: Option<AwaitedSignal>,
    /// What the handler is given back when it begins anew, as JSON text.
    pub data: Option<Arc<str>>,
    /// What it has looked for in vain, if it is to look again.
    pub poll: Option<Poll>,
}

/// A condition that a handler looks at again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// How often it has looked.
    pub looks: u32,
    /// When it looks for the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The end of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// So long after the wait began.
    After(Duration),
    /// A time by the database's clock.
    At(Timestamp),
}

/// A signal that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitedSignal {
    /// Its name.
    pub name: String,
    /// Only one that was sent later than this one.
    pub after: Option<SignalId>,
}

/// The longest that a handler can wait for a time: 365 days.
pub const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// When a step may be claimed that waits for a signal alone: 9999-12-31, at midnight.
pub const NEVER: Timestamp = match DateTime::from_timestamp(253_402_214_400, 0) {
    Some(time) => time,
    None => DateTime::UNIX_EPOCH,
};

impl Wait {
    /// The time at which a wait that begins `now` is over, whatever comes; at most [`LONGEST_WAIT`] away.
    #[must_use]
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let last = now + LONGEST_WAIT;
        self.until.map(|until| match until {
            Until::After(wait) => now + wait.min(LONGEST_WAIT),
            Until::At(time) => time.clamp(now, last),
        })
    }
}

impl Outcome {
    /// The attempt returned results.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Succeeded(_) | Self::Decided(..) | Self::Grew(..))
    }
}

/// The children of a decision step that are taken. For the others it counts as a parent that was skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The decision step's name.
    pub decision: String,
    /// The children that are taken, and their names.
    pub branches: BTreeMap<StepId, String>,
}

impl Taken {
    /// As the history of the decision step names them.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.branches.values().map(String::as_str).collect()
    }

    /// The same beside what else is kept, a JSON object.
    #[must_use]
    pub(crate) fn detail_beside(&self, detail: &str) -> String {
        let mut all: serde_json::Value = serde_json::from_str(detail).unwrap_or_default();
        all["took"] = self.names().into();
        all.to_string()
    }

    /// What history keeps with the decision step's transition, JSON text.
    #[must_use]
    pub fn detail(&self) -> String {
        serde_json::json!({ "took": self.names() }).to_string()
    }
}

/// The end of a claim, as reported.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimEnd {
    /// Which claim.
    pub claim: Claim,
    /// How it ended.
    pub outcome: Outcome,
    /// How long the handler ran, by the worker's monotonic clock.
    pub execution: Option<Duration>,
}

/// A worker that takes steps which become ready by the observation itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The worker.
    pub worker: WorkerId,
    /// How many steps it takes at most.
    pub steps: usize,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// Claims ended. Steps that become ready go to `room` first.
    ClaimsEnded {
        /// The ends, in the order of their arrival.
        ends: Vec<ClaimEnd>,
        /// Who takes successors at once; nobody when `None`.
        room: Option<Room>,
    },
    /// A worker claims these steps.
    StepsClaimed {
        /// The worker.
        worker: WorkerId,
        /// Claimable steps of the view.
        steps: Vec<StepId>,
    },
    /// An operator cancels every task of the view.
    CancelRequested(Request),
    /// Every task of the view had not ended by its deadline.
    DeadlinePassed(Timestamp),
    /// A step of the view had not ended by the deadline for all its attempts together.
    StepLate {
        /// The step.
        step: StepId,
        /// By when it had to have ended.
        deadline: Timestamp,
        /// What is recorded of an attempt that runs.
        failure: Failure,
    },
    /// An operator keeps the steps of every task of the view from being claimed.
    PauseRequested(Request),
    /// An operator lets the steps of every task of the view be claimed again.
    ResumeRequested(Request),
    /// An operator has these steps tried again that failed for good or are blocked.
    RetryRequested {
        /// Steps of the view.
        steps: Vec<StepId>,
        /// Who asks, and why.
        request: Request,
    },
    /// An operator leaves a step out.
    SkipRequested {
        /// A step of the view.
        step: StepId,
        /// Who asks, and why.
        request: Request,
    },
    /// A signal was sent to the task of the view.
    SignalSent {
        /// Steps of the view that wait for it.
        steps: Vec<StepId>,
        /// The signal.
        signal: Signal,
    },
    /// An operator has a step executed anew, and with it every step below.
    RerunRequested {
        /// The step and those below it, parents before their children.
        steps: Vec<Reset>,
        /// What these have added.
        retired: Vec<Retired>,
        /// Others, on which nothing depended but what is retired. The view holds them.
        childless: Vec<StepId>,
        /// The step's name.
        name: String,
        /// Who asks, and why.
        request: Request,
    },
    /// The task of the view was made to take over what another one has done.
    StepsCopied {
        /// What it takes over, parents before their children.
        copies: Vec<Copied>,
        /// From where, who asks and why, as history keeps it: JSON text.
        detail: String,
    },
    /// An operator did something with the task of the view that changes no state.
    Noted {
        /// What.
        event: TaskEvent,
        /// Who, why, and what was done, as history keeps it: JSON text.
        detail: String,
    },
    /// An operator gives the results of a step.
    ResolveRequested {
        /// A step of the view.
        step: StepId,
        /// The results, as JSON text.
        results: Arc<str>,
        /// The branches that are taken, of a decision step.
        taken: Option<Arc<Taken>>,
        /// Who asks, and why.
        request: Request,
    },
}

/// A step that was added by one that begins anew: it ends, and nothing waits for it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// The step. The view holds it.
    pub step: StepId,
    /// No step depended on it.
    pub last: bool,
}

/// A step that is to begin anew. The view holds it and its parents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The step.
    pub step: StepId,
    /// Its parents, but for those that are retired.
    pub parents: Vec<Parent>,
    /// No step depended on it.
    pub last: bool,
    /// What is retired was added before it.
    pub awaits_added: bool,
}

/// A parent of a step that is to begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The parent.
    pub step: StepId,
    /// It has decided not to take the step, so that it counts as skipped for it while it is complete.
    pub left_out: bool,
}

/// A step that is as it ended in another task.
#[derive(Clone, Debug, PartialEq)]
pub struct Copied {
    /// The step.
    pub step: StepId,
    /// How it ended.
    pub end: CopiedEnd,
}

/// How a step ended that is copied.
#[derive(Clone, Debug, PartialEq)]
pub enum CopiedEnd {
    /// With results.
    Complete {
        /// The results, as JSON text.
        results: Option<Arc<str>>,
        /// The branches that it takes, of a decision step.
        taken: Option<Arc<Taken>>,
    },
    /// Left out.
    Skipped,
}

/// A signal, as history keeps it with the steps that waited for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signal {
    /// Its id.
    pub signal_id: SignalId,
    /// Its name.
    pub signal: String,
    /// Who sent it.
    pub actor: Option<String>,
}

/// A step as somebody saw it who asks for something because of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The step.
    pub step_id: StepId,
    /// The last change of its state.
    pub transition_id: TransitionId,
}

/// Who asks for something, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// It is refused where the state of this step has changed since; `None`: as things are.
    pub seen: Option<Seen>,
}

impl Request {
    /// As history keeps it, JSON text.
    #[must_use]
    pub fn detail(&self) -> String {
        serde_json::json!({ "actor": self.actor, "reason": self.reason }).to_string()
    }

    /// The same of a step that is as it ended in another task.
    #[must_use]
    pub fn detail_of_copy(&self, source: TaskId) -> String {
        let (actor, reason) = (&self.actor, &self.reason);
        serde_json::json!({ "because": "copied", "copied_from": source, "actor": actor, "reason": reason })
            .to_string()
    }

    /// The same of a step that begins anew together with that of this name.
    #[must_use]
    pub fn detail_from(&self, step: &str) -> String {
        let (actor, reason) = (&self.actor, &self.reason);
        serde_json::json!({ "actor": actor, "reason": reason, "rerun_from": step }).to_string()
    }

    /// The same of a budget that is raised.
    #[must_use]
    pub fn detail_of_raise(&self, from: Limits, to: Limits) -> String {
        let (actor, reason) = (&self.actor, &self.reason);
        serde_json::json!({ "actor": actor, "reason": reason, "from": from.detail(), "to": to.detail() }).to_string()
    }

    /// The same of a task that is undone by another one.
    #[must_use]
    pub fn detail_of_compensation(&self, by: TaskId) -> String {
        let (actor, reason) = (&self.actor, &self.reason);
        serde_json::json!({ "actor": actor, "reason": reason, "compensated_by": by }).to_string()
    }

    /// The same of a decision that is made by hand.
    #[must_use]
    pub fn detail_with(&self, taken: &Taken) -> String {
        let (actor, reason) = (&self.actor, &self.reason);
        serde_json::json!({ "actor": actor, "reason": reason, "took": taken.names() }).to_string()
    }
}

/// A step's row before and after; `event` is `None` when only counters change.
#[derive(Clone, Debug, PartialEq)]
pub struct StepChange {
    /// The row as read: what the write compares with.
    pub before: Step,
    /// The row as it is to be.
    pub after: Step,
    /// The cause of the change of state.
    pub event: Option<StepEvent>,
    /// When a claimable step may be claimed.
    pub available_at: Option<Timestamp>,
    /// The results of a step that completes, as JSON text.
    pub results: Option<Arc<str>>,
    /// Why, as JSON text.
    pub detail: Option<String>,
    /// How the attempt ended, where the change ends one.
    pub ended: Option<EndedAttempt>,
    /// What its handler waits for, where the change begins a wait.
    pub wait: Option<Arc<Wait>>,
}

/// A task's row before and after; `event` is `None` when only counters change. The row stays where an operator did something
/// that changes no state.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskChange {
    /// The row as read.
    pub before: Task,
    /// The row as it is to be.
    pub after: Task,
    /// The cause of the change of state.
    pub event: Option<TaskEvent>,
    /// Why, as JSON text.
    pub detail: Option<String>,
}

impl TaskChange {
    /// The row changes, or history keeps what an operator did that changes none.
    pub(crate) fn says_something(&self) -> bool {
        self.before != self.after || self.event.is_some()
    }
}

/// An attempt that ended, for the record.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedAttempt {
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// How long the handler ran.
    pub execution: Option<Duration>,
    /// The failure, as JSON text.
    pub error: Option<String>,
}

/// What is to be written, all of it in one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decisions {
    /// Steps, at most one change each, in the order of their transitions: each follows from those before it.
    pub steps: Vec<StepChange>,
    /// Tasks, at most one change of the state each.
    pub tasks: Vec<TaskChange>,
    /// Ends that came from a claim which is not current; they change nothing.
    pub stale: Vec<Claim>,
    /// Steps that are added.
    pub added: Added,
    /// Tasks of the view that are paused: their steps are not to be claimed.
    pub paused: Vec<TaskId>,
    /// The priorities of tasks of the view, where they are not 0.
    pub priorities: BTreeMap<TaskId, i16>,
    /// What the ends of tasks leave to be done.
    pub follow_ups: Vec<(TaskId, FollowUpKind)>,
    /// Steps that were ended by others than their handlers: nobody waits for the tasks that they run.
    pub abandoned: Vec<StepId>,
    /// The time by which it was decided.
    pub now: Timestamp,
    /// The budgets that change.
    pub budgets: Vec<(TaskId, Budget)>,
    /// Claimable steps that wait until others have ended that hold their budget.
    pub postponed: Vec<StepId>,
    /// How many of the postponed steps of a task may be looked at, because something holds its budget no more.
    pub resumed: BTreeMap<TaskId, u32>,
}

impl Decisions {
    /// The queue that a step which can be claimed goes to; none while its task is paused.
    pub(crate) fn queue(
        &self,
        step: StepId,
        queue_of: impl Fn(StepId) -> String,
    ) -> Option<String> {
        (!self.paused.contains(&step.task())).then(|| queue_of(step))
    }

    /// The priority with which a step can be claimed.
    pub(crate) fn priority(&self, step: StepId) -> i16 {
        self.priorities.get(&step.task()).copied().unwrap_or_default()
    }

    /// The claims that others than their holders end: a handler may run for each of them.
    pub(crate) fn recalled(&self) -> Vec<Claim> {
        let taken = self.steps.iter().filter(|change| {
            matches!(
                change.event,
                Some(
                    StepEvent::Cancelled
                        | StepEvent::Skipped
                        | StepEvent::ResolvedManually
                        | StepEvent::TimedOut
                        | StepEvent::Rerun
                        | StepEvent::Reset
                )
            )
        });
        taken.filter_map(|change| change.before.claim()).collect()
    }

    /// Whether something is to be done after it, in other transactions.
    pub(crate) fn leaves_something(&self) -> bool {
        !self.follow_ups.is_empty() || !self.abandoned.is_empty()
    }

    /// How many steps got ready because of what their parents did.
    #[must_use]
    pub fn successors(&self) -> usize {
        let pending = |change: &&StepChange| change.before.state == StepState::Pending;
        self.steps.iter().filter(pending).filter(|change| change.after.state.is_runnable()).count()
    }
}

impl StepChange {
    /// The claim that the change hands out.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        self.after.claim().filter(|_| self.event == Some(StepEvent::Claimed))
    }
}

impl Step {
    /// A step that was never tried, whose parents are all open.
    #[must_use]
    pub fn new(id: StepId, state: StepState, join: Join) -> Self {
        Self {
            id,
            state,
            open_parents: join.parents,
            failed_parents: 0,
            skipped_parents: 0,
            attempts: 0,
            failures: 0,
            crashes: 0,
            worker: None,
            join,
        }
    }

    /// The current claim on the step.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        let worker = self.worker?;
        Some(Claim { step: self.id, attempt: self.attempts, worker })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_over_after_365_days_at_the_latest_and_never_before_it_began() {
        const MOMENT: Duration = Duration::from_micros(1);
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let last = now + LONGEST_WAIT;
        assert_eq!((last - now).num_days(), 365);
        let over = |until| Wait { until: Some(until), ..Wait::default() }.deadline(now).unwrap();
        for (until, deadline) in [
            (Until::After(Duration::ZERO), now),
            (Until::After(LONGEST_WAIT - MOMENT), last - MOMENT),
            (Until::After(LONGEST_WAIT), last),
            (Until::After(LONGEST_WAIT + MOMENT), last),
            (Until::After(Duration::MAX), last),
            (Until::At(now - MOMENT), now),
            (Until::At(last - MOMENT), last - MOMENT),
            (Until::At(last), last),
            (Until::At(last + MOMENT), last),
            (Until::At(NEVER), last),
            (Until::At(DateTime::<Utc>::MAX_UTC), last),
        ] {
            assert_eq!(over(until), deadline, "{until:?}");
        }
        assert_eq!(Wait::default().deadline(now), None);
    }
}
