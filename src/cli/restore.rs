//! `maint restore`: brings back a set, an item, a table or a file; never over what is there.

mod archive;
mod database;
mod report;
mod rows;
mod server;
mod set;
mod space;
mod target;
mod volume;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use target::{Goes, Target, Task, Wish};
use tokio_util::sync::CancellationToken;

use super::{
    Exit, Failure, Global,
    copy_arg::{Copy, CopyArgs},
    output, set_arg,
};
use crate::{
    adapters::{files::FileError, signature::Trust},
    backup::{
        records,
        verify::{self, VerifyError},
    },
    config,
    engine::signal,
    model::{
        drill::Drill,
        event::StepEvents,
        ids::StepId,
        manifest::{Manifest, Source},
        shell,
    },
};

/// Restores a set, a database, an archive, single files or the rows of single tables
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint restore monthly --into db:copy --plan           what would be done, how big, how long
  maint restore monthly --into db:copy                  a new database, compared before it has its name
  maint restore monthly --into db:app --replace app     in the place of a living one, dumped before
  maint restore monthly --into dir:/srv/back            every archive, each in its own directory
  maint restore monthly --item app-data --into volume:app_data_2
  maint restore monthly --item config --into dir:/srv/etc --path deploy/production/config/app.toml
  maint restore monthly --table public.orders --into dir:/srv/rows     its rows, as a file for psql
  maint restore monthly --table public.orders --into db:rows_copy      the schema, with its rows

The whole set, also to another server; {} is each database's or volume's own name:
  maint restore monthly --into db:{}_copy --into dir:/srv/back --into volume:{}_2 --with-roles
  maint restore /mnt/usb/202608 --into db:{} --into dir:/srv/back --host db2 --user postgres
  maint restore monthly --store offsite --identity key.txt --item config --into dir:/srv/etc     from a copy

Nothing that is there is overwritten. It works on any host, with a configuration or without one.
Exit codes: 0 restored, 1 failed, 2 the target is taken, 3 the set is not what was captured, 130 interrupted")]
pub struct Restore {
    /// SERIES/PERIOD, SERIES, or a directory
    #[arg(value_name = "SET|DIR")]
    set: PathBuf,
    /// Which item, by its step or file; needed where the set has several that fit
    #[arg(long, value_name = "STEP|FILE")]
    item: Option<String>,
    /// Where to: db:NAME, dir:PATH or volume:NAME; new, or empty. Several, one of a kind, take the whole set; {} in a name
    /// is the database's or volume's own
    #[arg(long, value_name = "TARGET", required = true)]
    into: Vec<Target>,
    /// Only this path of the archive (a file, a directory, or a pattern such as `conf/*.toml`); may be repeated
    #[arg(long, value_name = "PATH")]
    path: Vec<PathBuf>,
    /// Only the rows of this table of the dump; may be repeated. With dir: as a file for psql, with db: in a new database
    /// with the whole schema
    #[arg(long, value_name = "SCHEMA.TABLE", conflicts_with = "path")]
    table: Vec<String>,
    /// Only say what would be done
    #[arg(long)]
    plan: bool,
    /// Put the restored database in the place of this one; type the name of db: again
    #[arg(long, value_name = "NAME")]
    replace: Option<String>,
    /// With --replace: where what is there is dumped to first; default: .replaced in the backup directory
    #[arg(long, value_name = "DIR", requires = "replace")]
    dump_to: Option<PathBuf>,
    /// With --replace: do not dump what is there; it stays beside under another name all the same
    #[arg(long, requires = "replace", conflicts_with = "dump_to")]
    no_dump: bool,
    /// Make roles that the server lacks first
    #[arg(long)]
    with_roles: bool,
    /// Make the archive's device nodes too (needs root)
    #[arg(long)]
    devices: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Restore it though no key of the configured trust anchor signed it. A dump is a program: it can do what its role may
    #[arg(long)]
    untrusted: bool,
    #[command(flatten)]
    copy: CopyArgs,
    #[command(flatten)]
    server: server::ServerArgs,
}

/// What the parts of the command share.
struct Work<'a> {
    set: PathBuf,
    /// How it is called in what is shown; of a copy its place in the store.
    shown: PathBuf,
    /// How one says it to `maint restore`.
    again: String,
    manifest: &'a Manifest,
    /// The newest drill of the set.
    drill: Option<Drill>,
    only_plan: bool,
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
    global: &'a Global,
}

impl Work<'_> {
    /// How long an item took in the newest drill that restored it.
    fn measured(&self, file: &str) -> Option<u64> {
        let restored = self.drill.as_ref()?.restored.iter().find(|r| r.file == file && !r.checks.is_empty())?;
        Some(restored.restore_millis + restored.compare_millis)
    }

    fn absolute(&self, path: &Path) -> Result<PathBuf, FileError> {
        std::path::absolute(path).map_err(|e| FileError::new("finding", path, e))
    }
}

/// The newest drill: the last record's, else that of the set itself.
fn newest_drill(set: &Path, manifest: &Manifest) -> Option<Drill> {
    let found = records::place(set).and_then(|(series_dir, name)| records::read(&series_dir, &name, None));
    let found = found.unwrap_or_default();
    let recorded = found.drills().rev().map(|(_, verification)| verification);
    recorded.chain([&manifest.verification]).find_map(|verification| verification.drill.clone())
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Restore {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        self.check()?;
        let runtime = super::runtime()?;
        let copy = self.copy.find(&self.set, &runtime, global)?;
        let cancel = CancellationToken::new();
        let _signals = signal::cancel_on_signals(&runtime, &cancel)?;
        let progress = output::progress(self.json);
        let step: StepId = "restore".parse().map_err(|e| Failure::other(format!("{e}")))?;
        let events = StepEvents::new(progress.sink(), step);
        let wanted = |manifest: &Manifest, file: &str| self.wants(manifest, file);
        let fetched = copy.as_ref().map(|copy| copy.fetch(&wanted, &runtime, &cancel, &events)).transpose();
        let fetched = fetched.inspect_err(|_| progress.finish())?;
        let set = match &fetched {
            Some(fetched) => fetched.dir().to_owned(),
            None => set_arg::find(&self.set, global)?,
        };
        let manifest = self.believed(&set, global)?;
        let drill = newest_drill(&copy.as_ref().map_or_else(|| set.clone(), Copy::primary), &manifest);
        let shown = copy.as_ref().map_or_else(|| set.clone(), |copy| PathBuf::from(copy.shown()));
        let again = match &copy {
            Some(copy) => format!("{} {}", copy.named(), self.copy.again()),
            None => shell::word(&set.display().to_string()),
        };
        let (manifest, cancel, events) = (&manifest, &cancel, &events);
        let work = Work { set, shown, again, manifest, drill, only_plan: self.plan, cancel, events, global };
        let ended = runtime.block_on(set::carry_out(&self, &work));
        progress.finish();
        let ended = ended?;
        ended.report.print(self.json)?;
        match ended.failure {
            Some(failure) => Err(failure),
            None => Ok(Exit::Ok),
        }
    }

    /// Whether a file of a copy is fetched: those of the items that are restored, and for a database the roles. Only to plan,
    /// contents lists are enough.
    fn wants(&self, manifest: &Manifest, file: &str) -> bool {
        // What cannot be assigned is told when the set is at hand; nothing is fetched for it.
        let tasks = target::assign(self.wish(), manifest).unwrap_or_default();
        let database = tasks.iter().any(|task| matches!(task.goes, Goes::Database { .. }));
        let roles = manifest.artifacts.iter().filter(|a| database && matches!(a.source, Source::PostgresServer(_)));
        tasks.iter().map(|task| task.artifact).chain(roles).any(|artifact| {
            let packed = artifact.packed.file == file && !self.plan;
            packed || artifact.contents.file == file || artifact.companions.iter().any(|c| c.file == file)
        })
    }

    fn wish(&self) -> Wish<'_> {
        Wish {
            into: &self.into,
            item: self.item.as_deref(),
            tables: !self.table.is_empty(),
            paths: !self.path.is_empty(),
        }
    }

    /// The set's manifest; with a trust anchor in the configuration, only one that one of its keys signed.
    fn believed(&self, set: &Path, global: &Global) -> Result<Manifest, Failure> {
        let sealed = verify::open(set)?;
        if self.untrusted {
            return Ok(sealed.manifest);
        }
        // In an emergency a set must come back on a host whose configuration is gone or broken.
        let trust = match config::load_if_any(global.config.as_deref()) {
            Ok(config) => config.and_then(|c| c.stack.sign.trust.clone()).as_deref().map(Trust::load).transpose()?,
            Err(error) => {
                eprintln!(
                    "whose key signed the set is not checked, for there is no configuration to say who may: {error}"
                );
                None
            }
        };
        let signature = verify::read_signature(set).map_err(VerifyError::from)?;
        match sealed.signature(signature.as_deref(), trust.as_ref()).problem() {
            None => Ok(sealed.manifest),
            Some(problem) => Err(VerifyError::NotBelieved { path: set.to_owned(), problem }.into()),
        }
    }

    /// What clap cannot see.
    fn check(&self) -> Result<(), Failure> {
        let any = |fits: fn(&Target) -> bool| self.into.iter().any(fits);
        let database = any(|t| matches!(t, Target::Database(_)));
        let archives = any(|t| matches!(t, Target::Directory(_) | Target::Volume(_)));
        if !self.table.is_empty() && any(|t| matches!(t, Target::Volume(_))) {
            return Err(Failure::usage(
                "--table is about a database's dump",
                "it goes with --into db:NAME or dir:PATH",
            ));
        }
        if !self.table.is_empty() && self.replace.is_some() {
            return Err(Failure::usage(
                "--table restores a part of a database, which is no replacement for one",
                "restore it beside with another name in --into db:NAME, and copy the rows from there",
            ));
        }
        if !archives && (!self.path.is_empty() || self.devices) {
            return Err(Failure::usage("--path and --devices are about archives", "leave them out with db:"));
        }
        if !database && (self.replace.is_some() || self.with_roles || self.server.is_given()) {
            return Err(Failure::usage(
                "--replace, --with-roles and the server's options are about databases",
                "they go with --into db:NAME",
            ));
        }
        Ok(())
    }

    /// One database is replaced, and only where its name was typed twice.
    fn check_replace(&self, tasks: &[Task<'_>]) -> Result<(), Failure> {
        let Some(again) = &self.replace else { return Ok(()) };
        let databases = tasks.iter().filter_map(|task| match &task.goes {
            Goes::Database { name, .. } => Some(name),
            _ => None,
        });
        match databases.collect::<Vec<_>>().as_slice() {
            [name] if *name == again => Ok(()),
            [name] => Err(Failure::usage(
                format!("--replace says `{again}`, --into says `{name}`"),
                "to replace a database, type its name both times",
            )),
            _ => Err(Failure::usage(
                "--replace is about one database, and the set has several",
                "replace one after the other, each with --item",
            )),
        }
    }
}
