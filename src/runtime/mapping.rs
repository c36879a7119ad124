//! What a worker does about steps that were added before their handlers begin, and about map steps, which have none.

use std::collections::{BTreeMap, HashMap};

use super::deciding::Sight;
use super::delivery::{AddedDelivery, Prepared, given};
use super::ending::step;
use super::failure::bounded;
use super::growth::LARGEST_INPUTS;
use super::orchestrator::{blocked, failure};
use crate::budget::{Budget, Verdict};
use crate::decision::{Claim, ClaimEnd, FailureKind, GivenUp, Items, MOST_STEPS, Outcome, View};
use crate::error::Error;
use crate::ids::{StepId, TaskId};
use crate::state::TaskState;
use crate::store::{AddedToRun, Database, StoreError, Transaction, UnbegunItem};
use crate::template::StepTemplate;

/// Items that end together with one that is given up, at most: their task is held for as long as they are written.
const MOST_TOGETHER: u32 = 2_000;

/// Gives steps that were added what they were given, read in one query. Takes out the claims that no handler is to execute,
/// with their ends.
pub(super) async fn attach_added(
    database: &impl Database,
    prepared: &mut Vec<Prepared>,
) -> Result<Vec<(Claim, Outcome)>, Error> {
    let is_added = |one: &&Prepared| one.delivery.claim.step.index() >= one.template.positions();
    let added = prepared.iter().filter(is_added).map(|one| one.delivery.claim.step);
    let added: Vec<_> = added.collect();
    if added.is_empty() {
        return Ok(Vec::new());
    }
    let rows = database.added_to_run(&added).await?;
    let mut rows: HashMap<StepId, AddedToRun> = rows.into_iter().map(|r| (r.step, r)).collect();
    let mut refused = Vec::new();
    prepared.retain_mut(|one| {
        if !is_added(&&*one) {
            return true;
        }
        let claim = one.delivery.claim;
        let unfit = match rows.remove(&claim.step) {
            Some(row) => attach(one, row),
            None => Some(blocked("what it was added with is not in the database".to_owned())),
        };
        let fits = unfit.is_none();
        refused.extend(unfit.map(|outcome| (claim, outcome)));
        fits
    });
    Ok(refused)
}

/// Gives a step what it was added with; its end, where no handler is to execute it.
fn attach(one: &mut Prepared, row: AddedToRun) -> Option<Outcome> {
    let inputs = match &row.inputs {
        Ok(inputs) => inputs.as_str().into(),
        Err(why) => return Some(blocked(format!("the inputs of the step are {why}"))),
    };
    let AddedToRun { prototype, name, item, failed_items, .. } = row;
    one.delivery.added = Some(Box::new(AddedDelivery { prototype, name, inputs, item }));
    let is_unbegun = item.is_some() && one.delivery.claim.attempt == 1;
    let why = given_up(one.step().filter(|_| is_unbegun)?, failed_items)?;
    Some(Outcome::ItemGivenUp(why))
}

/// Why items of a map step that have not begun are not executed any more, after so many have failed.
fn given_up(map: &StepTemplate, failed: u32) -> Option<GivenUp> {
    let tolerate = map.map.as_ref()?.tolerate.filter(|most| failed > *most)?;
    Some(GivenUp { failed, tolerate })
}

/// Whether an item ends that was claimed, and is not executed any more.
pub(super) fn is_given_up(end: &ClaimEnd) -> bool {
    matches!(end.outcome, Outcome::ItemGivenUp(_))
}

/// Shows the decider the items that end with those that are given up: of each task some that come after the last of these. The
/// next one that is claimed ends with those after it.
pub(super) async fn see_others(
    tx: &mut impl Transaction,
    view: &mut View,
    ends: &[ClaimEnd],
    sight: Sight<'_>,
) -> Result<(), StoreError> {
    let is_paused = |task| view.tasks.get(&task).is_none_or(|t| t.state == TaskState::Paused);
    let mut last: BTreeMap<TaskId, StepId> = BTreeMap::new();
    for item in ends.iter().filter(|end| is_given_up(end)).map(|end| end.claim.step) {
        let known = last.entry(item.task()).or_insert(item);
        *known = item.max(*known);
    }
    last.retain(|task, _| !is_paused(*task));
    let last: Vec<_> = last.into_values().collect();
    see(tx, view, Unbegun::GivenUp, &last, MOST_TOGETHER, sight).await
}

/// Shows the decider which of the steps that are to be claimed are items that are not executed any more, where the budget of their
/// task would refuse some: that they are not is why they end. With one of them, or one that the budget refuses, end some that come
/// after it: the budget refuses all items of a map step, which reserve the same.
pub(super) async fn see_claimed(
    tx: &mut impl Transaction,
    view: &mut View,
    sight: Sight<'_>,
) -> Result<(), StoreError> {
    let (mut items, mut refused) = (Vec::new(), BTreeMap::new());
    for (task, budget) in &view.budgets {
        let steps = view.steps.range(task.step(0)..TaskId(task.0 + 1).step(0)).map(|(id, _)| *id);
        let others = u32::try_from(steps.clone().count()).unwrap_or(u32::MAX).saturating_sub(1);
        let last = Budget { attempts: budget.attempts.saturating_add(others), ..*budget };
        let added = steps.filter(|step| view.grown.prototypes.contains_key(step));
        if budget.exhausted.is_none() {
            items.extend(added.clone().filter(|step| is_refused(view, &last, *step)));
        }
        let of_task = added.filter(|step| is_refused(view, budget, *step));
        refused.extend(of_task.map(|step| (*task, step)));
    }
    see(tx, view, Unbegun::GivenUp, &items, 0, sight).await?;
    let given_up = view.given_up.keys().map(|item| (item.task(), *item));
    let last: BTreeMap<_, _> = given_up.filter(|(task, _)| !refused.contains_key(task)).collect();
    let last: Vec<_> = last.into_values().collect();
    see(tx, view, Unbegun::GivenUp, &last, MOST_TOGETHER, sight).await?;
    let last: Vec<_> = refused.into_values().collect();
    see(tx, view, Unbegun::Refused, &last, MOST_TOGETHER, sight).await
}

fn is_refused(view: &View, budget: &Budget, step: StepId) -> bool {
    let reserve = view.reserves.get(&step).copied().unwrap_or_default();
    matches!(budget.verdict(reserve), Verdict::Never(_))
}

/// Which items that have not begun end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unbegun {
    /// Those that are not executed any more.
    GivenUp,
    /// All of them: their budget refuses those that are not given up.
    Refused,
}

/// Shows the decider those of these items, and of so many after each of them, that end.
async fn see(
    tx: &mut impl Transaction,
    view: &mut View,
    unbegun: Unbegun,
    items: &[StepId],
    further: u32,
    sight: Sight<'_>,
) -> Result<(), StoreError> {
    let all = unbegun == Unbegun::Refused;
    if items.is_empty() {
        return Ok(());
    }
    for item in tx.lock_unbegun_items(items, further, all).await? {
        let id = item.step.id;
        let is_exhausted = view.budgets.get(&id.task()).is_some_and(|b| b.exhausted.is_some());
        match why(&item, sight).filter(|_| !is_exhausted) {
            Some(why) => _ = view.given_up.insert(id, why),
            None if all => {}
            None => continue,
        }
        view.steps.insert(id, step(&item.step, sight.join(id)));
        view.grown.prototypes.insert(id, item.prototype);
        let reserve = sight.reserve(id, &view.grown.prototypes);
        view.reserves.extend(reserve.map(|reserve| (id, reserve)));
    }
    Ok(())
}

/// Why an item that has not begun is not executed any more; `None` for one that is.
fn why(item: &UnbegunItem, sight: Sight<'_>) -> Option<GivenUp> {
    let template = &sight.by_task.get(&item.step.id.task())?.template;
    given_up(template.steps().get(item.prototype as usize)?, item.failed_items)
}

/// The end of a map step's claim: the items that it is executed for; `None` for any other step, which a handler executes.
pub(super) fn map(one: &Prepared, parents: &[(StepId, Option<&str>)]) -> Option<Outcome> {
    let step = one.step().filter(|_| one.delivery.added.is_none())?;
    let map = step.map.as_ref()?;
    let list = map.over.list(&one.delivery.context, given(&one.template, parents));
    Some(match list.and_then(check) {
        Ok(values) if values.is_empty() => {
            let none = r#"{"items":0,"complete":0,"failed":0,"skipped":0}"#;
            Outcome::Succeeded(none.into())
        }
        Ok(values) => {
            let (name, max_parallel) = (step.name.clone(), map.max_parallel);
            Outcome::Mapped(Items { name, values, max_parallel }.into())
        }
        Err(why) => {
            let why = format!("the list {} cannot be told: {why}", map.over.text());
            Outcome::Failed(bounded(failure(FailureKind::Permanent, "Condition", why)))
        }
    })
}

type Values = Vec<std::sync::Arc<str>>;

fn check(values: Values) -> Result<Values, String> {
    if values.len() > MOST_STEPS as usize {
        return Err(format!("it has {} items; allowed: {MOST_STEPS}", values.len()));
    }
    match values.iter().zip(0_usize..).find(|(value, _)| value.len() > LARGEST_INPUTS) {
        Some((value, index)) => {
            let bytes = value.len();
            Err(format!("item {index} has {bytes} bytes of JSON; allowed: {LARGEST_INPUTS}"))
        }
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_no_more_items_and_no_larger_ones_than_a_task_can_get() {
        let item = |bytes: usize| "1".repeat(bytes).into();
        assert!(check(vec![item(LARGEST_INPUTS), item(1)]).is_ok());
        let error = check(vec![item(1), item(LARGEST_INPUTS + 1)]).unwrap_err();
        assert_eq!(error, "item 1 has 65537 bytes of JSON; allowed: 65536");
        let mut list = vec![item(1); MOST_STEPS as usize];
        list.push(item(1));
        let error = check(list.clone()).unwrap_err();
        assert_eq!(error, "it has 1048577 items; allowed: 1048576");
        list.pop();
        assert_eq!(check(list).map(|list| list.len()), Ok(MOST_STEPS as usize));
    }
}
