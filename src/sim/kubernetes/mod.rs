//! A simulated Kubernetes cluster: API server, controllers, scheduler and kubelets as one value.
//!
//! [`Kubernetes`] is plain data with a clock, and draws from a stream of its own, so that what happens
//! inside a cluster never changes an id or a delay of the account it lives in. The world tells it of
//! machines ([`Kubernetes::host_boots`], [`Kubernetes::host_stops`], [`Kubernetes::host_is_gone`]) and
//! lets its time pass ([`Kubernetes::advance`]); requests are answered as a real API server answers
//! them (`request`). Nothing in it is periodic: a cluster that rests costs nothing.
//!
//! While no API server runs nobody can write, so everything that would have happened waits.

mod budget;
mod defaults;
mod fault;
mod host;
mod meddle;
mod node;
mod object;
mod pod;
mod request;
mod schedule;
mod settings;
mod watch;
mod workload;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

pub use budget::{Amount, BudgetRule, StoredBudget};
pub use fault::{ApiTrouble, KubernetesFaults, Outage};
pub use host::Host;
pub use node::StoredNode;
pub use object::NodeFields;
pub use pod::StoredPod;
pub use request::Refusal;
pub use settings::{Delay, Pace, Settings};
pub use watch::{Change, Versioned};
pub use workload::{PodStop, Workload, WorkloadKind};

use super::Counted;
use super::clock::Time;
use crate::kube::PodId;
use host::StoredHost;
use watch::{History, Watch};
use workload::StoredWorkload;

/// One simulated cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// Its name.
    pub name: String,
    /// What is known of it, and how fast its parts are.
    pub settings: Settings,
    /// What goes wrong.
    #[serde(default)]
    pub faults: KubernetesFaults,
    /// Requests, oldest first.
    #[serde(default)]
    pub log: VecDeque<LoggedRequest>,
    /// How late a watch tells of a change, at most, in milliseconds; the world's own lag.
    #[serde(default)]
    pub(super) lag_ms_max: u64,
    seed: u64,
    drawn: u64,
    now: Time,
    /// Machines by instance id, for as long as EC2 has them.
    hosts: BTreeMap<String, StoredHost>,
    /// Machines whose API server answers.
    api_servers: BTreeSet<String>,
    /// When the last API server went.
    api_lost_at: Option<Time>,
    nodes: Counted<BTreeMap<String, StoredNode>>,
    /// Pods by a number of their own, in the order in which they were made.
    pods: BTreeMap<u64, StoredPod>,
    pod_names: BTreeMap<PodId, u64>,
    /// Pods of nodes whose object is gone.
    orphans: BTreeMap<String, BTreeSet<u64>>,
    workloads: BTreeMap<u64, StoredWorkload>,
    budgets: BTreeMap<PodId, StoredBudget>,
    /// Pods that wait for a node: the more urgent first, then the older.
    pending: BTreeSet<(u8, u64)>,
    /// When the scheduler looks next.
    schedule_at: Option<Time>,
    /// The node that the scheduler looked at last: it goes on from there.
    cursor: String,
    is_furnished: bool,
    queue: BTreeSet<Due>,
    /// What fell due while no API server ran.
    parked: Vec<Event>,
    /// Counts events, and numbers pods and workloads.
    numbers: u64,
    /// Counts changes: the resource version.
    generation: u64,
    #[serde(skip)]
    watch: Watch,
    #[serde(skip)]
    history: History,
}

/// One request as an audit log would show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedRequest {
    /// The request's name.
    pub operation: String,
    /// What it was about.
    pub subject: String,
    /// When.
    pub at: Time,
    /// `ok`, or what was answered; `AnswerLost` when it took effect and nobody was told.
    pub outcome: String,
}

/// Something that happens at its time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Due {
    at: Time,
    number: u64,
    event: Event,
}

/// What happens by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Event {
    /// A control-plane machine's API server answers.
    ApiStarts { instance_id: String },
    /// A kubelet registers its node.
    Joins { instance_id: String },
    /// The cloud controller writes a node's instance.
    Initialises { node: String },
    /// A node is ready.
    Ready { node: String },
    /// A kubelet was silent for too long.
    Lost { node: String },
    /// A node that was called unready by hand may be ready again.
    Recovers { node: String },
    /// The cloud controller looks whether a lost node's instance exists.
    CloudCheck { node: String },
    /// The taint of a cordon follows it.
    FollowCordon { node: String },
    /// Pods leave a lost node.
    TaintEviction { node: String },
    /// Pods of a node without an object go.
    OrphanRemoval { node: String },
    /// DaemonSets look at a node.
    DaemonPods { node: String },
    /// A workload's controller looks at its pods.
    Sync { workload: u64 },
    /// The disruption controller looks at a budget.
    SyncBudget { budget: PodId },
    /// The scheduler looks at pods that wait.
    Schedule,
    /// A pod's containers run.
    PodStarts { pod: u64 },
    /// A pod's work is done.
    PodEnds { pod: u64 },
    /// A pod's containers have ended after it was deleted.
    PodStops { pod: u64 },
}

impl Kubernetes {
    /// Most events handled in one step of time.
    const EVENTS_MAX: usize = 2_000_000;
    /// Most requests that the log keeps; the oldest go first.
    const LOG_MAX: usize = 5_000;

    /// A cluster without machines.
    pub fn new(name: &str, seed: u64, now: Time, settings: Settings) -> Self {
        let mut cluster = Self {
            name: name.to_owned(),
            settings,
            faults: KubernetesFaults::default(),
            log: VecDeque::new(),
            lag_ms_max: 0,
            seed,
            drawn: 0,
            now,
            hosts: BTreeMap::new(),
            api_servers: BTreeSet::new(),
            api_lost_at: None,
            nodes: Counted::default(),
            pods: BTreeMap::new(),
            pod_names: BTreeMap::new(),
            orphans: BTreeMap::new(),
            workloads: BTreeMap::new(),
            budgets: BTreeMap::new(),
            pending: BTreeSet::new(),
            schedule_at: None,
            cursor: String::new(),
            is_furnished: false,
            queue: BTreeSet::new(),
            parked: Vec::new(),
            numbers: 0,
            generation: 0,
            watch: Watch::default(),
            history: History::default(),
        };
        for part in defaults::CONTROL_PLANE_PARTS {
            cluster.install(defaults::control_plane_part(part));
        }
        cluster
    }

    /// Its clock.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Lets time pass until `to`. Time never runs backwards.
    pub fn advance(&mut self, to: Time) {
        for _ in 0..Self::EVENTS_MAX {
            self.resume_parked();
            match self.queue.first() {
                Some(due) if due.at <= to => {}
                _ => break,
            }
            let Some(due) = self.queue.pop_first() else { break };
            self.now = self.now.max(due.at);
            self.handle(due.event);
        }
        self.now = self.now.max(to);
        self.resume_parked();
        self.tell();
    }

    /// When something falls due next: an event, a change that a watch tells late, or the beginning or
    /// end of an outage.
    pub fn next_event(&self) -> Option<Time> {
        let event = self.queue.first().map(|due| due.at);
        let told = self.watch.next().filter(|_| self.is_reachable());
        event.into_iter().chain(told).chain(self.faults.next_edge(self.now)).min()
    }

    fn handle(&mut self, event: Event) {
        if let Event::ApiStarts { instance_id } = &event {
            return self.api_starts(instance_id);
        }
        if !self.serves() {
            self.parked.push(event);
            return;
        }
        match event {
            Event::ApiStarts { .. } => {}
            Event::Joins { instance_id } => self.joins(&instance_id),
            Event::Initialises { node } => self.initialises(&node),
            Event::Ready { node } | Event::Recovers { node } => self.becomes_ready(&node),
            Event::Lost { node } => self.node_is_lost(&node),
            Event::CloudCheck { node } => self.cloud_check(&node),
            Event::FollowCordon { node } => self.follow_cordon(&node),
            Event::TaintEviction { node } => self.taint_eviction(&node),
            Event::OrphanRemoval { node } => self.orphan_removal(&node),
            Event::DaemonPods { node } => self.daemon_pods(&node),
            Event::Sync { workload } => self.sync(workload),
            Event::SyncBudget { budget } => self.sync_budget(&budget),
            Event::Schedule => self.schedule(),
            Event::PodStarts { pod } => self.pod_starts(pod),
            Event::PodEnds { pod } => self.pod_ends(pod),
            Event::PodStops { pod } => self.pod_stops(pod),
        }
    }

    /// Whether an API server runs: without one nobody writes anything.
    pub fn serves(&self) -> bool {
        !self.api_servers.is_empty() && !self.faults.is_down(self.now)
    }

    /// Takes up what waited for an API server.
    fn resume_parked(&mut self) {
        if self.parked.is_empty() || !self.serves() {
            return;
        }
        for event in std::mem::take(&mut self.parked) {
            self.after(Delay(1, 2_000), event);
        }
    }

    /// Has something happen after a delay.
    fn after(&mut self, delay: Delay, event: Event) {
        // Never at once: what follows from itself still lets time pass.
        let ms = delay.0.saturating_add(self.draw(delay.1)).max(1);
        self.at(self.now.plus_ms(ms), event);
    }

    fn at(&mut self, at: Time, event: Event) {
        let number = self.number();
        self.queue.insert(Due { at, number, event });
    }

    fn number(&mut self) -> u64 {
        self.numbers = self.numbers.wrapping_add(1);
        self.numbers
    }

    /// Writes a request down.
    pub(super) fn record(&mut self, request: LoggedRequest) {
        if self.log.len() >= Self::LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(request);
    }

    /// A number below `bound`, from the seed and how many were drawn before; 0 for an empty range.
    fn draw(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        self.drawn = self.drawn.wrapping_add(1);
        let seed = self.seed ^ self.drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        fastrand::Rng::with_seed(seed).u64(0..bound)
    }

    /// So many letters and digits, as generated names end.
    /// Source: Kubernetes, `k8s.io/apimachinery/pkg/util/rand`: no vowels and nothing that looks alike.
    fn suffix(&mut self, length: usize) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..length)
            .filter_map(|_| {
                let position = usize::try_from(self.draw(LETTERS.len() as u64)).ok()?;
                LETTERS.get(position).map(|letter| char::from(*letter))
            })
            .collect()
    }

    /// A uid of the usual form from a number.
    fn uid(&self, number: u64) -> String {
        let high = self.seed >> 32;
        format!("{:08x}-0000-4000-8000-{number:012x}", high & 0xFFFF_FFFF)
    }
}
