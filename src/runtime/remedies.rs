//! What a person can do about a step that does not go on by itself.

use serde::Serialize;

use crate::state::{StepState, TaskState};

/// What has a step go on that needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// It is tried again.
    Retry,
    /// A person gives its results.
    Resolve,
    /// It is left out.
    Skip,
    /// A person approves what it waits for.
    Approve,
    /// A person rejects it.
    Reject,
}

/// What can be done about a step in this state of a task in that one; nothing where the task is undone.
pub(super) fn remedies(
    task: TaskState,
    step: StepState,
    skippable: bool,
    undone: bool,
) -> Vec<Remedy> {
    let failed = matches!(step, StepState::Error | StepState::Blocked);
    let goes_on = !undone && (!task.is_terminal() || task == TaskState::Error);
    if !(failed && goes_on) {
        return Vec::new();
    }
    let skip = skippable.then_some(Remedy::Skip);
    [Remedy::Retry, Remedy::Resolve].into_iter().chain(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_failed_can_be_helped_unless_its_task_is_over_for_good() {
        for task in TaskState::ALL {
            for step in StepState::ALL {
                let found = remedies(*task, *step, true, false);
                let helped = matches!(step, StepState::Error | StepState::Blocked)
                    && !matches!(
                        task,
                        TaskState::Complete | TaskState::Cancelled | TaskState::ResolvedManually
                    );
                assert_eq!(found.len(), if helped { 3 } else { 0 }, "{task} {step}");
            }
        }
        let plain = remedies(TaskState::Blocked, StepState::Blocked, false, false);
        assert_eq!(plain, [Remedy::Retry, Remedy::Resolve]);
        assert_eq!(remedies(TaskState::Error, StepState::Error, true, true), []);
    }
}
