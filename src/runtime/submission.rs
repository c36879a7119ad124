//! From a request to rows: the whole request is accepted or refused before anything is written.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::arguments::{at_most, at_most_so_many, not_empty, parse, refused, tags_a_task_can_have};
use super::current_attributes;
use super::templates::Stored;
use crate::budget::{Cost, Limits};
use crate::decide::initial_state;
use crate::error::Error;
use crate::guard::{Guard, removed};
use crate::identity::Identity;
use crate::ids::{StepId, TaskId};
use crate::json::JsonLimits;
use crate::state::{StepState, TaskState};
use crate::store::{NewTasks, StepTime, StoreError, TaskWriter};
use crate::template::{
    COMPENSATION_SUFFIX, LONGEST_DEADLINE, LONGEST_NAMESPACE, LONGEST_TASK_NAME, LONGEST_VERSION,
    StepTemplate,
};

/// Rows of steps and edges written by one statement: beyond some ten thousand it gets no cheaper a
/// row, and its arrays no smaller.
const ROWS_PER_STATEMENT: usize = 20_000;

/// Bytes of contexts written by one statement.
const BYTES_PER_STATEMENT: usize = 16 << 20;

/// Most tasks of one request, which are written by one transaction.
const MOST_CONTEXTS: usize = 100_000;

/// Longest idempotency key, in bytes.
pub(super) const LONGEST_KEY: usize = 256;

/// Longest time for which an identity counts, in seconds: 100 years.
const LONGEST_UNIQUE: f64 = 100.0 * 365.0 * 86_400.0;

/// The priorities that there are.
const PRIORITIES: &str = "a whole number from -32768 to 32767";

/// What is allowed where there is no identity to which an option could belong.
const WITH_IDENTITY: &str = "only with idempotency_key or unique";

/// What becomes of a request whose task there is already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// It is answered with that task.
    #[default]
    Return,
    /// It is refused with [`Error::DuplicateTask`].
    Raise,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Submitted {
    /// The tasks, in the order of the contexts.
    pub task_ids: Vec<TaskId>,
    /// The task was there already; this request has written nothing.
    pub existing: bool,
}

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
#[derive(Clone, Debug, Deserialize)]
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
    /// A key by which the task is found when it is submitted again, 1 to 256 bytes: there is one task for it among those of
    /// all versions of the template.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// The same by the context: there is one task for it among those of this version of the template.
    #[serde(default)]
    pub unique: bool,
    /// For how long after the first submit another one counts as the same, in seconds, up to 100 years. Default: for as
    /// long as there is the task.
    #[serde(default)]
    pub unique_for_s: Option<f64>,
    /// What becomes of another submit. Default: it returns the task.
    #[serde(default)]
    pub on_duplicate: Option<OnDuplicate>,
    /// By when after this submit the tasks have to have ended, in seconds, at most 366 days. Default: the template's
    /// `deadline_seconds`.
    #[serde(default)]
    pub deadline_s: Option<f64>,
    /// What each of the tasks may use up; where it says nothing, as the template's `budget`.
    #[serde(default)]
    pub budget: BudgetRequest,
    /// Tasks with a lower one are claimed first: -32,768 to 32,767. Default: the template's `priority`.
    #[serde(default)]
    pub priority: Option<i64>,
    /// By what the tasks are found that a signal is sent to, 1 to 256 bytes: several tasks may have the same.
    #[serde(default)]
    pub correlation_key: Option<String>,
    /// What the application has at hand and its steps are to have at hand: an object of at most 16 KiB, the same for all
    /// tasks.
    #[serde(default)]
    pub current_attributes: Option<Box<RawValue>>,
    /// One JSON object for each task, at most 100,000.
    pub contexts: Vec<Box<RawValue>>,
    /// The step that runs the tasks.
    #[serde(skip)]
    parent_step: Option<StepId>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// A budget as it is asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetRequest {
    /// Attempts of all steps of the task, at least 1.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// What its attempts spend together: 0, or 0.000001 to 1,000,000,000.
    #[serde(default)]
    pub cost: Option<f64>,
}

impl BudgetRequest {
    /// Reads one from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown keys.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        parse("budget", json)
    }

    /// The limits.
    ///
    /// # Errors
    /// [`Error::Argument`] for numbers that are not allowed.
    pub fn limits(&self) -> Result<Limits, Error> {
        let attempts = self.attempts.map(|most| match NonZeroU32::new(most) {
            Some(most) if i32::try_from(most.get()).is_ok() => Ok(most),
            Some(_) | None => Err(refused("budget.attempts", &most.to_string(), "1 to 2147483647")),
        });
        let cost = self.cost.map(|most| {
            Cost::from_number(most)
                .ok_or_else(|| refused("budget.cost", &most.to_string(), Cost::ALLOWED))
        });
        Ok(Limits { attempts: attempts.transpose()?, cost: cost.transpose()? })
    }
}

/// The time that all attempts of the steps together may take with which a task begins.
fn first_times(stored: &Stored, task: TaskId) -> impl Iterator<Item = StepTime> {
    let steps = if stored.total_timeouts { stored.template.steps() } else { &[] };
    // The time of a map step is that of each of its items.
    let begins = |step: &StepTemplate| {
        step.depends_on_steps.is_empty() && !step.dynamic && step.map.is_none()
    };
    (0..).zip(steps).filter(move |(_, step)| begins(step)).filter_map(move |(index, step)| {
        let seconds = (step.total_timeout? + step.delay.unwrap_or_default()).as_secs_f64();
        Some(StepTime { step: task.step(index), seconds, from: None })
    })
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

    /// A request of the engine itself, for one task.
    pub(super) fn internal(
        stored: &Stored,
        context: &str,
        initiator: String,
        reason: String,
        parent_step: Option<StepId>,
    ) -> Result<Self, Error> {
        let template = &stored.template;
        Ok(Self {
            namespace: template.namespace().to_owned(),
            name: template.name().to_owned(),
            version: Some(template.version().to_owned()),
            initiator: Some(initiator),
            source_system: None,
            reason: Some(reason),
            tags: Vec::new(),
            idempotency_key: None,
            unique: false,
            unique_for_s: None,
            on_duplicate: None,
            deadline_s: None,
            budget: BudgetRequest::default(),
            priority: None,
            correlation_key: None,
            current_attributes: None,
            contexts: vec![parse::<&RawValue>("context", context)?.to_owned()],
            parent_step,
        })
    }

    fn check(&self) -> Result<(), Error> {
        at_most("namespace", Some(&self.namespace), LONGEST_NAMESPACE)?;
        at_most("name", Some(&self.name), LONGEST_TASK_NAME)?;
        if self.name.ends_with(COMPENSATION_SUFFIX) {
            let allowed = format!(
                "a name that does not end with {COMPENSATION_SUFFIX:?}: those tasks the engine makes"
            );
            return Err(refused("name", &format!("{:?}", self.name), &allowed));
        }
        at_most("version", self.version.as_deref(), LONGEST_VERSION)?;
        at_most("initiator", self.initiator.as_deref(), 128)?;
        at_most("source_system", self.source_system.as_deref(), 128)?;
        at_most("reason", self.reason.as_deref(), 1_024)?;
        tags_a_task_can_have(&self.tags)?;
        at_most_so_many("contexts", self.contexts.len(), MOST_CONTEXTS)?;
        if self.contexts.is_empty() {
            return Err(refused("contexts", "[]", "one object for each task"));
        }
        if let Some(seconds) = self.deadline_s
            && !(seconds > 0.0 && seconds <= LONGEST_DEADLINE)
        {
            let allowed = format!("more than 0 and at most {LONGEST_DEADLINE} seconds (366 days)");
            return Err(refused("deadline_s", &seconds.to_string(), &allowed));
        }
        self.budget.limits()?;
        if let Some(priority) = self.priority.filter(|given| i16::try_from(*given).is_err()) {
            return Err(refused("priority", &priority.to_string(), PRIORITIES));
        }
        if let Some(key) = &self.correlation_key {
            not_empty("correlation_key", key, LONGEST_KEY)?;
        }
        self.current_attributes.as_deref().map_or(Ok(()), current_attributes::check)?;
        self.contexts.iter().try_for_each(|context| current_attributes::refuse_in(context))?;
        self.check_identity()
    }

    fn check_identity(&self) -> Result<(), Error> {
        at_most("idempotency_key", self.idempotency_key.as_deref(), LONGEST_KEY)?;
        if self.idempotency_key.as_deref() == Some("") {
            return Err(refused("idempotency_key", "\"\"", "1 to 256 bytes"));
        }
        if self.idempotency_key.is_some() && self.unique {
            return Err(refused("unique", "true", "only without idempotency_key"));
        }
        if let Some(seconds) = self.unique_for_s
            && !(seconds > 0.0 && seconds <= LONGEST_UNIQUE)
        {
            let allowed = format!("more than 0 and at most {LONGEST_UNIQUE} seconds");
            return Err(refused("unique_for_s", &seconds.to_string(), &allowed));
        }
        match (self.is_identified(), self.unique_for_s, self.on_duplicate) {
            (true, ..) if self.contexts.len() > 1 => {
                let contexts = format!("a list of {}", self.contexts.len());
                let allowed = "one, with idempotency_key or unique; submit each task by itself";
                Err(refused("contexts", &contexts, allowed))
            }
            (false, Some(seconds), _) => {
                Err(refused("unique_for_s", &seconds.to_string(), WITH_IDENTITY))
            }
            (false, None, Some(given)) => {
                let given = format!("{given:?}").to_lowercase();
                Err(refused("on_duplicate", &given, WITH_IDENTITY))
            }
            (true, ..) | (false, None, None) => Ok(()),
        }
    }

    /// Whether it asks for a task that may be there already.
    pub(super) fn is_identified(&self) -> bool {
        self.idempotency_key.is_some() || self.unique
    }

    fn identity(&self, stored: &Stored) -> Option<Identity> {
        let template = &stored.template;
        let (namespace, name) = (template.namespace(), template.name());
        if let Some(key) = &self.idempotency_key {
            return Some(Identity::of_key(namespace, name, key));
        }
        let context = self.contexts.first().filter(|_| self.unique)?;
        Some(Identity::of_context(namespace, name, template.version(), context))
    }

    /// The template as the caller named it.
    pub(super) fn wanted(&self) -> String {
        wanted(&self.namespace, &self.name, self.version.as_deref())
    }

    /// Whether the template is the one that the request names.
    pub(super) fn is_for(&self, stored: &Stored) -> bool {
        let template = &stored.template;
        let is_version = |wanted: &String| wanted == template.version();
        (template.namespace(), template.name()) == (self.namespace.as_str(), self.name.as_str())
            && self.version.as_ref().is_none_or(is_version)
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

    /// Writes the tasks, unless the one that is asked for is there; the caller commits. `made` are tasks of earlier tries
    /// whose commits were not answered, and gets this one's.
    pub(crate) async fn write(
        &self,
        tx: &mut impl TaskWriter,
        stored: &Stored,
        made: &mut Vec<TaskId>,
    ) -> Result<Submitted, Error> {
        let Some(identity) = self.identity(stored) else {
            return Ok(Submitted { task_ids: self.create(tx, stored).await?, existing: false });
        };
        if let Some((task, state)) = tx.find_identity(&identity).await? {
            return self.found(task, state, made.contains(&task));
        }
        let task_ids = self.create(tx, stored).await?;
        let lasts = self.unique_for_s.filter(|_| !removed(Guard::WindowsEnd));
        for task in &task_ids {
            let recorded = tx.record_identity(&identity, *task, lasts).await?;
            if !recorded && !removed(Guard::UniqueIdentity) {
                return Err(StoreError::Conflict { expected: 1, written: 0 }.into());
            }
        }
        made.extend(&task_ids);
        Ok(Submitted { task_ids, existing: false })
    }

    fn found(&self, task: TaskId, state: TaskState, is_own: bool) -> Result<Submitted, Error> {
        if !is_own && self.on_duplicate == Some(OnDuplicate::Raise) {
            return Err(Error::DuplicateTask { key: self.idempotency_key.clone(), task, state });
        }
        Ok(Submitted { task_ids: vec![task], existing: !is_own })
    }

    /// Seconds from the submit on.
    fn deadline(&self, stored: &Stored) -> Option<f64> {
        self.deadline_s.or_else(|| Some(stored.template.deadline()?.as_secs_f64()))
    }

    fn priority(&self, stored: &Stored) -> i16 {
        let given = self.priority.and_then(|given| i16::try_from(given).ok());
        given.unwrap_or_else(|| stored.template.priority())
    }

    fn limits(&self, stored: &Stored) -> Result<Limits, Error> {
        Ok(self.budget.limits()?.or(stored.template.budget()))
    }

    pub(super) async fn create(
        &self,
        tx: &mut impl TaskWriter,
        stored: &Stored,
    ) -> Result<Vec<TaskId>, Error> {
        let tags = serde_json::to_string(&self.tags).ok().filter(|_| !self.tags.is_empty());
        let rows = self.rows(stored, tags.as_deref());
        let mut ids = Vec::with_capacity(self.contexts.len());
        for contexts in self.chunks(stored) {
            ids.extend(tx.create_tasks(&rows, &contexts).await?);
        }
        if rows.has_budget {
            tx.record_budgets(&ids, self.limits(stored)?).await?;
        }
        if let Some(seconds) = self.deadline(stored) {
            tx.record_deadlines(&ids, seconds).await?;
        }
        let times: Vec<_> = ids.iter().flat_map(|task| first_times(stored, *task)).collect();
        if !times.is_empty() {
            tx.record_step_deadlines(&times).await?;
        }
        if let Some(key) = &self.correlation_key {
            tx.correlate_tasks(&ids, key).await?;
        }
        let mut queues = rows.ready_queues;
        queues.sort_unstable();
        queues.dedup();
        tx.call_workers(&queues).await?;
        Ok(ids)
    }

    fn kept(&self, context: &RawValue) -> String {
        match &self.current_attributes {
            Some(attributes) => current_attributes::together(context.get(), attributes),
            None => context.get().to_owned(),
        }
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
                let context = self.kept(context);
                bytes += context.len();
                chunk.push(context);
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
            parent_step: self.parent_step,
            has_budget: self.limits(stored).is_ok_and(|limits| !limits.is_empty()),
            has_deadline: self.deadline(stored).is_some(),
            priority: self.priority(stored),
            ..NewTasks::default()
        };
        let graph = stored.template.graph();
        let steps = stored.template.steps().iter().zip(&stored.named_step_ids);
        for (index, (step, named)) in (0u32..).zip(steps).filter(|(_, (step, _))| !step.dynamic) {
            rows.named_step_ids.push(*named);
            let parents = graph.in_degree(index);
            let state = initial_state(parents);
            rows.step_indexes.push(index.cast_signed());
            rows.open_parents.push(parents.cast_signed());
            rows.states.push(state);
            if state == StepState::Enqueued {
                rows.ready_indexes.push(index.cast_signed());
                rows.ready_queues.push(step.queue.clone());
                rows.ready_delays_s.push(step.delay.unwrap_or_default().as_secs_f64());
            }
        }
        if rows.ready_delays_s.iter().all(|delay| *delay == 0.0) {
            rows.ready_delays_s.clear();
        }
        let edges = graph.edges().map(|(from, to)| (from.cast_signed(), to.cast_signed()));
        (rows.edges_from, rows.edges_to) = edges.unzip();
        rows
    }
}

/// A template in words.
pub(super) fn wanted(namespace: &str, name: &str, version: Option<&str>) -> String {
    let version = version.map(|version| format!(" version {version}")).unwrap_or_default();
    format!("{namespace}/{name}{version}")
}
