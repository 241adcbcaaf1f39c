//! The machine itself: disks, files and services, through the tools that every distribution has.
//!
//! Each function does one narrow thing and says what it did not manage in one message. Programs are
//! called by their names without a shell, with limits on how long they may take.

mod block;
mod files;
mod program;
mod run;
mod service;

use std::path::PathBuf;

pub use block::{BlockDevice, Contents};
pub use files::{
    copy_with_sum, fresh_folder, open, read_if_there, remove_folder, remove_whole, rename_whole,
    write_whole,
};
pub use program::version_said;
pub use run::run_tool;
pub use service::{Service, ServiceState};

/// What the machine did not manage.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file or device.
    #[error("{action} `{}`: {cause}", path.display())]
    File {
        /// What was tried, such as `cannot read`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        cause: std::io::Error,
    },
    /// A program that could not be run.
    #[error("cannot run `{program}`: {cause}")]
    Program {
        /// Its name.
        program: String,
        /// Why not.
        cause: std::io::Error,
    },
    /// A program that ended badly.
    #[error("`{command}` failed with {code}: {said}")]
    Failed {
        /// The whole command.
        command: String,
        /// Its exit code, or the signal that ended it.
        code: String,
        /// The last it said.
        said: String,
    },
    /// A program that did not end.
    #[error("`{command}` did not end within {limit_secs}s and was stopped")]
    Hung {
        /// The whole command.
        command: String,
        /// How long it was given.
        limit_secs: u64,
    },
}

impl HostError {
    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
        cause: std::io::Error,
    ) -> Self {
        HostError::File { action, path: path.into(), cause }
    }
}

/// Does what blocks on a thread of its own.
///
/// # Errors
/// The work's own; work that panics is an error as well.
pub async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HostError> + Send + 'static,
) -> Result<T, HostError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(HostError::Program {
            program: "kprod".to_owned(),
            cause: std::io::Error::other(error),
        }),
    }
}
