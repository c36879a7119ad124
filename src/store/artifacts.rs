//! What handlers attached to attempts.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::{Store, StoreError, Tx, int};
use crate::encryption::{Content, Keyring, NoRandomness};
use crate::ids::{StepId, TaskId};

/// An artifact that is to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewArtifact {
    pub(crate) step: StepId,
    pub(crate) attempt: u32,
    pub(crate) name: String,
    pub(crate) media_type: String,
    /// JSON text.
    pub(crate) content: Option<String>,
    pub(crate) uri: Option<String>,
}

/// An artifact as it was written; its content may be sealed.
#[derive(Debug)]
pub(crate) struct ArtifactRow {
    pub(crate) workflow_step_id: i64,
    pub(crate) attempt: i32,
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) content: Option<String>,
    pub(crate) uri: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
}

/// An artifact without its content.
#[derive(Debug)]
pub(crate) struct ArtifactSizeRow {
    pub(crate) workflow_step_id: i64,
    pub(crate) attempt: i32,
    pub(crate) name: String,
    pub(crate) media_type: String,
    /// Of the content, if it is kept here.
    pub(crate) bytes: Option<i32>,
    pub(crate) uri: Option<String>,
}

/// The contents of artifacts as they are written.
pub(super) fn sealed<'a>(
    keys: &Keyring,
    artifacts: &'a [NewArtifact],
) -> Result<Vec<Option<Cow<'a, str>>>, NoRandomness> {
    let seal = |text| keys.seal(Content::Artifact, text);
    artifacts.iter().map(|one| one.content.as_deref().map(seal).transpose()).collect()
}

/// Writes artifacts; those that are there already stay as they are.
pub(super) async fn record(tx: &mut Tx, artifacts: &[NewArtifact]) -> Result<(), StoreError> {
    let contents = sealed(&tx.keys, artifacts)?;
    let steps: Vec<_> = artifacts.iter().map(|one| one.step).collect();
    let attempts: Vec<_> = artifacts.iter().map(|one| int(one.attempt)).collect();
    let names: Vec<_> = artifacts.iter().map(|one| one.name.as_str()).collect();
    let media_types: Vec<_> = artifacts.iter().map(|one| one.media_type.as_str()).collect();
    let uris: Vec<_> = artifacts.iter().map(|one| one.uri.as_deref()).collect();
    sqlx::query_file!(
        "src/store/sql/record_artifacts.sql",
        steps.as_slice() as &[StepId],
        &attempts,
        names.as_slice() as &[&str],
        media_types.as_slice() as &[&str],
        contents.as_slice() as &[Option<Cow<'_, str>>],
        uris.as_slice() as &[Option<&str>],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// The artifacts of steps, without their contents.
    pub(crate) async fn artifact_sizes(
        &self,
        steps: &[StepId],
    ) -> Result<Vec<ArtifactSizeRow>, StoreError> {
        Ok(sqlx::query_file_as!(
            ArtifactSizeRow,
            "src/store/sql/artifact_sizes.sql",
            steps as &[StepId]
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The artifacts of a task, or of one of its steps.
    pub(crate) async fn artifacts(
        &self,
        task: TaskId,
        step: Option<StepId>,
    ) -> Result<Vec<ArtifactRow>, StoreError> {
        let first = step.unwrap_or_else(|| task.step(0));
        let last = step.unwrap_or_else(|| StepId(TaskId(task.0 + 1).step(0).0 - 1));
        Ok(sqlx::query_file_as!(ArtifactRow, "src/store/sql/list_artifacts.sql", first.0, last.0)
            .fetch_all(&self.pool)
            .await?)
    }
}
