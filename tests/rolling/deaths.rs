//! A run that is killed in the middle: taken back where nothing was proven, finished where it was.

use std::{fs, process::Child};

use crate::{
    project::wait_for,
    stage::{APP, Stage, front, service},
};

fn step(settle: &str, drain: &str) -> String {
    format!(
        "rolling_restart = {{ services = [\"{APP}\"], settle = \"{settle}\", wait = \"20s\", drain = {drain}, \
         proxy = {{ service = \"nginx\" }} }}"
    )
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_a_killed_run_had_begun_is_taken_back_or_finished() {
    let stage = Stage::up("deaths", &[service(APP, "deaths:latest", ""), front("nginx.conf")]);
    let first = stage.image("deaths:latest", Some("one"));
    stage.compose_up();
    stage.job("slow", &step("30s", "[]"));
    stage.job("draining", &step("300ms", "[\"sleep\", \"30\"]"));
    let client = stage.client();
    let second = stage.image("deaths:latest", Some("two"));

    let child = stage.project.start(&["run", "slow"]);
    wait_for("a container beside the old one", || stage.serves_from(APP).len() == 2);
    kill(child);
    let look = stage.project.maint(&["recover", "--dry-run"]).code(0).said();
    assert!(look.contains("would put right: universal-orchestrator"), "{look}");
    let told = stage.project.maint(&["recover"]).code(0).said();
    assert!(told.contains("put right: universal-orchestrator") && told.contains("the old one serves on"), "{told}");
    assert_eq!(stage.serves_from(APP), [first.as_str()], "nothing was proven");
    assert_eq!(stage.image_id("deaths:latest"), second, "the image is not to blame");

    let child = stage.project.start(&["run", "draining"]);
    let journal = stage.project.at("state/rolls/deaths.roll.json");
    wait_for("the proof", || fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"proven\"")));
    std::thread::sleep(std::time::Duration::from_millis(300));
    kill(child);
    let before = stage.serves_from(APP);
    assert_eq!(before.len(), 2, "{before:?}");
    // The journal drains as the dead run would have; that was nobody's wish any more.
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replace("\"sleep\"", "\"true\"")).unwrap();
    stage.job("again", &step("300ms", "[]"));
    let ended = stage.project.maint(&["run", "again"]).code(0);
    assert!(ended.said().contains("the new containers serve, the old ones were removed"), "{}", ended.said());
    assert!(ended.said().contains("up to date"), "{}", ended.said());
    let asked = client.end();
    assert_eq!((stage.serves_from(APP), asked.failures), (vec![second], vec![]));
    assert_eq!(asked.answers.last().unwrap(), "two");
    // The ledger learns of the second death too.
    stage.project.maint(&["recover"]).code(0);
    assert_eq!(stage.project.maint(&["recover"]).code(0).stdout, "nothing to put right\n");
}
