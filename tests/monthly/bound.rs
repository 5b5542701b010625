//! A month of two hundred series, in bounded time and memory.

use std::{process::Stdio, time::Instant};

use super::history::{Series, busy, project, prometheus};

#[test]
fn a_month_of_two_hundred_series_is_reported_within_bounds() {
    let labels: Vec<_> = (0..200).map(|i| format!("i=\"{i}\"")).collect();
    let value = |n: i64| busy(n) + n as f64 * 0.001;
    let series: Vec<_> = labels.iter().map(|labels| Series("many", labels, &value)).collect();
    let server = prometheus(30, &series);
    let project = project(
        &server.url(),
        "[metric.many]\nprometheus = \"main\"\nquery = \"many\"\nseveral = \"sum\"\nunit = \"count\"\n\
         [capacity]\nskip = [\"disk\", \"inodes\", \"memory\", \"connections\", \"database\", \"wal\", \"volumes\", \"throughput\"]\n\
         [capacity.resource.many]\nquery = \"many\"\nlimit = 300\nunit = \"count\"\n",
    );
    let shipped =
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/monthly-performance.toml"));
    let shipped = shipped
        .unwrap()
        .replace("performance = {}", "performance = { days = 30, availability = \"many\", service = \"i\" }");
    project.write(
        "jobs/monthly-performance.toml",
        &shipped.replace("{ server = \"production\" }", "{ containers = false }"),
    );
    let begun = Instant::now();
    let child =
        project.command(&["run", "monthly-performance"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = std::path::PathBuf::from(format!("/proc/{}/status", child.id()));
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kib) = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()) else { break };
            peak = kib.max(peak);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        peak / 1024
    });
    let ended = child.wait_with_output().unwrap();
    let (took, peak) = (begun.elapsed(), watch.join().unwrap());
    let said = String::from_utf8_lossy(&ended.stdout);
    println!("30 days of 200 series: {took:.1?}, {peak} MiB, an unoptimised build\n{said}");
    // A build without optimisation on a busy machine; docs/reports.md has what an optimised one takes.
    assert!(took.as_secs() < 60 && peak < 200, "{took:?}, {peak} MiB");
    for series in ["performance", "capacity", "recommendations"] {
        assert_eq!(crate::project::names(&project.at("reports").join(series)).len(), 2, "{said}");
    }
}
