//! What a step may cost before it is given up: failures of its handler, workers that die, and deliveries that
//! the engine cannot make.

use serde_json::{Value, json};
use tasker_core::{Client, FailureFilter, Steering, TaskId, TaskState};

use crate::common::{Database, fail, fan, hands, single, stop, succeed, take};

/// Results that name `damaged` cannot be read, as after the loss of a block.
const DAMAGE: &str = r"
    CREATE FUNCTION read_json(value json) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
      IF value->>'damaged' IS NOT NULL THEN
        RAISE EXCEPTION 'missing chunk number 0' USING ERRCODE = 'data_corrupted';
      END IF;
      RETURN json_out(value)::text;
    END $$;
    CREATE CAST (json AS text) WITH FUNCTION read_json(json)";

async fn summary(client: &Client, task: TaskId, step: &str) -> String {
    client.explain(task, Some(step)).await.unwrap().steps.remove(0).summary
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_parents_results_are_damaged_is_blocked_and_the_others_run() {
    let db = Database::migrated().await;
    db.template(&fan(2)).await;
    db.template(&single(&json!({}))).await;
    let damaged = db.submit("fan", 1).await[0];
    let first = db.worker(1).await;
    succeed(&first, &take(&first), r#"{"damaged": true}"#);
    db.wait_for_count("SELECT count(*) FROM tasker_workflow_steps WHERE state = 'complete'", 1)
        .await;
    stop(first, vec![]).await;
    let others = db.submit("single", 20).await;
    db.run(DAMAGE).await;
    let second = db.worker(30).await;
    let threads = hands(&second, 2);
    for task in others {
        db.wait_for(task, TaskState::Complete).await;
    }
    db.wait_for(damaged, TaskState::Blocked).await;
    let done = stop(second, threads).await;
    assert_eq!(done.len(), 20);
    db.run("DROP CAST (json AS text)").await;
    for step in ["m0", "m1"] {
        let summary = summary(&db.client, damaged, step).await;
        let why = "TaskerCore::DatabaseError: what its handler needs cannot be read: the database refused: \
                   missing chunk number 0 (XX001)";
        assert!(summary.contains(why), "{summary}");
    }

    db.steer(damaged, Steering::Retry { step: None }).await.unwrap();
    let third = db.worker(2).await;
    let threads = hands(&third, 2);
    db.wait_for(damaged, TaskState::Complete).await;
    assert_eq!(stop(third, threads).await.len(), 3);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_takes_as_many_workers_along_as_its_template_allows() {
    let db = Database::migrated().await;
    db.template(&single(&json!({ "crash_limit": 2, "default_retry_limit": 1 }))).await;
    let task = db.submit("single", 1).await[0];
    for died in 1..=2 {
        let options = json!({ "concurrency": 1, "heartbeat_interval_ms": 600_000, "dead_after_ms": 1_200_000 });
        let lost = db.worker_with(options).await;
        assert_eq!(take(&lost).claim.attempt, died);
        let dead = format!(
            "UPDATE tasker_workers SET state = 'dead', stopped_at = now() WHERE worker_id = {}",
            lost.id()
        );
        db.run(&dead).await;
        // One that serves nothing here takes the claims back all the same.
        let rescuer = db.worker_with(json!({ "concurrency": 1, "queues": ["other"] })).await;
        let buried = "SELECT count(*) FROM tasker_attempts WHERE outcome = 'worker_died'";
        db.wait_for_count(buried, died.into()).await;
        stop(rescuer, vec![]).await;
        drop(lost);
    }
    db.wait_for(task, TaskState::Error).await;
    let summary = summary(&db.client, task, "only").await;
    assert_eq!(summary, "2 workers died while they executed it; it is not tried again");
    let died = FailureFilter::from_json(r#"{"error": "TaskerCore::WorkerDiedError"}"#).unwrap();
    let failure = db.client.failures(&died).await.unwrap().failures.remove(0);
    assert_eq!((failure.task_id, failure.cause.as_str()), (task, "crashes_exhausted"));
    assert!(failure.message.ends_with(" died while it executed the step"), "{}", failure.message);
    let classes = "SELECT count(*) FROM tasker_attempts WHERE error->>'class' = 'TaskerCore::WorkerDiedError'";
    assert_eq!(db.count(classes).await, 2);
    db.assert_sound().await;
}

/// The delays of the retries of a task's only step, in milliseconds.
async fn delays(client: &Client, task: TaskId) -> Vec<Value> {
    let history = client.explain(task, Some("only")).await.unwrap().steps.remove(0).history;
    let details = history.into_iter().filter_map(|change| change.detail);
    let details = details.map(|detail| serde_json::from_str::<Value>(detail.get()).unwrap());
    details.filter_map(|detail| detail.get("delay_ms").cloned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_backoff_that_a_template_names_is_followed() {
    let db = Database::migrated().await;
    for (version, retry, expected) in [
        (1, json!({ "backoff": "fibonacci", "base_seconds": 0.01 }), json!([10, 10, 20, 30])),
        (
            2,
            json!({ "backoff": "list", "delays_seconds": [0.02, 0, 0.01] }),
            json!([20, 0, 10, 10]),
        ),
        (3, json!({ "backoff": "exponential", "base_seconds": 0.01 }), json!([10, 20, 40, 80])),
    ] {
        let mut retry = retry;
        retry["jitter"] = json!(0);
        let mut template = single(&json!({ "default_retry_limit": 5, "retry": retry }));
        template["version"] = json!(format!("{version}.0.0"));
        db.template(&template).await;
        let task = db.submit("single", 1).await[0];
        let worker = db.worker(1).await;
        for _ in 0..5 {
            fail(&worker, &take(&worker), "retryable");
        }
        db.wait_for(task, TaskState::Error).await;
        assert_eq!(json!(delays(&db.client, task).await), expected, "{retry}");
        stop(worker, vec![]).await;
    }
    db.assert_sound().await;
}
