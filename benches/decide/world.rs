//! Tasks in memory, and of them what the store would read for a batch.

use std::ops::Range;
use std::time::Duration;

use tasker_core::graph::Graph;
use tasker_core::{
    Claim, ClaimEnd, Failure, FailureKind, Join, JoinPolicy, Observation, Outcome, RetryPolicy,
    Room, Step, StepId, StepState, Task, TaskId, TaskState, View, WorkerId,
};

use crate::support::{self, PARENTS};

/// Claims that end at once: about what a busy worker writes in one transaction.
const BATCH: u32 = 250;
const WORKER: WorkerId = WorkerId(7);

/// Tasks of the same graph, as many as fill a batch with a layer of each.
pub(crate) struct World {
    graph: Graph,
    width: u32,
    tasks: i64,
    /// Layers whose steps have children.
    layers: u32,
}

impl World {
    /// `size` is the number of steps of each task, 10 or more.
    pub(crate) fn new(size: u32) -> Self {
        let width = BATCH.min(size / 2);
        let names: Vec<_> = (0..size).map(|step| format!("step_{step}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let graph = Graph::build(&names, &support::edges(size, width)).expect("no cycle");
        Self { graph, width, tasks: i64::from(BATCH / width), layers: size / width - 1 }
    }

    /// Steps of each task.
    pub(crate) fn size(&self) -> usize {
        self.graph.len()
    }

    /// The layers whose steps have children.
    pub(crate) fn layers(&self) -> Range<u32> {
        0..self.layers
    }

    /// Steps in all layers of all tasks.
    pub(crate) fn steps(&self) -> u64 {
        u64::from(self.layers) * u64::from(self.width) * self.tasks.unsigned_abs()
    }

    /// Edges between these and their children.
    pub(crate) fn edges(&self) -> u64 {
        self.steps() * u64::from(PARENTS)
    }

    /// The layer's steps can be claimed.
    pub(crate) fn enqueued(&self, layer: u32) -> View {
        self.view(layer, StepState::Enqueued)
    }

    /// The layer's steps are claimed.
    pub(crate) fn running(&self, layer: u32) -> View {
        self.view(layer, StepState::InProgress)
    }

    /// The layer's steps are claimed, and their attempts fail.
    pub(crate) fn failing(&self, layer: u32) -> View {
        let policies = self.places(layer).map(|id| (id, RetryPolicy::default()));
        View { policies: policies.collect(), ..self.running(layer) }
    }

    /// The layer's steps are claimed, and their children wait for them.
    pub(crate) fn completing(&self, layer: u32) -> View {
        let mut view = self.running(layer);
        let waiting = self.places(layer + 1).map(|id| (id, step(id, StepState::Pending)));
        view.steps.extend(waiting);
        for parent in self.places(layer) {
            let children = self.graph.children(parent.index());
            let children = children.iter().map(|child| parent.task().step(*child)).collect();
            view.children.insert(parent, children);
        }
        view
    }

    pub(crate) fn claimed(&self, layer: u32) -> Observation {
        Observation::StepsClaimed { worker: WORKER, steps: self.places(layer).collect() }
    }

    pub(crate) fn successes(&self, layer: u32) -> Observation {
        self.ended(layer, || Outcome::Succeeded(r#"{"ok":true}"#.into()))
    }

    pub(crate) fn failures(&self, layer: u32) -> Observation {
        let failure = || Failure::new(FailureKind::Retryable, "CardDeclined", "no funds");
        self.ended(layer, || Outcome::Failed(failure()))
    }

    fn ended(&self, layer: u32, outcome: impl Fn() -> Outcome) -> Observation {
        let end = |step| {
            let claim = Claim { step, attempt: 1, worker: WORKER };
            ClaimEnd { claim, outcome: outcome(), execution: Some(Duration::from_micros(90)) }
        };
        let room = Some(Room { worker: WORKER, steps: usize::MAX });
        Observation::ClaimsEnded { ends: self.places(layer).map(end).collect(), room }
    }

    fn view(&self, layer: u32, state: StepState) -> View {
        View {
            tasks: (1..=self.tasks).map(|id| (TaskId(id), self.task(TaskId(id)))).collect(),
            steps: self.places(layer).map(|id| (id, step(id, state))).collect(),
            ..View::default()
        }
    }

    /// The layer's steps of all tasks.
    fn places(&self, layer: u32) -> impl Iterator<Item = StepId> {
        let layer = layer * self.width..(layer + 1) * self.width;
        (1..=self.tasks)
            .flat_map(move |task| layer.clone().map(move |index| TaskId(task).step(index)))
    }

    fn task(&self, id: TaskId) -> Task {
        let state = TaskState::InProgress;
        Task {
            id,
            state,
            runnable: self.width,
            waiting: 0,
            blocked: 0,
            failures: 0,
            is_child: false,
            priority: 0,
        }
    }
}

fn step(id: StepId, state: StepState) -> Step {
    let claimed = state == StepState::InProgress;
    let join = Join { policy: JoinPolicy::AllComplete, parents: PARENTS };
    Step {
        open_parents: if state == StepState::Pending { PARENTS } else { 0 },
        attempts: u32::from(claimed),
        worker: claimed.then_some(WORKER),
        ..Step::new(id, state, join)
    }
}
