//! The claims that this process holds, and which of them a handler has begun.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::decision::Claim;
use crate::ids::StepId;

/// Claims by step. The lock is a `std` one: it is held for a few look-ups, never across a wait.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<StepId, Held>,
    /// Attempts that the database has ended but whose handler still keeps a thread.
    hung: HashSet<(StepId, u32)>,
}

#[derive(Debug)]
struct Held {
    claim: Claim,
    timeout: Option<Duration>,
    begun: Option<Instant>,
    /// Its end is known, and on its way into the database.
    ended: bool,
}

impl Held {
    fn deadline(&self) -> Option<Instant> {
        self.begun?.checked_add(self.timeout?).filter(|_| !self.ended)
    }
}

/// A claim that was held when all were given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenUp {
    pub(crate) claim: Claim,
    /// Its handler had begun.
    pub(crate) begun: bool,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a claim whose handler may run for `timeout`.
    pub(crate) fn enter(&self, claim: Claim, timeout: Option<Duration>) {
        self.lock().held.insert(claim.step, Held { claim, timeout, begun: None, ended: false });
    }

    /// A handler thread has taken the claims. Says whether one of them may run for a limited time.
    pub(crate) fn begin(&self, claims: impl Iterator<Item = Claim>, now: Instant) -> bool {
        let mut state = self.lock();
        let mut limited = false;
        for claim in claims {
            if let Some(held) = state.held.get_mut(&claim.step) {
                held.begun = Some(now);
                limited |= held.timeout.is_some();
            }
        }
        limited
    }

    /// A handler reports the end of an attempt; `None` when its claim is not held, or ended before.
    pub(crate) fn end(&self, step: StepId, attempt: u32) -> Option<Claim> {
        let mut state = self.lock();
        state.hung.remove(&(step, attempt));
        let held = state.held.get_mut(&step)?;
        if held.ended || held.claim.attempt != attempt {
            return None;
        }
        held.ended = true;
        Some(held.claim)
    }

    /// The ends of these claims are in the database.
    pub(crate) fn strike(&self, claims: impl Iterator<Item = Claim>) {
        let mut state = self.lock();
        for claim in claims {
            if state.held.get(&claim.step).is_some_and(|held| held.claim == claim) {
                state.held.remove(&claim.step);
            }
        }
    }

    /// Ends the claims whose handlers have run for longer than they may. Their threads stay counted
    /// until they report.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<(Claim, Duration)> {
        let mut state = self.lock();
        let mut over = Vec::new();
        for held in state.held.values_mut() {
            if held.deadline().is_some_and(|deadline| deadline <= now) {
                held.ended = true;
                over.push((held.claim, held.timeout.unwrap_or_default()));
            }
        }
        state.hung.extend(over.iter().map(|(claim, _)| (claim.step, claim.attempt)));
        over
    }

    /// When the next handler will have run for too long.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.lock().held.values().filter_map(Held::deadline).min()
    }

    /// Ends every claim. Threads whose handlers have begun stay counted until they report.
    pub(crate) fn give_up(&self) -> Vec<GivenUp> {
        let mut state = self.lock();
        let open = state.held.values_mut().filter(|held| !held.ended);
        let given_up: Vec<_> = open
            .map(|held| {
                held.ended = true;
                GivenUp { claim: held.claim, begun: held.begun.is_some() }
            })
            .collect();
        let begun = given_up.iter().filter(|one| one.begun);
        state.hung.extend(begun.map(|one| (one.claim.step, one.claim.attempt)));
        given_up
    }

    /// Forgets every claim: others have them.
    pub(crate) fn lose(&self) {
        self.give_up();
        self.lock().held.clear();
    }

    /// Whether the database gives this claim to us and we know of it.
    pub(crate) fn knows(&self, claim: Claim) -> bool {
        self.lock().held.get(&claim.step).is_some_and(|held| held.claim == claim)
    }

    /// Open claims and threads that are kept: what takes up room.
    pub(crate) fn load(&self) -> usize {
        let state = self.lock();
        state.held.values().filter(|held| !held.ended).count() + state.hung.len()
    }

    /// Claims whose end is not in the database.
    pub(crate) fn known(&self) -> usize {
        self.lock().held.len()
    }

    /// Open claims.
    pub(crate) fn open(&self) -> usize {
        self.lock().held.values().filter(|held| !held.ended).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{TaskId, WorkerId};

    fn claim(attempt: u32) -> Claim {
        Claim { step: TaskId(1).step(0), attempt, worker: WorkerId(1) }
    }

    #[test]
    fn an_end_is_accepted_once_and_for_the_current_attempt_only() {
        let ledger = Ledger::default();
        ledger.enter(claim(2), None);
        assert_eq!(ledger.end(claim(1).step, 1), None);
        assert_eq!(ledger.end(claim(2).step, 2), Some(claim(2)));
        assert_eq!(ledger.end(claim(2).step, 2), None);
    }

    #[test]
    fn a_claim_is_known_until_its_end_is_written() {
        let ledger = Ledger::default();
        ledger.enter(claim(1), None);
        ledger.end(claim(1).step, 1);
        assert!(ledger.knows(claim(1)));
        assert_eq!((ledger.open(), ledger.load()), (0, 0));
        ledger.strike([claim(1)].into_iter());
        assert!(!ledger.knows(claim(1)));
    }

    #[test]
    fn striking_an_old_claim_leaves_the_current_one() {
        let ledger = Ledger::default();
        ledger.enter(claim(2), None);
        ledger.strike([claim(1)].into_iter());
        assert!(ledger.knows(claim(2)));
    }

    #[test]
    fn a_handler_is_overdue_from_its_begin_and_keeps_its_thread_until_it_reports() {
        let ledger = Ledger::default();
        let now = Instant::now();
        ledger.enter(claim(1), Some(Duration::from_secs(5)));
        assert_eq!(ledger.next_deadline(), None);
        assert!(ledger.begin([claim(1)].into_iter(), now));
        assert_eq!(ledger.next_deadline(), Some(now + Duration::from_secs(5)));
        assert!(ledger.overdue(now + Duration::from_secs(4)).is_empty());
        assert_eq!(ledger.overdue(now + Duration::from_secs(5)).len(), 1);
        assert!(ledger.overdue(now + Duration::from_secs(6)).is_empty());
        assert_eq!((ledger.open(), ledger.load()), (0, 1));
        assert_eq!(ledger.end(claim(1).step, 1), None);
        assert_eq!(ledger.load(), 0);
    }

    #[test]
    fn giving_everything_up_tells_what_had_begun() {
        let ledger = Ledger::default();
        let other = Claim { step: TaskId(1).step(1), ..claim(1) };
        ledger.enter(claim(1), None);
        ledger.enter(other, None);
        assert!(!ledger.begin([other].into_iter(), Instant::now()));
        let begun: Vec<_> = ledger.give_up().iter().filter(|g| g.begun).map(|g| g.claim).collect();
        assert_eq!((begun, ledger.open(), ledger.load()), (vec![other], 0, 1));
    }
}
