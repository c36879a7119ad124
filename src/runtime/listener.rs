//! Wakes the orchestrator when another process calls.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use super::worker::Shared;

/// Pause before a lost connection is opened again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Listens until the worker ends. Where listening is not possible, such as behind a pooler that
/// shares connections between transactions, heartbeats alone find new work.
pub(super) async fn listen(shared: Arc<Shared>) {
    loop {
        if let Err(error) = listen_once(&shared).await {
            debug!(%error, "listening failed");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen_once(shared: &Shared) -> Result<(), crate::store::StoreError> {
    let mut listener = shared.store.listen().await?;
    loop {
        match listener.next().await? {
            Some(queue) => {
                if shared.serves(&queue) {
                    shared.there_is_work();
                }
            }
            None => shared.there_is_work(),
        }
    }
}
