//! A Debian that boots in a container, with systemd as its first process and units that `maint systemd install` put there.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use super::docker::Engine;

const CONFIG: &str = "stack = \"test\"\ntimezone = \"Europe/Berlin\"\nbackup_dir = \"/srv/backups\"\n\
     [systemd]\ntasks_max = 64\n[postgres.p]\nsocket = \"/run/postgresql\"\nuser = \"postgres\"\n\
     [sign]\nkey_credential = \"sign_key\"\n";
const MINUTE: &str = "description = \"every minute\"\nschedule = \"* * * * *\"\n[backup]\nseries = \"minute\"\n\
     period = \"instant\"\n[[step]]\nid = \"tree\"\ndo.files_archive = { paths = [\"/srv/tree\"] }\n";
const DRILLED: &str = "description = \"all that a unit must let through\"\n[backup]\nseries = \"drilled\"\nperiod = \"day\"\n\
     verify = \"drill\"\n[[step]]\nid = \"db\"\ndo.postgres_dump = { server = \"p\" }\n[[step]]\nid = \"globals\"\n\
     do.postgres_globals = { server = \"p\" }\n[[step]]\nid = \"tree\"\ndo.files_archive = { paths = [\"/srv/tree\"] }\n";
const FAILING: &str = "description = \"fails\"\n[backup]\nseries = \"failing\"\nperiod = \"day\"\n[[step]]\nid = \"tree\"\n\
     retries = 0\ndo.files_archive = { paths = [\"/srv/not-there\"] }\n";
/// Files of all owners and with all bits, and a database with something in it.
const STAGE: &str = "set -e; mkdir -p /srv/tree/sub; echo x > /srv/tree/f; chmod 4755 /srv/tree/f; chown 1000:1000 /srv/tree/sub; \
     chmod 2770 /srv/tree/sub; pg_createcluster 15 main --start -- -A trust; \
     psql -qU postgres -c 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS id'";

/// The booted system.
struct Host {
    engine: Engine,
}

impl Host {
    fn boot() -> Self {
        let cache = std::env::var_os("MAINT_TEST_CACHE").map(PathBuf::from);
        let cache =
            cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/maint-tests"));
        let root = cache.join("systemd/root.tar");
        assert!(root.exists(), "{} is not there: scripts/install-deps test", root.display());
        let engine = Engine::start();
        engine.docker(&["import", root.to_str().unwrap(), "booted"]);
        let binary = format!("{}:/usr/local/bin/maint:ro", env!("CARGO_BIN_EXE_maint"));
        let mut args = vec!["run", "--detach", "--name", "host", "--network", "none", "--env", "container=docker"];
        // What systemd needs of a container, and a drill's cage of the host.
        args.extend(["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE"]);
        args.extend(["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]);
        args.extend(["--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs", "/run", "--tmpfs", "/run/lock"]);
        args.extend(["--tmpfs", "/tmp", "--volume", &binary]);
        // On a host mounts are shared, and that is how systemd hands credentials to a unit.
        args.extend(["booted", "sh", "-c", "mount --make-rshared / && exec /sbin/init"]);
        engine.docker(&args);
        let host = Self { engine };
        host.wait(Duration::from_secs(30), "it is up", |host| {
            host.try_sh("systemctl is-system-running").1.contains("running")
        });
        host
    }

    fn try_sh(&self, script: &str) -> (bool, String) {
        self.engine.try_docker(&["exec", "host", "sh", "-c", &format!("{{ {script}\n}} 2>&1")])
    }

    #[track_caller]
    fn sh(&self, script: &str) -> String {
        let output = Command::new("docker")
            .args(["--host", &self.engine.host(), "exec", "host", "sh", "-c", &format!("{{ {script}\n}} 2>&1")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}: {said}\n{}", self.journal());
        said
    }

    fn journal(&self) -> String {
        self.try_sh("journalctl --no-pager -n 80").1
    }

    #[track_caller]
    fn wait(&self, within: Duration, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < within, "waited for: {what}\n{}", self.journal());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Has an instance of the template run something else.
    fn instead(&self, job: &str, command: &str) {
        self.sh(&format!(
            "mkdir -p /etc/systemd/system/maint@{job}.service.d; \
             printf '[Service]\\nExecStart=\\nExecStart=%s\\n' '{command}' > /etc/systemd/system/maint@{job}.service.d/test.conf; \
             systemctl daemon-reload"
        ));
    }

    fn show(&self, unit: &str, property: &str) -> String {
        self.sh(&format!("systemctl show --value --property {property} '{unit}'")).trim().to_owned()
    }

    fn copy(&self, from: &Path, to: &str) {
        self.engine.docker(&["cp", from.to_str().unwrap(), &format!("host:{to}")]);
    }
}

#[test]
fn timers_run_jobs_on_a_booted_system() {
    let host = Host::boot();
    configure(&host);
    host.sh("maint systemd install --now");
    assert!(host.sh("maint systemd check").contains("all as jobs/ say"));
    assert_eq!(host.sh("maint systemd install").matches("unchanged").count(), 10);
    assert_eq!(
        host.sh("stat -c '%a %U %G' /etc/maint /var/lib/maint /srv/backups"),
        "755 root root\n700 root root\n700 root root\n"
    );
    assert!(host.sh("systemctl is-enabled maint-minute.timer maint-recover.service").lines().all(|l| l == "enabled"));

    // While its minute comes.
    a_drill_passes_in_the_hardened_unit(&host);
    a_failure_is_told(&host);
    a_bomb_stays_in_its_unit(&host);
    the_timer_fires(&host);
    the_daemon_does_not_run_beside_timers(&host);

    host.sh("rm /etc/systemd/system/maint@*.service.d/test.conf");
    host.sh("maint systemd uninstall");
    let left =
        host.sh("find /etc/systemd /etc/tmpfiles.d /etc/sysusers.d -name '*maint*' ! -name 'maint@bomb.service.d'");
    assert_eq!(left, "", "it left files behind");
    assert_eq!(host.sh("systemctl list-units --all --no-legend --plain 'maint*'"), "", "it left units behind");
    assert!(host.sh("maint runs").contains("minute"), "what the jobs did stays");
}

/// The configuration, its secret, and something to back up.
fn configure(host: &Host) {
    let dir = tempfile::tempdir().unwrap();
    let etc = dir.path().join("maint");
    std::fs::create_dir_all(etc.join("jobs")).unwrap();
    std::fs::create_dir_all(etc.join("credentials")).unwrap();
    for (name, text) in [
        ("maint.toml", CONFIG),
        ("jobs/minute.toml", MINUTE),
        ("jobs/drilled.toml", DRILLED),
        ("jobs/failing.toml", FAILING),
    ] {
        std::fs::write(etc.join(name), text).unwrap();
    }
    let key = etc.join("credentials/sign_key");
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "maint", "-f"]).arg(key).status();
    assert!(made.unwrap().success());
    host.copy(&etc, "/etc/maint");
    host.sh("chown -R root:root /etc/maint; chmod -R go-w /etc/maint; chmod 755 /etc/maint; chmod 700 /etc/maint/credentials");
    host.sh(STAGE);
}

/// A dump, its drill in a cage, files of all owners and bits, a key that comes as a credential.
fn a_drill_passes_in_the_hardened_unit(host: &Host) {
    host.instead("drilled", "/usr/local/bin/maint run %i");
    host.sh("systemctl start maint@drilled.service");
    let told = host.sh("journalctl --no-pager -o cat -u maint@drilled.service");
    assert!(told.contains("verified to \"drill\""), "{told}");
    assert!(told.contains("nothing to put right"), "ExecStopPost did not run: {told}");
    host.sh("test -s /srv/backups/drilled/*/manifest.json.sig");
}

fn a_failure_is_told(host: &Host) {
    host.instead("failing", "/usr/local/bin/maint run %i");
    assert!(!host.try_sh("systemctl start maint@failing.service").0, "it fails");
    let unit = "maint-notify@maint@failing.service.service";
    host.wait(Duration::from_secs(10), "the notifier was started", |host| {
        !host.show(unit, "ExecMainStartTimestamp").is_empty()
    });
    let command = host.show(unit, "ExecStart");
    assert!(command.contains("maint notify unit-failed maint@failing.service ;"), "{command}");
}

fn a_bomb_stays_in_its_unit(host: &Host) {
    // Were it not held, it would end at 512.
    host.instead("bomb", "/usr/bin/perl -e \"fork() for 1..9; sleep 300\"");
    host.sh("systemctl start --no-block maint@bomb.service");
    host.wait(Duration::from_secs(10), "it has what it may have", |host| {
        host.show("maint@bomb.service", "TasksCurrent") == "64"
    });
    // Others go on meanwhile.
    host.sh("maint check && systemctl is-active maint-minute.timer");
    assert!(!host.try_sh("systemctl stop maint@bomb.service && systemctl is-active maint@bomb.service").0);
    assert_eq!(
        host.sh("cat /proc/[0-9]*/comm 2>/dev/null | grep -c perl || true").trim(),
        "0",
        "processes outlived their unit"
    );
    let unit = "maint-notify@maint@bomb.service.service";
    assert!(!host.show(unit, "ExecMainStartTimestamp").is_empty(), "nobody was told");
}

/// It comes at the full minute, the run stands in the ledger with its slot, and a second firing finds nothing to do.
fn the_timer_fires(host: &Host) {
    host.wait(Duration::from_secs(80), "the minute's run is in the ledger", |host| {
        host.sh("maint runs --json").contains("\"job\":\"minute\"")
    });
    let runs = host.sh("maint runs --json");
    let run = runs.lines().find(|line| line.contains("\"job\":\"minute\"")).unwrap();
    assert!(run.contains("\"trigger\":\"timer\""), "{run}");
    let run: serde_json::Value = serde_json::from_str(run).unwrap();
    let slot: chrono::DateTime<chrono::Utc> = run["slot"].as_str().unwrap().parse().unwrap();
    let late = run["started"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap() - slot;
    assert_eq!(slot.timestamp() % 60, 0);
    assert!(late < chrono::Duration::seconds(10), "{late}");
    host.wait(Duration::from_secs(10), "its set is there", |host| {
        host.try_sh("ls /srv/backups/minute/*/manifest.json").0
    });
    // A second firing finds the slot done.
    host.sh("systemctl start maint@minute.service");
    let again = host.sh("maint runs --json");
    let of_slot = again.lines().filter(|line| line.contains(&format!("\"slot\":{}", run["slot"]))).count();
    assert_eq!(of_slot, 1, "{again}");
}

/// Beside them it ends with 2 and is not started again; without them it says when it is ready, and ends when it is told to.
fn the_daemon_does_not_run_beside_timers(host: &Host) {
    assert!(!host.try_sh("systemctl start maint.service").0);
    assert_eq!(host.show("maint.service", "ExecMainStatus"), "2");
    assert_eq!(host.show("maint.service", "ActiveState"), "failed");
    host.sh("systemctl disable --now maint-minute.timer && systemctl reset-failed maint.service");
    host.sh("systemctl start maint.service");
    assert_eq!(host.show("maint.service", "ActiveState"), "active");
    assert!(
        host.show("maint.service", "StatusText").contains("next: minute"),
        "{}",
        host.show("maint.service", "StatusText")
    );
    host.sh("systemctl reload maint.service && systemctl stop maint.service");
    assert_eq!(host.show("maint.service", "Result"), "success");
}
