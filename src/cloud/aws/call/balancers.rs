//! Elastic Load Balancing v2: load balancers, target groups and listeners. Each function makes one
//! call, once.
//!
//! A create call that repeats an earlier one in every setting answers with what that one made; with
//! another setting AWS refuses it (ELBv2 API reference, CreateLoadBalancer, CreateTargetGroup). AWS
//! does not say whether tags count as settings, so it is the look right before a create that keeps
//! kprod from taking over what somebody else made.

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancingv2::types::{
    self, Action, ActionTypeEnum, Certificate, LoadBalancerAttribute, LoadBalancerTypeEnum, Tag,
    TargetDescription, TargetGroupAttribute, TargetTypeEnum,
};

use super::{Answer, done, told};
use crate::cloud::aws::AwsCloud;
use crate::resource::{
    Attribute, HealthCheck, Listener, LoadBalancer, Ref, SubnetMapping, Tags, TargetGroup,
};

/// Makes a network load balancer; attributes come after.
pub(super) async fn create_load_balancer(cloud: &AwsCloud, wanted: &LoadBalancer) -> Answer {
    let groups: Vec<String> = wanted.security_groups.iter().map(Ref::to_string).collect();
    let call = cloud
        .elb
        .create_load_balancer()
        .name(&wanted.name)
        .r#type(LoadBalancerTypeEnum::Network)
        .scheme(wanted.scheme.as_str().into())
        .ip_address_type(wanted.ip_address_type.as_str().into())
        .set_subnet_mappings(Some(mapping_list(&wanted.subnet_mappings)))
        .set_security_groups(Some(groups).filter(|groups| !groups.is_empty()))
        .set_tags(tag_list(&wanted.tags));
    let answer = call.send().await;
    let answer = answer.map_err(|error| cloud.failed("CreateLoadBalancer", error))?;
    let made = answer.load_balancers().first();
    Ok(told([
        (Attribute::Arn, made.and_then(|made| made.load_balancer_arn())),
        (Attribute::DnsName, made.and_then(|made| made.dns_name())),
        (Attribute::CanonicalHostedZoneId, made.and_then(|made| made.canonical_hosted_zone_id())),
    ]))
}

/// Sets the attributes that kprod manages.
pub(super) async fn modify_load_balancer_attributes(
    cloud: &AwsCloud,
    arn: &str,
    cross_zone_enabled: bool,
    deletion_protection_enabled: bool,
) -> Answer {
    let attribute = |key: &str, value: bool| {
        LoadBalancerAttribute::builder().key(key).value(value.to_string()).build()
    };
    let call = cloud
        .elb
        .modify_load_balancer_attributes()
        .load_balancer_arn(arn)
        .attributes(attribute("load_balancing.cross_zone.enabled", cross_zone_enabled))
        .attributes(attribute("deletion_protection.enabled", deletion_protection_enabled));
    let answer = call.send().await;
    done(answer.map_err(|error| cloud.failed("ModifyLoadBalancerAttributes", error)))
}

/// Replaces the security groups.
pub(super) async fn set_security_groups(
    cloud: &AwsCloud,
    arn: &str,
    groups: &BTreeSet<String>,
) -> Answer {
    let call = cloud.elb.set_security_groups().load_balancer_arn(arn);
    let answer = call.set_security_groups(Some(groups.iter().cloned().collect())).send().await;
    done(answer.map_err(|error| cloud.failed("SetSecurityGroups", error)))
}

/// Replaces the subnets; AWS wants those that stay named as well (ELBv2 API, SetSubnets).
pub(super) async fn set_subnets(
    cloud: &AwsCloud,
    arn: &str,
    mappings: &BTreeSet<SubnetMapping>,
) -> Answer {
    let call = cloud.elb.set_subnets().load_balancer_arn(arn);
    let answer = call.set_subnet_mappings(Some(mapping_list(mappings))).send().await;
    done(answer.map_err(|error| cloud.failed("SetSubnets", error)))
}

/// Removes a load balancer with its listeners.
pub(super) async fn delete_load_balancer(cloud: &AwsCloud, arn: &str) -> Answer {
    let answer = cloud.elb.delete_load_balancer().load_balancer_arn(arn).send().await;
    done(answer.map_err(|error| cloud.failed("DeleteLoadBalancer", error)))
}

/// Makes a target group of instances; attributes come after.
pub(super) async fn create_target_group(cloud: &AwsCloud, wanted: &TargetGroup) -> Answer {
    let check = &wanted.health_check;
    let call = cloud
        .elb
        .create_target_group()
        .name(&wanted.name)
        .target_type(TargetTypeEnum::Instance)
        .protocol(wanted.protocol.as_str().into())
        .port(wanted.port)
        .vpc_id(&wanted.vpc_id)
        .health_check_enabled(true)
        .health_check_protocol(check.protocol.as_str().into())
        .health_check_port(&check.port)
        .set_health_check_path(check.path.clone())
        .health_check_interval_seconds(check.interval_seconds)
        .healthy_threshold_count(check.healthy_threshold_count)
        .unhealthy_threshold_count(check.unhealthy_threshold_count)
        .set_tags(tag_list(&wanted.tags));
    let answer = call.send().await;
    let answer = answer.map_err(|error| cloud.failed("CreateTargetGroup", error))?;
    let made = answer.target_groups().first();
    Ok(told([(Attribute::Arn, made.and_then(|made| made.target_group_arn()))]))
}

/// Changes the health check.
pub(super) async fn modify_target_group(
    cloud: &AwsCloud,
    arn: &str,
    check: &HealthCheck,
) -> Answer {
    let call = cloud
        .elb
        .modify_target_group()
        .target_group_arn(arn)
        .health_check_enabled(true)
        .health_check_protocol(check.protocol.as_str().into())
        .health_check_port(&check.port)
        .set_health_check_path(check.path.clone())
        .health_check_interval_seconds(check.interval_seconds)
        .healthy_threshold_count(check.healthy_threshold_count)
        .unhealthy_threshold_count(check.unhealthy_threshold_count);
    done(call.send().await.map_err(|error| cloud.failed("ModifyTargetGroup", error)))
}

/// Sets the attributes that kprod manages.
pub(super) async fn modify_target_group_attributes(
    cloud: &AwsCloud,
    arn: &str,
    deregistration_delay_seconds: u32,
    connection_termination_enabled: bool,
    preserve_client_ip_enabled: bool,
) -> Answer {
    let attributes = [
        ("deregistration_delay.timeout_seconds", deregistration_delay_seconds.to_string()),
        (
            "deregistration_delay.connection_termination.enabled",
            connection_termination_enabled.to_string(),
        ),
        ("preserve_client_ip.enabled", preserve_client_ip_enabled.to_string()),
    ];
    let attributes = attributes
        .into_iter()
        .map(|(key, value)| TargetGroupAttribute::builder().key(key).value(value).build());
    let call = cloud.elb.modify_target_group_attributes().target_group_arn(arn);
    let answer = call.set_attributes(Some(attributes.collect())).send().await;
    done(answer.map_err(|error| cloud.failed("ModifyTargetGroupAttributes", error)))
}

/// Removes a target group that no listener uses.
pub(super) async fn delete_target_group(cloud: &AwsCloud, arn: &str) -> Answer {
    let answer = cloud.elb.delete_target_group().target_group_arn(arn).send().await;
    done(answer.map_err(|error| cloud.failed("DeleteTargetGroup", error)))
}

/// Registers instances, on the port that the target group names.
pub(super) async fn register_targets(
    cloud: &AwsCloud,
    arn: &str,
    ids: &BTreeSet<String>,
) -> Answer {
    let call = cloud.elb.register_targets().target_group_arn(arn);
    let answer = call.set_targets(Some(target_list(ids))).send().await;
    done(answer.map_err(|error| cloud.failed("RegisterTargets", error)))
}

/// Takes instances out. One that is not registered is no error.
pub(super) async fn deregister_targets(
    cloud: &AwsCloud,
    arn: &str,
    ids: &BTreeSet<String>,
) -> Answer {
    let call = cloud.elb.deregister_targets().target_group_arn(arn);
    let answer = call.set_targets(Some(target_list(ids))).send().await;
    done(answer.map_err(|error| cloud.failed("DeregisterTargets", error)))
}

/// Makes a listener.
pub(super) async fn create_listener(cloud: &AwsCloud, wanted: &Listener) -> Answer {
    let call = cloud
        .elb
        .create_listener()
        .load_balancer_arn(wanted.load_balancer_arn.to_string())
        .port(wanted.port)
        .protocol(wanted.protocol.as_str().into())
        .set_ssl_policy(wanted.ssl_policy.clone())
        .set_certificates(certificate_list(wanted))
        .default_actions(forward(wanted));
    let answer = call.send().await.map_err(|error| cloud.failed("CreateListener", error))?;
    let made = answer.listeners().first();
    Ok(told([(Attribute::Arn, made.and_then(|made| made.listener_arn()))]))
}

/// Changes a listener. One that no longer speaks TLS loses certificate and policy by itself (ELBv2
/// API, ModifyListener).
pub(super) async fn modify_listener(cloud: &AwsCloud, arn: &str, wanted: &Listener) -> Answer {
    let call = cloud
        .elb
        .modify_listener()
        .listener_arn(arn)
        .port(wanted.port)
        .protocol(wanted.protocol.as_str().into())
        .set_ssl_policy(wanted.ssl_policy.clone())
        .set_certificates(certificate_list(wanted))
        .default_actions(forward(wanted));
    done(call.send().await.map_err(|error| cloud.failed("ModifyListener", error)))
}

/// Removes a listener.
pub(super) async fn delete_listener(cloud: &AwsCloud, arn: &str) -> Answer {
    let answer = cloud.elb.delete_listener().listener_arn(arn).send().await;
    done(answer.map_err(|error| cloud.failed("DeleteListener", error)))
}

/// Sets tags.
pub(super) async fn add_tags(cloud: &AwsCloud, arn: &str, tags: &Tags) -> Answer {
    let call = cloud.elb.add_tags().resource_arns(arn).set_tags(tag_list(tags));
    done(call.send().await.map_err(|error| cloud.failed("AddTags", error)))
}

/// Removes tags.
pub(super) async fn remove_tags(cloud: &AwsCloud, arn: &str, keys: &BTreeSet<String>) -> Answer {
    let call = cloud.elb.remove_tags().resource_arns(arn);
    let answer = call.set_tag_keys(Some(keys.iter().cloned().collect())).send().await;
    done(answer.map_err(|error| cloud.failed("RemoveTags", error)))
}

fn tag_list(tags: &Tags) -> Option<Vec<Tag>> {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    Some(tags.collect()).filter(|tags: &Vec<Tag>| !tags.is_empty())
}

fn mapping_list(mappings: &BTreeSet<SubnetMapping>) -> Vec<types::SubnetMapping> {
    let mapping = |mapping: &SubnetMapping| {
        types::SubnetMapping::builder()
            .subnet_id(&mapping.subnet_id)
            .set_private_ipv4_address(mapping.private_ipv4_address.clone())
            .set_allocation_id(mapping.allocation_id.clone())
            .build()
    };
    mappings.iter().map(mapping).collect()
}

fn target_list(ids: &BTreeSet<String>) -> Vec<TargetDescription> {
    ids.iter().map(|id| TargetDescription::builder().id(id).build()).collect()
}

fn certificate_list(listener: &Listener) -> Option<Vec<Certificate>> {
    let arn = listener.certificate_arn.as_ref()?;
    Some(vec![Certificate::builder().certificate_arn(arn).build()])
}

fn forward(listener: &Listener) -> Action {
    let target = listener.target_group_arn.to_string();
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target).build()
}
