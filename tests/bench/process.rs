//! The program as a process of its own: how long it took, and the most memory it had.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The first argument of a child of this bench.
pub(crate) const CHILD: &str = "--child";

/// What one process cost.
pub(crate) struct Measured {
    /// From start to exit.
    pub(crate) elapsed: Duration,
    /// Most memory, in KiB.
    pub(crate) peak_kib: u64,
}

/// Runs `kprod` with these arguments several times; the best time and the lowest peak.
pub(crate) fn best_of(runs: usize, arguments: &[&str], folder: Option<&Path>) -> Measured {
    let all: Vec<Measured> = (0..runs).map(|_| once(arguments, folder)).collect();
    Measured {
        elapsed: all.iter().map(|measured| measured.elapsed).min().unwrap(),
        peak_kib: all.iter().map(|measured| measured.peak_kib).min().unwrap(),
    }
}

fn once(arguments: &[&str], folder: Option<&Path>) -> Measured {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(CHILD).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let started = Instant::now();
    let output = command.output().unwrap();
    let elapsed = started.elapsed();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let peak_kib = said.lines().last().and_then(|line| line.parse().ok()).unwrap();
    Measured { elapsed, peak_kib }
}

/// Inside the child: runs the program's own `main`, then says the peak on stderr.
#[allow(clippy::print_stderr, reason = "the figure goes to the parent")]
pub(crate) fn child(arguments: Vec<String>) {
    let arguments = std::iter::once("kprod".to_owned()).chain(arguments).map(OsString::from);
    let code = kprod::cli::main(arguments);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    eprintln!("{}", peak.trim().trim_end_matches(" kB"));
    std::process::exit(code as i32);
}
