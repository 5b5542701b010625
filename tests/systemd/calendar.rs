//! Our slots are systemd's.

use std::path::Path;

use chrono::{DateTime, Duration, NaiveDate, Utc};
use maint::model::schedule::{Dst, Schedule};
use rand::{SeedableRng, rngs::StdRng};

use super::oracle::{ZONES, agree, fires, random_cases};

#[test]
fn random_schedules_fire_at_our_slots() {
    for (number, zone) in ZONES.into_iter().enumerate() {
        // The large number is in scripts/soak.
        random_cases(&mut StdRng::seed_from_u64(20_260_000 + number as u64), zone, 60);
    }
}

#[test]
fn shipped_schedules_fire_at_our_slots_in_two_zones() {
    let shipped = maint::config::load(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("maint.toml"))).unwrap();
    let expressions: Vec<_> =
        shipped.jobs.values().filter_map(|job| Some(job.schedule.as_ref()?.to_string())).collect();
    assert!(!expressions.is_empty());
    for expression in &expressions {
        for zone in [chrono_tz::Europe::Berlin, chrono_tz::America::New_York] {
            let (from, until) = (at("2026-01-01T00:00:00Z"), at("2031-01-01T00:00:00Z"));
            let schedule = Schedule::parse(expression, zone, Dst::RunAfterGap).unwrap();
            let count = schedule.slots_after(from).take_while(|slot| slot.at < until).count();
            agree(expression, zone, Dst::RunAfterGap, from, count.min(4000));
        }
    }
}

#[test]
fn what_the_clocks_do_is_the_same_in_both() {
    for expression in ["30 2 * * *", "*/30 * * * *", "15,45 1-3 * * *", "0 2 * * SUN", "0 */2 * * *", "59 23 L * *"] {
        for zone in ZONES {
            for dst in [Dst::RunAfterGap, Dst::Skip] {
                for base in
                    ["2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z", "2026-11-01T03:00:00Z", "2027-10-02T10:00:00Z"]
                {
                    agree(expression, zone, dst, at(base), 60);
                }
            }
        }
    }
}

/// docs/scheduling.md declares it: whoever starts the timer in the second pass has it fire in it.
#[test]
fn a_timer_started_in_a_second_pass_counts_from_there() {
    let in_second_pass = at("2026-10-25T01:10:00Z");
    let schedule = Schedule::parse("30 2 * * *", chrono_tz::Europe::Berlin, Dst::RunAfterGap).unwrap();
    let theirs = fires(&["*-*-* 02:30:00 Europe/Berlin".to_owned()], in_second_pass, 2);
    assert_eq!(theirs, [at("2026-10-25T01:30:00Z"), at("2026-10-26T01:30:00Z")]);
    assert_eq!(schedule.next_after(in_second_pass), Some(at("2026-10-26T01:30:00Z")));
}

#[test]
fn three_years_have_one_daily_run_per_local_day() {
    let (from, until) = (at("2026-01-01T00:00:00Z"), at("2029-01-01T00:00:00Z"));
    for zone in ZONES {
        for half_hour in 0..48 {
            let expression = format!("{} {} * * *", half_hour % 2 * 30, half_hour / 2);
            let schedule = Schedule::parse(&expression, zone, Dst::RunAfterGap).unwrap();
            let slots =
                schedule.slots_after(from - Duration::days(1)).take_while(|slot| slot.at < until + Duration::days(1));
            let days: Vec<NaiveDate> = slots.map(|slot| slot.at.with_timezone(&zone).date_naive()).collect();
            assert!(days.windows(2).all(|pair| pair[0].succ_opt() == Some(pair[1])), "{expression} in {zone}");
            assert!(days.len() > 3 * 365);
        }
    }
}

#[test]
fn an_hourly_job_runs_once_for_every_hour_that_the_wall_shows() {
    let schedule = Schedule::parse("0 * * * *", chrono_tz::Europe::Berlin, Dst::RunAfterGap).unwrap();
    for (midnight, next, expected) in [
        ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23),
        ("2026-06-09T22:00:00Z", "2026-06-10T22:00:00Z", 24),
        ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 24),
    ] {
        let from = at(midnight) - Duration::seconds(1);
        assert_eq!(schedule.slots_after(from).take_while(|slot| slot.at < at(next)).count(), expected, "{midnight}");
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}
