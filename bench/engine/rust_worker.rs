//! The worker process of `bin/bench --handler rust`: handlers in Rust that do nothing but to compute for some
//! time, on the crate's public [`Worker`].
//!
//! One JSON document a line. It reads its order, says that it is ready, reads one more line to begin,
//! says when it has begun and then how many attempts are recorded, until its standard input ends; then
//! it says what was executed.

use std::error::Error;
use std::io::{BufRead, BufReader, stdin};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use tasker_core::{Batch, Interrupt, Worker, WorkerOptions};

/// Steps that a thread takes at once.
const BATCH: usize = 32;
/// The longest wait for steps in one call.
const WAIT: Duration = Duration::from_millis(250);
/// What attempts that run may take when the worker is told to stop.
const LAST: Duration = Duration::from_secs(10);

/// What to do, from the process that measures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    url: String,
    concurrency: u32,
    /// What each handler returns, JSON text.
    results: String,
    /// CPU time of each handler, in microseconds.
    work_us: i64,
    /// Whether the step of each execution is noted, or the executions counted only.
    noted: bool,
    /// Whether the start of each handler is noted.
    timed: bool,
    /// Milliseconds between two looks at how many attempts are recorded.
    tick_ms: u64,
    /// Seconds that tasks are kept after their end; as long as by default when there is none.
    retention_s: Option<u64>,
    /// The queues to serve; all of them when there is none.
    queues: Option<Vec<String>>,
}

/// What one thread executed.
#[derive(Default)]
struct Executed {
    count: u64,
    /// The step of each execution, where those are noted.
    steps: Vec<i64>,
    /// Step and nanoseconds of the monotonic clock, for each start.
    starts: Vec<(i64, i64)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut lines = BufReader::new(stdin()).lines();
    let order: Order = serde_json::from_str(&lines.next().ok_or("no order was given")??)?;
    let mut options =
        json!({ "url": order.url, "concurrency": order.concurrency, "queues": order.queues });
    if let Some(seconds) = order.retention_s {
        options["retention_ms"] = (seconds * 1_000).into();
    }
    let options = WorkerOptions::from_json(&options.to_string())?;
    let runtime = tokio::runtime::Runtime::new()?;
    say(&json!({ "ready": true }));
    let Some(_begin) = lines.next() else { return Ok(()) };

    let worker = Arc::new(runtime.block_on(Worker::start(options))?);
    let order = Arc::new(order);
    say(&json!({ "begun": true }));
    let hands = hire(&worker, &order);
    let tick = Duration::from_millis(order.tick_ms);
    let ended_early = tell_progress(&worker, tick, lines, &hands);
    let stopped = runtime.block_on(worker.stop(LAST))?;
    let executed: Vec<_> = hands.into_iter().filter_map(|hand| hand.join().ok()).collect();
    if ended_early {
        return Err("the worker ended before it was told to".into());
    }
    let count: u64 = executed.iter().map(|executed| executed.count).sum();
    let steps: Vec<_> = executed.iter().flat_map(|executed| &executed.steps).collect();
    let starts: Vec<_> = executed.iter().flat_map(|executed| &executed.starts).collect();
    say(
        &json!({ "executions": count, "steps": steps, "starts": starts, "in_order": stopped.in_order }),
    );
    Ok(())
}

fn say(message: &Value) {
    println!("{message}");
}

fn hire(worker: &Arc<Worker>, order: &Arc<Order>) -> Vec<JoinHandle<Executed>> {
    let hire_one = |_| {
        let (worker, order) = (Arc::clone(worker), Arc::clone(order));
        std::thread::spawn(move || execute_all(&worker, &order))
    };
    (0..order.concurrency).map(hire_one).collect()
}

fn execute_all(worker: &Worker, order: &Order) -> Executed {
    let interrupt = Interrupt::of_this_thread();
    let mut executed = Executed::default();
    while let Batch::Steps(steps) = worker.next_batch(BATCH, WAIT, &interrupt) {
        for step in steps {
            let (started, claim) = (Instant::now(), step.claim);
            if order.timed {
                executed.starts.push((claim.step.0, clock_ns(libc::CLOCK_MONOTONIC)));
            }
            if order.noted {
                executed.steps.push(claim.step.0);
            }
            executed.count += 1;
            work(order.work_us);
            let report =
                worker.succeed(claim.step, claim.attempt, started.elapsed(), &order.results);
            if let Err(error) = report {
                eprintln!("step {}: {error}", claim.step);
            }
        }
    }
    executed
}

/// Until standard input ends. True when the threads ended before.
fn tell_progress(
    worker: &Worker,
    tick: Duration,
    lines: impl Iterator + Send + 'static,
    hands: &[JoinHandle<Executed>],
) -> bool {
    let (open, ended) = channel::<()>();
    std::thread::spawn(move || {
        lines.for_each(drop);
        drop(open);
    });
    let mut told = 0;
    while ended.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
        if hands.iter().any(JoinHandle::is_finished) {
            return true;
        }
        let completed = worker.stats().completed;
        if completed != told {
            say(&json!({ "completed": completed }));
            told = completed;
        }
    }
    false
}

/// Takes so much CPU time.
fn work(us: i64) {
    if us > 0 {
        let till = clock_ns(libc::CLOCK_THREAD_CPUTIME_ID) + us * 1_000;
        while clock_ns(libc::CLOCK_THREAD_CPUTIME_ID) < till {}
    }
}

/// A clock of the system as Ruby's `Process.clock_gettime` reads it, which `Instant` does not show.
fn clock_ns(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives through the call.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
