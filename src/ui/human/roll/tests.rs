//! A roll's plan as it is read, at 80 columns, and as JSON.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::etcd::guard::{RefusalReason, Why};
use crate::plan::{FieldChange, FieldClass};
use crate::roll::{HaltReason, Pause, Slots, Undo};
use crate::ui::{Style, json};

const VIEW: PlanView = PlanView { width: 80, style: Style::plain(), verbose: false };
const CLUSTER: &str = "prod.k8s.example.com";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn machine(number: usize, zone: &str, reasons: Vec<MachineReason>) -> PreviewMachine {
    PreviewMachine {
        instance_id: format!("i-{number:017x}"),
        zone: zone.to_owned(),
        version: Some(1),
        node: Some(format!("i-{number:017x}.eu-west-3.compute.internal")),
        members: Vec::new(),
        reasons,
    }
}

fn revision() -> MachineReason {
    let (runs, target) = ("00ff00ff00ff00ff".to_owned(), "11ee11ee11ee11ee".to_owned());
    MachineReason::Revision { runs, target }
}

fn group(
    name: &str,
    role: RolloutRole,
    machines: Vec<PreviewMachine>,
    slots: Slots,
) -> PreviewGroup {
    let cause = FieldChange {
        path: "launch_template_data.image_id".to_owned(),
        before: Some("ami-0f3c51b7a9e24d680".into()),
        after: Some("ami-0123456789abcdef0".into()),
        class: FieldClass::RollsMachines,
    };
    PreviewGroup {
        group: format!("{name}.{CLUSTER}"),
        role,
        machine_count: machines.len(),
        machines,
        slots,
        causes: vec![cause],
    }
}

fn slots(surge: usize, unavailable: usize, why: &[&str]) -> Slots {
    Slots { surge, unavailable, why: why.iter().map(|why| (*why).to_owned()).collect() }
}

/// Everything that a roll's plan may have to say.
fn full() -> Preview {
    let etcd = PreviewMachine {
        members: vec![("events".to_owned(), "a1".to_owned()), ("main".to_owned(), "a1".to_owned())],
        ..machine(1, "eu-west-3a", vec![revision()])
    };
    let many = (10..30).map(|n| machine(n, ["eu-west-3a", "eu-west-3b"][n % 2], vec![revision()]));
    let by_hand =
        PreviewMachine { version: None, ..machine(40, "eu-west-3b", vec![MachineReason::Unknown]) };
    let old = MachineReason::Age { hours: 800, hours_max: 720 };
    let spot = vec![machine(50, "eu-west-3c", vec![old.clone(), revision()]), by_hand];
    let one = slots(0, 1, &["one at a time over the control plane and etcd"]);
    let control_plane = (2..5).map(|n| machine(n, "eu-west-3b", vec![revision()])).collect();
    let room = "no surge: it has 20 machines of at most 20";
    let mut lone = group("odd", RolloutRole::Node, spot, slots(1, 0, &[]));
    lone.machine_count = 9;
    lone.causes.clear();
    let nodes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let finding = |object: &str, halts, message: &str, way_out: &str| PreflightFinding {
        object: object.to_owned(),
        halts,
        message: message.to_owned(),
        way_out: way_out.to_owned(),
        nodes: nodes(&["i-0000000000000000a.eu-west-3.compute.internal"]),
    };
    Preview {
        cluster: CLUSTER.to_owned(),
        cloud: "sim".to_owned(),
        account: "123456789012".to_owned(),
        region: "eu-west-3".to_owned(),
        observed_at: at("2026-11-21T08:10:49.234Z"),
        unfinished: Some("20261121T070000Z-0f".to_owned()),
        groups: vec![
            group("etcd-a1.etcd", RolloutRole::Etcd, vec![etcd], one.clone()),
            group("control-plane.masters", RolloutRole::ControlPlane, control_plane, one),
            group("general-eu-west-3a", RolloutRole::Node, many.collect(), slots(0, 2, &[room])),
            lone,
        ],
        machine_count: 31,
        machines_max: None,
        left_count: 0,
        undo: None,
        preflight: vec![
            finding(
                "budget/shop/db",
                true,
                "budget shop/db never allows an eviction: 3 of its 3 pods have to be healthy",
                "let budget shop/db allow one disruption, or run one replica more than it asks for",
            ),
            finding(
                "budget/shop/web",
                false,
                "budget shop/web allows none now: 2 pods are healthy, 2 have to be",
                "the drain waits until it allows one, at most for `drainTimeout`",
            ),
        ],
        guard: BTreeMap::from([(
            format!("etcd-a1.etcd.{CLUSTER}"),
            ["b1", "c1"]
                .map(|member| RefusalReason {
                    etcd: "main".to_owned(),
                    member: Some(member.to_owned()),
                    why: Why::NotHealthy,
                })
                .into(),
        )]),
        halts: vec![HaltReason {
            group: None,
            object: CLUSTER.to_owned(),
            message: "20 of 31 machines are broken, more than 30 in a hundred".to_owned(),
            way_out: "look for what they have in common".to_owned(),
        }],
        is_idle: false,
        paused: Some(Pause {
            by: "ann@laptop".to_owned(),
            at: at("2026-11-21T07:30:00Z"),
            why: "release on the way".to_owned(),
        }),
        unapplied_count: 2,
        cloudonly: false,
        estimate: Some(Duration::from_secs(2460)),
    }
}

#[test]
fn a_full_plan_of_a_roll_reads_well_and_fits() {
    let text = roll(&full(), VIEW);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert_eq!(line, line.trim_end());
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_roll_without_machines_says_so() {
    let preview = Preview {
        groups: Vec::new(),
        preflight: Vec::new(),
        guard: BTreeMap::new(),
        halts: Vec::new(),
        paused: None,
        unfinished: None,
        unapplied_count: 0,
        ..full()
    };
    assert!(roll(&preview, VIEW).ends_with("Roll: nothing to do, 31 machines as wanted\n"));
}

/// A part says that it is one, and that nothing is as wanted which is only left for later.
#[test]
fn a_part_of_a_roll_counts_what_it_leaves() {
    let part = Preview { machines_max: Some(26), left_count: 4, ..full() };
    let text = roll(&part, VIEW);
    assert!(text.contains("--max-machines 26: begins with 26 of 30 machines"), "{text}");
    assert!(text.contains("about 41m00s; 4 are left for later; 2 things"), "{text}");
    let other = Preview { groups: Vec::new(), left_count: 4, ..full() };
    let last = "Roll: nothing to do, 27 machines as wanted; 4 are left for later\n";
    assert!(roll(&other, VIEW).ends_with(last));
}

#[test]
fn an_abort_is_shown_by_what_it_puts_back() {
    let named = |numbers: &[usize]| numbers.iter().map(|n| format!("i-{n:017x}")).collect();
    let ended = [(format!("i-{:017x}", 7), vec![MachineReason::Detached])].into();
    let undo = Undo {
        group: format!("control-plane.masters.{CLUSTER}"),
        version: Some(1),
        uncordoned: named(&[2]),
        unmarked: named(&[3, 4]),
        kept: named(&[5]),
        ended,
        leaving: named(&[8]),
        coming: named(&[9]),
        processes: ["AZRebalance".to_owned()].into(),
        is_marked: true,
    };
    let idle = Undo { ended: BTreeMap::new(), leaving: vec![], coming: vec![], ..undo.clone() };
    let clear = || Preview {
        preflight: Vec::new(),
        guard: BTreeMap::new(),
        halts: Vec::new(),
        paused: None,
        groups: Vec::new(),
        ..full()
    };
    let text = roll(&Preview { undo: Some(vec![undo]), ..clear() }, VIEW);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let (_, body) = text.split_once("\n\n").unwrap();
    let expected = "\
roll 20261121T070000Z-0f did not end; this puts it back

To put back (1 group)

  control-plane
      new machines boot version 1 again
      uncordoned and freed of the roll's marks: i-00000000000000002
      freed of the roll's taint and marks: i-00000000000000003,
        i-00000000000000004
      stays in the group: i-00000000000000005
      comes, and is waited for: i-00000000000000009
      drained and ended (taken out of its group by a roll that did not end):
        i-00000000000000007
      ends already, and is waited for: i-00000000000000008
      resumed: AZRebalance
      the roll's mark is removed

Abort: 1 group to put back, 1 node to uncordon, 1 machine to end, about 41m00s
";
    assert_eq!(body, expected);
    let quick = roll(&Preview { undo: Some(vec![idle]), ..clear() }, VIEW);
    let last = "Abort: 1 group to put back, 1 node to uncordon\n";
    assert!(quick.ends_with(last), "{quick}");
    let none = Preview { undo: Some(Vec::new()), is_idle: true, unfinished: None, ..clear() };
    assert!(roll(&none, VIEW).ends_with("\n\nAbort: nothing to put back\n"));
}

#[test]
fn the_form_of_a_roll_in_json_is_a_contract() {
    insta::assert_snapshot!(format!("{:#}", json::roll(&full())));
}

/// Fields of groups that share a line with others.
const BELOW: [&str; 8] =
    ["role", "surge", "unavailable", "unmarked", "kept", "ended", "leaving", "coming"];

/// Every documented field is there, and no other.
#[test]
fn the_documented_fields_are_the_fields() {
    let told = json::roll(&full());
    let told: BTreeSet<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
    let documented: BTreeSet<&str> = include_str!("../../json/roll.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .filter_map(|line| line.split_once(" | "))
        .flat_map(|(names, _)| names.split(", "))
        .map(|name| name.trim_matches('`').trim_end_matches("[]"))
        .filter(|name| !name.contains('[') && !BELOW.contains(name))
        .collect();
    assert_eq!(told, documented);
}
