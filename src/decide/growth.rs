//! Steps that are added while a task runs: what a handler adds, and the items of map steps.
//!
//! A step that is added is inserted as pending, and its own attempt to be added holds it until all ends of the decision
//! are taken in. Then the hold is released, and it gets ready, is skipped or waits as any other child does. What comes
//! of that is inserted at once, unless it is a change of state that history keeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::draft::{Draft, Place};
use super::readiness::{self, Done};
use crate::decision::{
    Added, AddedStep, ByStep, Claim, GivenUp, Growth, Items, Join, MOST_STEPS, Mapped, ParentCount,
    Relative, Request, ResolvedStep, Step, StepChange,
};
use crate::guard::{Guard, removed};
use crate::ids::{StepId, TaskId};
use crate::join_policy::JoinPolicy;
use crate::state::{InvalidTransition, StepEvent, StepState};

/// What is added so far.
#[derive(Debug, Default)]
pub(super) struct Additions {
    steps: Vec<AddedStep>,
    /// Where each of them stands in the draft.
    known: ByStep<()>,
    edges: Vec<(StepId, StepId)>,
    /// Children beside those that the view tells of.
    children: ByStep<Vec<StepId>>,
    /// Steps that were given more parents.
    parents: BTreeMap<StepId, Option<StepId>>,
    /// Map steps whose items are made.
    maps: ByStep<Mapped>,
    delays: ByStep<Duration>,
    elsewhere: ByStep<()>,
    /// Steps that nothing holds but that they are being added.
    holds: Vec<Place>,
    next: BTreeMap<TaskId, u32>,
}

impl Additions {
    pub(super) fn has(&self, step: StepId) -> bool {
        self.known.contains_key(&step)
    }

    pub(super) fn delay(&self, step: StepId) -> Option<Duration> {
        self.delays.get(&step).copied()
    }

    pub(super) fn is_elsewhere(&self, step: StepId) -> bool {
        self.elsewhere.contains_key(&step)
    }

    pub(super) fn take_holds(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.holds)
    }

    pub(super) fn children_of(&mut self, parent: StepId) -> Vec<StepId> {
        self.children.get(&parent).cloned().unwrap_or_default()
    }

    fn edge(&mut self, from: StepId, to: StepId) {
        self.edges.push((from, to));
        self.children.entry(from).or_default().push(to);
    }

    /// What is to be written. A step that only got ready, or only waits, is inserted like that.
    pub(super) fn finish(
        mut self,
        changes: &mut [StepChange],
        place: impl Fn(StepId) -> Option<usize>,
    ) -> Added {
        for added in &mut self.steps {
            let Some(change) = place(added.step.id).map(|place| &mut changes[place]) else {
                continue;
            };
            if matches!(change.event, None | Some(StepEvent::ParentsCompleted)) {
                added.step = change.after;
                added.available_at = change.available_at;
                change.before = change.after;
            }
        }
        let parents = self.parents.iter().filter_map(|(step, first_item)| {
            let parents = changes[place(*step)?].after.join.parents;
            Some(ParentCount { step: *step, parents, first_item: *first_item })
        });
        let parents = parents.collect();
        Added { steps: self.steps, edges: self.edges, parents }
    }
}

/// Adds what a handler adds, or says why that is refused.
pub(super) fn grow(draft: &mut Draft<'_>, claim: Claim, growth: &Growth) -> Result<(), String> {
    let resolved = match draft.view.grown.resolved.get(&claim.step) {
        Some(Ok(resolved)) => resolved,
        Some(Err(problem)) => return Err(problem.clone()),
        None => return Err("what its names stand for is not known".to_owned()),
    };
    check(draft, claim.step, growth, resolved)?;
    let first = positions(draft, claim.step.task(), resolved.len())?;
    let id = |index: u32| claim.step.task().step(first + index);
    for (index, (new, told)) in (0..).zip(growth.steps.iter().zip(resolved)) {
        let step = wait_for(draft, claim.step, id(index), told, id);
        let added = AddedStep {
            step,
            prototype: told.prototype,
            name: Arc::clone(&new.name),
            inputs: Arc::clone(&new.inputs),
            item: None,
            by: claim,
            available_at: None,
        };
        add(draft, added, true);
        let additions = draft.additions();
        additions.parents.insert(step.id, None);
        additions.delays.extend(told.delay.map(|delay| (step.id, delay)));
        if told.elsewhere {
            additions.elsewhere.insert(step.id, ());
        }
        for other in &told.before {
            put_before(draft, step.id, *other);
        }
    }
    Ok(())
}

/// Makes the items of a map step, which waits for them from now on; or says why that is refused.
pub(super) fn map(
    draft: &mut Draft<'_>,
    place: Place,
    claim: Claim,
    items: &Items,
) -> Result<Result<(), String>, InvalidTransition> {
    let map = claim.step;
    let first = match positions(draft, map.task(), items.values.len()) {
        Ok(first) => map.task().step(first),
        Err(problem) => return Ok(Err(problem)),
    };
    let count = u32::try_from(items.values.len()).unwrap_or(MOST_STEPS);
    let mapped =
        Mapped { first, items: count, max_parallel: items.max_parallel, tolerate: Some(0) };
    let change = draft.transition(place, StepEvent::Mapped)?;
    // No handler has begun.
    change.after.attempts -= 1;
    change.after.open_parents = count;
    change.after.join.parents = count;
    change.detail = Some(json!({ "items": count }).to_string());
    let at_once = items.max_parallel.unwrap_or(count);
    for (index, value) in (0..count).zip(&items.values) {
        let id = StepId(first.0 + i64::from(index));
        let step = Step { open_parents: 1, ..Step::new(id, StepState::Pending, Join::default()) };
        let added = AddedStep {
            step,
            prototype: map.index(),
            name: Items::name_of(&items.name, index).into(),
            inputs: Arc::clone(value),
            item: Some(index),
            by: claim,
            available_at: None,
        };
        add(draft, added, index < at_once || removed(Guard::TurnsCount));
        draft.additions().edges.push((id, map));
    }
    let additions = draft.additions();
    additions.maps.insert(map, mapped);
    additions.parents.insert(map, Some(first));
    Ok(Ok(()))
}

/// The item has failed with others before it began; the attempt of a claim does not count.
pub(super) fn give_up(
    draft: &mut Draft<'_>,
    place: Place,
    why: GivenUp,
) -> Result<(), InvalidTransition> {
    let is_claimed = draft.step(place).worker.is_some();
    let change = draft.transition(place, StepEvent::ItemGivenUp)?;
    change.after.attempts -= u32::from(is_claimed);
    change.detail = Some(json!({ "failed": why.failed, "tolerate": why.tolerate }).to_string());
    Ok(())
}

/// The items of a map step that waits for them.
pub(super) fn items_of(draft: &mut Draft<'_>, step: StepId) -> Option<Mapped> {
    let known = draft.view.grown.maps.get(&step).copied();
    known.or_else(|| draft.added()?.maps.get(&step).copied())
}

/// The item whose turn it is after another one has ended: with the first of them as many began as may run at a time,
/// and each end lets one more begin.
pub(super) fn next_in_turn(draft: &mut Draft<'_>, map: Place, items: &Mapped) -> Option<Place> {
    let ended = items.items - draft.step(map).open_parents;
    let next = items.item(items.max_parallel? + ended.saturating_sub(1))?;
    let Some(place) = draft.place(next) else {
        draft.ask_for(next);
        return None;
    };
    let step = draft.step(place);
    if step.state != StepState::Pending || step.open_parents == 0 {
        return None;
    }
    draft.change(place).after.open_parents = 0;
    Some(place)
}

/// Ends a map step all of whose items are done: in error if more failed than may. Says how it counts for its children then;
/// `None` where it goes on as before.
pub(super) fn end_map(
    draft: &mut Draft<'_>,
    map: Place,
    items: &Mapped,
) -> Result<Option<Done<'static>>, InvalidTransition> {
    let Step { id, state, open_parents, failed_parents: failed, skipped_parents: skipped, .. } =
        *draft.step(map);
    if open_parents > 0 && !removed(Guard::ItemsAwaited) {
        return Ok(None);
    }
    let all = items.items;
    if let Some(most) = items.tolerate.filter(|most| failed > *most) {
        if state == StepState::Error {
            return Ok(None);
        }
        let change = draft.transition(map, StepEvent::ItemsFailed)?;
        change.detail =
            Some(json!({ "items": all, "failed": failed, "tolerate": most }).to_string());
        // They may be tried again, skipped and resolved.
        change.after.failed_parents = failed;
        change.after.skipped_parents = skipped;
        return Ok(Some(Done::Failed));
    }
    let complete = all.saturating_sub(open_parents + failed + skipped);
    let results =
        json!({ "items": all, "complete": complete, "failed": failed, "skipped": skipped });
    draft.transition(map, StepEvent::ItemsDone)?.results = Some(results.to_string().into());
    if state == StepState::Error {
        readiness::reopen_parent(draft, id);
    }
    Ok(Some(Done::Complete))
}

/// Lets map steps go on that have failed by their items, one of which is tried again.
pub(super) fn retry_maps(
    draft: &mut Draft<'_>,
    item: StepId,
    request: &Request,
) -> Result<(), InvalidTransition> {
    for map in draft.children(item).unwrap_or_default() {
        let failed = |step: &Step| step.state == StepState::Error && step.open_parents > 0;
        let Some(place) = draft.place(*map).filter(|place| failed(draft.step(*place))) else {
            continue;
        };
        let counted = *draft.step(place);
        let change = draft.transition(place, StepEvent::ItemsRetried)?;
        change.after.open_parents = counted.open_parents;
        change.after.failed_parents = counted.failed_parents;
        change.after.skipped_parents = counted.skipped_parents;
        change.detail = Some(request.detail());
        draft.task(map.task()).after.failures += counted.failed_parents;
        readiness::reopen_parent(draft, *map);
    }
    Ok(())
}

/// Takes so many positions of a task.
fn positions(draft: &mut Draft<'_>, task: TaskId, count: usize) -> Result<u32, String> {
    let known = draft.view.grown.next.get(&task).copied().unwrap_or(MOST_STEPS);
    let next = draft.additions().next.entry(task).or_insert(known);
    let first = *next;
    let end = usize::try_from(first).unwrap_or(usize::MAX).saturating_add(count);
    match u32::try_from(end).ok().filter(|end| *end <= MOST_STEPS) {
        Some(end) => {
            *next = end;
            Ok(first)
        }
        None => Err(format!(
            "adds {count} steps to a task that has {first}; allowed: {MOST_STEPS} steps of a task in all"
        )),
    }
}

fn add(draft: &mut Draft<'_>, added: AddedStep, is_released: bool) {
    let place = draft.add(added.step);
    let additions = draft.additions();
    additions.known.insert(added.step.id, ());
    additions.steps.push(added);
    if is_released {
        additions.holds.push(place);
    }
}

/// No parent of an added step waits for it, whatever there is in the graph: it is done, ends now, or is added with it.
fn check(
    draft: &Draft<'_>,
    adding: StepId,
    growth: &Growth,
    resolved: &[ResolvedStep],
) -> Result<(), String> {
    let view = draft.view;
    let state = |step: &StepId| view.steps.get(step).map(|step| step.state);
    let word = |state: Option<StepState>| state.map_or("not there", StepState::as_str);
    for (new, told) in growth.steps.iter().zip(resolved) {
        let parents = told.parents.iter().zip(new.depends_on.iter().flatten());
        for (parent, name) in parents {
            let Relative::Existing(parent) = parent else { continue };
            let is_done = state(parent).is_some_and(is_done);
            if *parent != adding && !is_done {
                return Err(format!(
                    "adds {:?}, which depends on {name:?}, and that is {}; allowed: steps that are done, the step that \
                     adds it, and steps that are added with it",
                    new.name,
                    word(state(parent))
                ));
            }
        }
        for (other, name) in told.before.iter().zip(&new.before) {
            let is_mapped = view.grown.maps.contains_key(other);
            if state(other) != Some(StepState::Pending) || is_mapped {
                let is = if is_mapped { "a map step that has begun" } else { word(state(other)) };
                return Err(format!(
                    "adds {:?} before {name:?}, and that is {is}; allowed: steps that are pending",
                    new.name
                ));
            }
        }
    }
    Ok(())
}

fn is_done(state: StepState) -> bool {
    state.is_terminal() && state != StepState::Cancelled
}

/// The row of a step that is added, which waits for its parents and for being added.
fn wait_for(
    draft: &mut Draft<'_>,
    adding: StepId,
    id: StepId,
    told: &ResolvedStep,
    added: impl Fn(u32) -> StepId,
) -> Step {
    let parents = u32::try_from(told.parents.len()).unwrap_or(MOST_STEPS);
    let policy = match told.join {
        JoinPolicy::Quorum(wanted) => JoinPolicy::Quorum(wanted.min(parents)),
        other @ (JoinPolicy::AllComplete
        | JoinPolicy::AllDone
        | JoinPolicy::AnyComplete
        | JoinPolicy::NoneFailed) => other,
    };
    // Without parents there is nothing that a policy could ask for.
    let policy = if parents == 0 { JoinPolicy::AllComplete } else { policy };
    let mut step = Step::new(id, StepState::Pending, Join { policy, parents });
    step.open_parents = 1;
    for parent in &told.parents {
        let parent = match *parent {
            Relative::Added(index) => added(index),
            Relative::Existing(parent) => parent,
        };
        let state =
            draft.view.steps.get(&parent).map(|step| step.state).filter(|_| parent != adding);
        match state {
            Some(StepState::Complete | StepState::ResolvedManually) => {}
            Some(StepState::Skipped) => step.skipped_parents += 1,
            Some(StepState::Error) => {
                step.failed_parents += 1;
                wait_for_failed(draft, parent);
            }
            None
            | Some(
                StepState::Pending
                | StepState::Enqueued
                | StepState::InProgress
                | StepState::WaitingForRetry
                | StepState::Waiting
                | StepState::Blocked
                | StepState::Cancelled,
            ) => step.open_parents += 1,
        }
        draft.additions().edge(parent, id);
    }
    step
}

/// A failure that held nothing up but the task holds up a step from now on.
fn wait_for_failed(draft: &mut Draft<'_>, parent: StepId) {
    if removed(Guard::FailuresCount) {
        return;
    }
    let had_none = draft.children(parent).is_some_and(<[StepId]>::is_empty)
        && draft.additions().children_of(parent).is_empty();
    let failures = &mut draft.task(parent.task()).after.failures;
    *failures += 1;
    if had_none {
        *failures -= 1;
    }
}

/// One more parent for a step that is pending.
fn put_before(draft: &mut Draft<'_>, step: StepId, other: StepId) {
    let Some(place) = draft.place(other) else { return };
    let after = &mut draft.change(place).after;
    if !removed(Guard::BeforeCounts) {
        after.open_parents += 1;
    }
    after.join.parents += 1;
    let additions = draft.additions();
    additions.edge(step, other);
    additions.parents.insert(other, None);
}
