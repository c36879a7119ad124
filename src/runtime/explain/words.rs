//! Words for times, states and lists of names, and for who asked for something.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use super::Facts;
use crate::state::StepState;

/// Parents named for one step at most.
pub(super) const MOST_PARENTS: usize = 5;

impl Facts<'_> {
    pub(super) fn ago(&self, at: DateTime<Utc>) -> String {
        let seconds = (self.now - at).as_seconds_f64();
        format!("{} ({} ago)", clock(at), human(seconds.max(0.0)))
    }

    pub(super) fn ahead(&self, at: DateTime<Utc>) -> String {
        let seconds = (at - self.now).as_seconds_f64();
        if seconds <= 0.0 {
            format!("now (it was due at {})", clock(at))
        } else {
            format!("at {} (in {})", clock(at), human(seconds))
        }
    }

    pub(super) fn when(&self, at: DateTime<Utc>) -> String {
        let seconds = (at - self.now).as_seconds_f64();
        if seconds <= 0.0 {
            format!("{}, which is over: a worker may claim it", clock(at))
        } else {
            format!("{} (in {})", clock(at), human(seconds))
        }
    }

    pub(super) fn when_over(&self, at: DateTime<Utc>) -> String {
        let seconds = (at - self.now).as_seconds_f64();
        if seconds <= 0.0 {
            format!("{}, which is over: a worker will end it", clock(at))
        } else {
            format!("{} (in {})", clock(at), human(seconds))
        }
    }
}

pub(super) fn clock(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) fn human(seconds: f64) -> String {
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

/// So many of something.
pub(super) fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// The same as a further part of a sentence, if there are any.
pub(super) fn counted_if(count: u64, one: &str, more: &str) -> String {
    if count == 0 { String::new() } else { format!(", {}", counted(count, one, more)) }
}

pub(super) fn words(state: StepState) -> String {
    state.as_str().replace('_', " ")
}

/// The first of these names.
pub(super) fn shown(names: &[String]) -> String {
    let more = names.len().saturating_sub(MOST_PARENTS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.iter().take(MOST_PARENTS).map(String::as_str).collect::<Vec<_>>().join(", ") + &more
}

/// Who asked for a change, and why.
pub(super) fn asked_by(detail: Option<&str>) -> String {
    let detail = parsed(detail);
    let actor = detail["actor"].as_str().unwrap_or("an operator");
    let reason = detail["reason"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
    format!("{actor}{reason}")
}

pub(super) fn parsed(detail: Option<&str>) -> Value {
    detail.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}
