//! What a database holds besides rows, asked by name: the same of a database and its copy, and different as soon as
//! anything is.

#![expect(clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/postgres.rs"]
mod postgres;

use std::{collections::BTreeMap, time::Duration};

use maint::{
    adapters::postgres::{
        Session,
        inventory::{self, RoleAlias},
    },
    model::{inventory::Object, stack::Docker},
};
use postgres::{Cluster, Options};

/// The database of `hard_globals.sql`.
const HARD: &str = "höhe & \"tiefe\" %d";

async fn session(cluster: &Cluster, database: &str) -> Session {
    let docker = Docker { host: String::new() };
    let mut server = cluster.server(database);
    server.lock_timeout = Duration::from_secs(60);
    Session::connect(&server, &docker, database, "maint test").await.unwrap()
}

type Inventory = BTreeMap<(String, String), Vec<Object>>;

async fn database(cluster: &Cluster, name: &str) -> Inventory {
    let mut objects = Inventory::new();
    let session = session(cluster, name).await;
    let mut found = |object: Object| {
        objects.entry((object.catalogue.clone(), object.identity.clone())).or_default().push(object);
    };
    inventory::database(&session, None, None, &mut found).await.unwrap();
    session.close().await;
    // The server forgets a session a moment after it has left.
    cluster.psql(
        "postgres",
        "DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'maint test')
        LOOP PERFORM pg_sleep(0.005); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$",
    );
    objects
}

async fn server(cluster: &Cluster, alias: Option<&RoleAlias>) -> Inventory {
    let mut objects = Inventory::new();
    let session = session(cluster, "postgres").await;
    let mut found = |object: Object| {
        objects.entry((object.catalogue.clone(), object.identity.clone())).or_default().push(object);
    };
    inventory::server(&session, true, alias, &mut found).await.unwrap();
    objects
}

/// Every difference, in words.
fn differences(a: &Inventory, b: &Inventory) -> Vec<String> {
    let mut all = Vec::new();
    for (key, expected) in a {
        match b.get(key) {
            None => all.push(format!("{} is missing", expected[0].title())),
            Some(found) if found.len() != expected.len() => all.push(format!("{} is there twice", expected[0].title())),
            Some(found) => {
                let of = expected.iter().zip(found).flat_map(|(a, b)| a.differences(b));
                all.extend(of.map(|d| format!("{}: {d}", expected[0].title())));
            }
        }
    }
    all.extend(b.iter().filter(|(key, _)| !a.contains_key(*key)).map(|(_, o)| format!("{} is too much", o[0].title())));
    all
}

/// A copy by `pg_dump` and psql.
fn copy_of(source: &Cluster, database: &str) -> Cluster {
    let copy =
        Cluster::start_with(&Options { settings: &[("allow_in_place_tablespaces", "on")], ..Options::default() });
    copy.restore("postgres", source.globals().replace("CREATE ROLE postgres;\n", "").as_bytes(), &[]);
    // pg_dumpall leaves it out.
    copy.psql("postgres", "ALTER ROLE ALL SET statement_timeout = '1h'");
    copy.restore("postgres", source.pg_dump(database, &["--create"]).as_bytes(), &[]);
    copy
}

fn hard() -> Cluster {
    let source = Cluster::start();
    source.psql("postgres", include_str!("data/hard_globals.sql"));
    source.psql(HARD, include_str!("data/hard_cases.sql"));
    source
}

#[tokio::test]
async fn a_copy_of_every_hard_case_has_the_same() {
    let source = hard();
    let copy = copy_of(&source, HARD);
    let (a, b) = (database(&source, HARD).await, database(&copy, HARD).await);
    assert!(a.len() > 300, "{} objects", a.len());
    assert_eq!(differences(&a, &b), Vec::<String>::new());
    let twice: Vec<_> = a.iter().filter(|(_, o)| o.len() > 1).map(|(key, _)| key).collect();
    assert!(twice.is_empty(), "names that do not tell apart: {twice:?}");
    assert_eq!(differences(&server(&source, None).await, &server(&copy, None).await), Vec::<String>::new());
}

/// Whoever meets a new version of PostgreSQL must decide on its new catalogues.
#[tokio::test]
async fn every_catalogue_is_compared_or_left_out_for_a_reason() {
    let cluster = Cluster::start();
    assert_eq!(inventory::uncovered(&session(&cluster, "postgres").await).await.unwrap(), Vec::<String>::new());
}

/// What somebody may change, and what is told about it.
const ALTERATIONS: &[(&str, &str)] = &[
    ("ALTER SCHEMA s OWNER TO inv_reader", "schema s: nspowner: inv_reader instead of inv_owner"),
    ("REVOKE USAGE ON SCHEMA s FROM inv_reader", "schema s: privileges"),
    ("COMMENT ON SCHEMA s IS NULL", "comment on schema s is missing"),
    ("COMMENT ON SCHEMA s IS 'another'", "comment on schema s: description: another instead of a schema"),
    ("COMMENT ON SCHEMA public IS NULL", "comment on schema public is missing"),
    ("DROP EXTENSION hstore", "extension hstore is missing"),
    ("ALTER EXTENSION hstore SET SCHEMA s", "extension hstore: extnamespace"),
    ("ALTER TYPE s.mood ADD VALUE 'calm' BEFORE 'happy'", "label s.mood.'calm' is too much"),
    ("ALTER TYPE s.mood RENAME VALUE 'sad' TO 'blue'", "label s.mood.'sad' is missing"),
    ("ALTER DOMAIN s.percent DROP CONSTRAINT in_range", "constraint in_range on s.percent is missing"),
    ("ALTER DOMAIN s.percent SET DEFAULT 8", "type s.percent: typdefault: 8 instead of 7"),
    ("ALTER DOMAIN s.percent SET NOT NULL", "type s.percent: typnotnull"),
    ("ALTER TYPE s.pair ADD ATTRIBUTE c int", "column s.pair.c is too much"),
    ("DROP TYPE s.span", "range s.span is missing"),
    ("ALTER SEQUENCE s.counter INCREMENT 3", "sequence s.counter: seqincrement: 3 instead of 2"),
    (
        "ALTER SEQUENCE s.counter OWNER TO inv_owner; ALTER SEQUENCE s.counter OWNED BY s.t.n",
        "relation s.counter: owned_by: s.t.n instead of nothing",
    ),
    ("ALTER TABLE s.t OWNER TO inv_reader", "relation s.t: relowner"),
    ("REVOKE UPDATE ON s.t FROM inv_reader", "relation s.t: privileges: without inv_reader=UPDATE/inv_owner"),
    ("GRANT DELETE ON s.t TO PUBLIC", "relation s.t: privileges: with PUBLIC=DELETE/inv_owner too much"),
    ("REVOKE INSERT (name) ON s.t FROM inv_reader", "column s.t.name: privileges"),
    ("COMMENT ON TABLE s.t IS NULL", "comment on table s.t is missing"),
    ("COMMENT ON COLUMN s.t.name IS NULL", "comment on table column s.t.name is missing"),
    ("ALTER TABLE s.t RESET (fillfactor)", "relation s.t: reloptions"),
    ("DROP PUBLICATION pub; ALTER TABLE s.child SET UNLOGGED", "relation s.child: relpersistence: u instead of p"),
    ("ALTER TABLE s.t SET (toast_tuple_target = 256)", "relation s.t: reloptions"),
    ("ALTER TABLE s.t SET (toast.autovacuum_enabled = off)", "relation s.t: toast_options"),
    ("ALTER TABLE s.t REPLICA IDENTITY FULL", "relation s.t: relreplident"),
    ("ALTER TABLE s.t ALTER name DROP NOT NULL", "column s.t.name: attnotnull"),
    ("ALTER TABLE s.t ALTER name DROP DEFAULT", "default of column s.t.name is missing"),
    ("ALTER TABLE s.t ALTER name SET DEFAULT 'y'", "default of column s.t.name: expression"),
    ("ALTER TABLE s.t ALTER n TYPE bigint", "cannot alter type"),
    ("ALTER TABLE s.parted ALTER v TYPE varchar(9)", "column s.parted.v: atttypid"),
    ("ALTER TABLE s.t ALTER name SET STATISTICS 100", "column s.t.name: statistics: 100 instead of 500"),
    ("ALTER TABLE s.t ALTER name SET STORAGE MAIN", "column s.t.name: attstorage: m instead of e"),
    ("ALTER TABLE s.t ALTER name SET COMPRESSION pglz", "column s.t.name: attcompression"),
    ("ALTER TABLE s.t ALTER id SET GENERATED BY DEFAULT", "column s.t.id: attidentity"),
    ("ALTER TABLE s.t ALTER total DROP EXPRESSION", "column s.t.total: attgenerated"),
    ("ALTER TABLE s.t DROP CONSTRAINT positive", "constraint positive on s.t is missing"),
    ("ALTER TABLE s.t DROP CONSTRAINT t_pkey CASCADE", "constraint t_pkey on s.t is missing"),
    ("ALTER TABLE s.child DROP CONSTRAINT child_t_fkey", "constraint child_t_fkey on s.child is missing"),
    ("DROP INDEX s.t_name", "index s.t_name is missing"),
    ("DROP INDEX s.t_name; CREATE INDEX t_name ON s.t (lower(name)) WHERE n > 6", "index s.t_name: definition"),
    ("CLUSTER s.t USING t_n", "index s.t_n: indisclustered: true instead of false"),
    ("ALTER INDEX s.t_name ALTER COLUMN 1 SET STATISTICS 9", "index s.t_name: statistics"),
    ("ALTER TABLE s.child NO INHERIT s.t", "inheritance of s.child of s.t is missing"),
    ("ALTER TABLE s.parted DETACH PARTITION s.parted_1", "relation s.parted_1: partition_bound"),
    ("DROP INDEX s.parted_v", "index s.parted_v is missing"),
    (
        "CREATE OR REPLACE VIEW s.v WITH (security_barrier) AS SELECT id, name || 'x' AS name FROM s.t",
        "relation s.v: definition",
    ),
    ("ALTER VIEW s.v RESET (security_barrier)", "relation s.v: reloptions"),
    ("REFRESH MATERIALIZED VIEW s.mv WITH NO DATA", "relation s.mv: relispopulated: false instead of true"),
    ("DROP RULE quiet ON s.parted", "rule quiet on s.parted is missing"),
    ("ALTER TABLE s.parted DISABLE RULE quiet", "rule quiet on s.parted: ev_enabled: D instead of O"),
    (
        "CREATE OR REPLACE FUNCTION s.f(a int, b int DEFAULT 3) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a - b'",
        "routine s.f(integer,integer): definition",
    ),
    (
        "CREATE OR REPLACE FUNCTION s.f(a int, b int DEFAULT 4) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b'",
        "routine s.f(integer,integer): definition",
    ),
    ("ALTER FUNCTION s.f SECURITY DEFINER", "routine s.f(integer,integer): definition"),
    ("REVOKE EXECUTE ON FUNCTION s.f FROM PUBLIC", "routine s.f(integer,integer): privileges"),
    (
        "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_backend_pid() FROM PUBLIC",
        "routine pg_catalog.pg_backend_pid() is too much",
    ),
    (
        "REVOKE EXECUTE ON FUNCTION public.hstore(text, text) FROM PUBLIC",
        "routine public.hstore(pg_catalog.text,pg_catalog.text) is too much",
    ),
    (
        "ALTER FUNCTION s.f DEPENDS ON EXTENSION hstore",
        "depend function s.f(integer,integer) depends on extension hstore is too much",
    ),
    ("DROP PROCEDURE s.p", "routine s.p() is missing"),
    ("DROP AGGREGATE s.agg(int)", "aggregate s.agg(integer) is missing"),
    ("DROP TRIGGER keep ON s.t", "trigger keep on s.t is missing"),
    ("ALTER TABLE s.t DISABLE TRIGGER keep", "trigger keep on s.t: tgenabled: D instead of O"),
    ("ALTER EVENT TRIGGER e DISABLE", "event trigger e: evtenabled"),
    ("DROP EVENT TRIGGER e", "event trigger e is missing"),
    ("ALTER TABLE s.t FORCE ROW LEVEL SECURITY", "relation s.t: relforcerowsecurity"),
    ("ALTER TABLE s.t DISABLE ROW LEVEL SECURITY", "relation s.t: relrowsecurity"),
    ("DROP POLICY mine ON s.t", "policy mine on s.t is missing"),
    ("ALTER POLICY mine ON s.t USING (n > 1)", "policy mine on s.t: using"),
    ("ALTER POLICY mine ON s.t TO PUBLIC", "policy mine on s.t: polroles"),
    ("DROP OPERATOR s.### (int, int)", "operator s.###(integer,integer) is missing"),
    ("ALTER OPERATOR FAMILY s.fam USING btree ADD OPERATOR 5 > (int, int)", "amop operator 5"),
    ("DROP COLLATION s.coll", "collation s.coll is missing"),
    ("DROP CONVERSION s.conv", "conversion s.conv is missing"),
    ("ALTER TEXT SEARCH DICTIONARY s.dict (stopwords)", "ts dict s.dict: dictinitoption"),
    ("ALTER TEXT SEARCH CONFIGURATION s.conf DROP MAPPING FOR word", "is missing"),
    ("ALTER STATISTICS s.stats SET STATISTICS 9", "statistics object s.stats: stxstattarget"),
    ("DROP CAST (s.pair AS text)", "cast (s.pair AS pg_catalog.text) is missing"),
    ("ALTER SERVER remote OPTIONS (SET host 'other')", "foreign server remote: srvoptions"),
    ("ALTER USER MAPPING FOR inv_reader SERVER remote OPTIONS (SET secret 'y')", "umoptions"),
    ("ALTER FOREIGN TABLE s.far OPTIONS (SET file 'g')", "foreign table s.far: ftoptions"),
    ("ALTER FOREIGN TABLE s.far ALTER a OPTIONS (SET column_name 'c')", "column s.far.a: attfdwoptions"),
    ("ALTER PUBLICATION pub SET (publish = 'insert')", "publication pub: pubupdate: false instead of true"),
    ("ALTER PUBLICATION pub SET TABLE s.t (id, name) WHERE (id > 4)", "filter"),
    ("ALTER PUBLICATION pub SET TABLE s.t (id) WHERE (id > 3)", "columns"),
    ("DROP PUBLICATION pub; CREATE PUBLICATION pub FOR TABLES IN SCHEMA s", "publication namespace"),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE inv_owner IN SCHEMA s REVOKE SELECT ON TABLES FROM inv_reader",
        "default privileges",
    ),
    ("SELECT lo_unlink(4711)", "large object 4711 is missing"),
    ("REVOKE SELECT ON LARGE OBJECT 4711 FROM inv_reader", "large object 4711: privileges"),
    ("ALTER LARGE OBJECT 4711 OWNER TO inv_owner", "large object 4711: lomowner"),
    ("COMMENT ON LARGE OBJECT 4711 IS NULL", "comment on large object 4711 is missing"),
    ("DROP ACCESS METHOD am", "access method am is missing"),
    ("DROP TRANSFORM FOR s.pair LANGUAGE sql", "transform for s.pair on language sql is missing"),
    ("ALTER DATABASE altered SET work_mem = '9MB'", "setting of PUBLIC work_mem is too much"),
    ("ALTER ROLE inv_reader IN DATABASE altered SET work_mem = '9MB'", "setting of inv_reader work_mem is too much"),
    ("ALTER DATABASE altered OWNER TO inv_owner", "the database: owner: inv_owner instead of postgres"),
    ("COMMENT ON DATABASE altered IS 'x'", "the database: comment: x instead of nothing"),
    ("GRANT CREATE ON DATABASE altered TO inv_reader", "the database: privileges"),
    ("ALTER DATABASE altered CONNECTION LIMIT 9", "the database: connection_limit: 9 instead of -1"),
];

#[tokio::test]
async fn whatever_somebody_changes_is_named() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE DATABASE base");
    cluster.psql("base", include_str!("data/inventory.sql"));
    let base = database(&cluster, "base").await;
    let mut wrong = Vec::new();
    for (sql, expected) in ALTERATIONS {
        cluster.psql("postgres", "DROP DATABASE IF EXISTS altered");
        cluster.psql("postgres", "CREATE DATABASE altered TEMPLATE base");
        let said = cluster.tool("psql", "altered").args(["-Xqc", sql]).output().unwrap();
        let found = if said.status.success() {
            differences(&base, &database(&cluster, "altered").await).join("\n")
        } else {
            String::from_utf8_lossy(&said.stderr).into_owned()
        };
        if !found.contains(expected) {
            wrong.push(format!("{sql}\n  expected: {expected}\n  found: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ALTERATIONS.len(), wrong.join("\n"));
}

#[tokio::test]
async fn whatever_changes_in_a_server_is_named() {
    let cluster =
        Cluster::start_with(&Options { settings: &[("allow_in_place_tablespaces", "on")], ..Options::default() });
    cluster.psql(
        "postgres",
        "CREATE ROLE app LOGIN PASSWORD 'x' VALID UNTIL '2030-01-01'; CREATE ROLE team; GRANT team TO app",
    );
    cluster.psql("postgres", "CREATE TABLESPACE fast LOCATION ''");
    let base = server(&cluster, None).await;
    for (change, back, expected) in [
        ("CREATE ROLE new", "DROP ROLE new", "role new is too much"),
        ("ALTER ROLE app SUPERUSER", "ALTER ROLE app NOSUPERUSER", "role app: superuser: true instead of false"),
        ("ALTER ROLE app CONNECTION LIMIT 3", "ALTER ROLE app CONNECTION LIMIT -1", "role app: connection_limit"),
        ("COMMENT ON ROLE app IS 'x'", "COMMENT ON ROLE app IS NULL", "role app: comment: x instead of nothing"),
        ("ALTER ROLE app SET work_mem = '9MB'", "ALTER ROLE app RESET work_mem", "setting of app work_mem is too much"),
        ("REVOKE team FROM app", "GRANT team TO app", "membership of app in team is missing"),
        (
            "GRANT team TO app WITH ADMIN OPTION",
            "REVOKE ADMIN OPTION FOR team FROM app",
            "membership of app in team: admin_option",
        ),
        (
            "GRANT CREATE ON TABLESPACE fast TO app",
            "REVOKE CREATE ON TABLESPACE fast FROM app",
            "tablespace fast: privileges",
        ),
        (
            "ALTER TABLESPACE fast SET (seq_page_cost = 2)",
            "ALTER TABLESPACE fast RESET (seq_page_cost)",
            "tablespace fast: options",
        ),
        (
            "GRANT SET ON PARAMETER work_mem TO app",
            "REVOKE SET ON PARAMETER work_mem FROM app",
            "parameter acl work_mem is too much",
        ),
        ("ALTER ROLE app PASSWORD 'y'", "SELECT", "role app: password_sha256"),
    ] {
        cluster.psql("postgres", change);
        let found = differences(&base, &server(&cluster, None).await).join("\n");
        assert!(found.contains(expected), "{change}: {found}");
        cluster.psql("postgres", back);
    }
}

/// In a throwaway server the superuser from birth has a name of its own.
#[tokio::test]
async fn the_superuser_of_a_copy_stands_for_the_source_s() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE ROLE app; CREATE ROLE twin SUPERUSER; GRANT app TO twin");
    let alias = RoleAlias { from: "postgres".into(), to: "it's".into() };
    let found = server(&cluster, Some(&alias)).await;
    assert!(!found.keys().any(|(_, name)| name.contains("postgres")), "{:?}", found.keys());
    let (_, member) = found.iter().find(|((catalogue, _), _)| catalogue == "pg_auth_members").unwrap();
    assert_eq!(member[0].facts["grantor"], "it's");
}
