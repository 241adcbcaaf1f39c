//! What is there, from what was read.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Sight;
use crate::cloud::{Observation, Observed};
use crate::etcd::{Epoch, Facts, Limits, MemberFact, MemberRole, Topology};
use crate::resource::{Attribute, Key, Kind};

/// All that was read at a moment.
pub(super) struct Seen<'a> {
    pub(super) epochs: BTreeMap<String, Epoch>,
    pub(super) observation: &'a Observation,
    pub(super) facts: &'a Facts,
    pub(super) now: Timestamp,
    pub(super) gives_up: bool,
}

impl Seen<'_> {
    /// What that means for a restore; `wanted` are the addresses that members' volumes should have.
    pub(super) fn sight(self, topology: &Topology, wanted: &BTreeSet<Key>) -> Sight {
        let mut hosts: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        let mut well = BTreeMap::new();
        let serving = serving(self.observation);
        for (etcd, members) in &topology.clusters {
            for (member, place) in &members.members {
                let name = (etcd.clone(), member.clone());
                hosts.entry(place.group.clone()).or_default().insert(name.clone());
                let fact = self.facts.get(etcd).and_then(|members| members.get(member));
                if let (Some(fact), Some(epoch)) = (fact, self.epochs.get(etcd))
                    && self.says_well(fact, epoch)
                    && serving.contains(fact.report.instance_id.as_str())
                {
                    well.insert(name, fact.report.instance_id.clone());
                }
            }
        }
        let (machines, ending) = machines(self.observation);
        let (volumes, wanted) = (volumes(self.observation), wanted.clone());
        let Self { epochs, gives_up, .. } = self;
        Sight { epochs, volumes, wanted, machines, ending, hosts, well, gives_up }
    }

    /// Whether a member has said lately that it is well, as one of the epoch's members, all of whom vote.
    fn says_well(&self, fact: &MemberFact, epoch: &Epoch) -> bool {
        let MemberFact { report, written_at, .. } = fact;
        let age = self.now.duration_since(*written_at);
        let is_young = age.unsigned_abs() <= Limits::REPORT_AGE_MAX;
        let all_vote = report.members.keys().eq(epoch.members.keys())
            && report.members.values().all(|role| *role == MemberRole::Voter);
        is_young && report.is_healthy && report.leader.is_some() && all_vote
    }
}

/// The members' volumes by id.
pub fn volumes(observation: &Observation) -> BTreeMap<String, Key> {
    let owned = observation
        .resources
        .iter()
        .filter(|(key, found)| key.kind == Kind::Volume && found.ownership.is_owned());
    let id = |(key, found): (&Key, &Observed)| {
        Some((found.attributes.get(&Attribute::Id)?.clone(), key.clone()))
    };
    owned.filter_map(id).collect()
}

/// Machines that have completed their launch: until then their group may still give them up.
fn serving(observation: &Observation) -> BTreeSet<&str> {
    let groups = observation.resources.values().filter_map(|found| found.group.as_ref());
    let machines = groups.flat_map(|group| &group.instances);
    let serving = machines.filter(|machine| machine.lifecycle_state == "InService");
    serving.map(|machine| machine.instance_id.as_str()).collect()
}

/// Ids by group.
type Machines = BTreeMap<String, BTreeSet<String>>;

/// The machines of all groups: those that stay, and those that end or leave.
fn machines(observation: &Observation) -> (Machines, Machines) {
    let (mut stay, mut end) = (Machines::new(), Machines::new());
    for (key, found) in &observation.resources {
        let Some(group) = &found.group else { continue };
        for machine in &group.instances {
            let machines = if machine.is_leaving() { &mut end } else { &mut stay };
            machines.entry(key.name.clone()).or_default().insert(machine.instance_id.clone());
        }
    }
    (stay, end)
}
