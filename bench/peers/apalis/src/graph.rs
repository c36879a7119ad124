//! The graph that all tasks have.

use std::collections::{BTreeMap, HashMap};

use crate::job::Job;

/// Names of the parents by name of the step.
pub type Parents = BTreeMap<String, Vec<String>>;

/// Who comes after whom.
pub struct Graph {
    first: Vec<String>,
    /// Children by name of the step, each with the number of its parents.
    children: HashMap<String, Vec<(String, usize)>>,
}

impl Graph {
    /// Children are in the order of their names for every parent, which is the order in which rows are locked.
    pub fn new(parents: Parents) -> Self {
        let mut graph = Self { first: Vec::new(), children: HashMap::new() };
        for (step, above) in parents {
            if above.is_empty() {
                graph.first.push(step.clone());
            }
            let number = above.len();
            for parent in above {
                graph.children.entry(parent).or_default().push((step.clone(), number));
            }
        }
        graph
    }

    /// The jobs of a task that wait for nobody.
    pub fn first(&self, task: u32) -> Vec<Job> {
        self.first.iter().map(|step| Job { task, step: step.clone() }).collect()
    }

    /// What comes after a step, each with the number of its parents.
    pub fn children(&self, step: &str) -> &[(String, usize)] {
        self.children.get(step).map_or(&[], Vec::as_slice)
    }
}
