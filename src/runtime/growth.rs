//! Steps that are added while a task runs: what their names stand for, and what is known of those that were added
//! before. A task that has grown has more steps than its template makes; of any other nothing is read here.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::arguments::parse;
use super::deciding::Sight;
use super::ending::{ByTask, step};
use super::templates::Stored;
use crate::decision::{
    ByStep, ClaimEnd, Grown, Growth, Join, Mapped, NewStep, Outcome, Relative, ResolvedStep, View,
};
use crate::error::Error;
use crate::graph::parents_first;
use crate::ids::{StepId, TaskId};
use crate::join_policy::JoinPolicy;
use crate::json::{self, JsonLimits, shorten};
use crate::store::{AddedName, GrowthRow, StoreError, TaskRow, Transaction};
use crate::suggest::nearest;
use crate::template::{LONGEST_STEP_NAME, NOT_LIKE_AN_ITEM, StepTemplate, is_like_an_item};

/// Steps that one attempt adds at most.
pub(super) const MOST_ADDED: usize = 200_000;

/// Parents that the steps of one attempt have at most, together.
const MOST_EDGES: usize = 1_000_000;

/// Largest inputs of a step that is added, and largest item of a list, in bytes of JSON.
pub(super) const LARGEST_INPUTS: usize = 64 << 10;

/// Largest report of what an attempt adds, in bytes.
const LARGEST_GROWTH: usize = 64 << 20;

/// Longest part of a name that a message repeats, in characters.
const LONGEST_NAME: usize = 80;

/// Most names that a message lists.
const MOST_NAMES: usize = 20;

/// The template's step that tells about a step: for one that was added, its prototype.
pub(super) fn template_of<'a>(
    by_task: &'a ByTask,
    prototypes: &ByStep<u32>,
    step: StepId,
) -> Option<&'a StepTemplate> {
    let stored = by_task.get(&step.task())?;
    match prototypes.get(&step) {
        Some(prototype) => stored.template.steps().get(*prototype as usize),
        None => stored.step(step),
    }
}

/// How long all attempts of a step together may take, where that is limited. The time of a map step is that of each of its
/// items.
pub(super) fn total_timeout(
    by_task: &ByTask,
    prototypes: &ByStep<u32>,
    step: StepId,
) -> Option<Duration> {
    let template = template_of(by_task, prototypes, step)?;
    let has_items = template.map.is_some() && !prototypes.contains_key(&step);
    template.total_timeout.filter(|_| !has_items)
}

/// The prototypes of a step, if it was added to its task.
pub(super) async fn prototypes_of(
    tx: &mut impl Transaction,
    step: StepId,
    stored: &Stored,
) -> Result<ByStep<u32>, StoreError> {
    if stored.step(step).is_some() {
        return Ok(ByStep::default());
    }
    let rows = tx.read_growth(&[step]).await?;
    Ok(rows.iter().filter_map(|row| Some((row.step, row.prototype?))).collect())
}

/// The tasks that have other steps than their templates make.
pub(super) fn grown(rows: &[TaskRow], by_task: &ByTask) -> BTreeSet<TaskId> {
    let has_grown = |row: &&TaskRow| {
        by_task.get(&row.task.id).is_some_and(|stored| stored.has_grown(row.total_steps))
    };
    rows.iter().filter(has_grown).map(|row| row.task.id).collect()
}

/// Adds to the view what no template tells about these steps of it.
pub(super) async fn learn(
    tx: &mut impl Transaction,
    view: &mut View,
    steps: &[StepId],
    sight: Sight<'_>,
) -> Result<(), StoreError> {
    if sight.grown.is_empty() {
        return Ok(());
    }
    let of_grown = steps.iter().copied().filter(|step| sight.grown.contains(&step.task()));
    let wanted: Vec<_> = of_grown.collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for row in tx.read_growth(&wanted).await? {
        note(view, row, sight);
    }
    Ok(())
}

fn note(view: &mut View, row: GrowthRow, sight: Sight<'_>) {
    let GrowthRow { step, prototype, parents, first_item } = row;
    view.grown.prototypes.extend(prototype.map(|prototype| (step, prototype)));
    let template = template_of(sight.by_task, &view.grown.prototypes, step);
    let map = template.and_then(|template| template.map.as_ref());
    if let (Some(first), Some(items)) = (first_item, parents) {
        let max_parallel = map.and_then(|map| map.max_parallel);
        let tolerate = map.map_or(Some(0), |map| map.tolerate);
        view.grown.maps.insert(step, Mapped { first, items, max_parallel, tolerate });
    }
    let Some(known) = view.steps.get_mut(&step) else { return };
    let is_item = prototype.is_some() && map.is_some();
    let parents = parents.unwrap_or(if prototype.is_some() { 0 } else { known.join.parents });
    let policy = template.filter(|_| !is_item).map_or_else(JoinPolicy::default, |step| step.join);
    known.join = join(policy, parents);
}

/// When a step may start that has so many parents.
fn join(policy: JoinPolicy, parents: u32) -> Join {
    match policy {
        _ if parents == 0 => Join { parents, ..Join::default() },
        JoinPolicy::Quorum(most) => Join { policy: JoinPolicy::Quorum(most.min(parents)), parents },
        JoinPolicy::AllComplete
        | JoinPolicy::AllDone
        | JoinPolicy::AnyComplete
        | JoinPolicy::NoneFailed => Join { policy, parents },
    }
}

/// A step of the view waits for so many parents from now on, which are no items.
pub(super) fn wait_for(view: &mut View, step: StepId, parents: u32, sight: Sight<'_>) {
    let template = template_of(sight.by_task, &view.grown.prototypes, step);
    if let Some((known, template)) = view.steps.get_mut(&step).zip(template)
        && known.join.parents != parents
    {
        known.join = join(template.join, parents);
    }
}

/// Adds steps to the view that the decider asks for.
pub(super) async fn see(
    tx: &mut impl Transaction,
    view: &mut View,
    steps: &[StepId],
    sight: Sight<'_>,
) -> Result<(), Error> {
    let before = view.steps.len();
    for row in tx.read_ended_steps(steps, &[]).await? {
        view.steps.insert(row.step.id, step(&row.step, sight.join(row.step.id)));
    }
    if view.steps.len() < before + steps.len() {
        let written = view.steps.len() - before;
        return Err(StoreError::Conflict { expected: steps.len(), written }.into());
    }
    learn(tx, view, steps, sight).await?;
    let prototypes = &view.grown.prototypes;
    view.elsewhere.extend(sight.elsewhere(steps.iter().copied(), prototypes));
    view.delays.extend(sight.delays(steps.iter().copied(), prototypes));
    Ok(())
}

/// Whether steps are added by the end of a claim.
pub(super) fn grows(end: &ClaimEnd) -> bool {
    matches!(end.outcome, Outcome::Grew(..) | Outcome::Mapped(_))
}

/// What the growths among some ends stand for.
#[derive(Debug, Default)]
pub(super) struct Growths {
    pub(super) grown: Grown,
    /// Steps that they name.
    pub(super) named: BTreeSet<StepId>,
}

/// Finds what the names stand for that handlers use which add steps.
pub(super) async fn resolve(
    tx: &mut impl Transaction,
    ends: &[ClaimEnd],
    rows: &[TaskRow],
    sight: Sight<'_>,
) -> Result<Growths, StoreError> {
    let mut growths = Growths::default();
    for end in ends.iter().filter(|end| grows(end)) {
        let step = end.claim.step;
        let Some(stored) = sight.by_task.get(&step.task()) else { continue };
        if let Some(row) = rows.iter().find(|row| row.task.id == step.task()) {
            let next = stored.next_position(row.total_steps);
            growths.grown.next.insert(step.task(), next);
        }
        let Outcome::Grew(_, growth) = &end.outcome else { continue };
        let names = wanted(growth);
        let known = tx.find_added(step.task(), &names).await?;
        let names = Names::new(stored, step, growth, &known);
        let resolved = names.and_then(|names| names.resolve(growth, sight));
        for told in resolved.iter().flatten() {
            growths.named.extend(&told.before);
            let existing = told.parents.iter().filter_map(|parent| match parent {
                Relative::Existing(parent) => Some(*parent),
                Relative::Added(_) => None,
            });
            growths.named.extend(existing);
        }
        growths.grown.resolved.insert(step, resolved);
    }
    Ok(growths)
}

/// All names of a growth.
fn wanted(growth: &Growth) -> Vec<String> {
    let of_step = |step: &NewStep| {
        let parents = step.depends_on.clone().unwrap_or_default();
        parents.into_iter().chain(step.before.clone()).chain([step.name.to_string()])
    };
    let names: HashSet<_> = growth.steps.iter().flat_map(of_step).collect();
    names.into_iter().collect()
}

/// What names stand for in a task.
struct Names<'a> {
    stored: &'a Stored,
    adding: StepId,
    added: HashMap<&'a str, u32>,
    known: HashMap<&'a str, &'a AddedName>,
}

impl<'a> Names<'a> {
    fn new(
        stored: &'a Stored,
        adding: StepId,
        growth: &'a Growth,
        known: &'a [AddedName],
    ) -> Result<Self, String> {
        let known: HashMap<_, _> = known.iter().map(|one| (&*one.name, one)).collect();
        let mut added = HashMap::with_capacity(growth.steps.len());
        for (index, step) in (0..).zip(&growth.steps) {
            let is_twice = added.insert(&*step.name, index).is_some();
            let is_known =
                known.contains_key(&*step.name) || stored.template.step_index(&step.name).is_some();
            if is_twice || is_known {
                let again =
                    if is_twice { " twice" } else { ", a name that another step of the task has" };
                let allowed = "a name that no other step of the task has";
                return Err(format!("adds {:?}{again}; allowed: {allowed}", clip(&step.name)));
            }
            if is_like_an_item(&step.name) {
                return Err(format!("adds {:?}; allowed: {NOT_LIKE_AN_ITEM}", clip(&step.name)));
            }
        }
        Ok(Self { stored, adding, added, known })
    }

    fn resolve(&self, growth: &Growth, sight: Sight<'_>) -> Result<Vec<ResolvedStep>, String> {
        let parents = |step: &NewStep| step.depends_on.as_ref().map_or(1, Vec::len);
        let edges: usize = growth.steps.iter().map(|one| parents(one) + one.before.len()).sum();
        if edges > MOST_EDGES {
            return Err(format!("adds {edges} dependencies; allowed: {MOST_EDGES} in one attempt"));
        }
        let resolved: Vec<_> =
            growth.steps.iter().map(|step| self.step(step, sight)).collect::<Result<_, _>>()?;
        match circle(&resolved) {
            Some(index) => Err(format!(
                "adds {:?}, which would wait for itself; allowed: steps that do not wait for each other in a circle",
                clip(&growth.steps[index].name)
            )),
            None => Ok(resolved),
        }
    }

    fn step(&self, new: &NewStep, sight: Sight<'_>) -> Result<ResolvedStep, String> {
        let prototype = self.prototype(new)?;
        let template = &self.stored.template.steps()[prototype as usize];
        let itself = vec![Relative::Existing(self.adding)];
        let parents = match &new.depends_on {
            None => itself,
            Some(names) => {
                let parent = |name: &String| self.parent(new, name);
                let parents: Vec<_> = names.iter().map(parent).collect::<Result<_, _>>()?;
                once_each(new, "depends on", names)?;
                parents
            }
        };
        once_each(new, "comes before", &new.before)?;
        let before = new.before.iter().map(|name| self.to_wait(new, name));
        let is_served = |served: &[String]| served.contains(&template.queue);
        Ok(ResolvedStep {
            prototype,
            join: template.join,
            delay: template.delay,
            elsewhere: !sight.served.is_none_or(is_served),
            parents,
            before: before.collect::<Result<_, _>>()?,
        })
    }

    fn prototype(&self, new: &NewStep) -> Result<u32, String> {
        let steps = self.stored.template.steps();
        let index = self.stored.template.step_index(&new.like);
        index.filter(|index| steps[*index as usize].dynamic).ok_or_else(|| {
            let dynamic = || steps.iter().filter(|step| step.dynamic).map(|step| &*step.name);
            let names: Vec<_> =
                dynamic().take(MOST_NAMES).map(|name| format!("{name:?}")).collect();
            let allowed = if names.is_empty() {
                "none: no step of the template says dynamic: true".to_owned()
            } else {
                format!("steps with dynamic: true: {}", names.join(", "))
            };
            let meant = meant(nearest(&new.like, dynamic()));
            format!(
                "adds {:?} like {:?}; allowed: {allowed}{meant}",
                clip(&new.name),
                clip(&new.like)
            )
        })
    }

    fn parent(&self, new: &NewStep, name: &str) -> Result<Relative, String> {
        match self.added.get(name) {
            Some(index) => Ok(Relative::Added(*index)),
            None => {
                let step = self.existing(new, name)?;
                if self.stored.decides(step) {
                    return Err(format!(
                        "adds {:?}, which depends on {name:?}, and that decides; allowed: steps that do not decide",
                        clip(&new.name)
                    ));
                }
                Ok(Relative::Existing(step))
            }
        }
    }

    /// A step that is to wait for one that is added. An item begins when it is its turn.
    fn to_wait(&self, new: &NewStep, name: &str) -> Result<StepId, String> {
        if self.added.contains_key(name) {
            return Err(format!(
                "adds {:?} before {:?}, which it adds as well; allowed: steps that are pending, and depends_on: {:?} for {:?}",
                clip(&new.name),
                clip(name),
                clip(&new.name),
                clip(name)
            ));
        }
        let prototype = self.known.get(name).map(|known| known.prototype as usize);
        let template = prototype.and_then(|prototype| self.stored.template.steps().get(prototype));
        if template.is_some_and(|template| template.map.is_some()) {
            return Err(format!(
                "adds {:?} before {:?}, and that is an item of a map step; allowed: other steps that are pending",
                clip(&new.name),
                clip(name)
            ));
        }
        self.existing(new, name)
    }

    /// A step that there was before the attempt ended.
    fn existing(&self, new: &NewStep, name: &str) -> Result<StepId, String> {
        if let Some(index) = self.stored.made_with_task(name) {
            return Ok(self.adding.task().step(index));
        }
        if let Some(known) = self.known.get(name) {
            return Ok(known.step);
        }
        let template = self.stored.template.steps().iter().map(|step| step.name.as_str());
        let meant = meant(nearest(name, template.chain(self.added.keys().copied())));
        Err(format!(
            "adds {:?}, which names {:?}, and there is no such step; allowed: steps of the task, and in depends_on \
             steps that are added with it{meant}",
            clip(&new.name),
            clip(name)
        ))
    }
}

fn once_each(new: &NewStep, how: &str, names: &[String]) -> Result<(), String> {
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(format!(
            "adds {:?}, which {how} {:?} twice; allowed: each once",
            clip(&new.name),
            clip(name)
        )),
        None => Ok(()),
    }
}

/// One of the steps that wait for themselves, if there is one.
fn circle(steps: &[ResolvedStep]) -> Option<usize> {
    let added = |step: &ResolvedStep| {
        let added = step.parents.iter().filter_map(|parent| match parent {
            Relative::Added(parent) => Some(*parent as usize),
            Relative::Existing(_) => None,
        });
        added.collect()
    };
    let parents: Vec<_> = steps.iter().map(added).collect();
    let order = parents_first(&parents);
    let in_order: HashSet<_> = order.into_iter().collect();
    (0..steps.len()).find(|step| !in_order.contains(step))
}

fn clip(name: &str) -> String {
    shorten(name, LONGEST_NAME)
}

fn meant(name: Option<&str>) -> String {
    name.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

/// A step that a handler adds, as it reports it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reported {
    name: String,
    like: String,
    #[serde(default)]
    inputs: Option<Box<RawValue>>,
    #[serde(default)]
    depends_on: Option<Vec<String>>,
    #[serde(default)]
    before: Vec<String>,
}

/// Reads what a handler adds, a JSON list.
///
/// # Errors
/// [`Error::Argument`] for what is no such list, or too large.
pub(super) fn from_json(text: &str) -> Result<Growth, Error> {
    let refused =
        |value: String, allowed: String| Error::Argument { argument: "steps", value, allowed };
    if text.len() > LARGEST_GROWTH {
        let allowed = format!("at most {LARGEST_GROWTH} bytes of JSON in one attempt");
        return Err(refused(format!("{} bytes", text.len()), allowed));
    }
    let reported: Vec<Reported> = parse("steps", text)?;
    if reported.len() > MOST_ADDED {
        let allowed = format!("at most {MOST_ADDED} steps in one attempt");
        return Err(refused(format!("a list of {}", reported.len()), allowed));
    }
    let new = |one: Reported| {
        if !(1..=LONGEST_STEP_NAME).contains(&one.name.len()) || one.name.contains('\0') {
            let allowed = format!("names of 1 to {LONGEST_STEP_NAME} bytes without U+0000");
            return Err(refused(format!("{:?}", clip(&one.name)), allowed));
        }
        let inputs: Arc<str> = one.inputs.map_or_else(|| "{}".into(), |json| json.get().into());
        let limits = JsonLimits { max_bytes: LARGEST_INPUTS, ..JsonLimits::RESULTS };
        json::check(&inputs, limits).map_err(|source| Error::Json {
            what: format!("inputs of step {:?}", clip(&one.name)),
            source,
        })?;
        let Reported { name, like, depends_on, before, .. } = one;
        let mut names = depends_on.iter().flatten().chain(&before).chain([&like]);
        if let Some(name) = names.find(|name| name.contains('\0')) {
            return Err(refused(format!("{:?}", clip(name)), "names without U+0000".to_owned()));
        }
        drop(names);
        Ok(NewStep { name: name.into(), like, inputs, depends_on, before })
    };
    Ok(Growth { steps: reported.into_iter().map(new).collect::<Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use super::super::templates::stored;
    use super::*;

    fn refusal(text: &str) -> Option<String> {
        from_json(text).err().map(|error| error.to_string())
    }

    fn list_of(steps: usize) -> String {
        let step = r#"{"name":"a","like":"b"}"#;
        format!("[{}]", vec![step; steps].join(","))
    }

    #[test]
    fn as_many_steps_are_added_as_may() {
        assert_eq!(refusal(&list_of(MOST_ADDED)), None);
        let error = refusal(&list_of(MOST_ADDED + 1)).unwrap();
        assert_eq!(
            error,
            "steps is a list of 200001; allowed: at most 200000 steps in one attempt"
        );
        let error = refusal(&" ".repeat(LARGEST_GROWTH + 1)).unwrap();
        assert_eq!(
            error,
            "steps is 67108865 bytes; allowed: at most 67108864 bytes of JSON in one attempt"
        );
        assert_eq!(refusal(&format!("[]{}", " ".repeat(LARGEST_GROWTH - 2))), None);
    }

    /// Steps that depend on those before them, so often in all.
    fn with_dependencies(mut left: usize) -> Growth {
        let (mut names, mut steps) = (Vec::new(), Vec::new());
        while left > 0 || names.is_empty() {
            let parents = left.min(names.len());
            left -= parents;
            let name = format!("s{}", names.len());
            steps.push(NewStep {
                name: name.as_str().into(),
                like: "any".to_owned(),
                inputs: "{}".into(),
                depends_on: Some(names[..parents].to_vec()),
                before: Vec::new(),
            });
            names.push(name);
        }
        Growth { steps }
    }

    #[test]
    fn as_many_dependencies_are_added_as_may() {
        let template = r#"{"name": "x", "step_templates": [{"name": "first", "handler_class": "A"},
                           {"name": "any", "handler_class": "A", "dynamic": true}]}"#;
        let stored = stored(template);
        let (by_task, grown) = (ByTask::new(), BTreeSet::new());
        let sight = Sight { by_task: &by_task, served: None, ledger: None, grown: &grown };
        let resolved = |growth: &Growth| -> Result<usize, String> {
            let names = Names::new(&stored, TaskId(1).step(0), growth, &[])?;
            let steps = names.resolve(growth, sight)?;
            Ok(steps.iter().map(|step| step.parents.len() + step.before.len()).sum())
        };
        let most = with_dependencies(MOST_EDGES);
        assert_eq!(resolved(&most), Ok(MOST_EDGES));
        let with_first = |change: fn(&mut NewStep)| {
            let mut growth = most.clone();
            change(&mut growth.steps[0]);
            growth
        };
        for one_more in [
            with_dependencies(MOST_EDGES + 1),
            with_first(|step| step.before.push("first".to_owned())),
            // On the step that adds it.
            with_first(|step| step.depends_on = None),
        ] {
            let error = "adds 1000001 dependencies; allowed: 1000000 in one attempt";
            assert_eq!(resolved(&one_more), Err(error.to_owned()));
        }
    }

    #[test]
    fn names_and_inputs_are_as_long_as_they_may_be() {
        let named = |bytes: usize| {
            let name = "x".repeat(bytes);
            refusal(&format!(r#"[{{"name":"{name}","like":"b"}}]"#))
        };
        assert_eq!(named(LONGEST_STEP_NAME), None);
        for bytes in [0, LONGEST_STEP_NAME + 1] {
            assert!(named(bytes).unwrap().contains("names of 1 to 512 bytes"));
        }
        let with_inputs = |bytes: usize| {
            let text = "x".repeat(bytes - r#"{"a":""}"#.len());
            refusal(&format!(r#"[{{"name":"a","like":"b","inputs":{{"a":"{text}"}}}}]"#))
        };
        assert_eq!(with_inputs(LARGEST_INPUTS), None);
        let error = with_inputs(LARGEST_INPUTS + 1).unwrap();
        assert!(error.contains("inputs of step \"a\"") && error.contains("65537"), "{error}");
    }
}
