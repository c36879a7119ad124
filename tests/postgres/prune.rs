//! Deleting tasks that ended long ago, on a real Postgres.

use std::time::{Duration, Instant};

use crate::common::{Database, diamond, fail, fan, hands, single, stop, succeed, take};
use serde_json::json;
use sqlx::Row;
use tasker_core::{ErrorKind, Pruning, Steering, TaskId, TaskState};

const ROWS: &str = "SELECT (SELECT count(*) FROM tasker_workflow_steps) + (SELECT count(*) FROM tasker_ready_steps) \
                    + (SELECT count(*) FROM tasker_workflow_step_edges) + (SELECT count(*) FROM tasker_pruned_tasks) \
                    + (SELECT count(*) FROM tasker_workflow_step_transitions) \
                    + (SELECT count(*) FROM tasker_task_transitions)";

fn pruning(json: &serde_json::Value) -> Pruning {
    Pruning::from_json(&json.to_string()).unwrap()
}

/// Deletes everything that has ended, errors too.
fn everything() -> Pruning {
    pruning(&json!({ "older_than_s": 0, "errors_older_than_s": 0 }))
}

async fn complete(db: &Database, tasks: &[TaskId]) {
    let worker = db.worker(2).await;
    let hands = hands(&worker, 2);
    for task in tasks {
        db.wait_for(*task, TaskState::Complete).await;
    }
    stop(worker, hands).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tasks_that_ended_long_enough_ago_are_deleted_and_wholly() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    db.template(&single(&json!({}))).await;
    let old = db.submit("diamond", 3).await;
    complete(&db, &old).await;
    db.run("UPDATE tasker_tasks SET requested_at = requested_at - interval '1 h', started_at = started_at - interval '1 h', \
            finished_at = finished_at - interval '1 h'").await;
    let failed = db.submit("single", 1).await[0];
    let worker = db.worker(1).await;
    let delivery = take(&worker);
    fail(&worker, &delivery, "permanent");
    db.wait_for(failed, TaskState::Error).await;
    let young = db.submit("diamond", 1).await;
    stop(worker, vec![]).await;
    complete(&db, &young).await;
    let open = db.submit("diamond", 1).await[0];
    let dry = pruning(&json!({ "older_than_s": 60, "dry_run": true }));
    let found = db.client.prune(&dry).await.unwrap();
    assert_eq!((found.tasks, found.steps), (3, 12));
    let before = db.count(ROWS).await;
    let pruned = db.client.prune(&pruning(&json!({ "older_than_s": 60 }))).await.unwrap();
    assert_eq!((pruned.tasks, pruned.steps, pruned.next), (3, 12, None));
    assert_eq!(db.count(ROWS).await, before - pruned.rows);
    assert_eq!(db.client.status(old[1]).await.unwrap_err().kind(), ErrorKind::NotFound);
    for (task, state) in
        [(failed, TaskState::Error), (young[0], TaskState::Complete), (open, TaskState::Pending)]
    {
        assert_eq!(db.client.status(task).await.unwrap().state, state);
    }
    db.assert_sound().await;
    assert_eq!(db.client.prune(&everything()).await.unwrap().tasks, 2);
    db.steer(open, Steering::Cancel).await.unwrap();
    assert_eq!(db.client.prune(&everything()).await.unwrap().tasks, 1);
    assert_eq!(db.count(ROWS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_task_is_gone_at_once_and_its_rows_follow_a_batch_at_a_time() {
    let db = Database::migrated().await;
    db.template(&fan(3_000)).await;
    let tasks = db.submit("fan", 1).await;
    complete(&db, &tasks).await;
    let left = async || db.count(ROWS).await;
    let mut rows = vec![left().await];
    let mut one_batch = pruning(&json!({ "older_than_s": 0, "limit_ms": 0 }));
    while let Some(next) = db.client.prune(&one_batch).await.unwrap().next {
        one_batch.from = Some(next);
        rows.push(left().await);
        assert_eq!(db.client.status(tasks[0]).await.unwrap_err().kind(), ErrorKind::NotFound);
        db.assert_sound().await;
    }
    assert!(rows.windows(2).all(|pair| pair[0] - pair[1] <= 2_001), "{rows:?}");
    assert!(rows.len() > 6, "{rows:?}");
    assert_eq!(left().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_holds_is_passed_over() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let tasks = db.submit("single", 3).await;
    complete(&db, &tasks).await;
    let mut holder = db.pool.begin().await.unwrap();
    let lock = format!("SELECT FROM tasker_tasks WHERE task_id = {} FOR UPDATE", tasks[1]);
    sqlx::query(&lock).execute(&mut *holder).await.unwrap();
    let began = Instant::now();
    assert_eq!(db.client.prune(&everything()).await.unwrap().tasks, 2);
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    holder.rollback().await.unwrap();
    assert_eq!(db.client.prune(&everything()).await.unwrap().tasks, 1);
    assert_eq!(db.count(ROWS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_deleted_holds_up_no_work() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let old = db.submit("single", 10).await;
    complete(&db, &old).await;
    let mut pruner = db.pool.begin().await.unwrap();
    let (lock, from, limit, age) = (1_i64, 0_i64, 100_i64, 0_f64);
    let begun = sqlx::query(include_str!("../../src/store/sql/begin_pruning.sql")).bind(lock);
    begun.execute(&mut *pruner).await.unwrap();
    let tasks = sqlx::query(include_str!("../../src/store/sql/prune_tasks.sql"));
    tasks.bind(from).bind(limit).bind(age).bind(age).execute(&mut *pruner).await.unwrap();
    let ids: Vec<_> = old.iter().map(|task| task.0).collect();
    let steps = sqlx::query(include_str!("../../src/store/sql/prune_steps.sql"));
    let deleted = steps.bind(&ids).bind(from).bind(limit).fetch_one(&mut *pruner).await.unwrap();
    assert_eq!(deleted.get::<i64, _>(0), 10);
    let new = db.submit("single", 100).await;
    complete(&db, &new).await;
    pruner.rollback().await.unwrap();
    assert_eq!(db.client.prune(&everything()).await.unwrap().tasks, 110);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_report_about_a_task_that_is_gone_is_stale() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let task = db.submit("single", 1).await[0];
    let worker = db.worker(2).await;
    let late = take(&worker);
    db.steer(task, Steering::Cancel).await.unwrap();
    assert_eq!(db.client.prune(&everything()).await.unwrap().tasks, 1);
    let other = db.submit("single", 1).await[0];
    let delivery = take(&worker);
    succeed(&worker, &late, "1");
    succeed(&worker, &delivery, "1");
    db.wait_for(other, TaskState::Complete).await;
    stop(worker.clone(), vec![]).await;
    assert_eq!((worker.stats().stale, worker.stats().completed), (1, 1));
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_prune_while_they_work_if_their_options_say_so() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    let keeps = json!({ "concurrency": 1, "retention_ms": null, "error_retention_ms": null });
    let keeps = db.worker_with(keeps).await;
    let prunes = db.worker_with(json!({ "concurrency": 2, "retention_ms": 200 })).await;
    let hands = [hands(&keeps, 1), hands(&prunes, 2)];
    db.submit("diamond", 50).await;
    db.wait_for_count("SELECT count(*) FROM tasker_tasks", 0).await;
    db.wait_for_count(ROWS, 0).await;
    for (worker, hands) in [keeps, prunes].into_iter().zip(hands) {
        stop(worker, hands).await;
    }
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_workers_are_deleted_a_day_after_their_end_and_not_missed() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let tasks = db.submit("single", 1).await;
    complete(&db, &tasks).await;
    db.run(
        "INSERT INTO tasker_workers (state, host, pid, concurrency, dead_after_ms, stopped_at) \
            VALUES ('dead', 'gone', 1, 1, 1, now()); \
            INSERT INTO tasker_claim_batches (worker_id, workflow_step_ids) SELECT max(worker_id), '{1}' FROM tasker_workers",
    )
    .await;
    let nothing = pruning(&json!({}));
    assert_eq!(db.client.prune(&nothing).await.unwrap().workers, 0);
    db.run("UPDATE tasker_workers SET stopped_at = stopped_at - interval '25 h'").await;
    assert_eq!(db.client.prune(&nothing).await.unwrap().workers, 1);
    assert_eq!(db.count("SELECT count(*) FROM tasker_workers WHERE host = 'gone'").await, 1);
    let explanation = db.client.explain(tasks[0], Some("only")).await.unwrap();
    assert_eq!(explanation.steps[0].attempts[0].worker, "1");
}
