//! What is left out of a plan to find the shortest one that breaks an invariant.

use super::{Conduct, Plan, StepPlan, Weather};
use crate::join_policy::JoinPolicy;

impl Plan {
    /// Plans with a little less in them, the largest cuts first.
    pub(in crate::simulation) fn smaller(&self) -> Vec<Self> {
        let mut plans = Vec::new();
        let mut without = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            if plan != *self {
                plans.push(plan);
            }
        };
        without(&|plan| {
            plan.weather = Weather { latency_ms: plan.weather.latency_ms, ..Weather::default() }
        });
        for (index, _) in self.tasks.iter().enumerate().filter(|_| self.tasks.len() > 1) {
            without(&|plan| {
                plan.tasks.remove(index);
            });
        }
        if self.tasks.iter().all(|task| task.template + 1 < self.templates.len()) {
            without(&|plan| {
                plan.templates.pop();
                plan.templates.iter_mut().flatten().for_each(|step| step.runs = None);
            });
        }
        for (index, _) in self.faults.iter().enumerate() {
            without(&|plan| {
                plan.faults.remove(index);
            });
        }
        if self.workers.len() > 1 {
            without(&|plan| {
                plan.workers.pop();
            });
        }
        for (index, _) in self.tasks.iter().enumerate() {
            without(&|plan| plan.tasks[index].count = 1);
            without(&|plan| plan.tasks[index].deadline = None);
            without(&|plan| plan.tasks[index].clients = 0);
            without(&|plan| plan.tasks[index].apart = None);
            without(&|plan| plan.tasks[index].unique_for = None);
            without(&|plan| plan.tasks[index].attempts = None);
            without(&|plan| plan.tasks[index].cost = None);
            without(&|plan| plan.tasks[index].correlation = None);
            without(&|plan| plan.tasks[index].priority = 0);
            without(&|plan| plan.tasks[index].clients = plan.tasks[index].clients.min(2));
        }
        for (template, steps) in self.templates.iter().enumerate() {
            for step in (0..steps.len()).rev().filter(|_| steps.len() > 1) {
                without(&|plan| remove_step(&mut plan.templates[template], step));
            }
            for step in 0..steps.len() {
                without(&|plan| plan.templates[template][step].conduct = vec![Conduct::Succeed]);
                without(&|plan| plan.templates[template][step].join = JoinPolicy::default());
                without(&|plan| plan.templates[template][step].takes = None);
                without(&|plan| plan.templates[template][step].when = None);
                without(&|plan| plan.templates[template][step].total_timeout = None);
                without(&|plan| plan.templates[template][step].runs = None);
                without(&|plan| plan.templates[template][step].link = None);
                without(&|plan| plan.templates[template][step].delay = None);
                without(&|plan| plan.templates[template][step].crash_limit = None);
                without(&|plan| plan.templates[template][step].undone = false);
                without(&|plan| plan.templates[template][step].grows = None);
                without(&|plan| plan.templates[template][step].map = None);
                without(&|plan| plan.templates[template][step].transactional = false);
                without(&|plan| plan.templates[template][step].reserve = 0);
            }
        }
        without(&|plan| plan.by_hand.clear());
        for field in [
            |weather: &mut Weather| weather.statements = 0,
            |weather: &mut Weather| weather.failed_commits = 0,
            |weather: &mut Weather| weather.lost_answers = 0,
            |weather: &mut Weather| weather.lost_calls = 0,
            |weather: &mut Weather| weather.double_calls = 0,
            |weather: &mut Weather| weather.overtaken_calls = 0,
        ] {
            without(&|plan| field(&mut plan.weather));
        }
        plans
    }
}

fn remove_step(steps: &mut Vec<StepPlan>, removed: usize) {
    steps.remove(removed);
    for step in steps {
        let below = (1 << removed) - 1;
        let without = |bits: u64| bits & below | bits >> 1 & !below;
        step.takes = step.takes.map(without);
        step.unmet_edges = without(step.unmet_edges);
        step.parents.retain(|parent| *parent != removed);
        step.parents.iter_mut().filter(|parent| **parent > removed).for_each(|parent| *parent -= 1);
    }
}
