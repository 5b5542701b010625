//! systemd's own calendar, and schedules to hold against it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{collections::BTreeSet, process::Command};

use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use maint::model::{
    calendar::on_calendar,
    schedule::{Dst, Schedule},
};
use rand::{Rng, RngExt};

/// Winter and summer on both halves of the earth, a shift of half an hour, and none.
pub const ZONES: [Tz; 4] =
    [chrono_tz::Europe::Berlin, chrono_tz::America::New_York, chrono_tz::Australia::Lord_Howe, chrono_tz::UTC];

/// When systemd would fire by these lines: the instants after `base`, complete up to the last of them.
pub fn fires(lines: &[String], base: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
    let output = Command::new("systemd-analyze")
        .env("TZ", "UTC")
        .args(["calendar", &format!("--iterations={count}")])
        .arg(format!("--base-time={}", base.format("%Y-%m-%d %H:%M:%S UTC")))
        .args(lines)
        .output()
        .expect("systemd-analyze: apt-get install systemd");
    let (said, complained) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{lines:?}: {said}{complained}");
    let mut per_line: Vec<Vec<DateTime<Utc>>> = Vec::new();
    for line in said.lines() {
        let Some((what, when)) = line.split_once(": ") else { continue };
        match what.trim() {
            "Normalized form" => per_line.push(Vec::new()),
            "Next elapse" if when == "never" => {}
            other if other == "Next elapse" || other.starts_with("Iter. #") => {
                let wall = NaiveDateTime::parse_from_str(&when[4..], "%Y-%m-%d %H:%M:%S UTC").unwrap();
                per_line.last_mut().unwrap().push(wall.and_utc());
            }
            _ => {}
        }
    }
    assert_eq!(per_line.len(), lines.len(), "{lines:?}: {said}");
    // maint's zones have their rules until then.
    let end: DateTime<Utc> = "2099-01-01T00:00:00Z".parse().unwrap();
    let known_until = per_line.iter().filter(|l| l.len() == count).filter_map(|l| l.last()).min();
    let all: BTreeSet<_> = per_line.iter().flatten().copied().collect();
    all.into_iter().filter(|at| at < &end && known_until.is_none_or(|until| at <= until)).collect()
}

/// Asserts that systemd fires at the schedule's slots, and at no other instant.
#[track_caller]
pub fn agree(expression: &str, zone: Tz, dst: Dst, base: DateTime<Utc>, count: usize) {
    let schedule = Schedule::parse(expression, zone, dst).unwrap();
    let lines = on_calendar(&schedule);
    let theirs = fires(&lines, base, count);
    let ours: Vec<_> = schedule.slots_after(base).map(|slot| slot.at).take(theirs.len()).collect();
    let differs = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    assert!(
        !theirs.is_empty() && ours == theirs,
        "`{expression}` in {zone}, {dst:?}, after {base}: at {differs:?} ours {:?}, systemd {:?}; {lines:#?}",
        differs.map(|i| ours[i]),
        differs.map(|i| theirs[i]),
    );
}

/// Random schedules that maint takes, from instants of which half are close to a change of the clocks.
pub fn random_cases(rng: &mut impl Rng, zone: Tz, count: usize) {
    let mut refused = 0;
    for _ in 0..count {
        let expression = loop {
            let expression = expression(rng);
            if Schedule::parse(&expression, zone, Dst::Skip).is_ok() {
                break expression;
            }
            refused += 1;
        };
        let dst = if rng.random_bool(0.5) { Dst::RunAfterGap } else { Dst::Skip };
        agree(&expression, zone, dst, base(rng, zone), 40);
    }
    assert!(refused < count, "{refused} refused: too many for a test of what is taken");
}

fn base(rng: &mut impl Rng, zone: Tz) -> DateTime<Utc> {
    let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    let any = start + Duration::minutes(rng.random_range(0..10 * 365 * 24 * 60));
    let near = if rng.random_bool(0.5) { change_after(zone, any) } else { None };
    let base = near.map_or(any, |change| change - Duration::minutes(rng.random_range(1..3 * 24 * 60)));
    // In the second pass of a repeated hour systemd counts from there: it is declared in docs/scheduling.md.
    let wall = base.with_timezone(&zone).naive_local();
    match zone.from_local_datetime(&wall) {
        MappedLocalTime::Ambiguous(..) => base + Duration::hours(3),
        _ => base,
    }
}

/// The next hour in which the clocks change.
pub fn change_after(zone: Tz, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let hours = std::iter::successors(Some(from), |at| Some(*at + Duration::hours(1))).take(366 * 24);
    let mut hours = hours.skip_while(|at| offset(*at) == offset(*at + Duration::hours(1)));
    hours.next()
}

/// A five-field expression in every way to write one.
fn expression(rng: &mut impl Rng) -> String {
    let minute = field(rng, 0, 59, 1);
    // Clocks change at night.
    let hour = if rng.random_bool(0.6) { field(rng, 0, 4, 1) } else { field(rng, 0, 23, 2) };
    let month = if rng.random_bool(0.6) { "*".into() } else { field(rng, 1, 12, 2) };
    let day = match rng.random_range(0..10) {
        0..5 => "*".into(),
        5 => "L".into(),
        6 => format!("{},L", rng.random_range(1..=31)),
        _ => field(rng, 1, 31, 1),
    };
    let weekday = match rng.random_range(0..12) {
        0..5 => "*".into(),
        5 => format!("{}#{}", name(rng), rng.random_range(1..=5)),
        6 => format!("{}#L", name(rng)),
        7 => format!("{},{}#{}", name(rng), name(rng), rng.random_range(1..=5)),
        8 => "MON-FRI".into(),
        9 => format!("{},{}", name(rng), name(rng)),
        10 => format!("{}#{},{}#L", name(rng), rng.random_range(1..=5), name(rng)),
        _ => field(rng, 0, 7, 1),
    };
    let plus = if day != "*" && weekday != "*" && rng.random_bool(0.5) { "+" } else { "" };
    format!("{minute} {hour} {day} {month} {plus}{weekday}")
}

fn name(rng: &mut impl Rng) -> &'static str {
    ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "7", "0"][rng.random_range(0..9)]
}

fn field(rng: &mut impl Rng, min: u32, max: u32, stars: u32) -> String {
    let one = rng.random_range(min..=max);
    let end = rng.random_range(one..=max);
    match rng.random_range(0..9 + stars) {
        0..3 => one.to_string(),
        3 => format!("{one}-{end}"),
        4 => format!("{one}-{end}/{}", rng.random_range(1..=5)),
        5 => format!("*/{}", rng.random_range(1..=max.max(2) / 2)),
        6 => format!("{one},{end}"),
        7 => format!("{one},{},{end}", rng.random_range(min..=max)),
        8 => format!("{min}-{one},{end}"),
        _ => "*".into(),
    }
}
