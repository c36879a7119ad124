//! Tasks from submit to their end, on a real Postgres, with workers of this process.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{
    Database, diamond, fail, fan, hands, single, stop, succeed, take, wait_for_given_back,
};
use serde_json::json;
use tasker_core::{Error, Steering, StepState, TaskState};

#[tokio::test(flavor = "multi_thread")]
async fn a_diamond_runs_parents_first_and_hands_their_results_down() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    let task = db.submit("diamond", 1).await[0];
    let worker = db.worker(2).await;
    let a = take(&worker);
    assert_eq!((&*a.context, a.parents.as_deref()), (r#"{"order": 7}"#, None));
    succeed(&worker, &a, r#"{"sum":1}"#);
    let (b, c) = (take(&worker), take(&worker));
    assert_eq!(b.parents.as_deref(), Some(r#"{"a":{"sum":1}}"#));
    succeed(&worker, &b, "2");
    succeed(&worker, &c, "null");
    let d = take(&worker);
    assert_eq!(d.parents.as_deref(), Some(r#"{"b":2,"c":null}"#));
    assert_eq!(worker.results_of(task, "a").await.unwrap().as_deref(), Some(r#"{"sum":1}"#));
    succeed(&worker, &d, "[]");
    let status = db.wait_for(task, TaskState::Complete).await;
    assert_eq!((status.steps_total, status.attempts_total), (4, 4));
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_many_tasks_and_run_each_step_once() {
    let db = Database::migrated().await;
    db.template(&fan(60)).await;
    let tasks = db.submit("fan", 10).await;
    let (one, two) = (db.worker(3).await, db.worker(3).await);
    let (hands_one, hands_two) = (hands(&one, 3), hands(&two, 3));
    for task in &tasks {
        db.wait_for(*task, TaskState::Complete).await;
    }
    let mut done = stop(one, hands_one).await;
    done.extend(stop(two, hands_two).await);
    let steps: BTreeSet<_> = done.iter().map(|delivery| delivery.claim.step).collect();
    assert_eq!((done.len(), steps.len()), (620, 620));
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_step_is_tried_again_when_its_delay_is_over() {
    let db = Database::migrated().await;
    db.template(&single(&json!({ "retry": { "base_seconds": 0.15, "jitter": 0.0 } }))).await;
    let task = db.submit("single", 1).await[0];
    let worker = db.worker(1).await;
    let first = take(&worker);
    fail(&worker, &first, "retryable");
    let again = take(&worker);
    assert_eq!(again.claim.attempt, 2);
    succeed(&worker, &again, "1");
    db.wait_for(task, TaskState::Complete).await;
    let early = "SELECT count(*) FROM tasker_attempts a JOIN tasker_workflow_step_transitions t USING (workflow_step_id) \
                 WHERE a.attempt = 2 AND t.event = 'retry_scheduled' \
                 AND (t.detail->>'delay_ms' <> '150' OR a.claimed_at < (t.detail->>'retry_at')::timestamptz)";
    assert_eq!(db.count(early).await, 0);
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_ends_in_error_once_nothing_else_can_run() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    let task = db.submit("diamond", 1).await[0];
    let worker = db.worker(2).await;
    succeed(&worker, &take(&worker), "1");
    let (b, c) = (take(&worker), take(&worker));
    fail(&worker, &b, "permanent");
    succeed(&worker, &c, "1");
    db.wait_for(task, TaskState::Error).await;
    let why = db.client.explain(task, Some("d")).await.unwrap();
    assert_eq!(why.steps[0].summary, "cannot start: its parent b is in error");
    let why = db.client.explain(task, Some("b")).await.unwrap();
    assert_eq!(why.steps[0].summary, "failed for good in attempt 1: CardDeclined: no funds");
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_completion_after_a_rescue_changes_nothing() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let task = db.submit("single", 1).await[0];
    let sleeper = db
        .worker_with(json!({ "concurrency": 1, "heartbeat_interval_ms": 600_000, "dead_after_ms": 1_200_000 }))
        .await;
    let lost = take(&sleeper);
    let rescuer = db.worker(1).await;
    let silent = format!(
        "WITH silent AS (UPDATE tasker_workers SET heartbeat_at = now() - interval '1 hour' \
         WHERE worker_id = {} AND state = 'running') \
         SELECT count(*) FROM tasker_attempts WHERE outcome = 'worker_died'",
        sleeper.id()
    );
    db.wait_for_count(&silent, 1).await;
    // Before the sleeper beats again, which its late end makes it do.
    db.wait_for_count("SELECT count(*) FROM tasker_workers WHERE state = 'dead'", 1).await;
    let again = take(&rescuer);
    assert_eq!((again.claim.step, again.claim.attempt), (lost.claim.step, 2));
    succeed(&sleeper, &lost, r#""late""#);
    succeed(&rescuer, &again, r#""kept""#);
    db.wait_for(task, TaskState::Complete).await;
    let result = db.client.result(task, None).await.unwrap();
    assert_eq!(result.steps[0].results.as_ref().unwrap().get(), r#""kept""#);
    let died = "SELECT count(*) FROM tasker_attempts WHERE outcome = 'worker_died' AND attempt = 1";
    assert_eq!(db.count(died).await, 1);
    sleeper.stop(Duration::ZERO).await.unwrap();
    assert_eq!(sleeper.stats().stale, 1);
    stop(rescuer, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_taken_for_dead_goes_on_under_another_id() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let worker = db.worker(1).await;
    let first = worker.id();
    db.run("UPDATE tasker_workers SET state = 'dead', stopped_at = now()").await;
    db.wait_for_count("SELECT count(*) FROM tasker_workers WHERE state = 'running'", 1).await;
    let task = db.submit("single", 1).await[0];
    succeed(&worker, &take(&worker), "1");
    db.wait_for(task, TaskState::Complete).await;
    assert_ne!(worker.id(), first);
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_takes_too_long_is_ended_in_the_database() {
    let db = Database::migrated().await;
    let keys = json!({ "timeout_seconds": 0.1, "default_retry_limit": 2, "retry": { "base_seconds": 0.01 } });
    db.template(&single(&keys)).await;
    let task = db.submit("single", 1).await[0];
    let worker = db.worker(2).await;
    // Claimed, and the worker at rest, before a handler begins.
    let claimed = "SELECT count(*) FROM tasker_workflow_steps WHERE state = 'in_progress'";
    db.wait_for_count(claimed, 1).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let (first, second) = (take(&worker), take(&worker));
    assert_eq!((first.claim.attempt, second.claim.attempt), (1, 2));
    db.wait_for(task, TaskState::Error).await;
    succeed(&worker, &first, "1");
    succeed(&worker, &second, "1");
    assert_eq!(worker.stats().stale, 2);
    let timeouts = "SELECT count(*) FROM tasker_attempts WHERE outcome = 'timeout'";
    assert_eq!(db.count(timeouts).await, 2);
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_failed_are_tried_again_when_somebody_asks_for_it() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    let task = db.submit("diamond", 1).await[0];
    let worker = db.worker(2).await;
    succeed(&worker, &take(&worker), "1");
    fail(&worker, &take(&worker), "permanent");
    fail(&worker, &take(&worker), "blocked");
    db.wait_for(task, TaskState::Blocked).await;

    let retry = async |step: Option<&str>| {
        db.steer(task, Steering::Retry { step: step.map(str::to_owned) }).await
    };
    assert!(matches!(retry(Some("nope")).await, Err(Error::Argument { argument: "step", .. })));
    let error = retry(Some("d")).await.unwrap_err().to_string();
    assert!(error.contains(" is pending: it cannot be retried; "), "{error}");
    assert_eq!(retry(Some("b")).await.unwrap().state, TaskState::InProgress);
    let again = take(&worker);
    assert_eq!((again.claim.step, again.claim.attempt), (task.step(1), 2));
    fail(&worker, &again, "permanent");
    db.wait_for(task, TaskState::Blocked).await;

    // Both, and a second time while they are on their way.
    retry(None).await.unwrap();
    retry(None).await.unwrap();
    for _ in 0..3 {
        succeed(&worker, &take(&worker), "1");
    }
    let status = db.wait_for(task, TaskState::Complete).await;
    assert_eq!(status.attempts_total, 7);
    let error = retry(None).await.unwrap_err().to_string();
    assert!(error.contains(" is complete: no step of it can be retried; "), "{error}");
    let why = db.client.explain(task, Some("b")).await.unwrap();
    let asked: Vec<_> = why.steps[0].history.iter().filter_map(|c| c.detail.as_ref()).collect();
    let by_mara = asked.iter().filter(|detail| detail.get().contains("\"mara\"")).count();
    assert_eq!(by_mara, 2, "{asked:?}");
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_refuses_what_runs_and_what_is_ready() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    let task = db.submit("diamond", 1).await[0];
    let worker = db.worker(1).await;
    succeed(&worker, &take(&worker), "1");
    let running = take(&worker);
    let status = db.steer(task, Steering::Cancel).await.unwrap();
    assert_eq!(status.state, TaskState::Cancelled);
    succeed(&worker, &running, "1");
    let again = db.steer(task, Steering::Cancel).await.unwrap();
    assert_eq!((again.state, again.finished_at), (TaskState::Cancelled, status.finished_at));
    let told = "SELECT count(*) FROM tasker_task_transitions WHERE event = 'cancelled'";
    assert_eq!(db.count(told).await, 1);
    stop(worker, vec![]).await;
    assert_eq!(db.count("SELECT count(*) FROM tasker_ready_steps").await, 0);
    let why = db.client.explain(task, None).await.unwrap().summary;
    assert!(why.starts_with("cancelled by mara (order withdrawn), "), "{why}");
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_for_which_no_thread_comes_are_given_back_and_executed_by_another_worker() {
    let db = Database::migrated().await;
    db.template(&fan(4)).await;
    db.submit("fan", 1).await;
    let deserted = db.worker(4).await;
    succeed(&deserted, &take(&deserted), "1");
    let running = take(&deserted);
    let in_progress = "SELECT count(*) FROM tasker_workflow_steps WHERE state = 'in_progress'";
    db.wait_for_count(in_progress, 4).await;
    db.wait_for_count(in_progress, 1).await;
    wait_for_given_back(&deserted, 3).await;
    let in_their_places = "SELECT count(*) FROM tasker_ready_steps r JOIN tasker_workflow_step_transitions t \
                           USING (workflow_step_id) WHERE t.event = 'claimed' AND r.available_at <= t.created_at";
    assert_eq!(db.count(in_their_places).await, 3);

    let later = db.submit("fan", 1).await[0];
    let other = db.worker(4).await;
    let threads = hands(&other, 1);
    db.wait_for(later, TaskState::Complete).await;
    let done = stop(other, threads).await;
    assert!(done.iter().all(|step| step.claim.attempt == 1), "{done:?}");
    assert_eq!(done.len(), 3 + 6, "what was given back, and a task of which nothing was claimed");

    assert!(deserted.is_current(running.claim.step, running.claim.attempt));
    succeed(&deserted, &running, "1");
    let next = take(&deserted);
    let notice = deserted.take_notice().unwrap().expect("what there is to tell");
    let ran =
        format!("step {} of task {} (attempt 1)", running.claim.step, running.claim.step.task());
    assert!(notice.contains("3 steps") && notice.ends_with(&ran), "{notice}");
    assert_eq!(deserted.take_notice().unwrap(), None);
    succeed(&deserted, &next, "1");
    stop(deserted, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_gives_back_what_no_handler_began_and_interrupts_the_rest() {
    let db = Database::migrated().await;
    db.template(&fan(4)).await;
    db.submit("fan", 1).await;
    let worker = db.worker(4).await;
    succeed(&worker, &take(&worker), "1");
    let running = take(&worker);
    db.wait_for_count("SELECT count(*) FROM tasker_workflow_steps WHERE state = 'in_progress'", 4)
        .await;
    worker.drain();
    db.wait_for_count("SELECT count(*) FROM tasker_workflow_steps WHERE state = 'in_progress'", 1)
        .await;
    let stopped = worker.stop(Duration::from_millis(20)).await.unwrap();
    assert_eq!((stopped.finished, stopped.given_back, stopped.interrupted), (1, 3, 1));
    let attempts = "SELECT sum(attempts) FROM tasker_workflow_steps WHERE state = 'enqueued'";
    assert_eq!(db.count(attempts).await, 1);
    let of_running = format!(
        "SELECT count(*) FROM tasker_attempts WHERE outcome = 'interrupted' AND workflow_step_id = {}",
        running.claim.step
    );
    assert_eq!(db.count(&of_running).await, 1);
    assert!(matches!(worker.stop(Duration::ZERO).await, Err(Error::Closed(_))));
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_claims_from_its_queues_only() {
    let db = Database::migrated().await;
    db.template(&json!({ "name": "queues", "step_templates": [
        { "name": "slow", "handler_class": "A", "queue": "slow" },
        { "name": "quick", "handler_class": "A", "queue": "quick" },
    ]}))
    .await;
    let task = db.submit("queues", 1).await[0];
    let worker = db.worker_with(json!({ "queues": ["quick"] })).await;
    let quick = take(&worker);
    assert_eq!(quick.claim.step, task.step(1));
    succeed(&worker, &quick, "1");
    db.wait_for_count("SELECT count(*) FROM tasker_attempts", 1).await;
    let why = db.client.explain(task, Some("slow")).await.unwrap().steps.remove(0);
    assert_eq!(why.state, StepState::Enqueued);
    assert!(why.summary.contains(r#"no live worker serves the queue "slow""#), "{}", why.summary);
    let all = db.worker(1).await;
    succeed(&all, &take(&all), "1");
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    stop(all, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_lose_no_step_and_run_none_twice() {
    let db = Database::migrated().await;
    db.template(&fan(200)).await;
    let tasks = db.submit("fan", 5).await;
    let worker = db.worker(4).await;
    let hands = hands(&worker, 4);
    for _ in 0..20 {
        db.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'tasker_core' AND pid <> pg_backend_pid()",
        )
        .await;
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    for task in tasks {
        db.wait_for_count(
            &format!(
                "SELECT count(*) FROM tasker_tasks WHERE task_id = {task} AND state = 'complete'"
            ),
            1,
        )
        .await;
    }
    let done = stop(worker, hands).await;
    let steps: BTreeSet<_> = done.iter().map(|delivery| delivery.claim.step).collect();
    assert_eq!((done.len(), steps.len()), (1010, 1010));
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_recorded_even_when_not_all_of_it_can_be_stored() {
    let db = Database::migrated().await;
    db.template(&single(&json!({ "default_retryable": false }))).await;
    let task = db.submit("single", 1).await[0];
    let worker = db.worker(1).await;
    let claim = take(&worker).claim;
    let failure = json!({ "kind": "retryable", "class": "Odd", "message": "a\0b", "context": { "at": "\0" } });
    worker.fail(claim.step, claim.attempt, Duration::ZERO, &failure.to_string()).unwrap();
    db.wait_for(task, TaskState::Error).await;
    let error = db.client.result(task, None).await.unwrap().steps.remove(0).error.unwrap();
    let error: serde_json::Value = serde_json::from_str(error.get()).unwrap();
    assert_eq!(error, json!({ "kind": "retryable", "class": "Odd", "message": "a␀b" }));
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_cannot_be_stored_are_refused_and_the_attempt_stays_open() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let task = db.submit("single", 1).await[0];
    let worker = db.worker(1).await;
    let step = take(&worker);
    let claim = step.claim;
    for results in ["{", r#""\u0000""#, &"[".repeat(1_000), &format!("{:?}", "x".repeat(2 << 20))] {
        let refused = worker.succeed(claim.step, claim.attempt, Duration::ZERO, results);
        assert!(matches!(refused, Err(Error::Json { .. })), "{refused:?}");
    }
    succeed(&worker, &step, r#"{"total": 12345678901234567890123}"#);
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_a_worker_that_has_ended_are_taken_back() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    for state in ["dead", "stopped"] {
        let task = db.submit("single", 1).await[0];
        let options = json!({ "concurrency": 1, "heartbeat_interval_ms": 600_000, "dead_after_ms": 1_200_000 });
        let ended = db.worker_with(options).await;
        let lost = take(&ended);
        db.run(&format!(
            "UPDATE tasker_workers SET state = '{state}', stopped_at = now() WHERE worker_id = {}",
            ended.id()
        ))
        .await;
        let rescuer = db.worker(1).await;
        let again = take(&rescuer);
        assert_eq!((again.claim.step, again.claim.attempt), (lost.claim.step, 2));
        succeed(&rescuer, &again, "1");
        db.wait_for(task, TaskState::Complete).await;
        drop(ended);
        stop(rescuer, vec![]).await;
    }
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_commit_was_not_answered_is_found_and_executed() {
    let db = Database::migrated().await;
    db.template(&single(&json!({ "queue": "later" }))).await;
    let worker = db.worker_with(json!({ "queues": ["none"] })).await;
    let task = db.submit("single", 1).await[0];
    // What the lost answer would have told: the claim is in the database and the worker knows nothing of it.
    db.run(&format!(
        "BEGIN; \
         DELETE FROM tasker_ready_steps; \
         UPDATE tasker_tasks SET state = 'in_progress', started_at = now(); \
         INSERT INTO tasker_task_transitions (task_id, from_state, to_state, event) \
         VALUES ({task}, 'pending', 'in_progress', 'started'); \
         UPDATE tasker_workflow_steps SET state = 'in_progress', attempts = 1, worker_id = {worker}, claimed_at = now(); \
         INSERT INTO tasker_workflow_step_transitions (workflow_step_id, from_state, to_state, event, attempt, worker_id) \
         VALUES ({step}, 'enqueued', 'in_progress', 'claimed', 1, {worker}); \
         INSERT INTO tasker_claim_batches (worker_id, workflow_step_ids) VALUES ({worker}, ARRAY[{step}]); \
         COMMIT",
        worker = worker.id(),
        step = task.step(0)
    ))
    .await;
    let found = take(&worker);
    assert_eq!((found.claim.step, found.claim.attempt), (task.step(0), 1));
    succeed(&worker, &found, "1");
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_step_of_all_queues_comes_first() {
    let db = Database::migrated().await;
    let named = |name: &str, queue: &str| json!({ "name": name, "step_templates": [{ "name": "only", "handler_class": "A", "queue": queue }] });
    db.template(&named("old", "zz")).await;
    db.template(&named("new", "aa")).await;
    let old = db.submit("old", 1).await[0];
    db.submit("new", 50).await;
    let worker = db.worker(1).await;
    assert_eq!(take(&worker).claim.step, old.step(0));
    worker.stop(Duration::ZERO).await.unwrap();
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_tasks_leave_nothing_and_hold_up_nobody() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    db.submit("diamond", 20).await;
    db.run("DELETE FROM tasker_tasks").await;
    let left = "SELECT (SELECT count(*) FROM tasker_workflow_steps) + (SELECT count(*) FROM tasker_ready_steps) \
                + (SELECT count(*) FROM tasker_workflow_step_edges)";
    assert_eq!(db.count(left).await, 0);
    let task = db.submit("diamond", 1).await[0];
    let worker = db.worker(2).await;
    let hands = hands(&worker, 2);
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, hands).await;
    db.run("DELETE FROM tasker_tasks").await;
    let history = "SELECT (SELECT count(*) FROM tasker_attempts) + (SELECT count(*) FROM tasker_task_transitions) \
                   + (SELECT count(*) FROM tasker_workflow_step_transitions)";
    assert_eq!(db.count(history).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_end_of_a_deleted_task_takes_its_batch_along() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let rare =
        json!({ "concurrency": 2, "heartbeat_interval_ms": 600_000, "dead_after_ms": 1_200_000 });
    let worker = db.worker_with(rare).await;
    let kept = db.submit("single", 1).await[0];
    let held = take(&worker);
    for _ in 0..2 {
        let deleted = db.submit("single", 1).await[0];
        let step = take(&worker);
        db.run(&format!("DELETE FROM tasker_tasks WHERE task_id = {deleted}")).await;
        succeed(&worker, &step, "1");
    }
    // The end of the second found the batch of the first over; a worker that does not rest beats rarely here.
    db.wait_for_count("SELECT count(*) FROM tasker_claim_batches", 2).await;
    succeed(&worker, &held, "1");
    db.wait_for(kept, TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_dropped_ends_and_others_take_its_claims() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let task = db.submit("single", 1).await[0];
    let dropped = db.worker_with(json!({ "concurrency": 1, "dead_after_ms": 300 })).await;
    take(&dropped);
    drop(dropped);
    let rescuer = db.worker(1).await;
    let again = take(&rescuer);
    assert_eq!(again.claim.attempt, 2);
    succeed(&rescuer, &again, "1");
    db.wait_for(task, TaskState::Complete).await;
    stop(rescuer, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_leaves_successors_of_other_queues_to_others() {
    let db = Database::migrated().await;
    let template = json!({ "name": "mixed", "step_templates": [
        { "name": "mail", "handler_class": "A", "queue": "mail" },
        { "name": "print", "handler_class": "A", "queue": "print", "depends_on_steps": ["mail"] },
    ] });
    db.template(&template).await;
    let task = db.submit("mixed", 1).await[0];
    let mail = db.worker_with(json!({ "concurrency": 2, "queues": ["mail"] })).await;
    succeed(&mail, &take(&mail), "1");
    db.wait_for_count("SELECT count(*) FROM tasker_ready_steps WHERE queue = 'print'", 1).await;
    let print = db.worker_with(json!({ "queues": ["print"] })).await;
    let taken = take(&print);
    assert_eq!((taken.claim.step, taken.parents.as_deref()), (task.step(1), Some(r#"{"mail":1}"#)));
    succeed(&print, &taken, "2");
    db.wait_for(task, TaskState::Complete).await;
    stop(mail, vec![]).await;
    stop(print, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_learns_of_another_definition_of_a_version_without_tasks() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let worker = db.worker(1).await;
    let first = db.submit("single", 1).await[0];
    succeed(&worker, &take(&worker), "1");
    db.wait_for(first, TaskState::Complete).await;
    db.run("DELETE FROM tasker_tasks").await;
    let two = json!({ "name": "single", "step_templates": [
        { "name": "only", "handler_class": "A" },
        { "name": "next", "handler_class": "A", "depends_on_steps": ["only"] },
    ] });
    db.template(&two).await;
    let task = db.submit("single", 1).await[0];
    for step in 0..2 {
        let taken = take(&worker);
        assert_eq!(taken.claim.step, task.step(step));
        succeed(&worker, &taken, "1");
    }
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn burying_a_worker_keeps_the_batch_of_a_claim_that_came_late() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let worker = db.worker(2).await;
    let task = db.submit("single", 1).await[0];
    let taken = take(&worker);
    let end_worker = include_str!("../../src/store/sql/end_worker.sql");
    let end = end_worker.replace("$1", &worker.id().to_string()).replace("$2", "'dead'");
    db.run(&end).await;
    assert_eq!(db.count("SELECT count(*) FROM tasker_claim_batches").await, 1);
    let again = take(&worker);
    assert_eq!((again.claim.step, again.claim.attempt), (task.step(0), taken.claim.attempt + 1));
    succeed(&worker, &again, "1");
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, vec![]).await;
    db.assert_sound().await;
}
