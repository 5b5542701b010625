//! Fills an empty database with a dump, or some tables of it, and compares it with what was captured.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::{DatabaseError, DatabaseRequest};
use crate::{
    adapters::{
        host,
        postgres::{PostgresError, Session},
    },
    backup::{
        load::{self, DumpFiles, LoadOptions, Loaded},
        objects,
    },
    model::{contents::TableName, event::StepEvents, inventory::Object},
    stream::dump::kind::ForeignKey,
};

/// Loads the dump, compares it, and adds the database's own properties.
pub(super) async fn fill(
    request: &DatabaseRequest<'_>,
    unfinished: &str,
    tablespaces: bool,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<(Loaded, load::Compared, objects::Compared), DatabaseError> {
    let settings: Vec<_> = request.facts.session_settings.clone().into_iter().collect();
    let only: Vec<TableName> = request.tables.iter().map(|line| line.table.clone()).collect();
    let options = LoadOptions {
        server: request.server,
        docker: request.docker,
        dbname: unfinished,
        jobs: host::cores(),
        tablespaces,
        settings: &settings,
        only: (!only.is_empty()).then_some(&only),
    };
    let files = DumpFiles { artifact: request.set.join(&request.artifact.packed.file), contents: request.contents() };
    let tell = |doing: &'static str| {
        move |done: u64, total: u64, _: &str| events.progress(done, Some(total), format!("{doing} {}", request.name))
    };
    let loaded = load::database(&options, &files, cancel, &tell("restoring")).await?;
    let mut rows = load::compare(&options, &files.contents, cancel, &tell("comparing")).await?;
    let session = request.session(unfinished).await?;
    for companion in &request.artifact.companions {
        load::properties(&session, &request.set.join(&companion.file), unfinished).await?;
    }
    let absent = absent(&session, &loaded.left_out).await?;
    let compared = tokio::select! {
        compared = request.expected(absent).await?.compare_database(&session, None) => compared?,
        () = cancel.cancelled() => return Err(DatabaseError::Cancelled),
    };
    session.close().await;
    let differences: Vec<_> = rows.differences.drain(..).chain(compared.differences.iter().cloned()).collect();
    if differences.is_empty() { Ok((loaded, rows, compared)) } else { Err(DatabaseError::Differs { differences }) }
}

/// A foreign key that was left out: the tables that it is on and those that it looks into, partitions included.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    on: BTreeSet<String>,
    into: BTreeSet<String>,
}

async fn absent(session: &Session, keys: &[ForeignKey]) -> Result<Vec<LeftOut>, PostgresError> {
    let mut absent = Vec::new();
    for key in keys {
        absent.push(LeftOut { on: tree(session, &key.table).await?, into: tree(session, &key.references).await? });
    }
    Ok(absent)
}

/// A table and its partitions, as the inventory names them.
async fn tree(session: &Session, table: &TableName) -> Result<BTreeSet<String>, PostgresError> {
    const TREE: &str = "WITH RECURSIVE tree AS (SELECT to_regclass($1::text)::oid AS oid \
         UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid) \
         SELECT (pg_identify_object('pg_class'::regclass, oid, 0)).identity FROM tree WHERE oid IS NOT NULL";
    let rows = session.query("looking for partitions", TREE, &[&table.quoted()]).await?;
    Ok(rows.iter().filter_map(|row| row.get::<_, Option<String>>(0)).collect())
}

/// What a database with the rows of some tables does not have of its source's objects: large objects, the foreign keys
/// that were left out, and what is said of either.
pub(super) struct Absent {
    keys: Vec<LeftOut>,
    said_of: BTreeSet<String>,
}

impl Absent {
    pub(super) fn new(keys: Vec<LeftOut>) -> Self {
        Self { keys, said_of: BTreeSet::new() }
    }

    pub(super) fn has(&mut self, object: &Object) -> bool {
        let fact = |name: &str| object.facts.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        match object.catalogue.as_str() {
            "pg_largeobject_metadata" => true,
            "pg_constraint" if fact("contype") == "f" => {
                let (on, into) = (fact("conrelid"), fact("confrelid"));
                let left_out = self.keys.iter().any(|key| key.on.contains(on) && key.into.contains(into));
                if left_out {
                    self.said_of.insert(format!("table constraint {}", object.identity));
                }
                left_out
            }
            "pg_description" => object.identity.starts_with("large object ") || self.said_of.contains(&object.identity),
            "pg_seclabel" => object.identity.contains(" label of large object "),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(catalogue: &str, identity: &str, facts: &str) -> Object {
        Object::new(catalogue, identity.into(), serde_json::from_str(facts).unwrap())
    }

    #[test]
    fn only_what_was_left_out_may_be_absent() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let key = LeftOut { on: names(&["public.o", "public.o_1"]), into: names(&["public.c"]) };
        let mut absent = Absent::new(vec![key]);
        let key = |on: &str, into: &str| format!(r#"{{"contype":"f","conrelid":"{on}","confrelid":"{into}"}}"#);
        let mut of = |catalogue: &str, identity: &str, facts: &str| absent.has(&object(catalogue, identity, facts));
        assert!(!of("pg_description", "table constraint f on public.o", "{}"));
        assert!(of("pg_constraint", "f on public.o", &key("public.o", "public.c")));
        assert!(of("pg_constraint", "f on public.o_1", &key("public.o_1", "public.c")));
        assert!(of("pg_description", "table constraint f on public.o", "{}"));
        assert!(of("pg_description", "large object 7", "{}") && of("pg_largeobject_metadata", "7", "{}"));
        assert!(!of("pg_constraint", "g on public.o", &key("public.o", "public.d")));
        assert!(!of("pg_constraint", "f on public.p", &key("public.p", "public.c")));
        assert!(!of("pg_constraint", "k on public.o", r#"{"contype":"c","conrelid":"public.o"}"#));
        assert!(!of("pg_description", "table constraint g on public.o", "{}"));
    }
}
