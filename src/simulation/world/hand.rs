//! The threads of a worker on which handlers are executed, and what handlers do.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::people::signal_task;
use super::process::{Process, Wish};
use super::templates::branches;
use super::{GO, LOOK};
use crate::budget::Cost;
use crate::decision::{
    AwaitedSignal, Claim, Failure, FailureKind, Growth, NewStep, Outcome, Until, Wait,
};
use crate::error::Error;
use crate::ids::TaskId;
use crate::runtime::simulated::{
    Delivery, Engine, Interrupt, Recording, WorkflowCall, not_committed,
};
use crate::simulation::database::SimulatedDatabase;
use crate::simulation::plan::{Conduct, PROTOTYPE, Plan, StepPlan};
use crate::simulation::server::{Host, Server, State};
use crate::store::{Checkpoint, Transaction};
use crate::template::OnFailure;

/// Between two looks of a handler thread that has just begun to wait; later there are up to [`LOOK`].
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

/// How long it may take until the end of an attempt is written, in milliseconds.
const ABOUT_A_ROUND: u64 = 40;

/// Of the handler threads that wait, one looks for what there is to do; one that begins to wait lets it look at once.
#[derive(Default)]
pub(super) struct Turn {
    looks: tokio::sync::Mutex<()>,
    waits: Notify,
}

/// A handler thread.
pub(super) struct Hand {
    pub(super) process: Arc<Process>,
    pub(super) plan: Arc<Plan>,
    pub(super) server: Arc<Server>,
    pub(super) engine: Arc<Engine<SimulatedDatabase>>,
    pub(super) turn: Arc<Turn>,
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
    pub(super) async fn work(self) {
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
            let State { watch, tables, .. } = &mut *state;
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
            like: PROTOTYPE.to_owned(),
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
            let State { watch, tables, .. } = &mut *state;
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
                    let State { watch, tables, .. } = &mut *state;
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
