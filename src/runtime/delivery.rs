//! What a handler needs to execute a claimed step.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::compensation;
use super::failure::bounded;
use super::mapping;
use super::orchestrator::{blocked, failure};
use super::templates::{Stored, Templates};
use crate::decision::{Claim, Decisions, FailureKind, Outcome, StepChange};
use crate::encryption::{Text, Unreadable};
use crate::error::Error;
use crate::ids::{StepId, TaskId, TemplateId};
use crate::store::Database;
use crate::template::StepTemplate;

/// Bytes of contexts kept; beyond them all are dropped and read again as needed.
const MOST_BYTES: usize = 64 << 20;

/// What a kept context costs besides its text.
const BYTES_PER_CONTEXT: usize = 128;

/// A claimed step on its way to a handler.
#[derive(Debug)]
pub struct Delivery {
    /// The claim.
    pub claim: Claim,
    /// The version of the task's template.
    pub template: TemplateId,
    /// The task's context, JSON text.
    pub context: Arc<str>,
    /// The results of the direct parents by name, a JSON object; `None` without parents.
    pub parents: Option<Box<str>>,
    /// What there is to know of a step that was added.
    pub added: Option<Box<AddedDelivery>>,
    /// The task that the step undoes a part of.
    pub undoes: Option<Box<UndoneTask>>,
}

/// The task whose step the handler undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UndoneTask {
    /// The task.
    pub task: TaskId,
    /// The version of its template.
    pub template: TemplateId,
}

/// What the handler of a step is given that was added while its task ran.
#[derive(Debug)]
pub struct AddedDelivery {
    /// The position of its prototype in the template.
    pub prototype: u32,
    /// The step's name.
    pub name: String,
    /// What whoever added it gave it, JSON text: the item, for an item of a map step.
    pub inputs: Box<str>,
    /// The number of the item.
    pub item: Option<u32>,
}

/// Reads what handlers need, and keeps the contexts of recent tasks. The lock is a `std` one: it is
/// held for look-ups and insertions, never across a wait.
#[derive(Debug, Default)]
pub(super) struct Courier {
    kept: Mutex<Contexts>,
}

type Context = (TemplateId, Result<Arc<str>, Unreadable>);

#[derive(Debug, Default)]
struct Contexts {
    by_task: HashMap<TaskId, Context>,
    bytes: usize,
}

/// A delivery, and how its step is to be executed.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) delivery: Delivery,
    pub(super) template: Arc<Stored>,
}

impl Prepared {
    /// The template's step that tells how it is executed.
    pub(super) fn step(&self) -> Option<&StepTemplate> {
        match &self.delivery.added {
            Some(added) => self.template.template.steps().get(added.prototype as usize),
            None => self.template.step(self.delivery.claim.step),
        }
    }
}

impl Courier {
    /// Reads what the handlers of these claims need. Claims that no handler is to execute are returned apart, with
    /// their ends: what is needed cannot be read, or their condition is not met.
    pub(super) async fn prepare(
        &self,
        database: &impl Database,
        templates: &Templates,
        claims: &[Claim],
        results: &Results<'_>,
    ) -> Result<(Vec<Prepared>, Vec<(Claim, Outcome)>), Error> {
        let contexts = self.contexts(database, claims).await?;
        let mut prepared = Vec::with_capacity(claims.len());
        let mut refused = Vec::new();
        for claim in claims {
            let Some((template, context)) = contexts.get(&claim.step.task()).cloned() else {
                refused.push((*claim, blocked("its task is not in the database".to_owned())));
                continue;
            };
            let context = match context {
                Ok(context) => context,
                Err(why) => {
                    refused.push((*claim, blocked(format!("the context of its task is {why}"))));
                    continue;
                }
            };
            let (claim, parents, added, undoes) = (*claim, None, None, None);
            let delivery = Delivery { claim, template, context, parents, added, undoes };
            match templates.get(database, template).await {
                Ok(template) => prepared.push(Prepared { delivery, template }),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => refused.push((claim, blocked(error.to_string()))),
            }
        }
        refused.extend(compensation::leave_out(database, templates, &mut prepared).await?);
        refused.extend(mapping::attach_added(database, &mut prepared).await?);
        refused.extend(attach_parents(database, &mut prepared, results).await?);
        Ok((prepared, refused))
    }

    /// Keeps a task's context, which its claims will need.
    pub(super) fn keep(&self, task: TaskId, template: TemplateId, context: Text) {
        self.lock().keep(task, &(template, context.map(Arc::from)));
    }

    /// The template of a task whose context is kept.
    pub(super) fn template_of(&self, task: TaskId) -> Option<TemplateId> {
        self.lock().by_task.get(&task).map(|(template, _)| *template)
    }

    /// The contexts of the claims' tasks: kept ones, and those that are not there read in one query.
    async fn contexts(
        &self,
        database: &impl Database,
        claims: &[Claim],
    ) -> Result<HashMap<TaskId, Context>, Error> {
        let tasks = super::ending::task_ids(claims.iter().map(|claim| claim.step));
        let mut found = self.lock().find(&tasks);
        let unknown: Vec<_> = tasks.into_iter().filter(|task| !found.contains_key(task)).collect();
        if unknown.is_empty() {
            return Ok(found);
        }
        let rows = database.task_contexts(&unknown).await?;
        let mut kept = self.lock();
        for row in rows {
            let context = (row.template, row.context.map(Arc::from));
            kept.keep(row.task, &context);
            found.insert(row.task, context);
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Contexts> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contexts {
    fn find(&self, tasks: &[TaskId]) -> HashMap<TaskId, Context> {
        let found = tasks.iter().filter_map(|task| Some((*task, self.by_task.get(task)?.clone())));
        found.collect()
    }

    fn keep(&mut self, task: TaskId, context: &Context) {
        if self.bytes > MOST_BYTES {
            *self = Self::default();
        }
        self.bytes += BYTES_PER_CONTEXT + context.1.as_ref().map_or(0, |text| text.len());
        self.by_task.insert(task, context.clone());
    }
}

/// Results that were written just now, by step.
#[derive(Debug, Default)]
pub(super) struct Results<'a>(HashMap<StepId, &'a str>);

impl<'a> Results<'a> {
    /// Those of a decision.
    pub(super) fn of(decisions: &'a Decisions) -> Self {
        let results = |change: &'a StepChange| Some((change.after.id, change.results.as_deref()?));
        Self(decisions.steps.iter().filter_map(results).collect())
    }
}

/// The parents of a step, as its template has them; none of one that undoes another, whose handler reads the results of
/// the task that it undoes.
fn parents(one: &Prepared) -> impl Iterator<Item = StepId> {
    let step = one.delivery.claim.step;
    let parents = if one.template.compensates { &[] } else { one.template.parents(step) };
    parents.iter().map(move |parent| step.task().step(*parent))
}

/// Gives each step the results of its parents: those that are at hand, and the others read in one query. Takes
/// out the claims whose parents' results cannot be read, or whose condition is not met, with their ends.
async fn attach_parents(
    database: &impl Database,
    prepared: &mut Vec<Prepared>,
    results: &Results<'_>,
) -> Result<Vec<(Claim, Outcome)>, Error> {
    let all = prepared.iter().flat_map(parents).filter(|parent| !results.0.contains_key(parent));
    let unknown: BTreeSet<_> = all.collect();
    let read = if unknown.is_empty() {
        HashMap::new()
    } else {
        database.step_results(&unknown.into_iter().collect::<Vec<_>>()).await?
    };
    let result = |step| match results.0.get(&step) {
        Some(results) => Ok(Some(*results)),
        None => {
            let text = read.get(&step).and_then(|(_, results)| results.as_ref());
            text.map(|text| text.as_deref()).transpose()
        }
    };
    let mut refused = Vec::new();
    prepared.retain_mut(|one| {
        let given = |parent| result(parent).map(|results| (parent, results));
        let parents: Result<Vec<_>, _> = parents(one).map(given).collect();
        match parents {
            Ok(parents) => {
                let unfit = condition(one, &parents).or_else(|| mapping::map(one, &parents));
                let fits = unfit.is_none();
                refused.extend(unfit.map(|outcome| (one.delivery.claim, outcome)));
                if fits && !parents.is_empty() {
                    one.delivery.parents = Some(object(&one.template, &parents));
                }
                fits
            }
            Err(why) => {
                let why = blocked(format!("the results of a parent are {why}"));
                refused.push((one.delivery.claim, why));
                false
            }
        }
    });
    Ok(refused)
}

/// The end of a step whose condition is not met, or cannot be told; `None` for one that is executed.
fn condition(one: &Prepared, parents: &[(StepId, Option<&str>)]) -> Option<Outcome> {
    let template = &one.template;
    let step = one.step()?;
    if one.delivery.added.is_none() && !step.edge_conditions.is_empty() {
        for (parent, results) in given(template, parents) {
            let Some(edge) = step.edge_conditions.get(parent) else { continue };
            let met = edge.is_met(&one.delivery.context, std::iter::once((parent, results)));
            if let Err(why) = met {
                let on = format!("{}, on the edge from {parent}, ", edge.text());
                return Some(untellable(&on, &why));
            }
        }
    }
    // That of a map step was met before its items were made.
    let when = step.when.as_ref().filter(|_| step.map.is_none() || one.delivery.added.is_none())?;
    match when.is_met(&one.delivery.context, given(template, parents)) {
        Ok(true) => None,
        Ok(false) => Some(Outcome::ConditionUnmet(when.text().into())),
        Err(why) => Some(untellable(&format!("{} ", when.text()), &why)),
    }
}

fn untellable(condition: &str, why: &str) -> Outcome {
    let why = format!("the condition {condition}cannot be told: {why}");
    Outcome::Failed(bounded(failure(FailureKind::Permanent, "Condition", why)))
}

/// The results of parents that have some, by name.
pub(super) fn given<'a>(
    template: &'a Stored,
    parents: &'a [(StepId, Option<&'a str>)],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    parents.iter().filter_map(|(step, results)| Some((name(template, *step), (*results)?)))
}

fn name(template: &Stored, step: StepId) -> &str {
    template.step(step).map_or("", |step| step.name.as_str())
}

/// A JSON object from the parents' names and the text of their results.
fn object(template: &Stored, parents: &[(StepId, Option<&str>)]) -> Box<str> {
    let mut json = String::from("{");
    for (step, results) in parents {
        let name = name(template, *step);
        let comma = if json.len() > 1 { "," } else { "" };
        let results = results.unwrap_or("null");
        let name = serde_json::Value::from(name);
        let _ = write!(json, "{comma}{name}:{results}");
    }
    json.push('}');
    json.into()
}
