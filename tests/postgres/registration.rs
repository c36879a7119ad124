//! Templates that are registered while transactions make tasks from them, and by several processes at once.

use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};
use tasker_core::{Error, ErrorKind, TemplateId};

use crate::common::{Database, session, single};

/// Clients of the test's database that wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Templates, with those that undo their tasks.
fn undone(queue: &str) -> Value {
    let mut template = single(&json!({}));
    template["queue"] = queue.into();
    template["step_templates"][0]["compensate"] = json!({ "handler_class": "Undo" });
    template
}

async fn register(db: &Database, template: &Value) -> Result<TemplateId, Error> {
    db.another_client().await.register_template(&template.to_string()).await
}

/// As the transaction of an application does that has submitted tasks.
async fn hold(db: &Database) -> Transaction<'static, Postgres> {
    let mut held = db.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM tasker_named_tasks FOR KEY SHARE").execute(&mut *held).await.unwrap();
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_as_it_was_is_registered_while_transactions_hold_it() {
    let db = Database::migrated().await;
    let first = register(&db, &undone("quick")).await.unwrap();
    // Who locks a row leaves that in it.
    let lockers = "SELECT sum(xmax::text::bigint)::bigint FROM tasker_named_tasks";
    let before = db.count(lockers).await;
    assert_eq!(register(&db, &undone("quick")).await.unwrap(), first);
    assert_eq!(db.count(lockers).await, before);
    let held = hold(&db).await;
    assert_eq!(register(&db, &undone("quick")).await.unwrap(), first);
    held.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_template_waits_for_transactions_that_hold_it_and_says_so_where_that_is_in_vain()
{
    let db = Database::migrated().await;
    let first = register(&db, &undone("quick")).await.unwrap();
    let held = hold(&db).await;
    let error = register(&db, &undone("slow")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Database, true));
    assert!(error.to_string().contains("default/single version 0.1.0"), "{error}");
    assert!(error.to_string().contains("while a transaction is open"), "{error}");
    assert_eq!(error.details()["retryable"], true);
    assert_eq!(register(&db, &undone("quick")).await.unwrap(), first);
    held.rollback().await.unwrap();
    assert_ne!(register(&db, &undone("slow")).await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_what_undoes_the_tasks_has_changed_only_who_holds_that_is_waited_for_and_named()
{
    let db = Database::migrated().await;
    let first = register(&db, &undone("quick")).await.unwrap();
    let change = "UPDATE tasker_named_tasks SET configuration = '{}' WHERE name <> 'single'";
    db.run(change).await;
    let hold_of =
        |names: &str| format!("SELECT FROM tasker_named_tasks WHERE {names} FOR KEY SHARE");
    let held = session(&db, &hold_of("name <> 'single'")).await;
    let error = register(&db, &undone("quick")).await.unwrap_err();
    assert!(error.to_string().contains("default/single (compensation) version"), "{error}");
    held.rollback().await.unwrap();
    let held = session(&db, &hold_of("name = 'single'")).await;
    assert_eq!(register(&db, &undone("quick")).await.unwrap(), first);
    held.rollback().await.unwrap();
    let changed = "SELECT count(*) FROM tasker_named_tasks WHERE configuration::text = '{}'";
    assert_eq!(db.count(changed).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_template_whose_version_has_tasks_is_refused_without_waiting() {
    let db = Database::migrated().await;
    register(&db, &undone("quick")).await.unwrap();
    db.submit("single", 1).await;
    let held = hold(&db).await;
    let error = register(&db, &undone("slow")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateConflict, "{error}");
    held.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_may_replace_a_version_by_the_same_at_once() {
    let db = Database::migrated().await;
    let first = register(&db, &undone("quick")).await.unwrap();
    let held = hold(&db).await;
    let mut registering = Vec::new();
    for _ in 0..3 {
        let client = db.another_client().await;
        registering.push(tokio::spawn(async move {
            client.register_template(&undone("slow").to_string()).await
        }));
    }
    db.wait_for_count(WAITING, 3).await;
    held.rollback().await.unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for registered in registering {
        ids.insert(registered.await.unwrap().unwrap());
    }
    assert!(ids.len() == 1 && !ids.contains(&first), "{ids:?}");
    assert_eq!(db.count("SELECT count(*) FROM tasker_named_tasks").await, 2);
    let slow = "SELECT count(*) FROM tasker_named_tasks WHERE configuration::text LIKE '%slow%'";
    assert_eq!(db.count(slow).await, 2);
}
