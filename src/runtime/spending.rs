//! What attempts have spent that have not ended: kept here until they end, written with their ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::budget::Cost;
use crate::decision::ClaimEnd;
use crate::ids::StepId;

/// What attempts have spent, by step and number.
pub(super) type Spent = HashMap<(StepId, u32), Cost>;

/// The lock is a `std` one: it is held for look-ups, never across a wait.
#[derive(Debug, Default)]
pub(super) struct Spending {
    /// Attempts that have spent something: where there are none, an end costs a look at it.
    attempts: AtomicUsize,
    by_attempt: Mutex<Spent>,
}

impl Spending {
    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.by_attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt spends so much more. Returns what it has spent.
    pub(super) fn add(&self, step: StepId, attempt: u32, cost: Cost) -> Cost {
        let mut by_attempt = self.lock();
        let spent = by_attempt.entry((step, attempt)).or_default();
        *spent = spent.plus(cost).min(Cost::MOST);
        let sum = *spent;
        self.attempts.store(by_attempt.len(), Ordering::Release);
        sum
    }

    /// What these attempts have spent.
    pub(super) fn of(&self, ends: &[ClaimEnd]) -> Spent {
        if self.attempts.load(Ordering::Acquire) == 0 {
            return Spent::new();
        }
        let by_attempt = self.lock();
        let spent = |end: &ClaimEnd| {
            let attempt = (end.claim.step, end.claim.attempt);
            Some((attempt, *by_attempt.get(&attempt)?))
        };
        ends.iter().filter_map(spent).collect()
    }

    /// The ends of these attempts are in the database.
    pub(super) fn forget<'a>(&self, ends: impl Iterator<Item = &'a ClaimEnd>) {
        if self.attempts.load(Ordering::Acquire) > 0 {
            for end in ends {
                self.drop_that_of(end.claim.step, end.claim.attempt);
            }
        }
    }

    /// Drops that of an attempt that others have ended.
    pub(super) fn drop_that_of(&self, step: StepId, attempt: u32) {
        if self.attempts.load(Ordering::Acquire) > 0 {
            let mut by_attempt = self.lock();
            by_attempt.remove(&(step, attempt));
            self.attempts.store(by_attempt.len(), Ordering::Release);
        }
    }
}
