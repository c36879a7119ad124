//! What happens in a simulated run: graphs, tasks, workers, faults. All of it follows from one number.

mod chosen;
mod declaration;
mod smaller;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::join_policy::JoinPolicy;
use crate::json::is_default;

pub(super) use declaration::shortest_delay;

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
    #[serde(rename = "lasts_ms", with = "ms", default = "chosen::lasts_of_large")]
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
    #[serde(default, skip_serializing_if = "is_default")]
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
    #[serde(default, skip_serializing_if = "is_default")]
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
    #[serde(default, skip_serializing_if = "is_default")]
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
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) priority: i16,
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
    /// An operator ends the tasks that were requested longer ago.
    Expire {
        #[serde(rename = "older_than_ms", with = "ms")]
        older_than: Duration,
    },
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
        #[serde(default, skip_serializing_if = "is_default")]
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
    /// Wake-up calls that come after the next one to the same worker.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) overtaken_calls: u32,
}

/// The name of the step of a template that those are like which handlers add.
pub(super) const PROTOTYPE: &str = "dynamic";

/// The queues of all plans.
pub(super) const QUEUES: [&str; 2] = ["default", "other"];

impl Plan {
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
            | Self::Expire { .. }
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
