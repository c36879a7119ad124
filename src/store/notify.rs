//! Wake-up calls between processes. They only ever shorten a wait: whoever misses one looks at the
//! next heartbeat.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};

use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::pool::Pool;
use super::sessions::Way;
use super::{StoreError, Tx};

/// The channel; its payload is the name of the queue that has new steps.
const CHANNEL: &str = "tasker_ready";

/// Between two looks for steps where nothing can be listened for: a step waits for a quarter of a second on
/// average.
pub(super) const POLL: Duration = Duration::from_millis(500);

/// A connection of its own for heartbeats, and where a worker hears of steps.
pub(crate) enum Heartline {
    /// In a session of its own.
    Listening(Listener),
    /// In sessions that are shared, which cannot listen.
    Polling(Poller),
}

impl Heartline {
    /// Connects; no statement may take longer than `patience`.
    pub(super) async fn connect(way: &Way, patience: Duration) -> Result<Self, StoreError> {
        let way = way.with("statement_timeout", &patience.as_millis().max(1).to_string());
        if way.is_shared() {
            return Ok(Self::Polling(Poller::new(&way)));
        }
        Ok(Self::Listening(Listener::connect(&way).await?))
    }

    /// The next queue with new steps; `None` when the connection is lost, and with it perhaps calls.
    /// May be dropped while it waits.
    pub(super) async fn next_call(&mut self) -> Result<Option<String>, StoreError> {
        match self {
            Self::Listening(listener) => listener.next_call().await,
            Self::Polling(poller) => poller.next_queue().await.map(Some),
        }
    }
}

/// One connection that waits for wake-up calls, and on which heartbeats are made.
pub(crate) struct Listener {
    listener: PgListener,
}

impl Listener {
    /// Connects. Where listening is refused, the connection is good for heartbeats alone.
    async fn connect(way: &Way) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(way.options());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        if let Err(error) = listener.listen(CHANNEL).await {
            debug!(%error, "listening is not possible");
        }
        Ok(Self { listener })
    }

    pub(super) fn connection(&mut self) -> &mut PgListener {
        &mut self.listener
    }

    async fn next_call(&mut self) -> Result<Option<String>, StoreError> {
        let call = self.listener.try_recv().await?;
        Ok(call.map(|call| call.payload().to_owned()))
    }
}

/// One connection that looks for steps, and on which heartbeats are made.
pub(crate) struct Poller {
    connection: Pool,
    /// Queues with steps that were seen at the last look.
    seen: Vec<String>,
    look_at: Instant,
}

impl Poller {
    fn new(way: &Way) -> Self {
        let connection = Pool::new(way, PgPoolOptions::new().max_connections(1));
        Self { connection, seen: Vec::new(), look_at: Instant::now() + POLL }
    }

    pub(super) fn connection(&self) -> &Pool {
        &self.connection
    }

    async fn next_queue(&mut self) -> Result<String, StoreError> {
        loop {
            if let Some(queue) = self.seen.pop() {
                return Ok(queue);
            }
            sleep_until(self.look_at).await;
            self.look_at = Instant::now() + POLL;
            self.seen = sqlx::query_file_scalar!("src/store/sql/due_queues.sql")
                .fetch_all(&self.connection)
                .await?;
        }
    }
}

/// Calls the workers of these queues when the transaction commits.
pub(super) async fn call(tx: &mut Tx, queues: &[String]) -> Result<(), StoreError> {
    if queues.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "SELECT pg_notify($1, queue) FROM unnest($2::text[]) AS q (queue)",
        CHANNEL,
        queues
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
