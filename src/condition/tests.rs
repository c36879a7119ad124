//! What conditions say, what they may not hold, and what they may not cost.

use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const CONTEXT_JSON: &str = r#"{"amount": 120, "rate": 0.5, "huge": 18446744073709551615, "express": true,
    "items": [{"price": 3}, {"price": 90}], "tags": ["a", "b"], "note": null, "name": "Ada"}"#;

fn parents() -> Vec<String> {
    ["validate", "fetch items"].map(str::to_owned).to_vec()
}

fn is_met(text: &str) -> Result<bool, String> {
    let results = [("validate", r#"{"ok": true, "codes": [1, 2]}"#)];
    let condition = Condition::parse(text, &parents()).map_err(|fault| format!("{fault:?}"))?;
    condition.is_met(CONTEXT_JSON, results.into_iter())
}

fn fault_of(text: &str) -> ConditionFault {
    Condition::parse(text, &parents()).expect_err(text)
}

#[test]
fn conditions_are_met_or_not() {
    for (text, met) in [
        ("context.amount > 100 && results.validate.ok", true),
        ("context.amount + 1 > 121", false),
        ("context.amount * 2 >= 240", true),
        ("context.rate < 1", true),
        ("context.amount == 120.0", true),
        ("context.huge > 5", true),
        ("'a' in context.tags", true),
        ("context.items.exists(i, i.price > 50)", true),
        ("context.items.all(i, i.price > 50)", false),
        ("context.items.exists_one(i, i.price > 50)", true),
        ("context.items[1].price == 90", true),
        ("has(context.missing)", false),
        ("has(results.validate)", true),
        ("has(results.validate) && !('fetch items' in results)", true),
        ("context.note == null", true),
        ("context.name.startsWith('A') ? context.express : false", true),
        ("results['validate'].codes[1] == 2", true),
        ("context.items.exists(context, context.price == 3)", true),
        ("true", true),
        ("context.amount > 100 || results.validate.missing", true),
    ] {
        assert_eq!(is_met(text), Ok(met), "{text}");
    }
}

#[test]
fn what_cannot_be_told_says_why() {
    for (text, why) in [
        ("context.missing == 1", "No such key: missing"),
        ("results['fetch items'].ok", "No such key: fetch items"),
        ("context.amount", "neither true nor false but int"),
        ("context.note", "neither true nor false but null"),
        ("context.amount / 0 == 1", "ivision by zero"),
        ("context.name > 5", ""),
        ("context.tags[9] == 'a'", "out of bounds"),
        ("int(context.name) > 5", ""),
        ("context.huge + context.huge > 5u", "verflow"),
    ] {
        let error = is_met(text).expect_err(text);
        assert!(error.contains(why), "{text}: {error}");
        assert!(error.len() < 400, "{text}: {error}");
    }
}

/// No text was found that has the evaluator panic: what the parser never gives does.
#[test]
fn an_evaluation_that_panics_says_so() {
    let expression = Arc::new(IdedExpr { id: 1, expr: Expr::Unspecified });
    let condition = Condition { text: "true".into(), expression };
    let error = condition.is_met("{}", std::iter::empty());
    assert_eq!(error, Err("its evaluation is defective".to_owned()));
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_its_place() {
    for (text, position, problem) in [
        ("context.amount >", 17, "ends too early"),
        ("", 1, ""),
        ("amount > 5", 1, "names \"amount\", which is no variable"),
        ("true && contxt.a", 9, "names \"contxt\""),
        (
            "results.load.ok",
            8,
            "reads the results of \"load\", which is not a parent of the step; parents: validate, fetch items",
        ),
        ("results['load'].ok", 8, "reads the results of \"load\""),
        ("has(results.load)", 4, "reads the results of \"load\""),
        ("len(context.tags) > 1", 4, "calls \"len\", which is no function"),
        ("context.name.matches('a')", 21, "calls \"matches\""),
        ("[1].all(a, [2].all(b, a == b))", 19, "is a loop within a loop"),
        ("context.a.map(x, x) == []", 14, "makes a list, as map and filter do"),
        ("context.a.filter(x, x) == []", 17, "makes a list"),
        ("foo.Bar{a: 1} == 5", 8, "makes a \"foo.Bar\""),
    ] {
        let fault = fault_of(text);
        assert!(fault.problem.contains(problem), "{text}: {fault:?}");
        assert_eq!(fault.position, position, "{text}: {fault:?}");
    }
    assert_eq!(fault_of("contxt.a").suggestion.as_deref(), Some("context"));
    assert_eq!(fault_of("results.valdate").suggestion.as_deref(), Some("validate"));
    assert_eq!(fault_of("context.a.startswith('x')").suggestion.as_deref(), Some("startsWith"));
}

#[test]
fn length_and_depth_are_bounded() {
    let long = |bytes: usize| format!("{}true", " ".repeat(bytes - 4));
    assert!(Condition::parse(&long(1_024), &[]).is_ok());
    assert!(Condition::parse(&long(1_025), &[]).is_err());
    let deep =
        |levels: usize| format!("{}1{} == 1", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(Condition::parse(&deep(24), &[]).is_ok());
    let fault = Condition::parse(&deep(25), &[]).expect_err("too deep");
    assert!(fault.problem.contains("24 levels deep"), "{fault:?}");
    for (start, middle, end) in [
        ("(", "true", ")"),
        ("[", "1", "]"),
        ("!(", "true", ")"),
        ("size([", "1", "])"),
        ("{1: ", "1", "}"),
    ] {
        let text = format!("{}{middle}{}", start.repeat(40), end.repeat(40));
        assert_eq!(
            Condition::parse(&text, &[]).expect_err("too deep").problem,
            "lies more than 24 levels deep"
        );
    }
    for text in [
        format!("{}true{}", "(".repeat(500), ")".repeat(500)),
        format!("{}true", "!".repeat(1_000)),
        format!("{}1 == 1", "-".repeat(1_000)),
        format!("{}1{} == 1", "[".repeat(500), "]".repeat(500)),
        format!("{}true", "true ? true : ".repeat(70)),
        format!("context{} == 1", ".a".repeat(500)),
        format!("1{} == 1", "+1".repeat(500)),
        format!("true{}", "&&true".repeat(160)),
        format!("{}1", "{1:".repeat(330)),
    ] {
        // Refused or not: nothing overflows, then or later.
        if let Ok(condition) = Condition::parse(&text, &[]) {
            let _ = condition.is_met("{}", std::iter::empty());
        }
    }
}

#[test]
fn the_deepest_that_is_taken_fits_a_thread_of_the_runtime() {
    for (start, middle, end) in
        [("(", "context.a", ")"), ("[", "context.a", "]"), ("!(", "true", ")")]
    {
        let depth = (1..400).rev().find(|depth| {
            let text = format!("{}{middle}{}", start.repeat(*depth), end.repeat(*depth));
            Condition::parse(&text, &[]).is_ok()
        });
        let depth = depth.expect("something is taken");
        let text = format!("{}{middle}{}", start.repeat(depth), end.repeat(depth));
        let condition = Condition::parse(&text, &[]).expect("it was taken");
        let small = thread::Builder::new().stack_size(2 << 20);
        let evaluated =
            small.spawn(move || condition.is_met(r#"{"a": 1}"#, std::iter::empty()).is_ok());
        evaluated.expect("a thread").join().expect("no overflow");
    }
}

#[test]
fn a_loop_over_much_ends_soon() {
    let items: Vec<_> = (0..100_000).map(|n| n.to_string()).collect();
    let context = format!(r#"{{"a": [{0}], "b": [{0}]}}"#, items.join(","));
    for text in [
        "context.a.all(x, x in context.b)",
        "context.a.all(x, context.a == context.b)",
        "[context.b, context.b, context.b, context.b, context.b, context.b, context.b] == [1]",
        "context.a.exists_one(x, [context.b] == [x])",
        "context.a.all(x, size(context.b) > 0)",
    ] {
        let condition = Condition::parse(text, &[]).expect(text);
        let began = Instant::now();
        let _ = condition.is_met(&context, std::iter::empty());
        assert!(began.elapsed() < Duration::from_secs(30), "{text}: {:?}", began.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn anything_is_refused_or_evaluated(text in ".{0,80}") {
        if let Ok(condition) = Condition::parse(&text, &parents()) {
            let _ = condition.is_met(CONTEXT_JSON, std::iter::empty());
        }
    }

    #[test]
    fn whatever_is_made_of_its_words_is_refused_or_evaluated(
        words in prop::collection::vec(prop::sample::select(vec![
            "context", ".", "results", "validate", "(", ")", "[", "]", "&&", "||", "!", "==", "<", "1", "'a'", "true",
            "in", "size", ".all(x, ", "x", "has(", "?", ":", "-", "+", "{", "}", ",", "null", "1.5", "\n",
        ]), 0..30)
    ) {
        if let Ok(condition) = Condition::parse(&words.concat(), &parents()) {
            let _ = condition.is_met(CONTEXT_JSON, std::iter::empty());
        }
    }
}
