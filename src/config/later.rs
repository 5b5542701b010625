//! Keys that the design has and this version has not: refused by name, never accepted in silence.

use super::document::Segment;

/// Top-level keys and sections of `maint.toml`.
const HOST: &[&str] = &[];
/// Top-level keys of a job.
const JOB: &[&str] = &[];
/// Keys of `[backup]`.
const BACKUP: &[&str] = &["encrypt_to", "sign"];

/// What to say about a mistake that is a later version's key.
pub(super) fn named(path: &[Segment], message: &str) -> Option<String> {
    let unknown_key = message.starts_with("unknown field");
    let key = match path.last()? {
        Segment::Key(key) => key.as_str(),
        Segment::Index(_) => return None,
    };
    let known = match path {
        [_] => HOST.contains(&key) || JOB.contains(&key),
        [Segment::Key(section), _] if section == "backup" => BACKUP.contains(&key),
        _ => false,
    };
    if unknown_key && known {
        return Some(format!("`{key}` is not supported by this version of maint"));
    }
    None
}
