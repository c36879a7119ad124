//! A worker process on Postgres: what handler threads and applications call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::arguments::{parse, refused};
use super::engine::Engine;
use super::events::{Events, WorkerEvent};
use super::failure::bounded;
use super::growth;
use super::inbox::{Batch, Interrupt};
use super::insistence::insist;
use super::items::{self, Item};
use super::parts;
use super::patience::Patience;
use super::pruner;
use super::recorded::{self, Recording};
use super::shared::{Counts, Shared};
use super::signals::{CheckpointReport, WaitInfo, check_name_of_users, wait_from_json};
use super::step_plans;
use super::subworkflows::{WorkflowCall, WorkflowRun};
use super::templates::Stored;
use crate::budget::Cost;
use crate::config::WorkerOptions;
use crate::decision::Outcome;
use crate::encryption::Text;
use crate::error::Error;
use crate::ids::{SignalId, StepId, TaskId, TemplateId, WorkerId};
use crate::json;
use crate::state::StepState;
use crate::store::{
    BorrowedConnection, Checkpoint, Database, Planning, SCHEMA_VERSION, Store, StoreError,
};
use crate::suggest::nearest;

/// Connections of a worker, for rounds first of all, and for look-ups and rescues between them. The heart has
/// a fourth.
const CONNECTIONS: u32 = 3;

/// How long the start of a worker waits at most for its sessions to learn their statements, some 30 ms.
const WARM_UP: Duration = Duration::from_secs(1);

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
    /// Claims given back before their handler began.
    pub given_back: u64,
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
/// [`Worker::succeed`] and [`Worker::fail`]. What they ask in between waits up to ten minutes for a database that is away.
#[derive(Debug)]
pub struct Worker {
    engine: Engine<Store>,
    /// Until the worker is stopped.
    pruner: Mutex<Option<AbortOnDropHandle<Option<()>>>>,
}

impl Worker {
    /// Registers a worker and begins to claim.
    ///
    /// # Errors
    /// When the database cannot be reached or has another schema.
    pub async fn start(options: WorkerOptions) -> Result<Self, Error> {
        let timeout = options.connect_timeout();
        let (url, keys) = (options.url.as_str(), options.encryption_keys.clone());
        let store = Store::connect(url, CONNECTIONS, timeout, Planning::Fixed, keys).await?;
        let found = Patience::default().with(&store, store.schema_version()).await??;
        if found != SCHEMA_VERSION {
            return Err(Error::SchemaMismatch { found });
        }
        // A session that could not learn its statements now learns them with its first steps.
        if let Ok(Err(error)) = time::timeout(WARM_UP, store.warm_up(CONNECTIONS)).await {
            debug!(%error, "sessions begin without their statements");
        }
        let engine = Engine::start(store, options).await?;
        let shared = engine.shared();
        let pruner = parts::start(shared, "pruner", pruner::prune(Arc::clone(shared)));
        Ok(Self { engine, pruner: Mutex::new(Some(pruner)) })
    }

    fn shared(&self) -> &Shared<Store> {
        self.engine.shared()
    }

    /// The id of the worker's current registration.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.shared().worker()
    }

    /// Waits up to `timeout` for at most `max` steps to execute. Blocks the calling thread.
    pub fn next_batch(&self, max: usize, timeout: Duration, interrupt: &Interrupt) -> Batch {
        match self.engine.take(max, timeout, interrupt) {
            Some(steps) => Batch::Steps(steps),
            None => Batch::Closed,
        }
    }

    /// Waits up to `timeout` until there are steps, and takes none; may end before. For threads that need a lock of their own
    /// to begin with a step: they wait without it, and call [`Worker::next_batch`] with it and without a time to wait. What
    /// none of them comes for is given back, so that another worker executes it.
    pub fn wait_for_steps(&self, timeout: Duration, interrupt: &Interrupt) {
        self.engine.wait(timeout, interrupt);
    }

    /// What is to be told to operators, once: for how long no thread came for a step.
    ///
    /// # Errors
    /// [`Error::Defect`] when the worker cannot go on; it claims nothing more, and is to be stopped.
    pub fn take_notice(&self) -> Result<Option<String>, Error> {
        match self.shared().defect() {
            Some(defect) => Err(defect),
            None => Ok(self.shared().take_notice()),
        }
    }

    /// Keeps an artifact of an attempt, `{name, media_type, json}` or `{name, media_type, uri}` as JSON text, in the place
    /// of one with this name. It is written with the end of the attempt, however it ends, if this worker writes that.
    ///
    /// # Errors
    /// [`Error::Argument`], and [`Error::Json`] for JSON that cannot be stored.
    pub fn attach(&self, step: StepId, attempt: u32, artifact: &str) -> Result<(), Error> {
        self.engine.attach(step, attempt, artifact)
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
        self.end(step, attempt, execution, results, None)
    }

    /// The same of a decision step: its handler takes the branches of these names, and no other. The attempt fails
    /// for good where one is no child of the step, where the step's template does not say that it decides, and where
    /// one that decides is reported with [`Worker::succeed`].
    ///
    /// # Errors
    /// As [`Worker::succeed`].
    pub fn decide(
        &self,
        step: StepId,
        attempt: u32,
        execution: Duration,
        results: &str,
        took: &[String],
    ) -> Result<(), Error> {
        self.end(step, attempt, execution, results, Some(took))
    }

    /// The same of a handler that adds steps to its task: `steps` is a JSON list of objects with `name`, `like` (the name of a
    /// step of the template that is `dynamic`), and if wanted `inputs`, `depends_on` and `before` (names of steps). The
    /// attempt fails for good where one of them must not be added.
    ///
    /// # Errors
    /// As [`Worker::succeed`]; [`Error::Argument`] for what is no such list.
    pub fn grow(
        &self,
        step: StepId,
        attempt: u32,
        execution: Duration,
        results: &str,
        steps: &str,
    ) -> Result<(), Error> {
        let growth = growth::from_json(steps)?;
        self.check_results(step, results)?;
        self.engine.report_growth(step, attempt, execution, results.into(), growth);
        Ok(())
    }

    /// Has a transaction of the application's record that the attempt which was executed in it returned `results`, JSON text; `took`
    /// as [`Worker::decide`] has it. To be called right before the transaction is committed, as it holds the row of the task until
    /// then; after which [`Worker::end_recorded`] is to be called, whatever came of the commit.
    ///
    /// # Errors
    /// As [`Worker::succeed`]; [`Error::Argument`] for a connection to another database.
    pub async fn record_end(
        &self,
        connection: BorrowedConnection,
        step: StepId,
        attempt: u32,
        execution: Duration,
        results: &str,
        took: Option<&[String]>,
    ) -> Result<Recording, Error> {
        self.check_results(step, results)?;
        let mut tx = self.shared().database.within(connection);
        self.engine.record(&mut tx, step, attempt, execution, results.into(), took).await
    }

    /// Reports that the transaction was to be committed in which an attempt was executed and which records how it ended. Where it
    /// was not, the attempt failed as `failure` says, the JSON text of a [`Failure`](crate::Failure). Does not wait for the
    /// database.
    ///
    /// # Errors
    /// [`Error::Argument`] when `failure` is no such text.
    pub fn end_recorded(
        &self,
        step: StepId,
        attempt: u32,
        execution: Duration,
        failure: Option<&str>,
    ) -> Result<(), Error> {
        let outcome = match failure {
            Some(failure) => Outcome::Recorded(bounded(parse("failure", failure)?)),
            None => recorded::not_committed(),
        };
        self.engine.report(step, attempt, execution, outcome);
        Ok(())
    }

    /// Refuses a connection of the application's that does not lead to the tables that this worker has: in another database, or by
    /// another `search_path`.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub async fn check_connection(&self, connection: BorrowedConnection) -> Result<(), Error> {
        let shared = self.shared();
        let own = insist(async || Ok(shared.answer(shared.database.identity()).await??)).await?;
        let why = match shared.database.within(connection).identity().await {
            Err(StoreError::SchemaMissing { .. }) => "without tables of tasker_core",
            Ok(theirs) if theirs == own => return Ok(()),
            Ok(_) => "with other tables of tasker_core",
            Err(error) => return Err(error.into()),
        };
        let allowed = "one to the database, and with the search_path, that the worker has";
        Err(refused("connection", &format!("one to a database {why}"), allowed))
    }

    /// Items of a map step of the task, after the one of this number, at most so many: their steps' states and results. There
    /// are fewer where these come to 16 MiB, and none at the end only.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], [`Error::Argument`] for a step that is no map step or a limit that is not 1 to 10,000, and
    /// [`Error::Decryption`].
    pub async fn items_of(
        &self,
        task: TaskId,
        name: &str,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<Item>, Error> {
        let shared = self.shared();
        items::check_limit(limit)?;
        insist(async || {
            let stored = shared.answer(shared.templates.of_task(&shared.database, task)).await??;
            let read = items::read(&shared.database, (task, &stored), name, after, limit);
            shared.answer(read).await?
        })
        .await
    }

    fn check_results(&self, step: StepId, results: &str) -> Result<(), Error> {
        json::check(results, self.shared().options.results_limits())
            .map_err(|source| Error::Json { what: format!("results of step {step}"), source })
    }

    fn end(
        &self,
        step: StepId,
        attempt: u32,
        execution: Duration,
        results: &str,
        took: Option<&[String]>,
    ) -> Result<(), Error> {
        self.check_results(step, results)?;
        self.engine.report_results(step, attempt, execution, results.into(), took);
        Ok(())
    }

    /// Reports that the attempt failed. What is said of the failure is cut off where it is longer than is kept
    /// (`docs/limits.md`). Does not wait for the database.
    ///
    /// # Errors
    /// [`Error::Argument`] when `failure` is not the JSON text of a [`Failure`](crate::Failure).
    pub fn fail(
        &self,
        step: StepId,
        attempt: u32,
        execution: Duration,
        failure: &str,
    ) -> Result<(), Error> {
        let failure = bounded(parse("failure", failure)?);
        self.engine.report(step, attempt, execution, Outcome::Failed(failure));
        Ok(())
    }

    /// Reports that the handler waits, and is to begin anew afterwards: `wait` is a JSON object with `after_s` or `at_us`
    /// (microseconds since 1970), or neither; `signal` and `after_signal`; `data` for the next attempt; and `poll`, where it
    /// looks again for what it has not found: `looks`, how often it has, and `until_us`, if it does not for ever. Does
    /// not wait for the database.
    ///
    /// # Errors
    /// [`Error::Argument`] when it is no such text, [`Error::Json`] for data that are too large; the attempt is still
    /// open then.
    pub fn wait(
        &self,
        step: StepId,
        attempt: u32,
        execution: Duration,
        wait: &str,
    ) -> Result<(), Error> {
        let wait = wait_from_json(wait, self.shared().options.results_limits())?;
        self.engine.report(step, attempt, execution, Outcome::Waiting(Arc::new(wait)));
        Ok(())
    }

    /// Whether the claim of an attempt that runs here is current, as far as this worker knows: others may have ended it, or
    /// its time is over. Asks nobody, and takes less than a microsecond.
    #[must_use]
    pub fn is_current(&self, step: StepId, attempt: u32) -> bool {
        self.engine.is_current(step, attempt)
    }

    /// Tells that another thread takes steps in the place of one whose handler goes on although its attempt was ended by
    /// others: until then, or until that handler reports, the worker counts its thread as busy, and claims less. `false`
    /// where no such handler is counted; call it again later.
    #[must_use]
    pub fn relieve(&self, step: StepId, attempt: u32) -> bool {
        self.engine.relieve(step, attempt)
    }

    /// An attempt spends so much more, of the budget of its task. Returns what it has spent. It is written with its end, also
    /// with that of one that fails.
    ///
    /// # Errors
    /// [`Error::Argument`] for what is no cost.
    pub fn spend(&self, step: StepId, attempt: u32, cost: f64) -> Result<f64, Error> {
        let cost = Cost::from_number(cost)
            .ok_or_else(|| refused("cost", &cost.to_string(), Cost::ALLOWED))?;
        Ok(self.engine.spend(step, attempt, cost).number())
    }

    /// Writes where the next attempt is to go on: `checkpoint` is a JSON object with `cursor`; `data`, which replaces what was
    /// kept before; and `moved`, whether that is further than where this attempt began. It is in the database when this
    /// returns true, whatever becomes of the attempt. False: the claim is not current any more, and nothing was written.
    ///
    /// # Errors
    /// [`Error::Argument`] when it is no such text, [`Error::Json`] for what is too large, and when the database does not
    /// answer for ten minutes: the checkpoint may be there then.
    pub async fn checkpoint(
        &self,
        step: StepId,
        attempt: u32,
        checkpoint: &str,
    ) -> Result<bool, Error> {
        let limits = self.shared().options.results_limits();
        let report = CheckpointReport::from_json(checkpoint, limits)?;
        let (cursor, data) = (report.cursor.get(), report.data.as_ref().map(|data| data.get()));
        let number = self.shared().next_checkpoint();
        let checkpoint = Checkpoint { cursor, data, moved: report.moved, number };
        insist(async || self.engine.checkpoint(step, attempt, checkpoint).await).await
    }

    /// What a step waited for last, and the first signal of a name after another one, for its handler.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that no signal can have, [`Error::Decryption`], and when the database does not
    /// answer.
    pub async fn look_at_wait(
        &self,
        step: StepId,
        signal: Option<&str>,
        after: Option<SignalId>,
    ) -> Result<WaitInfo, Error> {
        let shared = self.shared();
        signal.map_or(Ok(()), check_name_of_users)?;
        let after = after.unwrap_or(SignalId(0));
        insist(async || {
            let row = shared.answer(shared.database.look_at_wait(step, signal, after)).await??;
            WaitInfo::new(step, row)
        })
        .await
    }

    /// Makes the task that a step of this worker runs, unless it is there, and says how far it is. While it has not ended, the
    /// handler reports with [`Worker::wait`] that it waits for the signal that is named, and is called anew.
    ///
    /// # Errors
    /// [`Error::UnknownTemplate`], [`Error::Context`], [`Error::Argument`] where tasks lie too deep within one another,
    /// [`Error::Transition`] where the attempt was ended by somebody else.
    pub async fn run_workflow(
        &self,
        step: StepId,
        attempt: u32,
        call: &WorkflowCall,
    ) -> Result<WorkflowRun, Error> {
        insist(async || self.engine.run_workflow(step, attempt, call).await).await
    }

    /// What a template says of all its steps, as JSON: `namespace_name`, `name`, `version`, `error_classes`, and whether its
    /// tasks may grow (`grows`).
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn template(&self, id: TemplateId) -> Result<String, Error> {
        Ok(step_plans::head(self.stored(id).await?.as_ref()))
    }

    /// The step at a position of a template as JSON, with the names of its `branches` where it decides.
    ///
    /// # Errors
    /// When it cannot be read; [`Error::Argument`] for a position that the template does not have.
    pub async fn step_definition(&self, id: TemplateId, index: u32) -> Result<String, Error> {
        let stored = self.stored(id).await?;
        step_plans::definition(&stored, index).ok_or_else(|| {
            let allowed = format!("0 to {}", stored.positions() - 1);
            refused("index", &index.to_string(), &allowed)
        })
    }

    /// The names of a template's steps in order, a JSON array.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn step_names(&self, id: TemplateId) -> Result<String, Error> {
        Ok(step_plans::names(self.stored(id).await?.as_ref()))
    }

    async fn stored(&self, id: TemplateId) -> Result<Arc<Stored>, Error> {
        let shared = self.shared();
        shared.answer(shared.templates.get(&shared.database, id)).await?
    }

    /// The results of a step of the task by its name, JSON text; `None` while there are none.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], [`Error::Argument`] for a name that its template does not have, and
    /// [`Error::Decryption`].
    pub async fn results_of(&self, task: TaskId, name: &str) -> Result<Option<String>, Error> {
        let (_, text) = self.step(task, name).await?;
        text.transpose().map_err(|source| Error::results_unreadable(task, name, source))
    }

    /// The state of a step of a task, for a handler that asks for it.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], [`Error::Argument`] for a step that its template does not have.
    pub async fn state_of(&self, task: TaskId, name: &str) -> Result<StepState, Error> {
        Ok(self.step(task, name).await?.0)
    }

    async fn step(&self, task: TaskId, name: &str) -> Result<(StepState, Option<Text>), Error> {
        let shared = self.shared();
        insist(async || {
            let stored = shared.answer(shared.templates.of_task(&shared.database, task)).await??;
            let step = match stored.made_with_task(name) {
                Some(index) => task.step(index),
                None => {
                    let names = [name.to_owned()];
                    let added = shared.answer(shared.database.find_added(task, &names)).await??;
                    added.first().ok_or_else(|| no_such_step(&stored.template, name))?.step
                }
            };
            let mut found = shared.answer(shared.database.step_results(&[step])).await??;
            found.remove(&step).ok_or(Error::UnknownTask { task })
        })
        .await
    }

    /// What this worker commits, for subscribers.
    #[must_use]
    pub fn events(&self) -> &Arc<Events> {
        &self.shared().events
    }

    /// The template of a task, known of tasks whose steps this worker executed of late.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], and when it cannot be read.
    pub async fn template_of(&self, task: TaskId) -> Result<TemplateId, Error> {
        let shared = self.shared();
        match shared.courier.template_of(task) {
            Some(template) => Ok(template),
            None => Ok(shared.answer(shared.templates.of_task(&shared.database, task)).await??.id),
        }
    }

    /// The name of a step, read from the database where it was added to its task; `None` where there is no such step.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], and when it cannot be read.
    pub async fn step_name(&self, step: StepId) -> Result<Option<String>, Error> {
        let stored = self.stored(self.template_of(step.task()).await?).await?;
        if let Some(step) = stored.step(step) {
            return Ok(Some(step.name.clone()));
        }
        let shared = self.shared();
        let mut names = shared.answer(shared.database.names_of_added(&[step])).await??;
        Ok(names.remove(&step))
    }

    /// Stops claiming and gives back what no thread has taken.
    pub fn drain(&self) {
        self.engine.drain();
    }

    /// Ends the worker: waits up to `timeout` for handlers that run, gives back what is left, and
    /// writes everything that was reported.
    ///
    /// # Errors
    /// [`Error::Closed`] when it was stopped before; [`Error::Defect`] when it stopped because of one: what it could not
    /// write, other workers take over.
    pub async fn stop(&self, timeout: Duration) -> Result<Stopped, Error> {
        let in_order = self.engine.stop(timeout).await?;
        let pruner = self.pruner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(pruner) = pruner {
            pruner.abort();
            let _ = pruner.await;
        }
        let shared = self.shared();
        shared.events.tell(shared.worker(), WorkerEvent::Stopped);
        shared.events.end();
        shared.database.close().await;
        match shared.defect() {
            Some(defect) => Err(defect),
            None => Ok(shared.counts.stopped(in_order)),
        }
    }

    /// Shortens a stop that is under way: handlers get no more than `timeout` from now on.
    pub fn hurry(&self, timeout: Duration) {
        self.engine.shared().hurry(timeout);
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> WorkerStats {
        let counts = &self.shared().counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        WorkerStats {
            claimed: read(&counts.claimed),
            taken: read(&counts.taken),
            completed: read(&counts.ended),
            stale: read(&counts.stale),
            pending_writes: read(&counts.unwritten),
            held: self.shared().ledger.open() as u64,
            given_back: read(&counts.given_back),
            events_dropped: self.shared().events.dropped(),
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

/// Longest part of a step's name that a message repeats, in characters.
const LONGEST_NAME: usize = 80;

pub(super) fn no_such_step(template: &crate::template::TaskTemplate, name: &str) -> Error {
    let names = template.steps().iter().map(|step| step.name.as_str());
    let allowed = match nearest(name, names) {
        Some(meant) => format!("a step of {}; did you mean {meant:?}?", template.name()),
        None => format!("a step of {}", template.name()),
    };
    let value = format!("{:?}", json::shorten(name, LONGEST_NAME));
    Error::Argument { argument: "step", value, allowed }
}
