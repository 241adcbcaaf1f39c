//! Machines that boot in an emulated account: what an apply put into their user data, run as it stands, with
//! no more rights than their role has.
//!
//! Machines are namespaces with real etcd, as in `etcd`. Each has a metadata service of its own, which hands
//! out its role, and reaches the emulator; where both are, says the file that an image may bring. The
//! emulator checks the role's rights as IAM does.

mod cluster;
mod roll;
mod snapshots;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use kprod::cloud::asset;
use serde_json::{Value, json};

use super::account::program;
use super::calls::Call;
use super::{Moto, STAGING};
use crate::etcd::machine::{Slot, make_vpc};
use crate::etcd::tell;
use cluster::{Cluster, Machines};
use snapshots::Hands;

/// Three machines on two cores that fetch a program and boot six members at once.
const BOOT: Duration = Duration::from_secs(240);

#[test]
fn machines_boot_by_their_user_data_with_no_more_than_their_role() {
    tell("aws::boot::machines_boot");
}

#[test]
fn a_roll_replaces_machines_one_by_one_and_nothing_acknowledged_is_lost() {
    tell("aws::boot::roll::machines_are_rolled");
}

/// Three machines are launched by an apply, fetch their program, form both etcd clusters and complete
/// their launch; nothing that they ask for is denied. What belongs to another cluster is. They take
/// snapshots, and when all of them are lost, others begin with these.
#[test]
#[ignore = "runs in namespaces of its own"]
fn machines_boot() {
    make_vpc();
    let moto = Moto::start();
    let cluster = Cluster::applied(&moto);
    let Cluster { fleet, owner, network, role, .. } = &cluster;
    let ready = cluster.ready();
    let mut machines = Machines::of(&cluster, &ready);
    owner.calls();
    // Somebody has put something else of the same length there: it is not kept, and the real one is
    // fetched once it is back.
    owner.write(network, &program_key(), &"x".repeat(fleet.program.len()));
    machines.boot();
    let refuses = |slot: &Slot| slot.log().contains("is not what its name says");
    wait_until(|| machines.slots.values().all(refuses), || machines.show());
    let real = json!({
        "bucket": network.state_bucket,
        "object": program_key(),
        "file": fleet.program_file(),
    });
    owner.python("boot.py", &["put"], &real);
    machines.wait_until_up();

    let calls = owner.calls();
    check_calls(&calls, role.key_id(), machines.slots.len());
    let asked = json!({
        "head": cluster.heads.lock().unwrap().first().expect("the program was fetched"),
        "access_key_id": role.key_id(),
        "secret_access_key": role.key("AWS_SECRET_ACCESS_KEY"),
    });
    let signature = owner.python("boot.py", &["signature"], &asked);
    assert_eq!(signature["found"], signature["right"], "{asked}");
    assert_eq!(signature["unsigned"], json!([]));

    let hands = Hands::new(owner, network, role);
    hands.take(|| machines.show());

    let bucket = json!({"bucket": network.state_bucket});
    let mut others = owner.python("boot.py", &["strangers"], &bucket);
    let machine = ready["machines"].as_object().unwrap().values().next().unwrap();
    others["instance"] = machine.clone();
    let told = role.python("boot.py", &["trespass"], &others);
    for (what, code) in told.as_object().unwrap() {
        let is_denied = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"]
            .contains(&code.as_str().unwrap_or_default());
        assert!(is_denied, "{what}: {told}");
    }
    hands.trespass();
    // What the machines did to their volumes and to the bucket is no change.
    let (code, plan) = owner.plan(network, &[]);
    assert_eq!(code, 0, "{plan:#}");

    drop(machines);
    hands.begin_restore();
    let mut machines = Machines::of(&cluster, &replaced(&cluster, &ready));
    machines.boot();
    machines.wait_until_up();
    hands.end_restore();
}

/// What stands ready once other machines have come in place of all those that host etcd.
fn replaced(cluster: &Cluster<'_>, before: &Value) -> Value {
    let machines = |ready: &Value| -> BTreeSet<String> {
        let hosts = before["addresses"].as_object().unwrap().keys();
        let ids = hosts.filter_map(|group| ready["machines"][group].as_str());
        ids.map(str::to_owned).collect()
    };
    let old = machines(before);
    let is_replaced = || {
        let new = machines(&cluster.ready());
        new.len() == old.len() && new.is_disjoint(&old)
    };
    wait_until(is_replaced, || ());
    cluster.ready()
}

/// Where the program is in the state bucket.
fn program_key() -> String {
    format!("{STAGING}/{}", asset::key(STAGING, &program().sha256))
}

/// Waits until something holds; tells why not when it takes too long.
fn wait_until(holds: impl Fn() -> bool, tell: impl Fn()) {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > BOOT {
            tell();
            panic!("waited in vain for {BOOT:?}");
        }
        thread::sleep(Duration::from_secs(1));
    }
}

/// Nothing that the machines asked for was denied, and they did what they are for.
fn check_calls(calls: &[Call], key_id: &str, machines: usize) {
    let denied = denied(calls, key_id);
    assert!(denied.is_empty(), "{denied:#?}");
    let made: Vec<&Call> = calls.iter().filter(|call| call.caller == key_id).collect();
    let count = |action: &str| {
        let worked = made.iter().filter(|call| (200..300).contains(&call.status));
        worked.filter(|call| call.action == action).count()
    };
    for action in ["AttachVolume", "CreateTags"] {
        assert_eq!(count(action), 2 * machines, "{action}: one for each member");
    }
    assert_eq!(count("CompleteLifecycleAction"), machines);
    for action in
        ["DescribeVolumes", "GetParameter", "GetParametersByPath", "GetObject", "PutObject"]
    {
        assert!(count(action) > 0, "{action}");
    }
    let fetched = made.iter().filter(|call| {
        call.params.get("Key").is_some_and(|key| key.contains("/assets/")) && call.status == 200
    });
    assert!(fetched.count() >= 2 * machines, "each fetches what is there, and again what is right");
}

/// What somebody asked for and was denied.
fn denied<'c>(calls: &'c [Call], key_id: &str) -> Vec<&'c Call> {
    let made = calls.iter().filter(|call| call.caller == key_id);
    let is_denied = |call: &&Call| {
        call.status == 403 || call.code.contains("Denied") || call.code == "UnauthorizedOperation"
    };
    made.filter(is_denied).collect()
}
