//! Steps that are executed anew: the step that is asked for and those below it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::arguments::refused;
use super::branches;
use super::deciding::{Sight, decide_seeing};
use super::ending::{self, ByTask};
use super::growth;
use super::templates::Stored;
use crate::decide::is_reset;
use crate::decision::{Decisions, Observation, Parent, Request, Reset, View};
use crate::error::Error;
use crate::graph::parents_first;
use crate::guard::{Guard, removed};
use crate::ids::StepId;
use crate::state::StepState;
use crate::store::{BelowRow, StoreError, TaskRow, Transaction};

/// What there is to do about a step that is not executed anew, because it, or one below it, has added steps.
const FORK: &str = "tasker fork makes a task in which it is executed anew";

/// The positions of steps and of all below them, parents before their children.
pub(super) fn with_those_below(stored: &Stored, first: BTreeSet<u32>) -> Vec<u32> {
    let graph = stored.template.graph();
    let mut meant = first;
    let mut order = Vec::new();
    for step in graph.topological_order() {
        if meant.contains(step) || graph.parents(*step).iter().any(|above| meant.contains(above)) {
            meant.insert(*step);
            order.push(*step);
        }
    }
    order
}

/// A step that is executed anew: the one that is asked for, or one below it.
#[derive(Debug)]
struct Below {
    step: StepId,
    parents: Vec<StepId>,
}

/// The step and those below it, parents before their children.
///
/// # Errors
/// [`Error::Argument`] where one of them has added steps, or made the items of a list: what would become of these?
async fn below(
    tx: &mut impl Transaction,
    row: TaskRow,
    stored: &Stored,
    step: StepId,
    name: &str,
) -> Result<Vec<Below>, Error> {
    let below = if stored.has_grown(row.total_steps) {
        below_in_grown(tx, stored, step, name).await?
    } else {
        let of_template = with_those_below(stored, BTreeSet::from([step.index()]));
        let steps = of_template.into_iter().map(|index| step.task().step(index));
        let parents =
            |of: StepId| stored.parents(of).iter().map(move |index| of.task().step(*index));
        steps.map(|step| Below { step, parents: parents(step).collect() }).collect()
    };
    let is_map = |step: &StepId| stored.step(*step).is_some_and(|step| step.map.is_some());
    let maps: Vec<_> = below.iter().map(|one| one.step).filter(is_map).collect();
    if !maps.is_empty() {
        let begun = tx.read_growth(&maps).await?;
        if let Some(row) = begun.iter().find(|row| row.first_item.is_some()) {
            let map = stored.step(row.step).map_or("", |map| map.name.as_str());
            let allowed = format!(
                "a step that is no map step with items, and has none below it, as {map:?}; {FORK}"
            );
            return Err(refused("step", &format!("{name:?}"), &allowed));
        }
    }
    Ok(below)
}

fn name_of<'a>(stored: &'a Stored, row: &'a BelowRow) -> &'a str {
    let of_template = stored.step(row.step).map(|step| step.name.as_str());
    of_template.or(row.name.as_deref()).unwrap_or_default()
}

async fn below_in_grown(
    tx: &mut impl Transaction,
    stored: &Stored,
    step: StepId,
    name: &str,
) -> Result<Vec<Below>, Error> {
    let rows = tx.read_below(step).await?;
    let is_map = |row: &BelowRow| stored.step(row.step).is_some_and(|step| step.map.is_some());
    if let Some(row) = rows.iter().find(|row| row.has_added && !is_map(row)) {
        let adding = name_of(stored, row);
        let allowed =
            format!("a step that has added none, and none below it has, as {adding:?} has; {FORK}");
        return Err(refused("step", &format!("{name:?}"), &allowed));
    }
    let positions: HashMap<_, _> =
        rows.iter().enumerate().map(|(position, row)| (row.step, position)).collect();
    let inside = |row: &BelowRow| {
        row.parents.iter().filter_map(|parent| positions.get(parent).copied()).collect()
    };
    let order = parents_first(&rows.iter().map(inside).collect::<Vec<_>>());
    if order.len() < rows.len() {
        let ordered: BTreeSet<_> = order.into_iter().collect();
        let stuck = rows.iter().enumerate().find(|(position, _)| !ordered.contains(position));
        let stuck = stuck.map_or("", |(_, row)| name_of(stored, row));
        let allowed = format!(
            "a step with none below it that waits for itself by what was added to the task, as {stuck:?} does, or a step \
             below it"
        );
        return Err(refused("step", &format!("{name:?}"), &allowed));
    }
    let below = |position: usize| Below {
        step: rows[position].step,
        parents: rows[position].parents.clone(),
    };
    Ok(order.into_iter().map(below).collect())
}

/// Has a step executed anew, and those below it; the caller commits. What they returned before is kept as artifacts.
pub(super) async fn rerun(
    tx: &mut impl Transaction,
    row: TaskRow,
    stored: Arc<Stored>,
    step: StepId,
    name: &str,
    request: Request,
) -> Result<Decisions, Error> {
    let task = row.task.id;
    let below = below(tx, row, &stored, step, name).await?;
    let steps = resets(tx, &stored, below).await?;
    let inside: BTreeSet<_> = steps.iter().map(|reset| reset.step).collect();
    let above = steps.iter().flat_map(|reset| &reset.parents).map(|parent| parent.step);
    let above: BTreeSet<_> = above.filter(|parent| !inside.contains(parent)).collect();
    let rows = tx.lock_steps(&inside.iter().copied().collect::<Vec<_>>()).await?;
    let parents = tx.read_ended_steps(&above.into_iter().collect::<Vec<_>>(), &[]).await?;
    let by_task = ByTask::from([(task, Arc::clone(&stored))]);
    let grown = growth::grown(&[row], &by_task);
    let sight = Sight { by_task: &by_task, served: None, grown: &grown };
    let mut view = View { compensated: ending::compensated(&by_task), ..View::default() };
    view.tasks.insert(task, row.task);
    for row in rows.iter().chain(parents.iter().map(|parent| &parent.step)) {
        view.steps.insert(row.id, ending::step(row, sight.join(row.id)));
    }
    let seen: Vec<_> = view.steps.keys().copied().collect();
    growth::learn(tx, &mut view, &seen, sight).await?;
    // The step that is asked for begins at once.
    let others = inside.into_iter().filter(|other| *other != step);
    view.delays = sight.delays(others, &view.grown.prototypes);
    if row.has_budget {
        ending::see_budgets(tx, &mut view, &[row], sight).await?;
    }
    let now = rows.first().map_or(row.now, |step| step.now);
    let observation = Observation::RerunRequested { steps, name: name.to_owned(), request };
    let decisions = decide_seeing(tx, &mut view, &observation, now, sight).await?;
    forget(tx, row, &decisions).await?;
    let prototypes = &view.grown.prototypes;
    Ok(ending::write(tx, decisions, &by_task, prototypes, &[]).await?.decisions)
}

/// Keeps what is thrown away, and forgets what would keep the steps from beginning as if nothing had been.
async fn forget(
    tx: &mut impl Transaction,
    row: TaskRow,
    decisions: &Decisions,
) -> Result<(), StoreError> {
    let reset: Vec<_> = decisions.steps.iter().filter(|change| is_reset(change.event)).collect();
    if reset.is_empty() {
        return Ok(());
    }
    let with_results = |state| matches!(state, StepState::Complete | StepState::ResolvedManually);
    let ended = reset.iter().filter(|change| with_results(change.before.state));
    let ended: Vec<_> = ended.map(|change| change.before.id).collect();
    if !ended.is_empty() {
        tx.keep_results(&ended).await?;
    }
    let steps: Vec<_> = reset.iter().map(|change| change.after.id).collect();
    tx.delete_waits(&steps).await?;
    if !removed(Guard::RerunMakesAnew) {
        tx.supersede_children(&steps).await?;
    }
    if row.task.state.is_terminal() {
        tx.forget_past_deadline(row.task.id).await?;
    }
    Ok(())
}

/// The steps with their parents, of which those that decide say whether they have taken them. No step that was added depends on
/// one that decides.
async fn resets(
    tx: &mut impl Transaction,
    stored: &Stored,
    below: Vec<Below>,
) -> Result<Vec<Reset>, Error> {
    let inside: BTreeSet<_> = below.iter().map(|one| one.step).collect();
    let above = below.iter().flat_map(|one| &one.parents).copied();
    let deciding = above.filter(|parent| !inside.contains(parent) && stored.forks(*parent));
    let deciding: BTreeSet<_> = deciding.collect();
    let taken = branches::taken_before(tx, stored, &deciding).await?;
    let reset = |Below { step, parents }: Below| {
        let left_out = |parent: StepId| {
            taken.get(&parent).is_some_and(|taken| !taken.branches.contains_key(&step))
        };
        let parents = parents.into_iter();
        let parents = parents.map(|step| Parent { step, left_out: left_out(step) }).collect();
        Reset { step, parents }
    };
    Ok(below.into_iter().map(reset).collect())
}
