//! A process of `bin/bench --peer apalis`: jobs that do nothing on apalis with its Postgres storage.
//! `apalis_peer create` makes the tables and pushes the first jobs of all tasks, `apalis_peer work`
//! executes jobs.
//!
//! One JSON document a line. It reads its order, says that it is ready and reads one more line to begin.
//! The first says how many jobs it pushed, in how many seconds. The second says when it has begun and
//! then how many jobs it executed, until its standard input ends; then it says which.

mod graph;
mod job;

use std::io::{BufRead, BufReader, stdin};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use apalis::prelude::{
    BackendExt, BoxDynError, ParallelizeExt, TaskSink, WorkerBuilder, WorkerBuilderExt,
};
use apalis_postgres::{Config, PgPool, PostgresStorage};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use tokio::runtime::Runtime;

use graph::{Graph, Parents};
use job::{Job, Work, execute};

/// Jobs that are pushed with one statement.
const JOBS_AT_ONCE: usize = 1_000;
/// Jobs that a worker fetches at once, as in apalis' example.
const FETCHED_AT_ONCE: usize = 100;
/// A worker looks for jobs so often where no notification wakes it.
const POLL: Duration = Duration::from_millis(100);
/// Connections beyond those of the jobs: fetching, recording ends, heartbeat, notifications.
const OWN_CONNECTIONS: u32 = 4;

/// What to do, from the process that measures.
#[derive(Deserialize)]
struct Order {
    url: String,
    concurrency: u32,
    /// Milliseconds between two looks at how many jobs were executed.
    tick_ms: u64,
    tasks: u32,
    parents: Parents,
}

fn main() -> Result<(), BoxDynError> {
    let mut lines = BufReader::new(stdin()).lines();
    let order: Order = serde_json::from_str(&lines.next().ok_or("no order was given")??)?;
    let runtime = Runtime::new()?;
    match std::env::args().nth(1).as_deref() {
        Some("create") => create(&runtime, order, lines),
        Some("work") => work(&runtime, order, lines),
        _ => Err("usage: apalis_peer create|work".into()),
    }
}

fn say(message: &Value) {
    println!("{message}");
}

fn create(runtime: &Runtime, order: Order, mut lines: impl Iterator) -> Result<(), BoxDynError> {
    let pool = runtime.block_on(set_up(&order.url))?;
    let graph = Graph::new(order.parents);
    let jobs: Vec<Job> = (0..order.tasks).flat_map(|task| graph.first(task)).collect();
    say(&json!({ "ready": true }));
    let Some(_begin) = lines.next() else { return Ok(()) };

    let (count, began) = (jobs.len(), Instant::now());
    runtime.block_on(push(&mut storage(&pool), jobs))?;
    say(&json!({ "executions": count, "seconds": began.elapsed().as_secs_f64() }));
    Ok(())
}

async fn set_up(url: &str) -> Result<PgPool, BoxDynError> {
    let pool = PgPool::connect(url).await?;
    PostgresStorage::setup(&pool).await?;
    sqlx::query(job::TABLE).execute(&pool).await?;
    Ok(pool)
}

async fn push(storage: &mut PostgresStorage<Job>, jobs: Vec<Job>) -> Result<(), BoxDynError> {
    for some in jobs.chunks(JOBS_AT_ONCE) {
        storage.push_bulk(some.to_vec()).await?;
    }
    Ok(())
}

fn storage(pool: &PgPool) -> PostgresStorage<Job> {
    let config = Config::default().queue("bench").batch_size(FETCHED_AT_ONCE).lock_tasks(false);
    PostgresStorage::new(pool).with_config(config)
}

fn work(
    runtime: &Runtime,
    order: Order,
    mut lines: impl Iterator + Send + 'static,
) -> Result<(), BoxDynError> {
    say(&json!({ "ready": true }));
    let Some(_begin) = lines.next() else { return Ok(()) };

    let connections = order.concurrency + OWN_CONNECTIONS;
    let pool = PgPoolOptions::new().max_connections(connections).connect(&order.url);
    let pool = runtime.block_on(pool)?;
    let work = Arc::new(Work::new(Graph::new(order.parents), storage(&pool)));
    say(&json!({ "begun": true }));
    let told = Arc::clone(&work);
    std::thread::spawn(move || tell(&told, Duration::from_millis(order.tick_ms), lines));
    runtime.block_on(run(work, order.concurrency as usize))?;
    Err("the worker ended before it was told to".into())
}

async fn run(work: Arc<Work>, concurrency: usize) -> Result<(), BoxDynError> {
    let backend = work.storage().with_pubsub().poll_with_interval(POLL);
    let worker = WorkerBuilder::new(format!("bench-{}", std::process::id()))
        .backend(backend)
        .concurrency(concurrency)
        .parallelize(tokio::spawn)
        .data(work)
        .build(execute);
    Ok(worker.run().await?)
}

/// Until standard input ends. The process has nothing to do then that it would have to end in order.
fn tell(work: &Work, tick: Duration, lines: impl Iterator + Send + 'static) {
    let (open, closed) = channel::<()>();
    std::thread::spawn(move || {
        lines.for_each(drop);
        drop(open);
    });
    let mut told = 0;
    while closed.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
        let completed = work.executed();
        if completed != told {
            say(&json!({ "completed": completed }));
            told = completed;
        }
    }
    let jobs = work.log();
    say(&json!({ "executions": jobs.len(), "starts": jobs, "in_order": true }));
    std::process::exit(0)
}
