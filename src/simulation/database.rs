//! The simulated database as workers see it: statements that do to the tables what the SQL files do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::server::{Connection, Host, Progress, Row, Server, State, Work, held};
use super::tables::{
    AddedRecord, BatchRecord, CheckpointRecord, ChildRecord, EndRecord, ForkRecord, IdentityRecord,
    ReadyRecord, SignalRecord, StepRecord, StepTransition, TaskRecord, TaskTransition, WaitRecord,
    WorkerRecord, steps_of,
};
use crate::budget::{Budget, Limits};
use crate::decision::{AwaitedSignal, Claim, Decisions, Task, Timestamp};
use crate::encryption::Text;
use crate::guard::{Guard, removed};
use crate::identity::Identity;
use crate::ids::{ClaimBatchId, FollowUpId, SignalId, StepId, TaskId, TemplateId, WorkerId};
use crate::state::{FollowUpKind, StepEvent, StepState, TaskState, WorkerState};
use crate::store::{
    AddedName, AddedToRun, Beat, Call, Checkpoint, ChildRow, ChildTaskRow, Database, EndRecorder,
    EndedStepRow, FollowUp, ForkSource, GrowthRow, Line, Link, ListedClaim, LoadedTemplate,
    NewArtifact, NewChild, NewFork, NewSignal, NewTasks, NewWait, NewWorker, OriginalRow,
    ParentRow, Picked, Place, Pulse, QueueOf, RecordedEnd, ResultsByStep, StepRow, StepStateRow,
    StepTime, StoreError, TaskContextRow, TaskRow, TaskWriter, Transaction,
};

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
                let map = tables.steps.get(&added.by);
                let waiting = map.filter(|map| map.state == StepState::Pending);
                let failed_items = waiting.map_or(0, |map| map.failed_parents);
                Some(AddedToRun {
                    step: *step,
                    prototype: added.prototype,
                    name: format!("added {step}"),
                    item: added.item,
                    inputs: Ok("{}".to_owned()),
                    failed_items: if added.item.is_some() { failed_items } else { 0 },
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

/// A transaction, and the connection that it is on.
#[derive(Debug)]
pub(super) struct SimulatedTransaction {
    work: Work,
    connection: Connection,
}

impl SimulatedTransaction {
    async fn run<T>(
        &mut self,
        statement: impl FnMut(&mut State, &mut Work) -> Answer<T>,
    ) -> Result<T, StoreError> {
        let answer = self.work.statement(LOCK_TIMEOUT, statement).await?;
        self.connection.travel().await?;
        Ok(answer)
    }
}

impl SimulatedTransaction {
    /// What an attempt does that is executed in the transaction.
    pub(super) async fn take_effect(&mut self, claim: Claim) -> Result<(), StoreError> {
        self.run(|_, work| {
            work.written.effects.insert((claim.step, claim.attempt));
            done(())
        })
        .await
    }
}

impl EndRecorder for SimulatedTransaction {
    async fn record_end(
        &mut self,
        claim: Claim,
        outcome: &str,
        artifacts: &[NewArtifact],
    ) -> Result<bool, StoreError> {
        self.run(|state, work| {
            if !removed(Guard::RecordsHoldTasks) {
                held!(state.hold(work.id, Row::Task(claim.step.task())));
            }
            done(())
        })
        .await?;
        let recorded = self
            .run(|state, work| {
                held!(state.hold(work.id, Row::Step(claim.step)));
                let current = state.tables.steps.get(&claim.step).is_some_and(|held| {
                    held.worker == Some(claim.worker) && held.attempts == claim.attempt
                });
                if !current && !removed(Guard::RecordsFenced) {
                    return done(false);
                }
                let record = EndRecord { claim, outcome: outcome.to_owned() };
                work.written.recorded_ends.insert(claim.step, Some(record));
                done(true)
            })
            .await?;
        if recorded && !artifacts.is_empty() {
            self.record_artifacts(artifacts).await?;
        }
        Ok(recorded)
    }
}

impl TaskWriter for SimulatedTransaction {
    async fn versions(
        &mut self,
        _: &str,
        name: &str,
    ) -> Result<Vec<(TemplateId, String)>, StoreError> {
        self.run(|state, _| {
            let named = (0..).zip(state.tables.templates.iter()).filter(|(_, t)| t.name == name);
            done(named.map(|(id, _)| (TemplateId(id), "0.1.0".to_owned())).collect())
        })
        .await
    }

    async fn hold_template(&mut self, _: TemplateId) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn find_identity(
        &mut self,
        identity: &Identity,
    ) -> Result<Option<(TaskId, TaskState)>, StoreError> {
        self.run(|state, _| {
            let now = state.now();
            let identity = state.tables.identities.get(identity);
            let identity = identity.filter(|identity| !identity.is_over(now));
            let record = identity.and_then(|identity| state.tables.tasks.get(&identity.task));
            done(record.map(|record| (record.task.id, record.task.state)))
        })
        .await
    }

    async fn create_tasks(
        &mut self,
        new: &NewTasks<'_>,
        contexts: &[String],
    ) -> Result<Vec<TaskId>, StoreError> {
        self.run(|state, work| {
            let now = state.now();
            done(contexts.iter().map(|_| create(state, work, new, now)).collect())
        })
        .await
    }

    async fn record_identity(
        &mut self,
        identity: &Identity,
        task: TaskId,
        seconds: Option<f64>,
    ) -> Result<bool, StoreError> {
        self.run(|state, work| {
            held!(state.hold(work.id, Row::Identity(*identity)));
            let now = state.now();
            let known = state.tables.identities.get(identity);
            let is_free = known.is_none_or(|known| known.is_over(now));
            if is_free {
                let expires_at = seconds.map(|seconds| now + Duration::from_secs_f64(seconds));
                let record = IdentityRecord { task, given_at: now, expires_at };
                work.written.identities.insert(*identity, record);
            }
            done(is_free)
        })
        .await
    }

    async fn record_budgets(&mut self, tasks: &[TaskId], limits: Limits) -> Result<(), StoreError> {
        self.run(|_, work| {
            let budget = Budget { limits, ..Budget::default() };
            work.written.budgets.extend(tasks.iter().map(|task| (*task, budget)));
            done(())
        })
        .await
    }

    async fn record_deadlines(&mut self, tasks: &[TaskId], seconds: f64) -> Result<(), StoreError> {
        let given = Duration::from_secs_f64(seconds);
        self.run(|state, work| {
            let deadline = state.now() + given;
            work.written.deadlines.extend(tasks.iter().map(|task| (*task, Some(deadline))));
            done(())
        })
        .await
    }

    async fn record_step_deadlines(&mut self, times: &[StepTime]) -> Result<(), StoreError> {
        self.run(|state, work| {
            for time in times {
                held!(state.hold(work.id, Row::StepDeadline(time.step)));
                let from = time.from.unwrap_or_else(|| state.now());
                let deadline = from + Duration::from_secs_f64(time.seconds);
                work.written.step_deadlines.insert(time.step, Some(deadline));
            }
            done(())
        })
        .await
    }

    async fn correlate_tasks(&mut self, tasks: &[TaskId], key: &str) -> Result<(), StoreError> {
        self.run(|_, work| {
            work.written.correlations.extend(tasks.iter().map(|task| (key.to_owned(), *task)));
            done(())
        })
        .await
    }

    async fn call_workers(&mut self, queues: &[String]) -> Result<(), StoreError> {
        self.work.written.calls.extend(queues.iter().cloned().map(Call::Steps));
        if queues.is_empty() { Ok(()) } else { self.run(|_, _| done(())).await }
    }
}

impl Transaction for SimulatedTransaction {
    async fn lock_tasks(&mut self, ids: &[TaskId]) -> Result<Vec<TaskRow>, StoreError> {
        self.run(|state, work| {
            let mut rows = Vec::with_capacity(ids.len());
            for id in ids {
                if state.tables.tasks.contains_key(id) && !removed(Guard::TaskLocks) {
                    held!(state.hold(work.id, Row::Task(*id)));
                }
                let now = state.now();
                rows.extend(state.tables.task_row(*id, now));
                // One that this transaction makes, which nobody else sees.
                if let Some(record) = work.written.tasks.get(id)
                    && !state.tables.tasks.contains_key(id)
                {
                    let TaskRecord { task, template, total_steps } = *record;
                    let has_budget = work.written.budgets.contains_key(id);
                    let has_deadline = work.written.deadlines.contains_key(id);
                    rows.push(TaskRow {
                        task,
                        template,
                        total_steps,
                        has_budget,
                        has_deadline,
                        now,
                    });
                }
            }
            done(rows)
        })
        .await
    }

    async fn lock_free_tasks(
        &mut self,
        ids: &[TaskId],
    ) -> Result<Vec<(TaskRow, Text)>, StoreError> {
        self.run(|state, work| {
            let now = state.now();
            let mut rows = Vec::with_capacity(ids.len());
            for id in ids {
                if state.is_free(work.id, Row::Task(*id)) {
                    let _ = state.hold(work.id, Row::Task(*id));
                    rows.extend(
                        state.tables.task_row(*id, now).map(|row| (row, Ok("{}".to_owned()))),
                    );
                }
            }
            done(rows)
        })
        .await
    }

    async fn try_lock_tasks(&mut self, ids: &[TaskId]) -> Result<Vec<TaskId>, StoreError> {
        let rows = self.lock_free_tasks(ids).await?;
        let state = self.connection.server.lock();
        let gone = ids.iter().copied().filter(|id| !state.tables.tasks.contains_key(id));
        Ok(rows.into_iter().map(|(row, _)| row.task.id).chain(gone).collect())
    }

    async fn take_recorded_ends(
        &mut self,
        claims: &[Claim],
    ) -> Result<Vec<RecordedEnd>, StoreError> {
        self.run(|state, work| {
            let found = |claim: &Claim| {
                let record = state.tables.recorded_ends.get(&claim.step)?;
                (record.claim == *claim).then(|| record.clone())
            };
            let taken: Vec<_> = claims.iter().filter_map(found).collect();
            let end = |EndRecord { claim, outcome }| {
                work.written.recorded_ends.insert(claim.step, None);
                RecordedEnd { claim, outcome: Ok(outcome) }
            };
            done(taken.into_iter().map(end).collect())
        })
        .await
    }

    async fn recorded_ends_of(&mut self, task: TaskId) -> Result<Vec<Claim>, StoreError> {
        self.run(|state, _| {
            let records = state.tables.recorded_ends.range(steps_of(task));
            done(records.map(|(_, record)| record.claim).collect())
        })
        .await
    }

    async fn read_ended_steps(
        &mut self,
        steps: &[StepId],
        parents: &[StepId],
    ) -> Result<Vec<ChildRow>, StoreError> {
        self.run(|state, _| {
            let now = state.now();
            let tables = &state.tables;
            let row = |id: StepId| tables.steps.get(&id).map(|step| step.row(id, now));
            let ended =
                steps.iter().filter_map(|id| Some(ChildRow { parent: None, step: row(*id)? }));
            let children = parents.iter().flat_map(|parent| {
                let children = tables.children(*parent);
                children.filter_map(|id| Some(ChildRow { parent: Some(*parent), step: row(id)? }))
            });
            done(ended.chain(children).collect())
        })
        .await
    }

    async fn read_open_steps(&mut self, task: TaskId) -> Result<Vec<StepRow>, StoreError> {
        self.run(|state, work| {
            let ready: Vec<_> =
                state.tables.ready.range(steps_of(task)).map(|(step, _)| *step).collect();
            for step in ready {
                held!(state.hold(work.id, Row::Ready(step)));
            }
            let now = state.now();
            let steps = state.tables.steps.range(steps_of(task));
            let open = steps.filter(|(_, step)| !step.state.is_terminal());
            done(open.map(|(id, step)| step.row(*id, now)).collect())
        })
        .await
    }

    async fn lock_steps(&mut self, steps: &[StepId]) -> Result<Vec<StepRow>, StoreError> {
        self.run(|state, work| {
            for step in steps {
                if state.tables.ready.contains_key(step) {
                    held!(state.hold(work.id, Row::Ready(*step)));
                }
            }
            let now = state.now();
            let found = steps.iter().filter_map(|id| Some((id, state.tables.steps.get(id)?)));
            done(found.map(|(id, step)| step.row(*id, now)).collect())
        })
        .await
    }

    async fn hold_ready_steps(&mut self, task: TaskId) -> Result<(), StoreError> {
        self.run(|state, work| put_ready(state, work, task, &|_| None)).await
    }

    async fn release_ready_steps(&mut self, task: TaskId) -> Result<Vec<String>, StoreError> {
        let queues = self.run(|state, work| {
            let released = state.tables.tasks.get(&task).and_then(|task| {
                let template = state.tables.template(task.template)?;
                Some(template.queues.clone())
            });
            let released = released.unwrap_or_default();
            let position = |step| state.tables.position(step);
            let positions: BTreeMap<_, _> = state
                .tables
                .ready
                .range(steps_of(task))
                .map(|(step, _)| (*step, position(*step)))
                .collect();
            put_ready(state, work, task, &|step| released.get(*positions.get(&step)?).cloned())
        });
        queues.await?;
        Ok(super::plan::QUEUES.map(str::to_owned).to_vec())
    }

    async fn read_failed_steps(&mut self, task: TaskId) -> Result<Vec<StepRow>, StoreError> {
        let open = self.read_open_steps(task).await?;
        let failed = self.run(|state, _| {
            let now = state.now();
            let steps = state.tables.steps.range(steps_of(task));
            let failed = steps.filter(|(_, step)| step.state == StepState::Error);
            done(failed.map(|(id, step)| step.row(*id, now)).collect::<Vec<_>>())
        });
        let mut failed = failed.await?;
        let fails = |state| matches!(state, StepState::Blocked | StepState::WaitingForRetry);
        failed.extend(open.into_iter().filter(|row| fails(row.state)));
        let decided = self.run(|state, _| {
            let items = failed.iter().filter(|row| state.tables.is_item_decided(row.id));
            done(items.map(|row| row.id).collect::<BTreeSet<_>>())
        });
        let decided = decided.await?;
        failed.retain(|row| !decided.contains(&row.id));
        Ok(failed)
    }

    async fn results_of(&mut self, step: StepId) -> Result<Option<Text>, StoreError> {
        self.run(|state, _| {
            done(state.tables.steps.get(&step).and_then(|step| step.results.clone().map(Ok)))
        })
        .await
    }

    async fn first_signal(
        &mut self,
        task: TaskId,
        name: &str,
    ) -> Result<Option<(Option<String>, Timestamp)>, StoreError> {
        self.run(|state, _| {
            let sent = state.tables.signals_of(task).any(|(_, sent)| sent.name == name);
            done(sent.then(|| (None, state.now())))
        })
        .await
    }

    async fn delayed_until(&mut self, step: StepId) -> Result<Option<Timestamp>, StoreError> {
        self.run(|state, _| {
            let now = state.now();
            let ready = state.tables.ready.get(&step).filter(|ready| !ready.postponed);
            done(ready.map(|ready| ready.available_at).filter(|at| *at > now))
        })
        .await
    }

    async fn apply(
        &mut self,
        decisions: &Decisions,
        queue_of: QueueOf<'_>,
        over: &[ClaimBatchId],
    ) -> Result<Option<ClaimBatchId>, StoreError> {
        let applied = self.run(|state, work| apply(state, work, decisions, queue_of, over)).await?;
        applied.map_err(|(expected, written)| StoreError::Conflict { expected, written })
    }

    async fn read_growth(&mut self, steps: &[StepId]) -> Result<Vec<GrowthRow>, StoreError> {
        self.run(|state, _| {
            let tables = &state.tables;
            let row = |step: &StepId| {
                let (added, count) = (tables.added.get(step), tables.parent_counts.get(step));
                (added.is_some() || count.is_some()).then(|| GrowthRow {
                    step: *step,
                    prototype: added.map(|added| added.prototype),
                    parents: count.map(|(parents, _)| *parents),
                    first_item: count.and_then(|(_, first)| *first),
                })
            };
            done(steps.iter().filter_map(row).collect())
        })
        .await
    }

    async fn retire_added_steps(
        &mut self,
        steps: &[StepId],
        others: &[StepId],
    ) -> Result<(), StoreError> {
        self.run(|_, work| {
            work.written.retired.extend(steps);
            work.written.recounted.extend(others);
            done(())
        })
        .await
    }

    async fn find_added(
        &mut self,
        task: TaskId,
        names: &[String],
    ) -> Result<Vec<AddedName>, StoreError> {
        self.run(|state, _| {
            let tables = &state.tables;
            let found = |name: &String| {
                let step = *tables.names.get(&(task, name.clone()))?;
                let prototype = tables.added.get(&step)?.prototype;
                Some(AddedName { step, prototype, name: name.clone() })
            };
            done(names.iter().filter_map(found).collect())
        })
        .await
    }

    async fn record_artifacts(&mut self, new: &[NewArtifact]) -> Result<(), StoreError> {
        self.run(|_, work| {
            let by = |one: &NewArtifact| one.content.as_ref()?.parse().map(WorkerId).ok();
            let new = new.iter().map(|one| (one.step, one.attempt, by(one)));
            work.written.artifacts.extend(new);
            done(())
        })
        .await
    }

    async fn record_waits(&mut self, waits: &[NewWait<'_>]) -> Result<(), StoreError> {
        self.run(|state, work| {
            for new in waits {
                let signal = new.wait.signal.clone();
                let known = state.tables.waits.get(&new.step).cloned().unwrap_or_default();
                let data = new.wait.data.as_ref().and_then(|data| data.parse().ok()).or(known.data);
                let (waits, deadline) = (known.waits + 1, new.deadline);
                let record = WaitRecord { waits, signal, deadline, data, ..known };
                work.written.waits.insert(new.step, Some(record));
            }
            done(())
        })
        .await
    }

    async fn forget_waits(&mut self, steps: &[StepId]) -> Result<(), StoreError> {
        self.run(|state, work| {
            for step in steps {
                if let Some(known) = state.tables.waits.get(step) {
                    let record = WaitRecord { signal: None, deadline: None, ..known.clone() };
                    work.written.waits.insert(*step, Some(record));
                }
            }
            done(())
        })
        .await
    }

    async fn delete_waits(&mut self, steps: &[StepId]) -> Result<(), StoreError> {
        self.run(|_, work| {
            work.written.waits.extend(steps.iter().map(|step| (*step, None)));
            done(())
        })
        .await
    }

    async fn task_context(&mut self, _: TaskId) -> Result<Option<Text>, StoreError> {
        self.run(|_, _| done(Some(Ok("{}".to_owned())))).await
    }

    /// Nobody looks at what steps returned before.
    async fn keep_results(&mut self, _: &[StepId]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn taken_branches(
        &mut self,
        steps: &[StepId],
    ) -> Result<Vec<(StepId, String)>, StoreError> {
        self.run(|state, _| {
            let names = |step: &StepId| {
                let taken = state.tables.taken(*step)?;
                let names: Vec<_> = taken.iter().map(|child| format!("s{child}")).collect();
                Some((*step, serde_json::json!(names).to_string()))
            };
            done(steps.iter().filter_map(names).collect())
        })
        .await
    }

    async fn sent_signals(
        &mut self,
        awaited: &[(StepId, &AwaitedSignal)],
    ) -> Result<Vec<StepId>, StoreError> {
        self.run(|state, _| {
            let sent = |(step, signal): &&(StepId, &AwaitedSignal)| {
                state.tables.signal(step.task(), signal).is_some()
            };
            done(awaited.iter().filter(sent).map(|(step, _)| *step).collect())
        })
        .await
    }

    async fn steps_that_wait(
        &mut self,
        task: TaskId,
        name: &str,
    ) -> Result<Vec<StepId>, StoreError> {
        self.run(|state, _| {
            let waits = state.tables.waits.range(steps_of(task));
            let named =
                waits.filter(|(_, wait)| wait.signal.as_ref().is_some_and(|s| s.name == name));
            let waiting = |step: &StepId| {
                state.tables.steps.get(step).is_some_and(|s| s.state == StepState::Waiting)
            };
            done(named.map(|(step, _)| *step).filter(waiting).collect())
        })
        .await
    }

    async fn record_signal(
        &mut self,
        task: TaskId,
        new: NewSignal<'_>,
    ) -> Result<(SignalId, bool), StoreError> {
        self.run(|state, work| {
            let key = new.idempotency_key.map(str::to_owned);
            let known = state
                .tables
                .signals_of(task)
                .find(|(_, sent)| key.is_some() && sent.key == key)
                .map(|(id, _)| id);
            if let Some(id) = known {
                return done((id, true));
            }
            let id = SignalId(state.next_id());
            let record = SignalRecord { name: new.name.to_owned(), key: key.clone() };
            work.written.signals.insert((task, id), record);
            done((id, false))
        })
        .await
    }

    async fn recall_claims(&mut self, claims: &[Claim]) -> Result<(), StoreError> {
        self.work.written.calls.extend(claims.iter().copied().map(Call::Ended));
        if claims.is_empty() { Ok(()) } else { self.run(|_, _| done(())).await }
    }

    async fn moved_checkpoints(&mut self, attempts: &[Claim]) -> Result<Vec<StepId>, StoreError> {
        self.run(|state, _| {
            let moved = |claim: &&Claim| {
                let checkpoint = state.tables.waits.get(&claim.step).and_then(|w| w.checkpoint);
                checkpoint.is_some_and(|one| one.moved_in == Some(claim.attempt))
            };
            done(attempts.iter().filter(moved).map(|claim| claim.step).collect())
        })
        .await
    }

    async fn pick_ready_steps(
        &mut self,
        queues: &[String],
        without: &[TaskId],
        after: Place,
        limit: i64,
    ) -> Result<Vec<Picked>, StoreError> {
        self.run(|state, work| {
            let now = state.now();
            let limit = usize::try_from(limit).unwrap_or(0);
            let mut picked = Vec::new();
            // As many of each queue are locked; those beyond the limit are not told of.
            for queue in queues {
                let mut due = state.tables.due(queue, after, now);
                due.retain(|place| {
                    !without.contains(&place.step.task())
                        && state.is_free(work.id, Row::Ready(place.step))
                });
                due.truncate(limit);
                for place in &due {
                    let _ = state.hold(work.id, Row::Ready(place.step));
                }
                picked.append(&mut due);
            }
            picked.sort_unstable();
            let picked = picked.into_iter().take(limit).filter_map(|place| {
                let step = state.tables.steps.get(&place.step)?.row(place.step, now);
                let task_state = state.tables.tasks.get(&place.step.task())?.task.state;
                let has_budget = state.tables.budgets.contains_key(&place.step.task());
                let has_deadline = state.tables.deadlines.contains_key(&place.step.task());
                Some(Picked { step, task_state, has_budget, has_deadline, place })
            });
            done(picked.collect())
        })
        .await
    }

    async fn lock_dead_worker(
        &mut self,
        passed: &[WorkerId],
    ) -> Result<Option<WorkerId>, StoreError> {
        self.run(|state, work| {
            let now = state.now();
            let mut dead: BTreeSet<_> = state
                .tables
                .silent(now)
                .into_iter()
                .chain(state.tables.ended_with_claims())
                .collect();
            if removed(Guard::SilentOnly) {
                dead.extend(
                    state.tables.workers.iter().filter(|(_, w)| w.is_alive()).map(|(id, _)| *id),
                );
            }
            let mut free: Vec<_> = dead.into_iter().collect();
            free.retain(|id| !passed.contains(id) && state.is_free(work.id, Row::Worker(*id)));
            let chosen =
                if free.is_empty() { None } else { Some(free[state.rng.usize(..free.len())]) };
            if let Some(worker) = chosen {
                let _ = state.hold(work.id, Row::Worker(worker));
            }
            done(chosen)
        })
        .await
    }

    async fn listed_claims(&mut self, worker: WorkerId) -> Result<Vec<ListedClaim>, StoreError> {
        self.run(|state, _| done(state.tables.listed(worker))).await
    }

    async fn bury_worker(&mut self, worker: WorkerId) -> Result<(), StoreError> {
        self.run(|state, work| end_worker(state, work, worker, WorkerState::Dead)).await
    }

    async fn template(&mut self, id: TemplateId) -> Result<Option<LoadedTemplate>, StoreError> {
        self.run(|state, _| done(state.tables.load_template(id))).await
    }

    async fn fork_source(&mut self, task: TaskId) -> Result<Option<ForkSource>, StoreError> {
        self.run(|state, work| {
            let Some(template) = state.tables.tasks.get(&task).map(|record| record.template) else {
                return done(None);
            };
            held!(state.hold(work.id, Row::Task(task)));
            done(Some(ForkSource { template, context: Ok("{}".to_owned()), tags: None }))
        })
        .await
    }

    async fn ended_steps(&mut self, task: TaskId) -> Result<Vec<EndedStepRow>, StoreError> {
        self.run(|state, _| {
            let ended = state.tables.steps.range(steps_of(task)).filter(|(_, step)| {
                matches!(
                    step.state,
                    StepState::Complete | StepState::ResolvedManually | StepState::Skipped
                )
            });
            let row = |(id, step): (&StepId, &StepRecord)| EndedStepRow {
                id: *id,
                state: step.state,
                results: step.results.clone().map(Ok),
            };
            done(ended.map(row).collect())
        })
        .await
    }

    async fn links_of_task(&mut self, task: TaskId) -> Result<Vec<Link>, StoreError> {
        self.run(|state, _| {
            let tables = &state.tables;
            let links = tables.steps.range(steps_of(task)).flat_map(|(to, _)| {
                let to = *to;
                let parents =
                    tables.all_parents(to).map(move |from| Link { from, to, added: None });
                let added = tables.added.get(&to).filter(|added| !added.retired);
                let name = || Some(format!("added {to}"));
                parents.chain(added.map(|added| Link { from: added.by, to, added: name() }))
            });
            done(links.collect())
        })
        .await
    }

    async fn record_fork(&mut self, new: NewFork<'_>) -> Result<(), StoreError> {
        let names: Vec<String> = serde_json::from_str(new.from_steps).unwrap_or_default();
        let position = |name: &String| name.strip_prefix('s')?.parse().ok();
        let first: BTreeSet<u32> = names.iter().filter_map(position).collect();
        let source = new.forked_from;
        self.run(|state, work| {
            let keys = state.tables.keys_of(source).into_iter().map(str::to_owned);
            if !removed(Guard::KeysGoAlong) {
                work.written.correlations.extend(keys.map(|key| (key, new.task)));
            }
            work.written.fork = Some((new.task, ForkRecord { source, first: first.clone() }));
            done(())
        })
        .await
    }

    async fn late_tasks(&mut self, tasks: &[TaskId]) -> Result<Vec<TaskId>, StoreError> {
        self.run(|state, _| {
            let now = state.now();
            let late = tasks.iter().filter(|task| state.tables.is_late(**task, now));
            done(late.copied().collect())
        })
        .await
    }

    async fn lock_late_task(
        &mut self,
        held: &[TaskId],
    ) -> Result<Option<(TaskId, Timestamp)>, StoreError> {
        self.run(|state, work| {
            let now = state.now();
            let late = state.tables.late(now).into_iter().find(|(task, _)| {
                !held.contains(task) && state.is_free(work.id, Row::Deadline(*task))
            });
            if let Some((task, _)) = late {
                let _ = state.hold(work.id, Row::Deadline(task));
            }
            done(late)
        })
        .await
    }

    async fn forget_deadline(&mut self, task: TaskId) -> Result<(), StoreError> {
        self.run(|_, work| {
            work.written.deadlines.insert(task, None);
            done(())
        })
        .await
    }

    async fn forget_past_deadline(&mut self, task: TaskId) -> Result<(), StoreError> {
        self.run(|state, work| {
            let now = state.now();
            if state.tables.deadlines.get(&task).is_some_and(|deadline| *deadline <= now) {
                held!(state.hold(work.id, Row::Deadline(task)));
                work.written.deadlines.insert(task, None);
            }
            done(())
        })
        .await
    }

    async fn read_budgets(
        &mut self,
        tasks: &[TaskId],
    ) -> Result<Vec<(TaskId, Budget)>, StoreError> {
        self.run(|state, work| {
            let known =
                |task| work.written.budgets.get(task).or_else(|| state.tables.budgets.get(task));
            done(tasks.iter().filter_map(|task| Some((*task, *known(task)?))).collect())
        })
        .await
    }

    async fn write_budgets(&mut self, changed: &[(TaskId, Budget)]) -> Result<(), StoreError> {
        self.run(|_, work| {
            work.written.budgets.extend(changed.iter().copied());
            done(())
        })
        .await
    }

    async fn postpone_ready_steps(
        &mut self,
        steps: &[StepId],
        seconds: f64,
    ) -> Result<(), StoreError> {
        self.run(|state, work| {
            let available_at = state.now() + Duration::from_secs_f64(seconds);
            for step in steps {
                let Some(ready) = state.tables.ready.get(step) else { continue };
                let later = ReadyRecord { available_at, postponed: true, ..ready.clone() };
                work.written.ready.insert(*step, Some(later));
            }
            done(())
        })
        .await
    }

    async fn resume_postponed_steps(
        &mut self,
        freed: &BTreeMap<TaskId, u32>,
    ) -> Result<Vec<String>, StoreError> {
        self.run(|state, work| {
            let now = state.now();
            let mut queues = Vec::new();
            for (task, steps) in freed {
                let mut longest = state.tables.postponed(*task, now);
                longest.retain(|place| {
                    !work.written.ready.contains_key(&place.step)
                        && state.is_free(work.id, Row::Ready(place.step))
                });
                longest.truncate(*steps as usize);
                for place in longest {
                    let _ = state.hold(work.id, Row::Ready(place.step));
                    let Some(ready) = state.tables.ready.get(&place.step) else { continue };
                    let ready =
                        ReadyRecord { available_at: now, postponed: false, ..ready.clone() };
                    queues.extend(ready.queue.clone());
                    work.written.ready.insert(place.step, Some(ready));
                }
            }
            done(queues)
        })
        .await
    }

    async fn steps_out_of_budget(&mut self, task: TaskId) -> Result<Vec<StepId>, StoreError> {
        self.run(|state, _| {
            let last = state.tables.last_events.range(steps_of(task));
            let kept = last.filter(|(_, event)| **event == StepEvent::BudgetExhausted);
            done(kept.map(|(step, _)| *step).collect())
        })
        .await
    }

    async fn forget_step_deadlines(&mut self, steps: &[StepId]) -> Result<(), StoreError> {
        self.run(|state, work| {
            for step in steps {
                held!(state.hold(work.id, Row::StepDeadline(*step)));
                work.written.step_deadlines.insert(*step, None);
            }
            done(())
        })
        .await
    }

    async fn step_deadlines(
        &mut self,
        steps: &[StepId],
    ) -> Result<Vec<(StepId, Timestamp)>, StoreError> {
        self.run(|state, _| {
            let deadlines = &state.tables.step_deadlines;
            done(steps.iter().filter_map(|step| Some((*step, *deadlines.get(step)?))).collect())
        })
        .await
    }

    async fn lock_late_step(
        &mut self,
        held: &[TaskId],
    ) -> Result<Option<(StepId, Timestamp)>, StoreError> {
        self.run(|state, work| {
            let now = state.now();
            let late = state.tables.late_steps(now).into_iter().find(|(step, _)| {
                !held.contains(&step.task()) && state.is_free(work.id, Row::StepDeadline(*step))
            });
            if let Some((step, _)) = late {
                let _ = state.hold(work.id, Row::StepDeadline(step));
            }
            done(late)
        })
        .await
    }

    async fn record_follow_ups(
        &mut self,
        follow_ups: &[(TaskId, FollowUpKind)],
    ) -> Result<(), StoreError> {
        self.run(|state, work| {
            for follow_up in follow_ups {
                let id = FollowUpId(state.next_id());
                work.written.follow_ups.insert(id, Some(*follow_up));
            }
            done(())
        })
        .await
    }

    async fn cancel_children(&mut self, steps: &[StepId]) -> Result<u64, StoreError> {
        self.run(|state, work| {
            let open = |task: &TaskId| {
                state.tables.tasks.get(task).is_some_and(|t| !t.task.state.is_terminal())
            };
            let children = state.tables.children.iter();
            let own = children.filter(|(task, child)| {
                steps.contains(&child.step) && !child.left_alone && open(task)
            });
            let own: Vec<_> = own.map(|(task, _)| *task).collect();
            for task in &own {
                let id = FollowUpId(state.next_id());
                work.written.follow_ups.insert(id, Some((*task, FollowUpKind::Cancel)));
            }
            done(own.len() as u64)
        })
        .await
    }

    async fn lock_follow_up(
        &mut self,
        after: Option<FollowUpId>,
    ) -> Result<Option<FollowUp>, StoreError> {
        self.run(|state, work| {
            let all = state.tables.follow_ups.iter().filter(|(id, _)| Some(**id) > after);
            let all: Vec<_> = all.map(|(id, (task, kind))| (*id, *task, *kind)).collect();
            let mut all = all.into_iter();
            let next = all.find(|(id, ..)| state.is_free(work.id, Row::FollowUp(*id)));
            let Some((id, task, kind)) = next else { return done(None) };
            let _ = state.hold(work.id, Row::FollowUp(id));
            done(Some(FollowUp { id, task, kind }))
        })
        .await
    }

    async fn delete_follow_up(&mut self, id: FollowUpId) -> Result<(), StoreError> {
        self.run(|_, work| {
            work.written.follow_ups.insert(id, None);
            done(())
        })
        .await
    }

    async fn parent_of(&mut self, task: TaskId) -> Result<Option<ParentRow>, StoreError> {
        self.run(|state, _| {
            let child = state.tables.children.get(&task);
            done(child.map(|child| ParentRow {
                step: child.step,
                name: child.name.clone(),
                depth: child.depth,
            }))
        })
        .await
    }

    async fn find_child(
        &mut self,
        step: StepId,
        _: &str,
    ) -> Result<Option<ChildTaskRow>, StoreError> {
        self.run(|state, _| {
            let tables = &state.tables;
            let found = tables.child_of(step).and_then(|(task, child)| {
                let record = tables.tasks.get(&task)?;
                Some(ChildTaskRow {
                    task,
                    template: record.template,
                    state: record.task.state,
                    generation: child.generation,
                    superseded: child.superseded,
                    undone: tables.compensations.contains_key(&task),
                    retried: tables.retried.get(&step) > tables.changed.get(&task),
                })
            });
            done(found)
        })
        .await
    }

    async fn supersede_children(&mut self, steps: &[StepId]) -> Result<(), StoreError> {
        self.run(|state, work| {
            let own = |child: &&ChildRecord| steps.contains(&child.step);
            for (task, child) in &state.tables.children {
                if own(&child) {
                    let superseded = ChildRecord { superseded: true, ..child.clone() };
                    work.written.children.insert(*task, superseded);
                }
            }
            done(())
        })
        .await
    }

    async fn record_child(&mut self, new: NewChild<'_>) -> Result<(), StoreError> {
        self.run(|_, work| {
            let child = ChildRecord {
                step: new.step,
                name: new.name.to_owned(),
                generation: new.generation,
                depth: new.depth,
                left_alone: new.left_alone,
                superseded: false,
            };
            work.written.children.insert(new.task, child);
            done(())
        })
        .await
    }

    async fn last_signal(&mut self, task: TaskId, name: &str) -> Result<SignalId, StoreError> {
        self.run(|state, _| {
            let named = state.tables.signals_of(task).filter(|(_, sent)| sent.name == name);
            done(named.map(|(id, _)| id).max().unwrap_or(SignalId(0)))
        })
        .await
    }

    async fn compensation_of(&mut self, original: TaskId) -> Result<Option<TaskId>, StoreError> {
        self.run(|state, _| done(state.tables.compensations.get(&original).copied())).await
    }

    async fn record_compensation(
        &mut self,
        original: TaskId,
        task: TaskId,
    ) -> Result<(), StoreError> {
        self.run(|_, work| {
            work.written.compensations.insert(original, task);
            done(())
        })
        .await
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.work.commit().await
    }
}

fn create(state: &mut State, work: &mut Work, new: &NewTasks<'_>, now: Timestamp) -> TaskId {
    let id = TaskId(state.next_id());
    let runnable = u32::try_from(new.ready_indexes.len()).unwrap_or(u32::MAX);
    let is_child = new.parent_step.is_some();
    let state_now = TaskState::Pending;
    let task =
        Task { id, state: state_now, runnable, waiting: 0, blocked: 0, failures: 0, is_child };
    let total_steps = u32::try_from(new.step_indexes.len()).unwrap_or(u32::MAX);
    let record = TaskRecord { task, template: TemplateId(new.template), total_steps };
    work.written.tasks.insert(id, record);
    for ((index, state), parents) in new.step_indexes.iter().zip(&new.states).zip(&new.open_parents)
    {
        let step = StepRecord {
            state: *state,
            open_parents: parents.unsigned_abs(),
            failed_parents: 0,
            skipped_parents: 0,
            attempts: 0,
            failures: 0,
            crashes: 0,
            worker: None,
            claimed_at: None,
            results: None,
        };
        work.written.steps.insert(id.step(index.unsigned_abs()), step);
    }
    for (at, (index, queue)) in new.ready_indexes.iter().zip(&new.ready_queues).enumerate() {
        let delay = Duration::from_secs_f64(new.ready_delays_s.get(at).copied().unwrap_or(0.0));
        let ready = ReadyRecord::new(Some(queue.clone()), now + delay);
        work.written.ready.insert(id.step(index.unsigned_abs()), Some(ready));
    }
    id
}

/// The batch of the claims that were made, or how many changes were expected and how many took place.
type Applied = Result<Option<ClaimBatchId>, (usize, usize)>;

/// As `apply_decisions.sql`.
fn apply(
    state: &mut State,
    work: &mut Work,
    decisions: &Decisions,
    queue_of: QueueOf<'_>,
    over: &[ClaimBatchId],
) -> Answer<Applied> {
    for change in &decisions.steps {
        held!(state.hold(work.id, Row::Step(change.after.id)));
        if change.before.state.is_claimable() {
            held!(state.hold(work.id, Row::Ready(change.after.id)));
        }
    }
    for change in &decisions.tasks {
        held!(state.hold(work.id, Row::Task(change.after.id)));
    }
    for batch in over {
        held!(state.hold(work.id, Row::Batch(*batch)));
    }
    let now = state.now();
    let mut written = 0;
    add(state, work, decisions, queue_of);
    for change in &decisions.steps {
        let queue_of = |step| decisions.queue(step, queue_of);
        written += usize::from(apply_step(state, work, change, &queue_of, (now, decisions.now)));
    }
    for change in &decisions.tasks {
        written += usize::from(apply_task(state, work, change));
    }
    let expected = decisions.steps.len() + decisions.tasks.len();
    if written != expected && !removed(Guard::WriteCount) {
        return done(Err((expected, written)));
    }
    work.written.batches.extend(over.iter().map(|batch| (*batch, None)));
    let claims: Vec<_> = decisions.steps.iter().filter_map(crate::StepChange::claim).collect();
    let batch = claims.first().map(|claim| {
        let id = ClaimBatchId(state.next_id());
        let steps = claims.iter().map(|claim| claim.step).collect();
        let record = BatchRecord { worker: claim.worker, steps };
        if !removed(Guard::ListedClaims) {
            work.written.batches.insert(id, Some(record));
        }
        id
    });
    done(Ok(batch))
}

/// As `add_steps.sql`.
fn add(state: &mut State, work: &mut Work, decisions: &Decisions, queue_of: QueueOf<'_>) {
    for added in &decisions.added.steps {
        let (id, task) = (added.step.id, added.step.id.task());
        let total = work.written.tasks.get(&task).or_else(|| state.tables.tasks.get(&task));
        if let Some(total) = total.copied() {
            let record = TaskRecord { total_steps: total.total_steps + 1, ..total };
            work.written.tasks.insert(task, record);
        }
        if state.tables.steps.contains_key(&id) || work.written.steps.contains_key(&id) {
            state.watch.refused(id, "there is such a step already");
        }
        let name = (task, added.name.to_string());
        if state.tables.names.contains_key(&name) || work.written.names.contains_key(&name) {
            state.watch.refused(id, "there is a step of that name already");
        }
        let step = StepRecord {
            state: added.step.state,
            open_parents: added.step.open_parents,
            failed_parents: added.step.failed_parents,
            skipped_parents: added.step.skipped_parents,
            attempts: 0,
            failures: 0,
            crashes: 0,
            worker: None,
            claimed_at: None,
            results: None,
        };
        work.written.steps.insert(id, step);
        if let Some(available_at) = added.available_at {
            let ready = ReadyRecord::new(decisions.queue(id, queue_of), available_at);
            work.written.ready.insert(id, Some(ready));
        }
        let (prototype, item, by) = (added.prototype, added.item, added.by.step);
        work.written.added.insert(id, AddedRecord { prototype, item, by, retired: false });
        work.written.names.insert(name, id);
    }
    work.written.edges.extend(decisions.added.edges.iter().map(|(from, to)| (*to, *from)));
    let counts = decisions.added.parents.iter();
    let counts = counts.map(|count| (count.step, (count.parents, count.first_item)));
    work.written.parent_counts.extend(counts);
}

/// Puts the claimable steps of a task into queues.
fn put_ready(
    state: &mut State,
    work: &mut Work,
    task: TaskId,
    queue_of: &dyn Fn(StepId) -> Option<String>,
) -> Answer<()> {
    let ready: Vec<_> = state.tables.ready.range(steps_of(task)).map(|(step, _)| *step).collect();
    for step in ready {
        held!(state.hold(work.id, Row::Ready(step)));
        let Some(record) = state.tables.ready.get(&step) else { continue };
        let record = ReadyRecord { queue: queue_of(step), ..record.clone() };
        work.written.ready.insert(step, Some(record));
    }
    done(())
}

fn apply_step(
    state: &mut State,
    work: &mut Work,
    change: &crate::StepChange,
    queue_of: &dyn Fn(StepId) -> Option<String>,
    (now, decided_at): (Timestamp, Timestamp),
) -> bool {
    let (before, after) = (&change.before, &change.after);
    let new = work.written.steps.get(&after.id);
    let Some(found) = state.tables.steps.get(&after.id).or(new).cloned() else { return false };
    let as_read = found.state == before.state
        && found.attempts == before.attempts
        && found.worker == before.worker;
    if !as_read && !removed(Guard::Fencing) {
        return false;
    }
    let (claimable, was) = (after.state.is_claimable(), before.state.is_claimable());
    let is_ready = state.tables.ready.contains_key(&after.id)
        || matches!(work.written.ready.get(&after.id), Some(Some(_)));
    if was && !claimable && !is_ready {
        return false;
    }
    let claimed = change.event == Some(StepEvent::Claimed);
    let step = StepRecord {
        state: after.state,
        open_parents: after.open_parents,
        failed_parents: after.failed_parents,
        skipped_parents: after.skipped_parents,
        attempts: after.attempts,
        failures: after.failures,
        crashes: after.crashes,
        worker: after.worker,
        claimed_at: if claimed { Some(now) } else { found.claimed_at },
        results: change.results.as_deref().map(str::to_owned),
    };
    work.written.steps.insert(after.id, step);
    if claimable {
        let Some(available_at) = change.available_at else {
            state.watch.refused(after.id, "its place in the queue has no time");
            return false;
        };
        let ready = ReadyRecord::new(queue_of(after.id), available_at);
        work.written.ready.insert(after.id, Some(ready));
    } else if was {
        work.written.ready.insert(after.id, None);
    }
    work.written.step_transitions.extend(change.event.map(|event| StepTransition {
        number: state.next_number(),
        step: after.id,
        from: before.state,
        to: after.state,
        event,
        attempt: before.attempts.max(after.attempts),
        worker: after.worker.or(before.worker),
        decided_at,
    }));
    true
}

fn apply_task(state: &mut State, work: &mut Work, change: &crate::TaskChange) -> bool {
    let id = change.after.id;
    let found = work.written.tasks.get(&id).or_else(|| state.tables.tasks.get(&id));
    let found = found.filter(|found| found.task.state == change.before.state).copied();
    let Some(found) = found else { return false };
    work.written.tasks.insert(id, TaskRecord { task: change.after, ..found });
    work.written.task_transitions.extend(change.event.map(|event| TaskTransition {
        number: state.next_number(),
        task: id,
        from: change.before.state,
        to: change.after.state,
        event,
    }));
    true
}

/// The connection of a heart.
#[derive(Debug)]
pub(super) struct SimulatedLine {
    connection: Connection,
    calls: mpsc::UnboundedReceiver<Call>,
    patience: Duration,
}

impl Line for SimulatedLine {
    async fn beat(&mut self, pulse: &Pulse) -> Result<Beat, StoreError> {
        let beat = self.connection.ask(self.patience, |state, work| beat(state, work, pulse)).await;
        if beat.is_err() {
            self.connection.host.disturb();
        }
        beat
    }

    async fn next(&mut self) -> Result<Option<Call>, StoreError> {
        let call = self.calls.recv().await;
        Ok(call.filter(|_| !self.connection.is_lost()))
    }
}

/// As `beat.sql`.
fn beat(state: &mut State, work: &mut Work, pulse: &Pulse) -> Answer<Beat> {
    held!(state.hold(work.id, Row::Worker(pulse.worker)));
    let own = |batch: &&ClaimBatchId| {
        state.tables.batches.get(batch).is_some_and(|record| record.worker == pulse.worker)
    };
    let over: Vec<_> = pulse.over.iter().filter(own).copied().collect();
    for batch in &over {
        held!(state.hold(work.id, Row::Batch(*batch)));
    }
    let now = state.now();
    let tables = &state.tables;
    let fleet: Vec<_> = tables.workers.iter().filter(|(_, worker)| worker.is_alive()).collect();
    let others = fleet.iter().filter(|(id, _)| **id != pulse.worker);
    let busy = others.clone().filter(|(_, worker)| worker.resting.is_zero()).count();
    let rests = others.clone().any(|(_, worker)| !worker.resting.is_zero());
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let workers = u32::try_from(fleet.len()).unwrap_or(u32::MAX);
    let alive = tables.workers.get(&pulse.worker).filter(|worker| worker.is_alive());
    if let Some(worker) = alive {
        let resting = Duration::from_millis(pulse.resting_ms.into()) * workers;
        let beaten = WorkerRecord { heartbeat_at: now, resting, ..*worker };
        work.written.workers.insert(pulse.worker, beaten);
    }
    work.written.batches.extend(over.into_iter().map(|batch| (batch, None)));
    let first_of = |queue: &&str| {
        tables
            .ready
            .values()
            .filter(|ready| ready.queue.as_deref() == Some(*queue))
            .map(|r| r.available_at)
            .min()
    };
    let firsts: Vec<_> =
        super::plan::QUEUES.iter().filter_map(|queue| Some((*queue, first_of(queue)?))).collect();
    let serves = |queue: &str| pulse.queues.iter().any(|served| served == queue);
    let due: Vec<_> =
        firsts.iter().filter(|(_, at)| rests && *at <= now).map(|(q, _)| (*q).to_owned()).collect();
    let dead = tables.silent(now).into_iter().any(|worker| worker != pulse.worker)
        || !tables.ended_with_claims().is_empty();
    let lost = |claim: &&Claim| {
        let held = tables.steps.get(&claim.step);
        let current =
            held.is_some_and(|s| s.worker == Some(claim.worker) && s.attempts == claim.attempt);
        !current && !removed(Guard::LostClaimsAsked)
    };
    let beat = Beat {
        alive: alive.is_some(),
        workers: workers.into(),
        before: count(fleet.iter().filter(|(id, _)| **id < pulse.worker).count()),
        busy: count(busy),
        other_queues: firsts
            .iter()
            .filter(|(queue, _)| pulse.all_queues && !serves(queue))
            .map(|(queue, _)| (*queue).to_owned())
            .collect(),
        called: count(due.len()),
        next_available_at: firsts
            .iter()
            .filter(|(queue, _)| pulse.all_queues || serves(queue))
            .map(|(_, at)| *at)
            .min(),
        now,
        claim_batches: count(
            tables.batches.values().filter(|batch| batch.worker == pulse.worker).count(),
        ),
        somebody_died: dead,
        somebody_late: !tables.late(now).is_empty() || !tables.late_steps(now).is_empty(),
        lost: pulse.running.iter().filter(lost).map(|claim| claim.step).collect(),
        somebody_ended: !tables.follow_ups.is_empty(),
    };
    work.written.calls.extend(due.into_iter().map(Call::Steps));
    state.tell(|| {
        let rests = if pulse.resting_ms > 0 { ", at rest" } else { "" };
        format!("worker {} beats{rests}", pulse.worker)
    });
    done(beat)
}
