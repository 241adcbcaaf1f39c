//! What a restore does next, over every order of loss: each step leads to the next, none comes twice,
//! and it ends.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::*;
use crate::etcd::epoch::{ClusterId, Place, Restored};
use crate::resource::Kind;

const ETCDS: [&str; 2] = ["events", "main"];
const MEMBERS: [&str; 3] = ["a", "b", "c"];

fn places() -> BTreeMap<String, Place> {
    let place = |name: &str| Place { peer_url: name.to_owned(), client_url: name.to_owned() };
    MEMBERS.map(|name| (name.to_owned(), place(name))).into()
}

fn from() -> Restored {
    let (snapshot, sha256) = ("s3://b/k".to_owned(), "0".repeat(64));
    Restored { snapshot, sha256, epoch: 1, bump_revisions: None }
}

fn key(etcd: &str, member: &str) -> Key {
    Key::new(Kind::Volume, format!("{member}.etcd-{etcd}.c"))
}

/// A cluster of three machines, some of whose volumes are lost; machines that are not among those that
/// stay end already.
fn world(volumes: u8, machines: u8) -> (Journal, Sight) {
    let mut sight = Sight::default();
    for (index, etcd) in ETCDS.iter().enumerate() {
        let epoch = Epoch::first("c", etcd, places(), 1).closed(ClusterId(index as u64)).unwrap();
        sight.epochs.insert((*etcd).to_owned(), epoch);
        for (at, member) in MEMBERS.iter().enumerate() {
            sight.wanted.insert(key(etcd, member));
            if volumes & (1 << at) != 0 {
                sight.volumes.insert(format!("old-{etcd}-{member}"), key(etcd, member));
            }
            let name = ((*etcd).to_owned(), (*member).to_owned());
            sight.hosts.entry((*member).to_owned()).or_default().insert(name.clone());
            // What members of the old cluster say counts for nothing.
            sight.well.insert(name, format!("i-old-{member}"));
            let ids = BTreeSet::from([format!("i-old-{member}")]);
            match machines & (1 << at) {
                0 => sight.ending.insert((*member).to_owned(), ids),
                _ => sight.machines.insert((*member).to_owned(), ids),
            };
        }
    }
    // A worker, which is none of a restore's business.
    sight.machines.insert("nodes".to_owned(), BTreeSet::from(["i-worker".to_owned()]));
    let target = |etcd: &str| Target { name: etcd.to_owned(), from: from(), number: 2 };
    let journal = Journal {
        format_version: Journal::FORMAT_VERSION,
        id: 7,
        began_at: Timestamp::UNIX_EPOCH,
        targets: ETCDS.map(|etcd| (etcd.to_owned(), target(etcd))).into(),
        old_volumes: sight.volumes.keys().cloned().collect(),
        machines: None,
        stuck: BTreeSet::new(),
    };
    (journal, sight)
}

/// The groups have brought other machines.
fn newcomers(sight: &mut Sight) {
    for member in MEMBERS {
        let ids = BTreeSet::from([format!("i-new-{member}")]);
        sight.machines.insert(member.to_owned(), ids);
    }
}

/// A restore that is over but for its last step.
fn done() -> (Journal, Sight) {
    let (mut journal, mut sight) = world(7, 7);
    loop {
        match decide(&journal, &sight).unwrap() {
            Step::Finish => return (journal, sight),
            step => make(&step, &mut journal, &mut sight),
        }
    }
}

/// What a step leads to.
fn make(step: &Step, journal: &mut Journal, sight: &mut Sight) {
    match step {
        Step::Fence { etcd } => {
            let epoch = &sight.epochs[etcd];
            let next =
                epoch.next("c", etcd, places(), journal.targets[etcd].from.clone(), 7).unwrap();
            sight.epochs.insert(etcd.clone(), next);
        }
        Step::SetAside { volumes } => sight.volumes.retain(|id, _| !volumes.contains_key(id)),
        Step::MakeVolumes { volumes } => {
            let made = volumes.iter().map(|key| (format!("new-{}", key.name), key.clone()));
            sight.volumes.extend(made);
        }
        Step::NoteMachines { machines } => journal.machines = Some(machines.clone()),
        Step::EndMachines { machines } => {
            for (group, ids) in machines {
                assert_ne!(group, "nodes");
                let there = sight.machines.get_mut(group).unwrap();
                there.retain(|id| !ids.contains(id));
                sight.ending.entry(group.clone()).or_default().extend(ids.clone());
            }
        }
        Step::AwaitEnd { .. } => sight.ending.clear(),
        Step::Wait { .. } => {
            newcomers(sight);
            for name in sight.hosts.values().flatten() {
                sight.well.insert(name.clone(), format!("i-new-{}", name.1));
            }
            for epoch in sight.epochs.values_mut() {
                *epoch = epoch.closed(ClusterId(99)).unwrap();
            }
        }
        Step::Finish => {}
    }
}

fn rank(step: &Step) -> usize {
    match step {
        Step::Fence { .. } => 0,
        Step::SetAside { .. } => 1,
        Step::NoteMachines { .. } => 2,
        Step::EndMachines { .. } => 3,
        Step::AwaitEnd { .. } => 4,
        Step::MakeVolumes { .. } => 5,
        Step::Wait { .. } => 6,
        Step::Finish => 7,
    }
}

#[test]
fn whatever_is_lost_the_steps_come_in_their_order_once_and_end() {
    for volumes in 0..8 {
        for machines in 0..8 {
            let (mut journal, mut sight) = world(volumes, machines);
            let mut made: Vec<Step> = Vec::new();
            loop {
                let step = decide(&journal, &sight).unwrap();
                assert!(!made.contains(&step), "{step:?} comes twice: {made:?}");
                assert!(
                    made.last().is_none_or(|last| rank(last) <= rank(&step)),
                    "{made:?} {step:?}"
                );
                if matches!(step, Step::MakeVolumes { .. }) {
                    let mut there = sight.machines.values().chain(sight.ending.values()).flatten();
                    assert!(!there.any(|id| id.contains("old")), "one is left that takes them");
                }
                make(&step, &mut journal, &mut sight);
                made.push(step);
                if made.last() == Some(&Step::Finish) {
                    break;
                }
            }
            assert!(made.iter().any(|step| matches!(step, Step::NoteMachines { .. })));
            // Both epochs are followed before anything else is touched.
            assert_eq!(made.iter().filter(|step| rank(step) == 0).count(), 2);
            let made_volumes = made
                .iter()
                .any(|step| matches!(step, Step::MakeVolumes { volumes } if volumes.len() == 6));
            assert!(made_volumes, "{made:?}");
            assert!(!sight.well.values().any(|id| id.contains("old")), "{made:?}");
            assert!(sight.machines["nodes"].contains("i-worker"));
        }
    }
}

#[test]
fn another_restore_is_not_gone_on_with() {
    let (journal, mut sight) = world(7, 7);
    let other = Restored { sha256: "1".repeat(64), ..from() };
    let next = sight.epochs["main"].next("c", "main", places(), other, 8).unwrap();
    sight.epochs.insert("main".to_owned(), next);
    let error = decide(&journal, &sight).unwrap_err();
    assert!(matches!(error, RestoreError::Overtaken { found: 2, wanted: 2, .. }), "{error:?}");
    sight.epochs.remove("main");
    assert!(matches!(decide(&journal, &sight), Err(RestoreError::NoEpoch { .. })));
}

#[test]
fn every_step_has_words() {
    let (mut journal, mut sight) = world(7, 7);
    let mut told = Vec::new();
    loop {
        let step = decide(&journal, &sight).unwrap();
        told.push(step.to_string());
        make(&step, &mut journal, &mut sight);
        if step == Step::Finish {
            break;
        }
    }
    assert!(told.contains(&"6 old volumes set aside, with all that is on them".to_owned()));
    assert!(told.contains(&"3 machines ended; their groups bring others".to_owned()), "{told:?}");
}

#[test]
fn a_machine_whose_members_did_not_form_in_time_goes_unless_they_have_by_now() {
    let (mut journal, mut sight) = world(7, 7);
    let waits = loop {
        match decide(&journal, &sight).unwrap() {
            Step::Wait { machines, .. } => break machines,
            step => make(&step, &mut journal, &mut sight),
        }
        if sight.volumes.keys().any(|id| id.contains("new")) {
            newcomers(&mut sight);
        }
    };
    assert_eq!(waits, MEMBERS.map(|member| format!("i-new-{member}")).into());
    journal.stuck = waits;
    for epoch in sight.epochs.values_mut() {
        *epoch = epoch.closed(ClusterId(99)).unwrap();
    }
    for name in sight.hosts.values().flatten() {
        sight.well.insert(name.clone(), format!("i-new-{}", name.1));
    }
    assert_eq!(decide(&journal, &sight), Ok(Step::Finish));
    sight.well.remove(&("main".to_owned(), "b".to_owned()));
    let only = BTreeMap::from([("b".to_owned(), BTreeSet::from(["i-new-b".to_owned()]))]);
    let wait = Step::Wait {
        members: [("main".to_owned(), "b".to_owned())].into(),
        machines: ["i-new-b".to_owned()].into(),
    };
    assert_eq!(decide(&journal, &sight), Ok(wait), "it may have come up since");
    sight.gives_up = true;
    assert_eq!(decide(&journal, &sight), Ok(Step::EndMachines { machines: only }));
}

/// What is said on a machine that ends, or that is not the group's, will not be true for long.
#[test]
fn a_member_is_well_only_on_a_machine_of_its_group_that_stays() {
    let name = |etcd: &str| (etcd.to_owned(), "b".to_owned());
    let (journal, sight) = done();
    let mut silent = sight.clone();
    silent.well.remove(&name("main"));
    let mut astray = sight.clone();
    astray.well.insert(name("main"), "i-new-a".to_owned());
    let mut ending = sight.clone();
    let ids = ending.machines.remove("b").unwrap();
    ending.ending.insert("b".to_owned(), ids);
    // A listing may still show a machine that was ended as if nothing had happened.
    let mut noted = sight;
    noted.well.insert(name("main"), "i-old-b".to_owned());
    noted.machines.get_mut("b").unwrap().insert("i-old-b".to_owned());
    let (one, both) = (vec!["main"], vec!["events", "main"]);
    for (sight, etcds) in [(silent, &one), (astray, &one), (ending, &both), (noted, &one)] {
        let wanted: BTreeSet<_> = etcds.iter().map(|etcd| name(etcd)).collect();
        assert_eq!(super::decide::waiting(&journal, &sight), wanted, "{sight:?}");
        assert_ne!(decide(&journal, &sight), Ok(Step::Finish), "{sight:?}");
    }
}
