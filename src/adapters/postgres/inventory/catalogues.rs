//! Which catalogues are compared after a restore.
//!
//! Everything in them counts but the columns that are named here, each with its reason. A test holds this list against
//! the server's own: a catalogue or column that nobody thought of makes it fail.

/// How an object of a catalogue is named.
pub(super) enum Identity {
    /// By `pg_identify_object` (manual §9.26.10).
    Oid,
    /// By this expression over `c`.
    Sql(&'static str),
}

/// A catalogue whose rows are compared.
pub(super) struct Catalogue {
    pub(super) name: &'static str,
    pub(super) identity: Identity,
    /// Which rows a dump holds, over `c`; `rel` has the relations of a dump.
    pub(super) rows: &'static str,
    /// Columns that are not compared, each with its reason.
    pub(super) skip: &'static [(&'static str, &'static str)],
    /// Facts beyond the columns: a name and an expression over `c`; left out where it reads a skipped column that the
    /// server's version does not have.
    pub(super) extra: &'static [(&'static str, &'static str)],
    /// `acldefault`'s kind as an expression, the owner's column, and the privileges' column.
    pub(super) acl: Option<[&'static str; 3]>,
}

/// Reasons that are needed more than once.
const TEXT: &str = "told as text beside it";
const LAZY: &str = "a hint that the server corrects when it likes";
const STORAGE: &str = "where and how much is stored, not what";

const CATALOGUE: Catalogue =
    Catalogue { name: "", identity: Identity::Oid, rows: "", skip: &[], extra: &[], acl: None };

/// No schema holds these, so what `initdb` made is told by its number (`FirstNormalObjectId`).
const USERS: &str = "c.oid >= 16384 AND NOT member(c.oid)";

pub(super) const COMPARED: &[Catalogue] = &[
    Catalogue {
        name: "pg_aggregate",
        identity: Identity::Sql("name_of('pg_proc', c.aggfnoid)"),
        rows: "EXISTS (SELECT FROM pg_proc p WHERE p.oid = c.aggfnoid AND dumped_schema(p.pronamespace)) \
               AND NOT member_of('pg_proc', c.aggfnoid)",
        ..CATALOGUE
    },
    Catalogue { name: "pg_am", rows: USERS, ..CATALOGUE },
    Catalogue {
        name: "pg_amop",
        rows: "EXISTS (SELECT FROM pg_opfamily f WHERE f.oid = c.amopfamily AND dumped_schema(f.opfnamespace)) \
               AND NOT member_of('pg_opfamily', c.amopfamily)",
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_amproc",
        rows: "EXISTS (SELECT FROM pg_opfamily f WHERE f.oid = c.amprocfamily AND dumped_schema(f.opfnamespace)) \
               AND NOT member_of('pg_opfamily', c.amprocfamily)",
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_attrdef",
        identity: Identity::Sql(
            "(SELECT name_of('pg_class', a.attrelid) || '.' || quote_ident(a.attname) FROM pg_attribute a \
             WHERE a.attrelid = c.adrelid AND a.attnum = c.adnum)",
        ),
        rows: "c.adrelid IN (SELECT oid FROM rel)",
        skip: &[("adbin", TEXT), ("adnum", "the column is named")],
        extra: &[("expression", "pg_get_expr(c.adbin, c.adrelid)")],
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_attribute",
        identity: Identity::Sql("name_of('pg_class', c.attrelid) || '.' || quote_ident(c.attname)"),
        rows: "c.attnum > 0 AND NOT c.attisdropped AND c.attrelid IN (SELECT oid FROM rel WHERE relkind IN ('r', 'v', \
               'm', 'f', 'p', 'c'))",
        skip: &[
            ("attnum", "dropped columns leave gaps; the order is told beside it"),
            ("attcacheoff", "of no meaning on disk"),
            ("attndims", "how many brackets were typed; the server makes nothing of it"),
            ("attstattarget", "compared for columns of indexes too, beside it"),
            ("atthasmissing", "a restored table has every value stored"),
            ("attmissingval", "a restored table has every value stored"),
            ("attislocal", "a restored child declares what it inherits or not, with the same columns"),
        ],
        extra: &[
            ("statistics", "NULLIF(c.attstattarget, -1)"),
            ("type", "format_type(c.atttypid, c.atttypmod)"),
            (
                "position",
                "CASE WHEN NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.attrelid) THEN \
                 (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.attrelid AND a.attnum BETWEEN 1 AND c.attnum \
                  AND NOT a.attisdropped) END",
            ),
        ],
        acl: Some(["'c'", "(SELECT r.relowner FROM pg_class r WHERE r.oid = c.attrelid)", "attacl"]),
    },
    Catalogue { name: "pg_cast", rows: USERS, ..CATALOGUE },
    Catalogue {
        name: "pg_class",
        rows: "c.oid IN (SELECT oid FROM rel)",
        skip: &[
            ("relfilenode", STORAGE),
            ("relpages", STORAGE),
            ("reltuples", STORAGE),
            ("relallvisible", STORAGE),
            ("relallfrozen", STORAGE),
            ("reltoastrelid", STORAGE),
            ("relfrozenxid", STORAGE),
            ("relminmxid", STORAGE),
            ("relrewrite", "set only while a table is rewritten"),
            ("relhasindex", LAZY),
            ("relhasrules", LAZY),
            ("relhastriggers", LAZY),
            ("relhassubclass", LAZY),
            ("relnatts", "counts dropped columns"),
            ("relpartbound", TEXT),
        ],
        extra: &[
            ("definition", "CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END"),
            ("partition_bound", "pg_get_expr(c.relpartbound, c.oid)"),
            ("toast_options", "(SELECT to_jsonb(t.reloptions) FROM pg_class t WHERE t.oid = c.reltoastrelid)"),
            (
                "owned_by",
                "(SELECT name_of('pg_class', a.attrelid) || '.' || quote_ident(a.attname) FROM pg_depend d \
                 JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
                 WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid \
                 AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') LIMIT 1)",
            ),
        ],
        acl: Some(["CASE c.relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END", "c.relowner", "relacl"]),
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_collation",
        rows: "dumped_schema(c.collnamespace) AND NOT member(c.oid)",
        skip: &[("collversion", "that of the library on the host")],
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_constraint",
        rows: "(c.conrelid IN (SELECT oid FROM rel) AND c.contype <> 't') OR (c.contypid <> 0 AND dumped_schema(c.connamespace) \
               AND NOT member_of('pg_type', c.contypid))",
        skip: &[
            ("conbin", TEXT),
            ("connoinherit", "told by the definition where it means something"),
            ("conislocal", "a restored child declares what it inherits or not, with the same constraints"),
        ],
        extra: &[("definition", "pg_get_constraintdef(c.oid)")],
        ..CATALOGUE
    },
    Catalogue { name: "pg_conversion", rows: "dumped_schema(c.connamespace) AND NOT member(c.oid)", ..CATALOGUE },
    Catalogue { name: "pg_default_acl", rows: "true", acl: Some(["NULL", "c.defaclrole", "defaclacl"]), ..CATALOGUE },
    Catalogue {
        name: "pg_depend",
        identity: Identity::Sql(
            "described(c.classid, c.objid, c.objsubid) || ' depends on ' || described(c.refclassid, c.refobjid, 0)",
        ),
        // What follows from definitions is compared with them; this one is said on its own.
        rows: "c.deptype = 'x'",
        skip: &[
            ("classid", "part of the name"),
            ("objid", "part of the name"),
            ("objsubid", "part of the name"),
            ("refclassid", "part of the name"),
            ("refobjid", "part of the name"),
            ("refobjsubid", "part of the name"),
        ],
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_description",
        identity: Identity::Sql("described(c.classoid, c.objoid, c.objsubid)"),
        rows: "(c.objoid >= 16384 OR c.classoid = 'pg_largeobject'::regclass \
                OR (c.classoid = 'pg_namespace'::regclass AND c.objoid = 'public'::regnamespace)) \
               AND NOT member_of_class(c.classoid, c.objoid) AND dumped_object(c.classoid, c.objoid)",
        skip: DESCRIBED,
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_enum",
        identity: Identity::Sql("name_of('pg_type', c.enumtypid) || '.' || quote_literal(c.enumlabel)"),
        rows: "EXISTS (SELECT FROM pg_type t WHERE t.oid = c.enumtypid AND dumped_schema(t.typnamespace)) \
               AND NOT member_of('pg_type', c.enumtypid)",
        skip: &[("enumsortorder", "inserted labels have fractions; the order is told beside it")],
        extra: &[(
            "position",
            "(SELECT count(*) FROM pg_enum e WHERE e.enumtypid = c.enumtypid AND e.enumsortorder <= c.enumsortorder)",
        )],
        ..CATALOGUE
    },
    Catalogue { name: "pg_event_trigger", rows: "NOT member(c.oid)", ..CATALOGUE },
    Catalogue {
        name: "pg_extension",
        rows: "true",
        skip: &[
            ("extversion", "a dump says CREATE EXTENSION without it: the server's default comes"),
            ("extconfig", "made by CREATE EXTENSION"),
            ("extcondition", "made by CREATE EXTENSION"),
            ("extowner", "plpgsql belongs to the superuser of each server, others to whoever restores"),
        ],
        ..CATALOGUE
    },
    Catalogue { name: "pg_foreign_data_wrapper", rows: USERS, acl: Some(["'F'", "c.fdwowner", "fdwacl"]), ..CATALOGUE },
    Catalogue { name: "pg_foreign_server", rows: USERS, acl: Some(["'S'", "c.srvowner", "srvacl"]), ..CATALOGUE },
    Catalogue {
        name: "pg_foreign_table",
        identity: Identity::Sql("name_of('pg_class', c.ftrelid)"),
        rows: "c.ftrelid IN (SELECT oid FROM rel)",
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_index",
        identity: Identity::Sql("name_of('pg_class', c.indexrelid)"),
        rows: "c.indexrelid IN (SELECT oid FROM rel)",
        skip: &[
            ("indexprs", TEXT),
            ("indpred", TEXT),
            ("indcheckxmin", "tells old transactions to wait; there are none in a copy"),
            ("indnatts", "told by the definition"),
        ],
        extra: &[
            ("definition", "pg_get_indexdef(c.indexrelid)"),
            (
                "statistics",
                "(SELECT jsonb_object_agg(a.attnum, a.attstattarget) FROM pg_attribute a \
                 WHERE a.attrelid = c.indexrelid AND a.attstattarget >= 0)",
            ),
        ],
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_inherits",
        identity: Identity::Sql("name_of('pg_class', c.inhrelid) || ' of ' || name_of('pg_class', c.inhparent)"),
        rows: "c.inhrelid IN (SELECT oid FROM rel)",
        ..CATALOGUE
    },
    Catalogue { name: "pg_language", rows: USERS, acl: Some(["'l'", "c.lanowner", "lanacl"]), ..CATALOGUE },
    Catalogue {
        name: "pg_largeobject_metadata",
        identity: Identity::Sql("c.oid"),
        rows: "true",
        acl: Some(["'L'", "c.lomowner", "lomacl"]),
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_namespace",
        rows: "dumped_schema(c.oid) AND NOT member(c.oid)",
        acl: Some(["'n'", "c.nspowner", "nspacl"]),
        ..CATALOGUE
    },
    Catalogue { name: "pg_opclass", rows: "dumped_schema(c.opcnamespace) AND NOT member(c.oid)", ..CATALOGUE },
    Catalogue { name: "pg_operator", rows: "dumped_schema(c.oprnamespace) AND NOT member(c.oid)", ..CATALOGUE },
    Catalogue { name: "pg_opfamily", rows: "dumped_schema(c.opfnamespace) AND NOT member(c.oid)", ..CATALOGUE },
    Catalogue {
        name: "pg_partitioned_table",
        identity: Identity::Sql("name_of('pg_class', c.partrelid)"),
        rows: "c.partrelid IN (SELECT oid FROM rel)",
        skip: &[("partexprs", TEXT)],
        extra: &[("definition", "pg_get_partkeydef(c.partrelid)")],
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_policy",
        rows: "c.polrelid IN (SELECT oid FROM rel)",
        skip: &[("polqual", TEXT), ("polwithcheck", TEXT)],
        extra: &[
            ("using", "pg_get_expr(c.polqual, c.polrelid)"),
            ("with_check", "pg_get_expr(c.polwithcheck, c.polrelid)"),
        ],
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_proc",
        rows: "dumped_schema(c.pronamespace) AND NOT member(c.oid) AND NOT made_with_type(c.oid)",
        skip: &[("proargdefaults", TEXT), ("prosqlbody", TEXT)],
        extra: &[("definition", "CASE WHEN c.prokind <> 'a' THEN pg_get_functiondef(c.oid) END")],
        acl: Some(["'f'", "c.proowner", "proacl"]),
        ..CATALOGUE
    },
    Catalogue { name: "pg_publication", rows: "NOT member(c.oid)", ..CATALOGUE },
    Catalogue { name: "pg_publication_namespace", rows: "true", ..CATALOGUE },
    Catalogue {
        name: "pg_publication_rel",
        rows: "true",
        skip: &[("prqual", TEXT), ("prattrs", "told as names beside it")],
        extra: &[
            ("filter", "pg_get_expr(c.prqual, c.prrelid)"),
            (
                "columns",
                "(SELECT jsonb_agg(a.attname ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = c.prrelid \
                 AND a.attnum = ANY (c.prattrs::int2[]))",
            ),
        ],
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_range",
        identity: Identity::Sql("name_of('pg_type', c.rngtypid)"),
        rows: "EXISTS (SELECT FROM pg_type t WHERE t.oid = c.rngtypid AND dumped_schema(t.typnamespace)) \
               AND NOT member_of('pg_type', c.rngtypid)",
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_rewrite",
        rows: "c.ev_class IN (SELECT oid FROM rel)",
        skip: &[("ev_qual", TEXT), ("ev_action", TEXT)],
        extra: &[("definition", "pg_get_ruledef(c.oid)")],
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_seclabel",
        identity: Identity::Sql("c.provider || ' label of ' || described(c.classoid, c.objoid, c.objsubid)"),
        rows: "dumped_object(c.classoid, c.objoid)",
        skip: DESCRIBED,
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_sequence",
        identity: Identity::Sql("name_of('pg_class', c.seqrelid)"),
        rows: "c.seqrelid IN (SELECT oid FROM rel)",
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_statistic_ext",
        rows: "dumped_schema(c.stxnamespace) AND NOT member(c.oid)",
        skip: &[("stxexprs", TEXT), ("stxkeys", TEXT)],
        extra: &[("definition", "pg_get_statisticsobjdef(c.oid)")],
        ..CATALOGUE
    },
    Catalogue {
        name: "pg_subscription",
        // pg_dump leaves them out where the role is no superuser.
        rows: "c.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) \
               AND (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user)",
        skip: &[
            ("subdbid", "the database at hand"),
            ("subconninfo", "may hold a password, and plain roles may not read it"),
            ("subenabled", "restored without a connection, so that a copy never subscribes by itself"),
            ("subskiplsn", "the state of a replication"),
        ],
        ..CATALOGUE
    },
    Catalogue { name: "pg_transform", rows: USERS, ..CATALOGUE },
    Catalogue {
        name: "pg_trigger",
        rows: "NOT c.tgisinternal AND c.tgrelid IN (SELECT oid FROM rel)",
        skip: &[
            ("tgqual", TEXT),
            ("tgargs", TEXT),
            ("tgconstraint", "the constraint of a constraint trigger has no other name than it"),
        ],
        extra: &[("definition", "pg_get_triggerdef(c.oid)")],
        ..CATALOGUE
    },
    Catalogue { name: "pg_ts_config", rows: "dumped_schema(c.cfgnamespace) AND NOT member(c.oid)", ..CATALOGUE },
    Catalogue {
        name: "pg_ts_config_map",
        identity: Identity::Sql(
            "name_of('pg_ts_config', c.mapcfg) || ' token ' || c.maptokentype || ' dictionary ' || c.mapseqno",
        ),
        rows: "EXISTS (SELECT FROM pg_ts_config t WHERE t.oid = c.mapcfg AND dumped_schema(t.cfgnamespace)) \
               AND NOT member_of('pg_ts_config', c.mapcfg)",
        ..CATALOGUE
    },
    Catalogue { name: "pg_ts_dict", rows: "dumped_schema(c.dictnamespace) AND NOT member(c.oid)", ..CATALOGUE },
    Catalogue { name: "pg_ts_parser", rows: "dumped_schema(c.prsnamespace) AND NOT member(c.oid)", ..CATALOGUE },
    Catalogue { name: "pg_ts_template", rows: "dumped_schema(c.tmplnamespace) AND NOT member(c.oid)", ..CATALOGUE },
    Catalogue {
        name: "pg_type",
        // Array and row types are made with what they belong to.
        rows: "dumped_schema(c.typnamespace) AND NOT member(c.oid) AND c.typcategory <> 'A' AND NOT EXISTS \
               (SELECT FROM pg_class r WHERE r.oid = c.typrelid AND r.relkind <> 'c') AND (c.typrelid = 0 OR c.typrelid \
               IN (SELECT oid FROM rel))",
        skip: &[("typdefaultbin", TEXT)],
        acl: Some(["'T'", "c.typowner", "typacl"]),
        ..CATALOGUE
    },
    Catalogue { name: "pg_user_mapping", rows: "true", ..CATALOGUE },
];

const DESCRIBED: &[(&str, &str)] =
    &[("classoid", "part of the name"), ("objoid", "part of the name"), ("objsubid", "part of the name")];
