//! The cluster's own fields.

use super::super::text::is_dns_subdomain;
use super::super::{NetworkingSpec, PolicyRole, Role, Spec};
use super::{Report, arn, s3_address, unique};

pub(super) fn check(spec: &Spec, report: &mut Report) {
    identity(spec, report);
    version(spec, report);
    s3_address(
        report,
        &spec.cluster_field("spec.configBase"),
        spec.cluster.spec.config_base.as_ref(),
    );
    networking(spec, report);
    policies(spec, report);
    roles(spec, report);
    waivers(spec, report);
}

/// Name, account and region.
fn identity(spec: &Spec, report: &mut Report) {
    let name = spec.name();
    let field = spec.cluster_field("metadata.name");
    if !is_dns_subdomain(name) {
        let message =
            format!("`{name}` is not a DNS name of lowercase letters, digits, `-` and `.`");
        report.error(&field, message);
    } else if !name.contains('.') {
        report.error(&field, format!("`{name}` has no dot; a cluster is called by its DNS name"));
    }
    if let Some(account) = &spec.cluster.spec.account
        && !(account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()))
    {
        let message = format!("`{account}` is not an account: 12 digits");
        report.error(&spec.cluster_field("spec.account"), message);
    }
}

fn version(spec: &Spec, report: &mut Report) {
    let field = spec.cluster_field("spec.kubernetesVersion");
    let Some(version) = &spec.cluster.spec.kubernetes_version else {
        report.error(&field, "`kubernetesVersion` is missing");
        return;
    };
    let parts: Vec<&str> = version.strip_prefix('v').unwrap_or(version).split('.').collect();
    let number = |part: &&str| {
        (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if parts.len() != 3 || !parts.iter().all(number) {
        report.error(&field, format!("`{version}` is not a version such as `1.34.2`"));
    }
}

/// At most one pod network.
fn networking(spec: &Spec, report: &mut Report) {
    let Some(networking) = &spec.cluster.spec.networking else { return };
    let NetworkingSpec { calico, cilium, amazonvpc, flannel, kuberouter, kindnet, cni, kubenet } =
        networking;
    let all = [calico, cilium, amazonvpc, flannel, kuberouter, kindnet, cni, kubenet];
    if all.into_iter().flatten().count() > 1 {
        report.error(&spec.cluster_field("spec.networking"), "more than one pod network is chosen");
    }
}

/// A waiver says why, and until when.
fn waivers(spec: &Spec, report: &mut Report) {
    let list = spec.cluster_field("spec.waivers");
    for (index, waiver) in spec.cluster.spec.waivers.iter().enumerate() {
        let field = list.clone().index(index);
        if waiver.reason.trim().is_empty() {
            report.error(&field.clone().key("reason"), "a waiver needs a reason");
        }
        if waiver.last_day().is_none() {
            let message = format!("`{}` is not a day such as `2027-01-31`", waiver.expires);
            report.error(&field.key("expires"), message);
        }
    }
    unique(report, &list, spec.cluster.spec.waivers.iter().map(|waiver| waiver.lint.as_str()));
}

/// Extra policies and the permissions boundary.
fn policies(spec: &Spec, report: &mut Report) {
    let cluster = &spec.cluster.spec;
    let boundary = cluster.iam.as_ref().and_then(|iam| iam.permissions_boundary.as_ref());
    if let Some(boundary) = boundary {
        let field = spec.cluster_field("spec.iam.permissionsBoundary");
        arn(report, &field, "iam", "policy/", boundary);
    }
    for (role, arns) in &cluster.external_policies {
        let list = spec.cluster_field("spec.externalPolicies").key(role.name());
        for (index, value) in arns.iter().enumerate() {
            arn(report, &list.clone().index(index), "iam", "policy/", value);
        }
        unique(report, &list, arns.iter().map(String::as_str));
    }
    for (role, text) in &cluster.additional_policies {
        if let Err(message) = statements(text) {
            let field = spec.cluster_field("spec.additionalPolicies").key(role.name());
            report.error(&field, message);
        }
    }
}

/// Whether a text is a JSON list of IAM statements.
fn statements(text: &str) -> Result<(), String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let list = value.as_array().ok_or("not a JSON list of statements")?;
    for (index, statement) in list.iter().enumerate() {
        match statement.get("Effect").and_then(|effect| effect.as_str()) {
            Some("Allow" | "Deny") => {}
            _ => return Err(format!("statement [{index}] has no `Effect` of `Allow` or `Deny`")),
        }
    }
    Ok(())
}

impl PolicyRole {
    /// The role as documents write it.
    pub fn name(self) -> &'static str {
        match self {
            PolicyRole::Master => "master",
            PolicyRole::Node => "node",
            PolicyRole::Bastion => "bastion",
            PolicyRole::Etcd => "etcd",
        }
    }
}

/// A cluster needs a control plane, and is of little use without workers.
fn roles(spec: &Spec, report: &mut Report) {
    let field = spec.cluster_field("");
    if spec.groups_of(Role::ControlPlane).next().is_none() {
        report.error(&field, "no instance group has the role `ControlPlane`");
    }
    if spec.groups_of(Role::Node).next().is_none() {
        report.warning(&field, "no instance group has the role `Node`");
    }
}
