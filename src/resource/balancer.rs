//! Network load balancers of the API, their target groups and listeners.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Ref, Tags};

/// A network load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Name, at most 32 characters, unique in account and region.
    pub name: String,
    /// `internal` or `internet-facing`.
    pub scheme: String,
    /// `ipv4` or `dualstack`.
    pub ip_address_type: String,
    /// Its subnets, with fixed addresses where asked for.
    pub subnet_mappings: BTreeSet<SubnetMapping>,
    /// Its security groups.
    pub security_groups: BTreeSet<Ref>,
    /// The attribute `load_balancing.cross_zone.enabled`.
    pub cross_zone_enabled: bool,
    /// The attribute `deletion_protection.enabled`.
    pub deletion_protection_enabled: bool,
    /// Tags.
    pub tags: Tags,
}

/// One subnet of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SubnetMapping {
    /// The subnet.
    pub subnet_id: String,
    /// A fixed private address (internal only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ipv4_address: Option<String>,
    /// An elastic IP (internet-facing only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_id: Option<String>,
}

/// A target group of instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Name, at most 32 characters, unique in account and region.
    pub name: String,
    /// `TCP` or `TLS`.
    pub protocol: String,
    /// The port of the targets.
    pub port: i32,
    /// The VPC of the targets.
    pub vpc_id: String,
    /// How targets are checked.
    pub health_check: HealthCheck,
    /// The attribute `deregistration_delay.timeout_seconds`.
    pub deregistration_delay_seconds: u32,
    /// The attribute `deregistration_delay.connection_termination.enabled`.
    pub connection_termination_enabled: bool,
    /// The attribute `preserve_client_ip.enabled`; off so that a machine may reach itself.
    pub preserve_client_ip_enabled: bool,
    /// Tags.
    pub tags: Tags,
}

/// How a target group checks its targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `TCP`, `HTTP` or `HTTPS`.
    pub protocol: String,
    /// A port, or `traffic-port`.
    pub port: String,
    /// The path, for HTTP and HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Seconds between two checks.
    pub interval_seconds: i32,
    /// Successes until healthy.
    pub healthy_threshold_count: i32,
    /// Failures until unhealthy.
    pub unhealthy_threshold_count: i32,
}

impl HealthCheck {
    /// A connection to the port that traffic goes to, with kops' figures: whoever does not answer is
    /// out after 20 seconds.
    pub fn tcp() -> Self {
        Self {
            protocol: "TCP".to_owned(),
            port: "traffic-port".to_owned(),
            path: None,
            interval_seconds: 10,
            healthy_threshold_count: 2,
            unhealthy_threshold_count: 2,
        }
    }
}

/// A listener: a port of a load balancer that forwards to a target group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// The load balancer.
    pub load_balancer_arn: Ref,
    /// The port.
    pub port: i32,
    /// `TCP` or `TLS`.
    pub protocol: String,
    /// The certificate, for TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_arn: Option<String>,
    /// The TLS policy, for TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_policy: Option<String>,
    /// Where it forwards to.
    pub target_group_arn: Ref,
}

impl Listener {
    /// A listener's name in its [`super::Key`]: AWS gives it none, but a load balancer has one
    /// listener a port.
    pub fn name_of(load_balancer: &str, port: i32) -> String {
        format!("{load_balancer}:{port}")
    }
}
