//! Roles and instance profiles.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Tags;

/// An IAM role with its policies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Name, unique in the account; at most 64 characters.
    pub role_name: String,
    /// Who may assume it.
    pub assume_role_policy_document: Value,
    /// A policy that bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<String>,
    /// Inline policies by name.
    pub inline_policies: BTreeMap<String, Value>,
    /// ARNs of attached policies.
    pub attached_policy_arns: BTreeSet<String>,
    /// Tags.
    pub tags: Tags,
}

/// An IAM instance profile: what hands a role to a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Name, unique in the account.
    pub instance_profile_name: String,
    /// The role inside; empty when a run stopped between making the profile and filling it.
    pub roles: BTreeSet<String>,
    /// Tags.
    pub tags: Tags,
}
