//! `scripts/fuzz restore_tree`: whatever the archive says, nothing leaves the target. Run it as a user without
//! rights, in a directory that does not matter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maint_fuzz::{restore::stays_inside, tar::sealed};

fuzz_target!(|input: &[u8]| {
    let dir = tempfile::tempdir().expect("a temporary directory");
    stays_inside(&sealed(input), dir.path());
});
