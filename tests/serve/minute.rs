//! Many jobs in one minute.

use crate::{
    project::Project,
    slots::{Daemon, lateness, quick},
};

/// How many, here; `scripts/soak` has five hundred.
const JOBS: usize = 100;

#[test]
fn a_hundred_jobs_of_one_minute_start_in_time() {
    let project = Project::new("[daemon]\nmax_running = 500\n");
    for i in 0..JOBS {
        quick(&project, &format!("job{i}"), "* * * * *", "");
    }
    let daemon = Daemon::start(&project);
    let late = lateness(&project, &daemon, JOBS);
    assert!(late[JOBS - 1] < 2.0, "{late:?}");
}
