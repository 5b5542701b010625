//! Large objects: read back in pieces, whatever their size.

use std::sync::Arc;

use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};
use tokio_postgres::error::SqlState;
use xxhash_rust::xxh3::Xxh3;

use super::{LoadError, compare::Shared};
use crate::{
    adapters::postgres::Session,
    model::contents::{LargeObjectLine, Line},
    stream::{StreamError, contents::ContentsReader},
};

/// What is read at once.
const PIECE_BYTES: i32 = 1 << 20;
/// Oids that are listed at once.
const LISTED: i64 = 100_000;
/// How many objects of the list are read ahead.
const AHEAD: usize = 256;

/// The large objects of a contents list.
pub(super) struct Listed {
    pub(super) objects: mpsc::Receiver<LargeObjectLine>,
    /// All of their oids, sorted, in the end.
    pub(super) oids: JoinHandle<Result<Vec<u32>, StreamError>>,
}

/// Reads the list once more, for there may be more objects than fit into memory. Not `wanted`: there must be none.
pub(super) fn listed(shared: &Arc<Shared>, wanted: bool) -> Listed {
    let (sender, objects) = mpsc::channel(AHEAD);
    let path = shared.contents.clone();
    let oids = tokio::task::spawn_blocking(move || {
        let mut oids = Vec::new();
        if !wanted {
            return Ok(oids);
        }
        for line in ContentsReader::open(&path)? {
            if let Line::LargeObject(object) = line? {
                oids.push(object.oid);
                if sender.blocking_send(object).is_err() {
                    break;
                }
            }
        }
        oids.sort_unstable();
        Ok(oids)
    });
    Listed { objects, oids }
}

/// Compares objects until the list ends.
pub(super) async fn compare(
    session: &Session,
    shared: &Shared,
    objects: &Mutex<mpsc::Receiver<LargeObjectLine>>,
) -> Result<(), LoadError> {
    loop {
        let next = objects.lock().await.recv().await;
        let Some(expected) = next else { return Ok(()) };
        let oid = expected.oid;
        match read(session, oid).await {
            Ok(found) if found == expected => {}
            Ok(found) if found.length != expected.length => {
                shared.differs(format!("large object {oid} has {} bytes instead of {}", found.length, expected.length))
            }
            Ok(_) => shared.differs(format!("large object {oid} is not the one that was captured")),
            Err(e) if e.code() == Some(&SqlState::UNDEFINED_OBJECT) => {
                shared.differs(format!("large object {oid} is missing"));
            }
            Err(e) => return Err(session.error(&format!("reading large object {oid}"), &e).into()),
        }
        shared.count_large_object();
    }
}

async fn read(session: &Session, oid: u32) -> Result<LargeObjectLine, tokio_postgres::Error> {
    const GET: &str = "SELECT lo_get($1, $2, $3)";
    let (mut length, mut digest) = (0_i64, Xxh3::new());
    let get = session.client().prepare(GET).await?;
    loop {
        let row = session.client().query_one(&get, &[&oid, &length, &PIECE_BYTES]).await?;
        let piece: &[u8] = row.get(0);
        digest.update(piece);
        length += i64::try_from(piece.len()).unwrap_or(i64::MAX);
        if i32::try_from(piece.len()).is_ok_and(|read| read < PIECE_BYTES) {
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            return Ok(LargeObjectLine { oid, length, digest: digest.digest128() });
        }
    }
}

/// Looks for objects that the list does not have.
pub(super) async fn others(session: &Session, listed: &[u32], shared: &Shared) -> Result<(), LoadError> {
    const OIDS: &str = "SELECT oid FROM pg_largeobject_metadata WHERE oid > $1 ORDER BY oid LIMIT $2";
    let mut after = 0_u32;
    loop {
        let rows = session.query("listing the large objects", OIDS, &[&after, &LISTED]).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.get(0);
        for oid in rows.iter().map(|row| row.get::<_, u32>(0)).filter(|oid| listed.binary_search(oid).is_err()) {
            shared.differs(format!("large object {oid} is there, but was not captured"));
        }
    }
}
