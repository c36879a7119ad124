//! What an application has at hand where it submits a task, and wants at hand again in the task's steps: for instance
//! who is signed in. It is kept in the context under a key of its own. What checks a context, and what a task is known
//! by, do not see it there.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::arguments::refused;
use crate::error::Error;
use crate::json::{self, JsonLimits, shorten};

/// The key of the context.
pub(super) const KEY: &str = "tasker_current_attributes";

/// Most of them.
const LIMITS: JsonLimits = JsonLimits { max_bytes: 16 << 10, max_depth: 16 };

/// Longest piece of what was given that a message repeats, in characters.
const SHOWN: usize = 40;

/// Refuses what is no object of JSON, and too much of it.
pub(super) fn check(attributes: &RawValue) -> Result<(), Error> {
    let text = attributes.get();
    if !text.starts_with('{') {
        return Err(refused("current_attributes", &shorten(text, SHOWN), "an object"));
    }
    json::check(text, LIMITS)
        .map_err(|source| Error::Json { what: "current_attributes".to_owned(), source })
}

/// Refuses a context in which a caller gives them as if they were a part of it: that may come from anywhere.
pub(super) fn refuse_in(context: &RawValue) -> Result<(), Error> {
    let found = may_hold(context.get()) && apart(context.get()).1.is_some();
    if found { Err(taken()) } else { Ok(()) }
}

/// The key is in a context that a caller gives.
pub(super) fn taken() -> Error {
    let allowed = "keys other than this one, which is the engine's own";
    refused("context", &format!("an object with the key {KEY:?}"), allowed)
}

/// The context as it was given, and what travels with it. What is no object is left as it is, for others to refuse.
pub(super) fn apart(context: &str) -> (String, Option<Box<RawValue>>) {
    let keys = may_hold(context).then(|| serde_json::from_str(context).ok()).flatten();
    let mut keys: BTreeMap<String, Box<RawValue>> = keys.unwrap_or_default();
    let Some(attributes) = keys.remove(KEY) else { return (context.to_owned(), None) };
    let left = serde_json::to_string(&keys).expect("keys are text, and values JSON");
    (left, Some(attributes))
}

/// The text of an object that was checked, with what travels with it.
pub(super) fn together(context: &str, attributes: &RawValue) -> String {
    let rest = context.trim_start().strip_prefix('{').unwrap_or(context);
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    format!("{{\"{KEY}\":{}{comma}{rest}", attributes.get())
}

/// Whether the key may stand there, as it is or in escapes.
fn may_hold(context: &str) -> bool {
    context.contains(KEY) || context.contains("\\u")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_put_together_comes_apart_again() {
        let attributes = raw(r#"{"Current":{"user":7}}"#);
        for context in
            ["{}", " { } ", r#"{"a":{}}"#, r#"{"a":{"b":{}}} "#, r#"{"a":"}","b":"\u00e9"}"#]
        {
            let (left, found) = apart(&together(context, &attributes));
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(&left), value(context), "{context}");
            assert_eq!(found.unwrap().get(), attributes.get());
            assert!(apart(context).1.is_none());
        }
    }

    #[test]
    fn a_context_may_not_bring_them_however_the_key_is_written() {
        for key in [KEY, r"tasker_current\u005fattributes"] {
            let error = refuse_in(&raw(&format!(r#"{{"{key}": {{"Current": 1}}}}"#))).unwrap_err();
            assert!(error.to_string().contains("the engine's own"), "{error}");
        }
        for context in [
            r#"{"tasker_current_attributes_of": 1}"#,
            r#"{"a": {"tasker_current_attributes": 1}}"#,
            r#"{"a": "tasker_current_attributes \u00e9"}"#,
            r#"["tasker_current_attributes"]"#,
        ] {
            refuse_in(&raw(context)).unwrap();
        }
    }

    #[test]
    fn they_are_an_object_that_is_not_large() {
        check(&raw(r#"{"Current": {}}"#)).unwrap();
        assert!(check(&raw("[]")).is_err());
        let large =
            |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - r#"{"a":""}"#.len()));
        check(&raw(&large(16 << 10))).unwrap();
        assert!(check(&raw(&large((16 << 10) + 1))).is_err());
        let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        check(&raw(&deep(16))).unwrap();
        assert!(check(&raw(&deep(17))).is_err());
        assert!(check(&raw(r#"{"a": "\u0000"}"#)).is_err());
    }
}
