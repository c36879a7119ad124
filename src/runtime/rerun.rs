//! Steps that are executed anew: the step that is asked for and those below it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::arguments::refused;
use super::branches;
use super::deciding::{Sight, decide_seeing};
use super::ending::{self, ByTask};
use super::growth;
use super::templates::Stored;
use crate::decide::is_reset;
use crate::decision::{Decisions, Observation, Parent, Request, Reset, Retired, View};
use crate::error::Error;
use crate::graph::parents_first;
use crate::guard::{Guard, removed};
use crate::ids::StepId;
use crate::state::{StepEvent, StepState};
use crate::store::{Link, StoreError, TaskRow, Transaction};

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

/// The steps, those below them, and what any of these has added.
pub(super) fn following(first: BTreeSet<StepId>, links: &[Link]) -> BTreeSet<StepId> {
    let mut next: Vec<_> = first.iter().copied().collect();
    let mut found = first;
    let mut by_step: HashMap<_, Vec<_>> = HashMap::new();
    for link in links {
        by_step.entry(link.from).or_default().push(link.to);
    }
    while let Some(step) = next.pop() {
        let follow = by_step.get(&step).into_iter().flatten().copied();
        next.extend(follow.filter(|step| found.insert(*step)));
    }
    found
}

/// What these steps have added, with the one that has added it.
pub(super) fn added_by(links: &[Link], steps: &BTreeSet<StepId>) -> BTreeMap<StepId, StepId> {
    let adds = links.iter().filter(|link| link.added.is_some() && steps.contains(&link.from));
    adds.map(|link| (link.to, link.from)).collect()
}

/// The steps that wait for what others than they themselves have added: a map step's items are its own matter.
pub(super) fn added_before(links: &[Link], by: &BTreeMap<StepId, StepId>) -> BTreeSet<StepId> {
    let waits = |link: &&Link| {
        link.added.is_none() && by.get(&link.from).is_some_and(|adding| *adding != link.to)
    };
    links.iter().filter(waits).map(|link| link.to).collect()
}

/// A step that is executed anew: the one that is asked for, or one below it.
#[derive(Debug, PartialEq, Eq)]
struct Below {
    step: StepId,
    parents: Vec<StepId>,
    /// No step depends on it.
    last: bool,
    /// What is retired was added before it; items are not.
    awaits_added: bool,
}

/// The step and those below it, parents before their children, and what they have added, which they add anew.
#[derive(Debug, PartialEq, Eq)]
struct Anew {
    steps: Vec<Below>,
    retired: Vec<Retired>,
    /// Others, on which nothing depended but what is retired.
    childless: Vec<StepId>,
}

/// Why steps are not executed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stuck {
    /// A step below the one that is asked for has added it.
    AddedBelow,
    /// This step would wait for itself, or for none of them.
    At(StepId),
}

impl Anew {
    /// In a task that is as its template says.
    fn of_template(stored: &Stored, step: StepId) -> Self {
        let of_template = with_those_below(stored, BTreeSet::from([step.index()]));
        let steps = of_template.into_iter().map(|index| step.task().step(index));
        let parents =
            |of: StepId| stored.parents(of).iter().map(move |index| of.task().step(*index));
        let last = |step| stored.children(step).is_empty();
        let below = |step| Below {
            step,
            parents: parents(step).collect(),
            last: last(step),
            awaits_added: false,
        };
        Self { steps: steps.map(below).collect(), retired: Vec::new(), childless: Vec::new() }
    }

    /// In a task to which steps were added.
    ///
    /// # Errors
    /// Why that cannot be.
    fn of_links(step: StepId, links: &[Link]) -> Result<Self, Stuck> {
        let following = following(BTreeSet::from([step]), links);
        let by = added_by(links, &following);
        if by.contains_key(&step) {
            return Err(Stuck::AddedBelow);
        }
        let awaiting = added_before(links, &by);
        let remain = following.iter().filter(|step| !by.contains_key(step));
        let mut parents: BTreeMap<_, Vec<_>> = remain.map(|step| (*step, Vec::new())).collect();
        let mut last = following.clone();
        let (mut childless, mut others) = (BTreeSet::new(), BTreeSet::new());
        for Link { from, to, .. } in links.iter().filter(|link| link.added.is_none()) {
            last.remove(from);
            if let Some(parents) = parents.get_mut(to).filter(|_| !by.contains_key(from)) {
                parents.push(*from);
            }
            if !following.contains(from) {
                let kept = if by.contains_key(to) { &mut childless } else { &mut others };
                kept.insert(*from);
            }
        }
        let ids: Vec<_> = parents.keys().copied().collect();
        let inside = |above: &Vec<StepId>| -> Vec<_> {
            above.iter().filter_map(|parent| ids.binary_search(parent).ok()).collect()
        };
        let inside: Vec<_> = parents.values().map(inside).collect();
        let is_apart = |(id, inside): &(&StepId, &Vec<_>)| inside.is_empty() && **id != step;
        if let Some((apart, _)) = ids.iter().zip(&inside).find(is_apart) {
            return Err(Stuck::At(*apart));
        }
        let below = |at: usize| {
            let step = ids[at];
            Some(Below {
                step,
                parents: parents.remove(&step)?,
                last: last.contains(&step),
                awaits_added: awaiting.contains(&step),
            })
        };
        let steps = parents_first(&inside).into_iter().filter_map(below).collect();
        if let Some(stuck) = parents.keys().next() {
            return Err(Stuck::At(*stuck));
        }
        let retired =
            by.keys().map(|step| Retired { step: *step, last: last.contains(step) }).collect();
        let childless = childless.difference(&others).copied().collect();
        Ok(Self { steps, retired, childless })
    }
}

/// What is executed anew with a step.
///
/// # Errors
/// [`Error::Argument`] where a step below would wait for itself, or has waited only for what is not there any more.
async fn anew(
    tx: &mut impl Transaction,
    row: TaskRow,
    stored: &Stored,
    step: StepId,
    name: &str,
) -> Result<Anew, Error> {
    if !stored.has_grown(row.total_steps) {
        return Ok(Anew::of_template(stored, step));
    }
    let links = tx.links_of_task(row.task.id).await?;
    Anew::of_links(step, &links).map_err(|stuck| {
        let seen = format!("{name:?}");
        let Stuck::At(stuck) = stuck else {
            return refused("step", &seen, &instead_of(step, &links, stored));
        };
        let added = addition(&links, stuck).and_then(|link| link.added.as_deref());
        let of_template = stored.step(stuck).map(|step| step.name.as_str());
        let stuck = of_template.or(added).unwrap_or_default();
        let allowed = format!(
            "a step with none below it that, by what was added to the task, waits for itself, or only for steps that are not \
             executed anew, as {stuck:?} does"
        );
        refused("step", &seen, &allowed)
    })
}

/// The link to a step from the one that has added it.
fn addition(links: &[Link], step: StepId) -> Option<&Link> {
    links.iter().find(|link| link.added.is_some() && link.to == step)
}

/// Where a step was added by one below it: that one, which adds it anew.
fn instead_of(step: StepId, links: &[Link], stored: &Stored) -> String {
    let adding = addition(links, step).and_then(|link| stored.step(link.from));
    match adding {
        Some(adding) if adding.map.is_some() => {
            format!(
                "{:?}: no item is executed anew alone, but the map step with all its items",
                adding.name
            )
        }
        Some(adding) => {
            format!("{:?}, which is below this step and has added it: it adds it anew", adding.name)
        }
        None => "the step below this one that has added it: it adds it anew".to_owned(),
    }
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
    let Anew { steps, retired, childless } = anew(tx, row, &stored, step, name).await?;
    let steps = resets(tx, &stored, steps).await?;
    let inside: BTreeSet<_> = steps.iter().map(|reset| reset.step).collect();
    let above = steps.iter().flat_map(|reset| &reset.parents).map(|parent| parent.step);
    let above = above.chain(childless.iter().copied());
    let above: BTreeSet<_> = above.filter(|parent| !inside.contains(parent)).collect();
    let mut changed: Vec<_> = inside.iter().copied().collect();
    changed.extend(retired.iter().map(|retired| retired.step));
    changed.sort_unstable();
    let rows = tx.lock_steps(&changed).await?;
    let parents = tx.read_ended_steps(&above.into_iter().collect::<Vec<_>>(), &[]).await?;
    let by_task = ByTask::from([(task, Arc::clone(&stored))]);
    let grown = growth::grown(&[row], &by_task);
    let sight = Sight { by_task: &by_task, served: None, ledger: None, grown: &grown };
    let mut view = View { compensated: ending::compensated(&by_task), ..View::default() };
    view.tasks.insert(task, row.task);
    for row in rows.iter().chain(parents.iter().map(|parent| &parent.step)) {
        view.steps.insert(row.id, ending::step(row, sight.join(row.id)));
    }
    let seen: Vec<_> = view.steps.keys().copied().collect();
    growth::learn(tx, &mut view, &seen, sight).await?;
    if !retired.is_empty() {
        for reset in &steps {
            let parents = u32::try_from(reset.parents.len()).unwrap_or(u32::MAX);
            growth::wait_for(&mut view, reset.step, parents, sight);
        }
    }
    // The step that is asked for begins at once.
    let others = inside.iter().copied().filter(|other| *other != step);
    view.delays = sight.delays(others, &view.grown.prototypes);
    if row.has_budget {
        ending::see_budgets(tx, &mut view, &[row], sight).await?;
    }
    let now = rows.first().map_or(row.now, |step| step.now);
    let others: Vec<_> = inside.into_iter().collect();
    let gone: Vec<_> = retired.iter().map(|retired| retired.step).collect();
    let name = name.to_owned();
    let observation = Observation::RerunRequested { steps, retired, childless, name, request };
    let decisions = decide_seeing(tx, &mut view, &observation, now, sight).await?;
    forget(tx, row, &decisions).await?;
    let begins = decisions.steps.iter().any(|change| is_reset(change.event));
    if begins && !gone.is_empty() && !removed(Guard::AddedRetire) {
        tx.retire_added_steps(&gone, &others).await?;
    }
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
    let left = decisions.steps.iter().filter(|change| change.event == Some(StepEvent::Skipped));
    let steps: Vec<_> = reset.into_iter().chain(left).map(|change| change.after.id).collect();
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
    let reset = |Below { step, parents, last, awaits_added }: Below| {
        let left_out = |parent: StepId| {
            taken.get(&parent).is_some_and(|taken| !taken.branches.contains_key(&step))
        };
        let parents = parents.into_iter();
        let parents = parents.map(|step| Parent { step, left_out: left_out(step) }).collect();
        Reset { step, parents, last, awaits_added }
    };
    Ok(below.into_iter().map(reset).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TaskId;

    const TASK: TaskId = TaskId(7);

    /// Edges, and what was added: numbers of steps.
    fn links(edges: &[(u32, u32)], added: &[(u32, u32)]) -> Vec<Link> {
        let link = |(from, to): &(u32, u32), added| Link {
            from: TASK.step(*from),
            to: TASK.step(*to),
            added,
        };
        let edges = edges.iter().map(|edge| link(edge, None));
        edges
            .chain(added.iter().map(|pair| link(pair, Some(format!("added {}", pair.1)))))
            .collect()
    }

    type WithParents = Vec<(u32, Vec<u32>)>;

    /// The steps that are executed anew with their parents, and those that are retired.
    fn anew(first: u32, links: &[Link]) -> Result<(WithParents, Vec<(u32, bool)>), Stuck> {
        let numbers = |steps: Vec<StepId>| steps.into_iter().map(StepId::index).collect();
        let anew = Anew::of_links(TASK.step(first), links)?;
        let steps = anew.steps.into_iter();
        let steps = steps.map(|one| (one.step.index(), numbers(one.parents))).collect();
        Ok((steps, anew.retired.into_iter().map(|one| (one.step.index(), one.last)).collect()))
    }

    #[test]
    fn a_step_is_the_last_one_by_what_depended_on_it_and_one_may_become_it() {
        // 1 has added 3, which waits for 4 and 5 as well; 6 waits for 5.
        let links = links(&[(1, 2), (1, 3), (4, 3), (5, 3), (5, 6)], &[(1, 3)]);
        let anew = Anew::of_links(TASK.step(1), &links).unwrap();
        let last: Vec<_> = anew.steps.iter().map(|one| (one.step.index(), one.last)).collect();
        assert_eq!(last, [(1, false), (2, true)]);
        assert_eq!(anew.childless, [TASK.step(4)]);
    }

    #[test]
    fn a_step_waits_for_what_is_added_before_it_anew_but_a_map_step_has_no_items() {
        let added_before = links(&[(1, 2), (1, 3), (3, 2)], &[(1, 3)]);
        let items = links(&[(0, 1), (3, 1), (1, 2)], &[(1, 3)]);
        for (links, awaiting) in [(added_before, vec![2]), (items, vec![])] {
            let anew = Anew::of_links(TASK.step(1), &links).unwrap();
            let waits = anew.steps.iter().filter(|one| one.awaits_added);
            assert_eq!(waits.map(|one| one.step.index()).collect::<Vec<_>>(), awaiting);
        }
    }

    #[test]
    fn what_is_executed_anew_waits_for_what_was_added_to_it_no_more() {
        // 0 above 1, which has added 4 before 2, and 5, which nothing waits for; 4 has added 6 before 3.
        let links = links(
            &[(0, 1), (1, 2), (2, 3), (1, 4), (4, 2), (1, 5), (4, 6), (6, 3)],
            &[(1, 4), (1, 5), (4, 6)],
        );
        let all = vec![(1, vec![0]), (2, vec![1]), (3, vec![2])];
        assert_eq!(anew(1, &links), Ok((all, vec![(4, false), (5, true), (6, false)])));
        // What another step has added is executed anew by itself.
        let below = vec![(4, vec![1]), (2, vec![1, 4]), (3, vec![2])];
        assert_eq!(anew(4, &links), Ok((below, vec![(6, false)])));
        assert_eq!(anew(2, &links), Ok((vec![(2, vec![1, 4]), (3, vec![2, 6])], vec![])));
    }

    #[test]
    fn a_map_step_makes_its_items_anew_and_an_item_alone_is_not_executed_anew() {
        let links = links(&[(0, 1), (1, 2), (0, 3), (3, 1), (0, 4), (4, 1)], &[(1, 3), (1, 4)]);
        let reduced = vec![(1, vec![0]), (2, vec![1])];
        assert_eq!(anew(1, &links), Ok((reduced, vec![(3, false), (4, false)])));
        assert_eq!(anew(3, &links), Err(Stuck::AddedBelow));
    }

    #[test]
    fn what_would_wait_for_itself_or_for_nothing_is_named() {
        // 1 was done before 0, which it depends on, and has added 3 before 0.
        let circle = links(&[(0, 1), (1, 2), (1, 3), (3, 0)], &[(2, 3)]);
        assert_eq!(anew(2, &circle), Err(Stuck::At(TASK.step(0))));
        let around = links(&[(0, 1), (1, 3), (3, 0)], &[(9, 3)]);
        assert_eq!(anew(1, &around), Err(Stuck::At(TASK.step(0))));
    }

    #[test]
    fn what_a_step_has_added_follows_from_it_and_what_depends_on_that() {
        // 1 has added 5, which has added 6, which 3 waits for; 2 has added 7.
        let links = links(&[(0, 1), (6, 3), (3, 4)], &[(1, 5), (5, 6), (2, 7)]);
        let from = |first: u32| -> Vec<u32> {
            let found = following(BTreeSet::from([TASK.step(first)]), &links);
            found.into_iter().map(StepId::index).collect()
        };
        assert_eq!(from(0), [0, 1, 3, 4, 5, 6]);
        assert_eq!(from(6), [3, 4, 6]);
        assert_eq!(from(2), [2, 7]);
        assert_eq!(from(4), [4]);
    }
}
