//! Wake-up calls between processes. They only ever shorten a wait: whoever misses one looks at the
//! next heartbeat.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};

use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::pool::Pool;
use super::sessions::Way;
use super::{StoreError, Tx};
use crate::decision::Claim;
use crate::ids::{StepId, WorkerId};

/// The channel; its payload is the name of the queue that has new steps.
pub(super) const CHANNEL: &str = "tasker_ready";

/// Whose payload is a claim that others than its holder have ended: step, attempt, worker.
const ENDED: &str = "tasker_ended";

/// What a worker is called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A queue has new steps.
    Steps(String),
    /// Somebody else has ended a claim, perhaps of another worker.
    Ended(Claim),
}

/// The payload of a call about a claim.
fn payload(claim: &Claim) -> String {
    format!("{} {} {}", claim.step.0, claim.attempt, claim.worker.0)
}

fn claim(payload: &str) -> Option<Claim> {
    let mut numbers = payload.split(' ').map(str::parse);
    let (step, attempt, worker) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let attempt = u32::try_from(attempt.ok()?).ok()?;
    Some(Claim { step: StepId(step.ok()?), attempt, worker: WorkerId(worker.ok()?) })
}

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

    /// The next call; `None` when the connection is lost, and with it perhaps calls.
    /// May be dropped while it waits.
    pub(super) async fn next_call(&mut self) -> Result<Option<Call>, StoreError> {
        match self {
            Self::Listening(listener) => listener.next_call().await,
            Self::Polling(poller) => Ok(Some(Call::Steps(poller.next_queue().await?))),
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
        if let Err(error) = listener.listen_all([CHANNEL, ENDED]).await {
            debug!(%error, "listening is not possible");
        }
        Ok(Self { listener })
    }

    pub(super) fn connection(&mut self) -> &mut PgListener {
        &mut self.listener
    }

    async fn next_call(&mut self) -> Result<Option<Call>, StoreError> {
        loop {
            let Some(call) = self.listener.try_recv().await? else { return Ok(None) };
            let payload = call.payload();
            if call.channel() != ENDED {
                return Ok(Some(Call::Steps(payload.to_owned())));
            }
            // Who is no worker can call too.
            if let Some(claim) = claim(payload) {
                return Ok(Some(Call::Ended(claim)));
            }
        }
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
    sqlx::query_file!("src/store/sql/call_workers.sql", CHANNEL, queues).execute(&mut **tx).await?;
    Ok(())
}

/// Calls the holders of claims that this transaction ends, when it commits.
pub(super) async fn recall(tx: &mut Tx, claims: &[Claim]) -> Result<(), StoreError> {
    if claims.is_empty() {
        return Ok(());
    }
    let payloads: Vec<_> = claims.iter().map(payload).collect();
    sqlx::query!(
        "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS p (payload)",
        ENDED,
        &payloads
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TaskId;

    #[test]
    fn a_claim_is_read_back_from_its_call_and_nothing_else_is() {
        let sent = Claim { step: TaskId(7).step(3), attempt: 2, worker: WorkerId(9) };
        assert_eq!(claim(&payload(&sent)), Some(sent));
        for wrong in ["", "1 2", "1 x 3", "1 -2 3", "99999999999999999999 1 1"] {
            assert_eq!(claim(wrong), None, "{wrong}");
        }
    }
}
