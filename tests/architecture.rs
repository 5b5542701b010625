//! The house rules that a machine can check: who may import whom, who may print, how long a file may be.

#![expect(clippy::unwrap_used, reason = "a tree that cannot be read fails the test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Room and rank; ARCHITECTURE.md has the same table.
const ROOMS: &[(&str, u8)] = &[
    ("model", 0),
    ("adapters", 1),
    ("stream", 2),
    ("page", 2),
    ("capture", 3),
    ("backup", 4),
    ("reports", 4),
    ("upkeep", 4),
    ("steps", 5),
    ("config", 6),
    ("engine", 7),
    ("web", 7),
    ("cli", 8),
];
/// A longer file holds two ideas.
const MAX_LINES: usize = 400;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn rank(room: &str) -> Option<u8> {
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, rank)| *rank)
}

/// The room of a file below `src/`; `None` for `main.rs` and `lib.rs`, which only point into the rooms.
fn room_of(path: &Path) -> Option<&'static str> {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    ROOMS.iter().find(|(name, _)| *name == first).map(|(name, _)| *name)
}

/// Every `crate::<room>` of a file, nested `use crate::{a::…, b::…}` included, with its line.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = text[..at].matches('\n').count() + 1;
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push((line, std::mem::take(&mut item))),
                    _ => item.push(c),
                }
            }
            found.push((line, item));
        } else {
            found.push((line, rest.chars().take(64).collect()));
        }
    }
    let name = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    found.iter().map(|(line, text)| (*line, name(text))).filter(|(_, name): &(_, String)| !name.is_empty()).collect()
}

fn offences() -> Vec<String> {
    let mut offences = Vec::new();
    for path in sources(&root().join("src")) {
        let Some(room) = room_of(&path) else { continue };
        let own = rank(room).unwrap();
        for (line, target) in imports(&fs::read_to_string(&path).unwrap()) {
            match rank(&target) {
                Some(other) if other < own || target == room => {}
                Some(_) => offences.push(format!("{}:{line}: {room} must not import {target}", path.display())),
                None => offences.push(format!("{}:{line}: crate::{target} is no room", path.display())),
            }
        }
    }
    offences
}

#[test]
fn rooms_import_only_from_lower_rooms() {
    assert_eq!(offences(), Vec::<String>::new());
}

#[test]
fn the_check_sees_nested_imports() {
    let text = "use crate::{\n  cli::{a, b},\n  model::x,\n};\nfn f() { crate::engine::run() }";
    let rooms: Vec<String> = imports(text).into_iter().map(|(_, room)| room).collect();
    assert_eq!(rooms, ["cli", "model", "engine"]);
}

#[test]
fn every_room_of_the_source_tree_has_a_rank() {
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert!(room_of(&path).is_some(), "{} has no rank in tests/architecture.rs", path.display());
        }
    }
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for (room, rank) in ROOMS {
        assert!(map.contains(&format!("| [`{room}`] | {rank} |")), "src/lib.rs does not map {room} as rank {rank}");
    }
}

#[test]
fn only_the_command_line_prints() {
    for path in sources(&root().join("src")) {
        if room_of(&path) == Some("cli") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for word in ["println!(", "eprintln!(", "print!(", "eprint!("] {
            assert!(!text.contains(word), "{} prints; only src/cli may", path.display());
        }
    }
}

#[test]
fn files_hold_one_idea() {
    for dir in ["src", "tests", "benches", "fuzz"] {
        let dir = root().join(dir);
        if !dir.is_dir() {
            continue;
        }
        for path in sources(&dir) {
            if path.components().any(|c| c.as_os_str() == "target") {
                continue;
            }
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= MAX_LINES, "{} has {lines} lines; split it where its second idea begins", path.display());
        }
    }
}

#[test]
fn model_is_pure() {
    for path in sources(&root().join("src/model")) {
        let text = fs::read_to_string(&path).unwrap();
        for word in ["std::fs", "std::net", "std::process", "tokio", "async fn", "rustix"] {
            assert!(!text.contains(word), "{} uses {word}; model does no I/O", path.display());
        }
    }
}
