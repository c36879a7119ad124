//! `TaskerCore::Internal::Bridge::Client`.

use std::mem::ManuallyDrop;
use std::time::Duration;

use magnus::{Error, RString, Ruby};
use tasker_core::{
    BudgetRequest, ClientOptions, FailureFilter, FeedOpening, FeedReading, ForkRequest, ListFilter,
    Pruning, Request, SignalRequest, Steering, Submission, TaskId, TemplatesToCompare, names,
    step_ids,
};

use crate::borrowed::drive;
use crate::errors::{guard, raise};
use crate::json::{answer, optional_text, text};
use crate::runtime::{block_on, generation, same_process};
use crate::worker::events_here;

/// A client of one process. Never dropped in another one, where its connections' tasks do not exist.
#[magnus::wrap(class = "TaskerCore::Internal::Bridge::Client", free_immediately)]
pub(crate) struct Client {
    client: ManuallyDrop<tasker_core::Client>,
    made_in: u64,
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.made_in == generation() {
            // SAFETY: dropped once, here, and not used again.
            unsafe { ManuallyDrop::drop(&mut self.client) };
        }
    }
}

/// Methods that ask something of a task as a whole.
macro_rules! steers_a_whole_task {
    ($($name:ident: $asked:ident),+) => { $(
        pub(crate) fn $name(
            ruby: &Ruby,
            this: &Self,
            task: i64,
            actor: RString,
            reason: Option<RString>,
        ) -> Result<String, Error> {
            guard(ruby, || this.steer(ruby, task, &Steering::$asked, actor, reason))
        }
    )+ };
}

impl Client {
    pub(crate) fn connect(ruby: &Ruby, options: RString) -> Result<Self, Error> {
        guard(ruby, || {
            let options = text(ruby, options)?;
            let options = ClientOptions::from_json(&options).map_err(|e| raise(ruby, &e))?;
            let client = block_on(ruby, tasker_core::Client::connect(&options))?;
            Ok(Self { client: ManuallyDrop::new(client), made_in: generation() })
        })
    }

    fn ask<T>(
        &self,
        ruby: &Ruby,
        question: impl AsyncFnOnce(&tasker_core::Client) -> Result<T, tasker_core::Error>,
    ) -> Result<T, Error> {
        same_process(ruby, self.made_in, "client")?;
        block_on(ruby, question(&self.client))
    }

    /// What a JSON text says. A client of before a fork is refused first.
    fn parsed<T>(
        &self,
        ruby: &Ruby,
        json: RString,
        parse: impl FnOnce(&str) -> Result<T, tasker_core::Error>,
    ) -> Result<T, Error> {
        same_process(ruby, self.made_in, "client")?;
        parse(&text(ruby, json)?).map_err(|e| raise(ruby, &e))
    }

    pub(crate) fn migrate(ruby: &Ruby, this: &Self, version: Option<u32>) -> Result<String, Error> {
        guard(ruby, || answer(ruby, &this.ask(ruby, async |c| c.migrate(version).await)?))
    }

    pub(crate) fn schema_version(ruby: &Ruby, this: &Self) -> Result<u32, Error> {
        guard(ruby, || this.ask(ruby, async |c| c.schema_version().await))
    }

    pub(crate) fn register_template(ruby: &Ruby, this: &Self, json: RString) -> Result<i32, Error> {
        guard(ruby, || {
            let json = text(ruby, json)?;
            Ok(this.ask(ruby, async |c| c.register_template(&json).await)?.0)
        })
    }

    pub(crate) fn templates(ruby: &Ruby, this: &Self) -> Result<String, Error> {
        guard(ruby, || answer(ruby, &this.ask(ruby, async |c| c.templates().await)?))
    }

    pub(crate) fn submit(ruby: &Ruby, this: &Self, json: RString) -> Result<String, Error> {
        guard(ruby, || {
            let submission = this.parsed(ruby, json, Submission::from_json)?;
            answer(ruby, &this.ask(ruby, async |c| c.submit(&submission).await)?)
        })
    }

    /// The same within a transaction of the application's. The block executes statements on its connection. `nil`:
    /// to be made again.
    pub(crate) fn submit_within(
        ruby: &Ruby,
        this: &Self,
        json: RString,
    ) -> Result<Option<String>, Error> {
        guard(ruby, || {
            let submission = this.parsed(ruby, json, Submission::from_json)?;
            let submitted =
                drive(ruby, |connection| this.client.submit_within(connection, &submission))?;
            submitted.map(|submitted| answer(ruby, &submitted)).transpose()
        })
    }

    pub(crate) fn status(ruby: &Ruby, this: &Self, task: i64) -> Result<String, Error> {
        guard(ruby, || answer(ruby, &this.ask(ruby, async |c| c.status(TaskId(task)).await)?))
    }

    pub(crate) fn result(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        step: Option<RString>,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let step = optional_text(ruby, step)?;
            let result =
                async |c: &tasker_core::Client| c.result(TaskId(task), step.as_deref()).await;
            answer(ruby, &this.ask(ruby, result)?)
        })
    }

    pub(crate) fn items(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        step: RString,
        after: Option<u32>,
        limit: u32,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let step = text(ruby, step)?;
            let items =
                async |c: &tasker_core::Client| c.items(TaskId(task), &step, after, limit).await;
            answer(ruby, &this.ask(ruby, items)?)
        })
    }

    pub(crate) fn opened(
        ruby: &Ruby,
        this: &Self,
        kind: RString,
        what: RString,
        json: RString,
    ) -> Result<String, Error> {
        guard(ruby, || {
            same_process(ruby, this.made_in, "client")?;
            let (kind, what) = (text(ruby, kind)?, text(ruby, what)?);
            let json = text(ruby, json)?;
            this.client.opened(&kind, &what, json).map_err(|e| raise(ruby, &e))
        })
    }

    steers_a_whole_task!(cancel: Cancel, pause: Pause, resume: Resume, compensate: Compensate);

    pub(crate) fn retry(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        step: Option<RString>,
        actor: RString,
        reason: Option<RString>,
        seen: Option<RString>,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let step = optional_text(ruby, step)?;
            this.steer_seen(ruby, task, &Steering::Retry { step }, (actor, reason, seen))
        })
    }

    pub(crate) fn skip(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        step: RString,
        actor: RString,
        reason: Option<RString>,
        seen: Option<RString>,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let step = text(ruby, step)?;
            this.steer_seen(ruby, task, &Steering::Skip { step }, (actor, reason, seen))
        })
    }

    pub(crate) fn rerun(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        step: RString,
        actor: RString,
        reason: Option<RString>,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let step = text(ruby, step)?;
            this.steer(ruby, task, &Steering::Rerun { step }, actor, reason)
        })
    }

    #[allow(clippy::too_many_arguments, reason = "the arguments of a method of Ruby")]
    pub(crate) fn resolve(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        step: RString,
        results: RString,
        take: Option<RString>,
        actor: RString,
        reason: Option<RString>,
        seen: Option<RString>,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let (step, results) = (text(ruby, step)?, text(ruby, results)?.into());
            let take = take.map(|take| this.parsed(ruby, take, names)).transpose()?;
            let steering = Steering::Resolve { step, results, take };
            this.steer_seen(ruby, task, &steering, (actor, reason, seen))
        })
    }

    /// `budget`: the limits, a JSON object with `attempts`, `cost` or both.
    pub(crate) fn raise_budget(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        budget: RString,
        actor: RString,
        reason: Option<RString>,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let limits = |text: &str| BudgetRequest::from_json(text)?.limits();
            let limits = this.parsed(ruby, budget, limits)?;
            this.steer(ruby, task, &Steering::RaiseBudget(limits), actor, reason)
        })
    }

    pub(crate) fn fork(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        request: RString,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let request = this.parsed(ruby, request, ForkRequest::from_json)?;
            let events = events_here();
            let fork = async |c: &tasker_core::Client| {
                c.fork(TaskId(task), &request, events.as_deref()).await
            };
            answer(ruby, &this.ask(ruby, fork)?)
        })
    }

    pub(crate) fn correlated_tasks(
        ruby: &Ruby,
        this: &Self,
        key: RString,
        after: i64,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let key = text(ruby, key)?;
            let tasks =
                async |c: &tasker_core::Client| c.correlated_tasks(&key, TaskId(after)).await;
            answer(ruby, &this.ask(ruby, tasks)?)
        })
    }

    pub(crate) fn signal(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        signal: RString,
    ) -> Result<i64, Error> {
        guard(ruby, || {
            let request = this.parsed(ruby, signal, SignalRequest::from_json)?;
            let events = events_here();
            let send = async |c: &tasker_core::Client| {
                c.signal(TaskId(task), &request, events.as_deref()).await
            };
            Ok(this.ask(ruby, send)?.0)
        })
    }

    fn steer(
        &self,
        ruby: &Ruby,
        task: i64,
        steering: &Steering,
        actor: RString,
        reason: Option<RString>,
    ) -> Result<String, Error> {
        self.steer_seen(ruby, task, steering, (actor, reason, None))
    }

    /// Who asks, why, and what they saw.
    fn steer_seen(
        &self,
        ruby: &Ruby,
        task: i64,
        steering: &Steering,
        (actor, reason, seen): (RString, Option<RString>, Option<RString>),
    ) -> Result<String, Error> {
        let seen = seen.map(|json| self.parsed(ruby, json, tasker_core::seen)).transpose()?;
        let (actor, reason) = (text(ruby, actor)?, optional_text(ruby, reason)?);
        let request = Request { actor, reason, seen };
        let events = events_here();
        let steer = async |c: &tasker_core::Client| {
            c.steer(TaskId(task), steering, &request, events.as_deref()).await
        };
        answer(ruby, &self.ask(ruby, steer)?)
    }

    pub(crate) fn explain(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        step: Option<RString>,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let step = optional_text(ruby, step)?;
            let explain =
                async |c: &tasker_core::Client| c.explain(TaskId(task), step.as_deref()).await;
            answer(ruby, &this.ask(ruby, explain)?)
        })
    }

    pub(crate) fn artifacts(
        ruby: &Ruby,
        this: &Self,
        task: i64,
        step: Option<RString>,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let step = optional_text(ruby, step)?;
            let artifacts =
                async |c: &tasker_core::Client| c.artifacts(TaskId(task), step.as_deref()).await;
            answer(ruby, &this.ask(ruby, artifacts)?)
        })
    }

    pub(crate) fn list(ruby: &Ruby, this: &Self, filter: RString) -> Result<String, Error> {
        guard(ruby, || {
            let filter = this.parsed(ruby, filter, ListFilter::from_json)?;
            answer(ruby, &this.ask(ruby, async |c| c.list(filter).await)?)
        })
    }

    pub(crate) fn failures(ruby: &Ruby, this: &Self, filter: RString) -> Result<String, Error> {
        guard(ruby, || {
            let filter = this.parsed(ruby, filter, FailureFilter::from_json)?;
            answer(ruby, &this.ask(ruby, async |c| c.failures(&filter).await)?)
        })
    }

    pub(crate) fn step_states(ruby: &Ruby, this: &Self, steps: RString) -> Result<String, Error> {
        guard(ruby, || {
            let steps = this.parsed(ruby, steps, step_ids)?;
            answer(ruby, &this.ask(ruby, async |c| c.step_states(&steps).await)?)
        })
    }

    pub(crate) fn compare_templates(
        ruby: &Ruby,
        this: &Self,
        templates: RString,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let two = this.parsed(ruby, templates, TemplatesToCompare::from_json)?;
            answer(ruby, &this.ask(ruby, async |c| c.compare_templates(&two).await)?)
        })
    }

    pub(crate) fn workers(ruby: &Ruby, this: &Self) -> Result<String, Error> {
        guard(ruby, || answer(ruby, &this.ask(ruby, async |c| c.workers().await)?))
    }

    pub(crate) fn open_feed(ruby: &Ruby, this: &Self, opening: RString) -> Result<String, Error> {
        guard(ruby, || {
            let opening = this.parsed(ruby, opening, FeedOpening::from_json)?;
            answer(ruby, &this.ask(ruby, async |c| c.open_feed(&opening).await)?)
        })
    }

    pub(crate) fn read_feed(ruby: &Ruby, this: &Self, reading: RString) -> Result<String, Error> {
        guard(ruby, || {
            let reading = this.parsed(ruby, reading, FeedReading::from_json)?;
            answer(ruby, &this.ask(ruby, async |c| c.read_feed(&reading).await)?)
        })
    }

    pub(crate) fn move_feed(ruby: &Ruby, this: &Self, reading: RString) -> Result<(), Error> {
        guard(ruby, || {
            let reading = this.parsed(ruby, reading, FeedReading::from_json)?;
            this.ask(ruby, async |c| c.move_feed(&reading).await)
        })
    }

    pub(crate) fn forget_feed(ruby: &Ruby, this: &Self, consumer: RString) -> Result<bool, Error> {
        guard(ruby, || {
            let consumer = text(ruby, consumer)?;
            this.ask(ruby, async |c| c.forget_feed(&consumer).await)
        })
    }

    pub(crate) fn prune(ruby: &Ruby, this: &Self, pruning: RString) -> Result<String, Error> {
        guard(ruby, || {
            let pruning = this.parsed(ruby, pruning, Pruning::from_json)?;
            answer(ruby, &this.ask(ruby, async |c| c.prune(&pruning).await)?)
        })
    }

    pub(crate) fn doctor(
        ruby: &Ruby,
        this: &Self,
        old_transaction_ms: u64,
    ) -> Result<String, Error> {
        guard(ruby, || {
            let old = Duration::from_millis(old_transaction_ms);
            answer(ruby, &this.ask(ruby, async |c| c.doctor_with(old).await)?)
        })
    }

    pub(crate) fn close(ruby: &Ruby, this: &Self) -> Result<(), Error> {
        guard(ruby, || {
            this.ask(ruby, async |c| {
                c.close().await;
                Ok(())
            })
        })
    }
}
