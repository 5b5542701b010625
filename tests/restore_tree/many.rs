//! Memory does not grow with the number of entries.

use std::fs;

use maint::model::contents::EntryKind;

use crate::{
    archive::stage,
    hand::{all, end, entry, put, restore, writer},
};

/// The suite's number; `MAINT_TEST_MANY=1000000` with the test's name makes more of them.
const ENTRIES: u32 = 100_000;

/// The most memory that this process has had, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// In a process of its own, for the peak is the process's.
#[test]
fn many_entries_take_little_memory() {
    if let Some(entries) = std::env::var_os("MAINT_TEST_MANY") {
        return many(entries.to_str().unwrap().parse().unwrap());
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "many::many_entries_take_little_memory", "--nocapture"])
        .env("MAINT_TEST_MANY", ENTRIES.to_string())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

fn many(entries: u32) {
    let stage = stage();
    let mut writer = writer(&stage.out);
    for number in 0..entries {
        // Directories too, each entered once; every path is different and long.
        let kind = if number % 50 == 0 { EntryKind::Directory } else { EntryKind::Fifo };
        let name = match kind {
            EntryKind::Directory => format!("directory-{number:0100}"),
            _ => format!("directory-{:0100}/{number:0100}", number - number % 50),
        };
        put(&mut writer, &entry(name.as_bytes(), kind), b"");
        writer.cut_if(1 << 20).unwrap();
    }
    let files = end(writer, &stage.out);
    let before = peak();
    let restored = restore(&files, &stage.restored, &all()).unwrap();
    assert_eq!(restored.entries, u64::from(entries));
    // The names alone have 20 MB, and 200 where there are a million.
    let grown = peak() - before;
    assert!(grown < 10 << 10, "the peak grew by {grown} KiB");
    maint::adapters::plant::uproot(&stage.restored).unwrap();
}
