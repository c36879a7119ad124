//! Join policies, steps that are left out, and results that a person gives.

use serde_json::json;
use tasker_core::{Error, Steering, StepState, TaskId, TaskState};

use super::common::{Database, fail, stop, succeed, take};

/// A template with these steps, each with the names of its parents and its join policy.
fn template(steps: &[(&str, &[&str], serde_json::Value)]) -> serde_json::Value {
    let steps: Vec<_> = steps
        .iter()
        .map(|(name, parents, join)| {
            let mut step =
                json!({ "name": name, "handler_class": "Handler", "depends_on_steps": parents, "skippable": *name != "fixed" });
            if !join.is_null() {
                step["join"] = join.clone();
            }
            step
        })
        .collect();
    json!({ "name": "joined", "step_templates": steps })
}

async fn states(db: &Database, task: TaskId) -> Vec<(String, StepState)> {
    let result = db.client.result(task, None).await.unwrap();
    result.steps.into_iter().map(|step| (step.name, step.state)).collect()
}

async fn state_of(db: &Database, task: TaskId, name: &str) -> StepState {
    states(db, task).await.into_iter().find(|(step, _)| step == name).unwrap().1
}

/// Three parents, and a child with the policy. Says what became of the child when the parents end so.
async fn child_after(
    db: &Database,
    join: &serde_json::Value,
    ends: [&str; 3],
) -> (StepState, TaskState) {
    let parents: &[&str] = &["a", "b", "c"];
    let none: &[&str] = &[];
    let steps = [
        ("a", none, json!(null)),
        ("b", none, json!(null)),
        ("c", none, json!(null)),
        ("child", parents, join.clone()),
    ];
    let mut declared = template(&steps);
    declared["name"] = format!("{join}{ends:?}").into();
    db.template(&declared).await;
    let task = db.submit(declared["name"].as_str().unwrap(), 1).await[0];
    for (name, end) in parents.iter().zip(ends) {
        if end == "skip" {
            db.steer(task, Steering::Skip { step: (*name).to_owned() }).await.unwrap();
        }
    }
    let worker = db.worker(1).await;
    for end in ends.into_iter().filter(|end| *end != "skip") {
        let step = take(&worker);
        if end == "fail" { fail(&worker, &step, "permanent") } else { succeed(&worker, &step, "1") }
    }
    worker.drain();
    db.wait_for_count(&format!("SELECT count(*) FROM tasker_workflow_steps WHERE task_id = {task} AND state = 'in_progress'"), 0).await;
    let state = state_of(db, task, "child").await;
    if state == StepState::Enqueued {
        let other = db.worker(1).await;
        let child = take(&other);
        assert_eq!(child.claim.step, task.step(3));
        succeed(&other, &child, "1");
        stop(other, vec![]).await;
    }
    stop(worker, vec![]).await;
    (state, db.client.status(task).await.unwrap().state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_starts_when_its_join_policy_is_satisfied_and_is_skipped_when_it_cannot_be() {
    use StepState::{Enqueued, Pending, Skipped};
    let db = Database::migrated().await;
    let (good, bad) = (TaskState::Complete, TaskState::Error);
    for (join, ends, child, task) in [
        (json!("all_complete"), ["ok", "ok", "ok"], Enqueued, good),
        (json!("all_complete"), ["ok", "skip", "ok"], Skipped, good),
        (json!("all_complete"), ["ok", "skip", "fail"], Pending, bad),
        (json!("all_done"), ["fail", "fail", "skip"], Enqueued, good),
        (json!("any_complete"), ["fail", "skip", "ok"], Enqueued, good),
        (json!("any_complete"), ["fail", "skip", "skip"], Pending, bad),
        (json!("any_complete"), ["skip", "skip", "skip"], Skipped, good),
        (json!("none_failed"), ["skip", "skip", "ok"], Enqueued, good),
        (json!("none_failed"), ["skip", "skip", "skip"], Skipped, good),
        (json!("none_failed"), ["ok", "ok", "fail"], Pending, bad),
        (json!({"quorum": 2}), ["ok", "fail", "ok"], Enqueued, good),
        (json!({"quorum": 2}), ["ok", "skip", "skip"], Skipped, good),
        (json!({"quorum": 2}), ["ok", "fail", "skip"], Pending, bad),
    ] {
        let seen = child_after(&db, &join, ends).await;
        assert_eq!(seen, (child, task), "{join} after {ends:?}");
    }
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_needs_one_parent_does_not_wait_for_the_others() {
    let db = Database::migrated().await;
    db.template(&template(&[
        ("fast", &[], json!(null)),
        ("slow", &[], json!(null)),
        ("first", &["fast", "slow"], json!("any_complete")),
        ("last", &["slow"], json!(null)),
    ]))
    .await;
    let task = db.submit("joined", 1).await[0];
    let worker = db.worker(3).await;
    let (fast, slow) = (take(&worker), take(&worker));
    succeed(&worker, &fast, "1");
    let first = take(&worker);
    assert_eq!(first.claim.step, task.step(2));
    assert_eq!(first.parents.as_deref(), Some(r#"{"fast":1,"slow":null}"#));
    succeed(&worker, &first, "1");
    // The other parent fails when nobody waits for it any more but the last step.
    fail(&worker, &slow, "permanent");
    db.wait_for(task, TaskState::Error).await;
    assert_eq!(state_of(&db, task, "first").await, StepState::Complete);
    db.assert_sound().await;
    db.steer(task, Steering::Resolve { step: "slow".into(), results: "2".into(), take: None })
        .await
        .unwrap();
    let last = take(&worker);
    assert_eq!(last.parents.as_deref(), Some(r#"{"slow":2}"#));
    succeed(&worker, &last, "1");
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_chain_is_skipped_with_its_first_step() {
    let db = Database::migrated().await;
    let names: Vec<_> = (0..2_000).map(|step| format!("s{step}")).collect();
    let parents: Vec<Vec<&str>> = (0..2_000)
        .map(|step| if step == 0 { vec![] } else { vec![names[step - 1].as_str()] })
        .collect();
    let steps: Vec<_> = names
        .iter()
        .zip(&parents)
        .map(|(name, parents)| (name.as_str(), parents.as_slice(), json!(null)))
        .collect();
    db.template(&template(&steps)).await;
    let task = db.submit("joined", 1).await[0];
    let status = db.steer(task, Steering::Skip { step: "s0".into() }).await.unwrap();
    assert_eq!(status.state, TaskState::Complete);
    assert_eq!(
        db.count("SELECT count(*) FROM tasker_workflow_steps WHERE state = 'skipped'").await,
        2_000
    );
    // It is skipped already.
    db.steer(task, Steering::Skip { step: "s0".into() }).await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM tasker_workflow_step_transitions").await, 2_000);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_step_that_is_skipped_or_resolved_reports_in_vain() {
    let db = Database::migrated().await;
    db.template(&template(&[
        ("a", &[], json!(null)),
        ("b", &[], json!(null)),
        ("c", &["a", "b"], json!("none_failed")),
    ]))
    .await;
    let task = db.submit("joined", 1).await[0];
    let worker = db.worker(2).await;
    let (a, b) = (take(&worker), take(&worker));
    db.steer(task, Steering::Skip { step: "a".into() }).await.unwrap();
    db.steer(
        task,
        Steering::Resolve { step: "b".into(), results: r#"{"by":"hand"}"#.into(), take: None },
    )
    .await
    .unwrap();
    succeed(&worker, &a, "1");
    succeed(&worker, &b, "1");
    let c = take(&worker);
    assert_eq!(c.parents.as_deref(), Some(r#"{"a":null,"b":{"by":"hand"}}"#));
    succeed(&worker, &c, "1");
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    assert_eq!(
        db.count("SELECT count(*) FROM tasker_attempts WHERE outcome = 'cancelled'").await,
        2
    );
    let refused = db.steer(task, Steering::Skip { step: "c".into() }).await.unwrap_err();
    assert!(matches!(refused, Error::Transition { .. }), "{refused}");
    let explained = db.client.explain(task, Some("a")).await.unwrap();
    assert_eq!(explained.steps[0].summary, "skipped by mara (order withdrawn)");
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_asks_for_is_checked() {
    let db = Database::migrated().await;
    db.template(&template(&[("a", &[], json!(null)), ("fixed", &[], json!(null))])).await;
    let task = db.submit("joined", 1).await[0];
    for results in ["{", "", &format!("\"{}\"", "x".repeat(1 << 20))] {
        let steering = Steering::Resolve { step: "a".into(), results: results.into(), take: None };
        let refused = db.steer(task, steering).await.unwrap_err();
        assert!(matches!(refused, Error::Json { .. }), "{refused}");
    }
    for step in ["b", "fixed"] {
        let refused = db.steer(task, Steering::Skip { step: step.into() }).await.unwrap_err();
        assert!(matches!(refused, Error::Argument { argument: "step", .. }), "{refused}");
    }
    assert_eq!(db.count("SELECT count(*) FROM tasker_workflow_step_transitions").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_failures_that_is_resolved_leaves_the_task_ended() {
    let db = Database::migrated().await;
    let none: &[&str] = &[];
    db.template(&template(&[
        ("a", none, json!(null)),
        ("b", none, json!(null)),
        ("c", &["a", "b"], json!(null)),
    ]))
    .await;
    let task = db.submit("joined", 1).await[0];
    let worker = db.worker(2).await;
    for _ in 0..2 {
        fail(&worker, &take(&worker), "permanent");
    }
    let ended = db.wait_for(task, TaskState::Error).await;
    let resolve =
        |step: &str| Steering::Resolve { step: step.to_owned(), results: "1".into(), take: None };
    let status = db.steer(task, resolve("a")).await.unwrap();
    assert_eq!((status.state, status.finished_at), (TaskState::Error, ended.finished_at));
    let status = db.steer(task, resolve("b")).await.unwrap();
    assert_eq!((status.state, status.finished_at), (TaskState::InProgress, None));
    succeed(&worker, &take(&worker), "1");
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}
