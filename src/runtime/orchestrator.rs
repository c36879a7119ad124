//! The one loop of a worker that writes: ends of claims first, then new claims, in turn. Being one
//! loop, it always knows which claims of its own are in the database.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::{debug, error, instrument, warn};

use super::delivery::{Courier, Prepared};
use super::ending::{self, end_claims};
use super::ledger::GivenUp;
use super::pace::Pace;
use super::worker::{Phase, Shared};
use crate::decide::decide;
use crate::decision::{
    Claim, ClaimEnd, Decisions, Failure, FailureKind, Observation, Outcome, Room, View,
};
use crate::error::Error;
use crate::retry_policy::RetryPolicy;
use crate::store::{Picked, StoreError, claims, tasks};

/// Ends written in one transaction at most: beyond some hundred rows a statement gets no cheaper a
/// row, and everybody waits longer for it.
const MOST_ENDS: usize = 500;

/// Pause after a failed transaction, doubled up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause after failed transactions: a database that comes back is noticed within it.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Pause before steps are looked at again whose tasks other workers were just changing.
const BUSY_TASKS: Duration = Duration::from_millis(2);

/// How long a stopping worker tries to write what it has while the database does not answer.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The state of the loop.
pub(super) struct Orchestrator {
    shared: Arc<Shared>,
    reported: mpsc::UnboundedReceiver<ClaimEnd>,
    /// Ends that are not in the database yet.
    ends: Vec<ClaimEnd>,
    /// Claims of this worker that are not on their way to a thread yet.
    undelivered: Vec<Claim>,
    courier: Courier,
    pace: Pace,
    /// There may be steps to claim.
    hungry: bool,
    /// A commit failed, and perhaps took place: which claims are ours must be read.
    unsure: bool,
    /// Ends at the head of the list that are written one by one.
    singly: usize,
    /// How often the first of them was refused.
    refusals: u32,
    /// This worker has an id that the database counts as alive, as far as it knows.
    registered: bool,
    pause: Duration,
    drained: bool,
}

impl Orchestrator {
    pub(super) fn new(shared: Arc<Shared>, reported: mpsc::UnboundedReceiver<ClaimEnd>) -> Self {
        Self {
            shared,
            reported,
            ends: Vec::new(),
            undelivered: Vec::new(),
            courier: Courier::default(),
            pace: Pace::new(Instant::now()),
            hungry: true,
            unsure: false,
            singly: 0,
            refusals: 0,
            registered: true,
            pause: Duration::ZERO,
            drained: false,
        }
    }

    /// Runs until the worker has stopped. Returns whether everything was written.
    pub(super) async fn run(mut self) -> bool {
        loop {
            self.look_around().await;
            if let Some(in_order) = self.stopped().await {
                return in_order;
            }
            if let Err(error) = self.work().await {
                self.failed(&error).await;
            } else {
                self.pause = Duration::ZERO;
            }
        }
    }

    /// One piece of work, or a wait for some.
    async fn work(&mut self) -> Result<(), Error> {
        if self.unsure {
            self.read_own_claims().await?;
        }
        if !self.ends.is_empty() {
            self.write_ends().await?;
        } else if !self.may_claim() && self.undelivered.is_empty() {
            self.wait().await;
            return Ok(());
        }
        self.deliver().await?;
        if self.may_claim() {
            self.claim().await?;
            self.deliver().await?;
        }
        Ok(())
    }

    /// Takes in what others left: reports, hints, late handlers, a burial, a wish to stop.
    async fn look_around(&mut self) {
        while self.ends.len() < MOST_ENDS {
            match self.reported.try_recv() {
                Ok(end) => self.ends.push(end),
                Err(_) => break,
            }
        }
        self.hungry |= self.shared.take_work();
        self.unsure |= self.shared.take_comparison();
        self.give_up_late();
        if self.shared.take_burial() {
            self.begin_anew().await;
        }
        if self.shared.stops() {
            self.drain().await;
        }
    }

    async fn wait(&mut self) {
        let deadlines = [
            self.shared.work_at(),
            self.shared.ledger.next_deadline(),
            self.shared.stop_by().filter(|_| self.drained),
        ];
        let until = deadlines.into_iter().flatten().min();
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        tokio::select! {
            Some(end) = self.reported.recv() => self.ends.push(end),
            () = self.shared.woken() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    fn takes_claims(&self) -> bool {
        self.registered && !self.shared.stops()
    }

    fn room(&self) -> usize {
        let threads = self.shared.options.concurrency as usize;
        let load = self.shared.ledger.load() + self.undelivered.len();
        (threads + self.pace.ahead()).saturating_sub(load)
    }

    /// Small claims cost a transaction each: while threads have enough, wait for a worthwhile one.
    fn may_claim(&self) -> bool {
        let threads = self.shared.options.concurrency as usize;
        let room = self.room();
        let worthwhile = self.shared.ledger.load() < threads || room * 2 >= self.pace.ahead();
        self.hungry && self.takes_claims() && room > 0 && worthwhile
    }

    /// Writes the next ends. They leave the list only when they are written.
    #[instrument(skip_all, fields(ends = self.ends.len(), worker_id = self.shared.worker().0))]
    async fn write_ends(&mut self) -> Result<(), Error> {
        let most = if self.singly > 0 { 1 } else { MOST_ENDS };
        let batch: Vec<_> = self.ends.drain(..self.ends.len().min(most)).collect();
        let written = self.write_batch(&batch).await;
        match &written {
            Ok(()) => {
                self.singly = self.singly.saturating_sub(1);
                self.refusals = 0;
            }
            Err(error) => {
                let size = batch.len();
                self.ends.splice(..0, batch);
                self.refused(error, size);
            }
        }
        written
    }

    /// A batch that cannot be written is written end by end, and an end that cannot be written because
    /// of what it holds fails its step.
    fn refused(&mut self, error: &Error, size: usize) {
        if error.is_retryable() {
            return;
        }
        if size > 1 {
            self.singly = size;
            return;
        }
        self.refusals += 1;
        if self.refusals > 1 && error.is_about_data() {
            let message = format!("the end of the attempt could not be written: {error}");
            self.ends[0].outcome =
                Outcome::Failed(failure(FailureKind::Permanent, "Database", message));
            self.refusals = 0;
        }
    }

    async fn write_batch(&mut self, batch: &[ClaimEnd]) -> Result<(), Error> {
        let room = Room { worker: self.shared.worker(), steps: self.room() };
        let room = Some(room).filter(|_| self.takes_claims());
        let shared = Arc::clone(&self.shared);
        let mut tx = shared.store.begin().await?;
        let decisions =
            end_claims(&mut tx, &shared.store, &shared.templates, batch.to_vec(), room).await?;
        self.commit(tx).await?;
        self.ended(batch, &decisions);
        self.take(&decisions);
        Ok(())
    }

    fn ended(&mut self, batch: &[ClaimEnd], decisions: &Decisions) {
        self.shared.ledger.strike(batch.iter().map(|end| end.claim));
        let counts = &self.shared.counts;
        let stale = decisions.stale.len() as u64;
        counts.stale.fetch_add(stale, Ordering::Relaxed);
        for end in batch.iter().filter(|end| !decisions.stale.contains(&end.claim)) {
            match end.outcome {
                Outcome::Succeeded(_) | Outcome::Failed(_) => &counts.ended,
                Outcome::GivenBack => &counts.given_back,
                Outcome::Interrupted | Outcome::WorkerDied => &counts.interrupted,
            }
            .fetch_add(1, Ordering::Relaxed);
        }
        let written = batch.iter().filter(|end| end.execution.is_some()).count();
        counts.unwritten.fetch_sub(written as u64, Ordering::Relaxed);
        for claim in &decisions.stale {
            warn!(step_id = claim.step.0, attempt = claim.attempt, "a late end was refused");
        }
        self.pace.saw(batch.len(), Instant::now());
    }

    /// Ends the attempts whose handlers take too long.
    fn give_up_late(&mut self) {
        for (claim, timeout) in self.shared.ledger.overdue(Instant::now()) {
            warn!(step_id = claim.step.0, attempt = claim.attempt, "a handler takes too long");
            let message = format!("the handler did not end within {} s", timeout.as_secs_f64());
            let failure = failure(FailureKind::Timeout, "Timeout", message);
            self.end(claim, Outcome::Failed(failure));
        }
    }

    fn end(&mut self, claim: Claim, outcome: Outcome) {
        self.ends.push(ClaimEnd { claim, outcome, execution: None });
    }

    #[instrument(skip_all, fields(worker_id = self.shared.worker().0))]
    async fn claim(&mut self) -> Result<(), Error> {
        let queues = self.shared.queues();
        let room = self.room();
        let shared = Arc::clone(&self.shared);
        let mut tx = shared.store.begin().await?;
        let limit = i64::try_from(room).unwrap_or(i64::MAX);
        let mut picked = claims::pick(&mut tx, &queues, limit).await?;
        self.hungry = picked.len() >= room;
        picked.truncate(room);
        if picked.is_empty() {
            return Ok(());
        }
        let (view, now) = lock_changed_tasks(&mut tx, &picked).await?;
        let busy = view.steps.len() < picked.len();
        self.hungry &= !view.steps.is_empty();
        let steps = view.steps.keys().copied().collect();
        let observation = Observation::StepsClaimed { worker: shared.worker(), steps };
        let decisions = decide(&view, observation, now, ending::jitter())
            .map_err(|source| Error::Transition { task: picked[0].step.id.task(), source })?;
        ending::write(&mut tx, &decisions, &ending::ByTask::new()).await?;
        self.commit(tx).await?;
        if busy {
            shared.there_will_be_work(Instant::now() + BUSY_TASKS);
        }
        self.take(&decisions);
        Ok(())
    }

    /// Takes over the claims and due times of a decision that was committed.
    fn take(&mut self, decisions: &Decisions) {
        let claimed = self.undelivered.len();
        self.undelivered.extend(decisions.claims());
        let claimed = self.undelivered.len() - claimed;
        self.shared.counts.claimed.fetch_add(claimed as u64, Ordering::Relaxed);
        self.mind_retries(decisions);
    }

    fn mind_retries(&self, decisions: &Decisions) {
        for at in decisions.steps.iter().filter_map(|change| change.available_at) {
            let wait = (at - decisions.now).to_std().unwrap_or(Duration::ZERO);
            self.shared.there_will_be_work(Instant::now() + wait);
        }
    }

    /// Hands the claims that were made to the threads.
    async fn deliver(&mut self) -> Result<(), Error> {
        if self.undelivered.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let (prepared, refused) =
            self.courier.prepare(&shared.store, &shared.templates, &self.undelivered).await?;
        self.undelivered.clear();
        for Prepared { delivery, template } in &prepared {
            let timeout = template.step(delivery.claim.step).and_then(|step| step.timeout);
            shared.ledger.enter(delivery.claim, timeout);
        }
        shared.inbox.push(prepared.into_iter().map(|prepared| prepared.delivery).collect());
        for (claim, why) in refused {
            self.end(claim, Outcome::Failed(failure(FailureKind::Blocked, "Database", why)));
        }
        Ok(())
    }

    /// After a commit of unknown outcome: claims that the database gives to this worker and that are
    /// not known here were made by it. What is known stays known until its end is written.
    async fn read_own_claims(&mut self) -> Result<(), Error> {
        let held = self.shared.store.claims_of(self.shared.worker()).await?;
        let unknown =
            |claim: &Claim| !self.shared.ledger.knows(*claim) && !self.undelivered.contains(claim);
        let found: Vec<_> = held.into_iter().filter(unknown).collect();
        self.undelivered.extend(found);
        self.unsure = false;
        Ok(())
    }

    async fn commit(&mut self, tx: crate::store::Tx) -> Result<(), Error> {
        tx.commit().await.map_err(|error| {
            self.unsure = true;
            Error::from(StoreError::from(error))
        })
    }

    async fn failed(&mut self, error: &Error) {
        if error.is_retryable() {
            debug!(%error, "a transaction failed and is tried again");
        } else {
            error!(%error, "a transaction failed");
        }
        self.hungry = true;
        self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        tokio::time::sleep(self.pause).await;
    }

    /// Others took this worker's claims while it did not beat. It goes on under another id; handlers
    /// that still run report in vain.
    async fn begin_anew(&mut self) {
        warn!(worker_id = self.shared.worker().0, "this worker was taken for dead");
        self.shared.inbox.drain();
        self.shared.ledger.lose();
        self.undelivered.clear();
        let buried = self.shared.worker();
        self.registered = match self.shared.register().await {
            Ok(_) => true,
            Err(error) => {
                self.shared.was_buried(buried);
                self.failed(&error).await;
                false
            }
        };
        self.hungry = true;
    }

    /// Gives back what no thread has taken; the inbox hands out nothing any more.
    async fn drain(&mut self) {
        for delivery in self.shared.inbox.drain() {
            if let Some(claim) = self.shared.ledger.end(delivery.claim.step, delivery.claim.attempt)
            {
                self.end(claim, Outcome::GivenBack);
            }
        }
        for claim in std::mem::take(&mut self.undelivered) {
            self.end(claim, Outcome::GivenBack);
        }
        if !std::mem::replace(&mut self.drained, true)
            && let Err(error) = self.shared.store.drain_worker(self.shared.worker()).await
        {
            debug!(%error, "cannot say that this worker stops");
        }
    }

    /// Whether the database gives no claim to this worker; those that it does are given back.
    async fn holds_nothing(&mut self) -> bool {
        let Ok(held) = self.shared.store.claims_of(self.shared.worker()).await else {
            return false;
        };
        for claim in &held {
            self.end(*claim, Outcome::GivenBack);
        }
        held.is_empty()
    }

    /// `Some` once nothing is left to do, or no time for it; says whether all was written.
    async fn stopped(&mut self) -> Option<bool> {
        if !self.drained || self.shared.phase() < Phase::Stopping {
            return None;
        }
        let stop_by = self.shared.stop_by();
        let late = |by: Duration| stop_by.is_some_and(|stop_by| Instant::now() >= stop_by + by);
        if late(Duration::ZERO) {
            for GivenUp { claim, begun } in self.shared.ledger.give_up() {
                self.end(claim, if begun { Outcome::Interrupted } else { Outcome::GivenBack });
            }
        }
        let done = self.ends.is_empty()
            && self.shared.ledger.known() == 0
            && self.undelivered.is_empty()
            && self.reported.is_empty()
            && !self.unsure;
        if done && self.holds_nothing().await {
            return Some(self.shared.store.stop_worker(self.shared.worker()).await.is_ok());
        }
        late(LAST_WORDS).then_some(false)
    }
}

/// A failure that the engine reports on a handler's behalf, under the class of the Ruby error.
fn failure(kind: FailureKind, class: &str, message: String) -> Failure {
    Failure::new(kind, format!("TaskerCore::{class}Error"), message)
}

/// Locks the tasks that the claims change, and leaves out the steps of those that somebody holds.
async fn lock_changed_tasks(
    tx: &mut crate::store::Tx,
    picked: &[Picked],
) -> Result<(View, crate::decision::Timestamp), Error> {
    let changed = picked.iter().filter(|p| p.changes_task()).map(|p| p.step.id);
    let changed = ending::task_ids(changed);
    let rows = if changed.is_empty() { Vec::new() } else { tasks::lock_free(tx, &changed).await? };
    let mut view = View::default();
    view.tasks.extend(rows.iter().map(|row| (row.task.id, row.task)));
    for one in picked {
        if !one.changes_task() || view.tasks.contains_key(&one.step.id.task()) {
            view.steps.insert(one.step.id, ending::step(&one.step, RetryPolicy::default()));
        }
    }
    Ok((view, picked[0].step.now))
}
