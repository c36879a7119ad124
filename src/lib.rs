//! Durable workflows, directed acyclic graphs of steps, on the Postgres that an application
//! already has.
//!
//! The crate decides and stores; handlers, in Ruby or in Rust, do the work.
//!
//! # Layout
//! * [`ids`], [`state`], [`decision`], [`graph`], [`retry_policy`]: plain data
//! * [`decide`]: the pure decider, rows and an observation in, changes out

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod decide;
pub mod decision;
pub mod graph;
pub mod ids;
pub mod retry_policy;
pub mod state;
mod suggest;

pub use decide::{CRASH_LIMIT, Jitter, MAX_RETRY_AFTER, decide};
pub use decision::{
    AttemptRecord, Claim, ClaimEnd, Decisions, Failure, FailureCause, FailureKind, Observation,
    Outcome, Room, Step, StepChange, Task, TaskChange, Timestamp, View,
};
pub use ids::{StepId, TaskId, TemplateId, WorkerId};
pub use retry_policy::{Backoff, RetryPolicy};
pub use state::{
    AttemptOutcome, InvalidTransition, StepEvent, StepState, TaskEvent, TaskState, WorkerState,
};
