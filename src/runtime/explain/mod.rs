//! Why a task or step is where it is, in words, from recorded decisions.
//!
//! What is read stands here; what is said of it in the other files, by what it is about.

mod answer;
mod budget;
mod ends;
mod growth;
mod parents;
mod relatives;
mod step;
mod task;
mod waits;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

pub use answer::{
    Attachment, Attempt, Change, CheckpointInfo, Explanation, PollInfo, RelatedTask, SentSignal,
    StepExplanation,
};
use growth::{failed_items, in_turn, waiting_items};
use parents::decisions_above;
use relatives::{Undoing, related};

use super::client::step_named;
use super::grown::GrownTask;
use super::reports::TaskStatus;
use super::subworkflows::RESERVED;
use super::templates::{Stored, Templates};
use crate::error::Error;
use crate::ids::{StepId, TaskId};
use crate::state::StepState;
use crate::store::{
    ArtifactSizeRow, AttemptRow, FailureRow, SentSignalRow, StepListRow, StepProgressRow,
    StepTransitionRow, Store, TaskTransitionRow, WaitingItemRow, WorkerRow,
};
use crate::template::{StepTemplate, TaskTemplate};

/// Steps explained for a whole task at most, those nearest to the reason first.
const MOST_STEPS: usize = 20;

/// The others that are told of, the youngest.
const MOST_RELATED: usize = 50;

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
    let mut grown = GrownTask::read(store, task, stored, status.steps_made(), asked).await?;
    grown.read_items_above(store, task).await?;
    let mut steps = store.list_steps(&grown.parts(task)).await?;
    steps.sort_by_key(|row| row.workflow_step_id);
    steps.dedup_by_key(|row| row.workflow_step_id);
    let (chosen, more_steps) = choose(&steps, asked);
    let id = |at: usize| StepId(steps[at].workflow_step_id);
    let ids: Vec<_> = chosen.iter().map(|at| id(*at)).collect();
    let failures = failed_items(store, &grown, task, &ids).await?;
    let waiting_items = waiting_items(store, &grown, &ids).await?;
    let skipped = chosen.iter().filter(|at| steps[**at].state == StepState::Skipped);
    let decisions = skipped.flat_map(|at| decisions_above(template, id(*at)));
    let told: BTreeSet<_> = ids.iter().copied().chain(decisions).collect();
    let told: Vec<_> = told.into_iter().collect();
    let mut latest: BTreeMap<(i64, &str), TaskId> = BTreeMap::new();
    for child in &status.children {
        if let Some(step) = child.step_id.filter(|step| ids.contains(step)) {
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
    let signals = if status.state.is_terminal() {
        Vec::new()
    } else {
        store.unawaited_signals(task, RESERVED).await?
    };
    let turns = match asked {
        Some(step) if chosen.iter().any(|at| steps[*at].state == StepState::Pending) => {
            in_turn(store, &grown, step).await?
        }
        Some(_) | None => Vec::new(),
    };
    let facts = Facts {
        template,
        turns,
        failures,
        waiting_items,
        children,
        signals,
        undoing,
        grown,
        budget: budget::of(status),
        workers: store.workers().await?,
        attempts: group(store.attempts(&ids).await?, |row| row.workflow_step_id),
        artifacts: group(store.artifact_sizes(&ids).await?, |row| row.workflow_step_id),
        history: group(store.step_history(&told).await?, |row| row.workflow_step_id),
        progress: store.progress(&ids).await?,
        task_history: store.task_history(task).await?,
        task,
        steps,
        now: Utc::now(),
    };
    Ok(Explanation {
        task_id: task,
        state: status.state,
        priority: status.priority,
        summary: facts.task_summary(status),
        signals: facts.signals.iter().map(SentSignal::from).collect(),
        steps: chosen.into_iter().map(|at| facts.explanation(at, status.state)).collect(),
        more_steps,
        history: facts.task_history.into_iter().map(Change::from).collect(),
        parent: status.parent.clone(),
        compensates: status.compensates,
        compensated_by: status.compensated_by,
    })
}

/// The positions of the steps to explain, and how many others could be.
fn choose(steps: &[StepListRow], asked: Option<StepId>) -> (Vec<usize>, usize) {
    if let Some(step) = asked {
        let at = steps.iter().position(|row| row.workflow_step_id == step.0);
        return (at.into_iter().collect(), 0);
    }
    let mut open: Vec<_> =
        (0..steps.len()).filter(|at| steps[*at].state != StepState::Complete).collect();
    open.sort_by_key(|at| (relevance(steps[*at].state), *at));
    let more = open.len().saturating_sub(MOST_STEPS);
    open.truncate(MOST_STEPS);
    (open, more)
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

fn group<T>(rows: Vec<T>, key: impl Fn(&T) -> i64) -> HashMap<i64, Vec<T>> {
    let mut groups: HashMap<i64, Vec<T>> = HashMap::new();
    for row in rows {
        groups.entry(key(&row)).or_default().push(row);
    }
    groups
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
    task_history: Vec<TaskTransitionRow>,
    /// Where an item is asked for: items of its map step that have begun and not ended.
    turns: Vec<StepListRow>,
    /// Items of map steps that are in error or blocked, the last ones.
    failures: Vec<FailureRow>,
    /// Items of map steps that wait, the first ones.
    waiting_items: Vec<WaitingItemRow>,
    /// The tasks that steps run, by step: the last one of each call.
    children: HashMap<i64, Vec<RelatedTask>>,
    /// Signals that were sent to the task, that no step waits for and that none was given; none of a task that has ended.
    signals: Vec<SentSignalRow>,
    /// The task that undoes this one.
    undoing: Option<Undoing>,
    /// What the task may use up, and has.
    budget: Option<serde_json::Value>,
    task: TaskId,
    now: DateTime<Utc>,
}

impl Facts<'_> {
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

    fn limit(&self, at: usize) -> u32 {
        self.step(at).map_or(1, |step| step.retry_policy.max_attempts())
    }
}

/// The positions of a step's parents in the template; none for a step that was added.
fn parents_in(template: &TaskTemplate, step: StepId) -> &[u32] {
    let is_there = (step.index() as usize) < template.steps().len();
    if is_there { template.graph().parents(step.index()) } else { &[] }
}
