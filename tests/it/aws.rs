//! Reading AWS, told by the program itself against an emulated account.
//!
//! The emulator is moto in a Python environment that `tests/run` makes; `tests/moto` says what is
//! in it. Each test has an emulator of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

const CLUSTER: &str = "prod.k8s.example.com";

/// The lower bound of an unchanged plan is 13 calls for six security groups and three roles; two
/// more are allowed.
const CALLS_MAX: usize = 15;

/// An emulated account; it ends with its standard input, that is with this value.
struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    fn start() -> Self {
        let launcher = folder().join("launcher.py");
        let mut child = Command::new(python())
            .arg(launcher)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("LISTENING ").expect("the emulator did not start");
        Moto { port: port.parse().unwrap(), child }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs a part of `tests/moto/seed.py`.
    fn seed(&self, part: &str, input: &Value) -> Value {
        let mut command = Command::new(python());
        command.arg(folder().join("seed.py")).arg(part);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = account_of(&mut command, &self.url()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "seeding `{part}` failed");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The network that the fleet's vars describe, and the `--set` that names it by its real ids.
    fn network(&self) -> Network {
        let mut subnets = json!({});
        for (index, zone) in ["a", "b", "c"].into_iter().enumerate() {
            let name = format!("eu-west-3{zone}");
            subnets[format!("private.{zone}")] =
                json!({"zone": name, "cidr": format!("10.40.{}.0/19", index * 32)});
            subnets[format!("public.{zone}")] =
                json!({"zone": name, "cidr": format!("10.40.{}.0/24", index + 240)});
        }
        let asked =
            json!({"cidr": "10.40.0.0/16", "zone_name": "k8s.example.com", "subnets": subnets});
        Network { made: self.seed("network", &asked) }
    }

    /// Runs kprod on prod in this account.
    fn kprod(&self, network: &Network, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kprod"));
        command.args(arguments).args(["--cloud", "aws"]).args(network.sets());
        account_of(&mut command, &self.url()).output().unwrap()
    }

    /// A plan as JSON, with its exit code.
    fn plan(&self, network: &Network, arguments: &[&str]) -> (i32, Value) {
        let base = ["plan", CLUSTER, "--detailed-exitcode", "-o", "json"];
        let output = self.kprod(network, &[&base, arguments].concat());
        let code = output.status.code().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let plan = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("no plan, exit {code}: {said}"));
        (code, plan)
    }

    /// The calls since the last time, by operation; seeding makes calls too, so ask first.
    fn calls(&self) -> BTreeMap<String, usize> {
        let answer = self.control("DELETE", "/kprod/calls", "");
        let calls: Vec<(String, String, String)> = serde_json::from_str(&answer).unwrap();
        let mut counts = BTreeMap::new();
        for (service, action, status) in calls {
            assert!(!status.starts_with('5'), "{service}:{action} answered {status}");
            *counts.entry(format!("{service}:{action}")).or_default() += 1;
        }
        counts
    }

    fn control(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A seeded network.
struct Network {
    made: Value,
}

impl Network {
    fn text(&self, pointer: &str) -> &str {
        self.made.pointer(pointer).and_then(Value::as_str).unwrap()
    }

    fn sets(&self) -> Vec<String> {
        let mut values = vec![
            format!("network.id={}", self.text("/vpc")),
            format!("image={}", self.text("/image")),
        ];
        for (name, id) in self.made["subnets"].as_object().unwrap() {
            values.push(format!("network.{name}.id={}", id.as_str().unwrap()));
        }
        values.into_iter().flat_map(|value| ["--set".to_owned(), value]).collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/moto")
}

/// The Python that has the emulator.
fn python() -> PathBuf {
    let usual = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../moto/bin/python");
    let python = std::env::var_os("KPROD_MOTO_PYTHON").map_or(usual, PathBuf::from);
    let path = python.display();
    assert!(python.exists(), "no AWS emulator at {path}: run ./tests/run, which installs it");
    python
}

/// Points a program at an account, and at nothing else that this machine may know of AWS.
fn account_of<'c>(command: &'c mut Command, url: &str) -> &'c mut Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("AWS_") || name.to_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", "testing")
        .env("AWS_SECRET_ACCESS_KEY", "testing")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_MAX_ATTEMPTS", "1")
}

/// What differs, without the rest of a plan.
fn changes(plan: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for resource in plan["resources"].as_array().unwrap() {
        for field in resource["fields"].as_array().unwrap() {
            let (path, before, after) = (&field["path"], &field["before"], &field["after"]);
            lines.push(format!("{} {path}: {before} -> {after}", resource["address"]));
        }
    }
    lines
}

fn strings<'v>(list: &'v Value, field: &str) -> BTreeSet<&'v str> {
    list.as_array().unwrap().iter().filter_map(|item| item[field].as_str()).collect()
}

/// Operations that change nothing begin with these.
fn only_reads(calls: &BTreeMap<String, usize>) -> bool {
    let reads = ["Describe", "List", "Get"];
    let actions = calls.keys().map(|call| call.split_once(':').unwrap().1);
    actions.into_iter().all(|action| reads.iter().any(|read| action.starts_with(read)))
}

/// How many machines kprod sees.
fn machine_count(moto: &Moto, network: &Network) -> usize {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("observed-{}.json", moto.port));
    let observed = moto.kprod(network, &["observe", CLUSTER, "-o", file.to_str().unwrap()]);
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
    let network = moto.network();
    let (code, plan) = moto.plan(&network, &[]);
    assert_eq!(code, 2);
    assert_eq!(strings(&plan["resources"], "action"), BTreeSet::from(["create"]));
    assert_eq!(plan["refusals"], json!([]));
    let kinds = strings(&plan["resources"], "kind");
    assert_eq!(kinds.len(), 13, "prod has resources of every kind: {kinds:?}");

    moto.seed("plan", &plan);
    moto.calls();
    let (code, unchanged) = moto.plan(&network, &[]);
    let calls = moto.calls();
    assert_eq!((code, changes(&unchanged)), (0, vec![]));
    assert!(only_reads(&calls), "{calls:#?}");
    assert!(calls.values().sum::<usize>() <= CALLS_MAX, "{calls:#?}");
    println!("{} calls: {calls:#?}", calls.values().sum::<usize>());
    let few = machine_count(&moto, &network);
    assert!((10..=30).contains(&few), "{few} machines");

    let pools = strings(&plan["resources"], "name");
    for pool in pools.into_iter().filter(|name| name.contains("4x-32gb")) {
        moto.seed("machines", &json!({"group": pool, "count": 95}));
    }
    assert!(machine_count(&moto, &network) >= 200);
    moto.calls();
    assert_eq!(moto.plan(&network, &[]).0, 0);
    assert_eq!(moto.calls(), calls);

    // A second page of groups is one more call, and finds ours all the same.
    let others = json!({"count": 101, "image": network.text("/image"), "zone": "eu-west-3a"});
    moto.seed("groups", &others);
    moto.calls();
    assert_eq!(moto.plan(&network, &[]).0, 0);
    let paged = moto.calls();
    assert_eq!(paged["autoscaling:DescribeAutoScalingGroups"], 2);

    // A deep look reads everything, and what it reads is as wanted.
    let (code, deep) = moto.plan(&network, &["--deep"]);
    assert_eq!((code, changes(&deep)), (0, vec![]));
    assert!(moto.calls().contains_key("elasticloadbalancing:DescribeTargetGroupAttributes"));
}

/// One field: the plan names it, the machines that it replaces, and nothing else.
#[test]
fn a_change_is_told_by_the_field_that_changed() {
    let moto = Moto::start();
    let network = moto.network();
    moto.seed("plan", &moto.plan(&network, &[]).1);
    moto.calls();
    let change = ["--set", "control_plane_machine_type=m6i.2xlarge"];
    let (code, plan) = moto.plan(&network, &change);
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
    let calls = moto.calls();
    assert_eq!(calls["ec2:DescribeLaunchTemplateVersions"], 1);
    assert!(!calls.contains_key("autoscaling:DescribeLifecycleHooks"), "{calls:#?}");

    // A group that the spec changes is read whole, since the change may be in its hooks. The spot
    // pool brings its fallback along.
    let (code, plan) = moto.plan(&network, &["--set", "spot_nodes.4x_32Gb.max=120"]);
    assert_eq!(code, 2);
    let changed = changes(&plan);
    let spot = format!("\"auto_scaling_group/spot-4x-32gb.{CLUSTER}\"");
    assert!(changed.contains(&format!("{spot} \"max_size\": 100 -> 120")), "{changed:#?}");
    assert!(changed.iter().all(|change| change.contains("max_size")), "{changed:#?}");
    assert!(moto.calls().contains_key("autoscaling:DescribeLifecycleHooks"));
}

/// A live kops cluster of the same name: shown, and nothing of it is touched.
#[test]
fn a_foreign_cluster_of_the_same_name_is_shown_and_refused() {
    let moto = Moto::start();
    let network = moto.network();
    let (_, empty) = moto.plan(&network, &[]);
    let balancers = strings(&empty["resources"], "address").into_iter();
    let mut balancers = balancers.filter_map(|address| address.strip_prefix("load_balancer/"));
    let kops = json!({
        "cluster": CLUSTER,
        "vpc": network.text("/vpc"),
        "subnet": network.made["subnets"]["private.a"],
        "availability_zone": "eu-west-3a",
        "zone": network.text("/zone"),
        "image": network.text("/image"),
        "balancer": balancers.next().unwrap(),
    });
    moto.seed("kops", &kops);
    moto.calls();

    let (_, plan) = moto.plan(&network, &[]);
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

    let applied = moto.kprod(&network, &["apply", CLUSTER, "--yes"]);
    assert_eq!(applied.status.code(), Some(5), "{}", String::from_utf8_lossy(&applied.stderr));
    assert!(only_reads(&moto.calls()));
}

/// Errors name the operation, the code, and what to do or where it failed.
#[test]
fn errors_of_aws_say_what_failed_and_where() {
    let moto = Moto::start();
    let network = moto.network();
    moto.control("POST", "/kprod/deny", "ec2:DescribeVolumes");
    let denied = moto.kprod(&network, &["plan", CLUSTER]);
    let said = String::from_utf8_lossy(&denied.stderr);
    assert_eq!(denied.status.code(), Some(1));
    assert!(said.contains("DescribeVolumes") && said.contains("AccessDenied"), "{said}");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{nobody}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kprod"));
    command.args(["plan", CLUSTER, "--cloud", "aws"]);
    let refused = account_of(&mut command, &url).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("cannot reach") && said.contains(&url), "{said}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_kprod"));
    command.args(["plan", CLUSTER, "--cloud", "aws"]);
    account_of(&mut command, &moto.url()).env_remove("AWS_ACCESS_KEY_ID");
    let nameless = command.env_remove("AWS_SECRET_ACCESS_KEY").output().unwrap();
    let said = String::from_utf8_lossy(&nameless.stderr);
    assert_eq!(nameless.status.code(), Some(1));
    assert!(said.contains("AWS_PROFILE"), "{said}");
}
