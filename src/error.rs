//! What a caller of the library is told.

use std::any::Any;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::encryption::Unreadable;
use crate::ids::TaskId;
use crate::json::JsonError;
use crate::state::{InvalidTransition, TaskState};
use crate::store::{SCHEMA_VERSION, StoreError};
use crate::template::{ContextError, TemplateError};

/// An error of the library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is wrong.
    #[error("{message}")]
    Configuration {
        /// The option, the value seen and the values allowed.
        message: String,
    },
    /// An argument is wrong.
    #[error("{argument} is {value}; allowed: {allowed}")]
    Argument {
        /// The argument's name.
        argument: &'static str,
        /// The value seen.
        value: String,
        /// The values allowed.
        allowed: String,
    },
    /// A template is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The version exists with another definition and tasks were made from it.
    #[error(
        "the template {namespace}/{name} version {version} is stored with another definition and has tasks; \
         give the changed definition a higher version"
    )]
    TemplateConflict {
        /// The template's namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// The version cannot be replaced while tasks are being made from it.
    #[error(
        "the template {namespace}/{name} version {version} is stored with another definition, which cannot be replaced \
         while a transaction is open that has submitted a task of it; end that transaction (`tasker doctor` shows old \
         ones), or give the changed definition a higher version"
    )]
    TemplateHeld {
        /// The template's namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// No such template is stored.
    #[error("there is no template {wanted}{}", known(.suggestions))]
    UnknownTemplate {
        /// Namespace, name and version as asked for.
        wanted: String,
        /// Templates with a similar name.
        suggestions: Vec<String>,
    },
    /// A task's context is wrong.
    #[error("{}{source}", position(*.index))]
    Context {
        /// Which of several contexts, from 0; `None` for a single one.
        index: Option<usize>,
        /// What is wrong.
        source: ContextError,
    },
    /// JSON text cannot be stored.
    #[error("the {what} is refused: {source}")]
    Json {
        /// What the text is.
        what: String,
        /// What is wrong.
        source: JsonError,
    },
    /// There is no such task.
    #[error("there is no task with the id {task}; `tasker list` shows those that there are")]
    UnknownTask {
        /// The id.
        task: TaskId,
    },
    /// There is a task already that was submitted with the same identity.
    #[error("{}", duplicate(.key.as_deref(), *.task, *.state))]
    DuplicateTask {
        /// The key that the caller chose; `None` where the context is the identity.
        key: Option<String>,
        /// The task that there is.
        task: TaskId,
        /// Its state.
        state: TaskState,
    },
    /// Somebody else reads the feed for this consumer by now.
    #[error(
        "another reader of the consumer {consumer:?} has begun, and goes on in the place of this one"
    )]
    FeedTaken {
        /// The consumer.
        consumer: String,
    },
    /// The state does not allow it.
    #[error("{}", source.told(&refused(*task, step.as_deref(), source.machine)))]
    Transition {
        /// The task.
        task: TaskId,
        /// The step that an operator named.
        step: Option<String>,
        /// What was asked for and what is allowed.
        source: InvalidTransition,
    },
    /// The step is not as it was seen by who asks for something because of that.
    #[error(
        "the state of {} has changed since it was seen; `tasker explain {task}` says what it is",
        refused(*.task, step.as_deref(), "step")
    )]
    Changed {
        /// The task.
        task: TaskId,
        /// The step that an operator named.
        step: Option<String>,
    },
    /// A step was decided before.
    #[error("{}", decided(*.task, .step, .by.as_deref(), *.at))]
    Decided {
        /// The task.
        task: TaskId,
        /// The step.
        step: String,
        /// Who decided.
        by: Option<String>,
        /// When.
        at: DateTime<Utc>,
    },
    /// What the task did is undone by another one, or was: it cannot go on.
    #[error("task {task} is undone by task {by} and cannot go on; submit it again")]
    Undone {
        /// The task.
        task: TaskId,
        /// The one that undoes it.
        by: TaskId,
    },
    /// The database has another schema than this version of the library.
    #[error("{}", schema_mismatch(*.found))]
    SchemaMismatch {
        /// The version found; 0 where there is none.
        found: u32,
    },
    /// What was written with an encryption key cannot be read.
    #[error("cannot read {what}: {source}")]
    Decryption {
        /// What it is.
        what: String,
        /// What is wrong.
        source: Unreadable,
    },
    /// The database cannot be reached or refuses.
    #[error(transparent)]
    Store(StoreError),
    /// The client or worker was closed.
    #[error("the {0} is closed")]
    Closed(&'static str),
    /// The library panicked.
    #[error("a defect in tasker_core: {0}; please report it")]
    Defect(String),
}

/// The classes of errors that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// An option is wrong.
    Configuration,
    /// A template is wrong.
    InvalidTemplate,
    /// A version exists with another definition.
    TemplateConflict,
    /// No such template is stored.
    UnknownTemplate,
    /// A context is wrong.
    InvalidContext,
    /// An argument is wrong.
    InvalidArgument,
    /// There is no such thing.
    NotFound,
    /// There is such a task already.
    DuplicateTask,
    /// Another reader goes on.
    FeedTaken,
    /// The state does not allow it.
    InvalidTransition,
    /// The database cannot be reached.
    DatabaseUnavailable,
    /// The database has another schema.
    SchemaMismatch,
    /// Something is encrypted with a key that is not at hand.
    Decryption,
    /// The database refuses.
    Database,
    /// The library is at fault, or was closed.
    Internal,
}

impl ErrorKind {
    /// The kind's name at the Ruby border.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::InvalidTemplate => "invalid_template",
            Self::TemplateConflict => "template_conflict",
            Self::UnknownTemplate => "unknown_template",
            Self::InvalidContext => "invalid_context",
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::DuplicateTask => "duplicate_task",
            Self::FeedTaken => "feed_taken",
            Self::InvalidTransition => "invalid_transition",
            Self::DatabaseUnavailable => "database_unavailable",
            Self::SchemaMismatch => "schema_mismatch",
            Self::Decryption => "decryption",
            Self::Database => "database",
            Self::Internal => "internal",
        }
    }
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

impl Error {
    /// What the state of a task, or of a step of it, does not allow.
    pub(crate) fn transition(task: TaskId, source: InvalidTransition) -> Self {
        Self::Transition { task, step: None, source }
    }

    /// The same, of the step that an operator named.
    pub(crate) fn about(mut self, named: Option<&str>) -> Self {
        if let Self::Transition { step, .. } | Self::Changed { step, .. } = &mut self {
            *step = named.map(str::to_owned);
        }
        self
    }

    /// Of a panic that was caught.
    #[must_use]
    pub fn defect(panic: &(dyn Any + Send)) -> Self {
        Self::Defect(panic_text(panic).to_owned())
    }

    /// The error's class.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Configuration { .. } => ErrorKind::Configuration,
            Self::Argument { .. } => ErrorKind::InvalidArgument,
            Self::Template(_) => ErrorKind::InvalidTemplate,
            Self::TemplateConflict { .. } => ErrorKind::TemplateConflict,
            Self::TemplateHeld { .. } => ErrorKind::Database,
            Self::UnknownTemplate { .. } => ErrorKind::UnknownTemplate,
            Self::Context { .. } | Self::Json { .. } => ErrorKind::InvalidContext,
            Self::UnknownTask { .. } => ErrorKind::NotFound,
            Self::DuplicateTask { .. } => ErrorKind::DuplicateTask,
            Self::FeedTaken { .. } => ErrorKind::FeedTaken,
            Self::Transition { .. }
            | Self::Changed { .. }
            | Self::Decided { .. }
            | Self::Undone { .. } => ErrorKind::InvalidTransition,
            Self::SchemaMismatch { .. } => ErrorKind::SchemaMismatch,
            Self::Decryption { .. } => ErrorKind::Decryption,
            Self::Store(StoreError::Url(_)) => ErrorKind::Configuration,
            Self::Store(StoreError::Unavailable(_)) => ErrorKind::DatabaseUnavailable,
            Self::Store(_) => ErrorKind::Database,
            Self::Closed(_) | Self::Defect(_) => ErrorKind::Internal,
        }
    }

    /// Whether the same call may succeed when it is made again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::TemplateHeld { .. })
            || matches!(self, Self::Store(error) if error.is_retryable())
    }

    /// A statement waited for a lock, or took, for longer than it may.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::Store(StoreError::Timeout { .. }))
    }

    /// The database is not there.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_unavailable())
    }

    /// What is to be written or read is at fault, and will be the next time.
    pub(crate) fn is_about_data(&self) -> bool {
        match self {
            Self::Store(error) => error.is_about_data(),
            Self::Transition { .. }
            | Self::Changed { .. }
            | Self::Decided { .. }
            | Self::Undone { .. } => true,
            Self::Configuration { .. }
            | Self::Argument { .. }
            | Self::Template(_)
            | Self::TemplateConflict { .. }
            | Self::TemplateHeld { .. }
            | Self::UnknownTemplate { .. }
            | Self::Context { .. }
            | Self::Json { .. }
            | Self::UnknownTask { .. }
            | Self::DuplicateTask { .. }
            | Self::FeedTaken { .. }
            | Self::SchemaMismatch { .. }
            | Self::Decryption { .. }
            | Self::Closed(_)
            | Self::Defect(_) => false,
        }
    }

    pub(crate) fn results_unreadable(task: TaskId, step: &str, source: Unreadable) -> Self {
        Self::Decryption {
            what: format!("the results of the step {step:?} of task {task}"),
            source,
        }
    }

    /// The facts of the error, for machines.
    #[must_use]
    pub fn details(&self) -> Value {
        match self {
            Self::Template(error) => error.details(),
            Self::TemplateConflict { namespace, name, version } => {
                json!({ "namespace": namespace, "name": name, "version": version })
            }
            Self::TemplateHeld { namespace, name, version } => {
                json!({ "namespace": namespace, "name": name, "version": version, "retryable": true })
            }
            Self::UnknownTemplate { wanted, suggestions } => {
                json!({ "template": wanted, "suggestions": suggestions })
            }
            Self::Context { index, source } => {
                let mut details = source.details();
                details["index"] = json!(index);
                details
            }
            Self::Argument { argument, value, allowed } => {
                json!({ "argument": argument, "value": value, "allowed": allowed })
            }
            Self::DuplicateTask { key, task, state } => {
                json!({ "idempotency_key": key, "task_id": task, "state": state })
            }
            Self::FeedTaken { consumer } => json!({ "consumer": consumer }),
            Self::UnknownTask { task } => json!({ "task_id": task }),
            Self::Transition { task, source, .. } => {
                json!({ "task_id": task, "state": source.from, "event": source.event })
            }
            Self::Changed { task, step } => json!({ "task_id": task, "step": step }),
            Self::Decided { task, step, by, at } => {
                json!({ "task_id": task, "step": step, "decided_by": by, "decided_at": at })
            }
            Self::Undone { task, by } => json!({ "task_id": task, "undone_by": by }),
            Self::SchemaMismatch { found } => json!({ "found": found, "wanted": SCHEMA_VERSION }),
            Self::Decryption { what, source } => json!({ "value": what, "key": source.key() }),
            Self::Store(error) => json!({ "sqlstate": error.code() }),
            Self::Configuration { .. } | Self::Json { .. } | Self::Closed(_) | Self::Defect(_) => {
                json!({})
            }
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::SchemaMissing { .. }) {
            return Self::SchemaMismatch { found: 0 };
        }
        Self::Store(error)
    }
}

fn schema_mismatch(found: u32) -> String {
    let wanted = SCHEMA_VERSION;
    if found == 0 {
        "the database has no schema of tasker_core, or an incomplete one; run: tasker migrate"
            .to_owned()
    } else if found < wanted {
        format!("the database has schema {found}, this version needs {wanted}; run: tasker migrate")
    } else {
        format!(
            "the database has schema {found}, this version knows {wanted}; \
             update the tasker_core gem, or run: tasker migrate --to {wanted} with the newer one"
        )
    }
}

fn duplicate(key: Option<&str>, task: TaskId, state: TaskState) -> String {
    let what = key.map_or("this context".to_owned(), |key| format!("the idempotency key {key:?}"));
    format!("there is a task with {what} already: task {task}, which is {state}")
}

fn decided(task: TaskId, step: &str, by: Option<&str>, at: DateTime<Utc>) -> String {
    let (by, at) = (by.unwrap_or("somebody"), at.to_rfc3339_opts(SecondsFormat::Secs, true));
    format!(
        "step {step:?} of task {task} was decided by {by} at {at}, and what was decided first counts; \
         to overrule it, resolve the step"
    )
}

/// What is refused something.
fn refused(task: TaskId, step: Option<&str>, machine: &str) -> String {
    match step {
        _ if machine == "task" => format!("task {task}"),
        Some(name) => format!("step {name:?} of task {task}"),
        None => format!("a step of task {task}"),
    }
}

fn known(suggestions: &[String]) -> String {
    if suggestions.is_empty() {
        "; `tasker templates list` shows those that there are".to_owned()
    } else {
        format!("; did you mean {}?", suggestions.join(" or "))
    }
}

fn position(index: Option<usize>) -> String {
    index.map(|index| format!("contexts[{index}]: ")).unwrap_or_default()
}
