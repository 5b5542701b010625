//! One server of a set: a throwaway in its place, its roles, then its databases, each restored and compared.

use std::path::Path;

use super::{
    DrillError, Progress,
    group::{Group, read},
    millis,
    place::{Kind, Place},
};
use crate::{
    adapters::{
        clock, host,
        postgres::{Session, inventory::RoleAlias},
    },
    backup::{
        create_database,
        load::{self, DumpFiles, Existing, GlobalsOptions, LoadError, LoadOptions, Tablespaces},
        objects,
    },
    model::{
        contents::quoted,
        drill::{DrillServer, Restored},
        failure::{Class, Diagnose},
        manifest::{Artifact, PostgresFacts, ServerFacts},
        units::count,
    },
    stream::StreamError,
};

/// Restores and compares everything of a server; the throwaway is gone afterwards, whatever happened.
///
/// # Errors
/// When it could not be done; differences are added to the progress.
pub(super) async fn drill(group: &Group<'_>, progress: &mut Progress<'_>) -> Result<(), DrillError> {
    let need = group.need(progress).await?;
    let begun = clock::monotonic();
    let request = progress.request;
    progress.events.progress(0, None, format!("starting a throwaway PostgreSQL for {}", group.facts.server));
    let place = Place::prepare(request.settings, request.docker, &need, progress.cancel).await?;
    let start_millis = millis(begun);
    let shortage = place.shortage();
    let cancel = progress.cancel.clone();
    let server = Server { place: &place, facts: group.facts };
    let ended = tokio::select! {
        ended = server.restore(group, start_millis, progress) => ended,
        short = shortage => Err(short.into()),
        () = cancel.cancelled() => Err(DrillError::Cancelled),
    };
    let ended = match ended {
        // What its own log says is the cause; a lost connection is only how maint came to know.
        Err(DrillError::Load { source, .. }) if source.class() == Class::Unverifiable => {
            Err(DrillError::Load { log: place.said().await, source })
        }
        other => other,
    };
    place.strike().await;
    ended
}

/// What came of a server's globals.
#[derive(Debug, Clone, Copy, Default)]
struct Globals {
    /// Whether all of them are there.
    complete: bool,
    /// Whether the source's tablespaces are.
    tablespaces: bool,
}

/// A throwaway that stands for a server of the set.
struct Server<'a> {
    place: &'a Place,
    facts: &'a ServerFacts,
}

impl Server<'_> {
    async fn restore(
        &self,
        group: &Group<'_>,
        start_millis: u64,
        progress: &mut Progress<'_>,
    ) -> Result<(), DrillError> {
        let session = self.session("template1", progress).await?;
        let state = session.state().await?;
        progress.drill.servers.push(DrillServer {
            server: self.facts.server.clone(),
            place: self.place.kind().to_string(),
            isolation: self.place.isolation().to_owned(),
            version: state.version,
            start_millis,
        });
        let mut globals = Globals::default();
        if let Some(artifact) = group.globals {
            match self.globals(artifact, &session, progress).await {
                Ok(loaded) => globals = loaded,
                // What its databases have otherwise is named all the same.
                Err(error) => refused(artifact, error, progress)?,
            }
        }
        if !globals.complete {
            self.roles(group, &session, progress).await?;
        }
        let tablespaces = globals.tablespaces;
        for (number, (artifact, facts)) in group.databases.iter().enumerate() {
            match self.database(artifact, facts, (&session, tablespaces), progress).await {
                // The last one goes with its server.
                Ok(_) if self.is_throwaway() && number + 1 == group.databases.len() => {}
                Ok(name) => discard(&name, &session).await?,
                Err(error) => refused(artifact, error, progress)?,
            }
        }
        session.close().await;
        Ok(())
    }

    async fn session(&self, dbname: &str, progress: &Progress<'_>) -> Result<Session, DrillError> {
        let docker = progress.request.docker;
        Ok(Session::connect(&self.place.server(dbname), docker, dbname, "maint drill").await?)
    }

    /// In a throwaway, the superuser from birth stands for the source's.
    fn alias(&self) -> Option<RoleAlias> {
        let to = self.facts.bootstrap_superuser.clone();
        self.is_throwaway().then(|| RoleAlias { from: self.place.server("template1").user, to })
    }

    /// How long values are packed inside the server is nobody's to compare, and its own way costs most.
    async fn faster_toast(&self, session: &Session) -> Result<Option<(String, String)>, DrillError> {
        const NAME: &str = "default_toast_compression";
        const KNOWN: &str = "SELECT EXISTS (SELECT FROM pg_settings WHERE name = $1 AND 'lz4' = ANY (enumvals))";
        let known: bool = session.one("looking for lz4", KNOWN, &[&NAME]).await?.get(0);
        Ok(known.then(|| (NAME.to_owned(), "lz4".to_owned())))
    }

    /// Whether the server and everything in it is gone after the drill.
    fn is_throwaway(&self) -> bool {
        !matches!(self.place.kind(), Kind::Server(_))
    }

    /// Restores roles and tablespaces and compares them.
    async fn globals(
        &self,
        artifact: &Artifact,
        session: &Session,
        progress: &mut Progress<'_>,
    ) -> Result<Globals, DrillError> {
        let begun = clock::monotonic();
        let shared = !self.is_throwaway();
        let options = GlobalsOptions {
            bootstrap_superuser: &self.facts.bootstrap_superuser,
            existing: if shared { Existing::Keep } else { Existing::Refuse },
            tablespaces: Tablespaces::InPlace,
            go_on: true,
        };
        let files = files(progress.request.dir, artifact);
        let loaded = load::globals(session, &files, &options).await.map_err(load_error)?;
        let globals = Globals { complete: loaded.refused.is_empty(), tablespaces: loaded.tablespaces };
        progress.differs(artifact, loaded.refused);
        for companion in artifact.companions.iter().filter(|_| !shared) {
            let path = progress.request.dir.join(&companion.file);
            load::properties(session, &path, "").await.map_err(load_error)?;
        }
        let mut restored = restored(artifact, millis(begun));
        let begun = clock::monotonic();
        if shared {
            restored.not_compared.push("roles and tablespaces: the scratch server has its own".into());
        } else {
            let expected = read(files.contents).await?;
            let compared = expected.compare_server(session, self.alias().as_ref()).await?;
            let what = "roles, memberships, settings, tablespaces";
            restored.checks.push(format!("{} of the server ({what})", count(compared.objects, "object")));
            restored.not_compared.extend(compared.not_compared);
            progress.differs(artifact, compared.differences);
        }
        restored.compare_millis = millis(begun);
        progress.drill.restored.push(restored);
        Ok(globals)
    }

    /// The set has no globals, or some of them were refused: the roles that are not there are made by name, so that owners
    /// and privileges can be restored.
    async fn roles(&self, group: &Group<'_>, session: &Session, progress: &Progress<'_>) -> Result<(), DrillError> {
        for (artifact, _) in &group.databases {
            for name in read(progress.request.dir.join(&artifact.contents.file)).await?.roles {
                let role = quoted(&name);
                let known = "SELECT to_regrole($1) IS NOT NULL";
                if !session.one("looking for a role", known, &[&role]).await?.get::<_, bool>(0) {
                    session.batch("making a role", &format!("CREATE ROLE {role}")).await?;
                }
            }
        }
        Ok(())
    }

    async fn database(
        &self,
        artifact: &Artifact,
        facts: &PostgresFacts,
        (session, tablespaces): (&Session, bool),
        progress: &mut Progress<'_>,
    ) -> Result<String, DrillError> {
        let request = progress.request;
        let name = self.make(facts, session, tablespaces).await?;
        let begun = clock::monotonic();
        let server = self.place.server(&name);
        let mut settings: Vec<_> = facts.session_settings.clone().into_iter().collect();
        settings.extend(self.faster_toast(session).await?);
        let jobs = request.settings.jobs.and_then(|jobs| usize::try_from(jobs).ok()).unwrap_or_else(host::cores);
        let options = LoadOptions {
            server: &server,
            docker: request.docker,
            dbname: &name,
            jobs,
            tablespaces,
            settings: &settings,
            only: None,
        };
        let files = files(request.dir, artifact);
        let tell = |doing: &'static str| {
            let (events, database) = (progress.events.clone(), facts.database.clone());
            move |done: u64, total: u64, _: &str| events.progress(done, Some(total), format!("{doing} {database}"))
        };
        load::database(&options, &files, progress.cancel, &tell("restoring")).await.map_err(load_error)?;
        let mut restored = restored(artifact, millis(begun));
        let begun = clock::monotonic();
        let rows =
            load::compare(&options, &files.contents, progress.cancel, &tell("comparing")).await.map_err(load_error)?;
        let inside = self.session(&name, progress).await?;
        for companion in &artifact.companions {
            load::properties(&inside, &request.dir.join(&companion.file), &name).await.map_err(load_error)?;
        }
        let expected = read(files.contents).await?;
        let objects = expected.compare_database(&inside, self.alias().as_ref()).await?;
        inside.close().await;
        restored.compare_millis = millis(begun);
        describe(&mut restored, &rows, &objects, artifact);
        progress.differs(artifact, rows.differences.into_iter().chain(objects.differences).collect());
        progress.drill.restored.push(restored);
        Ok(name)
    }

    /// Makes the empty database; gives its name, which on a shared server is one that nobody has.
    async fn make(&self, facts: &PostgresFacts, session: &Session, tablespaces: bool) -> Result<String, DrillError> {
        let shared = !self.is_throwaway();
        // The session needs its own database.
        let taken = shared || facts.database == session.database();
        let name = if taken { format!("maint_drill_{}", clock::run_id().0.simple()) } else { facts.database.clone() };
        if name == "postgres" {
            session.batch("dropping the database from birth", "DROP DATABASE IF EXISTS postgres").await?;
        }
        let sql = create_database::sql(&name, &facts.createdb_options, tablespaces && !shared);
        session
            .batch("making the database", &sql)
            .await
            .map_err(|source| DrillError::Create { database: facts.database.clone(), source: Box::new(source) })?;
        Ok(name)
    }
}

/// Drops a restored database.
async fn discard(name: &str, session: &Session) -> Result<(), DrillError> {
    // A template cannot be dropped.
    let keep_no_template = format!("ALTER DATABASE {} IS_TEMPLATE false", quoted(name));
    session.batch("dropping the copy", &keep_no_template).await?;
    let drop_it = format!("DROP DATABASE {} WITH (FORCE)", quoted(name));
    Ok(session.batch("dropping the copy", &drop_it).await?)
}

fn files(dir: &Path, artifact: &Artifact) -> DumpFiles {
    DumpFiles { artifact: dir.join(&artifact.packed.file), contents: dir.join(&artifact.contents.file) }
}

fn load_error(source: LoadError) -> DrillError {
    match source {
        LoadError::Stream(e @ StreamError::Damaged { .. }) => DrillError::Stream(e),
        source => DrillError::Load { log: String::new(), source: Box::new(source) },
    }
}

/// A dump that the server refuses, or that is damaged, is a difference; what could not be done stays an error.
fn refused(artifact: &Artifact, error: DrillError, progress: &mut Progress<'_>) -> Result<(), DrillError> {
    let problem = match &error {
        DrillError::Load { source, .. } if source.class() == Class::Verification => source.to_string(),
        DrillError::Stream(e) if e.class() == Class::Verification => e.to_string(),
        _ => return Err(error),
    };
    progress.differs(artifact, vec![problem]);
    Ok(())
}

fn restored(artifact: &Artifact, restore_millis: u64) -> Restored {
    Restored {
        file: artifact.packed.file.clone(),
        restore_millis,
        compare_millis: 0,
        checks: Vec::new(),
        not_compared: Vec::new(),
    }
}

fn describe(restored: &mut Restored, rows: &load::Compared, objects: &objects::Compared, artifact: &Artifact) {
    let Restored { checks, not_compared, .. } = restored;
    checks.push(format!("digests of {} in {}", count(rows.rows, "row"), count(rows.tables, "table")));
    if rows.large_objects > 0 {
        checks.push(format!("digests of {}", count(rows.large_objects, "large object")));
    }
    if objects.sequences > 0 {
        checks.push(format!("values of {}", count(objects.sequences, "sequence")));
    }
    if objects.objects > 0 {
        checks.push(format!("definition, owner, privileges and comment of {}", count(objects.objects, "object")));
    }
    not_compared.extend(objects.not_compared.iter().cloned());
    if artifact.counts.counted_at_source.is_none() {
        not_compared.push("rows with the server's own count: it was not asked (count_rows = false)".into());
    }
}
