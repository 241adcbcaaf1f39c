//! Resources: the one vocabulary that `desired` builds, `cloud` observes and `plan` compares.
//!
//! Each kind is a plain struct whose fields carry the AWS API's names in snake_case, so a resource
//! serialises to exactly what a plan prints. Lists whose order AWS does not keep are sets. A
//! difference between two resources is a difference between two serialised values, hence no field
//! can be forgotten; what a changed field costs is told by one table in `plan::classify`.

mod asset;
mod balancer;
mod compute;
mod dns;
mod etcd;
mod iam;
mod pki;
mod reference;
mod roll;
mod security;
mod storage;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use asset::Asset;
pub use balancer::{HealthCheck, Listener, LoadBalancer, SubnetMapping, TargetGroup};
pub use compute::{
    AutoScalingGroup, BlockDeviceMapping, GroupTag, InstanceMarketOptions, InstanceRequirements,
    LaunchTemplate, LaunchTemplateData, LaunchTemplateInterface, LifecycleHook, MetadataOptions,
    MixedInstancesPolicy, RequirementRange,
};
pub use dns::{AliasTarget, BatchSize, DnsName, HostedZone, RecordSet};
pub use etcd::{Epoch, EpochMember};
pub use iam::{InstanceProfile, Role};
pub use pki::Authority;
pub use reference::{Attribute, Ref};
pub use roll::{Raised, RollMark, tail};
pub use security::{Rule, SecurityGroup, SecurityGroupRules};
pub use storage::{NetworkInterface, Volume};

/// Tags of a resource, by key.
pub type Tags = BTreeMap<String, String>;

/// What the keys of kprod's own tags begin with.
pub const OWN_TAG_PREFIX: &str = "kprod.dev/";

/// The tag that makes a resource ours: its value is the cluster's name.
pub const OWNER_TAG: &str = "kprod.dev/cluster";

/// Digest of the wanted resource at the last apply; tells drift (the world moved) from change (the
/// spec moved). Never a reason for a change by itself.
pub const DIGEST_TAG: &str = "kprod.dev/digest";

/// On a launch template: `<version>:<revision>:<content digest>` of the version last made from the
/// spec, so that an unchanged plan reads no versions.
pub const VERSION_TAG: &str = "kprod.dev/version";

/// On an ASG: `<version>:<revision>`, where the group should go.
pub const TARGET_TAG: &str = "kprod.dev/target";

/// The version and the revision of a [`TARGET_TAG`]; none if its text is no target.
pub fn read_target(text: &str) -> Option<(u64, &str)> {
    let (version, revision) = text.split_once(':')?;
    Some((version.parse().ok()?, revision))
}

/// On an ASG: the revision that an automatic rollback left behind.
pub const FAILED_TAG: &str = "kprod.dev/failed";

/// On an ASG: a rolling update works on it; what it noted, for whoever goes on: a [`RollMark`].
pub const ROLL_TAG: &str = "kprod.dev/roll";

/// On an instance: a rolling update takes it, or took it, out of its group.
pub const DETACHED_TAG: &str = "kprod.dev/detached";

/// On a launch template: `<image id>:<root device>`, what it was built from. Neither ever changes for an
/// id, so that an unchanged plan asks for no image.
pub const IMAGE_TAG: &str = "kprod.dev/image";

/// Begins the tag of an etcd volume that says which member it belongs to; an etcd cluster's name follows.
/// Source: kops `pkg/model/master_volumes.go`.
pub const ETCD_TAG_PREFIX: &str = "k8s.io/etcd/";

/// The tag that says which member of an etcd cluster a volume belongs to: `<member>/<all members>`.
pub fn etcd_tag(etcd: &str) -> String {
    format!("{ETCD_TAG_PREFIX}{etcd}")
}

/// On a volume that a restore has set aside: of which cluster, and when. It is nobody's from then on.
pub const SET_ASIDE_TAG: &str = "kprod.dev/set-aside";

/// On an etcd volume: its machine has begun to format it, so that nobody ever does again.
pub const FORMATTED_TAG: &str = "kprod.dev/formatted";

/// kops' own ownership tag; with it and without ours a resource is foreign.
pub const KOPS_CLUSTER_TAG: &str = "KubernetesCluster";

/// What sort of thing a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An EC2 security group, without its rules.
    SecurityGroup,
    /// All rules that kprod keeps in one security group.
    SecurityGroupRules,
    /// An IAM role with its inline and attached policies.
    Role,
    /// An IAM instance profile.
    InstanceProfile,
    /// A network load balancer.
    LoadBalancer,
    /// A target group.
    TargetGroup,
    /// A listener of a load balancer.
    Listener,
    /// A Route53 hosted zone.
    HostedZone,
    /// One DNS name in a zone: its record sets and their owner TXT, one atomic batch.
    DnsName,
    /// An EBS volume of an etcd member.
    Volume,
    /// A network interface that keeps a group's address.
    NetworkInterface,
    /// A key that signs, with its certificate: two parameters of Systems Manager's store.
    Authority,
    /// The epoch of an etcd cluster: an object of the state bucket.
    Epoch,
    /// A file that machines fetch: an object of the state bucket.
    Asset,
    /// A launch template; its content lives in numbered versions.
    LaunchTemplate,
    /// An auto scaling group.
    AutoScalingGroup,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Kind; 16] = [
        Kind::SecurityGroup,
        Kind::SecurityGroupRules,
        Kind::Role,
        Kind::InstanceProfile,
        Kind::LoadBalancer,
        Kind::TargetGroup,
        Kind::Listener,
        Kind::HostedZone,
        Kind::DnsName,
        Kind::Volume,
        Kind::NetworkInterface,
        Kind::Authority,
        Kind::Epoch,
        Kind::Asset,
        Kind::LaunchTemplate,
        Kind::AutoScalingGroup,
    ];

    /// The kind as it stands in an address.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::SecurityGroup => "security_group",
            Kind::SecurityGroupRules => "security_group_rules",
            Kind::Role => "role",
            Kind::InstanceProfile => "instance_profile",
            Kind::LoadBalancer => "load_balancer",
            Kind::TargetGroup => "target_group",
            Kind::Listener => "listener",
            Kind::HostedZone => "hosted_zone",
            Kind::DnsName => "dns_name",
            Kind::Volume => "volume",
            Kind::NetworkInterface => "network_interface",
            Kind::Authority => "authority",
            Kind::Epoch => "epoch",
            Kind::Asset => "asset",
            Kind::LaunchTemplate => "launch_template",
            Kind::AutoScalingGroup => "auto_scaling_group",
        }
    }

    /// Whether losing it loses data that nothing else can bring back.
    pub fn is_data_bearing(self) -> bool {
        matches!(self, Kind::Volume | Kind::Authority | Kind::Epoch)
    }

    /// Whether what nobody wants any more stays until the whole cluster goes: a machine that starts from
    /// an older launch template version fetches the asset of that time.
    pub fn is_kept(self) -> bool {
        matches!(self, Kind::Asset)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A resource's identity inside one cluster: kind and name. Written `kind/name`, it is the address
/// in plans, messages and `--only`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What sort of thing it is.
    pub kind: Kind,
    /// Its natural key in AWS: a group's name, a role's name, a volume's or interface's `Name` tag, a
    /// DNS name. Rules have the name of the security group that holds them, or its id (`sg-…`) when
    /// the spec brought the group; a listener has `<load balancer's name>:<port>`.
    pub name: String,
}

impl Key {
    /// The key of a kind and a name.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// An address that names no kind, or is not `kind/name`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address; write kind/name, such as auto_scaling_group/nodes.example.com")]
pub struct AddressError(String);

impl FromStr for Key {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || AddressError(text.to_owned());
        let (kind, name) = text.split_once('/').ok_or_else(error)?;
        let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind).ok_or_else(error)?;
        if name.is_empty() {
            return Err(error());
        }
        Ok(Key::new(kind, name))
    }
}

impl Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Any resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum Resource {
    /// See [`SecurityGroup`].
    SecurityGroup(SecurityGroup),
    /// See [`SecurityGroupRules`].
    SecurityGroupRules(SecurityGroupRules),
    /// See [`Role`].
    Role(Role),
    /// See [`InstanceProfile`].
    InstanceProfile(InstanceProfile),
    /// See [`LoadBalancer`].
    LoadBalancer(LoadBalancer),
    /// See [`TargetGroup`].
    TargetGroup(TargetGroup),
    /// See [`Listener`].
    Listener(Listener),
    /// See [`HostedZone`].
    HostedZone(HostedZone),
    /// See [`DnsName`].
    DnsName(DnsName),
    /// See [`Volume`].
    Volume(Volume),
    /// See [`NetworkInterface`].
    NetworkInterface(NetworkInterface),
    /// See [`Authority`].
    Authority(Authority),
    /// See [`Epoch`].
    Epoch(Epoch),
    /// See [`Asset`].
    Asset(Asset),
    /// See [`LaunchTemplate`].
    LaunchTemplate(LaunchTemplate),
    /// See [`AutoScalingGroup`].
    AutoScalingGroup(AutoScalingGroup),
}

impl Resource {
    /// The resource's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Resource::SecurityGroup(_) => Kind::SecurityGroup,
            Resource::SecurityGroupRules(_) => Kind::SecurityGroupRules,
            Resource::Role(_) => Kind::Role,
            Resource::InstanceProfile(_) => Kind::InstanceProfile,
            Resource::LoadBalancer(_) => Kind::LoadBalancer,
            Resource::TargetGroup(_) => Kind::TargetGroup,
            Resource::Listener(_) => Kind::Listener,
            Resource::HostedZone(_) => Kind::HostedZone,
            Resource::DnsName(_) => Kind::DnsName,
            Resource::Volume(_) => Kind::Volume,
            Resource::NetworkInterface(_) => Kind::NetworkInterface,
            Resource::Authority(_) => Kind::Authority,
            Resource::Epoch(_) => Kind::Epoch,
            Resource::Asset(_) => Kind::Asset,
            Resource::LaunchTemplate(_) => Kind::LaunchTemplate,
            Resource::AutoScalingGroup(_) => Kind::AutoScalingGroup,
        }
    }

    /// The resource's fields as a plan prints them. References that are not known yet appear as
    /// `${address:attribute}`.
    pub fn to_value(&self) -> serde_json::Value {
        let value = match self {
            Resource::SecurityGroup(r) => serde_json::to_value(r),
            Resource::SecurityGroupRules(r) => serde_json::to_value(r),
            Resource::Role(r) => serde_json::to_value(r),
            Resource::InstanceProfile(r) => serde_json::to_value(r),
            Resource::LoadBalancer(r) => serde_json::to_value(r),
            Resource::TargetGroup(r) => serde_json::to_value(r),
            Resource::Listener(r) => serde_json::to_value(r),
            Resource::HostedZone(r) => serde_json::to_value(r),
            Resource::DnsName(r) => serde_json::to_value(r),
            Resource::Volume(r) => serde_json::to_value(r),
            Resource::NetworkInterface(r) => serde_json::to_value(r),
            Resource::Authority(r) => serde_json::to_value(r),
            Resource::Epoch(r) => serde_json::to_value(r),
            Resource::Asset(r) => serde_json::to_value(r),
            Resource::LaunchTemplate(r) => serde_json::to_value(r),
            Resource::AutoScalingGroup(r) => serde_json::to_value(r),
        };
        // Every key of every kind is a string and every number finite, so this cannot fail; a null
        // would show up as a difference and not as a lost one.
        value.unwrap_or(serde_json::Value::Null)
    }

    /// The resource of a kind from its fields.
    ///
    /// # Errors
    /// When the value does not fit the kind, for instance in a plan file written by hand.
    pub fn from_value(kind: Kind, value: serde_json::Value) -> Result<Self, serde_json::Error> {
        Ok(match kind {
            Kind::SecurityGroup => Resource::SecurityGroup(serde_json::from_value(value)?),
            Kind::SecurityGroupRules => {
                Resource::SecurityGroupRules(serde_json::from_value(value)?)
            }
            Kind::Role => Resource::Role(serde_json::from_value(value)?),
            Kind::InstanceProfile => Resource::InstanceProfile(serde_json::from_value(value)?),
            Kind::LoadBalancer => Resource::LoadBalancer(serde_json::from_value(value)?),
            Kind::TargetGroup => Resource::TargetGroup(serde_json::from_value(value)?),
            Kind::Listener => Resource::Listener(serde_json::from_value(value)?),
            Kind::HostedZone => Resource::HostedZone(serde_json::from_value(value)?),
            Kind::DnsName => Resource::DnsName(serde_json::from_value(value)?),
            Kind::Volume => Resource::Volume(serde_json::from_value(value)?),
            Kind::NetworkInterface => Resource::NetworkInterface(serde_json::from_value(value)?),
            Kind::Authority => Resource::Authority(serde_json::from_value(value)?),
            Kind::Epoch => Resource::Epoch(serde_json::from_value(value)?),
            Kind::Asset => Resource::Asset(serde_json::from_value(value)?),
            Kind::LaunchTemplate => Resource::LaunchTemplate(serde_json::from_value(value)?),
            Kind::AutoScalingGroup => Resource::AutoScalingGroup(serde_json::from_value(value)?),
        })
    }

    /// The resource's own tags; `None` for the kinds that AWS does not tag, whose owner is their parent
    /// (rules, listeners, DNS names), or whose name says it (authorities, epochs,
    /// assets). An ASG's are in its own form.
    pub fn tags(&self) -> Option<Tags> {
        match self {
            Resource::SecurityGroup(r) => Some(r.tags.clone()),
            Resource::Role(r) => Some(r.tags.clone()),
            Resource::InstanceProfile(r) => Some(r.tags.clone()),
            Resource::LoadBalancer(r) => Some(r.tags.clone()),
            Resource::TargetGroup(r) => Some(r.tags.clone()),
            Resource::HostedZone(r) => Some(r.tags.clone()),
            Resource::Volume(r) => Some(r.tags.clone()),
            Resource::NetworkInterface(r) => Some(r.tags.clone()),
            Resource::LaunchTemplate(r) => Some(r.tags.clone()),
            Resource::AutoScalingGroup(r) => {
                Some(r.tags.iter().map(|(key, tag)| (key.clone(), tag.value.clone())).collect())
            }
            Resource::SecurityGroupRules(_)
            | Resource::Listener(_)
            | Resource::DnsName(_)
            | Resource::Authority(_)
            | Resource::Epoch(_)
            | Resource::Asset(_) => None,
        }
    }

    /// The keys of the resources that this one refers to, each once.
    pub fn references(&self) -> std::collections::BTreeSet<Key> {
        let mut keys = std::collections::BTreeSet::new();
        reference::collect(&self.to_value(), &mut keys);
        keys
    }

    /// This resource with every reference replaced that `lookup` knows; the others stay as they are.
    ///
    /// # Errors
    /// When a replaced value no longer fits its field; cannot happen for values that AWS gave.
    pub fn resolve(
        &self,
        lookup: &dyn Fn(&Key, Attribute) -> Option<String>,
    ) -> Result<Self, serde_json::Error> {
        let mut value = self.to_value();
        reference::replace(&mut value, lookup);
        Self::from_value(self.kind(), value)
    }

    /// First 16 hex digits of the SHA-256 of the resource as wanted, references in symbols. Written
    /// to [`DIGEST_TAG`]; the digest tag itself is not part of it.
    pub fn digest(&self) -> String {
        let mut value = self.to_value();
        if let Some(tags) = value.get_mut("tags").and_then(serde_json::Value::as_object_mut) {
            tags.remove(DIGEST_TAG);
        }
        digest(&value)
    }
}

/// First 16 hex digits of the SHA-256 of a JSON value; object keys are sorted, so equal values give
/// equal digests.
pub fn digest(value: &serde_json::Value) -> String {
    use sha2::{Digest, Sha256};
    let mut text = String::new();
    write_canonical(value, &mut text);
    let bytes = Sha256::digest(text.as_bytes());
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Writes JSON text with sorted keys, whatever order the maps were built in.
fn write_canonical(value: &serde_json::Value, text: &mut String) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            text.push('{');
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                text.push_str(if at > 0 { "," } else { "" });
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at > 0 { "," } else { "" });
                write_canonical(item, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// A set of resources by key: all that a cluster wants, or all that was found of it.
pub type ResourceSet = BTreeMap<Key, Resource>;
