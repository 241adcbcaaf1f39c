//! Fields and values that kops v1alpha2 has and kprod does not honour: refused by name, so that
//! nobody believes in a setting that does nothing.

use super::field::{Field, Kind};
use crate::yaml::Step;

/// How messages about all of them end.
pub(super) const NOT_HONOURED_HERE: &str = "kprod does not honour it";

/// Kinds of documents that `kops get -o yaml` prints beside those that kprod reads, with what to do
/// instead.
pub(super) const KINDS: &[(&str, &str)] = &[
    ("SSHCredential", "leave it out, and name a key pair of EC2 in the cluster's `sshKeyName`"),
    ("Keyset", "leave it out"),
];

/// A field of kops that kprod does not honour.
pub(super) struct NotHonoured {
    pub(super) kind: Kind,
    /// Dotted path without list indexes; a final `*` stands for any one key.
    pub(super) path: &'static str,
    /// What to do instead.
    pub(super) instead: Option<&'static str>,
}

/// The entry for a field, if kops has it.
pub(super) fn lookup(field: &Field) -> Option<&'static NotHonoured> {
    let keys: Vec<&str> = field
        .path
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    let fits = |entry: &&NotHonoured| {
        let pattern: Vec<&str> = entry.path.split('.').collect();
        pattern.len() == keys.len()
            && pattern.iter().zip(&keys).all(|(part, key)| *part == "*" || part == key)
    };
    NOT_HONOURED.iter().filter(|entry| entry.kind == field.kind).find(fits)
}

/// Whether kops takes a word where kprod does not.
pub(super) fn is_kops_value(field: &Field, word: &str) -> bool {
    let last = field.path.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    KOPS_VALUES.iter().any(|(key, words)| last == Some(*key) && words.contains(&word))
}

/// Words of kops by field. Source: kops `pkg/apis/kops/v1alpha2`.
const KOPS_VALUES: &[(&str, &[&str])] = &[
    ("role", &["APIServer", "Scheduler", "KubeControllerManager"]),
    ("manager", &["Karpenter"]),
    ("type", &["DualStack"]),
    ("class", &["Classic"]),
    ("cloudProvider", &["gce", "azure", "digitalocean", "hetzner", "openstack", "scaleway"]),
];

const MANAGED_NETWORK: Option<&str> =
    Some("not yet: managed networks; give the ids of a network that exists");
const USER_DATA: Option<&str> = Some("say it in the group's `additionalUserData`");
const ADD_ON: Option<&str> = Some("run it in the cluster as an add-on of your own");
const ALWAYS_INTERNAL: Option<&str> =
    Some("leave it out: the API always has an internal network load balancer");

/// Makes an entry of the table.
const fn entry(kind: Kind, path: &'static str, instead: Option<&'static str>) -> NotHonoured {
    NotHonoured { kind, path, instead }
}

const fn cluster(path: &'static str, instead: Option<&'static str>) -> NotHonoured {
    entry(Kind::Cluster, path, instead)
}

const fn group(path: &'static str, instead: Option<&'static str>) -> NotHonoured {
    entry(Kind::InstanceGroup, path, instead)
}

/// Source: kops `pkg/apis/kops/v1alpha2/{cluster,instancegroup}.go`.
pub(super) const NOT_HONOURED: &[NotHonoured] = &[
    cluster("spec.DisableSubnetTags", Some("leave it out: subnets given by id are never tagged")),
    cluster("spec.addons", ADD_ON),
    cluster("spec.api.dns", ALWAYS_INTERNAL),
    cluster("spec.api.loadBalancer.accessLog", None),
    cluster(
        "spec.api.loadBalancer.idleTimeoutSeconds",
        Some("leave it out: network load balancers have no such setting"),
    ),
    cluster("spec.api.loadBalancer.useForInternalApi", ALWAYS_INTERNAL),
    cluster("spec.assets", None),
    cluster("spec.authentication", None),
    cluster("spec.additionalSans", USER_DATA),
    cluster("spec.authorization.alwaysAllow", Some("write `rbac: {}`")),
    cluster("spec.awsLoadBalancerController", ADD_ON),
    cluster("spec.certManager", ADD_ON),
    cluster("spec.cloudConfig", None),
    cluster("spec.cloudControllerManager", ADD_ON),
    cluster("spec.clusterAutoscaler", ADD_ON),
    cluster("spec.clusterDNSDomain", None),
    cluster("spec.containerRuntime", USER_DATA),
    cluster("spec.containerd", USER_DATA),
    cluster("spec.docker", USER_DATA),
    cluster("spec.egressProxy", USER_DATA),
    cluster("spec.encryptionConfig", None),
    cluster("spec.etcdClusters.cpuRequest", None),
    cluster("spec.etcdClusters.backups.image", None),
    cluster("spec.etcdClusters.enableEtcdTLS", Some("leave it out: etcd always has TLS")),
    cluster("spec.etcdClusters.enableTLSAuth", Some("leave it out: etcd always has TLS")),
    cluster("spec.etcdClusters.heartbeatInterval", None),
    cluster("spec.etcdClusters.image", None),
    cluster("spec.etcdClusters.leaderElectionTimeout", None),
    cluster("spec.etcdClusters.manager", Some("there is no etcd-manager here")),
    cluster("spec.etcdClusters.memoryRequest", None),
    cluster("spec.etcdClusters.provider", Some("there is no etcd-manager here")),
    cluster("spec.etcdClusters.version", USER_DATA),
    cluster("spec.externalDNS", ADD_ON),
    cluster("spec.externalDns", ADD_ON),
    cluster("spec.fileAssets", USER_DATA),
    cluster("spec.gossipConfig", None),
    cluster("spec.hooks", USER_DATA),
    cluster("spec.iam.legacy", Some("leave it out: policies are always the strict ones")),
    cluster("spec.iam.serviceAccountExternalPermissions", None),
    cluster("spec.iam.useServiceAccountExternalPermissions", None),
    cluster("spec.isolateMasters", None),
    cluster("spec.karpenter", None),
    cluster("spec.keyStore", None),
    cluster("spec.kubeAPIServer.*", USER_DATA),
    cluster("spec.kubeControllerManager", USER_DATA),
    cluster("spec.kubeDNS", ADD_ON),
    cluster("spec.kubeProxy", ADD_ON),
    cluster("spec.kubeScheduler", USER_DATA),
    cluster("spec.masterInternalName", Some("leave it out: it is `api.internal.<cluster>`")),
    cluster("spec.metricsServer", ADD_ON),
    cluster("spec.networking.canal", None),
    cluster("spec.networking.cilium.*", ADD_ON),
    cluster("spec.networking.calico.*", ADD_ON),
    cluster("spec.networking.amazonvpc.*", ADD_ON),
    cluster("spec.networking.flannel.*", ADD_ON),
    cluster("spec.networking.kuberouter.*", ADD_ON),
    cluster("spec.networking.kindnet.*", ADD_ON),
    cluster("spec.networking.cni.*", ADD_ON),
    cluster("spec.networking.gcp", None),
    cluster("spec.nodeProblemDetector", ADD_ON),
    cluster("spec.nodeTerminationHandler", ADD_ON),
    cluster("spec.ntp", USER_DATA),
    cluster("spec.packages", USER_DATA),
    cluster("spec.podIdentityWebhook", ADD_ON),
    cluster("spec.project", None),
    cluster("spec.secretStore", None),
    cluster("spec.serviceAccountIssuerDiscovery", None),
    cluster("spec.snapshotController", ADD_ON),
    cluster("spec.subnets.additionalRoutes", MANAGED_NETWORK),
    cluster("spec.subnets.egress", MANAGED_NETWORK),
    cluster("spec.subnets.ipv6CIDR", MANAGED_NETWORK),
    cluster("spec.subnets.publicIP", MANAGED_NETWORK),
    cluster("spec.subnets.region", Some("leave it out: the cluster has one `region`")),
    cluster("spec.sysctlParameters", USER_DATA),
    cluster("spec.target", None),
    cluster("spec.tagSubnets", Some("leave it out: subnets given by id are never tagged")),
    cluster("spec.topology.bastion", Some("give a group of role Bastion; it has no load balancer")),
    cluster("spec.topology.masters", Some("leave it out: the type of a group's subnets says it")),
    cluster("spec.topology.nodes", Some("leave it out: the type of a group's subnets says it")),
    cluster("spec.updatePolicy", USER_DATA),
    cluster("spec.useHostCertificates", None),
    cluster("spec.warmPool", None),
    group("spec.compressUserData", None),
    group("spec.containerd", USER_DATA),
    group("spec.externalLoadBalancers.loadBalancerName", Some("name a `targetGroupArn`")),
    group("spec.fileAssets", USER_DATA),
    group("spec.gcpProvisioningModel", None),
    group("spec.guestAccelerators", None),
    group("spec.hooks", USER_DATA),
    group("spec.packages", USER_DATA),
    group(
        "spec.rootVolumeDeleteOnTermination",
        Some("leave it out: root volumes always go with their machine"),
    ),
    group(
        "spec.spotDurationInMinutes",
        Some("leave it out: AWS has retired spot blocks and refuses new ones"),
    ),
    group("spec.sysctlParameters", USER_DATA),
    group("spec.updatePolicy", USER_DATA),
    group("spec.volumeMounts", USER_DATA),
    group("spec.warmPool", None),
];
