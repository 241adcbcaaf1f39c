//! What holds for every spec.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::shape::{NAMES, Shape, shapes};
use super::*;
use crate::boot::Settings;
use crate::boot::user_data::BYTES_MAX;
use crate::facts::ZoneFact;
use crate::resource::{
    DIGEST_TAG, KOPS_CLUSTER_TAG, Kind, OWNER_TAG, Ref, Resource, Rule, TARGET_TAG, VERSION_TAG,
};
use crate::spec::Role;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn building_is_deterministic_and_without_complaint(shape in shapes()) {
        let spec = shape.spec();
        let desired = build(&spec, &Facts::default());
        prop_assert_eq!(&desired.findings, &[]);
        prop_assert_eq!(&build(&spec, &Facts::default()), &desired);
        for (key, resource) in &desired.resources {
            prop_assert_eq!(key.kind, resource.kind());
        }
    }

    /// Who hosts a member is told of it in a script that leaves most of the room to others; who hosts none
    /// runs nothing of kprod's.
    #[test]
    fn whoever_hosts_etcd_is_told_of_its_members_and_nobody_else(shape in shapes()) {
        let spec = shape.spec();
        for group in spec.groups.values() {
            let hosted = node::hosted(&spec, group);
            let Some(part) = node::part(&spec, group) else {
                prop_assert_eq!(hosted, vec![]);
                continue;
            };
            prop_assert!(part.content.len() <= BYTES_MAX, "{}", part.content.len());
            let told = told(&part.content);
            prop_assert_eq!(Settings::parse(told.as_bytes()).unwrap().members, hosted);
            prop_assert_eq!(user_data::of(&spec, group), part.content);
        }
    }

    #[test]
    fn every_reference_is_to_a_wanted_resource_and_none_in_a_circle(shape in shapes()) {
        let resources = build(&shape.spec(), &Facts::default()).resources;
        let mut needs: BTreeMap<&Key, BTreeSet<Key>> = BTreeMap::new();
        for (key, resource) in &resources {
            for reference in resource.references() {
                prop_assert!(resources.contains_key(&reference), "{} -> {}", key, reference);
            }
            needs.insert(key, resource.references());
        }
        while !needs.is_empty() {
            let ready: BTreeSet<Key> = needs
                .iter()
                .filter(|(_, of)| of.iter().all(|key| !needs.contains_key(key)))
                .map(|(key, _)| (*key).clone())
                .collect();
            prop_assert!(!ready.is_empty(), "a circle among {:?}", needs.keys());
            needs.retain(|key, _| !ready.contains(key));
        }
    }

    #[test]
    fn names_do_not_depend_on_facts(shape in shapes()) {
        let spec = shape.spec();
        let zone = ZoneFact { id: "Z1".to_owned(), name: "example.com".to_owned() };
        let facts = Facts { public_zone: Some(zone), ..Facts::default() };
        let keys: BTreeSet<Key> = build(&spec, &facts).resources.into_keys().collect();
        prop_assert_eq!(query(&spec).keys, keys);
    }

    #[test]
    fn tags_name_the_owner_and_are_those_of_kops(shape in shapes()) {
        for (key, resource) in build(&shape.spec(), &Facts::default()).resources {
            let Some(tags) = resource.tags() else { continue };
            let cluster_tag = format!("kubernetes.io/cluster/{}", shape.name);
            let expected = [
                (OWNER_TAG, shape.name.as_str()),
                (KOPS_CLUSTER_TAG, shape.name.as_str()),
                (cluster_tag.as_str(), "owned"),
                ("team", "platform"),
            ];
            for (tag, value) in expected {
                prop_assert_eq!(tags.get(tag).map(String::as_str), Some(value), "{} {}", key, tag);
            }
            prop_assert!(tags.contains_key("Name"));
            for later in [DIGEST_TAG, VERSION_TAG, TARGET_TAG] {
                prop_assert!(!tags.contains_key(later), "{} {}", key, later);
            }
        }
    }

    #[test]
    fn only_the_control_plane_and_etcd_reach_etcd(shape in shapes()) {
        let spec = shape.spec();
        let resources = build(&spec, &Facts::default()).resources;
        let groups_of = |roles: &[Role]| -> BTreeSet<Ref> {
            let groups = spec.groups.values().filter(|group| roles.contains(&group.spec.role));
            groups.flat_map(|group| security::of_machines(&spec, group)).collect()
        };
        let trusted = groups_of(&[Role::ControlPlane, Role::Etcd]);
        let hosts: BTreeSet<Ref> = spec
            .groups
            .values()
            .filter(|group| spec.hosts_etcd(group.name()))
            .flat_map(|group| security::of_machines(&spec, group))
            .collect();
        for resource in resources.values() {
            let Resource::SecurityGroupRules(held) = resource else { continue };
            let is_host = hosts.contains(&held.group_id);
            for rule in held.rules.iter().filter(|rule| is_host && opens_etcd(rule)) {
                let peer = rule.referenced_group_id.as_ref();
                prop_assert!(peer.is_some_and(|peer| trusted.contains(peer)), "{:?}", rule);
            }
        }
        // And they do reach it: each member has an open way from the control plane.
        for group in spec.groups.values() {
            for (etcd, _) in spec.members_on(group.name()) {
                let port = if etcd.name == "main" { 4001 } else { 4002 };
                let reached = groups_of(&[Role::ControlPlane]).iter().all(|from| {
                    security::of_machines(&spec, group).iter().any(|to| {
                        reaches(&resources, from, to, port)
                    })
                });
                prop_assert!(reached, "{} {}", group.name(), etcd.name);
            }
        }
    }

    #[test]
    fn a_group_with_its_own_profile_brings_no_role(shape in shapes()) {
        let spec = shape.spec();
        let resources = build(&spec, &Facts::default()).resources;
        for resource in resources.values() {
            let Resource::LaunchTemplate(template) = resource else { continue };
            let data = &template.launch_template_data;
            let named = data.iam_instance_profile_name.as_ref();
            prop_assert!(named.is_some() != data.iam_instance_profile_arn.is_some());
            if let Some(name) = named {
                prop_assert!(resources.contains_key(&Key::new(Kind::InstanceProfile, name)));
                prop_assert!(resources.contains_key(&Key::new(Kind::Role, name)));
            }
        }
        let used: BTreeSet<&str> = resources.values().filter_map(profile_name).collect();
        for key in resources.keys().filter(|key| key.kind == Kind::Role) {
            prop_assert!(used.contains(key.name.as_str()), "{} is for nobody", key);
        }
    }

    #[test]
    fn two_clusters_stay_apart(one in shapes(), other in shapes()) {
        prop_assume!(one.name != other.name);
        let keys = |shape: &Shape| -> BTreeSet<Key> {
            build(&shape.spec(), &Facts::default()).resources.into_keys().collect()
        };
        let shared: Vec<Key> = keys(&one)
            .intersection(&keys(&other))
            // Security groups that both specs bring hold the rules of both.
            .filter(|key| !(key.kind == Kind::SecurityGroupRules && key.name.starts_with("sg-")))
            .cloned()
            .collect();
        prop_assert_eq!(shared, []);
    }
}

#[test]
fn long_names_are_cut_and_stay_apart() {
    let [.., long] = NAMES;
    let names = [long.to_owned(), long.replace("that-", "thaz-")];
    let [one, other] = names.map(|name| {
        let text = SMALL.replace("c.example.com", &name);
        build(&spec(&text), &Facts::default())
    });
    assert_eq!(one.findings, []);
    let keys: BTreeSet<&Key> = one.resources.keys().collect();
    assert!(other.resources.keys().all(|key| !keys.contains(key)));
    for key in keys {
        let max = match key.kind {
            Kind::Role | Kind::InstanceProfile => 64,
            Kind::LoadBalancer | Kind::TargetGroup => 32,
            Kind::LaunchTemplate => 128,
            _ => 255,
        };
        assert!(key.name.len() <= max, "{key}");
    }
}

#[test]
fn a_clusters_name_may_not_be_that_of_anothers_resources() {
    for label in ["etcd", "internal", "masters"] {
        let text = SMALL.replace("c.example.com", &format!("{label}.c.example.com"));
        let findings = build(&spec(&text), &Facts::default()).findings;
        let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
        let expected =
            "the cluster's resources would have the names of those of a cluster `c.example.com`";
        assert_eq!(finding.message, expected);
    }
}

fn profile_name(resource: &Resource) -> Option<&str> {
    match resource {
        Resource::LaunchTemplate(template) => {
            template.launch_template_data.iam_instance_profile_name.as_deref()
        }
        _ => None,
    }
}

/// Whether a rule lets a packet for some etcd port in.
fn opens_etcd(rule: &Rule) -> bool {
    [2380, 2381, 4001, 4002].into_iter().any(|port| opens(rule, port))
}

fn opens(rule: &Rule, port: i32) -> bool {
    let all = rule.ip_protocol == "-1";
    let tcp = rule.ip_protocol == "tcp" && (rule.from_port..=rule.to_port).contains(&port);
    !rule.is_egress && (all || tcp)
}

fn reaches(resources: &ResourceSet, from: &Ref, to: &Ref, port: i32) -> bool {
    resources.values().any(|resource| match resource {
        Resource::SecurityGroupRules(held) => {
            held.group_id == *to
                && held.rules.iter().any(|rule| {
                    opens(rule, port) && rule.referenced_group_id.as_ref() == Some(from)
                })
        }
        _ => false,
    })
}
