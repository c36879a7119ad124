//! Panics on purpose, for the spec that tells what becomes of them. Without the feature `panics` there are none, and
//! asking costs nothing.

/// The part of a worker, which panics when it is told to.
#[cfg(not(feature = "panics"))]
pub(crate) const fn panicking<F>(_part: &str, future: F) -> F {
    future
}

#[cfg(feature = "panics")]
pub use ordered::panic_in;
#[cfg(feature = "panics")]
pub(crate) use ordered::panicking;

#[cfg(feature = "panics")]
mod ordered {
    #![allow(clippy::panic, reason = "that is what it is for")]

    use std::sync::LazyLock;

    use tokio::sync::watch;

    /// The part that is to panic.
    static ORDER: LazyLock<watch::Sender<String>> = LazyLock::new(watch::Sender::default);

    /// Has this part of every worker of the process panic.
    pub fn panic_in(part: &str) {
        ORDER.send_replace(part.to_owned());
    }

    pub(crate) async fn panicking<F: Future>(part: &'static str, future: F) -> F::Output {
        let mut order = ORDER.subscribe();
        tokio::select! {
            biased;
            Ok(_) = order.wait_for(|ordered| ordered == part) => panic!("on purpose, in the {part}"),
            ended = future => ended,
        }
    }
}
