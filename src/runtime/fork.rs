//! A new task of the same version of a template that takes over what another one has done, but for some steps and those
//! below them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::arguments::{at_most, at_most_so_many, not_empty, parse, refused};
use super::branches;
use super::current_attributes;
use super::deciding::{Sight, decide_seeing};
use super::ending::{self, ByTask};
use super::rerun::{added_before, added_by, following, with_those_below};
use super::submission::{LONGEST_KEY, Submission, Submitted};
use super::templates::{Stored, Templates};
use super::worker::no_such_step;
use crate::decide::initial_state;
use crate::decision::{
    ByStep, Copied, CopiedEnd, Decisions, Observation, Request, Step, StepChange, Task, View,
};
use crate::error::Error;
use crate::guard::{Guard, removed};
use crate::ids::{StepId, TaskId};
use crate::json::JsonLimits;
use crate::state::{StepState, TaskState};
use crate::store::{EndedStepRow, NewFork, Transaction};

/// Steps that a fork begins with at most.
const MOST_STEPS: usize = 100;

/// A request for a fork.
///
/// # Examples
/// ```
/// use tasker_core::ForkRequest;
/// let json = r#"{"from": ["enrich"], "context": {"rate": 7}, "actor": "mara"}"#;
/// assert_eq!(ForkRequest::from_json(json).unwrap().from, ["enrich"]);
/// assert!(ForkRequest::from_json(r#"{"from": [], "actor": "mara"}"#).is_err());
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// The names of the steps that are executed, and with them all below them, 1 to 100.
    pub from: Vec<String>,
    /// Keys of the context that are other than in the task, or are added to it.
    #[serde(default)]
    pub context: BTreeMap<String, Box<RawValue>>,
    /// Who asks, at most 128 bytes.
    pub actor: String,
    /// Why, at most 1,024 bytes.
    #[serde(default)]
    pub reason: Option<String>,
    /// A key by which the task is found when the request is repeated, as for a submit: 1 to 256 bytes.
    #[serde(default)]
    pub idempotency_key: Option<String>,
}

impl ForkRequest {
    /// Reads a request from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown keys, wrong types, no step, too many of them, and texts that are too long.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let request: Self = parse("fork", json)?;
        at_most("actor", Some(&request.actor), 128)?;
        at_most("reason", request.reason.as_deref(), 1_024)?;
        if let Some(key) = &request.idempotency_key {
            not_empty("idempotency_key", key, LONGEST_KEY)?;
        }
        at_most_so_many("from", request.from.len(), MOST_STEPS)?;
        if request.from.is_empty() {
            return Err(refused("from", "[]", "the name of a step, or several"));
        }
        if request.context.contains_key(current_attributes::KEY) {
            return Err(current_attributes::taken());
        }
        Ok(request)
    }

    /// The tries of a request are told from those of others.
    pub(super) fn is_identified(&self) -> bool {
        self.idempotency_key.is_some()
    }

    fn submission(
        &self,
        stored: &Stored,
        context: &RawValue,
        (tags, priority): (Vec<String>, i16),
    ) -> Result<Submission, Error> {
        let (context, current_attributes) = current_attributes::apart(context.get());
        let actor = self.actor.clone();
        let mut submission = Submission::internal(stored, &context, actor, String::new(), None)?;
        submission.current_attributes = current_attributes;
        submission.reason.clone_from(&self.reason);
        submission.idempotency_key.clone_from(&self.idempotency_key);
        submission.tags = tags;
        submission.priority = Some(priority.into());
        Ok(submission)
    }

    fn detail(&self, source: TaskId) -> String {
        let request =
            Request { actor: self.actor.clone(), reason: self.reason.clone(), seen: None };
        request.detail_of_copy(source)
    }
}

/// Writes the fork, unless its key is that of a task that is there; the caller commits. `made` are tasks of earlier tries.
///
/// # Errors
/// [`Error::UnknownTask`]; [`Error::Argument`] for a step that there is not or that could not start, and for a task that cannot
/// be forked.
pub(crate) async fn fork(
    tx: &mut impl Transaction,
    templates: &Templates,
    source: TaskId,
    request: &ForkRequest,
    (limits, made): (JsonLimits, &mut Vec<TaskId>),
) -> Result<(Submitted, Decisions), Error> {
    let row = tx.fork_source(source).await?.ok_or(Error::UnknownTask { task: source })?;
    let stored = templates.get_within(tx, row.template).await?;
    if stored.compensates {
        let seen = format!("{source}, which undoes another one");
        let allowed =
            "a task that undoes no other; a fork of this one would undo the same once more";
        return Err(refused("task", &seen, allowed));
    }
    let first = first_steps(&stored, &request.from)?;
    let unreadable = |what: String| move |source| Error::Decryption { what, source };
    let context = row.context.map_err(unreadable(format!("the context of task {source}")))?;
    let tags = row.tags.and_then(|tags| serde_json::from_str(&tags).ok()).unwrap_or_default();
    let context = merged(&context, &request.context)?;
    let submission = request.submission(&stored, &context, (tags, row.priority))?;
    submission.validate(&stored, limits)?;
    let earlier = made.clone();
    let submitted = submission.write(tx, &stored, made).await?;
    let new = submitted.task_ids.first().copied().filter(|task| !earlier.contains(task));
    let Some(task) = new.filter(|_| !submitted.existing) else {
        return Ok((submitted, Decisions::default()));
    };
    if let Some(by) = tx.compensation_of(source).await? {
        return Err(Error::Undone { task: source, by });
    }
    let Executed { steps: anew, awaiting } = executed_anew(tx, &stored, source, &first).await?;
    let ended = tx.ended_steps(source).await?;
    let copies = copies(tx, &stored, task, &anew, ended).await?;
    let decisions = take_over(tx, &stored, task, copies, &request.detail(source)).await?;
    let skipped = decisions.steps.iter().filter(|change| change.after.state == StepState::Skipped);
    if let Some(left_out) =
        skipped.map(|change| change.after.id).find(|step| first.contains(&step.index()))
    {
        let name = stored.step(left_out).map_or("", |step| step.name.as_str());
        let allowed = "a step that its parents, as they ended in the task, do not leave out";
        return Err(refused("from", &format!("{name:?}"), allowed));
    }
    let begins = |change: &&StepChange| change.after.state == StepState::Enqueued;
    let mut begins = decisions.steps.iter().filter(begins).map(|change| change.after.id);
    if let Some(early) = begins.find(|step| awaiting.contains(&step.index())) {
        let name = stored.step(early).map_or("", |step| step.name.as_str());
        let allowed = format!(
            "steps with which none begins before which others were added, as {name:?} would: they could not be added anew"
        );
        return Err(refused("from", &names_of(&stored, &first), &allowed));
    }
    let from_steps = serde_json::json!(request.from).to_string();
    let (actor, reason) = (request.actor.as_str(), request.reason.as_deref());
    let new = NewFork { task, forked_from: source, from_steps: &from_steps, actor, reason };
    tx.record_fork(new).await?;
    Ok((submitted, decisions))
}

/// The positions of the steps of these names.
fn first_steps(stored: &Stored, names: &[String]) -> Result<BTreeSet<u32>, Error> {
    let index = |name: &String| {
        let index = stored.made_with_task(name);
        index.ok_or_else(|| no_such_step(&stored.template, name))
    };
    names.iter().map(index).collect()
}

/// The context with other values for some of its keys.
fn merged(
    context: &str,
    changes: &BTreeMap<String, Box<RawValue>>,
) -> Result<Box<RawValue>, Error> {
    let mut context: BTreeMap<String, Box<RawValue>> = parse("context", context)?;
    for (key, value) in changes {
        context.insert(key.clone(), value.clone());
    }
    let text = serde_json::value::to_raw_value(&context);
    text.map_err(|error| refused("context", "a context", &error.to_string()))
}

/// What a fork executes: positions of the template.
#[derive(Debug)]
struct Executed {
    steps: BTreeSet<u32>,
    /// Steps of them before which others were added.
    awaiting: BTreeSet<u32>,
}

/// The first steps and those below them.
///
/// # Errors
/// [`Error::Argument`] where steps were added to the task by another step than these: a task is made as its template says.
async fn executed_anew(
    tx: &mut impl Transaction,
    stored: &Stored,
    source: TaskId,
    first: &BTreeSet<u32>,
) -> Result<Executed, Error> {
    let of_template = |steps| Executed { steps, awaiting: BTreeSet::new() };
    if removed(Guard::ForkGoesDown) {
        return Ok(of_template(first.clone()));
    }
    if !tx.lock_tasks(&[source]).await?.iter().any(|row| stored.has_grown(row.total_steps)) {
        return Ok(of_template(with_those_below(stored, first.clone()).into_iter().collect()));
    }
    let links = tx.links_of_task(source).await?;
    let anew = following(first.iter().map(|index| source.step(*index)).collect(), &links);
    let left = links.iter().filter(|link| link.added.is_some() && !anew.contains(&link.from));
    if let Some(adding) = left.filter_map(|link| stored.step(link.from)).next() {
        let adding = adding.name.as_str();
        let allowed =
            format!("steps from which on each is executed that has added some, as {adding:?} has");
        return Err(refused("from", &names_of(stored, first), &allowed));
    }
    let awaiting = added_before(&links, &added_by(&links, &anew));
    let positions = |steps: BTreeSet<StepId>| steps.into_iter().map(StepId::index).collect();
    Ok(Executed { steps: positions(anew), awaiting: positions(awaiting) })
}

fn names_of(stored: &Stored, steps: &BTreeSet<u32>) -> String {
    let names = steps.iter().filter_map(|index| stored.template.steps().get(*index as usize));
    serde_json::json!(names.map(|step| step.name.as_str()).collect::<Vec<_>>()).to_string()
}

/// What the task takes over, parents before their children: what has ended and is not executed anew.
async fn copies(
    tx: &mut impl Transaction,
    stored: &Stored,
    task: TaskId,
    anew: &BTreeSet<u32>,
    ended: Vec<EndedStepRow>,
) -> Result<Vec<Copied>, Error> {
    let ended = ended.into_iter().filter(|row| !anew.contains(&row.id.index()));
    let mut ended: BTreeMap<u32, EndedStepRow> = ended.map(|row| (row.id.index(), row)).collect();
    let deciding = ended.values().map(|row| row.id).filter(|step| stored.forks(*step));
    let mut taken = branches::taken_before(tx, stored, &deciding.collect()).await?;
    let mut copies = Vec::with_capacity(ended.len());
    for index in stored.template.graph().topological_order() {
        let Some(row) = ended.remove(index) else { continue };
        let end = if row.state == StepState::Skipped {
            CopiedEnd::Skipped
        } else {
            let unreadable = |source| Error::Decryption {
                what: format!("the results of step {} of task {}", row.id, row.id.task()),
                source,
            };
            let results = row.results.transpose().map_err(unreadable)?.map(Into::into);
            let taken = taken.remove(&row.id).map(|mut taken| {
                let own = |(step, name): (StepId, String)| (task.step(step.index()), name);
                taken.branches = taken.branches.into_iter().map(own).collect();
                Arc::new(taken)
            });
            CopiedEnd::Complete { results, taken }
        };
        copies.push(Copied { step: task.step(*index), end });
    }
    Ok(copies)
}

/// Decides and writes what follows for a task that was made within this transaction.
async fn take_over(
    tx: &mut impl Transaction,
    stored: &Arc<Stored>,
    task: TaskId,
    copies: Vec<Copied>,
    detail: &str,
) -> Result<Decisions, Error> {
    let by_task = ByTask::from([(task, Arc::clone(stored))]);
    let grown = BTreeSet::new();
    let sight = Sight { by_task: &by_task, served: None, ledger: None, grown: &grown };
    let mut view = View { compensated: ending::compensated(&by_task), ..View::default() };
    let graph = stored.template.graph();
    let mut runnable = 0;
    for index in 0..graph.len() {
        if stored.template.steps()[index].dynamic {
            continue;
        }
        let step = task.step(u32::try_from(index).unwrap_or(u32::MAX));
        let state = initial_state(graph.in_degree(step.index()));
        runnable += u32::from(state == StepState::Enqueued);
        view.steps.insert(step, Step::new(step, state, sight.join(step)));
        view.children.insert(step, sight.children(step).unwrap_or_default());
    }
    view.delays = sight.delays(view.steps.keys().copied(), &ByStep::default());
    let rows = tx.lock_tasks(&[task]).await?;
    let made = rows.first().ok_or(Error::UnknownTask { task })?;
    let (now, priority) = (made.now, made.task.priority);
    let row = Task {
        id: task,
        state: TaskState::Pending,
        runnable,
        waiting: 0,
        blocked: 0,
        failures: 0,
        is_child: false,
        priority,
    };
    view.tasks.insert(task, row);
    let observation = Observation::StepsCopied { copies, detail: detail.to_owned() };
    let decisions = decide_seeing(tx, &mut view, &observation, now, sight).await?;
    Ok(ending::write(tx, decisions, &by_task, &ByStep::default(), &[]).await?.decisions)
}
