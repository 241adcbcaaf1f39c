//! Which members a cluster has, and where: by what an apply has made, or by what a test has said.

use std::collections::BTreeMap;

use super::{Host, StoredEtcd, StoredMember};
use crate::etcd::epoch::{Epoch, Place, epoch_key};
use crate::etcd::{Topology, names};
use crate::resource::{ETCD_TAG_PREFIX, OWNER_TAG};
use crate::sim::{StoredObject, StoredZone, World};

impl World {
    /// Says where a cluster's members are, for worlds that no apply has made: the machine of each
    /// member's group.
    pub fn host_etcd(&mut self, cluster: &str, topology: &Topology) {
        let etcds = self.etcds.entry(cluster.to_owned()).or_default();
        for (name, wanted) in &topology.clusters {
            let etcd = etcds.entry(name.clone()).or_default();
            etcd.is_named = true;
            for (member, place) in &wanted.members {
                let host = Host::Group(place.group.clone());
                etcd.members.entry(member.clone()).or_insert_with(|| StoredMember::new(host, ""));
            }
            let place = |member: &String| {
                let host = names::member_host(cluster, name, member);
                Place { peer_url: format!("https://{host}"), client_url: format!("https://{host}") }
            };
            let members = wanted.members.keys().map(|member| (member.clone(), place(member)));
            let first = Epoch::first(cluster, name, members.collect(), self.seed);
            let object = StoredObject::new(first.to_bytes(), &first.token, self.now);
            self.objects.entry(epoch_key(cluster, name)).or_insert(object);
        }
        self.members_found.0.remove(cluster);
        self.tend_members();
    }

    /// From now on somebody else runs the members of a cluster on its machines.
    pub fn leave_members_to_others(&mut self, cluster: &str) {
        self.members_elsewhere.insert(cluster.to_owned());
        self.etcds.remove(cluster);
    }

    /// Finds a cluster's members by their volumes; where there are none, what was named stays.
    pub(super) fn find_members(&mut self, cluster: &str) {
        let changes = [self.zones.changes(), self.volumes.changes(), self.interfaces.changes()];
        if self.members_elsewhere.contains(cluster) {
            return;
        }
        if self.members_found.0.get(cluster) == Some(&changes) {
            return;
        }
        self.members_found.0.insert(cluster.to_owned(), changes);
        let zone = names::private_zone(cluster);
        let zones: Vec<&StoredZone> =
            self.zones.values().filter(|known| known.name == zone).collect();
        let mut found: BTreeMap<String, BTreeMap<String, (Host, String)>> = BTreeMap::new();
        for volume in self.volumes.values() {
            if volume.volume.tags.get(OWNER_TAG).is_none_or(|owner| owner != cluster) {
                continue;
            }
            let tags = volume.volume.tags.iter();
            let tag = tags.filter_map(|(key, value)| {
                Some((key.strip_prefix(ETCD_TAG_PREFIX)?, value.split_once('/')?.0))
            });
            for (etcd, member) in tag {
                let host = self.member_host(&names::member_host(cluster, etcd, member), &zones);
                let members = found.entry(etcd.to_owned()).or_default();
                members.insert(member.to_owned(), (host, volume.volume_id.clone()));
            }
        }
        let etcds = self.etcds.entry(cluster.to_owned()).or_default();
        etcds.retain(|name, etcd| etcd.is_named || found.contains_key(name));
        for (name, members) in found {
            etcds.entry(name).or_default().replace_members(members);
        }
        if etcds.is_empty() {
            self.etcds.remove(cluster);
        }
    }

    /// The interface that a member's name points to (`desired::dns`).
    fn member_host(&self, name: &str, zones: &[&StoredZone]) -> Host {
        let records = zones.iter().filter_map(|known| known.records.get(name)?.get("A"));
        let addresses: Vec<&str> = records
            .flat_map(|records| records.resource_records.iter().filter_map(|value| value.known()))
            .collect();
        let mut interfaces = self.interfaces.values();
        interfaces
            .find(|known| addresses.contains(&known.private_ip_address.as_str()))
            .map_or(Host::Nowhere, |known| Host::Interface(known.network_interface_id.clone()))
    }
}

impl StoredEtcd {
    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.members.values().map(|member| &member.host)
    }

    /// Takes over the members that volumes tell of. One whose volume is another one ends and starts blank,
    /// on a machine that gets it; a cluster of which no volume is left is another cluster.
    pub(super) fn replace_members(&mut self, found: BTreeMap<String, (Host, String)>) {
        let is_same = |name: &String, volume: &String| {
            self.members.get(name).is_some_and(|known| known.volume_id == *volume)
        };
        if !self.members.is_empty() && !found.iter().any(|(name, (_, id))| is_same(name, id)) {
            *self = Self::default();
        }
        self.members.retain(|name, _| found.contains_key(name));
        for (name, (host, volume_id)) in found {
            let known =
                self.members.entry(name).or_insert_with(|| StoredMember::new(Host::Nowhere, ""));
            known.host = host;
            if known.volume_id != volume_id {
                known.volume_id = volume_id;
                (known.data, known.run) = (None, None);
            }
        }
    }
}
