//! Where a member's files are.

use std::path::PathBuf;

use super::client::Credentials;
use super::leaves::{CLIENT_CA, PEER_CA};
use crate::etcd::start::Identity;
use crate::node::host::Service;

/// The files of a member on its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Where its volume is mounted.
    pub(super) volume: PathBuf,
    /// Where its certificates and keys are.
    pub(super) pki: PathBuf,
    /// What etcd reads when it starts; gone after a reboot.
    pub(super) config: PathBuf,
    /// Where a snapshot lies on its way: on the machine's own disk, so that the member's has peace.
    pub(super) snapshots: PathBuf,
    /// What is noted while a file system is about to be made: on the machine's own disk as well.
    pub(super) formatting: PathBuf,
    /// Its service.
    pub(super) service: Service,
}

impl Layout {
    /// The files of a member. A machine hosts one of each etcd cluster, so its name is enough.
    pub(super) fn of(identity: &Identity) -> Self {
        let etcd = &identity.etcd;
        Self {
            volume: PathBuf::from(format!("/var/lib/kprod/etcd/{etcd}")),
            pki: PathBuf::from(format!("/etc/kprod/pki/etcd-{etcd}")),
            config: PathBuf::from(format!("/run/kprod/etcd/{etcd}.json")),
            snapshots: PathBuf::from(format!("/var/lib/kprod/snapshots/{etcd}")),
            formatting: PathBuf::from(format!("/var/lib/kprod/formatting/{etcd}.json")),
            service: Service { unit: format!("kprod-etcd-{etcd}.service") },
        }
    }

    /// Whose data the volume holds.
    pub(super) fn stamp(&self) -> PathBuf {
        self.volume.join("stamp.json")
    }

    /// What of versions is known about its data.
    pub(super) fn version(&self) -> PathBuf {
        self.volume.join("version.json")
    }

    /// What etcd writes: a folder below, since a file system has a folder of its own at its root.
    pub(super) fn data(&self) -> PathBuf {
        self.volume.join("data")
    }

    /// What is there from etcd's first start on.
    pub(super) fn data_mark(&self) -> PathBuf {
        self.data().join("member")
    }

    /// Who signs what members of the etcd cluster show.
    pub(super) fn peer_ca(&self) -> PathBuf {
        self.pki.join(PEER_CA)
    }

    /// Who signs what clients show.
    pub(super) fn client_ca(&self) -> PathBuf {
        self.pki.join(CLIENT_CA)
    }

    /// A certificate and its key: `peer`, `server` or `client`.
    pub(super) fn leaf(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.pki.join(format!("{name}.crt")), self.pki.join(format!("{name}.key")))
    }

    /// What kprod itself shows to members.
    pub(super) fn credentials(&self) -> Credentials {
        let (certificate, key) = self.leaf("client");
        Credentials { trusted: self.peer_ca(), certificate, key }
    }
}
