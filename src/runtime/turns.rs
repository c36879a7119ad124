//! Which round with the database is started next.

/// Lanes of ends, at most one round of each in flight.
pub(super) const LANES: usize = 2;

/// Stands for the ends that wait until nobody holds their tasks, where a lane is named.
pub(super) const PARKED: usize = LANES;

/// A round that is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Of claims that could not be delivered when they were made.
    Delivery,
    Claim,
    /// Of the ends of a lane, or of those that are [`PARKED`].
    Ends(usize),
}

/// The rounds that could be started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DueRounds {
    pub(super) delivery: bool,
    pub(super) claim: bool,
    pub(super) ends: [bool; LANES + 1],
}

/// Deliveries, claims and ends take turns, and so do the lanes: none waits for the others to run dry, also
/// where one round is in flight at a time and some of them fail for ever.
#[derive(Debug, Default)]
pub(super) struct Turns {
    delivery_last: bool,
    ends_first: bool,
    next_lane: usize,
}

impl Turns {
    /// Whose turn it is; `None` when nothing is due.
    pub(super) fn next(&mut self, due: &DueRounds) -> Option<Turn> {
        let delivery = due.delivery.then_some(Turn::Delivery);
        let claim = due.claim.then_some(Turn::Claim);
        let (early, late) = if self.delivery_last { (None, delivery) } else { (delivery, None) };
        let work =
            if self.ends_first { self.ends(due).or(claim) } else { claim.or(self.ends(due)) };
        let turn = early.or(work).or(late)?;
        self.delivery_last = turn == Turn::Delivery;
        match turn {
            Turn::Delivery => {}
            Turn::Claim => self.ends_first = true,
            Turn::Ends(lane) => {
                (self.ends_first, self.next_lane) = (false, (lane + 1) % (LANES + 1))
            }
        }
        Some(turn)
    }

    fn ends(&self, due: &DueRounds) -> Option<Turn> {
        let mut lanes = (0..=LANES).map(|after| (self.next_lane + after) % (LANES + 1));
        lanes.find(|lane| due.ends[*lane]).map(Turn::Ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: DueRounds = DueRounds { delivery: true, claim: true, ends: [true; LANES + 1] };

    fn turns(due: &DueRounds, count: usize) -> Vec<Turn> {
        let mut turns = Turns::default();
        (0..count).filter_map(|_| turns.next(due)).collect()
    }

    #[test]
    fn everything_that_is_due_has_its_turn() {
        use Turn::{Claim, Delivery, Ends};
        let work = [Claim, Ends(0), Claim, Ends(1), Claim, Ends(PARKED), Claim];
        let expected: Vec<_> = work.into_iter().flat_map(|turn| [Delivery, turn]).collect();
        assert_eq!(turns(&ALL, 14), expected);
    }

    #[test]
    fn claims_and_lanes_take_turns() {
        use Turn::{Claim, Ends};
        let due = DueRounds { delivery: false, ..ALL };
        let due = DueRounds { ends: [true, true, false], ..due };
        assert_eq!(turns(&due, 6), [Claim, Ends(0), Claim, Ends(1), Claim, Ends(0)]);
        let due = DueRounds { claim: false, ..due };
        assert_eq!(turns(&due, 3), [Ends(0), Ends(1), Ends(0)]);
    }

    #[test]
    fn what_alone_is_due_is_started_again_and_again() {
        for (due, turn) in [
            (DueRounds { delivery: true, ..DueRounds::default() }, Turn::Delivery),
            (DueRounds { claim: true, ..DueRounds::default() }, Turn::Claim),
            (DueRounds { ends: [false, true, false], ..DueRounds::default() }, Turn::Ends(1)),
        ] {
            assert_eq!(turns(&due, 3), [turn; 3]);
        }
        assert_eq!(turns(&DueRounds::default(), 3), []);
    }
}
