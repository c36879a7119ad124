//! Templates: one immutable row a version, with a row a step for those who read SQL.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{LONGEST_WAIT, Store, StoreError, Tx};
use crate::ids::TemplateId;

/// A version that is stored already.
#[derive(Debug)]
pub(crate) struct StoredTemplate {
    pub(crate) id: TemplateId,
    pub(crate) configuration: String,
}

/// A version as it was read.
#[derive(Debug)]
pub(crate) struct LoadedTemplate {
    pub(crate) configuration: String,
    /// The ids of the rows of its steps, by position.
    pub(crate) named_step_ids: Vec<i32>,
}

/// A version in a list.
#[derive(Debug, serde::Serialize)]
pub(crate) struct TemplateListRow {
    pub(crate) template_id: i32,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: Option<String>,
    pub(crate) steps: i64,
}

/// The tasks of a version that have not ended.
#[derive(Debug)]
pub(crate) struct LiveTasksRow {
    pub(crate) count: i64,
    pub(crate) oldest_at: Option<DateTime<Utc>>,
    /// The oldest of them.
    pub(crate) task_ids: Vec<i64>,
}

/// In how many of these a step has still to run.
#[derive(Debug)]
pub(crate) struct StepToRunRow {
    pub(crate) step_index: i32,
    pub(crate) tasks: i64,
    /// The oldest of them.
    pub(crate) task_ids: Vec<i64>,
}

/// A version by its names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TemplateKey<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
}

/// The steps of a version, as columns.
#[derive(Debug)]
pub(crate) struct NamedSteps {
    pub(crate) indexes: Vec<i32>,
    pub(crate) names: Vec<String>,
    pub(crate) queues: Vec<String>,
}

/// Locks the version if it is stored; [`StoreError::Timeout`] where it is held for too long.
pub(crate) async fn lock(
    tx: &mut Tx,
    key: TemplateKey<'_>,
) -> Result<Option<StoredTemplate>, StoreError> {
    let locked = sqlx::query_file!(
        "src/store/sql/lock_template.sql",
        key.namespace,
        key.name,
        key.version,
        LONGEST_WAIT
    );
    let row = locked.fetch_optional(&mut **tx).await?;
    Ok(row.map(|row| StoredTemplate {
        id: TemplateId(row.named_task_id),
        configuration: row.configuration,
    }))
}

/// The stored versions of a template.
pub(crate) async fn versions(
    tx: &mut Tx,
    namespace: &str,
    name: &str,
) -> Result<Vec<(TemplateId, String)>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/find_template.sql", namespace, name)
        .fetch_all(&mut **tx)
        .await?;
    Ok(rows.into_iter().map(|row| (TemplateId(row.named_task_id), row.version)).collect())
}

/// A version's definition.
pub(crate) async fn load(
    connection: impl PgExecutor<'_>,
    id: TemplateId,
) -> Result<Option<LoadedTemplate>, StoreError> {
    Ok(sqlx::query_file_as!(LoadedTemplate, "src/store/sql/load_template.sql", id.0)
        .fetch_optional(connection)
        .await?)
}

/// Whether a task was made from the version.
pub(crate) async fn is_used(
    connection: impl PgExecutor<'_>,
    id: TemplateId,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_file_scalar!("src/store/sql/template_is_used.sql", id.0)
        .fetch_one(connection)
        .await?)
}

/// Keeps the version as it is until the transaction ends; `false` when it is not there any more.
pub(crate) async fn hold(tx: &mut Tx, id: TemplateId) -> Result<bool, StoreError> {
    let held = sqlx::query_file_scalar!("src/store/sql/hold_template.sql", id.0)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(held.is_some())
}

/// Writes a version; `None` when another process was faster.
pub(crate) async fn insert(
    tx: &mut Tx,
    key: TemplateKey<'_>,
    description: Option<&str>,
    configuration: &str,
) -> Result<Option<TemplateId>, StoreError> {
    sqlx::query_file!("src/store/sql/insert_namespace.sql", key.namespace)
        .execute(&mut **tx)
        .await?;
    let id = sqlx::query_file_scalar!(
        "src/store/sql/insert_template.sql",
        key.namespace,
        key.name,
        key.version,
        description,
        configuration,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(id.map(TemplateId))
}

/// Deletes a version that no task was made from, with its steps.
pub(crate) async fn delete(tx: &mut Tx, id: TemplateId) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/delete_template.sql", id.0).execute(&mut **tx).await?;
    Ok(())
}

/// Writes the steps of a version.
pub(crate) async fn insert_steps(
    tx: &mut Tx,
    id: TemplateId,
    steps: &NamedSteps,
) -> Result<(), StoreError> {
    sqlx::query_file!(
        "src/store/sql/insert_named_steps.sql",
        id.0,
        &steps.indexes,
        &steps.names,
        &steps.queues
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Those of these names that are stored, by name.
pub(crate) async fn find_registered(
    connection: impl PgExecutor<'_>,
    namespace: &str,
    names: &[String],
    version: &str,
) -> Result<HashMap<String, StoredTemplate>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/find_registered.sql", namespace, names, version)
        .fetch_all(connection)
        .await?;
    let stored = rows.into_iter().map(|row| {
        let id = TemplateId(row.named_task_id);
        (row.name, StoredTemplate { id, configuration: row.configuration })
    });
    Ok(stored.collect())
}

impl Store {
    /// Those of these names that are stored, by name.
    pub(crate) async fn find_registered(
        &self,
        namespace: &str,
        names: &[String],
        version: &str,
    ) -> Result<HashMap<String, StoredTemplate>, StoreError> {
        find_registered(&self.pool, namespace, names, version).await
    }

    /// Whether a task was made from the version.
    pub(crate) async fn template_is_used(&self, id: TemplateId) -> Result<bool, StoreError> {
        is_used(&self.pool, id).await
    }

    pub(crate) async fn list_templates(&self) -> Result<Vec<TemplateListRow>, StoreError> {
        Ok(sqlx::query_file_as!(TemplateListRow, "src/store/sql/list_templates.sql")
            .fetch_all(&self.pool)
            .await?)
    }
    pub(crate) async fn live_tasks(&self, id: TemplateId) -> Result<LiveTasksRow, StoreError> {
        Ok(sqlx::query_file_as!(LiveTasksRow, "src/store/sql/live_tasks.sql", id.0)
            .fetch_one(&self.pool)
            .await?)
    }

    /// In how many tasks that have not ended the steps at these positions have still to run; without those that none
    /// has to.
    pub(crate) async fn steps_to_run(
        &self,
        id: TemplateId,
        indexes: &[i32],
    ) -> Result<Vec<StepToRunRow>, StoreError> {
        Ok(sqlx::query_file_as!(StepToRunRow, "src/store/sql/steps_to_run.sql", id.0, indexes)
            .fetch_all(&self.pool)
            .await?)
    }
}
