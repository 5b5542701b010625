//! What would make it better: planted problems are found, and nothing else is.

use serde_json::Value;

use super::history::{job, project, report, shared};
use crate::{
    postgres::{Cluster, Options},
    project::Project,
};

/// What a server should have, against what test servers have.
const SOUND: &[(&str, &str)] = &[("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "on")];
/// Small things count here.
const STEP: &str =
    "recommendations = { server = \"production\", containers = false, least_days = 0, index_mb = 0.1, bloat_mb = 0.5 }";

const CLEAN: &str = "
CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE invoice (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer, total numeric NOT NULL);
CREATE INDEX invoice_customer ON invoice (customer);
INSERT INTO customer SELECT n, 'name ' || n FROM generate_series(1, 2000) n;
INSERT INTO invoice SELECT n, 1 + n % 2000, n FROM generate_series(1, 20000) n;
ANALYZE;
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT count(*) FROM invoice WHERE customer = 7; SELECT count(*) FROM customer WHERE id = 7;
SELECT pg_stat_force_next_flush();";

const PLANTED: &str = "
CREATE INDEX invoice_unused ON invoice (total);
CREATE TABLE line (id int PRIMARY KEY, invoice int NOT NULL CONSTRAINT line_invoice REFERENCES invoice, \"What\" text);
INSERT INTO line SELECT n, 1 + n % 20000, repeat('x', 200) FROM generate_series(1, 30000) n;
ALTER TABLE line SET (autovacuum_enabled = off);
DELETE FROM line WHERE id % 10 <> 0;
SELECT count(*) FROM line WHERE id = 10;
VACUUM ANALYZE;
SELECT pg_stat_force_next_flush();";

fn stage(cluster: &Cluster, url: &str) -> Project {
    let project = project(
        url,
        &format!(
            "[postgres.production]\nsocket = \"{}\"\nuser = \"postgres\"\ndbname = \"shop\"\n",
            cluster.socket_dir().display()
        ),
    );
    job(&project, "recommendations", STEP);
    project
}

/// The findings as `band subject: seen → hint`.
fn found(report: &Value) -> Vec<String> {
    let areas = report["areas"].as_array().unwrap().iter();
    let findings = areas.flat_map(|area| area["findings"].as_array().unwrap());
    let text = |f: &Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
    findings
        .map(|f| format!("{} {}: {} → {}", text(f, "band"), text(f, "subject"), text(f, "seen"), text(f, "hint")))
        .collect()
}

#[test]
fn planted_problems_are_found_and_none_is_invented() {
    let cluster = Cluster::start_with(&Options { settings: SOUND, ..Options::default() });
    cluster.psql("postgres", "CREATE DATABASE shop");
    cluster.psql("shop", CLEAN);
    let server = shared();
    let project = stage(&cluster, &server.url());
    let (clean, page) = report(&project, "recommendations", 0);
    assert_eq!(found(&clean), Vec::<String>::new(), "{clean:#}");
    assert!(
        page.contains("Nothing to change") && page.contains("Unused indexes") && page.contains("looked at"),
        "{page}"
    );

    cluster.psql("shop", PLANTED);
    cluster.psql("shop", "ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf();");
    let (planted, page) = report(&project, "recommendations", 1);
    let findings = found(&planted);
    for parts in [
        &[
            "warning public.invoice_unused: ",
            "no query used",
            "CREATE INDEX invoice_unused",
            "→ DROP INDEX CONCURRENTLY \"public\".\"invoice_unused\";",
        ][..],
        &[
            "warning public.line.line_invoice: ",
            "has no index",
            "→ CREATE INDEX CONCURRENTLY ON \"public\".\"line\" (\"invoice\");",
        ],
        &[
            "critical autovacuum: ",
            "configuration file",
            "→ ALTER SYSTEM SET autovacuum = 'on'; SELECT pg_reload_conf();",
        ],
        &["warning table public.line: ", "is air", "→ VACUUM (VERBOSE, ANALYZE) \"public\".\"line\";"],
        &["warning index public.line_pkey: ", "is air", "→ REINDEX INDEX CONCURRENTLY \"public\".\"line_pkey\";"],
    ] {
        assert!(findings.iter().any(|f| parts.iter().all(|p| f.contains(p))), "{parts:?} is not in {findings:#?}");
    }
    let about_others =
        findings.iter().filter(|f| !["invoice_unused", "line", "autovacuum"].iter().any(|name| f.contains(name)));
    assert_eq!(about_others.collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(page.contains("<pre><code>DROP INDEX CONCURRENTLY"), "{page}");

    // Each command can be run as it is, and what was done is recommended no more.
    let hints = findings.iter().filter(|f| !f.starts_with("warning table ")).filter_map(|f| f.split_once(" → "));
    hints.for_each(|(_, hint)| drop(cluster.psql("shop", hint)));
    let (done, _) = report(&project, "recommendations", 0);
    assert!(found(&done).iter().all(|f| f.starts_with("warning table public.line: ")), "{:#?}", found(&done));
}

#[test]
fn a_small_cache_and_tables_that_are_read_whole_are_found() {
    let settings = &[("shared_buffers", "1MB"), ("max_parallel_workers_per_gather", "0")];
    let cluster = Cluster::start_with(&Options { settings, ..Options::default() });
    cluster.psql("postgres", "CREATE DATABASE shop");
    cluster.psql(
        "shop",
        "CREATE TABLE event (id int PRIMARY KEY, kind text);
         INSERT INTO event SELECT n, repeat('x', 1200) FROM generate_series(1, 12000) n;
         VACUUM ANALYZE event;
         DO $$ BEGIN FOR n IN 1..110 LOOP PERFORM count(*) FROM event WHERE kind = 'y'; END LOOP; END $$;",
    );
    // Backups and people ask for checkpoints: no reason to want more room for WAL.
    cluster.psql("shop", &"CHECKPOINT;".repeat(101));
    let server = shared();
    let (told, _) = report(&stage(&cluster, &server.url()), "recommendations", 1);
    let findings = found(&told);
    for parts in [
        &["warning public.event: ", "read whole 11", "query ILIKE '%event%'"][..],
        &["warning cache hit ratio: ", "-c shared_buffers=", "instead of -c shared_buffers=1MB"],
    ] {
        assert!(findings.iter().any(|f| parts.iter().all(|p| f.contains(p))), "{parts:?} is not in {findings:#?}");
    }
    assert!(!findings.iter().any(|f| f.contains("max_wal_size")), "{findings:#?}");
}

#[test]
fn settings_of_the_command_line_and_slow_statements_are_found() {
    let settings = &[("fsync", "off"), ("shared_preload_libraries", "pg_stat_statements")];
    let cluster = Cluster::start_with(&Options { settings, ..Options::default() });
    cluster.psql("postgres", "CREATE DATABASE shop");
    cluster.psql("shop", "CREATE EXTENSION pg_stat_statements; CREATE TABLE t (secret text)");
    for _ in 0..5 {
        cluster.psql("shop", "SELECT count(*), pg_sleep(0.25) FROM t WHERE secret = 'hunter2'");
    }
    cluster.psql("shop", "CREATE ROLE r PASSWORD 'hunter2'");
    let server = shared();
    let (told, page) = report(&stage(&cluster, &server.url()), "recommendations", 1);
    let findings = found(&told);
    assert!(
        findings.iter().any(|f| f.contains("critical fsync") && f.contains("→ -c fsync=on instead of -c fsync=off")),
        "{findings:#?}"
    );
    let slow = findings.iter().find(|f| f.contains("5 calls")).unwrap_or_else(|| panic!("{findings:#?}"));
    let (_, hint) = slow.split_once(" → ").unwrap();
    let plan = cluster.psql("shop", hint);
    assert!(plan.contains("Seq Scan on t"), "{hint}\n{plan}");
    assert!(!page.contains("hunter2"));
}

#[test]
fn containers_get_what_their_peaks_need() {
    let server = shared();
    let project = project(&server.url(), "");
    job(&project, "recommendations", "recommendations = {}");
    let (told, page) = report(&project, "recommendations", 0);
    let findings = found(&told);
    // A peak that one sample in 8640 had; the other one has room.
    assert!(
        findings.len() == 1 && findings[0].contains("prod-api-1") && findings[0].contains("memory: 345M"),
        "{findings:#?}"
    );
    assert!(page.contains("services:\n  api:"), "{page}");
    job(&project, "recommendations", "recommendations = { logs = [\"logs\"], logs_mb = 0.001, containers = false }");
    project.write("logs/a/b.log", &"x".repeat(2000));
    let (told, _) = report(&project, "recommendations", 0);
    assert!(found(&told)[0].contains("logs/a/b.log (2.0 kB)"), "{told:#}");
}

#[test]
fn what_cannot_be_looked_at_is_unknown() {
    let cluster = Cluster::start_with(&Options { settings: SOUND, ..Options::default() });
    cluster.psql("postgres", "CREATE DATABASE shop");
    let project = stage(&cluster, "http://127.0.0.1:1");
    job(&project, "recommendations", "recommendations = { server = \"production\" }");
    let (young, page) = report(&project, "recommendations", 4);
    let findings = found(&young);
    // Statistics of a minute say nothing of what a month uses; nobody knows the containers.
    assert!(findings.len() == 2 && findings.iter().all(|f| f.starts_with("unknown ")), "{findings:#?}");
    assert!(findings[0].contains("would seem unused") && findings[1].contains("no answer"), "{findings:#?}");
    assert!(page.contains("2 things could not be judged"));
    drop(cluster);
    let (down, _) = report(&project, "recommendations", 4);
    assert!(found(&down)[0].starts_with("unknown database: "), "{down:#}");
}
