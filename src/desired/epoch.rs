//! The epochs of etcd: what members form their cluster under.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::etcd;
use super::name::Names;
use crate::cloud::epoch;
use crate::resource::EpochMember;
use crate::spec::{EtcdClusterSpec, Field, Kind, Spec};

/// Builds an epoch for each etcd cluster.
pub(super) fn build(spec: &Spec, draft: &mut Draft<'_>) {
    for (index, etcd) in spec.cluster.spec.etcd_clusters.iter().enumerate() {
        let path = format!("spec.etcdClusters[{index}].etcdMembers");
        let field = Field::new(Kind::Cluster, spec.name(), &path);
        let resource = epoch::resource(spec.name(), &etcd.name, members(spec, etcd));
        draft.add(&field, &epoch::name(&etcd.name, spec.name()), resource);
    }
}

/// Members by their names in DNS, which outlive their machines.
fn members(spec: &Spec, etcd: &EtcdClusterSpec) -> BTreeMap<String, EpochMember> {
    let ports = etcd::ports_of(&etcd.name);
    let member = |name: &String| {
        let host = Names::of(spec.name()).etcd_host(&etcd.name, name);
        EpochMember {
            peer_url: format!("https://{host}:{}", ports.peer),
            client_url: format!("https://{host}:{}", ports.client),
        }
    };
    let members = etcd.etcd_members.iter();
    members.map(|spec| (spec.name.clone(), member(&spec.name))).collect()
}
