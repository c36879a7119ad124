//! The statements of a worker keep to look-ups, also when their plans were made on empty tables.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{
    Database, diamond, fail, fan, hands, hands_that, request, session, single, stop, succeed,
};
use serde_json::{Value, json};
use tasker_core::{
    Delivery, FailureFilter, SignalRequest, Steering, StepId, Submission, TaskState, Worker,
    WorkflowCall,
};
use tokio::runtime::Handle;

/// Rows that statements read from indexes and tables. Left out are searches for steps to claim, which pass over the
/// rows of old claims, and templates, of which each worker reads every step once.
const ROWS_READ: &str = "SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes \
     WHERE indexrelname <> 'tasker_ready_steps_order' \
     AND relname NOT LIKE 'tasker\\_named%')::bigint \
     + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname NOT LIKE 'tasker\\_named%')::bigint";

/// Sessions of workers and clients; what one has read is counted when it has ended.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity \
     WHERE datname = current_database() AND application_name = 'tasker_core'";

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
async fn a_workers_sessions_know_their_statements_before_there_is_work() {
    let db = Database::migrated().await;
    let now = db.count("SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint").await;
    let worker = db.worker(1).await;
    // Three for rounds, and the heart's.
    let begun = format!("{SESSIONS} AND backend_start > to_timestamp({now} / 1e6)");
    db.wait_for_count(&begun, 4).await;
    stop(worker, vec![]).await;
}

/// Rows that statements read while a worker completes these tasks, in so many attempts.
async fn rows_read(
    db: &Database,
    tasks: &[(&str, Value)],
    attempts: u64,
    execute: impl Fn(&Worker, &Delivery) + Clone + Send + 'static,
) -> i64 {
    let read = rows_read_whatever_comes_of_it(db, tasks, attempts, execute).await;
    let open = "SELECT count(*) FROM tasker_tasks WHERE state <> 'complete'";
    assert_eq!(db.count(open).await, 0);
    read
}

async fn rows_read_whatever_comes_of_it(
    db: &Database,
    tasks: &[(&str, Value)],
    attempts: u64,
    execute: impl Fn(&Worker, &Delivery) + Clone + Send + 'static,
) -> i64 {
    let (sessions, before) = (db.count(SESSIONS).await, db.count(ROWS_READ).await);
    let worker = db.worker(4).await;
    let hands = hands_that(&worker, 4, execute);
    let client = db.another_client().await;
    for (name, context) in tasks {
        let json = json!({ "name": name, "contexts": [context] }).to_string();
        client.submit(&Submission::from_json(&json).unwrap()).await.unwrap();
    }
    let began = Instant::now();
    while worker.stats().completed < attempts {
        assert!(began.elapsed() < Duration::from_secs(120), "{:?} of {attempts}", worker.stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    db.wait_for_count("SELECT count(*) FROM tasker_tasks WHERE finished_at IS NULL", 0).await;
    stop(worker, hands).await;
    client.close().await;
    db.wait_for_count(&format!("SELECT greatest(({SESSIONS}) - {sessions}, 0)"), 0).await;
    db.count(ROWS_READ).await - before
}

fn tasks_of(size: u64, all: u64) -> usize {
    usize::try_from(all / size).unwrap()
}

/// What one large task makes workers read is no more for each attempt than what small ones do.
#[track_caller]
fn assert_flat(read: &[i64], attempts: u64, most: i64) {
    assert!(read[0] < attempts.cast_signed() * most, "{read:?} rows read for {attempts} attempts");
    assert!(read[0] < read[1] * 3 / 2, "{read:?} rows read");
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
        let list: Vec<_> = (0..size).collect();
        let tasks = vec![("mapped", json!({ "list": list })); tasks_of(size, items)];
        // Those of the items, and of the step behind them.
        let ends = items + items / size;
        read.push(rows_read(&db, &tasks, ends, |worker, step| succeed(worker, step, "{}")).await);
    }
    assert_flat(&read, items, MOST_ROWS_A_STEP);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_given_up_costs_no_more_however_many_there_are() {
    // The first one fails.
    assert_cheap_after_the_first_item(&json!({}), |worker, step| fail(worker, step, "permanent"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_a_budget_refuses_costs_no_more_however_many_there_are() {
    let budget = json!({ "budget": { "attempts": 1 } });
    assert_cheap_after_the_first_item(&budget, |worker, step| succeed(worker, step, "{}")).await;
}

/// The items that are not executed after the first one, which is, cost the same in large tasks and small ones.
async fn assert_cheap_after_the_first_item(
    keys: &Value,
    execute: impl Fn(&Worker, &Delivery) + Clone + Send + 'static,
) {
    let db = Database::migrated().await;
    let mut template = json!({ "name": "mapped", "step_templates": [
        { "name": "all", "handler_class": "A", "map": { "over": "context.list", "max_parallel": 1 } },
    ]});
    template.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    db.template(&template).await;
    db.run("VACUUM ANALYZE").await;
    let items: u64 = 6_000;
    let mut read = Vec::new();
    for size in [items, items / 60] {
        let list: Vec<_> = (0..size).collect();
        let tasks = vec![("mapped", json!({ "list": list })); tasks_of(size, items)];
        let attempts = items / size;
        read.push(rows_read_whatever_comes_of_it(&db, &tasks, attempts, execute.clone()).await);
    }
    assert_flat(&read, items, MOST_ROWS_A_STEP);
    db.assert_sound().await;
}

/// The first step adds as many as its context says, all before the last one; with `next`, each of them adds one more.
fn split(worker: &Worker, delivery: &Delivery) {
    let context: Value = serde_json::from_str(&delivery.context).unwrap();
    let (size, next) = (context["size"].as_u64().unwrap(), context["next"] == true);
    let inputs = delivery.added.as_ref().map(|added| added.inputs.parse::<u64>().unwrap());
    let new = match (delivery.claim.step.index(), inputs) {
        (0, _) => 0..if next { 1 } else { size },
        (_, Some(number)) if next && number + 1 < size => number + 1..number + 2,
        (_, _) => return succeed(worker, delivery, "{}"),
    };
    let step = |number: u64| json!({ "name": format!("p{number}"), "like": "piece", "inputs": number, "before": ["last"] });
    let steps = json!(new.map(step).collect::<Vec<_>>()).to_string();
    let claim = delivery.claim;
    worker.grow(claim.step, claim.attempt, Duration::from_millis(1), "{}", &steps).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_added_costs_no_more_however_many_there_are() {
    let db = Database::migrated().await;
    db.template(&json!({ "name": "split", "step_templates": [
        { "name": "first", "handler_class": "A" },
        { "name": "last", "handler_class": "A", "depends_on_step": "first" },
        { "name": "piece", "handler_class": "A", "dynamic": true },
    ]}))
    .await;
    db.run("VACUUM ANALYZE").await;
    let mut read = Vec::new();
    for size in [4_000, 100] {
        let tasks = vec![("split", json!({ "size": size })); tasks_of(size, 4_000)];
        read.push(rows_read(&db, &tasks, 4_000 + 2 * (4_000 / size), split).await);
    }
    assert_flat(&read, 4_000, MOST_ROWS_A_STEP);
    // One after the other, each with a round of its own.
    let mut read = Vec::new();
    for size in [400, 100] {
        let tasks = [("split", json!({ "size": size, "next": true }))];
        read.push(rows_read(&db, &tasks, size + 2, split).await * (400 / size.cast_signed()));
    }
    assert_flat(&read, 400, MOST_ROWS_A_STEP * 3);
    db.assert_sound().await;
}

/// Runs another workflow in each step of a task; does what that has to do.
fn run(handle: &Handle, worker: &Worker, delivery: &Delivery) {
    if delivery.context.contains("inner") {
        return succeed(worker, delivery, "{}");
    }
    let claim = delivery.claim;
    let call = WorkflowCall::from_json(r#"{"context": {"inner": true}}"#).unwrap();
    let run = handle.block_on(worker.run_workflow(claim.step, claim.attempt, &call)).unwrap();
    match run.wait {
        None => succeed(worker, delivery, "{}"),
        Some(wait) => {
            let wait = json!(wait).to_string();
            let execution = Duration::from_millis(1);
            worker.wait(claim.step, claim.attempt, execution, &wait).unwrap();
        }
    }
}

/// Three attempts, the making of a task, its signal to the step that runs it, and what is looked up in between.
const MOST_ROWS_A_WORKFLOW: i64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_runs_a_workflow_costs_no_more_however_many_there_are() {
    let db = Database::migrated().await;
    db.template(
        &json!({ "name": "inner", "step_templates": [{ "name": "only", "handler_class": "A" }] }),
    )
    .await;
    let outer = |name: &str, runs: u64| {
        let step = |number: u64| json!({ "name": format!("r{number}"), "workflow": "inner" });
        json!({ "name": name, "step_templates": (0..runs).map(step).collect::<Vec<_>>() })
    };
    let runs = 600;
    db.template(&outer("many", runs)).await;
    db.template(&outer("few", 6)).await;
    db.run("VACUUM ANALYZE").await;
    let mut read = Vec::new();
    for (name, size) in [("many", runs), ("few", 6)] {
        let handle = Handle::current();
        let tasks = vec![(name, json!({})); tasks_of(size, runs)];
        let execute = move |worker: &Worker, delivery: &Delivery| run(&handle, worker, delivery);
        read.push(rows_read(&db, &tasks, 3 * runs, execute).await);
    }
    assert_flat(&read, runs, MOST_ROWS_A_WORKFLOW);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_a_task_with_a_budget_costs_no_more_however_many_there_are() {
    let db = Database::migrated().await;
    let thrifty = |name: &str, steps: u64| {
        let step = |number: u64| json!({ "name": format!("s{number}"), "handler_class": "A", "reserve_cost": 1 });
        let steps: Vec<_> = (0..steps).map(step).collect();
        json!({ "name": name, "budget": { "attempts": 5_000, "cost": 5_000 }, "step_templates": steps })
    };
    let steps = 2_000;
    db.template(&thrifty("many", steps)).await;
    db.template(&thrifty("few", 50)).await;
    db.run("VACUUM ANALYZE").await;
    let mut read = Vec::new();
    for (name, size) in [("many", steps), ("few", 50)] {
        let tasks = vec![(name, json!({})); tasks_of(size, steps)];
        let spend = |worker: &Worker, delivery: &Delivery| {
            worker.spend(delivery.claim.step, delivery.claim.attempt, 0.5).unwrap();
            succeed(worker, delivery, "{}");
        };
        read.push(rows_read(&db, &tasks, steps, spend).await);
    }
    assert_flat(&read, steps, MOST_ROWS_A_STEP);
    db.assert_sound().await;
}

/// Templates of so many steps each, all with these keys and beside each other.
async fn wide_templates(db: &Database, sizes: &[(&str, u64)], keys: &Value) {
    for (name, steps) in sizes {
        let step = |number: u64| {
            let mut step = json!({ "name": format!("s{number}"), "handler_class": "A" });
            step.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            step
        };
        let steps: Vec<_> = (0..*steps).map(step).collect();
        db.template(&json!({ "name": name, "step_templates": steps })).await;
    }
    db.run("VACUUM ANALYZE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_has_a_time_for_all_its_attempts_costs_no_more_however_many_there_are() {
    let db = Database::migrated().await;
    let sizes = [("many", 2_000), ("few", 50)];
    wide_templates(&db, &sizes, &json!({ "total_timeout_seconds": 3_600 })).await;
    let mut read = Vec::new();
    for (name, size) in sizes {
        let tasks = vec![(name, json!({})); tasks_of(size, 2_000)];
        read.push(rows_read(&db, &tasks, 2_000, |worker, step| succeed(worker, step, "{}")).await);
    }
    assert_flat(&read, 2_000, MOST_ROWS_A_STEP);
    assert_eq!(db.count("SELECT count(*) FROM tasker_step_deadlines").await, 0);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_costs_no_more_however_many_steps_there_are() {
    let db = Database::migrated().await;
    let sizes = [("many", 600), ("few", 6)];
    wide_templates(&db, &sizes, &json!({})).await;
    let mut read = Vec::new();
    for (name, size) in sizes {
        let handle = Handle::current();
        let tasks = vec![(name, json!({})); tasks_of(size, 600)];
        let execute = move |worker: &Worker, delivery: &Delivery| {
            let claim = delivery.claim;
            for cursor in 1..=3 {
                let checkpoint = json!({ "cursor": cursor, "moved": true }).to_string();
                let written = worker.checkpoint(claim.step, claim.attempt, &checkpoint);
                assert!(handle.block_on(written).unwrap());
            }
            succeed(worker, delivery, "{}");
        };
        read.push(rows_read(&db, &tasks, 600, execute).await);
    }
    // The step is read with each of them, and what is kept of it.
    assert_flat(&read, 600, 3 * MOST_ROWS_A_STEP);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_decides_reads_no_rows_of_other_tasks() {
    let db = Database::migrated().await;
    wide_templates(&db, &[("wide", 400)], &json!({})).await;
    let task = db.submit("wide", 30).await[7];
    db.run("VACUUM ANALYZE").await;
    let (sessions, before) = (db.count(SESSIONS).await, db.count(ROWS_READ).await);
    let client = db.another_client().await;
    let cancelled = client.steer(task, &Steering::Cancel, &request(), None).await.unwrap();
    assert_eq!(cancelled.state, TaskState::Cancelled);
    client.close().await;
    db.wait_for_count(&format!("SELECT greatest(({SESSIONS}) - {sessions}, 0)"), 0).await;
    let read = db.count(ROWS_READ).await - before;
    assert!(read < 400 * MOST_ROWS_A_STEP, "{read} rows read to cancel 400 steps of 12,000");
    db.assert_sound().await;
}

/// The signal that a step waits for.
fn own_signal(step: StepId) -> String {
    format!("go-{}", step.index())
}

/// Sends each of the steps its signal. The sessions of the sender end with that, so that all that they read is counted.
async fn send_own(db: &Database, steps: &[StepId]) {
    let sender = db.another_client().await;
    for step in steps {
        let json = json!({ "name": own_signal(*step), "payload": 7 }).to_string();
        let request = SignalRequest::from_json(&json).unwrap();
        sender.signal(step.task(), &request, None).await.unwrap();
    }
    sender.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_costs_no_more_however_many_steps_wait_for_others() {
    let db = Arc::new(Database::migrated().await);
    let sizes = [("many", 240), ("few", 6)];
    wide_templates(&db, &sizes, &json!({})).await;
    let mut read = Vec::new();
    for (name, size) in sizes {
        let tasks = vec![(name, json!({})); tasks_of(size, 240)];
        let (handle, sent_by) = (Handle::current(), Arc::clone(&db));
        let waiting = Arc::new(Mutex::new(Vec::new()));
        // When all wait, the signals are sent.
        let execute = move |worker: &Worker, delivery: &Delivery| {
            let (step, attempt) = (delivery.claim.step, delivery.claim.attempt);
            let signal = own_signal(step);
            if attempt == 1 {
                let wait = json!({ "signal": signal }).to_string();
                worker.wait(step, attempt, Duration::from_millis(1), &wait).unwrap();
                let mut waiting = waiting.lock().unwrap();
                waiting.push(step);
                if waiting.len() == 240 {
                    handle.block_on(send_own(&sent_by, &waiting));
                }
            } else {
                let look = worker.look_at_wait(step, Some(&signal), None);
                assert!(handle.block_on(look).unwrap().signal.is_some());
                succeed(worker, delivery, "{}");
            }
        };
        read.push(rows_read(&db, &tasks, 2 * 240, execute).await);
    }
    // Two attempts, the signal, and what is looked up of it.
    assert_flat(&read, 240, 5 * MOST_ROWS_A_STEP);
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_undone_costs_no_more_however_many_there_are() {
    let db = Database::migrated().await;
    let sizes = [("many", 600), ("few", 6)];
    for (name, steps) in sizes {
        let step = |number: u64| json!({ "name": format!("s{number}"), "handler_class": "A", "compensate_with": "U" });
        let mut all: Vec<_> = (0..steps).map(step).collect();
        let above: Vec<_> = (0..steps).map(|number| format!("s{number}")).collect();
        all.push(json!({ "name": "last", "handler_class": "A", "depends_on_steps": above }));
        db.template(&json!({ "name": name, "step_templates": all })).await;
    }
    db.run("VACUUM ANALYZE").await;
    let mut read = Vec::new();
    for (name, size) in sizes {
        let tasks = vec![(name, json!({})); tasks_of(size, 600)];
        let attempts = 2 * 600 + 600 / size;
        let execute = move |worker: &Worker, delivery: &Delivery| {
            let is_last = u64::from(delivery.claim.step.index()) == size;
            match &delivery.undoes {
                None if is_last => fail(worker, delivery, "permanent"),
                Some(_) | None => succeed(worker, delivery, "{}"),
            }
        };
        read.push(rows_read_whatever_comes_of_it(&db, &tasks, attempts, execute).await);
    }
    let undone = "SELECT count(*) FROM tasker_compensations c \
         JOIN tasker_tasks t ON t.task_id = c.task_id WHERE t.state = 'complete'";
    assert_eq!(db.count(undone).await, 1 + 100);
    // Done and undone.
    assert_flat(&read, 600, 3 * MOST_ROWS_A_STEP);
    db.assert_sound().await;
}

/// Each is claimed, postponed, offered what is free, mostly twice, and claimed again.
const MOST_ROWS_A_POSTPONED_STEP: i64 = 4 * MOST_ROWS_A_STEP;

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_free_of_a_budget_is_found_without_reading_all_that_wait_for_it() {
    let db = Database::migrated().await;
    let step = |number: u64| json!({ "name": format!("s{number}"), "handler_class": "A", "reserve_cost": 1 });
    let steps = 1_000;
    let all: Vec<_> = (0..steps).map(step).collect();
    db.template(&json!({ "name": "tight", "budget": { "cost": 3 }, "step_templates": all })).await;
    db.run("VACUUM ANALYZE").await;
    // The others are postponed while three run.
    let end = |worker: &Worker, delivery: &Delivery| {
        thread::sleep(Duration::from_millis(5));
        succeed(worker, delivery, "{}");
    };
    let read = rows_read(&db, &[("tight", json!({}))], steps, end).await;
    assert!(
        read < steps.cast_signed() * MOST_ROWS_A_POSTPONED_STEP,
        "{read} rows read for {steps} steps"
    );
    let used = "SELECT count(*) FROM pg_stat_user_indexes \
         WHERE indexrelname = 'tasker_ready_steps_postponed' AND idx_scan > 0";
    assert_eq!(db.count(used).await, 1);
    db.assert_sound().await;
}

/// Rows of steps and their transitions that were read, once what a client did is counted.
const STEP_ROWS_READ: &str = "SELECT (SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables \
     WHERE relname IN ('tasker_workflow_steps', 'tasker_workflow_step_transitions'))::bigint";

/// Has all steps and tasks end, with these columns.
async fn ended_by_hand(db: &Database, steps: &str, tasks: &str) {
    for statement in [
        &format!("UPDATE tasker_workflow_steps SET {steps}"),
        &format!(
            "UPDATE tasker_tasks SET started_at = now(), finished_at = now(), runnable_steps = 0, {tasks}"
        ),
        "INSERT INTO tasker_workflow_step_transitions \
         (workflow_step_id, from_state, to_state, event, attempt, worker_id, claimed_at, outcome) \
         SELECT workflow_step_id, 'in_progress', state, 'failed_permanently', 1, 1, now(), 'permanent' \
         FROM tasker_workflow_steps",
    ] {
        // What the session has read is counted at once.
        db.run(&format!("{statement}; SELECT pg_stat_force_next_flush()")).await;
    }
    db.run("VACUUM ANALYZE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_found_without_reading_what_did_not() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    db.submit("single", 20_000).await;
    ended_by_hand(
        &db,
        "attempts = 1, state = CASE task_id % 200 WHEN 0 THEN 'error' ELSE 'complete' END::tasker_step_state",
        "open_failures = CASE task_id % 200 WHEN 0 THEN 1 ELSE 0 END, \
         state = CASE task_id % 200 WHEN 0 THEN 'error' ELSE 'complete' END::tasker_task_state",
    )
    .await;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_what_failed_is_found_without_reading_all_of_it() {
    let db = Database::migrated().await;
    db.template(&fan(5_000)).await;
    let task = db.submit("fan", 1).await[0];
    let steps = "attempts = 1, open_parents = 0, state = 'error'";
    ended_by_hand(&db, steps, "open_failures = 5000, state = 'error'").await;
    let before = db.count(STEP_ROWS_READ).await;
    let client = db.another_client().await;
    for filter in [json!({ "limit": 20 }), json!({ "limit": 20, "task_id": task })] {
        let filter = FailureFilter::from_json(&filter.to_string()).unwrap();
        let page = client.failures(&filter).await.unwrap();
        let steps: Vec<_> = page.failures.iter().map(|one| one.step_id).collect();
        assert_eq!(steps, (4_982..=5_001).rev().map(|index| task.step(index)).collect::<Vec<_>>());
    }
    let sessions = db.count(SESSIONS).await;
    client.close().await;
    db.wait_for_count(&format!("SELECT (({SESSIONS}) < {sessions})::int::bigint"), 1).await;
    let read = db.count(STEP_ROWS_READ).await - before;
    assert!(read <= 2 * 2 * 20, "{read} rows read for 40 failures");
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
