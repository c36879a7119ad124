//! The steps of a template: their keys, and the graph they form.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::error::TemplateError;
use super::parse::{
    LONGEST_CLASS, LONGEST_DEADLINE, LONGEST_DESCRIPTION, LONGEST_QUEUE, LONGEST_SYSTEM, StepTexts,
};
use super::section::{self, LONGEST_SECONDS, Section};
use super::{MapTemplate, StepTemplate, classes, compensation, workflow};
use crate::condition::Condition;
use crate::graph::{Graph, GraphError};
use crate::join_policy::JoinPolicy;
use crate::json::shorten;
use crate::retry_policy::{Backoff, RetryPolicy};
use crate::suggest;

type Result<T> = std::result::Result<T, TemplateError>;

const KEYS: [&str; 28] = [
    "name",
    "handler_class",
    "description",
    "depends_on_step",
    "depends_on_steps",
    "depends_on_when",
    "join",
    "when",
    "queue",
    "default_retryable",
    "default_retry_limit",
    "crash_limit",
    "decides",
    "dynamic",
    "map",
    "skippable",
    "delay_seconds",
    "timeout_seconds",
    "total_timeout_seconds",
    "reserve_cost",
    "retry",
    "error_classes",
    "handler_config",
    "dependent_system",
    "workflow",
    "compensate_with",
    "compensate",
    "custom_events",
];

/// Keys that stand beside none of others, and what is allowed where one of these is there.
const EXCLUDED: [(&str, &[&str], &str); 5] = [
    ("decides", &["dynamic", "map"], "false with dynamic or map"),
    ("dynamic", &["map"], "false with map"),
    ("compensate_with", &["dynamic", "map"], "none with dynamic or map"),
    ("compensate", &["dynamic", "map"], "none with dynamic or map"),
    ("workflow", &["dynamic", "map"], "none with dynamic or map"),
];

const RETRY_KEYS: [&str; 5] =
    ["backoff", "base_seconds", "max_seconds", "jitter", "delays_seconds"];

/// Longest name of a step, in bytes.
pub(crate) const LONGEST_STEP_NAME: usize = 512;

/// The names of steps that are no items.
pub(crate) const NOT_LIKE_AN_ITEM: &str =
    "a name without [ and ] at its end, as items of map steps have them";

const MOST_ATTEMPTS: u32 = 1000;

const MOST_CRASHES: u32 = 100;

/// Most delays of a list.
const MOST_DELAYS: usize = 100;

/// The longest delay of a list: a day.
const LONGEST_DELAY: f64 = 86_400.0;

const DELAYS_ALLOWED: &str = "a list of 1 to 100 numbers of seconds, with backoff: list";

const CONDITION_ALLOWED: &str =
    "an expression in CEL over context and results, such as context.amount > 100";

const LIST_ALLOWED: &str = "an expression in CEL over context and results whose value is a list, such as results.list_files.files";

const NO_STEPS: &str = "a list of at least one step";

/// What a template says for all its steps.
pub(super) struct Common {
    /// Queue of steps that name none.
    pub(super) queue: String,
    /// Dependent system of steps that name none.
    pub(super) dependent_system: Option<String>,
    /// Ruby module of the handler classes.
    pub(super) module_namespace: Option<String>,
    /// The only names that steps may have.
    pub(super) named_steps: Option<HashSet<String>>,
}

/// The steps in their order, not yet known to form a graph.
pub(super) struct Steps {
    steps: Vec<StepTemplate>,
    /// How each of them is written.
    written: Vec<Written>,
}

/// How a step is written, so that a refusal names its keys as they stand there.
struct Written {
    /// The first parent came from `depends_on_step`.
    has_single_parent: bool,
    /// By the names of parents, the paths of the keys at which the conditions on the edges stand.
    edges: BTreeMap<String, String>,
}

impl Steps {
    /// Reads `step_templates`: `texts` where it is a list, else what the template has in its place.
    pub(super) fn read(
        template: &mut Section,
        texts: Option<StepTexts<'_>>,
        common: &Common,
    ) -> Result<Steps> {
        let Some(texts) = texts else {
            template.list("step_templates")?;
            return Err(TemplateError::missing("step_templates", NO_STEPS));
        };
        if texts.steps.is_empty() {
            let none = Value::Array(Vec::new());
            return Err(TemplateError::value("step_templates", &none, NO_STEPS));
        }
        let count = texts.steps.len();
        let mut all =
            Steps { steps: Vec::with_capacity(count), written: Vec::with_capacity(count) };
        for (index, text) in texts.steps.iter().enumerate() {
            let value: Value =
                serde_json::from_str(text.get()).map_err(|error| texts.refusal(&error))?;
            let name = value.get("name").and_then(Value::as_str).map(str::to_owned);
            let step = all.add(format!("step_templates[{index}]"), value, common);
            step.map_err(|error| error.in_step(name.as_deref()))?;
        }
        Ok(all)
    }

    fn add(&mut self, path: String, value: Value, common: &Common) -> Result<()> {
        let mut section = Section::open(path, value, &KEYS)?;
        let name = name(&mut section, common)?;
        check_combinations(&section)?;
        let Parents { names: depends_on_steps, has_single, edge_conditions, edge_keys } =
            parents(&mut section)?;
        let workflow = workflow::read(&mut section, &depends_on_steps)?;
        let handler_class = handler_class(&mut section, common, workflow.is_some())?;
        let dynamic = section.flag("dynamic", false)?;
        let join = join(&mut section, depends_on_steps.len(), dynamic)?;
        let map = map(&mut section, &depends_on_steps)?;
        let when = when(&mut section, &depends_on_steps)?;
        let queue = section.word("queue", LONGEST_QUEUE)?;
        let dependent_system = section.word("dependent_system", LONGEST_SYSTEM)?;
        section.list("custom_events")?;
        self.written.push(Written { has_single_parent: has_single, edges: edge_keys });
        self.steps.push(StepTemplate {
            name,
            handler_class,
            description: section.text("description", 0..=LONGEST_DESCRIPTION)?,
            depends_on_steps,
            edge_conditions,
            join,
            when,
            queue: queue.unwrap_or_else(|| common.queue.clone()),
            retry_policy: retry_policy(&mut section, true)?,
            decides: section.flag("decides", false)?,
            dynamic,
            map,
            skippable: section.flag("skippable", false)?,
            delay: section.seconds("delay_seconds", LONGEST_SECONDS)?,
            timeout: section.seconds("timeout_seconds", LONGEST_SECONDS)?,
            total_timeout: section.seconds("total_timeout_seconds", LONGEST_DEADLINE)?,
            reserve_cost: section.cost("reserve_cost")?,
            error_classes: classes::read(&mut section)?,
            handler_config: section.object("handler_config")?,
            dependent_system: dependent_system.or_else(|| common.dependent_system.clone()),
            workflow,
            compensation: compensation::read(&mut section, common)?,
        });
        Ok(())
    }

    /// Builds the graph that the steps' parents describe.
    pub(super) fn connect(self) -> Result<(Vec<StepTemplate>, Graph)> {
        let steps = self
            .steps
            .iter()
            .map(|step| (step.name.as_str(), step.depends_on_steps.iter().map(String::as_str)));
        let graph = Graph::from_parents(steps).map_err(|error| self.refusal(&error))?;
        self.check_decisions(&graph)?;
        self.check_edges()?;
        self.check_growth(&graph)?;
        Ok((self.steps, graph))
    }

    /// A decision needs something to decide on.
    fn check_decisions(&self, graph: &Graph) -> Result<()> {
        for (index, step) in (0..).zip(&self.steps) {
            if step.decides && graph.children(index).is_empty() {
                let key = format!("step_templates[{index}].decides");
                let allowed =
                    "false where no other step depends on it; its branches are the steps that do";
                let refusal = TemplateError::value(key, &Value::from(true), allowed);
                return Err(refusal.in_step(Some(&step.name)));
            }
        }
        Ok(())
    }

    /// What a step has come to is known when its handler returns: that of a map step is not, and steps that are added may
    /// depend on it as well.
    fn check_edges(&self) -> Result<()> {
        let grows = self.steps.iter().any(|step| step.dynamic);
        for (step, written) in self.steps.iter().zip(&self.written) {
            for (parent, condition) in &step.edge_conditions {
                let is_map = |other: &&StepTemplate| other.name == *parent && other.map.is_some();
                let allowed = if grows {
                    "no condition on an edge in a template with dynamic steps; use when"
                } else if self.steps.iter().any(|other| is_map(&other)) {
                    "no condition on an edge from a map step; use when"
                } else {
                    continue;
                };
                let key = written.edges.get(parent).map_or("depends_on_steps", String::as_str);
                let refusal = TemplateError::value(key, &Value::from(condition.text()), allowed);
                return Err(refusal.in_step(Some(&step.name)));
            }
        }
        Ok(())
    }

    /// What is made while a task runs fits into no graph before.
    fn check_growth(&self, graph: &Graph) -> Result<()> {
        for (index, step) in (0..).zip(&self.steps) {
            let in_graph = !graph.children(index).is_empty() || !step.depends_on_steps.is_empty();
            if step.dynamic && in_graph {
                let key = format!("step_templates[{index}].dynamic");
                let allowed = "false where it depends on another step, or another on it: a step that is added says it";
                let refusal = TemplateError::value(key, &Value::from(true), allowed);
                return Err(refusal.in_step(Some(&step.name)));
            }
        }
        if self.steps.iter().all(|step| step.dynamic) {
            let allowed = "false for one step at least, of which a step is made with each task";
            let key = "step_templates[0].dynamic".to_owned();
            return Err(TemplateError::value(key, &Value::from(true), allowed));
        }
        Ok(())
    }

    /// Says at which key the graph is wrong.
    fn refusal(&self, error: &GraphError) -> TemplateError {
        match error {
            GraphError::DuplicateName { name, first, second } => TemplateError::value(
                format!("step_templates[{second}].name"),
                &Value::from(name.as_str()),
                format!("a name that no other step has (step_templates[{first}] has this one)"),
            ),
            GraphError::UnknownParent { node, parent, suggestion } => self
                .wrong_parent(node, parent, 0, "the name of a step of this template")
                .suggest(suggestion.as_deref()),
            GraphError::SelfEdge { node } => self.wrong_parent(
                node,
                node,
                0,
                "other steps; a step that waits for itself could never start",
            ),
            GraphError::DuplicateEdge { node, parent } => {
                self.wrong_parent(node, parent, 1, "each parent once")
            }
            GraphError::Cycle { path } => {
                let mut refusal = self.wrong_parent(
                    &path[1],
                    &path[0],
                    0,
                    "steps that do not wait for each other in a circle",
                );
                refusal.problem = format!("{} ({error})", refusal.problem).into();
                refusal
            }
            GraphError::Empty
            | GraphError::UnknownIndex { .. }
            | GraphError::TooManyNodes { .. }
            | GraphError::TooManyEdges { .. } => {
                TemplateError::problem("step_templates", format!("is refused: {error}"), NO_STEPS)
            }
        }
    }

    /// The error that `child` may not name `parent`, or not once more after `before` times.
    fn wrong_parent(
        &self,
        child: &str,
        parent: &str,
        before: usize,
        allowed: &str,
    ) -> TemplateError {
        let index = self.steps.iter().position(|step| step.name == child).unwrap_or_default();
        let parents = self.steps[index].depends_on_steps.iter().enumerate();
        let place = parents.filter(|(_, name)| *name == parent).nth(before);
        let place = place.map_or(0, |(place, _)| place);
        let key = match (self.written[index].has_single_parent, place) {
            (true, 0) => "depends_on_step".to_owned(),
            (single, place) => format!("depends_on_steps[{}]", place - usize::from(single)),
        };
        let key = format!("step_templates[{index}].{key}");
        TemplateError::value(key, &Value::from(parent), allowed).in_step(Some(child))
    }
}

/// Keys that exclude one another.
fn check_combinations(step: &Section) -> Result<()> {
    let excluded = EXCLUDED
        .iter()
        .find(|(key, others, _)| step.is_set(key) && others.iter().any(|other| step.is_set(other)));
    match excluded {
        Some((key, _, allowed)) => {
            Err(TemplateError::value(step.key(key), step.peek(key), *allowed))
        }
        None => Ok(()),
    }
}

/// Whether a name looks like that of an item of a map step.
pub(crate) fn is_like_an_item(name: &str) -> bool {
    name.ends_with(']') && name.contains('[')
}

fn name(section: &mut Section, common: &Common) -> Result<String> {
    let name = section.required_text("name", 1..=LONGEST_STEP_NAME)?;
    if is_like_an_item(&name) {
        let key = section.key("name");
        return Err(TemplateError::value(key, &Value::from(name), NOT_LIKE_AN_ITEM));
    }
    match &common.named_steps {
        Some(known) if !known.contains(&name) => {
            let meant = suggest::nearest(&name, known.iter().map(String::as_str));
            let key = section.key("name");
            Err(TemplateError::value(key, &Value::from(name.as_str()), "one of named_steps")
                .suggest(meant))
        }
        Some(_) | None => Ok(name),
    }
}

/// The class with its module. `::` in front says that the name is complete.
fn handler_class(section: &mut Section, common: &Common, runs_workflow: bool) -> Result<String> {
    if runs_workflow && !section.has("handler_class") {
        return Ok(workflow::HANDLER.to_owned());
    }
    complete_class(section, "handler_class", common)
}

/// The class at this key, which is needed.
pub(super) fn complete_class(section: &mut Section, name: &str, common: &Common) -> Result<String> {
    let class = section.required_word(name, LONGEST_CLASS)?;
    let full = match (&common.module_namespace, class.strip_prefix("::")) {
        (_, Some(complete)) => complete.to_owned(),
        (None, None) => class,
        (Some(module), None) => {
            let prefix = format!("{}::", module.trim_start_matches("::"));
            if class.starts_with(&prefix) { class } else { prefix + &class }
        }
    };
    section::text(Value::from(full), 1..=LONGEST_CLASS, || section.key(name))
}

/// The parents, and whether the first came from `depends_on_step`. Null is refused here: a step
/// that starts too early because a list was forgotten is worse than an error.
fn parents(section: &mut Section) -> Result<Parents> {
    let single = section.take_even_null("depends_on_step");
    let key = || section.key("depends_on_step");
    let single = single.map(|name| section::text(name, 1..=LONGEST_STEP_NAME, key));
    let mut parents: Vec<String> = single.into_iter().collect::<Result<_>>()?;
    let has_single = !parents.is_empty();
    section
        .refuse_null("depends_on_steps", "a list of names of steps; leave the key out for none")?;
    let (mut edge_conditions, mut edge_keys) = (BTreeMap::new(), BTreeMap::new());
    let list = section.list("depends_on_steps")?.unwrap_or_default();
    for (index, value) in list.into_iter().enumerate() {
        let key = format!("{}[{index}]", section.key("depends_on_steps"));
        if !value.is_object() {
            parents.push(section::text(value, 1..=LONGEST_STEP_NAME, || key)?);
            continue;
        }
        let mut edge = Section::open(key, value, &["step", "when"])?;
        let parent = edge.required_text("step", 1..=LONGEST_STEP_NAME)?;
        let own = std::slice::from_ref(&parent);
        if let Some(condition) = when(&mut edge, own)? {
            edge_conditions.insert(parent.clone(), condition);
            edge_keys.insert(parent.clone(), edge.key("when"));
        }
        parents.push(parent);
    }
    for (parent, value) in section.object("depends_on_when")? {
        let shown = shorten(&parent, section::LONGEST_KEY);
        let key = format!("{}.{shown}", section.key("depends_on_when"));
        if !parents.contains(&parent) {
            let meant = suggest::nearest(&parent, parents.iter().map(String::as_str));
            let allowed = "conditions by the names of steps that it depends on";
            let refusal = TemplateError::value(key, &value, allowed);
            return Err(refusal.suggest(meant));
        }
        let condition =
            condition(key.clone(), &value, CONDITION_ALLOWED, std::slice::from_ref(&parent))?;
        if edge_keys.insert(parent.clone(), key.clone()).is_some() {
            return Err(TemplateError::value(key, &value, "one condition for each edge"));
        }
        edge_conditions.insert(parent, condition);
    }
    Ok(Parents { names: parents, has_single, edge_conditions, edge_keys })
}

/// What a step depends on.
struct Parents {
    names: Vec<String>,
    /// The first came from `depends_on_step`.
    has_single: bool,
    edge_conditions: BTreeMap<String, Condition>,
    /// The paths of the keys at which these stand.
    edge_keys: BTreeMap<String, String>,
}

fn when(section: &mut Section, parents: &[String]) -> Result<Option<Condition>> {
    expression(section, "when", CONDITION_ALLOWED, parents)
}

fn expression(
    section: &mut Section,
    key: &str,
    allowed: &str,
    parents: &[String],
) -> Result<Option<Condition>> {
    let Some(value) = section.take(key) else { return Ok(None) };
    condition(section.key(key), &value, allowed, parents).map(Some)
}

fn condition(key: String, value: &Value, allowed: &str, parents: &[String]) -> Result<Condition> {
    let text = value.as_str();
    let text = text.ok_or_else(|| TemplateError::value(&*key, value, allowed))?;
    Condition::parse(text, parents).map_err(|fault| {
        TemplateError::value(key, value, allowed)
            .and(&format!("at character {} it {}", fault.position, fault.problem))
            .suggest(fault.suggestion.as_deref())
    })
}

const MAP_KEYS: [&str; 3] = ["over", "max_parallel", "tolerate"];

/// Most items that may run at a time, or fail: as many as there may be.
const MOST_ITEMS: u32 = 1 << 20;

fn map(section: &mut Section, parents: &[String]) -> Result<Option<MapTemplate>> {
    let Some(value) = section.take("map") else { return Ok(None) };
    let key = section.key("map");
    if !value.is_object() {
        return Err(TemplateError::value(key, &value, "an object with the key over"));
    }
    let mut map = Section::open(key, value, &MAP_KEYS)?;
    let Some(over) = expression(&mut map, "over", LIST_ALLOWED, parents)? else {
        return Err(TemplateError::missing(map.key("over"), LIST_ALLOWED));
    };
    let parallel = map.take("max_parallel");
    let max_parallel = parallel.map(|value| count(&map, "max_parallel", &value, 1)).transpose()?;
    let tolerate = match map.take("tolerate") {
        None => Some(0),
        Some(Value::String(word)) if word == "all" => None,
        Some(value) => Some(count(&map, "tolerate", &value, 0)?),
    };
    Ok(Some(MapTemplate { over, max_parallel, tolerate }))
}

fn count(section: &Section, key: &str, value: &Value, least: u32) -> Result<u32> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.filter(|number| (least..=MOST_ITEMS).contains(number)).ok_or_else(|| {
        let or_all = if key == "tolerate" { ", or all" } else { "" };
        let allowed = format!("an integer from {least} to {MOST_ITEMS}{or_all}");
        TemplateError::value(section.key(key), value, allowed)
    })
}

fn join(section: &mut Section, parents: usize, dynamic: bool) -> Result<JoinPolicy> {
    let Some(value) = section.take("join") else {
        return Ok(JoinPolicy::default());
    };
    let key = section.key("join");
    // How many parents a step has that is added is known then.
    let most = if dynamic { MOST_ITEMS as usize } else { parents };
    let policy = join_policy(&key, &value, most)?;
    if parents == 0 && !dynamic && policy != JoinPolicy::default() {
        let allowed = "leave it out where a step depends on no other";
        return Err(TemplateError::value(key, &value, allowed));
    }
    Ok(policy)
}

fn join_policy(key: &str, value: &Value, parents: usize) -> Result<JoinPolicy> {
    if value.get("quorum").is_some() {
        let mut quorum = Section::open(key.to_owned(), value.clone(), &["quorum"])?;
        let most = u32::try_from(parents.max(1)).unwrap_or(u32::MAX);
        return Ok(JoinPolicy::Quorum(quorum.integer("quorum", 1..=most, 1)?));
    }
    value.as_str().and_then(JoinPolicy::from_word).ok_or_else(|| {
        let words = JoinPolicy::WORDS.map(JoinPolicy::as_str);
        let meant = value.as_str().and_then(|word| suggest::nearest(word, words));
        let allowed = format!("{}, or {{\"quorum\": 2}}", words.join(", "));
        TemplateError::value(key, value, allowed).suggest(meant)
    })
}

/// `crashes`: whether the section may say how many workers may die.
pub(super) fn retry_policy(section: &mut Section, crashes: bool) -> Result<RetryPolicy> {
    let defaults = RetryPolicy::DEFAULT;
    let retry = Value::Object(section.object("retry")?);
    let mut retry = Section::open(section.key("retry"), retry, &RETRY_KEYS)?;
    let backoff = backoff(&mut retry)?;
    let base = base(&mut retry, &backoff)?;
    Ok(RetryPolicy {
        retryable: section.flag("default_retryable", defaults.retryable)?,
        limit: section.integer("default_retry_limit", 0..=MOST_ATTEMPTS, defaults.limit)?,
        crash_limit: if crashes {
            section.integer("crash_limit", 1..=MOST_CRASHES, defaults.crash_limit)?
        } else {
            defaults.crash_limit
        },
        cap: cap(&mut retry, &backoff, base)?,
        jitter: retry.fraction("jitter", defaults.jitter)?,
        backoff,
        base,
    })
}

fn backoff(retry: &mut Section) -> Result<Backoff> {
    let word = retry.take("backoff").unwrap_or_else(|| Backoff::default().as_str().into());
    let backoff = match word.as_str() {
        Some("exponential") => Backoff::Exponential,
        Some("linear") => Backoff::Linear,
        Some("fixed") => Backoff::Fixed,
        Some("fibonacci") => Backoff::Fibonacci,
        Some("list") => Backoff::List(delays(retry)?),
        _ => {
            let words = Backoff::WORDS;
            let meant = word.as_str().and_then(|word| suggest::nearest(word, words));
            let key = retry.key("backoff");
            return Err(TemplateError::value(key, &word, words.join(", ")).suggest(meant));
        }
    };
    match retry.take("delays_seconds") {
        Some(delays) => {
            let allowed = format!("no such list with backoff: {}", backoff.as_str());
            Err(TemplateError::value(retry.key("delays_seconds"), &delays, allowed))
        }
        None => Ok(backoff),
    }
}

fn delays(retry: &mut Section) -> Result<Arc<[Duration]>> {
    let key = retry.key("delays_seconds");
    let Some(list) = retry.list("delays_seconds")? else {
        return Err(TemplateError::missing(key, DELAYS_ALLOWED));
    };
    if !(1..=MOST_DELAYS).contains(&list.len()) {
        let problem = format!("has {} delays", list.len());
        return Err(TemplateError::problem(key, problem, DELAYS_ALLOWED));
    }
    let delay = |(index, value): (usize, &Value)| {
        let seconds = value.as_f64().filter(|seconds| (0.0..=LONGEST_DELAY).contains(seconds));
        seconds.map(Duration::from_secs_f64).ok_or_else(|| {
            let key = format!("{key}[{index}]");
            TemplateError::value(key, value, "seconds from 0 to 86400 (a day)")
        })
    };
    list.iter().enumerate().map(delay).collect()
}

fn base(retry: &mut Section, backoff: &Backoff) -> Result<Duration> {
    let base = retry.seconds("base_seconds", LONGEST_SECONDS)?;
    match (base, backoff) {
        (Some(base), Backoff::List(_)) => {
            let base = Value::from(base.as_secs_f64());
            let allowed = "no base with backoff: list, whose delays stand in delays_seconds";
            Err(TemplateError::value(retry.key("base_seconds"), &base, allowed))
        }
        (base, _) => Ok(base.unwrap_or(RetryPolicy::DEFAULT.base)),
    }
}

/// A cap that is not given is never below the base or the longest delay of a list.
fn cap(retry: &mut Section, backoff: &Backoff, base: Duration) -> Result<Duration> {
    let (least, what) = match backoff {
        Backoff::List(delays) => {
            (delays.iter().max().copied().unwrap_or_default(), "the longest of delays_seconds")
        }
        Backoff::Exponential | Backoff::Linear | Backoff::Fixed | Backoff::Fibonacci => {
            (base, "base_seconds")
        }
    };
    match retry.seconds("max_seconds", LONGEST_SECONDS)? {
        None => Ok(RetryPolicy::DEFAULT.cap.max(least)),
        Some(cap) if cap >= least => Ok(cap),
        Some(cap) => {
            let allowed = format!("at least {what}, which is {}", least.as_secs_f64());
            let cap = Value::from(cap.as_secs_f64());
            Err(TemplateError::value(retry.key("max_seconds"), &cap, allowed))
        }
    }
}
