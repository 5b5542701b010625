//! Builds the question to one catalogue: names in place of numbers, text in place of trees, privileges one by one.

use std::collections::BTreeMap;

use super::catalogues::{Catalogue, Identity};

/// A column of a catalogue, as the server describes it.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// `format_type` of it.
    pub(super) kind: String,
    /// What it refers to, by `pg_get_catalog_foreign_keys`.
    pub(super) reference: Option<Reference>,
}

/// A reference of one catalogue to another.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub(super) catalogue: String,
    pub(super) is_array: bool,
    /// Of a column number: the column with the relation's oid.
    pub(super) relation: Option<String>,
}

/// What the names of roles are translated to: the superuser of a throwaway server stands for the source's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAlias {
    /// The name that the server has.
    pub from: String,
    /// The name to tell.
    pub to: String,
}

/// Types that cannot be compared as they are stored.
const OPAQUE: &[&str] = &["pg_node_tree", "anyarray", "xid", "pg_lsn"];

/// Columns that are neither compared nor left out with a reason.
pub(super) fn unexplained(catalogue: &Catalogue, columns: &[Column]) -> Vec<String> {
    let skipped = |name: &str| name == "oid" || catalogue.skip.iter().any(|(skip, _)| *skip == name);
    let privileges = |name: &str| catalogue.acl.is_some_and(|[_, _, column]| column == name);
    let number = |c: &Column| matches!(c.kind.as_str(), "oid" | "oid[]" | "oidvector") && c.reference.is_none();
    let opaque = |c: &Column| OPAQUE.contains(&c.kind.as_str()) || c.kind == "aclitem[]" || number(c);
    columns
        .iter()
        .filter(|c| !skipped(&c.name) && !privileges(&c.name) && opaque(c))
        .map(|c| format!("{}.{}", catalogue.name, c.name))
        .collect()
}

/// The question: rows of name and facts.
pub(super) fn of(catalogue: &Catalogue, columns: &[Column], alias: Option<&RoleAlias>) -> String {
    let mut facts: BTreeMap<String, String> = BTreeMap::new();
    for column in columns {
        let skipped = column.name == "oid" || catalogue.skip.iter().any(|(name, _)| *name == column.name);
        let privileges = catalogue.acl.is_some_and(|[_, _, name]| name == column.name);
        if !skipped && !privileges {
            facts.insert(column.name.clone(), value(column));
        }
    }
    let absent: Vec<String> = catalogue
        .skip
        .iter()
        .filter(|(name, _)| !columns.iter().any(|c| c.name == *name))
        .map(|(name, _)| format!("c.{name}"))
        .collect();
    let extra = catalogue.extra.iter().filter(|(_, sql)| !absent.iter().any(|column| sql.contains(column)));
    facts.extend(extra.map(|(name, sql)| ((*name).to_owned(), format!("to_jsonb({sql})"))));
    if let Some(acl) = catalogue.acl {
        facts.insert("privileges".into(), privileges(acl));
    }
    let facts = facts.iter().map(|(name, sql)| format!("'{name}', {sql}")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "{REL} SELECT {}, jsonb_strip_nulls(jsonb_build_object({facts})) FROM {} c WHERE {}",
        identity(catalogue),
        catalogue.name,
        catalogue.rows
    );
    expand(&sql, catalogue.name, alias)
}

/// The question after privileges on what no dump holds but may grant on: the system's own objects and those of
/// extensions (pg_dump.c `selectDumpableNamespace`, `checkExtensionMembership`).
pub(super) fn grants_on_others(catalogue: &Catalogue, alias: Option<&RoleAlias>) -> Option<String> {
    let acl = catalogue.acl?;
    let [_, _, column] = acl;
    let (class, object) = match catalogue.name {
        "pg_default_acl" | "pg_largeobject_metadata" => return None,
        "pg_attribute" => ("pg_class", "c.attrelid"),
        name => (name, "c.oid"),
    };
    let sql = format!(
        "{REL} SELECT {}, jsonb_build_object('privileges', {privileges}) FROM {} c WHERE c.{column} IS NOT NULL \
         AND NOT coalesce(({}), false) AND {privileges} IS NOT NULL AND (member_of('{class}', {object}) \
         OR (SELECT i.schema IS NULL OR i.schema = 'pg_catalog' FROM pg_identify_object('{class}'::regclass, {object}, 0) i))",
        identity(catalogue),
        catalogue.name,
        catalogue.rows,
        privileges = privileges(acl),
    );
    Some(expand(&sql, catalogue.name, alias))
}

/// The relations of a dump: those of its schemas, but temporary ones, those of extensions, and indexes that are not valid,
/// which no dump holds; a partitioned index is not valid until all its parts are there.
const REL: &str = "WITH rel AS MATERIALIZED (SELECT c.oid, c.relkind FROM pg_class c \
     LEFT JOIN pg_index i ON i.indexrelid = c.oid \
     WHERE dumped_schema(c.relnamespace) AND c.relpersistence <> 't' AND c.relkind <> 't' \
     AND NOT member_of('pg_class', coalesce(i.indrelid, c.oid)) \
     AND (i.indexrelid IS NULL OR i.indisvalid OR c.relkind = 'I'))";

fn identity(catalogue: &Catalogue) -> String {
    match catalogue.identity {
        Identity::Oid => format!("name_of('{}', c.oid)", catalogue.name),
        Identity::Sql(sql) => sql.to_owned(),
    }
}

fn value(column: &Column) -> String {
    let name = format!("c.{}", column.name);
    let Some(Reference { catalogue, is_array, relation }) = &column.reference else {
        return if column.kind == "\"char\"" { format!("to_jsonb({name}::text)") } else { format!("to_jsonb({name})") };
    };
    if let Some(relation) = relation {
        let column = |number: &str| {
            format!("(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.{relation} AND a.attnum = {number})")
        };
        if *is_array {
            let named = column("v");
            return format!(
                "(SELECT to_jsonb(array_agg({named} ORDER BY n)) FROM unnest({name}::int2[]) WITH ORDINALITY u (v, n))"
            );
        }
        return format!("to_jsonb({})", column(&name));
    }
    let one = |number: &str| match catalogue.as_str() {
        "pg_authid" => format!("role({number})"),
        other => format!("name_of('{other}', {number})"),
    };
    match (is_array, catalogue.as_str()) {
        // The order of roles means nothing.
        (true, "pg_authid") => format!(
            "(SELECT to_jsonb(array_agg(x ORDER BY x)) FROM (SELECT {} FROM unnest({name}::oid[]) v) s (x))",
            one("v")
        ),
        (true, _) => format!(
            "(SELECT to_jsonb(array_agg({} ORDER BY n)) FROM unnest({name}::oid[]) WITH ORDINALITY u (v, n))",
            one("v")
        ),
        (false, _) => format!("to_jsonb({})", one(&format!("{name}::oid"))),
    }
}

/// Privileges one by one; nothing where they are those that every object begins with.
fn privileges([kind, owner, column]: [&str; 3]) -> String {
    let all = |acl: &str| {
        format!(
            "(SELECT coalesce(to_jsonb(array_agg(x ORDER BY x)), '[]') FROM (SELECT role(a.grantee) || '=' || a.privilege_type || \
             CASE WHEN a.is_grantable THEN '*' ELSE '' END || '/' || role(a.grantor) FROM aclexplode({acl}) a) s (x))"
        )
    };
    let held = all(&format!("c.{column}"));
    if kind == "NULL" {
        return held;
    }
    let default = all(&format!("acldefault({kind}, {owner})"));
    format!("CASE WHEN c.{column} IS NOT NULL THEN NULLIF({held}, {default}) END")
}

/// Writes out the few words that the questions share; there is no other way, for nothing may be created at the source.
fn expand(sql: &str, catalogue: &str, alias: Option<&RoleAlias>) -> String {
    let words: [(&str, usize); 8] = [
        ("name_of(", 2),
        ("described(", 3),
        ("dumped_schema(", 1),
        ("member_of_class(", 2),
        ("member_of(", 2),
        ("member(", 1),
        ("dumped_object(", 2),
        ("made_with_type(", 1),
    ];
    let mut sql = sql.to_owned();
    while let Some((word, at)) = words.iter().find_map(|(word, _)| find(&sql, word).map(|at| (*word, at))) {
        let (args, end) = arguments(&sql, at + word.len());
        let text = written_out(word, &args, catalogue);
        sql.replace_range(at..end, &text);
    }
    while let Some(at) = find(&sql, "role(") {
        let (args, end) = arguments(&sql, at + "role(".len());
        sql.replace_range(at..end, &role(&args[0], alias));
    }
    sql
}

/// Where a word begins that is no part of a longer one.
fn find(sql: &str, word: &str) -> Option<usize> {
    let inside =
        |at: usize| at > 0 && (sql.as_bytes()[at - 1].is_ascii_alphanumeric() || sql.as_bytes()[at - 1] == b'_');
    sql.match_indices(word).map(|(at, _)| at).find(|at| !inside(*at))
}

/// The arguments that begin at `from`, and where the closing parenthesis ends.
fn arguments(sql: &str, from: usize) -> (Vec<String>, usize) {
    let (mut depth, mut args, mut begun) = (0_u32, Vec::new(), from);
    for (at, byte) in sql.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' if depth == 0 => {
                args.push(sql[begun..at].trim().to_owned());
                return (args, at + 1);
            }
            b')' | b']' => depth -= 1,
            b',' if depth == 0 => {
                args.push(sql[begun..at].trim().to_owned());
                begun = at + 1;
            }
            _ => {}
        }
    }
    (args, sql.len())
}

fn written_out(word: &str, args: &[String], catalogue: &str) -> String {
    let arg = |at: usize| args.get(at).map_or("", String::as_str);
    let member = |class: &str, object: &str| {
        format!("EXISTS (SELECT FROM pg_depend d WHERE d.classid = {class} AND d.objid = {object} AND d.deptype = 'e')")
    };
    match word {
        "name_of(" => format!(
            "(SELECT i.identity FROM pg_identify_object({}::regclass, {}, 0) i WHERE {} <> 0)",
            arg(0),
            arg(1),
            arg(1)
        ),
        "described(" => format!(
            "(SELECT i.type || ' ' || i.identity FROM pg_identify_object({}, {}, {}) i)",
            arg(0),
            arg(1),
            arg(2)
        ),
        "dumped_schema(" => format!(
            "EXISTS (SELECT FROM pg_namespace n WHERE n.oid = {} AND n.nspname !~ '^pg_' \
             AND n.nspname <> 'information_schema')",
            arg(0)
        ),
        "member_of_class(" => member(arg(0), arg(1)),
        "member_of(" => member(&format!("{}::regclass", arg(0)), arg(1)),
        "member(" => member(&format!("'{catalogue}'::regclass"), arg(0)),
        "dumped_object(" => format!(
            "(SELECT coalesce(i.schema, '') !~ '^pg_' AND coalesce(i.schema, '') <> 'information_schema' \
             FROM pg_identify_object({}, {}, 0) i)",
            arg(0),
            arg(1)
        ),
        _ => format!(
            "EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = {} \
             AND d.refclassid = 'pg_type'::regclass AND d.deptype = 'i')",
            arg(0)
        ),
    }
}

/// A role's name; 0 is everybody.
pub(super) fn role(number: &str, alias: Option<&RoleAlias>) -> String {
    let quoted = |name: &str| format!("'{}'", name.replace('\'', "''"));
    let renamed = alias
        .map(|RoleAlias { from, to }| format!("WHEN pg_get_userbyid({number}) = {} THEN {} ", quoted(from), quoted(to)))
        .unwrap_or_default();
    format!("CASE WHEN {number} = 0 THEN 'PUBLIC' {renamed}ELSE pg_get_userbyid({number})::text END")
}
