//! A rolling update's events: as lines, and as JSON.

use serde_json::{Value, json};

use super::summary::duration;
use crate::event::RollEvent;
use crate::ui::Style;
use crate::ui::finding::plural;

/// An event as one record.
pub(super) fn record(event: &RollEvent) -> Value {
    match event {
        RollEvent::Started { cluster, roll, resumed, machines } => json!({
            "event": "roll_started", "cluster": cluster, "roll": roll, "resumed": resumed,
            "machines": machines,
        }),
        RollEvent::Step { step } => json!({"event": "roll_step", "step": step}),
        RollEvent::StepFailed { step, why } => {
            json!({"event": "roll_step_failed", "step": step, "why": why})
        }
        RollEvent::Progress { eta, .. } => json!({"event": "roll_progress", "eta": eta}),
        RollEvent::Halted { reasons } => json!({"event": "roll_halted", "reasons": reasons}),
        RollEvent::Finished { replaced, elapsed_ms } => json!({
            "event": "roll_finished", "replaced": replaced, "elapsed_ms": elapsed_ms,
        }),
    }
}

/// The line of an event, or none when it is not worth one.
pub(super) fn line(event: &RollEvent, style: Style, is_simulated: bool) -> Option<String> {
    let line = match event {
        RollEvent::Started { cluster, resumed, machines, .. } => {
            let verb = if *resumed { "going on rolling" } else { "rolling" };
            let what = format!("{verb} {cluster}: {}", plural(*machines, "machine"));
            match is_simulated {
                true => format!("{} {what}", style.warning("SIMULATED")),
                false => what,
            }
        }
        RollEvent::Step { .. } | RollEvent::Progress { .. } => return None,
        RollEvent::StepFailed { why, .. } => style.dim(&format!("  {why}")),
        RollEvent::Halted { reasons } => {
            let reasons =
                reasons.iter().map(|reason| format!("{}: {}", reason.object, reason.message));
            format!("halted: {}", reasons.collect::<Vec<_>>().join("; "))
        }
        RollEvent::Finished { replaced, elapsed_ms } => {
            let took = duration(std::time::Duration::from_millis(*elapsed_ms));
            format!("rolled: {} replaced in {took}", plural(*replaced, "machine"))
        }
    };
    Some(line)
}
