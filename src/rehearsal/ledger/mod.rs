//! What the checkers remember of a world: who serves and since when, what kprod took on itself, and what
//! others changed meanwhile.
//!
//! kprod answers for its own acts alone. It cannot know at once what the world does by itself, so a loss
//! counts against it only when it is old enough to have been seen ([`Ledger::NOTICE_MS`]).

mod known;
mod look;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::truth::{self, Member};
use crate::apply::lease;
use crate::kube::PodId;
use crate::resource::ROLL_TAG;
use crate::roll::mark::{Raised, RollMark};
use crate::roll::{Policy, RolloutRole};
use crate::sim::kubernetes::BudgetRule;
use crate::sim::{Machine, StoredGroup, Time, World};

/// What is remembered of one world.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The cluster.
    pub cluster: String,
    /// How the roll may go about it.
    pub policy: Policy,
    /// Its groups by ASG name.
    pub groups: BTreeMap<String, GroupBook>,
    /// Groups that somebody deleted, as they were.
    pub deleted: BTreeMap<String, StoredGroup>,
    /// Its machines by instance id, as long as they are there.
    pub machines: BTreeMap<String, MachineBook>,
    /// What the world took by itself.
    pub losses: Vec<Loss>,
    /// When the lease's object changed last, by whomever.
    pub lease_changed_at: Time,
    lease: Option<String>,
    lease_key: String,
    /// The entity tag of the lease's object: while it stays, so does who holds it.
    lease_etag: Option<String>,
    /// Machines whose nodes somebody else cordoned.
    pub cordoned_by_others: BTreeSet<String>,
    /// When somebody else uncordoned a machine's node.
    pub uncordoned_at: BTreeMap<String, Time>,
    /// What disruption budgets ask for when nobody meddles.
    pub budgets: BTreeMap<PodId, BudgetRule>,
    /// The members of etcd, by etcd cluster.
    pub members: BTreeMap<String, Vec<MemberBook>>,
    members_looked_at: Time,
    /// Before when machines were launched that are to be replaced whatever they are built from, by group, as
    /// it was noted first: each goes once.
    pub forced: BTreeMap<String, Timestamp>,
    /// Machines that kprod took on itself and did not let be, gone ones among them.
    taken: BTreeSet<String>,
    /// Requests of kprod's that take a machine away, by process and instance id, and whether they are over,
    /// sent or not: what stops serving meanwhile is no loss.
    requests: BTreeMap<(String, String), bool>,
    /// How often what machines and groups are judged by had changed at the last look.
    seen: Option<Seen>,
}

/// How often parts of a world have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    machines: u64,
    nodes: Option<u64>,
    groups: u64,
}

/// What is remembered of a member of etcd.
#[derive(Clone, Debug)]
pub struct MemberBook {
    /// How it is.
    pub member: Member,
    /// When it was last well until then, and the world changed that by itself.
    pub ailed_at: Time,
}

/// What is remembered of a group.
#[derive(Clone, Debug, Default)]
pub struct GroupBook {
    /// Machines that it should have without kprod's surge: the least and the most that others' words
    /// can be taken for.
    pub base: (i32, i32),
    /// By how much kprod has raised it.
    pub raised: i32,
    /// Processes that somebody else suspended.
    pub suspended: BTreeSet<String>,
    /// When somebody else last changed what kprod goes by: desired capacity, target, tags.
    pub meddled_at: Time,
    /// When somebody else changed the desired capacity, and by how much, oldest first.
    pub resized: Vec<(Time, i32)>,
    /// Whether people took kprod's own notes away: then it cannot know what it was to restore.
    pub is_excused: bool,
    /// Its target, as tagged.
    pub target: Option<String>,
    /// When that changed last.
    pub target_changed_at: Time,
}

/// What is remembered of a machine.
#[derive(Clone, Debug)]
pub struct MachineBook {
    /// The group it is, or was, of.
    pub group: String,
    /// Its zone.
    pub zone: String,
    /// Whether it serves.
    pub serves: bool,
    /// Since when that is so.
    pub since: Time,
    /// Whether it ever served.
    pub has_served: bool,
    /// Whether it serves for the first time.
    pub is_first: bool,
    /// Whether it is in service, whatever its node says.
    runs: bool,
    /// When the world ended it.
    ended_at: Option<Time>,
    /// Whether kprod began to take it away: cordoned, detached or ended it.
    pub is_begun: bool,
    /// Whether it did not serve when kprod began with it.
    pub was_away: bool,
    /// Whether nobody could know then that it serves.
    pub was_unseen: bool,
}

/// A machine that stopped serving without kprod's doing.
#[derive(Clone, Debug)]
pub struct Loss {
    /// When.
    pub at: Time,
    /// The machine.
    pub instance_id: String,
    /// Its group.
    pub group: String,
    /// Its zone.
    pub zone: String,
}

impl Ledger {
    /// How long kprod may take to see what the world did: the watches' lag, a slow turn, and the
    /// retries of a request that was refused at first.
    pub const NOTICE_MS: u64 = 90_000;

    /// A ledger of a world that nothing has happened to.
    pub fn open(world: &mut World, cluster: &str, policy: &Policy) -> Self {
        let mut ledger = Self {
            cluster: cluster.to_owned(),
            policy: policy.clone(),
            groups: BTreeMap::new(),
            deleted: BTreeMap::new(),
            machines: BTreeMap::new(),
            losses: Vec::new(),
            lease_changed_at: world.now,
            lease: None,
            lease_key: lease::key(cluster),
            lease_etag: None,
            cordoned_by_others: BTreeSet::new(),
            uncordoned_at: BTreeMap::new(),
            budgets: truth::budget_rules(world, cluster),
            members: BTreeMap::new(),
            members_looked_at: Time(0),
            forced: BTreeMap::new(),
            taken: BTreeSet::new(),
            requests: BTreeMap::new(),
            seen: None,
        };
        ledger.look(world);
        ledger.losses.clear();
        ledger
    }

    /// Whether a machine is to be replaced whatever it is built from.
    pub fn is_forced(&self, machine: &Machine, group: &str) -> bool {
        self.forced.get(group).is_some_and(|at| machine.launched_at.timestamp() < *at)
    }

    /// The groups of a sort.
    pub fn of_role(&self, role: impl Fn(RolloutRole) -> bool) -> impl Iterator<Item = &str> {
        let is_of = move |name: &&String| {
            self.policy.groups.get(*name).is_some_and(|group| role(group.role))
        };
        self.groups.keys().filter(is_of).map(String::as_str)
    }

    /// A machine's role, if it is the cluster's.
    pub fn role_of(&self, instance_id: &str) -> Option<RolloutRole> {
        let group = &self.machines.get(instance_id)?.group;
        self.policy.groups.get(group).map(|policy| policy.role)
    }

    /// Notes that a process is about to take a machine on itself, whose node it has seen.
    pub fn begin(&mut self, who: &str, instance_id: &str) {
        self.take(who, instance_id, false);
    }

    /// Notes that a process is about to end a machine, whatever it has seen of it.
    pub fn end(&mut self, now: Time, who: &str, instance_id: &str) {
        let serves = self.machines.get(instance_id).is_some_and(|book| book.serves);
        let is_unseen = !serves || self.has_just_joined(now, instance_id);
        self.take(who, instance_id, is_unseen);
    }

    /// Notes that what a process was about to do to a machine is done, or never will be.
    pub fn finish(&mut self, who: &str) {
        let own = self.requests.iter_mut().filter(|((process, _), _)| process == who);
        own.for_each(|(_, is_over)| *is_over = true);
    }

    fn take(&mut self, who: &str, instance_id: &str, is_unseen: bool) {
        self.requests.insert((who.to_owned(), instance_id.to_owned()), false);
        if let Some(book) = self.machines.get_mut(instance_id).filter(|book| !book.is_begun) {
            book.was_away = !book.serves;
            book.was_unseen = is_unseen;
            book.is_begun = true;
        }
        self.taken.insert(instance_id.to_owned());
    }

    /// Notes that kprod lets a machine be again: one that the world has ended meanwhile is lost.
    pub fn let_be(&mut self, instance_id: &str) {
        if let Some(book) = self.machines.get_mut(instance_id) {
            book.is_begun = false;
            let lost = book.ended_at.map(|at| book.lost(instance_id, at));
            self.losses.extend(lost.filter(|_| !book.serves));
        }
        self.taken.remove(instance_id);
    }

    /// Notes that kprod changed a desired capacity, to what it is now. Where it asked for that number, and
    /// others had just changed the last one, its note tells whether it knew of that: no listing shows it at
    /// once.
    pub fn kprod_set_desired(
        &mut self,
        now: Time,
        before: i32,
        stored: &StoredGroup,
        asked: Option<i32>,
    ) {
        let (group, after) = (&stored.group.auto_scaling_group_name, stored.desired_capacity);
        let (least, most) = self.may_be_known(now, group, before);
        let noted = noted_surge(stored);
        if let Some(book) = self.groups.get_mut(group) {
            let wanted = before - book.raised;
            let raises = asked == Some(after);
            let known = noted.filter(|_| raises).map_or(wanted, |noted| noted.base);
            let known = known.clamp(least, most);
            book.resized.retain(|_| !raises);
            book.base = (book.base.0.min(known), book.base.1.max(known));
            book.raised += after - before + wanted - known;
            if book.raised < 0 {
                // It gave back what it never took: others' change in between, or a group that shrinks.
                book.base.0 += book.raised;
                book.raised = 0;
            }
        }
    }

    /// Notes that somebody else changed a desired capacity. What they saw may have held kprod's surge
    /// or not; and where it is the very number that a killed run had noted for its surge and not come to,
    /// nobody can tell who has asked for it.
    pub fn others_set_desired(&mut self, now: Time, before: i32, stored: &StoredGroup) {
        let (group, after) = (&stored.group.auto_scaling_group_name, stored.desired_capacity);
        let is_noted = |noted: &Raised| noted.made < noted.by && noted.base + noted.by == after;
        let noted = noted_surge(stored).filter(is_noted);
        if let Some(book) = self.groups.get_mut(group) {
            let (low, high) = (book.base.0 + after - before, book.base.1 + after - before);
            book.base = (low.min(after).max(0), high.max(after));
            book.meddled_at = now;
            if book.raised == 0 {
                book.base = (after, after);
            }
            match noted {
                Some(noted) => {
                    book.base.0 = book.base.0.min(noted.base);
                    book.raised = noted.by;
                }
                None => book.resized.push((now, after - before)),
            }
        }
    }

    /// Notes that somebody else took kprod's note off a group: whoever looks next takes all machines
    /// that it has for its own.
    pub fn others_unmarked(&mut self, now: Time, group: &str, desired: i32) {
        if let Some(book) = self.groups.get_mut(group) {
            book.is_excused = true;
            book.base.1 = book.base.1.max(desired);
        }
        self.others_meddled(now, group);
    }

    /// Notes that somebody else changed a group's notes or settings.
    pub fn others_meddled(&mut self, now: Time, group: &str) {
        if let Some(book) = self.groups.get_mut(group) {
            book.meddled_at = now;
        }
    }
}

impl GroupBook {
    /// Of a group that nothing has happened to.
    pub fn of(stored: &StoredGroup) -> Self {
        Self {
            base: (stored.desired_capacity, stored.desired_capacity),
            suspended: stored.group.suspended_processes.clone(),
            ..Self::default()
        }
    }
}

impl MachineBook {
    fn new(machine: &Machine, group: &str, now: Time) -> Self {
        Self {
            group: group.to_owned(),
            zone: machine.availability_zone.clone(),
            serves: false,
            since: now,
            has_served: false,
            is_first: false,
            runs: false,
            ended_at: None,
            is_begun: false,
            was_away: false,
            was_unseen: false,
        }
    }

    fn lost(&self, instance_id: &str, at: Time) -> Loss {
        let (group, zone) = (self.group.clone(), self.zone.clone());
        Loss { at, instance_id: instance_id.to_owned(), group, zone }
    }
}

/// The surge that kprod has noted on a group.
fn noted_surge(stored: &StoredGroup) -> Option<Raised> {
    stored.group.tags.get(ROLL_TAG)?.value.parse::<RollMark>().ok()?.raised
}

/// A count as AWS counts.
pub fn count<T>(items: impl Iterator<Item = T>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}
