//! Steps that run other workflows: a task is made for a step once, and the step waits until that has ended.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::arguments::{at_most, parse, refused};
use super::client::choose_version;
use super::current_attributes;
use super::reports::raw;
use super::shared::Shared;
use super::steering::{Steered, Steering, steer};
use super::submission::{Submission, wanted};
use super::templates::{Stored, Templates};
use crate::decision::{Claim, Decisions, Request, Task};
use crate::encryption::Text;
use crate::error::Error;
use crate::guard::{Guard, removed};
use crate::ids::{SignalId, StepId, TaskId};
use crate::json::{self, JsonLimits};
use crate::state::{StepEvent, StepState, TaskState};
use crate::store::{ChildTaskRow, Database, NewChild, ResultsByStep, Transaction};
use crate::template::{
    LONGEST_NAMESPACE, LONGEST_TASK_NAME, LONGEST_VERSION, OnCancel, OnFailure, Workflow,
    is_version,
};

/// How many tasks may lie above one that a step makes.
pub(super) const DEEPEST: u32 = 16;

/// Longest name of a call, in bytes: with what stands before it, it is the name of a signal.
const LONGEST_CALL: usize = 100;

/// Times that it is tried.
const TRIES: u32 = 5;

/// What signals of the engine's own begin with.
pub(super) const RESERVED: &str = "tasker_core.";

/// The signal that tells a step of the end of the task that it runs by a name.
pub(super) fn signal_name(step: StepId, call: &str) -> String {
    format!("{RESERVED}ended:{}:{call}", step.index())
}

/// What a handler asks for that runs another workflow; nothing for what its step's template declares.
///
/// # Examples
/// ```
/// use tasker_core::WorkflowCall;
/// let json = r#"{"workflow": "billing", "namespace": "finance", "context": {"order_id": 7}}"#;
/// assert_eq!(WorkflowCall::from_json(json).unwrap().workflow.as_deref(), Some("billing"));
/// assert!(WorkflowCall::from_json(r#"{"workflow": ""}"#).is_err());
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowCall {
    /// The name of the template.
    #[serde(default)]
    pub workflow: Option<String>,
    /// Its namespace. Default `default`.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Its version; the highest one when absent.
    #[serde(default)]
    pub version: Option<String>,
    /// Tells several calls of a handler apart, at most 100 bytes. Default: the name of the template.
    #[serde(default)]
    pub name: Option<String>,
    /// The task's context. Default: what the step's template says, or the context of the step's own task.
    #[serde(default)]
    pub context: Option<Box<RawValue>>,
    /// What the task's steps are to have at hand, as in [`Submission`]. Default: with the context of the step's own task
    /// what travels with that, else nothing.
    #[serde(default)]
    pub current_attributes: Option<Box<RawValue>>,
    /// What becomes of the task when the step's own task is cancelled.
    #[serde(default)]
    pub on_cancel: Option<OnCancel>,
}

impl WorkflowCall {
    /// Reads a call from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown keys, and for texts that are empty or too long.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let call: Self = parse("workflow", json)?;
        let texts = [
            ("workflow", &call.workflow, LONGEST_TASK_NAME),
            ("namespace", &call.namespace, LONGEST_NAMESPACE),
            ("version", &call.version, LONGEST_VERSION),
            ("name", &call.name, LONGEST_CALL),
        ];
        for (argument, text, most) in texts {
            if text.as_deref() == Some("") {
                return Err(refused(argument, "\"\"", &format!("1 to {most} bytes")));
            }
            at_most(argument, text.as_deref(), most)?;
        }
        if let Some(version) = &call.version
            && !is_version(version)
        {
            let allowed = "a semantic version, such as 1.2.0; leave it out for the highest one";
            return Err(refused("version", &format!("{version:?}"), allowed));
        }
        call.current_attributes.as_deref().map_or(Ok(()), current_attributes::check)?;
        call.context.as_deref().map_or(Ok(()), current_attributes::refuse_in)?;
        Ok(call)
    }
}

/// The task that a step runs.
#[derive(Debug, Serialize)]
pub struct WorkflowRun {
    /// The task.
    pub task_id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Its template: namespace, name and version.
    pub workflow: String,
    /// For which signal to wait, and after which, while it has not ended.
    pub wait: Option<WorkflowWait>,
    /// The results of its last steps by name, where it is complete.
    pub results: Option<Box<RawValue>>,
    /// The names of the steps that failed, where it is in error.
    pub failed_steps: Vec<String>,
    /// What the step's template says of its failure.
    pub on_failure: OnFailure,
}

/// What a step waits for that runs a task.
#[derive(Debug, Serialize)]
pub struct WorkflowWait {
    /// The signal's name.
    pub signal: String,
    /// Only one that was sent later than this one counts.
    pub after_signal: SignalId,
}

/// What is asked for, as far as the database is not needed for it.
struct Asked {
    namespace: String,
    workflow: String,
    version: Option<String>,
    call: String,
    /// JSON text; that of the step's own task where there is none.
    context: Option<String>,
    current_attributes: Option<Box<RawValue>>,
    on_cancel: OnCancel,
    on_failure: OnFailure,
}

/// Makes the task that a claimed step runs, unless it is there, and says how far it is.
///
/// # Errors
/// [`Error::UnknownTemplate`], [`Error::Context`], [`Error::Argument`] where tasks lie too deep within one another,
/// [`Error::Transition`] where the claim is not current.
pub(super) async fn run<D: Database>(
    shared: &Shared<D>,
    claim: Claim,
    call: &WorkflowCall,
) -> Result<WorkflowRun, Error> {
    let asked = shared.answer(ask(shared, claim.step, call)).await??;
    let mut tries = 1;
    loop {
        match shared
            .answer(try_to_run(shared, claim, &asked))
            .await
            .unwrap_or_else(|e| Err(e.into()))
        {
            Err(error) if error.is_retryable() && tries < TRIES => tries += 1,
            ran => return ran,
        }
    }
}

async fn ask<D: Database>(
    shared: &Shared<D>,
    step: StepId,
    call: &WorkflowCall,
) -> Result<Asked, Error> {
    let context = call.context.as_ref().map(|context| context.get().to_owned());
    if let Some(workflow) = &call.workflow {
        return Ok(Asked {
            namespace: call.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            call: call_name(call, workflow)?,
            workflow: workflow.clone(),
            version: call.version.clone(),
            context,
            current_attributes: call.current_attributes.clone(),
            on_cancel: call.on_cancel.unwrap_or_default(),
            on_failure: OnFailure::default(),
        });
    }
    let stored = shared.templates.of_task(&shared.database, step.task()).await?;
    let declared = stored.step(step).and_then(|template| template.workflow.as_ref());
    let allowed = "the name of a template, where the step's own template declares no workflow";
    let declared = declared.ok_or_else(|| refused("workflow", "nil", allowed))?;
    let context = match context {
        Some(context) => Some(context),
        None => declared_context(shared, &stored, step, declared).await?,
    };
    Ok(Asked {
        namespace: declared.namespace.clone(),
        workflow: declared.name.clone(),
        version: declared.version.clone(),
        call: call_name(call, &declared.name)?,
        context,
        current_attributes: call.current_attributes.clone(),
        on_cancel: call.on_cancel.unwrap_or(declared.on_cancel),
        on_failure: declared.on_failure,
    })
}

/// A template's name may be longer than that of a call.
fn call_name(call: &WorkflowCall, workflow: &str) -> Result<String, Error> {
    let name = call.name.as_deref().unwrap_or(workflow);
    at_most("name", Some(name), LONGEST_CALL)?;
    Ok(name.to_owned())
}

/// The context that a template's expressions make.
async fn declared_context<D: Database>(
    shared: &Shared<D>,
    stored: &Stored,
    step: StepId,
    declared: &Workflow,
) -> Result<Option<String>, Error> {
    let Some(wanted) = &declared.context else { return Ok(None) };
    let task = step.task();
    let parents: Vec<_> = stored.parents(step).iter().map(|parent| task.step(*parent)).collect();
    let results = shared.database.step_results(&parents).await?;
    let rows = shared.database.task_contexts(&[task]).await?;
    let context = rows.into_iter().next().ok_or(Error::UnknownTask { task })?.context;
    let context = readable(context, || format!("the context of task {task}"))?;
    let results = parents.iter().map(|parent| {
        let name = stored.step(*parent).map_or("", |step| step.name.as_str());
        let text = text(&results, *parent)
            .map_err(|source| Error::results_unreadable(task, name, source))?;
        Ok(text.map(|text| (name, text)))
    });
    let results: Vec<_> =
        results.collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect();
    let made = wanted.make(&context, &results).map_err(|(key, why)| {
        refused("context", &format!("{key}: {why}"), "expressions that have a value")
    })?;
    Ok(Some(made.to_string()))
}

fn text(results: &ResultsByStep, step: StepId) -> Result<Option<&str>, crate::Unreadable> {
    let text = results.get(&step).and_then(|(_, text)| text.as_ref());
    text.map(|text| text.as_deref().map_err(Clone::clone)).transpose()
}

fn readable(text: Text, what: impl Fn() -> String) -> Result<String, Error> {
    text.map_err(|source| Error::Decryption { what: what(), source })
}

async fn try_to_run<D: Database>(
    shared: &Shared<D>,
    claim: Claim,
    asked: &Asked,
) -> Result<WorkflowRun, Error> {
    let (step, task) = (claim.step, claim.step.task());
    let mut tx = shared.database.begin().await?;
    let rows = tx.lock_tasks(&[task]).await?;
    let row = rows.first().ok_or(Error::UnknownTask { task })?;
    check_claim(&mut tx, claim).await?;
    let after_signal = tx.last_signal(task, &signal_name(step, &asked.call)).await?;
    let known = tx.find_child(step, &asked.call).await?.filter(|_| !removed(Guard::ChildMadeOnce));
    let next = next(known);
    let mut decisions = Decisions::default();
    let (task_id, state, stored) = match (next, known) {
        (Next::Make, _) => {
            let own = shared.templates.get_within(&mut tx, row.template).await?;
            let own = own.step(step).map_or("", |step| step.name.as_str());
            let (made, stored) =
                make(&mut tx, &shared.templates, (row.task, step, own), asked, known).await?;
            (made, TaskState::Pending, stored)
        }
        (Next::Retry, Some(child)) => {
            decisions = retry(&mut tx, &shared.templates, step, child.task).await?;
            let stored = shared.templates.get_within(&mut tx, child.template).await?;
            (child.task, TaskState::InProgress, stored)
        }
        (Next::Look, Some(child)) => {
            let stored = shared.templates.get_within(&mut tx, child.template).await?;
            (child.task, child.state, stored)
        }
        (Next::Retry | Next::Look, None) => return Err(Error::UnknownTask { task }),
    };
    let failed = match state {
        TaskState::Error => tx.read_failed_steps(task_id).await?,
        TaskState::Pending
        | TaskState::InProgress
        | TaskState::Waiting
        | TaskState::Blocked
        | TaskState::Paused
        | TaskState::Complete
        | TaskState::Cancelled
        | TaskState::ResolvedManually => Vec::new(),
    };
    let failed = failed.iter().filter(|row| row.state == StepState::Error);
    let name = |row: &crate::store::StepRow| Some(stored.step(row.id)?.name.clone());
    let failed_steps: Vec<_> = failed.filter_map(name).collect();
    shared.events.commit(tx, &decisions).await?;
    let signal = signal_name(step, &asked.call);
    let wait = (!state.is_terminal()).then_some(WorkflowWait { signal, after_signal });
    let results = match state {
        TaskState::Complete | TaskState::ResolvedManually => {
            Some(results(shared, &stored, task_id).await?)
        }
        TaskState::Pending
        | TaskState::InProgress
        | TaskState::Waiting
        | TaskState::Blocked
        | TaskState::Paused
        | TaskState::Error
        | TaskState::Cancelled => None,
    };
    let template = &stored.template;
    let workflow = format!("{}/{} {}", template.namespace(), template.name(), template.version());
    let on_failure = asked.on_failure;
    Ok(WorkflowRun { task_id, state, workflow, wait, results, failed_steps, on_failure })
}

/// Who is not to execute the step any more makes no task for it.
async fn check_claim(tx: &mut impl Transaction, claim: Claim) -> Result<(), Error> {
    let rows = tx.read_ended_steps(&[claim.step], &[]).await?;
    let row = rows.first().map(|row| row.step);
    let current =
        row.is_some_and(|row| (row.worker, row.attempts) == (Some(claim.worker), claim.attempt));
    if current {
        return Ok(());
    }
    let task = claim.step.task();
    let state = row.ok_or(Error::UnknownTask { task })?.state;
    let source = state.refuses(StepEvent::WentWaiting, "attempts that nobody else has ended");
    Err(Error::transition(task, source))
}

/// What is done about a task that was made for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There is none, or it cannot go on and an operator had the step tried again, or had it executed anew.
    Make,
    /// Its failed steps are tried again, as the step is.
    Retry,
    /// It goes on, or has ended.
    Look,
}

fn next(known: Option<ChildTaskRow>) -> Next {
    let Some(child) = known.filter(|child| !child.superseded) else { return Next::Make };
    match child.state {
        TaskState::Error if child.retried && !child.undone => Next::Retry,
        TaskState::Error | TaskState::Cancelled if child.retried => Next::Make,
        TaskState::Error
        | TaskState::Cancelled
        | TaskState::Pending
        | TaskState::InProgress
        | TaskState::Waiting
        | TaskState::Blocked
        | TaskState::Paused
        | TaskState::Complete
        | TaskState::ResolvedManually => Next::Look,
    }
}

async fn make(
    tx: &mut impl Transaction,
    templates: &Templates,
    (parent, step, step_name): (Task, StepId, &str),
    asked: &Asked,
    before: Option<ChildTaskRow>,
) -> Result<(TaskId, Arc<Stored>), Error> {
    let task = parent.id;
    let depth = tx.parent_of(task).await?.map_or(0, |parent| parent.depth) + 1;
    if depth > DEEPEST {
        let allowed = format!("workflows that run one another at most {DEEPEST} deep");
        return Err(refused(
            "workflow",
            &format!("{:?} at depth {depth}", asked.workflow),
            &allowed,
        ));
    }
    let stored = find(tx, templates, asked).await?;
    let context = match &asked.context {
        Some(context) => context.clone(),
        None => {
            let rows = tx.lock_free_tasks(&[task]).await?;
            let context = rows.into_iter().next().ok_or(Error::UnknownTask { task })?.1;
            readable(context, || format!("the context of task {task}"))?
        }
    };
    let (context, with_context) = current_attributes::apart(&context);
    json::check(&context, JsonLimits::CONTEXT).map_err(|source| Error::Json {
        what: format!("context of workflow {:?}", asked.workflow),
        source,
    })?;
    stored
        .template
        .validate_context(&context)
        .map_err(|source| Error::Context { index: None, source })?;
    let (initiator, reason) = (format!("task {task}"), format!("step {step_name} of task {task}"));
    let mut submission = Submission::internal(&stored, &context, initiator, reason, Some(step))?;
    submission.current_attributes = asked.current_attributes.clone().or(with_context);
    submission.priority = Some(parent.priority.into());
    let made = submission.create(tx, &stored).await?;
    let made = *made.first().ok_or(Error::UnknownTask { task })?;
    let generation = before.map_or(0, |child| child.generation) + 1;
    let left_alone = asked.on_cancel == OnCancel::Leave;
    let name = &asked.call;
    tx.record_child(NewChild { task: made, step, name, generation, depth, left_alone }).await?;
    Ok((made, stored))
}

async fn find(
    tx: &mut impl Transaction,
    templates: &Templates,
    asked: &Asked,
) -> Result<Arc<Stored>, Error> {
    let versions = tx.versions(&asked.namespace, &asked.workflow).await?;
    if let Some(id) = choose_version(&versions, asked.version.as_deref())
        && tx.hold_template(id).await?
    {
        return templates.get_within(tx, id).await;
    }
    let wanted = wanted(&asked.namespace, &asked.workflow, asked.version.as_deref());
    Err(Error::UnknownTemplate { wanted, suggestions: Vec::new() })
}

/// Ids of tasks are locked in their order: a task is younger than the one whose step made it.
async fn retry(
    tx: &mut impl Transaction,
    templates: &Templates,
    step: StepId,
    child: TaskId,
) -> Result<Decisions, Error> {
    let reason = Some("the step that runs it was tried again".to_owned());
    let request = Request { actor: format!("task {}", step.task()), reason, seen: None };
    match steer(tx, templates, child, &Steering::Retry { step: None }, &request).await? {
        Steered::Done(decisions) | Steered::Settled(decisions) => Ok(decisions),
    }
}

/// The results of the steps that no other depends on, by name.
async fn results<D: Database>(
    shared: &Shared<D>,
    stored: &Stored,
    task: TaskId,
) -> Result<Box<RawValue>, Error> {
    let template = &stored.template;
    let last = (0..).zip(template.steps());
    let last: Vec<_> = last
        .filter(|(index, _)| template.graph().children(*index).is_empty())
        .map(|(index, step)| (task.step(index), step.name.as_str()))
        .collect();
    let ids: Vec<_> = last.iter().map(|(id, _)| *id).collect();
    let found = shared.database.step_results(&ids).await?;
    let mut all = Map::new();
    for (id, name) in last {
        let text = text(&found, id);
        let text = text.map_err(|source| Error::results_unreadable(task, name, source))?;
        let value = text.map(serde_json::from_str::<Value>).transpose().ok().flatten();
        all.insert(name.to_owned(), value.unwrap_or_default());
    }
    Ok(raw(Value::Object(all).to_string()).unwrap_or_default())
}
