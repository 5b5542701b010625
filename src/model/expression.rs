//! When two expressions of the same server mean the same though they are written differently.
//!
//! A check that was written `status IN ('a', 'b')` over a varchar is shown with its casts around the list, and, read
//! back, with a cast at each element (PostgreSQL folds the constants anew). That is the one thing that a dump does to an
//! expression, so casts may move, with the parentheses that they need, but nothing may come, go, or change.

use std::collections::BTreeSet;

/// Whether two expressions differ at most in where casts stand.
pub fn same(a: &str, b: &str) -> bool {
    let (a, b) = (Bare::of(a), Bare::of(b));
    a.words == b.words && a.casts == b.casts
}

/// An expression without casts and the parentheses before them, and the types that it casts to.
#[derive(Debug, Default)]
struct Bare {
    words: Vec<String>,
    casts: BTreeSet<String>,
}

impl Bare {
    fn of(text: &str) -> Self {
        let mut bare = Self::default();
        let mut open = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first.is_whitespace() {
                rest = &rest[first.len_utf8()..];
                continue;
            }
            if let Some(after) = rest.strip_prefix("::") {
                let length = type_length(after);
                bare.casts.insert(after[..length].trim_end_matches("[]").to_owned());
                rest = &after[length..];
                continue;
            }
            let length = word_length(rest, first);
            let word = &rest[..length];
            rest = &rest[length..];
            match first {
                '(' => open.push(bare.words.len()),
                ')' => {
                    let begun = open.pop();
                    if let (true, Some(begun)) = (rest.starts_with("::"), begun) {
                        bare.words.remove(begun);
                        continue;
                    }
                }
                _ => {}
            }
            bare.words.push(word.to_owned());
        }
        bare
    }
}

/// The length of a word, a quoted one, or a single sign.
fn word_length(text: &str, first: char) -> usize {
    if first == '\'' || first == '"' {
        return quoted_length(text, first);
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || c == '.';
    if is_word(first) { text.find(|c| !is_word(c)).unwrap_or(text.len()) } else { first.len_utf8() }
}

/// The length of what is in quotes; doubled ones are part of it.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(end) = text[at..].find(quote) {
        at += end + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// The length of a type's name after `::`: words, a modifier in parentheses, brackets.
fn type_length(text: &str) -> usize {
    const SECOND_WORDS: [&str; 6] =
        [" varying", " precision", " without time zone", " with time zone", " to second", " to month"];
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        at += match c {
            '"' => quoted_length(&text[at..], '"'),
            '(' => match text[at..].find(')') {
                Some(end) if text[at + 1..at + end].bytes().all(|b| b.is_ascii_digit() || b == b',') && end > 1 => {
                    end + 1
                }
                _ => return at,
            },
            '[' if text[at..].starts_with("[]") => 2,
            c if c.is_alphanumeric() || c == '_' || c == '.' => c.len_utf8(),
            ' ' => match SECOND_WORDS.iter().find(|word| text[at..].starts_with(**word)) {
                Some(word) => word.len(),
                None => return at,
            },
            _ => return at,
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_may_move() {
        assert!(same(
            "CHECK (((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))",
            "CHECK (((status)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))",
        ));
    }

    #[test]
    fn nothing_else_may_change() {
        for (a, b) in [
            ("x = 'a'::text", "x = 'b'::text"),
            ("x::integer", "x::bigint"),
            ("x::numeric(3,1)", "x::numeric(3,2)"),
            ("a + b", "a - b"),
            ("((a + b) * c)::text", "(a + (b * c))::text"),
            ("f(a, b)", "f(b, a)"),
            ("x = 'it''s (a)'", "x = 'it''s a'"),
            ("\"A\" > 1", "\"a\" > 1"),
            ("now()", "clock_timestamp()"),
            ("x IS NULL", "x IS NOT NULL"),
        ] {
            assert!(!same(a, b), "{a} and {b}");
        }
    }
}
