//! When a heart beats: every interval while its worker holds claims and for some time after, else in
//! turn with the other workers that rest. No clock: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::decision::Timestamp;
use crate::ids::WorkerId;

/// Time between two heartbeats of a whole fleet that rests: less than one query a second.
const TURN: Duration = Duration::from_millis(1_100);

/// Intervals after the last claim in which a worker does not rest, so that one which comes and goes
/// between work and rest pays no heartbeats for it.
const LIVELY_INTERVALS: u32 = 5;

/// Rounds of turns for which a worker that rests may be silent.
const SILENT_ROUNDS: u32 = 3;

/// The longest pause after a heartbeat that failed.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What is seen of a worker from its heart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signs {
    /// Its current registration.
    pub(super) worker: WorkerId,
    /// It holds claims.
    pub(super) holds: bool,
    /// Claims made since the start.
    pub(super) claimed: u64,
}

/// Where a worker stands in a fleet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Workers, itself included.
    pub(super) workers: u32,
    /// Those that registered earlier.
    pub(super) before: u32,
    /// The time of the database, by which all take turns.
    pub(super) now: Timestamp,
}

/// Keeps when the next heartbeat is due.
#[derive(Debug)]
pub(super) struct Rhythm {
    interval: Duration,
    seen: Signs,
    /// When it was last seen that the worker had claims.
    lively: Option<Instant>,
    /// It rested at its last heartbeat.
    rested: bool,
    next: Instant,
}

impl Rhythm {
    /// The first heartbeat is due at once. A worker rests until it claims.
    pub(super) fn new(interval: Duration, seen: Signs, now: Instant) -> Self {
        Self { interval, seen, lively: None, rested: false, next: now }
    }

    /// Takes note of how the worker is. One that got work, or another registration, since it rested
    /// is due at once.
    pub(super) fn see(&mut self, signs: Signs, now: Instant) {
        if signs.holds || signs.claimed != self.seen.claimed {
            self.lively = Some(now);
        }
        if signs.worker != self.seen.worker || (self.rested && !self.rests(now)) {
            self.next = now;
            self.rested = false;
        }
        self.seen = signs;
    }

    pub(super) fn rests(&self, now: Instant) -> bool {
        self.lively.is_none_or(|at| now.duration_since(at) > self.interval * LIVELY_INTERVALS)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// When to look at the worker again: while it rests, no later than after an interval.
    pub(super) fn look_at(&self, now: Instant) -> Instant {
        self.next.min(now + self.interval)
    }

    /// A heartbeat that began then said whether the worker rests, and succeeded.
    pub(super) fn beaten(&mut self, begun: Instant, rested: bool, place: Place) {
        self.rested = rested;
        self.next = begun + if rested { self.until_turn(place) } else { self.interval };
    }

    /// A heartbeat failed, or the connection for it is lost: the next one is due soon.
    pub(super) fn failed(&mut self, now: Instant) {
        self.next = now + (self.interval / 4).min(LONGEST_PAUSE);
    }

    /// The next heartbeat is to confirm what the last one saw.
    pub(super) fn look_twice(&mut self, begun: Instant) {
        self.next = self.next.min(begun + self.interval / 2);
    }

    /// Time to the worker's turn, half a round or more from now. Where all know the same fleet, their
    /// turns are evenly spread.
    fn until_turn(&self, Place { workers, before, now }: Place) -> Duration {
        let workers = workers.max(1);
        let round = self.interval.max(TURN * workers);
        let turn = round * before / workers;
        let round_us = round.as_micros();
        let since_epoch = u128::try_from(now.timestamp_micros()).unwrap_or(0);
        let wait_us = (turn.as_micros() + round_us - since_epoch % round_us) % round_us;
        let wait = Duration::from_micros(u64::try_from(wait_us).unwrap_or(0));
        if wait < round / 2 { wait + round } else { wait }
    }
}

/// Milliseconds for each worker of the fleet by which one that rests may be silent for longer.
pub(super) fn resting_ms() -> u32 {
    u32::try_from((TURN * SILENT_ROUNDS).as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(2);
    const IDLE: Signs = Signs { worker: WorkerId(1), holds: false, claimed: 0 };

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn place(workers: u32, before: u32, now_ms: i64) -> Place {
        Place { workers, before, now: Timestamp::from_timestamp_millis(now_ms).unwrap() }
    }

    #[test]
    fn a_resting_fleet_makes_less_than_one_heartbeat_a_second_evenly_spread() {
        for workers in [1, 2, 3, 8, 100] {
            let start = Instant::now();
            let (mut beats, run_ms) = (Vec::new(), 1_000_000_i64);
            for before in 0..workers {
                let mut rhythm = Rhythm::new(INTERVAL, IDLE, start);
                let mut now = start;
                loop {
                    let ms = i64::try_from((now - start).as_millis()).unwrap();
                    if ms > run_ms {
                        break;
                    }
                    beats.push(ms);
                    rhythm.beaten(now, true, place(workers, before, ms));
                    now = rhythm.next;
                }
            }
            beats.sort_unstable();
            let steady: Vec<_> = beats.into_iter().filter(|ms| *ms > 300_000).collect();
            let longest = steady.windows(2).map(|two| two[1] - two[0]).max().unwrap();
            assert!(steady.len() <= 700, "{workers} workers: {} beats in 700 s", steady.len());
            assert!(longest <= 2_210, "{workers} workers: nobody beat for {longest} ms");
        }
    }

    #[test]
    fn a_turn_is_half_a_round_to_one_and_a_half_away() {
        let rhythm = Rhythm::new(INTERVAL, IDLE, Instant::now());
        for now_ms in 0..20_000 {
            let wait = rhythm.until_turn(place(5, 3, now_ms));
            assert!((seconds(2.75)..seconds(8.25)).contains(&wait), "{wait:?} at {now_ms}");
        }
    }

    #[test]
    fn a_worker_that_gets_work_beats_at_its_next_look_and_every_interval_from_then_on() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(INTERVAL, IDLE, start);
        rhythm.beaten(start, true, place(100, 0, 0));
        let look = rhythm.look_at(start);
        assert_eq!(look, start + INTERVAL);
        assert!(!rhythm.is_due(look));
        rhythm.see(Signs { holds: true, ..IDLE }, look);
        assert!(rhythm.is_due(look) && !rhythm.rests(look));
        rhythm.beaten(look, false, place(100, 0, 0));
        assert_eq!(rhythm.look_at(look), look + INTERVAL);
    }

    #[test]
    fn a_worker_does_not_rest_soon_after_a_claim_that_came_and_went_between_two_looks() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(INTERVAL, IDLE, start);
        assert!(rhythm.rests(start));
        let worked = Signs { claimed: 1, ..IDLE };
        rhythm.see(worked, start);
        rhythm.see(worked, start + seconds(9.9));
        assert!(!rhythm.rests(start + seconds(9.9)));
        assert!(rhythm.rests(start + seconds(10.1)));
    }

    #[test]
    fn another_registration_beats_at_once() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(INTERVAL, IDLE, start);
        rhythm.beaten(start, true, place(100, 0, 0));
        rhythm.see(Signs { worker: WorkerId(2), ..IDLE }, start);
        assert!(rhythm.is_due(start));
    }

    #[test]
    fn a_failed_heartbeat_is_tried_again_soon() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(INTERVAL, IDLE, start);
        rhythm.failed(start);
        assert_eq!(rhythm.look_at(start), start + seconds(0.5));
    }
}
