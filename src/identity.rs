//! What a task is known by, so that submitting it again makes no second one: a key that the caller chose, or its
//! context.

use std::collections::BTreeMap;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde_json::value::RawValue;

/// The parts of an identity as one digest. It tells who guesses the parts that the guess is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity([u8; SHA256_OUTPUT_LEN]);

impl Identity {
    /// A key of the caller's for tasks of a template, whatever its version.
    pub(crate) fn of_key(namespace: &str, name: &str, key: &str) -> Self {
        Self::of(&["key", namespace, name, key])
    }

    /// A context of a version of a template. Contexts are the same if Postgres' `jsonb` holds them to be equal: the order of
    /// keys does not count, nor how a number is written.
    pub(crate) fn of_context(
        namespace: &str,
        name: &str,
        version: &str,
        context: &RawValue,
    ) -> Self {
        let mut canonical = String::with_capacity(context.get().len());
        write(context.get(), &mut canonical);
        Self::of(&["context", namespace, name, version, &canonical])
    }

    fn of(parts: &[&str]) -> Self {
        let mut text = b"tasker_core identity 1".to_vec();
        for part in parts {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        let mut fingerprint = [0; SHA256_OUTPUT_LEN];
        fingerprint.copy_from_slice(digest(&SHA256, &text).as_ref());
        Self(fingerprint)
    }

    pub(crate) fn fingerprint(&self) -> &[u8] {
        &self.0
    }
}

/// Writes valid JSON in the one way in which all that is equal to it is written.
fn write(json: &str, out: &mut String) {
    let json = json.trim();
    match json.as_bytes().first() {
        Some(b'{') => {
            // Of a key that stands twice, the last value counts.
            let pairs: BTreeMap<String, &RawValue> = read(json);
            out.push('{');
            for (key, value) in pairs {
                write_string(&key, out);
                write(value.get(), out);
            }
            out.push('}');
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = read(json);
            out.push('[');
            for value in values {
                write(value.get(), out);
                out.push(',');
            }
            out.push(']');
        }
        Some(b'"') => write_string(&read::<String>(json), out),
        Some(b'-' | b'0'..=b'9') => write_number(json, out),
        Some(_) | None => out.push_str(json),
    }
}

fn read<'a, T: serde::Deserialize<'a>>(json: &'a str) -> T {
    serde_json::from_str(json).expect("contexts were checked before")
}

fn write_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// Writes the digits without zeros at either end, and the power of ten of the last one.
fn write_number(number: &str, out: &mut String) {
    let (mantissa, power) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let sign = if whole.starts_with('-') { "-" } else { "" };
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let significant = digits.trim_end_matches('0');
    let zeros = i64::try_from(digits.len() - significant.len()).unwrap_or(0);
    let decimals = i64::try_from(fraction.len()).unwrap_or(0);
    match significant.trim_start_matches('0') {
        "" => out.push('0'),
        significant => {
            let power = power.parse::<i64>().unwrap_or(0) - decimals + zeros;
            out.push_str(&format!("{sign}{significant}e{power}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(context: &str) -> Identity {
        Identity::of_context("default", "order", "1.0.0", serde_json::from_str(context).unwrap())
    }

    #[test]
    fn contexts_that_jsonb_holds_to_be_equal_are_the_same() {
        for (one, other) in [
            (r#"{"a": 1, "b": [true, null]}"#, r#" {"b":[true,null],"a":1.0}"#),
            (r#"{"a": {"x": 1, "y": 2}}"#, r#"{"a": {"y": 2, "x": 1}}"#),
            (r#"{"a": 100}"#, r#"{"a": 1e2}"#),
            (r#"{"a": 1.50}"#, r#"{"a": 15E-1}"#),
            (r#"{"a": -0.0}"#, r#"{"a": 0e7}"#),
            (r#"{"a": "\u00e9\n\/"}"#, "{\"a\": \"é\\u000a/\"}"),
            (r#"{"a": 1, "a": 2}"#, r#"{"a": 2}"#),
        ] {
            assert_eq!(of(one), of(other), "{one} {other}");
        }
    }

    #[test]
    fn contexts_that_say_something_else_are_not() {
        let contexts = [
            "{}",
            r#"{"a": 1}"#,
            r#"{"a": -1}"#,
            r#"{"a": 10}"#,
            r#"{"a": 0.1}"#,
            r#"{"a": "1"}"#,
            r#"{"a": null}"#,
            r#"{"a": [1]}"#,
            r#"{"a": [[1]]}"#,
            r#"{"a": [1, 2]}"#,
            r#"{"a": [2, 1]}"#,
            r#"{"a": [12]}"#,
            r#"{"b": 1}"#,
            r#"{"a": {"b": 1}}"#,
            r#"{"a": {}, "b": 1}"#,
            r#"{"a": 100000000000000000000000000000001}"#,
            r#"{"a": 100000000000000000000000000000002}"#,
        ];
        for (number, one) in contexts.iter().enumerate() {
            for other in &contexts[..number] {
                assert_ne!(of(one), of(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn keys_and_contexts_of_other_templates_are_others() {
        let key = Identity::of_key("a", "b", "c");
        assert_ne!(key, Identity::of_key("ab", "", "c"));
        assert_ne!(key, Identity::of_key("a", "bc", ""));
        let empty: &RawValue = serde_json::from_str("{}").unwrap();
        let context = Identity::of_context("a", "b", "1", empty);
        assert_ne!(context, Identity::of_context("a", "b", "2", empty));
        assert_ne!(context, Identity::of_context("a", "c", "1", empty));
        assert_ne!(context, Identity::of_key("a", "b", "{}"));
    }

    /// Computed by another implementation of SHA-256 from the words of `docs/idempotency.md`.
    #[test]
    fn an_identity_of_before_is_still_found() {
        let hex = |identity: Identity| {
            identity.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(
            hex(Identity::of_key("default", "order", "order-17")),
            "f48d2158fbff112920094f2cf1ba26bddfbc8ca836c34f1431c17fbabe1db76b"
        );
        assert_eq!(
            hex(of(r#"{"b": [1.50, "é"], "a": null}"#)),
            "27697acf7b753e157984fc41832e8553b762c40b6a2068876c931d8f0fd5971f"
        );
    }

    proptest! {
        #[test]
        fn a_number_is_known_by_its_value(digits in "[1-9][0-9]{0,6}", power in 0_usize..5) {
            let zeros = "0".repeat(power);
            let ways = [
                format!("{digits}{zeros}"),
                format!("{digits}{zeros}.0"),
                format!("{digits}e{power}"),
                format!("0.{digits}E+{}", digits.len() + power),
            ];
            for way in &ways[1..] {
                prop_assert_eq!(of(&format!("[{}]", ways[0])), of(&format!("[{way}]")));
            }
        }
    }
}
