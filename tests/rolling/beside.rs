//! New containers beside the old ones.

use maint::adapters::ledger::Ledger;

use crate::stage::{APP, Stage, front, service};

const STEP: &str = "rolling_restart = { services = [\"universal-orchestrator\"], settle = \"300ms\", wait = \"20s\", \
                    proxy = { service = \"nginx\" } }";

#[test]
fn nobody_who_asks_is_turned_away_neither_by_a_good_image_nor_by_a_broken_one() {
    let stage = Stage::up("beside", &[service(APP, "beside:latest", ""), front("nginx.conf")]);
    let first = stage.image("beside:latest", Some("one"));
    stage.compose_up();
    stage.job("update", STEP);

    let same = stage.project.maint(&["run", "update"]).code(0);
    assert!(same.said().contains("1 up to date"), "{}", same.said());
    assert_eq!(stage.serves_from(APP), [first.as_str()]);

    let client = stage.client();
    let second = stage.image("beside:latest", Some("two"));
    let ended = stage.project.maint(&["run", "update"]).code(0);
    let asked = client.end();
    println!("{}", ended.said());
    assert_eq!(asked.failures, Vec::<String>::new());
    assert!(asked.answers.iter().any(|page| page == "one") && asked.answers.len() > 200, "{}", asked.answers.len());
    assert_eq!(asked.answers.last().unwrap(), "two");
    assert!(ended.said().contains("updated without downtime"), "{}", ended.said());
    assert_eq!(stage.serves_from(APP), [second.as_str()]);
    let kept = Ledger::open(&stage.project.at("state")).unwrap().rollback_images().unwrap();
    let ids: Vec<&str> = kept.iter().map(|image| image.id.as_str()).collect();
    assert_eq!(ids, [second.as_str(), first.as_str()], "what may be needed for the way back");

    let client = stage.client();
    let broken = stage.image("beside:latest", None);
    let ended = stage.project.maint(&["run", "update"]).code(1);
    let asked = client.end();
    println!("{}", ended.said());
    assert_eq!(asked.failures, Vec::<String>::new());
    assert!(asked.answers.iter().all(|page| page == "two"));
    assert!(ended.said().contains("NOT updated") && ended.said().contains("the old one serves on"), "{}", ended.said());
    assert!(ended.said().contains("is unhealthy"), "the reason: {}", ended.said());
    assert_eq!(stage.serves_from(APP), [second.as_str()]);
    assert_ne!(broken, second);
    assert_eq!(stage.image_id("beside:latest"), second, "the name stands for what serves again");
}
