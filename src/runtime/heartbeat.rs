//! The heartbeat of a worker: says that it lives and asks what there is to do, in one query.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::rescuer;
use super::worker::Shared;
use crate::store::Beat;

/// Heartbeats between two looks at which queues there are, for a worker that serves all.
const BEATS_PER_LOOK: u32 = 15;

/// Beats until the worker ends.
pub(super) async fn beat(shared: Arc<Shared>) {
    let mut ticks = interval(shared.options.heartbeat_interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for beats in 0u32.. {
        ticks.tick().await;
        if beats.is_multiple_of(BEATS_PER_LOOK) {
            shared.look_for_queues().await;
        }
        match shared.store.beat(shared.worker(), &shared.queues()).await {
            Ok(beat) => act(&shared, beat).await,
            Err(error) => warn!(%error, "a heartbeat failed"),
        }
    }
}

async fn act(shared: &Shared, beat: Beat) {
    if !beat.alive {
        shared.was_buried();
    }
    if let Some(at) = beat.next_available_at {
        let wait = (at - beat.now).to_std().unwrap_or(Duration::ZERO);
        shared.there_will_be_work(Instant::now() + wait);
    }
    if beat.somebody_died
        && let Err(error) = rescuer::rescue(&shared.store, &shared.templates).await
    {
        warn!(%error, "the rescue of a dead worker's claims failed");
    }
}
