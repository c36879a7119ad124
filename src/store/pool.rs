//! Connections and transactions on the engine's schema, the same for whoever runs statements whether sessions are
//! a process's own or shared. Where they are shared, each statement runs in a transaction that first asks for its
//! settings, and has no name.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{
    PgArguments, PgConnection, PgPoolOptions, PgQueryResult, PgRow, PgStatement,
    PgTransactionManager, PgTypeInfo,
};
use sqlx::{Describe, Either, Execute, Executor, PgPool, Postgres, TransactionManager};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::sessions::Way;

/// How long a connection may take to come back to its pool, which asks it for a sign of life then.
const COMES_BACK: Duration = Duration::from_secs(5);

/// What a statement brings.
type Brought = Either<PgQueryResult, PgRow>;

/// What has to be there and is not used: statements that are prepared without being executed.
macro_rules! prepared_by {
    ($life:lifetime, $field:ident) => {
        fn prepare_with<'e, 'q: 'e>(
            self,
            sql: &'q str,
            parameters: &'e [PgTypeInfo],
        ) -> BoxFuture<'e, Result<PgStatement<'q>, sqlx::Error>>
        where
            $life: 'e,
        {
            self.$field.prepare_with(sql, parameters)
        }

        fn describe<'e, 'q: 'e>(
            self,
            sql: &'q str,
        ) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
        where
            $life: 'e,
        {
            self.$field.describe(sql)
        }
    };
}

/// Connections to one database. Runs a statement in a transaction of its own.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    connections: PgPool,
    /// What each transaction does first where sessions are shared.
    preparation: Option<Arc<str>>,
}

impl Pool {
    /// Connects when a statement needs it.
    pub(super) fn new(way: &Way, options: PgPoolOptions) -> Self {
        Self {
            connections: options.connect_lazy_with(way.options()),
            preparation: way.preparation().map(Arc::from),
        }
    }

    async fn lend(&self) -> Result<Lent, sqlx::Error> {
        Ok(Lent { connection: self.connections.acquire().await?, beginning: false })
    }

    pub(super) async fn begin(&self) -> Result<Session, sqlx::Error> {
        let mut session =
            Session { connection: self.lend().await?, shared: self.preparation.is_some() };
        session.connection.beginning = true;
        PgTransactionManager::begin(&mut session.connection, None).await?;
        session.connection.beginning = false;
        // Not together with BEGIN: sqlx rolls back what it has seen to begin.
        if let Some(preparation) = &self.preparation {
            session.set(preparation).await?;
        }
        Ok(session)
    }

    /// Connections there are.
    pub(super) fn size(&self) -> u32 {
        self.connections.size()
    }

    pub(super) async fn close(&self) {
        self.connections.close().await;
    }

    /// All that a statement brings, in a transaction of its own.
    async fn run<'q>(
        self,
        statement: impl Execute<'q, Postgres> + 'q,
    ) -> Result<Vec<Brought>, sqlx::Error> {
        if self.preparation.is_none() {
            return self.lend().await?.fetch_many(statement).try_collect().await;
        }
        let mut session = self.begin().await?;
        let brought = session.fetch_many(statement).try_collect().await?;
        session.commit().await?;
        Ok(brought)
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Brought, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let brought = self.clone().run(query);
        stream::once(brought)
            .map_ok(|brought| stream::iter(brought.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let brought = self.clone().run(query);
        Box::pin(async { Ok(brought.await?.into_iter().find_map(Either::right)) })
    }

    prepared_by!('p, connections);
}

/// A connection of a pool. It goes back when it is dropped, within [`COMES_BACK`], or is closed: the pool would wait for ever
/// for one that has fallen silent, and count it among those that it has.
#[derive(Debug)]
struct Lent {
    connection: PoolConnection<Postgres>,
    /// It has been asked to begin a transaction, and has not answered.
    beginning: bool,
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // It would go back in a transaction of which nobody knows.
        if self.beginning {
            self.connection.close_on_drop();
        } else if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(COMES_BACK, self.connection.return_to_pool()));
        }
    }
}

/// A transaction, which runs its statements. Without a call of [`Session::commit`] nothing comes of it.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Lent,
    shared: bool,
}

/// Rolls back what is not committed.
impl Drop for Session {
    fn drop(&mut self) {
        PgTransactionManager::start_rollback(&mut self.connection);
    }
}

impl Session {
    /// Settings for the transaction, as [`sessions`](super::sessions) write them.
    pub(super) async fn set(&mut self, settings: &str) -> Result<(), sqlx::Error> {
        let asked = sqlx::raw_sql(settings);
        self.connection.execute(asked).await?;
        Ok(())
    }

    /// # Errors
    /// An error does not say that nothing was written: the answer may be what was lost.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        PgTransactionManager::commit(&mut self.connection).await
    }

    fn statement<E>(&self, query: E) -> Statement<E> {
        Statement { query, named: !self.shared }
    }
}

impl<'s> Executor<'s> for &'s mut Session {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Brought, sqlx::Error>>
    where
        's: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = self.statement(query);
        self.connection.fetch_many(statement)
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        's: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = self.statement(query);
        self.connection.fetch_optional(statement)
    }

    prepared_by!('s, connection);
}

/// A statement that the server keeps under a name, or does not.
struct Statement<E> {
    query: E,
    named: bool,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Statement<E> {
    fn sql(&self) -> &'q str {
        self.query.sql()
    }

    fn statement(&self) -> Option<&PgStatement<'q>> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.named && self.query.persistent()
    }
}
