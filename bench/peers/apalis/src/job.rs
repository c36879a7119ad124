//! A step as users of apalis write them: does nothing, then pushes what comes after it. Where that waits for several
//! jobs, a counter in the database says which of them is the last.

use std::sync::{Arc, Mutex, PoisonError};

use apalis::prelude::{BoxDynError, Data, TaskSink};
use apalis_postgres::PostgresStorage;
use serde::{Deserialize, Serialize};

use crate::graph::Graph;

/// The table of the counters.
pub const TABLE: &str = "CREATE TABLE parents_done (
    task integer, step text, done integer NOT NULL, PRIMARY KEY (task, step)
)";

/// Counts one more parent of each step.
const COUNT: &str = "INSERT INTO parents_done SELECT $1, unnest($2::text[]), 1
    ON CONFLICT (task, step) DO UPDATE SET done = parents_done.done + 1 RETURNING step, done";

/// A step of a task.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Job {
    pub task: u32,
    pub step: String,
}

/// A job that was executed: task, step, and begin and end in nanoseconds of the monotonic clock.
type Executed = (u32, String, i64, i64);

/// What all jobs of this process share.
pub struct Work {
    graph: Graph,
    storage: PostgresStorage<Job>,
    /// Held for as long as it takes to add or copy.
    log: Mutex<Vec<Executed>>,
}

impl Work {
    pub fn new(graph: Graph, storage: PostgresStorage<Job>) -> Self {
        Self { graph, storage, log: Mutex::default() }
    }

    pub fn storage(&self) -> PostgresStorage<Job> {
        self.storage.clone()
    }

    pub fn executed(&self) -> usize {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn log(&self) -> Vec<Executed> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, executed: Executed) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(executed);
    }

    /// Children whose last parent this job was.
    async fn ready(&self, job: &Job) -> Result<Vec<Job>, BoxDynError> {
        let (joins, others): (Vec<_>, Vec<_>) =
            self.graph.children(&job.step).iter().partition(|(_, parents)| *parents > 1);
        let mut steps: Vec<_> = others.into_iter().map(|(step, _)| step.clone()).collect();
        if !joins.is_empty() {
            steps.extend(self.last_of(job.task, &joins).await?);
        }
        Ok(steps.into_iter().map(|step| Job { task: job.task, step }).collect())
    }

    async fn last_of(
        &self,
        task: u32,
        joins: &[&(String, usize)],
    ) -> Result<Vec<String>, BoxDynError> {
        let names: Vec<_> = joins.iter().map(|(step, _)| step.clone()).collect();
        let counts: Vec<(String, i32)> = sqlx::query_as(COUNT)
            .bind(i32::try_from(task)?)
            .bind(names)
            .fetch_all(self.storage.pool())
            .await?;
        let is_last = |(step, done): &(String, i32)| {
            joins
                .iter()
                .any(|(name, parents)| name == step && usize::try_from(*done) == Ok(*parents))
        };
        Ok(counts.into_iter().filter(is_last).map(|(step, _)| step).collect())
    }
}

/// What the worker calls.
pub async fn execute(job: Job, work: Data<Arc<Work>>) -> Result<(), BoxDynError> {
    let began = monotonic_ns();
    let ended = monotonic_ns();
    let mut next = work.ready(&job).await?;
    match next.len() {
        0 => {}
        1 => work.storage().push(next.remove(0)).await?,
        _ => work.storage().push_bulk(next).await?,
    }
    work.add((job.task, job.step, began, ended));
    Ok(())
}

/// The clock that Ruby's `Process::CLOCK_MONOTONIC` is, which `Instant` does not show.
fn monotonic_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
