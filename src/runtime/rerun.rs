//! Steps that are executed anew: the step that is asked for and those below it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::arguments::refused;
use super::branches;
use super::deciding::{Sight, decide_seeing};
use super::ending::{self, ByTask};
use super::templates::Stored;
use crate::decide::is_reset;
use crate::decision::{ByStep, Decisions, Observation, Parent, Request, Reset, View};
use crate::error::Error;
use crate::guard::{Guard, removed};
use crate::ids::{StepId, TaskId};
use crate::state::StepState;
use crate::store::{StoreError, TaskRow, Transaction};

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

/// What was added to a task depends on what it did; nobody can tell what is to become of it.
pub(super) fn refuse_grown(stored: &Stored, row: TaskRow, name: &str) -> Result<(), Error> {
    if stored.planned == row.total_steps {
        return Ok(());
    }
    let allowed = "a step of a task to which no steps were added";
    Err(refused("step", &format!("{name:?}"), allowed))
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
    refuse_grown(&stored, row, name)?;
    let below = with_those_below(&stored, BTreeSet::from([step.index()]));
    let maps = |index: &&u32| stored.template.steps()[**index as usize].map.is_some();
    if let Some(index) = below.iter().find(maps) {
        let map = &stored.template.steps()[*index as usize].name;
        let allowed = format!("a step with no map step below it, as {map:?} is");
        return Err(refused("step", &format!("{name:?}"), &allowed));
    }
    let reset: Vec<_> = below.iter().map(|index| task.step(*index)).collect();
    let steps = resets(tx, &stored, task, &reset).await?;
    let inside: BTreeSet<_> = reset.iter().copied().collect();
    let above = steps.iter().flat_map(|reset| &reset.parents).map(|parent| parent.step);
    let above: BTreeSet<_> = above.filter(|parent| !inside.contains(parent)).collect();
    let mut ids: Vec<_> = inside.into_iter().collect();
    let rows = tx.lock_steps(&ids).await?;
    ids.clear();
    ids.extend(above);
    let parents = tx.read_ended_steps(&ids, &[]).await?;
    let by_task = ByTask::from([(task, Arc::clone(&stored))]);
    let grown = BTreeSet::new();
    let sight = Sight { by_task: &by_task, served: None, grown: &grown };
    let mut view = View { compensated: ending::compensated(&by_task), ..View::default() };
    view.tasks.insert(task, row.task);
    for row in rows.iter().chain(parents.iter().map(|parent| &parent.step)) {
        view.steps.insert(row.id, ending::step(row, sight.join(row.id)));
    }
    // The step that is asked for begins at once.
    view.delays = sight.delays(reset.iter().skip(1).copied(), &ByStep::default());
    if row.has_budget {
        ending::see_budgets(tx, &mut view, &[row], sight).await?;
    }
    let now = rows.first().map_or(row.now, |step| step.now);
    let observation = Observation::RerunRequested { steps, name: name.to_owned(), request };
    let decisions = decide_seeing(tx, &mut view, &observation, now, sight).await?;
    forget(tx, row, &decisions).await?;
    Ok(ending::write(tx, decisions, &by_task, &ByStep::default(), &[]).await?.decisions)
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

/// The steps with their parents, of which those that decide say whether they have taken them.
async fn resets(
    tx: &mut impl Transaction,
    stored: &Stored,
    task: TaskId,
    steps: &[StepId],
) -> Result<Vec<Reset>, Error> {
    let inside: BTreeSet<_> = steps.iter().copied().collect();
    let parents = |step: &StepId| {
        stored.parents(*step).iter().map(|index| task.step(*index)).collect::<Vec<_>>()
    };
    let deciding = steps.iter().flat_map(parents);
    let deciding = deciding.filter(|parent| !inside.contains(parent) && stored.forks(*parent));
    let deciding: BTreeSet<_> = deciding.collect();
    let taken = branches::taken_before(tx, stored, &deciding).await?;
    let reset = |step: &StepId| {
        let left_out = |parent: StepId| {
            taken.get(&parent).is_some_and(|taken| !taken.branches.contains_key(step))
        };
        let parents = parents(step).into_iter();
        let parents = parents.map(|step| Parent { step, left_out: left_out(step) }).collect();
        Reset { step: *step, parents }
    };
    Ok(steps.iter().map(reset).collect())
}
