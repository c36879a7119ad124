//! From a request to rows: the whole request is accepted or refused before anything is written.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::arguments::{at_most, at_most_so_many, parse, refused};
use super::templates::Stored;
use crate::decide::initial_state;
use crate::error::Error;
use crate::ids::TaskId;
use crate::json::JsonLimits;
use crate::state::StepState;
use crate::store::{NewTasks, Transaction};
use crate::template::{LONGEST_NAMESPACE, LONGEST_TASK_NAME, LONGEST_VERSION};

/// Rows of steps and edges written by one statement: beyond some ten thousand it gets no cheaper a
/// row, and its arrays no smaller.
const ROWS_PER_STATEMENT: usize = 20_000;

/// Bytes of contexts written by one statement.
const BYTES_PER_STATEMENT: usize = 16 << 20;

/// Most tasks of one request, which are written by one transaction.
const MOST_CONTEXTS: usize = 100_000;

/// Most tags of a task.
const MOST_TAGS: usize = 64;

/// A request for one task, or many, of one template.
///
/// # Examples
/// ```
/// use tasker_core::Submission;
/// let json = r#"{"name": "ship", "contexts": [{"order_id": 7}, {"order_id": 8}]}"#;
/// let submission = Submission::from_json(json).unwrap();
/// assert_eq!((submission.namespace.as_str(), submission.contexts.len()), ("default", 2));
/// assert!(Submission::from_json(r#"{"name": "ship", "contexts": []}"#).is_err());
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The template's namespace. Default `default`.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// The template's name.
    pub name: String,
    /// The template's version; the highest one when absent.
    #[serde(default)]
    pub version: Option<String>,
    /// Who asks, at most 128 bytes.
    #[serde(default)]
    pub initiator: Option<String>,
    /// From where, at most 128 bytes.
    #[serde(default)]
    pub source_system: Option<String>,
    /// Why, at most 1,024 bytes.
    #[serde(default)]
    pub reason: Option<String>,
    /// Words to find the tasks by, at most 64 of at most 128 bytes.
    #[serde(default)]
    pub tags: Vec<String>,
    /// One JSON object for each task, at most 100,000.
    pub contexts: Vec<Box<RawValue>>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

impl Submission {
    /// Reads a request from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown keys, wrong types, texts that are too long or hold U+0000, lists that are
    /// too long, and a request without contexts.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let submission: Self = parse("submission", json)?;
        submission.check()?;
        Ok(submission)
    }

    fn check(&self) -> Result<(), Error> {
        at_most("namespace", Some(&self.namespace), LONGEST_NAMESPACE)?;
        at_most("name", Some(&self.name), LONGEST_TASK_NAME)?;
        at_most("version", self.version.as_deref(), LONGEST_VERSION)?;
        at_most("initiator", self.initiator.as_deref(), 128)?;
        at_most("source_system", self.source_system.as_deref(), 128)?;
        at_most("reason", self.reason.as_deref(), 1_024)?;
        at_most_so_many("tags", self.tags.len(), MOST_TAGS)?;
        for tag in &self.tags {
            at_most("tags", Some(tag), 128)?;
        }
        at_most_so_many("contexts", self.contexts.len(), MOST_CONTEXTS)?;
        if self.contexts.is_empty() {
            return Err(refused("contexts", "[]", "one object for each task"));
        }
        Ok(())
    }

    /// The template as the caller named it.
    pub(super) fn wanted(&self) -> String {
        let version = self.version.as_deref().map(|v| format!(" version {v}")).unwrap_or_default();
        format!("{}/{}{version}", self.namespace, self.name)
    }

    /// Checks every context against the template.
    pub(super) fn validate(&self, stored: &Stored, limits: JsonLimits) -> Result<(), Error> {
        for (index, context) in self.contexts.iter().enumerate() {
            let index = (self.contexts.len() > 1).then_some(index);
            stored
                .template
                .validate_context_within(limits, context.get())
                .map_err(|source| Error::Context { index, source })?;
        }
        Ok(())
    }

    /// Writes the tasks; the caller commits.
    pub(crate) async fn write(
        &self,
        tx: &mut impl Transaction,
        stored: &Stored,
    ) -> Result<Vec<TaskId>, Error> {
        let tags = serde_json::to_string(&self.tags).ok().filter(|_| !self.tags.is_empty());
        let rows = self.rows(stored, tags.as_deref());
        let mut ids = Vec::with_capacity(self.contexts.len());
        for contexts in self.chunks(stored) {
            ids.extend(tx.create_tasks(&rows, &contexts).await?);
        }
        let mut queues = rows.ready_queues;
        queues.sort_unstable();
        queues.dedup();
        tx.call_workers(&queues).await?;
        Ok(ids)
    }

    fn chunks<'a>(&'a self, stored: &Stored) -> impl Iterator<Item = Vec<String>> + 'a {
        let graph = stored.template.graph();
        let rows = graph.len() + graph.edge_count();
        let mut left = self.contexts.iter().peekable();
        std::iter::from_fn(move || {
            let mut chunk = Vec::new();
            let mut bytes = 0;
            while let Some(context) = left.next_if(|_| {
                chunk.is_empty()
                    || ((chunk.len() + 1) * rows <= ROWS_PER_STATEMENT
                        && bytes < BYTES_PER_STATEMENT)
            }) {
                bytes += context.get().len();
                chunk.push(context.get().to_owned());
            }
            (!chunk.is_empty()).then_some(chunk)
        })
    }

    fn rows<'a>(&'a self, stored: &Stored, tags: Option<&'a str>) -> NewTasks<'a> {
        let mut rows = NewTasks {
            template: stored.id.0,
            initiator: self.initiator.as_deref(),
            source_system: self.source_system.as_deref(),
            reason: self.reason.as_deref(),
            tags,
            named_step_ids: stored.named_step_ids.clone(),
            ..NewTasks::default()
        };
        let graph = stored.template.graph();
        for (index, step) in (0u32..).zip(stored.template.steps()) {
            let parents = graph.in_degree(index);
            let state = initial_state(parents);
            rows.step_indexes.push(index.cast_signed());
            rows.open_parents.push(parents.cast_signed());
            rows.states.push(state);
            if state == StepState::Enqueued {
                rows.ready_indexes.push(index.cast_signed());
                rows.ready_queues.push(step.queue.clone());
            }
        }
        let edges = graph.edges().map(|(from, to)| (from.cast_signed(), to.cast_signed()));
        (rows.edges_from, rows.edges_to) = edges.unzip();
        rows
    }
}
