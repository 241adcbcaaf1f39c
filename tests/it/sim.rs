//! The simulated world under whole clusters: everything that the fleets of this repository ask of
//! AWS, the world takes; what it gives back is seen again.

use std::time::Duration;

use kprod::apply::steps::{Own, StepContext, steps};
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, Observation};
use kprod::desired;
use kprod::plan::{Plan, PlanOptions, make, merge_versions, versions_to_read};
use kprod::sim::Lag;
use kprod::spec::Spec;

use super::apply::spec_of;

/// Rounds that a naive run may take; each does what it can and looks again.
const ROUNDS_MAX: usize = 60;

async fn look(sim: &SimCloud, spec: &Spec, options: &PlanOptions) -> (Plan, Observation) {
    let mut observation = sim.observe(&desired::query(spec)).await.unwrap();
    let wanted = desired::build(spec, &observation.facts);
    assert_eq!(wanted.findings, []);
    let unread = versions_to_read(&wanted.resources, &observation);
    let versions = sim.versions(&unread).await.unwrap();
    merge_versions(&mut observation, versions);
    (make(&wanted.resources, &observation, options), observation)
}

/// Plans and makes every change that can be made, again and again, until nothing is left.
async fn converge(sim: &SimCloud, spec: &Spec, options: &PlanOptions) -> usize {
    let mut errors = Vec::new();
    for round in 0..ROUNDS_MAX {
        let (plan, observation) = look(sim, spec, options).await;
        assert_eq!(plan.refusals, []);
        errors.clear();
        let mut is_done = true;
        for change in &plan.changes {
            let after = change.after.as_ref().map(|wanted| {
                wanted.resolve(&|key, attribute| observation.attribute(key, attribute)).unwrap()
            });
            if after.as_ref().is_some_and(|after| !after.references().is_empty()) {
                is_done = false;
                continue;
            }
            let observed = observation.resources.get(&change.address);
            let context = StepContext::new(spec.name(), change);
            let mut own = Own::default();
            if let Some(observed) = observed {
                own.attributes = observed.attributes.clone();
            }
            for step in steps(change, observed, after.as_ref(), &context).unwrap() {
                is_done = false;
                match sim.call(&step.call(&own).unwrap()).await {
                    Ok(reply) => own.learn(&reply),
                    Err(error) => {
                        errors.push(error.to_string());
                        break;
                    }
                }
            }
        }
        if is_done {
            return round;
        }
        sim.sleep(Duration::from_secs(5)).await;
    }
    let (plan, _) = look(sim, spec, options).await;
    let left: Vec<String> = plan
        .changes
        .iter()
        .map(|change| format!("{:?} {} {:?}", change.action, change.address, change.fields))
        .collect();
    panic!("no end after {ROUNDS_MAX} rounds; left: {left:#?}; last errors: {errors:#?}");
}

fn new_cloud(spec: &Spec, seed: u64, lag: Lag) -> SimCloud {
    let sim = SimCloud::in_memory(seed);
    sim.with_world(|world| world.lag = lag).unwrap();
    sim.adopt_network(&desired::adopted_network(spec)).unwrap();
    sim
}

#[tokio::test]
async fn the_fleets_are_made_seen_and_destroyed() {
    for (cluster, lag) in [
        ("staging.k8s.example.com", Lag::none()),
        ("staging.k8s.example.com", Lag::usual()),
        ("prod.k8s.example.com", Lag::none()),
        ("prod.k8s.example.com", Lag::usual()),
    ] {
        let spec = spec_of(cluster);
        let sim = new_cloud(&spec, 7, lag);
        converge(&sim, &spec, &PlanOptions::default()).await;

        // Every group comes to its machines, spread over its zones.
        sim.sleep(Duration::from_secs(600)).await;
        sim.with_world(|world| {
            for stored in world.groups.values() {
                let name = &stored.group.auto_scaling_group_name;
                let serving = world.members(name).filter(|m| m.lifecycle.as_str() == "InService");
                assert_eq!(serving.count(), usize::try_from(stored.desired_capacity).unwrap());
            }
        })
        .unwrap();

        let (plan, observation) = look(&sim, &spec, &PlanOptions::default()).await;
        assert_eq!(plan.changes, []);
        assert!(observation.resources.values().all(|observed| observed.ownership.is_owned()));

        let destroy = PlanOptions { destroy: true, allow_delete: true, ..PlanOptions::default() };
        converge(&sim, &spec, &destroy).await;
        let left = sim.with_world(|world| {
            world.machines.len()
                + world.groups.iter().count()
                + world.security_groups.iter().count()
                + world.volumes.iter().count()
                + world.interfaces.iter().count()
        });
        assert_eq!(left.unwrap(), 0);
        // Client tokens are remembered for a day, beyond the life of what they made.
        sim.sleep(Duration::from_secs(25 * 3600)).await;
        converge(&sim, &spec, &PlanOptions::default()).await;
    }
}
