//! The shipped configuration says what the runbook says: its schedules, thresholds and commands, and every check that it names.

use std::{fs, path::Path};

use toml::Value;

/// A shipped file.
fn shipped(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    toml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What a step of a job is given.
fn step<'a>(job: &'a Value, kind: &str) -> Option<&'a Value> {
    job["step"].as_array().unwrap().iter().find_map(|step| step["do"].get(kind))
}

#[track_caller]
fn given(job: &str, kind: &str, keys: &[(&str, &str)]) {
    let text = shipped(&format!("jobs/{job}.toml"));
    let step = step(&text, kind).unwrap_or_else(|| panic!("{job} has no {kind}"));
    for (key, expected) in keys {
        let value = step.get(key).unwrap_or_else(|| panic!("{job}, {kind} has no {key}: {step}"));
        assert_eq!(value.to_string(), *expected, "{job}, {kind}, {key}");
    }
}

fn edges(bands: &Value) -> [&str; 4] {
    ["excellent", "good", "warning", "critical"].map(|band| bands[band].as_str().unwrap())
}

const MEMORY: [&str; 4] = ["<200MB", "<300MB", "<400MB", ">500MB"];
const CPU: [&str; 4] = ["<30%", "<50%", "<70%", ">85%"];

#[test]
fn the_baselines_are_those_of_the_runbook() {
    let stack = shipped("maint.toml");
    for (section, name, row) in [
        ("metric", "task-assignment", ["<0.01ms", "<0.1ms", "<1ms", ">10ms"]),
        ("metric", "throughput", [">18K/sec", ">15K/sec", ">10K/sec", "<8K/sec"]),
        ("metric", "error-rate", ["<0.01%", "<0.1%", "<1%", ">2%"]),
        ("metric", "host-cpu", CPU),
        ("endpoint", "health", ["<50ms", "<100ms", "<200ms", ">500ms"]),
    ] {
        assert_eq!(edges(&stack[section][name]["bands"]), row, "{name}");
    }
    let morning = shipped("jobs/morning-health-check.toml");
    let resources = step(&morning, "resources").unwrap();
    for (key, row) in [("cpu", CPU), ("total_cpu", CPU), ("memory", MEMORY), ("total_memory", MEMORY)] {
        assert_eq!(edges(&resources[key]), row, "{key}");
    }
    for (name, query) in [
        ("task-assignment", "leanvibe_task_assignment_duration_ms"),
        ("throughput", "rate(leanvibe_messages_total[5m])"),
        ("error-rate", "rate(leanvibe_errors_total[5m])"),
    ] {
        assert_eq!(stack["metric"][name]["query"].as_str(), Some(query));
    }
    assert_eq!(stack["metric"]["error-rate"]["share_of"].as_str(), Some("rate(leanvibe_messages_total[5m])"));
}

#[test]
fn every_procedure_is_a_job_at_its_hour() {
    for (job, schedule) in [
        ("daily-backup", "30 0 * * *"),
        ("monthly-backup", "0 1 * * SUN#1"),
        ("weekly-updates", "0 2 * * SUN"),
        ("weekly-database", "0 3 * * SUN"),
        ("weekly-logs", "30 4 * * SUN"),
        ("monthly-security", "0 5 * * SUN#1"),
        ("monthly-performance", "0 6 * * SUN#1"),
        ("morning-health-check", "0 9 * * *"),
        ("evening-review", "0 18 * * *"),
    ] {
        assert_eq!(shipped(&format!("jobs/{job}.toml"))["schedule"].as_str(), Some(schedule), "{job}");
    }
}

#[test]
fn every_command_of_the_runbook_has_its_step() {
    let three = "[\"task-assignment\", \"throughput\", \"error-rate\"]";
    given("morning-health-check", "containers", &[("at_least", "8")]);
    given("morning-health-check", "metric", &[("names", three)]);
    for kind in ["endpoint", "alerts", "postgres_health", "redis_cluster", "disk", "certificate"] {
        given("morning-health-check", kind, &[]);
    }
    given("evening-review", "traffic", &[("names", three)]);
    given("evening-review", "utilisation", &[("last", "\"24h\"")]);
    given("evening-review", "log_rotation", &[("paths", "[\"logs\"]")]);
    for kind in ["alerts", "backup_freshness"] {
        given("evening-review", kind, &[]);
    }
    given("weekly-updates", "image_pull", &[]);
    let services = "[\"universal-orchestrator\", \"communication-hub\"]";
    given("weekly-updates", "rolling_restart", &[("services", services), ("settle", "\"30s\"")]);
    given("weekly-database", "vacuum", &[("server", "\"production\"")]);
    given("weekly-database", "reindex", &[("server", "\"production\"")]);
    given("weekly-database", "analyze", &[]);
    given("weekly-database", "bloat", &[("top", "10")]);
    let logs = [("paths", "[\"logs/**/*.log\"]"), ("compress_after", "\"7d\""), ("delete_after", "\"30d\"")];
    given("weekly-logs", "log_rotate", &logs);
    given("weekly-logs", "docker_prune", &[("older_than", "\"168h\"")]);
    for kind in ["image_scan", "certificate"] {
        given("monthly-security", kind, &[]);
    }
    given("monthly-security", "cert_renew", &[("args", "[\"--nginx\"]")]);
    for kind in ["performance", "capacity", "recommendations"] {
        given("monthly-performance", kind, &[]);
    }
}

/// The runbook verifies after an update what its readiness check looks at.
#[test]
fn an_update_ends_with_readiness() {
    let (updates, readiness) = (shipped("jobs/weekly-updates.toml"), shipped("jobs/readiness.toml"));
    let steps = |job: &Value| -> Vec<String> {
        job["step"].as_array().unwrap().iter().map(|step| step["do"].to_string()).collect()
    };
    assert!(steps(&updates).ends_with(&steps(&readiness)), "{:?}\n{:?}", steps(&updates), steps(&readiness));
}

#[test]
fn the_shipped_jobs_are_valid_with_the_shipped_configuration() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let jobs: Vec<_> = fs::read_dir(root.join("jobs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(jobs.len() >= 10, "{jobs:?}");
    for job in jobs.iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        let name = job.file_stem().unwrap().to_str().unwrap();
        let plan = std::process::Command::new(env!("CARGO_BIN_EXE_maint"))
            .args(["--config", root.join("maint.toml").to_str().unwrap(), "plan", name])
            .output()
            .unwrap();
        assert!(plan.status.success(), "{name}: {}", String::from_utf8_lossy(&plan.stderr));
    }
}
