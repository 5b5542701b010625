//! Sessions, catalogue and tools against real servers: what is understood, and what is said when it goes wrong.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/postgres.rs"]
mod postgres;

use maint::{
    adapters::postgres::{PostgresError, Session, catalogue, throwaway, tools::Tools},
    model::{
        failure::{Class, Diagnose, chain},
        secret::{Secret, SecretSource},
        stack::{PostgresAddress, PostgresServer, SslMode},
    },
};
use postgres::{Cluster, Options, docker};
use tokio_util::sync::CancellationToken;

async fn connect(server: &PostgresServer) -> Result<Session, PostgresError> {
    Session::connect(server, &docker(), &server.dbname, "maint test").await
}

fn by_tcp(cluster: &Cluster, sslmode: SslMode) -> PostgresServer {
    let address = PostgresAddress::Host { host: "127.0.0.1".into(), port: cluster.port };
    PostgresServer { address, sslmode, ..cluster.server("postgres") }
}

#[tokio::test]
async fn a_session_knows_its_server() {
    let cluster = Cluster::start();
    let session = connect(&cluster.server("postgres")).await.unwrap();
    let state = session.state().await.unwrap();
    assert_eq!(state.version, cluster.psql("postgres", "SHOW server_version"));
    assert_eq!(state.encoding, "UTF8");
    assert_eq!(state.bootstrap_superuser, "postgres");
    assert_eq!(state.system_identifier, cluster.psql("postgres", "SELECT system_identifier FROM pg_control_system()"));
    assert!(state.superuser && !state.in_recovery && state.lsn.contains('/'));
    let tools = Tools::find(&cluster.server("postgres"), &state, &CancellationToken::new()).await.unwrap();
    assert_eq!(tools.version().major(), state.version_num / 10_000);
    session.close().await;
}

#[tokio::test]
async fn a_wrong_password_names_host_role_and_remedy() {
    let cluster = Cluster::start_with(&Options {
        hba: Some("local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"),
        tcp: true,
        ..Options::default()
    });
    cluster.psql("postgres", "CREATE ROLE app LOGIN PASSWORD 'right'");
    let with = |password: Option<&str>| PostgresServer {
        user: "app".into(),
        password: password.map(|p| SecretSource::Inline(Secret::new(p.into()))),
        ..by_tcp(&cluster, SslMode::Prefer)
    };
    connect(&with(Some("right"))).await.unwrap();
    let wrong = connect(&with(Some("wr0ng-secret"))).await.unwrap_err();
    let text = chain(&wrong);
    assert!(text.contains("app") && text.contains("127.0.0.1") && text.contains("password"), "{text}");
    assert!(!format!("{text}{wrong:?}{:?}", wrong.hint()).contains("wr0ng-secret"));
    assert!(wrong.hint().unwrap().contains("password_file"));
    assert_eq!(wrong.class(), Class::Failed);
    let none = connect(&with(None)).await.unwrap_err();
    assert!(none.hint().unwrap().contains("password_file"), "{none}");
    let nobody = connect(&PostgresServer { user: "nobody_here".into(), ..with(Some("x")) }).await.unwrap_err();
    assert!(chain(&nobody).contains("nobody_here"));
}

#[tokio::test]
async fn peer_authentication_that_does_not_match_is_explained() {
    let cluster = Cluster::start_with(&Options {
        hba: Some("local all postgres trust\nlocal all all peer\n"),
        ..Options::default()
    });
    cluster.psql("postgres", "CREATE ROLE app LOGIN");
    let error = connect(&PostgresServer { user: "app".into(), ..cluster.server("postgres") }).await.unwrap_err();
    assert!(error.hint().unwrap().contains("peer authentication"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_down_and_a_lost_one_are_retryable() {
    let mut cluster = Cluster::start();
    let session = connect(&cluster.server("postgres")).await.unwrap();
    cluster.crash();
    let lost = session.query("asking again", "SELECT 1", &[]).await.unwrap_err();
    assert_eq!(lost.class(), Class::Retryable, "{lost}");
    assert!(chain(&lost).contains("asking again"), "{}", chain(&lost));
    let down = connect(&cluster.server("postgres")).await.unwrap_err();
    assert_eq!(down.class(), Class::Retryable, "{down}");
    assert!(chain(&down).contains(cluster.socket_dir().to_str().unwrap()), "{}", chain(&down));
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let cluster = Cluster::start();
    let error = connect(&cluster.server("leanvibe_production")).await.unwrap_err();
    assert!(chain(&error).contains("has no database leanvibe_production"), "{error}");
    assert_eq!(error.class(), Class::Failed);
}

fn certificates(data: &std::path::Path) {
    let run = |args: &str| {
        let output = std::process::Command::new("openssl").args(args.split(' ')).current_dir(data).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt",
    );
    run(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    );
    std::fs::write(data.join("ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    run("x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.crt");
}

#[tokio::test]
async fn tls_is_as_sslmode_says() {
    let cluster = Cluster::start_with(&Options {
        settings: &[("ssl", "on")],
        hba: Some("local all all trust\nhostssl all all 127.0.0.1/32 trust\n"),
        tcp: true,
        prepare: Some(certificates),
        ..Options::default()
    });
    for mode in [SslMode::Prefer, SslMode::Require] {
        let session = connect(&by_tcp(&cluster, mode)).await.unwrap();
        let row = session.one("tls", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
        assert!(row.get::<_, bool>(0), "{mode:?}");
    }
    let refused = connect(&by_tcp(&cluster, SslMode::Disable)).await.unwrap_err();
    assert!(chain(&refused).contains("no encryption"), "{}", chain(&refused));
    let full = |ca: Option<&str>| PostgresServer {
        sslrootcert: ca.map(|ca| cluster.data_dir().join(ca)),
        ..by_tcp(&cluster, SslMode::VerifyFull)
    };
    connect(&full(Some("ca.crt"))).await.unwrap();
    let stranger = connect(&full(None)).await.unwrap_err();
    assert!(matches!(stranger, PostgresError::Tls { .. }), "{stranger:?}");
    assert!(connect(&full(Some("ext"))).await.unwrap_err().hint().unwrap().contains("sslrootcert"));
    let other_name = PostgresServer {
        address: PostgresAddress::Host { host: "localhost".into(), port: cluster.port },
        ..full(Some("ca.crt"))
    };
    assert!(matches!(connect(&other_name).await.unwrap_err(), PostgresError::Tls { .. }));
}

#[tokio::test]
async fn require_does_not_fall_back() {
    let cluster = Cluster::start_with(&Options { tcp: true, ..Options::default() });
    connect(&by_tcp(&cluster, SslMode::Prefer)).await.unwrap();
    let error = connect(&by_tcp(&cluster, SslMode::Require)).await.unwrap_err();
    assert!(chain(&error).contains("does not support TLS"), "{}", chain(&error));
}

#[tokio::test]
async fn the_catalogue_lists_what_pg_dump_dumps() {
    let cluster = Cluster::start();
    cluster.psql("postgres", include_str!("data/hard_cases.sql"));
    // What an extension's script does with pg_extension_config_dump().
    cluster.psql(
        "postgres",
        "CREATE TABLE ext_all (); CREATE TABLE ext_some (a int); CREATE TABLE ext_none ();
         ALTER EXTENSION hstore ADD TABLE ext_all; ALTER EXTENSION hstore ADD TABLE ext_some;
         ALTER EXTENSION hstore ADD TABLE ext_none;
         UPDATE pg_extension SET extconfig = ARRAY['ext_all'::regclass, 'ext_some'::regclass]::oid[],
             extcondition = '{\"\",WHERE a > 1}' WHERE extname = 'hstore'",
    );
    let session = connect(&cluster.server("postgres")).await.unwrap();
    let tables = catalogue::dumped_tables(&session).await.unwrap();
    let some = tables.iter().find(|t| t.name.name == "ext_some").unwrap();
    assert_eq!(some.extension_condition.as_deref(), Some("WHERE a > 1"));
    // The comment that names a table has no line breaks.
    let mut listed: Vec<String> = tables.iter().map(|t| t.name.to_string().replace('\n', " ")).collect();
    let dump = cluster.pg_dump("postgres", &["--data-only"]);
    let mut dumped: Vec<String> = dump
        .lines()
        .filter_map(|l| l.strip_prefix("-- Data for Name: ")?.split_once("; Type: TABLE DATA; Schema: "))
        .map(|(name, rest)| format!("{}.{name}", rest.split_once(';').unwrap().0))
        .collect();
    dumped.sort();
    listed.sort();
    assert_eq!(listed, dumped);
    assert_eq!(catalogue::large_objects(&session).await.unwrap(), 3);
    assert!(catalogue::obstacles(&session).await.unwrap().is_empty());
}

#[tokio::test]
async fn obstacles_are_named() {
    let cluster = Cluster::start();
    cluster.psql(
        "postgres",
        "CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader; CREATE ROLE stranger LOGIN;
         CREATE TABLE t (a int, b int); GRANT SELECT (a) ON t TO stranger; CREATE SCHEMA shut; CREATE TABLE shut.u ();
         GRANT SELECT ON shut.u TO stranger; CREATE SEQUENCE s; CREATE TABLE guarded (); GRANT SELECT ON guarded TO stranger;
         ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
         SELECT lo_create(1), lo_create(2); GRANT SELECT ON LARGE OBJECT 2 TO stranger;",
    );
    let role = |user: &str| PostgresServer { user: user.into(), ..cluster.server("postgres") };
    let session = connect(&role("stranger")).await.unwrap();
    let found = catalogue::obstacles(&session).await.unwrap();
    let tables: Vec<_> =
        found.unreadable_tables.iter().map(|u| (u.table.to_string(), u.columns_only, u.schema)).collect();
    assert_eq!(tables, [("public.t".to_owned(), true, false), ("shut.u".to_owned(), true, true)]);
    assert_eq!(found.unreadable_sequences[0].to_string(), "public.s");
    assert_eq!(found.row_security[0].to_string(), "public.guarded");
    assert_eq!(found.unreadable_large_objects, 1);
    let session = connect(&role("reader")).await.unwrap();
    let found = catalogue::obstacles(&session).await.unwrap();
    assert_eq!((found.unreadable_tables.len(), found.unreadable_large_objects), (0, 2));
}

#[tokio::test]
async fn blocked_sessions_are_named_with_their_statement() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE TABLE busy (a int)");
    let holder = connect(&cluster.server("postgres")).await.unwrap();
    holder.batch("locking", "BEGIN; LOCK TABLE public.busy IN ACCESS SHARE MODE").await.unwrap();
    let pids = catalogue::backends(&holder, "maint test").await.unwrap();
    let waiting = connect(&cluster.server("postgres")).await.unwrap();
    let alter =
        tokio::spawn(async move { waiting.batch("altering", "ALTER TABLE public.busy ADD COLUMN b int").await });
    let mut blocked = Vec::new();
    while blocked.is_empty() && !alter.is_finished() {
        blocked = catalogue::blocked_by(&holder, &pids).await.unwrap();
    }
    assert!(blocked[0].statement.starts_with("ALTER TABLE public.busy"), "{blocked:?}");
    let timed_out = alter.await.unwrap().unwrap_err();
    assert!(matches!(timed_out, PostgresError::LockTimeout { .. }), "{timed_out}");
}

#[tokio::test]
async fn a_throwaway_server_is_private_and_gone_when_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let recipe = throwaway::Recipe {
        dir: dir.path().to_owned(),
        bin_dir: None,
        run_as: throwaway::RunAs::unprivileged(&cancel).await.unwrap(),
        superuser: "owner".into(),
        initdb_options: Vec::new(),
        settings: vec![("fsync".into(), "off".into())],
    };
    let server = throwaway::Throwaway::start(&recipe, &cancel).await.unwrap();
    let session = connect(&server.server("demo", "postgres")).await.unwrap();
    assert_eq!(session.one("asking", "SHOW listen_addresses", &[]).await.unwrap().get::<_, String>(0), "");
    drop(server);
    assert!(connect_fails(&dir).await);
    assert!(!dir.path().join("data/postmaster.pid").exists());
    let long = throwaway::Recipe { dir: dir.path().join("x".repeat(100)), ..recipe.clone() };
    let error = throwaway::Throwaway::start(&long, &cancel).await.unwrap_err();
    assert!(chain(&error).contains("shorter directory"), "{error}");
    let missing = throwaway::Recipe { bin_dir: Some("/nowhere".into()), ..recipe };
    let error = throwaway::Throwaway::start(&missing, &cancel).await.unwrap_err();
    assert!(chain(&error).contains("install the package postgresql"), "{error}");
}

async fn connect_fails(dir: &tempfile::TempDir) -> bool {
    tokio::net::UnixStream::connect(dir.path().join("s/.s.PGSQL.5432")).await.is_err()
}
