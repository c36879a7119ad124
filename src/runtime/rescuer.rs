//! Takes back the claims of workers whose heartbeat ended.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, instrument, warn};

use super::ending::{Known, Observed, end_claims, task_ids};
use super::events::WorkerEvent;
use super::shared::Shared;
use super::spending::Spent;
use crate::decision::{Claim, ClaimEnd, Decisions, Outcome};
use crate::error::Error;
use crate::ids::{TaskId, WorkerId};
use crate::store::{Database, Transaction};

/// Claims taken back in one transaction.
const RESCUE_BATCH: usize = 500;

/// Takes the claims of every worker back that is dead and not being rescued by somebody else, and buries
/// those that hold none. Whoever holds rows of a task for long keeps the claims of that task only: all that
/// are free come first. Then the others are waited for, task by task from the `turn`th on, until one is
/// waited for in vain; the next rescue begins with another one.
#[instrument(skip_all)]
pub(super) async fn rescue<D: Database>(shared: &Shared<D>, turn: usize) -> Result<(), Error> {
    let mut rescue = Rescue { shared, untried: BTreeMap::new(), left: BTreeMap::new() };
    while shared.answer(rescue.sweep()).await?? {}
    rescue.insist(turn).await
}

/// What is known of the dead. Their claims are read once: each is compared with its row when it is taken
/// back, and read anew before its worker is buried.
struct Rescue<'a, D> {
    shared: &'a Shared<D>,
    /// Claims that were read, in the order of their steps.
    untried: BTreeMap<WorkerId, Vec<Claim>>,
    /// Claims that could not be taken back together with others.
    left: BTreeMap<(WorkerId, TaskId), Vec<Claim>>,
}

impl<D: Database> Rescue<'_, D> {
    /// Takes back some claims of one dead worker, or buries it when it holds none; `false` when there is no
    /// other one. A worker that beats again in between is left alone from then on: its row is read anew
    /// for each batch.
    async fn sweep(&mut self) -> Result<bool, Error> {
        let mut tx = self.shared.database.begin().await?;
        let Some(worker) = tx.lock_dead_worker(&self.passed()).await? else {
            return Ok(false);
        };
        let mut claims = match self.untried.remove(&worker) {
            Some(claims) => claims,
            None => held_claims(&mut tx, worker).await?,
        };
        if claims.is_empty() {
            tx.bury_worker(worker).await?;
            tx.commit().await?;
            info!(worker_id = worker.0, "buried a dead worker");
            self.shared.events.tell(worker, WorkerEvent::Lost);
            return Ok(true);
        }
        let rest = claims.split_off(claims.len().min(RESCUE_BATCH));
        if !rest.is_empty() {
            self.untried.insert(worker, rest);
        }
        let left = self.take_back_free(tx, &claims).await.or_else(|error| {
            warn!(%error, worker_id = worker.0, "claims of a dead worker are taken back one by one");
            if error.is_unavailable() { Err(error) } else { Ok(claims) }
        })?;
        for claim in left {
            self.left.entry((worker, claim.step.task())).or_default().push(claim);
        }
        Ok(true)
    }

    /// Workers all of whose claims were tried, and that still hold some.
    fn passed(&self) -> Vec<WorkerId> {
        let workers: BTreeSet<_> = self.left.keys().map(|(worker, _)| *worker).collect();
        workers.into_iter().filter(|worker| !self.untried.contains_key(worker)).collect()
    }

    /// Takes back the claims whose tasks nobody holds. Returns the others, and those that are not current.
    async fn take_back_free(&self, mut tx: D::Tx, claims: &[Claim]) -> Result<Vec<Claim>, Error> {
        let tasks = task_ids(claims.iter().map(|claim| claim.step));
        let locked: BTreeSet<_> = tx.try_lock_tasks(&tasks).await?.into_iter().collect();
        let (free, mut left): (Vec<_>, Vec<_>) =
            claims.iter().partition(|claim| locked.contains(&claim.step.task()));
        if !free.is_empty() {
            left.extend(self.take_back(tx, free).await?.stale);
        }
        Ok(left)
    }

    /// Waits for what is left, each task in a transaction of its own.
    async fn insist(self, turn: usize) -> Result<(), Error> {
        let tasks = self.left.len();
        for ((worker, task), claims) in
            self.left.iter().cycle().skip(turn % tasks.max(1)).take(tasks)
        {
            let waited = self.shared.answer(self.take_back_held(*worker, claims)).await?;
            let Err(error) = waited else { continue };
            warn!(%error, worker_id = worker.0, task_id = task.0, "claims of a dead worker are not taken back yet");
            if error.is_unavailable() || error.is_timeout() {
                break;
            }
        }
        Ok(())
    }

    /// Takes back claims of one task, waiting for it. Whoever has died in the meantime comes with the next
    /// rescue.
    async fn take_back_held(&self, worker: WorkerId, claims: &[Claim]) -> Result<(), Error> {
        let mut others = self.passed();
        others.retain(|other| *other != worker);
        let mut tx = self.shared.database.begin().await?;
        if tx.lock_dead_worker(&others).await? == Some(worker) {
            self.take_back(tx, claims.to_vec()).await?;
        }
        Ok(())
    }

    async fn take_back(&self, mut tx: D::Tx, claims: Vec<Claim>) -> Result<Decisions, Error> {
        let Shared { templates, events, .. } = self.shared;
        let worker = claims.first().map(|claim| claim.worker.0);
        let end = |claim| ClaimEnd { claim, outcome: Outcome::WorkerDied, execution: None };
        let ends = claims.into_iter().map(end).collect();
        let observed = Observed {
            ends,
            known: &Known::new(),
            room: None,
            queues: None,
            ledger: None,
            spent: Spent::new(),
        };
        let decisions = end_claims(&mut tx, templates, observed, &[]).await?.decisions;
        events.commit(tx, &decisions).await?;
        self.shared.leave(&decisions);
        info!(
            worker_id = worker,
            rescued = decisions.steps.len(),
            "took back claims of a dead worker"
        );
        Ok(decisions)
    }
}

/// The claims that a worker holds, in the order of their steps.
async fn held_claims(tx: &mut impl Transaction, worker: WorkerId) -> Result<Vec<Claim>, Error> {
    let listed = tx.listed_claims(worker).await?;
    let held: BTreeMap<_, _> =
        listed.iter().filter_map(|one| one.claim).map(|claim| (claim.step, claim)).collect();
    Ok(held.into_values().collect())
}
