//! etcd's ports, as kops gives them, so that two etcd clusters may share a machine.
//! Source: kops `pkg/model/components/etcdmanager/model.go`, `pkg/wellknownports`.

use std::collections::BTreeSet;

/// The ports of one etcd cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    /// Where members talk to each other.
    pub(super) peer: u16,
    /// Where clients talk to members.
    pub(super) client: u16,
}

const MAIN: Ports = Ports { peer: 2380, client: 4001 };
const EVENTS: Ports = Ports { peer: 2381, client: 4002 };

/// The ports of an etcd cluster by its name, `main` or `events`.
pub(super) fn ports_of(etcd: &str) -> Ports {
    if etcd == "events" { EVENTS } else { MAIN }
}

/// Every port of any etcd cluster.
pub(super) fn ports() -> BTreeSet<u16> {
    [MAIN, EVENTS].into_iter().flat_map(|ports| [ports.peer, ports.client]).collect()
}
