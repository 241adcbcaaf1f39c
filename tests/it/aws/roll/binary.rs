//! The program itself, at the pace of the clock: a new image of a small cluster, applied and rolled in
//! one go.

use std::path::Path;

use super::super::account::said;
use super::people::Pace;
use super::{Moto, STAGING, Stage};

/// Machines are fast, and kprod's own waits as long as ever.
const HASTY: Pace = Pace { times: 1, haste: 10 };

/// `apply --roll` replaces every machine once; then nothing is left to do, and a change that machines
/// are not built from replaces none.
#[test]
fn an_apply_with_a_roll_replaces_every_machine_of_staging() {
    let moto = Moto::start();
    let mut stage = Stage::set(&moto, STAGING, &[], HASTY);
    let kubeconfig = stage.people.kubeconfig(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let run = |stage: &Stage<'_>, words: &[&str]| {
        let kubeconfig = ["--kubeconfig", kubeconfig.to_str().unwrap()];
        let words = [words, &["--yes", "--cloud", "aws"], &kubeconfig].concat();
        stage.owner.command(&words).args(&stage.sets).output().unwrap()
    };
    stage.next_image();
    let rolled = run(&stage, &["apply", STAGING, "--roll"]);
    assert_eq!(rolled.status.code(), Some(0), "{}", said(&rolled));
    stage.is_rolled().unwrap();

    stage.sets.extend(["--set".to_owned(), "spot_nodes.4x_32Gb.max=12".to_owned()]);
    stage.owner.calls();
    for words in [&["apply", STAGING, "--roll"][..], &["rolling-update", STAGING]] {
        let run = run(&stage, words);
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    }
    let calls = stage.owner.calls();
    let ends = calls.iter().filter(|call| call.action.starts_with("Terminate"));
    assert_eq!(ends.count(), 0);
}
