//! What a worker does about steps that were added before their handlers begin, and about map steps, which have none.

use std::collections::HashMap;

use super::delivery::{AddedDelivery, Prepared, given};
use super::failure::bounded;
use super::growth::LARGEST_INPUTS;
use super::orchestrator::{blocked, failure};
use crate::decision::{Claim, FailureKind, GivenUp, Items, MOST_STEPS, Outcome};
use crate::error::Error;
use crate::ids::StepId;
use crate::store::{AddedToRun, Database};

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
    let map = one.step().and_then(|step| step.map.as_ref()).filter(|_| item.is_some());
    let tolerate = map.and_then(|map| map.tolerate);
    let never_begun = one.delivery.claim.attempt == 1;
    let tolerate = tolerate.filter(|most| never_begun && failed_items > *most)?;
    Some(Outcome::ItemGivenUp(GivenUp { failed: failed_items, tolerate }))
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
