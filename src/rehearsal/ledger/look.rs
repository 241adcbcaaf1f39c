//! How a look at the world finds what became of it: machines, groups, members, the lease, and what is
//! forced.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{GroupBook, Ledger, MachineBook, MemberBook, Seen};
use crate::rehearsal::truth::{self, Member};
use crate::resource::{DETACHED_TAG, OWNER_TAG, TARGET_TAG};
use crate::roll::Policy;
use crate::roll::mark::DetachMark;
use crate::sim::{Lifecycle, Machine, Time, World};

/// So long a look at the members counts.
const MEMBERS_MS: u64 = 5_000;

impl Ledger {
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
