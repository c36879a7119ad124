//! A failure as it is kept: of bounded size, whatever a handler says of it.

use serde_json::Value;

use crate::decision::{Failure, FailureCause};
use crate::json::{self, JsonLimits};

/// Longest message, in bytes.
const LONGEST_MESSAGE: usize = 4_096;

/// Longest name of a class, code or line of a backtrace, in bytes.
const LONGEST_LINE: usize = 512;

/// Most lines of a backtrace.
const MOST_LINES: usize = 50;

/// Most causes.
const MOST_CAUSES: usize = 5;

/// The largest context of a failure.
const CONTEXT: JsonLimits = JsonLimits { max_bytes: 16_384, ..JsonLimits::RESULTS };

/// The failure with its texts cut off, its lists shortened, and without a context that is too large or that
/// the database cannot keep.
pub(super) fn bounded(failure: Failure) -> Failure {
    let lines = failure.backtrace.iter().take(MOST_LINES);
    let causes = failure.causes.iter().take(MOST_CAUSES);
    Failure {
        kind: failure.kind,
        classified_by: failure.classified_by.as_deref().map(|by| cut(by, LONGEST_LINE)),
        class: cut(&failure.class, LONGEST_LINE),
        message: cut(&failure.message, LONGEST_MESSAGE),
        code: failure.code.as_deref().map(|code| cut(code, LONGEST_LINE)),
        retry_after_s: failure.retry_after_s,
        backtrace: lines.map(|line| cut(line, LONGEST_LINE)).collect(),
        causes: causes
            .map(|cause| FailureCause {
                class: cut(&cause.class, LONGEST_LINE),
                message: cut(&cause.message, LONGEST_MESSAGE),
            })
            .collect(),
        context: failure.context.filter(is_kept),
    }
}

fn is_kept(context: &Value) -> bool {
    json::check(&context.to_string(), CONTEXT).is_ok()
}

/// At most so many bytes of `text`, with dots where something is left out, and with the picture of U+0000 in
/// its place.
fn cut(text: &str, bytes: usize) -> String {
    let text = text.replace('\0', "\u{2400}");
    if text.len() <= bytes {
        return text;
    }
    let most = bytes - "...".len();
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::decision::FailureKind;

    fn large(bytes: usize, count: usize) -> Failure {
        let text = || "x".repeat(bytes);
        let cause = FailureCause { class: text(), message: text() };
        Failure {
            code: Some(text()),
            classified_by: Some(text()),
            backtrace: vec![text(); count],
            causes: vec![cause; count],
            ..Failure::new(FailureKind::Permanent, text(), text())
        }
    }

    #[test]
    fn what_fits_is_kept_as_it_is() {
        for failure in [large(512, 5), Failure { backtrace: vec!["x".into(); 50], ..large(1, 0) }] {
            assert_eq!(bounded(failure.clone()), failure);
        }
        let message = Failure::new(FailureKind::Blocked, "A", "é".repeat(2_048));
        assert_eq!(bounded(message.clone()), message);
    }

    #[test]
    fn one_more_is_cut_off() {
        let cut = bounded(large(513, 51));
        assert_eq!((cut.class.len(), cut.message.len()), (512, 513));
        for text in [cut.code, cut.classified_by] {
            assert_eq!(text.unwrap().len(), 512);
        }
        assert_eq!((cut.backtrace.len(), cut.backtrace[0].len()), (50, 512));
        assert_eq!((cut.causes.len(), cut.causes[0].class.len()), (5, 512));
        let cut = bounded(large(4_097, 1));
        assert_eq!((cut.message.len(), cut.causes[0].message.len()), (4_096, 4_096));
        assert!(cut.message.ends_with("x..."));
        assert_eq!(
            bounded(Failure::new(FailureKind::Blocked, "A", "é".repeat(2_049))).message.len(),
            4_095
        );
    }

    #[test]
    fn a_context_that_cannot_be_kept_is_left_out() {
        let with = |context| Failure { context: Some(context), ..large(1, 1) };
        let length = |bytes: usize| json!("x".repeat(bytes - 2));
        assert!(bounded(with(length(16_384))).context.is_some());
        assert_eq!(bounded(with(length(16_385))).context, None);
        assert_eq!(bounded(with(json!({"a": "\0"}))).context, None);
    }

    #[test]
    fn nothing_else_is_lost_where_the_database_cannot_keep_a_character() {
        let kept = bounded(Failure {
            backtrace: vec!["a\0".into()],
            ..Failure::new(FailureKind::Timeout, "A\0", "\0")
        });
        assert_eq!((&*kept.class, &*kept.message, &*kept.backtrace[0]), ("A␀", "␀", "a␀"));
    }

    proptest! {
        #[test]
        fn any_failure_can_be_kept(class: String, message: String, code: Option<String>, seconds: Option<f64>, lines: Vec<String>) {
            let failure = Failure { code, retry_after_s: seconds, backtrace: lines, ..Failure::new(FailureKind::Retryable, class, message) };
            let text = serde_json::to_string(&bounded(failure)).expect("JSON");
            prop_assert_eq!(json::check(&text, JsonLimits::RESULTS), Ok(()));
        }
    }
}
