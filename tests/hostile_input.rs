//! Requests, options and failures as somebody may send them who wants harm, or whose program is broken: each
//! is taken or refused with a short message, at once, and nothing panics. The templates and their schemas are
//! treated in the same way beside their code.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Value, json};
use tasker_core::json::{JsonLimits, check, check_object};
use tasker_core::{
    BudgetRequest, ClientOptions, Error, Failure, FailureFilter, FeedOpening, FeedReading,
    ForkRequest, ListFilter, Pruning, SignalRequest, Submission, TaskTemplate, TemplatesToCompare,
    WorkerOptions, WorkflowCall,
};

/// Longest message, in bytes: long enough for what is allowed, too short for what was sent.
const LONGEST_MESSAGE: usize = 2_000;

const URL: &str = "postgres:///app";

fn submission() -> Value {
    json!({
        "namespace": "shop", "name": "order", "version": "1.0.0", "initiator": "x", "source_system": "y",
        "reason": "z", "tags": ["a", "b"], "contexts": [{"order_id": 7}, {}], "deadline_s": 3.5,
        "budget": {"attempts": 5, "cost": 1.5}, "priority": -7,
    })
}

fn signal() -> Value {
    json!({"name": "paid", "payload": {"by": "mara"}, "actor": "x", "idempotency_key": "mail-7"})
}

fn workflow_call() -> Value {
    json!({
        "workflow": "ship", "namespace": "shop", "version": "1.0.0", "name": "first", "context": {"a": 1},
        "on_cancel": "cancel",
    })
}

fn fork() -> Value {
    json!({"from": ["a"], "context": {"b": 1}, "actor": "x", "reason": "y", "idempotency_key": "z"})
}

fn failure_filter() -> Value {
    json!({
        "name": "order", "step": "a", "state": "error", "error": "A", "message": "b", "tags": ["c"], "limit": 3,
        "since": "2026-01-01T00:00:00Z",
    })
}

fn feed_reading() -> Value {
    json!({"consumer": "billing", "reader": 3, "place": {"position": 7}, "limit": 9, "names": ["step.succeeded"]})
}

fn comparison() -> Value {
    json!({"namespace": "shop", "name": "order", "from": "1.0.0", "template": {"name": "order"}})
}

/// All of them, each as it is taken.
fn requests() -> Vec<Value> {
    vec![
        submission(),
        worker_options(),
        failure(),
        template(),
        template_with_edge_conditions(),
        signal(),
        workflow_call(),
        fork(),
        failure_filter(),
        feed_reading(),
        comparison(),
    ]
}

fn worker_options() -> Value {
    json!({
        "url": URL, "connect_timeout_ms": 3000, "queues": ["a"], "concurrency": 5, "heartbeat_interval_ms": 100,
        "dead_after_ms": 1000, "retention_ms": 5, "error_retention_ms": null, "record_events": 3,
    })
}

fn failure() -> Value {
    json!({
        "kind": "retryable", "class": "A", "message": "b", "code": "c", "retry_after_s": 1.5, "context": {"d": []},
        "backtrace": ["e"], "causes": [{"class": "F", "message": "g"}],
    })
}

fn template() -> Value {
    json!({
        "name": "x", "namespace_name": "y", "version": "1.2.3", "schema": {"type": "object", "required": ["a"]},
        "queue": "q", "named_steps": ["a", "b", "c", "d", "e", "f"], "priority": 5, "deadline_seconds": 60,
        "budget": {"attempts": 9, "cost": 2}, "module_namespace": "M", "step_templates": [
            {"name": "a", "handler_class": "A", "retry": {"backoff": "linear", "base_seconds": 1.0}},
            {"name": "b", "handler_class": "B", "depends_on_step": "a", "handler_config": {"c": [1]},
             "total_timeout_seconds": 60, "reserve_cost": 0.5, "compensate_with": "U", "skippable": true},
            {"name": "c", "handler_class": "C", "depends_on_steps": ["a", "b"], "join": {"quorum": 1},
             "when": "has(context.a)", "map": {"over": "[1, 2]", "max_parallel": 2, "tolerate": "all"}},
            {"name": "d", "handler_class": "D", "decides": true},
            {"name": "e", "handler_class": "E", "depends_on_step": "d"},
            {"name": "f", "handler_class": "F", "dynamic": true}],
    })
}

/// Conditions on edges, which a template with dynamic steps has none of.
fn template_with_edge_conditions() -> Value {
    json!({
        "name": "x", "step_templates": [
            {"name": "a", "handler_class": "A"},
            {"name": "b", "handler_class": "B", "depends_on_step": "a",
             "depends_on_when": {"a": "results.a.x > 1"}},
            {"name": "c", "handler_class": "C",
             "depends_on_steps": [{"step": "b", "when": "results.b.x > 1"}]}],
    })
}

/// What `text` is taken for by everything that reads JSON; the messages where it is refused.
fn messages(text: &str) -> Vec<String> {
    let failure = serde_json::from_str::<Failure>(text);
    let answers = [
        Submission::from_json(text).err().map(|error| told(&error)),
        ListFilter::from_json(text).err().map(|error| told(&error)),
        Pruning::from_json(text).err().map(|error| told(&error)),
        SignalRequest::from_json(text).err().map(|error| told(&error)),
        WorkflowCall::from_json(text).err().map(|error| told(&error)),
        ForkRequest::from_json(text).err().map(|error| told(&error)),
        FailureFilter::from_json(text).err().map(|error| told(&error)),
        FeedOpening::from_json(text).err().map(|error| told(&error)),
        FeedReading::from_json(text).err().map(|error| told(&error)),
        TemplatesToCompare::from_json(text).err().map(|error| told(&error)),
        BudgetRequest::from_json(text)
            .and_then(|budget| budget.limits())
            .err()
            .map(|error| told(&error)),
        ClientOptions::from_json(text).err().map(|error| told(&error)),
        WorkerOptions::from_json(text).err().map(|error| told(&error)),
        TaskTemplate::from_json(text).err().map(|error| told(&error.into())),
        check(text, JsonLimits::RESULTS).err().map(|error| error.to_string()),
        check_object(text, JsonLimits::CONTEXT).err().map(|error| error.to_string()),
        failure.is_err().then(|| "no failure".to_owned()),
    ];
    answers.into_iter().flatten().collect()
}

/// Everything that a caller is told of an error.
fn told(error: &Error) -> String {
    format!("{error} {}", error.details())
}

fn any_value() -> impl Strategy<Value = Value> {
    let strange = [
        json!(null),
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(-0.0),
        json!(0.5),
        json!(""),
        json!("\0"),
        json!("\u{feff}"),
        json!("x".repeat(100_000)),
        json!([]),
        json!({}),
        json!([[[[[[[[]]]]]]]]),
        json!(vec![0; 1_000]),
        json!({"a": {"b": {}}}),
    ];
    prop_oneof![
        3 => prop::sample::select(strange.to_vec()),
        1 => any::<String>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
    ]
}

/// Puts `value` where the `place`-th value within `into` is, counted through all levels.
fn put(into: &mut Value, place: &mut usize, value: &Value) {
    if *place == 0 {
        *into = value.clone();
    }
    *place = place.wrapping_sub(1);
    match into {
        Value::Array(list) => list.iter_mut().for_each(|item| put(item, place, value)),
        Value::Object(map) => map.values_mut().for_each(|item| put(item, place, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A request with one of its values replaced.
fn with_a_strange_value() -> impl Strategy<Value = String> {
    (prop::sample::select(requests()), 0_usize..80, any_value()).prop_map(
        |(mut request, place, value)| {
            let mut place = place;
            put(&mut request, &mut place, &value);
            request.to_string()
        },
    )
}

/// A request with bytes taken away, put in or said twice.
fn damaged() -> impl Strategy<Value = String> {
    let pieces =
        ["", "\"", "{", "[[[[", "\\u0000", "\\ud800", "1e999999999", "é", ",", "null", "]}", "\0"];
    let changes = prop::collection::vec(
        (any::<prop::sample::Index>(), 0_usize..6, prop::sample::select(pieces.to_vec())),
        1..6,
    );
    (prop::sample::select(requests()), changes).prop_map(|(request, changes)| {
        let mut bytes = request.to_string().into_bytes();
        for (at, taken, piece) in changes {
            let at = at.index(bytes.len());
            let end = (at + taken).min(bytes.len());
            bytes.splice(at..end, piece.bytes());
            if bytes.is_empty() {
                break;
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn assert_short(messages: &[String]) {
    for message in messages {
        let start: String = message.chars().take(300).collect();
        assert!(message.len() <= LONGEST_MESSAGE, "{} bytes: {start}", message.len());
    }
}

/// What a property fails on is kept beside the cases of `src/`: left to itself, proptest would write it to `tests/`.
fn keeping_failures() -> ProptestConfig {
    const KEPT: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/hostile_input.txt");
    let persistence = FileFailurePersistence::Direct(KEPT);
    ProptestConfig { failure_persistence: Some(Box::new(persistence)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(keeping_failures())]

    #[test]
    fn strange_values_are_refused_shortly(text in with_a_strange_value()) {
        assert_short(&messages(&text));
    }

    #[test]
    fn damaged_text_is_refused_shortly(text in damaged()) {
        assert_short(&messages(&text));
    }

    #[test]
    fn any_text_is_refused_shortly(text in any::<String>()) {
        assert_short(&messages(&text));
    }
}

#[test]
fn what_is_not_damaged_is_taken() {
    assert!(Submission::from_json(&submission().to_string()).is_ok());
    assert!(WorkerOptions::from_json(&worker_options().to_string()).is_ok());
    assert!(serde_json::from_value::<Failure>(failure()).is_ok());
    for template in [template(), template_with_edge_conditions()] {
        TaskTemplate::from_json(&template.to_string()).expect("taken");
    }
    SignalRequest::from_json(&signal().to_string()).expect("taken");
    WorkflowCall::from_json(&workflow_call().to_string()).expect("taken");
    ForkRequest::from_json(&fork().to_string()).expect("taken");
    FailureFilter::from_json(&failure_filter().to_string()).expect("taken");
    FeedReading::from_json(&feed_reading().to_string()).expect("taken");
    TemplatesToCompare::from_json(&comparison().to_string()).expect("taken");
}

#[test]
fn a_million_brackets_are_refused_by_everything() {
    for text in
        ["[".repeat(1_000_000), r#"{"a":"#.repeat(300_000), r#"{"contexts":["#.repeat(100_000)]
    {
        let messages = messages(&text);
        assert_eq!(messages.len(), 17);
        assert_short(&messages);
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for key in ["contexts", "context", "schema", "handler_config", "queues", "url"] {
        assert_short(&messages(&format!(
            r#"{{"kind": "retryable", "class": "", "message": "", "{key}": {deep}}}"#
        )));
    }
}

/// Puts a value under `key` into the `place`-th object within `into`, counted through all levels.
fn put_key(into: &mut Value, place: &mut usize, key: &str) {
    match into {
        Value::Array(list) => list.iter_mut().for_each(|item| put_key(item, place, key)),
        Value::Object(map) => {
            map.values_mut().for_each(|item| put_key(item, place, key));
            if *place == 0 {
                map.insert(key.to_owned(), json!("a < b"));
            }
            *place = place.wrapping_sub(1);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_long_text_or_key_at_any_place_is_not_repeated() {
    let long = ["x".repeat(5_000), "1 + ".repeat(1_250), "\u{1}".repeat(5_000)];
    for request in requests() {
        for text in &long {
            for place in 0..80 {
                let (mut valued, mut keyed) = (request.clone(), request.clone());
                put(&mut valued, &mut place.clone(), &json!(text));
                put_key(&mut keyed, &mut place.clone(), text);
                for request in [valued, keyed] {
                    assert_short(&messages(&request.to_string()));
                }
            }
        }
    }
}

#[test]
fn a_long_unknown_key_or_word_is_not_repeated() {
    let long = "x".repeat(3_000_000);
    let refused = [
        json!({&long: 1}),
        json!({"name": &long}),
        json!({"url": {&long: 1}}),
        json!({"url": URL, "pool_size": &long}),
        json!({"name": "x", "contexts": [{}], "tags": &long}),
        json!({"state": &long}),
        json!({"kind": &long}),
        json!({"name": "x", "step_templates": [{"name": "a", "handler_class": "A", "retry": {&long: 1}}]}),
        json!({"name": "x", "step_templates": [{"name": "a", "handler_class": "A", "depends_on_step": "x".repeat(512)}]}),
        json!({"name": "x", "schema": {"properties": {&long[..500_000]: {"type": 1}}}, "step_templates": []}),
    ];
    for request in refused {
        assert_short(&messages(&request.to_string()));
    }
    let schema = json!({"additionalProperties": {"type": "string"}});
    let mut template = template();
    template["schema"] = schema;
    let template = TaskTemplate::from_json(&template.to_string()).expect("valid");
    let error = template
        .validate_context(&json!({&long[..500_000]: 1}).to_string())
        .expect_err("1 is no text");
    assert!(error.to_string().len() < LONGEST_MESSAGE);
    assert!(error.details().to_string().len() < LONGEST_MESSAGE);
}

/// A text of so many bytes.
fn text(bytes: usize) -> Value {
    Value::from("x".repeat(bytes))
}

/// The request with `value` under `key`.
fn with(mut request: Value, key: &str, value: Value) -> String {
    request[key] = value;
    request.to_string()
}

#[test]
fn texts_of_a_submission_are_taken_up_to_their_limit() {
    let limits = [
        ("namespace", 64),
        ("name", 128),
        ("version", 64),
        ("initiator", 128),
        ("source_system", 128),
        ("reason", 1_024),
    ];
    for (key, bytes) in limits {
        assert!(Submission::from_json(&with(submission(), key, text(bytes))).is_ok(), "{key}");
        for value in [text(bytes + 1), json!("nul \0")] {
            let error =
                Submission::from_json(&with(submission(), key, value)).expect_err(key).to_string();
            assert!(
                error.starts_with(key)
                    && error.ends_with(&format!("at most {bytes} bytes without U+0000")),
                "{error}"
            );
        }
    }
}

#[test]
fn lists_of_a_submission_are_taken_up_to_their_limit() {
    let tags = |count: usize, bytes: usize| Value::from(vec![text(bytes); count]);
    assert!(Submission::from_json(&with(submission(), "tags", tags(64, 128))).is_ok());
    let error = Submission::from_json(&with(submission(), "tags", tags(65, 1)))
        .expect_err("too many")
        .to_string();
    assert_eq!(error, "tags is a list of 65; allowed: at most 64");
    let error = Submission::from_json(&with(submission(), "tags", tags(1, 129)))
        .expect_err("too long")
        .to_string();
    assert!(error.starts_with("tags") && error.contains("at most 128 bytes"), "{error}");

    let contexts = |count: usize| Value::from(vec![json!({}); count]);
    assert!(Submission::from_json(&with(submission(), "contexts", contexts(100_000))).is_ok());
    let error = Submission::from_json(&with(submission(), "contexts", contexts(100_001)))
        .expect_err("too many")
        .to_string();
    assert_eq!(error, "contexts is a list of 100001; allowed: at most 100000");
}

#[test]
fn an_identity_is_a_key_of_256_bytes_or_the_context_and_for_one_task() {
    let request = |keys: &Value| {
        let mut json = json!({"name": "a", "contexts": [{}]});
        json.as_object_mut().expect("an object").extend(keys.as_object().expect("keys").clone());
        Submission::from_json(&json.to_string())
    };
    let most = 100.0 * 365.0 * 86_400.0;
    for taken in [
        json!({"idempotency_key": text(256)}),
        json!({"idempotency_key": "a", "unique_for_s": 0.001, "on_duplicate": "raise"}),
        json!({"unique": true, "unique_for_s": most, "on_duplicate": "return"}),
        json!({"unique": false}),
    ] {
        assert!(request(&taken).is_ok(), "{taken}");
    }
    for (refused, message) in [
        (json!({"idempotency_key": ""}), r#"idempotency_key is ""; allowed: 1 to 256 bytes"#),
        (
            json!({"idempotency_key": "nul \0"}),
            "idempotency_key is \"nul \\0\"; allowed: at most 256",
        ),
        (json!({"idempotency_key": text(257)}), "idempotency_key is"),
        (json!({"idempotency_key": 5}), "submission is"),
        (json!({"idempotency_key": "a", "unique": true}), "unique is true; allowed: only without"),
        (json!({"unique": "yes"}), "submission is"),
        (json!({"unique": true, "unique_for_s": 0}), "unique_for_s is 0; allowed: more than 0"),
        (json!({"unique": true, "unique_for_s": -1.5}), "unique_for_s is -1.5; allowed"),
        (
            json!({"unique": true, "unique_for_s": most + 1.0}),
            "unique_for_s is 3153600001; allowed",
        ),
        (json!({"unique": true, "on_duplicate": "ignore"}), "submission is"),
        (
            json!({"unique_for_s": 5}),
            "unique_for_s is 5; allowed: only with idempotency_key or unique",
        ),
        (json!({"on_duplicate": "raise"}), "on_duplicate is raise; allowed: only with"),
        (json!({"unique": true, "contexts": [{}, {}]}), "contexts is a list of 2; allowed: one,"),
    ] {
        let error = request(&refused).expect_err(&refused.to_string()).to_string();
        assert!(error.starts_with(message), "{error}");
        assert_short(&[error]);
    }
}

#[test]
fn options_of_clients_and_workers_are_taken_up_to_their_limit() {
    let client = |text: &str| ClientOptions::from_json(text).err();
    let worker = |text: &str| WorkerOptions::from_json(text).err();
    let century: u64 = 36_500 * 86_400_000;
    for (key, least, most) in [
        ("pool_size", 1, 100),
        ("connect_timeout_ms", 1, 600_000),
        ("max_context_bytes", 1_024, 67_108_864),
        ("concurrency", 1, 1_000),
        ("max_results_bytes", 1_024, 67_108_864),
        ("retention_ms", 0, century),
        ("error_retention_ms", 0, century),
    ] {
        let of_client = ["pool_size", "connect_timeout_ms", "max_context_bytes"].contains(&key);
        let ask = |value: u64| {
            let options = json!({"url": URL, key: value}).to_string();
            if of_client { client(&options) } else { worker(&options) }
        };
        for value in [least, most] {
            assert!(ask(value).is_none(), "{key} {value}");
        }
        let beyond = [least.checked_sub(1), Some(most + 1)];
        for value in beyond.into_iter().flatten() {
            let error = ask(value).expect(key).to_string();
            let allowed = format!("{key} is {value}; allowed: {least} to {most}");
            assert!(error.starts_with(&allowed), "{error}");
        }
    }

    let queues = |count: usize, bytes: usize| {
        worker(&json!({"url": URL, "queues": vec!["q".repeat(bytes); count]}).to_string())
    };
    assert!(queues(1_000, 64).is_none());
    for (count, bytes, allowed) in [
        (0, 1, "1 to 1000 queues"),
        (1_001, 1, "1 to 1000 queues"),
        (1, 0, "1 to 64 bytes"),
        (1, 65, "1 to 64 bytes"),
    ] {
        let error = queues(count, bytes).expect("a refusal").to_string();
        assert!(error.starts_with("queues is") && error.contains(allowed), "{error}");
    }
}

#[test]
fn numbers_of_a_list_a_page_and_a_batch_are_taken_up_to_their_limit() {
    type Read = fn(&str) -> Option<Error>;
    let tasks: Read = |text| ListFilter::from_json(text).err();
    let failures: Read = |text| FailureFilter::from_json(text).err();
    let events: Read = |text| FeedReading::from_json(text).err();
    for (read, most) in [(tasks, 1_000), (failures, 1_000), (events, 10_000)] {
        let ask = |limit: i64| read(&json!({"limit": limit}).to_string());
        assert!(ask(1).is_none() && ask(most).is_none(), "{most}");
        for limit in [0, most + 1] {
            let error = ask(limit).expect("a refusal").to_string();
            assert_eq!(error, format!("limit is {limit}; allowed: 1 to {most}"));
        }
    }
}

#[test]
fn times_of_a_request_are_taken_up_to_their_limit() {
    let deadline = |seconds: f64| {
        Submission::from_json(&with(submission(), "deadline_s", json!(seconds))).err()
    };
    let age =
        |key: &str, seconds: f64| Pruning::from_json(&json!({key: seconds}).to_string()).err();
    assert!(deadline(366.0 * 86_400.0).is_none());
    let error = deadline(366.0 * 86_400.0 + 1.0).expect("too far").to_string();
    assert!(error.starts_with("deadline_s is 31622401; allowed: more than 0"), "{error}");
    let century = 36_500.0 * 86_400.0;
    for key in ["older_than_s", "errors_older_than_s"] {
        assert!(age(key, century).is_none(), "{key}");
        let error = age(key, century + 1.0).expect(key).to_string();
        assert!(error.starts_with(&format!("{key} is 3153600001; allowed: 0 to")), "{error}");
    }
}

#[test]
fn a_fork_begins_with_1_to_100_steps() {
    let ask = |steps: usize| {
        ForkRequest::from_json(&with(fork(), "from", Value::from(vec![text(1); steps]))).err()
    };
    assert!(ask(100).is_none());
    let error = ask(101).expect("too many").to_string();
    assert_eq!(error, "from is a list of 101; allowed: at most 100");
}

#[test]
fn names_to_list_by_are_taken_up_to_their_limit() {
    for (key, bytes) in [("namespace", 64), ("name", 128)] {
        assert!(ListFilter::from_json(&json!({key: text(bytes)}).to_string()).is_ok());
        for value in [text(bytes + 1), json!("nul \0")] {
            assert!(ListFilter::from_json(&json!({key: value}).to_string()).is_err(), "{key}");
        }
    }
}

#[test]
fn a_pruning_takes_a_day_at_most() {
    let pruning = |ms: u64| Pruning::from_json(&json!({"limit_ms": ms}).to_string());
    assert!(pruning(86_400_000).is_ok());
    for ms in [86_400_001, u64::MAX] {
        assert!(pruning(ms).expect_err("too long").to_string().contains("0 to 86400000"));
    }
}

#[test]
fn numbers_of_a_map_and_of_budgets_are_taken_up_to_their_limit() {
    let refusal = |step: Value| {
        let steps = json!([{"name": "a", "handler_class": "A"}, step]);
        let template = json!({"name": "x", "step_templates": steps}).to_string();
        TaskTemplate::from_json(&template).err().map(|error| error.to_string())
    };
    let step = |key: &str, value: Value| {
        let mut step = json!({"name": "b", "handler_class": "B", "depends_on_step": "a"});
        step[key] = value;
        refusal(step)
    };
    let map = |key: &str, value: u64| {
        let mut map = json!({"over": "[1]"});
        map[key] = value.into();
        step("map", map)
    };
    let most = 1 << 20;
    for (key, least) in [("max_parallel", 1), ("tolerate", 0)] {
        assert_eq!((map(key, least), map(key, most)), (None, None));
        let error = map(key, most + 1).expect("a refusal");
        assert!(error.contains(&format!("an integer from {least} to {most}")), "{error}");
    }
    let over = |bytes: usize| step("map", json!({"over": format!("[1{}]", " ".repeat(bytes - 3))}));
    assert_eq!(over(1_024), None);
    assert!(over(1_025).expect("a refusal").contains("is longer than 1024 bytes"));
    assert_eq!(step("total_timeout_seconds", json!(366 * 86_400)), None);
    let error = step("total_timeout_seconds", json!(366 * 86_400 + 1)).expect("a refusal");
    assert!(error.contains("at most 31622400"), "{error}");
    assert_eq!(step("reserve_cost", json!(1_000_000_000)), None);
    assert!(step("reserve_cost", json!(1_000_000_001)).expect("a refusal").contains("1000000000"));

    let budget = |budget: Value| BudgetRequest::from_json(&budget.to_string())?.limits();
    for taken in [json!({"attempts": i32::MAX}), json!({"cost": 1_000_000_000}), json!({"cost": 0})]
    {
        assert!(budget(taken.clone()).is_ok(), "{taken}");
    }
    for refused in [
        json!({"attempts": 0}),
        json!({"attempts": 1_u32 << 31}),
        json!({"cost": -1}),
        json!({"cost": 1e9 + 1.0}),
    ] {
        let error = budget(refused.clone()).expect_err(&refused.to_string()).to_string();
        assert!(error.starts_with("budget."), "{error}");
    }
}

#[test]
fn names_of_signals_calls_and_forks_are_taken_up_to_their_limit() {
    type Read = fn(&str) -> Option<Error>;
    let signals: Read = |text| SignalRequest::from_json(text).err();
    let calls: Read = |text| WorkflowCall::from_json(text).err();
    let forks: Read = |text| ForkRequest::from_json(text).err();
    let openings: Read = |text| FeedOpening::from_json(text).err();
    let submissions: Read = |text| Submission::from_json(text).err();
    for (read, request, key, bytes) in [
        (signals, signal(), "name", 128),
        (signals, signal(), "actor", 128),
        (signals, signal(), "idempotency_key", 256),
        (calls, workflow_call(), "workflow", 128),
        (calls, workflow_call(), "name", 100),
        (forks, fork(), "actor", 128),
        (forks, fork(), "reason", 1_024),
        (forks, fork(), "idempotency_key", 256),
        (submissions, submission(), "correlation_key", 256),
        (openings, json!({}), "consumer", 128),
    ] {
        let ask = |value: Value| read(&with(request.clone(), key, value));
        assert!(ask(text(bytes)).is_none(), "{key}");
        for value in [text(bytes + 1), json!("nul \0")] {
            let error = ask(value).expect(key).to_string();
            assert!(error.starts_with(key) && error.contains(&bytes.to_string()), "{error}");
        }
    }
}
