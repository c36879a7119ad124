//! Statements on a connection of the application's, which a block of Ruby's executes.

use std::future::Future;

use magnus::block::Proc;
use magnus::{Error, Ruby};
use tasker_core::{BorrowedConnection, Brought, Refused, Statement};

use crate::runtime::{DroppedWithin, block_on, handle};

/// What comes next.
enum Next<T> {
    Done(T),
    Execute(Statement),
}

/// Rows and how many were changed; or nothing, with the SQLSTATE, the words and the constraint.
type Answered =
    (Option<Vec<Vec<Option<String>>>>, u64, Option<(Option<String>, String, Option<String>)>);

/// Waits for what runs statements on a connection of the application's. The block executes each; see [`execute`] for what it
/// is given and brings.
pub(crate) fn drive<T, F>(
    ruby: &Ruby,
    work: impl FnOnce(BorrowedConnection) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, tasker_core::Error>>,
{
    let connection = ruby.block_proc()?;
    let (borrowed, mut statements) = BorrowedConnection::new();
    let mut work = DroppedWithin::new(handle(ruby)?, work(borrowed));
    loop {
        let next = async {
            tokio::select! {
                biased;
                done = &mut work => done.map(Next::Done),
                Some(statement) = statements.recv() => Ok(Next::Execute(statement)),
            }
        };
        match block_on(ruby, next)? {
            Next::Done(done) => return Ok(done),
            Next::Execute(statement) => execute(connection, statement)?,
        }
    }
}

/// Has Ruby execute a statement: `call(sql, [[oid, text], ...])` brings `[rows, changed, nil]` or
/// `[nil, 0, [sqlstate, message, constraint]]`.
fn execute(connection: Proc, statement: Statement) -> Result<(), Error> {
    let parameters: Vec<_> = statement
        .parameters
        .iter()
        .map(|parameter| (parameter.oid, parameter.text.as_deref()))
        .collect();
    let (rows, changed, refused): Answered = connection.call((statement.sql, parameters))?;
    statement.answer(match refused {
        None => Ok(Brought { rows: rows.unwrap_or_default(), changed }),
        Some((code, message, constraint)) => Err(Refused { code, message, constraint }),
    });
    Ok(())
}
