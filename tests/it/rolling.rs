//! What an engineer meets who rolls a cluster by hand or from CI: the plan of it, budgets that hold
//! it up, images that do not come up, pauses, runs that were killed, groups that go.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use kprod::cloud::Cloud;
use kprod::cloud::sim::SimCloud;
use kprod::kube::PodId;
use kprod::resource::{DETACHED_TAG, ROLL_TAG};
use kprod::roll::mark::{DRAIN_ANNOTATION, NEWCOMER_ANNOTATION, OUTDATED_TAINT};
use kprod::sim::World;
use kprod::sim::kubernetes::{Amount, BudgetRule};
use serde_json::Value;

use crate::cli::{STAGING, run, start};
use crate::env;

const IMAGE: [&str; 2] = ["--set", "image=ami-0123456789abcdef0"];
/// The pool of three that has all pods of the demo workloads.
const POOL: &str = "spot-4x-32gb";

fn cloud(at: &Path) -> SimCloud {
    SimCloud::open(&at.join(".kprod"), "210987654321", "eu-west-3").unwrap()
}

fn meddle<T>(at: &Path, with: impl FnOnce(&mut World) -> T) -> T {
    cloud(at).with_world(with).unwrap()
}

/// A fleet whose staging cluster is there, and applied with these arguments since.
fn applied(sets: &[&str]) -> tempfile::TempDir {
    let fleet = env::fleet();
    for arguments in [&[][..], sets] {
        let (code, _, said) =
            run(fleet.path(), &[&["apply", STAGING, "--yes"][..], arguments].concat());
        assert_eq!(code, 0, "{said}");
    }
    // Nodes join and pods start.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(cloud(fleet.path()).sleep(Duration::from_secs(180)));
    fleet
}

/// Rolls and gives the exit code with what was said, line breaks apart.
fn roll(at: &Path, arguments: &[&str]) -> (i32, String) {
    let (code, out, said) =
        run(at, &[&["rolling-update", STAGING, "--yes"][..], arguments].concat());
    let told = format!("{out}{said}");
    (code, told.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The machines that are there, by group.
fn machines(at: &Path) -> Vec<(String, String)> {
    meddle(at, |world| {
        let machines = world.machines.iter();
        let named = machines.map(|(id, machine)| (machine.group.clone(), id.clone()));
        let mut named: Vec<(String, String)> =
            named.map(|(group, id)| (group.unwrap_or_default(), id)).collect();
        named.sort();
        named
    })
}

/// No tag, taint, cordon, annotation or suspended process of a roll is left.
fn assert_clean(at: &Path) {
    let left = meddle(at, |world| {
        let text = serde_json::to_string(&world.groups).unwrap();
        assert!(!text.contains(ROLL_TAG) && !text.contains("AlarmNotification"), "{text}");
        let machines = serde_json::to_string(&world.machines).unwrap();
        assert!(!machines.contains(DETACHED_TAG), "{machines}");
        serde_json::to_string(world.clusters[STAGING].nodes()).unwrap()
    });
    for mark in [DRAIN_ANNOTATION, NEWCOMER_ANNOTATION, OUTDATED_TAINT, "\"unschedulable\":true"] {
        assert!(!left.contains(mark), "{mark} is left: {left}");
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn set_budget(at: &Path, rule: BudgetRule) {
    meddle(at, |world| {
        world.clusters.get_mut(STAGING).unwrap().guard("demo", "web", rule);
        // Its controller is a little late.
        world.advance_secs(30);
    });
}

/// The whole way: shown with its exit code, held by a budget with its name, mended, rolled.
#[test]
fn a_budget_that_allows_nothing_is_shown_halts_the_roll_and_is_named() {
    let fleet = applied(&IMAGE);
    let at = fleet.path();
    let before = machines(at);
    set_budget(at, BudgetRule::MaxUnavailable(Amount::Count(0)));
    let shown = ["rolling-update", STAGING, "--detailed-exitcode", "-o", "json"];
    let (code, text, said) = run(at, &[&shown[..], &IMAGE].concat());
    let plan = json(&text);
    assert_eq!((code, &plan["machines_to_replace"]), (2, &6.into()), "{said}");
    let blocked = plan["preflight"].as_array().unwrap();
    assert!(blocked.iter().any(|b| b["object"] == "budget/demo/web" && b["halts"] == true));
    assert_eq!(machines(at), before, "nothing is changed by looking");

    let only = [&IMAGE[..], &["--only", POOL, "--drain-timeout", "2m"]].concat();
    let (code, said) = roll(at, &only);
    assert!(code == 6 && said.contains("demo/web"), "{code} {said}");
    assert_eq!(run(at, &[&["status", STAGING][..], &IMAGE].concat()).0, 2);

    set_budget(at, BudgetRule::MaxUnavailable(Amount::Count(1)));
    let (code, said) = roll(at, &IMAGE);
    assert!(code == 0 && said.contains("rolled staging"), "{code} {said}");
    assert!(machines(at).iter().all(|machine| !before.contains(machine)));
    assert_clean(at);
    let (code, said) = roll(at, &IMAGE);
    assert!(code == 0 && said.contains("nothing to roll, 6 machines as wanted"), "{said}");
    assert_eq!(run(at, &[&["status", STAGING][..], &IMAGE].concat()).0, 0);
}

/// The pin goes back by itself; the revision is not rolled again before somebody says so.
#[test]
fn a_bad_image_costs_one_machine_and_is_refused_until_it_is_asked_for_again() {
    let fleet = applied(&IMAGE);
    let at = fleet.path();
    let before = machines(at);
    let never_join = |world: &mut World, images: &[&str]| {
        let faults = &mut world.clusters.get_mut(STAGING).unwrap().faults;
        faults.never_join = images.iter().map(|image| (*image).to_owned()).collect();
    };
    // The control plane goes first, and well.
    let quorum =
        ["control-plane-eu-west-3a", "control-plane-eu-west-3b", "control-plane-eu-west-3c"];
    let quorum: Vec<&str> = quorum.iter().flat_map(|group| ["--only", group]).collect();
    let (code, said) = roll(at, &[&IMAGE[..], &quorum].concat());
    assert_eq!(code, 0, "{said}");
    meddle(at, |world| never_join(world, &["ami-0123456789abcdef0"]));

    let (code, said) = roll(at, &IMAGE);
    assert!(code == 6 && said.contains(POOL), "{code} {said}");
    assert!(said.contains("failed: its machines did not become ready"), "{said}");
    assert!(!said.contains("for 2 reasons"), "what was put back has its time anew: {said}");
    let pool = |machines: &[(String, String)]| {
        let of_pool = machines.iter().filter(|(group, _)| group.starts_with(POOL));
        of_pool.map(|(_, id)| id.clone()).collect::<Vec<_>>()
    };
    let (old, now) = (pool(&before), pool(&machines(at)));
    let stayed = now.iter().filter(|id| old.contains(id)).count();
    assert!(stayed >= 2 && now.len() == 3, "{old:?} {now:?}");

    for looks in [&["plan", STAGING][..], &["rolling-update", STAGING]] {
        let (code, text, said) = run(at, &[looks, &IMAGE].concat());
        assert_eq!(code, 5, "{looks:?}: {text}{said}");
    }
    let apply = ["apply", STAGING, "--yes"];
    let (code, _, said) = run(at, &[&apply[..], &IMAGE].concat());
    assert!(code == 5 && said.contains("was rolled back from here"), "{code} {said}");
    let (code, said) = roll(at, &IMAGE);
    assert!(code == 5 && said.contains("--retry"), "{code} {said}");

    meddle(at, |world| never_join(world, &[]));
    let (code, said) = roll(at, &[&IMAGE[..], &["--retry"]].concat());
    assert_eq!(code, 0, "{said}");
    assert!(pool(&machines(at)).iter().all(|id| !old.contains(id)));
    assert_clean(at);
}

/// Starts a roll and kills it as soon as it has said something.
fn kill_at(at: &Path, word: &str) {
    let mut child = start(at, &[&["rolling-update", STAGING, "--yes"][..], &IMAGE].concat());
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let said = stderr.lines().map_while(Result::ok).any(|line| line.contains(word));
    assert!(said, "it never said `{word}`");
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, _, told) = run(at, &["unlock", STAGING, "--yes"]);
    assert_eq!(code, 0, "{told}");
}

#[test]
fn a_killed_roll_is_seen_from_elsewhere_and_put_back_by_an_abort() {
    let fleet = applied(&IMAGE);
    let at = fleet.path();
    let (code, said) = roll(at, &[&IMAGE[..], &["--pause", "lunch"]].concat());
    assert_eq!(code, 64, "--pause changes nothing and --yes would: {said}");
    kill_at(at, "drains");
    let (code, text, _) = run(at, &[&["status", STAGING, "-o", "json"][..], &IMAGE].concat());
    let status = json(&text);
    assert!(code == 2 && status["roll"]["id"].is_string(), "{text}");
    assert!(text.contains("\"phase\": \"draining\"") || text.contains("\"phase\": \"leaving\""));
    let before: Vec<(String, String)> = machines(at);
    let shown = ["rolling-update", STAGING, "--abort"];
    let (code, text, _) = run(at, &[&shown[..], &IMAGE, &["-o", "json"]].concat());
    let undo = &json(&text)["undo"];
    assert!(code == 0 && undo.as_array().is_some_and(|groups| !groups.is_empty()), "{text}");
    let (_, text, _) = run(at, &[&shown[..], &IMAGE].concat());
    assert!(text.contains("this puts it back") && text.contains("the roll's mark is removed"));
    assert!(!text.contains("goes on with it") && !text.contains("nothing to do"), "{text}");
    let (code, said) = roll(at, &[&IMAGE[..], &["--abort"]].concat());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("SIMULATED put staging.k8s.example.com back in"), "{said}");
    assert!(said.contains("released by the roll") && !said.contains("replaced"), "{said}");
    let (code, said) = roll(at, &[&IMAGE[..], &["--abort"]].concat());
    assert!(code == 0 && said.contains("nothing to put back"), "{said}");
    assert_clean(at);
    let (code, text, _) = run(at, &[&["plan", STAGING, "-o", "json"][..], &IMAGE].concat());
    assert!(code == 0 && !text.contains("suspended"), "{text}");
    let after = machines(at);
    assert!(before.iter().filter(|machine| after.contains(machine)).count() >= 5, "{said}");
    let (code, text, _) = run(at, &[&["status", STAGING, "-o", "json"][..], &IMAGE].concat());
    assert!(json(&text)["roll"].is_null(), "{code} {text}");
}

#[test]
fn a_killed_roll_is_gone_on_with_and_every_machine_goes_once() {
    let fleet = applied(&IMAGE);
    let at = fleet.path();
    let before = machines(at);
    kill_at(at, "waits outside its group");
    let (code, said) = roll(at, &IMAGE);
    assert!(code == 0 && said.contains("going on rolling"), "{code} {said}");
    let after = machines(at);
    assert_eq!(after.len(), before.len());
    assert!(after.iter().all(|machine| !before.contains(machine)));
    assert_clean(at);
}

/// What a killed roll has suspended stays so until a roll ends, whoever plans and applies meanwhile:
/// machines are out of their groups.
#[test]
fn what_a_killed_roll_has_suspended_is_no_drift_and_stays_until_a_roll_ends() {
    let fleet = applied(&IMAGE);
    let at = fleet.path();
    kill_at(at, "waits outside its group");
    let suspended = |at: &Path| {
        meddle(at, |world| {
            let groups = world.groups.values().map(|stored| &stored.group);
            let suspended = groups.filter(|g| g.suspended_processes.contains("AlarmNotification"));
            suspended.map(|group| group.auto_scaling_group_name.clone()).collect::<Vec<_>>()
        })
    };
    let before = suspended(at);
    assert!(!before.is_empty());
    let (code, text, said) = run(at, &[&["plan", STAGING, "-o", "json"][..], &IMAGE].concat());
    let plan = json(&text);
    assert_eq!((code, &plan["resources"]), (0, &json("[]")), "{said}");
    let noted: Vec<&Value> = plan["remarks"].as_array().unwrap().iter().collect();
    assert_eq!(noted.len(), before.len(), "{text}");
    assert!(noted[0]["message"].as_str().unwrap().contains("AlarmNotification"), "{text}");

    let apply = [&["apply", STAGING, "--yes"][..], &IMAGE].concat();
    let (code, _, said) = run(at, &apply);
    assert!(code == 0 && said.contains("nothing to do"), "{code} {said}");
    assert_eq!(suspended(at), before);
    // Nor does a change of the same groups resume anything.
    let label = ["--set", "labels.team=core"];
    let (code, _, said) = run(at, &[&apply[..], &label].concat());
    assert!(code == 0 && said.contains("applied staging"), "{code} {said}");
    assert_eq!(suspended(at), before);

    let (code, out, said) = run(at, &[&apply[..], &label, &["--roll"]].concat());
    assert!(code == 0 && said.contains("going on rolling"), "{code} {said}");
    assert!(!said.contains("applying"), "no change comes before the roll: {out}{said}");
    assert_clean(at);
    assert!(suspended(at).is_empty());
}

/// The plan shows the part that goes, and the last words count the rest.
#[test]
fn a_part_of_a_roll_says_what_it_leaves_and_ends_well() {
    let fleet = applied(&IMAGE);
    let at = fleet.path();
    let most = [&IMAGE[..], &["--max-machines", "1"]].concat();
    let shown = ["rolling-update", STAGING];
    let (code, text, _) = run(at, &[&shown[..], &most, &["-o", "json"]].concat());
    let (plan, (_, all, _)) =
        (json(&text), run(at, &[&shown[..], &IMAGE, &["-o", "json"]].concat()));
    let told = (&plan["machines_to_replace"], &plan["machines_max"], &plan["machines_left"]);
    assert_eq!((code, told), (0, (&1.into(), &1.into(), &5.into())), "{text}");
    let secs = |plan: &Value| plan["estimate_secs"].as_u64().unwrap();
    assert!(secs(&plan) < secs(&json(&all)), "{text}");
    let (code, said) = roll(at, &most);
    assert!(code == 0 && said.contains("--max-machines 1: begins with 1 of 6 machines"), "{said}");
    assert!(said.contains("SIMULATED rolling staging.k8s.example.com: 1 machine "), "{said}");
    assert!(said.contains("5 machines are left to replace"), "{said}");
    let only = [&IMAGE[..], &["--only", "control-plane-eu-west-3a"]].concat();
    let (code, said) = roll(at, &only);
    assert!(code == 0 && said.contains("are left for later"), "{said}");
}

/// Whoever forgot to take it back is told how, once.
#[test]
fn a_roll_that_is_paused_for_an_hour_halts_and_names_the_way_out() {
    let fleet = applied(&IMAGE);
    let at = fleet.path();
    let (code, _, said) = run(at, &["rolling-update", STAGING, "--pause", "lunch"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = roll(at, &IMAGE);
    assert!(code == 6 && said.contains("was paused for 3600 s by tester@"), "{code} {said}");
    let (_, hint) = said.split_once("hint:").unwrap();
    assert!(hint.contains("`kprod rolling-update staging.k8s.example.com --resume`"), "{hint}");
    assert_eq!(said.matches("halted:").count(), 1, "{said}");
}

#[test]
fn a_cluster_that_nobody_has_made_yet_is_called_that() {
    let fleet = env::fleet();
    for verb in ["rolling-update", "repair"] {
        let (code, _, said) = run(fleet.path(), &[verb, STAGING]);
        assert!(
            code == 1 && said.contains("staging.k8s.example.com has no machines yet"),
            "{said}"
        );
        assert!(said.contains("`kprod apply staging.k8s.example.com`"), "{said}");
    }
}

#[test]
fn a_pause_is_told_with_its_author_and_taken_back() {
    let fleet = applied(&[]);
    let at = fleet.path();
    let verb = ["rolling-update", STAGING];
    let (code, _, said) = run(at, &[&verb[..], &["--pause", "release on the way"]].concat());
    assert!(code == 0 && said.contains("--resume"), "{said}");
    assert!(said.starts_with("SIMULATED ") && said.lines().all(|line| line.len() <= 80), "{said}");
    let (code, text, _) = run(at, &verb);
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code == 0 && flat.contains("paused by tester@") && flat.contains("release on the way"));
    assert_eq!(run(at, &["status", STAGING]).0, 2);
    let resume = [&verb[..], &["--resume"]].concat();
    let (code, _, said) = run(at, &resume);
    assert!(code == 0 && said.contains("tester@"), "{said}");
    let (code, _, said) = run(at, &resume);
    assert!(code == 0 && said.contains("nobody paused"), "{said}");
}

#[test]
fn a_group_that_nobody_has_is_a_slip_and_told() {
    let fleet = applied(&[]);
    let verb = ["rolling-update", STAGING, "--only", "spot-4x-32g"];
    let (code, _, said) = run(fleet.path(), &verb);
    assert!(code == 64 && said.contains("did you mean spot-4x-32gb?"), "{code} {said}");
}

/// A group that goes and a maximum below what runs: drained first, then changed.
#[test]
fn what_needs_a_drain_is_refused_without_a_roll_and_done_with_one() {
    let fleet = applied(&[]);
    let at = fleet.path();
    let lower = ["--set", "spot_nodes.4x_32Gb.min=1", "--set", "spot_nodes.4x_32Gb.max=2"];
    let apply = |more: &[&str]| {
        let all = [&["apply", STAGING, "--yes"][..], &lower, more].concat();
        let (code, out, said) = run(at, &all);
        (code, format!("{out}{said}"))
    };
    let (code, said) = apply(&[]);
    assert!(code == 5 && said.contains("--roll"), "{said}");
    let (code, said) = apply(&["--roll"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("after the roll has retired their machines (1)"), "{said}");
    let plan = ["plan", STAGING, "--detailed-exitcode"];
    assert_eq!(run(at, &[&plan[..], &lower].concat()).0, 0);
    let pool = |at: &Path| machines(at).iter().filter(|(g, _)| g.starts_with(POOL)).count();
    assert!(pool(at) <= 2, "{said}");

    let vars = at.join(format!("vars/{STAGING}.yaml"));
    let text = std::fs::read_to_string(&vars).unwrap();
    std::fs::write(&vars, text.split("spot_nodes:").next().unwrap()).unwrap();
    let remove = ["apply", STAGING, "--yes", "--allow-delete", "--roll"];
    let (code, out, said) = run(at, &remove);
    // Pods that have nowhere else to go hold a drain up; what is named is theirs.
    if code != 0 {
        assert!(code == 6 && said.contains("demo/"), "{code} {out}{said}");
        for workload in ["web", "store"] {
            meddle(at, |world| {
                let cluster = world.clusters.get_mut(STAGING).unwrap();
                cluster.remove_budget(&PodId::new("demo", workload));
                cluster.remove_budget(&PodId::new("kube-system", "coredns"));
            });
        }
        let (code, out, said) = run(at, &remove);
        assert_eq!(code, 0, "{out}{said}");
    }
    assert_eq!(pool(at), 0);
    assert_eq!(run(at, &plan).0, 0);
}

/// New machines come where a group has fewest, which is where the old ones are retired: a group leaves
/// the zone first.
#[test]
fn a_pool_that_leaves_a_zone_has_each_machine_there_replaced_once() {
    let fleet = applied(&[]);
    let at = fleet.path();
    let vars = at.join(format!("vars/{STAGING}.yaml"));
    let text = std::fs::read_to_string(&vars).unwrap();
    let left = text.replace("4x_32Gb: {az: [a, b, c]", "4x_32Gb: {az: [a, b]");
    assert_ne!(text, left);
    let apply = ["apply", STAGING, "--yes"];
    // The examples never balance zones; who does has most to lose.
    let template = at.join("templates/pools.yaml.j2");
    let pools = std::fs::read_to_string(&template).unwrap();
    std::fs::write(&template, pools.replace("  suspendProcesses: [AZRebalance]\n", "")).unwrap();
    let (code, _, said) = run(at, &apply);
    assert_eq!(code, 0, "{said}");
    std::fs::write(&vars, left).unwrap();
    let before = machines(at);
    let (code, _, said) = run(at, &apply);
    assert!(code == 5 && said.contains("drained first"), "{said}");
    let (code, out, said) = run(at, &[&apply[..], &["--roll"]].concat());
    assert_eq!(code, 0, "{out}{said}");
    let after = machines(at);
    assert_eq!(after.len(), before.len());
    let gone = before.iter().filter(|machine| !after.contains(machine)).count();
    assert_eq!(gone, 1, "{before:?} {after:?}");
    let zones = meddle(at, |world| {
        let pool = world.machines.values();
        let pool = pool.filter(|m| m.group.as_deref().is_some_and(|group| group.starts_with(POOL)));
        pool.map(|machine| machine.availability_zone.clone()).collect::<Vec<_>>()
    });
    assert!(!zones.contains(&"eu-west-3c".to_owned()), "{zones:?}");
    let suspended = meddle(at, |world| {
        let pools = world.groups.iter().filter(|(name, _)| name.starts_with(POOL));
        pools.flat_map(|(_, pool)| pool.group.suspended_processes.clone()).collect::<Vec<_>>()
    });
    assert_eq!(suspended, Vec::<String>::new());
    assert_clean(at);
    assert_eq!(run(at, &["plan", STAGING, "--detailed-exitcode"]).0, 0);
}
