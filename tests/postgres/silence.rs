//! Connections that fall silent while an answer is awaited.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use tasker_core::{ErrorKind, Steering, Submission, TaskId, TaskState, Worker};

use super::common::{Database, request, single, stop, succeed, take};

/// Sessions of the database of a test that sleep.
const LINGERING: &str = "SELECT count(*) FROM pg_stat_activity \
     WHERE wait_event = 'PgSleep' AND datname = current_database()";

/// What a client sends to see whether the server answers.
const SYNC: &[u8] = &[b'S', 0, 0, 0, 4];

/// A way to the server on which connections can fall silent: nothing comes through any more, and neither
/// end is told so.
struct Way {
    url: String,
    opened: Mutex<Vec<(Arc<AtomicBool>, TcpStream)>>,
    /// So many connections fall silent when they are to give a sign of life on their way back into a pool.
    lost_on_return: AtomicU32,
}

impl Way {
    fn to(db: &Database) -> Arc<Self> {
        let server: PgConnectOptions = db.url.parse().unwrap();
        let folder = server.get_socket().expect("the server of the tests has a socket").clone();
        let socket = folder.join(format!(".s.PGSQL.{}", server.get_port()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let name = server.get_database().unwrap();
        let url = format!("postgres://{}@127.0.0.1:{port}/{name}", server.get_username());
        let way =
            Arc::new(Self { url, opened: Mutex::default(), lost_on_return: AtomicU32::new(0) });
        let opened = Arc::clone(&way);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                opened.open(client.unwrap(), UnixStream::connect(&socket).unwrap());
            }
        });
        way
    }

    fn open(self: &Arc<Self>, client: TcpStream, server: UnixStream) {
        let silent = Arc::new(AtomicBool::new(false));
        let (to_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        self.opened.lock().unwrap().push((Arc::clone(&silent), client.try_clone().unwrap()));
        let (other, way) = (Arc::clone(&silent), Arc::clone(self));
        let mut before = Vec::new();
        std::thread::spawn(move || {
            let to = to_server.try_clone().unwrap();
            pass(client, to_server, &silent, |bytes| {
                let returns = bytes == SYNC && before != SYNC;
                before = bytes.to_vec();
                if returns && way.lose_one() {
                    silent.store(true, Ordering::SeqCst);
                }
            });
            if !silent.load(Ordering::SeqCst) {
                to.shutdown(Shutdown::Both).ok();
            }
        });
        std::thread::spawn(move || {
            let to = to_client.try_clone().unwrap();
            pass(server, to_client, &other, |_| ());
            if !other.load(Ordering::SeqCst) {
                to.shutdown(Shutdown::Both).ok();
            }
        });
    }

    /// Whether this is one of those that fall silent.
    fn lose_one(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.lost_on_return.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }

    fn fall_silent(&self) {
        for (silent, _) in self.opened.lock().unwrap().iter() {
            silent.store(true, Ordering::SeqCst);
        }
    }

    /// Closes all that is open at the client's end.
    fn hang_up(&self) {
        for (_, client) in self.opened.lock().unwrap().drain(..) {
            client.shutdown(Shutdown::Both).ok();
        }
    }
}

fn pass(
    mut from: impl Read,
    mut to: impl Write,
    silent: &AtomicBool,
    mut watch: impl FnMut(&[u8]),
) {
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        watch(&bytes[..count]);
        if !silent.load(Ordering::SeqCst) && to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

/// What fires this trigger takes a second.
async fn linger(db: &Database, trigger: &str) {
    db.run(&format!(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_sleep(1); RETURN NULL; END'; \
         CREATE {trigger} EXECUTE FUNCTION linger()"
    ))
    .await;
}

/// A trigger that fires when what does this to a task is committed.
fn at_commit(does: &str) -> String {
    format!(
        "CONSTRAINT TRIGGER linger AFTER {does} ON tasker_tasks DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_with_a_key_whose_answer_is_lost_is_told_its_task() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    linger(&db, &at_commit("INSERT")).await;
    let way = Way::to(&db);
    let client = db.client_with(json!({ "url": way.url })).await;
    let submission = json!({
        "name": "single", "idempotency_key": "order-7", "on_duplicate": "raise", "contexts": [{}],
    });
    let submission = Submission::from_json(&submission.to_string()).unwrap();
    let same = submission.clone();
    let submitting = tokio::spawn(async move { client.submit(&same).await });
    db.wait_for_count(LINGERING, 1).await;
    way.fall_silent();
    db.wait_for_count("SELECT count(*) FROM tasker_tasks", 1).await;
    way.hang_up();
    let submitted = submitting.await.unwrap().unwrap();
    assert_eq!((submitted.task_ids.len(), submitted.existing), (1, false));
    assert_eq!(db.count("SELECT count(*) FROM tasker_tasks").await, 1);
    // Another one is refused, as ever.
    let error = db.client.submit(&submission).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DuplicateTask);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_cut_off_while_it_submits_keeps_nobody_from_the_same_task_for_long() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    linger(&db, "TRIGGER linger AFTER INSERT ON tasker_task_identities").await;
    let way = Way::to(&db);
    let client = db.client_with(json!({ "url": way.url })).await;
    let submission = r#"{"name": "single", "idempotency_key": "order-7", "contexts": [{}]}"#;
    let submission = Submission::from_json(submission).unwrap();
    let same = submission.clone();
    let cut_off = tokio::spawn(async move { client.submit(&same).await });
    db.wait_for_count(LINGERING, 1).await;
    way.fall_silent();
    let began = Instant::now();
    let submitted = db.client.submit(&submission).await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(!submitted.existing);
    way.hang_up();
    let told = cut_off.await.unwrap().unwrap();
    assert_eq!((told.task_ids, told.existing), (submitted.task_ids, true));
    assert_eq!(db.count("SELECT count(*) FROM tasker_tasks").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_whose_answer_is_lost_is_acknowledged() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let task = db.submit("single", 1).await[0];
    linger(&db, &at_commit("UPDATE")).await;
    let way = Way::to(&db);
    let client = db.client_with(json!({ "url": way.url })).await;
    let cancelling =
        tokio::spawn(async move { client.steer(task, &Steering::Cancel, &request(), None).await });
    db.wait_for_count(LINGERING, 1).await;
    way.fall_silent();
    db.wait_for(task, TaskState::Cancelled).await;
    way.hang_up();
    assert_eq!(cancelling.await.unwrap().unwrap().state, TaskState::Cancelled);
    assert_eq!(
        db.count("SELECT count(*) FROM tasker_task_transitions WHERE event = 'cancelled'").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gives_up_a_connection_that_fell_silent_and_goes_on_with_another() {
    let db = Database::migrated().await;
    linger(&db, "TRIGGER linger AFTER INSERT ON tasker_named_tasks").await;
    let way = Way::to(&db);
    let client = Arc::new(db.client_with(json!({ "url": way.url })).await);
    let (registering, template) = (Arc::clone(&client), single(&json!({})).to_string());
    let same = template.clone();
    let registering = tokio::spawn(async move { registering.register_template(&same).await });
    db.wait_for_count(LINGERING, 1).await;
    way.fall_silent();
    let error = registering.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseUnavailable, "{error}");
    assert!(error.to_string().contains("no answer within 15 s"), "{error}");
    client.register_template(&template).await.unwrap();
    assert_eq!(client.templates().await.unwrap().len(), 1);
}

/// A worker whose connections fell silent while the end of a step waited for the row of its task. The server
/// goes on with it, and nobody takes the answer.
async fn silent(db: &Database, mut options: serde_json::Value) -> (Arc<Worker>, TaskId) {
    db.template(&single(&json!({}))).await;
    let way = Way::to(db);
    options["url"] = way.url.clone().into();
    let worker = db.worker_with(options).await;
    let task = db.submit("single", 1).await[0];
    let delivery = take(&worker);
    let mut held = db.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM tasker_tasks FOR UPDATE").execute(&mut *held).await.unwrap();
    succeed(&worker, &delivery, "{}");
    db.wait_for_count("SELECT count(*) FROM pg_locks WHERE NOT granted", 1).await;
    way.fall_silent();
    held.rollback().await.unwrap();
    (worker, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_written_although_the_connection_fell_silent_in_its_transaction() {
    let db = Database::migrated().await;
    let (worker, task) = silent(&db, json!({ "concurrency": 1 })).await;
    db.wait_for(task, TaskState::Complete).await;
    assert_eq!(db.count("SELECT count(*) FROM tasker_attempts").await, 1);
    stop(worker, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_taken_back_although_its_worker_fell_silent_in_a_transaction() {
    let db = Database::migrated().await;
    let (worker, task) = silent(&db, json!({ "concurrency": 1, "dead_after_ms": 500 })).await;
    // As if its host were gone: it does not come back by other connections.
    let began = Instant::now();
    drop(Arc::try_unwrap(worker).unwrap());
    let other = db.worker(1).await;
    let again = take(&other);
    assert_eq!(again.claim.attempt, 2);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    succeed(&other, &again, "{}");
    db.wait_for(task, TaskState::Complete).await;
    stop(other, vec![]).await;
    db.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fall_silent_on_their_way_back_are_replaced() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let task = db.submit("single", 1).await[0];
    let way = Way::to(&db);
    let client = db
        .client_with(json!({ "url": way.url, "pool_size": 2, "connect_timeout_ms": 1_000 }))
        .await;
    client.status(task).await.unwrap();
    way.lost_on_return.store(2, Ordering::SeqCst);
    while way.lost_on_return.load(Ordering::SeqCst) > 0 {
        client.status(task).await.ok();
    }
    let began = Instant::now();
    let error = client.status(task).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseUnavailable);
    while client.status(task).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "both connections are waited for");
    }
    client.close().await;
    way.hang_up();
}
