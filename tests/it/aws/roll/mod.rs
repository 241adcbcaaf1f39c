//! Rolling updates of a whole cluster of sixty machines: the real driver, the AWS SDK over HTTP
//! against the emulator, the Kubernetes client over HTTP against the simulated API server.
//!
//! Time runs faster (see `fast`), and each roll is a process of its own (see `errand`).

mod bad_days;
mod binary;
mod errand;
mod fast;
mod kills;
mod order;
mod people;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kprod::resource::{DETACHED_TAG, FAILED_TAG, ROLL_TAG};
use kprod::roll::Policy;
use kprod::roll::mark;
use kprod::state::StateAddress;
use serde_json::json;

use super::account::{Account, Network, program, said};
use super::policy::{ROLLING, policies, without};
use super::read::changes;
use super::{Moto, PROD, STAGING};
use errand::Errand;
use people::{Group, Inventory, Pace, People, Place, inventory};

/// A second of a test is twenty of the cluster's.
const FAST: Pace = Pace { times: 20, haste: 1 };

/// Pools of which `prod` has sixty machines, eight of them behind the quorum guard, and canaries that
/// are not watched for minutes.
const SIXTY: [&str; 5] = [
    "spot_nodes.4x_32Gb.min=21",
    "zonal_pools.general.min=8",
    "zonal_pools.high-memory.min=2",
    "pools.admin.min=3",
    "canary_soak=30s",
];

/// How many machines that makes.
const MACHINES: usize = 60;

/// Seconds until a machine runs, and until one is gone, at a usual pace.
const LAUNCH_SECONDS: u32 = 20;
const TERMINATE_SECONDS: u32 = 5;

/// A cluster with people at work in it, and with a new image to roll.
struct Stage<'m> {
    owner: Account<'m>,
    network: Network,
    people: People,
    /// `--set` and values, the new image among them.
    sets: Vec<String>,
    /// What was there before the roll.
    before: Inventory,
}

impl<'m> Stage<'m> {
    /// Sixty machines, with a new image applied.
    fn of_prod(moto: &'m Moto) -> Self {
        let mut stage = Self::set(moto, PROD, &SIXTY, FAST);
        assert_eq!(stage.before.machines.len(), MACHINES);
        stage.next_image();
        apply(&stage.owner, PROD, &stage.sets);
        stage
    }

    /// Makes a cluster and has its machines come up.
    fn set(moto: &'m Moto, cluster: &'static str, sizes: &[&str], pace: Pace) -> Self {
        let owner = moto.account();
        let network = owner.network(cluster);
        let seconds = |usual: u32| f64::from(usual) / f64::from(pace.times * pace.haste);
        owner.config(&json!({
            "launch_seconds": seconds(LAUNCH_SECONDS),
            "terminate_seconds": seconds(TERMINATE_SECONDS),
        }));
        let mut sets = network.sets();
        sets.extend(sizes.iter().flat_map(|size| ["--set".to_owned(), (*size).to_owned()]));
        apply(&owner, cluster, &sets);
        sets.extend(["--set".to_owned(), format!("image={}", network.text("/image"))]);
        let spec = errand(&sets, &network).spec();
        let place = Place {
            port: moto.port,
            account: owner.number.clone(),
            cluster: cluster.to_owned(),
            state: spec.cluster.spec.config_base.as_deref().and_then(StateAddress::parse).unwrap(),
            topology: Policy::of(&spec).topology,
            pace,
        };
        let people = People::start(place);
        let before = inventory(moto.port, &owner.number);
        people.settle(before.machines.iter().filter(|machine| machine.host().is_some()).count());
        Self { owner, network, people, sets, before }
    }

    /// The team builds another image, which is to be rolled from here.
    fn next_image(&mut self) {
        let image = self.owner.seed("image", &json!({"name": "next"}));
        *self.sets.last_mut().unwrap() = format!("image={}", image.as_str().unwrap());
        self.before = self.now();
        self.owner.calls();
    }

    /// What the next process is to do.
    fn errand(&self, holder: &str) -> Errand {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        Errand {
            kubeconfig: self.people.kubeconfig(folder),
            time: self.people.time,
            holder: holder.to_owned(),
            diary: folder.join(format!("roll-{}.log", self.owner.number)),
            ..errand(&self.sets, &self.network)
        }
    }

    fn now(&self) -> Inventory {
        inventory(self.owner.moto.port, &self.owner.number)
    }

    /// Whether the roll has done all of its work, once, and has left nothing behind.
    ///
    /// # Errors
    /// What is not as it should be.
    fn is_rolled(&self) -> Result<(), String> {
        let after = self.now();
        let mut wrong = replaced_once(&self.before, &after);
        wrong.extend(left_behind(&self.before, &after));
        wrong.extend(self.left_on_nodes(&after));
        let depth = [&self.sets[..], &["--deep".to_owned()]].concat();
        let words: Vec<&str> = depth.iter().map(String::as_str).collect();
        let (code, plan) = self.owner.plan_with(self.network.cluster, &words);
        if code != 0 {
            wrong.push(format!("a plan ends with {code}: {:#?}", changes(&plan)));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Marks of a roll on nodes, and nodes without a machine.
    fn left_on_nodes(&self, after: &Inventory) -> Vec<String> {
        let lives: BTreeSet<&str> = after
            .machines
            .iter()
            .filter(|machine| machine.lives() && machine.host().is_some())
            .map(|machine| machine.instance_id.as_str())
            .collect();
        let mut wrong = Vec::new();
        let nodes: Vec<kprod::kube::Node> = self
            .people
            .api
            .with(|cluster| cluster.nodes().values().map(|stored| stored.node.clone()).collect());
        for node in &nodes {
            let is_ours = |key: &&String| key.starts_with("kprod.dev/");
            let taints = node.taints.iter().map(|taint| &taint.key).filter(is_ours);
            let annotations = node.annotations.keys().filter(is_ours);
            // The control plane's own label of that name is empty.
            let is_label = |(key, value): &(&String, &String)| {
                *key == mark::NO_BALANCER_LABEL && *value == "kprod"
            };
            let labels = node.labels.iter().filter(is_label).map(|(key, _)| key);
            let left: Vec<&String> = taints.chain(annotations).chain(labels).collect();
            if node.unschedulable || !left.is_empty() {
                wrong.push(format!(
                    "left on {}: cordon {}, {left:?}",
                    node.name, node.unschedulable
                ));
            }
            if !node.instance_id.as_deref().is_some_and(|id| lives.contains(id)) {
                wrong.push(format!("{} has no machine", node.name));
            }
        }
        if nodes.len() != lives.len() {
            wrong.push(format!("{} nodes of {} machines", nodes.len(), lives.len()));
        }
        wrong
    }
}

fn apply(account: &Account<'_>, cluster: &str, sets: &[String]) {
    let mut command = account.command(&["apply", cluster, "--yes", "--cloud", "aws"]);
    let run = command.args(sets).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
}

fn errand(sets: &[String], network: &Network) -> Errand {
    Errand {
        cluster: network.cluster.to_owned(),
        sets: sets.to_vec(),
        program: program(),
        kubeconfig: Default::default(),
        time: fast::FastTime::from_now(1),
        holder: String::new(),
        diary: Default::default(),
    }
}

/// Every machine from before is gone, and each group has as many as before, none of which was one
/// too many on the way.
fn replaced_once(before: &Inventory, after: &Inventory) -> Vec<String> {
    let mut wrong = Vec::new();
    let old = before.ids();
    for machine in &after.machines {
        let is_old = old.contains(machine.instance_id.as_str());
        if is_old == machine.lives() {
            let word = if is_old { "was not replaced" } else { "is new and goes again" };
            wrong.push(format!("{} {word}: {:?}", machine.instance_id, machine.group));
        }
    }
    let launched = after.ids().difference(&old).count();
    let lives = after.machines.iter().filter(|machine| machine.lives()).count();
    let all = before.machines.len();
    if (launched, lives) != (all, all) {
        wrong.push(format!("{launched} machines were launched, and {lives} live"));
    }
    wrong
}

/// Groups that are not as before, and marks of a roll on groups and machines.
fn left_behind(before: &Inventory, after: &Inventory) -> Vec<String> {
    let mut wrong = Vec::new();
    let sizes = |group: &Group| (group.desired, group.min, group.max, group.suspended.clone());
    let known: BTreeMap<&str, &Group> =
        before.groups.iter().map(|group| (group.name.as_str(), group)).collect();
    for group in &after.groups {
        let (was, is) = (sizes(known[group.name.as_str()]), sizes(group));
        if was != is {
            wrong.push(format!("{}: {was:?} before, {is:?} after", group.name));
        }
        let marks = [ROLL_TAG, FAILED_TAG].into_iter().filter(|key| group.tags.contains_key(*key));
        wrong.extend(marks.map(|key| format!("{}: tag {key}", group.name)));
        let serving = group.members.values().filter(|state| *state == "InService").count();
        if serving != group.members.len() || i64::try_from(serving) != Ok(group.desired) {
            wrong.push(format!("{}: {:?}", group.name, group.members));
        }
    }
    for machine in after.machines.iter().filter(|machine| machine.lives()) {
        if machine.tags.contains_key(DETACHED_TAG) || machine.group.is_none() {
            wrong.push(format!("{}: {:?}", machine.instance_id, machine.tags));
        }
    }
    wrong
}

/// The control plane and etcd first, one machine at a time, then pools beside each other; nothing is
/// left behind; the second run has nothing to do. The printed policy allows all of it, and no more is
/// asked of the emulator than it can do.
#[test]
fn sixty_machines_are_replaced_once_and_nothing_is_left_behind() {
    let moto = Moto::start();
    let stage = Stage::of_prod(&moto);
    stage.owner.calls();
    let policies = policies(&stage.owner, &stage.network, "apply");
    for sid in ROLLING {
        let user = stage.owner.user(sid, &without(&policies, sid));
        let told = stage.errand("ann@laptop (process 0)").run(&user).unwrap();
        assert!(told.code == 1 && told.failure.contains(sid), "without {sid}: {told:#?}");
    }
    let operator = stage.owner.user("operator", &policies);
    let told = stage.errand("ann@laptop (process 1)").run(&operator).unwrap();
    assert_eq!((told.code, told.replaced), (0, MACHINES), "{told:#?}");
    assert!(!told.resumed);
    stage.is_rolled().unwrap();
    let calls = stage.owner.calls();
    order::check(&calls, &stage.before);

    let again = stage.errand("bob@laptop (process 2)").run(&operator).unwrap();
    assert_eq!((again.code, again.steps, again.replaced), (0, 0, 0), "{again:#?}");
    let changes: Vec<_> = stage.owner.calls().into_iter().filter(|call| call.is_change()).collect();
    assert!(changes.is_empty(), "{changes:#?}");
}
