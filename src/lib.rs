//! Durable workflows, directed acyclic graphs of steps, on the Postgres that an application
//! already has.
//!
//! The crate decides and stores; handlers, in Ruby or in Rust, do the work.
//!
//! # Layout
//! * [`ids`], [`state`], [`budget`], [`decision`], [`graph`], [`join_policy`], [`retry_policy`], [`condition`], [`template`],
//!   [`json`]: plain data
//! * [`decide()`]: the pure decider, rows and an observation in, changes out
//! * `identity`: what a task is known by that is submitted again
//! * `encryption`: what applications and handlers say, sealed before it is written
//! * `store`: Postgres, one statement a file
//! * `runtime`: Tokio; [`Client`] for applications and operators, [`Worker`] for executing steps
//! * [`config`], [`error`]: options in, errors out
//! * `panics`, with the feature of that name: panics on purpose
//! * `simulation`, with the feature of that name: the runtime on a simulated database, clock and network

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod budget;
pub mod condition;
pub mod config;
mod decide;
pub mod decision;
mod encryption;
pub mod error;
pub mod graph;
mod guard;
mod identity;
pub mod ids;
pub mod join_policy;
pub mod json;
mod panics;
mod process;
pub mod retry_policy;
mod runtime;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod state;
mod store;
mod suggest;
pub mod template;

pub use budget::{Budget, Constraint, Cost, Limits};
pub use config::{ClientOptions, DatabaseUrl, WorkerOptions};
pub use decide::{Jitter, MAX_RETRY_AFTER, Undecided, decide};
pub use decision::{
    Added, AddedStep, AwaitedSignal, ByStep, Claim, ClaimEnd, Copied, CopiedEnd, Decisions,
    Failure, FailureCause, FailureKind, Grown, Growth, Items, Join, LONGEST_WAIT, Mapped, NEVER,
    NewStep, Observation, Outcome, Parent, ParentCount, Poll, Relative, Request, Reset,
    ResolvedStep, Room, Seen, Signal, Step, StepChange, Taken, Task, TaskChange, Timestamp, Until,
    View, Wait,
};
pub use encryption::{Keyring, NoRandomness, Unreadable};
pub use error::{Error, ErrorKind};
pub use ids::{SignalId, StepId, TaskId, TemplateId, TransitionId, WorkerId};
pub use join_policy::JoinPolicy;
#[cfg(feature = "panics")]
pub use panics::panic_in;
pub use retry_policy::{Backoff, RetryPolicy};
pub use runtime::{
    AddedDelivery, Artifact, Attachment, Attempt, Batch, BrokenStep, BudgetRequest, Change,
    CheckpointInfo, ChildTask, Client, Comparison, Delivery, Event, EventSet, Events, Explanation,
    FailureFilter, FailurePage, FeedBatch, FeedEvent, FeedOpened, FeedOpening, FeedPlace,
    FeedReading, ForkRequest, HeldBack, Interrupt, Item, ListFilter, LiveTasks, OnDuplicate,
    ParentStep, PollInfo, Pruned, Pruning, Recording, RelatedTask, Remedy, SentSignal, SignalInfo,
    SignalRequest, Steering, StepExplanation, StepFailure, StepProgress, StepResult, Stopped,
    Submission, Submitted, TaskResult, TaskStatus, TemplateInfo, TemplateName, TemplatesToCompare,
    Transition, UndoneTask, Unsettled, WaitInfo, Worker, WorkerEvent, WorkerInfo, WorkerStats,
    WorkflowCall, WorkflowRun, WorkflowWait, names, seen, step_ids,
};
pub use state::{
    AttemptOutcome, InvalidTransition, StepEvent, StepState, TaskEvent, TaskState, WorkerState,
};
pub use store::{
    Audit, BorrowedConnection, Brought, Check, Migrated, NeededHandler, Parameter, Refused,
    SCHEMA_VERSION, Statement, StoreError, Warning,
};
pub use template::{TaskTemplate, TemplateDiff};
