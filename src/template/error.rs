//! What is wrong with a template, and where.

use serde_json::{Value, json};

use crate::json::shorten;

/// Longest value that a message repeats, in characters.
const SHOWN: usize = 80;

/// Why a template is refused: which key, the value seen, the value allowed.
///
/// # Examples
/// ```
/// use tasker_core::template::TaskTemplate;
///
/// let error = TaskTemplate::from_json(
///     r#"{"name": "x", "step_templates": [
///         {"name": "a", "handler_class": "A", "default_retry_limit": -1}]}"#,
/// )
/// .unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "step_templates[0].default_retry_limit (step \"a\") is -1; allowed: an integer from 0 to 1000"
/// );
/// assert_eq!(error.details()["key"], "step_templates[0].default_retry_limit");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct TemplateError {
    /// Path of the key at fault, such as `step_templates[2].depends_on_steps[0]`, or `template`.
    pub key: Box<str>,
    /// Name of the step that holds the key, where it has one.
    pub step: Option<Box<str>>,
    /// The value seen, as JSON of at most about 80 characters; nothing when the key is missing.
    pub value: Option<Box<str>>,
    /// What is wrong, as it follows the key in a sentence: `is -1`, `is missing`.
    pub problem: Box<str>,
    /// What would be right.
    pub allowed: Option<Box<str>>,
    /// The word that was probably meant.
    pub suggestion: Option<Box<str>>,
}

impl TemplateError {
    /// The key's value is not one of those allowed.
    pub(super) fn value(
        key: impl Into<Box<str>>,
        value: &Value,
        allowed: impl Into<Box<str>>,
    ) -> Self {
        let value = shorten(&value.to_string(), SHOWN);
        TemplateError {
            problem: format!("is {value}").into(),
            value: Some(value.into()),
            ..TemplateError::problem(key, "", allowed)
        }
    }

    /// The key is needed and absent.
    pub(super) fn missing(key: impl Into<Box<str>>, allowed: impl Into<Box<str>>) -> Self {
        TemplateError::problem(key, "is missing", allowed)
    }

    /// Anything else.
    pub(super) fn problem(
        key: impl Into<Box<str>>,
        problem: impl Into<Box<str>>,
        allowed: impl Into<Box<str>>,
    ) -> Self {
        TemplateError {
            key: key.into(),
            step: None,
            value: None,
            problem: problem.into(),
            allowed: Some(allowed.into()),
            suggestion: None,
        }
    }

    /// With the word that was probably meant.
    pub(super) fn suggest(mut self, word: Option<&str>) -> Self {
        self.suggestion = word.map(Box::from);
        self
    }

    /// Where the problem says what is allowed.
    pub(super) fn without_allowed(mut self) -> Self {
        self.allowed = None;
        self
    }

    /// With more of what is wrong.
    pub(super) fn and(mut self, more: &str) -> Self {
        self.problem = format!("{}, and {more}", self.problem).into();
        self
    }

    /// With the value seen.
    pub(super) fn seen(mut self, value: &Value) -> Self {
        self.value = Some(shorten(&value.to_string(), SHOWN).into());
        self
    }

    /// With the step that holds the key.
    pub(super) fn in_step(mut self, name: Option<&str>) -> Self {
        self.step = name.map(|name| shorten(name, SHOWN).into());
        self
    }

    /// The error as data: `key`, `step`, `value`, `allowed` and `suggestion`, each text or null.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::template::TaskTemplate;
    ///
    /// let error = TaskTemplate::from_json(r#"{"nmae": "x"}"#).unwrap_err();
    /// assert_eq!(error.details()["key"], "nmae");
    /// assert_eq!(error.details()["suggestion"], "name");
    /// ```
    #[must_use]
    pub fn details(&self) -> Value {
        json!({
            "key": self.key,
            "step": self.step,
            "value": self.value,
            "allowed": self.allowed,
            "suggestion": self.suggestion,
        })
    }

    fn message(&self) -> String {
        let step = self.step.as_ref().map(|name| format!(" (step {name:?})")).unwrap_or_default();
        let advice = match (&self.suggestion, &self.allowed) {
            (Some(word), _) => format!("; did you mean {word:?}?"),
            (None, Some(allowed)) => format!("; allowed: {allowed}"),
            (None, None) => String::new(),
        };
        format!("{}{step} {}{advice}", self.key, self.problem)
    }
}
