//! The saved plan: what `plan --out` writes, `show` prints and `apply FILE` carries out.
//!
//! JSON with its own version. The bytes hold everything an apply needs: it never renders the spec
//! again, it only checks each change's precondition against the world.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::cloud::Query;
use crate::resource::Key;

/// `major.minor`. The minor number rises when a field is added, the major one when an older kprod
/// would carry out a newer plan wrongly.
pub const FORMAT_VERSION: &str = "1.0";

/// A plan with what it was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// The version of kprod that made it.
    pub kprod_version: String,
    /// Digest of the wanted resources, to tell whether a plan is of the spec at hand.
    pub spec_digest: String,
    /// What was looked for, for the apply to look again.
    pub query: Query,
    /// The plan; its findings are not saved.
    pub plan: Plan,
}

/// The outer form: read first, and on its own, so that an unknown version gives a clear answer.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    format_version: String,
    /// [`content_digest`] of the rest.
    digest: String,
    #[serde(flatten)]
    content: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    format_version: String,
}

/// Why bytes are not a plan that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    /// Not JSON, or JSON of something else.
    #[error("not a saved plan: {0}")]
    NotAPlan(String),
    /// From a kprod that writes another form.
    #[error(
        "saved plan has format version {found}, this kprod reads {FORMAT_VERSION}; make the plan \
         again with this version"
    )]
    UnknownVersion {
        /// The version it says.
        found: String,
    },
    /// Changed by hand: whoever approved it approved something else.
    #[error("saved plan was changed after it was made; make the plan again")]
    Changed,
    /// It cannot be carried out.
    #[error("saved plan makes no sense: {0}")]
    Inconsistent(String),
}

/// Digest of a set of wanted resources.
pub fn spec_digest(desired: &crate::resource::ResourceSet) -> String {
    let digests: Vec<(String, String)> =
        desired.iter().map(|(key, resource)| (key.to_string(), resource.digest())).collect();
    crate::resource::digest(&serde_json::json!(digests))
}

/// The bytes of a saved plan.
///
/// # Errors
/// Never for a plan made by [`super::make()`].
pub fn save(saved: &SavedPlan) -> Result<Vec<u8>, PlanFileError> {
    let digest = content_digest(saved)?;
    let envelope = Envelope { format_version: FORMAT_VERSION.to_owned(), digest, content: saved };
    let mut bytes = serde_json::to_vec_pretty(&envelope)
        .map_err(|error| PlanFileError::NotAPlan(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a saved plan.
///
/// # Errors
/// When the bytes are no plan, of an unknown major version, or inconsistent.
pub fn load(bytes: &[u8]) -> Result<SavedPlan, PlanFileError> {
    let not_a_plan = |error: serde_json::Error| PlanFileError::NotAPlan(error.to_string());
    let version: VersionOnly = serde_json::from_slice(bytes).map_err(not_a_plan)?;
    let major = |text: &str| text.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major(&version.format_version) != major(FORMAT_VERSION) {
        return Err(PlanFileError::UnknownVersion { found: version.format_version });
    }
    let envelope: Envelope<SavedPlan> = serde_json::from_slice(bytes).map_err(not_a_plan)?;
    // A newer minor version may hold fields that this kprod does not know, hence cannot digest.
    if version.format_version == FORMAT_VERSION
        && content_digest(&envelope.content)? != envelope.digest
    {
        return Err(PlanFileError::Changed);
    }
    check(&envelope.content.plan)?;
    Ok(envelope.content)
}

/// Guards against slips and edits, not against attackers: they can write a digest too.
fn content_digest(saved: &SavedPlan) -> Result<String, PlanFileError> {
    let value =
        serde_json::to_value(saved).map_err(|error| PlanFileError::NotAPlan(error.to_string()))?;
    Ok(crate::resource::digest(&value))
}

/// A cloud there is, and each change once, of the kind its address says, after what it depends on.
fn check(plan: &Plan) -> Result<(), PlanFileError> {
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !["sim", "aws"].contains(&plan.cloud.as_str()) {
        return Err(PlanFileError::Inconsistent(format!("`{}` is no cloud", plan.cloud)));
    }
    if !is_word(&plan.account) || !is_word(&plan.region) {
        return Err(PlanFileError::Inconsistent("account or region has a strange name".to_owned()));
    }
    let mut done: BTreeSet<&Key> = BTreeSet::new();
    for change in &plan.changes {
        let address = &change.address;
        let wrong = |what: &str| PlanFileError::Inconsistent(format!("{address} {what}"));
        let mut resources = change.before.iter().chain(&change.after);
        if resources.any(|resource| resource.kind() != address.kind) {
            return Err(wrong("holds a resource of another kind"));
        }
        if change.depends_on.iter().any(|need| !done.contains(need)) {
            return Err(wrong("stands before something it depends on"));
        }
        if !done.insert(address) {
            return Err(wrong("is changed twice"));
        }
    }
    Ok(())
}
