//! What the parts of a worker share.

use std::collections::BTreeSet;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info};

use super::artifacts::Attached;
use super::delivery::{Courier, Delivery};
use super::events::{EventSet, Events, WorkerEvent};
use super::inbox::Inbox;
use super::ledger::Ledger;
use super::patience::Patience;
use super::spending::Spending;
use super::templates::Templates;
use crate::config::WorkerOptions;
use crate::decision::{Claim, Decisions};
use crate::error::Error;
use crate::ids::WorkerId;
use crate::store::{Database, NewWorker, StoreError};

/// Times of future work that are remembered; the heartbeat finds what is forgotten.
const MOST_TIMES: usize = 1_000;

/// Where a worker stands between start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(super) enum Phase {
    Running,
    Draining,
    Stopping,
}

/// What the parts of a worker share.
#[derive(Debug)]
pub(super) struct Shared<D> {
    pub(super) database: D,
    pub(super) templates: Templates,
    pub(super) options: WorkerOptions,
    pub(super) inbox: Inbox<Delivery>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) attached: Attached,
    pub(super) spending: Spending,
    pub(super) courier: Courier,
    pub(super) events: Arc<Events>,
    pub(super) counts: Counts,
    /// Checkpoints that handlers have made.
    checkpoints: AtomicU32,
    patience: Patience,
    worker: AtomicI64,
    phase: AtomicU8,
    wake: Notify,
    /// The end of a task left something to be done.
    left: Notify,
    work: AtomicBool,
    buried: AtomicBool,
    compare: AtomicBool,
    /// Why the worker cannot go on.
    defect: OnceLock<String>,
    /// Other workers that did not rest when the heart last looked.
    busy_others: AtomicUsize,
    /// When there will be work, the nearest times; held for a look-up only.
    work_at: Mutex<BTreeSet<Instant>>,
    /// By when stopping must be over; held for a copy only.
    stop_by: Mutex<Option<Instant>>,
    /// The queues served; held for a copy only.
    queues: Mutex<Vec<String>>,
    /// What is to be told to operators; held for a move only.
    notice: Mutex<Option<String>>,
}

/// Counters since the start of the worker.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) claimed: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) ended: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) unwritten: AtomicU64,
    pub(super) given_back: AtomicU64,
    pub(super) interrupted: AtomicU64,
}

impl<D: Database> Shared<D> {
    pub(super) fn new(database: D, options: WorkerOptions) -> Self {
        let queues = options.queues.clone().unwrap_or_default();
        let events = Events::default();
        events.record(EventSet(options.record_events));
        Self {
            database,
            templates: Templates::default(),
            options,
            inbox: Inbox::unbounded(),
            ledger: Arc::default(),
            attached: Attached::default(),
            spending: Spending::default(),
            courier: Courier::default(),
            events: Arc::new(events),
            counts: Counts::default(),
            checkpoints: AtomicU32::new(0),
            patience: Patience::default(),
            worker: AtomicI64::new(0),
            phase: AtomicU8::new(Phase::Running as u8),
            wake: Notify::new(),
            left: Notify::new(),
            work: AtomicBool::new(false),
            buried: AtomicBool::new(false),
            compare: AtomicBool::new(false),
            defect: OnceLock::new(),
            busy_others: AtomicUsize::new(0),
            work_at: Mutex::new(BTreeSet::new()),
            stop_by: Mutex::new(None),
            queues: Mutex::new(queues),
            notice: Mutex::new(None),
        }
    }

    pub(super) fn worker(&self) -> WorkerId {
        WorkerId(self.worker.load(Ordering::Acquire))
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Stopping,
        }
    }

    pub(super) fn advance(&self, phase: Phase) {
        let before = self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        if before == Phase::Running as u8 && phase > Phase::Running {
            self.events.tell(self.worker(), WorkerEvent::Stopping);
        }
        self.wake.notify_one();
    }

    /// What the database, asked for something, comes to, unless it is silent for too long.
    pub(super) fn answer<T>(
        &self,
        asked: impl Future<Output = T>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        self.patience.with(&self.database, asked)
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// A decision was written that perhaps leaves something to be done.
    pub(super) fn leave(&self, decisions: &Decisions) {
        if decisions.leaves_something() {
            self.follow_up();
        }
    }

    /// There is something that the end of a task left to be done.
    pub(super) fn follow_up(&self) {
        self.left.notify_one();
    }

    pub(super) async fn something_left(&self) {
        self.left.notified().await;
    }

    /// No claims are made and none are handed out.
    pub(super) fn stops(&self) -> bool {
        self.phase() >= Phase::Draining
    }

    pub(super) fn stop_by(&self) -> Option<Instant> {
        *self.stop_by.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn queues(&self) -> Vec<String> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether steps of the queue are claimed here. A worker that serves all queues learns of new
    /// ones by being asked.
    pub(super) fn serves(&self, queue: &str) -> bool {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let known = queues.iter().any(|known| known == queue);
        if !known && self.options.queues.is_none() {
            queues.push(queue.to_owned());
        }
        known || self.options.queues.is_none()
    }

    /// Learns of all queues that a template names, for a worker that serves all.
    pub(super) async fn look_for_queues(&self) {
        if self.options.queues.is_some() {
            return;
        }
        match self.database.known_queues().await {
            Ok(known) => {
                let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
                let all: BTreeSet<_> = queues.drain(..).chain(known).collect();
                queues.extend(all);
            }
            Err(error) => debug!(%error, "cannot read which queues there are"),
        }
    }

    /// Claims made since the start.
    pub(super) fn claimed(&self) -> u64 {
        self.counts.claimed.load(Ordering::Relaxed)
    }

    pub(super) fn there_is_work(&self) {
        self.work.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(super) fn there_will_be_work(&self, at: Instant) {
        if at <= Instant::now() {
            return self.there_is_work();
        }
        let mut work_at = self.work_at.lock().unwrap_or_else(PoisonError::into_inner);
        work_at.insert(at);
        if work_at.len() > MOST_TIMES {
            work_at.pop_last();
        }
        drop(work_at);
        self.wake.notify_one();
    }

    /// Takes the hint that there may be work, if there is one.
    pub(super) fn take_work(&self) -> bool {
        let mut work_at = self.work_at.lock().unwrap_or_else(PoisonError::into_inner);
        let later = work_at.split_off(&Instant::now());
        let due = !std::mem::replace(&mut *work_at, later).is_empty();
        self.work.swap(false, Ordering::AcqRel) || due
    }

    pub(super) fn work_at(&self) -> Option<Instant> {
        self.work_at.lock().unwrap_or_else(PoisonError::into_inner).first().copied()
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The database says that the worker with this id is dead: others have its claims.
    pub(super) fn was_buried(&self, worker: WorkerId) {
        if worker == self.worker() {
            self.buried.store(true, Ordering::Release);
            self.wake.notify_one();
        }
    }

    /// Others have ended this claim: its handler learns of it when it asks.
    pub(super) fn was_recalled(&self, claim: Claim) {
        if self.ledger.recall(claim) {
            info!(
                step_id = claim.step.0,
                attempt = claim.attempt,
                "others have ended this attempt"
            );
            self.wake.notify_one();
        }
    }

    /// The database may give claims to this worker that it does not know.
    pub(super) fn compare_claims(&self) {
        self.compare.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(super) fn take_comparison(&self) -> bool {
        self.compare.swap(false, Ordering::AcqRel)
    }

    pub(super) fn busy_others(&self) -> usize {
        self.busy_others.load(Ordering::Relaxed)
    }

    pub(super) fn saw_busy_others(&self, others: usize) {
        self.busy_others.store(others, Ordering::Relaxed);
    }

    /// A part of the worker is gone: nothing more is claimed or handed out.
    pub(super) fn broke(&self, why: String) {
        // What came first says most.
        let _ = self.defect.set(why);
        self.advance(Phase::Draining);
        self.inbox.close();
    }

    /// Why the worker cannot go on.
    pub(super) fn defect(&self) -> Option<Error> {
        self.defect.get().cloned().map(Error::Defect)
    }

    pub(super) fn take_burial(&self) -> bool {
        self.buried.swap(false, Ordering::AcqRel)
    }

    /// Registers the process under an id of its own, which no other registration ever gets.
    pub(super) async fn register(&self) -> Result<WorkerId, Error> {
        let new = NewWorker {
            host: HOST.clone(),
            pid: std::process::id(),
            concurrency: self.options.concurrency,
            queues: self.options.queues.clone(),
            dead_after_ms: self.options.dead_after_ms,
        };
        let id = self.answer(self.database.register_worker(&new)).await??;
        self.worker.store(id.0, Ordering::Release);
        info!(worker_id = id.0, "registered");
        self.events.tell(id, WorkerEvent::Started);
        Ok(id)
    }

    /// The number of the next checkpoint.
    pub(super) fn next_checkpoint(&self) -> u32 {
        self.checkpoints.fetch_add(1, Ordering::Relaxed)
    }

    /// The orchestrator must look around.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Leaves what is to be told to operators.
    pub(super) fn notify(&self, notice: String) {
        *self.notice.lock().unwrap_or_else(PoisonError::into_inner) = Some(notice);
    }

    /// The same, known better, unless it was told.
    pub(super) fn correct_notice(&self, notice: String) {
        let mut left = self.notice.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = left.as_mut() {
            *left = notice;
        }
    }

    pub(super) fn take_notice(&self) -> Option<String> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Handlers get no more than `timeout` from now on.
    pub(super) fn hurry(&self, timeout: Duration) {
        let by = Instant::now().checked_add(timeout);
        let mut stop_by = self.stop_by.lock().unwrap_or_else(PoisonError::into_inner);
        if stop_by.is_none_or(|known| by.is_some_and(|by| by < known)) {
            *stop_by = by;
        }
        drop(stop_by);
        self.wake();
    }
}

/// The machine's name, as `uname -n` says it.
static HOST: LazyLock<String> = LazyLock::new(|| {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok());
    name.map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
});
