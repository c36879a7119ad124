use super::*;

#[test]
fn the_normalised_form_fills_in_defaults_in_a_fixed_order() {
    let expected = concat!(
        r#"{"namespace_name":"default","name":"x","version":"0.1.0","description":null,"schema":null,"queue":"default","deadline_seconds":null,"budget":{},"error_classes":{},"#,
        r#""step_templates":[{"name":"a","handler_class":"A","description":null,"depends_on_steps":[],"depends_on_when":{},"join":"all_complete","when":null,"queue":"default","#,
        r#""default_retryable":true,"default_retry_limit":3,"crash_limit":3,"decides":false,"skippable":false,"delay_seconds":null,"timeout_seconds":null,"total_timeout_seconds":null,"reserve_cost":null,"#,
        r#""retry":{"backoff":"exponential","base_seconds":1.0,"max_seconds":300.0,"jitter":0.1,"delays_seconds":null},"#,
        r#""error_classes":{},"handler_config":{},"dependent_system":null}]}"#,
    );
    assert_eq!(top(&json!({})).expect("valid").to_json(), expected);
}

#[test]
fn every_value_given_is_written_again() {
    let keys = json!({
        "name": "billing/reconcile", "namespace_name": "billing", "version": "1.2.0-rc.1", "queue": "slow", "priority": -5, "deadline_seconds": 86_400.0, "budget": {"attempts": 200, "cost": 12.5},
        "description": "Matches payments.", "schema": {"type": "object"},
        "error_classes": {"IOError": "retryable", "Stripe::CardError": "permanent"},
    });
    let step = json!({
        "name": "post", "handler_class": "Post", "description": "Writes.", "depends_on_steps": [], "depends_on_when": {}, "join": "all_complete",
        "when": "context.amount > 5", "queue": "ledger", "decides": false,
        "default_retryable": false, "default_retry_limit": 7, "crash_limit": 5, "skippable": true,
        "delay_seconds": 0.5, "timeout_seconds": 2.5, "total_timeout_seconds": 60.5, "reserve_cost": 0.5, "error_classes": {"Flipper::Off": "blocked"},
        "retry": {"backoff": "list", "base_seconds": null, "max_seconds": 60.0, "jitter": 0.0, "delays_seconds": [0.0, 5.5]},
        "handler_config": {"url": "u", "n": [1, 2.5]}, "dependent_system": "ledger",
    });
    let given = with(&keys, &step);
    let template = read(&given).expect("valid");
    let written: Value = serde_json::from_str(&template.to_json()).expect("JSON");
    assert_eq!(written, given);
}

#[test]
fn every_value_can_be_asked_for() {
    let keys = json!({"namespace_name": "billing", "version": "1.2.0", "queue": "slow", "description": "d", "schema": {}});
    let template = top(&keys).expect("valid");
    assert_eq!(
        (template.namespace(), template.name(), template.version()),
        ("billing", "x", "1.2.0")
    );
    assert_eq!((template.description(), template.queue()), (Some("d"), "slow"));
    assert_eq!(template.schema(), Some(&json!({})));
    let step = first_step(
        &json!({"delay_seconds": 600, "timeout_seconds": 2.5, "retry": {"base_seconds": 0.5, "max_seconds": 60}}),
    );
    assert_eq!(step.delay, Some(Duration::from_secs(600)));
    assert_eq!(step.timeout, Some(Duration::from_millis(2500)));
    assert_eq!(step.retry_policy.base, Duration::from_millis(500));
    assert_eq!(step.retry_policy.cap, Duration::from_secs(60));
}

#[test]
fn a_budget_is_a_number_of_attempts_and_a_cost_or_one_of_them() {
    let attempts = "an integer from 1 to 2147483647";
    for value in [json!(0), json!(-1), json!(1.5), json!("3")] {
        let budget = top(&json!({"budget": {"attempts": value}}));
        assert_refused(budget, "budget.attempts", attempts);
    }
    for value in [json!(-1), json!(1_000_000_001), json!("3"), json!(4e-7)] {
        let budget = top(&json!({"budget": {"cost": value}}));
        assert_refused(budget, "budget.cost", "0, or a number from 0.000001 to 1000000000");
        let step = step(&json!({"reserve_cost": value}));
        assert_refused(
            step,
            "step_templates[0].reserve_cost",
            "0, or a number from 0.000001 to 1000000000",
        );
    }
    let budget = |value| top(&json!({"budget": value})).expect("valid").budget();
    assert_eq!(budget(json!({"attempts": 7})).attempts.map(u32::from), Some(7));
    assert_eq!(budget(json!({"cost": 0.25})).cost.map(|cost| cost.number()), Some(0.25));
    assert!(budget(json!(null)).is_empty());
}

#[test]
fn a_deadline_is_above_zero_and_at_most_366_days() {
    for value in [json!(0), json!(-1), json!(31_622_400.5), json!("1d"), json!([])] {
        let allowed = "seconds, more than 0 and at most 31622400 (366 days)";
        assert_refused(top(&json!({"deadline_seconds": value})), "deadline_seconds", allowed);
    }
    let deadline = |value| top(&json!({"deadline_seconds": value})).expect("valid").deadline();
    assert_eq!(deadline(json!(31_622_400)), Some(Duration::from_secs(31_622_400)));
    assert_eq!(deadline(json!(0.5)), Some(Duration::from_millis(500)));
    assert_eq!(deadline(json!(null)), None);
}

#[test]
fn a_priority_is_a_whole_number_of_two_bytes() {
    for value in [json!(-32_769), json!(32_768), json!(1.5), json!("1"), json!([])] {
        let allowed = "an integer from -32768 to 32767";
        assert_refused(top(&json!({"priority": value})), "priority", allowed);
    }
    let priority = |value| top(&json!({"priority": value})).expect("valid").priority();
    let given = [json!(-32_768), json!(32_767), json!(0), json!(null)];
    assert_eq!(given.map(priority), [-32_768, 32_767, 0, 0]);
}

#[test]
fn the_order_of_keys_does_not_matter() {
    let one = r#"{"name": "x", "step_templates": [{"name": "a", "handler_class": "A", "handler_config": {"x": 1, "y": 2}}]}"#;
    let other = r#"{"step_templates": [{"handler_config": {"y": 2, "x": 1}, "handler_class": "A", "name": "a"}], "name": "x"}"#;
    let json = |text| TaskTemplate::from_json(text).expect("valid").to_json();
    assert_eq!(json(one), json(other));
}

#[test]
fn refuses_what_is_not_an_object() {
    assert_refused(TaskTemplate::from_json("[]"), "template", "is []; allowed: an object");
    assert_refused(TaskTemplate::from_json("{"), "template", "not valid JSON at byte");
    assert_refused(steps(&json!(["a"])), "step_templates[0]", "is \"a\"; allowed: an object");
    assert_refused(
        step(&json!({"retry": 3})),
        "step_templates[0].retry",
        "is 3; allowed: an object",
    );
}

#[test]
fn refuses_a_text_beyond_the_limit() {
    let text = with(&json!({}), &json!({})).to_string();
    let limits = |max_bytes| JsonLimits { max_bytes, ..JsonLimits::TEMPLATE };
    let part = format!("{} bytes of JSON; at most 50 are allowed", text.len());
    assert_refused(parse::template(&text, limits(50)), "template", &part);
    assert_eq!(JsonLimits::TEMPLATE.max_bytes, 67_108_864);
}

#[test]
fn a_template_has_at_most_64_levels() {
    // The template, its list of steps, a step and its configuration are four of them.
    let config = |levels: usize| {
        let inner = (0..levels - 5).fold(json!([]), |inner, _| json!([inner]));
        step(&json!({"handler_config": {"a": inner}}))
    };
    assert!(config(64).is_ok());
    let (key, message) = refused(config(65));
    assert!(key.starts_with("step_templates[0].handler_config.a[0][0]"), "{key}");
    assert!(message.ends_with("at most 64 levels are allowed: flatten the data"), "{message}");
}

#[test]
fn refuses_a_template_that_could_not_be_read_again_once_normalised() {
    let text = with(&json!({}), &json!({})).to_string();
    let size = top(&json!({})).expect("valid").to_json().len();
    let limits = |max_bytes| JsonLimits { max_bytes, ..JsonLimits::TEMPLATE };
    let part =
        format!("is {size} bytes with all defaults filled in; allowed: at most {}", size - 1);
    assert_refused(parse::template(&text, limits(size - 1)), "template", &part);
    assert!(parse::template(&text, limits(size)).is_ok());
}

#[test]
fn refuses_characters_and_numbers_that_the_database_cannot_hold() {
    let nul = r#"{"name": "a\u0000b"}"#;
    assert_refused(TaskTemplate::from_json(nul), "name", "U+0000");
    assert_refused(TaskTemplate::from_json(r#"{"name": 1e999999}"#), "name", "the number 1e999999");
    assert_refused(
        TaskTemplate::from_json(r#"{"name": 1e400}"#),
        "template",
        "number out of range",
    );
}

#[test]
fn refuses_unknown_keys_at_every_level_and_suggests_the_right_one() {
    assert_refused(top(&json!({"desciption": "x"})), "desciption", "did you mean \"description\"?");
    let dependent = step(&json!({"depend_on_steps": []}));
    assert_refused(
        dependent,
        "step_templates[0].depend_on_steps",
        "(step \"a\") is not a known key; did you mean \"depends_on_steps\"?",
    );
    let retry = step(&json!({"retry": {"max_second": 1}}));
    assert_refused(retry, "step_templates[0].retry.max_second", "did you mean \"max_seconds\"?");
}

#[test]
fn lists_the_known_keys_when_none_is_near() {
    let message = refused(step(&json!({"retry": {"zzz": 1}}))).1;
    assert!(message.ends_with("base_seconds, max_seconds, jitter, delays_seconds"), "{message}");
    assert_refused(
        top(&json!({"environments": {}})),
        "environments",
        "allowed: name, namespace_name",
    );
}

#[test]
fn knows_how_others_spell_a_key() {
    let spellings = [
        ("depends_on", "depends_on_steps"),
        ("retry_limit", "default_retry_limit"),
        ("timeout", "timeout_seconds"),
        ("total_timeout", "total_timeout_seconds"),
    ];
    for (spelling, key) in spellings {
        let error = step(&json!({spelling: 1})).expect_err("unknown");
        assert_eq!(error.suggestion.as_deref(), Some(key));
    }
    let error = top(&json!({"timeout": 1})).expect_err("unknown");
    assert_eq!(error.suggestion, None, "not a key of the template");
}

#[test]
fn names_are_needed_and_limited() {
    assert_refused(
        top(&json!({"name": null})),
        "name",
        "is missing; allowed: text of 1 to 128 bytes",
    );
    assert_refused(top(&json!({"name": 5})), "name", "is 5; allowed: text of 1 to 128 bytes");
    assert_refused(top(&json!({"name": ""})), "name", "is \"\"");
    assert_refused(top(&json!({"name": "é".repeat(65)})), "name", "1 to 128 bytes");
    assert!(top(&json!({"name": "é".repeat(64)})).is_ok());
    assert!(top(&json!({"name": "api/x y"})).is_ok());
}

#[test]
fn names_hold_no_control_characters_and_no_space_around() {
    for name in ["a\nb", " a", "a\t"] {
        assert_refused(top(&json!({"name": name})), "name", "without control characters");
        assert_refused(top(&json!({"queue": name})), "queue", "without control characters");
    }
}

#[test]
fn namespace_and_queues_have_at_most_64_bytes() {
    let long = "n".repeat(65);
    assert_refused(top(&json!({"namespace_name": long})), "namespace_name", "1 to 64 bytes");
    assert_refused(top(&json!({"queue": long})), "queue", "1 to 64 bytes");
    assert_refused(step(&json!({"queue": long})), "step_templates[0].queue", "1 to 64 bytes");
    assert!(top(&json!({"namespace_name": "n".repeat(64), "queue": "n".repeat(64)})).is_ok());
}

#[test]
fn a_description_has_at_most_4096_bytes() {
    assert!(top(&json!({"description": "d".repeat(4096)})).is_ok());
    assert_refused(
        top(&json!({"description": "d".repeat(4097)})),
        "description",
        "0 to 4096 bytes",
    );
    assert_refused(step(&json!({"description": 1})), "step_templates[0].description", "is 1");
}

#[test]
fn a_version_is_semantic() {
    for version in [
        json!("1"),
        json!("1.0"),
        json!("v1.0.0"),
        json!(1.0),
        json!(format!("1.0.0-{}", "a".repeat(60))),
    ] {
        assert_refused(top(&json!({"version": version})), "version", "a semantic version");
    }
    assert!(top(&json!({"version": "2.0.0-beta.1+build.5"})).is_ok());
    let long = |bytes: usize| json!({"version": format!("1.0.0-{}", "a".repeat(bytes - 6))});
    assert!(top(&long(64)).is_ok());
    assert_refused(top(&long(65)), "version", "at most 64 bytes");
}

#[test]
fn keys_of_older_templates_are_accepted_and_dropped() {
    let keys = json!({"task_handler_class": "Billing::X", "concurrent": false, "custom_events": [{"name": "e"}]});
    let template = read(&with(&keys, &json!({"custom_events": []}))).expect("valid");
    assert_eq!(template, top(&json!({})).expect("valid"));
    assert_refused(top(&json!({"task_handler_class": 1})), "task_handler_class", "is 1");
    assert_refused(top(&json!({"concurrent": 1})), "concurrent", "true or false");
    assert_refused(top(&json!({"custom_events": {}})), "custom_events", "a list");
    assert_refused(step(&json!({"custom_events": 1})), "step_templates[0].custom_events", "a list");
}

#[test]
fn a_template_in_the_older_form_loads_as_it_is() {
    let template = read(&json!({
        "name": "refunds/settle", "namespace_name": "refunds", "version": "2.1.0", "concurrent": true,
        "module_namespace": "Refunds", "task_handler_class": "Settle", "default_dependent_system": "bank",
        "named_steps": ["fetch", "pay"],
        "schema": {"type": "object", "required": ["refund_id"], "properties": {"refund_id": {"type": "integer"}}},
        "step_templates": [
            {"name": "fetch", "handler_class": "Fetch", "handler_config": {"type": "api", "url": "https://bank.example"}},
            {"name": "pay", "handler_class": "Refunds::Pay", "depends_on_step": "fetch", "default_retry_limit": 5},
        ],
    }));
    let template = template.expect("valid");
    let classes: Vec<&str> =
        template.steps().iter().map(|step| step.handler_class.as_str()).collect();
    assert_eq!(classes, ["Refunds::Fetch", "Refunds::Pay"]);
    assert_eq!(template.steps()[1].dependent_system.as_deref(), Some("bank"));
    assert_eq!(template.graph().parents(1), [0]);
}

#[test]
fn a_value_in_a_message_is_shortened() {
    let error = top(&json!({"name": ["x".repeat(1000)]})).expect_err("a list");
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn details_hold_the_parts_of_the_message() {
    let error = step(&json!({"default_retry_limit": -1})).expect_err("negative");
    let details = json!({
        "key": "step_templates[0].default_retry_limit", "step": "a", "value": "-1",
        "allowed": "an integer from 0 to 1000", "suggestion": null,
    });
    assert_eq!(error.details(), details);
}

#[test]
fn a_template_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<TaskTemplate>();
}
