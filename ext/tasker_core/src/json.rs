//! Text across the border.

use magnus::{Error, RString, Ruby};
use serde::Serialize;

use crate::errors;

/// The bytes of a Ruby string as UTF-8 text, copied.
pub(crate) fn text(ruby: &Ruby, string: RString) -> Result<String, Error> {
    // SAFETY: the bytes are copied before Ruby code can run or the garbage collector can move them.
    let bytes = unsafe { string.as_slice() }.to_vec();
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        errors::raise_kind(
            ruby,
            tasker_core::ErrorKind::InvalidContext,
            &format!("the text is not UTF-8 from byte {at} on; encode it as UTF-8"),
            "{}",
        )
    })
}

/// The text where there is one.
pub(crate) fn optional_text(ruby: &Ruby, string: Option<RString>) -> Result<Option<String>, Error> {
    string.map(|string| text(ruby, string)).transpose()
}

/// An answer as JSON text.
pub(crate) fn answer<T: Serialize>(ruby: &Ruby, answer: &T) -> Result<String, Error> {
    serde_json::to_string(answer).map_err(|error| {
        let message = format!("the answer cannot be written as JSON: {error}");
        errors::raise_kind(ruby, tasker_core::ErrorKind::Internal, &message, "{}")
    })
}
