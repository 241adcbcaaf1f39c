//! Tags: kops' ones, the owner's, and what the cluster autoscaler reads.
//! Source: kops `pkg/model/context.go`.

use crate::resource::{KOPS_CLUSTER_TAG, OWNER_TAG, Tags, etcd_tag};
use crate::spec::{EtcdClusterSpec, EtcdMemberSpec, InstanceGroup, Role, Spec};

/// The group's name, on its machines.
const GROUP_TAG: &str = "kops.k8s.io/instancegroup";
/// What the cluster autoscaler looks for groups by.
/// Source: cluster-autoscaler, `cloudprovider/aws/README.md`, "Auto-Discovery Setup".
const AUTOSCALER_TAG: &str = "k8s.io/cluster-autoscaler";

/// The tags of every resource; the system's win over the user's.
pub(super) fn base(spec: &Spec, name: &str) -> Tags {
    let mut tags = spec.cluster.spec.cloud_labels.clone();
    tags.extend(system(spec, name));
    tags
}

fn system(spec: &Spec, name: &str) -> Tags {
    let cluster = spec.name();
    Tags::from([
        ("Name".to_owned(), name.to_owned()),
        (KOPS_CLUSTER_TAG.to_owned(), cluster.to_owned()),
        (cluster_tag(cluster), "owned".to_owned()),
        (OWNER_TAG.to_owned(), cluster.to_owned()),
    ])
}

/// The tag by which the cloud controller manager knows what is the cluster's.
pub(super) fn cluster_tag(cluster: &str) -> String {
    format!("kubernetes.io/cluster/{cluster}")
}

/// The tags of a group's resources that are not machines.
pub(super) fn group(spec: &Spec, group: &InstanceGroup, name: &str) -> Tags {
    let mut tags = spec.cluster.spec.cloud_labels.clone();
    tags.extend(group.spec.cloud_labels.clone());
    tags.extend(system(spec, name));
    tags.extend(roles(group.spec.role));
    tags.insert(GROUP_TAG.to_owned(), group.name().to_owned());
    tags
}

/// The tags of a group's ASG, which its machines get too: with what a node of the group will look
/// like, so that the cluster autoscaler can scale from zero.
pub(super) fn machines(spec: &Spec, group: &InstanceGroup, name: &str) -> Tags {
    let mut tags = self::group(spec, group, name);
    let labels = spec.node_labels(group);
    let label = |key: &String| format!("{AUTOSCALER_TAG}/node-template/label/{key}");
    tags.extend(labels.iter().map(|(key, value)| (label(key), value.clone())));
    for taint in spec.taints(group) {
        let key = format!("{AUTOSCALER_TAG}/node-template/taint/{}", taint.key);
        tags.insert(key, format!("{}:{}", taint.value, taint.effect.name()));
    }
    if group.spec.autoscale == Some(true) {
        tags.insert(format!("{AUTOSCALER_TAG}/enabled"), "true".to_owned());
        tags.insert(format!("{AUTOSCALER_TAG}/{}", spec.name()), "true".to_owned());
    }
    tags
}

/// The tags of disks that come and go with a machine. They do not carry the owner's tag: what does
/// is a resource of the plan, and these belong to their machine.
pub(super) fn disks(spec: &Spec, group: &InstanceGroup, name: &str) -> Tags {
    let mut tags = self::group(spec, group, name);
    tags.remove(OWNER_TAG);
    tags
}

/// The tags of an etcd member's volume.
pub(super) fn volume(
    spec: &Spec,
    etcd: &EtcdClusterSpec,
    member: &EtcdMemberSpec,
    name: &str,
) -> Tags {
    let mut tags = base(spec, name);
    let mut members: Vec<&str> = etcd.etcd_members.iter().map(|m| m.name.as_str()).collect();
    members.sort_unstable();
    let all = members.join(",");
    tags.insert(etcd_tag(&etcd.name), format!("{}/{all}", member.name));
    tags.extend(roles(Role::ControlPlane));
    tags
}

fn roles(role: Role) -> impl Iterator<Item = (String, String)> {
    let keys: &[&str] = match role {
        Role::ControlPlane => &["k8s.io/role/control-plane", "k8s.io/role/master"],
        Role::Node => &["k8s.io/role/node"],
        Role::Etcd => &["k8s.io/role/etcd"],
        Role::Bastion => &["k8s.io/role/bastion"],
    };
    keys.iter().map(|key| ((*key).to_owned(), "1".to_owned()))
}
