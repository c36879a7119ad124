//! Tasks that have to have ended by a time.

use std::sync::Arc;

use serde_json::{Value, json};
use tasker_core::{Error, Steering, Submission, TaskId, TaskState, Worker};

use super::common::{Database, diamond, hold, single, stop, succeed, take};

const LATE: &str = "UPDATE tasker_task_deadlines SET deadline_at = now() - interval '1 second'";
const COMPLETE: &str = "SELECT count(*) FROM tasker_workflow_steps WHERE state = 'complete'";
const DEADLINES: &str = "SELECT count(*) FROM tasker_task_deadlines";

fn template(mut template: Value, seconds: f64) -> Value {
    template["deadline_seconds"] = seconds.into();
    template
}

async fn submit(db: &Database, request: &Value) -> Result<TaskId, Error> {
    let submission = Submission::from_json(&request.to_string())?;
    Ok(db.client.submit(&submission).await?.task_ids[0])
}

/// Seconds from the task's submit to its deadline.
async fn given(db: &Database, task: TaskId) -> f64 {
    let status = db.client.status(task).await.unwrap();
    (status.deadline_at.unwrap() - status.requested_at).as_seconds_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_ended_by_its_deadline_whatever_its_steps_do() {
    let db = Database::migrated().await;
    db.template(&template(diamond(), 86_400.0)).await;
    let task = db.submit("diamond", 1).await[0];
    let worker = db.worker(1).await;
    succeed(&worker, &take(&worker), "1");
    let running = take(&worker);
    let why = db.client.explain(task, None).await.unwrap().summary;
    assert!(why.contains("; it is cancelled at "), "{why}");
    db.run(LATE).await;
    let status = db.wait_for(task, TaskState::Cancelled).await;
    assert!(status.finished_at.is_some());
    succeed(&worker, &running, "1");
    stop(worker, vec![]).await;
    let states: Value = serde_json::from_str(status.steps_by_state.get()).unwrap();
    assert_eq!(states, json!({ "complete": 1, "cancelled": 3 }));
    assert_eq!(db.count("SELECT count(*) FROM tasker_ready_steps").await, 0);
    assert_eq!(db.count(DEADLINES).await, 0);
    let why = db.client.explain(task, None).await.unwrap().summary;
    assert!(why.starts_with("cancelled by its deadline, 20"), "{why}");
    assert!(why.ends_with(" ago): 1 of 4 steps are complete"), "{why}");
    db.assert_sound().await;
}

/// A worker that ends no task that is late: it looks for them with its heartbeats, which come seldom once it has executed
/// something and rests no more.
async fn worker_that_ends_none(db: &Database) -> Arc<Worker> {
    db.template(&single(&json!({}))).await;
    let first = db.submit("single", 1).await[0];
    let worker = db.worker_with(json!({ "concurrency": 1, "heartbeat_interval_ms": 20_000 })).await;
    succeed(&worker, &take(&worker), "1");
    db.wait_for(first, TaskState::Complete).await;
    let beat = "SELECT count(*) FROM tasker_workers WHERE resting_ms = 0 \
                AND heartbeat_at > (SELECT max(claimed_at) FROM tasker_workflow_steps)";
    db.wait_for_count(beat, 1).await;
    worker
}

#[tokio::test(flavor = "multi_thread")]
async fn no_attempt_begins_once_the_deadline_of_its_task_has_passed() {
    let db = Database::migrated().await;
    db.template(&template(diamond(), 86_400.0)).await;
    let worker = worker_that_ends_none(&db).await;
    let late = db.submit("diamond", 1).await[0];
    succeed(&worker, &take(&worker), "1");
    // The worker has claimed b with the end of a; c waits in the queue.
    let second = take(&worker);
    db.run(LATE).await;
    let in_time = db.submit("single", 2).await;
    succeed(&worker, &second, "1");
    for task in &in_time {
        let other = take(&worker);
        assert_eq!(other.claim.step.task(), *task);
        succeed(&worker, &other, "1");
        db.wait_for(*task, TaskState::Complete).await;
    }
    let enqueued =
        "SELECT count(*) FROM tasker_workflow_steps WHERE state = 'enqueued' AND attempts = 0";
    assert_eq!(db.count(enqueued).await, 1);
    stop(worker, vec![]).await;
    let worker = db.worker(1).await;
    db.wait_for(late, TaskState::Cancelled).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_step_claims_none_of_a_task_whose_deadline_passed_while_it_was_waited_for() {
    let db = Database::migrated().await;
    let steps = json!([
        { "name": "a", "handler_class": "A" },
        { "name": "b", "handler_class": "B", "depends_on_step": "a" },
    ]);
    let pair = json!({ "name": "pair", "step_templates": steps });
    db.template(&template(pair, 86_400.0)).await;
    let worker = worker_that_ends_none(&db).await;
    let task = db.submit("pair", 1).await[0];
    let first = take(&worker);
    let session = hold(&db, &[task]).await;
    succeed(&worker, &first, "1");
    db.wait_for_count("SELECT count(*) FROM pg_locks WHERE NOT granted", 1).await;
    db.run(LATE).await;
    session.rollback().await.unwrap();
    db.wait_for_count(COMPLETE, 2).await;
    assert_eq!(db.count("SELECT count(*) FROM tasker_ready_steps").await, 1);
    assert_eq!(db.client.status(task).await.unwrap().attempts_total, 1);
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_task_and_one_that_waits_are_ended_too() {
    let db = Database::migrated().await;
    let retry = json!({ "base_seconds": 1_000, "max_seconds": 1_000 });
    db.template(&template(single(&json!({ "retry": retry })), 1_000.0)).await;
    let paused = db.submit("single", 1).await[0];
    db.steer(paused, Steering::Pause).await.unwrap();
    let waiting = db.submit("single", 1).await[0];
    let worker = db.worker(1).await;
    super::common::fail(&worker, &take(&worker), "retryable");
    db.wait_for(waiting, TaskState::Waiting).await;
    db.run(LATE).await;
    db.wait_for(paused, TaskState::Cancelled).await;
    db.wait_for(waiting, TaskState::Cancelled).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ended_in_time_stays_as_it_is() {
    let db = Database::migrated().await;
    db.template(&template(single(&json!({})), 1_000.0)).await;
    let task = db.submit("single", 1).await[0];
    let worker = db.worker(1).await;
    succeed(&worker, &take(&worker), "1");
    db.wait_for(task, TaskState::Complete).await;
    db.run(LATE).await;
    db.wait_for_count(DEADLINES, 0).await;
    assert_eq!(db.client.status(task).await.unwrap().state, TaskState::Complete);
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_task_that_somebody_holds_keeps_no_other_from_its_end() {
    let db = Database::migrated().await;
    db.template(&template(single(&json!({})), 1_000.0)).await;
    let tasks = db.submit("single", 3).await;
    for task in &tasks {
        db.steer(*task, Steering::Pause).await.unwrap();
    }
    let session = hold(&db, &tasks[..1]).await;
    db.run(LATE).await;
    let worker = db.worker(1).await;
    for task in &tasks[1..] {
        db.wait_for(*task, TaskState::Cancelled).await;
    }
    assert_eq!(db.client.status(tasks[0]).await.unwrap().state, TaskState::Paused);
    session.rollback().await.unwrap();
    db.wait_for(tasks[0], TaskState::Cancelled).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_says_how_long_or_its_template_does() {
    let db = Database::migrated().await;
    db.template(&template(single(&json!({})), 60.0)).await;
    db.template(&diamond()).await;
    let of = |name: &str, keys: Value| {
        let mut request = json!({ "name": name, "contexts": [{}] });
        request.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        request
    };
    let by_template = submit(&db, &of("single", json!({}))).await.unwrap();
    assert_eq!(given(&db, by_template).await, 60.0);
    let by_submit = submit(&db, &of("single", json!({ "deadline_s": 7.5 }))).await.unwrap();
    assert_eq!(given(&db, by_submit).await, 7.5);
    let without = submit(&db, &of("diamond", json!({}))).await.unwrap();
    assert_eq!(db.client.status(without).await.unwrap().deadline_at, None);
    for seconds in [0.0, -1.0, 31_622_401.0] {
        let refused = submit(&db, &of("diamond", json!({ "deadline_s": seconds }))).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("more than 0 and at most 31622400 seconds"), "{refused}");
    }
    assert_eq!(db.count("SELECT count(*) FROM tasker_tasks").await, 3);
}
