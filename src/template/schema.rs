//! The JSON Schema of a template's contexts: compiled once, asked for every new task.

mod cost;

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Value, json};

use cost::{Cost, TooCostly};

use super::error::TemplateError;
use super::parse::json_length;
use crate::json::{self, JsonError, JsonLimits, shorten};

/// Most violations that one error lists.
const MOST_VIOLATIONS: usize = 20;

/// Longest message of one violation, in characters.
const LONGEST_MESSAGE: usize = 200;

/// Longest schema, in bytes of JSON.
const LONGEST_SCHEMA: usize = 1 << 20;

/// Steps back that one match of a regular expression may take; the library's own limit is a million, which
/// takes a tenth of a second for each text of a context.
const MOST_STEPS_BACK: usize = 10_000;

const TOO_MANY_WAYS: &str =
    "it does not match the schema, which refers to itself on too many ways to say where";

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
    /// Where, as a JSON Pointer (RFC 6901) such as `/items/0/price`, at most about 200
    /// characters; empty for the whole context.
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
            path: shorten(error.instance_path().as_str(), LONGEST_MESSAGE),
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

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Schema {
    validator: Validator,
    cost: Cost,
}

/// Compiles a schema without fetching anything. A schema that does not name its draft is read as
/// draft 2020-12, or as draft 4 (which older templates are written in) if it is only valid there.
pub(super) fn compile(schema: &Value) -> Result<Schema, TemplateError> {
    if !schema.is_object() {
        return Err(TemplateError::value("schema", schema, "a JSON Schema: an object"));
    }
    let bytes = json_length(schema);
    if bytes > LONGEST_SCHEMA {
        let allowed = format!("at most {LONGEST_SCHEMA}");
        return Err(TemplateError::problem("schema", format!("is {bytes} bytes of JSON"), allowed));
    }
    let cost = Cost::of(schema).map_err(|reason| too_costly(&reason))?;
    let validator = build(schema, None).or_else(|error| match schema.get("$schema") {
        Some(_) => Err(refusal(&error)),
        None => build(schema, Some(Draft::Draft4)).map_err(|_| refusal(&error)),
    })?;
    Ok(Schema { validator, cost })
}

fn too_costly(reason: &TooCostly) -> TemplateError {
    let problem = shorten(&reason.to_string(), LONGEST_MESSAGE);
    TemplateError::problem("schema", problem, reason.allowed())
}

fn build(schema: &Value, draft: Option<Draft>) -> Result<Validator, ValidationError<'static>> {
    let patterns = PatternOptions::fancy_regex().backtrack_limit(MOST_STEPS_BACK);
    let options = jsonschema::options().offline().with_pattern_options(patterns);
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
    let key = shorten(&dotted(error.instance_path()), LONGEST_MESSAGE);
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
pub(super) fn validate(
    schema: Option<&Schema>,
    context: &str,
    limits: JsonLimits,
) -> Result<(), ContextError> {
    json::check_object(context, limits)?;
    let Some(schema) = schema else {
        return Ok(());
    };
    let value: Value =
        serde_json::from_str(context).map_err(|error| json::syntax_error(context, &error))?;
    if schema.validator.is_valid(&value) {
        return Ok(());
    }
    Err(schema.faults(&value))
}

impl Schema {
    /// What is wrong with a value that does not match. Unlike the question whether it matches, this remembers
    /// nothing of what references in circles lead to.
    fn faults(&self, value: &Value) -> ContextError {
        if !self.cost.allows_details(levels(value)) {
            let violation = Violation { path: String::new(), message: TOO_MANY_WAYS.to_owned() };
            return ContextError::Schema { violations: vec![violation], more: true };
        }
        let mut errors = self.validator.iter_errors(value);
        let violations = errors.by_ref().take(MOST_VIOLATIONS).map(Violation::from).collect();
        let more = errors.next().is_some();
        ContextError::Schema { violations, more }
    }
}

/// Arrays and objects within one another; the limit of contexts bounds the recursion.
fn levels(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(levels).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(levels).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
