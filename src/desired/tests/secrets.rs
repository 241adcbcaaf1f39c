//! Who may read which key, by the text of the policies.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::name::Names;
use super::shape::shapes;
use super::*;
use crate::pki::{Authority, Place};
use crate::resource::{Kind, Resource};
use crate::spec::Role;

const READS: [&str; 2] = ["ssm:GetParameter", "ssm:GetParametersByPath"];

/// Names of the roles whose own policies allow an action on a parameter.
fn allowed(resources: &ResourceSet, action: &str, parameter: &str) -> BTreeSet<String> {
    let arn = format!("arn:aws:ssm:eu-west-3:123456789012:parameter{parameter}");
    let roles = resources.values().filter_map(|resource| match resource {
        Resource::Role(role) => Some(role),
        _ => None,
    });
    let allows = |statement: &Value| {
        assert_eq!(statement["Effect"], "Allow");
        is_any(&statement["Action"], action) && is_any(&statement["Resource"], &arn)
    };
    roles
        .filter(|role| {
            let policies = role.inline_policies.values();
            policies.flat_map(|policy| policy["Statement"].as_array().unwrap()).any(allows)
        })
        .map(|role| role.role_name.clone())
        .collect()
}

/// Whether a text is one of these patterns, or the one.
fn is_any(patterns: &Value, text: &str) -> bool {
    match patterns {
        Value::Array(all) => all.iter().any(|pattern| is_any(pattern, text)),
        pattern => matches(pattern.as_str().unwrap(), text),
    }
}

/// `*` stands for any characters, as in IAM.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|tail| {
            (0..=tail.len()).any(|at| tail.is_char_boundary(at) && matches(rest, &tail[at..]))
        }),
    }
}

/// The role of the machines that need a key.
fn needing(spec: &Spec, authority: &Authority) -> Role {
    let Place::Etcd(etcd) = authority.place() else { return Role::ControlPlane };
    let mut etcds = spec.cluster.spec.etcd_clusters.iter();
    let member = &etcds.find(|one| one.name == etcd).unwrap().etcd_members[0];
    spec.groups[&member.instance_group].spec.role
}

proptest! {
    /// Each private key is read by the role whose machines need it, by no other, and written by none;
    /// what is public is read by the control plane and etcd's hosts.
    #[test]
    fn each_private_key_is_for_one_role(shape in shapes()) {
        let spec = shape.spec();
        let resources = build(&spec, &Facts::default()).resources;
        let built = |role: Role| {
            let name = Names::of(spec.name()).role(role);
            resources.contains_key(&Key::new(Kind::Role, &name)).then_some(name)
        };
        let etcds: Vec<&str> =
            spec.cluster.spec.etcd_clusters.iter().map(|etcd| etcd.name.as_str()).collect();
        for authority in Authority::of_cluster(etcds) {
            let secret = authority.secret_parameter(spec.name());
            let public = authority.public_parameter(spec.name());
            let reader: BTreeSet<String> = built(needing(&spec, &authority)).into_iter().collect();
            let vital = [Role::ControlPlane, Role::Etcd].into_iter().filter_map(built).collect();
            for action in READS {
                prop_assert_eq!(&allowed(&resources, action, &secret), &reader, "{}", secret);
                prop_assert_eq!(&allowed(&resources, action, &public), &vital, "{}", public);
            }
            for action in ["ssm:PutParameter", "ssm:DeleteParameter", "ssm:DeleteParameters"] {
                for parameter in [&secret, &public] {
                    prop_assert!(allowed(&resources, action, parameter).is_empty(), "{}", parameter);
                }
            }
            let other = authority.secret_parameter(&format!("x.{}", spec.name()));
            prop_assert!(allowed(&resources, READS[0], &other).is_empty(), "another cluster's");
        }
        // All that is public is asked for by its path; nothing else is.
        let vital: BTreeSet<String> =
            [Role::ControlPlane, Role::Etcd].into_iter().filter_map(built).collect();
        let cluster = format!("/kprod/{}", spec.name());
        let by_path = |path: &str| allowed(&resources, READS[1], path);
        prop_assert_eq!(by_path(&format!("{cluster}/public")), vital);
        for path in [cluster.clone(), format!("{cluster}/control-plane"), format!("{cluster}/etcd")] {
            prop_assert!(by_path(&path).is_empty(), "{}", path);
        }
    }
}
