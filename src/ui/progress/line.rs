//! One event as one line of text, or none when it is not worth one.

use crate::event::Event;
use crate::plan::Action;
use crate::ui::Style;
use crate::ui::finding::plural;
use crate::ui::roll::duration;

/// The line of an event. A run on the simulator says so.
pub(super) fn of(event: &Event, style: Style, is_simulated: bool) -> Option<String> {
    let line = match event {
        Event::LeaseTaken { .. } | Event::CallMade { .. } | Event::ChangeStarted { .. } => {
            return None;
        }
        Event::PreviousRunUnfinished { holder, started_at, unfinished, .. } => format!(
            "the run of {holder} from {started_at} did not end; {} it had begun are looked at again",
            plural(unfinished.len(), "change")
        ),
        Event::ApplyStarted { cluster, changes, waves } => {
            let what = format!(
                "applying {cluster}: {} in {}",
                plural(*changes, "change"),
                plural(*waves, "wave")
            );
            match is_simulated {
                true => format!("{} {what}", style.warning("SIMULATED")),
                false => what,
            }
        }
        Event::WaveStarted { wave, waves, changes } => {
            style.dim(&format!("wave {wave} of {waves}: {}", plural(*changes, "change")))
        }
        Event::Retrying { address, attempt, wait_ms, why, .. } => {
            let wait = duration(std::time::Duration::from_millis(*wait_ms));
            let whose = address.as_ref().map(|address| format!("{address}: ")).unwrap_or_default();
            // The first failures of a call are everyday business; then each doubling is told.
            if *attempt < 4 || !attempt.is_power_of_two() {
                return None;
            }
            style.dim(&format!("  {whose}{why}; attempt {attempt}, again in {wait}"))
        }
        Event::ChangeDone { address, action, elapsed_ms } => {
            let took = duration(std::time::Duration::from_millis(*elapsed_ms));
            let sign = signed(*action, style);
            format!("  {sign} {address} {}", style.dim(&format!("{} in {took}", past(*action))))
        }
        Event::ChangeAlreadyDone { address } => {
            format!("    {address} {}", style.dim("is as wanted already"))
        }
        Event::ChangeFailed { address, why, .. } => {
            format!("  {} {address}: {why}", style.error("failed"))
        }
        // The summary says what was not begun, and why.
        Event::ChangeSkipped { .. } => return None,
        Event::Waiting { address, what, deadline } => match address {
            Some(address) => {
                format!("waiting for {address}: {what} {}", until(deadline, style))
            }
            None => format!("waiting for {what} {}", until(deadline, style)),
        },
        // It has its own lines, which need more than the event.
        Event::Roll(_) => return None,
        Event::Stopping => "stopping: calls in flight finish, nothing new begins".to_owned(),
        Event::ApplyFinished { .. } => return None,
    };
    Some(line)
}

fn until(deadline: &str, style: Style) -> String {
    // Nobody waits for milliseconds.
    let deadline = match deadline.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => deadline.to_owned(),
    };
    style.dim(&format!("(until {deadline} at most)"))
}

fn signed(action: Action, style: Style) -> String {
    let sign = action.symbol();
    match action {
        Action::Create => style.create(sign),
        Action::Update | Action::Replace => style.update(sign),
        Action::Delete => style.delete(sign),
        Action::NoOp => sign.to_owned(),
    }
}

fn past(action: Action) -> &'static str {
    match action {
        Action::Create => "created",
        Action::Update => "updated",
        Action::Replace => "replaced",
        Action::Delete => "deleted",
        Action::NoOp => "left",
    }
}
