//! The simulated cluster: it follows the account's machines, and answers as a real API server does.

use std::collections::BTreeSet;

use super::super::kubernetes::Kubernetes;
use super::*;
use crate::resource::GroupTag;

pub(super) const CLUSTER: &str = "c.example.com";

/// A group whose machines join the cluster.
pub(super) fn node_group(name: &str, role: &str, size: i32, zones: &str) -> AutoScalingGroup {
    let tags = [
        (OWNER_TAG.to_owned(), CLUSTER),
        (format!("k8s.io/role/{role}"), "1"),
        ("k8s.io/cluster-autoscaler/node-template/label/pool".to_owned(), name),
    ];
    let tag = |value: &str| GroupTag { value: value.to_owned(), propagate_at_launch: true };
    let tags = tags.into_iter().map(|(key, value)| (key, tag(value))).collect();
    AutoScalingGroup { tags, ..group(name, size, size.max(1) * 2, zones) }
}

/// An account with a cluster of three control-plane machines and so many workers, at rest.
pub(super) fn small_cluster(seed: u64, workers: i32) -> World {
    let mut world = account(seed);
    running_group(&mut world, node_group("control-plane", "control-plane", 3, "abc"));
    running_group(&mut world, node_group("workers", "node", workers, "abc"));
    world
}

fn cluster(world: &World) -> &Kubernetes {
    &world.clusters[CLUSTER]
}

#[test]
fn nodes_follow_machines_and_go_with_them() {
    let mut world = small_cluster(1, 3);
    let nodes = cluster(&world).nodes();
    assert_eq!(nodes.len(), 6);
    let of_machines: BTreeSet<&String> = world.machines.keys().collect();
    let of_nodes: BTreeSet<&String> =
        nodes.values().map(|stored| stored.node.instance_id.as_ref().unwrap()).collect();
    assert_eq!(of_nodes, of_machines);
    assert!(nodes.values().all(|stored| stored.node.is_ready()));
    let pools = nodes.values().filter(|stored| stored.node.labels["pool"] == "workers");
    assert!(pools.clone().all(|stored| stored.node.taints.is_empty()));

    let gone = pools.clone().next().unwrap().instance_id.clone();
    let name = cluster(&world).node_name(&gone);
    world.terminate_instance(&gone).unwrap();
    world.advance_secs(20);
    assert!(cluster(&world).nodes()[&name].node.is_ready(), "nobody has noticed yet");
    world.advance_secs(45);
    let is_known = cluster(&world).nodes().get(&name);
    assert!(is_known.is_none_or(|stored| !stored.node.is_ready()));
    world.advance_secs(300);
    assert!(!cluster(&world).nodes().contains_key(&name));
    assert_eq!(cluster(&world).nodes().len(), 6, "another machine has joined");
    assert!(cluster(&world).pods().all(|stored| stored.pod.node.as_ref() != Some(&name)));
    assert_eq!(cluster(&world).active_pods("demo", "web"), 4);
}
