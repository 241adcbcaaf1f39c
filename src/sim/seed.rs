//! What others do to an account: a kops cluster of the same name, and people with a console.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::Time;
use super::lag::Visibility;
use super::{Outcome, StoredZone, World};
use crate::cloud::{Call, CloudError, Reply};
use crate::resource::{
    AutoScalingGroup, GroupTag, KOPS_CLUSTER_TAG, LaunchTemplateData, LaunchTemplateInterface,
    MetadataOptions, RecordSet, Ref, Role, Rule, Tags, Volume,
};

impl World {
    /// Builds what kops would have built for a small cluster in a VPC that exists: names and tags of
    /// kops, none of ours. Everything is old, so every read sees it.
    ///
    /// # Errors
    /// When the account holds such things already, or the VPC has no subnets.
    pub fn seed_kops_cluster(&mut self, cluster: &str, vpc_id: &str) -> Result<(), CloudError> {
        let lag = std::mem::replace(&mut self.lag, super::Lag::none());
        let faults = std::mem::take(&mut self.faults);
        let result = self.build_kops_cluster(cluster, vpc_id);
        self.lag = lag;
        self.faults = faults;
        self.log.clear();
        (self.mutation_count, self.read_count) = (0, 0);
        result
    }

    fn build_kops_cluster(&mut self, cluster: &str, vpc_id: &str) -> Result<(), CloudError> {
        for (group, role) in [("control-plane", "masters"), ("nodes", "nodes")] {
            let group_id =
                self.seed_security_group(&format!("{role}.{cluster}"), cluster, vpc_id)?;
            self.seed_role(&format!("{role}.{cluster}"), cluster)?;
            let name = if role == "masters" {
                format!("{group}.{role}.{cluster}")
            } else {
                format!("{group}.{cluster}")
            };
            self.seed_group(&name, &format!("{role}.{cluster}"), cluster, vpc_id, &group_id)?;
        }
        for etcd in ["main", "events"] {
            let volume = Volume {
                availability_zone: self.zone_in(vpc_id),
                size: 20,
                volume_type: "gp3".to_owned(),
                iops: None,
                throughput: None,
                encrypted: true,
                kms_key_id: None,
                tags: kops_tags(cluster, &format!("a.etcd-{etcd}.{cluster}")),
            };
            let client_token = format!("{cluster}/{etcd}");
            self.make(&Call::CreateVolume { volume: Box::new(volume), client_token })?;
        }
        self.seed_api_record(cluster);
        Ok(())
    }

    fn seed_security_group(
        &mut self,
        name: &str,
        cluster: &str,
        vpc_id: &str,
    ) -> Result<String, CloudError> {
        let reply = self.make(&Call::CreateSecurityGroup {
            group_name: name.to_owned(),
            description: "Security group for kops".to_owned(),
            vpc_id: vpc_id.to_owned(),
            tags: kops_tags(cluster, name),
        })?;
        let id = reply.attributes.into_values().next().unwrap_or_default();
        let ssh = tcp_rule(22, "0.0.0.0/0");
        self.make(&Call::AuthorizeSecurityGroupIngress {
            group_id: id.clone(),
            rules: BTreeSet::from([ssh]),
            description: String::new(),
        })?;
        Ok(id)
    }

    fn seed_role(&mut self, name: &str, cluster: &str) -> Result<(), CloudError> {
        let role = Role {
            role_name: name.to_owned(),
            assume_role_policy_document: serde_json::json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Action": "sts:AssumeRole",
                    "Principal": {"Service": "ec2.amazonaws.com"},
                }],
            }),
            permissions_boundary: None,
            inline_policies: BTreeMap::new(),
            attached_policy_arns: BTreeSet::new(),
            tags: kops_tags(cluster, name),
        };
        self.make(&Call::CreateRole { role: Box::new(role) })?;
        let instance_profile_name = name.to_owned();
        let tags = kops_tags(cluster, name);
        self.make(&Call::CreateInstanceProfile { instance_profile_name, tags })?;
        self.make(&Call::AddRoleToInstanceProfile {
            instance_profile_name: name.to_owned(),
            role_name: name.to_owned(),
        })?;
        Ok(())
    }

    fn seed_group(
        &mut self,
        name: &str,
        profile: &str,
        cluster: &str,
        vpc_id: &str,
        security_group: &str,
    ) -> Result<(), CloudError> {
        self.make(&Call::CreateLaunchTemplate {
            launch_template_name: name.to_owned(),
            version_description: String::new(),
            data: Box::new(kops_template(profile, security_group)),
            tags: kops_tags(cluster, name),
            client_token: name.to_owned(),
        })?;
        let tags = kops_tags(cluster, name)
            .into_iter()
            .map(|(key, value)| (key, GroupTag { value, propagate_at_launch: true }))
            .collect();
        let in_vpc = self.subnets.values().filter(|subnet| subnet.vpc_id == vpc_id);
        let group = AutoScalingGroup {
            auto_scaling_group_name: name.to_owned(),
            launch_template_name: name.to_owned(),
            target: Ref::Known(String::new()),
            mixed_instances_policy: None,
            min_size: 1,
            max_size: 1,
            vpc_zone_identifier: in_vpc.take(1).map(|subnet| subnet.subnet_id.clone()).collect(),
            availability_zones: BTreeSet::new(),
            target_group_arns: BTreeSet::new(),
            health_check_type: "EC2".to_owned(),
            health_check_grace_period: 0,
            new_instances_protected_from_scale_in: false,
            max_instance_lifetime: 0,
            capacity_rebalance: false,
            suspended_processes: BTreeSet::new(),
            enabled_metrics: BTreeSet::new(),
            lifecycle_hooks: BTreeMap::new(),
            tags,
        };
        self.make(&Call::CreateAutoScalingGroup { group: Box::new(group), version: 1 })?;
        Ok(())
    }

    /// kops' placeholder for the API, where the account has a public zone for it.
    fn seed_api_record(&mut self, cluster: &str) {
        let name = format!("api.{cluster}");
        let is_for = |zone: &&StoredZone| {
            zone.vpc_id.is_none() && name.ends_with(&format!(".{}", zone.name))
        };
        let Some(id) = self.zones.values().find(is_for).map(|zone| zone.id.clone()) else { return };
        let set = RecordSet {
            ttl: Some(10),
            resource_records: BTreeSet::from([Ref::Known("203.0.113.123".to_owned())]),
            alias_target: None,
        };
        self.zones.edit(&id, |zone| {
            zone.records.entry(name.clone()).or_default().insert("A".to_owned(), set.clone());
        });
    }

    fn zone_in(&self, vpc_id: &str) -> String {
        let in_vpc = self.subnets.values().find(|subnet| subnet.vpc_id == vpc_id);
        in_vpc.map(|subnet| subnet.availability_zone.clone()).unwrap_or_default()
    }

    fn make(&mut self, call: &Call) -> Result<Reply, CloudError> {
        match self.answer(call) {
            Outcome::Answered(result) => result,
            Outcome::Crashed => Ok(Reply::default()),
        }
    }

    /// A person opens a port of a group by hand.
    ///
    /// # Errors
    /// When there is no such group in the account.
    pub fn meddle_add_rule(
        &mut self,
        group_name: &str,
        port: i32,
        cidr: &str,
    ) -> Result<(), String> {
        let known =
            self.security_groups.values().find(|known| known.group.group_name == group_name);
        let mut known = known.cloned().ok_or_else(|| format!("no security group {group_name}"))?;
        known.rules.push((tcp_rule(port, cidr), "added by hand".to_owned()));
        let seen = seen_at_once(self.now);
        self.security_groups.put(&known.group_id.clone(), known, seen);
        Ok(())
    }

    /// A person edits a group's settings by hand.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn meddle_edit_group(
        &mut self,
        name: &str,
        edit: impl FnOnce(&mut AutoScalingGroup),
    ) -> Result<(), String> {
        let mut known = self
            .groups
            .get(name)
            .cloned()
            .ok_or_else(|| format!("no auto scaling group {name}"))?;
        edit(&mut known.group);
        let (min, max) = (known.group.min_size, known.group.max_size.max(known.group.min_size));
        known.desired_capacity = known.desired_capacity.clamp(min, max);
        let seen = seen_at_once(self.now);
        self.groups.put(name, known, seen);
        self.wake(name);
        Ok(())
    }
}

fn seen_at_once(now: Time) -> Visibility {
    Visibility { usable_at: now, by_key_at: now, by_tag_at: now }
}

fn kops_tags(cluster: &str, name: &str) -> Tags {
    Tags::from([
        ("Name".to_owned(), name.to_owned()),
        (KOPS_CLUSTER_TAG.to_owned(), cluster.to_owned()),
        (format!("kubernetes.io/cluster/{cluster}"), "owned".to_owned()),
    ])
}

fn tcp_rule(port: i32, cidr: &str) -> Rule {
    Rule {
        is_egress: false,
        ip_protocol: "tcp".to_owned(),
        from_port: port,
        to_port: port,
        cidr_ipv4: Some(cidr.to_owned()),
        cidr_ipv6: None,
        prefix_list_id: None,
        referenced_group_id: None,
    }
}

fn kops_template(profile: &str, security_group: &str) -> LaunchTemplateData {
    LaunchTemplateData {
        image_id: "ami-0123456789abcdef0".to_owned(),
        instance_type: "m5.large".to_owned(),
        iam_instance_profile_name: Some(profile.to_owned()),
        iam_instance_profile_arn: None,
        key_name: None,
        user_data: "#!/bin/bash\n".to_owned(),
        block_device_mappings: Vec::new(),
        network_interfaces: vec![LaunchTemplateInterface {
            device_index: 0,
            network_interface_id: None,
            associate_public_ip_address: Some(false),
            groups: BTreeSet::from([Ref::Known(security_group.to_owned())]),
            delete_on_termination: true,
        }],
        metadata_options: MetadataOptions {
            http_tokens: "required".to_owned(),
            http_put_response_hop_limit: 1,
        },
        monitoring_enabled: false,
        ebs_optimized: None,
        tenancy: None,
        cpu_credits: None,
        instance_market_options: None,
        private_dns_hostname_type: None,
        tag_specifications: BTreeMap::new(),
    }
}
