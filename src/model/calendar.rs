//! A schedule in the words of systemd's calendar (systemd.time(7)), which fires at the same instants.
//!
//! Every list, range and step is spelled out, because systemd counts steps otherwise than cron. systemd never fires at a time
//! that the clocks skip; where the schedule makes up for it, a line of its own fires when the clocks have been put forward.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, TimeZone, Utc, Weekday};

use super::schedule::{Days, Dst, Gap, OfMonth, Schedule, gaps};

/// The years whose gaps are looked at: the same wherever and whenever a unit is rendered. In any twelve years each date falls
/// on every weekday, so that a rule like "the last Sunday of March" shows all of its seven dates.
const YEARS: std::ops::Range<i32> = 2026..2038;
/// Not the same in every year.
const FEBRUARY: u32 = 0;
const LENGTHS: [u32; 12] = [31, FEBRUARY, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// The values of `OnCalendar=` that together fire at the schedule's slots.
pub fn on_calendar(schedule: &Schedule) -> Vec<String> {
    let zone = schedule.zone().name();
    let time = format!("{}:{}:00", numbers(&schedule.hours(), 24), numbers(&schedule.minutes(), 60));
    let dates = schedule.days().iter().flat_map(|days| dates(days, &schedule.months()));
    let mut lines: Vec<String> = dates.map(|dates| format!("{dates} {time} {zone}")).collect();
    if schedule.dst() == Dst::RunAfterGap {
        lines.extend(after_gaps(schedule).into_iter().map(|line| format!("{line} {zone}")));
    }
    lines
}

/// Two digits each; `*` where it is all of them.
fn numbers(values: &[u16], all: usize) -> String {
    if values.len() == all {
        return "*".into();
    }
    values.iter().map(|value| format!("{value:02}")).collect::<Vec<_>>().join(",")
}

/// The weekdays with a blank after them; nothing where it is all of them.
fn weekdays(days: &Days) -> String {
    let Some(weekdays) = &days.weekdays else { return String::new() };
    let names: Vec<_> = weekdays.iter().filter_map(|day| WEEKDAYS.get(*day as usize).copied()).collect();
    names.join(",") + " "
}

/// Weekdays, months and days. The end of a month is spelled out by its length, because systemd (252) takes `~`, which counts from
/// there, to the second pass of a repeated hour; February's length has no other form, and no zone repeats an hour in it.
fn dates(days: &Days, months: &[u16]) -> Vec<String> {
    let weekdays = weekdays(days);
    let (last, february) = match &days.of_month {
        OfMonth::Every => return vec![format!("{weekdays}*-{}-*", numbers(months, 12))],
        OfMonth::Numbers(days) => return vec![format!("{weekdays}*-{}-{}", numbers(months, 12), ranges(days))],
        OfMonth::LastDay => (1, "~01"),
        OfMonth::LastWeek => (7, "~07/1"),
    };
    let of_length = |length: u32| {
        let is_so = |month: &&u16| LENGTHS.get(usize::from(**month) - 1) == Some(&length);
        let of_length: Vec<u16> = months.iter().filter(is_so).copied().collect();
        let day = if length == FEBRUARY {
            february.to_owned()
        } else {
            format!("-{}", ranges(&(length - last + 1..=length).collect()))
        };
        (!of_length.is_empty()).then(|| format!("{weekdays}*-{}{day}", numbers(&of_length, 12)))
    };
    [31, 30, FEBRUARY].into_iter().filter_map(of_length).collect()
}

/// `01..07,15`.
fn ranges(numbers: &BTreeSet<u32>) -> String {
    let sorted: Vec<u32> = numbers.iter().copied().collect();
    let runs = sorted.chunk_by(|a, b| a + 1 == *b).filter_map(|run| Some((run.first()?, run.last()?)));
    let texts = runs.map(|(first, last)| match last - first {
        0 => format!("{first:02}"),
        1 => format!("{first:02},{last:02}"),
        _ => format!("{first:02}..{last:02}"),
    });
    texts.collect::<Vec<_>>().join(",")
}

/// When the clocks are put forward by the same rule in every year: the month, the weekday, and what they are put to.
type Rule = (u32, Weekday, NaiveTime);

/// Lines that fire when a gap has swallowed a slot. A zone whose rule has the form "such a weekday of such a month" gets one
/// that holds for ever, with the dates on which the schedule names a time in the gap; of another zone's (Morocco's follow the
/// moon) each gap gets its own.
fn after_gaps(schedule: &Schedule) -> Vec<String> {
    let Some((from, until)) = new_year(YEARS.start).zip(new_year(YEARS.end)) else { return Vec::new() };
    let mut rules: BTreeMap<(u32, u32, NaiveTime), (Rule, Vec<Gap>)> = BTreeMap::new();
    for gap in gaps(schedule.zone(), from, until) {
        let rule = (gap.end.month(), gap.end.weekday(), gap.end.time());
        let key = (rule.0, rule.1.num_days_from_sunday(), rule.2);
        rules.entry(key).or_insert_with(|| (rule, Vec::new())).1.push(gap);
    }
    let mut lines = Vec::new();
    for (rule, of_rule) in rules.into_values() {
        let swallows = |gap: &&Gap| schedule.swallowed(gap).next().is_some() && !schedule.names(gap.end);
        let swallowing: Vec<NaiveDateTime> = of_rule.iter().filter(swallows).map(|gap| gap.end).collect();
        if swallowing.is_empty() {
            continue;
        }
        if is_yearly(&of_rule) {
            let dates = swallowing.iter().map(NaiveDateTime::day).collect();
            lines.push(format!("{} *-{:02}-{} {}", rule.1, rule.0, ranges(&dates), rule.2));
        } else {
            lines.extend(swallowing.iter().map(|end| end.format("%Y-%m-%d %H:%M:%S").to_string()));
        }
    }
    lines
}

/// Whether these come once in each year, within seven dates: then the weekday decides the date.
fn is_yearly(of_rule: &[Gap]) -> bool {
    let years = of_rule.iter().map(|gap| gap.end.year());
    let days = || of_rule.iter().map(|gap| gap.end.day());
    let spread = days().max().unwrap_or(0) - days().min().unwrap_or(0);
    years.eq(YEARS) && spread < 7
}

fn new_year(year: i32) -> Option<DateTime<Utc>> {
    Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn lines(expression: &str, zone: chrono_tz::Tz, expected: &[&str]) {
        assert_eq!(
            on_calendar(&Schedule::parse(expression, zone, Dst::RunAfterGap).unwrap()),
            expected,
            "{expression}"
        );
    }

    #[test]
    fn everything_is_spelled_out() {
        let utc = chrono_tz::UTC;
        lines("0 1 * * SUN#1", utc, &["Sun *-*-01..07 01:00:00 UTC"]);
        lines("0 1 1-7 * +SUN", utc, &["Sun *-*-01..07 01:00:00 UTC"]);
        lines("*/20 * * */5 *", utc, &["*-01,06,11-* *:00,20,40:00 UTC"]);
        lines("0 0 1,15 * 1-5", utc, &["*-*-01,15 00:00:00 UTC", "Mon,Tue,Wed,Thu,Fri *-*-* 00:00:00 UTC"]);
        lines(
            "0 0 15,L * *",
            utc,
            &[
                "*-*-15 00:00:00 UTC",
                "*-01,03,05,07,08,10,12-31 00:00:00 UTC",
                "*-04,06,09,11-30 00:00:00 UTC",
                "*-02~01 00:00:00 UTC",
            ],
        );
        lines("0 0 * 2,3 SUN#L", utc, &["Sun *-03-25..31 00:00:00 UTC", "Sun *-02~07/1 00:00:00 UTC"]);
        lines("0 0 * * 0-6", utc, &["*-*-* 00:00:00 UTC"]);
    }

    #[test]
    fn what_a_gap_swallows_gets_a_line_that_holds_for_ever() {
        let berlin = chrono_tz::Europe::Berlin;
        lines("30 2 * * *", berlin, &["*-*-* 02:30:00 Europe/Berlin", "Sun *-03-25..31 03:00:00 Europe/Berlin"]);
        lines("0 2,3 * * *", berlin, &["*-*-* 02,03:00:00 Europe/Berlin"]);
        lines("30 2 * * SUN#1", berlin, &["Sun *-*-01..07 02:30:00 Europe/Berlin"]);
        lines("30 2 31 * *", berlin, &["*-*-31 02:30:00 Europe/Berlin", "Sun *-03-31 03:00:00 Europe/Berlin"]);
        lines(
            "30 2 * * *",
            chrono_tz::America::New_York,
            &["*-*-* 02:30:00 America/New_York", "Sun *-03-08..14 03:00:00 America/New_York"],
        );
        lines(
            "15 2 * * *",
            chrono_tz::Australia::Lord_Howe,
            &["*-*-* 02:15:00 Australia/Lord_Howe", "Sun *-10-01..07 02:30:00 Australia/Lord_Howe"],
        );
        lines("30 2 * * *", chrono_tz::UTC, &["*-*-* 02:30:00 UTC"]);
    }

    #[test]
    fn gaps_without_a_rule_get_a_line_each() {
        let schedule = Schedule::parse("30 2 * * *", chrono_tz::Africa::Casablanca, Dst::RunAfterGap).unwrap();
        let lines = on_calendar(&schedule);
        assert!(lines.len() > 10, "{lines:?}");
        assert!(lines.contains(&"2027-03-14 03:00:00 Africa/Casablanca".to_owned()), "{lines:?}");
    }
}
