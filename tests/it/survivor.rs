//! Restores from members that are left, where not every etcd cluster has them.

use std::path::Path;
use std::time::Duration;

use kprod::cloud::Cloud;
use kprod::cloud::sim::SimCloud;
use kprod::epoch;
use kprod::etcd::snapshot::snapshots_key;
use kprod::sim::World;

use crate::cli::run;
use crate::env;

const PROD: &str = "prod.k8s.example.com";

/// A fleet whose cluster has run for some hours, all of whose etcd hosts but one stand still for good:
/// `main` has lost its quorum, `events` all that it had.
async fn one_is_left() -> (tempfile::TempDir, SimCloud) {
    let fleet = env::fleet();
    for command in [&["apply", PROD, "--yes"][..], &["etcd", "snapshot", PROD]] {
        let (code, _, said) = run(fleet.path(), command);
        assert_eq!(code, 0, "{said}");
    }
    let cloud = SimCloud::open(&fleet.path().join(".kprod"), "123456789012", "eu-west-3").unwrap();
    cloud.sleep(Duration::from_secs(3 * 3600)).await;
    let alone = |world: &mut World| {
        let hosts = world.machines.values().filter(|machine| {
            let group = machine.group.as_deref().unwrap_or_default();
            group.starts_with("etcd-") && !group.starts_with("etcd-a2.")
        });
        let hosts: Vec<String> = hosts.map(|machine| machine.instance_id.clone()).collect();
        hosts.iter().for_each(|id| world.doze(id));
        hosts.len()
    };
    assert_eq!(cloud.with_world(alone).unwrap(), 4);
    cloud.sleep(Duration::from_secs(600)).await;
    (fleet, cloud)
}

fn restore(at: &Path, more: &[&str]) -> (i32, String, String) {
    run(at, &[&["etcd", "restore", PROD, "--confirm", PROD][..], more].concat())
}

#[tokio::test]
async fn a_survivor_of_one_etcd_cluster_is_enough_beside_snapshots_of_the_other() {
    let (fleet, cloud) = one_is_left().await;
    let at = fleet.path();
    let (code, _, said) = restore(at, &["--survivor", "a2"]);
    assert!(code == 5 && said.contains("not said what etcd events begins with"), "{code} {said}");
    assert!(said.contains("--latest") && said.contains("a1, b1, c1"), "{said}");
    let (code, _, said) = restore(at, &["--survivor", "events=a2", "--latest"]);
    assert!(code == 1 && said.contains("etcd main has a1, a2, b1, b2, c1"), "{code} {said}");

    let (code, plan, said) = restore(at, &["--survivor", "main=a2", "--latest"]);
    assert_eq!(code, 0, "{plan}{said}");
    let place = |what: &str| plan.find(what).unwrap_or_else(|| panic!("no `{what}` in {plan}"));
    assert!(place("etcd events  epoch 1 -> 2\n  from 20") < place("what was written since"));
    assert!(place("etcd main  epoch 1 -> 2\n  from member a2, heard of") < place("is taken first"));
    assert!(place("Not of one time\n  etcd events begins with what it had") < place("Set aside"));
    assert!(plan.contains("  etcd main begins with what a2 has by now\n"), "{plan}");
    for (etcd, ends) in [("main", true), ("events", false)] {
        let epoch = epoch::read(&cloud, PROD, etcd).await.unwrap().unwrap().epoch;
        let from = epoch.restored_from.unwrap().snapshot;
        assert_eq!(from.contains("-a2/"), ends, "{etcd} begins with {from}");
    }
    let (code, text, said) = run(at, &["status", PROD]);
    assert!(code == 0 && !text.contains("ending"), "{code} {text}{said}");
    let (code, text, said) = run(at, &["etcd", "status", PROD]);
    assert_eq!(code, 0, "{text}{said}");
}

#[tokio::test]
async fn an_etcd_cluster_with_neither_survivor_nor_snapshot_is_refused_with_the_way_out() {
    let (fleet, cloud) = one_is_left().await;
    let gone = |world: &mut World| {
        world.faults.failing_snapshots.insert(PROD.to_owned());
        world.objects.remove(&snapshots_key(PROD, "events")).is_some()
    };
    assert!(cloud.with_world(gone).unwrap());
    let (code, _, said) = restore(fleet.path(), &["--survivor", "a2", "--latest"]);
    assert!(code == 5 && said.contains("etcd events has no verified snapshot"), "{code} {said}");
    assert!(said.contains("events=MEMBER begins with one of a1, b1, c1"), "{said}");
    let (code, _, said) = restore(fleet.path(), &["--survivor", "a1", "--from", "x"]);
    assert!(code == 64 && said.contains("leave --from out"), "{code} {said}");
    let epoch = epoch::read(&cloud, PROD, "main").await.unwrap().unwrap().epoch;
    assert_eq!(epoch.number, 1);
}
