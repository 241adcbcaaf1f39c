//! Progress of a run: a live view on a terminal, plain lines elsewhere, JSON lines on request.
//!
//! Talk goes to stderr; `--events jsonl` is data and goes to stdout.

mod line;
mod live;
pub(super) mod roll;
mod summary;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

pub use roll::left_over;
pub use summary::{nothing_to_do, summary};
pub use wire::{EVENTS_FORMAT_VERSION, record};

use jiff::Timestamp;

use super::Ui;
use crate::cloud::retry::reader::ReadRetry;
use crate::event::Event;
use crate::plan::Plan;
use crate::resource::Key;
use live::Live;
use roll::Telling;

/// Where a run's events go. Made by [`sink`].
pub struct Sink {
    ui: Ui,
    writes_events: bool,
    is_simulated: bool,
    state: Mutex<State>,
}

/// A read that is tried again, as an event.
pub fn read_event(retry: &ReadRetry) -> Event {
    Event::Retrying {
        address: None,
        operation: retry.operation.clone(),
        attempt: retry.attempt,
        wait_ms: u64::try_from(retry.wait.as_millis()).unwrap_or(u64::MAX),
        why: retry.why.clone(),
    }
}

/// What the lines are made of.
#[derive(Default)]
struct State {
    live: Option<Live>,
    /// Changes that are being made, with their newest call.
    active: BTreeMap<Key, String>,
    finished_count: usize,
    change_count: usize,
    /// The rolling update, from its first event on.
    roll: Option<Telling>,
}

/// A sink for the events of runs on a cluster. With `writes_events`, each event is also written to
/// stdout as one JSON line, after a first line with the version of that form.
pub fn sink(ui: &Ui, writes_events: bool, cluster: &str, is_simulated: bool) -> Sink {
    let state = Mutex::new(State::default());
    let sink = Sink { ui: ui.clone(), writes_events, is_simulated, state };
    sink.write_json(Some(wire::version(cluster, is_simulated)));
    sink
}

/// Tells on stderr what happens before there is a plan to follow.
pub fn tell(ui: &Ui, event: &Event, is_simulated: bool) {
    if let Some(line) = line::of(event, ui.err, is_simulated) {
        ui.status(&line);
    }
}

impl Sink {
    /// The run is now one of this plan.
    pub fn follow(&self, plan: &Plan) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.change_count = plan.changes.len();
        state.finished_count = 0;
    }

    /// Shows an event of a rolling update, which happened at `now` on the cloud's clock.
    pub fn announce_roll(&self, now: Timestamp, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::Roll(event) = event {
            // The changes of before are made.
            if let Some(live) = state.live.take() {
                live.clear();
            }
            let telling = state.roll.get_or_insert_default();
            let record = telling.take(&self.ui, now, event, self.is_simulated);
            self.write_json(Some(record));
            return;
        }
        self.write_json(record(event));
        if let Some(line) = line::of(event, self.ui.err, self.is_simulated) {
            match &mut state.roll {
                Some(telling) => telling.say(&self.ui, now, &line),
                None => self.ui.status(&line),
            }
        }
    }

    /// The last words of a rolling update, written as a record as well; none if none began.
    pub fn roll_summary(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (text, record) = state.roll.as_ref()?.summary(&self.ui, self.is_simulated);
        self.write_json(Some(record));
        Some(text)
    }

    /// Shows an event of an apply.
    pub fn announce(&self, event: &Event) {
        self.write_json(record(event));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.follow(event);
        if self.ui.live && state.live.is_none() {
            state.live = Some(Live::new(state.change_count));
        }
        // The moving line tells what is waited for; without one each step is told.
        let moves = self.ui.live && matches!(event, Event::Waiting { address: Some(_), .. });
        let line = if moves { None } else { line::of(event, self.ui.err, self.is_simulated) };
        match (&state.live, line) {
            (Some(live), line) => {
                live.show(line.as_deref(), &state.standing(), state.finished_count);
            }
            (None, Some(line)) => self.ui.status(&line),
            (None, None) => {}
        }
    }

    /// Tells readers of events that the run had nothing to make.
    pub fn nothing_to_do(&self) {
        self.write_json(record(&Event::ApplyFinished {
            done: 0,
            failed: 0,
            skipped: 0,
            elapsed_ms: 0,
        }));
    }

    /// Ends the live view; what was said stays.
    pub fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = state.live.take() {
            live.clear();
        }
        if let Some(roll) = &mut state.roll {
            roll.finish();
        }
    }

    fn write_json(&self, record: Option<serde_json::Value>) {
        if let Some(record) = record.filter(|_| self.writes_events) {
            // Progress is worth less than the run: a full disk does not stop it.
            let _ = self.ui.data(&format!("{record}\n"));
        }
    }
}

impl State {
    fn follow(&mut self, event: &Event) {
        match event {
            Event::ChangeStarted { address, .. } => {
                self.active.insert(address.clone(), String::new());
            }
            Event::CallMade { address, operation }
            | Event::Retrying { address: Some(address), operation, .. } => {
                self.active.insert(address.clone(), operation.clone());
            }
            Event::ChangeDone { address, .. }
            | Event::ChangeAlreadyDone { address }
            | Event::ChangeFailed { address, .. }
            | Event::ChangeSkipped { address, .. } => {
                self.active.remove(address);
                self.finished_count = (self.finished_count + 1).min(self.change_count);
            }
            Event::Waiting { address, what, .. } => {
                self.active.clear();
                if let Some(address) = address {
                    self.active.insert(address.clone(), what.clone());
                }
            }
            Event::Retrying { address: None, .. }
            | Event::LeaseTaken { .. }
            | Event::PreviousRunUnfinished { .. }
            | Event::ApplyStarted { .. }
            | Event::WaveStarted { .. }
            | Event::Stopping
            | Event::Roll(_)
            | Event::ApplyFinished { .. } => {}
        }
    }

    /// What stands beside the bar: the changes that are being made.
    fn standing(&self) -> String {
        const SHOWN_MAX: usize = 2;
        let mut text: Vec<String> = self
            .active
            .iter()
            .take(SHOWN_MAX)
            .map(|(address, what)| match what.as_str() {
                "" => address.to_string(),
                what => format!("{address} {what}"),
            })
            .collect();
        if self.active.len() > SHOWN_MAX {
            text.push(format!("{} more", self.active.len() - SHOWN_MAX));
        }
        text.join(", ")
    }
}
