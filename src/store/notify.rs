//! Wake-up calls between processes. They only ever shorten a wait: whoever misses one looks at the
//! next heartbeat.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use tracing::debug;

use super::{StoreError, Tx};

/// The channel; its payload is the name of the queue that has new steps.
const CHANNEL: &str = "tasker_ready";

/// One connection that waits for wake-up calls, and on which heartbeats are made.
pub(crate) struct Listener {
    listener: PgListener,
}

impl Listener {
    /// Connects; no statement may take longer than `patience`. Where listening is refused, the
    /// connection is good for heartbeats alone.
    pub(super) async fn connect(
        options: &PgConnectOptions,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let limit = [("statement_timeout", patience.as_millis().max(1))];
        let options = options.clone().options(limit);
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
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

    /// The next queue with new steps; `None` when the connection is lost, and with it perhaps calls.
    /// May be dropped while it waits.
    pub(super) async fn next_call(&mut self) -> Result<Option<String>, StoreError> {
        let call = self.listener.try_recv().await?;
        Ok(call.map(|call| call.payload().to_owned()))
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
