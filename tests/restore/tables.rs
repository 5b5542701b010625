//! Rows of single tables in a new database with the whole schema.

use crate::{postgres::Cluster, project::Project};

const SQL: &str = "
CREATE TABLE customers (id int PRIMARY KEY, name text);
INSERT INTO customers SELECT i, 'c' || i FROM generate_series(1, 100) i;
CREATE TABLE orders (id int PRIMARY KEY, customer int CONSTRAINT of_customer REFERENCES customers, note text);
COMMENT ON CONSTRAINT of_customer ON orders IS 'nobody orders for nobody';
INSERT INTO orders SELECT i, 1 + i % 100, repeat(md5(i::text), 4) FROM generate_series(1, 20000) i;
CREATE INDEX ON orders (note);
CREATE TABLE items (id int PRIMARY KEY, ordered int CONSTRAINT of_order REFERENCES orders);
INSERT INTO items SELECT i, i FROM generate_series(1, 100) i;
CREATE TABLE unbound (customer int REFERENCES customers);
INSERT INTO unbound VALUES (NULL);
CREATE TABLE parts (id int, day date, customer int CONSTRAINT of_part REFERENCES customers) PARTITION BY RANGE (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO parts SELECT i, date '2026-01-01' + i % 50, 1 FROM generate_series(1, 500) i;
CREATE VIEW totals AS SELECT count(*) FROM orders;
CREATE SEQUENCE numbers; SELECT setval('numbers', 4711);
SELECT lo_from_bytea(4711, 'large'); COMMENT ON LARGE OBJECT 4711 IS 'a large one'; GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC;
";

#[test]
fn rows_of_single_tables_come_back_with_the_schema() {
    let cluster = Cluster::start();
    cluster.psql("postgres", SQL);
    let (socket, port) = (cluster.socket_dir().display(), cluster.port);
    let project = Project::new(&format!("[postgres.p]\nsocket = \"{socket}\"\nport = {port}\nuser = \"postgres\"\n"));
    project.backup_job("all", &[("db", "postgres_dump = { server = \"p\" }")]);
    project.maint(&["run", "all"]).code(0);
    let args = ["restore", "all", "--table", "public.orders"];
    let with = |more: &[&str]| project.maint(&[args.as_slice(), more].concat());
    let plan = with(&["--into", "db:rows_copy", "--plan"]).code(0).stdout;
    assert!(plan.contains("the whole schema, and 20 000 rows of public.orders"), "{plan}");
    let said = with(&["--into", "db:rows_copy"]).code(0).stdout;
    assert!(said.contains("the foreign key of_customer of public.orders: public.customers was left empty"), "{said}");
    assert!(said.contains("not restored: 1 large object") && said.contains("every other table is empty"), "{said}");
    let digest = "SELECT count(*), sum(hashtext(o::text)) FROM orders o";
    assert_eq!(cluster.psql("rows_copy", digest), cluster.psql("postgres", digest));
    let rest = "SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM items), (SELECT count(*) FROM parts), \
         (SELECT count(*) FROM pg_largeobject_metadata), (SELECT last_value FROM numbers)";
    assert_eq!(cluster.psql("rows_copy", rest), "0|0|0|0|4711");
    // What can hold is there.
    let keys =
        "SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0";
    assert_eq!(cluster.psql("rows_copy", keys), "of_order,of_part,unbound_customer_fkey");
    let both = with(&["--into", "db:both", "--table", "public.customers", "--table", "public.unbound"]).code(0).stdout;
    assert!(!both.contains("foreign key"), "{both}");
    assert_eq!(cluster.psql("both", keys), "of_customer,of_order,of_part,unbound_customer_fkey");
    // A partition brings the key of its whole table down.
    let part = project.maint(&["restore", "all", "--table", "public.parts_1", "--into", "db:part"]).code(0).stdout;
    assert!(part.contains("the foreign key of_part of public.parts: public.customers was left empty"), "{part}");
    let wrong = project.maint(&["restore", "all", "--table", "public.order", "--into", "db:x"]).code(2);
    assert!(wrong.stderr.contains("near it are: public.orders"), "{}", wrong.stderr);
    with(&["--into", "volume:x"]).code(2);
    with(&["--into", "db:postgres", "--replace", "postgres"]).code(2);
    let taken = with(&["--into", "db:both"]).code(2);
    assert!(taken.stderr.contains("the database both is there already"), "{}", taken.stderr);
}
