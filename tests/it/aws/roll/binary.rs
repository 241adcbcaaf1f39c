//! The program itself, at the pace of the clock: a new image of a small cluster, applied and rolled in
//! one go.

use std::path::Path;

use serde_json::Value;

use super::super::account::said;
use super::people::Pace;
use super::{Moto, STAGING, Stage};

/// Machines are fast, and kprod's own waits as long as ever.
const HASTY: Pace = Pace { times: 1, haste: 10 };

/// A rehearsal on a copy of account and cluster tells what the roll would do, and changes nothing.
/// `apply --roll` replaces every machine once; then nothing is left to do, and a change that machines
/// are not built from replaces none.
#[test]
fn an_apply_with_a_roll_replaces_every_machine_of_staging() {
    let moto = Moto::start();
    let mut stage = Stage::set(&moto, STAGING, &[], HASTY);
    let kubeconfig = stage.people.kubeconfig(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let run = |stage: &Stage<'_>, words: &[&str]| {
        let kubeconfig = ["--kubeconfig", kubeconfig.to_str().unwrap()];
        let words = [words, &["--cloud", "aws"], &kubeconfig].concat();
        stage.owner.command(&words).args(&stage.sets).output().unwrap()
    };
    stage.next_image();
    let nodes = stage.people.api.with(|cluster| cluster.nodes().clone());
    let rehearsed =
        run(&stage, &["rehearse", STAGING, "-o", "json", "--faults", "spot=0.1", "--seeds", "2"]);
    assert_eq!(rehearsed.status.code(), Some(0), "{}", said(&rehearsed));
    let forecast: Value = serde_json::from_slice(&rehearsed.stdout).unwrap();
    assert_eq!((&forecast["replaced"], &forecast["seeds"]), (&6.into(), &2.into()), "{forecast}");
    let changes: Vec<_> = stage.owner.calls().into_iter().filter(|call| call.is_change()).collect();
    assert!(changes.is_empty(), "{changes:#?}");
    assert_eq!(stage.people.api.with(|cluster| cluster.nodes().clone()), nodes);

    let rolled = run(&stage, &["apply", STAGING, "--roll", "--yes"]);
    assert_eq!(rolled.status.code(), Some(0), "{}", said(&rolled));
    stage.is_rolled().unwrap();

    stage.sets.extend(["--set".to_owned(), "spot_nodes.4x_32Gb.max=12".to_owned()]);
    stage.owner.calls();
    for words in [&["apply", STAGING, "--roll", "--yes"][..], &["rolling-update", STAGING, "--yes"]]
    {
        let run = run(&stage, words);
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    }
    let calls = stage.owner.calls();
    let ends = calls.iter().filter(|call| call.action.starts_with("Terminate"));
    assert_eq!(ends.count(), 0);
}
