//! What a group's machines carry: tags, labels, taints and user data.

use std::collections::{BTreeMap, BTreeSet};

use super::super::field::Field;
use super::super::text::{is_label_key, is_label_value};
use super::super::{InstanceGroup, Spec, Taint, UserDataType};
use super::{Report, unique};

/// Size of user data before base64, in bytes.
/// Source: EC2 user guide, "Run commands when you launch an EC2 instance with user data input".
pub(crate) const USER_DATA_BYTES_MAX: usize = 16 * 1024;

/// Tags of one resource. Source: EC2 user guide, "Tag restrictions".
const TAGS_MAX: usize = 50;

/// Tags that every auto scaling group has of ours: names, roles, ownership, target.
const TAGS_OWN: usize = 12;

/// Tags that are ours or AWS's to set, by the start of their key.
const RESERVED: [&str; 6] = [
    "aws:",
    "k8s.io/cluster-autoscaler/node-template/",
    "k8s.io/role/",
    "kops.k8s.io/",
    "kprod.dev/",
    "kubernetes.io/cluster/",
];

pub(super) fn check(spec: &Spec, group: &InstanceGroup, report: &mut Report) {
    cloud_labels(
        &group.spec.cloud_labels,
        &group.field("spec.cloudLabels"),
        Some(group.name()),
        report,
    );
    labels(&group.spec.node_labels, &group.field("spec.nodeLabels"), report);
    if let Some(kubelet) = &group.spec.kubelet {
        labels(&kubelet.node_labels, &group.field("spec.kubelet.nodeLabels"), report);
        taints(&kubelet.taints, &group.field("spec.kubelet.taints"), report);
    }
    taints(&group.spec.taints, &group.field("spec.taints"), report);
    tag_count(spec, group, report);
    user_data(group, report);
}

/// The cluster's own labels and taints, checked once.
pub(super) fn check_cluster(spec: &Spec, report: &mut Report) {
    let cluster = &spec.cluster.spec;
    cloud_labels(&cluster.cloud_labels, &spec.cluster_field("spec.cloudLabels"), None, report);
    for (path, kubelet) in
        [("spec.kubelet", &cluster.kubelet), ("spec.masterKubelet", &cluster.master_kubelet)]
    {
        if let Some(kubelet) = kubelet {
            labels(&kubelet.node_labels, &spec.cluster_field(path).key("nodeLabels"), report);
            taints(&kubelet.taints, &spec.cluster_field(path).key("taints"), report);
        }
    }
}

/// Tags of the user's: within AWS's limits, and none of those that say what is whose.
fn cloud_labels(
    tags: &BTreeMap<String, String>,
    field: &Field,
    group: Option<&str>,
    report: &mut Report,
) {
    for (key, value) in tags {
        let field = field.clone().key(key);
        let own = key == "kops.k8s.io/instancegroup" && Some(value.as_str()) == group;
        let reserved = key == "Name"
            || key == "KubernetesCluster"
            || RESERVED.iter().any(|prefix| key.starts_with(prefix));
        if reserved && !own {
            report.error(&field, format!("the tag `{key}` is set by kprod or AWS alone"));
        }
        // Source: EC2 user guide, "Tag restrictions".
        if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
            report.error(&field, "tags have keys of 1 to 128 characters and values of up to 256");
        }
    }
}

fn labels(labels: &BTreeMap<String, String>, field: &Field, report: &mut Report) {
    for (key, value) in labels {
        let field = field.clone().key(key);
        if !is_label_key(key) {
            report.error(&field, format!("`{key}` is not a label's key: `name` or `domain/name`"));
        }
        if !is_label_value(value) {
            report.error(
                &field,
                format!(
                    "`{value}` is not a label's value: up to 63 letters, digits, `-`, `_` and `.`"
                ),
            );
        }
    }
}

/// Key and effect are unique on a node.
fn taints(taints: &[Taint], field: &Field, report: &mut Report) {
    let texts: Vec<String> =
        taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect.name())).collect();
    unique(report, field, texts.iter().map(String::as_str));
}

/// Tags, labels and taints together all become tags of the auto scaling group.
fn tag_count(spec: &Spec, group: &InstanceGroup, report: &mut Report) {
    let tags: BTreeSet<&String> =
        spec.cluster.spec.cloud_labels.keys().chain(group.spec.cloud_labels.keys()).collect();
    let count = tags.len() + spec.node_labels(group).len() + group.spec.taints.len();
    if count + TAGS_OWN > TAGS_MAX {
        let most = TAGS_MAX - TAGS_OWN;
        let message = format!(
            "{count} cloud labels, node labels and taints together; AWS has room for {most}"
        );
        report.error(&group.field("spec"), message);
    }
}

fn user_data(group: &InstanceGroup, report: &mut Report) {
    let parts = &group.spec.additional_user_data;
    let list = group.field("spec.additionalUserData");
    unique(report, &list, parts.iter().map(|part| part.name.as_str()));
    for (index, part) in parts.iter().enumerate() {
        let field = list.clone().index(index);
        // The name becomes a quoted header of the MIME document.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if part.name.is_empty() || !part.name.bytes().all(plain) {
            let message =
                format!("`{}` is not a file name of letters, digits, `-`, `_` and `.`", part.name);
            report.error(&field.clone().key("name"), message);
        }
        if part.content.trim().is_empty() {
            report.error(&field.key("content"), "the content is empty");
        }
    }
    if let [part] = parts.as_slice() {
        let marker = marker(part.content_type);
        let first = part.content.lines().find(|line| !line.starts_with("## template:"));
        if !part.content.trim().is_empty() && !first.is_some_and(|line| line.starts_with(marker)) {
            report.error_hint(
                &list.clone().index(0).key("content"),
                format!("`{}` does not begin with `{marker}`", part.content_type.mime()),
                "a single part is the user data as it stands; cloud-init goes by its first line",
            );
        }
    }
    let bytes: usize = parts.iter().map(|part| part.content.len()).sum();
    if bytes > USER_DATA_BYTES_MAX {
        let sizes: Vec<String> =
            parts.iter().map(|part| format!("`{}` {}", part.name, part.content.len())).collect();
        report.error(
            &list,
            format!(
                "{bytes} bytes of user data ({}); AWS takes {USER_DATA_BYTES_MAX}",
                sizes.join(", ")
            ),
        );
    }
}

/// What a part of a type begins with. Source: cloud-init, "User data formats".
fn marker(content_type: UserDataType) -> &'static str {
    match content_type {
        UserDataType::CloudConfig => "#cloud-config",
        UserDataType::CloudConfigArchive => "#cloud-config-archive",
        UserDataType::ShellScript => "#!",
        UserDataType::BootHook => "#cloud-boothook",
        UserDataType::IncludeUrl => "#include",
        UserDataType::IncludeOnceUrl => "#include-once",
        UserDataType::PartHandler => "#part-handler",
        UserDataType::UpstartJob => "#upstart-job",
    }
}
