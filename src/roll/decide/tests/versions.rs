//! Kubelets are never newer than an API server, now or by what a group would launch.

use super::layout::{Layout, OLD, at};
use crate::roll::decision::Verdict;
use crate::roll::{RolloutRole, Stage, Step, WaitReason};

const BEFORE: &str = "v1.33.6";
const WANTED: &str = "v1.34.2";

/// Two control-plane groups that are as wanted, and workers that go to the wanted version.
fn upgrade() -> Layout {
    let mut layout = Layout::new(&[
        ("cp-1", RolloutRole::ControlPlane, 1),
        ("cp-2", RolloutRole::ControlPlane, 1),
        ("pool", RolloutRole::Node, 2),
    ]);
    layout.policy.kubernetes_version = Some("1.34.2".to_owned());
    for id in ["cp-1-0", "cp-2-0"] {
        layout.renew(id);
        layout.node(id).kubelet_version = WANTED.to_owned();
    }
    layout.group("pool").pin = Some(OLD);
    layout.group("pool").pin_revision = Some("old".to_owned());
    layout
}

fn pins_workers(layout: &Layout) -> bool {
    match layout.decide().verdict {
        Verdict::Act(steps) => {
            steps.iter().any(|step| matches!(step, Step::Pin { group, .. } if group == "pool"))
        }
        _ => false,
    }
}

#[test]
fn workers_wait_for_every_control_plane_group() {
    let mut layout = upgrade();
    assert!(pins_workers(&layout), "the control plane is as wanted");
    layout.policy.only = ["pool".to_owned()].into();
    layout.machine("cp-1-0").unhealthy = Some("it is sick".to_owned());
    assert!(pins_workers(&layout), "cp-1 runs the wanted version all the same");
    layout.node("cp-2-0").kubelet_version = BEFORE.to_owned();
    assert!(!pins_workers(&layout), "cp-2 does not, though nothing else is wrong with it");
}

#[test]
fn workers_wait_for_a_control_plane_that_has_the_version_and_would_launch_another() {
    let mut layout = upgrade();
    layout.policy.only = ["pool".to_owned()].into();
    let cp = layout.group("cp-1");
    (cp.failed, cp.pin) = (Some("new".to_owned()), Some(OLD));
    cp.pin_revision = Some("old".to_owned());
    assert!(!pins_workers(&layout), "nobody knows what version 1 runs");
    layout.machine("cp-1-0").version = Some(OLD);
    layout.machine("cp-1-0").revision = Some("old".to_owned());
    assert!(pins_workers(&layout), "it runs the wanted version: only the image has failed");
}

#[test]
fn an_api_server_that_boots_is_waited_for() {
    let mut layout = upgrade();
    layout.policy.only = ["pool".to_owned()].into();
    layout.machine("cp-1-0").version = Some(OLD);
    layout.machine("cp-1-0").revision = Some("old".to_owned());
    layout.machine("cp-1-0").stage = Stage::Booting;
    layout.machine("cp-1-0").launched_at = Some(at(-60));
    layout.node("cp-1-0").instance_id = None;
    let verdict = layout.decide().verdict;
    let Verdict::Wait(waits) = verdict else { panic!("{verdict:?}") };
    assert!(waits.iter().any(|wait| wait.reason == WaitReason::Node), "{waits:?}");
}
