//! Volumes and network interfaces: made once a token, held by what uses them.

use kprod::cloud::{Call, Cloud, CloudErrorKind};
use kprod::resource::{Attribute, Kind, NetworkInterface, Resource, Tags, Volume};

use super::{Scene, known, strings};

impl<C: Cloud> Scene<'_, C> {
    /// A volume in a zone (`a` to `c`), of the least performance.
    pub(super) fn plain_volume(&self, name: &str, zone: &str) -> Volume {
        let mut tags = self.tags();
        tags.insert("Name".to_owned(), name.to_owned());
        Volume {
            availability_zone: format!("{}{zone}", self.network().region),
            size: 20,
            volume_type: "gp3".to_owned(),
            iops: Some(3000),
            throughput: Some(125),
            encrypted: true,
            kms_key_id: None,
            tags,
        }
    }

    pub(super) fn create_volume(&self, volume: &Volume, token: &str) -> Call {
        Call::CreateVolume { volume: Box::new(volume.clone()), client_token: self.name(token) }
    }
}

pub(super) async fn volumes<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a.etcd-main");
    let mut volume = scene.plain_volume(&name, "a");
    let volume_id = scene.made(scene.create_volume(&volume, "token")).await;
    scene.shows(&name, &Resource::Volume(volume.clone())).await;
    assert_eq!(
        scene.made(scene.create_volume(&volume, "token")).await,
        volume_id,
        "a token makes one"
    );
    let bigger = Volume { size: 30, ..volume.clone() };
    let code = "IdempotentParameterMismatch";
    scene.refused(scene.create_volume(&bigger, "token"), CloudErrorKind::Invalid, code).await;
    let nowhere = Volume { availability_zone: "eu-nowhere-1a".to_owned(), ..volume.clone() };
    let code = "InvalidZone.NotFound";
    scene.refused(scene.create_volume(&nowhere, "nowhere"), CloudErrorKind::Invalid, code).await;

    let resize = |size: i32| Call::ModifyVolume {
        volume_id: volume_id.clone(),
        size,
        volume_type: "gp3".to_owned(),
        iops: Some(4000),
        throughput: Some(250),
    };
    scene.refused(resize(10), CloudErrorKind::Invalid, "InvalidParameterValue").await;
    scene.make(resize(30)).await;
    volume = Volume { size: 30, iops: Some(4000), throughput: Some(250), ..volume };
    volume.tags.insert("colour".to_owned(), "blue".to_owned());
    let tags = Tags::from([("colour".to_owned(), "blue".to_owned())]);
    scene.make(Call::CreateTags { resource_ids: [volume_id.clone()].into(), tags }).await;
    scene.shows(&name, &Resource::Volume(volume)).await;

    let delete = || Call::DeleteVolume { volume_id: volume_id.clone() };
    scene.make(delete()).await;
    scene.gone(Kind::Volume, &name).await;
    scene.refused(delete(), CloudErrorKind::NotFound, "InvalidVolume.NotFound").await;
}

pub(super) async fn interfaces<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let group = scene.security_group(&scene.name("group")).await;
    let other = scene.security_group(&scene.name("other")).await;
    let mut interface = NetworkInterface {
        subnet_id: scene.network().subnets[0].clone(),
        description: "contract".to_owned(),
        groups: [known(&group)].into(),
        tags: scene.tags(),
    };
    interface.tags.insert("Name".to_owned(), name.clone());
    let create = Call::CreateNetworkInterface {
        interface: Box::new(interface.clone()),
        client_token: scene.name("token"),
    };
    let reply = scene.make(create.clone()).await;
    let id = reply.attributes[&Attribute::Id].clone();
    let seen = scene.shows(&name, &Resource::NetworkInterface(interface.clone())).await;
    assert_eq!(seen.attributes, reply.attributes, "its address is told at once");
    assert_eq!(scene.make(create).await, reply, "a token makes one");

    let delete_group = Call::DeleteSecurityGroup { group_id: group.clone() };
    scene.refused(delete_group, CloudErrorKind::InUse, "DependencyViolation").await;
    scene
        .make(Call::ModifyNetworkInterfaceGroups {
            network_interface_id: id.clone(),
            groups: strings([&other]),
        })
        .await;
    scene
        .make(Call::ModifyNetworkInterfaceDescription {
            network_interface_id: id.clone(),
            description: "another".to_owned(),
        })
        .await;
    interface.groups = [known(&other)].into();
    interface.description = "another".to_owned();
    scene.shows(&name, &Resource::NetworkInterface(interface)).await;
    scene.delete_security_group(&group).await;

    let delete = || Call::DeleteNetworkInterface { network_interface_id: id.clone() };
    scene.make(delete()).await;
    scene.gone(Kind::NetworkInterface, &name).await;
    let code = "InvalidNetworkInterfaceID.NotFound";
    scene.refused(delete(), CloudErrorKind::NotFound, code).await;
    scene.delete_security_group(&other).await;
}
