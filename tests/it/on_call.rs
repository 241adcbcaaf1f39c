//! What an engineer meets who plans and applies by hand or from CI: slips, saved plans, refusals,
//! drift, and runs that were stopped.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Call, Cloud, Condition};
use kprod::etcd::snapshot::{Request, request_key};
use kprod::sim::{StoredVolume, World};
use serde_json::Value;

use crate::cli::{STAGING, run};
use crate::env;

/// A fleet whose staging cluster is there.
pub(crate) fn applied() -> tempfile::TempDir {
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
    assert!(code == 0 && text.contains("--delete names it"), "{text}");
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

/// Every group of a cluster with how many machines it has in service and how many it should have.
fn machines(at: &Path) -> Vec<(String, usize, usize)> {
    let (_, text, _) = run(at, &["observe", STAGING]);
    let observed: Value = serde_json::from_str(&text).unwrap();
    let resources = observed["resources"].as_array().unwrap();
    let groups = resources.iter().filter(|resource| resource["group"].is_object());
    groups
        .map(|group| {
            let instances = group["group"]["instances"].as_array().into_iter().flatten();
            let serving = instances.filter(|i| i["lifecycle_state"] == "InService").count();
            let wanted = group["resource"]["value"]["min_size"].as_u64().unwrap();
            (group["address"].to_string(), serving, usize::try_from(wanted).unwrap())
        })
        .collect()
}

#[test]
fn a_run_that_ended_too_early_leaves_the_wait_to_the_next_one() {
    let fleet = env::fleet();
    let at = fleet.path();
    let (code, _, said) = run(at, &["apply", STAGING, "--yes", "--wait-timeout", "1s"]);
    assert_eq!(code, 6, "{said}");
    let serving = |groups: &[(String, usize, usize)]| groups.iter().all(|(_, is, min)| is >= min);
    assert!(!serving(&machines(at)), "the first run must not have waited long enough");
    let (code, _, said) = run(at, &["apply", STAGING, "--yes"]);
    assert!(code == 0 && said.contains("nothing to do"), "{said}");
    assert!(serving(&machines(at)), "{:?}", machines(at));
    // From then on nothing is waited for.
    let (code, _, said) = run(at, &["apply", STAGING, "--yes"]);
    assert!(code == 0 && !said.contains("waiting"), "{said}");
}

#[tokio::test]
async fn what_somebody_removed_is_made_anew_and_not_taken_for_the_old_one() {
    let fleet = applied();
    let at = fleet.path();
    let cloud = SimCloud::open(&at.join(".kprod"), "210987654321", "eu-west-3").unwrap();
    let volume_id = cloud
        .with_world(|world| {
            let id = world.volumes.iter().next().map(|(id, _)| id.clone()).unwrap();
            world.volumes.edit(&id, StoredVolume::come_free);
            id
        })
        .unwrap();
    let launch_template_name = format!("on-demand-4x-32gb.{STAGING}");
    cloud.call(&Call::DeleteVolume { volume_id }).await.unwrap();
    cloud.call(&Call::DeleteLaunchTemplate { launch_template_name }).await.unwrap();
    // AWS answers the same client token with what is gone; the run notices, the next one mends it.
    let (code, _, said) = run(at, &["apply", STAGING, "--yes"]);
    assert_eq!(code, 6, "{said}");
    let (code, _, said) = run(at, &["apply", STAGING, "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(run(at, &["plan", STAGING, "--detailed-exitcode"]).0, 0);
}

#[test]
fn the_api_moves_to_a_new_balancer_when_that_one_has_machines_behind_it() {
    let fleet = applied();
    let public = ["plan", STAGING, "--set", "api_load_balancer=Public", "-o", "json"];
    let (_, text, _) = run(fleet.path(), &public);
    let plan: Value = serde_json::from_str(&text).unwrap();
    let changes = plan["resources"].as_array().unwrap();
    let place = |kind: &str| changes.iter().rposition(|change| change["kind"] == kind).unwrap();
    assert!(place("dns_name") > place("auto_scaling_group"), "{text}");
    assert!(place("dns_name") > place("listener"), "{text}");
}

#[test]
fn an_empty_group_that_would_boot_the_old_image_is_told() {
    let fleet = applied();
    let image = ["--set", "image=ami-0123456789abcdef0"];
    let (code, _, said) = run(fleet.path(), &[&["apply", STAGING, "--yes"][..], &image].concat());
    assert_eq!(code, 0, "{said}");
    let (_, text, _) = run(fleet.path(), &[&["plan", STAGING][..], &image].concat());
    assert!(text.contains("not what is wanted"), "{text}");
    let (_, text, _) = run(fleet.path(), &["plan", STAGING]);
    assert!(!text.contains("not what is wanted"), "{text}");
}

#[test]
fn a_destroy_speaks_of_destroying() {
    let fleet = applied();
    let destroy = ["destroy", STAGING, "--confirm", STAGING];
    let (code, _, said) = run(fleet.path(), &destroy);
    assert!(code == 0 && said.contains("destroyed staging"), "{said}");
    let (code, _, said) = run(fleet.path(), &destroy);
    assert!(code == 0 && said.contains("nothing of it is there"), "{said}");
}

/// Who waits for another run plans what that one leaves, and not what was there before.
#[test]
fn a_run_that_waits_for_the_lease_plans_after_it() {
    let fleet = applied();
    let at = fleet.path();
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(2);
    let lease = serde_json::json!({
        "format_version": 1, "holder": "ann@laptop", "token": "t",
        "taken_at": expires, "expires_at": expires,
    });
    let cloud = SimCloud::open(&at.join(".kprod"), "210987654321", "eu-west-3").unwrap();
    let key = kprod::apply::lease::key(STAGING);
    let body = lease.to_string().into_bytes();
    cloud
        .with_world(|world| world.put_object(&key, body, &kprod::cloud::Condition::Any))
        .unwrap()
        .unwrap()
        .unwrap();
    let apply = ["apply", STAGING, "--set", "spot_nodes.4x_32Gb.max=12", "--yes"];
    let (code, _, said) = run(at, &apply);
    assert!(code == 4 && said.contains("locked by ann@laptop"), "{code} {said}");
    let waits = ["--lock-timeout", "10m", "--events", "jsonl"];
    let (code, _, said) = run(at, &[&apply[..], &waits].concat());
    assert_eq!(code, 0, "{said}");
    let place = |what: &str| said.find(what).unwrap_or_else(|| panic!("no `{what}` in {said}"));
    assert!(place("waiting for the lease that ann@laptop holds") < place("Plan for"), "{said}");
}

/// Another run comes and goes between a run's look and its lease. The run is held up where it prints its
/// plan: nobody reads what it says, and the pipe is full.
#[test]
fn a_plan_that_another_run_overtakes_is_made_anew_where_nobody_was_asked() {
    let fleet = applied();
    let at = fleet.path();
    let held_up = |options: &[&str], wanted: &str| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&[b' '; PIPE_BYTES]).unwrap();
        let mut command = env::kprod(at);
        command
            .args(["apply", STAGING, "--yes", "--set", wanted])
            .args(options)
            .stdout(writer)
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        drop(command);
        let held = format!("/proc/{}/wchan", child.id());
        let is_held = || fs::read_to_string(&held).is_ok_and(|place| place.contains("pipe_write"));
        for _ in 0..600 {
            if is_held() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(is_held(), "it has printed its plan");
        (child, reader)
    };
    let max = |max: usize| format!("spot_nodes.4x_32Gb.max={max}");
    for (options, [other, wanted], expected) in [
        (&[][..], [10, 12], 3),
        (&["--lock-timeout", "10m"], [11, 12], 0),
        (&["--lock-timeout", "10m", "--roll"], [10, 13], 0),
    ] {
        let wanted = max(wanted);
        let (child, mut reader) = held_up(options, &wanted);
        let other = max(other);
        assert_eq!(run(at, &["apply", STAGING, "--set", &other, "--yes"]).0, 0);
        let reads = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        let ended = child.wait_with_output().unwrap();
        let (said, text) = (String::from_utf8_lossy(&ended.stderr), reads.join().unwrap().unwrap());
        assert_eq!(ended.status.code(), Some(expected), "{said}");
        let plans = text.matches("Plan for").count();
        assert_eq!(plans, if expected == 0 { 2 } else { 1 }, "{text}");
        let (_, text, _) = run(at, &["plan", STAGING, "--set", &wanted]);
        assert_eq!(text.contains("No changes"), expected == 0, "{text}");
    }
}

/// What a pipe holds.
/// Source: pipe(7), "Pipe capacity".
const PIPE_BYTES: usize = 65_536;

/// Two pipelines at once, each of which may wait: both end well, in whatever order.
#[test]
fn two_runs_that_wait_for_each_other_both_end_well() {
    let fleet = applied();
    for round in 0..3 {
        let at = fleet.path();
        let ended: Vec<(i32, String)> = std::thread::scope(|scope| {
            let runs: Vec<_> = [10 + 2 * round, 11 + 2 * round]
                .map(|max| {
                    scope.spawn(move || {
                        let set = format!("spot_nodes.4x_32Gb.max={max}");
                        let waits = ["--yes", "--lock-timeout", "10m"];
                        let apply = ["apply", STAGING, "--set", &set];
                        let (code, _, said) = run(at, &[&apply[..], &waits].concat());
                        (code, said)
                    })
                })
                .into_iter()
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        for (code, said) in ended {
            assert_eq!(code, 0, "{said}");
        }
    }
}

/// Two at once both get theirs. One whose request is not answered is let be, by whoever comes after it.
#[tokio::test]
async fn requests_for_snapshots_wait_for_each_other() {
    let fleet = applied();
    let at = fleet.path();
    let cloud = SimCloud::open(&at.join(".kprod"), "210987654321", "eu-west-3").unwrap();
    let begin = || {
        let mut command = env::kprod(at);
        command.args(["etcd", "snapshot", STAGING]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    for child in [begin(), begin()] {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let key = request_key(STAGING, "main");
    assert_eq!(cloud.get(&key).await.unwrap(), None, "each takes its own back");

    let failing = |world: &mut World| world.faults.failing_snapshots.insert(STAGING.to_owned());
    cloud.with_world(failing).unwrap();
    let other = Request {
        format_version: Request::FORMAT_VERSION,
        id: "other".to_owned(),
        asked_at: cloud.now(),
        member: None,
        alone: false,
    };
    cloud.put(&key, other.to_bytes(), Condition::Absent).await.unwrap();
    let (code, _, said) = run(at, &["etcd", "snapshot", STAGING]);
    assert!(code == 6 && said.contains("that another run asked for at"), "{code} {said}");
    assert!(said.contains("came first and was not answered"), "{said}");
    let found = cloud.get(&key).await.unwrap().unwrap();
    assert_eq!(Request::parse(&found.body), Some(other));
    assert_eq!(cloud.get(&request_key(STAGING, "events")).await.unwrap(), None);

    cloud.with_world(|world| world.faults.failing_snapshots.clear()).unwrap();
    let (code, _, said) = run(at, &["etcd", "snapshot", STAGING]);
    assert_eq!(code, 0, "{said}");
}
