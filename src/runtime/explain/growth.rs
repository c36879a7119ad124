//! Steps that were added while their task ran, and the items of map steps.

use super::Facts;
use super::waits::poll_of;
use super::words::{counted, counted_if, parsed, words};
use crate::decision::{Items, NEVER};
use crate::error::Error;
use crate::ids::{StepId, TaskId};
use crate::runtime::failures::FailureFilter;
use crate::runtime::grown::GrownTask;
use crate::runtime::items::{self, how_many_may};
use crate::runtime::subworkflows::RESERVED;
use crate::state::StepState;
use crate::store::{FailureRow, MapRow, StepListRow, StepTransitionRow, Store, WaitingItemRow};

/// Items that are read to find those that run at most, the last that have begun.
const MOST_READ: i64 = 100;

/// Items named at most that hold the turns another one waits for.
const MOST_TURNS: usize = 3;

/// Items named at most that wait.
const MOST_WAITING: i64 = 5;

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
        let items = self.grown.map(step)?;
        let (of, untried) = (counts(items), untried(items));
        let begun_and_ready = of(StepState::Enqueued) - untried(StepState::Enqueued);
        let not_begun = of(StepState::Pending) + untried(StepState::Enqueued);
        let told = [
            counted_if(of(StepState::InProgress), "runs", "run"),
            counted_if(begun_and_ready, "is ready to go on", "are ready to go on"),
            counted_if(of(StepState::Waiting), "waits", "wait") + &self.waiting_items(step),
            counted_if(
                of(StepState::WaitingForRetry),
                "waits for its next attempt",
                "wait for their next attempts",
            ),
            counted_if(of(StepState::Blocked), "needs a person", "need a person"),
            counted_if(not_begun, "has not begun", "have not begun"),
        ];
        let (ended, failed) = (self.ended_items(at)?, self.failed_items(at, &of));
        Some(format!("waits for its items: {ended}{}{failed}", told.concat()))
    }

    /// The first items of a map step that wait, and for what, in brackets.
    fn waiting_items(&self, map: i64) -> String {
        let Some(name) = self.at(map).map(|at| self.name(at)) else { return String::new() };
        let rows = self.waiting_items.iter().filter(|row| row.map == map);
        let told = rows.map(|row| {
            let item = Items::name_of(&name, row.index);
            if let Some(poll) = poll_of(row.detail.as_deref()) {
                let looks = self.looks(poll, row.since, Some(row.available_at));
                return format!("{item} polls: {looks}");
            }
            let until = Some(row.available_at).filter(|at| *at < NEVER).map(|at| self.when(at));
            let latest = until.as_ref().map(|at| format!(", at the latest until {at}"));
            let latest = latest.unwrap_or_default();
            match (&row.signal, until) {
                (Some(signal), _) if signal.starts_with(RESERVED) => format!("{item} for its task"),
                (Some(signal), _) if *signal == item => format!("{item} for approval{latest}"),
                (Some(signal), _) => format!("{item} for the signal {signal:?}{latest}"),
                (None, Some(at)) => format!("{item} until {at}"),
                (None, None) => format!("{item} for an operator"),
            }
        });
        let told: Vec<_> = told.collect();
        let waiting = self.grown.map(map).map_or(0, |items| counts(items)(StepState::Waiting));
        let more = waiting.saturating_sub(told.len() as u64);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        if told.is_empty() { String::new() } else { format!(" ({}{more})", told.join("; ")) }
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

    /// Why an item was given up, and by which other one first.
    pub(super) fn given_up(&self, at: usize, change: Option<&StepTransitionRow>) -> String {
        let failure = items::given_up(change.and_then(|c| c.detail.as_deref()).unwrap_or_default());
        let map =
            self.grown.added(self.steps[at].workflow_step_id).map(|item| item.added_by_step_id);
        let first = map.and_then(|map| self.first_failed(map));
        let first =
            first.map(|name| format!("; the first that failed: {name}")).unwrap_or_default();
        format!("{} (code {}){first}", failure.message, failure.code.unwrap_or_default())
    }

    /// The first item of a map step that failed.
    pub(super) fn first_failed(&self, map: i64) -> Option<String> {
        let number = self.grown.map(map)?.first_failed?.unsigned_abs();
        Some(Items::name_of(&self.name(self.at(map)?), number))
    }

    /// How many items of a map step have ended well and how many have not, and how many may.
    fn ended_items(&self, at: usize) -> Option<String> {
        let items = self.grown.map(self.steps[at].workflow_step_id)?;
        let (of, all) = (counts(items), items.parents);
        let (complete, failed) = (of(StepState::Complete), of(StepState::Error));
        let may = how_many_may(self.step(at)?.map.as_ref()?.tolerate);
        let untried = match untried(items)(StepState::Error) {
            0 => String::new(),
            untried => format!(" ({untried} of them without an attempt)"),
        };
        let by_hand = by_hand(&of);
        Some(format!(
            "{complete} of {all} items are complete{by_hand}, {failed} failed{untried} and {may}"
        ))
    }

    /// The items of a map step that are in error or blocked, as the end of a sentence: the first that failed, and others that
    /// were tried.
    fn failed_items(&self, at: usize, of: impl Fn(StepState) -> u64) -> String {
        let map = self.steps[at].workflow_step_id;
        let all = of(StepState::Error) + of(StepState::Blocked);
        let untried = self.grown.map(map).map_or(0, |items| untried(items)(StepState::Error));
        let of_map = format!("{}[", self.name(at));
        let first = self.first_failed(map);
        let is_other = |row: &&FailureRow| {
            let was_tried = row.attempts > 0 && row.step.starts_with(&of_map);
            was_tried && first.as_ref() != Some(&row.step)
        };
        let others = self.failures.iter().rev().filter(is_other);
        let others = others.map(|row| format!("{} ({})", row.step, words(row.state)));
        let error = words(StepState::Error);
        let first = first.iter().map(|name| format!("{name} ({error})"));
        let names: Vec<_> = first.chain(others).take(MOST_FAILURES).collect();
        let more = all.saturating_sub(untried).saturating_sub(names.len() as u64);
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

/// How many items of a map step are in a state and were never tried.
fn untried(items: &MapRow) -> impl Fn(StepState) -> u64 + use<> {
    let by_state = parsed(Some(&items.untried_by_state));
    move |state| by_state[state.as_str()].as_u64().unwrap_or(0)
}

/// The first items that wait of these map steps, those that have some.
pub(super) async fn waiting_items(
    store: &Store,
    grown: &GrownTask,
    steps: &[StepId],
) -> Result<Vec<WaitingItemRow>, Error> {
    let waits =
        |step: &&StepId| grown.map(step.0).is_some_and(|map| counts(map)(StepState::Waiting) > 0);
    let maps: Vec<_> = steps.iter().filter(waits).copied().collect();
    if maps.is_empty() {
        return Ok(Vec::new());
    }
    Ok(store.waiting_items(&maps, MOST_WAITING).await?)
}

/// How many items of a map step are in a state.
fn counts(items: &MapRow) -> impl Fn(StepState) -> u64 + use<> {
    let by_state = parsed(Some(&items.by_state));
    move |state| by_state[state.as_str()].as_u64().unwrap_or(0)
}
