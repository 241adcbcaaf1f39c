//! What was seen of a cluster's world at one moment: a value that can be recorded and replayed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::resource::{
    Attribute, Key, Kind, LaunchTemplateData, Resource, ResourceSet, Rule, Tags,
};

/// What to look for. Everything tagged with the cluster's name is found as well, by kprod's tag and
/// by kops'.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The cluster's name.
    pub cluster: String,
    /// The region.
    pub region: String,
    /// The VPC.
    pub vpc_id: String,
    /// Subnets that the spec names.
    pub subnet_ids: BTreeSet<String>,
    /// The public zone, by name or by id (`Z…`); none when the cluster has no public records.
    pub public_zone: Option<String>,
    /// Machine images that the spec names.
    pub image_ids: BTreeSet<String>,
    /// Where the cluster's state is kept (`s3://bucket/path`), if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_base: Option<String>,
    /// Natural keys of the wanted resources: tag filters lag, names do not lie.
    pub keys: BTreeSet<Key>,
    /// Hooks and other things that cost a call each (`--deep`).
    pub deep: bool,
    /// Not even why a group is short of machines, which costs a call for each such group: for looks
    /// at groups that are short as a matter of course.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub brief: bool,
}

/// A cluster's world as one observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Version of this form; see [`Observation::FORMAT_VERSION`].
    pub format_version: u32,
    /// `sim` or `aws`.
    pub cloud: String,
    /// When it was taken, RFC 3339 (the cloud's clock).
    pub taken_at: String,
    /// The cluster it was taken for.
    pub cluster: String,
    /// Account, region, VPC, subnets, zones.
    pub facts: Facts,
    /// What was found, ours and foreign, by key.
    #[serde(with = "observed_list")]
    pub resources: BTreeMap<Key, Observed>,
    /// Objects of the state bucket that tell of an etcd cluster whose epoch is not there, by the
    /// epoch's address: reports of members that had a leader, a list of snapshots.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub etcd_remains: BTreeMap<Key, BTreeSet<String>>,
}

impl Observation {
    /// Raised when an older kprod could no longer read it.
    pub const FORMAT_VERSION: u32 = 1;

    /// The attribute of an observed resource, for resolving references. Foreign resources answer
    /// too: a plan that refers to them is refused for another reason.
    pub fn attribute(&self, key: &Key, attribute: Attribute) -> Option<String> {
        self.resources.get(key)?.attributes.get(&attribute).cloned()
    }

    /// Whether the wanted resources differ, by the digest of the last apply, from ones that were
    /// read only in part: the change may be in a part that was not read, so look again with
    /// [`Query::deep`]. Never so for an unchanged cluster, which is why it stays cheap to plan.
    pub fn hides_changes(&self, wanted: &ResourceSet) -> bool {
        // What a deep look does not read either is no reason for one.
        let grows =
            |kind| matches!(kind, Kind::AutoScalingGroup | Kind::LoadBalancer | Kind::TargetGroup);
        wanted.iter().filter(|(key, _)| grows(key.kind)).any(|(key, wanted)| {
            self.resources.get(key).is_some_and(|found| {
                found.ownership.is_owned()
                    && !found.unread.is_empty()
                    && found.digest.as_ref() != Some(&wanted.digest())
            })
        })
    }
}

/// One resource as found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Its fields, in the vocabulary of wanted resources; references are known ids.
    pub resource: Resource,
    /// Whose it is.
    pub ownership: Ownership,
    /// What AWS decided about it.
    pub attributes: BTreeMap<Attribute, String>,
    /// The digest it carries from its last apply ([`crate::resource::DIGEST_TAG`]).
    pub digest: Option<String>,
    /// For an ASG: its machines and what the autoscaler and the roll own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupFacts>,
    /// For a launch template: its versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateFacts>,
    /// For security group rules: rules that others put into the same group.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub foreign_rules: BTreeSet<Rule>,
    /// Top-level fields of `resource` that were not read because each would cost a call of its own,
    /// such as `lifecycle_hooks`. Their values there mean nothing: a difference leaves them out,
    /// after [`Observation::hides_changes`] was asked.
    /// Empty under [`Query::deep`], but for a launch template's `launch_template_data`, which
    /// [`TemplateFacts`] stands in for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unread: BTreeSet<String>,
}

/// Whose a resource is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ownership {
    /// Tagged `kprod.dev/cluster=C`, or the child of such a resource.
    Owned,
    /// Somebody else's: shown, never changed.
    Foreign(Foreignness),
}

impl Ownership {
    /// Reads it from a resource's tags.
    pub fn of(tags: &Tags, cluster: &str) -> Self {
        match tags.get(crate::resource::OWNER_TAG) {
            Some(owner) if owner == cluster => Ownership::Owned,
            Some(owner) => Ownership::Foreign(Foreignness::OtherCluster(owner.clone())),
            None if tags.get(crate::resource::KOPS_CLUSTER_TAG).is_some_and(|c| c == cluster) => {
                Ownership::Foreign(Foreignness::Kops)
            }
            None => Ownership::Foreign(Foreignness::Untagged),
        }
    }

    /// Whether it is ours.
    pub fn is_owned(&self) -> bool {
        *self == Ownership::Owned
    }
}

/// Why a resource is foreign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreignness {
    /// It carries kops' tags for a cluster of this name.
    Kops,
    /// Another kprod cluster owns it.
    OtherCluster(String),
    /// It has the wanted name and nobody's tag.
    Untagged,
}

/// An instance that carries a cluster's owner tag, in a group or not; terminated ones are left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaggedInstance {
    /// Its id (`i-…`).
    pub instance_id: String,
    /// The group that looks after it, as AWS notes it on the instance.
    pub group: Option<String>,
    /// Its zone.
    pub availability_zone: String,
    /// `pending`, `running`, `shutting-down`, `stopping` or `stopped`, as EC2 writes it.
    pub state: String,
    /// Its type.
    pub instance_type: String,
    /// When it was launched.
    pub launched_at: Option<Timestamp>,
    /// Whether it is a spot instance.
    pub is_spot: bool,
    /// The launch template version it was launched from, as AWS notes it on the instance.
    pub version: Option<u64>,
    /// Its tags under `kprod.dev/`, the owner's and marks of a rolling update among them.
    pub tags: Tags,
}

/// What a target group does with a machine that is registered with it.
/// Source: Elastic Load Balancing API reference, `TargetHealth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// It is being registered, or checked for the first time.
    Initial,
    /// It gets traffic.
    Healthy,
    /// It fails its checks.
    Unhealthy,
    /// It is being deregistered; connections may go on.
    Draining,
    /// It gets none: the target group is not in use, or the machine does not run.
    Unused,
}

/// What an ASG holds that no spec sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupFacts {
    /// Machines that the group should have; the autoscaler's.
    pub desired_capacity: i32,
    /// The numeric launch template version that new machines get; the roll's. None when the group
    /// follows `$Latest` or `$Default`, which kprod never sets.
    pub pin: Option<u64>,
    /// The revision that an automatic rollback left behind ([`crate::resource::FAILED_TAG`]).
    pub failed_revision: Option<String>,
    /// What a rolling update has noted on the group ([`crate::resource::ROLL_TAG`]), as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// Its machines, terminated ones left out.
    pub instances: Vec<Instance>,
    /// For a group that is short of machines: what its newest failed launch says, if none has worked
    /// since. None under [`Query::brief`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_activity: Option<String>,
    /// For such a group: when launches ended whose hook nobody completed, and none has worked since;
    /// newest first. None under [`Query::brief`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abandoned_at: Vec<Timestamp>,
}

/// One instance of an ASG.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instance {
    /// Its id (`i-…`).
    pub instance_id: String,
    /// Its zone.
    pub availability_zone: String,
    /// Its type.
    pub instance_type: String,
    /// `Pending`, `Pending:Wait`, `InService`, `Terminating`, … as AWS writes it.
    pub lifecycle_state: String,
    /// `Healthy` or `Unhealthy`.
    pub health_status: String,
    /// The launch template version it was launched from; none for one that was attached by hand.
    pub launch_template_version: Option<u64>,
    /// Whether it is protected from scale-in.
    pub protected_from_scale_in: bool,
}

impl Instance {
    /// Whether it ends, or leaves its group: nothing is to be expected of it any more.
    /// Source: Auto Scaling user guide, "Amazon EC2 Auto Scaling instance lifecycle".
    pub fn is_leaving(&self) -> bool {
        ["Terminat", "Detach"].iter().any(|prefix| self.lifecycle_state.starts_with(prefix))
    }
}

/// A launch template's versions, as far as they were read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TemplateFacts {
    /// The newest version's number.
    pub latest_version: u64,
    /// `(version, revision, content digest)` of the version last made from the spec
    /// ([`crate::resource::VERSION_TAG`]).
    pub wanted: Option<(u64, String, String)>,
    /// Versions read by [`super::Cloud::versions`]; empty on a first look.
    pub versions: BTreeMap<u64, VersionFacts>,
}

/// One launch template version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionFacts {
    /// The revision in its description; none for a version that kprod did not make.
    pub revision: Option<String>,
    /// Its content.
    pub data: LaunchTemplateData,
}

/// Reads and writes the resources as a list: a JSON object's key could not be an address and stay
/// readable at the same time.
mod observed_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Observed;
    use crate::resource::Key;

    #[derive(Serialize, Deserialize)]
    struct Item<T> {
        address: Key,
        #[serde(flatten)]
        observed: T,
    }

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Key, Observed>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer
            .collect_seq(map.iter().map(|(key, observed)| Item { address: key.clone(), observed }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Key, Observed>, D::Error> {
        let items = Vec::<Item<Observed>>::deserialize(deserializer)?;
        Ok(items.into_iter().map(|item| (item.address, item.observed)).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::sample;
    use crate::resource::{Kind, Resource};

    #[test]
    fn only_what_was_read_in_part_and_is_wanted_otherwise_hides_changes() {
        let mut wanted = sample::full_cluster();
        let mut world = sample::applied(&wanted);
        for found in world.resources.values_mut() {
            found.unread.insert("tags".to_owned());
        }
        assert!(!world.hides_changes(&wanted), "nothing was changed");
        for (key, resource) in &mut wanted {
            if let (Kind::LoadBalancer, Resource::LoadBalancer(balancer)) = (key.kind, resource) {
                balancer.cross_zone_enabled = !balancer.cross_zone_enabled;
            }
        }
        assert!(world.hides_changes(&wanted));
        for found in world.resources.values_mut() {
            found.unread.clear();
        }
        assert!(!world.hides_changes(&wanted), "everything was read");
    }
}
