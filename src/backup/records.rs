//! What is learned about a set after it was published: signed files below `.records/` beside the sets of a series, never
//! inside a set, which nothing changes.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    adapters::{
        clock,
        files::{self, FileError},
        host,
        signature::{self, MAX_SIGNATURE_BYTES, SignError, Signer, Trust},
    },
    model::{
        failure::{Class, Diagnose, chain},
        ids::SeriesName,
        manifest::{Evidence, HostFacts, Level, MANIFEST_FILE, Verification},
        record::{Body, RECORD_FORMAT, RECORD_VERSION, Record, Signed},
        signature::{Namespace, SIGNATURE_SUFFIX},
    },
    stream::{StreamError, decode},
};

/// The directory of records in a series, and in a series of a store.
pub const RECORDS_DIR: &str = ".records";
/// A record is small.
pub const MAX_RECORD_BYTES: u64 = 64 << 20;

/// A record that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("{} is no directory beside which a record can stand", path.display())]
    NoPlace { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the record cannot be signed")]
    Sign(#[from] SignError),
    #[error("the record cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl Diagnose for RecordError {
    fn class(&self) -> Class {
        match self {
            Self::NoPlace { .. } => Class::Usage,
            Self::File(e) => e.class(),
            Self::Stream(e) => e.class(),
            Self::Sign(e) => e.class(),
            Self::Json(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoPlace { .. } | Self::Json(_) => None,
            Self::File(e) => e.hint(),
            Self::Stream(e) => e.hint(),
            Self::Sign(e) => e.hint(),
        }
    }
}

/// A record as it lies in a series or store.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Its file; the signature's is the same with `.sig` behind.
    pub file: String,
    /// Its bytes.
    pub json: Vec<u8>,
    /// Its signature, where something signs.
    pub signature: Option<String>,
}

/// A record of the set whose manifest has this digest, made here and now.
pub fn make(series: &SeriesName, set: &str, manifest_sha256: &str, body: Body) -> Record {
    Record {
        format: RECORD_FORMAT.into(),
        version: RECORD_VERSION,
        series: series.clone(),
        set: set.to_owned(),
        manifest_sha256: manifest_sha256.to_owned(),
        host: HostFacts { name: host::name(), maint: env!("CARGO_PKG_VERSION").to_owned() },
        made: clock::now(),
        body,
    }
}

/// What a drill showed, as a record says it.
pub fn drilled(evidence: Vec<Evidence>, drill: crate::model::drill::Drill) -> Body {
    Body::Drill(Verification {
        level: Level::Drill,
        finished: clock::now(),
        millis: drill.millis,
        evidence,
        drill: Some(drill),
        shortfall: None,
    })
}

/// The bytes of a record and of its signature, with a file name of its own.
///
/// # Errors
/// When it cannot be signed.
pub fn encode(record: &Record, signer: Option<&Signer>) -> Result<Encoded, RecordError> {
    let json = (serde_json::to_string_pretty(record)? + "\n").into_bytes();
    let signature = signer.map(|signer| signer.sign(&json, Namespace::Record)).transpose()?;
    Ok(Encoded { file: format!("{}-{}.json", record.body.kind(), clock::run_id()), json, signature })
}

/// Reads a record as it lay somewhere.
///
/// # Errors
/// In words: why it is not one that this maint can read.
pub fn parse(file: &str, json: &[u8], signature: Option<&[u8]>, trust: Option<&Trust>) -> Result<Signed, String> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: String,
        version: u32,
    }
    let head: Head = serde_json::from_slice(json).map_err(|e| format!("is not a record: {e}"))?;
    if head.format != RECORD_FORMAT {
        return Err(format!("its format is `{}`, not `{RECORD_FORMAT}`", head.format));
    }
    if head.version > RECORD_VERSION {
        return Err(format!("its format version is {}; this maint reads up to {RECORD_VERSION}", head.version));
    }
    let record: Record = serde_json::from_slice(json).map_err(|e| format!("is not a record: {e}"))?;
    let signature = signature::examine(trust, json, signature, Namespace::Record, record.made);
    Ok(Signed { file: file.to_owned(), record, signature })
}

/// Where the records of a set are.
pub fn dir(series_dir: &Path, set: &str) -> PathBuf {
    series_dir.join(RECORDS_DIR).join(set)
}

/// The directory of a set's series and its name there.
///
/// # Errors
/// When it has none.
pub fn place(set: &Path) -> Result<(PathBuf, String), RecordError> {
    let absolute = std::path::absolute(set).map_err(|e| FileError::new("finding", set, e))?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(series), Some(name)) => Ok((series.to_owned(), name.to_string_lossy().into_owned())),
        _ => Err(RecordError::NoPlace { path: absolute }),
    }
}

/// Writes a record of a set that is there. Blocking.
///
/// # Errors
/// When the set's manifest cannot be read, or the record cannot be signed or written.
pub fn write(
    series_dir: &Path,
    series: &SeriesName,
    set: &str,
    body: Body,
    signer: Option<&Signer>,
) -> Result<PathBuf, RecordError> {
    let (_, manifest_sha256) = decode::digest(&series_dir.join(set).join(MANIFEST_FILE))?;
    put(series_dir, &make(series, set, &manifest_sha256, body), signer)
}

/// Writes a record, of a set that is there or was. Its signature first: a record that can be seen is signed. Blocking.
///
/// # Errors
/// When it cannot be signed or written.
pub fn put(series_dir: &Path, record: &Record, signer: Option<&Signer>) -> Result<PathBuf, RecordError> {
    let encoded = encode(record, signer)?;
    let dir = dir(series_dir, &record.set);
    files::create_private_dir(&dir)?;
    if let Some(signature) = &encoded.signature {
        files::write_atomic(&dir.join(format!("{}{SIGNATURE_SUFFIX}", encoded.file)), signature.as_bytes())?;
    }
    let path = dir.join(&encoded.file);
    files::write_atomic(&path, &encoded.json)?;
    Ok(path)
}

/// Something in the records of a set that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordProblem {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
    /// It could not be read: nothing is known about it, which is not the same as being wrong.
    pub unknown: bool,
}

impl fmt::Display for RecordProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

/// What is known of a set's name: of the set that has it now, and of those that had it before.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// SHA-256 of the manifest of the set that is there now.
    pub manifest_sha256: Option<String>,
    /// Records that can be read, oldest first; also those whose signature is wrong, which then says so.
    pub records: Vec<Signed>,
    /// What is wrong with some.
    pub problems: Vec<RecordProblem>,
}

impl Found {
    /// The records of the set that is there now.
    pub fn current(&self) -> impl DoubleEndedIterator<Item = &Signed> {
        let of = |s: &&Signed| self.manifest_sha256.as_ref().is_some_and(|sha256| s.record.manifest_sha256 == *sha256);
        self.records.iter().filter(of)
    }

    /// Its drills that can be believed, oldest first.
    pub fn drills(&self) -> impl DoubleEndedIterator<Item = (&Record, &Verification)> {
        self.current().filter(|s| s.signature.is_believed()).filter_map(|s| match &s.record.body {
            Body::Drill(verification) => Some((&s.record, verification)),
            _ => None,
        })
    }
}

/// The names of sets that have records, whether they are still there or not. Blocking.
///
/// # Errors
/// When the directory cannot be read.
pub fn names(series_dir: &Path) -> Result<Vec<String>, FileError> {
    let dir = series_dir.join(RECORDS_DIR);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let names = files::list(&dir)?.into_iter().filter(|name| dir.join(name).is_dir());
    Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
}

/// The files of a set's records as they lie there: signatures first, so that whoever copies them one by one never has a
/// record without its own. Blocking.
///
/// # Errors
/// When one cannot be read.
pub fn raw(series_dir: &Path, set: &str) -> Result<Vec<(String, Vec<u8>)>, FileError> {
    let dir = dir(series_dir, set);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let names = files::list(&dir)?.into_iter().map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort_by_key(|name| !name.ends_with(SIGNATURE_SUFFIX));
    names.into_iter().map(|name| Ok((name.clone(), files::read_limited(&dir.join(&name), MAX_RECORD_BYTES)?))).collect()
}

/// Everything that is recorded under a set's name. Blocking.
///
/// # Errors
/// When the directory cannot be read at all.
pub fn read(series_dir: &Path, set: &str, trust: Option<&Trust>) -> Result<Found, RecordError> {
    let mut found = Found::default();
    let dir = dir(series_dir, set);
    if !dir.is_dir() {
        return Ok(found);
    }
    let manifest = series_dir.join(set).join(MANIFEST_FILE);
    let mut readable = true;
    if manifest.exists() {
        match decode::digest(&manifest) {
            Ok((_, sha256)) => found.manifest_sha256 = Some(sha256),
            Err(error) => {
                readable = false;
                found.problems.push(RecordProblem { path: manifest, problem: chain(&error), unknown: true });
            }
        }
    }
    // What begins with a dot is what a killed maint had not ended to write: it says nothing.
    let names = files::list(&dir)?.into_iter().map(|name| name.to_string_lossy().into_owned());
    let names: BTreeSet<String> = names.filter(|name| !name.starts_with('.')).collect();
    let mut wrong = |name: &str, problem: String, unknown: bool| {
        found.problems.push(RecordProblem { path: dir.join(name), problem, unknown });
    };
    for name in &names {
        if let Some(of) = name.strip_suffix(SIGNATURE_SUFFIX) {
            if !names.contains(of) {
                wrong(name, "signs a record that is not there".into(), false);
            }
            continue;
        }
        match read_one(&dir, name, names.contains(&format!("{name}{SIGNATURE_SUFFIX}")), trust) {
            Err(error) => wrong(name, chain(&error), true),
            Ok(Err(problem)) => wrong(name, problem, false),
            Ok(Ok(signed)) => found.records.push(signed),
        }
    }
    found.records.sort_by(|a, b| (a.record.made, &a.file).cmp(&(b.record.made, &b.file)));
    let misplaced = misplaced(&dir, set, readable, &found);
    found.problems.extend(misplaced);
    Ok(found)
}

fn read_one(dir: &Path, name: &str, signed: bool, trust: Option<&Trust>) -> Result<Result<Signed, String>, FileError> {
    let json = files::read_limited(&dir.join(name), MAX_RECORD_BYTES)?;
    let signature = if signed {
        Some(files::read_limited(&dir.join(format!("{name}{SIGNATURE_SUFFIX}")), MAX_SIGNATURE_BYTES)?)
    } else {
        None
    };
    Ok(parse(name, &json, signature.as_deref(), trust))
}

/// Records that nobody can believe, or that speak of another set than those that have or had this name.
fn misplaced(dir: &Path, set: &str, readable: bool, found: &Found) -> Vec<RecordProblem> {
    let buried = found.records.iter().filter(|s| matches!(s.record.body, Body::Tombstone(_)));
    let known: BTreeSet<&str> =
        buried.map(|s| s.record.manifest_sha256.as_str()).chain(found.manifest_sha256.as_deref()).collect();
    let mut problems = Vec::new();
    for signed in &found.records {
        let record = &signed.record;
        let problem = signed.signature.problem().or_else(|| {
            if record.set != set {
                Some(format!("speaks of {}/{}", record.series, record.set))
            } else if readable && !known.contains(record.manifest_sha256.as_str()) {
                Some("speaks of another set of this name".into())
            } else {
                None
            }
        });
        problems.extend(problem.map(|problem| RecordProblem { path: dir.join(&signed.file), problem, unknown: false }));
    }
    problems
}
