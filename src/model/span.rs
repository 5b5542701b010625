//! A duration as files write it.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

/// `30s`, `10m`, `4h`, `1d`; never 0, which would be no time at all, or for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Span(pub Duration);

/// `30s`, `10m`, `4h`, `7d`, or `0s`: at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct SpanOrZero(pub Duration);

fn parse(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a duration; expected e.g. \"30s\", \"10m\", \"4h\", \"7d\""))
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match parse(&text)? {
            Duration::ZERO => {
                Err(format!("`{text}` is no time at all; expected e.g. \"30s\", \"10m\", \"4h\", \"7d\""))
            }
            duration => Ok(Self(duration)),
        }
    }
}

impl TryFrom<String> for SpanOrZero {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse(&text).map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Display for SpanOrZero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl SpanOrZero {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many days.
    pub const fn days(days: u64) -> Self {
        Self(Duration::from_secs(days * 24 * 3600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_span_only_where_it_means_something() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("1h 30m", 5400), ("7d", 604_800)] {
            assert_eq!(Span::try_from(text.to_owned()), Ok(Span(Duration::from_secs(seconds))));
            assert_eq!(SpanOrZero::try_from(text.to_owned()), Ok(SpanOrZero::seconds(seconds)));
        }
        assert_eq!(SpanOrZero::try_from("0s".to_owned()), Ok(SpanOrZero::seconds(0)));
        assert!(Span::try_from("0s".to_owned()).is_err_and(|e| e.contains("no time at all")));
        for text in ["", "ten", "-1s", "5"] {
            assert!(
                Span::try_from(text.to_owned()).is_err() && SpanOrZero::try_from(text.to_owned()).is_err(),
                "{text}"
            );
        }
    }
}
