mod contexts;
mod diffs;
mod keys;
mod links;
mod properties;
mod schemas;
mod steps;

use super::*;
use serde_json::json;

/// A template of one step, with `step`'s keys put over the step's and `top`'s over the template's.
fn with(top: &Value, step: &Value) -> Value {
    let mut template =
        json!({"name": "x", "step_templates": [{"name": "a", "handler_class": "A"}]});
    put(&mut template["step_templates"][0], step);
    put(&mut template, top);
    template
}

fn put(target: &mut Value, keys: &Value) {
    for (key, value) in keys.as_object().expect("keys") {
        target[key] = value.clone();
    }
}

fn read(template: &Value) -> Result<TaskTemplate, TemplateError> {
    TaskTemplate::from_json(&template.to_string())
}

fn top(keys: &Value) -> Result<TaskTemplate, TemplateError> {
    read(&with(keys, &json!({})))
}

fn step(keys: &Value) -> Result<TaskTemplate, TemplateError> {
    read(&with(&json!({}), keys))
}

fn first_step(keys: &Value) -> StepTemplate {
    step(keys).expect("valid").steps()[0].clone()
}

fn steps(list: &Value) -> Result<TaskTemplate, TemplateError> {
    read(&json!({"name": "x", "step_templates": list}))
}

/// Key and message of the error, or two empty texts when there is none.
fn refused(result: Result<TaskTemplate, TemplateError>) -> (String, String) {
    result.err().map(|error| (error.key.to_string(), error.to_string())).unwrap_or_default()
}

#[track_caller]
fn assert_refused(result: Result<TaskTemplate, TemplateError>, key: &str, part: &str) {
    let (seen, message) = refused(result);
    assert_eq!(seen, key, "{message}");
    assert!(message.contains(part), "{message}");
}

#[test]
fn what_is_wrong_inside_a_large_list_is_told_at_its_place() {
    let good = r#"{"name": "a", "handler_class": "A"}"#;
    let text = |steps: &str| format!(r#"{{"name": "x", "step_templates": {steps}}}"#);
    let number = text(&format!(r#"[{good}, {{"name": "b", "handler_config": {{"n": 1e400}}}}]"#));
    let at = number.find("1e400").unwrap();
    let (key, message) = refused(TaskTemplate::from_json(&number));
    assert_eq!(key, "template");
    let told = (at..=at + 5).any(|offset| message.contains(&format!("byte {offset}: number out")));
    assert!(told, "{at}: {message}");
    let nul = text(&format!(r#"[{good}, {{"name": "b", "when": "context.a == '\u0000'"}}]"#));
    let (key, message) = refused(TaskTemplate::from_json(&nul));
    assert_eq!(key, "step_templates[1].when");
    let allowed = "allowed: every other character; the database stores none such";
    assert_eq!(message, format!("{key} holds the character U+0000; {allowed}"));
    let half = text(&format!(r#"[{good}, {{"name": "b\ud800"}}]"#));
    assert_refused(TaskTemplate::from_json(&half), "step_templates[1].name", "half a surrogate");
    let kind = text(&format!(r#"[{good}, 7]"#));
    assert_refused(TaskTemplate::from_json(&kind), "step_templates[1]", "is 7");
    let twice = format!(r#"{{"step_templates": [1], "name": "x", "step_templates": [{good}]}}"#);
    assert_eq!(TaskTemplate::from_json(&twice).unwrap().steps().len(), 1);
    assert_refused(TaskTemplate::from_json(&text("[]")), "step_templates", "at least one step");
    assert_refused(TaskTemplate::from_json(&text(r#"{"a": 1}"#)), "step_templates", "list");
    assert_refused(TaskTemplate::from_json(&text("null")), "step_templates", "at least one step");
}
