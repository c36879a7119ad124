//! Deletes tasks that ended long ago, in batches that hold up nobody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::arguments::{parse, refused};
use super::shared::Shared;
use crate::config::WorkerOptions;
use crate::error::Error;
use crate::ids::TaskId;
use crate::store::prune::{self, Retention, RowsOf};
use crate::store::{Database, Store, Transaction, Tx};

/// Rows deleted by one statement at most, and tasks looked at. Takes a few milliseconds.
const BATCH: i64 = 2_000;

/// Pause after a batch, in units of the time that it took: pruning takes a third of one connection at first.
const PAUSE: u32 = 2;

/// A walk that has lasted for longer does not keep up with the tasks that end, and pauses no more.
const BEHIND: Duration = Duration::from_secs(10);

/// Between two tries of a client when somebody else prunes.
const BUSY: Duration = Duration::from_millis(100);

/// Between two looks when there was nothing to delete, for each worker that is alive.
const IDLE: Duration = Duration::from_secs(60);

/// Workers are remembered for as long after their end, in seconds.
const WORKERS_S: f64 = 86_400.0;

/// What to delete.
///
/// # Examples
/// ```
/// use tasker_core::Pruning;
/// let pruning = Pruning::from_json(r#"{"older_than_s": 2592000}"#).unwrap();
/// assert_eq!(pruning.errors_older_than_s, None);
/// assert!(Pruning::from_json(r#"{"older_than_s": -1}"#).is_err());
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pruning {
    /// Complete, cancelled and resolved tasks that ended more than so many seconds ago; none when absent.
    #[serde(default)]
    pub older_than_s: Option<f64>,
    /// Tasks that ended in error more than so many seconds ago; none when absent.
    #[serde(default)]
    pub errors_older_than_s: Option<f64>,
    /// Begin with this task: where an earlier call stopped. Default: the first one.
    #[serde(default)]
    pub from: Option<TaskId>,
    /// Stop after so many milliseconds, at most a day. Default 1,000.
    #[serde(default = "one_second")]
    pub limit_ms: u64,
    /// Count only.
    #[serde(default)]
    pub dry_run: bool,
}

fn one_second() -> u64 {
    1_000
}

/// What was deleted, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Tasks.
    pub tasks: i64,
    /// Steps of these tasks.
    pub steps: i64,
    /// Rows in other tables than that of the tasks.
    pub rows: i64,
    /// Workers that ended more than a day ago.
    pub workers: i64,
    /// Where to go on; `None` when everything was looked at.
    pub next: Option<TaskId>,
}

impl Pruning {
    /// Reads what to delete from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown keys, ages that are negative or above 100 years, and limits above a day.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let pruning: Self = parse("pruning", json)?;
        for (key, age) in [
            ("older_than_s", pruning.older_than_s),
            ("errors_older_than_s", pruning.errors_older_than_s),
        ] {
            if let Some(age) = age.filter(|age| !(0.0..=MOST_S).contains(age)) {
                return Err(refused(key, &age.to_string(), &format!("0 to {MOST_S} seconds")));
            }
        }
        if pruning.limit_ms > LONGEST_MS {
            let limit = pruning.limit_ms.to_string();
            return Err(refused("limit_ms", &limit, &format!("0 to {LONGEST_MS}")));
        }
        Ok(pruning)
    }

    fn retention(&self) -> Retention {
        Retention { finished_s: self.older_than_s, failed_s: self.errors_older_than_s }
    }
}

/// The longest time that one call may take: a day.
const LONGEST_MS: u64 = 86_400_000;

/// The longest age, 100 years.
const MOST_S: f64 = 100.0 * 365.0 * 86_400.0;

/// Where a walk through all tasks is. What a walk has not finished when its process ends, the next one
/// finds again.
#[derive(Debug)]
struct Pruner {
    retention: Retention,
    /// The first task that the last walk left, where the next one begins.
    floor: Option<TaskId>,
    /// The task to look at next.
    next: TaskId,
    /// Rows of tasks that are gone.
    sweep: Option<Sweep>,
    /// The last task whose rows were deleted.
    swept: TaskId,
    pruned: Pruned,
}

/// The deletion of the rows of some tasks that are gone.
#[derive(Debug)]
struct Sweep {
    tasks: Vec<TaskId>,
    table: usize,
    /// Where the table was left.
    from: i64,
}

/// What a batch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Something; there may be more.
    Some,
    /// The walk has ended. So many workers are alive.
    Ended { alive: u32 },
    /// Somebody else prunes.
    Busy,
}

/// Prunes for as long as the worker lives, where its options say so.
pub(super) async fn prune(shared: Arc<Shared<Store>>) {
    let Some(retention) = retention(&shared.options) else { return };
    let idle = idle(retention);
    let mut pruner = Pruner::new(retention, TaskId(0));
    let mut pause = idle;
    let mut walk_began = None;
    loop {
        tokio::time::sleep(pause).await;
        let began = Instant::now();
        let walking = began - *walk_began.get_or_insert(began);
        let batch = shared.answer(pruner.batch(&shared.database)).await;
        pause = match batch.unwrap_or_else(|silence| Err(silence.into())) {
            Ok(Progress::Some) if walking > BEHIND => Duration::ZERO,
            Ok(Progress::Some) => began.elapsed() * PAUSE,
            Ok(Progress::Ended { alive }) => {
                walk_began = None;
                pruner.tell();
                idle * alive.max(1)
            }
            Ok(Progress::Busy) => idle,
            Err(error) => {
                warn!(%error, "pruning failed; it is tried again");
                idle
            }
        };
    }
}

fn retention(options: &WorkerOptions) -> Option<Retention> {
    let seconds = |ms: Option<u64>| ms.map(|ms| Duration::from_millis(ms).as_secs_f64());
    let retention = Retention {
        finished_s: seconds(options.retention_ms),
        failed_s: seconds(options.error_retention_ms),
    };
    (retention.finished_s.is_some() || retention.failed_s.is_some()).then_some(retention)
}

/// A minute, or the shortest retention where that is shorter.
fn idle(retention: Retention) -> Duration {
    let shortest = [retention.finished_s, retention.failed_s].into_iter().flatten();
    let shortest = shortest.fold(IDLE.as_secs_f64(), f64::min);
    Duration::from_secs_f64(shortest.max(1.0))
}

/// Deletes for a limited time.
pub(super) async fn prune_once(store: &Store, pruning: &Pruning) -> Result<Pruned, Error> {
    let retention = pruning.retention();
    if pruning.dry_run {
        let mut tx = store.begin().await?;
        let (tasks, steps) = prune::count(&mut tx, retention).await?;
        return Ok(Pruned { tasks, steps, ..Pruned::default() });
    }
    let until = Instant::now() + Duration::from_millis(pruning.limit_ms);
    let mut pruner = Pruner::new(retention, pruning.from.unwrap_or(TaskId(0)));
    loop {
        let began = Instant::now();
        let pause = match pruner.batch(store).await? {
            Progress::Some => began.elapsed() * PAUSE,
            Progress::Busy => BUSY,
            Progress::Ended { .. } => return Ok(pruner.pruned),
        };
        tokio::time::sleep(pause).await;
        if Instant::now() >= until {
            return Ok(Pruned { next: Some(pruner.next), ..pruner.pruned });
        }
    }
}

impl Pruner {
    fn new(retention: Retention, from: TaskId) -> Self {
        let (sweep, swept) = (None, TaskId(0));
        Self { retention, floor: None, next: from, sweep, swept, pruned: Pruned::default() }
    }

    /// One transaction.
    async fn batch(&mut self, store: &Store) -> Result<Progress, Error> {
        let mut tx = store.begin().await?;
        if !prune::begin(&mut tx).await? {
            return Ok(Progress::Busy);
        }
        let progress = match self.sweep.take() {
            Some(sweep) => self.sweep(&mut tx, sweep).await?,
            None => self.walk(&mut tx).await?,
        };
        tx.commit().await?;
        Ok(progress)
    }

    /// Deletes rows of tasks that are gone.
    async fn sweep(&mut self, tx: &mut Tx, mut sweep: Sweep) -> Result<Progress, Error> {
        let mut room = BATCH;
        while let Some(table) = RowsOf::ALL.get(sweep.table) {
            let slice = prune::rows(tx, *table, &sweep.tasks, sweep.from, room).await?;
            self.pruned.rows += slice.rows;
            room -= slice.rows;
            if room <= 0 {
                self.sweep = Some(Sweep { from: slice.last.unwrap_or(sweep.from), ..sweep });
                return Ok(Progress::Some);
            }
            (sweep.table, sweep.from) = (sweep.table + 1, 0);
        }
        prune::forget(tx, &sweep.tasks).await?;
        Ok(Progress::Some)
    }

    /// Looks for tasks that are gone and have rows, else for tasks that are old enough.
    async fn walk(&mut self, tx: &mut Tx) -> Result<Progress, Error> {
        let tasks = prune::left_over(tx, self.swept, BATCH).await?;
        if let Some(last) = tasks.last() {
            self.swept = *last;
            return self.sweep(tx, Sweep { tasks, table: 0, from: 0 }).await;
        }
        let stretch = prune::tasks(tx, self.retention, self.next, BATCH).await?;
        self.pruned.tasks += stretch.tasks;
        self.pruned.steps += stretch.steps;
        self.floor = self.floor.or(stretch.first_kept);
        self.next = stretch.last_seen.map_or(self.next, |last| TaskId(last.0 + 1));
        if stretch.tasks > 0 || !stretch.ended {
            return Ok(Progress::Some);
        }
        self.next = self.floor.take().unwrap_or(self.next);
        self.swept = TaskId(0);
        let (workers, alive) = prune::workers(tx, WORKERS_S, BATCH).await?;
        self.pruned.workers += workers;
        Ok(Progress::Ended { alive: u32::try_from(alive).unwrap_or(u32::MAX) })
    }

    fn tell(&mut self) {
        let Pruned { tasks, steps, rows, workers, .. } = std::mem::take(&mut self.pruned);
        if tasks + rows + workers > 0 {
            info!(tasks, steps, rows, workers, "pruned");
        }
    }
}
