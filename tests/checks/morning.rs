//! The whole morning check against a whole stack: how it reads, and how long it takes.

use super::{
    containers::{SERVICES, service},
    stage::look,
};
use crate::{
    docker::Engine,
    postgres::Cluster,
    project::Project,
    prometheus::{Stack, alertmanager},
    redis,
    server::{Responder, silent},
};

const METRICS: &str =
    "leanvibe_task_assignment_duration_ms 0.04\nleanvibe_messages_total 100\nleanvibe_errors_total 1\n";

#[test]
fn the_whole_morning_check_takes_three_seconds_and_reads_like_a_checklist() {
    let engine = Engine::shared();
    for name in SERVICES {
        service(&engine, "morning", name, &[], &["sleep", "600"]);
    }
    let database = Cluster::start();
    let cluster = redis::Cluster::start();
    let stack = Stack::start(METRICS, "");
    let keeper = alertmanager(None);
    let site = Responder::start(|_| (200, "ok".into()));
    let (_held, hung) = silent();
    stack.wait_for("leanvibe_task_assignment_duration_ms");
    let sections = |more: &str| {
        format!(
            "[docker]\nhost = \"{}\"\n[compose]\nproject = \"morning\"\nfiles = [\"c.yml\"]\n\
             [postgres.production]\nsocket = \"{}\"\nuser = \"postgres\"\ndbname = \"postgres\"\n\
             [prometheus.main]\nurl = \"{}\"\n[alertmanager.main]\nurl = \"{}\"\n[redis.main]\nnodes = {:?}\n\
             [endpoint.health]\nurl = \"{}\"\nbands = {{ good = \"<2000ms\", critical = \">5000ms\" }}\n\
             [metric.task-assignment]\nquery = \"leanvibe_task_assignment_duration_ms\"\nunit = \"milliseconds\"\n\
             bands = {{ good = \"<0.1ms\", critical = \">10ms\" }}\n[metric.throughput]\nquery = \"leanvibe_messages_total * 200\"\n\
             unit = \"per_second\"\n[metric.error-rate]\nquery = \"leanvibe_errors_total\"\nunit = \"count\"\n{more}",
            engine.host(),
            database.socket_dir().display(),
            stack.prometheus.url(),
            keeper.url(),
            cluster.addresses(),
            site.url(),
        )
    };
    // The shipped job, but for certificates, which have tests of their own.
    let shipped =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/morning-health-check.toml")).unwrap();
    let job = shipped.split("[[step]]\nid = \"certificates\"").next().unwrap().to_owned();
    let project = Project::new(&sections(""));
    project.write("jobs/look.toml", &job);
    // The machine has other things to do as well: the best of three says what the check itself takes.
    let runs = [(); 3].map(|()| look(&project));
    let found = runs.into_iter().min_by_key(|found| found.took).unwrap();
    println!("the morning check took {:?}, {} findings", found.took, found.subjects().len());
    found.is("running", "good", "8 running").is("health", "good", "ms").is("task-assignment", "good", "0.04 ms");
    found.is("main", "good", "").is("connections", "good", "of 27");
    assert!(found.took.as_secs_f64() < 3.0, "{:?}", found.took);

    let shown = project.maint(&["run", "look"]).stdout;
    println!("{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let places: Vec<_> = ["containers", "endpoints", "alerts", "resources", "performance", "database", "redis", "disk"]
        .iter()
        .map(|step| shown.find(&format!(" {step} ")).unwrap_or_else(|| panic!("{step}: {shown}")))
        .collect();
    assert!(places.is_sorted(), "{shown}");

    // A hung endpoint delays the rest no further than its own timeout.
    let project = Project::new(&sections(&format!("[endpoint.hung]\nurl = \"{hung}\"\ntimeout = \"2s\"\n")));
    project.write("jobs/look.toml", &job);
    let found = look(&project);
    found.code(1).is("hung", "critical", "no answer within 2 s").is("running", "good", "8 running");
    assert!(found.took.as_secs() < 8, "{:?}", found.took);
}
