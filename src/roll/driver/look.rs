//! Looking: groups, machines, nodes and members become one observation.
//!
//! AWS is asked seldom, since each listing counts: a picture of the groups is kept, and made anew
//! when something says that it is out of date. The cluster tells of itself by watches.

mod assemble;
mod endings;
mod missing;
mod strangers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use self::assemble::Picture;
use super::edits::Edits;
use super::failure::kube_failure;
use crate::apply::failure::cloud_failure;
use crate::apply::lease::later;
use crate::apply::store_failure;
use crate::cloud::{Cloud, Instance, Observed, Query, TaggedInstance};
use crate::error::Failure;
use crate::etcd::Facts;
use crate::kube::Kube;
use crate::resource::{DETACHED_TAG, Key, Resource, read_target};
use crate::roll::observation::Memory;
use crate::roll::{
    Baseline, Forced, Group, Observation, Pause, Policy, Step, Target, TargetState, forced,
    members, pause,
};

/// What a run knows of the world, and how fresh that is.
pub struct Look<'a> {
    query: &'a Query,
    policy: &'a Policy,
    /// When this run began.
    pub(super) started_at: Timestamp,
    /// The roll's id.
    pub(super) id: String,
    /// The cluster before the roll.
    pub(super) baseline: Arc<Baseline>,
    /// What this run remembers.
    pub(super) memory: Memory,
    /// Its own writes.
    pub(super) edits: Edits,
    /// Whether the newest observation came with a picture of the cloud of its own.
    pub(super) is_new: bool,
    /// Whether the picture of the cloud is to be made anew.
    pub(super) is_stale: bool,
    /// When it was made.
    pub(super) seen_at: Timestamp,
    /// Groups and machines as they were put together last, while nothing they come from has changed.
    picture: Option<Picture>,
    groups: BTreeMap<String, Group>,
    members: BTreeMap<String, Vec<Instance>>,
    tagged: BTreeMap<String, TaggedInstance>,
    tagged_at: Option<Timestamp>,
    /// Whether a machine outside of a group may be gone: nobody sees its node serve.
    doubts_outside: bool,
    statuses: BTreeMap<String, String>,
    targets: BTreeMap<String, BTreeMap<String, TargetState>>,
    /// Revisions of versions by template, which never change.
    revisions: BTreeMap<String, BTreeMap<u64, Option<String>>>,
    /// When machines were first seen, for those whose launch nobody told.
    first_seen: BTreeMap<String, Timestamp>,
    /// Machines whose end this run knows the reason of, as far as AWS tells, by group and the tails of their ids.
    explained: BTreeMap<String, BTreeSet<String>>,
    /// Groups that were seen, and since when readings lack them.
    known: BTreeMap<String, Option<Timestamp>>,
    facts: Arc<Facts>,
    paused: Option<Pause>,
    /// The roll that is to replace every machine, as the state bucket has it.
    pub(super) forced: Option<Arc<Forced>>,
    api_unready: Option<String>,
}

/// Machines outside of groups are read again when the last reading is older than this.
const TAGGED_AGE_MAX: Duration = Duration::from_secs(1_800);

/// Machines boot in less: a group that lacks some for longer is asked why.
const LACKING_LONG: Duration = Duration::from_secs(120);

/// Looks once, as a run would that goes on with what an earlier one began.
///
/// # Errors
/// When the cloud, the cluster or the state bucket cannot be read.
pub async fn look<C: Cloud, K: Kube>(
    cloud: &C,
    kube: Option<&K>,
    query: &Query,
    policy: &Policy,
) -> Result<Observation, Failure> {
    let mut observation = Look::new(query, policy, cloud.now()).observe(cloud, kube).await?;
    observation.id = observation.unfinished().unwrap_or_default().to_owned();
    Ok(observation)
}

impl<'a> Look<'a> {
    /// Nothing was seen yet.
    pub fn new(query: &'a Query, policy: &'a Policy, now: Timestamp) -> Self {
        Self {
            query,
            policy,
            started_at: now,
            id: String::new(),
            baseline: Arc::default(),
            memory: Memory::default(),
            edits: Edits::default(),
            is_stale: true,
            is_new: false,
            seen_at: Timestamp::MIN,
            picture: None,
            groups: BTreeMap::new(),
            members: BTreeMap::new(),
            tagged: BTreeMap::new(),
            tagged_at: None,
            doubts_outside: false,
            statuses: BTreeMap::new(),
            targets: BTreeMap::new(),
            revisions: BTreeMap::new(),
            first_seen: BTreeMap::new(),
            explained: BTreeMap::new(),
            known: BTreeMap::new(),
            facts: Arc::default(),
            paused: None,
            forced: None,
            api_unready: None,
        }
    }

    /// One observation; AWS is asked only for what is out of date.
    ///
    /// # Errors
    /// When something cannot be read.
    pub async fn observe<C: Cloud, K: Kube>(
        &mut self,
        cloud: &C,
        kube: Option<&K>,
    ) -> Result<Observation, Failure> {
        let view = match kube {
            Some(kube) => Some(kube.view().await.map_err(|error| kube_failure(&error))?),
            None => None,
        };
        self.is_new = self.is_stale;
        if self.is_stale {
            self.read_forced(cloud).await?;
            self.read_cloud(cloud).await?;
            self.read_members(cloud).await?;
            self.read_pause(cloud).await?;
            self.api_unready = match kube.filter(|_| self.rolls_quorum()) {
                Some(kube) => kube.ready().await.err().map(|error| error.message),
                None => None,
            };
        }
        Ok(self.assemble(cloud.now(), view))
    }

    /// Reads what members report; cheap, and asked often while the guard waits.
    pub(super) async fn read_members<C: Cloud>(&mut self, cloud: &C) -> Result<(), Failure> {
        if self.rolls_quorum() {
            let cluster = &self.query.cluster;
            let found = members::read(cloud, cluster, &self.policy.topology, &self.facts).await;
            self.facts = Arc::new(found.map_err(|error| store_failure(&error, cluster))?);
        }
        Ok(())
    }

    /// Whether machines that the guard watches may be replaced: only then members matter.
    fn rolls_quorum(&self) -> bool {
        self.groups.iter().any(|(name, group)| {
            let is_quorum = self.policy.groups.get(name).is_some_and(|p| p.role.is_quorum());
            is_quorum && (group.mark.is_some() || self.needs_work(group))
        })
    }

    /// Whether a group has machines that are not from its target, as far as numbers tell.
    fn needs_work(&self, group: &Group) -> bool {
        let members = self.members.get(&group.name).map(Vec::as_slice).unwrap_or_default();
        let target = group.target.as_ref().map(|target| target.version);
        self.policy.force
            || self.policy.repair.is_some()
            || group.pin != target
            || members.iter().any(|m| m.launch_template_version != target)
            || members.iter().any(|m| m.lifecycle_state != "InService")
    }

    async fn read_cloud<C: Cloud>(&mut self, cloud: &C) -> Result<(), Failure> {
        self.outdate();
        let at = cloud.now();
        let is_first = self.seen_at == Timestamp::MIN;
        let brief = !is_first && !self.lacks_for_long(at);
        let query = Query { brief, ..self.query.clone() };
        let found = cloud.groups(&query).await.map_err(|error| cloud_failure(&error, false))?;
        self.take_groups(&found);
        self.note_missing(at);
        self.seen_at = at;
        self.is_stale = false;
        self.read_endings(cloud).await?;
        self.read_tagged(cloud, at).await?;
        self.read_revisions(cloud).await?;
        self.read_targets(cloud).await?;
        if self.policy.repair.is_some() {
            let ids = self.members.values().flatten().map(|m| m.instance_id.clone()).collect();
            let statuses = cloud.statuses(&ids).await;
            self.statuses = statuses.map_err(|error| cloud_failure(&error, false))?;
        }
        Ok(())
    }

    /// Whether some group waits for its machines for so long that the reason is worth a call.
    fn lacks_for_long(&self, now: Timestamp) -> bool {
        self.memory.lacking_since.values().any(|it| later(it.since, LACKING_LONG) <= now)
    }

    fn take_groups(&mut self, found: &BTreeMap<Key, Observed>) {
        self.groups.clear();
        self.members.clear();
        for observed in found.values().filter(|observed| observed.ownership.is_owned()) {
            let (Resource::AutoScalingGroup(group), Some(facts)) =
                (&observed.resource, &observed.group)
            else {
                continue;
            };
            let name = group.auto_scaling_group_name.clone();
            let arns = group.target_group_arns.iter().filter_map(|arn| arn.known());
            self.members.insert(name.clone(), facts.instances.clone());
            self.groups.insert(
                name.clone(),
                Group {
                    name,
                    launch_template_name: group.launch_template_name.clone(),
                    mixed_instances_policy: group.mixed_instances_policy.clone(),
                    desired: facts.desired_capacity,
                    min: group.min_size,
                    max: group.max_size,
                    pin: facts.pin,
                    pin_revision: None,
                    target: group.target.known().and_then(target_of),
                    failed: facts.failed_revision.clone(),
                    mark: facts.mark.as_ref().and_then(|mark| mark.parse().ok()),
                    is_unmarked: false,
                    suspended: group.suspended_processes.clone(),
                    target_group_arns: arns.map(str::to_owned).collect(),
                    failed_activity: facts.failed_activity.clone(),
                    abandoned_at: facts.abandoned_at.clone(),
                    is_machines_fault: facts.is_machines_fault(),
                    way_out: facts.failed_activity.as_ref().map(|_| facts.way_out()),
                    is_gone: false,
                },
            );
        }
    }

    /// Machines outside of groups, and when all were launched: at first, and while some are outside.
    async fn read_tagged<C: Cloud>(&mut self, cloud: &C, now: Timestamp) -> Result<(), Failure> {
        let is_outside = |m: &TaggedInstance| m.tags.contains_key(DETACHED_TAG);
        let has_outside = self.tagged.values().any(is_outside) || self.edits.detaches();
        let goes = |m: &TaggedInstance| is_outside(m) && m.state == "shutting-down";
        let is_old = self.doubts_outside
            || self.tagged.values().any(goes)
            || self.tagged_at.is_none_or(|at| {
                later(at, TAGGED_AGE_MAX) <= now || self.edits.ends_outside_unseen(at)
            });
        if self.tagged_at.is_some() && !(has_outside && is_old) {
            return Ok(());
        }
        let found = cloud.instances(&self.query.cluster).await;
        let found = found.map_err(|error| cloud_failure(&error, false))?;
        self.take_tagged(found, now);
        Ok(())
    }

    /// Takes in what was read of machines, with this run's own notes, which it may not show yet.
    fn take_tagged(&mut self, found: Vec<TaggedInstance>, now: Timestamp) {
        self.tagged = found.into_iter().map(|m| (m.instance_id.clone(), m)).collect();
        self.tagged_at = Some(now);
        for step in self.edits.hidden(now) {
            self.note(&step);
        }
    }

    /// Groups and machines are not what they were put together from any more.
    pub(super) fn outdate(&mut self) {
        self.picture = None;
    }

    /// Notes what a step that was just made tells, so that it need not be read.
    pub(super) fn note(&mut self, step: &Step) {
        self.outdate();
        self.note_endings(step);
        let (machines, mark) = match step {
            Step::MarkDetached { machines, mark } => (machines, Some(mark.to_string())),
            Step::UnmarkDetached { machines } => (machines, None),
            _ => return,
        };
        for id in machines {
            let Some(known) = self.tagged.get_mut(id) else {
                self.tagged_at = None;
                continue;
            };
            match &mark {
                Some(mark) => known.tags.insert(DETACHED_TAG.to_owned(), mark.clone()),
                None => known.tags.remove(DETACHED_TAG),
            };
        }
    }

    /// A step failed: what it was about is read anew, machines outside of groups among it.
    pub(super) fn doubt(&mut self) {
        self.is_stale = true;
        self.tagged_at = None;
    }

    /// Revisions of versions that a number does not tell: none that were read before.
    async fn read_revisions<C: Cloud>(&mut self, cloud: &C) -> Result<(), Failure> {
        let mut wanted: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for group in self.groups.values() {
            let template = &group.launch_template_name;
            if let Some(target) = &group.target {
                let known = self.revisions.entry(template.clone()).or_default();
                known.insert(target.version, Some(target.revision.clone()));
            }
            let members = self.members.get(&group.name).into_iter().flatten();
            let outside = self.tagged.values().filter(|m| detached_from(m) == Some(&group.name));
            let versions = members.filter_map(|m| m.launch_template_version);
            let known = self.revisions.get(template);
            for version in versions.chain(outside.filter_map(|m| m.version)).chain(group.pin) {
                if !known.is_some_and(|known| known.contains_key(&version)) {
                    wanted.entry(template.clone()).or_default().insert(version);
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let found = cloud.versions(&wanted).await;
        let found = found.map_err(|error| cloud_failure(&error, false))?;
        for (template, versions) in wanted {
            for version in versions {
                let facts = found.get(&template).and_then(|known| known.get(&version));
                let revision = facts.and_then(|facts| facts.revision.clone());
                self.revisions.entry(template.clone()).or_default().insert(version, revision);
            }
        }
        Ok(())
    }

    /// What load balancers do with machines, of groups that are worked on.
    async fn read_targets<C: Cloud>(&mut self, cloud: &C) -> Result<(), Failure> {
        let rolled = self.groups.values().filter(|group| group.mark.is_some());
        let arns: BTreeSet<String> =
            rolled.flat_map(|group| group.target_group_arns.iter().cloned()).collect();
        if arns.is_empty() {
            return Ok(());
        }
        let found = cloud.targets(&arns).await.map_err(|error| cloud_failure(&error, false))?;
        self.targets = found;
        Ok(())
    }

    /// Once, where every machine is to go, or what was begun is undone: whoever holds the lease alone writes it.
    async fn read_forced<C: Cloud>(&mut self, cloud: &C) -> Result<(), Failure> {
        let matters = self.policy.force || self.policy.abort;
        if matters && self.seen_at == Timestamp::MIN {
            self.forced = forced::read(cloud, &self.query.cluster).await?.map(Arc::new);
        }
        Ok(())
    }

    async fn read_pause<C: Cloud>(&mut self, cloud: &C) -> Result<(), Failure> {
        self.paused = pause::read(cloud, &self.query.cluster).await?;
        Ok(())
    }
}

fn target_of(text: &str) -> Option<Target> {
    let (version, revision) = read_target(text)?;
    Some(Target { version, revision: revision.to_owned() })
}

fn detached_from(found: &TaggedInstance) -> Option<&str> {
    let (group, _) = found.tags.get(DETACHED_TAG)?.rsplit_once(' ')?;
    Some(group)
}
