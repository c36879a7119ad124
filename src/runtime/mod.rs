//! Tokio: reads rows, asks the decider, writes what it decided, and hands claimed steps to threads.

mod arguments;
mod artifacts;
mod branches;
mod client;
mod comparison;
mod compensation;
mod current_attributes;
mod deadlines;
mod deciding;
mod delivery;
mod ending;
mod engine;
mod events;
mod explain;
mod failure;
mod failures;
mod feed;
mod follow_ups;
mod fork;
mod grown;
mod growth;
mod heartbeat;
mod inbox;
mod insistence;
mod items;
mod lane;
mod ledger;
mod mapping;
mod orchestrator;
mod pace;
mod parked;
mod parts;
mod patience;
mod pruner;
mod recorded;
mod registration;
mod remedies;
mod reports;
mod rerun;
mod rescuer;
mod rhythm;
mod round;
mod search;
mod shared;
mod signals;
mod spending;
mod steering;
mod step_plans;
mod submission;
mod subworkflows;
mod templates;
mod turns;
mod undelivered;
mod worker;

pub use artifacts::Artifact;
pub use branches::names;
pub use client::{Client, ListFilter};
pub use comparison::{BrokenStep, Comparison, LiveTasks, TemplatesToCompare};
pub use delivery::{AddedDelivery, Delivery, UndoneTask};
pub use events::{Event, EventSet, Events, Transition, WorkerEvent};
pub use explain::{
    Attachment, Attempt, Change, CheckpointInfo, Explanation, PollInfo, RelatedTask, SentSignal,
    StepExplanation,
};
pub use failures::{FailureFilter, FailurePage, StepFailure, StepProgress, step_ids};
pub use feed::{
    FeedBatch, FeedEvent, FeedOpened, FeedOpening, FeedPlace, FeedReading, HeldBack, TemplateName,
    Unsettled,
};
pub use fork::ForkRequest;
pub use inbox::{Batch, Interrupt};
pub use items::Item;
pub use pruner::{Pruned, Pruning};
pub use recorded::Recording;
pub use remedies::Remedy;
pub use reports::{
    ChildTask, ParentStep, StepResult, TaskResult, TaskStatus, TemplateInfo, WorkerInfo,
};
pub use signals::{SignalInfo, SignalRequest, WaitInfo};
pub use steering::{Steering, seen};
pub use submission::{BudgetRequest, OnDuplicate, Submission, Submitted};
pub use subworkflows::{WorkflowCall, WorkflowRun, WorkflowWait};
/// What the simulator runs.
#[cfg(feature = "simulation")]
pub(crate) mod simulated {
    pub(crate) use super::engine::Engine;
    pub(crate) use super::fork::fork;
    pub(crate) use super::recorded::not_committed;
    pub(crate) use super::signals::send as signal;
    pub(crate) use super::steering::{Steered, steer};
    pub(crate) use super::templates::Templates;
    pub(crate) use super::{
        Delivery, ForkRequest, Interrupt, Recording, SignalRequest, Steering, Submission,
        WorkflowCall,
    };
}

pub use worker::{Stopped, Worker, WorkerStats};
