//! The simulated database as workers see it: statements that do to the tables what the SQL files do.

mod line;
mod transaction;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use super::server::{Connection, Host, Progress, Row, Server, State, Work, held};
use super::tables::{CheckpointRecord, WaitRecord, WorkerRecord};
use crate::decision::Claim;
use crate::guard::{Guard, removed};
use crate::ids::{StepId, TaskId, TemplateId, WorkerId};
use crate::state::WorkerState;
use crate::store::{
    AddedToRun, Checkpoint, Database, ListedClaim, LoadedTemplate, NewWorker, OriginalRow,
    ResultsByStep, StepStateRow, StoreError, TaskContextRow,
};

pub(super) use line::SimulatedLine;
pub(super) use transaction::SimulatedTransaction;

/// How long a statement waits for a row.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The database as one machine reaches it.
#[derive(Clone, Debug)]
pub(super) struct SimulatedDatabase {
    pub(super) server: Arc<Server>,
    pub(super) host: Arc<Host>,
}

type Answer<T> = Progress<Result<T, StoreError>>;

fn done<T>(value: T) -> Answer<T> {
    Progress::Done(Ok(value))
}

impl SimulatedDatabase {
    async fn connect(&self) -> Result<Connection, StoreError> {
        Connection::take(&self.server, &self.host).await
    }

    /// A transaction on a connection of the application's.
    pub(super) async fn begin_apart(&self) -> Result<SimulatedTransaction, StoreError> {
        let connection = Connection::open(&self.server, &self.host).await?;
        Ok(SimulatedTransaction { work: Work::begin(connection.clone()), connection })
    }

    async fn ask<T>(
        &self,
        statement: impl FnMut(&mut State, &mut Work) -> Answer<T>,
    ) -> Result<T, StoreError> {
        self.connect().await?.ask(LOCK_TIMEOUT, statement).await
    }
}

impl Database for SimulatedDatabase {
    type Tx = SimulatedTransaction;
    type Line = SimulatedLine;

    /// Every connection here is used once.
    fn distrust(&self) {}

    async fn begin(&self) -> Result<SimulatedTransaction, StoreError> {
        let connection = self.connect().await?;
        connection.travel().await?;
        Ok(SimulatedTransaction { work: Work::begin(connection.clone()), connection })
    }

    async fn listen(&self, patience: Duration) -> Result<SimulatedLine, StoreError> {
        let connection = Connection::open(&self.server, &self.host).await?;
        Ok(SimulatedLine { calls: connection.listen(), connection, patience })
    }

    async fn template(&self, id: TemplateId) -> Result<Option<LoadedTemplate>, StoreError> {
        self.ask(|state, _| done(state.tables.load_template(id))).await
    }

    async fn task_contexts(&self, ids: &[TaskId]) -> Result<Vec<TaskContextRow>, StoreError> {
        self.ask(|state, _| {
            let rows = ids.iter().filter_map(|id| {
                let template = state.tables.tasks.get(id)?.template;
                Some(TaskContextRow { task: *id, template, context: Ok("{}".to_owned()) })
            });
            done(rows.collect())
        })
        .await
    }

    async fn step_results(&self, steps: &[StepId]) -> Result<ResultsByStep, StoreError> {
        self.ask(|state, _| {
            let rows = steps
                .iter()
                .filter_map(|id| Some((*id, state.tables.steps.get(id)?)))
                .map(|(id, step)| (id, (step.state, step.results.clone().map(Ok))));
            done(rows.collect())
        })
        .await
    }

    async fn step_states(&self, steps: &[StepId]) -> Result<Vec<StepStateRow>, StoreError> {
        self.ask(|state, _| {
            let found = |id: &StepId| {
                let step = state.tables.steps.get(id)?;
                let attempts = step.attempts.cast_signed();
                Some(StepStateRow { workflow_step_id: id.0, state: step.state, attempts })
            };
            done(steps.iter().filter_map(found).collect())
        })
        .await
    }

    async fn originals(&self, tasks: &[TaskId]) -> Result<Vec<OriginalRow>, StoreError> {
        self.ask(|state, _| {
            let all = state.tables.compensations.iter().filter(|(_, by)| tasks.contains(by));
            let row = |(original, task): (&TaskId, &TaskId)| {
                let template = state.tables.tasks.get(original)?.template;
                Some(OriginalRow { task: *task, original: *original, template })
            };
            done(all.filter_map(row).collect())
        })
        .await
    }

    async fn correlated(
        &self,
        key: &str,
        after: TaskId,
        limit: i64,
    ) -> Result<Vec<TaskId>, StoreError> {
        self.ask(|state, _| {
            let open = |task: &TaskId| {
                let record = state.tables.tasks.get(task);
                *task > after && record.is_some_and(|record| !record.task.state.is_terminal())
            };
            let found = state.tables.correlated(key).filter(open);
            done(found.take(usize::try_from(limit).unwrap_or(0)).collect())
        })
        .await
    }

    async fn added_to_run(&self, steps: &[StepId]) -> Result<Vec<AddedToRun>, StoreError> {
        self.ask(|state, _| {
            let tables = &state.tables;
            let to_run = |step: &StepId| {
                let added = tables.added.get(step)?;
                let failed_items = tables.failed_items(*step).map_or(0, |(_, failed)| failed);
                Some(AddedToRun {
                    step: *step,
                    prototype: added.prototype,
                    name: format!("added {step}"),
                    item: added.item,
                    inputs: Ok("{}".to_owned()),
                    failed_items: if tables.retried.contains_key(step) { 0 } else { failed_items },
                })
            };
            done(steps.iter().filter_map(to_run).collect())
        })
        .await
    }

    async fn known_queues(&self) -> Result<Vec<String>, StoreError> {
        self.ask(|_, _| done(super::plan::QUEUES.map(str::to_owned).to_vec())).await
    }

    async fn claims_of(&self, worker: WorkerId) -> Result<Vec<ListedClaim>, StoreError> {
        self.ask(|state, _| done(state.tables.listed(worker))).await
    }

    async fn checkpoint(
        &self,
        claim: Claim,
        checkpoint: Checkpoint<'_>,
    ) -> Result<bool, StoreError> {
        let cursor = checkpoint.cursor.parse().unwrap_or(0);
        self.ask(|state, work| {
            held!(state.hold(work.id, Row::Step(claim.step)));
            let held = state.tables.steps.get(&claim.step);
            let current = held.is_some_and(|held| {
                held.worker == Some(claim.worker) && held.attempts == claim.attempt
            });
            if !current && !removed(Guard::CheckpointsFenced) {
                return done(false);
            }
            let known = state.tables.waits.get(&claim.step);
            let number = checkpoint.number;
            let last = known.and_then(|known| known.checkpoint);
            let is_late = |last: CheckpointRecord| {
                (last.claim.attempt, last.number) > (claim.attempt, number)
            };
            if last.is_some_and(is_late) {
                return done(false);
            }
            let before = known.and_then(|known| known.checkpoint?.moved_in);
            let moved_in = if checkpoint.moved { Some(claim.attempt) } else { before };
            let record = WaitRecord {
                checkpoint: Some(CheckpointRecord { cursor, moved_in, claim, number }),
                ..known.cloned().unwrap_or_default()
            };
            work.written.waits.insert(claim.step, Some(record));
            work.written.checkpoint = Some(claim.step);
            done(true)
        })
        .await
    }

    async fn register_worker(&self, new: &NewWorker) -> Result<WorkerId, StoreError> {
        let host = Arc::clone(&self.host);
        self.ask(|state, work| {
            let id = WorkerId(state.next_id());
            let record = WorkerRecord {
                state: WorkerState::Running,
                dead_after: Duration::from_millis(new.dead_after_ms.into()),
                resting: Duration::ZERO,
                heartbeat_at: state.now(),
            };
            work.written.workers.insert(id, record);
            state.watch.registered(id, &host);
            state.tell(|| format!("host {} registers as worker {id}", host.number));
            done(id)
        })
        .await
    }

    async fn drain_worker(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.ask(|state, work| {
            held!(state.hold(work.id, Row::Worker(worker)));
            if let Some(record) = state.tables.workers.get(&worker)
                && record.state == WorkerState::Running
            {
                let draining = WorkerRecord { state: WorkerState::Draining, ..*record };
                work.written.workers.insert(worker, draining);
            }
            done(())
        })
        .await
    }

    async fn stop_worker(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.ask(|state, work| end_worker(state, work, worker, WorkerState::Stopped)).await
    }
}

fn end_worker(
    state: &mut State,
    work: &mut Work,
    worker: WorkerId,
    ended: WorkerState,
) -> Answer<()> {
    held!(state.hold(work.id, Row::Worker(worker)));
    let over = state.tables.batches_over(worker);
    for batch in &over {
        held!(state.hold(work.id, Row::Batch(*batch)));
    }
    work.written.batches.extend(over.into_iter().map(|batch| (batch, None)));
    if let Some(record) = state.tables.workers.get(&worker).filter(|record| record.is_alive()) {
        work.written.workers.insert(worker, WorkerRecord { state: ended, ..*record });
    }
    done(())
}
