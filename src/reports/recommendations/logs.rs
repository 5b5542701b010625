//! How much room logs take.

use std::path::Path;

use crate::{
    adapters::files,
    model::{
        failure::chain,
        finding::{Finding, Unit},
        reports::advice::Area,
        units::{ByteSize, count},
    },
};

/// As deep as logs are nested.
const DEPTH: u32 = 4;

/// The files below a directory, with their sizes.
fn sizes(dir: &Path, depth: u32, found: &mut Vec<(String, u64)>) -> Result<(), files::FileError> {
    for name in files::list(dir)? {
        let path = dir.join(&name);
        // What is neither, or vanished since it was listed, takes no room.
        match files::regular_length(&path) {
            Ok(Some(length)) => found.push((path.display().to_string(), length)),
            _ if depth > 0 && path.is_dir() && !path.is_symlink() => sizes(&path, depth - 1, found)?,
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn look(dir: &Path, limit: u64) -> Area {
    let title = format!("Logs below {}", dir.display());
    let mut found = Vec::new();
    if let Err(error) = sizes(dir, DEPTH, &mut found) {
        return Area::unknown(title, chain(&error));
    }
    let total: u64 = found.iter().map(|(_, bytes)| bytes).sum();
    found.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let looked =
        format!("{} in {}; told from {} on", ByteSize(total), count(found.len() as u64, "file"), ByteSize(limit));
    if total < limit {
        return Area::new(title, looked, Vec::new());
    }
    let largest: Vec<_> = found.iter().take(3).map(|(name, bytes)| format!("{name} ({})", ByteSize(*bytes))).collect();
    let seen = format!(
        "{} of logs in {}; the largest: {}",
        ByteSize(total),
        count(found.len() as u64, "file"),
        largest.join(", ")
    );
    let hint =
        "add the directory to a `log_rotate` step with a smaller `max_size` and `keep`, or let the services log less";
    let finding = Finding::warning(dir.display().to_string(), seen).value(total as f64, Unit::Bytes).hint(hint);
    Area::new(title, looked, vec![finding])
}
