//! Steps that were added while their task ran.

use std::collections::HashMap;

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::steps::{QueueOf, StepRow, step_row};
use super::{Store, StoreError, Tx, count, int};
use crate::decision::{AddedStep, Decisions, Timestamp};
use crate::encryption::{Content, Keyring, Text};
use crate::ids::{StepId, TaskId, WorkerId};
use crate::state::StepState;

/// What was added to a template about a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrowthRow {
    pub(crate) step: StepId,
    /// The position of the prototype of a step that was added.
    pub(crate) prototype: Option<u32>,
    /// How many parents it has.
    pub(crate) parents: Option<u32>,
    /// The first item of a map step that has begun.
    pub(crate) first_item: Option<StepId>,
}

/// A step that was added, found by its name.
#[derive(Clone, Debug)]
pub(crate) struct AddedName {
    pub(crate) step: StepId,
    pub(crate) prototype: u32,
    pub(crate) name: String,
}

/// A step that follows from another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) from: StepId,
    pub(crate) to: StepId,
    /// Its name, where the other one has added it; else it depends on that.
    pub(crate) added: Option<String>,
}

/// What the handler of a step that was added is given.
#[derive(Clone, Debug)]
pub(crate) struct AddedToRun {
    pub(crate) step: StepId,
    pub(crate) prototype: u32,
    pub(crate) name: String,
    pub(crate) item: Option<u32>,
    pub(crate) inputs: Text,
    /// How many items of its map step have failed; none for an item that is executed nevertheless.
    pub(crate) failed_items: u32,
}

/// An item of a map step that has not begun, while others have failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnbegunItem {
    pub(crate) step: StepRow,
    /// The position of its map step.
    pub(crate) prototype: u32,
    /// How many others have failed.
    pub(crate) failed_items: u32,
}

/// A step that was added, as people ask for it.
#[derive(Debug)]
pub(crate) struct AddedStepRow {
    pub(crate) workflow_step_id: i64,
    pub(crate) step_index: i32,
    pub(crate) name: String,
    pub(crate) item_index: Option<i32>,
    pub(crate) added_by_step_id: i64,
    pub(crate) added_by_attempt: i32,
}

/// A map step that has begun.
#[derive(Debug)]
pub(crate) struct MapRow {
    pub(crate) workflow_step_id: i64,
    pub(crate) parents: i32,
    /// A JSON object: state => items.
    pub(crate) by_state: String,
    /// How many of them were never tried.
    pub(crate) untried_by_state: String,
    /// The number of the first item in error, of those that were tried if there are any.
    pub(crate) first_failed: Option<i32>,
}

/// An item of a map step that waits.
#[derive(Debug)]
pub(crate) struct WaitingItemRow {
    pub(crate) map: i64,
    /// Its number.
    pub(crate) index: u32,
    pub(crate) signal: Option<String>,
    /// Until when at the latest.
    pub(crate) available_at: DateTime<Utc>,
    pub(crate) since: DateTime<Utc>,
    /// What is said of the wait, a JSON object.
    pub(crate) detail: Option<String>,
}

/// An item of a map step.
#[derive(Debug)]
pub(crate) struct ItemRow {
    pub(crate) index: i32,
    pub(crate) state: StepState,
    pub(crate) attempts: i32,
    pub(crate) item: Text,
    pub(crate) results: Option<Text>,
}

fn position(index: i32) -> u32 {
    index.unsigned_abs()
}

/// Inserts the steps that a decision adds, with their edges.
pub(super) async fn add(
    tx: &mut Tx,
    decisions: &Decisions,
    queue_of: QueueOf<'_>,
) -> Result<(), StoreError> {
    let added = &decisions.added;
    let column = |of: fn(&AddedStep) -> u32| -> Vec<i32> {
        added.steps.iter().map(|step| int(of(step))).collect()
    };
    let names: Vec<_> = added.steps.iter().map(|step| &*step.name).collect();
    let items: Vec<_> = added.steps.iter().map(|step| step.item.map(int)).collect();
    let inputs = added.steps.iter().map(|step| tx.keys.seal(Content::Inputs, &step.inputs));
    let inputs: Vec<_> = inputs.collect::<Result<_, _>>()?;
    let is_ready = |step: &&AddedStep| step.step.state == StepState::Enqueued;
    let queues = added.steps.iter().map(|step| {
        let id = Some(step).filter(is_ready)?.step.id;
        decisions.queue(id, queue_of)
    });
    let available_at: Vec<Option<Timestamp>> =
        added.steps.iter().map(|step| step.available_at).collect();
    let priorities: Vec<_> =
        added.steps.iter().map(|step| decisions.priority(step.step.id)).collect();
    let (from, to): (Vec<_>, Vec<_>) = added.edges.iter().copied().unzip();
    let counted: Vec<_> = added.parents.iter().map(|count| count.step).collect();
    let parents: Vec<_> = added.parents.iter().map(|count| int(count.parents)).collect();
    let first_items: Vec<_> = added.parents.iter().map(|count| count.first_item).collect();
    sqlx::query_file!(
        "src/store/sql/add_steps.sql",
        &added.steps.iter().map(|step| step.step.id).collect::<Vec<_>>() as &[StepId],
        &column(|step| step.prototype),
        &names as &[&str],
        &items as &[Option<i32>],
        &added.steps.iter().map(|step| step.by.step).collect::<Vec<_>>() as &[StepId],
        &column(|step| step.by.attempt),
        &inputs as &[Cow<'_, str>],
        &added.steps.iter().map(|step| step.step.state).collect::<Vec<_>>() as &[StepState],
        &column(|step| step.step.open_parents),
        &column(|step| step.step.failed_parents),
        &column(|step| step.step.skipped_parents),
        &queues.collect::<Vec<_>>() as &[Option<String>],
        &available_at as &[Option<Timestamp>],
        &from as &[StepId],
        &to as &[StepId],
        &counted as &[StepId],
        &parents,
        &first_items as &[Option<StepId>],
        &priorities,
    )
    .fetch_one(&mut tx.sql)
    .await?;
    Ok(())
}

/// What was added to the templates about these steps.
pub(super) async fn read(tx: &mut Tx, steps: &[StepId]) -> Result<Vec<GrowthRow>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/read_growth.sql", steps as &[StepId])
        .fetch_all(&mut **tx)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| GrowthRow {
            step: StepId(row.workflow_step_id),
            prototype: row.step_index.map(position),
            parents: row.parents.map(position),
            first_item: row.first_item_id.map(StepId),
        })
        .collect())
}

/// The steps of these names that were added to a task. None has U+0000 in its name, which Postgres refuses to look for.
pub(super) async fn find(
    connection: impl PgExecutor<'_>,
    task: TaskId,
    names: &[String],
) -> Result<Vec<AddedName>, StoreError> {
    let names: Vec<_> = names.iter().filter(|name| !name.contains('\0')).cloned().collect();
    let rows = sqlx::query_file!("src/store/sql/find_added_steps.sql", task.0, &names)
        .fetch_all(connection)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| AddedName {
            step: StepId(row.workflow_step_id),
            prototype: position(row.step_index),
            name: row.name,
        })
        .collect())
}

/// Which steps of a task follow from which.
pub(super) async fn links(tx: &mut Tx, task: TaskId) -> Result<Vec<Link>, StoreError> {
    let rows =
        sqlx::query_file!("src/store/sql/links_of_task.sql", task.0).fetch_all(&mut **tx).await?;
    let link = |from, to, added| Link { from: StepId(from), to: StepId(to), added };
    Ok(rows.into_iter().map(|row| link(row.from_step_id, row.to_step_id, row.name)).collect())
}

/// Parts added steps from those that have added them, and from all that waits for them, and counts the parents of these and
/// of the `others` anew.
pub(super) async fn retire(
    tx: &mut Tx,
    steps: &[StepId],
    others: &[StepId],
) -> Result<(), StoreError> {
    sqlx::query_file!("src/store/sql/retire_added_steps.sql", steps as &[StepId])
        .execute(&mut **tx)
        .await?;
    let counted = [steps, others].concat();
    sqlx::query_file!("src/store/sql/recount_parents.sql", &counted as &[StepId])
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What the handlers of these steps are given, those that were added.
pub(super) async fn to_run(
    connection: impl PgExecutor<'_>,
    keys: &Keyring,
    steps: &[StepId],
) -> Result<Vec<AddedToRun>, StoreError> {
    let rows = sqlx::query_file!("src/store/sql/added_to_run.sql", steps as &[StepId])
        .fetch_all(connection)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| AddedToRun {
            step: StepId(row.workflow_step_id),
            prototype: position(row.step_index),
            name: row.name,
            item: row.item_index.map(position),
            inputs: keys.open(Content::Inputs, row.inputs),
            failed_items: row.failed_items.map_or(0, position),
        })
        .collect())
}

/// The items that have not begun, among these and so many after each of them; all of them, or where others have failed.
pub(super) async fn lock_unbegun(
    tx: &mut Tx,
    from: &[StepId],
    further: u32,
    all: bool,
) -> Result<Vec<UnbegunItem>, StoreError> {
    let rows = sqlx::query_file!(
        "src/store/sql/lock_unbegun_items.sql",
        from as &[StepId],
        i64::from(further),
        all
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| UnbegunItem {
            step: step_row!(row),
            prototype: position(row.step_index),
            failed_items: position(row.failed_items),
        })
        .collect())
}

impl Store {
    /// The steps that were added to a task, of items only these.
    pub(crate) async fn list_added(
        &self,
        task: TaskId,
        items: &[StepId],
    ) -> Result<Vec<AddedStepRow>, StoreError> {
        Ok(sqlx::query_file_as!(
            AddedStepRow,
            "src/store/sql/list_added_steps.sql",
            task.0,
            items as &[StepId]
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The names of steps that were added, of those among these.
    pub(crate) async fn names_of_added(
        &self,
        steps: &[StepId],
    ) -> Result<HashMap<StepId, String>, StoreError> {
        if steps.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = sqlx::query_file!("src/store/sql/names_of_added.sql", steps as &[StepId])
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|row| (row.workflow_step_id, row.name)).collect())
    }

    /// The map steps of a task that have begun.
    pub(crate) async fn list_maps(&self, task: TaskId) -> Result<Vec<MapRow>, StoreError> {
        Ok(sqlx::query_file_as!(MapRow, "src/store/sql/list_maps.sql", task.0)
            .fetch_all(&self.pool)
            .await?)
    }

    /// Of each of these map steps the first items that wait, so many.
    pub(crate) async fn waiting_items(
        &self,
        maps: &[StepId],
        most: i64,
    ) -> Result<Vec<WaitingItemRow>, StoreError> {
        let rows = sqlx::query_file!("src/store/sql/waiting_items.sql", maps as &[StepId], most)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| WaitingItemRow {
                map: row.workflow_step_id,
                index: u32::try_from(row.item_id - row.first_item_id).unwrap_or(0),
                signal: row.signal,
                available_at: row.available_at,
                since: row.since,
                detail: row.detail,
            })
            .collect())
    }

    /// The steps of these names that were added to a task.
    pub(crate) async fn find_added(
        &self,
        task: TaskId,
        names: &[String],
    ) -> Result<Vec<AddedName>, StoreError> {
        find(&self.pool, task, names).await
    }

    /// The items of a map step after the one of this number, at most so many, and none after the one with which they and
    /// their results have come to so many bytes.
    pub(crate) async fn items(
        &self,
        map: StepId,
        after: i32,
        limit: i64,
        bytes: i64,
    ) -> Result<Vec<ItemRow>, StoreError> {
        let rows = sqlx::query_file!("src/store/sql/items.sql", map.0, after, limit, bytes)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| ItemRow {
                index: row.item_index,
                state: row.state,
                attempts: row.attempts,
                item: self.open(Content::Inputs, row.inputs),
                results: row.results.map(|results| self.open(Content::Results, results)),
            })
            .collect())
    }

    /// The parents of these steps, of map steps without their items: from and to.
    pub(crate) async fn step_parents(
        &self,
        steps: &[StepId],
    ) -> Result<Vec<(StepId, StepId)>, StoreError> {
        let rows = sqlx::query_file!("src/store/sql/step_parents.sql", steps as &[StepId])
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|row| (StepId(row.from_step_id), StepId(row.to_step_id))).collect())
    }
}
