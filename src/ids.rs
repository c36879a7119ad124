//! Newtype identifiers: no bare integer names a task, a step or a worker in a signature.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bits of a step's id that hold its position in its task's graph.
///
/// A step's id is `task_id * 2^20 + position`: the task of a step is known without a lookup, the
/// steps of a task lie side by side in every index, and no sequence is asked when a graph is
/// written (`docs/decisions/0002-step-ids.md`).
pub const STEP_INDEX_BITS: u32 = 20;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// One run of a template.
    TaskId,
    i64
);
id!(
    /// One node of a task's graph.
    StepId,
    i64
);
id!(
    /// One registration of a worker process; never used again after the process ends.
    WorkerId,
    i64
);
id!(
    /// A signal; a later one of the same task has a higher id.
    SignalId,
    i64
);
id!(
    /// A change of a task's or a step's state; a later one of the same has a higher id.
    TransitionId,
    i64
);
id!(
    /// The claims that one transaction of a worker made.
    ClaimBatchId,
    i64
);
id!(
    /// Something that the end of a task leaves to be done.
    FollowUpId,
    i64
);
id!(
    /// One version of a template (`tasker_named_tasks.named_task_id`).
    TemplateId,
    i32
);

impl TaskId {
    /// The id of the step at `index` of this task's graph.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::TaskId;
    /// let step = TaskId(3).step(7);
    /// assert_eq!(step.task(), TaskId(3));
    /// assert_eq!(step.index(), 7);
    /// ```
    #[must_use]
    pub fn step(self, index: u32) -> StepId {
        StepId((self.0 << STEP_INDEX_BITS) | i64::from(index))
    }
}

impl StepId {
    /// The task that the step belongs to.
    #[must_use]
    pub fn task(self) -> TaskId {
        TaskId(self.0 >> STEP_INDEX_BITS)
    }

    /// The step's position in its template's list of steps, from 0.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn index(self) -> u32 {
        (self.0 & ((1 << STEP_INDEX_BITS) - 1)) as u32
    }
}
