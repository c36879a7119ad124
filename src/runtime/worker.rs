//! A worker process: registers, claims, hands out, collects, stops.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, info};

use super::delivery::{Courier, Delivery};
use super::events::{EventSet, Events};
use super::inbox::{Batch, Inbox, Interrupt};
use super::ledger::Ledger;
use super::orchestrator::Orchestrator;
use super::templates::Templates;
use super::{heartbeat, pruner};
use crate::config::WorkerOptions;
use crate::decision::{ClaimEnd, Failure, Outcome};
use crate::error::Error;
use crate::ids::{StepId, TaskId, TemplateId, WorkerId};
use crate::json::{self, JsonLimits};
use crate::store::{NewWorker, Planning, SCHEMA_VERSION, Store};
use crate::suggest::nearest;

/// Connections of a worker, for rounds first of all, and for look-ups and rescues between them. The heart has
/// a fourth.
const CONNECTIONS: u32 = 3;

/// Time beyond its limit after which a stop does not wait for the database any more.
const LAST_RESORT: Duration = Duration::from_secs(10);

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
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) templates: Templates,
    pub(super) options: WorkerOptions,
    pub(super) inbox: Inbox<Delivery>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) courier: Courier,
    pub(super) events: Arc<Events>,
    pub(super) counts: Counts,
    worker: AtomicI64,
    phase: AtomicU8,
    wake: Notify,
    work: AtomicBool,
    buried: AtomicBool,
    compare: AtomicBool,
    broken: AtomicBool,
    /// Other workers that did not rest when the heart last looked.
    busy_others: AtomicUsize,
    /// When there will be work, the nearest times; held for a look-up only.
    work_at: Mutex<BTreeSet<Instant>>,
    /// By when stopping must be over; held for a copy only.
    stop_by: Mutex<Option<Instant>>,
    /// The queues served; held for a copy only.
    queues: Mutex<Vec<String>>,
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

/// A worker's counters since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerStats {
    /// Claims made.
    pub claimed: u64,
    /// Claims taken by handler threads.
    pub taken: u64,
    /// Attempts whose end is in the database.
    pub completed: u64,
    /// Ends that were refused because the claim was not current.
    pub stale: u64,
    /// Ends reported by handlers and not yet in the database.
    pub pending_writes: u64,
    /// Claims held.
    pub held: u64,
    /// Events that no subscriber was told.
    pub events_dropped: u64,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// Attempts whose end is in the database.
    pub finished: u64,
    /// Claims given back before their handler began.
    pub given_back: u64,
    /// Claims given back while their handler ran.
    pub interrupted: u64,
    /// Everything was written before the worker ended.
    pub in_order: bool,
}

/// A worker of this process. Handler threads take steps with [`Worker::next_batch`] and report with
/// [`Worker::succeed`] and [`Worker::fail`].
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    ends: mpsc::UnboundedSender<ClaimEnd>,
    parts: Mutex<Parts>,
}

/// The tasks that the worker owns.
#[derive(Debug)]
struct Parts {
    orchestrator: Option<AbortOnDropHandle<bool>>,
    others: Vec<AbortOnDropHandle<()>>,
}

impl Shared {
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

    fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.wake.notify_one();
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
    async fn look_for_queues(&self) {
        if self.options.queues.is_some() {
            return;
        }
        match self.store.known_queues().await {
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

    /// The orchestrator is gone: nothing is handed out, and the heart stops, so that others rescue.
    fn broke(&self) {
        self.broken.store(true, Ordering::Release);
        self.inbox.close();
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(super) fn take_burial(&self) -> bool {
        self.buried.swap(false, Ordering::AcqRel)
    }

    /// Registers the process under an id of its own, which no other registration ever gets.
    pub(super) async fn register(&self) -> Result<WorkerId, Error> {
        let new = NewWorker {
            host: host(),
            pid: std::process::id(),
            concurrency: self.options.concurrency,
            queues: self.options.queues.clone(),
            dead_after_ms: self.options.dead_after_ms,
        };
        let id = self.store.register_worker(&new).await?;
        self.worker.store(id.0, Ordering::Release);
        info!(worker_id = id.0, "registered");
        Ok(id)
    }
}

impl Worker {
    /// Registers a worker and begins to claim.
    ///
    /// # Errors
    /// When the database cannot be reached or has another schema.
    pub async fn start(options: WorkerOptions) -> Result<Self, Error> {
        let timeout = options.connect_timeout();
        let store = Store::connect(&options.url, CONNECTIONS, timeout, Planning::Fixed).await?;
        let found = store.schema_version().await?;
        if found != SCHEMA_VERSION {
            return Err(Error::SchemaMismatch { found });
        }
        let shared = Arc::new(Shared::new(store, options));
        shared.register().await?;
        shared.look_for_queues().await;
        shared.there_is_work();
        let (ends, reported) = mpsc::unbounded_channel();
        let orchestrator = Orchestrator::new(Arc::clone(&shared), reported);
        let parts = Parts {
            orchestrator: Some(AbortOnDropHandle::new(tokio::spawn(watch(
                Arc::clone(&shared),
                AbortOnDropHandle::new(tokio::spawn(orchestrator.run())),
            )))),
            others: vec![
                AbortOnDropHandle::new(tokio::spawn(heartbeat::beat(Arc::clone(&shared)))),
                AbortOnDropHandle::new(tokio::spawn(pruner::prune(Arc::clone(&shared)))),
            ],
        };
        Ok(Self { shared, ends, parts: Mutex::new(parts) })
    }

    /// The id of the worker's current registration.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.shared.worker()
    }

    /// Waits up to `timeout` for at most `max` steps to execute. Blocks the calling thread.
    pub fn next_batch(&self, max: usize, timeout: Duration, interrupt: &Interrupt) -> Batch {
        let shared = &self.shared;
        let limited = Cell::new(false);
        let steps = shared.inbox.pop(max, timeout, interrupt, |taken| {
            let claims = taken.iter().map(|d| d.claim);
            limited.set(shared.ledger.begin(claims, Instant::now()));
        });
        if limited.get() {
            // The orchestrator must not sleep past the new deadline.
            shared.wake.notify_one();
        }
        let Some(steps) = steps else {
            return Batch::Closed;
        };
        shared.counts.taken.fetch_add(steps.len() as u64, Ordering::Relaxed);
        Batch::Steps(steps)
    }

    /// Reports that the attempt returned `results`, JSON text. Does not wait for the database.
    ///
    /// # Errors
    /// [`Error::Json`] when the text is no JSON that the database can store; the attempt is still
    /// open then.
    pub fn succeed(
        &self,
        step: StepId,
        attempt: u32,
        execution: Duration,
        results: &str,
    ) -> Result<(), Error> {
        json::check(results, JsonLimits::RESULTS)
            .map_err(|source| Error::Json { what: format!("results of step {step}"), source })?;
        self.report(step, attempt, execution, Outcome::Succeeded(results.into()));
        Ok(())
    }

    /// Reports that the attempt failed. Does not wait for the database.
    ///
    /// # Errors
    /// [`Error::Argument`] when `failure` is not the JSON text of a [`Failure`].
    pub fn fail(
        &self,
        step: StepId,
        attempt: u32,
        execution: Duration,
        failure: &str,
    ) -> Result<(), Error> {
        let parsed: Failure = serde_json::from_str(failure).map_err(|error| Error::Argument {
            argument: "failure",
            value: failure.chars().take(80).collect(),
            allowed: format!("an object with kind, class and message ({error})"),
        })?;
        let failure = match json::check(failure, JsonLimits::RESULTS) {
            Ok(()) => parsed,
            Err(_) => bare(&parsed),
        };
        self.report(step, attempt, execution, Outcome::Failed(failure));
        Ok(())
    }

    fn report(&self, step: StepId, attempt: u32, execution: Duration, outcome: Outcome) {
        let counts = &self.shared.counts;
        let Some(claim) = self.shared.ledger.report(step, attempt) else {
            counts.stale.fetch_add(1, Ordering::Relaxed);
            // The thread of a handler that took too long is free again.
            self.shared.wake.notify_one();
            return;
        };
        counts.unwritten.fetch_add(1, Ordering::Relaxed);
        let end = ClaimEnd { claim, outcome, execution: Some(execution) };
        if self.ends.send(end).is_err() {
            debug!(step_id = step.0, attempt, "reported after the worker had ended");
        }
    }

    /// The normalised JSON of a template.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn template(&self, id: TemplateId) -> Result<String, Error> {
        let stored = self.shared.templates.get(self.shared.store.pool(), id).await?;
        Ok(stored.template.to_json())
    }

    /// The results of a step of the task by its name, JSON text; `None` while there are none.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], and [`Error::Argument`] for a name that its template does not have.
    pub async fn results_of(&self, task: TaskId, name: &str) -> Result<Option<String>, Error> {
        let shared = &self.shared;
        let stored = shared.templates.of_task(&shared.store, task).await?;
        let index =
            stored.template.step_index(name).ok_or_else(|| no_such_step(&stored.template, name))?;
        let step = task.step(index);
        Ok(shared.store.step_results(&[step]).await?.remove(&step).flatten())
    }

    /// What this worker commits, for subscribers.
    #[must_use]
    pub fn events(&self) -> &Arc<Events> {
        &self.shared.events
    }

    /// The template of a task, known of tasks whose steps this worker executed of late.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], and when it cannot be read.
    pub async fn template_of(&self, task: TaskId) -> Result<TemplateId, Error> {
        let shared = &self.shared;
        match shared.courier.template_of(task) {
            Some(template) => Ok(template),
            None => Ok(shared.templates.of_task(&shared.store, task).await?.id),
        }
    }

    /// Stops claiming and gives back what no thread has taken.
    pub fn drain(&self) {
        self.shared.advance(Phase::Draining);
        self.shared.inbox.close();
    }

    /// Ends the worker: waits up to `timeout` for handlers that run, gives back what is left, and
    /// writes everything that was reported.
    ///
    /// # Errors
    /// [`Error::Closed`] when it was stopped before.
    pub async fn stop(&self, timeout: Duration) -> Result<Stopped, Error> {
        let (orchestrator, others) = {
            let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            (parts.orchestrator.take(), std::mem::take(&mut parts.others))
        };
        let orchestrator = orchestrator.ok_or(Error::Closed("worker"))?;
        self.hurry(timeout);
        self.drain();
        self.shared.advance(Phase::Stopping);
        let in_order = tokio::time::timeout(timeout.saturating_add(LAST_RESORT), orchestrator)
            .await
            .is_ok_and(|ended| ended.unwrap_or(false));
        for part in others {
            part.abort();
            let _ = part.await;
        }
        self.shared.events.end();
        self.shared.store.close().await;
        Ok(self.shared.counts.stopped(in_order))
    }

    /// Shortens a stop that is under way: handlers get no more than `timeout` from now on.
    pub fn hurry(&self, timeout: Duration) {
        let by = Instant::now().checked_add(timeout);
        let mut stop_by = self.shared.stop_by.lock().unwrap_or_else(PoisonError::into_inner);
        if stop_by.is_none_or(|known| by.is_some_and(|by| by < known)) {
            *stop_by = by;
        }
        drop(stop_by);
        self.shared.wake.notify_one();
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> WorkerStats {
        let counts = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        WorkerStats {
            claimed: read(&counts.claimed),
            taken: read(&counts.taken),
            completed: read(&counts.ended),
            stale: read(&counts.stale),
            pending_writes: read(&counts.unwritten),
            held: self.shared.ledger.open() as u64,
            events_dropped: self.shared.events.dropped(),
        }
    }
}

impl Shared {
    fn new(store: Store, options: WorkerOptions) -> Self {
        let queues = options.queues.clone().unwrap_or_default();
        let events = Events::default();
        events.record(EventSet(options.record_events));
        Self {
            store,
            templates: Templates::default(),
            options,
            inbox: Inbox::unbounded(),
            ledger: Arc::default(),
            courier: Courier::default(),
            events: Arc::new(events),
            counts: Counts::default(),
            worker: AtomicI64::new(0),
            phase: AtomicU8::new(Phase::Running as u8),
            wake: Notify::new(),
            work: AtomicBool::new(false),
            buried: AtomicBool::new(false),
            compare: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            busy_others: AtomicUsize::new(0),
            work_at: Mutex::new(BTreeSet::new()),
            stop_by: Mutex::new(None),
            queues: Mutex::new(queues),
        }
    }
}

impl Counts {
    fn stopped(&self, in_order: bool) -> Stopped {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Stopped {
            finished: read(&self.ended),
            given_back: read(&self.given_back),
            interrupted: read(&self.interrupted),
            in_order,
        }
    }
}

pub(super) fn no_such_step(template: &crate::template::TaskTemplate, name: &str) -> Error {
    let names = template.steps().iter().map(|step| step.name.as_str());
    let allowed = match nearest(name, names) {
        Some(meant) => format!("a step of {}; did you mean {meant:?}?", template.name()),
        None => format!("a step of {}", template.name()),
    };
    Error::Argument { argument: "step", value: format!("{name:?}"), allowed }
}

/// Waits for the orchestrator's end. One that panicked leaves its claims to others.
async fn watch(shared: Arc<Shared>, orchestrator: AbortOnDropHandle<bool>) -> bool {
    match orchestrator.await {
        Ok(in_order) => in_order,
        Err(panic) => {
            error!(%panic, "a defect ended this worker; others take its claims");
            shared.broke();
            false
        }
    }
}

/// The part of a failure that can be stored whatever else was said of it.
fn bare(failure: &Failure) -> Failure {
    let text = |text: &str| text.chars().filter(|c| *c != '\0').take(4_096).collect::<String>();
    let retry_after_s = failure.retry_after_s;
    let bare = Failure::new(failure.kind, text(&failure.class), text(&failure.message));
    Failure { retry_after_s, ..bare }
}

/// The machine's name, as `uname -n` says it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok());
    name.map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}
