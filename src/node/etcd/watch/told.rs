//! What is said of a member that was seen: to those who guard the quorum, and to whoever takes snapshots.

use std::collections::{BTreeMap, BTreeSet};

use super::Seen;
use crate::etcd::epoch::Epoch;
use crate::etcd::report::{MemberReport, MemberRole};
use crate::etcd::start::{Listed, MemberId};
use crate::node::etcd::snapshot::Health;

/// The report of what was seen, after one that says who reports.
pub(super) fn report(seen: &Seen, epoch: Option<&Epoch>, blank: MemberReport) -> MemberReport {
    let members = seen.view.members.iter();
    let members = members.map(|listed| (name_of(listed, epoch), role(listed)));
    let name = |id: MemberId| {
        let listed = seen.view.members.iter().find(|listed| listed.id == id);
        listed.map(|listed| name_of(listed, epoch))
    };
    MemberReport {
        is_healthy: seen.is_healthy(),
        term: seen.status.term,
        leader: seen.status.leader.and_then(name),
        lag: seen.lag,
        alarms: seen.alarms.clone().unwrap_or_default(),
        members: members.collect::<BTreeMap<_, _>>(),
        version: seen.status.version,
        cluster_version: seen.view.cluster_version,
        ..blank
    }
}

/// How a member is, for whoever takes a snapshot of it.
pub(super) fn health(seen: Option<&Seen>, epoch: &Epoch) -> Health {
    let Some(seen) = seen else {
        let (version, leader, voters) = (None, None, BTreeSet::new());
        return Health { epoch: epoch.clone(), is_well: false, version, term: 0, voters, leader };
    };
    let named = |listed: &Listed| name_of(listed, Some(epoch));
    let leader = seen.view.members.iter().find(|listed| Some(listed.id) == seen.status.leader);
    Health {
        epoch: epoch.clone(),
        is_well: seen.is_voter() && epoch.cluster_id() == Some(seen.status.cluster_id),
        version: seen.status.version,
        term: seen.status.term,
        voters: seen.view.voters().map(named).collect(),
        leader: leader.map(named),
    }
}

/// Who has not started has no name of its own: the epoch knows it by its address.
fn name_of(listed: &Listed, epoch: Option<&Epoch>) -> String {
    if !listed.name.is_empty() {
        return listed.name.clone();
    }
    let mut places = epoch.into_iter().flat_map(|epoch| &epoch.members);
    let place = places.find(|(_, place)| listed.peer_urls.contains(&place.peer_url));
    place.map_or_else(|| listed.id.to_string(), |(name, _)| name.clone())
}

fn role(listed: &Listed) -> MemberRole {
    match (listed.is_started(), listed.is_learner) {
        (false, _) => MemberRole::Unstarted,
        (true, true) => MemberRole::Learner,
        (true, false) => MemberRole::Voter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::epoch::ClusterId;
    use crate::etcd::start::View;
    use crate::node::etcd::client::Status;

    fn seen(alarms: Option<BTreeSet<String>>) -> Seen {
        let me = Listed {
            id: MemberId(1),
            name: "a".to_owned(),
            peer_urls: BTreeSet::new(),
            client_urls: ["https://a:4001".to_owned()].into(),
            is_learner: false,
        };
        let status = Status {
            id: me.id,
            cluster_id: ClusterId(7),
            version: None,
            leader: Some(me.id),
            term: 2,
            committed: 9,
            applied: 9,
            is_learner: false,
        };
        let (cluster_id, program, cluster_version) = (ClusterId(7), None, None);
        let view =
            View { cluster_id, is_healthy: true, program, cluster_version, members: vec![me] };
        Seen { status, view, alarms, lag: 0 }
    }

    #[test]
    fn a_member_whose_alarms_nobody_has_read_is_not_healthy() {
        let report = |alarms| report(&seen(alarms), None, MemberReport::blank("a", "i-1", 1));
        let none = report(Some(BTreeSet::new()));
        assert!(none.is_healthy && none.alarms.is_empty());
        let raised = report(Some(["NOSPACE".to_owned()].into()));
        assert!(raised.is_healthy && raised.alarms.contains("NOSPACE"));
        assert!(!report(None).is_healthy);
        // It votes all the same: a cluster that has formed is not held up by its alarms.
        assert!(seen(None).is_voter());
    }
}
