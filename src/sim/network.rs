//! VPCs, subnets and their addresses: what a cluster finds and does not make.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::clock::Time;
use super::dns::StoredZone;
use super::{Refused, World};
use crate::facts::AdoptedNetwork;

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Its id.
    pub vpc_id: String,
    /// Its CIDRs.
    pub cidrs: Vec<IpNet>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub subnet_id: String,
    /// The VPC it is in.
    pub vpc_id: String,
    /// Its zone.
    pub availability_zone: String,
    /// Its CIDR.
    pub cidr: IpNet,
}

/// An interface that outlives its load balancer for a while: its groups stay in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lingering {
    /// When it is gone.
    pub until: Time,
    /// Its security groups.
    pub security_groups: BTreeSet<String>,
}

impl World {
    /// Makes what is missing of a network that a real account would hold already, and says what it
    /// made, one line each.
    pub fn adopt_network(&mut self, network: &AdoptedNetwork) -> Vec<String> {
        let mut made = Vec::new();
        let vpc_is_new = !self.vpcs.contains_key(&network.vpc_id);
        let subnets = network.subnets.iter().filter(|(id, ..)| !self.subnets.contains_key(id));
        let subnets: Vec<_> = subnets.cloned().collect();
        if vpc_is_new {
            self.vpcs.insert(
                network.vpc_id.clone(),
                Vpc { vpc_id: network.vpc_id.clone(), cidrs: vpc_cidrs(network) },
            );
        }
        for (subnet_id, availability_zone, cidr) in &subnets {
            let cidr = cidr.unwrap_or_else(|| self.free_cidr(&network.vpc_id));
            self.subnets.insert(
                subnet_id.clone(),
                Subnet {
                    subnet_id: subnet_id.clone(),
                    vpc_id: network.vpc_id.clone(),
                    availability_zone: availability_zone.clone(),
                    cidr,
                },
            );
        }
        match (vpc_is_new, subnets.len()) {
            (true, 1) => made.push(format!("VPC {} with 1 subnet", network.vpc_id)),
            (true, count) => made.push(format!("VPC {} with {count} subnets", network.vpc_id)),
            (false, 0) => {}
            (false, count) => made.push(format!("{count} subnets in VPC {}", network.vpc_id)),
        }
        if let Some(zone) = &network.public_zone
            && self.find_public_zone(zone).is_none()
        {
            let name = self.adopt_zone(zone, &network.cluster);
            made.push(format!("public zone {name}"));
        }
        made
    }

    /// The public zone of a name or an id, as every read sees it.
    pub(super) fn find_public_zone(&self, zone: &str) -> Option<&StoredZone> {
        let zone = zone.trim_end_matches('.');
        self.zones
            .values()
            .find(|known| known.vpc_id.is_none() && (known.id == zone || known.name == zone))
    }

    fn adopt_zone(&mut self, zone: &str, cluster: &str) -> String {
        let is_id = zone.starts_with('Z') && !zone.contains('.');
        let (id, name) = if is_id {
            let parent = cluster.split_once('.').map_or(cluster, |(_, parent)| parent);
            (zone.to_owned(), parent.to_owned())
        } else {
            (self.new_zone_id(), zone.trim_end_matches('.').to_owned())
        };
        let reference = format!("adopted {name}");
        let stored = StoredZone::new(id.clone(), name.clone(), None, String::new(), reference);
        let old = super::lag::Visibility {
            usable_at: self.now,
            by_key_at: self.now,
            by_tag_at: self.now,
        };
        self.zones.put(&id, stored, old);
        name
    }

    /// A /20 that no subnet of the VPC uses; the VPC's own range when it is full.
    fn free_cidr(&self, vpc_id: &str) -> IpNet {
        const SUBNET_PREFIX: u8 = 20;
        const SUBNETS_MAX: usize = 4096;
        let default = IpNet::new_assert(IpAddr::from([10, 0, 0, 0]), 16);
        let Some(vpc) = self.vpcs.get(vpc_id) else { return default };
        let whole = vpc.cidrs.first().copied().unwrap_or(default);
        let is_free = |candidate: &IpNet| {
            !self.subnets.values().any(|subnet| {
                subnet.vpc_id == vpc_id
                    && (subnet.cidr.contains(candidate) || candidate.contains(&subnet.cidr))
            })
        };
        whole
            .subnets(SUBNET_PREFIX.max(whole.prefix_len()))
            .ok()
            .and_then(|mut candidates| candidates.by_ref().take(SUBNETS_MAX).find(is_free))
            .unwrap_or(whole)
    }

    pub(super) fn subnet(&self, subnet_id: &str) -> Result<&Subnet, Refused> {
        self.subnets.get(subnet_id).ok_or_else(|| {
            Refused::not_found(
                "InvalidSubnetID.NotFound",
                format!("the subnet ID '{subnet_id}' does not exist"),
            )
        })
    }

    /// A free address of a subnet. AWS keeps the first four and the last for itself.
    pub(super) fn free_address(&self, subnet_id: &str) -> Result<String, Refused> {
        const RESERVED_FIRST: usize = 4;
        let subnet = self.subnet(subnet_id)?;
        let machines = self.machines.values().filter(|known| known.subnet_id == subnet_id);
        let interfaces =
            self.interfaces.values().filter(|known| known.interface.subnet_id == subnet_id);
        let taken: BTreeSet<&str> = machines
            .map(|machine| machine.private_ip_address.as_str())
            .chain(interfaces.map(|known| known.private_ip_address.as_str()))
            .chain(self.balancers.values().flat_map(|known| known.fixed_addresses()))
            .collect();
        let last = subnet.cidr.broadcast();
        // `hosts` of a usual network leaves out its first address; of the reserved four, three stay.
        let hosts = || subnet.cidr.hosts().skip(RESERVED_FIRST - 1);
        // Past as many as are taken there is most likely a free one; else look from the start.
        hosts()
            .skip(taken.len())
            .chain(hosts())
            .filter(|address| *address < last)
            .map(|address| address.to_string())
            .find(|address| !taken.contains(address.as_str()))
            .ok_or_else(|| {
                Refused::quota(
                    "InsufficientFreeAddressesInSubnet",
                    format!("there are not enough free addresses in subnet '{subnet_id}'"),
                )
            })
    }
}

/// The given ranges, or the smallest one around the subnets.
fn vpc_cidrs(network: &AdoptedNetwork) -> Vec<IpNet> {
    if !network.vpc_cidrs.is_empty() {
        return network.vpc_cidrs.clone();
    }
    let cidrs: Vec<IpNet> = network.subnets.iter().filter_map(|(_, _, cidr)| *cidr).collect();
    let mut around = cidrs.first().copied();
    while let Some(net) = around {
        if cidrs.iter().all(|cidr| net.contains(cidr)) {
            return vec![net];
        }
        around = net.supernet();
    }
    vec![IpNet::new_assert(IpAddr::from([10, 0, 0, 0]), 16)]
}
