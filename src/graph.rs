//! The graph of a task: which step waits for which.
//!
//! Steps are numbered from 0 in the order given; names are only needed while the graph is built and
//! checked. Edges are kept twice, by parent and by child, as compressed sparse rows: one array of
//! neighbours and one of offsets into it. A step's children are therefore one contiguous slice
//! (completing a step costs O(out-degree), with no pointer to follow), the whole graph is four
//! allocations of `u32`, and building it is linear. A general graph crate offers neither this
//! layout with both directions nor the path of a cycle, which a user needs to repair a template.

use std::collections::HashMap;

use crate::suggest;

/// Most steps a graph may have: 2^20.
pub const MAX_NODES: usize = 1 << 20;

/// Most edges a graph may have: 2^24. Keeps a graph below about 150 MB.
pub const MAX_EDGES: usize = 1 << 24;

/// How many names of a cycle a message shows.
const NAMES_SHOWN: usize = 10;

/// Why a graph cannot be built. Positions count from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// No step at all.
    #[error("no steps; at least one is needed")]
    Empty,
    /// Two steps share a name.
    #[error(
        "two steps are called {name:?}, at positions {first} and {second}; \
         a name may be used once: rename one of them"
    )]
    DuplicateName {
        /// The name used twice.
        name: String,
        /// Position of the first step of that name.
        first: u32,
        /// Position of the second.
        second: u32,
    },
    /// A step names a parent that does not exist.
    #[error("step {node:?} depends on {parent:?}, which is not a step of this graph{}", did_you_mean(.suggestion.as_deref()))]
    UnknownParent {
        /// The step that names the parent.
        node: String,
        /// The name that no step has.
        parent: String,
        /// The step that was probably meant.
        suggestion: Option<String>,
    },
    /// An edge mentions a position at which there is no step.
    #[error("an edge mentions step {index}, but there are {nodes} steps; allowed: 0 to {}", .nodes.saturating_sub(1))]
    UnknownIndex {
        /// The position in the edge.
        index: u32,
        /// How many steps there are.
        nodes: usize,
    },
    /// A step depends on itself.
    #[error("step {node:?} depends on itself, so it could never start; remove that dependency")]
    SelfEdge {
        /// The step.
        node: String,
    },
    /// The same edge twice.
    #[error("step {node:?} depends on {parent:?} twice; name each parent once")]
    DuplicateEdge {
        /// The step that names its parent twice.
        node: String,
        /// The parent.
        parent: String,
    },
    /// Steps wait for each other in a circle.
    #[error(
        "steps wait for each other in a circle: {} (an arrow leads to the step that waits); \
         remove one of these dependencies",
        arrows(.path)
    )]
    Cycle {
        /// The names along the cycle, parent before child; the last is the first again.
        path: Vec<String>,
    },
    /// More steps than a graph may have.
    #[error("{seen} steps; at most {allowed} are allowed: split the work into several tasks")]
    TooManyNodes {
        /// Number of steps given.
        seen: usize,
        /// [`MAX_NODES`].
        allowed: usize,
    },
    /// More edges than a graph may have.
    #[error(
        "{seen} dependencies; at most {allowed} are allowed: \
         put a step in between where many steps wait for the same many"
    )]
    TooManyEdges {
        /// Number of edges given.
        seen: usize,
        /// [`MAX_EDGES`].
        allowed: usize,
    },
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(
        || "; name one of its steps".to_owned(),
        |name| format!("; did you mean {name:?}?"),
    )
}

fn arrows(path: &[String]) -> String {
    let Some((last, rest)) = path.split_last() else {
        return String::new();
    };
    let mut shown: Vec<String> =
        rest.iter().take(NAMES_SHOWN).map(|name| format!("{name:?}")).collect();
    if rest.len() > NAMES_SHOWN {
        shown.push(format!("({} more)", rest.len() - NAMES_SHOWN));
    }
    shown.push(format!("{last:?}"));
    shown.join(" -> ")
}

/// Neighbours of every node, one slice each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rows {
    offsets: Box<[u32]>,
    neighbours: Box<[u32]>,
}

impl Rows {
    /// Groups the `(row, neighbour)` pairs by row, keeping their order within a row.
    fn group(rows: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Rows {
        let mut offsets = vec![0; rows + 1];
        for (row, _) in pairs.clone() {
            offsets[row as usize + 1] += 1;
        }
        for row in 0..rows {
            offsets[row + 1] += offsets[row];
        }
        let mut next = offsets.clone();
        let mut neighbours = vec![0; offsets[rows] as usize];
        for (row, neighbour) in pairs {
            let place = &mut next[row as usize];
            neighbours[*place as usize] = neighbour;
            *place += 1;
        }
        Rows { offsets: offsets.into(), neighbours: neighbours.into() }
    }

    fn row(&self, row: u32) -> &[u32] {
        let row = row as usize;
        &self.neighbours[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + Clone {
        numbers(self.len()).flat_map(|row| self.row(row).iter().map(move |&other| (row, other)))
    }
}

/// A directed acyclic graph of at least one and at most [`MAX_NODES`] steps.
///
/// # Examples
/// ```
/// use tasker_core::graph::Graph;
///
/// let graph = Graph::from_parents([
///     ("validate", vec![]),
///     ("reserve", vec!["validate"]),
///     ("charge", vec!["validate"]),
///     ("ship", vec!["reserve", "charge"]),
/// ])?;
/// assert_eq!(graph.children(0), [1, 2]);
/// assert_eq!(graph.parents(3), [1, 2]);
/// assert_eq!(graph.topological_order(), [0, 1, 2, 3]);
/// # Ok::<(), tasker_core::graph::GraphError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    children: Rows,
    parents: Rows,
    order: Box<[u32]>,
}

impl Graph {
    /// Builds the graph from each step's name and the names of its parents. A step may stand before
    /// its parents.
    ///
    /// # Errors
    /// Every [`GraphError`] but [`GraphError::UnknownIndex`].
    ///
    /// # Examples
    /// ```
    /// use tasker_core::graph::{Graph, GraphError};
    ///
    /// let error = Graph::from_parents([("load", vec![]), ("ship", vec!["laod"])]).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "step \"ship\" depends on \"laod\", which is not a step of this graph; did you mean \"load\"?"
    /// );
    /// ```
    pub fn from_parents<'a, I, P>(steps: I) -> Result<Graph, GraphError>
    where
        I: IntoIterator<Item = (&'a str, P)>,
        P: IntoIterator<Item = &'a str>,
    {
        let (names, parents): (Vec<&str>, Vec<P>) = steps.into_iter().unzip();
        let index = index_names(&names)?;
        let mut edges = Vec::with_capacity(names.len());
        for (child, parents) in numbers(names.len()).zip(parents) {
            for name in parents {
                let parent = index.get(name).copied();
                let parent = parent.ok_or_else(|| unknown_parent(&names, child, name))?;
                edges.push((parent, child));
            }
        }
        Graph::connect(&names, &edges)
    }

    /// Builds the graph from the steps' names and edges `(parent, child)` between their positions.
    ///
    /// # Errors
    /// Every [`GraphError`] but [`GraphError::UnknownParent`].
    ///
    /// # Examples
    /// ```
    /// use tasker_core::graph::{Graph, GraphError};
    ///
    /// let graph = Graph::build(&["a", "b"], &[(0, 1)])?;
    /// assert_eq!(graph.edge_count(), 1);
    ///
    /// let error = Graph::build(&["a", "b"], &[(0, 1), (1, 0)]).unwrap_err();
    /// assert_eq!(error, GraphError::Cycle { path: vec!["a".into(), "b".into(), "a".into()] });
    /// # Ok::<(), GraphError>(())
    /// ```
    pub fn build(names: &[&str], edges: &[(u32, u32)]) -> Result<Graph, GraphError> {
        index_names(names)?;
        for index in edges.iter().flat_map(|&(parent, child)| [parent, child]) {
            if index as usize >= names.len() {
                return Err(GraphError::UnknownIndex { index, nodes: names.len() });
            }
        }
        Graph::connect(names, edges)
    }

    /// Builds the graph once names are known to be unique and edges to lie within them.
    fn connect(names: &[&str], edges: &[(u32, u32)]) -> Result<Graph, GraphError> {
        if edges.len() > MAX_EDGES {
            return Err(GraphError::TooManyEdges { seen: edges.len(), allowed: MAX_EDGES });
        }
        let parents =
            Rows::group(names.len(), edges.iter().map(|&(parent, child)| (child, parent)));
        refuse_repeats(names, &parents)?;
        let children =
            Rows::group(names.len(), parents.pairs().map(|(child, parent)| (parent, child)));
        let order = sort(names, &children, &parents)?;
        Ok(Graph { children, parents, order })
    }

    /// How many steps there are; at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no step; never true, since such a graph is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many edges there are.
    #[must_use]
    pub fn edge_count(&self) -> usize {
        self.parents.neighbours.len()
    }

    /// The steps that wait for `node`, in ascending order.
    ///
    /// # Panics
    /// When `node` is not below [`Graph::len`].
    #[must_use]
    pub fn children(&self, node: u32) -> &[u32] {
        self.children.row(node)
    }

    /// The steps that `node` waits for, in the order given when the graph was built.
    ///
    /// # Panics
    /// When `node` is not below [`Graph::len`].
    #[must_use]
    pub fn parents(&self, node: u32) -> &[u32] {
        self.parents.row(node)
    }

    /// How many steps `node` waits for.
    ///
    /// # Panics
    /// When `node` is not below [`Graph::len`].
    #[must_use]
    pub fn in_degree(&self, node: u32) -> u32 {
        narrow(self.parents(node).len())
    }

    /// The steps that wait for none, ascending; at least one.
    pub fn roots(&self) -> impl Iterator<Item = u32> + Clone {
        numbers(self.len()).filter(|&node| self.parents(node).is_empty())
    }

    /// The steps that none waits for, ascending; at least one.
    pub fn sinks(&self) -> impl Iterator<Item = u32> + Clone {
        numbers(self.len()).filter(|&node| self.children(node).is_empty())
    }

    /// Every step, parents before children: the roots in ascending order, then each step in the
    /// order in which its last parent comes. The same graph always gives the same order.
    #[must_use]
    pub fn topological_order(&self) -> &[u32] {
        &self.order
    }

    /// Every edge as `(parent, child)`, by child, a child's in the order of [`Graph::parents`].
    pub fn edges(&self) -> impl Iterator<Item = (u32, u32)> + Clone {
        self.parents.pairs().map(|(child, parent)| (parent, child))
    }
}

/// Positions by name; refuses no names, too many and names used twice.
fn index_names<'a>(names: &[&'a str]) -> Result<HashMap<&'a str, u32>, GraphError> {
    if names.is_empty() {
        return Err(GraphError::Empty);
    }
    if names.len() > MAX_NODES {
        return Err(GraphError::TooManyNodes { seen: names.len(), allowed: MAX_NODES });
    }
    let mut index = HashMap::with_capacity(names.len());
    for (second, &name) in numbers(names.len()).zip(names) {
        if let Some(first) = index.insert(name, second) {
            return Err(GraphError::DuplicateName { name: name.to_owned(), first, second });
        }
    }
    Ok(index)
}

fn unknown_parent(names: &[&str], child: u32, parent: &str) -> GraphError {
    let node = names[child as usize];
    let others = names.iter().copied().filter(|&name| name != node);
    GraphError::UnknownParent {
        node: node.to_owned(),
        parent: parent.to_owned(),
        suggestion: suggest::nearest(parent, others).map(str::to_owned),
    }
}

/// Refuses an edge from a step to itself and an edge given twice.
fn refuse_repeats(names: &[&str], parents: &Rows) -> Result<(), GraphError> {
    let name = |node: u32| names[node as usize].to_owned();
    let mut last_child = vec![u32::MAX; names.len()];
    for (child, parent) in parents.pairs() {
        if parent == child {
            return Err(GraphError::SelfEdge { node: name(child) });
        }
        if std::mem::replace(&mut last_child[parent as usize], child) == child {
            return Err(GraphError::DuplicateEdge { node: name(child), parent: name(parent) });
        }
    }
    Ok(())
}

/// The positions of steps with these parents, parents before their children; without those that wait for themselves.
pub(crate) fn parents_first(parents: &[Vec<usize>]) -> Vec<usize> {
    let mut open: Vec<usize> = parents.iter().map(Vec::len).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); parents.len()];
    for (child, parents) in parents.iter().enumerate() {
        parents.iter().for_each(|parent| children[*parent].push(child));
    }
    let mut order: Vec<_> = (0..parents.len()).filter(|step| open[*step] == 0).collect();
    let mut done = 0;
    while let Some(&step) = order.get(done) {
        done += 1;
        for &child in &children[step] {
            open[child] -= 1;
            if open[child] == 0 {
                order.push(child);
            }
        }
    }
    order
}

/// Topological order, or the cycle that forbids it. Source: A. B. Kahn, "Topological sorting of
/// large networks", Communications of the ACM 5 (11), 1962.
fn sort(names: &[&str], children: &Rows, parents: &Rows) -> Result<Box<[u32]>, GraphError> {
    let mut open: Vec<usize> = numbers(names.len()).map(|node| parents.row(node).len()).collect();
    let mut order: Vec<u32> =
        numbers(names.len()).filter(|&node| open[node as usize] == 0).collect();
    let mut done = 0;
    while let Some(&node) = order.get(done) {
        done += 1;
        for &child in children.row(node) {
            open[child as usize] -= 1;
            if open[child as usize] == 0 {
                order.push(child);
            }
        }
    }
    match numbers(names.len()).find(|&node| open[node as usize] > 0) {
        None => Ok(order.into()),
        Some(stuck) => Err(cycle(names, parents, &open, stuck)),
    }
}

/// Walks from `stuck` to parents that are stuck as well (each stuck step has one) until a step comes
/// again; the steps since its first visit are the cycle.
fn cycle(names: &[&str], parents: &Rows, open: &[usize], stuck: u32) -> GraphError {
    let mut walk = Vec::new();
    let mut visited = vec![None; names.len()];
    let mut node = stuck;
    while visited[node as usize].is_none() {
        visited[node as usize] = Some(walk.len());
        walk.push(node);
        let stuck_parent = parents.row(node).iter().find(|&&parent| open[parent as usize] > 0);
        node = *stuck_parent.expect("a step is stuck only while a parent of it is");
    }
    let start = visited[node as usize].expect("the walk ended at a visited step");
    let mut path: Vec<String> =
        walk[start..].iter().map(|&step| names[step as usize].to_owned()).collect();
    path.push(names[node as usize].to_owned());
    path.reverse();
    GraphError::Cycle { path }
}

/// `0..len` as node numbers.
fn numbers(len: usize) -> std::ops::Range<u32> {
    0..narrow(len)
}

fn narrow(len: usize) -> u32 {
    u32::try_from(len).expect("at most MAX_NODES steps")
}

#[cfg(test)]
mod tests;
