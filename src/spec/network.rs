//! Subnets, DNS topology and the pod network.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::CidrText;

/// A subnet the cluster may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubnetSpec {
    /// What the cluster's groups call it.
    pub name: String,
    /// What it is for.
    #[serde(rename = "type")]
    pub subnet_type: SubnetType,
    /// Its availability zone, such as `eu-central-1a`.
    pub zone: String,
    /// Its CIDR, checked against the real one.
    #[serde(default)]
    #[schemars(with = "Option<CidrText>")]
    pub cidr: Option<IpNet>,
    /// Its id, `subnet-…`.
    #[serde(default)]
    pub id: Option<String>,
}

/// What a subnet is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum SubnetType {
    /// Machines with public addresses.
    Public,
    /// Machines without public addresses.
    Private,
    /// Load balancers and bastions in front of private subnets.
    Utility,
}

/// Where the public records live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct TopologySpec {
    /// DNS.
    pub dns: Option<TopologyDnsSpec>,
}

/// The zone of the cluster's public records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct TopologyDnsSpec {
    /// `Public` for a zone on the internet, `Private` for one of the VPC, `None` for no record
    /// outside the cluster's own private zone.
    #[serde(rename = "type")]
    pub dns_type: Option<DnsType>,
}

/// Kinds of DNS zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DnsType {
    /// A zone on the internet.
    Public,
    /// A zone of the VPC.
    Private,
    /// No zone but the cluster's own private one.
    None,
}

/// The pod network: exactly one of these, as `{}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkingSpec {
    /// Calico: nodes may send IP-in-IP to the control plane.
    pub calico: Option<NoOptions>,
    /// Cilium.
    pub cilium: Option<NoOptions>,
    /// The AWS VPC plugin: nodes may send everything to the control plane.
    pub amazonvpc: Option<NoOptions>,
    /// Flannel.
    pub flannel: Option<NoOptions>,
    /// Kube-router: nodes may send IP-in-IP to the control plane.
    pub kuberouter: Option<NoOptions>,
    /// Kindnet.
    pub kindnet: Option<NoOptions>,
    /// Some other plugin, brought by the cluster's owner.
    pub cni: Option<NoOptions>,
    /// None: routes are made by hand.
    pub kubenet: Option<NoOptions>,
}

/// A choice without options: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}
