//! Why a task is where it is.

use super::Facts;
use super::budget::used;
use super::relatives::{Undoing, lineage};
use super::words::{asked_by, clock, parsed};
use crate::runtime::reports::TaskStatus;
use crate::state::{StepState, TaskEvent, TaskState};
use crate::store::TaskTransitionRow;

impl Facts<'_> {
    pub(super) fn task_summary(
        &self,
        status: &TaskStatus,
        history: &[TaskTransitionRow],
    ) -> String {
        let mut summary = self.state_summary(status, history) + &lineage(status);
        if let Some(parent) = &status.parent {
            summary += &format!("; it is run by step {} of task {}", parent.step, parent.task_id);
        }
        if let Some(original) = status.compensates {
            summary += &format!("; it undoes task {original}");
        }
        summary += &self.undoing.as_ref().map(Undoing::words).unwrap_or_default();
        if let Some(budget) = &status.budget {
            summary += &format!("; {}", used(&parsed(Some(budget.get()))));
        }
        match status.deadline_at.filter(|_| !status.state.is_terminal()) {
            Some(deadline) => format!("{summary}; it is cancelled {}", self.ahead(deadline)),
            None => summary,
        }
    }

    fn state_summary(&self, status: &TaskStatus, history: &[TaskTransitionRow]) -> String {
        let total = status.steps_total;
        let by_state = parsed(Some(status.steps_by_state.get()));
        let count = |state: StepState| {
            usize::try_from(by_state[state.as_str()].as_u64().unwrap_or(0)).unwrap_or(0)
        };
        let done = count(StepState::Complete) + count(StepState::ResolvedManually);
        let since = history.last().map_or(status.requested_at, |change| change.created_at);
        let since = self.ago(since);
        match status.state {
            TaskState::Pending => format!("no step was claimed yet; requested {since}"),
            TaskState::InProgress => format!(
                "{done} of {total} steps are complete, {} run, {} are ready",
                count(StepState::InProgress),
                count(StepState::Enqueued)
            ),
            TaskState::Waiting => format!(
                "{done} of {total} steps are complete; {}, nothing else can run",
                waiting_steps(count(StepState::WaitingForRetry), count(StepState::Waiting))
            ),
            TaskState::Blocked => format!(
                "{done} of {total} steps are complete; {} need a person, nothing else can run",
                count(StepState::Blocked)
            ),
            TaskState::Paused => {
                let by = asked_last(history);
                format!(
                    "paused by {by}, {since}: {done} of {total} steps are complete, {} run; tasker resume {} lets it \
                     go on",
                    count(StepState::InProgress),
                    status.task_id
                )
            }
            TaskState::Complete if usize::try_from(total).is_ok_and(|total| done == total) => {
                format!("all {total} steps are complete since {since}")
            }
            TaskState::Complete => format!(
                "done since {since}: {done} of {total} steps are complete, {} were skipped, {} are in error and \
                 nothing needed them",
                count(StepState::Skipped),
                count(StepState::Error)
            ),
            TaskState::Error => format!(
                "{} of {total} steps failed for good, and {} cannot start because of that; ended {since}",
                count(StepState::Error),
                count(StepState::Pending)
            ),
            TaskState::Cancelled => format!(
                "cancelled by {}, {since}: {done} of {total} steps are complete",
                ended_by(history)
            ),
            TaskState::ResolvedManually => format!("an operator declared it done {since}"),
        }
    }
}

fn waiting_steps(for_retry: usize, for_others: usize) -> String {
    let waits = "wait for a time or a signal";
    match (for_retry, for_others) {
        (_, 0) => format!("{for_retry} wait for their next attempt"),
        (0, _) => format!("{for_others} {waits}"),
        (_, _) => format!("{for_retry} wait for their next attempt, {for_others} {waits}"),
    }
}

/// What ended a task before its steps did.
fn ended_by(history: &[TaskTransitionRow]) -> String {
    let last = history.last();
    match last.filter(|change| change.event == TaskEvent::DeadlinePassed) {
        Some(change) => {
            let deadline = parsed(change.detail.as_deref());
            let deadline = deadline["deadline_at"].as_str().and_then(|at| at.parse().ok());
            format!("its deadline, {}", deadline.map_or_else(String::new, clock))
        }
        None => asked_last(history),
    }
}

/// Who asked for the last change of a task, and why.
fn asked_last(history: &[TaskTransitionRow]) -> String {
    asked_by(history.last().and_then(|change| change.detail.as_deref()))
}
