//! One JSON object of a template, read key by key with errors that name the key's path.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use super::error::TemplateError;
use crate::budget::Cost;
use crate::json::shorten;
use crate::suggest;

type Result<T> = std::result::Result<T, TemplateError>;

/// Longest time that a step may name: 30 days.
pub(super) const LONGEST_SECONDS: f64 = 30.0 * 86_400.0;

/// Longest part of a key of the user's that a message repeats, in characters.
pub(super) const LONGEST_KEY: usize = 80;

const WORD_ALLOWED: &str = "text without control characters and without space around it";

/// Keys as the Ruby DSL and other engines spell them, with the key of a template that is meant.
const OTHER_SPELLINGS: [(&str, &str); 13] = [
    ("backoff_seconds", "base_seconds"),
    ("config", "handler_config"),
    ("delay", "delay_seconds"),
    ("depends_on", "depends_on_steps"),
    ("handler", "handler_class"),
    ("max_attempts", "default_retry_limit"),
    ("namespace", "namespace_name"),
    ("parents", "depends_on_steps"),
    ("retry_limit", "default_retry_limit"),
    ("retryable", "default_retryable"),
    ("steps", "step_templates"),
    ("timeout", "timeout_seconds"),
    ("total_timeout", "total_timeout_seconds"),
];

/// A JSON object whose keys are all known. A key with the value null counts as left out, except
/// where [`Section::take_even_null`] is asked.
pub(super) struct Section {
    path: String,
    map: Map<String, Value>,
}

impl Section {
    /// Opens the object at `path` (empty for the whole template).
    pub(super) fn open(path: String, value: Value, known: &[&str]) -> Result<Section> {
        let Value::Object(map) = value else {
            let path = if path.is_empty() { "template".to_owned() } else { path };
            return Err(TemplateError::value(path, &value, "an object (keys and values)"));
        };
        let section = Section { path, map };
        match section.map.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(section),
            Some(key) => Err(section.unknown_key(key, known)),
        }
    }

    fn unknown_key(&self, key: &str, known: &[&str]) -> TemplateError {
        let other = OTHER_SPELLINGS.iter().find(|(spelling, _)| *spelling == key);
        let meant = other.map(|(_, meant)| *meant).filter(|meant| known.contains(meant));
        let suggestion = meant.or_else(|| suggest::nearest(key, known.iter().copied()));
        let key = self.key(&shorten(key, LONGEST_KEY));
        TemplateError::problem(key, "is not a known key", known.join(", ")).suggest(suggestion)
    }

    /// The path of one of this object's keys.
    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether the key is given, and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether the key is given, and neither null nor false.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.has(name) && *self.peek(name) != Value::Bool(false)
    }

    /// The key's value, which stays; null where it is left out.
    pub(super) fn peek(&self, name: &str) -> &Value {
        self.map.get(name).unwrap_or(&Value::Null)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.take_even_null(name).filter(|value| !value.is_null())
    }

    pub(super) fn take_even_null(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    /// Text of a length within `bytes`.
    pub(super) fn text(
        &mut self,
        name: &str,
        bytes: RangeInclusive<usize>,
    ) -> Result<Option<String>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        text(value, bytes, || self.key(name)).map(Some)
    }

    /// As [`Section::text`], and the key is needed.
    pub(super) fn required_text(
        &mut self,
        name: &str,
        bytes: RangeInclusive<usize>,
    ) -> Result<String> {
        let allowed = length(&bytes);
        self.text(name, bytes)?.ok_or_else(|| TemplateError::missing(self.key(name), allowed))
    }

    /// A name: text of 1 to `longest` bytes without control characters and without space around it.
    pub(super) fn word(&mut self, name: &str, longest: usize) -> Result<Option<String>> {
        match self.text(name, 1..=longest)? {
            Some(word) if word.trim() != word || word.contains(char::is_control) => {
                Err(TemplateError::value(self.key(name), &Value::from(word), WORD_ALLOWED))
            }
            word => Ok(word),
        }
    }

    /// As [`Section::word`], and the key is needed.
    pub(super) fn required_word(&mut self, name: &str, longest: usize) -> Result<String> {
        self.word(name, longest)?
            .ok_or_else(|| TemplateError::missing(self.key(name), length(&(1..=longest))))
    }

    /// A list of texts of lengths within `bytes`.
    pub(super) fn texts(
        &mut self,
        name: &str,
        bytes: RangeInclusive<usize>,
    ) -> Result<Option<Vec<String>>> {
        let Some(list) = self.list(name)? else {
            return Ok(None);
        };
        let key = |index| format!("{}[{index}]", self.key(name));
        let texts = list.into_iter().enumerate();
        let texts = texts.map(|(index, value)| text(value, bytes.clone(), || key(index)));
        texts.collect::<Result<_>>().map(Some)
    }

    pub(super) fn refuse_null(&self, name: &str, allowed: &str) -> Result<()> {
        match self.map.get(name) {
            Some(value) if value.is_null() => {
                Err(TemplateError::value(self.key(name), value, allowed))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        match self.take(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(TemplateError::value(self.key(name), &other, "true or false")),
        }
    }

    pub(super) fn integer(
        &mut self,
        name: &str,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32> {
        let Some(value) = self.take(name) else {
            return Ok(default);
        };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let allowed = format!("an integer from {} to {}", range.start(), range.end());
            TemplateError::value(self.key(name), &value, allowed)
        })
    }

    /// A priority; 0 where it is left out.
    pub(super) fn priority(&mut self, name: &str) -> Result<i16> {
        let Some(value) = self.take(name) else {
            return Ok(0);
        };
        let number = value.as_i64().and_then(|number| i16::try_from(number).ok());
        number.ok_or_else(|| {
            let allowed = format!("an integer from {} to {}", i16::MIN, i16::MAX);
            TemplateError::value(self.key(name), &value, allowed)
        })
    }

    pub(super) fn fraction(&mut self, name: &str, default: f64) -> Result<f64> {
        let Some(value) = self.take(name) else {
            return Ok(default);
        };
        let number = value.as_f64().filter(|number| (0.0..=1.0).contains(number));
        number
            .ok_or_else(|| TemplateError::value(self.key(name), &value, "a number from 0.0 to 1.0"))
    }

    /// A time above zero and up to `longest` seconds, to the nanosecond.
    pub(super) fn seconds(&mut self, name: &str, longest: f64) -> Result<Option<Duration>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.as_f64().filter(|number| *number <= longest);
        let time = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
        let time = time.filter(|time| !time.is_zero());
        time.map(Some).ok_or_else(|| {
            let days = longest / 86_400.0;
            let allowed = format!("seconds, more than 0 and at most {longest} ({days} days)");
            TemplateError::value(self.key(name), &value, allowed)
        })
    }

    pub(super) fn cost(&mut self, name: &str) -> Result<Option<Cost>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let cost = value.as_f64().and_then(Cost::from_number);
        cost.map(Some).ok_or_else(|| TemplateError::value(self.key(name), &value, Cost::ALLOWED))
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Map<String, Value>> {
        match self.take(name) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map),
            Some(other) => {
                Err(TemplateError::value(self.key(name), &other, "an object (keys and values)"))
            }
        }
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(TemplateError::value(self.key(name), &other, "a list")),
        }
    }
}

/// `value` as text of a length within `bytes`; `key` says where it stands.
pub(super) fn text(
    value: Value,
    bytes: RangeInclusive<usize>,
    key: impl FnOnce() -> String,
) -> Result<String> {
    match value {
        Value::String(text) if bytes.contains(&text.len()) => Ok(text),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_)) => Err(TemplateError::value(key(), &other, length(&bytes))),
    }
}

fn length(bytes: &RangeInclusive<usize>) -> String {
    format!("text of {} to {} bytes", bytes.start(), bytes.end())
}
