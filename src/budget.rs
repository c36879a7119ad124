//! What a task may cost: attempts of all its steps, and what their handlers spend.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A cost, in millionths: sums are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(u64);

/// Millionths of one.
const MILLION: f64 = 1_000_000.0;

impl Cost {
    /// The largest cost: a thousand millions.
    pub const MOST: Self = Self(1_000_000_000_000_000);

    /// What [`Cost::from_number`] takes, in words.
    pub(crate) const ALLOWED: &'static str = "0, or a number from 0.000001 to 1000000000";

    /// A number of at least a millionth and at most [`Cost::MOST`], rounded to millionths; or 0.
    #[must_use]
    pub fn from_number(number: f64) -> Option<Self> {
        let is_kept = number == 0.0 || number >= Self(1).number();
        let allowed = is_kept && number <= Self::MOST.number();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within the limits"
        )]
        allowed.then(|| Self((number * MILLION).round() as u64))
    }

    /// The cost as a number.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "no cost has more digits than a number can tell"
    )]
    pub fn number(self) -> f64 {
        self.0 as f64 / MILLION
    }

    /// In millionths.
    #[must_use]
    pub fn millionths(self) -> u64 {
        self.0
    }

    /// So many millionths.
    #[must_use]
    pub fn from_millionths(millionths: u64) -> Self {
        Self(millionths)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// What a task may use up at most. Nothing for as much as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Attempts of all its steps together.
    pub attempts: Option<NonZeroU32>,
    /// What all its attempts spend together.
    pub cost: Option<Cost>,
}

impl Limits {
    /// There is no limit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, and where they say nothing those of `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self { attempts: self.attempts.or(others.attempts), cost: self.cost.or(others.cost) }
    }

    /// As history keeps it.
    #[must_use]
    pub fn detail(self) -> serde_json::Value {
        serde_json::json!({ "attempts": self.attempts, "cost": self.cost.map(Cost::number) })
    }
}

/// A limit that a task has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// That of attempts.
    Attempts,
    /// That of cost.
    Cost,
}

impl Constraint {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Cost => "cost",
        }
    }
}

/// The budget of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// What it may use up.
    pub limits: Limits,
    /// Attempts that have begun.
    pub attempts: u32,
    /// What attempts that have ended have spent.
    pub spent: Cost,
    /// What attempts that run have reserved.
    pub reserved: Cost,
    /// The limit that kept a step from being started.
    pub exhausted: Option<Constraint>,
}

/// How long a step is put off at most whose reserve others hold that run: what they free when they end is offered to it.
pub(crate) const PUT_OFF: Duration = Duration::from_secs(10);

/// Whether a step may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Start,
    /// Perhaps when others have ended that run.
    Later,
    Never(Constraint),
}

impl Budget {
    /// Whether a step may start that reserves so much.
    pub(crate) fn verdict(&self, reserve: Cost) -> Verdict {
        if self.limits.attempts.is_some_and(|most| self.attempts >= most.get()) {
            return Verdict::Never(Constraint::Attempts);
        }
        let Some(most) = self.limits.cost else { return Verdict::Start };
        if self.spent >= most || self.spent.plus(reserve) > most {
            Verdict::Never(Constraint::Cost)
        } else if self.spent.plus(self.reserved).plus(reserve) > most {
            Verdict::Later
        } else {
            Verdict::Start
        }
    }

    /// What of it keeps a step from starting that reserves so much, in words.
    pub(crate) fn used_up(&self, constraint: Constraint, reserve: Cost) -> String {
        match constraint {
            Constraint::Attempts => {
                let most = self.limits.attempts.map_or(0, NonZeroU32::get);
                format!("{} of {most} attempts are used up", self.attempts)
            }
            Constraint::Cost => {
                let most = self.limits.cost.unwrap_or_default().number();
                let reserves = match reserve {
                    Cost(0) => String::new(),
                    Cost(_) => format!(", and the step reserves {}", reserve.number()),
                };
                format!("{} of a cost of {most} is spent{reserves}", self.spent.number())
            }
        }
    }

    /// As history keeps it, JSON text.
    #[must_use]
    pub fn detail(&self) -> serde_json::Value {
        serde_json::json!({
            "budget": self.exhausted.map(Constraint::as_str),
            "attempts": self.attempts, "max_attempts": self.limits.attempts,
            "spent": self.spent.number(), "reserved": self.reserved.number(),
            "max_cost": self.limits.cost.map(Cost::number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(number: f64) -> Cost {
        Cost::from_number(number).unwrap()
    }

    fn budget(attempts: Option<u32>, most: Option<f64>) -> Budget {
        let attempts = attempts.and_then(NonZeroU32::new);
        Budget { limits: Limits { attempts, cost: most.map(cost) }, ..Budget::default() }
    }

    #[test]
    fn costs_add_up_exactly() {
        let tenths = (0..3).fold(Cost::default(), |sum, _| sum.plus(cost(0.1)));
        assert_eq!((tenths, tenths.number()), (cost(0.3), 0.3));
        assert_eq!(cost(1e9), Cost::MOST);
        assert_eq!((cost(0.000_001), cost(0.0)), (Cost(1), Cost(0)));
        for wrong in [-0.1, f64::NAN, f64::INFINITY, 1e9 + 1.0, 1e12, 9e-7, 1e-9] {
            assert_eq!(Cost::from_number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_step_starts_while_attempts_are_left() {
        let mut two = budget(Some(2), None);
        assert_eq!(two.verdict(Cost::MOST), Verdict::Start);
        two.attempts = 2;
        assert_eq!(two.verdict(Cost::default()), Verdict::Never(Constraint::Attempts));
    }

    #[test]
    fn a_step_starts_while_what_it_reserves_is_left() {
        let mut one = budget(None, Some(1.0));
        (one.spent, one.reserved) = (cost(0.4), cost(0.3));
        assert_eq!(one.verdict(cost(0.3)), Verdict::Start);
        assert_eq!(one.verdict(cost(0.300_001)), Verdict::Later);
        assert_eq!(one.verdict(cost(0.600_001)), Verdict::Never(Constraint::Cost));
        one.spent = cost(1.0);
        assert_eq!(one.verdict(Cost::default()), Verdict::Never(Constraint::Cost));
    }
}
