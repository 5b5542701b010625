//! When something runs full.

use maint::model::forecast::backtest::{self, Extent};
use serde_json::Value;

use super::history::{job, project, prometheus, report, shared};

/// The usual resources, and some of the test's own.
const CAPACITY: &str = "\
[metric.throughput]\nprometheus = \"main\"\nquery = \"throughput\"\nseveral = \"sum\"\nunit = \"per_second\"\n\
[capacity.resource.volumes]\nquery = \"docker_volume_size_bytes\"\nlimit = 600e9\n\
[capacity.resource.queue]\nquery = \"sum(throughput)\"\nlimit = 25000\nunit = \"per_second\"\nload = true\n\
hint = \"add a shard\"\n\
[capacity.resource.young]\nquery = \"young\"\nunit = \"count\"\nlimit = 10\n";

#[track_caller]
fn outlook<'a>(resources: &'a Value, name: &str) -> &'a Value {
    resources.as_array().unwrap().iter().find(|r| r["name"] == name).unwrap_or_else(|| panic!("{name}: {resources:#}"))
}

#[test]
fn what_grows_is_full_within_an_interval() {
    let server = shared();
    let project = project(&server.url(), CAPACITY);
    job(&project, "capacity", "capacity = {}");
    // Five days of data carry no forecast: somebody has to know.
    let (report, page) = report(&project, "capacity", 4);
    let resources = &report["resources"];
    // 40 GB and one more a day, of 95: full about 25 days from now.
    let disk = outlook(resources, "disk");
    assert_eq!((&disk["finding"]["band"], &disk["reach"]), (&"warning".into(), &"within".into()), "{disk:#}");
    let per_day = disk["per_day"].as_f64().unwrap();
    assert!((0.95e9..1.05e9).contains(&per_day), "{per_day}");
    let day = |key: &str| disk[key].as_i64().unwrap();
    let today = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp() / 86_400;
    assert!((22..=28).contains(&(day("day") - today)), "{} days", day("day") - today);
    assert!(day("from") <= day("day") && day("until") >= day("day"));
    assert_eq!(disk["ahead"].as_array().unwrap().len(), 90);
    for calm in ["inodes", "memory"] {
        assert_eq!(outlook(resources, calm)["finding"]["band"], "good", "{:#}", outlook(resources, calm));
    }
    // The data do not have the end of a month twice: the runbook's factor counts.
    let queue = outlook(resources, "queue");
    assert_eq!(queue["finding"]["band"], "warning", "{queue:#}");
    assert!(queue["finding"]["seen"].as_str().unwrap().contains("at the end of a month"), "{queue:#}");
    // Connections of all databases of a server, against what it takes.
    let connections = outlook(resources, "connections");
    assert_eq!(
        (&connections["finding"]["band"], &connections["limit"]),
        (&"warning".into(), &100.0.into()),
        "{connections:#}"
    );
    assert!(connections["now"].as_f64().unwrap() > 60.0 && connections["month_end"].as_f64().unwrap() > 100.0);
    // What has no limit of its own is told with its growth; what follows the load, at a month's end.
    let database = outlook(resources, "database");
    assert!((0.45e9..0.55e9).contains(&database["per_day"].as_f64().unwrap()), "{database:#}");
    assert_eq!(outlook(resources, "wal")["per_day"], Value::Null, "{:#}", outlook(resources, "wal"));
    let throughput = outlook(resources, "throughput");
    assert!(throughput["finding"]["seen"].as_str().unwrap().contains("at the end of a month up to"), "{throughput:#}");
    let logs = outlook(resources, "volumes prod_logs");
    assert_eq!((&logs["finding"]["band"], &logs["reach"]), (&"warning".into(), &"within".into()), "{logs:#}");
    assert_eq!(outlook(resources, "volumes prod_data")["finding"]["band"], "good");
    let young = outlook(resources, "young");
    assert_eq!(young["forecast"], "refused");
    assert!(young["finding"]["seen"].as_str().unwrap().contains("5 days of data"), "{young:#}");
    for part in ["<svg", "not forecast: there are", "The next 90 days", "at a month's end up to"] {
        assert!(page.contains(part), "{part} is not in the page");
    }
}

#[test]
fn the_command_tells_the_same_in_a_table() {
    let server = shared();
    let project = project(&server.url(), &format!("[capacity]\nskip = [\"wal\"]\n{CAPACITY}"));
    let said = project.maint(&["capacity"]).code(4).stdout;
    for part in ["disk", "1.0 GB", "95.0 GB", "IN 90 DAYS", "add a shard", "not forecast", "not looked at: wal"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    let json: Value =
        serde_json::from_str(&project.maint(&["capacity", "--horizon", "10", "--json"]).code(4).stdout).unwrap();
    assert_eq!(outlook(&json["resources"], "disk")["ahead"].as_array().unwrap().len(), 10);
}

#[test]
fn what_cannot_be_asked_is_unknown() {
    let server = shared();
    // The usual resources, where Prometheus has nothing of any.
    let empty = prometheus(0, &[]);
    let missing = project(
        &empty.url(),
        "[capacity]\nskip = [\"disk\", \"inodes\", \"memory\", \"volumes\", \"throughput\", \"wal\"]\n",
    );
    let said = missing.maint(&["capacity"]).code(4).stdout;
    assert!(said.contains("its query gives no series") && said.contains("skip = [\"database\"]"), "{said}");
    let no_limit = "[capacity.resource.disk]\nquery = \"node_filesystem_size_bytes\"\nlimit = \"nothing_at_all\"\n\
                    [capacity]\nskip = [\"inodes\", \"memory\", \"volumes\", \"throughput\", \"wal\", \"database\", \"connections\"]\n";
    let said = project(&server.url(), no_limit).maint(&["capacity"]).code(4).stdout;
    assert!(said.contains("where it is full is not known"), "{said}");
    let down = project("http://127.0.0.1:1", "");
    assert!(down.maint(&["capacity"]).code(4).stdout.contains("no answer"));
}

#[test]
fn mistakes_in_the_section_are_shown() {
    for (section, part) in [
        ("[capacity]\nskip = [\"disc\"]\n", "`disc` is none of"),
        ("[capacity]\nhorizon = \"1h\"\n", "expected 1d to 366d"),
        ("[capacity]\nprometheus = \"man\"\n", "did you mean `main`?"),
        ("[capacity.resource.x]\nlimit = 1\n", "exactly one of `query` and `metric`"),
        ("[capacity.resource.x]\nmetric = \"y\"\n", "there is no `[metric.y]`"),
        ("[capacity.seasons]\nmonth_end = [1.5, 1.2]\n", "the smaller one first"),
        ("[capacity.seasons]\nhours = [18, 9]\n", "the earlier one first"),
        ("[capacity.seasons]\nholidays = [\"Xmas\"]\n", "`Xmas` is not a date"),
    ] {
        let said = project("http://127.0.0.1:1", section).maint(&["check"]).code(2);
        assert!(format!("{}{}", said.stdout, said.stderr).contains(part), "{part}: {said:?}");
    }
}

#[test]
fn forecasts_would_have_held_in_the_past() {
    let begun = std::time::Instant::now();
    let scores = backtest::run(&Extent { seeds: 0..3, days: 90, every: 4 });
    let (mut ours, mut theirs, mut looks) = (0, 0, 0);
    for score in &scores {
        println!(
            "{}: {:.2} in the first week, {:.2} in four; false alarms {} and {} of {}",
            score.series,
            score.first_week.share(),
            score.four_weeks.share(),
            score.maint.false_alarms,
            score.predict_linear.false_alarms,
            score.maint.looks
        );
        assert!(score.first_week.share() >= 0.8, "{score:?}");
        assert!(score.four_weeks.share() >= 0.8, "{score:?}");
        assert!(score.maint.false_alarms <= score.predict_linear.false_alarms, "{score:?}");
        (ours, theirs, looks) =
            (ours + score.maint.false_alarms, theirs + score.predict_linear.false_alarms, looks + score.maint.looks);
    }
    println!("false alarms {ours} and {theirs} of {looks}, in {:?}", begun.elapsed());
    assert!(ours * 2 < theirs, "{ours} of ours, {theirs} of predict_linear's");
}
