//! What a schema costs before it is compiled: how deep and on how many ways its parts lead to one another.
//!
//! A schema's parts may refer to one another, so a short text can describe ever so much work: a line of
//! references as deep as it is long, two references in each of forty parts. The validator follows them on
//! the stack and, unless they lead in a circle, one by one; so both are counted here, by part, without
//! recursion and in time proportional to the schema.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::{Map, Value};

use crate::json::JsonLimits;

/// Most parts of a schema within one another that one context may lead through. A part takes about
/// 300 bytes of stack; Ruby's threads have 1 MiB.
const MOST_NESTED: u32 = 2_000;

/// Most parts of a schema that are asked about one place of a context and those around it.
const MOST_WAYS: u64 = 1_000;

/// Levels of a context.
const LEVELS: usize = JsonLimits::CONTEXT.max_depth;

/// Keywords whose list of schemas is about the same value.
const SAME_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keywords whose schema is about the same value.
const SAME: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords whose mapping of schemas is about the same value.
const SAME_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords whose schema is about a part of the value that no other of these is about.
const PARTS: [&str; 7] = [
    "items",
    "additionalItems",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords whose references are followed.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords that look at the schemas beside them a second time.
const SECOND_LOOK: [&str; 2] = ["unevaluatedItems", "unevaluatedProperties"];
/// Keywords that give a part a name.
const ANCHORS: [&str; 4] = ["$anchor", "$dynamicAnchor", "$id", "id"];

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooCostly {
    #[error("refers to something that cannot be found in it: {0}")]
    Unknown(String),
    #[error("refers to itself about the same value: {0}")]
    Circle(String),
    #[error("leads through {0} schemas one within another")]
    Nested(u32),
    #[error("asks {0} schemas about the same value")]
    Ways(u64),
}

impl TooCostly {
    pub(super) fn allowed(&self) -> String {
        match self {
            Self::Unknown(_) => "references within the schema, such as #/$defs/address, and a known draft in $schema".into(),
            Self::Circle(_) => "references to itself from within properties or items, so that each goes one level deeper".into(),
            Self::Nested(_) => format!("at most {MOST_NESTED}, each level of a context counted: refer to less"),
            Self::Ways(_) => format!("at most {MOST_WAYS}: refer to the same schema less often"),
        }
    }
}

/// For contexts of each depth, how many parts of the schema are asked about one place when nothing is
/// remembered; ends where more levels add nothing.
#[derive(Debug)]
pub(super) struct Cost {
    ways: Vec<u64>,
}

impl Cost {
    /// # Errors
    /// [`TooCostly`]; the schema may be anything.
    pub(super) fn of(schema: &Value) -> Result<Cost, TooCostly> {
        let graph = Graph::of(schema)?;
        let order = graph.order(Node::same_value);
        if let Some(circle) = order.circle {
            return Err(TooCostly::Circle(graph.names[circle as usize].clone()));
        }
        graph.by_level(&order.ends)
    }

    /// Whether each fault of a context of so many levels can be looked for.
    pub(super) fn allows_details(&self, levels: usize) -> bool {
        let ways = self.ways.get(levels).or(self.ways.last());
        ways.is_none_or(|ways| *ways <= MOST_WAYS)
    }
}

/// One schema within the schema, and those that it leads to.
#[derive(Default)]
struct Node {
    /// About the same value.
    same: Vec<u32>,
    /// About parts of the value, each about another one.
    apart: Vec<u32>,
    /// About parts of the value that others are about, too.
    shared: Vec<u32>,
    second_look: bool,
}

impl Node {
    fn same_value(&self, edge: usize) -> Option<u32> {
        self.same.get(edge).copied()
    }

    fn any(&self, edge: usize) -> Option<u32> {
        self.same.iter().chain(&self.apart).chain(&self.shared).nth(edge).copied()
    }

    /// From what is known of the schemas about the same value, and, one level deeper, about its parts.
    fn sums(&self, same: &[Sums], parts: &[Sums], back: impl Fn(u32) -> bool) -> Sums {
        let asked = |node: u32, all: &[Sums]| if back(node) { 1 } else { all[node as usize].asked };
        Sums {
            ways: self.ways(|node| same[node as usize].ways, |node| parts[node as usize].ways),
            asked: self.ways(|node| asked(node, same), |node| asked(node, parts)),
            nested: self.nested(same, parts),
        }
    }

    fn ways(&self, same: impl Fn(u32) -> u64, parts: impl Fn(u32) -> u64) -> u64 {
        let looks = if self.second_look { 2 } else { 1 };
        let here = self.same.iter().fold(0, |sum: u64, node| sum.saturating_add(same(*node)));
        let apart = self.apart.iter().map(|node| parts(*node)).max().unwrap_or(0);
        let there = self.shared.iter().fold(apart, |sum, node| sum.saturating_add(parts(*node)));
        here.saturating_add(there).saturating_mul(looks).saturating_add(1)
    }

    fn nested(&self, same: &[Sums], parts: &[Sums]) -> u32 {
        let here = self.same.iter().map(|node| same[*node as usize].nested);
        let there = self.apart.iter().chain(&self.shared).map(|node| parts[*node as usize].nested);
        here.chain(there).max().unwrap_or(0).saturating_add(1)
    }
}

/// What a schema leads to in contexts of so many levels.
#[derive(Clone, Copy, Default, PartialEq)]
struct Sums {
    /// Schemas that are asked about one place and those around it.
    ways: u64,
    /// As `ways`, but what leads back is asked once: whether a value matches is remembered there.
    asked: u64,
    /// Schemas within one another.
    nested: u32,
}

impl Sums {
    fn check(&self) -> Result<(), TooCostly> {
        if self.asked > MOST_WAYS {
            return Err(TooCostly::Ways(self.asked));
        }
        if self.nested > MOST_NESTED {
            return Err(TooCostly::Nested(self.nested));
        }
        Ok(())
    }
}

/// The nodes, each after those that it leads to, and one that leads to itself.
struct Order {
    ends: Vec<u32>,
    circle: Option<u32>,
}

struct Graph {
    nodes: Vec<Node>,
    names: Vec<String>,
}

impl Graph {
    fn of(schema: &Value) -> Result<Graph, TooCostly> {
        let mut reader = Reader::new(schema);
        reader.visit(Place { value: schema, base: schema }, "the schema");
        while let Some((node, place)) = reader.open.pop() {
            reader.read(node, place)?;
        }
        Ok(Graph { nodes: reader.nodes, names: reader.names })
    }

    /// Depth first along `edges`, from every node.
    fn order(&self, edges: impl Fn(&Node, usize) -> Option<u32>) -> Order {
        let mut order = Order { ends: Vec::with_capacity(self.nodes.len()), circle: None };
        let mut seen = vec![false; self.nodes.len()];
        let mut ended = vec![false; self.nodes.len()];
        let mut path = Vec::new();
        for start in (0..).take(self.nodes.len()) {
            if !std::mem::replace(&mut seen[start as usize], true) {
                path.push((start, 0));
            }
            while let Some((node, edge)) = path.pop() {
                let Some(next) = edges(&self.nodes[node as usize], edge) else {
                    ended[node as usize] = true;
                    order.ends.push(node);
                    continue;
                };
                path.push((node, edge + 1));
                if !std::mem::replace(&mut seen[next as usize], true) {
                    path.push((next, 0));
                } else if !ended[next as usize] {
                    order.circle = Some(next);
                }
            }
        }
        order
    }

    /// For each node, when depth first it ends: what leads to one that ends later, leads back.
    fn ends(&self) -> Vec<u32> {
        let mut ends = vec![0; self.nodes.len()];
        for (end, node) in (0..).zip(self.order(Node::any).ends) {
            ends[node as usize] = end;
        }
        ends
    }

    /// `order` is that along the schemas about the same value.
    fn by_level(&self, order: &[u32]) -> Result<Cost, TooCostly> {
        let ends = self.ends();
        let mut sums = vec![Sums::default(); self.nodes.len()];
        let mut cost = Cost { ways: Vec::new() };
        for _ in 0..=LEVELS {
            let below = sums.clone();
            for &node in order {
                let back = |next: u32| ends[next as usize] >= ends[node as usize];
                sums[node as usize] = self.nodes[node as usize].sums(&sums, &below, back);
            }
            sums.iter().try_for_each(|sums| sums.check())?;
            cost.ways.push(sums[0].ways);
            if sums == below {
                break;
            }
        }
        Ok(cost)
    }
}

/// A schema and the one with an `$id` around it.
#[derive(Clone, Copy)]
struct Place<'a> {
    value: &'a Value,
    base: &'a Value,
}

impl<'a> Place<'a> {
    fn inner(self, value: &'a Value) -> Self {
        let base = if identifier(value).is_some() { value } else { self.base };
        Place { value, base }
    }

    fn at(self, pointer: &str) -> Option<Self> {
        pointer.split('/').skip(1).try_fold(self, |place, word| {
            let value = place.value.pointer(&format!("/{word}"))?;
            Some(place.inner(value))
        })
    }
}

/// The `$id` of a schema; one that begins with `#` is an anchor.
fn identifier(value: &Value) -> Option<&str> {
    let id = value.get("$id").or_else(|| value.get("id"))?.as_str()?;
    (!id.starts_with('#')).then_some(id)
}

struct Reader<'a> {
    numbers: HashMap<*const Value, u32>,
    nodes: Vec<Node>,
    names: Vec<String>,
    open: Vec<(u32, Place<'a>)>,
    root: &'a Value,
    /// Everything in the schema that has a name.
    named: Vec<Place<'a>>,
}

impl<'a> Reader<'a> {
    fn new(root: &'a Value) -> Self {
        let mut named = Vec::new();
        let mut open = vec![Place { value: root, base: root }];
        while let Some(place) = open.pop() {
            if ANCHORS.iter().any(|key| place.value.get(key).is_some()) {
                named.push(place);
            }
            match place.value {
                Value::Object(map) => open.extend(map.values().map(|value| place.inner(value))),
                Value::Array(list) => open.extend(list.iter().map(|value| place.inner(value))),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        Reader {
            numbers: HashMap::new(),
            nodes: Vec::new(),
            names: Vec::new(),
            open: Vec::new(),
            root,
            named,
        }
    }

    /// The node of a schema that is an object; `name` is how a message calls it.
    fn visit(&mut self, place: Place<'a>, name: &str) -> Option<u32> {
        if !place.value.is_object() {
            return None;
        }
        let next = u32::try_from(self.nodes.len()).ok()?;
        let node = match self.numbers.entry(place.value) {
            Entry::Occupied(entry) => return Some(*entry.get()),
            Entry::Vacant(entry) => *entry.insert(next),
        };
        self.nodes.push(Node::default());
        self.names.push(name.to_owned());
        self.open.push((node, place));
        Some(node)
    }

    fn read(&mut self, node: u32, place: Place<'a>) -> Result<(), TooCostly> {
        let Value::Object(map) = place.value else { return Ok(()) };
        let mut same = self.visit_all(place, schemas(map, &SAME, &SAME_LISTS, &SAME_MAPS));
        same.extend(self.references(map, place)?);
        let apart =
            self.visit_all(place, schemas(map, &PARTS, &["prefixItems", "items"], &["properties"]));
        let shared =
            self.visit_all(place, schemas(map, &["contains"], &[], &["patternProperties"]));
        let second_look = SECOND_LOOK.iter().any(|key| map.contains_key(*key));
        self.nodes[node as usize] = Node { same, apart, shared, second_look };
        Ok(())
    }

    fn visit_all(&mut self, place: Place<'a>, schemas: Vec<(&str, &'a Value)>) -> Vec<u32> {
        let visit = |(name, schema)| self.visit(place.inner(schema), name);
        schemas.into_iter().filter_map(visit).collect()
    }

    fn references(
        &mut self,
        map: &'a Map<String, Value>,
        place: Place<'a>,
    ) -> Result<Vec<u32>, TooCostly> {
        let mut nodes = Vec::new();
        for key in REFERENCES {
            let Some(Value::String(reference)) = map.get(key) else { continue };
            if reference.contains("//json-schema.org/") {
                continue; // a draft itself, which the validator knows
            }
            let places = self.places(reference, place);
            if places.is_empty() {
                return Err(TooCostly::Unknown(reference.clone()));
            }
            nodes.extend(places.into_iter().filter_map(|place| self.visit(place, reference)));
        }
        Ok(nodes)
    }

    /// Where a reference may lead; more than one place where names decide.
    fn places(&self, reference: &str, from: Place<'a>) -> Vec<Place<'a>> {
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let fragment = percent_decoded(fragment);
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return self.anchored(&fragment);
        }
        let bases = if uri.is_empty() { vec![from.base, self.root] } else { self.identified(uri) };
        let found = bases.into_iter().filter_map(|base| Place { value: base, base }.at(&fragment));
        if uri.is_empty() { found.take(1).collect() } else { found.collect() }
    }

    fn anchored(&self, name: &str) -> Vec<Place<'a>> {
        let is_meant = |place: &Place| {
            let mut words = ANCHORS.iter().filter_map(|key| place.value.get(key)?.as_str());
            words.any(|word| word.trim_start_matches('#') == name)
        };
        self.named.iter().copied().filter(is_meant).collect()
    }

    /// Relative identifiers end as complete ones do.
    fn identified(&self, uri: &str) -> Vec<&'a Value> {
        let last = |uri: &str| uri.trim_end_matches('#').rsplit('/').next().map(str::to_owned);
        let wanted = last(uri);
        let is_meant =
            |place: &&Place| identifier(place.value).is_some_and(|id| last(id) == wanted);
        self.named.iter().filter(is_meant).map(|place| place.value).collect()
    }
}

/// The schemas under these keys: one, a list of them, a mapping of them.
fn schemas<'a>(
    map: &'a Map<String, Value>,
    one: &[&'static str],
    lists: &[&'static str],
    maps: &[&'static str],
) -> Vec<(&'static str, &'a Value)> {
    let mut found: Vec<_> = one.iter().filter_map(|key| Some((*key, map.get(*key)?))).collect();
    for key in lists {
        let list = map.get(*key).and_then(Value::as_array);
        found.extend(list.into_iter().flatten().map(|schema| (*key, schema)));
    }
    for key in maps {
        let map = map.get(*key).and_then(Value::as_object);
        found.extend(map.into_iter().flat_map(Map::values).map(|schema| (*key, schema)));
    }
    found
}

/// `%24` as `$`; what is no such escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = text_of_hex(tail).filter(|_| *first == b'%');
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn text_of_hex(bytes: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(bytes.get(..2)?).ok()?, 16).ok()
}
