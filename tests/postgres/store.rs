//! The schema, templates, submits and the consistency check, on a real Postgres.

use crate::common::{Database, diamond, hands, single, stop};
use serde_json::json;
use tasker_core::{
    AttemptOutcome, Client, ClientOptions, Error, ErrorKind, SCHEMA_VERSION, StepEvent, StepState,
    Submission, TaskEvent, TaskState, WorkerState,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_goes_up_down_and_up_and_leaves_nothing_behind() {
    let db = Database::empty().await;
    let left = "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE 'tasker%') \
                + (SELECT count(*) FROM pg_type WHERE typname LIKE '%tasker%')";
    assert_eq!(db.client.schema_version().await.unwrap(), 0);
    assert_eq!(db.client.migrate(None).await.unwrap().applied, ["001_create_tasker"]);
    assert!(db.client.migrate(None).await.unwrap().applied.is_empty());
    assert_eq!(db.client.schema_version().await.unwrap(), SCHEMA_VERSION);
    db.client.migrate(Some(0)).await.unwrap();
    assert_eq!(db.count(left).await, 0);
    db.client.migrate(None).await.unwrap();
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_migrate_at_once() {
    let db = Database::empty().await;
    let migrations = (0..4).map(|_| db.client.migrate(None));
    let mut ran = 0;
    for migrated in futures(migrations).await {
        ran += migrated.unwrap().applied.len();
    }
    assert_eq!(ran, 1);
}

async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        all.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_newer_schema_is_refused_with_the_command_to_run() {
    let db = Database::empty().await;
    let error = db.client.templates().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert!(error.to_string().ends_with("run: tasker migrate"), "{error}");
    db.client.migrate(None).await.unwrap();
    db.run("COMMENT ON TABLE tasker_tasks IS 'tasker_core schema 99'").await;
    for error in
        [db.client.templates().await.unwrap_err(), db.client.migrate(None).await.unwrap_err()]
    {
        assert!(error.to_string().contains("update the tasker_core gem"), "{error}");
    }
    assert_eq!(db.client.migrate(Some(99)).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_answer_is_named_without_the_password() {
    let connect = async |url: &str| {
        let json = json!({ "url": url, "connect_timeout_ms": 500 }).to_string();
        Client::connect(&ClientOptions::from_json(&json).unwrap()).await.unwrap_err()
    };
    let error = connect("postgres://app:secret@127.0.0.1:1/shop").await;
    assert_eq!(error.kind(), ErrorKind::DatabaseUnavailable);
    assert!(error.to_string().contains("127.0.0.1:1/shop"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = connect("postgres://app:secret@host:port/shop").await;
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_of_states_and_events_are_those_of_the_database() {
    let db = Database::migrated().await;
    let labels = async |name: &str| -> Vec<String> {
        sqlx::query_scalar(&format!(
            "SELECT enumlabel::text FROM pg_enum WHERE enumtypid = '{name}'::regtype ORDER BY enumsortorder"
        ))
        .fetch_all(&db.pool)
        .await
        .unwrap()
    };
    macro_rules! same {
        ($enum:ident, $name:literal) => {
            let ours: Vec<_> = $enum::ALL.iter().map(|value| value.as_str()).collect();
            assert_eq!(labels($name).await, ours);
        };
    }
    same!(StepState, "tasker_step_state");
    same!(TaskState, "tasker_task_state");
    same!(StepEvent, "tasker_step_event");
    same!(TaskEvent, "tasker_task_event");
    same!(AttemptOutcome, "tasker_attempt_outcome");
    same!(WorkerState, "tasker_worker_state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_stored_once_and_fixed_by_its_first_task() {
    let db = Database::migrated().await;
    let first = db.client.register_template(&diamond().to_string()).await.unwrap();
    let again = db.client.register_template(&diamond().to_string()).await.unwrap();
    assert_eq!(first, again);
    let mut changed = diamond();
    changed["step_templates"][0]["queue"] = "slow".into();
    let replaced = db.client.register_template(&changed.to_string()).await.unwrap();
    assert_ne!(first, replaced);
    assert_eq!(db.count("SELECT count(*) FROM tasker_named_tasks").await, 1);
    assert_eq!(db.count("SELECT count(*) FROM tasker_named_steps WHERE queue = 'slow'").await, 1);
    db.submit("diamond", 1).await;
    let conflict = db.client.register_template(&diamond().to_string()).await.unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::TemplateConflict);
    changed["version"] = "0.2.0".into();
    assert_ne!(db.client.register_template(&changed.to_string()).await.unwrap(), replaced);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_changed_since_it_was_read_is_read_anew() {
    let db = Database::migrated().await;
    let mut template = single(&json!({}));
    template["schema"] = json!({ "required": ["id"] });
    db.template(&template).await;
    let submission = json!({ "name": "single", "contexts": [{}] }).to_string();
    let submission = Submission::from_json(&submission).unwrap();
    db.client.submit(&submission).await.unwrap_err();
    let elsewhere = db.another_client().await;
    template["schema"] = json!({});
    template["step_templates"][0]["queue"] = "slow".into();
    elsewhere.register_template(&template.to_string()).await.unwrap();
    db.client.submit(&submission).await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM tasker_ready_steps WHERE queue = 'slow'").await, 1);
    let unnamed = "SELECT count(*) FROM tasker_workflow_steps LEFT JOIN tasker_named_steps n USING (named_step_id) \
                   WHERE n.name IS NULL";
    assert_eq!(db.count(unnamed).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_register_the_same_template_at_once() {
    let db = Database::migrated().await;
    let json = diamond().to_string();
    let ids = futures((0..8).map(|_| db.client.register_template(&json))).await;
    let ids: std::collections::BTreeSet<_> = ids.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(db.count("SELECT count(*) FROM tasker_named_steps").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_version_is_taken_unless_one_is_named() {
    let db = Database::migrated().await;
    for version in ["0.9.0", "0.10.0", "0.10.0-rc.1"] {
        let mut template = single(&json!({}));
        template["version"] = version.into();
        db.template(&template).await;
    }
    let task = db.submit("single", 1).await[0];
    assert_eq!(db.client.status(task).await.unwrap().version, "0.10.0");
    let named = json!({ "name": "single", "version": "0.9.0", "contexts": [{}] }).to_string();
    let task = db.client.submit(&Submission::from_json(&named).unwrap()).await.unwrap().task_ids[0];
    assert_eq!(db.client.status(task).await.unwrap().version, "0.9.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_is_written_whole_or_not_at_all() {
    let db = Database::migrated().await;
    let mut template = single(&json!({}));
    template["schema"] =
        json!({ "required": ["id"], "properties": { "id": { "type": "integer" } } });
    db.template(&template).await;
    let submit = async |value: serde_json::Value| -> Error {
        let submission = Submission::from_json(&value.to_string()).unwrap();
        db.client.submit(&submission).await.unwrap_err()
    };
    let error = submit(json!({ "name": "single", "contexts": [{ "id": 1 }, { "id": "x" }] })).await;
    assert_eq!(error.kind(), ErrorKind::InvalidContext);
    assert!(error.to_string().starts_with("contexts[1]: "), "{error}");
    let error = submit(json!({ "name": "single", "contexts": [[]] })).await;
    assert_eq!(error.kind(), ErrorKind::InvalidContext);
    let error = submit(json!({ "name": "singel", "contexts": [{}] })).await;
    assert_eq!(error.kind(), ErrorKind::UnknownTemplate);
    assert!(error.to_string().ends_with("did you mean default/single version 0.1.0?"), "{error}");
    assert_eq!(db.count("SELECT count(*) FROM tasker_tasks").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_keep_the_order_of_their_contexts() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    let contexts: Vec<_> = (0..6_000).map(|n| json!({ "n": n })).collect();
    let json = json!({ "name": "diamond", "contexts": contexts, "tags": ["bulk"] }).to_string();
    let ids = db.client.submit(&Submission::from_json(&json).unwrap()).await.unwrap().task_ids;
    assert_eq!(ids.len(), 6_000);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    let misplaced = format!(
        "SELECT count(*) FROM tasker_tasks WHERE (context->>'n')::bigint <> task_id - {}",
        ids[0]
    );
    assert_eq!(db.count(&misplaced).await, 0);
    assert_eq!(db.count("SELECT count(*) FROM tasker_workflow_steps").await, 24_000);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_of_the_doctor_finds_its_defect() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    let tasks = db.submit("diamond", 2).await;
    let worker = db.worker(1).await;
    let hands = hands(&worker, 1);
    for task in tasks {
        db.wait_for(task, TaskState::Complete).await;
    }
    stop(worker, hands).await;
    db.submit("diamond", 1).await;
    db.assert_sound().await;
    let defects = [
        ("task_counters", "UPDATE tasker_tasks SET runnable_steps = 2 WHERE state = 'pending'"),
        (
            "task_states",
            "UPDATE tasker_tasks SET state = 'waiting', runnable_steps = 0, started_at = now() WHERE state = 'pending'",
        ),
        (
            "open_parents",
            "UPDATE tasker_workflow_steps SET open_parents = 3 WHERE open_parents = 2",
        ),
        ("ready_steps", "DELETE FROM tasker_ready_steps"),
        ("ready_steps", "UPDATE tasker_ready_steps SET priority = 1"),
        (
            "started_before_parents",
            "UPDATE tasker_workflow_steps SET state = 'error', open_parents = 0 WHERE open_parents = 2",
        ),
        (
            "claims_without_worker",
            "UPDATE tasker_workflow_steps SET state = 'in_progress', attempts = 1, worker_id = 77, claimed_at = now() WHERE state = 'enqueued'",
        ),
        (
            "claims_without_batch",
            "UPDATE tasker_workflow_steps SET state = 'in_progress', attempts = 1, worker_id = 77, claimed_at = now() WHERE state = 'enqueued'",
        ),
        (
            "steps_without_task",
            "SET tasker.pruning = 'on'; DELETE FROM tasker_tasks WHERE state = 'complete'; RESET tasker.pruning",
        ),
        ("edges_without_steps", "DELETE FROM tasker_workflow_steps WHERE open_parents = 2"),
        (
            "attempts",
            "UPDATE tasker_workflow_step_transitions SET outcome = NULL, claimed_at = NULL, execution_us = NULL WHERE outcome IS NOT NULL",
        ),
        (
            "step_history",
            "DELETE FROM tasker_workflow_step_transitions WHERE to_state = 'in_progress'",
        ),
        (
            "step_history",
            "DELETE FROM tasker_workflow_step_transitions WHERE to_state = 'complete'",
        ),
        ("step_history", "DELETE FROM tasker_workflow_step_transitions"),
        ("task_history", "DELETE FROM tasker_task_transitions WHERE to_state = 'complete'"),
        ("task_history", "DELETE FROM tasker_task_transitions"),
    ];
    for (name, sql) in defects {
        let snapshot = backup(&db).await;
        db.run(sql).await;
        let audit = db.client.doctor().await.unwrap();
        let check = audit.checks.iter().find(|check| check.name == name).unwrap();
        assert!(!check.ok && check.found > 0 && !audit.ok, "{name} does not see: {sql}");
        restore(&db, &snapshot).await;
        db.assert_sound().await;
    }
}

const TABLES: [&str; 6] = [
    "tasker_tasks",
    "tasker_workflow_steps",
    "tasker_workflow_step_edges",
    "tasker_ready_steps",
    "tasker_workflow_step_transitions",
    "tasker_task_transitions",
];

async fn backup(db: &Database) -> Vec<String> {
    for table in TABLES {
        db.run(&format!(
            "DROP TABLE IF EXISTS saved_{table}; CREATE TABLE saved_{table} AS TABLE {table}"
        ))
        .await;
    }
    TABLES.iter().map(|table| (*table).to_owned()).collect()
}

async fn restore(db: &Database, tables: &[String]) {
    db.run(&format!("TRUNCATE {} CASCADE", tables.join(", "))).await;
    for table in tables {
        db.run(&format!("INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM saved_{table}"))
            .await;
    }
}
