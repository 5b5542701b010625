//! `postgres_dump`: one artifact for each database, in one snapshot each.

use std::collections::BTreeMap;

use globset::{Glob, GlobSet, GlobSetBuilder};
use schemars::JsonSchema;
use serde::Deserialize;

use super::packing::{Compression, StreamSource};
use crate::{
    adapters::{
        files,
        postgres::{
            Session,
            catalogue::{self, Database},
        },
    },
    capture::dump::{self, DumpError, DumpRequest, Dumped},
    model::{
        coverage::Captures,
        manifest::Artifact,
        outcome::Outcome,
        stack::{PostgresServer, Stack},
        units::{ByteSize, count},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// In `databases`: every database of the server.
const EVERY: &str = "*";
/// Templates that every server has; nobody misses them in a backup.
const BUILT_IN: [&str; 2] = ["template0", "template1"];

/// Dumps databases of a server with `pg_dump`, each in one snapshot and checked against its catalogue.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresDump {
    /// The server, as `maint.toml` names it in `[postgres.<name>]`.
    server: String,
    /// The databases to dump, or `["*"]` for every one that takes connections and is no template. Default: the server's
    /// `dbname`.
    #[serde(default)]
    databases: Option<Vec<String>>,
    /// With `["*"]`: databases to leave out, by name or pattern (`test_*`).
    #[serde(default)]
    exclude: Vec<String>,
    /// How to pack: `"zstd"` (default), `"gzip"`, or a table with `codec` and `level`.
    #[serde(default)]
    compression: Compression,
    /// Whether the server also counts every table's rows, in the dump's snapshot: a second witness, for the price of
    /// reading every table once more. Default: true.
    #[serde(default = "yes")]
    count_rows: bool,
}

fn yes() -> bool {
    true
}

/// What is to be dumped, and what is worth a warning about the rest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Selection {
    dumped: Vec<String>,
    left_out: Vec<String>,
    warnings: Vec<String>,
}

impl StepKind for PostgresDump {
    const SUMMARY: &'static str = "Dumps PostgreSQL databases, each in one snapshot and checked against its catalogue";
    const CAPTURES: bool = true;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let mut problems = self.compression.problems();
        problems.extend(super::unknown_server(stack, &self.server));
        if let Some(message) = self.list_problem() {
            problems.push(Problem { key: "databases", message });
        }
        if !self.exclude.is_empty() && !self.takes_every() {
            let message = "exclude goes with databases = [\"*\"] only".to_owned();
            problems.push(Problem { key: "exclude", message });
        }
        if let Err(error) = self.excluded() {
            problems.push(Problem { key: "exclude", message: error.to_string() });
        }
        problems
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let at = &self.server;
        match &self.databases {
            None => {
                let dbname = stack.postgres.get(at).map_or("?", |server| server.dbname.as_str());
                vec![format!("dump database {dbname} of {at}")]
            }
            Some(_) if self.takes_every() => {
                let but =
                    if self.exclude.is_empty() { String::new() } else { format!(" but {}", self.exclude.join(", ")) };
                vec![format!("dump every database of {at} that takes connections and is no template{but}")]
            }
            Some(names) => names.iter().map(|name| format!("dump database {name} of {at}")).collect(),
        }
    }

    fn captured(&self, stack: &Stack) -> Vec<Captures> {
        let database = |name: &String| Captures::Database { server: self.server.clone(), name: name.clone() };
        match &self.databases {
            None => stack.postgres.get(&self.server).map(|server| database(&server.dbname)).into_iter().collect(),
            Some(_) if self.takes_every() => {
                vec![Captures::EveryDatabase { server: self.server.clone(), exclude: self.exclude.clone() }]
            }
            Some(names) => names.iter().map(database).collect(),
        }
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let server = self.server(context)?;
        let selection = self.select(server, context).await?;
        for note in &selection.left_out {
            context.events.note(note);
        }
        let mut done: Vec<Dumped> = Vec::new();
        for database in &selection.dumped {
            match dump::capture(&self.request(server, database, context), &context.cancel, &context.events).await {
                Ok(dumped) => done.push(dumped),
                Err(error) => {
                    for dumped in &done {
                        discard(context, &dumped.artifact);
                    }
                    return Err(error.into());
                }
            }
        }
        Ok(report(done, &selection.warnings))
    }
}

impl PostgresDump {
    fn takes_every(&self) -> bool {
        self.databases.as_ref().is_some_and(|names| names.iter().any(|name| name == EVERY))
    }

    fn list_problem(&self) -> Option<String> {
        let names = self.databases.as_ref()?;
        if names.is_empty() {
            return Some("expected at least one name, or [\"*\"]".to_owned());
        }
        if names.len() > 1 && self.takes_every() {
            return Some("\"*\" stands alone: it takes every database".to_owned());
        }
        let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
        twice.map(|(_, name)| format!("{name} stands there twice"))
    }

    fn excluded(&self) -> Result<GlobSet, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for pattern in &self.exclude {
            set.add(Glob::new(pattern)?);
        }
        set.build()
    }

    fn server<'a>(&self, context: &'a StepContext) -> Result<&'a PostgresServer, StepError> {
        let found = context.stack.postgres.get(&self.server);
        found.ok_or_else(|| DumpError::UnknownServer { server: self.server.clone() }.into())
    }

    fn request<'a>(&self, server: &'a PostgresServer, database: &'a str, context: &'a StepContext) -> DumpRequest<'a> {
        let part = self.databases.is_some().then_some(database);
        DumpRequest {
            server,
            docker: &context.stack.docker,
            database,
            run: context.run,
            step: &context.step,
            staging: &context.staging,
            artifact: context.artifact_name(part, "sql", self.compression.codec()),
            properties: format!("{}.properties.sql", context.stem(part)),
            packing: self.compression.packing(StreamSource::Server),
            count_rows: self.count_rows,
            host_secret: &context.host_secret,
        }
    }

    async fn select(&self, server: &PostgresServer, context: &StepContext) -> Result<Selection, StepError> {
        let dumped = match &self.databases {
            None => vec![server.dbname.clone()],
            Some(names) if !self.takes_every() => names.clone(),
            Some(_) => {
                let ask = async {
                    let docker = &context.stack.docker;
                    let session = Session::connect(server, docker, &server.dbname, "maint databases").await?;
                    let databases = catalogue::databases(&session).await?;
                    session.close().await;
                    Ok::<_, DumpError>(databases)
                };
                let databases = tokio::select! {
                    databases = ask => databases?,
                    () = context.cancel.cancelled() => {
                        return Err(DumpError::Cancelled { database: server.dbname.clone() }.into());
                    }
                };
                let excluded = self.excluded().map_err(|e| DumpError::Pattern(e.to_string()))?;
                let selection = choose(databases, &excluded);
                if selection.dumped.is_empty() {
                    return Err(DumpError::NothingToDump { server: self.server.clone() }.into());
                }
                return Ok(selection);
            }
        };
        Ok(Selection { dumped, ..Selection::default() })
    }
}

/// Which of a server's databases `["*"]` means; what is left out without being asked for is told.
fn choose(databases: Vec<Database>, excluded: &GlobSet) -> Selection {
    let mut selection = Selection::default();
    for database in databases {
        let name = database.name;
        let why = if excluded.is_match(&name) {
            selection.left_out.push(format!("database {name} is not dumped: excluded"));
            continue;
        } else if BUILT_IN.contains(&name.as_str()) {
            selection.left_out.push(format!("database {name} is not dumped: a template of every server"));
            continue;
        } else if database.template {
            "it is a template; name it in `databases`, or exclude it"
        } else if database.invalid {
            "a DROP DATABASE of it did not end; drop it again"
        } else if !database.allows_connections {
            "it takes no connections (datallowconn); exclude it"
        } else if !database.connect {
            "the role has no CONNECT privilege on it; grant it, or exclude the database"
        } else {
            selection.dumped.push(name);
            continue;
        };
        selection.warnings.push(format!("database {name} is not dumped: {why}"));
    }
    selection
}

/// Removes what an earlier database of a failed step left.
fn discard(context: &StepContext, artifact: &Artifact) {
    for digest in [&artifact.packed, &artifact.contents].into_iter().chain(&artifact.companions) {
        // The step fails anyway, and the run's staging directory is swept.
        let _ = files::remove_file(&context.staging.join(&digest.file));
    }
}

fn report(done: Vec<Dumped>, warnings: &[String]) -> StepReport {
    let mut tools = BTreeMap::new();
    let mut artifacts = Vec::new();
    for dumped in done {
        tools.extend(dumped.tools);
        artifacts.push(dumped.artifact);
    }
    let sum = |of: fn(&Artifact) -> Option<u64>| artifacts.iter().filter_map(of).sum::<u64>();
    let (tables, rows) = (sum(|a| a.counts.tables), sum(|a| a.counts.rows));
    let (plain, packed) = (sum(|a| Some(a.plain_bytes)), sum(|a| Some(a.packed.bytes)));
    let summary = format!(
        "{}, {}, {}: {} packed to {}",
        count(artifacts.len() as u64, "database"),
        count(tables, "table"),
        count(rows, "row"),
        ByteSize(plain),
        ByteSize(packed)
    );
    let mut report = StepReport::captured(summary, artifacts, tools);
    if let [first, rest @ ..] = warnings {
        let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
        report.outcome = Outcome::Warning(format!("{first}{more}")).worst(report.outcome);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(toml: &str) -> PostgresDump {
        toml::from_str(toml).unwrap()
    }

    fn keys(step: &PostgresDump, stack: &Stack) -> Vec<&'static str> {
        step.problems(stack).into_iter().map(|problem| problem.key).collect()
    }

    fn stack() -> Stack {
        Stack::empty("s", "/".as_ref())
    }

    fn database(name: &str) -> Database {
        Database { name: name.into(), allows_connections: true, template: false, connect: true, invalid: false }
    }

    #[test]
    fn mistakes_are_told_at_their_key() {
        assert_eq!(keys(&step("server = \"x\""), &stack()), ["server"]);
        assert_eq!(keys(&step("server = \"x\"\ndatabases = []"), &stack()), ["server", "databases"]);
        assert_eq!(keys(&step("server = \"x\"\ndatabases = [\"a\", \"*\"]"), &stack()), ["server", "databases"]);
        assert_eq!(keys(&step("server = \"x\"\ndatabases = [\"a\", \"a\"]"), &stack()), ["server", "databases"]);
        assert_eq!(keys(&step("server = \"x\"\nexclude = [\"a\"]"), &stack()), ["server", "exclude"]);
        assert_eq!(
            keys(&step("server = \"x\"\ndatabases = [\"*\"]\nexclude = [\"[\"]"), &stack()),
            ["server", "exclude"]
        );
    }

    #[test]
    fn every_database_means_those_that_can_be_dumped_and_the_rest_is_told() {
        let databases = vec![
            database("app"),
            Database { template: true, allows_connections: false, ..database("template0") },
            Database { template: true, ..database("template1") },
            Database { template: true, ..database("blueprint") },
            Database { allows_connections: false, ..database("closed") },
            Database { connect: false, ..database("private") },
            Database { invalid: true, ..database("half") },
            database("test_1"),
        ];
        let excluded = step("server = \"x\"\ndatabases = [\"*\"]\nexclude = [\"test_*\"]").excluded().unwrap();
        let selection = choose(databases, &excluded);
        assert_eq!(selection.dumped, ["app"]);
        assert_eq!(selection.left_out.len(), 3);
        let warned: Vec<_> = selection.warnings.iter().map(|w| w.split(' ').nth(1).unwrap()).collect();
        assert_eq!(warned, ["blueprint", "closed", "private", "half"]);
    }
}
