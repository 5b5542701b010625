//! What the fuzz target `scanner_output` checks; tests/security.rs does the same with what scanners and certbot really say.

use chrono::{DateTime, TimeDelta, Utc};
use maint::{
    adapters::{
        certbot,
        scanner::{Kind, built, parse},
    },
    model::{
        finding::Band,
        vulnerability::{Rating, Rules, database, judge},
    },
    steps::checks::cert_renew,
};

/// Has bytes judged as the answer of every scanner, and as certbot's.
///
/// # Panics
/// When an answer that was not understood, or one with a critical vulnerability, or a trial that failed, is good.
pub fn nothing_is_good_by_mistake(answer: &[u8]) {
    let now: DateTime<Utc> = "2027-01-01T00:00:00Z".parse().expect("a time");
    let text = String::from_utf8_lossy(answer);
    for kind in [Kind::Trivy, Kind::Grype, Kind::Scout] {
        if let Ok(scan) = parse(kind, answer) {
            let rules = Rules { at_least: Rating::High, ignored: &[], before: None, today: now.date_naive() };
            let worst = judge("fuzzed", &scan, &rules).into_iter().map(|finding| finding.band).max();
            let due = scan.found.iter().any(|v| v.rating == Rating::Critical && v.fixed.is_some());
            match (scan.understood, due) {
                (false, _) => assert_eq!(worst, Some(Band::Unknown), "{scan:?}"),
                (true, true) => assert_eq!(worst, Some(Band::Critical), "{scan:?}"),
                (true, false) => assert!(worst.is_some(), "{scan:?}"),
            }
        }
        if let Ok(built) = built(kind, &text) {
            let fresh = database(built, now, TimeDelta::days(7)).band.is_fine();
            assert!(!fresh || built.is_some_and(|at| (now - at).abs() <= TimeDelta::days(7)), "{built:?}");
        }
    }
    let went_well = certbot::judge(&text, None);
    assert!(!cert_renew::findings(&went_well).is_empty(), "nothing is said of it");
    let failed = cert_renew::findings(&certbot::judge(&text, Some(&text)));
    assert!(failed.iter().any(|finding| !finding.band.is_fine()), "it failed: {text}");
}
