//! What is seen of machines that this run takes out of their group.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::Look;
use crate::apply::lease::later;
use crate::cloud::{Instance, Query, TaggedInstance};
use crate::etcd::Topology;
use crate::roll::driver::edits::TRUST_AFTER;
use crate::roll::mark::{DetachMark, Raised, RollMark};
use crate::roll::{ClusterPolicy, Group, Machine, Policy, Stage, Step};

const POOL: &str = "pool";
const OLD: &str = "i-1";

fn policy() -> Policy {
    Policy {
        groups: BTreeMap::new(),
        cluster: ClusterPolicy {
            max_unavailable: None,
            max_unavailable_per_zone: None,
            failure_percent: 10,
            one_member_downtime: false,
            snapshot_age_max: Duration::from_secs(7200),
        },
        topology: Topology { clusters: BTreeMap::new() },
        only: BTreeSet::new(),
        machines_max: None,
        force: false,
        retry: false,
        kubernetes_version: None,
        cloudonly: false,
        abort: false,
        repair: None,
        retire: BTreeMap::new(),
    }
}

fn began() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// What the group's own listing says of the machine.
fn member(lifecycle_state: &str) -> Instance {
    Instance {
        instance_id: OLD.to_owned(),
        availability_zone: "a".to_owned(),
        instance_type: "m7g.large".to_owned(),
        lifecycle_state: lifecycle_state.to_owned(),
        health_status: "Healthy".to_owned(),
        launch_template_version: Some(1),
        protected_from_scale_in: false,
    }
}

/// What EC2 says of it, before it shows any tag of a roll.
fn running() -> TaggedInstance {
    TaggedInstance {
        instance_id: OLD.to_owned(),
        group: Some(POOL.to_owned()),
        availability_zone: "a".to_owned(),
        state: "running".to_owned(),
        instance_type: "m7g.large".to_owned(),
        launched_at: Some(began()),
        is_spot: false,
        version: Some(1),
        tags: BTreeMap::new(),
    }
}

/// The machine, as a run sees it at a moment, from a group's listing of then.
fn seen(look: &mut Look<'_>, at: Timestamp, members: Vec<Instance>) -> Option<Machine> {
    look.groups.insert(POOL.to_owned(), Group { is_gone: false, ..Group::gone(POOL) });
    look.members.insert(POOL.to_owned(), members);
    look.seen_at = at;
    look.outdate();
    look.assemble(at, None).machines.get(OLD).cloned()
}

#[test]
fn a_machine_that_was_taken_out_of_its_group_runs_on_whatever_reads_show_of_it() {
    let (query, policy) = (Query::default(), policy());
    let mut look = Look::new(&query, &policy, began());
    look.take_tagged(vec![running()], began());
    let machines: BTreeSet<String> = [OLD.to_owned()].into();
    let mark = DetachMark { group: POOL.to_owned(), id: "roll".to_owned() };
    let steps = [
        Step::MarkDetached { mark, machines: machines.clone() },
        Step::Detach { group: POOL.to_owned(), machines },
    ];
    for step in &steps {
        look.edits.add(began(), step, &Default::default(), &BTreeMap::new(), began());
        look.note(step);
    }
    // Read anew, for whatever reason, before the tag shows.
    look.take_tagged(vec![running()], later(began(), TRUST_AFTER / 4));
    let pictures = [
        (TRUST_AFTER / 4, vec![member("InService")], "the listing lags"),
        (TRUST_AFTER / 3, vec![member("Detaching")], "its group lets it go"),
        (TRUST_AFTER * 2, vec![member("Detaching")], "the same, for long"),
        (TRUST_AFTER * 3, vec![], "its group has let it go"),
    ];
    for (after, members, why) in pictures {
        let machine = seen(&mut look, later(began(), after), members).unwrap();
        assert_eq!((machine.is_member, machine.stage), (false, Stage::Serving), "{why}");
        assert_eq!(machine.group, POOL, "{why}");
    }
}

#[test]
fn of_machines_that_were_to_take_their_place_with_them_the_ends_that_are_not_this_runs_are_asked_about()
 {
    let (query, policy) = (Query::default(), policy());
    let mut look = Look::new(&query, &policy, began());
    let mark = |giving: &[&str]| RollMark {
        id: "roll".to_owned(),
        began_at: began(),
        from: None,
        suspended: BTreeSet::new(),
        raised: Some(Raised { base: 1, by: 1, made: 1 }),
        giving: giving.iter().map(|name| (*name).to_owned()).collect(),
    };
    let asked = |look: &mut Look<'_>, giving: &[&str], members: Vec<Instance>| {
        let known = Group { mark: Some(mark(giving)), ..Group::gone(POOL) };
        look.groups.insert(POOL.to_owned(), known);
        look.members.insert(POOL.to_owned(), members);
        look.ends_unexplained().into_values().flatten().collect::<Vec<_>>()
    };
    assert!(asked(&mut look, &[], vec![]).is_empty());
    assert!(asked(&mut look, &[OLD], vec![member("InService")]).is_empty(), "it did not go");
    assert_eq!(asked(&mut look, &[OLD], vec![member("Terminating")]), [OLD]);
    assert_eq!(asked(&mut look, &[OLD], vec![]), [OLD]);
    let machines = [OLD.to_owned()].into();
    // Cordoned is not ended.
    look.memory.begun.insert(OLD.to_owned());
    assert_eq!(asked(&mut look, &[OLD], vec![]), [OLD]);
    look.note(&Step::Terminate { group: POOL.to_owned(), machines, shrink: true });
    assert!(asked(&mut look, &[OLD], vec![]).is_empty(), "this run did it");
}
