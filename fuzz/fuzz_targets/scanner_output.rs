//! `scripts/fuzz scanner_output`: bytes as what scanners of images and certbot say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maint_fuzz::scanner_output::nothing_is_good_by_mistake;

fuzz_target!(|input: &[u8]| nothing_is_good_by_mistake(input));
