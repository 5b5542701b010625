//! Containers that did not come back, and what to type.

use std::fmt;

use super::How;

/// A container that is still down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    /// Its name.
    pub name: String,
    /// How it was kept quiet.
    pub how: How,
    /// Whether somebody removed it meanwhile: nothing can start it.
    pub removed: bool,
}

/// Containers that are still stopped or paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down(pub Vec<Still>);

impl Down {
    /// What brings them back by hand.
    pub fn command(&self) -> String {
        let of = |how, removed| {
            let of_kind = self.0.iter().filter(move |still| still.removed == removed && (removed || still.how == how));
            of_kind.map(|still| still.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        [
            ("docker start", of(How::Stop, false)),
            ("docker unpause", of(How::Pause, false)),
            ("docker compose up --detach", of(How::Stop, true)),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(verb, names)| format!("{verb} {names}"))
        .collect::<Vec<_>>()
        .join(" && ")
    }
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, still) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            let removed = if still.removed { " (removed meanwhile)" } else { "" };
            write!(f, "{comma}{}{removed}", still.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_whole() {
        let still = |name: &str, how, removed| Still { name: name.into(), how, removed };
        let down = Down(vec![
            still("a", How::Stop, false),
            still("b", How::Pause, false),
            still("c", How::Stop, false),
            still("d", How::Pause, true),
        ]);
        assert_eq!(down.command(), "docker start a c && docker unpause b && docker compose up --detach d");
        assert_eq!(down.to_string(), "a, b, c, d (removed meanwhile)");
    }
}
