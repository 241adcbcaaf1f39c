//! etcd members of a cluster that an apply has made, and the quorum guard on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kprod::apply::{self, StopSignal};
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, Condition};
use kprod::etcd::snapshot::snapshots_key;
use kprod::etcd::{Facts, Limits, Refusal, may_go};
use kprod::plan::PlanOptions;
use kprod::roll::Policy;
use kprod::roll::members::read;
use kprod::sim::{Lifecycle, World};
use kprod::spec::Spec;

use super::apply::{PROD, STAGING, account_for, plan, request, spec_of};

async fn applied(spec: &Spec) -> SimCloud {
    let cloud = account_for(spec, 1);
    let (plan, query) = plan(&cloud, spec, &PlanOptions::default()).await;
    let request = request(&plan, &query, "ann");
    apply::run(&cloud, &request, &StopSignal::new(), &|_| ()).await.unwrap();
    cloud
}

/// Looks twice, so far apart that every member has reported in between.
async fn look(cloud: &SimCloud, spec: &Spec) -> Facts {
    let topology = Policy::of(spec).topology;
    let mut facts = Facts::new();
    for _ in 0..2 {
        cloud.sleep(Duration::from_secs(11)).await;
        facts = read(cloud, spec.name(), &topology, &facts).await.unwrap();
    }
    facts
}

fn ask(cloud: &SimCloud, spec: &Spec, facts: &Facts, group: &str) -> Result<(), Refusal> {
    let limits = Limits {
        report_age_max: Limits::REPORT_AGE_MAX,
        lag_max: Limits::LAG_MAX,
        snapshot_age_max: Duration::from_secs(7200),
        not_before: cloud.now() - Duration::from_secs(30),
        one_member_downtime: false,
    };
    let keeps = |group: &str, id: &str| {
        let stays = |world: &mut World| {
            world.members(group).any(|m| m.instance_id == id && m.lifecycle.counts())
        };
        cloud.with_world(stays).unwrap()
    };
    may_go(&Policy::of(spec).topology, facts, &keeps, group, cloud.now(), &limits)
}

#[tokio::test]
async fn one_host_after_the_other_may_go_once_the_one_before_votes_again() {
    for cluster in [STAGING, PROD] {
        let spec = spec_of(cluster);
        let cloud = applied(&spec).await;
        cloud.sleep(Duration::from_secs(300)).await;
        let topology = Policy::of(&spec).topology;
        let hosts: BTreeSet<String> = topology
            .clusters
            .values()
            .flat_map(|etcd| etcd.members.values().map(|member| member.group.clone()))
            .collect();
        for host in &hosts {
            let facts = look(&cloud, &spec).await;
            for each in &hosts {
                ask(&cloud, &spec, &facts, each).unwrap();
            }
            let machine =
                |world: &mut World| world.members(host).next().unwrap().instance_id.clone();
            let id = cloud.with_world(machine).unwrap();
            cloud.with_world(|world| world.terminate_instance(&id)).unwrap().unwrap();
            cloud.sleep(Duration::from_secs(60)).await;
            let facts = look(&cloud, &spec).await;
            let refused: BTreeMap<&String, bool> = hosts
                .iter()
                .map(|each| (each, ask(&cloud, &spec, &facts, each).is_err()))
                .collect();
            let shares = |each: &&String| {
                let hosted = |group: &String| -> BTreeSet<String> {
                    topology.members_on(group).map(|(etcd, _)| etcd.to_owned()).collect()
                };
                !hosted(host).is_disjoint(&hosted(each))
            };
            for each in hosts.iter().filter(shares).filter(|each| *each != host) {
                assert!(refused[each], "{each} while {host} is gone");
            }
            cloud.sleep(Duration::from_secs(600)).await;
            let serves = |world: &mut World| {
                world.members(host).all(|m| m.lifecycle == Lifecycle::InService)
            };
            assert!(cloud.with_world(serves).unwrap());
        }
    }
}

#[tokio::test]
async fn a_removed_and_remade_cluster_is_another_etcd() {
    let spec = spec_of(STAGING);
    let cloud = applied(&spec).await;
    cloud.sleep(Duration::from_secs(300)).await;
    let facts = look(&cloud, &spec).await;
    assert_eq!(facts.values().map(BTreeMap::len).sum::<usize>(), 6);
    let destroy = PlanOptions { destroy: true, ..PlanOptions::default() };
    let (gone, query) = plan(&cloud, &spec, &destroy).await;
    apply::run(&cloud, &request(&gone, &query, "ann"), &StopSignal::new(), &|_| ()).await.unwrap();
    assert_eq!(look(&cloud, &spec).await, Facts::new());
    // The lists of snapshots stay, and would keep another cluster from forming in their place.
    for etcd in ["main", "events"] {
        cloud.remove(&snapshots_key(STAGING, etcd), Condition::Any).await.unwrap();
    }
    let (again, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    apply::run(&cloud, &request(&again, &query, "ann"), &StopSignal::new(), &|_| ()).await.unwrap();
    cloud.sleep(Duration::from_secs(300)).await;
    let facts = look(&cloud, &spec).await;
    for host in spec.groups.values().filter(|group| spec.hosts_etcd(group.name())) {
        ask(&cloud, &spec, &facts, &spec.machine_name(host)).unwrap();
    }
}
