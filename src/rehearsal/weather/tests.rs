//! What others do to a cluster, and what comes of it in the end.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::{Event, Happening, happen, heal, make_again};
use crate::rehearsal::fault::Faults;
use crate::rehearsal::ledger::Ledger;
use crate::rehearsal::scene::{Scene, Templates};
use crate::rehearsal::shape::{Layout, Pool, Shape};
use crate::rehearsal::stage::Stage;

#[tokio::test]
async fn a_group_that_somebody_deleted_is_there_again_in_the_end_and_at_its_target() {
    let shape = Shape {
        zones: 1,
        layout: Layout::Stacked,
        pools: vec![Pool::Spread, Pool::Balanced],
        is_upgrade: false,
    };
    let templates = Templates::default();
    let scene = Scene::of(7, &shape, &templates, |_| Faults::none()).await.unwrap();
    let mut world = scene.world;
    let ledger = Ledger::open(&mut world, &scene.cluster, &scene.policy);
    let stage = Stage::new(ledger, 7, &Faults::none(), false);
    let sizes = |world: &crate::sim::World| -> Vec<(String, i32)> {
        let groups = world.groups.iter();
        groups.map(|(name, stored)| (name.clone(), stored.desired_capacity)).collect()
    };
    let before = sizes(&world);

    happen(&mut world, &stage, &Event { at_ms: 0, pick: 0, what: Happening::HandDeletes });
    assert_eq!(make_again(&mut world, &stage), [""; 0], "its machines still end");
    world.advance_secs(1800);
    assert_eq!(sizes(&world).len() + 1, before.len());
    heal(&mut world, &stage);
    let made = make_again(&mut world, &stage);
    assert_eq!((made.len(), sizes(&world)), (1, before));
    world.advance_secs(1800);
    let versions: Vec<u64> = world.members(&made[0]).map(|machine| machine.version).collect();
    assert!(!versions.is_empty() && versions.iter().all(|version| *version == 2), "{versions:?}");
    let is_known = |ledger: &mut Ledger| ledger.groups.contains_key(&made[0]);
    assert!(stage.remember(is_known));
    assert_eq!(make_again(&mut world, &stage), [""; 0]);
}
