//! Programs that are on the machine.

use std::path::Path;

use super::HostError;
use super::run::{LIMIT, must};

/// What a program says when it is asked for its version.
///
/// # Errors
/// When it cannot be run, or fails.
pub fn version_said(program: &Path) -> Result<String, HostError> {
    must(&program.to_string_lossy(), &["--version"], LIMIT)
}
