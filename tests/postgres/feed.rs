//! The transitions as a feed, on a real Postgres.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Database, diamond, fan, hands, session, single, stop};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use tasker_core::{
    Client, ErrorKind, FeedBatch, FeedEvent, FeedOpening, FeedReading, Pruning, Steering, TaskState,
};

/// A transition that no task is needed for; a decision as well has written rows before it takes a number.
const TRANSITION: &str = "INSERT INTO tasker_workflow_step_transitions (workflow_step_id, from_state, to_state, event, attempt) \
                          SELECT 1 << 20, 'pending', 'enqueued', 'parents_completed', 0 FROM pg_current_xact_id()";

/// How long tests of other databases on this server may hold a feed back.
const PATIENCE: Duration = Duration::from_secs(30);

/// What reads for a consumer, or for nobody.
struct Reader {
    client: Client,
    reading: FeedReading,
}

impl Reader {
    async fn open(db: &Database, opening: serde_json::Value) -> Self {
        let client = db.another_client().await;
        let asked = FeedOpening::from_json(&opening.to_string()).unwrap();
        let opened = client.open_feed(&asked).await.unwrap();
        let mut reading = FeedReading::of("", opened);
        reading.consumer = asked.consumer;
        reading.limit = 100;
        Self { client, reading }
    }

    async fn from_the_beginning(db: &Database, consumer: Option<&str>) -> Self {
        Self::open(db, json!({ "consumer": consumer, "from": 0 })).await
    }

    /// One batch, taken.
    async fn batch(&mut self) -> FeedBatch {
        let batch = self.client.read_feed(&self.reading).await.unwrap();
        self.reading.place = batch.place;
        self.client.move_feed(&self.reading).await.unwrap();
        batch
    }

    /// Everything that can be read now; transactions of other databases may hold some of it back.
    async fn ready(&mut self) -> Vec<FeedEvent> {
        let mut ready = Vec::new();
        loop {
            let batch = self.batch().await;
            let ended = batch.events.is_empty();
            ready.extend(batch.events);
            if ended {
                return ready;
            }
        }
    }

    /// So many events, waiting for them.
    async fn some(&mut self, wanted: usize) -> Vec<FeedEvent> {
        let (mut read, began) = (Vec::new(), Instant::now());
        while read.len() < wanted && began.elapsed() < PATIENCE {
            read.extend(self.ready().await);
        }
        read
    }

    /// Everything that is there, waiting until nothing is held back.
    async fn all(&mut self) -> Vec<FeedEvent> {
        let (mut read, began) = (Vec::new(), Instant::now());
        while began.elapsed() < PATIENCE {
            read.extend(self.ready().await);
            if self.reading.place.unsettled.is_none() {
                break;
            }
        }
        read
    }
}

fn numbers(events: &[FeedEvent]) -> Vec<i64> {
    events.iter().map(|event| event.number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transition_that_commits_late_keeps_its_place() {
    let db = Database::migrated().await;
    let mut reader = Reader::from_the_beginning(&db, Some("billing")).await;
    let late = session(&db, TRANSITION).await;
    db.run(TRANSITION).await;
    assert!(reader.ready().await.is_empty());
    let gone = session(&db, TRANSITION).await;
    late.commit().await.unwrap();
    assert_eq!(numbers(&reader.some(2).await), [1, 2]);
    db.run(TRANSITION).await;
    assert!(reader.ready().await.is_empty());
    gone.rollback().await.unwrap();
    assert_eq!(numbers(&reader.all().await), [4]);
    assert!(reader.all().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_it_waiting_is_named() {
    let db = Database::migrated().await;
    let mut reader = Reader::from_the_beginning(&db, None).await;
    reader.reading.explain = true;
    let late = session(&db, TRANSITION).await;
    let pid = db.count("SELECT pid::bigint FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND datname = current_database()").await;
    let (named, began) = (format!("session {pid} of user "), Instant::now());
    let mut batch = reader.batch().await;
    while !batch.held_back_by.as_ref().is_some_and(|held| held.who.starts_with(&named)) {
        assert!(batch.events.is_empty() && began.elapsed() < PATIENCE, "{batch:?}");
        batch = reader.batch().await;
    }
    late.commit().await.unwrap();
    assert_eq!(reader.all().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_from_a_step_is_numbered_after_it_however_rows_lie() {
    let db = Database::migrated().await;
    let tail = json!({ "name": "b", "handler_class": "H", "depends_on_step": "a" });
    let template =
        json!({ "name": "pair", "step_templates": [{ "name": "a", "handler_class": "H" }, tail] });
    db.template(&template).await;
    let task = db.submit("pair", 1).await[0];
    // Behind that of the other step, in a table small enough to be read as a whole.
    db.run("UPDATE tasker_workflow_steps SET attempts = attempts WHERE state = 'enqueued'").await;
    db.run("ANALYZE tasker_workflow_steps").await;
    let steering = Steering::Resolve { step: "a".into(), results: "1".into(), take: None };
    db.steer(task, steering).await.unwrap();
    let mut reader = Reader::from_the_beginning(&db, None).await;
    let told: Vec<_> = reader.all().await.into_iter().filter_map(|event| event.step_name).collect();
    assert_eq!(told, ["a", "b"]);
}

/// Writes until it is told to stop; some transactions are slow, some are rolled back. Returns how many rows it wrote.
async fn write(url: String, seed: u64, ended: Arc<AtomicBool>) -> i64 {
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let (mut random, mut written) = (seed, 0);
    while !ended.load(Ordering::Relaxed) {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let chance = random >> 40;
        let mut tx = pool.begin().await.unwrap();
        let rows = 1 + i64::try_from(chance % 5).unwrap();
        for _ in 0..rows {
            sqlx::query(TRANSITION).execute(&mut *tx).await.unwrap();
        }
        if chance % 7 == 0 {
            tokio::time::sleep(Duration::from_millis(chance % 40)).await;
        }
        if chance % 11 == 0 {
            tx.rollback().await.unwrap();
        } else {
            tx.commit().await.unwrap();
            written += rows;
        }
    }
    pool.close().await;
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_commits_when_each_transition_is_read_once_and_in_order() {
    let db = Database::migrated().await;
    let ended = Arc::new(AtomicBool::new(false));
    let mut reader = Reader::from_the_beginning(&db, Some("billing")).await;
    let writers: Vec<_> =
        (1..=8).map(|seed| tokio::spawn(write(db.url.clone(), seed, Arc::clone(&ended)))).collect();
    let (mut read, began) = (Vec::new(), Instant::now());
    while began.elapsed() < Duration::from_secs(3) {
        read.extend(numbers(&reader.ready().await));
    }
    let while_writing = read.len();
    ended.store(true, Ordering::Relaxed);
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    read.extend(numbers(&reader.all().await));
    assert!(read.is_sorted());
    assert_eq!(read.iter().collect::<HashSet<_>>().len(), read.len());
    assert_eq!(i64::try_from(read.len()).unwrap(), written);
    assert!(while_writing > 0 && *read.last().unwrap() > written, "{while_writing} of {written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_transition_of_workers_is_read_once_after_those_it_follows_from() {
    let db = Database::migrated().await;
    db.template(&diamond()).await;
    db.template(&fan(30)).await;
    let mut reader = Reader::from_the_beginning(&db, Some("billing")).await;
    let workers = [db.worker(4).await, db.worker(4).await];
    let threads = workers.each_ref().map(|worker| hands(worker, 4));
    let tasks = [db.submit("diamond", 40).await, db.submit("fan", 10).await].concat();
    let mut read = Vec::new();
    for task in &tasks {
        read.extend(reader.ready().await);
        db.wait_for(*task, TaskState::Complete).await;
    }
    for (worker, threads) in workers.into_iter().zip(threads) {
        stop(worker, threads).await;
    }
    read.extend(reader.all().await);
    assert!(numbers(&read).is_sorted_by(|one, next| one < next));
    let rows = "SELECT (SELECT count(*) FROM tasker_workflow_step_transitions) + (SELECT count(*) FROM tasker_task_transitions)";
    assert_eq!(i64::try_from(read.len()).unwrap(), db.count(rows).await);
    let mut states: HashMap<(i64, Option<i64>), String> = HashMap::new();
    for event in &read {
        let before =
            states.insert((event.task_id.0, event.step_id.map(|id| id.0)), event.to.clone());
        assert!(before.is_none_or(|before| before == event.from), "{event:?}");
    }
    for task in tasks {
        let names: Vec<_> =
            read.iter().filter(|e| e.task_id == task).map(|e| e.name.as_str()).collect();
        assert_eq!((names[0], names[names.len() - 1]), ("task.started", "task.completed"));
    }
    assert!(read.iter().any(|e| e.step_name.as_deref() == Some("sink")
        && e.template.as_ref().is_some_and(|t| t.name == "fan")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_goes_on_where_it_was_and_only_its_latest_reader_does() {
    let db = Database::migrated().await;
    for _ in 0..3 {
        db.run(TRANSITION).await;
    }
    let mut first = Reader::from_the_beginning(&db, Some("billing")).await;
    first.reading.limit = 2;
    let mut taken = first.batch().await.events;
    while taken.is_empty() {
        taken = first.batch().await.events;
    }
    assert_eq!(numbers(&taken), [1, 2]);
    let untaken = first.client.read_feed(&first.reading).await.unwrap();
    assert_eq!(numbers(&untaken.events), [3]);
    let mut second = Reader::open(&db, json!({ "consumer": "billing" })).await;
    first.reading.place = untaken.place;
    let refused = first.client.move_feed(&first.reading).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FeedTaken);
    let refused = first.client.read_feed(&first.reading).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FeedTaken);
    assert_eq!(numbers(&second.all().await), [3]);
    assert!(db.client.forget_feed("billing").await.unwrap());
    assert!(!db.client.forget_feed("billing").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_begins_where_it_is_told_to_and_not_beyond_the_end() {
    let db = Database::migrated().await;
    db.run(TRANSITION).await;
    let mut now = Reader::open(&db, json!({})).await;
    let mut cursor = Reader::open(&db, json!({ "from": 1 })).await;
    assert!(now.all().await.is_empty());
    db.run(TRANSITION).await;
    assert_eq!((numbers(&now.all().await), numbers(&cursor.all().await)), (vec![2], vec![2]));
    let beyond = FeedOpening::from_json(r#"{"from": 3}"#).unwrap();
    assert_eq!(db.client.open_feed(&beyond).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_events_that_are_named_are_given_out() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let mut reader = Reader::from_the_beginning(&db, None).await;
    reader.reading.names = Some(vec!["task.completed".into(), "step.claimed".into()]);
    let task = db.submit("single", 1).await[0];
    let worker = db.worker(1).await;
    let threads = hands(&worker, 1);
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, threads).await;
    let names: Vec<_> = reader.all().await.into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["step.claimed", "task.completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pruned_before_it_was_read_is_counted() {
    let db = Database::migrated().await;
    db.template(&single(&json!({}))).await;
    let task = db.submit("single", 1).await[0];
    let mut early = Reader::from_the_beginning(&db, Some("early")).await;
    let mut late = Reader::from_the_beginning(&db, Some("late")).await;
    let worker = db.worker(1).await;
    let threads = hands(&worker, 1);
    db.wait_for(task, TaskState::Complete).await;
    stop(worker, threads).await;
    let read = early.all().await.len();
    assert_eq!(read, 4);
    let pruning = Pruning::from_json(r#"{"older_than_s": 0}"#).unwrap();
    assert_eq!(db.client.prune(&pruning).await.unwrap().tasks, 1);
    let missed = (early.batch().await.missed, late.batch().await.missed);
    assert_eq!(missed, (0, i64::try_from(read).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_keeps_numbers_in_reserve() {
    let db = Database::migrated().await;
    let cached = "SELECT cache_size FROM pg_sequences WHERE sequencename = 'tasker_transition_ids'";
    assert_eq!(db.count(cached).await, 1);
}
