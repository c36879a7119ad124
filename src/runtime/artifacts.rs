//! What handlers attach to attempts: kept here until the attempt ends, written with its end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::arguments::{at_most, parse, refused};
use super::reports::{raw, time};
use crate::decision::ClaimEnd;
use crate::encryption::{Content, Unreadable};
use crate::error::Error;
use crate::ids::StepId;
use crate::json::{self, JsonLimits};
use crate::store::{ArtifactRow, NewArtifact};

/// Artifacts of one attempt at most.
const MOST: usize = 100;

/// Longest name and media type in bytes, as the schema has them.
const LONGEST_NAME: usize = 128;

/// Longest URI in bytes, as the schema has it.
const LONGEST_URI: usize = 2_048;

/// Names that begin so are the engine's own.
const OWN_NAMES: &str = "tasker.";

/// The results of a step that was executed anew afterwards, before their number.
const EARLIER_RESULTS: &str = "tasker.results.";

/// An artifact as a handler gives it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given<'a> {
    name: String,
    media_type: String,
    #[serde(borrow, default, deserialize_with = "there")]
    json: Option<&'a RawValue>,
    #[serde(default)]
    uri: Option<String>,
}

/// A value that is there, also if it is `null`.
fn there<'de: 'a, 'a, D: Deserializer<'de>>(value: D) -> Result<Option<&'a RawValue>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

impl Given<'_> {
    fn read(
        step: StepId,
        attempt: u32,
        text: &str,
        limits: JsonLimits,
    ) -> Result<NewArtifact, Error> {
        let Given { name, media_type, json, uri } = parse::<Given<'_>>("artifact", text)?;
        for (argument, text, most) in [
            ("name", Some(&name), LONGEST_NAME),
            ("media_type", Some(&media_type), LONGEST_NAME),
            ("uri", uri.as_ref(), LONGEST_URI),
        ] {
            at_most(argument, text.map(String::as_str), most)?;
            if text.is_some_and(String::is_empty) {
                return Err(refused(argument, "\"\"", "text that is not empty"));
            }
        }
        if name.starts_with(OWN_NAMES) {
            let allowed = format!("a name that does not begin with {OWN_NAMES:?}");
            return Err(refused("name", &format!("{name:?}"), &allowed));
        }
        if json.is_some() == uri.is_some() {
            return Err(refused("artifact", &format!("{name:?}"), "either json or a uri"));
        }
        let content = json.map(|json| json.get().to_owned());
        if let Some(content) = &content {
            json::check(content, limits)
                .map_err(|source| Error::Json { what: format!("artifact {name:?}"), source })?;
        }
        Ok(NewArtifact { step, attempt, name, media_type, content, uri })
    }
}

/// The artifacts of attempts that have not ended.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// Attempts with artifacts: where there are none, an end costs a look at it.
    attempts: AtomicUsize,
    by_attempt: Mutex<HashMap<(StepId, u32), Vec<NewArtifact>>>,
}

impl Attached {
    fn lock(&self) -> MutexGuard<'_, HashMap<(StepId, u32), Vec<NewArtifact>>> {
        self.by_attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops those of an attempt that others have ended.
    pub(super) fn drop_those_of(&self, step: StepId, attempt: u32) {
        if self.attempts.load(Ordering::Acquire) > 0 {
            let mut by_attempt = self.lock();
            by_attempt.remove(&(step, attempt));
            self.attempts.store(by_attempt.len(), Ordering::Release);
        }
    }

    /// Keeps an artifact, in the place of one with this name.
    pub(super) fn add(
        &self,
        step: StepId,
        attempt: u32,
        given: &str,
        limits: JsonLimits,
    ) -> Result<(), Error> {
        let artifact = Given::read(step, attempt, given, limits)?;
        let mut by_attempt = self.lock();
        let kept = by_attempt.entry((step, attempt)).or_default();
        kept.retain(|one| one.name != artifact.name);
        if kept.len() >= MOST {
            let allowed = format!("{MOST} artifacts an attempt");
            return Err(refused("artifact", &format!("{:?}", artifact.name), &allowed));
        }
        kept.push(artifact);
        self.attempts.store(by_attempt.len(), Ordering::Release);
        Ok(())
    }

    /// The artifacts of attempts that end.
    pub(super) fn of(&self, ends: &[ClaimEnd]) -> Vec<NewArtifact> {
        if self.attempts.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let by_attempt = self.lock();
        let kept = |end: &ClaimEnd| by_attempt.get(&(end.claim.step, end.claim.attempt));
        ends.iter().filter_map(kept).flatten().cloned().collect()
    }

    /// The ends of these attempts are in the database.
    pub(super) fn forget<'a>(&self, ends: impl Iterator<Item = &'a ClaimEnd>) {
        if self.attempts.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut by_attempt = self.lock();
        for end in ends {
            by_attempt.remove(&(end.claim.step, end.claim.attempt));
        }
        self.attempts.store(by_attempt.len(), Ordering::Release);
    }
}

/// What a handler attached to an attempt.
#[derive(Clone, Debug, Serialize)]
pub struct Artifact {
    /// The step.
    pub step_id: StepId,
    /// Its name.
    pub step_name: Option<String>,
    /// The number of the attempt, from 1; 0 for results that an operator gave before the first.
    pub attempt: i32,
    /// The artifact's name.
    pub name: String,
    /// What it is.
    pub media_type: String,
    /// Its content, where it is kept here.
    pub json: Option<Box<RawValue>>,
    /// Where it lies otherwise.
    pub uri: Option<String>,
    /// When the attempt ended, or its results were replaced.
    #[serde(serialize_with = "time")]
    pub at: DateTime<Utc>,
}

impl Artifact {
    pub(super) fn new(
        row: ArtifactRow,
        step_name: Option<String>,
        open: impl Fn(Content, String) -> Result<String, Unreadable>,
    ) -> Result<Self, Error> {
        let step_id = StepId(row.workflow_step_id);
        let unreadable = |source| Error::Decryption {
            what: format!("the artifact {:?} of step {step_id}", row.name),
            source,
        };
        let kind = if row.name.starts_with(EARLIER_RESULTS) {
            Content::Results
        } else {
            Content::Artifact
        };
        let content = row.content.map(|text| open(kind, text)).transpose().map_err(unreadable)?;
        Ok(Self {
            step_id,
            step_name,
            attempt: row.attempt,
            name: row.name.clone(),
            media_type: row.media_type,
            json: content.and_then(raw),
            uri: row.uri,
            at: row.created_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const STEP: StepId = StepId(1 << 20);

    fn refusal(attached: &Attached, artifact: &Value) -> Option<String> {
        let added = attached.add(STEP, 1, &artifact.to_string(), JsonLimits::RESULTS);
        added.err().map(|error| error.to_string())
    }

    fn with(key: &str, value: Value) -> Value {
        let mut artifact = json!({ "name": "a", "media_type": "text/plain", "uri": "s3://a" });
        artifact[key] = value;
        artifact
    }

    #[test]
    fn texts_are_as_long_as_they_may_be() {
        for (key, bytes) in [("name", 128), ("media_type", 128), ("uri", 2_048)] {
            let given = |bytes: usize| with(key, "x".repeat(bytes).into());
            assert_eq!(refusal(&Attached::default(), &given(bytes)), None, "{key}");
            let error = refusal(&Attached::default(), &given(bytes + 1)).unwrap();
            assert!(error.starts_with(key) && error.contains(&bytes.to_string()), "{error}");
        }
    }

    #[test]
    fn content_is_as_large_as_results() {
        let given = |bytes: usize| {
            let content = "x".repeat(bytes - r#""""#.len());
            json!({ "name": "a", "media_type": "application/json", "json": content })
        };
        assert_eq!(refusal(&Attached::default(), &given(1 << 20)), None);
        let error = refusal(&Attached::default(), &given((1 << 20) + 1)).unwrap();
        assert!(error.contains("artifact \"a\"") && error.contains("1048577 bytes"), "{error}");
    }

    #[test]
    fn an_attempt_has_100_artifacts_and_one_takes_the_place_of_that_of_its_name() {
        let attached = Attached::default();
        let named = |number: usize| with("name", number.to_string().into());
        for number in 0..MOST {
            assert_eq!(refusal(&attached, &named(number)), None);
        }
        let error = "artifact is \"100\"; allowed: 100 artifacts an attempt";
        assert_eq!(refusal(&attached, &named(MOST)).as_deref(), Some(error));
        assert_eq!(refusal(&attached, &named(7)), None);
        assert_eq!(attached.lock()[&(STEP, 1)].len(), MOST);
    }
}
