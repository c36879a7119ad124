//! Deterministic simulation: the decider and the whole runtime of workers on a simulated database, clock and
//! network, all of it from one number. The same number gives the same run.
//!
//! # Layout
//! * `plan`: what is chosen before a run: graphs, handlers, workers, faults
//! * `tables`, `server`, `database`: rows; locks, messages, connections; what each statement does
//! * `world`: processes that come and go, and the end that must come
//! * `watch`: the invariants, looked at with every commit and every execution

mod database;
mod plan;
mod server;
mod tables;
mod watch;
mod world;

use plan::Plan;
use world::{Ending, play};

pub use crate::guard::Guard;
use crate::guard::remove;

/// What a seed came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The number that the run follows from.
    pub seed: u64,
    /// The first invariant that was broken.
    pub violation: Option<String>,
    /// Tasks that were made.
    pub tasks: u64,
    /// Transitions of steps and tasks that were committed.
    pub transitions: u64,
}

/// Runs the plan of a seed, without a guard if one is named.
///
/// # Examples
/// ```
/// use tasker_core::simulation::{Guard, run};
/// assert_eq!(run(1, None).violation, None);
/// assert_eq!(run(1, None), run(1, None));
/// let seed = (0..100).find(|seed| run(*seed, Some(Guard::JoinCounter)).violation.is_some());
/// assert!(seed.is_some());
/// ```
#[must_use]
pub fn run(seed: u64, without: Option<Guard>) -> Report {
    let ending = without_guard(without, || play(&Plan::of(seed), false));
    let Ending { violation, tasks, transitions, .. } = ending;
    Report { seed, violation, tasks, transitions }
}

/// Seeds that once broke an invariant, or seemed to.
pub const KNOWN_SEEDS: [u64; 3] = [981, 10_277, 47_981];

/// What is told of the first difference between two runs of a seed; there must be none.
#[must_use]
pub fn difference(seed: u64) -> Option<String> {
    let told = || play(&Plan::of(seed), true).story;
    let (one, other) = (told(), told());
    let lines = one.len().max(other.len());
    let line = (0..lines).find(|line| one.get(*line) != other.get(*line))?;
    Some(format!("{:?} in one run, {:?} in the other", one.get(line), other.get(line)))
}

/// The smallest plan found that breaks an invariant, made from that of a seed by leaving out what is not needed, and
/// what happens in it; `None` when the seed breaks none.
#[must_use]
pub fn shortest(seed: u64, without: Option<Guard>) -> Option<String> {
    without_guard(without, || {
        let mut plan = Plan::of(seed);
        play(&plan, false).violation?;
        while let Some(smaller) =
            plan.smaller().into_iter().find(|plan| play(plan, false).violation.is_some())
        {
            plan = smaller;
        }
        let ending = play(&plan, true);
        let violation = ending.violation.unwrap_or_default();
        Some(format!("{plan}\n{}\n\nviolated: {violation}", ending.story.join("\n")))
    })
}

fn without_guard<T>(guard: Option<Guard>, run: impl FnOnce() -> T) -> T {
    remove(guard);
    let result = run();
    remove(None);
    result
}
