//! `maint generate`: completions, manual pages, the reference, the manifest's schema.

mod reference;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Subcommand};
use clap_complete::Shell;

use super::{Cli, Exit, Failure, Global};
use crate::model::manifest::Manifest;

/// Prints completions, manual pages, the reference or the manifest's schema
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint generate completions bash > /etc/bash_completion.d/maint
  maint generate man --dir /usr/local/share/man/man1
  maint generate reference > docs/reference.md
  maint generate schema > docs/manifest.schema.json")]
pub struct Generate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Manual pages: the main one on stdout, or all of them into a directory
    Man {
        /// Where to write one page per command
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Every key of maint.toml and of the jobs, and every step kind, as Markdown
    Reference,
    /// The JSON Schema of manifest.json
    Schema,
}

impl Generate {
    pub fn run(self, _global: &Global) -> Result<Exit, Failure> {
        let mut out = Vec::new();
        match self.what {
            What::Completions { shell } => clap_complete::generate(shell, &mut Cli::command(), "maint", &mut out),
            What::Man { dir: None } => page(Cli::command(), &mut out)?,
            What::Man { dir: Some(dir) } => {
                let written = clap_mangen::generate_to(Cli::command(), &dir);
                written.map_err(|e| Failure::other(format!("writing pages to {}: {e}", dir.display())))?;
            }
            What::Reference => out.extend(reference::render().into_bytes()),
            What::Schema => {
                let schema = serde_json::to_string_pretty(&schemars::schema_for!(Manifest));
                out.extend(schema.map_err(|e| Failure::other(e.to_string()))?.into_bytes());
                out.push(b'\n');
            }
        }
        // A reader that went away has read enough.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), &out);
        Ok(Exit::Ok)
    }
}

fn page(command: clap::Command, out: &mut Vec<u8>) -> Result<(), Failure> {
    clap_mangen::Man::new(command).render(out).map_err(|e| Failure::other(format!("rendering a page: {e}")))
}
