//! What a spec needs to know of the cloud: fetched once, passed in, recordable.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Facts about the account, the region, the network and the zone a cluster is to live in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Account of the credentials: 12 digits.
    pub account: String,
    /// Region that calls go to.
    pub region: String,
    /// The VPC that the spec names, if it exists.
    pub vpc: Option<VpcFact>,
    /// The subnets that the spec names and that exist, by id.
    pub subnets: BTreeMap<String, SubnetFact>,
    /// The zone of the cluster's public records, if it exists.
    pub public_zone: Option<ZoneFact>,
    /// The machine images that the spec names and that exist, by id.
    #[serde(default)]
    pub images: BTreeMap<String, ImageFact>,
}

/// The partition of AWS that a region is in, which every ARN names.
/// Source: IAM user guide, "Amazon Resource Names (ARNs)".
pub fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VpcFact {
    /// Its id, `vpc-…`.
    pub id: String,
    /// Its CIDRs; empty when they were not read.
    pub cidrs: Vec<IpNet>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubnetFact {
    /// Its id, `subnet-…`.
    pub id: String,
    /// Its availability zone.
    pub zone: String,
    /// Its CIDR.
    pub cidr: IpNet,
    /// The VPC it is in.
    pub vpc_id: String,
}

/// A Route53 hosted zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneFact {
    /// Its id, without `/hostedzone/`.
    pub id: String,
    /// Its name, without the final dot.
    pub name: String,
}

/// A machine image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFact {
    /// The device that its root volume is, such as `/dev/xvda`. A launch template that names another
    /// one does not size the root volume but adds a second disk.
    pub root_device_name: String,
}

/// A network that exists before any cluster, as a spec names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdoptedNetwork {
    /// The VPC.
    pub vpc_id: String,
    /// Its CIDRs; when none are given, the smallest range around the subnets.
    pub vpc_cidrs: Vec<IpNet>,
    /// Subnets: id, zone, CIDR. Without a CIDR a subnet gets a /20 of its own inside the VPC.
    pub subnets: Vec<(String, String, Option<IpNet>)>,
    /// The public zone, by name or by id (`Z…`).
    pub public_zone: Option<String>,
    /// The cluster's name: an unknown public zone given by id is named after what follows its first
    /// label.
    pub cluster: String,
}
