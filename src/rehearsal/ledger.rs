//! What the checkers remember of a world: who serves and since when, what kprod took on itself, and what
//! others changed meanwhile.
//!
//! kprod answers for its own acts alone. It cannot know at once what the world does by itself, so a loss
//! counts against it only when it is old enough to have been seen ([`Ledger::NOTICE_MS`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::truth::{self, Member};
use crate::apply::lease;
use crate::kube::PodId;
use crate::resource::{DETACHED_TAG, OWNER_TAG, ROLL_TAG, TARGET_TAG};
use crate::roll::mark::{DetachMark, Raised, RollMark};
use crate::roll::{Policy, RolloutRole};
use crate::sim::kubernetes::BudgetRule;
use crate::sim::{Lifecycle, Machine, StoredGroup, Time, World};

/// So long a look at the members counts.
const MEMBERS_MS: u64 = 5_000;

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

    /// Takes in the world as it is now. Gives the machines that were not there before.
    pub fn look(&mut self, world: &mut World) -> Vec<String> {
        // Mostly nothing becomes of members, and whoever takes one looks anew.
        if world.now.since_ms(self.members_looked_at) >= MEMBERS_MS {
            self.look_at_members(world);
        }
        let world = &*world;
        self.look_at_lease(world);
        self.look_at_force(world);
        let seen = Seen {
            machines: world.machines.changes(),
            nodes: world.clusters.get(&self.cluster).map(|known| known.nodes().changes()),
            groups: world.groups.changes(),
        };
        // Mostly nothing becomes of machines and groups either.
        let is_as_before = self.seen.replace(seen) == Some(seen);
        let new = if is_as_before { Vec::new() } else { self.look_at_changes(world) };
        self.requests.retain(|_, is_over| !*is_over);
        new
    }

    fn look_at_changes(&mut self, world: &World) -> Vec<String> {
        let new = self.look_at_machines(world);
        self.open_books(world);
        for (name, book) in &mut self.groups {
            let stored = world.groups.get(name);
            let target = stored.and_then(|stored| stored.group.tags.get(TARGET_TAG));
            let target = target.map(|tag| tag.value.as_str());
            if book.target.as_deref() != target {
                book.target = target.map(str::to_owned);
                book.target_changed_at = world.now;
            }
        }
        new
    }

    /// Groups that are there for the first time, or again: somebody deleted one, and an apply made it anew.
    fn open_books(&mut self, world: &World) {
        for (name, stored) in world.groups.iter() {
            let is_known = self.groups.contains_key(name) || !self.policy.groups.contains_key(name);
            if !is_known && !stored.is_pending_delete {
                self.groups.insert(name.clone(), GroupBook::of(stored));
            }
        }
    }

    /// Has the next look take in everything: somebody worked on what is remembered.
    pub fn look_anew(&mut self) {
        self.seen = None;
    }

    /// Notes who serves and who does not any more. Gives the machines that were not there before.
    fn look_at_machines(&mut self, world: &World) -> Vec<String> {
        let now = world.now;
        let kprods: BTreeSet<&str> = self.requests.keys().map(|(_, id)| id.as_str()).collect();
        let serving = serving(world, &self.cluster, &self.policy);
        let mut new = Vec::new();
        for (machine, group, runs, serves) in &serving {
            let id = &machine.instance_id;
            if !self.machines.contains_key(id) {
                new.push(id.clone());
                self.machines.insert(id.clone(), MachineBook::new(machine, group, now));
            }
            let Some(known) = self.machines.get_mut(id) else { continue };
            let is_kprods = kprods.contains(id.as_str());
            if known.runs && !*runs && !is_kprods {
                known.ended_at = Some(now);
            }
            known.runs = *runs;
            if known.serves != *serves {
                known.serves = *serves;
                known.since = now;
                known.is_first = *serves && !known.has_served;
                if !*serves && !is_kprods {
                    self.losses.push(known.lost(id, now));
                }
            }
            known.has_served |= *serves;
        }
        // Every machine that is there has its book by now: others have one only if there are more.
        if self.machines.len() > serving.len() {
            let there: BTreeSet<&str> =
                serving.iter().map(|(machine, ..)| machine.instance_id.as_str()).collect();
            let losses = &mut self.losses;
            self.machines.retain(|id, book| {
                let is_there = there.contains(id.as_str());
                if !is_there && book.serves && !kprods.contains(id.as_str()) {
                    losses.push(book.lost(id, now));
                }
                is_there
            });
        }
        new
    }

    /// Notes how members are. What ails one whose machine kprod took is kprod's doing.
    pub fn look_at_members(&mut self, world: &mut World) {
        self.members_looked_at = world.now;
        let found = truth::members(world, &self.cluster, &self.policy);
        for (etcd, members) in found {
            let before = self.members.remove(&etcd).unwrap_or_default();
            let books = members.into_iter().map(|member| {
                let known = before.iter().find(|book| book.member.member == member.member);
                let ailed_at = match known {
                    Some(book)
                        if book.member.is_well()
                            && !member.is_well()
                            && !self.took(&book.member) =>
                    {
                        world.now
                    }
                    Some(book) => book.ailed_at,
                    None => Time(0),
                };
                MemberBook { member, ailed_at }
            });
            let books: Vec<MemberBook> = books.collect();
            self.members.insert(etcd, books);
        }
    }

    /// Whether a member's machine is one that kprod has taken on itself.
    fn took(&self, member: &Member) -> bool {
        member.state.host.as_ref().is_some_and(|id| self.taken.contains(id))
    }

    fn look_at_lease(&mut self, world: &World) {
        let etag = world.objects.get(&self.lease_key).map(|object| &object.etag);
        if self.lease_etag.as_ref() == etag {
            return;
        }
        self.lease_etag = etag.cloned();
        let holder = truth::lease_holder(world, &self.cluster);
        if self.lease != holder {
            self.lease = holder;
            self.lease_changed_at = world.now;
        }
    }

    /// Takes in which machines are to be replaced whatever they are built from. What was noted first holds
    /// until the note is taken away with none of them left; whoever was killed before that could be told asks
    /// again, and gets another roll.
    fn look_at_force(&mut self, world: &World) {
        if !self.policy.force {
            return;
        }
        let noted = truth::forced(world, &self.cluster);
        if noted.is_empty() && !self.has_forced(world) {
            self.forced.clear();
        }
        for (group, at) in noted {
            self.forced.entry(group).or_insert(at);
        }
    }

    fn has_forced(&self, world: &World) -> bool {
        self.machines.iter().any(|(id, book)| {
            let machine = world.machines.get(id).filter(|machine| machine.lifecycle.counts());
            machine.is_some_and(|machine| self.is_forced(machine, &book.group))
        })
    }

    /// Whether a machine is to be replaced whatever it is built from.
    pub fn is_forced(&self, machine: &Machine, group: &str) -> bool {
        self.forced.get(group).is_some_and(|at| machine.launched_at.timestamp() < *at)
    }

    /// Whether something that happened then cannot be known yet.
    pub fn is_fresh(&self, now: Time, at: Time) -> bool {
        now.since_ms(at) < Self::NOTICE_MS
    }

    /// Machines that a group should have without kprod's surge, as far as kprod can know: of what others
    /// have just made of that, the least.
    pub fn known_to_be_wanted(&self, now: Time, group: &str, desired: i32) -> i32 {
        self.may_be_known(now, group, desired).0
    }

    /// The same, of what others have just made of that the most: what a share may be taken of.
    pub fn wanted_at_most(&self, now: Time, group: &str, desired: i32) -> i32 {
        self.may_be_known(now, group, desired).1
    }

    /// The least and the most of what a listing may still give for [`Ledger::known_to_be_wanted`].
    fn may_be_known(&self, now: Time, group: &str, desired: i32) -> (i32, i32) {
        let Some(book) = self.groups.get(group) else { return (desired, desired) };
        let mut then = desired - book.raised;
        let (mut least, mut most) = (then, then);
        for (at, by) in book.resized.iter().rev() {
            if !self.is_fresh(now, *at) {
                break;
            }
            then -= by;
            (least, most) = (least.min(then), most.max(then));
        }
        (least, most)
    }

    /// Machines of a group that serve, with those lost so lately that nobody can know.
    pub fn known_to_serve(&self, now: Time, group: &str) -> i32 {
        let serve = self.machines.values().filter(|book| book.group == group && book.serves);
        let lost = self.fresh_losses(now).filter(|loss| loss.group == group);
        count(serve) + count(lost)
    }

    /// Whether a machine serves since so lately that nobody can know: who ends it takes it for one that does
    /// not.
    pub fn serves_unknown(&self, now: Time, id: &str) -> bool {
        self.has_just_joined(now, id) || self.is_just_uncordoned(now, id)
    }

    /// Whether a machine serves for the first time, and so lately that nobody can know. One that kprod has
    /// begun with it has seen, unless it was to end at once: a request that is refused for a moment is sent
    /// again.
    fn has_just_joined(&self, now: Time, id: &str) -> bool {
        let is_unseen = |book: &MachineBook| !book.is_begun || book.was_unseen;
        let book = self.machines.get(id).filter(|book| is_unseen(book));
        book.is_some_and(|book| book.is_first && self.is_fresh(now, book.since))
    }

    /// Whether a machine that did not serve when kprod began with it serves since somebody took its cordon
    /// off, and so lately that nobody can know. What did serve then was taken away by kprod, within limits
    /// that hold on.
    fn is_just_uncordoned(&self, now: Time, id: &str) -> bool {
        let began_away = self.machines.get(id).is_some_and(|book| book.is_begun && book.was_away);
        began_away && self.is_freshly_uncordoned(now, id)
    }

    /// Whether somebody took a machine's cordon off so lately that nobody can know.
    pub fn is_freshly_uncordoned(&self, now: Time, id: &str) -> bool {
        self.uncordoned_at.get(id).is_some_and(|at| self.is_fresh(now, *at))
    }

    /// What the world took so lately that nobody can know.
    pub fn fresh_losses(&self, now: Time) -> impl Iterator<Item = &Loss> {
        let is_back = |loss: &Loss| self.machines.get(&loss.instance_id).is_some_and(|m| m.serves);
        self.losses.iter().filter(move |loss| self.is_fresh(now, loss.at) && !is_back(loss))
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

/// Every machine of the cluster with its group, whether it is in service, and whether it serves.
fn serving<'a>(
    world: &'a World,
    cluster: &str,
    policy: &Policy,
) -> Vec<(&'a Machine, Cow<'a, str>, bool, bool)> {
    let nodes = truth::nodes(world, cluster);
    let mut found = Vec::with_capacity(world.machines.len());
    for machine in world.machines.values() {
        if machine.tags.get(OWNER_TAG).is_none_or(|owner| owner != cluster) {
            continue;
        }
        let Some(group) = group_of(machine) else { continue };
        let Some(limits) = policy.groups.get(group.as_ref()) else { continue };
        let runs = match machine.lifecycle {
            Lifecycle::InService => true,
            // Load balancers let it go first; one that has none works on all the while.
            Lifecycle::Detaching => !is_balanced(world, &group),
            _ => false,
        };
        let is_node = limits.role.joins() && !policy.cloudonly;
        let node = || nodes.get(machine.instance_id.as_str());
        let works = || !is_node || node().is_some_and(|n| n.is_ready() && !n.unschedulable);
        found.push((machine, group, runs, runs && works()));
    }
    found
}

/// Whether a group's machines are behind load balancers.
fn is_balanced(world: &World, group: &str) -> bool {
    world.groups.get(group).is_some_and(|stored| !stored.group.target_group_arns.is_empty())
}

/// The group of a machine: the one that counts it, or the one that it was taken out of.
fn group_of(machine: &Machine) -> Option<Cow<'_, str>> {
    let marked = || {
        let mark = machine.tags.get(DETACHED_TAG)?.parse::<DetachMark>().ok()?;
        Some(Cow::Owned(mark.group))
    };
    let of_asg = || machine.tags.get("aws:autoscaling:groupName").map(Cow::from);
    machine.group.as_ref().map(Cow::from).or_else(marked).or_else(of_asg)
}

/// A count as AWS counts.
pub fn count<T>(items: impl Iterator<Item = T>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}
