//! The views that reports read: what is asked of one task, or of what has not ended, reads no table as a whole.

use serde_json::json;

use crate::common::{Database, diamond};

/// Tables whose rows are as many as there were tasks.
const LARGE: [&str; 5] = [
    "tasker_tasks",
    "tasker_workflow_steps",
    "tasker_workflow_step_edges",
    "tasker_workflow_step_transitions",
    "tasker_task_transitions",
];

/// Of each hundred tasks one has failed and one has not begun; the others are complete.
const HISTORY: &[&str] = &[
    "UPDATE tasker_workflow_steps SET open_parents = 0, attempts = 1, \
     state = CASE task_id % 100 WHEN 0 THEN 'error' ELSE 'complete' END::tasker_step_state WHERE task_id % 100 <> 1",
    "UPDATE tasker_tasks SET started_at = now(), finished_at = now(), runnable_steps = 0, \
     open_failures = CASE task_id % 100 WHEN 0 THEN 1 ELSE 0 END, \
     state = CASE task_id % 100 WHEN 0 THEN 'error' ELSE 'complete' END::tasker_task_state WHERE task_id % 100 <> 1",
    "INSERT INTO tasker_workflow_step_transitions \
     (workflow_step_id, from_state, to_state, event, attempt, worker_id, claimed_at, outcome) \
     SELECT workflow_step_id, 'in_progress', state, 'succeeded', 1, 1, now(), 'succeeded' \
     FROM tasker_workflow_steps WHERE task_id % 100 <> 1",
    "INSERT INTO tasker_task_transitions (task_id, from_state, to_state, event) \
     SELECT task_id, 'in_progress', state, 'completed' FROM tasker_tasks WHERE state <> 'in_progress'",
    "VACUUM ANALYZE",
];

/// A database with 4,000 tasks of four steps each.
async fn filled() -> Database {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    db.submit("diamond", 4_000).await;
    for statement in HISTORY {
        db.run(statement).await;
    }
    db
}

/// The tables that the statement reads as a whole.
async fn read_whole(db: &Database, statement: &str) -> (Vec<String>, String) {
    let plan: Vec<String> =
        sqlx::query_scalar(&format!("EXPLAIN {statement}")).fetch_all(&db.pool).await.unwrap();
    let scans = plan.iter().filter_map(|line| line.split_once("Seq Scan on ")).map(|(_, of)| of);
    let tables = scans.filter_map(|of| of.split(' ').next()).map(str::to_owned);
    (tables.filter(|table| LARGE.contains(&table.as_str())).collect(), plan.join("\n"))
}

async fn assert_looks_up(db: &Database, statement: &str) {
    let (tables, plan) = read_whole(db, statement).await;
    assert!(tables.is_empty(), "{statement}\nreads {tables:?}:\n{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_view_reads_a_table_as_a_whole_for_what_is_asked_of_few_tasks() {
    let db = filled().await;
    let (task, step) = (77_i64, (77_i64 << 20) + 1);
    for (view, question) in [
        ("task", format!("task_id = {task}")),
        ("task", format!("task_id IN ({task}, 78, 79)")),
        ("task", format!("parent_step_id IN ({step}, 7)")),
        ("task", format!("forked_from_id = {task}")),
        ("task", format!("compensates_id = {task}")),
        ("task", format!("compensated_by_id = {task}")),
        ("task", "correlation_key = 'customer-7'".to_owned()),
        ("task", "finished_at IS NULL".to_owned()),
        ("task", "finished_at IS NULL AND state = 'pending' AND template = 'diamond'".to_owned()),
        ("task", "open_failures > 0 AND state = 'error'".to_owned()),
        ("step", format!("task_id = {task}")),
        ("step", format!("task_id IN ({task}, 78, 79)")),
        ("step", format!("step_id IN ({step}, 7)")),
        ("step", "task_finished_at IS NULL AND state = 'enqueued'".to_owned()),
        ("edge", format!("task_id = {task}")),
        ("edge", format!("from_step_id IN ({step}, 7)")),
        ("edge", format!("to_step_id IN ({step}, 7)")),
        ("attempt", format!("task_id IN ({task}, 78, 79)")),
        ("attempt", format!("step_id IN ({step}, 7)")),
        ("transition", format!("task_id IN ({task}, 78, 79)")),
        ("transition", format!("step_id IN ({step}, 7)")),
    ] {
        let statement = format!("SELECT * FROM tasker_{view}_overview WHERE {question}");
        assert_looks_up(&db, &statement).await;
    }
    let newest = "SELECT * FROM tasker_task_overview ORDER BY task_id DESC LIMIT 20";
    assert_looks_up(&db, newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_somebody_adds_serves_questions_to_the_views() {
    let db = filled().await;
    db.run("UPDATE tasker_tasks SET context = jsonb_build_object('order', task_id)").await;
    db.run("UPDATE tasker_tasks SET requested_at = now() - task_id * interval '1 hour'").await;
    let view = "SELECT * FROM tasker_task_overview WHERE";
    let questions = [
        format!("{view} context @> '{}'", json!({ "order": 7 })),
        format!("{view} requested_at > now() - interval '1 day'"),
    ];
    for question in &questions {
        assert_eq!(read_whole(&db, question).await.0, ["tasker_tasks"]);
    }
    db.run("CREATE INDEX of_context ON tasker_tasks USING gin (context jsonb_path_ops)").await;
    db.run("CREATE INDEX of_requested_at ON tasker_tasks (requested_at)").await;
    db.run("VACUUM ANALYZE").await;
    for question in &questions {
        assert_looks_up(&db, question).await;
    }
}
