//! A machine's own view of the simulated account.

use super::{SimCloud, unusable};
use crate::cloud::machine::{Hook, Launch, MachineCloud, MemberVolume};
use crate::cloud::{CloudError, CloudErrorKind};

impl MachineCloud for SimCloud {
    async fn this_instance(&self, group: &str) -> Result<String, CloudError> {
        let found = self.live(|world| world.machine_of(group)).await;
        let found = found.map_err(|error| unusable(&error, "InstanceMetadata"))?;
        found.ok_or_else(|| {
            let message = format!("the simulated group {group} has no machine that is up");
            CloudError::new(CloudErrorKind::NotFound, "InstanceMetadata", "NoMachine", message)
        })
    }

    async fn member_volumes(
        &self,
        cluster: &str,
        etcd: &str,
        member: &str,
    ) -> Result<Vec<MemberVolume>, CloudError> {
        let found = self.live(|world| world.member_volumes(cluster, etcd, member)).await;
        found.map_err(|error| unusable(&error, "DescribeVolumes"))
    }

    async fn attach_volume(
        &self,
        volume_id: &str,
        instance_id: &str,
        device: &str,
    ) -> Result<(), CloudError> {
        let made = self.live(|world| world.attach_volume(volume_id, instance_id, device)).await;
        made.map_err(|error| unusable(&error, "AttachVolume"))?
    }

    async fn mark_formatted(&self, volume_id: &str, value: &str) -> Result<(), CloudError> {
        let made = self.live(|world| world.mark_formatted(volume_id, value)).await;
        made.map_err(|error| unusable(&error, "CreateTags"))?
    }

    /// Simulated machines complete their hooks by themselves.
    async fn extend_launch(&self, _launch: &Launch) -> Result<Hook, CloudError> {
        Ok(Hook::Gone)
    }

    async fn complete_launch(&self, _launch: &Launch) -> Result<Hook, CloudError> {
        Ok(Hook::Gone)
    }
}
