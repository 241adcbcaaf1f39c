//! Failure-domain arithmetic: what an outage of each zone leaves of an etcd cluster.
//!
//! A cluster of n voters takes its writes while more than half of them agree, so n - (n / 2 + 1) may
//! fail. A zone takes all its members at once, and while a machine is replaced one more is away.
//! Source: etcd FAQ, "What is failure tolerance?".

use std::collections::{BTreeMap, BTreeSet};

use super::guard;
use super::report::TopologyCluster;

/// How many members of a cluster there are, where, and what that is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domains {
    /// All members.
    pub members: usize,
    /// Members that have to agree.
    pub quorum: usize,
    /// What is left when a zone goes, by zone. A member whose zone nobody knows is in none of them.
    pub outages: BTreeMap<String, Outage>,
}

/// What an outage of one zone leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Members in the zone.
    pub lost: usize,
    /// Members elsewhere.
    pub left: usize,
    /// Members elsewhere at the worst moment of a replacement: one of them is away as well.
    pub left_in_maintenance: usize,
    /// Members elsewhere that are up now.
    pub left_now: usize,
}

impl Domains {
    /// Of the members of a cluster; `up` are those that serve now.
    pub fn of(cluster: &TopologyCluster, up: &BTreeSet<&str>) -> Self {
        let members = cluster.members.len();
        let zones: BTreeSet<&str> =
            cluster.members.values().filter_map(|member| member.zone.as_deref()).collect();
        let outage = |zone: &str| {
            let stay = cluster.members.iter().filter(|(_, m)| m.zone.as_deref() != Some(zone));
            let stay: Vec<&str> = stay.map(|(name, _)| name.as_str()).collect();
            Outage {
                lost: members - stay.len(),
                left: stay.len(),
                left_in_maintenance: stay.len().saturating_sub(1),
                left_now: stay.iter().filter(|name| up.contains(**name)).count(),
            }
        };
        let outages = zones.into_iter().map(|zone| (zone.to_owned(), outage(zone))).collect();
        Self { members, quorum: guard::quorum(members), outages }
    }

    /// Members that may fail at once.
    pub fn headroom(&self) -> usize {
        self.members.saturating_sub(self.quorum)
    }

    /// Members that may fail while the machine of one more is replaced.
    pub fn headroom_in_maintenance(&self) -> usize {
        self.headroom().saturating_sub(1)
    }

    /// Whether so many members are a quorum.
    pub fn is_quorum(&self, members: usize) -> bool {
        members >= self.quorum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::etcd::TopologyMember;

    const ZONES: [&str; 4] = ["a", "b", "c", "d"];

    fn cluster(zones: &[usize]) -> TopologyCluster {
        let member = |(index, zone): (usize, &usize)| {
            let zone = Some(ZONES[*zone].to_owned());
            (format!("m{index}"), TopologyMember { group: format!("g{index}"), zone })
        };
        TopologyCluster { members: zones.iter().enumerate().map(member).collect() }
    }

    #[test]
    fn five_over_three_zones_outlive_a_zone_but_not_during_every_replacement() {
        let cluster = cluster(&[0, 0, 1, 1, 2]);
        let up = cluster.members.keys().map(String::as_str).collect();
        let domains = Domains::of(&cluster, &up);
        assert_eq!((domains.members, domains.quorum), (5, 3));
        assert_eq!((domains.headroom(), domains.headroom_in_maintenance()), (2, 1));
        let kept = domains.outages.iter().map(|(zone, outage)| {
            let is_quorum = |members| domains.is_quorum(members);
            (zone.as_str(), is_quorum(outage.left), is_quorum(outage.left_in_maintenance))
        });
        let expected = [("a", true, false), ("b", true, false), ("c", true, true)];
        assert_eq!(kept.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn two_and_one_do_not_outlive_the_bigger_half() {
        let cluster = cluster(&[0, 0, 1]);
        let domains = Domains::of(&cluster, &["m0", "m2"].into());
        assert!(!domains.is_quorum(domains.outages["a"].left));
        assert!(domains.is_quorum(domains.outages["b"].left));
        assert_eq!(domains.outages["b"].left_now, 1);
    }

    proptest! {
        /// A zone is its members: without them as many vote as a set of all others has, and quorum
        /// is what two sets of members always share a member by.
        #[test]
        fn outages_count_what_is_elsewhere(zones in prop::collection::vec(0..4usize, 1..=7)) {
            let cluster = cluster(&zones);
            let domains = Domains::of(&cluster, &BTreeSet::new());
            let total: usize = domains.outages.values().map(|outage| outage.lost).sum();
            prop_assert_eq!(total, zones.len());
            prop_assert!(2 * domains.quorum > zones.len() && 2 * (domains.quorum - 1) <= zones.len());
            for (zone, outage) in &domains.outages {
                let here = zones.iter().filter(|index| ZONES[**index] == zone).count();
                prop_assert_eq!((outage.lost, outage.left), (here, zones.len() - here));
                prop_assert!(outage.left_in_maintenance <= outage.left && outage.left_now == 0);
            }
        }
    }
}
