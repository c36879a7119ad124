//! Submitting the same task again, on a real Postgres.

use serde_json::{Value, json};
use tasker_core::{
    Client, Error, ErrorKind, Pruning, Steering, Submission, Submitted, TaskId, TaskState,
};

use crate::common::{Database, hands, session, single, stop};

const TASKS: &str = "SELECT count(*) FROM tasker_tasks";
const IDENTITIES: &str = "SELECT count(*) FROM tasker_task_identities";

async fn prepared() -> Database {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    db
}

/// A request for a task of `single` with these keys besides.
fn request(keys: &Value) -> Submission {
    let mut json = json!({ "name": "single", "contexts": [{ "order": 7 }] });
    json.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    Submission::from_json(&json.to_string()).unwrap()
}

async fn submit(client: &Client, keys: &Value) -> (TaskId, bool) {
    let Submitted { task_ids, existing } = client.submit(&request(keys)).await.unwrap();
    assert_eq!(task_ids.len(), 1);
    (task_ids[0], existing)
}

/// Submits the same from eight connections at once; all must be told the same task, which one of them has made.
async fn by_eight(db: &Database, keys: &Value) -> TaskId {
    let mut submits = Vec::new();
    for _ in 0..8 {
        let (client, submission) = (db.another_client().await, request(keys));
        submits.push(tokio::spawn(async move { client.submit(&submission).await.unwrap() }));
    }
    let mut told = Vec::new();
    for submit in submits {
        told.push(submit.await.unwrap());
    }
    assert_eq!(told.iter().filter(|submitted| !submitted.existing).count(), 1, "{told:?}");
    assert!(told.iter().all(|submitted| submitted.task_ids == told[0].task_ids), "{told:?}");
    told[0].task_ids[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_submits_the_same_at_once_makes_one_task() {
    let db = prepared().await;
    for number in 0..10_i64 {
        by_eight(&db, &json!({ "idempotency_key": format!("order-{number}") })).await;
        assert_eq!(db.count(TASKS).await, number + 1);
    }
    by_eight(&db, &json!({ "unique": true })).await;
    assert_eq!((db.count(TASKS).await, db.count(IDENTITIES).await), (11, 11));
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_counts_for_all_versions_of_a_template_whatever_the_context() {
    let db = prepared().await;
    let key = json!({ "idempotency_key": "order-7" });
    let (first, _) = submit(&db.client, &key).await;
    let mut other = single(&json!({ "default_retry_limit": 9 }));
    other["version"] = "7.0.0".into();
    db.template(&other).await;
    let again = json!({ "idempotency_key": "order-7", "contexts": [{}] });
    assert_eq!(submit(&db.client, &again).await, (first, true));
    assert!(!submit(&db.client, &json!({ "idempotency_key": "order-8" })).await.1);
    other["namespace_name"] = "shop".into();
    db.template(&other).await;
    let elsewhere = json!({ "idempotency_key": "order-7", "namespace": "shop" });
    assert!(!submit(&db.client, &elsewhere).await.1);
    assert_eq!(db.count(TASKS).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_are_the_same_where_jsonb_holds_them_to_be_equal() {
    let db = prepared().await;
    let contexts = [
        r#"{"a": 1, "b": 2}"#,
        r#"{"b": 2.0, "a": 10e-1}"#,
        r#"{"b": 2, "a": 1, "c": null}"#,
        r#"{"a": 2, "b": 1}"#,
        r#"{"a": [1, 2.50]}"#,
        r#"{"a": [1, 25e-1]}"#,
        r#"{"a": [2.5, 1]}"#,
        r#"{"a": 123456789012345678901234567890.10}"#,
        r#"{"a": 123456789012345678901234567890.1}"#,
        r#"{"a": 123456789012345678901234567890.2}"#,
        r#"{"a": "1"}"#,
        r#"{"a": "é"}"#,
        r#"{"a": "\u00e9"}"#,
        r#"{"a": -0.0}"#,
        r#"{"a": 0}"#,
        r#"{"a": 0, "a": {"x": true}}"#,
        r#"{"a": {"x": true}}"#,
    ];
    let mut tasks = Vec::new();
    for context in contexts {
        let json = format!(r#"{{"name": "single", "unique": true, "contexts": [{context}]}}"#);
        let submitted = db.client.submit(&Submission::from_json(&json).unwrap()).await.unwrap();
        tasks.push(submitted.task_ids[0]);
    }
    for (one, first) in contexts.iter().zip(&tasks) {
        for (other, second) in contexts.iter().zip(&tasks) {
            let equal: bool = sqlx::query_scalar("SELECT $1::text::jsonb = $2::text::jsonb")
                .bind(one)
                .bind(other)
                .fetch_one(&db.pool)
                .await
                .unwrap();
            assert_eq!(first == second, equal, "{one} {other}");
        }
    }
    let mut other = single(&json!({ "default_retry_limit": 9 }));
    other["version"] = "7.0.0".into();
    db.template(&other).await;
    let version = json!({ "unique": true, "contexts": [{ "a": 1, "b": 2 }] });
    assert!(!submit(&db.client, &version).await.1, "another version is another task");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_refused_where_that_is_asked_for() {
    let db = prepared().await;
    let key = json!({ "idempotency_key": "order-7", "on_duplicate": "raise" });
    let (task, existing) = submit(&db.client, &key).await;
    assert!(!existing);
    db.steer(task, Steering::Cancel).await.unwrap();
    let error = db.client.submit(&request(&key)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::DuplicateTask, false));
    assert_eq!(
        error.to_string(),
        format!(
            "there is a task with the idempotency key \"order-7\" already: task {task}, which is cancelled"
        )
    );
    assert_eq!(
        error.details(),
        json!({ "idempotency_key": "order-7", "task_id": task, "state": "cancelled" })
    );
    let context = json!({ "unique": true, "on_duplicate": "raise" });
    let (task, _) = submit(&db.client, &context).await;
    let error = db.client.submit(&request(&context)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("with this context already: task {task}")));
    assert_eq!(db.count(TASKS).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_has_expired_is_taken_over_by_one() {
    let db = prepared().await;
    let key = json!({ "idempotency_key": "order-7", "unique_for_s": 3_600.0 });
    let (first, _) = submit(&db.client, &key).await;
    db.run("UPDATE tasker_task_identities SET expires_at = expires_at - interval '59 min'").await;
    assert_eq!(submit(&db.client, &key).await, (first, true));
    db.run("UPDATE tasker_task_identities SET expires_at = expires_at - interval '1 min'").await;
    let second = by_eight(&db, &key).await;
    assert_ne!(second, first);
    assert_eq!(db.count(IDENTITIES).await, 1);
    // The window is that of the first submit.
    let longer = json!({ "idempotency_key": "order-7", "unique_for_s": 1e9 });
    assert_eq!(submit(&db.client, &longer).await, (second, true));
    let hour =
        "SELECT count(*) FROM tasker_task_identities WHERE expires_at < now() + interval '61 min'";
    assert_eq!(db.count(hour).await, 1);
    // The task that had it before takes nothing along.
    db.run(&format!("DELETE FROM tasker_tasks WHERE task_id = {first}")).await;
    assert_eq!(submit(&db.client, &key).await, (second, true));
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_goes_with_its_task() {
    let db = prepared().await;
    let key = json!({ "idempotency_key": "order-7" });
    let (first, _) = submit(&db.client, &key).await;
    let worker = db.worker(1).await;
    let hands = hands(&worker, 1);
    db.wait_for(first, TaskState::Complete).await;
    stop(worker, hands).await;
    assert_eq!(submit(&db.client, &key).await, (first, true));

    let everything = Pruning::from_json(r#"{"older_than_s": 0}"#).unwrap();
    assert_eq!(db.client.prune(&everything).await.unwrap().tasks, 1);
    assert_eq!(db.count(IDENTITIES).await, 0);
    let (second, existing) = submit(&db.client, &key).await;
    assert!(second != first && !existing);

    db.run("DELETE FROM tasker_tasks").await;
    assert_eq!(db.count(IDENTITIES).await, 0);
    assert!(!submit(&db.client, &key).await.1);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_an_identity_that_leads_to_no_task() {
    let db = prepared().await;
    submit(&db.client, &json!({ "idempotency_key": "order-7" })).await;
    db.run("UPDATE tasker_task_identities SET task_id = 4711").await;
    let audit = db.client.doctor().await.unwrap();
    let broken: Vec<_> = audit.checks.iter().filter(|check| !check.ok).collect();
    assert_eq!(
        broken.iter().map(|check| check.name).collect::<Vec<_>>(),
        ["identities_without_task"]
    );
    assert!(broken[0].detail.ends_with("broken by [4711]"), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_waits_for_another_one_of_the_same() {
    let db = prepared().await;
    let key = json!({ "idempotency_key": "order-7" });
    let (first, _) = submit(&db.client, &key).await;
    let (client, submission) = (db.another_client().await, request(&key));
    // As if the first one had not committed yet.
    db.run("CREATE TABLE kept AS SELECT * FROM tasker_task_identities").await;
    db.run("DELETE FROM tasker_task_identities").await;
    let holder = session(&db, "INSERT INTO tasker_task_identities SELECT * FROM kept").await;
    let waiting = tokio::spawn(async move { client.submit(&submission).await });
    let waits = "SELECT count(*) FROM pg_stat_activity \
                 WHERE wait_event_type = 'Lock' AND datname = current_database()";
    db.wait_for_count(waits, 1).await;
    holder.commit().await.unwrap();
    let submitted = waiting.await.unwrap().unwrap();
    assert_eq!((submitted.task_ids, submitted.existing), (vec![first], true));
    assert_eq!(db.count(TASKS).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_without_an_identity_have_none() {
    let db = prepared().await;
    assert_ne!(db.submit("single", 1).await, db.submit("single", 1).await);
    assert_eq!(db.count(IDENTITIES).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_unknown_or_a_context_that_is_wrong_is_told_first() {
    let db = prepared().await;
    let unknown = request(&json!({ "name": "double", "idempotency_key": "order-7" }));
    let error = db.client.submit(&unknown).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTemplate);
    let bad = request(&json!({ "idempotency_key": "order-7", "contexts": [[]] }));
    assert!(matches!(db.client.submit(&bad).await.unwrap_err(), Error::Context { .. }));
    assert_eq!((db.count(TASKS).await, db.count(IDENTITIES).await), (0, 0));
}
