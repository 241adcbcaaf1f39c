//! The program for machines: parses, runs, and turns the result into an exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(kprod::cli::machine_main(std::env::args_os()) as u8)
}
