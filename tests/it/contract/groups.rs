//! Auto scaling groups: made in one call, changed part by part, their pin and size left alone.

use std::collections::{BTreeMap, BTreeSet};

use kprod::cloud::{Call, Cloud, CloudErrorKind, GroupFacts, Observed};
use kprod::resource::{
    AutoScalingGroup, GroupTag, InstanceRequirements, Key, Kind, LifecycleHook,
    MixedInstancesPolicy, OWNER_TAG, RequirementRange, Resource,
};

use super::{Scene, known, strings};

impl<C: Cloud> Scene<'_, C> {
    /// A group of one machine over two subnets, with a hook and tags.
    pub(super) fn group(&self, name: &str) -> AutoScalingGroup {
        let tag = |value: &str, propagate_at_launch| GroupTag {
            value: value.to_owned(),
            propagate_at_launch,
        };
        AutoScalingGroup {
            auto_scaling_group_name: name.to_owned(),
            launch_template_name: name.to_owned(),
            target: known(""),
            mixed_instances_policy: None,
            min_size: 1,
            max_size: 2,
            vpc_zone_identifier: self.network().subnets.iter().take(2).cloned().collect(),
            availability_zones: BTreeSet::new(),
            target_group_arns: BTreeSet::new(),
            health_check_type: "EC2".to_owned(),
            health_check_grace_period: 60,
            new_instances_protected_from_scale_in: false,
            max_instance_lifetime: 0,
            capacity_rebalance: false,
            suspended_processes: BTreeSet::new(),
            enabled_metrics: BTreeSet::new(),
            lifecycle_hooks: BTreeMap::from([("leave".to_owned(), hook(60))]),
            tags: BTreeMap::from([
                (OWNER_TAG.to_owned(), tag(&self.cluster, true)),
                ("Name".to_owned(), tag("contract", false)),
            ]),
        }
    }

    /// Makes a group with its template; gives its security group.
    pub(super) async fn make_group(&self, group: &AutoScalingGroup) -> String {
        let name = &group.auto_scaling_group_name;
        let security_group = self.security_group(name).await;
        self.make(self.create_template(name, &self.content(&security_group))).await;
        self.make(create(group)).await;
        security_group
    }

    /// Removes a group with its machines and its template.
    pub(super) async fn delete_group(&self, name: &str, security_group: &str) {
        self.make(delete(name, true)).await;
        self.gone(Kind::AutoScalingGroup, name).await;
        self.delete_template(name).await;
        self.delete_security_group(security_group).await;
    }

    /// A group shows as written, and its pin is where it was.
    async fn shows_group(&self, group: &AutoScalingGroup) -> GroupFacts {
        let wanted = Resource::AutoScalingGroup(group.clone());
        let facts = self.shows(&group.auto_scaling_group_name, &wanted).await.group.unwrap();
        assert_eq!(facts.pin, Some(1));
        facts
    }
}

fn hook(heartbeat_timeout: i32) -> LifecycleHook {
    LifecycleHook {
        lifecycle_transition: "autoscaling:EC2_INSTANCE_TERMINATING".to_owned(),
        heartbeat_timeout,
        default_result: "CONTINUE".to_owned(),
    }
}

fn create(group: &AutoScalingGroup) -> Call {
    Call::CreateAutoScalingGroup { group: Box::new(group.clone()), version: 1 }
}

fn update(group: &AutoScalingGroup, version: Option<u64>) -> Call {
    Call::UpdateAutoScalingGroup { group: Box::new(group.clone()), version }
}

fn delete(name: &str, force: bool) -> Call {
    Call::DeleteAutoScalingGroup { auto_scaling_group_name: name.to_owned(), force }
}

fn in_service(seen: &Observed) -> usize {
    let machines = &seen.group.as_ref().unwrap().instances;
    machines.iter().filter(|machine| machine.lifecycle_state == "InService").count()
}

pub(super) async fn settings<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let mut group = scene.group(&name);
    let security_group = scene.make_group(&group).await;
    assert_eq!(scene.shows_group(&group).await.desired_capacity, 1, "the minimum");
    scene.refused(create(&group), CloudErrorKind::AlreadyExists, "AlreadyExists").await;
    let key = Key::new(Kind::AutoScalingGroup, name.as_str());
    let seen = scene.see(&key, |seen| in_service(seen) == 1).await;
    let machine = seen.group.unwrap().instances.remove(0);
    assert_eq!(machine.launch_template_version, Some(1));

    // A machine holds its security group, and its group.
    let held = Call::DeleteSecurityGroup { group_id: security_group.clone() };
    scene.refused(held, CloudErrorKind::InUse, "DependencyViolation").await;
    scene.refused(delete(&name, false), CloudErrorKind::InUse, "ResourceInUse").await;

    group = AutoScalingGroup {
        max_size: 5,
        vpc_zone_identifier: scene.network().subnets.iter().cloned().collect(),
        health_check_type: "ELB".to_owned(),
        health_check_grace_period: 120,
        new_instances_protected_from_scale_in: true,
        max_instance_lifetime: 604_800,
        capacity_rebalance: true,
        ..group
    };
    scene.make(update(&group, None)).await;
    assert_eq!(scene.shows_group(&group).await.desired_capacity, 1, "the autoscaler's");
    // Out of its limits AWS moves the desired capacity, and only then.
    group = AutoScalingGroup { min_size: 2, max_instance_lifetime: 0, ..group };
    scene.make(update(&group, None)).await;
    assert_eq!(scene.shows_group(&group).await.desired_capacity, 2);
    let upside_down = AutoScalingGroup { min_size: 3, max_size: 2, ..group.clone() };
    scene.refused(update(&upside_down, None), CloudErrorKind::Invalid, "ValidationError").await;
    let nobody = scene.name("nobody");
    let upside_down = AutoScalingGroup { auto_scaling_group_name: nobody.clone(), ..upside_down };
    scene.refused(create(&upside_down), CloudErrorKind::Invalid, "ValidationError").await;
    let unknown = AutoScalingGroup { auto_scaling_group_name: nobody, ..group };
    scene.refused(update(&unknown, None), CloudErrorKind::NotFound, "ValidationError").await;

    scene.delete_group(&name, &security_group).await;
    scene.refused(delete(&name, true), CloudErrorKind::NotFound, "ValidationError").await;
}

/// What has calls of its own: tags, processes, metrics, target groups, hooks.
pub(super) async fn parts<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let mut arns = Vec::new();
    for target_group in ["contract-parts-1", "contract-parts-2"] {
        let target_group = Box::new(scene.target_group(target_group, 443));
        arns.push(scene.made_arn(Call::CreateTargetGroup { target_group }).await);
    }
    let [first, second] = <[String; 2]>::try_from(arns).unwrap();
    let mut group = scene.group(&name);
    group.target_group_arns = [known(&first)].into();
    let security_group = scene.make_group(&group).await;
    scene.shows_group(&group).await;

    let group_name = || name.clone();
    let auto_scaling_group_name = group_name();
    let blue = GroupTag { value: "blue".to_owned(), propagate_at_launch: true };
    let tags = BTreeMap::from([("colour".to_owned(), blue)]);
    group.tags.extend(tags.clone());
    scene.make(Call::CreateOrUpdateTags { auto_scaling_group_name, tags }).await;
    group.tags.remove("Name");
    let (auto_scaling_group_name, keys) = (group_name(), strings(["Name"]));
    scene.make(Call::DeleteGroupTags { auto_scaling_group_name, keys }).await;

    let (auto_scaling_group_name, processes) = (group_name(), strings(["AZRebalance", "Launch"]));
    scene.make(Call::SuspendProcesses { auto_scaling_group_name, processes }).await;
    let (auto_scaling_group_name, processes) = (group_name(), strings(["Launch"]));
    scene.make(Call::ResumeProcesses { auto_scaling_group_name, processes }).await;
    group.suspended_processes = strings(["AZRebalance"]);
    let metrics = strings(["GroupMinSize", "GroupMaxSize"]);
    let auto_scaling_group_name = group_name();
    scene.make(Call::EnableMetricsCollection { auto_scaling_group_name, metrics }).await;
    let (auto_scaling_group_name, metrics) = (group_name(), strings(["GroupMaxSize"]));
    scene.make(Call::DisableMetricsCollection { auto_scaling_group_name, metrics }).await;
    group.enabled_metrics = strings(["GroupMinSize"]);
    scene.shows_group(&group).await;

    let (auto_scaling_group_name, arns) = (group_name(), strings([&second]));
    scene.make(Call::AttachLoadBalancerTargetGroups { auto_scaling_group_name, arns }).await;
    let (auto_scaling_group_name, arns) = (group_name(), strings([&first]));
    scene.make(Call::DetachLoadBalancerTargetGroups { auto_scaling_group_name, arns }).await;
    group.target_group_arns = [known(&second)].into();
    for (name, seconds) in [("leave", 90), ("say", 30)] {
        let (auto_scaling_group_name, hook) = (group_name(), hook(seconds));
        group.lifecycle_hooks.insert(name.to_owned(), hook.clone());
        let name = name.to_owned();
        scene.make(Call::PutLifecycleHook { auto_scaling_group_name, name, hook }).await;
    }
    scene.shows_group(&group).await;
    for name in ["leave", "say"] {
        let call = Call::DeleteLifecycleHook {
            auto_scaling_group_name: group_name(),
            name: name.to_owned(),
        };
        scene.make(call.clone()).await;
        scene.refused(call, CloudErrorKind::NotFound, "ValidationError").await;
    }
    group.lifecycle_hooks.clear();
    scene.shows_group(&group).await;

    scene.delete_group(&name, &security_group).await;
    for target_group_arn in [first, second] {
        scene.make(Call::DeleteTargetGroup { target_group_arn }).await;
    }
}

/// A mixed instances policy changes only together with the pin, and the pin stays what it was.
pub(super) async fn policies<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let by_types = MixedInstancesPolicy {
        overrides: vec!["m6i.large".to_owned(), "m5.large".to_owned()],
        instance_requirements: None,
        on_demand_allocation_strategy: "prioritized".to_owned(),
        on_demand_base_capacity: 1,
        on_demand_percentage_above_base_capacity: 50,
        spot_allocation_strategy: "lowest-price".to_owned(),
        spot_instance_pools: Some(3),
        spot_max_price: Some("0.5".to_owned()),
    };
    let range = |min| RequirementRange { min, max: Some(2 * min) };
    let by_requirements = MixedInstancesPolicy {
        overrides: Vec::new(),
        instance_requirements: Some(InstanceRequirements {
            vcpu_count: range(2),
            memory_mib: range(4096),
            excluded_instance_types: strings(["t2.*"]),
        }),
        on_demand_allocation_strategy: "lowest-price".to_owned(),
        spot_allocation_strategy: "price-capacity-optimized".to_owned(),
        spot_instance_pools: None,
        spot_max_price: None,
        ..by_types.clone()
    };
    let mut group = AutoScalingGroup {
        min_size: 0,
        mixed_instances_policy: Some(by_types),
        ..scene.group(&name)
    };
    let security_group = scene.make_group(&group).await;
    scene.shows_group(&group).await;

    // Without the pin the policy stays.
    group.max_size = 3;
    let changed =
        AutoScalingGroup { mixed_instances_policy: Some(by_requirements.clone()), ..group.clone() };
    scene.make(update(&changed, None)).await;
    scene.shows_group(&group).await;
    for policy in [Some(by_requirements), None] {
        group.mixed_instances_policy = policy;
        scene.make(update(&group, Some(1))).await;
        scene.shows_group(&group).await;
    }
    scene.delete_group(&name, &security_group).await;
}
