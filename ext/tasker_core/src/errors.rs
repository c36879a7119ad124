//! From the library's errors, and from panics, to Ruby exceptions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use magnus::value::ReprValue;
use magnus::{Error, Exception, Module, RClass, RModule, Ruby, TryConvert, Value};
use tasker_core::ErrorKind;

/// The exception of a library error.
pub(crate) fn raise(ruby: &Ruby, error: &tasker_core::Error) -> Error {
    raise_kind(ruby, error.kind(), &error.to_string(), &error.details().to_string())
}

/// An exception of `TaskerCore::Error`'s family, made by Ruby.
pub(crate) fn raise_kind(ruby: &Ruby, kind: ErrorKind, message: &str, details: &str) -> Error {
    match exception(ruby, kind, message, details) {
        Ok(exception) => exception.into(),
        Err(error) => error,
    }
}

fn exception(
    ruby: &Ruby,
    kind: ErrorKind,
    message: &str,
    details: &str,
) -> Result<Exception, Error> {
    let module: RModule = ruby.class_object().const_get("TaskerCore")?;
    let class: RClass = module.const_get("Error")?;
    let value: Value = class.funcall("from_native", (kind.as_str(), message, details))?;
    Exception::try_convert(value)
}

/// Runs an entry point; a panic becomes `TaskerCore::InternalError` instead of Ruby's `fatal`, which
/// nothing can rescue.
pub(crate) fn guard<T>(ruby: &Ruby, body: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(panic) => Err(raise(ruby, &tasker_core::Error::defect(&*panic))),
    }
}
