//! What a machine does for the etcd member that it hosts: takes its volume, says that it formatted it,
//! and completes its own launch.

use kprod::cloud::machine::{Hook, Launch, MemberVolume};
use kprod::cloud::{Call, Cloud, CloudError, CloudErrorKind, MachineCloud};
use kprod::resource::{AutoScalingGroup, FORMATTED_TAG, Kind, Resource};

use super::Scene;

impl<C: Cloud + MachineCloud> Scene<'_, C> {
    /// Looks until the volumes of a member are as a law wants them.
    async fn volumes(
        &self,
        member: &str,
        is_so: impl Fn(&[MemberVolume]) -> bool,
    ) -> Vec<MemberVolume> {
        let mut last = Vec::new();
        for _ in 0..super::LOOKS {
            last = self.stage.cloud.member_volumes(&self.cluster, "main", member).await.unwrap();
            if is_so(&last) {
                return last;
            }
            self.pause().await;
        }
        panic!("the volumes of {member} are never as wanted; at last {last:#?}");
    }

    /// Attaches a volume, which may be so fresh that AWS does not know it yet.
    async fn attach(&self, volume: &str, machine: &str) -> Result<(), CloudError> {
        for _ in 0..super::LOOKS {
            match self.stage.cloud.attach_volume(volume, machine, "/dev/sdf").await {
                Err(error) if error.kind == CloudErrorKind::NotFound => self.pause().await,
                made => return made,
            }
        }
        panic!("{volume} is never known");
    }

    async fn attach_refused(&self, volume: &str, machine: &str, kind: CloudErrorKind, code: &str) {
        let error = self.attach(volume, machine).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, code), "{error}");
    }
}

/// A volume is found by its member's tag, belongs to one machine at a time, and shows that it is
/// formatted.
pub(super) async fn volumes<C: Cloud + MachineCloud>(scene: &Scene<'_, C>) {
    let cloud = &scene.stage.cloud;
    let name = scene.name("host");
    let group = AutoScalingGroup { max_size: 2, ..scene.plain_group(&name, 2, 2) };
    let security_group = scene.make_group(&group).await;
    let machines = scene.serving(&name, 2).await;

    let volume = |zone: &str, member: &str| {
        let name = scene.name(&format!("{member}.etcd-main"));
        let mut volume = scene.plain_volume(&name, zone);
        volume.tags.insert("k8s.io/etcd/main".to_owned(), format!("{member}/a,ab,b"));
        (name, volume)
    };
    let (name_a, volume_a) = volume("a", "a");
    let id = scene.made(scene.create_volume(&volume_a, "a")).await;
    let (name_ab, volume_ab) = volume("b", "ab");
    let elsewhere = scene.made(scene.create_volume(&volume_ab, "ab")).await;
    let free = MemberVolume { volume_id: id.clone(), attached_to: None, formatted_by: None };
    scene.volumes("a", |found| found == [free.clone()]).await;
    scene.volumes("ab", |found| found.len() == 1 && found[0].volume_id == elsewhere).await;
    scene.volumes("b", <[MemberVolume]>::is_empty).await;

    let (invalid, in_use) = (CloudErrorKind::Invalid, CloudErrorKind::InUse);
    scene.attach_refused(&elsewhere, &machines[0], invalid, "InvalidVolume.ZoneMismatch").await;
    scene.attach(&id, &machines[0]).await.unwrap();
    let held = Some(machines[0].clone());
    scene.volumes("a", |found| found.len() == 1 && found[0].attached_to == held).await;
    for machine in &machines {
        scene.attach_refused(&id, machine, in_use, "VolumeInUse").await;
    }

    cloud.mark_formatted(&id, &machines[0]).await.unwrap();
    scene.volumes("a", |found| found.len() == 1 && found[0].formatted_by == held).await;
    let mut marked = volume_a;
    marked.tags.insert(FORMATTED_TAG.to_owned(), machines[0].clone());
    scene.shows(&name_a, &Resource::Volume(marked)).await;

    // The machine's end sets its volume free; nothing else does.
    scene.delete_group(&name, &security_group).await;
    scene.volumes("a", |found| found.len() == 1 && found[0].attached_to.is_none()).await;
    for (volume_id, name) in [(id, name_a), (elsewhere, name_ab)] {
        scene.make(Call::DeleteVolume { volume_id }).await;
        scene.gone(Kind::Volume, &name).await;
    }
}

/// A hook that waits for nobody is no failure.
pub(super) async fn launches<C: Cloud + MachineCloud>(scene: &Scene<'_, C>) {
    let name = scene.name("host");
    let security_group = scene.make_group(&scene.plain_group(&name, 1, 1)).await;
    let instance_id = scene.serving(&name, 1).await.remove(0);
    let launch = Launch {
        auto_scaling_group_name: name.clone(),
        hook: "kprod-etcd".to_owned(),
        instance_id,
    };
    assert_eq!(scene.stage.cloud.extend_launch(&launch).await, Ok(Hook::Gone));
    assert_eq!(scene.stage.cloud.complete_launch(&launch).await, Ok(Hook::Gone));
    scene.delete_group(&name, &security_group).await;
}
