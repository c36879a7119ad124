//! The transitions as a feed: the numbers that are complete, what stands between two of them, who reads.

use chrono::{DateTime, Utc};

use super::{Store, StoreError};
use crate::ids::TemplateId;
use crate::state::{AttemptOutcome, StepEvent, TaskEvent};

/// Where a consumer is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeedRow {
    /// Every transition up to this number was taken.
    pub(crate) position: i64,
    /// Who may move it: the latest of its readers.
    pub(crate) reader: i64,
    /// Transitions that were pruned before they were taken.
    pub(crate) missed: i64,
}

/// What is known of the numbers at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// The highest number that was taken.
    pub(crate) last_number: i64,
    /// Every transaction with a lower id has ended.
    pub(crate) oldest: i64,
}

/// Who keeps the feed waiting.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) who: String,
    pub(crate) age_s: Option<f64>,
}

/// A stretch of numbers, and which events of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers<'a> {
    pub(crate) after: i64,
    pub(crate) upto: i64,
    pub(crate) limit: i64,
    /// All of them when `None`.
    pub(crate) steps: Option<&'a [StepEvent]>,
    pub(crate) tasks: Option<&'a [TaskEvent]>,
}

/// A transition of a step or of a task.
#[derive(Debug)]
pub(crate) struct FeedEventRow {
    pub(crate) number: i64,
    pub(crate) task_id: i64,
    pub(crate) step_id: Option<i64>,
    pub(crate) step_event: Option<StepEvent>,
    pub(crate) task_event: Option<TaskEvent>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) from_state: String,
    pub(crate) to_state: String,
    pub(crate) attempt: Option<i32>,
    pub(crate) worker_id: Option<i64>,
    pub(crate) execution_us: Option<i64>,
    pub(crate) outcome: Option<AttemptOutcome>,
    pub(crate) detail: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) named_task_id: Option<i32>,
}

impl FeedEventRow {
    pub(crate) fn template(&self) -> Option<TemplateId> {
        self.named_task_id.map(TemplateId)
    }
}

impl Store {
    /// Sees to it that the transitions can be read along their numbers.
    pub(crate) async fn index_feed(&self) -> Result<(), StoreError> {
        let found =
            sqlx::query_file!("src/store/sql/feed_is_indexed.sql").fetch_one(&self.pool).await?;
        if !found.indexed {
            sqlx::query_file!("src/store/sql/index_step_feed.sql").execute(&self.pool).await?;
            sqlx::query_file!("src/store/sql/index_task_feed.sql").execute(&self.pool).await?;
        }
        Ok(())
    }

    /// Begins to read for a consumer, from `position` on if it is new.
    pub(crate) async fn open_feed(
        &self,
        consumer: &str,
        position: i64,
    ) -> Result<FeedRow, StoreError> {
        Ok(sqlx::query_file_as!(FeedRow, "src/store/sql/open_feed.sql", consumer, position)
            .fetch_one(&self.pool)
            .await?)
    }

    pub(crate) async fn find_feed(&self, consumer: &str) -> Result<Option<FeedRow>, StoreError> {
        Ok(sqlx::query_file_as!(FeedRow, "src/store/sql/find_feed.sql", consumer)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// Moves a consumer; `None` when somebody else reads for it by now. Otherwise how many it has missed.
    pub(crate) async fn move_feed(
        &self,
        consumer: &str,
        reader: i64,
        position: i64,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_file_scalar!("src/store/sql/move_feed.sql", consumer, reader, position)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// Forgets a consumer; false when there was none.
    pub(crate) async fn delete_feed(&self, consumer: &str) -> Result<bool, StoreError> {
        let done = sqlx::query_file!("src/store/sql/delete_feed.sql", consumer).execute(&self.pool);
        Ok(done.await?.rows_affected() > 0)
    }

    pub(crate) async fn feed_progress(&self) -> Result<Progress, StoreError> {
        Ok(sqlx::query_file_as!(Progress, "src/store/sql/feed_progress.sql")
            .fetch_one(&self.pool)
            .await?)
    }

    /// An id that no transaction which runs at the time of the call reaches.
    pub(crate) async fn feed_horizon(&self) -> Result<i64, StoreError> {
        let row = sqlx::query_file!("src/store/sql/feed_horizon.sql").fetch_one(&self.pool).await?;
        Ok(row.horizon)
    }

    /// The oldest of those who keep a horizon from being passed.
    pub(crate) async fn feed_held_back_by(
        &self,
        horizon: i64,
    ) -> Result<Option<Holder>, StoreError> {
        Ok(sqlx::query_file_as!(Holder, "src/store/sql/feed_held_back_by.sql", horizon)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// The transitions of a stretch.
    pub(crate) async fn read_feed(
        &self,
        numbers: Numbers<'_>,
    ) -> Result<Vec<FeedEventRow>, StoreError> {
        let mut rows = sqlx::query_file_as!(
            FeedEventRow,
            "src/store/sql/read_feed.sql",
            numbers.after,
            numbers.upto,
            numbers.limit,
            numbers.steps as Option<&[StepEvent]>,
            numbers.tasks as Option<&[TaskEvent]>,
        )
        .fetch_all(&self.pool)
        .await?;
        for row in &mut rows {
            row.error = row.error.take().map(|error| self.keys.open_failure(error));
        }
        Ok(rows)
    }
}
