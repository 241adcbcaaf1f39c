//! From a member to a file: by etcd's own program, or, where the last member that is left serves nobody,
//! by a copy of what it has on its disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::etcd::snapshot::Tooling;
use crate::etcd::version::Version;
use crate::node::etcd::layout::Layout;
use crate::node::host::{HostError, copy_with_sum, off_thread, run_tool, version_said};

use super::SnapshotError;

/// How long etcd's programs may take for the largest database.
pub(in crate::node::etcd) const TOOL_LIMIT: Duration = Duration::from_secs(600);

/// etcd's programs on this machine: they lie beside the server.
#[derive(Clone, Debug)]
pub(in crate::node::etcd) struct Tools {
    pub(in crate::node::etcd) server: PathBuf,
}

impl Tools {
    fn beside(&self, name: &str) -> PathBuf {
        self.server.with_file_name(name)
    }

    /// The version of the server.
    pub(in crate::node::etcd) async fn version(&self) -> Result<Version, SnapshotError> {
        let server = self.server.clone();
        Ok(Version::said_by_program(&off_thread(move || version_said(&server)).await?)?)
    }

    /// Has the member that is reached by a URL write a snapshot into a file.
    pub(super) async fn save(
        &self,
        layout: &Layout,
        url: &str,
        file: &Path,
    ) -> Result<(), HostError> {
        let credentials = layout.credentials();
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let args = [
            "--endpoints".to_owned(),
            url.to_owned(),
            "--cacert".to_owned(),
            shown(&credentials.trusted),
            "--cert".to_owned(),
            shown(&credentials.certificate),
            "--key".to_owned(),
            shown(&credentials.key),
            "snapshot".to_owned(),
            "save".to_owned(),
            shown(file),
        ];
        let program = self.beside("etcdctl");
        off_thread(move || run_tool(&program, &args, TOOL_LIMIT)).await.map(drop)
    }

    /// Copies the database of a member that serves nobody, with its sum at the end, as a snapshot has
    /// it. etcd is stopped first, which writes down all that it has applied.
    pub(super) async fn copy(layout: &Layout, file: &Path) -> Result<(), HostError> {
        let (service, to) = (layout.service.clone(), file.to_owned());
        let database = layout.data_mark().join("snap").join("db");
        off_thread(move || {
            service.stop_if_up()?;
            copy_with_sum(&database, &to)
        })
        .await
    }

    /// Reads a snapshot's pages by the program of its version, and gives its revision.
    pub(super) async fn revision(
        &self,
        tooling: Tooling,
        file: &Path,
    ) -> Result<u64, SnapshotError> {
        let name = tooling.offline_tool();
        let program = self.beside(name);
        let shown = file.to_string_lossy().into_owned();
        let args = ["snapshot".to_owned(), "status".to_owned(), shown, "-w=json".to_owned()];
        let said = off_thread(move || run_tool(&program, &args, TOOL_LIMIT)).await?;
        let status: Option<serde_json::Value> = serde_json::from_str(&said).ok();
        let revision = status.as_ref().and_then(|status| status.get("revision")?.as_u64());
        revision.ok_or(SnapshotError::Senseless { program: name.to_owned(), said })
    }

    /// Makes a member's data of a snapshot.
    pub(in crate::node::etcd) async fn restore(
        &self,
        tooling: Tooling,
        args: Vec<String>,
    ) -> Result<(), HostError> {
        let program = self.beside(tooling.offline_tool());
        off_thread(move || run_tool(&program, &args, TOOL_LIMIT)).await.map(drop)
    }
}
