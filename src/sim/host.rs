//! What a simulated machine that hosts an etcd member does with its volume.

use super::{Refused, World};
use crate::cloud::CloudError;
use crate::cloud::machine::{MemberVolume, member_tag};
use crate::resource::{FORMATTED_TAG, OWNER_TAG};

impl World {
    /// The machine of a group of one that is up, the newest if there are several.
    pub fn machine_of(&mut self, group: &str) -> Option<String> {
        self.pass_call_time();
        let up = self.members(group).filter(|machine| machine.is_up());
        let newest = up.max_by_key(|machine| (machine.launched_at, machine.instance_id.clone()));
        newest.map(|machine| machine.instance_id.clone())
    }

    /// The volumes of an etcd member.
    pub fn member_volumes(&mut self, cluster: &str, etcd: &str, member: &str) -> Vec<MemberVolume> {
        self.pass_call_time();
        self.record("DescribeVolumes", false, "ok");
        let (tag, begin) = member_tag(etcd, member);
        let seen = self.volumes.ids().filter_map(|id| self.volumes.by_tag(id, self.now));
        let of_member = seen.filter(|stored| {
            let tags = &stored.volume.tags;
            tags.get(OWNER_TAG).is_some_and(|owner| owner == cluster)
                && tags.get(&tag).is_some_and(|value| value.starts_with(&begin))
        });
        let told = of_member.map(|stored| MemberVolume {
            volume_id: stored.volume_id.clone(),
            attached_to: stored.attached_to.clone(),
            formatted_by: stored.volume.tags.get(FORMATTED_TAG).cloned(),
        });
        told.collect()
    }

    /// Attaches a volume.
    ///
    /// # Errors
    /// When a machine holds it, the machine has another one there, or one of the two is not there or
    /// elsewhere.
    pub fn attach_volume(
        &mut self,
        volume_id: &str,
        instance_id: &str,
        device: &str,
    ) -> Result<(), CloudError> {
        self.pass_call_time();
        let made = self.try_attach(volume_id, instance_id, device);
        let code = made.as_ref().map_or_else(|refused| refused.code.clone(), |()| "ok".to_owned());
        self.record("AttachVolume", true, &code);
        made.map_err(|refused| refused.into_error("AttachVolume"))
    }

    fn try_attach(
        &mut self,
        volume_id: &str,
        instance_id: &str,
        device: &str,
    ) -> Result<(), Refused> {
        let stored = self.volume(volume_id)?;
        if stored.attached_to.is_some() {
            let message = format!("{volume_id} is already attached to an instance");
            return Err(Refused::in_use("VolumeInUse", message));
        }
        let Some(machine) = self.machines.get(instance_id) else {
            let message = format!("the instance ID '{instance_id}' does not exist");
            return Err(Refused::not_found("InvalidInstanceID.NotFound", message));
        };
        if machine.availability_zone != stored.volume.availability_zone {
            let message = format!("the volume '{volume_id}' is not in the instance's zone");
            return Err(Refused::invalid("InvalidVolume.ZoneMismatch", message));
        }
        if self.volumes.values().any(|other| other.is_at(instance_id, device)) {
            let message = format!(
                "invalid value '{device}' for unixDevice: attachment point {device} is already in use"
            );
            return Err(Refused::invalid("InvalidParameterValue", message));
        }
        self.volumes.edit(volume_id, |known| known.attach(instance_id, device));
        Ok(())
    }

    /// Notes on a volume that it is formatted.
    ///
    /// # Errors
    /// When there is no such volume.
    pub fn mark_formatted(&mut self, volume_id: &str, value: &str) -> Result<(), CloudError> {
        self.pass_call_time();
        self.record("CreateTags", true, "ok");
        let mut stored =
            self.volume(volume_id).map_err(|refused| refused.into_error("CreateTags"))?;
        stored.volume.tags.insert(FORMATTED_TAG.to_owned(), value.to_owned());
        let visibility = self.visibility();
        self.volumes.put(volume_id, stored, visibility);
        Ok(())
    }
}
