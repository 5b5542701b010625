//! `keep = { … }` to a [`Keep`].

use super::{
    diagnostic::Mistake,
    document::{Document, Segment},
    shape::KeepSection,
};
use crate::model::retention::Keep;

/// Resolves a policy; one that keeps nothing is a mistake, for who wants no retention leaves it out.
pub(super) fn resolve(
    document: &Document,
    place: &[Segment],
    raw: Option<KeepSection>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Keep> {
    let raw = raw?;
    let keep = Keep {
        last: raw.last.unwrap_or(0),
        daily: raw.daily.unwrap_or(0),
        weekly: raw.weekly.unwrap_or(0),
        monthly: raw.monthly.unwrap_or(0),
        yearly: raw.yearly.unwrap_or(0),
        within: raw.within.map(|span| span.0),
    };
    if keep.is_empty() {
        let mistake = document.at_path(place, "this policy keeps no set at all");
        mistakes.push(
            mistake.help("say what to keep, e.g. { monthly = 12, yearly = 3 }; without `keep` nothing is pruned"),
        );
        return None;
    }
    Some(keep)
}
