//! Ten years of a series, pruned after every run: leap days, changes of clocks, reruns, missed slots, two stores.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use maint::model::{
    retention::{Candidate, Keep, plan},
    schedule::{Dst, Schedule},
};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng},
};

use super::policy::{at, kept, policies, rules, set};

/// A place that keeps sets by a policy of its own, and what it was ever given.
struct Place {
    keep: Keep,
    sets: Vec<Candidate>,
    /// The newest set of every bucket of every rule, ever.
    seen: [BTreeMap<String, String>; 5],
    /// Buckets in the order in which they came.
    order: [Vec<String>; 5],
    pruned: usize,
}

impl Place {
    fn new(keep: Keep) -> Self {
        Self { keep, sets: Vec::new(), seen: Default::default(), order: Default::default(), pruned: 0 }
    }

    fn add(&mut self, zone: Tz, name: &str, at: DateTime<Utc>) {
        self.sets.push(set(name, at));
        for (rule, (_, bucket)) in rules(&self.keep, zone).iter().enumerate() {
            let label = bucket(name, at);
            if self.seen[rule].insert(label.clone(), name.to_owned()).is_none() {
                self.order[rule].push(label);
            }
        }
    }

    fn prune(&mut self, zone: Tz, now: DateTime<Utc>) {
        let decisions = plan(&self.keep, zone, now, &self.sets).unwrap();
        let kept = kept(&decisions);
        let before = self.sets.len();
        self.sets.retain(|s| kept.contains(s.set.as_str()));
        self.pruned += before - self.sets.len();
    }

    /// Of every rule, the newest set of each of the newest buckets that ever were is still there: pruning again and again
    /// comes to what pruning once would have come to.
    fn promise(&self, zone: Tz) -> Result<(), TestCaseError> {
        let there: BTreeSet<&str> = self.sets.iter().map(|s| s.set.as_str()).collect();
        let mut most = 2;
        for (rule, (n, _)) in rules(&self.keep, zone).iter().enumerate() {
            for label in self.order[rule].iter().rev().take(*n as usize) {
                let wanted = self.seen[rule][label].as_str();
                prop_assert!(there.contains(wanted), "{label} of rule {rule}: {wanted} is gone; {:?}", self.keep);
            }
            most += *n as usize;
        }
        if self.keep.within.is_none() {
            prop_assert!(there.len() <= most, "{} sets are kept by {:?}", there.len(), self.keep);
        }
        Ok(())
    }
}

/// The scheduled instants of ten years, with two leap days.
fn slots(expression: &str, zone: Tz) -> Vec<DateTime<Utc>> {
    let schedule = Schedule::parse(expression, zone, Dst::RunAfterGap).unwrap();
    let end = at("2029-01-10T00:00:00Z");
    let slots = std::iter::successors(schedule.next_after(at("2018-12-30T00:00:00Z")), |s| schedule.next_after(*s));
    let slots: Vec<_> = slots.take_while(|s| *s < end).collect();
    let leap = slots.iter().filter(|s| (s.with_timezone(&zone).month(), s.with_timezone(&zone).day()) == (2, 29));
    assert_eq!(leap.count(), 3, "{expression}");
    slots
}

fn live(zone: Tz, expression: &str, keeps: [Keep; 2], mut chance: TestRng) -> Result<(), TestCaseError> {
    let mut places = keeps.map(Place::new);
    let mut number = 0;
    for slot in slots(expression, zone) {
        // One in eight slots is missed, one in eight runs is repeated by hand, up to a few hours later.
        let runs = match chance.next_u32() % 8 {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        for run in 0..runs {
            let made = slot + TimeDelta::minutes(run * i64::from(chance.next_u32() % 300));
            let now = made + TimeDelta::hours(1);
            number += 1;
            for place in &mut places {
                place.add(zone, &format!("s{number:05}"), made);
                // A place that could not be reached is pruned the next time.
                if !chance.next_u32().is_multiple_of(10) {
                    place.prune(zone, now);
                }
                // A clock that was set back decides nothing.
                if chance.next_u32().is_multiple_of(10) {
                    let back = now - TimeDelta::days(400);
                    prop_assert!(plan(&place.keep, zone, back, &place.sets).is_err());
                }
            }
        }
    }
    for place in &mut places {
        place.promise(zone)?;
        place.prune(zone, at("2029-02-01T00:00:00Z"));
        place.promise(zone)?;
        let left = place.sets.clone();
        place.prune(zone, at("2029-02-01T00:00:00Z"));
        prop_assert_eq!(&left, &place.sets);
        prop_assert!(place.pruned > 1000, "{} were pruned", place.pruned);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]

    #[test]
    fn ten_years_in_berlin(a in policies(), b in policies(), seed in any::<[u8; 32]>()) {
        live(chrono_tz::Europe::Berlin, "30 2 * * *", [a, b], TestRng::from_seed(RngAlgorithm::ChaCha, &seed))?;
    }

    #[test]
    fn ten_years_on_lord_howe_where_clocks_change_by_half_an_hour(a in policies(), b in policies(), seed in any::<[u8; 32]>()) {
        live(chrono_tz::Australia::Lord_Howe, "45 1 * * *", [a, b], TestRng::from_seed(RngAlgorithm::ChaCha, &seed))?;
    }

    #[test]
    fn ten_years_in_havana_where_midnight_comes_twice(a in policies(), b in policies(), seed in any::<[u8; 32]>()) {
        live(chrono_tz::America::Havana, "30 0 * * *", [a, b], TestRng::from_seed(RngAlgorithm::ChaCha, &seed))?;
    }
}
