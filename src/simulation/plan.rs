//! What happens in a simulated run: graphs, tasks, workers, faults. All of it follows from one number.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::join_policy::JoinPolicy;
use crate::retry_policy::Backoff;

/// The delay after the first failure of a step, and the longest.
const BASE: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// The delays of a step that has a list of them, one after the other, in [`BASE`]s.
const DELAYS: [u32; 3] = [2, 1, 6];

/// Everything about a run that is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// Seeds what else is left to chance while it runs: how long messages take, and which are lost.
    pub(super) seed: u64,
    pub(super) templates: Vec<Vec<StepPlan>>,
    pub(super) tasks: Vec<TaskPlan>,
    pub(super) workers: Vec<WorkerPlan>,
    pub(super) faults: Vec<Fault>,
    pub(super) weather: Weather,
    /// Templates whose tasks are undone only where an operator asks for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) by_hand: Vec<usize>,
    /// How long faults go on at least, and the weather.
    #[serde(rename = "lasts_ms", with = "ms", default = "Size::lasts_of_large")]
    pub(super) lasts: Duration,
}

/// A step of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepPlan {
    pub(super) parents: Vec<usize>,
    /// A quorum of more than there are parents is all of them.
    #[serde(default)]
    pub(super) join: JoinPolicy,
    pub(super) queue: usize,
    pub(super) retry_limit: u32,
    pub(super) retryable: bool,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_ms",
        rename = "timeout_ms"
    )]
    pub(super) timeout: Option<Duration>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_ms",
        rename = "total_timeout_ms"
    )]
    pub(super) total_timeout: Option<Duration>,
    /// How long it waits after it got ready.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_ms",
        rename = "delay_ms"
    )]
    pub(super) delay: Option<Duration>,
    /// Workers that may die over it; the default where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) crash_limit: Option<u32>,
    /// What an attempt reserves and may spend.
    #[serde(default, skip_serializing_if = "is_none_of_it")]
    pub(super) reserve: u32,
    /// Of a decision step with children: which of them are taken, bit n for step n.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) takes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) when: Option<When>,
    /// The template of which its handler runs a task, where it would succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) runs: Option<usize>,
    /// What its template says of the task that it runs; its handler says the rest where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<Link>,
    /// It is undone when its task has failed or was cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) undone: bool,
    /// Of a step that does not decide: how its handler adds steps. Of n % 4 steps the second and further ones depend on the
    /// one before; with n / 4 > 0, the last of them is put before step n / 4 - 1 of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) grows: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) map: Option<MapPlan>,
    /// Its handler, and that of its items, is executed in a transaction of the application's, unless it adds steps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) transactional: bool,
    /// The parents that do not take it by the conditions on the edges: bit n for step n.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(super) unmet_edges: u64,
    /// What its handler does in each attempt; the last one goes for all that follow.
    pub(super) conduct: Vec<Conduct>,
}

/// What a template says of the task that a step runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    /// It is left alone when the step is ended by others.
    pub(super) leave: bool,
    /// The step is blocked where it fails.
    pub(super) block: bool,
}

/// How a map step runs its items.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MapPlan {
    pub(super) items: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_parallel: Option<u32>,
    /// `None`: all.
    pub(super) tolerate: Option<u32>,
}

/// What becomes of a step's condition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum When {
    Met,
    Unmet,
    /// It cannot be told.
    Fails,
}

impl When {
    /// Over a context that is empty.
    const fn expression(self) -> &'static str {
        match self {
            Self::Met => "size(context) == 0",
            Self::Unmet => "has(context.anything)",
            Self::Fails => "context.anything",
        }
    }
}

/// What a handler does in an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Conduct {
    Succeed,
    Fail,
    /// The same, and says when it is to be tried again.
    FailForNow,
    FailForGood,
    Block,
    /// Returns after a long time.
    Dawdle,
    /// Takes its worker along.
    Crash,
    /// Waits for a while and begins anew, unless that is all that it would ever do.
    Nap,
    /// Waits some times, each time for longer, and keeps how often.
    Poll,
    /// Waits for a signal, and begins anew until it is there.
    Listen,
    /// The same, for so long; then it fails for good.
    ListenFor,
    /// The same, and somebody sends the signal while the handler begins to wait.
    Meet,
    /// Makes checkpoints, and dies between two of them now and then.
    Advance,
}

/// Tasks of a template that are made at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskPlan {
    #[serde(rename = "at_ms", with = "ms")]
    pub(super) at: Duration,
    pub(super) template: usize,
    pub(super) count: usize,
    /// So many clients submit one task with the same key at once, each for itself. None: there is no key, and one client.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) clients: usize,
    /// How much later than the one before each of these clients does so.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_ms",
        rename = "apart_ms"
    )]
    pub(super) apart: Option<Duration>,
    /// For how long a submit with that key is the same one.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_ms",
        rename = "unique_for_ms"
    )]
    pub(super) unique_for: Option<Duration>,
    /// How long after they were made they have to have ended.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_ms",
        rename = "deadline_ms"
    )]
    pub(super) deadline: Option<Duration>,
    /// Attempts of all its steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<u32>,
    /// What these spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cost: Option<u32>,
    /// The key by which they are found by those who send signals to several tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) correlation: Option<usize>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none_of_it(cost: &u32) -> bool {
    *cost == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_empty(edges: &u64) -> bool {
    *edges == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A worker process, which comes back some time after it has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkerPlan {
    pub(super) concurrency: u32,
    /// The queues that it serves; all of them when there is none.
    pub(super) queue: Option<usize>,
    #[serde(rename = "back_after_ms", with = "ms")]
    pub(super) back_after: Duration,
}

/// Something that happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    #[serde(rename = "at_ms", with = "ms")]
    pub(super) at: Duration,
    pub(super) kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum FaultKind {
    /// A process ends at once, whatever it does.
    Kill { worker: usize },
    /// A process stands still, and goes on as if no time had passed.
    Pause {
        worker: usize,
        #[serde(rename = "lasts_ms", with = "ms")]
        lasts: Duration,
    },
    /// A process is asked to end.
    Stop {
        worker: usize,
        #[serde(rename = "patience_ms", with = "ms")]
        patience: Duration,
    },
    /// The connections of a process are lost.
    Cut { worker: usize },
    /// The database ends all connections and is away.
    Restart {
        #[serde(rename = "lasts_ms", with = "ms")]
        lasts: Duration,
    },
    /// An operator cancels a task.
    Cancel { task: usize },
    /// An operator pauses a task.
    Suspend { task: usize },
    /// An operator lets a task go on.
    Resume { task: usize },
    /// An operator has the steps of a task tried again that failed.
    Retry { task: usize },
    /// Somebody sends a signal to a task.
    Signal { task: usize },
    /// Somebody sends a signal to all tasks with a key.
    SignalAll { key: usize },
    /// An operator makes a fork of a task that begins with a step; or so many clients do, with one key, each for itself.
    Fork {
        task: usize,
        step: usize,
        #[serde(default, skip_serializing_if = "is_zero")]
        clients: usize,
    },
    /// An operator has a task undone.
    Compensate { task: usize },
    /// An operator raises the budget of a task.
    Raise { task: usize },
    /// An operator leaves a step of a task out.
    Skip { task: usize, step: usize },
    /// An operator has a step of a task executed anew, and those below it.
    Rerun { task: usize, step: usize },
    /// An operator gives the results of a step of a task.
    Resolve { task: usize, step: usize },
    /// Somebody else holds a task's row.
    Hold {
        task: usize,
        #[serde(rename = "lasts_ms", with = "ms")]
        lasts: Duration,
    },
    /// Somebody else holds a task's row until the others have ended.
    Keep { task: usize },
    /// Workers are called although there is nothing to do.
    CallInVain,
    /// The clock of the database's host is put forward, or back.
    Clock { by_ms: i64 },
}

/// What goes wrong at random until all faults are over: parts of 1,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Weather {
    /// The longest way of a message, in milliseconds.
    pub(super) latency_ms: u64,
    /// Statements that fail: a race that was lost, a limit that was exceeded.
    pub(super) statements: u32,
    /// Commits that come to nothing.
    pub(super) failed_commits: u32,
    /// Commits that take place and whose answer is lost.
    pub(super) lost_answers: u32,
    /// Wake-up calls that are lost.
    pub(super) lost_calls: u32,
    /// Wake-up calls that come twice.
    pub(super) double_calls: u32,
}

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

    /// Of a plan that does not say it.
    const fn lasts_of_large() -> Duration {
        Self::LARGE.lasts
    }
}

/// The name of the step of a template that those are like which handlers add.
pub(super) const PROTOTYPE: &str = "dynamic";

/// How many keys tasks have by which several are found.
const KEYS: usize = 2;

/// The queues of all plans.
pub(super) const QUEUES: [&str; 2] = ["default", "other"];

impl Plan {
    /// Whether it is one of the small ones.
    pub(super) fn is_small(&self) -> bool {
        self.lasts == Size::SMALL.lasts
    }

    /// The plan of a number.
    pub(super) fn of(seed: u64) -> Self {
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
        Self { seed, templates, tasks, workers, faults, weather, by_hand, lasts: size.lasts }
    }

    /// Whether the tasks of a template are undone only where an operator asks for it.
    pub(super) fn is_by_hand(&self, template: usize) -> bool {
        let is_undone = self.templates[template].iter().any(|step| step.undone);
        is_undone && self.by_hand.contains(&template)
    }

    /// What a template says of the task that a step runs.
    pub(super) fn link_of(&self, template: usize, number: usize) -> Option<Link> {
        let step = &self.templates[template][number];
        step.link.filter(|_| step.runs.is_some())
    }

    /// When the last fault is over.
    pub(super) fn over(&self) -> Duration {
        let ends = self.faults.iter().map(|fault| fault.at + fault.kind.lasts());
        ends.max().unwrap_or_default().max(self.lasts)
    }

    /// How many items the map steps of all tasks have, forks among them.
    pub(super) fn items(&self) -> u32 {
        let of_template = |steps: &Vec<StepPlan>| -> u32 {
            steps.iter().filter_map(|step| step.map).map(|map| map.items).sum()
        };
        let items = |task: &TaskPlan| {
            let count = u32::try_from(task.count).unwrap_or(u32::MAX);
            of_template(&self.templates[task.template]) * count
        };
        let most = self.templates.iter().map(of_template).max().unwrap_or_default();
        let forks = self.faults.iter().filter(|fault| matches!(fault.kind, FaultKind::Fork { .. }));
        self.tasks.iter().map(items).sum::<u32>() + forks.map(|_| most).sum::<u32>()
    }

    /// By how much the clock of the database is put back.
    pub(super) fn put_back(&self) -> Duration {
        let back = self.faults.iter().filter_map(|fault| {
            let FaultKind::Clock { by_ms } = fault.kind else { return None };
            u64::try_from(-by_ms).ok()
        });
        back.map(Duration::from_millis).sum()
    }

    /// Plans with a little less in them, the largest cuts first.
    pub(super) fn smaller(&self) -> Vec<Self> {
        let mut plans = Vec::new();
        let mut without = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            if plan != *self {
                plans.push(plan);
            }
        };
        without(&|plan| {
            plan.weather = Weather { latency_ms: plan.weather.latency_ms, ..Weather::default() }
        });
        for (index, _) in self.tasks.iter().enumerate().filter(|_| self.tasks.len() > 1) {
            without(&|plan| {
                plan.tasks.remove(index);
            });
        }
        if self.tasks.iter().all(|task| task.template + 1 < self.templates.len()) {
            without(&|plan| {
                plan.templates.pop();
                plan.templates.iter_mut().flatten().for_each(|step| step.runs = None);
            });
        }
        for (index, _) in self.faults.iter().enumerate() {
            without(&|plan| {
                plan.faults.remove(index);
            });
        }
        if self.workers.len() > 1 {
            without(&|plan| {
                plan.workers.pop();
            });
        }
        for (index, _) in self.tasks.iter().enumerate() {
            without(&|plan| plan.tasks[index].count = 1);
            without(&|plan| plan.tasks[index].deadline = None);
            without(&|plan| plan.tasks[index].clients = 0);
            without(&|plan| plan.tasks[index].apart = None);
            without(&|plan| plan.tasks[index].unique_for = None);
            without(&|plan| plan.tasks[index].attempts = None);
            without(&|plan| plan.tasks[index].cost = None);
            without(&|plan| plan.tasks[index].correlation = None);
            without(&|plan| plan.tasks[index].clients = plan.tasks[index].clients.min(2));
        }
        for (template, steps) in self.templates.iter().enumerate() {
            for step in (0..steps.len()).rev().filter(|_| steps.len() > 1) {
                without(&|plan| remove_step(&mut plan.templates[template], step));
            }
            for step in 0..steps.len() {
                without(&|plan| plan.templates[template][step].conduct = vec![Conduct::Succeed]);
                without(&|plan| plan.templates[template][step].join = JoinPolicy::default());
                without(&|plan| plan.templates[template][step].takes = None);
                without(&|plan| plan.templates[template][step].when = None);
                without(&|plan| plan.templates[template][step].total_timeout = None);
                without(&|plan| plan.templates[template][step].runs = None);
                without(&|plan| plan.templates[template][step].link = None);
                without(&|plan| plan.templates[template][step].delay = None);
                without(&|plan| plan.templates[template][step].crash_limit = None);
                without(&|plan| plan.templates[template][step].undone = false);
                without(&|plan| plan.templates[template][step].grows = None);
                without(&|plan| plan.templates[template][step].map = None);
                without(&|plan| plan.templates[template][step].transactional = false);
                without(&|plan| plan.templates[template][step].reserve = 0);
            }
        }
        without(&|plan| plan.by_hand.clear());
        for field in [
            |weather: &mut Weather| weather.statements = 0,
            |weather: &mut Weather| weather.failed_commits = 0,
            |weather: &mut Weather| weather.lost_answers = 0,
            |weather: &mut Weather| weather.lost_calls = 0,
            |weather: &mut Weather| weather.double_calls = 0,
        ] {
            without(&|plan| field(&mut plan.weather));
        }
        plans
    }

    /// How a map step runs its items; `None` for any other step.
    pub(super) fn map_of(&self, template: usize, number: usize) -> Option<MapPlan> {
        let steps = &self.templates[template];
        let step = &steps[number];
        let is_plain = taken(steps, number).is_none() && !step.undone && step.runs.is_none();
        steps[number].map.filter(|_| is_plain)
    }

    /// Whether the handlers of a step add others.
    pub(super) fn grows(&self, template: usize, number: usize) -> Option<u32> {
        let steps = &self.templates[template];
        steps[number]
            .grows
            .filter(|_| taken(steps, number).is_none() && steps[number].runs.is_none())
    }

    /// Whether the handlers of a step are executed in transactions of the application's.
    pub(super) fn is_transactional(&self, template: usize, number: usize) -> bool {
        self.templates[template][number].transactional && self.grows(template, number).is_none()
    }

    /// Whether a template has a prototype of steps that are added.
    pub(super) fn has_prototype(&self, template: usize) -> bool {
        (0..self.templates[template].len()).any(|number| self.grows(template, number).is_some())
    }

    /// How long all attempts of a step together that is added may take: as long as those of the first step that adds some.
    pub(super) fn added_timeout(&self, template: usize) -> Option<Duration> {
        let mut steps = 0..self.templates[template].len();
        let adding = steps.find(|number| self.grows(template, *number).is_some())?;
        self.templates[template][adding].total_timeout
    }

    /// A template as an application would declare it.
    pub(super) fn declaration(&self, template: usize) -> Value {
        let of_template = &self.templates[template];
        let steps = of_template.iter().enumerate();
        let mut steps: Vec<_> = steps
            .map(|(number, step)| {
                let parents: Vec<_> =
                    step.parents.iter().map(|parent| format!("s{parent}")).collect();
                let mut json = json!({
                    "name": format!("s{number}"), "handler_class": "Simulated",
                    "depends_on_steps": parents, "queue": QUEUES[step.queue], "skippable": true,
                    "join": step.join(),
                    "default_retryable": step.retryable, "default_retry_limit": step.retry_limit,
                    "retry": retry(number),
                });
                if let Some(when) = step.when {
                    json["when"] = when.expression().into();
                }
                if step.undone {
                    json["compensate_with"] = "Simulated".into();
                }
                if let Some(delay) = step.delay {
                    json["delay_seconds"] = delay.as_secs_f64().into();
                }
                if let Some(limit) = step.crash_limit {
                    json["crash_limit"] = limit.into();
                }
                if let Some((other, link)) = step.runs.zip(self.link_of(template, number)) {
                    json["workflow"] = json!({
                        "name": format!("t{other}"),
                        "on_cancel": if link.leave { "leave" } else { "cancel" },
                        "on_failure": if link.block { "block" } else { "fail" },
                    });
                }
                for parent in
                    step.parents.iter().filter(|parent| is_unmet(of_template, **parent, number))
                {
                    json["depends_on_when"][format!("s{parent}")] = "1 == 2".into();
                }
                json["decides"] = said(&self.templates[template], number).is_some().into();
                if let Some(timeout) = step.timeout {
                    json["timeout_seconds"] = timeout.as_secs_f64().into();
                }
                if step.reserve > 0 {
                    json["reserve_cost"] = step.reserve.into();
                }
                if let Some(timeout) = step.total_timeout {
                    json["total_timeout_seconds"] = timeout.as_secs_f64().into();
                }
                if let Some(MapPlan { items, max_parallel, tolerate }) =
                    self.map_of(template, number)
                {
                    let tolerate = tolerate.map_or_else(|| "all".into(), Value::from);
                    let over = json!((0..items).collect::<Vec<_>>()).to_string();
                    json["map"] =
                        json!({ "over": over, "max_parallel": max_parallel, "tolerate": tolerate });
                }
                json
            })
            .collect();
        if self.has_prototype(template) {
            let total = self.added_timeout(template).map(|timeout| timeout.as_secs_f64());
            steps.push(json!({
                "name": PROTOTYPE, "handler_class": "Simulated", "dynamic": true, "skippable": true,
                "default_retry_limit": 2, "retry": retry(of_template.len()),
                "total_timeout_seconds": total,
            }));
        }
        let mode = if self.is_by_hand(template) { "manual" } else { "automatic" };
        json!({ "name": format!("t{template}"), "compensation": mode, "step_templates": steps })
    }
}

impl StepPlan {
    /// How often it may be tried.
    pub(super) fn attempts(&self) -> u32 {
        if self.retryable { self.retry_limit.max(1) } else { 1 }
    }

    /// Its join policy, as far as its parents allow one.
    pub(super) fn join(&self) -> JoinPolicy {
        let parents = u32::try_from(self.parents.len()).unwrap_or(u32::MAX);
        if parents == 0 {
            JoinPolicy::default()
        } else if let JoinPolicy::Quorum(wanted) = self.join {
            JoinPolicy::Quorum(wanted.clamp(1, parents))
        } else {
            self.join
        }
    }
}

impl FaultKind {
    fn lasts(&self) -> Duration {
        match self {
            Self::Pause { lasts, .. } | Self::Restart { lasts } | Self::Hold { lasts, .. } => {
                *lasts
            }
            Self::Kill { .. }
            | Self::Stop { .. }
            | Self::Cut { .. }
            | Self::Cancel { .. }
            | Self::Suspend { .. }
            | Self::Resume { .. }
            | Self::Retry { .. }
            | Self::Signal { .. }
            | Self::SignalAll { .. }
            | Self::Fork { .. }
            | Self::Compensate { .. }
            | Self::Raise { .. }
            | Self::Skip { .. }
            | Self::Rerun { .. }
            | Self::Resolve { .. }
            | Self::Keep { .. }
            | Self::CallInVain
            | Self::Clock { .. } => Duration::ZERO,
        }
    }
}

/// Whether the condition on an edge is not met. Where steps are added there are no conditions on edges.
fn is_unmet(steps: &[StepPlan], parent: usize, child: usize) -> bool {
    steps.iter().all(|step| step.grows.is_none()) && steps[child].unmet_edges >> parent & 1 == 1
}

/// The steps that take a step for complete, in their order, by what its handler says and by the conditions on the edges;
/// `None` where neither says anything.
pub(super) fn taken(steps: &[StepPlan], number: usize) -> Option<Vec<usize>> {
    let unmet = |child: &usize| is_unmet(steps, number, *child);
    let children: Vec<_> =
        (0..steps.len()).filter(|other| steps[*other].parents.contains(&number)).collect();
    let said = said(steps, number);
    if said.is_none() && !children.iter().any(unmet) {
        return None;
    }
    Some(said.unwrap_or(children).into_iter().filter(|child| !unmet(child)).collect())
}

/// The steps that a decision step takes, in their order; `None` for a step that does not decide.
pub(super) fn said(steps: &[StepPlan], number: usize) -> Option<Vec<usize>> {
    let takes = steps[number].takes?;
    let child = |other: &usize| steps[*other].parents.contains(&number);
    let children: Vec<_> = (0..steps.len()).filter(child).collect();
    let is_taken = |child: &usize| takes >> child & 1 == 1;
    (!children.is_empty()).then(|| children.into_iter().filter(is_taken).collect())
}

/// How long after a failure a step of this number is tried again: each kind of backoff in turn.
fn retry(number: usize) -> Value {
    let (base, most) = (BASE.as_secs_f64(), LONGEST_DELAY.as_secs_f64());
    match Backoff::WORDS[number % Backoff::WORDS.len()] {
        "list" => json!({
            "backoff": "list", "delays_seconds": DELAYS.map(|times| base * f64::from(times)), "max_seconds": most
        }),
        word => json!({ "backoff": word, "base_seconds": base, "max_seconds": most }),
    }
}

/// The shortest delay after that many failures of a step of this number, a tenth below what its policy says.
pub(super) fn shortest_delay(number: usize, failures: u32) -> Duration {
    let nth = failures.saturating_sub(1) as usize;
    let listed = |times: &[u32]| times[nth.min(times.len() - 1)];
    let times = match Backoff::WORDS[number % Backoff::WORDS.len()] {
        "exponential" => listed(&[1, 2, 4, 8, 16]),
        "linear" => listed(&[1, 2, 3, 4, 5]),
        "fixed" => 1,
        "fibonacci" => listed(&[1, 1, 2, 3, 5]),
        _ => listed(&DELAYS),
    };
    (BASE * times).mul_f64(0.9).min(LONGEST_DELAY)
}

fn remove_step(steps: &mut Vec<StepPlan>, removed: usize) {
    steps.remove(removed);
    for step in steps {
        let below = (1 << removed) - 1;
        let without = |bits: u64| bits & below | bits >> 1 & !below;
        step.takes = step.takes.map(without);
        step.unmet_edges = without(step.unmet_edges);
        step.parents.retain(|parent| *parent != removed);
        step.parents.iter_mut().filter(|parent| **parent > removed).for_each(|parent| *parent -= 1);
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
        latency_ms: rng.u64(1..=8),
    }
}

/// Times in files are whole milliseconds.
mod ms {
    use super::{Deserialize, Duration};

    pub(super) fn serialize<S: serde::Serializer>(
        time: &Duration,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// The same for one that may be missing.
mod optional_ms {
    use super::{Deserialize, Duration};

    pub(super) fn serialize<S: serde::Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::ms::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<u64>::deserialize(from).map(|ms| ms.map(Duration::from_millis))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, steps) in self.templates.iter().enumerate() {
            writeln!(f, "template t{number}")?;
            for (number, step) in steps.iter().enumerate() {
                writeln!(f, "  step {number}: {step:?}")?;
            }
        }
        for task in &self.tasks {
            write!(f, "{:?}: {} of template t{}", task.at, task.count, task.template)?;
            if task.clients > 0 {
                write!(f, ", with a key, by {} clients", task.clients)?;
                if let Some(apart) = task.apart {
                    write!(f, ", {apart:?} apart")?;
                }
                if let Some(lasts) = task.unique_for {
                    write!(f, ", unique for {lasts:?}")?;
                }
            }
            if let Some(deadline) = task.deadline {
                write!(f, ", to end within {deadline:?}")?;
            }
            if let Some(key) = task.correlation {
                write!(f, ", found by {key}")?;
            }
            writeln!(f)?;
        }
        for (number, worker) in self.workers.iter().enumerate() {
            writeln!(f, "worker {number}: {worker:?}")?;
        }
        for fault in &self.faults {
            writeln!(f, "{:?}: {:?}", fault.at, fault.kind)?;
        }
        writeln!(f, "{:?}", self.weather)
    }
}
