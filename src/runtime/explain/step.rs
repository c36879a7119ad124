//! Why a step is where it is.

use super::Facts;
use super::answer::{Attachment, Attempt, Change, StepExplanation};
use super::ends::{completed, copied, failure};
use super::words::{asked_by, shown};
use crate::json;
use crate::runtime::remedies::{Remedy, remedies};
use crate::state::{StepState, TaskState};
use crate::store::{ArtifactSizeRow, AttemptRow, StepProgressRow, StepTransitionRow};

/// Longest part of a cursor that a sentence repeats, in characters.
const LONGEST_CURSOR: usize = 80;

impl Facts<'_> {
    pub(super) fn explanation(&self, at: usize, task: TaskState) -> StepExplanation {
        let row = &self.steps[at];
        let skippable = self.step(at).is_some_and(|step| step.skippable);
        let attempts = self.attempts.get(&row.workflow_step_id).map_or(&[][..], Vec::as_slice);
        let history = self.history.get(&row.workflow_step_id).map_or(&[][..], Vec::as_slice);
        let progress = self.progress.get(&row.workflow_step_id).filter(|_| !has_results(row.state));
        let artifacts = self.artifacts.get(&row.workflow_step_id).map_or(&[][..], Vec::as_slice);
        let summary = self.step_summary(at, attempts, history) + &attached(artifacts);
        StepExplanation {
            name: self.name(at),
            state: row.state,
            summary: progress.iter().fold(summary, |said, progress| said + &self.so_far(progress))
                + &self.added_by(at),
            checkpoint: progress.and_then(StepProgressRow::checkpoint),
            poll: self.poll(row, history.last()),
            deadline_at: progress.and_then(|progress| progress.deadline_at),
            remedies: if self.is_for_decision(at, history.last()) {
                vec![Remedy::Approve, Remedy::Reject]
            } else {
                remedies(task, row.state, skippable, self.undoing.is_some())
            },
            artifacts: artifacts.iter().map(Attachment::from).collect(),
            attempts: attempts.iter().map(Attempt::from).collect(),
            history: history.iter().map(Change::from).collect(),
            children: self.children.get(&row.workflow_step_id).cloned().unwrap_or_default(),
        }
    }

    /// How far an attempt got, and how long the step has, as the end of a sentence.
    fn so_far(&self, progress: &StepProgressRow) -> String {
        let checkpoint = progress.checkpoint().map(|made| {
            let cursor = made.cursor.as_ref().map_or("(encrypted)", |cursor| cursor.get());
            format!(
                "; its last checkpoint is {}, {}",
                json::shorten(cursor, LONGEST_CURSOR),
                self.ago(made.at)
            )
        });
        let deadline = progress.deadline_at.map(|at| {
            format!("; in all its attempts together it has until {}", self.when_over(at))
        });
        checkpoint.unwrap_or_default() + &deadline.unwrap_or_default()
    }

    fn step_summary(
        &self,
        at: usize,
        attempts: &[AttemptRow],
        history: &[StepTransitionRow],
    ) -> String {
        let row = &self.steps[at];
        let last = attempts.last();
        let change = history.last();
        match row.state {
            StepState::Pending => self.pending(at),
            StepState::Enqueued => {
                let later = self.delayed(at, row, change).or_else(|| self.held_by_budget(at, row));
                later.unwrap_or_else(|| self.enqueued(row, change))
            }
            StepState::InProgress => self.in_progress(at, row),
            StepState::WaitingForRetry => self.waiting_for_retry(at, row, last),
            StepState::Waiting => {
                let told = self.runs(row, change).or_else(|| self.polls(row, change));
                told.unwrap_or_else(|| self.waiting(at, row, change))
            }
            StepState::Blocked => {
                format!("needs a person or an outside event: {}", failure(last))
            }
            StepState::Complete => {
                let done = copied(change).or_else(|| self.mapped(at));
                done.unwrap_or_else(|| completed(row, last)) + &self.took(at, change)
            }
            StepState::Error => self.error(at, row, last, change),
            StepState::Skipped => self.skipped(at, change),
            StepState::Cancelled => self.cancelled(at, row, change),
            StepState::ResolvedManually => {
                let by = asked_by(change.and_then(|c| c.detail.as_deref()));
                format!("{by} gave its results{}", self.took(at, change))
            }
        }
    }
}

/// How far an attempt got does not matter any more.
fn has_results(state: StepState) -> bool {
    matches!(state, StepState::Complete | StepState::ResolvedManually)
}

/// What was attached, as the end of a sentence; the last first.
fn attached(artifacts: &[ArtifactSizeRow]) -> String {
    let one = |row: &ArtifactSizeRow| {
        let size = row.bytes.map(|bytes| format!(", {bytes} bytes"));
        let place = row.uri.as_ref().map(|uri| format!(", {uri}"));
        let (name, kind, size) = (&row.name, &row.media_type, size.or(place).unwrap_or_default());
        format!("{name} ({kind}{size}) of attempt {}", row.attempt)
    };
    let names: Vec<_> = artifacts.iter().rev().map(one).collect();
    if names.is_empty() { String::new() } else { format!("; attached: {}", shown(&names)) }
}
