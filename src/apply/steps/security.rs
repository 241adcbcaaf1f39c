//! Security groups and rules: rules are added before others go, so that no flow is cut on the way.

use std::collections::BTreeSet;

use super::{Step, StepContext, StepError, TagEdit, immutable, told};
use crate::cloud::{Call, Observed};
use crate::resource::{Attribute, Ref, Resource, Rule, SecurityGroup, SecurityGroupRules};

pub(super) fn create_group(group: &SecurityGroup, context: &StepContext<'_>) -> Vec<Step> {
    vec![Step::ready(Call::CreateSecurityGroup {
        group_name: group.group_name.clone(),
        description: group.description.clone(),
        vpc_id: group.vpc_id.clone(),
        tags: context.with_digest(&group.tags),
    })]
}

pub(super) fn update_group(
    now: &SecurityGroup,
    wanted: &SecurityGroup,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    immutable("group_name", &now.group_name, &wanted.group_name)?;
    immutable("description", &now.description, &wanted.description)?;
    immutable("vpc_id", &now.vpc_id, &wanted.vpc_id)?;
    let edit = TagEdit::between(&now.tags, &wanted.tags, observed, context);
    Ok(edit.ec2_steps(&told(observed, Attribute::Id)?))
}

pub(super) fn delete_group(observed: &Observed) -> Result<Vec<Step>, StepError> {
    Ok(vec![Step::ready(Call::DeleteSecurityGroup { group_id: told(observed, Attribute::Id)? })])
}

/// Adds what is missing and removes what is ours and not wanted. A rule of others that equals a
/// wanted one satisfies it: AWS holds each rule once and refuses the second, whoever asks.
pub(super) fn update_rules(
    wanted: &SecurityGroupRules,
    observed: Option<&Observed>,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    let group_id = known(&wanted.group_id)?;
    let (mut ours, mut others) = match observed {
        Some(observed) => (rules_of(observed, wanted)?, observed.foreign_rules.clone()),
        None => (BTreeSet::new(), BTreeSet::new()),
    };
    let default_egress = Rule::default_egress();
    if context.parent_is_new && !ours.contains(&default_egress) {
        // The group is so fresh that a read may not show what AWS put there. The rule is the
        // cluster's as the group is: it stays if wanted, and goes if not.
        others.remove(&default_egress);
        ours.insert(default_egress);
    }
    let add: BTreeSet<Rule> = wanted
        .rules
        .iter()
        .filter(|rule| !ours.contains(rule) && !others.contains(rule))
        .cloned()
        .collect();
    let remove: BTreeSet<Rule> = ours.difference(&wanted.rules).cloned().collect();
    let mut steps = authorize(&group_id, add, context);
    steps.extend(revoke(&group_id, remove));
    Ok(steps)
}

pub(super) fn delete_rules(rules: &SecurityGroupRules) -> Result<Vec<Step>, StepError> {
    Ok(revoke(&known(&rules.group_id)?, rules.rules.clone()))
}

fn rules_of(observed: &Observed, wanted: &SecurityGroupRules) -> Result<BTreeSet<Rule>, StepError> {
    let Resource::SecurityGroupRules(rules) = &observed.resource else {
        return Ok(BTreeSet::new());
    };
    immutable("group_id", &rules.group_id, &wanted.group_id)?;
    Ok(rules.rules.clone())
}

fn known(reference: &Ref) -> Result<String, StepError> {
    reference.known().map(str::to_owned).ok_or_else(|| StepError::Unresolved(reference.to_string()))
}

/// All rules of a direction in one call.
fn authorize(group_id: &str, rules: BTreeSet<Rule>, context: &StepContext<'_>) -> Vec<Step> {
    let description = SecurityGroupRules::owner_description(context.cluster);
    let (egress, ingress) = by_direction(rules);
    let mut steps = Vec::new();
    if !ingress.is_empty() {
        steps.push(Step::ready(Call::AuthorizeSecurityGroupIngress {
            group_id: group_id.to_owned(),
            rules: ingress,
            description: description.clone(),
        }));
    }
    if !egress.is_empty() {
        steps.push(Step::ready(Call::AuthorizeSecurityGroupEgress {
            group_id: group_id.to_owned(),
            rules: egress,
            description,
        }));
    }
    steps
}

fn revoke(group_id: &str, rules: BTreeSet<Rule>) -> Vec<Step> {
    let (egress, ingress) = by_direction(rules);
    let mut steps = Vec::new();
    if !ingress.is_empty() {
        steps.push(Step::ready(Call::RevokeSecurityGroupIngress {
            group_id: group_id.to_owned(),
            rules: ingress,
        }));
    }
    if !egress.is_empty() {
        steps.push(Step::ready(Call::RevokeSecurityGroupEgress {
            group_id: group_id.to_owned(),
            rules: egress,
        }));
    }
    steps
}

fn by_direction(rules: BTreeSet<Rule>) -> (BTreeSet<Rule>, BTreeSet<Rule>) {
    rules.into_iter().partition(|rule| rule.is_egress)
}
