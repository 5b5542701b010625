//! Everything hangs at once: whatever is asked, nobody waits for it longer than for its own timeout.

use super::stage::{job, look};
use crate::{project::Project, server::silent};

#[test]
fn what_hangs_delays_the_rest_no_further_than_its_timeout() {
    let (_held, url) = silent();
    let address = url.trim_start_matches("http://");
    let port = address.rsplit(':').next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let _engine = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let project = Project::new(&format!(
        "[docker]\nhost = \"unix://{}\"\n[compose]\nproject = \"hung\"\nfiles = [\"c.yml\"]\n\
         [postgres.production]\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"postgres\"\ndbname = \"postgres\"\n\
         [prometheus.main]\nurl = \"{url}\"\ntimeout = \"1s\"\n[alertmanager.main]\nurl = \"{url}\"\ntimeout = \"1s\"\n\
         [redis.main]\nnodes = [\"{address}\"]\ntimeout = \"1s\"\n[endpoint.health]\nurl = \"{url}\"\ntimeout = \"1s\"\n\
         [certificate.site]\nlive = \"{address}\"\ntimeout = \"1s\"\n\
         [metric.throughput]\nquery = \"rate(x[5m])\"\nunit = \"per_second\"\n",
        socket.display()
    ));
    job(
        &project,
        &[
            "containers = { at_least = 1, timeout = \"1s\" }",
            "resources = { timeout = \"1s\" }",
            "postgres_health = { server = \"production\", timeout = \"1s\" }",
            "redis_cluster = { cluster = \"main\" }",
            "alerts = {}",
            "endpoint = {}",
            "certificate = {}",
            "metric = {}",
            "traffic = {}",
            "utilisation = {}",
            "disk = {}",
        ],
    );
    let found = look(&project);
    let hung: Vec<&str> =
        found.subjects().into_iter().filter(|s| found.of(s).1.contains("no answer within 1 s")).collect();
    println!("{:?} for {} that hang: {hung:?}", found.took, hung.len());
    assert!(found.took.as_secs_f64() < 3.0, "{:?}: {found:?}", found.took);
    // Nothing that hangs is fine, and what does not hang was looked at.
    found.code(1).is("production", "unknown", "no answer").is("health", "critical", "no answer");
    for subject in ["main", "throughput", "Prometheus main", "throughput, peak today", "availability today, by main"] {
        found.is(subject, "unknown", "no answer");
    }
    let disks = found.subjects().into_iter().filter(|subject| subject.contains("space")).count();
    assert!(disks > 0, "{found:?}");
}
