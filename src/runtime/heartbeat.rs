//! The heart of a worker: says that it lives and asks what there is to do, in one query, and between
//! heartbeats listens on the same connection for calls of other processes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use tokio::time::{sleep_until, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::deadlines;
use super::ledger::EndedBatches;
use super::parts;
use super::rescuer;
use super::rhythm::{Place, Rhythm, Signs, resting_ms};
use super::shared::Shared;
use crate::guard::{Guard, removed};
use crate::store::{Beat, Call, Database, Line, Pulse, StoreError};

/// The server's limit for a heartbeat is no shorter than this, however short a life is.
const LEAST_PATIENCE: Duration = Duration::from_millis(500);

/// Beats until it is stopped.
pub(super) async fn beat<D: Database>(shared: Arc<Shared<D>>) {
    let mut heart = Heart::new(shared);
    loop {
        heart.look();
        if heart.rhythm.is_due(Instant::now()) {
            heart.beat().await;
        }
        heart.listen().await;
    }
}

struct Heart<D: Database> {
    shared: Arc<Shared<D>>,
    rhythm: Rhythm,
    /// `None` while there is no connection: each heartbeat then tries to make one.
    line: Option<D::Line>,
    /// When the last heartbeat that succeeded was begun.
    beaten: Option<Instant>,
    /// When a beat failed or took long: then those of others did too, and nobody can be called dead.
    trouble: Option<Instant>,
    /// A rescue may wait for locks, and the heart must not wait for it.
    rescue: Option<AbortOnDropHandle<Option<()>>>,
    /// Rescues that were begun.
    rescues: usize,
    /// As a rescue.
    deadlines: Option<AbortOnDropHandle<Option<()>>>,
}

impl<D: Database> Heart<D> {
    fn new(shared: Arc<Shared<D>>) -> Self {
        let interval = shared.options.heartbeat_interval();
        let rhythm = Rhythm::new(interval, signs(&shared), Instant::now());
        Self {
            shared,
            rhythm,
            line: None,
            beaten: None,
            trouble: None,
            rescue: None,
            rescues: 0,
            deadlines: None,
        }
    }

    fn look(&mut self) {
        self.rhythm.see(signs(&self.shared), Instant::now());
    }

    /// Waits for calls until it is time to look again.
    async fn listen(&mut self) {
        let until = self.rhythm.look_at(Instant::now());
        let Some(line) = &mut self.line else {
            return sleep_until(until).await;
        };
        match timeout_at(until, line.next()).await {
            Err(_) => {}
            Ok(Ok(Some(Call::Steps(queue)))) => {
                if self.shared.serves(&queue) {
                    self.shared.there_is_work();
                }
            }
            Ok(Ok(Some(Call::Ended(claim)))) => self.shared.was_recalled(claim),
            Ok(Ok(None)) => self.hang_up("the connection was closed"),
            Ok(Err(error)) => self.hang_up(&error.to_string()),
        }
    }

    fn hang_up(&mut self, why: &str) {
        debug!(why, "listening failed");
        self.line = None;
        self.rhythm.failed(Instant::now());
    }

    async fn beat(&mut self) {
        let begun = Instant::now();
        let over = self.rhythm.rests(begun).then(|| self.shared.ledger.take_ended());
        let pulse = self.pulse(over.as_ref());
        match self.send(&pulse).await {
            Ok(beat) => {
                self.beaten(begun, &pulse, &beat);
                if let Some(over) = over {
                    over.deleted();
                }
            }
            Err(error) => {
                let now = Instant::now();
                self.trouble = Some(now);
                self.rhythm.failed(now);
                warn!(%error, worker_id = pulse.worker.0, "a heartbeat failed");
            }
        }
    }

    /// A worker that rests has the time to say which of its batches are over.
    fn pulse(&self, over: Option<&EndedBatches>) -> Pulse {
        Pulse {
            worker: self.shared.worker(),
            queues: self.shared.queues(),
            all_queues: self.shared.options.queues.is_none(),
            resting_ms: if over.is_some() { resting_ms() } else { 0 },
            over: over.map(|over| over.batches().to_vec()).unwrap_or_default(),
            running: self.shared.ledger.running(),
        }
    }

    /// Beats on the connection there is, or on another. One that does not answer is not used again.
    async fn send(&mut self, pulse: &Pulse) -> Result<Beat, StoreError> {
        let patience = patience(&self.shared);
        // The server gives up first, and the connection stays good.
        let limit = patience + patience / 4;
        let line = self.line.take();
        let attempt = async {
            let mut line = match line {
                Some(line) => line,
                None => self.call_in(patience).await?,
            };
            let beat = line.beat(pulse).await;
            Ok((line, beat))
        };
        let (line, beat) = timeout(limit, attempt).await.unwrap_or_else(|_| {
            let why = format!("no answer within {} ms", limit.as_millis());
            Err(StoreError::Unavailable(why.into()))
        })?;
        self.line = beat.as_ref().err().is_none_or(|e| !e.is_unavailable()).then_some(line);
        beat
    }

    /// Opens the connection. Calls were perhaps missed before.
    async fn call_in(&self, patience: Duration) -> Result<D::Line, StoreError> {
        let line = self.shared.database.listen(patience).await?;
        self.shared.there_is_work();
        Ok(line)
    }

    fn beaten(&mut self, begun: Instant, pulse: &Pulse, beat: &Beat) {
        let dead_after = self.shared.options.dead_after();
        let close = self.beaten.is_some_and(|last| (begun - last) * 2 <= dead_after);
        if begun.elapsed() * 2 > dead_after {
            self.trouble = Some(Instant::now());
        }
        self.beaten = Some(begun);
        self.rhythm.beaten(begun, pulse.resting_ms > 0, place(beat));
        self.act(pulse, beat);
        if beat.somebody_died && self.is_steady() {
            self.suspect(begun, close);
        }
        if beat.somebody_late && !removed(Guard::DeadlinesEnd) {
            self.end_late();
        }
        if beat.somebody_ended && !removed(Guard::FollowUpsFound) {
            self.shared.follow_up();
        }
    }

    fn act(&self, pulse: &Pulse, beat: &Beat) {
        let shared = &self.shared;
        if !beat.alive {
            shared.was_buried(pulse.worker);
        }
        if usize::try_from(beat.claim_batches).is_ok_and(|known| known != shared.ledger.batches()) {
            shared.compare_claims();
        }
        for claim in pulse.running.iter().filter(|claim| beat.lost.contains(&claim.step)) {
            shared.was_recalled(*claim);
        }
        shared.saw_busy_others(usize::try_from(beat.busy).unwrap_or(0));
        for queue in &beat.other_queues {
            shared.serves(queue);
        }
        if let Some(at) = beat.next_available_at.filter(|_| !removed(Guard::HeartbeatAsks)) {
            let wait = (at - beat.now).to_std().unwrap_or(Duration::ZERO);
            shared.there_will_be_work(Instant::now() + wait);
        }
        if beat.called > 0 {
            debug!(queues = beat.called, "called workers that rest");
        }
    }

    fn is_steady(&self) -> bool {
        let dead_after = self.shared.options.dead_after();
        self.trouble.is_none_or(|trouble| trouble.elapsed() > dead_after)
    }

    /// Somebody seems to be dead. Who has not beaten for long does not know whether the database was
    /// away in the meantime, and lets the others beat before it looks again.
    fn suspect(&mut self, begun: Instant, close: bool) {
        if close {
            self.rescue();
        } else {
            self.rhythm.look_twice(begun);
        }
    }

    fn rescue(&mut self) {
        if goes_on(self.rescue.as_ref()) {
            return;
        }
        self.rescues += 1;
        let (shared, turn) = (Arc::clone(&self.shared), self.rescues);
        self.rescue = Some(parts::start(&self.shared, "rescuer", async move {
            if let Err(error) = rescuer::rescue(&shared, turn).await {
                warn!(%error, "the rescue of a dead worker's claims failed");
            }
        }));
    }

    fn end_late(&mut self) {
        if goes_on(self.deadlines.as_ref()) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.deadlines = Some(parts::start(&self.shared, "enforcer of deadlines", async move {
            if let Err(error) = deadlines::enforce(&shared).await {
                warn!(%error, "a task whose deadline has passed is not ended yet");
            }
        }));
    }
}

fn goes_on(job: Option<&AbortOnDropHandle<Option<()>>>) -> bool {
    job.is_some_and(|job| !job.is_finished())
}

/// The server's limit for a heartbeat: after one that was stuck there is time for another.
fn patience<D>(shared: &Shared<D>) -> Duration {
    let options = &shared.options;
    let spare = options.dead_after().saturating_sub(options.heartbeat_interval());
    (spare / 2).max(LEAST_PATIENCE)
}

fn signs<D: Database>(shared: &Shared<D>) -> Signs {
    Signs { worker: shared.worker(), holds: shared.ledger.known() > 0, claimed: shared.claimed() }
}

fn place(beat: &Beat) -> Place {
    let count = |workers: i64| u32::try_from(workers).unwrap_or(1);
    Place { workers: count(beat.workers), before: count(beat.before), now: beat.now }
}
