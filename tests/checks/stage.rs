//! A project whose job is a checklist, and what a run of it found.

use std::time::Duration;

use crate::project::Project;

/// What a run found.
#[derive(Debug)]
pub struct Found {
    pub code: i32,
    pub took: Duration,
    findings: Vec<serde_json::Value>,
    everything: String,
}

impl Found {
    /// Band and words of a finding.
    #[track_caller]
    pub fn of(&self, subject: &str) -> (&str, &str) {
        let found = self.findings.iter().find(|f| f["subject"] == subject);
        let found = found.unwrap_or_else(|| panic!("nothing of {subject}:\n{}", self.everything));
        (found["band"].as_str().unwrap(), found["seen"].as_str().unwrap())
    }

    /// Asserts the band of a finding and a part of its words.
    #[track_caller]
    pub fn is(&self, subject: &str, band: &str, part: &str) -> &Self {
        let (found, seen) = self.of(subject);
        assert!(found == band && seen.contains(part), "{subject} is {found}: {seen}\n{}", self.everything);
        self
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}", self.everything);
        self
    }

    /// A field of a finding.
    #[track_caller]
    pub fn field(&self, subject: &str, key: &str) -> String {
        let found = self.findings.iter().find(|f| f["subject"] == subject);
        found.map(|f| f[key].to_string()).unwrap_or_default()
    }

    /// The number of a finding.
    pub fn number(&self, subject: &str) -> Option<f64> {
        self.findings.iter().find(|f| f["subject"] == subject)?["value"]["value"].as_f64()
    }

    /// The words of every finding of that subject.
    pub fn all(&self, subject: &str) -> Vec<&str> {
        let of_it = self.findings.iter().filter(|f| f["subject"] == subject);
        of_it.map(|f| f["seen"].as_str().unwrap()).collect()
    }

    /// Every finding of that subject, whole.
    pub fn every(&self, subject: &str) -> Vec<&serde_json::Value> {
        self.findings.iter().filter(|f| f["subject"] == subject).collect()
    }

    pub fn subjects(&self) -> Vec<&str> {
        self.findings.iter().map(|f| f["subject"].as_str().unwrap()).collect()
    }

    pub fn all_good(&self) -> bool {
        self.findings.iter().all(|f| f["band"] == "good" || f["band"] == "excellent")
    }
}

/// A checklist with these steps, each `kind = { … }`; its id is the kind.
pub fn job(project: &Project, steps: &[&str]) {
    let mut text = "description = \"test\"\nmode = \"checklist\"\n".to_owned();
    for step in steps {
        let id = step.split(['_', ' ']).next().unwrap();
        text += &format!("[[step]]\nid = \"{id}\"\nretries = 0\ndo.{step}\n");
    }
    project.write("jobs/look.toml", &text);
}

/// Runs it.
pub fn look(project: &Project) -> Found {
    let begun = std::time::Instant::now();
    let ended = project.maint(&["run", "look", "--json"]);
    let took = begun.elapsed();
    let events = ended.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let findings = events.filter(|event| event["event"] == "finding").collect();
    Found { code: ended.code, took, findings, everything: format!("{}\n{}", ended.stdout, ended.stderr) }
}

/// Makes a project with these sections and this one step, and runs it.
pub fn looked(sections: &str, step: &str) -> Found {
    let project = Project::new(sections);
    job(&project, &[step]);
    look(&project)
}
