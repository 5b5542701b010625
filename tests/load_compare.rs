//! Whatever differs from what was captured is named: rows, tables, large objects.

#![expect(clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/load.rs"]
mod load;
#[path = "support/postgres.rs"]
mod postgres;

use load::{Captured, Target, createdb, dump};
use maint::model::{
    failure::{Class, Diagnose},
    stack::PostgresServer,
};
use postgres::Cluster;

const SQL: &str = r#"
CREATE TABLE orders AS SELECT i AS id, 'order ' || i AS note FROM generate_series(1, 1000) i;
CREATE TABLE "odd ""name" (a int); INSERT INTO "odd ""name" VALUES (1);
CREATE TABLE no_columns (); INSERT INTO no_columns SELECT FROM generate_series(1, 5);
CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2);
CREATE TABLE empty (a int);
SELECT lo_from_bytea(1001, '\x0102'), lo_from_bytea(1002, decode(repeat('ab', 3000000), 'hex')), lo_create(1003);
SELECT lo_put(1003, 2097152, '\x01');
"#;

/// One copy that is as it was captured, and a cluster to change further ones in.
async fn stage() -> (Cluster, Captured) {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE DATABASE source");
    cluster.psql("source", SQL);
    let captured = dump(&cluster, "source", "").await;
    createdb(&cluster, &captured, "copy");
    let copy = Target::new(&cluster, "copy");
    copy.load(&captured, 2).await.unwrap();
    let compared = copy.compare(&captured, 3).await;
    assert_eq!((compared.tables, compared.rows, compared.large_objects), (6, 1008, 3), "{compared:?}");
    assert_eq!(compared.differences, Vec::<String>::new());
    (cluster, captured)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_difference_is_named() {
    let (cluster, captured) = stage().await;
    let cases: &[(&str, &[&str])] = &[
        ("DELETE FROM orders WHERE id = 500", &["public.orders has 999 rows instead of 1000"]),
        ("INSERT INTO orders VALUES (1, 'order 1')", &["public.orders has 1001 rows instead of 1000"]),
        ("UPDATE orders SET note = 'x' WHERE id = 7", &["the rows of public.orders are not those that were captured"]),
        ("UPDATE orders SET note = NULL WHERE id = 7", &["the rows of public.orders are not those that were captured"]),
        ("UPDATE orders SET id = id", &[]),
        ("INSERT INTO no_columns SELECT", &["public.no_columns has 6 rows instead of 5"]),
        ("INSERT INTO empty VALUES (1)", &["public.empty has 1 rows instead of 0"]),
        (
            "WITH moved AS (DELETE FROM child RETURNING a) INSERT INTO parent SELECT a FROM moved",
            &["public.child has 0 rows instead of 1", "public.parent has 2 rows instead of 1"],
        ),
        ("DROP TABLE \"odd \"\"name\"", &["public.odd \"name is missing"]),
        ("CREATE TABLE further (a int)", &["public.further is there, but was not captured"]),
        (
            "ALTER TABLE orders DROP COLUMN note",
            &["public.orders cannot be read as it was captured: column \"note\" of relation \"orders\" does not exist"],
        ),
        ("ALTER TABLE orders ADD COLUMN more int", &[]),
        (
            "ALTER TABLE orders ALTER COLUMN id TYPE text USING '0' || id",
            &["the rows of public.orders are not those that were captured"],
        ),
        ("SELECT lo_put(1001, 0, '\\x0f')", &["large object 1001 is not the one that was captured"]),
        ("SELECT lo_put(1002, 2999999, '\\x0f')", &["large object 1002 is not the one that was captured"]),
        ("SELECT lo_put(1002, 3000000, '\\x0f')", &["large object 1002 has 3000001 bytes instead of 3000000"]),
        ("SELECT lo_unlink(1003)", &["large object 1003 is missing"]),
        (
            "SELECT lo_create(999), lo_create(2000)",
            &["large object 2000 is there, but was not captured", "large object 999 is there, but was not captured"],
        ),
    ];
    for (at, (change, differences)) in cases.iter().enumerate() {
        let name = format!("changed {at}");
        cluster.psql("postgres", &format!("CREATE DATABASE \"{name}\" TEMPLATE copy"));
        cluster.psql(&name, change);
        let compared = Target::new(&cluster, &name).compare(&captured, 2).await;
        assert_eq!(compared.differences, *differences, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_differences_are_counted() {
    let (cluster, captured) = stage().await;
    cluster.psql("copy", "SELECT format('CREATE TABLE more%s (a int)', i) FROM generate_series(1, 30) i \\gexec\nSELECT lo_create(i) FROM generate_series(5000, 5039) i");
    let compared = Target::new(&cluster, "copy").compare(&captured, 1).await;
    assert_eq!(compared.differences.len(), 51, "{:?}", compared.differences);
    assert_eq!(compared.differences.last().unwrap(), "and 20 more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_role_loads_what_it_owns_and_what_it_may_not_read_is_no_difference() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE ROLE app LOGIN; CREATE ROLE other LOGIN");
    cluster.psql("postgres", "CREATE DATABASE source OWNER app");
    cluster.psql("source", "SET ROLE app; CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let captured = dump(&cluster, "source", "").await;
    cluster.psql("postgres", "CREATE DATABASE copy OWNER app");
    let as_role = |user: &str| {
        let copy = Target::new(&cluster, "copy");
        Target { server: PostgresServer { user: user.into(), ..copy.server }, ..copy }
    };
    as_role("app").load(&captured, 2).await.unwrap();
    assert_eq!(as_role("app").compare(&captured, 1).await.differences, Vec::<String>::new());
    let other = as_role("other");
    let (options, never) = (other.options(1), tokio_util::sync::CancellationToken::new());
    let error = maint::backup::load::compare(&options, &captured.contents(), &never, &|_, _, _| {}).await.unwrap_err();
    assert_eq!(error.class(), Class::Unverifiable, "{error}");
    assert!(
        error.to_string().contains("reading public.t") && error.to_string().contains("permission denied"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_some_tables_are_wanted_every_other_row_and_large_object_is_a_difference() {
    let (cluster, captured) = stage().await;
    let only = [maint::model::contents::TableName { schema: "public".into(), name: "orders".into() }];
    let never = tokio_util::sync::CancellationToken::new();
    let compare = async |name: &str| {
        let target = Target::new(&cluster, name);
        let options = maint::backup::load::LoadOptions { only: Some(&only), ..target.options(2) };
        maint::backup::load::compare(&options, &captured.contents(), &never, &|_, _, _| {}).await.unwrap()
    };
    let whole = compare("copy").await.differences;
    for difference in ["public.parent has 1 rows instead of 0", "large object 1001 is there, but was not captured"] {
        assert!(whole.iter().any(|d| d == difference), "{whole:?}");
    }
    createdb(&cluster, &captured, "some");
    let target = Target::new(&cluster, "some");
    let options = maint::backup::load::LoadOptions { only: Some(&only), ..target.options(2) };
    let loaded = maint::backup::load::database(&options, &captured.files(), &never, &|_, _, _| {}).await.unwrap();
    assert_eq!((loaded.tables, loaded.rows), (1, 1000));
    let compared = compare("some").await;
    assert_eq!((compared.rows, compared.large_objects, compared.differences.len()), (1000, 0, 0), "{compared:?}");
    cluster.psql("some", "DELETE FROM orders WHERE id = 5");
    assert_eq!(compare("some").await.differences, ["public.orders has 999 rows instead of 1000"]);
}
