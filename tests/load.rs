//! A captured database is loaded into an empty one over maint's own connections, and is the same afterwards.

#[path = "support/load.rs"]
mod load;
#[path = "support/postgres.rs"]
mod postgres;

use load::{Target, assert_same, capture, createdb, dump, round_trip};
use maint::{
    backup::load::{Existing, GlobalsOptions, LoadError, Tablespaces, globals, properties},
    model::{
        failure::{Class, Diagnose},
        stack::PostgresServer,
    },
};
use postgres::{Cluster, Options};

/// The database of `hard_globals.sql`.
const HARD: &str = "höhe & \"tiefe\" %d";
const IN_PLACE: Options<'_> =
    Options { settings: &[("allow_in_place_tablespaces", "on")], initdb: &[], hba: None, tcp: false, prepare: None };

const DRILL: GlobalsOptions<'_> = GlobalsOptions {
    bootstrap_superuser: "postgres",
    existing: Existing::Refuse,
    tablespaces: Tablespaces::InPlace,
    go_on: false,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_hard_case_comes_back_with_any_number_of_connections() {
    let source = Cluster::start_with(&IN_PLACE);
    source.psql("postgres", include_str!("data/hard_globals.sql"));
    source.psql(HARD, include_str!("data/hard_cases.sql"));
    source.psql("postgres", "CREATE TABLESPACE \"fast LOCATION 'x'\" OWNER app LOCATION ''");
    source.psql(
        HARD,
        "CREATE TABLE app.elsewhere (a int PRIMARY KEY) TABLESPACE \"fast LOCATION 'x'\";
         INSERT INTO app.elsewhere VALUES (1);
         CREATE FUNCTION app.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE EVENT TRIGGER no_tables ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION app.on_ddl();",
    );
    let roles = capture(source.server("postgres"), "postgres_globals", "").await;
    let theirs = Cluster::start_with(&IN_PLACE);
    let globals_sql = source.globals().replace("CREATE ROLE postgres;\n", "");
    let globals_sql: String = globals_sql
        .split_inclusive('\n')
        .map(|line| match line.find(" LOCATION 'pg_tblspc") {
            Some(at) => format!("{} LOCATION '';\n", &line[..at]),
            None => line.to_owned(),
        })
        .collect();
    theirs.restore("postgres", globals_sql.as_bytes(), &[]);
    theirs.restore("postgres", source.pg_dump(HARD, &["--create"]).as_bytes(), &[]);
    for (jobs, options) in [(1, ""), (2, ""), (4, ""), (2, "compression = \"gzip\"")] {
        let target = Cluster::start();
        let postgres = Target::new(&target, "postgres");
        let session = postgres.session().await;
        let loaded = globals(&session, &roles.files(), &DRILL).await.unwrap();
        assert_eq!((loaded.created.len(), loaded.tablespaces), (4, true), "{loaded:?}");
        let captured = dump(&source, HARD, options).await;
        createdb(&target, &captured, HARD);
        let to = Target::new(&target, HARD);
        let loaded = to.load(&captured, jobs).await.unwrap_or_else(|e| panic!("{}", maint::model::failure::chain(&e)));
        assert_eq!(loaded.sequential, None);
        let compared = to.compare(&captured, jobs).await;
        assert_eq!(compared.differences, Vec::<String>::new());
        assert_eq!((compared.tables, compared.large_objects), (captured.artifact.counts.tables.unwrap(), 3));
        assert_same("the copies", &target.pg_dump(HARD, &[]), &theirs.pg_dump(HARD, &[]));
        properties(&session, &captured.properties(), HARD).await.unwrap();
        let create = ["--create", "--schema-only"];
        assert_same("the properties", &target.pg_dump(HARD, &create), &theirs.pg_dump(HARD, &create));
        let without = |text: String| text.lines().filter(|l| !l.contains("TABLESPACE")).collect::<Vec<_>>().join("\n");
        assert_same("the roles", &without(target.globals()), &without(source.globals()));
        let spaces = target
            .psql("postgres", "SELECT spcname, pg_tablespace_location(oid) FROM pg_tablespace WHERE oid >= 16384");
        assert!(spaces.starts_with("fast LOCATION 'x'|pg_tblspc/"), "{spaces}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_tablespaces_everything_goes_into_the_default_one() {
    let source = Cluster::start_with(&IN_PLACE);
    source.psql("postgres", "CREATE TABLESPACE fast LOCATION ''");
    source.psql("postgres", "CREATE DATABASE a");
    source.psql(
        "a",
        "CREATE TABLE t (a int PRIMARY KEY USING INDEX TABLESPACE fast) TABLESPACE fast; INSERT INTO t VALUES (1)",
    );
    let captured = dump(&source, "a", "").await;
    let target = Cluster::start();
    target.psql("postgres", "CREATE DATABASE a");
    let to = Target::new(&target, "a");
    let options = maint::backup::load::LoadOptions { tablespaces: false, ..to.options(2) };
    let never = tokio_util::sync::CancellationToken::new();
    maint::backup::load::database(&options, &captured.files(), &never, &|_, _, _| {}).await.unwrap();
    assert_eq!(to.compare(&captured, 1).await.differences, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_are_there_are_refused_or_kept() {
    let source = Cluster::start();
    source.psql("postgres", "CREATE ROLE app LOGIN PASSWORD 'new'; CREATE ROLE other; GRANT other TO app; ALTER ROLE app SET work_mem = '1MB'");
    let roles = capture(source.server("postgres"), "postgres_globals", "").await;
    let target = Cluster::start();
    target.psql("postgres", "CREATE ROLE app NOLOGIN");
    let to = Target::new(&target, "postgres");
    let session = to.session().await;
    let error = globals(&session, &roles.files(), &DRILL).await.unwrap_err();
    assert_eq!((error.class(), error.to_string()), (Class::Failed, "the server has these roles already: app".into()));
    assert_eq!(
        target.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'other'"),
        "0",
        "nothing was done"
    );
    let keep = GlobalsOptions { existing: Existing::Keep, ..DRILL };
    let loaded = globals(&session, &roles.files(), &keep).await.unwrap();
    assert_eq!(
        (loaded.created, loaded.kept),
        (vec!["other".to_owned()], vec!["app".to_owned(), "postgres".to_owned()])
    );
    let app =
        "SELECT rolcanlogin, rolconfig, pg_has_role('app', 'other', 'member') FROM pg_roles WHERE rolname = 'app'";
    assert_eq!(target.psql("postgres", app), "f||t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_goes_in_in_parts() {
    let source = Cluster::start();
    source.psql("postgres", "CREATE DATABASE a");
    source.psql(
        "a",
        "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 20) AS pad FROM generate_series(1, 50000) i;
         ALTER TABLE big ADD PRIMARY KEY (i); CREATE INDEX ON big (left(pad, 8)); CREATE INDEX ON big (i, left(pad, 9));
         INSERT INTO big VALUES (0, repeat('huge', 6000000));
         CREATE TABLE small AS SELECT i FROM generate_series(1, 10) i;
         CREATE TABLE p (i int PRIMARY KEY) PARTITION BY RANGE (i);
         SELECT format('CREATE TABLE p%s PARTITION OF p FOR VALUES FROM (%s) TO (%s)', n, n * 100, n * 100 + 100) FROM generate_series(0, 30) n \\gexec
         INSERT INTO p SELECT generate_series(0, 3099);",
    );
    for settings in [&[][..], &[("wal_level", "minimal"), ("max_wal_senders", "0")]] {
        let target = Cluster::start_with(&Options { settings, ..Options::default() });
        let loaded = round_trip(&source, &target, "a", 3, "").await;
        assert_eq!((loaded.tables, loaded.rows, loaded.sequential), (33, 50_001 + 10 + 3100, None));
        let valid = "SELECT count(*) FROM pg_index WHERE indisvalid AND indrelid >= 16384";
        assert_eq!(target.psql("a 30", valid), source.psql("a", valid));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_encodings_come_back() {
    let source = Cluster::start();
    let target = Cluster::start();
    source.psql("postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    source.psql("postgres", "CREATE DATABASE raw TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
    source.psql("postgres", "CREATE DATABASE empty");
    source.psql("latin", "CREATE TABLE \"größe\" (t text DEFAULT 'ä'); INSERT INTO \"größe\" VALUES ('é'), (DEFAULT)");
    source.psql(
        "raw",
        r"CREATE TABLE t (t text DEFAULT E'\xe4'); INSERT INTO t VALUES (E'\xe9\xff'), (DEFAULT), ('größe');
          COMMENT ON TABLE t IS E'\xe4';
          DO $$ BEGIN EXECUTE E'CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $f$ SELECT ''\xe4\xfc'' $f$'; END $$",
    );
    for (database, rows) in [("latin", 2), ("raw", 3), ("empty", 0)] {
        assert_eq!(round_trip(&source, &target, database, 2, "").await.rows, rows);
    }
    let raw = "SELECT encode(f()::bytea, 'hex'), encode(obj_description('t'::regclass)::bytea, 'hex')";
    assert_eq!(target.psql("raw 20", raw), "e4fc|e4");
    assert_eq!(target.psql("latin 20", "SELECT string_agg(t, '' ORDER BY t) FROM \"größe\""), "äé");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_need_the_dumps_order_get_it() {
    let source = Cluster::start();
    source.psql("postgres", "CREATE DATABASE a");
    // The largest table comes first when several connections load, but looks into a small one.
    source.psql(
        "a",
        "CREATE TABLE a_allowed (k int); INSERT INTO a_allowed VALUES (1);
         CREATE FUNCTION allowed(i int) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.a_allowed WHERE k = i)';
         CREATE TABLE b_checked (k int CHECK (allowed(k)), pad text);
         INSERT INTO b_checked SELECT 1, repeat('x', 1000) FROM generate_series(1, 18000);
         CREATE TABLE c_other AS SELECT repeat('y', 1000) FROM generate_series(1, 17000);",
    );
    let target = Cluster::start();
    let loaded = round_trip(&source, &target, "a", 2, "").await;
    let why = loaded.sequential.unwrap();
    assert!(why.contains("the rows of public.b_checked") && why.contains("check constraint"), "{why}");
    assert_eq!(round_trip(&source, &target, "a", 1, "").await.sequential, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extensions_own_rows_stay_and_the_users_come_back() {
    let source = Cluster::start();
    let target = Cluster::start();
    postgres::fake_extension(
        "maint_cfg",
        "CREATE TABLE kinds (id int PRIMARY KEY, own bool);
         CREATE TABLE entries (id int PRIMARY KEY, kind int REFERENCES kinds, own bool);
         INSERT INTO kinds VALUES (1, true); INSERT INTO entries VALUES (1, 1, true);
         SELECT pg_extension_config_dump('entries', 'WHERE NOT own');
         SELECT pg_extension_config_dump('kinds', 'WHERE NOT own');",
    );
    source.psql("postgres", "CREATE DATABASE a");
    source.psql(
        "a",
        "CREATE EXTENSION maint_cfg; INSERT INTO kinds VALUES (2, false); INSERT INTO entries VALUES (2, 2, false), (3, 1, false);
         CREATE TABLE mine AS SELECT 1 AS x",
    );
    let loaded = round_trip(&source, &target, "a", 2, "").await;
    postgres::remove_extension("maint_cfg");
    assert_eq!((loaded.rows, loaded.sequential), (4, None));
    assert_eq!(target.psql("a 20", "SELECT count(*), (SELECT count(*) FROM kinds) FROM entries"), "3|2");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_values_are_written_is_the_sources_business() {
    let source = Cluster::start_with(&Options {
        settings: &[("timezone", "Asia/Tokyo"), ("bytea_output", "escape")],
        ..Options::default()
    });
    source.psql("postgres", "CREATE DATABASE a");
    source.psql("a", "CREATE TABLE t AS SELECT timestamptz '2026-01-01 00:00:00+00' AS at, '\\xff'::bytea AS b");
    let captured = dump(&source, "a", "").await;
    let target = Cluster::start_with(&Options { settings: &[("timezone", "UTC")], ..Options::default() });
    target.psql("postgres", "CREATE DATABASE a");
    let to = Target::new(&target, "a");
    to.load(&captured, 2).await.unwrap();
    assert_eq!(to.compare(&captured, 2).await.differences, ["the rows of public.t are not those that were captured"]);
    let settings = [("TimeZone".into(), "Asia/Tokyo".into()), ("bytea_output".into(), "escape".into())];
    let options = maint::backup::load::LoadOptions { settings: &settings, ..to.options(2) };
    let never = tokio_util::sync::CancellationToken::new();
    let compared = maint::backup::load::compare(&options, &captured.contents(), &never, &|_, _, _| {}).await.unwrap();
    assert_eq!(compared.differences, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_cannot_load_roles() {
    let source = Cluster::start();
    source.psql("postgres", "CREATE ROLE app PASSWORD 'x'");
    let roles = capture(source.server("postgres"), "postgres_globals", "").await;
    let target = Cluster::start();
    target.psql("postgres", "CREATE ROLE plain LOGIN");
    let mut to = Target::new(&target, "postgres");
    to.server = PostgresServer { user: "plain".into(), ..to.server };
    let session = to.session().await;
    let options = GlobalsOptions { tablespaces: Tablespaces::AsCaptured, ..DRILL };
    let error = globals(&session, &roles.files(), &options).await.unwrap_err();
    assert!(matches!(error, LoadError::Refused { .. }), "{error}");
    assert!(
        error.to_string().contains("CREATE ROLE app") && error.to_string().contains("permission denied"),
        "{error}"
    );
}
