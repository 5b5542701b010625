//! `maint capacity`: when does something run full?

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure, Global, output};
use crate::{
    adapters::clock,
    config,
    model::{
        finding::{self, Band, Quantity},
        forecast::{
            Reach,
            backtest::{self, Alarms, Extent, Score},
        },
        outcome::Outcome,
        reports::capacity::{Expectation, Outlook, date},
    },
    reports::capacity,
};

/// Forecasts when disks, databases, memory and the like run full
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint capacity                    the next three months of everything that [capacity] of maint.toml has
  maint capacity --horizon 30       the next thirty days
  maint capacity --json             for machines
  maint capacity --backtest         what such forecasts would have been worth, on series from fixed seeds; asks nobody

Reads Prometheus, writes nothing. The job monthly-performance makes pages of the same.

Exit codes, by the worst resource: 0 none runs full, or not soon, 1 one is full or will be within two weeks,
4 something could not be forecast")]
pub struct Capacity {
    /// How many days to look ahead; default: that of [capacity] in maint.toml
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=366))]
    horizon: Option<u16>,
    /// Try the forecasts on series from fixed seeds instead: how often the truth lay in the interval, and how many alarms were
    /// false, beside PromQL's predict_linear over six hours
    #[arg(long, conflicts_with = "horizon")]
    backtest: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `--json`.
#[derive(Serialize)]
struct Json<'a> {
    horizon: i64,
    resources: &'a [Outlook],
    left_out: &'a [String],
}

/// `--backtest --json`.
#[derive(Serialize)]
struct Tried<'a> {
    meant: f64,
    seeds: u64,
    days: usize,
    series: &'a [Score],
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|e| Failure::other(e.to_string()))
}

impl Capacity {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        if self.backtest {
            return self.try_out();
        }
        let config = config::load(global.config.as_deref())?;
        let mut settings = config.stack.reports.capacity.clone();
        settings.horizon = self.horizon.map_or(settings.horizon, i64::from);
        let look = capacity::look(&config.stack, &settings, clock::now());
        let (resources, left_out) = super::runtime()?.block_on(look);
        if self.json {
            println!("{}", json(&Json { horizon: settings.horizon, resources: &resources, left_out: &left_out })?);
        } else {
            print(&resources, &left_out, settings.horizon);
        }
        let findings: Vec<_> = resources.iter().map(|outlook| outlook.finding.clone()).collect();
        Ok(match finding::outcome(&findings) {
            _ if findings.is_empty() => Exit::Unverifiable,
            Outcome::Failed(_) => Exit::Failed,
            Outcome::Unknown(_) => Exit::Unverifiable,
            _ => Exit::Ok,
        })
    }

    fn try_out(&self) -> Result<Exit, Failure> {
        let extent = Extent::default();
        let scores = backtest::run(&extent);
        if self.json {
            let tried = Tried { meant: backtest::meant(), seeds: extent.seeds.end, days: extent.days, series: &scores };
            println!("{}", json(&tried)?);
        } else {
            print_scores(&scores, &extent);
        }
        Ok(Exit::Ok)
    }
}

fn print(resources: &[Outlook], left_out: &[String], horizon: i64) {
    let ahead = format!("IN {horizon} DAYS");
    let mut table = output::table(&["RESOURCE", "NOW", "LIMIT", "GROWTH A DAY", &ahead, "FULL", ""]);
    for outlook in resources {
        table.add_row(row(outlook));
    }
    println!("{table}");
    for outlook in resources.iter().filter(|o| !o.finding.band.is_fine()) {
        let word = outlook.finding.band.word();
        let word = if outlook.finding.band == Band::Critical { output::bad(word) } else { output::warn(word) };
        println!("\n{word}  {}: {}", output::bold(&outlook.name), outlook.finding.seen);
        if let Some(hint) = &outlook.finding.hint {
            println!("    → {hint}");
        }
    }
    for line in left_out {
        println!("{}", output::faint(&format!("not looked at: {line}")));
    }
}

fn row(outlook: &Outlook) -> Vec<String> {
    let show = |value: f64| Quantity::new(value, outlook.unit).to_string();
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), show);
    let (growth, then, full) = match &outlook.expectation {
        Expectation::Refused { .. } => ("-".into(), "-".into(), "not forecast".into()),
        Expectation::Made { per_day, ahead, reach, .. } => {
            let then = ahead.last().map_or_else(String::new, |end| {
                format!("{} ({} to {})", show(end.value), show(end.low.max(0.0)), show(end.high))
            });
            let full = match reach {
                _ if outlook.limit.is_none() => "-".to_owned(),
                Reach::Now => "now".into(),
                Reach::Within { from, day, until: Some(until) } => {
                    format!("{} ({} to {})", date(*day), date(*from), date(*until))
                }
                Reach::Within { from, day, until: None } => format!("{} ({} or later)", date(*day), date(*from)),
                Reach::Possible { from } => format!("possible from {}", date(*from)),
                Reach::Beyond => "no".into(),
            };
            (per_day.map_or_else(|| "none that is sure".to_owned(), show), then, full)
        }
    };
    let band = outlook.finding.band.word().to_owned();
    vec![outlook.name.clone(), shown(outlook.now), shown(outlook.limit), growth, then, full, band]
}

fn print_scores(scores: &[Score], extent: &Extent) {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let rate = |alarms: &Alarms| percent(f64::from(alarms.false_alarms) / f64::from(alarms.looks.max(1)));
    let missed = |alarms: &Alarms| percent(f64::from(alarms.missed) / f64::from(alarms.looks.max(1)));
    let heading =
        ["SERIES", "IN INTERVAL, 1 WEEK", "4 WEEKS", "FALSE ALARMS", "PREDICT_LINEAR", "MISSED", "PREDICT_LINEAR"];
    let mut table = output::table(&heading);
    for score in scores {
        table.add_row(vec![
            score.series.to_owned(),
            percent(score.first_week.share()),
            percent(score.four_weeks.share()),
            rate(&score.maint),
            rate(&score.predict_linear),
            missed(&score.maint),
            missed(&score.predict_linear),
        ]);
    }
    println!("{table}\n");
    println!(
        "{} series of each kind, {} days each, seeds 0 to {}; every day a forecast, on every seventh the days after it held against \
         it.",
        extent.seeds.end,
        extent.days,
        extent.seeds.end.saturating_sub(1)
    );
    println!(
        "The interval is meant to hold {} of the days to come. Jumps that never happened before (stepped) cannot be foreseen, and \
         show in its four weeks.",
        percent(backtest::meant())
    );
    println!(
        "An alarm says that a limit is reached within four days, looked at four times a day; predict_linear is PromQL's, over six \
         hours."
    );
}
