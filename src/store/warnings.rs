//! What hinders the engine without making it wrong: keys that are not at hand, a pooler that shares sessions, and
//! whatever keeps Postgres from removing dead rows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};

use super::notify::POLL;
use super::{Store, StoreError};

/// How long a transaction may be open without a warning.
pub(crate) const OLD_TRANSACTION: Duration = Duration::from_secs(60);

/// Transactions that may have begun since a snapshot was taken, where the time is not known.
const OLD_SNAPSHOT: i32 = 100_000;

/// Dead rows that are too few to slow anything down.
const FEW_DEAD_ROWS: i64 = 10_000;

/// Seconds that the last vacuum of a table may be ago. Tables that change fast hold mostly dead rows before
/// each.
const VACUUM_DUE_S: f64 = 300.0;

/// Seconds by which the clock of this host may differ from the database's.
const CLOCK_TOLERANCE_S: f64 = 1.0;

/// Something that hinders the engine, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The kind: `missing_key`, `shared_sessions`, `clock`, `long_transaction`, `prepared_transaction`,
    /// `replication_slot` or `dead_rows`.
    pub name: &'static str,
    /// In words.
    pub detail: String,
    /// What to do.
    pub advice: String,
    /// The same for machines: names, counts, and ages in seconds (`age_s`).
    pub facts: Value,
}

struct SessionRow {
    pid: i32,
    user: String,
    application_name: String,
    state: String,
    age_s: Option<f64>,
    xmin: Option<String>,
    query: String,
}

struct PreparedRow {
    gid: String,
    user: String,
    age_s: f64,
}

struct SlotRow {
    slot_name: String,
    active: bool,
    transactions: i32,
}

struct TableRow {
    table: String,
    live_rows: i64,
    dead_rows: i64,
    vacuumed_s: Option<f64>,
}

struct KeyRow {
    key: String,
    tasks: i64,
}

impl Store {
    /// What hinders the engine, causes before effects. A transaction may be open for `old`.
    pub(crate) async fn warnings(&self, old: Duration) -> Result<Vec<Warning>, StoreError> {
        let (pool, old) = (&self.pool, old.as_secs_f64());
        let sessions = sqlx::query_file_as!(
            SessionRow,
            "src/store/sql/old_transactions.sql",
            old,
            OLD_SNAPSHOT
        )
        .fetch_all(pool)
        .await?;
        let prepared =
            sqlx::query_file_as!(PreparedRow, "src/store/sql/old_prepared_transactions.sql", old)
                .fetch_all(pool)
                .await?;
        let slots =
            sqlx::query_file_as!(SlotRow, "src/store/sql/old_replication_slots.sql", OLD_SNAPSHOT)
                .fetch_all(pool)
                .await?;
        let mut tables =
            sqlx::query_file_as!(TableRow, "src/store/sql/tables_of_dead_rows.sql", FEW_DEAD_ROWS)
                .fetch_all(pool)
                .await?;
        let names = self.keys.names();
        let missing = sqlx::query_file_as!(KeyRow, "src/store/sql/missing_keys.sql", &names)
            .fetch_all(pool)
            .await?;
        let held_back = !(sessions.is_empty() && prepared.is_empty() && slots.is_empty());
        tables.retain(|table| held_back || table.needs_vacuum());
        let known = self.keys.known();
        let missing = missing.into_iter().map(|row| row.warning(&known));
        let shared = self.way.is_shared().then(Warning::shared_sessions);
        let clock = self.clock_warning().await?;
        let causes =
            missing.chain(shared).chain(clock).chain(sessions.into_iter().map(Warning::from));
        let causes = causes.chain(prepared.into_iter().map(Warning::from));
        let causes = causes.chain(slots.into_iter().map(Warning::from));
        Ok(causes.chain(tables.into_iter().map(Warning::from)).collect())
    }

    async fn clock_warning(&self) -> Result<Option<Warning>, StoreError> {
        let before = host_clock();
        let row =
            sqlx::query_file!("src/store/sql/database_clock.sql").fetch_one(&self.pool).await?;
        Ok(Warning::clock(row.seconds, before, host_clock()))
    }
}

/// Seconds since 1970.
fn host_clock() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl TableRow {
    fn needs_vacuum(&self) -> bool {
        self.vacuumed_s.is_none_or(|seconds| seconds > VACUUM_DUE_S)
    }
}

impl KeyRow {
    fn warning(self, known: &str) -> Warning {
        let Self { key, tasks } = self;
        Warning {
            name: "missing_key",
            detail: format!(
                "{tasks} tasks that have not ended hold values encrypted with the key {key:?}, which is not among \
                 the encryption_keys of this process ({known}); a worker without it blocks their steps"
            ),
            advice: format!("add the key {key:?} to encryption_keys of every worker and client"),
            facts: json!({ "key": key, "tasks": tasks }),
        }
    }
}

impl Warning {
    /// What the database's clock said at a time between these two of the host's, which may have been put back meanwhile.
    fn clock(database: f64, before: f64, after: f64) -> Option<Self> {
        let offset = database - database.clamp(before.min(after), before.max(after));
        if offset.abs() <= CLOCK_TOLERANCE_S {
            return None;
        }
        let way = if offset > 0.0 { "behind" } else { "ahead of" };
        let seconds = offset.abs();
        Some(Self {
            name: "clock",
            detail: format!(
                "the clock of this host is {seconds:.1} s {way} the database's: times that handlers and jobs compute \
                 with it (sleep_until, wait_until) come that much too early or too late; the engine's own times are the \
                 database's"
            ),
            advice: "have both set by NTP: timedatectl set-ntp true".to_owned(),
            facts: json!({ "offset_s": -offset }),
        })
    }

    fn shared_sessions() -> Self {
        let detail = format!(
            "a connection pooler passes the sessions of this database URL from client to client: statements take \
             more ways to the server, and workers look for steps every {} ms because they cannot listen",
            POLL.as_millis()
        );
        Self {
            name: "shared_sessions",
            detail,
            advice: "give workers a URL of Postgres itself, unless it would have too many connections then"
                .to_owned(),
            facts: json!({ "poll_ms": POLL.as_millis() }),
        }
    }
}

impl From<SessionRow> for Warning {
    fn from(row: SessionRow) -> Self {
        let SessionRow { pid, user, application_name, state, age_s, xmin, query } = row;
        let since = age_s.map_or_else(|| "long".to_owned(), |age| format!("{age:.0} s"));
        let detail = format!(
            "session {pid} of user {user:?} (application {application_name:?}, {state}) has had a transaction \
             open for {since}; rows that died since cannot be removed; its query: {query}"
        );
        Self {
            name: "long_transaction",
            detail,
            advice: format!(
                "end it where it is, or the session: SELECT pg_terminate_backend({pid})"
            ),
            facts: json!({
                "pid": pid, "user": user, "application_name": application_name, "state": state,
                "age_s": age_s, "xmin": xmin, "query": query,
            }),
        }
    }
}

impl From<PreparedRow> for Warning {
    fn from(PreparedRow { gid, user, age_s }: PreparedRow) -> Self {
        let quoted = format!("'{}'", gid.replace('\'', "''"));
        let detail = format!(
            "the transaction {gid:?} of user {user:?} was prepared {age_s:.0} s ago and has not ended; \
             rows that died since cannot be removed"
        );
        Self {
            name: "prepared_transaction",
            detail,
            advice: format!("COMMIT PREPARED {quoted}, or ROLLBACK PREPARED {quoted}"),
            facts: json!({ "gid": gid, "user": user, "age_s": age_s }),
        }
    }
}

impl From<SlotRow> for Warning {
    fn from(SlotRow { slot_name, active, transactions }: SlotRow) -> Self {
        let quoted = format!("'{}'", slot_name.replace('\'', "''"));
        let used = if active { "in use" } else { "used by nobody" };
        let detail = format!(
            "the replication slot {slot_name:?} ({used}) keeps rows that died in the last {transactions} \
             transactions"
        );
        Self {
            name: "replication_slot",
            detail,
            advice: format!(
                "let its reader catch up, or where there is none any more: SELECT pg_drop_replication_slot({quoted})"
            ),
            facts: json!({ "slot_name": slot_name, "active": active, "transactions": transactions }),
        }
    }
}

impl From<TableRow> for Warning {
    fn from(row: TableRow) -> Self {
        let TableRow { table, live_rows, dead_rows, vacuumed_s } = row;
        let last = vacuumed_s.map_or_else(
            || "it has not been vacuumed yet".to_owned(),
            |seconds| format!("it was vacuumed {seconds:.0} s ago"),
        );
        Self {
            name: "dead_rows",
            detail: format!(
                "{table} holds {dead_rows} dead rows and {live_rows} live ones; {last}"
            ),
            advice: format!(
                "end what holds dead rows back, where something is named above; then: VACUUM {table}"
            ),
            facts: json!({
                "table": table, "live_rows": live_rows, "dead_rows": dead_rows, "vacuumed_s": vacuumed_s,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_holds_does_not_end_the_advised_statement() {
        let gid = "it's".to_owned();
        let warning = Warning::from(PreparedRow { gid, user: "ada".to_owned(), age_s: 61.4 });
        assert_eq!(warning.advice, "COMMIT PREPARED 'it''s', or ROLLBACK PREPARED 'it''s'");
        assert!(warning.detail.contains("prepared 61 s ago"), "{}", warning.detail);
        let slot = SlotRow { slot_name: "standby_1".to_owned(), active: false, transactions: 7 };
        assert!(
            Warning::from(slot).advice.ends_with("SELECT pg_drop_replication_slot('standby_1')")
        );
    }

    #[test]
    fn a_clock_is_wrong_that_differs_by_more_than_asking_took() {
        assert_eq!(Warning::clock(105.0, 100.0, 110.0), None);
        assert_eq!(Warning::clock(110.9, 100.0, 110.0), None);
        assert_eq!(Warning::clock(105.0, 110.0, 100.0), None);
        let behind = Warning::clock(112.5, 100.0, 110.0).unwrap();
        assert!(behind.detail.contains("2.5 s behind the database's"), "{}", behind.detail);
        let ahead = Warning::clock(40.0, 100.0, 110.0).unwrap();
        assert!(ahead.detail.contains("60.0 s ahead of the database's"), "{}", ahead.detail);
        assert_eq!(ahead.facts, json!({ "offset_s": 60.0 }));
    }

    #[test]
    fn a_table_that_was_just_vacuumed_needs_no_vacuum() {
        let table = |vacuumed_s| TableRow {
            table: "tasker_ready_steps".to_owned(),
            live_rows: 0,
            dead_rows: 20_000,
            vacuumed_s,
        };
        assert!(table(None).needs_vacuum() && table(Some(301.0)).needs_vacuum());
        assert!(!table(Some(20.0)).needs_vacuum());
    }
}
