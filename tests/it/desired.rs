//! The desired resources of the repository's own fleets.

use std::collections::BTreeSet;
use std::path::Path;

use kprod::desired::{Desired, build};
use kprod::facts::Facts;
use kprod::resource::{Key, Kind, Resource};
use kprod::source::{Limits, LoadLimits, load, render};
use kprod::spec::{Strictness, read};

fn desired(cluster: &str) -> Desired {
    let tree = load(Path::new(env!("CARGO_MANIFEST_DIR")), &LoadLimits::default());
    let rendered = render(&tree, cluster, &[], &Limits::default());
    let spec = read(rendered.documents, Strictness::Strict).spec.unwrap();
    let desired = build(&spec, &Facts::default());
    assert_eq!(desired.findings, []);
    desired
}

fn names(desired: &Desired, kind: Kind) -> Vec<&str> {
    let keys = desired.resources.keys().filter(|key| key.kind == kind);
    keys.map(|key| key.name.as_str()).collect()
}

#[test]
fn production_has_its_etcd_on_machines_of_its_own() {
    let prod = desired("prod.k8s.example.com");
    let etcd =
        ["a1", "a2", "b1", "b2", "c1"].map(|m| format!("etcd-{m}.etcd.prod.k8s.example.com"));
    assert_eq!(names(&prod, Kind::NetworkInterface), etcd);
    assert_eq!(names(&prod, Kind::Volume).len(), 5 + 3);
    assert_eq!(names(&prod, Kind::LoadBalancer).len(), 2);
    let groups =
        ["api-elb", "etcd", "masters", "nodes"].map(|g| format!("{g}.prod.k8s.example.com"));
    assert_eq!(names(&prod, Kind::SecurityGroup), groups);
    let control_plane =
        Key::new(Kind::AutoScalingGroup, "control-plane.masters.prod.k8s.example.com");
    let Resource::AutoScalingGroup(group) = &prod.resources[&control_plane] else { panic!() };
    assert_eq!((group.min_size, group.max_size, group.vpc_zone_identifier.len()), (3, 3, 3));
    let spot = Key::new(Kind::AutoScalingGroup, "spot-4x-32gb.prod.k8s.example.com");
    let Resource::AutoScalingGroup(group) = &prod.resources[&spot] else { panic!() };
    let policy = group.mixed_instances_policy.as_ref().unwrap();
    assert!(policy.overrides.len() >= 10);
    assert_eq!(policy.on_demand_percentage_above_base_capacity, 0);
}

#[test]
fn the_fleets_share_nothing() {
    let [staging, prod] = ["staging.k8s.example.com", "prod.k8s.example.com"].map(desired);
    let keys: BTreeSet<&Key> = staging.resources.keys().collect();
    assert!(prod.resources.keys().all(|key| !keys.contains(key)));
}
