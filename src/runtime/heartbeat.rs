//! The heartbeat of a worker: says that it lives and asks what there is to do, in one query.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::rescuer;
use super::worker::Shared;
use crate::ids::WorkerId;
use crate::store::Beat;

/// Heartbeats between two looks at which queues there are, for a worker that serves all.
const BEATS_PER_LOOK: u32 = 15;

/// Beats until the worker ends or its orchestrator is gone.
pub(super) async fn beat(shared: Arc<Shared>) {
    let mut heart = Heart { shared, trouble: None, rescue: None };
    let mut ticks = interval(heart.shared.options.heartbeat_interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for beats in 0u32.. {
        ticks.tick().await;
        if heart.shared.is_broken() {
            return;
        }
        if beats.is_multiple_of(BEATS_PER_LOOK) {
            heart.shared.look_for_queues().await;
        }
        heart.beat().await;
    }
}

struct Heart {
    shared: Arc<Shared>,
    /// When a beat failed or took long: then those of others did too, and nobody can be called dead.
    trouble: Option<Instant>,
    /// A rescue may wait for locks, and the heart must not wait for it.
    rescue: Option<AbortOnDropHandle<()>>,
}

impl Heart {
    async fn beat(&mut self) {
        let begun = Instant::now();
        let worker = self.shared.worker();
        match self.shared.store.beat(worker, &self.shared.queues()).await {
            Ok(beat) => {
                if begun.elapsed() * 2 > self.shared.options.dead_after() {
                    self.trouble = Some(Instant::now());
                }
                self.act(worker, beat);
            }
            Err(error) => {
                self.trouble = Some(Instant::now());
                warn!(%error, "a heartbeat failed");
            }
        }
    }

    fn act(&mut self, worker: WorkerId, beat: Beat) {
        let shared = &self.shared;
        if !beat.alive {
            shared.was_buried(worker);
        }
        if usize::try_from(beat.claim_batches).is_ok_and(|known| known != shared.ledger.batches()) {
            shared.compare_claims();
        }
        if let Some(at) = beat.next_available_at {
            let wait = (at - beat.now).to_std().unwrap_or(Duration::ZERO);
            shared.there_will_be_work(Instant::now() + wait);
        }
        if beat.somebody_died && self.is_steady() {
            self.rescue();
        }
    }

    fn is_steady(&self) -> bool {
        let dead_after = self.shared.options.dead_after();
        self.trouble.is_none_or(|trouble| trouble.elapsed() > dead_after)
    }

    fn rescue(&mut self) {
        if self.rescue.as_ref().is_some_and(|rescue| !rescue.is_finished()) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.rescue = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = rescuer::rescue(&shared.store, &shared.templates).await {
                warn!(%error, "the rescue of a dead worker's claims failed");
            }
        })));
    }
}
