//! The JSON Schema of a template's contexts: compiled once, asked for every new task.

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::{Value, json};

use super::error::TemplateError;
use crate::json::{self, JsonError, JsonLimits, shorten};

/// Most violations that one error lists.
const MOST_VIOLATIONS: usize = 20;

/// Longest message of one violation, in characters.
const LONGEST_MESSAGE: usize = 200;

/// Why a context is refused.
///
/// # Examples
/// ```
/// use tasker_core::template::TaskTemplate;
///
/// let template = TaskTemplate::from_json(
///     r#"{"name": "ship", "schema": {"required": ["order_id"]},
///         "step_templates": [{"name": "a", "handler_class": "A"}]}"#,
/// )
/// .unwrap();
/// let error = template.validate_context("{}").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the context does not match the template's schema: at the top, \"order_id\" is a required property"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// Not a JSON object that the database can store.
    #[error("the context is refused: {0}")]
    Json(#[from] JsonError),
    /// Not what the template's schema asks for.
    #[error("the context does not match the template's schema: {}{}", list(.violations), and_more(*.more))]
    Schema {
        /// What is wrong, at most 20 of them.
        violations: Vec<Violation>,
        /// Whether there are more.
        more: bool,
    },
}

impl ContextError {
    /// The error as data: `violations`, a list of `path` and `message`, and `more`. A context that
    /// is no JSON object at all has one violation at the top.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::template::TaskTemplate;
    ///
    /// let template = TaskTemplate::from_json(
    ///     r#"{"name": "ship", "schema": {"properties": {"items": {"items": {"type": "string"}}}},
    ///         "step_templates": [{"name": "a", "handler_class": "A"}]}"#,
    /// )
    /// .unwrap();
    /// let error = template.validate_context(r#"{"items": ["a", 2]}"#).unwrap_err();
    /// assert_eq!(error.details()["violations"][0]["path"], "/items/1");
    /// ```
    #[must_use]
    pub fn details(&self) -> Value {
        match self {
            ContextError::Json(error) => {
                json!({"violations": [{"path": "", "message": error.to_string()}], "more": false})
            }
            ContextError::Schema { violations, more } => {
                let violations =
                    violations.iter().map(|one| json!({"path": one.path, "message": one.message}));
                json!({"violations": violations.collect::<Vec<_>>(), "more": more})
            }
        }
    }
}

/// One thing in a context that the schema forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, as a JSON Pointer (RFC 6901) such as `/items/0/price`; empty for the whole context.
    pub path: String,
    /// What is wrong, at most about 200 characters.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.path.is_empty() { "the top" } else { &self.path };
        write!(f, "at {place}, {}", self.message)
    }
}

impl From<ValidationError<'_>> for Violation {
    fn from(error: ValidationError<'_>) -> Self {
        Violation {
            path: error.instance_path().as_str().to_owned(),
            message: shorten(&error.to_string(), LONGEST_MESSAGE),
        }
    }
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("; ")
}

const fn and_more(more: bool) -> &'static str {
    if more { "; and more" } else { "" }
}

/// Compiles a schema without fetching anything. A schema that does not name its draft is read as
/// draft 2020-12, or as draft 4 (which older templates are written in) if it is only valid there.
pub(super) fn compile(schema: &Value) -> Result<Validator, TemplateError> {
    if !schema.is_object() {
        return Err(TemplateError::value("schema", schema, "a JSON Schema: an object"));
    }
    build(schema, None).or_else(|error| match schema.get("$schema") {
        Some(_) => Err(refusal(&error)),
        None => build(schema, Some(Draft::Draft4)).map_err(|_| refusal(&error)),
    })
}

fn build(schema: &Value, draft: Option<Draft>) -> Result<Validator, ValidationError<'static>> {
    let options = jsonschema::options().offline();
    match draft {
        None => options.build(schema),
        Some(draft) => options.with_draft(draft).build(schema),
    }
}

fn refusal(error: &ValidationError<'_>) -> TemplateError {
    let message = shorten(&error.to_string(), LONGEST_MESSAGE);
    if matches!(error.kind(), ValidationErrorKind::Referencing(_)) {
        return TemplateError::problem(
            "schema",
            format!("refers to something that cannot be found in it: {message}"),
            "references within the schema, such as #/$defs/address, and a known draft in $schema",
        );
    }
    let key = dotted(error.instance_path());
    TemplateError::problem(key, format!("is not valid: {message}"), "a valid JSON Schema")
        .seen(error.instance())
}

/// `/properties/a/anyOf/0` as `schema.properties.a.anyOf[0]`.
fn dotted(location: &Location) -> String {
    location.iter().fold("schema".to_owned(), |path, segment| match segment {
        LocationSegment::Property(name) => format!("{path}.{name}"),
        LocationSegment::Index(index) => format!("{path}[{index}]"),
    })
}

/// Checks a context against the limits, for being an object, and against the schema if there is one.
pub(super) fn validate(validator: Option<&Validator>, context: &str) -> Result<(), ContextError> {
    json::check_object(context, JsonLimits::CONTEXT)?;
    let Some(validator) = validator else {
        return Ok(());
    };
    let value: Value =
        serde_json::from_str(context).map_err(|error| json::syntax_error(context, &error))?;
    if validator.is_valid(&value) {
        return Ok(());
    }
    let mut errors = validator.iter_errors(&value);
    let violations = errors.by_ref().take(MOST_VIOLATIONS).map(Violation::from).collect();
    let more = errors.next().is_some();
    Err(ContextError::Schema { violations, more })
}
