//! Tasks whose rows somebody else holds delay only themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};
use tasker_core::{
    Delivery, ErrorKind, FailureFilter, Request, Seen, Steering, Submission, TaskId, TaskState,
    Worker,
};

use crate::common::{
    Database, fail, fan, hands, hold, request, session, single, stop, succeed, take,
};

/// Claims that have not ended in the database.
const CLAIMED: &str = "SELECT count(*) FROM tasker_workflow_steps WHERE state = 'in_progress'";

/// What workers wait for a row: `lock_timeout`.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Two steps, one after the other.
fn pair() -> Value {
    json!({ "name": "pair", "step_templates": [
        { "name": "a", "handler_class": "A" },
        { "name": "b", "handler_class": "B", "depends_on_step": "a" },
    ]})
}

/// A worker with one place, which has taken the first step of a pair.
async fn begun_pair(db: &Database) -> (Arc<Worker>, Delivery) {
    db.template(&pair()).await;
    db.template(&single(&json!({}))).await;
    db.submit("pair", 1).await;
    let worker = db.worker(1).await;
    let first = take(&worker);
    (worker, first)
}

/// Executes single tasks, one after the other.
async fn execute_singles(db: &Database, worker: &Worker, tasks: usize) {
    for task in db.submit("single", tasks).await {
        let taken = take(worker);
        assert_eq!(taken.claim.step.task(), task);
        succeed(worker, &taken, "1");
        db.wait_for(task, TaskState::Complete).await;
    }
}

/// The same, whose end cannot be written because somebody holds the pair, as the worker knows.
async fn ended_pair(db: &Database) -> (Arc<Worker>, TaskId, Transaction<'static, Postgres>) {
    let (worker, first) = begun_pair(db).await;
    let held = first.claim.step.task();
    let session = hold(db, &[held]).await;
    succeed(&worker, &first, "1");
    execute_singles(db, &worker, 1).await;
    (worker, held, session)
}

/// Executes the second step of a pair.
async fn finish_pair(db: &Database, worker: Arc<Worker>, task: TaskId) {
    let second = take(&worker);
    assert_eq!((second.claim.step, second.claim.attempt), (task.step(1), 1));
    succeed(&worker, &second, "1");
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_task_keeps_no_other_from_a_worker_with_one_place() {
    let db = Database::migrated().await;
    let (worker, first) = begun_pair(&db).await;
    let held = first.claim.step.task();
    let session = hold(&db, &[held]).await;
    succeed(&worker, &first, "1");
    execute_singles(&db, &worker, 3).await;
    assert_eq!(db.client.status(held).await.unwrap().state, TaskState::InProgress);
    session.rollback().await.unwrap();
    let released = Instant::now();
    finish_pair(&db, worker, held).await;
    assert!(released.elapsed() < LOCK_TIMEOUT / 2, "{:?}", released.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn items_end_with_one_that_is_given_up_but_for_those_that_are_held_or_were_tried_again() {
    let db = Database::migrated().await;
    db.template(&json!({ "name": "mapped", "step_templates": [
        { "name": "all", "handler_class": "A", "map": { "over": "context.list" } },
    ]}))
    .await;
    let mapped = json!({ "name": "mapped", "contexts": [{ "list": [0, 1, 2, 3, 4, 5] }] });
    let mapped = Submission::from_json(&mapped.to_string()).unwrap();
    let task = db.client.submit(&mapped).await.unwrap().task_ids[0];
    let worker = db.worker(2).await;
    let (failing, running) = (take(&worker), take(&worker));
    let [given_up, retried, held, last] = [3, 4, 5, 6].map(|index| task.step(index));
    // Two that no claim finds.
    db.run(&format!(
        "INSERT INTO tasker_workflow_step_transitions (workflow_step_id, from_state, to_state, event, attempt) \
         VALUES ({retried}, 'error', 'enqueued', 'retried', 0); \
         UPDATE tasker_ready_steps SET available_at = now() + '1 hour' WHERE workflow_step_id IN ({retried}, {last})"
    ))
    .await;
    let hold =
        |step| format!("SELECT FROM tasker_ready_steps WHERE workflow_step_id = {step} FOR UPDATE");
    let first = session(&db, &hold(given_up)).await;
    let second = session(&db, &hold(held)).await;
    fail(&worker, &failing, "permanent");
    let in_error = "SELECT count(*) FROM tasker_workflow_steps WHERE state = 'error'";
    db.wait_for_count(in_error, 1).await;
    first.rollback().await.unwrap();
    db.wait_for_count(in_error, 3).await;
    let enqueued = "SELECT count(*) FROM tasker_workflow_steps WHERE state = 'enqueued'";
    assert_eq!(db.count(enqueued).await, 2);
    second.rollback().await.unwrap();
    db.wait_for_count(in_error, 4).await;
    db.run("UPDATE tasker_ready_steps SET available_at = now()").await;
    let executed = take(&worker);
    assert_eq!((executed.claim.step, executed.claim.attempt), (retried, 1));
    for step in [running, executed] {
        succeed(&worker, &step, "1");
    }
    db.wait_for(task, TaskState::Error).await;
    stop(worker, vec![]).await;
    // No operator has asked for it.
    db.run("DELETE FROM tasker_workflow_step_transitions WHERE event = 'retried'").await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_claims_while_one_of_its_ends_waits_for_a_held_task() {
    let db = Database::migrated().await;
    db.template(&pair()).await;
    db.template(&single(&json!({}))).await;
    let held = db.submit("pair", 1).await[0];
    let worker = db.worker(4).await;
    let first = take(&worker);
    let session = hold(&db, &[held]).await;
    succeed(&worker, &first, "1");
    db.wait_for_count("SELECT count(*) FROM pg_locks WHERE NOT granted", 1).await;
    let began = Instant::now();
    db.submit("single", 1).await;
    succeed(&worker, &take(&worker), "1");
    assert!(began.elapsed() < LOCK_TIMEOUT / 2, "{:?}", began.elapsed());
    session.rollback().await.unwrap();
    finish_pair(&db, worker, held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_several_tasks_delays_the_others_once() {
    let db = Database::migrated().await;
    db.template(&pair()).await;
    db.template(&single(&json!({}))).await;
    let held = db.submit("pair", 4).await;
    let worker = db.worker(5).await;
    let first: Vec<_> = (0..4).map(|_| take(&worker)).collect();
    let session = hold(&db, &held).await;
    succeed(&worker, &first[0], "1");
    succeed(&worker, &first[1], "1");
    execute_singles(&db, &worker, 2).await;
    let known = Instant::now();
    succeed(&worker, &first[2], "1");
    succeed(&worker, &first[3], "1");
    execute_singles(&db, &worker, 2).await;
    assert!(known.elapsed() < LOCK_TIMEOUT / 2, "{:?}", known.elapsed());
    session.rollback().await.unwrap();
    for _ in &held {
        succeed(&worker, &take(&worker), "1");
    }
    for task in held {
        db.wait_for(task, TaskState::Complete).await;
    }
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_step_keeps_no_other_task_from_a_worker_with_one_place() {
    let db = Database::migrated().await;
    let (worker, first) = begun_pair(&db).await;
    let held = first.claim.step.task();
    let steps = "SELECT FROM tasker_workflow_steps WHERE task_id =";
    let session = session(&db, &format!("{steps} {held} FOR UPDATE")).await;
    succeed(&worker, &first, "1");
    execute_singles(&db, &worker, 3).await;
    session.rollback().await.unwrap();
    finish_pair(&db, worker, held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_a_held_task_are_left_where_they_are() {
    let db = Database::migrated().await;
    db.template(&fan(50)).await;
    db.template(&single(&json!({}))).await;
    let held = db.submit("fan", 1).await[0];
    let worker = db.worker(2).await;
    succeed(&worker, &take(&worker), "1");
    let first = [take(&worker), take(&worker)];
    let session = hold(&db, &[held]).await;
    first.iter().for_each(|step| succeed(&worker, step, "1"));
    let hands = hands(&worker, 2);
    for task in db.submit("single", 5).await {
        db.wait_for(task, TaskState::Complete).await;
    }
    let claimed = db.count(CLAIMED).await;
    assert!(claimed < 25, "{claimed} steps were claimed");
    session.rollback().await.unwrap();
    db.wait_for(held, TaskState::Complete).await;
    stop(worker, hands).await;
    assert_eq!(db.count(CLAIMED).await, 0);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_task_that_is_deleted_keeps_nobody() {
    let db = Database::migrated().await;
    let (worker, held, mut session) = ended_pair(&db).await;
    let delete = format!("DELETE FROM tasker_tasks WHERE task_id = {held}");
    sqlx::query(&delete).execute(&mut *session).await.unwrap();
    session.commit().await.unwrap();
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_writes_the_end_of_a_task_that_is_let_go_of() {
    let db = Database::migrated().await;
    let (worker, _, session) = ended_pair(&db).await;
    let stopping = tokio::spawn(stop(worker, vec![]));
    db.wait_for_count("SELECT count(*) FROM tasker_workers WHERE state = 'draining'", 1).await;
    session.rollback().await.unwrap();
    stopping.await.unwrap();
    assert_eq!(db.count(CLAIMED).await, 0);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_does_not_wait_for_ever_for_a_held_task() {
    let db = Database::migrated().await;
    let (worker, _, session) = ended_pair(&db).await;
    let asked = Instant::now();
    let stopped = worker.stop(Duration::from_millis(100)).await.unwrap();
    assert!(!stopped.in_order, "{stopped:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(db.count(CLAIMED).await, 1);
    session.rollback().await.unwrap();
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_step_whose_task_somebody_holds_lets_the_others_pass() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let tasks = db.submit("single", 5).await;
    let worker = db.worker(5).await;
    let steps: Vec<_> = (0..5).map(|_| take(&worker)).collect();
    let session = hold(&db, &tasks[..1]).await;
    steps.iter().for_each(|step| succeed(&worker, step, "1"));
    for task in &tasks[1..] {
        db.wait_for(*task, TaskState::Complete).await;
    }
    assert_eq!(db.client.status(tasks[0]).await.unwrap().state, TaskState::InProgress);
    session.rollback().await.unwrap();
    db.wait_for(tasks[0], TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_behind_those_of_tasks_that_somebody_holds_are_claimed() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let tasks = db.submit("single", 6).await;
    let session = hold(&db, &tasks[..5]).await;
    let worker = db.worker(2).await;
    let behind = take(&worker);
    assert_eq!(behind.claim.step.task(), tasks[5]);
    succeed(&worker, &behind, "1");
    session.rollback().await.unwrap();
    for _ in 0..5 {
        succeed(&worker, &take(&worker), "1");
    }
    db.wait_for(tasks[0], TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_changes_while_its_task_is_waited_for_is_not_what_was_seen() {
    let db = Arc::new(Database::migrated().await);
    db.template(&single(&json!({ "skippable": true }))).await;
    let task = db.submit("single", 1).await[0];
    let worker = db.worker(1).await;
    fail(&worker, &take(&worker), "permanent");
    db.wait_for(task, TaskState::Error).await;
    let filter = FailureFilter::from_json("{}").unwrap();
    let failure = db.client.failures(&filter).await.unwrap().failures.remove(0);
    let seen = Seen { step_id: failure.step_id, transition_id: failure.transition_id };
    let skip = |db: &Arc<Database>| {
        let (db, request) = (Arc::clone(db), Request { seen: Some(seen), ..request() });
        let steering = Steering::Skip { step: "only".to_owned() };
        tokio::spawn(async move { db.client.steer(task, &steering, &request, None).await })
    };
    let mut session = hold(&db, &[task]).await;
    let skipping = skip(&db);
    db.wait_for_count("SELECT count(*) FROM pg_locks WHERE NOT granted", 1).await;
    // As if it had been tried again, and had failed for another reason.
    let again = "INSERT INTO tasker_workflow_step_transitions (workflow_step_id, from_state, to_state, event, attempt)
        SELECT workflow_step_id, from_state, to_state, event, attempt FROM tasker_workflow_step_transitions WHERE to_state = 'error'";
    sqlx::query(again).execute(&mut *session).await.unwrap();
    session.commit().await.unwrap();
    let refused = skipping.await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidTransition);
    let told = format!("the state of step \"only\" of task {task} has changed since it was seen");
    assert!(refused.to_string().starts_with(&told), "{refused}");
    assert_eq!(db.client.status(task).await.unwrap().state, TaskState::Error);
    stop(worker, vec![]).await;
}
