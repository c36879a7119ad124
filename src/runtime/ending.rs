//! The end of claims, from reading the rows to writing the decision; the same for handlers that
//! return, workers that stop and workers that died.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::ledger::Tried;
use super::templates::{Stored, Templates};
use crate::decide::{Jitter, decide};
use crate::decision::{ByStep, Claim, ClaimEnd, Decisions, Observation, Outcome, Room, Step, View};
use crate::error::Error;
use crate::ids::{ClaimBatchId, StepId, TaskId, TemplateId};
use crate::retry_policy::RetryPolicy;
use crate::state::StepState;
use crate::store::{ChildRow, StepRow, StoreError, TaskRow, Transaction};

/// The templates of the tasks of one decision.
pub(super) type ByTask = HashMap<TaskId, Arc<Stored>>;

/// Ends of claims, and what the one who saw them knows and offers.
#[derive(Debug)]
pub(super) struct Observed<'a> {
    pub(super) ends: Vec<ClaimEnd>,
    pub(super) known: &'a Known,
    pub(super) room: Option<Room>,
    /// The queues that the one with room serves; `None` for all.
    pub(super) queues: Option<&'a [String]>,
}

/// A decision that was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) decisions: Decisions,
    /// The batch of the claims that it makes.
    pub(super) batch: Option<ClaimBatchId>,
}

/// What is known of steps without reading their rows: their claims were made here. The write compares
/// state, attempt and holder, so that a claim that others have ended since fails the transaction.
pub(super) type Known = HashMap<StepId, Tried>;

/// Decides and writes what follows from `ends`; the caller commits.
pub(super) async fn end_claims(
    tx: &mut impl Transaction,
    templates: &Templates,
    observed: Observed<'_>,
    over: &[ClaimBatchId],
) -> Result<Written, Error> {
    let Observed { ends, known, room, queues } = observed;
    let rows = tx.lock_tasks(&task_ids(ends.iter().map(|end| end.claim.step))).await?;
    let Some(now) = rows.first().map(|row| row.now) else {
        return write(tx, all_stale(ends), &ByTask::new(), over).await;
    };
    let by_task = load_templates(tx, templates, &rows).await?;
    let held = held_steps(&ends, known, &rows, &by_task);
    let unknown = ends.iter().map(|end| end.claim.step).filter(|step| !held.contains_key(step));
    let mut children = Children { unread: unknown.collect(), ..Children::default() };
    let succeeded = ends.iter().filter(|end| matches!(end.outcome, Outcome::Succeeded(_)));
    let strange: Vec<_> = succeeded
        .map(|end| end.claim.step)
        .filter(|step| !children.follow(*step, held.contains_key(step), &by_task))
        .collect();
    let unread: Vec<_> = children.unread.into_iter().collect();
    let steps = tx.read_ended_steps(&unread, &strange).await?;
    let mut view = view(&rows, &steps, &by_task);
    view.steps.extend(held);
    view.steps.extend(children.untouched);
    view.children.extend(children.by_parent);
    if let Some(queues) = queues {
        let children = view.children.values().flatten();
        view.elsewhere =
            children.copied().filter(|id| !queues.contains(&queue_of(*id, &by_task))).collect();
    }
    let observation = Observation::ClaimsEnded { ends, room };
    let decisions =
        decide(&view, observation, now, Jitter::at(now)).map_err(transition_of(&rows))?;
    write(tx, decisions, &by_task, over).await
}

/// The ended steps as their claims left them. Where a task runs fewer steps than ended here, somebody
/// else has ended some: its steps are not known.
fn held_steps(
    ends: &[ClaimEnd],
    known: &Known,
    rows: &[TaskRow],
    by_task: &ByTask,
) -> HashMap<StepId, Step> {
    let mut runnable: HashMap<_, _> =
        rows.iter().map(|row| (row.task.id, i64::from(row.task.runnable))).collect();
    for end in ends {
        runnable.entry(end.claim.step.task()).and_modify(|left| *left -= 1);
    }
    let trusted = |task| runnable.get(&task).is_some_and(|left| *left >= 0);
    let claims = ends.iter().map(|end| end.claim).filter(|claim| trusted(claim.step.task()));
    let held = |claim: Claim| {
        let tried = *known.get(&claim.step)?;
        Some((claim.step, held_step(claim, tried, policy(claim.step, by_task))))
    };
    claims.filter_map(held).collect()
}

/// A step as the claim left it.
fn held_step(claim: Claim, tried: Tried, policy: RetryPolicy) -> Step {
    Step {
        id: claim.step,
        state: StepState::InProgress,
        open_parents: 0,
        attempts: claim.attempt,
        failures: tried.failures,
        crashes: tried.crashes,
        worker: Some(claim.worker),
        policy,
    }
}

/// The children of ended steps, as the templates have them.
#[derive(Debug, Default)]
struct Children {
    by_parent: ByStep<Vec<StepId>>,
    /// Children without another parent are as they were written until this one ends.
    untouched: HashMap<StepId, Step>,
    /// Steps whose rows must be read, in the order of their ids.
    unread: BTreeSet<StepId>,
}

impl Children {
    /// Adds the children of a step, of which it is known or not that its claim was current; `false` when
    /// they do not stand in a template.
    fn follow(&mut self, parent: StepId, current: bool, by_task: &ByTask) -> bool {
        let stored = by_task.get(&parent.task());
        let Some(stored) = stored.filter(|stored| stored.step(parent).is_some()) else {
            return false;
        };
        let graph = stored.template.graph();
        let mut children = Vec::with_capacity(stored.children(parent).len());
        for index in stored.children(parent) {
            let id = parent.task().step(*index);
            children.push(id);
            if current && graph.in_degree(*index) == 1 {
                self.untouched.insert(id, untouched(id, stored.policy(id)));
            } else {
                self.unread.insert(id);
            }
        }
        self.by_parent.insert(parent, children);
        true
    }
}

/// A step with one parent that has not ended.
fn untouched(id: StepId, policy: RetryPolicy) -> Step {
    Step {
        id,
        state: StepState::Pending,
        open_parents: 1,
        attempts: 0,
        failures: 0,
        crashes: 0,
        worker: None,
        policy,
    }
}

fn policy(step: StepId, by_task: &ByTask) -> RetryPolicy {
    by_task.get(&step.task()).map(|stored| stored.policy(step)).unwrap_or_default()
}

/// Writes a decision and calls workers for the steps that became ready by it.
pub(super) async fn write(
    tx: &mut impl Transaction,
    decisions: Decisions,
    by_task: &ByTask,
    over: &[ClaimBatchId],
) -> Result<Written, Error> {
    let queue_of = |step: StepId| queue_of(step, by_task);
    let batch = tx.apply(&decisions, &queue_of, over).await?;
    let enqueued = decisions.steps.iter().filter(|c| c.after.state == StepState::Enqueued);
    let queues: BTreeSet<_> = enqueued.map(|change| queue_of(change.after.id)).collect();
    tx.call_workers(&queues.into_iter().collect::<Vec<_>>()).await?;
    Ok(Written { decisions, batch })
}

/// The tasks of steps, each once, in the order in which they are locked.
pub(super) fn task_ids(steps: impl Iterator<Item = StepId>) -> Vec<TaskId> {
    steps.map(StepId::task).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A step as the decider sees it.
pub(super) fn step(row: &StepRow, policy: RetryPolicy) -> Step {
    Step {
        id: row.id,
        state: row.state,
        open_parents: row.open_parents,
        attempts: row.attempts,
        failures: row.failures,
        crashes: row.crashes,
        worker: row.worker,
        policy,
    }
}

pub(super) fn transition_of(
    rows: &[TaskRow],
) -> impl Fn(crate::state::InvalidTransition) -> Error + use<> {
    let task = rows.first().map_or(TaskId(0), |row| row.task.id);
    move |source| Error::Transition { task, source }
}

/// The templates by task. A template that this version cannot read is left out: its steps follow the
/// default policy.
async fn load_templates(
    tx: &mut impl Transaction,
    templates: &Templates,
    rows: &[TaskRow],
) -> Result<ByTask, Error> {
    let mut by_id: HashMap<TemplateId, Option<Arc<Stored>>> = HashMap::new();
    for row in rows {
        if let Entry::Vacant(entry) = by_id.entry(row.template) {
            entry.insert(readable(templates.get_within(tx, row.template).await)?);
        }
    }
    let template = |row: &TaskRow| by_id.get(&row.template).cloned().flatten();
    let by_task = rows.iter().filter_map(|row| Some((row.task.id, template(row)?))).collect();
    Ok(by_task)
}

fn readable(template: Result<Arc<Stored>, Error>) -> Result<Option<Arc<Stored>>, Error> {
    match template {
        Ok(template) => Ok(Some(template)),
        Err(Error::Store(StoreError::UnreadableTemplate { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

fn queue_of(step: StepId, by_task: &ByTask) -> String {
    let template = by_task.get(&step.task()).and_then(|stored| stored.step(step));
    template.map_or_else(|| "default".to_owned(), |step| step.queue.clone())
}

fn view(tasks: &[TaskRow], steps: &[ChildRow], by_task: &ByTask) -> View {
    let mut view = View {
        tasks: tasks.iter().map(|row| (row.task.id, row.task)).collect(),
        ..View::default()
    };
    for row in steps {
        view.steps.insert(row.step.id, step(&row.step, policy(row.step.id, by_task)));
        if let Some(parent) = row.parent {
            view.children.entry(parent).or_default().push(row.step.id);
        }
    }
    view
}

fn all_stale(ends: Vec<ClaimEnd>) -> Decisions {
    Decisions { stale: ends.into_iter().map(|end| end.claim).collect(), ..Decisions::default() }
}
