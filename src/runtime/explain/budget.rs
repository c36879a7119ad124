//! What a task has used up of its budget.

use serde_json::Value;

use super::words::parsed;
use crate::ids::TaskId;
use crate::store::StepTransitionRow;

/// What kept a step from being started.
pub(super) fn out_of_budget(change: Option<&StepTransitionRow>, task: TaskId) -> String {
    let budget = parsed(change.and_then(|change| change.detail.as_deref()));
    let limit = budget["budget"].as_str().unwrap_or_default();
    format!(
        "was not started: its task's budget of {limit} was used up ({}); tasker budget {task} raises it",
        used(&budget)
    )
}

/// What a task has used up of its budget.
pub(super) fn used(budget: &Value) -> String {
    let attempts = budget["max_attempts"]
        .as_u64()
        .map(|most| format!("{} of {most} attempts", budget["attempts"]));
    let cost = budget["max_cost"].as_f64().map(|most| {
        let reserved = budget["reserved"].as_f64().filter(|reserved| *reserved > 0.0);
        let reserved =
            reserved.map(|reserved| format!(", {reserved} reserved")).unwrap_or_default();
        format!("{} of {most} spent{reserved}", budget["spent"].as_f64().unwrap_or_default())
    });
    let used: Vec<_> = [attempts, cost].into_iter().flatten().collect();
    format!("budget: {}", used.join(", "))
}
