//! What simulations came to.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Ui;
use super::finding::wrap;
use super::progress::roll::{timeline, wire};
use super::roll::duration;
use crate::event::RollEvent;
use crate::rehearsal::invariant::Violation;
use crate::rehearsal::rehearse::{Forecast, Rehearsal};
use crate::rehearsal::small::Exhausted;
use crate::rehearsal::swarm::Tally;

/// Tells how far many seeds are, now and then, and of each one that fails at once.
pub fn ticker(ui: &Ui, seeds: u64) -> impl Fn(&Tally) + Sync {
    let (told, failed_told) = (AtomicU64::new(0), AtomicUsize::new(0));
    let step = (seeds / 20).max(500);
    move |tally| {
        let known = failed_told.swap(tally.failed.len(), Ordering::Relaxed);
        for failed in tally.failed.iter().skip(known) {
            let Violation { invariant, how } = &failed.violation;
            ui.status(&format!("seed {} breaks {invariant}: {how}", failed.seed));
        }
        if tally.seeds / step > told.load(Ordering::Relaxed) {
            told.store(tally.seeds / step, Ordering::Relaxed);
            ui.status(&format!("{} of {seeds} seeds, {} failed", tally.seeds, tally.failed.len()));
        }
    }
}

/// What many seeds came to.
pub fn tally(tally: &Tally) -> String {
    let mut text = String::new();
    for failed in &tally.failed {
        let _ = writeln!(text, "seed {}: faults {}", failed.seed, failed.faults);
        for line in &failed.lines {
            let _ = writeln!(text, "  {line}");
        }
        let (name, how) = (failed.violation.invariant, &failed.violation.how);
        let _ = writeln!(text, "seed {} breaks {name}: {how}\n", failed.seed);
    }
    for line in &tally.lines {
        let _ = writeln!(text, "{line}");
    }
    let days = tally.elapsed.as_secs_f64() / 86_400.0;
    let _ = writeln!(text, "seeds                {:>12}", tally.seeds);
    let _ = writeln!(text, "runs of kprod        {:>12}", tally.runs);
    let _ = writeln!(text, "changing requests    {:>12}", tally.acts);
    let _ = writeln!(text, "kills                {:>12}", tally.crashes);
    let _ = writeln!(text, "machines replaced    {:>12}", tally.replaced);
    let _ = writeln!(text, "virtual time         {days:>10.1} d");
    let _ = writeln!(text, "seeds taken twice    {:>12}", tally.twice);
    for (code, count) in &tally.halts {
        let _ = writeln!(text, "runs that ended {code:<4} {count:>12}");
    }
    let _ = writeln!(text, "violations           {:>12}", tally.failed.len());
    text
}

/// What every fault at every request of small worlds came to.
pub fn exhausted(exhausted: &Exhausted) -> String {
    let mut text = String::new();
    for (blow, act, violation) in &exhausted.failed {
        let (name, how) = (violation.invariant, &violation.how);
        let _ = writeln!(text, "{blow:?} at request {act} breaks {name}: {how}");
    }
    let _ = writeln!(text, "cases                {:>12}", exhausted.cases);
    let _ = writeln!(text, "violations           {:>12}", exhausted.failed.len());
    text
}

/// Raised when an older reader could no longer read a forecast.
const FORMAT_VERSION: u32 = 1;

/// A forecast for people.
pub fn forecast(rehearsal: &Rehearsal, forecast: &Forecast, width: usize) -> String {
    let mut text = format!("SIMULATED rehearsal of {}\n\n", rehearsal.cluster);
    let events = stamped(forecast);
    let began = events.first().map(|(at, _)| *at);
    for (at, line) in timeline(&events, width.saturating_sub(10)) {
        let after = began.map_or(0, |began| at.duration_since(began).as_secs());
        let (hours, minutes, secs) = (after / 3600, after / 60 % 60, after % 60);
        for (number, line) in line.lines().enumerate() {
            let time = format!("{hours:02}:{minutes:02}:{secs:02}");
            let time = if number == 0 { time } else { String::new() };
            let _ = writeln!(text, "{time:<8}  {}", line.trim_end());
        }
    }
    let told = |time: Option<_>| time.map_or_else(|| "-".to_owned(), duration);
    let _ = writeln!(text, "\nmachines replaced   {}", forecast.replaced);
    let _ = writeln!(text, "in peace            {}", told(forecast.peaceful));
    if forecast.seeds > 0 {
        let ended = forecast.elapsed.len();
        let _ = writeln!(text, "under faults        {}", rehearsal.faults);
        let _ = writeln!(text, "  came to its end   {ended} of {} times", forecast.seeds);
        let _ = writeln!(text, "  median            {}", told(forecast.median()));
        let _ = writeln!(text, "  worst             {}", told(forecast.worst()));
    }
    for (halt, count) in &forecast.halts {
        let times = if *count == 0 { "in peace".to_owned() } else { format!("{count} times") };
        let line = format!("would have halted {times} (exit {}): {}", halt.code, halt.message);
        let _ = writeln!(text, "\n{}", wrap(&line, width, 0, 2));
        if !halt.hint.is_empty() {
            let _ = writeln!(text, "  hint: {}", wrap(&halt.hint, width, 8, 8));
        }
    }
    for (seed, violation) in &forecast.violations {
        let line = format!("seed {seed} BREAKS {}: {}", violation.invariant, violation.how);
        let _ = writeln!(text, "\n{}", wrap(&line, width, 0, 2));
    }
    text
}

/// A forecast for machines.
pub fn forecast_json(rehearsal: &Rehearsal, forecast: &Forecast) -> Value {
    let records: Vec<Value> =
        stamped(forecast).iter().map(|(at, event)| wire::record(*at, event)).collect();
    let halts: Vec<Value> = forecast
        .halts
        .iter()
        .map(|(halt, count)| {
            json!({
                "exit_code": halt.code, "message": halt.message, "way_out": halt.hint,
                "seeds": count,
            })
        })
        .collect();
    let secs = |time: Option<std::time::Duration>| time.map(|time| time.as_secs());
    json!({
        "format_version": FORMAT_VERSION,
        "simulated": true,
        "cluster": rehearsal.cluster,
        "faults": rehearsal.faults.to_string(),
        "seeds": forecast.seeds,
        "replaced": forecast.replaced,
        "peaceful_secs": secs(forecast.peaceful),
        "ended": forecast.elapsed.len(),
        "median_secs": secs(forecast.median()),
        "worst_secs": secs(forecast.worst()),
        "halts": halts,
        "violations": forecast.violations.len(),
        "timeline": records,
    })
}

fn stamped(forecast: &Forecast) -> Vec<(Timestamp, RollEvent)> {
    forecast.timeline.iter().map(|(at, event)| (at.timestamp(), event.clone())).collect()
}
