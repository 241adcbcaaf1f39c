//! Auto scaling groups: how many machines, where, and of which types.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::{balancer, number, tag};
use crate::resource::{
    Attribute, AutoScalingGroup, GroupTag, InstanceRequirements, Key, Kind, LifecycleHook,
    MixedInstancesPolicy, Ref, RequirementRange, Resource,
};
use crate::spec::{
    Field, InstanceGroup, InstanceGroupSpec, InstanceRequirementsSpec, Kind as Document, Memory,
    MixedInstancesPolicySpec, OnDemandStrategy, Role, Spec, SpotStrategy,
};

/// Group metrics that AWS collects each minute, free of charge; kops' choice.
const METRICS: [&str; 8] = [
    "GroupDesiredCapacity",
    "GroupInServiceInstances",
    "GroupMaxSize",
    "GroupMinSize",
    "GroupPendingInstances",
    "GroupStandbyInstances",
    "GroupTerminatingInstances",
    "GroupTotalInstances",
];

/// The hook that holds a machine back until its etcd member is a healthy voter.
pub(super) const ETCD_HOOK: &str = "kprod-etcd";
/// Seconds that the hook waits without a sign of progress.
const ETCD_HOOK_HEARTBEAT_SECS: i32 = 300;

/// Builds an ASG for each group.
pub(super) fn build(spec: &Spec, draft: &mut Draft<'_>) {
    for group in spec.groups.values() {
        let name = spec.machine_name(group);
        let field = Field::new(Document::InstanceGroup, group.name(), "metadata.name");
        let asg = auto_scaling_group(spec, group, &name);
        draft.add(&field, &name, Resource::AutoScalingGroup(asg));
    }
}

fn auto_scaling_group(spec: &Spec, group: &InstanceGroup, name: &str) -> AutoScalingGroup {
    let machine = &group.spec;
    let is_vital = group.is_vital();
    let (min, max) = group.sizes();
    let (subnets, zones) = place(spec, group);
    AutoScalingGroup {
        auto_scaling_group_name: name.to_owned(),
        launch_template_name: name.to_owned(),
        target: Ref::Of(Key::new(Kind::LaunchTemplate, name), Attribute::Target),
        mixed_instances_policy: machine.mixed_instances_policy.as_ref().map(|m| mix(machine, m)),
        min_size: number(Some(min)),
        max_size: number(Some(max)),
        vpc_zone_identifier: subnets,
        availability_zones: zones,
        target_group_arns: target_groups(spec, group),
        // A load balancer's opinion would end machines behind the quorum guard's back, and workers
        // behind the drain's.
        health_check_type: "EC2".to_owned(),
        // EC2's checks say nothing until a machine is up, so there is nothing to wait for.
        health_check_grace_period: 0,
        new_instances_protected_from_scale_in: machine.instance_protection.unwrap_or(false),
        max_instance_lifetime: if is_vital { 0 } else { lifetime_secs(machine) },
        capacity_rebalance: !is_vital && machine.capacity_rebalance.unwrap_or(false),
        suspended_processes: machine.suspend_processes.iter().cloned().collect(),
        enabled_metrics: METRICS.map(str::to_owned).into(),
        lifecycle_hooks: hooks(spec, group),
        tags: tags(spec, group, name),
    }
}

/// Subnets, or zones where the launch template names an interface that has a subnet already: AWS
/// takes no second word on it.
fn place(spec: &Spec, group: &InstanceGroup) -> (BTreeSet<String>, BTreeSet<String>) {
    if spec.hosts_etcd(group.name()) {
        let zones = spec.zones_of(group).into_iter().map(str::to_owned).collect();
        return (BTreeSet::new(), zones);
    }
    (super::subnet_ids(spec.subnets_of(group)).into_iter().collect(), BTreeSet::new())
}

/// Those of the API for the control plane, and those that the group names.
fn target_groups(spec: &Spec, group: &InstanceGroup) -> BTreeSet<Ref> {
    let external = group.spec.external_load_balancers.iter();
    let external = external.map(|target| Ref::Known(target.target_group_arn.clone()));
    let own = (group.spec.role == Role::ControlPlane).then(|| balancer::target_groups(spec));
    external.chain(own.into_iter().flatten()).collect()
}

fn lifetime_secs(machine: &InstanceGroupSpec) -> i32 {
    let secs = machine.max_instance_lifetime.map_or(0, |span| span.secs);
    i32::try_from(secs).unwrap_or(i32::MAX)
}

/// Several machine types; a price limit of the group is the policy's.
fn mix(machine: &InstanceGroupSpec, mix: &MixedInstancesPolicySpec) -> MixedInstancesPolicy {
    let on_demand = mix.on_demand_allocation_strategy.unwrap_or(OnDemandStrategy::Prioritized);
    let spot = mix.spot_allocation_strategy.unwrap_or(SpotStrategy::LowestPrice);
    MixedInstancesPolicy {
        overrides: mix.instances.clone(),
        instance_requirements: mix.instance_requirements.as_ref().map(requirements),
        on_demand_allocation_strategy: on_demand.name().to_owned(),
        on_demand_base_capacity: number(mix.on_demand_base),
        on_demand_percentage_above_base_capacity: number(mix.on_demand_above_base.or(Some(100))),
        spot_allocation_strategy: spot.name().to_owned(),
        spot_instance_pools: mix.spot_instance_pools.map(|pools| number(Some(pools))),
        spot_max_price: machine.max_price.clone(),
    }
}

/// What machine types must have. AWS wants a least of both, and takes whole MiB: rounded inwards, so
/// that no type is let in that the spec leaves out.
fn requirements(wanted: &InstanceRequirementsSpec) -> InstanceRequirements {
    let cpu = wanted.cpu.clone().unwrap_or_default();
    let memory = wanted.memory.clone().unwrap_or_default();
    InstanceRequirements {
        vcpu_count: RequirementRange {
            min: cpu.min.map_or(0, |count| count.0.into()),
            max: cpu.max.map(|count| count.0.into()),
        },
        memory_mib: RequirementRange {
            min: number(memory.min.map(Memory::mib_up)),
            max: memory.max.map(|memory| number(Some(memory.mib_down()))),
        },
        excluded_instance_types: wanted.excluded_instance_types.iter().cloned().collect(),
    }
}

/// The launch hook of a group that hosts etcd, which its machines complete.
fn hooks(spec: &Spec, group: &InstanceGroup) -> BTreeMap<String, LifecycleHook> {
    let hook = LifecycleHook {
        lifecycle_transition: "autoscaling:EC2_INSTANCE_LAUNCHING".to_owned(),
        heartbeat_timeout: ETCD_HOOK_HEARTBEAT_SECS,
        default_result: "ABANDON".to_owned(),
    };
    let hosts = spec.hosts_etcd(group.name());
    hosts.then(|| (ETCD_HOOK.to_owned(), hook)).into_iter().collect()
}

fn tags(spec: &Spec, group: &InstanceGroup, name: &str) -> BTreeMap<String, GroupTag> {
    let tags = tag::machines(spec, group, name).into_iter();
    tags.map(|(key, value)| (key, GroupTag { value, propagate_at_launch: true })).collect()
}
