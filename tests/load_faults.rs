//! What goes wrong while a dump is loaded is said clearly, blamed on the right one, and hangs nowhere.

#![expect(clippy::disallowed_methods, reason = "tests set their stage")]

#[path = "support/load.rs"]
mod load;
#[path = "support/postgres.rs"]
mod postgres;

use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use load::{Captured, Target, dump};
use maint::{
    backup::load::{self as loader, LoadError},
    model::failure::{Class, Diagnose, chain},
};
use postgres::{Cluster, Options};
use tokio_util::sync::CancellationToken;

const BIG: &str = "CREATE TABLE a AS SELECT i, repeat(md5(i::text), 20) AS pad FROM generate_series(1, 60000) i;
    CREATE TABLE b AS SELECT * FROM a; CREATE INDEX ON a (left(pad, 30)); CREATE INDEX ON b (left(pad, 30));";

async fn captured(sql: &str) -> Captured {
    let source = Cluster::start();
    source.psql("postgres", "CREATE DATABASE a");
    source.psql("a", sql);
    dump(&source, "a", "").await
}

fn target(options: &Options<'_>) -> (Cluster, Target) {
    let cluster = Cluster::start_with(options);
    cluster.psql("postgres", "CREATE DATABASE a");
    let target = Target::new(&cluster, "a");
    (cluster, target)
}

fn assert_fails(result: Result<loader::Loaded, LoadError>, class: Class, said: &[&str]) {
    let error = result.expect_err("the load should have failed");
    let text = chain(&error);
    assert_eq!(error.class(), class, "{text}");
    assert!(said.iter().all(|said| text.contains(said)), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_statement_is_named_with_its_place() {
    let captured = captured("CREATE TABLE fine (a int); CREATE TABLE there (a int); INSERT INTO fine VALUES (1)").await;
    let (cluster, target) = target(&Options::default());
    cluster.psql("a", "CREATE TABLE there (b int)");
    let said = ["a does not restore: CREATE TABLE public.there", "near byte", "relation \"there\" already exists"];
    assert_fails(target.load(&captured, 2).await, Class::Verification, &said);
    assert_eq!(cluster.psql("a", "SELECT count(*) FROM fine"), "0", "it stops at the first error");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_rows_are_named_also_when_their_order_was_tried() {
    let source = Cluster::start();
    source.psql("postgres", "CREATE DATABASE a; ALTER DATABASE a SET my.mood = 'good'");
    source.psql("a", "CREATE TABLE picky (a int CHECK (current_setting('my.mood', true) = 'good' AND a > 0)); INSERT INTO picky VALUES (1);
        CREATE TABLE other AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)");
    let captured = dump(&source, "a", "").await;
    let (_cluster, target) = target(&Options { settings: &[("my.mood", "bad")], ..Options::default() });
    let said = ["the rows of public.picky", "violates check constraint"];
    assert_fails(target.load(&captured, 2).await, Class::Verification, &said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_lacks_something_is_damaged() {
    let captured = captured(BIG).await;
    let path = captured.files().artifact;
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (bytes, said) in [(&whole[..whole.len() / 2], "ends inside the frame"), (&flipped[..], "cannot be decoded")] {
        fs::write(&path, bytes).unwrap();
        let (_cluster, target) = target(&Options::default());
        assert_fails(target.load(&captured, 2).await, Class::Verification, &[said]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_lacks_is_not_the_dumps_fault() {
    postgres::fake_extension("maint_gone", "CREATE TABLE gone (a int);");
    let captured = captured("CREATE EXTENSION maint_gone; CREATE TABLE t (a int)").await;
    postgres::remove_extension("maint_gone");
    let (_cluster, target) = target(&Options::default());
    let said = ["the server lacks what a needs: CREATE EXTENSION IF NOT EXISTS maint_gone", "not available"];
    assert_fails(target.load(&captured, 2).await, Class::Unverifiable, &said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_is_not_the_dumps_fault() {
    let captured = captured(BIG).await;
    let settings = [("temp_file_limit", "64kB"), ("maintenance_work_mem", "1MB")];
    let (_cluster, target) = target(&Options { settings: &settings, ..Options::default() });
    assert_fails(
        target.load(&captured, 2).await,
        Class::Unverifiable,
        &["no room for a: CREATE INDEX", "temp_file_limit"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_stopped_leaves_nothing_at_work() {
    let captured = captured(BIG).await;
    let (cluster, target) = target(&Options::default());
    for phase in ["public.", "CREATE INDEX"] {
        cluster.psql("postgres", "DROP DATABASE a");
        cluster.psql("postgres", "CREATE DATABASE a");
        let cancel = CancellationToken::new();
        let stop = |_, _, what: &str| {
            if what.starts_with(phase) {
                cancel.cancel()
            }
        };
        let begun = Instant::now();
        let error = loader::database(&target.options(2), &captured.files(), &cancel, &stop).await.unwrap_err();
        assert_eq!(error.class(), Class::Interrupted);
        assert!(begun.elapsed() < Duration::from_secs(20));
        let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'maint load%'";
        assert_eq!(cluster.psql("postgres", left), "0", "stopped at {phase}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_lost_is_not_the_dumps_fault() {
    let captured = captured(BIG).await;
    for phase in ["public.", "CREATE INDEX", "compare"] {
        let (cluster, target) = target(&Options::default());
        if phase == "compare" {
            target.load(&captured, 2).await.unwrap();
        }
        let (cluster, crashed) = (Mutex::new(cluster), AtomicBool::new(false));
        let crash = |_, _, what: &str| {
            if (phase == "compare" || what.starts_with(phase)) && !crashed.swap(true, Ordering::SeqCst) {
                cluster.lock().unwrap().crash();
            }
        };
        let never = CancellationToken::new();
        let begun = Instant::now();
        let error = match phase {
            "compare" => {
                let single = target.options(1);
                loader::compare(&single, &captured.contents(), &never, &crash).await.map(|_| ()).unwrap_err()
            }
            _ => loader::database(&target.options(2), &captured.files(), &never, &crash).await.map(|_| ()).unwrap_err(),
        };
        assert_eq!(error.class(), Class::Unverifiable, "{phase}: {}", chain(&error));
        assert!(begun.elapsed() < Duration::from_secs(30), "{phase}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_interruption_is_not_the_dumps_fault() {
    let captured = captured(BIG).await;
    let (cluster, target) = target(&Options::default());
    let once = AtomicBool::new(false);
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'maint load%'";
    let interrupt = |_, _, what: &str| {
        if what == "public.b" && !once.swap(true, Ordering::SeqCst) {
            cluster.psql("postgres", cancel);
        }
    };
    let never = CancellationToken::new();
    let error = loader::database(&target.options(1), &captured.files(), &never, &interrupt).await.unwrap_err();
    assert_eq!(error.class(), Class::Unverifiable, "{}", chain(&error));
    assert!(chain(&error).contains("canceling statement"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_counted_as_the_server_takes_them() {
    let captured = captured("CREATE TABLE t AS SELECT 1 AS a").await;
    let plain = zstd::decode_all(&fs::read(captured.contents()).unwrap()[..]).unwrap();
    let text = String::from_utf8(plain).unwrap().replace("\"rows\":1,", "\"rows\":2,");
    fs::write(captured.contents(), zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    let (_cluster, target) = target(&Options::default());
    assert_fails(target.load(&captured, 1).await, Class::Verification, &["public.t took 1 rows of 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_not_the_dumps_fault() {
    let captured = captured("CREATE TABLE t AS SELECT 1 AS a").await;
    let (cluster, target) = target(&Options::default());
    drop(cluster);
    assert_fails(target.load(&captured, 2).await, Class::Unverifiable, &["connecting to production"]);
}
