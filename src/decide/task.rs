//! A task's state follows from what its steps do.

use serde_json::json;

use crate::budget::Budget;
use crate::decision::{Task, TaskChange};
use crate::state::{InvalidTransition, StepState, TaskEvent, TaskState};

/// One of a task's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    Runnable,
    Waiting,
    Blocked,
}

impl Counter {
    pub(super) fn of(self, task: &mut Task) -> &mut u32 {
        match self {
            Self::Runnable => &mut task.runnable,
            Self::Waiting => &mut task.waiting,
            Self::Blocked => &mut task.blocked,
        }
    }
}

/// The counter that counts steps in `state`. Steps that wait for parents or are done are not counted. With nothing
/// runnable, waiting or blocked, and no failure that holds something up, an acyclic graph is done: the first pending
/// step of an order from parents to children would have parents that are done, one of them in error.
pub(super) fn counter(state: StepState) -> Option<Counter> {
    match state {
        StepState::Enqueued | StepState::InProgress => Some(Counter::Runnable),
        StepState::WaitingForRetry | StepState::Waiting => Some(Counter::Waiting),
        StepState::Blocked => Some(Counter::Blocked),
        StepState::Pending
        | StepState::Complete
        | StepState::Error
        | StepState::Skipped
        | StepState::Cancelled
        | StepState::ResolvedManually => None,
    }
}

/// Decides the task's event from its counters, unless one was decided already.
pub(super) fn settle(
    change: &mut TaskChange,
    budget: Option<&Budget>,
) -> Result<(), InvalidTransition> {
    if change.event.is_none() {
        change.event = event(&change.after);
    }
    if let Some(budget) = budget.filter(|budget| budget.exhausted.is_some())
        && change.event == Some(TaskEvent::Failed)
    {
        change.event = Some(TaskEvent::BudgetExhausted);
        change.detail = Some(budget.detail().to_string());
    }
    let Some(event) = change.event else {
        return Ok(());
    };
    change.after.state = change.before.state.after(event)?;
    if change.detail.is_none() {
        change.detail = detail(event, &change.after);
    }
    Ok(())
}

fn event(task: &Task) -> Option<TaskEvent> {
    let (state, event) = what_counters_say(task);
    match task.state {
        // One that is complete goes on where steps are executed anew.
        TaskState::InProgress
        | TaskState::Waiting
        | TaskState::Blocked
        | TaskState::Error
        | TaskState::Complete => (state != task.state).then_some(event),
        // It starts with its first claim.
        TaskState::Pending => (state != TaskState::InProgress).then_some(event),
        TaskState::Paused | TaskState::Cancelled | TaskState::ResolvedManually => None,
    }
}

/// The state of a task that an operator does not keep, and the event that leads into it.
pub(super) fn what_counters_say(task: &Task) -> (TaskState, TaskEvent) {
    if task.runnable > 0 {
        (TaskState::InProgress, TaskEvent::Resumed)
    } else if task.waiting > 0 {
        (TaskState::Waiting, TaskEvent::WentWaiting)
    } else if task.blocked > 0 {
        (TaskState::Blocked, TaskEvent::GotBlocked)
    } else if task.failures > 0 {
        (TaskState::Error, TaskEvent::Failed)
    } else {
        (TaskState::Complete, TaskEvent::Completed)
    }
}

fn detail(event: TaskEvent, task: &Task) -> Option<String> {
    match event {
        TaskEvent::WentWaiting => Some(json!({ "waiting_steps": task.waiting })),
        TaskEvent::GotBlocked => {
            Some(json!({ "blocked_steps": task.blocked, "failures": task.failures }))
        }
        TaskEvent::Failed => Some(json!({ "failures": task.failures })),
        TaskEvent::Started
        | TaskEvent::Resumed
        | TaskEvent::Completed
        | TaskEvent::Cancelled
        | TaskEvent::Paused
        | TaskEvent::BudgetExhausted
        | TaskEvent::BudgetRaised
        | TaskEvent::CompensationRequested
        | TaskEvent::DeadlinePassed => None,
    }
    .map(|value| value.to_string())
}
