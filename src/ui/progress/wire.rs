//! Events as JSON: a public form with its own version, apart from the types inside.

use serde_json::{Value, json};

use crate::event::Event;

/// Version of the events' form: the major number is raised when a reader could break.
pub const EVENTS_FORMAT_VERSION: &str = "1.2";

/// The first record: the form's version, and what the run is about.
pub(super) fn version(cluster: &str, is_simulated: bool) -> Value {
    json!({
        "event": "version",
        "format_version": EVENTS_FORMAT_VERSION,
        "kprod_version": env!("CARGO_PKG_VERSION"),
        "cluster": cluster,
        "simulated": is_simulated,
    })
}

/// An event as one record; none for one of a roll, whose record holds the time. Addresses are `kind/name`, times RFC 3339, durations milliseconds.
pub fn record(event: &Event) -> Option<Value> {
    let record = match event {
        Event::LeaseTaken { holder, expires_at } => {
            json!({"event": "lease_taken", "holder": holder, "expires_at": expires_at})
        }
        Event::PreviousRunUnfinished { run, holder, started_at, unfinished } => json!({
            "event": "previous_run_unfinished", "run": run, "holder": holder,
            "started_at": started_at, "unfinished": unfinished,
        }),
        Event::ApplyStarted { cluster, changes, waves } => json!({
            "event": "apply_started", "cluster": cluster, "changes": changes, "waves": waves,
        }),
        Event::WaveStarted { wave, waves, changes } => {
            json!({"event": "wave_started", "wave": wave, "waves": waves, "changes": changes})
        }
        Event::ChangeStarted { address, action } => {
            json!({"event": "change_started", "address": address, "action": action})
        }
        Event::CallMade { address, operation } => {
            json!({"event": "call_made", "address": address, "operation": operation})
        }
        Event::Retrying { address, operation, attempt, wait_ms, why } => json!({
            "event": "retrying", "address": address, "operation": operation,
            "attempt": attempt, "wait_ms": wait_ms, "why": why,
        }),
        Event::ChangeDone { address, action, elapsed_ms } => json!({
            "event": "change_done", "address": address, "action": action, "elapsed_ms": elapsed_ms,
        }),
        Event::ChangeAlreadyDone { address } => {
            json!({"event": "change_already_done", "address": address})
        }
        Event::ChangeFailed { address, action, why } => {
            json!({"event": "change_failed", "address": address, "action": action, "why": why})
        }
        Event::ChangeSkipped { address, why } => {
            json!({"event": "change_skipped", "address": address, "why": why})
        }
        Event::Waiting { address, what, deadline } => {
            json!({"event": "waiting", "address": address, "what": what, "deadline": deadline})
        }
        Event::Roll(_) => return None,
        Event::Stopping => json!({"event": "stopping"}),
        Event::ApplyFinished { done, failed, skipped, elapsed_ms } => json!({
            "event": "apply_finished", "done": done, "failed": failed, "skipped": skipped,
            "elapsed_ms": elapsed_ms,
        }),
    };
    Some(record)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::plan::Action;
    use crate::resource::{Key, Kind};

    #[test]
    fn the_form_of_the_records_is_a_contract() {
        let address = Key::new(Kind::Role, "nodes.a.example.com");
        let done = Event::ChangeDone { address, action: Action::Create, elapsed_ms: 1200 };
        assert_eq!(
            record(&done).unwrap().to_string(),
            r#"{"action":"create","address":"role/nodes.a.example.com","elapsed_ms":1200,"event":"change_done"}"#
        );
        assert_eq!(version("a.example.com", true)["format_version"], "1.2");
    }
}
