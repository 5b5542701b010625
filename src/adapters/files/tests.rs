//! What files promise, tried.

use super::*;

#[test]
fn an_unfinished_file_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    drop(AtomicFile::create(dir.path(), "x").unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_finished_file_is_private() {
    let dir = tempfile::tempdir().unwrap();
    write_atomic(&dir.path().join("x"), b"1").unwrap();
    let meta = fs::metadata(dir.path().join("x")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o600);
}

#[test]
fn nothing_is_overwritten_by_a_publish() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    fs::create_dir(&a).unwrap();
    fs::create_dir(&b).unwrap();
    assert!(!rename_new(&a, &b).unwrap());
    assert!(rename_new(&a, &dir.path().join("c")).unwrap());
}

#[test]
fn what_a_killed_writer_left_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("head.json");
    fs::write(dir.path().join(".head.json.tmp"), b"half").unwrap();
    assert!(write_atomic(&path, b"1").is_err());
    write_alone(&path, b"2").unwrap();
    assert_eq!((fs::read(&path).unwrap(), fs::read_dir(dir.path()).unwrap().count()), (b"2".to_vec(), 1));
}
