//! The claims that this process holds, which of them a handler has begun, and the batches that list
//! them in the database.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::branches::Decider;
use crate::decision::{ByStep, Claim, Timestamp};
use crate::ids::{ClaimBatchId, StepId};

/// Claims by step. The lock is a `std` one: it is held for a few look-ups, never across a wait.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: FxHashMap<StepId, Held>,
    /// Held claims whose end is not known.
    open: usize,
    /// Attempts that the database has ended but whose handler still keeps a thread.
    hung: HashSet<(StepId, u32)>,
    /// When the handlers that may run for a limited time have run for too long.
    deadlines: BTreeSet<(Instant, StepId)>,
    /// Claims of each batch whose end is not in the database.
    batches: HashMap<ClaimBatchId, usize>,
    /// Batches without such claims, which the database still lists.
    over: Vec<ClaimBatchId>,
    /// Such batches that a statement in flight deletes.
    leaving: HashSet<ClaimBatchId>,
    /// Claims that rounds in flight may make.
    granted: usize,
    /// Ends that handlers have reported and the loop that writes them has not seen.
    reported: usize,
    /// While the worker's claims are read from the database: those that others have ended meanwhile.
    recalled: Option<HashSet<Claim>>,
}

/// Room for claims that a round in flight may make, until they are entered or it is clear that there are
/// none.
#[derive(Debug)]
pub(super) struct Grant {
    ledger: Arc<Ledger>,
    steps: usize,
}

impl Grant {
    /// How many claims.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.ledger.lock().granted -= self.steps;
    }
}

/// Batches that one statement deletes: two would wait for one another. They are over still unless it is said
/// that the database lists them no more.
#[derive(Debug)]
pub(super) struct EndedBatches {
    ledger: Arc<Ledger>,
    batches: Vec<ClaimBatchId>,
}

impl EndedBatches {
    /// Which.
    pub(super) fn batches(&self) -> &[ClaimBatchId] {
        &self.batches
    }

    /// The database lists them no more.
    pub(super) fn deleted(mut self) {
        self.ledger.lock().leave(&self.batches);
        self.batches.clear();
    }
}

impl Drop for EndedBatches {
    fn drop(&mut self) {
        let mut state = self.ledger.lock();
        state.leave(&self.batches);
        state.over.append(&mut self.batches);
    }
}

#[derive(Debug)]
struct Held {
    claim: Claim,
    batch: ClaimBatchId,
    tried: Tried,
    /// Since when the step could be claimed, if that is known.
    since: Option<Timestamp>,
    timeout: Option<Duration>,
    reach: Reach,
    decision: Option<Arc<Decider>>,
    begun: Option<Instant>,
    /// Its end is known, and on its way into the database.
    ended: bool,
}

impl Held {
    fn deadline(&self) -> Option<Instant> {
        self.begun?.checked_add(self.timeout?)
    }
}

/// How a step's earlier attempts ended, as its row says while the claim lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) failures: u32,
    pub(crate) crashes: u32,
}

/// Which rows the end of a step changes beside its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// How many steps depend on it.
    pub(crate) children: usize,
    /// Its template has no other step.
    pub(crate) alone: bool,
}

/// What a template says of a step.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) step: StepId,
    /// How long its handler may run.
    pub(crate) timeout: Option<Duration>,
    pub(crate) reach: Reach,
    /// Of a step of whose children not all are taken.
    pub(crate) decision: Option<Arc<Decider>>,
}

/// What is to be known of claims that a thread has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Begun {
    /// One of them may run for a limited time.
    pub(crate) limited: bool,
    /// One of them is not held any more.
    pub(crate) lost: bool,
}

/// The end of an attempt that a handler reports.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) claim: Claim,
    /// Of a step of whose children not all are taken.
    pub(crate) decision: Option<Arc<Decider>>,
}

/// A claim that was held when all were given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenUp {
    pub(crate) claim: Claim,
    /// Its handler had begun.
    pub(crate) begun: bool,
}

impl State {
    fn end_attempt(&mut self, step: StepId, attempt: u32) -> Option<Claim> {
        self.held.get(&step).filter(|held| held.claim.attempt == attempt)?;
        self.end(step)
    }

    /// Marks the claim on a step as ended, unless it was.
    fn end(&mut self, step: StepId) -> Option<Claim> {
        let held = self.held.get_mut(&step).filter(|held| !held.ended)?;
        held.ended = true;
        let (claim, deadline) = (held.claim, held.deadline());
        self.open -= 1;
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, step));
        }
        Some(claim)
    }

    /// Forgets an older claim on a step: others have ended it. A handler that has begun keeps its thread.
    fn forget(&mut self, step: StepId) {
        let Some(begun) = self.held.get(&step).map(|held| held.begun.is_some()) else { return };
        if let Some(claim) = self.end(step).filter(|_| begun) {
            self.hung.insert((step, claim.attempt));
        }
        if let Some(held) = self.held.remove(&step) {
            self.leave_batch(held.batch);
        }
    }

    /// No statement in flight deletes these batches any more.
    fn leave(&mut self, batches: &[ClaimBatchId]) {
        for batch in batches {
            self.leaving.remove(batch);
        }
    }

    /// The database lists the batch, as far as it is known.
    fn lists(&self, batch: ClaimBatchId) -> bool {
        self.batches.contains_key(&batch)
            || self.over.contains(&batch)
            || self.leaving.contains(&batch)
    }

    fn leave_batch(&mut self, batch: ClaimBatchId) {
        if let Some(left) = self.batches.get_mut(&batch) {
            *left -= 1;
            if *left == 0 {
                self.batches.remove(&batch);
                self.over.push(batch);
            }
        }
    }
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps room for so many claims.
    pub(super) fn grant(self: &Arc<Self>, steps: usize) -> Grant {
        self.lock().granted += steps;
        Grant { ledger: Arc::clone(self), steps }
    }

    /// Enters the claims of a batch that was committed.
    pub(crate) fn enter(
        &self,
        batch: ClaimBatchId,
        claims: &[(Claim, Tried)],
        since: impl Fn(StepId) -> Option<Timestamp>,
    ) {
        let mut state = self.lock();
        for &(claim, tried) in claims {
            let held = Held {
                claim,
                batch,
                tried,
                since: since(claim.step),
                timeout: None,
                reach: Reach::default(),
                decision: None,
                begun: None,
                ended: false,
            };
            state.forget(claim.step);
            state.held.insert(claim.step, held);
        }
        state.open += claims.len();
        *state.batches.entry(batch).or_default() += claims.len();
        state.over.retain(|over| *over != batch);
    }

    /// Since when the step of a claim could be claimed, if that is known.
    pub(super) fn since(&self, claim: Claim) -> Option<Timestamp> {
        let state = self.lock();
        state.held.get(&claim.step).filter(|held| held.claim == claim)?.since
    }

    /// What is known of the steps of these claims.
    pub(crate) fn tried(&self, claims: impl Iterator<Item = Claim>) -> HashMap<StepId, Tried> {
        let state = self.lock();
        let held =
            claims.filter_map(|claim| state.held.get(&claim.step).filter(|h| h.claim == claim));
        held.map(|held| (held.claim.step, held.tried)).collect()
    }

    /// What the templates say of these steps, whose handlers have not begun.
    pub(crate) fn describe(&self, steps: impl Iterator<Item = Described>) {
        let mut state = self.lock();
        for Described { step, timeout, reach, decision } in steps {
            if let Some(held) = state.held.get_mut(&step) {
                (held.timeout, held.reach, held.decision) = (timeout, reach, decision);
            }
        }
    }

    /// What the end of a claim changes, as far as it is known.
    pub(crate) fn reach(&self, claim: Claim) -> Reach {
        let state = self.lock();
        let held = state.held.get(&claim.step).filter(|held| held.claim == claim);
        held.map(|held| held.reach).unwrap_or_default()
    }

    /// A handler thread has taken the claims.
    pub(crate) fn begin(&self, claims: impl Iterator<Item = Claim>, now: Instant) -> Begun {
        let mut state = self.lock();
        let mut begun = Begun::default();
        for claim in claims {
            let held = state.held.get_mut(&claim.step).filter(|held| held.claim == claim);
            let Some(held) = held else {
                begun.lost = true;
                continue;
            };
            held.begun = Some(now);
            if let Some(deadline) = held.deadline().filter(|_| !held.ended) {
                state.deadlines.insert((deadline, claim.step));
                begun.limited = true;
            }
        }
        begun
    }

    /// The claim of an attempt, unless it is not held any more or its end is known.
    pub(crate) fn current(&self, step: StepId, attempt: u32) -> Option<Claim> {
        let state = self.lock();
        let held = state.held.get(&step).filter(|held| held.claim.attempt == attempt)?;
        (!held.ended).then_some(held.claim)
    }

    /// The same, and what tells which children are taken when it is complete.
    pub(super) fn executed(&self, step: StepId, attempt: u32) -> Option<Reported> {
        let state = self.lock();
        let held = state.held.get(&step).filter(|held| held.claim.attempt == attempt)?;
        let decision = held.decision.clone();
        (!held.ended).then_some(Reported { claim: held.claim, decision })
    }

    /// The claims whose handlers run, as far as is known.
    pub(super) fn running(&self) -> Vec<Claim> {
        let state = self.lock();
        let running = state.held.values().filter(|held| held.begun.is_some() && !held.ended);
        running.map(|held| held.claim).collect()
    }

    /// The attempts whose handlers run, as far as is known, also those that have ended all the same, in order.
    pub(super) fn executing(&self) -> Vec<(StepId, u32)> {
        let state = self.lock();
        let running = state.held.values().filter(|held| held.begun.is_some() && !held.ended);
        let attempts = running.map(|held| (held.claim.step, held.claim.attempt));
        let mut executing: Vec<_> = attempts.chain(state.hung.iter().copied()).collect();
        executing.sort_unstable();
        executing
    }

    /// Others have ended the claim. One whose end is on its way into the database is refused there; says whether it was
    /// another one. A handler that has begun keeps its thread.
    pub(crate) fn recall(&self, claim: Claim) -> bool {
        let mut state = self.lock();
        if let Some(recalled) = &mut state.recalled {
            recalled.insert(claim);
        }
        let held = state.held.get(&claim.step).filter(|held| held.claim == claim && !held.ended);
        let recalled = held.is_some();
        if recalled {
            state.forget(claim.step);
        }
        recalled
    }

    /// A handler reports the end of an attempt; `None` when its claim is not held, or ended before. Its
    /// room stays taken until the end is received: it is for the steps that get ready by it first.
    pub(crate) fn report(&self, step: StepId, attempt: u32) -> Option<Reported> {
        let mut state = self.lock();
        if !state.hung.is_empty() {
            state.hung.remove(&(step, attempt));
        }
        let claim = state.end_attempt(step, attempt)?;
        state.reported += 1;
        let decision = state.held.get_mut(&step).and_then(|held| held.decision.take());
        Some(Reported { claim, decision })
    }

    /// Another thread has the place of one whose handler goes on although its attempt has ended; `false` where there is no such
    /// handler.
    pub(super) fn relieve(&self, step: StepId, attempt: u32) -> bool {
        self.lock().hung.remove(&(step, attempt))
    }

    /// A reported end has reached the loop that writes it.
    pub(super) fn received(&self) {
        self.lock().reported -= 1;
    }

    /// Ends an attempt whose handler has not begun; `None` when its claim is not held, or ended before.
    pub(super) fn end(&self, claim: Claim) -> Option<Claim> {
        self.lock().end_attempt(claim.step, claim.attempt)
    }

    /// The ends of these claims are in the database.
    pub(crate) fn strike(&self, claims: impl Iterator<Item = Claim>) {
        let mut state = self.lock();
        for claim in claims {
            if state.held.get(&claim.step).is_none_or(|held| held.claim != claim) {
                continue;
            }
            state.end(claim.step);
            if let Some(held) = state.held.remove(&claim.step) {
                state.leave_batch(held.batch);
            }
        }
    }

    /// Takes the batches that the database need not list any more.
    pub(super) fn take_ended(self: &Arc<Self>) -> EndedBatches {
        let mut state = self.lock();
        let batches = std::mem::take(&mut state.over);
        state.leaving.extend(&batches);
        EndedBatches { ledger: Arc::clone(self), batches }
    }

    /// Takes note of batches that the database lists: those without a claim that is held are over.
    pub(crate) fn compare(&self, listed: impl Iterator<Item = ClaimBatchId>) {
        let mut state = self.lock();
        for batch in listed {
            if !state.lists(batch) {
                state.over.push(batch);
            }
        }
    }

    /// Ends the claims whose handlers have run for longer than they may. Their threads stay counted
    /// until they report.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<(Claim, Duration)> {
        let mut state = self.lock();
        let mut over = Vec::new();
        while let Some((_, step)) = state.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            state.deadlines.pop_first();
            let timeout = state.held.get(&step).and_then(|held| held.timeout).unwrap_or_default();
            if let Some(claim) = state.end(step) {
                state.hung.insert((step, claim.attempt));
                over.push((claim, timeout));
            }
        }
        over
    }

    /// When the next handler will have run for too long.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.lock().deadlines.first().map(|(at, _)| *at)
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
        state.deadlines.clear();
        state.open = 0;
        given_up
    }

    /// Forgets every claim: others have them.
    pub(crate) fn lose(&self) {
        self.give_up();
        let mut state = self.lock();
        state.held.clear();
        state.batches.clear();
        state.over.clear();
    }

    /// From now on it is noted which claims others end: what is being read may say still that they are held.
    pub(super) fn note_recalled(&self) {
        self.lock().recalled = Some(HashSet::new());
    }

    /// The claims that others have ended since then.
    pub(super) fn take_recalled(&self) -> HashSet<Claim> {
        self.lock().recalled.take().unwrap_or_default()
    }

    /// Whether the database gives this claim to us and we know of it.
    pub(crate) fn knows(&self, claim: Claim) -> bool {
        self.lock().held.get(&claim.step).is_some_and(|held| held.claim == claim)
    }

    /// Those of the steps whose ends are on their way into the database, where they may be already. This worker claims
    /// none of them: a claim that did not count as an attempt (the items of a map step are made, a condition is not met)
    /// leaves its number to the next one, whose end it would be when it is written again.
    pub(super) fn ending(&self, steps: impl Iterator<Item = StepId>) -> BTreeSet<StepId> {
        // The lock is held for what this worker holds, not for as many steps as are asked for.
        let ended = |(step, held): (&StepId, &Held)| held.ended.then_some((*step, ()));
        let ended: ByStep<()> = self.lock().held.iter().filter_map(ended).collect();
        steps.filter(|step| ended.contains_key(step)).collect()
    }

    /// Open claims and threads that are kept.
    pub(crate) fn load(&self) -> usize {
        let state = self.lock();
        state.open + state.hung.len()
    }

    /// What takes up room: the load, the ends that are not received, and the claims that may be made any
    /// moment.
    pub(crate) fn taken(&self) -> usize {
        let state = self.lock();
        state.open + state.hung.len() + state.reported + state.granted
    }

    /// Claims whose end is not in the database.
    pub(crate) fn known(&self) -> usize {
        self.lock().held.len()
    }

    /// Open claims.
    pub(crate) fn open(&self) -> usize {
        self.lock().open
    }

    /// Batches that the database lists.
    pub(crate) fn batches(&self) -> usize {
        let state = self.lock();
        state.batches.len() + state.over.len() + state.leaving.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{TaskId, WorkerId};

    const BATCH: ClaimBatchId = ClaimBatchId(1);

    fn claim(attempt: u32) -> Claim {
        Claim { step: TaskId(1).step(0), attempt, worker: WorkerId(1) }
    }

    fn over(ledger: &Arc<Ledger>) -> Vec<ClaimBatchId> {
        ledger.take_ended().batches().to_vec()
    }

    fn report(ledger: &Ledger, number: u32, attempt: u32) -> Option<Claim> {
        ledger.report(claim(number).step, attempt).map(|reported| reported.claim)
    }

    #[test]
    fn an_end_is_accepted_once_and_for_the_current_attempt_only() {
        let ledger = Arc::new(Ledger::default());
        ledger.enter(BATCH, &[(claim(2), Tried::default())], |_| None);
        assert_eq!(report(&ledger, 1, 1), None);
        assert_eq!(report(&ledger, 2, 2), Some(claim(2)));
        assert_eq!(report(&ledger, 2, 2), None);
    }

    #[test]
    fn a_claim_is_known_until_its_end_is_written() {
        let ledger = Arc::new(Ledger::default());
        ledger.enter(BATCH, &[(claim(1), Tried::default())], |_| None);
        ledger.report(claim(1).step, 1);
        assert!(ledger.knows(claim(1)));
        assert_eq!((ledger.open(), ledger.load()), (0, 0));
        ledger.strike([claim(1)].into_iter());
        assert!(!ledger.knows(claim(1)));
    }

    #[test]
    fn a_step_is_ending_until_its_end_is_written() {
        let ledger = Arc::new(Ledger::default());
        let step = claim(1).step;
        let ending = || ledger.ending([step].into_iter()).contains(&step);
        assert!(!ending());
        ledger.enter(BATCH, &[(claim(1), Tried::default())], |_| None);
        assert!(!ending());
        ledger.end(claim(1));
        assert!(ending());
        ledger.strike([claim(1)].into_iter());
        assert!(!ending());
    }

    #[test]
    fn striking_an_old_claim_leaves_the_current_one() {
        let ledger = Arc::new(Ledger::default());
        ledger.enter(BATCH, &[(claim(2), Tried::default())], |_| None);
        ledger.strike([claim(1)].into_iter());
        assert!(ledger.knows(claim(2)));
    }

    #[test]
    fn a_handler_is_overdue_from_its_begin_and_keeps_its_thread_until_it_reports() {
        let ledger = Arc::new(Ledger::default());
        let now = Instant::now();
        ledger.enter(BATCH, &[(claim(1), Tried::default())], |_| None);
        let timeout = Some(Duration::from_secs(5));
        let reach = Reach { children: 2, alone: false };
        ledger.describe(
            [Described { step: claim(1).step, timeout, reach, decision: None }].into_iter(),
        );
        assert_eq!((ledger.reach(claim(1)), ledger.reach(claim(2))), (reach, Reach::default()));
        assert_eq!(ledger.next_deadline(), None);
        assert!(ledger.begin([claim(1)].into_iter(), now).limited);
        assert_eq!(ledger.next_deadline(), Some(now + Duration::from_secs(5)));
        assert!(ledger.overdue(now + Duration::from_secs(4)).is_empty());
        assert_eq!(ledger.overdue(now + Duration::from_secs(5)).len(), 1);
        assert!(ledger.overdue(now + Duration::from_secs(6)).is_empty());
        assert_eq!((ledger.open(), ledger.load()), (0, 1));
        assert_eq!((ledger.running(), ledger.executing()), (vec![], vec![(claim(1).step, 1)]));
        assert_eq!(report(&ledger, 1, 1), None);
        assert_eq!((ledger.load(), ledger.executing()), (0, vec![]));
    }

    #[test]
    fn a_handler_that_does_not_end_is_counted_until_its_thread_is_replaced() {
        let ledger = Arc::new(Ledger::default());
        let now = Instant::now();
        ledger.enter(BATCH, &[(claim(1), Tried::default())], |_| None);
        ledger.begin([claim(1)].into_iter(), now);
        assert!(!ledger.relieve(claim(1).step, 1), "its attempt goes on");
        assert_eq!(ledger.give_up().len(), 1);
        assert_eq!(ledger.load(), 1);
        assert!(!ledger.relieve(claim(1).step, 2));
        assert!(ledger.relieve(claim(1).step, 1));
        assert_eq!(ledger.load(), 0);
        assert!(!ledger.relieve(claim(1).step, 1));
        assert_eq!((report(&ledger, 1, 1), ledger.load()), (None, 0));
    }

    #[test]
    fn room_is_kept_until_the_claims_are_entered() {
        let ledger = Arc::new(Ledger::default());
        let grant = ledger.grant(5);
        assert_eq!((grant.steps(), ledger.load(), ledger.taken()), (5, 0, 5));
        ledger.enter(BATCH, &[(claim(1), Tried::default())], |_| None);
        drop(grant);
        assert_eq!((ledger.load(), ledger.taken()), (1, 1));
    }

    #[test]
    fn the_room_of_a_reported_end_is_taken_until_the_end_is_received() {
        let ledger = Arc::new(Ledger::default());
        ledger.enter(BATCH, &[(claim(1), Tried::default())], |_| None);
        ledger.report(claim(1).step, 1);
        assert_eq!((ledger.load(), ledger.taken()), (0, 1));
        assert_eq!(report(&ledger, 1, 1), None);
        ledger.received();
        assert_eq!((ledger.load(), ledger.taken()), (0, 0));
    }

    #[test]
    fn giving_everything_up_tells_what_had_begun() {
        let ledger = Arc::new(Ledger::default());
        let other = Claim { step: TaskId(1).step(1), ..claim(1) };
        ledger.enter(BATCH, &[(claim(1), Tried::default()), (other, Tried::default())], |_| None);
        assert_eq!(ledger.begin([other].into_iter(), Instant::now()), Begun::default());
        let begun: Vec<_> = ledger.give_up().iter().filter(|g| g.begun).map(|g| g.claim).collect();
        assert_eq!((begun, ledger.open(), ledger.load()), (vec![other], 0, 1));
    }

    #[test]
    fn a_claim_on_a_step_that_is_claimed_again_is_forgotten() {
        let ledger = Arc::new(Ledger::default());
        ledger.enter(BATCH, &[(claim(1), Tried::default())], |_| None);
        ledger.begin([claim(1)].into_iter(), Instant::now());
        ledger.enter(ClaimBatchId(2), &[(claim(2), Tried::default())], |_| None);
        assert_eq!((ledger.open(), ledger.load(), ledger.known()), (1, 2, 1));
        assert_eq!(over(&ledger), [BATCH]);
        assert!(ledger.begin([claim(1)].into_iter(), Instant::now()).lost);
        assert_eq!(report(&ledger, 1, 1), None);
        assert_eq!(ledger.load(), 1);
    }

    #[test]
    fn a_claim_that_others_have_ended_is_forgotten_and_its_thread_is_counted_until_it_reports() {
        let ledger = Arc::new(Ledger::default());
        ledger.enter(BATCH, &[(claim(2), Tried::default())], |_| None);
        ledger.begin([claim(2)].into_iter(), Instant::now());
        assert!(!ledger.recall(claim(1)));
        assert_eq!(
            (ledger.current(claim(2).step, 2), ledger.running()),
            (Some(claim(2)), vec![claim(2)])
        );
        assert!(ledger.recall(claim(2)));
        assert!(!ledger.recall(claim(2)));
        assert_eq!((ledger.current(claim(2).step, 2), ledger.running()), (None, vec![]));
        assert_eq!((ledger.open(), ledger.load(), ledger.known()), (0, 1, 0));
        assert_eq!(over(&ledger), [BATCH]);
        assert_eq!(report(&ledger, 2, 2), None);
        assert_eq!(ledger.load(), 0);
    }

    #[test]
    fn what_is_recalled_while_claims_are_read_is_noted_whether_it_is_known_or_not() {
        let ledger = Arc::new(Ledger::default());
        ledger.recall(claim(1));
        ledger.note_recalled();
        ledger.recall(claim(2));
        assert_eq!(ledger.take_recalled(), [claim(2)].into());
        ledger.recall(claim(3));
        assert!(ledger.take_recalled().is_empty());
    }

    #[test]
    fn a_claim_whose_end_is_on_its_way_is_not_recalled() {
        let ledger = Arc::new(Ledger::default());
        ledger.enter(BATCH, &[(claim(1), Tried::default())], |_| None);
        ledger.report(claim(1).step, 1);
        assert!(!ledger.recall(claim(1)));
        assert_eq!((ledger.current(claim(1).step, 1), ledger.known()), (None, 1));
    }

    #[test]
    fn a_batch_is_over_with_the_last_of_its_claims() {
        let ledger = Arc::new(Ledger::default());
        let other = Claim { step: TaskId(1).step(1), ..claim(1) };
        ledger.enter(BATCH, &[(claim(1), Tried::default()), (other, Tried::default())], |_| None);
        ledger.strike([claim(1)].into_iter());
        assert_eq!((over(&ledger), ledger.batches()), (vec![], 1));
        ledger.strike([other].into_iter());
        assert_eq!((over(&ledger), ledger.batches()), (vec![BATCH], 1));
        ledger.take_ended().deleted();
        assert_eq!((over(&ledger), ledger.batches()), (vec![], 0));
    }

    #[test]
    fn one_statement_at_a_time_deletes_a_batch() {
        let ledger = Arc::new(Ledger::default());
        ledger.compare([BATCH].into_iter());
        let first = ledger.take_ended();
        ledger.compare([BATCH].into_iter());
        assert_eq!((first.batches(), over(&ledger), ledger.batches()), (&[BATCH][..], vec![], 1));
        drop(first);
        assert_eq!((over(&ledger), ledger.batches()), (vec![BATCH], 1));
    }

    #[test]
    fn a_listed_batch_without_a_claim_that_is_held_is_over() {
        let ledger = Arc::new(Ledger::default());
        ledger.enter(BATCH, &[(claim(1), Tried::default())], |_| None);
        ledger.compare([BATCH, ClaimBatchId(2)].into_iter());
        ledger.compare([ClaimBatchId(2)].into_iter());
        assert_eq!(over(&ledger), [ClaimBatchId(2)]);
    }
}
