//! Faults: what befalls a call, and what the world says happened.

use super::*;
use crate::cloud::CloudErrorKind;
use crate::sim::{CallFault, CrashPlan, CrashSide, Lag};

fn profile(name: &str) -> Call {
    Call::CreateInstanceProfile { instance_profile_name: name.to_owned(), tags: Tags::new() }
}

#[test]
fn a_lost_answer_took_effect_and_a_throttled_call_did_not() {
    let mut world = account(1);
    world.faults.on_mutation = BTreeMap::from([
        (1, CallFault::Throttled),
        (2, CallFault::Unavailable),
        (3, CallFault::AnswerLost),
    ]);
    let mut kinds = Vec::new();
    for _ in 0..4 {
        kinds.push(make(&mut world, &profile("p")).unwrap_err().kind);
        assert_eq!(world.profiles.get("p").is_some(), kinds.len() > 2);
    }
    use CloudErrorKind::{AlreadyExists, AnswerLost, Throttled, Unavailable};
    assert_eq!(kinds, [Throttled, Unavailable, AnswerLost, AlreadyExists]);
}

#[test]
fn a_crash_is_before_or_after_the_kth_mutation() {
    for (side, left) in [(CrashSide::Before, 1), (CrashSide::After, 2)] {
        let mut world = account(1);
        make(&mut world, &profile("before-the-plan")).unwrap();
        world.faults.crash = Some(CrashPlan { mutation: 2, side });
        make(&mut world, &profile("one")).unwrap();
        assert_eq!(world.answer(&profile("two")), Outcome::Crashed);
        assert_eq!(world.profiles.iter().count(), 1 + left);
        assert_eq!(world.faults.crash, None);
        make(&mut world, &profile("three")).unwrap();
    }
}

#[test]
fn a_fresh_id_is_unknown_for_a_while_and_a_taken_name_is_not() {
    let mut unknown = 0;
    for seed in 0..20 {
        let mut world = account(seed);
        world.lag = Lag { fresh_id_secs_max: 30, ..Lag::none() };
        let sg = security_group(&mut world, "sg");
        let tag = Call::CreateTags { resource_ids: [sg].into(), tags: owner() };
        let create = Call::CreateSecurityGroup {
            group_name: "sg".to_owned(),
            description: "test".to_owned(),
            vpc_id: VPC.to_owned(),
            tags: owner(),
        };
        assert_eq!(refused(&mut world, &create), "InvalidGroup.Duplicate");
        if let Err(error) = make(&mut world, &tag) {
            assert_eq!(error.code, "InvalidGroup.NotFound");
            unknown += 1;
        }
        world.advance_secs(30);
        make(&mut world, &tag).unwrap();
    }
    assert!(unknown > 10, "{unknown} of 20");
}

#[test]
fn what_is_denied_changes_nothing() {
    let mut world = account(1);
    world.faults.denied_operations = names(&["CreateInstanceProfile"]);
    let error = make(&mut world, &profile("p")).unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Denied);
    assert!(world.profiles.get("p").is_none());
    let logged: Vec<&str> = world.log.iter().map(|call| call.outcome.as_str()).collect();
    assert_eq!(logged, ["UnauthorizedOperation"]);
}
