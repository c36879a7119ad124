//! `TaskerCore::Internal::Bridge::LargeText`.

use std::sync::Arc;

use magnus::value::ReprValue;
use magnus::{IntoValue, RString, Ruby, Value};

/// Bytes from which on a copy costs more than an object that stands for it.
const LARGE: usize = 4_096;

/// Text that several steps are given. Ruby has a copy for each that reads it.
#[magnus::wrap(class = "TaskerCore::Internal::Bridge::LargeText", free_immediately, size)]
pub(crate) struct LargeText(Arc<str>);

impl LargeText {
    /// A string, or what becomes one when it is asked to.
    pub(crate) fn or_string(ruby: &Ruby, text: &Arc<str>) -> Value {
        if text.len() < LARGE {
            return ruby.str_new(text).as_value();
        }
        Self(Arc::clone(text)).into_value_with(ruby)
    }

    pub(crate) fn to_str(ruby: &Ruby, this: &Self) -> RString {
        ruby.str_new(&this.0)
    }
}
