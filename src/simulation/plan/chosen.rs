//! The plan of a seed.

use std::time::Duration;

use fastrand::Rng;

use super::{
    Conduct, Fault, FaultKind, Link, MapPlan, Plan, QUEUES, StepPlan, TaskPlan, Weather, When,
    WorkerPlan,
};
use crate::join_policy::JoinPolicy;

/// How large a plan gets at most.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// How long faults go on at least, and the weather.
    lasts: Duration,
    steps: usize,
    /// Tasks of a template that are made at once, how many times, and how many of them.
    tasks: usize,
    at_once: usize,
    workers: usize,
    faults: usize,
    /// The longest that a fault lasts, in milliseconds.
    fault_ms: u64,
}

impl Size {
    /// For what takes several things to meet.
    const LARGE: Self = Self {
        lasts: Duration::from_secs(12),
        steps: 6,
        tasks: 4,
        at_once: 6,
        workers: 3,
        faults: 5,
        fault_ms: 12_000,
    };

    /// Most of what can go wrong does so in a small graph, of which many are run while a large one is.
    const SMALL: Self = Self {
        lasts: Duration::from_secs(4),
        steps: 3,
        tasks: 2,
        at_once: 2,
        workers: 2,
        faults: 3,
        fault_ms: 6_000,
    };
}

/// How long faults go on in a plan that does not say it.
pub(super) const fn lasts_of_large() -> Duration {
    Size::LARGE.lasts
}

/// How many keys tasks have by which several are found.
const KEYS: usize = 2;

impl Plan {
    /// Whether it is one of the small ones.
    pub(in crate::simulation) fn is_small(&self) -> bool {
        self.lasts == Size::SMALL.lasts
    }

    /// The plan of a number.
    pub(in crate::simulation) fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let size = if rng.u8(..4) == 0 { Size::LARGE } else { Size::SMALL };
        let templates: Vec<_> =
            (0..rng.usize(1..=2)).map(|_| template(&mut rng, size.steps)).collect();
        let tasks: Vec<_> = (0..rng.usize(1..=size.tasks))
            .map(|_| TaskPlan {
                at: time(&mut rng, size.lasts / 2),
                template: rng.usize(..templates.len()),
                count: if rng.u8(..4) == 0 { rng.usize(1..=size.at_once) } else { 1 },
                clients: 0,
                apart: None,
                unique_for: None,
                deadline: None,
                attempts: None,
                cost: None,
                correlation: None,
                priority: 0,
            })
            .collect();
        let workers: Vec<_> =
            (0..rng.usize(1..=size.workers)).map(|number| worker(&mut rng, number)).collect();
        let count = tasks.iter().map(|task| task.count).sum();
        let mut faults: Vec<_> = (0..rng.usize(0..=size.faults))
            .map(|_| Fault {
                at: time(&mut rng, size.lasts),
                kind: fault(&mut rng, workers.len(), count, size),
            })
            .collect();
        faults.sort_by_key(|fault| fault.at);
        let weather = weather(&mut rng);
        let seed = rng.u64(..);
        let tasks: Vec<_> = tasks.into_iter().map(|task| with_clients(&mut rng, task)).collect();
        let tasks = tasks.into_iter().map(|task| with_deadline(&mut rng, task)).collect();
        let branching =
            |steps: Vec<StepPlan>| steps.into_iter().map(|s| branching(&mut rng, s)).collect();
        let templates: Vec<_> = templates.into_iter().map(branching).collect();
        let last = templates.len() - 1;
        let linked = |(number, steps): (usize, Vec<StepPlan>)| {
            let undoes = rng.u8(..3) == 0;
            let linked = |s| linked(&mut rng, s, (number < last).then_some(last), undoes);
            steps.into_iter().map(linked).collect()
        };
        let templates: Vec<Vec<_>> = templates.into_iter().enumerate().map(linked).collect();
        if templates.iter().flatten().any(|step| step.undone) {
            faults.extend((0..2).map(|_| steered(&mut rng, count, size.lasts)));
        }
        // What takes a fault that fits to be noticed.
        let runs = templates.iter().find_map(|steps| steps.iter().position(|s| s.runs.is_some()));
        if let Some(step) = runs.filter(|_| rng.bool()) {
            let kind = FaultKind::Rerun { task: rng.usize(..count), step };
            faults.push(Fault { at: time(&mut rng, size.lasts), kind });
        }
        if rng.u8(..8) == 0 {
            let kind = FaultKind::Keep { task: rng.usize(..count) };
            faults.push(Fault { at: time(&mut rng, size.lasts), kind });
        }
        let growing =
            |steps: Vec<StepPlan>| steps.into_iter().map(|s| growing(&mut rng, s)).collect();
        let mut templates: Vec<Vec<_>> = templates.into_iter().map(growing).collect();
        let mut tasks: Vec<_> = tasks;
        faults.extend(correlated(&mut rng, &mut tasks, size.lasts));
        faults.extend(forks(&mut rng, count, size));
        for step in templates.iter_mut().flatten() {
            step.transactional = rng.u8(..4) == 0;
        }
        faults.sort_by_key(|fault| fault.at);
        let declared =
            |steps: Vec<StepPlan>| steps.into_iter().map(|s| declared(&mut rng, s)).collect();
        let mut templates: Vec<Vec<_>> = templates.into_iter().map(declared).collect();
        let by_hand = (0..templates.len()).filter(|_| rng.u8(..3) == 0).collect();
        let conducts = templates.iter_mut().flatten().flat_map(|step| &mut step.conduct);
        for conduct in conducts {
            *conduct = waiting(&mut rng, *conduct);
        }
        for task in tasks.iter_mut().filter(|task| task.clients > 0) {
            task.apart = rng.bool().then(|| time(&mut rng, size.lasts / 4));
            let least = Duration::from_millis(1);
            task.unique_for = (rng.u8(..3) > 0).then(|| least + time(&mut rng, size.lasts / 2));
        }
        if rng.u8(..6) == 0 {
            let (at, older_than) = (time(&mut rng, size.lasts), time(&mut rng, size.lasts / 2));
            faults.push(Fault { at, kind: FaultKind::Expire { older_than } });
            faults.sort_by_key(|fault| fault.at);
        }
        let overtaken_calls = if rng.bool() { rng.u32(..=500) } else { 0 };
        let weather = Weather { overtaken_calls, ..weather };
        if rng.bool() {
            tasks.iter_mut().for_each(|task| task.priority = rng.i16(-2..=2));
        }
        Self { seed, templates, tasks, workers, faults, weather, by_hand, lasts: size.lasts }
    }
}

fn time(rng: &mut Rng, before: Duration) -> Duration {
    Duration::from_millis(rng.u64(..u64::try_from(before.as_millis()).unwrap_or(1)))
}

fn template(rng: &mut Rng, most: usize) -> Vec<StepPlan> {
    let dense = rng.u8(1..=4);
    (0..rng.usize(1..=most))
        .map(|number| StepPlan {
            parents: (0..number).filter(|_| rng.u8(..4) < dense).collect(),
            join: join(rng),
            queue: usize::from(rng.u8(..6) == 0),
            retry_limit: rng.u32(0..=4),
            retryable: rng.u8(..8) != 0,
            total_timeout: None,
            delay: None,
            crash_limit: None,
            link: None,
            reserve: 0,
            takes: None,
            unmet_edges: 0,
            when: None,
            runs: None,
            undone: false,
            grows: None,
            map: None,
            transactional: false,
            timeout: (rng.u8(..4) == 0).then(|| Duration::from_millis(rng.u64(500..2_000))),
            conduct: (0..rng.usize(1..=3)).map(|_| conduct(rng)).collect(),
        })
        .collect()
}

fn join(rng: &mut Rng) -> JoinPolicy {
    match rng.u8(..10) {
        0 => JoinPolicy::AllDone,
        1 => JoinPolicy::AnyComplete,
        2 => JoinPolicy::NoneFailed,
        3 => JoinPolicy::Quorum(rng.u32(1..=3)),
        _ => JoinPolicy::AllComplete,
    }
}

fn conduct(rng: &mut Rng) -> Conduct {
    match rng.u8(..32) {
        0..=1 => Conduct::Crash,
        2..=5 => Conduct::Fail,
        6 => Conduct::FailForGood,
        7 => Conduct::Block,
        8..=9 => Conduct::Dawdle,
        10..=11 => Conduct::Nap,
        12..=13 => Conduct::Listen,
        14..=15 => Conduct::Advance,
        _ => Conduct::Succeed,
    }
}

/// A conduct, or another one that waits for the same as well.
fn waiting(rng: &mut Rng, conduct: Conduct) -> Conduct {
    match (conduct, rng.u8(..4)) {
        (Conduct::Listen, 0 | 1) => Conduct::Meet,
        (Conduct::Listen, 2) => Conduct::ListenFor,
        (Conduct::Nap, 0 | 1) => Conduct::Poll,
        (Conduct::Fail, 0) => Conduct::FailForNow,
        (conduct, _) => conduct,
    }
}

fn branching(rng: &mut Rng, step: StepPlan) -> StepPlan {
    let takes = (rng.u8(..5) == 0).then(|| rng.u64(..64));
    let when = match rng.u8(..20) {
        0 => Some(When::Unmet),
        1 => Some(When::Met),
        2 if rng.bool() => Some(When::Fails),
        _ => None,
    };
    let total_timeout = (rng.u8(..8) == 0).then(|| Duration::from_millis(rng.u64(200..20_000)));
    let edges = step.parents.iter().fold(0, |edges, parent| edges | 1 << parent);
    let unmet_edges = if rng.u8(..6) == 0 { rng.u64(..64) & edges } else { 0 };
    let reserve = if rng.bool() { rng.u32(1..=3) } else { 0 };
    StepPlan { takes, when, unmet_edges, total_timeout, reserve, ..step }
}

fn linked(rng: &mut Rng, step: StepPlan, other: Option<usize>, undoes: bool) -> StepPlan {
    let runs = other.filter(|_| rng.u8(..4) == 0);
    let undone = undoes && rng.u8(..3) > 0;
    StepPlan { runs, undone, ..step }
}

/// What a template may say besides.
fn declared(rng: &mut Rng, step: StepPlan) -> StepPlan {
    let delay = (rng.u8(..8) == 0).then(|| Duration::from_millis(rng.u64(100..3_000)));
    let crash_limit = (rng.u8(..4) == 0).then(|| rng.u32(1..=5));
    let link = rng.bool().then(|| Link { leave: rng.bool(), block: rng.bool() });
    StepPlan { delay, crash_limit, link, ..step }
}

/// What operators do with tasks that are undone.
fn steered(rng: &mut Rng, tasks: usize, lasts: Duration) -> Fault {
    let (at, task) = (time(rng, lasts), rng.usize(..tasks));
    let kind = match rng.u8(..3) {
        0 => FaultKind::Cancel { task },
        1 => FaultKind::Retry { task },
        _ => FaultKind::Compensate { task },
    };
    Fault { at, kind }
}

/// Gives tasks keys, and sends signals to those with one.
fn correlated(rng: &mut Rng, tasks: &mut [TaskPlan], lasts: Duration) -> Vec<Fault> {
    if rng.u8(..3) > 0 {
        return Vec::new();
    }
    for task in tasks {
        task.correlation = (rng.u8(..4) > 0).then(|| rng.usize(..KEYS));
    }
    let signal = |rng: &mut Rng| {
        let kind = FaultKind::SignalAll { key: rng.usize(..KEYS) };
        Fault { at: time(rng, lasts), kind }
    };
    (0..rng.usize(1..=2)).map(|_| signal(rng)).collect()
}

/// Forks of tasks that have had time to do something, some of them after somebody else had to do with the task.
fn forks(rng: &mut Rng, tasks: usize, size: Size) -> Vec<Fault> {
    if rng.u8(..3) > 0 {
        return Vec::new();
    }
    let (task, step) = (rng.usize(..tasks), rng.usize(..size.steps));
    let at = size.lasts / 3 + time(rng, size.lasts / 2);
    let kind = FaultKind::Fork { task, step, clients: rng.usize(0..=3) };
    let before = match rng.u8(..4) {
        0 => Some(FaultKind::Resolve { task, step: rng.usize(..size.steps) }),
        1 => Some(FaultKind::Skip { task, step: rng.usize(..size.steps) }),
        2 => Some(FaultKind::Rerun { task, step: rng.usize(..size.steps) }),
        _ => None,
    };
    let before = before.map(|kind| Fault { at: time(rng, at), kind });
    before.into_iter().chain([Fault { at, kind }]).collect()
}

fn growing(rng: &mut Rng, step: StepPlan) -> StepPlan {
    let grows = (rng.u8(..6) == 0).then(|| rng.u32(..24));
    let map = (rng.u8(..6) == 0).then(|| MapPlan {
        items: rng.u32(0..=6),
        max_parallel: rng.bool().then(|| rng.u32(1..=3)),
        tolerate: (rng.u8(..4) > 0).then(|| rng.u32(0..=2)),
    });
    StepPlan { grows, map, ..step }
}

fn with_clients(rng: &mut Rng, task: TaskPlan) -> TaskPlan {
    if task.count > 1 || rng.u8(..3) > 0 {
        return task;
    }
    TaskPlan { clients: rng.usize(1..=4), ..task }
}

fn with_deadline(rng: &mut Rng, task: TaskPlan) -> TaskPlan {
    let deadline = (rng.u8(..5) == 0).then(|| Duration::from_millis(rng.u64(1..20_000)));
    let attempts = (rng.u8(..6) == 0).then(|| rng.u32(1..=12));
    let cost = (rng.u8(..6) == 0).then(|| rng.u32(0..=12));
    TaskPlan { deadline, attempts, cost, ..task }
}

fn worker(rng: &mut Rng, number: usize) -> WorkerPlan {
    WorkerPlan {
        concurrency: rng.u32(1..=3),
        // The first one serves all queues, so that every step is served.
        queue: (number > 0 && rng.u8(..4) == 0).then(|| rng.usize(..QUEUES.len())),
        back_after: Duration::from_millis(rng.u64(..5_000)),
    }
}

fn fault(rng: &mut Rng, workers: usize, tasks: usize, size: Size) -> FaultKind {
    let (worker, task) = (rng.usize(..workers), rng.usize(..tasks));
    let ms = rng.u64(10..size.fault_ms);
    let lasts = Duration::from_millis(ms);
    match rng.u8(..36) {
        0..=2 => FaultKind::Kill { worker },
        3..=6 => FaultKind::Pause { worker, lasts },
        7 => FaultKind::Stop { worker, patience: Duration::from_millis(ms / 4) },
        8..=9 => FaultKind::Cut { worker },
        10..=11 => FaultKind::Restart { lasts: Duration::from_millis(ms / 3) },
        12..=13 => FaultKind::Cancel { task },
        14 => FaultKind::Hold { task, lasts },
        15 => FaultKind::CallInVain,
        16..=17 => FaultKind::Retry { task },
        18..=19 => FaultKind::Keep { task },
        20..=21 => FaultKind::Skip { task, step: rng.usize(..size.steps) },
        24..=25 => FaultKind::Suspend { task },
        26 if rng.bool() => FaultKind::Raise { task },
        26 => FaultKind::Resume { task },
        22..=23 => FaultKind::Resolve { task, step: rng.usize(..size.steps) },
        28..=31 => FaultKind::Signal { task },
        32..=35 => FaultKind::Rerun { task, step: rng.usize(..size.steps) },
        // What falls due is late by what the clock is put back, and runs take as much longer.
        _ if rng.bool() => FaultKind::Clock { by_ms: -rng.i64(100..60_000) },
        _ => FaultKind::Clock { by_ms: rng.i64(100..3_600_000) },
    }
}

fn weather(rng: &mut Rng) -> Weather {
    let mut sometimes = |most: u32| if rng.bool() { rng.u32(..=most) } else { 0 };
    Weather {
        statements: sometimes(60),
        failed_commits: sometimes(60),
        lost_answers: sometimes(100),
        lost_calls: sometimes(1_000),
        double_calls: sometimes(300),
        overtaken_calls: 0,
        latency_ms: rng.u64(1..=8),
    }
}
