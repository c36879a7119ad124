//! Steps that run, or will by themselves: since when, where, and what they wait for.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Facts;
use super::answer::PollInfo;
use super::ends::failure;
use super::words::{clock, counted, human, parsed};
use crate::decision::{NEVER, Poll};
use crate::json;
use crate::state::{StepEvent, StepState, WorkerState};
use crate::store::{AttemptRow, StepListRow, StepTransitionRow, WorkerRow};

/// Longest part of what a handler keeps that a sentence repeats, in characters.
const LONGEST_DATA: usize = 80;

/// The key under which handlers keep how often they have looked.
const POLL: &str = "poll";

impl Facts<'_> {
    pub(super) fn enqueued(&self, row: &StepListRow, change: Option<&StepTransitionRow>) -> String {
        let Some(queue) = row.queue.as_deref() else {
            return "ready, and its task is paused".to_owned();
        };
        let since = change.map_or(row.available_at, |change| Some(change.created_at));
        let since = since.map(|at| format!(" since {}", self.ago(at))).unwrap_or_default();
        let why = change.map(|change| came_back(change.event)).unwrap_or_default();
        format!("ready{since}{why}; {}", self.who_serves(queue))
    }

    /// How many workers claim from a queue, and whether they have a thread to spare.
    fn who_serves(&self, queue: &str) -> String {
        let serving = self.workers.iter().filter(|worker| !worker.silent && serves(worker, queue));
        let serving: Vec<_> = serving.collect();
        let threads: i64 = serving.iter().map(|worker| i64::from(worker.concurrency)).sum();
        let are_busy = serving.iter().all(|worker| worker.claims >= i64::from(worker.concurrency));
        let busy = match (are_busy, threads) {
            (false, _) => String::new(),
            (true, 1) => ", and its thread is busy".to_owned(),
            (true, n) => format!(", and all {n} threads are busy"),
        };
        match serving.len() {
            0 => {
                format!("no live worker serves the queue {queue:?}; start one: tasker work -r FILE")
            }
            1 => format!("1 live worker serves the queue {queue:?}{busy}"),
            n => format!("{n} live workers serve the queue {queue:?}{busy}"),
        }
    }

    /// What a step waits for that is ready and must not start yet.
    pub(super) fn delayed(
        &self,
        at: usize,
        row: &StepListRow,
        change: Option<&StepTransitionRow>,
    ) -> Option<String> {
        let starts = change.is_none_or(|change| change.event == StepEvent::ParentsCompleted);
        let at = self.delayed_until(at, row).filter(|_| starts)?;
        Some(format!("ready, and its template has it wait: it may start {}", self.ahead(at)))
    }

    /// When a ready step may start that its template has wait.
    pub(super) fn delayed_until(&self, at: usize, row: &StepListRow) -> Option<DateTime<Utc>> {
        self.step(at)?.delay?;
        row.available_at.filter(|at| *at > self.now && row.queue.is_some())
    }

    pub(super) fn waiting(
        &self,
        at: usize,
        row: &StepListRow,
        change: Option<&StepTransitionRow>,
    ) -> String {
        let paused = if row.queue.is_none() { "; its task is paused" } else { "" };
        let detail = parsed(change.and_then(|change| change.detail.as_deref()));
        let until = row.available_at.filter(|at| *at < NEVER);
        let Some(signal) = detail["signal"].as_str() else {
            let until = until.map_or_else(
                || "for an operator; tasker retry has it go on".to_owned(),
                |at| format!("until {}", self.when(at)),
            );
            return format!("waits {until}{paused}");
        };
        let since = change.map(|change| format!(", since {}", self.ago(change.created_at)));
        let latest = until.map(|at| format!(", at the latest until {}", self.when(at)));
        let (since, latest) = (since.unwrap_or_default(), latest.unwrap_or_default());
        if self.is_for_decision(at, change) {
            return format!("waits for approval{since}{latest}{paused}");
        }
        format!("waits for the signal {signal:?}{since}{latest}{paused}")
    }

    /// What a step looks at again and again that waits to do so.
    pub(super) fn poll(
        &self,
        row: &StepListRow,
        change: Option<&StepTransitionRow>,
    ) -> Option<PollInfo> {
        let change = change.filter(|change| change.to_state == StepState::Waiting)?;
        let Poll { looks, until } = poll_of(change.detail.as_deref())?;
        let data = self.progress.get(&row.workflow_step_id).and_then(|kept| kept.data.as_ref());
        let data = data.and_then(|data| data.as_ref().ok()).map(|data| parsed(Some(data)));
        Some(PollInfo {
            looks,
            looked_at: change.created_at,
            next_look_at: row.available_at,
            until,
            data: data.and_then(kept_besides),
        })
    }

    /// How often it has looked, when last, when again and until when, and what it keeps.
    pub(super) fn polls(
        &self,
        row: &StepListRow,
        change: Option<&StepTransitionRow>,
    ) -> Option<String> {
        let PollInfo { looks, looked_at, next_look_at, until, data } = self.poll(row, change)?;
        let looks = self.looks(Poll { looks, until }, looked_at, next_look_at);
        let kept = data.map(|data| json::shorten(&data.to_string(), LONGEST_DATA));
        let kept = kept.map(|data| format!("; it keeps {data}")).unwrap_or_default();
        let paused = if row.queue.is_none() { "; its task is paused" } else { "" };
        Some(format!("polls: {looks}{kept}{paused}"))
    }

    /// How often a step has looked that polls, when last, when it looks again, and until when.
    pub(super) fn looks(
        &self,
        Poll { looks, until }: Poll,
        looked_at: DateTime<Utc>,
        next_look_at: Option<DateTime<Utc>>,
    ) -> String {
        let (looked, last) = (counted(looks.into(), "time", "times"), self.ago(looked_at));
        let next = next_look_at.map(|at| self.ahead(at)).unwrap_or_default();
        let until = until.map_or_else(
            || ", for as long as it takes".to_owned(),
            |at| format!("; it gives up {}", self.ahead(at)),
        );
        format!("it has looked {looked}, last at {last}, and looks again {next}{until}")
    }

    /// Whether a step waits for a decision of a person: the signal of its own name.
    pub(super) fn is_for_decision(&self, at: usize, change: Option<&StepTransitionRow>) -> bool {
        let change = change.filter(|change| change.to_state == StepState::Waiting);
        let detail = parsed(change.and_then(|change| change.detail.as_deref()));
        detail["signal"].as_str().is_some_and(|signal| signal == self.name(at))
    }

    pub(super) fn waiting_for_retry(
        &self,
        at: usize,
        row: &StepListRow,
        last: Option<&AttemptRow>,
    ) -> String {
        let limit = self.limit(at);
        let next = row.available_at.map(|at| self.ahead(at)).unwrap_or_default();
        let next = match row.queue {
            Some(_) => format!("the next may start {next}"),
            None => format!("the next is due {next}, and its task is paused"),
        };
        let failures = row.failures;
        format!(
            "{failures} of {limit} attempts failed, the last one with {}; {next}",
            failure(last)
        )
    }

    /// By when the attempt of a step is ended that runs, as the end of a sentence.
    fn ended_by(&self, at: usize, row: &StepListRow) -> Option<String> {
        let limit = self.step(at)?.timeout?;
        let ends = row.claimed_at? + limit;
        let left = (ends - self.now).as_seconds_f64();
        let left = if left > 0.0 {
            format!("in {}", human(left))
        } else {
            format!("{} ago", human(-left))
        };
        let (limit, ends) = (human(limit.as_secs_f64()), clock(ends));
        Some(format!("; it is ended {limit} after its handler began: at {ends} ({left}) or later"))
    }

    pub(super) fn in_progress(&self, at: usize, row: &StepListRow) -> String {
        let since = row.claimed_at.map(|at| self.ago(at)).unwrap_or_default();
        let attempt = row.attempts;
        let worker = self.workers.iter().find(|worker| Some(worker.worker_id) == row.worker_id);
        match worker {
            Some(worker) if worker.silent => format!(
                "attempt {attempt} is claimed by {} since {since}, but that worker was last heard of {}; \
                 its claims are taken back by the next live worker",
                who(worker),
                self.ago(worker.heartbeat_at)
            ),
            Some(worker) => {
                let ended_by = self.ended_by(at, row).unwrap_or_default();
                format!("attempt {attempt} runs on {} since {since}{ended_by}", who(worker))
            }
            None => format!("attempt {attempt} runs since {since}"),
        }
    }
}

/// What is said of a wait in which a step polls.
pub(super) fn poll_of(detail: Option<&str>) -> Option<Poll> {
    serde_json::from_value(parsed(detail).get(POLL)?.clone()).ok()
}

/// What a handler keeps that polls, without what is kept to poll.
fn kept_besides(mut data: Value) -> Option<Value> {
    data.as_object_mut()?.remove(POLL);
    Some(data).filter(|data| data.as_object().is_some_and(|data| !data.is_empty()))
}

/// Whether a worker claims from a queue: one that drains claims nothing more.
fn serves(worker: &WorkerRow, queue: &str) -> bool {
    worker.state == WorkerState::Running
        && worker.queues.as_ref().is_none_or(|queues| queues.iter().any(|known| known == queue))
}

fn who(worker: &WorkerRow) -> String {
    format!("worker {} ({}, pid {})", worker.worker_id, worker.host, worker.pid)
}

fn came_back(event: StepEvent) -> &'static str {
    match event {
        StepEvent::WorkerDied => ", again because the worker that ran it died",
        StepEvent::GivenBack => ", again because the worker that held it gave it back",
        StepEvent::Interrupted => ", again because the worker that ran it stopped",
        StepEvent::Retried => ", again because an operator asked for it",
        StepEvent::Signalled => ", because the signal came that it waited for",
        StepEvent::Rerun => ", anew because an operator asked for it",
        StepEvent::ParentsCompleted
        | StepEvent::Claimed
        | StepEvent::Succeeded
        | StepEvent::RetryScheduled
        | StepEvent::FailedPermanently
        | StepEvent::RetriesExhausted
        | StepEvent::NotRetryable
        | StepEvent::NeedsIntervention
        | StepEvent::CrashesExhausted
        | StepEvent::WentWaiting
        | StepEvent::TimedOut
        | StepEvent::Mapped
        | StepEvent::ItemsDone
        | StepEvent::ItemsFailed
        | StepEvent::ItemsRetried
        | StepEvent::ItemGivenUp
        | StepEvent::BudgetExhausted
        | StepEvent::ConditionUnmet
        | StepEvent::Cancelled
        | StepEvent::Skipped
        | StepEvent::Reset
        | StepEvent::Copied
        | StepEvent::ResolvedManually => "",
    }
}
