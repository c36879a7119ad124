//! What tasks and decisions write.

use std::time::Duration;

use crate::decision::{Decisions, Task, Timestamp};
use crate::guard::{Guard, removed};
use crate::ids::{ClaimBatchId, StepId, TaskId, TemplateId};
use crate::simulation::server::{Progress, Row, State, Work, held};
use crate::simulation::tables::{
    AddedRecord, BatchRecord, ReadyRecord, StepRecord, StepTransition, TaskRecord, TaskTransition,
    steps_of,
};
use crate::state::{StepEvent, TaskState};
use crate::store::{NewTasks, QueueOf};

use super::{Answer, done};

/// The batch of the claims that were made, or how many changes were expected and how many took place.
pub(super) type Applied = Result<Option<ClaimBatchId>, (usize, usize)>;

pub(super) fn create(
    state: &mut State,
    work: &mut Work,
    new: &NewTasks<'_>,
    now: Timestamp,
) -> TaskId {
    let id = TaskId(state.next_id());
    let runnable = u32::try_from(new.ready_indexes.len()).unwrap_or(u32::MAX);
    let is_child = new.parent_step.is_some();
    let state_now = TaskState::Pending;
    let (priority, waiting, blocked, failures) = (new.priority, 0, 0, 0);
    let task =
        Task { id, state: state_now, runnable, waiting, blocked, failures, is_child, priority };
    let total_steps = u32::try_from(new.step_indexes.len()).unwrap_or(u32::MAX);
    let template = TemplateId(new.template);
    let record = TaskRecord { task, template, total_steps, requested_at: now };
    work.written.tasks.insert(id, record);
    for ((index, state), parents) in new.step_indexes.iter().zip(&new.states).zip(&new.open_parents)
    {
        let step = StepRecord {
            state: *state,
            open_parents: parents.unsigned_abs(),
            failed_parents: 0,
            skipped_parents: 0,
            attempts: 0,
            failures: 0,
            crashes: 0,
            worker: None,
            claimed_at: None,
            results: None,
        };
        work.written.steps.insert(id.step(index.unsigned_abs()), step);
    }
    for (at, (index, queue)) in new.ready_indexes.iter().zip(&new.ready_queues).enumerate() {
        let delay = Duration::from_secs_f64(new.ready_delays_s.get(at).copied().unwrap_or(0.0));
        let ready = ReadyRecord::new(Some(queue.clone()), new.priority, now + delay);
        work.written.ready.insert(id.step(index.unsigned_abs()), Some(ready));
    }
    id
}

/// As `apply_decisions.sql`.
pub(super) fn apply(
    state: &mut State,
    work: &mut Work,
    decisions: &Decisions,
    queue_of: QueueOf<'_>,
    over: &[ClaimBatchId],
) -> Answer<Applied> {
    for change in &decisions.steps {
        held!(state.hold(work.id, Row::Step(change.after.id)));
        if change.before.state.is_claimable() {
            held!(state.hold(work.id, Row::Ready(change.after.id)));
        }
    }
    for change in &decisions.tasks {
        held!(state.hold(work.id, Row::Task(change.after.id)));
    }
    for batch in over {
        held!(state.hold(work.id, Row::Batch(*batch)));
    }
    let now = state.now();
    let mut written = 0;
    add(state, work, decisions, queue_of);
    for change in &decisions.steps {
        let id = change.after.id;
        let place = (decisions.queue(id, queue_of), decisions.priority(id));
        written += usize::from(apply_step(state, work, change, place, (now, decisions.now)));
    }
    for change in &decisions.tasks {
        written += usize::from(apply_task(state, work, change));
    }
    let expected = decisions.steps.len() + decisions.tasks.len();
    if written != expected && !removed(Guard::WriteCount) {
        return done(Err((expected, written)));
    }
    work.written.batches.extend(over.iter().map(|batch| (*batch, None)));
    let claims: Vec<_> = decisions.steps.iter().filter_map(crate::StepChange::claim).collect();
    let batch = claims.first().map(|claim| {
        let id = ClaimBatchId(state.next_id());
        let steps = claims.iter().map(|claim| claim.step).collect();
        let record = BatchRecord { worker: claim.worker, steps };
        if !removed(Guard::ListedClaims) {
            work.written.batches.insert(id, Some(record));
        }
        id
    });
    done(Ok(batch))
}

/// As `add_steps.sql`.
pub(super) fn add(
    state: &mut State,
    work: &mut Work,
    decisions: &Decisions,
    queue_of: QueueOf<'_>,
) {
    for added in &decisions.added.steps {
        let (id, task) = (added.step.id, added.step.id.task());
        let total = work.written.tasks.get(&task).or_else(|| state.tables.tasks.get(&task));
        if let Some(total) = total.copied() {
            let record = TaskRecord { total_steps: total.total_steps + 1, ..total };
            work.written.tasks.insert(task, record);
        }
        if state.tables.steps.contains_key(&id) || work.written.steps.contains_key(&id) {
            state.watch.refused(id, "there is such a step already");
        }
        let name = (task, added.name.to_string());
        if state.tables.names.contains_key(&name) || work.written.names.contains_key(&name) {
            state.watch.refused(id, "there is a step of that name already");
        }
        let step = StepRecord {
            state: added.step.state,
            open_parents: added.step.open_parents,
            failed_parents: added.step.failed_parents,
            skipped_parents: added.step.skipped_parents,
            attempts: 0,
            failures: 0,
            crashes: 0,
            worker: None,
            claimed_at: None,
            results: None,
        };
        work.written.steps.insert(id, step);
        if let Some(available_at) = added.available_at {
            let queue = decisions.queue(id, queue_of);
            let ready = ReadyRecord::new(queue, decisions.priority(id), available_at);
            work.written.ready.insert(id, Some(ready));
        }
        let (prototype, item, by) = (added.prototype, added.item, added.by.step);
        work.written.added.insert(id, AddedRecord { prototype, item, by, retired: false });
        work.written.names.insert(name, id);
    }
    work.written.edges.extend(decisions.added.edges.iter().map(|(from, to)| (*to, *from)));
    let counts = decisions.added.parents.iter();
    let counts = counts.map(|count| (count.step, (count.parents, count.first_item)));
    work.written.parent_counts.extend(counts);
}

/// Puts the claimable steps of a task into queues.
pub(super) fn put_ready(
    state: &mut State,
    work: &mut Work,
    task: TaskId,
    queue_of: &dyn Fn(StepId) -> Option<String>,
) -> Answer<()> {
    let ready: Vec<_> = state.tables.ready.range(steps_of(task)).map(|(step, _)| *step).collect();
    for step in ready {
        held!(state.hold(work.id, Row::Ready(step)));
        let Some(record) = state.tables.ready.get(&step) else { continue };
        let record = ReadyRecord { queue: queue_of(step), ..record.clone() };
        work.written.ready.insert(step, Some(record));
    }
    done(())
}

pub(super) fn apply_step(
    state: &mut State,
    work: &mut Work,
    change: &crate::StepChange,
    (queue, priority): (Option<String>, i16),
    (now, decided_at): (Timestamp, Timestamp),
) -> bool {
    let (before, after) = (&change.before, &change.after);
    let new = work.written.steps.get(&after.id);
    let Some(found) = state.tables.steps.get(&after.id).or(new).cloned() else { return false };
    let as_read = found.state == before.state
        && found.attempts == before.attempts
        && found.worker == before.worker;
    if !as_read && !removed(Guard::Fencing) {
        return false;
    }
    let (claimable, was) = (after.state.is_claimable(), before.state.is_claimable());
    let is_ready = state.tables.ready.contains_key(&after.id)
        || matches!(work.written.ready.get(&after.id), Some(Some(_)));
    if was && !claimable && !is_ready {
        return false;
    }
    let claimed = change.event == Some(StepEvent::Claimed);
    let step = StepRecord {
        state: after.state,
        open_parents: after.open_parents,
        failed_parents: after.failed_parents,
        skipped_parents: after.skipped_parents,
        attempts: after.attempts,
        failures: after.failures,
        crashes: after.crashes,
        worker: after.worker,
        claimed_at: if claimed { Some(now) } else { found.claimed_at },
        results: change.results.as_deref().map(str::to_owned),
    };
    work.written.steps.insert(after.id, step);
    if claimable {
        let Some(available_at) = change.available_at else {
            state.watch.refused(after.id, "its place in the queue has no time");
            return false;
        };
        let ready = ReadyRecord::new(queue, priority, available_at);
        work.written.ready.insert(after.id, Some(ready));
    } else if was {
        work.written.ready.insert(after.id, None);
    }
    work.written.step_transitions.extend(change.event.map(|event| StepTransition {
        number: state.next_number(),
        step: after.id,
        from: before.state,
        to: after.state,
        event,
        attempt: before.attempts.max(after.attempts),
        worker: after.worker.or(before.worker),
        decided_at,
    }));
    true
}

pub(super) fn apply_task(state: &mut State, work: &mut Work, change: &crate::TaskChange) -> bool {
    let id = change.after.id;
    let found = work.written.tasks.get(&id).or_else(|| state.tables.tasks.get(&id));
    let found = found.filter(|found| found.task.state == change.before.state).copied();
    let Some(found) = found else { return false };
    work.written.tasks.insert(id, TaskRecord { task: change.after, ..found });
    work.written.task_transitions.extend(change.event.map(|event| TaskTransition {
        number: state.next_number(),
        task: id,
        from: change.before.state,
        to: change.after.state,
        event,
        detail: change.detail.clone(),
    }));
    true
}
