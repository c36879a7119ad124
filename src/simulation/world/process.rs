//! Worker processes, which come back when they have ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::hand::{Hand, Turn};
use crate::config::WorkerOptions;
use crate::process::within;
use crate::runtime::simulated::Engine;
use crate::simulation::database::SimulatedDatabase;
use crate::simulation::plan::{Plan, QUEUES, WorkerPlan};
use crate::simulation::server::{Host, Server};

/// A machine on which a worker runs, again and again.
pub(super) struct Process {
    pub(super) host: Arc<Host>,
    pub(super) plan: WorkerPlan,
    pub(super) options: WorkerOptions,
    pub(super) wish: watch::Sender<Wish>,
    pub(super) killed: Notify,
}

/// What is wanted of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wish {
    Run,
    /// To end in order, for a while.
    Stop(Duration),
    /// To end in order, for good.
    End,
}

/// Starts a worker, and another one when it has ended.
pub(super) async fn keep_running(process: Arc<Process>, plan: Arc<Plan>, server: Arc<Server>) {
    let mut wishes = process.wish.subscribe();
    loop {
        if *wishes.borrow_and_update() == Wish::End {
            return;
        }
        process.wish.send_if_modified(|wish| {
            let stopped = matches!(wish, Wish::Stop(_));
            if stopped {
                *wish = Wish::Run;
            }
            stopped
        });
        wishes.mark_unchanged();
        server.lock().watch.came(&process.host);
        let life = live(&process, &plan, &server, &mut wishes);
        let life = Arc::clone(&process.host.process).run(life);
        tokio::select! {
            biased;
            () = process.killed.notified() => {
                server.lock().tell(|| format!("host {} dies", process.host.number));
            }
            () = life => {}
        }
        server.lock().watch.gone(&process.host);
        if *wishes.borrow() == Wish::End {
            return;
        }
        sleep(process.plan.back_after).await;
    }
}

/// From the start of a worker process to its end in order.
async fn live(
    process: &Arc<Process>,
    plan: &Arc<Plan>,
    server: &Arc<Server>,
    wishes: &mut watch::Receiver<Wish>,
) {
    let host = Arc::clone(&process.host);
    let database = SimulatedDatabase { server: Arc::clone(server), host };
    let Ok(engine) = Engine::start(database, process.options.clone()).await else {
        return;
    };
    let engine = Arc::new(engine);
    let turn = Arc::new(Turn::default());
    let hands: Vec<_> = (0..process.plan.concurrency)
        .map(|_| {
            let hand = Hand {
                process: Arc::clone(process),
                plan: Arc::clone(plan),
                server: Arc::clone(server),
                engine: Arc::clone(&engine),
                turn: Arc::clone(&turn),
            };
            AbortOnDropHandle::new(tokio::spawn(within(hand.work())))
        })
        .collect();
    let (patience, calm) = loop {
        if wishes.changed().await.is_err() {
            return;
        }
        match *wishes.borrow_and_update() {
            Wish::Run => {}
            Wish::Stop(patience) => break (patience, false),
            Wish::End => break (Duration::from_secs(10), true),
        }
    };
    let in_order = matches!(engine.stop(patience).await, Ok(true));
    if calm && !in_order {
        let what = format!("the worker of host {} did not end in order", process.host.number);
        server.lock().watch.violation.get_or_insert(what);
    }
    drop(hands);
}

pub(super) fn options(plan: &WorkerPlan) -> WorkerOptions {
    let mut options = serde_json::json!({
        "url": "simulated", "concurrency": plan.concurrency,
        "heartbeat_interval_ms": 1_000, "dead_after_ms": 3_000,
    });
    if let Some(queue) = plan.queue {
        options["queues"] = serde_json::json!([QUEUES[queue]]);
    }
    WorkerOptions::from_json(&options.to_string())
        .expect("a plan asks for options that are allowed")
}
