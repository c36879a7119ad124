//! What workers need of a database with the engine's schema: Postgres, or one that is simulated.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use super::steps::QueueOf;
use super::tasks::TaskContextRow;
use super::templates::LoadedTemplate;
use super::{
    AddedName, AddedToRun, Beat, Call, Checkpoint, ChildRow, ChildTaskRow, EndedStepRow, FollowUp,
    ForkSource, GrowthRow, Link, ListedClaim, NewArtifact, NewChild, NewFork, NewSignal, NewTasks,
    NewWait, NewWorker, OriginalRow, ParentRow, Picked, Place, Pulse, RecordedEnd, StepRow,
    StepStateRow, StepTime, StoreError, TaskRow, UnbegunItem,
};
use crate::budget::{Budget, Limits};
use crate::decision::{AwaitedSignal, Claim, Decisions, Timestamp};
use crate::encryption::Text;
use crate::identity::Identity;
use crate::ids::{ClaimBatchId, FollowUpId, SignalId, StepId, TaskId, TemplateId, WorkerId};
use crate::state::{FollowUpKind, StepState, TaskState};

/// The results of steps, by step; `None` where there are none.
pub(crate) type ResultsByStep = HashMap<StepId, (StepState, Option<Text>)>;

/// A database. A statement of its own is a transaction of its own.
pub(crate) trait Database: Debug + Send + Sync + 'static {
    /// Its transactions.
    type Tx: Transaction;
    /// Its connections for heartbeats.
    type Line: Line;

    /// A connection that is about to come back does not answer. Those that come back soon are not used again.
    fn distrust(&self);

    fn begin(&self) -> impl Future<Output = Result<Self::Tx, StoreError>> + Send;

    /// A connection of its own for wake-up calls and heartbeats, whose statements are given up by the
    /// server after `patience`.
    fn listen(
        &self,
        patience: Duration,
    ) -> impl Future<Output = Result<Self::Line, StoreError>> + Send;

    fn template(
        &self,
        id: TemplateId,
    ) -> impl Future<Output = Result<Option<LoadedTemplate>, StoreError>> + Send;

    fn task_contexts(
        &self,
        ids: &[TaskId],
    ) -> impl Future<Output = Result<Vec<TaskContextRow>, StoreError>> + Send;

    fn step_results(
        &self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<ResultsByStep, StoreError>> + Send;

    /// The states of steps, and how often they were tried.
    fn step_states(
        &self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<Vec<StepStateRow>, StoreError>> + Send;

    /// What those of the tasks undo that undo others.
    fn originals(
        &self,
        tasks: &[TaskId],
    ) -> impl Future<Output = Result<Vec<OriginalRow>, StoreError>> + Send;

    /// Tasks with a correlation key that have not ended, after one of them, at most so many, in the order of their ids.
    fn correlated(
        &self,
        key: &str,
        after: TaskId,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<TaskId>, StoreError>> + Send;

    /// What the handlers of these steps are given, those that were added.
    fn added_to_run(
        &self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<Vec<AddedToRun>, StoreError>> + Send;

    /// All queues that a template names.
    fn known_queues(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// What the batches of a worker list.
    fn claims_of(
        &self,
        worker: WorkerId,
    ) -> impl Future<Output = Result<Vec<ListedClaim>, StoreError>> + Send;

    /// Writes where the next attempt of a step is to go on, if the claim is current. Says whether it is.
    fn checkpoint(
        &self,
        claim: Claim,
        checkpoint: Checkpoint<'_>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    fn register_worker(
        &self,
        new: &NewWorker,
    ) -> impl Future<Output = Result<WorkerId, StoreError>> + Send;

    /// Says that a worker begins to stop.
    fn drain_worker(&self, worker: WorkerId)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Says that a worker has ended in order.
    fn stop_worker(&self, worker: WorkerId) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What a submit writes through: a transaction of the engine's, or one of the application's.
pub(crate) trait TaskWriter: Send {
    /// The stored versions of a template.
    fn versions(
        &mut self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Vec<(TemplateId, String)>, StoreError>> + Send;

    /// Keeps a version as it is until the transaction ends; `false` when it is not there any more.
    fn hold_template(
        &mut self,
        id: TemplateId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The task of an identity, if there is one.
    fn find_identity(
        &mut self,
        identity: &Identity,
    ) -> impl Future<Output = Result<Option<(TaskId, TaskState)>, StoreError>> + Send;

    /// Writes one task for each context, with its steps and edges.
    fn create_tasks(
        &mut self,
        new: &NewTasks<'_>,
        contexts: &[String],
    ) -> impl Future<Output = Result<Vec<TaskId>, StoreError>> + Send;

    /// Gives an identity to a task, for so many seconds or for as long as there is the task. Waits for others who do.
    /// False when it is another task's already; the transaction must be rolled back then.
    fn record_identity(
        &mut self,
        identity: &Identity,
        task: TaskId,
        seconds: Option<f64>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Gives new tasks a budget.
    fn record_budgets(
        &mut self,
        tasks: &[TaskId],
        limits: Limits,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Gives the tasks so many seconds from now to end.
    fn record_deadlines(
        &mut self,
        tasks: &[TaskId],
        seconds: f64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Gives steps the time that all their attempts together may take.
    fn record_step_deadlines(
        &mut self,
        times: &[StepTime],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lets the tasks be found by a key.
    fn correlate_tasks(
        &mut self,
        tasks: &[TaskId],
        key: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Calls the workers of these queues when the transaction commits.
    fn call_workers(
        &mut self,
        queues: &[String],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A transaction of the application's, in which an attempt was executed. Whoever has it commits it.
pub(crate) trait EndRecorder: Send {
    /// Records how an attempt ended, JSON text, with what it has attached, if its claim is current; else it says `false`. From then
    /// on nobody ends the attempt otherwise who does not know how this transaction ended.
    fn record_end(
        &mut self,
        claim: Claim,
        outcome: &str,
        artifacts: &[NewArtifact],
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// A transaction. Without a call of [`Transaction::commit`] nothing comes of it.
pub(crate) trait Transaction: TaskWriter + 'static {
    /// Locks the tasks, in the order in which they are given, waiting for each.
    fn lock_tasks(
        &mut self,
        ids: &[TaskId],
    ) -> impl Future<Output = Result<Vec<TaskRow>, StoreError>> + Send;

    /// Locks those of the tasks that nobody holds, and reads their contexts.
    fn lock_free_tasks(
        &mut self,
        ids: &[TaskId],
    ) -> impl Future<Output = Result<Vec<(TaskRow, Text)>, StoreError>> + Send;

    /// Locks those of the tasks that nobody holds. Those that are gone count among them.
    fn try_lock_tasks(
        &mut self,
        ids: &[TaskId],
    ) -> impl Future<Output = Result<Vec<TaskId>, StoreError>> + Send;

    /// How these attempts ended by what transactions of the application's recorded, where they did. It is recorded no more.
    fn take_recorded_ends(
        &mut self,
        claims: &[Claim],
    ) -> impl Future<Output = Result<Vec<RecordedEnd>, StoreError>> + Send;

    /// The attempts of a task of which it is recorded how they ended.
    fn recorded_ends_of(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<Vec<Claim>, StoreError>> + Send;

    /// Steps by their ids, and the children of ended `parents` that no template tells.
    fn read_ended_steps(
        &mut self,
        steps: &[StepId],
        parents: &[StepId],
    ) -> impl Future<Output = Result<Vec<ChildRow>, StoreError>> + Send;

    /// The steps of a task that have not ended; none of them can be claimed before the transaction ends.
    fn read_open_steps(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<Vec<StepRow>, StoreError>> + Send;

    /// Steps by their ids; none of them can be claimed before the transaction ends.
    fn lock_steps(
        &mut self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<Vec<StepRow>, StoreError>> + Send;

    /// Takes the claimable steps of a task out of their queues.
    fn hold_ready_steps(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Puts the claimable steps of a task back into their queues, and says which these are.
    fn release_ready_steps(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// The steps of a task that failed, for good or not, or are blocked; none of them can be claimed before the transaction
    /// ends.
    fn read_failed_steps(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<Vec<StepRow>, StoreError>> + Send;

    /// The results of a step.
    fn results_of(
        &mut self,
        step: StepId,
    ) -> impl Future<Output = Result<Option<Text>, StoreError>> + Send;

    /// Who sent the first signal of a name to a task, and when.
    fn first_signal(
        &mut self,
        task: TaskId,
        name: &str,
    ) -> impl Future<Output = Result<Option<(Option<String>, Timestamp)>, StoreError>> + Send;

    /// From when on an enqueued step can be claimed that is delayed.
    fn delayed_until(
        &mut self,
        step: StepId,
    ) -> impl Future<Output = Result<Option<Timestamp>, StoreError>> + Send;

    /// Writes a decision: each row only if it still is as it was read, all of them or none. `over` are
    /// batches of claims that have all ended. Returns the batch of the claims that the decision makes.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a row was not as it had been read; the transaction must be rolled
    /// back then.
    fn apply(
        &mut self,
        decisions: &Decisions,
        queue_of: QueueOf<'_>,
        over: &[ClaimBatchId],
    ) -> impl Future<Output = Result<Option<ClaimBatchId>, StoreError>> + Send;

    /// What was added to the templates about these steps.
    fn read_growth(
        &mut self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<Vec<GrowthRow>, StoreError>> + Send;

    /// The items that have not begun, among these and so many after each of them, of map steps that wait for them; without those
    /// that somebody claims. All of them, or those of which others have failed, and which are not executed nevertheless. None of
    /// them can be claimed before the transaction ends.
    fn lock_unbegun_items(
        &mut self,
        from: &[StepId],
        further: u32,
        all: bool,
    ) -> impl Future<Output = Result<Vec<UnbegunItem>, StoreError>> + Send;

    /// Which steps of a task follow from which.
    fn links_of_task(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<Vec<Link>, StoreError>> + Send;

    /// Parts added steps from those that have added them, and from all that waits for them, and counts the parents of
    /// these and of the `others` anew.
    fn retire_added_steps(
        &mut self,
        steps: &[StepId],
        others: &[StepId],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The steps of these names that were added to a task.
    fn find_added(
        &mut self,
        task: TaskId,
        names: &[String],
    ) -> impl Future<Output = Result<Vec<AddedName>, StoreError>> + Send;

    /// Writes what handlers attached to attempts that end.
    fn record_artifacts(
        &mut self,
        artifacts: &[NewArtifact],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes what steps wait for.
    fn record_waits(
        &mut self,
        waits: &[NewWait<'_>],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lets the handlers of steps wait anew for what they waited for.
    fn forget_waits(
        &mut self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Has the handlers of steps begin as if they had never waited.
    fn delete_waits(
        &mut self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The context of a task.
    fn task_context(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<Option<Text>, StoreError>> + Send;

    /// Keeps the results of steps that are about to lose them, as artifacts.
    fn keep_results(
        &mut self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The names of the branches that decision steps have taken the last time, a JSON array each.
    fn taken_branches(
        &mut self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<Vec<(StepId, String)>, StoreError>> + Send;

    /// Those of the steps whose signal was sent before.
    fn sent_signals(
        &mut self,
        awaited: &[(StepId, &AwaitedSignal)],
    ) -> impl Future<Output = Result<Vec<StepId>, StoreError>> + Send;

    /// The steps of a task that wait for the signals of a name.
    fn steps_that_wait(
        &mut self,
        task: TaskId,
        name: &str,
    ) -> impl Future<Output = Result<Vec<StepId>, StoreError>> + Send;

    /// Writes a signal, and says whether it was sent before with its key: it is not sent again then.
    fn record_signal(
        &mut self,
        task: TaskId,
        new: NewSignal<'_>,
    ) -> impl Future<Output = Result<(SignalId, bool), StoreError>> + Send;

    /// Calls the holders of these claims, which the transaction ends, when it commits.
    fn recall_claims(
        &mut self,
        claims: &[Claim],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Those of the steps whose handlers have moved their checkpoint in this attempt.
    fn moved_checkpoints(
        &mut self,
        attempts: &[Claim],
    ) -> impl Future<Output = Result<Vec<StepId>, StoreError>> + Send;

    /// Locks up to `limit` due steps of the queues that stand after a place, belong to none of the tasks
    /// `without` and that no other worker holds.
    fn pick_ready_steps(
        &mut self,
        queues: &[String],
        without: &[TaskId],
        after: Place,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<Picked>, StoreError>> + Send;

    /// Locks one worker whose heartbeat ended, that no other rescuer holds and that is none of `passed`.
    fn lock_dead_worker(
        &mut self,
        passed: &[WorkerId],
    ) -> impl Future<Output = Result<Option<WorkerId>, StoreError>> + Send;

    /// What the batches of a worker list. A step that was claimed twice is listed twice.
    fn listed_claims(
        &mut self,
        worker: WorkerId,
    ) -> impl Future<Output = Result<Vec<ListedClaim>, StoreError>> + Send;

    /// Marks a worker as dead, after its claims were taken back.
    fn bury_worker(
        &mut self,
        worker: WorkerId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn template(
        &mut self,
        id: TemplateId,
    ) -> impl Future<Output = Result<Option<LoadedTemplate>, StoreError>> + Send;

    /// Locks a task, and reads what its fork gets of it.
    fn fork_source(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<Option<ForkSource>, StoreError>> + Send;

    /// The steps of a task that are complete, resolved or skipped.
    fn ended_steps(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<Vec<EndedStepRow>, StoreError>> + Send;

    /// Writes where a task comes from, and lets it be found by the keys of that one.
    fn record_fork(
        &mut self,
        new: NewFork<'_>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Those of the tasks whose deadline has passed.
    fn late_tasks(
        &mut self,
        tasks: &[TaskId],
    ) -> impl Future<Output = Result<Vec<TaskId>, StoreError>> + Send;

    /// Locks a deadline that has passed, that no other worker holds and that is of none of the `held` tasks.
    fn lock_late_task(
        &mut self,
        held: &[TaskId],
    ) -> impl Future<Output = Result<Option<(TaskId, Timestamp)>, StoreError>> + Send;

    /// Deletes the deadline of a task.
    fn forget_deadline(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The budgets of those of the tasks that have one.
    fn read_budgets(
        &mut self,
        tasks: &[TaskId],
    ) -> impl Future<Output = Result<Vec<(TaskId, Budget)>, StoreError>> + Send;

    /// Writes budgets that have changed.
    fn write_budgets(
        &mut self,
        budgets: &[(TaskId, Budget)],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Has steps wait for so many seconds that could be claimed, and whose places in the queue this transaction holds.
    fn postpone_ready_steps(
        &mut self,
        steps: &[StepId],
        seconds: f64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Has so many postponed steps of each task be claimable at once, if it has as many. Returns their queues.
    fn resume_postponed_steps(
        &mut self,
        freed: &BTreeMap<TaskId, u32>,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// The steps of a task that its budget kept from being started.
    fn steps_out_of_budget(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<Vec<StepId>, StoreError>> + Send;

    /// Deletes the deadlines of steps.
    fn forget_step_deadlines(
        &mut self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The deadlines of those of the steps that have one.
    fn step_deadlines(
        &mut self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<Vec<(StepId, Timestamp)>, StoreError>> + Send;

    /// Locks the deadline of a step that has passed, that no other worker holds and that is of none of the `held` tasks.
    fn lock_late_step(
        &mut self,
        held: &[TaskId],
    ) -> impl Future<Output = Result<Option<(StepId, Timestamp)>, StoreError>> + Send;

    /// Deletes the deadline of a task if it has passed.
    fn forget_past_deadline(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes what ends of tasks leave to be done.
    fn record_follow_ups(
        &mut self,
        follow_ups: &[(TaskId, FollowUpKind)],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Has the tasks cancelled that these steps run, as far as they have not ended. Returns how many there are.
    fn cancel_children(
        &mut self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Locks the first that is left to be done after this one, and that nobody else does.
    fn lock_follow_up(
        &mut self,
        after: Option<FollowUpId>,
    ) -> impl Future<Output = Result<Option<FollowUp>, StoreError>> + Send;

    /// It is done.
    fn delete_follow_up(
        &mut self,
        id: FollowUpId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The step that runs a task.
    fn parent_of(
        &mut self,
        task: TaskId,
    ) -> impl Future<Output = Result<Option<ParentRow>, StoreError>> + Send;

    /// Tasks that were made for the steps are not found any more.
    fn supersede_children(
        &mut self,
        steps: &[StepId],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The last task that was made for a step by a name.
    fn find_child(
        &mut self,
        step: StepId,
        name: &str,
    ) -> impl Future<Output = Result<Option<ChildTaskRow>, StoreError>> + Send;

    /// Joins a task to the step that it was made for.
    fn record_child(
        &mut self,
        new: NewChild<'_>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The last signal of a name; 0 where there is none.
    fn last_signal(
        &mut self,
        task: TaskId,
        name: &str,
    ) -> impl Future<Output = Result<SignalId, StoreError>> + Send;

    /// The task that undoes another one.
    fn compensation_of(
        &mut self,
        original: TaskId,
    ) -> impl Future<Output = Result<Option<TaskId>, StoreError>> + Send;

    /// Joins a task to the one that it undoes.
    fn record_compensation(
        &mut self,
        original: TaskId,
        task: TaskId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// # Errors
    /// An error does not say that nothing was written: the answer may be what was lost.
    fn commit(self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A connection for heartbeats and wake-up calls.
pub(crate) trait Line: Send + Sync + 'static {
    fn beat(&mut self, pulse: &Pulse) -> impl Future<Output = Result<Beat, StoreError>> + Send;

    /// The next call; `None` when the connection is lost, and with it perhaps calls. May be dropped while it waits.
    fn next(&mut self) -> impl Future<Output = Result<Option<Call>, StoreError>> + Send;
}
