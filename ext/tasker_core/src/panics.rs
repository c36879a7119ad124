//! Panics on purpose, for the spec that tells what becomes of them. Compiled with the feature `panics` only.

#![allow(clippy::panic, reason = "that is what it is for")]

use magnus::{Error, RString, Ruby};

use crate::errors::guard;
use crate::json::text;
use crate::runtime::block_on;

/// Panics while this thread has Ruby's lock.
pub(crate) fn with_gvl(ruby: &Ruby) -> Result<(), Error> {
    guard(ruby, || panic!("on purpose, with the lock"))
}

/// Panics while this thread waits without Ruby's lock.
pub(crate) fn without_gvl(ruby: &Ruby) -> Result<(), Error> {
    guard(ruby, || block_on(ruby, async { panic!("on purpose, without the lock") }))
}

/// Has this part of every worker of the process panic.
pub(crate) fn in_part(ruby: &Ruby, part: RString) -> Result<(), Error> {
    guard(ruby, || {
        tasker_core::panic_in(&text(ruby, part)?);
        Ok(())
    })
}
