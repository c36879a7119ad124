//! The items of map steps, for whoever puts their results together or looks at them.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::arguments::refused;
use super::reports::raw;
use super::templates::Stored;
use super::worker::no_such_step;
use crate::decision::{Failure, FailureKind, Items};
use crate::error::Error;
use crate::ids::TaskId;
use crate::state::StepState;
use crate::store::{FailedItems, ItemRow, Store};

/// Items of one part of a list at most.
const MOST_ITEMS: u32 = 10_000;

/// A part of a list ends with the item with which it has come to so many bytes: at least with one.
const MOST_BYTES: i64 = 16 * 1024 * 1024;

/// Code of the failure of a map step more of whose items failed than may.
const MAP_ITEMS_FAILED: &str = "MAP_ITEMS_FAILED";

/// Code of the failure of items that are not executed any more.
const MAP_GIVEN_UP: &str = "MAP_GIVEN_UP";

/// The failure of a map step by its items.
pub(super) fn failure(map: &str, items: FailedItems) -> Failure {
    let FailedItems { all, failed, tolerate, first } = items;
    let (may, first) = (how_many_may(tolerate), Items::name_of(map, first));
    let message = format!("{failed} of {all} items failed and {may}; the first of them: {first}");
    let code = Some(MAP_ITEMS_FAILED.to_owned());
    let class = "TaskerCore::PermanentError";
    Failure { code, ..Failure::new(FailureKind::Permanent, class, message) }
}

/// The failure of an item that was given up, for the reason that the detail of its change tells.
pub(super) fn given_up(detail: &str) -> Failure {
    let detail: Value = serde_json::from_str(detail).unwrap_or_default();
    let number = |key: &str| detail[key].as_u64().and_then(|number| u32::try_from(number).ok());
    let (failed, may) = (number("failed").unwrap_or(0), how_many_may(number("tolerate")));
    let items = if failed == 1 { "item of the map step has" } else { "items of the map step have" };
    let message =
        format!("{failed} {items} failed and {may}: it is not executed; have it tried again");
    let code = Some(MAP_GIVEN_UP.to_owned());
    let class = "TaskerCore::PermanentError";
    Failure { code, ..Failure::new(FailureKind::Permanent, class, message) }
}

/// How many items may fail, as the end of a sentence.
pub(super) fn how_many_may(tolerate: Option<u32>) -> String {
    match tolerate {
        None => "all may".to_owned(),
        Some(0) => "none may".to_owned(),
        Some(most) => format!("{most} may"),
    }
}

/// An item of a map step.
#[derive(Debug, Serialize)]
pub struct Item {
    /// Its number, from 0.
    pub index: i32,
    /// The state of its step.
    pub state: StepState,
    /// Attempts begun.
    pub attempts: i32,
    /// The item.
    pub item: Option<Box<RawValue>>,
    /// What its handler returned.
    pub results: Option<Box<RawValue>>,
}

impl Item {
    fn new(task: TaskId, map: &str, row: ItemRow) -> Result<Self, Error> {
        let name = Items::name_of(map, row.index.unsigned_abs());
        let unreadable = |source| Error::results_unreadable(task, &name, source);
        let item = row.item.map_err(unreadable)?;
        let results = row.results.transpose().map_err(unreadable)?;
        let (index, state, attempts) = (row.index, row.state, row.attempts);
        Ok(Self { index, state, attempts, item: raw(item), results: results.and_then(raw) })
    }
}

/// The items of a map step of a task, after the one of this number, at most so many, and fewer where they are large.
///
/// # Errors
/// [`Error::Argument`] for a step that is no map step, [`Error::Decryption`].
pub(super) async fn read(
    store: &Store,
    (task, stored): (TaskId, &Stored),
    name: &str,
    after: Option<u32>,
    limit: u32,
) -> Result<Vec<Item>, Error> {
    let map = task.step(map_step(stored, name)?);
    let after = after.map_or(-1, u32::cast_signed);
    let rows = store.items(map, after, limit.into(), MOST_BYTES).await?;
    rows.into_iter().map(|row| Item::new(task, name, row)).collect()
}

pub(super) fn check_limit(limit: u32) -> Result<(), Error> {
    if (1..=MOST_ITEMS).contains(&limit) {
        return Ok(());
    }
    Err(refused("limit", &limit.to_string(), &format!("1 to {MOST_ITEMS}")))
}

/// The position of a map step.
fn map_step(stored: &Stored, name: &str) -> Result<u32, Error> {
    let template = &stored.template;
    let index = template.step_index(name).ok_or_else(|| no_such_step(template, name))?;
    if template.steps()[index as usize].map.is_none() {
        return Err(refused("step", &format!("{name:?}"), "a step with map"));
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_list_has_1_to_10000_items() {
        for limit in [1, MOST_ITEMS] {
            assert!(check_limit(limit).is_ok(), "{limit}");
        }
        for limit in [0, MOST_ITEMS + 1] {
            let error = check_limit(limit).unwrap_err().to_string();
            assert_eq!(error, format!("limit is {limit}; allowed: 1 to 10000"));
        }
    }
}
