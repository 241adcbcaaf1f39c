//! What an engineer meets who plans and applies by hand or from CI: slips, saved plans, refusals,
//! drift, and runs that were stopped.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::{STAGING, run};
use crate::env;

/// A fleet whose staging cluster is there.
fn applied() -> tempfile::TempDir {
    let fleet = env::fleet();
    let (code, _, said) = run(fleet.path(), &["apply", STAGING, "--yes"]);
    assert_eq!(code, 0, "{said}");
    fleet
}

fn edit(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    change(&mut value);
    fs::write(file, value.to_string()).unwrap();
}

#[test]
fn a_slip_in_an_address_is_told_and_fails() {
    let fleet = applied();
    let at = fleet.path();
    let group = format!("auto_scaling_group/spot-4x-32gb.{STAGING}");
    let slip = group.replace("32gb", "32g");
    let (code, text, said) = run(at, &["plan", STAGING, "--only", &slip]);
    assert!(code == 1 && text.contains(&group) && said.contains(&group), "{code} {text} {said}");
    let (code, _, said) =
        run(at, &["plan", STAGING, "--only", &group.replace("scaling", "scalng")]);
    assert!(code == 64 && said.contains("did you mean auto_scaling_group?"), "{code} {said}");
    let (code, text, _) = run(at, &["plan", STAGING, "--delete", "volume/nothing.example.com"]);
    assert!(code == 0 && text.contains("does not delete it"), "{text}");
}

#[test]
fn a_saved_plan_is_applied_as_it_was_made_or_not_at_all() {
    let fleet = applied();
    let at = fleet.path();
    let up = ["plan", STAGING, "--set", "spot_nodes.4x_32Gb.max=10", "--out", "up.json"];
    assert_eq!(run(at, &up).0, 0);

    let (code, _, said) = run(at, &["apply", "up.json", "--yes", "--allow-delete"]);
    assert!(code == 64 && said.contains("saved plan"), "options would be ignored: {said}");

    fs::copy(at.join("up.json"), at.join("edited.json")).unwrap();
    edit(&at.join("edited.json"), |plan| plan["plan"]["refusals"] = serde_json::json!([{}]));
    edit(&at.join("edited.json"), |plan| plan["plan"]["refusals"] = serde_json::json!([]));
    let (code, _, said) = run(at, &["apply", "edited.json", "--yes"]);
    assert_eq!(code, 0, "the same content is the same plan: {said}");
    edit(&at.join("edited.json"), |plan| plan["plan"]["account"] = "../../elsewhere".into());
    let (code, _, said) = run(at, &["apply", "edited.json", "--yes"]);
    assert!(code == 1 && said.contains("changed after it was made"), "{code} {said}");

    let (code, _, said) = run(at, &["apply", "absent.json", "--yes"]);
    assert!(code == 1 && said.contains("cannot read `absent.json`"), "{code} {said}");
    let (code, _, said) = run(at, &["apply", "up.json", "--yes"]);
    assert!(code == 0 && said.contains("1 as wanted already"), "{said}");
}

#[test]
fn a_refusal_names_what_it_is_about_and_a_script_sees_it() {
    let fleet = applied();
    let at = fleet.path();
    let lower =
        ["--set", "spot_nodes.4x_32Gb.max=2", "--set", "spot_nodes.4x_32Gb.min=1", "--yes", "-q"];
    let (code, _, said) = run(at, &[&["apply", STAGING][..], &lower].concat());
    assert!(code == 5 && said.contains("spot-4x-32gb") && said.contains("hint:"), "{code} {said}");
}

#[test]
fn quiet_is_no_reason_to_hide_an_error() {
    let fleet = applied();
    let at = fleet.path();
    let set = |max: u32| format!("spot_nodes.4x_32Gb.max={max}");
    assert_eq!(run(at, &["plan", STAGING, "--set", &set(10), "--out", "up.json"]).0, 0);
    assert_eq!(run(at, &["apply", STAGING, "--set", &set(11), "--yes"]).0, 0);
    let (code, _, said) = run(at, &["apply", "up.json", "--yes", "--quiet"]);
    assert!(code == 3 && said.contains("max_size: 9 when planned, 11 now"), "{code} {said}");
    assert_eq!(said.matches("when planned").count(), 1, "each difference is told once: {said}");
}

#[test]
fn readers_of_events_get_the_version_first_whatever_happens() {
    let fleet = env::fleet();
    let at = fleet.path();
    for round in ["makes it", "nothing to do"] {
        let (code, out, said) = run(at, &["apply", STAGING, "--yes", "--events", "jsonl"]);
        let events: Vec<Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(code, 0, "{round}: {said}");
        assert_eq!(events[0]["event"], "version", "{round}");
        assert_eq!(events.last().unwrap()["event"], "apply_finished", "{round}");
        assert!(said.contains("SIMULATED"), "{said}");
    }
}

#[test]
fn a_plan_becomes_a_comment_that_fits() {
    let fleet = env::fleet();
    let (code, text, said) = run(fleet.path(), &["plan", "prod.k8s.example.com", "-o", "markdown"]);
    assert_eq!(code, 0, "{said}");
    assert!(text.starts_with("### kprod plan: `prod.k8s.example.com` (SIMULATED)"), "{text}");
    assert!(text.chars().count() <= 65_536 && text.ends_with("</details>\n"), "{text}");
}
