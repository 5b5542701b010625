//! A schedule's slots against the sets that stand for them: which slot has none.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{period::PeriodKind, schedule::Schedule};

/// More slots than this are not looked at, the oldest first: a job that runs every minute has half a million a year.
pub const MOST_SLOTS: usize = 5000;

/// A slot and what stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotLine {
    /// The instant.
    pub at: DateTime<Utc>,
    /// Its period's label.
    pub period: String,
    /// What stands for it.
    #[serde(flatten)]
    pub state: SlotState,
}

/// What stands for a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "set", rename_all = "snake_case")]
pub enum SlotState {
    /// A set.
    Set(String),
    /// A set that was removed on purpose; its tombstone tells.
    Pruned(String),
    /// Nothing yet; its run may still be going on.
    Due,
    /// Nothing.
    Missing,
}

/// A set, or the tombstone of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stands {
    /// Its name in the series.
    pub set: String,
    /// Its period's label.
    pub period: String,
    /// The slot that it stands for.
    pub slot: Option<DateTime<Utc>>,
    /// When its run started; `None`: its manifest cannot be read, and only its name says what it stands for.
    pub started: Option<DateTime<Utc>>,
    /// Whether only its tombstone is left.
    pub pruned: bool,
}

/// How a series' slots are computed.
#[derive(Debug, Clone)]
pub struct SlotRules<'a> {
    /// When they are.
    pub schedule: &'a Schedule,
    /// How long a period is.
    pub period: PeriodKind,
    /// The zone of periods.
    pub zone: Tz,
    /// How long a run may take: a slot that is not older is not missed yet.
    pub grace: Duration,
}

/// Every slot since `from`, and whether it was cut to the newest [`MOST_SLOTS`].
pub fn compare(
    rules: &SlotRules<'_>,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
    sets: &[Stands],
) -> (Vec<SlotLine>, bool) {
    let mut at = std::collections::VecDeque::new();
    let mut cut = false;
    // The first slot is the one at `from` itself.
    let mut last = from - Duration::seconds(1);
    while let Some(slot) = rules.schedule.next_after(last).filter(|slot| *slot <= now) {
        at.push_back(slot);
        if at.len() > MOST_SLOTS {
            at.pop_front();
            cut = true;
        }
        last = slot;
    }
    let next = rules.schedule.next_after(last);
    let label = |slot: DateTime<Utc>| rules.period.label(slot, rules.zone);
    let slots: Vec<_> = at.into_iter().collect();
    let lines = slots.iter().enumerate().map(|(i, slot)| {
        let until = slots.get(i + 1).copied().or(next);
        let period = label(*slot);
        // Where a period has but one slot, any set of the period stands for it: also one made by hand before the slot.
        let alone = until.is_none_or(|u| label(u) != period) && (i == 0 || label(slots[i - 1]) != period);
        let stands = |set: &&Stands| match set.slot {
            Some(own) if own == *slot => true,
            _ if alone && set.period == period => true,
            Some(_) => false,
            None => set.started.is_some_and(|at| at >= *slot && until.is_none_or(|u| at < u)),
        };
        let found = sets.iter().filter(stands).min_by_key(|s| s.pruned);
        let state = match found {
            Some(set) if set.pruned => SlotState::Pruned(set.set.clone()),
            Some(set) => SlotState::Set(set.set.clone()),
            None if *slot + rules.grace > now => SlotState::Due,
            None => SlotState::Missing,
        };
        SlotLine { at: *slot, period, state }
    });
    (lines.collect(), cut)
}

/// Missing slots, those one after the other together.
pub fn gaps(slots: &[SlotLine]) -> Vec<&[SlotLine]> {
    let missing = |line: &SlotLine| line.state == SlotState::Missing;
    slots.chunk_by(|a, b| missing(a) == missing(b)).filter(|run| run.first().is_some_and(missing)).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::schedule::Dst, *};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn set(period: &str, slot: Option<&str>, started: &str) -> Stands {
        Stands {
            set: period.to_owned(),
            period: period.to_owned(),
            slot: slot.map(at),
            started: Some(at(started)),
            pruned: false,
        }
    }

    fn states(expression: &str, period: PeriodKind, sets: &[Stands], now: &str) -> Vec<String> {
        let zone = chrono_tz::Europe::Berlin;
        let schedule = Schedule::parse(expression, zone, Dst::RunAfterGap).unwrap();
        let rules = SlotRules { schedule: &schedule, period, zone, grace: Duration::hours(4) };
        let (lines, _) = compare(&rules, sets[0].slot.or(sets[0].started).unwrap(), at(now), sets);
        lines.into_iter().map(|l| format!("{} {:?}", l.period, l.state)).collect()
    }

    #[test]
    fn a_missed_month_shows_and_one_made_by_hand_does_not() {
        let sets = [
            set("202605", Some("2026-05-02T23:00:00Z"), "2026-05-02T23:00:01Z"),
            set("202606", None, "2026-06-01T10:00:00Z"),
            Stands { pruned: true, ..set("202608", Some("2026-08-01T23:00:00Z"), "2026-08-01T23:00:01Z") },
        ];
        assert_eq!(
            states("0 1 * * SUN#1", PeriodKind::Month, &sets, "2026-09-06T00:00:00Z"),
            [
                "202605 Set(\"202605\")",
                "202606 Set(\"202606\")",
                "202607 Missing",
                "202608 Pruned(\"202608\")",
                "202609 Due"
            ]
        );
    }

    #[test]
    fn several_slots_of_a_period_each_need_their_own_set() {
        let sets = [
            set("202608", Some("2026-08-02T00:00:00Z"), "2026-08-02T00:00:01Z"),
            set("202608", None, "2026-08-12T09:00:00Z"),
        ];
        let found = states("0 2 * * SUN", PeriodKind::Month, &sets, "2026-08-23T12:00:00Z");
        assert_eq!(found, ["202608 Set(\"202608\")", "202608 Set(\"202608\")", "202608 Missing", "202608 Missing"]);
    }

    #[test]
    fn gaps_are_told_together() {
        let line = |state| SlotLine { at: at("2026-08-02T00:00:00Z"), period: "x".into(), state };
        let slots =
            [SlotState::Missing, SlotState::Set("a".into()), SlotState::Missing, SlotState::Missing, SlotState::Due]
                .map(line);
        assert_eq!(gaps(&slots).iter().map(|g| g.len()).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_schedule_of_every_minute_is_cut() {
        let zone = chrono_tz::UTC;
        let schedule = Schedule::parse("* * * * *", zone, Dst::Skip).unwrap();
        let rules = SlotRules { schedule: &schedule, period: PeriodKind::Instant, zone, grace: Duration::minutes(1) };
        let (lines, cut) = compare(&rules, at("2026-08-01T00:00:00Z"), at("2026-08-05T00:00:00Z"), &[]);
        assert_eq!((lines.len(), cut), (MOST_SLOTS, true));
        assert_eq!(lines[MOST_SLOTS - 1].state, SlotState::Due);
    }
}
