//! A simulated run: processes that come and go, faults at their times, and the end that must come.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::database::SimulatedDatabase;
use super::plan::{
    Conduct, FaultKind, MapPlan, Plan, StepPlan, TaskPlan, Weather, WorkerPlan, said, taken,
};
use super::server::{Host, Server};
use super::tables::{Tables, TemplateRecord, steps_of};
use super::watch::Watch;
use crate::budget::{Cost, Limits};
use crate::config::WorkerOptions;
use crate::decision::{
    AwaitedSignal, Claim, Failure, FailureKind, Growth, NewStep, Outcome, Request, Until, Wait,
};
use crate::error::Error;
use crate::ids::{StepId, TaskId, TemplateId};
use crate::join_policy::JoinPolicy;
use crate::json::JsonLimits;
use crate::process::within;
use crate::retry_policy::RetryPolicy;
use crate::runtime::simulated::{
    Delivery, Engine, ForkRequest, Interrupt, Recording, SignalRequest, Steered, Steering,
    Submission, Templates, WorkflowCall, fork, not_committed, signal, steer,
};
use crate::state::{FollowUpKind, StepState, TaskState};
use crate::store::{Checkpoint, Database, StoreError, Transaction};
use crate::template::{OnFailure, TaskTemplate};

/// By when every task must have ended, or be waiting for a person, after the last fault: handlers may have taken
/// their only worker along many times.
const PATIENCE: Duration = Duration::from_secs(900);

/// How much later for each item of a map step: each may take the only worker along some times.
const PER_ITEM: Duration = Duration::from_secs(20);

/// Between two looks at whether everything has ended.
const LOOK: Duration = Duration::from_secs(1);

/// The same of a handler thread that has just begun to wait.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);

/// How long a handler waits that naps, and at most for a signal where there is a limit.
const NAP: Duration = Duration::from_secs(2);

/// How long a handler waits that polls, for the first time; then twice as long each time.
const FIRST_POLL: Duration = Duration::from_millis(300);

/// How often it does.
const POLLS: u32 = 3;

/// After how many seconds a handler is to be tried again that says so: more than any policy here.
const ASKED: f64 = 3.0;

/// Between two looks of a handler at whether its attempt is still its own.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// How often a handler sends a checkpoint again that is not answered.
const SENT_AGAIN: u32 = 4;

/// The name of the signal that handlers wait for.
pub(super) const GO: &str = "go";

/// That signal.
const SIGNAL: &str = r#"{"name": "go", "payload": null, "idempotency_key": "once"}"#;

/// How long it may take until the end of an attempt is written, in milliseconds.
const ABOUT_A_ROUND: u64 = 40;

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    /// The first broken invariant.
    pub(super) violation: Option<String>,
    pub(super) story: Vec<String>,
    pub(super) tasks: u64,
    pub(super) transitions: u64,
}

/// Plays a plan to its end. `told`: keeps the story.
pub(super) fn play(plan: &Plan, told: bool) -> Ending {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    match runtime {
        // The world begins within the runtime, by whose clock everything goes.
        Ok(runtime) => runtime.block_on(async { World::new(plan, told).play().await }),
        Err(error) => Ending { violation: Some(error.to_string()), ..Ending::default() },
    }
}

struct World {
    plan: Arc<Plan>,
    server: Arc<Server>,
    processes: Vec<Arc<Process>>,
    /// Tasks whose rows somebody holds until the others have ended.
    kept: Mutex<BTreeSet<TaskId>>,
    /// Lets go of them.
    release: Arc<Notify>,
    /// Those who make forks.
    forks: Mutex<Vec<AbortOnDropHandle<()>>>,
}

/// A machine on which a worker runs, again and again.
struct Process {
    host: Arc<Host>,
    plan: WorkerPlan,
    options: WorkerOptions,
    wish: watch::Sender<Wish>,
    killed: Notify,
}

/// What is wanted of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Run,
    /// To end in order, for a while.
    Stop(Duration),
    /// To end in order, for good.
    End,
}

impl World {
    fn new(plan: &Plan, told: bool) -> Self {
        let mut templates: Vec<_> =
            (0..plan.templates.len()).map(|number| template(plan, number)).collect();
        let undone = plan.templates.iter().map(|steps| steps.iter().any(|step| step.undone));
        let undoing: Vec<_> = (0..)
            .zip(&templates)
            .zip(undone)
            .filter_map(|((of, record), undone)| undone.then(|| undoing(TemplateId(of), record))?)
            .collect();
        templates.extend(undoing);
        let tables = Tables { templates: Arc::new(templates), ..Tables::default() };
        let server = Server::new(tables, Watch::default(), plan.seed, plan.weather, told);
        let process = |(number, plan): (usize, &WorkerPlan)| {
            let (wish, _) = watch::channel(Wish::Run);
            let host = Arc::new(Host::new(number, true));
            let (plan, options) = (plan.clone(), options(plan));
            Arc::new(Process { host, plan, options, wish, killed: Notify::new() })
        };
        Self {
            plan: Arc::new(plan.clone()),
            server: Arc::new(server),
            processes: plan.workers.iter().enumerate().map(process).collect(),
            kept: Mutex::default(),
            release: Arc::default(),
            forks: Mutex::default(),
        }
    }

    async fn play(self) -> Ending {
        let running: Vec<_> = self
            .processes
            .iter()
            .map(|process| {
                let (process, plan) = (Arc::clone(process), Arc::clone(&self.plan));
                let server = Arc::clone(&self.server);
                tokio::spawn(keep_running(process, plan, server))
            })
            .collect();
        let violated = self.until_violation();
        let played = async {
            self.disturb().await;
            self.settle().await
        };
        tokio::select! {
            biased;
            () = violated => {}
            stuck = played => match stuck {
                Some(stuck) => self.violated(stuck),
                None => self.finish(running).await,
            }
        }
        let mut state = self.server.lock();
        Ending {
            violation: state.watch.violation.take(),
            story: state.story.take().unwrap_or_default(),
            tasks: state.tables.tasks.len() as u64,
            transitions: state.watch.transitions,
        }
    }

    fn violated(&self, what: String) {
        self.server.lock().watch.violation.get_or_insert(what);
    }

    async fn until_violation(&self) {
        while self.server.lock().watch.violation.is_none() {
            sleep(LOOK).await;
        }
    }

    /// Makes tasks, and does what is planned at its time.
    async fn disturb(&self) {
        let began = Instant::now();
        let client = self.somebody();
        let templates = Arc::new(Templates::default());
        let mut makers = Vec::new();
        for (key, task) in self.plan.tasks.iter().enumerate() {
            let clients = u32::try_from(task.clients.max(1)).unwrap_or(1);
            for number in 0..clients {
                let client = if number == 0 { client.clone() } else { self.somebody() };
                let at = began + task.at + task.apart.unwrap_or_default() * number;
                let made = make(client, Arc::clone(&templates), *task, key, at);
                makers.push(AbortOnDropHandle::new(tokio::spawn(made)));
            }
        }
        for fault in &self.plan.faults {
            sleep_until(began + fault.at).await;
            self.server.lock().tell(|| format!("{:?}", fault.kind));
            self.happens(fault.kind, &client);
        }
        for maker in makers {
            let _ = maker.await;
        }
        sleep_until(began + self.plan.over()).await;
        let mut state = self.server.lock();
        state.weather = Weather { latency_ms: state.weather.latency_ms, ..Weather::default() };
        state.tell(|| "all faults are over".to_owned());
    }

    /// The database as another machine reaches it.
    fn somebody(&self) -> SimulatedDatabase {
        let host = Arc::new(Host::new(self.processes.len(), false));
        SimulatedDatabase { server: Arc::clone(&self.server), host }
    }

    fn happens(&self, fault: FaultKind, client: &SimulatedDatabase) {
        let process = |number: usize| &self.processes[number % self.processes.len()];
        match fault {
            FaultKind::Kill { worker } => process(worker).killed.notify_one(),
            FaultKind::Pause { worker, lasts } => process(worker).host.pause(lasts),
            FaultKind::Stop { worker, patience } => {
                process(worker).wish.send_replace(Wish::Stop(patience));
            }
            FaultKind::Cut { worker } => process(worker).host.cut(),
            FaultKind::Restart { lasts } => self.server.restart(lasts),
            FaultKind::Cancel { task } => self.somebody_asks(client, task, Steering::Cancel),
            FaultKind::Suspend { task } => self.somebody_asks(client, task, Steering::Pause),
            FaultKind::Resume { task } => self.somebody_asks(client, task, Steering::Resume),
            FaultKind::Retry { task } => {
                let steps = self.plan.templates.iter().map(Vec::len).max().unwrap_or_default();
                let step = (0..steps).find_map(|step| self.step_to_retry(task, step));
                self.somebody_asks(client, task, Steering::Retry { step });
            }
            FaultKind::Compensate { task } => {
                if let Some(task) = self.task(task) {
                    self.server.lock().watch.asks_to_undo(task);
                }
                self.somebody_asks(client, task, Steering::Compensate);
            }
            FaultKind::Signal { task } => {
                if let Some(task) = self.task(task) {
                    tokio::spawn(signal_task(client.clone(), task));
                }
            }
            FaultKind::SignalAll { key } => {
                tokio::spawn(signal_all(client.clone(), correlation(key)));
            }
            FaultKind::Fork { task, step, clients } => self.fork(client, task, step, clients),
            FaultKind::Raise { task } => {
                let limits =
                    Limits { attempts: NonZeroU32::new(30), cost: Cost::from_number(30.0) };
                self.somebody_asks(client, task, Steering::RaiseBudget(limits));
            }
            FaultKind::Skip { task, step } => {
                let step = self.step_to_end(task, step);
                self.somebody_asks(client, task, Steering::Skip { step });
            }
            FaultKind::Rerun { task, step } => {
                let step = self.added_name(task, step).unwrap_or_else(|| format!("s{step}"));
                self.somebody_asks(client, task, Steering::Rerun { step });
            }
            FaultKind::Resolve { task, step } => {
                let take = self.branches(task, step);
                let (step, results) = (self.step_to_end(task, step), "\"by hand\"".into());
                self.somebody_asks(client, task, Steering::Resolve { step, results, take });
            }
            FaultKind::Hold { task, lasts } => {
                if let Some(task) = self.task(task) {
                    tokio::spawn(hold(client.clone(), task, sleep(lasts)));
                }
            }
            FaultKind::Keep { task } => {
                if let Some(task) = self.task(task) {
                    self.kept().insert(task);
                    let release = Arc::clone(&self.release).notified_owned();
                    tokio::spawn(hold(self.somebody(), task, release));
                }
            }
            FaultKind::CallInVain => self.server.lock().call_all(),
            FaultKind::Clock { by_ms } => {
                self.server.lock().put_clock(TimeDelta::milliseconds(by_ms));
            }
        }
    }

    fn fork(&self, client: &SimulatedDatabase, task: usize, step: usize, clients: usize) {
        let Some(source) = self.task(task) else { return };
        let mut forks = self.forks.lock().unwrap_or_else(PoisonError::into_inner);
        // No submit of the plan has such a key.
        let key = self.plan.tasks.len() + forks.len();
        for number in 0..clients.max(1) {
            let client = if number == 0 { client.clone() } else { self.somebody() };
            let key = (clients > 0).then_some(key);
            let made = fork_task(client, Arc::clone(&self.plan), source, step, key);
            forks.push(AbortOnDropHandle::new(tokio::spawn(made)));
        }
    }

    /// Whether everybody who makes a fork was told what became of it.
    fn forks_are_told(&self) -> bool {
        let forks = self.forks.lock().unwrap_or_else(PoisonError::into_inner);
        forks.iter().all(AbortOnDropHandle::is_finished)
    }

    fn somebody_asks(&self, client: &SimulatedDatabase, task: usize, steering: Steering) {
        if let Some(task) = self.task(task) {
            tokio::spawn(steer_task(client.clone(), task, steering));
        }
    }

    /// The name of a step that a handler has added to a task, which half of the numbers stand for where there are some.
    fn added_name(&self, task: usize, number: usize) -> Option<String> {
        let task = self.task(task).filter(|_| (task + number) % 2 == 1)?;
        let tables = &self.server.lock().tables;
        let of_task = tables.names.iter().filter(|((of, _), _)| *of == task);
        let added: Vec<_> = of_task.filter(|(_, step)| !tables.is_item(**step)).collect();
        added.get(number / 2 % added.len().max(1)).map(|((_, name), _)| name.clone())
    }

    /// The names of the items that failed of a map step that failed by them.
    fn failed_items(&self, task: usize, step: usize) -> Vec<String> {
        let Some((task, index)) = self.task(task).zip(u32::try_from(step).ok()) else {
            return Vec::new();
        };
        let tables = &self.server.lock().tables;
        let failed = |step| tables.steps.get(&step).is_some_and(|it| it.state == StepState::Error);
        let map = task.step(index);
        let Some((first, items)) = tables.items(map).filter(|_| failed(map)) else {
            return Vec::new();
        };
        let items = (0..items).filter(|n| failed(StepId(first.0 + i64::from(*n))));
        items.map(|n| format!("s{step}[{n}]")).collect()
    }

    /// The step that an operator skips or resolves: of a map step that failed by several items one of these.
    fn step_to_end(&self, task: usize, step: usize) -> String {
        let failed = self.failed_items(task, step);
        let item = failed.into_iter().nth(1);
        item.unwrap_or_else(|| format!("s{step}"))
    }

    /// A map step that failed by its items, or one of these, to be tried again; none where all that failed is to be.
    fn step_to_retry(&self, task: usize, step: usize) -> Option<String> {
        let mut failed = self.failed_items(task, step);
        match failed.len() % 3 {
            1 => Some(format!("s{step}")),
            2 => failed.pop(),
            _ => None,
        }
    }

    /// The names of the branches that a step of a task takes, if it decides.
    fn branches(&self, task: usize, step: usize) -> Option<Vec<String>> {
        let task = self.task(task)?;
        let template = self.server.lock().tables.tasks.get(&task)?.template;
        let steps = self.plan.templates.get(usize::try_from(template.0).ok()?)?;
        branches(steps, step)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeSet<TaskId>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn task(&self, number: usize) -> Option<TaskId> {
        let state = self.server.lock();
        state.tables.tasks.keys().nth(number % state.tables.tasks.len().max(1)).copied()
    }

    /// Waits until every task has ended or waits for a person, those that somebody holds after the others; else
    /// says what does not.
    async fn settle(&self) -> Option<String> {
        let kept = std::mem::take(&mut *self.kept());
        if let Some(stuck) = self.settle_all_but(&kept).await {
            return Some(stuck);
        }
        self.server.lock().tell(|| format!("nobody holds {kept:?} any more"));
        self.release.notify_waiters();
        self.settle_all_but(&BTreeSet::new()).await
    }

    async fn settle_all_but(&self, kept: &BTreeSet<TaskId>) -> Option<String> {
        let patience = PATIENCE + self.plan.put_back() + PER_ITEM * self.plan.items();
        let until = Instant::now() + patience;
        loop {
            let told = !kept.is_empty() || self.forks_are_told();
            let open = self.open_tasks(kept);
            if open.is_empty() && told {
                return None;
            }
            self.resume_paused();
            self.signal_waiting();
            if Instant::now() >= until {
                return Some(format!("after {patience:?} without a fault: {}", open.join("; ")));
            }
            sleep(LOOK).await;
        }
    }

    /// Operators let every task go on that they have paused.
    fn resume_paused(&self) {
        let paused: Vec<_> = {
            let state = self.server.lock();
            let tasks = state.tables.tasks.values().map(|record| record.task);
            tasks.filter(|task| task.state == TaskState::Paused).map(|task| task.id).collect()
        };
        for task in paused {
            tokio::spawn(steer_task(self.somebody(), task, Steering::Resume));
        }
    }

    /// Every task that waits gets the signal of which nobody was told that it has been sent, unless it waits for a time that
    /// comes.
    fn signal_waiting(&self) {
        let waiting: Vec<_> = {
            let state = self.server.lock();
            let tasks = state.tables.tasks.values().map(|record| record.task);
            let waiting = tasks.filter(|task| task.state == TaskState::Waiting).map(|task| task.id);
            let limited =
                |task: &TaskId| state.tables.step_deadlines.range(steps_of(*task)).next().is_some();
            waiting.filter(|task| !state.watch.is_signalled(*task) && !limited(task)).collect()
        };
        for task in waiting {
            tokio::spawn(signal_task(self.somebody(), task));
        }
    }

    fn open_tasks(&self, kept: &BTreeSet<TaskId>) -> Vec<String> {
        let state = self.server.lock();
        let has_deadline = |task| state.tables.deadlines.contains_key(&task);
        let open = state.tables.tasks.values().map(|record| record.task);
        let open = open.filter(|task| {
            !task.state.is_terminal()
                && !kept.contains(&task.id)
                && (!state.tables.needs_person(task.id, kept) || has_deadline(task.id))
        });
        let open = open.map(|task| format!("task {} is {}", task.id, task.state));
        let left = state.tables.follow_ups.values().filter(|(task, kind)| {
            let parent = state.tables.children.get(task).map(|child| child.step.task());
            let told = parent.filter(|_| *kind == FollowUpKind::TellParent).unwrap_or(*task);
            !kept.contains(&told)
        });
        open.chain(left.map(|(task, kind)| format!("the end of task {task} left {kind}"))).collect()
    }

    /// Lets every process end, and recounts.
    async fn finish(&self, running: Vec<tokio::task::JoinHandle<()>>) {
        for process in &self.processes {
            process.wish.send_replace(Wish::End);
        }
        for process in running {
            if timeout(PATIENCE, process).await.is_err() {
                self.violated("a worker does not end".to_owned());
            }
        }
        let mut state = self.server.lock();
        state.watch.all_made();
        let tables = std::mem::take(&mut state.tables);
        for task in tables.tasks.keys() {
            state.watch.recount(&tables, *task);
            state.watch.is_undone(&tables, *task);
        }
        if let Some((step, _)) = tables.recorded_ends.first_key_value() {
            let what = format!("the end of step {step} is recorded, and nobody has ended it");
            state.watch.violation.get_or_insert(what);
        }
        if let Some((step, _)) = tables.steps.iter().find(|(_, step)| step.worker.is_some()) {
            state
                .watch
                .violation
                .get_or_insert(format!("step {step} is held though all have ended"));
        }
        state.tables = tables;
    }
}

fn template(plan: &Plan, number: usize) -> TemplateRecord {
    let steps = &plan.templates[number];
    let index = |step: &usize| u32::try_from(*step).unwrap_or(u32::MAX);
    let mut record = TemplateRecord {
        configuration: plan.declaration(number).to_string(),
        maps: (0..steps.len()).map(|step| plan.map_of(number, step)).collect(),
        grows: (0..steps.len()).map(|step| plan.grows(number, step).is_some()).collect(),
        parents: steps.iter().map(|step| step.parents.iter().map(index).collect()).collect(),
        joins: steps.iter().map(StepPlan::join).collect(),
        taken: (0..steps.len())
            .map(|step| Some(taken(steps, step)?.iter().map(index).collect()))
            .collect(),
        whens: steps.iter().map(|step| step.when).collect(),
        queues: steps.iter().map(|step| super::plan::QUEUES[step.queue].to_owned()).collect(),
        retry_limits: steps.iter().map(StepPlan::attempts).collect(),
        reserves: steps
            .iter()
            .map(|step| Cost::from_number(step.reserve.into()).unwrap_or_default())
            .collect(),
        limited: steps.iter().map(|step| step.total_timeout.is_some()).collect(),
        transactional: (0..steps.len()).map(|step| plan.is_transactional(number, step)).collect(),
        runs: steps.iter().map(|step| step.runs.is_some()).collect(),
        leaves: (0..steps.len())
            .map(|step| plan.link_of(number, step).is_some_and(|link| link.leave))
            .collect(),
        delays: steps.iter().map(|step| step.delay.unwrap_or_default()).collect(),
        crash_limits: steps.iter().map(|step| crash_limit(step.crash_limit)).collect(),
        by_hand: plan.is_by_hand(number),
        name: format!("t{number}"),
        undoes: None,
    };
    if plan.has_prototype(number) {
        record.parents.push(Vec::new());
        record.joins.push(JoinPolicy::default());
        record.taken.push(None);
        record.whens.push(None);
        record.queues.push(super::plan::QUEUES[0].to_owned());
        record.retry_limits.push(2);
        record.maps.push(None);
        record.grows.push(false);
        record.limited.push(plan.added_timeout(number).is_some());
        record.transactional.push(false);
        record.runs.push(false);
        record.delays.push(Duration::ZERO);
        record.crash_limits.push(crash_limit(None));
    }
    record
}

fn crash_limit(declared: Option<u32>) -> u32 {
    declared.unwrap_or(RetryPolicy::DEFAULT.crash_limit)
}

/// The template that undoes tasks of another one, as registering that one makes it.
fn undoing(of: TemplateId, record: &TemplateRecord) -> Option<TemplateRecord> {
    let template = TaskTemplate::from_json(&record.configuration).ok()?;
    let undoing = template.compensation().ok()??;
    let steps = undoing.steps();
    let all = 0..u32::try_from(steps.len()).unwrap_or(0);
    Some(TemplateRecord {
        configuration: undoing.to_json(),
        parents: all.map(|step| undoing.graph().parents(step).to_vec()).collect(),
        joins: steps.iter().map(|step| step.join).collect(),
        taken: vec![None; steps.len()],
        whens: vec![None; steps.len()],
        queues: steps.iter().map(|step| step.queue.clone()).collect(),
        retry_limits: steps.iter().map(|step| step.retry_policy.max_attempts()).collect(),
        maps: steps
            .iter()
            .map(|step| step.map.as_ref())
            .map(|map| Some(MapPlan { items: 0, max_parallel: None, tolerate: map?.tolerate }))
            .collect(),
        grows: vec![false; steps.len()],
        limited: vec![false; steps.len()],
        transactional: vec![false; steps.len()],
        reserves: vec![Cost::default(); steps.len()],
        runs: vec![false; steps.len()],
        leaves: vec![false; steps.len()],
        delays: vec![Duration::ZERO; steps.len()],
        crash_limits: steps.iter().map(|step| step.retry_policy.crash_limit).collect(),
        by_hand: false,
        name: undoing.name().to_owned(),
        undoes: Some((
            of,
            steps.iter().filter_map(|step| template.step_index(&step.name)).collect(),
        )),
    })
}

/// The names of the branches that a step takes, if it decides.
fn branches(steps: &[StepPlan], step: usize) -> Option<Vec<String>> {
    let said = (step < steps.len()).then(|| said(steps, step))??;
    Some(said.iter().map(|child| format!("s{child}")).collect())
}

/// Makes the tasks of a plan, as one client, which tries until it is told that they are made.
async fn make(
    client: SimulatedDatabase,
    templates: Arc<Templates>,
    plan: TaskPlan,
    key: usize,
    at: Instant,
) {
    sleep_until(at).await;
    let contexts = vec![serde_json::json!({}); plan.count];
    let mut json =
        serde_json::json!({ "name": format!("t{}", plan.template), "contexts": contexts });
    if plan.clients > 0 {
        json["idempotency_key"] = format!("key {key}").into();
        json["unique_for_s"] = plan.unique_for.map(|lasts| lasts.as_secs_f64()).into();
    }
    if let Some(key) = plan.correlation {
        json["correlation_key"] = correlation(key).into();
    }
    if let Some(deadline) = plan.deadline {
        json["deadline_s"] = deadline.as_secs_f64().into();
    }
    if let Some(attempts) = plan.attempts {
        json["budget"]["attempts"] = attempts.into();
    }
    if let Some(cost) = plan.cost {
        json["budget"]["cost"] = cost.into();
    }
    let submission = Submission::from_json(&json.to_string());
    let submission = submission.expect("a plan submits what is allowed");
    let id = TemplateId(i32::try_from(plan.template).unwrap_or(0));
    let mut made = Vec::new();
    loop {
        let asked = Instant::now();
        let submitted = async {
            let mut tx = client.begin().await?;
            let stored = templates.get_within(&mut tx, id).await?;
            let submitted = submission.write(&mut tx, &stored, &mut made).await?;
            tx.commit().await?;
            Ok::<_, crate::Error>(submitted)
        };
        let submitted = submitted.await;
        let mut state = client.server.lock();
        match submitted {
            Ok(submitted) => {
                if plan.clients > 0 {
                    let window = plan.unique_for.map(|lasts| (lasts, asked));
                    state.watch.submitted(key, submitted.task_ids[0], submitted.existing, window);
                }
                return;
            }
            Err(error) if error.is_retryable() => {}
            Err(error) => {
                state.watch.violation.get_or_insert(format!("a submit failed: {error}"));
                return;
            }
        }
        drop(state);
        sleep(Duration::from_millis(200)).await;
    }
}

/// Whether it is refused, or its answer is lost, does not matter to anybody.
async fn steer_task(client: SimulatedDatabase, task: TaskId, steering: Steering) {
    let templates = Templates::default();
    let request = Request { actor: "somebody".to_owned(), reason: None, seen: None };
    let steered = async {
        loop {
            let mut tx = client.begin().await?;
            let steered = steer(&mut tx, &templates, task, &steering, &request).await?;
            tx.commit().await?;
            if let Steered::Done(_) = steered {
                return Ok::<_, crate::Error>(());
            }
        }
    };
    let _ = steered.await;
}

/// Sends a task the signal that its steps wait for.
async fn signal_task(client: SimulatedDatabase, task: TaskId) {
    let templates = Templates::default();
    let request = SignalRequest::from_json(SIGNAL).expect("a signal as it is allowed");
    let sent = async {
        let mut tx = client.begin().await?;
        signal(&mut tx, &templates, task, &request).await?;
        Ok::<_, crate::Error>(tx.commit().await?)
    };
    if sent.await.is_ok() {
        client.server.lock().watch.signalled(task);
    }
}

/// A key by which several tasks are found.
fn correlation(key: usize) -> String {
    format!("order {key}")
}

/// Sends the signal to every task with a key, a few at a time; after an error it is not sent to the others.
async fn signal_all(client: SimulatedDatabase, key: String) {
    let templates = Templates::default();
    let request = SignalRequest::from_json(SIGNAL).expect("a signal as it is allowed");
    let began = Instant::now();
    let there: Vec<_> = {
        let state = client.server.lock();
        let goes_on = |task: &TaskId| {
            state.tables.tasks.get(task).is_some_and(|record| !record.task.state.is_terminal())
        };
        state.tables.correlated(&key).filter(goes_on).collect()
    };
    let mut after = TaskId(0);
    loop {
        let Ok(page) = client.correlated(&key, after, 2).await else { return };
        let Some(last) = page.last() else { break };
        after = *last;
        for task in page {
            let sent = async {
                let mut tx = client.begin().await?;
                signal(&mut tx, &templates, task, &request).await?;
                Ok::<_, crate::Error>(tx.commit().await?)
            };
            match sent.await {
                Ok(()) => client.server.lock().watch.signalled(task),
                Err(error) if error.is_retryable() => return,
                // It has ended.
                Err(_) => {}
            }
        }
    }
    let mut state = client.server.lock();
    let super::server::State { watch, tables, .. } = &mut *state;
    watch.signalled_all(tables, &key, (&there, began));
}

/// Makes a fork of a task, with a key until it is told which one it is.
async fn fork_task(
    client: SimulatedDatabase,
    plan: Arc<Plan>,
    source: TaskId,
    step: usize,
    key: Option<usize>,
) {
    let steps = {
        let state = client.server.lock();
        let template = state.tables.tasks.get(&source).map(|record| record.template.0);
        let template = template.and_then(|template| usize::try_from(template).ok());
        template.and_then(|template| plan.templates.get(template)).map_or(1, Vec::len)
    };
    let request = serde_json::json!({
        "from": [format!("s{}", step % steps)], "actor": "somebody",
        "idempotency_key": key.map(|key| format!("key {key}")),
    });
    let request = ForkRequest::from_json(&request.to_string()).expect("a fork as it is allowed");
    let templates = Templates::default();
    let mut made = Vec::new();
    loop {
        let forked = async {
            let mut tx = client.begin().await?;
            let limits = (JsonLimits::CONTEXT, &mut made);
            let (submitted, _) = fork(&mut tx, &templates, source, &request, limits).await?;
            tx.commit().await?;
            Ok::<_, crate::Error>(submitted)
        };
        match (forked.await, key) {
            (Ok(submitted), Some(key)) => {
                let mut state = client.server.lock();
                let (task, existing) = (submitted.task_ids[0], submitted.existing);
                return state.watch.submitted(key, task, existing, None);
            }
            (Err(error), Some(_)) if error.is_retryable() => {}
            (Ok(_) | Err(_), _) => return,
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Holds a task's row for as long as something takes.
async fn hold(client: SimulatedDatabase, task: TaskId, lasts: impl Future<Output = ()>) {
    let holds = async {
        let mut tx = client.begin().await?;
        tx.lock_tasks(&[task]).await?;
        lasts.await;
        Ok::<_, StoreError>(())
    };
    let _ = holds.await;
}

/// Starts a worker, and another one when it has ended.
async fn keep_running(process: Arc<Process>, plan: Arc<Plan>, server: Arc<Server>) {
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

fn options(plan: &WorkerPlan) -> WorkerOptions {
    let mut options = serde_json::json!({
        "url": "simulated", "concurrency": plan.concurrency,
        "heartbeat_interval_ms": 1_000, "dead_after_ms": 3_000,
    });
    if let Some(queue) = plan.queue {
        options["queues"] = serde_json::json!([super::plan::QUEUES[queue]]);
    }
    WorkerOptions::from_json(&options.to_string())
        .expect("a plan asks for options that are allowed")
}

/// Of the handler threads that wait, one looks for what there is to do; one that begins to wait lets it look at once.
#[derive(Default)]
struct Turn {
    looks: tokio::sync::Mutex<()>,
    waits: Notify,
}

/// A handler thread.
struct Hand {
    process: Arc<Process>,
    plan: Arc<Plan>,
    server: Arc<Server>,
    engine: Arc<Engine<SimulatedDatabase>>,
    turn: Arc<Turn>,
}

/// What the handler of a step does that another one has added.
fn of_added(claim: Claim) -> Conduct {
    match (claim.step.index() % 5, claim.attempt) {
        (1, 1) => Conduct::Fail,
        (2, 1) => Conduct::FailForGood,
        (_, _) => Conduct::Succeed,
    }
}

fn succeeded(claim: Claim) -> Outcome {
    Outcome::Succeeded(format!("[{},{}]", claim.step, claim.attempt).into())
}

impl Hand {
    async fn work(self) {
        while let Some(steps) = self.take().await {
            for step in steps {
                self.execute(&step).await;
            }
        }
        self.is_to_end();
    }

    async fn take(&self) -> Option<Vec<Delivery>> {
        self.turn.waits.notify_waiters();
        let _looks = self.turn.looks.lock().await;
        let interrupt = Interrupt::of_this_thread();
        let mut idle = SHORTEST_LOOK;
        loop {
            let taken = self.engine.take(1, Duration::ZERO, &interrupt);
            if taken.as_ref().is_none_or(|steps| !steps.is_empty()) {
                return taken;
            }
            let waits = timeout(idle, self.turn.waits.notified()).await.is_ok();
            idle = if waits { SHORTEST_LOOK } else { (idle * 4).min(LOOK) };
        }
    }

    /// Nothing more is handed out: somebody must have wanted that.
    fn is_to_end(&self) {
        if *self.process.wish.borrow() == Wish::Run {
            let host = self.process.host.number;
            let what = format!("the worker of host {host} ended by itself");
            self.server.lock().watch.violation.get_or_insert(what);
        }
    }

    async fn execute(&self, delivery: &Delivery) {
        let claim = delivery.claim;
        {
            let mut state = self.server.lock();
            let super::server::State { watch, tables, .. } = &mut *state;
            watch.begins(tables, claim);
            watch.inputs(tables, claim, delivery.parents.as_deref());
            state.tell(|| {
                format!(
                    "host {} executes task {} step {} attempt {}",
                    self.process.host.number,
                    claim.step.task(),
                    claim.step.index(),
                    claim.attempt
                )
            });
        }
        let conduct = self.step(delivery).map_or_else(
            || of_added(claim),
            |step| {
                let (last, number) = (step.conduct.len() - 1, claim.attempt as usize - 1);
                let conduct = step.conduct[last.min(number)];
                if conduct == Conduct::Nap && number > last { Conduct::Succeed } else { conduct }
            },
        );
        let began = Instant::now();
        self.attach(claim);
        self.spend(delivery);
        let runs = self.step(delivery).and_then(|step| Some((step.runs?, step.link.is_some())));
        let outcome = match (self.behave(conduct, claim).await, runs) {
            (Outcome::Succeeded(results), Some((other, is_declared))) => {
                let other = (!is_declared).then_some(other);
                self.run_workflow(claim, other, results).await
            }
            (outcome, _) => outcome,
        };
        let is_limited = self.step(delivery).is_some_and(|step| step.timeout.is_some());
        self.server.lock().watch.reports(claim, &outcome, is_limited);
        let (step, attempt, execution) = (claim.step, claim.attempt, began.elapsed());
        let growth = self.growth(delivery).filter(|_| !self.is_transactional(delivery));
        let outcome = match (outcome, self.is_transactional(delivery)) {
            (Outcome::Succeeded(results), true) => {
                self.transact(delivery, execution, results).await
            }
            (outcome, _) => outcome,
        };
        if let (Outcome::Succeeded(results), Some(growth)) = (&outcome, growth) {
            self.engine.report_growth(step, attempt, execution, Arc::clone(results), growth);
        } else if let Outcome::Succeeded(results) = outcome {
            let took = self.took(delivery);
            self.engine.report_results(step, attempt, execution, results, took.as_deref());
        } else {
            self.engine.report(step, attempt, execution, outcome);
        }
    }

    /// The names of the branches that the handler takes, if it decides.
    fn took(&self, delivery: &Delivery) -> Option<Vec<String>> {
        let step = delivery.claim.step.index() as usize;
        self.steps(delivery).and_then(|steps| branches(steps, step))
    }

    fn is_transactional(&self, delivery: &Delivery) -> bool {
        self.server.lock().tables.is_transactional(delivery.claim.step)
    }

    /// Does what the attempt does in a transaction of the application's that records its end, and says how it is to be reported.
    /// Between any two steps of that the worker may die, or be late.
    async fn transact(
        &self,
        delivery: &Delivery,
        execution: Duration,
        results: Arc<str>,
    ) -> Outcome {
        let (claim, took) = (delivery.claim, self.took(delivery));
        let Claim { step, attempt, .. } = claim;
        let (server, host) = (Arc::clone(&self.server), Arc::clone(&self.process.host));
        let database = SimulatedDatabase { server, host };
        let failure = |why| Failure::new(FailureKind::Retryable, "Simulated", why);
        let recorded = async {
            let mut tx = database.begin_apart().await?;
            tx.take_effect(claim).await?;
            self.may_die().await;
            let recording =
                self.engine.record(&mut tx, step, attempt, execution, results, took.as_deref());
            let recording = recording.await?;
            self.may_die().await;
            Ok::<_, Error>((recording, tx))
        };
        let outcome = match recorded.await {
            Ok((Recording::Recorded, tx)) => match tx.commit().await {
                Ok(()) => not_committed(),
                Err(error) => Outcome::Recorded(failure(error.to_string())),
            },
            Ok((other, _)) => Outcome::Failed(failure(other.as_str().to_owned())),
            Err(error) => Outcome::Failed(failure(error.to_string())),
        };
        self.may_die().await;
        outcome
    }

    /// Now and then the worker dies here, or its handler takes its time.
    async fn may_die(&self) {
        let (dies, late) = {
            let mut state = self.server.lock();
            let late = if state.rng.u8(..8) == 0 { state.rng.u64(0..3_000) } else { 0 };
            (state.rng.u8(..24) == 0, late)
        };
        sleep(Duration::from_millis(late)).await;
        if dies {
            self.process.killed.notify_one();
            std::future::pending().await
        }
    }

    /// Attaches to an attempt, to each third one, on which worker it runs.
    fn attach(&self, claim: Claim) {
        let Claim { step, attempt, worker } = claim;
        if (step.index() + attempt).is_multiple_of(3) {
            let artifact =
                format!(r#"{{"name": "by", "media_type": "text/plain", "json": {}}}"#, worker.0);
            self.server.lock().watch.attaches(claim);
            let attached = self.engine.attach(step, attempt, &artifact);
            attached.expect("a handler attaches what is allowed");
        }
    }

    /// Spends some of what the attempt has reserved.
    fn spend(&self, delivery: &Delivery) {
        let reserve = self.step(delivery).map_or(0, |step| step.reserve);
        let spent = self.server.lock().rng.u32(0..=reserve);
        if let Some(cost) = Cost::from_number(spent.into()).filter(|_| spent > 0) {
            self.engine.spend(delivery.claim.step, delivery.claim.attempt, cost);
        }
    }

    fn step(&self, delivery: &Delivery) -> Option<&StepPlan> {
        let prototype = delivery.added.as_ref().map(|added| added.prototype);
        let position = prototype.unwrap_or(delivery.claim.step.index());
        self.steps(delivery)?.get(position as usize)
    }

    /// What the handler adds.
    fn growth(&self, delivery: &Delivery) -> Option<Growth> {
        let template = usize::try_from(delivery.template.0).ok()?;
        let step = delivery.claim.step;
        let position = step.index() as usize;
        self.steps(delivery)?.get(position)?;
        let grows = self.plan.grows(template, position)?;
        let name = |number: u32| format!("g{}_{number}", step.index());
        let before = (grows / 4).checked_sub(1).map(|other| format!("s{other}"));
        let last = (grows % 4).checked_sub(1);
        let new = |number: u32| NewStep {
            name: name(number).into(),
            like: super::plan::PROTOTYPE.to_owned(),
            inputs: "{}".into(),
            depends_on: number.checked_sub(1).map(|other| vec![name(other)]),
            before: before.clone().into_iter().filter(|_| Some(number) == last).collect(),
        };
        Some(Growth { steps: (0..grows % 4).map(new).collect() })
    }

    fn steps(&self, delivery: &Delivery) -> Option<&[StepPlan]> {
        let template = usize::try_from(delivery.template.0).ok()?;
        self.plan.templates.get(template).map(Vec::as_slice)
    }

    /// Runs a task of another template, which the step's own template may declare, and ends as it does.
    async fn run_workflow(&self, claim: Claim, other: Option<usize>, results: Arc<str>) -> Outcome {
        let failure = |kind, why: String| Outcome::Failed(Failure::new(kind, "Simulated", why));
        let name = other.map(|other| format!("t{other}"));
        let call = serde_json::json!({ "workflow": name }).to_string();
        let call = WorkflowCall::from_json(&call).expect("a call as it is allowed");
        match self.engine.run_workflow(claim.step, claim.attempt, &call).await {
            Ok(run) => match (run.wait, run.results) {
                (Some(wait), _) => {
                    let after = Some(wait.after_signal);
                    let awaited = AwaitedSignal { name: wait.signal, after };
                    Outcome::Waiting(Arc::new(Wait { signal: Some(awaited), ..Wait::default() }))
                }
                (None, Some(_)) => Outcome::Succeeded(results),
                (None, None) => {
                    let kind = match run.on_failure {
                        OnFailure::Block => FailureKind::Blocked,
                        OnFailure::Fail => FailureKind::Permanent,
                    };
                    failure(kind, run.state.to_string())
                }
            },
            Err(error) if error.is_retryable() => {
                failure(FailureKind::Retryable, error.to_string())
            }
            Err(error) => failure(FailureKind::Permanent, error.to_string()),
        }
    }

    async fn behave(&self, conduct: Conduct, claim: Claim) -> Outcome {
        let ms = self.server.lock().rng.u64(0..200);
        let failure = |kind| Failure::new(kind, "Simulated", format!("step {}", claim.step));
        let long = if conduct == Conduct::Dawdle { Duration::from_secs(4) } else { Duration::ZERO };
        sleep(Duration::from_millis(ms) + long).await;
        match conduct {
            Conduct::Succeed | Conduct::Dawdle => succeeded(claim),
            Conduct::Nap => Outcome::Waiting(Arc::new(Wait {
                until: Some(Until::After(NAP)),
                ..Wait::default()
            })),
            Conduct::Poll => self.poll(claim),
            Conduct::Listen | Conduct::ListenFor | Conduct::Meet => {
                self.listen(conduct, claim, Duration::from_millis(ms)).await
            }
            Conduct::Advance => self.advance(claim).await,
            Conduct::Fail => Outcome::Failed(failure(FailureKind::Retryable)),
            Conduct::FailForNow => Outcome::Failed(Failure {
                retry_after_s: Some(ASKED),
                ..failure(FailureKind::Retryable)
            }),
            Conduct::FailForGood => Outcome::Failed(failure(FailureKind::Permanent)),
            Conduct::Block => Outcome::Failed(failure(FailureKind::Blocked)),
            Conduct::Crash => {
                self.process.killed.notify_one();
                std::future::pending().await
            }
        }
    }

    /// Waits, each time for longer, and keeps how often it did.
    fn poll(&self, claim: Claim) -> Outcome {
        let polled = {
            let mut state = self.server.lock();
            let super::server::State { watch, tables, .. } = &mut *state;
            watch.goes_on(tables, claim)
        };
        if polled >= POLLS {
            return succeeded(claim);
        }
        Outcome::Waiting(Arc::new(Wait {
            until: Some(Until::After(FIRST_POLL * 2_u32.pow(polled))),
            data: Some((polled + 1).to_string().into()),
            ..Wait::default()
        }))
    }

    /// Waits for the signal, as `step.wait_for` does. Between the look and the end is time for one to be sent.
    async fn listen(&self, conduct: Conduct, claim: Claim, late: Duration) -> Outcome {
        let awaited = AwaitedSignal { name: GO.to_owned(), after: None };
        let (is_there, deadline, now) = {
            let mut state = self.server.lock();
            let now = state.now();
            let last = state.tables.waits.get(&claim.step);
            let last = last.filter(|last| last.signal.as_ref() == Some(&awaited));
            let is_there = state.tables.signal(claim.step.task(), &awaited).is_some();
            (is_there, last.and_then(|last| last.deadline), now)
        };
        if is_there {
            return succeeded(claim);
        }
        if conduct == Conduct::Meet {
            self.signal_soon(claim.step.task());
        } else {
            sleep(late).await;
        }
        if conduct != Conduct::ListenFor {
            return Outcome::Waiting(Arc::new(Wait { signal: Some(awaited), ..Wait::default() }));
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            let failure = Failure::new(FailureKind::Permanent, "Simulated", "no signal came");
            return Outcome::Failed(failure);
        }
        let until = Some(deadline.map_or(Until::After(NAP), Until::At));
        Outcome::Waiting(Arc::new(Wait { until, signal: Some(awaited), ..Wait::default() }))
    }

    /// Somebody sends the signal about when the end of an attempt is written that ends now.
    fn signal_soon(&self, task: TaskId) {
        let host = Arc::new(Host::new(self.plan.workers.len(), false));
        let client = SimulatedDatabase { server: Arc::clone(&self.server), host };
        let after = Duration::from_millis(self.server.lock().rng.u64(..ABOUT_A_ROUND));
        tokio::spawn(async move {
            sleep(after).await;
            signal_task(client, task).await;
        });
    }

    /// Makes some checkpoints from where the last one was, and asks between them whether the attempt is still its own.
    async fn advance(&self, claim: Claim) -> Outcome {
        let Claim { step, attempt, .. } = claim;
        let (began, more) = {
            let mut state = self.server.lock();
            let checkpoint = state.tables.waits.get(&step).and_then(|wait| wait.checkpoint);
            let began = checkpoint.map(|checkpoint| checkpoint.cursor);
            state.watch.resumes(step, began);
            (began.unwrap_or(0), state.rng.u64(1..=3))
        };
        for cursor in (began + 1..).take(usize::try_from(more).unwrap_or(1)) {
            let (looks, dies) = {
                let mut state = self.server.lock();
                let most = if state.rng.u8(..4) == 0 { 24 } else { 6 };
                (state.rng.u8(0..=most), state.rng.u8(..8) == 0)
            };
            for _ in 0..looks {
                sleep(BETWEEN_LOOKS).await;
                let is_current = self.engine.is_current(step, attempt);
                self.server.lock().watch.looks(claim, is_current, &self.process.host);
            }
            if dies {
                self.process.killed.notify_one();
                return std::future::pending().await;
            }
            let text = cursor.to_string();
            let number = u32::try_from(cursor).unwrap_or(u32::MAX);
            let checkpoint = Checkpoint { cursor: &text, data: None, moved: true, number };
            let mut answer = self.engine.checkpoint(step, attempt, checkpoint).await;
            // As handlers do, for longer.
            for _ in 0..SENT_AGAIN {
                if !answer.as_ref().is_err_and(Error::is_retryable) {
                    break;
                }
                sleep(BETWEEN_LOOKS).await;
                answer = self.engine.checkpoint(step, attempt, checkpoint).await;
            }
            match answer {
                Ok(true) => {
                    let mut state = self.server.lock();
                    let super::server::State { watch, tables, .. } = &mut *state;
                    watch.checkpointed(tables, claim, cursor);
                }
                Ok(false) => break,
                Err(error) => {
                    let failure =
                        Failure::new(FailureKind::Retryable, "Simulated", error.to_string());
                    return Outcome::Failed(failure);
                }
            }
        }
        succeeded(claim)
    }
}
