//! Defaults: afterwards every field that has one holds a value, and filling again changes nothing.
//!
//! The values are kops' (`pkg/model/defaults`, `upup/pkg/fi/cloudup`) unless a comment says why
//! not.

mod rollout;

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::etcd::USUAL_BACKUPS;
use super::{
    ApiBalancerSpec, BalancerClass, BalancerType, CloudProvider, ClusterSpec, DnsType,
    EtcdBackupSpec, EtcdClusterSpec, GroupManager, HttpTokens, InstanceGroup, InstanceGroupSpec,
    MixedInstancesPolicySpec, OnDemandStrategy, PortRange, Role, Span, Spec, SpotStrategy,
    SubnetSpec, SubnetType, TopologyDnsSpec, VolumeSpec, VolumeType,
};

/// What AWS gives every gp3 volume, and the least it takes.
/// Source: EBS user guide, "General purpose SSD volumes".
pub(super) const GP3_IOPS_MIN: u32 = 3000;
/// The same for its throughput, in MiB a second.
pub(super) const GP3_THROUGHPUT_MIN: u32 = 125;
/// The least operations per second AWS takes for io1 and io2.
pub(super) const IO_IOPS_MIN: u32 = 100;

/// What AWS's console chooses: TLS 1.2 and 1.3. Its API, when nothing is said, still takes TLS 1.0.
/// Source: Elastic Load Balancing user guide, "Security policies for your Network Load Balancer".
const TLS_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06";

/// Fills every default. Idempotent.
pub fn fill(spec: &mut Spec) {
    let name = spec.cluster.metadata.name.clone();
    fill_cluster(&mut spec.cluster.spec, &name);
    let cluster = &spec.cluster.spec;
    for group in spec.groups.values_mut() {
        fill_group(group, cluster);
        let no_surge = group.is_vital();
        rollout::fill_group(&mut group.spec, cluster.rolling_update.as_ref(), no_surge);
    }
}

fn fill_cluster(cluster: &mut ClusterSpec, name: &str) {
    cluster.cloud_provider.get_or_insert(CloudProvider::Aws);
    if cluster.region.is_none() {
        cluster.region = cluster.subnets.first().and_then(|subnet| region_of(&subnet.zone));
    }
    cluster.master_public_name.get_or_insert_with(|| format!("api.{name}"));
    fill_dns(cluster, name);
    fill_addresses(cluster);
    let balancer = cluster.api.get_or_insert_default().load_balancer.get_or_insert_default();
    fill_balancer(balancer);
    let iam = cluster.iam.get_or_insert_default();
    iam.allow_container_registry.get_or_insert(false);
    // Kubernetes' own default: kube-apiserver `--service-node-port-range`.
    let api_server = cluster.kube_api_server.get_or_insert_default();
    api_server.service_node_port_range.get_or_insert(PortRange { first: 30000, last: 32767 });
    let config_base = cluster.config_base.clone();
    for etcd in &mut cluster.etcd_clusters {
        fill_etcd(etcd, config_base.as_deref());
    }
    rollout::fill_cluster(cluster.rolling_update.get_or_insert_default());
}

/// The region that a zone is in, as kops has it: `eu-west-1` of `eu-west-1a`, and of a local zone
/// such as `us-west-2-lax-1a` what comes before its city.
fn region_of(zone: &str) -> Option<String> {
    let mut parts = zone.split('-');
    let mut region: Vec<&str> = Vec::new();
    for part in parts.by_ref() {
        let number = part.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        region.push(if is_number { number } else { part });
        if is_number {
            return (region.len() > 2).then(|| region.join("-"));
        }
    }
    None
}

/// The zone of the public records: without a word, the domain that the cluster's name is in.
fn fill_dns(cluster: &mut ClusterSpec, name: &str) {
    let dns =
        cluster.topology.get_or_insert_default().dns.get_or_insert_with(TopologyDnsSpec::default);
    let dns_type = *dns.dns_type.get_or_insert(DnsType::Public);
    if cluster.dns_zone.is_none() && dns_type != DnsType::None {
        cluster.dns_zone = name.split_once('.').map(|(_, domain)| domain.to_owned());
    }
}

/// Addresses inside the cluster: services take the first eighth of what is not masqueraded, pods
/// the upper half.
fn fill_addresses(cluster: &mut ClusterSpec) {
    let own = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10));
    let in_vpc = cluster.networking.as_ref().is_some_and(|network| network.amazonvpc.is_some());
    if in_vpc {
        // Pods have addresses of the VPC; services still need some of their own.
        if cluster.non_masquerade_cidr.is_none() {
            cluster.non_masquerade_cidr = cluster.network_cidr;
        }
        if cluster.service_cluster_ip_range.is_none() {
            cluster.service_cluster_ip_range = part(own, 3, false);
        }
        return;
    }
    let whole = *cluster.non_masquerade_cidr.get_or_insert(own);
    if cluster.service_cluster_ip_range.is_none() {
        cluster.service_cluster_ip_range = part(whole, 3, false);
    }
    if cluster.pod_cidr.is_none() {
        cluster.pod_cidr = part(whole, 1, true);
    }
}

/// The first or last part of a network whose prefix is longer by some bits; `None` if it has not so
/// many.
fn part(net: IpNet, bits: u8, last: bool) -> Option<IpNet> {
    let length =
        net.prefix_len().checked_add(bits).filter(|length| *length <= net.max_prefix_len())?;
    let address = if last { net.broadcast() } else { net.network() };
    Some(IpNet::new(address, length).ok()?.trunc())
}

fn fill_balancer(balancer: &mut ApiBalancerSpec) {
    // kops defaults to Classic, which it then refuses.
    balancer.class.get_or_insert(BalancerClass::Network);
    balancer.balancer_type.get_or_insert(BalancerType::Internal);
    balancer.cross_zone_load_balancing.get_or_insert(false);
    if balancer.ssl_certificate.is_some() {
        balancer.ssl_policy.get_or_insert_with(|| TLS_POLICY.to_owned());
    }
}

fn fill_etcd(etcd: &mut EtcdClusterSpec, config_base: Option<&str>) {
    if let Some(base) = config_base {
        let backups = etcd.backups.get_or_insert_with(EtcdBackupSpec::default);
        let store = || format!("{}/{USUAL_BACKUPS}/{}", base.trim_end_matches('/'), etcd.name);
        backups.backup_store.get_or_insert_with(store);
    }
    if let Some(backups) = &mut etcd.backups {
        backups.interval.get_or_insert(EtcdBackupSpec::INTERVAL);
        backups.keep_all.get_or_insert(EtcdBackupSpec::KEEP_ALL);
        backups.keep_daily.get_or_insert(EtcdBackupSpec::KEEP_DAILY);
    }
    for member in &mut etcd.etcd_members {
        let volume_type = *member.volume_type.get_or_insert(VolumeType::Gp3);
        member.volume_size.get_or_insert(20);
        fill_performance(volume_type, &mut member.volume_iops, &mut member.volume_throughput);
        // kops says false here, and encryption cannot be added later.
        member.encrypted_volume.get_or_insert(true);
    }
}

fn fill_performance(volume: VolumeType, iops: &mut Option<u32>, throughput: &mut Option<u32>) {
    match volume {
        VolumeType::Gp3 => {
            iops.get_or_insert(GP3_IOPS_MIN);
            throughput.get_or_insert(GP3_THROUGHPUT_MIN);
        }
        VolumeType::Io1 | VolumeType::Io2 => {
            iops.get_or_insert(IO_IOPS_MIN);
        }
        VolumeType::Gp2 | VolumeType::Standard => {}
    }
}

fn fill_group(group: &mut InstanceGroup, cluster: &ClusterSpec) {
    let spec = &mut group.spec;
    spec.manager.get_or_insert(GroupManager::CloudGroup);
    fill_sizes(spec);
    spec.autoscale.get_or_insert(spec.role == Role::Node);
    if spec.subnets.is_empty() {
        spec.subnets = default_subnets(spec, &cluster.subnets);
    }
    fill_machine(spec);
    fill_public_ip(spec, &cluster.subnets);
    fill_disks(spec);
    if let Some(mix) = &mut spec.mixed_instances_policy {
        fill_mix(mix);
    }
    spec.capacity_rebalance.get_or_insert(false);
    spec.instance_protection.get_or_insert(false);
    spec.max_instance_lifetime.get_or_insert(Span { secs: 0 });
}

/// A size given alone pulls the other one along, which kops leaves contradictory.
fn fill_sizes(spec: &mut InstanceGroupSpec) {
    let usual = if spec.role == Role::Node { 2 } else { 1 };
    let least = spec.max_size.map_or(usual, |most| most.min(usual));
    let least = *spec.min_size.get_or_insert(least);
    spec.max_size.get_or_insert(least.max(usual));
}

/// The subnets of the group's zones. Without zones only workers and bastions get a default: where
/// the control plane and etcd stand is decided, not inherited.
fn default_subnets(spec: &InstanceGroupSpec, subnets: &[SubnetSpec]) -> Vec<String> {
    if spec.zones.is_empty() && matches!(spec.role, Role::ControlPlane | Role::Etcd) {
        return Vec::new();
    }
    let in_zone = |subnet: &&SubnetSpec| spec.zones.is_empty() || spec.zones.contains(&subnet.zone);
    let machines = |subnet: &&SubnetSpec| subnet.subnet_type != SubnetType::Utility;
    let inside = subnets.iter().filter(in_zone);
    inside.filter(machines).map(|subnet| subnet.name.clone()).collect()
}

fn fill_machine(spec: &mut InstanceGroupSpec) {
    let listed =
        spec.mixed_instances_policy.as_ref().and_then(|mix| mix.instances.first().cloned());
    let usual = if spec.role == Role::Bastion { "t3.micro" } else { "t3.medium" };
    spec.machine_type.get_or_insert_with(|| listed.unwrap_or_else(|| usual.to_owned()));
    spec.detailed_instance_monitoring.get_or_insert(false);
    let metadata = spec.instance_metadata.get_or_insert_default();
    metadata.http_tokens.get_or_insert(HttpTokens::Required);
    metadata.http_put_response_hop_limit.get_or_insert(1);
}

/// Machines in private subnets have no public address; others have.
fn fill_public_ip(spec: &mut InstanceGroupSpec, subnets: &[SubnetSpec]) {
    let first =
        spec.subnets.first().and_then(|name| subnets.iter().find(|subnet| subnet.name == *name));
    if let Some(first) = first {
        spec.associate_public_ip.get_or_insert(first.subnet_type != SubnetType::Private);
    }
}

fn fill_disks(spec: &mut InstanceGroupSpec) {
    let size = match spec.role {
        Role::ControlPlane => 64,
        Role::Node => 128,
        // Data is on volumes of their own.
        Role::Etcd | Role::Bastion => 32,
    };
    spec.root_volume_size.get_or_insert(size);
    let root = *spec.root_volume_type.get_or_insert(VolumeType::Gp3);
    fill_performance(root, &mut spec.root_volume_iops, &mut spec.root_volume_throughput);
    spec.root_volume_encryption.get_or_insert(true);
    spec.root_volume_optimization.get_or_insert(false);
    spec.volumes.iter_mut().for_each(fill_volume);
}

fn fill_volume(volume: &mut VolumeSpec) {
    let volume_type = *volume.volume_type.get_or_insert(VolumeType::Gp3);
    fill_performance(volume_type, &mut volume.iops, &mut volume.throughput);
    volume.encrypted.get_or_insert(true);
    volume.delete_on_termination.get_or_insert(true);
}

/// AWS's own defaults, written out so that a plan compares like with like.
/// Source: EC2 Auto Scaling API reference, InstancesDistribution.
fn fill_mix(mix: &mut MixedInstancesPolicySpec) {
    let on_demand = match mix.instance_requirements {
        Some(_) => OnDemandStrategy::LowestPrice,
        None => OnDemandStrategy::Prioritized,
    };
    mix.on_demand_allocation_strategy.get_or_insert(on_demand);
    mix.on_demand_base.get_or_insert(0);
    mix.on_demand_above_base.get_or_insert(100);
    let strategy = *mix.spot_allocation_strategy.get_or_insert(SpotStrategy::LowestPrice);
    if strategy == SpotStrategy::LowestPrice {
        mix.spot_instance_pools.get_or_insert(2);
    }
}

#[cfg(test)]
mod tests {
    use super::region_of;

    #[test]
    fn a_zone_says_its_region() {
        let known = [
            ("eu-west-1a", Some("eu-west-1")),
            ("us-gov-west-1b", Some("us-gov-west-1")),
            ("us-west-2-lax-1a", Some("us-west-2")),
            ("a", None),
            ("", None),
            ("1a", None),
        ];
        for (zone, region) in known {
            assert_eq!(region_of(zone).as_deref(), region, "{zone}");
        }
    }
}
