//! Wake-up calls between processes. They only ever shorten a wait: whoever misses one looks at the
//! next heartbeat.

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use super::{StoreError, Tx};

/// The channel; its payload is the name of the queue that has new steps.
const CHANNEL: &str = "tasker_ready";

/// One connection that waits for wake-up calls.
pub(crate) struct Listener {
    listener: PgListener,
}

impl Listener {
    pub(super) async fn connect(options: &PgConnectOptions) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self { listener })
    }

    /// The next queue with new steps; `None` after the connection was lost and made again, when
    /// calls may have been missed.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, StoreError> {
        let call = self.listener.try_recv().await?;
        Ok(call.map(|call| call.payload().to_owned()))
    }
}

/// Calls the workers of these queues when the transaction commits.
pub(crate) async fn call(tx: &mut Tx, queues: &[String]) -> Result<(), StoreError> {
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
