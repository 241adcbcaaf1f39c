//! How many calls a first apply makes, against the least that AWS' API allows.

use std::collections::{BTreeMap, BTreeSet};

use kprod::apply::{self, StopSignal};
use kprod::desired;
use kprod::error::ExitCode;
use kprod::plan::PlanOptions;
use kprod::resource::{Ref, Resource, ResourceSet, Rule};
use kprod::sim::{Lag, LoggedCall};

use super::apply::{PROD, STAGING, account_for, plan, request, spec_of, told};

/// Writes to the state bucket that no first apply does without: take the lease, write down what is
/// meant to be done, then that it is done, give the lease back.
pub(crate) const STATE_CALLS: usize = 4;

/// The least number of calls that make these resources in an empty account, one entry an operation.
///
/// What the calls are follows from the API alone: a create takes tags, hooks and target groups with
/// it (a hosted zone takes no tags), one call takes all rules of a group in one direction, one batch
/// all records of a zone up to Route53's limits (no cluster of the tests comes near them), and a new
/// group comes with a rule for all IPv4 egress. What a create does not take is a call more: a role's
/// policies, a profile's role, attributes of balancers and target groups that differ from a new
/// one's, a group's metrics and suspended processes, and what an authority is trusted by beside its key,
/// which other machines may read. Each launch template version is proven by a dry run before anything
/// launches from it.
pub(crate) fn least_calls(wanted: &ResourceSet) -> BTreeMap<&'static str, usize> {
    let mut calls: BTreeMap<&str, usize> = BTreeMap::new();
    let mut add = |operation, count: usize| *calls.entry(operation).or_default() += count;
    let mut zones: BTreeSet<&Ref> = BTreeSet::new();
    for resource in wanted.values() {
        match resource {
            Resource::SecurityGroup(_) => add("CreateSecurityGroup", 1),
            Resource::SecurityGroupRules(rules) => {
                let default = Rule::default_egress();
                let (egress, ingress): (Vec<&Rule>, Vec<&Rule>) =
                    rules.rules.iter().partition(|rule| rule.is_egress);
                let more = egress.iter().any(|rule| **rule != default);
                add("AuthorizeSecurityGroupIngress", usize::from(!ingress.is_empty()));
                add("AuthorizeSecurityGroupEgress", usize::from(more));
                add("RevokeSecurityGroupEgress", usize::from(!egress.contains(&&default)));
            }
            Resource::Role(role) => {
                add("CreateRole", 1);
                add("PutRolePolicy", role.inline_policies.len());
                add("AttachRolePolicy", role.attached_policy_arns.len());
            }
            Resource::InstanceProfile(profile) => {
                add("CreateInstanceProfile", 1);
                add("AddRoleToInstanceProfile", profile.roles.len());
            }
            Resource::LoadBalancer(balancer) => {
                let differs = balancer.cross_zone_enabled || balancer.deletion_protection_enabled;
                add("CreateLoadBalancer", 1);
                add("ModifyLoadBalancerAttributes", usize::from(differs));
            }
            Resource::TargetGroup(group) => {
                let attributes = (
                    group.deregistration_delay_seconds,
                    group.connection_termination_enabled,
                    group.preserve_client_ip_enabled,
                );
                add("CreateTargetGroup", 1);
                add("ModifyTargetGroupAttributes", usize::from(attributes != (300, false, true)));
            }
            Resource::Listener(_) => add("CreateListener", 1),
            Resource::HostedZone(_) => {
                add("CreateHostedZone", 1);
                add("ChangeTagsForResource", 1);
            }
            Resource::DnsName(name) => {
                zones.insert(&name.hosted_zone_id);
            }
            Resource::Volume(_) => add("CreateVolume", 1),
            Resource::NetworkInterface(_) => add("CreateNetworkInterface", 1),
            Resource::Authority(_) => {
                add("CreateAuthority", 1);
                add("PublishAuthority", 1);
            }
            Resource::Epoch(_) => add("CreateEpoch", 1),
            Resource::Asset(_) => add("CreateAsset", 1),
            Resource::LaunchTemplate(_) => {
                add("CreateLaunchTemplate", 1);
                add("ProveLaunchTemplateVersion", 1);
            }
            Resource::AutoScalingGroup(group) => {
                add("CreateAutoScalingGroup", 1);
                add("EnableMetricsCollection", usize::from(!group.enabled_metrics.is_empty()));
                add("SuspendProcesses", usize::from(!group.suspended_processes.is_empty()));
            }
        }
    }
    add("ChangeResourceRecordSets", zones.len());
    calls.retain(|_, count| *count > 0);
    calls
}

/// The calls of a first apply and the calls that make what the plan wants, by operation.
async fn first_apply(cluster: &str) -> (Vec<LoggedCall>, BTreeMap<&'static str, usize>) {
    let spec = spec_of(cluster);
    let cloud = account_for(&spec, 1);
    cloud.with_world(|world| world.lag = Lag::none()).unwrap();
    let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    let facts = cloud.with_world(|world| world.observe(&query)).unwrap().unwrap().facts;
    let least = least_calls(&desired::build(&spec, &facts).resources);
    cloud.with_world(|world| world.log.clear()).unwrap();
    let stop = StopSignal::new();
    let report = apply::run(&cloud, &request(&plan, &query, "ann"), &stop, &|_| ()).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
    (cloud.with_world(|world| world.log.iter().cloned().collect()).unwrap(), least)
}

fn count(log: &[LoggedCall], asked: impl Fn(&LoggedCall) -> bool) -> usize {
    log.iter().filter(|call| asked(call)).count()
}

/// Every mutating call and every call to the state bucket, reads of it included.
#[tokio::test]
async fn a_first_apply_makes_at_most_a_fifth_more_calls_than_the_bound() {
    for cluster in [STAGING, PROD] {
        let (log, least) = first_apply(cluster).await;
        let bound = least.values().sum::<usize>() + STATE_CALLS;
        // Epochs are looked at as all resources are: once a look, one call each.
        let looks = count(&log, |call| call.operation == "DescribeVpcs");
        let looked = looks * least.get("CreateEpoch").copied().unwrap_or_default();
        let asked = count(&log, |call| call.is_mutation || call.operation == "GetObject");
        let made = asked - looked;
        let mut operations: BTreeMap<&str, usize> = BTreeMap::new();
        for call in &log {
            *operations.entry(&call.operation).or_default() += 1;
        }
        assert!(made * 5 <= bound * 6, "{cluster}: {made} calls, bound {bound}: {operations:#?}");
        // Nothing but the state bucket and a batch more for the DNS of a new zone may be above it.
        for (operation, count) in operations {
            let is_read =
                ["Describe", "List", "Get"].iter().any(|verb| operation.starts_with(verb));
            if !is_read && !operation.ends_with("Object") {
                let allowed = least.get(operation).copied().unwrap_or_default();
                let more = usize::from(operation == "ChangeResourceRecordSets");
                assert!(count <= allowed + more, "{cluster}: {count} {operation}, bound {allowed}");
            }
        }
    }
}

/// One look before the first wave, at most one a wave, and one that sees all as written: no more.
/// Waiting for machines reads the groups, and for each that is short its activities.
#[tokio::test]
async fn a_first_apply_looks_rarely() {
    for cluster in [STAGING, PROD] {
        let (log, least) = first_apply(cluster).await;
        let is_look = |call: &LoggedCall| call.operation == "DescribeVpcs";
        let last_change = log.iter().rposition(|call| call.operation == "SuspendProcesses");
        let (making, waiting) = log.split_at(last_change.unwrap());
        let looks = count(making, is_look);
        assert!(looks <= 1 + 4, "{cluster}: {looks} looks in four waves");
        assert_eq!(count(waiting, is_look), 1, "{cluster}: a whole look at the end is enough");
        // A look asks for the hooks of the groups that are there, which are made in the last wave.
        let hooks = count(&log, |call| call.operation == "DescribeLifecycleHooks");
        let looked = log.iter().enumerate().filter(|(_, call)| is_look(call));
        let there = looked
            .map(|(at, _)| count(&log[..at], |call| call.operation == "CreateAutoScalingGroup"));
        let there: Vec<usize> = there.collect();
        assert_eq!(hooks, there.iter().sum::<usize>(), "{cluster}: {there:?}");
        assert_eq!(there.last(), Some(&least["CreateAutoScalingGroup"]), "{cluster}: {there:?}");
    }
}
