//! What handlers wait for, and the signals that were sent.

use std::borrow::Cow;
use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{Store, StoreError, Tx, int};
use crate::decision::{AwaitedSignal, Claim, Timestamp, Wait};
use crate::encryption::{Content, Text};
use crate::ids::{SignalId, StepId, TaskId};

/// A wait that a decision begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewWait<'a> {
    pub(crate) step: StepId,
    pub(crate) wait: &'a Wait,
    pub(crate) deadline: Option<Timestamp>,
}

/// Where a handler has come in the middle of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkpoint<'a> {
    /// JSON text.
    pub(crate) cursor: &'a str,
    /// JSON text; what was kept before stays where there is none.
    pub(crate) data: Option<&'a str>,
    /// It is not where the handler was when the attempt began.
    pub(crate) moved: bool,
    /// Higher than that of any earlier one of the attempt; the same each time that this one is sent.
    pub(crate) number: u32,
}

/// A signal that was sent.
#[derive(Debug)]
pub(crate) struct SentSignalRow {
    pub(crate) name: String,
    pub(crate) actor: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
}

/// A signal that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewSignal<'a> {
    pub(crate) name: &'a str,
    /// JSON text.
    pub(crate) payload: &'a str,
    pub(crate) actor: Option<&'a str>,
    pub(crate) idempotency_key: Option<&'a str>,
}

/// What a step waited for last, and the signal that its handler asks for.
#[derive(Debug)]
pub(crate) struct WaitRow {
    /// What time it is, by the database's clock.
    pub(crate) now: DateTime<Utc>,
    /// How often it has waited.
    pub(crate) waits: i32,
    /// What its handler kept.
    pub(crate) data: Option<Text>,
    /// Where it had come at its last checkpoint.
    pub(crate) cursor: Option<Text>,
    /// When the wait for this signal is over, whatever comes, if it waited for it last.
    pub(crate) deadline: Option<DateTime<Utc>>,
    /// That time has come.
    pub(crate) timed_out: bool,
    pub(crate) signal: Option<SignalRow>,
}

/// A signal that was sent.
#[derive(Debug)]
pub(crate) struct SignalRow {
    pub(crate) id: SignalId,
    pub(crate) payload: Text,
    pub(crate) actor: Option<String>,
    pub(crate) sent_at: DateTime<Utc>,
}

/// Writes what steps wait for.
pub(super) async fn record(tx: &mut Tx, waits: &[NewWait<'_>]) -> Result<(), StoreError> {
    let signals: Vec<_> = waits.iter().map(|new| new.wait.signal.as_ref()).collect();
    let steps: Vec<_> = waits.iter().map(|new| new.step).collect();
    let names: Vec<_> = signals.iter().map(|signal| signal.map(|s| s.name.as_str())).collect();
    let after: Vec<_> = signals.iter().map(|signal| signal.and_then(|s| s.after)).collect();
    let deadlines: Vec<_> = waits.iter().map(|new| new.deadline).collect();
    let data = waits.iter().map(|new| new.wait.data.as_deref());
    let data = data.map(|data| data.map(|data| tx.keys.seal(Content::Wait, data)).transpose());
    let data: Vec<_> = data.collect::<Result<_, _>>()?;
    sqlx::query_file!(
        "src/store/sql/record_waits.sql",
        &steps as &[StepId],
        &names as &[Option<&str>],
        &after as &[Option<SignalId>],
        &deadlines as &[Option<Timestamp>],
        &data as &[Option<Cow<'_, str>>]
    )
    .execute(&mut tx.sql)
    .await?;
    Ok(())
}

/// Writes a checkpoint of the holder of a claim, and says whether that is current.
pub(super) async fn checkpoint(
    store: &Store,
    claim: Claim,
    checkpoint: Checkpoint<'_>,
) -> Result<bool, StoreError> {
    let seal = |text| store.keys.seal(Content::Wait, text);
    let cursor = seal(checkpoint.cursor)?;
    let data = checkpoint.data.map(seal).transpose()?;
    let written = sqlx::query_file!(
        "src/store/sql/checkpoint.sql",
        claim.step.0,
        int(claim.attempt),
        claim.worker.0,
        &cursor as &str,
        data.as_deref(),
        checkpoint.moved,
        i64::from(claim.attempt) << 32 | i64::from(checkpoint.number)
    )
    .execute(&store.pool)
    .await?;
    Ok(written.rows_affected() > 0)
}

/// Those of the steps whose checkpoint was moved in this attempt.
pub(super) async fn moved(tx: &mut Tx, attempts: &[Claim]) -> Result<Vec<StepId>, StoreError> {
    let steps: Vec<_> = attempts.iter().map(|claim| claim.step).collect();
    let numbers: Vec<_> = attempts.iter().map(|claim| int(claim.attempt)).collect();
    Ok(sqlx::query_file_scalar!(
        "src/store/sql/moved_checkpoints.sql",
        &steps as &[StepId],
        &numbers
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// Lets the handlers of steps wait anew for what they waited for.
pub(super) async fn forget(tx: &mut Tx, steps: &[StepId]) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/forget_waits.sql", steps as &[StepId])
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Has the handlers of steps begin as if they had never waited.
pub(super) async fn delete(tx: &mut Tx, steps: &[StepId]) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/delete_waits.sql", steps as &[StepId])
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Those of the steps whose signal was sent before.
pub(super) async fn sent(
    tx: &mut Tx,
    awaited: &[(StepId, &AwaitedSignal)],
) -> Result<Vec<StepId>, StoreError> {
    let steps: Vec<_> = awaited.iter().map(|(step, _)| *step).collect();
    let names: Vec<_> = awaited.iter().map(|(_, signal)| signal.name.clone()).collect();
    let after: Vec<_> = awaited.iter().map(|(_, signal)| signal.after).collect();
    Ok(sqlx::query_file_scalar!(
        "src/store/sql/sent_signals.sql",
        &steps as &[StepId],
        &names,
        &after as &[Option<SignalId>]
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// The steps of a task that wait for the signals of a name.
pub(super) async fn waiting_for(
    tx: &mut Tx,
    task: TaskId,
    name: &str,
) -> Result<Vec<StepId>, StoreError> {
    Ok(sqlx::query_file_scalar!("src/store/sql/steps_that_wait.sql", task.0, name)
        .fetch_all(&mut **tx)
        .await?)
}

/// Who sent the first signal of a name to a task, and when.
pub(super) async fn first_signal(
    tx: &mut Tx,
    task: TaskId,
    name: &str,
) -> Result<Option<(Option<String>, Timestamp)>, StoreError> {
    let row = sqlx::query_file!("src/store/sql/first_signal.sql", task.0, name)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.map(|row| (row.actor, row.created_at)))
}

/// Writes a signal, and says whether it was sent before with its key.
pub(super) async fn record_signal(
    tx: &mut Tx,
    task: TaskId,
    new: NewSignal<'_>,
) -> Result<(SignalId, bool), StoreError> {
    let payload = tx.keys.seal(Content::Signal, new.payload)?;
    let row = sqlx::query_file!(
        "src/store/sql/record_signal.sql",
        task.0,
        new.name,
        &payload as &str,
        new.actor,
        new.idempotency_key
    )
    .fetch_one(&mut tx.sql)
    .await?;
    Ok((row.signal_id, row.existing))
}

/// How far a step got whose attempts have not succeeded.
#[derive(Debug)]
pub(crate) struct StepProgressRow {
    /// Where its handler had come at its last checkpoint.
    pub(crate) cursor: Option<Text>,
    pub(crate) checkpoint_at: Option<DateTime<Utc>>,
    /// What its handler has kept.
    pub(crate) data: Option<Text>,
    /// By when it has to have ended.
    pub(crate) deadline_at: Option<DateTime<Utc>>,
}

impl Store {
    /// The signals of a task that no handler was given and that no step waited for last, but for those whose names begin so;
    /// the last of each name.
    pub(crate) async fn unawaited_signals(
        &self,
        task: TaskId,
        but: &str,
    ) -> Result<Vec<SentSignalRow>, StoreError> {
        Ok(sqlx::query_file_as!(SentSignalRow, "src/store/sql/unawaited_signals.sql", task.0, but)
            .fetch_all(&self.pool)
            .await?)
    }

    /// How far these steps got, those of which something is known.
    pub(crate) async fn progress(
        &self,
        steps: &[StepId],
    ) -> Result<HashMap<i64, StepProgressRow>, StoreError> {
        let rows = sqlx::query_file!("src/store/sql/step_progress.sql", steps as &[StepId])
            .fetch_all(&self.pool)
            .await?;
        let progress = rows.into_iter().map(|row| {
            let progress = StepProgressRow {
                cursor: row.cursor.map(|cursor| self.open(Content::Wait, cursor)),
                checkpoint_at: row.checkpoint_at,
                data: row.data.map(|data| self.open(Content::Wait, data)),
                deadline_at: row.deadline_at,
            };
            (row.workflow_step_id, progress)
        });
        Ok(progress.collect())
    }

    /// What a step waited for last, and the first signal of that name after another one, which is given to its handler.
    pub(crate) async fn look_at_wait(
        &self,
        step: StepId,
        name: Option<&str>,
        after: SignalId,
    ) -> Result<WaitRow, StoreError> {
        let row = sqlx::query_file!("src/store/sql/look_at_wait.sql", step.0, name, after.0)
            .fetch_one(&self.pool)
            .await?;
        let signal = row.signal_id.zip(row.payload).zip(row.sent_at);
        Ok(WaitRow {
            now: row.now,
            waits: row.waits.unwrap_or(0),
            data: row.data.map(|data| self.open(Content::Wait, data)),
            cursor: row.cursor.map(|cursor| self.open(Content::Wait, cursor)),
            deadline: row.deadline.filter(|_| row.same),
            timed_out: row.same && row.over,
            signal: signal.map(|((id, payload), sent_at)| SignalRow {
                id,
                payload: self.open(Content::Signal, payload),
                actor: row.actor,
                sent_at,
            }),
        })
    }
}
