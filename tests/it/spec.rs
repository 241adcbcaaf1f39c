//! The fleets of this repository, rendered and read as specs.

use std::path::Path;

use kprod::source::{Limits, LoadLimits, load, render};
use kprod::spec::{Role, Spec, Strictness, read};

fn spec_of(root: &str, cluster: &str) -> Spec {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let tree = load(&root, &LoadLimits::default());
    let rendered = render(&tree, cluster, &[], &Limits::default());
    assert_eq!(rendered.findings, [], "{cluster} does not render");
    let parsed = read(rendered.documents, Strictness::Strict);
    assert_eq!(parsed.findings, [], "{cluster} is not right");
    parsed.spec.unwrap()
}

#[test]
fn the_fleets_read_without_findings() {
    let staging = spec_of("", "staging.k8s.example.com");
    assert!(!staging.dedicated_etcd());
    assert_eq!(staging.groups_of(Role::ControlPlane).count(), 3);

    let prod = spec_of("", "prod.k8s.example.com");
    assert!(prod.dedicated_etcd());
    let control_plane = prod.groups_of(Role::ControlPlane).next().unwrap();
    assert_eq!(prod.zones_of(control_plane).len(), 3);
    let members = |name: &str| {
        let clusters = prod.cluster.spec.etcd_clusters.iter();
        clusters.filter(|etcd| etcd.name == name).map(|etcd| etcd.etcd_members.len()).sum::<usize>()
    };
    assert_eq!((members("main"), members("events")), (5, 3));

    spec_of("examples/minimal", "dev.k8s.example.com");
}
