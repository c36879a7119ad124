//! What handlers ask the database while they run. That the database is away is not their failure.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::error::Error;

/// Pause after a question that was not answered, doubled up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// For how long the same is asked again.
const LONGEST: Duration = Duration::from_secs(600);

/// The answer to a question that may be asked more than once. It is asked again as long as it fails for a reason that
/// passes; the last such error, when that takes too long.
pub(super) async fn insist<T>(ask: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    let mut insistence = Insistence::new(Instant::now());
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(pause) = insistence.pause_after(&error, Instant::now()) else { return Err(error) };
        debug!(%error, "a handler waits for the database");
        sleep(pause).await;
    }
}

/// When a question is asked again.
#[derive(Debug)]
struct Insistence {
    until: Instant,
    pause: Duration,
}

impl Insistence {
    fn new(now: Instant) -> Self {
        Self { until: now + LONGEST, pause: SHORTEST_PAUSE }
    }

    /// How long to wait before the next time; `None`: the error is the answer.
    fn pause_after(&mut self, error: &Error, now: Instant) -> Option<Duration> {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        (error.is_retryable() && now + pause < self.until).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TaskId;
    use crate::store::StoreError;

    /// How often a question is asked that takes no time and is never answered otherwise, and for how long.
    fn play(error: &Error) -> (u32, Duration) {
        let began = Instant::now();
        let (mut insistence, mut now, mut times) = (Insistence::new(began), began, 1);
        while let Some(pause) = insistence.pause_after(error, now) {
            now += pause;
            times += 1;
        }
        (times, now - began)
    }

    #[test]
    fn a_question_is_asked_again_while_the_database_is_away_and_not_for_ever() {
        let passing = [
            StoreError::Unavailable("no route".into()),
            StoreError::Timeout { code: "57014".to_owned() },
            StoreError::Serialization { code: "40001".to_owned() },
        ];
        for error in passing.map(Error::from) {
            let (times, lasted) = play(&error);
            assert!((300..320).contains(&times), "asked {times} times: {error}");
            assert!(
                lasted < LONGEST && lasted > LONGEST - 2 * LONGEST_PAUSE,
                "{lasted:?}: {error}"
            );
        }
    }

    #[test]
    fn what_does_not_pass_is_the_answer() {
        let lasting = [
            Error::UnknownTask { task: TaskId(7) },
            StoreError::Constraint { code: "23505".to_owned(), constraint: "one".to_owned() }
                .into(),
        ];
        for error in lasting {
            assert_eq!(play(&error), (1, Duration::ZERO), "{error}");
        }
    }
}
