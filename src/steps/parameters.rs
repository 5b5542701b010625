//! Parameters that several step kinds have.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Problem;
use crate::model::{stack::Stack, units::ByteSize};

/// `100MB`, `1.5GB`, `512KiB`, `0`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Size(pub u64);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const UNITS: [(&str, f64); 9] = [
            ("KiB", 1024.0),
            ("MiB", 1_048_576.0),
            ("GiB", 1_073_741_824.0),
            ("kB", 1e3),
            ("KB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("TB", 1e12),
            ("B", 1.0),
        ];
        let trimmed = text.trim();
        let (number, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| trimmed.strip_suffix(unit).map(|number| (number.trim(), *factor)))
            .unwrap_or((trimmed, 1.0));
        let bytes = number.parse::<f64>().ok().map(|n| n * factor).filter(|n| (0.0..9e15).contains(n));
        let bytes = bytes.and_then(|bytes| format!("{bytes:.0}").parse().ok());
        bytes.map(Self).ok_or_else(|| format!("`{text}` is not a size; expected e.g. \"100MB\", \"1.5GB\""))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ByteSize(self.0).fmt(f)
    }
}

/// What is wrong with the name of a server that `maint.toml` does not have.
pub(super) fn unknown_server(stack: &Stack, name: &str) -> Option<Problem> {
    if stack.postgres.contains_key(name) {
        return None;
    }
    let known: Vec<_> = stack.postgres.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Some(Problem { key: "server", message: format!("there is no [postgres.{name}] in maint.toml; it has: {known}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [("100MB", 100_000_000), ("1.5 GB", 1_500_000_000), ("2KiB", 2048), ("0", 0), ("7B", 7)] {
            assert_eq!(Size::try_from(text.to_owned()), Ok(Size(bytes)));
        }
        for text in ["", "MB", "-1MB", "ten", "1 XB", "NaN"] {
            assert!(Size::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
