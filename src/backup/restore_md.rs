//! RESTORE.md: how to restore this very set with standard tools, for a tired person who types.

use std::fmt::Write as _;

use crate::{
    model::{
        contents::Codec,
        manifest::{Artifact, MANIFEST_FILE, MANIFEST_SIGNATURE_FILE, Manifest, Source},
        shell::{self, word},
        signature::Namespace,
        units::{ByteSize, count},
    },
    stream::tar::gnu_tar_options,
};

fn unpack(artifact: &Artifact) -> String {
    let program = match artifact.codec {
        Codec::Zstd => "zstd -dc",
        Codec::Gzip => "gunzip -c",
    };
    format!("{program} {}", word(&artifact.packed.file))
}

/// Writing to a String cannot fail, so results of `writeln!` are dropped throughout.
pub(super) fn render(manifest: &Manifest, signed: bool) -> String {
    let mut text = String::new();
    let started = manifest.run.started.format("%Y-%m-%d %H:%M:%S UTC");
    let _ = writeln!(
        text,
        "# How to restore `{}/{}` of the stack {}\n\n\
         Captured on {} from {started}, by the job {} (maint {}).\n\
         Verified to the level \"{}\" before it was published.\n\
         Everything below needs only standard tools; maint is not needed. Type the commands in this directory.\n",
        manifest.series,
        manifest.period,
        manifest.stack,
        manifest.host.name,
        manifest.job,
        manifest.host.maint,
        manifest.verification.level,
    );
    if let Some(drill) = &manifest.verification.drill {
        let _ = writeln!(
            text,
            "Before it was published it was restored and compared: {drill}. Restoring takes about that long on a host like \
             {}.\n",
            manifest.host.name
        );
    }
    if let Some(reason) = &manifest.verification.shortfall {
        let _ = writeln!(text, "It was not restored before it was published, though its job asks for it: {reason}.\n");
    }
    whole(&mut text, manifest);
    if signed {
        signature(&mut text);
    }
    let mut number = 2;
    let postgres =
        manifest.artifacts.iter().any(|a| matches!(a.source, Source::PostgresDatabase(_) | Source::PostgresServer(_)));
    if postgres {
        connection(&mut text, number, manifest);
        number += 1;
    }
    for artifact in &manifest.artifacts {
        if let Source::PostgresServer(_) = artifact.source {
            globals(&mut text, number, artifact);
            number += 1;
        }
    }
    for artifact in &manifest.artifacts {
        match artifact.source {
            Source::PostgresDatabase(_) => database(&mut text, number, artifact),
            Source::Files { .. } | Source::Volume { .. } => tree(&mut text, number, artifact),
            Source::PostgresServer(_) => continue,
        }
        number += 1;
    }
    text
}

fn whole(text: &mut String, manifest: &Manifest) {
    let _ = writeln!(text, "## 1. Is it whole?\n\n```\nsha256sum -c SHA256SUMS");
    for artifact in &manifest.artifacts {
        let test = match artifact.codec {
            Codec::Zstd => "zstd -t",
            Codec::Gzip => "gunzip -t",
        };
        let _ = writeln!(text, "{test} {}", word(&artifact.packed.file));
    }
    text.push_str("```\n");
}

/// SHA256SUMS is not signed; the manifest is, and has the same digests.
fn signature(text: &mut String) {
    let _ = writeln!(
        text,
        "\nWho made it? `{MANIFEST_FILE}` is signed. `allowed_signers` is a file with the name and the public key of whoever \
         may sign\n(`NAME ssh-ed25519 AAAA…`); take it from where this host cannot write. Then the files against what was \
         signed:\n\n\
         ```\n\
         NAME=$(ssh-keygen -Y find-principals -f allowed_signers -s {MANIFEST_SIGNATURE_FILE} | head -n 1)\n\
         ssh-keygen -Y verify -f allowed_signers -I \"$NAME\" -n {} -s {MANIFEST_SIGNATURE_FILE} < {MANIFEST_FILE}\n\
         jq -r '.files[] | \"\\(.sha256)  \\(.file)\"' {MANIFEST_FILE} | sha256sum -c\n```",
        Namespace::Set.as_str(),
    );
}

fn connection(text: &mut String, number: usize, manifest: &Manifest) {
    let version = manifest.artifacts.iter().find_map(|a| match &a.source {
        Source::PostgresDatabase(facts) => Some(&facts.server.version),
        Source::PostgresServer(facts) => Some(&facts.version),
        _ => None,
    });
    let _ = writeln!(
        text,
        "\n## {number}. An empty PostgreSQL server\n\n\
         The source ran PostgreSQL {}. Restore into the same major version, or a newer one; extensions that the dump\n\
         names must be installed there. Say where it is, as a superuser:\n\n\
         ```\nexport PGHOST=/var/run/postgresql PGPORT=5432 PGUSER=postgres PGOPTIONS='-c client_min_messages=warning'\n```",
        version.map_or("?", String::as_str),
    );
}

fn globals(text: &mut String, number: usize, artifact: &Artifact) {
    let Source::PostgresServer(facts) = &artifact.source else { return };
    let own = word(&format!("CREATE ROLE {};", quoted_role(&facts.bootstrap_superuser)));
    let settings: String = artifact
        .companions
        .iter()
        .map(|c| format!("psql -X -q -v ON_ERROR_STOP=1 -d postgres -f {}\n", word(&c.file)))
        .collect();
    let _ = writeln!(
        text,
        "\n## {number}. Roles and tablespaces of the server `{}`\n\n\
         The role that every server has from birth, `{}`, is left out: it is there already.\n\n\
         ```\n{} | grep -vxF {own} | psql -X -q -v ON_ERROR_STOP=1 -d postgres\n{settings}```\n\n\
         Tablespaces want their directories to exist first; see: `{} | grep TABLESPACE`",
        facts.server,
        facts.bootstrap_superuser,
        unpack(artifact),
        unpack(artifact),
    );
    notes(text, artifact);
}

/// A role's name as pg_dumpall writes it: quoted unless it is a plain lower-case identifier (`fmtId`).
fn quoted_role(name: &str) -> String {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let plain = first && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn database(text: &mut String, number: usize, artifact: &Artifact) {
    let Source::PostgresDatabase(facts) = &artifact.source else { return };
    let (name, in_it) = (word(&facts.database), shell::database(&facts.database));
    // Every server has this one from birth, so that clients have something to connect to.
    let create = if facts.database == "postgres" { "dropdb --maintenance-db=template1 postgres\n" } else { "" };
    let options: String = facts.createdb_options.iter().map(|o| format!(" {}", word(o))).collect();
    let _ = writeln!(
        text,
        "\n## {number}. The database `{}`\n\n\
         {}, {}{} in {} of SQL. Take another name in place of {name} to restore beside a living database.\n\n\
         ```\n{create}createdb --maintenance-db=template1{options} -- {name}\n\
         {} | psql -X -q -v ON_ERROR_STOP=1 -d {in_it}",
        facts.database,
        count(artifact.counts.tables.unwrap_or(0), "table"),
        count(artifact.counts.rows.unwrap_or(0), "row"),
        artifact
            .counts
            .large_objects
            .filter(|n| *n > 0)
            .map(|n| format!(", {}", count(n, "large object")))
            .unwrap_or_default(),
        ByteSize(artifact.plain_bytes),
        unpack(artifact),
    );
    for companion in &artifact.companions {
        let file = word(&companion.file);
        let _ = writeln!(text, "psql -X -q -v ON_ERROR_STOP=1 -v DBNAME={name} -d {in_it} -f {file}");
    }
    let _ = writeln!(text, "vacuumdb --analyze-only -d {in_it}\n```");
    notes(text, artifact);
}

fn tree(text: &mut String, number: usize, artifact: &Artifact) {
    let options = gnu_tar_options();
    let what = match &artifact.source {
        Source::Files { paths, root } => format!("The files {} (of {root})", paths.join(", ")),
        Source::Volume { name, .. } => format!("The Docker volume `{name}`"),
        _ => return,
    };
    // Outside the set: a set with something more in it would not verify any more.
    let stem = artifact.packed.file.split(".tar").next().unwrap_or("tree");
    let place = word(&format!("/var/tmp/restored-{stem}"));
    let _ = writeln!(
        text,
        "\n## {number}. {what}\n\n\
         {}, {} unpacked. As root, so that owners come back; into a new directory, so that nothing is overwritten.\n\n\
         ```\nmkdir {place}\n{} | tar -x {options} -C {place}\n```",
        count(artifact.counts.files.unwrap_or(0), "file"),
        ByteSize(artifact.plain_bytes),
        unpack(artifact),
    );
    if let Source::Volume { name, .. } = &artifact.source {
        let volume = word(name);
        let _ = writeln!(
            text,
            "\nInto a fresh volume of the same name (the archive's root is the volume's root), as root on the engine's own\n\
             host. Where a volume of that name is there already, take another name: tar would write over what it holds.\n\n\
             ```\ndocker volume create {volume}\n{} | tar -x {options} -C \"$(docker volume inspect -f '{{{{.Mountpoint}}}}' {volume})\"\n```",
            unpack(artifact),
        );
    }
    notes(text, artifact);
}

fn notes(text: &mut String, artifact: &Artifact) {
    for note in &artifact.not_kept {
        let _ = writeln!(text, "\nNot kept: {note}.");
    }
    for warning in &artifact.warnings {
        let _ = writeln!(text, "\nNoticed during the capture: {warning}.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_quoted_as_pg_dumpall_does() {
        assert_eq!(quoted_role("postgres"), "postgres");
        assert_eq!(quoted_role("Überwacher \"1\""), "\"Überwacher \"\"1\"\"\"");
    }
}
