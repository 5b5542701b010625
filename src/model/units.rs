//! Sizes and durations as people read them.

use std::{fmt, time::Duration};

/// A size in bytes; shown in powers of 1000 as disks and networks are sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 999.95 && unit + 1 < UNITS.len() {
            value /= 1000.0;
            unit += 1;
        }
        let text = match unit {
            0 => format!("{} B", self.0),
            _ => format!("{value:.1} {}", UNITS[unit]),
        };
        f.pad(&text)
    }
}

/// A duration: `12 ms`, `3.4 s`, `2 min 05 s`, `1 h 04 min`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Elapsed(pub Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let text = if self.0 < Duration::from_millis(1000) {
            format!("{} ms", self.0.as_millis())
        } else if seconds < 60 {
            format!("{:.1} s", self.0.as_secs_f64())
        } else if seconds < 3600 {
            format!("{} min {:02} s", seconds / 60, seconds % 60)
        } else {
            format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60)
        };
        f.pad(&text)
    }
}

/// `1 file`, `2 files`, `1 234 567 rows`: a count with its noun.
pub fn count(n: u64, noun: &str) -> String {
    let number = grouped(n);
    match noun.strip_suffix('y') {
        _ if n == 1 || noun.ends_with("series") => format!("{number} {noun}"),
        Some(stem) if !stem.ends_with('a') => format!("{number} {stem}ies"),
        _ => format!("{number} {noun}s"),
    }
}

/// How long ago something was, roughly: `3 hours`, `12 days`; nothing is older than now.
pub fn age(elapsed: chrono::TimeDelta) -> String {
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    match elapsed {
        e if e.num_minutes() < 1 => "less than a minute".to_owned(),
        e if e.num_minutes() < 120 => count(unsigned(e.num_minutes()), "minute"),
        e if e.num_hours() < 48 => count(unsigned(e.num_hours()), "hour"),
        e => count(unsigned(e.num_days()), "day"),
    }
}

/// A number with thin groups of three digits.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!(ByteSize(999).to_string(), "999 B");
        assert_eq!(ByteSize(999_999).to_string(), "1.0 MB");
        assert_eq!(ByteSize(1_256_000_000).to_string(), "1.3 GB");
        assert_eq!(Elapsed(Duration::from_millis(12)).to_string(), "12 ms");
        assert_eq!(Elapsed(Duration::from_secs(125)).to_string(), "2 min 05 s");
        assert_eq!(age(chrono::TimeDelta::seconds(-5)), "less than a minute");
        assert_eq!(age(chrono::TimeDelta::hours(47)), "47 hours");
        assert_eq!(age(chrono::TimeDelta::hours(50)), "2 days");
        assert_eq!(count(1, "row"), "1 row");
        assert_eq!(count(1_234_567, "row"), "1 234 567 rows");
    }
}
