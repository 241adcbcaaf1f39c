//! Machines that are destroyed, lose their volumes or sleep.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use kprod::node::etcd::client::Credentials;

use super::super::super::apply::{PROD, STAGING};
use super::super::scene::{Scene, boot_ms};
use super::super::writer::{Writer, last_voter, missing};
use super::{AWAY, BOOT, begin_to_write, form, formed, wait};

/// Three machines, each with a member of `main` and of `events`, form both clusters by SRV and TLS. A
/// client writes on while each machine in turn is destroyed and comes back with volumes and address.
#[test]
#[ignore = "runs in namespaces of its own"]
fn members_outlive_their_machines() {
    let mut scene = formed(STAGING);
    let groups: Vec<String> = scene.slots.keys().cloned().collect();
    let etcds: Vec<String> = scene.urls.keys().cloned().collect();
    let writers: Vec<(Credentials, Writer)> =
        etcds.iter().map(|etcd| begin_to_write(&scene, etcd)).collect();
    let terms = |scene: &Scene| -> BTreeMap<String, u64> {
        let term = |etcd: &String| {
            let members = scene.urls[etcd].keys();
            members.filter_map(|member| scene.report(etcd, member)).map(|report| report.term).max()
        };
        etcds.iter().map(|etcd| (etcd.clone(), term(etcd).unwrap())).collect()
    };
    for group in &groups {
        let before = terms(&scene);
        scene.slots.get_mut(group).unwrap().kill();
        std::thread::sleep(AWAY);
        scene.boot(group);
        scene.wait_until_well(BOOT);
        for (etcd, term) in terms(&scene) {
            let changes = term - before[&etcd];
            assert!(changes <= 1, "{etcd}: {changes} changes of term while {group} was away");
        }
    }
    for (etcd, (credentials, writer)) in etcds.iter().zip(writers) {
        assert!(writer.written() > 0);
        let (count, longest) = writer.stop();
        for url in scene.urls[etcd].values() {
            let member = last_voter(&credentials, url);
            assert!(scene.urls[etcd].contains_key(&member), "{etcd}: `{member}` came to vote last");
            let lost = missing(&credentials, url, count);
            assert!(lost.is_empty(), "{etcd}: {url} lost {lost:?} of {count}");
        }
        eprintln!("{etcd}: {count} acknowledged writes, all there; the longest took {longest:?}");
    }
}

/// A machine loses the volume of `main`: its member joins as a learner, gets its vote, and has all that
/// was written. Then every volume of `main` is lost, and all machines start together: nothing forms,
/// while `events`, whose volumes are there, comes back.
#[test]
#[ignore = "runs in namespaces of its own"]
fn volumes_are_lost() {
    let mut scene = formed(STAGING);
    let urls = scene.urls["main"].clone();
    let (credentials, writer) = begin_to_write(&scene, "main");
    std::thread::sleep(AWAY);
    let group = scene.group_of("main", "a");
    scene.slots.get_mut(&group).unwrap().kill();
    scene.lose_volume(&group, "main", "a");
    scene.boot(&group);
    scene.wait_until_well(BOOT);
    let (count, longest) = writer.stop();
    let said = scene.slots[&group].log();
    assert!(said.contains("main member a: joins as a learner: its data is lost"), "{said}");
    let lost = missing(&credentials, &urls["a"], count);
    assert!(count > 0 && lost.is_empty(), "lost {lost:?} of {count}");
    eprintln!("main: {count} acknowledged writes, all there; the longest took {longest:?}");

    let epoch = scene.epoch("main");
    let members: Vec<(String, String)> =
        urls.keys().map(|member| (scene.group_of("main", member), member.clone())).collect();
    for slot in scene.slots.values_mut() {
        slot.kill();
    }
    let sequence = boot_ms();
    for (group, member) in &members {
        scene.lose_volume(group, "main", member);
        scene.boot(group);
    }
    let began = Instant::now();
    while began.elapsed() < BOOT
        && !scene.urls["events"].keys().all(|member| {
            let report = scene.report("events", member);
            report.is_some_and(|report| report.sequence > sequence && report.is_healthy)
        })
    {
        assert!(!scene.is_anybody_up("main", sequence));
        std::thread::sleep(Duration::from_millis(500));
    }
    std::thread::sleep(3 * AWAY);
    assert!(scene.is_anybody_up("events", sequence));
    assert!(!scene.is_anybody_up("main", sequence));
    assert_eq!(scene.epoch("main"), epoch);
    for (group, member) in &members {
        let said = scene.slots[group].log();
        let waits = format!("main member {member}: waits: the cluster has formed, and no other");
        assert!(said.contains(&waits), "{said}");
    }
}

/// A machine falls asleep when it has just begun to form the cluster; the others form it without it.
/// When it wakes up, it belongs to theirs.
#[test]
#[ignore = "runs in namespaces of its own"]
fn a_machine_sleeps() {
    let mut scene = Scene::applied(STAGING);
    let groups: Vec<String> = scene.slots.keys().cloned().collect();
    let (sleeper, others) = groups.split_first().unwrap();
    scene.boot(sleeper);
    let began = Instant::now();
    while scene.slots[sleeper].log().matches("forms the epoch's cluster").count() < 2 {
        assert!(began.elapsed() < BOOT, "{}", scene.slots[sleeper].log());
        std::thread::sleep(Duration::from_millis(50));
    }
    scene.freeze(sleeper);
    for group in others {
        scene.boot(group);
    }
    // Two of three form.
    wait(&scene, |scene| scene.urls.keys().all(|etcd| scene.epoch(etcd).cluster_id().is_some()));
    let formed: Vec<_> = scene.urls.keys().map(|etcd| scene.epoch(etcd)).collect();
    scene.slots[sleeper].thaw();
    scene.wait_until_well(BOOT);
    let now: Vec<_> = scene.urls.keys().map(|etcd| scene.epoch(etcd)).collect();
    assert_eq!(now, formed);
}

/// Five members of `main` and three of `events`, on machines that host one or two.
#[test]
#[ignore = "runs in namespaces of its own"]
fn five_members_form() {
    let scene = formed(PROD);
    assert_eq!(scene.urls.values().map(BTreeMap::len).collect::<Vec<_>>(), [3, 5]);
}

/// On each machine the first file system is not made, right after its volume was marked: the machine has noted
/// that it had begun, and makes it at the next attempt.
#[test]
#[ignore = "runs in namespaces of its own"]
fn a_file_system_is_not_made_at_once() {
    let scene = Scene::applied(STAGING);
    for slot in scene.slots.values() {
        let mkfs = slot.folder.join("mkfs.ext4");
        fs::write(&mkfs, include_str!("../mkfs.sh")).unwrap();
        fs::set_permissions(&mkfs, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let scene = form(scene);
    for slot in scene.slots.values() {
        let said = slot.log();
        assert!(said.contains("mkfs.ext4 -q") && said.contains("no luck"), "{said}");
        assert!(!said.contains("does not start"), "{said}");
    }
}
