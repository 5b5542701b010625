//! Rolling updates behind nginx, with somebody who keeps asking, and SIGKILL at random moments.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::{
    kill, random, rounds,
    stage::{APP, Stage, front, service},
};

const STEP: &str = "rolling_restart = { services = [\"universal-orchestrator\"], settle = \"300ms\", wait = \"20s\", \
                    proxy = { service = \"nginx\" } }";

#[test]
#[ignore = "belongs to scripts/soak"]
fn updates_killed_at_any_moment_turn_nobody_away() {
    let stage = Stage::up("soak", &[service(APP, "soak:latest", ""), front("nginx.conf")]);
    let mut pages = vec!["round-0".to_owned()];
    stage.image("soak:latest", Some(&pages[0]));
    stage.compose_up();
    stage.job("update", STEP);
    let mut random = random(6);
    // How long one takes that nobody kills.
    stage.image("soak:latest", Some("measured"));
    let begun = Instant::now();
    stage.project.maint(&["run", "update"]).code(0);
    let longest = u64::try_from(begun.elapsed().as_millis()).unwrap();
    pages.push("measured".to_owned());

    let client = stage.client();
    let (mut killed, mut taken_back, mut finished) = (0, 0, 0);
    for round in 1..=rounds() {
        let page = format!("round-{round}");
        let image = stage.image("soak:latest", Some(&page));
        pages.push(page);
        let child = stage.project.start(&["run", "update"]);
        std::thread::sleep(Duration::from_millis(random.random_range(0..longest)));
        killed += u64::from(kill(child).is_none());
        // The next run puts right what that one left, and updates.
        let said = stage.project.maint(&["run", "update"]).code(0).said();
        taken_back += u64::from(said.contains("put right") && said.contains("the old one serves on"));
        finished += u64::from(said.contains("the new containers serve, the old ones were removed"));
        assert_eq!(stage.serves_from(APP), [image], "round {round}: {said}");
        let now = stage.containers(APP);
        assert!(now[0].ends_with("running healthy"), "round {round}: {now:?}");
        // Nobody goes back further than this.
        stage.engine.docker(&["image", "prune", "--force"]);
        std::fs::remove_dir_all(stage.project.at(format!("root-round-{round}"))).unwrap();
    }
    let asked = client.end();
    assert_eq!(asked.failures, Vec::<String>::new());
    assert!(asked.answers.iter().all(|page| pages.contains(page)));
    assert_eq!(asked.answers.last(), pages.last());
    println!(
        "updates: {} rounds, {killed} killed (of them {taken_back} taken back, {finished} finished by the next run), \
         {} requests, 0 failed, slowest {:.0?}",
        rounds(),
        asked.answers.len(),
        asked.slowest
    );
}
