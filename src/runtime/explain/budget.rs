//! What a task has used up of its budget.

use serde_json::Value;

use super::Facts;
use super::words::{asked_by, parsed};
use crate::budget::Cost;
use crate::ids::TaskId;
use crate::runtime::reports::TaskStatus;
use crate::state::{StepState, TaskEvent};
use crate::store::{StepListRow, StepTransitionRow};

/// Steps that are named at most that hold a part of a budget.
const MOST_HOLDERS: usize = 3;

/// What kept a step from being started that reserves so much.
pub(super) fn out_of_budget(
    change: Option<&StepTransitionRow>,
    reserves: Option<Cost>,
    task: TaskId,
) -> String {
    let budget = parsed(change.and_then(|change| change.detail.as_deref()));
    let limit = budget["budget"].as_str().unwrap_or_default();
    let reserves = reserves.filter(|cost| limit == "cost" && *cost > Cost::default());
    let why = match reserves {
        Some(cost) => {
            format!("it reserves {}, more than is left of its task's budget", cost.number())
        }
        None => format!("its task's budget of {limit} was used up"),
    };
    format!("was not started: {why} ({}); tasker budget {task} raises it", used(&budget))
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

/// The budget of a task, as its status has it.
pub(super) fn of(status: &TaskStatus) -> Option<Value> {
    status.budget.as_ref().map(|budget| parsed(Some(budget.get())))
}

impl Facts<'_> {
    /// Who raised the task's budget last, from what, and when, as the end of a sentence.
    pub(super) fn raised(&self) -> String {
        let Some(raise) = self.last_noted(TaskEvent::BudgetRaised) else { return String::new() };
        let detail = parsed(raise.detail.as_deref());
        let (from, to) = (&detail["from"], &detail["to"]);
        let attempts = from["attempts"].as_u64().map(|most| format!("{most} attempts"));
        let cost = from["cost"].as_f64().map(|most| format!("a cost of {most}"));
        let raised = [("attempts", attempts), ("cost", cost)].into_iter();
        let raised = raised.filter(|(limit, _)| from[*limit] != to[*limit]);
        let none = |limit| format!("no limit of {limit}");
        let raised: Vec<_> =
            raised.map(|(limit, was)| was.unwrap_or_else(|| none(limit))).collect();
        let by = asked_by(raise.detail.as_deref());
        format!("; raised from {} by {by}, {}", raised.join(" and "), self.ago(raise.created_at))
    }

    /// What a ready step waits for whose task's budget others have reserved.
    pub(super) fn held_by_budget(&self, at: usize, row: &StepListRow) -> Option<String> {
        let budget = self.budget.as_ref()?;
        let number = |key: &str| Cost::from_number(budget[key].as_f64()?);
        let (most, spent, reserved) = (number("max_cost")?, number("spent")?, number("reserved")?);
        let wanted = self.step(at)?.reserve_cost?;
        let free = most.minus(spent.plus(reserved));
        let is_put_off = row.queue.is_some() && row.available_at.is_some_and(|at| at > self.now);
        if !is_put_off || wanted <= free {
            return None;
        }
        let holds = |at: &usize| {
            let reserves = self.step(*at).and_then(|step| step.reserve_cost);
            self.steps[*at].state == StepState::InProgress
                && reserves.is_some_and(|cost| cost > Cost::default())
        };
        let holders = (0..self.steps.len()).filter(holds).map(|at| self.name(at));
        let mut by: Vec<_> = holders.take(MOST_HOLDERS + 1).collect();
        if by.len() > MOST_HOLDERS {
            by[MOST_HOLDERS] = "others".to_owned();
        }
        let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
        Some(format!(
            "ready, and waits for a part of its task's budget: it reserves {}, and {} of {} is free ({} spent, {} reserved{by})",
            wanted.number(),
            free.number(),
            most.number(),
            spent.number(),
            reserved.number(),
        ))
    }
}
