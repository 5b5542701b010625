//! Invalid indexes: what a rebuild left behind is removed, anything else is somebody's to decide about.
//!
//! A leftover is proved, not guessed: it is invalid, has the suffix that the server gives, a valid twin on the same table,
//! and nobody is at work on that table.

use std::{collections::BTreeSet, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Stage, Tally};
use crate::{
    adapters::{
        clock,
        postgres::{
            PostgresError,
            upkeep::{self, InvalidIndex},
        },
    },
    model::{contents::TableName, finding::Finding},
    upkeep::{UpkeepError, tables::execute},
};

/// How long a drop is tried again after its lock was not to be had.
const DROP_WITHIN: Duration = Duration::from_secs(30);

/// What a rebuild left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftover {
    /// The new index, not finished.
    New,
    /// The old one: the new one has its name already.
    Old,
}

fn leftover(index: &InvalidIndex) -> Option<Leftover> {
    let stem = index.name.name.trim_end_matches(|c: char| c.is_ascii_digit());
    let kind = match stem {
        _ if index.at_work || index.twin.is_none() => return None,
        stem if stem.ends_with("_ccnew") => Leftover::New,
        stem if stem.ends_with("_ccold") => Leftover::Old,
        _ => return None,
    };
    Some(kind)
}

/// Removes the leftovers of earlier rebuilds; gives the indexes whose rebuild did not come to its end.
pub(super) async fn repair(stage: &Stage<'_>, tally: &mut Tally) -> Result<BTreeSet<TableName>, UpkeepError> {
    let mut again = BTreeSet::new();
    for index in upkeep::invalid_indexes(stage.watcher).await? {
        if stage.cancel.is_cancelled() {
            return Err(UpkeepError::Interrupted);
        }
        let subject = index.name.to_string();
        match leftover(&index) {
            None if index.at_work => {
                let seen = format!("somebody is at work on the indexes of {}; left alone", index.table.0);
                tally.findings.push(Finding::good(subject, seen));
            }
            None => tally.undone(broken(stage, &index)),
            Some(kind) => match remove(stage, &index).await? {
                None => {
                    tally.mended += 1;
                    let seen = format!("left by a rebuild of an index of {} that was cut off; removed", index.table.0);
                    tally.findings.push(Finding::good(subject, seen));
                    if kind == Leftover::New {
                        again.extend(index.twin);
                    }
                }
                Some(why) => tally.undone(stays(stage, &index, &why)),
            },
        }
    }
    Ok(again)
}

/// Removes what a rebuild of ours left on a table: what was not there before it. `None`: nothing of ours is left.
pub(super) async fn remove_new(
    stage: &Stage<'_>,
    table: u32,
    before: &BTreeSet<u32>,
) -> Result<Option<Finding>, UpkeepError> {
    let mut left = None;
    for index in upkeep::invalid_indexes(stage.watcher).await? {
        if index.table.1 != table || before.contains(&index.oid) || leftover(&index).is_none() {
            continue;
        }
        if let Some(why) = remove(stage, &index).await? {
            left = Some(stays(stage, &index, &why));
        }
    }
    Ok(left)
}

/// Drops a leftover beside running queries, again and again for a while; `Some` says why it stands still.
async fn remove(stage: &Stage<'_>, index: &InvalidIndex) -> Result<Option<String>, UpkeepError> {
    // What is stopped in the middle of a drop is dropped by the next run; what is not begun costs every writer meanwhile.
    let never = CancellationToken::new();
    let sql = format!("DROP INDEX CONCURRENTLY {}", index.name.quoted());
    let begun = clock::monotonic();
    loop {
        // The name may have gone to another index since it was listed.
        let still = upkeep::invalid_indexes(stage.watcher).await?.into_iter().find(|other| other.oid == index.oid);
        match still {
            None => return Ok(None),
            Some(now) if now.name != index.name || leftover(&now).is_none() => {
                return Ok(Some("somebody is at work on it".into()));
            }
            Some(_) => {}
        }
        match execute(stage.worker, &sql, &never).await {
            Ok(()) => {}
            Err(UpkeepError::Postgres(PostgresError::LockTimeout { .. })) if begun.elapsed() < DROP_WITHIN => {}
            Err(UpkeepError::Postgres(error)) if !stage.worker.session.is_closed() => {
                let holders = upkeep::holders(stage.watcher, index.table.1).await?;
                let by = holders.first().map(|holder| format!("; its table is held by {holder}")).unwrap_or_default();
                return Ok(Some(format!("{}{by}", crate::model::failure::chain(&error))));
            }
            Err(other) => return Err(other),
        }
    }
}

fn stays(stage: &Stage<'_>, index: &InvalidIndex, why: &str) -> Finding {
    let drop = stage.psql(&[&format!("DROP INDEX CONCURRENTLY {}", index.name.quoted())]);
    Finding::critical(index.name.to_string(), format!("left by a rebuild, and every writer pays for it: {why}"))
        .hint(format!("the next run removes it; or: {drop}"))
}

fn broken(stage: &Stage<'_>, index: &InvalidIndex) -> Finding {
    let seen = format!("invalid: no query of {} uses it, and every writer pays for it", index.table.0);
    let drop = stage.psql(&[&format!("DROP INDEX CONCURRENTLY {}", index.name.quoted())]);
    let make = stage.psql(&[&index.definition.replacen(" INDEX ", " INDEX CONCURRENTLY ", 1)]);
    Finding::critical(index.name.to_string(), seen)
        .hint(format!("drop it: {drop}; make it again, if it is wanted: {make}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, at_work: bool, twin: bool) -> InvalidIndex {
        let named = |name: &str| TableName { schema: "public".into(), name: name.into() };
        InvalidIndex {
            name: named(name),
            oid: 1,
            table: (named("t"), 2),
            twin: twin.then(|| named("t_v")),
            definition: String::new(),
            at_work,
        }
    }

    #[test]
    fn a_leftover_is_proved() {
        assert_eq!(leftover(&index("t_v_ccnew", false, true)), Some(Leftover::New));
        assert_eq!(leftover(&index("t_v_ccnew12", false, true)), Some(Leftover::New));
        assert_eq!(leftover(&index("t_v_ccold3", false, true)), Some(Leftover::Old));
        for not in [
            index("t_v_ccnew", true, true),
            index("t_v_ccnew", false, false),
            index("t_v", false, true),
            index("t_ccnew_v", false, true),
        ] {
            assert_eq!(leftover(&not), None, "{not:?}");
        }
    }
}
