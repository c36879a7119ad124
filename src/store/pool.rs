//! Connections and transactions on the engine's schema, the same for whoever runs statements whether sessions are
//! a process's own or shared. Where they are shared, each statement runs in a transaction that first asks for its
//! settings, and has no name.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgPool, Postgres};

use super::sessions::Way;

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

    pub(super) async fn begin(&self) -> Result<Session, sqlx::Error> {
        let mut transaction = self.connections.begin().await?;
        // Not together with BEGIN: sqlx rolls back what it has seen to begin.
        if let Some(preparation) = &self.preparation {
            let asked = sqlx::raw_sql(preparation);
            transaction.execute(asked).await?;
        }
        Ok(Session { transaction, shared: self.preparation.is_some() })
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
        if self.preparation.is_none() {
            return self.connections.fetch_many(query);
        }
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
        if self.preparation.is_none() {
            return self.connections.fetch_optional(query);
        }
        let brought = self.clone().run(query);
        Box::pin(async { Ok(brought.await?.into_iter().find_map(Either::right)) })
    }

    prepared_by!('p, connections);
}

/// A transaction, which runs its statements. Without a call of [`Session::commit`] nothing comes of it.
#[derive(Debug)]
pub(crate) struct Session {
    transaction: sqlx::Transaction<'static, Postgres>,
    shared: bool,
}

impl Session {
    /// # Errors
    /// An error does not say that nothing was written: the answer may be what was lost.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
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
        self.transaction.fetch_many(statement)
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
        self.transaction.fetch_optional(statement)
    }

    prepared_by!('s, transaction);
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
