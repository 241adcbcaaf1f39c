//! A status as it is read, at 80 columns, and as JSON.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;

use super::*;
use crate::roll::status::{BrokenMachine, RollStatus};
use crate::roll::{HaltReason, MachineReason, Pause, Phase, WaitReason, Waiting};
use crate::ui::{Style, json};

const CLUSTER: &str = "prod.k8s.example.com";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn busy() -> StatusView {
    let general = format!("general-eu-west-3a.{CLUSTER}");
    let control_plane = format!("control-plane.masters.{CLUSTER}");
    let waiting = Waiting {
        group: general.clone(),
        machine: Some("i-0000000000000000a".to_owned()),
        reason: WaitReason::Pods { left: 3, held: None },
        deadline: Some(at("2026-11-21T08:25:00Z")),
    };
    let group = |group: &str, done| GroupProgress {
        group: group.to_owned(),
        done,
        outdated: BTreeMap::new(),
        in_work: BTreeMap::new(),
        skipped: BTreeMap::new(),
        waiting: Vec::new(),
    };
    let forced = vec![MachineReason::Forced];
    let rolling = GroupProgress {
        outdated: BTreeMap::from([("i-0000000000000000b".to_owned(), forced)]),
        in_work: BTreeMap::from([("i-0000000000000000a".to_owned(), Phase::Draining)]),
        skipped: BTreeMap::from([(
            "i-0000000000000000c".to_owned(),
            "its drain took too long".to_owned(),
        )]),
        waiting: vec![waiting],
        ..group(&general, 17)
    };
    StatusView {
        is_simulated: true,
        lease: Some(Ok(LeaseRecord {
            format_version: 1,
            holder: "ann@laptop (process 7)".to_owned(),
            token: "t".to_owned(),
            taken_at: at("2026-11-21T08:00:00Z"),
            expires_at: at("2026-11-21T08:13:00Z"),
        })),
        status: Status {
            cluster: CLUSTER.to_owned(),
            observed_at: at("2026-11-21T08:10:49Z"),
            roll: Some(RollStatus {
                id: "20261121T080000Z-0f".to_owned(),
                began_at: at("2026-11-21T08:00:12Z"),
                groups: vec![general.clone()],
            }),
            groups: vec![group(&control_plane, 3), rolling],
            failed: BTreeMap::from([(general.clone(), "00ff00ff00ff00ff".to_owned())]),
            broken: vec![BrokenMachine {
                instance_id: "i-0000000000000000d".to_owned(),
                group: general.clone(),
                why: "its node is not ready since 2026-11-21T07:00:00Z: kubelet stopped posting node \
                      status"
                    .to_owned(),
            }],
            halts: vec![HaltReason {
                group: Some(general),
                object: "pod/shop/db-0".to_owned(),
                message: "no controller would make it again".to_owned(),
                way_out: "delete it".to_owned(),
            }],
            paused: Some(Pause {
                by: "ben@ci (process 9)".to_owned(),
                at: at("2026-11-21T08:09:00Z"),
                why: "release".to_owned(),
            }),
        },
        without_kube: None,
    }
}

#[test]
fn a_status_reads_well_and_fits() {
    let view = PlanView { width: 80, style: Style::plain(), verbose: false };
    let text = text(&busy(), at("2026-11-21T08:11:00Z"), view);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_form_of_a_status_in_json_is_a_contract() {
    insta::assert_snapshot!(format!("{:#}", json::status(&busy())));
}

#[test]
fn quiet_is_only_where_nothing_goes_on_at_all() {
    let mut view = busy();
    assert!(!view.is_quiet());
    view.lease = None;
    let status = &mut view.status;
    (status.roll, status.paused) = (None, None);
    (status.failed, status.broken, status.halts) = (BTreeMap::new(), vec![], vec![]);
    status.groups.truncate(1);
    assert!(view.is_quiet());
    view.without_kube = Some("the API server does not answer".to_owned());
    assert!(!view.is_quiet(), "nobody has looked at the nodes");
}
