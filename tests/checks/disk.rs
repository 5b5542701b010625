//! `disk`: one that is full, one whose inodes are, and one that is not mounted.

use std::fs;

use super::stage::looked;
use crate::disk::Disk;

#[test]
fn a_full_disk_and_one_without_inodes_are_critical() {
    let disk = Disk::with("size=4m,nr_inodes=2000");
    let path = disk.path().display().to_string();
    let step = format!("disk = {{ paths = [\"{path}\"] }}");
    let (space, inodes) = (format!("{path}, space"), format!("{path}, inodes"));
    looked("", &step).code(0).is(&space, "good", "free").is(&inodes, "good", "free");
    fs::write(disk.path().join("big"), vec![0; 3_500_000]).unwrap();
    let found = looked("", &step);
    found.code(0).is(&space, "warning", "% (good below 80 %, critical above 90 %)");
    assert!(found.field(&space, "hint").contains(&format!("du -xh --max-depth=2 {path}")), "{found:?}");
    fs::write(disk.path().join("rest"), vec![0; 500_000]).unwrap();
    looked("", &step).code(1).is(&space, "critical", "free").is(&inodes, "good", "free");
    fs::remove_file(disk.path().join("rest")).unwrap();
    fs::remove_file(disk.path().join("big")).unwrap();
    for number in 0.. {
        if fs::write(disk.path().join(number.to_string()), "").is_err() {
            break;
        }
    }
    let found = looked("", &step);
    found.code(1).is(&space, "good", "free").is(&inodes, "critical", "0 free");
}

#[test]
fn every_file_system_of_this_host_is_looked_at() {
    let found = looked("", "disk = {}");
    let mounts = maint::adapters::files::mounts().unwrap();
    let looked_at = |path: &std::path::Path| found.subjects().contains(&format!("{}, space", path.display()).as_str());
    let system = |path: &std::path::Path| maint::adapters::files::file_system(path).ok();
    for mount in &mounts {
        let same = mounts.iter().map(std::path::PathBuf::as_path).chain([std::path::Path::new("/")]);
        let seen = same.filter(|other| system(other) == system(mount)).any(looked_at);
        assert!(seen, "{}: {found:?}", mount.display());
    }
    assert!(looked_at(std::path::Path::new("/")), "{found:?}");
}
