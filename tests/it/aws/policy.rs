//! The printed policies are enough, and each of their statements is needed: without it the run names
//! what is missing.
//!
//! The emulator checks a user's calls as IAM does, resources and conditions included
//! (`tests/moto/access`).

use std::collections::BTreeSet;

use kprod::etcd::ClusterId;
use kprod::etcd::snapshot::{Content, List, Record, Taken, name, object, snapshots_key};
use serde_json::Value;

use super::account::{Account, Network, said};
use super::{Moto, STAGING};

/// The policies that kprod prints for a level.
pub(super) fn policies(account: &Account<'_>, network: &Network, level: &str) -> Vec<Value> {
    let base = ["policy", network.cluster, "--for", level, "-o", "json"].map(str::to_owned);
    let sets = network.sets();
    let arguments: Vec<&str> = base.iter().chain(&sets).map(String::as_str).collect();
    let printed = account.command(&arguments).output().unwrap();
    assert!(printed.status.success(), "{}", said(&printed));
    let inputs: Vec<Value> = serde_json::from_slice(&printed.stdout).unwrap();
    let document = |input: &Value| input["PolicyDocument"].as_str().unwrap().to_owned();
    inputs.iter().map(|input| serde_json::from_str(&document(input)).unwrap()).collect()
}

/// The same without one statement.
pub(super) fn without(policies: &[Value], sid: &str) -> Vec<Value> {
    let mut left = policies.to_vec();
    let mut removed = 0;
    for policy in &mut left {
        let statements = policy["Statement"].as_array_mut().unwrap();
        let before = statements.len();
        statements.retain(|statement| statement["Sid"] != sid);
        removed += before - statements.len();
    }
    assert_eq!(removed, 1, "{sid}");
    left
}

fn sids(policies: &[Value]) -> BTreeSet<String> {
    let statements = policies.iter().flat_map(|policy| policy["Statement"].as_array().unwrap());
    statements.map(|statement| statement["Sid"].as_str().unwrap().to_owned()).collect()
}

/// Runs kprod to its end and gives its exit code with all that it said.
fn run(account: &Account<'_>, network: &Network, arguments: &[&str]) -> (Option<i32>, String) {
    let run = account.kprod(network, arguments);
    (run.status.code(), said(&run))
}

#[test]
fn with_the_printed_policy_a_cluster_comes_stays_and_goes() {
    let owner = Moto::shared().account();
    let network = owner.network(STAGING);
    let operator = owner.user("operator", &policies(&owner, &network, "apply"));
    let planner = owner.user("planner", &policies(&owner, &network, "plan"));

    let (code, text) = run(&operator, &network, &["apply", STAGING, "--yes"]);
    assert_eq!(code, Some(0), "{text}");
    for user in [&operator, &planner] {
        for depth in [&[][..], &["--deep"]] {
            assert_eq!(user.plan(&network, depth).0, 0, "{depth:?}");
        }
    }
    // No member has reported, which is told; that somebody may not read would be an error.
    for (of, wanted) in [("pki", 0), ("etcd", 2)] {
        let (code, text) = run(&operator, &network, &[of, "status", STAGING]);
        assert_eq!(code, Some(wanted), "{text}");
    }
    // A change of each sort of thing that changes in place.
    let change = ["--set", "image=ami-0123456789abcdef0", "--set", "spot_nodes.4x_32Gb.max=12"];
    let (code, text) =
        run(&planner, &network, &[&["apply", STAGING, "--yes"], &change[..]].concat());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("PutObject") && text.contains("KeepState"), "{text}");

    let (code, text) = run(&operator, &network, &["destroy", STAGING, "--confirm", STAGING]);
    assert_eq!(code, Some(0), "{text}");
    owner.check(&["empty"]).unwrap();
}

/// The error names the statement, and where to get all of them.
fn names(text: &str, sid: &str, level: &str) {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let print = format!("`kprod policy {STAGING} --for {level}`");
    assert!(flat.contains(&print), "{sid}: {text}");
    // Of the bucket the way out tells the statement's name, of all else the statement stands there.
    let of_state = ["FindState", "KeepState"].iter().chain(SNAPSHOTS);
    let is_of_state = of_state.into_iter().any(|one| *one == sid) && flat.contains(sid);
    let is_shown = flat.contains(&format!(" {sid}: {{\"Action\":"));
    assert!(is_shown || is_of_state, "{sid} is not named: {text}");
}

/// Without each statement of a plan in turn, a plan of an empty account that reads all there is to read.
#[test]
fn without_a_statement_a_plan_names_it() {
    let owner = Moto::shared().account();
    let network = owner.network(STAGING);
    let policy = policies(&owner, &network, "plan");
    for sid in sids(&policy) {
        let user = owner.user(&sid, &without(&policy, &sid));
        let (code, text) = run(&user, &network, &["plan", STAGING, "--deep"]);
        assert_eq!(code, Some(1), "without {sid}: {text}");
        names(&text, &sid, "plan");
    }
    let planner = owner.user("planner", &policy);
    let (code, text) = run(&planner, &network, &["plan", STAGING, "--deep"]);
    assert_eq!(code, Some(0), "with all of them: {text}");
}

/// Where the lack of each statement shows: what is made then, or all. In an order in which a later
/// trial still finds undone what it is about.
const MAKING: &[(&str, &str)] = &[
    ("KeepState", ""),
    ("GiveRolesPermissions", "role/nodes"),
    ("ChangeRoles", "role/nodes"),
    ("CreateSecurityGroups", "security_group/nodes"),
    ("CreateSecurityGroupsInVpc", "security_group/nodes"),
    ("TagWhatIsMade", "security_group/nodes"),
    ("CreateVolumesAndInterfaces", "volume/a.etcd-main"),
    ("OpenEpochs", "epoch/main"),
    ("CreateZone", "hosted_zone/internal"),
    ("ChangeZone", "hosted_zone/internal"),
    ("LookAroundForBalancers", "target_group/tcp-internal"),
    ("CreateBalancers", "target_group/tcp-internal"),
    ("TagNewBalancers", "target_group/tcp-internal"),
    ("FirstUseInAccount", "target_group/tcp-internal"),
    ("ChangeBalancers", "target_group/tcp-internal"),
    ("ChangeProfiles", "instance_profile/nodes"),
    ("KeepAuthorities", "authority/etcd-peers-main"),
    ("PassRolesToMachines", "instance_profile/nodes"),
    ("CreateInterfacesInSubnets", "network_interface/control-plane-eu-west-3a"),
    ("UseSecurityGroups", "network_interface/control-plane-eu-west-3a"),
    ("CreateLaunchTemplates", "launch_template/on-demand-4x-32gb"),
    ("UseLaunchTemplates", "auto_scaling_group/on-demand-4x-32gb"),
    ("LaunchMachines", "auto_scaling_group/on-demand-4x-32gb"),
    ("CreateGroups", "auto_scaling_group/on-demand-4x-32gb"),
    ("ChangeSecurityGroups", "security_group_rules/nodes"),
    ("ChangeRecords", "dns_name/etcd-a.internal"),
];

/// What changes a cluster that is there.
const CHANGING: &[(&str, &str)] = &[
    ("ChangeTags", "control_plane_machine_type=m6i.2xlarge"),
    ("ChangeGroups", "spot_nodes.4x_32Gb.max=12"),
];

/// What shows when a cluster goes.
const REMOVING: &[&str] = &["ChangeListeners", "ChangeVolumesAndInterfaces", "RemoveEpochs"];

/// What shows when a snapshot is asked for, and when etcd is to begin with one in another bucket.
const SNAPSHOTS: &[&str] = &["AskForSnapshots", "FindSnapshots"];

/// What shows when machines are replaced; `roll` tries it.
pub(super) const ROLLING: &[&str] = &["ReadMembers"];

/// What shows only in the midst of a roll, when machines outside of their group end: `roll` needs it,
/// and does not take it away.
const ENDING: &[&str] = &["EndMachines"];

/// Every so many of the trials of making are run by every run of the tests, all of them with
/// `KPROD_LONG=1`.
const STRIDE: usize = 5;

#[test]
fn each_statement_is_tried() {
    let owner = Moto::shared().account();
    let network = owner.network(STAGING);
    let planned = sids(&policies(&owner, &network, "plan"));
    let mut left = sids(&policies(&owner, &network, "apply"));
    let trials = MAKING.iter().chain(CHANGING).map(|(sid, _)| *sid).chain(REMOVING.iter().copied());
    let others = SNAPSHOTS.iter().chain(ROLLING).chain(ENDING);
    for sid in trials.chain(others.copied()) {
        assert!(left.remove(sid), "there is no {sid}");
    }
    assert_eq!(left, planned, "what is not tried by an apply is tried by a plan");
}

/// Without each statement in turn an apply, or a destroy, is denied something, and names it; what
/// does not hang on it is done. With all of them the next run finishes.
#[test]
fn without_a_statement_an_apply_names_it() {
    let owner = Moto::shared().account();
    let network = owner.network(STAGING);
    let policy = policies(&owner, &network, "apply");
    let is_long = std::env::var_os("KPROD_LONG").is_some();
    let denied = |sid: &str, arguments: &[&str]| {
        let user = owner.user(sid, &without(&policy, sid));
        let (code, text) = run(&user, &network, arguments);
        assert_eq!(code, Some(1), "without {sid}: {text}");
        names(&text, sid, "apply");
    };
    let plan = owner.plan(&network, &[]).1;
    let addresses = plan["resources"].as_array().unwrap().iter();
    let addresses: Vec<&str> = addresses.filter_map(|one| one["address"].as_str()).collect();
    for (number, (sid, prefix)) in MAKING.iter().enumerate() {
        if !is_long && number % STRIDE != 1 {
            continue;
        }
        let address = addresses.iter().find(|address| address.starts_with(prefix)).unwrap();
        let only: &[&str] = if prefix.is_empty() { &[] } else { &["--only", address] };
        denied(sid, &[&["apply", STAGING, "--yes"], only].concat());
    }

    let operator = owner.user("operator", &policy);
    let done = |arguments: &[&str]| {
        let (code, text) = run(&operator, &network, arguments);
        assert_eq!(code, Some(0), "{text}");
    };
    done(&["apply", STAGING, "--yes"]);
    if is_long {
        for (sid, change) in CHANGING {
            denied(sid, &["apply", STAGING, "--yes", "--set", change]);
        }
        let destroy = ["destroy", STAGING, "--confirm", STAGING];
        for sid in REMOVING {
            done(&["apply", STAGING, "--yes"]);
            denied(sid, &destroy);
        }
        done(&destroy);
        owner.check(&["empty"]).unwrap();
        done(&["apply", STAGING, "--yes"]);
    }
    denied("AskForSnapshots", &["etcd", "snapshot", STAGING]);
    for etcd in ["events", "main"] {
        let list = List::empty().with(snapshot(etcd)).to_bytes();
        let list = String::from_utf8(list).unwrap();
        owner.write(&network, &format!("{STAGING}/{}", snapshots_key(STAGING, etcd)), &list);
    }
    denied("FindSnapshots", &["etcd", "restore", STAGING, "--latest", "--confirm", STAGING]);
}

/// A snapshot as a member lists one, in a bucket for backups.
fn snapshot(etcd: &str) -> Record {
    let at = jiff::Timestamp::now();
    let nothing = Content { bytes: 0, sha256: String::new() };
    let name = name(&Taken { member: "a".to_owned(), revision: 1, at, content: nothing });
    Record {
        object: object("s3://backups-of-all", STAGING, etcd, &name, "snapshot.db"),
        name,
        member: "a".to_owned(),
        epoch: 1,
        token: format!("{etcd}.{STAGING}.1"),
        cluster_id: ClusterId(1),
        etcd_version: "3.4.23".parse().unwrap(),
        revision: 1,
        term: 2,
        bytes: 4128,
        sha256: "0".repeat(64),
        taken_at: at,
        verified_at: at,
        certificates_sha256: String::new(),
        request: None,
    }
}
