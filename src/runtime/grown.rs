//! A task that has grown, as people ask about it: the steps that were added, and its map steps.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use serde_json::value::RawValue;

use super::client::last_step;
use super::items;
use super::reports::raw;
use super::templates::Stored;
use crate::decision::Failure;
use crate::error::Error;
use crate::ids::{StepId, TaskId};
use crate::state::StepState;
use crate::store::{AddedStepRow, FailedItems, MapRow, Store};
use crate::template::StepTemplate;

/// Items that others depend on than their map step, of which names and states are read at most.
const MOST_ITEMS: usize = 1_000;

/// What was added to a task; nothing in most.
#[derive(Debug, Default)]
pub(super) struct GrownTask {
    added: HashMap<i64, AddedStepRow>,
    maps: HashMap<i64, MapRow>,
    parents: HashMap<i64, Vec<i64>>,
    /// How many of the template's positions there are.
    positions: u32,
    is_grown: bool,
}

impl GrownTask {
    /// Reads what was added to a task of so many steps, of items only `item`.
    pub(super) async fn read(
        store: &Store,
        task: TaskId,
        stored: &Stored,
        total_steps: i32,
        item: Option<StepId>,
    ) -> Result<Self, Error> {
        if i64::from(stored.planned) == i64::from(total_steps) {
            return Ok(Self::default());
        }
        let items: Vec<_> = item.into_iter().collect();
        let added = store.list_added(task, &items).await?;
        let maps = store.list_maps(task).await?;
        let positions = (0..stored.positions()).map(|position| task.step(position));
        let steps: Vec<_> =
            positions.chain(added.iter().map(|row| StepId(row.workflow_step_id))).collect();
        let mut parents: HashMap<i64, Vec<i64>> = HashMap::new();
        for (from, to) in store.step_parents(&steps).await? {
            parents.entry(to.0).or_default().push(from.0);
        }
        Ok(Self {
            added: added.into_iter().map(|row| (row.workflow_step_id, row)).collect(),
            maps: maps.into_iter().map(|row| (row.workflow_step_id, row)).collect(),
            parents,
            positions: stored.positions(),
            is_grown: true,
        })
    }

    /// Reads the items that other steps depend on than their map step.
    pub(super) async fn read_items_above(
        &mut self,
        store: &Store,
        task: TaskId,
    ) -> Result<(), Error> {
        let is_known =
            |step: &StepId| step.index() < self.positions || self.added.contains_key(&step.0);
        let above = self.parents.values().flatten().map(|parent| StepId(*parent));
        let items: BTreeSet<_> = above.filter(|parent| !is_known(parent)).collect();
        if items.is_empty() {
            return Ok(());
        }
        let items: Vec<_> = items.into_iter().take(MOST_ITEMS).collect();
        let rows = store.list_added(task, &items).await?;
        self.added.extend(rows.into_iter().map(|row| (row.workflow_step_id, row)));
        Ok(())
    }

    /// The parts of a task's steps that are shown one by one, as first and last steps: all but the items of map steps, and what is
    /// retired.
    pub(super) fn parts(&self, task: TaskId) -> Vec<(StepId, StepId)> {
        if !self.is_grown {
            return vec![(task.step(0), last_step(task))];
        }
        let mut added: Vec<_> = self.added.keys().copied().collect();
        added.sort_unstable();
        let mut parts = vec![(task.step(0), StepId(task.step(self.positions).0 - 1))];
        for step in added.into_iter().map(StepId) {
            match parts.last_mut() {
                Some((_, last)) if last.0 + 1 == step.0 => *last = step,
                _ => parts.push((step, step)),
            }
        }
        parts
    }

    pub(super) fn is_grown(&self) -> bool {
        self.is_grown
    }

    pub(super) fn added(&self, step: i64) -> Option<&AddedStepRow> {
        self.added.get(&step)
    }

    pub(super) fn map(&self, step: i64) -> Option<&MapRow> {
        self.maps.get(&step)
    }

    /// How many items of a map step are in which state, a JSON object.
    pub(super) fn items(&self, step: i64) -> Option<Box<RawValue>> {
        raw(self.maps.get(&step)?.by_state.clone())
    }

    /// The failure of a map step in this state, where it failed by its items.
    pub(super) fn failure(
        &self,
        step: i64,
        state: StepState,
        map: &StepTemplate,
    ) -> Option<Failure> {
        let row = self.maps.get(&step).filter(|_| state == StepState::Error)?;
        let by_state: Value = serde_json::from_str(&row.by_state).ok()?;
        let items = FailedItems {
            all: row.parents.unsigned_abs(),
            failed: u32::try_from(by_state[StepState::Error.as_str()].as_u64()?).ok()?,
            tolerate: map.map.as_ref()?.tolerate,
            first: row.first_failed?.unsigned_abs(),
        };
        Some(items::failure(&map.name, items))
    }

    /// The parents of a step; `None` where the template tells them.
    pub(super) fn parents(&self, step: i64) -> Option<&[i64]> {
        self.is_grown.then(|| self.parents.get(&step).map_or(&[][..], Vec::as_slice))
    }

    /// The position of the template that tells about a step.
    pub(super) fn position(&self, step: i64) -> usize {
        let prototype = self.added.get(&step).map(|row| row.step_index.unsigned_abs());
        prototype.unwrap_or_else(|| StepId(step).index()) as usize
    }
}
