//! `maint restore`: brings back a set, an item, a table or a file; never over what is there.

mod archive;
mod database;
mod rows;

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Global, copy_arg::CopyArgs, output, set_arg};
use crate::{
    adapters::signature::Trust,
    backup::verify::{self, VerifyError},
    config,
    engine::signal,
    model::{
        event::StepEvents,
        ids::StepId,
        manifest::{Artifact, Manifest, Source},
    },
};

/// Restores a database, an archive, single files or the rows of single tables
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint restore monthly --into db:copy --plan               what would be done, how big, how long
  maint restore monthly --into db:copy                      the dump into a new database, compared before it has its name
  maint restore monthly --into db:app --replace app         in the place of a living one, which stays beside it
  maint restore /mnt/usb/202608 --into db:app --host db2 --user postgres --with-roles
  maint restore monthly --into dir:/srv/back                every archive, each in a directory of its own
  maint restore monthly --item config --into dir:/srv/etc --path deploy/production/config/app.toml
  maint restore monthly --item app-data --into volume:app_data_2
  maint restore monthly --table public.orders --into dir:/srv/rows
  maint restore monthly --store offsite --identity key.txt --item config --into dir:/srv/etc    from a copy in a store

Nothing that is there is overwritten. It works on any host, with a configuration or without one.
Exit codes: 0 restored, 1 failed, 2 the target is taken, 3 the set is not what was captured, 130 interrupted")]
pub struct Restore {
    /// SERIES/PERIOD, SERIES, or a directory
    #[arg(value_name = "SET|DIR")]
    set: PathBuf,
    /// Which item, by its step or file; needed where the set has several that fit
    #[arg(long, value_name = "STEP|FILE")]
    item: Option<String>,
    /// Where to: db:NAME, dir:PATH or volume:NAME; new, or empty
    #[arg(long, value_name = "TARGET")]
    into: Target,
    /// Only this path of the archive (a file, a directory, or a pattern such as `conf/*.toml`); may be repeated
    #[arg(long, value_name = "PATH")]
    path: Vec<PathBuf>,
    /// Only the rows of this table of the dump, as a file for psql; may be repeated; goes with dir:
    #[arg(long, value_name = "SCHEMA.TABLE", conflicts_with = "path")]
    table: Vec<String>,
    /// Only say what would be done
    #[arg(long)]
    plan: bool,
    /// Put the restored database in the place of this one; type the name of db: again
    #[arg(long, value_name = "NAME")]
    replace: Option<String>,
    /// Make roles that the server lacks first
    #[arg(long)]
    with_roles: bool,
    /// Make the archive's device nodes too (needs root)
    #[arg(long)]
    devices: bool,
    /// Restore it though no key of the configured trust anchor signed it. A dump is a program: it can do what its role may
    #[arg(long)]
    untrusted: bool,
    #[command(flatten)]
    copy: CopyArgs,
    #[command(flatten)]
    server: database::ServerArgs,
}

/// Where something is restored to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Database(String),
    Directory(PathBuf),
    Volume(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((_, "")) => Err("a name must follow the colon".into()),
            Some(("db", name)) => Ok(Self::Database(name.into())),
            Some(("dir", path)) => Ok(Self::Directory(path.into())),
            Some(("volume", name)) => Ok(Self::Volume(name.into())),
            _ => Err("expected db:NAME, dir:PATH or volume:NAME".into()),
        }
    }
}

/// What the parts of the command share.
struct Work<'a> {
    set: PathBuf,
    manifest: Manifest,
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
}

impl Restore {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        self.check()?;
        let runtime = super::runtime()?;
        let copy = self.copy.find(&self.set, &runtime, global)?;
        let cancel = CancellationToken::new();
        let _signals = signal::cancel_on_signals(&runtime, &cancel)?;
        let progress = output::progress(false);
        let step: StepId = "restore".parse().map_err(|e| Failure::other(format!("{e}")))?;
        let events = StepEvents::new(progress.sink(), step);
        let wanted = |manifest: &Manifest, file: &str| self.wants(manifest, file);
        let fetched = copy.map(|copy| copy.fetch(&wanted, &runtime, &cancel, &events)).transpose();
        let fetched = fetched.inspect_err(|_| progress.finish())?;
        let set = match &fetched {
            Some(fetched) => fetched.dir().to_owned(),
            None => set_arg::find(&self.set, global)?,
        };
        let manifest = self.believed(&set, global)?;
        let work = Work { set, manifest, cancel: &cancel, events: &events };
        let done = match &self.into {
            Target::Database(name) => runtime.block_on(database::restore(&self, name, &work, global)),
            Target::Directory(path) if self.table.is_empty() => archive::into_directory(&self, path, &work),
            Target::Directory(path) => rows::restore(&self, path, &work),
            Target::Volume(name) => archive::into_volume(&self, name, &work, &runtime, global),
        };
        progress.finish();
        for line in done? {
            println!("{line}");
        }
        Ok(Exit::Ok)
    }

    /// Whether a file of a copy is fetched: those of the items that may be restored, and for a database the roles. Only to
    /// plan, contents lists are enough.
    fn wants(&self, manifest: &Manifest, file: &str) -> bool {
        let database = matches!(self.into, Target::Database(_)) || !self.table.is_empty();
        let fits = |artifact: &Artifact| {
            let named = self.item.as_ref().is_none_or(|i| artifact.packed.file == *i || artifact.step.as_str() == i);
            match &artifact.source {
                Source::PostgresDatabase(_) => database && named,
                Source::PostgresServer(_) => database,
                Source::Files { .. } | Source::Volume { .. } => !database && named,
            }
        };
        manifest.artifacts.iter().filter(|artifact| fits(artifact)).any(|artifact| {
            let packed = artifact.packed.file == file && !self.plan;
            packed || artifact.contents.file == file || artifact.companions.iter().any(|c| c.file == file)
        })
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
        let database = matches!(self.into, Target::Database(_));
        if !self.table.is_empty() && !matches!(self.into, Target::Directory(_)) {
            return Err(Failure::usage(
                "--table writes files for psql, and goes with --into dir:PATH",
                "restore the whole dump into a new database with --into db:NAME, and take the table from there",
            ));
        }
        if database && (!self.path.is_empty() || self.devices) {
            return Err(Failure::usage("--path and --devices are about archives", "leave them out with db:"));
        }
        if !database && (self.replace.is_some() || self.with_roles || self.server.is_given()) {
            return Err(Failure::usage(
                "--replace, --with-roles and the server's options are about databases",
                "they go with --into db:NAME",
            ));
        }
        if let (Target::Database(name), Some(again)) = (&self.into, &self.replace)
            && name != again
        {
            return Err(Failure::usage(
                format!("--replace says `{again}`, --into says `{name}`"),
                "to replace a database, type its name both times",
            ));
        }
        Ok(())
    }

    /// The set's artifacts of a kind, or the one that `--item` names.
    fn items<'a>(
        &self,
        work: &'a Work<'_>,
        fits: fn(&Source) -> bool,
        what: &str,
    ) -> Result<Vec<&'a Artifact>, Failure> {
        let all = || work.manifest.artifacts.iter().filter(|a| fits(&a.source));
        let names = || all().map(|a| a.packed.file.clone()).collect::<Vec<_>>().join(", ");
        let named = |a: &&Artifact| match &self.item {
            Some(item) => a.packed.file == *item || a.step.as_str() == item,
            None => true,
        };
        let found: Vec<_> = all().filter(named).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let problem = match &self.item {
            Some(item) => format!("{item} is no {what} of this set"),
            None => format!("this set has no {what}"),
        };
        let hint =
            if names().is_empty() { "see what it has: maint verify".into() } else { format!("it has: {}", names()) };
        Err(Failure::usage(problem, hint))
    }

    /// The only one of a kind.
    fn item<'a>(&self, work: &'a Work<'_>, fits: fn(&Source) -> bool, what: &str) -> Result<&'a Artifact, Failure> {
        match self.items(work, fits, what)?.as_slice() {
            [one] => Ok(one),
            several => Err(Failure::usage(
                format!(
                    "the set has several: {}",
                    several.iter().map(|a| a.packed.file.as_str()).collect::<Vec<_>>().join(", ")
                ),
                "name one with --item",
            )),
        }
    }
}
