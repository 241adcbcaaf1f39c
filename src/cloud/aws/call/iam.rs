//! IAM: roles, their policies, and instance profiles. Each function makes one call, once.

use std::collections::BTreeSet;

use aws_sdk_iam::types::Tag;
use serde_json::Value;

use super::{Answer, done, told};
use crate::cloud::CloudError;
use crate::cloud::aws::AwsCloud;
use crate::cloud::aws::error::unbuilt;
use crate::resource::{Attribute, Role, Tags};

/// Makes a role; its policies come after.
pub(super) async fn create_role(cloud: &AwsCloud, role: &Role) -> Answer {
    let operation = "CreateRole";
    let call = cloud
        .iam
        .create_role()
        .role_name(&role.role_name)
        .assume_role_policy_document(role.assume_role_policy_document.to_string())
        .set_permissions_boundary(role.permissions_boundary.clone())
        .set_tags(tag_list(operation, &role.tags)?);
    let answer = call.send().await.map_err(|error| cloud.failed(operation, error))?;
    Ok(told([(Attribute::Arn, answer.role().map(|role| role.arn()))]))
}

/// Replaces the trust policy.
pub(super) async fn update_assume_role_policy(
    cloud: &AwsCloud,
    role_name: &str,
    document: &Value,
) -> Answer {
    let call = cloud.iam.update_assume_role_policy().role_name(role_name);
    let answer = call.policy_document(document.to_string()).send().await;
    done(answer.map_err(|error| cloud.failed("UpdateAssumeRolePolicy", error)))
}

/// Sets the permissions boundary.
pub(super) async fn put_role_permissions_boundary(
    cloud: &AwsCloud,
    role_name: &str,
    boundary: &str,
) -> Answer {
    let call = cloud.iam.put_role_permissions_boundary().role_name(role_name);
    let answer = call.permissions_boundary(boundary).send().await;
    done(answer.map_err(|error| cloud.failed("PutRolePermissionsBoundary", error)))
}

/// Removes the permissions boundary.
pub(super) async fn delete_role_permissions_boundary(cloud: &AwsCloud, role_name: &str) -> Answer {
    let answer = cloud.iam.delete_role_permissions_boundary().role_name(role_name).send().await;
    done(answer.map_err(|error| cloud.failed("DeleteRolePermissionsBoundary", error)))
}

/// Writes one inline policy.
pub(super) async fn put_role_policy(
    cloud: &AwsCloud,
    role_name: &str,
    policy_name: &str,
    document: &Value,
) -> Answer {
    let call = cloud.iam.put_role_policy().role_name(role_name).policy_name(policy_name);
    let answer = call.policy_document(document.to_string()).send().await;
    done(answer.map_err(|error| cloud.failed("PutRolePolicy", error)))
}

/// Removes one inline policy.
pub(super) async fn delete_role_policy(
    cloud: &AwsCloud,
    role_name: &str,
    policy_name: &str,
) -> Answer {
    let call = cloud.iam.delete_role_policy().role_name(role_name).policy_name(policy_name);
    done(call.send().await.map_err(|error| cloud.failed("DeleteRolePolicy", error)))
}

/// Attaches a managed policy.
pub(super) async fn attach_role_policy(
    cloud: &AwsCloud,
    role_name: &str,
    policy_arn: &str,
) -> Answer {
    let call = cloud.iam.attach_role_policy().role_name(role_name).policy_arn(policy_arn);
    done(call.send().await.map_err(|error| cloud.failed("AttachRolePolicy", error)))
}

/// Detaches a managed policy.
pub(super) async fn detach_role_policy(
    cloud: &AwsCloud,
    role_name: &str,
    policy_arn: &str,
) -> Answer {
    let call = cloud.iam.detach_role_policy().role_name(role_name).policy_arn(policy_arn);
    done(call.send().await.map_err(|error| cloud.failed("DetachRolePolicy", error)))
}

/// Sets tags of a role.
pub(super) async fn tag_role(cloud: &AwsCloud, role_name: &str, tags: &Tags) -> Answer {
    let operation = "TagRole";
    let call = cloud.iam.tag_role().role_name(role_name).set_tags(tag_list(operation, tags)?);
    done(call.send().await.map_err(|error| cloud.failed(operation, error)))
}

/// Removes tags of a role.
pub(super) async fn untag_role(
    cloud: &AwsCloud,
    role_name: &str,
    keys: &BTreeSet<String>,
) -> Answer {
    let keys = keys.iter().cloned().collect();
    let answer = cloud.iam.untag_role().role_name(role_name).set_tag_keys(Some(keys)).send().await;
    done(answer.map_err(|error| cloud.failed("UntagRole", error)))
}

/// Removes a role.
pub(super) async fn delete_role(cloud: &AwsCloud, role_name: &str) -> Answer {
    let answer = cloud.iam.delete_role().role_name(role_name).send().await;
    done(answer.map_err(|error| cloud.failed("DeleteRole", error)))
}

/// Makes an empty instance profile.
pub(super) async fn create_instance_profile(cloud: &AwsCloud, name: &str, tags: &Tags) -> Answer {
    let operation = "CreateInstanceProfile";
    let call = cloud.iam.create_instance_profile().instance_profile_name(name);
    let answer = call.set_tags(tag_list(operation, tags)?).send().await;
    let answer = answer.map_err(|error| cloud.failed(operation, error))?;
    Ok(told([(Attribute::Arn, answer.instance_profile().map(|profile| profile.arn()))]))
}

/// Puts a role into a profile.
pub(super) async fn add_role_to_instance_profile(
    cloud: &AwsCloud,
    name: &str,
    role_name: &str,
) -> Answer {
    let call = cloud.iam.add_role_to_instance_profile().instance_profile_name(name);
    let answer = call.role_name(role_name).send().await;
    done(answer.map_err(|error| cloud.failed("AddRoleToInstanceProfile", error)))
}

/// Takes a role out of a profile.
pub(super) async fn remove_role_from_instance_profile(
    cloud: &AwsCloud,
    name: &str,
    role_name: &str,
) -> Answer {
    let call = cloud.iam.remove_role_from_instance_profile().instance_profile_name(name);
    let answer = call.role_name(role_name).send().await;
    done(answer.map_err(|error| cloud.failed("RemoveRoleFromInstanceProfile", error)))
}

/// Sets tags of a profile.
pub(super) async fn tag_instance_profile(cloud: &AwsCloud, name: &str, tags: &Tags) -> Answer {
    let operation = "TagInstanceProfile";
    let call = cloud.iam.tag_instance_profile().instance_profile_name(name);
    let answer = call.set_tags(tag_list(operation, tags)?).send().await;
    done(answer.map_err(|error| cloud.failed(operation, error)))
}

/// Removes tags of a profile.
pub(super) async fn untag_instance_profile(
    cloud: &AwsCloud,
    name: &str,
    keys: &BTreeSet<String>,
) -> Answer {
    let call = cloud.iam.untag_instance_profile().instance_profile_name(name);
    let answer = call.set_tag_keys(Some(keys.iter().cloned().collect())).send().await;
    done(answer.map_err(|error| cloud.failed("UntagInstanceProfile", error)))
}

/// Removes a profile.
pub(super) async fn delete_instance_profile(cloud: &AwsCloud, name: &str) -> Answer {
    let answer = cloud.iam.delete_instance_profile().instance_profile_name(name).send().await;
    done(answer.map_err(|error| cloud.failed("DeleteInstanceProfile", error)))
}

fn tag_list(operation: &'static str, tags: &Tags) -> Result<Option<Vec<Tag>>, CloudError> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    let tags: Result<Vec<Tag>, _> = tags.iter().map(tag).collect();
    tags.map(Some).map_err(|error| unbuilt(operation, &error))
}
