//! What a killed roll holds is neither set back nor forgotten.

use serde_json::Value;

use super::*;
use crate::cloud::Observed;
use crate::plan::sample::{applied, edit, full_cluster};

/// A cluster of which a roll was killed: it has suspended these processes, and noted those.
fn killed(suspended: &[&str], noted: &str) -> (ResourceSet, Observation) {
    let wanted = full_cluster();
    let mut world = applied(&wanted);
    let found = world.resources.get_mut(&address(GROUP)).unwrap();
    suspend(found, suspended);
    let began = "id=20261121T101112Z-0f began=2026-11-21T10:11:12Z";
    found.group.as_mut().unwrap().mark = Some(format!("{began} suspended={noted}"));
    (wanted, world)
}

fn suspend(found: &mut Observed, processes: &[&str]) {
    let Resource::AutoScalingGroup(group) = &mut found.resource else { panic!() };
    group.suspended_processes.extend(processes.iter().map(|process| (*process).to_owned()));
}

fn notes(plan: &Plan) -> Vec<String> {
    plan.findings.iter().map(|finding| finding.message.clone()).collect()
}

#[test]
fn what_a_killed_roll_has_suspended_is_noted_and_no_drift() {
    let (wanted, world) = killed(&["AlarmNotification"], "AlarmNotification/AZRebalance");
    let plan = plan(&wanted, &world);
    assert_eq!(addresses(&plan), Vec::<String>::new());
    // The spec wants AZRebalance suspended whatever a roll does.
    let told = "a rolling update that has not ended keeps AlarmNotification suspended";
    assert_eq!(notes(&plan), [told]);
    let hint = plan.findings[0].hint.clone().unwrap();
    assert!(hint.contains("kprod rolling-update test.example.com --yes"), "{hint}");
    assert!(hint.contains("--abort"), "{hint}");
    let destroy = PlanOptions { destroy: true, ..PlanOptions::default() };
    assert_eq!(notes(&make(&wanted, &world, &destroy)), Vec::<String>::new());
}

/// The group moves for another reason: its processes stay as they are all the same.
#[test]
fn another_change_of_the_group_resumes_nothing() {
    let (wanted, world) = killed(&["AlarmNotification"], "AlarmNotification");
    let wanted = edit(&wanted, &address(GROUP), |value| value["max_size"] = 9.into());
    let plan = plan(&wanted, &world);
    let [change] = plan.changes.as_slice() else { panic!("{:?}", addresses(&plan)) };
    let paths: Vec<&str> = change.fields.iter().map(|field| field.path.as_str()).collect();
    assert_eq!((paths, change.reason), (vec!["max_size"], Reason::SpecChanged));
    let processes = |resource: &Option<Resource>| {
        resource.as_ref().unwrap().to_value()["suspended_processes"].clone()
    };
    assert_eq!(processes(&change.after), processes(&change.before));
    assert_eq!(change.digest, Some(wanted[&address(GROUP)].digest()), "as the spec has it");
}

#[test]
fn what_others_have_suspended_or_resumed_is_seen_beside_a_roll() {
    let both = ["AlarmNotification", "ScheduledActions"];
    let (wanted, world) = killed(&both, "AlarmNotification");
    let plan = plan(&wanted, &world);
    let [change] = plan.changes.as_slice() else { panic!("{:?}", addresses(&plan)) };
    let [field] = change.fields.as_slice() else { panic!("{:?}", change.fields) };
    assert_eq!(change.reason, Reason::Drifted);
    let kept = serde_json::json!(["AZRebalance", "AlarmNotification"]);
    let seen = |value: &Option<Value>| value.clone().unwrap();
    assert_eq!(seen(&field.after), kept);

    let (wanted, world) = killed(&[], "AlarmNotification");
    let resumed = make(&wanted, &world, &PlanOptions::default());
    assert_eq!((addresses(&resumed), notes(&resumed)), (vec![], vec![]), "resumed by hand");
}

/// Nobody would ever resume what only a note says that no roll can read, or none at all.
#[test]
fn without_the_roll_s_note_a_suspension_is_drift_again() {
    let (wanted, mut world) = killed(&["AlarmNotification"], "AlarmNotification");
    for mark in [None, Some("suspended=AlarmNotification".to_owned())] {
        let found = world.resources.get_mut(&address(GROUP)).unwrap();
        found.group.as_mut().unwrap().mark = mark;
        let plan = plan(&wanted, &world);
        assert_eq!((addresses(&plan), notes(&plan)), (vec![GROUP.to_owned()], vec![]));
        assert_eq!(plan.changes[0].reason, Reason::Drifted);
    }
}
