//! Backups under load that are restored and compared before they count, again and again.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rand::RngExt;
use serde_json::Value;

use super::{
    from_env,
    postgres::{Cluster, SUPERUSER},
    project::{Project, names, wait_for},
};

/// As large as pgbench makes it: two million accounts, about 200 MB of dump.
const SCALE: &str = "20";
/// Fewer would be no load.
const FEWEST: u64 = 200;
/// How large the history may grow between two rounds.
const HISTORY_ROWS: &str = "300000";

/// What pgbench's own transactions do not have: a sequence, a table with an index that only grows at its end, and large
/// objects that come, change and go. It is one transaction: a snapshot sees all of it or nothing.
const SECOND_WRITER: &str = "\
BEGIN;
INSERT INTO papers (content) VALUES (lo_from_bytea(0, convert_to(repeat(md5(random()::text), 200), 'UTF8')));
SELECT nextval('visits');
SELECT lo_put(content, 0, convert_to(md5(random()::text), 'UTF8')) FROM papers ORDER BY id DESC OFFSET 20 LIMIT 1;
WITH old AS (DELETE FROM papers WHERE id < (SELECT max(id) - 300 FROM papers) RETURNING content)
SELECT count(lo_unlink(content)) FROM old;
END;
";

/// Writers that never pause; ended when dropped.
struct Load(Vec<Child>);

impl Load {
    fn begin(cluster: &Cluster, project: &Project) -> Self {
        let second = project.write("second.sql", SECOND_WRITER);
        let forever = ["-n", "-T", "1000000", "--random-seed=1"];
        let pgbench = |what: &[&str], log: &str| {
            let log = fs::File::create(project.at(log)).unwrap();
            let mut pgbench = cluster.tool("pgbench", "shop");
            pgbench.args(forever).args(what).stdout(Stdio::null()).stderr(log).spawn().unwrap()
        };
        let second = ["-c", "1", "-R", "40", "-f", second.to_str().unwrap()];
        Self(vec![pgbench(&["-c", "2"], "pgbench.log"), pgbench(&second, "second.log")])
    }

    /// One that met an error has ended; then nothing was proved under load.
    fn goes_on(&mut self, project: &Project) {
        for (child, log) in self.0.iter_mut().zip(["pgbench.log", "second.log"]) {
            let log = || fs::read_to_string(project.at(log)).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "{}", log());
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn stage() -> (Cluster, Project) {
    let cluster = Cluster::start();
    cluster.psql(
        "postgres",
        "CREATE DATABASE shop; CREATE ROLE clerk LOGIN; CREATE ROLE audit NOLOGIN; GRANT audit TO clerk;",
    );
    let made = cluster.tool("pgbench", "shop").args(["-i", "-q", "-s", SCALE, "--foreign-keys"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    cluster.psql(
        "shop",
        "CREATE TABLE papers (id bigserial PRIMARY KEY, content oid NOT NULL, at timestamptz DEFAULT now()); \
         CREATE SEQUENCE visits CACHE 5; CREATE INDEX ON pgbench_history (aid); GRANT SELECT ON papers TO audit;",
    );
    let socket = cluster.socket_dir().display();
    let project = Project::new(&format!(
        "[postgres.p]\nsocket = \"{socket}\"\nport = {}\nuser = \"{SUPERUSER}\"\ndbname = \"shop\"\n",
        cluster.port
    ));
    project.write(
        "jobs/all.toml",
        "description = \"drills under load\"\n[backup]\nseries = \"all\"\nperiod = \"month\"\nverify = \"drill\"\n\
         [[step]]\nid = \"db\"\nretries = 0\ndo.postgres_dump = { server = \"p\", databases = [\"shop\"] }\n\
         [[step]]\nid = \"globals\"\nretries = 0\ndo.postgres_globals = { server = \"p\" }\n",
    );
    (cluster, project)
}

/// The transactions that wrote: those before the first number have ended, those from the second on had not begun.
///
/// Statistics are up to a second late; numbers of transactions are not.
fn transactions(cluster: &Cluster) -> (u64, u64) {
    let said = cluster.psql("shop", "SELECT pg_snapshot_xmin(s), pg_snapshot_xmax(s) FROM pg_current_snapshot() s");
    let (ended, begun) = said.split_once('|').unwrap();
    (ended.parse().unwrap(), begun.parse().unwrap())
}

/// Runs the job; gives how many transactions began and ended while it dumped the database.
fn run(cluster: &Cluster, project: &Project) -> u64 {
    let mut maint = project.command(&["run", "all", "--json"]);
    let errors = fs::File::create(project.at("errors")).unwrap();
    let mut maint = maint.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
    let (mut before, mut after, mut told) = (None, None, String::new());
    for line in BufReader::new(maint.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        match (event["event"].as_str().unwrap(), event["step"].as_str()) {
            ("step_started", Some("db")) => before = Some(transactions(cluster)),
            ("step_finished", Some("db")) => after = Some(transactions(cluster)),
            ("progress", _) => continue,
            _ => {}
        }
        told += &(line + "\n");
    }
    let status = maint.wait().unwrap();
    let errors = fs::read_to_string(project.at("errors")).unwrap();
    assert_eq!(status.code(), Some(0), "{told}{errors}");
    after.unwrap().0.saturating_sub(before.unwrap().1)
}

/// Reads the evidence of the one set, and removes it; gives how long restoring took.
fn evidence(project: &Project, round: u64) -> u64 {
    let sets = project.sets();
    let [set] = sets.as_slice() else { panic!("round {round}: {sets:?}") };
    let dir = project.at("backups").join(set);
    let manifest: Value = serde_json::from_slice(&fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let verification = &manifest["verification"];
    assert_eq!(verification["level"], "drill", "round {round}: {verification}");
    let drill = &verification["drill"];
    let all = drill["restored"].to_string();
    for what in ["rows in 5 tables", "large objects", "values of 2 sequences", "roles, memberships"] {
        assert!(all.contains(what), "round {round}: {what}: {all}");
    }
    fs::remove_dir_all(dir).unwrap();
    drill["recovery_millis"].as_u64().unwrap()
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
#[ignore = "belongs to scripts/soak"]
fn drills_under_load_are_equal() {
    let rounds = from_env("MAINT_SOAK_DRILLS", 50);
    let (cluster, project) = stage();
    let mut load = Load::begin(&cluster, &project);
    // The first dump is to have of everything too.
    wait_for("the second writer", || cluster.psql("shop", "SELECT count(*) > 30 FROM papers") == "t");
    let (mut commits, mut restored, mut ends) = (Vec::new(), Vec::new(), HashSet::new());
    for round in 0..rounds {
        commits.push(run(&cluster, &project));
        restored.push(evidence(&project, round));
        load.goes_on(&project);
        let committed = commits.last().unwrap();
        assert!(*committed >= FEWEST, "round {round}: only {committed} transactions ended during the dump");
        ends.insert(cluster.psql("shop", "SELECT last_value FROM visits"));
        let full = format!("SELECT count(*) > {HISTORY_ROWS} FROM pgbench_history");
        if cluster.psql("shop", &full) == "t" {
            cluster.psql("shop", "TRUNCATE pgbench_history");
        }
    }
    assert_eq!(ends.len() as u64, rounds, "the second writer stood still");
    nothing_is_left(&project);
    let (fewest, most) = (*commits.iter().min().unwrap(), *commits.iter().max().unwrap());
    println!(
        "drills: {rounds} rounds under pgbench (scale {SCALE}), {fewest} to {most} commits during each dump (median {}), \
         all equal; restored in {:.1} s (median)",
        median(&mut commits),
        f64::from(u32::try_from(median(&mut restored)).unwrap()) / 1000.0
    );
}

/// No staging, no throwaway server, no scratch.
fn nothing_is_left(project: &Project) {
    assert_eq!(project.staging(), Vec::<String>::new());
    let scratch = project.at("state/drill");
    let servers = Command::new("pgrep").arg("-f").arg(&scratch).output().unwrap().stdout;
    assert_eq!(String::from_utf8(servers).unwrap(), "");
    assert_eq!(names(&scratch), Vec::<String>::new());
}

#[test]
#[ignore = "belongs to scripts/soak"]
fn drills_killed_at_any_moment_leave_whole_sets_or_none() {
    let (_cluster, project) = super::stage();
    let path = project.at("jobs/all.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[backup]\n", "[backup]\nverify = \"drill\"\n")).unwrap();
    let begun = Instant::now();
    project.maint(&["run", "all"]).code(0);
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap();
    super::sets_are_whole(&project);
    let mut random = super::random(5);
    let (rounds, mut killed, mut in_drill, mut published) = (super::rounds() / 4, 0, 0, 0);
    for round in 0..rounds {
        let child = project.start(&["run", "all"]);
        std::thread::sleep(Duration::from_millis(random.random_range(0..whole)));
        if super::kill(child).is_none() {
            killed += 1;
            in_drill += usize::from(!names(&project.at("state/drill")).is_empty());
        }
        published += super::sets_are_whole(&project);
        let by = if round % 5 == 4 { ["run", "all"].as_slice() } else { &["recover"] };
        project.maint(by).code(0);
        published += super::sets_are_whole(&project);
        nothing_is_left(&project);
    }
    println!("killed drills: {rounds} rounds, {killed} killed, {in_drill} in the drill; {published} sets, all whole");
}
