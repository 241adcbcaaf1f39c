//! What the builders fill: resources by key, and what is wrong with them.

use super::Desired;
use crate::finding::Finding;
use crate::resource::{Key, Kind, Resource, ResourceSet, Tags};
use crate::spec::{Field, Spec};

/// The most tags of a resource, less those that an apply adds (digest, version or target, and what
/// a rollback leaves). Source: EC2 user guide, "Tag your Amazon EC2 resources", 50 for each
/// resource.
const TAGS_MAX: usize = 50 - 4;
/// The most characters of a tag's key, the least of all services (EC2: 127, others: 128).
const TAG_KEY_MAX: usize = 127;
/// The most characters of a tag's value.
const TAG_VALUE_MAX: usize = 256;

/// Resources in the making.
pub(super) struct Draft<'a> {
    spec: &'a Spec,
    resources: ResourceSet,
    findings: Vec<Finding>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(spec: &'a Spec) -> Self {
        Self { spec, resources: ResourceSet::new(), findings: Vec::new() }
    }

    /// Adds a resource that `field` asks for. Two of one key are an error: the second would
    /// silently replace the first.
    pub(super) fn add(&mut self, field: &Field, name: &str, resource: Resource) {
        let key = Key::new(resource.kind(), name);
        self.check_name(field, &key);
        if let Some(tags) = resource.tags() {
            self.check_tags(field, &key, &tags);
        }
        if self.resources.insert(key.clone(), resource).is_some() {
            self.error(field, format!("`{key}` is wanted twice"), "give one of them another name");
        }
    }

    /// Reports an error with the place of a field and the way out.
    pub(super) fn error(&mut self, field: &Field, message: impl Into<String>, hint: &str) {
        self.report(Finding::error(message), field, hint);
    }

    /// Reports a warning with the place of a field and the way out.
    pub(super) fn warning(&mut self, field: &Field, message: impl Into<String>, hint: &str) {
        self.report(Finding::warning(message), field, hint);
    }

    fn report(&mut self, finding: Finding, field: &Field, hint: &str) {
        let places = self.spec.positions.places(field);
        self.findings.push(finding.field(field.to_string()).places(places).hint(hint));
    }

    fn check_name(&mut self, field: &Field, key: &Key) {
        let (length, max) = (key.name.chars().count(), name_max(key.kind));
        if length > max {
            let message = format!("`{key}` has a name of {length} characters; AWS takes {max}");
            self.error(field, message, "shorten the name of the cluster or of what is in it");
        }
    }

    fn check_tags(&mut self, field: &Field, key: &Key, tags: &Tags) {
        if tags.len() > TAGS_MAX {
            let message = format!("`{key}` has {} tags; AWS takes {TAGS_MAX}", tags.len());
            self.error(field, message, "use fewer of `cloudLabels`, `nodeLabels` and `taints`");
        }
        for (tag, value) in tags {
            let (tag_length, value_length) = (tag.chars().count(), value.chars().count());
            if tag_length > TAG_KEY_MAX {
                let message = format!("`{key}` has a tag of {tag_length} characters, `{tag}`");
                self.error(
                    field,
                    message,
                    "AWS takes 127; shorten the label or the cluster's name",
                );
            }
            if value_length > TAG_VALUE_MAX {
                let message = format!("tag `{tag}` of `{key}` has {value_length} characters");
                self.error(field, message, "AWS takes 256");
            }
            if tag.to_ascii_lowercase().starts_with("aws:") {
                let message = format!("tag `{tag}` of `{key}` begins with `aws:`");
                self.error(field, message, "AWS keeps such tags for itself; choose another label");
            }
        }
    }

    pub(super) fn finish(mut self) -> Desired {
        // Many resources may share one cause.
        self.findings.sort();
        self.findings.dedup();
        Desired { resources: self.resources, findings: self.findings }
    }
}

/// The most characters of a name.
fn name_max(kind: Kind) -> usize {
    match kind {
        // EC2 API reference, CreateSecurityGroup.
        Kind::SecurityGroup | Kind::SecurityGroupRules => 255,
        Kind::Role => super::name::ROLE_NAME_MAX,
        // IAM user guide, "IAM and AWS STS quotas".
        Kind::InstanceProfile => 128,
        Kind::LoadBalancer | Kind::TargetGroup => super::name::BALANCER_NAME_MAX,
        // A load balancer's name and a port.
        Kind::Listener => super::name::BALANCER_NAME_MAX + 6,
        // RFC 1035; the owner's TXT record stands one label above.
        Kind::HostedZone | Kind::DnsName => 255 - "kprod-owner.".len(),
        // The value of the tag `Name`.
        Kind::Volume | Kind::NetworkInterface => TAG_VALUE_MAX,
        // Parameters may be longer (Systems Manager API reference, PutParameter: 1011 with its ARN).
        Kind::Authority => 512,
        // Keys of S3 have 1024 bytes, these the place of the state before them.
        Kind::Epoch | Kind::Asset => 512,
        // EC2 API reference, CreateLaunchTemplate.
        Kind::LaunchTemplate => 128,
        // EC2 Auto Scaling API reference, CreateAutoScalingGroup.
        Kind::AutoScalingGroup => 255,
    }
}
