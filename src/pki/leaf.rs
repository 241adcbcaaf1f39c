//! What is asked of an authority: certificates for members of etcd and for its clients.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::Authority;
use super::authority::organization;
use crate::etcd::names;

/// What a certificate may be shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// By a client to a server.
    Client,
    /// By a server to its clients.
    Server,
}

/// How long a leaf is valid, as kubeadm has it; a machine that could not renew its own has most of a
/// year to be noticed. Source: kubeadm `cmd/kubeadm/app/constants/constants.go`.
pub const LEAF_DAYS: i64 = 365;

/// A certificate that somebody needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafRequest {
    /// Who signs it.
    pub authority: Authority,
    /// Whom it names: at most 64 characters.
    pub common_name: String,
    /// The group that it puts its holder into, if any.
    pub organization: Option<String>,
    /// Names that it is valid for.
    pub dns_names: BTreeSet<String>,
    /// Addresses that it is valid for.
    pub addresses: BTreeSet<IpAddr>,
    /// What for.
    pub usages: BTreeSet<Usage>,
}

/// What a member of etcd needs a certificate for; also the names of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberLeaf {
    /// For its own calls: health, members, snapshots (`etcdctl --cert`).
    Client,
    /// To talk with its peers, both ways (`--peer-cert-file`).
    Peer,
    /// To serve its clients (`--cert-file`).
    Server,
}

impl MemberLeaf {
    /// Every leaf of a member.
    pub const ALL: [MemberLeaf; 3] = [MemberLeaf::Client, MemberLeaf::Peer, MemberLeaf::Server];

    /// `client`, `peer` or `server`.
    pub fn as_str(self) -> &'static str {
        match self {
            MemberLeaf::Client => "client",
            MemberLeaf::Peer => "peer",
            MemberLeaf::Server => "server",
        }
    }
}

/// One member of one etcd cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The Kubernetes cluster.
    pub cluster: &'a str,
    /// The etcd cluster.
    pub etcd: &'a str,
    /// The member's name.
    pub name: &'a str,
    /// The fixed address of its group's interface.
    pub address: IpAddr,
}

impl Member<'_> {
    /// What the member asks its authority for. A peer is checked by the address that it calls from and,
    /// when it was found by SRV, by the domain of discovery; a server by the name that it is called by.
    /// Source: etcd operations guide, "Transport security model", "Notes for DNS SRV".
    pub fn leaf(&self, leaf: MemberLeaf) -> LeafRequest {
        let own = [
            names::member_host(self.cluster, self.etcd, self.name),
            names::private_zone(self.cluster),
        ];
        let (usages, dns_names, addresses): (&[Usage], BTreeSet<String>, BTreeSet<IpAddr>) =
            match leaf {
                MemberLeaf::Client => (&[Usage::Client], BTreeSet::new(), BTreeSet::new()),
                MemberLeaf::Peer => {
                    (&[Usage::Client, Usage::Server], own.into(), [self.address].into())
                }
                // etcd's gateway calls its own member with the server's certificate.
                MemberLeaf::Server => {
                    let local = IpAddr::from(Ipv4Addr::LOCALHOST);
                    let dns_names = own.into_iter().chain(["localhost".to_owned()]).collect();
                    (&[Usage::Client, Usage::Server], dns_names, [self.address, local].into())
                }
            };
        LeafRequest {
            authority: Authority::EtcdPeers(self.etcd.to_owned()),
            common_name: format!("etcd-{}-{}", self.etcd, self.name).chars().take(64).collect(),
            organization: Some(organization(self.cluster)),
            dns_names,
            addresses,
            usages: usages.iter().copied().collect(),
        }
    }
}

/// What an API server shows to etcd, of every etcd cluster. Its name is kubeadm's
/// (`apiserver-etcd-client`).
pub fn api_server_client() -> LeafRequest {
    LeafRequest {
        authority: Authority::EtcdClients,
        common_name: "kube-apiserver-etcd-client".to_owned(),
        organization: None,
        dns_names: BTreeSet::new(),
        addresses: BTreeSet::new(),
        usages: [Usage::Client].into(),
    }
}

/// The certificates that a member shows now: the content of [`leaves_key`], written by its machine
/// whenever it has new ones. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafReport {
    /// Version of this form.
    pub format_version: u32,
    /// The member's name.
    pub member: String,
    /// The member's address, which its certificates hold.
    pub address: IpAddr,
    /// The machine it runs on.
    pub instance_id: String,
    /// Certificates as PEM.
    pub certificates: BTreeMap<MemberLeaf, String>,
}

impl LeafReport {
    /// Raised when an older kprod could no longer read it.
    pub const FORMAT_VERSION: u32 = 1;
}

/// The object of the state bucket that holds a member's certificates.
pub fn leaves_key(cluster: &str, etcd: &str, member: &str) -> String {
    format!("etcd/{cluster}/{etcd}/leaves/{member}")
}
