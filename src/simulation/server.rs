//! The simulated server: what is committed, who holds which row, and how messages travel.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use fastrand::Rng;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::plan::Weather;
use super::tables::{Tables, Written};
use super::watch::Watch;
use crate::decision::Timestamp;
use crate::identity::Identity;
use crate::ids::{ClaimBatchId, FollowUpId, StepId, TaskId, WorkerId};
use crate::process::Process;
use crate::store::{Call, StoreError};

/// How long a transaction may be silent: `idle_in_transaction_session_timeout` of workers.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// Connections of a process, besides that of the heart: as many as a worker's pool has.
const CONNECTIONS: usize = 3;

/// How long a process waits for one of them.
const POOL_PATIENCE: Duration = Duration::from_secs(3);

/// Between two looks of a transaction that waits at whether the other one is silent.
const LOOK: Duration = Duration::from_secs(1);

/// A row that a transaction can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    Task(TaskId),
    Step(StepId),
    Ready(StepId),
    Batch(ClaimBatchId),
    Worker(WorkerId),
    Identity(Identity),
    Deadline(TaskId),
    StepDeadline(StepId),
    FollowUp(FollowUpId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TxId(u64);

/// What a statement comes to.
pub(super) enum Progress<T> {
    Done(T),
    /// Somebody else holds the row.
    Waits(Row),
}

/// Takes the value of a [`Progress`], or waits.
macro_rules! held {
    ($progress:expr) => {
        match $progress {
            Progress::Done(value) => value,
            Progress::Waits(row) => return Progress::Waits(row),
        }
    };
}
pub(super) use held;

/// A machine with a process.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) number: usize,
    /// Its sessions have the settings of a worker's.
    is_worker: bool,
    /// Connections that its process may have besides that of the heart.
    pool: Arc<Semaphore>,
    pub(super) process: Arc<Process>,
    state: Mutex<HostState>,
}

#[derive(Debug)]
struct HostState {
    /// Counts how often its connections were lost.
    cuts: u64,
    /// Until when the process may be late through no fault of its own.
    disturbed: Instant,
}

impl Host {
    pub(super) fn new(number: usize, is_worker: bool) -> Self {
        let now = Instant::now();
        let state = HostState { cuts: 0, disturbed: now };
        let pool = Arc::new(Semaphore::new(CONNECTIONS));
        Self { number, is_worker, pool, process: Arc::default(), state: Mutex::new(state) }
    }

    /// Waits for a connection of the pool.
    async fn connection(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let permit = timeout(POOL_PATIENCE, Arc::clone(&self.pool).acquire_owned()).await;
        permit.ok().and_then(Result::ok).ok_or_else(|| unavailable("the pool timed out"))
    }

    fn lock(&self) -> MutexGuard<'_, HostState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its process stands still for so long.
    pub(super) fn pause(&self, lasts: Duration) {
        let until = Instant::now() + lasts;
        self.process.stand_still(until);
        let mut state = self.lock();
        state.disturbed = state.disturbed.max(until);
    }

    pub(super) fn cut(&self) {
        let mut state = self.lock();
        state.cuts += 1;
        state.disturbed = state.disturbed.max(Instant::now());
    }

    pub(super) fn disturb(&self) {
        let mut state = self.lock();
        state.disturbed = state.disturbed.max(Instant::now());
    }

    /// How long nothing has kept the process from what it is to do.
    pub(super) fn undisturbed(&self) -> Duration {
        self.lock().disturbed.elapsed()
    }
}

#[derive(Debug)]
pub(super) struct Server {
    state: Mutex<State>,
    released: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) tables: Tables,
    pub(super) watch: Watch,
    pub(super) rng: Rng,
    pub(super) weather: Weather,
    held: BTreeMap<Row, TxId>,
    waits: BTreeMap<TxId, Row>,
    /// Since when nothing has come from the client of a transaction.
    idle: BTreeMap<TxId, Instant>,
    next: u64,
    /// Transitions that were numbered.
    numbered: u64,
    began: Instant,
    /// What the clock showed when the run began, and by how much it was put forward or back since.
    clock: Timestamp,
    told: Timestamp,
    down_until: Instant,
    /// Counts how often all connections were lost.
    restarts: u64,
    listeners: Vec<Listener>,
    /// What happened, where somebody wants to read it.
    pub(super) story: Option<Vec<String>>,
}

/// A session that is called.
#[derive(Debug)]
struct Listener {
    calls: mpsc::UnboundedSender<Call>,
    /// A call that comes after the next one.
    overtaken: Option<Call>,
}

impl Listener {
    /// Whether it still listens.
    fn call(&mut self, call: Call, comes_later: bool) -> bool {
        if comes_later && self.overtaken.is_none() {
            self.overtaken = Some(call);
            return !self.calls.is_closed();
        }
        let calls = std::iter::once(call).chain(self.overtaken.take());
        calls.map(|call| self.calls.send(call)).all(|sent| sent.is_ok())
    }
}

/// A connection, as long as neither side has lost it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    pub(super) host: Arc<Host>,
    cuts: u64,
    restarts: u64,
    /// Its place in the pool; the connection of a heart has none.
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

impl State {
    /// The server's clock: never the same twice, unless it is put back.
    pub(super) fn now(&mut self) -> Timestamp {
        let now = self.clock + self.began.elapsed();
        self.told = now.max(self.told + Duration::from_micros(1));
        self.told
    }

    /// Puts the clock forward, or back.
    pub(super) fn put_clock(&mut self, by: TimeDelta) {
        self.clock += by;
        self.told = self.clock + self.began.elapsed();
        self.watch.clock_was_put(&self.tables);
    }

    /// Happens so many times in 1,000.
    pub(super) fn chance(&mut self, of_1000: u32) -> bool {
        self.rng.u32(..1_000) < of_1000
    }

    fn is_down(&self) -> bool {
        self.restarts > 0 && self.down_until > Instant::now()
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        let at = self.began.elapsed();
        if let Some(story) = &mut self.story {
            story.push(format!("{:>9.3} {}", at.as_secs_f64(), what()));
        }
    }

    fn tell_of(&mut self, written: &Written) {
        if self.story.is_some() {
            for line in self.watch.news(written) {
                self.tell(|| line);
            }
        }
    }

    pub(super) fn next_id(&mut self) -> i64 {
        self.next += 1;
        i64::try_from(self.next).unwrap_or(i64::MAX)
    }

    /// The number of the next transition.
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    /// Holds the row for the transaction, if nobody else does.
    pub(super) fn hold(&mut self, tx: TxId, row: Row) -> Progress<()> {
        if !self.is_free(tx, row) {
            return Progress::Waits(row);
        }
        self.held.insert(row, tx);
        Progress::Done(())
    }

    /// Whether nobody else holds the row. Who has held it for long without a word holds it no more.
    pub(super) fn is_free(&mut self, tx: TxId, row: Row) -> bool {
        let Some(holder) = self.held.get(&row).copied().filter(|holder| *holder != tx) else {
            return true;
        };
        let silent = self.is_silent(holder);
        if silent {
            self.held.retain(|_, other| *other != holder);
        }
        silent
    }

    /// Nothing has come from the transaction's client for so long that the server has ended it.
    fn is_silent(&self, tx: TxId) -> bool {
        self.idle.get(&tx).is_some_and(|since| since.elapsed() >= IDLE_LIMIT)
    }

    /// Whether those that wait for one another wait for this transaction.
    fn is_deadlocked(&self, tx: TxId) -> bool {
        let mut at = tx;
        for _ in 0..=self.waits.len() {
            let Some(holder) = self.waits.get(&at).and_then(|row| self.held.get(row)) else {
                return false;
            };
            if *holder == tx {
                return true;
            }
            at = *holder;
        }
        false
    }

    fn call(&mut self, call: &Call) {
        let mut listeners = std::mem::take(&mut self.listeners);
        listeners.retain_mut(|listener| {
            let copies = if self.chance(self.weather.lost_calls) {
                0
            } else {
                1 + usize::from(self.chance(self.weather.double_calls))
            };
            (0..copies).all(|_| {
                let comes_later = self.chance(self.weather.overtaken_calls);
                listener.call(call.clone(), comes_later)
            }) && !listener.calls.is_closed()
        });
        self.listeners = listeners;
    }

    pub(super) fn call_all(&mut self) {
        for queue in super::plan::QUEUES {
            self.call(&Call::Steps(queue.to_owned()));
        }
    }
}

impl Server {
    pub(super) fn new(
        tables: Tables,
        watch: Watch,
        seed: u64,
        weather: Weather,
        told: bool,
    ) -> Self {
        let now = Instant::now();
        let state = State {
            tables,
            watch,
            rng: Rng::with_seed(seed),
            weather,
            held: BTreeMap::new(),
            waits: BTreeMap::new(),
            idle: BTreeMap::new(),
            next: 0,
            numbered: 0,
            began: now,
            clock: Timestamp::UNIX_EPOCH + Duration::from_secs(1_000_000),
            told: Timestamp::UNIX_EPOCH,
            down_until: now,
            restarts: 0,
            listeners: Vec::new(),
            story: told.then(Vec::new),
        };
        Self { state: Mutex::new(state), released: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all connections, and takes none for so long.
    pub(super) fn restart(&self, lasts: Duration) {
        let mut state = self.lock();
        state.tell(|| format!("the database is away for {lasts:?}"));
        state.restarts += 1;
        state.down_until = state.down_until.max(Instant::now() + lasts);
        state.held.clear();
        state.waits.clear();
        state.idle.clear();
        state.listeners.clear();
        drop(state);
        self.released.notify_waiters();
    }

    fn release(&self, tx: TxId) {
        let mut state = self.lock();
        state.held.retain(|_, holder| *holder != tx);
        state.waits.remove(&tx);
        state.idle.remove(&tx);
        drop(state);
        self.released.notify_waiters();
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.into())
}

impl Connection {
    fn new(server: &Arc<Server>, host: &Arc<Host>) -> Self {
        Self {
            _place: None,
            server: Arc::clone(server),
            host: Arc::clone(host),
            cuts: host.lock().cuts,
            restarts: server.lock().restarts,
        }
    }

    /// Takes an open connection of the pool.
    pub(super) async fn take(server: &Arc<Server>, host: &Arc<Host>) -> Result<Self, StoreError> {
        let _place = Some(Arc::new(host.connection().await?));
        Ok(Self { _place, ..Self::new(server, host) })
    }

    /// Opens a connection, or finds that there is no server.
    pub(super) async fn open(server: &Arc<Server>, host: &Arc<Host>) -> Result<Self, StoreError> {
        let connection = Self::new(server, host);
        connection.travel().await?;
        Ok(connection)
    }

    /// The way of a message.
    pub(super) async fn travel(&self) -> Result<(), StoreError> {
        let ms = {
            let mut state = self.server.lock();
            let most = state.weather.latency_ms;
            state.rng.u64(..=most)
        };
        sleep(Duration::from_millis(ms)).await;
        if self.is_lost() { Err(unavailable("the connection was lost")) } else { Ok(()) }
    }

    /// The answer to what has taken place is not lost.
    fn is_answered(&self) -> Result<(), StoreError> {
        let mut state = self.server.lock();
        let lost = state.weather.lost_answers;
        if state.chance(lost) {
            self.host.disturb();
            state.tell(|| "an answer is lost".to_owned());
            return Err(unavailable("the connection was lost before the answer came"));
        }
        Ok(())
    }

    pub(super) fn is_lost(&self) -> bool {
        let state = self.server.lock();
        let lost = self.restarts != state.restarts
            || self.cuts != self.host.lock().cuts
            || state.is_down();
        if lost {
            self.host.disturb();
        }
        lost
    }

    /// Waits for the rows that a statement needs, up to a limit.
    pub(super) async fn run<T>(
        &self,
        tx: TxId,
        limit: Duration,
        mut statement: impl FnMut(&mut State) -> Progress<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let until = Instant::now() + limit;
        loop {
            let mut released = std::pin::pin!(self.server.released.notified());
            {
                let mut state = self.server.lock();
                match statement(&mut state) {
                    Progress::Done(result) => {
                        state.waits.remove(&tx);
                        state.idle.remove(&tx);
                        return result;
                    }
                    Progress::Waits(row) => {
                        state.waits.insert(tx, row);
                        // If nobody is there when its patience ends, it holds no row any longer.
                        state.idle.entry(tx).or_insert_with(Instant::now);
                        if state.is_deadlocked(tx) {
                            return Err(StoreError::Serialization { code: "40P01".to_owned() });
                        }
                    }
                }
                released.as_mut().enable();
            }
            let look = until.min(Instant::now() + LOOK);
            if timeout_at(look, released).await.is_err() && look == until {
                return Err(StoreError::Timeout { code: "55P03".to_owned() });
            }
            if self.is_lost() {
                return Err(unavailable("the connection was lost"));
            }
            if Instant::now() >= until {
                return Err(StoreError::Timeout { code: "55P03".to_owned() });
            }
        }
    }

    pub(super) fn listen(&self) -> mpsc::UnboundedReceiver<Call> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let listener = Listener { calls: sender, overtaken: None };
        self.server.lock().listeners.push(listener);
        receiver
    }

    /// A statement that is a transaction of its own.
    pub(super) async fn ask<T>(
        &self,
        limit: Duration,
        statement: impl FnMut(&mut State, &mut Work) -> Progress<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut work = Work::begin(self.clone());
        let answer = work.statement(limit, statement).await?;
        work.commit_here();
        self.is_answered()?;
        self.travel().await?;
        Ok(answer)
    }
}

/// A transaction as the server sees it.
#[derive(Debug)]
pub(super) struct Work {
    connection: Connection,
    pub(super) id: TxId,
    pub(super) written: Written,
    over: bool,
}

impl Work {
    pub(super) fn begin(connection: Connection) -> Self {
        let id = TxId(connection.server.lock().next_id().unsigned_abs());
        Self { connection, id, written: Written::default(), over: false }
    }

    /// Sends a statement, and waits until it has been executed.
    pub(super) async fn statement<T>(
        &mut self,
        limit: Duration,
        mut statement: impl FnMut(&mut State, &mut Self) -> Progress<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let connection = self.connection.clone();
        connection.travel().await?;
        self.arrives()?;
        {
            let mut state = connection.server.lock();
            let bad = state.weather.statements;
            if state.chance(bad) {
                let codes = ["40001", "40P01", "57014"];
                let code = codes[state.rng.usize(..codes.len())].to_owned();
                state.tell(|| format!("a statement fails: {code}"));
                connection.host.disturb();
                return Err(match code.as_str() {
                    "57014" => StoreError::Timeout { code },
                    _ => StoreError::Serialization { code },
                });
            }
        }
        let (id, server) = (self.id, Arc::clone(&connection.server));
        let answer = connection.run(id, limit, |state| statement(state, self)).await;
        if self.connection.host.is_worker {
            server.lock().idle.insert(id, Instant::now());
        }
        answer
    }

    /// Something comes from the client, if that is not too late.
    fn arrives(&self) -> Result<(), StoreError> {
        let mut state = self.connection.server.lock();
        if state.is_silent(self.id) {
            return Err(unavailable("the transaction was idle for too long"));
        }
        state.idle.remove(&self.id);
        Ok(())
    }

    /// Commits, on the server's side.
    pub(super) fn commit_here(mut self) {
        let server = Arc::clone(&self.connection.server);
        {
            let mut state = server.lock();
            let written = std::mem::take(&mut self.written);
            let State { watch, tables, .. } = &mut *state;
            watch.before(tables, &written, &self.connection.host);
            tables.commit(&written);
            watch.after(tables, &written);
            state.tell_of(&written);
            for call in &written.calls {
                state.call(call);
            }
        }
        self.over = true;
        server.release(self.id);
    }

    /// Sends the wish to commit, which is on its way even if the process ends or stands still from now on.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let connection = self.connection.clone();
        let answered = tokio::spawn(self.commit_there()).await;
        answered.unwrap_or_else(|_| Err(unavailable("the server failed")))?;
        connection.is_answered()?;
        connection.travel().await
    }

    async fn commit_there(self) -> Result<(), StoreError> {
        self.connection.travel().await?;
        self.arrives()?;
        {
            let mut state = self.connection.server.lock();
            let bad = state.weather.failed_commits;
            if state.chance(bad) {
                state.tell(|| "a commit fails".to_owned());
                return Err(unavailable("the server ended the connection before it committed"));
            }
        }
        self.commit_here();
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.over {
            self.connection.server.release(self.id);
        }
    }
}
