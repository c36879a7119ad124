//! How often and how long after a failure a step is tried again: plain data. Delays are computed
//! from it elsewhere.

use std::sync::Arc;
use std::time::Duration;

/// How the delay grows from one attempt to the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Backoff {
    /// The delay doubles with every attempt.
    #[default]
    Exponential,
    /// The delay grows by the base with every attempt.
    Linear,
    /// The delay is always the base.
    Fixed,
    /// The delay is the sum of the two before it: 1, 1, 2, 3, 5 times the base.
    Fibonacci,
    /// The delays one after another, of which the last repeats. At least one.
    List(Arc<[Duration]>),
}

impl Backoff {
    /// The words of all kinds, in the order in which messages list them.
    pub const WORDS: [&str; 5] = ["exponential", "linear", "fixed", "fibonacci", "list"];

    /// The word used in templates and in the database.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::retry_policy::Backoff;
    /// assert_eq!(Backoff::Linear.as_str(), "linear");
    /// ```
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Backoff::Exponential => "exponential",
            Backoff::Linear => "linear",
            Backoff::Fixed => "fixed",
            Backoff::Fibonacci => "fibonacci",
            Backoff::List(_) => "list",
        }
    }
}

/// When a failed step is tried again, and how often.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tasker_core::retry_policy::{Backoff, RetryPolicy};
///
/// let policy = RetryPolicy { limit: 5, backoff: Backoff::Fixed, ..RetryPolicy::default() };
/// assert_eq!(policy.max_attempts(), 5);
/// assert_eq!(policy.base, Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Whether a failed attempt may be followed by another. Default true.
    pub retryable: bool,
    /// Attempts in all, the first included; 0 counts as 1. Default 3.
    pub limit: u32,
    /// Workers that may die while they execute the step, before it counts as the cause. Default 3.
    pub crash_limit: u32,
    /// How the delay grows. Default exponential.
    pub backoff: Backoff,
    /// Delay after the first failed attempt, unless the backoff is a list. Default 1 s.
    pub base: Duration,
    /// The delay never grows beyond this. Default 300 s.
    pub cap: Duration,
    /// Share of the delay that chance may take off or add, in `0.0..=1.0`. Default 0.1.
    pub jitter: f64,
}

impl RetryPolicy {
    /// What goes for a step of which nothing else is known.
    pub const DEFAULT: RetryPolicy = RetryPolicy {
        retryable: true,
        limit: 3,
        crash_limit: 3,
        backoff: Backoff::Exponential,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(300),
        jitter: 0.1,
    };

    /// How many attempts there may be in all; at least 1.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::retry_policy::RetryPolicy;
    ///
    /// let policy = RetryPolicy::default();
    /// assert_eq!(policy.max_attempts(), 3);
    /// assert_eq!(RetryPolicy { limit: 0, ..policy.clone() }.max_attempts(), 1);
    /// assert_eq!(RetryPolicy { retryable: false, ..policy }.max_attempts(), 1);
    /// ```
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        if self.retryable && self.limit > 1 { self.limit } else { 1 }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_word() {
        let kinds = [
            Backoff::Exponential,
            Backoff::Linear,
            Backoff::Fixed,
            Backoff::Fibonacci,
            Backoff::List([Duration::ZERO].into()),
        ];
        assert_eq!(kinds.each_ref().map(Backoff::as_str), Backoff::WORDS);
    }

    #[test]
    fn a_step_gets_at_least_one_attempt() {
        for (retryable, limit, attempts) in
            [(true, 0, 1), (true, 1, 1), (true, 7, 7), (false, 7, 1)]
        {
            let policy = RetryPolicy { retryable, limit, ..RetryPolicy::default() };
            assert_eq!(policy.max_attempts(), attempts, "{policy:?}");
        }
    }
}
