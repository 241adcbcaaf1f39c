//! Security groups and their rules.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Ref, Tags};

/// A security group, without its rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Name, unique in its VPC.
    pub group_name: String,
    /// Description; AWS cannot change it.
    pub description: String,
    /// The VPC it lives in.
    pub vpc_id: String,
    /// Tags.
    pub tags: Tags,
}

/// The rules that kprod keeps in one security group.
///
/// A rule is ours when its description is [`SecurityGroupRules::owner_description`]; others in the
/// same group are foreign and stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroupRules {
    /// The group that holds them.
    pub group_id: Ref,
    /// Ingress and egress rules.
    pub rules: BTreeSet<Rule>,
}

impl SecurityGroupRules {
    /// The description that marks a rule as ours. `DescribeSecurityGroups` returns it with the
    /// rule, so that no further call is needed to tell ours from others'.
    pub fn owner_description(cluster: &str) -> String {
        format!("{}={cluster}", super::OWNER_TAG)
    }
}

/// One rule with one peer, as in the AWS API's `SecurityGroupRule`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// Outbound if set.
    pub is_egress: bool,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, a protocol number such as `4`, or `-1` for all.
    pub ip_protocol: String,
    /// First port, or the ICMP type; -1 for all.
    pub from_port: i32,
    /// Last port, or the ICMP code; -1 for all.
    pub to_port: i32,
    /// An IPv4 range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr_ipv4: Option<String>,
    /// An IPv6 range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr_ipv6: Option<String>,
    /// A prefix list (`pl-…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_list_id: Option<String>,
    /// Another security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referenced_group_id: Option<Ref>,
}

impl Rule {
    /// The rule that AWS puts into each new group: all IPv4 egress (EC2 API, CreateSecurityGroup).
    pub fn default_egress() -> Self {
        Self {
            is_egress: true,
            ip_protocol: "-1".to_owned(),
            from_port: -1,
            to_port: -1,
            cidr_ipv4: Some("0.0.0.0/0".to_owned()),
            cidr_ipv6: None,
            prefix_list_id: None,
            referenced_group_id: None,
        }
    }
}
