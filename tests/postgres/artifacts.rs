//! What handlers attach to attempts, on a real Postgres.

use serde_json::json;
use tasker_core::{Artifact, Delivery, ErrorKind, Pruning, TaskId, TaskState, Worker};

use crate::common::{Database, diamond, fail, single, stop, succeed, take};

const KEY: &str = "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn attach(
    worker: &Worker,
    delivery: &Delivery,
    artifact: &serde_json::Value,
) -> Result<(), ErrorKind> {
    let claim = delivery.claim;
    worker.attach(claim.step, claim.attempt, &artifact.to_string()).map_err(|error| error.kind())
}

fn report(content: &serde_json::Value) -> serde_json::Value {
    json!({ "name": "report", "media_type": "application/json", "json": content })
}

async fn artifacts(db: &Database, task: TaskId) -> Vec<Artifact> {
    db.client.artifacts(task, None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_written_with_the_end_of_the_attempt_however_it_ends() {
    let db = Database::migrated().await;
    db.template(&single(&json!({ "retry": { "base_seconds": 0.01, "max_seconds": 0.01 } }))).await;
    let task = db.submit("single", 1).await[0];
    let worker = db.worker(1).await;
    let first = take(&worker);
    attach(&worker, &first, &report(&json!({ "rows": 1 }))).unwrap();
    attach(&worker, &first, &report(&json!({ "rows": 2 }))).unwrap();
    assert!(artifacts(&db, task).await.is_empty());
    fail(&worker, &first, "retryable");
    let second = take(&worker);
    let log = json!({ "name": "log", "media_type": "text/plain", "uri": "s3://logs/7" });
    attach(&worker, &second, &log).unwrap();
    succeed(&worker, &second, "{}");
    db.wait_for(task, TaskState::Complete).await;
    attach(&worker, &second, &report(&json!(3))).unwrap();
    let found = artifacts(&db, task).await;
    let told: Vec<_> = found
        .iter()
        .map(|one| (one.attempt, one.name.as_str(), one.json.as_ref().map(|json| json.get())))
        .collect();
    assert_eq!(told, [(1, "report", Some("{\"rows\":2}")), (2, "log", None)]);
    assert_eq!(found[1].uri.as_deref(), Some("s3://logs/7"));
    assert_eq!(found[0].step_name.as_deref(), Some("only"));
    stop(worker, vec![]).await;
    let pruning = Pruning::from_json(r#"{"older_than_s": 0}"#).unwrap();
    db.client.prune(&pruning).await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM tasker_artifacts").await, 0);
    assert_eq!(db.client.artifacts(task, None).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_a_step_are_asked_for_by_its_name_and_deleted_with_the_task() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    let task = db.submit("diamond", 1).await[0];
    let worker = db.worker(4).await;
    for _ in 0..4 {
        let delivery = take(&worker);
        attach(&worker, &delivery, &report(&json!(null))).unwrap();
        succeed(&worker, &delivery, "{}");
    }
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    let of_b = db.client.artifacts(task, Some("b")).await.unwrap();
    assert_eq!((of_b.len(), of_b[0].step_id), (1, task.step(1)));
    assert_eq!(artifacts(&db, task).await.len(), 4);
    let unknown = db.client.artifacts(task, Some("e")).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidArgument);
    db.run("DELETE FROM tasker_tasks").await;
    assert_eq!(db.count("SELECT count(*) FROM tasker_artifacts").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused_when_it_is_attached() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    db.submit("single", 1).await;
    let worker = db.worker(1).await;
    let delivery = take(&worker);
    let named = |name: &str| json!({ "name": name, "media_type": "text/plain", "uri": "s3://a" });
    let both = json!({ "name": "a", "media_type": "b", "uri": "c", "json": 1 });
    let neither = json!({ "name": "a", "media_type": "b" });
    for wrong in [named(""), named(&"n".repeat(129)), named("\0"), both, neither] {
        assert_eq!(attach(&worker, &delivery, &wrong), Err(ErrorKind::InvalidArgument), "{wrong}");
    }
    let large = report(&json!("x".repeat(2_000_000)));
    assert_eq!(attach(&worker, &delivery, &large), Err(ErrorKind::InvalidContext));
    for number in 0..100 {
        attach(&worker, &delivery, &named(&number.to_string())).unwrap();
    }
    assert_eq!(attach(&worker, &delivery, &named("100")), Err(ErrorKind::InvalidArgument));
    attach(&worker, &delivery, &named("99")).unwrap();
    succeed(&worker, &delivery, "{}");
    db.wait_for_count("SELECT count(*) FROM tasker_artifacts", 100).await;
    stop(worker, vec![]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn their_content_is_encrypted_where_results_are() {
    let db = Database::migrated().await;
    let client = db.client_with(json!({ "encryption_keys": [KEY] })).await;
    db.template(&single(&json!({}))).await;
    let task = db.submit("single", 1).await[0];
    let worker = db.worker_with(json!({ "concurrency": 1, "encryption_keys": [KEY] })).await;
    let delivery = take(&worker);
    attach(&worker, &delivery, &report(&json!({ "card": "4111" }))).unwrap();
    succeed(&worker, &delivery, "{}");
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    assert_eq!(
        db.count("SELECT count(*) FROM tasker_artifacts WHERE content::text LIKE '%4111%'").await,
        0
    );
    let found = client.artifacts(task, None).await.unwrap();
    assert_eq!(found[0].json.as_ref().unwrap().get(), r#"{"card":"4111"}"#);
    assert_eq!(db.client.artifacts(task, None).await.unwrap_err().kind(), ErrorKind::Decryption);
}
