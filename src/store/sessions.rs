//! Ways to a database: to sessions of its own, or through a pooler that passes each session from client to client
//! (PgBouncer in transaction mode). Of what a client asks for, such a session keeps nothing from one transaction to
//! the next: no settings, no prepared statements, no `LISTEN` (`docs/decisions/0012-shared-sessions.md`).

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, Row};
use tokio::time::timeout;
use tracing::{debug, info};

use super::pool::Pool;
use super::{Planning, StoreError};

/// A setting that nobody else gives this value: a session that has it is the one that was asked for it.
const MARK: &str = "tasker.session";

/// How servers name a startup parameter that they refuse: PgBouncer as a violation of the protocol, others as a
/// feature that is missing.
const REFUSALS: [&str; 2] = ["08P01", "0A000"];

/// Gives up what sqlx prepared in this session for another client: it asks for the ids of types by named
/// statements, numbered for each connection from 1. All others have no name.
const FORGET: &str = "DO $$ DECLARE statement text; BEGIN \
    FOR statement IN SELECT name FROM pg_catalog.pg_prepared_statements WHERE pg_catalog.starts_with(name, 'sqlx_s_') LOOP \
    EXECUTE pg_catalog.format('DEALLOCATE %I', statement); END LOOP; END $$";

/// How connections are made.
#[derive(Clone)]
pub(super) struct Way {
    options: PgConnectOptions,
    /// What each transaction has to ask for, where sessions are shared: names and values.
    shared: Option<Vec<(String, String)>>,
}

impl Way {
    /// Finds out how the database can be reached, with two connections at most.
    pub(super) async fn find(
        url: &str,
        limit: Duration,
        planning: Planning,
    ) -> Result<Self, StoreError> {
        let options = connect_options(url)?.options(planning.settings());
        let looked = async {
            if is_own(&options).await? {
                return Ok(Self { options: options.clone(), shared: None });
            }
            let settings = settings(options.get_options().unwrap_or_default())?;
            let way = Self { options: without_settings(url)?, shared: Some(settings) };
            way.check().await?;
            info!("a connection pooler shares sessions; polling takes the place of LISTEN");
            Ok(way)
        };
        match timeout(limit, looked).await {
            Ok(Err(StoreError::Unavailable(why))) => Err(unreachable(&options, &why.to_string())),
            Ok(found) => found,
            Err(_) => {
                Err(unreachable(&options, &format!("no answer within {} ms", limit.as_millis())))
            }
        }
    }

    /// The same with another setting.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut way = self.clone();
        match &mut way.shared {
            Some(settings) => settings.push((name.to_owned(), value.to_owned())),
            None => way.options = way.options.options([(name, value)]),
        }
        way
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Sessions are those of a pooler, for a transaction at a time.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// What each transaction does first where sessions are shared.
    pub(super) fn preparation(&self) -> Option<String> {
        self.shared.as_deref().map(preparation)
    }

    /// Settings that the server refuses are noticed here.
    async fn check(&self) -> Result<(), StoreError> {
        let pool = Pool::new(self, PgPoolOptions::new().max_connections(1));
        pool.begin().await?.commit().await?;
        pool.close().await;
        Ok(())
    }
}

fn connect_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url);
    let options = options.map_err(|error| StoreError::Url(error.to_string()))?;
    Ok(options.application_name("tasker_core"))
}

/// Poolers refuse startup parameters that they do not know. No statement is kept: its name would mean nothing, or
/// something else, in the next session.
fn without_settings(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = connect_options(&without_options(url))?;
    Ok(options.extra_float_digits(None).statement_cache_capacity(0))
}

/// The URL without its parameters `options=...` and `options[...]=...`.
fn without_options(url: &str) -> String {
    let Some((place, parameters)) = url.split_once('?') else { return url.to_owned() };
    let kept = parameters.split('&').filter(|parameter| {
        let name = parameter.split('=').next().unwrap_or_default();
        name != "options" && !name.starts_with("options[")
    });
    format!("{place}?{}", kept.collect::<Vec<_>>().join("&"))
}

/// Whether a connection has a session of its own: one that has what the connection asked for when it began.
async fn is_own(options: &PgConnectOptions) -> Result<bool, StoreError> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mark = format!("{:x}.{:x}", std::process::id(), since_epoch.as_nanos());
    match options.clone().options([(MARK, &mark)]).connect().await {
        Ok(connection) => Ok(mark_of(connection).await?.is_some_and(|found| found == mark)),
        Err(error) if is_refusal(&error) => {
            debug!(%error, "a connection with settings was refused");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| REFUSALS.contains(&&*code))
}

async fn mark_of(mut connection: PgConnection) -> Result<Option<String>, StoreError> {
    let asked = sqlx::raw_sql("SELECT pg_catalog.current_setting('tasker.session', true)");
    let mark = connection.fetch_one(asked).await?.try_get(0)?;
    connection.close().await?;
    Ok(mark)
}

fn unreachable(options: &PgConnectOptions, why: &str) -> StoreError {
    let port = options.get_port();
    let host = match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or_default();
    StoreError::Unavailable(format!("{host}:{port}/{database}: {why}").into())
}

/// Names and values from the command line of a session: `-c name=value` or `--name=value`, where a backslash stands
/// before a character that is meant as it is.
/// Source: PostgreSQL 15 manual, "Frontend/Backend Protocol", message `StartupMessage`.
fn settings(options: &str) -> Result<Vec<(String, String)>, StoreError> {
    let mut words = words(options).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.as_str(), word.strip_prefix("-c"), word.strip_prefix("--")) {
            ("-c", _, _) => words.next(),
            (_, Some(setting), _) | (_, _, Some(setting)) => Some(setting.to_owned()),
            _ => None,
        };
        let setting = setting.as_deref().and_then(|setting| setting.split_once('='));
        let (name, value) = setting.ok_or_else(|| {
            StoreError::Url(format!("the option {word:?}; allowed: -c name=value"))
        })?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.extend(characters.next()),
            _ if character.is_ascii_whitespace() => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// The statements with which a transaction begins in a session of which nothing is known.
fn preparation(settings: &[(String, String)]) -> String {
    if settings.is_empty() { FORGET.to_owned() } else { format!("{FORGET}; {}", set(settings)) }
}

/// The statement by which a transaction gets settings.
pub(super) fn set(settings: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    let set = settings.iter().map(|(name, value)| {
        let (name, value) = (literal(name.as_ref()), literal(value.as_ref()));
        format!("pg_catalog.set_config({name}, {value}, true)")
    });
    format!("SELECT {}", set.collect::<Vec<_>>().join(", "))
}

/// A literal that reads the same whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_the_server_reads_them() {
        let read = |options| settings(options).unwrap();
        let one = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("-c jit=off"), [one("jit", "off")]);
        let several = read(r"-csearch_path=a,\ b --lock-timeout=5s   -c x.y=a=\\b");
        let wanted = [one("search_path", "a, b"), one("lock_timeout", "5s"), one("x.y", r"a=\b")];
        assert_eq!(several, wanted);
        assert!(read("").is_empty());
        for wrong in ["-c", "-c jit", "-B 5", "jit=off"] {
            assert!(matches!(settings(wrong), Err(StoreError::Url(_))), "{wrong}");
        }
    }

    #[test]
    fn settings_stay_within_their_literals() {
        let settings = [("a".to_owned(), r"it's \' one".to_owned())];
        let wanted = r"SELECT pg_catalog.set_config(E'a', E'it''s \\'' one', true)";
        assert_eq!(preparation(&settings), format!("{FORGET}; {wanted}"));
    }

    #[test]
    fn a_url_loses_its_settings_only() {
        let url = "postgres://a@b/c?options=-c%20x%3D1&sslmode=require&options[jit]=off";
        assert_eq!(without_options(url), "postgres://a@b/c?sslmode=require");
        assert_eq!(without_options("postgres://a@b/c"), "postgres://a@b/c");
    }
}
