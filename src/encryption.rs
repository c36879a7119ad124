//! Encryption at rest: what applications and handlers say is sealed with AES-256-GCM before it is written,
//! where there are keys.
//!
//! A sealed value is JSON again, an object with one key: `{"tasker_encrypted": "NAME:DATA"}`, with the name of
//! the key and, in base64, 24 random bytes, the ciphertext and its tag of 16 bytes. Each value is sealed with a key
//! and a nonce of its own: 44 bytes of HKDF-Expand with SHA-256 (RFC 5869, section 2.3) from the key of that
//! name, the random bytes and what the value is. AES-GCM by itself allows 2^32 random nonces a key (NIST
//! SP 800-38D, section 8.3), which a busy engine uses up within days.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom as _;
use ring::{aead, hkdf, hmac, rand};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::json::shorten;

/// How the text of a sealed value begins.
const PREFIX: &str = r#"{"tasker_encrypted":"#;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Random bytes of a value.
const SALT_BYTES: usize = 24;

/// Bytes from which the key and the nonce of a value are made.
const DERIVED_BYTES: usize = KEY_BYTES + aead::NONCE_LEN;

/// Longest name of a key, in bytes.
const LONGEST_NAME: usize = 64;

/// Most keys.
const MOST_KEYS: usize = 100;

/// Keys by name: the first seals, all of them open. Without any, values are written as they are.
///
/// It is read from a list of `NAME:KEY`, with 32 bytes in base64. Shown with the names only.
///
/// # Examples
/// ```
/// use tasker_core::ClientOptions;
/// let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// let json = format!(r#"{{"url": "postgres:///app", "encryption_keys": ["2026-11:{key}"]}}"#);
/// let options = ClientOptions::from_json(&json).unwrap();
/// assert_eq!(format!("{:?}", options.encryption_keys), r#"Keyring ["2026-11"]"#);
/// ```
#[derive(Clone, Default, Deserialize)]
#[serde(try_from = "Value")]
pub struct Keyring(Arc<[Key]>);

struct Key {
    name: String,
    secret: hkdf::Prk,
}

/// What a value is. One kind cannot stand for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A task's context.
    Context,
    /// A step's results.
    Results,
    /// How an attempt failed.
    Failure,
    /// What a handler attached to an attempt.
    Artifact,
    /// What a signal carries.
    Signal,
    /// What a handler that waits is given back.
    Wait,
    /// What the handler of a step is given that was added, or of an item.
    Inputs,
    /// How an attempt ended that ran in a transaction of the application's.
    End,
}

/// JSON text from a row, where a key for it is at hand.
pub(crate) type Text = Result<String, Unreadable>;

/// Why a sealed value cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No key of this name is at hand.
    #[error(
        "encrypted with the key {name:?}, which is not among the encryption_keys of this process ({known}); \
         add it to them"
    )]
    MissingKey {
        /// The key's name.
        name: String,
        /// The names of those that are there.
        known: String,
    },
    /// The key does not fit.
    #[error(
        "encrypted with the key {name:?}, but the key of that name does not open it: it is another key, or the \
         value was changed; encryption_keys must have the key that it was written with"
    )]
    WrongKey {
        /// The key's name.
        name: String,
    },
}

impl Unreadable {
    /// The name of the key.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::MissingKey { name, .. } | Self::WrongKey { name } => name,
        }
    }
}

/// The system has no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes to encrypt with")]
pub struct NoRandomness;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    tasker_encrypted: Cow<'a, str>,
}

/// Whether JSON text would be taken for a sealed value when it is read.
pub(crate) fn is_sealed(text: &str) -> bool {
    // A list would be read as the fields of the object.
    text.trim_start().starts_with('{') && serde_json::from_str::<Envelope<'_>>(text).is_ok()
}

struct Derived;

impl hkdf::KeyType for Derived {
    fn len(&self) -> usize {
        DERIVED_BYTES
    }
}

impl Content {
    #[cfg(test)]
    const ALL: [Self; 7] = [
        Self::Context,
        Self::Results,
        Self::Failure,
        Self::Artifact,
        Self::Signal,
        Self::Wait,
        Self::Inputs,
    ];

    fn name(self) -> &'static [u8] {
        match self {
            Self::Context => b"context",
            Self::Results => b"results",
            Self::Failure => b"failure",
            Self::Artifact => b"artifact",
            Self::Signal => b"signal",
            Self::Wait => b"wait",
            Self::Inputs => b"inputs",
            Self::End => b"end",
        }
    }
}

impl Keyring {
    /// The text to write.
    pub(crate) fn seal<'a>(
        &self,
        content: Content,
        text: &'a str,
    ) -> Result<Cow<'a, str>, NoRandomness> {
        let Some(key) = self.0.first() else { return Ok(Cow::Borrowed(text)) };
        let mut data = Vec::with_capacity(SALT_BYTES + text.len() + aead::MAX_TAG_LEN);
        data.resize(SALT_BYTES, 0);
        rand::SystemRandom::new().fill(&mut data).map_err(|_| NoRandomness)?;
        let (cipher, nonce) = key.cipher(content, &data).ok_or(NoRandomness)?;
        data.extend_from_slice(text.as_bytes());
        let tag = cipher
            .seal_in_place_separate_tag(nonce, aead::Aad::empty(), &mut data[SALT_BYTES..])
            .map_err(|_| NoRandomness)?;
        data.extend_from_slice(tag.as_ref());
        Ok(Cow::Owned(format!(r#"{PREFIX}"{}:{}"}}"#, key.name, STANDARD.encode(data))))
    }

    /// What stands for a fingerprint in the database: a digest for each key, of which none can be told from a guess
    /// without that key; without keys, the fingerprint itself.
    pub(crate) fn digests(&self, fingerprint: &[u8]) -> Vec<Vec<u8>> {
        if self.0.is_empty() {
            return vec![fingerprint.to_vec()];
        }
        self.0.iter().map(|key| key.digest(fingerprint)).collect()
    }

    /// The text that was sealed; text that is not sealed is returned as it is.
    pub(crate) fn open(&self, content: Content, text: String) -> Text {
        if !text.starts_with(PREFIX) {
            return Ok(text);
        }
        let Ok(Envelope { tasker_encrypted }) = serde_json::from_str(&text) else {
            return Ok(text);
        };
        let (name, data) = tasker_encrypted.split_once(':').unwrap_or((&tasker_encrypted, ""));
        let Some(key) = self.0.iter().find(|key| key.name == name) else {
            let name = shorten(name, LONGEST_NAME);
            return Err(Unreadable::MissingKey { name, known: self.known() });
        };
        key.open(content, data).ok_or_else(|| Unreadable::WrongKey { name: name.to_owned() })
    }

    /// A failure that was sealed; where it cannot be opened, one that says so.
    pub(crate) fn open_failure(&self, text: String) -> String {
        self.open(Content::Failure, text).unwrap_or_else(|why| {
            json!({ "class": "TaskerCore::DecryptionError", "message": format!("the failure is {why}") })
                .to_string()
        })
    }

    /// The names, the one that seals first.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|key| key.name.clone()).collect()
    }

    /// The names in words.
    pub(crate) fn known(&self) -> String {
        if self.0.is_empty() { "there are none".to_owned() } else { self.names().join(", ") }
    }
}

impl Key {
    fn read(text: &str) -> Option<Self> {
        let (name, secret) = text.split_once(':')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let bytes = STANDARD.decode(secret).ok().filter(|bytes| bytes.len() == KEY_BYTES)?;
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.chars().all(is_name) {
            return None;
        }
        let secret = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &bytes);
        Some(Self { name: name.to_owned(), secret })
    }

    /// The key and the nonce of the value with this salt.
    fn cipher(&self, content: Content, salt: &[u8]) -> Option<(aead::LessSafeKey, aead::Nonce)> {
        let info = [b"tasker_core encryption 1 ", content.name(), b" ", salt];
        let mut derived = [0; DERIVED_BYTES];
        self.secret.expand(&info, Derived).ok()?.fill(&mut derived).ok()?;
        let (key, nonce) = derived.split_at(KEY_BYTES);
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key).ok()?;
        Some((aead::LessSafeKey::new(key), aead::Nonce::try_assume_unique_for_key(nonce).ok()?))
    }

    fn digest(&self, fingerprint: &[u8]) -> Vec<u8> {
        let derived = self.secret.expand(&[b"tasker_core identity 1"], hmac::HMAC_SHA256);
        let key = derived.map(hmac::Key::from).expect("a key is as long as a digest");
        hmac::sign(&key, fingerprint).as_ref().to_vec()
    }

    fn open(&self, content: Content, data: &str) -> Option<String> {
        let mut data = STANDARD.decode(data).ok()?;
        let (salt, sealed) = data.split_at_mut_checked(SALT_BYTES)?;
        let (cipher, nonce) = self.cipher(content, salt)?;
        let text = cipher.open_in_place(nonce, aead::Aad::empty(), sealed).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring {:?}", self.names())
    }
}

impl TryFrom<Value> for Keyring {
    type Error = String;

    /// The message names a key, and never shows it.
    fn try_from(value: Value) -> Result<Self, String> {
        let Value::Array(list) = value else {
            return Err("encryption_keys is no list; allowed: a list of NAME:KEY".to_owned());
        };
        if list.len() > MOST_KEYS {
            let count = list.len();
            return Err(format!(
                "encryption_keys is a list of {count}; allowed: at most {MOST_KEYS}"
            ));
        }
        let mut keys = Vec::with_capacity(list.len());
        for (index, text) in list.iter().enumerate() {
            let key = text.as_str().and_then(Key::read).ok_or_else(|| {
                format!(
                    "encryption_keys[{index}] is no key; allowed: NAME:KEY with a name of 1 to {LONGEST_NAME} \
                     letters, digits, \"-\", \"_\" and \".\", and {KEY_BYTES} random bytes in base64"
                )
            })?;
            if keys.iter().any(|other: &Key| other.name == key.name) {
                let name = key.name;
                return Err(format!(
                    "encryption_keys has two keys {name:?}; allowed: one of each name"
                ));
            }
            keys.push(key);
        }
        Ok(Self(keys.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keyring(names: &[&str]) -> Keyring {
        let key = |name: &&str| {
            let bytes: Vec<u8> = name.bytes().cycle().take(KEY_BYTES).collect();
            json!(format!("{name}:{}", STANDARD.encode(bytes)))
        };
        Keyring::try_from(names.iter().map(key).collect::<Value>()).unwrap()
    }

    fn sealed(keys: &Keyring, text: &str) -> String {
        keys.seal(Content::Results, text).unwrap().into_owned()
    }

    #[test]
    fn without_keys_everything_is_written_as_it_is() {
        let keys = Keyring::default();
        assert!(matches!(keys.seal(Content::Context, "{}"), Ok(Cow::Borrowed("{}"))));
        assert_eq!(
            keys.open(Content::Context, r#"{"a":1}"#.to_owned()),
            Ok(r#"{"a":1}"#.to_owned())
        );
    }

    #[test]
    fn the_first_key_seals_and_each_opens() {
        let before = keyring(&["2025"]);
        let rotated = keyring(&["2026", "2025"]);
        let old = sealed(&before, "[1]");
        let new = sealed(&rotated, "[1]");
        assert!(new.starts_with(r#"{"tasker_encrypted":"2026:"#), "{new}");
        assert_eq!(rotated.open(Content::Results, old), Ok("[1]".to_owned()));
        assert_eq!(rotated.open(Content::Results, new.clone()), Ok("[1]".to_owned()));
        let error = before.open(Content::Results, new.clone()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "encrypted with the key \"2026\", which is not among the encryption_keys of this process (2025); \
             add it to them"
        );
        let error = Keyring::default().open(Content::Results, new).unwrap_err();
        assert!(error.to_string().contains("(there are none)"), "{error}");
    }

    #[test]
    fn a_value_that_was_changed_or_is_of_another_kind_is_not_opened() {
        let keys = keyring(&["a"]);
        let text = sealed(&keys, r#"{"amount":5}"#);
        let wrong = Err(Unreadable::WrongKey { name: "a".to_owned() });
        assert_eq!(keys.open(Content::Context, text.clone()), wrong);
        let data = PREFIX.len() + "\"a:".len();
        for at in [data, data + 40, text.len() - 6] {
            let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(keys.open(Content::Results, changed), wrong, "byte {at}");
        }
        for data in ["", "a:", "a:AAAA", "a:#"] {
            let text = json!({ "tasker_encrypted": data }).to_string();
            assert!(keys.open(Content::Results, text).is_err(), "{data:?}");
        }
    }

    #[test]
    fn a_value_is_never_sealed_the_same_way_twice() {
        let keys = keyring(&["a"]);
        assert_ne!(sealed(&keys, "1"), sealed(&keys, "1"));
    }

    #[test]
    fn what_only_looks_like_a_sealed_value_is_none() {
        let keys = keyring(&["a"]);
        for text in [
            r#"{"tasker_encrypted": 5}"#,
            r#"{"tasker_encrypted": "a:AAAA", "more": 1}"#,
            r#"["tasker_encrypted"]"#,
        ] {
            assert!(!is_sealed(text), "{text}");
            assert_eq!(keys.open(Content::Context, text.to_owned()), Ok(text.to_owned()));
        }
        for text in [r#" { "tasker\u005fencrypted" : "" } "#, &sealed(&keys, "1")] {
            assert!(is_sealed(text), "{text}");
        }
    }

    #[test]
    fn there_may_be_100_keys_with_names_of_64_characters() {
        let names: Vec<_> = (0..100).map(|number| format!("{number:-<64}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert_eq!(keyring(&names).names(), names);
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_never_shown() {
        let key = STANDARD.encode([7; 32]);
        let long = "n".repeat(65);
        for bad in [
            json!(key),
            json!([5]),
            json!([key]),
            json!([format!(":{key}")]),
            json!([format!("{long}:{key}")]),
            json!([format!("a b:{key}")]),
            json!(["a:c2VjcmV0"]),
            json!([format!("a:{key}"), format!("a:{key}")]),
            json!((0..101).map(|number| format!("{number}:{key}")).collect::<Vec<_>>()),
        ] {
            let error = Keyring::try_from(bad.clone()).unwrap_err();
            assert!(!error.contains(&key) && !error.contains("c2VjcmV0"), "{error}");
            assert!(error.contains("allowed"), "{error}");
        }
        assert_eq!(format!("{:?}", keyring(&["a", "b"])), r#"Keyring ["a", "b"]"#);
    }

    /// Computed by another implementation of HKDF and AES-GCM (Python's `cryptography`) from the words at the
    /// top of this file.
    #[test]
    fn a_value_of_before_is_still_opened() {
        let keys = keyring(&["2026"]);
        let text = r#"{"tasker_encrypted":"2026:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXMGK00UaD705tc+Fnjm6cv9t9o79voAalEfd9Gg=="}"#;
        assert_eq!(keys.open(Content::Results, text.to_owned()), Ok(r#"{"amount":5}"#.to_owned()));
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened_again(text: String) {
            let keys = keyring(&["a"]);
            for content in Content::ALL {
                let sealed = keys.seal(content, &text).unwrap().into_owned();
                prop_assert!(is_sealed(&sealed));
                for other in Content::ALL {
                    let opened = keys.open(other, sealed.clone());
                    prop_assert_eq!(opened.ok(), (other == content).then(|| text.clone()));
                }
            }
        }

        #[test]
        fn any_text_is_opened_or_not_without_a_panic(text: String) {
            let _ = keyring(&["a"]).open(Content::Results, format!("{PREFIX}\"{text}\"}}"));
        }
    }
}
