//! Machines of groups: how many there are, which leave, join and end, and what load balancers and
//! EC2's checks say of them.

use std::collections::{BTreeMap, BTreeSet};

use kprod::cloud::{
    Call, Cloud, CloudErrorKind, GroupFacts, Instance, TaggedInstance, TargetState,
};
use kprod::resource::{
    AutoScalingGroup, DETACHED_TAG, GroupTag, Key, Kind, LaunchTemplateData, Listener,
    LoadBalancer, MixedInstancesPolicy, OWNER_TAG, ROLL_TAG, Resource, Tags,
};

use super::{Scene, known, strings};

/// A well-formed id of no machine.
const NOBODY: &str = "i-0123456789abcdef0";

impl<C: Cloud> Scene<'_, C> {
    /// A group of one zone, which nothing balances, without hooks.
    pub(super) fn plain_group(&self, name: &str, min_size: i32, max_size: i32) -> AutoScalingGroup {
        AutoScalingGroup {
            min_size,
            max_size,
            vpc_zone_identifier: self.network().subnets.iter().take(1).cloned().collect(),
            lifecycle_hooks: BTreeMap::new(),
            ..self.group(name)
        }
    }

    /// Looks until a group's facts are as a law wants them, and gives them.
    async fn facts(&self, name: &str, is_so: impl Fn(&GroupFacts) -> bool) -> GroupFacts {
        let key = Key::new(Kind::AutoScalingGroup, name);
        let seen = self.see(&key, |seen| seen.group.as_ref().is_some_and(&is_so)).await;
        seen.group.unwrap()
    }

    /// Looks until so many machines serve and no other is left; gives their ids.
    pub(super) async fn serving(&self, name: &str, count: usize) -> Vec<String> {
        let is_so = |facts: &GroupFacts| {
            facts.instances.len() == count && facts.instances.iter().all(serves)
        };
        let facts = self.facts(name, is_so).await;
        facts.instances.into_iter().map(|machine| machine.instance_id).collect()
    }

    /// Looks by tag until the cluster's instances are as a law wants them, and gives them by id.
    async fn instances(
        &self,
        is_so: impl Fn(&BTreeMap<String, TaggedInstance>) -> bool,
    ) -> BTreeMap<String, TaggedInstance> {
        let mut last = BTreeMap::new();
        for _ in 0..super::LOOKS {
            let found = self.stage.cloud.instances(&self.cluster).await.unwrap();
            last = found.into_iter().map(|one| (one.instance_id.clone(), one)).collect();
            if is_so(&last) {
                return last;
            }
            self.pause().await;
        }
        panic!("instances are never as wanted; at last {last:#?}");
    }

    /// Looks until a machine is in this state at a target group; none when it is out.
    async fn target(&self, arn: &str, instance_id: &str, wanted: Option<TargetState>) {
        let arns = strings([arn]);
        let mut last = None;
        for _ in 0..super::LOOKS {
            let told = self.stage.cloud.targets(&arns).await.unwrap();
            last = told[arn].get(instance_id).copied();
            if last == wanted {
                return;
            }
            self.pause().await;
        }
        panic!("{instance_id} is never {wanted:?} at {arn}; at last {last:?}");
    }
}

fn serves(machine: &Instance) -> bool {
    machine.lifecycle_state == "InService"
}

fn ids<const N: usize>(ids: [&String; N]) -> BTreeSet<String> {
    ids.map(String::clone).into()
}

fn desire(group: &str, desired_capacity: i32) -> Call {
    Call::SetDesiredCapacity { auto_scaling_group_name: group.to_owned(), desired_capacity }
}

fn minimum(group: &str, min_size: i32) -> Call {
    Call::SetGroupMinimum { auto_scaling_group_name: group.to_owned(), min_size }
}

fn terminate(group: &str, instance_ids: BTreeSet<String>, shrinks: bool) -> Call {
    Call::TerminateInstanceInAutoScalingGroup {
        auto_scaling_group_name: group.to_owned(),
        instance_ids,
        should_decrement_desired_capacity: shrinks,
    }
}

fn detach(group: &str, instance_ids: BTreeSet<String>, shrinks: bool) -> Call {
    Call::DetachInstances {
        auto_scaling_group_name: group.to_owned(),
        instance_ids,
        should_decrement_desired_capacity: shrinks,
    }
}

fn attach(group: &str, instance_ids: BTreeSet<String>) -> Call {
    Call::AttachInstances { auto_scaling_group_name: group.to_owned(), instance_ids }
}

fn end(instance_ids: BTreeSet<String>) -> Call {
    Call::TerminateInstances { instance_ids }
}

/// How many machines a group wants stays within its limits, and the pin is for machines to come.
pub(super) async fn capacity<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let (invalid, code) = (CloudErrorKind::Invalid, "ValidationError");
    let policy = MixedInstancesPolicy {
        overrides: vec!["m6i.large".to_owned()],
        instance_requirements: None,
        on_demand_allocation_strategy: "prioritized".to_owned(),
        on_demand_base_capacity: 0,
        on_demand_percentage_above_base_capacity: 100,
        spot_allocation_strategy: "price-capacity-optimized".to_owned(),
        spot_instance_pools: None,
        spot_max_price: None,
    };
    let group = AutoScalingGroup {
        mixed_instances_policy: Some(policy.clone()),
        ..scene.plain_group(&name, 1, 3)
    };
    let security_group = scene.make_group(&group).await;
    scene.serving(&name, 1).await;
    for outside in [0, 4] {
        scene.refused(desire(&name, outside), invalid, code).await;
    }
    let unknown = CloudErrorKind::NotFound;
    scene.refused(desire(&scene.name("none"), 1), unknown, code).await;
    scene.make(desire(&name, 2)).await;
    scene.serving(&name, 2).await;
    scene.refused(minimum(&name, 4), invalid, code).await;
    scene.make(minimum(&name, 3)).await;
    scene.facts(&name, |facts| facts.desired_capacity == 3).await;
    scene.make(minimum(&name, 1)).await;
    let old = scene.serving(&name, 3).await;

    let content = scene.content(&security_group);
    let data = LaunchTemplateData { user_data: "#other".to_owned(), ..content };
    scene.make(scene.create_version(&name, &data)).await;
    let pin = |version| Call::PinLaunchTemplateVersion {
        auto_scaling_group_name: name.clone(),
        launch_template_name: name.clone(),
        version,
        mixed_instances_policy: Some(policy.clone()),
    };
    scene.refused(pin(9), CloudErrorKind::NotFound, code).await;
    scene.make(pin(2)).await;
    let wanted = AutoScalingGroup { min_size: 1, ..group };
    scene.facts(&name, |facts| facts.pin == Some(2) && facts.desired_capacity == 3).await;
    scene.shows(&name, &Resource::AutoScalingGroup(wanted)).await;
    scene.make(terminate(&name, ids([&old[0]]), false)).await;
    let is_so = |facts: &GroupFacts| {
        let mut versions: Vec<Option<u64>> =
            facts.instances.iter().map(|machine| machine.launch_template_version).collect();
        versions.sort();
        versions == [Some(1), Some(1), Some(2)] && facts.instances.iter().all(serves)
    };
    scene.facts(&name, is_so).await;
    scene.delete_group(&name, &security_group).await;
}

/// Machines leave their group and join it, marked so that nobody loses sight of them.
pub(super) async fn moves<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let (invalid, code) = (CloudErrorKind::Invalid, "ValidationError");
    let security_group = scene.make_group(&scene.plain_group(&name, 1, 3)).await;
    scene.make(desire(&name, 2)).await;
    let both = scene.serving(&name, 2).await;
    let one = &both[0];

    // Marks: on machines all at once, on the group apart from its own tags.
    let mark = |ids| Call::CreateTags {
        resource_ids: ids,
        tags: Tags::from([(DETACHED_TAG.to_owned(), format!("{name} roll"))]),
    };
    let missing = [one.clone(), NOBODY.to_owned()].into();
    let unknown = CloudErrorKind::NotFound;
    scene.refused(mark(missing), unknown, "InvalidInstanceID.NotFound").await;
    scene.make(mark(both.iter().cloned().collect())).await;
    let marked = |found: &BTreeMap<String, TaggedInstance>| {
        found.values().filter(|one| one.tags.contains_key(DETACHED_TAG)).count()
    };
    let seen = scene.instances(|found| marked(found) == 2).await;
    let told = &seen[one];
    assert_eq!(told.tags.keys().collect::<Vec<_>>(), [OWNER_TAG, DETACHED_TAG]);
    assert_eq!((told.state.as_str(), told.group.as_ref()), ("running", Some(&name)));
    assert_eq!((told.version, told.is_spot), (Some(1), false));
    assert_eq!(told.instance_type, "m6i.large");
    assert!(told.launched_at.is_some());
    let unmark = Call::DeleteTags { resource_ids: ids([&both[1]]), keys: strings([DETACHED_TAG]) };
    scene.make(unmark).await;
    scene.instances(|found| marked(found) == 1).await;
    let roll = GroupTag { value: "id=roll began=x".to_owned(), propagate_at_launch: false };
    let tags = BTreeMap::from([(ROLL_TAG.to_owned(), roll)]);
    scene.make(Call::CreateOrUpdateTags { auto_scaling_group_name: name.clone(), tags }).await;
    scene.facts(&name, |facts| facts.mark.as_deref() == Some("id=roll began=x")).await;
    let plain = Resource::AutoScalingGroup(scene.plain_group(&name, 1, 3));
    scene.shows(&name, &plain).await;

    scene.refused(detach(&name, [NOBODY.to_owned()].into(), false), invalid, code).await;
    let many = (0..=Call::DETACHED_MAX).map(|n| format!("i-{n:017x}")).collect();
    scene.refused(detach(&name, many, false), invalid, code).await;
    scene.make(detach(&name, ids([one]), false)).await;
    let is_out = |facts: &GroupFacts| {
        let has = |id: &String| facts.instances.iter().any(|machine| machine.instance_id == *id);
        facts.instances.len() == 2 && facts.instances.iter().all(serves) && !has(one)
    };
    let left = scene.facts(&name, is_out).await;
    assert_eq!(left.desired_capacity, 2);
    assert!(left.instances.iter().any(|machine| machine.instance_id == both[1]));
    scene.instances(|found| found[one].group.is_none() && found[one].state == "running").await;

    scene.make(attach(&name, ids([one]))).await;
    // The group's record lags behind its machines: a look that shows the one need not show the other.
    let is_in = |facts: &GroupFacts| {
        let joined = facts.instances.iter().find(|machine| machine.instance_id == *one);
        let has_joined = |one: &Instance| serves(one) && one.launch_template_version.is_none();
        joined.is_some_and(has_joined) && facts.desired_capacity == 3
    };
    scene.facts(&name, is_in).await;
    scene.instances(|found| found[one].group.as_ref() == Some(&name)).await;
    scene.refused(attach(&name, ids([one])), invalid, code).await;
    scene.make(detach(&name, ids([one]), true)).await;
    scene.serving(&name, 2).await;
    scene.instances(|found| found[one].group.is_none()).await;
    scene.make(desire(&name, 3)).await;
    scene.serving(&name, 3).await;
    scene.refused(attach(&name, ids([one])), invalid, code).await;

    // What no group has is EC2's to end, and forgotten only after a while.
    scene.make(end(ids([one]))).await;
    scene.instances(|found| !found.contains_key(one)).await;
    scene.make(end(ids([one]))).await;
    let missing = [both[1].clone(), NOBODY.to_owned()].into();
    scene.refused(end(missing), unknown, "InvalidInstanceID.NotFound").await;
    assert!(scene.serving(&name, 3).await.contains(&both[1]), "all or none");
    scene.delete_group(&name, &security_group).await;
}

/// A group's machines end, several in one call, replaced or not; EC2 may end one, too.
pub(super) async fn ends<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let (invalid, code) = (CloudErrorKind::Invalid, "ValidationError");
    let security_group = scene.make_group(&scene.plain_group(&name, 1, 4)).await;
    scene.make(desire(&name, 3)).await;
    let all = scene.serving(&name, 3).await;
    let told = scene.stage.cloud.statuses(&all.iter().cloned().collect()).await.unwrap();
    assert_eq!(told, BTreeMap::new(), "all is well");

    let strange = terminate(&name, [NOBODY.to_owned()].into(), false);
    scene.refused(strange, CloudErrorKind::NotFound, code).await;
    let too_many = terminate(&name, all.iter().cloned().collect(), true);
    scene.refused(too_many, invalid, code).await;
    scene.make(terminate(&name, ids([&all[0], &all[1]]), true)).await;
    let kept = scene.stage.cloud.places_kept(&name).await.unwrap();
    assert!(kept.is_empty(), "a call asked for it: {kept:?}");
    assert_eq!(scene.serving(&name, 1).await, [all[2].clone()]);
    scene.refused(terminate(&name, ids([&all[2]]), true), invalid, code).await;
    scene.refused(detach(&name, ids([&all[2]]), true), invalid, code).await;
    scene.make(terminate(&name, ids([&all[2]]), false)).await;
    let is_new = |facts: &GroupFacts| {
        let alone = facts.instances.len() == 1 && facts.instances.iter().all(serves);
        alone && facts.instances.iter().all(|machine| machine.instance_id != all[2])
    };
    let second = scene.facts(&name, is_new).await.instances.remove(0).instance_id;
    scene.make(end(ids([&second]))).await;
    let is_newer = |facts: &GroupFacts| is_new(facts) && facts.instances[0].instance_id != second;
    assert_eq!(scene.facts(&name, is_newer).await.desired_capacity, 1);
    scene.delete_group(&name, &security_group).await;
}

/// Load balancers get machines that serve, check them first, and let them go with a delay.
pub(super) async fn targets<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let target_group = Box::new(scene.target_group("contract-members", 443));
    let arn = scene.made_arn(Call::CreateTargetGroup { target_group }).await;
    scene
        .make(Call::ModifyTargetGroupAttributes {
            target_group_arn: arn.clone(),
            deregistration_delay_seconds: 5,
            connection_termination_enabled: false,
            preserve_client_ip_enabled: true,
        })
        .await;
    let balancer = scene.listened("contract-members", &arn).await;
    let mut group = scene.plain_group(&name, 1, 2);
    group.target_group_arns = [known(&arn)].into();
    let security_group = scene.make_group(&group).await;
    let one = scene.serving(&name, 1).await.remove(0);
    scene.target(&arn, &one, Some(TargetState::Healthy)).await;
    let none = arn.replace("contract-members", "contract-nothing");
    let read = scene.stage.cloud.targets(&strings([&arn, &none])).await.unwrap();
    assert_eq!(read.keys().collect::<Vec<_>>(), [&arn]);

    let register = |id: &str| Call::RegisterTargets {
        target_group_arn: arn.clone(),
        instance_ids: strings([id]),
    };
    let deregister = |id: &str| Call::DeregisterTargets {
        target_group_arn: arn.clone(),
        instance_ids: strings([id]),
    };
    scene.refused(register(NOBODY), CloudErrorKind::Invalid, "InvalidTarget").await;
    scene.make(deregister(NOBODY)).await;
    scene.make(deregister(&one)).await;
    scene.target(&arn, &one, Some(TargetState::Draining)).await;
    scene.target(&arn, &one, None).await;
    scene.make(register(&one)).await;
    scene.target(&arn, &one, Some(TargetState::Initial)).await;
    scene.target(&arn, &one, Some(TargetState::Healthy)).await;
    scene.make(terminate(&name, ids([&one]), false)).await;
    scene.target(&arn, &one, Some(TargetState::Draining)).await;
    scene.target(&arn, &one, None).await;

    scene.delete_group(&name, &security_group).await;
    scene.make(Call::DeleteLoadBalancer { load_balancer_arn: balancer }).await;
    scene.make(Call::DeleteTargetGroup { target_group_arn: arn }).await;
}

impl<C: Cloud> Scene<'_, C> {
    /// A load balancer that sends traffic to a target group; gives its ARN.
    async fn listened(&self, name: &str, target_group_arn: &str) -> String {
        let load_balancer = Box::new(LoadBalancer {
            name: name.to_owned(),
            scheme: "internal".to_owned(),
            ip_address_type: "ipv4".to_owned(),
            subnet_mappings: self.mappings(1),
            security_groups: BTreeSet::new(),
            cross_zone_enabled: false,
            deletion_protection_enabled: false,
            tags: self.tags(),
        });
        let arn = self.made_arn(Call::CreateLoadBalancer { load_balancer }).await;
        let listener = Box::new(Listener {
            load_balancer_arn: known(&arn),
            port: 443,
            protocol: "TCP".to_owned(),
            certificate_arn: None,
            ssl_policy: None,
            target_group_arn: known(target_group_arn),
        });
        self.make(Call::CreateListener { listener }).await;
        arn
    }
}
