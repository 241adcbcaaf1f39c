//! What lives in the account beside kprod: the machines' software. Kubelets that join the simulated
//! API server, and etcd members that report to the state bucket, as far as their machines run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use kprod::etcd::report::report_key;
use kprod::etcd::{MemberReport, MemberRole, Topology, TopologyCluster};
use kprod::sim::kubernetes::{Host, Settings};
use kprod::state::StateAddress;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::control;
use super::fast::FastTime;
use crate::kube_api::KubeApi;

/// How often machines are looked at, in fast time.
const LOOK: Duration = Duration::from_secs(2);
/// Members report so often, and serve so long after their machine's start, at a usual pace.
const REPORT: Duration = Duration::from_secs(10);
const MEMBER_STARTS: Duration = Duration::from_secs(20);

/// What an account holds; `tests/moto/inventory.py` tells it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Inventory {
    /// Machines that are there.
    pub(super) machines: Vec<Machine>,
    /// The ids of all that have ended.
    pub(super) ended: BTreeSet<String>,
    pub(super) groups: Vec<Group>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Machine {
    pub(super) instance_id: String,
    pub(super) state: String,
    zone: String,
    #[serde(rename = "type")]
    instance_type: String,
    image: String,
    /// The group that has launched it; AWS takes the tag off when it is detached.
    pub(super) group: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) desired: i64,
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) suspended: Vec<String>,
    pub(super) tags: BTreeMap<String, Option<String>>,
    /// Lifecycle states by instance id.
    pub(super) members: BTreeMap<String, String>,
}

impl Inventory {
    /// Every machine that was ever launched.
    pub(super) fn ids(&self) -> BTreeSet<&str> {
        let there = self.machines.iter().map(|machine| machine.instance_id.as_str());
        there.chain(self.ended.iter().map(String::as_str)).collect()
    }
}

impl Machine {
    /// Whether it has not ended, nor ends.
    pub(super) fn lives(&self) -> bool {
        matches!(self.state.as_str(), "pending" | "running")
    }

    /// Its kubelet, if it has one.
    pub(super) fn host(&self) -> Option<Host> {
        let host = Host::by_tags(&self.instance_id, &self.tags)?;
        Some(Host {
            group: self.group.clone().unwrap_or_default(),
            image_id: self.image.clone(),
            availability_zone: self.zone.clone(),
            instance_type: self.instance_type.clone(),
            kubelet_version: Settings::default().version,
            ..host
        })
    }
}

/// The account's inventory; it makes no call.
pub(super) fn inventory(port: u16, account: &str) -> Inventory {
    let path = format!("/kprod/inventory?account={account}");
    serde_json::from_value(control(port, "GET", &path, &Value::Null)).unwrap()
}

/// The software on an account's machines; it ends with this value.
pub(super) struct People {
    pub(super) api: Arc<KubeApi>,
    pub(super) time: FastTime,
    ends: Arc<AtomicBool>,
    looks: Arc<Mutex<u64>>,
    thread: Option<JoinHandle<()>>,
}

/// Where they live.
pub(super) struct Place {
    pub(super) port: u16,
    pub(super) account: String,
    pub(super) cluster: String,
    pub(super) state: StateAddress,
    pub(super) topology: Topology,
    pub(super) pace: Pace,
}

/// How fast all goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// A second of the test is so many of the cluster's.
    pub(super) times: u32,
    /// Machines and what runs on them are so many times as fast as usual.
    pub(super) haste: u32,
}

impl People {
    /// They begin to work.
    pub(super) fn start(place: Place) -> Self {
        let Pace { times, haste } = place.pace;
        let time = FastTime::from_now(times);
        let cluster = KubeApi::new_cluster(&place.cluster, haste.into());
        let api = Arc::new(KubeApi::start_faster(cluster, times));
        let (ends, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
        let mut work = Work {
            api: api.clone(),
            time,
            looks: looks.clone(),
            members: Members::new(&place),
            states: BTreeMap::new(),
            place,
        };
        let until = ends.clone();
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                work.look();
                std::thread::sleep(time.really(LOOK));
            }
        });
        Self { api, time, ends, looks, thread: Some(thread) }
    }

    /// Waits until every machine of the cluster that lives has a node that is ready, and every member
    /// has reported twice.
    pub(super) fn settle(&self, nodes: usize) {
        for _ in 0..600 {
            let ready = self.api.with(|cluster| {
                cluster.nodes().values().filter(|stored| stored.node.is_ready()).count()
            });
            if ready == nodes && *self.looks.lock().unwrap() > 20 {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{nodes} nodes never were ready");
    }

    /// A kubeconfig that leads to the API server.
    pub(super) fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let file = folder.join(format!("kubeconfig-{}", self.api.address.port()));
        self.api.write_kubeconfig(&file);
        file
    }
}

impl Drop for People {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What they do again and again.
struct Work {
    place: Place,
    api: Arc<KubeApi>,
    time: FastTime,
    looks: Arc<Mutex<u64>>,
    members: Members,
    /// What each machine was at the last look.
    states: BTreeMap<String, String>,
}

impl Work {
    fn look(&mut self) {
        let machines = inventory(self.place.port, &self.place.account).machines;
        self.feed(&machines);
        let now = self.time.at(Timestamp::now());
        if let Some(objects) = self.members.report(&machines, now) {
            let path = format!("/kprod/objects?account={}", self.place.account);
            let key = |(key, text): (String, String)| (self.place.state.key(&key), text);
            let objects: BTreeMap<String, String> = objects.into_iter().map(key).collect();
            let body = json!({"bucket": self.place.state.bucket, "objects": objects});
            control(self.place.port, "POST", &path, &body);
        }
        *self.looks.lock().unwrap() += 1;
    }

    /// Kubelets follow their machines.
    fn feed(&mut self, machines: &[Machine]) {
        let states: BTreeMap<String, String> =
            machines.iter().map(|m| (m.instance_id.clone(), m.state.clone())).collect();
        if states == self.states {
            return;
        }
        let is_moved = |m: &&Machine| self.states.get(&m.instance_id) != Some(&m.state);
        self.api.with(|cluster| {
            for machine in machines.iter().filter(is_moved) {
                match machine.state.as_str() {
                    "pending" => {}
                    "running" => {
                        if let Some(host) = machine.host() {
                            cluster.host_boots(host);
                        }
                    }
                    _ => cluster.host_stops(&machine.instance_id),
                }
            }
            for id in self.states.keys().filter(|id| !states.contains_key(*id)) {
                cluster.host_is_gone(id);
            }
        });
        self.states = states;
    }
}

/// The members of all etcd clusters.
struct Members {
    cluster: String,
    haste: u32,
    etcds: BTreeMap<String, Etcd>,
    reported_at: Timestamp,
    /// When each machine was first seen to run.
    runs_since: BTreeMap<String, Timestamp>,
}

/// The members of one.
struct Etcd {
    wanted: TopologyCluster,
    term: u64,
    leader: Option<String>,
    sequences: BTreeMap<String, u64>,
    snapshot_at: Timestamp,
}

impl Members {
    fn new(place: &Place) -> Self {
        let etcd = |wanted: &TopologyCluster| Etcd {
            wanted: wanted.clone(),
            term: 1,
            leader: None,
            sequences: BTreeMap::new(),
            snapshot_at: Timestamp::now(),
        };
        let clusters = place.topology.clusters.iter();
        Self {
            cluster: place.cluster.clone(),
            haste: place.pace.haste,
            etcds: clusters.map(|(name, wanted)| (name.clone(), etcd(wanted))).collect(),
            reported_at: Timestamp::MIN,
            runs_since: BTreeMap::new(),
        }
    }

    /// What the members write now, by key; none while it is not time.
    fn report(&mut self, machines: &[Machine], now: Timestamp) -> Option<BTreeMap<String, String>> {
        for machine in machines.iter().filter(|machine| machine.state == "running") {
            self.runs_since.entry(machine.instance_id.clone()).or_insert(now);
        }
        if now < self.reported_at + REPORT / self.haste {
            return None;
        }
        self.reported_at = now;
        let mut objects = BTreeMap::new();
        for (name, etcd) in &mut self.etcds {
            let runs: BTreeMap<String, String> = etcd
                .wanted
                .members
                .iter()
                .filter_map(|(member, place)| {
                    let is_host = |machine: &&Machine| {
                        machine.state == "running"
                            && machine.group.as_deref() == Some(place.group.as_str())
                            && self.runs_since[&machine.instance_id] + MEMBER_STARTS / self.haste
                                <= now
                    };
                    let host = machines.iter().find(is_host)?;
                    Some((member.clone(), host.instance_id.clone()))
                })
                .collect();
            etcd.elect(&runs);
            for (member, instance_id) in runs {
                let report = etcd.report(&member, instance_id, now);
                let key = report_key(&self.cluster, name, &member);
                objects.insert(key, serde_json::to_string(&report).unwrap());
            }
        }
        Some(objects)
    }
}

impl Etcd {
    /// A leader that is gone is followed by another, while there is a quorum.
    fn elect(&mut self, runs: &BTreeMap<String, String>) {
        let has_quorum = runs.len() > self.wanted.members.len() / 2;
        let is_there = self.leader.as_ref().is_some_and(|leader| runs.contains_key(leader));
        if !has_quorum {
            self.leader = None;
        } else if !is_there {
            self.term += 1;
            self.leader = runs.keys().next().cloned();
        }
    }

    fn report(&mut self, member: &str, instance_id: String, now: Timestamp) -> MemberReport {
        let sequence = self.sequences.entry(member.to_owned()).or_default();
        *sequence += 1;
        if now > self.snapshot_at + Duration::from_secs(3600) {
            self.snapshot_at = now;
        }
        let voters = self.wanted.members.keys().map(|name| (name.clone(), MemberRole::Voter));
        MemberReport {
            format_version: MemberReport::FORMAT_VERSION,
            member: member.to_owned(),
            instance_id,
            sequence: *sequence,
            is_healthy: self.leader.is_some(),
            term: self.term,
            leader: self.leader.clone(),
            lag: 0,
            alarms: [].into(),
            members: voters.collect(),
            snapshot_at: Some(self.snapshot_at),
            version: None,
            cluster_version: None,
        }
    }
}
