//! Copies are pruned by their store's own policy, and the backup directory keeps what a store still lacks.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use aws_sdk_s3::{
    primitives::DateTime,
    types::{ObjectLockRetention, ObjectLockRetentionMode},
};
use maint::{
    backup::upload::{Completion, Destination, complete},
    config,
    model::event::{EventSink, StepEvents},
};
use tokio_util::sync::CancellationToken;

use crate::{
    bucket::{Server, block_on},
    policy_is,
    project::{Project, names},
    run, sets, with_policy,
};

fn configure(project: &Project, store: &str) {
    let config = fs::read_to_string(project.at("maint.toml")).unwrap();
    let config = config.split("[store.off]").next().unwrap().to_owned();
    project.write("maint.toml", &format!("{config}[store.off]\n{store}\n"));
}

/// Sends every set that the store lacks. On a thread with room: a request's future is large where nothing is optimised.
fn send(project: &Project) -> Completion {
    let config = config::load(Some(&project.at("maint.toml"))).unwrap();
    let work = move || {
        let events = StepEvents::new(EventSink::none(), "test".parse().unwrap());
        let (series, cancel) = ("tree".parse().unwrap(), CancellationToken::new());
        block_on(async {
            let to = Destination::open(&config.stack, "off").await.unwrap();
            complete(&to, &series, None, Duration::from_secs(10), &cancel, &events).await.unwrap()
        })
    };
    let done = std::thread::Builder::new().stack_size(32 << 20).spawn(work).unwrap().join().unwrap();
    assert!(done.failed.is_empty(), "{done:?}");
    done
}

fn series(project: &Project) -> PathBuf {
    project.at("off/test/tree")
}

/// Sets with a manifest in the local store.
fn copies(project: &Project) -> Vec<String> {
    names(&series(project)).into_iter().filter(|set| series(project).join(set).join("manifest.json").exists()).collect()
}

fn tombstones(project: &Project, set: &str) -> usize {
    let names = names(&series(project).join(".records").join(set));
    names.iter().filter(|name| name.starts_with("tombstone-") && name.ends_with(".json")).count()
}

/// Six sets; nothing is pruned yet.
fn stage(store: &str) -> Project {
    let project = with_policy("");
    fs::create_dir(project.at("off")).unwrap();
    configure(&project, store);
    for month in 1..=6 {
        run(&project, month).code(0);
    }
    project
}

#[test]
fn two_places_keep_by_policies_of_their_own() {
    let project = stage("type = \"local\"\ndir = \"off\"\nkeep = { monthly = 3 }");
    policy_is(&project, "stores = [\"off\"]\nkeep = { last = 1 }");
    // What has no copy yet stays, whatever the policy of the backup directory says.
    let held = project.maint(&["prune"]).code(0).stdout;
    assert!(held.contains("the store off has no copy of it yet"), "{held}");
    assert_eq!(sets(&project).len(), 6);
    assert_eq!(send(&project).sent.len(), 6);
    project.maint(&["backups", "pin", "tree/202602", "--reason", "the auditor's"]).code(0);
    let dry = project.maint(&["prune", "--dry-run"]).code(0).stdout;
    assert!(dry.contains("in off: keeps monthly 3") && dry.contains("beyond monthly 3"), "{dry}");
    assert_eq!((sets(&project).len(), copies(&project).len()), (6, 6));
    project.maint(&["prune"]).code(0);
    assert_eq!(sets(&project), ["202602", "202606"]);
    assert_eq!(copies(&project), ["202602", "202604", "202605", "202606"]);
    assert_eq!(names(&series(&project)), [".records", "202602", "202604", "202605", "202606"]);
    assert_eq!((tombstones(&project, "202601"), tombstones(&project, "202604")), (1, 0));
    // What the store let go is not sent again, and a second pruning finds nothing.
    assert_eq!(send(&project).sent.len(), 0);
    let again = project.maint(&["prune"]).code(0).stdout;
    assert!(!again.contains("pruned"), "{again}");
}

#[test]
fn a_store_that_cannot_be_asked_holds_every_set() {
    let project = stage("type = \"local\"\ndir = \"off\"");
    policy_is(&project, "stores = [\"off\"]\nkeep = { last = 1 }");
    send(&project);
    fs::rename(project.at("off"), project.at("away")).unwrap();
    let held = project.maint(&["prune"]).code(0).stdout;
    assert!(held.contains("whether the store off has a copy could not be asked"), "{held}");
    assert_eq!(sets(&project).len(), 6);
    configure(&project, "type = \"local\"\ndir = \"off\"\nkeep = { last = 1 }");
    let ended = project.maint(&["prune"]);
    assert!(ended.code != 0 && ended.stderr.contains("off could not be pruned"), "{ended:?}");
}

#[test]
fn a_damaged_copy_does_not_count_and_an_unusual_one_freezes() {
    let project = stage("type = \"local\"\ndir = \"off\"\nkeep = { last = 1 }");
    policy_is(&project, "stores = [\"off\"]");
    send(&project);
    fs::remove_file(series(&project).join("202606/tree-202606.tar.zst")).unwrap();
    let ended = project.maint(&["prune", "--strict"]).code(1).stdout;
    assert!(ended.contains("tree-202606.tar.zst is missing"), "{ended}");
    assert_eq!(copies(&project), ["202605", "202606"]);
    for i in 10..100 {
        fs::remove_file(project.at(format!("tree/{i}"))).unwrap();
    }
    policy_is(&project, "");
    run(&project, 7).code(0);
    policy_is(&project, "stores = [\"off\"]");
    send(&project);
    let frozen = project.maint(&["prune"]).code(0).stdout;
    assert!(frozen.contains("maint backups ack tree/202607"), "{frozen}");
    assert_eq!(copies(&project).len(), 3);
    project.maint(&["backups", "ack", "tree/202607", "--reason", "archived"]).code(0);
    project.maint(&["prune"]).code(0);
    assert_eq!(copies(&project), ["202606", "202607"]);
}

#[test]
fn a_deletion_that_died_is_finished() {
    let project = stage("type = \"local\"\ndir = \"off\"\nkeep = { last = 5 }");
    policy_is(&project, "stores = [\"off\"]");
    send(&project);
    let copy = |from: &str, to: &str| {
        let _ = fs::remove_dir_all(project.at(to));
        let copied = std::process::Command::new("cp").arg("-a").arg(project.at(from)).arg(project.at(to)).status();
        assert!(copied.unwrap().success());
    };
    copy("off", "before");
    project.maint(&["prune"]).code(0);
    assert_eq!((copies(&project).len(), tombstones(&project, "202601")), (5, 1));
    copy("off/test/tree/.records/202601", "tombstone");
    let mut files = names(&project.at("before/test/tree/202601"));
    files.sort_by_key(|file| file != "manifest.json");
    for dead_after in 0..=files.len() {
        copy("before", "off");
        let _ = fs::remove_dir_all(series(&project).join(".records/202601"));
        fs::create_dir_all(series(&project).join(".records")).unwrap();
        copy("tombstone", "off/test/tree/.records/202601");
        for file in &files[..dead_after] {
            fs::remove_file(series(&project).join("202601").join(file)).unwrap();
        }
        project.maint(&["prune", "--strict"]).code(0);
        assert_eq!((copies(&project).len(), tombstones(&project, "202601")), (5, 1), "{dead_after}");
        assert!(names(&series(&project).join("202601")).is_empty(), "{dead_after}");
    }
}

#[test]
fn what_a_bucket_locks_is_kept_until_then() {
    let server = Server::moto();
    let keys = server.environment();
    let key = |name: &str| keys.iter().find(|(key, _)| *key == name).unwrap().1.clone();
    let project = stage(&format!(
        "type = \"s3\"\nbucket = \"locked\"\nprefix = \"keep\"\nregion = \"us-east-1\"\nendpoint = \"{}\"\npath_style = true\n\
         access_key = \"{}\"\nsecret_key = \"{}\"\nkeep = {{ last = 5 }}",
        server.endpoint(),
        key("AWS_ACCESS_KEY_ID"),
        key("AWS_SECRET_ACCESS_KEY"),
    ));
    policy_is(&project, "stores = [\"off\"]");
    send(&project);
    let until = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()) + chrono::TimeDelta::days(2);
    let retention = ObjectLockRetention::builder()
        .mode(ObjectLockRetentionMode::Governance)
        .retain_until_date(DateTime::from_secs(until.timestamp()))
        .build();
    let lock = server.client().put_object_retention().bucket("locked").key("keep/test/tree/202601/manifest.json");
    block_on(lock.retention(retention).send()).unwrap();
    let until = until.format("%Y-%m-%d");
    for _ in 0..2 {
        let ended = project.maint(&["prune", "--strict"]).code(0).stdout;
        assert!(ended.contains(&format!("202601 is kept by the store until {until}")), "{ended}");
    }
    let listed = block_on(server.client().list_objects_v2().bucket("locked").prefix("keep/test/tree/").send()).unwrap();
    let keys: BTreeSet<&str> = listed.contents().iter().filter_map(|object| object.key()).collect();
    assert!(keys.contains("keep/test/tree/202601/manifest.json"), "the copy is whole: {keys:?}");
    let tombstones = keys.iter().filter(|key| key.contains("/.records/202601/tombstone-")).count();
    assert_eq!(tombstones, 1, "{keys:?}");
}
