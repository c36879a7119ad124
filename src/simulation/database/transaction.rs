//! A transaction: what each statement of one does, a list as long as that of the statements.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::budget::{Budget, Limits};
use crate::decision::{AwaitedSignal, Claim, Decisions, Timestamp};
use crate::encryption::Text;
use crate::guard::{Guard, removed};
use crate::identity::Identity;
use crate::ids::{ClaimBatchId, FollowUpId, SignalId, StepId, TaskId, TemplateId, WorkerId};
use crate::simulation::server::{Connection, Progress, Row, State, Work, held};
use crate::simulation::tables::{
    ChildRecord, EndRecord, ForkRecord, IdentityRecord, ReadyRecord, SignalRecord, StepRecord,
    TaskRecord, WaitRecord, steps_of,
};
use crate::state::{FollowUpKind, StepEvent, StepState, TaskState, WorkerState};
use crate::store::{
    AddedName, Call, ChildRow, ChildTaskRow, EndRecorder, EndedStepRow, FollowUp, ForkSource,
    GrowthRow, Link, ListedClaim, LoadedTemplate, NewArtifact, NewChild, NewFork, NewSignal,
    NewTasks, NewWait, ParentRow, Picked, Place, QueueOf, RecordedEnd, StepRow, StepTime,
    StoreError, TaskRow, TaskWriter, Transaction, UnbegunItem,
};

use super::writes::{apply, create, put_ready};
use super::{Answer, LOCK_TIMEOUT, done, end_worker};
use crate::simulation::plan::QUEUES;

/// Items that are read together with one that is given up.
const FURTHER: u32 = 2;

/// A transaction, and the connection that it is on.
#[derive(Debug)]
pub(in crate::simulation) struct SimulatedTransaction {
    pub(super) work: Work,
    pub(super) connection: Connection,
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
    pub(in crate::simulation) async fn take_effect(
        &mut self,
        claim: Claim,
    ) -> Result<(), StoreError> {
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
                    let TaskRecord { task, template, total_steps, .. } = *record;
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
        Ok(QUEUES.map(str::to_owned).to_vec())
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

    /// Of those after the steps no more than [`FURTHER`]: so that the sets of few items follow each other as well.
    async fn lock_unbegun_items(
        &mut self,
        from: &[StepId],
        further: u32,
        all: bool,
    ) -> Result<Vec<UnbegunItem>, StoreError> {
        self.run(|state, work| {
            let now = state.now();
            let mut unbegun = Vec::new();
            for step in from {
                let tables = &state.tables;
                let Some((prototype, failed)) = tables.failed_items(*step) else { continue };
                let items = tables.items_after(*step, further.min(FURTHER));
                let rows = items.map(|(id, record)| record.row(id, now));
                let is_unbegun = |row: &StepRow| {
                    row.state == StepState::Pending
                        || row.state == StepState::Enqueued && row.attempts == 0
                };
                let item = |step: StepRow| {
                    let is_retried =
                        step.state == StepState::Enqueued && tables.retried.contains_key(&step.id);
                    let failed_items = if is_retried { 0 } else { failed };
                    UnbegunItem { step, prototype, failed_items }
                };
                unbegun.extend(rows.filter(is_unbegun).map(item));
            }
            unbegun.retain(|item| {
                let row = Row::Ready(item.step.id);
                (all || item.failed_items > 0)
                    && (item.step.state == StepState::Pending
                        || matches!(state.hold(work.id, row), Progress::Done(())))
            });
            done(unbegun)
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
            let level =
                |place: &Place| if removed(Guard::UrgentFirst) { 0 } else { place.priority };
            let due = queues.iter().map(|queue| {
                let mut due = state.tables.due(queue, after, now);
                due.retain(|place| {
                    !without.contains(&place.step.task())
                        && state.is_free(work.id, Row::Ready(place.step))
                });
                due.sort_unstable_by_key(|place| (level(place), place.available_at, place.step));
                due
            });
            let due: Vec<Vec<Place>> = due.collect();
            let levels: BTreeSet<_> = due.iter().flatten().map(level).collect();
            let mut picked: Vec<Place> = Vec::new();
            // As many of each queue and priority are locked, until there are enough; those beyond the limit are not told of.
            for wanted in levels {
                if picked.len() >= limit {
                    break;
                }
                let of_queue = due.iter().flat_map(|due| {
                    due.iter().filter(|place| level(place) == wanted).take(limit).copied()
                });
                let mut locked: Vec<_> = of_queue.collect();
                for place in &locked {
                    let _ = state.hold(work.id, Row::Ready(place.step));
                }
                locked.sort_unstable_by_key(|place| (place.available_at, place.step));
                picked.append(&mut locked);
            }
            picked.truncate(limit);
            if after == Place::START {
                let State { watch, tables, .. } = state;
                watch.urgent_first(tables, due.iter().flatten(), &picked);
            }
            let picked = picked.into_iter().filter_map(|place| {
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
            let Some(record) = state.tables.tasks.get(&task).copied() else {
                return done(None);
            };
            held!(state.hold(work.id, Row::Task(task)));
            let (template, priority) = (record.template, record.task.priority);
            done(Some(ForkSource { template, priority, context: Ok("{}".to_owned()), tags: None }))
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
