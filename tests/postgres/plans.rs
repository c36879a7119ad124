//! The statements of a worker keep to look-ups, also when their plans were made on empty tables.

use std::time::Duration;

use crate::common::{Database, diamond, fan, hands, session, single, stop};
use serde_json::json;
use tasker_core::{FailureFilter, Submission, TaskState};

/// Rows that statements read from indexes and tables, but for searches for steps to claim, which pass over
/// the rows of old claims.
const ROWS_READ: &str = "SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes \
     WHERE indexrelname <> 'tasker_ready_steps_order')::bigint \
     + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)::bigint";

/// Rows of the hot table that were removed, less those that were looked up by their primary key for it.
const REMOVED_OTHERWISE: &str = "SELECT n_tup_del - (SELECT idx_scan FROM pg_stat_user_indexes \
     WHERE indexrelname = 'tasker_ready_steps_pkey') FROM pg_stat_user_tables WHERE relname = 'tasker_ready_steps'";

/// A step is read when it is claimed, counted off and ended, its task as often, and its row of the hot
/// table twice; a plan that reads a table or an index as a whole makes thousands of it.
const MOST_ROWS_A_STEP: i64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn plans_made_on_empty_tables_do_not_read_full_ones() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    db.template(&fan(40)).await;
    db.template(&single(&json!({}))).await;
    db.run("VACUUM ANALYZE").await;
    let worker = db.worker(4).await;
    let hands = hands(&worker, 4);
    let first = db.submit("diamond", 1).await[0];
    db.wait_for(first, TaskState::Complete).await;
    let before = db.count(ROWS_READ).await;
    db.submit("single", 8_000).await;
    db.submit("fan", 100).await;
    let steps = 4 + 8_000 + 100 * 42;
    while worker.stats().completed < steps {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop(worker, hands).await;
    let read = db.count(ROWS_READ).await - before;
    assert!(read < steps.cast_signed() * MOST_ROWS_A_STEP, "{read} rows read for {steps} steps");
    assert!(db.count(REMOVED_OTHERWISE).await <= 0);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_of_a_map_step_costs_no_more_however_many_there_are() {
    let db = Database::migrated().await;
    db.template(&json!({ "name": "mapped", "step_templates": [
        { "name": "all", "handler_class": "A", "map": { "over": "context.list", "max_parallel": 20 } },
        { "name": "last", "handler_class": "A", "depends_on_step": "all" },
    ]}))
    .await;
    db.run("VACUUM ANALYZE").await;
    let items: u64 = 4_000;
    let mut read = Vec::new();
    for size in [items, items / 40] {
        let before = db.count(ROWS_READ).await;
        let worker = db.worker(4).await;
        let hands = hands(&worker, 4);
        for _ in 0..items / size {
            let list: Vec<_> = (0..size).collect();
            let json = json!({ "name": "mapped", "contexts": [{ "list": list }] }).to_string();
            db.client.submit(&Submission::from_json(&json).unwrap()).await.unwrap();
        }
        db.wait_for_count("SELECT count(*) FROM tasker_tasks WHERE state <> 'complete'", 0).await;
        // With its sessions their counts are known.
        stop(worker, hands).await;
        read.push(db.count(ROWS_READ).await - before);
    }
    assert!(read[0] < items.cast_signed() * MOST_ROWS_A_STEP, "{read:?} rows read");
    assert!(read[0] < read[1] * 3 / 2, "{read:?} rows read");
    db.assert_sound().await;
}

/// Rows of steps and their transitions that were read, once what a client did is counted.
const STEP_ROWS_READ: &str = "SELECT (SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables \
     WHERE relname IN ('tasker_workflow_steps', 'tasker_workflow_step_transitions'))::bigint";

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_found_without_reading_what_did_not() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    db.submit("single", 20_000).await;
    for statement in [
        "UPDATE tasker_workflow_steps SET attempts = 1, \
         state = CASE task_id % 200 WHEN 0 THEN 'error' ELSE 'complete' END::tasker_step_state",
        "UPDATE tasker_tasks SET started_at = now(), finished_at = now(), runnable_steps = 0, \
         open_failures = CASE task_id % 200 WHEN 0 THEN 1 ELSE 0 END, \
         state = CASE task_id % 200 WHEN 0 THEN 'error' ELSE 'complete' END::tasker_task_state",
        "INSERT INTO tasker_workflow_step_transitions \
         (workflow_step_id, from_state, to_state, event, attempt, worker_id, claimed_at, outcome) \
         SELECT workflow_step_id, 'in_progress', state, 'failed_permanently', 1, 1, now(), 'permanent' \
         FROM tasker_workflow_steps",
        "VACUUM ANALYZE",
    ] {
        db.run(statement).await;
    }
    let used =
        "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'tasker_tasks_failed'";
    let (scans, before) = (db.count(used).await, db.count(STEP_ROWS_READ).await);
    let client = db.another_client().await;
    let filter = FailureFilter::from_json(r#"{"limit": 20, "name": "single"}"#).unwrap();
    for _ in 0..10 {
        assert_eq!(client.failures(&filter).await.unwrap().failures.len(), 20);
    }
    client.close().await;
    db.wait_for_count(&format!("SELECT (({used}) = {scans} + 10)::int::bigint"), 1).await;
    let read = db.count(STEP_ROWS_READ).await - before;
    // Those of all that failed at most: which of them come first, a sort may say.
    assert!(read <= 10 * 2 * 100, "{read} rows read for 200 failures");
}

/// The lines of a plan that lie deeper than the one at `at`.
fn below(plan: &[String], at: usize) -> impl Iterator<Item = &String> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let own = depth(&plan[at]);
    plan[at + 1..].iter().take_while(move |line| depth(line) > own)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consistency_check_reads_no_list_for_each_row_of_another_and_groups_by_sorting() {
    let db = Database::migrated().await;
    let mut session = session(&db, include_str!("../../src/store/sql/begin_audit.sql")).await;
    let statement = format!("EXPLAIN {}", include_str!("../../src/store/sql/audit.sql"));
    let plan: Vec<String> = sqlx::query_scalar(&statement).fetch_all(&mut *session).await.unwrap();
    let text = plan.join("\n");
    assert!(!text.contains("HashAggregate"), "{text}");
    for (at, line) in plan.iter().enumerate() {
        let Some(name) = line.trim().strip_prefix("SubPlan ") else { continue };
        // One that is hashed is read once.
        if text.contains(&format!("hashed SubPlan {name})")) {
            continue;
        }
        let lists: Vec<_> = below(&plan, at).filter(|line| line.contains("CTE Scan")).collect();
        assert!(lists.is_empty(), "for each row of another list: {lists:?}\n{text}");
    }
    assert!(text.contains("SubPlan"), "{text}");
}
