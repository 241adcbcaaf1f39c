//! A rolling update's events as JSON. Each has `at`, the cloud's time.
//!
//! | Event | Fields | When |
//! |---|---|---|
//! | `roll_started` | `at`, `cluster`, `roll`, `resumed`, `aborts`, `machines` | a roll begins, or goes on with what an earlier run began; `aborts` (since 1.2) when that is put back |
//! | `roll_step` | `at`, `step`, `group`, `node`, `machines`, `pods`, `detail` | a step was made; what it is not about is null or empty |
//! | `roll_step_failed` | as `roll_step`, and `why` | a step failed; what comes next is decided anew |
//! | `roll_progress` | `at`, `eta`, `groups` | how the groups stand, whenever that changes and at least once a minute; `eta` may be null |
//! | `roll_halted` | `at`, `reasons` | it stops; each reason has `group`, `object`, `message`, `way_out` |
//! | `roll_finished` | `at`, `replaced`, `elapsed_ms` | it has done what was asked for; `replaced` counts the machines that it ended |
//! | `roll_summary` | `at`, `elapsed_ms`, `evicted`, `deleted`, `groups`, `waits`, `skipped` | last, however it ended |

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::ledger::Ledger;
use crate::event::RollEvent;
use crate::roll::{GroupProgress, HaltReason, MachineReason, Phase, Step, Waiting};
use crate::ui::roll::step::{StepFacts, facts};
use crate::ui::roll::{machine_reason, wait_reason, wait_word};

#[derive(Serialize)]
struct StepJson<'a> {
    event: &'static str,
    at: Timestamp,
    step: &'static str,
    group: Option<&'a str>,
    node: Option<&'a str>,
    machines: Vec<&'a str>,
    pods: Vec<String>,
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

/// How a group stands; also in `kprod status -o json`.
#[derive(Serialize)]
pub(in crate::ui) struct GroupJson<'a> {
    group: &'a str,
    done: usize,
    outdated: Vec<OutdatedJson<'a>>,
    in_work: Vec<InWorkJson<'a>>,
    skipped: Vec<SkippedJson<'a>>,
    waiting: Vec<WaitingJson<'a>>,
}

#[derive(Serialize)]
struct OutdatedJson<'a> {
    machine: &'a str,
    reasons: Vec<ReasonJson>,
}

/// Why a machine is replaced; also in a roll's plan.
#[derive(Serialize)]
pub(in crate::ui) struct ReasonJson {
    reason: &'static str,
    message: String,
}

#[derive(Serialize)]
struct InWorkJson<'a> {
    machine: &'a str,
    phase: &'static str,
}

#[derive(Serialize)]
struct SkippedJson<'a> {
    machine: &'a str,
    why: &'a str,
}

#[derive(Serialize)]
struct WaitingJson<'a> {
    machine: Option<&'a str>,
    reason: &'static str,
    message: String,
    deadline: Option<Timestamp>,
}

/// Why a roll stops; also in `kprod status -o json`.
#[derive(Serialize)]
pub(in crate::ui) struct HaltJson<'a> {
    group: Option<&'a str>,
    object: &'a str,
    message: &'a str,
    way_out: &'a str,
}

/// An event as one record.
pub(in crate::ui) fn record(at: Timestamp, event: &RollEvent) -> Value {
    match event {
        RollEvent::Started { cluster, roll, resumed, aborts, machines } => json!({
            "event": "roll_started", "at": at, "cluster": cluster, "roll": roll,
            "resumed": resumed, "aborts": aborts, "machines": machines,
        }),
        RollEvent::Step { step } => value(&step_json("roll_step", at, step, None)),
        RollEvent::StepFailed { step, why } => {
            value(&step_json("roll_step_failed", at, step, Some(why)))
        }
        RollEvent::Progress { progress, eta } => json!({
            "event": "roll_progress", "at": at, "eta": eta,
            "groups": progress.groups.iter().map(|group| value(&group_json(group)))
                .collect::<Vec<_>>(),
        }),
        RollEvent::Halted { reasons } => json!({
            "event": "roll_halted", "at": at,
            "reasons": reasons.iter().map(|reason| value(&halt_json(reason))).collect::<Vec<_>>(),
        }),
        RollEvent::Finished { replaced, elapsed_ms } => json!({
            "event": "roll_finished", "at": at, "replaced": replaced, "elapsed_ms": elapsed_ms,
        }),
    }
}

/// The last record of a roll.
pub(super) fn summary(ledger: &Ledger) -> Value {
    let millis =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let groups = ledger.groups.iter().filter_map(|group| {
        let took = crate::ui::roll::between(group.began_at?, group.ended_at.or(ledger.now)?);
        Some(json!({
            "group": group.progress.group, "replaced": group.gone,
            "left": group.total() - group.gone, "elapsed_ms": millis(took),
        }))
    });
    let skipped = ledger.groups.iter().flat_map(|group| {
        let machines = group.progress.skipped.iter();
        machines.map(
            |(machine, why)| json!({"group": group.progress.group, "machine": machine, "why": why}),
        )
    });
    let waits = ledger.longest_waits().into_iter().map(|(waiting, lasted)| {
        json!({
            "group": waiting.group, "machine": waiting.machine,
            "reason": wait_word(&waiting.reason), "message": wait_reason(waiting, ""),
            "elapsed_ms": millis(lasted),
        })
    });
    json!({
        "event": "roll_summary", "at": ledger.now, "elapsed_ms": millis(ledger.elapsed()),
        "evicted": ledger.evicted.len(), "deleted": ledger.deleted.len(),
        "groups": groups.collect::<Vec<_>>(), "waits": waits.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
    })
}

/// A group's progress in the public form.
pub(in crate::ui) fn group_json(group: &GroupProgress) -> GroupJson<'_> {
    let outdated = group.outdated.iter();
    let waiting = group.waiting.iter();
    GroupJson {
        group: &group.group,
        done: group.done,
        outdated: outdated
            .map(|(machine, reasons)| OutdatedJson { machine, reasons: reasons_json(reasons) })
            .collect(),
        in_work: group
            .in_work
            .iter()
            .map(|(machine, phase)| InWorkJson { machine, phase: phase_word(*phase) })
            .collect(),
        skipped: group.skipped.iter().map(|(machine, why)| SkippedJson { machine, why }).collect(),
        waiting: waiting.map(waiting_json).collect(),
    }
}

/// A machine's reasons in the public form.
pub(in crate::ui) fn reasons_json(reasons: &[MachineReason]) -> Vec<ReasonJson> {
    let json = |reason| ReasonJson { reason: reason_word(reason), message: machine_reason(reason) };
    reasons.iter().map(json).collect()
}

/// Why a roll stops, in the public form.
pub(in crate::ui) fn halt_json(reason: &HaltReason) -> HaltJson<'_> {
    let HaltReason { group, object, message, way_out } = reason;
    HaltJson { group: group.as_deref(), object, message, way_out }
}

fn waiting_json(waiting: &Waiting) -> WaitingJson<'_> {
    WaitingJson {
        machine: waiting.machine.as_deref(),
        reason: wait_word(&waiting.reason),
        message: wait_reason(waiting, ""),
        deadline: waiting.deadline,
    }
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Detached => "detached",
        Phase::Draining => "draining",
        Phase::Leaving => "leaving",
        Phase::Booting => "booting",
        Phase::Soaking => "soaking",
    }
}

fn reason_word(reason: &MachineReason) -> &'static str {
    match reason {
        MachineReason::Revision { .. } => "revision",
        MachineReason::Unknown => "unknown",
        MachineReason::Retired { .. } => "retired",
        MachineReason::Detached => "detached",
        MachineReason::Unhealthy { .. } => "unhealthy",
        MachineReason::Age { .. } => "age",
        MachineReason::Forced => "forced",
        MachineReason::Annotated { .. } => "annotated",
    }
}

fn step_json<'a>(
    event: &'static str,
    at: Timestamp,
    step: &'a Step,
    why: Option<&'a str>,
) -> StepJson<'a> {
    let StepFacts { step, group, node, machines, pods, detail } = facts(step);
    StepJson { event, at, step, group, node, machines, pods, detail, why }
}

fn value(json: &impl Serialize) -> Value {
    serde_json::to_value(json).unwrap_or_default()
}
