//! What an operator asks of a task, from reading the rows to writing the decision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::SecondsFormat;
use serde_json::Value;

use super::arguments::{LONGEST_VALUE, parse, refused};
use super::branches;
use super::compensation;
use super::deciding::{Sight, decide_seeing};
use super::ending::{self, ByTask};
use super::growth;
use super::recorded;
use super::rerun;
use super::templates::{Stored, Templates};
use super::worker::no_such_step;
use crate::budget::{Budget, Limits};
use crate::decision::{Decisions, Observation, Request, Seen, Taken, View};
use crate::error::Error;
use crate::ids::{StepId, TaskId};
use crate::json::{self, JsonLimits};
use crate::state::{StepEvent, StepState, TaskEvent, TaskState};
use crate::store::{StepRow, StoreError, TaskRow, Transaction, Tx};

/// What an operator asks of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steering {
    /// To end: what has not ended is cancelled, and handlers that run report in vain.
    Cancel,
    /// To have no further step claimed; those that run go on to their end.
    Pause,
    /// To go on after a pause.
    Resume,
    /// To have steps tried again at once that failed, whether another attempt is to come or not, are blocked or, when named, wait for a time or a
    /// signal, with all the attempts before them that their policies allow. Steps that are enqueued or run already stay as they are.
    Retry {
        /// The step's name; all of them when absent.
        step: Option<String>,
    },
    /// To leave a step out that is `skippable`: its children are skipped as well, where their join policies need it.
    Skip {
        /// The step's name.
        step: String,
    },
    /// To undo what the complete steps of a task did that has ended in error or was cancelled.
    Compensate,
    /// To go on with a larger budget: the steps that it kept from being started are tried again.
    RaiseBudget(Limits),
    /// To have a step executed anew, and with it every step below: what they did counts no more. A step that has not begun, or
    /// runs, stays as it is.
    Rerun {
        /// The step's name.
        step: String,
    },
    /// To count a step as complete. One that was resolved already keeps its results; other ones are refused.
    Resolve {
        /// The step's name.
        step: String,
        /// Its results, JSON text of at most [`JsonLimits::RESULTS`].
        results: Arc<str>,
        /// The names of the branches that are taken, of a decision step; needed there, refused elsewhere.
        take: Option<Vec<String>>,
    },
}

impl Steering {
    /// Whether steps of a task that has ended may go on by it.
    fn has_steps_go_on(&self) -> bool {
        match self {
            Self::Retry { .. }
            | Self::Skip { .. }
            | Self::Resolve { .. }
            | Self::RaiseBudget(_)
            | Self::Rerun { .. } => true,
            Self::Cancel | Self::Pause | Self::Resume | Self::Compensate => false,
        }
    }

    /// Whether attempts that run may be ended by it.
    fn ends_attempts(&self) -> bool {
        match self {
            Self::Cancel | Self::Skip { .. } | Self::Rerun { .. } | Self::Resolve { .. } => true,
            Self::Pause
            | Self::Resume
            | Self::Retry { .. }
            | Self::Compensate
            | Self::RaiseBudget(_) => false,
        }
    }

    /// The name of the step that it is about.
    pub(super) fn step(&self) -> Option<&str> {
        match self {
            Self::Retry { step } => step.as_deref(),
            Self::Skip { step } | Self::Rerun { step } | Self::Resolve { step, .. } => Some(step),
            Self::Cancel | Self::Pause | Self::Resume | Self::Compensate | Self::RaiseBudget(_) => {
                None
            }
        }
    }

    /// Whether a second request does more than the first has done, where what follows from that is over by then.
    pub(super) fn may_take_place_twice(&self) -> bool {
        match self {
            Self::Rerun { .. } | Self::Retry { .. } => true,
            Self::Cancel
            | Self::Pause
            | Self::Resume
            | Self::Skip { .. }
            | Self::Compensate
            | Self::RaiseBudget(_)
            | Self::Resolve { .. } => false,
        }
    }

    /// # Errors
    /// [`Error::Json`] for results that are not JSON, or too large.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Resolve { step, results, .. } => json::check(results, JsonLimits::RESULTS)
                .map_err(|source| Error::Json {
                    what: format!("results of step {:?}", json::shorten(step, LONGEST_VALUE)),
                    source,
                }),
            Self::RaiseBudget(limits) if limits.is_empty() => {
                Err(refused("budget", "{}", "attempts, cost or both"))
            }
            Self::Cancel
            | Self::Pause
            | Self::Resume
            | Self::RaiseBudget(_)
            | Self::Retry { .. }
            | Self::Skip { .. }
            | Self::Compensate
            | Self::Rerun { .. } => Ok(()),
        }
    }
}

/// What came of what an operator asks.
#[derive(Debug)]
pub(crate) enum Steered {
    /// It is done.
    Done(Decisions),
    /// First, attempts have ended that had recorded so: it is to be asked again when that is committed.
    Settled(Decisions),
}

/// Reads what somebody saw of a step, from JSON: its id, and that of the last change of its state.
///
/// # Errors
/// [`Error::Argument`].
///
/// # Examples
/// ```
/// let seen = tasker_core::seen(r#"{"step_id": 7340033, "transition_id": 9}"#).unwrap();
/// assert_eq!(seen.step_id.task(), tasker_core::TaskId(7));
/// ```
pub fn seen(json: &str) -> Result<Seen, Error> {
    parse("seen", json)
}

/// Refuses what is asked because of a step that is not as it was seen. It stays as it is from then on: the task is locked, without
/// which no step gets out of a state that somebody can do something about.
///
/// # Errors
/// [`Error::Changed`].
pub(super) async fn refuse_changed(tx: &mut Tx, seen: Seen) -> Result<(), Error> {
    let Seen { step_id, transition_id } = seen;
    let task = step_id.task();
    tx.lock_tasks(&[task]).await?;
    match tx.last_transition(step_id).await? {
        Some(last) if last != transition_id => Err(Error::Changed { task, step: None }),
        Some(_) | None => Ok(()),
    }
}

/// Decides and writes what follows; the caller commits.
///
/// # Errors
/// [`Error::UnknownTask`], [`Error::Argument`] for a step that there is not or that must not be skipped, [`Error::Transition`] where the state of
/// the task or the step does not allow it.
pub(crate) async fn steer(
    tx: &mut impl Transaction,
    templates: &Templates,
    task: TaskId,
    steering: &Steering,
    request: &Request,
) -> Result<Steered, Error> {
    let rows = tx.lock_tasks(&[task]).await?;
    let row = *rows.first().ok_or(Error::UnknownTask { task })?;
    if steering.ends_attempts()
        && let Some(settled) = recorded::settle(tx, templates, task).await?
    {
        return Ok(Steered::Settled(settled));
    }
    steer_locked(tx, templates, row, steering, request.clone()).await.map(Steered::Done)
}

async fn steer_locked(
    tx: &mut impl Transaction,
    templates: &Templates,
    row: TaskRow,
    steering: &Steering,
    request: Request,
) -> Result<Decisions, Error> {
    let task = row.task.id;
    if steering.has_steps_go_on() {
        let stored = templates.get_within(tx, row.template).await?;
        compensation::refuse_undone(tx, &stored, row).await?;
    }
    match steering {
        Steering::Cancel => {
            let by_task = ending::load_templates(tx, templates, &[row]).await?;
            let undoes = by_task.get(&task).is_some_and(|stored| stored.compensates);
            if undoes && !row.task.state.is_terminal() {
                let seen = format!("{task}, which undoes another one");
                let allowed = "a task that undoes none; one that does can be paused, and its steps skipped or resolved";
                return Err(refused("task", &seen, allowed));
            }
            let open = tx.read_open_steps(task).await?;
            let observation = Observation::CancelRequested(request);
            decide_and_write(tx, row, &open, &observation, &by_task).await
        }
        Steering::Pause => {
            let observation = Observation::PauseRequested(request);
            // Waits for whoever claims some of them now, so that history has those claims before the pause.
            tx.hold_ready_steps(task).await?;
            decide_and_write(tx, row, &[], &observation, &ByTask::new()).await
        }
        Steering::Resume => {
            let observation = Observation::ResumeRequested(request);
            let by_task = ending::load_templates(tx, templates, &[row]).await?;
            let decisions = decide_and_write(tx, row, &[], &observation, &by_task).await?;
            let queues = tx.release_ready_steps(task).await?;
            tx.call_workers(&queues).await?;
            Ok(decisions)
        }
        Steering::RaiseBudget(limits) => {
            let Some(before) = raise(tx, row, *limits).await? else {
                return Ok(Decisions::default());
            };
            let detail = request.detail_of_raise(before, limits.or(before));
            let noted = note(tx, row, TaskEvent::BudgetRaised, detail).await?;
            if row.task.state == TaskState::Complete {
                return Ok(noted); // For steps that are to be executed anew.
            }
            let stored = templates.get_within(tx, row.template).await?;
            let queues = tx
                .resume_postponed_steps(&BTreeMap::from([(task, i32::MAX.unsigned_abs())]))
                .await?;
            tx.call_workers(&queues).await?;
            let steps = tx.steps_out_of_budget(task).await?;
            let rows = if steps.is_empty() { Vec::new() } else { tx.lock_steps(&steps).await? };
            let mut decisions = try_again(tx, row, &rows, stored, request).await?;
            decisions.tasks.splice(0..0, noted.tasks);
            Ok(decisions)
        }
        Steering::Retry { step: None } => {
            let failed = tx.read_failed_steps(task).await?;
            let stored = templates.get_within(tx, row.template).await?;
            try_again(tx, row, &failed, stored, request).await
        }
        Steering::Retry { step: Some(name) } => {
            let (stored, step, _) = find(tx, templates, row, name).await?;
            let seen = with_failed_items(tx, &stored, step).await?;
            refuse_delayed(tx, &seen).await?;
            try_again(tx, row, &seen, stored, request).await
        }
        Steering::Skip { step: name } => {
            let (stored, step, position) = find(tx, templates, row, name).await?;
            check_skippable(&stored, position, name)?;
            let observation = Observation::SkipRequested { step, request };
            steer_step(tx, row, stored, step, &observation).await
        }
        Steering::Compensate => {
            let stored = templates.get_within(tx, row.template).await?;
            compensation::check_undoable(&stored, row)?;
            let Some(by) = compensation::undo(tx, templates, row, Some(&request)).await? else {
                return Ok(Decisions::default());
            };
            let detail = request.detail_of_compensation(by);
            note(tx, row, TaskEvent::CompensationRequested, detail).await
        }
        Steering::Rerun { step: name } => {
            let (stored, step, _) = find(tx, templates, row, name).await?;
            rerun::rerun(tx, row, stored, step, name, request).await
        }
        Steering::Resolve { step: name, results, take } => {
            let (stored, step, _) = find(tx, templates, row, name).await?;
            let taken = taken(&stored, step, take.as_deref())?;
            let taken = with_conditions(tx, &stored, step, taken, results).await?.map(Arc::new);
            let rows = tx.lock_steps(&[step]).await?;
            if rows.iter().any(|row| row.state == StepState::ResolvedManually) {
                let given = (&**results, taken.as_deref());
                return keeps_results(tx, &stored, (step, name), given).await;
            }
            let results = Arc::clone(results);
            let observation = Observation::ResolveRequested { step, results, taken, request };
            let by_task = ByTask::from([(task, stored)]);
            decide_and_write(tx, row, &rows, &observation, &by_task).await
        }
    }
}

/// A step that has not been tried since it got ready, because it is delayed, cannot be tried again.
async fn refuse_delayed(tx: &mut impl Transaction, rows: &[StepRow]) -> Result<(), Error> {
    for row in rows.iter().filter(|row| row.state == StepState::Enqueued) {
        if let Some(at) = tx.delayed_until(row.id).await? {
            let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
            let allowed = format!("steps that have begun; this one is delayed, and begins at {at}");
            let source = row.state.refuses(StepEvent::Retried, allowed);
            return Err(Error::transition(row.id.task(), source));
        }
    }
    Ok(())
}

/// A step that was resolved already can be given the same again, which changes nothing.
async fn keeps_results(
    tx: &mut impl Transaction,
    stored: &Stored,
    (step, name): (StepId, &str),
    (results, taken): (&str, Option<&Taken>),
) -> Result<Decisions, Error> {
    let task = step.task();
    let kept = tx.results_of(step).await?.transpose();
    let kept = kept.map_err(|source| Error::results_unreadable(task, name, source))?;
    let kept = kept.unwrap_or_else(|| "null".to_owned());
    let took = branches::taken_before(tx, stored, &BTreeSet::from([step])).await?;
    let took = took.get(&step);
    let value = |text| serde_json::from_str::<Value>(text).ok();
    if value(&kept) == value(results) && took == taken {
        return Ok(Decisions::default());
    }
    let kept = json::shorten(&kept, LONGEST_VALUE);
    let took = took.map(|took| format!(", and what it took, {:?}", took.names()));
    let allowed = format!("the results that it has, {kept}{}", took.unwrap_or_default());
    let source = StepState::ResolvedManually.refuses(StepEvent::ResolvedManually, allowed);
    Err(Error::transition(task, source))
}

/// Has history keep what changes no state; the caller commits.
async fn note(
    tx: &mut impl Transaction,
    row: TaskRow,
    event: TaskEvent,
    detail: String,
) -> Result<Decisions, Error> {
    decide_and_write(tx, row, &[], &Observation::Noted { event, detail }, &ByTask::new()).await
}

/// Gives a task a larger budget, unless it has that. Returns the limits of before.
async fn raise(
    tx: &mut impl Transaction,
    row: TaskRow,
    limits: Limits,
) -> Result<Option<Limits>, Error> {
    let budgets = tx.read_budgets(&[row.task.id]).await?;
    let Some((task, budget)) = budgets.into_iter().next() else {
        let allowed = "none: the task has no budget";
        return Err(refused("budget", &format!("that of task {}", row.task.id), allowed));
    };
    let Limits { attempts, cost } = budget.limits;
    if let (Some(new), Some(old)) = (limits.attempts, attempts)
        && new < old
    {
        return Err(refused("attempts", &new.to_string(), &format!("{old} or more")));
    }
    if let (Some(new), Some(old)) = (limits.cost, cost)
        && new < old
    {
        let allowed = format!("{} or more", old.number());
        return Err(refused("cost", &new.number().to_string(), &allowed));
    }
    let begun = budget.attempts;
    if let Some(new) = limits.attempts.filter(|new| new.get() < begun) {
        return Err(refused("attempts", &new.to_string(), &format!("{begun} or more")));
    }
    let raised = Budget { limits: limits.or(budget.limits), exhausted: None, ..budget };
    if raised.limits == budget.limits {
        return Ok(None);
    }
    let state = row.task.state;
    if matches!(state, TaskState::Cancelled | TaskState::ResolvedManually) {
        let allowed = "tasks that are neither cancelled nor resolved manually";
        let source = state.refuses("budget_raised", allowed);
        return Err(Error::transition(row.task.id, source));
    }
    tx.write_budgets(&[(task, raised)]).await?;
    Ok(Some(budget.limits))
}

/// Has these steps tried again; what they waited for they wait for anew.
async fn try_again(
    tx: &mut impl Transaction,
    row: TaskRow,
    steps: &[StepRow],
    stored: Arc<Stored>,
    request: Request,
) -> Result<Decisions, Error> {
    let ids = steps.iter().map(|step| step.id).collect();
    let observation = Observation::RetryRequested { steps: ids, request };
    let by_task = ByTask::from([(row.task.id, stored)]);
    let decisions = decide_and_write(tx, row, steps, &observation, &by_task).await?;
    let retried = decisions.steps.iter().filter(|c| c.event == Some(StepEvent::Retried));
    let retried: Vec<_> = retried.map(|change| change.after.id).collect();
    if !retried.is_empty() {
        tx.forget_waits(&retried).await?;
    }
    Ok(decisions)
}

/// The step of that name, the template of its task, and the position there that tells about it.
pub(super) async fn find(
    tx: &mut impl Transaction,
    templates: &Templates,
    row: TaskRow,
    name: &str,
) -> Result<(Arc<Stored>, StepId, u32), Error> {
    let stored = templates.get_within(tx, row.template).await?;
    if let Some(index) = stored.made_with_task(name) {
        return Ok((stored, row.task.id.step(index), index));
    }
    let found = tx.find_added(row.task.id, &[name.to_owned()]).await?;
    let found = found.first().ok_or_else(|| no_such_step(&stored.template, name))?;
    Ok((stored, found.step, found.prototype))
}

async fn steer_step(
    tx: &mut impl Transaction,
    row: TaskRow,
    stored: Arc<Stored>,
    step: StepId,
    observation: &Observation,
) -> Result<Decisions, Error> {
    let steps = tx.lock_steps(&[step]).await?;
    let by_task = ByTask::from([(row.task.id, stored)]);
    decide_and_write(tx, row, &steps, observation, &by_task).await
}

/// The step, and where it is a map step that failed by its items, those of them that failed.
async fn with_failed_items(
    tx: &mut impl Transaction,
    stored: &Stored,
    step: StepId,
) -> Result<Vec<StepRow>, StoreError> {
    let mut rows = tx.lock_steps(&[step]).await?;
    let maps = stored.step(step).is_some_and(|step| step.map.is_some());
    if !maps || !rows.iter().any(|row| row.state == StepState::Error) {
        return Ok(rows);
    }
    let growth = tx.read_growth(&[step]).await?;
    let items = growth.iter().find_map(|row| Some((row.first_item?.0, row.parents?)));
    if let Some((first, items)) = items {
        let failed = tx.read_failed_steps(step.task()).await?;
        let is_item = |row: &StepRow| (first..first + i64::from(items)).contains(&row.id.0);
        rows.extend(failed.into_iter().filter(is_item));
    }
    Ok(rows)
}

fn check_skippable(stored: &Stored, position: u32, name: &str) -> Result<(), Error> {
    let step = stored.template.steps().get(position as usize);
    if step.is_some_and(|step| step.skippable) {
        return Ok(());
    }
    let allowed = "a step that its template declares skippable; or resolve it with results";
    Err(refused("step", &format!("{name:?}"), allowed))
}

/// The branches that are taken where the conditions on the edges are met as well, if there are any.
async fn with_conditions(
    tx: &mut impl Transaction,
    stored: &Stored,
    step: StepId,
    taken: Option<Taken>,
    results: &str,
) -> Result<Option<Taken>, Error> {
    if !stored.has_conditions(step) {
        return Ok(taken);
    }
    let task = step.task();
    let context = tx.task_context(task).await?.ok_or(Error::UnknownTask { task })?;
    let what = format!("the context of task {task}");
    let context = context.map_err(|source| Error::Decryption { what, source })?;
    let mut taken = taken.unwrap_or_else(|| branches::all(stored, step));
    branches::leave_out_unmet(&mut taken, stored, step, (&context, results));
    Ok(Some(taken))
}

/// The branches that an operator takes.
fn taken(stored: &Stored, step: StepId, take: Option<&[String]>) -> Result<Option<Taken>, Error> {
    let argument = |problem: String, allowed: String| refused("take", &problem, &allowed);
    match (stored.decides(step), take) {
        (false, None) => Ok(None),
        (false, Some(take)) => {
            Err(argument(format!("{take:?}"), "nothing: the step does not decide".to_owned()))
        }
        (true, None) => {
            let branches = branches::allowed(stored, step);
            Err(argument(
                "nil".to_owned(),
                format!("the names of the branches that are taken (--take, take:), of {branches}"),
            ))
        }
        (true, Some(take)) => branches::taken(stored, step, take).map(Some).map_err(|_| {
            let branches = branches::allowed(stored, step);
            argument(format!("{take:?}"), format!("names of branches: {branches}"))
        }),
    }
}

/// Decides what follows for one task, whose `steps` are seen, and writes it; the caller commits.
pub(super) async fn decide_and_write(
    tx: &mut impl Transaction,
    row: TaskRow,
    steps: &[StepRow],
    observation: &Observation,
    by_task: &ByTask,
) -> Result<Decisions, Error> {
    let grown = growth::grown(&[row], by_task);
    let sight = Sight { by_task, served: None, ledger: None, grown: &grown };
    let mut view = View { compensated: ending::compensated(by_task), ..View::default() };
    view.tasks.insert(row.task.id, row.task);
    let step = |row: &StepRow| (row.id, ending::step(row, sight.join(row.id)));
    view.steps.extend(steps.iter().map(step));
    let seen: Vec<_> = steps.iter().map(|step| step.id).collect();
    growth::learn(tx, &mut view, &seen, sight).await?;
    if row.has_budget {
        ending::see_budgets(tx, &mut view, &[row], sight).await?;
    }
    let now = steps.first().map_or(row.now, |step| step.now);
    let decisions = decide_seeing(tx, &mut view, observation, now, sight).await?;
    Ok(ending::write(tx, decisions, by_task, &view.grown.prototypes, &[]).await?.decisions)
}
