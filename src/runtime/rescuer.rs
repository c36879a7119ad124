//! Takes back the claims of workers whose heartbeat ended.

use std::collections::HashMap;

use tracing::{info, instrument};

use super::ending::{Known, Observed, end_claims};
use super::events::Events;
use super::templates::Templates;
use crate::decision::{ClaimEnd, Decisions, Outcome};
use crate::error::Error;
use crate::ids::WorkerId;
use crate::store::{Store, claims, workers};

/// Claims taken back in one transaction.
const RESCUE_BATCH: usize = 500;

/// Buries every worker that is dead and not being buried by somebody else.
#[instrument(skip_all)]
pub(super) async fn rescue(
    store: &Store,
    templates: &Templates,
    events: &Events,
) -> Result<(), Error> {
    while let Some((worker, rescued)) = rescue_batch(store, templates, events).await? {
        info!(worker_id = worker.0, rescued, "took back claims of a dead worker");
    }
    Ok(())
}

/// Takes back some claims of one dead worker, or buries it when it holds none. A worker that beats
/// again in between is left alone from then on: its row is read anew for each batch.
async fn rescue_batch(
    store: &Store,
    templates: &Templates,
    events: &Events,
) -> Result<Option<(WorkerId, usize)>, Error> {
    let mut tx = store.begin().await?;
    let Some(worker) = workers::lock_dead(&mut tx).await? else {
        return Ok(None);
    };
    let listed = claims::listed(&mut tx, worker).await?;
    let held: HashMap<_, _> =
        listed.iter().filter_map(|one| one.claim).map(|claim| (claim.step, claim)).collect();
    let held: Vec<_> = held.into_values().take(RESCUE_BATCH).collect();
    let rescued = held.len();
    let mut decisions = Decisions::default();
    if rescued == 0 {
        workers::bury(&mut tx, worker).await?;
    } else {
        let end = |claim| ClaimEnd { claim, outcome: Outcome::WorkerDied, execution: None };
        let ends = held.into_iter().map(end).collect();
        let observed = Observed { ends, known: &Known::new(), room: None, queues: None };
        decisions = end_claims(&mut tx, templates, observed, &[]).await?.decisions;
    }
    events.commit(tx, &decisions).await?;
    Ok(Some((worker, rescued)))
}
