//! The figures of the README: `cargo bench --no-default-features` prints them beside their budgets.
//!
//! Times are the best of several runs of a whole process, or of one thread for the rendering of many
//! clusters; memory is the high-water mark that the kernel keeps. Nothing here fails on a time: a
//! figure over its budget is printed as such.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, measures time, and may panic"
)]

mod fleet;
mod process;

use std::time::{Duration, Instant};

use kprod::source::{Engine, Limits};
use kprod::spec::{self, Strictness};

/// Clusters that are rendered and checked.
const CLUSTERS: usize = 1_000;
/// Groups and machines of the offline plan.
const GROUPS: usize = 100;
const MACHINES: usize = 5_000;
/// Runs of which the best counts.
const RUNS: usize = 15;

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(process::CHILD) {
        process::child(args.collect());
        return;
    }
    println!("{:<58} {:>12} {:>12}", "figure", "measured", "budget");
    rendering();
    offline_plan();
    let start = process::best_of(RUNS, &["--version"], None);
    row("start-up (kprod --version)", start.elapsed, Duration::from_millis(10));
}

fn rendering() {
    let tree = fleet::of_clusters(CLUSTERS);
    let started = Instant::now();
    let engine = Engine::new(&tree, &Limits::default());
    for name in tree.cluster_names() {
        let rendered = engine.render(name, &[]);
        let parsed = spec::read(rendered.documents, Strictness::Strict);
        assert!(parsed.spec.is_some(), "{name}: {:?} {:?}", rendered.findings, parsed.findings);
    }
    let figure = format!("{CLUSTERS} clusters with distinct vars, rendered and checked");
    row(&figure, started.elapsed(), Duration::from_secs(2));
}

fn offline_plan() {
    let folder = fleet::large(GROUPS, MACHINES);
    let arguments = ["plan", "-f", "large.yaml", "--observed", "observed.json"];
    let measured = process::best_of(RUNS, &arguments, Some(folder.path()));
    let figure = format!("offline plan of {GROUPS} groups and {MACHINES} machines");
    row(&figure, measured.elapsed, Duration::from_millis(50));
    let mebibytes = measured.peak_kib / 1024;
    println!("{:<58} {:>9} MB {:>9} MB", "  its peak memory", mebibytes, 50);
}

fn row(figure: &str, measured: Duration, budget: Duration) {
    let millis = |duration: Duration| format!("{:.1} ms", duration.as_secs_f64() * 1e3);
    let over = if measured > budget { "  OVER" } else { "" };
    println!("{figure:<58} {:>12} {:>12}{over}", millis(measured), millis(budget));
}
