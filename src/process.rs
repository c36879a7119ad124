//! What runs in a process, which the simulator makes stand still. Without the feature `simulation` none does, and
//! asking costs nothing.

/// The future as a part of the process that asks: while that stands still, it is not polled.
#[cfg(not(feature = "simulation"))]
pub(crate) const fn within<F>(future: F) -> F {
    future
}

#[cfg(feature = "simulation")]
pub(crate) use simulated::{Process, within};

#[cfg(any(test, feature = "simulation"))]
#[cfg_attr(not(feature = "simulation"), allow(dead_code))]
mod simulated {
    use std::cell::RefCell;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::task::{Context, Poll, ready};

    use tokio::time::{Instant, Sleep, sleep_until};

    thread_local! {
        /// The process whose future is polled in this thread.
        static RUNNING: RefCell<Option<Arc<Process>>> = const { RefCell::new(None) };
    }

    /// A simulated process. What is polled within it finds, when it goes on, that time has passed: as after SIGSTOP
    /// and SIGCONT.
    #[derive(Debug, Default)]
    pub(crate) struct Process {
        /// Whether `until` may be in the future: most of the time there is nothing to look at.
        stands_still: AtomicBool,
        /// When it goes on; held for a copy only.
        until: Mutex<Option<Instant>>,
    }

    impl Process {
        /// Runs nothing until then.
        pub(crate) fn stand_still(&self, until: Instant) {
            let mut known = self.until.lock().unwrap_or_else(PoisonError::into_inner);
            *known = Some(known.map_or(until, |known| known.max(until)));
            self.stands_still.store(true, Ordering::Relaxed);
        }

        /// The future as a part of this process.
        pub(crate) fn run<F: Future>(self: Arc<Self>, future: F) -> Within<F> {
            Within { process: Some(self), future: Box::pin(future), rest: None }
        }

        fn poll_goes_on(
            &self,
            rest: &mut Option<Pin<Box<Sleep>>>,
            cx: &mut Context<'_>,
        ) -> Poll<()> {
            while let Some(until) = self.stands_until() {
                let rest = rest.get_or_insert_with(|| Box::pin(sleep_until(until)));
                if rest.deadline() != until {
                    rest.as_mut().reset(until);
                }
                ready!(rest.as_mut().poll(cx));
            }
            *rest = None;
            Poll::Ready(())
        }

        fn stands_until(&self) -> Option<Instant> {
            if !self.stands_still.load(Ordering::Relaxed) {
                return None;
            }
            let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
            let until = until.filter(|until| *until > Instant::now());
            self.stands_still.store(until.is_some(), Ordering::Relaxed);
            until
        }
    }

    /// A part of a process, if there is one: while that stands still, it is not polled.
    pub(crate) struct Within<F> {
        process: Option<Arc<Process>>,
        /// In a box, so that what is spawned is small.
        future: Pin<Box<F>>,
        rest: Option<Pin<Box<Sleep>>>,
    }

    impl<F: Future> Future for Within<F> {
        type Output = F::Output;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
            let Self { process, future, rest } = &mut *self;
            if let Some(process) = process {
                ready!(process.poll_goes_on(rest, cx));
            }
            let _running = Running::begin(process);
            future.as_mut().poll(cx)
        }
    }

    /// While it lives, a process runs in this thread.
    struct Running<'a> {
        process: &'a mut Option<Arc<Process>>,
        before: Option<Arc<Process>>,
    }

    impl<'a> Running<'a> {
        fn begin(process: &'a mut Option<Arc<Process>>) -> Self {
            let before = RUNNING.replace(process.take());
            Self { process, before }
        }
    }

    impl Drop for Running<'_> {
        fn drop(&mut self) {
            *self.process = RUNNING.replace(self.before.take());
        }
    }

    /// The future as a part of the process that asks, if one does.
    pub(crate) fn within<F: Future>(future: F) -> Within<F> {
        let process = RUNNING.with_borrow(Option::clone);
        Within { process, future: Box::pin(future), rest: None }
    }

    #[cfg(test)]
    mod tests {
        use std::time::Duration;

        use tokio::time::sleep;

        use super::*;

        const SHORT: Duration = Duration::from_millis(5);
        const LONG: Duration = Duration::from_millis(200);

        #[tokio::test]
        async fn what_is_due_while_a_process_stands_still_happens_when_it_goes_on() {
            let process = Arc::new(Process::default());
            let nap = || async {
                sleep(SHORT).await;
                Instant::now()
            };
            let (send, inside) = tokio::sync::oneshot::channel();
            let spawns = async { send.send(tokio::spawn(within(nap()))) };
            Arc::clone(&process).run(spawns).await.unwrap();
            let inside = inside.await.unwrap();
            let outside = tokio::spawn(within(nap()));
            let goes_on = Instant::now() + LONG;
            process.stand_still(goes_on);
            process.stand_still(goes_on - LONG / 2);
            assert!(inside.await.unwrap() >= goes_on);
            assert!(outside.await.unwrap() < goes_on);
        }

        #[tokio::test]
        async fn a_process_that_goes_on_runs_as_before() {
            let process = Arc::new(Process::default());
            let goes_on = Instant::now() + SHORT;
            process.stand_still(goes_on);
            let twice = process.run(async {
                let first = Instant::now();
                sleep(SHORT).await;
                (first, Instant::now())
            });
            let (first, second) = twice.await;
            assert!(first >= goes_on);
            assert!((first + SHORT..first + LONG).contains(&second));
        }
    }
}
