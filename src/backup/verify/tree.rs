//! A tree: every entry of the tar against its line of the contents list, digests included.

use std::path::Path;

use super::artifact::Decoding;
use crate::{
    model::{
        contents::{ContentsKind, EntryKind, EntryLine, Line},
        manifest::Artifact,
        units::count,
    },
    stream::{StreamError, contents::ContentsReader, tar::TarReader},
};

/// The next entry that the list says is stored; what is listed only (sockets) is counted and passed over.
fn next(list: &mut ContentsReader, listed: &mut u64) -> Result<Option<EntryLine>, StreamError> {
    for line in list {
        match line? {
            Line::Entry(entry) => {
                *listed += 1;
                if entry.offset.is_some() {
                    return Ok(Some(EntryLine { remark: None, ..entry }));
                }
            }
            Line::Frame(_) | Line::End { .. } => return Ok(None),
            _ => {}
        }
    }
    Ok(None)
}

fn difference(expected: &EntryLine, found: &EntryLine) -> String {
    let path = &expected.path;
    if expected.path != found.path {
        return format!("holds {} where {path} should be", found.path);
    }
    if expected.sha256 != found.sha256 {
        return format!("the content of {path} is not what was captured");
    }
    format!("{path} is not as it was captured: type, mode, owner, time, size, link or attributes differ")
}

/// Checks a tree; gives what was compared, in words.
pub(super) fn check(
    path: &Path,
    contents: &Path,
    artifact: &Artifact,
    decoding: Decoding<'_>,
) -> Result<Vec<String>, StreamError> {
    let mut list = ContentsReader::open(contents)?;
    if list.kind != ContentsKind::Tree {
        return Err(StreamError::damaged(contents, "is of another kind than the manifest says"));
    }
    let (mut listed, mut stored, mut files) = (0, 0_u64, 0_u64);
    let mut reader = TarReader::new(decoding.cancel());
    let mut found = Vec::new();
    decoding.run(|plain| {
        reader.push(path, plain, &mut found)?;
        for entry in found.drain(..) {
            match next(&mut list, &mut listed)? {
                Some(expected) if expected == entry => {}
                Some(expected) => return Err(StreamError::damaged(path, difference(&expected, &entry))),
                None => {
                    let problem = format!("holds {}, which the contents list does not have", entry.path);
                    return Err(StreamError::damaged(path, problem));
                }
            }
            stored += 1;
            files += u64::from(entry.kind == EntryKind::File);
        }
        Ok(())
    })?;
    reader.finish(path)?;
    if let Some(missing) = next(&mut list, &mut listed)? {
        return Err(StreamError::damaged(path, format!("{} is missing", missing.path)));
    }
    if (artifact.counts.entries, artifact.counts.files) != (Some(listed), Some(files)) {
        return Err(StreamError::damaged(path, "the manifest counts entries or files differently"));
    }
    Ok(vec![
        format!("type, mode, owner, time and attributes of {}", count(stored, "tar record")),
        format!("SHA-256 of {}", count(files, "file")),
        "the end of the archive".to_owned(),
    ])
}
