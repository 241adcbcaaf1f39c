//! Network load balancers, target groups and listeners.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Answer, Lingering, Refused, World, check_tags, is_made_of, merge_tags, reply};
use crate::cloud::Reply;
use crate::resource::{
    Attribute, HealthCheck, Listener, LoadBalancer, SubnetMapping, Tags, TargetGroup,
};

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredBalancer {
    /// Its ARN.
    pub arn: String,
    /// Its DNS name.
    pub dns_name: String,
    /// The zone that aliases point into.
    pub canonical_hosted_zone_id: String,
    /// Its settings.
    pub balancer: LoadBalancer,
    /// The settings it was made with: a repeated create call with the same ones succeeds.
    pub made_with: LoadBalancer,
}

impl StoredBalancer {
    /// Addresses that it takes from its subnets by request.
    pub(super) fn fixed_addresses(&self) -> impl Iterator<Item = &str> {
        self.balancer.subnet_mappings.iter().filter_map(|m| m.private_ipv4_address.as_deref())
    }
}

/// A target group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredTargetGroup {
    /// Its ARN.
    pub arn: String,
    /// Its settings.
    pub target_group: TargetGroup,
    /// The settings it was made with.
    pub made_with: TargetGroup,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredListener {
    /// Its ARN.
    pub arn: String,
    /// Its settings.
    pub listener: Listener,
}

impl World {
    /// How long AWS keeps the interfaces of a deleted load balancer, in seconds.
    const LINGERING_SECS: u64 = 20;

    pub(super) fn create_load_balancer(&mut self, wanted: &LoadBalancer) -> Answer {
        check_balancer_name(&wanted.name)?;
        check_tags(wanted.tags.iter())?;
        // Attributes are no part of the create call.
        let bare = LoadBalancer {
            cross_zone_enabled: false,
            deletion_protection_enabled: false,
            ..wanted.clone()
        };
        let known = self.balancers.values().find(|known| known.balancer.name == wanted.name);
        if let Some(known) = known {
            // The same settings again are no error: AWS gives the one that is there.
            if known.made_with == bare {
                return Ok(balancer_reply(known));
            }
            return Err(Refused::exists(
                "DuplicateLoadBalancerName",
                format!(
                    "a load balancer with the name '{}' exists, but with different settings",
                    wanted.name
                ),
            ));
        }
        let vpc_id = self.check_mappings(&wanted.subnet_mappings)?;
        let groups = wanted.security_groups.iter().filter_map(|group| group.known());
        self.check_security_groups(groups, &vpc_id)?;
        let suffix = format!("{:016x}", self.draw(u64::MAX));
        let (name, region, account) = (&wanted.name, &self.region, &self.account);
        let prefix = if wanted.scheme == "internal" { "" } else { "net-" };
        let stored = StoredBalancer {
            arn: format!(
                "arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/net/{name}/{suffix}"
            ),
            dns_name: format!("{prefix}{name}-{suffix}.elb.{region}.amazonaws.com").to_lowercase(),
            canonical_hosted_zone_id: self.balancer_zone_id(),
            balancer: bare.clone(),
            made_with: bare,
        };
        let answer = balancer_reply(&stored);
        let visibility = self.visibility();
        self.balancers.put(&stored.arn.clone(), stored, visibility);
        Ok(answer)
    }

    /// The Route53 zone of the region's network load balancers; the real ids are per region too.
    pub(super) fn balancer_zone_id(&self) -> String {
        let digest = crate::resource::digest(&serde_json::Value::from(self.region.as_str()));
        format!("Z{}", digest.to_uppercase().get(..13).unwrap_or_default())
    }

    pub(super) fn modify_balancer_attributes(
        &mut self,
        arn: &str,
        cross_zone_enabled: bool,
        deletion_protection_enabled: bool,
    ) -> Answer {
        self.change_balancer(arn, |_, balancer| {
            balancer.cross_zone_enabled = cross_zone_enabled;
            balancer.deletion_protection_enabled = deletion_protection_enabled;
            Ok(())
        })
    }

    pub(super) fn set_balancer_groups(&mut self, arn: &str, groups: &BTreeSet<String>) -> Answer {
        self.change_balancer(arn, |world, balancer| {
            if balancer.security_groups.is_empty() || groups.is_empty() {
                return Err(Refused::invalid(
                    "InvalidConfigurationRequest",
                    "a network load balancer has security groups from its creation on, or never",
                ));
            }
            let vpc_id = world.check_mappings(&balancer.subnet_mappings)?;
            world.check_security_groups(groups.iter().map(String::as_str), &vpc_id)?;
            balancer.security_groups =
                groups.iter().map(|group| crate::resource::Ref::Known(group.clone())).collect();
            Ok(())
        })
    }

    pub(super) fn set_balancer_subnets(
        &mut self,
        arn: &str,
        mappings: &BTreeSet<SubnetMapping>,
    ) -> Answer {
        self.change_balancer(arn, |world, balancer| {
            world.check_mappings(mappings)?;
            if !balancer.subnet_mappings.is_subset(mappings) {
                return Err(Refused::invalid(
                    "InvalidConfigurationRequest",
                    "subnets cannot be removed from a network load balancer",
                ));
            }
            balancer.subnet_mappings = mappings.clone();
            Ok(())
        })
    }

    /// Deleting what is not there succeeds, as in AWS.
    pub(super) fn delete_load_balancer(&mut self, arn: &str) -> Answer {
        let Some(known) = self.balancers.get(arn).cloned() else { return Ok(Reply::default()) };
        if known.balancer.deletion_protection_enabled {
            return Err(Refused::invalid(
                "OperationNotPermitted",
                format!("load balancer '{arn}' cannot be deleted: deletion protection is enabled"),
            ));
        }
        let listeners: Vec<String> = self
            .listeners
            .values()
            .filter(|known| known.listener.load_balancer_arn.known() == Some(arn))
            .map(|known| known.arn.clone())
            .collect();
        for listener in listeners {
            let visibility = self.visibility();
            self.listeners.remove(&listener, visibility);
        }
        self.lingering.push(Lingering {
            until: self.now.plus_secs(Self::LINGERING_SECS),
            security_groups: known
                .balancer
                .security_groups
                .iter()
                .filter_map(|group| group.known().map(str::to_owned))
                .collect(),
        });
        let visibility = self.visibility();
        self.balancers.remove(arn, visibility);
        Ok(Reply::default())
    }

    /// Has the account hold a target group that somebody else made, by its ARN; one that is there
    /// already stays.
    pub fn adopt_target_group(&mut self, arn: &str) {
        if self.target_groups.get(arn).is_some() {
            return;
        }
        let target_group = TargetGroup {
            name: arn.split('/').nth(1).unwrap_or(arn).to_owned(),
            protocol: "TCP".to_owned(),
            port: 80,
            vpc_id: self.vpcs.keys().next().cloned().unwrap_or_default(),
            health_check: HealthCheck::tcp(),
            deregistration_delay_seconds: 300,
            connection_termination_enabled: false,
            preserve_client_ip_enabled: true,
            tags: Tags::new(),
        };
        let made_with = target_group.clone();
        let stored = StoredTargetGroup { arn: arn.to_owned(), target_group, made_with };
        let visibility = self.visibility();
        self.target_groups.put(arn, stored, visibility);
    }

    pub(super) fn create_target_group(&mut self, wanted: &TargetGroup) -> Answer {
        check_balancer_name(&wanted.name)?;
        check_tags(wanted.tags.iter())?;
        check_health_check(&wanted.health_check)?;
        // Attributes are no part of the create call. What AWS sets until they are changed: Elastic
        // Load Balancing API Reference, TargetGroupAttribute.
        let bare = TargetGroup {
            deregistration_delay_seconds: 300,
            connection_termination_enabled: false,
            preserve_client_ip_enabled: true,
            ..wanted.clone()
        };
        let known = self.target_groups.values().find(|k| k.target_group.name == wanted.name);
        if let Some(known) = known {
            if known.made_with == bare {
                return Ok(reply([(Attribute::Arn, known.arn.clone())]));
            }
            return Err(Refused::exists(
                "DuplicateTargetGroupName",
                format!(
                    "a target group with the name '{}' exists, but with different settings",
                    wanted.name
                ),
            ));
        }
        if !self.vpcs.contains_key(&wanted.vpc_id) {
            return Err(Refused::not_found(
                "ValidationError",
                format!("the VPC ID '{}' is not found", wanted.vpc_id),
            ));
        }
        let suffix = format!("{:016x}", self.draw(u64::MAX));
        let (name, region, account) = (&wanted.name, &self.region, &self.account);
        let arn =
            format!("arn:aws:elasticloadbalancing:{region}:{account}:targetgroup/{name}/{suffix}");
        let stored =
            StoredTargetGroup { arn: arn.clone(), target_group: bare.clone(), made_with: bare };
        let visibility = self.visibility();
        self.target_groups.put(&arn, stored, visibility);
        Ok(reply([(Attribute::Arn, arn)]))
    }

    pub(super) fn modify_target_group(&mut self, arn: &str, check: &HealthCheck) -> Answer {
        check_health_check(check)?;
        self.change_target_group(arn, |target_group| target_group.health_check = check.clone())
    }

    pub(super) fn modify_target_group_attributes(
        &mut self,
        arn: &str,
        deregistration_delay_seconds: u32,
        connection_termination_enabled: bool,
        preserve_client_ip_enabled: bool,
    ) -> Answer {
        if deregistration_delay_seconds > 3600 {
            return Err(Refused::invalid(
                "ValidationError",
                "deregistration_delay.timeout_seconds must be between 0 and 3600",
            ));
        }
        self.change_target_group(arn, |target_group| {
            target_group.deregistration_delay_seconds = deregistration_delay_seconds;
            target_group.connection_termination_enabled = connection_termination_enabled;
            target_group.preserve_client_ip_enabled = preserve_client_ip_enabled;
        })
    }

    /// Deleting what is not there succeeds, as in AWS.
    pub(super) fn delete_target_group(&mut self, arn: &str) -> Answer {
        let is_used = |known: &StoredListener| known.listener.target_group_arn.known() == Some(arn);
        if self.listeners.values().any(is_used) {
            return Err(Refused::in_use(
                "ResourceInUse",
                format!("target group '{arn}' is currently in use by a listener or a rule"),
            ));
        }
        let visibility = self.visibility();
        self.target_groups.remove(arn, visibility);
        self.registrations.remove(arn);
        Ok(Reply::default())
    }

    pub(super) fn create_listener(&mut self, wanted: &Listener) -> Answer {
        let balancer_arn = wanted.load_balancer_arn.known().unwrap_or_default();
        let balancer = self.balancer(balancer_arn)?;
        self.check_listener(wanted, None)?;
        let suffix = format!("{:016x}", self.draw(u64::MAX));
        let arn = format!("{}/{suffix}", balancer.arn.replace(":loadbalancer/", ":listener/"));
        let stored = StoredListener { arn: arn.clone(), listener: wanted.clone() };
        let visibility = self.visibility();
        self.listeners.put(&arn, stored, visibility);
        Ok(reply([(Attribute::Arn, arn)]))
    }

    pub(super) fn modify_listener(&mut self, arn: &str, wanted: &Listener) -> Answer {
        let mut stored = self.listener(arn)?;
        let load_balancer_arn = stored.listener.load_balancer_arn.clone();
        let wanted = Listener { load_balancer_arn, ..wanted.clone() };
        self.check_listener(&wanted, Some(arn))?;
        stored.listener = wanted;
        let visibility = self.visibility();
        self.listeners.put(arn, stored, visibility);
        Ok(Reply::default())
    }

    pub(super) fn delete_listener(&mut self, arn: &str) -> Answer {
        self.listener(arn)?;
        let visibility = self.visibility();
        self.listeners.remove(arn, visibility);
        Ok(Reply::default())
    }

    pub(super) fn add_balancer_tags(&mut self, arn: &str, tags: &Tags) -> Answer {
        self.change_balancer_tags(arn, |known| merge_tags(known, tags))
    }

    pub(super) fn remove_balancer_tags(&mut self, arn: &str, keys: &BTreeSet<String>) -> Answer {
        self.change_balancer_tags(arn, |known| {
            known.retain(|key, _| !keys.contains(key));
            Ok(())
        })
    }

    fn change_balancer_tags(
        &mut self,
        arn: &str,
        change: impl FnOnce(&mut Tags) -> Result<(), Refused>,
    ) -> Answer {
        if arn.contains(":targetgroup/") {
            let mut stored = self.target_group(arn)?;
            change(&mut stored.target_group.tags)?;
            let visibility = self.visibility();
            self.target_groups.put(arn, stored, visibility);
            return Ok(Reply::default());
        }
        self.change_balancer(arn, |_, balancer| change(&mut balancer.tags))
    }

    fn balancer(&self, arn: &str) -> Result<StoredBalancer, Refused> {
        self.balancers.usable(arn, self.now).cloned().ok_or_else(|| {
            Refused::not_found("LoadBalancerNotFound", format!("load balancer '{arn}' not found"))
        })
    }

    pub(super) fn target_group(&self, arn: &str) -> Result<StoredTargetGroup, Refused> {
        self.target_groups.usable(arn, self.now).cloned().ok_or_else(|| {
            Refused::not_found("TargetGroupNotFound", format!("target group '{arn}' not found"))
        })
    }

    fn listener(&self, arn: &str) -> Result<StoredListener, Refused> {
        self.listeners.usable(arn, self.now).cloned().ok_or_else(|| {
            Refused::not_found("ListenerNotFound", format!("listener '{arn}' not found"))
        })
    }

    fn change_balancer(
        &mut self,
        arn: &str,
        change: impl FnOnce(&Self, &mut LoadBalancer) -> Result<(), Refused>,
    ) -> Answer {
        let mut stored = self.balancer(arn)?;
        change(self, &mut stored.balancer)?;
        let visibility = self.visibility();
        self.balancers.put(arn, stored, visibility);
        Ok(Reply::default())
    }

    fn change_target_group(&mut self, arn: &str, change: impl FnOnce(&mut TargetGroup)) -> Answer {
        let mut stored = self.target_group(arn)?;
        change(&mut stored.target_group);
        let visibility = self.visibility();
        self.target_groups.put(arn, stored, visibility);
        Ok(Reply::default())
    }

    /// Checks subnets of a load balancer: at least one, one per zone, one VPC, which it gives.
    fn check_mappings(&self, mappings: &BTreeSet<SubnetMapping>) -> Result<String, Refused> {
        let invalid = |what: &str| Refused::invalid("InvalidConfigurationRequest", what);
        let mut zones = BTreeSet::new();
        let mut vpcs = BTreeSet::new();
        for mapping in mappings {
            let subnet = self.subnets.get(&mapping.subnet_id).ok_or_else(|| {
                Refused::not_found(
                    "SubnetNotFound",
                    format!("the subnet ID '{}' does not exist", mapping.subnet_id),
                )
            })?;
            if !zones.insert(&subnet.availability_zone) {
                return Err(invalid("a load balancer takes one subnet of each zone"));
            }
            vpcs.insert(&subnet.vpc_id);
        }
        match vpcs.into_iter().collect::<Vec<_>>().as_slice() {
            [] => Err(Refused::invalid("ValidationError", "a load balancer needs a subnet")),
            [vpc_id] => Ok((*vpc_id).clone()),
            _ => Err(invalid("all subnets of a load balancer are in one VPC")),
        }
    }

    fn check_listener(&self, wanted: &Listener, own_arn: Option<&str>) -> Result<(), Refused> {
        let target_arn = wanted.target_group_arn.known().unwrap_or_default();
        let target = self.target_group(target_arn)?;
        if !(1..=65_535).contains(&wanted.port) {
            return Err(Refused::invalid("ValidationError", "listener ports are 1 to 65535"));
        }
        if !matches!(wanted.protocol.as_str(), "TCP" | "TLS" | "UDP" | "TCP_UDP") {
            return Err(Refused::invalid(
                "UnsupportedProtocol",
                format!("a network load balancer does not speak {}", wanted.protocol),
            ));
        }
        if (wanted.protocol == "TLS") != wanted.certificate_arn.is_some() {
            return Err(Refused::invalid(
                "ValidationError",
                "a TLS listener needs a certificate, others take none",
            ));
        }
        if target.target_group.protocol != wanted.protocol
            && !(wanted.protocol == "TLS" && target.target_group.protocol == "TCP")
        {
            return Err(Refused::invalid(
                "InvalidConfigurationRequest",
                "protocols of listener and target group do not match",
            ));
        }
        for known in self.listeners.values().filter(|known| Some(known.arn.as_str()) != own_arn) {
            let is_same_balancer = known.listener.load_balancer_arn == wanted.load_balancer_arn;
            if is_same_balancer && known.listener.port == wanted.port {
                return Err(Refused::exists(
                    "DuplicateListener",
                    format!("a listener already exists on port {}", wanted.port),
                ));
            }
            if !is_same_balancer && known.listener.target_group_arn == wanted.target_group_arn {
                return Err(Refused::invalid(
                    "TargetGroupAssociationLimit",
                    "a target group belongs to one load balancer",
                ));
            }
        }
        Ok(())
    }
}

fn balancer_reply(known: &StoredBalancer) -> Reply {
    reply([
        (Attribute::Arn, known.arn.clone()),
        (Attribute::DnsName, known.dns_name.clone()),
        (Attribute::CanonicalHostedZoneId, known.canonical_hosted_zone_id.clone()),
    ])
}

fn check_balancer_name(name: &str) -> Result<(), Refused> {
    let is_name = !name.is_empty()
        && name.len() <= 32
        && is_made_of(name, "-")
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.starts_with("internal-");
    if is_name {
        return Ok(());
    }
    Err(Refused::invalid(
        "ValidationError",
        format!("names take up to 32 letters, digits and inner hyphens: '{name}'"),
    ))
}

fn check_health_check(check: &HealthCheck) -> Result<(), Refused> {
    let is_http = matches!(check.protocol.as_str(), "HTTP" | "HTTPS");
    let is_port =
        check.port == "traffic-port" || check.port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_valid = (is_http || check.protocol == "TCP")
        && is_port
        && (is_http || check.path.is_none())
        && (5..=300).contains(&check.interval_seconds)
        && (2..=10).contains(&check.healthy_threshold_count)
        && (2..=10).contains(&check.unhealthy_threshold_count);
    if is_valid {
        return Ok(());
    }
    Err(Refused::invalid(
        "ValidationError",
        "health checks: TCP, HTTP or HTTPS, a path only for HTTP(S), interval 5 to 300 seconds, \
         thresholds 2 to 10",
    ))
}
