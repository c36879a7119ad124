//! Why a task is where it is.

use super::Facts;
use super::budget::used;
use super::relatives::lineage;
use super::words::{asked_by, counted, counted_if, parsed, shown};
use crate::runtime::reports::TaskStatus;
use crate::state::{StepState, TaskEvent, TaskState};
use crate::store::{SentSignalRow, TaskTransitionRow};

impl Facts<'_> {
    pub(super) fn task_summary(&self, status: &TaskStatus) -> String {
        let mut summary = self.state_summary(status) + &lineage(status);
        if let Some(parent) = &status.parent {
            summary += &format!("; it is run by step {} of task {}", parent.step, parent.task_id);
        }
        if let Some(original) = status.compensates {
            summary += &format!("; it undoes task {original}");
        }
        if let Some(undoing) = &self.undoing {
            summary += &(undoing.words() + &self.undone_for());
        }
        if let Some(budget) = &self.budget {
            summary += &format!("; {}{}", used(budget), self.raised());
        }
        if status.priority != 0 && !status.state.is_terminal() {
            summary += &format!("; its priority is {}", status.priority);
        }
        summary += &self.unawaited();
        match status.deadline_at.filter(|_| !status.state.is_terminal()) {
            Some(deadline) => format!("{summary}; it is cancelled {}", self.ahead(deadline)),
            None => summary,
        }
    }

    fn state_summary(&self, status: &TaskStatus) -> String {
        let total = status.steps_total;
        let by_state = parsed(Some(status.steps_by_state.get()));
        let count = |state: StepState| by_state[state.as_str()].as_u64().unwrap_or(0);
        let done = count(StepState::Complete) + count(StepState::ResolvedManually);
        let since = self.last_change().map_or(status.requested_at, |change| change.created_at);
        let since = self.ago(since);
        match status.state {
            TaskState::Pending => {
                format!("no step was claimed yet; requested {since}{}", self.delayed_steps().1)
            }
            TaskState::InProgress => {
                let (delayed, later) = self.delayed_steps();
                let ready = count(StepState::Enqueued).saturating_sub(delayed);
                format!(
                    "{done} of {total} steps are complete, {}, {}{later}",
                    counted(count(StepState::InProgress), "runs", "run"),
                    counted(ready, "is ready", "are ready")
                )
            }
            TaskState::Waiting => format!(
                "{done} of {total} steps are complete; {}, nothing else can run",
                waiting_steps(count(StepState::WaitingForRetry), count(StepState::Waiting))
            ),
            TaskState::Blocked => format!(
                "{done} of {total} steps are complete; {}, nothing else can run",
                counted(count(StepState::Blocked), "needs a person", "need a person")
            ),
            TaskState::Paused => {
                let by = self.asked_last();
                let run = counted(count(StepState::InProgress), "runs", "run");
                format!(
                    "paused by {by}, {since}: {done} of {total} steps are complete, {run}; tasker resume {} lets it \
                     go on",
                    status.task_id
                )
            }
            TaskState::Complete if u64::try_from(total).is_ok_and(|total| done == total) => {
                format!("all {total} steps are complete since {since}")
            }
            TaskState::Complete => format!(
                "done since {since}: {done} of {total} steps are complete{}{}",
                counted_if(count(StepState::Skipped), "was skipped", "were skipped"),
                counted_if(
                    count(StepState::Error),
                    "is in error and nothing needed it",
                    "are in error and nothing needed them"
                )
            ),
            TaskState::Error => {
                let failed = count(StepState::Error);
                let because = match count(StepState::Pending) {
                    0 => String::new(),
                    waits => format!(", and {waits} cannot start because of that"),
                };
                if self.ended_with(TaskEvent::BudgetExhausted) {
                    return format!(
                        "its budget was used up, {since}: {done} of {total} steps are complete, {failed} failed or \
                         may not start{because}; tasker budget {} raises it{}",
                        status.task_id,
                        self.failed_before_that()
                    );
                }
                format!("{failed} of {total} steps failed for good{because}; ended {since}")
            }
            TaskState::Cancelled => {
                let by = self.cancelled_by();
                format!("cancelled by {by}, {since}: {done} of {total} steps are complete")
            }
            TaskState::ResolvedManually => format!("an operator declared it done {since}"),
        }
    }

    /// The first items that failed of map steps, as the end of a sentence.
    fn failed_before_that(&self) -> String {
        let maps = self.steps.iter().map(|row| row.workflow_step_id);
        let names: Vec<_> = maps.filter_map(|map| self.first_failed(map)).collect();
        if names.is_empty() {
            return String::new();
        }
        format!("; look first at {}", shown(&names))
    }

    /// How many steps are ready and must not start yet, and, as the end of a sentence, when the first of them may.
    fn delayed_steps(&self) -> (u64, String) {
        let steps = (0..self.steps.len()).zip(&self.steps);
        let times = steps.filter(|(_, row)| row.state == StepState::Enqueued);
        let times: Vec<_> = times.filter_map(|(at, row)| self.delayed_until(at, row)).collect();
        let Some(first) = times.iter().min() else { return (0, String::new()) };
        let (delayed, first) = (times.len() as u64, self.ahead(*first));
        let later = match delayed {
            1 => format!(", 1 is delayed and may start {first}"),
            _ => format!(", {delayed} are delayed, of which the first may start {first}"),
        };
        (delayed, later)
    }

    fn ended_with(&self, event: TaskEvent) -> bool {
        self.last_change().is_some_and(|change| change.event == event)
    }

    /// Who, or what, cancelled the task, and why.
    pub(super) fn cancelled_by(&self) -> String {
        if self.ended_with(TaskEvent::DeadlinePassed) {
            return "its deadline".to_owned();
        }
        self.asked_last()
    }

    /// Who asked for the last change of the task, and why.
    fn asked_last(&self) -> String {
        asked_by(self.last_change().and_then(|change| change.detail.as_deref()))
    }

    /// The last change of the task's state.
    fn last_change(&self) -> Option<&TaskTransitionRow> {
        self.task_history.iter().rfind(|change| change.from_state != change.to_state)
    }

    /// The signals that were sent to the task, that no step waits for and that none was given, as the end of a sentence.
    fn unawaited(&self) -> String {
        let one = |sent: &SentSignalRow| {
            let by = sent.actor.as_deref().unwrap_or("somebody");
            format!("{:?} (sent by {by}, {})", sent.name, self.ago(sent.created_at))
        };
        let sent: Vec<_> = self.signals.iter().map(one).collect();
        match &*sent {
            [] => String::new(),
            [sent] => format!("; no step waits for, or was given, the signal {sent}"),
            sent => format!("; no step waits for, or was given, the signals {}", shown(sent)),
        }
    }

    /// The last time that an operator did this.
    pub(super) fn last_noted(&self, event: TaskEvent) -> Option<&TaskTransitionRow> {
        self.task_history.iter().rfind(|change| change.event == event)
    }

    /// Who had the task undone, as the end of a sentence; nothing where it was by itself.
    fn undone_for(&self) -> String {
        let asked = self.last_noted(TaskEvent::CompensationRequested);
        asked.map_or_else(String::new, |change| {
            let (by, when) = (asked_by(change.detail.as_deref()), self.ago(change.created_at));
            format!(", asked for by {by}, {when}")
        })
    }
}

fn waiting_steps(for_retry: u64, for_others: u64) -> String {
    let retries = counted(for_retry, "waits for its next attempt", "wait for their next attempt");
    let waits = counted(for_others, "waits for a time or a signal", "wait for a time or a signal");
    match (for_retry, for_others) {
        (_, 0) => retries,
        (0, _) => waits,
        (_, _) => format!("{retries}, {waits}"),
    }
}
