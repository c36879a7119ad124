//! Plans that are kept because they broke an invariant: what they do does not change when others are chosen for a seed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::without_guard;
use super::world::{Ending, play};
use crate::guard::Guard;

/// How often a plan is played: what is left to chance while it runs follows each time from another number, so that the
/// plan keeps its meaning when messages come in another order or number.
const VARIANTS: u64 = 64;

/// A plan that breaks an invariant, or once broke one.
///
/// # Examples
/// ```
/// use tasker_core::simulation::{Guard, Known, shortest};
/// let seed = (0..100).find_map(|seed| shortest(seed, Some(Guard::JoinCounter)));
/// let known = seed.expect("a guard that is missed");
/// assert_eq!(Known::from_json(&known.to_json())?, known);
/// assert_eq!(known.fault(), None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The guard without which it breaks an invariant; `None` if what let it do so was mended.
    without: Option<Guard>,
    /// What was broken when it was found.
    violated: String,
    plan: Plan,
}

impl Known {
    /// The plan, made smaller as long as it breaks an invariant; `None` when it breaks none.
    pub(super) fn smallest(mut plan: Plan, without: Option<Guard>) -> Option<Self> {
        let violation = |plan: &Plan| without_guard(without, || play(plan, false).violation);
        let mut violated = violation(&plan)?;
        let smaller =
            |plan: &Plan| plan.smaller().into_iter().find_map(|p| Some((violation(&p)?, p)));
        while let Some(found) = smaller(&plan) {
            (violated, plan) = found;
        }
        Some(Self { without, violated, plan })
    }

    /// Reads what [`Known::to_json`] wrote.
    ///
    /// # Errors
    /// What is not such a plan.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// A file for `tests/simulation`.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// Of so many variants of the plan how many break an invariant, without the guard that is named.
    #[must_use]
    pub fn noticed(&self, without: Option<Guard>) -> (usize, u64) {
        (self.violations(without).count(), VARIANTS)
    }

    /// What speaks against the engine, or against the plan: it breaks an invariant although nothing was taken away, or
    /// none although its guard was.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if let Some(violation) = self.violations(None).next() {
            return Some(violation);
        }
        let missed = self.without.filter(|_| self.violations(self.without).next().is_none());
        missed.map(|guard| format!("nobody notices that {guard:?} is missing"))
    }

    fn violations(&self, without: Option<Guard>) -> impl Iterator<Item = String> {
        let variants = (0..VARIANTS)
            .map(|number| Plan { seed: self.plan.seed.wrapping_add(number), ..self.plan.clone() });
        variants.filter_map(move |plan| without_guard(without, || play(&plan, false).violation))
    }
}

/// The plan, and what happens in it.
impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ending { story, violation, .. } =
            without_guard(self.without, || play(&self.plan, true));
        let violation = violation.unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{}\n{}\n\nviolated: {violation}", self.plan, story.join("\n"))
    }
}
