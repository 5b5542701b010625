//! What belongs to a database itself and is in no dump of its content: owner, privileges, comment, settings, limits.
//!
//! Written as `pg_dump --create` would (dumpDatabase and dumpDatabaseConfig in src/bin/pg_dump/pg_dump.c), but for
//! `:"DBNAME"`, so that psql's `-v DBNAME=…` decides which database gets it.

use std::fmt::Write as _;

use tokio_postgres::Row;

use crate::adapters::postgres::{PostgresError, Session};

const HEAD: &str = "\
-- Owner, privileges, comment and settings of the database itself.
-- Read it with: psql -X -v ON_ERROR_STOP=1 -v DBNAME=<name> -d <name> -f <this file>

";

/// Settings whose value is a list of names: each is quoted on its own (GUC_LIST_QUOTE).
const LISTS: &[&str] = &[
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The properties of the session's database as SQL, the same text for the same properties.
///
/// # Errors
/// When the connection is lost.
pub(super) async fn sql(session: &Session) -> Result<String, PostgresError> {
    let mut text = String::from(HEAD);
    own(session, &mut text).await?;
    privileges(session, &mut text).await?;
    settings(session, &mut text).await?;
    labels(session, &mut text).await?;
    Ok(text)
}

/// Adds a statement; writing to a String cannot fail.
fn add(text: &mut String, statement: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(statement);
    text.push_str(";\n");
}

/// `ALLOW_CONNECTIONS` is not among them: a database that takes none cannot be dumped either.
async fn own(session: &Session, text: &mut String) -> Result<(), PostgresError> {
    const SQL: &str = "SELECT quote_ident(r.rolname), quote_literal(shobj_description(d.oid, 'pg_database')), \
         d.datconnlimit, d.datistemplate \
         FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = current_database()";
    let row = session.one("asking the database's properties", SQL, &[]).await?;
    add(text, format_args!("ALTER DATABASE :\"DBNAME\" OWNER TO {}", row.get::<_, String>(0)));
    if let Some(comment) = row.get::<_, Option<String>>(1) {
        add(text, format_args!("COMMENT ON DATABASE :\"DBNAME\" IS {comment}"));
    }
    let limit: i32 = row.get(2);
    if limit != -1 {
        add(text, format_args!("ALTER DATABASE :\"DBNAME\" CONNECTION LIMIT {limit}"));
    }
    if row.get(3) {
        add(text, format_args!("ALTER DATABASE :\"DBNAME\" IS_TEMPLATE true"));
    }
    Ok(())
}

/// The whole list anew where it is not the default: nothing for PUBLIC and the owner first, then every grant as its
/// grantor, in the list's own order, in which a grant option comes before what was granted with it.
async fn privileges(session: &Session, text: &mut String) -> Result<(), PostgresError> {
    const SQL: &str = "SELECT quote_ident(o.rolname), quote_ident(g.rolname), \
         CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(e.rolname) END, a.is_grantable, \
         string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type), g.oid = o.oid \
         FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba \
         LEFT JOIN LATERAL unnest(d.datacl) WITH ORDINALITY i (item, position) ON true \
         LEFT JOIN LATERAL aclexplode(ARRAY[i.item]) a ON true \
         LEFT JOIN pg_roles g ON g.oid = a.grantor LEFT JOIN pg_roles e ON e.oid = a.grantee \
         WHERE d.datname = current_database() AND d.datacl IS NOT NULL \
         GROUP BY i.position, o.rolname, o.oid, g.rolname, g.oid, e.rolname, a.grantee, a.is_grantable \
         ORDER BY i.position, a.is_grantable";
    let rows = session.query("asking the database's privileges", SQL, &[]).await?;
    let Some(first) = rows.first() else { return Ok(()) };
    add(text, format_args!("REVOKE ALL ON DATABASE :\"DBNAME\" FROM PUBLIC"));
    add(text, format_args!("REVOKE ALL ON DATABASE :\"DBNAME\" FROM {}", first.get::<_, String>(0)));
    for row in &rows {
        grant(text, row);
    }
    Ok(())
}

fn grant(text: &mut String, row: &Row) {
    // An empty list, or a role that is gone: there is nothing to grant.
    let (Some(grantor), Some(grantee), Some(privileges)) =
        (row.get::<_, Option<String>>(1), row.get::<_, Option<String>>(2), row.get::<_, Option<String>>(4))
    else {
        return;
    };
    let option = if row.get::<_, Option<bool>>(3) == Some(true) { " WITH GRANT OPTION" } else { "" };
    let by_owner = row.get::<_, Option<bool>>(5) == Some(true);
    if !by_owner {
        add(text, format_args!("SET SESSION AUTHORIZATION {grantor}"));
    }
    add(text, format_args!("GRANT {privileges} ON DATABASE :\"DBNAME\" TO {grantee}{option}"));
    if !by_owner {
        add(text, format_args!("RESET SESSION AUTHORIZATION"));
    }
}

async fn settings(session: &Session, text: &mut String) -> Result<(), PostgresError> {
    const SQL: &str = "SELECT quote_ident(r.rolname), s.entry \
         FROM pg_db_role_setting c JOIN pg_database d ON d.oid = c.setdatabase AND d.datname = current_database() \
         LEFT JOIN pg_roles r ON r.oid = c.setrole \
         CROSS JOIN LATERAL unnest(c.setconfig) WITH ORDINALITY s (entry, position) \
         WHERE c.setrole = 0 OR r.oid IS NOT NULL \
         ORDER BY c.setrole <> 0, r.rolname COLLATE \"C\", s.position";
    for row in session.query("asking the database's settings", SQL, &[]).await? {
        let role: Option<String> = row.get(0);
        let setting = setting(row.get(1));
        match role {
            Some(role) => add(text, format_args!("ALTER ROLE {role} IN DATABASE :\"DBNAME\" SET {setting}")),
            None => add(text, format_args!("ALTER DATABASE :\"DBNAME\" SET {setting}")),
        }
    }
    Ok(())
}

/// The settings of a server for all its roles as SQL, which `pg_dumpall --globals-only` leaves out (its dumpRoles asks
/// role by role); `None` where there are none.
///
/// # Errors
/// When the connection is lost.
pub(super) async fn of_all_roles(session: &Session) -> Result<Option<String>, PostgresError> {
    const SQL: &str = "SELECT s.entry FROM pg_db_role_setting c \
         CROSS JOIN LATERAL unnest(c.setconfig) WITH ORDINALITY s (entry, position) \
         WHERE c.setrole = 0 AND c.setdatabase = 0 ORDER BY s.position";
    let rows = session.query("asking the settings of all roles", SQL, &[]).await?;
    let mut text = String::from("-- Settings of all roles in all databases, which pg_dumpall leaves out.\n\n");
    for row in &rows {
        add(&mut text, format_args!("ALTER ROLE ALL SET {}", setting(row.get(0))));
    }
    Ok((!rows.is_empty()).then_some(text))
}

/// `name TO value` of a stored `name=value`.
fn setting(entry: &str) -> String {
    let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
    let value = if LISTS.contains(&name.to_ascii_lowercase().as_str()) {
        let elements: Vec<_> = elements(value).iter().map(|e| literal(e)).collect();
        if elements.is_empty() { literal("") } else { elements.join(", ") }
    } else {
        literal(value)
    };
    format!("\"{}\" TO {value}", name.replace('"', "\"\""))
}

async fn labels(session: &Session, text: &mut String) -> Result<(), PostgresError> {
    const SQL: &str = "SELECT quote_ident(l.provider), quote_literal(l.label) FROM pg_shseclabel l \
         JOIN pg_database d ON d.oid = l.objoid AND d.datname = current_database() \
         WHERE l.classoid = 'pg_database'::regclass ORDER BY l.provider COLLATE \"C\"";
    for row in session.query("asking the database's security labels", SQL, &[]).await? {
        let (provider, label): (String, String) = (row.get(0), row.get(1));
        add(text, format_args!("SECURITY LABEL FOR {provider} ON DATABASE :\"DBNAME\" IS {label}"));
    }
    Ok(())
}

/// A string constant that means the same whatever `standard_conforming_strings` says (manual 4.1.2.2).
fn literal(value: &str) -> String {
    let escape = if value.contains('\\') { "E" } else { "" };
    format!("{escape}'{}'", value.replace('\\', r"\\").replace('\'', "''"))
}

/// The elements of a stored list: names separated by commas, in double quotes where they need them.
fn elements(value: &str) -> Vec<String> {
    let mut elements = Vec::new();
    let mut rest = value.trim_start();
    while !rest.is_empty() {
        let mut element = String::new();
        if let Some(mut quoted) = rest.strip_prefix('"') {
            while let Some(end) = quoted.find('"') {
                element.push_str(&quoted[..end]);
                quoted = &quoted[end + 1..];
                match quoted.strip_prefix('"') {
                    Some(after) => {
                        element.push('"');
                        quoted = after;
                    }
                    None => break,
                }
            }
            rest = quoted.trim_start();
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            rest[..end].trim_end().clone_into(&mut element);
            rest = &rest[end..];
        }
        elements.push(element);
        rest = rest.strip_prefix(',').map_or("", str::trim_start);
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_as_the_server_stores_them() {
        assert_eq!(elements(r#""$user", public,"a ""b"", c""#), ["$user", "public", r#"a "b", c"#]);
        assert_eq!(elements(r#""""#), [""]);
        assert_eq!(elements(""), Vec::<String>::new());
    }

    #[test]
    fn literals_survive() {
        assert_eq!(literal(r"it's \n"), r"E'it''s \\n'");
        assert_eq!(literal("plain"), "'plain'");
    }
}
