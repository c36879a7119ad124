//! Limits and checks on JSON that is only passed through: contexts, results, templates.
//!
//! Such text is never parsed into a tree; it is looked at byte by byte, so that what is accepted
//! here is also accepted by a `jsonb` column. A key that stands twice in an object is allowed;
//! `jsonb` keeps the last value, and so does every reader in this crate.

use serde::de::IgnoredAny;

pub(crate) use place::path;

use crate::encryption;

mod place;

/// Digits that Postgres' `numeric`, and with it `jsonb`, holds before the decimal point. Source:
/// Postgres manual, chapter 8.1 "Numeric Types", table 8.2.
const DIGITS_BEFORE_POINT: i64 = 131_072;

/// Digits that `numeric` holds after the decimal point. Source: as above.
const DIGITS_AFTER_POINT: i64 = 16_383;

/// An exponent that `numeric` refuses even when the number is zero is larger than this.
const LARGEST_EXPONENT: i64 = 1_000_000_000;

/// Longest piece of the text that a message repeats, in characters.
const SHOWN: usize = 40;

/// How large and how deep a JSON text may be.
///
/// # Examples
/// ```
/// use tasker_core::json::JsonLimits;
/// assert_eq!(JsonLimits::CONTEXT, JsonLimits { max_bytes: 1_048_576, max_depth: 64 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Most bytes of the text, and of the text that the database gives back (which writes
    /// `1e6` as `1000000`).
    pub max_bytes: usize,
    /// Most arrays and objects within one another.
    pub max_depth: usize,
}

impl JsonLimits {
    /// For a task's context, unless [`ClientOptions::max_context_bytes`](crate::ClientOptions::max_context_bytes)
    /// says otherwise: 1 MiB, depth 64.
    pub const CONTEXT: JsonLimits = JsonLimits { max_bytes: 1 << 20, max_depth: 64 };

    /// For a step's results, unless [`WorkerOptions::max_results_bytes`](crate::WorkerOptions::max_results_bytes)
    /// says otherwise: 1 MiB, depth 64.
    pub const RESULTS: JsonLimits = JsonLimits { max_bytes: 1 << 20, max_depth: 64 };

    /// For a template, as given and normalised: 64 MiB (about 190,000 steps), depth 64. Source of
    /// the size: a quarter of what `jsonb` holds (Postgres' `JENTRY_OFFLENMASK`, 256 MiB).
    pub const TEMPLATE: JsonLimits = JsonLimits { max_bytes: 64 << 20, max_depth: 64 };
}

/// Why a JSON text is refused. Offsets count bytes from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("not valid JSON at byte {offset}: {problem}")]
    Syntax {
        /// Where reading stopped.
        offset: usize,
        /// What was found or missed.
        problem: String,
    },
    /// The text is longer than allowed.
    #[error(
        "{bytes} bytes of JSON; at most {allowed} are allowed: keep large data elsewhere and pass a reference to it"
    )]
    TooLarge {
        /// Length of the text.
        bytes: usize,
        /// [`JsonLimits::max_bytes`].
        allowed: usize,
    },
    /// The database would give back a text longer than allowed.
    #[error(
        "more than {allowed} bytes of JSON once numbers such as 1e300 are written out, as the database \
         does; at most {allowed} are allowed: use smaller exponents or pass such numbers as text"
    )]
    TooLargeWrittenOut {
        /// [`JsonLimits::max_bytes`].
        allowed: usize,
    },
    /// Too many arrays and objects within one another.
    #[error(
        "nested more than {allowed} deep at byte {offset}; at most {allowed} levels are allowed: flatten the data"
    )]
    TooDeep {
        /// Where the first level too many opens.
        offset: usize,
        /// [`JsonLimits::max_depth`].
        allowed: usize,
    },
    /// A string holds U+0000, which the database cannot store.
    #[error(
        "the character U+0000 at byte {offset}; the database stores every character but this one: remove it"
    )]
    NulCharacter {
        /// Where its escape starts.
        offset: usize,
    },
    /// Half of a surrogate pair, which is not a character.
    #[error(
        "half a surrogate pair, {escape}, at byte {offset}; \
         allowed: both halves together, or the character itself"
    )]
    LoneSurrogate {
        /// Where the escape starts.
        offset: usize,
        /// The escape.
        escape: String,
    },
    /// A number with more digits than the database stores.
    #[error(
        "the number {number} at byte {offset}; allowed: at most {DIGITS_BEFORE_POINT} digits before \
         and {DIGITS_AFTER_POINT} after the decimal point"
    )]
    NumberOutOfRange {
        /// Where the number starts.
        offset: usize,
        /// The number, shortened.
        number: String,
    },
    /// Valid JSON that would be taken for an encrypted value when it is read.
    #[error(
        "an object whose only key is \"tasker_encrypted\", as encrypted values are kept; allowed: any other key, \
         or one more"
    )]
    LooksEncrypted,
    /// Valid JSON, but not an object.
    #[error("{found} where an object is needed, such as {{\"key\": \"value\"}}")]
    NotAnObject {
        /// What kind of value it is.
        found: &'static str,
    },
}

/// Checks that `text` is JSON that a `jsonb` column accepts, within `limits`. Takes time
/// proportional to the length and memory only for the nesting.
///
/// # Errors
/// Every [`JsonError`] but [`JsonError::NotAnObject`].
///
/// # Examples
/// ```
/// use tasker_core::json::{self, JsonError, JsonLimits};
///
/// json::check(r#"[1, "two", {"three": 3e0}]"#, JsonLimits::RESULTS)?;
///
/// let error = json::check(r#"["\u0000"]"#, JsonLimits::RESULTS).unwrap_err();
/// assert_eq!(error, JsonError::NulCharacter { offset: 2 });
/// # Ok::<(), JsonError>(())
/// ```
pub fn check(text: &str, limits: JsonLimits) -> Result<(), JsonError> {
    if text.len() > limits.max_bytes {
        return Err(JsonError::TooLarge { bytes: text.len(), allowed: limits.max_bytes });
    }
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| syntax_error(text, &error))?;
    Scan { text, limits, at: 0, depth: 0, written: text.len() }.run()?;
    if encryption::is_sealed(text) { Err(JsonError::LooksEncrypted) } else { Ok(()) }
}

/// As [`check`], and the text must be an object.
///
/// # Errors
/// Every [`JsonError`].
///
/// # Examples
/// ```
/// use tasker_core::json::{self, JsonLimits};
///
/// assert!(json::check_object(r#"{"order_id": 1}"#, JsonLimits::CONTEXT).is_ok());
/// let error = json::check_object("[1]", JsonLimits::CONTEXT).unwrap_err();
/// assert_eq!(error.to_string(), r#"an array where an object is needed, such as {"key": "value"}"#);
/// ```
pub fn check_object(text: &str, limits: JsonLimits) -> Result<(), JsonError> {
    check(text, limits)?;
    match kind(text) {
        "an object" => Ok(()),
        found => Err(JsonError::NotAnObject { found }),
    }
}

/// What need not be written, since who reads it takes it for granted.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What kind of value a valid JSON text is.
fn kind(text: &str) -> &'static str {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        Some(_) | None => "a number",
    }
}

/// Turns the parser's line and column into an offset.
pub(crate) fn syntax_error(text: &str, error: &serde_json::Error) -> JsonError {
    let lines_before: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let message = error.to_string();
    let problem = message.rsplit_once(" at line ").map_or(message.as_str(), |(problem, _)| problem);
    JsonError::Syntax {
        offset: lines_before + error.column().saturating_sub(1),
        problem: problem.to_owned(),
    }
}

/// One pass over a text that is known to be JSON.
struct Scan<'a> {
    text: &'a str,
    limits: JsonLimits,
    at: usize,
    depth: usize,
    /// Length of the text with its numbers written out.
    written: usize,
}

impl Scan<'_> {
    fn run(mut self) -> Result<(), JsonError> {
        while let Some(byte) = self.byte(0) {
            match byte {
                b'"' => self.string()?,
                b'[' | b'{' => self.open()?,
                b']' | b'}' => self.close(),
                b'-' | b'0'..=b'9' => self.number()?,
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn open(&mut self) -> Result<(), JsonError> {
        if self.depth == self.limits.max_depth {
            return Err(JsonError::TooDeep { offset: self.at, allowed: self.depth });
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// From the opening quote to behind the closing one.
    fn string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            match byte {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    /// From the backslash to behind the escape, or behind both of a surrogate pair.
    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += match self.code_unit(0) {
            None => 2,
            Some(0) => return Err(JsonError::NulCharacter { offset: self.at }),
            Some(0xD800..=0xDBFF) if matches!(self.code_unit(6), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => return Err(self.lone_surrogate()),
            Some(_) => 6,
        };
        Ok(())
    }

    /// The value of the escape `\uXXXX` that starts `ahead` of here, if one does.
    fn code_unit(&self, ahead: usize) -> Option<u16> {
        let start = self.at + ahead;
        let digits = self.text.get(start..start + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    }

    fn lone_surrogate(&self) -> JsonError {
        let escape = self.text.get(self.at..self.at + 6).unwrap_or_default().to_owned();
        JsonError::LoneSurrogate { offset: self.at, escape }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|byte| !is_number(*byte)).unwrap_or(rest.len());
        let token = &self.text[self.at..self.at + length];
        let size = written_size(token).ok_or_else(|| JsonError::NumberOutOfRange {
            offset: self.at,
            number: shorten(token, SHOWN),
        })?;
        self.written += size.saturating_sub(length);
        if self.written > self.limits.max_bytes {
            return Err(JsonError::TooLargeWrittenOut { allowed: self.limits.max_bytes });
        }
        self.at += length;
        Ok(())
    }
}

const fn is_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

/// How many bytes a number takes when written without an exponent, or nothing when the database
/// cannot hold it.
fn written_size(token: &str) -> Option<usize> {
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let mantissa = mantissa.trim_start_matches('-');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i64 =
        exponent.parse().ok().filter(|size: &i64| size.abs() <= LARGEST_EXPONENT)?;
    let zeros =
        mantissa.bytes().filter(|byte| *byte != b'.').take_while(|byte| *byte == b'0').count();
    let before = if zeros == whole.len() + fraction.len() {
        0
    } else {
        length(whole.len()) - length(zeros) + exponent
    };
    let after = (length(fraction.len()) - exponent).max(0);
    let fits = before <= DIGITS_BEFORE_POINT && after <= DIGITS_AFTER_POINT;
    fits.then(|| usize::try_from(before.max(1) + after).unwrap_or(usize::MAX))
}

fn length(digits: usize) -> i64 {
    i64::try_from(digits).unwrap_or(i64::MAX)
}

/// The first `most` characters of `text`, with dots where something is left out.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests;
