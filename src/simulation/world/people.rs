//! Those who make tasks, and operators: what they ask for, until they are told what became of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::decision::Request;
use crate::ids::{TaskId, TemplateId};
use crate::json::JsonLimits;
use crate::runtime::simulated::{
    ForkRequest, SignalRequest, Steered, Steering, Submission, Templates, fork, signal, steer,
};
use crate::simulation::database::SimulatedDatabase;
use crate::simulation::plan::{Plan, TaskPlan};
use crate::simulation::server::State;
use crate::simulation::tables::TaskRecord;
use crate::store::{Database, StoreError, Transaction};

/// The signal [`GO`](super::GO) as it is sent.
const SIGNAL: &str = r#"{"name": "go", "payload": null, "idempotency_key": "once"}"#;

/// Makes the tasks of a plan, as one client, which tries until it is told that they are made.
pub(super) async fn make(
    client: SimulatedDatabase,
    templates: Arc<Templates>,
    plan: TaskPlan,
    key: usize,
    at: Instant,
) {
    sleep_until(at).await;
    let contexts = vec![serde_json::json!({}); plan.count];
    let mut json =
        serde_json::json!({ "name": format!("t{}", plan.template), "contexts": contexts });
    if plan.clients > 0 {
        json["idempotency_key"] = format!("key {key}").into();
        json["unique_for_s"] = plan.unique_for.map(|lasts| lasts.as_secs_f64()).into();
    }
    if let Some(key) = plan.correlation {
        json["correlation_key"] = correlation(key).into();
    }
    if plan.priority != 0 {
        json["priority"] = plan.priority.into();
    }
    if let Some(deadline) = plan.deadline {
        json["deadline_s"] = deadline.as_secs_f64().into();
    }
    if let Some(attempts) = plan.attempts {
        json["budget"]["attempts"] = attempts.into();
    }
    if let Some(cost) = plan.cost {
        json["budget"]["cost"] = cost.into();
    }
    let submission = Submission::from_json(&json.to_string());
    let submission = submission.expect("a plan submits what is allowed");
    let id = TemplateId(i32::try_from(plan.template).unwrap_or(0));
    let mut made = Vec::new();
    loop {
        let asked = Instant::now();
        let submitted = async {
            let mut tx = client.begin().await?;
            let stored = templates.get_within(&mut tx, id).await?;
            let submitted = submission.write(&mut tx, &stored, &mut made).await?;
            tx.commit().await?;
            Ok::<_, crate::Error>(submitted)
        };
        let submitted = submitted.await;
        let mut state = client.server.lock();
        match submitted {
            Ok(submitted) => {
                if plan.clients > 0 {
                    let window = plan.unique_for.map(|lasts| (lasts, asked));
                    state.watch.submitted(key, submitted.task_ids[0], submitted.existing, window);
                }
                return;
            }
            Err(error) if error.is_retryable() => {}
            Err(error) => {
                state.watch.violation.get_or_insert(format!("a submit failed: {error}"));
                return;
            }
        }
        drop(state);
        sleep(Duration::from_millis(200)).await;
    }
}

/// Whether it is refused, or its answer is lost, does not matter to anybody.
pub(super) async fn steer_task(client: SimulatedDatabase, task: TaskId, steering: Steering) {
    let request = Request { actor: "somebody".to_owned(), reason: None, seen: None };
    ask(&client, task, &steering, &request).await;
}

/// Asks for it until somebody is told what came of it.
async fn ask(client: &SimulatedDatabase, task: TaskId, steering: &Steering, request: &Request) {
    if *steering == Steering::Cancel {
        client.server.lock().watch.asks_to_cancel(task, request);
    }
    let templates = Templates::default();
    let steered = async {
        loop {
            let mut tx = client.begin().await?;
            let steered = steer(&mut tx, &templates, task, steering, request).await?;
            tx.commit().await?;
            if let Steered::Done(_) = steered {
                return Ok::<_, crate::Error>(());
            }
        }
    };
    if steered.await.is_ok() && *steering == Steering::Cancel {
        let mut state = client.server.lock();
        let State { watch, tables, .. } = &mut *state;
        watch.cancelled(tables, task);
    }
}

/// Cancels the tasks that have not ended and were requested longer ago than this, one after the other, as clients' `expire`
/// does.
pub(super) async fn expire_tasks(client: SimulatedDatabase, older_than: Duration) {
    let reason = format!("expired: requested more than {} s before", older_than.as_secs_f64());
    let request = Request { actor: "janitor".to_owned(), reason: Some(reason), seen: None };
    let old: Vec<_> = {
        let mut state = client.server.lock();
        let before = state.now() - older_than;
        let tasks = state.tables.tasks.iter();
        let is_old =
            |record: &TaskRecord| record.requested_at < before && !record.task.state.is_terminal();
        tasks.filter(|(_, record)| is_old(record)).map(|(task, _)| *task).collect()
    };
    for task in old {
        ask(&client, task, &Steering::Cancel, &request).await;
    }
}

/// Sends a task the signal that its steps wait for.
pub(super) async fn signal_task(client: SimulatedDatabase, task: TaskId) {
    let templates = Templates::default();
    let request = SignalRequest::from_json(SIGNAL).expect("a signal as it is allowed");
    let sent = async {
        let mut tx = client.begin().await?;
        signal(&mut tx, &templates, task, &request).await?;
        Ok::<_, crate::Error>(tx.commit().await?)
    };
    if sent.await.is_ok() {
        client.server.lock().watch.signalled(task);
    }
}

/// A key by which several tasks are found.
pub(super) fn correlation(key: usize) -> String {
    format!("order {key}")
}

/// Sends the signal to every task with a key, a few at a time; after an error it is not sent to the others.
pub(super) async fn signal_all(client: SimulatedDatabase, key: String) {
    let templates = Templates::default();
    let request = SignalRequest::from_json(SIGNAL).expect("a signal as it is allowed");
    let began = Instant::now();
    let there: Vec<_> = {
        let state = client.server.lock();
        let goes_on = |task: &TaskId| {
            state.tables.tasks.get(task).is_some_and(|record| !record.task.state.is_terminal())
        };
        state.tables.correlated(&key).filter(goes_on).collect()
    };
    let mut after = TaskId(0);
    loop {
        let Ok(page) = client.correlated(&key, after, 2).await else { return };
        let Some(last) = page.last() else { break };
        after = *last;
        for task in page {
            let sent = async {
                let mut tx = client.begin().await?;
                signal(&mut tx, &templates, task, &request).await?;
                Ok::<_, crate::Error>(tx.commit().await?)
            };
            match sent.await {
                Ok(()) => client.server.lock().watch.signalled(task),
                Err(error) if error.is_retryable() => return,
                // It has ended.
                Err(_) => {}
            }
        }
    }
    let mut state = client.server.lock();
    let State { watch, tables, .. } = &mut *state;
    watch.signalled_all(tables, &key, (&there, began));
}

/// Makes a fork of a task, with a key until it is told which one it is.
pub(super) async fn fork_task(
    client: SimulatedDatabase,
    plan: Arc<Plan>,
    source: TaskId,
    step: usize,
    key: Option<usize>,
) {
    let steps = {
        let state = client.server.lock();
        let template = state.tables.tasks.get(&source).map(|record| record.template.0);
        let template = template.and_then(|template| usize::try_from(template).ok());
        template.and_then(|template| plan.templates.get(template)).map_or(1, Vec::len)
    };
    let request = serde_json::json!({
        "from": [format!("s{}", step % steps)], "actor": "somebody",
        "idempotency_key": key.map(|key| format!("key {key}")),
    });
    let request = ForkRequest::from_json(&request.to_string()).expect("a fork as it is allowed");
    let templates = Templates::default();
    let mut made = Vec::new();
    loop {
        let forked = async {
            let mut tx = client.begin().await?;
            let limits = (JsonLimits::CONTEXT, &mut made);
            let (submitted, _) = fork(&mut tx, &templates, source, &request, limits).await?;
            tx.commit().await?;
            Ok::<_, crate::Error>(submitted)
        };
        match (forked.await, key) {
            (Ok(submitted), Some(key)) => {
                let mut state = client.server.lock();
                let (task, existing) = (submitted.task_ids[0], submitted.existing);
                return state.watch.submitted(key, task, existing, None);
            }
            (Err(error), Some(_)) if error.is_retryable() => {}
            (Ok(_) | Err(_), _) => return,
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Holds a task's row for as long as something takes.
pub(super) async fn hold(client: SimulatedDatabase, task: TaskId, lasts: impl Future<Output = ()>) {
    let holds = async {
        let mut tx = client.begin().await?;
        tx.lock_tasks(&[task]).await?;
        lasts.await;
        Ok::<_, StoreError>(())
    };
    let _ = holds.await;
}
