//! A drill as the README has it: a cluster of another name begins with copies of a cluster's snapshots.

use std::fs;
use std::path::Path;

use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, Condition};
use kprod::epoch;
use kprod::etcd::snapshot::snapshots_key;
use serde_json::Value;

use crate::cli::{STAGING, run};
use crate::env;

const DRILL: &str = "drill.k8s.example.com";
const ETCDS: [&str; 2] = ["main", "events"];

/// What a run prints that ends well.
fn done(folder: &Path, arguments: &[&str]) -> String {
    let (code, out, said) = run(folder, arguments);
    assert_eq!(code, 0, "{arguments:?}: {said}");
    out
}

/// Copies objects and lists, under the other cluster's name: `aws s3 sync`, and `sed`.
async fn copy_snapshots(cloud: &SimCloud) {
    for etcd in ETCDS {
        let place = |cluster: &str| {
            format!("s3://example-k8s-staging-backups/{cluster}/etcd/{etcd}/{cluster}/{etcd}/")
        };
        let copied = cloud.with_world(|world| {
            let of_etcd = world.objects.iter().filter(|(key, _)| key.starts_with(&place(STAGING)));
            let copies = of_etcd
                .map(|(key, object)| (key.replace(&place(STAGING), &place(DRILL)), object.clone()));
            let copies: Vec<_> = copies.collect();
            let count = copies.len();
            world.objects.extend(copies);
            count
        });
        assert!(copied.unwrap() > 0, "snapshots of {etcd} are where the spec says");
        let list = cloud.get(&snapshots_key(STAGING, etcd)).await.unwrap().unwrap();
        let list = String::from_utf8(list.body).unwrap().replace(STAGING, DRILL);
        cloud.put(&snapshots_key(DRILL, etcd), list.into(), Condition::Any).await.unwrap();
    }
}

#[tokio::test]
async fn copies_of_a_clusters_snapshots_begin_another_one() {
    let fleet = env::fleet();
    let at = fleet.path();
    let vars = |cluster: &str| at.join(format!("vars/{cluster}.yaml"));
    fs::copy(vars(STAGING), vars(DRILL)).unwrap();
    for cluster in [STAGING, DRILL] {
        done(at, &["apply", cluster, "--yes"]);
        done(at, &["etcd", "snapshot", cluster]);
    }
    let told = done(at, &["etcd", "snapshots", STAGING, "-o", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let main = told["etcds"].as_array().unwrap().iter().find(|etcd| etcd["etcd"] == "main");
    let newest = main.unwrap()["snapshots"].as_array().unwrap().last().unwrap().clone();

    let cloud = SimCloud::open(&at.join(".kprod"), "210987654321", "eu-west-3").unwrap();
    copy_snapshots(&cloud).await;
    let name = newest["name"].as_str().unwrap();
    done(at, &["etcd", "restore", DRILL, "--from", name, "--confirm", DRILL]);
    for etcd in ETCDS {
        let begun = epoch::read(&cloud, DRILL, etcd).await.unwrap().unwrap().epoch;
        let from = begun.restored_from.as_ref().unwrap();
        assert_eq!((begun.number, begun.cluster_id().is_some()), (2, true), "{etcd}");
        assert!(from.snapshot.contains(DRILL) && !from.snapshot.contains(STAGING), "{from:?}");
        let other = epoch::read(&cloud, STAGING, etcd).await.unwrap().unwrap().epoch;
        assert_eq!(other.number, 1, "{etcd} of the cluster that was copied goes on");
    }
    let begun = epoch::read(&cloud, DRILL, "main").await.unwrap().unwrap().epoch;
    assert_eq!(begun.restored_from.unwrap().sha256, newest["sha256"].as_str().unwrap());
}
