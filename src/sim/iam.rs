//! Roles, their policies, and instance profiles.

use std::collections::BTreeSet;

use serde_json::Value;

use super::lag::Shelf;
use super::{Answer, Refused, World, check_tags, is_made_of, merge_tags, reply};
use crate::cloud::Reply;
use crate::resource::{Attribute, InstanceProfile, Role, Tags};

/// Characters that IAM takes in names besides letters and digits.
const NAME_CHARACTERS: &str = "_+=,.@-";
/// All inline policies of a role together, white space apart (IAM quotas).
const INLINE_CHARACTERS_MAX: usize = 10_240;
/// A trust policy (IAM quotas).
const TRUST_CHARACTERS_MAX: usize = 2_048;
/// Managed policies attached to one role (IAM quotas).
const ATTACHED_MAX: usize = 10;

impl World {
    pub(super) fn create_role(&mut self, role: &Role) -> Answer {
        check_name(&role.role_name, 64)?;
        check_tags(role.tags.iter())?;
        check_trust(&role.assume_role_policy_document)?;
        if let Some(boundary) = &role.permissions_boundary {
            check_policy_arn(boundary)?;
        }
        // IAM names are unique whatever their case.
        if is_taken(&self.roles, &role.role_name) {
            return Err(Refused::exists(
                "EntityAlreadyExists",
                format!("role with name {} already exists", role.role_name),
            ));
        }
        let stored = Role {
            inline_policies: std::collections::BTreeMap::new(),
            attached_policy_arns: BTreeSet::new(),
            ..role.clone()
        };
        let visibility = self.visibility();
        self.roles.put(&role.role_name, stored, visibility);
        Ok(reply([(Attribute::Arn, self.role_arn(&role.role_name))]))
    }

    pub(super) fn update_trust(&mut self, role_name: &str, document: &Value) -> Answer {
        check_trust(document)?;
        self.change_role(role_name, |role| {
            role.assume_role_policy_document = document.clone();
            Ok(())
        })
    }

    pub(super) fn put_boundary(&mut self, role_name: &str, arn: &str) -> Answer {
        check_policy_arn(arn)?;
        self.change_role(role_name, |role| {
            role.permissions_boundary = Some(arn.to_owned());
            Ok(())
        })
    }

    pub(super) fn delete_boundary(&mut self, role_name: &str) -> Answer {
        self.change_role(role_name, |role| {
            role.permissions_boundary
                .take()
                .map(|_| ())
                .ok_or_else(|| no_such(format!("{role_name} has no permissions boundary")))
        })
    }

    pub(super) fn put_role_policy(
        &mut self,
        role_name: &str,
        policy_name: &str,
        document: &Value,
    ) -> Answer {
        check_name(policy_name, 128)?;
        check_document(document, false)?;
        self.change_role(role_name, |role| {
            role.inline_policies.insert(policy_name.to_owned(), document.clone());
            let characters: usize = role.inline_policies.values().map(characters).sum();
            if characters > INLINE_CHARACTERS_MAX {
                return Err(Refused::quota(
                    "LimitExceeded",
                    format!("maximum policy size of {INLINE_CHARACTERS_MAX} bytes exceeded"),
                ));
            }
            Ok(())
        })
    }

    pub(super) fn delete_role_policy(&mut self, role_name: &str, policy_name: &str) -> Answer {
        self.change_role(role_name, |role| {
            role.inline_policies.remove(policy_name).map(|_| ()).ok_or_else(|| {
                no_such(format!("the role policy with name {policy_name} cannot be found"))
            })
        })
    }

    pub(super) fn attach_role_policy(&mut self, role_name: &str, policy_arn: &str) -> Answer {
        check_policy_arn(policy_arn)?;
        self.change_role(role_name, |role| {
            // Attaching twice succeeds.
            role.attached_policy_arns.insert(policy_arn.to_owned());
            if role.attached_policy_arns.len() > ATTACHED_MAX {
                return Err(Refused::quota(
                    "LimitExceeded",
                    format!("cannot exceed quota for PoliciesPerRole: {ATTACHED_MAX}"),
                ));
            }
            Ok(())
        })
    }

    pub(super) fn detach_role_policy(&mut self, role_name: &str, policy_arn: &str) -> Answer {
        self.change_role(role_name, |role| {
            if role.attached_policy_arns.remove(policy_arn) {
                Ok(())
            } else {
                Err(no_such(format!("policy {policy_arn} was not found")))
            }
        })
    }

    pub(super) fn tag_role(&mut self, role_name: &str, tags: &Tags) -> Answer {
        self.change_role(role_name, |role| merge_tags(&mut role.tags, tags))
    }

    pub(super) fn untag_role(&mut self, role_name: &str, keys: &BTreeSet<String>) -> Answer {
        self.change_role(role_name, |role| {
            role.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
    }

    pub(super) fn delete_role(&mut self, role_name: &str) -> Answer {
        let role = self.role(role_name)?;
        let obstacle = if self.profiles.values().any(|known| known.roles.contains(role_name)) {
            Some("remove roles from instance profile first")
        } else if !role.inline_policies.is_empty() {
            Some("delete policies first")
        } else if !role.attached_policy_arns.is_empty() {
            Some("detach all policies first")
        } else {
            None
        };
        if let Some(obstacle) = obstacle {
            return Err(Refused::in_use(
                "DeleteConflict",
                format!("cannot delete entity, must {obstacle}"),
            ));
        }
        let visibility = self.visibility();
        self.roles.remove(role_name, visibility);
        Ok(Reply::default())
    }

    pub(super) fn create_profile(&mut self, name: &str, tags: &Tags) -> Answer {
        check_name(name, 128)?;
        check_tags(tags.iter())?;
        if is_taken(&self.profiles, name) {
            return Err(Refused::exists(
                "EntityAlreadyExists",
                format!("instance profile {name} already exists"),
            ));
        }
        let stored = InstanceProfile {
            instance_profile_name: name.to_owned(),
            roles: BTreeSet::new(),
            tags: tags.clone(),
        };
        let visibility = self.visibility();
        self.profiles.put(name, stored, visibility);
        Ok(reply([(Attribute::Arn, self.profile_arn(name))]))
    }

    pub(super) fn add_role_to_profile(&mut self, name: &str, role_name: &str) -> Answer {
        self.role(role_name)?;
        self.change_profile(name, |profile| {
            // Also when it holds this very role.
            if !profile.roles.is_empty() {
                return Err(Refused::quota(
                    "LimitExceeded",
                    "cannot exceed quota for InstanceSessionsPerInstanceProfile: 1",
                ));
            }
            profile.roles.insert(role_name.to_owned());
            Ok(())
        })
    }

    pub(super) fn remove_role_from_profile(&mut self, name: &str, role_name: &str) -> Answer {
        self.change_profile(name, |profile| {
            if profile.roles.remove(role_name) {
                Ok(())
            } else {
                Err(no_such(format!("role {role_name} in instance profile {name} cannot be found")))
            }
        })
    }

    pub(super) fn tag_profile(&mut self, name: &str, tags: &Tags) -> Answer {
        self.change_profile(name, |profile| merge_tags(&mut profile.tags, tags))
    }

    pub(super) fn untag_profile(&mut self, name: &str, keys: &BTreeSet<String>) -> Answer {
        self.change_profile(name, |profile| {
            profile.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
    }

    pub(super) fn delete_profile(&mut self, name: &str) -> Answer {
        if !self.profile(name)?.roles.is_empty() {
            return Err(Refused::in_use(
                "DeleteConflict",
                "cannot delete entity, must remove roles from instance profile first",
            ));
        }
        let visibility = self.visibility();
        self.profiles.remove(name, visibility);
        Ok(Reply::default())
    }

    pub(super) fn role_arn(&self, name: &str) -> String {
        format!("arn:aws:iam::{}:role/{name}", self.account)
    }

    pub(super) fn profile_arn(&self, name: &str) -> String {
        format!("arn:aws:iam::{}:instance-profile/{name}", self.account)
    }

    fn role(&self, name: &str) -> Result<Role, Refused> {
        self.roles
            .usable(name, self.now)
            .cloned()
            .ok_or_else(|| no_such(format!("the role with name {name} cannot be found")))
    }

    pub(super) fn profile(&self, name: &str) -> Result<InstanceProfile, Refused> {
        self.profiles
            .usable(name, self.now)
            .cloned()
            .ok_or_else(|| no_such(format!("instance profile {name} cannot be found")))
    }

    fn change_role(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Role) -> Result<(), Refused>,
    ) -> Answer {
        let mut role = self.role(name)?;
        change(&mut role)?;
        let visibility = self.visibility();
        self.roles.put(name, role, visibility);
        Ok(Reply::default())
    }

    fn change_profile(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut InstanceProfile) -> Result<(), Refused>,
    ) -> Answer {
        let mut profile = self.profile(name)?;
        change(&mut profile)?;
        let visibility = self.visibility();
        self.profiles.put(name, profile, visibility);
        Ok(Reply::default())
    }
}

fn no_such(message: String) -> Refused {
    Refused::not_found("NoSuchEntity", message)
}

fn is_taken<T: Clone>(shelf: &Shelf<T>, name: &str) -> bool {
    shelf.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
}

fn check_name(name: &str, length_max: usize) -> Result<(), Refused> {
    if !name.is_empty() && name.len() <= length_max && is_made_of(name, NAME_CHARACTERS) {
        return Ok(());
    }
    Err(Refused::invalid(
        "ValidationError",
        format!("names take 1 to {length_max} characters of a-z, A-Z, 0-9 and _+=,.@-: {name}"),
    ))
}

fn check_policy_arn(arn: &str) -> Result<(), Refused> {
    let is_arn = arn
        .strip_prefix("arn:aws")
        .and_then(|rest| rest.split_once(":iam::"))
        .is_some_and(|(_, rest)| rest.contains(":policy/"));
    if is_arn {
        return Ok(());
    }
    Err(Refused::invalid("ValidationError", format!("ARN {arn} is not valid")))
}

fn check_trust(document: &Value) -> Result<(), Refused> {
    check_document(document, true)?;
    if characters(document) > TRUST_CHARACTERS_MAX {
        return Err(Refused::quota(
            "LimitExceeded",
            format!("cannot exceed quota for ACLSizePerRole: {TRUST_CHARACTERS_MAX}"),
        ));
    }
    Ok(())
}

/// A policy needs a version and statements, each with an effect and an action, and with a principal
/// (trust) or a resource (permission), never both.
fn check_document(document: &Value, is_trust: bool) -> Result<(), Refused> {
    let malformed = |what: &str| Refused::invalid("MalformedPolicyDocument", what);
    let known_version = matches!(
        document.get("Version").and_then(Value::as_str),
        Some("2012-10-17" | "2008-10-17") | None
    );
    if !document.is_object() || !known_version {
        return Err(malformed("syntax errors in policy"));
    }
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.clone(),
        Some(statement @ Value::Object(_)) => vec![statement.clone()],
        _ => return Err(malformed("missing required field Statement")),
    };
    for statement in &statements {
        let has = |field: &str| statement.get(field).is_some();
        let effect = statement.get("Effect").and_then(Value::as_str);
        if !matches!(effect, Some("Allow" | "Deny")) {
            return Err(malformed("missing required field Effect"));
        }
        if !has("Action") && !has("NotAction") {
            return Err(malformed("policy statement must contain actions"));
        }
        if is_trust && (has("Resource") || !has("Principal")) {
            return Err(malformed("a trust policy has a principal and no resource"));
        }
        if !is_trust && (has("Principal") || !(has("Resource") || has("NotResource"))) {
            return Err(malformed("policy statement must contain resources and no principal"));
        }
    }
    Ok(())
}

/// The size that quotas count: characters without white space.
fn characters(document: &Value) -> usize {
    document.to_string().chars().filter(|c| !c.is_whitespace()).count()
}
