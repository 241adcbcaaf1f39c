//! Progress of a rolling update: from its events a [`Ledger`] of what has happened; from that the
//! lines, the live view, the records and the last words.

mod ledger;
mod line;
mod live;
mod put_back;
mod summary;
#[cfg(test)]
mod tests;
pub(in crate::ui) mod wire;

use jiff::Timestamp;
use serde_json::Value;

use crate::event::RollEvent;
use crate::ui::Ui;
use ledger::Ledger;
use line::Lines;
use live::Live;
pub use summary::left_over;

/// A roll as it is told.
#[derive(Default)]
pub(super) struct Telling {
    ledger: Ledger,
    live: Option<Live>,
}

/// What of a roll's events is worth a line, each with its time.
pub(in crate::ui) fn timeline(
    events: &[(Timestamp, RollEvent)],
    width: usize,
) -> Vec<(Timestamp, String)> {
    let mut ledger = Ledger::default();
    let mut lines = Vec::new();
    for (at, event) in events {
        let told = ledger.take(*at, event);
        let style = crate::ui::Style::plain();
        let (cluster, aborts) = (&ledger.cluster, ledger.aborts);
        let view = Lines { cluster, aborts, width, style, is_simulated: false };
        lines.extend(view.event(event).map(|line| (*at, line)));
        lines.extend(told.iter().map(|told| (*at, view.told(*at, told))));
    }
    lines
}

impl Telling {
    /// Shows an event and gives its record.
    pub(super) fn take(
        &mut self,
        ui: &Ui,
        now: Timestamp,
        event: &RollEvent,
        is_simulated: bool,
    ) -> Value {
        let told = self.ledger.take(now, event);
        let (style, width) = (ui.err, ui.width);
        let (cluster, aborts) = (&self.ledger.cluster, self.ledger.aborts);
        let lines = Lines { cluster, aborts, width, style, is_simulated };
        let of_told = told.iter().map(|told| lines.told(now, told));
        let shown: Vec<String> = lines.event(event).into_iter().chain(of_told).collect();
        if ui.live {
            let live = self.live.get_or_insert_with(Live::new);
            live.show(&shown, live::view(&self.ledger, now));
        } else {
            shown.iter().for_each(|line| ui.status(line));
        }
        wire::record(now, event)
    }

    /// Says something beside the roll, such as a call that is tried again.
    pub(super) fn say(&mut self, ui: &Ui, now: Timestamp, line: &str) {
        match &mut self.live {
            Some(live) => live.show(&[line.to_owned()], live::view(&self.ledger, now)),
            None => ui.status(line),
        }
    }

    /// Ends the live view.
    pub(super) fn finish(&mut self) {
        if let Some(live) = self.live.take() {
            live.clear();
        }
    }

    /// The last words, and the last record.
    pub(super) fn summary(&self, ui: &Ui, is_simulated: bool) -> (String, Value) {
        let of = if self.ledger.aborts { put_back::summary } else { summary::of };
        let text = of(&self.ledger, ui.width, is_simulated);
        (text, wire::summary(&self.ledger))
    }
}
