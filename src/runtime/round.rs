//! One round with the database: a transaction that ends claims or makes some, and the delivery of
//! those that it made. A worker has some rounds in flight at a time, each on a connection of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use tracing::{instrument, warn};

use super::branches::Decider;
use super::deciding::{Sight, decide_seeing};
use super::delivery::{Prepared, Results};
use super::ending::{self, Known, Observed, Written, end_claims};
use super::events::Events;
use super::growth;
use super::ledger::{Described, Grant, Reach, Tried};
use super::mapping;
use super::search::Search;
use super::shared::Shared;
use crate::decision::{
    Claim, ClaimEnd, Decisions, Join, Observation, Outcome, Room, Step, StepChange, Timestamp, View,
};
use crate::error::Error;
use crate::guard::{Guard, removed};
use crate::ids::{StepId, TaskId};
use crate::store::{Database, NewArtifact, Picked, Place, StoreError, Transaction};

/// What a round came to.
#[derive(Debug, Default)]
pub(super) struct Landed {
    /// Why the transaction or the delivery failed.
    pub(super) error: Option<Error>,
    /// The transaction was committed, or there was none.
    pub(super) written: bool,
    /// The commit failed, and perhaps took place.
    pub(super) unsure: bool,
    /// Claims that were made and could not be delivered yet.
    pub(super) undelivered: Vec<Claim>,
    /// Claims whose steps no handler is to execute, with their ends.
    pub(super) refused: Vec<(Claim, Outcome)>,
    /// There may be more steps to claim.
    pub(super) hungry: bool,
    /// A claim found several steps, all of one task with a budget, which it must hold.
    pub(super) of_one_task: bool,
    /// A claim found steps of tasks with a priority.
    pub(super) prioritised: bool,
    /// Steps that got ready by the ends.
    pub(super) successors: usize,
    /// Tasks that somebody else holds and that were passed: their ends are not written.
    pub(super) held: BTreeSet<TaskId>,
}

impl Landed {
    /// Whether the commit took place is not known.
    fn unsure(error: StoreError) -> Self {
        Self { unsure: true, ..Self::from(Error::from(error)) }
    }

    /// A row was not as it was thought to be.
    fn is_conflict(&self) -> bool {
        matches!(self.error, Some(Error::Store(StoreError::Conflict { .. })))
    }
}

impl From<Error> for Landed {
    fn from(error: Error) -> Self {
        Self { error: Some(error), ..Self::default() }
    }
}

/// What a round does about tasks that somebody else holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldTasks {
    /// Each is waited for, up to the limit of Postgres.
    Awaited,
    /// None is waited for: their ends are not written.
    Passed,
}

/// Writes the ends of claims; steps that get ready by it go to this worker first, as far as it has
/// been granted room for them.
#[instrument(skip_all, fields(ends = ends.len(), worker_id = shared.worker().0))]
pub(super) async fn end<D: Database>(
    shared: &Shared<D>,
    ends: &[ClaimEnd],
    grant: Option<Grant>,
    held_tasks: HeldTasks,
) -> Landed {
    let room = grant.as_ref().map(|grant| Room { worker: shared.worker(), steps: grant.steps() });
    let known = shared.ledger.tried(ends.iter().map(|end| end.claim));
    let mut outcome = write_ends(shared, ends, &known, room, held_tasks).await;
    if outcome.as_ref().is_err_and(Landed::is_conflict) && !removed(Guard::ConflictRereads) {
        outcome = write_ends(shared, ends, &Known::new(), room, held_tasks).await;
    }
    match outcome {
        Ok((written, held)) => {
            strike(shared, free(ends, &held), &written);
            shared.attached.forget(free(ends, &held));
            shared.spending.forget(free(ends, &held));
            let successors = written.decisions.successors();
            Landed { successors, held, ..hand_over(shared, &written, grant, &[]).await }
        }
        Err(landed) => landed,
    }
}

/// What was written, and the tasks that were passed.
type Ended = (Written, BTreeSet<TaskId>);

async fn write_ends<D: Database>(
    shared: &Shared<D>,
    ends: &[ClaimEnd],
    known: &Known,
    room: Option<Room>,
    held_tasks: HeldTasks,
) -> Result<Ended, Landed> {
    let ended = shared.answer(try_to_write_ends(shared, ends, known, room, held_tasks)).await;
    ended.map_err(Landed::unsure)?
}

async fn try_to_write_ends<D: Database>(
    shared: &Shared<D>,
    ends: &[ClaimEnd],
    known: &Known,
    room: Option<Room>,
    held_tasks: HeldTasks,
) -> Result<Ended, Landed> {
    let over = shared.ledger.take_ended();
    let mut tx = shared.database.begin().await.map_err(Error::from)?;
    let held = match held_tasks {
        HeldTasks::Awaited => BTreeSet::new(),
        HeldTasks::Passed => lock_free(&mut tx, ends).await?,
    };
    let ends: Vec<_> = free(ends, &held).cloned().collect();
    if ends.is_empty() {
        return Ok((Written::default(), held));
    }
    let mut artifacts = shared.attached.of(&ends);
    let spent = shared.spending.of(&ends);
    let queues = shared.options.queues.as_deref();
    let ledger = room.map(|_| &*shared.ledger);
    let observed = Observed { ends, known, room, queues, ledger, spent };
    let written = end_claims(&mut tx, &shared.templates, observed, over.batches()).await?;
    artifacts
        .retain(|one| !is_stale(&written.decisions, one) || removed(Guard::ArtifactsFollowEnds));
    if !artifacts.is_empty() {
        tx.record_artifacts(&artifacts).await.map_err(Error::from)?;
    }
    commit(tx, &shared.events, &written.decisions).await?;
    shared.leave(&written.decisions);
    over.deleted();
    Ok((written, held))
}

/// The attempt has ended otherwise.
fn is_stale(decisions: &Decisions, artifact: &NewArtifact) -> bool {
    let is_its = |claim: &Claim| (claim.step, claim.attempt) == (artifact.step, artifact.attempt);
    decisions.stale.iter().any(is_its)
}

/// Locks the tasks of ends that nobody holds. Returns the others.
async fn lock_free(
    tx: &mut impl Transaction,
    ends: &[ClaimEnd],
) -> Result<BTreeSet<TaskId>, Error> {
    let tasks = ending::task_ids(ends.iter().map(|end| end.claim.step));
    let free: BTreeSet<_> = tx.try_lock_tasks(&tasks).await?.into_iter().collect();
    Ok(tasks.into_iter().filter(|task| !free.contains(task)).collect())
}

/// The ends whose tasks are not held.
fn free<'a>(
    ends: &'a [ClaimEnd],
    held: &'a BTreeSet<TaskId>,
) -> impl Iterator<Item = &'a ClaimEnd> + Clone {
    ends.iter().filter(|end| !held.contains(&end.claim.step.task()))
}

/// Claims as many due steps as it is granted, but none of the tasks `without`, and notes how far it looked.
#[instrument(skip_all, fields(room = grant.steps(), worker_id = shared.worker().0))]
pub(super) async fn claim<D: Database>(
    shared: &Shared<D>,
    grant: Grant,
    without: &[TaskId],
    search: &mut Search,
) -> Landed {
    let answer = shared.answer(write_claims(shared, grant.steps(), without, search)).await;
    let written = match answer {
        Ok(written) => written,
        Err(silence) => Err(Landed::unsure(silence)),
    };
    match written {
        Ok(Some(Claimed { written, picked, hungry })) => {
            let of_one_task = are_of_one_task(&picked);
            let prioritised = picked.iter().any(|one| one.place.priority != 0);
            let landed = hand_over(shared, &written, Some(grant), &picked).await;
            Landed { hungry, of_one_task, prioritised, ..landed }
        }
        Ok(None) => Landed { written: true, ..Landed::default() },
        Err(landed) => {
            *search = Search::new();
            landed
        }
    }
}

async fn pick<D: Database>(
    tx: &mut D::Tx,
    shared: &Shared<D>,
    room: usize,
    without: &[TaskId],
    search: &mut Search,
) -> Result<Vec<Picked>, StoreError> {
    let limit = i64::try_from(room).unwrap_or(i64::MAX);
    let begun = Instant::now();
    let after = search.after(begun);
    let picked = tx.pick_ready_steps(&shared.queues(), without, after, limit).await?;
    let last = picked.last().map(|picked| picked.place);
    *search = search.found(after, last, begun.elapsed(), Instant::now());
    if after != Place::START
        && picked.len() < room
        && let Some(at) = search.next_from_start()
    {
        shared.there_will_be_work(at);
    }
    Ok(picked)
}

/// Whether these are several steps, and claims of all of them hold the one task whose budget they change.
fn are_of_one_task(picked: &[Picked]) -> bool {
    let task = |one: &Picked| one.step.id.task();
    picked.len() > 1
        && picked.iter().all(|one| one.has_budget)
        && picked.windows(2).all(|two| task(&two[0]) == task(&two[1]))
}

/// Claims that were made.
struct Claimed {
    written: Written,
    /// What was found, and where in the queue.
    picked: Vec<Picked>,
    /// There may be more.
    hungry: bool,
}

async fn write_claims<D: Database>(
    shared: &Shared<D>,
    room: usize,
    without: &[TaskId],
    search: &mut Search,
) -> Result<Option<Claimed>, Landed> {
    let mut tx = shared.database.begin().await.map_err(Error::from)?;
    let picked = pick(&mut tx, shared, room, without, search).await.map_err(Error::from)?;
    let more = picked.len() >= room;
    if picked.is_empty() {
        return Ok(None);
    }
    let Locked { mut view, by_task, grown, now } =
        lock_changed_tasks(&mut tx, shared, &picked).await?;
    let steps: Vec<_> = view.steps.keys().copied().collect();
    // Others are claimed with these only to be refused.
    let is_passed = |one: &Picked| !view.steps.contains_key(&one.step.id);
    let passed = picked.last().filter(|_| picked.iter().any(is_passed)).map(|last| last.place);
    let observation = Observation::StepsClaimed { worker: shared.worker(), steps };
    let sight = Sight { by_task: &by_task, served: None, ledger: None, grown: &grown };
    let decisions = decide_seeing(&mut tx, &mut view, &observation, now, sight).await?;
    let prototypes = &view.grown.prototypes;
    let written = ending::write(&mut tx, decisions, &by_task, prototypes, &[]).await?;
    commit(tx, &shared.events, &written.decisions).await?;
    *search = match passed {
        Some(last) => search.pass(last, Instant::now()),
        None => search.passed_none(),
    };
    if let Some(at) = search.next_from_start().filter(|_| passed.is_some()) {
        shared.there_will_be_work(at);
    }
    Ok(Some(Claimed { written, picked, hungry: more }))
}

/// What claims are decided from.
struct Locked {
    view: View,
    /// The templates of tasks that have a budget.
    by_task: ending::ByTask,
    /// Those of them that have other steps than their templates make.
    grown: BTreeSet<TaskId>,
    now: Timestamp,
}

/// Locks the tasks that the claims change, and leaves out the steps of those that somebody holds or whose deadline has passed, and
/// those of which an attempt is ending here.
async fn lock_changed_tasks<D: Database>(
    tx: &mut D::Tx,
    shared: &Shared<D>,
    picked: &[Picked],
) -> Result<Locked, Error> {
    let changed = picked.iter().filter(|p| p.changes_task()).map(|p| p.step.id);
    let changed = ending::task_ids(changed);
    let rows = if changed.is_empty() { Vec::new() } else { tx.lock_free_tasks(&changed).await? };
    let mut view = View::default();
    let mut limited = Vec::new();
    for (row, context) in rows {
        view.tasks.insert(row.task.id, row.task);
        shared.courier.keep(row.task.id, row.template, context);
        limited.extend(row.has_budget.then_some(row));
    }
    let by_task = ending::load_templates(tx, &shared.templates, &limited).await?;
    view.compensated = ending::compensated(&by_task);
    let grown = growth::grown(&limited, &by_task);
    let sight = Sight { by_task: &by_task, served: None, ledger: None, grown: &grown };
    let ending = shared.ledger.ending(picked.iter().map(|one| one.step.id));
    let limited_in_time = picked.iter().filter(|p| p.has_deadline).map(|p| p.step.id);
    let late = ending::late(tx, &ending::task_ids(limited_in_time)).await?;
    let is_left = |id: StepId| ending.contains(&id) || late.contains(&id.task());
    for one in picked.iter().filter(|one| !is_left(one.step.id)) {
        let id = one.step.id;
        if !one.changes_task() || view.tasks.contains_key(&id.task()) {
            let join = if one.has_budget { sight.join(id) } else { Join::default() };
            view.steps.insert(id, ending::step(&one.step, join));
        }
    }
    let seen: Vec<_> = view.steps.keys().copied().collect();
    growth::learn(tx, &mut view, &seen, sight).await?;
    ending::see_budgets(tx, &mut view, &limited, sight).await?;
    mapping::see_claimed(tx, &mut view, sight).await?;
    Ok(Locked { view, by_task, grown, now: picked[0].step.now })
}

/// Commits, and lets subscribers know before a handler does.
async fn commit(
    tx: impl Transaction,
    events: &Events,
    decisions: &Decisions,
) -> Result<(), Landed> {
    events.commit(tx, decisions).await.map_err(Landed::unsure)
}

/// Enters the claims that were made, and hands them to the threads. The room that was granted for them is
/// given back before a handler can end. `picked` are those that stood in the queue.
async fn hand_over<D: Database>(
    shared: &Shared<D>,
    written: &Written,
    grant: Option<Grant>,
    picked: &[Picked],
) -> Landed {
    for at in written.decisions.steps.iter().filter_map(|change| change.available_at) {
        let wait = (at - written.decisions.now).to_std().unwrap_or(Duration::ZERO);
        shared.there_will_be_work(Instant::now() + wait);
    }
    let Some(batch) = written.batch else {
        return Landed { written: true, ..Landed::default() };
    };
    let claimed: Vec<_> = written.decisions.steps.iter().filter_map(claimed).collect();
    let places: FxHashMap<_, _> = picked.iter().map(|one| (one.step.id, one.place)).collect();
    let since = |step| places.get(&step).map_or(written.decisions.now, |place| place.available_at);
    shared.ledger.enter(batch, &claimed, |step| Some(since(step)));
    drop(grant);
    shared.counts.claimed.fetch_add(claimed.len() as u64, Ordering::Relaxed);
    let mut claims: Vec<_> = claimed.into_iter().map(|(claim, _)| claim).collect();
    // Decisions are in the order of the steps' ids.
    if !picked.is_sorted_by_key(|one| one.step.id) {
        claims.sort_by_key(|claim| places.get(&claim.step));
    }
    let priority = |step| {
        places.get(&step).map_or_else(|| written.decisions.priority(step), |place| place.priority)
    };
    deliver(shared, claims, &Results::of(&written.decisions), priority).await
}

fn claimed(change: &StepChange) -> Option<(Claim, Tried)> {
    let claim = change.claim()?;
    let Step { failures, crashes, .. } = change.after;
    Some((claim, Tried { failures, crashes }))
}

/// Hands claims to the threads, with what their handlers need: the most urgent of all that they have not taken comes first.
/// `results` were written just now.
pub(super) async fn deliver<D: Database>(
    shared: &Shared<D>,
    claims: Vec<Claim>,
    results: &Results<'_>,
    priority: impl Fn(StepId) -> i16,
) -> Landed {
    let asked = shared.courier.prepare(&shared.database, &shared.templates, &claims, results);
    let prepared = shared.answer(asked).await.unwrap_or_else(|silence| Err(silence.into()));
    match prepared {
        Ok((prepared, refused)) => {
            shared.ledger.describe(prepared.iter().map(described));
            let deliveries = prepared.into_iter().map(|prepared| prepared.delivery);
            let ranked = deliveries.map(|delivery| (priority(delivery.claim.step), delivery));
            shared.inbox.push(ranked.collect());
            Landed { written: true, refused, ..Landed::default() }
        }
        Err(error) => Landed { written: true, undelivered: claims, ..Landed::from(error) },
    }
}

/// Whether the database answers at all.
pub(super) async fn answers<D: Database>(shared: &Shared<D>) -> bool {
    let asked = shared.answer(shared.database.claims_of(shared.worker())).await;
    matches!(asked, Ok(Ok(_)))
}

fn described(prepared: &Prepared) -> Described {
    let step = prepared.delivery.claim.step;
    let template = &prepared.template;
    Described {
        step,
        timeout: prepared.step().and_then(|step| step.timeout),
        reach: Reach {
            children: template.children(step).len(),
            alone: template.template.steps().len() == 1,
        },
        decision: template.forks(step).then(|| {
            let (stored, context) = (Arc::clone(template), Arc::clone(&prepared.delivery.context));
            Arc::new(Decider { stored, context })
        }),
    }
}

/// Strikes and counts the ends that are in the database.
fn strike<'a, D>(
    shared: &Shared<D>,
    ends: impl Iterator<Item = &'a ClaimEnd> + Clone,
    written: &Written,
) {
    shared.ledger.strike(ends.clone().map(|end| end.claim));
    let (counts, stale) = (&shared.counts, &written.decisions.stale);
    counts.stale.fetch_add(stale.len() as u64, Ordering::Relaxed);
    for claim in stale {
        warn!(step_id = claim.step.0, attempt = claim.attempt, "a late end was refused");
    }
    for end in ends.clone().filter(|end| stale.is_empty() || !stale.contains(&end.claim)) {
        match end.outcome {
            Outcome::Succeeded(_)
            | Outcome::Decided(..)
            | Outcome::Grew(..)
            | Outcome::Failed(_)
            | Outcome::Recorded(_)
            | Outcome::Waiting(_) => &counts.ended,
            Outcome::ConditionUnmet(_) | Outcome::ItemGivenUp(_) | Outcome::Mapped(_) => continue,
            Outcome::GivenBack(_) => &counts.given_back,
            Outcome::Interrupted | Outcome::WorkerDied => &counts.interrupted,
        }
        .fetch_add(1, Ordering::Relaxed);
    }
    let reported = ends.filter(|end| end.execution.is_some()).count();
    counts.unwritten.fetch_sub(reported as u64, Ordering::Relaxed);
}
