//! Conditions of steps: expressions in CEL, the Common Expression Language, over a task's context and the results of
//! a step's parents. Parsed and checked with the template, evaluated before a step is executed; both take bounded
//! time, whatever is written there.
//!
//! Source: the language's definition, <https://github.com/cel-expr/cel-spec>.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::objects::{Key, Map};
use cel::parser::Parser;
use cel::{Context, Env, Value};
use serde_json::Value as Json;

use crate::json::shorten;
use crate::suggest::nearest;

/// Longest expression, in bytes.
pub const LONGEST_CONDITION: usize = 1_024;

/// How deep expressions may lie within one another. Each level takes tens of kilobytes of a thread's stack
/// where the evaluator is not optimised, and threads of the runtime have 2 MiB.
const DEEPEST: u16 = 24;

/// Stack on which is parsed, in bytes: a generated parser goes deeper than what it finds.
const PARSER_STACK: usize = 16 << 20;

/// How often `context` and `results` are read at most, times as many bytes as they have. It bounds what a loop over
/// them does with them.
const MOST_BYTES_READ: u64 = 64 << 20;

/// How often they may be read, whatever their size.
const ALWAYS_READ: u64 = 32;

/// Longest part of a message of the evaluator, in characters: it repeats values.
const LONGEST_REASON: usize = 300;

/// The variables.
const CONTEXT: &str = "context";
const RESULTS: &str = "results";

/// The functions, without operators.
const FUNCTIONS: [&str; 9] =
    ["size", "contains", "startsWith", "endsWith", "int", "double", "string", "bool", "uint"];

/// The functions and types that all expressions are evaluated with, which take longer to put together than most take to be
/// evaluated.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// An expression that says whether a step is executed.
#[derive(Clone)]
pub struct Condition {
    text: Box<str>,
    expression: Arc<IdedExpr>,
}

/// Why an expression is refused: the place, counted in characters from 1, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionFault {
    /// The character at which the fault is.
    pub position: usize,
    /// What is wrong.
    pub problem: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Condition {
    /// Parses and checks an expression of at most [`LONGEST_CONDITION`] bytes, of a step with these parents.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(text: &str, parents: &[String]) -> Result<Self, ConditionFault> {
        if text.len() > LONGEST_CONDITION {
            let problem = format!("is longer than {LONGEST_CONDITION} bytes");
            return Err(ConditionFault { position: 1, problem, suggestion: None });
        }
        let check = || {
            let (expression, source) = parse(text)?;
            Checker { source: &source, text, parents }.check(&expression, &[], 0)?;
            Ok(expression)
        };
        let expression = stacker::grow(PARSER_STACK, check)?;
        Ok(Self { text: text.into(), expression: Arc::new(expression) })
    }

    /// The expression as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the condition is met by a context and the results of parents by name, JSON texts.
    ///
    /// # Errors
    /// Why it cannot be told, or that its value is neither true nor false.
    pub fn is_met<'a>(
        &self,
        context: &str,
        results: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<bool, String> {
        let value = self.evaluate(context, results)?;
        if let Value::Bool(met) = value {
            return Ok(met);
        }
        Err(format!("its value is neither true nor false but {}", value.type_of()))
    }

    /// The value of the expression, as JSON.
    ///
    /// # Errors
    /// Why there is none, or that JSON cannot say it.
    pub fn value<'a>(
        &self,
        context: &str,
        results: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Json, String> {
        convert_back(&self.evaluate(context, results)?)
    }

    /// The expression's value, a list, each of its elements as JSON text.
    ///
    /// # Errors
    /// Why it cannot be told, or that its value is no list of what JSON can say.
    pub fn list<'a>(
        &self,
        context: &str,
        results: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<Arc<str>>, String> {
        let value = self.evaluate(context, results)?;
        if let Value::List(list) = &value {
            return list.iter().map(|value| Ok(convert_back(value)?.to_string().into())).collect();
        }
        Err(format!("its value is no list but {}", value.type_of()))
    }

    fn evaluate<'a>(
        &self,
        context: &str,
        results: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Value, String> {
        let mut bytes = context.len();
        let context = value(context)?;
        let results = results.map(|(name, json)| {
            bytes += json.len();
            Ok((Key::from(name.to_owned()), value(json)?))
        });
        let results: Result<_, String> = results.collect();
        let variables = Variables {
            context: boxed(context)?,
            results: boxed(Value::Map(Map { map: Arc::new(results?) }))?,
            most: (MOST_BYTES_READ / (bytes as u64).max(1)).max(ALWAYS_READ),
            read: AtomicU64::new(0),
        };
        // A panic beyond this function ends the worker, and then the next one that claims the step.
        let evaluated = catch_unwind(AssertUnwindSafe(|| {
            let mut root = Context::with_env(Arc::clone(&ENVIRONMENT));
            root.set_variable_resolver(&variables);
            Value::resolve(&self.expression, &root)
        }));
        if variables.read.load(Ordering::Relaxed) > variables.most {
            return Err("it reads context and results too often for how large they are".to_owned());
        }
        match evaluated {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(shorten(&error.to_string(), LONGEST_REASON)),
            Err(_) => Err("its evaluation is defective".to_owned()),
        }
    }
}

fn fault(position: usize, problem: String) -> ConditionFault {
    ConditionFault { position, problem, suggestion: None }
}

fn parse(text: &str) -> Result<(IdedExpr, SourceInfo), ConditionFault> {
    let parser = Parser::new().max_recursion_depth(DEEPEST).error_recovery_limit(1);
    parser.parse_with_source_info(text).map_err(|errors| {
        let Some(first) = errors.errors.first() else {
            return fault(1, "cannot be parsed".to_owned());
        };
        let (line, column) = (first.pos.0.max(1), first.pos.1.max(0));
        let (line, column) = (line.unsigned_abs(), column.unsigned_abs());
        let before: usize =
            text.split_inclusive('\n').take(line - 1).map(|l| l.chars().count()).sum();
        fault(before + column.max(1), unparsed(&first.msg))
    })
}

/// What the parser says, without its list of all that could have stood there, and without its own values.
fn unparsed(message: &str) -> String {
    if message.contains("Recursion limit of ") {
        return too_deep();
    }
    let message = message.replace('\n', " ");
    if message.contains("ParseError {") || message == "UNKNOWN" {
        return "cannot be parsed".to_owned();
    }
    let message = message.split(" expecting ").next().unwrap_or_default();
    if message.contains("'<EOF>'") {
        return "ends too early".to_owned();
    }
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    shorten(&format!("cannot be parsed: {message}"), LONGEST_REASON)
}

fn too_deep() -> String {
    format!("lies more than {DEEPEST} levels deep")
}

/// Looks for what an expression must not hold.
struct Checker<'a> {
    source: &'a SourceInfo,
    text: &'a str,
    parents: &'a [String],
}

impl Checker<'_> {
    /// `bound`: the variables of the loop that the expression is part of.
    fn check(&self, node: &IdedExpr, bound: &[&str], depth: u16) -> Result<(), ConditionFault> {
        if depth > DEEPEST {
            return Err(self.fault(node, too_deep()));
        }
        let check = |node: &IdedExpr| self.check(node, bound, depth + 1);
        match &node.expr {
            Expr::Ident(name) => self.check_variable(node, name, bound),
            Expr::Select(select) => {
                self.check_parent(node, &select.operand, &select.field, bound)?;
                check(&select.operand)
            }
            Expr::Call(call) => {
                self.check_function(node, &call.func_name)?;
                if let ("_[_]", [operand, index]) = (&*call.func_name, &*call.args)
                    && let Expr::Literal(LiteralValue::String(name)) = &index.expr
                {
                    self.check_parent(node, operand, name.inner(), bound)?;
                }
                call.target.as_deref().into_iter().chain(&call.args).try_for_each(check)
            }
            Expr::Comprehension(all) => {
                check(&all.iter_range)?;
                if !bound.is_empty() {
                    let problem = "is a loop within a loop: all, exists and exists_one must not \
                                   stand in one another";
                    return Err(self.fault(node, problem.to_owned()));
                }
                if matches!(all.accu_init.expr, Expr::List(_)) {
                    let problem = "makes a list, as map and filter do; there are all, exists and \
                                   exists_one";
                    return Err(self.fault(node, problem.to_owned()));
                }
                let names = [Some(&all.iter_var), all.iter_var2.as_ref(), Some(&all.accu_var)];
                let names: Vec<_> = names.into_iter().flatten().map(String::as_str).collect();
                let parts = [&all.accu_init, &all.loop_cond, &all.loop_step, &all.result];
                parts.into_iter().try_for_each(|part| self.check(part, &names, depth + 1))
            }
            Expr::List(list) => list.elements.iter().try_for_each(check),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::StructField(field) => check(&field.value),
                EntryExpr::MapEntry(entry) => check(&entry.key).and_then(|()| check(&entry.value)),
            }),
            Expr::Struct(made) => Err(self
                .fault(node, format!("makes a {:?}, and there are no such types", made.type_name))),
            Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn check_variable(
        &self,
        node: &IdedExpr,
        name: &str,
        bound: &[&str],
    ) -> Result<(), ConditionFault> {
        if bound.contains(&name) || name == CONTEXT || name == RESULTS {
            return Ok(());
        }
        let problem =
            format!("names {:?}, which is no variable; there are context and results", clip(name));
        let suggestion = nearest(name, [CONTEXT, RESULTS]).map(str::to_owned);
        Err(ConditionFault { suggestion, ..self.fault(node, problem) })
    }

    fn check_function(&self, node: &IdedExpr, name: &str) -> Result<(), ConditionFault> {
        let is_operator = !name.starts_with(|first: char| first.is_alphabetic());
        if is_operator || FUNCTIONS.contains(&name) {
            return Ok(());
        }
        let problem = format!(
            "calls {:?}, which is no function; there are {}",
            clip(name),
            FUNCTIONS.join(", ")
        );
        let suggestion = nearest(name, FUNCTIONS).map(str::to_owned);
        Err(ConditionFault { suggestion, ..self.fault(node, problem) })
    }

    /// The results of another step than a parent are not at hand.
    fn check_parent(
        &self,
        node: &IdedExpr,
        operand: &IdedExpr,
        name: &str,
        bound: &[&str],
    ) -> Result<(), ConditionFault> {
        let of_results = matches!(&operand.expr, Expr::Ident(operand) if operand == RESULTS)
            && !bound.contains(&RESULTS);
        if !of_results || self.parents.iter().any(|parent| parent == name) {
            return Ok(());
        }
        let parents: Vec<_> = self.parents.iter().take(20).map(|parent| clip(parent)).collect();
        let there_are =
            if parents.is_empty() { "it has none".to_owned() } else { parents.join(", ") };
        let problem = format!(
            "reads the results of {:?}, which is not a parent of the step; parents: {there_are}",
            clip(name)
        );
        let suggestion = nearest(name, self.parents.iter().map(String::as_str)).map(str::to_owned);
        Err(ConditionFault { suggestion, ..self.fault(node, problem) })
    }

    fn fault(&self, node: &IdedExpr, problem: String) -> ConditionFault {
        let start = self.source.offset_for(node.id).map_or(0, |(start, _)| start as usize);
        let position = self.text.char_indices().take_while(|(at, _)| *at < start).count() + 1;
        fault(position, problem)
    }
}

fn clip(name: &str) -> String {
    shorten(name, 80)
}

/// `context` and `results`, and how much was read of them.
struct Variables {
    context: Box<dyn Val>,
    results: Box<dyn Val>,
    /// How often they may be read.
    most: u64,
    read: AtomicU64,
}

impl VariableResolver for Variables {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let value = match variable {
            CONTEXT => &self.context,
            RESULTS => &self.results,
            _ => return None,
        };
        let read = self.read.fetch_add(1, Ordering::Relaxed);
        (read < self.most).then(|| CowVal::Borrowed(value.as_ref()))
    }
}

fn boxed(value: Value) -> Result<Box<dyn Val>, String> {
    value.try_into().map_err(|_| "its variables cannot be read".to_owned())
}

fn value(json: &str) -> Result<Value, String> {
    serde_json::from_str(json)
        .map(convert)
        .map_err(|error| format!("its variables cannot be read: {error}"))
}

/// Whole numbers are `int` wherever they fit: CEL adds no `int` to a `uint`.
fn convert(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(uint)) => Value::UInt(uint),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Arc::new(text)),
        Json::Array(list) => Value::List(Arc::new(list.into_iter().map(convert).collect())),
        Json::Object(object) => {
            let entries = object.into_iter().map(|(key, value)| (Key::from(key), convert(value)));
            Value::Map(Map { map: Arc::new(entries.collect()) })
        }
    }
}

fn convert_back(value: &Value) -> Result<Json, String> {
    match value {
        Value::Null => Ok(Json::Null),
        Value::Bool(value) => Ok(Json::Bool(*value)),
        Value::Int(int) => Ok(Json::from(*int)),
        Value::UInt(uint) => Ok(Json::from(*uint)),
        Value::Float(float) => serde_json::Number::from_f64(*float)
            .map(Json::Number)
            .ok_or_else(|| format!("its value holds {float}, which JSON cannot say")),
        Value::String(text) => Ok(Json::String(text.to_string())),
        Value::List(list) => list.iter().map(convert_back).collect(),
        Value::Map(map) => {
            let entries = map.map.iter().map(|(key, value)| match key {
                Key::String(key) => Ok((key.to_string(), convert_back(value)?)),
                Key::Int(_) | Key::Uint(_) | Key::Bool(_) => {
                    Err(format!("its value has the key {key:?}, which is no text"))
                }
            });
            entries.collect::<Result<serde_json::Map<_, _>, _>>().map(Json::Object)
        }
        Value::Function(..) | Value::Bytes(_) | Value::Opaque(_) | Value::Struct(_) => {
            Err(format!("its value is {}, which JSON cannot say", value.type_of()))
        }
    }
}

#[cfg(test)]
mod tests;
