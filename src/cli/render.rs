//! `kprod render`.

#![expect(clippy::disallowed_methods, reason = "makes the folder that the user names")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use tempfile::NamedTempFile;

use super::args::SetArgs;
use super::context::Context;
use crate::error::{ExitCode, Failure};
use crate::finding::has_errors;

/// Print a cluster's documents as its templates give them
///
/// Nothing is printed or written when anything is wrong.
#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    /// The cluster's name
    #[arg(value_name = "CLUSTER")]
    cluster: String,

    /// Write one file per template into this folder in place of standard output
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    #[command(flatten)]
    sets: SetArgs,
}

pub(super) fn run(context: &Context, args: &RenderArgs) -> anyhow::Result<ExitCode> {
    let rendered = context.render(&args.cluster, &args.sets)?;
    let sound = (!has_errors(&rendered.findings)).then_some(());
    context.settle(sound, rendered.findings.clone())?;
    match &args.output {
        None => {
            let documents: Vec<&str> = rendered.texts.values().map(String::as_str).collect();
            context.ui.data(&join(&documents))?;
        }
        Some(folder) => {
            write_all(folder, &rendered.texts)?;
            context.ui.status(&format!("{} files in {}", rendered.texts.len(), folder.display()));
        }
    }
    Ok(ExitCode::Done)
}

/// Writes one file per template. All are written beside their names first, so that a full disk
/// leaves what was there.
///
/// # Errors
/// When the folder cannot be written.
fn write_all(folder: &Path, texts: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let cannot = || format!("cannot write into `{}`", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let mut ready = Vec::new();
    for (template, text) in texts {
        let name = template.rsplit('/').next().unwrap_or(template);
        let path = folder.join(name.trim_end_matches(".j2"));
        if path.is_dir() {
            let message = format!("cannot write `{}`: it is a folder", path.display());
            return Err(Failure::error(message).hint("move it away, or choose another -o").into());
        }
        let mut file = readable_file(folder).with_context(cannot)?;
        file.write_all(text.as_bytes()).with_context(cannot)?;
        ready.push((file, path));
    }
    for (file, path) in ready {
        file.persist(&path)
            .map_err(|error| error.error)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

/// A file that others may read as far as the umask lets them.
fn readable_file(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// One YAML stream of several texts; each starts a document of its own.
fn join(texts: &[&str]) -> String {
    let mut stream = String::new();
    for text in texts.iter().filter(|text| !text.trim().is_empty()) {
        if !text.starts_with("---") {
            stream.push_str("---\n");
        }
        stream.push_str(text.trim_end());
        stream.push('\n');
    }
    stream
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn texts_join_into_one_stream_of_documents() {
        assert_eq!(join(&["a: 1", "", "---\nb: 2\n"]), "---\na: 1\n---\nb: 2\n");
    }
}
