//! The templates that a process has read from the database. A version never changes once a task was
//! made from it, so what is cached stays true.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::condition::Condition;
use crate::decision::Join;
use crate::error::Error;
use crate::ids::{StepId, TaskId, TemplateId};
use crate::store::{Database, LoadedTemplate, StoreError, Transaction};
use crate::template::{COMPENSATION_SUFFIX, CompensationMode, StepTemplate, TaskTemplate};

/// A stored version.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) id: TemplateId,
    pub(crate) template: TaskTemplate,
    /// The ids of the rows of its steps, by position.
    pub(crate) named_step_ids: Vec<i32>,
    /// Whether any step waits for a while after it got ready.
    pub(crate) delays: bool,
    /// Whether any step has a limit for all its attempts together.
    pub(crate) total_timeouts: bool,
    /// Whether what its steps did is undone as soon as a task of it has ended otherwise than complete.
    pub(crate) undone: bool,
    /// Whether its steps undo what those of another template did.
    pub(crate) compensates: bool,
    /// How many steps a task has when it is made.
    pub(crate) planned: u32,
    /// Positions of the steps on whose edges conditions lie.
    conditional: BTreeSet<u32>,
}

impl Stored {
    /// How many positions the template takes up: a step that is added has one after them.
    pub(crate) fn positions(&self) -> u32 {
        u32::try_from(self.template.steps().len()).unwrap_or(u32::MAX)
    }

    /// Whether steps were added to a task of so many.
    pub(crate) fn has_grown(&self, total_steps: u32) -> bool {
        total_steps != self.planned
    }

    /// The position that the next step gets which is added to a task with so many steps.
    pub(crate) fn next_position(&self, total_steps: u32) -> u32 {
        self.positions() + total_steps.saturating_sub(self.planned)
    }

    /// The position of the step of that name that every task has.
    pub(crate) fn made_with_task(&self, name: &str) -> Option<u32> {
        let index = self.template.step_index(name)?;
        (!self.template.steps().get(index as usize)?.dynamic).then_some(index)
    }

    pub(crate) fn step(&self, step: StepId) -> Option<&StepTemplate> {
        self.template.steps().get(step.index() as usize)
    }

    /// Positions of the steps that it depends on; none for a step that the template does not have.
    pub(crate) fn parents(&self, step: StepId) -> &[u32] {
        if self.step(step).is_some() { self.template.graph().parents(step.index()) } else { &[] }
    }

    /// Positions of the steps that depend on it; none for a step that the template does not have.
    pub(crate) fn children(&self, step: StepId) -> &[u32] {
        if self.step(step).is_some() { self.template.graph().children(step.index()) } else { &[] }
    }

    pub(crate) fn join(&self, step: StepId) -> Join {
        self.step(step).map_or_else(Join::default, |template| Join {
            policy: template.join,
            parents: self.template.graph().in_degree(step.index()),
        })
    }

    /// Whether the step's handler says which of its children are taken.
    pub(crate) fn decides(&self, step: StepId) -> bool {
        self.step(step).is_some_and(|template| template.decides)
    }

    /// Whether not all of the step's children are taken when it is complete: its handler, or conditions on the edges, say which.
    pub(crate) fn forks(&self, step: StepId) -> bool {
        self.decides(step) || self.has_conditions(step)
    }

    /// Whether conditions lie on the edges to the step's children.
    pub(crate) fn has_conditions(&self, step: StepId) -> bool {
        self.conditional.contains(&step.index())
    }

    /// The condition on an edge.
    pub(crate) fn edge_condition(&self, parent: StepId, child: StepId) -> Option<&Condition> {
        self.step(child)?.edge_conditions.get(&self.step(parent)?.name)
    }
}

/// Templates by id. The lock is held for a look-up or an insertion only.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    by_id: Mutex<HashMap<TemplateId, Arc<Stored>>>,
}

impl Templates {
    /// The template, read from the database the first time.
    pub(crate) async fn get(
        &self,
        database: &impl Database,
        id: TemplateId,
    ) -> Result<Arc<Stored>, Error> {
        match self.cached(id) {
            Some(stored) => Ok(stored),
            None => self.keep(id, database.template(id).await?),
        }
    }

    /// The same through a transaction, which may hold the only connection.
    pub(crate) async fn get_within(
        &self,
        tx: &mut impl Transaction,
        id: TemplateId,
    ) -> Result<Arc<Stored>, Error> {
        match self.cached(id) {
            Some(stored) => Ok(stored),
            None => self.keep(id, tx.template(id).await?),
        }
    }

    /// The template that a task was made from.
    pub(crate) async fn of_task(
        &self,
        database: &impl Database,
        task: TaskId,
    ) -> Result<Arc<Stored>, Error> {
        let rows = database.task_contexts(&[task]).await?;
        let row = rows.first().ok_or(Error::UnknownTask { task })?;
        self.get(database, row.template).await
    }

    /// Drops a version that no task was made from: another has replaced it, under an id of its own.
    pub(crate) fn forget(&self, id: TemplateId) {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn keep(&self, id: TemplateId, loaded: Option<LoadedTemplate>) -> Result<Arc<Stored>, Error> {
        let stored = reading::read_once(id, loaded)?;
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(by_id.entry(id).or_insert(stored)))
    }

    /// The template if it was read before.
    fn cached(&self, id: TemplateId) -> Option<Arc<Stored>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

#[cfg(not(feature = "simulation"))]
mod reading {
    use super::{Arc, Error, LoadedTemplate, Stored, TemplateId, read};

    pub(super) fn read_once(
        id: TemplateId,
        loaded: Option<LoadedTemplate>,
    ) -> Result<Arc<Stored>, Error> {
        Ok(Arc::new(read(id, loaded)?))
    }
}

/// A simulated run has many processes that read the same few templates, one after the other in one thread.
#[cfg(feature = "simulation")]
mod reading {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::{Arc, Error, LoadedTemplate, Stored, TemplateId, read};

    /// More than the templates of a run.
    const MOST: usize = 16;

    thread_local! {
        static READ: RefCell<HashMap<(TemplateId, String), Arc<Stored>>> = RefCell::default();
    }

    pub(super) fn read_once(
        id: TemplateId,
        loaded: Option<LoadedTemplate>,
    ) -> Result<Arc<Stored>, Error> {
        let Some(row) = loaded else { return Ok(Arc::new(read(id, None)?)) };
        let key = (id, row.configuration.clone());
        if let Some(stored) = READ.with_borrow(|known| known.get(&key).map(Arc::clone)) {
            return Ok(stored);
        }
        let stored = Arc::new(read(id, Some(row))?);
        READ.with_borrow_mut(|known| {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(key, Arc::clone(&stored));
        });
        Ok(stored)
    }
}

fn read(id: TemplateId, loaded: Option<LoadedTemplate>) -> Result<Stored, Error> {
    let unreadable = |message: String| StoreError::UnreadableTemplate { id: id.0, message };
    let row = loaded.ok_or_else(|| unreadable("it is not in the database".to_owned()))?;
    let template = TaskTemplate::from_json(&row.configuration)
        .map_err(|error| unreadable(error.to_string()))?;
    let delays = template.steps().iter().any(|step| step.delay.is_some());
    let planned = template.steps().iter().filter(|step| !step.dynamic).count();
    let planned = u32::try_from(planned).unwrap_or(u32::MAX);
    let total_timeouts = template.steps().iter().any(|step| step.total_timeout.is_some());
    let edges = template.steps().iter().flat_map(|step| step.edge_conditions.keys());
    let conditional = edges.filter_map(|parent| template.step_index(parent)).collect();
    let undone =
        template.is_compensated() && template.compensation_mode() == CompensationMode::Automatic;
    let compensates = template.name().ends_with(COMPENSATION_SUFFIX);
    let named_step_ids = row.named_step_ids;
    Ok(Stored {
        id,
        template,
        named_step_ids,
        delays,
        total_timeouts,
        undone,
        compensates,
        planned,
        conditional,
    })
}

/// A template as it is when it was read.
#[cfg(test)]
pub(super) fn stored(configuration: &str) -> Stored {
    let configuration = configuration.to_owned();
    read(TemplateId(1), Some(LoadedTemplate { configuration, named_step_ids: Vec::new() })).unwrap()
}
