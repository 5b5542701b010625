//! The series that a PromQL query reads, as far as that is needed to ask how old their samples are.

/// Words that stand where a metric's name could, and are none.
const WORDS: &[&str] = &[
    "and",
    "or",
    "unless",
    "atan2",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "bool",
    "start",
    "end",
    "inf",
    "nan",
];
/// Words that are followed by names of labels in parentheses.
const LABELS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The instant selectors in a query: names of metrics with their label matchers, each once.
pub fn selectors(query: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = query;
    // Whether the last word announced labels in parentheses.
    let mut labels = false;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_alphabetic() || c == '_' || c == ':' {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let lower = name.to_ascii_lowercase();
            labels = LABELS.contains(&lower.as_str());
            let next = after.trim_start();
            if !WORDS.contains(&lower.as_str()) && !next.starts_with('(') && !is_aggregation(&lower, next) {
                let matchers = if next.starts_with('{') { &next[..closing(next)] } else { "" };
                let selector = format!("{name}{matchers}");
                if !found.contains(&selector) {
                    found.push(selector);
                }
                rest = if matchers.is_empty() { after } else { &next[matchers.len()..] };
            } else {
                rest = after;
            }
            continue;
        }
        let skip = match c {
            '"' | '\'' | '`' => quoted(rest),
            '[' => rest.find(']').map_or(rest.len(), |at| at + 1),
            '(' if labels => rest.find(')').map_or(rest.len(), |at| at + 1),
            '{' => {
                let end = closing(rest);
                found.push(rest[..end].to_owned());
                end
            }
            '#' => rest.find('\n').map_or(rest.len(), |at| at + 1),
            c if c.is_ascii_digit() => {
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        if !c.is_whitespace() {
            labels = false;
        }
        rest = &rest[skip..];
    }
    found
}

/// `sum by (…) (…)`: the operator is followed by a word.
fn is_aggregation(name: &str, next: &str) -> bool {
    let clause = |word: &str| next.strip_prefix(word).is_some_and(|rest| rest.trim_start().starts_with('('));
    let operators = [
        "sum",
        "min",
        "max",
        "avg",
        "group",
        "stddev",
        "stdvar",
        "count",
        "count_values",
        "bottomk",
        "topk",
        "quantile",
    ];
    operators.contains(&name) && (clause("by") || clause("without"))
}

/// Where a quoted text ends.
fn quoted(text: &str) -> usize {
    let Some(quote) = text.chars().next() else { return 0 };
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Where the braces at the beginning end.
fn closing(text: &str) -> usize {
    let mut at = 1;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        match c {
            '}' => return at + 1,
            '"' | '\'' | '`' => at += quoted(&text[at..]),
            c => at += c.len_utf8(),
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_a_query_are_found() {
        for (query, expected) in [
            ("leanvibe_task_assignment_duration_ms", vec!["leanvibe_task_assignment_duration_ms"]),
            ("rate(leanvibe_messages_total[5m])", vec!["leanvibe_messages_total"]),
            ("sum(rate(a[5m])) / sum by (job) (rate(b{x=\"}(\"}[5m])) * 100", vec!["a", "b{x=\"}(\"}"]),
            ("sum(a) by (instance) > bool 1e3 or on(job) group_left(x) b offset 5m", vec!["a", "b"]),
            ("{__name__=~\"up|down\"} unless up{job='é'}", vec!["{__name__=~\"up|down\"}", "up{job='é'}"]),
            ("label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\") # comment up2\n+ up", vec!["up"]),
            ("vector(1)", vec![]),
            ("a{x=\"", vec!["a{x=\""]),
            ("histogram_quantile(0.99, sum without (le2) (rate(a:b_bucket[5m:1m])))", vec!["a:b_bucket"]),
        ] {
            assert_eq!(selectors(query), expected, "{query}");
        }
    }
}
