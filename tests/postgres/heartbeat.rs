//! Who beats when, who counts as dead, and what a heartbeat finds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection, PgConnection};
use tasker_core::{Batch, Interrupt, TaskId, TaskState, Worker};

use super::common::{Database, single, stop, succeed, take};

/// Heartbeats so rare that a test sees the first one only.
const NEVER: u32 = 600_000;

const RESTING: &str = "SELECT count(*) FROM tasker_workers WHERE resting_ms > 0";

fn rare() -> serde_json::Value {
    json!({ "concurrency": 1, "heartbeat_interval_ms": NEVER, "dead_after_ms": 2 * NEVER })
}

/// A task of the template that is there, whose step is due in an hour. Nobody is called for it.
async fn later(db: &Database, queue: &str) -> TaskId {
    let insert = "WITH task AS ( \
        INSERT INTO tasker_tasks (named_task_id, total_steps, runnable_steps, context) \
        SELECT named_task_id, 1, 1, '{}' FROM tasker_named_tasks RETURNING task_id \
      ), step AS ( \
        INSERT INTO tasker_workflow_steps (workflow_step_id, task_id, named_step_id, state, open_parents) \
        SELECT task_id << 20, task_id, named_step_id, 'enqueued', 0 FROM task, tasker_named_steps \
      ), ready AS ( \
        INSERT INTO tasker_ready_steps (workflow_step_id, queue, available_at) \
        SELECT task_id << 20, $1, now() + interval '1 hour' FROM task \
      ) SELECT task_id FROM task";
    TaskId(sqlx::query_scalar(insert).bind(queue).fetch_one(&db.pool).await.unwrap())
}

/// The heartbeats of all workers that are seen within `span`.
async fn heartbeats(db: &Database, span: Duration) -> BTreeSet<(i64, String)> {
    let end = Instant::now() + span;
    let mut seen = BTreeSet::new();
    while Instant::now() < end {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT worker_id, heartbeat_at::text FROM tasker_workers")
                .fetch_all(&db.pool)
                .await
                .unwrap();
        seen.extend(rows);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_rests_beats_less_than_once_a_second_and_nobody_looks_dead() {
    let db = Database::migrated().await;
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(db.worker_with(json!({ "concurrency": 1, "dead_after_ms": 100 })).await);
    }
    db.wait_for_count(RESTING, 4).await;
    // Until all know how many they are.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let seen = heartbeats(&db, Duration::from_secs(6)).await.len();
    // What is there at the beginning counts as seen: 4.
    assert!((4 + 3..=4 + 6).contains(&seen), "{} heartbeats in 6 s", seen - 4);
    assert!(db.client.workers().await.unwrap().iter().all(|worker| !worker.silent));
    assert_eq!(db.count("SELECT count(*) FROM tasker_workers WHERE state = 'dead'").await, 0);
    for worker in workers {
        stop(worker, vec![]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_holds_claims_beats_every_interval() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let worker = db.worker(1).await;
    db.wait_for_count(RESTING, 1).await;
    let task = db.submit("single", 1).await[0];
    let held = take(&worker);
    db.wait_for_count(RESTING, 0).await;
    let seen = heartbeats(&db, Duration::from_secs(1)).await.len();
    assert!(seen > 10, "{seen} heartbeats in a second, of 20");
    succeed(&worker, &held, "1");
    db.wait_for(task, TaskState::Complete).await;
    db.wait_for_count(RESTING, 1).await;
    // Nothing is listed for who rests, so that a look for the dead has nothing to read.
    assert_eq!(db.count("SELECT count(*) FROM tasker_claim_batches").await, 0);
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_a_worker_that_died_before_its_next_heartbeat_is_taken_back_in_time() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let dead = db.worker_with(rare()).await;
    db.wait_for_count(RESTING, 1).await;
    let task = db.submit("single", 1).await[0];
    take(&dead);
    // It rested for long before it claimed, and others let those who rest be silent for an hour.
    db.run(
        "UPDATE tasker_workers SET dead_after_ms = 1000, resting_ms = 3600000, \
                                   heartbeat_at = now() - interval '30 minutes'",
    )
    .await;
    assert!(!db.client.workers().await.unwrap()[0].silent);
    let claimed = Instant::now();
    drop(dead);
    let rescuer = db.worker_with(json!({ "concurrency": 1, "dead_after_ms": 1_000 })).await;
    let again = take(&rescuer);
    assert_eq!((again.claim.step, again.claim.attempt), (task.step(0), 2));
    assert!(claimed.elapsed() > Duration::from_millis(900), "{:?}", claimed.elapsed());
    assert!(claimed.elapsed() < Duration::from_secs(6), "{:?}", claimed.elapsed());
    succeed(&rescuer, &again, "1");
    db.wait_for(task, TaskState::Complete).await;
    stop(rescuer, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resting_worker_that_died_is_buried_after_its_longer_time() {
    let db = Database::migrated().await;
    let dead = db.worker_with(rare()).await;
    db.wait_for_count(RESTING, 1).await;
    let set = |seconds: u32| {
        format!(
            "UPDATE tasker_workers SET dead_after_ms = 1000, resting_ms = 9000, \
             heartbeat_at = now() - interval '{seconds} seconds' WHERE worker_id = {}",
            dead.id()
        )
    };
    db.run(&set(9)).await;
    assert!(!db.client.workers().await.unwrap()[0].silent);
    db.run(&set(11)).await;
    assert!(db.client.workers().await.unwrap()[0].silent);
    let rescuer = db.worker(1).await;
    let buried = format!(
        "SELECT count(*) FROM tasker_workers WHERE worker_id = {} AND state = 'dead'",
        dead.id()
    );
    db.wait_for_count(&buried, 1).await;
    stop(rescuer, vec![]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_absence_of_the_database_those_who_rested_let_the_others_beat_first() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let options =
        json!({ "concurrency": 1, "heartbeat_interval_ms": 1_000, "dead_after_ms": 2_000 });
    let worker = db.worker_with(options).await;
    let task = db.submit("single", 1).await[0];
    let held = take(&worker);
    db.wait_for_count(RESTING, 0).await;
    // As if nobody had been able to beat for an hour; the worker does in a second.
    db.run("UPDATE tasker_workers SET heartbeat_at = now() - interval '1 hour'").await;
    db.run("UPDATE tasker_workflow_steps SET claimed_at = now() - interval '1 hour'").await;
    let options =
        json!({ "concurrency": 1, "heartbeat_interval_ms": 3_000, "dead_after_ms": 6_000 });
    let rested = db.worker_with(options).await;
    db.wait_for_count(RESTING, 1).await;
    assert!(db.client.workers().await.unwrap()[0].silent);
    heartbeats(&db, Duration::from_secs(2)).await;
    assert_eq!(db.count("SELECT count(*) FROM tasker_attempts").await, 0);
    succeed(&worker, &held, "1");
    db.wait_for(task, TaskState::Complete).await;
    stop(rested, vec![]).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_is_stuck_is_given_up_and_tried_again() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let options = json!({ "concurrency": 1, "heartbeat_interval_ms": 100, "dead_after_ms": 2_000 });
    let worker = db.worker_with(options).await;
    let task = db.submit("single", 1).await[0];
    let held = take(&worker);
    db.wait_for_count(RESTING, 0).await;
    let mut other = PgConnection::connect(&db.url).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("SELECT FROM tasker_workers FOR UPDATE").execute(&mut *lock).await.unwrap();
    // Each waits for 950 ms, and the next one begins 25 ms later.
    let mut waits = BTreeSet::new();
    let end = Instant::now() + Duration::from_millis(2_600);
    while Instant::now() < end {
        let since: Vec<(String,)> = sqlx::query_as(
            "SELECT query_start::text FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_all(&db.pool)
        .await
        .unwrap();
        waits.extend(since);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!((3..=4).contains(&waits.len()), "heartbeats were stuck since {waits:?}");
    lock.rollback().await.unwrap();
    let beaten = "SELECT count(*) FROM tasker_workers WHERE heartbeat_at > now() - interval '300 milliseconds'";
    db.wait_for_count(beaten, 1).await;
    succeed(&worker, &held, "1");
    db.wait_for(task, TaskState::Complete).await;
    other.close().await.unwrap();
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heart_whose_connection_is_cut_beats_and_listens_on_another() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    // Of so many workers each beats once in more than half a minute.
    db.run(
        "INSERT INTO tasker_workers (host, pid, concurrency, dead_after_ms) \
         SELECT 'elsewhere', n, 1, 3600000 FROM generate_series(1, 30) n",
    )
    .await;
    let worker = db.worker_with(json!({ "concurrency": 1, "heartbeat_interval_ms": 1_000 })).await;
    db.wait_for_count(RESTING, 1).await;
    // The pattern does not match the sessions that ask.
    let hearts = "FROM pg_stat_activity WHERE datname = current_database() \
                  AND query LIKE '%heartbeat_at = ' || 'statement_timestamp()%'";
    let cut = format!("SELECT count(pg_terminate_backend(pid)) {hearts}");
    assert_eq!(db.count(&cut).await, 1);
    db.wait_for_count(&format!("SELECT count(*) {hearts}"), 1).await;
    let submitted = Instant::now();
    let task = db.submit("single", 1).await[0];
    succeed(&worker, &take(&worker), "1");
    assert!(submitted.elapsed() < Duration::from_secs(15), "{:?}", submitted.elapsed());
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_nobody_was_called_for_is_found_by_a_heartbeat() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let worker = db.worker(1).await;
    db.wait_for_count(RESTING, 1).await;
    let next = later(&db, "unheard").await;
    db.run("UPDATE tasker_ready_steps SET available_at = now()").await;
    let found = take(&worker);
    assert_eq!(found.claim.step, next.step(0));
    succeed(&worker, &found, "1");
    db.wait_for(next, TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_calls_workers_that_rest_when_steps_of_their_queues_are_due() {
    let db = Database::migrated().await;
    db.template(&single(&json!({ "queue": "theirs" }))).await;
    let task = later(&db, "theirs").await;
    let mut options = rare();
    options["queues"] = json!(["theirs"]);
    let sleeper = db.worker_with(options).await;
    db.wait_for_count(RESTING, 1).await;
    let other = db.worker_with(json!({ "concurrency": 1, "queues": ["other"] })).await;
    db.wait_for_count(RESTING, 2).await;
    db.run("UPDATE tasker_ready_steps SET available_at = now()").await;
    let found = take(&sleeper);
    assert_eq!(found.claim.step, task.step(0));
    succeed(&sleeper, &found, "1");
    db.wait_for(task, TaskState::Complete).await;
    stop(other, vec![]).await;
    stop(sleeper, vec![]).await;
    db.assert_sound().await;
}

/// A worker with two threads, one of whose ends waits for a task's lock until the session is over.
async fn with_an_end_that_waits(
    db: &Database,
) -> (Arc<Worker>, sqlx::Transaction<'static, sqlx::Postgres>) {
    db.template(&single(&json!({}))).await;
    let task = db.submit("single", 1).await[0];
    let worker = db.worker(2).await;
    let step = take(&worker);
    let mut session = db.pool.begin().await.unwrap();
    let lock = format!("SELECT FROM tasker_tasks WHERE task_id = {task} FOR UPDATE");
    sqlx::query(&lock).execute(&mut *session).await.unwrap();
    succeed(&worker, &step, "1");
    db.wait_for_count(
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) \
         WHERE datname = current_database() AND NOT granted",
        1,
    )
    .await;
    (worker, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_alone_claims_while_an_end_waits() {
    let db = Database::migrated().await;
    let (worker, session) = with_an_end_that_waits(&db).await;
    db.submit("single", 1).await;
    succeed(&worker, &take(&worker), "1");
    session.rollback().await.unwrap();
    db.wait_for_count("SELECT count(*) FROM tasker_tasks WHERE state = 'complete'", 2).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_beside_busy_ones_has_one_round_in_flight() {
    let db = Database::migrated().await;
    db.run(
        "INSERT INTO tasker_workers (host, pid, concurrency, dead_after_ms) \
         SELECT 'other', other, 1, 600000 FROM generate_series(1, 2) AS other",
    )
    .await;
    let (worker, session) = with_an_end_that_waits(&db).await;
    db.submit("single", 1).await;
    let interrupt = Interrupt::of_this_thread();
    let Batch::Steps(early) = worker.next_batch(1, Duration::from_millis(500), &interrupt) else {
        panic!("the worker is closed");
    };
    assert!(early.is_empty(), "{early:?}");
    session.rollback().await.unwrap();
    succeed(&worker, &take(&worker), "1");
    db.wait_for_count("SELECT count(*) FROM tasker_tasks WHERE state = 'complete'", 2).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}
