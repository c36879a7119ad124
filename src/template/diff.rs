//! What two templates say differently.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{StepTemplate, TaskTemplate};

/// Keys of a template by which it is known, or of which more is said than that they differ.
const NOT_COMPARED: [&str; 4] = ["namespace_name", "name", "version", "step_templates"];

/// Keys of a step that are compared otherwise: names, and the edges.
const OF_THE_GRAPH: [&str; 2] = ["name", "depends_on_steps"];

/// What changes from one template to another, whatever their names and versions are. Empty where nothing does.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct TemplateDiff {
    /// Keys of the template itself.
    pub keys: Vec<KeyChange>,
    /// Steps that only the second one has.
    pub added: Vec<StepSummary>,
    /// Steps that only the first one has.
    pub removed: Vec<StepSummary>,
    /// Steps that probably have another name: no other step that was removed or added has the same handler.
    pub renamed: Vec<RenamedStep>,
    /// Steps that both have, with other keys.
    pub changed: Vec<StepChange>,
    /// Edges, parent and child, between steps that both have or one of which was added. A renamed step has its second
    /// name.
    pub edges_added: Vec<[String; 2]>,
    /// Edges that only the first one has.
    pub edges_removed: Vec<[String; 2]>,
    /// The steps that both have, or the parents of one, stand in another order.
    pub reordered: bool,
}

/// A key with another value. A key of an object within is written with dots: `retry.base_seconds`.
#[derive(Debug, PartialEq, Serialize)]
pub struct KeyChange {
    /// Its path.
    pub key: String,
    /// The value before; nothing where there was none.
    pub from: Option<Value>,
    /// The value after; nothing where there is none.
    pub to: Option<Value>,
}

/// What a step is.
#[derive(Debug, PartialEq, Serialize)]
pub struct StepSummary {
    /// Its name.
    pub name: String,
    /// Who executes it.
    pub handler_class: String,
}

/// A step with another name.
#[derive(Debug, PartialEq, Serialize)]
pub struct RenamedStep {
    /// The name before.
    pub from: String,
    /// The name after.
    pub to: String,
}

/// A step with other keys.
#[derive(Debug, PartialEq, Serialize)]
pub struct StepChange {
    /// Its name, after.
    pub name: String,
    /// Which.
    pub keys: Vec<KeyChange>,
}

impl TemplateDiff {
    /// What changes from `before` to `after`.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::template::{TaskTemplate, TemplateDiff};
    ///
    /// let before = TaskTemplate::from_json(
    ///     r#"{"name": "order", "step_templates": [{"name": "charge", "handler_class": "Charge"}]}"#,
    /// )?;
    /// let after = TaskTemplate::from_json(
    ///     r#"{"name": "order", "step_templates": [
    ///         {"name": "charge", "handler_class": "Charge", "default_retry_limit": 5},
    ///         {"name": "ship", "handler_class": "Ship", "depends_on_step": "charge"}]}"#,
    /// )?;
    /// let diff = TemplateDiff::between(&before, &after);
    /// assert_eq!(diff.added[0].name, "ship");
    /// assert_eq!(diff.changed[0].keys[0].key, "default_retry_limit");
    /// assert_eq!(diff.edges_added, [["charge".to_owned(), "ship".to_owned()]]);
    /// assert!(TemplateDiff::between(&after, &after).is_empty());
    /// # Ok::<(), tasker_core::template::TemplateError>(())
    /// ```
    #[must_use]
    pub fn between(before: &TaskTemplate, after: &TaskTemplate) -> Self {
        let (removed, added) = (only_in(before, after), only_in(after, before));
        let renamed = renamed(&removed, &added);
        let names = Names::new(&renamed);
        let (edges_before, edges_after) = (names.edges(before), edges(after));
        let both = |(from, to): (&StepTemplate, &StepTemplate)| {
            let keys = step_keys(from, to);
            (!keys.is_empty()).then(|| StepChange { name: to.name.clone(), keys })
        };
        let pairs = names.pairs(before, after);
        Self {
            keys: key_changes(&content(before), &content(after)),
            added: summaries(&added, |name| !names.is_new(name)),
            removed: summaries(&removed, |name| !names.is_old(name)),
            changed: pairs.iter().copied().filter_map(both).collect(),
            edges_added: edges_after.difference(&edges_before).cloned().collect(),
            edges_removed: edges_before.difference(&edges_after).cloned().collect(),
            reordered: names.reordered(before, &pairs),
            renamed,
        }
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Steps of the first template whose work the second one no longer does in the same way, by name, and why.
    pub(crate) fn breaks(&self) -> Vec<(&str, &'static str)> {
        let removed = self.removed.iter().map(|step| (&*step.name, "removed"));
        let renamed = self.renamed.iter().map(|step| (&*step.from, "renamed"));
        let other = |step: &&StepChange| step.keys.iter().any(|key| key.key == "handler_class");
        let handler =
            self.changed.iter().filter(other).map(|step| (&*step.name, "handler_changed"));
        removed.chain(renamed).chain(handler).collect()
    }
}

fn only_in<'t>(template: &'t TaskTemplate, other: &TaskTemplate) -> Vec<&'t StepTemplate> {
    template.steps().iter().filter(|step| other.step_index(&step.name).is_none()).collect()
}

/// Steps that were removed and added with a handler that no other such step has.
fn renamed(removed: &[&StepTemplate], added: &[&StepTemplate]) -> Vec<RenamedStep> {
    let (before, after) = (by_handler(removed), by_handler(added));
    let pair = |step: &&StepTemplate| match (
        &before[&*step.handler_class],
        after.get(&*step.handler_class)?,
    ) {
        (Some(from), Some(to)) => {
            Some(RenamedStep { from: from.name.clone(), to: to.name.clone() })
        }
        (_, _) => None,
    };
    removed.iter().filter_map(pair).collect()
}

/// The only step with a handler, or nothing where there are several.
fn by_handler<'t>(steps: &[&'t StepTemplate]) -> HashMap<&'t str, Option<&'t StepTemplate>> {
    let mut found = HashMap::new();
    for step in steps {
        found.entry(&*step.handler_class).and_modify(|only| *only = None).or_insert(Some(*step));
    }
    found
}

fn summaries(steps: &[&StepTemplate], meant: impl Fn(&str) -> bool) -> Vec<StepSummary> {
    let summary = |step: &&StepTemplate| StepSummary {
        name: step.name.clone(),
        handler_class: step.handler_class.clone(),
    };
    steps.iter().filter(|step| meant(&step.name)).map(summary).collect()
}

/// Which step is which.
struct Names<'d> {
    after: HashMap<&'d str, &'d str>,
    before: HashMap<&'d str, &'d str>,
}

impl<'d> Names<'d> {
    fn new(renamed: &'d [RenamedStep]) -> Self {
        Self {
            after: renamed.iter().map(|step| (&*step.from, &*step.to)).collect(),
            before: renamed.iter().map(|step| (&*step.to, &*step.from)).collect(),
        }
    }

    fn is_old(&self, name: &str) -> bool {
        self.after.contains_key(name)
    }

    fn is_new(&self, name: &str) -> bool {
        self.before.contains_key(name)
    }

    /// The second name of a step of the first template.
    fn translate<'n>(&'n self, name: &'n str) -> &'n str {
        self.after.get(name).copied().unwrap_or(name)
    }

    fn edges(&self, before: &TaskTemplate) -> BTreeSet<[String; 2]> {
        let named = |[from, to]: [String; 2]| {
            [self.translate(&from).to_owned(), self.translate(&to).to_owned()]
        };
        edges(before).into_iter().map(named).collect()
    }

    /// The steps that both have, in the order of the second template.
    fn pairs<'t>(
        &self,
        before: &'t TaskTemplate,
        after: &'t TaskTemplate,
    ) -> Vec<(&'t StepTemplate, &'t StepTemplate)> {
        let pair = |to: &'t StepTemplate| {
            let name = self.before.get(&*to.name).copied().unwrap_or(&to.name);
            let index = before.step_index(name)?;
            Some((before.steps().get(index as usize)?, to))
        };
        after.steps().iter().filter_map(pair).collect()
    }

    fn reordered(&self, before: &TaskTemplate, pairs: &[(&StepTemplate, &StepTemplate)]) -> bool {
        let places = pairs.iter().map(|(from, _)| before.step_index(&from.name));
        let steps = !places.is_sorted();
        let parents = |(from, to): &(&StepTemplate, &StepTemplate)| {
            let common = |name: &&str| to.depends_on_steps.iter().any(|other| other == name);
            let kept: Vec<_> = from
                .depends_on_steps
                .iter()
                .map(|name| self.translate(name))
                .filter(common)
                .collect();
            let stays = to.depends_on_steps.iter().filter(|name| kept.contains(&name.as_str()));
            !stays.eq(kept.iter())
        };
        steps || pairs.iter().any(parents)
    }
}

fn edges(template: &TaskTemplate) -> BTreeSet<[String; 2]> {
    let of_step = |step: &StepTemplate| {
        let edge = |parent: &String| [parent.clone(), step.name.clone()];
        step.depends_on_steps.iter().map(edge).collect::<Vec<_>>()
    };
    template.steps().iter().flat_map(of_step).collect()
}

fn step_keys(before: &StepTemplate, after: &StepTemplate) -> Vec<KeyChange> {
    key_changes(&object(before, &OF_THE_GRAPH), &object(after, &OF_THE_GRAPH))
}

fn content(template: &TaskTemplate) -> Map<String, Value> {
    object(template, &NOT_COMPARED)
}

fn object(of: &impl Serialize, without: &[&str]) -> Map<String, Value> {
    let Ok(Value::Object(mut keys)) = serde_json::to_value(of) else { return Map::new() };
    keys.retain(|key, _| !without.contains(&&**key));
    keys
}

fn key_changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<KeyChange> {
    let mut changes = Vec::new();
    compare("", before, after, &mut changes);
    changes
}

/// Goes as deep as JSON of a template may be, which has a limit.
fn compare(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    changes: &mut Vec<KeyChange>,
) {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (before.get(key), after.get(key)) {
            (from, to) if from == to => {}
            (Some(Value::Object(from)), Some(Value::Object(to))) => {
                compare(&path, from, to, changes)
            }
            (from, to) => {
                changes.push(KeyChange { key: path, from: from.cloned(), to: to.cloned() });
            }
        }
    }
}
