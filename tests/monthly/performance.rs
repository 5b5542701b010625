//! How the month was.

use serde_json::Value;

use super::history::{OF_DAY, Series, job, project, prometheus, report, shared};
use crate::project::names;

const METRICS: &str = "\
[metric.task_assignment]\nprometheus = \"main\"\nquery = \"assignment_ms\"\nunit = \"milliseconds\"\n\
bands = { excellent = \"<0.01\", good = \"<0.1\", warning = \"<1\", critical = \">10\" }\n\
[metric.message_throughput]\nprometheus = \"main\"\nquery = \"throughput\"\nseveral = \"sum\"\nunit = \"per_second\"\n\
bands = { excellent = \">30K\", good = \">10K\", critical = \"<5K\" }\n\
[metric.error_rate]\nprometheus = \"main\"\nquery = \"errors\"\nshare_of = \"requests\"\nunit = \"percent\"\n\
bands = { good = \"<0.1\", critical = \">2\" }\n";

const JOB: &str = "performance = { days = 30, available = 99.9 }";

#[track_caller]
fn measure<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["measures"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["name"] == name)
        .unwrap_or_else(|| panic!("{name}: {report:#}"))
}

#[test]
fn every_metric_of_the_month_is_told() {
    let server = shared();
    let project = project(&server.url(), METRICS);
    job(&project, "performance", JOB);
    let (report, page) = report(&project, "performance", 1);
    // One in ten samples is 20 ms: 95 % of the time is not.
    let slow = measure(&report, "task_assignment");
    assert_eq!(slow["finding"]["band"], "critical", "{slow:#}");
    assert_eq!(
        (&slow["summary"]["p50"], &slow["summary"]["p95"], &slow["summary"]["most"]),
        (&0.05.into(), &20.0.into(), &20.0.into())
    );
    assert!((slow["coverage"].as_f64().unwrap() - 1.0).abs() < 0.01);
    let share = slow["shares"].as_array().unwrap();
    assert!(
        (share[1][1].as_f64().unwrap() - 0.9).abs() < 0.01 && (share[3][1].as_f64().unwrap() - 0.1).abs() < 0.01,
        "{share:?}"
    );
    // Shards are added.
    let throughput = measure(&report, "message_throughput");
    assert_eq!(throughput["finding"]["band"], "good", "{throughput:#}");
    let median = throughput["summary"]["p50"].as_f64().unwrap();
    assert!((18_000.0..20_500.0).contains(&median), "{median}");
    assert_eq!((throughput["worst"].as_array().unwrap().len(), throughput["hours"].as_array().unwrap().len()), (5, 24));
    assert!((30..=32).contains(&throughput["days"].as_array().unwrap().len()));
    assert!(throughput["load"]["business_hours"].is_number() && throughput["load"]["weekend"].is_number());
    assert_eq!(measure(&report, "error_rate")["summary"]["most"], 0.01);
    // Two instances were down together for an hour: 12 of 8640 samples.
    let availability = measure(&report, "availability");
    assert_eq!(availability["finding"]["band"], "warning", "{availability:#}");
    let services = report["services"].as_array().unwrap();
    assert_eq!((&services[0]["name"], &services[1]["percent"]), (&"api".into(), &100.0.into()));
    let down = services[0]["minutes_down"].as_f64().unwrap();
    assert!((55.0..=70.0).contains(&down), "{down}");
    for part in [
        "to act upon now",
        "Task assignment",
        "<svg",
        "Worst hours",
        "Availability, service by service",
        "Beside quiet hours",
        "Business hours",
    ] {
        assert!(page.contains(part), "{part} is not in the page");
    }
    assert!(!page.contains("src=") && !page.contains("<script"), "nothing is loaded, nothing runs");
}

#[test]
fn a_second_report_of_a_period_overwrites_nothing() {
    let server = shared();
    let project = project(&server.url(), METRICS);
    job(&project, "performance", JOB);
    project.maint(&["run", "performance"]).code(1);
    let first = names(&project.at("reports/performance"));
    let before = std::fs::read(project.at("reports/performance").join(&first[0])).unwrap();
    project.maint(&["run", "performance"]).code(1);
    let both = names(&project.at("reports/performance"));
    assert_eq!(both.len(), 4, "{both:?}");
    assert!(both.iter().filter(|name| name.contains("-2.")).count() == 2, "{both:?}");
    assert_eq!(std::fs::read(project.at("reports/performance").join(&first[0])).unwrap(), before);
}

#[test]
fn what_is_not_known_is_never_a_pretty_page() {
    let metric = |query: &str| {
        format!(
            "[metric.odd]\nprometheus = \"main\"\nquery = \"{query}\"\nunit = \"count\"\nbands = {{ good = \"<10\", critical = \">100\" }}\n"
        )
    };
    let server = shared();
    for (query, why) in [("nothing_at_all", "no data"), ("lost", "only 25 %"), ("sum(", "refused")] {
        let project = project(&server.url(), &metric(query));
        job(&project, "performance", "performance = { days = 30, available = 99 }");
        let (report, page) = report(&project, "performance", 4);
        let odd = measure(&report, "odd");
        assert_eq!(odd["finding"]["band"], "unknown", "{odd:#}");
        assert!(odd["finding"]["seen"].as_str().unwrap().contains(why), "{why}: {odd:#}");
        assert!(page.contains("could not be judged"), "{query}");
    }
    // A server that has nothing, and none at all.
    let empty = prometheus(0, &[]);
    let project_of = |url: &str| {
        let project = project(url, &metric("up"));
        job(&project, "performance", JOB);
        project
    };
    let (silent, _) = report(&project_of(&empty.url()), "performance", 4);
    assert_eq!(measure(&silent, "availability")["finding"]["band"], "unknown");
    let (down, page) = report(&project_of("http://127.0.0.1:1"), "performance", 4);
    assert!(measure(&down, "odd")["finding"]["seen"].as_str().unwrap().contains("no answer"), "{down:#}");
    assert!(page.contains("2 things could not be judged") && !page.contains("<svg"), "{page}");
}

#[test]
fn a_month_is_told_beside_the_ones_before_it() {
    let now: chrono::DateTime<chrono::Utc> = std::time::SystemTime::now().into();
    let first = |earlier| {
        let date = now.with_timezone(&chrono_tz::Europe::Berlin).date_naive() - chrono::Months::new(earlier);
        chrono::Datelike::with_day(&date, 1).unwrap()
    };
    // Two whole months before this one, and a week of the one before those: no month to compare with.
    let days = (now.date_naive() - first(2)).num_days() + 8;
    let age_in_days = |n: i64| days as f64 - n as f64 / OF_DAY as f64;
    let middle = (now.date_naive() - first(1)).num_days() as f64 - 18.0;
    let server = prometheus(
        days,
        &[
            Series("grows", "", &|n| n as f64),
            Series("up", "job=\"api\",instance=\"a\"", &|n| if n % 50 == 0 { 0.0 } else { 1.0 }),
            // Nobody knows how it was before.
            Series("up", "job=\"late\",instance=\"a\"", &|n| if age_in_days(n) > middle { f64::NAN } else { 1.0 }),
        ],
    );
    let project =
        project(&server.url(), "[metric.grows]\nprometheus = \"main\"\nquery = \"grows\"\nunit = \"count\"\n");
    job(&project, "performance", "performance = { available = 90 }");
    let (report, page) = report(&project, "performance", 4);
    let months = |name: &str| {
        let trend = measure(&report, name)["trend"].as_array().unwrap();
        trend
            .iter()
            .map(|m| (m["period"].as_str().unwrap().to_owned(), m["middle"].as_f64().unwrap()))
            .collect::<Vec<_>>()
    };
    let label = |earlier| first(earlier).format("%Y%m").to_string();
    let grows = months("grows");
    assert_eq!(grows.iter().map(|m| m.0.clone()).collect::<Vec<_>>(), [label(2), label(1)]);
    assert!(grows[0].1 < grows[1].1 && page.contains("Month by month"), "{grows:?}");
    let available = months("availability");
    assert!(available.len() == 2 && available.iter().all(|m| (97.5..98.5).contains(&m.1)), "{available:?}");
    // The least available service is known; of another one it is not known whether it was there.
    let availability = measure(&report, "availability");
    assert_eq!(availability["finding"]["band"], "unknown", "{availability:#}");
    let seen = availability["finding"]["seen"].as_str().unwrap();
    assert!(seen.contains("% (api; ") && seen.contains("of late only"), "{seen}");
    assert_eq!(report["services"][1]["name"], "late");
    assert_eq!(report["verdict"], "unknown");
}

#[test]
fn the_calendar_month_before_is_what_is_reported_by_default() {
    let server = shared();
    let project = project(&server.url(), METRICS);
    job(&project, "performance", "performance = {}");
    let plan = project.maint(&["plan", "performance"]).code(0).stdout;
    assert!(plan.contains("the calendar month before") && plan.contains("task_assignment"), "{plan}");
    let _ = project.maint(&["run", "performance"]);
    let now: chrono::DateTime<chrono_tz::Tz> =
        chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).with_timezone(&chrono_tz::Europe::Berlin);
    let month = (now.date_naive() - chrono::Months::new(1)).format("%Y%m").to_string();
    assert!(names(&project.at("reports/performance")).contains(&format!("{month}.json")));
    for (step, part) in [
        ("performance = { days = 0 }", "expected 1 to 366"),
        ("performance = { available = 100.0 }", "below 100"),
        ("performance = { prometheus = \"other\" }", "there is no [prometheus.other]"),
        ("performance = { service = \"a)b\" }", "not a label's name"),
    ] {
        job(&project, "performance", step);
        let said = project.maint(&["check"]).code(2);
        assert!(format!("{}{}", said.stdout, said.stderr).contains(part), "{said:?}");
    }
}
