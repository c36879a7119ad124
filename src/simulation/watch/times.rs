//! What is looked at of waits, deadlines, delays and budgets.

use tokio::time::Instant;

use crate::decision::NEVER;
use crate::ids::{StepId, TaskId};
use crate::simulation::plan::shortest_delay;
use crate::simulation::tables::{StepTransition, Tables, Written, steps_of};
use crate::state::{StepEvent, StepState, TaskState};

use super::Watch;

impl Watch {
    /// A step that waits for a time, or to be tried again, goes on when that has come, not before, unless somebody asks for it.
    pub(super) fn waits_last(&mut self, after: &Tables, change: &StepTransition) {
        let its = change.worker.map(|worker| (change.step, change.attempt, worker));
        let asked = its.and_then(|its| self.asked.get(&its));
        let asked = asked.filter(|(event, _)| *event == change.event).map(|(_, until)| *until);
        let least = if change.event == StepEvent::WentWaiting {
            asked
        } else if change.event == StepEvent::RetryScheduled {
            let failures = after.steps.get(&change.step).map_or(0, |step| step.failures);
            let delay = shortest_delay(after.position(change.step), failures);
            // Where the handler was too slow, that it failed was decided after the begin.
            asked.or_else(|| Some(*self.begun.get(&its?)? + delay))
        } else {
            None
        };
        if let Some(until) = least {
            self.waits.insert(change.step, until);
        } else if let Some(until) = self.waits.remove(&change.step)
            && change.event == StepEvent::Claimed
            && !self.clock_put
            && until > Instant::now()
        {
            self.violated(format!("step {} was claimed before its wait was over", change.step));
        }
    }

    /// A step does not wait for a signal that was sent.
    pub(super) fn no_signal_is_missed(&mut self, tables: &Tables, id: StepId) {
        if tables.steps.get(&id).is_none_or(|step| step.state != StepState::Waiting) {
            return;
        }
        let Some(wait) = tables.waits.get(&id) else {
            return self.violated(format!("step {id} waits, and nobody knows for what"));
        };
        let sent = wait.signal.as_ref().and_then(|signal| tables.signal(id.task(), signal));
        let last = wait.deadline.unwrap_or(NEVER);
        let waits = tables.ready.get(&id).is_some_and(|ready| ready.available_at == last);
        if let Some(signal) = sent.filter(|_| waits) {
            self.violated(format!("step {id} waits for signal {signal}, which was sent"));
        }
    }

    /// A step ends by its deadline only if it has one, and no attempt is scheduled for later than that.
    pub(super) fn deadline_is_kept(&mut self, after: &Tables, change: &StepTransition) {
        let step = change.step;
        let retries = change.event == StepEvent::RetryScheduled;
        let deadline = after.step_deadlines.get(&step).copied().filter(|_| retries);
        let retry_at = after.ready.get(&step).map(|ready| ready.available_at);
        if deadline.is_some_and(|deadline| retry_at.is_some_and(|at| at >= deadline)) {
            self.violated(format!(
                "step {step} is tried again at {retry_at:?}, after {deadline:?}"
            ));
        }
        let limited = after.is_limited(step);
        if change.event == StepEvent::BudgetExhausted && !after.budgets.contains_key(&step.task()) {
            self.violated(format!("step {step} was kept back, and its task has no budget"));
        }
        if change.event == StepEvent::TimedOut && !limited {
            self.violated(format!("step {step} was late, and has no limit"));
        }
        if change.from == StepState::Pending
            && matches!(change.to, StepState::Enqueued | StepState::InProgress)
            && limited
            && !after.step_deadlines.contains_key(&step)
        {
            self.violated(format!("step {step} begins, and its time does not"));
        }
    }

    /// A step is claimed once its delay is over, and is given up with the worker that was one too many.
    pub(super) fn delay_and_crashes_count(&mut self, after: &Tables, change: &StepTransition) {
        let StepTransition { step, from, event, decided_at, .. } = *change;
        let delay = after.delay(step);
        let ready = after.ready.get(&step).map(|ready| ready.available_at);
        if from == StepState::Pending && !delay.is_zero() && !after.is_item(step) {
            let is_ready = event == StepEvent::ParentsCompleted;
            let is_early = is_ready && ready.is_none_or(|at| at < decided_at + delay);
            if is_early || event == StepEvent::Claimed {
                self.violated(format!(
                    "step {step} can be claimed at {ready:?}, before its delay is over"
                ));
            }
        }
        let crashes = after.steps.get(&step).map_or(0, |step| step.crashes);
        let limit = after.crash_limit(step);
        if event == StepEvent::CrashesExhausted && crashes < limit {
            self.violated(format!("step {step} was given up after {crashes} of {limit} workers"));
        }
    }

    /// The time of a step that can be claimed as soon as it is added begins with that.
    pub(super) fn added_have_time(&mut self, after: &Tables, written: &Written) {
        let ready = written.added.keys().filter(|step| written.ready.contains_key(*step));
        let mut limited = ready.filter(|step| after.is_limited(**step));
        if let Some(step) = limited.find(|step| !after.step_deadlines.contains_key(*step)) {
            self.violated(format!("step {step} is added, and its time does not begin"));
        }
    }

    /// A task uses up no more than its budget, which counts what its steps do.
    pub(super) fn budget_is_kept(&mut self, tables: &Tables, id: TaskId) {
        let Some(budget) = tables.budgets.get(&id).copied() else { return };
        let steps: Vec<_> = tables.steps.range(steps_of(id)).collect();
        let attempts: u32 = steps.iter().map(|(_, step)| step.attempts).sum();
        let runs = steps.iter().filter(|(_, step)| step.state == StepState::InProgress);
        let reserved: u64 = runs.map(|(id, _)| tables.reserve(**id).millionths()).sum();
        let cancelled = tables.tasks.get(&id).is_some_and(|t| t.task.state == TaskState::Cancelled);
        if budget.attempts != attempts || budget.reserved.millionths() != reserved && !cancelled {
            self.violated(format!("task {id} counts {budget:?}, and it is {attempts}, {reserved}"));
        }
        let used = budget.spent.millionths() + reserved;
        let over = budget.limits.attempts.is_some_and(|most| attempts > most.get())
            || budget.limits.cost.is_some_and(|most| used > most.millionths());
        if over {
            self.violated(format!("task {id} has used up more than its budget: {budget:?}"));
        }
    }
}
