//! Steps that were added while their task ran, and the items of map steps.

use super::Facts;
use super::words::{counted, counted_if, parsed, words};
use crate::error::Error;
use crate::ids::{StepId, TaskId};
use crate::runtime::failures::FailureFilter;
use crate::runtime::grown::GrownTask;
use crate::runtime::items::how_many_may;
use crate::state::StepState;
use crate::store::{FailureRow, MapRow, StepListRow, Store};

/// Items that are read to find those that run at most, the last that have begun.
const MOST_READ: i64 = 100;

/// Items named at most that hold the turns another one waits for.
const MOST_TURNS: usize = 3;

/// Items named at most that are in error or blocked.
const MOST_FAILURES: usize = 5;

impl Facts<'_> {
    /// Who added a step, as the end of a sentence.
    pub(super) fn added_by(&self, at: usize) -> String {
        let Some(added) = self.grown.added(self.steps[at].workflow_step_id) else {
            return String::new();
        };
        let by = self.at(added.added_by_step_id).map(|at| self.name(at)).unwrap_or_default();
        match added.item_index {
            Some(index) => format!("; item {index} of {by}"),
            None => format!("; added by {by}, attempt {}", added.added_by_attempt),
        }
    }

    /// What a map step waits for that has begun, and an item that has not.
    pub(super) fn mapping(&self, at: usize) -> Option<String> {
        let step = self.steps[at].workflow_step_id;
        let map = self.step(at)?.map.as_ref()?;
        if self.grown.added(step).is_some() {
            let most = counted(map.max_parallel?.into(), "item", "items");
            return Some(format!("waits for its turn: {most} may run at a time{}", self.turns(at)));
        }
        let of = counts(self.grown.map(step)?);
        let waits = of(StepState::Pending) + of(StepState::Enqueued);
        let waits = counted(waits, "has not begun", "have not begun");
        let again = of(StepState::WaitingForRetry);
        let again = counted_if(again, "waits for its next attempt", "wait for their next attempts");
        let (ended, failed) = (self.ended_items(at)?, self.failed_items(at, &of));
        Some(format!("waits for its items: {ended}, {waits}{again}{failed}"))
    }

    /// How the items of a map step ended by which it failed.
    pub(super) fn failed_by_items(&self, at: usize) -> Option<String> {
        let of = counts(self.grown.map(self.steps[at].workflow_step_id)?);
        Some(format!(
            "failed by its items: {}{}",
            self.ended_items(at)?,
            self.failed_items(at, &of)
        ))
    }

    /// How many items of a map step have ended well and how many have not, and how many may.
    fn ended_items(&self, at: usize) -> Option<String> {
        let items = self.grown.map(self.steps[at].workflow_step_id)?;
        let (of, all) = (counts(items), items.parents);
        let (complete, failed) = (of(StepState::Complete), of(StepState::Error));
        let may = how_many_may(self.step(at)?.map.as_ref()?.tolerate);
        let by_hand = by_hand(&of);
        Some(format!("{complete} of {all} items are complete{by_hand}, {failed} failed and {may}"))
    }

    /// The items of a map step that are in error or blocked, as the end of a sentence.
    fn failed_items(&self, at: usize, of: impl Fn(StepState) -> u64) -> String {
        let all = of(StepState::Error) + of(StepState::Blocked);
        let of_map = format!("{}[", self.name(at));
        let items = self.failures.iter().filter(|row| row.step.starts_with(&of_map));
        let named = |row: &FailureRow| format!("{} ({})", row.step, words(row.state));
        let names: Vec<_> = items.take(MOST_FAILURES).map(named).collect();
        let more = all.saturating_sub(names.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        if names.is_empty() {
            String::new()
        } else {
            format!("; look at {}{more}", names.join(", "))
        }
    }

    /// Who holds the turns that an item waits for, as the end of a sentence.
    fn turns(&self, at: usize) -> String {
        let item = self.steps[at].workflow_step_id;
        let Some((map, first)) = map_of(&self.grown, StepId(item)) else { return String::new() };
        let map = self.at(map).map(|at| self.name(at)).unwrap_or_default();
        let name = |row: &StepListRow| {
            let index = row.workflow_step_id - first;
            format!("{map}[{index}] ({})", words(row.state))
        };
        let names: Vec<_> = self.turns.iter().take(MOST_TURNS).map(name).collect();
        if names.is_empty() { String::new() } else { format!("; before it: {}", names.join(", ")) }
    }

    /// How far the items of a map step were that was cancelled.
    pub(super) fn mapped_so_far(&self, at: usize) -> Option<String> {
        let items = self.grown.map(self.steps[at].workflow_step_id)?;
        let (complete, all) = (counts(items)(StepState::Complete), items.parents);
        Some(format!("while it waited for its items, of which {complete} of {all} are complete"))
    }

    /// How a map step completed.
    pub(super) fn mapped(&self, at: usize) -> Option<String> {
        let items = self.grown.map(self.steps[at].workflow_step_id)?;
        let of = counts(items);
        let (failed, by_hand) = (of(StepState::Error), by_hand(&of));
        let all = counted(u64::from(items.parents.unsigned_abs()), "item", "items");
        Some(format!("completed with the last of its {all}, of which {failed} failed{by_hand}"))
    }
}

/// The first step of a map step's items, and the map step, of one of them.
fn map_of(grown: &GrownTask, item: StepId) -> Option<(i64, i64)> {
    let added = grown.added(item.0)?;
    Some((added.added_by_step_id, item.0 - i64::from(added.item_index?)))
}

/// The items that have begun and not ended, of the last that have begun, of the map step that `item` is one of.
pub(super) async fn in_turn(
    store: &Store,
    grown: &GrownTask,
    item: StepId,
) -> Result<Vec<StepListRow>, Error> {
    let Some((map, first)) = map_of(grown, item) else { return Ok(Vec::new()) };
    let Some(items) = grown.map(map) else { return Ok(Vec::new()) };
    let waiting = i64::try_from(counts(items)(StepState::Pending)).unwrap_or(i64::MAX);
    let end = first + (i64::from(items.parents) - waiting).max(1);
    let part = (StepId(first.max(end - MOST_READ)), StepId(end - 1));
    let mut rows = store.list_steps(&[part]).await?;
    rows.retain(|row| !row.state.is_terminal() && row.state != StepState::Pending);
    Ok(rows)
}

/// The items of these steps that are in error or blocked, the last ones.
pub(super) async fn failed_items(
    store: &Store,
    grown: &GrownTask,
    task: TaskId,
    steps: &[StepId],
) -> Result<Vec<FailureRow>, Error> {
    let fails = |map: &MapRow| counts(map)(StepState::Error) + counts(map)(StepState::Blocked) > 0;
    if !steps.iter().any(|step| grown.map(step.0).is_some_and(fails)) {
        return Ok(Vec::new());
    }
    Ok(store.list_failures(&FailureFilter::of_task(task, MOST_READ).selection()).await?)
}

/// How many items an operator has skipped or resolved.
fn by_hand(of: impl Fn(StepState) -> u64) -> String {
    counted_if(of(StepState::ResolvedManually), "was resolved manually", "were resolved manually")
        + &counted_if(of(StepState::Skipped), "was skipped", "were skipped")
}

/// How many items of a map step are in a state.
fn counts(items: &MapRow) -> impl Fn(StepState) -> u64 + use<> {
    let by_state = parsed(Some(&items.by_state));
    move |state| by_state[state.as_str()].as_u64().unwrap_or(0)
}
