//! Dump tools inside the server's own container: a real PostgreSQL in a container of a private engine.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{fs, os::unix::fs::PermissionsExt, process::Command, time::Duration};

#[path = "support/docker.rs"]
mod docker;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
use docker::Engine;
use postgres::{Cluster, Options};
use project::{Project, names, wait_for};

const PASSWORD: &str = "s3cret of the container";

/// Runs the cluster's data directory in a container that has this host's programs; gives the port.
fn contain(engine: &Engine, cluster: &mut Cluster, name: &str) -> u16 {
    cluster.psql("postgres", &format!("ALTER ROLE postgres PASSWORD '{PASSWORD}'; CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 50000);"));
    cluster.crash();
    let hba = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(cluster.data_dir().join("pg_hba.conf"), hba).unwrap();
    let (port, bin) = (postgres::free_port(), postgres::bin_dir());
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(cluster.data_dir()).unwrap());
    let user = format!("{owner}:{owner}");
    let data = format!("{}:/data", cluster.data_dir().display());
    let path = format!("PATH={}:/bin", bin.display());
    let program = bin.join("postgres").display().to_string();
    let sockets = format!("{}:/var/run/postgresql", cluster.socket_dir().display());
    let mut args = vec!["run", "--detach", "--name", name, "--network", "host", "--user", &user, "--env", &path];
    for mount in ["/usr:/usr:ro", "/lib:/lib:ro", "/lib64:/lib64:ro", "/etc/passwd:/etc/passwd:ro", &data, &sockets] {
        args.extend(["--volume", mount]);
    }
    let port_text = port.to_string();
    args.extend([docker::IMAGE, &program, "-D", "/data", "-k", "/var/run/postgresql", "-p", &port_text]);
    args.extend(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "dynamic_shared_memory_type=mmap"]);
    engine.docker(&args);
    // It takes connections before its recovery from the crash lets it answer one.
    let ready = || {
        let mut ask = Command::new(bin.join("pg_isready"));
        ask.args(["--quiet", "--host", "127.0.0.1", "--port", &port_text]).status().unwrap().success()
    };
    wait_for("the server in its container", ready);
    port
}

fn project(engine: &Engine, name: &str, port: u16) -> Project {
    let project = Project::new(&format!(
        "[docker]\nhost = \"{}\"\n[postgres.p]\ncontainer = \"{name}\"\nport = {port}\nuser = \"postgres\"\n\
         password_file = \"password\"\n",
        engine.host()
    ));
    let file = project.write("password", &format!("{PASSWORD}\n"));
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    project.backup_job(
        "all",
        &[("db", "postgres_dump = { server = \"p\" }"), ("globals", "postgres_globals = { server = \"p\" }")],
    );
    project
}

#[test]
fn a_dump_by_the_containers_own_tools_is_the_same_as_any() {
    let engine = Engine::shared();
    let mut cluster = Cluster::start_with(&Options::default());
    let port = contain(&engine, &mut cluster, "pg-tools");
    let project = project(&engine, "pg-tools", port);
    let ended = project.maint(&["run", "all"]).code(0);
    assert!(ended.stdout.contains("50 000 rows") && !ended.stdout.contains("warning"), "{}", ended.stdout);
    let set = project.at("backups").join(&project.sets()[0]);
    let file = |begins: &str| {
        set.join(names(&set).into_iter().find(|n| n.starts_with(begins) && n.ends_with(".sql.zst")).unwrap())
    };
    let dump = zstd::decode_all(&fs::read(file("db")).unwrap()[..]).unwrap();
    assert!(!dump.windows(PASSWORD.len()).any(|w| w == PASSWORD.as_bytes()));
    let text = String::from_utf8(dump).unwrap();
    assert!(text.contains("COPY public.t (x) FROM stdin;") && text.contains("PostgreSQL database dump complete"));
    // What the tools in the container made restores into a server of this host.
    let target = Cluster::start();
    target.psql("template1", "CREATE DATABASE copy");
    target.restore("copy", text.as_bytes(), &[]);
    assert_eq!(target.psql("copy", "SELECT count(*), sum(x) FROM t"), "50000|1250025000");
    for log in names(&project.at("state/logs")) {
        for name in names(&project.at("state/logs").join(&log)) {
            assert!(!fs::read_to_string(project.at("state/logs").join(&log).join(name)).unwrap().contains(PASSWORD));
        }
    }
    engine.docker(&["rm", "--force", "pg-tools"]);
}

#[test]
fn a_wrong_password_and_a_container_that_is_not_there_are_named() {
    let engine = Engine::shared();
    let mut cluster = Cluster::start_with(&Options::default());
    let port = contain(&engine, &mut cluster, "pg-wrong");
    let right = project(&engine, "pg-wrong", port);
    right.write("password", "not it\n");
    let ended = right.maint(&["run", "all"]).code(1);
    assert!(ended.stdout.contains("password"), "{}", ended.stdout);
    engine.docker(&["stop", "--time", "1", "pg-wrong"]);
    engine.wait_for("pg-wrong", "exited", Duration::from_secs(10));
    assert!(right.maint(&["run", "all"]).code(1).stdout.contains("is not running"));
    let gone = project(&engine, "no-such-container", port);
    assert!(gone.maint(&["run", "all"]).code(1).stdout.contains("no container `no-such-container`"));
    engine.docker(&["rm", "--force", "pg-wrong"]);
}
