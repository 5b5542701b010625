//! A dump, or some tables of it, into a new database, or into the place of a living one.

use std::time::Instant;

use super::{
    Failure, Restore, Work,
    report::{Item, Replaced, time},
    space::Need,
    target::{Goes, Task},
};
use crate::{
    adapters::{clock, files, secret},
    backup::restore::{
        database::{self, DatabasePlan, DatabaseRequest, DumpFirst, Replace, RestoredDatabase},
        rows,
    },
    config,
    model::{
        contents::{TableLine, quoted},
        manifest::{Artifact, PostgresFacts, Source},
        shell,
        stack::{Docker, PostgresServer},
        units::{ByteSize, count},
    },
};

/// Dumps of replaced databases, below the backup directory.
const REPLACED_DIR: &str = ".replaced";

/// Everything that a request borrows.
#[derive(Debug)]
pub(super) struct Job<'a> {
    artifact: &'a Artifact,
    facts: &'a PostgresFacts,
    globals: Option<&'a Artifact>,
    name: String,
    server: PostgresServer,
    docker: Docker,
    tables: Vec<TableLine>,
    replace: Option<Replace>,
    with_roles: bool,
    /// The options that name the server.
    server_again: String,
}

impl<'a> Job<'a> {
    /// `None`: the task is not about a database.
    pub(super) fn new(command: &Restore, task: &Task<'a>, work: &Work<'a>) -> Result<Option<Self>, Failure> {
        let Goes::Database { facts, name } = &task.goes else { return Ok(None) };
        let (server, docker) = command.server.resolve(&facts.server.server, work.global)?;
        let tables = match command.table.as_slice() {
            [] => Vec::new(),
            names => rows::find(&work.set, task.artifact, names)?,
        };
        Ok(Some(Self {
            artifact: task.artifact,
            facts,
            globals: globals(work, facts),
            name: name.clone(),
            server,
            docker,
            tables,
            replace: replace(command, work)?,
            with_roles: command.with_roles,
            server_again: command.server.again(),
        }))
    }

    /// The server and the database on it: no two items may have the same.
    pub(super) fn place(&self) -> String {
        format!("{:?} {}", self.server.address, self.name)
    }

    fn request<'s>(&'s self, work: &'s Work<'a>) -> DatabaseRequest<'s> {
        DatabaseRequest {
            set: &work.set,
            artifact: self.artifact,
            facts: self.facts,
            globals: self.globals,
            server: &self.server,
            docker: &self.docker,
            name: &self.name,
            tables: &self.tables,
            replace: self.replace.as_ref(),
            with_roles: self.with_roles,
        }
    }

    fn item(&self) -> Item {
        Item {
            file: self.artifact.packed.file.clone(),
            into: format!("db:{}", self.name),
            server: Some(self.server.name.clone()),
            tables: self.tables.iter().map(|line| line.table.to_string()).collect(),
            ..Item::default()
        }
    }

    /// What would be done; refuses what can be known to fail.
    pub(super) async fn plan(&self, work: &Work<'a>) -> Result<(Item, Vec<Need>), Failure> {
        let plan = database::plan(&self.request(work)).await?;
        let has_roles = self.with_roles && self.globals.is_some();
        if !plan.missing_roles.is_empty() && !has_roles && !work.only_plan {
            let (roles, in_set) = (plan.missing_roles, self.globals.is_some());
            return Err(database::DatabaseError::MissingRoles { roles, in_set }.into());
        }
        let need = plan.room.clone().map(|on| Need { on, about: plan.bytes, at_least: plan.at_least });
        let measured = if self.tables.is_empty() { work.measured(&self.artifact.packed.file) } else { None };
        let said = self.planned(&plan, measured);
        Ok((Item { bytes: plan.bytes, expected_millis: measured, said, ..self.item() }, need.into_iter().collect()))
    }

    fn planned(&self, plan: &DatabasePlan, measured: Option<u64>) -> Vec<String> {
        let time = measured.map_or_else(
            || "no drill has measured how long it takes".to_owned(),
            |millis| format!("a drill took {} for it", time(millis)),
        );
        let room = if plan.room.is_some() { "" } else { "; what is free there cannot be seen from here" };
        let mut said = vec![
            format!(
                "would restore {} ({}) into a new database on {} (PostgreSQL {})",
                self.artifact.packed.file,
                self.how_much(),
                self.server.name,
                plan.version
            ),
            format!("  it takes about {} there{room}; {time}", ByteSize(plan.bytes)),
            "  and compare rows, large objects, sequences and objects with what was captured".to_owned(),
        ];
        if !plan.missing_roles.is_empty() {
            let roles = plan.missing_roles.join(", ");
            said.push(if self.with_roles && self.globals.is_some() {
                format!("  after making the roles that are missing: {roles}")
            } else {
                format!("  it would be refused: these roles are missing: {roles}; see --with-roles")
            });
        }
        let name = &self.name;
        match plan.existing_bytes {
            Some(bytes) => {
                said.extend(self.dumped_first(bytes));
                said.push(format!(
                    "  then it takes the name {name}; the database that has it ({}) stays beside it under another name; its sessions are ended",
                    ByteSize(bytes)
                ));
            }
            None => said.push(format!("  then it takes the name {name}")),
        }
        said.extend(plan.leftovers.iter().map(|left| format!("  a killed restore left the database {left}; drop it")));
        said
    }

    fn dumped_first(&self, bytes: u64) -> Option<String> {
        let Some(Replace::Dump(place)) = &self.replace else { return None };
        let (name, size) = (&self.name, ByteSize(bytes));
        Some(format!("  what {name} holds now ({size}) is dumped into {} first, and verified", place.dir.display()))
    }

    fn how_much(&self) -> String {
        let counts = &self.artifact.counts;
        match self.tables.as_slice() {
            [] => format!("{}, {}", count(counts.tables.unwrap_or(0), "table"), count(counts.rows.unwrap_or(0), "row")),
            lines => format!(
                "the whole schema, and {} of {}",
                count(lines.iter().map(|line| line.content.rows).sum(), "row"),
                lines.iter().map(|line| line.table.to_string()).collect::<Vec<_>>().join(", ")
            ),
        }
    }

    /// Does it.
    pub(super) async fn restore(&self, work: &Work<'a>) -> Result<Item, Failure> {
        let begun = clock::monotonic();
        let restored = database::database(&self.request(work), work.cancel, work.events).await?;
        Ok(self.done(restored, begun))
    }

    fn done(&self, restored: RestoredDatabase, begun: Instant) -> Item {
        let mut item = self.item();
        let millis = super::millis(begun);
        let RestoredDatabase { rows, objects, loaded, kept_as, dumped, roles } = restored;
        item.compared = vec![
            count(rows.tables, "table"),
            count(rows.rows, "row"),
            count(rows.large_objects, "large object"),
            count(objects.sequences, "sequence"),
            count(objects.objects, "object"),
        ];
        item.bytes = match self.tables.as_slice() {
            [] => self.facts.database_bytes.max(self.artifact.plain_bytes),
            lines => lines.iter().map(|line| line.bytes).sum(),
        };
        item.millis = Some(millis);
        item.not_compared = objects.not_compared;
        item.not_restored.extend(loaded.left_out.iter().map(|key| {
            let (name, table, other) = (&key.name, &key.table, &key.references);
            format!("the foreign key {name} of {table}: {other} was left empty")
        }));
        if !self.tables.is_empty() {
            let large_objects = self.artifact.counts.large_objects.filter(|n| *n > 0);
            item.not_restored.extend(large_objects.map(|n| count(n, "large object")));
        }
        item.warnings.push(format!("planner statistics are made anew: {}", self.analyze()));
        item.roles_made = roles;
        item.replaced = kept_as.map(|kept_as| Replaced {
            way_back: database::way_back(&self.name, &kept_as),
            kept_as,
            dump: dumped.map(|dumped| dumped.path),
        });
        item.said = self.told(&item, [rows.tables, rows.rows, objects.sequences, objects.objects]);
        item
    }

    /// How to make the statistics, on this very server.
    fn analyze(&self) -> String {
        format!("vacuumdb --analyze-only -d {}", shell::database(&self.name))
    }

    fn told(&self, item: &Item, [tables, rows, sequences, objects]: [u64; 4]) -> Vec<String> {
        let mut said = Vec::new();
        if !item.roles_made.is_empty() {
            said.push(format!("roles made: {}", item.roles_made.join(", ")));
        }
        said.push(format!(
            "database {} on {}: {}, {}, {} and {}, as captured ({})",
            self.name,
            self.server.name,
            count(tables, "table"),
            count(rows, "row"),
            count(sequences, "sequence"),
            count(objects, "object"),
            time(item.millis.unwrap_or_default())
        ));
        if !self.tables.is_empty() {
            said.push(format!("  with the rows of {} alone; every other table is empty", item.tables.join(", ")));
        }
        said.extend(item.not_restored.iter().map(|not| format!("  not restored: {not}")));
        said.extend(item.not_compared.iter().map(|not| format!("  not compared: {not}")));
        said.extend(item.warnings.iter().map(|warning| format!("  {warning}")));
        if let Some(Replaced { kept_as, way_back, dump }) = &item.replaced {
            if let Some(dump) = dump {
                said.push(format!("what it replaced was dumped before, and verified: {}", dump.display()));
                let [dir, into, name] =
                    [&dump.display().to_string(), &format!("db:{}", self.name), &self.name].map(|w| shell::word(w));
                let again = &self.server_again;
                said.push(format!(
                    "  also this brings it back: maint restore {dir} --into {into} --replace {name}{again}"
                ));
            }
            said.push(format!("what it replaced stays as {kept_as}; to go back:"));
            said.push(format!("  {way_back}"));
            said.push(format!("or, when it is not needed any more: DROP DATABASE {}", quoted(kept_as)));
        }
        said
    }
}

/// The roles of the dump's own server.
fn globals<'a>(work: &Work<'a>, facts: &PostgresFacts) -> Option<&'a Artifact> {
    work.manifest.artifacts.iter().find(|a| match &a.source {
        Source::PostgresServer(server) => server.system_identifier == facts.server.system_identifier,
        _ => false,
    })
}

/// What becomes of the database that is replaced.
fn replace(command: &Restore, work: &Work<'_>) -> Result<Option<Replace>, Failure> {
    if command.replace.is_none() {
        return Ok(None);
    }
    if command.no_dump {
        return Ok(Some(Replace::WithoutDump));
    }
    let config = config::load_if_any(work.global.config.as_deref())?;
    let signer = if work.only_plan { None } else { super::super::signer(work.global)?.map(std::sync::Arc::new) };
    let (stack, secret) = match &config {
        // A plan makes nothing, not even the host's secret.
        Some(config) if !work.only_plan => {
            files::create_private_dir(&config.stack.state_dir)?;
            (config.stack.name.clone(), secret::host(&config.stack.state_dir)?)
        }
        _ => (work.manifest.stack.clone(), secret::fresh()?),
    };
    let (staging, dir) = match (&command.dump_to, config) {
        (Some(dir), _) => {
            let dir = work.absolute(dir)?;
            (dir.clone(), dir)
        }
        (None, Some(config)) => (config.stack.backup_dir.clone(), config.stack.backup_dir.join(REPLACED_DIR)),
        (None, None) => {
            return Err(Failure::usage(
                "what is replaced is dumped first, and without a maint.toml nobody knows where to",
                "say where: --dump-to DIR; or, to replace it without a dump: --no-dump",
            ));
        }
    };
    Ok(Some(Replace::Dump(DumpFirst { staging, dir, stack, host_secret: secret, signer })))
}
