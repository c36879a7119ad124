//! Ends of claims on their way into the database, of the tasks that share a lane.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::ledger::Reach;
use super::orchestrator::failure;
use super::turns::LANES;
use crate::decision::{ClaimEnd, FailureKind, Outcome};
use crate::error::Error;
use crate::ids::TaskId;

/// Ends written in one transaction at most: beyond some hundred rows a statement gets no cheaper a
/// row, and everybody waits longer for it.
const MOST_ENDS: usize = 500;

/// Steps changed in one transaction, about: ends in a wide graph make many steps ready.
const MOST_CHANGES: usize = 2_000;

/// Tasks of one step that go to one lane, side by side: some 20 of them, and of their steps, are on a page.
const NEIGHBOURS: usize = 32;

/// The lane of a task: rounds of two lanes do not wait for the same one. Tasks alternate, so that few of them fill both lanes;
/// those of one step, which are many where there is much to write, do so in groups, so that two rounds seldom write to the same page.
pub(super) fn lane_of(task: TaskId, reach: Reach) -> usize {
    let together = if reach.alone { NEIGHBOURS } else { 1 };
    usize::try_from(task.0).unwrap_or_default() / together % LANES
}

/// Ends that wait for a round, which writes a batch of them. One round of a lane is in flight at a time.
#[derive(Debug, Default)]
pub(super) struct Lane {
    ends: VecDeque<Due>,
    /// Since when the first of them waits; `None` without ends.
    since: Option<Instant>,
    /// Steps that all of them change, at most.
    changes: usize,
    flying: bool,
    /// Ends at the head that are written one by one.
    singly: usize,
    /// How often the first of them was refused.
    refusals: u32,
}

/// An end, and how many steps it changes at most.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) end: ClaimEnd,
    pub(super) changes: usize,
}

impl Due {
    pub(super) fn task(&self) -> TaskId {
        self.end.claim.step.task()
    }
}

impl Lane {
    pub(super) fn push(&mut self, due: Due, now: Instant) {
        self.since.get_or_insert(now);
        self.changes += due.changes;
        self.ends.push_back(due);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty() && !self.flying
    }

    /// A round is in flight.
    pub(super) fn is_flying(&self) -> bool {
        self.flying
    }

    /// When the first end will have waited for so long; `None` without ends, and while a round is in flight.
    pub(super) fn due_at(&self, linger: Duration) -> Option<Instant> {
        self.since.filter(|_| !self.flying).map(|since| since + linger)
    }

    /// Has ends that have waited for so long, and no round in flight.
    pub(super) fn is_due(&self, linger: Duration, now: Instant) -> bool {
        self.due_at(linger).is_some_and(|at| at <= now)
    }

    /// The ends that the next round writes, and how many steps depend on theirs.
    pub(super) fn take_off(&mut self, now: Instant) -> (Vec<ClaimEnd>, usize) {
        self.flying = true;
        let most = if self.singly > 0 { 1 } else { MOST_ENDS };
        let (mut taken, mut changes) = (Vec::new(), 0);
        while taken.len() < most
            && let Some(due) = self.ends.front()
            && (taken.is_empty() || changes + due.changes <= MOST_CHANGES)
        {
            changes += due.changes;
            taken.extend(self.ends.pop_front().map(|due| due.end));
        }
        self.changes -= changes;
        self.since = self.ends.front().map(|_| now);
        let children = changes - taken.len();
        (taken, children)
    }

    /// Ends are written one by one.
    pub(super) fn is_single(&self) -> bool {
        self.singly > 0
    }

    /// Takes out the ends of these tasks.
    pub(super) fn take_out(&mut self, tasks: &BTreeSet<TaskId>) -> Vec<Due> {
        let ends = std::mem::take(&mut self.ends).into_iter();
        let (out, left) = ends.partition::<Vec<_>, _>(|due| tasks.contains(&due.task()));
        self.ends = left.into();
        self.changes -= out.iter().map(|due| due.changes).sum::<usize>();
        self.singly = self.singly.min(self.ends.len());
        if self.ends.is_empty() {
            self.since = None;
        }
        out
    }

    /// The round is over, and its ends stand here no more.
    pub(super) fn landed(&mut self) {
        self.flying = false;
        self.singly = self.singly.saturating_sub(1);
        self.refusals = 0;
    }

    /// The round is over, and could not write these ends, which stand first again.
    pub(super) fn take_back(&mut self, ends: Vec<Due>, error: Option<&Error>, now: Instant) {
        self.flying = false;
        self.since.get_or_insert(now);
        let size = ends.len();
        for due in ends.into_iter().rev() {
            self.changes += due.changes;
            self.ends.push_front(due);
        }
        match error {
            Some(error) if error.is_timeout() => self.held_up(size),
            Some(error) => self.refused(error, size),
            None => {}
        }
    }

    /// Somebody holds a task for long: its ends alone wait for it, behind the others.
    fn held_up(&mut self, size: usize) {
        if size > 1 {
            self.singly = size;
        } else {
            self.let_others_pass();
        }
    }

    fn let_others_pass(&mut self) {
        self.singly = self.singly.saturating_sub(1);
        self.ends.rotate_left(1);
    }

    /// A batch that cannot be written is written end by end. An end that cannot be written because of what it
    /// holds fails its step; one that cannot for another reason, or is recorded with what the attempt did, stays, and lets the
    /// others pass.
    fn refused(&mut self, error: &Error, size: usize) {
        if error.is_retryable() {
            return;
        }
        if size > 1 {
            self.singly = size;
            return;
        }
        let is_recorded = |due: &Due| matches!(due.end.outcome, Outcome::Recorded(_));
        if !error.is_about_data() || self.ends.front().is_some_and(is_recorded) {
            return self.let_others_pass();
        }
        self.refusals += 1;
        if self.refusals > 1
            && let Some(due) = self.ends.front_mut()
        {
            let message = format!("the end of the attempt could not be written: {error}");
            due.end.outcome = Outcome::Failed(failure(FailureKind::Permanent, "Database", message));
            self.refusals = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Claim;
    use crate::ids::WorkerId;
    use crate::store::StoreError;

    /// A lane with an end for each number, which changes so many steps.
    fn lane(changes: &[usize]) -> Lane {
        let mut lane = Lane::default();
        for (index, changes) in (0..).zip(changes) {
            lane.push(due(index, *changes), Instant::now());
        }
        lane
    }

    fn due(index: u32, changes: usize) -> Due {
        let claim = Claim { step: TaskId(1).step(index), attempt: 1, worker: WorkerId(1) };
        Due { end: ClaimEnd { claim, outcome: Outcome::GivenBack(None), execution: None }, changes }
    }

    #[test]
    fn tasks_alternate_between_the_lanes_and_those_of_one_step_do_in_groups() {
        let lanes = |alone| {
            let reach = Reach { children: 0, alone };
            (1..=96).map(move |task| lane_of(TaskId(task), reach)).collect::<Vec<_>>()
        };
        assert!(lanes(false).windows(2).all(|two| two[0] != two[1]));
        let alone = lanes(true);
        let changes = alone.windows(2).filter(|two| two[0] != two[1]).count();
        assert_eq!((alone[30], alone[31], alone[62], alone[63], changes), (0, 1, 1, 0, 3));
    }

    #[test]
    fn a_round_writes_so_many_ends_at_most() {
        let mut lane = lane(&[1; 700]);
        let (taken, children) = lane.take_off(Instant::now());
        assert_eq!((taken.len(), children), (MOST_ENDS, 0));
        assert_eq!((lane.len(), lane.changes()), (200, 200));
    }

    #[test]
    fn a_round_changes_so_many_steps_at_most_and_writes_one_end_at_least() {
        let mut lane = lane(&[900, 900, 900, 5_000, 1]);
        let mut take_off = || {
            let (taken, children) = lane.take_off(Instant::now());
            (taken.len(), children, lane.changes())
        };
        assert_eq!(take_off(), (2, 1_798, 5_901));
        assert_eq!(take_off(), (1, 899, 5_001));
        assert_eq!(take_off(), (1, 4_999, 1));
        assert_eq!(take_off(), (1, 0, 0));
    }

    #[test]
    fn what_could_not_be_written_stands_first_again() {
        let mut lane = lane(&[1, 2, 3]);
        lane.take_off(Instant::now());
        lane.push(due(9, 4), Instant::now());
        lane.take_back(vec![due(0, 1), due(1, 2)], None, Instant::now());
        assert_eq!((lane.len(), lane.changes()), (3, 7));
        assert_eq!(steps(&mut lane), [0, 1, 9]);
    }

    #[test]
    fn ends_wait_for_others_from_the_first_or_from_the_start_of_the_round_before() {
        const LINGER: Duration = Duration::from_millis(5);
        let start = Instant::now();
        let later = start + LINGER;
        let mut lane = Lane::default();
        assert!(!lane.is_due(Duration::ZERO, start));
        (0..600).for_each(|index| lane.push(due(index, 1), start));
        lane.push(due(600, 1), later);
        assert!(lane.is_due(Duration::ZERO, start));
        assert!(!lane.is_due(LINGER, later - Duration::from_micros(1)));
        assert!(lane.is_due(LINGER, later));
        lane.take_off(later);
        assert_eq!(lane.due_at(LINGER), None);
        lane.landed();
        assert_eq!(lane.due_at(LINGER), Some(later + LINGER));
        lane.take_off(later);
        lane.landed();
        assert_eq!(lane.due_at(LINGER), None);
        lane.take_back(vec![due(0, 1)], None, later);
        assert_eq!(lane.due_at(LINGER), Some(later + LINGER));
    }

    #[test]
    fn ends_of_tasks_are_taken_out() {
        let now = Instant::now();
        let mut lane = lane(&[1, 2, 3]);
        let other = Claim { step: TaskId(2).step(7), attempt: 1, worker: WorkerId(1) };
        let other = ClaimEnd { claim: other, outcome: Outcome::GivenBack(None), execution: None };
        lane.push(Due { end: other, changes: 5 }, now);
        let out = lane.take_out(&BTreeSet::from([TaskId(1)]));
        assert_eq!((out.len(), lane.len(), lane.changes()), (3, 1, 5));
        assert_eq!(lane.take_out(&BTreeSet::from([TaskId(2)])).len(), 1);
        assert_eq!((lane.changes(), lane.due_at(Duration::ZERO)), (0, None));
    }

    fn steps(lane: &mut Lane) -> Vec<u32> {
        lane.take_off(Instant::now()).0.iter().map(|end| end.claim.step.index()).collect()
    }

    #[test]
    fn an_end_that_is_refused_for_what_it_does_not_hold_lets_the_others_pass() {
        let refused: Error = Error::SchemaMismatch { found: 7 };
        let mut lane = lane(&[1, 1]);
        lane.take_off(Instant::now());
        lane.take_back(vec![due(0, 1), due(1, 1)], Some(&refused), Instant::now());
        for expected in [0, 1] {
            let (taken, _) = lane.take_off(Instant::now());
            assert_eq!(taken.len(), 1);
            assert_eq!(
                (taken[0].claim.step.index(), &taken[0].outcome),
                (expected, &Outcome::GivenBack(None))
            );
            lane.take_back(vec![due(expected, 1)], Some(&refused), Instant::now());
        }
    }

    #[test]
    fn an_end_that_is_refused_for_what_it_holds_twice_fails_its_step() {
        let constraint = String::new();
        let refused: Error = StoreError::Constraint { code: "23514".to_owned(), constraint }.into();
        let mut lane = lane(&[1]);
        for _ in 0..2 {
            assert_eq!(lane.take_off(Instant::now()).0[0].outcome, Outcome::GivenBack(None));
            lane.take_back(vec![due(0, 1)], Some(&refused), Instant::now());
        }
        let (taken, _) = lane.take_off(Instant::now());
        assert!(matches!(taken[0].outcome, Outcome::Failed(_)), "{:?}", taken[0]);
    }

    #[test]
    fn an_end_that_is_recorded_does_not_fail_its_step() {
        let constraint = String::new();
        let refused: Error = StoreError::Constraint { code: "23514".to_owned(), constraint }.into();
        let recorded =
            Outcome::Recorded(failure(FailureKind::Retryable, "NotCommitted", String::new()));
        let mut due = due(0, 1);
        due.end.outcome = recorded.clone();
        let mut lane = Lane::default();
        lane.push(due, Instant::now());
        for _ in 0..3 {
            let (mut taken, _) = lane.take_off(Instant::now());
            assert_eq!(taken[0].outcome, recorded);
            let end = taken.remove(0);
            lane.take_back(vec![Due { end, changes: 1 }], Some(&refused), Instant::now());
        }
    }

    #[test]
    fn an_end_whose_task_somebody_holds_lets_the_others_pass() {
        let held: Error = StoreError::Timeout { code: "55P03".to_owned() }.into();
        let mut lane = lane(&[1, 1, 1]);
        lane.take_off(Instant::now());
        lane.take_back(vec![due(0, 1), due(1, 1), due(2, 1)], Some(&held), Instant::now());
        assert_eq!(steps(&mut lane), [0]);
        lane.take_back(vec![due(0, 1)], Some(&held), Instant::now());
        assert_eq!(steps(&mut lane), [1]);
        lane.landed();
        assert_eq!(steps(&mut lane), [2]);
        lane.landed();
        assert_eq!(steps(&mut lane), [0]);
    }
}
