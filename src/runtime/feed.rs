//! All transitions of a database, in an order in which none comes before one that it follows from, without a gap.
//!
//! A transition's number is taken before its transaction commits, so that a lower number may appear after a higher one. A
//! place therefore has a bound: no transition up to it will appear any more. A later bound is found in two steps
//! ([`Unsettled`]): the highest number ever taken, then an id that no transaction running at that time reaches. Whoever
//! holds a lower number had its id before, because a decision writes or locks rows before it takes numbers; when all
//! lower ids have ended, the number is the new bound. Nothing of it costs those who write anything
//! (`docs/decisions/0014-feed.md`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::arguments::{at_most, parse, refused};
use super::reports::{raw, time};
use super::templates::{Stored, Templates};
use crate::error::Error;
use crate::ids::{StepId, TaskId, TemplateId, WorkerId};
use crate::state::{AttemptOutcome, StepEvent, TaskEvent};
use crate::store::{FeedEventRow, Holder, Numbers, Progress, Store};

/// Events of one batch at most.
const MOST_EVENTS: i64 = 10_000;

/// Numbers that one statement looks at, at most: it ends soon also where hardly any of them is wanted.
const STRETCH: i64 = 100_000;

/// Longest name of a consumer in bytes, as the schema has it.
const LONGEST_CONSUMER: usize = 128;

/// Where somebody begins to read who has no position yet.
///
/// # Examples
/// ```
/// use tasker_core::FeedOpening;
/// assert!(FeedOpening::from_json(r#"{"consumer": "billing", "from": null}"#).is_ok());
/// assert!(FeedOpening::from_json(r#"{"consumer": ""}"#).is_err());
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedOpening {
    /// Whose position is kept; nobody's when absent.
    #[serde(default)]
    pub consumer: Option<String>,
    /// Begin after this number; 0 is the beginning. With what happens from now on when `None`.
    #[serde(default)]
    pub from: Option<i64>,
}

impl FeedOpening {
    /// Reads an opening from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown keys, an empty or too long name and a negative number.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let opening: Self = parse("feed", json)?;
        at_most("consumer", opening.consumer.as_deref(), LONGEST_CONSUMER)?;
        if opening.consumer.as_deref() == Some("") {
            return Err(refused("consumer", "\"\"", "text that is not empty"));
        }
        match opening.from {
            Some(from) if from < 0 => Err(refused("from", &from.to_string(), "0 or more")),
            _ => Ok(opening),
        }
    }
}

/// Where a feed was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FeedOpened {
    /// Everything up to this number was taken.
    pub position: i64,
    /// Tells the readers of a consumer apart; `None` without a consumer.
    pub reader: Option<i64>,
    /// Transitions that were pruned before the consumer took them.
    pub missed: i64,
}

/// A bound that does not hold yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// The highest number that was taken by then.
    pub upto: i64,
    /// It holds when every transaction with a lower id has ended.
    pub horizon: i64,
}

/// How far a reader is, and how far it may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedPlace {
    /// Every transition up to this number was given out.
    pub position: i64,
    /// No transition up to this number will appear any more.
    #[serde(default)]
    pub bound: i64,
    /// The bound after that.
    #[serde(default)]
    pub unsettled: Option<Unsettled>,
}

/// What to read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedReading {
    /// For whom; nobody when absent.
    #[serde(default)]
    pub consumer: Option<String>,
    /// As the feed was opened with.
    #[serde(default)]
    pub reader: Option<i64>,
    /// That of the batch before; at first the position at which the feed was opened. Default: the beginning.
    #[serde(default)]
    pub place: FeedPlace,
    /// Events at most, 1 to 10,000. Default 1,000.
    #[serde(default = "a_thousand")]
    pub limit: i64,
    /// Names of events; all of them when absent.
    #[serde(default)]
    pub names: Option<Vec<String>>,
    /// Say who is waited for.
    #[serde(default)]
    pub explain: bool,
}

fn a_thousand() -> i64 {
    1_000
}

impl FeedReading {
    /// The first reading of a consumer.
    #[must_use]
    pub fn of(consumer: &str, opened: FeedOpened) -> Self {
        Self {
            consumer: Some(consumer.to_owned()),
            reader: opened.reader,
            place: FeedPlace { position: opened.position, ..FeedPlace::default() },
            limit: a_thousand(),
            names: None,
            explain: false,
        }
    }

    /// Reads a reading from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown keys, names and limits.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let reading: Self = parse("feed", json)?;
        if !(1..=MOST_EVENTS).contains(&reading.limit) {
            let limit = reading.limit.to_string();
            return Err(refused("limit", &limit, &format!("1 to {MOST_EVENTS}")));
        }
        reading.wanted().map(|_| reading)
    }

    fn wanted(&self) -> Result<Wanted, Error> {
        self.names.as_deref().map_or(Ok(Wanted::default()), Wanted::named)
    }
}

/// Kinds of events; all of them when `None`.
#[derive(Debug, Default)]
struct Wanted {
    steps: Option<Vec<StepEvent>>,
    tasks: Option<Vec<TaskEvent>>,
}

impl Wanted {
    fn named(names: &[String]) -> Result<Self, Error> {
        let (mut steps, mut tasks) = (Vec::new(), Vec::new());
        for name in names {
            let step = name.strip_prefix("step.").and_then(StepEvent::parse);
            let task = name.strip_prefix("task.").and_then(TaskEvent::parse);
            if step.is_none() && task.is_none() {
                let allowed = "the names of events of steps and tasks";
                return Err(refused("names", &format!("{name:?}"), allowed));
            }
            steps.extend(step);
            tasks.extend(task);
        }
        Ok(Self { steps: Some(steps), tasks: Some(tasks) })
    }
}

/// A version of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A transition of a step or of a task.
#[derive(Clone, Debug, Serialize)]
pub struct FeedEvent {
    /// Its number.
    pub number: i64,
    /// "step." or "task." and the cause.
    pub name: String,
    /// When it was written.
    #[serde(serialize_with = "time")]
    pub at: DateTime<Utc>,
    /// The task.
    pub task_id: TaskId,
    /// The step; `None` for a task's.
    pub step_id: Option<StepId>,
    /// Its name; `None` where the task was deleted.
    pub step_name: Option<String>,
    /// The task's template; `None` where the task was deleted.
    pub template: Option<TemplateName>,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// The number of the attempt, from 1; 0 before the first; `None` for a task's.
    pub attempt: Option<i32>,
    /// Who holds the claim or held it.
    pub worker_id: Option<WorkerId>,
    /// How the attempt ended, where one did.
    pub outcome: Option<AttemptOutcome>,
    /// How long the handler ran, in microseconds, where it did.
    pub execution_us: Option<i64>,
    /// Who asked for it and why, until when it waits, and the like.
    pub detail: Option<Box<RawValue>>,
    /// The failure of the attempt.
    pub error: Option<Box<RawValue>>,
}

impl FeedEvent {
    fn new(row: FeedEventRow, stored: Option<&Stored>, added: &HashMap<StepId, String>) -> Self {
        let step_id = row.step_id.map(StepId);
        let step = step_id.and_then(|id| stored.and_then(|stored| stored.step(id)));
        let step_name = step.map(|step| step.name.clone());
        let step_name = step_name.or_else(|| added.get(&step_id?).cloned());
        let template = stored.map(|stored| TemplateName {
            namespace: stored.template.namespace().to_owned(),
            name: stored.template.name().to_owned(),
            version: stored.template.version().to_owned(),
        });
        let name = match (row.step_event, row.task_event) {
            (Some(event), _) => format!("step.{event}"),
            (None, Some(event)) => format!("task.{event}"),
            (None, None) => String::new(),
        };
        Self {
            number: row.number,
            name,
            at: row.created_at,
            task_id: TaskId(row.task_id),
            step_id,
            step_name,
            template,
            from: row.from_state,
            to: row.to_state,
            attempt: row.attempt,
            worker_id: row.worker_id.map(WorkerId),
            outcome: row.outcome,
            execution_us: row.execution_us,
            detail: row.detail.and_then(raw),
            error: row.error.and_then(raw),
        }
    }
}

/// The oldest transaction that is waited for.
#[derive(Clone, Debug, Serialize)]
pub struct HeldBack {
    /// Whose it is, in words.
    pub who: String,
    /// Seconds since it began, where they can be known.
    pub age_s: Option<f64>,
}

impl From<Holder> for HeldBack {
    fn from(Holder { who, age_s }: Holder) -> Self {
        Self { who, age_s }
    }
}

/// Events that follow one another, and where to go on.
#[derive(Clone, Debug, Serialize)]
pub struct FeedBatch {
    /// In the order of their numbers.
    pub events: Vec<FeedEvent>,
    /// For the next reading, once the events were taken.
    pub place: FeedPlace,
    /// Nothing followed when it was read. Otherwise, without events: what follows waits for transactions that run.
    pub caught_up: bool,
    /// Whom the next bound waits for, if it was asked for and there is somebody.
    pub held_back_by: Option<HeldBack>,
    /// Transitions that were pruned before the consumer took them.
    pub missed: i64,
}

/// Opens a feed.
pub(super) async fn open(store: &Store, opening: &FeedOpening) -> Result<FeedOpened, Error> {
    store.index_feed().await?;
    let last = store.feed_progress().await?.last_number;
    let position = opening.from.unwrap_or(last);
    reached(position, last)?;
    let Some(consumer) = &opening.consumer else {
        return Ok(FeedOpened { position, reader: None, missed: 0 });
    };
    let row = store.open_feed(consumer, position).await?;
    Ok(FeedOpened { position: row.position, reader: Some(row.reader), missed: row.missed })
}

/// Reads what follows.
pub(super) async fn read(
    store: &Store,
    templates: &Templates,
    reading: &FeedReading,
) -> Result<FeedBatch, Error> {
    let mut place = reading.place;
    let mut rows = next_rows(store, &mut place, reading).await?;
    while rows.is_empty() {
        place = advance(store, place).await?;
        if place.bound <= place.position {
            break;
        }
        rows = next_rows(store, &mut place, reading).await?;
    }
    let missed = check_reader(store, reading).await?;
    let caught_up = rows.is_empty() && place.unsettled.is_none();
    let held_back_by = match place.unsettled {
        Some(unsettled) if rows.is_empty() && reading.explain => {
            store.feed_held_back_by(unsettled.horizon).await?
        }
        _ => None,
    };
    Ok(FeedBatch {
        events: events(store, templates, rows).await?,
        place,
        caught_up,
        held_back_by: held_back_by.map(HeldBack::from),
        missed,
    })
}

/// Keeps a consumer's position.
pub(super) async fn keep(store: &Store, reading: &FeedReading) -> Result<(), Error> {
    let (Some(consumer), Some(reader)) = (&reading.consumer, reading.reader) else {
        return Ok(());
    };
    match store.move_feed(consumer, reader, reading.place.position).await? {
        Some(_) => Ok(()),
        None => Err(Error::FeedTaken { consumer: consumer.clone() }),
    }
}

/// Looks for a higher bound.
async fn advance(store: &Store, place: FeedPlace) -> Result<FeedPlace, Error> {
    let progress = store.feed_progress().await?;
    reached(place.position, progress.last_number)?;
    let place = settle(place, progress);
    let nothing_new = progress.last_number <= place.bound.max(place.position);
    if place.bound > place.position || place.unsettled.is_some() || nothing_new {
        return Ok(place);
    }
    // Not before the number was read: who takes a lower one has an id by then.
    let horizon = store.feed_horizon().await?;
    let unsettled = Unsettled { upto: progress.last_number, horizon };
    let place = FeedPlace { unsettled: Some(unsettled), ..place };
    Ok(settle(place, store.feed_progress().await?))
}

/// Takes the unsettled bound if it holds.
fn settle(place: FeedPlace, progress: Progress) -> FeedPlace {
    match place.unsettled {
        Some(unsettled) if progress.oldest >= unsettled.horizon => {
            FeedPlace { bound: unsettled.upto, unsettled: None, ..place }
        }
        _ => place,
    }
}

/// Refuses a position of another database, or of one that was put back.
fn reached(position: i64, last: i64) -> Result<(), Error> {
    if position <= last {
        return Ok(());
    }
    let allowed = format!("0 to {last}, the number of the last transition");
    Err(refused("from", &position.to_string(), &allowed))
}

/// The next transitions that are wanted, up to the bound.
async fn next_rows(
    store: &Store,
    place: &mut FeedPlace,
    reading: &FeedReading,
) -> Result<Vec<FeedEventRow>, Error> {
    let wanted = reading.wanted()?;
    while place.position < place.bound {
        let numbers = Numbers {
            after: place.position,
            upto: place.bound.min(place.position + STRETCH),
            limit: reading.limit,
            steps: wanted.steps.as_deref(),
            tasks: wanted.tasks.as_deref(),
        };
        let rows = store.read_feed(numbers).await?;
        let full = usize::try_from(reading.limit).is_ok_and(|limit| rows.len() >= limit);
        place.position = match rows.last() {
            Some(last) if full => last.number,
            _ => numbers.upto,
        };
        if !rows.is_empty() {
            return Ok(rows);
        }
    }
    Ok(Vec::new())
}

/// How much the consumer missed, unless somebody else reads for it.
async fn check_reader(store: &Store, reading: &FeedReading) -> Result<i64, Error> {
    let Some(consumer) = &reading.consumer else { return Ok(0) };
    match store.find_feed(consumer).await? {
        Some(row) if Some(row.reader) == reading.reader => Ok(row.missed),
        _ => Err(Error::FeedTaken { consumer: consumer.clone() }),
    }
}

/// With the names that their templates have for them.
async fn events(
    store: &Store,
    templates: &Templates,
    rows: Vec<FeedEventRow>,
) -> Result<Vec<FeedEvent>, Error> {
    let mut known: HashMap<TemplateId, Arc<Stored>> = HashMap::new();
    for id in rows.iter().filter_map(FeedEventRow::template) {
        if let Entry::Vacant(unknown) = known.entry(id) {
            unknown.insert(templates.get(store, id).await?);
        }
    }
    let stored = |row: &FeedEventRow| row.template().and_then(|id| known.get(&id)).map(Arc::as_ref);
    let added = |row: &FeedEventRow| {
        let step = row.step_id.map(StepId)?;
        stored(row).filter(|stored| stored.step(step).is_none()).map(|_| step)
    };
    let added = store.names_of_added(&rows.iter().filter_map(added).collect::<Vec<_>>()).await?;
    Ok(rows
        .into_iter()
        .map(|row| (stored(&row), row))
        .map(|(stored, row)| FeedEvent::new(row, stored, &added))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_holds_once_every_lower_id_has_ended() {
        let unsettled = Some(Unsettled { upto: 9, horizon: 100 });
        let place = FeedPlace { position: 4, bound: 4, unsettled };
        let at = |oldest| settle(place, Progress { last_number: 12, oldest });
        assert_eq!(at(99), place);
        assert_eq!(at(100), FeedPlace { position: 4, bound: 9, unsettled: None });
    }

    #[test]
    fn a_reading_begins_at_the_beginning_and_with_a_thousand_events() {
        let reading = FeedReading::from_json("{}").unwrap();
        assert_eq!((reading.place, reading.limit), (FeedPlace::default(), 1_000));
        for limit in [0, 10_001] {
            assert!(FeedReading::from_json(&format!(r#"{{"limit": {limit}}}"#)).is_err());
        }
    }

    #[test]
    fn names_are_those_of_events() {
        let wanted = Wanted::named(&["step.claimed".to_owned(), "task.failed".to_owned()]).unwrap();
        assert_eq!(wanted.steps.unwrap(), [StepEvent::Claimed]);
        assert_eq!(wanted.tasks.unwrap(), [TaskEvent::Failed]);
        for wrong in ["step.started", "task.claimed", "claimed", ""] {
            assert!(Wanted::named(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
