use super::*;
use proptest::prelude::*;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("s{number}")).collect()
}

fn build(count: usize, edges: &[(u32, u32)]) -> Result<Graph, GraphError> {
    let names = names(count);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Graph::build(&names, edges)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("small")
}

#[test]
fn refuses_a_graph_without_steps() {
    assert_eq!(Graph::build(&[], &[]), Err(GraphError::Empty));
}

#[test]
fn refuses_a_name_used_twice_and_says_where() {
    let error = Graph::build(&["a", "b", "c", "b"], &[]).expect_err("b twice");
    assert_eq!(error, GraphError::DuplicateName { name: "b".into(), first: 1, second: 3 });
    assert!(error.to_string().contains("\"b\", at positions 1 and 3"), "{error}");
}

#[test]
fn suggests_the_parent_that_was_meant() {
    let steps = [("fetch_orders", vec![]), ("ship", vec!["fetch_order"])];
    let error = Graph::from_parents(steps).expect_err("unknown parent");
    let suggestion = Some("fetch_orders".to_owned());
    assert_eq!(
        error,
        GraphError::UnknownParent { node: "ship".into(), parent: "fetch_order".into(), suggestion }
    );
}

#[test]
fn never_suggests_the_step_itself_as_its_parent() {
    let steps = [("ship", vec!["shop"]), ("a", vec![])];
    let error = Graph::from_parents(steps).expect_err("unknown parent");
    assert!(matches!(error, GraphError::UnknownParent { suggestion: None, .. }), "{error}");
    assert!(error.to_string().ends_with("name one of its steps"), "{error}");
}

#[test]
fn refuses_an_edge_beyond_the_steps() {
    let error = build(2, &[(0, 1), (2, 1)]).expect_err("no step 2");
    assert_eq!(error, GraphError::UnknownIndex { index: 2, nodes: 2 });
    assert!(error.to_string().ends_with("allowed: 0 to 1"), "{error}");
}

#[test]
fn refuses_a_step_that_waits_for_itself() {
    assert_eq!(build(2, &[(0, 1), (1, 1)]), Err(GraphError::SelfEdge { node: "s1".into() }));
}

#[test]
fn refuses_an_edge_given_twice_even_with_others_between() {
    let error = build(3, &[(0, 2), (1, 2), (0, 2)]).expect_err("twice");
    assert_eq!(error, GraphError::DuplicateEdge { node: "s2".into(), parent: "s0".into() });
    assert!(build(3, &[(0, 1), (0, 2), (1, 2)]).is_ok());
}

#[test]
fn names_the_cycle_and_not_the_steps_before_and_behind_it() {
    let error = build(5, &[(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)]).expect_err("cycle");
    let path = ["s1", "s2", "s3", "s1"].map(str::to_owned).to_vec();
    assert_eq!(rotated(&error), path);
    assert!(error.to_string().contains("\"s1\" -> \"s2\""), "{error}");
}

/// The cycle of `error`, turned so that it starts at its smallest name.
fn rotated(error: &GraphError) -> Vec<String> {
    let GraphError::Cycle { path } = error else {
        return Vec::new();
    };
    let mut path = path[1..].to_vec();
    let smallest = path.iter().min().expect("not empty").clone();
    let at = path.iter().position(|name| *name == smallest).expect("it is there");
    path.rotate_left(at);
    path.push(smallest);
    path
}

#[test]
fn shows_only_the_start_of_a_long_cycle() {
    let edges: Vec<_> = (0..1000).map(|node| (node, (node + 1) % 1000)).collect();
    let error = build(1000, &edges).expect_err("cycle");
    let GraphError::Cycle { path } = &error else {
        return assert_eq!(error, GraphError::Empty);
    };
    assert_eq!(path.len(), 1001);
    assert!(error.to_string().contains("(990 more)"), "{error}");
    assert!(error.to_string().len() < 400);
}

#[test]
fn refuses_too_many_steps() {
    let names = names(MAX_NODES + 1);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let seen = MAX_NODES + 1;
    let error = Graph::build(&names, &[]).expect_err("too many");
    assert_eq!(error, GraphError::TooManyNodes { seen, allowed: MAX_NODES });
    assert_eq!(Graph::build(&names[1..], &[]).expect("as many as allowed").len(), MAX_NODES);
}

#[test]
fn refuses_too_many_edges() {
    let edges = vec![(0, 1); MAX_EDGES + 1];
    let error = build(2, &edges).expect_err("too many");
    assert_eq!(error, GraphError::TooManyEdges { seen: MAX_EDGES + 1, allowed: MAX_EDGES });
    // As many as allowed are looked at.
    let error = build(2, &edges[1..]).expect_err("the same again and again");
    assert_eq!(error, GraphError::DuplicateEdge { node: "s1".into(), parent: "s0".into() });
}

#[test]
fn a_step_may_stand_before_its_parents() {
    let graph = Graph::from_parents([("b", vec!["c", "a"]), ("a", vec![]), ("c", vec![])]);
    let graph = graph.expect("a graph");
    assert_eq!(graph.parents(0), [2, 1], "in the order given");
    assert_eq!(graph.topological_order(), [1, 2, 0]);
}

#[test]
fn children_are_ascending_whatever_the_order_of_the_edges() {
    let graph = build(4, &[(0, 3), (0, 1), (0, 2)]).expect("a graph");
    assert_eq!(graph.children(0), [1, 2, 3]);
    assert_eq!(graph.edges().collect::<Vec<_>>(), [(0, 1), (0, 2), (0, 3)]);
}

#[test]
fn a_fan_of_100_000_is_built_and_gathered_again() {
    let width = 100_000;
    let out = (1..=width).map(|node| (0, node));
    let back = (1..=width).map(|node| (node, width + 1));
    let edges: Vec<_> = out.chain(back).collect();
    let graph = build(100_002, &edges).expect("a graph");
    assert_eq!(graph.children(0).len(), 100_000);
    assert_eq!(graph.in_degree(width + 1), width);
    assert_eq!(graph.roots().collect::<Vec<_>>(), [0]);
    assert_eq!(graph.sinks().collect::<Vec<_>>(), [width + 1]);
    assert_eq!(graph.topological_order().last(), Some(&(width + 1)));
}

#[test]
fn a_chain_of_100_000_listed_backwards_is_sorted() {
    let edges: Vec<_> = (1..100_000).map(|node| (node, node - 1)).collect();
    let graph = build(100_000, &edges).expect("a graph");
    assert!(graph.topological_order().iter().copied().eq((0..100_000).rev()));
}

#[test]
fn a_cycle_through_100_000_steps_is_found() {
    let edges: Vec<_> = (0..100_000).map(|node| (node, (node + 1) % 100_000)).collect();
    let error = build(100_000, &edges).expect_err("cycle");
    assert!(matches!(&error, GraphError::Cycle { path } if path.len() == 100_001), "{error}");
}

/// Edges that all lead from a smaller to a larger rank, under shuffled numbers.
fn acyclic() -> impl Strategy<Value = (usize, Vec<(u32, u32)>)> {
    (1_usize..40).prop_flat_map(|nodes| {
        let ranks = Just((0..count(nodes)).collect::<Vec<_>>()).prop_shuffle();
        let pairs = prop::collection::vec((0..nodes, 0..nodes), 0..120);
        (Just(nodes), ranks, pairs).prop_map(|(nodes, ranks, pairs)| {
            let forward = pairs.into_iter().filter(|(from, to)| from < to);
            let edges: std::collections::BTreeSet<_> =
                forward.map(|(from, to)| (ranks[from], ranks[to])).collect();
            (nodes, edges.into_iter().collect())
        })
    })
}

/// An acyclic graph with one edge more that closes a circle.
fn cyclic() -> impl Strategy<Value = (usize, Vec<(u32, u32)>)> {
    (acyclic(), 2_u32..8).prop_map(|((nodes, mut edges), length)| {
        let first = count(nodes);
        edges.extend((0..length).map(|step| (first + step, first + (step + 1) % length)));
        edges.extend((0..first).map(|node| (node, first)).step_by(3));
        edges.extend((0..first).map(|node| (first + 1, node)).skip(1).step_by(3));
        (nodes + length as usize, edges)
    })
}

fn number(name: &str) -> u32 {
    name[1..].parse().expect("s and a number")
}

proptest! {
    #[test]
    fn order_holds_every_step_once_and_parents_first((nodes, edges) in acyclic()) {
        let graph = build(nodes, &edges).expect("acyclic");
        let mut place = vec![usize::MAX; nodes];
        for (at, &node) in graph.topological_order().iter().enumerate() {
            place[node as usize] = at;
        }
        prop_assert_eq!(graph.topological_order().len(), nodes);
        prop_assert!(place.iter().all(|&at| at < nodes));
        for (parent, child) in edges {
            prop_assert!(place[parent as usize] < place[child as usize]);
        }
    }

    #[test]
    fn both_directions_hold_exactly_the_edges((nodes, edges) in acyclic()) {
        let graph = build(nodes, &edges).expect("acyclic");
        let all = 0..count(nodes);
        let down: std::collections::BTreeSet<_> = all.clone()
            .flat_map(|node| graph.children(node).iter().map(move |&child| (node, child)))
            .collect();
        let up: std::collections::BTreeSet<_> = graph.edges().collect();
        let given: std::collections::BTreeSet<_> = edges.iter().copied().collect();
        prop_assert_eq!(&down, &given);
        prop_assert_eq!(&up, &given);
        prop_assert_eq!(graph.edge_count(), edges.len());
        for node in all {
            let parents = edges.iter().filter(|(_, child)| *child == node).count();
            prop_assert_eq!(graph.in_degree(node), count(parents));
        }
    }

    #[test]
    fn roots_have_no_parent_and_sinks_no_child((nodes, edges) in acyclic()) {
        let graph = build(nodes, &edges).expect("acyclic");
        let all = 0..count(nodes);
        let roots: Vec<u32> = all.clone().filter(|node| edges.iter().all(|edge| edge.1 != *node)).collect();
        let sinks: Vec<u32> = all.filter(|node| edges.iter().all(|edge| edge.0 != *node)).collect();
        prop_assert_eq!(graph.roots().collect::<Vec<_>>(), roots);
        prop_assert_eq!(graph.sinks().collect::<Vec<_>>(), sinks);
    }

    #[test]
    fn the_path_of_a_cycle_is_a_cycle_of_the_input((nodes, edges) in cyclic()) {
        let error = build(nodes, &edges).expect_err("cyclic");
        let GraphError::Cycle { path } = error else {
            return Err(TestCaseError::fail(error.to_string()));
        };
        prop_assert_eq!(path.first(), path.last());
        for pair in path.windows(2) {
            prop_assert!(edges.contains(&(number(&pair[0]), number(&pair[1]))), "{:?}", path);
        }
        let inner: std::collections::BTreeSet<_> = path[1..].iter().collect();
        prop_assert_eq!(inner.len(), path.len() - 1, "no step twice");
    }
}

#[test]
fn parents_come_first_and_steps_that_wait_for_themselves_do_not_come() {
    assert_eq!(parents_first(&[]), [0; 0]);
    assert_eq!(parents_first(&[vec![1, 2], vec![2], vec![]]), [2, 1, 0]);
    assert_eq!(parents_first(&[vec![], vec![2], vec![1], vec![1, 0]]), [0]);
}
