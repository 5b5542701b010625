//! `maint reports`: which reports there are, and what they say.

use clap::{Args, Subcommand};

use super::{Exit, Failure, Global, output};
use crate::{
    adapters::files,
    config::{self, Config},
    model::finding::{Band, Finding},
    reports::shelf::{self, Kept},
};

/// Lists the reports that jobs made, newest first, or shows one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint reports                              all of them, with their verdicts and pages
  maint reports --series capacity            one series
  maint reports show capacity                what the newest one found, and where its page is
  maint reports show performance 202610      that of a period; 202610-2 is the second one of it
  xdg-open \"$(maint reports show capacity --path)\"
  maint reports --json                       for machines; show … --json: the report itself

A report that cannot be read is listed with what is wrong (exit code 4). maint deletes no report: the oldest ones may be
removed by hand.")]
pub struct Reports {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only reports of this series
    #[arg(long)]
    series: Option<String>,
    /// How many
    #[arg(long, default_value_t = 40)]
    limit: usize,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows one report: its verdict, what it found, and where its page is
    Show {
        /// Its series
        series: String,
        /// Its period; default: the newest one
        period: Option<String>,
        /// Print only the page's path
        #[arg(long, conflicts_with = "json")]
        path: bool,
    },
}

impl Reports {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        let dir = &config.stack.reports.dir;
        if let Some(Command::Show { series, period, path }) = &self.command {
            let kept = shelf::find(dir, series, period.as_deref())?;
            if *path {
                println!("{}", kept.page.display());
                return Ok(Exit::Ok);
            }
            return show(&config, &kept, self.json);
        }
        let mut all = shelf::list(dir)?;
        all.retain(|kept| self.series.as_ref().is_none_or(|series| kept.series == *series));
        let unreadable = all.iter().any(|kept| kept.problem.is_some());
        all.truncate(self.limit);
        if self.json {
            for kept in &all {
                println!("{}", serde_json::to_string(kept).map_err(|e| Failure::other(e.to_string()))?);
            }
        } else if all.is_empty() {
            println!(
                "no report was made yet: maint run monthly-performance or monthly-security makes them; which jobs there are: maint jobs"
            );
        } else {
            println!("{}", table(&config, &all));
        }
        Ok(if unreadable { Exit::Unverifiable } else { Exit::Ok })
    }
}

fn table(config: &Config, all: &[Kept]) -> comfy_table::Table {
    let mut table = output::table(&["SERIES", "PERIOD", "MADE", "VERDICT", "PAGE"]);
    for kept in all {
        let page = kept.problem.clone().unwrap_or_else(|| kept.page.display().to_string());
        table.add_row(vec![
            kept.series.clone(),
            kept.period.clone(),
            made(config, kept),
            kept.verdict.to_string(),
            page,
        ]);
    }
    table
}

fn made(config: &Config, kept: &Kept) -> String {
    let local = kept.made.map(|made| made.with_timezone(&config.stack.timezone));
    local.map_or_else(String::new, |made| made.format("%Y-%m-%d %H:%M %Z").to_string())
}

fn show(config: &Config, kept: &Kept, as_json: bool) -> Result<Exit, Failure> {
    if as_json {
        println!("{}", String::from_utf8_lossy(&files::read_limited(&kept.data, u64::MAX - 1)?));
        return Ok(Exit::Ok);
    }
    let told = shelf::tell(kept)?;
    let day =
        |at: chrono::DateTime<chrono::Utc>| at.with_timezone(&config.stack.timezone).format("%Y-%m-%d").to_string();
    println!("report    {} of the stack {}", told.title, told.stack);
    println!("period    {} ({} to {})", kept.period, day(told.from), day(told.to));
    println!("made      {}", made(config, kept));
    println!("verdict   {}", word(kept.verdict));
    println!("page      {}", kept.page.display());
    println!("data      {}", kept.data.display());
    let (fine, telling): (Vec<Finding>, Vec<Finding>) = told.findings.into_iter().partition(|f| f.band.is_fine());
    for finding in &telling {
        println!("\n{}  {}: {}", word(finding.band), output::bold(&finding.subject), finding.seen);
        if let Some(hint) = &finding.hint {
            println!("    → {}", hint.replace('\n', "\n      "));
        }
    }
    if !fine.is_empty() {
        let subjects: Vec<_> = fine.iter().map(|finding| finding.subject.as_str()).collect();
        println!("\n{}  {}", output::good("good"), subjects.join(", "));
    }
    Ok(Exit::Ok)
}

fn word(band: Band) -> String {
    match band {
        Band::Excellent | Band::Good => output::good(band.word()),
        Band::Warning | Band::Unknown => output::warn(band.word()),
        Band::Critical => output::bad(band.word()),
    }
}
