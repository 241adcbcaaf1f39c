//! Names of AWS resources, exactly as kops gives them, so that people and tools that know kops find
//! what they expect; those of a group's machines are [`crate::spec::Spec::machine_name`].
//! Source: kops `pkg/model/names.go`, `pkg/truncate/truncate.go`.

use super::draft::Draft;
use crate::etcd::names;
use crate::spec::{Field, Kind, Role, Spec};

/// The most characters of an IAM role's name. Source: IAM user guide, "IAM and AWS STS quotas".
pub(super) const ROLE_NAME_MAX: usize = 64;
/// The most characters of a load balancer's or target group's name. Source: Elastic Load Balancing
/// API reference, CreateLoadBalancer.
pub(super) const BALANCER_NAME_MAX: usize = 32;

/// Port that API servers and their load balancers listen on.
pub(super) const API_PORT: u16 = 443;
/// Port of the public load balancer that leads past its certificate, if it has one.
pub(super) const PAST_CERTIFICATE_PORT: u16 = 8443;

/// First labels of names below a cluster's: a cluster called so would share names with the resources
/// of the cluster above it, such as the API of `internal.c.example.com` with the internal API of
/// `c.example.com`.
const LABELS_BELOW: [&str; 3] = ["etcd", "internal", "masters"];

/// Reports a cluster's name that cannot be kept apart from another cluster's resources.
pub(super) fn check(spec: &Spec, draft: &mut Draft<'_>) {
    let Some((first, rest)) = spec.name().split_once('.') else { return };
    if LABELS_BELOW.contains(&first) {
        let field = Field::new(Kind::Cluster, spec.name(), "metadata.name");
        let message =
            format!("the cluster's resources would have the names of those of a cluster `{rest}`");
        draft.error(&field, message, "begin the name with something else");
    }
}

/// Names of one cluster's resources. Each holds the cluster's name, so that clusters stay apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    cluster: &'a str,
}

impl<'a> Names<'a> {
    pub(super) fn of(cluster: &'a str) -> Self {
        Self { cluster }
    }

    /// The security group of a role's machines.
    pub(super) fn security_group(self, role: Role) -> String {
        let first = match role {
            Role::ControlPlane => "masters",
            Role::Node => "nodes",
            Role::Bastion => "bastion",
            Role::Etcd => "etcd",
        };
        format!("{first}.{}", self.cluster)
    }

    /// The security group of the API's load balancers.
    pub(super) fn api_security_group(self) -> String {
        format!("api-elb.{}", self.cluster)
    }

    /// The IAM role and instance profile of a role's machines.
    pub(super) fn role(self, role: Role) -> String {
        let first = match role {
            Role::ControlPlane => "masters",
            Role::Node => "nodes",
            Role::Bastion => "bastions",
            Role::Etcd => "etcd",
        };
        truncate(&format!("{first}.{}", self.cluster), ROLE_NAME_MAX)
    }

    /// A load balancer or a target group: `api`, `tcp`, …
    pub(super) fn balancer(self, prefix: &str) -> String {
        let full = format!("{prefix}-{}", self.cluster.replace('.', "-"));
        hashed(&full, BALANCER_NAME_MAX)
    }

    /// The volume of an etcd member.
    pub(super) fn volume(self, etcd: &str, member: &str) -> String {
        format!("{member}.etcd-{etcd}.{}", self.cluster)
    }

    /// The cluster's own private zone.
    pub(super) fn private_zone(self) -> String {
        names::private_zone(self.cluster)
    }

    /// The API server's name inside the VPC.
    pub(super) fn internal_api(self) -> String {
        format!("api.internal.{}", self.cluster)
    }

    /// The name of an etcd member's host, one for each etcd cluster it is in.
    pub(super) fn etcd_host(self, etcd: &str, member: &str) -> String {
        names::member_host(self.cluster, etcd, member)
    }

    /// The SRV record that lists an etcd cluster's peers.
    pub(super) fn etcd_service(self, etcd: &str) -> String {
        names::service(self.cluster, etcd)
    }
}

/// The names that a cluster's roles can have, whichever its spec asks for; its instance profiles are
/// called the same.
pub fn role_names(cluster: &str) -> Vec<String> {
    let roles = [Role::ControlPlane, Role::Node, Role::Etcd, Role::Bastion];
    roles.map(|role| Names::of(cluster).role(role)).to_vec()
}

/// The names that a cluster's load balancers can have, whichever its spec asks for.
pub fn balancer_names(cluster: &str) -> Vec<String> {
    ["api", "api-internal"].map(|prefix| Names::of(cluster).balancer(prefix)).to_vec()
}

/// The names that a cluster's target groups can have, whichever its spec asks for.
pub fn target_group_names(cluster: &str) -> Vec<String> {
    ["tcp", "tcp-internal", "tls"].map(|prefix| Names::of(cluster).balancer(prefix)).to_vec()
}

/// A text of at most `max` characters: itself, or its start and a hash of the whole.
fn truncate(text: &str, max: usize) -> String {
    if text.chars().count() <= max { text.to_owned() } else { hashed(text, max) }
}

/// The start of a text and a hash of the whole, together at most `max` characters.
fn hashed(text: &str, max: usize) -> String {
    let start: String = text.chars().take(max.saturating_sub(HASH_CHARS + 1)).collect();
    format!("{start}-{}", hash(text))
}

const HASH_CHARS: usize = 6;

/// The first six characters of the base32-hex form of the text's FNV-1a hash.
fn hash(text: &str) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let fnv = text
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let digit = |index: u32| ALPHABET[(fnv >> (27 - 5 * index) & 31) as usize] as char;
    (0..HASH_CHARS as u32).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kops() {
        // From kops' expected files of the case `complex`.
        let names = Names::of("complex.example.com");
        assert_eq!(names.balancer("api"), "api-complex-example-com-vd3t5n");
        assert_eq!(names.balancer("tcp"), "tcp-complex-example-com-vpjolq");
        assert_eq!(names.balancer("tls"), "tls-complex-example-com-5nursn");
    }
}
