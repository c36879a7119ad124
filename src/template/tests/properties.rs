use proptest::prelude::*;

use super::*;

fn key() -> impl Strategy<Value = String> {
    let known = [
        "name",
        "namespace_name",
        "version",
        "description",
        "schema",
        "queue",
        "step_templates",
        "handler_class",
        "module_namespace",
        "depends_on_step",
        "depends_on_steps",
        "depends_on_when",
        "default_retry_limit",
        "default_retryable",
        "retry",
        "base_seconds",
        "max_seconds",
        "jitter",
        "backoff",
        "delays_seconds",
        "crash_limit",
        "error_classes",
        "delay_seconds",
        "timeout_seconds",
        "total_timeout_seconds",
        "reserve_cost",
        "handler_config",
        "named_steps",
        "custom_events",
        "concurrent",
        "skippable",
        "decides",
        "when",
        "type",
        "properties",
        "$ref",
        "pattern",
        "required",
    ];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ab:#/(]{0,3}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A step with a few keys of random kinds over it, most of them of the right kind.
fn any_step() -> impl Strategy<Value = Value> {
    let parents = prop::collection::vec("[a-e]", 0..3);
    let fine = ("[a-e]", parents, 0_u32..1001, 0.001..100_000.0_f64, 0.0..=1.0_f64, any::<f64>());
    let classes = prop::collection::btree_map(
        "[A-Z]{1,3}(::[A-Z][a-z_0-9]{0,3})?",
        prop::sample::select(vec!["retryable", "permanent", "blocked"]),
        0..3,
    );
    let delays = prop::option::of(prop::collection::vec(0.0..=86_400.0_f64, 1..5));
    let fine = (fine, classes, delays, 1_u32..=100);
    let fine = fine.prop_map(|((name, parents, limit, seconds, jitter, number), classes, delays, crashes)| {
        let retry = match delays {
            Some(delays) => json!({"backoff": "list", "delays_seconds": delays, "jitter": jitter}),
            None => json!({"base_seconds": seconds, "max_seconds": seconds * 1.5, "jitter": jitter}),
        };
        json!({
            "name": name, "handler_class": "A", "depends_on_steps": parents, "default_retry_limit": limit,
            "timeout_seconds": seconds, "handler_config": {"number": number}, "retry": retry,
            "crash_limit": crashes, "error_classes": classes,
        })
    });
    (fine, prop::option::weighted(0.1, (key(), any_json()))).prop_map(|(mut step, extra)| {
        if let Some((key, value)) = extra {
            step[key] = value;
        }
        step
    })
}

proptest! {
    #[test]
    fn any_json_gets_an_answer(value in any_json()) {
        let _ = read(&value);
        let _ = top(&json!({"schema": value.clone()}));
        let _ = step(&json!({"retry": value.clone(), "handler_config": value}));
    }

    #[test]
    fn any_text_gets_an_answer(text in any::<String>()) {
        let _ = TaskTemplate::from_json(&text);
    }

    #[test]
    fn any_key_may_hold_anything(key in key(), value in any_json()) {
        let _ = top(&json!({key.clone(): value.clone()}));
        let _ = step(&json!({key: value}));
    }

    #[test]
    fn the_normalised_form_reads_back_as_the_same_template(list in prop::collection::vec(any_step(), 1..3)) {
        if let Ok(template) = steps(&Value::from(list)) {
            let again = TaskTemplate::from_json(&template.to_json()).expect("valid");
            prop_assert_eq!(&again, &template);
            prop_assert_eq!(again.to_json(), template.to_json());
        }
    }
}
