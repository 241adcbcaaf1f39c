//! The cluster's keys that sign: one for all clients of etcd, one for the members of each etcd
//! cluster, those of Kubernetes.

use super::draft::Draft;
use crate::cloud::authority;
use crate::pki::Authority;
use crate::spec::{Field, Kind, Spec};

/// Builds the authorities.
pub(super) fn build(spec: &Spec, draft: &mut Draft<'_>) {
    let field = Field::new(Kind::Cluster, spec.name(), "spec.etcdClusters");
    let etcds = spec.cluster.spec.etcd_clusters.iter().map(|etcd| etcd.name.as_str());
    for wanted in Authority::of_cluster(etcds) {
        let name = authority::name(&wanted, spec.name());
        draft.add(&field, &name, authority::resource(&wanted, spec.name()));
    }
}
