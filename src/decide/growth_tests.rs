//! Steps that are added while a task runs, as tables.

use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::budget::{Budget, Constraint, Limits};
use crate::decision::{
    Claim, ClaimEnd, GivenUp, Growth, Items, Join, Mapped, NewStep, Outcome, Relative, Request,
    ResolvedStep, Room, Step, StepChange, Task,
};
use crate::ids::{StepId, TaskId, WorkerId};
use crate::join_policy::JoinPolicy;
use crate::state::{StepEvent, StepState, TaskEvent, TaskState};

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
        priority: 0,
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

/// The first failure was one too many.
fn given_up() -> Outcome {
    Outcome::ItemGivenUp(GivenUp { failed: 1, tolerate: 0 })
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
fn failures_that_are_tolerated_complete_a_map_step_and_others_fail_it() {
    let tolerant = see(&mapped(2, 2, Some(2)), ends(&[0, 1], &failed()), 0).unwrap();
    assert_eq!(change(&tolerant, 0).after.state, StepState::Complete);
    assert_eq!(tolerant.tasks[0].after.failures, 0);
    let strict = see(&mapped(2, 2, Some(1)), ends(&[0, 1], &failed()), 0).unwrap();
    let map = change(&strict, 0);
    assert_eq!((map.event, map.after.state), (Some(StepEvent::ItemsFailed), StepState::Error));
    assert_eq!(map.detail.as_deref(), Some(r#"{"failed":2,"items":2,"tolerate":1}"#));
    assert_eq!((map.after.open_parents, map.after.failed_parents), (0, 2));
    let child = change(&strict, 1).after;
    assert_eq!((child.open_parents, child.failed_parents), (0, 1));
    let task = strict.tasks[0].after;
    assert_eq!((task.failures, task.state), (1, TaskState::Error));
}

#[test]
fn an_item_that_is_given_up_has_failed_without_an_attempt_which_its_task_has_left() {
    let mut view = mapped(3, 2, Some(0));
    let limits = Limits { attempts: NonZeroU32::new(2), cost: None };
    view.budgets.insert(TASK, Budget { limits, attempts: 2, ..Budget::default() });
    let ended = [ends(&[0], &failed()), ends(&[1], &given_up())].concat();
    let decisions = see(&view, ended, 0).unwrap();
    let item = change(&decisions, 4);
    assert_eq!((item.event, item.after.state), (Some(StepEvent::ItemGivenUp), StepState::Error));
    assert_eq!((item.after.attempts, item.after.failures, &item.ended), (0, 0, &None));
    assert_eq!(item.detail.as_deref(), Some(r#"{"failed":1,"tolerate":0}"#));
    assert_eq!(decisions.budgets[0].1.attempts, 1);
    let map = change(&decisions, 0).after;
    assert_eq!((map.state, map.open_parents, map.failed_parents), (StepState::Pending, 1, 2));
    // It was not the budget that ended it.
    apply(&mut view, &decisions);
    view.budgets.extend(decisions.budgets);
    let seen = Observation::StepsClaimed { worker: WORKER, steps: vec![TASK.step(5)] };
    let claimed = decide(&view, &seen, DateTime::UNIX_EPOCH, Jitter(1)).unwrap();
    apply(&mut view, &claimed);
    view.budgets.extend(claimed.budgets);
    let last = see(&view, ends(&[2], &given_up()), 0).unwrap();
    assert_eq!(change(&last, 0).event, Some(StepEvent::ItemsFailed));
    assert_eq!(last.tasks[0].event, Some(TaskEvent::Failed));
}

const WHY: GivenUp = GivenUp { failed: 1, tolerate: 0 };

#[test]
fn items_that_have_not_begun_end_with_one_that_is_given_up_and_the_one_after_them_begins() {
    let mut view = mapped(6, 2, Some(0));
    let first = see(&view, ends(&[0], &failed()), 0).unwrap();
    apply(&mut view, &first);
    assert_eq!(view.steps[&TASK.step(5)].state, StepState::Enqueued);
    view.given_up = [5, 6].map(|index| (TASK.step(index), WHY)).into();
    let decisions = see(&view, ends(&[1], &given_up()), 0).unwrap();
    for index in [4, 5, 6] {
        let item = change(&decisions, index);
        assert_eq!((item.event, item.after.attempts), (Some(StepEvent::ItemGivenUp), 0));
        assert_eq!(item.detail.as_deref(), Some(r#"{"failed":1,"tolerate":0}"#));
    }
    let states = [5, 6].map(|index| change(&decisions, index).before.state);
    assert_eq!(states, [StepState::Enqueued, StepState::Pending]);
    assert_eq!(change(&decisions, 7).after.state, StepState::Enqueued);
    let map = change(&decisions, 0).after;
    assert_eq!((map.state, map.open_parents, map.failed_parents), (StepState::Pending, 2, 4));
    apply(&mut view, &decisions);
    check_all(&view, view.grown.maps[&TASK.step(0)]);
}

#[test]
fn an_item_that_has_begun_is_not_given_up() {
    let mut view = mapped(2, 1, Some(0));
    let id = TASK.step(4);
    let again = Step::new(id, StepState::WaitingForRetry, Join::default());
    view.steps.insert(id, Step { attempts: 1, failures: 1, ..again });
    view.given_up.insert(id, WHY);
    let refused = see(&view, ends(&[0], &given_up()), 0).unwrap_err();
    assert!(matches!(refused, Undecided::Transition(_)), "{refused}");
}

#[test]
fn an_item_is_given_up_and_not_refused_by_a_budget_where_others_failed_first() {
    let mut view = mapped(3, 1, Some(0));
    view.budgets.insert(TASK, used_up(1));
    let first = see(&view, ends(&[0], &failed()), 0).unwrap();
    apply(&mut view, &first);
    view.given_up.insert(TASK.step(4), WHY);
    let claim = |view: &View, index| {
        let seen = Observation::StepsClaimed { worker: WORKER, steps: vec![TASK.step(index)] };
        decide(view, &seen, DateTime::UNIX_EPOCH, Jitter(1)).unwrap()
    };
    let second = claim(&view, 4);
    let item = change(&second, 4);
    assert_eq!((item.event, item.after.attempts), (Some(StepEvent::ItemGivenUp), 0));
    assert_eq!((second.budgets.as_slice(), second.resumed[&TASK]), (&[][..], 2));
    assert_eq!(change(&second, 5).after.state, StepState::Enqueued);
    apply(&mut view, &second);
    // Of one that an operator has had tried again, the budget decides.
    let third = claim(&view, 5);
    assert_eq!(change(&third, 5).event, Some(StepEvent::BudgetExhausted));
    assert_eq!(third.tasks[0].event, Some(TaskEvent::BudgetExhausted));
}

#[test]
fn items_whose_turn_has_not_come_are_refused_by_a_budget_with_one_that_was_claimed() {
    let mut view = mapped(6, 2, Some(0));
    view.budgets.insert(TASK, used_up(2));
    let first = see(&view, ends(&[0], &Outcome::Succeeded("1".into())), 0).unwrap();
    apply(&mut view, &first);
    let steps = [5, 6, 7].map(|index| TASK.step(index)).to_vec();
    let seen = Observation::StepsClaimed { worker: WORKER, steps };
    let decisions = decide(&view, &seen, DateTime::UNIX_EPOCH, Jitter(1)).unwrap();
    for index in [5, 6, 7] {
        let item = change(&decisions, index);
        assert_eq!((item.event, item.after.attempts), (Some(StepEvent::BudgetExhausted), 0));
        assert_eq!(item.after.open_parents, 0);
    }
    let states = [5, 6].map(|index| change(&decisions, index).before.state);
    assert_eq!(states, [StepState::Enqueued, StepState::Pending]);
    assert_eq!(change(&decisions, 8).after.state, StepState::Enqueued);
    assert_eq!(
        decisions.budgets[0].1,
        Budget { exhausted: Some(Constraint::Attempts), ..used_up(2) }
    );
    apply(&mut view, &decisions);
    check_all(&view, view.grown.maps[&TASK.step(0)]);
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
        let seen = Observation::SkipRequested { step: TASK.step(0), request: request() };
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
    assert_eq!(change(&strict, 0).after.state, StepState::Error);
    assert_eq!(strict.tasks[0].after.state, TaskState::Error);
}

fn request() -> Request {
    Request { actor: "mara".to_owned(), reason: None, seen: None }
}

fn retry(view: &View, steps: &[u32]) -> Result<Decisions, Undecided> {
    let steps = steps.iter().map(|step| TASK.step(*step)).collect();
    let seen = Observation::RetryRequested { steps, request: request() };
    decide(view, &seen, DateTime::UNIX_EPOCH, Jitter(1))
}

fn apply(view: &mut View, decisions: &Decisions) {
    for change in &decisions.steps {
        let StepChange { before, after, event, .. } = change;
        assert_eq!(view.steps.insert(after.id, *after), Some(*before));
        match event {
            Some(event) => assert_eq!(before.state.after(*event), Ok(after.state), "{change:?}"),
            None => assert_eq!(before.state, after.state, "{change:?}"),
        }
    }
    view.tasks.extend(decisions.tasks.iter().map(|change| (TASK, change.after)));
}

#[test]
fn a_map_step_that_has_failed_goes_on_with_an_item_that_is_tried_again() {
    let mut view = mapped(3, 3, Some(1));
    apply(&mut view.clone(), &see(&view, ends(&[2], &failed()), 0).unwrap());
    let all_failed = see(&view, ends(&[0, 1, 2], &failed()), 0).unwrap();
    apply(&mut view, &all_failed);
    let one = retry(&view, &[4]).unwrap();
    let map = change(&one, 0);
    assert_eq!((map.event, map.after.state), (Some(StepEvent::ItemsRetried), StepState::Pending));
    assert_eq!((map.after.open_parents, map.after.failed_parents), (1, 2));
    let child = change(&one, 1).after;
    assert_eq!((child.open_parents, child.failed_parents), (1, 0));
    assert_eq!(one.tasks[0].after.failures, 2);
    // By itself it does nothing: what there is to be tried again are its items.
    assert_eq!(retry(&view, &[0]).unwrap().steps, []);
    let all = retry(&view, &[0, 3, 4, 5]).unwrap();
    assert_eq!(all.steps.iter().filter(|c| c.event == Some(StepEvent::Retried)).count(), 3);
    assert_eq!(change(&all, 0).after.open_parents, 3);
    assert_eq!((all.tasks[0].after.failures, all.tasks[0].after.runnable), (0, 3));
}

#[test]
fn items_that_are_left_out_complete_a_map_step_that_has_failed() {
    let mut view = mapped(3, 3, Some(0));
    apply(&mut view.clone(), &see(&view, ends(&[2], &failed()), 0).unwrap());
    let ended = [ends(&[0, 1], &failed()), ends(&[2], &Outcome::Succeeded("1".into()))].concat();
    let ended = see(&view, ended, 0).unwrap();
    apply(&mut view, &ended);
    let skip = |view: &View, step| {
        let seen = Observation::SkipRequested { step: TASK.step(step), request: request() };
        decide(view, &seen, DateTime::UNIX_EPOCH, Jitter(1)).unwrap()
    };
    let first = skip(&view, 3);
    let map = change(&first, 0);
    assert_eq!((map.event, map.after.state), (None, StepState::Error));
    assert_eq!((map.after.failed_parents, map.after.skipped_parents), (1, 1));
    apply(&mut view, &first);
    let second = skip(&view, 4);
    let map = change(&second, 0);
    assert_eq!((map.event, map.after.state), (Some(StepEvent::ItemsDone), StepState::Complete));
    let results = r#"{"complete":1,"failed":0,"items":3,"skipped":2}"#;
    assert_eq!(map.results.as_deref(), Some(results));
    assert_eq!(change(&second, 1).after.state, StepState::Enqueued);
    assert_eq!(second.tasks[0].after.failures, 0);
}

/// Step 1 depends on step 0, the map step with these items, and on step 2.
fn mapped_beside(items: u32, most: u32, tolerate: Option<u32>, policy: JoinPolicy) -> View {
    let mut view = mapped(items, most.min(items), tolerate);
    let join = Join { policy, parents: 2 };
    view.steps.insert(TASK.step(1), Step::new(TASK.step(1), StepState::Pending, join));
    let beside = Step::new(TASK.step(2), StepState::InProgress, Join::default());
    view.steps.insert(TASK.step(2), Step { attempts: 1, worker: Some(WORKER), ..beside });
    view.children.insert(TASK.step(2), vec![TASK.step(1)]);
    view.tasks.get_mut(&TASK).unwrap().runnable += 1;
    view
}

/// Items that have not begun.
fn unbegun(view: &View) -> impl Iterator<Item = StepId> {
    let mapped = view.grown.maps[&TASK.step(0)];
    let is_unbegun = |state| matches!(state, StepState::Pending | StepState::Enqueued);
    let items = view.steps.values().filter(move |step| mapped.has(step.id) && step.attempts == 0);
    items.filter(move |step| is_unbegun(step.state)).map(|step| step.id)
}

fn used_up(attempts: u32) -> Budget {
    let limits = Limits { attempts: NonZeroU32::new(attempts), cost: None };
    Budget { limits, attempts, ..Budget::default() }
}

/// One of the things that may become of a step; nothing where it is not allowed.
fn happen(view: &View, what: u8, pick: usize) -> Option<Decisions> {
    let pick_of = |states: &[StepState]| {
        let steps = view.steps.values().filter(|step| states.contains(&step.state));
        let steps: Vec<_> = steps.copied().collect();
        (!steps.is_empty()).then(|| steps[pick % steps.len()])
    };
    let ended = |outcome| {
        let claim = pick_of(&[StepState::InProgress])?.claim().unwrap();
        see(view, vec![ClaimEnd { claim, outcome, execution: None }], pick % 3).ok()
    };
    let enqueued = view.steps.values().filter(|step| step.state == StepState::Enqueued);
    let steer = |seen| decide(view, &seen, DateTime::UNIX_EPOCH, Jitter(1)).ok();
    match what {
        0 => {
            let steps = enqueued.map(|step| step.id).collect();
            let seen = Observation::StepsClaimed { worker: WORKER, steps };
            Some(decide(view, &seen, DateTime::UNIX_EPOCH, Jitter(1)).unwrap())
        }
        1 => ended(Outcome::Succeeded("1".into())),
        2 | 3 => ended(failed()),
        4 => {
            let kind = crate::decision::FailureKind::Blocked;
            ended(Outcome::Failed(crate::decision::Failure::new(kind, "A", "b")))
        }
        5 => {
            let step = pick_of(&[StepState::Error, StepState::Blocked])?.id;
            steer(Observation::RetryRequested { steps: vec![step], request: request() })
        }
        6 => {
            let stuck = |step: &&Step| matches!(step.state, StepState::Error | StepState::Blocked);
            let steps = view.steps.values().filter(stuck).map(|step| step.id).collect();
            steer(Observation::RetryRequested { steps, request: request() })
        }
        7 => {
            let step = pick_of(&[StepState::Error, StepState::Blocked, StepState::Pending])?.id;
            steer(Observation::SkipRequested { step, request: request() })
        }
        8 => {
            let mapped = view.grown.maps[&TASK.step(0)];
            let is_new = |step: &&Step| mapped.has(step.id) && step.attempts == 1;
            let claim = view.steps.values().filter(is_new).find_map(Step::claim)?;
            let others = unbegun(view).skip(pick % 2).take(pick % 4);
            let mut view = view.clone();
            view.given_up = others.map(|item| (item, WHY)).collect();
            let end = ClaimEnd { claim, outcome: given_up(), execution: None };
            Some(see(&view, vec![end], pick % 3).unwrap())
        }
        9 => {
            let steps = unbegun(view).skip(pick % 2).take(pick % 4).collect();
            let mut view = view.clone();
            view.budgets.insert(TASK, used_up(1));
            let seen = Observation::StepsClaimed { worker: WORKER, steps };
            Some(decide(&view, &seen, DateTime::UNIX_EPOCH, Jitter(1)).unwrap())
        }
        _ => {
            let step = pick_of(&[StepState::Error, StepState::Blocked, StepState::InProgress])?.id;
            let (results, request) = ("1".into(), request());
            steer(Observation::ResolveRequested { step, results, taken: None, request })
        }
    }
}

/// Every counter is what a recount says, and no step is held up that could go on.
fn check_all(view: &View, mapped: Mapped) {
    let map = view.steps[&TASK.step(0)];
    let parents = |step: &Step| -> Vec<Step> {
        let is_parent = |other: &&Step| view.children[&other.id].contains(&step.id);
        view.steps.values().filter(is_parent).copied().collect()
    };
    let count = |parents: &[Step], of: &[StepState]| {
        u32::try_from(parents.iter().filter(|parent| of.contains(&parent.state)).count()).unwrap()
    };
    let mut failures = 0;
    for step in view.steps.values() {
        let parents = parents(step);
        let failed = count(&parents, &[StepState::Error]);
        let skipped = count(&parents, &[StepState::Skipped]);
        let complete = count(&parents, &[StepState::Complete, StepState::ResolvedManually]);
        let open = u32::try_from(parents.len()).unwrap() - failed - skipped - complete;
        let kept = [step.open_parents, step.failed_parents, step.skipped_parents];
        let is_map = step.id == map.id;
        match step.state {
            StepState::Pending if mapped.has(step.id) => assert_eq!(kept, [1, 0, 0], "{step:?}"),
            StepState::Pending => {
                assert_eq!(kept, [open, failed, skipped], "{step:?}");
                failures += failed;
                assert!(open > 0 || !is_map, "{step:?}");
                assert!(is_map || readiness::verdict(step) == readiness::Verdict::Wait, "{step:?}");
            }
            StepState::Error if is_map => {
                assert_eq!(kept, [0, failed, skipped], "{step:?}");
                assert_eq!(open, 0, "{step:?}");
                assert!(mapped.tolerate.is_some_and(|most| failed > most), "{step:?}");
            }
            StepState::Error
            | StepState::Enqueued
            | StepState::InProgress
            | StepState::WaitingForRetry
            | StepState::Waiting
            | StepState::Blocked
            | StepState::Complete
            | StepState::Skipped
            | StepState::Cancelled
            | StepState::ResolvedManually => assert_eq!(kept, [0; 3], "{step:?}"),
        }
        let ends_nothing = step.state == StepState::Error && view.children[&step.id].is_empty();
        failures += u32::from(ends_nothing);
    }
    assert_eq!(view.tasks[&TASK].failures, failures);
}

proptest! {
    #[test]
    fn whatever_becomes_of_items_a_map_step_counts_them_and_ends_with_the_last(
        (items, most) in (1_u32..5, 1_u32..5),
        tolerate in prop::option::of(0_u32..3),
        policy in prop::sample::select(vec![
            JoinPolicy::AllComplete, JoinPolicy::AllDone, JoinPolicy::AnyComplete, JoinPolicy::NoneFailed,
            JoinPolicy::Quorum(2),
        ]),
        turns in prop::collection::vec((0_u8..11, any::<usize>()), 1..40),
    ) {
        let mut view = mapped_beside(items, most, tolerate, policy);
        let mapped = view.grown.maps[&TASK.step(0)];
        check_all(&view, mapped);
        for (what, pick) in turns {
            let Some(decisions) = happen(&view, what, pick) else { continue };
            apply(&mut view, &decisions);
            check_all(&view, mapped);
        }
    }
}
