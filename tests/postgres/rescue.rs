//! Claims of workers that died, while somebody else holds rows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tasker_core::{Delivery, TaskId, TaskState, Worker};

use super::common::{Database, hands, hold, session, single, stop, succeed, take};

const BURIED: &str = "SELECT count(*) FROM tasker_workers WHERE state = 'dead'";
const TAKEN_BACK: &str = "SELECT count(*) FROM tasker_attempts WHERE outcome = 'worker_died'";

/// Tasks of one step, claimed by a worker that does not beat again.
async fn claimed(db: &Database, tasks: usize) -> Vec<TaskId> {
    db.template(&single(&json!({}))).await;
    let tasks = db.submit("single", tasks).await;
    let options = json!({ "concurrency": tasks.len(), "heartbeat_interval_ms": 600_000,
                          "dead_after_ms": 1_200_000 });
    let dead = db.worker_with(options).await;
    let claimed = "SELECT count(*) FROM tasker_workflow_steps WHERE state = 'in_progress'";
    db.wait_for_count(claimed, i64::try_from(tasks.len()).unwrap()).await;
    drop(dead);
    tasks
}

/// A worker that does not beat again, and what it has claimed.
async fn is_dead(db: &Database) {
    db.run(
        "UPDATE tasker_workers SET dead_after_ms = 1000, heartbeat_at = now() - interval '1 day' \
         WHERE dead_after_ms = 1200000; \
         UPDATE tasker_workflow_steps SET claimed_at = now() - interval '1 day'",
    )
    .await;
}

/// Tasks of one step, claimed by a worker that does not beat again and counts as dead at once.
async fn claimed_by_the_dead(db: &Database, tasks: usize) -> Vec<TaskId> {
    let tasks = claimed(db, tasks).await;
    is_dead(db).await;
    tasks
}

/// Steps that the worker gets, each in its second attempt: those of all tasks but the first.
async fn take_all_but_first(db: &Database, worker: &Worker, tasks: &[TaskId], within: Duration) {
    let began = Instant::now();
    let taken: Vec<Delivery> = (1..tasks.len()).map(|_| take(worker)).collect();
    assert!(began.elapsed() < within, "{:?}", began.elapsed());
    let steps: BTreeSet<_> =
        taken.iter().map(|taken| (taken.claim.step.task(), taken.claim.attempt)).collect();
    let others = tasks[1..].iter().map(|task| (*task, 2)).collect();
    assert_eq!(steps, others);
    for taken in taken {
        succeed(worker, &taken, "1");
        db.wait_for(taken.claim.step.task(), TaskState::Complete).await;
    }
    assert_eq!(db.count(BURIED).await, 0);
}

/// The last step comes back, its worker is buried, and nothing is missing.
async fn end_of_the_last(db: &Database, worker: Arc<Worker>, last: TaskId) {
    let taken = take(&worker);
    assert_eq!((taken.claim.step.task(), taken.claim.attempt), (last, 2));
    succeed(&worker, &taken, "1");
    db.wait_for(last, TaskState::Complete).await;
    db.wait_for_count(BURIED, 1).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_somebody_holds_keeps_no_other_step_of_a_dead_worker() {
    let db = Database::migrated().await;
    let tasks = claimed_by_the_dead(&db, 3).await;
    let session = hold(&db, &[tasks[0]]).await;
    let rescuer = db.worker(3).await;
    // Without waiting for the lock, which is given up after 5 s.
    take_all_but_first(&db, &rescuer, &tasks, Duration::from_secs(4)).await;
    // It is waited for: it comes back as soon as it is free.
    let waits = "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    db.wait_for_count(waits, 1).await;
    session.rollback().await.unwrap();
    let released = Instant::now();
    end_of_the_last(&db, rescuer, tasks[0]).await;
    assert!(released.elapsed() < Duration::from_secs(4), "{:?}", released.elapsed());
    assert_eq!(db.count(TAKEN_BACK).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_somebody_holds_keeps_no_other_of_a_dead_worker() {
    let db = Database::migrated().await;
    let tasks = claimed_by_the_dead(&db, 3).await;
    let lock = "SELECT FROM tasker_workflow_steps WHERE task_id = ";
    let session = session(&db, &format!("{lock}{} FOR UPDATE", tasks[0])).await;
    let rescuer = db.worker(3).await;
    take_all_but_first(&db, &rescuer, &tasks, Duration::from_secs(25)).await;
    session.rollback().await.unwrap();
    end_of_the_last(&db, rescuer, tasks[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_claims_of_a_dead_worker_than_a_transaction_takes_are_taken_back_around_a_held_task() {
    let db = Database::migrated().await;
    let tasks = claimed_by_the_dead(&db, 700).await;
    let session = hold(&db, &[tasks[10]]).await;
    let rescuer = db.worker(1).await;
    db.wait_for_count(TAKEN_BACK, 699).await;
    assert_eq!(db.count(BURIED).await, 0);
    session.rollback().await.unwrap();
    db.wait_for_count(BURIED, 1).await;
    assert_eq!(db.count(TAKEN_BACK).await, 700);
    let hands = hands(&rescuer, 1);
    db.wait_for_count("SELECT count(*) FROM tasker_tasks WHERE state = 'complete'", 700).await;
    let done = stop(rescuer, hands).await;
    let executed: BTreeSet<_> = done.iter().map(|done| done.claim.step.task()).collect();
    assert_eq!((done.len(), executed.len()), (700, 700));
    assert!(done.iter().all(|done| done.claim.attempt == 2));
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_the_pid_of_a_dead_one_adopts_nothing() {
    let db = Database::migrated().await;
    let tasks = claimed(&db, 1).await;
    let worker = db.worker(2).await;
    // All workers of a process have its pid.
    let namesakes = "SELECT count(*) FROM tasker_workers a JOIN tasker_workers b USING (pid, host) \
                     WHERE a.worker_id < b.worker_id";
    assert_eq!(db.count(namesakes).await, 1);
    let other = db.submit("single", 1).await[0];
    let taken = take(&worker);
    assert_eq!((taken.claim.step.task(), taken.claim.attempt), (other, 1));
    succeed(&worker, &taken, "1");
    db.wait_for(other, TaskState::Complete).await;
    let held = "SELECT count(*) FROM tasker_workflow_steps \
                WHERE state = 'in_progress' AND worker_id = (SELECT min(worker_id) FROM tasker_workers)";
    assert_eq!((db.count(held).await, db.count(TAKEN_BACK).await), (1, 0));
    is_dead(&db).await;
    end_of_the_last(&db, worker, tasks[0]).await;
}
