//! The plan: everything an apply will do, in order, with the reason for each change and each
//! machine. It leaves no choice to the executor.

//!
//! [`make()`] compares wanted with observed, [`versions_to_read`] says which launch template versions
//! it wants to see first, [`precondition_holds`] is asked again right before each change.

mod classify;
mod compare;
pub mod file;
mod guard;
mod hold;
mod make;
mod order;
mod path;
mod precondition;
mod rollout;
mod select;
mod standing;
mod template;
mod unfinished;

use std::collections::BTreeSet;

pub use compare::removes_tag;
pub use guard::{LOST_EPOCH_WAY_OUT, etcd_remains};
pub use hold::{Held, Leaving, hold};
pub use make::{PlanOptions, describe_foreign, make};
pub use precondition::{precondition, precondition_holds};
pub use standing::authorities_in_need;
pub use template::{existing_version, merge_versions, versions_to_read};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cloud::Foreignness;
use crate::finding::Finding;
use crate::resource::{Key, Resource, Rule};

/// What happens to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is removed and made again.
    Replace,
    /// It is removed.
    Delete,
    /// Nothing.
    NoOp,
}

impl Action {
    /// The sign before a change in the text of a plan.
    pub fn symbol(self) -> &'static str {
        match self {
            Action::Create => "+",
            Action::Update => "~",
            Action::Replace => "-/+",
            Action::Delete => "-",
            Action::NoOp => "",
        }
    }
}

/// Why a resource changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is wanted and not there.
    NotThere,
    /// The spec asks for something else than the last apply did.
    SpecChanged,
    /// The spec asks for the same; somebody changed the cloud.
    Drifted,
    /// It differs, and nothing tells who moved: the kind carries no digest.
    Differs,
    /// It follows another change of this plan: what it refers to is made, or made again.
    Follows,
    /// A field that cannot be changed in place differs.
    CannotUpdate,
    /// It is ours and no longer wanted.
    NotWanted,
    /// The whole cluster goes.
    Destroy,
}

/// What it costs to change a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldClass {
    /// Nothing else is touched.
    InPlace,
    /// Machines are drained first.
    DrainsFirst,
    /// Machines are replaced, one by one, by a rolling update.
    RollsMachines,
    /// The resource is removed and made again.
    ReplacesResource,
    /// Refused; the plan names the way out.
    Forbidden,
}

/// One field of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Path in the resource, such as `launch_template_data.image_id` or `tags["env"]`.
    pub path: String,
    /// What is there; `None` when the field is absent.
    pub before: Option<Value>,
    /// What is wanted; `None` when the field goes. Unknown values are `${address:attribute}`.
    pub after: Option<Value>,
    /// What it costs.
    pub class: FieldClass,
}

/// One change of one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Which resource.
    pub address: Key,
    /// What happens.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The resource as observed.
    pub before: Option<Resource>,
    /// The resource as wanted; what is only known after apply stays a reference.
    pub after: Option<Resource>,
    /// The fields that differ; empty for creates and deletes.
    pub fields: Vec<FieldChange>,
    /// Paths in `after` that are only known after apply.
    pub unknown: BTreeSet<String>,
    /// Changes of this plan that come first.
    pub depends_on: BTreeSet<Key>,
    /// Fields of `before` that the plan did not read; their values there mean nothing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unread: BTreeSet<String>,
    /// Digest of what this change assumes of the world: the observed resource, or its absence.
    /// Checked again right before the change is made.
    pub precondition: String,
    /// [`Resource::digest`] of the resource as wanted, references in symbols: what the last call of
    /// this change writes to [`crate::resource::DIGEST_TAG`]. None for a delete.
    #[serde(default)]
    pub digest: Option<String>,
    /// For a launch template: the version that holds the wanted content already, so that none has
    /// to be made (an earlier run was killed after making it, or the spec went back).
    #[serde(default)]
    pub existing_version: Option<u64>,
    /// For a group: the machines it has now.
    #[serde(default)]
    pub machine_count: usize,
}

/// A resource with the wanted or the cluster's name that is not ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignResource {
    /// Which.
    pub address: Key,
    /// Its id, where AWS gave one.
    pub id: Option<String>,
    /// Why it is foreign.
    pub why: Foreignness,
    /// Whether the spec wants a resource of this address, so that it stands in the way.
    pub in_the_way: bool,
}

/// Rules that others keep in one of our security groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignRules {
    /// Our rule set of that group.
    pub address: Key,
    /// Their rules; they stay.
    pub rules: BTreeSet<Rule>,
}

/// Machines that a rolling update would replace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// One entry per group with machines to replace, in rolling order.
    pub groups: Vec<GroupRollout>,
}

impl Rollout {
    /// How many machines would be replaced.
    pub fn machine_count(&self) -> usize {
        self.groups.iter().map(|group| group.machines.len()).sum()
    }
}

/// Machines of one group that would be replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRollout {
    /// The group.
    pub address: Key,
    /// Its launch template's name.
    pub launch_template_name: String,
    /// The machines: id and zone.
    pub machines: Vec<MachineToReplace>,
    /// The fields that cause it, before and after.
    pub causes: Vec<FieldChange>,
}

/// One machine that would be replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MachineToReplace {
    /// Its instance id.
    pub instance_id: String,
    /// Its zone.
    pub availability_zone: String,
    /// The template version it runs; none when attached by hand.
    pub version: Option<u64>,
}

/// Something that a guard does not allow: the plan can be read but not applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which guard: `foreign`, `delete`, `data`, `machines`, `forbidden_field`,
    /// `failed_revision`, `in_use`, `lost_authority`, `lost_epoch`, `no_program`, `address`, `cycle`.
    pub guard: String,
    /// The resource, if it is about one.
    pub address: Option<Key>,
    /// What is refused.
    pub message: String,
    /// The way out.
    pub hint: String,
}

impl Refusal {
    /// The guard that keeps what was rolled back from being tried again.
    pub const FAILED_REVISION: &str = "failed_revision";

    /// Whether it is about content that a rolling update has tried and put back: nothing but other
    /// content or `--retry` is a way out.
    pub fn is_failed_revision(&self) -> bool {
        self.guard == Self::FAILED_REVISION
    }
}

/// A plan for one cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The cluster.
    pub cluster: String,
    /// `sim` or `aws`.
    pub cloud: String,
    /// The account it is for.
    pub account: String,
    /// The region it is for.
    pub region: String,
    /// When the world was observed, RFC 3339.
    pub observed_at: String,
    /// The addresses that the plan was limited to; empty for a plan of everything.
    #[serde(default)]
    pub only: BTreeSet<Key>,
    /// Changes in an order that respects every dependency; no no-ops.
    pub changes: Vec<Change>,
    /// Resources that are as wanted.
    pub unchanged_count: usize,
    /// Resources that are not ours.
    pub foreign: Vec<ForeignResource>,
    /// Rules that are not ours.
    pub foreign_rules: Vec<ForeignRules>,
    /// What a rolling update would replace once this plan is applied.
    pub rollout: Rollout,
    /// What stands against applying it.
    pub refusals: Vec<Refusal>,
    /// Remarks that do not stop it.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

impl Plan {
    /// Whether an apply would do anything, or a rolling update is due.
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty() || self.rollout.machine_count() > 0
    }

    /// Whether the plan itself is wrong, and not only unwelcome: it was limited to an address that
    /// nobody knows, or its changes wait for each other.
    pub fn is_errored(&self) -> bool {
        self.refusals.iter().any(|refusal| ["address", "cycle"].contains(&refusal.guard.as_str()))
    }

    /// How many changes have this action.
    pub fn count(&self, action: Action) -> usize {
        self.changes.iter().filter(|change| change.action == action).count()
    }

    /// Whether `apply` would carry it out: there is something to do and no guard says no.
    pub fn is_applyable(&self) -> bool {
        !self.changes.is_empty() && self.refusals.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
