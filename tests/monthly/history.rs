//! A Prometheus with history, and projects that know it.

use std::{
    f64::consts::TAU,
    fmt::Write,
    fs,
    sync::{Arc, Mutex, Weak},
};

use serde_json::Value;

use crate::{
    project::{Ended, Project, names},
    prometheus::with_history,
    server::Server,
};

/// Seconds from one sample to the next.
pub(crate) const STEP: i64 = 300;
/// Samples of a day.
pub(crate) const OF_DAY: i64 = 86_400 / STEP;

/// Series to backfill: name and labels as OpenMetrics has them, and the value of a sample by its number.
pub(crate) struct Series<'a>(pub &'a str, pub &'a str, pub &'a dyn Fn(i64) -> f64);

/// Starts a Prometheus that has had these series for so many days, until now.
pub(crate) fn prometheus(days: i64, series: &[Series<'_>]) -> Server {
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
    let first = now - now % STEP - (days * OF_DAY - 1) * STEP;
    let mut text = String::new();
    let mut last = "";
    for Series(name, labels, value) in series {
        if *name != last {
            writeln!(text, "# TYPE {name} gauge").unwrap();
            last = name;
        }
        // What was not measured has no sample.
        for (n, value) in (0..days * OF_DAY).map(|n| (n, value(n))).filter(|(_, value)| !value.is_nan()) {
            writeln!(text, "{name}{{{labels}}} {value:.6} {}", first + n * STEP).unwrap();
        }
    }
    if !series.is_empty() {
        text += "# EOF\n";
    }
    with_history(&text)
}

/// As busy as people are: more in business hours of UTC, less at weekends. Days begin 30 days before now, at any hour.
pub(crate) fn busy(n: i64) -> f64 {
    let wave = (TAU * n as f64 / OF_DAY as f64).sin();
    100.0 + 20.0 * wave + ((n * 7919) % 13) as f64
}

/// The history that most tests share: 30 days of a small stack.
pub(crate) fn shared() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    // The kernel ends a server with the thread that started it: this one lives as long as the tests do.
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        send.send(Arc::new(small())).unwrap();
        std::thread::park();
    });
    let server = receive.recv().unwrap();
    *shared = Arc::downgrade(&server);
    server
}

const GB: f64 = 1e9;

fn small() -> Server {
    let last = 30 * OF_DAY;
    let grows = |from: f64, per_day: f64| move |n: i64| from + per_day * n as f64 / OF_DAY as f64;
    let ext4 = "instance=\"h\",mountpoint=\"/\",fstype=\"ext4\"";
    let mib = 1_048_576.0;
    prometheus(
        30,
        &[
            Series("up", "job=\"api\",instance=\"a\"", &|n| if (2000..2024).contains(&n) { 0.0 } else { 1.0 }),
            Series("up", "job=\"api\",instance=\"b\"", &|n| if (2012..2024).contains(&n) { 0.0 } else { 1.0 }),
            Series("up", "job=\"db\",instance=\"a\"", &|_| 1.0),
            Series("assignment_ms", "", &|n| if n % 10 == 0 { 20.0 } else { 0.05 }),
            Series("throughput", "shard=\"1\"", &|n| busy(n) * 100.0),
            Series("throughput", "shard=\"2\"", &|n| busy(n) * 80.0),
            Series("errors", "", &|n| if n % 2 == 0 { 0.001 } else { 0.0 }),
            Series("requests", "", &|_| 10.0),
            // Half of the time nobody measured anything.
            Series("lost", "", &|n| if n < last / 4 * 3 { f64::NAN } else { 1.0 }),
            Series("node_filesystem_size_bytes", ext4, &|_| 100.0 * GB),
            Series("node_filesystem_free_bytes", ext4, &|n| 100.0 * GB - grows(40.0 * GB, GB)(n)),
            Series("node_filesystem_avail_bytes", ext4, &|n| 95.0 * GB - grows(40.0 * GB, GB)(n)),
            Series("node_filesystem_files", ext4, &|_| 6e6),
            Series("node_filesystem_files_free", ext4, &|n| 5e6 + ((n * 7919) % 13) as f64),
            Series("node_memory_MemTotal_bytes", "instance=\"h\"", &|_| 8.0 * GB),
            Series("node_memory_MemAvailable_bytes", "instance=\"h\"", &|n| 5.0 * GB - busy(n) * 1e6),
            Series("pg_database_size_bytes", "instance=\"h\",datname=\"shop\"", &grows(20.0 * GB, 0.5 * GB)),
            Series("pg_database_size_bytes", "instance=\"h\",datname=\"template1\"", &|_| 8e6),
            Series("pg_settings_max_connections", "instance=\"h\"", &|_| 100.0),
            Series("pg_stat_database_numbackends", "instance=\"h\",datname=\"postgres\"", &|_| 2.0),
            Series("pg_stat_database_numbackends", "instance=\"h\",datname=\"shop\"", &|n| (busy(n) / 2.0).round()),
            Series("pg_wal_size_bytes", "instance=\"h\"", &|n| 1.0 * GB + (n % 288) as f64 * 1e6),
            Series("docker_volume_size_bytes", "volume=\"prod_data\"", &grows(10.0 * GB, 0.1 * GB)),
            Series("docker_volume_size_bytes", "volume=\"prod_logs\"", &grows(440.0 * GB, 2.0 * GB)),
            Series("young", "", &|n| if n < last - 5 * OF_DAY { f64::NAN } else { 5.0 }),
            Series("container_memory_working_set_bytes", "name=\"prod-api-1\"", &|n| {
                if n == 4000 { 300.0 * mib } else { 100.0 * mib }
            }),
            Series("container_memory_working_set_bytes", "name=\"prod-db-1\"", &|_| 100.0 * mib),
            Series("container_spec_memory_limit_bytes", "name=\"prod-api-1\"", &|_| 310.0 * mib),
            Series("container_spec_memory_limit_bytes", "name=\"prod-db-1\"", &|_| 128.0 * mib),
        ],
    )
}

/// A project that knows this Prometheus; `more` are further lines of `maint.toml`.
pub(crate) fn project(url: &str, more: &str) -> Project {
    Project::new(&format!(
        "timezone = \"Europe/Berlin\"\n[docker]\nhost = \"unix:///nonexistent/docker.sock\"\n\
         [prometheus.main]\nurl = \"{url}\"\ntimeout = \"10s\"\n{more}"
    ))
}

/// A job of one step.
pub(crate) fn job(project: &Project, name: &str, step: &str) {
    project.write(
        &format!("jobs/{name}.toml"),
        &format!("description = \"x\"\n[[step]]\nid = \"{name}\"\nretries = 0\ndo.{step}\n"),
    );
}

/// Runs a job, and gives its only report as data and as a page.
#[track_caller]
pub(crate) fn report(project: &Project, name: &str, code: i32) -> (Value, String) {
    let _ = fs::remove_dir_all(project.at("reports"));
    let ended: Ended = project.maint(&["run", name]);
    assert_eq!(ended.code, code, "{}\n{}", ended.stdout, ended.stderr);
    let files = names(&project.at("reports").join(name));
    assert_eq!(files.len(), 2, "{files:?}");
    let read = |file: &str| fs::read_to_string(project.at("reports").join(name).join(file)).unwrap();
    (serde_json::from_str(&read(&files[1])).unwrap(), read(&files[0]))
}
