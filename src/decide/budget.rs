//! What tasks may use up: counted with each claim and each end of one, and asked before a claim.

use std::collections::BTreeMap;

use super::draft::{Draft, Place};
use crate::budget::{Budget, Constraint, Cost, Verdict};
use crate::decision::View;
use crate::guard::{Guard, removed};
use crate::ids::{StepId, TaskId};
use crate::state::{InvalidTransition, StepEvent, StepState};

/// How many postponed steps are looked at again for each attempt that ends, step that is given up, and step that starts where
/// none has to wait. With one, no more would ever run at a time than at first, however little they spend of what they
/// have reserved; what does not fit is postponed again.
const RESUMED: u32 = 2;

/// Whether a step may be claimed now.
pub(super) fn verdict(draft: &Draft<'_>, step: StepId) -> Verdict {
    let Some(budget) = draft.budgets.get(&step.task()).filter(|_| !removed(Guard::BudgetsKept))
    else {
        return Verdict::Start;
    };
    budget.verdict(draft.view.reserves.get(&step).copied().unwrap_or_default())
}

/// Counts a change of a step of a task that has a budget.
pub(super) fn count(draft: &mut Draft<'_>, place: Place, event: StepEvent, to: StepState) {
    let step = draft.step(place);
    let (id, from) = (step.id, step.state);
    let reserve = draft.view.reserves.get(&id).copied().unwrap_or_default();
    let spent = draft.view.spent.get(&id).copied().unwrap_or_default();
    let Some(budget) = draft.budgets.get_mut(&id.task()) else { return };
    if from == StepState::InProgress {
        if reserve > Cost::default() && budget.limits.cost.is_some() {
            *draft.resumed.entry(id.task()).or_default() += RESUMED;
        }
        budget.reserved = budget.reserved.minus(reserve);
        budget.spent = budget.spent.plus(spent);
        if matches!(
            event,
            StepEvent::GivenBack
                | StepEvent::ConditionUnmet
                | StepEvent::Mapped
                | StepEvent::ItemGivenUp
        ) {
            // Of a claim that is not current any more, whose end the write refuses, there may be no attempt.
            budget.attempts = budget.attempts.saturating_sub(1);
        }
    }
    if to == StepState::InProgress {
        budget.reserved = budget.reserved.plus(reserve);
        budget.attempts += 1;
    }
}

/// After claims: where all steps could start, there may be room for more.
pub(super) fn offer(draft: &mut Draft<'_>, started: &BTreeMap<TaskId, u32>) {
    for (task, steps) in started {
        let has_cost = draft.budgets.get(task).is_some_and(|budget| budget.limits.cost.is_some());
        if has_cost && !draft.postponed.iter().any(|step| step.task() == *task) {
            *draft.resumed.entry(*task).or_default() += RESUMED * steps;
        }
    }
}

/// After a step that is given up: others may be looked at in its place.
pub(super) fn resume(draft: &mut Draft<'_>, task: TaskId) {
    *draft.resumed.entry(task).or_default() += RESUMED;
}

/// The step cannot be started any more: it is in error.
pub(super) fn give_up(
    draft: &mut Draft<'_>,
    place: Place,
    constraint: Constraint,
) -> Result<(), InvalidTransition> {
    let task = draft.step(place).id.task();
    let mut detail = None;
    if let Some(budget) = draft.budgets.get_mut(&task) {
        budget.exhausted.get_or_insert(constraint);
        detail = Some(Budget { exhausted: Some(constraint), ..*budget }.detail().to_string());
        resume(draft, task);
    }
    draft.transition(place, StepEvent::BudgetExhausted)?.detail = detail;
    Ok(())
}

/// The budgets that are not as they were.
pub(super) fn changed(view: &View, budgets: BTreeMap<TaskId, Budget>) -> Vec<(TaskId, Budget)> {
    budgets.into_iter().filter(|(id, budget)| view.budgets.get(id) != Some(budget)).collect()
}
