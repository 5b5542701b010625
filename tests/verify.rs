//! Every way in which a set can be wrong is found, named, and ends in exit code 3; what cannot be read in 4.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use maint::model::contents::Line;
use proptest::prelude::*;

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
#[path = "support/set.rs"]
mod set;
use project::Ended;
use set::Set;

fn verify(dir: &Path, more: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maint"));
    command.arg("verify").arg(dir).args(more).env_remove("MAINT_CONFIG").current_dir("/");
    command.output().unwrap().into()
}

/// Asserts exit code 3 with a finding on that file.
#[track_caller]
fn refuses(set: &Set, file: &Path, more: &[&str]) -> String {
    let name = file.file_name().unwrap().to_str().unwrap();
    let ended = verify(&set.dir(), more).code(3);
    assert!(ended.stdout.contains(&format!("✗ {name}: ")), "{name}: {}", ended.stdout);
    assert!(ended.stdout.contains("NOT verified"), "{}", ended.stdout);
    ended.stdout
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_whole_set_is_verified_by_us_and_by_others() {
    let set = Set::new();
    for level in ["checksum", "structure"] {
        let ended = verify(&set.dir(), &["--level", level]).code(0);
        assert!(ended.stdout.contains("all as captured"), "{}", ended.stdout);
    }
    let said = verify(&set.dir(), &[]).stdout;
    for what in ["5 100 rows in 3 tables", "1 large object", "the catalogue's 3 tables", "SHA-256 of 300 files"] {
        assert!(said.contains(what), "{what}: {said}");
    }
    let in_set = |program: &str, args: &[&str]| {
        let ended: Ended = Command::new(program).args(args).current_dir(set.dir()).output().unwrap().into();
        ended.code(0)
    };
    in_set("sha256sum", &["--strict", "-c", "SHA256SUMS"]);
    for file in set.files().iter().filter(|f| f.ends_with(".zst")) {
        in_set("zstd", &["-q", "-t", file]);
    }
    in_set("gunzip", &["-t", set.file("packed", ".tar.gz").to_str().unwrap()]);
    let json: serde_json::Value = serde_json::from_str(&verify(&set.dir(), &["--json"]).code(0).stdout).unwrap();
    assert_eq!(json["findings"].as_array().unwrap().len(), 0);
}

#[test]
fn one_flipped_byte_in_any_file_is_named() {
    let set = Set::new();
    for file in set.files() {
        let set = Set::new();
        let path = set.dir().join(&file);
        edit(&path, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
        if file == "manifest.json" || file == "SHA256SUMS" {
            // Either may be the damaged one; what matters is that it is not accepted.
            verify(&set.dir(), &[]).code(3);
        } else {
            refuses(&set, &path, &[]);
            refuses(&set, &path, &["--level", "checksum"]);
        }
    }
}

#[test]
fn a_cut_a_missing_and_an_extra_file_are_named() {
    let whole = Set::new();
    for file in whole.files().iter().filter(|f| *f != "manifest.json") {
        let set = Set::new();
        let path = set.dir().join(file);
        edit(&path, |bytes| bytes.truncate(bytes.len() - 1));
        refuses(&set, &path, &[]);
        fs::remove_file(&path).unwrap();
        assert!(refuses(&set, &path, &[]).contains("is missing"));
    }
    let extra = whole.dir().join("extra.txt");
    fs::write(&extra, "x").unwrap();
    assert!(refuses(&whole, &extra, &[]).contains("does not belong to the set"));
    fs::remove_file(&extra).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &extra).unwrap();
    assert!(refuses(&whole, &extra, &[]).contains("not a regular file"));
    fs::remove_file(&extra).unwrap();
    fs::remove_file(whole.dir().join("manifest.json")).unwrap();
    assert!(verify(&whole.dir(), &[]).code(3).stderr.contains("manifest.json is missing"));
}

#[test]
fn what_cannot_be_read_is_not_called_wrong() {
    let set = Set::new();
    let dir = set.dir();
    for name in set.files() {
        std::os::unix::fs::chown(dir.join(name), Some(65534), None).unwrap();
    }
    std::os::unix::fs::chown(&dir, Some(65534), None).unwrap();
    std::os::unix::fs::chown(dir.parent().unwrap(), Some(65534), None).unwrap();
    let path = set.file("db", ".sql.zst");
    std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    // Root reads everything, so another user asks, with a program of its own to run.
    let program = dir.parent().unwrap().join("maint");
    fs::copy(env!("CARGO_BIN_EXE_maint"), &program).unwrap();
    let ended: Ended = std::os::unix::process::CommandExt::uid(&mut Command::new(&program), 65534)
        .arg("verify")
        .arg(&dir)
        .output()
        .unwrap()
        .into();
    let ended = ended.code(4);
    assert!(ended.stdout.contains("could not be checked") && ended.stdout.contains("? db-"), "{}", ended.stdout);
}

/// Packs text as a contents list is packed.
fn pack(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 3).unwrap()
}

/// Rewrites a contents list line by line and makes manifest and sums agree: only the structure can tell.
fn rewrite_contents(set: &Set, begins: &str, mut change: impl FnMut(Line) -> Option<Line>) {
    let path = set.file(begins, ".contents.jsonl.zst");
    let plain = zstd::decode_all(&fs::read(&path).unwrap()[..]).unwrap();
    let lines = plain.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    let kept: Vec<Line> = lines.filter_map(|l| change(serde_json::from_slice(l).unwrap())).collect();
    let objects = kept.iter().filter(|l| matches!(l, Line::Table(_) | Line::LargeObject(_) | Line::Entry(_))).count();
    let mut text = Vec::new();
    for line in kept {
        let line = match line {
            Line::End { frames, plain_bytes, packed_bytes, .. } => {
                Line::End { frames, objects: objects as u64, plain_bytes, packed_bytes }
            }
            other => other,
        };
        text.extend(serde_json::to_vec(&line).unwrap());
        text.push(b'\n');
    }
    fs::write(&path, pack(&text)).unwrap();
    set.forge();
    verify(&set.dir(), &["--level", "checksum"]).code(0);
}

#[test]
fn a_forged_set_whose_digests_agree_is_found_by_its_structure() {
    let table = |name: &'static str| move |l: &Line| matches!(l, Line::Table(t) if t.table.name == name);
    let catalogue =
        |name: &'static str| move |l: &Line| matches!(l, Line::CatalogueTable { table } if table.name == name);

    let set = Set::new();
    rewrite_contents(&set, "db", |l| Some(l).filter(|l| !table("b")(l)));
    refuses(&set, &set.file("db", ".sql.zst"), &[]);

    let set = Set::new();
    rewrite_contents(&set, "db", |l| Some(l).filter(|l| !catalogue("a")(l)));
    assert!(refuses(&set, &set.file("db", ".sql.zst"), &[]).contains("not in the catalogue's list"));

    let set = Set::new();
    rewrite_contents(&set, "db", |l| match l {
        Line::CatalogueTable { mut table } if table.name == "empty" => {
            table.name = "lost".into();
            Some(Line::CatalogueTable { table })
        }
        other => Some(other),
    });
    refuses(&set, &set.file("db", ".sql.zst"), &[]);

    let set = Set::new();
    rewrite_contents(&set, "db", |l| match l {
        Line::Table(mut t) if t.table.name == "a" => {
            t.content.digest ^= 1;
            Some(Line::Table(t))
        }
        other => Some(other),
    });
    assert!(refuses(&set, &set.file("db", ".sql.zst"), &[]).contains("rows of public.a are not those"));

    for (begins, ends) in [("tree", ".tar.zst"), ("packed", ".tar.gz")] {
        let set = Set::new();
        rewrite_contents(&set, begins, |l| match l {
            Line::Entry(mut e) if e.path.0.ends_with(b"/f7") => {
                e.mode ^= 0o100;
                Some(Line::Entry(e))
            }
            other => Some(other),
        });
        assert!(refuses(&set, &set.file(begins, ends), &[]).contains("f7 is not as it was captured"));
    }

    let set = Set::new();
    rewrite_contents(&set, "tree", |l| Some(l).filter(|l| !matches!(l, Line::Entry(e) if e.path.0.ends_with(b"/f7"))));
    refuses(&set, &set.file("tree", ".tar.zst"), &[]);
}

/// Packs a plain stream as one frame, with a contents list that agrees, and forges the rest.
fn repack(set: &Set, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let path = set.file("db", ".sql.zst");
    let plain = change(zstd::decode_all(&fs::read(&path).unwrap()[..]).unwrap());
    let packed = pack(&plain);
    fs::write(&path, &packed).unwrap();
    let manifest = set.dir().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let old = serde_json::from_str::<serde_json::Value>(&text).unwrap()["artifacts"][0]["plain_bytes"].to_string();
    fs::write(
        &manifest,
        text.replace(&format!("\"plain_bytes\": {old}"), &format!("\"plain_bytes\": {}", plain.len())),
    )
    .unwrap();
    let (bytes, plain_bytes) = (packed.len() as u64, plain.len() as u64);
    let mut first = true;
    rewrite_contents(set, "db", |l| match l {
        Line::Frame(f) if std::mem::take(&mut first) => {
            Some(Line::Frame(maint::model::contents::Frame { offset: 0, bytes, plain_offset: 0, plain_bytes, ..f }))
        }
        Line::Frame(_) => None,
        Line::End { objects, .. } => Some(Line::End { frames: 1, objects, plain_bytes, packed_bytes: bytes }),
        other => Some(other),
    });
}

#[test]
fn a_dump_that_changed_before_it_was_packed_is_found() {
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|w| w == what).unwrap();
    for (name, change) in [
        (
            "a lost row",
            Box::new(|mut t: Vec<u8>| {
                let at = find(&t, b"\n77\t");
                t.drain(at..at + 10);
                t
            }) as Box<dyn FnOnce(Vec<u8>) -> Vec<u8>>,
        ),
        (
            "a changed row",
            Box::new(|mut t: Vec<u8>| {
                let at = find(&t, b"row 77 ");
                t[at + 4] = b'8';
                t
            }),
        ),
        (
            "no last line",
            Box::new(|mut t: Vec<u8>| {
                let at = find(&t, b"-- PostgreSQL database dump complete");
                t.truncate(at);
                t
            }),
        ),
        (
            "an extra table",
            Box::new(|mut t: Vec<u8>| {
                let at = find(&t, b"COPY public.a");
                t.splice(at..at, *b"COPY public.zz (x) FROM stdin;\n1\n\\.\n\n");
                t
            }),
        ),
        (
            "a psql command",
            Box::new(|mut t: Vec<u8>| {
                let at = find(&t, b"COPY public.a");
                t.splice(at..at, *b"\\! touch /tmp/x\n");
                t
            }),
        ),
    ] {
        let set = Set::new();
        repack(&set, change);
        let said = refuses(&set, &set.file("db", ".sql.zst"), &[]);
        assert!(!said.contains("all as captured"), "{name}: {said}");
    }
}

#[test]
fn a_set_of_a_newer_maint_could_not_be_checked() {
    let set = Set::new();
    edit(&set.dir().join("manifest.json"), |b| {
        let text = String::from_utf8(b.clone()).unwrap().replace("\"version\": 1,", "\"version\": 99,");
        *b = text.into_bytes();
    });
    assert!(verify(&set.dir(), &[]).code(4).stderr.contains("format version is 99"));
}

#[test]
fn a_hostile_manifest_reads_nothing_outside_the_set() {
    let set = Set::new();
    edit(&set.dir().join("manifest.json"), |b| {
        let name = set.file("globals", ".sql.zst").file_name().unwrap().to_str().unwrap().to_owned();
        *b = String::from_utf8(b.clone()).unwrap().replace(&name, "../../etc/passwd").into_bytes();
    });
    assert!(verify(&set.dir(), &[]).code(3).stderr.contains("outside the set"));
}

#[test]
fn a_frame_that_unpacks_to_more_than_it_says_costs_no_memory() {
    let set = Set::new();
    let path = set.file("db", ".sql.zst");
    fs::write(&path, pack(&vec![0; 1 << 30])).unwrap();
    set.forge();
    let child =
        Command::new(env!("CARGO_BIN_EXE_maint")).arg("verify").arg(set.dir()).stdout(Stdio::null()).spawn().unwrap();
    let (mut peak, pid) = (0, child.id());
    let mut child = child;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
        peak = peak.max(line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0));
    }
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(peak < 128 << 10, "{peak} kB");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn bytes_of_any_kind_are_never_a_panic(
        manifest in proptest::collection::vec(any::<u8>(), 0..200),
        contents in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("manifest.json"), &manifest).unwrap();
        prop_assert!(maint::backup::verify::read_manifest(dir.path()).is_err());
        for packed in [contents.clone(), pack(&contents)] {
            let path = dir.path().join("x.contents.jsonl.zst");
            fs::write(&path, packed).unwrap();
            prop_assert!(maint::stream::decode::frames(&path).is_err());
        }
    }
}
