//! How a step ended, and its attempts.

use serde_json::Value;

use super::Facts;
use super::budget::out_of_budget;
use super::words::{clock, human, parsed, words};
use crate::runtime::reports::milliseconds;
use crate::state::{AttemptOutcome, StepEvent, StepState};
use crate::store::{AttemptRow, StepListRow, StepTransitionRow};

impl Facts<'_> {
    pub(super) fn error(
        &self,
        at: usize,
        row: &StepListRow,
        last: Option<&AttemptRow>,
        change: Option<&StepTransitionRow>,
    ) -> String {
        let limit = self.limit(at);
        let failure = failure(last);
        match change.map(|change| change.event) {
            Some(StepEvent::RetriesExhausted) if limit == 1 => {
                format!("its only attempt failed with {failure}")
            }
            Some(StepEvent::RetriesExhausted) => {
                format!("all {limit} attempts failed, the last one with {failure}")
            }
            Some(StepEvent::CrashesExhausted) if row.crashes == 1 => {
                "a worker died while it executed it; it is not tried again".to_owned()
            }
            Some(StepEvent::CrashesExhausted) => format!(
                "{} workers died while they executed it; it is not tried again",
                row.crashes
            ),
            Some(StepEvent::BudgetExhausted) => {
                let reserves = self.step(at).and_then(|step| step.reserve_cost);
                out_of_budget(change, reserves, self.task)
            }
            Some(StepEvent::TimedOut) => self.timed_out(at, row, last, change),
            Some(StepEvent::ItemsFailed) => self
                .failed_by_items(at)
                .unwrap_or_else(|| "failed by its items, which are retired".to_owned()),
            Some(StepEvent::ItemGivenUp) => self.given_up(at, change),
            Some(StepEvent::NotRetryable) => {
                format!(
                    "attempt {} ended with {failure}, and the step must not be retried",
                    row.attempts
                )
            }
            Some(_) | None => format!("failed for good in attempt {}: {failure}", row.attempts),
        }
    }

    pub(super) fn cancelled(
        &self,
        at: usize,
        row: &StepListRow,
        change: Option<&StepTransitionRow>,
    ) -> String {
        let (by, attempt) = (self.cancelled_by(), row.attempts);
        let from = change.map(|change| change.from_state);
        let mapped = self.mapped_so_far(at).filter(|_| from == Some(StepState::Pending));
        let when = match from {
            Some(StepState::InProgress) => {
                format!("while attempt {attempt} ran, which was cut off")
            }
            Some(state) if attempt > 0 => {
                format!("when it was {}, after attempt {attempt}", words(state))
            }
            Some(_) | None => mapped.unwrap_or_else(|| "before it began".to_owned()),
        };
        format!("its task was cancelled by {by} {when}")
    }

    /// Why a step ended whose attempts together have a limit.
    fn timed_out(
        &self,
        at: usize,
        row: &StepListRow,
        last: Option<&AttemptRow>,
        change: Option<&StepTransitionRow>,
    ) -> String {
        let limit = self.step(at).and_then(|step| step.total_timeout);
        let seconds = limit.unwrap_or_default().as_secs_f64();
        let tried = match row.attempts {
            0 => "no attempt began".to_owned(),
            1 => format!("its only attempt ended with {}", failure(last)),
            begun => format!("the last of {begun} attempts ended with {}", failure(last)),
        };
        let detail = parsed(change.and_then(|change| change.detail.as_deref()));
        let next = detail["retry_at"].as_str().map(|_| "; the next one would have begun too late");
        format!("did not end within {seconds} s in all; {tried}{}", next.unwrap_or_default())
    }
}

pub(super) fn failure(last: Option<&AttemptRow>) -> String {
    let Some(last) = last else {
        return "no recorded attempt".to_owned();
    };
    let error: Option<Value> =
        last.error.as_deref().and_then(|json| serde_json::from_str(json).ok());
    match error {
        Some(error) => {
            let text = |key: &str| error[key].as_str().unwrap_or_default();
            let by = error["classified_by"].as_str();
            let by = by.map(|by| format!(" ({} by {by})", text("kind"))).unwrap_or_default();
            let code = error["code"].as_str();
            let code = code.map(|code| format!(" (code {code})")).unwrap_or_default();
            format!("{}: {}{code}{by}", text("class"), text("message"))
        }
        None => words_of(last.outcome).to_owned(),
    }
}

fn words_of(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Interrupted => "the stop of its worker",
        AttemptOutcome::Cancelled => "the end of its task",
        AttemptOutcome::Waiting => "a wait",
        AttemptOutcome::Succeeded
        | AttemptOutcome::Retryable
        | AttemptOutcome::Permanent
        | AttemptOutcome::Blocked
        | AttemptOutcome::Timeout
        | AttemptOutcome::WorkerDied => "no recorded failure",
    }
}

pub(super) fn completed(row: &StepListRow, last: Option<&AttemptRow>) -> String {
    let attempt = row.attempts;
    let execution = last
        .and_then(|last| last.execution_us)
        .map(|us| format!(" after {}", human(milliseconds(us) / 1_000.0)));
    let when = last.map(|last| format!(" at {}", clock(last.finished_at)));
    let before = if row.failures > 0 || row.crashes > 0 {
        format!("; before that {} failed and {} lost their worker", row.failures, row.crashes)
    } else {
        String::new()
    };
    let (when, execution) = (when.unwrap_or_default(), execution.unwrap_or_default());
    format!("completed{when} in attempt {attempt}{execution}{before}")
}

/// The end of a step that was complete in another task.
pub(super) fn copied(change: Option<&StepTransitionRow>) -> Option<String> {
    let change = change.filter(|change| change.event == StepEvent::Copied)?;
    let task = parsed(change.detail.as_deref())["copied_from"].as_i64()?;
    Some(format!("complete with the results of task {task}, of which its task is a fork"))
}
