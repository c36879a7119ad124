//! Steps that were added while their task ran, and the items of map steps.

use super::Facts;
use super::words::parsed;
use crate::state::StepState;
use crate::store::MapRow;

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
            let most = map.max_parallel?;
            return Some(format!("waits for its turn: {most} items may run at a time"));
        }
        let items = self.grown.map(step)?;
        let of = counts(items);
        let (complete, failed) = (of(StepState::Complete), of(StepState::Error));
        let may = map.tolerate.map_or_else(|| "all".to_owned(), |most| most.to_string());
        let (all, waits) = (items.parents, of(StepState::Pending) + of(StepState::Enqueued));
        let counts =
            format!("{complete} of {all} items are complete, {failed} failed and {may} may");
        Some(format!("waits for its items: {counts}, {waits} have not begun"))
    }

    /// How a map step completed.
    pub(super) fn mapped(&self, at: usize) -> Option<String> {
        let items = self.grown.map(self.steps[at].workflow_step_id)?;
        let failed = counts(items)(StepState::Error);
        Some(format!(
            "completed with the last of its {} items, of which {failed} failed",
            items.parents
        ))
    }
}

/// How many items of a map step are in a state.
fn counts(items: &MapRow) -> impl Fn(StepState) -> u64 + use<> {
    let by_state = parsed(Some(&items.by_state));
    move |state| by_state[state.as_str()].as_u64().unwrap_or(0)
}
