//! What is looked at of tasks: identities, signals to several of them, forks, tasks that steps run, and that undo others.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::decision::Request;
use crate::ids::TaskId;
use crate::simulation::tables::{
    ChildRecord, ForkRecord, StepRecord, StepTransition, Tables, TaskTransition, Written, steps_of,
};
use crate::simulation::world::GO;
use crate::state::{FollowUpKind, StepEvent, StepState, TaskEvent, TaskState};
use crate::store::Place;

use super::{Watch, is_complete};

fn priority(tables: &Tables, task: TaskId) -> Option<i16> {
    tables.tasks.get(&task).map(|record| record.task.priority)
}

impl Watch {
    /// Somebody is told that a signal was sent to all tasks with a key; these were there, and had not ended, when that began.
    pub(in crate::simulation) fn signalled_all(
        &mut self,
        tables: &Tables,
        key: &str,
        (there, began): (&[TaskId], Instant),
    ) {
        let missed = there.iter().find(|task| {
            let has_ended = self.ended_at.get(task).is_some_and(|ended| *ended >= began);
            !has_ended && !tables.signals_of(**task).any(|(_, sent)| sent.name == GO)
        });
        if let Some(task) = missed {
            self.violated(format!("task {task} has not got the signal to all with key {key}"));
        }
    }

    /// A claim that looks from the start takes no step while there is a due one with a lower priority that nobody holds.
    pub(in crate::simulation) fn urgent_first<'a>(
        &mut self,
        tables: &Tables,
        mut due: impl Iterator<Item = &'a Place>,
        picked: &[Place],
    ) {
        let priority = |place: &Place| priority(tables, place.step.task());
        let Some(last) = picked.iter().map(priority).max() else { return };
        if let Some(left) = due.find(|place| !picked.contains(place) && priority(place) < last) {
            let step = left.step;
            self.violated(format!("step {step} was left, and less urgent ones were claimed"));
        }
    }

    /// A task that is made for another one has its priority.
    fn is_as_urgent(&mut self, tables: &Tables, written: &Written, task: TaskId, other: TaskId) {
        let made = written.tasks.get(&task).map(|record| record.task.priority);
        if made.is_some() && made != priority(tables, other) {
            self.violated(format!("task {task} has priority {made:?}, not that of task {other}"));
        }
    }

    /// A fork takes over what its task has done, but for the steps that it begins with and those below them.
    pub(super) fn fork_takes_over(&mut self, tables: &Tables, written: &Written) {
        let Some((task, ForkRecord { source, first })) = &written.fork else { return };
        let template = |task| tables.tasks.get(task).map(|record| record.template);
        if template(task) != template(source) {
            self.violated(format!("fork {task} of task {source} has another template"));
        }
        self.is_as_urgent(tables, written, *task, *source);
        if tables.keys_of(*task) != tables.keys_of(*source) {
            self.violated(format!("fork {task} is not found by the keys of task {source}"));
        }
        if written.steps.keys().any(|step| step.task() != *task) {
            self.violated(format!("steps of others change with fork {task}"));
        }
        let anew = tables.following(*source, first);
        let added = tables.added.range(steps_of(*source));
        let added = added.filter(|(_, added)| !added.retired);
        for (left, _) in added.filter(|(_, added)| !anew.contains(&added.by)) {
            self.violated(format!("fork {task} knows nothing of step {left}, which was added"));
        }
        for (step, record) in tables.steps.range(steps_of(*task)) {
            let of_source = source.step(step.index());
            let was_complete = is_complete(tables, of_source);
            let mut own = written.step_transitions.iter().filter(|change| change.step == *step);
            let event = own.next().map(|change| change.event);
            if anew.contains(&of_source) {
                let skipped = event == Some(StepEvent::Skipped) && tables.tally(*step).skipped == 0;
                if event == Some(StepEvent::Copied) || skipped {
                    self.violated(format!("step {step} is to be executed, and took {event:?}"));
                }
            } else if event == Some(StepEvent::Copied) {
                let results = tables.steps.get(&of_source).map(|step| &step.results);
                if !was_complete || results != Some(&record.results) {
                    self.violated(format!("step {step} has not the results of step {of_source}"));
                }
                self.parents_allow(tables, *step, "was taken over");
            } else if was_complete && record.state == StepState::Enqueued {
                self.violated(format!("step {step} is executed, and step {of_source} is complete"));
            }
        }
    }

    /// A client is told which task it is that it has submitted with a key, and whether another one has made it. With a window
    /// it is known when the client asked.
    pub(in crate::simulation) fn submitted(
        &mut self,
        key: usize,
        task: TaskId,
        existing: bool,
        window: Option<(Duration, Instant)>,
    ) {
        let told = self.submitted.entry(key).or_default();
        let first = *told.entry(task).or_insert_with(Instant::now);
        let other = told.keys().copied().find(|other| *other != task && window.is_none());
        let is_over = window.is_some_and(|(lasts, asked)| first + lasts < asked);
        if let Some(other) = other {
            self.violated(format!("key {key} is that of task {other} and of task {task}"));
        }
        if existing && is_over && !self.clock_put {
            self.violated(format!("key {key} is that of task {task}, and its window is over"));
        }
        if !existing && !self.made.insert((key, task)) {
            self.violated(format!("two clients have made task {task} of key {key}"));
        }
    }

    /// Every key that was submitted has a task of which a client was told that it has made it.
    pub(in crate::simulation) fn all_made(&mut self) {
        let made: BTreeSet<_> = self.made.iter().map(|(key, _)| *key).collect();
        if let Some(key) = self.submitted.keys().find(|key| !made.contains(*key)).copied() {
            self.violated(format!("nobody has made the task of key {key}"));
        }
    }

    /// An identity stays with its task as long as its window lasts.
    pub(super) fn identities_stay(&mut self, before: &Tables, written: &Written) {
        for (identity, new) in &written.identities {
            let last = before.identities.get(identity);
            if let Some(last) = last.filter(|last| !last.is_over(new.given_at)) {
                let (task, other) = (new.task, last.task);
                self.violated(format!("the identity of task {other} was given to task {task}"));
            }
        }
    }

    /// A task is made for a step when there is none that can go on, and a task is undone once, after it has failed.
    pub(super) fn links_are_made_once(&mut self, before: &Tables, written: &Written) {
        let made = |(task, _): &(&TaskId, &ChildRecord)| !before.children.contains_key(task);
        let made: Vec<_> = written.children.iter().filter(made).collect();
        for (task, child) in &made {
            self.is_as_urgent(before, written, **task, child.step.task());
            if let Some((other, _)) =
                before.child_of(child.step).filter(|(_, other)| !other.superseded)
            {
                let state = before.tasks.get(&other).map(|record| record.task.state);
                if !matches!(state, Some(TaskState::Error | TaskState::Cancelled)) {
                    let step = child.step;
                    self.violated(format!("step {step} has made task {task}, and has {other}"));
                }
            }
            if made.len() > 1 {
                self.violated(format!("step {} has made two tasks at once", child.step));
            }
            if child.left_alone != before.leaves(child.step) {
                let (step, left) = (child.step, child.left_alone);
                self.violated(format!("step {step} leaves task {task} alone: {left}"));
            }
        }
        for (task, by) in &written.compensations {
            self.is_as_urgent(before, written, *by, *task);
            if let Some(other) = before.compensations.get(task) {
                self.violated(format!("task {task} is undone by task {other} and by task {by}"));
            }
            let state = before.tasks.get(task).map(|record| record.task.state);
            if !matches!(state, Some(TaskState::Error | TaskState::Cancelled)) {
                self.violated(format!("task {task} is undone, and is {state:?}"));
            }
            if before.is_by_hand(*task) && !self.to_be_undone.contains(task) {
                self.violated(format!("task {task} is undone, and nobody has asked for it"));
            }
        }
    }

    /// A step that runs a task completes after that has.
    pub(super) fn ends_as_its_child(&mut self, after: &Tables, change: &StepTransition) {
        if change.event != StepEvent::Succeeded || !after.runs(change.step) {
            return;
        }
        let child = after.child_of(change.step).map(|(child, _)| child);
        let state = child.and_then(|child| after.tasks.get(&child)).map(|child| child.task.state);
        if let Some(child) = child.filter(|child| self.replaced.contains(child)) {
            let step = change.step;
            self.violated(format!(
                "step {step} was executed anew, and is complete by task {child} of before"
            ));
        }
        if !child.is_some_and(|child| self.completed.contains(&child)) {
            let step = change.step;
            self.violated(format!(
                "step {step} is complete, and the task that it runs is {state:?}"
            ));
        }
    }

    /// What a task that has failed did is undone. Steps that an operator resolved afterwards, without having the task go on, are
    /// no part of what it did by then.
    pub(in crate::simulation) fn is_undone(&mut self, tables: &Tables, id: TaskId) {
        let Some(record) = tables.tasks.get(&id) else { return };
        let Some(steps) = tables.undoing(record.template) else { return };
        let failed = matches!(record.task.state, TaskState::Error | TaskState::Cancelled);
        let complete = |step: &StepRecord| step.state == StepState::Complete && step.attempts > 0;
        let done = steps.iter().any(|step| tables.steps.get(&id.step(*step)).is_some_and(complete));
        // Somebody cancelled it when no worker was left: the next one undoes it.
        let left = tables.follow_ups.values().any(|left| *left == (id, FollowUpKind::Compensate));
        let by_hand = tables.is_by_hand(id);
        if failed && done && !left && !by_hand && !tables.compensations.contains_key(&id) {
            let state = record.task.state;
            self.violated(format!("task {id} is {state}, and nothing undoes it"));
        }
    }

    /// An operator asks for a task to be cancelled.
    pub(in crate::simulation) fn asks_to_cancel(&mut self, task: TaskId, request: &Request) {
        self.to_be_cancelled.entry(task).or_default().insert(request.detail());
    }

    /// Somebody is told that a task is cancelled.
    pub(in crate::simulation) fn cancelled(&mut self, tables: &Tables, task: TaskId) {
        let state = tables.tasks.get(&task).map(|record| record.task.state);
        if state != Some(TaskState::Cancelled) {
            self.violated(format!("task {task} is said to be cancelled, and is {state:?}"));
        }
    }

    /// A task that others end says by whom and why: one that has expired as whoever has it expire, one that was late by its
    /// deadline, one that a step ran as that step's task.
    fn end_says_why(&mut self, before: &Tables, change: &TaskTransition) {
        let TaskTransition { task, event, detail, .. } = change;
        let detail = detail.as_deref().unwrap_or_default();
        let said: Value = serde_json::from_str(detail).unwrap_or_default();
        let is_said = if *event == TaskEvent::DeadlinePassed {
            let deadline = before.deadlines.get(task).map(|deadline| json!(deadline));
            deadline.is_some_and(|deadline| said["deadline_at"] == deadline)
        } else {
            let asked = self.to_be_cancelled.get(task).is_some_and(|asked| asked.contains(detail));
            let parent = before.children.get(task).map(|child| child.step.task());
            let of_parent = parent.is_some_and(|parent| said["actor"] == format!("task {parent}"));
            asked || of_parent && said["reason"].is_string()
        };
        if !is_said {
            self.violated(format!("task {task} took {event}, and says {detail:?} of why"));
        }
    }

    pub(super) fn task_changes(
        &mut self,
        before: &Tables,
        written: &Written,
        change: &TaskTransition,
    ) {
        self.transitions += 1;
        let TaskTransition { task, from, to, event, .. } = *change;
        let found = before.tasks.get(&task).map(|found| found.task.state);
        let is_forked = written.fork.as_ref().is_some_and(|(fork, _)| *fork == task);
        if found != Some(from) && !(is_forked && from == TaskState::Pending) {
            self.violated(format!("history of task {task} has a gap: {found:?} became {from}"));
        }
        if from.after(event).ok() != Some(to) {
            self.violated(format!("task {task} took {event} from {from} to {to}"));
        }
        if before.compensations.contains_key(&task) {
            self.violated(format!("task {task} took {event}, and is undone"));
        }
        if matches!(event, TaskEvent::Cancelled | TaskEvent::DeadlinePassed) {
            self.end_says_why(before, change);
        }
        if event == TaskEvent::DeadlinePassed && !before.deadlines.contains_key(&task) {
            self.violated(format!("task {task} was late, and has no deadline"));
        }
    }
}
