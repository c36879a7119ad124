//! Templates: a named, versioned workflow as data, checked completely before anything uses it.
//!
//! A template is read from JSON (YAML and the Ruby DSL are turned into it), and every fault is
//! reported with the path of the key, the value seen and the values allowed. Unknown keys are
//! refused. A key with the value null counts as left out, except `depends_on_step` and
//! `depends_on_steps`.
//!
//! | key of the template | default | allowed |
//! |---|---|---|
//! | `name` | needed | 1 to 128 bytes, no control characters; `/` is fine |
//! | `namespace_name` | `default` | 1 to 64 bytes, no control characters |
//! | `version` | `0.1.0` | a semantic version of at most 64 bytes |
//! | `description` | none | at most 4096 bytes |
//! | `schema` | none: any object | a JSON Schema for contexts of at most 1 MiB, without references to the outside; at most 1000 schemas about one value, 2000 within one another |
//! | `queue` | `default` | 1 to 64 bytes, no control characters |
//! | `priority` | 0 | a whole number from -32768 to 32767: steps of tasks with a lower one are claimed first (`docs/priorities.md`) |
//! | `deadline_seconds` | none | more than 0, at most 31622400 (366 days): by when after its submit a task has to have ended |
//! | `compensation` | `automatic` | `automatic`, `manual`: when the steps of a task that failed or was cancelled are undone (`docs/compensation.md`) |
//! | `budget` | `{}`: none | what a task may use up: `attempts` of all its steps, 1 to 2147483647, and `cost`, 0, or 0.000001 to 1000000000 (`docs/budgets.md`) |
//! | `error_classes` | `{}` | what failures by exceptions of certain classes mean: at most 1000 names of classes or modules, none of `TaskerCore`'s own, each with `retryable`, `permanent` or `blocked` |
//! | `step_templates` | needed | at least one step, in any order; at most 2^20 |
//! | `module_namespace` | none | Ruby module put before each `handler_class` |
//! | `default_dependent_system` | none | `dependent_system` of steps that name none |
//! | `named_steps` | none | the only names that steps may have |
//! | `task_handler_class`, `concurrent`, `custom_events` | | accepted for older templates and dropped |
//!
//! | key of a step | default | allowed |
//! |---|---|---|
//! | `name` | needed | 1 to 512 bytes, unique in the template |
//! | `handler_class` | needed, not with `workflow` | 1 to 255 bytes; `::` in front keeps `module_namespace` away |
//! | `description` | none | at most 4096 bytes |
//! | `depends_on_step`, `depends_on_steps` | none | names of other steps, each once, no circle; or in the list {step: NAME, when: EXPRESSION} (`docs/conditions.md`) |
//! | `join` | `all_complete` | `all_complete`, `all_done`, `any_complete`, `none_failed`, `{"quorum": 2}` with at most the number of parents |
//! | `depends_on_when` | none | the same conditions as in `depends_on_steps: [{step: NAME, when: EXPRESSION}]`, by the names of parents |
//! | `when` | none: it is executed | an expression in CEL of at most 1024 bytes (`docs/conditions.md`) |
//! | `queue` | the template's | 1 to 64 bytes, no control characters |
//! | `default_retryable` | true | true or false |
//! | `default_retry_limit` | 3 | attempts in all, 0 to 1000; 0 counts as 1 |
//! | `crash_limit` | 3 | workers that may die while they execute it, 1 to 100 |
//! | `dynamic` | false | true or false: whether it is a prototype, of which no step is made with a task, for steps that handlers add (`docs/decomposition.md`); it depends on none, none depends on it |
//! | `map` | none | an object: `over`, an expression in CEL whose value is a list, of at most 1024 bytes; `max_parallel`, 1 to 1048576, default none; `tolerate`, 0 to 1048576 or `all`, default 0 (`docs/map.md`) |
//! | `decides` | false | true or false: whether its handler says which of the steps that depend on it are taken; it needs one |
//! | `skippable` | false | true or false: whether an operator may leave it out |
//! | `delay_seconds` | none | how long it waits after it got ready: more than 0, at most 2592000 (30 days) |
//! | `timeout_seconds` | none | more than 0, at most 2592000 (30 days) |
//! | `total_timeout_seconds` | none | how long all attempts together may take: more than 0, at most 31622400 (366 days) |
//! | `reserve_cost` | none | what an attempt reserves of its task's budget before it starts: 0, or 0.000001 to 1000000000 |
//! | `retry.backoff` | `exponential` | `exponential`, `linear`, `fixed`, `fibonacci`, `list` |
//! | `retry.base_seconds` | 1.0 | more than 0, at most 2592000; not with `list` |
//! | `retry.max_seconds` | 300.0, or the base or longest delay if larger | at least these, at most 2592000 |
//! | `retry.jitter` | 0.1 | 0.0 to 1.0 |
//! | `retry.delays_seconds` | needed with `list` | 1 to 100 numbers from 0 to 86400, of which the last repeats; with `list` only |
//! | `error_classes` | `{}` | as the template's, and asked before it |
//! | `workflow` | none | the template that the step runs (`docs/subworkflows.md`): its name, or an object with `name`, `namespace_name`, `version`, `context`, `on_failure` (`fail`, `block`), `on_cancel` (`cancel`, `leave`) |
//! | `compensate_with` | none | the class that undoes the step; as `compensate` with `handler_class` alone |
//! | `compensate` | none | an object with `handler_class`, `default_retryable`, `default_retry_limit`, `retry`, `timeout_seconds` |
//! | `handler_config` | `{}` | an object |
//! | `dependent_system` | the template's | 1 to 64 bytes, no control characters |
//! | `custom_events` | | accepted for older templates and dropped |

mod classes;
mod compensation;
mod diff;
mod error;
mod parse;
mod schema;
mod section;
mod steps;
mod workflow;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

pub use classes::{ErrorClass, ErrorClasses};
pub(crate) use compensation::COMPENSATION_SUFFIX;
pub use compensation::{Compensation, CompensationMode};
pub use diff::{KeyChange, RenamedStep, StepChange, StepSummary, TemplateDiff};
pub use error::TemplateError;
pub(crate) use parse::{
    LONGEST_DEADLINE, LONGEST_NAMESPACE, LONGEST_QUEUE, LONGEST_TASK_NAME, LONGEST_VERSION,
    is_version,
};
use schema::Schema;
pub use schema::{ContextError, Violation};
pub(crate) use steps::{LONGEST_STEP_NAME, NOT_LIKE_AN_ITEM, is_like_an_item};
pub use workflow::{OnCancel, OnFailure, Workflow, WorkflowContext};

use crate::budget::{Cost, Limits};
use crate::condition::Condition;
use crate::graph::Graph;
use crate::join_policy::JoinPolicy;
use crate::json::{JsonLimits, is_default};
use crate::retry_policy::{Backoff, RetryPolicy};

/// One step of a template.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTemplate {
    /// Name, unique within the template.
    pub name: String,
    /// Class that executes the step, with its module and without `::` in front.
    pub handler_class: String,
    /// What the step is for.
    pub description: Option<String>,
    /// Names of the steps that it waits for, in the order given.
    pub depends_on_steps: Vec<String>,
    /// Conditions on edges, by the names of these: for whom one is not met, the step counts it as skipped.
    pub edge_conditions: BTreeMap<String, Condition>,
    /// Which ends of these it waits for.
    pub join: JoinPolicy,
    /// Whether it is executed then; where it is not, it is skipped.
    pub when: Option<Condition>,
    /// Which workers may claim it.
    pub queue: String,
    /// Whether, how often and when it is tried again.
    pub retry_policy: RetryPolicy,
    /// Whether its handler says which of the steps that depend on it are taken.
    pub decides: bool,
    /// Whether it is a prototype of steps that are added while a task runs.
    pub dynamic: bool,
    /// Whether it is executed for each item of a list.
    pub map: Option<MapTemplate>,
    /// Whether an operator may leave it out.
    pub skippable: bool,
    /// How long it waits after it got ready.
    pub delay: Option<Duration>,
    /// How long one attempt may take; nothing for as long as it likes.
    pub timeout: Option<Duration>,
    /// How long all attempts together may take from when the first one can begin; nothing for as long as they like.
    pub total_timeout: Option<Duration>,
    /// What an attempt reserves of its task's budget before it starts.
    pub reserve_cost: Option<Cost>,
    /// What failures by exceptions of certain classes mean, by name; asked before the template's own.
    pub error_classes: ErrorClasses,
    /// Handed to the handler as it is.
    pub handler_config: Map<String, Value>,
    /// The outside system that it talks to.
    pub dependent_system: Option<String>,
    /// The template that it runs.
    pub workflow: Option<Workflow>,
    /// What undoes it.
    pub compensation: Option<Compensation>,
}

/// How a step is executed for each item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct MapTemplate {
    /// The list.
    pub over: Condition,
    /// How many items may run at a time; nothing for as many as there are.
    pub max_parallel: Option<u32>,
    /// How many items may fail for good; nothing for all of them.
    pub tolerate: Option<u32>,
}

impl Serialize for MapTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tolerate = self.tolerate.map_or_else(|| Value::from("all"), Value::from);
        MapJson { over: self.over.text(), max_parallel: self.max_parallel, tolerate }
            .serialize(serializer)
    }
}

#[derive(Serialize)]
struct MapJson<'a> {
    over: &'a str,
    max_parallel: Option<u32>,
    tolerate: Value,
}

impl Serialize for StepTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        StepJson::from(self).serialize(serializer)
    }
}

/// The keys of a step in the order of the normalised form.
#[derive(Serialize)]
struct StepJson<'a> {
    name: &'a str,
    handler_class: &'a str,
    description: Option<&'a str>,
    depends_on_steps: &'a [String],
    depends_on_when: BTreeMap<&'a str, &'a str>,
    join: JoinPolicy,
    when: Option<&'a str>,
    queue: &'a str,
    default_retryable: bool,
    default_retry_limit: u32,
    crash_limit: u32,
    decides: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dynamic: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<&'a MapTemplate>,
    skippable: bool,
    delay_seconds: Option<f64>,
    timeout_seconds: Option<f64>,
    total_timeout_seconds: Option<f64>,
    reserve_cost: Option<f64>,
    retry: RetryJson,
    error_classes: &'a ErrorClasses,
    handler_config: &'a Map<String, Value>,
    dependent_system: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<&'a Workflow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compensate: Option<&'a Compensation>,
}

#[derive(Serialize)]
struct RetryJson {
    backoff: &'static str,
    base_seconds: Option<f64>,
    max_seconds: f64,
    jitter: f64,
    delays_seconds: Option<Vec<f64>>,
}

impl<'a> From<&'a StepTemplate> for StepJson<'a> {
    fn from(step: &'a StepTemplate) -> Self {
        StepJson {
            name: &step.name,
            handler_class: &step.handler_class,
            description: step.description.as_deref(),
            depends_on_steps: &step.depends_on_steps,
            depends_on_when: step
                .edge_conditions
                .iter()
                .map(|(parent, condition)| (parent.as_str(), condition.text()))
                .collect(),
            join: step.join,
            when: step.when.as_ref().map(Condition::text),
            queue: &step.queue,
            default_retryable: step.retry_policy.retryable,
            default_retry_limit: step.retry_policy.limit,
            crash_limit: step.retry_policy.crash_limit,
            decides: step.decides,
            dynamic: step.dynamic,
            map: step.map.as_ref(),
            skippable: step.skippable,
            delay_seconds: step.delay.map(|delay| delay.as_secs_f64()),
            timeout_seconds: step.timeout.map(|timeout| timeout.as_secs_f64()),
            total_timeout_seconds: step.total_timeout.map(|timeout| timeout.as_secs_f64()),
            reserve_cost: step.reserve_cost.map(Cost::number),
            retry: RetryJson::from(&step.retry_policy),
            error_classes: &step.error_classes,
            handler_config: &step.handler_config,
            dependent_system: step.dependent_system.as_deref(),
            workflow: step.workflow.as_ref(),
            compensate: step.compensation.as_ref(),
        }
    }
}

impl From<&RetryPolicy> for RetryJson {
    fn from(policy: &RetryPolicy) -> Self {
        let (base, delays) = match &policy.backoff {
            Backoff::List(delays) => {
                (None, Some(delays.iter().map(Duration::as_secs_f64).collect()))
            }
            Backoff::Exponential | Backoff::Linear | Backoff::Fixed | Backoff::Fibonacci => {
                (Some(policy.base.as_secs_f64()), None)
            }
        };
        RetryJson {
            backoff: policy.backoff.as_str(),
            base_seconds: base,
            max_seconds: policy.cap.as_secs_f64(),
            jitter: policy.jitter,
            delays_seconds: delays,
        }
    }
}

/// What a template says; two templates are the same if this is.
#[derive(Debug, PartialEq, Serialize)]
struct Content {
    namespace_name: String,
    name: String,
    version: String,
    description: Option<String>,
    schema: Option<Value>,
    queue: String,
    #[serde(skip_serializing_if = "is_default")]
    priority: i16,
    #[serde(rename = "deadline_seconds", serialize_with = "seconds")]
    deadline: Option<Duration>,
    #[serde(skip_serializing_if = "is_default")]
    compensation: CompensationMode,
    #[serde(serialize_with = "limits")]
    budget: Limits,
    error_classes: ErrorClasses,
    step_templates: Vec<StepTemplate>,
}

#[expect(clippy::ref_option, reason = "serde hands it over like this")]
fn seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

fn limits<S: Serializer>(limits: &Limits, serializer: S) -> Result<S::Ok, S::Error> {
    let attempts = limits.attempts.map(|most| ("attempts", Value::from(most.get())));
    let cost = limits.cost.map(|most| ("cost", Value::from(most.number())));
    serializer.collect_map(attempts.into_iter().chain(cost))
}

/// A named, versioned workflow: a graph of steps. Immutable and valid.
///
/// # Examples
/// ```
/// use tasker_core::template::TaskTemplate;
///
/// let template = TaskTemplate::from_json(
///     r#"{"name": "reconcile", "namespace_name": "billing", "version": "1.2.0", "step_templates": [
///         {"name": "load", "handler_class": "Billing::Load"},
///         {"name": "post", "handler_class": "Billing::Post", "depends_on_step": "load"}]}"#,
/// )?;
/// assert_eq!(template.steps()[1].depends_on_steps, ["load"]);
/// assert_eq!(template.step_index("post"), Some(1));
/// assert_eq!(template.graph().parents(1), [0]);
/// assert_eq!(TaskTemplate::from_json(&template.to_json())?, template);
/// # Ok::<(), tasker_core::template::TemplateError>(())
/// ```
#[derive(Debug)]
pub struct TaskTemplate {
    content: Content,
    graph: Graph,
    index: HashMap<String, u32>,
    compiled: Option<Schema>,
}

impl PartialEq for TaskTemplate {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

impl Serialize for TaskTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.content.serialize(serializer)
    }
}

impl TaskTemplate {
    /// Reads and checks a template of at most 64 MiB of JSON, normalised at most 64 MiB as
    /// well. Takes time proportional to its length. A key that stands twice in one object counts with its last value.
    ///
    /// # Errors
    /// [`TemplateError`] for the first fault found.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::template::TaskTemplate;
    ///
    /// let error = TaskTemplate::from_json(r#"{"name": "x", "steps": []}"#).unwrap_err();
    /// assert_eq!(error.to_string(), "steps is not a known key; did you mean \"step_templates\"?");
    /// ```
    pub fn from_json(text: &str) -> Result<TaskTemplate, TemplateError> {
        parse::template(text, JsonLimits::TEMPLATE)
    }

    /// Puts checked parts together.
    fn assemble(content: Content, graph: Graph, compiled: Option<Schema>) -> TaskTemplate {
        let names = content.step_templates.iter().map(|step| step.name.clone());
        let index = names.zip(0..).collect();
        TaskTemplate { content, graph, index, compiled }
    }

    /// The namespace, such as `billing`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.content.namespace_name
    }

    /// The name, unique together with namespace and version.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.content.name
    }

    /// The semantic version, such as `1.2.0`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.content.version
    }

    /// What the workflow is for.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.content.description.as_deref()
    }

    /// The JSON Schema of contexts.
    #[must_use]
    pub fn schema(&self) -> Option<&Value> {
        self.content.schema.as_ref()
    }

    /// The queue of steps that name none.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.content.queue
    }

    /// The priority of tasks that are submitted with none: steps of tasks with a lower one are claimed first.
    #[must_use]
    pub const fn priority(&self) -> i16 {
        self.content.priority
    }

    /// How long after its submit a task may take; nothing for as long as it likes.
    #[must_use]
    pub const fn deadline(&self) -> Option<Duration> {
        self.content.deadline
    }

    /// What a task may use up.
    #[must_use]
    pub const fn budget(&self) -> Limits {
        self.content.budget
    }

    /// What failures by exceptions of certain classes mean, by name, where a step's own table does not know them.
    #[must_use]
    pub const fn error_classes(&self) -> &ErrorClasses {
        &self.content.error_classes
    }

    /// The steps in the order given; a step's position is its number in [`TaskTemplate::graph`].
    #[must_use]
    pub fn steps(&self) -> &[StepTemplate] {
        &self.content.step_templates
    }

    /// Which step waits for which, by position.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The position of the step called `name`.
    #[must_use]
    pub fn step_index(&self, name: &str) -> Option<u32> {
        self.index.get(name).copied()
    }

    /// Checks the JSON text of a new task's context: at most 1 MiB and 64 levels, an object, and
    /// as the schema says. A property that the schema does not mention is fine unless the schema
    /// forbids it, and `format` is a remark unless the schema's draft makes it a rule.
    ///
    /// # Errors
    /// [`ContextError`] with every violation, at most 20.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::template::TaskTemplate;
    ///
    /// let template = TaskTemplate::from_json(
    ///     r#"{"name": "ship", "schema": {"properties": {"order_id": {"type": "integer"}}},
    ///         "step_templates": [{"name": "a", "handler_class": "A"}]}"#,
    /// )
    /// .unwrap();
    /// assert!(template.validate_context(r#"{"order_id": 7, "gift": true}"#).is_ok());
    /// assert!(template.validate_context(r#"{"order_id": "7"}"#).is_err());
    /// ```
    pub fn validate_context(&self, context: &str) -> Result<(), ContextError> {
        self.validate_context_within(JsonLimits::CONTEXT, context)
    }

    /// As [`TaskTemplate::validate_context`], with another largest size; the depth stays 64.
    ///
    /// # Errors
    /// [`ContextError`] with every violation, at most 20.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::json::JsonLimits;
    /// use tasker_core::template::TaskTemplate;
    ///
    /// let template = TaskTemplate::from_json(
    ///     r#"{"name": "ship", "step_templates": [{"name": "a", "handler_class": "A"}]}"#,
    /// )
    /// .unwrap();
    /// let limits = JsonLimits { max_bytes: 10, ..JsonLimits::CONTEXT };
    /// assert!(template.validate_context_within(limits, r#"{"id": 1}"#).is_ok());
    /// assert!(template.validate_context_within(limits, r#"{"id": 100}"#).is_err());
    /// ```
    pub fn validate_context_within(
        &self,
        limits: JsonLimits,
        context: &str,
    ) -> Result<(), ContextError> {
        let max_depth = limits.max_depth.min(JsonLimits::CONTEXT.max_depth);
        schema::validate(self.compiled.as_ref(), context, JsonLimits { max_depth, ..limits })
    }

    /// The normalised form: every key with its value, defaults filled in, always in the same
    /// order, so that equal templates give equal texts.
    ///
    /// # Examples
    /// ```
    /// use tasker_core::template::TaskTemplate;
    ///
    /// let text = r#"{"step_templates": [{"handler_class": "A", "name": "a"}], "name": "x"}"#;
    /// let json = TaskTemplate::from_json(text)?.to_json();
    /// assert!(json.starts_with(r#"{"namespace_name":"default","name":"x","version":"0.1.0","#));
    /// # Ok::<(), tasker_core::template::TemplateError>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.content).expect("keys are text and numbers are finite")
    }
}

#[cfg(test)]
mod tests;
