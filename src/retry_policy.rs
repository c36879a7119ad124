//! How often and how long after a failure a step is tried again: plain data. Delays are computed
//! from it elsewhere.

use std::time::Duration;

use serde::Serialize;

/// How the delay grows from one attempt to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    /// The delay doubles with every attempt.
    #[default]
    Exponential,
    /// The delay grows by the base with every attempt.
    Linear,
    /// The delay is always the base.
    Fixed,
}

impl Backoff {
    /// Every kind, in the order in which messages list them.
    pub const ALL: [Backoff; 3] = [Backoff::Exponential, Backoff::Linear, Backoff::Fixed];

    /// The word used in templates and in the database.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::retry_policy::Backoff;
    /// assert_eq!(Backoff::Linear.as_str(), "linear");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Backoff::Exponential => "exponential",
            Backoff::Linear => "linear",
            Backoff::Fixed => "fixed",
        }
    }

    /// The kind that `word` names, if any.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::retry_policy::Backoff;
    /// assert_eq!(Backoff::from_word("fixed"), Some(Backoff::Fixed));
    /// assert_eq!(Backoff::from_word("Fixed"), None);
    /// ```
    #[must_use]
    pub fn from_word(word: &str) -> Option<Backoff> {
        Backoff::ALL.into_iter().find(|kind| kind.as_str() == word)
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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Whether a failed attempt may be followed by another. Default true.
    pub retryable: bool,
    /// Attempts in all, the first included; 0 counts as 1. Default 3.
    pub limit: u32,
    /// How the delay grows. Default exponential.
    pub backoff: Backoff,
    /// Delay after the first failed attempt. Default 1 s.
    pub base: Duration,
    /// The delay never grows beyond this. Default 300 s.
    pub cap: Duration,
    /// Share of the delay that chance may take off or add, in `0.0..=1.0`. Default 0.1.
    pub jitter: f64,
}

impl RetryPolicy {
    /// How many attempts there may be in all; at least 1.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::retry_policy::RetryPolicy;
    ///
    /// let policy = RetryPolicy::default();
    /// assert_eq!(policy.max_attempts(), 3);
    /// assert_eq!(RetryPolicy { limit: 0, ..policy }.max_attempts(), 1);
    /// assert_eq!(RetryPolicy { retryable: false, ..policy }.max_attempts(), 1);
    /// ```
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        if self.retryable && self.limit > 1 { self.limit } else { 1 }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            retryable: true,
            limit: 3,
            backoff: Backoff::Exponential,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(300),
            jitter: 0.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, RetryPolicy};

    #[test]
    fn every_backoff_is_found_by_its_word() {
        for kind in Backoff::ALL {
            assert_eq!(Backoff::from_word(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn the_word_is_the_serialized_form() {
        for kind in Backoff::ALL {
            let text = serde_json::to_string(&kind).expect("a word");
            assert_eq!(text, format!("\"{}\"", kind.as_str()));
        }
    }

    #[test]
    fn a_step_gets_at_least_one_attempt() {
        let policy = RetryPolicy::default();
        for (retryable, limit, attempts) in
            [(true, 0, 1), (true, 1, 1), (true, 7, 7), (false, 7, 1)]
        {
            let policy = RetryPolicy { retryable, limit, ..policy };
            assert_eq!(policy.max_attempts(), attempts, "{policy:?}");
        }
    }
}
