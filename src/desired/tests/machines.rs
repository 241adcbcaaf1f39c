//! Launch templates, groups, names in DNS and rights, on specs written out.

use serde_json::json;

use super::*;
use crate::boot::Settings;
use crate::cloud::asset;
use crate::facts::ImageFact;
use crate::resource::{Attribute, AutoScalingGroup, Kind, LaunchTemplate, Ref, Resource};
use crate::spec::{UserDataPart, UserDataType};

fn group(desired: &Desired, name: &str) -> AutoScalingGroup {
    match desired.resources.get(&Key::new(Kind::AutoScalingGroup, name)) {
        Some(Resource::AutoScalingGroup(group)) => group.clone(),
        other => panic!("no group {name}: {other:?}"),
    }
}

fn template(desired: &Desired, name: &str) -> LaunchTemplate {
    match desired.resources.get(&Key::new(Kind::LaunchTemplate, name)) {
        Some(Resource::LaunchTemplate(template)) => template.clone(),
        other => panic!("no template {name}: {other:?}"),
    }
}

/// The small cluster with further fields of the group `nodes`.
fn with_nodes(fields: &str) -> String {
    SMALL.replace("minSize: 1, maxSize: 3", fields)
}

#[test]
fn a_host_of_etcd_keeps_its_interface() {
    let desired = build(&spec(SMALL), &Facts::default());
    let name = "control-plane.masters.c.example.com";
    let interface = Key::new(Kind::NetworkInterface, name);
    let template = template(&desired, name).launch_template_data;
    let [main] = template.network_interfaces.as_slice() else { panic!("{template:?}") };
    assert_eq!(main.network_interface_id, Some(Ref::Of(interface.clone(), Attribute::Id)));
    assert!(main.groups.is_empty() && !main.delete_on_termination);
    let group = group(&desired, name);
    assert_eq!(group.availability_zones, BTreeSet::from(["eu-west-3a".to_owned()]));
    assert_eq!(group.vpc_zone_identifier, BTreeSet::new());
    let target_group = Key::new(Kind::TargetGroup, "tcp-internal-c-example-co-fb9huj");
    let registered = BTreeSet::from([Ref::Of(target_group, Attribute::Arn)]);
    assert_eq!(group.target_group_arns, registered);
    let address = Ref::Of(interface, Attribute::PrivateIpAddress);
    let record =
        &desired.resources[&Key::new(Kind::DnsName, "etcd-events-a.internal.c.example.com")];
    assert_eq!(
        record.to_value()["record_sets"],
        json!({
            "A": { "ttl": 60, "resource_records": [address.to_string()] },
        })
    );
}

#[test]
fn services_list_the_peers() {
    let desired = build(&spec(SMALL), &Facts::default());
    let value = |name: &str| {
        let record = &desired.resources[&Key::new(Kind::DnsName, name)].to_value();
        record["record_sets"]["SRV"]["resource_records"].clone()
    };
    assert_eq!(
        value("_etcd-server-ssl._tcp.internal.c.example.com"),
        json!(["0 0 2380 etcd-a.internal.c.example.com"])
    );
    assert_eq!(
        value("_etcd-server-ssl-events._tcp.internal.c.example.com"),
        json!(["0 0 2381 etcd-events-a.internal.c.example.com"])
    );
}

#[test]
fn etcds_volume_carries_the_tags_of_kops() {
    let desired = build(&spec(SMALL), &Facts::default());
    let volume = &desired.resources[&Key::new(Kind::Volume, "a.etcd-main.c.example.com")];
    assert_eq!(
        volume.to_value(),
        json!({
            "availability_zone": "eu-west-3a",
            "size": 20,
            "volume_type": "gp3",
            "iops": 3000,
            "throughput": 125,
            "encrypted": true,
            "tags": {
                "Name": "a.etcd-main.c.example.com",
                "KubernetesCluster": "c.example.com",
                "kubernetes.io/cluster/c.example.com": "owned",
                "kprod.dev/cluster": "c.example.com",
                "k8s.io/etcd/main": "a/a",
                "k8s.io/role/control-plane": "1",
                "k8s.io/role/master": "1",
            },
        })
    );
}

#[test]
fn the_autoscaler_learns_what_a_node_will_be_like() {
    let text = with_nodes(
        "minSize: 0, maxSize: 3, nodeLabels: {pool: db}, taints: ['dedicated=db:NoSchedule', 'x:NoExecute'], cloudLabels: {cost: '7'}",
    );
    let group = group(&build(&spec(&text), &Facts::default()), "nodes.c.example.com");
    let tags: Vec<String> =
        group.tags.iter().map(|(key, tag)| format!("{key} = {}", tag.value)).collect();
    let expected = [
        "KubernetesCluster = c.example.com",
        "Name = nodes.c.example.com",
        "cost = 7",
        "k8s.io/cluster-autoscaler/c.example.com = true",
        "k8s.io/cluster-autoscaler/enabled = true",
        "k8s.io/cluster-autoscaler/node-template/label/node-role.kubernetes.io/node = ",
        "k8s.io/cluster-autoscaler/node-template/label/pool = db",
        "k8s.io/cluster-autoscaler/node-template/taint/dedicated = db:NoSchedule",
        "k8s.io/cluster-autoscaler/node-template/taint/x = :NoExecute",
        "k8s.io/role/node = 1",
        "kops.k8s.io/instancegroup = nodes",
        "kprod.dev/cluster = c.example.com",
        "kubernetes.io/cluster/c.example.com = owned",
    ];
    assert_eq!(tags, expected);
    assert!(group.tags.values().all(|tag| tag.propagate_at_launch));
    let fixed = with_nodes("autoscale: false");
    let group = self::group(&build(&spec(&fixed), &Facts::default()), "nodes.c.example.com");
    assert!(group.tags.keys().all(|key| !key.ends_with("/enabled")));
}

#[test]
fn spot_is_asked_for_in_one_place() {
    let single = with_nodes("maxPrice: '0.12'");
    let desired = build(&spec(&single), &Facts::default());
    let options = template(&desired, "nodes.c.example.com").launch_template_data;
    assert_eq!(options.instance_market_options.unwrap().max_price, "0.12");
    assert_eq!(group(&desired, "nodes.c.example.com").mixed_instances_policy, None);
    let mixed = with_nodes(
        "maxPrice: '0.12', mixedInstancesPolicy: {instances: [m6i.large, m5.large], onDemandBase: 1, onDemandAboveBase: 0, spotAllocationStrategy: price-capacity-optimized}",
    );
    let desired = build(&spec(&mixed), &Facts::default());
    let options = template(&desired, "nodes.c.example.com").launch_template_data;
    assert_eq!(options.instance_market_options, None);
    let policy = group(&desired, "nodes.c.example.com").mixed_instances_policy.unwrap();
    assert_eq!(
        serde_json::to_value(policy).unwrap(),
        json!({
            "overrides": ["m6i.large", "m5.large"],
            "on_demand_allocation_strategy": "prioritized",
            "on_demand_base_capacity": 1,
            "on_demand_percentage_above_base_capacity": 0,
            "spot_allocation_strategy": "price-capacity-optimized",
            "spot_max_price": "0.12",
        })
    );
}

#[test]
fn the_root_volume_is_the_images_root_device() {
    let image = ImageFact { root_device_name: "/dev/sda1".to_owned() };
    let facts = Facts { images: [("ami-1".to_owned(), image)].into(), ..Facts::default() };
    let text = with_nodes("volumes: [{device: /dev/xvdd, size: 8}]");
    let desired = build(&spec(&text), &facts);
    let disks =
        template(&desired, "nodes.c.example.com").launch_template_data.block_device_mappings;
    let disks: Vec<(&str, i32)> =
        disks.iter().map(|disk| (disk.device_name.as_str(), disk.volume_size)).collect();
    assert_eq!(disks, [("/dev/sda1", 128), ("/dev/xvdd", 8)]);
}

/// Whoever hosts etcd completes its launch itself; nobody else has a hook that nobody would complete.
#[test]
fn hosts_of_etcd_and_nobody_else_have_a_launch_hook() {
    let desired = build(&spec(SMALL), &Facts::default());
    let hooks = group(&desired, "control-plane.masters.c.example.com").lifecycle_hooks;
    assert_eq!(
        serde_json::to_value(hooks).unwrap(),
        json!({ "kprod-etcd": {
        "lifecycle_transition": "autoscaling:EC2_INSTANCE_LAUNCHING",
        "heartbeat_timeout": 300,
        "default_result": "ABANDON",
    } })
    );
    assert!(group(&desired, "nodes.c.example.com").lifecycle_hooks.is_empty());
}

/// What the machine is told is what the plan says of it.
#[test]
fn a_host_of_etcd_starts_the_pinned_program() {
    let name = "control-plane.masters.c.example.com";
    let user_data = |spec: &Spec| {
        let desired = build(spec, &Facts::default());
        template(&desired, name).launch_template_data.user_data
    };
    let mut spec = spec(SMALL);
    let alone = user_data(&spec);
    assert!(alone.starts_with("#!/bin/sh\n"), "{alone}");
    let told = told(&alone);
    insta::assert_snapshot!(told.replace(&program().sha256, "SHA256"));
    Settings::parse(told.as_bytes()).unwrap();
    let fetched = Key::new(Kind::Asset, asset::name(&program().sha256, "c.example.com"));
    let wanted = build(&spec, &Facts::default()).resources;
    assert_eq!(asset::named(&template_of(&wanted, name)), [fetched.clone()].into());
    assert!(wanted.contains_key(&fetched));
    assert!(asset::named(&template_of(&wanted, "nodes.c.example.com")).is_empty());

    // Beside what the group brings itself.
    let part = UserDataPart {
        name: "own.sh".to_owned(),
        content_type: UserDataType::ShellScript,
        content: "#!/bin/sh\ntrue\n".to_owned(),
    };
    let group = spec.groups.get_mut("control-plane").unwrap();
    group.spec.additional_user_data.push(part);
    let both = user_data(&spec);
    assert!(both.starts_with("Content-Type: multipart/mixed;"), "{both}");
    for text in ["filename=\"own.sh\"", "filename=\"kprod-node.sh\"", "\ntrue\n", &alone] {
        assert!(both.contains(text), "{text} is not in\n{both}");
    }
    let group = spec.groups.get_mut("control-plane").unwrap();
    group.spec.additional_user_data[0].name = "kprod-node.sh".to_owned();
    let findings = build(&spec, &Facts::default()).findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");

    // Nothing is pinned: nothing starts, and a plan is refused.
    spec.groups.get_mut("control-plane").unwrap().spec.additional_user_data.clear();
    spec.node_program = None;
    assert_eq!(user_data(&spec), "");
    let wanted = build(&spec, &Facts::default()).resources;
    assert!(!wanted.keys().any(|key| key.kind == Kind::Asset));
}

fn template_of(wanted: &ResourceSet, name: &str) -> LaunchTemplate {
    match wanted.get(&Key::new(Kind::LaunchTemplate, name)) {
        Some(Resource::LaunchTemplate(template)) => template.clone(),
        other => panic!("no template {name}: {other:?}"),
    }
}

#[test]
fn several_parts_of_user_data_become_one_document() {
    let text = with_nodes(
        "additionalUserData: [{name: a.sh, type: text/x-shellscript, content: \"#!/bin/sh\\n\"}, {name: b, type: text/cloud-config, content: \"#cloud-config\\nä: 1\"}]",
    );
    let desired = build(&spec(&text), &Facts::default());
    let user_data = template(&desired, "nodes.c.example.com").launch_template_data.user_data;
    insta::assert_snapshot!(user_data);
}

#[test]
fn the_public_name_points_to_what_users_reach() {
    let target = |text: &str| {
        let desired = build(&spec(text), &Facts::default());
        let name = desired.resources[&Key::new(Kind::DnsName, "api.c.example.com")].to_value();
        assert_eq!(name["record_sets"]["A"], name["record_sets"]["AAAA"]);
        name["record_sets"]["A"]["alias_target"]["dns_name"].as_str().unwrap().to_owned()
    };
    assert_eq!(target(SMALL), "${load_balancer/api-internal-c-example-co-odjsss:dns_name}");
    let public = SMALL
        .replace("  kubernetesApiAccess", "  api: {loadBalancer: {type: Public}}\n  kubernetesApiAccess")
        .replace("  etcdClusters", "  - {name: u, type: Utility, zone: eu-west-3a, id: subnet-u, cidr: 10.0.240.0/24}\n  etcdClusters");
    assert!(target(&public).starts_with("${load_balancer/api-c-example-com-"));
    let none = SMALL.replace("  dnsZone: example.com", "  topology: {dns: {type: None}}");
    let desired = build(&spec(&none), &Facts::default());
    assert!(!desired.resources.contains_key(&Key::new(Kind::DnsName, "api.c.example.com")));
    assert_eq!(query(&spec(&none)).public_zone, None);
}

#[test]
fn a_certificate_ends_tls_at_the_public_load_balancer_only() {
    let arn = "arn:aws:acm:eu-west-3:123456789012:certificate/1";
    let balancer = format!("api: {{loadBalancer: {{type: Public, sslCertificate: '{arn}'}}}}");
    let utility = "- {name: u, type: Utility, zone: eu-west-3a, id: subnet-u}";
    let text = SMALL
        .replace("  kubernetesApiAccess", &format!("  {balancer}\n  kubernetesApiAccess"))
        .replace("  etcdClusters", &format!("  {utility}\n  etcdClusters"));
    let desired = build(&spec(&text), &Facts::default());
    let listeners: Vec<String> = desired
        .resources
        .values()
        .filter(|resource| resource.kind() == Kind::Listener)
        .map(Resource::to_value)
        .map(|l| format!("{} {} {}", l["port"], l["protocol"], l["target_group_arn"]))
        .collect();
    let expected = [
        r#"443 "TLS" "${target_group/tls-c-example-com-o6oa5o:arn}""#,
        r#"8443 "TCP" "${target_group/tcp-c-example-com-6d89ko:arn}""#,
        r#"443 "TCP" "${target_group/tcp-internal-c-example-co-fb9huj:arn}""#,
    ];
    assert_eq!(listeners, expected);
    // A target group serves one load balancer, and machines register with all of them.
    let group = group(&desired, "control-plane.masters.c.example.com");
    assert_eq!(group.target_group_arns.len(), 3);
}

#[test]
fn machine_types_may_be_told_by_what_they_have() {
    let text = with_nodes(
        "mixedInstancesPolicy: {instanceRequirements: {cpu: {min: 4, max: 4}, \
         memory: {min: 32Gi}, excludedInstanceTypes: ['t*']}, onDemandAboveBase: 0}",
    );
    let desired = build(&spec(&text), &Facts::default());
    let policy = group(&desired, "nodes.c.example.com").mixed_instances_policy.unwrap();
    assert_eq!(policy.overrides, [""; 0]);
    assert_eq!(
        serde_json::to_value(policy.instance_requirements).unwrap(),
        json!({
            "v_cpu_count": { "min": 4, "max": 4 },
            "memory_mib": { "min": 32768 },
            "excluded_instance_types": ["t*"],
        })
    );
}

#[test]
fn roles_hold_what_the_spec_adds() {
    let added = SMALL.replace(
        "  kubernetesApiAccess",
        "  iam: {permissionsBoundary: 'arn:aws:iam::123456789012:policy/edge'}\n  \
         additionalPolicies: {node: '[{\"Effect\": \"Allow\", \"Action\": \"s3:List*\", \"Resource\": \"*\"}]'}\n  \
         externalPolicies: {node: ['arn:aws:iam::123456789012:policy/logs']}\n  kubernetesApiAccess",
    );
    let desired = build(&spec(&added), &Facts::default());
    let role = desired.resources[&Key::new(Kind::Role, "nodes.c.example.com")].to_value();
    assert_eq!(role["permissions_boundary"], "arn:aws:iam::123456789012:policy/edge");
    assert_eq!(role["attached_policy_arns"], json!(["arn:aws:iam::123456789012:policy/logs"]));
    let policies = role["inline_policies"].as_object().unwrap();
    let names: Vec<&String> = policies.keys().collect();
    assert_eq!(names, ["additional.nodes.c.example.com", "nodes.c.example.com"]);
    assert_eq!(policies["additional.nodes.c.example.com"]["Statement"][0]["Action"], "s3:List*");
}

#[test]
fn rights_are_few() {
    let text = SMALL.replace(
        "  kubernetesApiAccess",
        "  iam: {allowContainerRegistry: true}\n  kubernetesApiAccess",
    );
    let desired = build(&spec(&text), &Facts::default());
    let policies = ["masters", "nodes"].map(|role| {
        let name = format!("{role}.c.example.com");
        let role = desired.resources[&Key::new(Kind::Role, &name)].to_value();
        role["inline_policies"][&name].clone()
    });
    insta::assert_snapshot!(policies.each_ref().map(summary).join("\n"));
    for statement in policies.iter().flat_map(|policy| policy["Statement"].as_array().unwrap()) {
        let anything = statement["Resource"] == "*" && statement["Condition"].is_null();
        let actions = statement["Action"].as_array().unwrap();
        let reads = actions.iter().all(|action| {
            let verb = action.as_str().unwrap().split(':').nth(1).unwrap();
            verb.starts_with("Describe") || verb == "GetAuthorizationToken"
        });
        assert!(!anything || reads, "{statement}");
    }
}

/// A policy with one line for each statement's name, actions, resources and conditions.
fn summary(policy: &serde_json::Value) -> String {
    let mut text = String::new();
    for statement in policy["Statement"].as_array().unwrap() {
        text.push_str(&format!("{}\n", statement["Sid"].as_str().unwrap()));
        for part in ["Action", "Resource", "Condition"] {
            let values = match &statement[part] {
                serde_json::Value::Null => continue,
                serde_json::Value::Array(values) => values.clone(),
                value => vec![value.clone()],
            };
            let values: Vec<String> =
                values.iter().map(|value| value.to_string().replace('"', "")).collect();
            text.push_str(&format!("  {part}: {}\n", values.join(" ")));
        }
    }
    text
}

#[test]
fn what_aws_would_refuse_is_found() {
    let huge = with_nodes(&format!(
        "additionalUserData: [{{name: a.sh, type: text/x-shellscript, content: \"#!/bin/sh\\n{}\"}}, {{name: b.sh, type: text/x-shellscript, content: \"#!/bin/sh\\n\"}}]",
        "x".repeat(16 * 1024 - 100),
    ));
    let findings = build(&spec(&huge), &Facts::default()).findings;
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert!(
        finding.message.starts_with("user data has 16768 bytes, AWS takes 16384"),
        "{}",
        finding.message
    );
    assert!(finding.message.ends_with("parts: `a.sh` 16294, `b.sh` 10"), "{}", finding.message);
    assert_eq!(finding.field.as_deref(), Some("InstanceGroup/nodes spec.additionalUserData"));
    assert_eq!(finding.places.len(), 1);
}
