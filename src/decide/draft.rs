//! The changes decided so far: working copies of the touched rows, one change a row.

use std::collections::BTreeMap;

use super::retry::Jitter;
use super::task;
use crate::decision::{Claim, Decisions, Step, StepChange, Task, TaskChange, Timestamp, View};
use crate::ids::{StepId, TaskId};
use crate::state::{InvalidTransition, StepEvent, StepState};

pub(super) struct Draft<'v> {
    pub(super) view: &'v View,
    pub(super) now: Timestamp,
    pub(super) jitter: Jitter,
    steps: BTreeMap<StepId, StepChange>,
    tasks: BTreeMap<TaskId, TaskChange>,
    stale: Vec<Claim>,
}

impl<'v> Draft<'v> {
    pub(super) fn new(view: &'v View, now: Timestamp, jitter: Jitter) -> Self {
        Self {
            view,
            now,
            jitter,
            steps: BTreeMap::new(),
            tasks: BTreeMap::new(),
            stale: Vec::new(),
        }
    }

    /// The step as decided so far.
    pub(super) fn step(&self, id: StepId) -> Option<&Step> {
        match self.steps.get(&id) {
            Some(change) => Some(&change.after),
            None => self.view.steps.get(&id),
        }
    }

    /// The change of a step of the view, begun as "nothing changes".
    pub(super) fn change(&mut self, step: &Step) -> &mut StepChange {
        self.steps.entry(step.id).or_insert_with(|| StepChange {
            before: *step,
            after: *step,
            event: None,
            available_at: None,
            results: None,
            detail: None,
            ended: None,
        })
    }

    /// Moves a step along its machine and counts it where it is, for its task.
    pub(super) fn transition(
        &mut self,
        step: &Step,
        event: StepEvent,
    ) -> Result<&mut StepChange, InvalidTransition> {
        let from = step.state;
        let to = from.after(event)?;
        self.count(step.id.task(), from, to);
        let change = self.change(step);
        change.after.state = to;
        change.event = Some(event);
        if to != StepState::InProgress {
            change.after.worker = None;
        }
        Ok(change)
    }

    fn count(&mut self, task: TaskId, from: StepState, to: StepState) {
        let (left, entered) = (task::counter(from), task::counter(to));
        if left == entered {
            return;
        }
        let change = self.task(task);
        if let Some(counter) = left {
            *counter.of(&mut change.after) -= 1;
        }
        if let Some(counter) = entered {
            *counter.of(&mut change.after) += 1;
        }
    }

    /// The change of a task of the view, begun as "nothing changes".
    pub(super) fn task(&mut self, id: TaskId) -> &mut TaskChange {
        let view = self.view;
        self.tasks.entry(id).or_insert_with(|| {
            let task: Task =
                *view.tasks.get(&id).expect("the view holds the task of every step that changes");
            TaskChange { before: task, after: task, event: None, detail: None }
        })
    }

    pub(super) fn refuse(&mut self, claim: Claim) {
        self.stale.push(claim);
    }

    /// Lets each touched task follow from its counters, and drops what did not change.
    pub(super) fn finish(mut self) -> Result<Decisions, InvalidTransition> {
        for change in self.tasks.values_mut() {
            task::settle(change)?;
        }
        Ok(Decisions {
            steps: self.steps.into_values().filter(|c| c.before != c.after).collect(),
            tasks: self.tasks.into_values().filter(|c| c.before != c.after).collect(),
            stale: self.stale,
            now: self.now,
        })
    }
}
