//! The days that a schedule names, spelled out: what a calendar without cron's words can say.

use std::collections::BTreeSet;

use croner::Cron;

/// Bits of croner's day fields, which have no public names; the tests hold them against croner's own answers.
const LAST: u8 = 1 << 6;
const NEAREST_WEEKDAY: u8 = 1 << 7;
/// The longest that each month can be.
const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Days that fulfil both: one of the weekdays, and one of the days of the month. A schedule's days are one or several of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    /// From 0 for Sunday; `None`: every one.
    pub weekdays: Option<BTreeSet<u32>>,
    /// Which days of the month.
    pub of_month: OfMonth,
}

/// Days of a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfMonth {
    /// All.
    Every,
    /// These numbers.
    Numbers(BTreeSet<u32>),
    /// The last day.
    LastDay,
    /// The last seven days: the last one of a weekday.
    LastWeek,
}

/// Spells a pattern's days out.
///
/// # Errors
/// Where they have no such form, or where there is no such day.
pub(super) fn spell_out(cron: &Cron) -> Result<Vec<Days>, String> {
    let pattern = &cron.pattern;
    if pattern.days.is_feature_enabled(NEAREST_WEEKDAY) || !pattern.days.get_set_values(NEAREST_WEEKDAY).is_empty() {
        return Err("`W` (the nearest weekday) has no form in systemd's calendar".into());
    }
    if pattern.days_of_week.is_feature_enabled(LAST) {
        return Err("`L` alone in the weekday field names no weekday; write e.g. `SUN#L`".into());
    }
    let (of_month, of_week) = (by_month(cron), by_week(cron));
    let all = match (pattern.is_dom_wildcard(), pattern.is_dow_wildcard()) {
        (true, true) => vec![Days { weekdays: None, of_month: OfMonth::Every }],
        (false, true) => of_month,
        (true, false) => of_week,
        (false, false) if pattern.matches_dom_and_dow() => both(&of_month, &of_week)?,
        (false, false) => of_month.into_iter().chain(of_week).collect(),
    };
    let months: Vec<u32> = pattern.months.values().into_iter().map(u32::from).collect();
    let possible: Vec<_> = all.into_iter().filter(|days| days.of_month.is_in(&months)).collect();
    if possible.is_empty() { Err("there is no such day in any year".into()) } else { Ok(possible) }
}

/// What the day-of-month field says.
fn by_month(cron: &Cron) -> Vec<Days> {
    let days = &cron.pattern.days;
    let numbers: BTreeSet<u32> = days.values().into_iter().map(u32::from).collect();
    let mut all = Vec::new();
    if numbers.len() == 31 {
        all.push(OfMonth::Every);
    } else if !numbers.is_empty() {
        all.push(OfMonth::Numbers(numbers));
    }
    if days.is_feature_enabled(LAST) {
        all.push(OfMonth::LastDay);
    }
    all.into_iter().map(|of_month| Days { weekdays: None, of_month }).collect()
}

/// What the weekday field says.
fn by_week(cron: &Cron) -> Vec<Days> {
    let marked = |bit: u8| -> BTreeSet<u32> {
        cron.pattern.days_of_week.get_set_values(bit).into_iter().map(u32::from).filter(|day| *day < 7).collect()
    };
    let mut all = Vec::new();
    let mut add = |weekdays: BTreeSet<u32>, of_month: OfMonth| {
        if !weekdays.is_empty() {
            all.push(Days { weekdays: (weekdays.len() < 7).then_some(weekdays), of_month });
        }
    };
    add(marked(1), OfMonth::Every);
    for nth in 1..=5u32 {
        // The nth of any weekday lies in the nth seven days.
        let week = (7 * nth - 6)..=(7 * nth).min(31);
        add(marked(1 << nth), OfMonth::Numbers(week.collect()));
    }
    add(marked(LAST), OfMonth::LastWeek);
    all
}

/// Days that both fields name.
fn both(of_month: &[Days], of_week: &[Days]) -> Result<Vec<Days>, String> {
    let mut all = Vec::new();
    for month in of_month {
        for week in of_week {
            if let Some(of_month) = month.of_month.and(&week.of_month)? {
                all.push(Days { weekdays: week.weekdays.clone(), of_month });
            }
        }
    }
    Ok(all)
}

impl OfMonth {
    /// Days that are in both; `None`: there are none.
    fn and(&self, other: &Self) -> Result<Option<Self>, String> {
        Ok(match (self, other) {
            (Self::Every, days) | (days, Self::Every) => Some(days.clone()),
            (Self::LastDay, Self::LastDay | Self::LastWeek) | (Self::LastWeek, Self::LastDay) => Some(Self::LastDay),
            (Self::LastWeek, Self::LastWeek) => Some(Self::LastWeek),
            (Self::Numbers(a), Self::Numbers(b)) => {
                let common: BTreeSet<u32> = a & b;
                (!common.is_empty()).then_some(Self::Numbers(common))
            }
            (Self::Numbers(numbers), tail) | (tail, Self::Numbers(numbers)) => {
                // The shortest month's last day is the 28th, its last week begins on the 22nd.
                let first = if *tail == Self::LastDay { 28 } else { 22 };
                if numbers.iter().any(|n| *n >= first) {
                    return Err("`L` together with numbered days has no form in systemd's calendar".into());
                }
                None
            }
        })
    }

    /// Whether one of the months can have such a day.
    fn is_in(&self, months: &[u32]) -> bool {
        let longest = months.iter().filter_map(|m| LONGEST.get(*m as usize - 1)).max().copied().unwrap_or(0);
        match self {
            Self::Numbers(numbers) => numbers.iter().any(|n| *n <= longest),
            Self::Every | Self::LastDay | Self::LastWeek => longest > 0,
        }
    }
}
