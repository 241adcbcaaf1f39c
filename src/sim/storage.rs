//! Volumes and network interfaces: what outlives a machine.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::clock::Time;
use super::{Answer, Refused, World, check_tags, merge_tags, reply};
use crate::cloud::{Call, Reply};
use crate::resource::{Attribute, NetworkInterface, Ref, Tags, Volume};

/// A volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredVolume {
    /// Its id.
    pub volume_id: String,
    /// Its settings and tags.
    pub volume: Volume,
    /// The instance it is attached to.
    pub attached_to: Option<String>,
    /// Where on that instance: a device's name, or the simulated member's whose place it is.
    #[serde(default)]
    pub device: Option<String>,
    /// Until when its last modification goes on; another one has to wait.
    pub modifying_until: Time,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredInterface {
    /// Its id.
    pub network_interface_id: String,
    /// Its settings and tags.
    pub interface: NetworkInterface,
    /// Its address, from its subnet.
    pub private_ip_address: String,
    /// The instance it is attached to: one at a time.
    pub attached_to: Option<String>,
}

impl World {
    /// How long a volume takes to be modified, in seconds.
    const MODIFICATION_SECS: u64 = 30;
    /// Security groups of one interface (VPC quotas).
    const INTERFACE_GROUPS_MAX: usize = 5;

    pub(super) fn create_volume(&mut self, volume: &Volume, token: &str) -> Answer {
        let parameters = serde_json::to_value(volume).unwrap_or_default();
        self.with_token("CreateVolume", token, &parameters, |world| {
            check_tags(volume.tags.iter())?;
            check_volume(volume)?;
            let is_zone =
                |zone: &str| world.subnets.values().any(|subnet| subnet.availability_zone == zone);
            if !is_zone(&volume.availability_zone) {
                return Err(Refused::invalid(
                    "InvalidZone.NotFound",
                    format!("the zone '{}' does not exist", volume.availability_zone),
                ));
            }
            let volume_id = world.new_id("vol");
            let stored = StoredVolume {
                volume_id: volume_id.clone(),
                volume: volume.clone(),
                attached_to: None,
                device: None,
                modifying_until: world.now,
            };
            let visibility = world.visibility();
            world.volumes.put(&volume_id, stored, visibility);
            Ok(reply([(Attribute::Id, volume_id)]))
        })
    }

    pub(super) fn modify_volume(
        &mut self,
        volume_id: &str,
        size: i32,
        volume_type: &str,
        iops: Option<i32>,
        throughput: Option<i32>,
    ) -> Answer {
        let mut stored = self.volume(volume_id)?;
        if size < stored.volume.size {
            return Err(Refused::invalid(
                "InvalidParameterValue",
                format!("new size cannot be smaller than existing size {}", stored.volume.size),
            ));
        }
        if stored.modifying_until > self.now {
            return Err(Refused::in_use(
                "IncorrectModificationState",
                format!("volume {volume_id} is being modified"),
            ));
        }
        let volume_type = volume_type.to_owned();
        stored.volume = Volume { size, volume_type, iops, throughput, ..stored.volume };
        check_volume(&stored.volume)?;
        stored.modifying_until = self.now.plus_secs(Self::MODIFICATION_SECS);
        let visibility = self.visibility();
        self.volumes.put(volume_id, stored, visibility);
        Ok(Reply::default())
    }

    pub(super) fn delete_volume(&mut self, volume_id: &str) -> Answer {
        if let Some(machine) = self.volume(volume_id)?.attached_to {
            return Err(Refused::in_use(
                "VolumeInUse",
                format!("volume {volume_id} is currently attached to {machine}"),
            ));
        }
        let visibility = self.visibility();
        self.volumes.remove(volume_id, visibility);
        Ok(Reply::default())
    }

    pub(super) fn create_interface(&mut self, wanted: &NetworkInterface, token: &str) -> Answer {
        let parameters = serde_json::to_value(wanted).unwrap_or_default();
        self.with_token("CreateNetworkInterface", token, &parameters, |world| {
            check_tags(wanted.tags.iter())?;
            let vpc_id = world.subnet(&wanted.subnet_id)?.vpc_id.clone();
            let groups: BTreeSet<String> = wanted.groups.iter().map(ToString::to_string).collect();
            world.check_interface_groups(&groups, &vpc_id)?;
            let address = world.free_address(&wanted.subnet_id)?;
            let id = world.new_id("eni");
            let stored = StoredInterface {
                network_interface_id: id.clone(),
                interface: wanted.clone(),
                private_ip_address: address.clone(),
                attached_to: None,
            };
            let visibility = world.visibility();
            world.interfaces.put(&id, stored, visibility);
            Ok(reply([(Attribute::Id, id), (Attribute::PrivateIpAddress, address)]))
        })
    }

    pub(super) fn modify_interface_groups(
        &mut self,
        id: &str,
        groups: &BTreeSet<String>,
    ) -> Answer {
        let mut stored = self.interface(id)?;
        let vpc_id = self.subnet(&stored.interface.subnet_id)?.vpc_id.clone();
        self.check_interface_groups(groups, &vpc_id)?;
        stored.interface.groups = groups.iter().map(|group| Ref::Known(group.clone())).collect();
        let visibility = self.visibility();
        self.interfaces.put(id, stored, visibility);
        Ok(Reply::default())
    }

    pub(super) fn modify_interface_description(&mut self, id: &str, description: &str) -> Answer {
        let mut stored = self.interface(id)?;
        stored.interface.description = description.to_owned();
        let visibility = self.visibility();
        self.interfaces.put(id, stored, visibility);
        Ok(Reply::default())
    }

    pub(super) fn delete_interface(&mut self, id: &str) -> Answer {
        if let Some(machine) = self.interface(id)?.attached_to {
            return Err(Refused::in_use(
                "InvalidNetworkInterface.InUse",
                format!("interface {id} is currently in use by {machine}"),
            ));
        }
        let visibility = self.visibility();
        self.interfaces.remove(id, visibility);
        Ok(Reply::default())
    }

    /// Sets tags of EC2 resources, told apart by the prefixes of their ids.
    pub(super) fn create_tags(&mut self, ids: &BTreeSet<String>, tags: &Tags) -> Answer {
        self.change_tags_of_all(ids, |known| merge_tags(known, tags))
    }

    pub(super) fn delete_tags(
        &mut self,
        ids: &BTreeSet<String>,
        keys: &BTreeSet<String>,
    ) -> Answer {
        self.change_tags_of_all(ids, |known| {
            known.retain(|key, _| !keys.contains(key));
            Ok(())
        })
    }

    /// All or none: an id that is not known fails the call before anything is changed.
    fn change_tags_of_all(
        &mut self,
        ids: &BTreeSet<String>,
        change: impl Fn(&mut Tags) -> Result<(), Refused>,
    ) -> Answer {
        if ids.is_empty() {
            return Err(Refused::invalid("MissingParameter", "name the resources to tag"));
        }
        if ids.len() > Call::TAGGED_MAX {
            return Err(Refused::invalid(
                "InvalidParameterValue",
                format!("one call tags at most {} resources", Call::TAGGED_MAX),
            ));
        }
        for id in ids {
            self.tags_of(id)?;
        }
        for id in ids {
            self.change_tags(id, &change)?;
        }
        Ok(Reply::default())
    }

    /// The tags of a resource, as a mutating call knows it.
    fn tags_of(&self, id: &str) -> Result<Tags, Refused> {
        Ok(match id.split_once('-').map_or("", |(prefix, _)| prefix) {
            "sg" => self.security_group(id)?.group.tags,
            "lt" => self.template_by_id(id)?.tags,
            "vol" => self.volume(id)?.volume.tags,
            "eni" => self.interface(id)?.interface.tags,
            "i" => self.instance(id)?.tags.clone(),
            _ => {
                return Err(Refused::invalid("InvalidID", format!("the ID '{id}' is not valid")));
            }
        })
    }

    fn change_tags(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Tags) -> Result<(), Refused>,
    ) -> Answer {
        let visibility = self.visibility();
        match id.split_once('-').map_or("", |(prefix, _)| prefix) {
            "sg" => {
                let mut stored = self.security_group(id)?;
                change(&mut stored.group.tags)?;
                self.security_groups.put(id, stored, visibility);
            }
            "lt" => {
                let mut stored = self.template_by_id(id)?;
                change(&mut stored.tags)?;
                self.templates.put(&stored.name.clone(), stored, visibility);
            }
            "vol" => {
                let mut stored = self.volume(id)?;
                change(&mut stored.volume.tags)?;
                self.volumes.put(id, stored, visibility);
            }
            "eni" => {
                let mut stored = self.interface(id)?;
                change(&mut stored.interface.tags)?;
                self.interfaces.put(id, stored, visibility);
            }
            _ => {
                // AWS's own are not the caller's to change, nor do they count.
                let tags = self.instance(id)?.tags.clone();
                let (own, mut tags): (Tags, Tags) =
                    tags.into_iter().partition(|(key, _)| key.starts_with("aws:"));
                change(&mut tags)?;
                tags.extend(own);
                self.shade(id);
                if let Some(machine) = self.machines.get_mut(id) {
                    machine.tags = tags;
                }
            }
        }
        Ok(Reply::default())
    }

    pub(super) fn volume(&self, id: &str) -> Result<StoredVolume, Refused> {
        self.volumes.usable(id, self.now).cloned().ok_or_else(|| {
            Refused::not_found(
                "InvalidVolume.NotFound",
                format!("the volume '{id}' does not exist"),
            )
        })
    }

    pub(super) fn interface(&self, id: &str) -> Result<StoredInterface, Refused> {
        self.interfaces.usable(id, self.now).cloned().ok_or_else(|| {
            Refused::not_found(
                "InvalidNetworkInterfaceID.NotFound",
                format!("the networkInterface ID '{id}' does not exist"),
            )
        })
    }

    fn check_interface_groups(
        &self,
        groups: &BTreeSet<String>,
        vpc_id: &str,
    ) -> Result<(), Refused> {
        if groups.len() > Self::INTERFACE_GROUPS_MAX {
            return Err(Refused::quota(
                "SecurityGroupsPerInterfaceLimitExceeded",
                format!("an interface takes {} security groups", Self::INTERFACE_GROUPS_MAX),
            ));
        }
        self.check_security_groups(groups.iter().map(String::as_str), vpc_id)
    }
}

impl StoredVolume {
    /// An instance takes it.
    pub(super) fn attach(&mut self, instance_id: &str, device: &str) {
        self.attached_to = Some(instance_id.to_owned());
        self.device = Some(device.to_owned());
    }

    /// It is free again: the instance has ended, or somebody took it away by force.
    pub fn come_free(&mut self) {
        (self.attached_to, self.device) = (None, None);
    }

    /// Whether it is what an instance has at a place.
    pub(super) fn is_at(&self, instance_id: &str, device: &str) -> bool {
        self.attached_to.as_deref() == Some(instance_id) && self.device.as_deref() == Some(device)
    }
}

/// Sizes, operations and throughput by type (Amazon EBS User Guide, "Amazon EBS volume types").
fn check_volume(volume: &Volume) -> Result<(), Refused> {
    let invalid = |what: String| Err(Refused::invalid("InvalidParameterValue", what));
    let (sizes, iops, throughput) = match volume.volume_type.as_str() {
        "gp3" => (1..=65_536, Some((false, 3_000..=80_000)), Some(125..=2_000)),
        "gp2" => (1..=16_384, None, None),
        "io1" => (4..=16_384, Some((true, 100..=64_000)), None),
        "io2" => (4..=65_536, Some((true, 100..=256_000)), None),
        "standard" => (1..=1_024, None, None),
        other => {
            return Err(Refused::invalid(
                "UnknownVolumeType",
                format!("unknown volume type '{other}'"),
            ));
        }
    };
    let kind = &volume.volume_type;
    if !sizes.contains(&volume.size) {
        return invalid(format!("a {kind} volume cannot have {} GiB", volume.size));
    }
    match (volume.iops, iops) {
        (None, Some((true, _))) => {
            return Err(Refused::invalid(
                "MissingParameter",
                format!("the parameter iops must be specified for {kind} volumes"),
            ));
        }
        (Some(wanted), Some((_, range))) if !range.contains(&wanted) => {
            return invalid(format!("volume iops of {wanted} is not valid for {kind}"));
        }
        (Some(_), None) => {
            return invalid(format!("the parameter iops is not supported for {kind}"));
        }
        _ => {}
    }
    match (volume.throughput, throughput) {
        (Some(wanted), Some(range)) if !range.contains(&wanted) => {
            invalid(format!("volume throughput of {wanted} is not valid for {kind}"))
        }
        (Some(_), None) => invalid(format!("the parameter throughput is not supported for {kind}")),
        _ => Ok(()),
    }
}
