//! The plan's promises, for any sets and any policy.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use maint::model::{
    failure::{Class, Diagnose},
    period::PeriodKind,
    retention::{Candidate, Decision, Keep, Reason, Standing, plan},
};
use proptest::prelude::*;

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn set(name: &str, at: DateTime<Utc>) -> Candidate {
    let standing = Standing::Counts { at, sealed: at + TimeDelta::minutes(10) };
    Candidate { set: name.to_owned(), standing, pinned: None, held: None }
}

pub fn kept(decisions: &[Decision]) -> BTreeSet<&str> {
    decisions.iter().filter(|d| d.keep).map(|d| d.set.as_str()).collect()
}

/// The bucket of a set, by its name and time.
type Bucket = Box<dyn Fn(&str, DateTime<Utc>) -> String>;

/// Rules that count buckets: how many of which, and the bucket of a time. Written anew, not taken from the plan.
pub fn rules(keep: &Keep, zone: Tz) -> [(u32, Bucket); 5] {
    let label = move |kind: PeriodKind| move |_: &str, at: DateTime<Utc>| kind.label(at, zone);
    [
        (keep.last, Box::new(|name: &str, _| name.to_owned())),
        (keep.daily, Box::new(label(PeriodKind::Day))),
        (keep.weekly, Box::new(label(PeriodKind::Week))),
        (keep.monthly, Box::new(label(PeriodKind::Month))),
        (keep.yearly, Box::new(move |_, at| at.with_timezone(&zone).year().to_string())),
    ]
}

fn time(candidate: &Candidate) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    match candidate.standing {
        Standing::Counts { at, sealed } => Some((at, sealed)),
        Standing::CountsNot(_) => None,
    }
}

fn zones() -> impl Strategy<Value = Tz> {
    use chrono_tz::{America::St_Johns, Australia::Lord_Howe, Europe::Berlin, Pacific::Apia};
    prop_oneof![Just(Berlin), Just(St_Johns), Just(Lord_Howe), Just(Apia)]
}

pub fn policies() -> impl Strategy<Value = Keep> {
    let within = prop_oneof![Just(None), (1_u64..400).prop_map(|d| Some(Duration::from_secs(d * 86_400)))];
    (0_u32..5, 0_u32..9, 0_u32..6, 0_u32..14, 0_u32..4, within).prop_map(
        |(last, daily, weekly, monthly, yearly, within)| Keep { last, daily, weekly, monthly, yearly, within },
    )
}

prop_compose! {
    /// Sets around the end of a year and St. John's change of clocks at one past midnight; some in one minute, some made
    /// for a slot of the past, some that do not count, some pinned.
    fn candidates()(sets in prop::collection::vec(
        (0_i64..1_100_000, prop_oneof![9 => Just(0_i64), 1 => -90_000_i64..0], 0_u8..12), 0..60,
    )) -> Vec<Candidate> {
        let begin = at("2008-10-20T00:00:00Z");
        let one = |(number, (minute, late, odd)): (usize, (i64, i64, u8))| {
            let made = begin + TimeDelta::minutes(minute);
            let mut set = set(&format!("s{number:03}"), made + TimeDelta::minutes(late));
            set.standing = match odd {
                0 => Standing::CountsNot("checksum".into()),
                _ => Standing::Counts { at: made + TimeDelta::minutes(late), sealed: made },
            };
            set.pinned = (odd == 1).then(|| "audit".to_owned());
            set.held = (odd == 2).then(|| "no copy yet".to_owned());
            set
        };
        sets.into_iter().enumerate().map(one).collect()
    }
}

const NOW: &str = "2026-11-25T00:00:00Z";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn never_fewer_than_promised_and_no_more_than_needed(keep in policies(), zone in zones(), sets in candidates()) {
        let plan = plan(&keep, zone, at(NOW), &sets).unwrap();
        prop_assert_eq!(plan.len(), sets.len());
        let kept = kept(&plan);
        let counted: Vec<_> = sets.iter().filter_map(|s| time(s).map(|t| (t, s))).collect();
        let mut wanted: BTreeSet<&str> = sets.iter().filter(|s| time(s).is_none() || s.pinned.is_some() || s.held.is_some())
            .map(|s| s.set.as_str()).collect();
        for (n, bucket) in rules(&keep, zone) {
            let mut newest: BTreeMap<String, (DateTime<Utc>, DateTime<Utc>, &str)> = BTreeMap::new();
            for ((at, sealed), set) in &counted {
                let this = (*at, *sealed, set.set.as_str());
                newest.entry(bucket(&set.set, *at)).and_modify(|n| *n = this.max(*n)).or_insert(this);
            }
            let mut newest: Vec<_> = newest.into_values().collect();
            newest.sort();
            wanted.extend(newest.iter().rev().take(n as usize).map(|(_, _, name)| *name));
        }
        if let Some(((newest, ..), last)) = counted.iter().max_by_key(|((at, sealed), s)| (*at, *sealed, &s.set)) {
            wanted.insert(&last.set);
            let within = keep.within.map(|w| TimeDelta::from_std(w).unwrap());
            wanted.extend(counted.iter().filter(|((at, _), _)| within.is_some_and(|w| *at >= *newest - w)).map(|(_, s)| s.set.as_str()));
            // The one that was made last stays too; of equals any one.
            let sealed = counted.iter().map(|((_, sealed), _)| *sealed).max().unwrap();
            let made_last: BTreeSet<&str> = counted.iter().filter(|((_, s), _)| *s == sealed).map(|(_, s)| s.set.as_str()).collect();
            prop_assert!(kept.iter().any(|k| made_last.contains(k)));
            prop_assert!(kept.difference(&wanted).all(|k| made_last.contains(k)), "{:?} beyond {:?}", kept, wanted);
        }
        prop_assert!(wanted.is_subset(&kept), "{:?} of {:?}", kept, wanted);
        for decision in &plan {
            prop_assert!(!decision.keep || !decision.reasons.is_empty());
        }
    }

    #[test]
    fn a_second_pruning_finds_nothing(keep in policies(), zone in zones(), sets in candidates()) {
        let first = plan(&keep, zone, at(NOW), &sets).unwrap();
        let left: Vec<_> = sets.into_iter().filter(|s| kept(&first).contains(s.set.as_str())).collect();
        let second = plan(&keep, zone, at(NOW), &left).unwrap();
        prop_assert!(second.iter().all(|d| d.keep), "{second:?}");
    }

    #[test]
    fn a_larger_policy_keeps_all_that_a_smaller_one_keeps(
        keep in policies(), more in policies(), zone in zones(), sets in candidates()
    ) {
        let larger = Keep {
            last: keep.last + more.last,
            daily: keep.daily + more.daily,
            weekly: keep.weekly + more.weekly,
            monthly: keep.monthly + more.monthly,
            yearly: keep.yearly + more.yearly,
            within: keep.within.max(more.within),
        };
        let few = plan(&keep, zone, at(NOW), &sets).unwrap();
        let many = plan(&larger, zone, at(NOW), &sets).unwrap();
        prop_assert!(kept(&few).is_subset(&kept(&many)));
    }

    #[test]
    fn the_order_in_which_sets_are_found_does_not_matter(
        keep in policies(), zone in zones(), (sets, shuffled) in candidates().prop_flat_map(|s| (Just(s.clone()), Just(s).prop_shuffle()))
    ) {
        prop_assert_eq!(plan(&keep, zone, at(NOW), &sets), plan(&keep, zone, at(NOW), &shuffled));
    }

    #[test]
    fn a_clock_behind_any_counted_set_decides_nothing(keep in policies(), sets in candidates(), minute in 0_i64..1_100_000) {
        let now = at("2008-10-20T00:00:00Z") + TimeDelta::minutes(minute);
        let late = sets.iter().filter_map(time).any(|(_, sealed)| sealed > now);
        match plan(&keep, chrono_tz::UTC, now, &sets) {
            Ok(_) => prop_assert!(!late),
            Err(error) => prop_assert!(late && error.class() == Class::Unverifiable),
        }
    }
}

#[test]
fn every_decision_says_why() {
    let keep = Keep { last: 1, monthly: 2, within: Some(Duration::from_secs(86_400)), ..Keep::default() };
    let mut sets = vec![
        set("202611", at("2026-11-01T00:00:00Z")),
        set("202610-2", at("2026-10-20T00:00:00Z")),
        set("202610", at("2026-10-04T00:00:00Z")),
        set("202609", at("2026-09-06T00:00:00Z")),
        set("202608", at("2026-08-02T00:00:00Z")),
        set("202607", at("2026-07-05T00:00:00Z")),
    ];
    sets[4].pinned = Some("the auditor's".into());
    sets[5].standing = Standing::CountsNot("its manifest is missing".into());
    let lines: Vec<String> = plan(&keep, chrono_tz::UTC, at(NOW), &sets)
        .unwrap()
        .iter()
        .map(|d| format!("{} {} {}", if d.keep { "keep" } else { "prune" }, d.set, d.why()))
        .collect();
    assert_eq!(
        lines,
        [
            "keep 202611 the newest verified set; last 1 of 1; monthly 1 of 2 (202611); within 1day of the newest",
            "keep 202610-2 monthly 2 of 2 (202610)",
            "prune 202610 beyond last 1; monthly: 202610 has the newer 202610-2; not within 1day of the newest",
            "prune 202609 beyond last 1; beyond monthly 2; not within 1day of the newest",
            "keep 202608 pinned: the auditor's",
            "keep 202607 does not count: its manifest is missing",
        ]
    );
}

#[test]
fn the_newest_verified_set_stays_whatever_the_policy_says() {
    let sets = [set("old", at("2020-01-01T00:00:00Z")), set("new", at("2020-02-01T00:00:00Z"))];
    let plan = plan(&Keep::default(), chrono_tz::UTC, at(NOW), &sets).unwrap();
    assert_eq!(kept(&plan), BTreeSet::from(["new"]));
    assert_eq!(plan[0].reasons, [Reason::Newest]);
}

#[test]
fn buckets_are_the_zones_and_a_rerun_takes_the_place_of_its_predecessor() {
    // 31 July 22:30 UTC is August in Berlin; the set of 2 August takes its place there, but not in London.
    let sets = [set("a", at("2026-07-31T22:30:00Z")), set("b", at("2026-08-02T00:00:00Z"))];
    let keep = Keep { monthly: 12, ..Keep::default() };
    let in_zone = |zone| plan(&keep, zone, at(NOW), &sets).unwrap();
    assert_eq!(kept(&in_zone(chrono_tz::Europe::Berlin)), BTreeSet::from(["b"]));
    assert_eq!(kept(&in_zone(chrono_tz::UTC)), BTreeSet::from(["a", "b"]));
}

#[test]
fn a_run_for_a_slot_of_the_past_is_not_pruned_by_itself() {
    let mut late = set("202601", at("2026-01-04T00:00:00Z"));
    late.standing = Standing::Counts { at: at("2026-01-04T00:00:00Z"), sealed: at("2026-11-02T00:00:00Z") };
    let sets = [set("202611", at("2026-11-01T00:00:00Z")), late];
    let plan = plan(&Keep { last: 1, ..Keep::default() }, chrono_tz::UTC, at(NOW), &sets).unwrap();
    assert_eq!(kept(&plan).len(), 2);
}
