//! Network load balancers, target groups and listeners.

use super::{Step, StepContext, StepError, TagEdit, immutable, told};
use crate::cloud::{Call, Observed};
use crate::resource::{Attribute, Listener, LoadBalancer, Ref, TargetGroup};

pub(super) fn create_load_balancer(wanted: &LoadBalancer, context: &StepContext<'_>) -> Vec<Step> {
    let mut made = wanted.clone();
    made.tags = context.with_digest(&wanted.tags);
    let mut steps = vec![Step::ready(Call::CreateLoadBalancer { load_balancer: Box::new(made) })];
    // A new one has both attributes off (ELBv2 API, LoadBalancerAttribute).
    if wanted.cross_zone_enabled || wanted.deletion_protection_enabled {
        let (cross_zone_enabled, deletion_protection_enabled) =
            (wanted.cross_zone_enabled, wanted.deletion_protection_enabled);
        steps.push(Step::with_own(move |own| {
            Ok(Call::ModifyLoadBalancerAttributes {
                load_balancer_arn: own.get(Attribute::Arn)?,
                cross_zone_enabled,
                deletion_protection_enabled,
            })
        }));
    }
    steps
}

pub(super) fn update_load_balancer(
    now: &LoadBalancer,
    wanted: &LoadBalancer,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    immutable("name", &now.name, &wanted.name)?;
    immutable("scheme", &now.scheme, &wanted.scheme)?;
    immutable("ip_address_type", &now.ip_address_type, &wanted.ip_address_type)?;
    if !now.subnet_mappings.is_subset(&wanted.subnet_mappings) {
        // A network load balancer takes more subnets and gives none back.
        return Err(StepError::Immutable("subnet_mappings"));
    }
    if now.security_groups.is_empty() && !wanted.security_groups.is_empty() {
        // One that was made without security groups never takes any (ELBv2, SetSecurityGroups).
        return Err(StepError::Immutable("security_groups"));
    }
    let arn = told(observed, Attribute::Arn)?;
    let mut steps = Vec::new();
    if now.subnet_mappings != wanted.subnet_mappings {
        steps.push(Step::ready(Call::SetSubnets {
            load_balancer_arn: arn.clone(),
            subnet_mappings: wanted.subnet_mappings.clone(),
        }));
    }
    if now.security_groups != wanted.security_groups {
        steps.push(Step::ready(Call::SetSecurityGroups {
            load_balancer_arn: arn.clone(),
            security_groups: wanted.security_groups.iter().map(Ref::to_string).collect(),
        }));
    }
    if (now.cross_zone_enabled, now.deletion_protection_enabled)
        != (wanted.cross_zone_enabled, wanted.deletion_protection_enabled)
    {
        steps.push(Step::ready(attributes_of(wanted, &arn)));
    }
    let edit = TagEdit::between(&now.tags, &wanted.tags, observed, context);
    steps.extend(tag_steps(edit, &arn));
    Ok(steps)
}

/// Deletion protection is switched off only when the whole cluster is meant to go.
pub(super) fn delete_load_balancer(
    now: &LoadBalancer,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    let arn = told(observed, Attribute::Arn)?;
    let mut steps = Vec::new();
    if now.deletion_protection_enabled && context.destroys {
        let unprotected = LoadBalancer { deletion_protection_enabled: false, ..now.clone() };
        steps.push(Step::ready(attributes_of(&unprotected, &arn)));
    }
    steps.push(Step::ready(Call::DeleteLoadBalancer { load_balancer_arn: arn }));
    Ok(steps)
}

fn attributes_of(wanted: &LoadBalancer, arn: &str) -> Call {
    Call::ModifyLoadBalancerAttributes {
        load_balancer_arn: arn.to_owned(),
        cross_zone_enabled: wanted.cross_zone_enabled,
        deletion_protection_enabled: wanted.deletion_protection_enabled,
    }
}

pub(super) fn create_target_group(wanted: &TargetGroup, context: &StepContext<'_>) -> Vec<Step> {
    let mut made = wanted.clone();
    made.tags = context.with_digest(&wanted.tags);
    let wanted = wanted.clone();
    vec![
        Step::ready(Call::CreateTargetGroup { target_group: Box::new(made) }),
        Step::with_own(move |own| Ok(target_attributes_of(&wanted, &own.get(Attribute::Arn)?))),
    ]
}

pub(super) fn update_target_group(
    now: &TargetGroup,
    wanted: &TargetGroup,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    immutable("name", &now.name, &wanted.name)?;
    immutable("protocol", &now.protocol, &wanted.protocol)?;
    immutable("port", &now.port, &wanted.port)?;
    immutable("vpc_id", &now.vpc_id, &wanted.vpc_id)?;
    let arn = told(observed, Attribute::Arn)?;
    let mut steps = Vec::new();
    if now.health_check != wanted.health_check {
        steps.push(Step::ready(Call::ModifyTargetGroup {
            target_group_arn: arn.clone(),
            health_check: wanted.health_check.clone(),
        }));
    }
    if target_attributes_of(now, &arn) != target_attributes_of(wanted, &arn) {
        steps.push(Step::ready(target_attributes_of(wanted, &arn)));
    }
    let edit = TagEdit::between(&now.tags, &wanted.tags, observed, context);
    steps.extend(tag_steps(edit, &arn));
    Ok(steps)
}

pub(super) fn delete_target_group(observed: &Observed) -> Result<Vec<Step>, StepError> {
    let target_group_arn = told(observed, Attribute::Arn)?;
    Ok(vec![Step::ready(Call::DeleteTargetGroup { target_group_arn })])
}

fn target_attributes_of(wanted: &TargetGroup, arn: &str) -> Call {
    Call::ModifyTargetGroupAttributes {
        target_group_arn: arn.to_owned(),
        deregistration_delay_seconds: wanted.deregistration_delay_seconds,
        connection_termination_enabled: wanted.connection_termination_enabled,
        preserve_client_ip_enabled: wanted.preserve_client_ip_enabled,
    }
}

pub(super) fn create_listener(wanted: &Listener) -> Vec<Step> {
    vec![Step::ready(Call::CreateListener { listener: Box::new(wanted.clone()) })]
}

pub(super) fn update_listener(
    now: &Listener,
    wanted: &Listener,
    observed: &Observed,
) -> Result<Vec<Step>, StepError> {
    immutable("load_balancer_arn", &now.load_balancer_arn, &wanted.load_balancer_arn)?;
    if now == wanted {
        return Ok(Vec::new());
    }
    let listener_arn = told(observed, Attribute::Arn)?;
    let listener = Box::new(wanted.clone());
    Ok(vec![Step::ready(Call::ModifyListener { listener_arn, listener })])
}

pub(super) fn delete_listener(observed: &Observed) -> Result<Vec<Step>, StepError> {
    let listener_arn = told(observed, Attribute::Arn)?;
    Ok(vec![Step::ready(Call::DeleteListener { listener_arn })])
}

fn tag_steps(edit: TagEdit, arn: &str) -> Vec<Step> {
    edit.steps(
        |tags| Call::AddTags { resource_arn: arn.to_owned(), tags },
        |keys| Call::RemoveTags { resource_arn: arn.to_owned(), keys },
    )
}
