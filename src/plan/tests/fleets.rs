//! The repository's own fleets, planned offline.

use std::path::Path;

use super::super::sample::{applied, edit, empty_world, second_look};
use super::*;
use crate::source::{Limits, LoadLimits, load, render};
use crate::spec::{Strictness, read};
use crate::ui::Style;
use crate::ui::human::{self, PlanView};

fn desired_of(cluster: &str) -> ResourceSet {
    let tree = load(Path::new(env!("CARGO_MANIFEST_DIR")), &LoadLimits::default());
    let rendered = render(&tree, cluster, &[], &Limits::default());
    let mut spec = read(rendered.documents, Strictness::Strict).spec.unwrap();
    spec.node_program = Some(crate::boot::Program::of(b"a program", None));
    crate::desired::build(&spec, &empty_world().facts).resources
}

const FLEETS: [&str; 2] = ["staging.k8s.example.com", "prod.k8s.example.com"];

#[test]
fn a_fleet_is_made_once_and_then_unchanged() {
    for cluster in FLEETS {
        let desired = desired_of(cluster);
        let new = plan(&desired, &empty_world());
        assert_respects_edges(&new);
        assert_eq!(new.refusals, []);
        assert_eq!(new.changes.len(), desired.len());
        let groups = new.changes.iter().skip_while(|c| c.address.kind != Kind::AutoScalingGroup);
        assert!(groups.clone().all(|c| c.address.kind == Kind::AutoScalingGroup), "groups last");
        let view = PlanView { width: 80, style: Style::plain(), verbose: false };
        for line in human::plan(&new, view).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert_eq!(addresses(&plan(&desired, &applied(&desired))), Vec::<String>::new());
    }
}

#[test]
fn a_new_image_rolls_etcd_and_the_control_plane_before_workers() {
    let desired = desired_of("prod.k8s.example.com");
    let mut wanted = desired.clone();
    for key in desired.keys().filter(|key| key.kind == Kind::LaunchTemplate) {
        wanted = edit(&wanted, key, |value| {
            value["launch_template_data"]["image_id"] = "ami-00000000000000001".into();
        });
    }
    let mut world = applied(&desired);
    second_look(&wanted, &desired, &mut world);
    let plan = plan(&wanted, &world);
    assert!(plan.is_applyable(), "{:?}", plan.refusals);
    let is_guarded = |group: &GroupRollout| {
        let name = &group.address.name;
        name.contains(".etcd.") || name.contains(".masters.")
    };
    let groups = &plan.rollout.groups;
    assert!(groups.iter().filter(|group| is_guarded(group)).count() > 5);
    assert!(groups.is_sorted_by_key(|group| !is_guarded(group)));
    let rolled = plan.rollout.machine_count();
    let running = world.resources.values().filter_map(|observed| observed.group.as_ref());
    assert_eq!(rolled, running.map(|group| group.instances.len()).sum::<usize>());
}
