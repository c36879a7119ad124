//! A recount of the tasks that a transaction has changed.

use crate::ids::{StepId, TaskId};
use crate::simulation::tables::{Tables, Tally, steps_of};
use crate::state::{StepState, TaskState};

use super::{COMPLETE, Watch, count, is_held, satisfied};

impl Watch {
    /// Every counter and state of a task must be what a recount says.
    pub(in crate::simulation) fn recount(&mut self, tables: &Tables, id: TaskId) {
        let Some(record) = tables.tasks.get(&id) else {
            return self.violated(format!("steps of task {id} exist without it"));
        };
        for record in tables.recorded_ends.range(steps_of(id)).map(|(_, record)| record) {
            if !is_held(tables, record.claim) {
                let step = record.claim.step;
                self.violated(format!("the end of step {step} is recorded, and its claim is over"));
            }
        }
        let task = record.task;
        let mut counted = [0_u32; 4];
        let (mut pending, mut in_error) = (0, 0);
        for (step, found) in tables.steps.range(steps_of(id)) {
            in_error += u32::from(found.state == StepState::Error);
            let counter = match found.state {
                StepState::Enqueued | StepState::InProgress => Some(0),
                StepState::WaitingForRetry | StepState::Waiting => Some(1),
                StepState::Blocked => Some(2),
                StepState::Pending
                | StepState::Complete
                | StepState::Error
                | StepState::Skipped
                | StepState::Cancelled
                | StepState::ResolvedManually => None,
            };
            if let Some(counter) = counter {
                counted[counter] += 1;
            }
            let tally = tables.tally(*step);
            if found.state == StepState::Pending {
                pending += 1;
                counted[3] += tally.failed;
            } else if found.state == StepState::Error && tables.children(*step).next().is_none() {
                counted[3] += 1;
            }
            self.recount_step(tables, *step, task.state, tally);
            self.items_take_turns(tables, *step);
        }
        let steps = count(tables.steps.range(steps_of(id)).count());
        if record.total_steps != steps {
            let total = record.total_steps;
            self.violated(format!("task {id} says that it has {total} steps, and has {steps}"));
        }
        let kept = [task.runnable, task.waiting, task.blocked, task.failures];
        if kept != counted {
            self.violated(format!("task {id} counts {kept:?}, and its steps are {counted:?}"));
        }
        if matches!(task.state, TaskState::Complete | TaskState::Cancelled) && pending > 0 {
            let state = task.state;
            self.violated(format!("task {id} is {state} with {pending} steps pending"));
        }
        let undoes = tables.template(record.template).is_some_and(|one| one.undoes.is_some());
        if task.state == TaskState::Complete && undoes && in_error > 0 {
            self.violated(format!("task {id} is complete, and {in_error} steps are not undone"));
        }
        self.state_follows(id, task.state, counted);
    }

    pub(super) fn state_follows(
        &mut self,
        id: TaskId,
        state: TaskState,
        [runnable, waiting, blocked, failed]: [u32; 4],
    ) {
        let follows = match state {
            TaskState::Complete => runnable + waiting + blocked + failed == 0,
            TaskState::Error => runnable + waiting + blocked == 0 && failed > 0,
            TaskState::Blocked => runnable + waiting == 0 && blocked > 0,
            TaskState::Waiting => runnable == 0 && waiting > 0,
            TaskState::InProgress | TaskState::Pending => runnable > 0,
            TaskState::Cancelled | TaskState::Paused | TaskState::ResolvedManually => true,
        };
        if !follows {
            let counts = [runnable, waiting, blocked, failed];
            self.violated(format!("task {id} is {state}, and its steps are {counts:?}"));
        }
    }

    pub(super) fn recount_step(
        &mut self,
        tables: &Tables,
        id: StepId,
        task: TaskState,
        tally: Tally,
    ) {
        let Some(step) = tables.steps.get(&id) else { return };
        let Tally { all, complete, skipped, failed } = tally;
        let waits_for_turn = tables.waits_for_turn(id);
        let open = all - failed - skipped - complete + u32::from(waits_for_turn);
        if tables.parent_counts.get(&id).is_some_and(|(parents, _)| *parents != all) {
            self.violated(format!("step {id} has {all} parents, and its count says else"));
        }
        let counted = [step.open_parents, step.failed_parents, step.skipped_parents];
        let has_failed_items = step.state == StepState::Error && tables.items(id).is_some();
        let expected = if step.state == StepState::Pending || has_failed_items {
            [open, failed, skipped]
        } else {
            [0; 3]
        };
        if counted != expected {
            let state = step.state;
            self.violated(format!(
                "{state} step {id} counts {counted:?} parents, not {expected:?}"
            ));
        }
        let is_ready = || !waits_for_turn && satisfied(tables, id, tally);
        if step.state == StepState::Pending && (open + failed == 0 || is_ready()) {
            self.violated(format!("step {id} is pending with {counted:?} parents"));
        }
        self.ends_with_its_items(tables, id, open, satisfied(tables, id, tally));
        self.no_signal_is_missed(tables, id);
        let in_queue = tables.ready.get(&id).is_some_and(|ready| ready.queue.is_some());
        if in_queue && task == TaskState::Paused {
            self.violated(format!("step {id} can be claimed, and its task is paused"));
        }
        let (of_step, of_task) = (
            tables.ready.get(&id).map(|ready| ready.priority),
            tables.tasks.get(&id.task()).map(|record| record.task.priority),
        );
        if of_step.is_some() && of_step != of_task {
            self.violated(format!("step {id} has priority {of_step:?}, its task {of_task:?}"));
        }
        if step.state.is_claimable() && !in_queue && task != TaskState::Paused {
            self.violated(format!("step {id} is {} and in no queue", step.state));
        }
        if step.state.is_claimable() != tables.ready.contains_key(&id) {
            self.violated(format!(
                "step {id} is {}, and its place in the queue says else",
                step.state
            ));
        }
        let holder = step.worker.filter(|_| step.state == StepState::InProgress);
        if step.worker != holder || (step.state == StepState::InProgress && holder.is_none()) {
            self.violated(format!("step {id} is {}, and held by {:?}", step.state, step.worker));
        }
        let lists = |worker| {
            tables.batches.values().any(|batch| batch.worker == worker && batch.steps.contains(&id))
        };
        if let Some(worker) = holder.filter(|worker| !lists(*worker)) {
            self.violated(format!(
                "nobody could take step {id} back from worker {worker}: no batch lists it"
            ));
        }
        if task.is_terminal() && !step.state.is_terminal() && step.state != StepState::Pending {
            self.violated(format!(
                "task {} is {task} while step {id} is {}",
                id.task(),
                step.state
            ));
        }
        let template = tables.tasks.get(&id.task()).and_then(|task| tables.template(task.template));
        let limit = template.and_then(|template| template.retry_limits.get(tables.position(id)));
        if limit.is_some_and(|limit| step.failures > *limit) {
            self.violated(format!(
                "step {id} has failed {} times of {limit:?} allowed",
                step.failures
            ));
        }
        if step.failures + step.crashes > step.attempts {
            self.refused(id, "failures and crashes are more than attempts");
        }
        if step.results.is_some() && !COMPLETE.contains(&step.state) {
            self.refused(id, "results of a step that is not complete");
        }
        if step.crashes > tables.crash_limit(id) {
            self.violated(format!("step {id} has taken {} workers along", step.crashes));
        }
    }

    /// A map step is in error exactly when all its items have ended and more of them failed than may; with the last of them it
    /// is no longer pending.
    pub(super) fn ends_with_its_items(
        &mut self,
        tables: &Tables,
        map: StepId,
        open: u32,
        is_well: bool,
    ) {
        let state = tables.steps.get(&map).map(|step| step.state);
        if tables.items(map).is_none() {
            return;
        }
        if state == Some(StepState::Pending) && open == 0 {
            self.violated(format!("step {map} is pending, and all its items have ended"));
        }
        if state == Some(StepState::Error) && (open > 0 || is_well) {
            self.violated(format!("step {map} is in error, and {open} of its items are open"));
        }
    }

    /// No more items of a map step run at a time than may, but for those that operators have to do with.
    pub(super) fn items_take_turns(&mut self, tables: &Tables, map: StepId) {
        let Some((first, items)) = tables.items(map) else { return };
        let Some(most) = tables.map(map).and_then(|map| map.max_parallel) else { return };
        let items = (0..i64::from(items)).filter_map(|n| tables.steps.get(&StepId(first.0 + n)));
        let run =
            items.filter(|item| !item.state.is_terminal() && item.state != StepState::Pending);
        let (run, steered) =
            (count(run.count()), self.steered.get(&map.task()).copied().unwrap_or_default());
        if run > most + steered {
            self.violated(format!("{run} items of step {map} run, and {most} may"));
        }
    }
}
