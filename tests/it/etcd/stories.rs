//! What happens in namespaces of their own; `super::tell` runs each.

mod machines;
mod snapshots;
mod versions;

use std::time::{Duration, Instant};

use kprod::node::etcd::client::Credentials;

use super::scene::Scene;
use super::writer::Writer;

/// Three machines on two cores that boot six members at once.
const BOOT: Duration = Duration::from_secs(180);
/// How long a member may be away before the next thing happens.
const AWAY: Duration = Duration::from_secs(3);

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
