//! Laws of reading and filling, over generated specs.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::super::honour;
use super::super::schema::{self, schema};
use super::super::shape::Shape;
use super::*;

/// Values of a type, spelled as documents do.
fn among<T: serde::de::DeserializeOwned + Clone + std::fmt::Debug + 'static>(
    words: &'static [&'static str],
) -> impl Strategy<Value = T> {
    let values: Vec<T> =
        words.iter().map(|word| serde_json::from_value((*word).into()).unwrap()).collect();
    prop::sample::select(values)
}

fn volume_type() -> impl Strategy<Value = VolumeType> {
    among(&["gp3", "gp2", "io2", "io1", "standard"])
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    // Texts that YAML would take for something else if they lost their quotes.
    let value = among(&["a", "true", "7", "", "null", "1.34", "a: b", "0x1f"]);
    btree_map(among(&["team", "a.b/c", "x", "no", "7"]), value, 0..3)
}

fn amount() -> impl Strategy<Value = Option<IntOrPercent>> {
    of(prop_oneof![
        (0u32..5).prop_map(IntOrPercent::Int),
        (0u32..=100).prop_map(IntOrPercent::Percent)
    ])
}

fn span() -> impl Strategy<Value = Option<Span>> {
    of((0u64..1 << 40).prop_map(|secs| Span { secs }))
}

fn rollout() -> impl Strategy<Value = RollingUpdateSpec> {
    let amounts = (amount(), amount(), amount());
    let spans = vec(span(), 8);
    let words = (of(any::<bool>()), of(any::<bool>()), of(0u32..3));
    let outcome = of(prop_oneof![
        Just(DrainTimeoutAction::Fail),
        Just(DrainTimeoutAction::Skip),
        Just(DrainTimeoutAction::Force)
    ]);
    (amounts, spans, words, outcome).prop_map(|(amounts, spans, words, on_drain_timeout)| {
        RollingUpdateSpec {
            drain_and_terminate: words.0,
            max_unavailable: amounts.0,
            max_surge: amounts.1,
            max_unavailable_per_zone: amounts.2,
            drain_timeout: spans[0],
            on_drain_timeout,
            post_drain_delay: spans[1],
            deregister_timeout: spans[2],
            boot_timeout: spans[3],
            validate_timeout: spans[4],
            soak: spans[5],
            canary: words.2,
            canary_soak: spans[6],
            delete_bare_pods: words.1,
            max_node_age: spans[7],
        }
    })
}

fn cluster_rollout() -> impl Strategy<Value = ClusterRollingUpdateSpec> {
    let overall = (amount(), amount(), of(0u32..=100)).prop_map(
        |(max_unavailable, max_unavailable_per_zone, failure_percent)| OverallRolloutSpec {
            max_unavailable,
            max_unavailable_per_zone,
            failure_percent,
        },
    );
    let repair = (span(), of(0u32..9), of(0u32..=100)).prop_map(
        |(broken_for, at_once, halt_above_percent)| RepairSpec {
            broken_for,
            at_once,
            halt_above_percent,
        },
    );
    (rollout(), of(overall), of(repair), span(), of(any::<bool>())).prop_map(
        |(group, overall, repair, snapshot_age_max, one_member_downtime)| {
            let mut cluster: ClusterRollingUpdateSpec =
                serde_json::from_value(serde_json::to_value(&group).unwrap()).unwrap();
            (cluster.overall, cluster.repair) = (overall, repair);
            cluster.snapshot_age_max = snapshot_age_max;
            cluster.one_member_downtime = one_member_downtime;
            cluster
        },
    )
}

fn mix() -> impl Strategy<Value = MixedInstancesPolicySpec> {
    let strategy = among(&["lowest-price", "price-capacity-optimized", "diversified"]);
    let memory = || of(among(&["8Gi", "8G", "1048577"]));
    let cpu = (of(among(&["2"])), of((0u16..9).prop_map(CpuCount)));
    let wanted =
        (of(cpu), of((memory(), memory()))).prop_map(|(cpu, memory)| InstanceRequirementsSpec {
            cpu: cpu.map(|(min, max)| CpuRangeSpec { min, max }),
            memory: memory.map(|(min, max)| MemoryRangeSpec { min, max }),
            excluded_instance_types: vec!["c5*".to_owned()],
        });
    let types = (vec(among(&["m5.large", "m6i.large"]), 0..3), of(wanted));
    (types, of(0u32..9), of(0u32..=100), of(strategy)).prop_map(
        |(types, on_demand_base, on_demand_above_base, spot_allocation_strategy)| {
            MixedInstancesPolicySpec {
                instances: types.0,
                instance_requirements: types.1,
                on_demand_base,
                on_demand_above_base,
                spot_allocation_strategy,
                ..Default::default()
            }
        },
    )
}

fn group_spec() -> impl Strategy<Value = InstanceGroupSpec> {
    let volume = (volume_type(), of(0u32..9000)).prop_map(|(volume_type, iops)| VolumeSpec {
        device: "/dev/xvdd".to_owned(),
        size: 8,
        volume_type: Some(volume_type),
        iops,
        throughput: None,
        encrypted: None,
        key: None,
        delete_on_termination: None,
    });
    let where_ = (
        vec(among(&["a", "b", "utility-a", "nowhere"]), 0..3),
        vec(among(&["eu-west-3a", "eu-west-3b", "eu-west-3c"]), 0..2),
    );
    let what = (among(&["ControlPlane", "Node", "Etcd", "Bastion"]), of(0u32..9), of(0u32..9));
    let disks = (of(volume_type()), of(0u32..9000), vec(volume, 0..2));
    let rest =
        (of(mix()), of(rollout()), labels(), of((0u64..1 << 40).prop_map(|secs| Span { secs })));
    (what, where_, disks, rest).prop_map(|(what, where_, disks, rest)| {
        let mut spec = InstanceGroupSpec::new(what.0);
        (spec.min_size, spec.max_size) = (what.1, what.2);
        (spec.subnets, spec.zones) = where_;
        (spec.root_volume_type, spec.root_volume_iops, spec.volumes) = disks;
        (spec.mixed_instances_policy, spec.rolling_update, spec.node_labels, _) = rest.clone();
        spec.max_instance_lifetime = rest.3;
        spec.cloud_labels = rest.2;
        spec
    })
}

/// Specs that need not pass any check, for laws that hold of all.
fn specs() -> impl Strategy<Value = Spec> {
    let cidr = || of(among(&["10.0.0.0/8", "100.64.0.0/10", "10.1.0.0/31", "fd00::/64"]));
    let members = vec((of(volume_type()), of(0u32..9000), of(any::<bool>())), 0..3);
    let words =
        (of(among(&["example.com"])), of(among(&["s3://b/c", "s3://b/"])), of(cluster_rollout()));
    let names = vec(among::<String>(&["nodes", "x.y", "true", "12"]), 0..3);
    let groups = vec(group_spec(), 3);
    (cidr(), cidr(), members, words, any::<bool>(), names, groups).prop_map(
        |(whole, pods, members, words, in_vpc, names, groups)| {
            let mut spec = parse(documents(KOPS), Strictness::Strict).spec.unwrap();
            let cluster = &mut spec.cluster.spec;
            (cluster.non_masquerade_cidr, cluster.pod_cidr) = (whole, pods);
            (cluster.dns_zone, cluster.config_base, cluster.rolling_update) = words;
            if in_vpc {
                let amazonvpc = Some(NoOptions {});
                cluster.networking = Some(NetworkingSpec { amazonvpc, ..Default::default() });
            }
            let member = |(volume_type, volume_iops, encrypted_volume)| EtcdMemberSpec {
                volume_type,
                volume_iops,
                encrypted_volume,
                ..Default::default()
            };
            cluster.etcd_clusters[0].etcd_members = members.into_iter().map(member).collect();
            for (name, group) in names.into_iter().zip(groups) {
                let metadata = Metadata { name: name.clone(), ..Default::default() };
                spec.groups.insert(name, InstanceGroup { metadata, spec: group });
            }
            spec
        },
    )
}

fn written(spec: &Spec) -> String {
    let texts: Vec<String> = spec.to_documents().iter().map(yaml::to_text).collect();
    texts.join("---\n")
}

proptest! {
    #[test]
    fn filling_twice_is_filling_once(mut spec in specs()) {
        fill(&mut spec);
        let once = spec.clone();
        fill(&mut spec);
        prop_assert_eq!(spec, once);
    }

    #[test]
    fn filling_changes_nothing_that_was_said(spec in specs()) {
        let mut filled = spec.clone();
        fill(&mut filled);
        for (before, after) in spec.to_documents().iter().zip(filled.to_documents()) {
            prop_assert!(is_within(before, &after), "{before}\n{after}");
        }
    }

    #[test]
    fn a_written_spec_reads_back_the_same(mut spec in specs(), filled: bool) {
        if filled {
            fill(&mut spec);
        }
        let parsed = parse(documents(&written(&spec)), Strictness::Strict);
        prop_assert_eq!(lines(&parsed.findings), [""; 0]);
        prop_assert_eq!(parsed.spec.unwrap(), spec);
    }

    #[test]
    fn checks_of_any_spec_end_and_name_a_field(mut spec in specs()) {
        fill(&mut spec);
        for finding in check(&spec) {
            prop_assert!(finding.field.is_some(), "{}", line_of(&finding));
        }
    }
}

/// Whether every value of a tree stands in another one, which may say more.
fn is_within(tree: &serde_json::Value, other: &serde_json::Value) -> bool {
    match (tree, other) {
        (serde_json::Value::Object(tree), serde_json::Value::Object(other)) => tree
            .iter()
            .all(|(key, value)| other.get(key).is_some_and(|other| is_within(value, other))),
        (serde_json::Value::Array(tree), serde_json::Value::Array(other)) => {
            tree.len() == other.len()
                && tree.iter().zip(other).all(|(tree, other)| is_within(tree, other))
        }
        _ => tree == other,
    }
}

#[test]
fn a_filled_spec_passes_its_checks_again() {
    let spec = read(documents(KOPS), Strictness::Strict).spec.unwrap();
    let again = read(documents(&written(&spec)), Strictness::Strict);
    assert_eq!(lines(&again.findings), [""; 0]);
    assert_eq!(again.spec.unwrap(), spec);
}

/// The shape below a dotted path; lists count as what they hold.
fn below<'s>(shape: &'s Shape, path: &[&str]) -> Option<&'s Shape> {
    match (shape, path) {
        (Shape::List(item), _) => below(item, path),
        (shape, []) => Some(shape),
        (Shape::Object { fields, .. }, [key, rest @ ..]) => below(fields.get(*key)?, rest),
        _ => None,
    }
}

#[test]
fn what_is_not_honoured_is_not_in_the_schema_and_its_parent_is() {
    for entry in honour::NOT_HONOURED {
        let path: Vec<&str> = entry.path.split('.').collect();
        let (key, parent) = path.split_last().unwrap();
        let shape = schema::shape(entry.kind);
        let Some(Shape::Object { fields, .. }) = below(&shape, parent) else {
            panic!("{} is below nothing that kprod knows", entry.path);
        };
        assert!(!fields.contains_key(*key), "{} is honoured", entry.path);
    }
}

#[test]
fn the_schema_explains_every_field_and_refuses_others() {
    fn visit(schema: &serde_json::Value, path: &str, seen: &mut usize) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let described = property["description"].is_string();
            assert!(described, "{path}.{key} has no description");
            *seen += 1;
        }
        if schema["properties"].is_object() {
            assert_eq!(schema["additionalProperties"], false, "{path} takes anything");
        }
    }
    let schema = schema();
    let mut seen = 0;
    for kind in schema["oneOf"].as_array().unwrap() {
        visit(kind, "document", &mut seen);
    }
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        visit(definition, name, &mut seen);
    }
    assert!(seen > 150, "only {seen} fields in the schema");
}

#[test]
fn every_field_of_a_filled_spec_is_in_the_schema() {
    fn visit(value: &serde_json::Value, shape: &Shape, path: &str) {
        match (value, shape) {
            (serde_json::Value::Object(map), Shape::Object { fields, .. }) => {
                for (key, value) in map {
                    let shape = fields.get(key).unwrap_or_else(|| panic!("no {path}.{key}"));
                    visit(value, shape, &format!("{path}.{key}"));
                }
            }
            (serde_json::Value::Array(items), Shape::List(item)) => {
                items.iter().for_each(|value| visit(value, item, path));
            }
            _ => {}
        }
    }
    // Unlike `to_documents`, serde writes fields that hold nothing too: all there are.
    let spec = read(documents(KOPS), Strictness::Strict).spec.unwrap();
    let cluster = serde_json::to_value(&spec.cluster).unwrap();
    visit(&cluster, &schema::shape(Kind::Cluster), "Cluster");
    for group in spec.groups.values() {
        let group = serde_json::to_value(group).unwrap();
        visit(&group, &schema::shape(Kind::InstanceGroup), "InstanceGroup");
    }
}
