//! Launch templates: versions are made once a token, read back as written, and proven.

use std::collections::{BTreeMap, BTreeSet};

use kprod::cloud::{Call, Cloud, CloudErrorKind};
use kprod::resource::{
    Attribute, BlockDeviceMapping, InstanceMarketOptions, Key, Kind, LaunchTemplateData,
    LaunchTemplateInterface, MetadataOptions, Tags,
};

use super::{Scene, known};

impl<C: Cloud> Scene<'_, C> {
    /// Content that can launch: an image, a type, an interface in a security group.
    pub(super) fn content(&self, security_group: &str) -> LaunchTemplateData {
        LaunchTemplateData {
            image_id: self.network().image.clone(),
            instance_type: "m6i.large".to_owned(),
            iam_instance_profile_name: None,
            iam_instance_profile_arn: None,
            key_name: None,
            user_data: "#cloud-config".to_owned(),
            block_device_mappings: Vec::new(),
            network_interfaces: vec![LaunchTemplateInterface {
                device_index: 0,
                network_interface_id: None,
                associate_public_ip_address: Some(false),
                groups: [known(security_group)].into(),
                delete_on_termination: true,
            }],
            metadata_options: MetadataOptions {
                http_tokens: "required".to_owned(),
                http_put_response_hop_limit: 2,
            },
            monitoring_enabled: false,
            ebs_optimized: None,
            tenancy: None,
            cpu_credits: None,
            instance_market_options: None,
            private_dns_hostname_type: None,
            tag_specifications: BTreeMap::from([("instance".to_owned(), self.tags())]),
        }
    }

    /// The call that makes a template, with a token of its own.
    pub(super) fn create_template(&self, name: &str, data: &LaunchTemplateData) -> Call {
        Call::CreateLaunchTemplate {
            launch_template_name: name.to_owned(),
            version_description: data.revision(),
            data: Box::new(data.clone()),
            tags: self.tags(),
            client_token: token(name),
        }
    }

    pub(super) fn create_version(&self, name: &str, data: &LaunchTemplateData) -> Call {
        Call::CreateLaunchTemplateVersion {
            launch_template_name: name.to_owned(),
            version_description: data.revision(),
            data: Box::new(data.clone()),
            client_token: token(&data.content_digest()),
        }
    }

    /// Looks until a version is read back as it was written.
    async fn reads_back(&self, name: &str, version: u64, data: &LaunchTemplateData) {
        let wanted = BTreeMap::from([(name.to_owned(), BTreeSet::from([version]))]);
        let mut last = None;
        for _ in 0..super::LOOKS {
            let mut read = self.stage.cloud.versions(&wanted).await.unwrap();
            last = read.remove(name).and_then(|mut versions| versions.remove(&version));
            if let Some(found) = &last {
                assert_eq!(found.data, *data);
                assert_eq!(found.revision, Some(data.revision()));
                return;
            }
            self.pause().await;
        }
        panic!("version {version} of {name} is never read: {last:?}");
    }

    pub(super) async fn delete_template(&self, name: &str) {
        let launch_template_name = name.to_owned();
        self.make(Call::DeleteLaunchTemplate { launch_template_name }).await;
    }
}

/// Tokens take 64 characters.
fn token(of: &str) -> String {
    format!("t-{}", kprod::resource::digest(&of.into()))
}

pub(super) async fn templates<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let data = scene.content("sg-0123456789abcdef0");
    let reply = scene.make(scene.create_template(&name, &data)).await;
    assert_eq!(reply.version, Some(1));
    assert_eq!(scene.make(scene.create_template(&name, &data)).await, reply, "a token makes one");
    let other = LaunchTemplateData { user_data: "other".to_owned(), ..data.clone() };
    let mismatch = scene.create_template(&name, &other);
    scene.refused(mismatch, CloudErrorKind::Invalid, "IdempotentParameterMismatch").await;
    let mut again = scene.create_template(&name, &data);
    if let Call::CreateLaunchTemplate { client_token, .. } = &mut again {
        *client_token = token("again");
    }
    let code = "InvalidLaunchTemplateName.AlreadyExistsException";
    scene.refused(again, CloudErrorKind::AlreadyExists, code).await;

    let second = scene.make(scene.create_version(&name, &other)).await;
    assert_eq!((second.version, &second.attributes), (Some(2), &reply.attributes));
    assert_eq!(scene.make(scene.create_version(&name, &other)).await, second);
    scene.reads_back(&name, 1, &data).await;
    scene.reads_back(&name, 2, &other).await;
    let key = Key::new(Kind::LaunchTemplate, name.as_str());
    let latest = |seen: &kprod::cloud::Observed| seen.template.as_ref().unwrap().latest_version;
    let seen = scene.see(&key, |seen| latest(seen) == 2).await;
    assert_eq!(seen.resource.tags(), Some(scene.tags()));
    assert_eq!(seen.attributes[&Attribute::Id], reply.attributes[&Attribute::Id]);

    scene.delete_template(&name).await;
    scene.gone(Kind::LaunchTemplate, &name).await;
    let code = "InvalidLaunchTemplateName.NotFoundException";
    let delete = Call::DeleteLaunchTemplate { launch_template_name: name.clone() };
    scene.refused(delete, CloudErrorKind::NotFound, code).await;
    scene.refused(scene.create_version(&name, &data), CloudErrorKind::NotFound, code).await;
}

/// AWS checks next to nothing of a version, so everything that one holds can be written at once.
pub(super) async fn every_field_of_a_template<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let bare = LaunchTemplateData {
        user_data: String::new(),
        tag_specifications: BTreeMap::new(),
        ..scene.content("sg-0123456789abcdef0")
    };
    let disk = BlockDeviceMapping {
        device_name: "/dev/xvda".to_owned(),
        volume_size: 64,
        volume_type: "gp3".to_owned(),
        iops: Some(4000),
        throughput: Some(250),
        encrypted: true,
        kms_key_id: Some("arn:aws:kms:eu-west-3:123456789012:key/1".to_owned()),
        delete_on_termination: true,
    };
    let plain = BlockDeviceMapping {
        device_name: "/dev/xvdb".to_owned(),
        volume_type: "gp2".to_owned(),
        iops: None,
        throughput: None,
        encrypted: false,
        kms_key_id: None,
        delete_on_termination: false,
        ..disk.clone()
    };
    let full = LaunchTemplateData {
        iam_instance_profile_name: Some("nodes".to_owned()),
        key_name: Some("admin".to_owned()),
        user_data: "#!/bin/sh\necho '\u{fc}' \"$1\" & exit 0\n".to_owned(),
        block_device_mappings: vec![disk, plain],
        monitoring_enabled: true,
        ebs_optimized: Some(true),
        tenancy: Some("dedicated".to_owned()),
        cpu_credits: Some("unlimited".to_owned()),
        instance_market_options: Some(InstanceMarketOptions {
            max_price: "0.25".to_owned(),
            instance_interruption_behavior: Some("terminate".to_owned()),
        }),
        private_dns_hostname_type: Some("resource-name".to_owned()),
        tag_specifications: BTreeMap::from([
            ("instance".to_owned(), scene.tags()),
            ("volume".to_owned(), Tags::from([("a b".to_owned(), "c & d".to_owned())])),
        ]),
        ..bare.clone()
    };
    let fixed = LaunchTemplateData {
        iam_instance_profile_arn: Some("arn:aws:iam::123456789012:instance-profile/n".to_owned()),
        network_interfaces: vec![LaunchTemplateInterface {
            device_index: 0,
            network_interface_id: Some(known("eni-0123456789abcdef0")),
            associate_public_ip_address: None,
            groups: BTreeSet::new(),
            delete_on_termination: false,
        }],
        ..bare.clone()
    };
    scene.make(scene.create_template(&name, &bare)).await;
    scene.make(scene.create_version(&name, &full)).await;
    scene.make(scene.create_version(&name, &fixed)).await;
    for (version, data) in [(1, &bare), (2, &full), (3, &fixed)] {
        scene.reads_back(&name, version, data).await;
    }
    scene.delete_template(&name).await;
}

pub(super) async fn proof<C: Cloud>(scene: &Scene<'_, C>) {
    let (name, profile) = (scene.name("a"), scene.name("nodes"));
    let group = scene.security_group(&scene.name("group")).await;
    let data = LaunchTemplateData {
        iam_instance_profile_name: Some(profile.clone()),
        ..scene.content(&group)
    };
    scene.make(scene.create_template(&name, &data)).await;
    let prove = |name: &str, version, data: &LaunchTemplateData| Call::ProveLaunchTemplateVersion {
        launch_template_name: name.to_owned(),
        version,
        subnet_id: Some(scene.network().subnets[0].clone()),
        network_interfaces: data.network_interfaces.clone(),
    };
    // Who passes over what is not there yet passes over what never comes, so both are one kind.
    let unknown = CloudErrorKind::NotFound;
    let nobody = scene.name("nobody");
    let code = "InvalidLaunchTemplateName.NotFoundException";
    scene.refused(prove(&nobody, 1, &data), unknown, code).await;
    let code = "InvalidLaunchTemplateId.VersionNotFound";
    scene.refused(prove(&name, 9, &data), unknown, code).await;
    scene.refused(prove(&name, 1, &data), unknown, "InvalidParameterValue").await;

    scene.profile_with_role(&profile).await;
    scene.make(prove(&name, 1, &data)).await;
    let missing = LaunchTemplateData { image_id: "ami-0".to_owned(), ..data.clone() };
    scene.make(scene.create_version(&name, &missing)).await;
    let code = "InvalidAMIID.Malformed";
    scene.refused(prove(&name, 2, &missing), CloudErrorKind::Invalid, code).await;

    scene.delete_template(&name).await;
    scene.delete_profile_with_role(&profile).await;
    scene.delete_security_group(&group).await;
}
