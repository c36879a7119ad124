//! Postgres as the database of workers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::database::{Database, Line, ResultsByStep, TaskWriter, Transaction};
use super::steps::QueueOf;
use super::tasks::TaskContextRow;
use super::templates::LoadedTemplate;
use super::{
    AddedName, AddedToRun, Beat, Call, Checkpoint, ChildRow, ChildTaskRow, EndedStepRow, FollowUp,
    ForkSource, GrowthRow, Heartline, Link, ListedClaim, NewArtifact, NewChild, NewFork, NewSignal,
    NewTasks, NewWait, NewWorker, OriginalRow, ParentRow, Picked, Place, Pulse, RecordedEnd,
    StepRow, StepStateRow, StepTime, Store, StoreError, TaskRow, Tx, UnbegunItem, artifacts,
    budgets, claims, deadlines, follow_ups, forks, growth, identities, notify, recorded, steps,
    tasks, templates, waits, workers,
};
use crate::budget::{Budget, Limits};
use crate::decision::{AwaitedSignal, Claim, Decisions, Timestamp};
use crate::encryption::Text;
use crate::identity::Identity;
use crate::ids::{ClaimBatchId, FollowUpId, SignalId, StepId, TaskId, TemplateId, WorkerId};
use crate::state::{FollowUpKind, TaskState, WorkerState};

impl Database for Store {
    type Tx = Tx;
    type Line = Heartline;

    fn distrust(&self) {
        self.distrust.begin();
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        let mut tx = self.begin_plain().await?;
        if let Some(asked) = &self.decides {
            tx.sql.set(asked).await?;
        }
        Ok(tx)
    }

    async fn listen(&self, patience: Duration) -> Result<Heartline, StoreError> {
        Heartline::connect(&self.way, patience).await
    }

    async fn template(&self, id: TemplateId) -> Result<Option<LoadedTemplate>, StoreError> {
        templates::load(&self.pool, id).await
    }

    async fn task_contexts(&self, ids: &[TaskId]) -> Result<Vec<TaskContextRow>, StoreError> {
        tasks::contexts(&self.pool, &self.keys, ids).await
    }

    async fn step_results(&self, steps: &[StepId]) -> Result<ResultsByStep, StoreError> {
        steps::results(&self.pool, &self.keys, steps).await
    }

    async fn step_states(&self, steps: &[StepId]) -> Result<Vec<StepStateRow>, StoreError> {
        Store::step_states(self, steps).await
    }

    async fn originals(&self, tasks: &[TaskId]) -> Result<Vec<OriginalRow>, StoreError> {
        follow_ups::originals(&self.pool, tasks).await
    }

    async fn correlated(
        &self,
        key: &str,
        after: TaskId,
        limit: i64,
    ) -> Result<Vec<TaskId>, StoreError> {
        forks::correlated(&self.pool, key, after, limit).await
    }

    async fn added_to_run(&self, steps: &[StepId]) -> Result<Vec<AddedToRun>, StoreError> {
        growth::to_run(&self.pool, &self.keys, steps).await
    }

    async fn known_queues(&self) -> Result<Vec<String>, StoreError> {
        workers::known_queues(&self.pool).await
    }

    async fn claims_of(&self, worker: WorkerId) -> Result<Vec<ListedClaim>, StoreError> {
        claims::listed(&self.pool, worker).await
    }

    async fn checkpoint(
        &self,
        claim: Claim,
        checkpoint: Checkpoint<'_>,
    ) -> Result<bool, StoreError> {
        waits::checkpoint(self, claim, checkpoint).await
    }

    async fn register_worker(&self, new: &NewWorker) -> Result<WorkerId, StoreError> {
        workers::register(&self.pool, new).await
    }

    async fn drain_worker(&self, worker: WorkerId) -> Result<(), StoreError> {
        workers::drain(&self.pool, worker).await
    }

    async fn stop_worker(&self, worker: WorkerId) -> Result<(), StoreError> {
        workers::end(&self.pool, worker, WorkerState::Stopped).await
    }
}

impl TaskWriter for Tx {
    async fn versions(
        &mut self,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<(TemplateId, String)>, StoreError> {
        templates::versions(self, namespace, name).await
    }

    async fn hold_template(&mut self, id: TemplateId) -> Result<bool, StoreError> {
        templates::hold(self, id).await
    }

    async fn find_identity(
        &mut self,
        identity: &Identity,
    ) -> Result<Option<(TaskId, TaskState)>, StoreError> {
        identities::find(self, identity).await
    }

    async fn create_tasks(
        &mut self,
        new: &NewTasks<'_>,
        contexts: &[String],
    ) -> Result<Vec<TaskId>, StoreError> {
        tasks::create(self, new, contexts).await
    }

    async fn record_identity(
        &mut self,
        identity: &Identity,
        task: TaskId,
        seconds: Option<f64>,
    ) -> Result<bool, StoreError> {
        identities::record(self, identity, task, seconds).await
    }

    async fn record_budgets(&mut self, tasks: &[TaskId], limits: Limits) -> Result<(), StoreError> {
        budgets::record(self, tasks, limits).await
    }

    async fn record_deadlines(&mut self, tasks: &[TaskId], seconds: f64) -> Result<(), StoreError> {
        deadlines::record(self, tasks, seconds).await
    }

    async fn record_step_deadlines(&mut self, times: &[StepTime]) -> Result<(), StoreError> {
        deadlines::record_steps(self, times).await
    }

    async fn correlate_tasks(&mut self, tasks: &[TaskId], key: &str) -> Result<(), StoreError> {
        forks::correlate(self, tasks, key).await
    }

    async fn call_workers(&mut self, queues: &[String]) -> Result<(), StoreError> {
        notify::call(self, queues).await
    }
}

impl Transaction for Tx {
    async fn lock_tasks(&mut self, ids: &[TaskId]) -> Result<Vec<TaskRow>, StoreError> {
        tasks::lock(self, ids).await
    }

    async fn lock_free_tasks(
        &mut self,
        ids: &[TaskId],
    ) -> Result<Vec<(TaskRow, Text)>, StoreError> {
        tasks::lock_free(self, ids).await
    }

    async fn try_lock_tasks(&mut self, ids: &[TaskId]) -> Result<Vec<TaskId>, StoreError> {
        tasks::try_lock(self, ids).await
    }

    async fn take_recorded_ends(
        &mut self,
        claims: &[Claim],
    ) -> Result<Vec<RecordedEnd>, StoreError> {
        recorded::take(self, claims).await
    }

    async fn recorded_ends_of(&mut self, task: TaskId) -> Result<Vec<Claim>, StoreError> {
        recorded::of_task(self, task).await
    }

    async fn read_ended_steps(
        &mut self,
        steps: &[StepId],
        parents: &[StepId],
    ) -> Result<Vec<ChildRow>, StoreError> {
        steps::read_ended(self, steps, parents).await
    }

    async fn read_open_steps(&mut self, task: TaskId) -> Result<Vec<StepRow>, StoreError> {
        steps::read_open(self, task).await
    }

    async fn lock_steps(&mut self, ids: &[StepId]) -> Result<Vec<StepRow>, StoreError> {
        steps::lock(self, ids).await
    }

    async fn hold_ready_steps(&mut self, task: TaskId) -> Result<(), StoreError> {
        steps::hold_ready(self, task).await
    }

    async fn release_ready_steps(&mut self, task: TaskId) -> Result<Vec<String>, StoreError> {
        steps::release_ready(self, task).await
    }

    async fn read_failed_steps(&mut self, task: TaskId) -> Result<Vec<StepRow>, StoreError> {
        steps::read_failed(self, task).await
    }

    async fn results_of(&mut self, step: StepId) -> Result<Option<Text>, StoreError> {
        let found = steps::results(&mut self.sql, &self.keys, &[step]).await?;
        Ok(found.into_values().find_map(|(_, results)| results))
    }

    async fn first_signal(
        &mut self,
        task: TaskId,
        name: &str,
    ) -> Result<Option<(Option<String>, Timestamp)>, StoreError> {
        waits::first_signal(self, task, name).await
    }

    async fn delayed_until(&mut self, step: StepId) -> Result<Option<Timestamp>, StoreError> {
        steps::delayed_until(self, step).await
    }

    async fn apply(
        &mut self,
        decisions: &Decisions,
        queue_of: QueueOf<'_>,
        over: &[ClaimBatchId],
    ) -> Result<Option<ClaimBatchId>, StoreError> {
        steps::apply(self, decisions, queue_of, over).await
    }

    async fn lock_unbegun_items(
        &mut self,
        from: &[StepId],
        further: u32,
        all: bool,
    ) -> Result<Vec<UnbegunItem>, StoreError> {
        growth::lock_unbegun(self, from, further, all).await
    }

    async fn read_growth(&mut self, steps: &[StepId]) -> Result<Vec<GrowthRow>, StoreError> {
        growth::read(self, steps).await
    }

    async fn retire_added_steps(
        &mut self,
        steps: &[StepId],
        others: &[StepId],
    ) -> Result<(), StoreError> {
        growth::retire(self, steps, others).await
    }

    async fn find_added(
        &mut self,
        task: TaskId,
        names: &[String],
    ) -> Result<Vec<AddedName>, StoreError> {
        growth::find(&mut **self, task, names).await
    }

    async fn record_waits(&mut self, waits: &[NewWait<'_>]) -> Result<(), StoreError> {
        waits::record(self, waits).await
    }

    async fn forget_waits(&mut self, steps: &[StepId]) -> Result<(), StoreError> {
        waits::forget(self, steps).await
    }

    async fn delete_waits(&mut self, steps: &[StepId]) -> Result<(), StoreError> {
        waits::delete(self, steps).await
    }

    async fn task_context(&mut self, task: TaskId) -> Result<Option<Text>, StoreError> {
        let keys = self.keys.clone();
        let rows = tasks::contexts(&mut **self, &keys, &[task]).await?;
        Ok(rows.into_iter().next().map(|row| row.context))
    }

    async fn keep_results(&mut self, steps: &[StepId]) -> Result<(), StoreError> {
        steps::keep_results(self, steps).await
    }

    async fn taken_branches(
        &mut self,
        steps: &[StepId],
    ) -> Result<Vec<(StepId, String)>, StoreError> {
        steps::taken_branches(self, steps).await
    }

    async fn sent_signals(
        &mut self,
        awaited: &[(StepId, &AwaitedSignal)],
    ) -> Result<Vec<StepId>, StoreError> {
        waits::sent(self, awaited).await
    }

    async fn steps_that_wait(
        &mut self,
        task: TaskId,
        name: &str,
    ) -> Result<Vec<StepId>, StoreError> {
        waits::waiting_for(self, task, name).await
    }

    async fn record_signal(
        &mut self,
        task: TaskId,
        new: NewSignal<'_>,
    ) -> Result<(SignalId, bool), StoreError> {
        waits::record_signal(self, task, new).await
    }

    async fn recall_claims(&mut self, claims: &[Claim]) -> Result<(), StoreError> {
        notify::recall(self, claims).await
    }

    async fn moved_checkpoints(&mut self, attempts: &[Claim]) -> Result<Vec<StepId>, StoreError> {
        waits::moved(self, attempts).await
    }

    async fn pick_ready_steps(
        &mut self,
        queues: &[String],
        without: &[TaskId],
        after: Place,
        limit: i64,
    ) -> Result<Vec<Picked>, StoreError> {
        claims::pick(self, queues, without, after, limit).await
    }

    async fn lock_dead_worker(
        &mut self,
        passed: &[WorkerId],
    ) -> Result<Option<WorkerId>, StoreError> {
        workers::lock_dead(self, passed).await
    }

    async fn listed_claims(&mut self, worker: WorkerId) -> Result<Vec<ListedClaim>, StoreError> {
        claims::listed(&mut **self, worker).await
    }

    async fn bury_worker(&mut self, worker: WorkerId) -> Result<(), StoreError> {
        workers::end(&mut **self, worker, WorkerState::Dead).await
    }

    async fn template(&mut self, id: TemplateId) -> Result<Option<LoadedTemplate>, StoreError> {
        templates::load(&mut **self, id).await
    }

    async fn fork_source(&mut self, task: TaskId) -> Result<Option<ForkSource>, StoreError> {
        forks::source(self, task).await
    }

    async fn links_of_task(&mut self, task: TaskId) -> Result<Vec<Link>, StoreError> {
        growth::links(self, task).await
    }

    async fn ended_steps(&mut self, task: TaskId) -> Result<Vec<EndedStepRow>, StoreError> {
        forks::ended_steps(self, task).await
    }

    async fn record_fork(&mut self, new: NewFork<'_>) -> Result<(), StoreError> {
        forks::record(self, new).await
    }

    async fn late_tasks(&mut self, tasks: &[TaskId]) -> Result<Vec<TaskId>, StoreError> {
        deadlines::late(self, tasks).await
    }

    async fn lock_late_task(
        &mut self,
        held: &[TaskId],
    ) -> Result<Option<(TaskId, Timestamp)>, StoreError> {
        deadlines::lock_late(self, held).await
    }

    async fn forget_deadline(&mut self, task: TaskId) -> Result<(), StoreError> {
        deadlines::forget(self, task).await
    }

    async fn forget_past_deadline(&mut self, task: TaskId) -> Result<(), StoreError> {
        deadlines::forget_past(self, task).await
    }

    async fn read_budgets(
        &mut self,
        tasks: &[TaskId],
    ) -> Result<Vec<(TaskId, Budget)>, StoreError> {
        budgets::read(self, tasks).await
    }

    async fn write_budgets(&mut self, changed: &[(TaskId, Budget)]) -> Result<(), StoreError> {
        budgets::write(self, changed).await
    }

    async fn postpone_ready_steps(
        &mut self,
        steps: &[StepId],
        seconds: f64,
    ) -> Result<(), StoreError> {
        budgets::postpone(self, steps, seconds).await
    }

    async fn resume_postponed_steps(
        &mut self,
        freed: &BTreeMap<TaskId, u32>,
    ) -> Result<Vec<String>, StoreError> {
        budgets::resume(self, freed).await
    }

    async fn steps_out_of_budget(&mut self, task: TaskId) -> Result<Vec<StepId>, StoreError> {
        budgets::kept_back(self, task).await
    }

    async fn forget_step_deadlines(&mut self, steps: &[StepId]) -> Result<(), StoreError> {
        deadlines::forget_steps(self, steps).await
    }

    async fn step_deadlines(
        &mut self,
        steps: &[StepId],
    ) -> Result<Vec<(StepId, Timestamp)>, StoreError> {
        deadlines::of_steps(self, steps).await
    }

    async fn lock_late_step(
        &mut self,
        held: &[TaskId],
    ) -> Result<Option<(StepId, Timestamp)>, StoreError> {
        deadlines::lock_late_step(self, held).await
    }

    async fn record_artifacts(&mut self, artifacts: &[NewArtifact]) -> Result<(), StoreError> {
        artifacts::record(self, artifacts).await
    }

    async fn record_follow_ups(
        &mut self,
        follow_ups: &[(TaskId, FollowUpKind)],
    ) -> Result<(), StoreError> {
        follow_ups::record(self, follow_ups).await
    }

    async fn cancel_children(&mut self, steps: &[StepId]) -> Result<u64, StoreError> {
        follow_ups::cancel_children(self, steps).await
    }

    async fn lock_follow_up(
        &mut self,
        after: Option<FollowUpId>,
    ) -> Result<Option<FollowUp>, StoreError> {
        follow_ups::lock_next(self, after).await
    }

    async fn delete_follow_up(&mut self, id: FollowUpId) -> Result<(), StoreError> {
        follow_ups::delete(self, id).await
    }

    async fn parent_of(&mut self, task: TaskId) -> Result<Option<ParentRow>, StoreError> {
        follow_ups::parent(self, task).await
    }

    async fn find_child(
        &mut self,
        step: StepId,
        name: &str,
    ) -> Result<Option<ChildTaskRow>, StoreError> {
        follow_ups::child(self, step, name).await
    }

    async fn supersede_children(&mut self, steps: &[StepId]) -> Result<(), StoreError> {
        follow_ups::supersede(self, steps).await
    }

    async fn record_child(&mut self, new: NewChild<'_>) -> Result<(), StoreError> {
        follow_ups::record_child(self, new).await
    }

    async fn last_signal(&mut self, task: TaskId, name: &str) -> Result<SignalId, StoreError> {
        follow_ups::last_signal(self, task, name).await
    }

    async fn compensation_of(&mut self, original: TaskId) -> Result<Option<TaskId>, StoreError> {
        follow_ups::compensation(self, original).await
    }

    async fn record_compensation(
        &mut self,
        original: TaskId,
        task: TaskId,
    ) -> Result<(), StoreError> {
        follow_ups::record_compensation(self, original, task).await
    }

    async fn commit(self) -> Result<(), StoreError> {
        Ok(self.sql.commit().await?)
    }
}

impl Line for Heartline {
    async fn beat(&mut self, pulse: &Pulse) -> Result<Beat, StoreError> {
        match self {
            Self::Listening(listener) => workers::beat(listener.connection(), pulse).await,
            Self::Polling(poller) => workers::beat(poller.connection(), pulse).await,
        }
    }

    async fn next(&mut self) -> Result<Option<Call>, StoreError> {
        self.next_call().await
    }
}
