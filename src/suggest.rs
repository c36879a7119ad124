//! "Did you mean": the known word nearest to a misspelt one.

/// Words longer than this get no suggestion: edit distance is quadratic in the length.
const LONGEST_WORD: usize = 64;

/// At most this many words of a fitting length are compared, so that an unknown name among a
/// million others is still refused at once.
const MOST_COMPARISONS: usize = 10_000;

/// The nearest of `known`, at most a third of the word's letters away.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST_WORD {
        return None;
    }
    let furthest = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|other| other.len().abs_diff(word.len()) <= 4 * furthest)
        .filter(|other| other.len() <= LONGEST_WORD)
        .take(MOST_COMPARISONS)
        .map(|other| (strsim::osa_distance(word, other), other))
        .filter(|(distance, _)| *distance <= furthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_the_nearest_word() {
        let known = ["depends_on_steps", "depends_on_step", "description"];
        assert_eq!(nearest("depend_on_step", known), Some("depends_on_step"));
        assert_eq!(nearest("depends_no_steps", known), Some("depends_on_steps"));
    }

    #[test]
    fn suggests_nothing_far_away() {
        assert_eq!(nearest("banana", ["queue", "retry"]), None);
        assert_eq!(nearest("ab", ["cd"]), None);
    }

    #[test]
    fn long_words_get_no_suggestion() {
        let long = "x".repeat(65);
        assert_eq!(nearest(&long, [long.as_str()]), None);
        assert_eq!(nearest("x", [long.as_str()]), None);
    }

    #[test]
    fn counts_letters_and_not_bytes() {
        assert_eq!(nearest("übersee", ["ubersee"]), Some("ubersee"));
        assert_eq!(nearest("ééé", ["éab"]), None);
    }
}
