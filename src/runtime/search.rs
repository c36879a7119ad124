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

/// A claim looks from the start: a transaction that ends late may have put a step in front of those that
/// were claimed long ago. While a long transaction anywhere in the database keeps Postgres from removing
/// the rows of old claims, that gets slow, since all of them are passed over again. Then most claims go on
/// after the last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    after: Place,
    from_start_at: Option<Instant>,
}

impl Search {
    pub(super) fn new() -> Self {
        Self { after: Place::START, from_start_at: None }
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
            Self::new()
        } else if after == Place::START {
            Self { after: next, from_start_at: Some(now + (took * SHARE).min(LONGEST)) }
        } else {
            Self { after: next, ..self }
        }
    }

    /// Steps up to `last` are left to others until then; what stands behind them need not wait.
    #[must_use]
    pub(super) fn pass(last: Place, until: Instant) -> Self {
        Self { after: last, from_start_at: Some(until) }
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
        let search = Search::pass(place(7), now + Duration::from_millis(2));
        assert_eq!(search.after(now), place(7));
        assert_eq!(search.after(now + Duration::from_millis(2)), Place::START);
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
