//! What is looked at of what handlers do: each execution begins, is given, keeps and reports what it should, and ends as it has reported.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::decision::{Claim, Outcome, Until};
use crate::ids::{StepId, WorkerId};
use crate::join_policy::JoinPolicy;
use crate::simulation::plan::When;
use crate::simulation::server::Host;
use crate::simulation::tables::{CheckpointRecord, StepTransition, Tables, Written};
use crate::state::{StepEvent, StepState};

use super::{LONGEST_IGNORANCE, Watch, is_done, is_held};

impl Watch {
    /// A handler attaches something to its attempt.
    pub(in crate::simulation) fn attaches(&mut self, claim: Claim) {
        self.attached.insert((claim.step, claim.attempt, claim.worker));
    }

    /// What was attached to an attempt is written with the end of it that its handler has reported, and with no other.
    pub(super) fn artifacts_are_its(&mut self, before: &Tables, written: &Written) {
        let holder = |step| before.steps.get(&step).and_then(|held| held.worker);
        let ends = written.step_transitions.iter().filter(|c| c.from == StepState::InProgress);
        let ends = ends.map(|end| (end.step, end.attempt, holder(end.step)));
        let recorded = written.recorded_ends.values().flatten().map(|record| record.claim);
        let recorded: Vec<_> = recorded.collect();
        let of_recorded =
            recorded.iter().map(|claim| (claim.step, claim.attempt, Some(claim.worker)));
        let ends: BTreeSet<_> = ends.chain(of_recorded).collect();
        if let Some((step, attempt, by)) = written.artifacts.difference(&ends).next() {
            self.violated(format!(
                "an artifact of attempt {attempt} of step {step} on {by:?} was written without its end"
            ));
        }
        for Claim { step, attempt, worker } in recorded {
            let is_attached = self.attached.contains(&(step, attempt, worker));
            if is_attached && !written.artifacts.contains(&(step, attempt, Some(worker))) {
                self.violated(format!(
                    "the end of attempt {attempt} of step {step} is recorded without what was attached to it"
                ));
            }
        }
        for change in &written.step_transitions {
            let Some(worker) = holder(change.step) else { continue };
            // It was written with the record.
            if before.recorded_ends.contains_key(&change.step) {
                continue;
            }
            let its = (change.step, change.attempt, worker);
            let by_it = matches!(
                change.event,
                StepEvent::Succeeded
                    | StepEvent::FailedPermanently
                    | StepEvent::NeedsIntervention
                    | StepEvent::WentWaiting
            );
            let reported =
                by_it && self.reported.contains_key(&its) && self.attached.contains(&its);
            if reported && !written.artifacts.contains(&(change.step, change.attempt, Some(worker)))
            {
                self.violated(format!(
                    "attempt {} of step {} ended, and what was attached to it is lost",
                    change.attempt, change.step
                ));
            }
        }
    }

    /// What an attempt does in a transaction happens once, while its claim is current, and is there if, and only if, it has
    /// ended as a success.
    pub(super) fn effects_are_its(&mut self, before: &Tables, written: &Written) {
        for (step, attempt) in &written.effects {
            let record = written.recorded_ends.get(step).and_then(Option::as_ref);
            let its = record.is_some_and(|record| {
                record.claim.attempt == *attempt && is_held(before, record.claim)
            });
            if !its || before.effects.contains(&(*step, *attempt)) {
                self.violated(format!(
                    "attempt {attempt} of step {step} has an effect, and is not current, or had it before"
                ));
            }
        }
        let ends = written.step_transitions.iter().filter(|c| c.from == StepState::InProgress);
        for StepTransition { step, attempt, event, .. } in ends {
            let took_place = before.effects.contains(&(*step, *attempt));
            let succeeds = *event == StepEvent::Succeeded && before.is_transactional(*step);
            if took_place != succeeds {
                let took = if took_place { "took place" } else { "did not take place" };
                self.violated(format!(
                    "attempt {attempt} of step {step} ended with {event}, and its effect {took}"
                ));
            }
        }
    }

    /// A checkpoint is made by the claim that is current, and goes on where the last one was.
    pub(super) fn checkpoint_is_its(&mut self, before: &Tables, written: &Written) {
        let Some(step) = written.checkpoint else { return };
        let Some(made) = written.waits.get(&step).and_then(|wait| wait.as_ref()?.checkpoint) else {
            return;
        };
        let held = before.steps.get(&step);
        let current = held.is_some_and(|held| {
            held.worker == Some(made.claim.worker) && held.attempts == made.claim.attempt
        });
        if !current {
            let Claim { attempt, worker, .. } = made.claim;
            self.violated(format!(
                "attempt {attempt} of step {step} made a checkpoint on worker {worker}, which does not hold it"
            ));
        }
        let last = before.waits.get(&step).and_then(|wait| wait.checkpoint);
        // One that is sent again is written again.
        let goes_on = |last: &CheckpointRecord| last.cursor < made.cursor || *last == made;
        if !last.as_ref().is_none_or(goes_on) {
            self.violated(format!("step {step} went back to checkpoint {}", made.cursor));
        }
    }

    /// A handler is told that its checkpoint is written.
    pub(in crate::simulation) fn checkpointed(
        &mut self,
        tables: &Tables,
        claim: Claim,
        cursor: u64,
    ) {
        // One of before a rerun is forgotten.
        if is_held(tables, claim) {
            self.checkpoints.insert(claim.step, cursor);
        }
    }

    /// A handler reads where it is to go on.
    pub(in crate::simulation) fn resumes(&mut self, step: StepId, cursor: Option<u64>) {
        let last = self.checkpoints.get(&step).copied();
        if last > cursor {
            self.violated(format!("step {step} goes on from {cursor:?}, and was told of {last:?}"));
        }
    }

    /// A handler looks whether its attempt is still its own.
    pub(in crate::simulation) fn looks(&mut self, claim: Claim, is_current: bool, host: &Host) {
        let execution = (claim.step, claim.attempt, claim.worker);
        if is_current
            && let Some(since) = self.cut_off.get(&execution)
            // A heartbeat asks of attempts that run.
            && let Some(begun) = self.begun.get(&execution)
            && since.max(begun).elapsed().min(host.undisturbed()) > LONGEST_IGNORANCE
        {
            self.violated(format!(
                "attempt {} of step {} was ended {:?} ago, and its worker does not know",
                claim.attempt,
                claim.step,
                since.elapsed()
            ));
        }
    }

    /// Remembers when others end attempts that run.
    pub(super) fn cuts(&mut self, before: &Tables, written: &Written) {
        for change in written.step_transitions.iter().filter(|c| c.from == StepState::InProgress) {
            let ended = matches!(
                change.event,
                StepEvent::Cancelled
                    | StepEvent::Skipped
                    | StepEvent::ResolvedManually
                    | StepEvent::TimedOut
                    | StepEvent::Rerun
                    | StepEvent::Reset
            );
            let worker = before.steps.get(&change.step).and_then(|step| step.worker);
            if let Some(worker) = worker.filter(|_| ended) {
                self.cut_off.insert((change.step, change.attempt, worker), Instant::now());
            }
        }
    }

    /// A handler begins.
    pub(in crate::simulation) fn begins(&mut self, tables: &Tables, claim: Claim) {
        let Claim { step, attempt, worker } = claim;
        if self.begun.insert((step, attempt, worker), Instant::now()).is_some() {
            self.violated(format!(
                "attempt {attempt} of step {step} began twice on worker {worker}"
            ));
        }
        if let Some(undone) = tables.undone_by(step)
            && !is_done(tables, undone)
        {
            self.violated(format!("step {undone} is undone, and was never done"));
        }
        if !matches!(tables.when(step), None | Some(When::Met)) {
            self.violated(format!("step {step} began, and its condition is not met"));
        }
        // Others may see their parents tried again after they have started.
        if tables.join(step) == JoinPolicy::AllComplete && is_held(tables, claim) {
            self.parents_allow(tables, step, "began");
        }
    }

    /// A handler reports how it ended; where its time is limited, the engine may have said before that it failed.
    pub(in crate::simulation) fn reports(
        &mut self,
        claim: Claim,
        outcome: &Outcome,
        is_limited: bool,
    ) {
        let its = (claim.step, claim.attempt, claim.worker);
        self.reported.insert(its, outcome.is_success());
        let (event, lasts) = if let Outcome::Waiting(wait) = outcome {
            let kept = wait.data.as_ref().and_then(|data| data.parse().ok());
            self.keeps.extend(kept.map(|kept| (its, kept)));
            let until = wait.until.filter(|_| wait.signal.is_none());
            let lasts = until.and_then(|until| match until {
                Until::After(lasts) => Some(lasts),
                Until::At(_) => None,
            });
            (StepEvent::WentWaiting, lasts)
        } else if let Outcome::Failed(failure) = outcome
            && !is_limited
        {
            (StepEvent::RetryScheduled, failure.retry_after_s.map(Duration::from_secs_f64))
        } else {
            return;
        };
        self.asked.extend(lasts.map(|lasts| (its, (event, Instant::now() + lasts))));
    }

    /// A handler reads what an earlier attempt has kept.
    pub(in crate::simulation) fn goes_on(&mut self, tables: &Tables, claim: Claim) -> u32 {
        let found = tables.waits.get(&claim.step).and_then(|wait| wait.data).unwrap_or_default();
        let kept = self.kept.get(&claim.step).copied().unwrap_or_default();
        // One of before a rerun is forgotten.
        if found != kept && is_held(tables, claim) {
            self.violated(format!("step {} is given {found}, and has kept {kept}", claim.step));
        }
        found
    }

    /// What the handler has kept is kept from now on.
    pub(super) fn keeps_what_it_said(&mut self, change: &StepTransition) {
        let its = change.worker.map(|worker| (change.step, change.attempt, worker));
        let kept = its.and_then(|its| self.keeps.get(&its)).copied();
        if change.event == StepEvent::WentWaiting {
            self.kept.extend(kept.map(|kept| (change.step, kept)));
        }
    }

    /// What a handler is given of the steps before its own.
    pub(in crate::simulation) fn inputs(
        &mut self,
        tables: &Tables,
        claim: Claim,
        given: Option<&str>,
    ) {
        // The steps before one that was reset on its way to a handler may be executed anew.
        if !is_held(tables, claim) {
            return;
        }
        let step = claim.step;
        // What it needs it reads from the task that it undoes.
        if tables.undone_by(step).is_some() {
            return;
        }
        let results =
            |parent: &StepId| tables.steps.get(parent).and_then(|parent| parent.results.as_deref());
        let parents: Vec<_> = tables.template_parents(step).collect();
        let expected = parents
            .iter()
            .map(|parent| format!("\"s{}\":{}", parent.index(), results(parent).unwrap_or("null")));
        let expected = format!("{{{}}}", expected.collect::<Vec<_>>().join(","));
        if given == (!parents.is_empty()).then_some(expected.as_str()) {
            return;
        }
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let found: BTreeMap<String, Value> =
            given.and_then(|given| serde_json::from_str(given).ok()).unwrap_or_default();
        // A step that does not wait for all may have been given its inputs before a parent completed.
        let may_miss = tables.join(step) != JoinPolicy::AllComplete;
        let is_given = |parent: &StepId| {
            found.get(&format!("s{}", parent.index())).is_some_and(|given| {
                may_miss && given.is_null()
                    || *given == results(parent).map(parse).unwrap_or_default()
            })
        };
        if found.len() != parents.len() || !parents.iter().all(is_given) {
            self.violated(format!("step {step} was given {given:?}"));
        }
    }

    /// An attempt ends as its handler has reported, if the end is a handler's. One that takes too long is ended by the
    /// engine, and need not have reported.
    pub(super) fn was_reported(&mut self, change: &StepTransition) {
        let StepTransition { step, event, attempt, worker, .. } = *change;
        let reported =
            worker.and_then(|worker| self.reported.get(&(step, attempt, worker))).copied();
        let fits = match event {
            // Nobody executes a map step.
            StepEvent::Succeeded => reported == Some(true) || self.mapping.contains(&step),
            StepEvent::WentWaiting => reported == Some(false),
            StepEvent::FailedPermanently => reported == Some(false) || self.growing.contains(&step),
            StepEvent::NeedsIntervention => reported == Some(false),
            StepEvent::RetryScheduled | StepEvent::RetriesExhausted => {
                reported == Some(false) || self.began(step, attempt, worker)
            }
            StepEvent::ParentsCompleted
            | StepEvent::Claimed
            | StepEvent::NotRetryable
            | StepEvent::ConditionUnmet
            | StepEvent::GivenBack
            | StepEvent::Interrupted
            | StepEvent::WorkerDied
            | StepEvent::CrashesExhausted
            | StepEvent::Cancelled
            | StepEvent::Retried
            | StepEvent::Signalled
            | StepEvent::TimedOut
            | StepEvent::Mapped
            | StepEvent::ItemsDone
            | StepEvent::ItemsFailed
            | StepEvent::ItemsRetried
            | StepEvent::ItemGivenUp
            | StepEvent::BudgetExhausted
            | StepEvent::Rerun
            | StepEvent::Reset
            | StepEvent::Copied
            | StepEvent::Skipped
            | StepEvent::ResolvedManually => true,
        };
        if !fits {
            self.violated(format!(
                "attempt {attempt} of step {step} ended with {event}, and its handler reported {reported:?}"
            ));
        }
        let before_it_began = matches!(
            event,
            StepEvent::GivenBack | StepEvent::ConditionUnmet | StepEvent::ItemGivenUp
        );
        if before_it_began && self.began(step, attempt, worker) {
            self.violated(format!(
                "attempt {attempt} of step {step} ended with {event} after it began"
            ));
        }
    }

    pub(super) fn began(&self, step: StepId, attempt: u32, worker: Option<WorkerId>) -> bool {
        worker.is_some_and(|worker| self.begun.contains_key(&(step, attempt, worker)))
    }
}
