//! How many claims a worker holds: what its threads run, and what they will run next.

use std::time::Duration;

use tokio::time::Instant;

/// Work held in advance, in rounds with the database, in time: so many that what Postgres does at once is
/// worth its own costs, also where a fleet makes it slow.
const ROUNDS_AHEAD: u32 = 10;

/// Work held in advance at least, in time.
const LEAST_AHEAD: Duration = Duration::from_millis(100);

/// Work held in advance at most, in time: another worker is not kept waiting for it.
const LONGEST_AHEAD: Duration = Duration::from_millis(300);

/// Time over which the rate is averaged. A burst of n ends adds n times the time held in advance over this
/// to what is held.
const AVERAGED: Duration = Duration::from_millis(10);

/// Without a handler that ends, the rate falls to a third within this time: who was fast before need not be
/// fast with the next steps.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// Claims held in advance at most: three of the batches in which Postgres is at its best, two that are being claimed and one that
/// threads execute.
const MOST_AHEAD: f64 = 1_500.0;

/// Handlers over which the mean of their times goes, the newest weighted most.
const REMEMBERED: f64 = 50.0;

/// Weight of the newest round in the average of the successors of an end.
const NEWEST: f64 = 0.2;

/// The rate at which handlers end and the time that one takes, as moving averages, and how many steps get
/// ready by an end.
#[derive(Debug)]
pub(super) struct Pace {
    threads: f64,
    /// Mean time of a handler, in seconds.
    mean: f64,
    /// Handlers that it is the mean of, up to [`REMEMBERED`].
    seen: f64,
    per_second: f64,
    seen_at: Instant,
    successors: f64,
    /// Mean time of a round.
    round: Duration,
}

impl Pace {
    pub(super) fn new(threads: u32, now: Instant) -> Self {
        Self {
            threads: f64::from(threads),
            mean: 0.0,
            seen: 0.0,
            per_second: 0.0,
            seen_at: now,
            successors: 1.0,
            round: Duration::ZERO,
        }
    }

    /// A handler took so long.
    pub(super) fn executed(&mut self, execution: Duration) {
        self.seen = (self.seen + 1.0).min(REMEMBERED);
        self.mean += (execution.as_secs_f64() - self.mean) / self.seen;
    }

    /// A round that began then wrote so many ends of handlers, by which so many steps got ready.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn saw(&mut self, ended: usize, successors: usize, began: Instant, now: Instant) {
        let elapsed = now.saturating_duration_since(self.seen_at).as_secs_f64().max(1e-6);
        let weight = 1.0 - (-elapsed / AVERAGED.as_secs_f64()).exp();
        self.per_second += weight * (ended as f64 / elapsed - self.per_second);
        self.seen_at = now;
        let each = successors as f64 / ended.max(1) as f64;
        self.successors += NEWEST * (each - self.successors);
        let took = now.saturating_duration_since(began);
        self.round = self.round.mul_f64(1.0 - NEWEST) + took.mul_f64(NEWEST);
    }

    /// How many steps will get ready by so many ends.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub(super) fn successors(&self, ends: usize) -> usize {
        (self.successors * ends as f64).ceil() as usize
    }

    /// Claims to hold beyond those that threads run: what ends within [`ROUNDS_AHEAD`] at the rate of late, and
    /// no more than handlers that take as long as the last ones could execute in that time.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn ahead(&self, now: Instant) -> usize {
        let since = now.saturating_duration_since(self.seen_at).as_secs_f64();
        let lately = self.per_second * (-since / FORGOTTEN.as_secs_f64()).exp();
        let fastest = self.threads / self.mean.max(1e-6);
        let time = (self.round * ROUNDS_AHEAD).clamp(LEAST_AHEAD, LONGEST_AHEAD);
        (lately.min(fastest) * time.as_secs_f64()).min(MOST_AHEAD) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round that took no time.
    fn saw(pace: &mut Pace, ended: usize, successors: usize, now: Instant) {
        pace.saw(ended, successors, now, now);
    }

    #[test]
    fn slow_handlers_hold_nothing_in_advance() {
        let start = Instant::now();
        let mut pace = Pace::new(5, start);
        for second in 1..10 {
            saw(&mut pace, 5, 5, start + Duration::from_secs(second));
        }
        assert_eq!(pace.ahead(start + Duration::from_secs(9)), 0);
    }

    #[test]
    fn fast_handlers_hold_a_tenth_of_a_second_up_to_the_most() {
        let start = Instant::now();
        let mut pace = Pace::new(5, start);
        for milli in 1..2_000 {
            saw(&mut pace, 2, 2, start + Duration::from_millis(milli));
        }
        let ahead = pace.ahead(start + Duration::from_millis(1_999));
        assert!((190..=200).contains(&ahead), "{ahead}");
        for milli in 2_000..4_000 {
            saw(&mut pace, 100, 100, start + Duration::from_millis(milli));
        }
        assert_eq!(pace.ahead(start + Duration::from_millis(3_999)), 1_500);
    }

    #[test]
    fn slow_rounds_hold_more_in_advance_up_to_the_longest_time() {
        let start = Instant::now();
        for (round, held) in [(5, 190..=200), (20, 380..=400), (900, 570..=600)] {
            let mut pace = Pace::new(5, start);
            for milli in 1..2_000 {
                let now = start + Duration::from_millis(milli);
                pace.saw(2, 2, now.checked_sub(Duration::from_millis(round)).unwrap(), now);
            }
            let ahead = pace.ahead(start + Duration::from_millis(1_999));
            assert!(held.contains(&ahead), "rounds of {round} ms: {ahead}");
        }
    }

    #[test]
    fn what_is_held_grows_with_every_round_as_long_as_threads_keep_up() {
        let start = Instant::now();
        let mut pace = Pace::new(5, start);
        let mut now = start + Duration::from_secs(1);
        let mut held = vec![5];
        for _ in 0..5 {
            saw(&mut pace, held[held.len() - 1], 0, now);
            held.push(5 + pace.ahead(now));
            now += Duration::from_millis(2);
        }
        assert_eq!(held[1], 5, "{held:?}");
        assert!(held[1..4].windows(2).all(|held| held[1] > 9 * held[0]), "{held:?}");
        assert_eq!(held[4..], [1_505, 1_505]);
    }

    #[test]
    fn slow_handlers_that_end_together_hold_nothing_in_advance() {
        let start = Instant::now();
        let mut pace = Pace::new(5, start);
        (0..5).for_each(|_| pace.executed(Duration::from_secs(10)));
        saw(&mut pace, 1, 1, start + Duration::from_secs(10));
        let now = start + Duration::from_millis(10_001);
        saw(&mut pace, 4, 4, now);
        assert_eq!(pace.ahead(now), 0);
    }

    #[test]
    fn a_pause_lets_the_pace_fall() {
        let start = Instant::now();
        let mut pace = Pace::new(5, start);
        for milli in 1..1_000 {
            saw(&mut pace, 20, 20, start + Duration::from_millis(milli));
        }
        assert_eq!(pace.ahead(start + Duration::from_secs(60)), 0);
        saw(&mut pace, 1, 1, start + Duration::from_secs(60));
        assert_eq!(pace.ahead(start + Duration::from_secs(60)), 0);
    }
}
