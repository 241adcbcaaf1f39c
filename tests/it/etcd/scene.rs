//! A cluster that an apply has made in the simulated account, and machines for its etcd members: same
//! addresses, same volumes, same names.

mod snapshots;

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kprod::boot::user_data::PART;
use kprod::boot::{Program, lock};
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Call, Cloud, Parameters};
use kprod::epoch;
use kprod::etcd::epoch::Epoch;
use kprod::etcd::report::{MemberReport, MemberRole, report_key};
use kprod::etcd::{Version, names};
use kprod::node::etcd::client::Credentials;
use kprod::roll::Policy;
use tempfile::TempDir;

use super::super::apply::spec_of;
use super::super::env::{fleet, kprod};
use super::super::user_data::part;
use super::client_url;
use super::disk::Disks;
use super::dns::{self, Records};
use super::machine::{RESOLVER, Slot, ask_resolver, make_vpc, sh};
use super::pki::{client_parameters, issue_client};

pub(crate) struct Scene {
    cluster: &'static str,
    cloud: SimCloud,
    /// Machines by group.
    pub(crate) slots: BTreeMap<String, Slot>,
    disks: Disks,
    /// The fleet, with the simulated account in it.
    fleet: TempDir,
    /// Client URLs by etcd cluster and member.
    pub(crate) urls: BTreeMap<String, BTreeMap<String, String>>,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    /// A cluster, applied: its epochs are open, and its machines are not booted.
    pub(crate) fn applied(cluster: &'static str) -> Self {
        let fleet = fleet();
        let spec = spec_of(cluster);
        let account = spec.cluster.spec.account.clone().unwrap();
        let region = spec.cluster.spec.region.clone().unwrap();
        let cloud = SimCloud::open(&fleet.path().join(".kprod"), &account, &region).unwrap();
        // What machines do with their members is not for the simulated world to make up here.
        cloud.with_world(|world| world.leave_members_to_others(cluster)).unwrap();
        let program = program(fleet.path());
        let pinned = lock::text(&Program::of(program.as_bytes(), None));
        fs::write(fleet.path().join(lock::FILE), pinned).unwrap();
        apply(fleet.path(), cluster);
        let topology = Policy::of(&spec).topology;
        make_vpc();
        dns::serve(RESOLVER, records(&cloud, cluster));
        ask_resolver(fleet.path());

        let mut slots = BTreeMap::new();
        let mut urls: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (etcd, wanted) in &topology.clusters {
            for (member, place) in &wanted.members {
                let url = client_url(cluster, etcd, member);
                urls.entry(etcd.clone()).or_default().insert(member.clone(), url);
                let number = slots.len();
                slots.entry(place.group.clone()).or_insert_with(|| {
                    let folder = fleet.path().join("machines").join(&place.group);
                    Slot::new(number, &folder, address(&cloud, &place.group))
                });
            }
        }
        let disks = Disks::new(fleet.path());
        for (group, slot) in &slots {
            for (etcd, member) in topology.members_on(group) {
                let volume_id = volume(&cloud, cluster, etcd, member);
                slot.plug(&volume_id, &disks.make(&volume_id));
            }
            let user_data = part(&user_data(&cloud, group), PART);
            fs::write(slot.folder.join("user-data"), user_data).unwrap();
            fs::write(slot.folder.join("program"), &program).unwrap();
            slot.bring(&usual_programs());
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { cluster, cloud, slots, disks, fleet, urls, runtime }
    }

    /// The epoch of an etcd cluster.
    pub(crate) fn epoch(&self, etcd: &str) -> Epoch {
        let known = self.runtime.block_on(epoch::read(&self.cloud, self.cluster, etcd)).unwrap();
        known.unwrap().epoch
    }

    /// Boots the machine of a group.
    pub(crate) fn boot(&mut self, group: &str) {
        self.slots.get_mut(group).unwrap().boot(RESOLVER);
    }

    /// Has the machine of a group stand still.
    pub(crate) fn freeze(&self, group: &str) {
        self.slots[group].freeze(&self.cloud);
    }

    /// A client of an etcd cluster.
    pub(crate) fn client(&self, etcd: &str) -> Credentials {
        let into = self.fleet.path().join("client").join(etcd);
        let [secret, trusted] = client_parameters(self.cluster, etcd);
        let secret = self.runtime.block_on(self.cloud.secret(&secret)).unwrap().unwrap();
        let public = self.runtime.block_on(self.cloud.public(self.cluster)).unwrap();
        issue_client(self.cluster, &secret, &public[&trusted], &into)
    }

    /// Has a member's volume gone for good, and another one in its place. Its machine must not run.
    pub(crate) fn lose_volume(&self, group: &str, etcd: &str, member: &str) {
        let volume_id = volume(&self.cloud, self.cluster, etcd, member);
        let free = |world: &mut kprod::sim::World| {
            world.volumes.edit(&volume_id, kprod::sim::StoredVolume::come_free);
        };
        self.cloud.with_world(free).unwrap();
        let gone = Call::DeleteVolume { volume_id: volume_id.clone() };
        self.runtime.block_on(self.cloud.call(&gone)).unwrap();
        apply(self.fleet.path(), self.cluster);
        let volume_id = volume(&self.cloud, self.cluster, etcd, member);
        self.slots[group].plug(&volume_id, &self.disks.make(&volume_id));
    }

    /// Opens a member's volume, of a machine that does not run.
    pub(crate) fn open_volume(&self, etcd: &str, member: &str, look: impl FnOnce(&Path)) {
        let volume_id = volume(&self.cloud, self.cluster, etcd, member);
        let device = self.slots[&self.group_of(etcd, member)].device(&volume_id);
        let folder = self.fleet.path().join("opened");
        fs::create_dir_all(&folder).unwrap();
        sh(&format!("mount {device} {}", folder.display()));
        look(&folder);
        sh(&format!("umount {}", folder.display()));
    }

    /// Has the machines see the volumes that are their members' now. They must not run.
    pub(crate) fn plug_all(&self) {
        for (etcd, members) in &self.urls {
            for member in members.keys() {
                let volume_id = volume(&self.cloud, self.cluster, etcd, member);
                let slot = &self.slots[&self.group_of(etcd, member)];
                slot.plug(&volume_id, &self.disks.make(&volume_id));
            }
        }
    }

    /// Whether a plan finds nothing to do: what machines did to their volumes is no change.
    pub(crate) fn has_empty_plan(&self) -> bool {
        let args = ["plan", self.cluster, "--detailed-exitcode"];
        let planned = kprod(self.fleet.path()).args(args).output().unwrap();
        planned.status.code() == Some(0)
    }

    /// The group whose machine hosts a member.
    pub(crate) fn group_of(&self, etcd: &str, member: &str) -> String {
        let topology = Policy::of(&spec_of(self.cluster)).topology;
        topology.clusters[etcd].members[member].group.clone()
    }

    /// A member's newest report.
    pub(crate) fn report(&self, etcd: &str, member: &str) -> Option<MemberReport> {
        let key = report_key(self.cluster, etcd, member);
        let written = self.cloud.with_world(|world| world.objects.contains_key(&key)).unwrap();
        let entry = self.runtime.block_on(self.cloud.get(&key)).unwrap().filter(|_| written)?;
        serde_json::from_slice(&entry.body).ok()
    }

    /// Whether all members of all etcd clusters have said after a moment that all of them vote and are
    /// well.
    pub(crate) fn is_well_since(&self, sequence: u64) -> bool {
        self.urls.iter().all(|(etcd, members)| {
            members.keys().all(|member| {
                self.report(etcd, member).is_some_and(|report| {
                    report.sequence > sequence
                        && report.is_healthy
                        && report.members.len() == members.len()
                        && report.members.values().all(|role| *role == MemberRole::Voter)
                })
            })
        })
    }

    /// Whether a member of an etcd cluster says that it is well, or knows a leader.
    pub(crate) fn is_anybody_up(&self, etcd: &str, sequence: u64) -> bool {
        let reports = self.urls[etcd].keys().filter_map(|member| self.report(etcd, member));
        reports
            .filter(|report| report.sequence > sequence)
            .any(|report| report.is_healthy || report.leader.is_some())
    }

    /// Waits until all members are well, by reports of after now.
    pub(crate) fn wait_until_well(&self, limit: Duration) {
        let began = Instant::now();
        let sequence = boot_ms();
        while !self.is_well_since(sequence) {
            if began.elapsed() > limit {
                self.show();
                panic!("the members are not well after {limit:?}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// All that the machines have said.
    pub(crate) fn show(&self) {
        for (group, slot) in &self.slots {
            eprintln!("== {group} at {}\n{}", slot.address, slot.log());
        }
        for (etcd, members) in &self.urls {
            for member in members.keys() {
                eprintln!("{etcd} {member}: {:?}", self.report(etcd, member));
            }
        }
    }
}

/// The program that is pinned for the machines: the one for machines, in the simulated account of a fleet.
fn program(fleet: &Path) -> String {
    let (program, fleet) = (env!("CARGO_BIN_EXE_kprod-node"), fleet.display());
    format!("#!/bin/sh\nexec {program} \"$@\" --cloud sim --root {fleet}\n")
}

/// The folder of etcd's programs that this machine has.
pub(crate) fn usual_programs() -> PathBuf {
    Path::new(&sh("command -v etcd")).parent().unwrap().to_owned()
}

/// The version of etcd's programs of a folder.
pub(crate) fn version_of(programs: &Path) -> Version {
    Version::said_by_program(&sh(&format!("{}/etcd --version", programs.display()))).unwrap()
}

/// The user data of a group's machines, as the launch template that an apply made has it.
fn user_data(cloud: &SimCloud, group: &str) -> String {
    let found = cloud.with_world(|world| {
        let stored = world.templates.get(group)?;
        let version = stored.versions.values().next_back()?;
        Some(version.data.user_data.clone())
    });
    found.unwrap().expect("the group has a launch template")
}

/// Milliseconds since boot, which the sequence of reports is made of.
pub(crate) fn boot_ms() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let secs: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    (secs * 1000.0) as u64
}

/// What the private zone holds of etcd.
fn records(cloud: &SimCloud, cluster: &str) -> Records {
    let zone = names::private_zone(cluster);
    let mut found = Records::new();
    cloud
        .with_world(|world| {
            for stored in world.zones.values().filter(|stored| stored.name == zone) {
                for (name, sets) in &stored.records {
                    for (kind, set) in sets {
                        if !["A", "SRV"].contains(&kind.as_str()) || set.alias_target.is_some() {
                            continue;
                        }
                        let values = set.resource_records.iter().map(ToString::to_string);
                        let key = (name.to_ascii_lowercase(), dns::type_of(kind));
                        found.insert(key, values.collect());
                    }
                }
            }
        })
        .unwrap();
    assert!(found.len() >= 4, "{found:?}");
    found
}

/// The address that the machine of a group has.
fn address(cloud: &SimCloud, group: &str) -> Ipv4Addr {
    let found = cloud.with_world(|world| {
        world.members(group).next().map(|machine| machine.private_ip_address.clone())
    });
    found.unwrap().expect("the group has a machine").parse().unwrap()
}

/// The id of a member's volume.
fn volume(cloud: &SimCloud, cluster: &str, etcd: &str, member: &str) -> String {
    let found = cloud.with_world(|world| world.member_volumes(cluster, etcd, member)).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].volume_id.clone()
}

/// Applies, and once more where the first run says so: what replaces something that somebody removed is
/// asked for under a token that is used up.
fn apply(fleet: &Path, cluster: &str) {
    let once = || kprod(fleet).args(["apply", cluster, "--yes"]).output().unwrap();
    let mut applied = once();
    if applied.status.code() == Some(6) {
        applied = once();
    }
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show();
        }
        self.slots.clear();
    }
}
