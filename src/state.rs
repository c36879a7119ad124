//! States and events as plain data, and the one transition table of each machine.

use serde::{Deserialize, Serialize};

macro_rules! database_enum {
    ($(#[$doc:meta])* $name:ident, $type_name:literal, { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type,
        )]
        #[serde(rename_all = "snake_case")]
        #[sqlx(type_name = $type_name, rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in the order of the database's enum type.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value's name in SQL, Ruby and JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value with this name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

database_enum!(
    /// The states of a step.
    StepState, "tasker_step_state", {
        /// Parents are open.
        Pending = "pending",
        /// Ready: any worker of its queue may claim it.
        Enqueued = "enqueued",
        /// Claimed by a worker.
        InProgress = "in_progress",
        /// An attempt failed; the next one may be claimed from a known time on.
        WaitingForRetry = "waiting_for_retry",
        /// Its handler waits for a time or a signal.
        Waiting = "waiting",
        /// Needs a person or an outside event.
        Blocked = "blocked",
        /// An attempt succeeded.
        Complete = "complete",
        /// Failed for good: permanent, or out of attempts.
        Error = "error",
        /// The branch was not taken.
        Skipped = "skipped",
        /// Its task was cancelled first.
        Cancelled = "cancelled",
        /// A person gave the results.
        ResolvedManually = "resolved_manually",
    }
);

database_enum!(
    /// The states of a task.
    TaskState, "tasker_task_state", {
        /// No step was claimed yet.
        Pending = "pending",
        /// Steps run or can run.
        InProgress = "in_progress",
        /// Only timers, signals and retries are left.
        Waiting = "waiting",
        /// Nothing can move without a person.
        Blocked = "blocked",
        /// Stopped by an operator.
        Paused = "paused",
        /// Every step is complete.
        Complete = "complete",
        /// A step failed for good and nothing else can run.
        Error = "error",
        /// Ended by an operator, or by its deadline.
        Cancelled = "cancelled",
        /// Declared done by an operator.
        ResolvedManually = "resolved_manually",
    }
);

database_enum!(
    /// What happened to a step: the cause of a transition.
    StepEvent, "tasker_step_event", {
        /// Its parents did what its join policy asks for.
        ParentsCompleted = "parents_completed",
        /// A worker took the right to execute the next attempt.
        Claimed = "claimed",
        /// The attempt returned.
        Succeeded = "succeeded",
        /// The attempt failed and its policy allows another one.
        RetryScheduled = "retry_scheduled",
        /// The handler said that no retry can help.
        FailedPermanently = "failed_permanently",
        /// The attempt failed and was the last one allowed.
        RetriesExhausted = "retries_exhausted",
        /// The attempt failed, or its worker died, and the step must not be retried.
        NotRetryable = "not_retryable",
        /// The handler asked for a person or an outside event.
        NeedsIntervention = "needs_intervention",
        /// Its condition was not met when it was about to be executed.
        ConditionUnmet = "condition_unmet",
        /// The worker stopped before the handler began.
        GivenBack = "given_back",
        /// The worker stopped while the handler ran.
        Interrupted = "interrupted",
        /// The worker's heartbeat ended while it held the claim.
        WorkerDied = "worker_died",
        /// Workers died too often while they held this step.
        CrashesExhausted = "crashes_exhausted",
        /// The task was cancelled, or its deadline passed.
        Cancelled = "cancelled",
        /// An operator has it tried again.
        Retried = "retried",
        /// It is left out: by an operator, or because its join policy can be satisfied no more.
        Skipped = "skipped",
        /// An operator gave its results.
        ResolvedManually = "resolved_manually",
        /// Its handler waits for a time or a signal.
        WentWaiting = "went_waiting",
        /// A signal came that its handler waits for.
        Signalled = "signalled",
        /// It had not ended within the time that all its attempts together may take.
        TimedOut = "timed_out",
        /// The items of a map step were made, and it waits for them.
        Mapped = "mapped",
        /// The items of a map step are done.
        ItemsDone = "items_done",
        /// The items of a map step have ended, and more of them failed than may.
        ItemsFailed = "items_failed",
        /// An item of a map step that has failed by its items is tried again.
        ItemsRetried = "items_retried",
        /// Too many other items of its map step have failed before it began.
        ItemGivenUp = "item_given_up",
        /// It was to be claimed, and its task's budget was used up.
        BudgetExhausted = "budget_exhausted",
        /// An operator has it executed anew.
        Rerun = "rerun",
        /// An operator has a step above it executed anew.
        Reset = "reset",
        /// Its task takes over what another one has done.
        Copied = "copied",
    }
);

database_enum!(
    /// What happened to a task: the cause of a transition.
    TaskEvent, "tasker_task_event", {
        /// Its first step was claimed.
        Started = "started",
        /// Only retries, timers or signals are left.
        WentWaiting = "went_waiting",
        /// A step can run again.
        Resumed = "resumed",
        /// Nothing can move without a person.
        GotBlocked = "got_blocked",
        /// Every step is complete.
        Completed = "completed",
        /// A step failed for good, and nothing else can run.
        Failed = "failed",
        /// An operator cancelled it.
        Cancelled = "cancelled",
        /// An operator paused it.
        Paused = "paused",
        /// It had not ended by its deadline.
        DeadlinePassed = "deadline_passed",
        /// It has failed, and its budget kept steps from being started.
        BudgetExhausted = "budget_exhausted",
        /// An operator raised its budget; its state stays.
        BudgetRaised = "budget_raised",
        /// An operator has it undone; its state stays.
        CompensationRequested = "compensation_requested",
    }
);

database_enum!(
    /// How an attempt ended.
    AttemptOutcome, "tasker_attempt_outcome", {
        /// The handler returned.
        Succeeded = "succeeded",
        /// The handler failed; another attempt may help.
        Retryable = "retryable",
        /// The handler failed; no retry can help.
        Permanent = "permanent",
        /// The handler needs a person or an outside event.
        Blocked = "blocked",
        /// The handler did not end within its timeout.
        Timeout = "timeout",
        /// The worker stopped while the handler ran.
        Interrupted = "interrupted",
        /// The worker died while it held the claim.
        WorkerDied = "worker_died",
        /// The task was cancelled, or its deadline passed, while the handler ran.
        Cancelled = "cancelled",
        /// The handler waits for a time or a signal.
        Waiting = "waiting",
    }
);

database_enum!(
    /// The states of a worker process.
    WorkerState, "tasker_worker_state", {
        /// Claims and executes.
        Running = "running",
        /// Finishes what it has.
        Draining = "draining",
        /// Ended in order.
        Stopped = "stopped",
        /// Its heartbeat ended; its claims were rescued.
        Dead = "dead",
    }
);

database_enum!(
    /// What the end of a task leaves to be done.
    FollowUpKind, "tasker_follow_up_kind", {
        /// The step that runs it goes on.
        TellParent = "tell_parent",
        /// What its steps did is undone.
        Compensate = "compensate",
        /// The task is cancelled itself: the step that runs it has ended.
        Cancel = "cancel",
    }
);

/// The step machine: `(from, event, to)`. Any other pair is an [`InvalidTransition`].
///
/// `Pending` goes to `InProgress` at once when the worker that completed the last parent claims
/// the step in the same transaction.
pub const STEP_TRANSITIONS: &[(StepState, StepEvent, StepState)] = {
    use StepEvent as E;
    use StepState as S;
    &[
        (S::Pending, E::ParentsCompleted, S::Enqueued),
        (S::Pending, E::Claimed, S::InProgress),
        (S::Enqueued, E::Claimed, S::InProgress),
        (S::WaitingForRetry, E::Claimed, S::InProgress),
        (S::Waiting, E::Claimed, S::InProgress),
        (S::InProgress, E::Succeeded, S::Complete),
        (S::InProgress, E::RetryScheduled, S::WaitingForRetry),
        (S::InProgress, E::FailedPermanently, S::Error),
        (S::InProgress, E::RetriesExhausted, S::Error),
        (S::InProgress, E::NotRetryable, S::Error),
        (S::InProgress, E::NeedsIntervention, S::Blocked),
        (S::InProgress, E::ConditionUnmet, S::Skipped),
        (S::InProgress, E::GivenBack, S::Enqueued),
        (S::InProgress, E::Interrupted, S::Enqueued),
        (S::InProgress, E::WorkerDied, S::Enqueued),
        (S::InProgress, E::CrashesExhausted, S::Error),
        (S::InProgress, E::WentWaiting, S::Waiting),
        (S::Waiting, E::Signalled, S::Enqueued),
        (S::Enqueued, E::TimedOut, S::Error),
        (S::InProgress, E::TimedOut, S::Error),
        (S::WaitingForRetry, E::TimedOut, S::Error),
        (S::Waiting, E::TimedOut, S::Error),
        (S::InProgress, E::Mapped, S::Pending),
        (S::Pending, E::ItemsDone, S::Complete),
        (S::Pending, E::ItemsFailed, S::Error),
        (S::Error, E::ItemsRetried, S::Pending),
        (S::Error, E::ItemsDone, S::Complete),
        (S::Pending, E::ItemGivenUp, S::Error),
        (S::Enqueued, E::ItemGivenUp, S::Error),
        (S::InProgress, E::ItemGivenUp, S::Error),
        (S::Pending, E::BudgetExhausted, S::Error),
        (S::Enqueued, E::BudgetExhausted, S::Error),
        (S::WaitingForRetry, E::BudgetExhausted, S::Error),
        (S::Waiting, E::BudgetExhausted, S::Error),
        (S::Pending, E::Cancelled, S::Cancelled),
        (S::Enqueued, E::Cancelled, S::Cancelled),
        (S::InProgress, E::Cancelled, S::Cancelled),
        (S::WaitingForRetry, E::Cancelled, S::Cancelled),
        (S::Waiting, E::Cancelled, S::Cancelled),
        (S::Blocked, E::Cancelled, S::Cancelled),
        (S::Error, E::Retried, S::Enqueued),
        (S::Blocked, E::Retried, S::Enqueued),
        (S::WaitingForRetry, E::Retried, S::Enqueued),
        (S::Waiting, E::Retried, S::Enqueued),
        (S::Pending, E::Skipped, S::Skipped),
        (S::Enqueued, E::Skipped, S::Skipped),
        (S::InProgress, E::Skipped, S::Skipped),
        (S::WaitingForRetry, E::Skipped, S::Skipped),
        (S::Waiting, E::Skipped, S::Skipped),
        (S::Blocked, E::Skipped, S::Skipped),
        (S::Error, E::Skipped, S::Skipped),
        (S::Pending, E::ResolvedManually, S::ResolvedManually),
        (S::Enqueued, E::ResolvedManually, S::ResolvedManually),
        (S::InProgress, E::ResolvedManually, S::ResolvedManually),
        (S::WaitingForRetry, E::ResolvedManually, S::ResolvedManually),
        (S::Waiting, E::ResolvedManually, S::ResolvedManually),
        (S::Blocked, E::ResolvedManually, S::ResolvedManually),
        (S::Error, E::ResolvedManually, S::ResolvedManually),
        (S::Pending, E::Rerun, S::Enqueued),
        (S::InProgress, E::Rerun, S::Enqueued),
        (S::WaitingForRetry, E::Rerun, S::Enqueued),
        (S::Waiting, E::Rerun, S::Enqueued),
        (S::Blocked, E::Rerun, S::Enqueued),
        (S::Complete, E::Rerun, S::Enqueued),
        (S::Error, E::Rerun, S::Enqueued),
        (S::Skipped, E::Rerun, S::Enqueued),
        (S::ResolvedManually, E::Rerun, S::Enqueued),
        (S::Enqueued, E::Reset, S::Pending),
        (S::InProgress, E::Reset, S::Pending),
        (S::WaitingForRetry, E::Reset, S::Pending),
        (S::Waiting, E::Reset, S::Pending),
        (S::Blocked, E::Reset, S::Pending),
        (S::Complete, E::Reset, S::Pending),
        (S::Error, E::Reset, S::Pending),
        (S::Skipped, E::Reset, S::Pending),
        (S::ResolvedManually, E::Reset, S::Pending),
        (S::Pending, E::Copied, S::Complete),
        (S::Enqueued, E::Copied, S::Complete),
    ]
};

/// The task machine: `(from, event, to)`. Any other pair is an [`InvalidTransition`].
pub const TASK_TRANSITIONS: &[(TaskState, TaskEvent, TaskState)] = {
    use TaskEvent as E;
    use TaskState as S;
    &[
        (S::Pending, E::Started, S::InProgress),
        (S::Pending, E::Completed, S::Complete),
        (S::Pending, E::Failed, S::Error),
        (S::InProgress, E::WentWaiting, S::Waiting),
        (S::InProgress, E::GotBlocked, S::Blocked),
        (S::InProgress, E::Completed, S::Complete),
        (S::InProgress, E::Failed, S::Error),
        (S::Waiting, E::Resumed, S::InProgress),
        (S::Waiting, E::GotBlocked, S::Blocked),
        (S::Waiting, E::Completed, S::Complete),
        (S::Waiting, E::Failed, S::Error),
        (S::Blocked, E::Resumed, S::InProgress),
        (S::Blocked, E::Completed, S::Complete),
        (S::Blocked, E::Failed, S::Error),
        (S::Complete, E::Resumed, S::InProgress),
        (S::Error, E::Resumed, S::InProgress),
        (S::Error, E::Completed, S::Complete),
        (S::Paused, E::Resumed, S::InProgress),
        (S::Paused, E::WentWaiting, S::Waiting),
        (S::Paused, E::GotBlocked, S::Blocked),
        (S::Paused, E::Completed, S::Complete),
        (S::Paused, E::Failed, S::Error),
        (S::Pending, E::Paused, S::Paused),
        (S::InProgress, E::Paused, S::Paused),
        (S::Waiting, E::Paused, S::Paused),
        (S::Blocked, E::Paused, S::Paused),
        (S::Pending, E::Cancelled, S::Cancelled),
        (S::InProgress, E::Cancelled, S::Cancelled),
        (S::Waiting, E::Cancelled, S::Cancelled),
        (S::Blocked, E::Cancelled, S::Cancelled),
        (S::Paused, E::Cancelled, S::Cancelled),
        (S::Pending, E::DeadlinePassed, S::Cancelled),
        (S::InProgress, E::DeadlinePassed, S::Cancelled),
        (S::Waiting, E::DeadlinePassed, S::Cancelled),
        (S::Blocked, E::DeadlinePassed, S::Cancelled),
        (S::Paused, E::DeadlinePassed, S::Cancelled),
        (S::Pending, E::BudgetExhausted, S::Error),
        (S::InProgress, E::BudgetExhausted, S::Error),
        (S::Waiting, E::BudgetExhausted, S::Error),
        (S::Blocked, E::BudgetExhausted, S::Error),
        (S::Paused, E::BudgetExhausted, S::Error),
        (S::Pending, E::BudgetRaised, S::Pending),
        (S::InProgress, E::BudgetRaised, S::InProgress),
        (S::Waiting, E::BudgetRaised, S::Waiting),
        (S::Blocked, E::BudgetRaised, S::Blocked),
        (S::Paused, E::BudgetRaised, S::Paused),
        (S::Error, E::BudgetRaised, S::Error),
        (S::Complete, E::BudgetRaised, S::Complete),
        (S::Error, E::CompensationRequested, S::Error),
        (S::Cancelled, E::CompensationRequested, S::Cancelled),
    ]
};

/// An event that the machine does not allow in the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.told(&format!("the {}", self.machine)))]
pub struct InvalidTransition {
    /// `step` or `task`.
    pub machine: &'static str,
    /// The state.
    pub from: &'static str,
    /// The event.
    pub event: &'static str,
    /// For what it is allowed, in words.
    pub allowed: String,
}

impl InvalidTransition {
    /// What of `whom` is refused, and for what it is allowed.
    pub(crate) fn told(&self, whom: &str) -> String {
        format!("{whom} is {}: {}; allowed: {}", words(self.from), self.refused(), self.allowed)
    }

    /// What is refused, in the operator's words.
    fn refused(&self) -> String {
        let it = if self.machine == "task" { "no step of it can" } else { "it cannot" };
        match self.event {
            "cancelled" | "paused" | "resumed" | "undone" => format!("it cannot be {}", self.event),
            "retried" | "skipped" | "rerun" => format!("{it} be {}", self.event),
            "resolved_manually" => format!("{it} be resolved"),
            "budget_raised" => "its budget cannot be raised".to_owned(),
            "signalled" => "it cannot take a signal".to_owned(),
            other => format!("it cannot take the event {other}"),
        }
    }
}

impl StepState {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`InvalidTransition`] when [`STEP_TRANSITIONS`] has no such row.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::{StepEvent, StepState};
    /// assert_eq!(StepState::Enqueued.after(StepEvent::Claimed), Ok(StepState::InProgress));
    /// assert!(StepState::Complete.after(StepEvent::Claimed).is_err());
    /// ```
    pub fn after(self, event: StepEvent) -> Result<Self, InvalidTransition> {
        look_up(STEP_TRANSITIONS, self, event).ok_or_else(|| {
            self.refuses(event, allowed("steps", STEP_TRANSITIONS, event, Self::as_str))
        })
    }

    /// Says that a step in this state does not take the event, and what does.
    pub(crate) fn refuses(self, event: StepEvent, allowed: impl Into<String>) -> InvalidTransition {
        let (from, event) = (self.as_str(), event.as_str());
        InvalidTransition { machine: "step", from, event, allowed: allowed.into() }
    }

    /// Can run or runs.
    #[must_use]
    pub fn is_runnable(self) -> bool {
        matches!(self, Self::Enqueued | Self::InProgress)
    }

    /// Goes on by itself later: a time, a signal.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::WaitingForRetry | Self::Waiting)
    }

    /// Has a row in the hot table of steps that a worker may claim now or at a known time, which lies beyond all
    /// times for a step that waits for a signal alone.
    #[must_use]
    pub fn is_claimable(self) -> bool {
        matches!(self, Self::Enqueued | Self::WaitingForRetry | Self::Waiting)
    }

    /// No event leads out of it but an operator's.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Complete
            | Self::Error
            | Self::Skipped
            | Self::Cancelled
            | Self::ResolvedManually => true,
            Self::Pending
            | Self::Enqueued
            | Self::InProgress
            | Self::WaitingForRetry
            | Self::Waiting
            | Self::Blocked => false,
        }
    }
}

impl TaskState {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`InvalidTransition`] when [`TASK_TRANSITIONS`] has no such row.
    pub fn after(self, event: TaskEvent) -> Result<Self, InvalidTransition> {
        look_up(TASK_TRANSITIONS, self, event).ok_or_else(|| {
            self.refuses(event.as_str(), allowed("tasks", TASK_TRANSITIONS, event, Self::as_str))
        })
    }

    /// Says that a task in this state does not take the event, its own or one of its steps, and what does.
    pub(crate) fn refuses(
        self,
        event: &'static str,
        allowed: impl Into<String>,
    ) -> InvalidTransition {
        InvalidTransition { machine: "task", from: self.as_str(), event, allowed: allowed.into() }
    }

    /// The task has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Complete | Self::Error | Self::Cancelled | Self::ResolvedManually => true,
            Self::Pending | Self::InProgress | Self::Waiting | Self::Blocked | Self::Paused => {
                false
            }
        }
    }
}

fn look_up<S: Copy + PartialEq, E: Copy + PartialEq>(
    table: &[(S, E, S)],
    from: S,
    event: E,
) -> Option<S> {
    table.iter().find(|row| row.0 == from && row.1 == event).map(|row| row.2)
}

/// For what the table allows an event.
fn allowed<S: Copy, E: Copy + PartialEq>(
    things: &str,
    table: &[(S, E, S)],
    event: E,
    name: fn(S) -> &'static str,
) -> String {
    let rows = table.iter().filter(|row| row.1 == event);
    let states: Vec<_> = rows.map(|row| words(name(row.0))).collect();
    match &*states {
        [] => "nothing".to_owned(),
        [one] => format!("{things} that are {one}"),
        [first @ .., last] => format!("{things} that are {} or {last}", first.join(", ")),
    }
}

/// A state, as what a step or a task is.
fn words(state: &str) -> String {
    if state == "error" { "in error".to_owned() } else { state.replace('_', " ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_state_and_event_has_one_target() {
        for (i, row) in STEP_TRANSITIONS.iter().enumerate() {
            let twin = STEP_TRANSITIONS[i + 1..].iter().find(|o| (o.0, o.1) == (row.0, row.1));
            assert_eq!(twin, None);
        }
        for (i, row) in TASK_TRANSITIONS.iter().enumerate() {
            let twin = TASK_TRANSITIONS[i + 1..].iter().find(|o| (o.0, o.1) == (row.0, row.1));
            assert_eq!(twin, None);
        }
    }

    #[test]
    fn the_page_about_the_machines_lists_every_transition_and_no_other() {
        let page = include_str!("../docs/state_machines.md");
        let steps =
            STEP_TRANSITIONS.iter().map(|(from, event, to)| format!("| {from} | {event} | {to} |"));
        let tasks =
            TASK_TRANSITIONS.iter().map(|(from, event, to)| format!("| {from} | {event} | {to} |"));
        let rows: Vec<_> = steps.chain(tasks).collect();
        let listed = page.lines().filter(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let is_state =
                |name: &str| StepState::parse(name).is_some() || TaskState::parse(name).is_some();
            cells.len() == 5 && is_state(cells[3])
        });
        assert_eq!(listed.collect::<Vec<_>>(), rows);
    }

    #[test]
    fn nothing_leads_out_of_a_terminal_state_but_an_operator() {
        let anew = |event: StepEvent| matches!(event, StepEvent::Rerun | StepEvent::Reset);
        let steps = STEP_TRANSITIONS.iter().filter(|row| row.0.is_terminal() && !anew(row.1));
        let steps: Vec<_> = steps.map(|row| (row.0, row.1)).collect();
        // With a map step it is its items that an operator has to do with.
        let operators = [
            StepEvent::ItemsRetried,
            StepEvent::ItemsDone,
            StepEvent::Retried,
            StepEvent::Skipped,
            StepEvent::ResolvedManually,
        ];
        assert_eq!(steps, operators.map(|event| (StepState::Error, event)));
        let tasks = TASK_TRANSITIONS.iter().filter(|row| row.0.is_terminal() && row.0 != row.2);
        let tasks: Vec<_> = tasks.map(|row| (row.0, row.1)).collect();
        let follows = [TaskEvent::Resumed, TaskEvent::Completed];
        let after_error = follows.map(|event| (TaskState::Error, event));
        assert_eq!(tasks[0], (TaskState::Complete, TaskEvent::Resumed));
        assert_eq!(tasks[1..], after_error);
    }

    #[test]
    fn a_refusal_says_for_what_the_event_is_allowed() {
        let error = StepState::Error.after(StepEvent::Succeeded).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the step is in error: it cannot take the event succeeded; allowed: steps that are in progress"
        );
        let error = StepState::Pending.after(StepEvent::Retried).unwrap_err();
        assert_eq!(
            error.told("step \"ship\" of task 7"),
            "step \"ship\" of task 7 is pending: it cannot be retried; \
             allowed: steps that are in error, blocked, waiting for retry or waiting"
        );
        let error = TaskState::Complete.after(TaskEvent::Paused).unwrap_err();
        assert_eq!(
            error.told("task 69"),
            "task 69 is complete: it cannot be paused; \
             allowed: tasks that are pending, in progress, waiting or blocked"
        );
    }

    #[test]
    fn names_are_read_back() {
        for state in StepState::ALL {
            assert_eq!(StepState::parse(state.as_str()), Some(*state));
        }
        assert_eq!(TaskState::parse("done"), None);
    }
}
