//! What checks found, as a tired person reads it: one step after the other in the job's order, whoever ends first; what is
//! good in a line, what is not with its value, its band and what to do.

use std::collections::{BTreeMap, VecDeque};

use super::output;
use crate::model::{
    finding::{Band, Finding, Unit},
    ids::StepId,
};

/// As wide as the narrowest terminal.
const WIDTH: usize = 80;
/// As many good values are shown of a step.
const GOOD: usize = 8;
/// As much of what a step changed is shown line by line.
const CHANGES: usize = 12;

/// What was found so far, and what waits for its turn.
#[derive(Debug, Default)]
pub(super) struct Board {
    order: VecDeque<StepId>,
    found: BTreeMap<StepId, Vec<Finding>>,
    waiting: BTreeMap<StepId, String>,
    running: Vec<StepId>,
    tally: BTreeMap<Band, u64>,
}

impl Board {
    /// A run of these steps begins.
    pub(super) fn begin(&mut self, steps: &[StepId]) {
        *self = Self { order: steps.iter().cloned().collect(), ..Self::default() };
    }

    /// A step began; gives all that run.
    pub(super) fn started(&mut self, step: &StepId) -> String {
        if !self.running.contains(step) {
            self.running.push(step.clone());
        }
        self.run()
    }

    /// A step ended; gives those that still run.
    pub(super) fn stopped(&mut self, step: &StepId) -> String {
        self.running.retain(|other| other != step);
        self.run()
    }

    fn run(&self) -> String {
        self.running.iter().map(StepId::as_str).collect::<Vec<_>>().join(", ")
    }

    /// A step found something.
    pub(super) fn add(&mut self, step: &StepId, finding: &Finding) {
        *self.tally.entry(finding.band).or_default() += 1;
        self.found.entry(step.clone()).or_default().push(finding.clone());
    }

    /// Whether a step found anything.
    pub(super) fn has(&self, step: &StepId) -> bool {
        self.found.contains_key(step)
    }

    /// A step ended with this line; gives what can be shown now. What it changed is told in words, what it only looked at and
    /// found well in a line.
    pub(super) fn end(&mut self, step: &StepId, line: String, changed: bool) -> Option<String> {
        let findings = self.found.remove(step).unwrap_or_default();
        let fine = if changed { changes(&findings, &line) } else { good(&findings) };
        let block = std::iter::once(line).chain(bad(&findings)).chain(fine).collect::<Vec<_>>().join("\n");
        if !self.order.contains(step) {
            return Some(block);
        }
        self.waiting.insert(step.clone(), block);
        let mut ready = Vec::new();
        while let Some(block) = self.order.front().and_then(|next| self.waiting.remove(next)) {
            self.order.pop_front();
            ready.push(block);
        }
        (!ready.is_empty()).then(|| ready.join("\n"))
    }

    /// What waits for a step that did not end.
    pub(super) fn rest(&mut self) -> Vec<String> {
        std::mem::take(&mut self.order).iter().filter_map(|step| self.waiting.remove(step)).collect()
    }

    /// `1 critical, 2 warnings, 31 good`; nothing where nothing was found.
    pub(super) fn tally(&self) -> Option<String> {
        let of = |band: Band| self.tally.get(&band).copied().unwrap_or(0);
        let good = of(Band::Good) + of(Band::Excellent);
        let warnings = if of(Band::Warning) == 1 { "warning" } else { "warnings" };
        let all = [
            (of(Band::Critical), "critical", output::bad as fn(&str) -> String),
            (of(Band::Unknown), "unknown", output::warn),
            (of(Band::Warning), warnings, output::warn),
            (good, "good", output::good),
        ];
        let told = all.into_iter().filter(|(n, ..)| *n > 0).map(|(n, word, paint)| paint(&format!("{n} {word}")));
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}

fn mark(band: Band) -> String {
    match band {
        Band::Excellent | Band::Good => output::good("✓"),
        Band::Warning => output::warn("!"),
        Band::Unknown => output::warn("?"),
        Band::Critical => output::bad("✗"),
    }
}

/// What is not well, the worst first.
fn bad(findings: &[Finding]) -> Vec<String> {
    let mut bad: Vec<&Finding> = findings.iter().filter(|finding| !finding.band.is_fine()).collect();
    bad.sort_by_key(|finding| std::cmp::Reverse(finding.band));
    let mut lines = Vec::new();
    for (i, finding) in bad.iter().enumerate() {
        let text = format!("{}: {}", finding.subject, finding.seen);
        for (i, line) in wrapped(&text, WIDTH - 8).into_iter().enumerate() {
            lines.push(if i == 0 { format!("      {} {line}", mark(finding.band)) } else { format!("        {line}") });
        }
        // What helps against several that follow each other is said after the last.
        if bad.get(i + 1).is_some_and(|next| next.hint == finding.hint) {
            continue;
        }
        for (i, line) in advice(finding.hint.as_deref().unwrap_or_default()).into_iter().enumerate() {
            let lead = if i == 0 { "→" } else { " " };
            lines.push(format!("        {} {}", output::bold(lead), output::bold(&line)));
        }
    }
    lines
}

/// What to do, in lines: one for each thing to do, and a command is never broken, so that it works when it is pasted.
fn advice(hint: &str) -> Vec<String> {
    let width = WIDTH - 10;
    let mut lines = Vec::new();
    for part in hint.split("; ") {
        match part.split_once(": ") {
            Some((what, command)) if part.chars().count() > width => {
                lines.extend(wrapped(&format!("{what}:"), width));
                lines.push(command.to_owned());
            }
            _ => lines.extend(wrapped(part, width)),
        }
    }
    lines
}

/// What was done, and went well, as far as the step's own line has not told it.
fn changes(findings: &[Finding], told: &str) -> Vec<String> {
    let new = |finding: &&Finding| finding.band.is_fine() && !told.contains(&finding.seen);
    let fine: Vec<&Finding> = findings.iter().filter(new).collect();
    let mut lines = Vec::new();
    for finding in fine.iter().take(CHANGES) {
        for (i, line) in wrapped(&format!("{}: {}", finding.subject, finding.seen), WIDTH - 8).into_iter().enumerate() {
            lines.push(if i == 0 { format!("      {} {line}", mark(finding.band)) } else { format!("        {line}") });
        }
    }
    if fine.len() > CHANGES {
        lines.push(format!("        {}", output::faint(&format!("{} more", fine.len() - CHANGES))));
    }
    lines
}

/// Values that are as they should be; what is only counted says nothing here.
fn good(findings: &[Finding]) -> Vec<String> {
    let fine = findings.iter().filter(|finding| finding.band.is_fine());
    let valued: Vec<String> = fine
        .filter_map(|finding| Some((finding, finding.value.filter(|value| value.unit != Unit::Count)?)))
        .map(|(finding, value)| format!("{} {value}", finding.subject))
        .collect();
    let mut shown = valued.iter().take(GOOD).cloned().collect::<Vec<_>>();
    if valued.len() > GOOD {
        shown.push(format!("{} more", valued.len() - GOOD));
    }
    // A value stays beside what it is of.
    let parts = shown.iter().map(String::as_str);
    filled(parts, " · ", WIDTH - 8).into_iter().map(|line| format!("        {}", output::faint(&line))).collect()
}

/// A step's line: on a terminal no wider than one, with what goes on below where it began.
pub(super) fn headed(head: &str, indent: usize, text: &str) -> String {
    if !output::is_terminal() {
        return format!("{head}{text}").trim_end().to_owned();
    }
    let between = format!("\n{}", " ".repeat(indent));
    format!("{head}{}", wrapped(text, WIDTH - indent).join(&between)).trim_end().to_owned()
}

/// Lines of at most `width` characters, broken between words; a word that is longer stands alone.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    filled(text.split_whitespace(), " ", width)
}

/// The same of parts that are not to be broken.
fn filled<'a>(parts: impl Iterator<Item = &'a str>, between: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if [&**line, between, part].iter().map(|text| text.chars().count()).sum::<usize>() <= width => {
                line.push_str(between);
                line.push_str(part);
            }
            _ => lines.push(part.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> StepId {
        text.parse().unwrap()
    }

    #[test]
    fn steps_are_shown_in_the_jobs_order_whoever_ends_first() {
        let mut board = Board::default();
        board.begin(&[id("a"), id("b"), id("c")]);
        assert_eq!(board.end(&id("b"), "B".into(), false), None);
        assert_eq!(
            board.end(&id("verify"), "V".into(), false),
            Some("V".into()),
            "what is in no order is shown at once"
        );
        assert_eq!(board.end(&id("a"), "A".into(), false), Some("A\nB".into()));
        assert_eq!(board.rest(), [""; 0]);
    }

    #[test]
    fn a_command_is_never_broken() {
        let command = format!("psql -c 'SELECT {}'", "x".repeat(90));
        let told = advice(&format!("look at it: docker logs web; end it, if it may go: {command}"));
        assert_eq!(told, ["look at it: docker logs web", "end it, if it may go:", &command]);
        assert_eq!(advice(&"word ".repeat(20)).len(), 2);
        assert_eq!(advice(""), [""; 0]);
    }

    #[test]
    fn what_was_changed_is_told_in_words() {
        let mut board = Board::default();
        for n in 0..CHANGES + 3 {
            board.add(&id("a"), &Finding::good(format!("hub{n}"), "updated without downtime"));
        }
        let shown = board.end(&id("a"), "A".into(), true).unwrap();
        assert!(shown.contains("✓ hub0: updated without downtime") && shown.ends_with("3 more"), "{shown}");
    }

    #[test]
    fn what_helps_against_all_is_said_once() {
        let findings: Vec<Finding> =
            ["a", "b", "c"].map(|name| Finding::warning(name, "endless").hint("set max-size")).into();
        assert_eq!(bad(&findings).iter().filter(|line| line.contains("set max-size")).count(), 1);
        assert!(bad(&findings).last().unwrap().contains("set max-size"));
        let told = changes(&[Finding::good("all", "3 done"), Finding::good("b", "slow")], "  vacuum  3 done, 1 s");
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn the_worst_comes_first_and_the_good_in_a_line() {
        let mut board = Board::default();
        board.begin(&[id("a")]);
        let long = "word ".repeat(30);
        for finding in [
            Finding::good("cpu", "12 %").value(12.0, Unit::Percent),
            Finding::good("web", "running").value(0.0, Unit::Count),
            Finding::warning("disk", "81 % (good below 80 %, critical above 90 %)").hint("see what takes it: du"),
            Finding::critical("hub", long.trim()),
        ] {
            board.add(&id("a"), &finding);
        }
        let shown = board.end(&id("a"), "A".into(), false).unwrap();
        assert!(shown.lines().all(|line| line.chars().count() <= WIDTH), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with("      ✗ hub: word"), "{shown}");
        let place = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
        assert!(place("! disk: 81 %") < place("→ see what takes it: du"), "{shown}");
        assert_eq!(lines.last().unwrap().trim(), "cpu 12 %");
        assert_eq!(board.tally().unwrap(), "1 critical, 1 warning, 2 good");
    }
}
