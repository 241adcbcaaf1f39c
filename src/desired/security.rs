//! Security groups: one for each role, one for the API's load balancers, or the user's own.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::name::Names;
use super::tag;
use crate::resource::{Attribute, Key, Kind as ResourceKind, Ref, Resource, SecurityGroup};
use crate::spec::{ApiBalancerSpec, Field, InstanceGroup, Kind, Role, Spec};

/// A security group that machines or load balancers are in: ours, or one that the spec names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Side {
    /// Name of ours, id of others'.
    pub(super) name: String,
    /// What rules refer to it by.
    pub(super) id: Ref,
}

impl Side {
    fn built(name: String) -> Self {
        let id = Ref::Of(Key::new(ResourceKind::SecurityGroup, name.clone()), Attribute::Id);
        Self { name, id }
    }

    fn given(id: &str) -> Self {
        Self { name: id.to_owned(), id: Ref::Known(id.to_owned()) }
    }

    fn is_built(&self) -> bool {
        self.id.known().is_none()
    }
}

/// The groups that a role's machines are in: several when some instance groups name their own. A
/// role without machines has none.
pub(super) fn of_role(spec: &Spec, role: Role) -> BTreeSet<Side> {
    spec.groups_of(role).map(|group| side(spec, group)).collect()
}

/// The group that an instance group's machines are in, by role or by its own word.
fn side(spec: &Spec, group: &InstanceGroup) -> Side {
    match &group.spec.security_group_override {
        Some(id) => Side::given(id),
        None => Side::built(Names::of(spec.name()).security_group(group.spec.role)),
    }
}

/// All security groups of an instance group's machines.
pub(super) fn of_machines(spec: &Spec, group: &InstanceGroup) -> BTreeSet<Ref> {
    let further = group.spec.additional_security_groups.iter().cloned().map(Ref::Known);
    further.chain([side(spec, group).id]).collect()
}

/// The group that the API's load balancers are in.
pub(super) fn of_api(spec: &Spec) -> Side {
    match balancer(spec).and_then(|balancer| balancer.security_group_override.as_ref()) {
        Some(id) => Side::given(id),
        None => Side::built(Names::of(spec.name()).api_security_group()),
    }
}

/// What the spec says of the API's load balancer.
pub(super) fn balancer(spec: &Spec) -> Option<&ApiBalancerSpec> {
    spec.cluster.spec.api.as_ref()?.load_balancer.as_ref()
}

/// Builds the groups that are ours.
pub(super) fn build(spec: &Spec, draft: &mut Draft<'_>) {
    check_shared(spec, draft);
    for (role, description) in ROLES {
        for side in of_role(spec, role) {
            add(spec, draft, &side, description);
        }
    }
    add(spec, draft, &of_api(spec), "Security group for api ELB");
}

/// Roles with the descriptions of their groups, which AWS cannot change. The words are kops'.
const ROLES: [(Role, &str); 4] = [
    (Role::ControlPlane, "Security group for masters"),
    (Role::Node, "Security group for nodes"),
    (Role::Etcd, "Security group for etcd"),
    (Role::Bastion, "Security group for bastion"),
];

/// Machines in one group reach each other, so a group that etcd's hosts share with workers or
/// bastions opens etcd to them.
fn check_shared(spec: &Spec, draft: &mut Draft<'_>) {
    let vital = spec.groups.values().filter(|group| group.is_vital());
    let vital: BTreeSet<Side> = vital.map(|group| side(spec, group)).collect();
    for group in spec.groups.values().filter(|group| !group.is_vital()) {
        let side = side(spec, group);
        if vital.contains(&side) {
            let field = Field::new(Kind::InstanceGroup, group.name(), "spec.securityGroupOverride");
            let message = format!(
                "`{}` is also the security group of the control plane or etcd, which this opens",
                side.name
            );
            draft.error(&field, message, "give the group a security group of its own");
        }
    }
}

fn add(spec: &Spec, draft: &mut Draft<'_>, side: &Side, description: &str) {
    if !side.is_built() {
        return;
    }
    let group = SecurityGroup {
        group_name: side.name.clone(),
        description: description.to_owned(),
        vpc_id: super::vpc_id(spec),
        tags: tag::base(spec, &side.name),
    };
    let field = Field::new(Kind::Cluster, spec.name(), "metadata.name");
    draft.add(&field, &side.name, Resource::SecurityGroup(group));
}
