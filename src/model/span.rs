//! A duration as files write it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// `30s`, `10m`, `4h`, `1d`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match humantime::parse_duration(&text) {
            Ok(duration) if !duration.is_zero() => Ok(Self(duration)),
            _ => Err(format!("`{text}` is not a duration; expected e.g. \"30s\", \"10m\", \"4h\"")),
        }
    }
}
