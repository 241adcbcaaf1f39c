//! What happens in namespaces of their own; `super::tell` runs each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kprod::etcd::report::MemberReport;
use kprod::etcd::snapshot::{Tooling, examine};
use kprod::etcd::{DataVersion, Minor};
use kprod::node::etcd::client::Credentials;

use super::super::apply::{PROD, STAGING};
use super::machine::Slot;
use super::scene::{Scene, boot_ms, usual_programs, version_of};
use super::writer::{Writer, missing};

/// Three machines on two cores that boot six members at once.
const BOOT: Duration = Duration::from_secs(180);
/// How long a member may be away before the next thing happens.
const AWAY: Duration = Duration::from_secs(3);

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

/// Waits until something is so.
fn wait(scene: &Scene, is_so: impl Fn(&Scene) -> bool) {
    let began = Instant::now();
    while !is_so(scene) {
        if began.elapsed() > BOOT {
            scene.show();
            panic!("it does not come to that");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
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

/// Five members of `main` and three of `events`, on machines that host one or two.
#[test]
#[ignore = "runs in namespaces of its own"]
fn five_members_form() {
    let scene = formed(PROD);
    assert_eq!(scene.urls.values().map(BTreeMap::len).collect::<Vec<_>>(), [3, 5]);
}

/// A cluster whose members are well.
fn formed(cluster: &'static str) -> Scene {
    form(Scene::applied(cluster))
}

/// Boots the machines of a cluster that is applied, and waits until its members are well.
fn form(mut scene: Scene) -> Scene {
    let groups: Vec<String> = scene.slots.keys().cloned().collect();
    let began = Instant::now();
    for group in &groups {
        scene.boot(group);
    }
    scene.wait_until_well(BOOT);
    eprintln!("{} machines formed in {:?}", groups.len(), began.elapsed());
    for etcd in scene.urls.keys() {
        assert!(scene.epoch(etcd).cluster_id().is_some(), "{etcd}");
    }
    assert!(scene.has_empty_plan());
    scene
}

/// A client that writes to an etcd cluster, by whichever member answers, and what it shows to them.
fn begin_to_write(scene: &Scene, etcd: &str) -> (Credentials, Writer) {
    let credentials = scene.client(etcd);
    let writer = Writer::start(&credentials, scene.urls[etcd].values().cloned().collect());
    (credentials, writer)
}

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
