//! Steps of more urgent tasks are claimed first, whatever else stands in the queue.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tasker_core::{ForkRequest, Steering, Submission, TaskId, TaskState, Worker};

use crate::common::{Database, fail, hands, single, stop, succeed, take};

const PICK: &str = include_str!("../../src/store/sql/pick_ready_steps.sql");

/// Before every step.
const START: (i16, i64, i64) = (i16::MIN, 0, 0);

/// A session that plans statements as those of workers do.
async fn planner(db: &Database) -> PgConnection {
    let mut session = PgConnection::connect(&db.url).await.unwrap();
    for setting in
        ["enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_material", "jit"]
    {
        run(&mut session, &format!("SET {setting} = off")).await;
    }
    run(&mut session, "SET plan_cache_mode = force_generic_plan; SET random_page_cost = 1").await;
    session
}

async fn run(session: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(sql).execute(session).await.unwrap();
}

/// The places of the steps that a claim finds: priority, microseconds, step.
async fn pick(
    session: &mut PgConnection,
    queues: &[&str],
    (priority, micros, step): (i16, i64, i64),
    limit: i64,
) -> Vec<(i16, i64, i64)> {
    let rows = sqlx::query(PICK)
        .bind(queues)
        .bind(limit)
        .bind(priority)
        .bind(DateTime::from_timestamp_micros(micros).unwrap())
        .bind(step)
        .bind(Vec::<i64>::new())
        .fetch_all(session)
        .await
        .unwrap();
    let place = |row: &sqlx::postgres::PgRow| {
        let at: DateTime<Utc> = row.get("available_at!");
        (row.get("priority!"), at.timestamp_micros(), row.get("workflow_step_id!"))
    };
    rows.iter().map(place).collect()
}

/// Twelve tasks, of which each has another place in the queue: priorities -1, 0 and 1, in two queues.
async fn twelve(db: &Database) -> Vec<TaskId> {
    db.template(&single(&json!({}))).await;
    let tasks = db.submit("single", 12).await;
    db.run(
        "UPDATE tasker_tasks SET priority = task_id % 3 - 1; \
         UPDATE tasker_ready_steps SET priority = (workflow_step_id >> 20) % 3 - 1, \
         queue = CASE WHEN workflow_step_id >> 21 & 1 = 0 THEN 'left' ELSE 'right' END, \
         available_at = now() - make_interval(secs => 100 - (workflow_step_id >> 20) * 7 % 12)",
    )
    .await;
    tasks
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_queues_those_of_the_lowest_priority_come_first_and_then_those_that_are_due_for_longest()
 {
    let db = Database::migrated().await;
    let mut session = planner(&db).await;
    assert!(pick(&mut session, &["left", "right"], START, 20).await.is_empty());
    twelve(&db).await;
    let all = pick(&mut session, &["left", "right"], START, 20).await;
    assert_eq!((all.len(), all.is_sorted()), (12, true), "{all:?}");
    for limit in 1..12 {
        let some = pick(&mut session, &["left", "right"], START, limit).await;
        assert_eq!(some, all[..usize::try_from(limit).unwrap()]);
    }
    let left = pick(&mut session, &["left"], START, 20).await;
    assert!(left.len() < 12 && left.is_sorted(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_goes_on_behind_the_last_one_and_finds_what_is_more_urgent_from_the_start() {
    let db = Database::migrated().await;
    let mut session = planner(&db).await;
    twelve(&db).await;
    let queues = ["left", "right"];
    let all = pick(&mut session, &queues, START, 20).await;
    for (at, place) in all.iter().enumerate() {
        assert_eq!(pick(&mut session, &queues, *place, 20).await, all[at + 1..], "{place:?}");
    }
    let middle = all[5];
    db.run(&format!(
        "UPDATE tasker_tasks SET priority = -32768 WHERE task_id = {0} >> 20; \
         UPDATE tasker_ready_steps SET priority = -32768 WHERE workflow_step_id = {0}",
        all[11].2
    ))
    .await;
    assert_eq!(pick(&mut session, &queues, middle, 20).await, all[6..11]);
    let from_start = pick(&mut session, &queues, START, 1).await;
    assert_eq!(from_start, [(i16::MIN, all[11].1, all[11].2)]);
    db.run("UPDATE tasker_ready_steps SET priority = 32767").await;
    assert_eq!(pick(&mut session, &queues, START, 20).await.len(), 12);
    let last = (i16::MAX, i64::from(i32::MAX) * 1_000_000, 0);
    assert!(pick(&mut session, &queues, last, 20).await.is_empty());
}

/// Rows of the hot table that a transaction does not hold.
async fn free(db: &Database) -> i64 {
    db.count("SELECT count(*) FROM (SELECT FROM tasker_ready_steps FOR UPDATE SKIP LOCKED) AS free")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_is_locked_of_a_priority_that_is_not_reached() {
    let db = Database::migrated().await;
    let mut session = planner(&db).await;
    twelve(&db).await;
    for (limit, held) in [(1, 2), (4, 4), (5, 8)] {
        let mut tx = session.begin().await.unwrap();
        let found = pick(&mut tx, &["left", "right"], START, limit).await.len();
        assert_eq!((found, free(&db).await), (usize::try_from(limit).unwrap(), 12 - held));
        // What others hold is passed over, and the next ones are found.
        let mut other = planner(&db).await;
        let others = pick(&mut other, &["left", "right"], START, 20).await;
        assert_eq!(others.len(), usize::try_from(12 - held).unwrap());
        tx.rollback().await.unwrap();
    }
}

/// Entries of the order of claims that were read, and how often something was looked for in it.
async fn looks(db: &Database, session: &mut PgConnection) -> (i64, i64) {
    // What the session has read is counted at once.
    run(session, "SELECT pg_stat_force_next_flush()").await;
    let sql = "SELECT idx_tup_read, idx_scan FROM pg_stat_user_indexes \
               WHERE indexrelname = 'tasker_ready_steps_order'";
    sqlx::query_as(sql).fetch_one(&db.pool).await.unwrap()
}

/// What a claim reads from the start.
async fn cost(db: &Database, session: &mut PgConnection, limit: i64) -> (usize, (i64, i64)) {
    let before = looks(db, session).await;
    let found = pick(session, &["default"], START, limit).await.len();
    let after = looks(db, session).await;
    (found, (after.0 - before.0, after.1 - before.1))
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_are_not_due_cost_a_claim_nothing_in_any_priority() {
    let db = Database::migrated().await;
    let mut session = planner(&db).await;
    // The plan is made while the table is empty.
    assert_eq!(cost(&db, &mut session, 10).await.0, 0);
    db.template(&single(&json!({}))).await;
    db.submit("single", 20).await;
    // The base, twice a look for the next priority, and the steps.
    let (found, (read, scans)) = cost(&db, &mut session, 10).await;
    assert_eq!(found, 10);
    assert!(read <= 12 && scans <= 4, "{read} entries read by {scans} looks");
    db.run(
        "INSERT INTO tasker_ready_steps (workflow_step_id, queue, available_at, priority) \
         SELECT 1000000000 + n, 'default', now() + '1 day', n % 51 - 25 FROM generate_series(1, 51000) AS n",
    )
    .await;
    let (found, (read, scans)) = cost(&db, &mut session, 10).await;
    assert_eq!(found, 10);
    // One entry for each of the 25 priorities below 0, and the steps.
    assert!(read <= 25 + 12 && scans <= 2 * 25 + 5, "{read} entries read by {scans} looks");
    let (found, (read, scans)) = cost(&db, &mut session, 30).await;
    assert_eq!(found, 20);
    assert!(read <= 50 + 22 && scans <= 2 * 50 + 5, "{read} entries read by {scans} looks");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_step_that_falls_due_is_known_in_every_priority() {
    let db = Database::migrated().await;
    db.template(&single(&json!({ "delay_seconds": 3600 }))).await;
    submit(&db, "single", -3, 1).await;
    db.run("UPDATE tasker_ready_steps SET available_at = now() + '1 hour'").await;
    let worker = db.worker(1).await;
    submit(&db, "single", 5, 1).await;
    db.run("UPDATE tasker_ready_steps SET available_at = now() + '300 ms' WHERE priority = 5")
        .await;
    let taken = take(&worker);
    assert_eq!(taken.claim.step.task(), TaskId(2));
    succeed(&worker, &taken, "{}");
    stop(worker, vec![]).await;
}

async fn submit(db: &Database, name: &str, priority: i64, tasks: usize) -> Vec<TaskId> {
    let json = json!({ "name": name, "priority": priority, "contexts": vec![json!({}); tasks] });
    let submission = Submission::from_json(&json.to_string()).unwrap();
    db.client.submit(&submission).await.unwrap().task_ids
}

fn priorities(db: &Database) -> impl Future<Output = BTreeMap<i64, i16>> {
    let sql = "SELECT task_id, priority FROM tasker_tasks";
    let pool = db.pool.clone();
    async move {
        let rows: Vec<(i64, i16)> = sqlx::query_as(sql).fetch_all(&pool).await.unwrap();
        rows.into_iter().collect()
    }
}

/// Takes the next step, ends it, and says whose it was.
fn execute(worker: &Worker) -> TaskId {
    let taken = take(worker);
    succeed(worker, &taken, "{}");
    taken.claim.step.task()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_executes_urgent_tasks_first() {
    let db = Database::migrated().await;
    let mut template = single(&json!({}));
    template["priority"] = 7.into();
    db.template(&template).await;
    let of_template = db.submit("single", 3).await;
    let late = submit(&db, "single", 10, 3).await;
    let usual = submit(&db, "single", 0, 3).await;
    let urgent = submit(&db, "single", -10, 3).await;
    assert_eq!(db.client.status(of_template[0]).await.unwrap().priority, 7);
    let worker = db.worker(1).await;
    let executed: Vec<_> = (0..12).map(|_| execute(&worker)).collect();
    assert_eq!(executed, [urgent, usual, of_template, late].concat());
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_keep_the_priority_of_their_task_however_they_come_into_the_queue() {
    let db = Database::migrated().await;
    db.template(&json!({ "name": "many", "step_templates": [
        { "name": "a", "handler_class": "A", "retry": { "backoff": "list", "delays_seconds": [3600] } },
        { "name": "all", "handler_class": "A", "depends_on_step": "a", "map": { "over": "[1, 2, 3]" },
          "delay_seconds": 3600 },
    ]}))
    .await;
    let task = submit(&db, "many", -4, 1).await[0];
    let ready = "SELECT count(*) FROM tasker_ready_steps WHERE priority = -4 AND queue IS NOT NULL";
    let worker = db.worker(2).await;
    fail(&worker, &take(&worker), "retryable");
    db.wait_for(task, TaskState::Waiting).await;
    assert_eq!(db.count(ready).await, 1);
    db.steer(task, Steering::Pause).await.unwrap();
    assert_eq!(db.count(ready).await, 0);
    db.assert_sound().await;
    db.steer(task, Steering::Resume).await.unwrap();
    assert_eq!(db.count(ready).await, 1);
    db.steer(task, Steering::Retry { step: Some("a".to_owned()) }).await.unwrap();
    execute(&worker);
    db.wait_for_count(ready, 1).await;
    db.assert_sound().await;
    stop(worker, vec![]).await;
    // Items of a map step, for which nobody has room.
    db.run("UPDATE tasker_ready_steps SET available_at = now()").await;
    let worker = db.worker(1).await;
    execute(&worker);
    db.wait_for_count("SELECT count(*) FROM tasker_added_steps", 3).await;
    db.assert_sound().await;
    let hands = hands(&worker, 1);
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, hands).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_has_the_priority_of_its_task() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let task = submit(&db, "single", -4, 1).await[0];
    let worker = db.worker(1).await;
    execute(&worker);
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    let request = ForkRequest::from_json(r#"{"from": ["only"], "actor": "mara"}"#).unwrap();
    let fork = db.client.fork(task, &request, None).await.unwrap().task_ids[0];
    assert_eq!(priorities(&db).await[&fork.0], -4);
    db.assert_sound().await;
}

#[test]
fn priorities_beyond_smallint_are_refused() {
    let of = |priority: Value| {
        let json = json!({ "name": "single", "priority": priority, "contexts": [{}] });
        Submission::from_json(&json.to_string()).map_err(|error| error.to_string())
    };
    for priority in [-32_769, 32_768] {
        let allowed = "allowed: a whole number from -32768 to 32767";
        assert_eq!(of(json!(priority)).unwrap_err(), format!("priority is {priority}; {allowed}"));
    }
    for priority in [json!(1.5), json!("1")] {
        of(priority).unwrap_err();
    }
    for priority in [json!(null), json!(-32_768), json!(32_767)] {
        of(priority).unwrap();
    }
}
