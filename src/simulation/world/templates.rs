//! The templates of a plan, as their rows are.

use std::time::Duration;

use crate::budget::Cost;
use crate::ids::TemplateId;
use crate::join_policy::JoinPolicy;
use crate::retry_policy::RetryPolicy;
use crate::simulation::plan::{MapPlan, Plan, QUEUES, StepPlan, said, taken};
use crate::simulation::tables::TemplateRecord;
use crate::template::TaskTemplate;

pub(super) fn template(plan: &Plan, number: usize) -> TemplateRecord {
    let steps = &plan.templates[number];
    let index = |step: &usize| u32::try_from(*step).unwrap_or(u32::MAX);
    let mut record = TemplateRecord {
        configuration: plan.declaration(number).to_string(),
        maps: (0..steps.len()).map(|step| plan.map_of(number, step)).collect(),
        grows: (0..steps.len()).map(|step| plan.grows(number, step).is_some()).collect(),
        parents: steps.iter().map(|step| step.parents.iter().map(index).collect()).collect(),
        joins: steps.iter().map(StepPlan::join).collect(),
        taken: (0..steps.len())
            .map(|step| Some(taken(steps, step)?.iter().map(index).collect()))
            .collect(),
        whens: steps.iter().map(|step| step.when).collect(),
        queues: steps.iter().map(|step| QUEUES[step.queue].to_owned()).collect(),
        retry_limits: steps.iter().map(StepPlan::attempts).collect(),
        reserves: steps
            .iter()
            .map(|step| Cost::from_number(step.reserve.into()).unwrap_or_default())
            .collect(),
        limited: steps.iter().map(|step| step.total_timeout.is_some()).collect(),
        transactional: (0..steps.len()).map(|step| plan.is_transactional(number, step)).collect(),
        runs: steps.iter().map(|step| step.runs.is_some()).collect(),
        leaves: (0..steps.len())
            .map(|step| plan.link_of(number, step).is_some_and(|link| link.leave))
            .collect(),
        delays: steps.iter().map(|step| step.delay.unwrap_or_default()).collect(),
        crash_limits: steps.iter().map(|step| crash_limit(step.crash_limit)).collect(),
        by_hand: plan.is_by_hand(number),
        name: format!("t{number}"),
        undoes: None,
    };
    if plan.has_prototype(number) {
        record.parents.push(Vec::new());
        record.joins.push(JoinPolicy::default());
        record.taken.push(None);
        record.whens.push(None);
        record.queues.push(QUEUES[0].to_owned());
        record.retry_limits.push(2);
        record.maps.push(None);
        record.grows.push(false);
        record.limited.push(plan.added_timeout(number).is_some());
        record.transactional.push(false);
        record.runs.push(false);
        record.delays.push(Duration::ZERO);
        record.crash_limits.push(crash_limit(None));
    }
    record
}

fn crash_limit(declared: Option<u32>) -> u32 {
    declared.unwrap_or(RetryPolicy::DEFAULT.crash_limit)
}

/// The template that undoes tasks of another one, as registering that one makes it.
pub(super) fn undoing(of: TemplateId, record: &TemplateRecord) -> Option<TemplateRecord> {
    let template = TaskTemplate::from_json(&record.configuration).ok()?;
    let undoing = template.compensation().ok()??;
    let steps = undoing.steps();
    let all = 0..u32::try_from(steps.len()).unwrap_or(0);
    Some(TemplateRecord {
        configuration: undoing.to_json(),
        parents: all.map(|step| undoing.graph().parents(step).to_vec()).collect(),
        joins: steps.iter().map(|step| step.join).collect(),
        taken: vec![None; steps.len()],
        whens: vec![None; steps.len()],
        queues: steps.iter().map(|step| step.queue.clone()).collect(),
        retry_limits: steps.iter().map(|step| step.retry_policy.max_attempts()).collect(),
        maps: steps
            .iter()
            .map(|step| step.map.as_ref())
            .map(|map| Some(MapPlan { items: 0, max_parallel: None, tolerate: map?.tolerate }))
            .collect(),
        grows: vec![false; steps.len()],
        limited: vec![false; steps.len()],
        transactional: vec![false; steps.len()],
        reserves: vec![Cost::default(); steps.len()],
        runs: vec![false; steps.len()],
        leaves: vec![false; steps.len()],
        delays: vec![Duration::ZERO; steps.len()],
        crash_limits: steps.iter().map(|step| step.retry_policy.crash_limit).collect(),
        by_hand: false,
        name: undoing.name().to_owned(),
        undoes: Some((
            of,
            steps.iter().filter_map(|step| template.step_index(&step.name)).collect(),
        )),
    })
}

/// The names of the branches that a step takes, if it decides.
pub(super) fn branches(steps: &[StepPlan], step: usize) -> Option<Vec<String>> {
    let said = (step < steps.len()).then(|| said(steps, step))??;
    Some(said.iter().map(|child| format!("s{child}")).collect())
}
