//! Steps that are added to a task while it runs, as plain data.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{ByStep, Claim, Step, Timestamp};
use crate::ids::{StepId, TaskId};
use crate::join_policy::JoinPolicy;

/// Most steps of a task: what a step's id has room for.
pub const MOST_STEPS: u32 = 1 << crate::ids::STEP_INDEX_BITS;

/// Steps that a handler adds to its task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Growth {
    /// The steps, in the order in which they were added.
    pub steps: Vec<NewStep>,
}

/// A step that is to be added.
#[derive(Clone, Debug, PartialEq)]
pub struct NewStep {
    /// Its name, which no other step of the task has.
    pub name: Arc<str>,
    /// The name of its prototype: a step of the template that is `dynamic`.
    pub like: String,
    /// What its handler is given, JSON text.
    pub inputs: Arc<str>,
    /// The names of its parents; `None` for the step that adds it.
    pub depends_on: Option<Vec<String>>,
    /// The names of steps that it is to be a parent of.
    pub before: Vec<String>,
}

/// The items of a map step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Items {
    /// The map step's name.
    pub name: String,
    /// The items, JSON texts; one at least.
    pub values: Vec<Arc<str>>,
    /// How many of them may run at a time.
    pub max_parallel: Option<u32>,
}

impl Items {
    /// The name of an item's step.
    #[must_use]
    pub fn name_of(map: &str, index: u32) -> String {
        format!("{map}[{index}]")
    }
}

/// What is known of the growth of the tasks of a view.
#[derive(Clone, Debug, Default)]
pub struct Grown {
    /// The position that the next step gets which is added to a task.
    pub next: BTreeMap<TaskId, u32>,
    /// What the names of a [`Growth`] stand for, by the step whose handler says it; or why it is refused.
    pub resolved: ByStep<Result<Vec<ResolvedStep>, String>>,
    /// Map steps whose items were made.
    pub maps: ByStep<Mapped>,
    /// The positions of the prototypes of steps that were added.
    pub prototypes: ByStep<u32>,
}

/// What is known of a step that is to be added.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedStep {
    /// The position of its prototype.
    pub prototype: u32,
    /// Its prototype's join policy.
    pub join: JoinPolicy,
    /// How long it waits after it got ready.
    pub delay: Option<Duration>,
    /// Whoever has room must leave it to others.
    pub elsewhere: bool,
    /// Its parents.
    pub parents: Vec<Relative>,
    /// The steps that it is to be a parent of.
    pub before: Vec<StepId>,
}

/// A parent of a step that is to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relative {
    /// The step at this place of the same growth.
    Added(u32),
    /// A step that there is.
    Existing(StepId),
}

/// A map step whose items were made. Until it ends they are the only parents that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The step of its first item; the others follow.
    pub first: StepId,
    /// How many items there are.
    pub items: u32,
    /// How many of them may run at a time.
    pub max_parallel: Option<u32>,
    /// How many of them may fail for good; `None` for all.
    pub tolerate: Option<u32>,
}

impl Mapped {
    /// Whether the step is one of its items.
    #[must_use]
    pub fn has(&self, step: StepId) -> bool {
        (self.first.0..self.first.0 + i64::from(self.items)).contains(&step.0)
    }

    /// The step of an item.
    #[must_use]
    pub fn item(&self, index: u32) -> Option<StepId> {
        (index < self.items).then(|| StepId(self.first.0 + i64::from(index)))
    }
}

/// What is to be written of steps that are added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Added {
    /// The steps, as their rows are inserted.
    pub steps: Vec<AddedStep>,
    /// Edges that there were not, from and to.
    pub edges: Vec<(StepId, StepId)>,
    /// Steps whose number of parents is not what a template says.
    pub parents: Vec<ParentCount>,
}

/// A step that is added.
#[derive(Clone, Debug, PartialEq)]
pub struct AddedStep {
    /// Its row.
    pub step: Step,
    /// The position of its prototype.
    pub prototype: u32,
    /// Its name.
    pub name: Arc<str>,
    /// What its handler is given, JSON text.
    pub inputs: Arc<str>,
    /// The number of the item that it is executed for.
    pub item: Option<u32>,
    /// The attempt that adds it.
    pub by: Claim,
    /// From when on it may be claimed, if it can be.
    pub available_at: Option<Timestamp>,
}

/// How many parents a step has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentCount {
    /// The step.
    pub step: StepId,
    /// How many.
    pub parents: u32,
    /// The step of the first item, where they are the items of a map step.
    pub first_item: Option<StepId>,
}
