//! `kprod node pin`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::super::context::{Context, read_file, write_file};
use super::own_programs;
use crate::boot::{Program, lock};
use crate::error::{ExitCode, Failure};

/// Pin the program that machines run
///
/// Writes kprod.lock, which lies beside vars/ and belongs into Git: the digest of the program that a
/// machine which hosts etcd fetches and starts. Whoever plans then, with whatever kprod, plans the same
/// machines. Another program rolls them, as the next plan shows. The first apply writes the program to the
/// state bucket. Machines need no more of kprod than the program kprod-node, which is built beside it.
#[derive(Debug, Args)]
pub(super) struct PinArgs {
    /// The program, a kprod-node or a kprod for the machines' system and processor; if none is given, the
    /// kprod-node beside the kprod that runs, or that kprod
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// What a program for Linux begins with (elf(5), `EI_MAG0` on).
const ELF: &[u8] = b"\x7fELF";

pub(super) fn run(context: &Context, args: &PinArgs) -> anyhow::Result<ExitCode> {
    let (file, version) = match &args.file {
        Some(file) => (file.clone(), None),
        None => own_program()?,
    };
    let program = read(&file, version)?;
    let before = context.pinned()?;
    if before.as_ref().is_some_and(|before| before.sha256 == program.sha256) {
        context.ui.data(&format!("now {}\n", told(&program)))?;
        context.ui.status(&format!("{} pins it already", lock::FILE));
        return Ok(ExitCode::Done);
    }
    write_file(&context.lock_file(), lock::text(&program).as_bytes())?;
    let was = before.as_ref().map_or_else(|| "nothing".to_owned(), told);
    context.ui.data(&format!("was {was}\nnow {}\n", told(&program)))?;
    let rolls = match before {
        Some(_) => "; the next plans roll the machines that host etcd",
        None => "",
    };
    context.ui.status(&format!("`{}` is pinned in {}{rolls}", file.display(), lock::FILE));
    Ok(ExitCode::Done)
}

/// The best that was built for machines with the program that runs, and its version where that is sure.
fn own_program() -> anyhow::Result<(PathBuf, Option<&'static str>)> {
    if !cfg!(all(feature = "aws", feature = "node")) {
        let message = "this kprod was built without what machines need";
        let hint =
            "name one that was built with the features `aws` and `node`: `kprod node pin FILE`";
        return Err(Failure::error(message).hint(hint).into());
    }
    let mut programs = own_programs().context("cannot tell which file is running")?;
    let file = programs.remove(0);
    // What else lies there may be of another build.
    let is_running = programs.is_empty();
    Ok((file, is_running.then_some(env!("CARGO_PKG_VERSION"))))
}

fn read(file: &Path, version: Option<&str>) -> anyhow::Result<Program> {
    let bytes = read_file(file)?;
    if !bytes.starts_with(ELF) {
        let message = format!("`{}` is no program for Linux", file.display());
        return Err(Failure::error(message)
            .hint("machines run Linux; name a kprod that was built for it")
            .into());
    }
    let program = Program::of(&bytes, version);
    if program.size > Program::BYTES_MAX {
        let (size, max) = (program.size, Program::BYTES_MAX);
        let message =
            format!("`{}` has {size} bytes, machines fetch {max} at most", file.display());
        return Err(Failure::error(message)
            .hint("build it with --release; README, \"The program on the machines\"")
            .into());
    }
    Ok(program)
}

fn told(program: &Program) -> String {
    let version = program.version.as_ref().map(|version| format!("kprod {version}, "));
    let version = version.unwrap_or_default();
    format!("sha256 {}, {version}{} bytes", program.sha256, program.size)
}
