//! Launch templates, client tokens and volumes: what EC2 checks, and what it surprisingly does not.

use super::iam::role;
use super::*;
use crate::cloud::CloudErrorKind;
use crate::resource::Volume;

#[test]
fn a_template_takes_any_content_and_the_proof_does_not() {
    let mut world = account(1);
    let mut data = template_data(&["sg-0".to_owned()]);
    data.iam_instance_profile_name = Some("nobody".to_owned());
    template(&mut world, "lt-name", data.clone());
    let prove = |version| Call::ProveLaunchTemplateVersion {
        launch_template_name: "lt-name".to_owned(),
        version,
        subnet_id: Some("subnet-a".to_owned()),
        network_interfaces: Vec::new(),
    };
    let error = make(&mut world, &prove(1)).unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.kind),
        ("InvalidParameterValue", CloudErrorKind::NotFound)
    );
    assert_eq!(refused(&mut world, &prove(2)), "InvalidLaunchTemplateId.VersionNotFound");
    let mut wanted = group("web", 0, 1, "a");
    wanted.launch_template_name = "lt-name".to_owned();
    assert_eq!(refused(&mut world, &create(wanted)), "ValidationError");

    let profile = "nobody".to_owned();
    make(
        &mut world,
        &Call::CreateInstanceProfile { instance_profile_name: profile, tags: Tags::new() },
    )
    .unwrap();
    assert_eq!(refused(&mut world, &prove(1)), "InvalidParameterValue", "a profile without role");
    make(&mut world, &Call::CreateRole { role: Box::new(role("r")) }).unwrap();
    let add = Call::AddRoleToInstanceProfile {
        instance_profile_name: "nobody".to_owned(),
        role_name: "r".to_owned(),
    };
    make(&mut world, &add).unwrap();
    assert_eq!(refused(&mut world, &add), "LimitExceeded", "also for the role that it holds");
    assert_eq!(refused(&mut world, &prove(1)), "InvalidGroup.NotFound");

    data.user_data = "x".repeat(16 * 1024 + 1);
    let big = Call::CreateLaunchTemplateVersion {
        launch_template_name: "lt-name".to_owned(),
        version_description: String::new(),
        data: Box::new(data),
        client_token: "t".to_owned(),
    };
    assert_eq!(refused(&mut world, &big), "InvalidUserData.Malformed");
}

#[test]
fn a_client_token_answers_once() {
    let mut world = account(1);
    let version = |user_data: &str, token: &str| Call::CreateLaunchTemplateVersion {
        launch_template_name: "lt".repeat(2),
        version_description: String::new(),
        data: Box::new(LaunchTemplateData {
            user_data: user_data.to_owned(),
            ..template_data(&[])
        }),
        client_token: token.to_owned(),
    };
    template(&mut world, "ltlt", template_data(&[]));
    let first = make(&mut world, &version("a", "t")).unwrap();
    assert_eq!(make(&mut world, &version("a", "t")).unwrap(), first);
    assert_eq!(refused(&mut world, &version("b", "t")), "IdempotentParameterMismatch");
    assert_eq!(make(&mut world, &version("a", "u")).unwrap().version, Some(3));

    // Even what was deleted since: nothing is made, and nobody is told.
    let one = interface(&mut world, "a", &[], "eni");
    make(&mut world, &Call::DeleteNetworkInterface { network_interface_id: id(&one) }).unwrap();
    assert_eq!(interface(&mut world, "a", &[], "eni"), one);
    assert_eq!(world.interfaces.iter().count(), 0);
    world.advance_secs(86_401);
    assert_ne!(id(&interface(&mut world, "a", &[], "eni")), id(&one));
}

#[test]
fn volumes_only_grow_and_only_one_change_at_a_time() {
    let mut world = account(1);
    let volume = Volume {
        availability_zone: "eu-west-3a".to_owned(),
        size: 20,
        volume_type: "gp3".to_owned(),
        iops: Some(3000),
        throughput: Some(125),
        encrypted: true,
        kms_key_id: None,
        tags: owner(),
    };
    let create = |volume: &Volume, token: &str| Call::CreateVolume {
        volume: Box::new(volume.clone()),
        client_token: token.to_owned(),
    };
    let elsewhere = Volume { availability_zone: "eu-west-3z".to_owned(), ..volume.clone() };
    assert_eq!(refused(&mut world, &create(&elsewhere, "x")), "InvalidZone.NotFound");
    let slow = Volume { iops: Some(100), ..volume.clone() };
    assert_eq!(refused(&mut world, &create(&slow, "y")), "InvalidParameterValue");
    let made = id(&make(&mut world, &create(&volume, "z")).unwrap());
    let modify = |size| Call::ModifyVolume {
        volume_id: made.clone(),
        size,
        volume_type: "gp3".to_owned(),
        iops: Some(3000),
        throughput: Some(125),
    };
    assert_eq!(refused(&mut world, &modify(19)), "InvalidParameterValue");
    make(&mut world, &modify(30)).unwrap();
    assert_eq!(refused(&mut world, &modify(40)), "IncorrectModificationState");
    world.advance_secs(60);
    make(&mut world, &modify(40)).unwrap();
}

#[test]
fn a_machine_has_one_volume_at_a_place_until_it_ends() {
    let mut world = account(1);
    template(&mut world, "web", template_data(&[]));
    make(&mut world, &create(group("web", 1, 1, "a"))).unwrap();
    world.advance_secs(120);
    let machine = world.machine_of("web").unwrap();
    let availability_zone = world.machines[&machine].availability_zone.clone();
    let mut volume = |token: &str| {
        let volume = Volume {
            availability_zone: availability_zone.clone(),
            size: 20,
            volume_type: "gp3".to_owned(),
            iops: None,
            throughput: None,
            encrypted: true,
            kms_key_id: None,
            tags: Tags::new(),
        };
        let client_token = token.to_owned();
        let made = make(&mut world, &Call::CreateVolume { volume: Box::new(volume), client_token });
        made.unwrap().attributes.into_values().next().unwrap()
    };
    let (one, other) = (volume("one"), volume("other"));
    world.attach_volume(&one, &machine, "/dev/sdf").unwrap();
    let refused = world.attach_volume(&other, &machine, "/dev/sdf").unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.kind),
        ("InvalidParameterValue", CloudErrorKind::Invalid)
    );
    world.attach_volume(&other, &machine, "/dev/sdg").unwrap();
    world.terminate_instance(&machine).unwrap();
    world.advance_secs(300);
    let next = world.machine_of("web").unwrap();
    world.attach_volume(&other, &next, "/dev/sdf").unwrap();
}
