//! Schemas that ask for more than their length suggests, as one process of many would meet them: within a
//! bound of stack. Without the bounds on what they ask some of these would not end.

use proptest::prelude::*;

use super::*;

/// Less than Ruby gives its threads.
const STACK_BYTES: usize = 768 << 10;

fn compile(schema: &Value) -> Result<TaskTemplate, TemplateError> {
    top(&json!({"schema": schema}))
}

/// What `body` returns, in a thread with little stack.
fn bounded<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(body).expect("a thread");
    thread.join().expect("no panic")
}

/// Definitions `a0` to `a(count)`, each of which refers to the next one as `part` makes it; the last is `last`.
fn line(count: usize, last: &Value, part: impl Fn(Value) -> Value) -> Value {
    let reference = |index: usize| json!({"$ref": format!("#/$defs/a{index}")});
    let mut parts: serde_json::Map<_, _> =
        (0..count).map(|index| (format!("a{index}"), part(reference(index + 1)))).collect();
    parts.insert(format!("a{count}"), last.clone());
    json!({"$defs": parts, "$ref": "#/$defs/a0"})
}

/// `{"a": {"a": ... 1}}`
fn nested(levels: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

#[track_caller]
fn assert_schema_refused(schema: Value, part: &'static str) {
    let error = bounded(move || compile(&schema).err()).expect("refused");
    assert_eq!(&*error.key, "schema");
    assert!(error.to_string().contains(part), "{error}");
}

#[track_caller]
fn answer(schema: Value, context: String) -> Result<(), ContextError> {
    bounded(move || compile(&schema).expect("valid").validate_context(&context))
}

#[test]
fn a_line_of_references_as_deep_as_the_limit_needs_little_stack() {
    let one_of =
        |next: Value| json!({"oneOf": [{"if": {"not": {"type": "string"}}, "then": next}]});
    let last = json!({"type": "object"});
    for context in ["{}", r#"{"a": [1]}"#] {
        // The schema itself, and five for each part: the part, its first choice, "if", "not" and "then".
        assert_eq!(answer(line(199, &last, one_of), context.into()), Ok(()));
    }
    let none = json!({"required": ["z"]});
    assert!(answer(line(199, &none, one_of), "{}".into()).is_err());
    assert!(answer(line(998, &none, |next| next), "{}".into()).is_err());
}

#[test]
fn a_longer_line_of_references_is_refused() {
    let last = json!({"type": "object"});
    assert_schema_refused(line(999, &last, |next| next), "asks 1001 schemas");
    assert_schema_refused(line(20_000, &last, |next| next), "at most 1000");
    assert_schema_refused(line(9_000, &last, |next| json!({"allOf": [next]})), "at most 1000");
}

#[test]
fn what_leads_deeper_with_each_level_of_a_context_counts_for_each_level() {
    let deeper = |next| json!({"properties": {"a": {"allOf": [next]}}});
    assert!(answer(line(20_000 / 2, &json!({"type": "object"}), deeper), nested(64)).is_ok());
    let part = |rest: Value| (0..28).fold(rest, |inner, _| json!({"allOf": [inner]}));
    let again = part(json!({"properties": {"a": {"$ref": "#"}}}));
    assert_eq!(answer(again.clone(), nested(64)), Ok(()));
    assert_schema_refused(json!({"allOf": [again]}), "schemas one within another");
    // 29 schemas for the innermost level of a context, 30 for each of the 64 around it, one, and so many more.
    let within = |more: usize| {
        let again = json!({"$ref": format!("#/$defs/a{more}")});
        line(more, &part(json!({"properties": {"a": again}})), |next| next)
    };
    assert_eq!(answer(within(50), nested(64)), Ok(()));
    assert_schema_refused(within(51), "leads through 2001 schemas one within another");
}

#[test]
fn references_that_double_are_refused() {
    let last = json!({"type": "object"});
    let twice = |next: Value| json!({"allOf": [next.clone(), next]});
    let twice_deeper = |next: Value| json!({"allOf": [{"properties": {"a": next.clone()}}, {"properties": {"a": next}}]});
    assert_eq!(answer(line(7, &last, twice), "{}".into()), Ok(()));
    assert_schema_refused(line(8, &last, twice), "about the same value; allowed: at most 1000");
    assert_schema_refused(line(40, &last, twice), "about the same value");
    assert_schema_refused(line(2_000, &last, twice), "about the same value");
    assert_schema_refused(line(40, &last, twice_deeper), "about the same value");
    let patterns = |next: Value| json!({"patternProperties": {"a": next.clone(), "^a": next}});
    assert_schema_refused(line(40, &last, patterns), "about the same value");
}

#[test]
fn a_schema_that_refers_to_itself_about_the_same_value_is_refused() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"$id": "http://example.com/a", "not": {"$ref": "http://example.com/a"}}),
        json!({"$defs": {"a": {"$anchor": "a", "if": {"$ref": "#a"}}}, "$ref": "#/$defs/a"}),
        json!({"$dynamicAnchor": "a", "then": {"$dynamicRef": "#a"}}),
        json!({"$defs": {"a b": {"anyOf": [{"$ref": "#"}]}}, "$ref": "#/$defs/a%20b"}),
    ] {
        assert_schema_refused(schema, "refers to itself about the same value");
    }
    let all = |count: usize| {
        let each: Vec<_> =
            (0..count).map(|index| json!({"$ref": format!("#/$defs/a{index}")})).collect();
        line(count, &json!({}), move |_| json!({"allOf": each}))
    };
    assert_schema_refused(all(30), "refers to itself");
}

#[test]
fn a_schema_that_refers_to_itself_one_level_deeper_is_fine() {
    let schema = json!({
        "type": ["object", "array"],
        "properties": {"a": {"$ref": "#"}, "list": {"items": {"$ref": "#"}}},
        "additionalProperties": {"$ref": "#"},
    });
    assert_eq!(answer(schema.clone(), r#"{"a": {"list": [[]], "b": {}}}"#.into()), Ok(()));
    let message = answer(schema, nested(64)).expect_err("1 is no object").to_string();
    assert!(message.contains("/a/a, 1 is not of types"), "{message}");
}

#[test]
fn choices_that_refer_to_the_whole_are_checked_in_time_and_faults_listed_where_that_ends() {
    let schema = json!({"oneOf": [
        {"type": "number"},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}, "maxProperties": 1},
        {"type": "object", "required": ["b"], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}},
    ]});
    assert_eq!(answer(schema.clone(), nested(64)), Ok(()));
    let faulty = |levels: usize| nested(levels).replace('1', "true");
    let message = answer(schema.clone(), faulty(64)).expect_err("true is no number").to_string();
    assert!(message.ends_with("on too many ways to say where; and more"), "{message}");
    let message = answer(schema, faulty(2)).expect_err("true is no number").to_string();
    assert!(message.contains("is not valid under any of the schemas"), "{message}");
}

#[test]
fn a_regular_expression_that_goes_back_for_ever_is_given_up() {
    let schema = json!({"properties": {"s": {"items": {"pattern": r"^(a|a)*\1?(?=b)$"}}}});
    let texts: Vec<_> = (0..500).map(|number| format!("{}{number}!", "a".repeat(40))).collect();
    let error = answer(schema, json!({"s": texts}).to_string()).expect_err("given up");
    assert!(error.to_string().contains("Max limit for backtracking"), "{error}");
    let schema = json!({"properties": {"s": {"pattern": "^(a+)+$"}}});
    assert!(answer(schema, json!({"s": "a".repeat(100_000) + "!"}).to_string()).is_err());
    let huge = json!({"pattern": "((a{0,1000}){0,1000}){0,1000}"});
    assert_refused(compile(&huge), "schema.pattern", "is not valid");
}

/// The expression goes back once for each `a`, and once more to give up.
#[test]
fn a_regular_expression_may_go_back_10_000_times() {
    let asked = |letters: usize| {
        let schema = json!({"properties": {"s": {"pattern": "^(?:a(?!b))*c"}}});
        answer(schema, json!({"s": "a".repeat(letters)}).to_string()).expect_err("no c").to_string()
    };
    assert!(asked(9_999).contains("does not match"), "{}", asked(9_999));
    assert!(asked(10_000).contains("Max limit for backtracking"), "{}", asked(10_000));
}

#[test]
fn a_schema_of_1_mib_is_read_and_a_larger_one_refused() {
    let schema =
        |bytes: usize| json!({"description": "x".repeat(bytes - r#"{"description":""}"#.len())});
    assert!(compile(&schema(1 << 20)).is_ok());
    assert_refused(
        compile(&schema((1 << 20) + 1)),
        "schema",
        "is 1048577 bytes of JSON; allowed: at most 1048576",
    );
}

#[test]
fn many_parts_are_read_in_time() {
    let parts: serde_json::Map<_, _> =
        (0..20_000).map(|index| (format!("p{index}"), json!({"type": "object"}))).collect();
    assert!(answer(json!({"properties": parts}), json!({"p0": 1}).to_string()).is_err());
}

/// Schemas of eight parts that refer to one another at random.
fn tangle() -> impl Strategy<Value = Value> {
    let reference = (0..8).prop_map(|part| json!({"$ref": format!("#/$defs/p{part}")}));
    let leaf = prop_oneof![
        6 => reference,
        1 => Just(json!({"type": "object"})),
        1 => Just(json!({"required": ["b"]})),
        1 => Just(json!({"$ref": "#"})),
        1 => Just(json!(true)),
    ];
    let part = leaf.prop_recursive(3, 12, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..3);
        let listed = (prop::sample::select(vec!["allOf", "anyOf", "oneOf"]), list());
        let one = (
            prop::sample::select(vec![
                "not",
                "additionalProperties",
                "unevaluatedProperties",
                "items",
            ]),
            inner.clone(),
        );
        prop_oneof![
            listed.prop_map(|(key, list)| json!({key: list})),
            one.prop_map(|(key, schema)| json!({key: schema})),
            list().prop_map(|list| json!({"properties": {"a": list[0], "b": list.last()}})),
            list().prop_map(|list| json!({"patternProperties": {"a": list[0], "^": list.last()}})),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(when, then, or)| json!({"if": when, "then": then, "else": or})),
        ]
    });
    prop::collection::vec(part, 8).prop_map(|parts| {
        let named = parts.into_iter().enumerate().map(|(index, part)| (format!("p{index}"), part));
        json!({"$defs": named.collect::<serde_json::Map<_, _>>(), "$ref": "#/$defs/p0"})
    })
}

proptest! {
    #[test]
    fn parts_that_refer_to_one_another_at_random_get_an_answer_in_time(schema in tangle(), levels in 1_usize..=64) {
        bounded(move || {
            if let Ok(template) = compile(&schema) {
                let _ = template.validate_context(&nested(levels));
            }
        });
    }
}
