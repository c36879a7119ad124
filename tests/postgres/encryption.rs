//! Contexts, results and failures at rest.

use std::sync::Arc;

use serde_json::{Value, json};
use tasker_core::{
    Client, Delivery, Error, ErrorKind, Submission, TaskId, TaskState, Unreadable, Worker,
};

use crate::common::{Database, diamond, fail, single, stop, succeed, take};

/// Stands in every context, result and message here, and nowhere else.
const SECRET: &str = "4111-1111-1111-1111";

/// A key: its name, repeated.
fn key(name: &str) -> String {
    assert_eq!(name.len(), 4);
    // Base64 of three letters four times, and of the rest: 32 bytes.
    match name {
        "2025" => format!("2025:{}MjAyNTIwMjU=", "MjAyNTIwMjUyMDI1".repeat(2)),
        "2026" => format!("2026:{}MjAyNjIwMjY=", "MjAyNjIwMjYyMDI2".repeat(2)),
        _ => panic!("no key {name}"),
    }
}

fn keys(names: &[&str]) -> Value {
    names.iter().map(|name| key(name)).collect()
}

async fn client(db: &Database, names: &[&str]) -> Client {
    db.client_with(json!({ "encryption_keys": keys(names) })).await
}

async fn worker(db: &Database, names: &[&str]) -> Arc<Worker> {
    db.worker_with(json!({ "concurrency": 1, "encryption_keys": keys(names) })).await
}

async fn submit(client: &Client, name: &str) -> TaskId {
    let json = json!({ "name": name, "contexts": [{ "card": SECRET }] }).to_string();
    client.submit(&Submission::from_json(&json).unwrap()).await.unwrap().task_ids[0]
}

/// Every row of every table of the engine, as text.
async fn raw(db: &Database) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname LIKE 'tasker%'",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    let mut rows = String::new();
    for table in tables {
        let sql = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t");
        rows += &sqlx::query_scalar::<_, String>(&sql).fetch_one(&db.pool).await.unwrap();
    }
    rows
}

fn secret_results() -> String {
    json!({ "charged": SECRET }).to_string()
}

fn fail_secretly(worker: &Worker, delivery: &Delivery, kind: &str) {
    let failure = json!({ "kind": kind, "class": "Declined", "message": SECRET,
        "backtrace": [SECRET], "context": { "card": SECRET } });
    let (claim, time) = (delivery.claim, std::time::Duration::from_millis(1));
    worker.fail(claim.step, claim.attempt, time, &failure.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_with_a_key_is_read_with_it_and_by_nobody_else() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    let client = client(&db, &["2026"]).await;
    let worker = worker(&db, &["2026"]).await;
    let task = submit(&client, "diamond").await;
    let first = take(&worker);
    assert_eq!(*first.context, *json!({ "card": SECRET }).to_string());
    fail_secretly(&worker, &first, "retryable");
    for _ in 0..4 {
        let delivery = take(&worker);
        if let Some(parents) = &delivery.parents {
            assert!(parents.contains(SECRET), "{parents}");
        }
        succeed(&worker, &delivery, &secret_results());
    }
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;

    let raw = raw(&db).await;
    assert!(!raw.contains(SECRET) && !raw.contains("Declined"), "{raw}");
    assert_eq!(raw.matches("tasker_encrypted").count(), 6, "context, 4 results, failure: {raw}");

    let result = client.result(task, None).await.unwrap();
    assert!(
        result.steps.iter().all(|step| step.results.as_ref().unwrap().get() == secret_results())
    );
    let explained = client.explain(task, Some("a")).await.unwrap();
    let error = explained.steps[0].attempts[0].error.as_ref().unwrap().get();
    assert_eq!(error.matches(SECRET).count(), 3, "{error}");
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_while_tasks_run() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    let before = client(&db, &["2025"]).await;
    let task = submit(&before, "diamond").await;
    let old = worker(&db, &["2025"]).await;
    succeed(&old, &take(&old), &secret_results());
    db.wait_for_count("SELECT count(*) FROM tasker_workflow_steps WHERE state = 'complete'", 1)
        .await;
    stop(old, vec![]).await;
    let new = worker(&db, &["2026", "2025"]).await;
    for _ in 0..3 {
        let delivery = take(&new);
        assert!(delivery.context.contains(SECRET));
        assert!(delivery.parents.as_ref().unwrap().contains(SECRET));
        succeed(&new, &delivery, &secret_results());
    }
    db.wait_for(task, TaskState::Complete).await;
    stop(new, vec![]).await;
    let named = |key: &str| {
        format!("SELECT count(*) FROM tasker_workflow_steps WHERE results::text LIKE '%:\"{key}:%'")
    };
    assert_eq!((db.count(&named("2025")).await, db.count(&named("2026")).await), (1, 3));

    let error = before.result(task, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decryption);
    let text = error.to_string();
    assert!(
        text.contains("the results of the step \"b\" of task") && text.contains("(2025)"),
        "{text}"
    );
    let after = client(&db, &["2026", "2025"]).await;
    assert_eq!(after.result(task, None).await.unwrap().steps.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_context_cannot_be_read_is_blocked_and_says_why() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let task = submit(&client(&db, &["2025"]).await, "single").await;
    let next = db.submit("single", 1).await[0];
    let worker = worker(&db, &["2026"]).await;
    succeed(&worker, &take(&worker), "1");
    db.wait_for(next, TaskState::Complete).await;
    db.wait_for(task, TaskState::Blocked).await;
    stop(worker, vec![]).await;

    let why = "the context of its task is encrypted with the key \"2025\", which is not among the encryption_keys \
               of this process (2026); add it to them";
    let explained = client(&db, &["2026"]).await.explain(task, None).await.unwrap();
    assert!(explained.steps[0].summary.contains(why), "{}", explained.steps[0].summary);
    let explained = db.client.explain(task, None).await.unwrap();
    let summary = &explained.steps[0].summary;
    assert!(summary.contains("the failure is encrypted with the key \"2026\""), "{summary}");
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_parents_results_cannot_be_read_is_blocked() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    let task = db.submit("diamond", 1).await[0];
    let other = worker(&db, &["2025"]).await;
    succeed(&other, &take(&other), &secret_results());
    db.wait_for_count("SELECT count(*) FROM tasker_workflow_steps WHERE state = 'complete'", 1)
        .await;
    stop(other, vec![]).await;
    let worker = worker(&db, &["2026"]).await;
    db.wait_for(task, TaskState::Blocked).await;
    let error = worker.results_of(task, "a").await.unwrap_err();
    let Error::Decryption { source, .. } = &error else { panic!("{error}") };
    assert!(matches!(source, Unreadable::MissingKey { name, .. } if name == "2025"), "{error}");
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_keys_that_unfinished_tasks_need() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let warnings = async |names: &[&str]| {
        let warnings = client(&db, names).await.doctor().await.unwrap().warnings;
        warnings.into_iter().filter(|one| one.name == "missing_key").collect::<Vec<_>>()
    };
    let writer = client(&db, &["2025"]).await;
    submit(&writer, "single").await;
    submit(&writer, "single").await;
    db.submit("single", 1).await;
    assert_eq!(warnings(&["2026", "2025"]).await, []);
    let found = warnings(&["2026"]).await;
    assert_eq!(found[0].facts, json!({ "key": "2025", "tasks": 2 }));
    assert!(found[0].detail.contains("(2026)"), "{}", found[0].detail);
    assert_eq!(warnings(&[]).await.len(), 1);

    let worker = worker(&db, &["2025"]).await;
    for _ in 0..3 {
        succeed(&worker, &take(&worker), "1");
    }
    db.wait_for_count("SELECT count(*) FROM tasker_tasks WHERE state = 'complete'", 3).await;
    stop(worker, vec![]).await;
    assert_eq!(warnings(&["2026"]).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_looks_encrypted_is_refused() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let context = json!({ "tasker_encrypted": "2026:AAAA" });
    let json = json!({ "name": "single", "contexts": [context] }).to_string();
    let error = db.client.submit(&Submission::from_json(&json).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidContext);
    assert!(error.to_string().contains("tasker_encrypted"), "{error}");

    let task = db.submit("single", 1).await[0];
    let worker = db.worker(1).await;
    let delivery = take(&worker);
    let (claim, time) = (delivery.claim, std::time::Duration::from_millis(1));
    let refused = worker.succeed(claim.step, claim.attempt, time, &context.to_string());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidContext);
    fail(&worker, &delivery, "permanent");
    db.wait_for(task, TaskState::Error).await;
    stop(worker, vec![]).await;
}

/// Whether the task that this client submits is there already.
async fn is_there(client: &Client, keys: &Value) -> bool {
    let mut json = json!({ "name": "single", "contexts": [{ "card": SECRET }] });
    json.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let submission = Submission::from_json(&json.to_string()).unwrap();
    client.submit(&submission).await.unwrap().existing
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_tells_nothing_to_who_guesses_it_and_is_found_while_keys_are_rotated() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let digests = async || {
        let mut rows = raw(&db).await;
        rows.retain(|c| !c.is_whitespace());
        rows
    };
    for identity in [json!({ "unique": true }), json!({ "idempotency_key": SECRET })] {
        let plain = client(&db, &[]).await;
        assert!(!is_there(&plain, &identity).await);
        let sql = "SELECT encode(identity, 'hex') FROM tasker_task_identities";
        let guess: String = sqlx::query_scalar(sql).fetch_one(&db.pool).await.unwrap();
        assert!(digests().await.contains(&guess));
        // What was submitted before there were keys is found with them.
        assert!(is_there(&client(&db, &["2025"]).await, &identity).await);
        db.run("DELETE FROM tasker_tasks").await;

        assert!(!is_there(&client(&db, &["2025"]).await, &identity).await);
        assert!(!digests().await.contains(&guess));
        assert!(!digests().await.contains(SECRET));
        for names in [&["2025"][..], &["2025", "2026"], &["2026", "2025"]] {
            assert!(is_there(&client(&db, names).await, &identity).await, "{names:?}");
        }
        db.run("DELETE FROM tasker_tasks").await;

        // Submitted while a key was added, and found with either of them alone.
        assert!(!is_there(&client(&db, &["2025", "2026"]).await, &identity).await);
        for names in [&["2025"][..], &["2026"], &["2026", "2025"]] {
            assert!(is_there(&client(&db, names).await, &identity).await, "{names:?}");
        }
        db.run("DELETE FROM tasker_tasks").await;
    }
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_keys_are_rotated_who_submits_the_same_at_once_makes_one_task() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    for number in 1..=10 {
        let mut submits = Vec::new();
        for names in [["2025", "2026"], ["2026", "2025"]].iter().cycle().take(6) {
            let (client, key) = (client(&db, names).await, format!("order-{number}"));
            submits.push(tokio::spawn(async move {
                is_there(&client, &json!({ "idempotency_key": key })).await
            }));
        }
        for submit in submits {
            submit.await.unwrap();
        }
        assert_eq!(db.count("SELECT count(*) FROM tasker_tasks").await, number);
    }
}
