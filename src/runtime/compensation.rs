//! Tasks that undo what the steps of others did.

use std::collections::HashMap;

use super::arguments::refused;
use super::delivery::{Prepared, UndoneTask};
use super::follow_ups::{Locked, lock};
use super::orchestrator::blocked;
use super::submission::Submission;
use super::templates::{Stored, Templates};
use crate::decision::{Claim, Decisions, Outcome, Request};
use crate::error::Error;
use crate::guard::{Guard, removed};
use crate::ids::{StepId, TaskId};
use crate::state::{StepState, TaskState};
use crate::store::{Database, OriginalRow, StoreError, TaskRow, Transaction};
use crate::template::COMPENSATION_SUFFIX;

/// Undoes a task that has ended in error or was cancelled, unless it goes on by now. `None` where somebody holds it.
pub(super) async fn follow_up(
    tx: &mut impl Transaction,
    templates: &Templates,
    task: TaskId,
    waits: bool,
) -> Result<Option<Decisions>, Error> {
    match lock(tx, task, waits).await? {
        Locked::Held => return Ok(None),
        Locked::Row(row) if has_failed(row.task.state) => {
            undo(tx, templates, row, None).await?;
        }
        Locked::Row(_) | Locked::Gone => {}
    }
    Ok(Some(Decisions::default()))
}

pub(super) fn has_failed(state: TaskState) -> bool {
    matches!(state, TaskState::Error | TaskState::Cancelled)
}

/// Whether there is something to undo of a step. What a fork has taken over from another task, without an attempt of its own,
/// is that task's to undo.
fn was_done(state: StepState, was_tried: bool) -> bool {
    state == StepState::Complete && was_tried || state == StepState::ResolvedManually
}

/// Makes the task that undoes one which this transaction holds, once, and returns it; none where there is one already, or nothing
/// to undo. It says who asked for it, and why, where somebody did.
pub(super) async fn undo(
    tx: &mut impl Transaction,
    templates: &Templates,
    row: TaskRow,
    asked: Option<&Request>,
) -> Result<Option<TaskId>, Error> {
    let task = row.task.id;
    let known = tx.compensation_of(task).await?;
    if known.is_some() && !removed(Guard::UndoneOnce) {
        return Ok(None);
    }
    let stored = templates.get_within(tx, row.template).await?;
    let steps = (0..).zip(stored.template.steps());
    let undoable: Vec<_> = steps
        .filter(|(_, step)| step.compensation.is_some())
        .map(|(index, _)| task.step(index))
        .collect();
    let rows = tx.read_ended_steps(&undoable, &[]).await?;
    if !rows.iter().any(|row| was_done(row.step.state, row.step.attempts > 0)) {
        return Ok(None);
    }
    let undoing = undoing(tx, templates, &stored).await?;
    let contexts = tx.lock_free_tasks(&[task]).await?;
    let context = contexts.into_iter().next().ok_or(Error::UnknownTask { task })?.1;
    let context = context.map_err(|source| Error::Decryption {
        what: format!("the context of task {task}"),
        source,
    })?;
    let mut submission = Submission::internal(
        &undoing,
        &context,
        asked.map_or_else(|| format!("task {task}"), |asked| asked.actor.clone()),
        asked
            .and_then(|asked| asked.reason.clone())
            .unwrap_or_else(|| format!("undoes task {task}, which is {}", row.task.state)),
        None,
    )?;
    submission.priority = Some(row.task.priority.into());
    let made = submission.create(tx, &undoing).await?;
    let made = *made.first().ok_or(Error::UnknownTask { task })?;
    tx.record_compensation(task, made).await?;
    Ok(Some(made))
}

/// The template that undoes another one.
async fn undoing(
    tx: &mut impl Transaction,
    templates: &Templates,
    stored: &Stored,
) -> Result<std::sync::Arc<Stored>, Error> {
    let template = &stored.template;
    let name = format!("{}{COMPENSATION_SUFFIX}", template.name());
    let versions = tx.versions(template.namespace(), &name).await?;
    let found = versions.iter().find(|(_, version)| version == template.version());
    if let Some((id, _)) = found
        && tx.hold_template(*id).await?
    {
        return templates.get_within(tx, *id).await;
    }
    let (namespace, version) = (template.namespace(), template.version());
    let wanted = format!("{namespace}/{name} version {version}");
    Err(Error::UnknownTemplate { wanted, suggestions: Vec::new() })
}

/// Refuses that a task goes on whose undoing has begun.
pub(super) async fn refuse_undone(
    tx: &mut impl Transaction,
    stored: &Stored,
    row: TaskRow,
) -> Result<(), Error> {
    if !has_failed(row.task.state) || !stored.template.is_compensated() {
        return Ok(());
    }
    match tx.compensation_of(row.task.id).await? {
        Some(by) if !removed(Guard::UndoneStays) => Err(Error::Undone { task: row.task.id, by }),
        Some(_) | None => Ok(()),
    }
}

/// Refuses to undo a task that may still come to its end, or whose template says nothing of it.
pub(super) fn check_undoable(stored: &Stored, row: TaskRow) -> Result<(), Error> {
    let task = row.task.id;
    if !stored.template.is_compensated() {
        let allowed =
            "a task of a template that says for a step how it is undone (compensate_with)";
        return Err(refused("task", &task.to_string(), allowed));
    }
    if has_failed(row.task.state) {
        return Ok(());
    }
    let source = row.task.state.refuses("undone", "tasks that ended in error or were cancelled");
    Err(Error::transition(task, source))
}

/// Tells handlers that undo which task's step that is. Takes out the claims of steps that have nothing to undo, with their ends.
pub(super) async fn leave_out(
    database: &impl Database,
    templates: &Templates,
    prepared: &mut Vec<Prepared>,
) -> Result<Vec<(Claim, Outcome)>, Error> {
    let undoing = prepared.iter().filter(|one| one.template.compensates);
    let tasks = super::ending::task_ids(undoing.map(|one| one.delivery.claim.step));
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let rows = database.originals(&tasks).await?;
    let originals: HashMap<_, _> = rows.into_iter().map(|row| (row.task, row)).collect();
    let mut undone = HashMap::new();
    for one in prepared.iter().filter(|one| one.template.compensates) {
        let step = one.delivery.claim.step;
        if let Some(original) = originals.get(&step.task())
            && let Some(found) =
                original_step(database, templates, original, &one.template, step).await?
        {
            undone.insert(step, found);
        }
    }
    let steps: Vec<_> = undone.values().copied().collect();
    let states = database.step_states(&steps).await?.into_iter();
    let states: HashMap<_, _> = states.map(|row| (StepId(row.workflow_step_id), row)).collect();
    let mut refused = Vec::new();
    prepared.retain_mut(|one| {
        // The step that waits until all are undone undoes none.
        if !one.template.compensates || one.step().is_some_and(|step| step.map.is_some()) {
            return true;
        }
        let claim = one.delivery.claim;
        let original = originals.get(&claim.step.task());
        let undoes = original.map(|row| UndoneTask { task: row.original, template: row.template });
        one.delivery.undoes = undoes.map(Box::new);
        let original = undone.get(&claim.step);
        let end = match original.and_then(|step| Some((*step, states.get(step)?))) {
            Some((_, row)) if was_done(row.state, row.attempts > 0) => return true,
            Some((step, _)) => {
                let name = one.template.step(claim.step).map_or("", |step| step.name.as_str());
                Outcome::ConditionUnmet(format!("{name} was done by task {}", step.task()).into())
            }
            None => blocked("the task that it undoes is not in the database".to_owned()),
        };
        refused.push((claim, end));
        false
    });
    Ok(refused)
}

/// The step that a step undoes.
async fn original_step(
    database: &impl Database,
    templates: &Templates,
    original: &OriginalRow,
    undoing: &Stored,
    step: StepId,
) -> Result<Option<StepId>, Error> {
    let stored = match templates.get(database, original.template).await {
        Ok(stored) => stored,
        Err(Error::Store(StoreError::UnreadableTemplate { .. })) => return Ok(None),
        Err(error) => return Err(error),
    };
    let name = undoing.step(step).map_or("", |step| step.name.as_str());
    Ok(stored.template.step_index(name).map(|index| original.original.step(index)))
}
