//! Launch template versions: which are read, what rolls, what does not.

use std::collections::BTreeMap;

use super::super::sample::{applied, edit, full_cluster, second_look};
use super::*;
use crate::cloud::VersionFacts;
use crate::resource::LaunchTemplateData;

/// The content of the sample's template in a world, references known.
fn content(desired: &ResourceSet, world: &Observation) -> LaunchTemplateData {
    let known = |key: &Key, attribute| world.attribute(key, attribute);
    let Resource::LaunchTemplate(template) = desired[&address(TEMPLATE)].resolve(&known).unwrap()
    else {
        panic!()
    };
    template.launch_template_data
}

fn new_image(before: &ResourceSet) -> ResourceSet {
    edit(before, &address(TEMPLATE), |value| {
        value["launch_template_data"]["image_id"] = "ami-new".into();
    })
}

/// Adds a version with this content to the world, as a run does that is killed before naming it.
fn add_version(world: &mut Observation, number: u64, data: &LaunchTemplateData) {
    let facts = VersionFacts { revision: Some(data.revision()), data: data.clone() };
    let versions = BTreeMap::from([(address(TEMPLATE).name, BTreeMap::from([(number, facts)]))]);
    merge_versions(world, versions);
}

#[test]
fn a_new_image_rolls_every_machine_and_says_why() {
    let before = full_cluster();
    let mut world = applied(&before);
    let desired = new_image(&before);
    let wanted = versions_to_read(&desired, &world);
    assert_eq!(wanted, BTreeMap::from([(address(TEMPLATE).name, BTreeSet::from([1]))]));
    second_look(&desired, &before, &mut world);
    assert_eq!(versions_to_read(&desired, &world), BTreeMap::new(), "read once");
    let plan = plan(&desired, &world);
    assert_eq!(addresses(&plan), [TEMPLATE, GROUP]);
    assert_eq!(plan.changes[0].fields.len(), 1, "{:?}", plan.changes[0].fields);
    assert_eq!(plan.changes[0].reason, Reason::SpecChanged);
    assert_eq!(plan.changes[1].reason, Reason::Follows);
    assert_eq!(plan.rollout.machine_count(), 2);
    let causes: Vec<&str> =
        plan.rollout.groups[0].causes.iter().map(|cause| cause.path.as_str()).collect();
    assert_eq!(causes, ["launch_template_data.image_id"]);
}

#[test]
fn tags_of_machines_make_a_version_and_roll_nothing() {
    let before = full_cluster();
    let mut world = applied(&before);
    let desired = edit(&before, &address(TEMPLATE), |value| {
        value["launch_template_data"]["tag_specifications"]["instance"]["env"] = "test".into();
    });
    second_look(&desired, &before, &mut world);
    let plan = plan(&desired, &world);
    assert_eq!(addresses(&plan), [TEMPLATE, GROUP]);
    assert_eq!(plan.rollout, Rollout::default());
    let classes = plan.changes.iter().flat_map(|c| &c.fields).map(|field| field.class);
    assert!(classes.into_iter().all(|class| class == FieldClass::InPlace), "{:?}", plan.changes);
}

#[test]
fn equal_content_under_another_number_rolls_nothing() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    let data = content(&desired, &world);
    let template = world.resources.get_mut(&address(TEMPLATE)).unwrap();
    let facts = template.template.as_mut().unwrap();
    facts.latest_version = 7;
    facts.wanted = Some((7, data.revision(), data.content_digest()));
    // The machines run version 1, which the tag does not name: one look settles it.
    let wanted = versions_to_read(&desired, &world);
    assert_eq!(wanted, BTreeMap::from([(address(TEMPLATE).name, BTreeSet::from([1, 7]))]));
    add_version(&mut world, 1, &data);
    let plan = plan(&desired, &world);
    assert_eq!(plan.rollout.machine_count(), 0);
    assert_eq!(addresses(&plan), [GROUP], "the target tag follows");
}

#[test]
fn a_version_made_by_a_killed_run_is_used() {
    let before = full_cluster();
    let mut world = applied(&before);
    let desired = new_image(&before);
    let (old, new) = (content(&before, &world), content(&desired, &world));
    add_version(&mut world, 1, &old);
    add_version(&mut world, 2, &new);
    let plan = plan(&desired, &world);
    assert_eq!(addresses(&plan), [TEMPLATE, GROUP]);
    assert_eq!(plan.changes[0].existing_version, Some(2));
    let target = plan.changes[1].fields[0].after.as_ref().unwrap().as_str().unwrap();
    assert!(target.starts_with("2:"), "{target}");
    assert_eq!(plan.rollout.machine_count(), 2);
}

#[test]
fn a_template_made_and_never_named_still_changes() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    let data = content(&desired, &world);
    let template = world.resources.get_mut(&address(TEMPLATE)).unwrap();
    template.template.as_mut().unwrap().wanted = None;
    template.digest = None;
    world.resources.remove(&address(GROUP));
    add_version(&mut world, 1, &data);
    let plan = plan(&desired, &world);
    assert_eq!(addresses(&plan), [TEMPLATE, GROUP]);
    assert_eq!(plan.changes[0].existing_version, Some(1));
    assert!(!plan.changes[1].unknown.contains("target"));
}

#[test]
fn machines_on_their_way_out_or_without_a_version() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    let group = world.resources.get_mut(&address(GROUP)).unwrap().group.as_mut().unwrap();
    group.instances[0].launch_template_version = None;
    assert_eq!(plan(&desired, &world).rollout.machine_count(), 1, "attached by hand");
    let group = world.resources.get_mut(&address(GROUP)).unwrap().group.as_mut().unwrap();
    group.instances[0].lifecycle_state = "Terminating:Wait".to_owned();
    assert_eq!(plan(&desired, &world).rollout.machine_count(), 0, "going already");
}

#[test]
fn content_that_waits_for_a_new_resource_rolls_and_is_unknown() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    world.resources.remove(&address("network_interface/etcd-a.test.example.com"));
    assert_eq!(versions_to_read(&desired, &world).len(), 1);
    let old = content(&desired, &applied(&desired));
    add_version(&mut world, 1, &old);
    let plan = plan(&desired, &world);
    let template = plan.changes.iter().find(|c| c.address == address(TEMPLATE)).unwrap();
    assert_eq!(template.reason, Reason::Follows);
    assert_eq!(
        template.unknown,
        BTreeSet::from(["launch_template_data.network_interfaces[0].network_interface_id".into()])
    );
    assert_eq!(plan.rollout.machine_count(), 2);
}

#[test]
fn fields_that_were_not_read_do_not_differ() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    let observed = world.resources.get_mut(&address(GROUP)).unwrap();
    let Resource::AutoScalingGroup(group) = &mut observed.resource else { panic!() };
    group.lifecycle_hooks.clear();
    assert_eq!(addresses(&plan(&desired, &world)), [GROUP]);
    world.resources.get_mut(&address(GROUP)).unwrap().unread.insert("lifecycle_hooks".into());
    assert_eq!(plan(&desired, &world).changes, []);
}

#[test]
fn drift_and_change_are_told_apart() {
    let before = full_cluster();
    let mut world = applied(&before);
    let role = address("role/nodes.test.example.com");
    let Resource::Role(there) = &mut world.resources.get_mut(&role).unwrap().resource else {
        panic!()
    };
    there.attached_policy_arns.insert("arn:aws:iam::aws:policy/AdministratorAccess".into());
    assert_eq!(plan(&before, &world).changes[0].reason, Reason::Drifted);
    let desired = edit(&before, &role, |value| value["permissions_boundary"] = "other".into());
    assert_eq!(plan(&desired, &world).changes[0].reason, Reason::SpecChanged);
}

#[test]
fn tags_of_others_stay_and_ours_go() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    let role = address("role/nodes.test.example.com");
    let Resource::Role(there) = &mut world.resources.get_mut(&role).unwrap().resource else {
        panic!()
    };
    for tag in ["aws:cloudformation:x", "kprod.dev/digest", "kprod.dev/soak", "team"] {
        there.tags.insert(tag.into(), "x".into());
    }
    let quiet = plan(&desired, &world);
    assert_eq!(quiet.changes, []);
    assert_eq!(quiet.findings.len(), 1);
    assert!(quiet.findings[0].message.ends_with("they stay: team"), "{:?}", quiet.findings);
    let Resource::Role(there) = &mut world.resources.get_mut(&role).unwrap().resource else {
        panic!()
    };
    there.tags.insert("k8s.io/role/master".into(), "1".into());
    let plan = plan(&desired, &world);
    assert_eq!(plan.changes[0].fields[0].path, "tags[\"k8s.io/role/master\"]");
    assert_eq!(plan.changes[0].fields.len(), 1);
}
