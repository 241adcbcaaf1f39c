//! Services, under systemd.

use std::path::PathBuf;
use std::time::Duration;

use super::HostError;
use super::files::write_whole;
use super::run::{LIMIT, must, run};

/// Where units are put that are gone after a reboot: what may start is decided anew then.
/// Source: systemd.unit(5), "UNIT FILE LOAD PATH".
const UNITS: &str = "/run/systemd/system";
/// Longer than a unit's own limits.
const CHANGE_LIMIT: Duration = Duration::from_secs(180);

/// A service of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The name of its unit, with `.service`.
    pub unit: String,
}

/// What systemd says of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// It runs, or is being started.
    Up,
    /// It does not run.
    Down,
}

impl Service {
    /// Writes its unit and has systemd read it.
    ///
    /// # Errors
    /// When the file cannot be written, or systemd does not read it.
    pub fn install(&self, text: &str) -> Result<(), HostError> {
        write_whole(&PathBuf::from(UNITS).join(&self.unit), text.as_bytes(), 0o644)?;
        must("systemctl", &["daemon-reload"], LIMIT).map(|_| ())
    }

    /// Starts it, if it does not run.
    ///
    /// # Errors
    /// When systemd cannot start it.
    pub fn start(&self) -> Result<(), HostError> {
        must("systemctl", &["start", &self.unit], CHANGE_LIMIT).map(|_| ())
    }

    /// Stops it, if it runs, and waits until it has ended.
    ///
    /// # Errors
    /// When systemd cannot stop it.
    pub fn stop_if_up(&self) -> Result<(), HostError> {
        match self.state()? {
            ServiceState::Down => Ok(()),
            ServiceState::Up => must("systemctl", &["stop", &self.unit], CHANGE_LIMIT).map(|_| ()),
        }
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    pub fn state(&self) -> Result<ServiceState, HostError> {
        let output = run("systemctl", &["is-active", &self.unit], LIMIT)?;
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(match said.trim() {
            "active" | "activating" | "reloading" => ServiceState::Up,
            _ => ServiceState::Down,
        })
    }
}
