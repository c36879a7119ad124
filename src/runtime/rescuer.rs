//! Takes back the claims of workers whose heartbeat ended.

use std::collections::BTreeMap;

use tracing::{info, instrument};

use super::ending::{Known, Observed, end_claims};
use super::shared::Shared;
use crate::decision::{ClaimEnd, Decisions, Outcome};
use crate::error::Error;
use crate::ids::WorkerId;
use crate::store::{Database, Transaction};

/// Claims taken back in one transaction.
const RESCUE_BATCH: usize = 500;

/// Buries every worker that is dead and not being buried by somebody else.
#[instrument(skip_all)]
pub(super) async fn rescue<D: Database>(shared: &Shared<D>) -> Result<(), Error> {
    while let Some((worker, rescued)) = shared.answer(rescue_batch(shared)).await?? {
        info!(worker_id = worker.0, rescued, "took back claims of a dead worker");
    }
    Ok(())
}

/// Takes back some claims of one dead worker, or buries it when it holds none. A worker that beats
/// again in between is left alone from then on: its row is read anew for each batch.
async fn rescue_batch<D: Database>(shared: &Shared<D>) -> Result<Option<(WorkerId, usize)>, Error> {
    let Shared { database, templates, events, .. } = shared;
    let mut tx = database.begin().await?;
    let Some(worker) = tx.lock_dead_worker().await? else {
        return Ok(None);
    };
    let listed = tx.listed_claims(worker).await?;
    let held: BTreeMap<_, _> =
        listed.iter().filter_map(|one| one.claim).map(|claim| (claim.step, claim)).collect();
    let held: Vec<_> = held.into_values().take(RESCUE_BATCH).collect();
    let rescued = held.len();
    let mut decisions = Decisions::default();
    if rescued == 0 {
        tx.bury_worker(worker).await?;
    } else {
        let end = |claim| ClaimEnd { claim, outcome: Outcome::WorkerDied, execution: None };
        let ends = held.into_iter().map(end).collect();
        let observed = Observed { ends, known: &Known::new(), room: None, queues: None };
        decisions = end_claims(&mut tx, templates, observed, &[]).await?.decisions;
    }
    events.commit(tx, &decisions).await?;
    Ok(Some((worker, rescued)))
}
