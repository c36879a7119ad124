//! Database errors by their code, never by their message.

use std::error::Error as StdError;

use crate::encryption::NoRandomness;

/// What can go wrong between the library and Postgres.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No server, no connection, or the server is starting or stopping.
    #[error("the database cannot be reached: {0}")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// The transaction lost a race and can be tried again.
    #[error("the transaction lost a race ({code}) and can be tried again")]
    Serialization {
        /// The SQLSTATE: `40001` or `40P01`.
        code: String,
    },
    /// A lock or a statement took longer than its limit.
    #[error("a lock or statement took longer than its limit ({code})")]
    Timeout {
        /// The SQLSTATE: `55P03` or `57014`.
        code: String,
    },
    /// A table or type of the schema is missing.
    #[error("the schema of tasker_core is missing or older than this version ({code}: {message})")]
    SchemaMissing {
        /// The SQLSTATE: `42P01`, `42703` or `42704`.
        code: String,
        /// Postgres' words.
        message: String,
    },
    /// A row was not as it had been read; nothing was written.
    #[error("{written} of {expected} rows were as they had been read; nothing was written")]
    Conflict {
        /// Changes decided.
        expected: usize,
        /// Changes that would have been written.
        written: usize,
    },
    /// A constraint refused a row.
    #[error("the constraint {constraint} refused a row ({code})")]
    Constraint {
        /// The SQLSTATE of class 23.
        code: String,
        /// The constraint's name.
        constraint: String,
    },
    /// The database's URL cannot be read. It may hold a password and is not repeated.
    #[error(
        "the database URL cannot be read: {0}; allowed: postgres://user:password@host:port/name"
    )]
    Url(String),
    /// A stored template cannot be read by this version.
    #[error("the template with id {id} cannot be read: {message}")]
    UnreadableTemplate {
        /// Its id.
        id: i32,
        /// Why.
        message: String,
    },
    /// The system has no random bytes to encrypt with.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Anything else that Postgres or the driver says.
    #[error("the database refused: {message}{}", code.as_ref().map(|c| format!(" ({c})")).unwrap_or_default())]
    Other {
        /// The SQLSTATE, where Postgres gave one.
        code: Option<String>,
        /// Its words.
        message: String,
        /// The driver's error.
        #[source]
        source: Box<sqlx::Error>,
    },
}

impl StoreError {
    /// Whether the same call may succeed when it is made again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_)
            | Self::Serialization { .. }
            | Self::Timeout { .. }
            | Self::NoRandomness(_)
            | Self::Conflict { .. } => true,
            Self::SchemaMissing { .. }
            | Self::Constraint { .. }
            | Self::Url(_)
            | Self::UnreadableTemplate { .. }
            | Self::Other { .. } => false,
        }
    }

    /// What is to be written or read is at fault, and will be the next time: it is no value of its type, too
    /// large, or damaged.
    pub(crate) fn is_about_data(&self) -> bool {
        match self {
            Self::Constraint { .. } => true,
            Self::Other { code: Some(code), .. } => {
                ["22", "54", "XX001", "XX002"].iter().any(|class| code.starts_with(class))
            }
            Self::Other { source, .. } => matches!(
                **source,
                sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }
            ),
            Self::Unavailable(_)
            | Self::Serialization { .. }
            | Self::Timeout { .. }
            | Self::SchemaMissing { .. }
            | Self::Conflict { .. }
            | Self::Url(_)
            | Self::NoRandomness(_)
            | Self::UnreadableTemplate { .. } => false,
        }
    }

    /// The database, or the part of it that is asked for, is not there.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The SQLSTATE, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Serialization { code }
            | Self::Timeout { code }
            | Self::SchemaMissing { code, .. }
            | Self::Constraint { code, .. } => Some(code),
            Self::Other { code, .. } => code.as_deref(),
            Self::Unavailable(_)
            | Self::Conflict { .. }
            | Self::Url(_)
            | Self::NoRandomness(_)
            | Self::UnreadableTemplate { .. } => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the driver's list, and it may grow")]
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().map(std::borrow::Cow::into_owned);
                let constraint = database.constraint().map(str::to_owned);
                let message = database.message().to_owned();
                from_code(error, code, constraint, message)
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unavailable(Box::new(error)),
            _ => Self::Other { code: None, message: error.to_string(), source: Box::new(error) },
        }
    }
}

/// Source: PostgreSQL 15 manual, appendix A, "PostgreSQL Error Codes".
pub(super) fn from_code(
    error: sqlx::Error,
    code: Option<String>,
    constraint: Option<String>,
    message: String,
) -> StoreError {
    let Some(code) = code else {
        return StoreError::Other { code: None, message, source: Box::new(error) };
    };
    match code.as_str() {
        "40001" | "40P01" => StoreError::Serialization { code },
        "55P03" | "57014" => StoreError::Timeout { code },
        "42P01" | "42703" | "42704" => StoreError::SchemaMissing { code, message },
        "25P03" | "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "3D000" | "28000" | "28P01"
        | "25006" => StoreError::Unavailable(Box::new(error)),
        other if other.starts_with("08") || other.starts_with("53") => {
            StoreError::Unavailable(Box::new(error))
        }
        other if other.starts_with("23") => {
            StoreError::Constraint { constraint: constraint.unwrap_or_default(), code }
        }
        _ => StoreError::Other { code: Some(code), message, source: Box::new(error) },
    }
}
