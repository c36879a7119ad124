use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn results(text: &str) -> Result<(), JsonError> {
    check(text, JsonLimits::RESULTS)
}

fn offset_of(text: &str) -> Option<usize> {
    match results(text) {
        Err(JsonError::Syntax { offset, .. }) => Some(offset),
        _ => None,
    }
}

#[test]
fn accepts_every_kind_of_value() {
    for text in [
        "null",
        " true ",
        "-1.5e-3",
        "\"\"",
        "[]",
        "{}",
        r#"{"a":[1,{"b":"\n\u00e9\ud83d\ude00"}]}"#,
    ] {
        assert_eq!(results(text), Ok(()), "{text}");
    }
}

#[test]
fn refuses_what_is_not_json_and_says_where() {
    assert_eq!(offset_of("[1, x]"), Some(4));
    assert_eq!(offset_of("{\n\"a\": 1,\n\"b\" 2}"), Some(14));
    assert_eq!(offset_of("[1] 2"), Some(4));
    assert!(results("\"\u{1}\"").is_err());
    assert!(results("\u{feff}{}").is_err());
    let message = results("[1, x]").expect_err("not JSON").to_string();
    assert_eq!(message, "not valid JSON at byte 4: expected value");
}

#[test]
fn an_empty_text_is_not_json() {
    assert_eq!(offset_of(""), Some(0));
}

#[test]
fn refuses_a_text_that_is_one_byte_too_long() {
    let limits = JsonLimits { max_bytes: 4, max_depth: 1 };
    assert_eq!(check("1234", limits), Ok(()));
    assert_eq!(check("12345", limits), Err(JsonError::TooLarge { bytes: 5, allowed: 4 }));
}

#[test]
fn refuses_one_level_too_many_and_says_where() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(results(&deep(64)), Ok(()));
    assert_eq!(results(&deep(65)), Err(JsonError::TooDeep { offset: 64, allowed: 64 }));
}

#[test]
fn levels_side_by_side_do_not_add_up() {
    let limits = JsonLimits { max_bytes: 100, max_depth: 2 };
    assert_eq!(check(r#"[[], {}, [], {"a": "[[["}]"#, limits), Ok(()));
}

#[test]
fn a_million_brackets_need_no_stack() {
    let limits = JsonLimits { max_bytes: 4_000_000, max_depth: 64 };
    let balanced = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(check(&balanced, limits), Err(JsonError::TooDeep { offset: 64, allowed: 64 }));
    assert!(matches!(check(&"[".repeat(1_000_000), limits), Err(JsonError::Syntax { .. })));
    assert!(check(&r#"{"a":"#.repeat(700_000), limits).is_err());
}

#[test]
fn refuses_the_nul_character_in_values_and_keys() {
    assert_eq!(results(r#"{"a":"b\u0000"}"#), Err(JsonError::NulCharacter { offset: 7 }));
    assert_eq!(results(r#"{"\u0000":1}"#), Err(JsonError::NulCharacter { offset: 2 }));
}

#[test]
fn an_escaped_backslash_before_u0000_is_no_escape() {
    assert_eq!(results(r#"["\\u0000"]"#), Ok(()));
    assert_eq!(results(r#"["\\\u0000"]"#), Err(JsonError::NulCharacter { offset: 4 }));
    assert_eq!(results(r#"["\"", "\\"]"#), Ok(()));
}

#[test]
fn refuses_half_a_surrogate_pair() {
    let lone =
        |offset, escape: &str| Err(JsonError::LoneSurrogate { offset, escape: escape.into() });
    assert_eq!(results(r#""\ud83d""#), lone(1, r"\ud83d"));
    assert_eq!(results(r#""\uDE00x""#), lone(1, r"\uDE00"));
    assert_eq!(results(r#""\ud83d\ud83d\ude00""#), lone(1, r"\ud83d"));
    assert_eq!(results(r#""a\ud83dé""#), lone(2, r"\ud83d"));
    assert_eq!(results(r#""\udc00\udc00""#), lone(1, r"\udc00"));
    assert_eq!(results(r#""\ud83d\ude00\u0041""#), Ok(()));
}

/// Compared with what Postgres 15 says to the same literals.
#[test]
fn accepts_exactly_the_numbers_that_numeric_holds() {
    let limits = JsonLimits { max_bytes: 1 << 20, max_depth: 1 };
    let nines = |count| "9".repeat(count);
    let zeros = |count| format!("0.{}", "0".repeat(count));
    let fit = ["1e131071", "0.1e131072", "1e-16383", "-1E+5", "0e999999", "0e-16383", "-0.0"];
    let long_fit = [
        nines(131_072),
        zeros(16_383),
        format!("{}e5", zeros(16_384)),
        format!("{}1e131092", zeros(20)),
    ];
    for number in fit.map(str::to_owned).into_iter().chain(long_fit) {
        assert_eq!(check(&number, limits), Ok(()), "{}", shorten(&number, SHOWN));
    }
    let beyond = [
        "1e131072",
        "1e-16384",
        "10000e-16384",
        "0e-20000",
        "0e99999999999",
        "-1e99999999999999999999",
    ];
    let long_beyond = [nines(131_073), zeros(16_384), format!("{}1e131093", zeros(20))];
    for number in beyond.map(str::to_owned).into_iter().chain(long_beyond) {
        let number_shown = shorten(&number, SHOWN);
        let error = JsonError::NumberOutOfRange { offset: 0, number: number_shown };
        assert_eq!(check(&number, limits), Err(error));
    }
}

#[test]
fn says_where_the_number_stands() {
    let error = results("[1, -1e131072]").expect_err("too large");
    assert_eq!(error, JsonError::NumberOutOfRange { offset: 4, number: "-1e131072".into() });
    assert!(error.to_string().contains("131072 digits before"), "{error}");
}

#[test]
fn exponents_cannot_make_a_small_text_large() {
    let many = format!("[{}]", ["1e131071"; 9].join(","));
    assert_eq!(results(&many), Err(JsonError::TooLargeWrittenOut { allowed: 1 << 20 }));
    let fewer = format!("[{}]", ["1e131071"; 7].join(","));
    assert_eq!(results(&fewer), Ok(()));
}

#[test]
fn numbers_in_strings_are_text() {
    assert_eq!(results(r#"{"1e999999":"1e999999"}"#), Ok(()));
}

#[test]
fn a_key_may_stand_twice() {
    assert_eq!(results(r#"{"a":1,"a":2}"#), Ok(()));
}

#[test]
fn an_object_is_demanded_and_the_kind_seen_is_named() {
    assert_eq!(check_object(" \n{}", JsonLimits::CONTEXT), Ok(()));
    let kinds = [
        ("[]", "an array"),
        ("\"{}\"", "a string"),
        ("1", "a number"),
        ("null", "null"),
        ("true", "true or false"),
    ];
    for (text, found) in kinds {
        assert_eq!(check_object(text, JsonLimits::CONTEXT), Err(JsonError::NotAnObject { found }));
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[^\\x00]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[^\\x00]{0,4}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_writes_is_accepted(value in json()) {
        prop_assert_eq!(results(&value.to_string()), Ok(()));
        prop_assert_eq!(results(&format!("{value:#}")), Ok(()));
    }

    #[test]
    fn any_text_gets_an_answer(text in "\\PC*") {
        let _ = results(&text);
    }

    #[test]
    fn any_text_of_json_characters_gets_the_answer_of_serde(text in "[\\[\\]{}\",:0-9eE.+\\-\\\\u ]{0,24}") {
        let parsed = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        match results(&text) {
            Ok(()) => prop_assert!(parsed),
            Err(JsonError::Syntax { offset, .. }) => prop_assert!(!parsed && offset <= text.len()),
            Err(_) => prop_assert!(parsed),
        }
    }
}
