//! The same in buckets of two real servers.

use std::fs;

use super::{
    KeyPair,
    bucket::{BUCKET, Server},
    project::Project,
};

fn project(server: &Server, prefix: &str) -> Project {
    let [_, (_, secret), ..] = server.environment();
    let [(_, access), ..] = server.environment();
    let project = Project::new(&format!(
        "[store.offsite]\ntype = \"s3\"\nbucket = \"{BUCKET}\"\nendpoint = \"{}\"\nprefix = \"{prefix}\"\n\
         access_key = \"{access}\"\nsecret_key_file = \"secret\"\nencrypt_to = [\"{}\"]\n",
        server.endpoint(),
        KeyPair::shared().recipient
    ));
    project.write("secret", &secret);
    project.write("tree/a", &"some text\n".repeat(1000));
    project.write(
        "jobs/all.toml",
        "description = \"t\"\n[backup]\nseries = \"all\"\nperiod = \"month\"\nstores = [\"offsite\"]\n\
         [[step]]\nid = \"tree\"\ndo.files_archive = { paths = [\"tree\"] }\n",
    );
    project
}

#[test]
fn a_job_sends_encrypted_copies_to_buckets_and_they_come_back() {
    for (name, server) in [("garage", Server::garage()), ("moto", Server::moto())] {
        let prefix = format!("copy-{name}-{}", std::process::id());
        let project = project(&server, &prefix);
        project.maint(&["run", "all"]).code(0);
        let keys = server.keys(&prefix);
        assert!(
            keys.iter().any(|k| k.ends_with("/manifest.json")) && keys.iter().any(|k| k.ends_with(".age")),
            "{keys:?}"
        );
        assert!(server.open_uploads(&prefix).is_empty());
        let key = KeyPair::shared().file();
        let copy = ["--store", "offsite", "--identity", key.to_str().unwrap()];
        project.maint(&[&["verify", "all"][..], &copy].concat()).code(0);
        fs::remove_dir_all(project.at("backups")).unwrap();
        let into = format!("dir:{}", project.at("back").display());
        project.maint(&[&["restore", "all", "--into", &into][..], &copy].concat()).code(0);
        assert_eq!(fs::read(project.at("back/tree/a")).unwrap(), fs::read(project.at("tree/a")).unwrap());
    }
}
