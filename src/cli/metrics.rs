//! `maint metrics`: what monitoring is told.

use clap::Args;

use super::{Exit, Failure, Global};
use crate::{config, engine::metrics};

/// Prints the metrics in Prometheus' text format, or writes node_exporter's file
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint metrics             print them
  maint metrics --write     write [metrics] textfile_dir/maint.prom now; runs do it by themselves

The daemon serves them as well: [web] listen = \"127.0.0.1:9464\", path /metrics. Alert rules and a dashboard are in
docs/monitoring/.")]
pub struct Metrics {
    /// Write node_exporter's file instead of printing
    #[arg(long)]
    write: bool,
}

impl Metrics {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        if !self.write {
            print!("{}", metrics::text(&config)?);
            return Ok(Exit::Ok);
        }
        let Some(dir) = &config.stack.metrics.textfile_dir else {
            let hint = "add [metrics] textfile_dir = \"/var/lib/prometheus/node-exporter\" to maint.toml".to_owned();
            return Err(Failure::usage("no textfile_dir is configured".to_owned(), hint));
        };
        super::runtime()?.block_on(metrics::write_textfile(&config))?;
        println!("{}", dir.join("maint.prom").display());
        Ok(Exit::Ok)
    }
}
