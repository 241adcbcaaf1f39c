//! Members of real etcd, on machines that are namespaces: each has its own network with the address of
//! its interface, its own mounts and its own processes, and is gone at once when it is killed.
//!
//! A machine runs its user data, as the plan has it, and what that starts: `systemctl` and the disks of
//! `/dev/disk/by-id` are the only parts of a machine that a container does not have, and stand in `boot.sh`
//! and `systemctl.sh`. The program that is pinned is kprod in the simulated account. Names are answered by a DNS server from the records that an apply
//! made.
//!
//! Root and Debian's etcd-server and etcd-client are needed. Without them the tests say so and pass, unless
//! `KPROD_TEST_NAMESPACES=must`. An `etcd` that is elsewhere in `PATH` takes the place of Debian's, with the
//! other programs of its folder; the story of an upgrade has the folders of later versions by
//! `KPROD_TEST_ETCDS`.

#![allow(clippy::print_stderr, reason = "what is left out is told, and what machines said")]

pub(crate) mod disk;
pub(crate) mod dns;
pub(crate) mod machine;
pub(crate) mod pki;
mod scene;
mod stories;
pub(crate) mod writer;

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kprod::etcd::names;

/// The namespaces that the whole scene lives in: nothing of it is left behind.
const SCENE: [&str; 7] =
    ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Six and more servers of etcd at once are enough.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The longest story takes four minutes on two busy cores.
const STORY_MAX: Duration = Duration::from_secs(15 * 60);

/// Where clients reach a member, by its name; ports are those of kops.
pub(crate) fn client_url(cluster: &str, etcd: &str, member: &str) -> String {
    let port = if etcd == "events" { 4002 } else { 4001 };
    format!("https://{}:{port}", names::member_host(cluster, etcd, member))
}

/// Runs a story, a test that is left out else, in namespaces of its own.
pub(crate) fn tell(path: &str) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(why) = can_tell() {
        let must = std::env::var("KPROD_TEST_NAMESPACES").is_ok_and(|value| value == "must");
        assert!(!must, "KPROD_TEST_NAMESPACES=must, but {why}");
        eprintln!("skipped: {path}: {why}");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let story = ["--exact", path, "--ignored"];
    let known = Command::new(&program).args(story).arg("--list").output().unwrap();
    let known = String::from_utf8_lossy(&known.stdout).into_owned();
    assert!(known.contains(&format!("{path}: test")), "there is no {path}");
    let mut scene = Command::new(SCENE[0])
        .args(&SCENE[1..])
        .arg(program)
        .args(story)
        .args(["--nocapture", "--test-threads=1"])
        .spawn()
        .unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = scene.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > STORY_MAX {
            scene.kill().unwrap();
            scene.wait().unwrap();
            panic!("{path} has not ended after {STORY_MAX:?}");
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(status.success(), "{path}: {status}");
}

/// Whether this machine lets namespaces, bridges and loop devices be made, and has etcd.
fn can_tell() -> Result<(), String> {
    let try_it = "ip link add b0 type bridge && losetup -f && \
                  for tool in etcd etcdctl mkfs.ext4 blkid; do command -v $tool || exit 1; done";
    let tried = Command::new(SCENE[0])
        .args(&SCENE[1..])
        .args(["sh", "-c", try_it])
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    match tried.status.success() {
        true => Ok(()),
        false => Err(format!(
            "root, namespaces, loop devices, etcd, etcdctl, mkfs.ext4 and blkid are needed: {}",
            String::from_utf8_lossy(&tried.stderr).trim()
        )),
    }
}

#[test]
fn members_outlive_their_machines_one_after_the_other() {
    tell("etcd::stories::machines::members_outlive_their_machines");
}

#[test]
fn a_member_whose_volume_is_lost_learns_and_without_any_volume_nothing_forms() {
    tell("etcd::stories::machines::volumes_are_lost");
}

#[test]
fn a_machine_that_slept_while_the_cluster_formed_forms_no_other() {
    tell("etcd::stories::machines::a_machine_sleeps");
}

#[test]
fn a_file_system_that_is_not_made_at_once_is_made_later() {
    tell("etcd::stories::machines::a_file_system_is_not_made_at_once");
}

#[test]
fn etcd_of_a_version_that_does_not_fit_starts_on_no_data() {
    tell("etcd::stories::versions::a_program_does_not_fit");
}

#[test]
fn etcd_goes_up_one_minor_version_after_the_other_machine_by_machine() {
    match std::env::var("KPROD_TEST_ETCDS") {
        Ok(_) => tell("etcd::stories::versions::etcd_goes_up"),
        Err(_) => eprintln!("skipped: KPROD_TEST_ETCDS names no folders of later versions of etcd"),
    }
}

#[test]
fn five_members_and_a_cluster_for_events_form_side_by_side() {
    tell("etcd::stories::machines::five_members_form");
}

#[test]
fn a_cluster_that_is_lost_wholly_begins_anew_with_its_snapshot() {
    tell("etcd::stories::snapshots::everything_is_lost");
}

#[test]
fn a_cluster_begins_anew_with_the_one_member_that_is_left() {
    tell("etcd::stories::snapshots::one_member_is_left");
}

#[test]
fn a_snapshot_that_changes_on_its_way_is_noticed_by_whoever_takes_it() {
    tell("etcd::stories::snapshots::snapshots_change_on_their_way");
}
