//! A dump into a new database, or into the place of a living one.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{Failure, Global, Restore, Work};
use crate::{
    adapters::clock,
    backup::{
        records,
        restore::database::{self, DatabasePlan, DatabaseRequest, RestoredDatabase},
    },
    config,
    model::{
        manifest::{Artifact, PostgresFacts, Source},
        secret::SecretSource,
        stack::{Docker, PostgresAddress, PostgresServer, SslMode},
        units::{ByteSize, Elapsed, count},
    },
};

/// Which server to restore to. By default the one that `maint.toml` has under the set's own name for it.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// A server of maint.toml; default: the one that the set comes from
    #[arg(long, value_name = "NAME", conflicts_with_all = ["host", "port", "user", "password_file"])]
    server: Option<String>,
    /// A host name, or the directory of a unix socket; needs no maint.toml
    #[arg(long)]
    host: Option<String>,
    /// The server's port
    #[arg(long, requires = "host")]
    port: Option<u16>,
    /// The role, best a superuser
    #[arg(long, requires = "host")]
    user: Option<String>,
    /// A file with the role's password
    #[arg(long, requires = "host", value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl ServerArgs {
    pub(super) fn is_given(&self) -> bool {
        self.server.is_some() || self.host.is_some()
    }

    /// The server and the engine that its container may be on.
    fn resolve(&self, source: &str, global: &Global) -> Result<(PostgresServer, Docker), Failure> {
        if let Some(host) = &self.host {
            return Ok((self.by_address(host), Docker::default()));
        }
        let Some(config) = config::load_if_any(global.config.as_deref())? else {
            return Err(Failure::usage(
                "without a maint.toml the server must be named",
                "say where it is: --host HOST or --host /var/run/postgresql, and --user postgres",
            ));
        };
        let name = self.server.as_deref().unwrap_or(source);
        match config.stack.postgres.get(name) {
            Some(server) => Ok((server.clone(), config.stack.docker.clone())),
            None => {
                let known = config.stack.postgres.keys().cloned().collect::<Vec<_>>().join(", ");
                Err(Failure::usage(
                    format!("{} has no server {name}", config.path.display()),
                    format!("name one with --server (it has: {known}), or say where it is with --host"),
                ))
            }
        }
    }

    fn by_address(&self, host: &str) -> PostgresServer {
        const PORT: u16 = 5432;
        const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
        let port = self.port.unwrap_or(PORT);
        let address = if host.starts_with('/') {
            PostgresAddress::Socket { dir: host.into(), port }
        } else {
            PostgresAddress::Host { host: host.to_owned(), port }
        };
        PostgresServer {
            name: "target".into(),
            address,
            tools_in: None,
            user: self.user.clone().unwrap_or_else(|| "postgres".into()),
            dbname: "postgres".into(),
            password: self.password_file.clone().map(SecretSource::File),
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            bin_dir: None,
            lock_timeout: LOCK_TIMEOUT,
        }
    }
}

/// Restores the dump, or says what that would do.
pub(super) async fn restore(
    command: &Restore,
    name: &str,
    work: &Work<'_>,
    global: &Global,
) -> Result<Vec<String>, Failure> {
    let artifact = command.item(work, |s| matches!(s, Source::PostgresDatabase(_)), "dump of a database")?;
    let Some(facts) = database::facts(artifact) else { return Err(Failure::other("the item is no dump")) };
    let (server, docker) = command.server.resolve(&facts.server.server, global)?;
    let request = DatabaseRequest {
        set: &work.set,
        artifact,
        facts,
        globals: globals(work, facts),
        server: &server,
        docker: &docker,
        name,
        replace: command.replace.is_some(),
        with_roles: command.with_roles,
    };
    if command.plan {
        let plan = database::plan(&request).await?;
        return Ok(planned(&request, &plan, work));
    }
    let begun = clock::monotonic();
    let restored = database::database(&request, work.cancel, work.events).await?;
    Ok(done(&request, &restored, begun.elapsed()))
}

/// The roles of the dump's own server.
fn globals<'a>(work: &'a Work<'_>, facts: &PostgresFacts) -> Option<&'a Artifact> {
    work.manifest.artifacts.iter().find(|a| match &a.source {
        Source::PostgresServer(server) => server.system_identifier == facts.server.system_identifier,
        _ => false,
    })
}

/// How long the same took in a drill, where there was one.
fn measured(work: &Work<'_>, file: &str) -> Option<Duration> {
    let found = records::place(&work.set).and_then(|(series_dir, set)| records::read(&series_dir, &set, None));
    let found = found.unwrap_or_default();
    let recorded = found.drills().rev().map(|(_, verification)| verification);
    let drills = recorded.chain([&work.manifest.verification]);
    let of = |restored: &crate::model::drill::Restored| {
        Duration::from_millis(restored.restore_millis + restored.compare_millis)
    };
    drills.filter_map(|v| v.drill.as_ref()).find_map(|drill| drill.restored.iter().find(|r| r.file == file).map(of))
}

fn planned(request: &DatabaseRequest<'_>, plan: &DatabasePlan, work: &Work<'_>) -> Vec<String> {
    let counts = &request.artifact.counts;
    let time = measured(work, &request.artifact.packed.file).map_or_else(
        || "no drill has measured how long it takes".to_owned(),
        |time| format!("a drill took {} for it", Elapsed(time)),
    );
    let mut said = vec![
        format!(
            "would restore {} ({}, {}) into a new database on {} (PostgreSQL {})",
            request.artifact.packed.file,
            count(counts.tables.unwrap_or(0), "table"),
            count(counts.rows.unwrap_or(0), "row"),
            request.server.name,
            plan.version
        ),
        format!("  it takes about {} there; {time}", ByteSize(plan.bytes)),
        "  and compare rows, large objects, sequences and objects with what was captured".to_owned(),
    ];
    if !plan.missing_roles.is_empty() {
        let roles = plan.missing_roles.join(", ");
        said.push(if request.with_roles && request.globals.is_some() {
            format!("  after making the roles that are missing: {roles}")
        } else {
            format!("  it would be refused: these roles are missing: {roles}; see --with-roles")
        });
    }
    match plan.existing_bytes {
        Some(bytes) => said.push(format!(
            "  then it takes the name {}; the database that has it ({}) stays beside it under another name; its sessions are ended",
            request.name,
            ByteSize(bytes)
        )),
        None => said.push(format!("  then it takes the name {}", request.name)),
    }
    said.extend(plan.leftovers.iter().map(|left| format!("  a killed restore left the database {left}; drop it")));
    said.push("nothing was done (--plan)".into());
    said
}

fn done(request: &DatabaseRequest<'_>, restored: &RestoredDatabase, took: Duration) -> Vec<String> {
    let mut said = Vec::new();
    if !restored.roles.is_empty() {
        said.push(format!("roles made: {}", restored.roles.join(", ")));
    }
    said.push(format!(
        "database {} on {}: {}, {}, {} and {}, as captured ({})",
        request.name,
        request.server.name,
        count(restored.rows.tables, "table"),
        count(restored.rows.rows, "row"),
        count(restored.objects.sequences, "sequence"),
        count(restored.objects.objects, "object"),
        Elapsed(took)
    ));
    said.extend(restored.objects.not_compared.iter().map(|not| format!("  not compared: {not}")));
    said.push(format!("  planner statistics are made anew: vacuumdb --analyze-only -d {}", request.name));
    if let Some(kept_as) = &restored.kept_as {
        said.push(format!("what it replaced stays as {kept_as}; to go back:"));
        said.push(format!("  {}", database::way_back(request.name, kept_as)));
        said.push(format!(
            "or, when it is not needed any more: DROP DATABASE {}",
            crate::model::contents::quoted(kept_as)
        ));
    }
    said
}
