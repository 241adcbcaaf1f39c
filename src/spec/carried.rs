//! Fields that are read and checked, and shape no resource: what they say is kept, no more.
//!
//! Every other field changes what is built. A law over the schema holds both ways: a field that is
//! not here changes a resource, and one that is here changes none.

use super::field::Kind;

/// Why a field shapes no resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CarriedReason {
    /// kops writes it when it exports; it means nothing here.
    Exported,
    /// There is only one choice, which may be written out.
    OneChoice,
    /// It is compared with the other fields, and with the network that exists.
    Checked,
    /// It says how machines are replaced, or in which order clusters and groups go.
    Order,
    /// It is about software on the machines, which is set up by their user data.
    Machine,
    /// It says what lints ask of the cluster.
    Lint,
}

/// A field that shapes no resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The kind of document it is in.
    pub kind: Kind,
    /// Dotted path; a final `*` stands for every field below that [`CARRIED_NOT`] does not name.
    pub path: &'static str,
    /// Why it shapes nothing.
    pub reason: CarriedReason,
}

const fn cluster(path: &'static str, reason: CarriedReason) -> Carried {
    Carried { kind: Kind::Cluster, path, reason }
}

const fn group(path: &'static str, reason: CarriedReason) -> Carried {
    Carried { kind: Kind::InstanceGroup, path, reason }
}

/// All fields that shape no resource.
pub const CARRIED: &[Carried] = &[
    cluster("metadata.annotations", CarriedReason::Exported),
    cluster("metadata.creationTimestamp", CarriedReason::Exported),
    cluster("metadata.generation", CarriedReason::Exported),
    cluster("metadata.labels", CarriedReason::Exported),
    cluster("spec.additionalNetworkCIDRs", CarriedReason::Checked),
    cluster("spec.api.loadBalancer.class", CarriedReason::OneChoice),
    cluster("spec.authorization.rbac", CarriedReason::OneChoice),
    cluster("spec.channel", CarriedReason::Order),
    cluster("spec.cloudProvider", CarriedReason::OneChoice),
    cluster("spec.etcdClusters.backups.lastDrill", CarriedReason::Lint),
    cluster("spec.kubelet.*", CarriedReason::Machine),
    cluster("spec.kubernetesVersion", CarriedReason::Machine),
    cluster("spec.masterKubelet.*", CarriedReason::Machine),
    cluster("spec.networkCIDR", CarriedReason::Checked),
    cluster("spec.networking.cilium", CarriedReason::Machine),
    cluster("spec.networking.cni", CarriedReason::Machine),
    cluster("spec.networking.flannel", CarriedReason::Machine),
    cluster("spec.networking.kindnet", CarriedReason::Machine),
    cluster("spec.nonMasqueradeCIDR", CarriedReason::Machine),
    cluster("spec.podCIDR", CarriedReason::Machine),
    cluster("spec.profile", CarriedReason::Lint),
    cluster("spec.rollingUpdate.*", CarriedReason::Order),
    cluster("spec.serviceClusterIPRange", CarriedReason::Machine),
    cluster("spec.subnets.cidr", CarriedReason::Checked),
    cluster("spec.waivers.*", CarriedReason::Lint),
    group("metadata.annotations", CarriedReason::Exported),
    group("metadata.creationTimestamp", CarriedReason::Exported),
    group("metadata.generation", CarriedReason::Exported),
    group("metadata.labels", CarriedReason::Checked),
    group("spec.autoscalePriority", CarriedReason::Order),
    group("spec.kubelet.*", CarriedReason::Machine),
    group("spec.manager", CarriedReason::OneChoice),
    group("spec.rollingUpdate.*", CarriedReason::Order),
];

/// The fields below a `*` that do shape resources: the tags that the cluster autoscaler reads.
pub const CARRIED_NOT: &[&str] = &["nodeLabels", "taints"];

/// The entry of a field that shapes no resource; `path` is dotted, without list indexes.
pub fn carried(kind: Kind, path: &str) -> Option<&'static Carried> {
    let fits = |entry: &&Carried| match entry.path.strip_suffix('*') {
        Some(start) => path.strip_prefix(start).is_some_and(|field| !CARRIED_NOT.contains(&field)),
        None => entry.path == path,
    };
    CARRIED.iter().filter(|entry| entry.kind == kind).find(fits)
}
