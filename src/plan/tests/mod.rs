//! Laws of a plan, and the cases that each guard is for.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod fleets;
mod guards;
mod held;
mod laws;
mod saved;
mod unfinished;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::cloud::Observation;
use crate::resource::{Kind, ResourceSet};

const GROUP: &str = "auto_scaling_group/nodes.test.example.com";
const TEMPLATE: &str = "launch_template/nodes.test.example.com";
const VOLUME: &str = "volume/a.etcd-main.test.example.com";

fn address(text: &str) -> Key {
    text.parse().unwrap()
}

fn plan(desired: &ResourceSet, world: &Observation) -> Plan {
    make(desired, world, &PlanOptions::default())
}

fn addresses(plan: &Plan) -> Vec<String> {
    plan.changes.iter().map(|change| change.address.to_string()).collect()
}

fn guards(plan: &Plan) -> Vec<&str> {
    plan.refusals.iter().map(|refusal| refusal.guard.as_str()).collect()
}

fn assert_respects_edges(plan: &Plan) {
    let mut done = BTreeSet::new();
    for change in &plan.changes {
        assert!(change.depends_on.is_subset(&done), "{} is too early", change.address);
        assert!(done.insert(change.address.clone()), "{} changes twice", change.address);
    }
}
