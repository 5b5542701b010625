//! Which reports there are, and what they say.

use serde_json::Value;

use super::history::{job, project};

#[test]
fn reports_are_listed_and_shown() {
    let project = project("http://127.0.0.1:1", "");
    assert!(project.maint(&["reports"]).code(0).stdout.contains("no report was made yet"));
    job(&project, "recommendations", "recommendations = { containers = false }");
    job(&project, "performance", "performance = { days = 1 }");
    project.maint(&["run", "recommendations"]).code(0);
    project.maint(&["run", "performance"]).code(4);
    project.maint(&["run", "recommendations"]).code(0);

    let table = project.maint(&["reports"]).code(0).stdout;
    let line = |of: &str| {
        table.lines().find(|l| l.trim_start().starts_with(of)).unwrap_or_else(|| panic!("{table}")).to_owned()
    };
    assert!(line("performance").contains("unknown") && line("recommendations").contains("good"), "{table}");
    let json = project.maint(&["reports", "--json"]).code(0).stdout;
    let all: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), 3, "{json}");
    assert!(
        all[0]["series"] == "recommendations" && all[0]["period"].as_str().unwrap().ends_with("-2"),
        "newest first: {json}"
    );
    assert_eq!(project.maint(&["reports", "--series", "performance", "--json"]).code(0).stdout.lines().count(), 1);

    let shown = project.maint(&["reports", "show", "performance"]).code(0).stdout;
    for part in ["Performance of the stack test", "verdict   unknown", "availability: ", "no answer", ".html"] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let path = project.maint(&["reports", "show", "recommendations", "--path"]).code(0).stdout;
    assert!(path.trim_end().ends_with("-2.html") && std::path::Path::new(path.trim_end()).is_file(), "{path}");
    let whole: Value =
        serde_json::from_str(&project.maint(&["reports", "show", "performance", "--json"]).code(0).stdout).unwrap();
    assert_eq!((&whole["report"], &whole["verdict"]), (&"performance".into(), &"unknown".into()));
    let none = project.maint(&["reports", "show", "performance", "199901"]).code(2);
    assert!(
        none.stderr.contains("no report performance 199901") && none.stderr.contains("maint reports"),
        "{}",
        none.stderr
    );

    // A report that was cut, and one whose page is gone.
    std::fs::write(all[1]["data"].as_str().unwrap(), "{").unwrap();
    std::fs::remove_file(all[2]["page"].as_str().unwrap()).unwrap();
    let broken = project.maint(&["reports"]).code(4).stdout;
    assert!(broken.contains("is no report") && broken.matches("unknown").count() == 2, "{broken}");
    assert!(project.maint(&["reports", "show", "performance"]).code(4).stderr.contains("is no report"));
    assert!(project.maint(&["generate", "completions", "bash"]).code(0).stdout.contains("maint,reports)"));
}
