//! `log_rotate`: packs old logs and removes packed ones when their time is over.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    adapters::holders::Letting,
    model::{span::SpanOrZero, stack::Stack},
    steps::{Problem, StepContext, StepError, StepKind, StepReport, parameters::Size},
    upkeep::{
        docker,
        logs::{self, Live, LogsRequest, Pattern, Writer},
    },
};

/// Packs logs that nobody wrote to for a while (gzip), and removes packed ones when their time is over. No line is lost: a log
/// is replaced only after its copy was written, synced and read back, and nobody has it open. Owner, mode and time stay.
/// Needs root, to see who has files open.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogRotate {
    /// Patterns of files, e.g. `logs/**/*.log`; relative ones are below `root`. Links are never followed.
    paths: Vec<String>,
    /// A log is packed when nobody wrote to it for this long. Default: `"7d"`.
    #[serde(default = "week")]
    compress_after: SpanOrZero,
    /// A packed log is removed when its last line is older than this. Default: `"30d"`; `"never"` keeps them.
    #[serde(default = "month")]
    delete_after: Delete,
    /// How logs that are being written are rotated: renamed, and packed when their writer has let go. Default: they are
    /// left alone.
    #[serde(default)]
    live: Option<LiveLogs>,
    /// Whether it is said which containers' logs grow without an end: those belong to Docker's daemon, which alone may rotate
    /// them. Default: false.
    #[serde(default)]
    container_logs: bool,
}

/// How logs that are being written are rotated.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveLogs {
    /// Who is told to open its logs anew; left out: the writer does so by itself.
    #[serde(default)]
    signal: Option<SignalTo>,
    /// How long the writer may take to let go; after that its log stays unpacked until a later run. Default: `"30s"`.
    #[serde(default = "half_a_minute")]
    wait: SpanOrZero,
    /// A log is rotated when it is at least this large. Default: as soon as there is anything in it.
    #[serde(default = "anything")]
    larger_than: Size,
}

/// Who is told, and by which signal.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalTo {
    /// A container, by name.
    #[serde(default)]
    container: Option<String>,
    /// A file with the writer's process id.
    #[serde(default)]
    pid_file: Option<PathBuf>,
    /// `"USR1"` (nginx), `"USR2"` or `"HUP"`. Default: `"USR1"`.
    #[serde(default = "usr1")]
    name: Letting,
}

/// `30d`, or `never`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Delete(Option<SpanOrZero>);

impl TryFrom<String> for Delete {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "never" { Ok(Self(None)) } else { SpanOrZero::try_from(text).map(|span| Self(Some(span))) }
    }
}

fn week() -> SpanOrZero {
    SpanOrZero::days(7)
}

fn month() -> Delete {
    Delete(Some(SpanOrZero::days(30)))
}

fn half_a_minute() -> SpanOrZero {
    SpanOrZero::seconds(30)
}

fn anything() -> Size {
    Size(1)
}

fn usr1() -> Letting {
    Letting::Usr1
}

impl LogRotate {
    fn patterns(&self, stack: &Stack) -> Result<Vec<Pattern>, crate::upkeep::UpkeepError> {
        self.paths.iter().map(|text| Pattern::new(&stack.root, text)).collect()
    }

    fn live(&self, stack: &Stack) -> Option<Live> {
        let live = self.live.as_ref()?;
        let writer = |to: &SignalTo| match (&to.container, &to.pid_file) {
            (Some(name), _) => Some((Writer::Container(name.clone()), to.name)),
            (None, Some(path)) => Some((Writer::PidFile(stack.root.join(path)), to.name)),
            (None, None) => None,
        };
        let signal = live.signal.as_ref().and_then(writer);
        Some(Live { signal, wait: live.wait.0, at_least: live.larger_than.0 })
    }
}

impl StepKind for LogRotate {
    const SUMMARY: &'static str = "Packs old logs and removes packed ones when their time is over";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.paths.is_empty() {
            let message = "it names no logs; expected e.g. [\"logs/**/*.log\"]".to_owned();
            problems.push(Problem { key: "paths", message });
        }
        problems.extend(self.patterns(stack).err().map(|e| Problem { key: "paths", message: e.to_string() }));
        if let Some(signal) = self.live.as_ref().and_then(|live| live.signal.as_ref())
            && signal.container.is_some() == signal.pid_file.is_some()
        {
            let message = "expected either `container` or `pid_file` in `signal`".to_owned();
            problems.push(Problem { key: "live", message });
        }
        problems
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let mut lines = Vec::new();
        let paths = self.paths.join(", ");
        if let Some(live) = &self.live {
            let told = match self.live(stack).and_then(|live| live.signal) {
                Some((Writer::Container(name), signal)) => format!("send {} to the container {name}", signal.name()),
                Some((Writer::PidFile(path), signal)) => {
                    format!("send {} to the process that {} names", signal.name(), path.display())
                }
                None => "tell nobody".to_owned(),
            };
            lines.push(format!("rename those of {paths} that are being written, {told}, wait up to {}", live.wait));
        }
        lines.push(format!("pack those of {paths} that nobody wrote to for {}", self.compress_after));
        if let Delete(Some(after)) = self.delete_after {
            lines.push(format!("remove packed ones older than {after}"));
        }
        if self.container_logs {
            lines.push("look for containers whose logs grow without an end".into());
        }
        lines
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let request = LogsRequest {
            patterns: self.patterns(&context.stack)?,
            compress_after: self.compress_after.0,
            delete_after: self.delete_after.0.map(|span| span.0),
            live: self.live(&context.stack),
            state_dir: &context.stack.state_dir,
            docker_host: &context.stack.docker.host,
            holder: format!("the step {} of run {}, pid {}", context.step, context.run, std::process::id()),
        };
        let mut done = logs::rotate(request, &context.cancel, &context.events).await?;
        if self.container_logs {
            done.findings.extend(docker::container_logs(&context.stack.docker.host).await);
        }
        Ok(super::report(done))
    }
}
