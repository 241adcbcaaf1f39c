//! `kprod render`.

#![expect(clippy::disallowed_methods, reason = "makes the folder that the user names")]

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::args::InputArgs;
use super::context::{Context, write_file};
use crate::error::ExitCode;
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
    input: InputArgs,
}

pub(super) fn run(context: &Context, args: &RenderArgs) -> anyhow::Result<ExitCode> {
    let rendered = context.render(&args.cluster, &args.input)?;
    let sound = (!has_errors(&rendered.findings)).then_some(());
    context.settle(sound, rendered.findings.clone())?;
    match &args.output {
        None => {
            let documents: Vec<&str> = rendered.texts.values().map(String::as_str).collect();
            context.ui.data(&join(&documents))?;
        }
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make `{}`", folder.display()))?;
            for (template, text) in &rendered.texts {
                let name = template.rsplit('/').next().unwrap_or(template);
                write_file(&folder.join(name.trim_end_matches(".j2")), text.as_bytes())?;
            }
            context.ui.status(&format!("{} files in {}", rendered.texts.len(), folder.display()));
        }
    }
    Ok(ExitCode::Done)
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
