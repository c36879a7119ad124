//! The one loop of a worker that starts rounds with the database: ends of claims go to one of two
//! lanes by their task, so that rounds in flight seldom wait for the same task, and claims are made
//! while threads have room. Nothing else starts a round, so that the loop can let all of them land
//! before it compares what it knows with the database.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::delivery::Results;
use super::events::WorkerEvent;
use super::inbox::Deserted;
use super::lane::{Due, Lane, lane_of};
use super::ledger::{GivenUp, Reach, Tried};
use super::pace::Pace;
use super::parked::Parked;
use super::round::{self, HeldTasks, Landed};
use super::search::Search;
use super::shared::{Phase, Shared};
use super::turns::{DueRounds, LANES, PARKED, Turn, Turns};
use super::undelivered::{Group, Undelivered};
use crate::decision::{Claim, ClaimEnd, Failure, FailureKind, Outcome};
use crate::error::Error;
use crate::guard::{Guard, removed};
use crate::ids::{StepId, TaskId};
use crate::panics::panicking;
use crate::process::within;
use crate::store::Database;

/// Rounds in flight at most, one for each of the worker's connections: what else needs one (a look-up, a
/// rescue) waits for a round to land, and no round asks for a second one while it holds a transaction.
/// Workers that are busy at the same time share them, down to one for each of two or more: more transactions
/// at once would make smaller batches and keep Postgres busy with switching between them.
const ROUNDS: usize = 3;

/// Changed steps for which a second round of ends in flight is worth its own costs; fewer wait for the first
/// to land, so that batches are large.
const WORTHWHILE: usize = 150;

/// How long a round is alone where all steps that can be claimed are of one task that it may hold. One that lasts longer
/// waits for somebody else, and nobody waits for it.
const ALONE: Duration = Duration::from_millis(50);

/// How long ends wait for others while every thread has its next step at hand: steps that get ready by them
/// would wait behind those. A transaction for each end would cost ten times as much.
const LINGER: Duration = Duration::from_millis(5);

/// Steps claimed in one transaction at most: a third of what a worker holds in advance.
const MOST_CLAIMS: usize = 500;

/// Pause after a failed round, doubled up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause after failed rounds: a database that comes back is noticed within it.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long steps wait for a thread while none comes for any. Then they are given back, and no others are claimed until one
/// comes: a handler keeps Ruby's lock, or all threads are busy for longer than was to be expected.
const COMES_WITHIN: Duration = Duration::from_secs(5);

/// Attempts that are named where no thread comes, at most.
const MOST_NAMED: usize = 10;

/// How long a stopping worker tries to write what it has while the database does not answer.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The state of the loop.
pub(super) struct Orchestrator<D> {
    shared: Arc<Shared<D>>,
    reported: mpsc::UnboundedReceiver<ClaimEnd>,
    /// Ends that are not in the database yet.
    lanes: [Lane; LANES],
    /// Those whose tasks somebody else holds.
    parked: Parked,
    turns: Turns,
    rounds: JoinSet<(Round, Landed)>,
    /// Rounds in flight that claim.
    claiming: usize,
    search: Search,
    /// Claims of this worker whose delivery failed.
    undelivered: Undelivered,
    pace: Pace,
    /// There may be steps to claim.
    hungry: bool,
    /// The last claim found as many steps as it looked for.
    plenty: bool,
    /// The last claim found steps of one task only, which has a budget: while a claim or an end holds it, other claims would
    /// find all of its steps held, and look for them in vain.
    of_one_task: bool,
    /// Steps of tasks with a priority were found since a claim found fewer than it looked for.
    prioritised: bool,
    /// When a round was started last.
    started_at: Instant,
    /// A commit failed, and perhaps took place: which claims are ours must be read.
    unsure: bool,
    /// Others have taken this worker's claims.
    buried: bool,
    /// This worker has an id that the database counts as alive, as far as it knows.
    registered: bool,
    pause: Duration,
    /// No round is started before.
    rest_until: Option<Instant>,
    /// When the loop looked around last: what fell due since then is still to be seen.
    looked_at: Instant,
    drained: bool,
    /// Since when there are steps for which no thread has come, once they were given back.
    deserted: Option<Desertion>,
}

/// Steps were given back because no thread came for them.
#[derive(Debug)]
struct Desertion {
    since: Instant,
    given_back: usize,
    /// The attempts whose handlers ran.
    executing: String,
}

impl Desertion {
    fn notice(&self, seconds: f64) -> String {
        let Self { given_back, executing, .. } = self;
        format!(
            "no thread came for a step within {seconds:.1} s, and {given_back} steps that no handler had begun were given \
             back: one of the handlers that ran kept Ruby's lock, or all of them were slow; executing: {executing}"
        )
    }
}

/// What a round in flight was started for.
#[derive(Debug)]
enum Round {
    End {
        lane: usize,
        ends: Vec<ClaimEnd>,
        began: Instant,
    },
    Claim {
        search: Search,
    },
    /// `answers`: the database does, whatever came of the delivery.
    Deliver {
        group: Group,
        answers: bool,
    },
}

impl<D: Database> Orchestrator<D> {
    pub(super) fn new(shared: Arc<Shared<D>>, reported: mpsc::UnboundedReceiver<ClaimEnd>) -> Self {
        let pace = Pace::new(shared.options.concurrency, Instant::now());
        Self {
            shared,
            reported,
            lanes: [Lane::default(), Lane::default()],
            parked: Parked::default(),
            turns: Turns::default(),
            rounds: JoinSet::new(),
            claiming: 0,
            search: Search::new(),
            undelivered: Undelivered::default(),
            pace,
            hungry: true,
            plenty: false,
            of_one_task: false,
            prioritised: false,
            started_at: Instant::now(),
            unsure: false,
            buried: false,
            registered: true,
            pause: Duration::ZERO,
            rest_until: None,
            looked_at: Instant::now(),
            drained: false,
            deserted: None,
        }
    }

    /// Runs until the worker has stopped. Returns whether everything was written.
    pub(super) async fn run(mut self) -> bool {
        loop {
            self.looked_at = Instant::now();
            self.look_around().await;
            if self.rounds.is_empty() {
                if let Some(in_order) = self.stopped().await {
                    return in_order;
                }
                if self.settle().await {
                    continue;
                }
            }
            if !self.rests() {
                self.rest_until = None;
                self.start_rounds();
            }
            self.wait().await;
        }
    }

    /// Takes in what others left: reports, hints, late handlers, a burial, a wish to stop.
    async fn look_around(&mut self) {
        while let Ok(end) = self.reported.try_recv() {
            self.receive(end);
        }
        self.hungry |= self.shared.take_work();
        self.unsure |= self.shared.take_comparison();
        self.buried |= self.shared.take_burial();
        self.buried &= !removed(Guard::BurialNoticed);
        self.unsure &= !removed(Guard::UnsureReads);
        self.give_up_late();
        self.give_back_deserted();
        if self.shared.stops() {
            self.drain().await;
        }
    }

    /// With no round in flight: makes what the worker knows true again. Says whether it had to and could: a
    /// worker that stops may be done then.
    async fn settle(&mut self) -> bool {
        if self.rests() {
            return false;
        }
        if self.buried {
            self.begin_anew().await;
            return !self.buried;
        }
        if !self.unsure {
            return false;
        }
        match self.read_own_claims().await {
            Ok(()) => true,
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn rests(&self) -> bool {
        self.rest_until.is_some_and(|until| Instant::now() < until)
    }

    fn start_rounds(&mut self) {
        if self.buried || self.unsure {
            return;
        }
        let most = self.most_rounds();
        while self.rounds.len() < most
            && let Some(turn) = self.turns.next(&self.due_rounds(most))
        {
            self.started_at = self.looked_at;
            match turn {
                Turn::Delivery => self.start_delivery(),
                Turn::Claim => self.start_claim(),
                Turn::Ends(PARKED) => self.start_parked(),
                Turn::Ends(lane) => self.start_end(lane),
            }
        }
    }

    fn most_rounds(&self) -> usize {
        if self.of_one_task && self.started_at + ALONE > self.looked_at {
            return 1;
        }
        (ROUNDS / (1 + self.shared.busy_others())).max(1)
    }

    /// Claims take all of `most` rounds but one, and the only one where there is one. Of two at once the one that finds less
    /// urgent steps may be the first to be over.
    fn most_claims(&self, most: usize) -> usize {
        if self.prioritised { 1 } else { (most - 1).max(1) }
    }

    /// What could be started now.
    fn due_rounds(&self, most: usize) -> DueRounds {
        let flying = self.lanes.iter().any(Lane::is_flying);
        let worthwhile = if flying { WORTHWHILE } else { 1 };
        let linger = if self.threads_are_busy() { LINGER } else { Duration::ZERO };
        let is_due =
            |lane: &Lane| lane.is_due(linger, self.looked_at) && lane.changes() >= worthwhile;
        let [even, odd] = self.lanes.each_ref().map(is_due);
        DueRounds {
            delivery: self.undelivered.is_due(self.looked_at),
            claim: self.claiming < self.most_claims(most) && self.may_claim(),
            ends: [even, odd, self.parked.is_due(self.looked_at)],
        }
    }

    /// Every thread has its next step at hand.
    fn threads_are_busy(&self) -> bool {
        self.shared.inbox.len() >= self.shared.options.concurrency as usize
    }

    fn start_end(&mut self, number: usize) {
        let (ends, children) = self.lanes[number].take_off(self.looked_at);
        let room = self.room_beside_ends().min(children);
        let grant = self.takes_claims().then(|| self.shared.ledger.grant(room));
        // Who holds one task may hold others.
        let held_tasks =
            if self.parked.is_empty() { HeldTasks::Awaited } else { HeldTasks::Passed };
        let shared = Arc::clone(&self.shared);
        let began = Instant::now();
        self.start_round(async move {
            let landed = round::end(&shared, &ends, grant, held_tasks).await;
            (Round::End { lane: number, ends, began }, landed)
        });
    }

    /// What gets ready by these ends is claimed like everything else: room is for others while they wait.
    fn start_parked(&mut self) {
        let ends = self.parked.take_off(self.looked_at);
        let shared = Arc::clone(&self.shared);
        let began = Instant::now();
        self.start_round(async move {
            let landed = round::end(&shared, &ends, None, HeldTasks::Passed).await;
            (Round::End { lane: PARKED, ends, began }, landed)
        });
    }

    fn start_claim(&mut self) {
        self.claiming += 1;
        self.hungry = false;
        let grant = self.shared.ledger.grant(self.room_beside_ends().min(MOST_CLAIMS));
        let shared = Arc::clone(&self.shared);
        let without = self.parked.tasks();
        let mut search = self.search;
        self.start_round(async move {
            let landed = round::claim(&shared, grant, &without, &mut search).await;
            (Round::Claim { search }, landed)
        });
    }

    fn start_delivery(&mut self) {
        let Some(group) = self.undelivered.take_off(self.looked_at) else { return };
        let shared = Arc::clone(&self.shared);
        self.start_round(async move {
            let claims = group.claims().to_vec();
            let landed = round::deliver(&shared, claims, &Results::default(), |_| 0).await;
            let answers = landed.error.is_none() || round::answers(&shared).await;
            (Round::Deliver { group, answers }, landed)
        });
    }

    fn start_round(&mut self, round: impl Future<Output = (Round, Landed)> + Send + 'static) {
        self.rounds.spawn(within(panicking("round", round)));
    }

    async fn wait(&mut self) {
        let deadlines = [
            self.shared.work_at(),
            self.shared.ledger.next_deadline(),
            self.shared.stop_by().filter(|_| self.drained),
            self.shared.stop_by().filter(|_| self.drained).map(|by| by + LAST_WORDS),
            self.rest_until,
            self.lanes.iter().filter_map(|lane| lane.due_at(LINGER)).min(),
            self.parked.due_at(),
            self.undelivered.due_at(self.looked_at),
            self.shared.inbox.unattended().map(|since| since + COMES_WITHIN),
            self.of_one_task.then(|| self.started_at + ALONE),
        ];
        let until = deadlines.into_iter().flatten().filter(|at| *at > self.looked_at).min();
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        tokio::select! {
            biased;
            Some(landed) = self.rounds.join_next() => self.land(landed),
            Some(end) = self.reported.recv() => self.receive(end),
            () = self.shared.woken() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    fn land(&mut self, landed: Result<(Round, Landed), JoinError>) {
        let (round, landed) = match landed {
            Ok(landed) => landed,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return,
        };
        match round {
            Round::End { lane: PARKED, ends, began } => self.land_parked(ends, began, &landed),
            Round::End { lane, ends, began } => self.land_ends(lane, ends, began, &landed),
            Round::Claim { search } => {
                self.claiming -= 1;
                self.plenty = landed.hungry;
                self.of_one_task = landed.of_one_task;
                self.prioritised = landed.hungry && (self.prioritised || landed.prioritised);
                self.search = search;
            }
            Round::Deliver { group, answers } => {
                return self.land_delivery(group, answers, landed);
            }
        }
        self.take_in(landed);
    }

    /// What a round leaves to be done.
    fn take_in(&mut self, landed: Landed) {
        self.hungry |= landed.hungry;
        self.unsure |= landed.unsure;
        self.undelivered.push(landed.undelivered);
        for (claim, outcome) in landed.refused {
            self.end_undelivered(claim, outcome);
        }
        match landed.error {
            Some(error) => self.failed(&error),
            None => self.pause = Duration::ZERO,
        }
    }

    /// A delivery that fails while the database answers is no reason for the worker to pause: it is about the
    /// steps of the group, of which one may be given up.
    fn land_delivery(&mut self, group: Group, answers: bool, landed: Landed) {
        let mut landed = Landed { undelivered: Vec::new(), ..landed };
        if let Some(error) = &landed.error {
            warn!(%error, steps = group.claims().len(), "what handlers need cannot be read");
            let hopeless = self.undelivered.take_back(group, error, answers, Instant::now());
            if let Some((claim, why)) = hopeless {
                self.end_undelivered(claim, blocked(why));
            }
        }
        landed.error = landed.error.filter(|_| !answers);
        self.take_in(landed);
    }

    fn land_ends(&mut self, lane: usize, ends: Vec<ClaimEnd>, began: Instant, landed: &Landed) {
        if landed.written || removed(Guard::EndsAreKept) {
            let is_held = |end: &ClaimEnd| landed.held.contains(&end.claim.step.task());
            let of_handlers = ends.iter().filter(|end| end.execution.is_some() && !is_held(end));
            let of_handlers = of_handlers.count();
            let held = self.all_due(ends.into_iter().filter(is_held));
            self.pace.saw(of_handlers, landed.successors, began, Instant::now());
            self.lanes[lane].landed();
            return self.park(held);
        }
        let ends = self.all_due(ends.into_iter());
        let error = landed.error.as_ref();
        if error.is_some_and(Error::is_timeout) && !removed(Guard::HeldAreParked) {
            self.lanes[lane].landed();
            self.park(ends);
        } else {
            self.lanes[lane].take_back(ends, error, self.looked_at);
        }
    }

    /// Somebody holds the tasks of some of these ends: of which, rounds find out that do not wait.
    fn park(&mut self, ends: Vec<Due>) {
        if ends.is_empty() {
            return;
        }
        let tasks = ends.iter().map(Due::task).collect();
        self.parked.park(ends, self.looked_at);
        for lane in &mut self.lanes {
            self.parked.park(lane.take_out(&tasks), self.looked_at);
        }
    }

    fn land_parked(&mut self, ends: Vec<ClaimEnd>, began: Instant, landed: &Landed) {
        let now = Instant::now();
        let ends = self.all_due(ends.into_iter());
        if !landed.written && !removed(Guard::EndsAreKept) {
            return self.parked.take_back(ends, landed.error.as_ref(), began, now);
        }
        let written = self.parked.landed(ends, &landed.held, now);
        if written > 0 {
            self.pace.saw(written, landed.successors, began, now);
            // Steps of theirs were left where they are.
            self.hungry = true;
        }
    }

    fn takes_claims(&self) -> bool {
        self.registered && self.deserted.is_none() && !self.shared.stops()
    }

    fn room(&self) -> usize {
        let threads = self.shared.options.concurrency as usize;
        let taken = self.shared.ledger.taken() + self.parked.room();
        (threads + self.pace.ahead(self.looked_at)).saturating_sub(taken)
    }

    /// What is left after the successors of the ends that wait.
    fn room_beside_ends(&self) -> usize {
        let ends = self.lanes.iter().map(Lane::len).sum();
        self.room().saturating_sub(self.pace.successors(ends))
    }

    /// Small claims cost a transaction each: while threads have enough, or will have, wait for a worthwhile
    /// one. A second claim beside one in flight is for what that one will not find.
    fn may_claim(&self) -> bool {
        let threads = self.shared.options.concurrency as usize;
        let room = self.room_beside_ends();
        let starving = self.claiming == 0 && self.shared.ledger.load() < threads;
        let worthwhile = starving || room > threads.max(self.pace.ahead(self.looked_at) / 2);
        let more = if self.claiming == 0 { self.hungry || self.plenty } else { self.plenty };
        more && self.takes_claims() && room > 0 && worthwhile
    }

    /// Ends the attempts whose handlers take too long.
    fn give_up_late(&mut self) {
        for (claim, timeout) in self.shared.ledger.overdue(Instant::now()) {
            warn!(step_id = claim.step.0, attempt = claim.attempt, "a handler takes too long");
            let message = format!("the handler did not end within {} s", timeout.as_secs_f64());
            let failure = failure(FailureKind::Timeout, "Timeout", message);
            self.end(claim, Outcome::Failed(failure));
        }
    }

    /// Gives back what no thread comes for: other workers execute it at once. A thread takes it under the same lock as this
    /// does, so that what is given back is executed by none.
    fn give_back_deserted(&mut self) {
        let Some(Deserted { since, items }) =
            self.shared.inbox.desert(COMES_WITHIN, self.looked_at)
        else {
            return self.threads_came();
        };
        match &mut self.deserted {
            Some(known) => known.given_back += items.len(),
            None => self.deserted = Some(self.desertion(since, items.len())),
        }
        for delivery in items {
            self.give_back(delivery.claim);
        }
    }

    fn desertion(&self, since: Instant, given_back: usize) -> Desertion {
        let desertion =
            Desertion { since, given_back, executing: named(&self.shared.ledger.executing()) };
        warn!(
            worker_id = self.shared.worker().0,
            seconds = self.seconds_since(since),
            given_back,
            executing = desertion.executing,
            "no thread comes for a step: one of the handlers that run keeps Ruby's lock, or all of them are slow"
        );
        self.shared.notify(desertion.notice(self.seconds_since(since)));
        desertion
    }

    fn threads_came(&mut self) {
        let Some(desertion) = self.deserted.take() else { return };
        let seconds = self.seconds_since(desertion.since);
        info!(worker_id = self.shared.worker().0, seconds, "threads take steps again");
        self.shared.correct_notice(desertion.notice(seconds));
        self.hungry = true;
    }

    fn seconds_since(&self, since: Instant) -> f64 {
        self.looked_at.saturating_duration_since(since).as_secs_f64()
    }

    fn end(&mut self, claim: Claim, outcome: Outcome) {
        self.push(ClaimEnd { claim, outcome, execution: None });
    }

    /// Takes in what a handler reported.
    fn receive(&mut self, end: ClaimEnd) {
        if let Some(execution) = end.execution {
            self.pace.executed(execution);
        }
        self.push(end);
        self.shared.ledger.received();
    }

    fn push(&mut self, end: ClaimEnd) {
        let reach = self.shared.ledger.reach(end.claim);
        let lane = self.lane_of(end.claim.step.task(), reach);
        let due = due(end, reach);
        if self.parked.holds(due.task()) {
            self.parked.push(due, self.looked_at);
        } else {
            self.lanes[lane].push(due, self.looked_at);
        }
    }

    /// With one round in flight at a time, all ends are in one batch; ends of a task that are in both lanes when that changes
    /// wait for one another.
    fn lane_of(&self, task: TaskId, reach: Reach) -> usize {
        if self.most_rounds() > 1 { lane_of(task, reach) } else { 0 }
    }

    fn all_due(&self, ends: impl Iterator<Item = ClaimEnd>) -> Vec<Due> {
        ends.map(|end| {
            let reach = self.shared.ledger.reach(end.claim);
            due(end, reach)
        })
        .collect()
    }

    /// Claims that the database gives to this worker and that are not known here were made by it. What
    /// is known stays known until its end is written.
    async fn read_own_claims(&mut self) -> Result<(), Error> {
        let shared = &self.shared;
        let ledger = &self.shared.ledger;
        ledger.note_recalled();
        let listed = shared.answer(shared.database.claims_of(shared.worker())).await;
        let recalled = ledger.take_recalled();
        let listed = listed??;
        let is_new = |claim: &Claim| !ledger.knows(*claim) && !recalled.contains(claim);
        let mut found = Vec::new();
        // The newest batch first: an older one may list a step that was claimed again since.
        for one in listed.iter().rev() {
            if let Some(claim) = one.claim.filter(is_new) {
                ledger.enter(
                    one.batch,
                    &[(claim, Tried { failures: one.failures, crashes: one.crashes })],
                    |_| None,
                );
                found.push(claim);
            }
        }
        ledger.compare(listed.iter().map(|one| one.batch));
        self.undelivered.push(found);
        self.unsure = false;
        Ok(())
    }

    fn failed(&mut self, error: &Error) {
        if error.is_retryable() {
            debug!(%error, "a transaction failed and is tried again");
        } else {
            error!(%error, "a transaction failed");
        }
        self.hungry = true;
        self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.rest_until = Some(Instant::now() + self.pause);
    }

    /// Others took this worker's claims while it did not beat. It goes on under another id; handlers
    /// that still run report in vain.
    async fn begin_anew(&mut self) {
        warn!(worker_id = self.shared.worker().0, "this worker was taken for dead");
        if self.registered {
            self.shared.events.tell(self.shared.worker(), WorkerEvent::Lost);
        }
        self.shared.inbox.drain();
        self.shared.ledger.lose();
        self.undelivered.clear();
        match self.shared.register().await {
            Ok(_) => {
                self.shared.take_burial();
                (self.registered, self.buried) = (true, false);
            }
            Err(error) => {
                self.registered = false;
                self.failed(&error);
            }
        }
        self.hungry = true;
    }

    /// Gives back what no thread has taken; the inbox hands out nothing any more.
    async fn drain(&mut self) {
        for delivery in self.shared.inbox.drain() {
            self.give_back(delivery.claim);
        }
        for claim in self.undelivered.drain() {
            self.give_back(claim);
        }
        let shared = &self.shared;
        if !std::mem::replace(&mut self.drained, true)
            && let Ok(Err(error)) | Err(error) =
                shared.answer(shared.database.drain_worker(shared.worker())).await
        {
            debug!(%error, "cannot say that this worker stops");
        }
    }

    fn give_back(&mut self, claim: Claim) {
        self.end_undelivered(claim, self.given_back(claim));
    }

    fn given_back(&self, claim: Claim) -> Outcome {
        Outcome::GivenBack(self.shared.ledger.since(claim))
    }

    /// Ends a claim that no thread has. Its room is free at once, however long its end takes to be written.
    fn end_undelivered(&mut self, claim: Claim, outcome: Outcome) {
        if let Some(claim) = self.shared.ledger.end(claim) {
            self.end(claim, outcome);
        }
    }

    /// Whether the database gives no claim to this worker; those that it does are given back.
    async fn holds_nothing(&mut self) -> bool {
        let shared = &self.shared;
        let listed = shared.answer(shared.database.claims_of(shared.worker())).await;
        let listed = match listed {
            Ok(Ok(listed)) => listed,
            Ok(Err(error)) | Err(error) => {
                self.failed(&Error::from(error));
                return false;
            }
        };
        let held: Vec<_> = listed.into_iter().filter_map(|one| one.claim).collect();
        for claim in &held {
            self.end(*claim, Outcome::GivenBack(None));
        }
        held.is_empty()
    }

    /// `Some` once nothing is left to do, or no time for it; says whether all was written.
    async fn stopped(&mut self) -> Option<bool> {
        if !self.drained || self.shared.phase() < Phase::Stopping {
            return None;
        }
        let stop_by = self.shared.stop_by();
        let late = |by: Duration| stop_by.is_some_and(|stop_by| Instant::now() >= stop_by + by);
        if late(Duration::ZERO) {
            for GivenUp { claim, begun } in self.shared.ledger.give_up() {
                self.end(claim, if begun { Outcome::Interrupted } else { self.given_back(claim) });
            }
        }
        let done = self.lanes.iter().all(Lane::is_empty)
            && self.parked.is_empty()
            && self.shared.ledger.known() == 0
            && self.undelivered.is_empty()
            && self.reported.is_empty()
            && !self.unsure;
        if done && !self.rests() && self.holds_nothing().await {
            let shared = &self.shared;
            match shared.answer(shared.database.stop_worker(shared.worker())).await {
                Ok(Ok(())) => return Some(true),
                Ok(Err(error)) | Err(error) => self.failed(&Error::from(error)),
            }
        }
        late(LAST_WORDS).then_some(false)
    }
}

/// An end changes its step and those after it.
fn due(end: ClaimEnd, reach: Reach) -> Due {
    Due { end, changes: 1 + reach.children }
}

/// Attempts as a log names them.
fn named(attempts: &[(StepId, u32)]) -> String {
    let name = |(step, attempt): &(StepId, u32)| {
        format!("step {step} of task {} (attempt {attempt})", step.task())
    };
    let more = attempts.len().saturating_sub(MOST_NAMED);
    let more = (more > 0).then(|| format!("{more} more"));
    let names: Vec<_> = attempts.iter().take(MOST_NAMED).map(name).chain(more).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The end of a step that cannot be executed here, and nobody knows whether it can be elsewhere.
pub(super) fn blocked(why: String) -> Outcome {
    Outcome::Failed(failure(FailureKind::Blocked, "Database", why))
}

/// A failure that the engine reports on a handler's behalf, under the class of the Ruby error.
pub(super) fn failure(kind: FailureKind, class: &str, message: String) -> Failure {
    Failure::new(kind, format!("TaskerCore::{class}Error"), message)
}
