//! What an event does to the world, and how all of it is undone.

use std::collections::BTreeSet;

use super::{Event, Happening};
use crate::apply::lease;
use crate::cloud::Call;
use crate::kube::{KubeCall, NodePatch, PodId};
use crate::rehearsal::ledger::{GroupBook, Ledger};
use crate::rehearsal::stage::Stage;
use crate::rehearsal::truth;
use crate::resource::{FAILED_TAG, ROLL_TAG, TARGET_TAG, read_target};
use crate::roll::RolloutRole;
use crate::sim::kubernetes::{Amount, ApiTrouble, BudgetRule, KubernetesFaults, PodStop};
use crate::sim::{Faults, Lifecycle, Shortage, StoredGroup, World};

/// Makes an event happen; says what it came to, if to anything.
pub(super) fn strike(world: &mut World, stage: &Stage, event: &Event) -> Option<String> {
    let cluster = stage.remember(|ledger| ledger.cluster.clone());
    let scene = Scene { cluster: &cluster, stage, pick: event.pick };
    match &event.what {
        Happening::Over(what) => scene.undo(world, what),
        what => scene.happen(world, what),
    }
}

/// Undoes everything that goes wrong, at once.
pub fn heal(world: &mut World, stage: &Stage) {
    stage.heal();
    world.recover_all();
    world.sleepers().iter().for_each(|id| world.wake_up(id));
    world.faults = Faults::default();
    let (cluster, rules, cordoned) = stage.remember(|ledger| {
        let cordoned = std::mem::take(&mut ledger.cordoned_by_others);
        (ledger.cluster.clone(), ledger.budgets.clone(), cordoned)
    });
    if !world.clusters.contains_key(&cluster) {
        return;
    }
    world.cluster(&cluster).faults = KubernetesFaults::default();
    for (id, rule) in rules {
        set_budget(world, &cluster, &id, rule);
    }
    let known = world.cluster(&cluster);
    let workloads: Vec<(String, String)> =
        known.workloads().map(|w| (w.namespace.clone(), w.name.clone())).collect();
    for (namespace, name) in workloads {
        free(world, &cluster, &namespace, &name);
    }
    for id in cordoned {
        uncordon(world, stage, &cluster, &id);
    }
}

/// Groups that somebody deleted are made again, as an apply does it: without them what is evicted
/// elsewhere may have no room for ever. One whose machines still end has to wait for that. Those that
/// were made.
pub fn make_again(world: &mut World, stage: &Stage) -> Vec<String> {
    let deleted = stage.remember(|ledger| std::mem::take(&mut ledger.deleted));
    let mut made = Vec::new();
    for (name, stored) in deleted {
        if world.groups.get(&name).is_some_and(|known| known.is_pending_delete) {
            stage.remember(|ledger| ledger.deleted.insert(name, stored));
            continue;
        }
        // It may be there already: somebody else's apply was first.
        let _ = world.answer(&creation(&stored));
        let _ = world.set_desired_capacity(&name, stored.desired_capacity);
        if let Some(known) = world.groups.get(&name) {
            let book = GroupBook::of(known);
            stage.remember(|ledger| ledger.groups.insert(name.clone(), book));
            made.push(name);
        }
    }
    made
}

/// How a group that was there before is made: at once at its target, without notes of a roll.
fn creation(stored: &StoredGroup) -> Call {
    let mut group = stored.group.clone();
    let target = group.tags.get(TARGET_TAG).and_then(|tag| read_target(&tag.value));
    let version = target.map_or(stored.version, |(version, _)| version);
    group.tags.retain(|key, _| key != ROLL_TAG && key != FAILED_TAG);
    Call::CreateAutoScalingGroup { group: Box::new(group), version }
}

/// Whom an event is about.
struct Scene<'a> {
    cluster: &'a str,
    stage: &'a Stage,
    pick: u64,
}

impl Scene<'_> {
    fn happen(&self, world: &mut World, what: &Happening) -> Option<String> {
        match what {
            Happening::Reclaim | Happening::HandTerminates => {
                let workers_only = *what == Happening::Reclaim;
                let id = self.machine(world, workers_only)?;
                world.terminate_instance(&id).ok()?;
                Some(format!("{id} ends"))
            }
            Happening::Flap { secs } => {
                let id = self.machine(world, false)?;
                let known = world.cluster(self.cluster);
                let node = known.node_name(&id);
                known.flap_node(&node, *secs);
                Some(format!("{node} is not ready for {secs} s"))
            }
            Happening::Shortage { zone, .. } => {
                world.faults.shortages.insert(shortage(zone));
                Some(format!("{zone} has no capacity"))
            }
            Happening::Outage { zone, secs } => self.outage(world, zone, *secs),
            Happening::Autoscale { by } => self.autoscale(world, *by),
            Happening::HandCordons { .. } => {
                let id = self.machine(world, true)?;
                let is_free = truth::nodes(world, self.cluster)
                    .get(id.as_str())
                    .is_some_and(|node| !node.unschedulable);
                if !is_free {
                    return None;
                }
                self.stage.remember(|ledger| ledger.cordoned_by_others.insert(id.clone()));
                cordon(world, self.cluster, &id, true);
                Some(format!("somebody cordons {id}"))
            }
            Happening::HandUncordons => {
                let nodes = truth::nodes(world, self.cluster);
                let cordoned: Vec<&str> =
                    nodes.iter().filter(|(_, n)| n.unschedulable).map(|(id, _)| *id).collect();
                let id = self.one(&cordoned)?.to_string();
                uncordon(world, self.stage, self.cluster, &id);
                Some(format!("somebody uncordons {id}"))
            }
            Happening::HandUnmarks | Happening::HandResumes => self.tamper(world, what),
            Happening::HandDeletes => self.delete(world),
            Happening::HandUnlocks => {
                world.objects.remove(&lease::key(self.cluster))?;
                Some("somebody breaks the lease".to_owned())
            }
            Happening::NoBudget { .. } => {
                let id = self.budget()?;
                set_budget(world, self.cluster, &id, BudgetRule::MaxUnavailable(Amount::Count(0)));
                Some(format!("budget {id} allows nothing"))
            }
            Happening::StuckPods { .. } => {
                let (namespace, name) = self.workload(world)?;
                world.cluster(self.cluster).set_stop(&namespace, &name, PodStop::Never);
                Some(format!("pods of {namespace}/{name} do not end"))
            }
            Happening::Member { fault, .. } => {
                let key = self.member()?;
                let told = format!("{key}: {fault:?}");
                world.ail(&key, fault.clone());
                Some(told)
            }
            Happening::LoseVolume => self.lose_volume(world),
            Happening::Sleep { secs } => self.doze(world, *secs),
            Happening::Api { secs } => {
                let until = world.now.plus_secs(*secs);
                let troubles =
                    [ApiTrouble::Unreachable, ApiTrouble::Failing, ApiTrouble::Throttled];
                let trouble = *self.one(&troubles)?;
                world.cluster(self.cluster).break_api(trouble, Some(until));
                Some(format!("the API server is {trouble:?} for {secs} s"))
            }
            Happening::Over(_) => None,
        }
    }

    fn undo(&self, world: &mut World, what: &Happening) -> Option<String> {
        match what {
            Happening::Shortage { zone, .. } | Happening::Outage { zone, .. } => {
                world.faults.shortages.remove(&shortage(zone));
                Some(format!("{zone} is back"))
            }
            Happening::HandCordons { .. } => {
                let id = self.stage.remember(|ledger| {
                    let ids: Vec<String> = ledger.cordoned_by_others.iter().cloned().collect();
                    let id = self.one(&ids)?.clone();
                    ledger.cordoned_by_others.remove(&id);
                    Some(id)
                })?;
                uncordon(world, self.stage, self.cluster, &id);
                Some(format!("somebody uncordons {id} again"))
            }
            Happening::NoBudget { .. } => {
                let id = self.budget()?;
                let rule = self.stage.remember(|ledger| ledger.budgets.get(&id).copied())?;
                set_budget(world, self.cluster, &id, rule);
                Some(format!("budget {id} is mended"))
            }
            Happening::StuckPods { .. } => {
                let (namespace, name) = self.workload(world)?;
                free(world, self.cluster, &namespace, &name);
                Some(format!("pods of {namespace}/{name} end again"))
            }
            Happening::Member { fault, .. } => {
                let key = self.member()?;
                world.recover(&key, fault);
                Some(format!("{key} is over {fault:?}"))
            }
            Happening::Sleep { .. } => {
                let sleepers: Vec<String> = world.sleepers().into_iter().collect();
                let id = self.one(&sleepers)?;
                world.wake_up(id);
                Some(format!("{id} wakes up"))
            }
            _ => None,
        }
    }

    fn one<'t, T>(&self, of: &'t [T]) -> Option<&'t T> {
        let len = u64::try_from(of.len()).ok().filter(|len| *len > 0)?;
        of.get(usize::try_from(self.pick % len).ok()?)
    }

    /// One of the cluster's machines that run.
    fn machine(&self, world: &World, workers_only: bool) -> Option<String> {
        let ids: Vec<String> = self.stage.remember(|ledger| {
            let fits = |id: &&String| {
                let is_worker = ledger.role_of(id) == Some(RolloutRole::Node);
                let machine = world.machines.get(*id);
                machine.is_some_and(|m| m.lifecycle == Lifecycle::InService)
                    && (is_worker || !workers_only)
            };
            ledger.machines.keys().filter(fits).cloned().collect()
        });
        self.one(&ids).cloned()
    }

    /// One of the cluster's groups of workers.
    fn pool(&self, world: &World) -> Option<String> {
        let names: Vec<String> = self.stage.remember(|ledger| {
            let pools = ledger.of_role(|role| role == RolloutRole::Node);
            let is_there = |name: &&str| {
                world.groups.get(name).is_some_and(|stored| !stored.is_pending_delete)
            };
            pools.filter(is_there).map(str::to_owned).collect()
        });
        self.one(&names).cloned()
    }

    fn budget(&self) -> Option<PodId> {
        let ids: Vec<PodId> = self.stage.remember(|l| l.budgets.keys().cloned().collect());
        self.one(&ids).cloned()
    }

    fn workload(&self, world: &mut World) -> Option<(String, String)> {
        let known = world.cluster(self.cluster).workloads();
        let names: Vec<(String, String)> = known
            .filter(|workload| workload.namespace != "kube-system")
            .map(|workload| (workload.namespace.clone(), workload.name.clone()))
            .collect();
        self.one(&names).cloned()
    }

    fn member(&self) -> Option<String> {
        let keys: Vec<String> = self.stage.remember(|ledger| {
            let clusters = ledger.policy.topology.clusters.iter();
            clusters
                .flat_map(|(etcd, known)| {
                    known.members.keys().map(move |m| format!("{}/{etcd}/{m}", self.cluster))
                })
                .collect()
        });
        self.one(&keys).cloned()
    }

    /// A member's volume is lost, and its machine ends. Not where most of the members have to be there.
    fn lose_volume(&self, world: &mut World) -> Option<String> {
        const MEMBERS_MIN: usize = 3;
        let members: Vec<(String, String, String)> = self.stage.remember(|ledger| {
            let clusters = ledger.policy.topology.clusters.iter();
            let many = clusters.filter(|(_, known)| known.members.len() >= MEMBERS_MIN);
            let members = many.flat_map(|(etcd, known)| {
                let places = known.members.iter();
                places.map(move |(name, place)| (etcd.clone(), name.clone(), place.group.clone()))
            });
            members.collect()
        });
        let (etcd, member, group) = self.one(&members)?;
        world.lose_volume(self.cluster, etcd, member);
        let host = world.members(group).find(|m| m.lifecycle == Lifecycle::InService);
        let host = host.map(|machine| machine.instance_id.clone());
        if let Some(host) = &host {
            world.terminate_instance(host).ok()?;
        }
        Some(format!("{etcd}/{member} loses its volume, and {group} its machine {host:?}"))
    }

    /// A machine that hosts members stops where it is.
    fn doze(&self, world: &mut World, secs: u64) -> Option<String> {
        let groups: BTreeSet<String> = self.stage.remember(|ledger| {
            let clusters = ledger.policy.topology.clusters.values();
            let places = clusters.flat_map(|known| known.members.values());
            places.map(|place| place.group.clone()).collect()
        });
        let is_awake = |machine: &&crate::sim::Machine| {
            let of_host = machine.group.as_ref().is_some_and(|group| groups.contains(group));
            of_host && machine.is_up() && machine.lifecycle == Lifecycle::InService
        };
        let hosts = world.machines.values().filter(is_awake);
        let hosts: Vec<String> = hosts.map(|machine| machine.instance_id.clone()).collect();
        let id = self.one(&hosts)?;
        world.doze(id);
        Some(format!("{id} sleeps for {secs} s"))
    }

    /// Half of a zone's machines end, the other half cannot be reached.
    fn outage(&self, world: &mut World, zone: &str, secs: u64) -> Option<String> {
        world.faults.shortages.insert(shortage(zone));
        let hit: Vec<String> = world
            .machines
            .values()
            .filter(|m| m.availability_zone == zone)
            .map(|m| m.instance_id.clone())
            .collect();
        for (at, id) in hit.iter().enumerate() {
            if (self.pick >> (at % 64)) & 1 == 0 {
                // It may be on its way out already.
                let _ = world.terminate_instance(id);
            } else {
                let known = world.cluster(self.cluster);
                let node = known.node_name(id);
                known.flap_node(&node, secs);
            }
        }
        Some(format!("{zone} is gone with {} machines for {secs} s", hit.len()))
    }

    fn autoscale(&self, world: &mut World, by: i32) -> Option<String> {
        let group = self.pool(world)?;
        let stored = world.groups.get(&group)?;
        if stored.group.suspended_processes.contains("AlarmNotification")
            && self.pick.is_multiple_of(2)
        {
            // Half of them go by alarms; the cluster autoscaler asks nobody.
            return None;
        }
        let (before, min, max) =
            (stored.desired_capacity, stored.group.min_size.max(1), stored.group.max_size);
        let after = (before + by).clamp(min, max);
        world.set_desired_capacity(&group, after).ok()?;
        let (now, stored) = (world.now, world.groups.get(&group)?);
        self.stage.remember(|ledger| ledger.others_set_desired(now, before, stored));
        Some(format!("the autoscaler sets {group} from {before} to {after}"))
    }

    fn tamper(&self, world: &mut World, what: &Happening) -> Option<String> {
        let group = self.pool(world)?;
        let unmarks = *what == Happening::HandUnmarks;
        let stored = world.groups.get(&group)?;
        let (is_marked, desired) =
            (stored.group.tags.contains_key(ROLL_TAG), stored.desired_capacity);
        if unmarks && !is_marked {
            return None;
        }
        world.groups.edit(&group, |stored| match unmarks {
            true => {
                stored.group.tags.remove(ROLL_TAG);
            }
            false => stored.group.suspended_processes.clear(),
        });
        let now = world.now;
        self.stage.remember(|ledger| match unmarks {
            true => ledger.others_unmarked(now, &group, desired),
            false => ledger.others_meddled(now, &group),
        });
        let told = if unmarks { "takes the roll's note off" } else { "resumes all processes of" };
        Some(format!("somebody {told} {group}"))
    }

    fn delete(&self, world: &mut World) -> Option<String> {
        let group = self.pool(world)?;
        let pools =
            self.stage.remember(|ledger| ledger.of_role(|role| role == RolloutRole::Node).count());
        if pools < 2 {
            return None;
        }
        let stored = world.groups.get(&group)?.clone();
        let call =
            Call::DeleteAutoScalingGroup { auto_scaling_group_name: group.clone(), force: true };
        let _ = world.answer(&call);
        self.stage.remember(|ledger: &mut Ledger| {
            ledger.groups.remove(&group);
            ledger.deleted.insert(group.clone(), stored);
        });
        Some(format!("somebody deletes {group}"))
    }
}

fn shortage(zone: &str) -> Shortage {
    Shortage { availability_zone: zone.to_owned(), instance_type: None }
}

fn set_budget(world: &mut World, cluster: &str, id: &PodId, rule: BudgetRule) {
    let known = world.cluster(cluster);
    let selector = known.budgets().get(id).and_then(|known| known.budget.selector.clone());
    known.set_budget(id, selector, rule);
}

/// Pods of a workload end when they are asked to, and those that did not are gone.
fn free(world: &mut World, cluster: &str, namespace: &str, name: &str) {
    let known = world.cluster(cluster);
    known.set_stop(namespace, name, PodStop::Prompt);
    let stuck: BTreeSet<PodId> = known
        .pods()
        .filter(|stored| stored.pod.id.namespace == namespace && stored.pod.deleted_until.is_some())
        .map(|stored| stored.pod.id.clone())
        .collect();
    for id in stuck {
        // It may have ended by itself.
        let _ = known.delete(&id, None, Some(0));
    }
}

/// Takes a cordon off, whoever put it on: for a moment nobody else knows.
fn uncordon(world: &mut World, stage: &Stage, cluster: &str, instance_id: &str) {
    let now = world.now;
    stage.remember(|ledger| ledger.uncordoned_at.insert(instance_id.to_owned(), now));
    cordon(world, cluster, instance_id, false);
}

fn cordon(world: &mut World, cluster: &str, instance_id: &str, cordoned: bool) {
    let known = world.cluster(cluster);
    let node = known.node_name(instance_id);
    let patch = NodePatch { unschedulable: Some(cordoned), ..NodePatch::default() };
    // Its node may be gone by now.
    let _ = known.request(&KubeCall::PatchNode { node, patch });
}
