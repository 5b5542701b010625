//! Keys that somebody looks for in the wrong place: the mistake names the right one.

use super::document::Segment;

/// A key of a job's `[backup]`, and where it belongs.
const OF_BACKUP: &[(&str, &str)] = &[
    ("encrypt_to", "copies are encrypted by their store: `encrypt_to` of [store.NAME] in maint.toml"),
    ("sign", "all sets are signed where [sign] in maint.toml names a key"),
];

/// Where the key that is unknown at this place belongs, if it is known elsewhere.
pub(super) fn belongs(path: &[Segment]) -> Option<&'static str> {
    let [Segment::Key(section), Segment::Key(key)] = path else { return None };
    let of_backup = (section == "backup").then_some(OF_BACKUP)?;
    of_backup.iter().find(|(name, _)| name == key).map(|(_, place)| *place)
}
