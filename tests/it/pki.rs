//! Authorities from plan to status: made once whatever happens, and their keys nowhere to be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, Parameters, Query, authority};
use kprod::desired;
use kprod::pki::{LeafReport, Secret, Signer, Status, leaves_key};
use kprod::plan::{Plan, PlanOptions, make};
use kprod::resource::{Key, Kind};
use kprod::sim::{CallFault, CrashPlan, CrashSide};
use kprod::spec::Spec;

use super::apply::{STAGING, account_for, plan, spec_of};
use super::crash::run;
use super::env;

/// The authorities of a spec alone.
fn authorities_of(spec: &Spec) -> PlanOptions {
    let keys = desired::query(spec).keys;
    let only: BTreeSet<Key> = keys.into_iter().filter(|key| key.kind == Kind::Authority).collect();
    assert_eq!(only.len(), 6);
    PlanOptions { only, ..PlanOptions::default() }
}

/// What `kprod apply` plans by.
async fn deep_plan(cloud: &SimCloud, spec: &Spec, options: &PlanOptions) -> (Plan, Query) {
    let query = Query { deep: true, ..desired::query(spec) };
    let observation = cloud.observe(&query).await.unwrap();
    let wanted = desired::build(spec, &observation.facts);
    (make(&wanted.resources, &observation, options), query)
}

/// Every parameter, by name.
async fn parameters(cloud: &SimCloud) -> BTreeMap<String, Secret> {
    let mut found = BTreeMap::new();
    for name in cloud.with_world(|world| world.parameter_names()).unwrap() {
        found.insert(name.clone(), cloud.secret(&name).await.unwrap().unwrap());
    }
    found
}

/// All are there, each public half that of its key, and what was there `before` is still.
async fn assert_whole(cloud: &SimCloud, before: &BTreeMap<String, Secret>, case: &str) {
    let now = parameters(cloud).await;
    assert_eq!(now.len(), 12, "{case}");
    for (name, value) in before {
        assert_eq!(now.get(name), Some(value), "{case}: {name} was made twice");
    }
    for key in authorities_of(&spec_of(STAGING)).only {
        let known = authority::of_key(&key, STAGING).unwrap();
        let signer =
            Signer::parse(&known, STAGING, &now[&known.secret_parameter(STAGING)]).unwrap();
        let public = now[&known.public_parameter(STAGING)].expose();
        assert_eq!(signer.to_public(), public, "{case}: {key}");
    }
}

/// Goal: no authority is made twice, and none is trusted by what is not its own. Method: the run that
/// makes them is killed around each of its calls, and another one without memory finishes.
#[tokio::test]
async fn killed_around_any_call_no_authority_is_made_twice() {
    let spec = spec_of(STAGING);
    let options = authorities_of(&spec);
    let start = account_for(&spec, 3).with_world(|world| world.clone()).unwrap();
    let mut killed_runs = 0;
    for mutation in 1.. {
        for side in [CrashSide::Before, CrashSide::After] {
            let case = format!("{side:?} mutation {mutation}");
            let mut world = start.clone();
            world.faults.crash = Some(CrashPlan { mutation, side });
            let killed = SimCloud::from_world(world);
            let (first, query) = plan(&killed, &spec, &options).await;
            if run(&killed, &first, &query, "ann@laptop (process 1)").await.is_some() {
                assert_eq!(killed_runs, 2 * 12, "each authority takes two calls");
                return;
            }
            killed_runs += 1;
            let next = SimCloud::from_world(killed.with_world(|world| world.clone()).unwrap());
            let before = parameters(&next).await;
            kprod::apply::lease::break_lease(&next, spec.name()).await.unwrap();
            // Whoever plans to apply looks deeper, and sees the half as well.
            let (second, query) = match side {
                CrashSide::Before => plan(&next, &spec, &options).await,
                CrashSide::After => deep_plan(&next, &spec, &options).await,
            };
            run(&next, &second, &query, "bob@ci (process 2)").await.unwrap();
            assert_whole(&next, &before, &case).await;
            let (again, _) = plan(&next, &spec, &options).await;
            assert!(again.changes.is_empty(), "{case}: {:#?}", again.changes);
        }
    }
}

#[tokio::test]
async fn with_any_answer_lost_one_run_makes_them_all() {
    let spec = spec_of(STAGING);
    let options = authorities_of(&spec);
    for lost in 1..=12 {
        let cloud = account_for(&spec, 5);
        let count = |world: &mut kprod::sim::World| {
            world.faults.on_mutation = [(lost, CallFault::AnswerLost)].into();
        };
        cloud.with_world(count).unwrap();
        let (first, query) = plan(&cloud, &spec, &options).await;
        run(&cloud, &first, &query, "ann@laptop (process 1)").await.unwrap();
        assert_whole(&cloud, &BTreeMap::new(), &format!("answer {lost} lost")).await;
    }
}

/// Members show certificates as soon as they report, for themselves alone, and never let one end.
#[tokio::test]
async fn members_show_certificates_that_are_renewed_in_time() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 7);
    let (first, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    run(&cloud, &first, &query, "ann@laptop (process 1)").await.unwrap();
    let mut ends = BTreeSet::new();
    for days in [0, 100, 50, 300, 1000] {
        cloud.sleep(Duration::from_secs(3600 + days * 86_400)).await;
        let mut members = Vec::new();
        for etcd in &spec.cluster.spec.etcd_clusters {
            for member in &etcd.etcd_members {
                let key = leaves_key(STAGING, &etcd.name, &member.name);
                let entry = cloud.get(&key).await.unwrap().unwrap();
                let report: LeafReport = serde_json::from_slice(&entry.body).unwrap();
                assert_eq!(report.certificates.len(), 3);
                members.push((etcd.name.clone(), member.name.clone(), Some(report)));
            }
        }
        let public = cloud.public(STAGING).await.unwrap();
        let secrets = cloud.there(&secrets_of(&spec)).await.unwrap();
        let of = |secrets: &BTreeSet<String>| {
            Status::of(STAGING, &public, secrets, members.clone(), &["main", "events"], cloud.now())
        };
        assert!(!of(&BTreeSet::new()).is_well(), "without keys");
        let status = of(&secrets);
        assert!(status.is_well() && status.members.len() == 6, "{status:#?}");
        let leaves = status.members.iter().flat_map(|member| member.leaves.values());
        ends.extend(leaves.map(|leaf| leaf.state.until()));
    }
    assert!(ends.len() > 6, "they were renewed: {ends:?}");
}

/// The parameters that hold the keys of a spec's authorities.
fn secrets_of(spec: &Spec) -> BTreeSet<String> {
    let keys = authorities_of(spec).only.into_iter();
    let known = keys.map(|key| authority::of_key(&key, spec.name()).unwrap());
    known.map(|authority| authority.secret_parameter(spec.name())).collect()
}

/// A key that is gone is told by whoever asks for it, and nothing is made in its place.
#[test]
fn a_key_that_is_gone_is_told_and_not_made_anew() {
    let folder = env::fleet();
    let path = folder.path();
    said(path, &["apply", STAGING, "--yes"]);
    let keys = files_below(path).into_iter();
    let mut keys = keys.filter(|file| file.ends_with("etcd/main/peers"));
    let key = keys.next().unwrap();
    fs::remove_file(&key).unwrap();
    let told = said(path, &["pki", "status", STAGING]);
    assert!(told.contains("etcd-peers-main: its key is gone"), "{told}");
    let told = said(path, &["doctor", STAGING]);
    assert!(told.contains("its key is gone"), "{told}");
    let refused = env::kprod(path).args(["apply", STAGING, "--yes"]).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{told}");
    assert!(!key.exists());
}

/// Runs the program and gives all that it says.
fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = env::kprod(folder).args(arguments).output().unwrap();
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 2)), "{arguments:?}: {output:?}");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Goal: nobody sees a key by accident. Method: every verb that prints or stores something about a
/// cluster runs; then no line that holds a part of a private key's number is anywhere but in the one
/// file that it belongs to.
#[test]
fn no_key_is_in_anything_that_the_program_prints_or_stores() {
    let folder = env::fleet();
    let path = folder.path();
    let mut all = String::new();
    for arguments in [
        &["plan", STAGING, "-v"][..],
        &["plan", STAGING, "-o", "json"],
        &["plan", STAGING, "--out", "first.plan"],
        &["apply", "first.plan", "--yes", "--events", "jsonl"],
        &["apply", STAGING, "--yes"],
        &["plan", STAGING, "--detailed-exitcode"],
        &["observe", STAGING, "-o", "seen.json"],
        &["status", STAGING, "-o", "json"],
        &["doctor", STAGING, "-o", "json"],
        &["pki", "status", STAGING],
        &["pki", "status", STAGING, "-o", "json"],
        &["policy", STAGING, "--for", "apply", "-o", "json"],
        &["plan", STAGING, "--set", "spot_nodes.4x_32Gb.max=12", "--out", "second.plan"],
        &["show", "second.plan", "-o", "json"],
    ] {
        all.push_str(&said(path, arguments));
    }
    let (secret, others): (Vec<PathBuf>, Vec<PathBuf>) =
        files_below(path).into_iter().partition(|file| {
            let below = file.strip_prefix(path).unwrap().to_string_lossy().into_owned();
            below.contains(".parameters/kprod/") && !below.contains("/public/")
        });
    assert_eq!(secret.len(), 6, "{secret:?}");
    for file in others {
        all.push_str(&String::from_utf8_lossy(&fs::read(file).unwrap()));
    }
    assert!(all.contains("etcd-peers-main") && !all.contains("PRIVATE KEY"));
    for file in &secret {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        let text = fs::read_to_string(file).unwrap();
        // PKCS #8 ends in the public half, in its third line.
        for line in text.lines().filter(|line| !line.starts_with("-----")).take(2) {
            assert!(line.len() == 64 && !all.contains(line), "{file:?}");
        }
    }
    said(path, &["destroy", STAGING, "--confirm", STAGING]);
    assert!(secret.iter().all(|file| !file.exists()), "a destroyed cluster leaves no key");
}
