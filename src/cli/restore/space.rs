//! Whether everything that is to be restored has room, all of it together.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::{
    adapters::files::{self, FileError},
    model::units::ByteSize,
};

/// Room that something needs.
#[derive(Debug, Clone)]
pub(super) struct Need {
    /// A directory on the file system that is filled.
    pub(super) on: PathBuf,
    /// About so much.
    pub(super) about: u64,
    /// It hardly takes less.
    pub(super) at_least: u64,
}

/// Needs of one file system.
struct Sum {
    system: u64,
    need: Need,
}

/// Refuses what has no room; gives what may be too little.
pub(super) fn check<'a>(needs: impl IntoIterator<Item = &'a Need>) -> Result<Vec<String>, Failure> {
    let mut sums: Vec<Sum> = Vec::new();
    for need in needs {
        let system = files::file_system(&need.on)?;
        match sums.iter_mut().find(|sum| sum.system == system) {
            Some(sum) => {
                sum.need.about = sum.need.about.saturating_add(need.about);
                sum.need.at_least = sum.need.at_least.saturating_add(need.at_least);
            }
            None => sums.push(Sum { system, need: need.clone() }),
        }
    }
    let mut warnings = Vec::new();
    for Sum { need, .. } in sums {
        warnings.extend(weigh(&need, free(&need.on)?)?);
    }
    Ok(warnings)
}

fn free(on: &Path) -> Result<u64, FileError> {
    files::free_space(on)
}

fn weigh(need: &Need, free: u64) -> Result<Option<String>, Failure> {
    let on = need.on.display();
    if need.at_least > free {
        let (needed, free) = (ByteSize(need.at_least), ByteSize(free));
        return Err(Failure::failed(
            format!("the file system of {on} has {free} free; {needed} are needed; nothing was done"),
            format!("free space, or restore to another file system; see: df -h {on}"),
        ));
    }
    let tight =
        || format!("the file system of {on} has {} free; about {} are needed", ByteSize(free), ByteSize(need.about));
    Ok((need.about > free).then(tight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_refused_and_what_may_have_none_is_told() {
        let need = Need { on: "/".into(), about: 100, at_least: 50 };
        assert!(weigh(&need, 49).is_err());
        assert!(weigh(&need, 99).unwrap().unwrap().contains("99 B free; about 100 B are needed"));
        assert_eq!(weigh(&need, 100).unwrap(), None);
    }

    #[test]
    fn needs_of_one_file_system_are_summed_up() {
        let free = files::free_space(Path::new("/")).unwrap();
        let half = Need { on: "/".into(), about: free / 3 * 2, at_least: free / 3 * 2 };
        assert!(check([&half]).unwrap().is_empty());
        assert!(check([&half, &half]).is_err());
    }
}
