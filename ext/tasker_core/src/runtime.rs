//! One Tokio runtime for each process. After a fork the child makes its own: the threads of the old one
//! exist in the parent only.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use magnus::{Error, Ruby};
use tasker_core::{ErrorKind, Interrupt};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::errors;
use crate::nogvl::wait;

/// Counts the forks between the first process and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The runtime and the generation it was made in. Locked with Ruby's lock held only, so that a fork
/// never finds it locked.
static RUNTIME: Mutex<Option<(u64, Arc<Runtime>)>> = Mutex::new(None);

extern "C" fn forked() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
}

/// Notices forks from now on, also those that Ruby does not make itself.
pub(crate) fn watch_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler runs in the child and adds to an atomic, which is safe there.
        unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    });
}

/// The generation of this process.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// The runtime of this process.
pub(crate) fn handle(ruby: &Ruby) -> Result<Handle, Error> {
    let mut slot = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((made_in, runtime)) = slot.as_ref()
        && *made_in == generation()
    {
        return Ok(runtime.handle().clone());
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("tasker_core")
        .enable_all()
        .build()
        .map_err(|error| {
            let message = format!("the runtime's threads cannot be started: {error}");
            errors::raise_kind(ruby, ErrorKind::Internal, &message, "{}")
        })?;
    let handle = runtime.handle().clone();
    // A runtime from before a fork waits for threads that do not exist here: it is left behind.
    std::mem::forget(slot.replace((generation(), Arc::new(runtime))));
    Ok(handle)
}

/// Refuses a handle that was made before a fork.
pub(crate) fn same_process(ruby: &Ruby, made_in: u64, what: &str) -> Result<(), Error> {
    if made_in == generation() {
        return Ok(());
    }
    let message = format!("this {what} was made before a fork; make one in the child");
    Err(errors::raise_kind(ruby, ErrorKind::Internal, &message, "{}"))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A future that is dropped within the runtime: a connection that it holds goes back to its pool there.
pub(crate) struct DroppedWithin<F> {
    runtime: Handle,
    future: Option<Pin<Box<F>>>,
}

impl<F> DroppedWithin<F> {
    pub(crate) fn new(runtime: Handle, future: F) -> Self {
        Self { runtime, future: Some(Box::pin(future)) }
    }
}

impl<F: Future> Future for DroppedWithin<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match &mut self.future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for DroppedWithin<F> {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.future = None;
    }
}

/// Waits for a future without Ruby's lock. The future is dropped when the thread is interrupted.
///
/// # Errors
/// The future's error as an exception, or whatever the interrupt raises.
pub(crate) fn block_on<T>(
    ruby: &Ruby,
    future: impl Future<Output = Result<T, tasker_core::Error>>,
) -> Result<T, Error> {
    let handle = handle(ruby)?;
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    // Entered until the future is dropped: an interrupted one still holds a connection to give back.
    let _entered = handle.enter();
    let mut future = pin!(future);
    let result = wait(ruby, |interrupt: &Interrupt| {
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
                return Some(result);
            }
            if interrupt.is_raised() {
                return None;
            }
            std::thread::park();
        }
    })?;
    result.map_err(|error| errors::raise(ruby, &error))
}
