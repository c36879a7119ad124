//! Signals: sent to tasks, and waited for by the handlers of their steps.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::arguments::{at_most, not_empty, parse, refused};
use super::ending::ByTask;
use super::reports::{optional_time, raw, time};
use super::steering::{decide_and_write, find};
use super::subworkflows::RESERVED;
use super::templates::Templates;
use crate::decision::{AwaitedSignal, Decisions, NEVER, Observation, Poll, Signal, Until, Wait};
use crate::error::Error;
use crate::ids::{SignalId, StepId, TaskId};
use crate::json::{self, JsonLimits};
use crate::state::{StepEvent, StepState};
use crate::store::{NewSignal, TaskRow, Transaction, WaitRow};

/// Longest name of a signal, in bytes.
const LONGEST_NAME: usize = 128;

/// Longest idempotency key of a signal, in bytes.
const LONGEST_KEY: usize = 256;

/// A signal that is to be sent to a task.
///
/// # Examples
/// ```
/// use tasker_core::SignalRequest;
/// let json = r#"{"name": "approved", "payload": {"by": "mara"}, "idempotency_key": "mail-7"}"#;
/// assert_eq!(SignalRequest::from_json(json).unwrap().name, "approved");
/// assert!(SignalRequest::from_json(r#"{"name": "", "payload": null}"#).is_err());
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalRequest {
    /// Its name, 1 to 128 bytes.
    pub name: String,
    /// What it carries: JSON, within the limits of contexts.
    pub payload: Box<RawValue>,
    /// Who sends it, at most 128 bytes.
    #[serde(default)]
    pub actor: Option<String>,
    /// A signal that is sent again with the key, 1 to 256 bytes, is not sent twice.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// Of a decision about the step of the signal's name: the handler classes that wait for one, the most general one first. It is refused where
    /// the step waits for none, and where it was decided before.
    #[serde(default)]
    pub approval_handlers: Option<Vec<String>>,
}

impl SignalRequest {
    /// Reads a request from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown keys, and for texts that are empty or too long.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let request: Self = parse("signal", json)?;
        check_name_of_users(&request.name)?;
        at_most("actor", request.actor.as_deref(), 128)?;
        if let Some(key) = &request.idempotency_key {
            not_empty("idempotency_key", key, LONGEST_KEY)?;
        }
        Ok(request)
    }

    /// # Errors
    /// [`Error::Json`] for a payload that is too large.
    pub(super) fn check(&self, limits: JsonLimits) -> Result<(), Error> {
        json::check(self.payload.get(), limits).map_err(|source| Error::Json {
            what: format!("payload of signal {:?}", self.name),
            source,
        })
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    not_empty("name", name, LONGEST_NAME)
}

/// The name of a signal that users send and wait for.
pub(super) fn check_name_of_users(name: &str) -> Result<(), Error> {
    check_name(name)?;
    if name.starts_with(RESERVED) {
        let allowed = format!("a name that does not begin with {RESERVED}: the engine sends those");
        return Err(refused("name", &format!("{name:?}"), &allowed));
    }
    Ok(())
}

/// Writes a signal and has the steps claimed that wait for it; the caller commits. No decisions where it was sent before
/// with its key.
///
/// # Errors
/// [`Error::UnknownTask`]; [`Error::Transition`] for a task that has ended, and for a decision about a step that has;
/// [`Error::Argument`] for one about a step that waits for none, [`Error::Decided`] for a second one.
pub(crate) async fn send(
    tx: &mut impl Transaction,
    templates: &Templates,
    task: TaskId,
    request: &SignalRequest,
) -> Result<(SignalId, Decisions), Error> {
    let rows = tx.lock_tasks(&[task]).await?;
    let row = *rows.first().ok_or(Error::UnknownTask { task })?;
    if let Some(handlers) = &request.approval_handlers {
        check_decision(tx, templates, row, &request.name, handlers).await?;
    }
    let new = NewSignal {
        name: &request.name,
        payload: request.payload.get(),
        actor: request.actor.as_deref(),
        idempotency_key: request.idempotency_key.as_deref(),
    };
    let (id, existing) = tx.record_signal(task, new).await?;
    if existing {
        return Ok((id, Decisions::default()));
    }
    let steps = tx.steps_that_wait(task, &request.name).await?;
    let rows = if steps.is_empty() { Vec::new() } else { tx.lock_steps(&steps).await? };
    let (signal, actor) = (request.name.clone(), request.actor.clone());
    let observation =
        Observation::SignalSent { steps, signal: Signal { signal_id: id, signal, actor } };
    let stored = templates.get_within(tx, row.template).await?;
    let by_task = ByTask::from([(task, stored)]);
    Ok((id, decide_and_write(tx, row, &rows, &observation, &by_task).await?))
}

/// Refuses a decision about a step of which nothing would become. That a step waits for one is known by its handler, or
/// when it does: an attempt of it waits for the signal of its name.
async fn check_decision(
    tx: &mut impl Transaction,
    templates: &Templates,
    row: TaskRow,
    name: &str,
    handlers: &[String],
) -> Result<(), Error> {
    let task = row.task.id;
    let (stored, step, position) = find(tx, templates, row, name).await?;
    if tx.steps_that_wait(task, name).await?.contains(&step) {
        return Ok(());
    }
    if let Some((by, at)) = tx.first_signal(task, name).await? {
        return Err(Error::Decided { task, step: name.to_owned(), by, at });
    }
    let handler = stored.template.steps().get(position as usize).map(|step| &*step.handler_class);
    let handler = handler.unwrap_or_default();
    if !handlers.iter().any(|known| known == handler.trim_start_matches("::")) {
        let seen = format!("{name:?}, whose handler is {handler}");
        let known = handlers.first().map_or("", |handler| &**handler);
        let allowed = format!(
            "a step whose handler is {known} or a class below it that this process has loaded, or one that waits for the \
             signal of its name"
        );
        return Err(refused("step", &seen, &allowed));
    }
    let rows = tx.read_ended_steps(&[step], &[]).await?;
    match rows.first().map(|row| row.step.state) {
        Some(state) if state.is_terminal() && state != StepState::Error => {
            let allowed = "steps that are in error or have not ended";
            let source = state.refuses(StepEvent::Signalled, allowed);
            Err(Error::transition(task, source).about(Some(name)))
        }
        Some(_) | None => Ok(()),
    }
}

/// What a handler that waits reports.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitReport {
    /// Seconds from the end of the attempt.
    #[serde(default)]
    after_s: Option<f64>,
    /// Microseconds since 1970.
    #[serde(default)]
    at_us: Option<i64>,
    #[serde(default)]
    signal: Option<String>,
    #[serde(default)]
    after_signal: Option<SignalId>,
    #[serde(default)]
    data: Option<Box<RawValue>>,
    #[serde(default)]
    poll: Option<PollReport>,
}

/// What a handler has looked for in vain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PollReport {
    looks: u32,
    /// Microseconds since 1970.
    #[serde(default)]
    until_us: Option<i64>,
}

impl PollReport {
    fn poll(&self) -> Poll {
        let until = self.until_us.map(|us| DateTime::from_timestamp_micros(us).unwrap_or(NEVER));
        Poll { looks: self.looks, until }
    }
}

/// Reads what a handler waits for.
///
/// # Errors
/// [`Error::Argument`] for what is no wait, [`Error::Json`] for data that are too large.
pub(super) fn wait_from_json(json: &str, limits: JsonLimits) -> Result<Wait, Error> {
    let report: WaitReport = parse("wait", json)?;
    if let Some(data) = &report.data {
        json::check(data.get(), limits)
            .map_err(|source| Error::Json { what: "data of a wait".to_owned(), source })?;
    }
    if let Some(name) = &report.signal {
        check_name(name)?;
    }
    let until = match (report.after_s, report.at_us) {
        (Some(seconds), _) => {
            // What is longer than any duration is longer than any wait.
            let wait = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
            Some(Until::After(wait))
        }
        (None, Some(us)) => {
            Some(Until::At(DateTime::from_timestamp_micros(us).unwrap_or(DateTime::<Utc>::MAX_UTC)))
        }
        (None, None) => None,
    };
    let after = report.after_signal;
    Ok(Wait {
        until,
        signal: report.signal.map(|name| AwaitedSignal { name, after }),
        data: report.data.map(|data| data.get().into()),
        poll: report.poll.map(|report| report.poll()),
    })
}

/// A checkpoint as a handler makes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckpointReport {
    pub(super) cursor: Box<RawValue>,
    #[serde(default)]
    pub(super) data: Option<Box<RawValue>>,
    /// It is not where the handler was when the attempt began.
    pub(super) moved: bool,
}

impl CheckpointReport {
    /// # Errors
    /// [`Error::Argument`] for what is no checkpoint, [`Error::Json`] for a cursor or data that are too large.
    pub(super) fn from_json(json: &str, limits: JsonLimits) -> Result<Self, Error> {
        let report: Self = parse("checkpoint", json)?;
        let cursor = ("cursor of a checkpoint", Some(&report.cursor));
        for (what, value) in [cursor, ("data of a checkpoint", report.data.as_ref())] {
            let Some(value) = value else { continue };
            json::check(value.get(), limits)
                .map_err(|source| Error::Json { what: what.to_owned(), source })?;
        }
        Ok(report)
    }
}

/// What a handler is told of its step's waits.
#[derive(Debug, Serialize)]
pub struct WaitInfo {
    /// What time it is, by the database's clock.
    #[serde(serialize_with = "time")]
    pub now: DateTime<Utc>,
    /// How often the step has waited.
    pub waits: i32,
    /// What its handler kept.
    pub data: Option<Box<RawValue>>,
    /// Where it had come at its last checkpoint.
    pub cursor: Option<Box<RawValue>>,
    /// When the wait for the signal that is asked for is over, if it was what the step waited for last.
    #[serde(serialize_with = "optional_time")]
    pub deadline: Option<DateTime<Utc>>,
    /// That time has come.
    pub timed_out: bool,
    /// The signal that is asked for, if it was sent.
    pub signal: Option<SignalInfo>,
}

/// A signal that was sent.
#[derive(Debug, Serialize)]
pub struct SignalInfo {
    /// Its id.
    pub id: SignalId,
    /// What it carries.
    pub payload: Option<Box<RawValue>>,
    /// Who sent it.
    pub actor: Option<String>,
    /// When.
    #[serde(serialize_with = "time")]
    pub sent_at: DateTime<Utc>,
}

impl WaitInfo {
    pub(super) fn new(step: StepId, row: WaitRow) -> Result<Self, Error> {
        let unreadable = |what: &str, source| Error::Decryption {
            what: format!("{what} of step {step} of task {}", step.task()),
            source,
        };
        let data = row.data.transpose().map_err(|source| unreadable("the data", source))?;
        let cursor = row.cursor.transpose().map_err(|source| unreadable("the cursor", source))?;
        let signal = row.signal.map(|signal| {
            let payload = signal.payload.map_err(|source| unreadable("a signal", source))?;
            let (id, actor, sent_at) = (signal.id, signal.actor, signal.sent_at);
            Ok::<_, Error>(SignalInfo { id, payload: raw(payload), actor, sent_at })
        });
        Ok(Self {
            now: row.now,
            waits: row.waits,
            data: data.and_then(raw),
            cursor: cursor.and_then(raw),
            deadline: row.deadline,
            timed_out: row.timed_out,
            signal: signal.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: JsonLimits = JsonLimits { max_bytes: 100, max_depth: 3 };

    /// Each kind of JSON that is kept with a wait or a signal, read with so many bytes in it.
    fn kept(bytes: usize) -> [(&'static str, Result<(), Error>); 4] {
        let text = "x".repeat(bytes - r#""""#.len());
        let payload = json!({ "name": "go", "payload": text }).to_string();
        let wait = json!({ "after_s": 1.0, "data": text }).to_string();
        let cursor = json!({ "cursor": text, "moved": true }).to_string();
        let data = json!({ "cursor": 1, "data": text, "moved": true }).to_string();
        let checkpoint = |json: &str| CheckpointReport::from_json(json, LIMITS).map(drop);
        [
            ("payload of signal \"go\"", SignalRequest::from_json(&payload).unwrap().check(LIMITS)),
            ("data of a wait", wait_from_json(&wait, LIMITS).map(drop)),
            ("cursor of a checkpoint", checkpoint(&cursor)),
            ("data of a checkpoint", checkpoint(&data)),
        ]
    }

    #[test]
    fn what_is_kept_is_as_large_as_the_limits_say() {
        for (what, read) in kept(100) {
            assert!(read.is_ok(), "{what}");
        }
        for (what, read) in kept(101) {
            let error = read.unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
            assert!(error.contains("101 bytes of JSON; at most 100 are allowed"), "{error}");
        }
    }
}
