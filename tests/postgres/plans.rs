//! The statements of a worker keep to look-ups, also when their plans were made on empty tables.

use std::time::Duration;

use crate::common::{Database, diamond, fan, hands, single, stop};
use serde_json::json;
use tasker_core::TaskState;

/// Rows that statements read from indexes and tables, but for searches for steps to claim, which pass over
/// the rows of old claims.
const ROWS_READ: &str = "SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes \
     WHERE indexrelname <> 'tasker_ready_steps_order')::bigint \
     + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)::bigint";

/// Rows of the hot table that were removed, less those that were looked up by their primary key for it.
const REMOVED_OTHERWISE: &str = "SELECT n_tup_del - (SELECT idx_scan FROM pg_stat_user_indexes \
     WHERE indexrelname = 'tasker_ready_steps_pkey') FROM pg_stat_user_tables WHERE relname = 'tasker_ready_steps'";

/// A step is read when it is claimed, counted off and ended, its task as often, and its row of the hot
/// table twice; a plan that reads a table or an index as a whole makes thousands of it.
const MOST_ROWS_A_STEP: i64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn plans_made_on_empty_tables_do_not_read_full_ones() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    db.template(&fan(40)).await;
    db.template(&single(&json!({}))).await;
    db.run("VACUUM ANALYZE").await;
    let worker = db.worker(4).await;
    let hands = hands(&worker, 4);
    let first = db.submit("diamond", 1).await[0];
    db.wait_for(first, TaskState::Complete).await;
    let before = db.count(ROWS_READ).await;
    db.submit("single", 8_000).await;
    db.submit("fan", 100).await;
    let steps = 4 + 8_000 + 100 * 42;
    while worker.stats().completed < steps {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop(worker, hands).await;
    let read = db.count(ROWS_READ).await - before;
    assert!(read < steps.cast_signed() * MOST_ROWS_A_STEP, "{read} rows read for {steps} steps");
    assert!(db.count(REMOVED_OTHERWISE).await <= 0);
    db.assert_sound().await;
}
