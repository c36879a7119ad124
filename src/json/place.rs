//! Where in a JSON text a byte stands.

use super::shorten;

/// Longest key that a path repeats, in characters.
const LONGEST_KEY: usize = 80;

/// Longest path, in characters.
const LONGEST_PATH: usize = 300;

/// What is open around a byte.
enum Level<'a> {
    /// An object, with the key whose value is read, as it stands in the text with its quotes; none before it.
    Object(Option<&'a str>),
    /// An array, with the index of the element that is read.
    Array(usize),
}

/// The path of the value that a byte of a JSON text is part of, such as `steps[2].name`; empty for the whole text. The text up
/// to the byte is known to be JSON.
pub(crate) fn path(text: &str, offset: usize) -> String {
    let mut levels = Vec::new();
    let mut at = 0;
    while at < offset {
        let mut next = at + 1;
        match (text.as_bytes().get(at), levels.last_mut()) {
            (Some(b'{'), _) => levels.push(Level::Object(None)),
            (Some(b'['), _) => levels.push(Level::Array(0)),
            (Some(b'}' | b']'), _) => drop(levels.pop()),
            (Some(b','), Some(Level::Object(key))) => *key = None,
            (Some(b','), Some(Level::Array(index))) => *index += 1,
            (Some(b'"'), level) => {
                next = end_of_string(text, at);
                if let Some(Level::Object(key @ None)) = level
                    && next <= offset
                {
                    *key = text.get(at..next);
                }
            }
            (Some(_), _) => {}
            (None, _) => break,
        }
        at = next;
    }
    let path = levels.iter().fold(String::new(), |path, level| match level {
        Level::Object(None) => path,
        Level::Object(Some(key)) => {
            let key: String = serde_json::from_str(key).unwrap_or_else(|_| (*key).to_owned());
            let dot = if path.is_empty() { "" } else { "." };
            format!("{path}{dot}{}", shorten(&key, LONGEST_KEY))
        }
        Level::Array(index) => format!("{path}[{index}]"),
    });
    shorten(&path, LONGEST_PATH)
}

/// Behind the quote that closes a string; the end of the text where none does.
fn end_of_string(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    bytes.len().min(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_in_the_value_around_it() {
        let text = r#"{"a, \"b": [1, {"c": "d]", "e": [[2], "here"]}], "f": 3, "f\ng": {"h": 4}}"#;
        for (part, place) in [
            ("1,", "a, \"b[0]"),
            ("d]", "a, \"b[1].c"),
            ("2]", "a, \"b[1].e[0][0]"),
            ("here", "a, \"b[1].e[1]"),
            ("3", "f"),
            ("4", "f\ng.h"),
            ("b\"", ""),
            ("h\"", "f\ng"),
            ("}}", "f\ng.h"),
        ] {
            assert_eq!(path(text, text.find(part).expect("it is there")), place, "{part}");
        }
        assert_eq!(path("", 5), "");
        assert_eq!(path("\"a", 5), "");
    }
}
