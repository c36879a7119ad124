//! When a step may start that depends on others: plain data. What follows from it is decided elsewhere.

use serde::{Deserialize, Serialize};

/// Which ends of its parents a step waits for.
///
/// A parent counts as *done* when it is complete, resolved manually, skipped or in error; as *complete* when it is
/// complete or resolved manually. A step whose policy can be satisfied no more is skipped where none of its parents
/// failed; else it stays pending, because a parent in error can be tried again.
///
/// As templates spell it, serialized it is a word, or `{"quorum": 2}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinPolicy {
    /// All are complete.
    #[default]
    AllComplete,
    /// All are done, in whatever way.
    AllDone,
    /// One is complete; the others may still run.
    AnyComplete,
    /// All are done, none of them in error, and one at least is complete.
    NoneFailed,
    /// So many are complete, at least 1; the others may still run.
    Quorum(u32),
}

impl JoinPolicy {
    /// The policies that a word names, in the order in which messages list them.
    pub const WORDS: [Self; 4] =
        [Self::AllComplete, Self::AllDone, Self::AnyComplete, Self::NoneFailed];

    /// The word used in templates; `quorum` where a number belongs to it.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::join_policy::JoinPolicy;
    /// assert_eq!(JoinPolicy::AllDone.as_str(), "all_done");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllComplete => "all_complete",
            Self::AllDone => "all_done",
            Self::AnyComplete => "any_complete",
            Self::NoneFailed => "none_failed",
            Self::Quorum(_) => "quorum",
        }
    }

    /// The policy that `word` names, if any.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::join_policy::JoinPolicy;
    /// assert_eq!(JoinPolicy::from_word("any_complete"), Some(JoinPolicy::AnyComplete));
    /// assert_eq!(JoinPolicy::from_word("quorum"), None);
    /// ```
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|policy| policy.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::JoinPolicy;

    #[test]
    fn every_word_is_read_back_and_serialized() {
        for policy in JoinPolicy::WORDS {
            assert_eq!(JoinPolicy::from_word(policy.as_str()), Some(policy));
            assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{}\"", policy.as_str()));
        }
        let quorum = JoinPolicy::Quorum(2);
        assert_eq!(serde_json::to_string(&quorum).unwrap(), r#"{"quorum":2}"#);
        assert_eq!(serde_json::from_str::<JoinPolicy>(r#"{"quorum":2}"#).unwrap(), quorum);
    }
}
