//! `TaskerCore::Internal::Bridge::Worker`.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use magnus::value::ReprValue;
use magnus::{Error, IntoValue, RArray, RString, Ruby, Value};
use tasker_core::{
    AddedDelivery, Batch, Delivery, ErrorKind, Event, EventSet, Events, Interrupt, SignalId,
    StepId, TaskId, TemplateId, Transition, UndoneTask, WorkerOptions, WorkflowCall, names,
};

use crate::borrowed::drive;
use crate::errors::{guard, raise, raise_kind};
use crate::json::{answer, optional_text, text};
use crate::large_text::LargeText;
use crate::nogvl::wait;
use crate::runtime::{block_on, generation, same_process};

/// What the workers of a process commit, and the generation each was started in. Locked with Ruby's lock
/// held only, so that a fork never finds it locked.
static EVENTS: Mutex<Vec<(u64, Weak<Events>)>> = Mutex::new(Vec::new());

/// The events of a worker of this process that has subscribers.
pub(crate) fn events_here() -> Option<Arc<Events>> {
    let known = EVENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let here = known.iter().filter(|(made_in, _)| *made_in == generation());
    here.filter_map(|(_, events)| events.upgrade()).find(|events| events.are_wanted())
}

fn make_known(events: &Arc<Events>) {
    let mut known = EVENTS.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|(_, events)| events.strong_count() > 0);
    known.push((generation(), Arc::downgrade(events)));
}

/// A worker of one process. Never dropped in another one, where its tasks do not exist.
#[magnus::wrap(class = "TaskerCore::Internal::Bridge::Worker", free_immediately)]
pub(crate) struct Worker {
    worker: ManuallyDrop<tasker_core::Worker>,
    made_in: u64,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.made_in == generation() {
            // SAFETY: dropped once, here, and not used again.
            unsafe { ManuallyDrop::drop(&mut self.worker) };
        }
    }
}

impl Worker {
    pub(crate) fn start(ruby: &Ruby, options: RString) -> Result<Self, Error> {
        guard(ruby, || {
            let options = text(ruby, options)?;
            let options = WorkerOptions::from_json(&options).map_err(|e| raise(ruby, &e))?;
            let worker = block_on(ruby, tasker_core::Worker::start(options))?;
            make_known(worker.events());
            Ok(Self { worker: ManuallyDrop::new(worker), made_in: generation() })
        })
    }

    fn here(&self, ruby: &Ruby) -> Result<&tasker_core::Worker, Error> {
        same_process(ruby, self.made_in, "worker")?;
        Ok(&self.worker)
    }

    pub(crate) fn id(&self) -> i64 {
        self.worker.id().0
    }

    /// A step to execute, `[step_id, task_id, attempt, template_id, step_index, context, parents,
    /// added]`, for one that undoes another with the task that it undoes in the place of the parents; false when there is
    /// none yet, nil when there will be no more. Waits without Ruby's lock, and takes the step with it: who has it can begin,
    /// and what nobody has taken can be given back. Without a time to wait the lock is kept.
    pub(crate) fn next_step(
        ruby: &Ruby,
        this: &Self,
        timeout_ms: u64,
    ) -> Result<Option<Value>, Error> {
        guard(ruby, || {
            let worker = this.here(ruby)?;
            let here = Interrupt::of_this_thread();
            let deadline = Instant::now().checked_add(Duration::from_millis(timeout_ms));
            let mut left = left(deadline);
            loop {
                if !left.is_zero() {
                    wait(ruby, |interrupt| {
                        worker.wait_for_steps(left, interrupt);
                        (!interrupt.is_raised()).then_some(())
                    })?;
                }
                let Batch::Steps(steps) = worker.next_batch(1, Duration::ZERO, &here) else {
                    return Ok(None);
                };
                if let Some(delivery) = steps.first() {
                    return Ok(Some(item(ruby, delivery).as_value()));
                }
                left = self::left(deadline);
                if left.is_zero() {
                    return Ok(Some(ruby.qfalse().as_value()));
                }
            }
        })
    }

    /// What is to be told to the operator, once. Raises what keeps the worker from going on.
    pub(crate) fn take_notice(ruby: &Ruby, this: &Self) -> Result<Option<String>, Error> {
        guard(ruby, || this.here(ruby)?.take_notice().map_err(|e| raise(ruby, &e)))
    }

    /// Which events are recorded from now on: bit n stands for the n-th of `EVENT_NAMES`.
    pub(crate) fn record_events(ruby: &Ruby, this: &Self, wanted: u64) -> Result<(), Error> {
        guard(ruby, || {
            this.here(ruby)?.events().record(EventSet(wanted));
            Ok(())
        })
    }

    /// Events, each `[number, id of step, task or worker, at_us, from, to, attempt, worker_id]`, the last two for
    /// steps only, no states for workers; nil when there will be no more.
    pub(crate) fn next_events(
        ruby: &Ruby,
        this: &Self,
        max: usize,
        timeout_ms: u64,
    ) -> Result<Option<RArray>, Error> {
        guard(ruby, || {
            let events = this.here(ruby)?.events();
            let pop = |left, interrupt: &Interrupt| events.pop(max.max(1), left, interrupt);
            take(ruby, timeout_ms, pop, event)
        })
    }

    /// Counts the events that nobody will take, and so many more, as dropped.
    pub(crate) fn give_up_events(ruby: &Ruby, this: &Self, more: u64) -> Result<(), Error> {
        guard(ruby, || {
            this.here(ruby)?.events().give_up(more);
            Ok(())
        })
    }

    pub(crate) fn template_of(ruby: &Ruby, this: &Self, task: i64) -> Result<i32, Error> {
        guard(ruby, || Ok(block_on(ruby, this.here(ruby)?.template_of(TaskId(task)))?.0))
    }

    pub(crate) fn step_name(ruby: &Ruby, this: &Self, step: i64) -> Result<Option<String>, Error> {
        guard(ruby, || block_on(ruby, this.here(ruby)?.step_name(StepId(step))))
    }

    pub(crate) fn attach(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
        artifact: RString,
    ) -> Result<(), Error> {
        guard(ruby, || {
            let artifact = text(ruby, artifact)?;
            this.here(ruby)?.attach(StepId(step), attempt, &artifact).map_err(|e| raise(ruby, &e))
        })
    }

    pub(crate) fn succeed(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
        execution_us: u64,
        results: RString,
    ) -> Result<(), Error> {
        guard(ruby, || {
            let execution = Duration::from_micros(execution_us);
            // SAFETY: the text is checked and copied before Ruby code can run.
            let results = unsafe { results.as_str() }.map_err(|_| not_text(ruby))?;
            this.here(ruby)?
                .succeed(StepId(step), attempt, execution, results)
                .map_err(|e| raise(ruby, &e))
        })
    }

    /// Refuses a connection of the application's, on which the block executes statements, that leads to other tables.
    pub(crate) fn check_connection(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guard(ruby, || {
            let worker = this.here(ruby)?;
            drive(ruby, |connection| worker.check_connection(connection))
        })
    }

    /// Has the application's transaction, in which the block executes statements, record the end of the attempt; returns
    /// "recorded", "lost" or "refused". `took`: the names of the branches that are taken, a JSON array.
    pub(crate) fn record_end(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
        execution_us: u64,
        results: RString,
        took: Option<RString>,
    ) -> Result<&'static str, Error> {
        guard(ruby, || {
            let worker = this.here(ruby)?;
            let execution = Duration::from_micros(execution_us);
            let (results, took) = (text(ruby, results)?, optional_text(ruby, took)?);
            let took = took.as_deref().map(names).transpose().map_err(|e| raise(ruby, &e))?;
            let recorded = drive(ruby, |connection| {
                let step = StepId(step);
                worker.record_end(connection, step, attempt, execution, &results, took.as_deref())
            })?;
            Ok(recorded.as_str())
        })
    }

    /// Reports that the application's transaction was to be committed, with the end of the attempt; `failure`: how the attempt
    /// failed where it was not.
    pub(crate) fn end_recorded(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
        execution_us: u64,
        failure: Option<RString>,
    ) -> Result<(), Error> {
        guard(ruby, || {
            let execution = Duration::from_micros(execution_us);
            let failure = optional_text(ruby, failure)?;
            this.here(ruby)?
                .end_recorded(StepId(step), attempt, execution, failure.as_deref())
                .map_err(|e| raise(ruby, &e))
        })
    }

    /// `took`: the names of the branches that are taken, a JSON array.
    pub(crate) fn decide(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
        execution_us: u64,
        results: RString,
        took: RString,
    ) -> Result<(), Error> {
        guard(ruby, || {
            let worker = this.here(ruby)?;
            let execution = Duration::from_micros(execution_us);
            let (results, took) = (text(ruby, results)?, text(ruby, took)?);
            let took = names(&took).map_err(|e| raise(ruby, &e))?;
            worker
                .decide(StepId(step), attempt, execution, &results, &took)
                .map_err(|e| raise(ruby, &e))
        })
    }

    /// `steps`: what is added, a JSON array of objects.
    pub(crate) fn grow(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
        execution_us: u64,
        results: RString,
        steps: RString,
    ) -> Result<(), Error> {
        guard(ruby, || {
            let worker = this.here(ruby)?;
            let execution = Duration::from_micros(execution_us);
            let (results, steps) = (text(ruby, results)?, text(ruby, steps)?);
            worker
                .grow(StepId(step), attempt, execution, &results, &steps)
                .map_err(|e| raise(ruby, &e))
        })
    }

    pub(crate) fn items_of(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        step: RString,
        after: Option<u32>,
        limit: u32,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let step = text(ruby, step)?;
            let asked = this.here(ruby)?.items_of(TaskId(task), &step, after, limit);
            answer(ruby, &block_on(ruby, asked)?)
        })
    }

    pub(crate) fn fail(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
        execution_us: u64,
        failure: RString,
    ) -> Result<(), Error> {
        guard(ruby, || {
            let execution = Duration::from_micros(execution_us);
            let failure = text(ruby, failure)?;
            this.here(ruby)?
                .fail(StepId(step), attempt, execution, &failure)
                .map_err(|e| raise(ruby, &e))
        })
    }

    pub(crate) fn wait(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
        execution_us: u64,
        wait: RString,
    ) -> Result<(), Error> {
        guard(ruby, || {
            let execution = Duration::from_micros(execution_us);
            let wait = text(ruby, wait)?;
            this.here(ruby)?
                .wait(StepId(step), attempt, execution, &wait)
                .map_err(|e| raise(ruby, &e))
        })
    }

    /// Whether others have left the attempt alone, as far as is known here.
    pub(crate) fn is_current(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
    ) -> Result<bool, Error> {
        guard(ruby, || Ok(this.here(ruby)?.is_current(StepId(step), attempt)))
    }

    /// Another thread takes steps in the place of one whose handler does not end; false where the attempt is not over.
    pub(crate) fn relieve(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
    ) -> Result<bool, Error> {
        guard(ruby, || Ok(this.here(ruby)?.relieve(StepId(step), attempt)))
    }

    pub(crate) fn spend(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
        cost: f64,
    ) -> Result<f64, Error> {
        guard(ruby, || {
            let spent = this.here(ruby)?.spend(StepId(step), attempt, cost);
            spent.map_err(|e| raise(ruby, &e))
        })
    }

    /// Whether it was written; if not, others have ended the attempt.
    pub(crate) fn checkpoint(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
        checkpoint: RString,
    ) -> Result<bool, Error> {
        guard(ruby, || {
            let checkpoint = text(ruby, checkpoint)?;
            let worker = this.here(ruby)?;
            block_on(ruby, worker.checkpoint(StepId(step), attempt, &checkpoint))
        })
    }

    pub(crate) fn look_at_wait(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        signal: Option<RString>,
        after: Option<i64>,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let (signal, after) = (optional_text(ruby, signal)?, after.map(SignalId));
            let asked = this.here(ruby)?.look_at_wait(StepId(step), signal.as_deref(), after);
            answer(ruby, &block_on(ruby, asked)?)
        })
    }

    /// The task that a step runs, as JSON; made by this call unless it is there.
    pub(crate) fn run_workflow(
        ruby: &Ruby,
        this: &Self,
        step: i64,
        attempt: u32,
        call: RString,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let worker = this.here(ruby)?;
            let call = text(ruby, call)?;
            let call = WorkflowCall::from_json(&call).map_err(|e| raise(ruby, &e))?;
            let ran = block_on(ruby, worker.run_workflow(StepId(step), attempt, &call))?;
            answer(ruby, &ran)
        })
    }

    pub(crate) fn template(ruby: &Ruby, this: &Self, id: i32) -> Result<String, Error> {
        guard(ruby, || block_on(ruby, this.here(ruby)?.template(TemplateId(id))))
    }

    pub(crate) fn step_definition(
        ruby: &Ruby,
        this: &Self,
        template: i32,
        index: u32,
    ) -> Result<String, Error> {
        let template = TemplateId(template);
        guard(ruby, || block_on(ruby, this.here(ruby)?.step_definition(template, index)))
    }

    pub(crate) fn step_names(ruby: &Ruby, this: &Self, template: i32) -> Result<String, Error> {
        guard(ruby, || block_on(ruby, this.here(ruby)?.step_names(TemplateId(template))))
    }

    pub(crate) fn results_of(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        step: RString,
    ) -> Result<Option<String>, Error> {
        guard(ruby, || {
            let step = text(ruby, step)?;
            block_on(ruby, this.here(ruby)?.results_of(TaskId(task), &step))
        })
    }

    pub(crate) fn state_of(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        step: RString,
    ) -> Result<&'static str, Error> {
        guard(ruby, || {
            let step = text(ruby, step)?;
            let state = block_on(ruby, this.here(ruby)?.state_of(TaskId(task), &step))?;
            Ok(state.as_str())
        })
    }

    pub(crate) fn drain(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guard(ruby, || {
            this.here(ruby)?.drain();
            Ok(())
        })
    }

    pub(crate) fn stop(ruby: &Ruby, this: &Self, timeout_ms: u64) -> Result<String, Error> {
        guard(ruby, || {
            let timeout = Duration::from_millis(timeout_ms);
            answer(ruby, &block_on(ruby, this.here(ruby)?.stop(timeout))?)
        })
    }

    pub(crate) fn hurry(ruby: &Ruby, this: &Self, timeout_ms: u64) -> Result<(), Error> {
        guard(ruby, || {
            this.here(ruby)?.hurry(Duration::from_millis(timeout_ms));
            Ok(())
        })
    }

    pub(crate) fn stats(ruby: &Ruby, this: &Self) -> Result<String, Error> {
        guard(ruby, || answer(ruby, &this.here(ruby)?.stats()))
    }
}

/// The time until then.
fn left(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::MAX, |by| by.saturating_duration_since(Instant::now()))
}

/// What `pop` takes from a queue, each as `item` makes it; nil when the queue is closed. Waits without Ruby's
/// lock; `pop` gets the time that is left.
fn take<T>(
    ruby: &Ruby,
    timeout_ms: u64,
    pop: impl Fn(Duration, &Interrupt) -> Option<Vec<T>>,
    item: impl Fn(&Ruby, &T) -> RArray,
) -> Result<Option<RArray>, Error> {
    let deadline = Instant::now().checked_add(Duration::from_millis(timeout_ms));
    let taken = wait(ruby, |interrupt| {
        let taken = pop(left(deadline), interrupt);
        let empty = taken.as_ref().is_some_and(Vec::is_empty);
        (!(empty && interrupt.is_raised())).then_some(taken)
    })?;
    let Some(taken) = taken else { return Ok(None) };
    let list = ruby.ary_new_capa(taken.len());
    for one in &taken {
        list.push(item(ruby, one))?;
    }
    Ok(Some(list))
}

fn event(ruby: &Ruby, event: &Event) -> RArray {
    let number = event.number().into_value_with(ruby);
    let at_us = event.at.timestamp_micros().into_value_with(ruby);
    match event.transition {
        Transition::Step { step, from, to, attempt, worker, .. } => ruby.ary_new_from_values(&[
            number,
            step.0.into_value_with(ruby),
            at_us,
            (from as usize).into_value_with(ruby),
            (to as usize).into_value_with(ruby),
            attempt.into_value_with(ruby),
            worker.map(|worker| worker.0).into_value_with(ruby),
        ]),
        Transition::Task { task, from, to, .. } => ruby.ary_new_from_values(&[
            number,
            task.0.into_value_with(ruby),
            at_us,
            (from as usize).into_value_with(ruby),
            (to as usize).into_value_with(ruby),
        ]),
        Transition::Worker { worker, .. } => {
            ruby.ary_new_from_values(&[number, worker.0.into_value_with(ruby), at_us])
        }
    }
}

/// Made in one call of Ruby: each push would be another, with a guard against exceptions of its own.
fn item(ruby: &Ruby, delivery: &Delivery) -> RArray {
    let step = delivery.claim.step;
    let added = delivery.added.as_deref();
    ruby.ary_new_from_values(&[
        step.0.into_value_with(ruby),
        step.task().0.into_value_with(ruby),
        delivery.claim.attempt.into_value_with(ruby),
        delivery.template.0.into_value_with(ruby),
        added.map_or(step.index(), |added| added.prototype).into_value_with(ruby),
        LargeText::or_string(ruby, &delivery.context),
        given(ruby, delivery),
        added.map(|added| self::added(ruby, added)).into_value_with(ruby),
    ])
}

/// The results of the parents; `[task, template]` of the task that is undone, for one that undoes.
fn given(ruby: &Ruby, delivery: &Delivery) -> Value {
    match delivery.undoes.as_deref() {
        Some(UndoneTask { task, template }) => ruby
            .ary_new_from_values(&[task.0.into_value_with(ruby), template.0.into_value_with(ruby)])
            .as_value(),
        None => delivery.parents.as_deref().map(|json| ruby.str_new(json)).into_value_with(ruby),
    }
}

/// `[name, inputs, number of the item]` of a step that was added.
fn added(ruby: &Ruby, added: &AddedDelivery) -> RArray {
    ruby.ary_new_from_values(&[
        ruby.str_new(&added.name).as_value(),
        ruby.str_new(&added.inputs).as_value(),
        added.item.into_value_with(ruby),
    ])
}

fn not_text(ruby: &Ruby) -> Error {
    let message = "the results are not UTF-8 text; encode them as UTF-8";
    raise_kind(ruby, ErrorKind::InvalidContext, message, "{}")
}
