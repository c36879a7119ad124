//! Answers as data, in the words of the JSON that people and machines read.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::grown::GrownTask;
use super::items;
use crate::encryption::Text;
use crate::error::Error;
use crate::graph::parents_first;
use crate::ids::{StepId, TaskId, WorkerId};
use crate::json::is_default;
use crate::state::{StepState, TaskState, WorkerState};
use crate::store::{KinRow, StepListRow, TaskListRow, TemplateListRow, WorkerRow};
use crate::template::TaskTemplate;

/// A stored version of a template.
#[derive(Debug, Clone, Serialize)]
pub struct TemplateInfo {
    /// Its id.
    pub template_id: i32,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is for.
    pub description: Option<String>,
    /// How many steps it has.
    pub steps: i64,
}

/// A task's state and counts.
#[derive(Debug, Clone, Serialize)]
pub struct TaskStatus {
    /// The task.
    pub task_id: TaskId,
    /// Its template's namespace.
    pub namespace: String,
    /// Its template's name.
    pub name: String,
    /// Its template's version.
    pub version: String,
    /// Its state.
    pub state: TaskState,
    /// Its steps are claimed before those of tasks with a higher one.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: i16,
    /// When it was created.
    #[serde(serialize_with = "time")]
    pub requested_at: DateTime<Utc>,
    /// When its first step was claimed.
    #[serde(serialize_with = "optional_time")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(serialize_with = "optional_time")]
    pub finished_at: Option<DateTime<Utc>>,
    /// By when it has to have ended.
    #[serde(serialize_with = "optional_time")]
    pub deadline_at: Option<DateTime<Utc>>,
    /// What it may use up and what it has; nothing for a task without a budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Box<RawValue>>,
    /// Who asked for it.
    pub initiator: Option<String>,
    /// From where.
    pub source_system: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Words to find it by.
    pub tags: Option<Box<RawValue>>,
    /// Where it comes from, if it is a fork: the task, the steps, who asked for it and why.
    pub forked_from: Option<Box<RawValue>>,
    /// The forks of it, the first 20.
    pub forks: Box<RawValue>,
    /// How many steps it has, without those that are retired.
    pub steps_total: i32,
    /// Steps that were added by attempts in whose place others were made since: they are not shown.
    pub steps_retired: i32,
    /// How many of those that it has are in which state.
    pub steps_by_state: Box<RawValue>,
    /// Attempts begun, over all steps.
    pub attempts_total: i64,
    /// The step that runs it.
    pub parent: Option<ParentStep>,
    /// The tasks that its steps run; empty in lists of tasks.
    pub children: Vec<ChildTask>,
    /// The task that it undoes.
    pub compensates: Option<TaskId>,
    /// The task that undoes it.
    pub compensated_by: Option<TaskId>,
}

/// The step that runs a task.
#[derive(Debug, Clone, Serialize)]
pub struct ParentStep {
    /// Its task.
    pub task_id: TaskId,
    /// Its name.
    pub step: String,
    /// The name of the call.
    pub call: String,
    /// The state of its task.
    pub state: TaskState,
}

/// A task that a step runs.
#[derive(Debug, Clone, Serialize)]
pub struct ChildTask {
    /// The task.
    pub task_id: TaskId,
    /// The name of the step.
    pub step: String,
    /// The step.
    #[serde(skip)]
    pub step_id: Option<StepId>,
    /// The name of the call.
    pub call: String,
    /// Its template's name.
    pub name: String,
    /// Its template's version.
    pub version: String,
    /// Its state.
    pub state: TaskState,
}

impl TaskStatus {
    /// How many steps were made for it, those that are retired among them.
    pub(super) fn steps_made(&self) -> i32 {
        self.steps_total + self.steps_retired
    }

    /// Whether nothing has begun or ended in it, or in the tasks that its steps run, since.
    pub(super) fn is_as(&self, before: &Self) -> bool {
        let progress = |status: &Self| (status.state, status.attempts_total);
        let steps = |status: &Self| status.steps_by_state.get().to_owned();
        let children = |status: &Self| -> Vec<_> {
            status.children.iter().map(|child| (child.task_id, child.state)).collect()
        };
        progress(self) == progress(before)
            && steps(self) == steps(before)
            && children(self) == children(before)
    }

    /// Adds what it has to do with other tasks.
    pub(super) fn with_kin(mut self, rows: &[KinRow]) -> Self {
        for row in rows.iter().filter(|row| row.of == self.task_id) {
            let (task_id, state) = (row.task, row.state);
            let step = row.step_name.clone().unwrap_or_default();
            let call = row.call.clone().unwrap_or_default();
            match &*row.kin {
                "parent" => self.parent = Some(ParentStep { task_id, step, call, state }),
                "child" => {
                    let (name, version) = (row.name.clone(), row.version.clone());
                    let step_id = row.step;
                    self.children.push(ChildTask {
                        task_id,
                        step,
                        step_id,
                        call,
                        name,
                        version,
                        state,
                    });
                }
                "compensates" => self.compensates = Some(task_id),
                "compensated_by" => self.compensated_by = Some(task_id),
                _ => {}
            }
        }
        self
    }
}

/// A task's results so far.
#[derive(Debug, Serialize)]
pub struct TaskResult {
    /// The task.
    pub task_id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Its steps are claimed before those of tasks with a higher one.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: i16,
    /// Its steps, parents first, without the items of map steps.
    pub steps: Vec<StepResult>,
}

/// A step's results and its last attempt.
#[derive(Debug, Serialize)]
pub struct StepResult {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StepState,
    /// Attempts begun.
    pub attempts: i32,
    /// What the handler returned.
    pub results: Option<Box<RawValue>>,
    /// How the last attempt failed.
    pub error: Option<Box<RawValue>>,
    /// The names of its parents.
    pub depends_on: Vec<String>,
    /// The name of the step whose handler added it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_by: Option<String>,
    /// Of a map step that has begun, how many items are in which state: they are not among the steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<RawValue>>,
    /// How long the last attempt's handler ran, in milliseconds.
    pub execution_ms: Option<f64>,
    /// When the last attempt was claimed.
    #[serde(serialize_with = "optional_time")]
    pub started_at: Option<DateTime<Utc>>,
    /// When the last attempt ended.
    #[serde(serialize_with = "optional_time")]
    pub finished_at: Option<DateTime<Utc>>,
}

/// A worker process.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerInfo {
    /// The worker.
    pub worker_id: WorkerId,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: i32,
    /// Its state.
    pub state: WorkerState,
    /// The queues it serves; `None` for all.
    pub queues: Option<Vec<String>>,
    /// Handlers at the same time.
    pub concurrency: i32,
    /// When it registered.
    #[serde(serialize_with = "time")]
    pub started_at: DateTime<Utc>,
    /// When it was last heard of.
    #[serde(serialize_with = "time")]
    pub heartbeat_at: DateTime<Utc>,
    /// Its heartbeat is overdue: its claims will be taken back.
    pub silent: bool,
    /// Claims held.
    pub claims: i64,
}

impl From<TemplateListRow> for TemplateInfo {
    fn from(row: TemplateListRow) -> Self {
        let TemplateListRow { template_id, namespace, name, version, description, steps } = row;
        Self { template_id, namespace, name, version, description, steps }
    }
}

impl From<TaskListRow> for TaskStatus {
    fn from(row: TaskListRow) -> Self {
        Self {
            task_id: TaskId(row.task_id),
            namespace: row.namespace,
            name: row.name,
            version: row.version,
            state: row.state,
            priority: row.priority,
            requested_at: row.requested_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            deadline_at: row.deadline_at,
            budget: row.budget.and_then(raw),
            initiator: row.initiator,
            source_system: row.source_system,
            reason: row.reason,
            tags: row.tags.and_then(raw),
            forked_from: row.forked_from.and_then(raw),
            forks: raw(row.forks).unwrap_or_default(),
            steps_total: row.total_steps - row.retired_steps,
            steps_retired: row.retired_steps,
            steps_by_state: raw(row.steps_by_state).unwrap_or_default(),
            attempts_total: row.attempts,
            parent: None,
            children: Vec::new(),
            compensates: None,
            compensated_by: None,
        }
    }
}

impl From<WorkerRow> for WorkerInfo {
    fn from(row: WorkerRow) -> Self {
        Self {
            worker_id: WorkerId(row.worker_id),
            host: row.host,
            pid: row.pid,
            state: row.state,
            queues: row.queues,
            concurrency: row.concurrency,
            started_at: row.started_at,
            heartbeat_at: row.heartbeat_at,
            silent: row.silent,
            claims: row.claims,
        }
    }
}

impl TaskResult {
    /// Joins the rows, which are in the order of the template, with the template's names.
    pub(super) fn new(
        status: &TaskStatus,
        template: &TaskTemplate,
        grown: &GrownTask,
        rows: Vec<StepListRow>,
        open: impl Fn(String) -> Text,
    ) -> Result<Self, Error> {
        let &TaskStatus { task_id, state, priority, .. } = status;
        let order = template.graph().topological_order().iter().map(|at| task_id.step(*at).0);
        let order: Vec<_> = order.collect();
        let added: Vec<_> = rows.iter().map(|row| row.workflow_step_id).collect();
        let added = added.into_iter().filter(|id| grown.added(*id).is_some());
        let mut rows: HashMap<_, _> =
            rows.into_iter().map(|row| (row.workflow_step_id, row)).collect();
        let name_of = |id: i64| match grown.added(id) {
            Some(added) => added.name.clone(),
            None => template
                .steps()
                .get(grown.position(id))
                .map(|step| step.name.clone())
                .unwrap_or_default(),
        };
        let step = |id: i64| {
            let mut row = rows.remove(&id)?;
            let template = template.steps().get(grown.position(id))?;
            let name = name_of(id);
            let results = match row.results.take().map(&open).transpose() {
                Ok(results) => results.and_then(raw),
                Err(source) => {
                    return Some(Err(Error::results_unreadable(task_id, &name, source)));
                }
            };
            // Items are not shown one by one, and have no name here.
            let depends_on = match grown.parents(id) {
                Some(parents) => {
                    let names = parents.iter().map(|parent| name_of(*parent));
                    names.filter(|name| !name.is_empty()).collect()
                }
                None => template.depends_on_steps.clone(),
            };
            let added_by = grown.added(id).map(|added| name_of(added.added_by_step_id));
            let items = grown.items(id);
            let given_up = row.given_up.as_deref().map(items::given_up);
            let failure = given_up.or_else(|| grown.failure(id, row.state, template));
            let step = StepResult::new(name, depends_on, results, row);
            let error = failure.and_then(|failure| raw(serde_json::to_string(&failure).ok()?));
            let error = error.or(step.error);
            Some(Ok(StepResult { added_by, items, error, ..step }))
        };
        let steps = order.into_iter().chain(added).filter_map(step);
        let steps: Vec<_> = steps.collect::<Result<_, _>>()?;
        let steps = if grown.is_grown() { in_order(steps) } else { steps };
        Ok(Self { task_id, state, priority, steps })
    }
}

/// The steps, none before its parents; those that wait for one another come last.
fn in_order(steps: Vec<StepResult>) -> Vec<StepResult> {
    let places: HashMap<_, _> =
        steps.iter().zip(0_usize..).map(|(step, at)| (step.name.as_str(), at)).collect();
    let parents = |step: &StepResult| {
        step.depends_on.iter().filter_map(|parent| places.get(parent.as_str()).copied()).collect()
    };
    let order = parents_first(&steps.iter().map(parents).collect::<Vec<_>>());
    let mut steps: Vec<_> = steps.into_iter().map(Some).collect();
    let mut ordered: Vec<_> = order.into_iter().filter_map(|at| steps[at].take()).collect();
    ordered.extend(steps.into_iter().flatten());
    ordered
}

impl StepResult {
    fn new(
        name: String,
        depends_on: Vec<String>,
        results: Option<Box<RawValue>>,
        row: StepListRow,
    ) -> Self {
        Self {
            name,
            state: row.state,
            attempts: row.attempts,
            results,
            error: row.error.and_then(raw),
            depends_on,
            added_by: None,
            items: None,
            execution_ms: row.execution_us.map(milliseconds),
            started_at: row.claimed_at.or(row.attempt_claimed_at),
            finished_at: row.attempt_finished_at.filter(|_| row.state != StepState::InProgress),
        }
    }
}

pub(super) fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json).ok()
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn milliseconds(us: i64) -> f64 {
    us as f64 / 1_000.0
}

/// ISO 8601 in UTC with microseconds.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(super) fn time<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[allow(clippy::ref_option)]
pub(super) fn optional_time<S: Serializer>(
    at: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}
