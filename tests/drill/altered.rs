//! Sets that somebody altered, with checksums, contents list and manifest made to fit: each alteration is found and named.

use super::{drill, forge::Forged, made, verify};

/// File, what somebody changes in it, what it becomes, and what is told.
type Alteration = (&'static str, &'static str, &'static str, &'static str);

/// Each alone.
const ALTERATIONS: &[Alteration] = &[
    (
        "db",
        "GRANT SELECT,UPDATE ON TABLE s.t TO inv_reader;",
        "",
        "relation s.t: privileges: without inv_reader=SELECT/inv_owner",
    ),
    (
        "globals",
        "GRANT inv_owner TO inv_reader GRANTED BY postgres;",
        "",
        "membership of inv_reader in inv_owner is missing",
    ),
    ("db", "CREATE TABLE s.parted_1", "CREATE TABEL s.parted_1", "does not restore"),
];

#[test]
fn what_a_dump_lost_is_named() {
    let mut wrong = Vec::new();
    for (file, old, new, expected) in ALTERATIONS {
        let forged = Forged::of(made());
        forged.replace(file, old, new);
        let structure = verify(&forged.set, "structure");
        assert_eq!(structure.code, 0, "only a drill may notice: {}{}", structure.stdout, structure.stderr);
        let ended = drill(&forged.set);
        if ended.code != 3 || !ended.stdout.contains(expected) {
            wrong.push(format!(
                "{old}\n  expected: {expected}\n  found ({}): {}{}",
                ended.code, ended.stdout, ended.stderr
            ));
        }
        assert!(!forged.set.parent().unwrap().join(".records").exists(), "a failed drill proves nothing");
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ALTERATIONS.len(), wrong.join("\n"));
}

/// All in one set: each is named beside the others.
const TOGETHER: &[Alteration] = &[
    // Rows are altered beside their COPY block, whose digest stays right.
    (
        "db",
        "SELECT pg_catalog.setval('s.counter', 9, true);",
        "DELETE FROM ONLY s.t WHERE n = 77;\nUPDATE s.parted_1 SET v = 'five' WHERE k = 4;\n\
         INSERT INTO s.child (id, n) VALUES (1, 1);\nSELECT pg_catalog.setval('s.counter', 9, false);",
        "s.t has 99 rows instead of 100",
    ),
    ("db", "", "", "sequence s.counter: last value 9 (not given out yet) instead of 9"),
    ("db", "", "", "the rows of s.parted_1 are not those that were captured"),
    ("db", "", "", "s.child has 1 rows instead of 0"),
    (
        "db",
        "SELECT pg_catalog.setval('s.t_id_seq', 100, true);",
        "",
        "sequence s.t_id_seq: last value 1 (not given out",
    ),
    (
        "db",
        "CREATE INDEX parted_v",
        "SELECT pg_catalog.lo_unlink(4712);\nSELECT pg_catalog.lo_put(4711, 0, 'z');\nCREATE INDEX parted_v",
        "large object 4712 is missing",
    ),
    ("db", "", "", "large object 4711"),
    ("db", "GRANT USAGE ON SCHEMA s TO inv_reader;", "", "schema s: privileges: without inv_reader=USAGE/inv_owner"),
    (
        "db",
        "GRANT INSERT(name) ON TABLE s.t TO inv_reader;",
        "",
        "s.t.name: privileges: without inv_reader=INSERT/inv_owner",
    ),
    (
        "db",
        "GRANT SELECT ON LARGE OBJECT 4711 TO inv_reader;",
        "",
        "large object 4711: privileges: without inv_reader=SELECT",
    ),
    ("db", "ALTER DEFAULT PRIVILEGES FOR ROLE inv_owner IN SCHEMA s GRANT", "SELECT 1; --", "default privileges"),
    ("db", "CREATE INDEX t_name ON s.t USING btree (lower(name)) WHERE (n > 5);", "", "index s.t_name is missing"),
    ("db", "(VALUE <= 100)", "(VALUE <= 101)", "constraint in_range on s.percent: definition"),
    ("db", "COMMENT ON TABLE s.t IS 'a table';", "", "comment on table s.t is missing"),
    ("db", "DEFAULT 'x'::text", "DEFAULT 'y'::text", "default of column s.t.name: expression"),
    ("db", "USING ((n > 0));", "USING ((n > 1));", "policy mine on s.t: using"),
    ("db", "ALTER TABLE s.t OWNER TO inv_owner;", "", "relation s.t: relowner"),
    ("db", "SELECT a + b", "SELECT a - b", "routine s.f(integer,integer): definition"),
    ("globals", "ALTER ROLE inv_reader SET work_mem TO '5MB';", "", "setting of inv_reader work_mem is missing"),
    ("db", "CREATE UNIQUE INDEX t_n ON s.t USING btree (n);", "", "index s.t_n is missing"),
    ("db", "CREATE TRIGGER keep BEFORE", "SELECT 1; --", "trigger keep on s.t is missing"),
    (
        "db",
        "ALTER TABLE ONLY s.child\n    ADD CONSTRAINT child_t_fkey",
        "SELECT 1; --",
        "constraint child_t_fkey on s.child is missing",
    ),
    (
        "db",
        "ALTER TABLE ONLY s.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);",
        "",
        "constraint t_pkey on s.t is missing",
    ),
    ("db", ",\n    CONSTRAINT positive CHECK ((n > 0))", "", "constraint positive on s.t is missing"),
    ("db", "COMMENT ON COLUMN s.t.name IS 'a column';", "", "comment on table column s.t.name is missing"),
    ("db", "COMMENT ON LARGE OBJECT 4711 IS 'large';", "", "comment on large object 4711 is missing"),
    (
        "globals",
        "ALTER ROLE inv_reader WITH NOSUPERUSER INHERIT",
        "ALTER ROLE inv_reader WITH NOSUPERUSER NOINHERIT",
        "role inv_reader: ",
    ),
];

#[test]
fn everything_that_a_dump_lost_is_named_at_once() {
    let forged = Forged::of(made());
    for (file, old, new, _) in TOGETHER.iter().filter(|(_, old, ..)| !old.is_empty()) {
        forged.replace(file, old, new);
    }
    let structure = verify(&forged.set, "structure");
    assert_eq!(structure.code, 0, "only a drill may notice: {}{}", structure.stdout, structure.stderr);
    let ended = drill(&forged.set).code(3);
    let untold: Vec<_> = TOGETHER.iter().map(|(.., told)| told).filter(|told| !ended.stdout.contains(*told)).collect();
    assert!(untold.is_empty(), "{untold:#?} are not in:\n{}", ended.stdout);
}

/// Who alters rows where they stand cannot make everything fit: the source counted them, and took their digest.
#[test]
fn rows_that_were_altered_in_place_are_named() {
    for (old, new, fits, told) in [
        ("\n77\trow\t\\N\t77\n", "\n", true, "s.t has 99 rows; the server counted 100"),
        (
            "\n77\trow\t\\N\t77\n",
            "\n77\trow\t\\N\t77\n101\trow\t\\N\t101\n",
            true,
            "s.t has 101 rows; the server counted 100",
        ),
        ("\n77\trow\t\\N\t77\n", "\n77\trow\t\\N\t78\n", false, "the rows of s.t are not those that were captured"),
        ("\n77\trow\t\\N\t77\n", "\n", false, "s.t has 99 rows instead of 100"),
    ] {
        let forged = Forged::of(made());
        match fits {
            true => forged.replace("db", old, new),
            false => forged.replace_rows("db", old, new),
        }
        let ended = drill(&forged.set).code(3);
        assert!(ended.stdout.contains(told), "{told}: {}", ended.stdout);
    }
}

#[test]
fn roles_that_do_not_restore_hide_nothing_of_the_databases() {
    let forged = Forged::of(made());
    forged.replace("globals", "CREATE ROLE inv_reader;", "CREATE ROEL inv_reader;");
    forged.replace("db", "COMMENT ON TABLE s.t IS 'a table';", "");
    let said = drill(&forged.set).code(3).stdout;
    for told in [
        "template1 does not restore: CREATE ROEL inv_reader",
        "membership of inv_reader in inv_owner is missing",
        "comment on table s.t is missing",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let of_database = said.lines().filter(|line| line.contains("✗") && line.contains(" db-")).count();
    assert_eq!(of_database, 1, "its roles are there all the same: {said}");
}
