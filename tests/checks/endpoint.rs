//! `endpoint`: status, content, time, and one that hangs.

use super::stage::{job, look};
use crate::{
    project::Project,
    server::{Responder, silent},
};

#[test]
fn an_endpoint_is_judged_by_status_content_and_time() {
    let server = Responder::start(|path| match path {
        "/health" => (200, "{\"status\":\"ok\"}".into()),
        "/slow" => {
            std::thread::sleep(std::time::Duration::from_millis(300));
            (200, "ok".into())
        }
        _ => (503, "database is away\nmore".into()),
    });
    let (_held, silent) = silent();
    let url = server.url();
    let project = Project::new(&format!(
        "[endpoint.health]\nurl = \"{url}/health\"\nexpect_body = '\"status\":\"ok\"'\nbands = {{ good = \"<2000ms\", critical = \">5000ms\" }}\n\
         [endpoint.degraded]\nurl = \"{url}/health\"\nexpect_body = \"no such words\"\n\
         [endpoint.slow]\nurl = \"{url}/slow\"\nbands = {{ good = \"<100ms\", critical = \">10000ms\" }}\n\
         [endpoint.broken]\nurl = \"{url}/x\"\n[endpoint.maintained]\nurl = \"{url}/x\"\nexpect_status = [503]\n\
         [endpoint.hung]\nurl = \"{silent}\"\ntimeout = \"1s\"\n[endpoint.gone]\nurl = \"http://127.0.0.1:1\"\n"
    ));
    job(&project, &["endpoint = {}", "disk = {}"]);
    let found = look(&project);
    found.code(1).is("health", "good", "ms").is("degraded", "critical", "it answered 200 without `no such words`");
    found.is("slow", "warning", "ms (good below 100 ms").is(
        "broken",
        "critical",
        "it answered 503 instead of 200: database is away",
    );
    found.is("maintained", "good", "ms").is("hung", "critical", "no answer within 1 s").is(
        "gone",
        "critical",
        "no answer",
    );
    found.is("/, space", found.of("/, space").0, "free");
    assert!(found.took.as_secs() < 4, "one that hangs delayed the others: {:?}", found.took);
    assert!(found.field("health", "value").contains("milliseconds"), "{found:?}");
}
