//! The templates of a plan as an application would declare them.

use std::time::Duration;

use serde_json::{Value, json};

use super::{MapPlan, PROTOTYPE, Plan, QUEUES, When, is_unmet, said};
use crate::retry_policy::Backoff;

/// The delay after the first failure of a step, and the longest.
const BASE: Duration = Duration::from_millis(200);

const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// The delays of a step that has a list of them, one after the other, in [`BASE`]s.
const DELAYS: [u32; 3] = [2, 1, 6];

impl Plan {
    /// A template as an application would declare it.
    pub(in crate::simulation) fn declaration(&self, template: usize) -> Value {
        let of_template = &self.templates[template];
        let steps = of_template.iter().enumerate();
        let mut steps: Vec<_> = steps
            .map(|(number, step)| {
                let parents: Vec<_> =
                    step.parents.iter().map(|parent| format!("s{parent}")).collect();
                let mut json = json!({
                    "name": format!("s{number}"), "handler_class": "Simulated",
                    "depends_on_steps": parents, "queue": QUEUES[step.queue], "skippable": true,
                    "join": step.join(),
                    "default_retryable": step.retryable, "default_retry_limit": step.retry_limit,
                    "retry": retry(number),
                });
                if let Some(when) = step.when {
                    json["when"] = when.expression().into();
                }
                if step.undone {
                    json["compensate_with"] = "Simulated".into();
                }
                if let Some(delay) = step.delay {
                    json["delay_seconds"] = delay.as_secs_f64().into();
                }
                if let Some(limit) = step.crash_limit {
                    json["crash_limit"] = limit.into();
                }
                if let Some((other, link)) = step.runs.zip(self.link_of(template, number)) {
                    json["workflow"] = json!({
                        "name": format!("t{other}"),
                        "on_cancel": if link.leave { "leave" } else { "cancel" },
                        "on_failure": if link.block { "block" } else { "fail" },
                    });
                }
                for parent in
                    step.parents.iter().filter(|parent| is_unmet(of_template, **parent, number))
                {
                    json["depends_on_when"][format!("s{parent}")] = "1 == 2".into();
                }
                json["decides"] = said(&self.templates[template], number).is_some().into();
                if let Some(timeout) = step.timeout {
                    json["timeout_seconds"] = timeout.as_secs_f64().into();
                }
                if step.reserve > 0 {
                    json["reserve_cost"] = step.reserve.into();
                }
                if let Some(timeout) = step.total_timeout {
                    json["total_timeout_seconds"] = timeout.as_secs_f64().into();
                }
                if let Some(MapPlan { items, max_parallel, tolerate }) =
                    self.map_of(template, number)
                {
                    let tolerate = tolerate.map_or_else(|| "all".into(), Value::from);
                    let over = json!((0..items).collect::<Vec<_>>()).to_string();
                    json["map"] =
                        json!({ "over": over, "max_parallel": max_parallel, "tolerate": tolerate });
                }
                json
            })
            .collect();
        if self.has_prototype(template) {
            let total = self.added_timeout(template).map(|timeout| timeout.as_secs_f64());
            steps.push(json!({
                "name": PROTOTYPE, "handler_class": "Simulated", "dynamic": true, "skippable": true,
                "default_retry_limit": 2, "retry": retry(of_template.len()),
                "total_timeout_seconds": total,
            }));
        }
        let mode = if self.is_by_hand(template) { "manual" } else { "automatic" };
        json!({ "name": format!("t{template}"), "compensation": mode, "step_templates": steps })
    }
}

impl When {
    /// Over a context that is empty.
    const fn expression(self) -> &'static str {
        match self {
            Self::Met => "size(context) == 0",
            Self::Unmet => "has(context.anything)",
            Self::Fails => "context.anything",
        }
    }
}

/// How long after a failure a step of this number is tried again: each kind of backoff in turn.
fn retry(number: usize) -> Value {
    let (base, most) = (BASE.as_secs_f64(), LONGEST_DELAY.as_secs_f64());
    match Backoff::WORDS[number % Backoff::WORDS.len()] {
        "list" => json!({
            "backoff": "list", "delays_seconds": DELAYS.map(|times| base * f64::from(times)), "max_seconds": most
        }),
        word => json!({ "backoff": word, "base_seconds": base, "max_seconds": most }),
    }
}

/// The shortest delay after that many failures of a step of this number, a tenth below what its policy says.
pub(in crate::simulation) fn shortest_delay(number: usize, failures: u32) -> Duration {
    let nth = failures.saturating_sub(1) as usize;
    let listed = |times: &[u32]| times[nth.min(times.len() - 1)];
    let times = match Backoff::WORDS[number % Backoff::WORDS.len()] {
        "exponential" => listed(&[1, 2, 4, 8, 16]),
        "linear" => listed(&[1, 2, 3, 4, 5]),
        "fixed" => 1,
        "fibonacci" => listed(&[1, 1, 2, 3, 5]),
        _ => listed(&DELAYS),
    };
    (BASE * times).mul_f64(0.9).min(LONGEST_DELAY)
}
