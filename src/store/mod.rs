//! Postgres: set-based statements, each in its own file under `sql/`, one transaction a batch.
//! Knows rows and states, decides nothing.

mod artifacts;
mod audit;
mod borrowed;
mod budgets;
mod claims;
mod database;
mod deadlines;
mod failures;
mod feeds;
mod follow_ups;
mod forks;
mod growth;
mod history;
mod identities;
mod migrate;
mod notify;
mod pool;
mod postgres;
pub(crate) mod prune;
mod recorded;
mod sessions;
mod sqlstate;
mod steps;
mod tasks;
pub(crate) mod templates;
mod waits;
mod warm_up;
mod warnings;
mod workers;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::PgPoolOptions;
use tracing::debug;

use crate::encryption::{Content, Keyring, Text};

pub(crate) use artifacts::{ArtifactRow, ArtifactSizeRow, NewArtifact};
pub use audit::{Audit, Check, NeededHandler};
pub(crate) use borrowed::BorrowedTx;
pub use borrowed::{BorrowedConnection, Brought, Parameter, Refused, Statement};
pub(crate) use claims::{ListedClaim, Picked, Place};
pub(crate) use database::{Database, EndRecorder, Line, ResultsByStep, TaskWriter, Transaction};
pub(crate) use deadlines::StepTime;
pub(crate) use failures::{FailedItems, FailureQuery, FailureRow, StepStateRow};
pub(crate) use feeds::{FeedEventRow, Holder, Numbers, Progress};
pub(crate) use follow_ups::{ChildTaskRow, FollowUp, KinRow, NewChild, OriginalRow, ParentRow};
pub(crate) use forks::{EndedStepRow, ForkSource, NewFork};
pub(crate) use growth::{
    AddedName, AddedStepRow, AddedToRun, GrowthRow, ItemRow, Link, MapRow, UnbegunItem,
    WaitingItemRow,
};
pub(crate) use history::{AttemptRow, StepTransitionRow, TaskTransitionRow, WorkerRow};
pub use migrate::{Migrated, SCHEMA_VERSION};
pub(crate) use notify::Call;
use notify::Heartline;
use pool::Pool;
pub(crate) use pool::Session;
pub(crate) use recorded::RecordedEnd;
use sessions::Way;
pub use sqlstate::StoreError;
#[cfg(feature = "simulation")]
pub(crate) use steps::QueueOf;
pub(crate) use steps::{ChildRow, StepListRow, StepRow};
#[cfg(feature = "simulation")]
pub(crate) use tasks::TaskContextRow;
pub(crate) use tasks::{NewTasks, TaskFilter, TaskListRow, TaskRow};
pub(crate) use templates::{LiveTasksRow, LoadedTemplate, StepToRunRow, TemplateListRow};
pub(crate) use waits::{Checkpoint, NewSignal, NewWait, SentSignalRow, StepProgressRow, WaitRow};
pub(crate) use warnings::OLD_TRANSACTION;
pub use warnings::Warning;
pub(crate) use workers::{Beat, NewWorker, Pulse};

/// How long a connection may take to say farewell.
const FAREWELL: Duration = Duration::from_secs(5);

/// Between two looks at whether a connection is left: closing a pool that is closed takes no time.
const BETWEEN_FAREWELLS: Duration = Duration::from_millis(1);

/// A transaction on the engine's schema, and the keys for what it writes and reads.
#[derive(Debug)]
pub(crate) struct Tx {
    sql: Session,
    keys: Keyring,
}

impl Deref for Tx {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.sql
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.sql
    }
}

/// How the statements of a pool are planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planning {
    /// As the server is configured, and without compiling: reads, submits. Transactions that decide are planned as those of a worker.
    Server,
    /// Plans are made once and keep to indexes: the short statements of a worker, whose arrays
    /// Postgres would otherwise plan anew each time, or scan whole tables for
    /// (`docs/decisions/0004-plans.md`).
    Fixed,
}

impl Planning {
    /// How long a connection may be idle and is then used without being tested first, which is one more way
    /// to the server and back. A worker tries again what fails; but it would wait long for a connection of
    /// which no news came that it is dead.
    fn trusted(self) -> Duration {
        match self {
            Self::Server => Duration::ZERO,
            Self::Fixed => Duration::from_secs(1),
        }
    }

    /// What a session is asked for.
    fn settings(self) -> Vec<Setting> {
        match self {
            Self::Server => vec![ABANDONED, UNCOMPILED],
            Self::Fixed => {
                let limits = [("lock_timeout", "5s"), ("statement_timeout", "60s"), ABANDONED];
                [PLANS, &limits].concat()
            }
        }
    }

    /// What a transaction that decides is asked for besides.
    fn of_decisions(self) -> Option<Vec<Setting>> {
        match self {
            Self::Server => Some([PLANS, &[("statement_timeout", LONGEST_STATEMENT)]].concat()),
            Self::Fixed => None,
        }
    }
}

/// A setting of the server's: its name and its value.
type Setting = (&'static str, &'static str);

/// One plan for a statement, which keeps to indexes.
const PLANS: &[Setting] = &[
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("random_page_cost", "1"),
    UNCOMPILED,
];

/// Plans are not compiled. What is read by ids and ranges is thought to be many times what it is, and to compile a plan takes
/// longer than to read a page by it.
const UNCOMPILED: Setting = ("jit", "off");

/// No client waits for longer: what one has given up does not hold a task.
const LONGEST_STATEMENT: &str = "120s";

/// How long a client waits for another one's transaction: a submit for one of the same, which it learns of when it records
/// the identity, and who replaces a template for those that make tasks from it.
const LONGEST_WAIT: &str = "5s";

/// Who stands still or is cut off in a transaction holds its locks no longer.
const ABANDONED: (&str, &str) = ("idle_in_transaction_session_timeout", "5s");

/// How long connections that come back to the pool are closed after one was given up: the one that does
/// not answer is among the first, and the pool would wait for it for ever.
const DISTRUST: Duration = Duration::from_secs(1);

/// When a connection was given up, at last. What connections that are older know of the database is in doubt.
#[derive(Clone, Debug, Default)]
struct Distrust(Arc<Mutex<Option<Instant>>>);

impl Distrust {
    fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection that comes back to the pool now is closed.
    fn closes_returned(&self) -> bool {
        self.since().is_some_and(|since| since.elapsed() < DISTRUST)
    }

    /// Whether a connection that lay idle for so long is closed: the way that one of them lost may have been
    /// the way of all, and each would be waited for.
    fn closes_idle(&self, idle: Duration) -> bool {
        self.since().is_some_and(|since| since.elapsed() <= idle)
    }
}

/// A pool of connections to one database.
#[derive(Clone)]
pub(crate) struct Store {
    pool: Pool,
    way: Way,
    /// What a transaction that decides asks for first.
    decides: Option<Arc<str>>,
    distrust: Distrust,
    keys: Keyring,
}

/// The way and the pool hold the password.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.pool.size();
        f.debug_struct("Store").field("connections", &connections).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects at once, so that a database that cannot be reached is noticed here.
    pub(crate) async fn connect(
        url: &str,
        connections: u32,
        timeout: Duration,
        planning: Planning,
        keys: Keyring,
    ) -> Result<Self, StoreError> {
        let way = Way::find(url, timeout, planning).await?;
        let distrust = Distrust::default();
        let (of_idle, of_returned) = (distrust.clone(), distrust.clone());
        let options = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, about| {
                let closed = of_idle.closes_idle(about.idle_for);
                Box::pin(async move {
                    if closed {
                        return Err(sqlx::Error::PoolClosed);
                    }
                    if about.idle_for >= planning.trusted() {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_release(move |_, _| {
                let closed = of_returned.closes_returned();
                Box::pin(
                    async move { if closed { Err(sqlx::Error::PoolClosed) } else { Ok(true) } },
                )
            });
        let decides = planning.of_decisions().map(|asked| sessions::set(&asked).into());
        Ok(Self { pool: Pool::new(&way, options), way, decides, distrust, keys })
    }

    /// A transaction whose statements are planned as those of the pool: one that decides nothing.
    pub(crate) async fn begin_plain(&self) -> Result<Tx, StoreError> {
        Ok(Tx { sql: self.pool.begin().await?, keys: self.keys.clone() })
    }

    /// The text of a value that was read.
    pub(crate) fn open(&self, content: Content, text: String) -> Text {
        self.keys.open(content, text)
    }

    /// The transaction in which a connection of the application's is.
    pub(crate) fn within(&self, connection: BorrowedConnection) -> BorrowedTx {
        BorrowedTx::new(connection, self.keys.clone())
    }

    pub(crate) async fn schema_version(&self) -> Result<u32, StoreError> {
        migrate::version(&self.pool).await
    }

    pub(crate) async fn migrate(&self, target: u32) -> Result<Migrated, StoreError> {
        migrate::migrate(self.pool.begin().await?, target).await
    }

    /// Closes every connection. One that comes back to the pool while the pool waits for it lies among
    /// the idle ones only after these were closed, so they are closed until none is left. One that does not
    /// answer is left after [`FAREWELL`].
    pub(crate) async fn close(&self) {
        let closed = async {
            self.pool.close().await;
            while self.pool.size() > 0 {
                self.pool.close().await;
                tokio::time::sleep(BETWEEN_FAREWELLS).await;
            }
        };
        if tokio::time::timeout(FAREWELL, closed).await.is_err() {
            debug!("a connection that does not answer is left");
        }
    }
}

/// Postgres' `int` from a count that the schema keeps small.
fn int(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A count from Postgres' `int`, which the schema keeps from being negative.
fn count(int: i32) -> u32 {
    u32::try_from(int).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_session_compiles_plans() {
        for planning in [Planning::Server, Planning::Fixed] {
            assert!(planning.settings().contains(&("jit", "off")), "{planning:?}");
        }
    }

    #[test]
    fn connections_that_are_older_than_one_that_was_given_up_are_closed() {
        let distrust = Distrust::default();
        assert!(!distrust.closes_idle(Duration::MAX) && !distrust.closes_returned());
        distrust.begin();
        assert!(distrust.closes_idle(Duration::from_secs(3_600)) && distrust.closes_returned());
        std::thread::sleep(Duration::from_millis(2));
        assert!(!distrust.closes_idle(Duration::from_millis(1)));
    }
}
