//! Catalogues that are not compared with those of a database, each with its reason.

/// The name of a catalogue, and why it is not compared.
pub(super) const LEFT_OUT: &[(&str, &str)] = &[
    ("pg_authid", "roles belong to the server: compared with its globals"),
    ("pg_auth_members", "memberships belong to the server: compared with its globals"),
    ("pg_database", "the database itself: owner, privileges and settings are compared as its properties"),
    ("pg_db_role_setting", "compared as properties of the database, and with the server's globals"),
    (
        "pg_init_privs",
        "what initdb and CREATE EXTENSION granted, kept to tell later grants from; the privileges are compared",
    ),
    ("pg_largeobject", "the content of large objects: compared by digest"),
    ("pg_parameter_acl", "privileges on settings belong to the server: compared with its globals"),
    ("pg_replication_origin", "the state of a replication; pg_dump leaves it out"),
    ("pg_shdepend", "follows from owners and privileges, which are compared"),
    ("pg_shdescription", "comments on databases, roles and tablespaces: compared with properties and globals"),
    ("pg_shseclabel", "labels on databases, roles and tablespaces: compared with properties and globals"),
    ("pg_statistic", "planner statistics: ANALYZE makes them anew"),
    ("pg_statistic_ext_data", "planner statistics: ANALYZE makes them anew"),
    ("pg_subscription_rel", "the state of a replication; pg_dump leaves it out"),
    ("pg_tablespace", "tablespaces belong to the server: compared with its globals"),
];
