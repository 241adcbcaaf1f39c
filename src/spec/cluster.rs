//! The cluster's own fields.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::IpNet;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::etcd::EtcdClusterSpec;
use super::kubelet::KubeletSpec;
use super::network::{NetworkingSpec, NoOptions, SubnetSpec, TopologySpec};
use super::rollout::ClusterRollingUpdateSpec;
use super::text::{AccessSource, CidrText, PortRange};

/// What is wanted of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// AWS account the cluster lives in: 12 digits, in quotes. Checked against the credentials.
    pub account: Option<String>,
    /// AWS region the cluster lives in. Checked against the credentials.
    pub region: Option<String>,
    /// Promotion channel: clusters of one channel are changed together, in waves.
    pub channel: Option<String>,
    /// What the cluster is held to: `production` asks more of it. Nothing else depends on it.
    pub profile: Option<Profile>,
    /// Lints that are to stand for a while, each with a reason.
    pub waivers: Vec<WaiverSpec>,
    /// Where the machines are; only `aws`.
    pub cloud_provider: Option<CloudProvider>,
    /// Kubernetes version, such as `1.33.4`.
    pub kubernetes_version: Option<String>,
    /// `s3://` address of the cluster's state: machines may read what is in `assets/` below it.
    pub config_base: Option<String>,
    /// Id of the VPC, `vpc-…`.
    #[serde(rename = "networkID")]
    pub network_id: Option<String>,
    /// The VPC's CIDR.
    #[serde(rename = "networkCIDR")]
    #[schemars(with = "Option<CidrText>")]
    pub network_cidr: Option<IpNet>,
    /// Further CIDRs of the VPC.
    #[serde(rename = "additionalNetworkCIDRs")]
    #[schemars(with = "Vec<CidrText>")]
    pub additional_network_cidrs: Vec<IpNet>,
    /// Addresses that are reached without masquerading; holds pods and services.
    #[serde(rename = "nonMasqueradeCIDR")]
    #[schemars(with = "Option<CidrText>")]
    pub non_masquerade_cidr: Option<IpNet>,
    /// Addresses of pods.
    #[serde(rename = "podCIDR")]
    #[schemars(with = "Option<CidrText>")]
    pub pod_cidr: Option<IpNet>,
    /// Addresses of services.
    #[serde(rename = "serviceClusterIPRange")]
    #[schemars(with = "Option<CidrText>")]
    pub service_cluster_ip_range: Option<IpNet>,
    /// Subnets the cluster may use, by the name that groups call them.
    pub subnets: Vec<SubnetSpec>,
    /// Where the public records live.
    pub topology: Option<TopologySpec>,
    /// Name or id of the Route53 zone of the cluster's public records.
    pub dns_zone: Option<String>,
    /// Name of the API server for its users; `api.<cluster>` when absent.
    pub master_public_name: Option<String>,
    /// How the API server is reached.
    pub api: Option<ApiSpec>,
    /// Who may reach the API server: CIDRs and prefix lists (`pl-…`).
    pub kubernetes_api_access: Vec<AccessSource>,
    /// Who may reach machines by SSH: CIDRs and prefix lists (`pl-…`).
    pub ssh_access: Vec<AccessSource>,
    /// Who may reach node ports: CIDRs and prefix lists (`pl-…`).
    pub node_port_access: Vec<AccessSource>,
    /// Name of an EC2 key pair that exists; empty or absent for none.
    pub ssh_key_name: Option<String>,
    /// Tags for every resource of the cluster.
    pub cloud_labels: BTreeMap<String, String>,
    /// Extra policy statements by role: a JSON list of IAM statements.
    #[schemars(extend("propertyNames" = {"enum": ["master", "node", "bastion", "etcd"]}))]
    pub additional_policies: BTreeMap<PolicyRole, String>,
    /// ARNs of managed policies to attach, by role.
    #[schemars(extend("propertyNames" = {"enum": ["master", "node", "bastion", "etcd"]}))]
    pub external_policies: BTreeMap<PolicyRole, Vec<String>>,
    /// What concerns every IAM role.
    pub iam: Option<ClusterIamSpec>,
    /// The etcd clusters: `main`, and `events` if events are kept apart.
    pub etcd_clusters: Vec<EtcdClusterSpec>,
    /// How machines are replaced, unless their group says otherwise.
    pub rolling_update: Option<ClusterRollingUpdateSpec>,
    /// Kubelet settings of all groups but the control plane.
    pub kubelet: Option<KubeletSpec>,
    /// Kubelet settings of the control plane.
    pub master_kubelet: Option<KubeletSpec>,
    /// API server settings that shape security groups.
    #[serde(rename = "kubeAPIServer")]
    pub kube_api_server: Option<KubeApiServerSpec>,
    /// The pod network, which shapes security groups.
    pub networking: Option<NetworkingSpec>,
    /// How requests are authorised; always RBAC.
    pub authorization: Option<AuthorizationSpec>,
}

/// What a cluster is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// For trying things; what absent means.
    Development,
    /// People depend on it.
    Production,
}

/// A lint that is to stand for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaiverSpec {
    /// Its number, such as `L19`.
    pub lint: String,
    /// Why it may stand.
    pub reason: String,
    /// The last day on which it may, such as `2027-01-31`.
    pub expires: String,
}

impl WaiverSpec {
    /// The last day on which it holds, if what is written is one.
    pub fn last_day(&self) -> Option<Date> {
        self.expires.parse().ok()
    }
}

/// The clouds a cluster can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CloudProvider {
    /// Amazon Web Services.
    Aws,
}

/// The roles that extra IAM policies are given to, in kops' v1alpha2 words.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PolicyRole {
    /// The control plane.
    Master,
    /// Workers.
    Node,
    /// Bastions.
    Bastion,
    /// Dedicated etcd machines.
    Etcd,
}

/// How the API server is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiSpec {
    /// The load balancer. An internal one is always built; this says whether there is a public one
    /// too.
    pub load_balancer: Option<ApiBalancerSpec>,
}

/// The API server's load balancer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiBalancerSpec {
    /// Kind of load balancer; only `Network`.
    pub class: Option<BalancerClass>,
    /// `Public` builds a public load balancer beside the internal one.
    #[serde(rename = "type")]
    pub balancer_type: Option<BalancerType>,
    /// Use this security group (`sg-…`) in place of the built one.
    pub security_group_override: Option<String>,
    /// Further security groups (`sg-…`).
    pub additional_security_groups: Vec<String>,
    /// Whether each zone's address serves targets of all zones.
    pub cross_zone_load_balancing: Option<bool>,
    /// The subnets of the load balancer of this `type`; when absent the cluster's utility or public
    /// subnets for a public one, its private ones for an internal one.
    pub subnets: Vec<ApiSubnetSpec>,
    /// ARN of the certificate (ACM or IAM) that users of the public load balancer see on port 443;
    /// port 8443 then leads past it, for clients that have certificates of their own.
    pub ssl_certificate: Option<String>,
    /// TLS policy of port 443, `ELBSecurityPolicy-…`; needs `sslCertificate`.
    pub ssl_policy: Option<String>,
}

/// Kinds of load balancers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BalancerClass {
    /// A network load balancer.
    Network,
}

/// Who a load balancer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BalancerType {
    /// Reached from the internet.
    Public,
    /// Reached from inside the VPC.
    Internal,
}

/// A subnet of the API server's load balancer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiSubnetSpec {
    /// Name of one of the cluster's subnets.
    pub name: String,
    /// A fixed address of the subnet, for an internal load balancer.
    #[serde(default, rename = "privateIPv4Address")]
    pub private_ipv4_address: Option<Ipv4Addr>,
    /// Id of an elastic IP that exists (`eipalloc-…`), for a public load balancer.
    #[serde(default)]
    pub allocation_id: Option<String>,
}

/// What concerns every IAM role of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterIamSpec {
    /// ARN of the permissions boundary of every role.
    pub permissions_boundary: Option<String>,
    /// Whether machines may pull from the account's container registry.
    pub allow_container_registry: Option<bool>,
}

/// API server settings that shape security groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeApiServerSpec {
    /// Ports of services of type NodePort, such as `30000-32767`.
    pub service_node_port_range: Option<PortRange>,
}

/// How requests to the API server are authorised.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizationSpec {
    /// By roles; always so.
    pub rbac: Option<NoOptions>,
}
