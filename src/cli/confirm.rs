//! Asking before anything is changed.

use std::io::{BufRead, IsTerminal, Write};

use crate::error::Failure;

/// Asks on a terminal for a word; without one it never waits, it says which flag is missing.
///
/// # Errors
/// When the answer is another one, or there is nobody to ask (exit 1).
pub(super) fn ask(question: &str, word: &str, flag: &str) -> anyhow::Result<()> {
    let declined = || Failure::error("not confirmed; nothing was changed");
    if !std::io::stdin().is_terminal() {
        return Err(declined().hint(format!("there is no terminal to ask on; give {flag}")).into());
    }
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{question}? Type `{word}`: ");
    let _ = stderr.flush();
    drop(stderr);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim() == word {
        return Ok(());
    }
    Err(declined().into())
}
