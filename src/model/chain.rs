//! The sets of a series as a chain: each manifest names the SHA-256 of the one before it, so that a set that was removed,
//! changed or slipped in shows. Pure; `backup::chain` reads what is walked here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::manifest::Previous;

/// A link of the chain: a set that is there, or what its tombstone says of one that was removed on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The set's name in its series.
    pub set: String,
    /// SHA-256 of its manifest.
    pub manifest_sha256: String,
    /// The set before it.
    pub previous: Option<Previous>,
    /// When it was sealed.
    pub sealed: DateTime<Utc>,
    /// Whether only its tombstone is left.
    pub removed: bool,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Break {
    /// A set names one before it that is not there and left no tombstone.
    Missing { set: String, manifest_sha256: String, named_by: String },
    /// A set names one before it whose manifest is another now.
    Altered { set: String, expected: String, found: String, named_by: String },
    /// A set says that it was sealed before the one that it names as the set before it.
    BackDated { set: String, sealed: DateTime<Utc>, previous: String, previous_sealed: DateTime<Utc> },
    /// Several sets name the same one before them; only one of them can be right.
    Fork { previous: String, sets: Vec<String> },
    /// A set begins a chain of its own, though there are sets before it.
    Begins { set: String, first: String },
    /// What was remembered as the newest set is not in the chain.
    HeadLost { manifest_sha256: String },
}

impl Break {
    /// The set that it is about, by name or digest.
    pub fn subject(&self) -> &str {
        match self {
            Self::Missing { set, .. }
            | Self::Altered { set, .. }
            | Self::BackDated { set, .. }
            | Self::Begins { set, .. } => set,
            Self::Fork { previous, .. } => previous,
            Self::HeadLost { manifest_sha256 } => manifest_sha256,
        }
    }

    /// The next step.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "look for it in another copy; if it was removed on purpose, find out by whom",
            Self::Altered { .. } => "do not restore from it; compare it with another copy",
            Self::BackDated { .. } => "find out whether the host's clock was set back, or who made the set",
            Self::Fork { .. } | Self::Begins { .. } => {
                "find out which host and state directory made each of them; only one can own a series"
            }
            Self::HeadLost { .. } => "look for the set in another copy: the newest sets were removed here",
        }
    }
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { set, manifest_sha256, named_by } => {
                write!(f, "{set} is missing: {named_by} names it as the set before it (manifest {manifest_sha256})")
            }
            Self::Altered { set, expected, found, named_by } => {
                write!(f, "{set} is not the set that {named_by} names: its manifest is {found}, not {expected}")
            }
            Self::BackDated { set, sealed, previous, previous_sealed } => write!(
                f,
                "{set} says that it was sealed {sealed}, before {previous} ({previous_sealed}), which it follows: it was \
                 back-dated, or the clock was set back"
            ),
            Self::Fork { previous, sets } => {
                write!(f, "{} each say that they follow {previous}: only one of them can", sets.join(" and "))
            }
            Self::Begins { set, first } => {
                write!(f, "{set} names no set before it, and neither does {first}: they do not belong to one chain")
            }
            Self::HeadLost { manifest_sha256 } => {
                write!(f, "the set with the manifest {manifest_sha256} was the newest, and is not in the chain")
            }
        }
    }
}

/// A chain that was walked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Walk {
    /// Every link: each behind the one that it names, else by when it was sealed.
    pub links: Vec<Link>,
    /// The newest.
    pub head: Option<Link>,
    /// What is wrong.
    pub breaks: Vec<Break>,
}

impl Walk {
    /// Whether the chain still holds what was once its head, e.g. as somebody noted it elsewhere. It may have grown since.
    pub fn expect(&self, manifest_sha256: &str) -> Option<Break> {
        let held = self.links.iter().any(|link| link.manifest_sha256.eq_ignore_ascii_case(manifest_sha256));
        (!held).then(|| Break::HeadLost { manifest_sha256: manifest_sha256.to_owned() })
    }
}

/// Walks the links of one series, in any order.
pub fn walk(mut links: Vec<Link>) -> Walk {
    // A set that is there counts before a tombstone of it: pruning was begun and not ended.
    links.sort_by(|a, b| (a.sealed, &a.set, a.removed).cmp(&(b.sealed, &b.set, b.removed)));
    let mut seen = BTreeSet::new();
    links.retain(|link| seen.insert(link.manifest_sha256.clone()));
    let links = in_order(links);
    let by_digest: BTreeMap<&str, &Link> = links.iter().map(|l| (l.manifest_sha256.as_str(), l)).collect();
    let mut followers: BTreeMap<&str, Vec<&Link>> = BTreeMap::new();
    let mut breaks = Vec::new();
    let mut first: Option<&Link> = None;
    for link in &links {
        match &link.previous {
            None => match first {
                None => first = Some(link),
                Some(first) => breaks.push(Break::Begins { set: link.set.clone(), first: first.set.clone() }),
            },
            Some(previous) => {
                followers.entry(&previous.manifest_sha256).or_default().push(link);
                breaks.extend(between(link, previous, &by_digest, &links));
            }
        }
    }
    for (digest, sets) in followers.iter().filter(|(_, sets)| sets.len() > 1) {
        let named = sets.iter().find_map(|l| l.previous.as_ref()).map(|p| p.set.clone());
        let previous = named.unwrap_or_else(|| (*digest).to_owned());
        breaks.push(Break::Fork { previous, sets: sets.iter().map(|l| l.set.clone()).collect() });
    }
    let head = links.iter().filter(|l| !followers.contains_key(l.manifest_sha256.as_str())).max_by_key(|l| l.sealed);
    let head = head.cloned();
    Walk { links, head, breaks }
}

/// What is wrong between a link and the one that it names.
fn between(link: &Link, previous: &Previous, by_digest: &BTreeMap<&str, &Link>, links: &[Link]) -> Option<Break> {
    if let Some(before) = by_digest.get(previous.manifest_sha256.as_str()) {
        return (link.sealed < before.sealed).then(|| Break::BackDated {
            set: link.set.clone(),
            sealed: link.sealed,
            previous: before.set.clone(),
            previous_sealed: before.sealed,
        });
    }
    // A set that took a removed set's name later, and so follows this one, is not an altered one.
    let same_name = links.iter().find(|l| l.set == previous.set && !l.removed && l.sealed <= link.sealed);
    Some(match same_name {
        Some(found) => Break::Altered {
            set: previous.set.clone(),
            expected: previous.manifest_sha256.clone(),
            found: found.manifest_sha256.clone(),
            named_by: link.set.clone(),
        },
        None => Break::Missing {
            set: previous.set.clone(),
            manifest_sha256: previous.manifest_sha256.clone(),
            named_by: link.set.clone(),
        },
    })
}

/// Puts each link behind the one that it names. The digests make a circle impossible; were there one, its links come last.
fn in_order(links: Vec<Link>) -> Vec<Link> {
    let all: BTreeSet<String> = links.iter().map(|l| l.manifest_sha256.clone()).collect();
    let mut placed = BTreeSet::new();
    let mut ordered = Vec::with_capacity(links.len());
    let mut left = links;
    loop {
        let before = left.len();
        let mut waiting = Vec::new();
        for link in left {
            let free = link
                .previous
                .as_ref()
                .is_none_or(|p| placed.contains(&p.manifest_sha256) || !all.contains(&p.manifest_sha256));
            if free {
                placed.insert(link.manifest_sha256.clone());
                ordered.push(link);
            } else {
                waiting.push(link);
            }
        }
        if waiting.is_empty() || waiting.len() == before {
            ordered.extend(waiting);
            return ordered;
        }
        left = waiting;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `count` sets, each naming the one before it.
    fn chain(count: usize) -> Vec<Link> {
        let digest = |i: usize| format!("{i:064x}");
        let name = |i: usize| format!("set-{i}");
        let previous = |i: usize| i.checked_sub(1).map(|p| Previous { set: name(p), manifest_sha256: digest(p) });
        let sealed = |i: usize| DateTime::UNIX_EPOCH + chrono::TimeDelta::days(i64::try_from(i).unwrap());
        let link = |i| Link {
            set: name(i),
            manifest_sha256: digest(i),
            previous: previous(i),
            sealed: sealed(i),
            removed: false,
        };
        (0..count).map(link).collect()
    }

    fn said(walk: &Walk) -> Vec<String> {
        walk.breaks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_whole_chain_has_its_newest_set_as_head() {
        assert_eq!(walk(Vec::new()), Walk::default());
        let walked = walk(chain(5));
        assert_eq!(said(&walked), Vec::<String>::new());
        assert_eq!(walked.head.as_ref().unwrap().set, "set-4");
        // It may have grown since somebody noted its head.
        assert_eq!(walked.expect(&format!("{:064X}", 2)), None);
        let lost = walked.expect("f00").unwrap();
        assert!(lost.to_string().contains("f00 was the newest"), "{lost}");
    }

    #[test]
    fn an_altered_set_is_named_by_the_one_behind_it() {
        let mut links = chain(4);
        links[1].manifest_sha256 = "a".repeat(64);
        let found = said(&walk(links));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("set-1 is not the set that set-2 names"), "{found:?}");
    }

    #[test]
    fn a_set_slipped_in_shows_wherever_it_says_it_belongs() {
        let slipped = |previous: Option<Previous>, day: i64| {
            let mut links = chain(4);
            links.push(Link {
                set: "slipped".into(),
                manifest_sha256: "a".repeat(64),
                previous,
                sealed: DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(day * 24 + 1),
                removed: false,
            });
            said(&walk(links))
        };
        let links = chain(4);
        let behind =
            |i: usize| Some(Previous { set: links[i].set.clone(), manifest_sha256: links[i].manifest_sha256.clone() });
        let fork = slipped(behind(1), 1);
        assert!(fork[0].starts_with("slipped and set-2 each say that they follow set-1"), "{fork:?}");
        let root = slipped(None, 1);
        assert!(root[0].starts_with("slipped names no set before it, and neither does set-0"), "{root:?}");
        let dated = slipped(behind(3), 1);
        assert!(dated[0].starts_with("slipped says that it was sealed 1970-01-02"), "{dated:?}");
        assert_eq!(slipped(behind(3), 4), Vec::<String>::new(), "the next set is no break");
    }

    #[test]
    fn a_name_that_is_used_again_is_not_an_alteration() {
        let mut links = chain(3);
        links[1].removed = true;
        links.push(Link {
            set: "set-1".into(),
            manifest_sha256: "b".repeat(64),
            previous: Some(Previous { set: "set-2".into(), manifest_sha256: links[2].manifest_sha256.clone() }),
            sealed: links[2].sealed + chrono::TimeDelta::days(1),
            removed: false,
        });
        assert_eq!(said(&walk(links)), Vec::<String>::new());
    }

    proptest! {
        /// Whatever is gone without a tombstone shows, but for the newest, which only somebody who noted it can miss; what
        /// left a tombstone does not. The order in which links are found is no matter.
        #[test]
        fn what_is_gone_shows(
            count in 1_usize..12,
            gone in proptest::collection::vec(0_u8..3, 12),
            order in any::<u64>(),
        ) {
            let all = chain(count);
            let mut links: Vec<Link> = Vec::new();
            let mut missing = BTreeSet::new();
            for (link, fate) in all.iter().zip(&gone) {
                match fate {
                    0 => links.push(link.clone()),
                    1 => links.push(Link { removed: true, ..link.clone() }),
                    _ => {
                        missing.insert(link.set.clone());
                    }
                }
            }
            let followed: BTreeSet<_> = links.iter().filter_map(|l| l.previous.as_ref()).map(|p| p.set.clone()).collect();
            let expected: BTreeSet<_> = missing.intersection(&followed).cloned().collect();
            let by = usize::try_from(order % 12).unwrap();
            if !links.is_empty() {
                let by = by % links.len();
                links.rotate_left(by);
            }
            let walked = walk(links.clone());
            let found: BTreeSet<_> = walked.breaks.iter().map(|b| b.subject().to_owned()).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(walked.links.len(), links.len());
            for link in all.iter().filter(|l| missing.contains(&l.set)) {
                prop_assert!(walked.expect(&link.manifest_sha256).is_some());
            }
            let place = |sha256: &str| walked.links.iter().position(|l| l.manifest_sha256 == sha256);
            for (at, link) in walked.links.iter().enumerate() {
                if let Some(before) = link.previous.as_ref().and_then(|p| place(&p.manifest_sha256)) {
                    prop_assert!(before < at, "each link stands behind the one that it names");
                }
            }
        }
    }
}
