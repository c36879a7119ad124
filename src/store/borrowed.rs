//! A transaction of the application's, on a connection that the application has: statements and what they bring go to
//! and fro as text, through whoever holds the connection. The SQL is that of the engine's own transactions.

use std::fmt::Display;
use std::str::FromStr;

use tokio::sync::{mpsc, oneshot};

use super::budgets::big;
use super::identities;
use super::notify::CHANNEL;
use super::{
    EndRecorder, NewArtifact, NewTasks, StepTime, StoreError, TaskWriter, artifacts, int, sqlstate,
    tasks,
};
use crate::budget::Limits;
use crate::decision::Claim;
use crate::encryption::{Content, Keyring};
use crate::identity::Identity;
use crate::ids::{TaskId, TemplateId};
use crate::state::TaskState;

/// Types of parameters by their object ids. Source: PostgreSQL 15, `pg_type.dat`.
mod oid {
    /// Is told by the statement.
    pub(super) const UNKNOWN: u32 = 0;
    pub(super) const BOOL: u32 = 16;
    pub(super) const BIGINT: u32 = 20;
    pub(super) const SMALLINT: u32 = 21;
    pub(super) const INT: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const FLOAT: u32 = 701;
    pub(super) const BYTEAS: u32 = 1001;
    pub(super) const INTS: u32 = 1007;
    pub(super) const TEXTS: u32 = 1009;
    pub(super) const BIGINTS: u32 = 1016;
    pub(super) const FLOATS: u32 = 1022;
    pub(super) const TIMES: u32 = 1185;
}

/// A parameter of a statement, as libpq takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The object id of its type; 0 where the statement tells the type.
    pub oid: u32,
    /// Its text; `None` for NULL.
    pub text: Option<String>,
}

impl Parameter {
    fn one(oid: u32, value: impl Display) -> Self {
        Self::maybe(oid, Some(value))
    }

    fn maybe(oid: u32, value: Option<impl Display>) -> Self {
        Self { oid, text: value.map(|value| value.to_string()) }
    }

    fn list(oid: u32, values: impl IntoIterator<Item = impl Display>) -> Self {
        Self::maybes(oid, values.into_iter().map(Some))
    }

    fn maybes(oid: u32, values: impl IntoIterator<Item = Option<impl Display>>) -> Self {
        let mut text = String::from("{");
        for value in values {
            if text.len() > 1 {
                text.push(',');
            }
            match value {
                Some(value) => quote(&value.to_string(), &mut text),
                None => text.push_str("NULL"),
            }
        }
        text.push('}');
        Self { oid, text: Some(text) }
    }

    fn digests(digests: &[Vec<u8>]) -> Self {
        let hex = |digest: &Vec<u8>| {
            digest.iter().fold(String::from("\\x"), |text, byte| format!("{text}{byte:02x}"))
        };
        Self::list(oid::BYTEAS, digests.iter().map(hex))
    }
}

/// Adds an element of an array.
fn quote(element: &str, array: &mut String) {
    array.push('"');
    for letter in element.chars() {
        if matches!(letter, '"' | '\\') {
            array.push('\\');
        }
        array.push(letter);
    }
    array.push('"');
}

/// What a statement brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Its rows, each value as text.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows it changed.
    pub changed: u64,
}

/// Why a statement brings nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The SQLSTATE; `None` when the connection is lost.
    pub code: Option<String>,
    /// The words.
    pub message: String,
    /// The constraint that refused a row.
    pub constraint: Option<String>,
}

/// A statement for whoever holds the connection.
#[derive(Debug)]
pub struct Statement {
    /// With `$1` and so on.
    pub sql: &'static str,
    /// One for each of them.
    pub parameters: Vec<Parameter>,
    answer: oneshot::Sender<Result<Brought, Refused>>,
}

impl Statement {
    /// Tells what the connection says.
    pub fn answer(self, answer: Result<Brought, Refused>) {
        // Who asked may have given up.
        drop(self.answer.send(answer));
    }
}

/// Runs statements in the transaction in which the application's connection is.
#[derive(Debug)]
pub struct BorrowedConnection {
    statements: mpsc::UnboundedSender<Statement>,
}

impl BorrowedConnection {
    /// One, and what whoever holds the connection is to execute on it, one statement after the other.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(
    /// #     client: tasker_core::Client,
    /// #     submission: tasker_core::Submission,
    /// #     execute: impl Fn(&str, &[tasker_core::Parameter]) -> Result<tasker_core::Brought, tasker_core::Refused>,
    /// # ) -> Result<(), tasker_core::Error> {
    /// let (connection, mut statements) = tasker_core::BorrowedConnection::new();
    /// let mut submit = std::pin::pin!(client.submit_within(connection, &submission));
    /// let submitted = loop {
    ///     tokio::select! {
    ///         submitted = &mut submit => break submitted?,
    ///         Some(statement) = statements.recv() => {
    ///             let answer = execute(statement.sql, &statement.parameters);
    ///             statement.answer(answer);
    ///         }
    ///     }
    /// };
    /// # let _ = submitted;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Statement>) {
        let (statements, asked) = mpsc::unbounded_channel();
        (Self { statements }, asked)
    }

    async fn run(
        &mut self,
        sql: &'static str,
        parameters: Vec<Parameter>,
    ) -> Result<Brought, StoreError> {
        let (answer, answered) = oneshot::channel();
        let gone = || StoreError::Unavailable("the connection was taken back".into());
        self.statements.send(Statement { sql, parameters, answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(StoreError::from)
    }
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        let Refused { code, message, constraint } = refused;
        if code.is_none() {
            return Self::Unavailable(message.into());
        }
        let source = sqlx::Error::Protocol(message.clone());
        sqlstate::from_code(source, code, constraint, message)
    }
}

macro_rules! sql {
    ($file:literal) => {
        include_str!(concat!("sql/", $file, ".sql"))
    };
}

/// What the engine writes in a transaction of the application's.
#[derive(Debug)]
pub(crate) struct BorrowedTx {
    connection: BorrowedConnection,
    keys: Keyring,
}

impl BorrowedTx {
    pub(crate) fn new(connection: BorrowedConnection, keys: Keyring) -> Self {
        Self { connection, keys }
    }

    /// What tells its tables from those of any other database, and search_path.
    pub(crate) async fn identity(&mut self) -> Result<String, StoreError> {
        let brought = self.connection.run(sql!("database_identity"), Vec::new()).await?;
        Row(brought.rows.into_iter().next().unwrap_or_default()).read(0)
    }
}

/// The values of a row, by position.
struct Row(Vec<Option<String>>);

impl Row {
    fn read<T: FromStr>(&self, column: usize) -> Result<T, StoreError> {
        self.read_by(column, |value| value.parse().ok())
    }

    fn state(&self, column: usize) -> Result<TaskState, StoreError> {
        self.read_by(column, TaskState::parse)
    }

    fn read_by<T>(
        &self,
        column: usize,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let value = self.0.get(column).and_then(Option::as_deref);
        value.and_then(read).ok_or_else(|| {
            let message = format!("column {column} of a row is {value:?}, which cannot be read");
            let source = Box::new(sqlx::Error::Protocol(message.clone()));
            StoreError::Other { code: None, message, source }
        })
    }
}

impl TaskWriter for BorrowedTx {
    async fn versions(
        &mut self,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<(TemplateId, String)>, StoreError> {
        let named = [namespace, name].map(|text| Parameter::one(oid::TEXT, text));
        let brought = self.connection.run(sql!("find_template"), named.into()).await?;
        let rows = brought.rows.into_iter().map(Row);
        rows.map(|row| Ok((TemplateId(row.read(0)?), row.read(1)?))).collect()
    }

    async fn hold_template(&mut self, id: TemplateId) -> Result<bool, StoreError> {
        let id = vec![Parameter::one(oid::INT, id.0)];
        Ok(!self.connection.run(sql!("hold_template"), id).await?.rows.is_empty())
    }

    async fn find_identity(
        &mut self,
        identity: &Identity,
    ) -> Result<Option<(TaskId, TaskState)>, StoreError> {
        let parameters = vec![
            Parameter::digests(&identities::to_find(&self.keys, identity)),
            Parameter::maybe(oid::TEXT, None::<&str>),
        ];
        let brought = self.connection.run(sql!("find_identity"), parameters).await?;
        let mut rows = brought.rows.into_iter().filter(|row| row.iter().all(Option::is_some));
        let found = rows.next().map(Row);
        found.map(|row| Ok((TaskId(row.read(0)?), row.state(1)?))).transpose()
    }

    async fn create_tasks(
        &mut self,
        new: &NewTasks<'_>,
        contexts: &[String],
    ) -> Result<Vec<TaskId>, StoreError> {
        let (total, runnable) = new.planned();
        let contexts = tasks::sealed(&self.keys, contexts)?;
        let parameters = vec![
            Parameter::one(oid::INT, new.template),
            Parameter::one(oid::INT, total),
            Parameter::one(oid::INT, runnable),
            Parameter::maybe(oid::TEXT, new.initiator),
            Parameter::maybe(oid::TEXT, new.source_system),
            Parameter::maybe(oid::TEXT, new.reason),
            Parameter::maybe(oid::TEXT, new.tags),
            Parameter::list(oid::TEXTS, &contexts),
            Parameter::list(oid::INTS, &new.step_indexes),
            Parameter::list(oid::INTS, &new.named_step_ids),
            Parameter::list(oid::UNKNOWN, &new.states),
            Parameter::list(oid::INTS, &new.open_parents),
            Parameter::list(oid::INTS, &new.edges_from),
            Parameter::list(oid::INTS, &new.edges_to),
            Parameter::list(oid::INTS, &new.ready_indexes),
            Parameter::list(oid::TEXTS, &new.ready_queues),
            Parameter::list(oid::FLOATS, &new.ready_delays_s),
            Parameter::maybe(oid::BIGINT, new.parent_step),
            Parameter::one(oid::BOOL, new.has_budget),
            Parameter::one(oid::BOOL, new.has_deadline),
            Parameter::one(oid::SMALLINT, new.priority),
        ];
        let brought = self.connection.run(sql!("create_tasks"), parameters).await?;
        brought.rows.into_iter().map(|row| Ok(TaskId(Row(row).read(0)?))).collect()
    }

    async fn record_identity(
        &mut self,
        identity: &Identity,
        task: TaskId,
        seconds: Option<f64>,
    ) -> Result<bool, StoreError> {
        let digests = self.keys.digests(identity.fingerprint());
        let parameters = vec![
            Parameter::digests(&digests),
            Parameter::one(oid::BIGINT, task),
            Parameter::maybe(oid::FLOAT, seconds),
        ];
        let brought = self.connection.run(sql!("record_identity"), parameters).await?;
        Ok(usize::try_from(brought.changed).is_ok_and(|changed| changed == digests.len()))
    }

    async fn record_budgets(&mut self, tasks: &[TaskId], limits: Limits) -> Result<(), StoreError> {
        let parameters = vec![
            Parameter::list(oid::BIGINTS, tasks),
            Parameter::maybe(oid::INT, limits.attempts.map(|most| int(most.get()))),
            Parameter::maybe(oid::BIGINT, limits.cost.map(big)),
        ];
        self.connection.run(sql!("record_budgets"), parameters).await.map(drop)
    }

    async fn record_deadlines(&mut self, tasks: &[TaskId], seconds: f64) -> Result<(), StoreError> {
        let parameters =
            vec![Parameter::list(oid::BIGINTS, tasks), Parameter::one(oid::FLOAT, seconds)];
        self.connection.run(sql!("record_deadlines"), parameters).await.map(drop)
    }

    async fn record_step_deadlines(&mut self, times: &[StepTime]) -> Result<(), StoreError> {
        let parameters = vec![
            Parameter::list(oid::BIGINTS, times.iter().map(|time| time.step)),
            Parameter::list(oid::FLOATS, times.iter().map(|time| time.seconds)),
            Parameter::maybes(oid::TIMES, times.iter().map(|time| time.from)),
        ];
        self.connection.run(sql!("record_step_deadlines"), parameters).await.map(drop)
    }

    async fn correlate_tasks(&mut self, tasks: &[TaskId], key: &str) -> Result<(), StoreError> {
        let parameters = vec![Parameter::list(oid::BIGINTS, tasks), Parameter::one(oid::TEXT, key)];
        self.connection.run(sql!("record_correlations"), parameters).await.map(drop)
    }

    async fn call_workers(&mut self, queues: &[String]) -> Result<(), StoreError> {
        if queues.is_empty() {
            return Ok(());
        }
        let parameters =
            vec![Parameter::one(oid::TEXT, CHANNEL), Parameter::list(oid::TEXTS, queues)];
        self.connection.run(sql!("call_workers"), parameters).await.map(drop)
    }
}

impl EndRecorder for BorrowedTx {
    async fn record_end(
        &mut self,
        claim: Claim,
        outcome: &str,
        artifacts: &[NewArtifact],
    ) -> Result<bool, StoreError> {
        let task = vec![Parameter::list(oid::BIGINTS, [claim.step.task()])];
        self.connection.run(sql!("lock_tasks"), task).await?;
        let outcome = self.keys.seal(Content::End, outcome)?;
        let parameters = vec![
            Parameter::one(oid::BIGINT, claim.step),
            Parameter::one(oid::INT, claim.attempt),
            Parameter::one(oid::BIGINT, claim.worker),
            Parameter::one(oid::TEXT, outcome),
        ];
        let recorded = self.connection.run(sql!("record_end"), parameters).await?.changed > 0;
        if recorded && !artifacts.is_empty() {
            let contents = artifacts::sealed(&self.keys, artifacts)?;
            let parameters = vec![
                Parameter::list(oid::BIGINTS, artifacts.iter().map(|one| one.step)),
                Parameter::list(oid::INTS, artifacts.iter().map(|one| one.attempt)),
                Parameter::list(oid::TEXTS, artifacts.iter().map(|one| &one.name)),
                Parameter::list(oid::TEXTS, artifacts.iter().map(|one| &one.media_type)),
                Parameter::maybes(oid::TEXTS, contents),
                Parameter::maybes(oid::TEXTS, artifacts.iter().map(|one| one.uri.as_ref())),
            ];
            self.connection.run(sql!("record_artifacts"), parameters).await?;
        }
        Ok(recorded)
    }
}
