//! A rolling update of machines that host real etcd, by the program itself with the rights of the printed
//! policy: AWS's API is the emulator, and the test is EC2 as machines feel it.
//!
//! A client writes to each etcd cluster meanwhile. Every machine is destroyed with its namespace, and another
//! one comes in its place with the same volumes and address.

mod ec2;
mod law;

use std::collections::BTreeMap;

use kprod::etcd::report::report_key;
use kprod::node::etcd::client::Credentials;
use kprod::pki::Secret;
use kprod::roll::Policy;
use serde_json::{Value, json};

use super::super::account::{Account, Run, said};
use super::super::policy::policies;
use super::super::{Moto, STAGING};
use super::cluster::{Cluster, Machines};
use super::{denied, wait_until};
use crate::apply::spec_of;
use crate::etcd::client_url;
use crate::etcd::machine::{ask_resolver, make_vpc};
use crate::etcd::pki::{client_parameters, issue_client};
use crate::etcd::writer::{Writer, missing};
use ec2::Ec2;

/// Why there is something to roll: machines that host etcd are to be of another type.
const WANTED: [&str; 2] = ["--set", "control_plane_machine_type=m6i.xlarge"];
const ROLL: [&str; 8] =
    ["rolling-update", STAGING, "--cloudonly", "--yes", "--events", "jsonl", WANTED[0], WANTED[1]];
/// How often a roll looks at a member until that is no accident.
const LOOKS: usize = 2;

/// Three machines are replaced one after the other. The etcd of the first newcomer stands still as soon as
/// its launch is complete: the guard lets no other machine go until it is back, and says why. Another roll
/// exits 4 meanwhile. The roll is killed with the second machine away, and somebody else finishes it. All
/// that was acknowledged is there, with one change of term a machine at most.
#[test]
#[ignore = "runs in namespaces of its own"]
fn machines_are_rolled() {
    make_vpc();
    let moto = Moto::start();
    let cluster = Cluster::applied(&moto);
    let Cluster { owner, network, role, .. } = &cluster;
    let mut machines = Machines::of(&cluster, &cluster.ready());
    ask_resolver(machines.folder.path());
    machines.boot();
    machines.wait_until_up();
    // The guard lets no member go before there is a snapshot.
    wait_until(|| complaints(&cluster).is_empty(), || machines.show());
    let change = owner.kprod(network, &[&["apply", STAGING, "--yes"][..], &WANTED].concat());
    assert_eq!(change.status.code(), Some(0), "{}", said(&change));
    let clients = ["events", "main"].map(|etcd| Client::begin(&machines, etcd));
    let policies = policies(owner, network, "apply");
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| owner.user(name, &policies));

    let mut ec2 = Ec2::of(machines);
    let roll = ann.start(network, &ROLL);
    a_newcomer_falls_ill(&mut ec2, &roll, &ann, &eve);
    is_killed_and_taken_over(&mut ec2, roll, &bob);
    ec2.machines.wait_until_up();
    ec2.look();

    for client in clients {
        client.end();
    }
    law::check(&ec2);
    for who in [role, &ann, &bob, &eve] {
        let denied = denied(&ec2.calls, who.key_id());
        assert!(denied.is_empty(), "{denied:#?}");
    }
    let (code, plan) = owner.plan(network, &WANTED);
    assert_eq!(code, 0, "{plan:#}");
}

/// The etcd `main` of the first newcomer stands still when it has just had its vote back. The roll looks at
/// it again and again and ends no machine, until it goes on.
fn a_newcomer_falls_ill(ec2: &mut Ec2<'_, '_>, roll: &Run, ann: &Account<'_>, eve: &Account<'_>) {
    ec2.until("the first newcomer is up", |ec2| ec2.count("CompleteLifecycleAction") == 1);
    let (group, _) = ec2.came[0].clone();
    let member = member_on(&group);
    ec2.machines.slots[&group].freeze_etcd("main");
    // The next one is not booted before somebody says so.
    ec2.holds = true;

    let why = format!("etcd main, member {member}: it is not healthy");
    let is_told = |roll: &Run| waits(&roll.told()).iter().any(|wait| wait.contains(&why));
    ec2.until("the guard says no", |_| is_told(roll));
    let since = ec2.calls.len();
    let cluster = ec2.machines.cluster;
    let told = complaints(cluster);
    assert!(told.contains(&("main".to_owned(), member.clone())), "{told:?}");
    let other = eve.kprod(&cluster.network, &ROLL);
    assert_eq!(other.status.code(), Some(4), "{}", said(&other));
    ec2.look();
    let changes: Vec<_> = ec2.calls.iter().filter(|call| call.caller == eve.key_id()).collect();
    let changes: Vec<_> =
        changes.into_iter().filter(|call| !call.is_read() && call.status < 300).collect();
    assert!(changes.is_empty(), "{changes:#?}");
    ec2.until("the roll has looked often", |ec2| ec2.looks(ann, &member, since) >= LOOKS);
    ec2.ends_max = 2;
    ec2.machines.slots[&group].thaw_etcd("main");
}

/// The roll is killed with the second machine away. Its lease is broken, and somebody else goes on: no
/// machine goes until the second newcomer, which comes late, has its votes back.
fn is_killed_and_taken_over(ec2: &mut Ec2<'_, '_>, mut roll: Run, bob: &Account<'_>) {
    ec2.until("the second machine is ended", |ec2| ec2.ends().len() == 2);
    roll.kill();
    let network = &ec2.machines.cluster.network;
    let unlocked = bob.kprod(network, &["unlock", STAGING, "--yes"]);
    assert_eq!(unlocked.status.code(), Some(0), "{}", said(&unlocked));
    let mut roll = bob.start(network, &ROLL);
    let is_started = |roll: &Run| roll.told().contains("\"roll_started\"");
    ec2.until("somebody else goes on", |_| is_started(&roll));
    let since = ec2.calls.len();
    let third = ec2.untouched();
    let member = member_on(&third);
    ec2.until("somebody else has looked often", |ec2| ec2.looks(bob, &member, since) >= LOOKS);
    ec2.ends_max = 3;
    ec2.holds = false;
    ec2.until("the roll is over", |_| roll.ended().is_some());
    let (code, told, errors) = roll.finish();
    assert_eq!(code, Some(0), "{told}\n{errors}");
    let started = events(&told).into_iter().find(|event| event["event"] == "roll_started");
    assert_eq!(started.unwrap()["resumed"], true);
}

/// What is wrong with etcd as `kprod etcd status` tells it: etcd clusters and members.
fn complaints(cluster: &Cluster<'_>) -> Vec<(String, String)> {
    let run = cluster.owner.kprod(&cluster.network, &["etcd", "status", STAGING, "-o", "json"]);
    let status: Value = serde_json::from_slice(&run.stdout).unwrap();
    let etcds = status["etcds"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_one = |etcd: &Value| {
        let whose = etcd["complaints"].as_array().unwrap().iter();
        let whose = whose.map(|one| (text(&etcd["etcd"]), text(&one["member"])));
        whose.collect::<Vec<_>>()
    };
    etcds.flat_map(of_one).collect()
}

/// What a roll has printed, line by line; the last one may be half printed.
fn events(told: &str) -> Vec<Value> {
    told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// For what the quorum guard has had a roll wait.
fn waits(told: &str) -> Vec<String> {
    let events = events(told);
    let progress = events.iter().filter(|event| event["event"] == "roll_progress");
    let groups = progress.flat_map(|event| event["groups"].as_array().unwrap());
    let waits = groups.flat_map(|group| group["waiting"].as_array().unwrap());
    let of_guard = waits.filter(|wait| wait["reason"] == "quorum");
    of_guard.map(|wait| wait["message"].as_str().unwrap().to_owned()).collect()
}

/// Members by group and etcd cluster.
fn members() -> BTreeMap<String, BTreeMap<String, String>> {
    let topology = Policy::of(&spec_of(STAGING)).topology;
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (etcd, cluster) in &topology.clusters {
        for (member, place) in &cluster.members {
            let group = found.entry(place.group.clone()).or_default();
            group.insert(etcd.clone(), member.clone());
        }
    }
    found
}

/// The member of `main` that a group hosts.
fn member_on(group: &str) -> String {
    members()[group]["main"].clone()
}

/// Where a member's report is in the state bucket.
fn report_at(etcd: &str, member: &str) -> String {
    format!("{STAGING}/{}", report_key(STAGING, etcd, member))
}

/// A client that writes to an etcd cluster.
struct Client {
    etcd: &'static str,
    credentials: Credentials,
    urls: Vec<String>,
    writer: Writer,
}

impl Client {
    /// Begins to write, by whichever member answers.
    fn begin(machines: &Machines<'_, '_>, etcd: &'static str) -> Self {
        let names = client_parameters(STAGING, etcd);
        let asked = json!({"names": names});
        let held = machines.cluster.owner.python("boot.py", &["parameters"], &asked);
        let [secret, trusted] = names.map(|name| held[name].as_str().unwrap().to_owned());
        let into = machines.folder.path().join("client").join(etcd);
        let credentials = issue_client(STAGING, &Secret::new(secret), &trusted, &into);
        let members = members().into_values().map(|mut hosted| hosted.remove(etcd).unwrap());
        let urls: Vec<String> = members.map(|member| client_url(STAGING, etcd, &member)).collect();
        let writer = Writer::start(&credentials, urls.clone());
        Self { etcd, credentials, urls, writer }
    }

    /// Stops; every member has all that was acknowledged.
    #[expect(clippy::print_stderr, reason = "the figures are told")]
    fn end(self) {
        let Self { etcd, credentials, urls, writer } = self;
        let (count, longest) = writer.stop();
        assert!(count > 0, "{etcd}");
        for url in urls {
            let lost = missing(&credentials, &url, count);
            assert!(lost.is_empty(), "{etcd}: {url} lost {lost:?} of {count}");
        }
        eprintln!("{etcd}: {count} acknowledged writes, all there; the longest took {longest:?}");
    }
}
