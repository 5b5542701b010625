//! certbot's trial of its renewals, judged by what it says and not by its exit status alone.
//!
//! `certbot renew --dry-run` gets test certificates and throws them away. It proves that issuing works; it runs no deploy
//! hooks, so that it does not prove that a server would serve the new certificate (certbot's user guide, "Renewing
//! certificates").

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::process::{self, Invocation, ProcessError};

/// How to call certbot.
#[derive(Debug, Clone, Default)]
pub struct Certbot {
    /// The program; `None`: found on PATH.
    pub program: Option<PathBuf>,
    /// Its configuration directory; `None`: its own default.
    pub config_dir: Option<PathBuf>,
    /// Its working directory; `None`: its own default.
    pub work_dir: Option<PathBuf>,
    /// Where it logs; `None`: its own default.
    pub logs_dir: Option<PathBuf>,
    /// Arguments beyond these.
    pub more: Vec<String>,
}

/// One certificate's trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The certificate's file as certbot names it.
    pub certificate: String,
    /// Whether it went well.
    pub ok: bool,
}

/// What a trial said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Certificate by certificate.
    pub renewals: Vec<Renewal>,
    /// Why it failed, in certbot's words, where it did.
    pub problem: Option<String>,
}

impl Certbot {
    /// Tries every renewal against the test server of the authority.
    ///
    /// # Errors
    /// When it cannot be started or was interrupted. That it failed is its answer, not an error.
    pub async fn dry_run(&self, cancel: &CancellationToken) -> Result<Trial, ProcessError> {
        let program = self.program.clone().unwrap_or_else(|| "certbot".into());
        let flags = ["renew", "--dry-run", "--non-interactive", "--no-random-sleep-on-renew"];
        let mut invocation = Invocation::new(program).args(flags);
        let dirs = [("--config-dir", &self.config_dir), ("--work-dir", &self.work_dir), ("--logs-dir", &self.logs_dir)];
        for (flag, dir) in dirs {
            if let Some(dir) = dir {
                invocation = invocation.arg(flag).arg(Path::new(dir));
            }
        }
        let ended = process::ended(&invocation.args(&self.more), cancel).await?;
        // What went well it says on one, and what failed on the other.
        let said = format!("{}\n{}", ended.stdout, ended.stderr);
        Ok(judge(&said, (!ended.end.is_success()).then_some(&ended.stderr)))
    }
}

/// Reads what certbot said; `failed` has its words where its exit status was not 0. Never panics, whatever it said.
pub fn judge(said: &str, failed: Option<&str>) -> Trial {
    let line = |line: &str| {
        let line = line.trim();
        let (certificate, ok) = match (line.strip_suffix(" (success)"), line.strip_suffix(" (failure)")) {
            (Some(certificate), _) => (certificate, true),
            (_, Some(certificate)) => (certificate, false),
            _ => return None,
        };
        Some(Renewal { certificate: certificate.to_owned(), ok })
    };
    let renewals: Vec<_> = said.lines().filter_map(line).collect();
    let problem = match failed {
        Some(words) => Some(words.trim().to_owned()),
        None if renewals.is_empty() => Some("it tried no renewal".to_owned()),
        None => None,
    };
    Trial { renewals, problem }
}
