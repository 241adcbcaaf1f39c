//! What the program promises on the command line: exit codes, one winner, nothing lost to a kill.

use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::env;

pub(crate) const STAGING: &str = "staging.k8s.example.com";
const PROD: &str = "prod.k8s.example.com";

/// Runs the program to its end; gives the exit code and both outputs.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = env::kprod(folder).args(arguments).stdin(Stdio::null()).output().unwrap();
    told(&output)
}

pub(crate) fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Child {
    env::kprod(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Applies a cluster and looks at what a plan says of two changes of one pool's maximum.
fn one_pool_goes_up_and_down(cluster: &str, raise: &[&str], lower: &[&str], group: &str) {
    let fleet = env::fleet();
    let at = fleet.path();
    let (code, _, said) = run(at, &["apply", cluster, "--yes"]);
    assert_eq!(code, 0, "{said}");
    let plan = ["plan", cluster, "--detailed-exitcode", "-o", "json"];
    let (code, unchanged, said) = run(at, &plan);
    assert_eq!((code, changes(&unchanged)), (0, vec![]), "{said}");

    let (code, raised, said) = run(at, &[&plan[..], raise].concat());
    let address = format!("auto_scaling_group/{group}.{cluster}");
    let expected = vec![(address.clone(), "update".to_owned())];
    assert_eq!((code, changes(&raised)), (2, expected), "{said}");

    let (code, lowered, said) = run(at, &[&plan[..], lower].concat());
    // A spot pool's fallback is half its size, so that it goes down as well; machines are there, so that an
    // apply would refuse it.
    assert!(code == 5 && changes(&lowered).contains(&(address, "update".to_owned())), "{said}");
    let (_, text, _) = run(at, &[&["plan", cluster][..], lower].concat());
    assert!(text.contains("drain"), "{text}");
    let (code, _, said) = run(at, &[&["apply", cluster, "--yes"][..], lower].concat());
    assert_eq!(code, 5, "{said}");
}

/// Address and action of every change in a plan's JSON.
fn changes(plan: &str) -> Vec<(String, String)> {
    let plan: Value = serde_json::from_str(plan).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let resources = plan["resources"].as_array().unwrap();
    resources.iter().map(|change| (text(&change["address"]), text(&change["action"]))).collect()
}

#[test]
fn staging_is_applied_and_one_pool_goes_up_and_down() {
    one_pool_goes_up_and_down(
        STAGING,
        &["--set", "spot_nodes.4x_32Gb.max=10"],
        &["--set", "spot_nodes.4x_32Gb.max=2", "--set", "spot_nodes.4x_32Gb.min=1"],
        "spot-4x-32gb",
    );
}

#[test]
fn prod_is_applied_and_one_pool_goes_up_and_down() {
    one_pool_goes_up_and_down(
        PROD,
        &["--set", "pools.admin.max=7"],
        &["--set", "pools.admin.max=2", "--set", "pools.admin.min=1"],
        "admin",
    );
}

#[test]
fn of_two_applies_at_once_one_works_and_one_names_the_holder() {
    let fleet = env::fleet();
    let arguments = ["apply", STAGING, "--yes"];
    let runs = [start(fleet.path(), &arguments), start(fleet.path(), &arguments)];
    let mut told = runs.map(|run| told(&run.wait_with_output().unwrap()));
    told.sort();
    assert_eq!((told[0].0, told[1].0), (0, 4), "{told:?}");
    assert!(told[1].2.contains("tester@") && told[1].2.contains("kprod unlock"), "{}", told[1].2);
}

#[test]
fn killed_at_any_instant_the_next_apply_converges() {
    for millis in [30, 120, 250, 400, 600, 900] {
        let fleet = env::fleet();
        let mut run_to_kill = start(fleet.path(), &["apply", STAGING, "--yes"]);
        std::thread::sleep(Duration::from_millis(millis));
        run_to_kill.kill().unwrap();
        run_to_kill.wait().unwrap();
        let again = ["apply", STAGING, "--yes", "--lock-timeout", "10m"];
        let (code, _, said) = run(fleet.path(), &again);
        assert_eq!(code, 0, "killed after {millis} ms: {said}");
        let (code, text, _) = run(fleet.path(), &["plan", STAGING, "--detailed-exitcode"]);
        assert_eq!(code, 0, "killed after {millis} ms: {text}");
    }
}

#[test]
fn a_saved_plan_is_applied_once_and_refused_when_the_world_moved() {
    let fleet = env::fleet();
    let at = fleet.path();
    assert_eq!(run(at, &["apply", STAGING, "--yes"]).0, 0);
    let plan = ["plan", STAGING, "--set", "spot_nodes.4x_32Gb.max=10", "--out", "up.json"];
    assert_eq!(run(at, &plan).0, 0);
    assert_eq!(run(at, &["show", "up.json"]).0, 0);
    // Somebody else raises it first, to another value.
    let other = ["apply", STAGING, "--set", "spot_nodes.4x_32Gb.max=12", "--yes"];
    assert_eq!(run(at, &other).0, 0);
    let (code, _, said) = run(at, &["apply", "up.json", "--yes"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("max_size"), "the difference is named: {said}");
}

#[test]
fn without_a_terminal_it_never_waits_for_an_answer() {
    let fleet = env::fleet();
    let (code, _, said) = run(fleet.path(), &["apply", STAGING]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("--yes"), "{said}");
    let (code, _, said) = run(fleet.path(), &["destroy", STAGING]);
    assert!(code == 0 || said.contains("--confirm"), "{said}");
}

#[test]
fn a_cluster_is_destroyed_whole_and_nothing_else_goes() {
    let fleet = env::fleet();
    let at = fleet.path();
    for cluster in [STAGING, PROD] {
        assert_eq!(run(at, &["apply", cluster, "--yes"]).0, 0);
    }
    let (code, _, said) = run(at, &["destroy", STAGING, "--confirm", STAGING]);
    assert_eq!(code, 0, "{said}");
    let (_, text, _) = run(at, &["observe", STAGING]);
    let observed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(observed["resources"], serde_json::json!([]), "nothing of it is left");
    assert_eq!(run(at, &["plan", PROD, "--detailed-exitcode"]).0, 0, "prod is as it was");
}

#[test]
fn a_command_line_that_makes_no_sense_exits_64() {
    let fleet = env::fleet();
    for wrong in [&["plan"][..], &["aply", STAGING], &["plan", STAGING, "--only", "nonsense"]] {
        let (code, _, said) = run(fleet.path(), wrong);
        assert_eq!(code, 64, "{wrong:?}: {said}");
    }
    assert_eq!(run(fleet.path(), &["--help"]).0, 0);
    let (code, text, _) = run(fleet.path(), &["help", "exit-codes"]);
    assert!(code == 0 && text.contains("64"), "{text}");
}
