//! An operator keeps the steps of tasks from being claimed, and lets them go on.

use super::draft::Draft;
use super::task;
use crate::decision::Request;
use crate::state::{InvalidTransition, TaskEvent, TaskState};

/// What runs goes on to its end; nothing else begins. A task that is paused already stays so.
pub(super) fn pause(draft: &mut Draft<'_>, request: &Request) {
    let view = draft.view;
    for task in view.tasks.values().filter(|task| task.state != TaskState::Paused) {
        let change = draft.task(task.id);
        change.event = Some(TaskEvent::Paused);
        change.detail = Some(request.detail());
    }
}

/// The task's state follows from its counters again. A task that is not paused, and has not ended, stays as it is.
pub(super) fn resume(draft: &mut Draft<'_>, request: &Request) -> Result<(), InvalidTransition> {
    let event = TaskEvent::Resumed.as_str();
    draft.refuse_where(TaskState::is_terminal, event, "tasks that have not ended")?;
    let view = draft.view;
    for task in view.tasks.values().filter(|task| task.state == TaskState::Paused) {
        let change = draft.task(task.id);
        change.event = Some(task::what_counters_say(&change.after).1);
        change.detail = Some(request.detail());
    }
    Ok(())
}
