//! The running parts of a worker on any database: registers, claims, hands out, collects, stops.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::branches;
use super::branches::Decider;
use super::delivery::Delivery;
use super::follow_ups;
use super::heartbeat;
use super::inbox::Interrupt;
use super::ledger::{Begun, Reported};
use super::orchestrator::Orchestrator;
use super::parts;
use super::recorded::{self, Recording};
use super::shared::{Phase, Shared};
use super::subworkflows::{self, WorkflowCall, WorkflowRun};
use crate::budget::Cost;
use crate::config::WorkerOptions;
use crate::decision::{Claim, ClaimEnd, Growth, Outcome};
use crate::error::Error;
use crate::ids::StepId;
use crate::process::within;
use crate::store::{Checkpoint, Database, EndRecorder};

/// Time beyond its limit after which a stop does not wait for the database any more.
const LAST_RESORT: Duration = Duration::from_secs(10);

/// A worker.
#[derive(Debug)]
pub(crate) struct Engine<D: Database> {
    shared: Arc<Shared<D>>,
    ends: mpsc::UnboundedSender<ClaimEnd>,
    parts: Mutex<Option<Parts>>,
}

/// The tasks of a worker.
#[derive(Debug)]
struct Parts {
    orchestrator: AbortOnDropHandle<bool>,
    heart: AbortOnDropHandle<Option<()>>,
    follower: AbortOnDropHandle<Option<()>>,
}

impl<D: Database> Engine<D> {
    /// Registers a worker and begins to claim.
    pub(crate) async fn start(database: D, options: WorkerOptions) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(database, options));
        shared.register().await?;
        shared.look_for_queues().await;
        shared.there_is_work();
        let (ends, reported) = mpsc::unbounded_channel();
        let orchestrator = Orchestrator::new(Arc::clone(&shared), reported).run();
        let orchestrator = parts::start(&shared, "orchestrator", orchestrator);
        let heart = parts::start(&shared, "heart", heartbeat::beat(Arc::clone(&shared)));
        let orchestrator = tokio::spawn(within(watch(orchestrator, heart.abort_handle())));
        let follower = parts::start(&shared, "follower", follow_ups::follow(Arc::clone(&shared)));
        let orchestrator = AbortOnDropHandle::new(orchestrator);
        let parts = Parts { orchestrator, heart, follower };
        Ok(Self { shared, ends, parts: Mutex::new(Some(parts)) })
    }

    pub(super) fn shared(&self) -> &Arc<Shared<D>> {
        &self.shared
    }

    /// Waits up to `timeout` for at most `max` steps to execute; `None` when there will be no more. Blocks
    /// the calling thread.
    pub(crate) fn take(
        &self,
        max: usize,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Option<Vec<Delivery>> {
        let shared = &self.shared;
        let begun = Cell::new(Begun::default());
        let mut steps = shared.inbox.pop(max, timeout, interrupt, |taken, deserted| {
            let claims = taken.iter().map(|d| d.claim);
            begun.set(shared.ledger.begin(claims, Instant::now()));
            if deserted {
                // The orchestrator claims for the thread that has come.
                shared.wake();
            }
        });
        if begun.get().limited {
            // The orchestrator must not sleep past the new deadline.
            shared.wake();
        }
        if let Some(steps) = steps.as_mut().filter(|_| begun.get().lost) {
            // Others ended the claim before a thread had it.
            steps.retain(|delivery| shared.ledger.knows(delivery.claim));
        }
        let taken = steps.as_ref().map_or(0, Vec::len);
        shared.counts.taken.fetch_add(taken as u64, Ordering::Relaxed);
        steps
    }

    /// Waits up to `timeout` until there is something to take, and takes nothing. Blocks the calling thread.
    pub(crate) fn wait(&self, timeout: Duration, interrupt: &Interrupt) {
        self.shared.inbox.wait(timeout, interrupt);
    }

    /// Reports how an attempt ended. Does not wait for the database.
    pub(crate) fn report(&self, step: StepId, attempt: u32, execution: Duration, outcome: Outcome) {
        self.report_end(step, attempt, execution, |_| outcome);
    }

    /// Reports that an attempt returned results, and which branches it takes, if it said so. Does not wait for the
    /// database.
    pub(crate) fn report_results(
        &self,
        step: StepId,
        attempt: u32,
        execution: Duration,
        results: Arc<str>,
        took: Option<&[String]>,
    ) {
        self.report_end(step, attempt, execution, |decision| {
            branches::outcome(decision.as_deref(), step, results, took)
        });
    }

    /// Makes the task that a step runs which is executed here, unless it is there, and says how far it is.
    ///
    /// # Errors
    /// As [`Worker::run_workflow`](super::Worker::run_workflow).
    pub(crate) async fn run_workflow(
        &self,
        step: StepId,
        attempt: u32,
        call: &WorkflowCall,
    ) -> Result<WorkflowRun, Error> {
        let claim = Claim { step, attempt, worker: self.shared.worker() };
        subworkflows::run(&self.shared, claim, call).await
    }

    /// Reports that an attempt returned results and adds steps. Does not wait for the database.
    pub(crate) fn report_growth(
        &self,
        step: StepId,
        attempt: u32,
        execution: Duration,
        results: Arc<str>,
        growth: Growth,
    ) {
        self.report_end(step, attempt, execution, |decision| {
            branches::grown(decision.as_deref(), results, growth)
        });
    }

    /// Has a transaction of the application's record that an attempt returned results, and which branches it takes, if it said
    /// so, right before that transaction is committed.
    pub(crate) async fn record(
        &self,
        recorder: &mut impl EndRecorder,
        step: StepId,
        attempt: u32,
        execution: Duration,
        results: Arc<str>,
        took: Option<&[String]>,
    ) -> Result<Recording, Error> {
        let shared = &self.shared;
        let Some(Reported { claim, decision }) = shared.ledger.executed(step, attempt) else {
            return Ok(Recording::Lost);
        };
        let outcome = branches::outcome(decision.as_deref(), step, results, took);
        let end = ClaimEnd { claim, outcome, execution: Some(execution) };
        let ends = std::slice::from_ref(&end);
        let spent = shared.spending.of(ends).remove(&(step, attempt));
        let Some(outcome) = recorded::to_json(&end, spent) else { return Ok(Recording::Refused) };
        let artifacts = shared.attached.of(ends);
        let recorded = recorder.record_end(claim, &outcome, &artifacts).await?;
        Ok(if recorded { Recording::Recorded } else { Recording::Lost })
    }

    fn report_end(
        &self,
        step: StepId,
        attempt: u32,
        execution: Duration,
        outcome: impl FnOnce(Option<Arc<Decider>>) -> Outcome,
    ) {
        let counts = &self.shared.counts;
        let Some(Reported { claim, decision }) = self.shared.ledger.report(step, attempt) else {
            counts.stale.fetch_add(1, Ordering::Relaxed);
            self.shared.attached.drop_those_of(step, attempt);
            self.shared.spending.drop_that_of(step, attempt);
            // The thread of a handler that took too long is free again.
            self.shared.wake();
            return;
        };
        counts.unwritten.fetch_add(1, Ordering::Relaxed);
        let end = ClaimEnd { claim, outcome: outcome(decision), execution: Some(execution) };
        if self.ends.send(end).is_err() {
            debug!(step_id = step.0, attempt, "reported after the worker had ended");
        }
    }

    /// Keeps an artifact of an attempt, which is written with its end.
    pub(crate) fn attach(&self, step: StepId, attempt: u32, artifact: &str) -> Result<(), Error> {
        let shared = &self.shared;
        if shared.ledger.knows(Claim { step, attempt, worker: shared.worker() }) {
            return shared.attached.add(step, attempt, artifact, shared.options.results_limits());
        }
        Ok(())
    }

    /// An attempt spends so much more; what it has spent is written with its end.
    pub(crate) fn spend(&self, step: StepId, attempt: u32, cost: Cost) -> Cost {
        match self.shared.ledger.current(step, attempt) {
            Some(_) => self.shared.spending.add(step, attempt, cost),
            None => Cost::default(),
        }
    }

    /// Whether the claim of an attempt is current, as far as is known here.
    pub(crate) fn is_current(&self, step: StepId, attempt: u32) -> bool {
        self.shared.ledger.current(step, attempt).is_some()
    }

    /// Another thread has the place of one whose handler goes on although its attempt has ended.
    pub(crate) fn relieve(&self, step: StepId, attempt: u32) -> bool {
        let relieved = self.shared.ledger.relieve(step, attempt);
        if relieved {
            self.shared.wake();
        }
        relieved
    }

    /// Writes where the next attempt is to go on, and says whether the claim of this one is current: nothing is written
    /// where it is not.
    pub(crate) async fn checkpoint(
        &self,
        step: StepId,
        attempt: u32,
        checkpoint: Checkpoint<'_>,
    ) -> Result<bool, Error> {
        let shared = &self.shared;
        let Some(claim) = shared.ledger.current(step, attempt) else { return Ok(false) };
        let written = shared.answer(shared.database.checkpoint(claim, checkpoint)).await??;
        if !written {
            shared.was_recalled(claim);
        }
        Ok(written)
    }

    /// Stops claiming and gives back what no thread has taken.
    pub(super) fn drain(&self) {
        self.shared.advance(Phase::Draining);
        self.shared.inbox.close();
    }

    /// Ends the worker: waits up to `timeout` for handlers that run, gives back what is left, and writes
    /// everything that was reported. Says whether all was written.
    ///
    /// # Errors
    /// [`Error::Closed`] when it was stopped before.
    pub(crate) async fn stop(&self, timeout: Duration) -> Result<bool, Error> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Parts { orchestrator, heart, follower } = parts.ok_or(Error::Closed("worker"))?;
        self.shared.hurry(timeout);
        self.drain();
        self.shared.advance(Phase::Stopping);
        let in_order = tokio::time::timeout(timeout.saturating_add(LAST_RESORT), orchestrator)
            .await
            .is_ok_and(|ended| ended.unwrap_or(false));
        for part in [heart, follower] {
            part.abort();
            let _ = part.await;
        }
        Ok(in_order)
    }
}

/// Waits for the orchestrator's end, and says whether all was written. Nobody writes how attempts end once it is gone: then
/// the heart stops, so that others take its claims.
async fn watch(orchestrator: AbortOnDropHandle<Option<bool>>, heart: AbortHandle) -> bool {
    let in_order = orchestrator.await.ok().flatten();
    if in_order.is_none() {
        heart.abort();
    }
    in_order.unwrap_or(false)
}
