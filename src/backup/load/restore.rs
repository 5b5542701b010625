//! The load of one database: the dump's order, with rows and indexes done together where they stand together.

use std::{sync::Arc, time::Instant};

use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::{
    DumpFiles, LoadError, LoadOptions, Loaded, Progress,
    connections::{self, Connections},
    error::beginning,
    indexes::{self, Batch},
    rows::{self, Meter},
    script::{self, Item},
    source::{Source, blocking},
};
use crate::{
    adapters::clock,
    model::contents::{ContentsKind, TableLine},
    stream::dump::{
        SqlStatement,
        kind::{self, ForeignKey, Kind},
    },
};

/// Loads a dump into a database. It stops at the first error; what was loaded by then stays.
///
/// # Errors
/// See [`LoadError`]: the dump is refused or damaged, the server cannot go on, or it was stopped. Nothing is at work on
/// the server afterwards.
pub async fn database(
    options: &LoadOptions<'_>,
    files: &DumpFiles,
    cancel: &CancellationToken,
    progress: Progress<'_>,
) -> Result<Loaded, LoadError> {
    let application = format!("maint load {}", clock::run_id());
    let loaded = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(LoadError::Cancelled { what: options.dbname.to_owned() }),
        loaded = run(options, files, &application, progress) => loaded,
    };
    if loaded.is_err() {
        connections::end_all(options, &application).await;
    }
    loaded
}

async fn run(
    options: &LoadOptions<'_>,
    files: &DumpFiles,
    application: &str,
    progress: Progress<'_>,
) -> Result<Loaded, LoadError> {
    let opened = files.clone();
    let source = blocking(&files.artifact, move || Source::open(&opened, ContentsKind::PostgresDump)).await??;
    let source = Arc::new(source);
    let mut load = Load {
        options,
        connections: Connections::open(options, application).await?,
        meter: Meter::new(progress, source.row_bytes(options)),
        loaded: Loaded::default(),
        tables: Vec::new(),
        indexes: Batch::default(),
        since: clock::monotonic(),
        source,
    };
    let mut items = script::read(&load.source);
    while let Some(item) = items.recv().await {
        match item? {
            Item::Rows(table) if options.wants(&table.table) => load.table(table).await?,
            Item::Rows(_) => {}
            Item::Statement(statement) => load.statement(statement).await?,
        }
    }
    load.end().await
}

/// A load under way.
struct Load<'a> {
    options: &'a LoadOptions<'a>,
    source: Arc<Source>,
    connections: Connections<'a>,
    meter: Meter<'a>,
    loaded: Loaded,
    /// Tables whose rows come next.
    tables: Vec<Arc<TableLine>>,
    /// Indexes that come next.
    indexes: Batch,
    /// When the current phase began.
    since: Instant,
}

impl Load<'_> {
    async fn table(&mut self, table: Arc<TableLine>) -> Result<(), LoadError> {
        self.build().await?;
        if self.loaded.tables == 0 && self.tables.is_empty() {
            self.loaded.definitions = self.since.elapsed();
        }
        self.tables.push(table);
        Ok(())
    }

    async fn statement(&mut self, statement: SqlStatement) -> Result<(), LoadError> {
        self.rows().await?;
        let kind = kind::of(&statement.text);
        if !self.indexes.takes(&kind) {
            self.build().await?;
        }
        match kind {
            Kind::Index(table) => {
                self.indexes.index(table, statement);
                return Ok(());
            }
            Kind::Unique(table) => {
                self.indexes.constraint(table, statement);
                return Ok(());
            }
            Kind::Setting(name) if name == "default_tablespace" && !self.options.tablespaces => return Ok(()),
            Kind::Setting(name) => self.connections.set(&name, statement).await?,
            Kind::LargeObject if self.options.only.is_some() => return Ok(()),
            Kind::ForeignKey(key) if self.options.only.is_some() => {
                if !self.foreign_key(key, &statement).await? {
                    return Ok(());
                }
            }
            Kind::CommentOnConstraint(name, table)
                if self.loaded.left_out.iter().any(|key| key.name == name && key.table == table) =>
            {
                return Ok(());
            }
            _ => {
                self.meter.add(0, &beginning(&statement.text));
                connections::execute(&self.connections.main, &statement).await?;
            }
        }
        self.loaded.statements += 1;
        Ok(())
    }

    /// Adds a foreign key, if it can hold without the rows that are not wanted.
    async fn foreign_key(&mut self, key: ForeignKey, statement: &SqlStatement) -> Result<bool, LoadError> {
        let session = &self.connections.main;
        match connections::try_execute(session, statement).await {
            Err(e) if e.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) && !self.options.wants(&key.references) => {
                self.loaded.left_out.push(key);
                Ok(false)
            }
            added => added.map(|()| true).map_err(|e| LoadError::statement(session, statement, &e)),
        }
    }

    /// Loads the rows of the tables that came one after the other.
    async fn rows(&mut self) -> Result<(), LoadError> {
        if self.tables.is_empty() {
            return Ok(());
        }
        let tables = std::mem::take(&mut self.tables);
        let begun = clock::monotonic();
        let how = (self.options.jobs, &self.meter);
        let sequential = rows::load(&mut self.connections, &self.source, &tables, how).await?;
        self.loaded.sequential = self.loaded.sequential.take().or(sequential);
        self.loaded.tables += tables.len() as u64;
        self.loaded.rows += tables.iter().map(|table| table.content.rows).sum::<u64>();
        self.loaded.data += begun.elapsed();
        Ok(())
    }

    /// Builds the indexes that came one after the other.
    async fn build(&mut self) -> Result<(), LoadError> {
        let batch = std::mem::take(&mut self.indexes);
        self.loaded.statements += indexes::build(&mut self.connections, batch, &self.source, &self.meter).await?;
        Ok(())
    }

    async fn end(mut self) -> Result<Loaded, LoadError> {
        self.rows().await?;
        self.build().await?;
        self.connections.close().await;
        let whole = self.since.elapsed();
        if self.loaded.tables == 0 {
            self.loaded.definitions = whole;
        }
        self.loaded.rest = whole.saturating_sub(self.loaded.definitions).saturating_sub(self.loaded.data);
        Ok(self.loaded)
    }
}
