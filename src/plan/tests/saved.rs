//! Saved plans: what is written is read back, and nothing else is believed.

use super::super::file::{PlanFileError, SavedPlan, load, save, spec_digest};
use super::super::sample::{applied, empty_world, full_cluster};
use super::*;
use crate::cloud::Query;

fn saved(world: &Observation) -> SavedPlan {
    let desired = full_cluster();
    let mut plan = plan(&desired, world);
    plan.findings.clear();
    SavedPlan {
        kprod_version: env!("CARGO_PKG_VERSION").to_owned(),
        spec_digest: spec_digest(&desired),
        query: Query {
            cluster: "c.example.com".to_owned(),
            region: "eu-west-3".to_owned(),
            keys: desired.keys().cloned().collect(),
            ..Query::default()
        },
        plan,
    }
}

#[test]
fn a_saved_plan_is_read_back_whole() {
    for world in [empty_world(), applied(&full_cluster())] {
        let saved = saved(&world);
        assert_eq!(load(&save(&saved).unwrap()).unwrap(), saved);
    }
}

#[test]
fn strangers_and_other_versions_are_told() {
    assert!(matches!(load(b"kind: Cluster"), Err(PlanFileError::NotAPlan(_))));
    assert!(matches!(load(b"{\"format_version\": \"1.0\"}"), Err(PlanFileError::NotAPlan(_))));
    let error = load(b"{\"format_version\": \"2.3\", \"plan\": 1}").unwrap_err();
    assert_eq!(error, PlanFileError::UnknownVersion { found: "2.3".to_owned() });
    let newer = String::from_utf8(save(&saved(&empty_world())).unwrap()).unwrap();
    let newer = newer.replacen("\"1.0\"", "\"1.7\"", 1);
    assert!(load(newer.as_bytes()).is_ok(), "a higher minor number only adds");
}

#[test]
fn a_plan_edited_into_nonsense_is_refused() {
    let good = saved(&empty_world());
    let broken = |change: fn(&mut Plan)| {
        let mut saved = good.clone();
        change(&mut saved.plan);
        load(&save(&saved).unwrap())
    };
    for result in [
        broken(|plan| plan.changes.reverse()),
        broken(|plan| plan.changes.push(plan.changes[0].clone())),
        broken(|plan| plan.changes[0].after = plan.changes[1].after.clone()),
    ] {
        assert!(matches!(result, Err(PlanFileError::Inconsistent(_))), "{result:?}");
    }
}
