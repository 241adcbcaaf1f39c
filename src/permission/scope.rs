//! A cluster's corner of AWS: its names as ARNs, and conditions for what has no name beforehand.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cloud::Query;
use crate::desired;
use crate::facts::partition;
use crate::resource::{Kind, LaunchTemplateData, OWNER_TAG, Ref, Resource};
use crate::state::StateAddress;

/// What statements are made from: names that never depend on what is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// The cluster.
    pub cluster: String,
    pub(super) partition: &'static str,
    pub(super) region: String,
    pub(super) account: String,
    pub(super) vpc_id: String,
    pub(super) subnet_ids: BTreeSet<String>,
    /// Where the state is kept.
    pub(super) state: Option<StateAddress>,
    pub(super) roles: Vec<String>,
    pub(super) balancers: Vec<String>,
    pub(super) target_groups: Vec<String>,
    /// Names of records outside the cluster's own, such as another name of the API.
    pub(super) record_names: BTreeSet<String>,
    /// Security groups that the spec brings along, by id.
    pub(super) given_groups: BTreeSet<String>,
    /// Groups of those that kprod keeps rules in.
    pub(super) ruled_groups: BTreeSet<String>,
    pub(super) boundaries: BTreeSet<String>,
    pub(super) key_pairs: BTreeSet<String>,
    /// KMS keys as the spec writes them: id, ARN, alias or an alias's ARN.
    pub(super) disk_keys: BTreeSet<String>,
    /// Whether some group brings an instance profile, whose role only AWS knows.
    pub(super) has_given_profiles: bool,
}

impl Scope {
    /// The scope of a cluster: what it is looked for by, and the resources it wants or has.
    /// Without an account its place in ARNs is left open.
    pub fn new<'r>(
        account: Option<&str>,
        query: &Query,
        resources: impl IntoIterator<Item = &'r Resource>,
    ) -> Self {
        let own_suffix = format!(".{}", query.cluster);
        let names = |kind| query.keys.iter().filter(move |key| key.kind == kind);
        let mut scope = Self {
            cluster: query.cluster.clone(),
            partition: partition(&query.region),
            region: or_any(Some(&query.region)),
            account: or_any(account),
            vpc_id: query.vpc_id.clone(),
            subnet_ids: query.subnet_ids.clone(),
            state: query.config_base.as_deref().and_then(StateAddress::parse),
            roles: desired::role_names(&query.cluster),
            balancers: desired::balancer_names(&query.cluster),
            target_groups: desired::target_group_names(&query.cluster),
            record_names: names(Kind::DnsName)
                .map(|key| key.name.clone())
                .filter(|name| !name.ends_with(&own_suffix))
                .collect(),
            ruled_groups: names(Kind::SecurityGroupRules)
                .map(|key| key.name.clone())
                .filter(|name| name.starts_with("sg-"))
                .collect(),
            given_groups: BTreeSet::new(),
            boundaries: BTreeSet::new(),
            key_pairs: BTreeSet::new(),
            disk_keys: BTreeSet::new(),
            has_given_profiles: false,
        };
        for resource in resources {
            scope.learn(resource);
        }
        scope
    }

    fn learn(&mut self, resource: &Resource) {
        match resource {
            Resource::Role(role) => self.boundaries.extend(role.permissions_boundary.clone()),
            Resource::Volume(volume) => self.disk_keys.extend(volume.kms_key_id.clone()),
            Resource::NetworkInterface(interface) => self.learn_groups(&interface.groups),
            Resource::LaunchTemplate(template) => self.learn_launch(&template.launch_template_data),
            Resource::SecurityGroup(_)
            | Resource::SecurityGroupRules(_)
            | Resource::InstanceProfile(_)
            | Resource::LoadBalancer(_)
            | Resource::TargetGroup(_)
            | Resource::Listener(_)
            | Resource::HostedZone(_)
            | Resource::DnsName(_)
            | Resource::Authority(_)
            | Resource::Epoch(_)
            | Resource::Asset(_)
            | Resource::AutoScalingGroup(_) => {}
        }
    }

    fn learn_launch(&mut self, data: &LaunchTemplateData) {
        self.key_pairs.extend(data.key_name.clone());
        self.has_given_profiles |= data.iam_instance_profile_arn.is_some();
        let keys = data.block_device_mappings.iter().filter_map(|disk| disk.kms_key_id.clone());
        self.disk_keys.extend(keys);
        for interface in &data.network_interfaces {
            self.learn_groups(&interface.groups);
        }
    }

    fn learn_groups(&mut self, groups: &BTreeSet<Ref>) {
        self.given_groups.extend(groups.iter().filter_map(Ref::known).map(str::to_owned));
    }

    /// The ARN of something in the cluster's account and region.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// ARNs of EC2 resources.
    pub(super) fn ec2(&self, resources: &[&str]) -> Vec<String> {
        resources.iter().map(|resource| self.arn("ec2", resource)).collect()
    }

    /// The ARN of parameters of the cluster.
    pub(super) fn parameter(&self, below: &str) -> String {
        self.arn("ssm", &format!("parameter/kprod/{}/{below}", self.cluster))
    }

    /// The ARN of something of IAM.
    pub(super) fn iam(&self, resource: &str) -> String {
        format!("arn:{}:iam::{}:{resource}", self.partition, self.account)
    }

    /// ARNs of the machines' roles.
    pub(super) fn role_arns(&self) -> Vec<String> {
        self.roles.iter().map(|name| self.iam(&format!("role/{name}"))).collect()
    }

    /// ARNs of the machines' instance profiles.
    pub(super) fn profile_arns(&self) -> Vec<String> {
        self.roles.iter().map(|name| self.iam(&format!("instance-profile/{name}"))).collect()
    }

    /// Any hosted zone: their ids are AWS's, and they take no condition on tags.
    pub(super) fn zones(&self) -> String {
        format!("arn:{}:route53:::hostedzone/*", self.partition)
    }

    /// What names of regional services end with; China has its own.
    /// Source: IAM user guide, "AWS service principals".
    pub(super) fn domain(&self) -> &'static str {
        if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
    }

    /// On what is the cluster's by its tag.
    pub(super) fn is_owned(&self) -> Value {
        json!({ "StringEquals": { format!("aws:ResourceTag/{OWNER_TAG}"): self.cluster } })
    }

    /// On what is made with the cluster's tag.
    pub(super) fn becomes_owned(&self) -> Value {
        json!({ "StringEquals": { format!("aws:RequestTag/{OWNER_TAG}"): self.cluster } })
    }

    /// In the cluster's region only; for reads that take no resource.
    pub(super) fn in_region(&self) -> Value {
        match self.region.as_str() {
            "*" => Value::Null,
            region => json!({ "StringEquals": { "aws:RequestedRegion": region } }),
        }
    }
}

/// A part of an ARN that may be unknown.
fn or_any(part: Option<&str>) -> String {
    part.filter(|part| !part.is_empty()).unwrap_or("*").to_owned()
}
