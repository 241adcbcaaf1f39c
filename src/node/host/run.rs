//! Running the system's programs.

#![expect(clippy::disallowed_methods, reason = "waits for a program that another process is")]

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::HostError;

/// How long most programs may take: they answer in milliseconds.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// How often is looked whether one has ended.
const PAUSE: Duration = Duration::from_millis(20);
/// How much of what a program says goes into a message.
const SAID_MAX: usize = 500;

/// Runs a program and gives its exit code and output, whatever the code is.
pub(super) fn run(program: &str, args: &[&str], limit: Duration) -> Result<Output, HostError> {
    let failed = |cause| HostError::Program { program: program.to_owned(), cause };
    let mut child = Command::new(program)
        .args(args)
        // Messages are for people, and their words are compared nowhere.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let drain = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What cannot be read was not said.
            let _ = pipe.read_to_end(&mut bytes);
            bytes
        })
    };
    let stdout = child.stdout.take().map(|pipe| drain(Box::new(pipe)));
    let stderr = child.stderr.take().map(|pipe| drain(Box::new(pipe)));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if started.elapsed() > limit {
            // Whoever is gone by now has ended, too.
            let _ = child.kill();
            let _ = child.wait();
            let limit_secs = limit.as_secs();
            return Err(HostError::Hung { command: shown(program, args), limit_secs });
        }
        thread::sleep(PAUSE);
    };
    let said = |thread: Option<thread::JoinHandle<Vec<u8>>>| {
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    };
    Ok(Output { status, stdout: said(stdout), stderr: said(stderr) })
}

/// Runs a program that has to succeed, and gives what it said.
pub(super) fn must(program: &str, args: &[&str], limit: Duration) -> Result<String, HostError> {
    let output = run(program, args, limit)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(failed(program, args, &output))
}

/// Runs a program that is named by its whole path and has to succeed, and gives what it said.
///
/// # Errors
/// When it cannot be run, ends badly, or does not end in time.
pub fn run_tool(program: &Path, args: &[String], limit: Duration) -> Result<String, HostError> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    must(&program.to_string_lossy(), &args, limit)
}

/// What a program that ended badly comes to.
pub(super) fn failed(program: &str, args: &[&str], output: &Output) -> HostError {
    let said = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes));
    let said = said.iter().map(|text| text.trim()).find(|text| !text.is_empty());
    let said = said.unwrap_or("it said nothing").replace('\n', "; ");
    let start = said.char_indices().rev().nth(SAID_MAX - 1).map_or(0, |(index, _)| index);
    let code = output.status.code().map_or_else(|| output.status.to_string(), |c| c.to_string());
    HostError::Failed { command: shown(program, args), code, said: said[start..].to_owned() }
}

fn shown(program: &str, args: &[&str]) -> String {
    std::iter::once(program).chain(args.iter().copied()).collect::<Vec<_>>().join(" ")
}
