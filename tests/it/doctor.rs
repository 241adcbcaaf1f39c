//! Each trouble that the doctor knows, made in the simulator and found by the program.

use std::collections::BTreeSet;
use std::time::Duration;

use kprod::apply::journal::{JournalEntry, JournalRecord, JournalStep};
use kprod::apply::lease::LeaseRecord;
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Call, Cloud, Condition};
use kprod::plan::Action;
use kprod::resource::{Key, Kind, Tags};
use kprod::sim::Shortage;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{STAGING, run};
use crate::env;

/// A fleet, its simulated account, and staging applied in it with an exit code.
fn fleet_with(meddle: impl FnOnce(&SimCloud), expected: i32) -> (TempDir, SimCloud) {
    let fleet = env::fleet();
    let at = fleet.path();
    let cloud = SimCloud::open(&at.join(".kprod"), "210987654321", "eu-west-3").unwrap();
    meddle(&cloud);
    let (code, _, said) = run(at, &["apply", STAGING, "--yes", "--wait-timeout", "10m"]);
    assert_eq!(code, expected, "{said}");
    (fleet, cloud)
}

fn applied() -> (TempDir, SimCloud) {
    fleet_with(|_| (), 0)
}

/// What the doctor says: `trouble address: message`.
fn symptoms(fleet: &TempDir) -> Vec<String> {
    let (code, out, said) = run(fleet.path(), &["doctor", STAGING, "-o", "json"]);
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code} {said}"));
    let symptoms = told["symptoms"].as_array().unwrap();
    assert_eq!(code, if symptoms.is_empty() { 0 } else { 2 }, "{said}");
    assert_eq!(told["healthy"], symptoms.is_empty());
    let text = |symptom: &Value, field: &str| symptom[field].as_str().unwrap_or("-").to_owned();
    symptoms
        .iter()
        .map(|s| {
            assert!(!text(s, "hint").is_empty());
            format!("{} {}: {}", text(s, "trouble"), text(s, "address"), text(s, "message"))
        })
        .collect()
}

#[test]
fn nothing_is_odd_about_what_was_just_applied() {
    let (fleet, _) = applied();
    assert_eq!(symptoms(&fleet), [""; 0]);
    let (_, out, _) = run(fleet.path(), &["doctor", STAGING]);
    assert_eq!(out, format!("SIMULATED {STAGING}: nothing odd about 52 resources\n"));
}

#[tokio::test]
async fn orphans_are_found_by_their_tag() {
    let (fleet, cloud) = applied();
    let instance = cloud.with_world(|world| {
        let id = world.machines.keys().next().unwrap().clone();
        world.detach(&id, false).unwrap();
        world.advance_secs(60);
        id
    });
    let vpc_id = cloud.with_world(|world| world.vpcs.keys().next().unwrap().clone()).unwrap();
    let owner = ("kprod.dev/cluster".to_owned(), STAGING.to_owned());
    let call = Call::CreateSecurityGroup {
        group_name: format!("old.{STAGING}"),
        description: "of last year".to_owned(),
        vpc_id,
        tags: Tags::from([owner]),
    };
    cloud.call(&call).await.unwrap();
    let found = symptoms(&fleet);
    let group = format!("orphan security_group/old.{STAGING}: ");
    assert!(found.iter().any(|symptom| symptom.starts_with(&group)), "{found:#?}");
    let instance = format!("orphan {}: an instance in eu-west-3", instance.unwrap());
    assert!(found.iter().any(|symptom| symptom.starts_with(&instance)), "{found:#?}");
}

#[tokio::test]
async fn what_lacks_its_other_half_is_half_made() {
    let (fleet, cloud) = applied();
    let group = format!("spot-4x-32gb.{STAGING}");
    let call = Call::DeleteAutoScalingGroup { auto_scaling_group_name: group.clone(), force: true };
    cloud.call(&call).await.unwrap();
    let role_name = format!("nodes.{STAGING}");
    let profile = Call::RemoveRoleFromInstanceProfile {
        instance_profile_name: role_name.clone(),
        role_name: role_name.clone(),
    };
    cloud.call(&profile).await.unwrap();
    let profile = Call::DeleteInstanceProfile { instance_profile_name: role_name.clone() };
    cloud.call(&profile).await.unwrap();
    // The group goes once its machines have ended.
    cloud.sleep(Duration::from_secs(300)).await;
    let found = symptoms(&fleet);
    let expected = [
        format!(
            "half_made launch_template/{group}: is there without its auto_scaling_group/{group}"
        ),
        format!("half_made role/{role_name}: is there without its instance_profile/{role_name}"),
    ];
    let halves: Vec<&String> = found.iter().filter(|s| s.starts_with("half_made")).collect();
    assert_eq!(halves, expected.iter().collect::<Vec<_>>(), "{found:#?}");
}

#[tokio::test]
async fn what_is_in_the_way_is_named() {
    let fleet = env::fleet();
    // The first plan makes the simulated network.
    assert_eq!(run(fleet.path(), &["plan", STAGING]).0, 0);
    let cloud = SimCloud::open(&fleet.path().join(".kprod"), "210987654321", "eu-west-3").unwrap();
    let vpc_id = cloud.with_world(|world| world.vpcs.keys().next().unwrap().clone()).unwrap();
    let call = Call::CreateSecurityGroup {
        group_name: format!("nodes.{STAGING}"),
        description: "of another team".to_owned(),
        vpc_id,
        tags: Tags::new(),
    };
    cloud.call(&call).await.unwrap();
    let found = symptoms(&fleet);
    let expected = format!("in_the_way security_group/nodes.{STAGING}: it has the wanted name");
    assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:#?}");
}

#[test]
fn a_group_that_lacks_machines_says_why() {
    let shortage = Shortage { availability_zone: "eu-west-3b".to_owned(), instance_type: None };
    let meddle = |cloud: &SimCloud| {
        cloud.with_world(|world| world.faults.shortages = BTreeSet::from([shortage])).unwrap();
    };
    let (fleet, _) = fleet_with(meddle, 6);
    let found = symptoms(&fleet);
    let is_short = |symptom: &&String| {
        symptom.starts_with("machines auto_scaling_group/") && symptom.contains("eu-west-3b")
    };
    assert!(found.iter().any(|symptom| is_short(&symptom)), "{found:#?}");
    assert!(found.iter().any(|symptom| symptom.starts_with("journal -: ")), "{found:#?}");
}

#[tokio::test]
async fn lease_and_journal_of_a_dead_run_are_told() {
    let (fleet, cloud) = applied();
    let put = async |key: &str, body: Vec<u8>| {
        cloud.put(key, body, Condition::Any).await.unwrap();
    };
    let started_at = cloud.now();
    let address = Key::new(Kind::Role, format!("nodes.{STAGING}"));
    let intent = JournalStep::Intent { action: Action::Update };
    let run = JournalRecord {
        format_version: 1,
        cluster: STAGING.to_owned(),
        run: "20260101T000000Z-1".to_owned(),
        holder: "ann@laptop".to_owned(),
        started_at,
        finished_at: None,
        outcome: None,
        dropped_count: 0,
        entries: vec![JournalEntry { at: started_at, address, what: intent }],
    };
    put(&format!("journal/{STAGING}"), serde_json::to_vec(&run).unwrap()).await;
    let found = symptoms(&fleet);
    let begun = format!("was killed; begun and not finished: role/nodes.{STAGING}");
    assert!(found.len() == 1 && found[0].ends_with(&begun), "{found:#?}");

    let lease = LeaseRecord {
        format_version: 1,
        holder: "bob@ci".to_owned(),
        token: "another".to_owned(),
        taken_at: started_at,
        expires_at: started_at + jiff::SignedDuration::from_mins(3),
    };
    put(&format!("lease/{STAGING}"), serde_json::to_vec(&lease).unwrap()).await;
    let found = symptoms(&fleet);
    assert!(found[0].starts_with("lease -: bob@ci holds the lease"), "{found:#?}");
    assert!(found[1].starts_with("journal -: the last run"), "{found:#?}");

    put(&format!("lease/{STAGING}"), b"no lease".to_vec()).await;
    let found = symptoms(&fleet);
    assert!(found[0].starts_with("state -: "), "{found:#?}");
}

#[test]
fn snapshots_that_nobody_takes_any_more_are_told() {
    let (fleet, cloud) = applied();
    let (code, _, said) = run(fleet.path(), &["etcd", "snapshot", STAGING]);
    assert_eq!(code, 0, "{said}");
    cloud
        .with_world(|world| {
            world.faults.failing_snapshots.insert(STAGING.to_owned());
            world.advance_secs(3 * 3600);
        })
        .unwrap();
    let told = symptoms(&fleet);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("snapshot -: the newest verified snapshot of etcd events is 1"),
        "{told:?}"
    );
}

/// Has the spec waive a rule.
fn waive(fleet: &TempDir, lint: &str) {
    let vars = fleet.path().join(format!("vars/{STAGING}.yaml"));
    let mut text = std::fs::read_to_string(&vars).unwrap();
    text.push_str(&format!(
        "\nwaivers:\n- {{lint: {lint}, reason: a try, expires: \"9999-12-31\"}}\n"
    ));
    std::fs::write(&vars, text).unwrap();
}

#[test]
fn that_there_never_was_a_snapshot_is_told_once_there_should_be_one() {
    let fails = |cloud: &SimCloud| {
        cloud
            .with_world(|world| world.faults.failing_snapshots.insert(STAGING.to_owned()))
            .unwrap();
    };
    let (fleet, cloud) = fleet_with(fails, 0);
    for _ in 0..2 {
        assert_eq!(symptoms(&fleet), [""; 0], "its members have just formed it, or are about to");
        cloud.with_world(|world| world.advance_secs(3600)).unwrap();
    }
    cloud.with_world(|world| world.advance_secs(600)).unwrap();
    let told = symptoms(&fleet);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("snapshot -: there is no verified snapshot of etcd events, whose"),
        "{told:?}"
    );
    let (_, out, _) = run(fleet.path(), &["doctor", STAGING]);
    assert!(out.contains("Snapshots of etcd [L25]\n"), "{out}");
    assert!(
        out.contains("  hint: see what the members' machines say; `kprod etcd snapshot\n"),
        "{out}"
    );
    waive(&fleet, "L25");
    assert_eq!(symptoms(&fleet), [""; 0]);
    let (code, _, said) = run(fleet.path(), &["validate", STAGING]);
    assert_eq!((code, said.contains("L25")), (0, false), "{said}");
}

#[test]
fn authorities_that_end_are_told_by_plan_and_doctor() {
    let (fleet, cloud) = applied();
    cloud
        .with_world(|world| {
            world.faults.failing_snapshots.insert(STAGING.to_owned());
            world.advance_secs(8 * 366 * 86_400);
        })
        .unwrap();
    let plan = || {
        let (code, out, said) = run(fleet.path(), &["plan", STAGING, "-o", "json"]);
        let told: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{said}"));
        let remarks = told["remarks"].as_array().unwrap();
        let lints: Vec<String> = remarks
            .iter()
            .map(|remark| remark["lint"].as_str().unwrap_or("-").to_owned())
            .collect();
        (code, lints)
    };
    // All but the service account's, which is a key without an end.
    assert_eq!(plan(), (0, vec!["L32".to_owned(); 5]));
    let (_, out, _) = run(fleet.path(), &["plan", STAGING]);
    assert!(out.contains(" [L32]"), "{out}");
    let ends = |symptom: &&String| symptom.starts_with("certificate authority/");
    assert_eq!(symptoms(&fleet).iter().filter(ends).count(), 5);
    waive(&fleet, "L32");
    assert_eq!(plan(), (0, Vec::new()));
    assert_eq!(symptoms(&fleet).iter().filter(ends).count(), 0);
}
