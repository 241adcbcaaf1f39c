//! Snapshots: taken, spoiled, and what a cluster begins anew with.

use kprod::etcd::snapshot::{Tooling, examine};

use super::super::super::apply::STAGING;
use super::super::machine::Slot;
use super::super::scene::{Scene, boot_ms};
use super::super::writer::missing;
use super::{AWAY, BOOT, begin_to_write, form, formed, wait};

/// Everything is lost: machines and volumes. The newest snapshot has a flipped byte, which every member
/// notices, and none forms; with the one before it all comes back that had been written by then.
#[test]
#[ignore = "runs in namespaces of its own"]
fn everything_is_lost() {
    let mut scene = formed(STAGING);
    let urls = scene.urls["main"].clone();
    let (credentials, writer) = begin_to_write(&scene, "main");
    std::thread::sleep(AWAY);
    let (count, _) = writer.stop();
    assert!(count > 0);
    let good = scene.snapshot();
    let bad = scene.snapshot();
    for (etcd, record) in &good {
        assert!(record.etcd_version.minor.major == 3, "{etcd}: {record:?}");
        assert_eq!(record.bytes % 512, 32, "{etcd}: {record:?}");
        // Nothing was ever written to `events` but by its members, once they voted.
        assert!(record.revision > 0, "{etcd}: {record:?}");
    }
    for slot in scene.slots.values_mut() {
        slot.kill();
    }
    scene.flip(&bad["main"].object, 5000);

    let groups: Vec<String> = scene.slots.keys().cloned().collect();
    assert_eq!(scene.restore(&["--from", &bad["main"].name]), Some(6), "it waits for members");
    scene.plug_all();
    let sequence = boot_ms();
    for group in &groups {
        scene.boot(group);
    }
    let notice = |scene: &Scene| {
        let said = scene.slots.values().map(|slot| slot.log());
        said.filter(|said| said.contains("its sum is")).count() == scene.slots.len()
    };
    wait(&scene, notice);
    assert!(!scene.is_anybody_up("main", sequence), "main formed from a snapshot that was changed");
    assert_eq!(scene.epoch("main").cluster_id(), None);

    for slot in scene.slots.values_mut() {
        slot.kill();
    }
    assert_eq!(scene.restore(&["--from", &good["main"].name, "--anew"]), Some(6));
    begin_anew(&mut scene, 3);
    let lost = missing(&credentials, &urls["b"], count);
    assert!(lost.is_empty(), "lost {lost:?} of {count}");
    // Where etcd can have revisions jump, no watch sees one for the second time.
    let jump = Tooling::of(good["main"].etcd_version).unwrap().bump().unwrap_or(0);
    let now = scene.snapshot();
    assert!(now["main"].revision >= good["main"].revision + jump, "{now:?} after {good:?}");
    eprintln!("main: {count} acknowledged writes before the snapshot, all there; a jump of {jump}");
}

/// Two of three machines are lost with their volumes, and the quorum of both etcd clusters with them. A
/// restore asks the member that is left for what it has, and begins anew with it: all that was
/// acknowledged is there.
#[test]
#[ignore = "runs in namespaces of its own"]
fn one_member_is_left() {
    let mut scene = formed(STAGING);
    let urls = scene.urls["main"].clone();
    let (credentials, writer) = begin_to_write(&scene, "main");
    std::thread::sleep(AWAY);
    let (count, _) = writer.stop();
    // The last of them is known to have been agreed on everywhere after a heartbeat.
    std::thread::sleep(AWAY);
    for member in ["b", "c"] {
        let group = scene.group_of("main", member);
        scene.slots.get_mut(&group).unwrap().kill();
    }
    let (code, taken) = scene.restore_from_survivor("a");
    assert_eq!(code, Some(6), "it waits for members");
    for (etcd, record) in &taken {
        assert_eq!(record.member, "a", "{etcd}");
        let begun = scene.epoch(etcd).restored_from.unwrap();
        assert_eq!((&begun.snapshot, &begun.sha256), (&record.object, &record.sha256), "{etcd}");
    }
    let group = scene.group_of("main", "a");
    // The member of the time before stops by itself once it reads the new epoch.
    wait(&scene, |scene| scene.slots[&group].log().contains("of epoch 1"));
    scene.slots.get_mut(&group).unwrap().kill();
    begin_anew(&mut scene, 2);
    let lost = missing(&credentials, &urls["c"], count);
    assert!(count > 0 && lost.is_empty(), "lost {lost:?} of {count}");
    eprintln!("main: {count} acknowledged writes, all there");
}

/// A byte of every snapshot of `main` changes between etcd's answer and the look at it: whoever takes it
/// notices by etcd's own sum, uploads nothing and lists nothing, as often as it happens. The next one is
/// good.
#[test]
#[ignore = "runs in namespaces of its own"]
fn snapshots_change_on_their_way() {
    let scene = Scene::applied(STAGING);
    scene.spoil_disks();
    let scene = form(scene);
    // A machine says nothing twice in a row; what is written in between tells one notice from the next.
    let (_, writer) = begin_to_write(&scene, "main");
    let noticed = |scene: &Scene| {
        let said: Vec<String> = scene.slots.values().map(Slot::log).collect();
        let notice = "no snapshot was taken: the snapshot `just taken` cannot be used: its sum is";
        said.iter().flat_map(|said| said.lines()).filter(|line| line.contains(notice)).count()
    };
    wait(&scene, |scene| noticed(scene) >= 2 && !scene.list("events").snapshots.is_empty());
    assert_eq!(scene.list("main").snapshots, []);
    let stored = scene.stored("main");
    assert!(stored.is_empty(), "{stored:?}");
    assert!(!scene.stored("events").is_empty());
    for member in scene.urls["main"].keys() {
        assert_eq!(scene.report("main", member).unwrap().snapshot_at, None, "{member}");
    }
    let (count, _) = writer.stop();
    assert!(count > 0);
    scene.mend_disks();
    let good = scene.snapshot().remove("main").unwrap();
    let content = examine(scene.object(&good.object).as_slice()).unwrap();
    assert_eq!((content.bytes, content.sha256), (good.bytes, good.sha256));
    eprintln!("main: {} changed snapshots noticed, then a good one", noticed(&scene));
}

/// New machines with the new volumes, until the restore is over.
fn begin_anew(scene: &mut Scene, number: u64) {
    scene.plug_all();
    let groups: Vec<String> = scene.slots.keys().cloned().collect();
    for group in &groups {
        scene.boot(group);
    }
    scene.wait_until_well(BOOT);
    assert_eq!(scene.restore(&[]), Some(0));
    for etcd in scene.urls.keys() {
        let epoch = scene.epoch(etcd);
        assert_eq!((epoch.number, epoch.cluster_id().is_some()), (number, true), "{etcd}");
    }
    assert!(scene.has_empty_plan());
}
