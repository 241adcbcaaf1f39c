//! A cluster's authorities: who signs for whom, where each key lies, and who may read it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::Usage;

/// One key that signs: with a certificate of its own, or, for service accounts, without one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Authority {
    /// Signs the certificates by which API servers are clients of etcd.
    EtcdClients,
    /// Signs all that the members of one etcd cluster (`main`, `events`) show, to each other and to
    /// their clients.
    EtcdPeers(String),
    /// The cluster's own: API servers, kubelets, controllers.
    Kubernetes,
    /// Signs what the API server shows to the API servers behind it.
    FrontProxy,
    /// Signs the tokens of service accounts. A bare key: nobody checks a certificate of it.
    ServiceAccount,
}

/// The machines that may read a private key: those of the one role with the policy for this place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `/kprod/<cluster>/control-plane/`.
    ControlPlane,
    /// `/kprod/<cluster>/etcd/<etcd>/`: the hosts of this etcd cluster's members.
    Etcd(String),
}

impl Place {
    /// The place in a parameter's name.
    pub fn path(&self) -> String {
        match self {
            Place::ControlPlane => "control-plane".to_owned(),
            Place::Etcd(etcd) => format!("etcd/{etcd}"),
        }
    }
}

/// Where every machine of the control plane and of etcd may read what is no secret: certificates and
/// public keys.
pub const PUBLIC_PLACE: &str = "public";

/// How long an authority is valid: ten years, as kops and kubeadm have it.
/// Source: kubeadm `cmd/kubeadm/app/constants/constants.go`, `CACertificateValidityPeriod`.
pub const AUTHORITY_DAYS: i64 = 3650;

impl Authority {
    /// The authorities of a cluster with these etcd clusters, in their order.
    pub fn of_cluster<'a>(etcds: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let mut all: Vec<Self> =
            etcds.into_iter().map(|etcd| Authority::EtcdPeers(etcd.to_owned())).collect();
        all.extend([
            Authority::EtcdClients,
            Authority::Kubernetes,
            Authority::FrontProxy,
            Authority::ServiceAccount,
        ]);
        all.sort();
        all
    }

    /// Whose certificate a member of an etcd cluster takes from a client: API servers', and those of
    /// the members of the same etcd cluster, which is how they look after each other.
    pub fn trusted_by_members(etcd: &str) -> [Self; 2] {
        [Authority::EtcdClients, Authority::EtcdPeers(etcd.to_owned())]
    }

    /// Who may read the private key.
    pub fn place(&self) -> Place {
        match self {
            Authority::EtcdPeers(etcd) => Place::Etcd(etcd.clone()),
            Authority::EtcdClients
            | Authority::Kubernetes
            | Authority::FrontProxy
            | Authority::ServiceAccount => Place::ControlPlane,
        }
    }

    /// The SecureString with the private key, and after it the certificate if there is one.
    pub fn secret_parameter(&self, cluster: &str) -> String {
        let place = self.place().path();
        match self {
            // Its place says of which etcd cluster.
            Authority::EtcdPeers(_) => format!("/kprod/{cluster}/{place}/peers"),
            other => format!("/kprod/{cluster}/{place}/{other}"),
        }
    }

    /// The String with the certificate, or for service accounts the public key.
    pub fn public_parameter(&self, cluster: &str) -> String {
        format!("/kprod/{cluster}/{PUBLIC_PLACE}/{self}")
    }

    /// Whether it has a certificate, and so an end.
    pub fn has_certificate(&self) -> bool {
        *self != Authority::ServiceAccount
    }

    /// What certificates under it may be used for; empty where it is not limited by itself.
    pub fn usages(&self) -> &'static [Usage] {
        match self {
            Authority::EtcdClients | Authority::FrontProxy => &[Usage::Client],
            Authority::EtcdPeers(_) => &[Usage::Client, Usage::Server],
            Authority::Kubernetes | Authority::ServiceAccount => &[],
        }
    }

    /// What it signs, for people.
    pub fn signs(&self) -> String {
        match self {
            Authority::EtcdClients => "API servers as clients of etcd".to_owned(),
            Authority::EtcdPeers(etcd) => format!("members of etcd {etcd}"),
            Authority::Kubernetes => "API servers, kubelets, controllers".to_owned(),
            Authority::FrontProxy => "the API server before other API servers".to_owned(),
            Authority::ServiceAccount => "tokens of service accounts".to_owned(),
        }
    }

    /// Organization and common name of its certificate. Each is of one cluster, so that a certificate
    /// of another one is never taken for it.
    pub(super) fn subject(&self, cluster: &str) -> (String, String) {
        (organization(cluster), self.to_string())
    }
}

/// The cluster's name as far as a certificate's field takes it: 64 characters (RFC 5280, appendix A,
/// `ub-organization-name`); a longer one ends in a hash of the whole.
pub(super) fn organization(cluster: &str) -> String {
    const MAX: usize = 64;
    if cluster.chars().count() <= MAX {
        return cluster.to_owned();
    }
    let hash: String = Sha256::digest(cluster.as_bytes())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let start: String = cluster.chars().take(MAX - hash.len() - 1).collect();
    format!("{start}-{hash}")
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Authority::EtcdClients => f.write_str("etcd-clients"),
            Authority::EtcdPeers(etcd) => write!(f, "etcd-peers-{etcd}"),
            Authority::Kubernetes => f.write_str("kubernetes"),
            Authority::FrontProxy => f.write_str("front-proxy"),
            Authority::ServiceAccount => f.write_str("service-account"),
        }
    }
}

/// A text that names no authority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no authority; they are etcd-clients, etcd-peers-<etcd>, kubernetes, front-proxy, service-account"
)]
pub struct UnknownAuthority(String);

impl FromStr for Authority {
    type Err = UnknownAuthority;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "etcd-clients" => Authority::EtcdClients,
            "kubernetes" => Authority::Kubernetes,
            "front-proxy" => Authority::FrontProxy,
            "service-account" => Authority::ServiceAccount,
            other => match other.strip_prefix("etcd-peers-") {
                Some(etcd) if !etcd.is_empty() => Authority::EtcdPeers(etcd.to_owned()),
                _ => return Err(UnknownAuthority(text.to_owned())),
            },
        })
    }
}
