//! Kills, races and full disks in large numbers: `scripts/soak`. The suite runs a handful of each elsewhere.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

#[path = "support/bucket.rs"]
mod bucket;
#[path = "support/docker.rs"]
mod docker;
#[path = "soak/drills.rs"]
mod drills;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
#[path = "support/put_child.rs"]
mod put_child;
#[path = "soak/schedules.rs"]
mod schedules;
#[path = "soak/serve.rs"]
mod serve;
#[path = "support/slots.rs"]
mod slots;
#[path = "rolling/stage.rs"]
mod stage;
#[path = "soak/updates.rs"]
mod updates;
#[path = "soak/uploads.rs"]
mod uploads;
use docker::Engine;
use postgres::Cluster;
use project::{Project, names};

fn from_env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn rounds() -> u64 {
    from_env("MAINT_SOAK_ROUNDS", 200)
}

fn random(what: u64) -> StdRng {
    StdRng::seed_from_u64(from_env("MAINT_SOAK_SEED", 1).wrapping_add(what))
}

/// A database, a tree, and a job that captures both in about half a second.
fn stage() -> (Cluster, Project) {
    let cluster = Cluster::start();
    cluster.psql(
        "postgres",
        "CREATE TABLE t (id int PRIMARY KEY, note text); \
         INSERT INTO t SELECT i, md5(i::text) || repeat(' some text', i % 20) FROM generate_series(1, 100000) i;",
    );
    let project = Project::new(&format!(
        "[postgres.p]\nsocket = \"{}\"\nport = {}\nuser = \"postgres\"\n",
        cluster.socket_dir().display(),
        cluster.port
    ));
    for i in 0..500 {
        project.write(&format!("tree/d{}/f{i}", i % 9), &format!("{i}\n").repeat(i * 7));
    }
    project.backup_job(
        "all",
        &[("db", "postgres_dump = { server = \"p\" }"), ("tree", "files_archive = { paths = [\"tree\"] }")],
    );
    (cluster, project)
}

/// Every visible set must be whole, whenever it appeared; verified ones are removed to save space.
fn sets_are_whole(project: &Project) -> usize {
    let sets = project.sets();
    for set in &sets {
        let dir = project.at("backups").join(set);
        project.maint(&["verify", dir.to_str().unwrap()]).code(0);
        fs::remove_dir_all(dir).unwrap();
    }
    sets.len()
}

fn kill(mut child: Child) -> Option<i32> {
    let _ = child.kill();
    child.wait().unwrap().code()
}

#[test]
#[ignore = "belongs to scripts/soak"]
fn killed_at_any_moment_a_run_leaves_whole_sets_or_none() {
    let (_cluster, project) = stage();
    let mut random = random(1);
    let (mut killed, mut published) = (0, 0);
    for round in 0..rounds() {
        let child = project.start(&["run", "all"]);
        std::thread::sleep(Duration::from_millis(random.random_range(0..900)));
        if kill(child).is_none() {
            killed += 1;
        }
        published += sets_are_whole(&project);
        if round % 10 == 9 {
            project.maint(&["run", "all"]).code(0);
            assert_eq!(project.staging(), Vec::<String>::new());
            published += sets_are_whole(&project);
            let runs = project.maint(&["runs", "--limit", "1000"]).code(0).stdout;
            assert!(!runs.contains("running"), "{runs}");
        }
    }
    println!("kills: {} rounds, {killed} killed, {published} sets, all whole; nothing left in staging", rounds());
}

#[test]
#[ignore = "belongs to scripts/soak"]
fn of_two_runs_at_once_one_runs_and_the_other_is_told() {
    let (_cluster, project) = stage();
    let mut random = random(2);
    let (mut both, mut told) = (0, 0);
    for _ in 0..rounds() / 4 {
        let first = project.start(&["run", "all"]);
        std::thread::sleep(Duration::from_millis(random.random_range(0..60)));
        let second = project.start(&["run", "all"]);
        let codes = [first, second].map(|child| child.wait_with_output().unwrap().status.code().unwrap());
        match codes {
            [0, 0] => both += 1,
            [0, 5] | [5, 0] => told += 1,
            other => panic!("{other:?}"),
        }
        assert!(sets_are_whole(&project) >= 1);
    }
    println!("races: {} pairs, {told} told of the lock, {both} one after the other", rounds() / 4);
}

#[test]
#[ignore = "belongs to scripts/soak"]
fn a_disk_of_any_size_holds_a_whole_set_or_none() {
    let (_cluster, project) = stage();
    let mut random = random(3);
    let disk = project.at("backups");
    fs::create_dir(&disk).unwrap();
    let (mut full, mut fits) = (0, 0);
    for _ in 0..rounds() / 4 {
        let size = format!("size={}k", random.random_range(40..6000));
        assert!(
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&disk).status().unwrap().success()
        );
        let ended = project.maint(&["run", "all"]);
        let (sets, left) = (sets_are_whole(&project), project.staging());
        assert!(Command::new("umount").arg(&disk).status().unwrap().success());
        match (ended.code, sets) {
            (0, 1) => fits += 1,
            (1, 0) => full += 1,
            other => panic!("{other:?} on a disk of {size}: {}{}", ended.stdout, ended.stderr),
        }
        assert_eq!(left, Vec::<String>::new());
    }
    println!("full disks: {} sizes, {full} too small and nothing left, {fits} large enough", rounds() / 4);
}

/// Every line of the logs in a directory, packed or not, with how often it is there.
fn log_lines(dir: &std::path::Path) -> std::collections::BTreeMap<String, usize> {
    let mut lines = std::collections::BTreeMap::new();
    for name in names(dir) {
        let path = dir.join(&name);
        let mut text = String::new();
        let file = fs::File::open(&path).unwrap();
        let read = if name.contains(".gz") {
            std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut text)
        } else {
            std::io::Read::read_to_string(&mut &file, &mut text)
        };
        read.unwrap();
        text.lines().for_each(|line| *lines.entry(line.to_owned()).or_default() += 1);
    }
    lines
}

#[test]
#[ignore = "belongs to scripts/soak"]
fn rotations_that_are_killed_lose_no_line() {
    let project = Project::new("");
    let step = "do.log_rotate = { paths = [\"logs/*.log\"] }";
    project.write("jobs/logs.toml", &format!("description = \"soak\"\n[[step]]\nid = \"logs\"\n{step}\n"));
    let mut random = random(5);
    let (mut killed, logs) = (0, project.at("logs"));
    for round in 0..rounds() {
        let _ = fs::remove_dir_all(&logs);
        let mut expected = std::collections::BTreeMap::new();
        for i in 0..600 {
            let text = (0..30).fold(String::new(), |text, line| text + &format!("log {i} line {line}\n"));
            expected.extend(text.lines().map(|line| (line.to_owned(), 1)));
            let path = project.write(&format!("logs/{i}.log"), &text);
            let old = std::time::SystemTime::now() - Duration::from_secs(10 * 86400);
            fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        }
        // Killed once or several times, the last run puts everything right.
        for _ in 0..=round % 3 {
            let child = project.start(&["run", "logs"]);
            std::thread::sleep(Duration::from_millis(random.random_range(5..160)));
            if kill(child).is_none() {
                killed += 1;
            }
        }
        project.maint(&["run", "logs"]).code(0);
        assert_eq!(log_lines(&logs), expected, "round {round}");
        assert!(names(&logs).iter().all(|name| name.ends_with(".log.gz")), "{:?}", names(&logs));
    }
    println!("rotations: {} rounds, {killed} killed, no line lost or twice, nothing left behind", rounds());
}

#[test]
#[ignore = "belongs to scripts/soak"]
fn containers_come_back_from_every_kill() {
    let engine = Engine::shared();
    let mountpoint: PathBuf = engine.volume("soak");
    for i in 0..300 {
        fs::write(mountpoint.join(format!("f{i}")), vec![7; 30_000]).unwrap();
    }
    engine.run("soak-app", &["--volume", "soak:/data"]);
    let project = Project::new(&format!("[docker]\nhost = \"{}\"\n", engine.host()));
    let step = "volume_archive = { volume = \"soak\", stop = [\"soak-app\"], stop_timeout = 1 }";
    project.backup_job("soak", &[("v", step)]);
    let mut random = random(4);
    let (mut killed, mut slowest) = (0, Duration::ZERO);
    for _ in 0..rounds() / 4 {
        let child = project.start(&["run", "soak"]);
        std::thread::sleep(Duration::from_millis(random.random_range(0..2500)));
        if kill(child).is_none() {
            killed += 1;
        }
        let begun = Instant::now();
        // It may run now and be stopped by a request that was under way: it must run, and go on.
        loop {
            engine.wait_for("soak-app", "running", Duration::from_secs(10));
            let journals = names(&project.at("state/journals"));
            if !journals.iter().any(|n| !n.ends_with(".lock") && !n.contains("back")) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{journals:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        slowest = slowest.max(begun.elapsed());
        sets_are_whole(&project);
    }
    project.maint(&["recover"]).code(0);
    assert_eq!(engine.docker(&["ps", "--all", "--filter", "label=maint.helper", "--quiet"]), "");
    println!("containers: {} rounds, {killed} killed, back after at most {slowest:.1?}", rounds() / 4);
}
