//! Panics on purpose, for the spec that tells what becomes of them. Compiled with the feature `panics` only.

#![allow(clippy::panic, reason = "that is what it is for")]

use magnus::{Error, Ruby};

use crate::errors::guard;
use crate::runtime::block_on;

/// Panics while this thread has Ruby's lock.
pub(crate) fn with_gvl(ruby: &Ruby) -> Result<(), Error> {
    guard(ruby, || panic!("on purpose, with the lock"))
}

/// Panics while this thread waits without Ruby's lock.
pub(crate) fn without_gvl(ruby: &Ruby) -> Result<(), Error> {
    guard(ruby, || block_on(ruby, async { panic!("on purpose, without the lock") }))
}
