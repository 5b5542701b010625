//! `scripts/fuzz certificate`: bytes as a certificate, and as a file of them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maint_fuzz::certificate::only_what_was_signed_is_good;

fuzz_target!(|input: &[u8]| only_what_was_signed_is_good(input));
