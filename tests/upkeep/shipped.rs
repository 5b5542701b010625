//! The shipped weekly jobs, as somebody runs them who has changed nothing but where the server is.

use super::{
    docker::Engine,
    logs::aged,
    postgres::Cluster,
    project::{Project, names},
};

/// A project with this section and this shipped job.
fn project(section: &str, job: &str) -> Project {
    let project = Project::new(section);
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("jobs/{job}.toml"));
    project.write(&format!("jobs/{job}.toml"), &std::fs::read_to_string(shipped).unwrap());
    project
}

#[test]
fn the_weekly_database_job_vacuums_and_analyses_once_and_tells_the_sizes() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE TABLE events AS SELECT g AS id FROM generate_series(1, 20000) g");
    let section = format!(
        "[postgres.production]\nsocket = \"{}\"\nuser = \"postgres\"\ndbname = \"postgres\"\n",
        cluster.socket_dir().display()
    );
    let said = project(&section, "weekly-database").maint(&["run", "weekly-database"]).code(0).said();
    let counted = "SELECT vacuum_count, analyze_count FROM pg_stat_user_tables WHERE relname = 'events'";
    assert_eq!(cluster.psql("postgres", counted), "1|1", "{said}");
    for part in
        ["vacuumed and analysed", "no index of postgres rebuilt", "had been in this run already", "public.events size"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn the_weekly_log_job_packs_removes_and_prunes() {
    let engine = Engine::shared();
    let project = project(&format!("[docker]\nhost = \"{}\"\n", engine.host()), "weekly-logs");
    aged(&project.at("logs/app/old.log"), b"line\n", 9);
    aged(&project.at("logs/young.log"), b"line\n", 6);
    aged(&project.at("logs/gone.log.gz"), b"packed", 31);
    aged(&project.at("logs/kept.log.gz"), b"packed", 29);
    let said = project.maint(&["run", "weekly-logs"]).code(0).said();
    assert_eq!(names(&project.at("logs/app")), ["old.log.gz"], "{said}");
    assert_eq!(names(&project.at("logs")), ["app", "kept.log.gz", "young.log"], "{said}");
    assert!(said.contains("1 log packed") && said.contains("1 log older than 30 days removed"), "{said}");
    assert!(said.contains("nothing removed, 0 B"), "{said}");
}
