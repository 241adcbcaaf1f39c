//! The guard on clusters of 3 and 5 members in every combination of states, and one case for each
//! rule in which nothing but that rule refuses.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::{Limits, Why, may_go};
use crate::etcd::{
    EarlierReport, Facts, MemberFact, MemberReport, MemberRole, Minor, Topology, TopologyCluster,
    TopologyMember, Version,
};

/// How a member is, as the guard may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Well,
    Missing,
    Stale,
    Elsewhere,
    Sick,
    Lagging,
    Learner,
    OtherTerm,
    Once,
    BackOnce,
}

const STATES: [State; 10] = [
    State::Well,
    State::Missing,
    State::Stale,
    State::Elsewhere,
    State::Sick,
    State::Lagging,
    State::Learner,
    State::OtherTerm,
    State::Once,
    State::BackOnce,
];

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

fn of(minor: u32) -> Version {
    Version { minor: Minor::of_three(minor), patch: 9 }
}

/// Now in all these tests.
const NOW: i64 = 100_000;

fn limits() -> Limits {
    Limits {
        report_age_max: Limits::REPORT_AGE_MAX,
        lag_max: Limits::LAG_MAX,
        snapshot_age_max: Duration::from_secs(7200),
        not_before: at(NOW - 60),
        one_member_downtime: false,
    }
}

fn name(index: usize) -> String {
    ["a", "b", "c", "d", "e"][index].to_owned()
}

/// Member `a` on group `host-a`, and so on.
fn cluster(members: usize) -> TopologyCluster {
    let member = |index| {
        (name(index), TopologyMember { group: format!("host-{}", name(index)), zone: None })
    };
    TopologyCluster { members: (0..members).map(member).collect() }
}

fn topology(members: usize) -> Topology {
    Topology { clusters: [("main".to_owned(), cluster(members))].into() }
}

/// Member `a` reports from `i-0`, and so on.
fn reports_from(topology: &Topology, group: &str, id: &str) -> bool {
    let members = |cluster: &TopologyCluster| {
        let mut members = cluster.members.values().enumerate();
        members.any(|(index, member)| member.group == group && id == format!("i-{index}"))
    };
    topology.clusters.values().any(members)
}

fn report(index: usize, members: usize) -> MemberReport {
    MemberReport {
        format_version: MemberReport::FORMAT_VERSION,
        member: name(index),
        instance_id: format!("i-{index}"),
        sequence: 7,
        is_healthy: true,
        term: 4,
        leader: Some("b".to_owned()),
        lag: 0,
        alarms: BTreeSet::new(),
        members: (0..members).map(|index| (name(index), MemberRole::Voter)).collect(),
        snapshot_at: Some(at(NOW - 3600)),
        version: Some(of(5)),
        cluster_version: Some(Minor::of_three(5)),
    }
}

/// A member that is well.
fn well(index: usize, members: usize) -> MemberFact {
    let report = report(index, members);
    let before = EarlierReport {
        report: MemberReport { sequence: 6, ..report.clone() },
        written_at: at(NOW - 20),
    };
    MemberFact { report, written_at: at(NOW - 10), before: Some(before) }
}

/// What members in these states report.
fn facts(states: &[State]) -> Facts {
    let members = states.len();
    let mut facts: std::collections::BTreeMap<String, MemberFact> = states
        .iter()
        .enumerate()
        .filter(|(_, state)| **state != State::Missing)
        .map(|(index, state)| (name(index), fact(index, members, *state)))
        .collect();
    for (index, _) in states.iter().enumerate().filter(|(_, state)| **state == State::Learner) {
        for fact in facts.values_mut() {
            fact.report.members.insert(name(index), MemberRole::Learner);
            let before = fact.before.as_mut().unwrap();
            before.report.members.insert(name(index), MemberRole::Learner);
        }
    }
    [("main".to_owned(), facts)].into()
}

fn fact(index: usize, members: usize, state: State) -> MemberFact {
    let mut fact = well(index, members);
    match state {
        State::Well | State::Missing | State::Learner => {}
        State::Stale => fact.written_at = at(NOW - 46),
        State::Elsewhere => {
            fact.report.instance_id = "i-gone".to_owned();
            fact.before.as_mut().unwrap().report.instance_id = "i-gone".to_owned();
        }
        State::Sick => fact.report.is_healthy = false,
        State::Lagging => fact.report.lag = 501,
        State::OtherTerm => fact.report.term = 5,
        State::Once => fact.before.as_mut().unwrap().written_at = at(NOW - 61),
        State::BackOnce => fact.before.as_mut().unwrap().report.is_healthy = false,
    }
    fact
}

fn verdict(facts: &Facts, members: usize, group: &str) -> Vec<(Option<String>, Why)> {
    reasons(&topology(members), facts, group, &limits())
}

fn reasons(
    topology: &Topology,
    facts: &Facts,
    group: &str,
    limits: &Limits,
) -> Vec<(Option<String>, Why)> {
    let keeps = |group: &str, id: &str| reports_from(topology, group, id);
    match may_go(topology, facts, &keeps, group, at(NOW), limits) {
        Ok(()) => Vec::new(),
        Err(refusal) => {
            assert!(!refusal.reasons.is_empty() && !refusal.to_string().is_empty());
            assert!(refusal.reasons.iter().all(|reason| !reason.why.way_out().is_empty()));
            refusal.reasons.into_iter().map(|reason| (reason.member, reason.why)).collect()
        }
    }
}

/// All combinations of states for so many members.
fn worlds(members: usize) -> impl Iterator<Item = Vec<State>> {
    let count = STATES.len().pow(u32::try_from(members).unwrap());
    (0..count).map(move |mut number| {
        (0..members)
            .map(|_| {
                let state = STATES[number % STATES.len()];
                number /= STATES.len();
                state
            })
            .collect()
    })
}

/// Whether what goes is out of the reckoning already.
fn is_down(state: State) -> bool {
    matches!(state, State::Missing | State::Stale | State::Elsewhere | State::Sick)
}

#[test]
fn one_member_goes_only_if_all_others_are_well() {
    for members in [3, 5] {
        for states in worlds(members) {
            // By symmetry any member may stand for the one that goes; take the first.
            let found = verdict(&facts(&states), members, "host-a");
            let others_well = states[1..].iter().all(|state| *state == State::Well);
            let allowed = others_well && (states[0] == State::Well || is_down(states[0]));
            assert_eq!(found.is_empty(), allowed, "{states:?}: {found:?}");
        }
    }
}

#[test]
fn whoever_goes_the_others_keep_a_quorum_that_has_said_so_twice() {
    for states in worlds(3) {
        for leaving in 0..3 {
            let group = format!("host-{}", name(leaving));
            if !verdict(&facts(&states), 3, &group).is_empty() {
                continue;
            }
            let staying: Vec<State> =
                (0..3).filter(|index| *index != leaving).map(|index| states[index]).collect();
            assert_eq!(staying, [State::Well, State::Well], "{states:?} without {leaving}");
        }
    }
}

#[test]
fn a_member_that_stays_and_gets_worse_never_turns_a_no_into_a_yes() {
    for states in worlds(3) {
        if verdict(&facts(&states), 3, "host-a").is_empty() {
            continue;
        }
        for (worse, index) in STATES.iter().skip(1).flat_map(|state| [(state, 1), (state, 2)]) {
            let mut states = states.clone();
            if states[index] == State::Well {
                states[index] = *worse;
                assert!(!verdict(&facts(&states), 3, "host-a").is_empty(), "{states:?}");
            }
        }
    }
}

#[test]
fn a_machine_without_a_member_goes_only_if_every_member_is_well() {
    for states in worlds(3) {
        let found = verdict(&facts(&states), 3, "control-plane");
        assert_eq!(found.is_empty(), states == [State::Well; 3], "{states:?}: {found:?}");
    }
}

/// Three members, the first goes, and one thing is wrong with the second.
fn with(spoil: impl Fn(&mut MemberFact)) -> Vec<(Option<String>, Why)> {
    let mut facts = facts(&[State::Well; 3]);
    spoil(facts.get_mut("main").unwrap().get_mut("b").unwrap());
    verdict(&facts, 3, "host-a")
}

/// Spoils both of a member's reports alike, so that they agree.
fn with_both(spoil: impl Fn(&mut MemberReport)) -> Vec<(Option<String>, Why)> {
    with(|fact| {
        spoil(&mut fact.report);
        spoil(&mut fact.before.as_mut().unwrap().report);
    })
}

fn only(found: &[(Option<String>, Why)], member: &str) -> Why {
    let [(Some(name), why)] = found else { panic!("{found:?}") };
    assert_eq!(name, member);
    why.clone()
}

#[test]
fn each_rule_of_a_members_health_refuses_alone() {
    let lag = with_both(|report| report.lag = 501);
    assert_eq!(only(&lag, "b"), Why::Lag { lag: 501, lag_max: 500 });
    assert_eq!(with_both(|report| report.lag = 500), []);
    let alarms = with_both(|report| report.alarms = ["NOSPACE".to_owned()].into());
    assert!(matches!(only(&alarms, "b"), Why::Alarms { .. }));
    assert_eq!(only(&with_both(|report| report.leader = None), "b"), Why::NoLeader);
    // A leader that is no member, in everybody's eyes.
    let mut ghost = facts(&[State::Well; 3]);
    for fact in ghost.get_mut("main").unwrap().values_mut() {
        fact.report.leader = Some("ghost".to_owned());
        fact.before.as_mut().unwrap().report.leader = Some("ghost".to_owned());
    }
    let found = verdict(&ghost, 3, "host-a");
    assert!(found.len() == 3 && found.iter().all(|(_, why)| *why == Why::NoLeader), "{found:?}");
}

#[test]
fn each_rule_of_a_members_age_refuses_where_a_quorum_of_others_is_left() {
    let of_five = |spoil: &dyn Fn(&mut MemberFact)| {
        let mut facts = facts(&[State::Well; 5]);
        spoil(facts.get_mut("main").unwrap().get_mut("c").unwrap());
        verdict(&facts, 5, "host-a")
    };
    assert_eq!(of_five(&|fact| fact.written_at = at(NOW - 45)), []);
    let stale = of_five(&|fact| fact.written_at = at(NOW - 46));
    assert_eq!(only(&stale, "c"), Why::Stale { age_secs: 46, age_secs_max: 45 });
    let ahead = |secs| {
        of_five(&|fact| {
            fact.written_at = at(NOW + secs);
            fact.before.as_mut().unwrap().written_at = at(NOW + secs - 10);
        })
    };
    assert_eq!(ahead(45), []);
    assert_eq!(only(&ahead(46), "c"), Why::Ahead { by_secs: 46 });
    assert_eq!(only(&of_five(&|fact| fact.report.is_healthy = false), "c"), Why::NotHealthy);
    let mut missing = facts(&[State::Well; 5]);
    missing.get_mut("main").unwrap().remove("c");
    assert_eq!(only(&verdict(&missing, 5, "host-a"), "c"), Why::NoReport);
    let gone = of_five(&|fact| fact.report.instance_id = "i-gone".to_owned());
    assert_eq!(only(&gone, "c"), Why::Elsewhere { instance_id: "i-gone".to_owned() });
    assert_eq!(verdict(&Facts::new(), 3, "host-a").len(), 4);
}

#[test]
fn each_rule_of_membership_refuses_alone() {
    let insert = |name: &'static str, role| {
        with_both(move |report| {
            report.members.insert(name.to_owned(), role);
        })
    };
    assert_eq!(only(&insert("a", MemberRole::Learner), "a"), Why::Learner);
    assert_eq!(only(&insert("c", MemberRole::Unstarted), "c"), Why::Unstarted);
    assert_eq!(only(&insert("ghost", MemberRole::Voter), "ghost"), Why::Unknown);
    let absent = with_both(|report| {
        report.members.remove("c");
    });
    assert_eq!(only(&absent, "c"), Why::Absent);
}

#[test]
fn each_rule_of_agreement_refuses_alone() {
    let term = with_both(|report| report.term = 5);
    assert_eq!(only(&term, "b"), Why::OtherTerm { term: 5, of: "a".to_owned(), theirs: 4 });
    let leader = with_both(|report| report.leader = Some("c".to_owned()));
    assert!(matches!(only(&leader, "b"), Why::OtherLeader { .. }));
    assert_eq!(only(&with(|fact| fact.before = None), "b"), Why::NotTwice);
    let early = |secs| {
        with(|fact| {
            fact.written_at = at(NOW - 30);
            fact.before.as_mut().unwrap().written_at = at(NOW - secs);
        })
    };
    assert_eq!(only(&early(61), "b"), Why::NotTwice);
    assert_eq!(early(60), []);
    for spoil in [
        |report: &mut MemberReport| report.term = 3,
        |report: &mut MemberReport| report.leader = Some("a".to_owned()),
        |report: &mut MemberReport| {
            report.members.remove("c");
        },
    ] {
        let found = with(|fact| spoil(&mut fact.before.as_mut().unwrap().report));
        assert_eq!(only(&found, "b"), Why::Unsettled);
    }
}

#[test]
fn a_member_that_is_back_is_believed_when_it_has_said_twice_that_it_is_well() {
    let before = |spoil: fn(&mut MemberReport)| {
        with(|fact| spoil(&mut fact.before.as_mut().unwrap().report))
    };
    let ills: [fn(&mut MemberReport); 3] = [
        |report| report.is_healthy = false,
        |report| report.lag = 501,
        |report| report.alarms = ["NOSPACE".to_owned()].into(),
    ];
    for ill in ills {
        assert_eq!(only(&before(ill), "b"), Why::WellOnce);
        let twice = with_both(ill);
        assert!(twice.iter().all(|(_, why)| *why != Why::WellOnce), "{twice:?}");
    }
    assert_eq!(before(|report| report.lag = 500), []);
}

#[test]
fn what_is_said_after_a_silence_is_no_second_report() {
    let silent = |secs| {
        with(|fact| {
            fact.written_at = at(NOW - 2);
            fact.before.as_mut().unwrap().written_at = at(NOW - 2 - secs);
        })
    };
    assert_eq!(silent(45), []);
    assert_eq!(only(&silent(46), "b"), Why::NotTwice);
}

#[test]
fn the_newest_snapshot_of_any_member_counts_and_there_has_to_be_one() {
    let taken = |ages: [Option<i64>; 3]| {
        let mut facts = facts(&[State::Well; 3]);
        for (fact, age) in facts.get_mut("main").unwrap().values_mut().zip(ages) {
            fact.report.snapshot_at = age.map(|age| at(NOW - age));
        }
        verdict(&facts, 3, "host-a")
    };
    assert_eq!(taken([None, None, Some(7200)]), []);
    assert_eq!(taken([None; 3]), [(None, Why::NoSnapshot)]);
    let old = Why::SnapshotOld { age_secs: 7201, age_secs_max: 7200 };
    assert_eq!(taken([Some(7201), Some(9000), None]), [(None, old)]);
}

/// All ways in which three members, the first of which goes, may run versions, by what etcd documents:
/// minor versions one apart at most; and where all run a newer one than the cluster works at, it has to
/// rise first.
#[test]
fn a_member_goes_only_while_versions_fit_together() {
    let some = || [None, Some(4), Some(5), Some(6)].into_iter();
    for versions in some().flat_map(|a| some().flat_map(move |b| some().map(move |c| [a, b, c]))) {
        for cluster in [None, Some(4), Some(5), Some(6)] {
            let mut facts = facts(&[State::Well; 3]);
            for (fact, version) in facts.get_mut("main").unwrap().values_mut().zip(versions) {
                fact.report.version = version.map(of);
                fact.report.cluster_version = cluster.map(Minor::of_three);
            }
            let known: Vec<u32> = versions.into_iter().flatten().collect();
            let (lowest, highest) = (known.iter().min(), known.iter().max());
            let whys: Vec<Why> = match (lowest, highest, cluster) {
                (Some(low), Some(high), _) if high - low > 1 => {
                    vec![Why::VersionsApart { lowest: of(*low), highest: of(*high) }]
                }
                (Some(low), _, Some(cluster)) if known.len() == 3 && *low > cluster => {
                    let (cluster, members) = (Minor::of_three(cluster), Minor::of_three(*low));
                    vec![Why::VersionBehind { cluster, members }]
                }
                _ => vec![],
            };
            let found: Vec<Why> =
                verdict(&facts, 3, "host-a").into_iter().map(|(_, why)| why).collect();
            assert_eq!(found, whys, "{versions:?} at {cluster:?}");
        }
    }
}

/// The last of the older members is down: the cluster version waits for it, and it is to be mended.
#[test]
fn an_upgrade_that_waits_for_a_broken_member_lets_it_be_replaced() {
    let ask = |state| {
        let mut facts = facts(&[state, State::Well, State::Well]);
        for (name, fact) in facts.get_mut("main").unwrap() {
            fact.report.version = Some(of(if name == "a" { 4 } else { 5 }));
            fact.report.cluster_version = Some(Minor::of_three(4));
        }
        verdict(&facts, 3, "host-a")
    };
    for state in [State::Well, State::Missing, State::Stale, State::Elsewhere, State::Sick] {
        assert_eq!(ask(state), [], "{state:?}");
    }
}

#[test]
fn two_members_or_two_of_three_never_leave_a_quorum() {
    let found = verdict(&facts(&[State::Well; 2]), 2, "host-a");
    assert_eq!(found, [(None, Why::Quorum { healthy_after: 1, needed: 2, members: 2 })]);
    let mut shared = topology(3);
    let main = shared.clusters.get_mut("main").unwrap();
    main.members.get_mut("b").unwrap().group = "host-a".to_owned();
    let found = reasons(&shared, &facts(&[State::Well; 3]), "host-a", &limits());
    assert_eq!(found, [(None, Why::Quorum { healthy_after: 1, needed: 2, members: 3 })]);
}

#[test]
fn an_only_member_goes_only_by_the_specs_word_and_all_else_holds() {
    let ask = |state, limits: &Limits| {
        let mut facts = facts(&[state]);
        for fact in facts.get_mut("main").unwrap().values_mut() {
            fact.report.leader = Some("a".to_owned());
            fact.before.as_mut().unwrap().report.leader = Some("a".to_owned());
        }
        reasons(&topology(1), &facts, "host-a", limits)
    };
    assert_eq!(ask(State::Well, &limits()), [(Some("a".to_owned()), Why::OnlyMember)]);
    let accepted = Limits { one_member_downtime: true, ..limits() };
    assert_eq!(ask(State::Well, &accepted), []);
    assert_eq!(ask(State::Sick, &accepted), [], "a broken one is mended so");
    assert_eq!(ask(State::Missing, &accepted), [(None, Why::NoSnapshot)]);
    assert_eq!(only(&ask(State::Once, &accepted), "a"), Why::NotTwice);
    // The word is about clusters of one: it changes nothing for others.
    for states in worlds(3) {
        let facts = facts(&states);
        let (with, without) = (
            reasons(&topology(3), &facts, "host-a", &accepted),
            reasons(&topology(3), &facts, "host-a", &limits()),
        );
        assert_eq!(with, without);
    }
    // A machine of another group does not touch it, if it is well.
    let other = |state| {
        let mut facts = facts(&[state]);
        for fact in facts.get_mut("main").unwrap().values_mut() {
            fact.report.leader = Some("a".to_owned());
            fact.before.as_mut().unwrap().report.leader = Some("a".to_owned());
        }
        reasons(&topology(1), &facts, "control-plane", &accepted)
    };
    assert_eq!(other(State::Well), []);
    assert!(!other(State::Sick).is_empty());
}

#[test]
fn a_host_is_asked_about_its_own_clusters_and_any_other_machine_about_all() {
    let mut topology = topology(3);
    let mut events = cluster(3);
    for member in events.members.values_mut() {
        member.group = format!("events-{}", member.group);
    }
    topology.clusters.insert("events".to_owned(), events);
    let mut facts = facts(&[State::Well; 3]);
    let ask = |facts: &Facts, group| reasons(&topology, facts, group, &limits());
    assert_eq!(ask(&facts, "host-a"), [], "nothing is known of events, which it does not host");
    assert!(!ask(&facts, "events-host-a").is_empty());
    assert!(!ask(&facts, "control-plane").is_empty());
    let main = facts["main"].clone();
    facts.insert("events".to_owned(), main);
    assert_eq!(ask(&facts, "events-host-a"), []);
    assert_eq!(ask(&facts, "control-plane"), []);
}

#[test]
fn without_a_cluster_in_the_spec_nothing_goes() {
    let found = reasons(&Topology::default(), &Facts::new(), "g", &limits());
    assert_eq!(found, [(None, Why::NoCluster)]);
}

#[test]
fn a_further_report_has_another_number_and_comes_from_the_same_machine() {
    let (first, later) = (report(0, 3), MemberReport { sequence: 8, ..report(0, 3) });
    let known = MemberFact::next(None, first.clone(), at(0));
    assert_eq!(known.before, None);
    let again = MemberFact::next(Some(&known), first.clone(), at(0));
    assert_eq!(again.before, None, "the same report is no second one");
    let twice = MemberFact::next(Some(&again), later.clone(), at(10));
    let before = EarlierReport { report: first, written_at: at(0) };
    assert_eq!(twice.before.as_ref(), Some(&before));
    let read_again = MemberFact::next(Some(&twice), later.clone(), at(10));
    assert_eq!(read_again, twice);
    let elsewhere = MemberReport { instance_id: "i-new".to_owned(), ..later };
    assert_eq!(MemberFact::next(Some(&twice), elsewhere, at(20)).before, None);
}
