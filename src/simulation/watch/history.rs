//! What is looked at of history: its order, and that it has no gap.

use std::collections::BTreeSet;

use crate::ids::StepId;
use crate::simulation::plan::When;
use crate::simulation::tables::{StepTransition, Tables, TaskRecord, Written};
use crate::state::{StepEvent, StepState, TaskState};

use super::{Watch, is_done};

impl Watch {
    /// History has the changes of a step, and of a task, in the order of their commits, and claims before the pause of
    /// the task that was committed after them.
    pub(super) fn numbers_grow(&mut self, written: &Written) {
        for change in &written.step_transitions {
            let before = self.last_of_step.insert(change.step, change.number);
            if before >= Some(change.number) {
                self.violated(format!("history of step {} is not in order", change.step));
            }
            if change.event == StepEvent::Claimed {
                let last = self.last_claim.entry(change.step.task()).or_default();
                *last = change.number.max(*last);
            }
        }
        for change in &written.task_transitions {
            let before = self.last_of_task.insert(change.task, change.number);
            if before >= Some(change.number) {
                self.violated(format!("history of task {} is not in order", change.task));
            }
            let claimed = self.last_claim.get(&change.task).copied();
            if change.to == TaskState::Paused && claimed > Some(change.number) {
                let task = change.task;
                self.violated(format!(
                    "history has task {task} paused before a claim, which was there before"
                ));
            }
        }
    }

    /// The history has the ends from which a start follows before it.
    pub(super) fn parents_come_first(&mut self, tables: &Tables, written: &Written) {
        let mut later = BTreeSet::new();
        for change in written.step_transitions.iter().rev() {
            let StepTransition { step, from, to, .. } = *change;
            let starts = matches!(to, StepState::Enqueued | StepState::InProgress);
            if from == StepState::Pending
                && starts
                && let Some(parent) = tables.parents(step).find(|parent| later.contains(parent))
            {
                self.violated(format!(
                    "step {step} started, and the end of {parent} is numbered after that"
                ));
            }
            if to.is_terminal() {
                later.insert(step);
            }
        }
    }

    pub(super) fn step_changes(
        &mut self,
        before: &Tables,
        written: &Written,
        change: &StepTransition,
    ) {
        self.transitions += 1;
        let StepTransition { step, from, to, event, attempt, worker, decided_at, .. } = *change;
        // A step that is added is pending, if it is anything before.
        let Some(found) = before.steps.get(&step) else {
            let is_forked = written.fork.as_ref().is_some_and(|(task, _)| *task == step.task());
            if from != StepState::Pending && !(is_forked && from == StepState::Enqueued) {
                self.violated(format!("step {step} changes and does not exist"));
            }
            return;
        };
        if found.state != from {
            self.violated(format!(
                "history of step {step} has a gap: {} became {from}",
                found.state
            ));
        }
        if from.after(event).ok() != Some(to) {
            self.violated(format!("step {step} took {event} from {from} to {to}"));
        }
        if found.state == StepState::InProgress && found.attempts != attempt {
            let now = found.attempts;
            self.violated(format!(
                "an end of attempt {attempt} of step {step} was accepted, not {now}"
            ));
        }
        if from == StepState::InProgress
            && !matches!(
                event,
                StepEvent::Cancelled
                    | StepEvent::Skipped
                    | StepEvent::ResolvedManually
                    | StepEvent::Rerun
                    | StepEvent::Reset
            )
            && worker.is_some()
            && found.worker != worker
        {
            self.violated(format!(
                "an end of step {step} came from {worker:?}, not {:?}",
                found.worker
            ));
        }
        if event == StepEvent::Claimed && attempt != found.attempts + 1 {
            self.violated(format!(
                "step {step} was claimed for attempt {attempt} after {}",
                found.attempts
            ));
        }
        let deadline = before.deadlines.get(&step.task());
        let is_late = deadline.is_some_and(|deadline| *deadline <= decided_at);
        if event == StepEvent::Claimed && is_late && !self.clock_put {
            self.violated(format!(
                "step {step} was claimed, and the deadline of its task had passed"
            ));
        }
        let unmet = event == StepEvent::ConditionUnmet;
        let undone = before.undone_by(step);
        if unmet && undone.is_some_and(|undone| is_done(before, undone)) {
            self.violated(format!("step {step} was left out, and there is something to undo"));
        }
        if unmet && before.when(step) != Some(When::Unmet) && undone.is_none() {
            self.violated(format!("step {step} was left out, and nothing says so"));
        }
        if event == StepEvent::ItemGivenUp {
            self.may_be_given_up(before, step);
        }
        // Nobody executes a step whose condition cannot be told.
        if before.when(step) != Some(When::Fails) {
            self.was_reported(change);
        }
    }

    /// Only an item is given up that was never tried, when more others have failed than may. Those may be tried again since
    /// its worker has seen that, where it was claimed.
    fn may_be_given_up(&mut self, before: &Tables, step: StepId) {
        let item = before.steps.get(&step);
        let is_claimed = item.is_some_and(|item| item.state == StepState::InProgress);
        let attempts = item.map(|item| item.attempts);
        if attempts != Some(u32::from(is_claimed)) || before.retried.contains_key(&step) {
            self.violated(format!("step {step} was given up, and was to be executed"));
        }
        let map =
            before.added.get(&step).filter(|added| added.item.is_some()).map(|added| added.by);
        let tolerate = map.and_then(|map| before.map(map)?.tolerate);
        let Some((map, tolerate)) = map.and_then(|map| before.steps.get(&map)).zip(tolerate) else {
            self.violated(format!("step {step} was given up, and is no item that may be"));
            return;
        };
        let (failed, waits) = (map.failed_parents, map.state == StepState::Pending);
        let is_steered = self.steered.get(&step.task()).is_some_and(|times| *times > 0);
        let may_have_changed = is_claimed && (!waits || is_steered);
        let has_failed = waits && failed > tolerate;
        if !has_failed && !may_have_changed {
            self.violated(format!(
                "step {step} was given up after {failed} items had failed, and {tolerate} may"
            ));
        }
    }

    /// A state changes together with its transition only.
    pub(super) fn changes_are_told(&mut self, before: &Tables, written: &Written) {
        for (id, step) in &written.steps {
            let told = written.step_transitions.iter().any(|change| change.step == *id);
            if before.steps.get(id).is_some_and(|before| before.state != step.state) && !told {
                self.violated(format!("step {id} is {} without a transition", step.state));
            }
        }
        for (id, record) in &written.tasks {
            let told = written.task_transitions.iter().any(|change| change.task == *id);
            let changed = |before: &TaskRecord| before.task.state != record.task.state;
            if before.tasks.get(id).is_some_and(changed) && !told {
                self.violated(format!("task {id} is {} without a transition", record.task.state));
            }
        }
    }

    /// A batch is deleted only when none of its claims is held, or another batch lists them.
    pub(super) fn batches_are_over(&mut self, before: &Tables, written: &Written) {
        let deleted = written.batches.iter().filter(|(_, batch)| batch.is_none());
        for (id, batch) in deleted.filter_map(|(id, _)| Some((id, before.batches.get(id)?))) {
            let held = |step: &&StepId| {
                let record = written.steps.get(step).or_else(|| before.steps.get(step));
                record.is_some_and(|record| record.worker == Some(batch.worker))
            };
            let kept = before
                .batches
                .iter()
                .filter(|(id, _)| !matches!(written.batches.get(id), Some(None)));
            let new = written.batches.values().flatten();
            let listed: BTreeSet<_> = kept
                .map(|(_, other)| other)
                .chain(new)
                .filter(|other| other.worker == batch.worker)
                .flat_map(|other| &other.steps)
                .collect();
            if let Some(step) = batch.steps.iter().filter(held).find(|step| !listed.contains(step))
            {
                self.violated(format!("batch {id} was deleted while step {step} is held"));
            }
        }
    }

    /// What may end without the report of a handler, or otherwise than it reported.
    pub(super) fn note_growth(&mut self, before: &Tables, written: &Written) {
        for change in &written.step_transitions {
            let step = change.step;
            let template = before.tasks.get(&step.task());
            let Some(template) = template.and_then(|task| before.template(task.template)) else {
                continue;
            };
            if before.is_item(step) {
                let steered = matches!(
                    change.event,
                    StepEvent::Retried | StepEvent::Skipped | StepEvent::ResolvedManually
                );
                *self.steered.entry(step.task()).or_default() += u32::from(steered);
            } else if before.map(step).is_some() {
                self.mapping.insert(step);
            } else if template.grows.get(step.index() as usize).copied().unwrap_or(false) {
                self.growing.insert(step);
            }
        }
    }

    /// What a transaction did, for those who read the story.
    pub(in crate::simulation) fn news(&self, written: &Written) -> Vec<String> {
        let steps = written.step_transitions.iter().map(|change| {
            let StepTransition { step, from, to, event, attempt, worker, .. } = change;
            let by = worker.map(|worker| format!(", worker {worker}")).unwrap_or_default();
            format!(
                "task {} step {}: {from} -> {to} ({event}, attempt {attempt}{by})",
                step.task(),
                step.index()
            )
        });
        let tasks = written.task_transitions.iter().map(|change| {
            format!("task {}: {} -> {} ({})", change.task, change.from, change.to, change.event)
        });
        let new = written
            .tasks
            .keys()
            .filter(|_| written.step_transitions.is_empty() && written.task_transitions.is_empty());
        let new = new.map(|task| format!("task {task} is made"));
        new.chain(steps).chain(tasks).collect()
    }
}
