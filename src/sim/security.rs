//! Security groups and their rules.

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{Answer, Refused, World, check_tags, reply};
use crate::cloud::Reply;
use crate::resource::{Attribute, Rule, SecurityGroup, Tags};

/// A security group with its rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredSecurityGroup {
    /// Its id.
    pub group_id: String,
    /// Its fields and tags.
    pub group: SecurityGroup,
    /// Its rules with their descriptions, in the order they came.
    pub rules: Vec<(Rule, String)>,
}

impl StoredSecurityGroup {
    /// Groups that its rules refer to.
    fn referenced(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|(rule, _)| rule.referenced_group_id.as_ref()?.known())
    }
}

impl World {
    /// Rules of one direction and address family in one group (VPC quotas).
    const RULES_MAX: usize = 60;

    pub(super) fn create_security_group(
        &mut self,
        group_name: &str,
        description: &str,
        vpc_id: &str,
        tags: &Tags,
    ) -> Answer {
        check_group_texts(group_name, description)?;
        check_tags(tags.iter())?;
        if !self.vpcs.contains_key(vpc_id) {
            return Err(Refused::not_found(
                "InvalidVpcID.NotFound",
                format!("the vpc ID '{vpc_id}' does not exist"),
            ));
        }
        let is_taken = |known: &StoredSecurityGroup| {
            known.group.vpc_id == vpc_id && known.group.group_name == group_name
        };
        if self.security_groups.values().any(is_taken) {
            return Err(Refused::exists(
                "InvalidGroup.Duplicate",
                format!("the security group '{group_name}' already exists for VPC '{vpc_id}'"),
            ));
        }
        let group_id = self.new_id("sg");
        let stored = StoredSecurityGroup {
            group_id: group_id.clone(),
            group: SecurityGroup {
                group_name: group_name.to_owned(),
                description: description.to_owned(),
                vpc_id: vpc_id.to_owned(),
                tags: tags.clone(),
            },
            rules: vec![(Rule::default_egress(), String::new())],
        };
        let visibility = self.visibility();
        self.security_groups.put(&group_id, stored, visibility);
        Ok(reply([(Attribute::Id, group_id)]))
    }

    pub(super) fn authorize_rules(
        &mut self,
        group_id: &str,
        rules: &BTreeSet<Rule>,
        description: &str,
        is_egress: bool,
    ) -> Answer {
        let mut group = self.security_group(group_id)?;
        check_description(description)?;
        check_rules(rules, is_egress)?;
        for rule in rules {
            if let Some(peer) = rule.referenced_group_id.as_ref() {
                self.security_group(peer.known().unwrap_or_default())?;
            }
            let rule = normal(rule)?;
            if group.rules.iter().any(|(known, _)| *known == rule) {
                return Err(Refused::exists(
                    "InvalidPermission.Duplicate",
                    format!("the specified rule {} already exists", tell(&rule)),
                ));
            }
            group.rules.push((rule, description.to_owned()));
        }
        check_rule_quota(&group, is_egress, Self::RULES_MAX)?;
        let visibility = self.visibility();
        self.security_groups.put(group_id, group, visibility);
        Ok(Reply::default())
    }

    pub(super) fn revoke_rules(
        &mut self,
        group_id: &str,
        rules: &BTreeSet<Rule>,
        is_egress: bool,
    ) -> Answer {
        let mut group = self.security_group(group_id)?;
        check_rules(rules, is_egress)?;
        for rule in rules {
            let rule = normal(rule)?;
            let Some(at) = group.rules.iter().position(|(known, _)| *known == rule) else {
                return Err(Refused::not_found(
                    "InvalidPermission.NotFound",
                    format!("the specified rule {} does not exist in this group", tell(&rule)),
                ));
            };
            group.rules.remove(at);
        }
        let visibility = self.visibility();
        self.security_groups.put(group_id, group, visibility);
        Ok(Reply::default())
    }

    pub(super) fn delete_security_group(&mut self, group_id: &str) -> Answer {
        self.security_group(group_id)?;
        if let Some(user) = self.user_of_security_group(group_id) {
            return Err(Refused::in_use(
                "DependencyViolation",
                format!("resource {group_id} has a dependent object: {user}"),
            ));
        }
        let visibility = self.visibility();
        self.security_groups.remove(group_id, visibility);
        Ok(Reply::default())
    }

    /// A security group as a mutating call knows it.
    pub(super) fn security_group(&self, group_id: &str) -> Result<StoredSecurityGroup, Refused> {
        self.security_groups.usable(group_id, self.now).cloned().ok_or_else(|| {
            Refused::not_found(
                "InvalidGroup.NotFound",
                format!("the security group '{group_id}' does not exist"),
            )
        })
    }

    /// Checks that groups exist and are in one VPC.
    pub(super) fn check_security_groups<'a>(
        &self,
        groups: impl Iterator<Item = &'a str>,
        vpc_id: &str,
    ) -> Result<(), Refused> {
        for group_id in groups {
            if self.security_group(group_id)?.group.vpc_id != vpc_id {
                return Err(Refused::invalid(
                    "InvalidParameter",
                    format!("security group {group_id} is not in VPC {vpc_id}"),
                ));
            }
        }
        Ok(())
    }

    /// What keeps a group from being deleted.
    fn user_of_security_group(&self, group_id: &str) -> Option<String> {
        let by_rule = self
            .security_groups
            .values()
            .find(|other| other.group_id != group_id && other.referenced().any(|id| id == group_id))
            .map(|other| other.group_id.clone());
        let by_interface = || {
            self.interfaces
                .values()
                .find(|known| known.interface.groups.iter().any(|g| g.known() == Some(group_id)))
                .map(|known| known.network_interface_id.clone())
        };
        let by_machine = || {
            self.machines
                .values()
                .find(|machine| machine.security_groups.contains(group_id))
                .map(|machine| machine.instance_id.clone())
        };
        let by_balancer = || {
            self.balancers
                .values()
                .find(|known| {
                    known.balancer.security_groups.iter().any(|g| g.known() == Some(group_id))
                })
                .map(|known| known.arn.clone())
        };
        let by_lingering = || {
            self.lingering
                .iter()
                .any(|interface| interface.security_groups.contains(group_id))
                .then(|| "an interface of a deleted load balancer".to_owned())
        };
        by_rule.or_else(by_interface).or_else(by_machine).or_else(by_balancer).or_else(by_lingering)
    }
}

/// Characters that AWS takes in group names and descriptions besides letters and digits.
const TEXT_CHARACTERS: &str = " ._-:/()#,@[]+=&;{}!$*";

fn check_group_texts(group_name: &str, description: &str) -> Result<(), Refused> {
    let is_name = !group_name.is_empty()
        && group_name.len() <= 255
        && !group_name.starts_with("sg-")
        && super::is_made_of(group_name, TEXT_CHARACTERS);
    if !is_name {
        return Err(Refused::invalid(
            "InvalidParameterValue",
            format!("value ({group_name}) for parameter groupName is invalid"),
        ));
    }
    if group_name == "default" {
        return Err(Refused::invalid(
            "InvalidGroup.Reserved",
            "cannot use reserved security group name: default",
        ));
    }
    if description.is_empty() {
        return Err(Refused::invalid(
            "MissingParameter",
            "the request must contain the parameter GroupDescription",
        ));
    }
    check_description(description)
}

fn check_description(description: &str) -> Result<(), Refused> {
    if description.len() <= 255 && super::is_made_of(description, TEXT_CHARACTERS) {
        return Ok(());
    }
    Err(Refused::invalid(
        "InvalidParameterValue",
        "descriptions take up to 255 characters of a-z, A-Z, 0-9, space and ._-:/()#,@[]+=&;{}!$*",
    ))
}

fn check_rules(rules: &BTreeSet<Rule>, is_egress: bool) -> Result<(), Refused> {
    if rules.is_empty() {
        return Err(Refused::invalid("MissingParameter", "no rule is given"));
    }
    if rules.iter().any(|rule| rule.is_egress != is_egress) {
        return Err(Refused::invalid(
            "InvalidParameterCombination",
            "a call takes rules of one direction",
        ));
    }
    Ok(())
}

fn check_rule_quota(
    group: &StoredSecurityGroup,
    is_egress: bool,
    limit: usize,
) -> Result<(), Refused> {
    // The quota holds for IPv4 and IPv6 apart; a group or prefix list counts for both.
    let count = |is_other_family: fn(&Rule) -> bool| {
        group
            .rules
            .iter()
            .filter(|(rule, _)| rule.is_egress == is_egress && !is_other_family(rule))
            .count()
    };
    let worst = count(|rule| rule.cidr_ipv6.is_some()).max(count(|rule| rule.cidr_ipv4.is_some()));
    if worst > limit {
        return Err(Refused::quota(
            "RulesPerSecurityGroupLimitExceeded",
            format!("a security group takes at most {limit} rules in one direction"),
        ));
    }
    Ok(())
}

/// The rule as AWS keeps it: protocols by name, no ports where there are none.
fn normal(rule: &Rule) -> Result<Rule, Refused> {
    let mut rule = rule.clone();
    rule.ip_protocol = match rule.ip_protocol.as_str() {
        "6" => "tcp".to_owned(),
        "17" => "udp".to_owned(),
        "1" => "icmp".to_owned(),
        "58" => "icmpv6".to_owned(),
        "all" => "-1".to_owned(),
        other => other.to_owned(),
    };
    match rule.ip_protocol.as_str() {
        "tcp" | "udp" => {
            let ports = 0..=65_535;
            if !ports.contains(&rule.from_port)
                || !ports.contains(&rule.to_port)
                || rule.from_port > rule.to_port
            {
                return Err(Refused::invalid(
                    "InvalidParameterValue",
                    format!("invalid port range {}-{}", rule.from_port, rule.to_port),
                ));
            }
        }
        "icmp" | "icmpv6" => {}
        "-1" => (rule.from_port, rule.to_port) = (-1, -1),
        number if number.parse::<u8>().is_ok() => (rule.from_port, rule.to_port) = (-1, -1),
        other => {
            return Err(Refused::invalid(
                "InvalidParameterValue",
                format!("invalid value '{other}' for IP protocol"),
            ));
        }
    }
    check_peer(&rule)?;
    Ok(rule)
}

fn check_peer(rule: &Rule) -> Result<(), Refused> {
    let peers = usize::from(rule.cidr_ipv4.is_some())
        + usize::from(rule.cidr_ipv6.is_some())
        + usize::from(rule.prefix_list_id.is_some())
        + usize::from(rule.referenced_group_id.is_some());
    if peers != 1 {
        return Err(Refused::invalid("InvalidParameterValue", "a rule has exactly one peer"));
    }
    let ipv4 = rule.cidr_ipv4.as_deref().map(|cidr| cidr.parse::<Ipv4Net>().map(IpNet::from));
    let ipv6 = rule.cidr_ipv6.as_deref().map(|cidr| cidr.parse::<Ipv6Net>().map(IpNet::from));
    match ipv4.or(ipv6) {
        None => Ok(()),
        Some(Ok(net)) if net.trunc() == net => Ok(()),
        Some(_) => Err(Refused::invalid(
            "InvalidParameterValue",
            format!("CIDR block {} is malformed", tell(rule)),
        )),
    }
}

fn tell(rule: &Rule) -> String {
    let peer = rule
        .cidr_ipv4
        .clone()
        .or_else(|| rule.cidr_ipv6.clone())
        .or_else(|| rule.prefix_list_id.clone())
        .or_else(|| rule.referenced_group_id.as_ref().map(ToString::to_string))
        .unwrap_or_default();
    let direction = if rule.is_egress { "egress" } else { "ingress" };
    format!(
        "\"peer: {peer}, {direction}, {} {}-{}\"",
        rule.ip_protocol, rule.from_port, rule.to_port
    )
}
