//! Ends of claims on their way into the database, of the tasks that share a lane.

use std::collections::VecDeque;

use super::orchestrator::failure;
use super::round::Landed;
use crate::decision::{ClaimEnd, FailureKind, Outcome};
use crate::error::Error;

/// Ends written in one transaction at most: beyond some hundred rows a statement gets no cheaper a
/// row, and everybody waits longer for it.
const MOST_ENDS: usize = 500;

/// Steps changed in one transaction, about: ends in a wide graph make many steps ready.
const MOST_CHANGES: usize = 2_000;

/// Ends that wait for a round, which writes a batch of them. One round of a lane is in flight at a time.
#[derive(Debug, Default)]
pub(super) struct Lane {
    ends: VecDeque<ClaimEnd>,
    flying: bool,
    /// Ends at the head that are written one by one.
    singly: usize,
    /// How often the first of them was refused.
    refusals: u32,
}

impl Lane {
    pub(super) fn push(&mut self, end: ClaimEnd) {
        self.ends.push_back(end);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty() && !self.flying
    }

    /// A round is in flight.
    pub(super) fn is_flying(&self) -> bool {
        self.flying
    }

    /// Has ends, and no round in flight.
    pub(super) fn is_due(&self) -> bool {
        !self.flying && !self.ends.is_empty()
    }

    /// The ends that the next round writes, each of which is expected to change so many steps.
    pub(super) fn take_off(&mut self, changes: usize) -> Vec<ClaimEnd> {
        self.flying = true;
        let few = (MOST_CHANGES / changes.max(1)).clamp(1, MOST_ENDS);
        let most = if self.singly > 0 { 1 } else { few };
        self.ends.drain(..self.ends.len().min(most)).collect()
    }

    /// The round of these ends is over. What it could not write stands first again.
    pub(super) fn land(&mut self, ends: Vec<ClaimEnd>, landed: &Landed) {
        self.flying = false;
        if landed.written {
            self.singly = self.singly.saturating_sub(1);
            self.refusals = 0;
            return;
        }
        let size = ends.len();
        for end in ends.into_iter().rev() {
            self.ends.push_front(end);
        }
        if let Some(error) = &landed.error {
            self.refused(error, size);
        }
    }

    /// A batch that cannot be written is written end by end, and an end that cannot be written because
    /// of what it holds fails its step.
    fn refused(&mut self, error: &Error, size: usize) {
        if error.is_retryable() {
            return;
        }
        if size > 1 {
            self.singly = size;
            return;
        }
        self.refusals += 1;
        if self.refusals > 1
            && error.is_about_data()
            && let Some(end) = self.ends.front_mut()
        {
            let message = format!("the end of the attempt could not be written: {error}");
            end.outcome = Outcome::Failed(failure(FailureKind::Permanent, "Database", message));
            self.refusals = 0;
        }
    }
}
