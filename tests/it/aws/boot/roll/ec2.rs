//! EC2 as machines feel it: they are gone when they are ended, and those that groups launch boot.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::super::account::Account;
use super::super::super::calls::Call;
use super::super::cluster::Machines;
use super::report_at;

/// How often is looked.
const LOOK: Duration = Duration::from_millis(200);
/// How long anything may take on a machine that has other work as well.
const LIMIT: Duration = Duration::from_secs(300);

pub(super) struct Ec2<'c, 'm> {
    pub(super) machines: Machines<'c, 'm>,
    /// The emulator's log since it began.
    pub(super) calls: Vec<Call>,
    /// Which machine was in each group's place at first.
    pub(super) before: BTreeMap<String, String>,
    /// Those that have booted since, in their order: group and machine.
    pub(super) came: Vec<(String, String)>,
    /// How many machines may have been ended so far.
    pub(super) ends_max: usize,
    /// Whether machines that are launched do not boot yet.
    pub(super) holds: bool,
    /// Which machine is in each group's place.
    here: BTreeMap<String, String>,
}

impl<'c, 'm> Ec2<'c, 'm> {
    /// With these machines, which run.
    pub(super) fn of(machines: Machines<'c, 'm>) -> Self {
        let owner = &machines.cluster.owner;
        owner.config(&json!({"launch_seconds": 1, "terminate_seconds": 1}));
        owner.calls();
        let mut here = live(owner);
        here.retain(|group, _| machines.slots.contains_key(group));
        let here: BTreeMap<String, String> =
            here.into_iter().map(|(group, (id, _))| (group, id)).collect();
        let (calls, came, before) = (Vec::new(), Vec::new(), here.clone());
        Self { machines, calls, before, came, ends_max: 1, holds: false, here }
    }

    /// Has happen what was asked for.
    pub(super) fn look(&mut self) {
        let owner = &self.machines.cluster.owner;
        self.calls.extend(owner.calls());
        let ends = self.ends();
        assert!(ends.len() <= self.ends_max, "a machine goes while another one is away: {ends:?}");
        let live = live(owner);
        let groups: Vec<String> = self.machines.slots.keys().cloned().collect();
        for group in groups {
            let lives = live.get(&group);
            let is_here = self.here.get(&group) == lives.map(|(id, _)| id);
            if !is_here && self.here.remove(&group).is_some() {
                self.machines.slots.get_mut(&group).unwrap().kill();
            }
            if let Some((id, state)) = lives
                && !is_here
                && !self.holds
                && state == "running"
            {
                self.machines.boot_next(&group, id);
                self.here.insert(group.clone(), id.clone());
                self.came.push((group, id.clone()));
            }
        }
    }

    /// Goes on until something is so.
    #[expect(clippy::print_stderr, reason = "a test that fails tells why")]
    pub(super) fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        loop {
            self.look();
            if is_so(self) {
                eprintln!("{what} after {:?}", began.elapsed());
                return;
            }
            if began.elapsed() > LIMIT {
                self.machines.show();
                panic!("waited in vain until {what}");
            }
            thread::sleep(LOOK);
        }
    }

    /// How often something was done.
    pub(super) fn count(&self, action: &str) -> usize {
        self.calls.iter().filter(|call| call.action == action && call.is_change()).count()
    }

    /// The machines that were ended, each with its place in the log.
    pub(super) fn ends(&self) -> Vec<(usize, String)> {
        let is_end = |call: &Call| call.is_change() && call.action.starts_with("TerminateInstance");
        let ends = self.calls.iter().enumerate().filter(|(_, call)| is_end(call));
        let named = |(at, call): (usize, &Call)| {
            let ids = call.params.iter().filter(|(name, _)| name.starts_with("InstanceId"));
            ids.map(|(_, id)| (at, id.clone())).collect::<Vec<_>>()
        };
        ends.flat_map(named).collect()
    }

    /// The group whose machine is still the one of before, when it is the only one.
    pub(super) fn untouched(&self) -> String {
        let ended: Vec<String> = self.ends().into_iter().map(|(_, id)| id).collect();
        let mut left = self.before.iter().filter(|(_, id)| !ended.contains(id));
        let (group, _) = left.next().unwrap();
        assert_eq!(left.next(), None);
        group.clone()
    }

    /// How often somebody has read the report of a member of `main` since a place in the log.
    pub(super) fn looks(&self, who: &Account<'_>, member: &str, since: usize) -> usize {
        let key = report_at("main", member);
        let reads = self.calls[since..].iter().filter(|call| {
            call.caller == who.key_id() && call.action == "GetObject" && call.params["Key"] == key
        });
        reads.count()
    }
}

/// The machine of each group that has not ended, with its state.
fn live(owner: &Account<'_>) -> BTreeMap<String, (String, String)> {
    let found = owner.machines();
    let machines = found["machines"].as_array().unwrap().iter();
    let live = machines.filter(|one| one["state"] == "pending" || one["state"] == "running");
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let of_groups = live.filter_map(|one| {
        Some((text(&one["group"])?, (text(&one["instance_id"])?, text(&one["state"])?)))
    });
    of_groups.collect()
}
