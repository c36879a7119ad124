//! Waiting without Ruby's lock, so that other threads run and signals arrive.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use magnus::{Error, Ruby};
use rb_sys::{RB_NOGVL_INTR_FAIL, RB_NOGVL_UBF_ASYNC_SAFE};
use tasker_core::Interrupt;

/// A closure on its way through C, and what it returned.
struct Call<F, T> {
    body: Option<F>,
    result: Option<std::thread::Result<T>>,
}

unsafe extern "C" fn run<F: FnOnce() -> T, T>(data: *mut c_void) -> *mut c_void {
    // SAFETY: `data` is the `Call` that `without_gvl` keeps on its stack while this runs.
    let call = unsafe { &mut *data.cast::<Call<F, T>>() };
    if let Some(body) = call.body.take() {
        call.result = Some(catch_unwind(AssertUnwindSafe(body)));
    }
    std::ptr::null_mut()
}

unsafe extern "C" fn interrupt(data: *mut c_void) {
    // SAFETY: `data` is the `Interrupt` that `without_gvl` borrows while Ruby may call this.
    unsafe { &*data.cast::<Interrupt>() }.raise();
}

/// Runs `body` without Ruby's lock. `None` when an interrupt was pending and it did not run.
///
/// `body` must not touch Ruby values, and must end soon after `wake` is raised. A panic in it goes on
/// in the caller.
fn without_gvl<T>(wake: &Interrupt, body: impl FnOnce() -> T) -> Option<T> {
    fn call<F: FnOnce() -> T, T>(wake: &Interrupt, body: F) -> Option<T> {
        let mut call = Call { body: Some(body), result: None };
        let flags = RB_NOGVL_INTR_FAIL | RB_NOGVL_UBF_ASYNC_SAFE;
        // SAFETY: the callbacks get pointers to values that outlive the call; the unblock function
        // does a store and a futex wake only, which is safe in a signal handler; no panic crosses C.
        unsafe {
            rb_sys::rb_nogvl(
                Some(run::<F, T>),
                std::ptr::from_mut(&mut call).cast(),
                Some(interrupt),
                std::ptr::from_ref(wake).cast_mut().cast(),
                flags.cast_signed(),
            );
        }
        call.result.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
    }
    call(wake, body)
}

/// Waits without Ruby's lock until `body` has something. `body` gets an interrupt that Ruby raises for
/// signals, `Thread#kill` and `Timeout`; it returns `None` when it ends because of that.
///
/// # Errors
/// Whatever the interrupt raises in this thread.
pub(crate) fn wait<T>(
    ruby: &Ruby,
    mut body: impl FnMut(&Interrupt) -> Option<T>,
) -> Result<T, Error> {
    loop {
        let wake = Interrupt::of_this_thread();
        if let Some(result) = without_gvl(&wake, || body(&wake)).flatten() {
            return Ok(result);
        }
        ruby.thread_check_ints()?;
    }
}
