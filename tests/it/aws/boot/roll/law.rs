//! What the emulator's log says of the quorum guard: between the end of one machine and that of the next the
//! members of the first have their votes back, and have said so twice.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use kprod::etcd::report::{MemberReport, MemberRole};

use super::super::super::STAGING;
use super::ec2::Ec2;
use super::{members, report_at};

/// All that holds of a roll.
pub(super) fn check(ec2: &Ec2<'_, '_>) {
    each_machine_goes_once(ec2);
    let ends: Vec<usize> = ec2.ends().into_iter().map(|(at, _)| at).collect();
    let until = ends.iter().skip(1).copied().chain([ec2.calls.len()]);
    for ((index, at), until) in ends.iter().enumerate().zip(until) {
        let (group, newcomer) = &ec2.came[index];
        is_back(ec2, group, newcomer, *at..until);
        all_are_well(ec2, until);
        terms_change_once(ec2, *at..until);
    }
}

/// Every machine of before was ended, by one call each, and its group's next one came before the call after.
fn each_machine_goes_once(ec2: &Ec2<'_, '_>) {
    let ended: Vec<String> = ec2.ends().into_iter().map(|(_, id)| id).collect();
    let before: BTreeSet<&String> = ec2.before.values().collect();
    assert_eq!(ended.iter().collect::<BTreeSet<_>>(), before);
    assert_eq!((ended.len(), ec2.came.len()), (before.len(), before.len()), "{:?}", ec2.came);
    for (id, (group, _)) in ended.iter().zip(&ec2.came) {
        assert_eq!(ec2.before[group], *id, "{:?}", ec2.came);
    }
    let found = ec2.machines.cluster.owner.machines();
    let gone = found["ended"].as_array().unwrap().len();
    assert_eq!(gone, before.len(), "{found:#}");
}

/// The newcomer has completed its launch, and each of its members has said twice in a row that it is well.
fn is_back(ec2: &Ec2<'_, '_>, group: &str, newcomer: &str, between: Range<usize>) {
    let mut calls = ec2.calls[between.clone()].iter();
    let is_complete = calls.any(|call| {
        call.is_change()
            && call.action == "CompleteLifecycleAction"
            && call.params["InstanceId"] == newcomer
    });
    assert!(is_complete, "{group}: {newcomer}");
    for (etcd, member) in &members()[group] {
        let said = reports(ec2, etcd, member, between.clone());
        let agree = |pair: &[MemberReport]| {
            let told = |report: &MemberReport| {
                (report.instance_id == newcomer && is_well(report))
                    .then(|| (report.term, report.leader.clone()))
            };
            told(&pair[0]).is_some() && told(&pair[0]) == told(&pair[1])
        };
        assert!(said.windows(2).any(agree), "{etcd} {member}: {said:#?}");
    }
}

/// At a moment every member is well by what it said last.
fn all_are_well(ec2: &Ec2<'_, '_>, at: usize) {
    for (etcd, member) in members().values().flatten() {
        let last = reports(ec2, etcd, member, 0..at).pop().expect("every member reports");
        assert!(is_well(&last), "{etcd} {member}: {last:#?}");
    }
}

/// No etcd cluster has more than one election.
fn terms_change_once(ec2: &Ec2<'_, '_>, between: Range<usize>) {
    let terms = |until: usize| {
        let mut terms: BTreeMap<String, u64> = BTreeMap::new();
        for (etcd, member) in members().values().flatten() {
            let said = reports(ec2, etcd, member, 0..until);
            let known = terms.entry(etcd.clone()).or_default();
            *known = said.iter().map(|report| report.term).chain([*known]).max().unwrap();
        }
        terms
    };
    let before = terms(between.start);
    for (etcd, term) in terms(between.end) {
        let changes = term - before[&etcd];
        assert!(changes <= 1, "{etcd}: {changes} changes of term while one machine was replaced");
    }
}

/// Whether a member votes, like all others, and is well.
fn is_well(report: &MemberReport) -> bool {
    let all = members().len();
    report.is_healthy
        && report.leader.is_some()
        && report.members.len() == all
        && report.members.values().all(|role| *role == MemberRole::Voter)
}

/// What a member has reported in a part of the log.
fn reports(ec2: &Ec2<'_, '_>, etcd: &str, member: &str, part: Range<usize>) -> Vec<MemberReport> {
    let key = report_at(etcd, member);
    let written = ec2.calls[part].iter().filter(|call| {
        call.action == "PutObject" && call.status == 200 && call.params["Key"] == key
    });
    written.map(|call| serde_json::from_str(&call.params["Body"]).expect(STAGING)).collect()
}
