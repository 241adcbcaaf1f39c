//! All of a cluster's authorities and leaves at one moment: what `kprod pki status` tells.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::standing::{State, state_of_authority, state_of_leaf};
use super::{Authority, Certificate, LeafReport, Member, MemberLeaf, fingerprint};

/// How a cluster's keys and certificates stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The cluster.
    pub cluster: String,
    /// When it was looked at, on the cloud's clock.
    pub observed_at: Timestamp,
    /// Every authority that the spec asks for, in their order.
    pub authorities: Vec<AuthorityStatus>,
    /// Every member that the spec asks for, by etcd cluster and name.
    pub members: Vec<MemberLeaves>,
}

/// One authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityStatus {
    /// Which.
    pub authority: Authority,
    /// How it stands.
    pub state: State,
    /// The fingerprint of its certificate or public key, if there is one that can be read.
    pub fingerprint: Option<String>,
}

/// What one member shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberLeaves {
    /// The etcd cluster.
    pub etcd: String,
    /// The member.
    pub member: String,
    /// The machine that reported; none as long as none has.
    pub instance_id: Option<String>,
    /// Its certificates; empty without a report.
    pub leaves: BTreeMap<MemberLeaf, LeafStatus>,
}

/// One certificate of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafStatus {
    /// How it stands.
    pub state: State,
    /// From when on its machine renews it.
    pub renewed_from: Option<Timestamp>,
}

impl Status {
    /// From what is public of the authorities (by parameter), the secret parameters that are there, and
    /// what the members report (by etcd cluster and member; those without a report have none).
    pub fn of(
        cluster: &str,
        public: &BTreeMap<String, String>,
        secrets: &BTreeSet<String>,
        members: Vec<(String, String, Option<LeafReport>)>,
        etcds: &[&str],
        now: Timestamp,
    ) -> Self {
        let mut certificates = BTreeMap::new();
        let authorities = Authority::of_cluster(etcds.iter().copied()).into_iter();
        let authorities = authorities.map(|authority| {
            let text = public.get(&authority.public_parameter(cluster)).map(String::as_str);
            let (state, certificate) = state_of_authority(&authority, cluster, text, now);
            let own = certificate.as_ref().map(|read| read.fingerprint.clone());
            let is_bare = !authority.has_certificate() && state.is_well();
            let fingerprint = own.or_else(|| text.filter(|_| is_bare).map(fingerprint));
            if let Some(certificate) = certificate {
                certificates.insert(authority.clone(), certificate);
            }
            let is_keyless =
                text.is_some() && !secrets.contains(&authority.secret_parameter(cluster));
            let state = if is_keyless { State::Keyless } else { state };
            AuthorityStatus { authority, state, fingerprint }
        });
        let authorities = authorities.collect();
        let leaves = |(etcd, member, report): (String, String, Option<LeafReport>)| {
            let authority = certificates.get(&Authority::EtcdPeers(etcd.clone()));
            MemberLeaves {
                leaves: report
                    .as_ref()
                    .map(|report| leaves_of(cluster, &etcd, report, authority, now))
                    .unwrap_or_default(),
                instance_id: report.map(|report| report.instance_id),
                etcd,
                member,
            }
        };
        let members = members.into_iter().map(leaves).collect();
        Self { cluster: cluster.to_owned(), observed_at: now, authorities, members }
    }

    /// Whether nobody has to do anything. A member without a report is no trouble of its certificates:
    /// how it stands is `kprod etcd status`'s.
    pub fn is_well(&self) -> bool {
        let leaves = self.members.iter().flat_map(|member| member.leaves.values());
        self.authorities.iter().all(|authority| authority.state.is_well())
            && leaves.into_iter().all(|leaf| leaf.state.is_well())
    }
}

fn leaves_of(
    cluster: &str,
    etcd: &str,
    report: &LeafReport,
    authority: Option<&Certificate>,
    now: Timestamp,
) -> BTreeMap<MemberLeaf, LeafStatus> {
    let member = Member { cluster, etcd, name: &report.member, address: report.address };
    let status = |leaf: MemberLeaf| {
        let pem = report.certificates.get(&leaf).map(String::as_str);
        let Some(authority) = authority else {
            let why = "its authority is not there".to_owned();
            return LeafStatus { state: State::Wrong { why }, renewed_from: None };
        };
        let (state, read) = state_of_leaf(&member.leaf(leaf), authority, pem, now);
        LeafStatus { state, renewed_from: read.map(|read| read.renew_at()) }
    };
    MemberLeaf::ALL.into_iter().map(|leaf| (leaf, status(leaf))).collect()
}
