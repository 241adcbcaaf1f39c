//! Roles with their policies, and instance profiles.

use std::collections::{BTreeMap, BTreeSet};

use kprod::cloud::{Call, Cloud, CloudErrorKind};
use kprod::resource::{InstanceProfile, Kind, Resource, Role, Tags};
use serde_json::{Value, json};

use super::{Scene, strings};

impl<C: Cloud> Scene<'_, C> {
    fn role(&self, name: &str) -> Role {
        Role {
            role_name: name.to_owned(),
            assume_role_policy_document: trust("ec2.amazonaws.com"),
            permissions_boundary: None,
            inline_policies: BTreeMap::new(),
            attached_policy_arns: BTreeSet::new(),
            tags: self.tags(),
        }
    }

    /// A role and a profile of one name, the one in the other.
    pub(super) async fn profile_with_role(&self, name: &str) {
        self.make(Call::CreateRole { role: Box::new(self.role(name)) }).await;
        let instance_profile_name = name.to_owned();
        self.make(Call::CreateInstanceProfile { instance_profile_name, tags: self.tags() }).await;
        self.make(Call::AddRoleToInstanceProfile {
            instance_profile_name: name.to_owned(),
            role_name: name.to_owned(),
        })
        .await;
    }

    pub(super) async fn delete_profile_with_role(&self, name: &str) {
        self.make(Call::RemoveRoleFromInstanceProfile {
            instance_profile_name: name.to_owned(),
            role_name: name.to_owned(),
        })
        .await;
        let instance_profile_name = name.to_owned();
        self.make(Call::DeleteInstanceProfile { instance_profile_name }).await;
        self.make(Call::DeleteRole { role_name: name.to_owned() }).await;
    }
}

fn trust(service: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sts:AssumeRole",
        }],
    })
}

fn allows(action: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}],
    })
}

pub(super) async fn roles<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    let mut wanted = scene.role(&name);
    let arn = scene.made_arn(Call::CreateRole { role: Box::new(wanted.clone()) }).await;
    assert!(arn.ends_with(&format!(":role/{name}")), "{arn}");
    let again = Call::CreateRole { role: Box::new(wanted.clone()) };
    scene.refused(again, CloudErrorKind::AlreadyExists, "EntityAlreadyExists").await;

    let role_name = || name.clone();
    let policy_arn = || scene.network().policy_arn.clone();
    wanted.assume_role_policy_document = trust("lambda.amazonaws.com");
    let policy_document = wanted.assume_role_policy_document.clone();
    scene.make(Call::UpdateAssumeRolePolicy { role_name: role_name(), policy_document }).await;
    wanted.permissions_boundary = Some(policy_arn());
    let permissions_boundary = policy_arn();
    scene
        .make(Call::PutRolePermissionsBoundary { role_name: role_name(), permissions_boundary })
        .await;
    let policy_name = || "main".to_owned();
    for action in ["ec2:DescribeInstances", "ec2:DescribeTags"] {
        let policy_document = allows(action);
        wanted.inline_policies.insert(policy_name(), policy_document.clone());
        let (role_name, policy_name) = (role_name(), policy_name());
        scene.make(Call::PutRolePolicy { role_name, policy_name, policy_document }).await;
    }
    wanted.attached_policy_arns = strings([&scene.network().policy_arn]);
    for _ in 0..2 {
        let (role_name, policy_arn) = (role_name(), policy_arn());
        scene.make(Call::AttachRolePolicy { role_name, policy_arn }).await;
    }
    wanted.tags.insert("colour".to_owned(), "blue".to_owned());
    let tags = Tags::from([("colour".to_owned(), "blue".to_owned())]);
    scene.make(Call::TagRole { role_name: role_name(), tags }).await;
    wanted.tags.remove("Name");
    let keys = strings(["Name", "nobody"]);
    scene.make(Call::UntagRole { role_name: role_name(), keys }).await;
    scene.shows(&name, &Resource::Role(wanted)).await;

    let delete = || Call::DeleteRole { role_name: role_name() };
    scene.refused(delete(), CloudErrorKind::InUse, "DeleteConflict").await;
    let bare = [
        Call::DetachRolePolicy { role_name: role_name(), policy_arn: policy_arn() },
        Call::DeleteRolePolicy { role_name: role_name(), policy_name: policy_name() },
    ];
    for call in bare {
        scene.make(call.clone()).await;
        scene.refused(call, CloudErrorKind::NotFound, "NoSuchEntity").await;
    }
    scene.make(Call::DeleteRolePermissionsBoundary { role_name: role_name() }).await;
    scene.make(delete()).await;
    scene.gone(Kind::Role, &name).await;
    scene.refused(delete(), CloudErrorKind::NotFound, "NoSuchEntity").await;
    let tags = scene.tags();
    let tag = Call::TagRole { role_name: role_name(), tags };
    scene.refused(tag, CloudErrorKind::NotFound, "NoSuchEntity").await;
}

pub(super) async fn profiles<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("a");
    scene.profile_with_role(&name).await;
    let mut wanted = InstanceProfile {
        instance_profile_name: name.clone(),
        roles: strings([&name]),
        tags: scene.tags(),
    };
    scene.shows(&name, &Resource::InstanceProfile(wanted.clone())).await;
    let instance_profile_name = || name.clone();
    let again = Call::CreateInstanceProfile {
        instance_profile_name: instance_profile_name(),
        tags: scene.tags(),
    };
    scene.refused(again, CloudErrorKind::AlreadyExists, "EntityAlreadyExists").await;
    let second = Call::AddRoleToInstanceProfile {
        instance_profile_name: instance_profile_name(),
        role_name: name.clone(),
    };
    scene.refused(second, CloudErrorKind::QuotaReached, "LimitExceeded").await;

    wanted.tags.insert("colour".to_owned(), "blue".to_owned());
    let tags = Tags::from([("colour".to_owned(), "blue".to_owned())]);
    let instance_profile = instance_profile_name();
    scene.make(Call::TagInstanceProfile { instance_profile_name: instance_profile, tags }).await;
    wanted.tags.remove("Name");
    let keys = strings(["Name"]);
    let instance_profile = instance_profile_name();
    scene.make(Call::UntagInstanceProfile { instance_profile_name: instance_profile, keys }).await;
    scene.shows(&name, &Resource::InstanceProfile(wanted)).await;

    let delete = || Call::DeleteInstanceProfile { instance_profile_name: instance_profile_name() };
    scene.refused(delete(), CloudErrorKind::InUse, "DeleteConflict").await;
    let delete_role = Call::DeleteRole { role_name: name.clone() };
    scene.refused(delete_role, CloudErrorKind::InUse, "DeleteConflict").await;
    scene.delete_profile_with_role(&name).await;
    scene.gone(Kind::InstanceProfile, &name).await;
    scene.refused(delete(), CloudErrorKind::NotFound, "NoSuchEntity").await;
}
