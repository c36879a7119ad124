//! Where in the order of the ready steps the next claim looks.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::Place;

/// A search from the start that is over sooner has passed over little.
const SHORT: Duration = Duration::from_millis(5);

/// Longer searches from the start take this part of the time at most.
const SHARE: u32 = 20;

/// The longest time between two searches from the start.
const LONGEST: Duration = Duration::from_secs(2);

/// How long steps are left to others whose tasks somebody holds: most are free again soon.
const SHORTEST_PASS: Duration = Duration::from_millis(2);

/// The same, doubled up to this as long as such steps stand at the start: who goes on behind them, one claim after
/// another, must get past all of them.
const LONGEST_PASS: Duration = Duration::from_millis(500);

/// A claim looks from the start: a transaction that ends late may have put a step in front of those that
/// were claimed long ago. While a long transaction anywhere in the database keeps Postgres from removing
/// the rows of old claims, that gets slow, since all of them are passed over again. Then most claims go on
/// after the last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    after: Place,
    from_start_at: Option<Instant>,
    /// How long steps were left to others the last time; zero when none were.
    passing: Duration,
}

impl Search {
    pub(super) fn new() -> Self {
        Self { after: Place::START, from_start_at: None, passing: Duration::ZERO }
    }

    /// After which place to look.
    pub(super) fn after(&self, now: Instant) -> Place {
        if self.from_start_at.is_none_or(|at| at <= now) { Place::START } else { self.after }
    }

    /// Steps up to `last` were found after `after` within `took`.
    #[must_use]
    pub(super) fn found(
        self,
        after: Place,
        last: Option<Place>,
        took: Duration,
        now: Instant,
    ) -> Self {
        let next = last.unwrap_or(after);
        if after == Place::START && took < SHORT {
            Self { passing: self.passing, ..Self::new() }
        } else if after == Place::START {
            Self { after: next, from_start_at: Some(now + (took * SHARE).min(LONGEST)), ..self }
        } else {
            Self { after: next, ..self }
        }
    }

    /// Steps up to `last` are left to others for a while; what stands behind them need not wait.
    #[must_use]
    pub(super) fn pass(self, last: Place, now: Instant) -> Self {
        let passing = if self.is_at_start() { self.passing * 2 } else { self.passing };
        let passing = passing.clamp(SHORTEST_PASS, LONGEST_PASS);
        let at = self.from_start_at.max(Some(now + passing));
        Self { after: last, from_start_at: at, passing }
    }

    /// No step was left to others.
    #[must_use]
    pub(super) fn passed_none(self) -> Self {
        if self.is_at_start() { Self::new() } else { self }
    }

    fn is_at_start(&self) -> bool {
        self.after == Place::START
    }

    /// When to look from the start again.
    pub(super) fn next_from_start(&self) -> Option<Instant> {
        self.from_start_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StepId;

    fn place(step: i64) -> Place {
        Place { step: StepId(step), ..Place::START }
    }

    #[test]
    fn looks_from_the_start_for_a_twentieth_of_the_time() {
        let now = Instant::now();
        let search = Search::new();
        assert_eq!(search.after(now), Place::START);
        let search = search.found(Place::START, Some(place(7)), Duration::from_millis(10), now);
        assert_eq!(search.after(now), place(7));
        assert_eq!(search.after(now + Duration::from_millis(200)), Place::START);
    }

    #[test]
    fn looks_from_the_start_as_long_as_that_is_short() {
        let now = Instant::now();
        let search = Search::new().found(Place::START, Some(place(7)), Duration::from_secs(1), now);
        let later = now + LONGEST;
        let search = search.found(Place::START, Some(place(9)), SHORT / 2, later);
        assert_eq!((search.after(later), search.next_from_start()), (Place::START, None));
    }

    #[test]
    fn passes_over_what_others_hold() {
        let now = Instant::now();
        let search = Search::new().pass(place(7), now);
        assert_eq!(search.after(now), place(7));
        assert_eq!(search.after(now + SHORTEST_PASS), Place::START);
    }

    #[test]
    fn passes_for_longer_as_long_as_others_hold_what_stands_at_the_start() {
        let at_start = |search: Search, now| search.found(Place::START, None, Duration::ZERO, now);
        let mut now = Instant::now();
        let mut search = Search::new();
        let mut passes = Vec::new();
        for _ in 0..10 {
            search = at_start(search, now).pass(place(7), now);
            // One claim after another gets past the others.
            search = search.found(place(7), Some(place(8)), Duration::ZERO, now);
            search = search.pass(place(8), now);
            let next = search.next_from_start().unwrap();
            passes.push(u64::try_from((next - now).as_millis()).unwrap());
            now = next;
            assert_eq!(search.passed_none().after(now - SHORTEST_PASS), place(8));
        }
        assert_eq!(passes, [2, 4, 8, 16, 32, 64, 128, 256, 500, 500]);
        search = at_start(search, now).passed_none();
        assert_eq!(search.pass(place(9), now).next_from_start(), Some(now + SHORTEST_PASS));
    }

    #[test]
    fn goes_on_among_what_is_less_urgent_until_it_looks_from_the_start() {
        let (begun, took) = (Instant::now(), Duration::from_millis(10));
        let (urgent, usual) =
            (Place { priority: -1, ..place(9) }, Place { priority: 0, ..place(2) });
        assert!(Place::START < urgent && urgent < usual);
        let search = Search::new().found(Place::START, Some(usual), took, begun);
        assert_eq!(search.after(begun), usual);
        assert_eq!(search.after(begun + took * SHARE), Place::START);
    }

    #[test]
    fn goes_on_after_the_last_step_and_stays_there_when_nothing_was_found() {
        let now = Instant::now();
        let search = Search::new().found(Place::START, Some(place(7)), Duration::from_secs(1), now);
        let search = search.found(place(7), Some(place(9)), Duration::from_secs(1), now);
        assert_eq!(search.after(now), place(9));
        let search = search.found(place(9), None, Duration::from_secs(1), now);
        assert_eq!(search.after(now), place(9));
        assert_eq!(search.next_from_start(), Some(now + Duration::from_secs(2)));
    }
}
