//! The other tasks of which an explanation tells: those that steps run, the one that undoes it, forks.

use std::collections::HashMap;

use chrono::Utc;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Facts;
use super::answer::RelatedTask;
use super::budget;
use super::words::{asked_by, parsed, shown};
use crate::error::Error;
use crate::ids::TaskId;
use crate::runtime::grown::GrownTask;
use crate::runtime::reports::TaskStatus;
use crate::runtime::subworkflows::RESERVED;
use crate::runtime::templates::Templates;
use crate::state::{StepState, TaskState};
use crate::store::{StepListRow, StepTransitionRow, Store, TaskFilter};

/// What is told of other tasks: each as it is by itself.
pub(super) async fn related(
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
        let grown = GrownTask::read(store, *task, &stored, status.steps_made(), None).await?;
        let facts = Facts {
            template: &stored.template,
            steps: store.list_steps(&grown.parts(*task)).await?,
            grown,
            workers: Vec::new(),
            attempts: HashMap::new(),
            artifacts: HashMap::new(),
            history: HashMap::new(),
            progress: HashMap::new(),
            task_history: store.task_history(*task).await?,
            failures: Vec::new(),
            waiting_items: Vec::new(),
            turns: Vec::new(),
            task: *task,
            children: HashMap::new(),
            signals: Vec::new(),
            undoing: None,
            budget: budget::of(&status),
            now: Utc::now(),
        };
        let summary = facts.task_summary(&status);
        let workflow = format!("{} {}", status.name, status.version);
        found.insert(*task, RelatedTask { task_id: *task, workflow, state: status.state, summary });
    }
    Ok(found)
}

impl Facts<'_> {
    /// The tasks that a waiting step runs, those that have not ended if there are any.
    pub(super) fn runs(
        &self,
        row: &StepListRow,
        change: Option<&StepTransitionRow>,
    ) -> Option<String> {
        let children = self.children.get(&row.workflow_step_id)?;
        let (ended, open): (Vec<_>, Vec<_>) =
            children.iter().partition(|child| child.state.is_terminal());
        let runs = |child: &&RelatedTask| {
            let RelatedTask { task_id, workflow, state, summary } = child;
            format!("runs task {task_id} ({workflow}), which is {state}: {summary}")
        };
        let ran = |child: &&RelatedTask| {
            let RelatedTask { task_id, workflow, state, .. } = child;
            format!("goes on when a worker tells it that task {task_id} ({workflow}) is {state}")
        };
        let detail = parsed(change.and_then(|change| change.detail.as_deref()));
        let awaits_end = detail["signal"].as_str().is_some_and(|name| name.starts_with(RESERVED));
        let told: Vec<_> = match &*open {
            [] if awaits_end => ended.iter().map(ran).collect(),
            open => open.iter().map(runs).collect(),
        };
        let paused = if row.queue.is_none() { "; its task is paused" } else { "" };
        (!told.is_empty()).then(|| told.join("; ") + paused)
    }
}

/// How far the undoing of a task is.
pub(super) struct Undoing {
    task: TaskId,
    state: TaskState,
    done: i64,
    all: i64,
}

impl Undoing {
    pub(super) async fn read(store: &Store, task: TaskId) -> Result<Option<Self>, Error> {
        let filter = TaskFilter { task: Some(task), limit: 1, ..TaskFilter::default() };
        let Some(row) = store.list_tasks(&filter).await?.pop() else { return Ok(None) };
        let counts: HashMap<String, i64> =
            serde_json::from_str(&row.steps_by_state).unwrap_or_default();
        let count = |state: StepState| counts.get(state.as_str()).copied().unwrap_or(0);
        let done = count(StepState::Complete) + count(StepState::ResolvedManually);
        let all = i64::from(row.total_steps) - count(StepState::Skipped);
        Ok(Some(Self { task, state: row.state, done, all }))
    }

    pub(super) fn words(&self) -> String {
        let Self { task, state, done, all } = self;
        format!("; it is undone by task {task}, which is {state}: {done} of {all} steps")
    }
}

/// Where a task comes from, and which come from it, as the end of a sentence.
pub(super) fn lineage(status: &TaskStatus) -> String {
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
