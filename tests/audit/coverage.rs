//! A database, a volume or a bind mount that no job names is found until somebody decides.

use std::fs;

use super::{assert_found, audit, docker::Engine, postgres::Cluster, project::Project, report};

#[test]
fn what_no_job_names_is_found_until_it_is_backed_up_or_left_out_with_a_reason() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE DATABASE app; CREATE DATABASE test_1; CREATE DATABASE scratch");
    let engine = Engine::shared();
    let project = Project::new(&format!(
        "[postgres.p]\nsocket = \"{}\"\nport = {}\nuser = \"postgres\"\n[docker]\nhost = \"{}\"\n",
        cluster.socket_dir().display(),
        cluster.port,
        engine.host()
    ));
    project.write("conf/x", "x");
    project.write("data/x", "x");
    project.write("logs/x", "x");
    let volume = "audit-new-volume";
    engine.docker(&["volume", "create", volume]);
    let mount = |name: &str| format!("{}:/{name}", project.at(name).display());
    let (conf, data, logs) = (mount("conf"), mount("data"), mount("logs"));
    engine.run("audit-mounts", &["-v", &conf, "-v", &data, "-v", &logs, "-v", "/dev/null:/null"]);
    project.backup_job(
        "all",
        &[
            ("db", "postgres_dump = { server = \"p\", databases = [\"*\"], exclude = [\"test_*\", \"postgres\"] }"),
            ("conf", "files_archive = { paths = [\"conf\"] }"),
        ],
    );
    let findings = audit(&project, 1);
    assert_found(&findings, &["database p/test_1", "the job all leaves it out by a pattern"]);
    assert_found(&findings, &[&format!("volume {volume}"), "no backup job names it", "volume = \"audit-new-volume\""]);
    assert_found(&findings, &[&format!("bind mount {}", project.at("data").display()), "files_archive"]);
    for covered in ["p/app:", "p/scratch:", "/conf:", "/dev/null"] {
        assert!(!findings.iter().any(|f| f.contains(covered)), "{covered}: {findings:#?}");
    }
    // Decided: one by a job, the rest with a reason.
    project.backup_job(
        "all",
        &[
            ("db", "postgres_dump = { server = \"p\", databases = [\"*\"], exclude = [\"test_*\", \"postgres\"] }"),
            ("trees", "files_archive = { paths = [\"conf\", \"data\"] }"),
        ],
    );
    let toml = fs::read_to_string(project.at("maint.toml")).unwrap();
    let exclude = format!(
        "[coverage]\nexclude = [\n{{ database = \"p/{{test_*,postgres}}\", reason = \"made by the tests\" }},\n\
         {{ volume = \"audit-*\", reason = \"a cache\" }},\n{{ path = \"{}\", reason = \"rotated away\" }},\n\
         {{ volume = \"mispelt\", reason = \"x\" }},\n]\n",
        project.at("logs").display()
    );
    project.write("maint.toml", &(toml + &exclude));
    project.maint(&["run", "all"]).code(0);
    let findings = audit(&project, 1);
    let coverage: Vec<_> = findings.iter().filter(|f| f.contains(" coverage ")).collect();
    assert_eq!(coverage.len(), 1, "{findings:#?}");
    assert_found(&findings, &["note coverage exclusion of volume mispelt", "nothing of that name"]);
    let report = report(&project, 1);
    let line = report["coverage"].as_array().unwrap().iter().find(|l| l["thing"]["name"] == volume).unwrap();
    assert_eq!((&line["state"], &line["by"]), (&"excluded".into(), &"a cache".into()));
    engine.docker(&["rm", "--force", "audit-mounts"]);
    engine.docker(&["volume", "rm", volume]);
}

#[test]
fn an_exclusion_needs_a_reason_and_a_place() {
    let project = Project::new(
        "[coverage]\nexclude = [\n{ volume = \"a\", reason = \" \" },\n{ volume = \"a\", path = \"/x\", reason = \"x\" },\n\
         { path = \"x\", reason = \"x\" },\n{ database = \"app\", reason = \"x\" },\n{ volume = \"a{b\", reason = \"x\" },\n]\n",
    );
    let said = project.maint(&["check"]).code(2).stderr;
    for part in [
        "maint.toml:5:26: why is it left out?",
        "maint.toml:6:1: exactly one of",
        "maint.toml:7:1: `x`: expected an absolute path",
        "maint.toml:8:1: `app`: expected `server/database`",
        "maint.toml:9:1: `a{b` is not a pattern",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
