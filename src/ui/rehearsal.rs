//! What simulations came to.

use std::cmp::Reverse;
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
use crate::rehearsal::rehearse::{Forecast, Rehearsal, ToldSeed, Way};
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
    let mut text = format!("SIMULATED rehearsal of {}", rehearsal.cluster);
    match &forecast.told {
        Some(told) => {
            let _ = writeln!(text, ", seed {}\n", told.seed);
            told_steps(&mut text, &told.timeline, &told.blows, width);
        }
        None => {
            text.push_str("\n\n");
            told_steps(&mut text, &forecast.timeline, &[], width);
        }
    }
    sums(&mut text, rehearsal, forecast, width);
    // What happens in any case first, then what happens most often.
    let mut ways: Vec<&Way> = forecast.halts.values().collect();
    ways.sort_by_key(|way| (!way.in_peace, Reverse(way.seeds.len())));
    for way in ways {
        told_halt(&mut text, way, forecast, width);
    }
    for (seed, violation) in &forecast.violations {
        let line = format!("seed {seed} BREAKS {}: {}", violation.invariant, violation.how);
        let _ = writeln!(text, "\n{}", wrap(&line, width, 0, 2));
    }
    text
}

/// What was announced, and what happened to the roll meanwhile, by the time since it began.
fn told_steps(
    text: &mut String,
    events: &[(Timestamp, RollEvent)],
    blows: &[(Timestamp, String)],
    width: usize,
) {
    let room = width.saturating_sub(10);
    let mut lines: Vec<(Timestamp, String)> =
        blows.iter().map(|(at, what)| (*at, wrap(&format!("! {what}"), room, 0, 4))).collect();
    lines.extend(timeline(events, room));
    lines.sort_by_key(|(at, _)| *at);
    let began = events.first().map(|(at, _)| *at);
    for (at, line) in lines {
        let after = began.map_or(0, |began| at.duration_since(began).as_secs().max(0));
        let (hours, minutes, secs) = (after / 3600, after / 60 % 60, after % 60);
        for (number, line) in line.lines().enumerate() {
            let time = format!("{hours:02}:{minutes:02}:{secs:02}");
            let time = if number == 0 { time } else { String::new() };
            let _ = writeln!(text, "{time:<8}  {}", line.trim_end());
        }
    }
}

/// What all seeds came to together.
fn sums(text: &mut String, rehearsal: &Rehearsal, forecast: &Forecast, width: usize) {
    let told = |time: Option<_>| time.map_or_else(|| "-".to_owned(), duration);
    let _ = writeln!(text, "\nmachines replaced   {}", forecast.replaced);
    let _ = writeln!(text, "in peace            {}", told(forecast.peaceful));
    if forecast.seeds == 0 {
        return;
    }
    let faults = match &forecast.told {
        Some(told) => told.faults.to_string(),
        None => rehearsal.faults.to_string(),
    };
    let faults = wrap(&faults.replace(',', ", "), width, 20, 20);
    let _ = writeln!(text, "under faults        {faults}");
    let ended = forecast.elapsed.len();
    let _ = writeln!(text, "  came to its end   {ended} of {} times", forecast.seeds);
    let _ = writeln!(text, "  median            {}", told(forecast.median()));
    let _ = writeln!(text, "  worst             {}", told(forecast.worst()));
}

/// One way in which it would have halted, with the seed that tells more.
fn told_halt(text: &mut String, way: &Way, forecast: &Forecast, width: usize) {
    let Way { halt, in_peace, seeds } = way;
    let times = format!("{} of {} times", seeds.len(), forecast.seeds);
    let times = match (in_peace, seeds.is_empty()) {
        (true, true) => "in peace".to_owned(),
        (true, false) => format!("in peace, and {times}"),
        (false, _) => times,
    };
    let line = format!("would have halted {times} (exit {}): {}", halt.code, halt.told());
    let _ = writeln!(text, "\n{}", wrap(&line, width, 0, 2));
    if !halt.hint.is_empty() {
        let _ = writeln!(text, "  hint: {}", wrap(&halt.hint, width, 8, 8));
    }
    let is_told = |seed| forecast.told.as_ref().is_some_and(|told| told.seed == seed);
    if let Some(seed) = seeds.first().filter(|seed| !is_told(**seed)) {
        let line = format!("how it came to that: the same command with `--seed {seed}`");
        let _ = writeln!(text, "  {}", wrap(&line, width, 2, 4));
    }
}

/// A forecast for machines.
pub fn forecast_json(rehearsal: &Rehearsal, forecast: &Forecast) -> Value {
    let halts: Vec<Value> = forecast
        .halts
        .values()
        .map(|Way { halt, in_peace, seeds }| {
            json!({
                "exit_code": halt.code, "message": halt.told(), "way_out": halt.hint,
                "seeds": seeds.len(), "seed": seeds.first(), "in_peace": in_peace,
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
        "timeline": records(&forecast.timeline),
        "told": forecast.told.as_ref().map(told_json),
    })
}

/// How one seed came to its end, for machines.
fn told_json(told: &ToldSeed) -> Value {
    let blows: Vec<Value> =
        told.blows.iter().map(|(at, what)| json!({ "at": at.to_string(), "what": what })).collect();
    json!({
        "seed": told.seed,
        "faults": told.faults.to_string(),
        "timeline": records(&told.timeline),
        "blows": blows,
    })
}

fn records(events: &[(Timestamp, RollEvent)]) -> Vec<Value> {
    events.iter().map(|(at, event)| wire::record(*at, event)).collect()
}
