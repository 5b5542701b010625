use std::time::Duration;

use super::*;
use crate::model::{due::CatchUp, severity::Severity};

fn job(name: &str, locks: &[&str], overlap: Overlap) -> Job {
    Job {
        name: name.parse().unwrap(),
        description: String::new(),
        runbook: None,
        schedule: None,
        timezone: chrono_tz::UTC,
        timeout: Duration::from_secs(60),
        overlap,
        locks: locks.iter().map(|lock| (*lock).to_owned()).collect(),
        lock_wait: Duration::from_secs(60),
        backup: None,
        mode: crate::config::Mode::Sequence,
        severity: Severity::default(),
        catch_up: CatchUp::Once,
        jitter: Duration::ZERO,
        across_hosts: None,
        steps: Vec::new(),
    }
}

fn slot(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::Duration::minutes(minute)
}

fn now() -> Instant {
    crate::adapters::clock::monotonic()
}

/// The names of those whose turn it is, one after the other.
fn turns(board: &mut Board, most: usize, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| board.next(most, now)).map(|start| start.job.name.to_string()).collect()
}

#[test]
fn slots_come_in_their_order_within_the_limit() {
    let (mut board, now) = (Board::default(), now());
    for (name, minute) in [("c", 1), ("a", 2), ("b", 1)] {
        assert_eq!(board.offer(&job(name, &[], Overlap::Skip), slot(minute), now), Offered::Waits);
    }
    assert_eq!(turns(&mut board, 2, now), ["b", "c"]);
    assert_eq!(turns(&mut board, 2, now), [""; 0]);
    board.ended(&"c".parse().unwrap(), slot(1));
    assert_eq!(turns(&mut board, 2, now), ["a"]);
}

#[test]
fn a_lock_goes_to_whoever_was_due_first_and_keeps_no_other_back() {
    let (mut board, now) = (Board::default(), now());
    board.offer(&job("first", &["x"], Overlap::Skip), slot(1), now);
    assert_eq!(turns(&mut board, 9, now), ["first"]);
    board.offer(&job("third", &["y"], Overlap::Skip), slot(3), now);
    board.offer(&job("second", &["x", "y"], Overlap::Skip), slot(2), now);
    board.offer(&job("free", &["z"], Overlap::Skip), slot(4), now);
    // `y` is free, and yet not for the third: the second waits for it too, and was due before.
    assert_eq!(turns(&mut board, 9, now), ["free"]);
    board.ended(&"first".parse().unwrap(), slot(1));
    assert_eq!(turns(&mut board, 9, now), ["second"]);
    board.ended(&"second".parse().unwrap(), slot(2));
    assert_eq!(turns(&mut board, 9, now), ["third"]);
}

#[test]
fn who_waited_as_long_as_it_may_is_started_to_fail_by_itself() {
    let (mut board, begun) = (Board::default(), now());
    board.offer(&job("holds", &["x"], Overlap::Skip), slot(1), begun);
    assert_eq!(turns(&mut board, 9, begun), ["holds"]);
    board.offer(&job("waits", &["x"], Overlap::Skip), slot(2), begun);
    assert!(board.next(9, begun + Duration::from_secs(59)).is_none());
    let start = board.next(9, begun + Duration::from_secs(60)).unwrap();
    assert_eq!((start.job.name.as_str(), start.job.lock_wait), ("waits", Duration::ZERO));
}

#[test]
fn what_comes_while_a_job_runs_is_skipped_or_waits_the_newest_alone() {
    let (mut board, now) = (Board::default(), now());
    let (skips, queues) = (job("skips", &[], Overlap::Skip), job("queues", &[], Overlap::Queue));
    board.offer(&skips, slot(1), now);
    board.offer(&queues, slot(1), now);
    assert_eq!(board.offer(&skips, slot(1), now), Offered::Known);
    assert_eq!(turns(&mut board, 9, now).len(), 2);
    assert_eq!(board.offer(&skips, slot(1), now), Offered::Known);
    assert_eq!(board.offer(&skips, slot(2), now), Offered::Overlapped(slot(1)));
    assert_eq!(board.offer(&queues, slot(2), now), Offered::Waits);
    assert_eq!(board.offer(&queues, slot(3), now), Offered::Instead(slot(2)));
    assert!(board.next(9, now).is_none());
    board.ended(&queues.name, slot(1));
    assert_eq!(board.next(9, now).map(|start| start.slot), Some(slot(3)));
}
