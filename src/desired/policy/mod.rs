//! What a machine may ask of AWS, by role: as little as its role needs.
//!
//! Statements name resources exactly where names are known, and by tag where AWS makes up ids. A
//! node asks AWS for little, so its policy is short; a bastion has none. Two tags carry the
//! scoping: `kubernetes.io/cluster/C`, which the cloud controller manager puts on what it makes,
//! and kprod's own, which keeps the control plane's hands off what kprod made.

mod controllers;
mod etcd;
mod pod_network;

use serde_json::{Map, Value, json};

use super::tag;
use crate::cloud::asset;
use crate::facts::partition;
use crate::pki::{PUBLIC_PLACE, Place};
use crate::resource::OWNER_TAG;
use crate::spec::{Role, Spec};
use crate::state::StateAddress;

/// The policy of a role's machines; none when there is nothing to allow.
pub(super) fn of(spec: &Spec, role: Role) -> Option<Value> {
    let scope = Scope::of(spec);
    let mut statements = Vec::new();
    match role {
        Role::ControlPlane => {
            statements.extend(controllers::controllers(&scope));
            statements.extend(pod_network::routes(&scope));
            statements.extend(pod_network::pod_network(&scope));
            statements.extend(registry(&scope));
            statements.extend(assets(&scope));
            statements.push(write_join_parameters(&scope));
        }
        Role::Node => {
            statements.extend(pod_network::pod_network(&scope));
            statements.extend(registry(&scope));
            statements.extend(assets(&scope));
        }
        Role::Etcd => statements.extend(assets(&scope)),
        Role::Bastion => {}
    }
    statements.extend(secrets(&scope, role));
    statements.extend(etcd::etcd_host(&scope, role));
    (!statements.is_empty()).then(|| document(statements))
}

/// A policy document.
pub(super) fn document(statements: Vec<Value>) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// EC2 may hand the role to machines.
pub(super) fn trust(spec: &Spec) -> Value {
    // China has names of its own for services. Source: IAM user guide, "AWS service principals".
    let domain = if Scope::of(spec).partition == "aws-cn" { ".cn" } else { "" };
    document(vec![json!({
        "Effect": "Allow",
        "Principal": { "Service": format!("ec2.amazonaws.com{domain}") },
        "Action": "sts:AssumeRole",
    })])
}

/// The cluster's corner of AWS, for ARNs and conditions.
struct Scope<'a> {
    spec: &'a Spec,
    partition: &'static str,
    region: &'a str,
    account: &'a str,
}

impl<'a> Scope<'a> {
    fn of(spec: &'a Spec) -> Self {
        let region = spec.cluster.spec.region.as_deref().unwrap_or_default();
        let account = spec.cluster.spec.account.as_deref().unwrap_or("*");
        Self { spec, partition: partition(region), region, account }
    }

    /// The ARN of something in the cluster's account and region.
    fn arn(&self, service: &str, resource: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// The ARN of objects below an `s3://` address; none if it is not one.
    fn objects(&self, address: &str, below: &str) -> Option<String> {
        let address = StateAddress::parse(address)?;
        Some(format!("arn:{}:s3:::{}/{}", self.partition, address.bucket, address.key(below)))
    }

    /// `aws:<place>/kubernetes.io/cluster/C`.
    fn cluster_key(&self, place: &str) -> String {
        format!("aws:{place}/{}", tag::cluster_tag(self.spec.name()))
    }

    /// Only what the cluster's controllers made: theirs by tag, and not kprod's.
    fn made_by_controllers(&self) -> Value {
        json!({
            "StringEquals": { self.cluster_key("ResourceTag"): "owned" },
            "Null": { format!("aws:ResourceTag/{OWNER_TAG}"): "true" },
        })
    }

    /// Only what kprod made for this cluster.
    fn made_by_kprod(&self) -> Value {
        json!({ "StringEquals": { format!("aws:ResourceTag/{OWNER_TAG}"): self.spec.name() } })
    }
}

fn allow(sid: &str, actions: &[&str], resources: impl Into<Value>, condition: Value) -> Value {
    let mut statement = Map::new();
    statement.insert("Sid".to_owned(), sid.into());
    statement.insert("Effect".to_owned(), "Allow".into());
    statement.insert("Action".to_owned(), actions.iter().copied().collect());
    statement.insert("Resource".to_owned(), resources.into());
    if !condition.is_null() {
        statement.insert("Condition".to_owned(), condition);
    }
    Value::Object(statement)
}

/// Pulling images from the account's registry.
fn registry(scope: &Scope<'_>) -> Vec<Value> {
    let iam = scope.spec.cluster.spec.iam.as_ref();
    if iam.and_then(|iam| iam.allow_container_registry) != Some(true) {
        return Vec::new();
    }
    vec![
        allow("RegistryLogin", &["ecr:GetAuthorizationToken"], "*", Value::Null),
        allow(
            "RegistryPull",
            &["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            scope.arn("ecr", "repository/*"),
            Value::Null,
        ),
    ]
}

/// What machines fetch at boot. Not all of the cluster's state: snapshots may be in there too.
fn assets(scope: &Scope<'_>) -> Option<Value> {
    let base = scope.spec.cluster.spec.config_base.as_deref()?;
    let objects = scope.objects(base, &asset::key(scope.spec.name(), "*"))?;
    Some(allow("Assets", &["s3:GetObject"], objects, Value::Null))
}

const READ_PARAMETERS: [&str; 2] = ["ssm:GetParameter", "ssm:GetParametersByPath"];

/// The ARN of the parameters below `/kprod/<cluster>/<place>`. The public ones are asked for all at once,
/// which takes leave for the path itself: one pattern is for both.
/// Source: Systems Manager API reference, GetParametersByPath.
fn parameters(scope: &Scope<'_>, place: &str) -> String {
    let below = if place == PUBLIC_PLACE { "*" } else { "/*" };
    scope.arn("ssm", &format!("parameter/kprod/{}/{place}{below}", scope.spec.name()))
}

/// The secrets of a role, and of no other, and what it trusts the other machines by. One statement for
/// all of them: the control plane's policy has little room left.
fn secrets(scope: &Scope<'_>, role: Role) -> Option<Value> {
    let mut places = match role {
        Role::ControlPlane => vec![Place::ControlPlane.path(), PUBLIC_PLACE.to_owned()],
        Role::Etcd => vec![PUBLIC_PLACE.to_owned()],
        Role::Node => vec!["node".to_owned()],
        Role::Bastion => return None,
    };
    places.extend(etcd::places(scope.spec, role));
    let parameters: Value = places.iter().map(|place| parameters(scope, place)).collect();
    Some(allow("Secrets", &READ_PARAMETERS, parameters, Value::Null))
}

/// The tokens that nodes join with are minted by the control plane.
fn write_join_parameters(scope: &Scope<'_>) -> Value {
    allow("JoinTokens", &["ssm:PutParameter"], parameters(scope, "node"), Value::Null)
}
