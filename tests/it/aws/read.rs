//! Reading AWS.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::account::Network;
use super::calls::Call;
use super::{Account, Moto, PROD, account_of, counted};

/// The lower bound of an unchanged plan is 16 calls for six security groups, three roles, six authorities
/// and two epochs; two more are allowed, and one that lists what machines fetch.
const CALLS_MAX: usize = 19;

/// What differs, without the rest of a plan.
pub(super) fn changes(plan: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for resource in plan["resources"].as_array().unwrap() {
        for field in resource["fields"].as_array().unwrap() {
            let (path, before, after) = (&field["path"], &field["before"], &field["after"]);
            lines.push(format!("{} {path}: {before} -> {after}", resource["address"]));
        }
    }
    lines
}

pub(super) fn strings<'v>(list: &'v Value, field: &str) -> BTreeSet<&'v str> {
    list.as_array().unwrap().iter().filter_map(|item| item[field].as_str()).collect()
}

/// How many machines kprod sees.
fn machine_count(account: &Account<'_>, network: &Network) -> usize {
    let file =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("observed-{}.json", account.number));
    let observed = account.kprod(network, &["observe", PROD, "-o", file.to_str().unwrap()]);
    assert!(observed.status.success(), "{}", String::from_utf8_lossy(&observed.stderr));
    let observed: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let groups = observed["resources"].as_array().unwrap().iter();
    groups.filter_map(|group| Some(group["group"]["instances"].as_array()?.len())).sum()
}

/// Everything is planned on an empty account; once it is there, nothing is; and what that costs does
/// not depend on the number of machines.
#[test]
#[expect(clippy::print_stdout, reason = "`--nocapture` tells the figures of the README")]
fn an_unchanged_plan_is_empty_and_costs_the_same_with_ten_machines_and_with_two_hundred() {
    let moto = Moto::start();
    let account = moto.account();
    let network = account.network(PROD);
    let (code, plan) = account.plan(&network, &[]);
    assert_eq!(code, 2);
    assert_eq!(strings(&plan["resources"], "action"), BTreeSet::from(["create"]));
    assert_eq!(plan["refusals"], json!([]));
    let kinds = strings(&plan["resources"], "kind");
    assert_eq!(kinds.len(), 16, "prod has resources of every kind: {kinds:?}");

    account.seed("plan", &plan);
    account.calls();
    let (code, unchanged) = account.plan(&network, &[]);
    let calls = account.calls();
    assert_eq!((code, changes(&unchanged)), (0, vec![]));
    assert!(calls.iter().all(Call::is_read), "{calls:#?}");
    let calls = counted(&calls);
    assert!(calls.values().sum::<usize>() <= CALLS_MAX, "{calls:#?}");
    println!("{} calls: {calls:#?}", calls.values().sum::<usize>());
    let few = machine_count(&account, &network);
    assert!((10..=30).contains(&few), "{few} machines");

    let pools = strings(&plan["resources"], "name");
    for (part, count) in [("spot-4x-32gb.", 95), ("on-demand-4x-32gb.", 50), ("general-", 19)] {
        for pool in pools.iter().filter(|name| name.starts_with(part)) {
            account.seed("machines", &json!({"group": pool, "count": count}));
        }
    }
    assert!(machine_count(&account, &network) >= 200);
    account.calls();
    assert_eq!(account.plan(&network, &[]).0, 0);
    assert_eq!(counted(&account.calls()), calls);

    // A second page of groups is one more call, and finds ours all the same.
    let others = json!({"count": 101, "image": network.text("/image"), "zone": "eu-west-3a"});
    account.seed("groups", &others);
    account.calls();
    assert_eq!(account.plan(&network, &[]).0, 0);
    let paged = counted(&account.calls());
    assert_eq!(paged["autoscaling:DescribeAutoScalingGroups"], 2);

    // A deep look reads everything, and what it reads is as wanted.
    let (code, deep) = account.plan(&network, &["--deep"]);
    assert_eq!((code, changes(&deep)), (0, vec![]));
    assert!(
        counted(&account.calls())
            .contains_key("elasticloadbalancing:DescribeTargetGroupAttributes")
    );
}

/// One field: the plan names it, the machines that it replaces, and nothing else.
#[test]
fn a_change_is_told_by_the_field_that_changed() {
    let moto = Moto::start();
    let account = moto.account();
    let network = account.network(PROD);
    account.seed("plan", &account.plan(&network, &[]).1);
    account.calls();
    let change = ["--set", "control_plane_machine_type=m6i.2xlarge"];
    let (code, plan) = account.plan(&network, &change);
    assert_eq!(code, 2);
    assert_eq!(strings(&plan["resources"], "action"), BTreeSet::from(["update"]));
    let changed = strings(&plan["resources"], "kind");
    assert!(changed.is_subset(&BTreeSet::from(["launch_template", "auto_scaling_group"])));
    let template = plan["resources"].as_array().unwrap().iter();
    let template: Vec<&Value> =
        template.filter(|resource| resource["kind"] == "launch_template").collect();
    let [template] = template.as_slice() else { panic!("{plan:#}") };
    let fields = template["fields"].as_array().unwrap();
    let paths: Vec<&str> = fields.iter().filter_map(|field| field["path"].as_str()).collect();
    assert_eq!(paths, ["launch_template_data.instance_type"]);
    assert_eq!(fields[0]["before"], "m6i.xlarge");
    assert_eq!(plan["rollout"]["machine_count"], 3);
    let calls = counted(&account.calls());
    assert_eq!(calls["ec2:DescribeLaunchTemplateVersions"], 1);
    assert!(!calls.contains_key("autoscaling:DescribeLifecycleHooks"), "{calls:#?}");

    // A group that the spec changes is read whole, since the change may be in its hooks. The spot
    // pool brings its fallback along.
    let (code, plan) = account.plan(&network, &["--set", "spot_nodes.4x_32Gb.max=120"]);
    assert_eq!(code, 2);
    let changed = changes(&plan);
    let spot = format!("\"auto_scaling_group/spot-4x-32gb.{PROD}\"");
    assert!(changed.contains(&format!("{spot} \"max_size\": 100 -> 120")), "{changed:#?}");
    assert!(changed.iter().all(|change| change.contains("max_size")), "{changed:#?}");
    assert!(counted(&account.calls()).contains_key("autoscaling:DescribeLifecycleHooks"));
}

/// A live kops cluster of the same name: shown, and nothing of it is touched.
#[test]
fn a_foreign_cluster_of_the_same_name_is_shown_and_refused() {
    let moto = Moto::start();
    let account = moto.account();
    let network = account.network(PROD);
    let (_, empty) = account.plan(&network, &[]);
    let balancers = strings(&empty["resources"], "address").into_iter();
    let mut balancers = balancers.filter_map(|address| address.strip_prefix("load_balancer/"));
    let kops = json!({
        "cluster": PROD,
        "vpc": network.text("/vpc"),
        "subnet": network.made["subnets"]["private.a"],
        "availability_zone": "eu-west-3a",
        "zone": network.text("/zone"),
        "image": network.text("/image"),
        "balancer": balancers.next().unwrap(),
    });
    account.seed("kops", &kops);
    account.calls();

    let (_, plan) = account.plan(&network, &[]);
    let foreign = strings(&plan["foreign"], "address");
    for address in [
        "security_group/masters.prod.k8s.example.com",
        "role/masters.prod.k8s.example.com",
        "instance_profile/masters.prod.k8s.example.com",
        "volume/a.etcd-main.prod.k8s.example.com",
        "launch_template/nodes.prod.k8s.example.com",
        "auto_scaling_group/nodes.prod.k8s.example.com",
        "dns_name/api.prod.k8s.example.com",
    ] {
        assert!(foreign.contains(address), "{address} is not among {foreign:#?}");
    }
    assert!(foreign.iter().any(|address| address.starts_with("load_balancer/")));
    assert!(strings(&plan["foreign"], "why").contains("kops"));
    assert_ne!(plan["refusals"], json!([]));
    let touched = strings(&plan["resources"], "address");
    assert!(touched.is_disjoint(&foreign), "{touched:#?}");

    let applied = account.kprod(&network, &["apply", PROD, "--yes"]);
    assert_eq!(applied.status.code(), Some(5), "{}", String::from_utf8_lossy(&applied.stderr));
    assert!(account.calls().iter().all(Call::is_read));
}

/// Errors name the operation, the code, and what to do or where it failed.
#[test]
fn errors_of_aws_say_what_failed_and_where() {
    let moto = Moto::start();
    let account = moto.account();
    let network = account.network(PROD);
    let denial = json!({"service": "ec2", "action": "DescribeVolumes", "code": "AccessDenied"});
    account.faults(json!([denial]));
    let denied = account.kprod(&network, &["plan", PROD]);
    let said = String::from_utf8_lossy(&denied.stderr);
    assert_eq!(denied.status.code(), Some(1));
    assert!(said.contains("DescribeVolumes") && said.contains("AccessDenied"), "{said}");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{nobody}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kprod"));
    command.args(["plan", PROD, "--cloud", "aws", "--retry-timeout", "1s"]);
    let refused = account_of(&mut command, &url).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("cannot reach") && said.contains(&url), "{said}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_kprod"));
    command.args(["plan", PROD, "--cloud", "aws"]);
    account_of(&mut command, &moto.url()).env_remove("AWS_ACCESS_KEY_ID");
    let nameless = command.env_remove("AWS_SECRET_ACCESS_KEY").output().unwrap();
    let said = String::from_utf8_lossy(&nameless.stderr);
    assert_eq!(nameless.status.code(), Some(1));
    assert!(said.contains("AWS_PROFILE"), "{said}");
}
