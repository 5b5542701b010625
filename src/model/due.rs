//! Which of a job's slots is due now, which passed without a run, and why. Pure: the caller brings clock and ledger.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{ids::JobName, schedule::Schedule, units::Elapsed};

/// A start that is not later than this (and the job's jitter) is on time: a timer may be busy, a host slow.
pub const ON_TIME: Duration = Duration::from_secs(300);
/// A slot whose attempts were interrupted so often is given up: it may be what kills maint.
pub const MOST_ATTEMPTS: u32 = 3;
/// More slots than this are not recorded one by one: a job of every minute has half a million a year.
const MOST_SLOTS: usize = 1000;

/// What becomes of slots that passed without a run: the host was down, or maint was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// Nothing; they are recorded as missed.
    None,
    /// The newest of them runs as soon as it can; the others are recorded as missed.
    #[default]
    Once,
    /// As `Once`, where the newest is not older than this.
    Within(Duration),
}

/// What the ledger has about a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotRecord {
    /// A run that ended by itself, well or badly: a failure is not tried again without somebody's word.
    Settled,
    /// A run that is at work.
    Running,
    /// So many runs, each interrupted.
    Interrupted(u32),
    /// It is recorded as missed.
    Missed,
}

/// Why a slot has no run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The host was down, and the job catches nothing up.
    HostDown,
    /// Neither timer nor daemon was at work, and the job catches nothing up.
    NobodyOnDuty,
    /// A newer slot stands for it.
    CaughtUp,
    /// It is older than the job's `catch_up`.
    TooOld,
    /// An earlier run of the job was still at work.
    Overlapped,
    /// A named lock was not free in time.
    Locked,
    /// Its runs were interrupted, and it is not tried again.
    Interrupted,
    /// It could not begin.
    NotBegun,
    /// The job's schedule was changed before it ran.
    Rescheduled,
    /// Another host did it, or is at work for it: nothing is owed.
    Elsewhere,
}

impl Why {
    /// Words of slots of which somebody has to hear for themselves: nobody does them any more, nobody said beforehand that it
    /// may be so, and no run told of it.
    pub const TOLD: [&str; 4] =
        [Self::HostDown.word(), Self::NobodyOnDuty.word(), Self::TooOld.word(), Self::Interrupted.word()];

    /// The word, as the ledger and tables have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::HostDown => "host_down",
            Self::NobodyOnDuty => "nobody_on_duty",
            Self::CaughtUp => "caught_up",
            Self::TooOld => "too_old",
            Self::Overlapped => "overlapped",
            Self::Locked => "locked",
            Self::Interrupted => "interrupted",
            Self::NotBegun => "not_begun",
            Self::Rescheduled => "rescheduled",
            Self::Elsewhere => "elsewhere",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A slot without a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// The slot.
    pub slot: DateTime<Utc>,
    /// Why.
    pub why: Why,
    /// The same in a sentence.
    pub detail: String,
}

/// What a job owes.
#[derive(Debug, Clone)]
pub struct Duty<'a> {
    /// When its slots are.
    pub schedule: &'a Schedule,
    /// What becomes of those that passed.
    pub catch_up: CatchUp,
    /// How late a start is still on time.
    pub on_time: Duration,
    /// Up to here every slot is accounted for; a new job owes nothing of its past.
    pub settled: DateTime<Utc>,
    /// When the host was switched on, where that is known.
    pub booted: Option<DateTime<Utc>>,
}

/// What is to be done about a job's slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The slot to run.
    pub run: Option<DateTime<Utc>>,
    /// The slots to be recorded as missed.
    pub missed: Vec<Missed>,
    /// Up to here every slot is accounted for, once `missed` is recorded.
    pub settled: DateTime<Utc>,
    /// Whether a run is at work for one of them: whether that ends well must be looked at later.
    pub open: bool,
}

impl Duty<'_> {
    /// What is due at `now`, by what the ledger has about the slots since `settled`.
    pub fn at(&self, now: DateTime<Utc>, records: &BTreeMap<DateTime<Utc>, SlotRecord>) -> Due {
        let (slots, uncounted) = self.slots(now);
        let Some(&newest) = slots.back() else {
            return Due { run: None, missed: Vec::new(), settled: self.settled, open: false };
        };
        let mut due = Due { run: None, missed: Vec::new(), settled: newest, open: false };
        due.missed.extend(uncounted.map(|many| self.uncounted(&many, newest, now)));
        let mut oldest_open = None;
        for slot in slots {
            let attempts = match records.get(&slot) {
                Some(SlotRecord::Settled | SlotRecord::Missed) => continue,
                Some(SlotRecord::Running) => {
                    due.open = true;
                    oldest_open.get_or_insert(slot);
                    continue;
                }
                Some(SlotRecord::Interrupted(attempts)) => *attempts,
                None => 0,
            };
            match self.missed(slot, newest, now, attempts) {
                Some(missed) => due.missed.push(missed),
                None => {
                    due.run = Some(slot);
                    oldest_open.get_or_insert(slot);
                }
            }
        }
        if let Some(open) = oldest_open {
            due.settled = open - chrono::Duration::seconds(1);
        }
        due
    }

    /// The newest slots until `now`, and what is before them, where there are too many.
    fn slots(&self, now: DateTime<Utc>) -> (VecDeque<DateTime<Utc>>, Option<Uncounted>) {
        let (mut slots, mut uncounted) = (VecDeque::new(), None::<Uncounted>);
        let mut last = self.settled;
        while let Some(slot) = self.schedule.next_after(last).filter(|slot| *slot <= now) {
            slots.push_back(slot);
            last = slot;
            if slots.len() > MOST_SLOTS
                && let Some(oldest) = slots.pop_front()
            {
                let many = uncounted.get_or_insert(Uncounted { first: oldest, last: oldest, count: 0 });
                many.last = oldest;
                many.count += 1;
            }
        }
        (slots, uncounted)
    }

    /// Why a slot without a settled run is not to be run now; `None`: it is.
    fn missed(&self, slot: DateTime<Utc>, newest: DateTime<Utc>, now: DateTime<Utc>, attempts: u32) -> Option<Missed> {
        let late = (now - slot).to_std().unwrap_or_default();
        let down = self.booted.is_some_and(|booted| slot < booted);
        let cause = match attempts {
            0 if down => "the host was down".to_owned(),
            0 => "nothing started it in time".to_owned(),
            1 => "its run was interrupted".to_owned(),
            n => format!("its {n} runs were interrupted"),
        };
        let (why, verdict) = match self.catch_up {
            _ if attempts >= MOST_ATTEMPTS => (Why::Interrupted, "it is not tried again".to_owned()),
            CatchUp::None if slot == newest && late <= self.on_time => return None,
            CatchUp::None => {
                let why = match attempts {
                    0 if down => Why::HostDown,
                    0 => Why::NobodyOnDuty,
                    _ => Why::Interrupted,
                };
                (why, "the job catches nothing up".to_owned())
            }
            CatchUp::Within(limit) if late > limit.max(self.on_time) => {
                (Why::TooOld, format!("the job catches up within {}", Elapsed(limit)))
            }
            CatchUp::Once | CatchUp::Within(_) if slot == newest => return None,
            CatchUp::Once | CatchUp::Within(_) => {
                (Why::CaughtUp, format!("the slot {} stands for it", instant(newest)))
            }
        };
        Some(Missed { slot, why, detail: format!("{cause}; {verdict}") })
    }

    fn uncounted(&self, many: &Uncounted, newest: DateTime<Utc>, now: DateTime<Utc>) -> Missed {
        let of_last = self.missed(many.last, newest, now, 0);
        let (why, detail) = of_last.map_or((Why::CaughtUp, String::new()), |missed| (missed.why, missed.detail));
        let detail = format!("this and {} more until {}: {detail}", many.count - 1, instant(many.last));
        Missed { slot: many.first, why, detail }
    }
}

/// Slots that are recorded in one line.
#[derive(Debug)]
struct Uncounted {
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    count: u64,
}

/// A slot in a sentence, as `--slot` takes it.
pub fn instant(slot: DateTime<Utc>) -> String {
    slot.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How much later than its slots a job starts on a host: up to `jitter`, always the same, so that hosts do not all begin at
/// once and nobody is surprised.
pub fn offset(host: &str, job: &JobName, jitter: Duration) -> Duration {
    let hash = xxhash_rust::xxh3::xxh3_64(format!("{host}\0{job}").as_bytes());
    Duration::from_secs(hash % (jitter.as_secs() + 1))
}

#[cfg(test)]
mod tests {
    use super::{super::schedule::Dst, *};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn hours(n: u64) -> Duration {
        Duration::from_secs(n * 3600)
    }

    fn schedule(expression: &str) -> Schedule {
        Schedule::parse(expression, chrono_tz::UTC, Dst::RunAfterGap).unwrap()
    }

    fn duty(schedule: &Schedule, catch_up: CatchUp, settled: &str) -> Duty<'static> {
        let schedule = Box::leak(Box::new(schedule.clone()));
        Duty { schedule, catch_up, on_time: ON_TIME, settled: at(settled), booted: None }
    }

    /// `+` for the slot that runs, and every missed one with its reason.
    fn told(due: &Due) -> Vec<String> {
        let missed = due.missed.iter().map(|m| format!("{} {}", m.slot.format("%m-%d"), m.why));
        missed.chain(due.run.map(|slot| format!("{} +", slot.format("%m-%d")))).collect()
    }

    #[test]
    fn three_days_of_downtime_under_every_rule() {
        // Down from Friday noon to Monday noon, over the first of a month that is a Sunday.
        let rules = [
            CatchUp::None,
            CatchUp::Once,
            CatchUp::Within(hours(6)),
            CatchUp::Within(hours(24)),
            CatchUp::Within(hours(48)),
        ];
        let daily: [&[&str]; 5] = [
            &["10-31 host_down", "11-01 host_down", "11-02 host_down"],
            &["10-31 caught_up", "11-01 caught_up", "11-02 +"],
            &["10-31 too_old", "11-01 too_old", "11-02 too_old"],
            &["10-31 too_old", "11-01 too_old", "11-02 +"],
            &["10-31 too_old", "11-01 caught_up", "11-02 +"],
        ];
        let once_in_the_time: [&[&str]; 5] =
            [&["11-01 host_down"], &["11-01 +"], &["11-01 too_old"], &["11-01 too_old"], &["11-01 +"]];
        let (settled, now) = ("2026-10-30T12:00:00Z", at("2026-11-02T12:00:00Z"));
        for (expression, expected) in
            [("0 1 * * *", daily), ("0 1 * * SUN", once_in_the_time), ("0 1 1 * *", once_in_the_time)]
        {
            for (rule, expected) in rules.into_iter().zip(expected) {
                let duty = Duty { booted: Some(now), ..duty(&schedule(expression), rule, settled) };
                let due = duty.at(now, &BTreeMap::new());
                assert_eq!(told(&due), expected, "{expression} {rule:?}");
                // What was recorded is not found again, and what runs stays open until it is done.
                let records = due.missed.iter().map(|m| (m.slot, SlotRecord::Missed));
                let mut records: BTreeMap<_, _> = records.collect();
                assert_eq!(duty.at(now, &records).missed, vec![]);
                records.extend(due.run.map(|slot| (slot, SlotRecord::Settled)));
                let after = Duty { settled: due.settled, ..duty }.at(now, &records);
                assert_eq!((told(&after), after.run), (vec![], None), "{expression} {rule:?}");
            }
        }
    }

    #[test]
    fn what_was_interrupted_is_tried_again_but_not_for_ever() {
        let (once, slot) =
            (duty(&schedule("0 1 * * *"), CatchUp::Once, "2026-11-01T02:00:00Z"), at("2026-11-02T01:00:00Z"));
        let after = |duty: &Duty<'_>, now: &str, record| told(&duty.at(at(now), &BTreeMap::from([(slot, record)])));
        let noon = "2026-11-02T12:00:00Z";
        assert_eq!(after(&once, noon, SlotRecord::Interrupted(1)), ["11-02 +"]);
        assert_eq!(after(&once, noon, SlotRecord::Interrupted(MOST_ATTEMPTS)), ["11-02 interrupted"]);
        assert_eq!(after(&once, "2026-11-03T12:00:00Z", SlotRecord::Interrupted(1)), ["11-02 caught_up", "11-03 +"]);
        let none = Duty { catch_up: CatchUp::None, ..once.clone() };
        assert_eq!(after(&none, noon, SlotRecord::Interrupted(1)), ["11-02 interrupted"]);
        assert_eq!(after(&none, "2026-11-02T01:02:00Z", SlotRecord::Interrupted(1)), ["11-02 +"]);
        assert_eq!(after(&once, noon, SlotRecord::Settled), [""; 0]);
    }

    #[test]
    fn a_run_at_work_keeps_its_slot_open() {
        let duty = duty(&schedule("0 * * * *"), CatchUp::Once, "2026-11-01T00:30:00Z");
        let slot = at("2026-11-01T01:00:00Z");
        let due = duty.at(at("2026-11-01T02:10:00Z"), &BTreeMap::from([(slot, SlotRecord::Running)]));
        assert_eq!((due.run, due.open), (Some(at("2026-11-01T02:00:00Z")), true));
        assert_eq!(due.settled, at("2026-11-01T00:59:59Z"));
    }

    #[test]
    fn a_year_of_minutes_is_one_line_and_the_newest() {
        let duty = duty(&schedule("* * * * *"), CatchUp::Once, "2025-11-01T00:00:00Z");
        let due = duty.at(at("2026-11-01T00:00:30Z"), &BTreeMap::new());
        assert_eq!(due.run, Some(at("2026-11-01T00:00:00Z")));
        assert_eq!(due.missed.len(), MOST_SLOTS);
        let first = &due.missed[0];
        assert!(first.detail.starts_with("this and 524599 more until 2026-10-31T07:20:00Z"), "{}", first.detail);
    }

    #[test]
    fn jitter_is_stable_and_differs_between_hosts() {
        let job: JobName = "daily".parse().unwrap();
        let of = |host: &str| offset(host, &job, hours(1));
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert!((0..1000).all(|i| of(&i.to_string()) <= hours(1)));
        assert_eq!(offset("a", &job, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn one_daily_run_per_local_day() {
        for zone in [chrono_tz::Europe::Berlin, chrono_tz::America::New_York, chrono_tz::Australia::Lord_Howe] {
            let schedule = Schedule::parse("30 2 * * *", zone, Dst::RunAfterGap).unwrap();
            let mut duty = duty(&schedule, CatchUp::None, "2026-01-01T00:00:00Z");
            let (mut now, end) = (duty.settled, at("2029-01-01T00:00:00Z"));
            let mut days = BTreeMap::new();
            while now < end {
                now += chrono::Duration::minutes(30);
                let due = duty.at(now, &BTreeMap::new());
                assert_eq!(due.missed, vec![], "{zone} {now}");
                if let Some(slot) = due.run {
                    *days.entry(slot.with_timezone(&zone).date_naive()).or_insert(0) += 1;
                    duty.settled = slot;
                }
            }
            assert!(days.values().all(|runs| *runs == 1) && days.len() >= 1095, "{zone} {}", days.len());
        }
    }
}
