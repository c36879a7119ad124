use super::*;

#[test]
fn a_schema_must_be_one() {
    assert_refused(top(&json!({"schema": true})), "schema", "is true; allowed: a JSON Schema");
    let result = top(&json!({"schema": {"properties": {"a": {"type": "strng"}}}}));
    assert_refused(result, "schema.properties.a.type", "is not valid: \"strng\"");
    let result = top(&json!({"schema": {"anyOf": [{"required": 1}]}}));
    assert_refused(result, "schema.anyOf[0].required", "is not of type");
    assert_refused(top(&json!({"schema": {"pattern": "("}})), "schema.pattern", "is not valid");
}

#[test]
fn a_schema_refers_to_nothing_outside() {
    for place in ["http://example.com/x.json", "file:///etc/hostname", "#/$defs/nope"] {
        let result = top(&json!({"schema": {"properties": {"a": {"$ref": place}}}}));
        assert_refused(result, "schema", "refers to something that cannot be found in it");
    }
    assert_refused(
        top(&json!({"schema": {"$schema": "http://example.com/s"}})),
        "schema",
        "a known draft",
    );
    let schema =
        json!({"$defs": {"id": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/id"}}});
    let template = top(&json!({"schema": schema})).expect("valid");
    assert!(template.validate_context(r#"{"a": "x"}"#).is_err());
}

#[test]
fn a_schema_without_a_draft_may_be_written_in_draft_4() {
    let schema = json!({"properties": {"a": {"minimum": 1, "exclusiveMinimum": true}}});
    let template = top(&json!({"schema": schema})).expect("valid");
    assert!(template.validate_context(r#"{"a": 1}"#).is_err());
    assert!(template.validate_context(r#"{"a": 2}"#).is_ok());
    let named = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "exclusiveMinimum": true});
    assert_refused(top(&json!({"schema": named})), "schema.exclusiveMinimum", "is not valid");
}

fn order_schema() -> TaskTemplate {
    let schema = json!({
        "type": "object", "required": ["order_id"],
        "properties": {"order_id": {"type": "integer"}, "items": {"items": {"type": "string"}}},
    });
    top(&json!({"schema": schema})).expect("valid")
}

#[test]
fn a_context_is_checked_against_the_schema_and_every_fault_is_listed() {
    let template = order_schema();
    assert_eq!(template.validate_context(r#"{"order_id": 1, "else": {}}"#), Ok(()));
    let error =
        template.validate_context(r#"{"items": ["a", 2, null]}"#).expect_err("three faults");
    let message = error.to_string();
    for part in [
        "at the top, \"order_id\" is a required property",
        "at /items/1, 2 is not",
        "at /items/2, null is not",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(
        matches!(&error, ContextError::Schema { violations, more: false } if violations.len() == 3),
        "{error}"
    );
}

#[test]
fn at_most_20_faults_are_listed() {
    let template = order_schema();
    let faulty = |count: usize| json!({"order_id": 1, "items": vec![0; count]}).to_string();
    let exactly = template.validate_context(&faulty(20)).expect_err("20 faults");
    assert!(
        matches!(&exactly, ContextError::Schema { violations, more: false } if violations.len() == 20)
    );
    let error = template.validate_context(&faulty(21)).expect_err("21 faults");
    assert!(
        matches!(&error, ContextError::Schema { violations, more: true } if violations.len() == 20)
    );
    assert!(error.to_string().ends_with("; and more"));
    assert_eq!(error.details()["more"], true);
}

#[test]
fn a_long_fault_is_shortened() {
    let context = json!({"order_id": "x".repeat(10_000)}).to_string();
    let error = order_schema().validate_context(&context).expect_err("text");
    assert!(error.to_string().len() < 400, "{error}");
}

#[test]
fn a_context_is_an_object_of_limited_size_even_without_a_schema() {
    let template = top(&json!({})).expect("valid");
    assert_eq!(template.validate_context("{}"), Ok(()));
    let error = template.validate_context("[]").expect_err("a list");
    assert_eq!(
        error,
        ContextError::Json(crate::json::JsonError::NotAnObject { found: "an array" })
    );
    assert_eq!(error.details()["violations"][0]["path"], "");
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20));
    assert!(template.validate_context(&large).is_err());
    assert!(
        template
            .validate_context(&format!("{}1{}", r#"{"a":"#.repeat(65), "}".repeat(65)))
            .is_err()
    );
    assert!(template.validate_context("{\"a\": \"\\u0000\"}").is_err());
}

#[test]
fn a_number_too_large_for_the_schema_check_is_an_error_and_no_panic() {
    let error = order_schema().validate_context(r#"{"order_id": 1e400}"#).expect_err("too large");
    assert!(error.to_string().contains("number out of range"), "{error}");
}
