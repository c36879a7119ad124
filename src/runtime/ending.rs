//! The end of claims, from reading the rows to writing the decision; the same for handlers that
//! return, workers that stop and workers that died.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::deciding::{Sight, decide_seeing};
use super::growth::{self, template_of};
use super::ledger::{Ledger, Tried};
use super::mapping;
use super::recorded;
use super::spending::Spent;
use super::templates::{Stored, Templates};
use crate::budget::{Cost, PUT_OFF};
use crate::decision::{
    AddedStep, ByStep, Claim, ClaimEnd, Decisions, Join, Observation, Outcome, Room, Step,
    StepChange, Timestamp, View,
};
use crate::error::Error;
use crate::guard::{Guard, removed};
use crate::ids::{ClaimBatchId, StepId, TaskId, TemplateId};
use crate::retry_policy::RetryPolicy;
use crate::state::{StepEvent, StepState};
use crate::store::{ChildRow, NewWait, StepRow, StepTime, StoreError, TaskRow, Transaction};

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
    /// The claims that this process holds.
    pub(super) ledger: Option<&'a Ledger>,
    /// What the attempts have spent, where they did.
    pub(super) spent: Spent,
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
    let Observed { ends, known, room, queues, ledger, mut spent } = observed;
    let rows = tx.lock_tasks(&task_ids(ends.iter().map(|end| end.claim.step))).await?;
    let Some(now) = rows.first().map(|row| row.now) else {
        return write(tx, all_stale(ends), &ByTask::new(), &ByStep::default(), over).await;
    };
    let ends = recorded::heed(tx, ends, &mut spent).await?;
    let (ends, superseded) = one_each(tx, ends).await?;
    let by_task = load_templates(tx, templates, &rows).await?;
    let grown = growth::grown(&rows, &by_task);
    let sight = Sight { by_task: &by_task, served: queues, ledger, grown: &grown };
    let held = held_steps(&ends, known, &rows, sight);
    let unknown = ends.iter().map(|end| end.claim.step).filter(|step| !held.contains_key(step));
    let mut children = Children { unread: unknown.collect(), ..Children::default() };
    let succeeded = ends.iter().filter(|end| end.outcome.is_success());
    let strange: Vec<_> = succeeded
        .map(|end| end.claim)
        .filter(|claim| !children.follow(*claim, held.contains_key(&claim.step), sight))
        .map(|claim| claim.step)
        .collect();
    let growths = growth::resolve(tx, &ends, &rows, sight).await?;
    children.unread.extend(growths.named.iter().filter(|step| !held.contains_key(step)));
    let unread: Vec<_> = children.unread.into_iter().collect();
    let steps = tx.read_ended_steps(&unread, &strange).await?;
    let mut view = view(&rows, &steps, sight);
    view.steps.extend(held);
    view.steps.extend(children.untouched);
    view.children.extend(children.by_parent);
    view.grown = growths.grown;
    for parent in strange.iter().filter(|parent| grown.contains(&parent.task())) {
        view.children.entry(*parent).or_default();
    }
    mapping::see_others(tx, &mut view, &ends, sight).await?;
    let seen: Vec<_> = view.steps.keys().copied().collect();
    growth::learn(tx, &mut view, &seen, sight).await?;
    let prototypes = &view.grown.prototypes;
    view.policies = policies(&ends, &by_task, prototypes);
    view.elsewhere = sight.elsewhere(view.children.values().flatten().copied(), prototypes);
    view.delays = sight.delays(view.children.values().flatten().copied(), prototypes);
    view.signalled = signalled(tx, &ends).await?;
    view.deadlines = deadlines(tx, &ends, &by_task, &view.grown.prototypes).await?;
    view.progressed = progressed(tx, &ends).await?;
    view.compensated = compensated(&by_task);
    view.spent = spent_by(&ends, &spent);
    if room.is_some() {
        let limited: Vec<_> = rows.iter().filter(|r| r.has_deadline).map(|r| r.task.id).collect();
        view.late = late(tx, &limited).await?;
    }
    let limited: Vec<_> = rows.iter().filter(|row| row.has_budget).copied().collect();
    see_budgets(tx, &mut view, &limited, sight).await?;
    let observation = Observation::ClaimsEnded { ends, room };
    let mut decisions = decide_seeing(tx, &mut view, &observation, now, sight).await?;
    decisions.stale.extend(superseded);
    write(tx, decisions, &by_task, &view.grown.prototypes, over).await
}

/// One end of each step at most, with the claims of the others, which are stale: what is read for a step is read once, and
/// for that end. Where there are several, the row says which claim is current.
async fn one_each(
    tx: &mut impl Transaction,
    ends: Vec<ClaimEnd>,
) -> Result<(Vec<ClaimEnd>, Vec<Claim>), StoreError> {
    let mut seen = ByStep::with_capacity_and_hasher(ends.len(), Default::default());
    let is_seen = |end: &&ClaimEnd| seen.insert(end.claim.step, ()).is_some();
    let several: BTreeSet<_> = ends.iter().filter(is_seen).map(|end| end.claim.step).collect();
    if several.is_empty() {
        return Ok((ends, Vec::new()));
    }
    let rows = tx.read_ended_steps(&several.iter().copied().collect::<Vec<_>>(), &[]).await?;
    let claim = |row: &ChildRow| step(&row.step, Join::default()).claim();
    let mut current: HashSet<_> = rows.iter().filter_map(claim).collect();
    let (kept, others): (Vec<_>, Vec<_>) = ends
        .into_iter()
        .partition(|end| !several.contains(&end.claim.step) || current.remove(&end.claim));
    Ok((kept, others.into_iter().map(|end| end.claim).collect()))
}

/// Those of these tasks, which have a deadline, of which nothing may be claimed any more. Asked when they are locked: that may
/// have taken long.
pub(super) async fn late(
    tx: &mut impl Transaction,
    limited: &[TaskId],
) -> Result<BTreeSet<TaskId>, StoreError> {
    if limited.is_empty() || removed(Guard::LateNotClaimed) {
        return Ok(BTreeSet::new());
    }
    Ok(tx.late_tasks(limited).await?.into_iter().collect())
}

/// What these attempts have spent, by step.
fn spent_by(ends: &[ClaimEnd], spent: &Spent) -> ByStep<Cost> {
    if spent.is_empty() {
        return ByStep::default();
    }
    let cost = |Claim { step, attempt, .. }| Some((step, *spent.get(&(step, attempt))?));
    ends.iter().filter_map(|end| cost(end.claim)).collect()
}

/// The steps whose handlers wait for a signal that was sent already. Who sends one holds the lock of the task, as this
/// transaction does: none is missed.
async fn signalled(
    tx: &mut impl Transaction,
    ends: &[ClaimEnd],
) -> Result<BTreeSet<StepId>, StoreError> {
    let awaited = |end| match end {
        &ClaimEnd { claim, outcome: Outcome::Waiting(ref wait), .. } => {
            Some((claim.step, wait.signal.as_ref()?))
        }
        ClaimEnd { .. } => None,
    };
    let awaited: Vec<_> = ends.iter().filter_map(awaited).collect();
    if awaited.is_empty() || removed(Guard::SignalsKept) {
        return Ok(BTreeSet::new());
    }
    Ok(tx.sent_signals(&awaited).await?.into_iter().collect())
}

/// Reads the budgets of tasks that have one, and what their steps of the view reserve.
pub(super) async fn see_budgets(
    tx: &mut impl Transaction,
    view: &mut View,
    limited: &[TaskRow],
    sight: Sight<'_>,
) -> Result<(), StoreError> {
    if limited.is_empty() {
        return Ok(());
    }
    let tasks: Vec<_> = limited.iter().map(|row| row.task.id).collect();
    view.budgets = tx.read_budgets(&tasks).await?.into_iter().collect();
    let prototypes = &view.grown.prototypes;
    let reserve = |step: &StepId| Some((*step, sight.reserve(*step, prototypes)?));
    view.reserves = view.steps.keys().filter_map(reserve).collect();
    Ok(())
}

/// By when the steps that failed have to have ended, where their templates say so.
async fn deadlines(
    tx: &mut impl Transaction,
    ends: &[ClaimEnd],
    by_task: &ByTask,
    prototypes: &ByStep<u32>,
) -> Result<ByStep<Timestamp>, StoreError> {
    let failed = ends.iter().filter(|end| matches!(end.outcome, Outcome::Failed(_)));
    let is_limited = |step: &StepId| growth::total_timeout(by_task, prototypes, *step).is_some();
    let limited: Vec<_> = failed.map(|end| end.claim.step).filter(is_limited).collect();
    if limited.is_empty() {
        return Ok(ByStep::default());
    }
    Ok(tx.step_deadlines(&limited).await?.into_iter().collect())
}

/// Gives steps that begin the time that all their attempts together may take, and forgets that of steps that have ended.
async fn keep_deadlines(
    tx: &mut impl Transaction,
    decisions: &Decisions,
    limit_of: impl Fn(StepId) -> Option<Duration>,
) -> Result<(), StoreError> {
    let time =
        |step: StepId, limit: Duration, from| StepTime { step, seconds: limit.as_secs_f64(), from };
    let ready = decisions.added.steps.iter().filter(|added| added.step.state.is_runnable());
    let begins = |added: &AddedStep| {
        let step = added.step.id;
        Some(time(step, limit_of(step)?, added.available_at))
    };
    let (mut begun, mut ended): (Vec<_>, _) = (ready.filter_map(begins).collect(), Vec::new());
    for change in &decisions.steps {
        let step = change.after.id;
        let Some(limit) = limit_of(step) else { continue };
        let state = change.after.state;
        let begins = change.before.state == StepState::Pending && state.is_runnable()
            || matches!(change.event, Some(StepEvent::Retried | StepEvent::Rerun));
        if begins {
            begun.push(time(step, limit, change.available_at));
        } else if state.is_terminal()
            || state == StepState::Blocked
            || change.event == Some(StepEvent::Reset)
        {
            ended.push(step);
        }
    }
    if !begun.is_empty() {
        tx.record_step_deadlines(&begun).await?;
    }
    if !ended.is_empty() {
        tx.forget_step_deadlines(&ended).await?;
    }
    Ok(())
}

/// Returns the queues of steps that can be claimed again.
async fn keep_budgets(
    tx: &mut impl Transaction,
    decisions: &Decisions,
) -> Result<Vec<String>, StoreError> {
    if !decisions.budgets.is_empty() {
        tx.write_budgets(&decisions.budgets).await?;
    }
    if !decisions.postponed.is_empty() {
        tx.postpone_ready_steps(&decisions.postponed, PUT_OFF.as_secs_f64()).await?;
    }
    if decisions.resumed.is_empty() {
        return Ok(Vec::new());
    }
    tx.resume_postponed_steps(&decisions.resumed).await
}

/// The steps whose workers died after their handlers had moved a checkpoint. One that is made while this is decided may
/// be missed: its worker was taken for dead and is not.
async fn progressed(
    tx: &mut impl Transaction,
    ends: &[ClaimEnd],
) -> Result<BTreeSet<StepId>, StoreError> {
    let died = ends.iter().filter(|end| end.outcome == Outcome::WorkerDied);
    let died: Vec<_> = died.map(|end| end.claim).collect();
    if died.is_empty() {
        return Ok(BTreeSet::new());
    }
    Ok(tx.moved_checkpoints(&died).await?.into_iter().collect())
}

/// The ended steps as their claims left them. Where a task runs fewer steps than ended here, somebody
/// else has ended some: its steps are not known.
fn held_steps(
    ends: &[ClaimEnd],
    known: &Known,
    rows: &[TaskRow],
    sight: Sight<'_>,
) -> HashMap<StepId, Step> {
    let mut runnable: HashMap<_, _> =
        rows.iter().map(|row| (row.task.id, i64::from(row.task.runnable))).collect();
    for end in ends {
        runnable.entry(end.claim.step.task()).and_modify(|left| *left -= 1);
    }
    // Others end with items that are given up: with a claim that is not current, more than the task runs would be counted.
    let given_up = ends.iter().filter(|end| mapping::is_given_up(end));
    let given_up: BTreeSet<_> = given_up.map(|end| end.claim.step.task()).collect();
    let trusted =
        |task| runnable.get(&task).is_some_and(|left| *left >= 0) && !given_up.contains(&task);
    // Steps are inserted before it is compared what was thought of others: a claim that adds some must be seen.
    let others = ends.iter().filter(|end| !growth::grows(end));
    let claims = others.map(|end| end.claim).filter(|claim| trusted(claim.step.task()));
    let held = |claim: Claim| {
        let tried = *known.get(&claim.step)?;
        Some((claim.step, held_step(claim, tried, sight.join(claim.step))))
    };
    claims.filter_map(held).collect()
}

/// A step as the claim left it.
fn held_step(claim: Claim, tried: Tried, join: Join) -> Step {
    Step {
        open_parents: 0,
        attempts: claim.attempt,
        failures: tried.failures,
        crashes: tried.crashes,
        worker: Some(claim.worker),
        ..Step::new(claim.step, StepState::InProgress, join)
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
    /// they do not stand in a template. Those of a step that is executed anew may have been executed before.
    fn follow(&mut self, claim: Claim, current: bool, sight: Sight<'_>) -> bool {
        let parent = claim.step;
        let current = current && claim.attempt == 1;
        let Some(children) = sight.children(parent) else { return false };
        for id in &children {
            let join = sight.join(*id);
            if current && join.parents == 1 {
                let child = Step::new(*id, StepState::Pending, join);
                self.untouched.insert(*id, child);
            } else {
                self.unread.insert(*id);
            }
        }
        self.by_parent.insert(parent, children);
        true
    }
}

/// The policies that decide about the ends without results; templates that cannot be read have none.
fn policies(ends: &[ClaimEnd], by_task: &ByTask, prototypes: &ByStep<u32>) -> ByStep<RetryPolicy> {
    let failed = ends.iter().filter(|end| !end.outcome.is_success());
    let policy = |step| Some(template_of(by_task, prototypes, step)?.retry_policy.clone());
    failed.filter_map(|end| Some((end.claim.step, policy(end.claim.step)?))).collect()
}

/// Writes a decision and calls workers for the steps that became ready by it.
pub(super) async fn write(
    tx: &mut impl Transaction,
    decisions: Decisions,
    by_task: &ByTask,
    prototypes: &ByStep<u32>,
    over: &[ClaimBatchId],
) -> Result<Written, Error> {
    let new: ByStep<u32> =
        decisions.added.steps.iter().map(|added| (added.step.id, added.prototype)).collect();
    let told = |step: &StepId| if new.contains_key(step) { &new } else { prototypes };
    let queue_of = |step: StepId| queue_of(step, by_task, told(&step));
    let batch = tx.apply(&decisions, &queue_of, over).await?;
    let waits: Vec<_> = decisions.steps.iter().filter_map(|c| new_wait(c, decisions.now)).collect();
    if !waits.is_empty() {
        tx.record_waits(&waits).await?;
    }
    if by_task.values().any(|stored| stored.total_timeouts) {
        let limit_of = |step: StepId| growth::total_timeout(by_task, told(&step), step);
        keep_deadlines(tx, &decisions, limit_of).await?;
    }
    let resumed = keep_budgets(tx, &decisions).await?;
    tx.recall_claims(&decisions.recalled()).await?;
    if !decisions.follow_ups.is_empty() {
        tx.record_follow_ups(&decisions.follow_ups).await?;
    }
    if !decisions.abandoned.is_empty() {
        tx.cancel_children(&decisions.abandoned).await?;
    }
    let changed = decisions.steps.iter().map(|change| &change.after);
    let added = decisions.added.steps.iter().map(|added| &added.step);
    let enqueued = changed.chain(added).filter(|step| step.state == StepState::Enqueued);
    let queues = enqueued.filter_map(|step| decisions.queue(step.id, queue_of));
    let queues: BTreeSet<_> = queues.chain(resumed).collect();
    tx.call_workers(&queues.into_iter().collect::<Vec<_>>()).await?;
    Ok(Written { decisions, batch })
}

/// The tasks whose steps are undone when they end otherwise than complete.
pub(super) fn compensated(by_task: &ByTask) -> BTreeSet<TaskId> {
    by_task.iter().filter(|(_, stored)| stored.undone).map(|(task, _)| *task).collect()
}

fn new_wait(change: &StepChange, now: Timestamp) -> Option<NewWait<'_>> {
    let wait = change.wait.as_deref()?;
    Some(NewWait { step: change.after.id, wait, deadline: wait.deadline(now) })
}

/// The tasks of steps, each once, in the order in which they are locked.
pub(super) fn task_ids(steps: impl Iterator<Item = StepId>) -> Vec<TaskId> {
    steps.map(StepId::task).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A step as the decider sees it.
pub(super) fn step(row: &StepRow, join: Join) -> Step {
    Step {
        id: row.id,
        state: row.state,
        open_parents: row.open_parents,
        failed_parents: row.failed_parents,
        skipped_parents: row.skipped_parents,
        attempts: row.attempts,
        failures: row.failures,
        crashes: row.crashes,
        worker: row.worker,
        join,
    }
}

/// The templates by task. A template that this version cannot read is left out: its steps follow the
/// default policy.
pub(super) async fn load_templates(
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

pub(super) fn queue_of(step: StepId, by_task: &ByTask, prototypes: &ByStep<u32>) -> String {
    let template = template_of(by_task, prototypes, step);
    template.map_or_else(|| "default".to_owned(), |step| step.queue.clone())
}

fn view(tasks: &[TaskRow], steps: &[ChildRow], sight: Sight<'_>) -> View {
    let mut view = View {
        tasks: tasks.iter().map(|row| (row.task.id, row.task)).collect(),
        ..View::default()
    };
    for row in steps {
        view.steps.insert(row.step.id, step(&row.step, sight.join(row.step.id)));
        if let Some(parent) = row.parent {
            view.children.entry(parent).or_default().push(row.step.id);
        }
    }
    view
}

fn all_stale(ends: Vec<ClaimEnd>) -> Decisions {
    Decisions { stale: ends.into_iter().map(|end| end.claim).collect(), ..Decisions::default() }
}
