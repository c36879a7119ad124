//! Deterministic simulation: the decider and the whole runtime of workers on a simulated database, clock and
//! network, all of it from one number. The same number gives the same run.
//!
//! # Layout
//! * `plan`: what is chosen before a run: graphs, handlers, workers, faults
//! * `tables`, `server`, `database`: rows; locks, messages, connections; what each statement does
//! * `world`: processes that come and go, and the end that must come
//! * `known`: plans that are kept
//! * `watch`: the invariants, looked at with every commit and every execution

mod database;
mod known;
mod plan;
mod server;
mod tables;
mod watch;
mod world;

use plan::Plan;
use world::{Ending, play};

pub use known::Known;

pub use crate::guard::Guard;
use crate::guard::{any_removed, remove};

/// What a seed came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The number that the run follows from.
    pub seed: u64,
    /// Whether the graphs are small: three plans of four.
    pub small: bool,
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
    let plan = Plan::of(seed);
    let ending = without_guard(without, || play(&plan, false));
    let Ending { violation, tasks, transitions, .. } = ending;
    Report { seed, small: plan.is_small(), violation, tasks, transitions }
}

/// What is told of the first difference between two runs of a seed; there must be none.
#[must_use]
pub fn difference(seed: u64) -> Option<String> {
    let told = || play(&Plan::of(seed), true).story;
    let (one, other) = (told(), told());
    let lines = one.len().max(other.len());
    let line = (0..lines).find(|line| one.get(*line) != other.get(*line))?;
    Some(format!("{:?} in one run, {:?} in the other", one.get(line), other.get(line)))
}

/// The smallest plan found that breaks an invariant, made from that of a seed by leaving out what is not needed;
/// `None` when the seed breaks none.
#[must_use]
pub fn shortest(seed: u64, without: Option<Guard>) -> Option<Known> {
    Known::smallest(Plan::of(seed), without)
}

/// Lets an engine without a guard panic without a word, which is one way to be noticed.
pub fn silence_mutants() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !any_removed() {
            told(panic);
        }
    }));
}

fn without_guard<T>(guard: Option<Guard>, run: impl FnOnce() -> T) -> T {
    remove(guard);
    let result = run();
    remove(None);
    result
}
