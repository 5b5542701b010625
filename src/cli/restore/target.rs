//! Where things go: `--into db:NAME`, `dir:PATH`, `volume:NAME`, and which item of a set goes to which.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::Failure;
use crate::model::{
    manifest::{Artifact, Manifest, PostgresFacts, Source},
    shell,
};

/// In a target's name: the item's own database or volume.
const OWN_NAME: &str = "{}";

/// Where something is restored to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
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

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(name) => write!(f, "db:{name}"),
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Volume(name) => write!(f, "volume:{name}"),
        }
    }
}

/// One item, and where it goes.
#[derive(Debug, Clone)]
pub(super) struct Task<'a> {
    pub(super) artifact: &'a Artifact,
    pub(super) goes: Goes<'a>,
}

/// What becomes of an item.
#[derive(Debug, Clone)]
pub(super) enum Goes<'a> {
    /// A dump, or some tables of it, into a database.
    Database { facts: &'a PostgresFacts, name: String },
    /// Rows of a dump into files.
    Rows { facts: &'a PostgresFacts, dir: PathBuf },
    /// An archive into a directory. `base`: the directory that this one is made in, where several go there.
    Directory { dir: PathBuf, base: Option<PathBuf> },
    /// An archive into a volume.
    Volume { name: String },
}

impl Task<'_> {
    pub(super) fn target(&self) -> Target {
        match &self.goes {
            Goes::Database { name, .. } => Target::Database(name.clone()),
            Goes::Rows { dir, .. } | Goes::Directory { dir, .. } => Target::Directory(dir.clone()),
            Goes::Volume { name } => Target::Volume(name.clone()),
        }
    }

    /// The directory that its own is made in, with others.
    pub(super) fn base(&self) -> Option<&Path> {
        match &self.goes {
            Goes::Directory { base, .. } => base.as_deref(),
            _ => None,
        }
    }

    /// The item alone, as one says it to `maint restore SET`.
    pub(super) fn alone(&self) -> String {
        let target = self.target().to_string();
        format!("--item {} --into {}", shell::word(&self.artifact.packed.file), shell::word(&target))
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) into: &'a [Target],
    pub(super) item: Option<&'a str>,
    /// Rows of single tables are wanted.
    pub(super) tables: bool,
    /// Single paths are wanted.
    pub(super) paths: bool,
}

/// Which item goes where.
pub(super) fn assign<'a>(wish: Wish<'_>, manifest: &'a Manifest) -> Result<Vec<Task<'a>>, Failure> {
    match wish.into {
        [one] => single(wish, one, manifest),
        several => whole(wish, several, manifest),
    }
}

fn is_archive(source: &Source) -> bool {
    matches!(source, Source::Files { .. } | Source::Volume { .. })
}

/// A target's name for an item: `{}` is the item's own.
fn named(pattern: &str, own: &str) -> String {
    pattern.replace(OWN_NAME, own)
}

fn database<'a>(artifact: &'a Artifact, pattern: &str) -> Option<Task<'a>> {
    let Source::PostgresDatabase(facts) = &artifact.source else { return None };
    Some(Task { artifact, goes: Goes::Database { facts, name: named(pattern, &facts.database) } })
}

fn volume<'a>(artifact: &'a Artifact, pattern: &str) -> Option<Task<'a>> {
    match &artifact.source {
        Source::Volume { name, .. } => Some(Task { artifact, goes: Goes::Volume { name: named(pattern, name) } }),
        // Files have no volume's name of their own.
        Source::Files { .. } if !pattern.contains(OWN_NAME) => {
            Some(Task { artifact, goes: Goes::Volume { name: pattern.to_owned() } })
        }
        _ => None,
    }
}

fn directory<'a>(artifact: &'a Artifact, base: &Path) -> Task<'a> {
    let goes = Goes::Directory { dir: base.join(artifact.step.as_str()), base: Some(base.to_owned()) };
    Task { artifact, goes }
}

fn files<'a>(artifacts: impl IntoIterator<Item = &'a Artifact>) -> String {
    artifacts.into_iter().map(|a| a.packed.file.as_str()).collect::<Vec<_>>().join(", ")
}

/// One target takes one item of its kind; a directory, or a name with `{}`, takes all of them.
fn single<'a>(wish: Wish<'_>, into: &Target, manifest: &'a Manifest) -> Result<Vec<Task<'a>>, Failure> {
    match into {
        Target::Database(pattern) => {
            let dumps = items(wish, manifest, |a| database(a, pattern), "dump of a database")?;
            if pattern.contains(OWN_NAME) && !wish.tables { Ok(dumps) } else { only(dumps, wish, into) }
        }
        Target::Volume(pattern) => {
            let archives = items(wish, manifest, |a| volume(a, pattern), "archive that goes there")?;
            if pattern.contains(OWN_NAME) { Ok(archives) } else { only(archives, wish, into) }
        }
        Target::Directory(dir) if wish.tables => {
            let rows = |artifact: &'a Artifact| match &artifact.source {
                Source::PostgresDatabase(facts) => {
                    Some(Task { artifact, goes: Goes::Rows { facts, dir: dir.clone() } })
                }
                _ => None,
            };
            only(items(wish, manifest, rows, "dump of a database")?, wish, into)
        }
        Target::Directory(dir) => {
            let archive = |artifact: &'a Artifact| is_archive(&artifact.source).then(|| directory(artifact, dir));
            let mut archives = items(wish, manifest, archive, "archive")?;
            if wish.paths {
                archives = only(archives, wish, into)?;
            }
            if let [one] = archives.as_mut_slice() {
                one.goes = Goes::Directory { dir: dir.clone(), base: None };
            }
            Ok(archives)
        }
    }
}

/// The set's items of a kind, or the one that `--item` names.
fn items<'a>(
    wish: Wish<'_>,
    manifest: &'a Manifest,
    task: impl Fn(&'a Artifact) -> Option<Task<'a>>,
    what: &str,
) -> Result<Vec<Task<'a>>, Failure> {
    let all: Vec<_> = manifest.artifacts.iter().filter_map(task).collect();
    let known = files(all.iter().map(|t| t.artifact));
    let is_meant =
        |t: &Task<'_>| wish.item.is_none_or(|i| t.artifact.packed.file == i || t.artifact.step.as_str() == i);
    let found: Vec<_> = all.into_iter().filter(is_meant).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let problem = match wish.item {
        Some(item) => format!("{item} is no {what} of this set"),
        None => format!("this set has no {what}"),
    };
    let hint = if known.is_empty() { "see what it has: maint verify".into() } else { format!("it has: {known}") };
    Err(Failure::usage(problem, hint))
}

/// The only one of a kind.
fn only<'a>(tasks: Vec<Task<'a>>, wish: Wish<'_>, into: &Target) -> Result<Vec<Task<'a>>, Failure> {
    if tasks.len() == 1 {
        return Ok(tasks);
    }
    let hint = match into {
        Target::Database(name) if !wish.tables => {
            format!("name one with --item, or take all of them, e.g. --into db:{OWN_NAME}_{name}")
        }
        Target::Volume(name) => {
            format!("name one with --item, or take all volumes, e.g. --into volume:{OWN_NAME}_{name}")
        }
        Target::Database(_) | Target::Directory(_) => "name one with --item".into(),
    };
    Err(Failure::usage(format!("the set has several: {}", files(tasks.iter().map(|t| t.artifact))), hint))
}

/// Every item of the set goes to the target of its kind; none may be left.
fn whole<'a>(wish: Wish<'_>, into: &[Target], manifest: &'a Manifest) -> Result<Vec<Task<'a>>, Failure> {
    if wish.item.is_some() || wish.paths || wish.tables {
        return Err(Failure::usage(
            "--item, --path and --table take a part of the set; several targets take all of it",
            "give one --into with them",
        ));
    }
    let kinds = Kinds::of(into)?;
    let (mut tasks, mut left) = (Vec::new(), Vec::new());
    for artifact in &manifest.artifacts {
        match kinds.task(artifact) {
            Some(task) => tasks.push(task),
            // Roles go with their databases.
            None if matches!(artifact.source, Source::PostgresServer(_)) => {}
            None => left.push(artifact),
        }
    }
    if !left.is_empty() {
        let of = |kind: fn(&Source) -> bool| left.iter().any(|a| kind(&a.source));
        let mut missing = Vec::new();
        if of(|s| matches!(s, Source::PostgresDatabase(_))) {
            missing.push("--into db:NAME");
        }
        if of(is_archive) {
            missing.push("--into dir:PATH");
        }
        return Err(Failure::usage(
            format!("no --into takes these items of the set: {}", files(left)),
            format!("add {}, or restore single items with --item", missing.join(" and ")),
        ));
    }
    kinds.refuse(&tasks)?;
    Ok(tasks)
}

/// At most one target of a kind.
#[derive(Default)]
struct Kinds<'a> {
    database: Option<&'a str>,
    directory: Option<&'a Path>,
    volume: Option<&'a str>,
}

impl<'t> Kinds<'t> {
    fn of(into: &'t [Target]) -> Result<Self, Failure> {
        let mut kinds = Self::default();
        for target in into {
            let twice = match target {
                Target::Database(name) => kinds.database.replace(name).is_some(),
                Target::Directory(path) => kinds.directory.replace(path).is_some(),
                Target::Volume(name) => kinds.volume.replace(name).is_some(),
            };
            if twice {
                return Err(Failure::usage(
                    format!("--into {target} is the second of its kind"),
                    format!("one of a kind takes all items of that kind, e.g. --into db:{OWN_NAME}_copy"),
                ));
            }
        }
        Ok(kinds)
    }

    fn task<'a>(&self, artifact: &'a Artifact) -> Option<Task<'a>> {
        match &artifact.source {
            Source::PostgresDatabase(_) => database(artifact, self.database?),
            Source::PostgresServer(_) => None,
            Source::Volume { .. } if self.volume.is_some() => volume(artifact, self.volume?),
            Source::Files { .. } | Source::Volume { .. } => Some(directory(artifact, self.directory?)),
        }
    }

    /// Targets that get nothing, or several items under one name.
    fn refuse(&self, tasks: &[Task<'_>]) -> Result<(), Failure> {
        let mut of_kind = [Vec::new(), Vec::new(), Vec::new()];
        for task in tasks {
            match &task.goes {
                Goes::Database { .. } => of_kind[0].push(task.artifact),
                Goes::Volume { .. } => of_kind[1].push(task.artifact),
                Goes::Directory { .. } | Goes::Rows { .. } => of_kind[2].push(task.artifact),
            }
        }
        let [databases, volumes, trees] = of_kind;
        let given = [
            ("db", self.database, databases),
            ("volume", self.volume, volumes),
            ("dir", self.directory.map(|_| OWN_NAME), trees),
        ];
        for (kind, pattern, items) in given {
            let Some(pattern) = pattern else { continue };
            if items.is_empty() {
                return Err(Failure::usage(
                    format!("the set has nothing for --into {kind}:"),
                    "leave it out; what the set has: maint verify",
                ));
            }
            if items.len() > 1 && !pattern.contains(OWN_NAME) {
                return Err(Failure::usage(
                    format!("--into {kind}:{pattern} is one name for several items: {}", files(items)),
                    format!("say what each is to be called: --into {kind}:{OWN_NAME}_copy"),
                ));
            }
        }
        Ok(())
    }
}
