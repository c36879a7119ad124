//! What failures by exceptions of certain classes mean: tables of a template, or of one of its steps.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::error::TemplateError;
use super::parse::LONGEST_CLASS;
use super::section::{LONGEST_KEY, Section};
use crate::json::shorten;
use crate::suggest;

/// What a failure means, by a table of exception classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorClass {
    /// Another attempt may help.
    Retryable,
    /// No retry can help.
    Permanent,
    /// Needs a person or an outside event.
    Blocked,
}

/// Names of exception classes with what failures by them mean.
pub type ErrorClasses = BTreeMap<String, ErrorClass>;

const WORDS: [(&str, ErrorClass); 3] = [
    ("retryable", ErrorClass::Retryable),
    ("permanent", ErrorClass::Permanent),
    ("blocked", ErrorClass::Blocked),
];

/// Most names in one table.
const MOST_CLASSES: usize = 1_000;

/// Exceptions of this module mean what they say.
const OWN_MODULE: &str = "TaskerCore";

const NAME_ALLOWED: &str =
    "the complete name of an exception class or module, such as \"Net::ReadTimeout\"";

/// Reads `error_classes`.
pub(super) fn read(section: &mut Section) -> Result<ErrorClasses, TemplateError> {
    let table = section.object("error_classes")?;
    let path = section.key("error_classes");
    if table.len() > MOST_CLASSES {
        let problem = format!("has {} names", table.len());
        return Err(TemplateError::problem(path, problem, format!("at most {MOST_CLASSES}")));
    }
    let table = table.into_iter().map(|(name, word)| {
        let key = format!("{path}.{}", shorten(&name, LONGEST_KEY));
        check(&key, &name)?;
        Ok((name, class(&key, &word)?))
    });
    table.collect()
}

fn check(key: &str, name: &str) -> Result<(), TemplateError> {
    let problem = |problem: &str, allowed| Err(TemplateError::problem(key, problem, allowed));
    if name.len() > LONGEST_CLASS || !name.split("::").all(is_constant) {
        return problem("is no name of a class", NAME_ALLOWED);
    }
    if name.split("::").next() == Some(OWN_MODULE) {
        return problem(
            "cannot be classified anew: it means what it says",
            "classes of your own, or of other libraries",
        );
    }
    Ok(())
}

fn is_constant(word: &str) -> bool {
    word.starts_with(char::is_uppercase) && word.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn class(key: &str, word: &Value) -> Result<ErrorClass, TemplateError> {
    let known = WORDS.iter().find(|(known, _)| word.as_str() == Some(known));
    known.map(|(_, class)| *class).ok_or_else(|| {
        let words = WORDS.map(|(word, _)| word);
        let meant = word.as_str().and_then(|word| suggest::nearest(word, words));
        TemplateError::value(key, word, words.join(", ")).suggest(meant)
    })
}
