//! What a process that executes steps asks of their template: piece by piece, as a large template is only ever kept once.

use serde::Serialize;

use super::templates::Stored;
use crate::template::{ErrorClasses, StepTemplate};

/// What a template says of all its steps.
#[derive(Serialize)]
struct Head<'a> {
    namespace_name: &'a str,
    name: &'a str,
    version: &'a str,
    error_classes: &'a ErrorClasses,
    /// Whether its tasks may get steps that it does not name.
    grows: bool,
}

/// A step, and where it decides, which steps it decides on.
#[derive(Serialize)]
struct Definition<'a> {
    #[serde(flatten)]
    step: &'a StepTemplate,
    branches: Vec<&'a str>,
}

/// JSON of what a template says of all its steps.
pub(super) fn head(stored: &Stored) -> String {
    let template = &stored.template;
    let grows = template.steps().iter().any(|step| step.dynamic || step.map.is_some());
    json(&Head {
        namespace_name: template.namespace(),
        name: template.name(),
        version: template.version(),
        error_classes: template.error_classes(),
        grows,
    })
}

/// JSON of the step at a position; `None` for one that the template does not have.
pub(super) fn definition(stored: &Stored, index: u32) -> Option<String> {
    let (steps, graph) = (stored.template.steps(), stored.template.graph());
    let step = steps.get(index as usize)?;
    let branches = if step.decides { graph.children(index) } else { &[] };
    let branches = branches.iter().map(|&child| steps[child as usize].name.as_str()).collect();
    Some(json(&Definition { step, branches }))
}

/// JSON of the names of all steps, in order.
pub(super) fn names(stored: &Stored) -> String {
    json(&stored.template.steps().iter().map(|step| step.name.as_str()).collect::<Vec<_>>())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("keys are text, and numbers are finite")
}
