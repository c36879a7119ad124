//! A task's state follows from what its steps do.

use serde_json::json;

use crate::decision::{Task, TaskChange};
use crate::state::{InvalidTransition, StepState, TaskEvent, TaskState};

/// One of a task's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    Runnable,
    Waiting,
    Blocked,
    Failed,
}

impl Counter {
    pub(super) fn of(self, task: &mut Task) -> &mut u32 {
        match self {
            Self::Runnable => &mut task.runnable,
            Self::Waiting => &mut task.waiting,
            Self::Blocked => &mut task.blocked,
            Self::Failed => &mut task.failed,
        }
    }
}

/// The counter that counts steps in `state`. Steps that wait for parents or are done are not
/// counted: with nothing runnable, waiting, blocked or failed, an acyclic graph is complete.
pub(super) fn counter(state: StepState) -> Option<Counter> {
    match state {
        StepState::Enqueued | StepState::InProgress => Some(Counter::Runnable),
        StepState::WaitingForRetry | StepState::Waiting => Some(Counter::Waiting),
        StepState::Blocked => Some(Counter::Blocked),
        StepState::Error => Some(Counter::Failed),
        StepState::Pending
        | StepState::Complete
        | StepState::Skipped
        | StepState::Cancelled
        | StepState::ResolvedManually => None,
    }
}

/// Decides the task's event from its counters, unless one was decided already.
pub(super) fn settle(change: &mut TaskChange) -> Result<(), InvalidTransition> {
    if change.event.is_none() {
        change.event = event(&change.after);
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
    match task.state {
        TaskState::InProgress => event_of_idle(task),
        TaskState::Waiting | TaskState::Blocked | TaskState::Error if task.runnable > 0 => {
            Some(TaskEvent::Resumed)
        }
        TaskState::Pending
        | TaskState::Waiting
        | TaskState::Blocked
        | TaskState::Paused
        | TaskState::Complete
        | TaskState::Error
        | TaskState::Cancelled
        | TaskState::ResolvedManually => None,
    }
}

fn event_of_idle(task: &Task) -> Option<TaskEvent> {
    if task.runnable > 0 {
        None
    } else if task.waiting > 0 {
        Some(TaskEvent::WentWaiting)
    } else if task.blocked > 0 {
        Some(TaskEvent::GotBlocked)
    } else if task.failed > 0 {
        Some(TaskEvent::Failed)
    } else {
        Some(TaskEvent::Completed)
    }
}

fn detail(event: TaskEvent, task: &Task) -> Option<String> {
    match event {
        TaskEvent::WentWaiting => Some(json!({ "waiting_steps": task.waiting })),
        TaskEvent::GotBlocked => {
            Some(json!({ "blocked_steps": task.blocked, "failed_steps": task.failed }))
        }
        TaskEvent::Failed => Some(json!({ "failed_steps": task.failed })),
        TaskEvent::Started | TaskEvent::Resumed | TaskEvent::Completed | TaskEvent::Cancelled => {
            None
        }
    }
    .map(|value| value.to_string())
}
