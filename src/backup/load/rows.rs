//! The rows of a dump's tables, several at once: the largest first, the very large ones in parts.
//!
//! The order of tables does not matter where nothing looks from one to another: `pg_dump` writes foreign keys and
//! triggers after the rows. What an extension made has them already, so such tables keep the dump's order. Should a
//! CHECK or a generated column look into another table, the rows are loaded once more in the dump's order.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{SinkExt, future::try_join_all};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

use super::{LoadError, Progress, connections::Connections, lock, source::Source};
use crate::{
    adapters::postgres::{PostgresError, Session},
    model::contents::{Frame, TableLine, TableName},
    stream::{StreamError, decode::RangeReader},
};

/// A table is cut into parts of at least this much.
const PART_BYTES: u64 = 8 << 20;
/// Tables smaller than this, neighbours in the dump, are one connection's work: they share frames.
const SMALL_BYTES: u64 = 1 << 20;
/// What is sent at once.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that are decoded ahead.
const AHEAD: usize = 8;

/// Tables that keep the dump's order.
const ORDERED: &str = "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'r' AND c.oid >= 16384 AND (EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid) \
     OR EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND c.oid IN (f.conrelid, f.confrelid)) \
     OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))";

/// Rows that are copied by one COPY statement.
#[derive(Debug, Clone)]
struct Part {
    table: Arc<TableLine>,
    from: u64,
    to: u64,
    /// It was made by the dump, so nothing but its rows is in it.
    own: bool,
}

impl Part {
    fn whole(table: &Arc<TableLine>, own: bool) -> Self {
        Self { table: table.clone(), from: table.offset, to: table.offset + table.bytes, own }
    }

    fn bytes(&self) -> u64 {
        self.to - self.from
    }

    fn is_whole(&self) -> bool {
        self.bytes() == self.table.bytes
    }
}

/// How far the load is.
pub(super) struct Meter<'a> {
    progress: Progress<'a>,
    done: AtomicU64,
    total: u64,
}

impl<'a> Meter<'a> {
    pub(super) fn new(progress: Progress<'a>, total: u64) -> Self {
        Self { progress, done: AtomicU64::new(0), total }
    }

    pub(super) fn add(&self, bytes: u64, what: &str) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.progress)(done.min(self.total), self.total, what);
    }
}

/// What the workers share.
struct Shared<'a> {
    source: &'a Arc<Source>,
    meter: &'a Meter<'a>,
    /// With `wal_level = minimal`, rows of a table that was truncated in their own transaction are not logged.
    truncate: bool,
    queue: Mutex<VecDeque<Vec<Part>>>,
    /// Rows that the server took.
    taken: Mutex<HashMap<TableName, u64>>,
}

/// Loads the rows of these tables; says why it was done one by one in the end, where it was.
pub(super) async fn load(
    connections: &mut Connections<'_>,
    source: &Arc<Source>,
    tables: &[Arc<TableLine>],
    (jobs, meter): (usize, &Meter<'_>),
) -> Result<Option<String>, LoadError> {
    let ordered = ordered(&connections.main).await?;
    let level = connections.main.one("asking for wal_level", "SELECT current_setting('wal_level')", &[]).await?;
    let mut shared = Shared {
        source,
        meter,
        truncate: level.get::<_, &str>(0) == "minimal",
        queue: Mutex::default(),
        taken: Mutex::default(),
    };
    let in_order = |shared: &Shared<'_>| {
        let done = lock(&shared.taken);
        let rest = tables.iter().filter(|table| table.bytes > 0 && !done.contains_key(&table.table));
        VecDeque::from([rest.map(|table| Part::whole(table, !ordered.contains(&table.table))).collect()])
    };
    let queue = if jobs > 1 { tasks(tables, &ordered, &source.frames, jobs) } else { in_order(&shared) };
    connections.widen(queue.len()).await?;
    let many = queue.len() > 1;
    shared.queue = Mutex::new(queue);
    let mut sequential = None;
    match try_join_all(connections.all().map(|session| work(session, &shared))).await {
        Err(error) if many && error.is_refusal() => {
            connections.narrow().await?;
            let own: Vec<_> = tables.iter().map(|t| &t.table).filter(|table| !ordered.contains(table)).collect();
            for table in own {
                let sql = format!("TRUNCATE ONLY {}", table.quoted());
                connections.main.batch("beginning anew", &sql).await?;
                lock(&shared.taken).remove(table);
            }
            shared.queue = Mutex::new(in_order(&shared));
            sequential = Some(error.to_string());
            work(&connections.main, &shared).await?;
        }
        other => {
            other?;
        }
    }
    let taken = lock(&shared.taken);
    for table in tables {
        let (found, expected) = (taken.get(&table.table).copied().unwrap_or(0), table.content.rows);
        if found != expected {
            let database = connections.main.database().to_owned();
            return Err(LoadError::RowsLost { database, table: table.table.clone(), expected, found });
        }
    }
    Ok(sequential)
}

async fn ordered(session: &Session) -> Result<HashSet<TableName>, PostgresError> {
    let rows = session.query("looking for tables that depend on each other", ORDERED, &[]).await?;
    Ok(rows.iter().map(|row| TableName { schema: row.get(0), name: row.get(1) }).collect())
}

/// The work, the largest first.
fn tasks(
    tables: &[Arc<TableLine>],
    ordered: &HashSet<TableName>,
    frames: &[Frame],
    jobs: usize,
) -> VecDeque<Vec<Part>> {
    let share = tables.iter().map(|t| t.bytes).sum::<u64>() / jobs.max(1) as u64;
    let part_bytes = PART_BYTES.max(share / 4);
    let mut tasks = Vec::new();
    let (mut chain, mut small) = (Vec::new(), Vec::new());
    let bytes = |task: &[Part]| task.iter().map(Part::bytes).sum::<u64>();
    for table in tables.iter().filter(|table| table.bytes > 0) {
        if ordered.contains(&table.table) {
            chain.push(Part::whole(table, false));
        } else if table.bytes > share.max(2 * PART_BYTES) {
            tasks.extend(cut(table, frames, part_bytes).into_iter().map(|part| vec![part]));
        } else if table.bytes > SMALL_BYTES {
            tasks.push(vec![Part::whole(table, true)]);
        } else {
            small.push(Part::whole(table, true));
            if bytes(&small) > SMALL_BYTES {
                tasks.push(std::mem::take(&mut small));
            }
        }
    }
    tasks.extend([chain, small]);
    tasks.retain(|task| !task.is_empty());
    tasks.sort_by_key(|task| std::cmp::Reverse(bytes(task)));
    tasks.into()
}

/// Cuts a table where frames begin at a row.
fn cut(table: &Arc<TableLine>, frames: &[Frame], part_bytes: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = Part::whole(table, true);
    let first = frames.partition_point(|frame| frame.plain_offset <= table.offset);
    for frame in frames[first..].iter().take_while(|frame| frame.plain_offset < rest.to) {
        let at = frame.plain_offset;
        if frame.aligned && at - rest.from >= part_bytes && rest.to - at >= part_bytes {
            parts.push(Part { to: at, ..rest.clone() });
            rest.from = at;
        }
    }
    parts.push(rest);
    parts
}

async fn work(session: &Session, shared: &Shared<'_>) -> Result<(), LoadError> {
    let mut reader = None;
    loop {
        let Some(task) = lock(&shared.queue).pop_front() else { return Ok(()) };
        for part in task {
            reader = Some(copy(session, shared, reader.take(), &part).await?);
        }
    }
}

/// Copies a part, and gives the reader back, which still has the frame that the next one may need.
async fn copy(
    session: &Session,
    shared: &Shared<'_>,
    reader: Option<RangeReader>,
    part: &Part,
) -> Result<RangeReader, LoadError> {
    let table = &part.table.table;
    let refused = |e: tokio_postgres::Error| LoadError::rows(session, table, &e);
    let (sender, mut pieces) = mpsc::channel(AHEAD);
    let (source, range) = (shared.source.clone(), (part.from, part.to));
    // Decoding begins while the server gets ready; it ends when nobody takes its pieces any more.
    let decoding = tokio::task::spawn_blocking(move || {
        let mut reader = reader.map_or_else(|| source.reader(), Ok)?;
        decode(&source, &mut reader, range, &sender)?;
        Ok::<_, StreamError>(reader)
    });
    let truncate = shared.truncate && part.own && part.is_whole();
    if truncate {
        let sql = format!("BEGIN; TRUNCATE ONLY {}", table.quoted());
        session.client().batch_execute(&sql).await.map_err(refused)?;
    }
    // Rows that nobody saw without them need no second look of the server's at who wrote them, when they are indexed
    // and read back: it would mark every page, and write it again.
    let frozen = if truncate { " WITH (FREEZE)" } else { "" };
    let sql = format!("COPY {} FROM STDIN{frozen}", part.table.copy_target());
    let sink = session.client().copy_in::<_, Bytes>(&sql).await.map_err(refused)?;
    let name = table.to_string();
    let mut sink = pin!(sink);
    while let Some(piece) = pieces.recv().await {
        let length = piece.len() as u64;
        sink.feed(piece).await.map_err(refused)?;
        shared.meter.add(length, &name);
    }
    // Half of the rows must not count: what could not be read is known before the server is told that this was all.
    let reader = decoding.await.map_err(|_| LoadError::Thread { path: shared.source.path.clone() })??;
    let rows = sink.finish().await.map_err(refused)?;
    if truncate {
        session.client().batch_execute("COMMIT").await.map_err(refused)?;
    }
    *lock(&shared.taken).entry(table.clone()).or_default() += rows;
    Ok(reader)
}

/// Sends the plain bytes of a range until its end, or until nobody takes them any more. Blocking.
fn decode(
    source: &Source,
    reader: &mut RangeReader,
    (mut at, to): (u64, u64),
    sender: &mpsc::Sender<Bytes>,
) -> Result<(), StreamError> {
    let mut last = b'\n';
    while at < to {
        let bytes = reader.read(at, to)?;
        at += bytes.len() as u64;
        last = bytes.last().copied().unwrap_or(last);
        for piece in bytes.chunks(PIECE_BYTES) {
            if sender.blocking_send(Bytes::copy_from_slice(piece)).is_err() {
                return Ok(());
            }
        }
    }
    if last == b'\n' { Ok(()) } else { Err(StreamError::damaged(&source.path, format!("has no row's end at {to}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contents::TableDigest;

    fn table(name: &str, offset: u64, bytes: u64) -> Arc<TableLine> {
        let table = TableName { schema: "s".into(), name: name.into() };
        Arc::new(TableLine { table, columns: vec![], content: TableDigest { rows: 0, digest: 0 }, offset, bytes })
    }

    fn frames(count: u64, bytes: u64) -> Vec<Frame> {
        let frame = |i| Frame { offset: i, bytes: 1, plain_offset: i * bytes, plain_bytes: bytes, aligned: i % 3 != 0 };
        (0..count).map(frame).collect()
    }

    #[test]
    fn a_table_is_cut_where_frames_begin_at_rows() {
        let table = table("t", 1000, 100 << 20);
        let frames = frames(30, 4 << 20);
        let parts = cut(&table, &frames, PART_BYTES);
        assert_eq!((parts[0].from, parts.last().unwrap().to), (1000, 1000 + (100 << 20)));
        assert!(parts.windows(2).all(|pair| pair[0].to == pair[1].from));
        assert!(parts[1..].iter().all(|part| (part.from / (4 << 20)) % 3 != 0 && part.bytes() >= PART_BYTES));
        assert!(parts.len() > 5);
    }

    #[test]
    fn large_tables_first_small_ones_together_ordered_ones_in_order() {
        let sizes = [(0, "a", 10), (1, "b", 3 << 20), (2, "c", 0), (3, "d", 20), (4, "e", 50 << 20), (5, "f", 7)];
        let tables: Vec<_> = sizes.iter().map(|(i, name, bytes)| table(name, i << 30, *bytes)).collect();
        let ordered = ["f", "a"].map(|name| table(name, 0, 0).table.clone()).into();
        let tasks = tasks(&tables, &ordered, &[], 2);
        let names: Vec<Vec<_>> =
            tasks.iter().map(|t| t.iter().map(|p| p.table.table.name.as_str()).collect()).collect();
        assert_eq!(names, [vec!["e"], vec!["b"], vec!["d"], vec!["a", "f"]]);
    }
}
