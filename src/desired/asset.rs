//! What machines fetch at their first boot: the program that brings up their etcd members.

use super::draft::Draft;
use crate::cloud::asset;
use crate::spec::{Field, Kind, Spec};

/// Builds the pinned program, if a machine is to run it.
pub(super) fn build(spec: &Spec, draft: &mut Draft<'_>) {
    let Some(program) = &spec.node_program else { return };
    if !spec.groups.values().any(|group| spec.hosts_etcd(group.name())) {
        return;
    }
    let field = Field::new(Kind::Cluster, spec.name(), "spec.etcdClusters");
    let wanted = asset::resource(spec.name(), &program.sha256, program.size);
    draft.add(&field, &asset::name(&program.sha256, spec.name()), wanted);
}
