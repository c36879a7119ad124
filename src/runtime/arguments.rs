//! Checks of what callers pass: requests as JSON text, names, texts for the record.

use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::json::shorten;

/// Longest part of a value, or of what a reader says of it, that a message repeats, in characters.
const SHOWN: usize = 80;

/// Longest value that a message repeats at all, in characters: more than a name may have.
pub(super) const LONGEST_VALUE: usize = 300;

/// Most tags of a task, or to ask for.
const MOST_TAGS: usize = 64;

/// Longest tag, in bytes.
const LONGEST_TAG: usize = 128;

/// Reads a request.
///
/// # Errors
/// [`Error::Argument`] for unknown keys and wrong types, at the place where reading stopped.
pub(super) fn parse<'a, T: Deserialize<'a>>(
    argument: &'static str,
    json: &'a str,
) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|error| {
        let text = error.to_string();
        let said = text.rsplit_once(" at line ").map_or(&*text, |(said, _)| said);
        let said = shorten(said, 2 * SHOWN);
        let place = format!("line {} column {}", error.line(), error.column());
        refused(argument, &shorten(json, SHOWN), &format!("{said} at {place}"))
    })
}

/// Refuses a text that is longer than so many bytes, or that the database cannot keep.
pub(super) fn at_most(
    argument: &'static str,
    value: Option<&str>,
    bytes: usize,
) -> Result<(), Error> {
    let Some(value) = value else { return Ok(()) };
    if value.len() <= bytes && !value.contains('\0') {
        return Ok(());
    }
    let shown = format!("{:?}", shorten(value, SHOWN));
    Err(refused(argument, &shown, &format!("at most {bytes} bytes without U+0000")))
}

/// Refuses a text that is empty, or longer than so many bytes.
pub(super) fn not_empty(argument: &'static str, text: &str, most: usize) -> Result<(), Error> {
    if text.is_empty() {
        return Err(refused(argument, "\"\"", &format!("1 to {most} bytes")));
    }
    at_most(argument, Some(text), most)
}

/// Refuses a list of more than so many.
pub(super) fn at_most_so_many(
    argument: &'static str,
    count: usize,
    most: usize,
) -> Result<(), Error> {
    if count <= most {
        return Ok(());
    }
    Err(refused(argument, &format!("a list of {count}"), &format!("at most {most}")))
}

/// Refuses more tags than a task can have, and longer ones.
pub(super) fn tags_a_task_can_have(tags: &[String]) -> Result<(), Error> {
    at_most_so_many("tags", tags.len(), MOST_TAGS)?;
    tags.iter().try_for_each(|tag| at_most("tags", Some(tag), LONGEST_TAG))
}

/// Tags that a task is to have all of, as JSON for the database; `None` where it may have any.
pub(super) fn wanted_tags(tags: &[String]) -> Option<String> {
    (!tags.is_empty()).then(|| Value::from(tags.to_vec()).to_string())
}

/// Says that the value of an argument is not allowed; repeats the value's start where it is long.
pub(super) fn refused(argument: &'static str, value: &str, allowed: &str) -> Error {
    let value = shorten(value, LONGEST_VALUE);
    Error::Argument { argument, value, allowed: allowed.to_owned() }
}
