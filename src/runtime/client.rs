//! What applications and operators ask for: templates, tasks, their states and reasons.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use tracing::debug;

use super::arguments::{at_most, not_empty, parse, refused, tags_a_task_can_have, wanted_tags};
use super::artifacts::Artifact;
use super::comparison::{self, Comparison, LiveTasks, TemplatesToCompare};
use super::events::Events;
use super::explain::{self, Explanation};
use super::failures::{FailureFilter, FailurePage, StepFailure, StepProgress};
use super::feed::{self, FeedBatch, FeedOpened, FeedOpening, FeedReading};
use super::follow_ups::Doer;
use super::fork::{self, ForkRequest};
use super::grown::GrownTask;
use super::items::{self, Item};
use super::patience::Patience;
use super::pruner::{self, Pruned, Pruning};
use super::registration::Registration;
use super::reports::{TaskResult, TaskStatus, TemplateInfo, WorkerInfo};
use super::signals::{self, SignalRequest};
use super::steering::{Steered, Steering, refuse_changed, steer};
use super::submission::{LONGEST_KEY, Submission, Submitted, wanted};
use super::templates::{Stored, Templates};
use super::worker::no_such_step;
use crate::config::ClientOptions;
use crate::decision::{Decisions, Request};
use crate::encryption::Content;
use crate::error::Error;
use crate::ids::{SignalId, StepId, TaskId, TemplateId};
use crate::json::JsonLimits;
use crate::state::TaskState;
use crate::store::templates as rows;
use crate::store::{
    Audit, BorrowedConnection, Database, Migrated, OLD_TRANSACTION, Planning, SCHEMA_VERSION,
    Store, StoreError, TaskFilter, TaskWriter, Transaction, Tx,
};
use crate::suggest::nearest;
use crate::template::{
    LONGEST_NAMESPACE, LONGEST_TASK_NAME, LONGEST_VERSION, TaskTemplate, TemplateDiff,
};

/// Tasks in a list at most.
const LONGEST_LIST: i64 = 1_000;

/// Times that a transaction which lost a race is tried.
const TRIES: u32 = 5;

/// A connection to one database for everything but executing steps.
#[derive(Debug)]
pub struct Client {
    store: Store,
    templates: Templates,
    /// The schema was seen to be the one that this version knows.
    schema_seen: AtomicBool,
    context_limits: JsonLimits,
    patience: Patience,
    dry_run: bool,
}

/// Which tasks to list, newest first.
///
/// # Examples
/// ```
/// use tasker_core::ListFilter;
/// let filter = ListFilter::from_json(r#"{"state": "error", "limit": 5}"#).unwrap();
/// assert_eq!(filter.limit, 5);
/// assert!(ListFilter::from_json(r#"{"state": "done"}"#).is_err());
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListFilter {
    /// In this state only.
    #[serde(default)]
    pub state: Option<TaskState>,
    /// Of templates with this name only.
    #[serde(default)]
    pub name: Option<String>,
    /// Of templates of this namespace only.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Of templates of this version only.
    #[serde(default)]
    pub version: Option<String>,
    /// That have all of these tags only.
    #[serde(default)]
    pub tags: Vec<String>,
    /// That have not ended only.
    #[serde(default)]
    pub unfinished: bool,
    /// Requested before then only.
    #[serde(default)]
    pub requested_before: Option<DateTime<Utc>>,
    /// Older than this task only.
    #[serde(default)]
    pub before: Option<TaskId>,
    /// At most so many, 1 to 1,000. Default 20.
    #[serde(default = "twenty")]
    pub limit: i64,
}

fn twenty() -> i64 {
    20
}

impl ListFilter {
    /// Reads a filter from JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] for unknown keys, states and limits, and for names and tags that no template and no task can have.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let filter: Self = parse("filter", json)?;
        tags_a_task_can_have(&filter.tags)?;
        at_most("namespace", filter.namespace.as_deref(), LONGEST_NAMESPACE)?;
        at_most("name", filter.name.as_deref(), LONGEST_TASK_NAME)?;
        at_most("version", filter.version.as_deref(), LONGEST_VERSION)?;
        if (1..=LONGEST_LIST).contains(&filter.limit) {
            return Ok(filter);
        }
        Err(refused("limit", &filter.limit.to_string(), &format!("1 to {LONGEST_LIST}")))
    }
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer in time.
    pub async fn connect(options: &ClientOptions) -> Result<Self, Error> {
        let timeout = options.connect_timeout();
        let (url, keys) = (options.url.as_str(), options.encryption_keys.clone());
        let store = Store::connect(url, options.pool_size, timeout, Planning::Server, keys).await?;
        Ok(Self {
            store,
            templates: Templates::default(),
            schema_seen: AtomicBool::new(false),
            context_limits: options.context_limits(),
            dry_run: options.dry_run,
            patience: Patience::default(),
        })
    }

    /// What the database, asked for something that takes it no longer than a few statements, comes to, unless it is
    /// silent for too long.
    async fn answer<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.patience.with(&self.store, asked).await?
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// Brings the schema to `version`, up or down; to the newest one when `None`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a version that this library does not know, [`Error::SchemaMismatch`]
    /// when the database has a newer one.
    pub async fn migrate(&self, version: Option<u32>) -> Result<Migrated, Error> {
        let target = version.unwrap_or(SCHEMA_VERSION);
        if target > SCHEMA_VERSION {
            return Err(Error::Argument {
                argument: "version",
                value: target.to_string(),
                allowed: format!("0 to {SCHEMA_VERSION}"),
            });
        }
        let found = self.schema_version().await?;
        if found > SCHEMA_VERSION {
            return Err(Error::SchemaMismatch { found });
        }
        self.schema_seen.store(false, Ordering::Release);
        Ok(self.store.migrate(target).await?)
    }

    /// The version of the database's schema; 0 where there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn schema_version(&self) -> Result<u32, Error> {
        self.answer(async { Ok(self.store.schema_version().await?) }).await
    }

    async fn check_schema(&self) -> Result<(), Error> {
        if self.schema_seen.load(Ordering::Acquire) {
            return Ok(());
        }
        let found = self.schema_version().await?;
        if found != SCHEMA_VERSION {
            return Err(Error::SchemaMismatch { found });
        }
        self.schema_seen.store(true, Ordering::Release);
        Ok(())
    }

    /// Stores a version of a template, or finds it stored with the same definition, which waits for nobody. A version that
    /// no task was made from is replaced.
    ///
    /// # Errors
    /// [`Error::Template`] when it is wrong, [`Error::TemplateConflict`] when the version has tasks and
    /// another definition, [`Error::TemplateHeld`] when it may get some.
    pub async fn register_template(&self, json: &str) -> Result<TemplateId, Error> {
        let wanted = Registration::from_json(json)?;
        self.check_schema().await?;
        for _ in 0..TRIES {
            if let Some(id) = self.answer(wanted.find(&self.store)).await? {
                return Ok(id);
            }
            match self.answer(wanted.write(&self.store)).await {
                Ok(Some(id)) => return Ok(id),
                // It was replaced meanwhile.
                Ok(None) => {}
                // Perhaps by whom it waited for, and with the same.
                Err(held @ Error::TemplateHeld { .. }) => {
                    return self.answer(wanted.find(&self.store)).await?.ok_or(held);
                }
                Err(error) => return Err(error),
            }
        }
        Err(wanted.conflict())
    }

    /// Every stored version.
    ///
    /// # Errors
    /// When the database does not answer or has another schema.
    pub async fn templates(&self) -> Result<Vec<TemplateInfo>, Error> {
        self.check_schema().await?;
        let rows = self.answer(async { Ok(self.store.list_templates().await?) }).await?;
        Ok(rows.into_iter().map(TemplateInfo::from).collect())
    }

    /// Creates tasks, all or none; the one of a request with an idempotency key, or by a unique context, unless it is
    /// there already. Such a request is tried again when its answer is lost.
    ///
    /// # Errors
    /// [`Error::UnknownTemplate`], [`Error::Context`], [`Error::DuplicateTask`].
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: tasker_core::Client) -> Result<(), tasker_core::Error> {
    /// use tasker_core::Submission;
    /// let json = r#"{"name": "order_fulfilment", "idempotency_key": "order-7", "contexts": [{"order_id": 7}]}"#;
    /// let submission = Submission::from_json(json)?;
    /// let first = client.submit(&submission).await?;
    /// let again = client.submit(&submission).await?;
    /// assert_eq!((first.existing, again.existing), (false, true));
    /// assert_eq!(first.task_ids, again.task_ids);
    /// # Ok(()) }
    /// ```
    pub async fn submit(&self, submission: &Submission) -> Result<Submitted, Error> {
        self.check_schema().await?;
        let mut made = Vec::new();
        let mut tries = 1;
        loop {
            let tried = self.try_submit(submission, &mut made);
            let tried = self.patience.with_many(&self.store, tried).await;
            match tried.unwrap_or_else(|silent| Err(silent.into())) {
                Ok(Some(submitted)) => return Ok(submitted),
                // The template was replaced meanwhile.
                Ok(None) => {}
                Err(error)
                    if submission.is_identified() && error.is_retryable() && tries < TRIES =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_submit(
        &self,
        submission: &Submission,
        made: &mut Vec<TaskId>,
    ) -> Result<Option<Submitted>, Error> {
        let mut tx = self.store.begin_plain().await?;
        let Some(id) = find_version(&mut tx, submission).await? else {
            drop(tx);
            return Err(self.unknown(&submission.name, submission.wanted()).await?);
        };
        if !rows::hold(&mut tx, id).await? {
            self.templates.forget(id);
            return Ok(None);
        }
        let stored = self.templates.get_within(&mut tx, id).await?;
        submission.validate(&stored, self.context_limits)?;
        let submitted = submission.write(&mut tx, &stored, made).await?;
        tx.commit().await?;
        Ok(Some(submitted))
    }

    /// Creates tasks in the transaction of a connection of the application's, which is to be rolled back to before this
    /// call when it fails, and when it brings `None`: what it read has changed meanwhile, and it can be made again.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn submit_within(
        &self,
        connection: BorrowedConnection,
        submission: &Submission,
    ) -> Result<Option<Submitted>, Error> {
        self.check_schema().await?;
        let mut tx = self.store.within(connection);
        let found = match find_version(&mut tx, submission).await {
            Err(StoreError::SchemaMissing { .. }) => {
                return Err(elsewhere("without tables of tasker_core"));
            }
            found => found?,
        };
        let Some(id) = found else {
            return Err(self.unknown(&submission.name, submission.wanted()).await?);
        };
        if !tx.hold_template(id).await? {
            return Ok(None);
        }
        let stored = self.answer(self.find_template(id)).await?;
        let Some(stored) = stored.filter(|stored| submission.is_for(stored)) else {
            return Err(elsewhere("where another template has this name"));
        };
        submission.validate(&stored, self.context_limits)?;
        match submission.write(&mut tx, &stored, &mut Vec::new()).await {
            Err(Error::Store(StoreError::Conflict { .. })) => Ok(None),
            written => written.map(Some),
        }
    }

    async fn find_template(&self, id: TemplateId) -> Result<Option<Arc<Stored>>, Error> {
        match self.templates.get(&self.store, id).await {
            Err(Error::Store(StoreError::UnreadableTemplate { .. }))
                if self.store.template(id).await?.is_none() =>
            {
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    async fn unknown(&self, name: &str, wanted: String) -> Result<Error, Error> {
        let all = self.store.list_templates().await?;
        let name = nearest(name, all.iter().map(|row| row.name.as_str()));
        let similar = all.iter().filter(|row| Some(row.name.as_str()) == name);
        let suggestions =
            similar.map(|row| format!("{}/{} version {}", row.namespace, row.name, row.version));
        Ok(Error::UnknownTemplate { wanted, suggestions: suggestions.collect() })
    }

    /// A task's state and counts.
    ///
    /// # Errors
    /// [`Error::UnknownTask`].
    pub async fn status(&self, task: TaskId) -> Result<TaskStatus, Error> {
        self.check_schema().await?;
        let filter = TaskFilter { task: Some(task), limit: 1, ..TaskFilter::default() };
        let read = async {
            let row = self.store.list_tasks(&filter).await?.pop();
            Ok((row, self.store.kin(&[task]).await?))
        };
        let (row, kin) = self.answer(read).await?;
        let status = row.map(TaskStatus::from).ok_or(Error::UnknownTask { task })?;
        Ok(status.with_kin(&kin))
    }

    /// Tasks, newest first.
    ///
    /// # Errors
    /// When the database does not answer or has another schema.
    pub async fn list(&self, filter: ListFilter) -> Result<Vec<TaskStatus>, Error> {
        self.check_schema().await?;
        let filter = TaskFilter {
            task: None,
            state: filter.state,
            name: filter.name,
            namespace: filter.namespace,
            version: filter.version,
            tags: wanted_tags(&filter.tags),
            unfinished: filter.unfinished,
            requested_before: filter.requested_before,
            before: filter.before,
            limit: filter.limit,
        };
        let rows = self.answer(async { Ok(self.store.list_tasks(&filter).await?) }).await?;
        Ok(rows.into_iter().map(TaskStatus::from).collect())
    }

    /// Steps that are in error or blocked and hold their task up, those of the newest tasks first; a part of them. Steps
    /// of tasks that have completed all the same, or were cancelled, are not among them.
    ///
    /// # Errors
    /// [`Error::Decryption`] where class or message are asked for and a failure is encrypted with a key that is not at
    /// hand.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: tasker_core::Client) -> Result<(), tasker_core::Error> {
    /// use tasker_core::FailureFilter;
    /// let mut filter = FailureFilter::from_json(r#"{"error": "Net::ReadTimeout", "limit": 100}"#)?;
    /// loop {
    ///     let page = client.failures(&filter).await?;
    ///     for failure in &page.failures {
    ///         println!("task {}: {}", failure.task_id, failure.message);
    ///     }
    ///     filter.before = page.next;
    ///     if page.next.is_none() {
    ///         break;
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn failures(&self, filter: &FailureFilter) -> Result<FailurePage, Error> {
        self.check_schema().await?;
        let read = async { Ok(self.store.list_failures(&filter.selection()).await?) };
        let rows: Result<_, Error> = self.patience.with_many(&self.store, read).await?;
        let (chosen, next) = filter.choose(rows?)?;
        let mut failures = Vec::with_capacity(chosen.len());
        for (row, failed) in chosen {
            let template = TemplateId(row.named_task_id);
            let stored = self.answer(self.templates.get(&self.store, template)).await?;
            let step = stored.template.steps().get(row.position as usize);
            failures.push(StepFailure::new((row, failed), step));
        }
        Ok(FailurePage { failures, next })
    }

    /// How far steps are, in no order; without those that there are not.
    ///
    /// # Errors
    /// When the database does not answer or has another schema.
    pub async fn step_states(&self, steps: &[StepId]) -> Result<Vec<StepProgress>, Error> {
        self.check_schema().await?;
        let rows = self.answer(async { Ok(self.store.step_states(steps).await?) }).await?;
        Ok(rows.into_iter().map(StepProgress::from).collect())
    }

    /// What two versions of a template say differently, and what that means for the tasks of the first one that have not
    /// ended.
    ///
    /// # Errors
    /// [`Error::UnknownTemplate`], [`Error::Template`] where the second one is given and is wrong.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: tasker_core::Client) -> Result<(), tasker_core::Error> {
    /// use tasker_core::TemplatesToCompare;
    /// let two = TemplatesToCompare::from_json(r#"{"name": "order", "from": "1.0.0", "to": "1.1.0"}"#)?;
    /// let comparison = client.compare_templates(&two).await?;
    /// println!("{} tasks run on {}", comparison.live.count, comparison.from);
    /// # Ok(()) }
    /// ```
    pub async fn compare_templates(&self, two: &TemplatesToCompare) -> Result<Comparison, Error> {
        let given = two.template.as_ref().map(|json| TaskTemplate::from_json(json.get()));
        let given = given.transpose()?;
        self.check_schema().await?;
        let before = self.answer(self.version(two, two.from.as_deref())).await?;
        let stored;
        let after = match &given {
            Some(template) => template,
            None => {
                stored = self.answer(self.version(two, two.to.as_deref())).await?;
                &stored.template
            }
        };
        let diff = TemplateDiff::between(&before.template, after);
        let live = self.live_tasks(&before, &diff);
        let live = self.patience.with_many(&self.store, live).await??;
        Ok(Comparison {
            namespace: two.namespace.clone(),
            name: two.name.clone(),
            from: before.template.version().to_owned(),
            to: after.version().to_owned(),
            same: diff.is_empty(),
            diff,
            live,
        })
    }

    async fn version(
        &self,
        two: &TemplatesToCompare,
        version: Option<&str>,
    ) -> Result<Arc<Stored>, Error> {
        let (namespace, name) = (two.namespace.as_str(), two.name.as_str());
        let mut tx = self.store.begin().await?;
        let versions = rows::versions(&mut tx, namespace, name).await?;
        if let Some(id) = choose_version(&versions, version) {
            return self.templates.get_within(&mut tx, id).await;
        }
        drop(tx);
        Err(self.unknown(name, wanted(namespace, name, version)).await?)
    }

    async fn live_tasks(&self, before: &Stored, diff: &TemplateDiff) -> Result<LiveTasks, Error> {
        let steps = comparison::broken_steps(&before.template, diff);
        let indexes: Vec<_> = steps.iter().map(|(index, _)| *index).collect();
        let rows = self.store.steps_to_run(before.id, &indexes).await?;
        let broken = comparison::broken(&before.template, &steps, rows);
        Ok(LiveTasks::new(self.store.live_tasks(before.id).await?, broken))
    }

    /// The results of a task's steps, complete or not, parents first; or of one of them, which may be an item of a map step.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], [`Error::Argument`] for a step that the task does not have, [`Error::Decryption`].
    pub async fn result(&self, task: TaskId, step: Option<&str>) -> Result<TaskResult, Error> {
        let status = self.status(task).await?;
        let read = async {
            let stored = self.templates.of_task(&self.store, task).await?;
            let (store, total) = (&self.store, status.steps_made());
            let asked = match step {
                Some(name) => Some(step_named(store, task, &stored, name).await?),
                None => None,
            };
            let grown = GrownTask::read(store, task, &stored, total, asked).await?;
            let parts = asked.map_or_else(|| grown.parts(task), |step| vec![(step, step)]);
            let steps = store.list_steps(&parts).await?;
            Ok((stored, grown, steps))
        };
        let (stored, grown, steps) = self.answer(read).await?;
        let open = |results| self.store.open(Content::Results, results);
        TaskResult::new(&status, &stored.template, &grown, steps, open)
    }

    /// Items of a map step, after the one of this number, at most so many: their steps' states and results. There are fewer
    /// where these come to 16 MiB, and none at the end only.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], [`Error::Argument`] for a step that is no map step or a limit that is not 1 to 10,000, and
    /// [`Error::Decryption`].
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: tasker_core::Client) -> Result<(), tasker_core::Error> {
    /// use tasker_core::TaskId;
    /// let mut after = None;
    /// loop {
    ///     let items = client.items(TaskId(7), "resize", after, 1_000).await?;
    ///     items.iter().for_each(|item| println!("{}: {}", item.index, item.state));
    ///     let Some(last) = items.last() else { break };
    ///     after = Some(last.index.unsigned_abs());
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn items(
        &self,
        task: TaskId,
        step: &str,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<Item>, Error> {
        items::check_limit(limit)?;
        self.check_schema().await?;
        let read = async {
            let stored = self.templates.of_task(&self.store, task).await?;
            items::read(&self.store, (task, &stored), step, after, limit).await
        };
        self.answer(read).await
    }

    /// What stands in a row that somebody else read: a context, results or a failure as JSON, decrypted where it is
    /// encrypted. `what` names it in the error.
    ///
    /// # Errors
    /// [`Error::Decryption`], [`Error::Argument`] for another kind than `context`, `results` and `failure`.
    ///
    /// # Examples
    /// ```no_run
    /// # fn example(client: tasker_core::Client) -> Result<(), tasker_core::Error> {
    /// let context = client.opened("context", "the context of task 7", r#"{"order": 7}"#.to_owned())?;
    /// assert_eq!(context, r#"{"order": 7}"#);
    /// # Ok(()) }
    /// ```
    pub fn opened(&self, kind: &str, what: &str, json: String) -> Result<String, Error> {
        let content = match kind {
            "context" => Content::Context,
            "results" => Content::Results,
            "failure" => Content::Failure,
            _ => return Err(refused("kind", kind, "context, results, failure")),
        };
        let unreadable = |source| Error::Decryption { what: what.to_owned(), source };
        self.store.open(content, json).map_err(unreadable)
    }

    /// What handlers attached to attempts of a task, or of one of its steps.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], [`Error::Argument`] for a step that its template does not have, [`Error::Decryption`].
    pub async fn artifacts(
        &self,
        task: TaskId,
        step: Option<&str>,
    ) -> Result<Vec<Artifact>, Error> {
        self.check_schema().await?;
        let read = async {
            let stored = self.templates.of_task(&self.store, task).await?;
            let step = match step {
                Some(name) => Some(step_named(&self.store, task, &stored, name).await?),
                None => None,
            };
            let rows = self.store.artifacts(task, step).await?;
            let steps = rows.iter().map(|row| StepId(row.workflow_step_id));
            let added: Vec<_> = steps.filter(|step| stored.step(*step).is_none()).collect();
            let added = self.store.names_of_added(&added).await?;
            Ok((rows, stored, added))
        };
        let (rows, stored, added) = self.answer(read).await?;
        let open = |kind, content| self.store.open(kind, content);
        let name_of = |step: StepId| match stored.step(step) {
            Some(step) => Some(step.name.clone()),
            None => added.get(&step).cloned(),
        };
        rows.into_iter()
            .map(|row| (name_of(StepId(row.workflow_step_id)), row))
            .map(|(name, row)| Artifact::new(row, name, open))
            .collect()
    }

    /// Does with a task what an operator asks for. What was done before is not done again: a step that is skipped
    /// already stays so. `events` tells the subscribers of this process.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], [`Error::Argument`] for a step that its template does not have, or does not declare
    /// skippable, [`Error::Json`] for
    /// results that are not JSON or too large, [`Error::Transition`] where the state of the task or the step does not
    /// allow it, [`Error::Changed`] where the step is not as it was seen.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: tasker_core::Client) -> Result<(), tasker_core::Error> {
    /// use tasker_core::{Request, Steering, TaskId};
    /// let reason = Some("the warehouse burned down".into());
    /// let request = Request { actor: "mara".into(), reason, seen: None };
    /// client.steer(TaskId(7), &Steering::Skip { step: "ship".into() }, &request, None).await?;
    /// # Ok(()) }
    /// ```
    pub async fn steer(
        &self,
        task: TaskId,
        steering: &Steering,
        request: &Request,
        events: Option<&Events>,
    ) -> Result<TaskStatus, Error> {
        self.check_schema().await?;
        steering.check()?;
        at_most("actor", Some(&request.actor), 128)?;
        at_most("reason", request.reason.as_deref(), 1_024)?;
        let mut tries = 1;
        // Why it is not known whether an earlier try took place.
        let mut lost = None;
        loop {
            let mut committing = false;
            let tried = self.try_to_steer(task, steering, request, events, &mut committing);
            match self.answer(tried).await {
                Ok(left) => {
                    if left && !self.dry_run {
                        self.follow_up(events).await;
                    }
                    return self.status(task).await;
                }
                Err(error) if error.is_retryable() && tries < TRIES => {
                    tries += 1;
                    if committing && error.is_unavailable() {
                        if steering.may_take_place_twice() {
                            return Err(error);
                        }
                        lost = Some(error);
                    }
                }
                // It went on, perhaps by what took place then.
                Err(error @ Error::Changed { .. }) => return Err(error),
                // What is refused now may have taken place then.
                Err(error) => return Err(lost.unwrap_or(error)),
            }
        }
    }

    /// Does what ends of tasks left to be done; what fails is left to the workers.
    async fn follow_up(&self, events: Option<&Events>) {
        let (database, templates, patience) = (&self.store, &self.templates, &self.patience);
        if let Err(error) = (Doer { database, templates, events, patience }).do_all().await {
            debug!(%error, "what ends of tasks left to be done is left to the workers");
        }
    }

    /// `committing`: whether it may have taken place, whatever is answered.
    async fn try_to_steer(
        &self,
        task: TaskId,
        steering: &Steering,
        request: &Request,
        events: Option<&Events>,
        committing: &mut bool,
    ) -> Result<bool, Error> {
        loop {
            let mut tx = self.store.begin().await?;
            let decided = async {
                if let Some(seen) = request.seen {
                    refuse_changed(&mut tx, seen).await?;
                }
                let steered = steer(&mut tx, &self.templates, task, steering, request).await?;
                if self.dry_run && matches!(steered, Steered::Settled(_)) {
                    // Nothing of this is committed, and seen here all the same.
                    return steer(&mut tx, &self.templates, task, steering, request).await;
                }
                Ok(steered)
            };
            match decided.await.map_err(|error| error.about(steering.step()))? {
                Steered::Settled(settled) => self.commit(tx, &settled, events).await?,
                Steered::Done(decisions) => {
                    *committing = true;
                    self.commit(tx, &decisions, events).await?;
                    return Ok(decisions.leaves_something());
                }
            }
        }
    }

    /// Commits, and tells subscribers where there are some; in a dry run it takes all back.
    async fn commit(
        &self,
        tx: Tx,
        decisions: &Decisions,
        events: Option<&Events>,
    ) -> Result<(), Error> {
        match events {
            _ if self.dry_run => Ok(()),
            Some(events) => Ok(events.commit(tx, decisions).await?),
            None => Ok(tx.commit().await?),
        }
    }

    /// Sends a signal to a task, and has the steps claimed whose handlers wait for it. It is kept as long as the task: a
    /// handler that waits for it later gets it at once. With an idempotency key it is tried again when its answer is
    /// lost. `events` tells the subscribers of this process.
    ///
    /// # Errors
    /// [`Error::UnknownTask`]; [`Error::Transition`] for a task that has ended; [`Error::Json`] for a payload that is too
    /// large.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: tasker_core::Client) -> Result<(), tasker_core::Error> {
    /// use tasker_core::{SignalRequest, TaskId};
    /// let request = SignalRequest::from_json(r#"{"name": "approved", "payload": {"by": "mara"}}"#)?;
    /// client.signal(TaskId(7), &request, None).await?;
    /// # Ok(()) }
    /// ```
    pub async fn signal(
        &self,
        task: TaskId,
        request: &SignalRequest,
        events: Option<&Events>,
    ) -> Result<SignalId, Error> {
        self.check_schema().await?;
        request.check(self.context_limits)?;
        let is_identified = request.idempotency_key.is_some();
        let mut tries = 1;
        loop {
            match self.answer(self.try_to_signal(task, request, events)).await {
                Err(error) if is_identified && error.is_retryable() && tries < TRIES => tries += 1,
                sent => return sent,
            }
        }
    }

    async fn try_to_signal(
        &self,
        task: TaskId,
        request: &SignalRequest,
        events: Option<&Events>,
    ) -> Result<SignalId, Error> {
        let mut tx = self.store.begin().await?;
        let (id, decisions) = signals::send(&mut tx, &self.templates, task, request).await?;
        self.commit(tx, &decisions, events).await?;
        Ok(id)
    }

    /// Makes a task of the same version of its template that takes over what the task has done, but for some steps and those
    /// below them. With an idempotency key it is made once. `events` tells the subscribers of this process.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], [`Error::Argument`] for a step that its template does not have, or that could not start,
    /// [`Error::Context`], [`Error::Decryption`].
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: tasker_core::Client) -> Result<(), tasker_core::Error> {
    /// use tasker_core::{ForkRequest, TaskId};
    /// let request = ForkRequest::from_json(r#"{"from": ["enrich"], "actor": "mara"}"#)?;
    /// client.fork(TaskId(7), &request, None).await?;
    /// # Ok(()) }
    /// ```
    pub async fn fork(
        &self,
        task: TaskId,
        request: &ForkRequest,
        events: Option<&Events>,
    ) -> Result<Submitted, Error> {
        self.check_schema().await?;
        let mut made = Vec::new();
        let mut tries = 1;
        loop {
            let tried = self.try_to_fork(task, request, &mut made, events);
            let tried = self.patience.with_many(&self.store, tried).await;
            match tried.unwrap_or_else(|silent| Err(silent.into())) {
                Err(error) if request.is_identified() && error.is_retryable() && tries < TRIES => {
                    tries += 1;
                }
                forked => return forked,
            }
        }
    }

    async fn try_to_fork(
        &self,
        task: TaskId,
        request: &ForkRequest,
        made: &mut Vec<TaskId>,
        events: Option<&Events>,
    ) -> Result<Submitted, Error> {
        let mut tx = self.store.begin().await?;
        let limits = (self.context_limits, made);
        let (submitted, decisions) =
            fork::fork(&mut tx, &self.templates, task, request, limits).await?;
        self.commit(tx, &decisions, events).await?;
        Ok(submitted)
    }

    /// Tasks that were submitted with this correlation key and have not ended, after one of them, at most 1,000 at once, in
    /// the order of their ids.
    ///
    /// # Errors
    /// [`Error::Argument`] for a key that is empty or too long.
    pub async fn correlated_tasks(&self, key: &str, after: TaskId) -> Result<Vec<TaskId>, Error> {
        not_empty("key", key, LONGEST_KEY)?;
        self.check_schema().await?;
        self.answer(async { Ok(self.store.correlated(key, after, LONGEST_LIST).await?) }).await
    }

    /// Why a task, or one of its steps, is where it is, from what was recorded.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], [`Error::Argument`] for a step that its template does not have.
    pub async fn explain(&self, task: TaskId, step: Option<&str>) -> Result<Explanation, Error> {
        let mut status = self.status(task).await?;
        let mut tries = 1;
        loop {
            let explained = async {
                let stored = self.templates.of_task(&self.store, task).await?;
                explain::explain(&self.store, &self.templates, &status, &stored, step).await
            };
            let explained = self.answer(explained).await?;
            let after = self.status(task).await?;
            if tries == TRIES || after.is_as(&status) {
                return Ok(explained);
            }
            // What was read of it, one part after another, may not go together.
            status = after;
            tries += 1;
        }
    }

    /// The worker processes that are not known to have ended.
    ///
    /// # Errors
    /// When the database does not answer or has another schema.
    pub async fn workers(&self) -> Result<Vec<WorkerInfo>, Error> {
        self.check_schema().await?;
        let rows = self.answer(async { Ok(self.store.workers().await?) }).await?;
        Ok(rows.into_iter().map(WorkerInfo::from).collect())
    }

    /// Begins to read the transitions of all tasks as a feed, for a consumer whose position the database keeps, or
    /// without one. Whoever read for this consumer before can move it no more. The first opening in a database makes
    /// two indexes, for which writers wait.
    ///
    /// # Errors
    /// When the database does not answer, has another schema, or does not let this user make indexes.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: tasker_core::Client) -> Result<(), tasker_core::Error> {
    /// use tasker_core::{FeedOpening, FeedReading};
    /// let opened = client.open_feed(&FeedOpening::from_json(r#"{"consumer": "billing"}"#)?).await?;
    /// let mut reading = FeedReading::of("billing", opened);
    /// loop {
    ///     let batch = client.read_feed(&reading).await?;
    ///     batch.events.iter().for_each(|event| println!("{} of task {}", event.name, event.task_id));
    ///     reading.place = batch.place;
    ///     client.move_feed(&reading).await?;
    /// }
    /// # }
    /// ```
    pub async fn open_feed(&self, opening: &FeedOpening) -> Result<FeedOpened, Error> {
        self.check_schema().await?;
        let opened = feed::open(&self.store, opening);
        self.patience.with_many(&self.store, opened).await?
    }

    /// The transitions that follow, none where there are none whose predecessors are all known. Does not wait.
    ///
    /// # Errors
    /// [`Error::FeedTaken`], [`Error::Argument`] for a position that was never reached.
    pub async fn read_feed(&self, reading: &FeedReading) -> Result<FeedBatch, Error> {
        self.answer(feed::read(&self.store, &self.templates, reading)).await
    }

    /// Has the database keep the place of the reading as its consumer's position. Without a consumer it does nothing.
    ///
    /// # Errors
    /// [`Error::FeedTaken`].
    pub async fn move_feed(&self, reading: &FeedReading) -> Result<(), Error> {
        self.answer(feed::keep(&self.store, reading)).await
    }

    /// Forgets a consumer and its position. False when there is none.
    ///
    /// # Errors
    /// When the database does not answer or has another schema.
    pub async fn forget_feed(&self, consumer: &str) -> Result<bool, Error> {
        self.check_schema().await?;
        self.answer(async { Ok(self.store.delete_feed(consumer).await?) }).await
    }

    /// Deletes tasks that ended long ago, with everything of theirs, in small batches for a limited time. Call it
    /// again with [`Pruned::next`] for the rest.
    ///
    /// # Errors
    /// When the database does not answer or has another schema. What was deleted before stays deleted.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: tasker_core::Client) -> Result<(), tasker_core::Error> {
    /// use tasker_core::Pruning;
    /// let mut pruning = Pruning::from_json(r#"{"older_than_s": 2592000}"#)?;
    /// loop {
    ///     pruning.from = client.prune(&pruning).await?.next;
    ///     if pruning.from.is_none() {
    ///         break;
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn prune(&self, pruning: &Pruning) -> Result<Pruned, Error> {
        self.check_schema().await?;
        pruner::prune_once(&self.store, pruning).await
    }

    /// Computes every counter and state anew and compares; and warns of what makes the engine slow, such as a
    /// transaction that is open for more than 60 seconds.
    ///
    /// # Errors
    /// When the database does not answer or has another schema.
    pub async fn doctor(&self) -> Result<Audit, Error> {
        self.doctor_with(OLD_TRANSACTION).await
    }

    /// The same as [`Client::doctor`], with warnings of transactions that are open for longer than
    /// `old_transaction`.
    ///
    /// # Errors
    /// When the database does not answer or has another schema.
    pub async fn doctor_with(&self, old_transaction: Duration) -> Result<Audit, Error> {
        self.check_schema().await?;
        Ok(self.store.audit(old_transaction).await?)
    }
}

/// The step of the task with this name.
pub(super) async fn step_named(
    store: &Store,
    task: TaskId,
    stored: &Stored,
    name: &str,
) -> Result<StepId, Error> {
    if let Some(index) = stored.made_with_task(name) {
        return Ok(task.step(index));
    }
    let added = store.find_added(task, &[name.to_owned()]).await?;
    Ok(added.first().ok_or_else(|| no_such_step(&stored.template, name))?.step)
}

/// The last step that a task can have.
pub(super) fn last_step(task: TaskId) -> StepId {
    StepId(TaskId(task.0 + 1).step(0).0 - 1)
}

/// A connection of the application's leads to another database.
fn elsewhere(why: &str) -> Error {
    let allowed = "one to the database, and with the search_path, that this client has";
    refused("connection", &format!("one to a database {why}"), allowed)
}

/// The version that is asked for, or the highest one; `None` when there is none.
async fn find_version(
    tx: &mut impl TaskWriter,
    submission: &Submission,
) -> Result<Option<TemplateId>, StoreError> {
    let versions = tx.versions(&submission.namespace, &submission.name).await?;
    Ok(choose_version(&versions, submission.version.as_deref()))
}

pub(super) fn choose_version(
    versions: &[(TemplateId, String)],
    wanted: Option<&str>,
) -> Option<TemplateId> {
    let found = match wanted {
        Some(wanted) => versions.iter().find(|(_, version)| version == wanted),
        None => versions.iter().max_by_key(|(_, version)| semver::Version::parse(version).ok()),
    };
    found.map(|(id, _)| *id)
}
