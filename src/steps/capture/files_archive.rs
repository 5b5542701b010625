//! `files_archive`: directories and files of this host into one tar.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::packing::{Compression, StreamSource};
use crate::{
    capture::archive::{self, ArchiveError, CapturedTree, Patterns, TreeRequest, TreeRoot},
    model::{
        contents::ContentsKind,
        coverage::Captures,
        manifest::{Artifact, Source},
        stack::Stack,
        units::{ByteSize, count},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
    stream::artifact::ArtifactWriter,
};

/// What a tar of a tree cannot hold, for the manifest.
const NOT_KEPT: &[&str] = &[
    "sockets: listed, not stored",
    "access, change and birth times",
    "inode flags of chattr(1)",
    "the exact state of a tree that changes while it is read: files are captured one after the other",
];

/// Directories and files of this host into one tar that GNU tar restores with owners, modes, nanosecond times, links,
/// holes, extended attributes and ACLs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesArchive {
    /// Directories and files, relative to the stack's `root`, or absolute. They keep these names in the archive
    /// (absolute ones without the leading slash).
    paths: Vec<String>,
    /// Glob patterns of what is left out. One without a slash is compared with the last part of a name at any depth
    /// (`*.log`), one with a slash with the whole name in the archive (`deploy/*/cache`).
    #[serde(default)]
    exclude: Vec<String>,
    /// Glob patterns of files that may be torn: one that changes each time it is read is stored with a warning instead
    /// of failing the step.
    #[serde(default)]
    may_change: Vec<String>,
    /// `"zstd"` (default), `"gzip"`, or `{ codec = "zstd", level = 6 }`.
    #[serde(default)]
    compression: Compression,
    /// Whether directories on other file systems are stored empty. Default: they are captured too.
    #[serde(default)]
    one_file_system: bool,
}

/// A configured path, resolved.
fn root(stack: &Stack, path: &str) -> Result<TreeRoot, String> {
    let parts = Path::new(path).components();
    let mut name = PathBuf::new();
    for part in parts {
        match part {
            Component::Normal(part) => name.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(format!("`{path}` has `..` in it: name the directory itself"));
            }
        }
    }
    let absolute = Path::new(path).is_absolute();
    let real = if absolute { Path::new("/").join(&name) } else { stack.root.join(&name) };
    match name.to_str() {
        Some("") if absolute => Err("`/` is the whole host: name the directories that are to be kept".into()),
        Some("") if path.is_empty() => Err("a path is empty".into()),
        Some("") => Ok(TreeRoot { path: stack.root.clone(), name: ".".into() }),
        Some(name) => Ok(TreeRoot { path: real, name: name.to_owned() }),
        None => Err(format!("`{path}` is not text")),
    }
}

fn problem(key: &'static str, message: impl Into<String>) -> Problem {
    Problem { key, message: message.into() }
}

impl FilesArchive {
    fn path_problems(&self, stack: &Stack) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.paths.is_empty() {
            problems.push(problem("paths", "there is nothing to capture: name at least one directory or file"));
        }
        let mut known: Vec<(PathBuf, &str)> = Vec::new();
        for path in &self.paths {
            let root = match root(stack, path) {
                Ok(root) => root,
                Err(message) => {
                    problems.push(problem("paths", message));
                    continue;
                }
            };
            for (other, text) in &known {
                if *other == root.path {
                    problems.push(problem("paths", format!("`{path}` is the same as `{text}`")));
                } else if other.starts_with(&root.path) || root.path.starts_with(other) {
                    problems.push(problem("paths", format!("one of `{path}` and `{text}` is inside the other")));
                }
            }
            if self.captures_backups(stack, &root) {
                let message = format!("`{path}` holds the backups themselves ({})", stack.backup_dir.display());
                problems.push(problem("paths", format!("{message}: leave them out with `exclude`")));
            }
            known.push((root.path, path));
        }
        problems
    }

    /// Whether the set that is being made would be captured into itself.
    fn captures_backups(&self, stack: &Stack, root: &TreeRoot) -> bool {
        if root.path.starts_with(&stack.backup_dir) {
            return true;
        }
        let Ok(below) = stack.backup_dir.strip_prefix(&root.path) else { return false };
        let Ok(exclude) = Patterns::new(&self.exclude) else { return false };
        let base = if root.name == "." { PathBuf::new() } else { PathBuf::from(&root.name) };
        let name = base.join(below);
        !name.ancestors().any(|part| part != Path::new("") && exclude.matches(part.as_os_str().as_encoded_bytes()))
    }

    fn request(&self, stack: &Stack) -> Result<TreeRequest, ArchiveError> {
        let invalid = |problem: String| ArchiveError::Request { problem };
        let patterns = |patterns: &[String]| Patterns::new(patterns).map_err(|e| invalid(e.to_string()));
        Ok(TreeRequest {
            roots: self.paths.iter().map(|path| root(stack, path)).collect::<Result<_, _>>().map_err(invalid)?,
            exclude: patterns(&self.exclude)?,
            may_change: patterns(&self.may_change)?,
            one_file_system: self.one_file_system,
        })
    }

    fn artifact(&self, context: &StepContext, roots: &[TreeRoot], captured: CapturedTree) -> Artifact {
        Artifact {
            step: context.step.clone(),
            kind: ContentsKind::Tree,
            codec: captured.packed.packing.codec,
            codec_level: captured.packed.packing.level,
            plain_bytes: captured.packed.plain_bytes,
            packed: captured.packed.packed,
            contents: captured.packed.contents,
            companions: Vec::new(),
            source: Source::Files {
                paths: roots.iter().map(|root| root.name.clone()).collect(),
                root: context.stack.root.display().to_string(),
            },
            counts: captured.counts,
            method: "read file by file in sorted order; each file unchanged from its first to its last byte".into(),
            not_kept: NOT_KEPT.iter().map(|text| (*text).to_owned()).collect(),
            warnings: captured.warnings,
        }
    }
}

impl StepKind for FilesArchive {
    const SUMMARY: &'static str = "Captures directories and files of this host into one tar";
    const CAPTURES: bool = true;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let mut problems = self.path_problems(stack);
        for (key, patterns) in [("exclude", &self.exclude), ("may_change", &self.may_change)] {
            problems.extend(Patterns::new(patterns).err().map(|e| problem(key, e.to_string())));
        }
        problems.extend(self.compression.problems());
        problems
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let roots = self.paths.iter().filter_map(|path| root(stack, path).ok());
        let mut lines: Vec<String> =
            roots.map(|root| format!("read {}, stored as {}", root.path.display(), root.name)).collect();
        if !self.exclude.is_empty() {
            lines.push(format!("leave out what matches {}", self.exclude.join(", ")));
        }
        lines
    }

    fn captured(&self, stack: &Stack) -> Vec<Captures> {
        let roots = self.paths.iter().filter_map(|path| root(stack, path).ok());
        let tree = |root: TreeRoot| Captures::Tree { path: root.path, name: root.name, exclude: self.exclude.clone() };
        roots.map(tree).collect()
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let request = self.request(&context.stack)?;
        let roots = request.roots.clone();
        let packing = self.compression.packing(StreamSource::Files);
        let name = context.artifact_name(None, "tar", packing.codec);
        let (staging, events) = (context.staging.clone(), context.events.clone());
        let cancel = context.cancel.child_token();
        // When this future is dropped, the thread ends too and removes what it wrote.
        let _stop_with_the_step = cancel.clone().drop_guard();
        let capture = tokio::task::spawn_blocking(move || {
            let artifact = ArtifactWriter::create(&staging, &name, ContentsKind::Tree, packing)?;
            archive::tree(&request, artifact, &cancel, &events)
        });
        let captured = match capture.await {
            Ok(captured) => captured?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let summary = format!(
            "{} under {}, {} packed to {}",
            count(captured.counts.files.unwrap_or(0), "file"),
            count(captured.counts.entries.unwrap_or(0), "name"),
            ByteSize(captured.file_bytes),
            ByteSize(captured.packed.packed.bytes),
        );
        let artifact = self.artifact(context, &roots, captured);
        Ok(StepReport::captured(summary, vec![artifact], BTreeMap::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> Stack {
        Stack { state_dir: "/var/lib/maint".into(), ..Stack::empty("s", "/srv/stack".as_ref()) }
    }

    fn messages(parameters: &str) -> Vec<String> {
        let step: FilesArchive = toml::from_str(parameters).unwrap();
        step.problems(&stack()).into_iter().map(|p| format!("{}: {}", p.key, p.message)).collect()
    }

    #[test]
    fn good_paths_are_no_problem() {
        assert_eq!(messages(r#"paths = ["deploy/config", "deploy/config2/", "/etc/nginx"]"#), [""; 0]);
        assert_eq!(messages("paths = [\".\"]\nexclude = [\"backups\"]"), [""; 0]);
    }

    #[test]
    fn odd_paths_are() {
        for (parameters, part) in [
            ("paths = []", "nothing to capture"),
            (r#"paths = ["a", "./a/"]"#, "`./a/` is the same as `a`"),
            (r#"paths = ["a/b", "a"]"#, "inside the other"),
            (r#"paths = ["/srv/stack/a", "a"]"#, "the same"),
            (r#"paths = ["../x"]"#, "`..`"),
            (r#"paths = [""]"#, "empty"),
            (r#"paths = ["/"]"#, "whole host"),
            (r#"paths = ["."]"#, "holds the backups themselves"),
            (r#"paths = ["backups/monthly"]"#, "holds the backups themselves"),
            ("paths = [\"a\"]\nexclude = [\"a{b\"]", "exclude: `a{b` is not a pattern"),
            ("paths = [\"a\"]\ncompression = { codec = \"zstd\", level = 40 }", "expected 1 to 19"),
        ] {
            let messages = messages(parameters);
            assert!(messages.iter().any(|m| m.contains(part)), "{parameters}: {messages:?}");
        }
    }

    #[test]
    fn names_in_the_archive_are_relative() {
        let name = |path| root(&stack(), path).map(|r| (r.path, r.name)).unwrap();
        assert_eq!(name("./a//b/"), ("/srv/stack/a/b".into(), "a/b".into()));
        assert_eq!(name("/etc/nginx/"), ("/etc/nginx".into(), "etc/nginx".into()));
    }
}
