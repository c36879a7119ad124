use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn workflow(value: &Value) -> Result<TaskTemplate, TemplateError> {
    step(&json!({"handler_class": null, "workflow": value}))
}

#[test]
fn a_step_that_runs_a_workflow_needs_no_handler() {
    let template = workflow(&json!("billing")).expect("valid");
    let step = &template.steps()[0];
    assert_eq!(step.handler_class, "TaskerCore::StepHandler::Workflow");
    let expected = Workflow {
        name: "billing".to_owned(),
        namespace: "default".to_owned(),
        version: None,
        context: None,
        on_failure: OnFailure::Fail,
        on_cancel: OnCancel::Cancel,
    };
    assert_eq!(step.workflow, Some(expected));
    let own = first_step(&json!({"handler_class": "Bill", "workflow": "billing"}));
    assert_eq!(own.handler_class, "Bill");
    let full = json!({"name": "billing", "namespace_name": "finance", "version": "1.0.0",
        "context": {"id": "context.id", "n": 5}, "on_failure": "block", "on_cancel": "leave"});
    let template = workflow(&full).expect("valid");
    let written: Value = serde_json::from_str(&template.to_json()).expect("JSON");
    assert_eq!(written["step_templates"][0]["workflow"], full);
    assert_eq!(read(&written), Ok(template));
}

#[test]
fn refuses_a_workflow_that_is_none() {
    let key = |name: &str| format!("step_templates[0].workflow{name}");
    assert_refused(workflow(&json!(5)), &key(""), "is 5; allowed: the name of a template");
    assert_refused(workflow(&json!({})), &key(".name"), "is missing");
    assert_refused(
        workflow(&json!({"name": "a", "nam": 1})),
        &key(".nam"),
        "did you mean \"name\"?",
    );
    let with = |keys: Value| {
        let mut workflow = json!({"name": "a"});
        put(&mut workflow, &keys);
        workflow
    };
    for (keys, name, allowed) in [
        (json!({"version": "1"}), ".version", "a semantic version"),
        (json!({"on_failure": "retry"}), ".on_failure", "allowed: fail, block"),
        (json!({"on_cancel": true}), ".on_cancel", "allowed: cancel, leave"),
        (json!({"context": []}), ".context", "an object"),
        (json!({"context": {"id": "contxt.id"}}), ".context.id", "did you mean \"context\"?"),
        (json!({"context": {"id": "results.b.id"}}), ".context.id", "not a parent of the step"),
    ] {
        assert_refused(workflow(&with(keys)), &key(name), allowed);
    }
}

#[test]
fn a_context_is_made_of_values() {
    let list = json!([
        {"name": "a", "handler_class": "A"},
        {"name": "b", "depends_on_step": "a", "workflow": {"name": "w", "context": {
            "id": "context.id", "all": "results.a", "n": 5, "sum": "results.a.x + 1", "text": "'it is ' + context.name"}}},
    ]);
    let template = steps(&list).expect("valid");
    let context =
        template.steps()[1].workflow.as_ref().and_then(|workflow| workflow.context.clone());
    let context = context.expect("a context");
    let results = [("a", r#"{"x": 1, "y": [null, 0.5]}"#)];
    let made = context.make(r#"{"id": 7, "name": "Ada"}"#, &results);
    let expected =
        json!({"id": 7, "all": {"x": 1, "y": [null, 0.5]}, "n": 5, "sum": 2, "text": "it is Ada"});
    assert_eq!(made, Ok(expected));
    let (key, _) = context.make(r#"{"id": 7}"#, &results).expect_err("no name");
    assert_eq!(key, "text");
}

#[test]
fn what_undoes_a_step_has_its_own_policy() {
    let short = first_step(&json!({"compensate_with": "Undo", "default_retry_limit": 7}));
    let short = short.compensation.expect("it is undone");
    assert_eq!((short.handler_class.as_str(), short.retry_policy.limit), ("Undo", 3));
    let long = json!({"handler_class": "Undo", "default_retryable": true, "default_retry_limit": 9,
        "retry": {"backoff": "fixed", "base_seconds": 2.0, "max_seconds": 300.0, "jitter": 0.0, "delays_seconds": null},
        "timeout_seconds": 5.0});
    let template = step(&json!({"compensate": long})).expect("valid");
    let written: Value = serde_json::from_str(&template.to_json()).expect("JSON");
    assert_eq!(written["step_templates"][0]["compensate"], long);
    let with_module =
        with(&json!({"module_namespace": "Shop"}), &json!({"compensate_with": "Undo"}));
    let template = read(&with_module).expect("valid");
    assert_eq!(
        template.steps()[0].compensation.as_ref().map(|c| &*c.handler_class),
        Some("Shop::Undo")
    );
    let key = "step_templates[0].compensate";
    assert_refused(
        step(&json!({"compensate": {"handler_class": "U", "crash_limit": 1}})),
        &format!("{key}.crash_limit"),
        "is not a known key",
    );
    assert_refused(step(&json!({"compensate": {}})), &format!("{key}.handler_class"), "is missing");
    assert_refused(
        step(&json!({"compensate_with": 5})),
        &format!("{key}_with"),
        "is 5; allowed: text of 1 to 255 bytes",
    );
    assert_refused(step(&json!({"compensate_with": ""})), &format!("{key}_with"), "text of 1 to");
    for (written, undone) in
        [("compensate", json!({"handler_class": "U"})), ("compensate_with", json!("U"))]
    {
        let refused = step(&json!({"map": {"over": "[1]"}, written: undone}));
        assert_refused(
            refused,
            &format!("step_templates[0].{written}"),
            &format!("is {undone}; allowed: none with dynamic or map"),
        );
    }
}

#[test]
fn a_name_is_refused_before_it_is_registered() {
    let registered = |name: &str, keys: &Value| {
        let template = read(&with(&json!({"name": name}), keys)).expect("it can be read");
        template.check_registrable().map(|undoing| undoing.is_some())
    };
    let undone = json!({"compensate_with": "Undo"});
    assert_eq!(registered(&"x".repeat(113), &undone), Ok(true));
    assert_eq!(registered(&"x".repeat(128), &json!({})), Ok(false));
    for (name, allowed) in [
        ("x (compensation)".to_owned(), "does not end with"),
        ("x".repeat(114), "at most 113 bytes"),
    ] {
        let error = registered(&name, &undone).expect_err("it cannot be registered");
        assert_eq!(error.key.as_ref(), "name");
        assert!(error.to_string().contains(allowed), "{error}");
    }
}

#[test]
fn a_step_that_reserves_more_than_the_budget_is_refused() {
    let registered = |budget: &Value| {
        let first = json!({"name": "a", "handler_class": "A"});
        let steps = json!([first, {"name": "b", "handler_class": "B", "reserve_cost": 2}]);
        let keys = json!({"name": "x", "budget": budget, "step_templates": steps});
        read(&keys).expect("it can be read").check_registrable()
    };
    for budget in [json!({}), json!({"attempts": 1}), json!({"cost": 2})] {
        assert_eq!(registered(&budget), Ok(None), "{budget}");
    }
    let error = registered(&json!({"cost": 1.5})).expect_err("it could never start");
    let said = "step_templates[1].reserve_cost (step \"b\") is 2.0; allowed: at most 1.5, the cost of the template's budget";
    assert_eq!(error.to_string(), said);
}

#[test]
fn keys_that_exclude_one_another_are_refused_with_the_value_that_is_there() {
    for (keys, key, said) in [
        (
            json!({"workflow": "x", "dynamic": true}),
            "workflow",
            r#"is "x"; allowed: none with dynamic or map"#,
        ),
        (
            json!({"workflow": {"name": "x"}, "map": {"over": "[1]"}}),
            "workflow",
            r#"is {"name":"x"}; allowed: none"#,
        ),
        (
            json!({"decides": true, "map": {"over": "[1]"}}),
            "decides",
            "is true; allowed: false with dynamic or map",
        ),
        (
            json!({"dynamic": true, "map": {"over": "[1]"}}),
            "dynamic",
            "is true; allowed: false with map",
        ),
    ] {
        assert_refused(step(&keys), &format!("step_templates[0].{key}"), said);
    }
    let none = json!({"workflow": "x", "dynamic": false, "map": null, "decides": false});
    assert!(step(&none).is_ok());
}

#[test]
fn a_template_without_such_steps_has_none_that_undoes_it() {
    let template = top(&json!({})).expect("valid");
    assert_eq!(template.compensation(), Ok(None));
    let long = with(&json!({"name": "x".repeat(114)}), &json!({"compensate_with": "Undo"}));
    let error = read(&long).and_then(|template| template.compensation()).expect_err("too long");
    assert!(error.to_string().contains("at most 113 bytes"), "{error}");
}

/// Steps of which each depends on some before it; bit n of `undone` says whether step n is undone.
fn graph(parents: &[u16], undone: u16) -> TaskTemplate {
    let steps = parents.iter().enumerate().map(|(number, above)| {
        let above = (0..number).filter(|parent| above >> parent & 1 == 1);
        let names: Vec<_> = above.map(|parent| format!("s{parent}")).collect();
        let mut step =
            json!({"name": format!("s{number}"), "handler_class": "A", "depends_on_steps": names});
        if undone >> number & 1 == 1 {
            step["compensate_with"] = "U".into();
        }
        step
    });
    super::steps(&steps.collect()).expect("valid")
}

/// The steps that come after one, by name.
fn after(template: &TaskTemplate, index: u32, children: bool) -> BTreeSet<String> {
    let graph = template.graph();
    let mut found = BTreeSet::new();
    let mut open = vec![index];
    while let Some(at) = open.pop() {
        for next in if children { graph.children(at) } else { graph.parents(at) } {
            if found.insert(template.steps()[*next as usize].name.clone()) {
                open.push(*next);
            }
        }
    }
    found
}

proptest! {
    #[test]
    fn steps_are_undone_after_all_that_came_after_them(
        parents in prop::collection::vec(any::<u16>(), 1..10),
        undone in any::<u16>(),
    ) {
        let template = graph(&parents, undone);
        let Some(undoing) = template.compensation().expect("small") else {
            prop_assert!(!template.is_compensated());
            return Ok(());
        };
        let read = TaskTemplate::from_json(&undoing.to_json()).expect("what it wrote");
        prop_assert_eq!(&read, &undoing);
        let waits = undoing.steps().iter().any(|step| !step.depends_on_steps.is_empty());
        let (steps, last) = undoing.steps().split_at(undoing.steps().len() - usize::from(waits));
        let names: BTreeSet<_> = steps.iter().map(|step| step.name.clone()).collect();
        for step in last {
            let all: Vec<_> = steps.iter().map(|step| step.name.clone()).collect();
            prop_assert_eq!((&*step.name, &step.depends_on_steps), ("all undone", &all));
        }
        let expected = (0..parents.len()).filter(|number| undone >> number & 1 == 1);
        prop_assert_eq!(&names, &expected.map(|number| format!("s{number}")).collect());
        for (index, step) in (0..).zip(steps) {
            let original = template.step_index(&step.name).expect("the same name");
            let later: BTreeSet<_> =
                after(&template, original, true).intersection(&names).cloned().collect();
            prop_assert_eq!(after(&undoing, index, false), later);
        }
    }
}
