//! The parts of a worker that run beside its handlers. Without one of them it is no worker: one that panics ends it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio_util::task::AbortOnDropHandle;
use tracing::error;

use super::shared::Shared;
use crate::error::panic_text;
use crate::panics::panicking;
use crate::process::within;
use crate::store::Database;

/// Starts a part of a worker, which ends with the handle. One that panics ends the worker, and gives nothing.
pub(super) fn start<D, F>(
    shared: &Arc<Shared<D>>,
    name: &'static str,
    part: F,
) -> AbortOnDropHandle<Option<F::Output>>
where
    D: Database,
    F: Future<Output: Send> + Send + 'static,
{
    let shared = Arc::clone(shared);
    AbortOnDropHandle::new(tokio::spawn(within(async move {
        let ended = AssertUnwindSafe(panicking(name, part)).catch_unwind().await;
        if let Err(panic) = &ended {
            let why = format!("the worker's {name} panicked: {}", panic_text(&**panic));
            error!(worker_id = shared.worker().0, "a defect ended this worker: {why}");
            shared.broke(why);
        }
        ended.ok()
    })))
}
