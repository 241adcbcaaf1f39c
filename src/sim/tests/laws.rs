//! Laws of the world, over random histories.

use proptest::prelude::*;

use super::*;
use crate::sim::lag::Visibility;
use crate::sim::{CallFault, FaultRates, Lag, Outage, Shelf, Shortage, Time};

/// Something that happens to an account with two groups.
#[derive(Clone, Debug)]
enum Happening {
    Resize { group: usize, min: i32, extra: i32, zones: usize },
    Desire { group: usize, desired: i32 },
    Lose { pick: usize },
    Detach { pick: usize },
    Attach { group: usize, pick: usize },
    End { pick: usize, shrinks: bool },
    Impair { pick: usize },
    Outage { zone: usize, ends: bool },
    Shortage { zone: usize },
    Plenty,
    Secs(u64),
}

const GROUPS: [&str; 2] = ["web", "job"];
const ZONES: [&str; 4] = ["a", "ab", "bc", "abc"];
const ALL_ZONES: [&str; 3] = ["eu-west-3a", "eu-west-3b", "eu-west-3c"];

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..2usize, 0..6i32, 0..6i32, 0..4usize).prop_map(|(group, min, extra, zones)| {
            Happening::Resize { group, min, extra, zones }
        }),
        2 => (0..2usize, 0..12i32).prop_map(|(group, desired)| Happening::Desire { group, desired }),
        2 => (0..12usize).prop_map(|pick| Happening::Lose { pick }),
        1 => (0..12usize).prop_map(|pick| Happening::Detach { pick }),
        1 => (0..2usize, 0..12usize).prop_map(|(group, pick)| Happening::Attach { group, pick }),
        1 => (0..12usize, any::<bool>()).prop_map(|(pick, shrinks)| Happening::End { pick, shrinks }),
        1 => (0..12usize).prop_map(|pick| Happening::Impair { pick }),
        1 => (0..3usize, any::<bool>()).prop_map(|(zone, ends)| Happening::Outage { zone, ends }),
        1 => (0..3usize).prop_map(|zone| Happening::Shortage { zone }),
        1 => Just(Happening::Plenty),
        4 => (1..200u64).prop_map(Happening::Secs),
    ]
}

fn happen(world: &mut World, happening: &Happening) {
    let picked = |world: &World, pick: usize| {
        let ids: Vec<String> = world.machines.keys().cloned().collect();
        ids.get(pick % ids.len().max(1)).cloned()
    };
    match happening {
        Happening::Resize { group: at, min, extra, zones } => {
            let _ = world.answer(&update(group(GROUPS[*at], *min, min + extra, ZONES[*zones])));
        }
        Happening::Desire { group, desired } => {
            let _ = world.set_desired_capacity(GROUPS[*group], *desired);
        }
        Happening::Lose { pick } => {
            if let Some(id) = picked(world, *pick) {
                world.terminate_instance(&id).unwrap();
            }
        }
        Happening::Detach { pick } => {
            if let Some(id) = picked(world, *pick) {
                let _ = world.detach(&id, false);
            }
        }
        Happening::Attach { group, pick } => {
            if let Some(id) = picked(world, *pick) {
                let _ = world.answer(&attach(GROUPS[*group], &[&id]));
            }
        }
        Happening::End { pick, shrinks } => {
            let id = picked(world, *pick);
            let machine = id.and_then(|id| world.machines.get(&id)).cloned();
            if let Some((id, group)) = machine.and_then(|m| Some((m.instance_id, m.group?))) {
                let _ = world.answer(&terminate(&group, &[&id], *shrinks));
            }
        }
        Happening::Impair { pick } => {
            if let Some(id) = picked(world, *pick) {
                world.impair(&id);
            }
        }
        Happening::Outage { zone, ends } => {
            let outage = if *ends { Outage::Ended } else { Outage::Impaired };
            world.begin_outage(ALL_ZONES[*zone], outage);
        }
        Happening::Shortage { zone } => {
            let availability_zone = ALL_ZONES[*zone].to_owned();
            let shortage = Shortage { availability_zone, instance_type: None };
            world.faults.shortages.insert(shortage);
        }
        Happening::Plenty => {
            world.faults.shortages.clear();
            ALL_ZONES.iter().for_each(|zone| world.end_outage(zone));
        }
        Happening::Secs(secs) => world.advance_secs(*secs),
    }
}

fn two_groups(seed: u64) -> World {
    let mut world = account(seed);
    world.lag = Lag::usual();
    for name in GROUPS {
        template(&mut world, name, template_data(&[]));
        world.advance_secs(30);
        make(&mut world, &create(group(name, 1, 4, "abc"))).unwrap();
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Left alone with enough capacity, every group comes to its desired capacity, spread over its
    /// zones within one, and the world rests.
    #[test]
    fn groups_settle(seed in any::<u64>(), story in prop::collection::vec(happening(), 0..40)) {
        let mut world = two_groups(seed);
        for happening in &story {
            happen(&mut world, happening);
            for machine in world.machines.values() {
                let same = |m: &&crate::sim::Machine| m.private_ip_address == machine.private_ip_address;
                prop_assert_eq!(world.machines.values().filter(same).count(), 1);
            }
        }
        happen(&mut world, &Happening::Plenty);
        world.advance_secs(4 * 3600);
        prop_assert_eq!(world.next_event(), None);
        for name in GROUPS {
            let stored = world.groups.get(name).unwrap().clone();
            let zones = &stored.group.vpc_zone_identifier;
            let mut counts: BTreeMap<String, usize> =
                zones.iter().map(|subnet| (subnet.clone(), 0)).collect();
            for machine in world.members(name) {
                *counts.entry(machine.subnet_id.clone()).or_default() += 1;
            }
            let told = listed(&mut world, name).instances.into_iter().map(|known| known.instance_id);
            prop_assert_eq!(told.collect::<Vec<_>>(), ids(&world, name), "a listing that never caught up");
            let total: usize = counts.values().sum();
            prop_assert_eq!(total, usize::try_from(stored.desired_capacity).unwrap());
            prop_assert_eq!(counts.len(), zones.len(), "a machine is in a zone the group left");
            let (most, least) = (counts.values().max().unwrap(), counts.values().min().unwrap());
            prop_assert!(most - least <= 1, "{:?}", counts);
        }
    }

    /// A world is a value: the same seed and story give the same world, through a file or not.
    #[test]
    fn the_same_seed_gives_the_same_world(
        seed in any::<u64>(),
        story in prop::collection::vec(happening(), 0..20),
    ) {
        let rates = FaultRates {
            throttled_permille: 100,
            unavailable_permille: 100,
            answer_lost_permille: 100,
        };
        let (mut one, mut other) = (two_groups(seed), two_groups(seed));
        one.faults.rates = rates.clone();
        other.faults.rates = rates;
        for happening in &story {
            happen(&mut one, happening);
            happen(&mut other, happening);
            let text = serde_json::to_string(&other).unwrap();
            other = serde_json::from_str(&text).unwrap();
        }
        prop_assert_eq!(&one.log, &other.log);
        prop_assert_eq!(one, other);
    }

    /// Reads lag, but never run backwards, never invent, and catch up.
    #[test]
    fn reads_catch_up(
        writes in prop::collection::vec((0..5_000i64, prop::option::of(0..9u8), 0..9_000i64, 0..9_000i64), 1..20),
    ) {
        let mut shelf: Shelf<(usize, u8)> = Shelf::default();
        let mut now = 0;
        let mut seen = (0, 0);
        for (number, (pause, value, by_key, by_tag)) in writes.iter().enumerate() {
            now += pause;
            let by_tag_at = Time(now + by_key.max(by_tag));
            let visibility =
                Visibility { usable_at: Time(now), by_key_at: Time(now + by_key), by_tag_at };
            match value {
                Some(value) => shelf.put("x", (number, *value), visibility),
                None => shelf.remove("x", visibility),
            }
            shelf.settle(Time(now));
            let key = shelf.by_key("x", Time(now)).map_or(seen.0, |(number, _)| *number);
            let tag = shelf.by_tag("x", Time(now)).map_or(seen.1, |(number, _)| *number);
            prop_assert!(key >= seen.0 && tag >= seen.1);
            seen = (key, tag);
        }
        let late = Time(now + 9_000);
        prop_assert_eq!(shelf.by_key("x", late), shelf.get("x"));
        prop_assert_eq!(shelf.by_tag("x", late), shelf.get("x"));
        shelf.settle(late);
        prop_assert_eq!(shelf.ids().count(), shelf.iter().count());
    }

    /// Chance faults always let retries through.
    #[test]
    fn faults_by_chance_end(seed in any::<u64>()) {
        let mut world = account(seed);
        world.faults.rates =
            FaultRates { throttled_permille: 500, unavailable_permille: 500, answer_lost_permille: 0 };
        let call = Call::CreateInstanceProfile {
            instance_profile_name: "p".to_owned(),
            tags: Tags::new(),
        };
        let tries = (1..=4).find(|_| make(&mut world, &call).is_ok());
        prop_assert!(tries.is_some());
        let faults = [CallFault::Throttled, CallFault::Unavailable].map(|f| f.refused().code);
        prop_assert!(world.log.iter().all(|c| c.outcome == "ok" || faults.contains(&c.outcome)));
    }
}
