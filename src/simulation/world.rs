//! A simulated run: processes that come and go, faults at their times, and the end that must come.

mod hand;
mod people;
mod process;
mod templates;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use people::{
    correlation, expire_tasks, fork_task, hold, make, signal_all, signal_task, steer_task,
};
use process::{Process, Wish, keep_running, options};
use templates::{branches, template, undoing};

use super::database::SimulatedDatabase;
use super::plan::{FaultKind, Plan, Weather, WorkerPlan};
use super::server::{Host, Server};
use super::tables::{Tables, steps_of};
use super::watch::Watch;
use crate::budget::{Cost, Limits};
use crate::ids::{StepId, TaskId, TemplateId};
use crate::runtime::simulated::{Steering, Templates};
use crate::state::{FollowUpKind, StepState, TaskState};

/// By when every task must have ended, or be waiting for a person, after the last fault: handlers may have taken
/// their only worker along many times.
const PATIENCE: Duration = Duration::from_secs(900);

/// How much later for each item of a map step: each may take the only worker along some times.
const PER_ITEM: Duration = Duration::from_secs(20);

/// Between two looks at whether everything has ended.
const LOOK: Duration = Duration::from_secs(1);

/// The name of the signal that handlers wait for.
pub(super) const GO: &str = "go";

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
            FaultKind::Expire { older_than } => {
                tokio::spawn(expire_tasks(client.clone(), older_than));
            }
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
