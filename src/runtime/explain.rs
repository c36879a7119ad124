//! Why a task or step is where it is, in words, from recorded decisions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::step_named;
use super::grown::GrownTask;
use super::remedies::{Remedy, remedies};
use super::reports::{ParentStep, TaskStatus, milliseconds, optional_time, raw, time};
use super::templates::{Stored, Templates};
use crate::decision::NEVER;
use crate::error::Error;
use crate::ids::{StepId, TaskId};
use crate::join_policy::JoinPolicy;
use crate::json;
use crate::state::{AttemptOutcome, StepEvent, StepState, TaskEvent, TaskState};
use crate::store::{
    ArtifactSizeRow, AttemptRow, MapRow, StepListRow, StepProgressRow, StepTransitionRow, Store,
    TaskFilter, TaskTransitionRow, WorkerRow,
};
use crate::template::{COMPENSATION_SUFFIX, StepTemplate, TaskTemplate};

/// Steps explained for a whole task at most, those nearest to the reason first.
const MOST_STEPS: usize = 20;

/// Longest part of a cursor that a sentence repeats, in characters.
const LONGEST_CURSOR: usize = 80;

/// Parents named for one step at most.
const MOST_PARENTS: usize = 5;

/// Why a task is where it is.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The task.
    pub task_id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// In words.
    pub summary: String,
    /// How its state came about.
    pub history: Vec<Change<TaskState, TaskEvent>>,
    /// The step asked for, or those that have not completed.
    pub steps: Vec<StepExplanation>,
    /// The step that runs it.
    pub parent: Option<ParentStep>,
    /// The task that it undoes.
    pub compensates: Option<TaskId>,
    /// The task that undoes it.
    pub compensated_by: Option<TaskId>,
}

/// Why a step is where it is.
#[derive(Debug, Serialize)]
pub struct StepExplanation {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StepState,
    /// In words.
    pub summary: String,
    /// Its handler's last checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointInfo>,
    /// By when it has to have ended, in all its attempts together.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<DateTime<Utc>>,
    /// What can be done about it; nothing where it goes on by itself, or cannot any more.
    pub remedies: Vec<Remedy>,
    /// Its attempts that have ended.
    pub attempts: Vec<Attempt>,
    /// What its attempts have attached.
    pub artifacts: Vec<Attachment>,
    /// How its state came about.
    pub history: Vec<Change<StepState, StepEvent>>,
    /// The tasks that it runs, or ran last.
    pub children: Vec<RelatedTask>,
}

/// An artifact without its content.
#[derive(Debug, Serialize)]
pub struct Attachment {
    /// The number of the attempt.
    pub attempt: i32,
    /// Its name.
    pub name: String,
    /// What it is.
    pub media_type: String,
    /// The size of its content as it is kept, if it is kept here.
    pub bytes: Option<i32>,
    /// Where it lies otherwise.
    pub uri: Option<String>,
}

/// Where a handler had come at its last checkpoint.
#[derive(Debug, Serialize)]
pub struct CheckpointInfo {
    /// What it goes on from; nothing where that cannot be decrypted here.
    pub cursor: Option<Box<RawValue>>,
    /// When it was made.
    #[serde(serialize_with = "time")]
    pub at: DateTime<Utc>,
}

/// An attempt that has ended.
#[derive(Debug, Serialize)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: i32,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Who executed it.
    pub worker: String,
    /// When it was claimed.
    #[serde(serialize_with = "time")]
    pub claimed_at: DateTime<Utc>,
    /// When its end was written.
    #[serde(serialize_with = "time")]
    pub finished_at: DateTime<Utc>,
    /// How long the handler ran, in milliseconds.
    pub execution_ms: Option<f64>,
    /// How it failed.
    pub error: Option<Box<RawValue>>,
}

/// A change of state and the decision behind it.
#[derive(Debug, Serialize)]
pub struct Change<S, E> {
    /// When.
    #[serde(serialize_with = "time")]
    pub at: DateTime<Utc>,
    /// The state before.
    pub from: S,
    /// The state after.
    pub to: S,
    /// What happened.
    pub cause: E,
    /// The attempt it was about, for a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// The worker that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<i64>,
    /// The facts of the decision.
    pub detail: Option<Box<RawValue>>,
    /// From when on the next attempt may be claimed, for a change that schedules one.
    #[serde(serialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// Another task of which an explanation tells.
#[derive(Clone, Debug, Serialize)]
pub struct RelatedTask {
    /// The task.
    pub task_id: TaskId,
    /// Its template: name and version.
    pub workflow: String,
    /// Its state.
    pub state: TaskState,
    /// Why, in words.
    pub summary: String,
}

/// The others that are told of, the youngest.
const MOST_RELATED: usize = 50;

/// What is told of other tasks: each as it is by itself.
async fn related(
    store: &Store,
    templates: &Templates,
    tasks: &[TaskId],
) -> Result<HashMap<TaskId, RelatedTask>, Error> {
    let mut found = HashMap::new();
    for task in tasks {
        let filter = TaskFilter { task: Some(*task), limit: 1, ..TaskFilter::default() };
        let Some(row) = store.list_tasks(&filter).await?.pop() else { continue };
        let status = TaskStatus::from(row);
        let stored = templates.of_task(store, *task).await?;
        let grown = GrownTask::read(store, *task, &stored, status.steps_total, None).await?;
        let facts = Facts {
            template: &stored.template,
            steps: store.list_steps(&grown.parts(*task)).await?,
            grown,
            workers: Vec::new(),
            attempts: HashMap::new(),
            artifacts: HashMap::new(),
            history: HashMap::new(),
            progress: HashMap::new(),
            task: *task,
            children: HashMap::new(),
            undoing: None,
            now: Utc::now(),
        };
        let history = store.task_history(*task).await?;
        let summary = facts.task_summary(&status, &history);
        let workflow = format!("{} {}", status.name, status.version);
        found.insert(*task, RelatedTask { task_id: *task, workflow, state: status.state, summary });
    }
    Ok(found)
}

/// Everything that was read for an explanation.
struct Facts<'a> {
    template: &'a TaskTemplate,
    grown: GrownTask,
    steps: Vec<StepListRow>,
    workers: Vec<WorkerRow>,
    attempts: HashMap<i64, Vec<AttemptRow>>,
    artifacts: HashMap<i64, Vec<ArtifactSizeRow>>,
    history: HashMap<i64, Vec<StepTransitionRow>>,
    progress: HashMap<i64, StepProgressRow>,
    /// The tasks that steps run, by step: the last one of each call.
    children: HashMap<i64, Vec<RelatedTask>>,
    /// The task that undoes this one.
    undoing: Option<Undoing>,
    task: TaskId,
    now: DateTime<Utc>,
}

/// How far the undoing of a task is.
struct Undoing {
    task: TaskId,
    state: TaskState,
    done: i64,
    all: i64,
}

impl Undoing {
    async fn read(store: &Store, task: TaskId) -> Result<Option<Self>, Error> {
        let filter = TaskFilter { task: Some(task), limit: 1, ..TaskFilter::default() };
        let Some(row) = store.list_tasks(&filter).await?.pop() else { return Ok(None) };
        let counts: HashMap<String, i64> =
            serde_json::from_str(&row.steps_by_state).unwrap_or_default();
        let count = |state: StepState| counts.get(state.as_str()).copied().unwrap_or(0);
        let done = count(StepState::Complete) + count(StepState::ResolvedManually);
        let all = i64::from(row.total_steps) - count(StepState::Skipped);
        Ok(Some(Self { task, state: row.state, done, all }))
    }

    fn words(&self) -> String {
        let Self { task, state, done, all } = self;
        format!("; it is undone by task {task}, which is {state}: {done} of {all} steps")
    }
}

/// Explains a task, or one step of it.
pub(super) async fn explain(
    store: &Store,
    templates: &Templates,
    status: &TaskStatus,
    stored: &Stored,
    step: Option<&str>,
) -> Result<Explanation, Error> {
    let (task, template) = (status.task_id, &stored.template);
    let asked = match step {
        Some(name) => Some(step_named(store, task, stored, name).await?),
        None => None,
    };
    let grown = GrownTask::read(store, task, stored, status.steps_total, asked).await?;
    let mut steps = store.list_steps(&grown.parts(task)).await?;
    steps.sort_by_key(|row| row.workflow_step_id);
    steps.dedup_by_key(|row| row.workflow_step_id);
    let chosen = choose(&steps, asked);
    let id = |at: usize| StepId(steps[at].workflow_step_id);
    let ids: Vec<_> = chosen.iter().map(|at| id(*at)).collect();
    let skipped = chosen.iter().filter(|at| steps[**at].state == StepState::Skipped);
    let decisions = skipped.flat_map(|at| decisions_above(template, id(*at)));
    let told: BTreeSet<_> = ids.iter().copied().chain(decisions).collect();
    let told: Vec<_> = told.into_iter().collect();
    let mut latest: BTreeMap<(i64, &str), TaskId> = BTreeMap::new();
    for child in &status.children {
        let index = template.step_index(&child.step);
        if let Some(step) = index.map(|index| task.step(index)).filter(|step| ids.contains(step)) {
            latest.insert((step.0, child.call.as_str()), child.task_id);
        }
    }
    let wanted: Vec<_> = latest.values().rev().copied().take(MOST_RELATED).collect();
    let mut found = related(store, templates, &wanted).await?;
    let mut children: HashMap<i64, Vec<RelatedTask>> = HashMap::new();
    for ((step, _), child) in &latest {
        children.entry(*step).or_default().extend(found.remove(child));
    }
    let undoing = match status.compensated_by {
        Some(by) => Undoing::read(store, by).await?,
        None => None,
    };
    let facts = Facts {
        template,
        children,
        undoing,
        grown,
        workers: store.workers().await?,
        attempts: group(store.attempts(&ids).await?, |row| row.workflow_step_id),
        artifacts: group(store.artifact_sizes(&ids).await?, |row| row.workflow_step_id),
        history: group(store.step_history(&told).await?, |row| row.workflow_step_id),
        progress: store.progress(&ids).await?,
        task,
        steps,
        now: Utc::now(),
    };
    let history = store.task_history(task).await?;
    Ok(Explanation {
        task_id: task,
        state: status.state,
        summary: facts.task_summary(status, &history),
        history: history.into_iter().map(Change::from).collect(),
        steps: chosen.into_iter().map(|at| facts.explanation(at, status.state)).collect(),
        parent: status.parent.clone(),
        compensates: status.compensates,
        compensated_by: status.compensated_by,
    })
}

/// The parents of a step that may leave it out: they decide, or a condition lies on the edge.
fn decisions_above(template: &TaskTemplate, step: StepId) -> impl Iterator<Item = StepId> {
    let parents = parents_in(template, step).iter();
    let conditions = template.steps().get(step.index() as usize).map(|step| &step.edge_conditions);
    let parents = parents.filter(move |parent| {
        let parent = &template.steps()[**parent as usize];
        parent.decides || conditions.is_some_and(|all| all.contains_key(&parent.name))
    });
    parents.map(move |parent| step.task().step(*parent))
}

/// The positions of a step's parents in the template; none for a step that was added.
fn parents_in(template: &TaskTemplate, step: StepId) -> &[u32] {
    let is_there = (step.index() as usize) < template.steps().len();
    if is_there { template.graph().parents(step.index()) } else { &[] }
}

/// The positions of the steps to explain.
fn choose(steps: &[StepListRow], asked: Option<StepId>) -> Vec<usize> {
    if let Some(step) = asked {
        return steps.iter().position(|row| row.workflow_step_id == step.0).into_iter().collect();
    }
    let mut open: Vec<_> =
        (0..steps.len()).filter(|at| steps[*at].state != StepState::Complete).collect();
    open.sort_by_key(|at| (relevance(steps[*at].state), *at));
    open.truncate(MOST_STEPS);
    open
}

fn relevance(state: StepState) -> u8 {
    match state {
        StepState::Error => 0,
        StepState::Blocked => 1,
        StepState::WaitingForRetry => 2,
        StepState::InProgress => 3,
        StepState::Waiting => 4,
        StepState::Enqueued => 5,
        StepState::Pending => 6,
        StepState::Cancelled | StepState::Skipped => 7,
        StepState::ResolvedManually | StepState::Complete => 8,
    }
}

/// How far an attempt got does not matter any more.
fn has_results(state: StepState) -> bool {
    matches!(state, StepState::Complete | StepState::ResolvedManually)
}

impl StepProgressRow {
    fn checkpoint(&self) -> Option<CheckpointInfo> {
        let at = self.checkpoint_at?;
        let cursor = self.cursor.as_ref().and_then(|cursor| cursor.as_ref().ok());
        Some(CheckpointInfo { cursor: cursor.cloned().and_then(raw), at })
    }
}

fn group<T>(rows: Vec<T>, key: impl Fn(&T) -> i64) -> HashMap<i64, Vec<T>> {
    let mut groups: HashMap<i64, Vec<T>> = HashMap::new();
    for row in rows {
        groups.entry(key(&row)).or_default().push(row);
    }
    groups
}

impl Facts<'_> {
    fn explanation(&self, at: usize, task: TaskState) -> StepExplanation {
        let row = &self.steps[at];
        let skippable = self.step(at).is_some_and(|step| step.skippable);
        let attempts = self.attempts.get(&row.workflow_step_id).map_or(&[][..], Vec::as_slice);
        let history = self.history.get(&row.workflow_step_id).map_or(&[][..], Vec::as_slice);
        let progress = self.progress.get(&row.workflow_step_id).filter(|_| !has_results(row.state));
        let artifacts = self.artifacts.get(&row.workflow_step_id).map_or(&[][..], Vec::as_slice);
        let summary = self.step_summary(at, attempts, history) + &attached(artifacts);
        StepExplanation {
            name: self.name(at),
            state: row.state,
            summary: progress.iter().fold(summary, |said, progress| said + &self.so_far(progress))
                + &self.added_by(at),
            checkpoint: progress.and_then(StepProgressRow::checkpoint),
            deadline_at: progress.and_then(|progress| progress.deadline_at),
            remedies: remedies(task, row.state, skippable),
            artifacts: artifacts.iter().map(Attachment::from).collect(),
            attempts: attempts.iter().map(Attempt::from).collect(),
            history: history.iter().map(Change::from).collect(),
            children: self.children.get(&row.workflow_step_id).cloned().unwrap_or_default(),
        }
    }

    /// How far an attempt got, and how long the step has, as the end of a sentence.
    fn so_far(&self, progress: &StepProgressRow) -> String {
        let checkpoint = progress.checkpoint().map(|made| {
            let cursor = made.cursor.as_ref().map_or("(encrypted)", |cursor| cursor.get());
            format!(
                "; its last checkpoint is {}, {}",
                json::shorten(cursor, LONGEST_CURSOR),
                self.ago(made.at)
            )
        });
        let deadline = progress.deadline_at.map(|at| {
            format!("; in all its attempts together it has until {}", self.when_over(at))
        });
        checkpoint.unwrap_or_default() + &deadline.unwrap_or_default()
    }

    fn when_over(&self, at: DateTime<Utc>) -> String {
        let seconds = (at - self.now).as_seconds_f64();
        if seconds <= 0.0 {
            format!("{}, which is over: a worker will end it", clock(at))
        } else {
            format!("{} (in {})", clock(at), human(seconds))
        }
    }

    /// The template's step that tells about a step.
    fn step(&self, at: usize) -> Option<&StepTemplate> {
        self.template.steps().get(self.grown.position(self.steps[at].workflow_step_id))
    }

    /// The places of steps.
    fn at(&self, step: i64) -> Option<usize> {
        self.steps.binary_search_by_key(&step, |row| row.workflow_step_id).ok()
    }

    fn parents(&self, at: usize) -> Vec<usize> {
        let step = self.steps[at].workflow_step_id;
        let in_template = || {
            let parents = parents_in(self.template, StepId(step)).iter();
            parents.map(|parent| StepId(step).task().step(*parent).0).collect()
        };
        let parents = self.grown.parents(step).map_or_else(in_template, <[i64]>::to_vec);
        parents.into_iter().filter_map(|parent| self.at(parent)).collect()
    }

    fn name(&self, at: usize) -> String {
        match self.grown.added(self.steps[at].workflow_step_id) {
            Some(added) => added.name.clone(),
            None => self.step(at).map_or_else(String::new, |step| step.name.clone()),
        }
    }

    /// Who added a step, as the end of a sentence.
    fn added_by(&self, at: usize) -> String {
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
    fn mapping(&self, at: usize) -> Option<String> {
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
    fn mapped(&self, at: usize) -> Option<String> {
        let items = self.grown.map(self.steps[at].workflow_step_id)?;
        let failed = counts(items)(StepState::Error);
        Some(format!(
            "completed with the last of its {} items, of which {failed} failed",
            items.parents
        ))
    }

    fn step_summary(
        &self,
        at: usize,
        attempts: &[AttemptRow],
        history: &[StepTransitionRow],
    ) -> String {
        let row = &self.steps[at];
        let last = attempts.last();
        let change = history.last();
        match row.state {
            StepState::Pending => self.pending(at),
            StepState::Enqueued => match self.delayed(at, row, change) {
                Some(delayed) => delayed,
                None => self.enqueued(row, change),
            },
            StepState::InProgress => self.in_progress(row),
            StepState::WaitingForRetry => self.waiting_for_retry(at, row, last),
            StepState::Waiting => self.runs(row).unwrap_or_else(|| self.waiting(row, change)),
            StepState::Blocked => {
                format!("needs a person or an outside event: {}", failure(last))
            }
            StepState::Complete => {
                let done = copied(change).or_else(|| self.mapped(at));
                done.unwrap_or_else(|| completed(row, last)) + &took(change)
            }
            StepState::Error => self.error(at, row, last, change),
            StepState::Skipped => self.skipped(at, change),
            StepState::Cancelled => cancelled(row, change),
            StepState::ResolvedManually => {
                let by = asked_by(change.and_then(|c| c.detail.as_deref()));
                format!("{by} gave its results{}", took(change))
            }
        }
    }

    fn pending(&self, at: usize) -> String {
        if let Some(mapping) = self.mapping(at) {
            return mapping;
        }
        let parents = self.parents(at);
        let all = parents.len();
        let join = self.step(at).map_or_else(JoinPolicy::default, |step| step.join);
        let of_state = |wanted: fn(StepState) -> bool| -> Vec<usize> {
            parents.iter().copied().filter(|parent| wanted(self.steps[*parent].state)).collect()
        };
        let failed = of_state(|state| state == StepState::Error);
        if let (JoinPolicy::AllComplete | JoinPolicy::NoneFailed, Some(parent)) =
            (join, failed.first())
        {
            return format!("cannot start: its parent {} is in error", self.name(*parent));
        }
        let open = of_state(|state| !state.is_terminal());
        if open.is_empty() {
            let failed = self.names(&failed);
            return format!("cannot start: it starts {}, and in error are: {failed}", wanted(join));
        }
        let (left, names) = (open.len(), self.names(&open));
        let when = if join == JoinPolicy::default() {
            String::new()
        } else {
            format!("; it starts {}", wanted(join))
        };
        format!("waits for {left} of {all} parents: {names}{when}")
    }

    fn skipped(&self, at: usize, change: Option<&StepTransitionRow>) -> String {
        let detail = change.and_then(|change| change.detail.as_deref());
        let why = parsed(detail);
        if let Some(task) = why["copied_from"].as_i64() {
            return format!("skipped as in task {task}, of which its task is a fork");
        }
        if why["because"].is_null() {
            return format!("skipped by {}", asked_by(detail));
        }
        if let Some(condition) = why["when"].as_str() {
            if self.template.name().ends_with(COMPENSATION_SUFFIX) {
                return format!("there is nothing to undo: it is not so that {condition}");
            }
            return format!("skipped: its condition {condition} was not met");
        }
        self.not_taken(at)
            .unwrap_or_else(|| "skipped, because too many of its parents were skipped".to_owned())
    }

    /// The decision that did not take the step, if there is one.
    fn not_taken(&self, at: usize) -> Option<String> {
        let step = StepId(self.steps[at].workflow_step_id);
        decisions_above(self.template, step).find_map(|decision| {
            let history = self.history.get(&decision.0)?;
            let decision = self.at(decision.0)?;
            let branches = branches(history.last()?)?;
            if branches.contains(&self.name(at)) {
                return None;
            }
            let conditions = &self.template.steps().get(at)?.edge_conditions;
            let decides = self.template.steps().get(decision)?.decides;
            let decision = self.name(decision);
            if let Some(condition) = conditions.get(&decision).filter(|_| !decides) {
                let condition = condition.text();
                return Some(format!(
                    "skipped: the condition {condition} on the edge from {decision} was not met"
                ));
            }
            Some(match &*branches {
                [] => format!("skipped: {decision} took no branch"),
                some => format!("skipped: {decision} took {}, not this branch", shown(some)),
            })
        })
    }

    /// The steps' names and states, the first of them.
    fn names(&self, steps: &[usize]) -> String {
        let name = |at: &usize| format!("{} ({})", self.name(*at), words(self.steps[*at].state));
        let shown: Vec<_> = steps.iter().take(MOST_PARENTS).map(name).collect();
        let more = steps.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        shown.join(", ") + &more
    }

    fn enqueued(&self, row: &StepListRow, change: Option<&StepTransitionRow>) -> String {
        let Some(queue) = row.queue.as_deref() else {
            return "ready, and its task is paused".to_owned();
        };
        let since = change.map_or(row.available_at, |change| Some(change.created_at));
        let since = since.map(|at| format!(" since {}", self.ago(at))).unwrap_or_default();
        let why = change.map(|change| came_back(change.event)).unwrap_or_default();
        let serving =
            self.workers.iter().filter(|worker| !worker.silent && serves(worker, queue)).count();
        let who = match serving {
            0 => {
                format!("no live worker serves the queue {queue:?}; start one: tasker work -r FILE")
            }
            1 => format!("1 live worker serves the queue {queue:?}"),
            n => format!("{n} live workers serve the queue {queue:?}"),
        };
        format!("ready{since}{why}; {who}")
    }

    /// What a step waits for that is ready and must not start yet.
    fn delayed(
        &self,
        at: usize,
        row: &StepListRow,
        change: Option<&StepTransitionRow>,
    ) -> Option<String> {
        self.step(at)?.delay?;
        let starts = change.is_none_or(|change| change.event == StepEvent::ParentsCompleted);
        let at = row.available_at.filter(|at| starts && *at > self.now && row.queue.is_some())?;
        Some(format!("ready, and its template has it wait: it may start {}", self.ahead(at)))
    }

    fn waiting(&self, row: &StepListRow, change: Option<&StepTransitionRow>) -> String {
        let paused = if row.queue.is_none() { "; its task is paused" } else { "" };
        let detail = parsed(change.and_then(|change| change.detail.as_deref()));
        let until = row.available_at.filter(|at| *at < NEVER);
        let Some(signal) = detail["signal"].as_str() else {
            let until = until.map_or_else(
                || "for an operator; tasker retry has it go on".to_owned(),
                |at| format!("until {}", self.when(at)),
            );
            return format!("waits {until}{paused}");
        };
        let since = change.map(|change| format!(", since {}", self.ago(change.created_at)));
        let latest = until.map(|at| format!(", at the latest until {}", self.when(at)));
        let (since, latest) = (since.unwrap_or_default(), latest.unwrap_or_default());
        format!("waits for the signal {signal:?}{since}{latest}{paused}")
    }

    /// The tasks that a waiting step runs which have not ended.
    fn runs(&self, row: &StepListRow) -> Option<String> {
        let children = self.children.get(&row.workflow_step_id)?;
        let open = children.iter().filter(|child| !child.state.is_terminal());
        let told = open.map(|child| {
            let RelatedTask { task_id, workflow, state, summary } = child;
            format!("runs task {task_id} ({workflow}), which is {state}: {summary}")
        });
        let told: Vec<_> = told.collect();
        let paused = if row.queue.is_none() { "; its task is paused" } else { "" };
        (!told.is_empty()).then(|| told.join("; ") + paused)
    }

    fn in_progress(&self, row: &StepListRow) -> String {
        let since = row.claimed_at.map(|at| self.ago(at)).unwrap_or_default();
        let attempt = row.attempts;
        let worker = self.workers.iter().find(|worker| Some(worker.worker_id) == row.worker_id);
        match worker {
            Some(worker) if worker.silent => format!(
                "attempt {attempt} is claimed by {} since {since}, but that worker was last heard of {}; \
                 its claims are taken back by the next live worker",
                who(worker),
                self.ago(worker.heartbeat_at)
            ),
            Some(worker) => format!("attempt {attempt} runs on {} since {since}", who(worker)),
            None => format!("attempt {attempt} runs since {since}"),
        }
    }

    fn waiting_for_retry(&self, at: usize, row: &StepListRow, last: Option<&AttemptRow>) -> String {
        let limit = self.limit(at);
        let next = row.available_at.map(|at| self.ahead(at)).unwrap_or_default();
        let failures = row.failures;
        format!(
            "{failures} of {limit} attempts failed, the last one with {}; the next may start {next}",
            failure(last)
        )
    }

    fn error(
        &self,
        at: usize,
        row: &StepListRow,
        last: Option<&AttemptRow>,
        change: Option<&StepTransitionRow>,
    ) -> String {
        let limit = self.limit(at);
        let failure = failure(last);
        match change.map(|change| change.event) {
            Some(StepEvent::RetriesExhausted) => {
                format!("all {limit} attempts failed, the last one with {failure}")
            }
            Some(StepEvent::CrashesExhausted) => format!(
                "{} workers died while they executed it; it is not tried again",
                row.crashes
            ),
            Some(StepEvent::BudgetExhausted) => out_of_budget(change, self.task),
            Some(StepEvent::TimedOut) => self.timed_out(at, row, last, change),
            Some(StepEvent::NotRetryable) => {
                format!(
                    "attempt {} ended with {failure}, and the step must not be retried",
                    row.attempts
                )
            }
            Some(_) | None => format!("failed for good in attempt {}: {failure}", row.attempts),
        }
    }

    /// Why a step ended whose attempts together have a limit.
    fn timed_out(
        &self,
        at: usize,
        row: &StepListRow,
        last: Option<&AttemptRow>,
        change: Option<&StepTransitionRow>,
    ) -> String {
        let limit = self.template.steps().get(at).and_then(|step| step.total_timeout);
        let seconds = limit.unwrap_or_default().as_secs_f64();
        let tried = match row.attempts {
            0 => "no attempt began".to_owned(),
            begun => format!("the last of {begun} attempts ended with {}", failure(last)),
        };
        let detail = parsed(change.and_then(|change| change.detail.as_deref()));
        let next = detail["retry_at"].as_str().map(|_| "; the next one would have begun too late");
        format!("did not end within {seconds} s in all; {tried}{}", next.unwrap_or_default())
    }

    fn limit(&self, at: usize) -> u32 {
        self.step(at).map_or(1, |step| step.retry_policy.max_attempts())
    }

    fn task_summary(&self, status: &TaskStatus, history: &[TaskTransitionRow]) -> String {
        let mut summary = self.state_summary(status, history) + &lineage(status);
        if let Some(parent) = &status.parent {
            summary += &format!("; it is run by step {} of task {}", parent.step, parent.task_id);
        }
        if let Some(original) = status.compensates {
            summary += &format!("; it undoes task {original}");
        }
        summary += &self.undoing.as_ref().map(Undoing::words).unwrap_or_default();
        if let Some(budget) = &status.budget {
            summary += &format!("; {}", used(&parsed(Some(budget.get()))));
        }
        match status.deadline_at.filter(|_| !status.state.is_terminal()) {
            Some(deadline) => format!("{summary}; it is cancelled {}", self.ahead(deadline)),
            None => summary,
        }
    }

    fn state_summary(&self, status: &TaskStatus, history: &[TaskTransitionRow]) -> String {
        let total = status.steps_total;
        let by_state = parsed(Some(status.steps_by_state.get()));
        let count = |state: StepState| {
            usize::try_from(by_state[state.as_str()].as_u64().unwrap_or(0)).unwrap_or(0)
        };
        let done = count(StepState::Complete) + count(StepState::ResolvedManually);
        let since = history.last().map_or(status.requested_at, |change| change.created_at);
        let since = self.ago(since);
        match status.state {
            TaskState::Pending => format!("no step was claimed yet; requested {since}"),
            TaskState::InProgress => format!(
                "{done} of {total} steps are complete, {} run, {} are ready",
                count(StepState::InProgress),
                count(StepState::Enqueued)
            ),
            TaskState::Waiting => format!(
                "{done} of {total} steps are complete; {}, nothing else can run",
                waiting_steps(count(StepState::WaitingForRetry), count(StepState::Waiting))
            ),
            TaskState::Blocked => format!(
                "{done} of {total} steps are complete; {} need a person, nothing else can run",
                count(StepState::Blocked)
            ),
            TaskState::Paused => {
                let by = asked_last(history);
                format!(
                    "paused by {by}, {since}: {done} of {total} steps are complete, {} run; tasker resume {} lets it \
                     go on",
                    count(StepState::InProgress),
                    status.task_id
                )
            }
            TaskState::Complete if usize::try_from(total).is_ok_and(|total| done == total) => {
                format!("all {total} steps are complete since {since}")
            }
            TaskState::Complete => format!(
                "done since {since}: {done} of {total} steps are complete, {} were skipped, {} are in error and \
                 nothing needed them",
                count(StepState::Skipped),
                count(StepState::Error)
            ),
            TaskState::Error => format!(
                "{} of {total} steps failed for good, and {} cannot start because of that; ended {since}",
                count(StepState::Error),
                count(StepState::Pending)
            ),
            TaskState::Cancelled => format!(
                "cancelled by {}, {since}: {done} of {total} steps are complete",
                ended_by(history)
            ),
            TaskState::ResolvedManually => format!("an operator declared it done {since}"),
        }
    }

    fn ago(&self, at: DateTime<Utc>) -> String {
        let seconds = (self.now - at).as_seconds_f64();
        format!("{} ({} ago)", clock(at), human(seconds.max(0.0)))
    }

    fn ahead(&self, at: DateTime<Utc>) -> String {
        let seconds = (at - self.now).as_seconds_f64();
        if seconds <= 0.0 {
            format!("now (it was due at {})", clock(at))
        } else {
            format!("at {} (in {})", clock(at), human(seconds))
        }
    }

    fn when(&self, at: DateTime<Utc>) -> String {
        let seconds = (at - self.now).as_seconds_f64();
        if seconds <= 0.0 {
            format!("{}, which is over: a worker may claim it", clock(at))
        } else {
            format!("{} (in {})", clock(at), human(seconds))
        }
    }
}

fn waiting_steps(for_retry: usize, for_others: usize) -> String {
    let waits = "wait for a time or a signal";
    match (for_retry, for_others) {
        (_, 0) => format!("{for_retry} wait for their next attempt"),
        (0, _) => format!("{for_others} {waits}"),
        (_, _) => format!("{for_retry} wait for their next attempt, {for_others} {waits}"),
    }
}

fn serves(worker: &WorkerRow, queue: &str) -> bool {
    worker.queues.as_ref().is_none_or(|queues| queues.iter().any(|known| known == queue))
}

fn who(worker: &WorkerRow) -> String {
    format!("worker {} ({}, pid {})", worker.worker_id, worker.host, worker.pid)
}

fn words(state: StepState) -> String {
    state.as_str().replace('_', " ")
}

fn clock(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn human(seconds: f64) -> String {
    if seconds < 0.01 {
        format!("{:.1} ms", seconds * 1_000.0)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1_000.0)
    } else if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else if seconds < 172_800.0 {
        format!("{:.0} h", seconds / 3_600.0)
    } else {
        format!("{:.0} days", seconds / 86_400.0)
    }
}

fn came_back(event: StepEvent) -> &'static str {
    match event {
        StepEvent::WorkerDied => ", again because the worker that ran it died",
        StepEvent::GivenBack => ", again because the worker that held it stopped",
        StepEvent::Interrupted => ", again because the worker that ran it stopped",
        StepEvent::Retried => ", again because an operator asked for it",
        StepEvent::Signalled => ", because the signal came that it waited for",
        StepEvent::Rerun => ", anew because an operator asked for it",
        StepEvent::ParentsCompleted
        | StepEvent::Claimed
        | StepEvent::Succeeded
        | StepEvent::RetryScheduled
        | StepEvent::FailedPermanently
        | StepEvent::RetriesExhausted
        | StepEvent::NotRetryable
        | StepEvent::NeedsIntervention
        | StepEvent::CrashesExhausted
        | StepEvent::WentWaiting
        | StepEvent::TimedOut
        | StepEvent::Mapped
        | StepEvent::ItemsDone
        | StepEvent::BudgetExhausted
        | StepEvent::ConditionUnmet
        | StepEvent::Cancelled
        | StepEvent::Skipped
        | StepEvent::Reset
        | StepEvent::Copied
        | StepEvent::ResolvedManually => "",
    }
}

fn failure(last: Option<&AttemptRow>) -> String {
    let Some(last) = last else {
        return "no recorded attempt".to_owned();
    };
    let error: Option<Value> =
        last.error.as_deref().and_then(|json| serde_json::from_str(json).ok());
    match error {
        Some(error) => {
            let text = |key: &str| error[key].as_str().unwrap_or_default();
            let by = error["classified_by"].as_str();
            let by = by.map(|by| format!(" ({} by {by})", text("kind"))).unwrap_or_default();
            format!("{}: {}{by}", text("class"), text("message"))
        }
        None => words_of(last.outcome).to_owned(),
    }
}

fn words_of(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::WorkerDied => "the death of its worker",
        AttemptOutcome::Interrupted => "the stop of its worker",
        AttemptOutcome::Cancelled => "the end of its task",
        AttemptOutcome::Succeeded
        | AttemptOutcome::Retryable
        | AttemptOutcome::Permanent
        | AttemptOutcome::Blocked
        | AttemptOutcome::Waiting
        | AttemptOutcome::Timeout => "no recorded failure",
    }
}

/// What kept a step from being started.
fn out_of_budget(change: Option<&StepTransitionRow>, task: TaskId) -> String {
    let budget = parsed(change.and_then(|change| change.detail.as_deref()));
    let limit = budget["budget"].as_str().unwrap_or_default();
    format!(
        "was not started: its task's budget of {limit} was used up ({}); tasker budget {task} raises it",
        used(&budget)
    )
}

/// What a task has used up of its budget.
fn used(budget: &Value) -> String {
    let attempts = budget["max_attempts"]
        .as_u64()
        .map(|most| format!("{} of {most} attempts", budget["attempts"]));
    let cost = budget["max_cost"].as_f64().map(|most| {
        let reserved = budget["reserved"].as_f64().filter(|reserved| *reserved > 0.0);
        let reserved =
            reserved.map(|reserved| format!(", {reserved} reserved")).unwrap_or_default();
        format!("{} of {most} spent{reserved}", budget["spent"].as_f64().unwrap_or_default())
    });
    let used: Vec<_> = [attempts, cost].into_iter().flatten().collect();
    format!("budget: {}", used.join(", "))
}

/// How many items of a map step are in a state.
fn counts(items: &MapRow) -> impl Fn(StepState) -> u64 + use<> {
    let by_state = parsed(Some(&items.by_state));
    move |state| by_state[state.as_str()].as_u64().unwrap_or(0)
}

fn completed(row: &StepListRow, last: Option<&AttemptRow>) -> String {
    let attempt = row.attempts;
    let execution = last
        .and_then(|last| last.execution_us)
        .map(|us| format!(" after {}", human(milliseconds(us) / 1_000.0)));
    let when = last.map(|last| format!(" at {}", clock(last.finished_at)));
    let before = if row.failures > 0 || row.crashes > 0 {
        format!("; before that {} failed and {} lost their worker", row.failures, row.crashes)
    } else {
        String::new()
    };
    let (when, execution) = (when.unwrap_or_default(), execution.unwrap_or_default());
    format!("completed{when} in attempt {attempt}{execution}{before}")
}

/// The end of a step that was complete in another task.
fn copied(change: Option<&StepTransitionRow>) -> Option<String> {
    let change = change.filter(|change| change.event == StepEvent::Copied)?;
    let task = parsed(change.detail.as_deref())["copied_from"].as_i64()?;
    Some(format!("complete with the results of task {task}, of which its task is a fork"))
}

/// What was attached, as the end of a sentence; the last first.
fn attached(artifacts: &[ArtifactSizeRow]) -> String {
    let one = |row: &ArtifactSizeRow| {
        let size = row.bytes.map(|bytes| format!(", {bytes} bytes"));
        let place = row.uri.as_ref().map(|uri| format!(", {uri}"));
        let (name, kind, size) = (&row.name, &row.media_type, size.or(place).unwrap_or_default());
        format!("{name} ({kind}{size}) of attempt {}", row.attempt)
    };
    let names: Vec<_> = artifacts.iter().rev().map(one).collect();
    if names.is_empty() { String::new() } else { format!("; attached: {}", shown(&names)) }
}

impl From<&ArtifactSizeRow> for Attachment {
    fn from(row: &ArtifactSizeRow) -> Self {
        Self {
            attempt: row.attempt,
            name: row.name.clone(),
            media_type: row.media_type.clone(),
            bytes: row.bytes,
            uri: row.uri.clone(),
        }
    }
}

/// Where a task comes from, and which come from it, as the end of a sentence.
fn lineage(status: &TaskStatus) -> String {
    let from = parsed(status.forked_from.as_deref().map(RawValue::get));
    let steps = from["steps"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let steps: Vec<_> = steps.map(str::to_owned).collect();
    let from_words = from["task_id"].as_i64().map(|task| {
        let by = asked_by(status.forked_from.as_deref().map(RawValue::get));
        format!("; a fork of task {task} from {}, by {by}", shown(&steps))
    });
    let forks: Vec<i64> = serde_json::from_str(status.forks.get()).unwrap_or_default();
    let forks: Vec<_> = forks.iter().map(i64::to_string).collect();
    let forks_words = match &*forks {
        [] => String::new(),
        [one] => format!("; task {one} is a fork of it"),
        many => format!("; tasks {} are forks of it", shown(many)),
    };
    from_words.unwrap_or_default() + &forks_words
}

fn cancelled(row: &StepListRow, change: Option<&StepTransitionRow>) -> String {
    match change.map(|change| change.from_state) {
        Some(StepState::InProgress) => {
            format!("its task ended while attempt {} ran, which was cut off", row.attempts)
        }
        Some(_) | None => "its task ended before it could run".to_owned(),
    }
}

/// The names of the branches that a decision took.
fn branches(change: &StepTransitionRow) -> Option<Vec<String>> {
    let detail = parsed(change.detail.as_deref());
    let names = detail["took"].as_array()?.iter().filter_map(Value::as_str);
    Some(names.map(str::to_owned).collect())
}

/// What a decision took, as the end of a sentence; nothing for any other step.
fn took(change: Option<&StepTransitionRow>) -> String {
    match change.and_then(branches).as_deref() {
        None => String::new(),
        Some([]) => "; took no branch".to_owned(),
        Some(some) => format!("; took {}", shown(some)),
    }
}

/// What ended a task before its steps did.
fn ended_by(history: &[TaskTransitionRow]) -> String {
    let last = history.last();
    match last.filter(|change| change.event == TaskEvent::DeadlinePassed) {
        Some(change) => {
            let deadline = parsed(change.detail.as_deref());
            let deadline = deadline["deadline_at"].as_str().and_then(|at| at.parse().ok());
            format!("its deadline, {}", deadline.map_or_else(String::new, clock))
        }
        None => asked_last(history),
    }
}

/// The first of these names.
fn shown(names: &[String]) -> String {
    let more = names.len().saturating_sub(MOST_PARENTS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.iter().take(MOST_PARENTS).map(String::as_str).collect::<Vec<_>>().join(", ") + &more
}

/// Who asked for the last change of a task, and why.
fn asked_last(history: &[TaskTransitionRow]) -> String {
    asked_by(history.last().and_then(|change| change.detail.as_deref()))
}

/// Who asked for a change, and why.
fn asked_by(detail: Option<&str>) -> String {
    let detail = parsed(detail);
    let actor = detail["actor"].as_str().unwrap_or("an operator");
    let reason = detail["reason"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
    format!("{actor}{reason}")
}

fn parsed(detail: Option<&str>) -> Value {
    detail.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// When a step with this join policy starts.
fn wanted(join: JoinPolicy) -> String {
    match join {
        JoinPolicy::AllComplete => "when all its parents are complete".to_owned(),
        JoinPolicy::AllDone => "when all its parents are done".to_owned(),
        JoinPolicy::AnyComplete => "when one of its parents is complete".to_owned(),
        JoinPolicy::NoneFailed => "when none of its parents failed and one is complete".to_owned(),
        JoinPolicy::Quorum(count) => format!("when {count} of its parents are complete"),
    }
}

impl From<&AttemptRow> for Attempt {
    fn from(row: &AttemptRow) -> Self {
        let worker = match (&row.host, row.pid) {
            (Some(host), Some(pid)) => format!("{} ({host}, pid {pid})", row.worker_id),
            (_, _) => row.worker_id.to_string(),
        };
        Self {
            attempt: row.attempt,
            outcome: row.outcome,
            worker,
            claimed_at: row.claimed_at,
            finished_at: row.finished_at,
            execution_ms: row.execution_us.map(milliseconds),
            error: row.error.clone().and_then(raw),
        }
    }
}

impl From<&StepTransitionRow> for Change<StepState, StepEvent> {
    fn from(row: &StepTransitionRow) -> Self {
        Self {
            at: row.created_at,
            from: row.from_state,
            to: row.to_state,
            cause: row.event,
            attempt: Some(row.attempt),
            worker_id: row.worker_id,
            detail: row.detail.clone().and_then(raw),
            next_attempt_at: row.detail.as_deref().and_then(retry_at),
        }
    }
}

impl From<TaskTransitionRow> for Change<TaskState, TaskEvent> {
    fn from(row: TaskTransitionRow) -> Self {
        Self {
            at: row.created_at,
            from: row.from_state,
            to: row.to_state,
            cause: row.event,
            attempt: None,
            worker_id: None,
            detail: row.detail.and_then(raw),
            next_attempt_at: None,
        }
    }
}

fn retry_at(detail: &str) -> Option<DateTime<Utc>> {
    let detail: Value = serde_json::from_str(detail).ok()?;
    ["retry_at", "until"].iter().find_map(|key| detail[*key].as_str())?.parse().ok()
}
