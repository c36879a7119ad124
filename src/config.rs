//! Options of clients and workers: defaults in one place, each with its unit.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::encryption::Keyring;
use crate::error::Error;
use crate::json::{JsonLimits, shorten};
use crate::template::LONGEST_QUEUE;

/// Where a database is; shown without the password that it may hold.
///
/// # Examples
/// ```
/// use tasker_core::ClientOptions;
/// let options = ClientOptions::from_json(r#"{"url": "postgres://shop:s3cret@db/shop"}"#).unwrap();
/// assert_eq!(format!("{:?}", options.url), "DatabaseUrl(\"postgres://***@db/shop\")");
/// assert_eq!(options.url.as_str(), "postgres://shop:s3cret@db/shop");
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without user, password and parameters. A password may hold `/` and `@` itself.
    fn place(&self) -> String {
        let url = self.0.split('?').next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        match rest.rsplit_once('@') {
            None => url.to_owned(),
            Some((_, place)) => format!("{scheme}://***@{place}"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseUrl").field(&self.place()).finish()
    }
}

/// How a client reaches the database.
///
/// # Examples
/// ```
/// use tasker_core::ClientOptions;
/// let options = ClientOptions::from_json(r#"{"url": "postgres:///app"}"#).unwrap();
/// assert_eq!(options.pool_size, 4);
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientOptions {
    /// Where the database is: `postgres://user:password@host:port/name`.
    pub url: DatabaseUrl,
    /// Connections at most. Default 4.
    #[serde(default = "four")]
    pub pool_size: u32,
    /// Milliseconds to wait for a connection. Default 3,000.
    #[serde(default = "three_seconds")]
    pub connect_timeout_ms: u32,
    /// Largest context of a task, in bytes of JSON, 1 KiB to 64 MiB. Default 1 MiB.
    #[serde(default = "one_mib")]
    pub max_context_bytes: u32,
    /// Keys that contexts are encrypted with, and results decrypted. Default none.
    #[serde(default)]
    pub encryption_keys: Keyring,
    /// What operators ask of tasks is decided and written, and taken back: who asks learns whether it would be refused.
    /// Default false.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a worker serves and how it keeps time.
///
/// # Examples
/// ```
/// use tasker_core::WorkerOptions;
/// let options = WorkerOptions::from_json(r#"{"url": "postgres:///app", "concurrency": 10}"#).unwrap();
/// assert_eq!(options.dead_after_ms, 6_000);
/// assert!(WorkerOptions::from_json(r#"{"url": "postgres:///app", "concurrency": 0}"#).is_err());
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerOptions {
    /// Where the database is: `postgres://user:password@host:port/name`.
    pub url: DatabaseUrl,
    /// Milliseconds to wait for a connection. Default 3,000.
    #[serde(default = "three_seconds")]
    pub connect_timeout_ms: u32,
    /// The queues it serves; all of them when absent.
    #[serde(default)]
    pub queues: Option<Vec<String>>,
    /// Handlers at the same time, 1 to 1,000. Default 5.
    #[serde(default = "five")]
    pub concurrency: u32,
    /// Milliseconds between heartbeats while it holds claims and shortly after; workers that hold none
    /// take turns, one in 1.1 s. Default 2,000.
    #[serde(default = "two_seconds")]
    pub heartbeat_interval_ms: u32,
    /// Milliseconds without a heartbeat after which others take its claims; at least twice the
    /// interval. Default 6,000.
    #[serde(default = "six_seconds")]
    pub dead_after_ms: u32,
    /// Milliseconds after which tasks that are complete, cancelled or resolved are deleted with their history;
    /// `None` keeps them. Default 14 days.
    #[serde(default = "fourteen_days")]
    pub retention_ms: Option<u64>,
    /// The same for tasks in error. Default 90 days.
    #[serde(default = "ninety_days")]
    pub error_retention_ms: Option<u64>,
    /// Events recorded for subscribers from the start: bit n stands for the n-th of [`Event::names`]. Default 0.
    ///
    /// [`Event::names`]: crate::Event::names
    #[serde(default)]
    pub record_events: u64,
    /// Largest results of a step, in bytes of JSON, 1 KiB to 64 MiB. Default 1 MiB.
    #[serde(default = "one_mib")]
    pub max_results_bytes: u32,
    /// Keys that results and failures are encrypted with, and contexts decrypted. Default none.
    #[serde(default)]
    pub encryption_keys: Keyring,
}

/// Longest message of a reader, in characters.
const LONGEST_MESSAGE: usize = 200;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Milliseconds of 100 years.
const MOST_KEPT_MS: u64 = 36_500 * DAY_MS;

/// Most queues that a worker names.
const MOST_QUEUES: usize = 1_000;

fn four() -> u32 {
    4
}

fn five() -> u32 {
    5
}

fn two_seconds() -> u32 {
    2_000
}

fn three_seconds() -> u32 {
    3_000
}

fn six_seconds() -> u32 {
    6_000
}

fn one_mib() -> u32 {
    1 << 20
}

impl ClientOptions {
    /// Reads options from JSON.
    ///
    /// # Errors
    /// [`Error::Configuration`] for an unknown key, a wrong type or a value out of range.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let options: Self = parse(json)?;
        in_range("pool_size", options.pool_size, 1, 100)?;
        in_range("connect_timeout_ms", options.connect_timeout_ms, 1, 600_000)?;
        in_range("max_context_bytes", options.max_context_bytes, 1 << 10, 64 << 20)?;
        Ok(options)
    }

    pub(crate) fn context_limits(&self) -> JsonLimits {
        JsonLimits { max_bytes: self.max_context_bytes as usize, ..JsonLimits::CONTEXT }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.into())
    }
}

impl WorkerOptions {
    /// Reads options from JSON.
    ///
    /// # Errors
    /// [`Error::Configuration`] for an unknown key, a wrong type or a value out of range.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let options: Self = parse(json)?;
        in_range("concurrency", options.concurrency, 1, 1_000)?;
        in_range("connect_timeout_ms", options.connect_timeout_ms, 1, 600_000)?;
        in_range("heartbeat_interval_ms", options.heartbeat_interval_ms, 10, 3_600_000)?;
        let shortest = options.heartbeat_interval_ms * 2;
        in_range("dead_after_ms", options.dead_after_ms, shortest, 86_400_000)?;
        kept("retention_ms", options.retention_ms)?;
        kept("error_retention_ms", options.error_retention_ms)?;
        in_range("max_results_bytes", options.max_results_bytes, 1 << 10, 64 << 20)?;
        options.queues.as_deref().map_or(Ok(()), check_queues)?;
        Ok(options)
    }

    pub(crate) fn results_limits(&self) -> JsonLimits {
        JsonLimits { max_bytes: self.max_results_bytes as usize, ..JsonLimits::RESULTS }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.into())
    }

    pub(crate) fn dead_after(&self) -> Duration {
        Duration::from_millis(self.dead_after_ms.into())
    }

    pub(crate) fn heartbeat_interval(&self) -> Duration {
        Duration::from_millis(self.heartbeat_interval_ms.into())
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|error| Error::Configuration {
        message: shorten(&error.to_string(), LONGEST_MESSAGE),
    })
}

fn check_queues(queues: &[String]) -> Result<(), Error> {
    if queues.is_empty() || queues.len() > MOST_QUEUES {
        let allowed = format!("1 to {MOST_QUEUES} queues, or none given for all");
        return Err(refused("queues", &format!("a list of {}", queues.len()), &allowed));
    }
    let fits =
        |queue: &&String| (1..=LONGEST_QUEUE).contains(&queue.len()) && !queue.contains('\0');
    match queues.iter().find(|queue| !fits(queue)) {
        None => Ok(()),
        Some(queue) => {
            let allowed = format!("names of 1 to {LONGEST_QUEUE} bytes without U+0000");
            Err(refused("queues", &format!("{:?}", shorten(queue, LONGEST_QUEUE)), &allowed))
        }
    }
}

fn in_range(key: &str, value: u32, least: u32, most: u32) -> Result<(), Error> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(refused(key, &value.to_string(), &format!("{least} to {most}")))
}

fn kept(key: &str, value: Option<u64>) -> Result<(), Error> {
    match value {
        Some(ms) if ms > MOST_KEPT_MS => {
            Err(refused(key, &ms.to_string(), &format!("0 to {MOST_KEPT_MS}, or null for ever")))
        }
        Some(_) | None => Ok(()),
    }
}

fn refused(key: &str, value: &str, allowed: &str) -> Error {
    Error::Configuration { message: format!("{key} is {value}; allowed: {allowed}") }
}

#[expect(clippy::unnecessary_wraps, reason = "null in the options stands for ever")]
fn fourteen_days() -> Option<u64> {
    Some(14 * DAY_MS)
}

#[expect(clippy::unnecessary_wraps, reason = "null in the options stands for ever")]
fn ninety_days() -> Option<u64> {
    Some(90 * DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_not_dead_before_it_missed_two_heartbeats() {
        let json = r#"{"url": "x", "heartbeat_interval_ms": 1000, "dead_after_ms": 1500}"#;
        let error = WorkerOptions::from_json(json).unwrap_err().to_string();
        assert_eq!(error, "dead_after_ms is 1500; allowed: 2000 to 86400000");
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = ClientOptions::from_json(r#"{"url": "x", "pool": 3}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `pool`"), "{error}");
    }

    #[test]
    fn a_worker_without_queues_serves_all_and_with_none_is_refused() {
        assert!(WorkerOptions::from_json(r#"{"url": "x"}"#).unwrap().queues.is_none());
        assert!(WorkerOptions::from_json(r#"{"url": "x", "queues": []}"#).is_err());
    }

    #[test]
    fn tasks_are_kept_for_some_time_unless_they_are_kept_for_ever() {
        let retention = |json: &str| {
            let options = WorkerOptions::from_json(json).unwrap();
            (options.retention_ms, options.error_retention_ms)
        };
        assert_eq!(retention(r#"{"url": "x"}"#), (Some(1_209_600_000), Some(7_776_000_000)));
        let json = r#"{"url": "x", "retention_ms": 5, "error_retention_ms": null}"#;
        assert_eq!(retention(json), (Some(5), None));
    }
}
