//! Plans as they are read, at 80 columns.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::cloud::Observation;
use crate::plan::sample::{applied, edit, empty_world, full_cluster, make_foreign, second_look};
use crate::plan::{PlanOptions, make};
use crate::resource::{Key, ResourceSet};
use crate::ui::{Style, json};

const VIEW: PlanView = PlanView { width: 80, style: Style::plain(), verbose: false };

fn address(text: &str) -> Key {
    text.parse().unwrap()
}

/// The text of a plan; every line of it fits, values that nobody can break apart excepted.
fn text(desired: &ResourceSet, world: &Observation, options: &PlanOptions) -> String {
    let text = plan(&make(desired, world, options), VIEW);
    for line in text.lines() {
        assert!(line.chars().count() <= 80 || !line.trim().contains(' '), "{line}");
        assert_eq!(line, line.trim_end());
    }
    text
}

#[test]
fn a_new_cluster() {
    let options = PlanOptions::default();
    insta::assert_snapshot!(text(&full_cluster(), &empty_world(), &options));
}

#[test]
fn nothing_to_do() {
    let desired = full_cluster();
    insta::assert_snapshot!(text(&desired, &applied(&desired), &PlanOptions::default()));
}

/// A changed day: new content, a lower maximum, drift, a foreign resource, a leftover.
fn changed_day() -> (ResourceSet, Observation) {
    let before = full_cluster();
    let mut world = applied(&before);
    let template = address("launch_template/nodes.test.example.com");
    let mut desired = edit(&before, &template, |value| {
        let data = &mut value["launch_template_data"];
        data["image_id"] = "ami-4567".into();
        data["user_data"] = "#cloud-config\nruncmd:\n  - echo two\n".into();
        data["block_device_mappings"][0]["volume_size"] = 100.into();
    });
    second_look(&desired, &before, &mut world);
    desired = edit(&desired, &address("auto_scaling_group/nodes.test.example.com"), |value| {
        value["max_size"] = 1.into();
        value["min_size"] = 1.into();
        value["mixed_instances_policy"]["overrides"] = serde_json::json!(["m5a.large", "m5.large"]);
        value["tags"]["env"] = serde_json::json!({"value": "test", "propagate_at_launch": true});
    });
    drift(&mut world, "security_group_rules/nodes.test.example.com", |value| {
        value["rules"][0]["from_port"] = 22.into();
        value["rules"][0]["to_port"] = 22.into();
    });
    drift(&mut world, "role/nodes.test.example.com", |value| {
        let policy = &mut value["inline_policies"]["nodes.test.example.com"];
        policy["Statement"][0]["Action"] = "*".into();
        value["tags"]["team"] = "others".into();
    });
    make_foreign(&mut world, &address("target_group/tcp-test"));
    desired.remove(&address("volume/a.etcd-main.test.example.com"));
    (desired, world)
}

fn drift(world: &mut Observation, key: &str, change: impl FnOnce(&mut Value)) {
    let key = address(key);
    let observed = world.resources.get_mut(&key).unwrap();
    let mut value = observed.resource.to_value();
    change(&mut value);
    observed.resource = crate::resource::Resource::from_value(key.kind, value).unwrap();
}

#[test]
fn a_changed_day_in_text() {
    let (desired, world) = changed_day();
    insta::assert_snapshot!(text(&desired, &world, &PlanOptions::default()));
}

#[test]
fn a_changed_day_in_json() {
    let (desired, world) = changed_day();
    let mut value = json::plan(&make(&desired, &world, &PlanOptions::default()));
    value["kprod_version"] = "[version]".into();
    for resource in value["resources"].as_array_mut().unwrap() {
        // The fields have their own tests; whole resources would drown the form.
        assert!(resource["before"].is_object() || resource["after"].is_object());
        resource["before"] = "[fields]".into();
        resource["after"] = "[fields]".into();
    }
    insta::assert_json_snapshot!(value);
}

#[test]
fn a_destroyed_cluster() {
    let desired = full_cluster();
    let options = PlanOptions { destroy: true, ..PlanOptions::default() };
    insta::assert_snapshot!(text(&desired, &applied(&desired), &options));
}

#[test]
fn verbose_shows_every_field_and_colours_change_no_word() {
    let all = make(&full_cluster(), &empty_world(), &PlanOptions::default());
    let verbose = plan(&all, PlanView { verbose: true, ..VIEW });
    for change in &all.changes {
        let Some(Value::Object(fields)) = change.after.as_ref().map(|after| after.to_value())
        else {
            panic!()
        };
        for name in fields.keys() {
            assert!(verbose.contains(&format!("      {name}:")), "{} {name}", change.address);
        }
    }
    let colored = plan(&all, PlanView { style: Style::colored(), ..VIEW });
    let mut words = String::new();
    let mut parts = colored.split('\u{1b}');
    words.push_str(parts.next().unwrap());
    for part in parts {
        words.push_str(part.split_once('m').unwrap().1);
    }
    assert_eq!(words, plan(&all, VIEW));
}

#[test]
fn a_long_difference_is_cut_with_a_count() {
    let before = full_cluster();
    let mut world = applied(&before);
    let lines = |word: &str| (0..60).map(|n| format!("{word} {n}\n")).collect::<String>();
    let template = address("launch_template/nodes.test.example.com");
    let desired = edit(&before, &template, |value| {
        value["launch_template_data"]["user_data"] = lines("new").into();
    });
    second_look(&desired, &before, &mut world);
    let text = text(&desired, &world, &PlanOptions::default());
    assert!(text.contains("        ... and 33 more (--verbose)"), "{text}");
    let only = BTreeSet::from([template]);
    let options = PlanOptions { only, ..PlanOptions::default() };
    assert!(self::text(&desired, &world, &options).contains("limited to launch_template/"));
}
