//! Thresholds are fractions of a life: a certificate of 6 days is not red all its days, and one of 90 warns in time.

use super::{Authority, DAY, found, section};
use crate::nginx::Nginx;

const FIVE_MINUTES: i64 = 300;

/// Name of a case, seconds that are left, band, a part of the words.
type Case = (&'static str, i64, &'static str, &'static str);

fn cases(life: i64) -> [Case; 6] {
    [
        ("new", life - FIVE_MINUTES, "good", "100 % of its life left"),
        ("before-a-third", life / 3 + FIVE_MINUTES, "good", "33 % of its life left"),
        ("past-a-third", life / 3 - FIVE_MINUTES, "warning", "33 % of its life left"),
        ("before-a-sixth", life / 6 + FIVE_MINUTES, "warning", "17 % of its life left"),
        ("past-a-sixth", life / 6 - FIVE_MINUTES, "critical", "17 % of its life left"),
        ("over", -FIVE_MINUTES, "critical", "expired "),
    ]
}

#[test]
fn a_third_and_a_sixth_of_90_45_and_6_days_are_the_edges() {
    let authority = Authority::new("web");
    let mut served = Vec::new();
    for days in [90, 45, 6] {
        for (case, left, band, part) in cases(days * DAY) {
            let id = format!("d{days}-{case}");
            let issued = authority.issue(&format!("{id}.test"), (left - days * DAY, left));
            served.push((id.clone(), format!("{id}.test"), issued, left, band, part));
        }
    }
    let blocks: Vec<_> = served.iter().map(|(_, name, issued, ..)| (&**name, &*issued.chain, &*issued.key)).collect();
    let nginx = Nginx::start(&blocks);
    let sections: String = served.iter().map(|(id, name, ..)| section(&nginx, id, name)).collect();
    let found = found(&sections, &authority.root.pem());
    found.code(1);
    for (id, _, _, left, band, part) in &served {
        for subject in [format!("{id}, served"), format!("{id}, file")] {
            found.is(&subject, band, part);
            assert_eq!(found.all(&subject).len(), 1, "nothing else is wrong: {:?}", found.all(&subject));
            let value: serde_json::Value = serde_json::from_str(&found.field(&subject, "value")).unwrap();
            let (days, expected) = (value["value"].as_f64().unwrap(), *left as f64 / DAY as f64);
            assert!(value["unit"] == "days" && (days - expected).abs() < 0.002, "{subject}: {days}, not {expected}");
            let hint = found.field(&subject, "hint");
            assert_eq!(hint.contains("certbot renew; then reload"), *band != "good", "{subject}: {hint}");
        }
    }
    assert_eq!(found.subjects().len(), 2 * served.len());
}

#[test]
fn one_that_begins_tomorrow_is_critical_and_no_reason_to_renew() {
    let authority = Authority::new("web");
    let early = authority.issue("early.test", (DAY, 90 * DAY));
    let nginx = Nginx::start(&[("early.test", &early.chain, &early.key)]);
    let found = found(&section(&nginx, "early", "early.test"), &authority.root.pem());
    found.code(1).is("early, served", "critical", "is not valid before ").is(
        "early, file",
        "critical",
        "is not valid before ",
    );
    assert_eq!(found.all("early, served").len(), 1, "it is said once: {found:?}");
    let hint = found.field("early, served", "hint");
    assert!(hint.contains("timedatectl") && !hint.contains("renew"), "{hint}");
}

#[test]
fn an_issuer_counts_where_it_ends_first_and_not_otherwise() {
    // Five per cent of the issuer's own life are left: it outlives the certificate, and that is enough.
    let long = Authority::with_issuer("long", (-1800 * DAY, 100 * DAY));
    // This one ends before the certificate; this one is over.
    let short = Authority::with_issuer("short", (-1800 * DAY, 20 * DAY));
    let over = Authority::with_issuer("over", (-1800 * DAY, -DAY));
    let [a, b, c] = [long.good("long.test"), short.good("short.test"), over.good("over.test")];
    let nginx = Nginx::start(&[
        ("long.test", &a.chain, &a.key),
        ("short.test", &b.chain, &b.key),
        ("over.test", &c.chain, &c.key),
    ]);
    let sections: String = ["long", "short", "over"].map(|id| section(&nginx, id, &format!("{id}.test"))).concat();
    let roots = [long, short, over].map(|authority| authority.root.pem()).concat();
    let found = found(&sections, &roots);
    found.code(1).is("long, served", "good", "67 % of its life left");
    let told = |id: &str| found.all(&format!("{id}, served"));
    assert_eq!(told("long").len(), 1, "{found:?}");
    assert!(told("short")[1].starts_with("CN=short middle in its chain ends "), "{found:?}");
    assert!(told("over")[1].starts_with("CN=over middle in its chain expired "), "{found:?}");
    assert_eq!((told("short").len(), told("over").len()), (2, 2), "{found:?}");
}
