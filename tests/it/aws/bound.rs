//! What a first apply costs, by the emulator's log.

use std::collections::BTreeMap;

use kprod::resource::{Key, Resource, ResourceSet};
use serde_json::Value;

use super::calls::Call;
use crate::call_bound::{STATE_CALLS, least_calls};

/// Looks at the world that a first apply may take: one to plan, one before its first wave, one a
/// wave, one that sees all as written.
const LOOKS_MAX: usize = 1 + 1 + 4 + 1;

/// Batches of records beside one a zone: names in the new zone that wait for a load balancer.
const BATCHES_MORE: usize = 1;

/// Checks the calls of an apply that made everything of a plan: at most a fifth more than the bound
/// of [`least_calls`] and the state's, no operation above its own bound, and few looks.
#[expect(clippy::print_stdout, reason = "`--nocapture` tells the figures")]
pub(super) fn check_first_apply(plan: &Value, calls: &[Call]) {
    let least = least_calls(&wanted(plan));
    let bound = least.values().sum::<usize>() + STATE_CALLS;
    let made = calls.iter().filter(|call| counts(call)).count();
    println!("{}: {made} calls, bound {bound}, {} with reads", plan["cluster"], calls.len());
    assert!(made * 5 <= bound * 6, "{made} calls, bound {bound}");

    let mut operations: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls.iter().filter(|call| counts(call) && call.service != "s3") {
        *operations.entry(operation(call)).or_default() += 1;
    }
    for (operation, count) in operations {
        let more = if operation == "ChangeResourceRecordSets" { BATCHES_MORE } else { 0 };
        let least = |operation: &str| least.get(operation).copied().unwrap_or_default();
        let allowed = match operation {
            // One operation of AWS writes both of an authority's parameters.
            "PutParameter" => least("CreateAuthority") + least("PublishAuthority"),
            other => least(other) + more,
        };
        assert!(count <= allowed, "{count} {operation}, bound {allowed}");
    }
    let looks = calls.iter().filter(|call| call.action == "DescribeSecurityGroups").count();
    assert!(looks <= LOOKS_MAX, "{looks} looks");
}

/// What a plan for an empty account makes.
fn wanted(plan: &Value) -> ResourceSet {
    let resources = plan["resources"].as_array().unwrap().iter();
    let resources = resources.map(|resource| {
        let key: Key = resource["address"].as_str().unwrap().parse().unwrap();
        let value = Resource::from_value(key.kind, resource["after"].clone()).unwrap();
        (key, value)
    });
    resources.collect()
}

/// Whether the bound speaks of a call: changes, proofs, and everything about the state of a run. Epochs
/// and assets are looked at as all resources are.
fn counts(call: &Call) -> bool {
    let key = call.params.get("Key").or(call.params.get("prefix"));
    let is_look = call.is_read()
        && key.is_some_and(|key| ["/etcd/", "/assets/"].iter().any(|part| key.contains(part)));
    !call.is_read() || (call.service == "s3" && !is_look) || is_proof(call)
}

fn is_proof(call: &Call) -> bool {
    call.action == "RunInstances"
}

fn operation(call: &Call) -> &str {
    if is_proof(call) { "ProveLaunchTemplateVersion" } else { &call.action }
}
