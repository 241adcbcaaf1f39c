//! How a group gives up machines: scale-in, and balance between zones.

use std::collections::BTreeMap;

use super::{Lifecycle, Machine, StoredGroup, World};

impl World {
    /// Ends machines: in the zone with the most first, the oldest version, then the oldest machine.
    pub(super) fn scale_in(&mut self, stored: &StoredGroup, count: u32) {
        let name = &stored.group.auto_scaling_group_name;
        // A machine launched for balance first has to serve.
        let is_booting =
            |machine: &&Machine| machine.balances && machine.lifecycle != Lifecycle::InService;
        if !stored.runs("Terminate") || self.members(name).any(|machine| is_booting(&machine)) {
            return;
        }
        let zones = self.zones_of(&stored.group);
        for _ in 0..count {
            let mut by_zone: BTreeMap<&str, Vec<&Machine>> = BTreeMap::new();
            for machine in self.counted(name) {
                by_zone.entry(&machine.availability_zone).or_default().push(machine);
            }
            let unprotected = |machines: &[&Machine]| machines.iter().any(|m| !m.is_protected);
            // Zones that the group left come first.
            let fullest = by_zone
                .into_iter()
                .filter(|(_, machines)| unprotected(machines))
                .max_by_key(|(zone, machines)| (!zones.contains(*zone), machines.len()));
            let victim = fullest.and_then(|(_, machines)| {
                machines
                    .into_iter()
                    .filter(|machine| !machine.is_protected)
                    .min_by_key(|m| (m.version, m.launched_at, m.instance_id.clone()))
                    .map(|machine| machine.instance_id.clone())
            });
            let Some(victim) = victim else { return };
            let why = "in response to a difference between desired and actual capacity";
            self.note_termination(name, &victim, why);
            self.end_machine(&victim);
        }
        self.settle_balance(name);
    }

    /// With as many machines as wanted, moves one from the fullest zone to the emptiest: a new one
    /// first, the old one goes by scale-in once the new one serves.
    pub(super) fn balance_zones(&mut self, stored: &StoredGroup) {
        let name = &stored.group.auto_scaling_group_name;
        self.settle_balance(name);
        let runs = ["AZRebalance", "Launch", "Terminate"].iter().all(|p| stored.runs(p));
        let all_serve = self.members(name).all(|machine| machine.lifecycle == Lifecycle::InService);
        if !runs || !all_serve {
            return;
        }
        let zones = self.zones_of(&stored.group);
        let counts = self.zone_counts(stored);
        let Some((zone, least)) = counts.iter().min_by_key(|(_, count)| **count) else { return };
        // Who may move: out of a zone that the group left, or out of one with two more machines.
        let may_move = self.counted(name).iter().any(|machine| {
            let count = counts.get(&machine.availability_zone).copied();
            let is_stray = !zones.contains(&machine.availability_zone);
            !machine.is_protected && (is_stray || count > Some(least.saturating_add(1)))
        });
        if !may_move {
            return;
        }
        let zone = zone.clone();
        if let Err(refused) = self.launch_in(stored, &zone, true) {
            self.note_failure(stored, &refused);
        }
    }

    /// Machines that were launched for balance and serve are like all others once none is too many.
    fn settle_balance(&mut self, name: &str) {
        let settles =
            |machine: &&Machine| machine.balances && machine.lifecycle == Lifecycle::InService;
        let settled: Vec<String> =
            self.members(name).filter(settles).map(|machine| machine.instance_id.clone()).collect();
        for instance_id in settled {
            if let Some(machine) = self.machines.get_mut(&instance_id) {
                machine.balances = false;
            }
        }
    }
}
