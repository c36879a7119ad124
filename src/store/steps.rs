//! Steps: read under the lock of their tasks, and the one place that writes a decision.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;
use sqlx::PgExecutor;

use super::database::ResultsByStep;
use super::{Store, StoreError, Tx, count, growth, int};
use crate::decision::{Decisions, StepChange, Timestamp};
use crate::encryption::{Content, Keyring};
use crate::ids::{ClaimBatchId, StepId, TaskId, WorkerId};
use crate::state::{AttemptOutcome, StepEvent, StepState, TaskEvent, TaskState};

/// A step's row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepRow {
    pub(crate) id: StepId,
    pub(crate) state: StepState,
    pub(crate) open_parents: u32,
    pub(crate) failed_parents: u32,
    pub(crate) skipped_parents: u32,
    pub(crate) attempts: u32,
    pub(crate) failures: u32,
    pub(crate) crashes: u32,
    pub(crate) worker: Option<WorkerId>,
    /// The database's clock when the row was read.
    pub(crate) now: Timestamp,
}

/// An observed step, or a child of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChildRow {
    /// The observed step that this one is a child of; `None` for the observed step itself.
    pub(crate) parent: Option<StepId>,
    pub(crate) step: StepRow,
}

/// A step as people ask for it, with its last attempt.
#[derive(Debug)]
pub(crate) struct StepListRow {
    pub(crate) workflow_step_id: i64,
    pub(crate) state: StepState,
    pub(crate) attempts: i32,
    pub(crate) failures: i32,
    pub(crate) crashes: i32,
    pub(crate) worker_id: Option<i64>,
    pub(crate) claimed_at: Option<DateTime<Utc>>,
    /// As it is in the row, perhaps sealed.
    pub(crate) results: Option<String>,
    pub(crate) available_at: Option<DateTime<Utc>>,
    pub(crate) queue: Option<String>,
    pub(crate) error: Option<String>,
    /// Why an item was given up, a JSON object.
    pub(crate) given_up: Option<String>,
    pub(crate) execution_us: Option<i64>,
    pub(crate) attempt_claimed_at: Option<DateTime<Utc>>,
    pub(crate) attempt_finished_at: Option<DateTime<Utc>>,
}

/// Says which queue a step goes to when it becomes claimable.
pub(crate) type QueueOf<'a> = &'a (dyn Fn(StepId) -> String + Sync);

macro_rules! step_row {
    ($row:expr) => {
        StepRow {
            id: StepId($row.workflow_step_id),
            state: $row.state,
            open_parents: count($row.open_parents),
            failed_parents: count($row.failed_parents),
            skipped_parents: count($row.skipped_parents),
            attempts: count($row.attempts),
            failures: count($row.failures),
            crashes: count($row.crashes),
            worker: $row.worker_id.map(WorkerId),
            now: $row.now,
        }
    };
}
pub(super) use step_row;

/// Steps by their ids, and the children of ended `parents` that no template tells.
pub(super) async fn read_ended(
    tx: &mut Tx,
    steps: &[StepId],
    parents: &[StepId],
) -> Result<Vec<ChildRow>, StoreError> {
    if steps.is_empty() && parents.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_file!(
        "src/store/sql/read_ended_steps.sql",
        steps as &[StepId],
        parents as &[StepId]
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ChildRow { parent: row.parent_id.map(StepId), step: step_row!(row) })
        .collect())
}

/// The steps of a task that have not ended; none of them can be claimed before the transaction ends.
pub(super) async fn read_open(tx: &mut Tx, task: TaskId) -> Result<Vec<StepRow>, StoreError> {
    sqlx::query_file!("src/store/sql/lock_ready_of_task.sql", task.0).fetch_all(&mut **tx).await?;
    let rows =
        sqlx::query_file!("src/store/sql/read_open_steps.sql", task.0).fetch_all(&mut **tx).await?;
    Ok(rows.into_iter().map(|row| step_row!(row)).collect())
}

/// Steps by their ids; none of them can be claimed before the transaction ends.
pub(super) async fn lock(tx: &mut Tx, steps: &[StepId]) -> Result<Vec<StepRow>, StoreError> {
    sqlx::query_file!("src/store/sql/lock_ready_steps.sql", steps as &[StepId])
        .fetch_all(&mut **tx)
        .await?;
    let read = read_ended(tx, steps, &[]).await?;
    Ok(read.into_iter().map(|row| row.step).collect())
}

/// Takes the claimable steps of a task out of their queues.
pub(super) async fn hold_ready(tx: &mut Tx, task: TaskId) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/lock_ready_of_task.sql", task.0).fetch_all(&mut **tx).await?;
    sqlx::query_file!("src/store/sql/hold_ready_steps.sql", task.0).execute(&mut **tx).await?;
    Ok(())
}

/// Puts the claimable steps of a task back into their queues, and says which these are.
pub(super) async fn release_ready(tx: &mut Tx, task: TaskId) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/release_ready_steps.sql", task.0)
        .fetch_all(&mut **tx)
        .await?;
    Ok(rows.into_iter().map(|row| row.queue).collect())
}

/// The steps of a task that failed, for good or not, or are blocked; none of them can be claimed before the transaction
/// ends.
pub(super) async fn read_failed(tx: &mut Tx, task: TaskId) -> Result<Vec<StepRow>, StoreError> {
    sqlx::query_file!("src/store/sql/lock_ready_of_task.sql", task.0).fetch_all(&mut **tx).await?;
    let rows = sqlx::query_file!("src/store/sql/read_failed_steps.sql", task.0)
        .fetch_all(&mut **tx)
        .await?;
    Ok(rows.into_iter().map(|row| step_row!(row)).collect())
}

/// From when on an enqueued step can be claimed that is delayed.
pub(super) async fn delayed_until(
    tx: &mut Tx,
    step: StepId,
) -> Result<Option<Timestamp>, StoreError> {
    Ok(sqlx::query_file_scalar!("src/store/sql/delayed_until.sql", step.0)
        .fetch_optional(&mut **tx)
        .await?)
}

/// Keeps the results of steps that are about to lose them, as artifacts.
pub(super) async fn keep_results(tx: &mut Tx, steps: &[StepId]) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/keep_results.sql", steps as &[StepId])
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The names of the branches that decision steps have taken the last time, a JSON array each.
pub(super) async fn taken_branches(
    tx: &mut Tx,
    steps: &[StepId],
) -> Result<Vec<(StepId, String)>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/taken_branches.sql", steps as &[StepId])
        .fetch_all(&mut **tx)
        .await?;
    Ok(rows.into_iter().map(|row| (row.step, row.took)).collect())
}

/// Writes a decision: each row only if it still is as it was read, all of them or none. `over` are
/// batches of claims that have all ended. Returns the batch of the claims that the decision makes.
///
/// # Errors
/// [`StoreError::Conflict`] when a row was not as it had been read; the transaction must be rolled
/// back then.
pub(super) async fn apply(
    tx: &mut Tx,
    decisions: &Decisions,
    queue_of: QueueOf<'_>,
    over: &[ClaimBatchId],
) -> Result<Option<ClaimBatchId>, StoreError> {
    if !decisions.added.steps.is_empty() {
        growth::add(tx, decisions, queue_of).await?;
    }
    move_ready(tx, decisions).await?;
    let (steps, kinds) = StepColumns::new(decisions, queue_of, &tx.keys)?;
    let tasks = TaskColumns::new(decisions);
    let written = sqlx::query_file!(
        "src/store/sql/apply_decisions.sql",
        &steps.ids as &[StepId],
        &steps.kinds,
        &steps.open_parents,
        &steps.results as &[Option<Cow<'_, str>>],
        &steps.execution_us as &[Option<i64>],
        &steps.details as &[Option<&str>],
        &steps.errors as &[Option<Cow<'_, str>>],
        &steps.available_at as &[Option<Timestamp>],
        &steps.queues as &[Option<String>],
        &kinds.from_states as &[StepState],
        &kinds.from_attempts,
        &kinds.from_workers as &[Option<WorkerId>],
        &kinds.to_states as &[StepState],
        &kinds.attempts,
        &kinds.failures,
        &kinds.crashes,
        &kinds.workers as &[Option<WorkerId>],
        &kinds.events as &[Option<StepEvent>],
        &kinds.outcomes as &[Option<AttemptOutcome>],
        &tasks.ids as &[TaskId],
        &tasks.from_states as &[TaskState],
        &tasks.to_states as &[TaskState],
        &tasks.runnable,
        &tasks.waiting,
        &tasks.blocked,
        &tasks.failures,
        &tasks.events as &[Option<TaskEvent>],
        &tasks.details as &[Option<&str>],
        over as &[ClaimBatchId],
        &kinds.failed_parents,
        &kinds.skipped_parents,
        steps.any_claimed,
        steps.left_ready > 0,
        steps.any_enters_ready,
        &steps.priorities as &[Option<i16>],
    )
    .fetch_one(&mut **tx)
    .await?;
    all_written(decisions.steps.len(), written.steps)?;
    all_written(decisions.tasks.len(), written.tasks)?;
    all_written(steps.left_ready, written.left_ready)?;
    Ok(written.claim_batch_id.map(ClaimBatchId))
}

/// Takes the rows away of steps that wait and are to be claimed at once: the decision writes them anew.
async fn move_ready(tx: &mut Tx, decisions: &Decisions) -> Result<(), StoreError> {
    let moved = |change: &&StepChange| {
        change.before.state.is_claimable() && change.after.state.is_claimable()
    };
    let moved: Vec<_> = decisions.steps.iter().filter(moved).map(|c| c.after.id).collect();
    if !moved.is_empty() {
        sqlx::query_file!("src/store/sql/delete_ready_steps.sql", &moved as &[StepId])
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

fn all_written(expected: usize, written: i64) -> Result<(), StoreError> {
    let written = usize::try_from(written).unwrap_or(0);
    if written == expected { Ok(()) } else { Err(StoreError::Conflict { expected, written }) }
}

/// What many changes of a batch have in common, so that it is sent and taken apart once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    from: (StepState, u32, Option<WorkerId>),
    to: (StepState, u32, Option<WorkerId>),
    failures: u32,
    crashes: u32,
    failed_parents: u32,
    skipped_parents: u32,
    event: Option<StepEvent>,
    outcome: Option<AttemptOutcome>,
}

impl Kind {
    fn of(change: &StepChange) -> Self {
        let (before, after) = (&change.before, &change.after);
        Self {
            from: (before.state, before.attempts, before.worker),
            to: (after.state, after.attempts, after.worker),
            failures: after.failures,
            crashes: after.crashes,
            failed_parents: after.failed_parents,
            skipped_parents: after.skipped_parents,
            event: change.event,
            outcome: change.ended.as_ref().map(|ended| ended.outcome),
        }
    }
}

#[derive(Default)]
struct KindColumns {
    known: FxHashMap<Kind, i32>,
    from_states: Vec<StepState>,
    from_attempts: Vec<i32>,
    from_workers: Vec<Option<WorkerId>>,
    to_states: Vec<StepState>,
    attempts: Vec<i32>,
    failures: Vec<i32>,
    crashes: Vec<i32>,
    failed_parents: Vec<i32>,
    skipped_parents: Vec<i32>,
    workers: Vec<Option<WorkerId>>,
    events: Vec<Option<StepEvent>>,
    outcomes: Vec<Option<AttemptOutcome>>,
}

impl KindColumns {
    /// The position of the kind, from 1.
    fn position(&mut self, kind: Kind) -> i32 {
        if let Some(position) = self.known.get(&kind) {
            return *position;
        }
        self.from_states.push(kind.from.0);
        self.from_attempts.push(int(kind.from.1));
        self.from_workers.push(kind.from.2);
        self.to_states.push(kind.to.0);
        self.attempts.push(int(kind.to.1));
        self.workers.push(kind.to.2);
        self.failures.push(int(kind.failures));
        self.crashes.push(int(kind.crashes));
        self.failed_parents.push(int(kind.failed_parents));
        self.skipped_parents.push(int(kind.skipped_parents));
        self.events.push(kind.event);
        self.outcomes.push(kind.outcome);
        let position = i32::try_from(self.from_states.len()).unwrap_or(i32::MAX);
        self.known.insert(kind, position);
        position
    }
}

#[derive(Default)]
struct StepColumns<'a> {
    ids: Vec<StepId>,
    kinds: Vec<i32>,
    open_parents: Vec<i32>,
    results: Vec<Option<Cow<'a, str>>>,
    execution_us: Vec<Option<i64>>,
    details: Vec<Option<&'a str>>,
    errors: Vec<Option<Cow<'a, str>>>,
    available_at: Vec<Option<Timestamp>>,
    queues: Vec<Option<String>>,
    /// Where they are not 0.
    priorities: Vec<Option<i16>>,
    any_claimed: bool,
    left_ready: usize,
    any_enters_ready: bool,
}

impl<'a> StepColumns<'a> {
    fn new(
        decisions: &'a Decisions,
        queue_of: QueueOf<'_>,
        keys: &Keyring,
    ) -> Result<(Self, KindColumns), StoreError> {
        let (mut columns, mut kinds) = (Self::default(), KindColumns::default());
        for change in &decisions.steps {
            columns.kinds.push(kinds.position(Kind::of(change)));
            columns.push(change, &|step| decisions.queue(step, queue_of));
            let priority = Some(decisions.priority(change.after.id));
            columns.priorities.push(priority.filter(|one| *one != 0));
            let error = change.ended.as_ref().and_then(|ended| ended.error.as_deref());
            columns.results.push(seal(keys, Content::Results, change.results.as_deref())?);
            columns.errors.push(seal(keys, Content::Failure, error)?);
        }
        columns.leave_out_empty();
        Ok((columns, kinds))
    }

    /// Arrays that hold nothing are not sent: `unnest` fills shorter arrays up.
    fn leave_out_empty(&mut self) {
        fn clear<T>(column: &mut Vec<Option<T>>) {
            if column.iter().all(Option::is_none) {
                column.clear();
            }
        }
        clear(&mut self.available_at);
        clear(&mut self.results);
        clear(&mut self.details);
        clear(&mut self.queues);
        clear(&mut self.priorities);
        clear(&mut self.execution_us);
        clear(&mut self.errors);
    }

    fn push(&mut self, change: &'a StepChange, queue: &dyn Fn(StepId) -> Option<String>) {
        let (before, after) = (&change.before, &change.after);
        let enters_ready = after.state.is_claimable();
        self.any_claimed |= change.event == Some(StepEvent::Claimed);
        self.left_ready += usize::from(before.state.is_claimable() && !enters_ready);
        self.any_enters_ready |= enters_ready;
        self.ids.push(after.id);
        self.open_parents.push(int(after.open_parents));
        self.available_at.push(change.available_at);
        self.details.push(change.detail.as_deref());
        self.queues.push(if enters_ready { queue(after.id) } else { None });
        let ended = change.ended.as_ref();
        let micros = ended.and_then(|ended| ended.execution).map(|t| i64::try_from(t.as_micros()));
        self.execution_us.push(micros.map(|us| us.unwrap_or(i64::MAX)));
    }
}

fn seal<'a>(
    keys: &Keyring,
    content: Content,
    text: Option<&'a str>,
) -> Result<Option<Cow<'a, str>>, StoreError> {
    Ok(text.map(|text| keys.seal(content, text)).transpose()?)
}

#[derive(Default)]
struct TaskColumns<'a> {
    ids: Vec<TaskId>,
    from_states: Vec<TaskState>,
    to_states: Vec<TaskState>,
    runnable: Vec<i32>,
    waiting: Vec<i32>,
    blocked: Vec<i32>,
    failures: Vec<i32>,
    events: Vec<Option<TaskEvent>>,
    details: Vec<Option<&'a str>>,
}

impl<'a> TaskColumns<'a> {
    fn new(decisions: &'a Decisions) -> Self {
        let mut columns = Self::default();
        for change in &decisions.tasks {
            columns.ids.push(change.after.id);
            columns.from_states.push(change.before.state);
            columns.to_states.push(change.after.state);
            columns.runnable.push(int(change.after.runnable));
            columns.waiting.push(int(change.after.waiting));
            columns.blocked.push(int(change.after.blocked));
            columns.failures.push(int(change.after.failures));
            columns.events.push(change.event);
            columns.details.push(change.detail.as_deref());
        }
        columns
    }
}

/// The results of these steps.
pub(super) async fn results(
    connection: impl PgExecutor<'_>,
    keys: &Keyring,
    steps: &[StepId],
) -> Result<ResultsByStep, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/step_results.sql", steps as &[StepId])
        .fetch_all(connection)
        .await?;
    let opened = |results| keys.open(Content::Results, results);
    Ok(rows
        .into_iter()
        .map(|row| (StepId(row.workflow_step_id), (row.state, row.results.map(opened))))
        .collect())
}

impl Store {
    /// The steps of these parts, each from its first step to its last.
    pub(crate) async fn list_steps(
        &self,
        parts: &[(StepId, StepId)],
    ) -> Result<Vec<StepListRow>, StoreError> {
        let (first, last): (Vec<_>, Vec<_>) = parts.iter().copied().unzip();
        let mut rows = sqlx::query_file_as!(
            StepListRow,
            "src/store/sql/list_steps.sql",
            &first as &[StepId],
            &last as &[StepId]
        )
        .fetch_all(&self.pool)
        .await?;
        for row in &mut rows {
            row.error = row.error.take().map(|error| self.keys.open_failure(error));
        }
        Ok(rows)
    }
}
