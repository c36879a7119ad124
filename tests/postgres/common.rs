//! A database of its own for each test, and handlers in Rust.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool, Postgres, Transaction};
use tasker_core::{
    Batch, Client, ClientOptions, Delivery, Error, Interrupt, Request, Steering, Submission,
    TaskId, TaskState, TaskStatus, Worker, WorkerOptions,
};

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A fresh database; dropped by the server that the test run stops.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) pool: PgPool,
    pub(crate) client: Client,
}

impl Database {
    pub(crate) async fn empty() -> Self {
        let server = std::env::var("TASKER_TEST_DATABASE_URL")
            .expect("TASKER_TEST_DATABASE_URL names a server for tests; bin/test rust starts one");
        let options: PgConnectOptions = server.parse().unwrap();
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("rust_{}_{number}", std::process::id());
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(&format!("CREATE DATABASE {name}")).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let options = options.database(&name);
        let url = options.to_url_lossy().to_string();
        let pool = PgPoolOptions::new().max_connections(3).connect_with(options).await.unwrap();
        let json = serde_json::json!({ "url": url }).to_string();
        let client = Client::connect(&ClientOptions::from_json(&json).unwrap()).await.unwrap();
        Self { url, pool, client }
    }

    /// A client as another process would have it.
    pub(crate) async fn another_client(&self) -> Client {
        self.client_with(serde_json::json!({})).await
    }

    pub(crate) async fn client_with(&self, mut options: serde_json::Value) -> Client {
        if options.get("url").is_none() {
            options["url"] = self.url.clone().into();
        }
        Client::connect(&ClientOptions::from_json(&options.to_string()).unwrap()).await.unwrap()
    }

    pub(crate) async fn migrated() -> Self {
        let database = Self::empty().await;
        database.client.migrate(None).await.unwrap();
        database
    }

    /// Starts a worker with heartbeats quick enough for tests.
    pub(crate) async fn worker(&self, concurrency: u32) -> Arc<Worker> {
        self.worker_with(serde_json::json!({ "concurrency": concurrency })).await
    }

    pub(crate) async fn worker_with(&self, mut options: serde_json::Value) -> Arc<Worker> {
        let defaults =
            json!({ "url": self.url, "heartbeat_interval_ms": 50, "dead_after_ms": 60_000 });
        for (key, value) in defaults.as_object().unwrap() {
            if options.get(key).is_none() {
                options[key] = value.clone();
            }
        }
        let options = WorkerOptions::from_json(&options.to_string()).unwrap();
        Arc::new(Worker::start(options).await.unwrap())
    }

    pub(crate) async fn template(&self, json: &serde_json::Value) {
        self.client.register_template(&json.to_string()).await.unwrap();
    }

    pub(crate) async fn submit(&self, name: &str, tasks: usize) -> Vec<TaskId> {
        let contexts = vec![serde_json::json!({ "order": 7 }); tasks];
        let json = serde_json::json!({ "name": name, "contexts": contexts }).to_string();
        self.client.submit(&Submission::from_json(&json).unwrap()).await.unwrap().task_ids
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn run(&self, sql: &str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    /// Waits until the task is in the state.
    pub(crate) async fn wait_for(&self, task: TaskId, state: TaskState) -> TaskStatus {
        let mut last = None;
        for _ in until(Duration::from_secs(30)) {
            let status = self.client.status(task).await.unwrap();
            if status.state == state {
                return status;
            }
            last = Some(status);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("task {task} did not get {state}: {last:?}");
    }

    /// Waits until the query counts `wanted`.
    pub(crate) async fn wait_for_count(&self, sql: &str, wanted: i64) {
        let mut last = 0;
        for _ in until(Duration::from_secs(30)) {
            last = self.count(sql).await;
            if last == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{sql} counts {last}, not {wanted}");
    }

    pub(crate) async fn steer(
        &self,
        task: TaskId,
        steering: Steering,
    ) -> Result<TaskStatus, Error> {
        self.client.steer(task, &steering, &request(), None).await
    }

    /// Every counter and state must agree with a recount.
    pub(crate) async fn assert_sound(&self) {
        let audit = self.client.doctor().await.unwrap();
        assert!(audit.ok, "{:#?}", audit.checks.iter().filter(|c| !c.ok).collect::<Vec<_>>());
    }
}

/// Who asks for things in tests, and why.
pub(crate) fn request() -> Request {
    Request { actor: "mara".into(), reason: Some("order withdrawn".into()), seen: None }
}

fn until(limit: Duration) -> impl Iterator<Item = ()> {
    let deadline = Instant::now() + limit;
    std::iter::from_fn(move || (Instant::now() < deadline).then_some(()))
}

/// Waits until the worker has noted that so many of its claims were given back, which it does after the commit.
pub(crate) async fn wait_for_given_back(worker: &Worker, wanted: u64) {
    for _ in until(Duration::from_secs(30)) {
        if worker.stats().given_back == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not {wanted}: {:?}", worker.stats());
}

/// What an operator does in a transaction that stays open.
pub(crate) async fn session(db: &Database, statement: &str) -> Transaction<'static, Postgres> {
    let mut session = db.pool.begin().await.unwrap();
    sqlx::query(statement).execute(&mut *session).await.unwrap();
    session
}

/// Holds the rows of tasks, as an operator may, until the transaction ends.
pub(crate) async fn hold(db: &Database, tasks: &[TaskId]) -> Transaction<'static, Postgres> {
    let tasks: Vec<_> = tasks.iter().map(TaskId::to_string).collect();
    let statement = "SELECT FROM tasker_tasks WHERE task_id IN";
    session(db, &format!("{statement} ({}) FOR UPDATE", tasks.join(", "))).await
}

/// Takes the next step, waiting for it.
pub(crate) fn take(worker: &Worker) -> Delivery {
    let interrupt = Interrupt::of_this_thread();
    match worker.next_batch(1, Duration::from_secs(30), &interrupt) {
        Batch::Steps(mut steps) => steps.pop().expect("a step within 30 s"),
        Batch::Closed => panic!("the worker is closed"),
    }
}

pub(crate) fn succeed(worker: &Worker, delivery: &Delivery, results: &str) {
    let claim = delivery.claim;
    worker.succeed(claim.step, claim.attempt, Duration::from_millis(1), results).unwrap();
}

pub(crate) fn fail(worker: &Worker, delivery: &Delivery, kind: &str) {
    let failure =
        serde_json::json!({ "kind": kind, "class": "CardDeclined", "message": "no funds" });
    let claim = delivery.claim;
    worker.fail(claim.step, claim.attempt, Duration::from_millis(1), &failure.to_string()).unwrap();
}

/// Threads that execute every step at once, until the worker is drained.
pub(crate) fn hands(
    worker: &Arc<Worker>,
    threads: usize,
) -> Vec<std::thread::JoinHandle<Vec<Delivery>>> {
    hands_that(worker, threads, |worker, step| succeed(worker, step, "{}"))
}

/// Threads that execute every step so, until the worker is drained.
pub(crate) fn hands_that(
    worker: &Arc<Worker>,
    threads: usize,
    execute: impl Fn(&Worker, &Delivery) + Clone + Send + 'static,
) -> Vec<std::thread::JoinHandle<Vec<Delivery>>> {
    let hand = || {
        let (worker, execute) = (Arc::clone(worker), execute.clone());
        std::thread::spawn(move || {
            let interrupt = Interrupt::of_this_thread();
            let mut done = Vec::new();
            while let Batch::Steps(steps) =
                worker.next_batch(10, Duration::from_secs(60), &interrupt)
            {
                for step in steps {
                    execute(&worker, &step);
                    done.push(step);
                }
            }
            done
        })
    };
    (0..threads).map(|_| hand()).collect()
}

/// Stops the worker and returns what its hands did.
pub(crate) async fn stop(
    worker: Arc<Worker>,
    hands: Vec<std::thread::JoinHandle<Vec<Delivery>>>,
) -> Vec<Delivery> {
    let stopped = worker.stop(Duration::from_secs(10)).await.unwrap();
    assert!(stopped.in_order, "{stopped:?}");
    assert_eq!(worker.stats().pending_writes, 0);
    hands.into_iter().flat_map(|hand| hand.join().unwrap()).collect()
}

pub(crate) fn diamond() -> serde_json::Value {
    serde_json::json!({ "name": "diamond", "step_templates": [
        { "name": "a", "handler_class": "A" },
        { "name": "b", "handler_class": "B", "depends_on_step": "a" },
        { "name": "c", "handler_class": "C", "depends_on_step": "a" },
        { "name": "d", "handler_class": "D", "depends_on_steps": ["b", "c"] },
    ]})
}

/// One step with these keys besides.
pub(crate) fn single(keys: &serde_json::Value) -> serde_json::Value {
    let mut step = serde_json::json!({ "name": "only", "handler_class": "A" });
    step.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    serde_json::json!({ "name": "single", "step_templates": [step] })
}

/// A root, `width` steps below it, and one that gathers them.
pub(crate) fn fan(width: usize) -> serde_json::Value {
    let middle: Vec<_> = (0..width).map(|i| format!("m{i}")).collect();
    let mut steps = vec![serde_json::json!({ "name": "root", "handler_class": "A" })];
    steps.extend(middle.iter().map(
        |name| serde_json::json!({ "name": name, "handler_class": "A", "depends_on_step": "root" }),
    ));
    steps.push(
        serde_json::json!({ "name": "sink", "handler_class": "A", "depends_on_steps": middle }),
    );
    serde_json::json!({ "name": "fan", "step_templates": steps })
}
