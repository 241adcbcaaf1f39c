//! What simulations came to.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Ui;
use crate::rehearsal::swarm::Tally;

/// Tells how far many seeds are, now and then.
pub fn ticker(ui: &Ui, seeds: u64) -> impl Fn(&Tally) + Sync {
    let told = AtomicU64::new(0);
    let step = (seeds / 20).max(500);
    move |tally| {
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
