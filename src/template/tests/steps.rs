use super::*;

#[test]
fn a_step_is_not_called_like_an_item_of_a_map_step() {
    for name in ["m[0]", "m[]", "[all]"] {
        let message = "allowed: a name without [ and ] at its end, as items of map steps have them";
        assert_refused(step(&json!({"name": name})), "step_templates[0].name", message);
    }
    for name in ["m[0", "m]", "[0] m"] {
        assert_eq!(step(&json!({"name": name})).unwrap().steps()[0].name, name);
    }
}

#[test]
fn a_step_name_may_be_any_text_of_512_bytes() {
    assert_eq!(first_step(&json!({"name": " a, (b)/\n c"})).name, " a, (b)/\n c");
    assert!(step(&json!({"name": "s".repeat(512)})).is_ok());
    assert_refused(
        step(&json!({"name": "s".repeat(513)})),
        "step_templates[0].name",
        "1 to 512 bytes",
    );
    assert_refused(step(&json!({"name": ""})), "step_templates[0].name", "1 to 512 bytes");
}

#[test]
fn a_handler_class_is_needed() {
    assert_refused(
        step(&json!({"handler_class": null})),
        "step_templates[0].handler_class",
        "is missing",
    );
    assert_refused(
        step(&json!({"handler_class": "c".repeat(256)})),
        "step_templates[0].handler_class",
        "1 to 255 bytes",
    );
    assert!(step(&json!({"handler_class": "c".repeat(255)})).is_ok());
}

#[test]
fn module_namespace_goes_before_a_class_once() {
    let class = |module: &str, class: &str| {
        let template = with(&json!({"module_namespace": module}), &json!({"handler_class": class}));
        read(&template).expect("valid").steps()[0].handler_class.clone()
    };
    assert_eq!(class("Billing", "Load"), "Billing::Load");
    assert_eq!(class("Billing", "Billing::Load"), "Billing::Load");
    assert_eq!(class("Billing", "BillingLoad"), "Billing::BillingLoad");
    assert_eq!(class("Billing", "::Load"), "Load");
    assert_eq!(class("::Billing", "Load"), "Billing::Load");
    assert_eq!(first_step(&json!({"handler_class": "::A::B"})).handler_class, "A::B");
    assert_refused(
        step(&json!({"handler_class": "::"})),
        "step_templates[0].handler_class",
        "1 to 255 bytes",
    );
}

#[test]
fn a_class_with_its_module_is_no_longer_than_a_class() {
    let template =
        with(&json!({"module_namespace": "M".repeat(250)}), &json!({"handler_class": "Loader"}));
    assert_refused(read(&template), "step_templates[0].handler_class", "1 to 255 bytes");
    let module = |bytes: usize| json!({"module_namespace": "M".repeat(bytes)});
    let class = json!({"handler_class": "Load"});
    assert!(read(&with(&module(255 - "::Load".len()), &class)).is_ok());
    let absolute = json!({"handler_class": "::Load"});
    assert!(read(&with(&module(255), &absolute)).is_ok());
    assert_refused(read(&with(&module(256), &absolute)), "module_namespace", "1 to 255 bytes");
}

#[test]
fn one_parent_and_a_list_of_parents_are_put_together() {
    let list = json!([
        {"name": "a", "handler_class": "A"}, {"name": "b", "handler_class": "A"}, {"name": "c", "handler_class": "A"},
        {"name": "d", "handler_class": "A", "depends_on_step": "b", "depends_on_steps": ["c", "a"]},
    ]);
    let template = steps(&list).expect("valid");
    assert_eq!(template.steps()[3].depends_on_steps, ["b", "c", "a"]);
    assert_eq!(template.graph().parents(3), [1, 2, 0]);
    assert!(template.to_json().contains(r#""depends_on_steps":["b","c","a"]"#));
}

#[test]
fn conditions_on_edges_are_read_in_two_forms_and_written_in_one() {
    let steps = |last: Value| {
        let mut step = json!({"name": "c", "handler_class": "A"});
        step.as_object_mut().unwrap().extend(last.as_object().unwrap().clone());
        let first = ["a", "b"].map(|name| json!({"name": name, "handler_class": "A"}));
        read(&json!({"name": "x", "step_templates": [first[0], first[1], step]}))
    };
    let edge = json!({"step": "a", "when": "results.a > 1"});
    let inline = steps(json!({"depends_on_steps": [edge, "b"]})).expect("valid");
    let named = json!({"depends_on_steps": ["a", "b"], "depends_on_when": {"a": "results.a > 1"}});
    assert_eq!(inline, steps(named).expect("valid"));
    assert_eq!(read(&serde_json::from_str(&inline.to_json()).unwrap()).expect("valid"), inline);
    let map = json!({"name": "x", "step_templates": [
        {"name": "a", "handler_class": "A", "map": {"over": "[1]"}},
        {"name": "b", "handler_class": "A", "depends_on_steps": [{"step": "a", "when": "true"}]},
    ]});
    let refusal = read(&map).unwrap_err().to_string();
    assert!(
        refusal.contains("step_templates[1].depends_on_steps[0].when (step \"b\")"),
        "{refusal}"
    );
    let path = |key: &str| format!("step_templates[2].{key}");
    for (last, key, said) in [
        (
            json!({"depends_on_steps": [{"step": "a", "when": "results.b"}]}),
            "depends_on_steps[0].when",
            "not a parent",
        ),
        (
            json!({"depends_on_steps": [{"stop": "a"}]}),
            "depends_on_steps[0].stop",
            "did you mean \"step\"?",
        ),
        (json!({"depends_on_steps": [{"when": "true"}]}), "depends_on_steps[0].step", "missing"),
        (
            json!({"depends_on_steps": ["a"], "depends_on_when": {"b": "true"}}),
            "depends_on_when.b",
            "did you mean \"a\"?",
        ),
        (
            json!({"depends_on_steps": [edge], "depends_on_when": {"a": "true"}}),
            "depends_on_when.a",
            "one condition for",
        ),
    ] {
        let refusal = steps(last).unwrap_err().to_string();
        assert!(refusal.contains(&path(key)) && refusal.contains(said), "{refusal}");
    }
}

#[test]
fn a_forgotten_list_of_parents_is_not_taken_for_none() {
    assert_refused(
        step(&json!({"depends_on_steps": null})),
        "step_templates[0].depends_on_steps",
        "is null",
    );
    assert_refused(
        step(&json!({"depends_on_step": null})),
        "step_templates[0].depends_on_step",
        "is null",
    );
    assert_refused(
        step(&json!({"depends_on_steps": "b"})),
        "step_templates[0].depends_on_steps",
        "is \"b\"; allowed: a list",
    );
    assert_refused(
        step(&json!({"depends_on_steps": ["b", 1]})),
        "step_templates[0].depends_on_steps[1]",
        "is 1",
    );
    assert!(step(&json!({"depends_on_steps": []})).is_ok());
}

#[test]
fn an_unknown_parent_is_named_with_its_key_and_the_step_that_was_meant() {
    let list = json!([
        {"name": "load", "handler_class": "A"},
        {"name": "ship", "handler_class": "A", "depends_on_steps": ["load", "laod"]},
    ]);
    let error = steps(&list).expect_err("unknown parent");
    assert_eq!(
        error.to_string(),
        r#"step_templates[1].depends_on_steps[1] (step "ship") is "laod"; did you mean "load"?"#
    );
    assert_eq!(error.value.as_deref(), Some("\"laod\""));
    let one = steps(&json!([{"name": "load", "handler_class": "A", "depends_on_step": "zebra"}]));
    assert_refused(
        one,
        "step_templates[0].depends_on_step",
        "allowed: the name of a step of this template",
    );
}

#[test]
fn a_parent_is_named_once() {
    let twice = |keys: Value| {
        let mut child = json!({"name": "b", "handler_class": "A"});
        put(&mut child, &keys);
        steps(&json!([{"name": "a", "handler_class": "A"}, child]))
    };
    let both = twice(json!({"depends_on_step": "a", "depends_on_steps": ["a"]}));
    assert_refused(
        both,
        "step_templates[1].depends_on_steps[0]",
        "is \"a\"; allowed: each parent once",
    );
    let list = twice(json!({"depends_on_steps": ["a", "a"]}));
    assert_refused(list, "step_templates[1].depends_on_steps[1]", "each parent once");
}

#[test]
fn a_step_does_not_wait_for_itself() {
    let result = step(&json!({"depends_on_steps": ["a"]}));
    assert_refused(result, "step_templates[0].depends_on_steps[0]", "could never start");
}

#[test]
fn a_name_is_used_once() {
    let list = json!([{"name": "a", "handler_class": "A"}, {"name": "b", "handler_class": "A"}, {"name": "a", "handler_class": "A"}]);
    assert_refused(
        steps(&list),
        "step_templates[2].name",
        "is \"a\"; allowed: a name that no other step has (step_templates[0] has this one)",
    );
}

#[test]
fn a_circle_is_shown_with_the_key_that_closes_it() {
    let list = json!([
        {"name": "a", "handler_class": "A", "depends_on_step": "c"},
        {"name": "b", "handler_class": "A", "depends_on_step": "a"},
        {"name": "c", "handler_class": "A", "depends_on_steps": ["b"]},
    ]);
    let error = steps(&list).expect_err("circle");
    assert!(error.to_string().contains(r#""a" -> "b" -> "c" -> "a""#), "{error}");
    assert_eq!(&*error.key, "step_templates[1].depends_on_step");
    assert_eq!(error.value.as_deref(), Some("\"a\""));
}

#[test]
fn at_least_one_step_is_needed() {
    assert_refused(
        steps(&json!([])),
        "step_templates",
        "is []; allowed: a list of at least one step",
    );
    assert_refused(read(&json!({"name": "x"})), "step_templates", "is missing");
    assert_refused(steps(&json!({})), "step_templates", "is {}; allowed: a list");
}

#[test]
fn attempts_are_an_integer_from_0_to_1000() {
    for value in [json!(-1), json!(1001), json!(2.5), json!("3"), json!(4_294_967_299_u64)] {
        let result = step(&json!({"default_retry_limit": value}));
        assert_refused(
            result,
            "step_templates[0].default_retry_limit",
            "allowed: an integer from 0 to 1000",
        );
    }
    assert_eq!(first_step(&json!({"default_retry_limit": 0})).retry_policy.limit, 0);
    assert_eq!(first_step(&json!({"default_retry_limit": 1000})).retry_policy.limit, 1000);
}

#[test]
fn switches_are_true_or_false() {
    for key in ["default_retryable", "skippable"] {
        let result = step(&json!({key: "yes"}));
        assert_refused(
            result,
            &format!("step_templates[0].{key}"),
            "is \"yes\"; allowed: true or false",
        );
    }
    assert!(first_step(&json!({"skippable": true})).skippable);
    assert!(!first_step(&json!({"default_retryable": false})).retry_policy.retryable);
}

/// Two steps, and a third that depends on both.
fn joined(join: &Value) -> Result<TaskTemplate, TemplateError> {
    let step = |name: &str| json!({"name": name, "handler_class": "A"});
    let mut last = step("c");
    last["depends_on_steps"] = json!(["a", "b"]);
    last["join"] = join.clone();
    steps(&json!([step("a"), step("b"), last]))
}

#[test]
fn a_join_policy_is_a_word_or_a_quorum() {
    let policy = |join: &Value| joined(join).expect("valid").steps()[2].join;
    for known in JoinPolicy::WORDS {
        assert_eq!(policy(&json!(known.as_str())), known);
    }
    assert_eq!(policy(&json!(null)), JoinPolicy::AllComplete);
    assert_eq!(policy(&json!({"quorum": 2})), JoinPolicy::Quorum(2));
    let json = joined(&json!({"quorum": 2})).expect("valid").to_json();
    assert!(json.contains(r#""join":{"quorum":2}"#), "{json}");
    let key = "step_templates[2].join";
    assert_refused(joined(&json!("all_compete")), key, "did you mean \"all_complete\"?");
    assert_refused(joined(&json!(2)), key, "none_failed, or {\"quorum\": 2}");
    assert_refused(joined(&json!({})), key, "none_failed, or {\"quorum\": 2}");
    for quorum in [0, 3] {
        assert_refused(
            joined(&json!({"quorum": quorum})),
            "step_templates[2].join.quorum",
            "1 to 2",
        );
    }
    let strange = json!({"quorum": 1, "of": 2});
    assert_refused(joined(&strange), "step_templates[2].join.of", "is not a known key");
    let result = step(&json!({"join": "any_complete"}));
    assert_refused(result, "step_templates[0].join", "where a step depends on no other");
    assert!(step(&json!({"join": "all_complete"})).is_ok());
}

#[test]
fn a_timeout_is_above_zero_and_at_most_30_days() {
    for value in [json!(0), json!(-1), json!(2_592_000.5), json!("10"), json!(1e-12)] {
        let result = step(&json!({"timeout_seconds": value}));
        assert_refused(
            result,
            "step_templates[0].timeout_seconds",
            "more than 0 and at most 2592000 (30 days)",
        );
    }
    assert_eq!(
        first_step(&json!({"timeout_seconds": 2_592_000})).timeout,
        Some(Duration::from_secs(2_592_000))
    );
    assert_eq!(first_step(&json!({"timeout_seconds": null})).timeout, None);
    assert_eq!(
        first_step(&json!({"timeout_seconds": 0.25})).timeout,
        Some(Duration::from_millis(250))
    );
}

#[test]
fn delays_of_steps_and_retries_last_at_most_30_days() {
    let (most, more) = (json!(2_592_000), json!(2_592_000.5));
    for key in ["delay_seconds", "retry.base_seconds", "retry.max_seconds"] {
        let given = |value: &Value| match key.split_once('.') {
            Some((section, key)) => step(&json!({section: {key: value}})),
            None => step(&json!({key: value})),
        };
        assert!(given(&most).is_ok(), "{key}");
        assert_refused(given(&more), &format!("step_templates[0].{key}"), "2592000 (30 days)");
    }
}

#[test]
fn the_kinds_of_backoff_are_five() {
    let list = || Backoff::List([Duration::ZERO, Duration::from_millis(1_500)].into());
    for (retry, kind) in [
        (json!({"backoff": "exponential"}), Backoff::Exponential),
        (json!({"backoff": "linear"}), Backoff::Linear),
        (json!({"backoff": "fixed"}), Backoff::Fixed),
        (json!({"backoff": "fibonacci"}), Backoff::Fibonacci),
        (json!({"backoff": "list", "delays_seconds": [0, 1.5]}), list()),
        (json!({"backoff": null, "delays_seconds": null}), Backoff::Exponential),
    ] {
        assert_eq!(first_step(&json!({"retry": retry})).retry_policy.backoff, kind);
    }
    let key = "step_templates[0].retry.backoff";
    assert_refused(
        step(&json!({"retry": {"backoff": "exponental"}})),
        key,
        "did you mean \"exponential\"?",
    );
    assert_refused(
        step(&json!({"retry": {"backoff": 2}})),
        key,
        "allowed: exponential, linear, fixed, fibonacci, list",
    );
}

#[test]
fn a_list_of_delays_goes_with_its_kind_only() {
    let key = "step_templates[0].retry.delays_seconds";
    let list =
        |delays: Value| step(&json!({"retry": {"backoff": "list", "delays_seconds": delays}}));
    assert_refused(list(json!(null)), key, "is missing; allowed: a list of 1 to 100 numbers");
    assert_refused(list(json!(5)), key, "is 5; allowed: a list");
    assert_refused(list(json!([])), key, "has 0 delays; allowed: a list of 1 to 100 numbers");
    assert_refused(list(json!(vec![1; 101])), key, "has 101 delays");
    assert!(list(json!(vec![86_400; 100])).is_ok());
    for (delay, seen) in
        [(json!(-0.5), "-0.5"), (json!(86_400.5), "86400.5"), (json!("1"), "\"1\"")]
    {
        let part = format!("is {seen}; allowed: seconds from 0 to 86400 (a day)");
        assert_refused(list(json!([1, delay])), &format!("{key}[1]"), &part);
    }
    for kind in [json!("fixed"), json!("fibonacci")] {
        let retry = json!({"backoff": kind, "delays_seconds": [1]});
        let part =
            format!("is [1]; allowed: no such list with backoff: {}", kind.as_str().unwrap());
        assert_refused(step(&json!({"retry": retry})), key, &part);
    }
    assert_refused(step(&json!({"retry": {"delays_seconds": [1]}})), key, "backoff: exponential");
}

#[test]
fn a_list_has_no_base_and_a_cap_not_below_its_longest_delay() {
    let list = |more: Value| {
        let mut retry = json!({"backoff": "list", "delays_seconds": [5, 900, 30]});
        put(&mut retry, &more);
        step(&json!({"retry": retry}))
    };
    let cap = |more| list(more).expect("valid").steps()[0].retry_policy.cap;
    assert_eq!(cap(json!({})), Duration::from_secs(900));
    assert_eq!(cap(json!({"delays_seconds": [5]})), Duration::from_secs(300));
    assert_eq!(cap(json!({"max_seconds": 900})), Duration::from_secs(900));
    let key = "step_templates[0].retry.max_seconds";
    let part = "is 899.0; allowed: at least the longest of delays_seconds, which is 900";
    assert_refused(list(json!({"max_seconds": 899})), key, part);
    let key = "step_templates[0].retry.base_seconds";
    assert_refused(list(json!({"base_seconds": 2})), key, "is 2.0; allowed: no base with");
}

#[test]
fn workers_that_may_die_are_an_integer_from_1_to_100() {
    for value in [json!(0), json!(101), json!(-1), json!(1.5), json!("3")] {
        let result = step(&json!({"crash_limit": value}));
        assert_refused(
            result,
            "step_templates[0].crash_limit",
            "allowed: an integer from 1 to 100",
        );
    }
    let limit = |value| first_step(&json!({"crash_limit": value})).retry_policy.crash_limit;
    assert_eq!((limit(json!(1)), limit(json!(100)), limit(json!(null))), (1, 100, 3));
}

#[test]
fn tables_of_exception_classes_name_classes_and_what_they_mean() {
    let table = json!({"Net::ReadTimeout": "retryable", "Ärger": "permanent", "A_1": "blocked"});
    let expected: ErrorClasses = [
        ("Net::ReadTimeout", ErrorClass::Retryable),
        ("Ärger", ErrorClass::Permanent),
        ("A_1", ErrorClass::Blocked),
    ]
    .map(|(name, kind)| (name.to_owned(), kind))
    .into();
    assert_eq!(first_step(&json!({"error_classes": table})).error_classes, expected);
    assert_eq!(*top(&json!({"error_classes": table})).expect("valid").error_classes(), expected);
    assert!(first_step(&json!({"error_classes": null})).error_classes.is_empty());
}

#[test]
fn tables_of_exception_classes_are_checked() {
    for (read, path) in
        [(top as fn(&Value) -> _, "error_classes"), (step, "step_templates[0].error_classes")]
    {
        let table = |table: Value| read(&json!({"error_classes": table}));
        assert_refused(table(json!(["A"])), path, "is [\"A\"]; allowed: an object");
        let long = "C".repeat(256);
        for name in ["net::Read", "Net:ReadTimeout", "::IOError", "Net::", "Io Error", "", &long] {
            let key = format!("{path}.{}", crate::json::shorten(name, 80));
            assert_refused(
                table(json!({name: "permanent"})),
                &key,
                "is no name of a class; allowed:",
            );
        }
        for name in ["TaskerCore::RetryableError", "TaskerCore::Error", "TaskerCore"] {
            let key = format!("{path}.{name}");
            assert_refused(table(json!({name: "permanent"})), &key, "it means what it says");
        }
        assert!(
            table(json!({"TaskerCorePlus::Error": "permanent", "C".repeat(255): "blocked"}))
                .is_ok()
        );
        let key = format!("{path}.IOError");
        assert_refused(table(json!({"IOError": "permanant"})), &key, "did you mean \"permanent\"?");
        for word in [json!("timeout"), json!(1), json!(null), json!("Blocked!!!")] {
            let part = "allowed: retryable, permanent, blocked";
            assert_refused(table(json!({"IOError": word})), &key, part);
        }
        let many = |count| {
            let names = (0..count).map(|number| (format!("C{number}"), json!("blocked")));
            table(Value::Object(names.collect()))
        };
        assert!(many(1_000).is_ok());
        assert_refused(many(1_001), path, "has 1001 names; allowed: at most 1000");
    }
}

#[test]
fn delays_are_above_zero_and_the_cap_is_not_below_the_base() {
    let key = "step_templates[0].retry.base_seconds";
    assert_refused(step(&json!({"retry": {"base_seconds": 0}})), key, "more than 0");
    let result = step(&json!({"retry": {"base_seconds": 10, "max_seconds": 9.5}}));
    assert_refused(
        result,
        "step_templates[0].retry.max_seconds",
        "is 9.5; allowed: at least base_seconds, which is 10",
    );
    let result = step(&json!({"retry": {"max_seconds": 0.5}}));
    assert_refused(result, "step_templates[0].retry.max_seconds", "which is 1");
    let equal = first_step(&json!({"retry": {"base_seconds": 10, "max_seconds": 10}})).retry_policy;
    assert_eq!(equal.base, equal.cap);
}

#[test]
fn a_base_above_the_default_cap_raises_the_cap() {
    let policy = first_step(&json!({"retry": {"base_seconds": 400}})).retry_policy;
    assert_eq!(policy.cap, Duration::from_secs(400));
    let policy = first_step(&json!({"retry": {"base_seconds": 4}})).retry_policy;
    assert_eq!(policy.cap, Duration::from_secs(300));
}

#[test]
fn jitter_is_a_share() {
    for value in [json!(-0.1), json!(1.0001), json!("0.1")] {
        let result = step(&json!({"retry": {"jitter": value}}));
        assert_refused(
            result,
            "step_templates[0].retry.jitter",
            "allowed: a number from 0.0 to 1.0",
        );
    }
    let jitter =
        |value| first_step(&json!({"retry": {"jitter": value}})).retry_policy.jitter.to_bits();
    assert_eq!(jitter(0), 0.0_f64.to_bits());
    assert_eq!(jitter(1), 1.0_f64.to_bits());
}

#[test]
fn handler_config_is_an_object() {
    assert_refused(
        step(&json!({"handler_config": [1]})),
        "step_templates[0].handler_config",
        "is [1]; allowed: an object",
    );
    assert_eq!(first_step(&json!({"handler_config": null})).handler_config, Map::new());
}

#[test]
fn a_dependent_system_comes_from_the_step_or_the_template() {
    let list = json!([{"name": "a", "handler_class": "A"}, {"name": "b", "handler_class": "B", "dependent_system": "own"}]);
    let template =
        json!({"name": "x", "default_dependent_system": "ledger", "step_templates": list});
    let template = read(&template).expect("valid");
    assert_eq!(template.steps()[0].dependent_system.as_deref(), Some("ledger"));
    assert_eq!(template.steps()[1].dependent_system.as_deref(), Some("own"));
    assert_refused(
        top(&json!({"default_dependent_system": 1})),
        "default_dependent_system",
        "is 1",
    );
    let key = "default_dependent_system";
    assert!(top(&json!({key: "s".repeat(64)})).is_ok());
    assert_refused(top(&json!({key: "s".repeat(65)})), key, "1 to 64 bytes");
    let key = "dependent_system";
    assert!(step(&json!({key: "s".repeat(64)})).is_ok());
    assert_refused(
        step(&json!({key: "s".repeat(65)})),
        &format!("step_templates[0].{key}"),
        "1 to 64 bytes",
    );
}

#[test]
fn named_steps_lists_every_step() {
    assert!(top(&json!({"named_steps": ["a", "b"]})).is_ok());
    let result = read(&with(&json!({"named_steps": ["load", "ship"]}), &json!({"name": "laod"})));
    assert_refused(result, "step_templates[0].name", "is \"laod\"; did you mean \"load\"?");
    assert_refused(
        top(&json!({"named_steps": []})),
        "step_templates[0].name",
        "allowed: one of named_steps",
    );
    assert_refused(top(&json!({"named_steps": ["a", 1]})), "named_steps[1]", "is 1");
}

#[test]
fn steps_are_found_by_name() {
    let list = json!([{"name": "a", "handler_class": "A"}, {"name": "b", "handler_class": "A"}]);
    let template = steps(&list).expect("valid");
    assert_eq!(template.step_index("b"), Some(1));
    assert_eq!(template.step_index("c"), None);
}

#[test]
fn a_template_may_have_60_000_steps() {
    let step = |index: usize| {
        let parents: Vec<String> = (1..=3)
            .filter_map(|back| index.checked_sub(back))
            .map(|parent| format!("s{parent}"))
            .collect();
        json!({"name": format!("s{index}"), "handler_class": "A", "depends_on_steps": parents})
    };
    let list: Vec<Value> = (0..60_000).map(step).collect();
    let template = steps(&Value::from(list)).expect("valid");
    assert_eq!(template.graph().edge_count(), 60_000 * 3 - 6);
    assert_eq!(template.step_index("s59999"), Some(59_999));
}

#[test]
fn a_step_takes_the_queue_of_the_template_unless_it_has_its_own() {
    let list = json!([{"name": "a", "handler_class": "A"}, {"name": "b", "handler_class": "B", "queue": "own"}]);
    let template =
        read(&json!({"name": "x", "queue": "slow", "step_templates": list})).expect("valid");
    assert_eq!(template.steps()[0].queue, "slow");
    assert_eq!(template.steps()[1].queue, "own");
}

/// Two steps, of which the first has these keys and the second depends on it.
fn with_child(keys: &Value) -> Result<TaskTemplate, TemplateError> {
    let mut first = json!({"name": "a", "handler_class": "A"});
    first.as_object_mut().expect("keys").extend(keys.as_object().expect("keys").clone());
    let steps = json!([first, {"name": "b", "handler_class": "B", "depends_on_step": "a"}]);
    read(&json!({"name": "x", "step_templates": steps}))
}

#[test]
fn a_step_that_decides_needs_a_branch() {
    assert!(with_child(&json!({"decides": true})).expect("valid").steps()[0].decides);
    assert!(!with_child(&json!({})).expect("valid").steps()[0].decides);
    let error = step(&json!({"decides": true})).expect_err("no step depends on it");
    assert_eq!(
        error.to_string(),
        "step_templates[0].decides (step \"a\") is true; allowed: false where no other step depends on it; its branches \
         are the steps that do"
    );
    let error = with_child(&json!({"decides": "yes"})).expect_err("no flag");
    assert_eq!(&*error.key, "step_templates[0].decides");
}

#[test]
fn a_condition_is_parsed_with_its_template() {
    let steps = |when: Value| {
        json!({"name": "x", "step_templates": [
            {"name": "load", "handler_class": "A"},
            {"name": "post", "handler_class": "B", "depends_on_step": "load", "when": when}]})
    };
    let template = read(&steps(json!("results.load.ok"))).expect("valid");
    assert_eq!(template.steps()[1].when.as_ref().map(Condition::text), Some("results.load.ok"));
    for (when, message) in [
        (json!("results.load.ok &&"), "is \"results.load.ok &&\", and at character 19 it "),
        (
            json!("results.laod.ok"),
            "which is not a parent of the step; parents: load; did you mean \"load\"?",
        ),
        (json!("amount > 5"), "and at character 1 it names \"amount\", which is no variable"),
        (
            json!(true),
            "is true; allowed: an expression in CEL over context and results, such as context.amount > 100",
        ),
        (json!("x".repeat(1_025)), "it is longer than 1024 bytes"),
    ] {
        let error = read(&steps(when.clone())).expect_err("no condition");
        assert_eq!(&*error.key, "step_templates[1].when", "{when}");
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.details()["step"], "post");
    }
}

#[test]
fn all_attempts_of_items_and_of_steps_that_are_added_may_have_a_limit() {
    let template = read(&json!({"name": "x", "step_templates": [
        {"name": "load", "handler_class": "A"},
        {"name": "resize", "handler_class": "B", "depends_on_step": "load", "map": {"over": "results.load"},
            "total_timeout_seconds": 60},
        {"name": "page", "handler_class": "C", "dynamic": true, "total_timeout_seconds": 30.5}]}))
    .expect("valid");
    let limits =
        template.steps().iter().map(|step| step.total_timeout.map(|time| time.as_secs_f64()));
    assert_eq!(limits.collect::<Vec<_>>(), [None, Some(60.0), Some(30.5)]);
}
