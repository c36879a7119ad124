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
