//! The consistency check: every counter and state computed anew from the rows.

use std::time::Duration;

use serde::Serialize;

use super::{Store, StoreError, Warning};

/// The checks of `sql/audit.sql`, with what each compares.
const CHECKS: &[(&str, &str)] = &[
    ("added_steps", "each step that was added is there"),
    ("attempts", "each step has one record for each attempt that ended"),
    (
        "budgets",
        "each budget counts the attempts of its task, and reserves for steps that run only",
    ),
    ("claims_without_batch", "each claim is listed in a batch of its worker"),
    ("claims_without_worker", "each claim belongs to a worker that is alive"),
    ("deadlines", "each task that has a deadline says so"),
    ("edges_without_steps", "each edge joins two steps of its task"),
    ("identities_without_task", "each identity leads to a task"),
    ("map_steps", "each map step ends with its items, in error exactly if more failed than may"),
    ("missed_signals", "no step waits for a signal that was sent"),
    (
        "open_parents",
        "each pending step counts its parents by what they did, each map step in error its items",
    ),
    ("parent_counts", "where it is kept how many parents a step has, it has as many"),
    (
        "ready_steps",
        "the claimable steps, and no others, are in the hot table with the priorities of their tasks, those of paused tasks in no queue",
    ),
    ("recorded_ends", "each end that a transaction has recorded is that of a claim that is held"),
    (
        "started_before_parents",
        "no step that waits for all its parents started before they completed",
    ),
    ("step_history", "each step's transitions form a chain that ends in its state"),
    ("steps_without_task", "each step belongs to a task"),
    ("task_counters", "each task counts its steps by what they do, and its failures"),
    ("task_history", "each task's transitions form a chain that ends in its state"),
    ("task_states", "each task's state follows from its steps"),
    ("waits", "each step that waits says for what"),
];

/// One check and how many rows break it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The check's name.
    pub name: &'static str,
    /// Nothing was found.
    pub ok: bool,
    /// Rows that break it.
    pub found: i64,
    /// The rule, and the first ids that break it.
    pub detail: String,
}

/// A handler that tasks need which have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NeededHandler {
    /// The namespace of their template.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The handler's class.
    pub handler_class: String,
    /// The first step that it executes.
    pub step: String,
}

/// The outcome of all checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Nothing was found by any check. Warnings do not count.
    pub ok: bool,
    /// One entry a check.
    pub checks: Vec<Check>,
    /// What hinders the engine, causes before effects.
    pub warnings: Vec<Warning>,
    /// The handlers of templates whose tasks have not all ended.
    pub handlers: Vec<NeededHandler>,
}

impl Store {
    pub(crate) async fn audit(&self, old_transaction: Duration) -> Result<Audit, StoreError> {
        let warnings = self.warnings(old_transaction).await?;
        let mut tx = self.pool.begin().await?;
        sqlx::query_file!("src/store/sql/begin_audit.sql").fetch_one(&mut tx).await?;
        let findings = sqlx::query_file!("src/store/sql/audit.sql").fetch_all(&mut tx).await?;
        let check = |&(name, rule): &(&'static str, &str)| {
            let finding = findings.iter().find(|row| row.name == name);
            let found = finding.map_or(0, |row| row.found);
            let ids = finding.map(|row| format!("; broken by {:?}", row.ids)).unwrap_or_default();
            Check { name, ok: found == 0, found, detail: format!("{rule}{ids}") }
        };
        let checks: Vec<_> = CHECKS.iter().map(check).collect();
        let handlers = sqlx::query_file_as!(NeededHandler, "src/store/sql/needed_handlers.sql");
        let handlers = handlers.fetch_all(&mut tx).await?;
        Ok(Audit { ok: checks.iter().all(|check| check.ok), checks, warnings, handlers })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::CHECKS;

    #[test]
    fn every_finding_of_the_query_is_a_check() {
        let sql = include_str!("sql/audit.sql");
        let found = sql.split("SELECT '").skip(1).filter_map(|rest| rest.split('\'').next());
        let found: BTreeSet<_> = found.collect();
        let checked: BTreeSet<_> = CHECKS.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, checked);
    }
}
