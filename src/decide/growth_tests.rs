//! Steps that are added while a task runs, as tables.

use std::sync::Arc;

use chrono::DateTime;

use super::*;
use crate::decision::{
    Claim, ClaimEnd, Growth, Items, Join, Mapped, NewStep, Outcome, Relative, Request,
    ResolvedStep, Room, Step, Task,
};
use crate::ids::{StepId, TaskId, WorkerId};
use crate::join_policy::JoinPolicy;
use crate::state::{StepEvent, StepState, TaskState};

const TASK: TaskId = TaskId(5);
const WORKER: WorkerId = WorkerId(9);

fn claim(index: u32) -> Claim {
    Claim { step: TASK.step(index), attempt: 1, worker: WORKER }
}

/// A task with step 0 in progress, step 1 pending on it, and a template of three positions.
fn view() -> View {
    let mut view = View::default();
    let task = Task {
        id: TASK,
        state: TaskState::InProgress,
        runnable: 1,
        waiting: 0,
        blocked: 0,
        failures: 0,
        is_child: false,
    };
    view.tasks.insert(TASK, task);
    let running = Step {
        attempts: 1,
        worker: Some(WORKER),
        ..Step::new(TASK.step(0), StepState::InProgress, Join::default())
    };
    let join = Join { parents: 1, ..Join::default() };
    view.steps.insert(TASK.step(0), running);
    view.steps.insert(TASK.step(1), Step::new(TASK.step(1), StepState::Pending, join));
    view.children.insert(TASK.step(0), vec![TASK.step(1)]);
    view.children.insert(TASK.step(1), vec![]);
    view.grown.next.insert(TASK, 3);
    view
}

fn told(parents: Vec<Relative>, before: Vec<StepId>) -> ResolvedStep {
    ResolvedStep {
        prototype: 2,
        join: JoinPolicy::AllComplete,
        delay: None,
        elsewhere: false,
        parents,
        before,
    }
}

fn after_itself(before: Vec<StepId>) -> ResolvedStep {
    told(vec![Relative::Existing(TASK.step(0))], before)
}

/// Step 0 returns and adds these steps.
fn grow(view: &mut View, steps: Vec<ResolvedStep>, room: usize) -> Decisions {
    let new = |index: usize| NewStep {
        name: format!("n{index}").into(),
        like: "dynamic".to_owned(),
        inputs: "{}".into(),
        depends_on: Some(vec![format!("p{index}"); steps[index].parents.len()]),
        before: vec![format!("b{index}"); steps[index].before.len()],
    };
    let growth = Growth { steps: (0..steps.len()).map(new).collect() };
    view.grown.resolved.insert(TASK.step(0), Ok(steps));
    let outcome = Outcome::Grew("1".into(), Arc::new(growth));
    see(view, vec![ClaimEnd { claim: claim(0), outcome, execution: None }], room).unwrap()
}

fn see(view: &View, ends: Vec<ClaimEnd>, room: usize) -> Result<Decisions, Undecided> {
    let room = (room > 0).then_some(Room { worker: WORKER, steps: room });
    let seen = Observation::ClaimsEnded { ends, room };
    decide(view, &seen, DateTime::UNIX_EPOCH, Jitter(1))
}

fn added(decisions: &Decisions, index: usize) -> (StepState, u32, u32) {
    let step = decisions.added.steps[index].step;
    (step.state, step.open_parents, step.failed_parents)
}

#[test]
fn a_step_that_is_added_gets_ready_with_the_attempt_that_adds_it() {
    let decisions = grow(&mut view(), vec![after_itself(vec![])], 0);
    assert_eq!(added(&decisions, 0), (StepState::Enqueued, 0, 0));
    assert_eq!(decisions.added.steps[0].step.id, TASK.step(3));
    assert_eq!(decisions.added.edges, [(TASK.step(0), TASK.step(3))]);
    // Step 1 as well.
    assert_eq!(decisions.tasks[0].after.runnable, 2);
}

#[test]
fn whoever_has_room_takes_it() {
    let decisions = grow(&mut view(), vec![after_itself(vec![])], 2);
    let claimed = decisions.steps.iter().filter_map(crate::decision::StepChange::claim);
    assert_eq!(claimed.map(|claim| claim.step).max(), Some(TASK.step(3)));
    assert_eq!(added(&decisions, 0), (StepState::Pending, 2, 0));
}

#[test]
fn a_step_waits_for_those_that_are_added_with_it_and_before_it() {
    let chain = vec![after_itself(vec![]), told(vec![Relative::Added(0)], vec![TASK.step(1)])];
    let decisions = grow(&mut view(), chain, 0);
    assert_eq!(added(&decisions, 0), (StepState::Enqueued, 0, 0));
    assert_eq!(added(&decisions, 1), (StepState::Pending, 1, 0));
    let other = decisions.steps.iter().find(|change| change.after.id == TASK.step(1)).unwrap();
    assert_eq!((other.after.state, other.after.open_parents), (StepState::Pending, 1));
    let counts: Vec<_> = decisions.added.parents.iter().map(|c| (c.step, c.parents)).collect();
    assert_eq!(counts, [(TASK.step(1), 2), (TASK.step(3), 1), (TASK.step(4), 1)]);
}

#[test]
fn parents_that_are_done_count_by_what_they_did() {
    let mut view = view();
    for (index, state) in [(6, StepState::Complete), (7, StepState::Skipped), (8, StepState::Error)]
    {
        view.steps.insert(TASK.step(index), Step::new(TASK.step(index), state, Join::default()));
        view.children.insert(TASK.step(index), vec![]);
    }
    view.tasks.get_mut(&TASK).unwrap().failures = 1;
    let on = |index| told(vec![Relative::Existing(TASK.step(index))], vec![]);
    let decisions = grow(&mut view, vec![on(6), on(7), on(8), told(vec![], vec![])], 0);
    assert_eq!(added(&decisions, 0), (StepState::Enqueued, 0, 0));
    let skipped = decisions.steps.iter().find(|change| change.after.id == TASK.step(4)).unwrap();
    assert_eq!(skipped.event, Some(StepEvent::Skipped));
    // The failure held nothing up but the task, and holds this step up from now on.
    assert_eq!(added(&decisions, 2), (StepState::Pending, 0, 1));
    assert_eq!(decisions.tasks[0].after.failures, 1);
    assert_eq!(added(&decisions, 3), (StepState::Enqueued, 0, 0));
}

#[test]
fn what_must_not_be_added_fails_the_attempt_and_adds_nothing() {
    let mut many = view();
    many.grown.next.insert(TASK, (1 << 20) - 1);
    let mut running = view();
    running.steps.get_mut(&TASK.step(1)).unwrap().state = StepState::Enqueued;
    let on_pending = told(vec![Relative::Existing(TASK.step(1))], vec![]);
    for (mut view, steps, problem) in [
        (many, vec![after_itself(vec![]); 2], "1048576 steps"),
        (view(), vec![on_pending], "and that is pending"),
        (running, vec![after_itself(vec![TASK.step(1)])], "and that is enqueued"),
    ] {
        let decisions = grow(&mut view, steps, 0);
        assert_eq!(decisions.added, crate::decision::Added::default());
        let ended = decisions.steps[0].ended.clone().unwrap();
        let error = ended.error.unwrap();
        assert!(error.contains("INVALID_GROWTH") && error.contains(problem), "{error}");
        assert_eq!(decisions.steps[0].after.state, StepState::Error);
    }
}

#[test]
fn a_task_gets_as_many_steps_as_it_may_have() {
    let mut view = view();
    view.grown.next.insert(TASK, (1 << 20) - 2);
    let decisions = grow(&mut view, vec![after_itself(vec![]); 2], 0);
    assert_eq!(decisions.added.steps.len(), 2);
    assert_eq!(decisions.added.steps[1].step.id, TASK.step((1 << 20) - 1));

    let mut items = |next: u32| {
        view.grown.next.insert(TASK, next);
        let decisions = map_in(&view, 2, None);
        (decisions.added.steps.len(), decisions.steps[0].after.state)
    };
    assert_eq!(items((1 << 20) - 2), (2, StepState::Pending));
    assert_eq!(items((1 << 20) - 1), (0, StepState::Error));
}

#[test]
fn an_end_that_is_not_current_adds_nothing() {
    let mut view = view();
    view.steps.get_mut(&TASK.step(0)).unwrap().attempts = 2;
    let decisions = grow(&mut view, vec![after_itself(vec![])], 0);
    assert_eq!((decisions.stale.len(), decisions.added.steps.len()), (1, 0));
}

fn map(values: usize, max_parallel: Option<u32>) -> Decisions {
    map_in(&view(), values, max_parallel)
}

fn map_in(view: &View, values: usize, max_parallel: Option<u32>) -> Decisions {
    let values = vec![Arc::from("1"); values];
    let items = Items { name: "resize".to_owned(), values, max_parallel };
    let outcome = Outcome::Mapped(Arc::new(items));
    see(view, vec![ClaimEnd { claim: claim(0), outcome, execution: None }], 0).unwrap()
}

#[test]
fn a_map_step_waits_for_its_items() {
    let decisions = map(3, Some(2));
    let change = &decisions.steps[0];
    assert_eq!((change.event, change.after.state), (Some(StepEvent::Mapped), StepState::Pending));
    assert_eq!((change.after.open_parents, change.after.attempts), (3, 0));
    let states: Vec<_> = (0..3).map(|index| added(&decisions, index).0).collect();
    assert_eq!(states, [StepState::Enqueued, StepState::Enqueued, StepState::Pending]);
    assert_eq!(&*decisions.added.steps[2].name, "resize[2]");
    assert_eq!(decisions.tasks[0].after.runnable, 2);
    assert_eq!(decisions.added.parents.last().unwrap().first_item, Some(TASK.step(3)));
}

/// Step 0 waits for so many items, of which the first `running` run and the others wait for their turn.
fn mapped(items: u32, running: u32, tolerate: Option<u32>) -> View {
    let mut view = view();
    let map = view.steps.get_mut(&TASK.step(0)).unwrap();
    *map = Step {
        open_parents: items,
        ..Step::new(TASK.step(0), StepState::Pending, Join { parents: items, ..Join::default() })
    };
    for index in 0..items {
        let id = TASK.step(3 + index);
        let runs = index < running;
        let state = if runs { StepState::InProgress } else { StepState::Pending };
        let step = Step::new(id, state, Join::default());
        let step = if runs {
            Step { attempts: 1, worker: Some(WORKER), ..step }
        } else {
            Step { open_parents: 1, ..step }
        };
        view.steps.insert(id, step);
        view.children.insert(id, vec![TASK.step(0)]);
    }
    view.tasks.get_mut(&TASK).unwrap().runnable = running;
    let max_parallel = (running < items).then_some(running);
    let mapped = Mapped { first: TASK.step(3), items, max_parallel, tolerate };
    view.grown.maps.insert(TASK.step(0), mapped);
    view
}

fn ends(of: &[u32], outcome: &Outcome) -> Vec<ClaimEnd> {
    let end = |index: &u32| ClaimEnd {
        claim: claim(3 + index),
        outcome: outcome.clone(),
        execution: None,
    };
    of.iter().map(end).collect()
}

fn failed() -> Outcome {
    let kind = crate::decision::FailureKind::Permanent;
    Outcome::Failed(crate::decision::Failure::new(kind, "A", "b"))
}

fn change(decisions: &Decisions, index: u32) -> &crate::decision::StepChange {
    decisions.steps.iter().find(|change| change.after.id == TASK.step(index)).unwrap()
}

#[test]
fn each_item_that_ends_lets_one_more_begin() {
    let view = mapped(5, 2, Some(0));
    let decisions = see(&view, ends(&[1], &Outcome::Succeeded("1".into())), 0).unwrap();
    assert_eq!(change(&decisions, 5).after.state, StepState::Enqueued);
    assert!(!decisions.steps.iter().any(|change| change.after.id == TASK.step(6)));
    let both = see(&view, ends(&[0, 1], &Outcome::Succeeded("1".into())), 0).unwrap();
    assert_eq!(change(&both, 6).after.state, StepState::Enqueued);
}

#[test]
fn the_item_whose_turn_it_is_must_be_seen() {
    let mut view = mapped(5, 2, Some(0));
    view.steps.remove(&TASK.step(5));
    let asked = see(&view, ends(&[1], &Outcome::Succeeded("1".into())), 0);
    assert_eq!(asked, Err(Undecided::UnseenSteps(vec![TASK.step(5)])));
}

#[test]
fn a_map_step_completes_with_its_last_item_and_its_children_get_ready() {
    let view = mapped(2, 2, Some(0));
    let decisions = see(&view, ends(&[0, 1], &Outcome::Succeeded("1".into())), 0).unwrap();
    let map = change(&decisions, 0);
    assert_eq!((map.event, map.after.state), (Some(StepEvent::ItemsDone), StepState::Complete));
    let results: serde_json::Value = serde_json::from_str(map.results.as_ref().unwrap()).unwrap();
    let expected = serde_json::json!({ "items": 2, "complete": 2, "failed": 0, "skipped": 0 });
    assert_eq!(results, expected);
    assert_eq!(change(&decisions, 1).after.state, StepState::Enqueued);
}

#[test]
fn failures_that_are_tolerated_complete_a_map_step_and_others_hold_it_up() {
    let tolerant = see(&mapped(2, 2, Some(2)), ends(&[0, 1], &failed()), 0).unwrap();
    assert_eq!(change(&tolerant, 0).after.state, StepState::Complete);
    assert_eq!(tolerant.tasks[0].after.failures, 0);
    let strict = see(&mapped(2, 2, Some(1)), ends(&[0, 1], &failed()), 0).unwrap();
    assert_eq!(change(&strict, 0).after.state, StepState::Pending);
    let task = strict.tasks[0].after;
    assert_eq!((task.failures, task.state), (2, TaskState::Error));
}

#[test]
fn only_items_count_for_a_map_step_that_has_begun() {
    let mut view = mapped(2, 2, Some(0));
    let late = Step {
        attempts: 1,
        worker: Some(WORKER),
        ..Step::new(TASK.step(9), StepState::InProgress, Join::default())
    };
    view.steps.insert(TASK.step(9), late);
    view.children.insert(TASK.step(9), vec![TASK.step(0)]);
    let decisions = see(&view, ends(&[6], &Outcome::Succeeded("1".into())), 0).unwrap();
    assert!(!decisions.steps.iter().any(|change| change.after.id == TASK.step(0)));
}

#[test]
fn a_map_step_is_not_left_out_while_items_wait_for_their_turn() {
    let skip = |view: &View| {
        let request = Request { actor: "mara".to_owned(), reason: None, seen: None };
        let seen = Observation::SkipRequested { step: TASK.step(0), request };
        decide(view, &seen, DateTime::UNIX_EPOCH, Jitter(1))
    };
    let refused = skip(&mapped(5, 2, Some(0))).unwrap_err();
    assert!(refused.to_string().contains("while 3 of its items wait for their turn"), "{refused}");
    assert!(skip(&mapped(2, 2, Some(0))).is_ok());
}

fn late(view: &View, index: u32) -> Result<Decisions, Undecided> {
    let (step, deadline) = (TASK.step(index), DateTime::UNIX_EPOCH);
    let kind = crate::decision::FailureKind::Timeout;
    let failure = crate::decision::Failure::new(kind, "Timeout", "too late");
    decide(
        view,
        &Observation::StepLate { step, deadline, failure },
        DateTime::UNIX_EPOCH,
        Jitter(1),
    )
}

#[test]
fn an_item_that_is_late_has_failed_and_the_next_one_begins() {
    let view = mapped(3, 1, Some(1));
    let decisions = late(&view, 3).unwrap();
    let item = change(&decisions, 3);
    assert_eq!((item.event, item.after.state), (Some(StepEvent::TimedOut), StepState::Error));
    assert_eq!(change(&decisions, 4).after.state, StepState::Enqueued);
    let map = change(&decisions, 0).after;
    assert_eq!((map.state, map.open_parents, map.failed_parents), (StepState::Pending, 2, 1));
    // One that waits for its turn has no time yet.
    assert_eq!(late(&view, 4).unwrap().steps, []);
}

#[test]
fn the_last_item_completes_a_map_step_also_when_it_is_late() {
    let decisions = late(&mapped(1, 1, Some(1)), 3).unwrap();
    assert_eq!(change(&decisions, 0).event, Some(StepEvent::ItemsDone));
    let strict = late(&mapped(1, 1, Some(0)), 3).unwrap();
    assert_eq!(change(&strict, 0).after.state, StepState::Pending);
    assert_eq!(strict.tasks[0].after.state, TaskState::Error);
}
