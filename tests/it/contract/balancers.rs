//! Network load balancers, target groups and listeners.

use std::collections::BTreeSet;

use kprod::cloud::{Call, Cloud, CloudErrorKind};
use kprod::resource::{
    Attribute, HealthCheck, Key, Kind, Listener, LoadBalancer, Resource, SubnetMapping, Tags,
    TargetGroup,
};

use super::{Scene, known, strings};

impl<C: Cloud> Scene<'_, C> {
    /// A target group as AWS makes it; `name` takes 32 characters.
    pub(super) fn target_group(&self, name: &str, port: i32) -> TargetGroup {
        TargetGroup {
            name: name.to_owned(),
            protocol: "TCP".to_owned(),
            port,
            vpc_id: self.network().vpc.clone(),
            health_check: HealthCheck::tcp(),
            deregistration_delay_seconds: 300,
            connection_termination_enabled: false,
            preserve_client_ip_enabled: true,
            tags: self.tags(),
        }
    }

    pub(super) fn mappings(&self, count: usize) -> BTreeSet<SubnetMapping> {
        let subnets = self.network().subnets.iter().take(count);
        let mapping = |subnet_id: &String| SubnetMapping {
            subnet_id: subnet_id.clone(),
            private_ipv4_address: None,
            allocation_id: None,
        };
        subnets.map(mapping).collect()
    }
}

pub(super) async fn load_balancers<C: Cloud>(scene: &Scene<'_, C>) {
    let name = "contract-balancer".to_owned();
    let group = scene.security_group(&scene.name("group")).await;
    let other = scene.security_group(&scene.name("other")).await;
    let mut wanted = LoadBalancer {
        name: name.clone(),
        scheme: "internal".to_owned(),
        ip_address_type: "ipv4".to_owned(),
        subnet_mappings: scene.mappings(2),
        security_groups: [known(&group)].into(),
        cross_zone_enabled: false,
        deletion_protection_enabled: false,
        tags: scene.tags(),
    };
    let create = |balancer: &LoadBalancer| {
        let load_balancer = Box::new(balancer.clone());
        Call::CreateLoadBalancer { load_balancer }
    };
    let reply = scene.make(create(&wanted)).await;
    let arn = reply.attributes[&Attribute::Arn].clone();
    let seen = scene.shows(&name, &Resource::LoadBalancer(wanted.clone())).await;
    assert_eq!(seen.attributes, reply.attributes, "its names are told at once");
    assert_eq!(scene.make(create(&wanted)).await, reply, "the same again is the same one");
    let differing = LoadBalancer { subnet_mappings: scene.mappings(1), ..wanted.clone() };
    let code = "DuplicateLoadBalancerName";
    scene.refused(create(&differing), CloudErrorKind::AlreadyExists, code).await;

    let load_balancer_arn = || arn.clone();
    let protect = |on: bool| Call::ModifyLoadBalancerAttributes {
        load_balancer_arn: load_balancer_arn(),
        cross_zone_enabled: true,
        deletion_protection_enabled: on,
    };
    scene.make(protect(true)).await;
    let security_groups = strings([&group, &other]);
    let arn_of_it = load_balancer_arn();
    scene.make(Call::SetSecurityGroups { load_balancer_arn: arn_of_it, security_groups }).await;
    let subnet_mappings = scene.mappings(3);
    let arn_of_it = load_balancer_arn();
    scene.make(Call::SetSubnets { load_balancer_arn: arn_of_it, subnet_mappings }).await;
    let tags = Tags::from([("colour".to_owned(), "blue".to_owned())]);
    scene.make(Call::AddTags { resource_arn: arn.clone(), tags }).await;
    let keys = strings(["Name"]);
    scene.make(Call::RemoveTags { resource_arn: arn.clone(), keys }).await;
    wanted = LoadBalancer {
        subnet_mappings: scene.mappings(3),
        security_groups: [known(&group), known(&other)].into(),
        cross_zone_enabled: true,
        deletion_protection_enabled: true,
        ..wanted
    };
    wanted.tags.insert("colour".to_owned(), "blue".to_owned());
    wanted.tags.remove("Name");
    scene.shows(&name, &Resource::LoadBalancer(wanted)).await;

    let delete = || Call::DeleteLoadBalancer { load_balancer_arn: load_balancer_arn() };
    scene.refused(delete(), CloudErrorKind::Invalid, "OperationNotPermitted").await;
    scene.make(protect(false)).await;
    scene.make(delete()).await;
    scene.gone(Kind::LoadBalancer, &name).await;
    // To delete what is gone is no error, to change it is one.
    scene.make(delete()).await;
    scene.refused(protect(false), CloudErrorKind::NotFound, "LoadBalancerNotFound").await;
    for group in [group, other] {
        scene.let_go(&group).await;
    }
}

impl<C: Cloud> Scene<'_, C> {
    /// Removes a security group that a load balancer may hold for some moments more.
    async fn let_go(&self, group_id: &str) {
        let call = Call::DeleteSecurityGroup { group_id: group_id.to_owned() };
        for _ in 0..super::LOOKS {
            match self.stage.cloud.call(&call).await {
                Err(error) if error.kind == CloudErrorKind::InUse => self.pause().await,
                result => {
                    result.unwrap();
                    return;
                }
            }
        }
        panic!("{group_id} is never let go");
    }
}

pub(super) async fn target_groups<C: Cloud>(scene: &Scene<'_, C>) {
    let (name, balancer) = ("contract-targets".to_owned(), "contract-listened".to_owned());
    let mut wanted = scene.target_group(&name, 443);
    let create = |wanted: &TargetGroup| {
        let target_group = Box::new(wanted.clone());
        Call::CreateTargetGroup { target_group }
    };
    let arn = scene.made_arn(create(&wanted)).await;
    scene.shows(&name, &Resource::TargetGroup(wanted.clone())).await;
    assert_eq!(scene.made_arn(create(&wanted)).await, arn, "the same again is the same one");
    let differing = scene.target_group(&name, 444);
    let code = "DuplicateTargetGroupName";
    scene.refused(create(&differing), CloudErrorKind::AlreadyExists, code).await;

    let target_group_arn = || arn.clone();
    wanted.health_check = HealthCheck {
        protocol: "HTTPS".to_owned(),
        path: Some("/readyz".to_owned()),
        healthy_threshold_count: 3,
        ..wanted.health_check
    };
    let health_check = wanted.health_check.clone();
    let arn_of_it = target_group_arn();
    scene.make(Call::ModifyTargetGroup { target_group_arn: arn_of_it, health_check }).await;
    wanted.deregistration_delay_seconds = 30;
    wanted.connection_termination_enabled = true;
    wanted.preserve_client_ip_enabled = false;
    scene
        .make(Call::ModifyTargetGroupAttributes {
            target_group_arn: target_group_arn(),
            deregistration_delay_seconds: 30,
            connection_termination_enabled: true,
            preserve_client_ip_enabled: false,
        })
        .await;
    scene.shows(&name, &Resource::TargetGroup(wanted.clone())).await;

    let load_balancer = Box::new(LoadBalancer {
        name: balancer.clone(),
        scheme: "internal".to_owned(),
        ip_address_type: "ipv4".to_owned(),
        subnet_mappings: scene.mappings(1),
        security_groups: BTreeSet::new(),
        cross_zone_enabled: false,
        deletion_protection_enabled: false,
        tags: scene.tags(),
    });
    let balancer_arn = scene.made_arn(Call::CreateLoadBalancer { load_balancer }).await;
    listeners(scene, &balancer, &balancer_arn, &arn).await;

    let delete = || Call::DeleteTargetGroup { target_group_arn: target_group_arn() };
    scene.make(Call::DeleteLoadBalancer { load_balancer_arn: balancer_arn }).await;
    scene.make(delete()).await;
    scene.gone(Kind::TargetGroup, &name).await;
    scene.make(delete()).await;
    let health_check = wanted.health_check;
    let change = Call::ModifyTargetGroup { target_group_arn: target_group_arn(), health_check };
    scene.refused(change, CloudErrorKind::NotFound, "TargetGroupNotFound").await;
}

async fn listeners<C: Cloud>(scene: &Scene<'_, C>, balancer: &str, arn: &str, targets: &str) {
    let mut listener = Listener {
        load_balancer_arn: known(arn),
        port: 443,
        protocol: "TCP".to_owned(),
        certificate_arn: None,
        ssl_policy: None,
        target_group_arn: known(targets),
    };
    let create =
        |listener: &Listener| Call::CreateListener { listener: Box::new(listener.clone()) };
    let listener_arn = scene.made_arn(create(&listener)).await;
    let name = Listener::name_of(balancer, 443);
    scene.shows(&name, &Resource::Listener(listener.clone())).await;
    let code = "DuplicateListener";
    scene.refused(create(&listener), CloudErrorKind::AlreadyExists, code).await;
    let used = Call::DeleteTargetGroup { target_group_arn: targets.to_owned() };
    scene.refused(used, CloudErrorKind::InUse, "ResourceInUse").await;

    listener.port = 6443;
    let change = || Call::ModifyListener {
        listener_arn: listener_arn.clone(),
        listener: Box::new(listener.clone()),
    };
    scene.make(change()).await;
    let moved = Listener::name_of(balancer, 6443);
    scene.shows(&moved, &Resource::Listener(listener.clone())).await;
    let delete = || Call::DeleteListener { listener_arn: listener_arn.clone() };
    scene.make(delete()).await;
    let key = Key::new(Kind::Listener, moved.as_str());
    scene.gone(key.kind, &key.name).await;
    scene.refused(delete(), CloudErrorKind::NotFound, "ListenerNotFound").await;
    scene.refused(change(), CloudErrorKind::NotFound, "ListenerNotFound").await;
    // With its load balancer goes a listener that is there.
    scene.made_arn(create(&listener)).await;
}
