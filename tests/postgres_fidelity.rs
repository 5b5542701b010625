//! What is captured comes back: a copy restored from the artifacts with standard tools gives the same `pg_dump` text as
//! a copy restored from plain `pg_dump`, for every hard case; and the same database gives the same bytes again.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/postgres.rs"]
mod postgres;

use std::{fs, path::Path, process::Command, sync::Arc};

use maint::{
    adapters::clock,
    model::{
        event::{EventSink, StepEvents},
        failure::{Class, Diagnose, chain},
        manifest::{Artifact, Source},
        secret::{Secret, SecretSource},
        stack::{PostgresAddress, PostgresServer, Stack},
    },
    steps::{Step, StepContext, StepError},
};
use postgres::{Cluster, Options, without_restrict};
use tokio_util::sync::CancellationToken;

/// The database of `hard_globals.sql`.
const HARD: &str = "höhe & \"tiefe\" %d";

fn context(stack: &Arc<Stack>, step: &str, staging: &Path) -> StepContext {
    fs::create_dir_all(staging).unwrap();
    let step: maint::model::ids::StepId = step.parse().unwrap();
    StepContext {
        stack: stack.clone(),
        jobs: std::sync::Arc::default(),
        job: "backup".parse().unwrap(),
        run: clock::run_id(),
        started: clock::now(),
        step: step.clone(),
        period: "202608".into(),
        staging: staging.to_owned(),
        earlier: [].into(),
        host_secret: Secret::new("a secret of this host".into()),
        cancel: CancellationToken::new(),
        events: StepEvents::new(EventSink::none(), step),
    }
}

async fn capture(server: PostgresServer, step: &str, toml: &str, staging: &Path) -> Result<Vec<Artifact>, StepError> {
    let stack = postgres::stack(staging, server);
    let parsed: Step = toml::from_str(toml).unwrap();
    assert!(parsed.problems(&stack).is_empty());
    parsed.run(&context(&stack, step, staging)).await.map(|report| report.artifacts)
}

async fn dump(cluster: &Cluster, database: &str, options: &str, staging: &Path) -> Artifact {
    let toml = format!("[postgres_dump]\nserver = \"production\"\n{options}");
    let mut artifacts = capture(cluster.server(database), "db", &toml, staging).await.unwrap();
    assert_eq!(artifacts.len(), 1);
    artifacts.remove(0)
}

async fn globals(server: PostgresServer, options: &str, staging: &Path) -> Result<Artifact, StepError> {
    let toml = format!("[postgres_globals]\nserver = \"production\"\n{options}");
    capture(server, "globals", &toml, staging).await.map(|mut artifacts| artifacts.remove(0))
}

/// Unpacks with the standard program, as an operator would.
fn unpack(program: &str, file: &Path) -> Vec<u8> {
    let output = Command::new(program).arg("-dc").arg(file).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// RESTORE.md's order: globals without the role that is there from birth, createdb, dump, properties.
fn restore(target: &Cluster, staging: &Path, globals: &Artifact, database: &Artifact) {
    let roles = String::from_utf8(unpack("zstd", &staging.join(&globals.packed.file))).unwrap();
    let Source::PostgresServer(server) = &globals.source else { panic!("{:?}", globals.source) };
    let own = format!("CREATE ROLE {};", server.bootstrap_superuser);
    let roles: String = roles.split_inclusive('\n').filter(|line| line.trim_end() != own).collect();
    target.restore("postgres", roles.as_bytes(), &[]);
    let Source::PostgresDatabase(facts) = &database.source else { panic!("{:?}", database.source) };
    let created = target.tool("createdb", "postgres").args(&facts.createdb_options).arg(&facts.database).output();
    assert!(created.as_ref().unwrap().status.success(), "{created:?}");
    target.restore(&facts.database, &unpack("zstd", &staging.join(&database.packed.file)), &[]);
    for companion in &database.companions {
        let sql = fs::read(staging.join(&companion.file)).unwrap();
        target.restore(&facts.database, &sql, &[("DBNAME", &facts.database)]);
    }
}

fn assert_same(what: &str, ours: &str, theirs: &str) {
    let differing: Vec<_> = ours.lines().zip(theirs.lines()).filter(|(a, b)| a != b).take(5).collect();
    assert!(ours == theirs, "{what} differ ({} and {} bytes), first lines: {differing:#?}", ours.len(), theirs.len());
}

#[tokio::test]
async fn every_hard_case_comes_back() {
    let source = Cluster::start();
    source.psql("postgres", include_str!("data/hard_globals.sql"));
    source.psql(HARD, include_str!("data/hard_cases.sql"));
    let staging = tempfile::tempdir().unwrap();
    let database = dump(&source, HARD, "", staging.path()).await;
    let roles = globals(source.server("postgres"), "", staging.path()).await.unwrap();
    assert_eq!(roles.counts.roles, Some(5));

    let plain = String::from_utf8(unpack("zstd", &staging.path().join(&database.packed.file))).unwrap();
    assert_same("our dump and plain pg_dump", &without_restrict(&plain), &source.pg_dump(HARD, &[]));
    assert!(!plain.contains("\n\\connect "), "the dump must go where psql is told to");

    let ours = Cluster::start();
    restore(&ours, staging.path(), &roles, &database);
    let theirs = Cluster::start();
    theirs.restore("postgres", source.globals().replace("CREATE ROLE postgres;\n", "").as_bytes(), &[]);
    theirs.restore("postgres", source.pg_dump(HARD, &["--create"]).as_bytes(), &[]);

    assert_same("the roles", &ours.globals(), &theirs.globals());
    assert_same("the copies", &ours.pg_dump(HARD, &["--create"]), &theirs.pg_dump(HARD, &["--create"]));
}

#[tokio::test]
async fn an_unchanged_database_gives_the_same_bytes_again() {
    let source = Cluster::start();
    source.psql("postgres", include_str!("data/hard_cases.sql"));
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for options in ["", "compression = \"gzip\""] {
        let a = dump(&source, "postgres", options, first.path()).await;
        let b = dump(&source, "postgres", options, second.path()).await;
        assert_eq!((&a.packed, &a.contents, &a.companions), (&b.packed, &b.contents, &b.companions));
    }
    let a = globals(source.server("postgres"), "", first.path()).await.unwrap();
    let b = globals(source.server("postgres"), "", second.path()).await.unwrap();
    assert_eq!((a.packed, a.contents), (b.packed, b.contents));
    let zstd = unpack("zstd", &first.path().join("db-202608.sql.zst"));
    assert_eq!(zstd, unpack("gzip", &first.path().join("db-202608.sql.gz")));
}

#[tokio::test]
async fn writes_during_the_dump_are_in_it_whole_or_not_at_all() {
    let source = Cluster::start();
    source.psql(
        "postgres",
        "CREATE TABLE a_log (id bigserial, pad text); CREATE TABLE bulk AS SELECT i, repeat('x', 200) FROM generate_series(1, 150000) i;
         CREATE TABLE z_total (n bigint); INSERT INTO z_total VALUES (0);",
    );
    let busy =
        "DO $$ BEGIN LOOP INSERT INTO a_log (pad) VALUES ('p'); UPDATE z_total SET n = n + 1; COMMIT; END LOOP; END $$";
    let mut writer =
        source.tool("psql", "postgres").args(["-Xqc", busy]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let staging = tempfile::tempdir().unwrap();
    let database = dump(&source, "postgres", "", staging.path()).await;
    source.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO %'");
    writer.wait().unwrap();
    let written: i64 = source.psql("postgres", "SELECT n FROM z_total").parse().unwrap();
    let copy = Cluster::start();
    copy.restore("postgres", &unpack("zstd", &staging.path().join(&database.packed.file)), &[]);
    let kept = copy.psql("postgres", "SELECT (SELECT count(*) FROM a_log) = n, n FROM z_total");
    let (consistent, kept) = kept.split_once('|').unwrap();
    assert_eq!(consistent, "t");
    assert!(kept.parse::<i64>().unwrap() < written, "nothing was written while the dump ran: {kept} of {written}");
}

#[tokio::test]
async fn without_the_passwords_the_operator_must_say_so() {
    let source = Cluster::start();
    source.psql("postgres", "CREATE ROLE app LOGIN PASSWORD 'x'; CREATE ROLE backup LOGIN");
    let staging = tempfile::tempdir().unwrap();
    let server = || PostgresServer { user: "backup".into(), ..source.server("postgres") };
    let error = globals(server(), "", staging.path()).await.unwrap_err();
    assert_eq!(error.class(), Class::Failed);
    assert!(chain(&error).contains("backup may not read the passwords"), "{}", chain(&error));
    assert!(error.hint().unwrap().contains("role_passwords = false"));
    assert_eq!(fs::read_dir(staging.path()).unwrap().count(), 0);
    let artifact = globals(server(), "role_passwords = false", staging.path()).await.unwrap();
    assert!(artifact.not_kept[0].contains("passwords"), "{:?}", artifact.not_kept);
    let text = String::from_utf8(unpack("zstd", &staging.path().join(&artifact.packed.file))).unwrap();
    assert!(text.contains("CREATE ROLE app;") && !text.contains("PASSWORD"), "{text}");
}

#[tokio::test]
async fn a_database_is_made_anew_with_its_locale_and_tablespace() {
    let source =
        Cluster::start_with(&Options { settings: &[("allow_in_place_tablespaces", "on")], ..Options::default() });
    source.psql("postgres", "CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-AT'");
    source.psql("icu", "CREATE TABLE t AS SELECT 'ä' AS a");
    let staging = tempfile::tempdir().unwrap();
    let roles = globals(source.server("postgres"), "", staging.path()).await.unwrap();
    let database = dump(&source, "icu", "", staging.path()).await;
    let copy = Cluster::start();
    restore(&copy, staging.path(), &roles, &database);
    assert_same("the copies", &copy.pg_dump("icu", &["--create"]), &source.pg_dump("icu", &["--create"]));
    source.psql("postgres", "CREATE TABLESPACE fast LOCATION ''");
    source.psql("postgres", "CREATE DATABASE elsewhere TABLESPACE fast");
    let Source::PostgresDatabase(facts) = dump(&source, "elsewhere", "", &staging.path().join("2")).await.source else {
        panic!("no database");
    };
    assert!(facts.createdb_options.contains(&"--tablespace=fast".to_owned()), "{:?}", facts.createdb_options);
}

#[tokio::test]
async fn the_password_reaches_the_tool_by_a_private_file_alone() {
    let source = Cluster::start_with(&Options {
        hba: Some("local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"),
        tcp: true,
        ..Options::default()
    });
    source.psql("postgres", r"ALTER ROLE postgres PASSWORD 'ge:heim\1'");
    let seen = tempfile::tempdir().unwrap();
    let tools = double(&format!(
        "cd {} && cat /proc/$$/environ /proc/$$/cmdline > seen && stat -c %a \"$PGPASSFILE\" > mode && exec \"$REAL\" \"$@\"",
        seen.path().display()
    ));
    let server = PostgresServer {
        bin_dir: Some(tools.path().to_owned()),
        address: PostgresAddress::Host { host: "127.0.0.1".into(), port: source.port },
        password: Some(SecretSource::Inline(Secret::new(r"ge:heim\1".into()))),
        ..source.server("postgres")
    };
    let staging = tempfile::tempdir().unwrap();
    globals(server, "", staging.path()).await.unwrap();
    let told = String::from_utf8_lossy(&fs::read(seen.path().join("seen")).unwrap()).into_owned();
    assert!(told.contains("PGPASSFILE=") && !told.contains("heim"), "{told}");
    assert_eq!(fs::read_to_string(seen.path().join("mode")).unwrap(), "600\n");
    assert_eq!(fs::read_dir(staging.path()).unwrap().count(), 2, "the passfile must be gone");
}

/// A `pg_dumpall` of our own around the real one, which the script has as `$REAL`.
fn double(script: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let bin = postgres::bin_dir();
    std::os::unix::fs::symlink(bin.join("pg_dump"), dir.path().join("pg_dump")).unwrap();
    let text = format!("#!/bin/sh\nREAL={}\n{script}\n", bin.join("pg_dumpall").display());
    let program = dir.path().join("pg_dumpall");
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

#[tokio::test]
async fn half_a_list_of_roles_is_no_artifact() {
    let source = Cluster::start();
    source.psql("postgres", "CREATE ROLE app; CREATE ROLE other");
    for (script, said) in [
        ("\"$REAL\" \"$@\"; exit 3", "exited with 3"),
        ("\"$REAL\" \"$@\" | head -n 30", "cannot be used"),
        ("\"$REAL\" \"$@\" | grep -v 'ROLE app'", "wrote 2 roles, the catalogue has 3"),
        ("\"$REAL\" \"$@\"; kill -9 $$", "killed by signal 9"),
    ] {
        let tools = double(script);
        let server = PostgresServer { bin_dir: Some(tools.path().to_owned()), ..source.server("postgres") };
        let staging = tempfile::tempdir().unwrap();
        let error = globals(server, "", staging.path()).await.unwrap_err();
        assert!(chain(&error).contains(said), "{script}: {}", chain(&error));
        assert_eq!(fs::read_dir(staging.path()).unwrap().count(), 0, "{script}");
    }
}
