//! What ends of tasks left to be done, each in a transaction of its own: whoever wrote the end does it at once, and every
//! heartbeat looks for what is left.

use std::sync::Arc;

use serde_json::json;
use serde_json::value::RawValue;
use tracing::{info, warn};

use super::compensation;
use super::events::Events;
use super::patience::Patience;
use super::shared::Shared;
use super::signals::{self, SignalRequest};
use super::steering::{Steered, Steering, steer};
use super::subworkflows::signal_name;
use super::templates::Templates;
use crate::decision::{Decisions, Request};
use crate::error::Error;
use crate::ids::{FollowUpId, TaskId};
use crate::state::FollowUpKind;
use crate::store::{Database, FollowUp, StoreError, TaskRow, Transaction};

/// Does what is left to be done whenever it is called for.
pub(super) async fn follow<D: Database>(shared: Arc<Shared<D>>) {
    loop {
        shared.something_left().await;
        let Shared { database, templates, events, .. } = &*shared;
        let patience = shared.patience();
        let doer = Doer { database, templates, events: Some(events), patience };
        if let Err(error) = doer.do_all().await {
            warn!(%error, "what ends of tasks left to be done is not done yet");
        }
    }
}

/// Whoever does what is left to be done.
pub(super) struct Doer<'a, D> {
    pub(super) database: &'a D,
    pub(super) templates: &'a Templates,
    pub(super) events: Option<&'a Events>,
    pub(super) patience: &'a Patience,
}

/// What came of looking for something to do.
enum Look {
    Done(FollowUpId),
    /// Somebody else holds the task, or something had to be done first.
    Held(FollowUpId),
    NoneLeft,
}

impl<D: Database> Doer<'_, D> {
    /// Does all that is left to be done, in the order in which it was left: first what has to wait for nobody. What fails
    /// is left to the next time.
    ///
    /// # Errors
    /// When the database is not there.
    pub(super) async fn do_all(&self) -> Result<(), Error> {
        for waits in [false, true] {
            let (mut last, mut left) = (None, false);
            loop {
                let looked = self.patience.with(self.database, self.do_one(last, waits)).await?;
                match looked {
                    Ok(Look::Done(id)) => last = Some(id),
                    Ok(Look::Held(id)) => (last, left) = (Some(id), true),
                    Ok(Look::NoneLeft) => break,
                    Err((Some(id), error)) if !error.is_unavailable() => {
                        warn!(%error, follow_up = id.0, "what the end of a task left to be done failed");
                        (last, left) = (Some(id), true);
                    }
                    Err((_, error)) => return Err(error),
                }
            }
            if !left {
                break;
            }
        }
        Ok(())
    }

    /// Does the first after this one.
    async fn do_one(
        &self,
        after: Option<FollowUpId>,
        waits: bool,
    ) -> Result<Look, (Option<FollowUpId>, Error)> {
        let early = |error| (None, Error::from(error));
        let mut tx = self.database.begin().await.map_err(early)?;
        let Some(next) = tx.lock_follow_up(after).await.map_err(early)? else {
            return Ok(Look::NoneLeft);
        };
        self.carry_out(tx, next, waits).await.map_err(|error| (Some(next.id), error))
    }

    async fn carry_out(&self, mut tx: D::Tx, next: FollowUp, waits: bool) -> Result<Look, Error> {
        let done = match next.kind {
            FollowUpKind::TellParent => tell(&mut tx, self.templates, next.task, waits).await?,
            FollowUpKind::Compensate => {
                compensation::follow_up(&mut tx, self.templates, next.task, waits).await?
            }
            FollowUpKind::Cancel => {
                match cancel(&mut tx, self.templates, next.task, waits).await? {
                    Some(Steered::Settled(settled)) => {
                        self.commit(tx, &settled).await?;
                        return Ok(Look::Held(next.id));
                    }
                    Some(Steered::Done(decisions)) => Some(decisions),
                    None => None,
                }
            }
        };
        let Some(decisions) = done else { return Ok(Look::Held(next.id)) };
        tx.delete_follow_up(next.id).await?;
        self.commit(tx, &decisions).await?;
        info!(task_id = next.task.0, what = %next.kind, "did what the end of a task left to be done");
        Ok(Look::Done(next.id))
    }

    async fn commit(&self, tx: D::Tx, decisions: &Decisions) -> Result<(), StoreError> {
        match self.events {
            Some(events) => events.commit(tx, decisions).await,
            None => tx.commit().await,
        }
    }
}

/// What is known of a task that is to be locked.
pub(super) enum Locked {
    Row(TaskRow),
    Gone,
    /// Somebody else holds it, and it is not to be waited for.
    Held,
}

/// Locks a task; waits for it only if that is allowed.
pub(super) async fn lock(
    tx: &mut impl Transaction,
    task: TaskId,
    waits: bool,
) -> Result<Locked, Error> {
    if !waits && tx.try_lock_tasks(&[task]).await?.is_empty() {
        return Ok(Locked::Held);
    }
    let rows = tx.lock_tasks(&[task]).await?;
    Ok(rows.first().map_or(Locked::Gone, |row| Locked::Row(*row)))
}

/// Wakes the step that runs a task. Nothing where its own task has ended; `None` where somebody holds that.
async fn tell(
    tx: &mut impl Transaction,
    templates: &Templates,
    task: TaskId,
    waits: bool,
) -> Result<Option<Decisions>, Error> {
    let Some(parent) = tx.parent_of(task).await? else { return Ok(Some(Decisions::default())) };
    match lock(tx, parent.step.task(), waits).await? {
        Locked::Held => Ok(None),
        Locked::Row(row) if !row.task.state.is_terminal() => {
            let payload = RawValue::from_string(json!({ "task_id": task }).to_string());
            let request = SignalRequest {
                name: signal_name(parent.step, &parent.name),
                payload: payload.unwrap_or_default(),
                actor: Some(format!("task {task}")),
                idempotency_key: None,
                approval_handlers: None,
            };
            let (_, decisions) = signals::send(tx, templates, row.task.id, &request).await?;
            Ok(Some(decisions))
        }
        Locked::Row(_) | Locked::Gone => Ok(Some(Decisions::default())),
    }
}

/// Cancels a task that nobody waits for any more.
async fn cancel(
    tx: &mut impl Transaction,
    templates: &Templates,
    task: TaskId,
    waits: bool,
) -> Result<Option<Steered>, Error> {
    match lock(tx, task, waits).await? {
        Locked::Held => Ok(None),
        Locked::Row(row) if !row.task.state.is_terminal() => {
            let parent = tx.parent_of(task).await?;
            let actor = parent
                .map_or("the engine".to_owned(), |parent| format!("task {}", parent.step.task()));
            let reason = Some("the step that runs it has ended".to_owned());
            let request = Request { actor, reason, seen: None };
            steer(tx, templates, task, &Steering::Cancel, &request).await.map(Some)
        }
        Locked::Row(_) | Locked::Gone => Ok(Some(Steered::Done(Decisions::default()))),
    }
}
