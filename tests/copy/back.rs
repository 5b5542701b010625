//! Copies brought back: verified, restored, and refused where they are not what they should be.

use std::{fs, path::PathBuf, process::Command};

use super::{KeyPair, Kind, Stage, flip, names, postgres::Cluster, project::Project};

#[test]
fn a_copy_is_fetched_opened_and_verified() {
    let stage = Stage::new(Kind::Plain);
    stage.job(&["offsite"]);
    stage.run().code(0);
    let said = stage.verify(&[]).code(0).stdout;
    assert!(said.contains("offsite:all/") && said.contains("all as captured"), "{said}");

    let stage = Stage::new(Kind::Encrypted);
    stage.job(&["offsite"]);
    stage.run().code(0);
    let said = stage.verify_open().code(0).stdout;
    assert!(said.contains("all as captured"), "{said}");
    assert!(stage.project.staging().is_empty(), "the fetched copy is gone");
    let newest = stage.project.maint(&["verify", "all", "--store", "offsite"]);
    let said = newest.code(4).stdout;
    assert!(said.contains("as it was sent") && said.contains("--identity"), "{said}");
    let other = KeyPair::new();
    let said = stage.verify(&["--identity", other.file().to_str().unwrap()]).code(4).stderr;
    assert!(said.contains("none of the identities opens"), "{said}");
    let json = stage.verify(&["--json", "--identity", KeyPair::shared().file().to_str().unwrap()]).code(0).stdout;
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["findings"].as_array().unwrap().len(), 0);
}

#[test]
fn one_flipped_byte_in_any_object_is_named() {
    for kind in [Kind::Plain, Kind::Encrypted] {
        let stage = Stage::new(kind);
        stage.job(&["offsite"]);
        stage.run().code(0);
        for name in names(&stage.copy_dir()) {
            flip(&stage.copy_dir().join(&name));
            let open = if kind == Kind::Plain { stage.verify(&[]) } else { stage.verify_open() };
            let said = format!("{}{}", open.stdout, open.stderr);
            // The copy's own checksum list and words are for people: without them the set is as whole as before.
            let words = kind == Kind::Encrypted && (name == "SHA256SUMS" || name == "DECRYPT.md");
            if !words {
                assert_eq!(open.code, 3, "{name}: {said}");
            }
            if kind == Kind::Encrypted && name != "SHA256SUMS" {
                stage.verify(&[]).code(3);
            }
            let plain = name.trim_end_matches(".age");
            assert!(
                words || ["manifest.json", "copy.json", "SHA256SUMS"].contains(&plain) || said.contains(plain),
                "{name}: {said}"
            );
            flip(&stage.copy_dir().join(&name));
        }
    }
}

#[test]
fn a_missing_an_extra_and_a_cut_object_are_named() {
    let stage = Stage::new(Kind::Encrypted);
    stage.job(&["offsite"]);
    stage.run().code(0);
    type Damage = fn(&PathBuf);
    let cases: [(&str, Damage); 3] = [
        ("is missing in the store", |path| fs::remove_file(path).unwrap()),
        ("does not belong to the copy", |path| fs::write(path.with_file_name("extra"), "x").unwrap()),
        ("in the store instead of", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        }),
    ];
    for (what, damage) in cases {
        let path = stage.copy_file("tree", ".tar.zst.age");
        let bytes = fs::read(&path).unwrap();
        damage(&path);
        for ended in [stage.verify_open(), stage.verify(&[])] {
            let said = ended.code(3).stdout;
            assert!(said.contains(what), "{what}: {said}");
        }
        fs::write(&path, bytes).unwrap();
        let _ = fs::remove_file(path.with_file_name("extra"));
    }
    stage.verify_open().code(0);
    fs::remove_file(stage.copy_dir().join("manifest.json")).unwrap();
    assert!(stage.verify_open().code(3).stderr.contains("has no copy of"));
}

#[test]
fn a_store_that_does_not_answer_is_no_verdict() {
    let stage = Stage::new(Kind::Plain);
    stage.job(&["offsite"]);
    stage.run().code(0);
    fs::rename(stage.project.at("store"), stage.project.at("elsewhere")).unwrap();
    for set in ["all", &stage.set()] {
        let said = stage.project.maint(&["verify", set, "--store", "offsite"]).code(4).stderr;
        assert!(said.contains("cannot be reached"), "{said}");
    }
}

#[test]
fn one_item_of_a_copy_is_restored_and_nothing_else_fetched() {
    let stage = Stage::new(Kind::Encrypted);
    stage.job(&["offsite"]);
    stage.run().code(0);
    fs::remove_file(stage.copy_file("tree", ".tar.zst.age")).unwrap();
    let key = KeyPair::shared().file();
    let restore = |item: &str, into: &str, more: &[&str]| {
        let into = format!("dir:{}", stage.project.at(into).display());
        let all = ["restore", "all", "--store", "offsite", "--item", item, "--into", &into];
        stage.project.maint(&[&all, more].concat())
    };
    let said = restore("etc", "closed", &[]).code(4).stderr;
    assert!(said.contains("--identity FILE"), "{said}");
    let with_key = ["--identity", key.to_str().unwrap()];
    let ended = restore("etc", "back", &with_key).code(0);
    assert!(ended.stderr.contains("warning: the copy is not whole"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(stage.project.at("back/etc/app.conf")).unwrap(), "answer = 42\n");
    let said = restore("tree", "never", &with_key).code(3).stderr;
    assert!(said.contains("is missing in the store"), "{said}");
    assert!(!stage.project.at("never").exists());

    flip(&stage.copy_file("etc", ".tar.zst.age"));
    restore("etc", "flipped", &with_key).code(3);
    assert!(!stage.project.at("flipped").exists());
    assert!(restore("etc", "planned", &[&with_key[..], &["--plan"]].concat()).code(0).stdout.contains("would restore"));
    assert!(stage.project.staging().is_empty());
}

#[test]
fn a_copy_that_does_not_fit_is_not_begun() {
    let stage = Stage::new(Kind::Plain);
    stage.job(&["offsite"]);
    stage.run().code(0);
    let set = stage.set();
    let small = stage.project.at("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&small).status().unwrap();
    assert!(mounted.success(), "mounting a small disk needs root");
    stage.project.write(
        "maint.toml",
        "stack = \"test\"\nstate_dir = \"state\"\nbackup_dir = \"small\"\n[store.offsite]\ntype = \"local\"\ndir = \"store\"\n",
    );
    let ended = stage.project.maint(&["verify", &set, "--store", "offsite"]);
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    let said = ended.code(1).stderr;
    assert!(said.contains("fetching needs") && said.contains("are free"), "{said}");
}

#[test]
fn a_database_comes_back_from_an_encrypted_copy() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE TABLE a (x int); INSERT INTO a SELECT generate_series(1, 1000);");
    let project = Project::new(&format!(
        "[postgres.p]\nsocket = \"{}\"\nport = {}\nuser = \"postgres\"\n\
         [store.offsite]\ntype = \"local\"\ndir = \"store\"\nencrypt_to = [\"{}\"]\n",
        cluster.socket_dir().display(),
        cluster.port,
        KeyPair::shared().recipient
    ));
    fs::create_dir(project.at("store")).unwrap();
    project.write(
        "jobs/db.toml",
        "description = \"t\"\n[backup]\nseries = \"db\"\nperiod = \"month\"\nstores = [\"offsite\"]\n\
         [[step]]\nid = \"db\"\ndo.postgres_dump = { server = \"p\" }\n\
         [[step]]\nid = \"globals\"\ndo.postgres_globals = { server = \"p\" }\n",
    );
    project.maint(&["run", "db"]).code(0);
    fs::remove_dir_all(project.at("backups")).unwrap();
    let key = KeyPair::shared().file();
    let copy = ["--store", "offsite", "--identity", key.to_str().unwrap()];
    let said = project.maint(&[&["restore", "db", "--into", "db:back"][..], &copy].concat()).code(0).stdout;
    assert!(said.contains("1 000 rows"), "{said}");
    assert_eq!(cluster.psql("back", "SELECT sum(x) FROM a").trim(), "500500");
}
