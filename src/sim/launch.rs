//! How a group keeps its machines: launches, and what a launch checks.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Activity, invalid};
use super::{Answer, Lifecycle, Machine, Power, Refused, StoredGroup, Subnet, World};
use crate::cloud::{CloudErrorKind, Reply};
use crate::resource::{AutoScalingGroup, LaunchTemplateData, LaunchTemplateInterface, Tags};

impl World {
    /// Seconds until a group tries again after a failed launch; doubles up to the limit.
    const RETRY_SECS: u64 = 30;
    const RETRY_SECS_MAX: u64 = 900;

    /// A group looks at its machines and does one step: end what is unhealthy, launch what lacks, end what is too much, or
    /// balance zones.
    pub(super) fn reconcile(&mut self, name: &str) {
        if let Some(work) = self.works.get_mut(name) {
            work.check_at = None;
        }
        let Some(stored) = self.groups.get(name).cloned() else { return };
        if stored.is_pending_delete {
            return;
        }
        self.check_health(&stored);
        let has = i32::try_from(self.counted(name).len()).unwrap_or(i32::MAX);
        let surplus = has.saturating_sub(stored.desired_capacity);
        match surplus {
            lacking if lacking < 0 => self.launch_lacking(&stored, lacking.unsigned_abs()),
            0 => self.balance_zones(&stored),
            too_many => self.scale_in(&stored, too_many.unsigned_abs()),
        }
    }

    pub(super) fn counted<'a>(&'a self, name: &'a str) -> Vec<&'a Machine> {
        self.members(name).filter(|machine| machine.lifecycle.counts()).collect()
    }

    fn launch_lacking(&mut self, stored: &StoredGroup, count: u32) {
        if !stored.runs("Launch") {
            return;
        }
        for _ in 0..count {
            if let Err(refused) = self.launch_somewhere(stored) {
                self.note_failure(stored, &refused);
                return;
            }
        }
    }

    /// Launches into the zone with the fewest machines that has capacity; what the last zone said is
    /// the error.
    fn launch_somewhere(&mut self, stored: &StoredGroup) -> Result<String, Refused> {
        let mut last = invalid("the group has no zone".to_owned());
        for zone in self.zones_by_count(stored) {
            match self.launch_in(stored, &zone, false) {
                Ok(instance_id) => return Ok(instance_id),
                Err(refused) => last = refused,
            }
        }
        Err(last)
    }

    /// The group's zones, the one with the fewest machines first.
    fn zones_by_count(&self, stored: &StoredGroup) -> Vec<String> {
        let counts = self.zone_counts(stored);
        let mut zones: Vec<(usize, String)> =
            counts.into_iter().map(|(zone, count)| (count, zone)).collect();
        zones.sort();
        zones.into_iter().map(|(_, zone)| zone).collect()
    }

    /// Machines by zone; zones that the group left count only while machines are there.
    pub(super) fn zone_counts(&self, stored: &StoredGroup) -> BTreeMap<String, usize> {
        let mut counts: BTreeMap<String, usize> =
            self.zones_of(&stored.group).into_iter().map(|zone| (zone, 0)).collect();
        for machine in self.counted(&stored.group.auto_scaling_group_name) {
            if let Some(count) = counts.get_mut(&machine.availability_zone) {
                *count += 1;
            }
        }
        counts
    }

    pub(super) fn zones_of(&self, group: &AutoScalingGroup) -> BTreeSet<String> {
        let of_subnets = group
            .vpc_zone_identifier
            .iter()
            .filter_map(|id| self.subnets.get(id))
            .map(|subnet| subnet.availability_zone.clone());
        group.availability_zones.iter().cloned().chain(of_subnets).collect()
    }

    pub(super) fn launch_in(
        &mut self,
        stored: &StoredGroup,
        zone: &str,
        balances: bool,
    ) -> Result<String, Refused> {
        let group = &stored.group;
        let data = self.launch_data(&group.launch_template_name, stored.version)?;
        let subnet = self.subnet_for(group, &data, zone)?;
        self.check_data(&data, Some(&subnet))?;
        self.check_machine_quota()?;
        let is_spot = self.next_is_spot(stored, &data);
        let instance_type = self.pick_type(group, &data, zone)?;
        let interface = existing_interface(&data);
        let private_ip_address = match &interface {
            Some(id) => {
                let known = self.interface(id)?;
                if let Some(holder) = known.attached_to {
                    return Err(Refused::in_use(
                        "InvalidNetworkInterface.InUse",
                        format!("interface {id} is currently in use by {holder}"),
                    ));
                }
                known.private_ip_address
            }
            None => self.free_address(&subnet.subnet_id)?,
        };
        let instance_id = self.new_id("i");
        if let Some(id) = &interface {
            let holder = instance_id.clone();
            self.interfaces.edit(id, |known| known.attached_to = Some(holder.clone()));
        }
        let drawn = Self::BOOT_SECS.0 + self.draw(Self::BOOT_SECS.1);
        let boot_secs = self.boot_secs.unwrap_or(drawn);
        let fault = self.launch_verdict(&data.image_id);
        let machine = Machine {
            instance_id: instance_id.clone(),
            group: Some(group.auto_scaling_group_name.clone()),
            availability_zone: zone.to_owned(),
            subnet_id: subnet.subnet_id,
            private_ip_address,
            instance_type,
            is_spot,
            lifecycle: Lifecycle::Pending,
            power: Power::Pending,
            fault,
            is_impaired: false,
            is_asleep: false,
            noticed_at: None,
            is_unhealthy: false,
            is_attached: false,
            takes_its_place: false,
            reclaimed_at: None,
            launched_at: self.now,
            due: Some(self.now.plus_secs(boot_secs)),
            launch_template_name: group.launch_template_name.clone(),
            version: stored.version,
            security_groups: security_groups(&data),
            network_interface_id: interface,
            is_protected: group.new_instances_protected_from_scale_in,
            balances,
            tags: machine_tags(group, &data),
            image_id: data.image_id,
        };
        self.shade(&instance_id);
        self.machines.insert(instance_id.clone(), machine);
        Ok(instance_id)
    }

    fn check_machine_quota(&self) -> Result<(), Refused> {
        let Some(most) = self.faults.machines_max else { return Ok(()) };
        if self.machines.len() < most {
            return Ok(());
        }
        Err(Refused::quota(
            "VcpuLimitExceeded",
            format!(
                "you have requested more vCPU capacity than your current vCPU limit allows ({most} \
                 machines) for the instance bucket that the specified instance type belongs to"
            ),
        ))
    }

    /// The group's subnet in a zone with the fewest machines, or, for a group that names zones, the
    /// subnet of its template's interface.
    fn subnet_for(
        &self,
        group: &AutoScalingGroup,
        data: &LaunchTemplateData,
        zone: &str,
    ) -> Result<Subnet, Refused> {
        if let Some(id) = existing_interface(data) {
            let subnet = self.subnet(&self.interface(&id)?.interface.subnet_id)?;
            if subnet.availability_zone != zone {
                return Err(Refused::invalid(
                    "InvalidParameterCombination",
                    format!("interface {id} is not in zone {zone}"),
                ));
            }
            return Ok(subnet.clone());
        }
        let load = |subnet: &&Subnet| {
            let count = self.machines.values().filter(|m| m.subnet_id == subnet.subnet_id).count();
            (count, subnet.subnet_id.clone())
        };
        let in_zone = |subnet: &&Subnet| subnet.availability_zone == zone;
        let of_group = group.vpc_zone_identifier.iter().filter_map(|id| self.subnets.get(id));
        let named = of_group.filter(in_zone).min_by_key(load);
        // Zones without subnets mean the default VPC, which this account has not.
        named.cloned().ok_or_else(|| {
            Refused::not_found(
                "VPCIdNotSpecified",
                format!("no subnet of the group is in zone {zone}, and no default VPC exists"),
            )
        })
    }

    /// Whether the next machine is spot, so that the shares of the policy hold.
    fn next_is_spot(&self, stored: &StoredGroup, data: &LaunchTemplateData) -> bool {
        let Some(policy) = &stored.group.mixed_instances_policy else {
            return data.instance_market_options.is_some();
        };
        let machines = self.counted(&stored.group.auto_scaling_group_name);
        let on_demand = machines.iter().filter(|machine| !machine.is_spot).count();
        let total_after = i64::try_from(machines.len()).unwrap_or(i64::MAX).saturating_add(1);
        let base = i64::from(policy.on_demand_base_capacity);
        let share = i64::from(policy.on_demand_percentage_above_base_capacity);
        let above = total_after.saturating_sub(base).max(0);
        // AWS rounds the on-demand part up.
        let wanted = base.min(total_after) + above.saturating_mul(share).saturating_add(99) / 100;
        i64::try_from(on_demand).unwrap_or(i64::MAX) >= wanted
    }

    /// The first type of the policy, or the template's, that the zone has.
    fn pick_type(
        &self,
        group: &AutoScalingGroup,
        data: &LaunchTemplateData,
        zone: &str,
    ) -> Result<String, Refused> {
        let own = vec![data.instance_type.clone()];
        let types = group
            .mixed_instances_policy
            .as_ref()
            .map(|policy| &policy.overrides)
            .filter(|overrides| !overrides.is_empty())
            .unwrap_or(&own);
        types.iter().find(|wanted| !self.is_short_of(zone, wanted)).cloned().ok_or_else(|| {
            Refused::new(
                CloudErrorKind::QuotaReached,
                "InsufficientInstanceCapacity",
                format!(
                    "we currently do not have sufficient {} capacity in the Availability Zone you \
                     requested ({zone})",
                    types.join(", ")
                ),
            )
        })
    }

    fn is_short_of(&self, zone: &str, instance_type: &str) -> bool {
        if self.faults.zones_out.contains(zone) {
            return true;
        }
        self.faults.shortages.iter().any(|shortage| {
            shortage.availability_zone == zone
                && shortage.instance_type.as_deref().is_none_or(|known| known == instance_type)
        })
    }

    pub(super) fn note_launch(&mut self, group: &str, instance_id: &str) {
        self.note_success(group, format!("Launching a new EC2 instance: {instance_id}"), "");
    }

    /// Notes that a group ends a machine, and why.
    pub(super) fn note_termination(&mut self, group: &str, instance_id: &str, why: &str) {
        let cause = format!("an instance was taken out of service {why}.");
        self.note_success(group, format!("Terminating EC2 instance: {instance_id}"), &cause);
    }

    fn note_success(&mut self, group: &str, description: String, cause: &str) {
        let (at, cause) = (self.now, cause.to_owned());
        if let Some(work) = self.works.get_mut(group) {
            let (status, message) = ("Successful".to_owned(), String::new());
            work.note(Activity { at, description, status, message, cause });
        }
    }

    pub(super) fn note_failure(&mut self, stored: &StoredGroup, refused: &Refused) {
        let now = self.now;
        let Some(work) = self.works.get_mut(&stored.group.auto_scaling_group_name) else { return };
        let doubled = Self::RETRY_SECS.saturating_mul(1 << work.failures.min(8));
        work.failures = work.failures.saturating_add(1);
        work.check_at = Some(now.plus_secs(doubled.min(Self::RETRY_SECS_MAX)));
        work.note(Activity {
            at: now,
            description: "Launching a new EC2 instance".to_owned(),
            status: "Failed".to_owned(),
            message: format!("{} Launching EC2 instance failed.", refused.message),
            cause: String::new(),
        });
    }

    fn launch_data(&self, name: &str, version: u64) -> Result<LaunchTemplateData, Refused> {
        let template = self.template(name)?;
        template.versions.get(&version).map(|known| known.data.clone()).ok_or_else(|| {
            Refused::not_found(
                "InvalidLaunchTemplateId.VersionNotFound",
                format!("could not find launch template version {version} of {name}"),
            )
        })
    }

    /// What RunInstances checks of a template version.
    pub(super) fn check_launch(&self, name: &str, version: u64, subnet_id: Option<&str>) -> Answer {
        let data = self.launch_data(name, version)?;
        let subnet = subnet_id.map(|id| self.subnet(id).cloned()).transpose()?;
        self.check_data(&data, subnet.as_ref())?;
        Ok(Reply::default())
    }

    /// What CreateAutoScalingGroup checks: it tries the launch without making it, and wraps what it
    /// hears.
    pub(super) fn check_group_launch(&self, group: &AutoScalingGroup, version: u64) -> Answer {
        let subnet_id = group.vpc_zone_identifier.first().map(String::as_str);
        self.check_launch(&group.launch_template_name, version, subnet_id).map_err(|refused| {
            Refused::new(
                refused.kind,
                "ValidationError",
                format!(
                    "you must use a valid fully-formed launch template: {} ({})",
                    refused.message, refused.code
                ),
            )
        })
    }

    fn check_data(
        &self,
        data: &LaunchTemplateData,
        subnet: Option<&Subnet>,
    ) -> Result<(), Refused> {
        self.check_image(&data.image_id)?;
        if data.instance_type.split_once('.').is_none() {
            return Err(Refused::invalid(
                "InvalidParameterValue",
                format!("invalid value '{}' for InstanceType", data.instance_type),
            ));
        }
        self.check_profile(data)?;
        for interface in &data.network_interfaces {
            self.check_launch_interface(interface, subnet)?;
        }
        Ok(())
    }

    /// An image exists if its id is well-formed and the fault plan does not lack it.
    pub(super) fn check_image(&self, image_id: &str) -> Result<(), Refused> {
        let is_hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
        let is_id = image_id
            .strip_prefix("ami-")
            .is_some_and(|hex| matches!(hex.len(), 8 | 17) && is_hex(hex));
        if !is_id {
            let message = format!("invalid id: \"{image_id}\"");
            return Err(Refused::invalid("InvalidAMIID.Malformed", message));
        }
        if self.faults.missing_images.contains(image_id) {
            let message = format!("the image id '[{image_id}]' does not exist");
            return Err(Refused::not_found("InvalidAMIID.NotFound", message));
        }
        Ok(())
    }

    fn check_profile(&self, data: &LaunchTemplateData) -> Result<(), Refused> {
        if data.iam_instance_profile_name.is_some() && data.iam_instance_profile_arn.is_some() {
            return Err(Refused::invalid(
                "InvalidParameterCombination",
                "a profile is named by name or by ARN, not both",
            ));
        }
        let Some(name) = &data.iam_instance_profile_name else { return Ok(()) };
        // EC2 learns of new profiles and their roles late, and says so with this code.
        let unknown = || {
            Refused::not_found(
                "InvalidParameterValue",
                format!("value ({name}) for parameter iamInstanceProfile.name is invalid"),
            )
        };
        let profile = self.profile(name).map_err(|_| unknown())?;
        if profile.roles.is_empty() {
            return Err(unknown());
        }
        Ok(())
    }

    fn check_launch_interface(
        &self,
        interface: &LaunchTemplateInterface,
        subnet: Option<&Subnet>,
    ) -> Result<(), Refused> {
        let groups = interface.groups.iter().filter_map(|group| group.known());
        let Some(id) = &interface.network_interface_id else {
            return match subnet {
                Some(subnet) => self.check_security_groups(groups, &subnet.vpc_id),
                None => {
                    for group in groups {
                        self.security_group(group)?;
                    }
                    Ok(())
                }
            };
        };
        self.interface(id.known().unwrap_or_default())?;
        if groups.count() > 0
            || interface.associate_public_ip_address.is_some()
            || interface.delete_on_termination
        {
            return Err(Refused::invalid(
                "InvalidParameterCombination",
                "an existing interface takes no groups, public address or deletion",
            ));
        }
        Ok(())
    }
}

/// The existing interface that a template names as the main one.
fn existing_interface(data: &LaunchTemplateData) -> Option<String> {
    let main = data.network_interfaces.iter().find(|interface| interface.device_index == 0)?;
    main.network_interface_id.as_ref()?.known().map(str::to_owned)
}

fn security_groups(data: &LaunchTemplateData) -> BTreeSet<String> {
    data.network_interfaces
        .iter()
        .flat_map(|interface| &interface.groups)
        .filter_map(|group| group.known().map(str::to_owned))
        .collect()
}

/// Tags of a new machine: the template's, then what the group hands on, then AWS' own.
fn machine_tags(group: &AutoScalingGroup, data: &LaunchTemplateData) -> Tags {
    let mut tags = data.tag_specifications.get("instance").cloned().unwrap_or_default();
    let handed_on = group.tags.iter().filter(|(_, tag)| tag.propagate_at_launch);
    tags.extend(handed_on.map(|(key, tag)| (key.clone(), tag.value.clone())));
    tags.insert("aws:autoscaling:groupName".to_owned(), group.auto_scaling_group_name.clone());
    tags
}
