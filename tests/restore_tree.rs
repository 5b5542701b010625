//! Restoring archives: what comes back is what was captured, and nothing ever leaves the target directory.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/archive.rs"]
#[expect(dead_code, reason = "other tests read archives back")]
mod archive;
#[path = "restore_tree/compare.rs"]
mod compare;
#[path = "restore_tree/faithful.rs"]
mod faithful;
#[path = "restore_tree/faults.rs"]
mod faults;
#[path = "../fuzz/src/restore.rs"]
mod fuzzed;
#[path = "restore_tree/hand.rs"]
mod hand;
#[path = "restore_tree/hostile.rs"]
mod hostile;
#[path = "restore_tree/lies.rs"]
mod lies;
#[path = "restore_tree/many.rs"]
mod many;
#[path = "restore_tree/pick.rs"]
mod pick;
#[path = "support/tree.rs"]
mod tree;
