//! Ends of claims whose tasks somebody else holds. They stand apart and are tried again and again, without waiting
//! for a lock, until their tasks are free; the other ends and claims go on meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::lane::{Due, Lane};
use crate::decision::ClaimEnd;
use crate::error::Error;
use crate::ids::TaskId;

/// Tasks whose ends may wait here before the next ones take up room of the worker: so many steps may be executed
/// in vain when it dies, besides what it held of each task before it knew.
const MOST_TASKS: usize = 1_000;

/// Pause after a round that wrote nothing, doubled up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause: a task that is free again is noticed within it.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Ends that wait until nobody holds their tasks, and which tasks those are. No steps of theirs are claimed
/// meanwhile: their ends would have to wait too.
#[derive(Debug, Default)]
pub(super) struct Parked {
    lane: Lane,
    /// How many ends of each task wait, those of a round in flight among them.
    tasks: BTreeMap<TaskId, usize>,
    pause: Duration,
    /// No round is started before.
    rests_until: Option<Instant>,
}

impl Parked {
    /// Somebody holds the task, as far as is known.
    pub(super) fn holds(&self, task: TaskId) -> bool {
        self.tasks.contains_key(&task)
    }

    /// The tasks that somebody holds, as far as is known.
    pub(super) fn tasks(&self) -> Vec<TaskId> {
        self.tasks.keys().copied().collect()
    }

    /// How much room they take up.
    pub(super) fn room(&self) -> usize {
        self.tasks.len().saturating_sub(MOST_TASKS)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn push(&mut self, due: Due, now: Instant) {
        *self.tasks.entry(due.task()).or_default() += 1;
        self.lane.push(due, now);
    }

    /// Takes in ends of which some wait for a task that somebody holds: they are tried at once.
    pub(super) fn park(&mut self, ends: Vec<Due>, now: Instant) {
        ends.into_iter().for_each(|due| self.push(due, now));
        (self.pause, self.rests_until) = (Duration::ZERO, None);
    }

    /// When the next round is to be started; `None` without ends, and while one is in flight.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let at = self.lane.due_at(Duration::ZERO)?;
        Some(self.rests_until.map_or(at, |until| until.max(at)))
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    /// The ends that the next round tries to write.
    pub(super) fn take_off(&mut self, now: Instant) -> Vec<ClaimEnd> {
        self.lane.take_off(now).0
    }

    /// The round is over, and wrote the ends of tasks that are not among `held`. Says how many.
    pub(super) fn landed(
        &mut self,
        ends: Vec<Due>,
        held: &BTreeSet<TaskId>,
        now: Instant,
    ) -> usize {
        self.lane.landed();
        let (left, written): (Vec<_>, Vec<_>) =
            ends.into_iter().partition(|due| held.contains(&due.task()));
        written.iter().for_each(|due| self.strike(due.task()));
        left.into_iter().for_each(|due| self.lane.push(due, now));
        if !written.is_empty() {
            (self.pause, self.rests_until) = (Duration::ZERO, None);
        } else if !self.lane.is_single() {
            self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            self.rests_until = Some(now + self.pause);
        }
        written.len()
    }

    /// The round is over, and wrote none of these ends. One that waited for a row other than a task's took long:
    /// others get as much time.
    pub(super) fn take_back(
        &mut self,
        ends: Vec<Due>,
        error: Option<&Error>,
        began: Instant,
        now: Instant,
    ) {
        self.lane.take_back(ends, error, now);
        self.rests_until = Some(now + (now - began));
    }

    fn strike(&mut self, task: TaskId) {
        if let Some(left) = self.tasks.get_mut(&task) {
            *left -= 1;
            if *left == 0 {
                self.tasks.remove(&task);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Claim, Outcome};
    use crate::ids::WorkerId;
    use crate::store::StoreError;

    fn due(task: i64, step: u32) -> Due {
        let claim = Claim { step: TaskId(task).step(step), attempt: 1, worker: WorkerId(1) };
        Due {
            end: ClaimEnd { claim, outcome: Outcome::GivenBack(None), execution: None },
            changes: 1,
        }
    }

    fn held(tasks: &[i64]) -> BTreeSet<TaskId> {
        tasks.iter().copied().map(TaskId).collect()
    }

    fn taken(parked: &mut Parked, now: Instant) -> Vec<Due> {
        let ends = parked.take_off(now);
        ends.into_iter().map(|end| Due { end, changes: 1 }).collect()
    }

    #[test]
    fn a_task_is_known_until_the_last_of_its_ends_is_written() {
        let now = Instant::now();
        let mut parked = Parked::default();
        parked.park(vec![due(1, 0), due(1, 1), due(2, 0)], now);
        assert_eq!(parked.tasks(), [TaskId(1), TaskId(2)]);
        let ends = taken(&mut parked, now);
        parked.push(due(1, 2), now);
        assert_eq!(parked.landed(ends, &held(&[2]), now), 2);
        assert!(parked.holds(TaskId(1)) && parked.holds(TaskId(2)));
        let ends = taken(&mut parked, now);
        assert_eq!(parked.landed(ends, &held(&[]), now), 2);
        assert!(parked.is_empty() && parked.due_at().is_none());
    }

    #[test]
    fn ends_are_tried_at_once_and_then_less_and_less_often() {
        let mut now = Instant::now();
        let mut parked = Parked::default();
        parked.park(vec![due(1, 0), due(2, 0)], now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert!(parked.is_due(now));
            let ends = taken(&mut parked, now);
            assert_eq!((parked.due_at(), parked.landed(ends, &held(&[1, 2]), now)), (None, 0));
            let next = parked.due_at().unwrap();
            pauses.push((next - now).as_millis());
            now = next;
        }
        assert_eq!(pauses, [20, 40, 80, 160, 250, 250]);
        let ends = taken(&mut parked, now);
        parked.landed(ends, &held(&[2]), now);
        assert_eq!(parked.due_at(), Some(now));
    }

    #[test]
    fn who_waits_for_another_row_gets_half_of_the_time_and_lets_the_others_pass() {
        let timeout: Error = StoreError::Timeout { code: "55P03".to_owned() }.into();
        let began = Instant::now();
        let now = began + Duration::from_secs(5);
        let mut parked = Parked::default();
        parked.park(vec![due(1, 0), due(2, 0)], began);
        let ends = taken(&mut parked, began);
        parked.take_back(ends, Some(&timeout), began, now);
        assert_eq!(parked.due_at(), Some(now + Duration::from_secs(5)));
        let ends = taken(&mut parked, now);
        assert_eq!(ends.len(), 1);
        parked.take_back(ends, Some(&timeout), now, now);
        let ends = taken(&mut parked, now);
        assert_eq!(ends[0].task(), TaskId(2));
        assert_eq!(parked.landed(ends, &held(&[]), now), 1);
        assert_eq!(parked.tasks(), [TaskId(1)]);
    }

    #[test]
    fn so_many_tasks_take_up_no_room() {
        let mut parked = Parked::default();
        let tasks = 0..i64::try_from(MOST_TASKS).unwrap();
        parked.park(tasks.map(|task| due(task, 0)).collect(), Instant::now());
        assert_eq!(parked.room(), 0);
        parked.push(due(1, 1), Instant::now());
        assert_eq!(parked.room(), 0);
        parked.push(due(-1, 0), Instant::now());
        assert_eq!(parked.room(), 1);
    }
}
