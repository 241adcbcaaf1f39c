//! Steps: what one change asks of AWS, as calls in an order that is safe to stop anywhere.
//!
//! Pure: a change, what is there now, and what is wanted with every reference resolved. Because
//! steps come from what is *there*, and not from what was there when the plan was made, the same
//! function finishes a change that an earlier run began.

mod asset;
mod authority;
mod balancer;
pub(super) mod batch;
mod dns;
mod epoch;
mod group;
mod iam;
mod security;
mod storage;
pub(super) mod template;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::cloud::{Call, Observed, Reply};
use crate::plan::{Action, Change, Reason, removes_tag};
use crate::resource::{
    Attribute, DIGEST_TAG, Key, LaunchTemplateInterface, Resource, Tags, digest,
};

/// What AWS decided about the resource that a change makes, as far as its replies told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Id, ARN and so on.
    pub attributes: BTreeMap<Attribute, String>,
    /// The launch template version made last.
    pub version: Option<u64>,
}

impl Own {
    /// Takes over what a reply says.
    pub fn learn(&mut self, reply: &Reply) {
        self.attributes.extend(reply.attributes.clone());
        if reply.version.is_some() {
            self.version = reply.version;
        }
    }

    fn get(&self, attribute: Attribute) -> Result<String, StepError> {
        self.attributes.get(&attribute).cloned().ok_or(StepError::Untold(attribute.as_str()))
    }

    fn version(&self) -> Result<u64, StepError> {
        self.version.ok_or(StepError::Untold("version"))
    }
}

/// Why a step cannot be taken; none of these has touched anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// A promise that nobody has kept yet.
    #[error("`{0}` is not known yet")]
    Unresolved(String),
    /// No reply told it.
    #[error("AWS gave no {0} for it")]
    Untold(&'static str),
    /// It differs, and AWS cannot change it in place.
    #[error("`{0}` cannot be changed in place")]
    Immutable(&'static str),
    /// The change does not hold what its action needs, as in a plan file written by hand.
    #[error("the plan's change does not say {0}")]
    Incomplete(&'static str),
}

type MakeCall = dyn Fn(&Own) -> Result<Call, StepError> + Send + Sync;

/// One call of a change; some need an id that an earlier step of the same change learns.
pub struct Step(Box<MakeCall>);

impl Step {
    fn ready(call: Call) -> Self {
        Self(Box::new(move |_| Ok(call.clone())))
    }

    fn with_own(make: impl Fn(&Own) -> Result<Call, StepError> + Send + Sync + 'static) -> Self {
        Self(Box::new(make))
    }

    /// The call, given what the change's replies told so far.
    ///
    /// # Errors
    /// When a reply left out what the call needs.
    pub fn call(&self, own: &Own) -> Result<Call, StepError> {
        (self.0)(own)
    }
}

/// What steps need to know besides the resource itself.
#[derive(Clone, Debug)]
pub struct StepContext<'a> {
    /// The cluster, for owner marks and tokens.
    pub cluster: &'a str,
    /// The change's resource.
    pub address: &'a Key,
    /// Digest of the resource as wanted, references in symbols: [`DIGEST_TAG`].
    pub digest: String,
    /// The whole cluster goes: groups go with their machines.
    pub destroys: bool,
    /// How often the resource was removed before: what is made again gets a token of its own.
    pub incarnation: u64,
    /// This run made the security group whose rules these are, and AWS put its default rule there.
    pub parent_is_new: bool,
    /// Interfaces of the launch template that a group launches from, as far as this plan wants them;
    /// for the proof of its version.
    pub launch_interfaces: Vec<LaunchTemplateInterface>,
}

impl<'a> StepContext<'a> {
    /// The context of a change of a plan for `cluster`.
    pub fn new(cluster: &'a str, change: &'a Change) -> Self {
        Self {
            cluster,
            address: &change.address,
            digest: change.digest.clone().unwrap_or_default(),
            destroys: change.reason == Reason::Destroy,
            incarnation: 0,
            parent_is_new: false,
            launch_interfaces: Vec::new(),
        }
    }

    /// The client token of what is made for this resource with this content: a repeated call, in
    /// this run or the next, makes it once.
    fn token(&self, content: &str) -> String {
        let address = self.address.to_string();
        let hash = digest(&json!([self.cluster, address, self.incarnation, content]));
        format!("kprod-{hash}")
    }

    fn with_digest(&self, tags: &Tags) -> Tags {
        let mut tags = tags.clone();
        tags.insert(DIGEST_TAG.to_owned(), self.digest.clone());
        tags
    }
}

/// The calls that take a resource from what is observed to what is wanted.
///
/// A create that finds the resource there becomes an update, an update of what is gone a create:
/// what counts is the world, the action only tells removal from making.
///
/// # Errors
/// When `after` still holds a reference, or when something differs that AWS cannot change.
pub fn steps(
    change: &Change,
    observed: Option<&Observed>,
    after: Option<&Resource>,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    if let Some(after) = after
        && let Some(key) = after.references().first()
    {
        return Err(StepError::Unresolved(key.to_string()));
    }
    let wanted = || after.ok_or(StepError::Incomplete("what is wanted"));
    match change.action {
        Action::NoOp => Ok(Vec::new()),
        Action::Delete => observed.map_or(Ok(Vec::new()), |o| delete(o, context)),
        Action::Create | Action::Update => match observed {
            None => create(wanted()?, context),
            Some(observed) => update(observed, wanted()?, context),
        },
        Action::Replace => {
            let Some(observed) = observed else { return create(wanted()?, context) };
            match update(observed, wanted()?, context) {
                // The old one is gone already: an earlier run got that far.
                Ok(steps) => Ok(steps),
                Err(StepError::Immutable(_)) => {
                    let mut steps = delete(observed, context)?;
                    steps.extend(create(wanted()?, context)?);
                    Ok(steps)
                }
                Err(error) => Err(error),
            }
        }
    }
}

fn create(after: &Resource, context: &StepContext<'_>) -> Result<Vec<Step>, StepError> {
    match after {
        Resource::SecurityGroup(r) => Ok(security::create_group(r, context)),
        Resource::SecurityGroupRules(r) => security::update_rules(r, None, context),
        Resource::Role(r) => Ok(iam::create_role(r, context)),
        Resource::InstanceProfile(r) => Ok(iam::create_profile(r, context)),
        Resource::LoadBalancer(r) => Ok(balancer::create_load_balancer(r, context)),
        Resource::TargetGroup(r) => Ok(balancer::create_target_group(r, context)),
        Resource::Listener(r) => Ok(balancer::create_listener(r)),
        Resource::HostedZone(r) => Ok(dns::create_zone(r, context)),
        Resource::DnsName(r) => dns::update_name(r, None, context),
        Resource::Volume(r) => Ok(storage::create_volume(r, context)),
        Resource::NetworkInterface(r) => Ok(storage::create_interface(r, context)),
        Resource::Authority(r) => Ok(authority::create(r, context)),
        Resource::Epoch(r) => Ok(epoch::create(r)),
        Resource::Asset(r) => Ok(asset::create(r)),
        Resource::LaunchTemplate(r) => Ok(template::create(r, context)),
        Resource::AutoScalingGroup(r) => group::create(r, context),
    }
}

fn update(
    observed: &Observed,
    after: &Resource,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    let now = with_unread(observed, after, context);
    match (&now, after) {
        (Resource::SecurityGroup(now), Resource::SecurityGroup(r)) => {
            security::update_group(now, r, observed, context)
        }
        (Resource::SecurityGroupRules(_), Resource::SecurityGroupRules(r)) => {
            security::update_rules(r, Some(observed), context)
        }
        (Resource::Role(now), Resource::Role(r)) => Ok(iam::update_role(now, r, observed, context)),
        (Resource::InstanceProfile(now), Resource::InstanceProfile(r)) => {
            Ok(iam::update_profile(now, r, observed, context))
        }
        (Resource::LoadBalancer(now), Resource::LoadBalancer(r)) => {
            balancer::update_load_balancer(now, r, observed, context)
        }
        (Resource::TargetGroup(now), Resource::TargetGroup(r)) => {
            balancer::update_target_group(now, r, observed, context)
        }
        (Resource::Listener(now), Resource::Listener(r)) => {
            balancer::update_listener(now, r, observed)
        }
        (Resource::HostedZone(now), Resource::HostedZone(r)) => {
            dns::update_zone(now, r, observed, context)
        }
        (Resource::DnsName(now), Resource::DnsName(r)) => dns::update_name(r, Some(now), context),
        (Resource::Volume(now), Resource::Volume(r)) => {
            storage::update_volume(now, r, observed, context)
        }
        (Resource::NetworkInterface(now), Resource::NetworkInterface(r)) => {
            storage::update_interface(now, r, observed, context)
        }
        (Resource::Authority(now), Resource::Authority(r)) => authority::finish(now, r, context),
        (Resource::Epoch(now), Resource::Epoch(r)) => epoch::keep(now, r),
        (Resource::Asset(now), Resource::Asset(r)) => asset::keep(now, r),
        (Resource::LaunchTemplate(now), Resource::LaunchTemplate(r)) => {
            template::update(now, r, observed, context)
        }
        (Resource::AutoScalingGroup(now), Resource::AutoScalingGroup(r)) => {
            group::update(now, r, observed, context)
        }
        _ => Err(StepError::Incomplete("a resource of the address's kind")),
    }
}

fn delete(observed: &Observed, context: &StepContext<'_>) -> Result<Vec<Step>, StepError> {
    match &observed.resource {
        Resource::SecurityGroup(_) => security::delete_group(observed),
        Resource::SecurityGroupRules(r) => security::delete_rules(r),
        Resource::Role(r) => Ok(iam::delete_role(r)),
        Resource::InstanceProfile(r) => Ok(iam::delete_profile(r)),
        Resource::LoadBalancer(r) => balancer::delete_load_balancer(r, observed, context),
        Resource::TargetGroup(_) => balancer::delete_target_group(observed),
        Resource::Listener(_) => balancer::delete_listener(observed),
        Resource::HostedZone(_) => dns::delete_zone(observed),
        Resource::DnsName(r) => dns::delete_name(r),
        Resource::Volume(_) => storage::delete_volume(observed),
        Resource::NetworkInterface(_) => storage::delete_interface(observed),
        Resource::Authority(r) => Ok(authority::delete(r)),
        Resource::Epoch(r) => Ok(epoch::delete(r)),
        Resource::Asset(r) => Ok(asset::delete(r)),
        Resource::LaunchTemplate(r) => Ok(template::delete(r)),
        Resource::AutoScalingGroup(r) => Ok(group::delete(r, context)),
    }
}

/// The resource as observed. Fields that were not read count as wanted when the digest says that the
/// last apply wrote them so, and as different otherwise. Where the tags were not read, the digest
/// among them, all that can be said is that they came with the create call.
fn with_unread(observed: &Observed, after: &Resource, context: &StepContext<'_>) -> Resource {
    let is_written = tags_unread(observed) || observed.digest.as_ref() == Some(&context.digest);
    if observed.unread.is_empty() || !is_written {
        return observed.resource.clone();
    }
    let (mut now, wanted) = (observed.resource.to_value(), after.to_value());
    for field in &observed.unread {
        // A field that is not set is not in the value at all.
        match (now.as_object_mut(), wanted.get(field)) {
            (Some(now), Some(value)) => now.insert(field.clone(), value.clone()),
            (Some(now), None) => now.remove(field),
            (None, _) => None,
        };
    }
    Resource::from_value(after.kind(), now).unwrap_or_else(|_| observed.resource.clone())
}

fn tags_unread(observed: &Observed) -> bool {
    observed.unread.contains("tags")
}

/// An attribute of a resource that is there.
fn told(observed: &Observed, attribute: Attribute) -> Result<String, StepError> {
    observed.attributes.get(&attribute).cloned().ok_or(StepError::Untold(attribute.as_str()))
}

/// The tags to set and the keys to remove.
#[derive(Debug, Default, PartialEq, Eq)]
struct TagEdit {
    set: Tags,
    remove: BTreeSet<String>,
}

impl TagEdit {
    /// What turns the tags of a resource into the wanted ones, digest included. Others' tags
    /// stay, as the plan says.
    fn between(now: &Tags, wanted: &Tags, observed: &Observed, context: &StepContext<'_>) -> Self {
        let mut set: Tags = wanted
            .iter()
            .filter(|(key, value)| now.get(*key) != Some(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !tags_unread(observed) && observed.digest.as_ref() != Some(&context.digest) {
            set.insert(DIGEST_TAG.to_owned(), context.digest.clone());
        }
        let remove = now
            .keys()
            .filter(|key| !wanted.contains_key(*key) && removes_tag(key))
            .cloned()
            .collect();
        Self { set, remove }
    }

    /// The edit of an EC2 resource.
    fn ec2_steps(self, resource_id: &str) -> Vec<Step> {
        self.steps(
            |tags| Call::CreateTags { resource_ids: [resource_id.to_owned()].into(), tags },
            |keys| Call::DeleteTags { resource_ids: [resource_id.to_owned()].into(), keys },
        )
    }

    /// Set first, then remove: a resource never goes without its owner.
    fn steps(
        self,
        set: impl Fn(Tags) -> Call,
        remove: impl Fn(BTreeSet<String>) -> Call,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.set.is_empty() {
            steps.push(Step::ready(set(self.set)));
        }
        if !self.remove.is_empty() {
            steps.push(Step::ready(remove(self.remove)));
        }
        steps
    }
}

/// Refuses a difference that AWS cannot make up.
fn immutable<T: PartialEq>(field: &'static str, now: &T, wanted: &T) -> Result<(), StepError> {
    if now == wanted { Ok(()) } else { Err(StepError::Immutable(field)) }
}

#[cfg(test)]
mod tests;
