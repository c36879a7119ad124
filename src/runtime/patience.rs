//! How long a worker or a client waits for an answer of the database. A connection that falls silent while an answer
//! is awaited, because a host or a router is gone, tells nobody.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use crate::store::{Database, StoreError};

/// The first limit: what the database does for a worker or a client takes milliseconds, and a lock is waited for 5 s.
const SHORTEST: Duration = Duration::from_secs(15);

/// The last limit, which each one without an answer doubles up to: the server itself gives a statement up
/// after 60 s, and a transaction has some of them. A database that is slow and not silent answers in time.
const LONGEST: Duration = Duration::from_secs(120);

/// The limit for what the database is asked for.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// How often nothing came, since something did.
    unanswered: AtomicU32,
}

impl Patience {
    /// What `asked` comes to; [`StoreError::Unavailable`] when there is no answer within the limit. Whether a
    /// commit took place is not known then, and the connections that `asked` had are not used again.
    pub(super) fn with<T>(
        &self,
        database: &impl Database,
        asked: impl Future<Output = T>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        self.within(self.limit(), database, Box::pin(asked))
    }

    /// The same for what may take the database long: many tasks, or large ones.
    pub(super) fn with_many<T>(
        &self,
        database: &impl Database,
        asked: impl Future<Output = T>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        self.within(LONGEST, database, Box::pin(asked))
    }

    /// `asked` is in a box, because it is large: a future that holds another one moves it.
    async fn within<T>(
        &self,
        limit: Duration,
        database: &impl Database,
        mut asked: Pin<Box<impl Future<Output = T>>>,
    ) -> Result<T, StoreError> {
        if let Ok(answer) = timeout(limit, &mut asked).await {
            self.unanswered.store(0, Ordering::Relaxed);
            return Ok(answer);
        }
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        // Before `asked` is dropped and its connections go back to the pool.
        database.distrust();
        let why = format!("no answer within {} s", limit.as_secs());
        warn!(why, "a connection to the database is given up");
        Err(StoreError::Unavailable(why.into()))
    }

    fn limit(&self) -> Duration {
        let doubled = self.unanswered.load(Ordering::Relaxed).min(8);
        SHORTEST.saturating_mul(1 << doubled).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_without_an_answer_doubles_the_limit() {
        let patience = Patience::default();
        let limits: Vec<_> = (0..5)
            .map(|_| {
                let limit = patience.limit().as_secs();
                patience.unanswered.fetch_add(1, Ordering::Relaxed);
                limit
            })
            .collect();
        assert_eq!(limits, [15, 30, 60, 120, 120]);
    }
}
