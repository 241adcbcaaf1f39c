//! A rolling update before it begins, as JSON (`rolling-update -o json`).
//!
//! | Field | Meaning |
//! |---|---|
//! | `format_version` | version of the roll's form, `"1.1"` |
//! | `cluster`, `cloud`, `simulated`, `account`, `region` | what it is about |
//! | `observed_at` | when groups and machines were read, RFC 3339 |
//! | `machine_count`, `machines_to_replace` | machines of all groups, and those that would go |
//! | `machines_max`, `machines_left` | most machines that it begins with, or null; machines to replace that are left for later, in other groups too; since 1.1 |
//! | `estimate_secs` | how long it may take; null when there is nothing to tell it from |
//! | `obstacle_count` | things that would halt it: entries of `preflight` that halt, and of `halts` |
//! | `unapplied_changes` | changes of the plan that no apply has made; the roll goes where the last apply said |
//! | `unfinished` | the roll that an earlier run began and did not end, or null |
//! | `paused` | `by`, `at`, `why` of a pause, or null |
//! | `cloudonly` | Kubernetes is left out |
//! | `groups` | groups with machines to replace, in rolling order |
//! | `groups[].group`, `role` | its name; `bastion`, `etcd`, `control_plane`, `node` |
//! | `groups[].machine_count`, `surge`, `unavailable` | machines that it has; how many at a time may come first, and go first |
//! | `groups[].why` | why it is that many, where the policy alone does not say it |
//! | `groups[].causes` | the fields that differ, as in a plan's `rollout.groups[].causes` |
//! | `groups[].machines[]` | `machine`, `zone`, `version`, `node`, `members`, `reasons` |
//! | `groups[].machines[].members` | etcd members on it, as `etcd cluster/member` |
//! | `groups[].machines[].reasons[]` | `reason` (`revision`, `unknown`, `retired`, `detached`, `unhealthy`, `age`, `forced`, `annotated`) and `message` |
//! | `preflight[]` | what would hold a drain: `object`, `halts`, `message`, `way_out`, `nodes` |
//! | `guard[]` | why the quorum guard would not let a machine go now: `group`, `reasons` |
//! | `halts[]` | why it would halt at once: `group`, `object`, `message`, `way_out` |
//! | `undo[]` | with `--abort`, what is put back, else null; since 1.1: `group`, `version`, `processes`, `marked`, and machines |
//! | `undo[].uncordoned`, `unmarked`, `kept`, `ended`, `leaving`, `coming` | whose nodes take work again, or lose other marks; that stay in the group, are drained and ended, end already, are new and do not count yet |

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::plan::{FieldJson, field_json};
use crate::roll::{Pause, Preview, PreviewGroup, PreviewMachine, RolloutRole, Undo};
use crate::ui::progress::roll::wire::{HaltJson, ReasonJson, halt_json, reasons_json};

/// Version of the form.
const FORMAT_VERSION: &str = "1.1";

#[derive(Serialize)]
struct RollJson<'a> {
    format_version: &'static str,
    cluster: &'a str,
    cloud: &'a str,
    simulated: bool,
    account: &'a str,
    region: &'a str,
    observed_at: Timestamp,
    machine_count: usize,
    machines_to_replace: usize,
    machines_max: Option<usize>,
    machines_left: usize,
    estimate_secs: Option<u64>,
    obstacle_count: usize,
    unapplied_changes: usize,
    unfinished: Option<&'a str>,
    paused: Option<PauseJson<'a>>,
    cloudonly: bool,
    groups: Vec<GroupJson<'a>>,
    preflight: Vec<PreflightJson<'a>>,
    guard: Vec<GuardJson<'a>>,
    halts: Vec<HaltJson<'a>>,
    undo: Option<Vec<UndoJson<'a>>>,
}

#[derive(Serialize)]
struct UndoJson<'a> {
    group: &'a str,
    version: Option<u64>,
    uncordoned: &'a [String],
    unmarked: &'a [String],
    kept: &'a [String],
    ended: Vec<&'a str>,
    leaving: &'a [String],
    coming: &'a [String],
    processes: &'a BTreeSet<String>,
    marked: bool,
}

/// A pause; also in `kprod status -o json`.
#[derive(Serialize)]
pub(super) struct PauseJson<'a> {
    by: &'a str,
    at: Timestamp,
    why: &'a str,
}

#[derive(Serialize)]
struct GroupJson<'a> {
    group: &'a str,
    role: &'static str,
    machine_count: usize,
    surge: usize,
    unavailable: usize,
    why: &'a [String],
    causes: Vec<FieldJson>,
    machines: Vec<MachineJson<'a>>,
}

#[derive(Serialize)]
struct MachineJson<'a> {
    machine: &'a str,
    zone: &'a str,
    version: Option<u64>,
    node: Option<&'a str>,
    members: Vec<String>,
    reasons: Vec<ReasonJson>,
}

#[derive(Serialize)]
struct PreflightJson<'a> {
    object: &'a str,
    halts: bool,
    message: &'a str,
    way_out: &'a str,
    nodes: &'a BTreeSet<String>,
}

#[derive(Serialize)]
struct GuardJson<'a> {
    group: &'a str,
    reasons: Vec<String>,
}

/// A roll's plan in the form above.
pub fn roll(preview: &Preview) -> Value {
    let preflight = preview.preflight.iter().map(|finding| PreflightJson {
        object: &finding.object,
        halts: finding.halts,
        message: &finding.message,
        way_out: &finding.way_out,
        nodes: &finding.nodes,
    });
    let guard = preview.guard.iter().map(|(group, reasons)| GuardJson {
        group,
        reasons: reasons.iter().map(ToString::to_string).collect(),
    });
    let told = RollJson {
        format_version: FORMAT_VERSION,
        cluster: &preview.cluster,
        cloud: &preview.cloud,
        simulated: preview.cloud == "sim",
        account: &preview.account,
        region: &preview.region,
        observed_at: preview.observed_at,
        machine_count: preview.machine_count,
        machines_to_replace: preview.to_replace(),
        machines_max: preview.machines_max,
        machines_left: preview.left_count,
        estimate_secs: preview.estimate.map(|estimate| estimate.as_secs()),
        obstacle_count: preview.obstacle_count(),
        unapplied_changes: preview.unapplied_count,
        unfinished: preview.unfinished.as_deref(),
        paused: preview.paused.as_ref().map(pause_json),
        cloudonly: preview.cloudonly,
        groups: preview.groups.iter().map(group_json).collect(),
        preflight: preflight.collect(),
        guard: guard.collect(),
        halts: preview.halts.iter().map(halt_json).collect(),
        undo: preview.undo.as_ref().map(|groups| groups.iter().map(undo_json).collect()),
    };
    serde_json::to_value(told).unwrap_or_default()
}

fn undo_json(undo: &Undo) -> UndoJson<'_> {
    let Undo {
        group,
        version,
        uncordoned,
        unmarked,
        kept,
        ended,
        leaving,
        coming,
        processes,
        is_marked,
    } = undo;
    UndoJson {
        group,
        version: *version,
        uncordoned,
        unmarked,
        kept,
        ended: ended.keys().map(String::as_str).collect(),
        leaving,
        coming,
        processes,
        marked: *is_marked,
    }
}

/// A pause in the public form.
pub(super) fn pause_json(pause: &Pause) -> PauseJson<'_> {
    let Pause { by, at, why } = pause;
    PauseJson { by, at: *at, why }
}

fn group_json(group: &PreviewGroup) -> GroupJson<'_> {
    GroupJson {
        group: &group.group,
        role: role_word(group.role),
        machine_count: group.machine_count,
        surge: group.slots.surge,
        unavailable: group.slots.unavailable,
        why: &group.slots.why,
        causes: group.causes.iter().map(field_json).collect(),
        machines: group.machines.iter().map(machine_json).collect(),
    }
}

fn machine_json(machine: &PreviewMachine) -> MachineJson<'_> {
    let members = machine.members.iter().map(|(etcd, member)| format!("{etcd}/{member}"));
    MachineJson {
        machine: &machine.instance_id,
        zone: &machine.zone,
        version: machine.version,
        node: machine.node.as_deref(),
        members: members.collect(),
        reasons: reasons_json(&machine.reasons),
    }
}

fn role_word(role: RolloutRole) -> &'static str {
    match role {
        RolloutRole::Bastion => "bastion",
        RolloutRole::Etcd => "etcd",
        RolloutRole::ControlPlane => "control_plane",
        RolloutRole::Node => "node",
    }
}
