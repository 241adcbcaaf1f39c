//! What is odd about the resources and their machines.

use std::collections::BTreeSet;

use super::{Examination, Symptom, Trouble};
use crate::plan::{self, Action, Change, Reason, describe_foreign};
use crate::resource::{Key, Kind, Resource};

/// Others' things under the names that the cluster wants.
pub(super) fn in_the_way(examination: &Examination<'_>) -> Vec<Symptom> {
    // Rules and listeners are somebody's because what holds them is.
    let is_part = |kind| matches!(kind, Kind::SecurityGroupRules | Kind::Listener);
    let foreign = examination.plan.foreign.iter();
    foreign
        .filter(|foreign| foreign.in_the_way && !is_part(foreign.address.kind))
        .map(|foreign| {
            let hint = match foreign.address.kind {
                Kind::DnsName => {
                    "remove the record if nobody needs it, or give the cluster \
                                  another name; a record of ours has its owner's TXT beside it"
                }
                _ => {
                    "remove it if nobody needs it, or give the cluster or the instance group \
                      another name"
                }
            };
            let mut message = describe_foreign(&foreign.why);
            if let Some(id) = &foreign.id {
                message.push_str(&format!(" ({id})"));
            }
            Symptom::new(Trouble::InTheWay, message, hint).of(&foreign.address)
        })
        .collect()
}

/// Owned things whose other half is missing: a run was killed between the two, or somebody removed
/// one of them.
pub(super) fn half_made(examination: &Examination<'_>) -> Vec<Symptom> {
    let begun = begun(examination);
    let changes = &examination.plan.changes;
    let hint = format!(
        "`kprod apply {0}` makes the rest; if the cluster is not wanted, `kprod destroy {0}` \
         removes what is there",
        examination.plan.cluster
    );
    let mut symptoms = Vec::new();
    for change in changes.iter().filter(|change| change.action == Action::Create) {
        for whole in wholes(change).into_iter().filter(|key| is_owned(examination, key)) {
            let message = format!("is there without its {}", change.address);
            symptoms.push(Symptom::new(Trouble::HalfMade, message, &hint).of(whole));
        }
    }
    for change in changes.iter().filter(|change| change.action == Action::Update) {
        if begun.contains(&change.address) {
            let fields: Vec<&str> = change.fields.iter().map(|field| field.path.as_str()).collect();
            let message = format!("the last run did not finish it: {}", fields.join(", "));
            symptoms.push(Symptom::new(Trouble::HalfMade, message, &hint).of(&change.address));
        }
    }
    symptoms
}

/// What the newest run began and did not end.
fn begun(examination: &Examination<'_>) -> BTreeSet<Key> {
    let unfinished = examination.journal.filter(|run| !run.is_done());
    unfinished.map(|run| run.unfinished().into_iter().collect()).unwrap_or_default()
}

/// What a missing thing is the other half of: never there without it once a run has ended.
fn wholes(change: &Change) -> Vec<Key> {
    let Some(after) = &change.after else { return Vec::new() };
    match after {
        Resource::SecurityGroupRules(_) => {
            vec![Key::new(Kind::SecurityGroup, &change.address.name)]
        }
        Resource::InstanceProfile(profile) => {
            profile.roles.iter().map(|role| Key::new(Kind::Role, role)).collect()
        }
        Resource::Listener(_) => {
            let balancer = change.address.name.rsplit_once(':').map(|(name, _)| name);
            balancer.map(|name| Key::new(Kind::LoadBalancer, name)).into_iter().collect()
        }
        Resource::AutoScalingGroup(group) => {
            vec![Key::new(Kind::LaunchTemplate, &group.launch_template_name)]
        }
        Resource::SecurityGroup(_)
        | Resource::Role(_)
        | Resource::LoadBalancer(_)
        | Resource::TargetGroup(_)
        | Resource::HostedZone(_)
        | Resource::DnsName(_)
        | Resource::Volume(_)
        | Resource::NetworkInterface(_)
        | Resource::Authority(_)
        | Resource::Epoch(_)
        | Resource::Asset(_)
        | Resource::LaunchTemplate(_) => Vec::new(),
    }
}

fn is_owned(examination: &Examination<'_>, key: &Key) -> bool {
    let found = examination.observation.resources.get(key);
    found.is_some_and(|found| found.ownership.is_owned())
}

/// Groups with fewer machines in service than they are to have.
pub(super) fn short_groups(examination: &Examination<'_>) -> Vec<Symptom> {
    let owned = examination.observation.resources.iter();
    owned
        .filter(|(_, found)| found.ownership.is_owned())
        .filter_map(|(key, found)| {
            let facts = found.group.as_ref()?;
            let message = facts.shortfall()?;
            Some(Symptom::new(Trouble::Machines, message, facts.way_out()).of(key))
        })
        .collect()
}

/// Authorities whose key is gone, or that are not what they should be. A lint tells of those that end.
pub(super) fn authorities(examination: &Examination<'_>) -> Vec<Symptom> {
    let told = plan::authorities_in_need(examination.observation).into_iter();
    told.filter(|(_, state)| !state.ends())
        .map(|(key, state)| {
            let way_out = state.authority_way_out();
            Symptom::new(Trouble::Certificate, state.to_string(), way_out).of(key)
        })
        .collect()
}

/// Owned things that the spec does not want.
pub(super) fn orphans(examination: &Examination<'_>) -> Vec<Symptom> {
    let plan = examination.plan;
    let is_orphan = |change: &&Change| change.reason == Reason::NotWanted;
    plan.changes
        .iter()
        .filter(is_orphan)
        .map(|change| {
            let address = &change.address;
            let named = match address.kind.is_data_bearing() {
                true => format!(" --delete {address}"),
                false => String::new(),
            };
            let message = match change.machine_count {
                0 => "carries the cluster's tag, and the spec does not want it".to_owned(),
                machines => format!(
                    "carries the cluster's tag with machines in it ({machines}), and the spec \
                     does not want it"
                ),
            };
            let hint = format!(
                "`kprod apply {} --allow-delete{named}` removes it; to keep it, take its tag \
                 {} away",
                plan.cluster,
                crate::resource::OWNER_TAG
            );
            Symptom::new(Trouble::Orphan, message, hint).of(address)
        })
        .collect()
}

/// Instances of the cluster that no group of it looks after: detached, or launched by hand.
pub(super) fn instances_without_a_group(examination: &Examination<'_>) -> Vec<Symptom> {
    let is_ours = |group: &str| is_owned(examination, &Key::new(Kind::AutoScalingGroup, group));
    let strays = examination.instances.iter();
    strays
        .filter(|instance| !instance.group.as_deref().is_some_and(is_ours))
        .map(|instance| {
            let message = match &instance.group {
                None => format!(
                    "an instance in {} ({}) that belongs to no group",
                    instance.availability_zone, instance.state
                ),
                Some(group) => format!(
                    "an instance in {} ({}) of the group {group}, which is not the cluster's",
                    instance.availability_zone, instance.state
                ),
            };
            let hint = "drain its node and terminate it, or attach it to its group; nobody else \
                        replaces or removes it";
            Symptom::new(Trouble::Orphan, message, hint).of(&instance.instance_id)
        })
        .collect()
}
