use proptest::prelude::*;

use super::*;
use crate::template::diff::{KeyChange, RenamedStep, TemplateDiff};

fn between(before: &Value, after: &Value) -> TemplateDiff {
    TemplateDiff::between(&steps(before).expect("valid"), &steps(after).expect("valid"))
}

fn edge(from: &str, to: &str) -> [String; 2] {
    [from.to_owned(), to.to_owned()]
}

#[test]
fn names_the_steps_keys_and_edges_that_differ() {
    let diff = between(
        &json!([{"name": "a", "handler_class": "A"}, {"name": "b", "handler_class": "B", "depends_on_step": "a"}]),
        &json!([
            {"name": "a", "handler_class": "A2", "retry": {"base_seconds": 2}},
            {"name": "c", "handler_class": "C", "depends_on_step": "a"},
        ]),
    );
    assert_eq!((&*diff.added[0].name, &*diff.removed[0].handler_class), ("c", "B"));
    let change =
        |key: &str, from, to| KeyChange { key: key.into(), from: Some(from), to: Some(to) };
    assert_eq!(
        diff.changed[0].keys,
        [
            change("handler_class", json!("A"), json!("A2")),
            change("retry.base_seconds", json!(1.0), json!(2.0))
        ]
    );
    assert_eq!(
        (diff.edges_added.as_slice(), diff.edges_removed.as_slice()),
        (&[edge("a", "c")][..], &[edge("a", "b")][..])
    );
    assert_eq!(diff.breaks(), [("b", "removed"), ("a", "handler_changed")]);
    assert!(diff.renamed.is_empty() && !diff.reordered);
}

#[test]
fn a_step_with_the_only_handler_of_its_kind_is_taken_for_renamed() {
    let diff = between(
        &json!([{"name": "a", "handler_class": "A"}, {"name": "b", "handler_class": "B", "depends_on_step": "a"}]),
        &json!([{"name": "x", "handler_class": "A"}, {"name": "b", "handler_class": "B", "depends_on_step": "x"}]),
    );
    let renamed = vec![RenamedStep { from: "a".into(), to: "x".into() }];
    assert_eq!(diff.breaks(), [("a", "renamed")]);
    assert_eq!(diff, TemplateDiff { renamed, ..TemplateDiff::default() });

    let diff = between(
        &json!([{"name": "a", "handler_class": "A"}, {"name": "b", "handler_class": "A"}]),
        &json!([{"name": "x", "handler_class": "A"}]),
    );
    assert_eq!((diff.added.len(), diff.removed.len(), diff.renamed.len()), (1, 2, 0));
}

#[test]
fn keys_of_the_template_count_and_its_version_does_not() {
    let diff =
        |keys| TemplateDiff::between(&top(&json!({})).expect("valid"), &top(&keys).expect("valid"));
    assert!(
        diff(json!({"version": "9.0.0", "name": "other", "namespace_name": "other"})).is_empty()
    );
    let keys = diff(json!({"description": "new", "error_classes": {"A": "blocked"}})).keys;
    let keys: Vec<_> = keys.iter().map(|change| &*change.key).collect();
    assert_eq!(keys, ["description", "error_classes.A"]);
}

#[test]
fn another_order_is_a_difference() {
    let step = |name: &str, parents: &[&str]| json!({"name": name, "handler_class": "A", "depends_on_steps": parents});
    let all = |first, second, parents: &[&str]| {
        json!([step(first, &[]), step(second, &[]), step("c", parents)])
    };
    let before = all("a", "b", &["a", "b"]);
    for after in [all("b", "a", &["a", "b"]), all("a", "b", &["b", "a"])] {
        assert_eq!(
            between(&before, &after),
            TemplateDiff { reordered: true, ..TemplateDiff::default() }
        );
    }
}

/// Steps that depend on earlier ones only, so that they are a template.
fn any_steps() -> impl Strategy<Value = Value> {
    let step =
        ("[a-f]", "[A-C]", 1_u32..3, prop::collection::vec(any::<prop::sample::Index>(), 0..3));
    prop::collection::vec(step, 1..6).prop_map(|list| {
        let mut steps: Vec<Value> = Vec::new();
        for (name, handler, limit, parents) in list {
            if steps.iter().any(|step| step["name"] == json!(name)) {
                continue;
            }
            let mut names: Vec<Value> = Vec::new();
            for parent in parents.iter().filter(|_| !steps.is_empty()) {
                let parent = parent.get(&steps)["name"].clone();
                if !names.contains(&parent) {
                    names.push(parent);
                }
            }
            steps.push(json!({
                "name": name, "handler_class": handler, "crash_limit": limit, "depends_on_steps": names,
            }));
        }
        Value::from(steps)
    })
}

proptest! {
    #[test]
    fn nothing_differs_exactly_where_the_templates_say_the_same(before in any_steps(), after in any_steps()) {
        let (before, after) = (steps(&before).expect("valid"), steps(&after).expect("valid"));
        prop_assert!(TemplateDiff::between(&before, &before).is_empty());
        prop_assert_eq!(TemplateDiff::between(&before, &after).is_empty(), before == after);
    }

    #[test]
    fn the_way_back_is_the_way_there(before in any_steps(), after in any_steps()) {
        let (there, back) = (between(&before, &after), between(&after, &before));
        prop_assert_eq!(&there.added, &back.removed);
        prop_assert_eq!(&there.removed, &back.added);
        let turned: Vec<_> = back.renamed.iter().map(|step| (&step.to, &step.from)).collect();
        let there_renamed: Vec<_> = there.renamed.iter().map(|step| (&step.from, &step.to)).collect();
        let sorted = |mut names: Vec<(&String, &String)>| { names.sort(); names.into_iter().map(|(a, b)| (a.clone(), b.clone())).collect::<Vec<_>>() };
        prop_assert_eq!(sorted(there_renamed), sorted(turned));
        prop_assert_eq!(there.changed.len(), back.changed.len());
        prop_assert_eq!(there.edges_added.len(), back.edges_removed.len());
        prop_assert_eq!(there.edges_removed.len(), back.edges_added.len());
        prop_assert_eq!(there.reordered, back.reordered);
        let counts = there.added.len() + there.renamed.len();
        prop_assert_eq!(before.as_array().map_or(0, Vec::len) + counts,
            after.as_array().map_or(0, Vec::len) + there.removed.len() + there.renamed.len());
    }
}
