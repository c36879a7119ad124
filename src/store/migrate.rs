//! The numbered pairs of `migrations/`, up and down. The schema's version is the comment of
//! `tasker_tasks`: it survives dumps of the structure.

use serde::Serialize;
use sqlx::PgExecutor;

use super::{Session, StoreError};

/// One numbered pair.
struct Migration {
    version: u32,
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            up: include_str!(concat!("../../migrations/", $name, ".up.sql")),
            down: include_str!(concat!("../../migrations/", $name, ".down.sql")),
        }
    };
}

const MIGRATIONS: &[Migration] = &[migration!(1, "001_create_tasker")];

/// The schema's version that this library reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Guards migrations against one another: "tasker" on a telephone's keys, and 1.
const MIGRATION_LOCK: i64 = 8_275_371;

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The version before.
    pub from: u32,
    /// The version after.
    pub to: u32,
    /// The names of the migrations that ran, in their order.
    pub applied: Vec<&'static str>,
    /// The newest version that there is.
    pub latest: u32,
}

/// The version of the schema in the database; 0 where there is none.
pub(crate) async fn version(connection: impl PgExecutor<'_>) -> Result<u32, StoreError> {
    let comment = sqlx::query_file_scalar!("src/store/sql/schema_version.sql")
        .fetch_optional(connection)
        .await?;
    let version = comment.as_deref().and_then(|text| text.strip_prefix("tasker_core schema "));
    Ok(version.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Brings the schema to `target`, up or down, in one transaction.
pub(crate) async fn migrate(mut session: Session, target: u32) -> Result<Migrated, StoreError> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK).execute(&mut session).await?;
    let from = version(&mut session).await?;
    let mut applied = Vec::new();
    for (migration, sql) in path(from, target) {
        sqlx::raw_sql(sql).execute(&mut session).await?;
        applied.push(migration.name);
    }
    session.commit().await?;
    Ok(Migrated { from, to: target, applied, latest: SCHEMA_VERSION })
}

fn path(from: u32, target: u32) -> Vec<(&'static Migration, &'static str)> {
    if from <= target {
        let range = from + 1..=target;
        MIGRATIONS.iter().filter(|m| range.contains(&m.version)).map(|m| (m, m.up)).collect()
    } else {
        let range = target + 1..=from;
        let down = MIGRATIONS.iter().rev().filter(|m| range.contains(&m.version));
        down.map(|m| (m, m.down)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_embedded_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let embedded: Vec<_> = MIGRATIONS
            .iter()
            .flat_map(|m| [format!("{}.down.sql", m.name), format!("{}.up.sql", m.name)])
            .collect();
        assert_eq!(files, embedded);
        assert_eq!(MIGRATIONS.last().unwrap().version, SCHEMA_VERSION);
    }

    #[test]
    fn the_newest_migration_leaves_its_version() {
        let last = MIGRATIONS.last().unwrap();
        let comment = format!("'tasker_core schema {}'", last.version);
        assert!(last.up.contains(&comment), "{} lacks {comment}", last.name);
    }

    #[test]
    fn a_path_goes_up_in_order_and_down_in_reverse() {
        assert_eq!(path(0, 1).len(), 1);
        assert_eq!(path(1, 0)[0].1, MIGRATIONS[0].down);
        assert!(path(1, 1).is_empty());
    }
}
