//! Everything that a dump should bring back besides rows, asked by name: what the objects of a database are, who owns
//! them, who may do what with them, and what was said about them.
//!
//! The same questions go to the source, in the dump's own snapshot, and to a copy; what differs is what the dump lost.
//! Numbers that differ from copy to copy are told as names (`pg_identify_object`, `pg_get_catalog_foreign_keys`, manual
//! §9.26.10 and §9.26.11).

mod catalogues;
mod left_out;
mod query;
mod server;

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use catalogues::{COMPARED, Catalogue};
use left_out::LEFT_OUT;
pub use query::RoleAlias;
use query::{Column, Reference};
pub use server::{asked_of_server, server, with_passwords};

use super::{PostgresError, Session};
use crate::model::inventory::Object;

/// The first version that can tell what the numbers in its catalogues refer to.
pub const SINCE_VERSION_NUM: u32 = 140_000;

/// Asks for every object of the session's database, catalogue by catalogue; gives the catalogues that were asked.
///
/// A catalogue that the role may not read is left out: `only` repeats that choice for a copy.
///
/// # Errors
/// When the connection is lost.
pub async fn database(
    session: &Session,
    only: Option<&[String]>,
    alias: Option<&RoleAlias>,
    found: &mut (dyn FnMut(Object) + Send),
) -> Result<Vec<String>, PostgresError> {
    pin(session).await?;
    let columns = columns(session).await?;
    let mut asked = Vec::new();
    for catalogue in COMPARED {
        let Some(columns) = columns.get(catalogue.name) else { continue };
        if only.is_some_and(|only| !only.iter().any(|name| name == catalogue.name))
            || !readable(session, catalogue).await?
        {
            continue;
        }
        asked.push(catalogue.name.to_owned());
        ask(session, catalogue.name, &query::of(catalogue, columns, alias), found).await?;
        if let Some(sql) = query::grants_on_others(catalogue, alias) {
            ask(session, catalogue.name, &sql, found).await?;
        }
    }
    asked.push(server::DATABASE.to_owned());
    server::database(session, alias, found).await?;
    Ok(asked)
}

/// Definitions are told in words that depend on these settings.
async fn pin(session: &Session) -> Result<(), PostgresError> {
    const SETTINGS: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; \
         SET extra_float_digits = 3; SET bytea_output = 'hex'; SET quote_all_identifiers = off; SET xmlbinary = 'base64'";
    session.batch("setting up the session", SETTINGS).await
}

/// Catalogues and columns of the server that are neither compared nor left out for a reason: what this page forgot.
///
/// # Errors
/// When the connection is lost.
pub async fn uncovered(session: &Session) -> Result<Vec<String>, PostgresError> {
    let mut missing = Vec::new();
    for (name, columns) in columns(session).await? {
        match COMPARED.iter().find(|c| c.name == name) {
            Some(catalogue) => missing.extend(query::unexplained(catalogue, &columns)),
            None if LEFT_OUT.iter().any(|(left_out, _)| *left_out == name) => {}
            None => missing.push(name),
        }
    }
    Ok(missing)
}

/// Columns that hold secrets are read by nobody but superusers; the rest of such a catalogue is worth asking for all the
/// same, so only those count that are compared.
async fn readable(session: &Session, catalogue: &Catalogue) -> Result<bool, PostgresError> {
    const SQL: &str = "SELECT bool_and(has_column_privilege(a.attrelid, a.attnum, 'SELECT')) FROM pg_attribute a \
         WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attname::text = ANY ($2)";
    let skipped: Vec<&str> = catalogue.skip.iter().map(|(name, _)| *name).collect();
    let name = format!("pg_catalog.{}", catalogue.name);
    Ok(session
        .one("asking what may be read", SQL, &[&name, &skipped])
        .await?
        .get::<_, Option<bool>>(0)
        .unwrap_or(false))
}

/// Every catalogue with its columns.
async fn columns(session: &Session) -> Result<BTreeMap<String, Vec<Column>>, PostgresError> {
    const SQL: &str = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL), f.pk, f.is_array, f.relation \
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
         LEFT JOIN LATERAL (SELECT k.pktable::text AS pk, k.is_array, \
             CASE WHEN cardinality(k.fkcols) = 2 THEN k.fkcols[1] END AS relation FROM pg_get_catalog_foreign_keys() k \
             WHERE k.fktable = c.oid AND k.fkcols[cardinality(k.fkcols)] = a.attname LIMIT 1) f ON true \
         WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' ORDER BY 1, a.attnum";
    let mut columns: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    for row in session.query("asking what the catalogues hold", SQL, &[]).await? {
        let catalogue: Option<String> = row.get(3);
        let reference = catalogue.map(|catalogue| Reference {
            catalogue,
            is_array: row.get::<_, Option<bool>>(4) == Some(true),
            relation: row.get(5),
        });
        columns.entry(row.get(0)).or_default().push(Column { name: row.get(1), kind: row.get(2), reference });
    }
    Ok(columns)
}

/// Asks a question whose rows are name and facts, one row after the other.
async fn ask(
    session: &Session,
    catalogue: &str,
    sql: &str,
    found: &mut (dyn FnMut(Object) + Send),
) -> Result<(), PostgresError> {
    let operation = format!("asking for the objects in {catalogue}");
    let none: [&str; 0] = [];
    // As bytes: a database without an encoding may hold any.
    let sql = format!(
        "SELECT convert_to(q.a::text, e.e), convert_to(q.b::text, e.e) FROM ({sql}) q (a, b), (SELECT CASE \
         current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END) e (e)"
    );
    let rows = session.client().query_raw(&sql, none).await.map_err(|e| session.error(&operation, &e))?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await.map_err(|e| session.error(&operation, &e))? {
        let (identity, facts): (Option<&[u8]>, Option<&[u8]>) = (row.get(0), row.get(1));
        // An object that was dropped meanwhile has no name any more.
        let Some(identity) = identity else { continue };
        let facts = facts.and_then(|bytes| serde_json::from_str(&text(bytes)).ok()).unwrap_or_default();
        found(Object::new(catalogue, text(identity), facts));
    }
    Ok(())
}

/// Text, whatever its bytes: those that are not UTF-8 get a place in the private area, so that none is lost.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(0xE000 + u32::from(*byte))));
    }
    text
}
