//! Programs of several versions of etcd.

use kprod::etcd::report::MemberReport;
use kprod::etcd::{DataVersion, Minor};

use super::super::super::apply::STAGING;
use super::super::machine::Slot;
use super::super::scene::{Scene, boot_ms, usual_programs, version_of};
use super::super::writer::missing;
use super::{AWAY, BOOT, begin_to_write, formed, wait};

/// A member whose cluster has reached the minor version above its program's does not start, and goes on as
/// before once it is at that of its program again; where all that is known is two below, nobody of the
/// cluster starts.
#[test]
#[ignore = "runs in namespaces of its own"]
fn a_program_does_not_fit() {
    let mut scene = formed(STAGING);
    let program = version_of(&usual_programs());
    let runs = program.minor;
    let (above, below) = (Minor::of_three(runs.minor + 1), Minor::of_three(runs.minor - 2));
    let is_decided = |scene: &Scene| {
        scene.urls["main"].keys().all(|member| {
            let report = scene.report("main", member).unwrap();
            assert_eq!(report.version.unwrap().minor, runs);
            report.cluster_version == Some(runs)
        })
    };
    wait(&scene, is_decided);
    let group = scene.group_of("main", "a");
    let note = |scene: &Scene, member: &str, cluster: Minor| {
        scene.open_volume("main", member, |folder| {
            let file = folder.join("version.json");
            let mut noted: DataVersion =
                serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            noted.cluster = cluster;
            std::fs::write(&file, serde_json::to_vec(&noted).unwrap()).unwrap();
        });
    };
    scene.slots.get_mut(&group).unwrap().kill();
    scene.open_volume("main", "a", |folder| {
        let noted = std::fs::read(folder.join("version.json")).unwrap();
        assert_eq!(serde_json::from_slice::<DataVersion>(&noted).unwrap().cluster, runs);
    });
    note(&scene, "a", above);
    let sequence = boot_ms();
    scene.boot(&group);
    let refused = format!(
        "main member a: does not start: its program is etcd {program}, and the cluster is at version \
         {above} already"
    );
    wait(&scene, |scene| scene.slots[&group].log().contains(&refused));
    std::thread::sleep(AWAY);
    assert!(!scene.report("main", "a").is_some_and(|it| it.sequence > sequence && it.is_healthy));
    scene.slots.get_mut(&group).unwrap().kill();
    note(&scene, "a", runs);
    scene.boot(&group);
    scene.wait_until_well(BOOT);

    let members: Vec<(String, String)> = scene.urls["main"]
        .keys()
        .map(|member| (scene.group_of("main", member), member.clone()))
        .collect();
    scene.slots.values_mut().for_each(Slot::kill);
    let sequence = boot_ms();
    for (group, member) in &members {
        note(&scene, member, below);
        scene.boot(group);
    }
    let refused =
        format!("and the cluster is at version {below}: etcd goes up one minor version at a time");
    wait(&scene, |scene| {
        members.iter().all(|(group, _)| scene.slots[group].log().contains(&refused))
    });
    std::thread::sleep(AWAY);
    assert!(!scene.is_anybody_up("main", sequence));
}

/// Every machine in turn is destroyed and comes back with its volumes, its address and the next minor
/// version of etcd, until all have the last of those that are given; a client writes on. The cluster
/// version rises with the last machine, each version takes snapshots, and none goes back.
#[test]
#[ignore = "runs in namespaces of its own"]
fn etcd_goes_up() {
    let later = std::env::var("KPROD_TEST_ETCDS").unwrap();
    let mut scene = formed(STAGING);
    let groups: Vec<String> = scene.slots.keys().cloned().collect();
    let (credentials, writer) = begin_to_write(&scene, "main");
    let mut programs = usual_programs();
    for next in std::env::split_paths(&later) {
        let (old, new) = (version_of(&programs), version_of(&next));
        assert_eq!(new.minor.minor, old.minor.minor + 1, "{old} and {new}");
        for (replaced, group) in groups.iter().enumerate() {
            let is_at =
                |minor| move |scene: &Scene| all(scene, |it| it.cluster_version == Some(minor));
            wait(&scene, is_at(old.minor));
            let slot = scene.slots.get_mut(group).unwrap();
            slot.kill();
            slot.bring(&next);
            std::thread::sleep(AWAY);
            scene.boot(group);
            scene.wait_until_well(BOOT);
            if replaced + 1 == groups.len() {
                wait(&scene, is_at(new.minor));
            }
        }
        wait(&scene, |scene| all(scene, |report| report.version == Some(new)));
        for (etcd, record) in scene.snapshot() {
            assert_eq!(record.etcd_version, new, "{etcd}");
        }
        let group = &groups[0];
        let slot = scene.slots.get_mut(group).unwrap();
        slot.kill();
        slot.bring(&programs);
        scene.boot(group);
        let refused = format!(
            "its program is etcd {old}, and the cluster is at version {} already",
            new.minor
        );
        wait(&scene, |scene| scene.slots[group].log().contains(&refused));
        let slot = scene.slots.get_mut(group).unwrap();
        slot.kill();
        slot.bring(&next);
        scene.boot(group);
        scene.wait_until_well(BOOT);
        eprintln!("from {old} to {new}, {} writes so far", writer.written());
        programs = next;
    }
    let (count, longest) = writer.stop();
    for url in scene.urls["main"].values() {
        let lost = missing(&credentials, url, count);
        assert!(count > 0 && lost.is_empty(), "{url} lost {lost:?} of {count}");
    }
    eprintln!("main: {count} acknowledged writes, all there; the longest took {longest:?}");
}

/// Whether something is true of the newest report of every member.
fn all(scene: &Scene, is_so: impl Fn(&MemberReport) -> bool) -> bool {
    scene.urls.iter().all(|(etcd, members)| {
        members.keys().all(|member| scene.report(etcd, member).is_some_and(|report| is_so(&report)))
    })
}
