//! Who has to know that a task has ended, and which tasks nobody waits for any more.

use crate::decision::{StepChange, TaskChange, View};
use crate::guard::{Guard, removed};
use crate::ids::{StepId, TaskId};
use crate::state::{FollowUpKind, StepEvent, TaskState};

/// What the end of a task leaves to be done; nothing for a change that ends none.
pub(super) fn after(
    change: &TaskChange,
    view: &View,
) -> impl Iterator<Item = (TaskId, FollowUpKind)> + use<> {
    let task = change.after.id;
    let changes = change.before.state != change.after.state;
    let ended = changes && change.after.state.is_terminal();
    let failed = matches!(change.after.state, TaskState::Error | TaskState::Cancelled);
    let told = ended && change.after.is_child && !removed(Guard::ParentsAreTold);
    let undone = ended && failed && view.compensated.contains(&task);
    let told = told.then_some((task, FollowUpKind::TellParent));
    told.into_iter().chain(undone.then_some((task, FollowUpKind::Compensate)))
}

/// The step, where it has begun and was ended by somebody else than its handler.
pub(super) fn abandoned(change: &StepChange) -> Option<StepId> {
    let by_others = match change.event? {
        StepEvent::Cancelled
        | StepEvent::Skipped
        | StepEvent::ResolvedManually
        | StepEvent::TimedOut
        | StepEvent::BudgetExhausted
        | StepEvent::Rerun
        | StepEvent::Reset => true,
        StepEvent::ParentsCompleted
        | StepEvent::Claimed
        | StepEvent::Succeeded
        | StepEvent::RetryScheduled
        | StepEvent::FailedPermanently
        | StepEvent::RetriesExhausted
        | StepEvent::NotRetryable
        | StepEvent::NeedsIntervention
        | StepEvent::ConditionUnmet
        | StepEvent::GivenBack
        | StepEvent::Interrupted
        | StepEvent::WorkerDied
        | StepEvent::CrashesExhausted
        | StepEvent::Retried
        | StepEvent::WentWaiting
        | StepEvent::Mapped
        | StepEvent::ItemsDone
        | StepEvent::ItemsFailed
        | StepEvent::ItemsRetried
        | StepEvent::ItemGivenUp
        | StepEvent::Signalled
        | StepEvent::Copied => false,
    };
    (by_others && change.before.attempts > 0).then_some(change.after.id)
}
