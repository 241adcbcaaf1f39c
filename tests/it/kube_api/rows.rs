//! The simulated API behaves on the wire as what was measured on a real server (v1.36), row by row.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kprod::sim::kubernetes::{
    Amount, ApiTrouble, BudgetRule, Host, Kubernetes, Workload, WorkloadKind,
};
use serde_json::{Value, json};

use super::{Faults, KubeApi, TOKEN};

/// An answer on the wire.
#[derive(Debug)]
struct Heard {
    status: u16,
    retry_after: Option<String>,
    body: Value,
}

/// A client that hides nothing.
struct Client(TcpStream);

impl Client {
    fn new(api: &KubeApi) -> Self {
        let stream = TcpStream::connect(api.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    fn send(&mut self, method: &str, target: &str, body: &Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let content = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let text = format!(
            "{method} {target} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: {content}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Sends a request; none when the connection breaks before an answer.
    fn try_ask(&mut self, method: &str, target: &str, body: &Value) -> Option<Heard> {
        self.send(method, target, body);
        let mut reader = BufReader::new(&self.0);
        let (status, headers) = head(&mut reader)?;
        let header = |name: &str| {
            let found = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        let mut bytes = vec![0; header("content-length")?.parse().ok()?];
        reader.read_exact(&mut bytes).ok()?;
        let text = String::from_utf8(bytes).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Some(Heard { status, retry_after: header("retry-after"), body })
    }

    fn ask(&mut self, method: &str, target: &str, body: &Value) -> Heard {
        self.try_ask(method, target, body).expect("an answer")
    }

    fn get(&mut self, target: &str) -> Value {
        let heard = self.ask("GET", target, &Value::Null);
        assert_eq!(heard.status, 200, "{heard:?}");
        heard.body
    }

    fn evict(&mut self, pod: &str) -> Heard {
        let target = format!("/api/v1/namespaces/app/pods/{pod}/eviction");
        self.ask("POST", &target, &eviction(pod))
    }
}

fn head(reader: &mut impl BufRead) -> Option<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((key, value)) = line.trim_end().split_once(':') else { break };
        headers.push((key.to_owned(), value.trim().to_owned()));
    }
    Some((status, headers))
}

fn eviction(pod: &str) -> Value {
    let metadata = json!({"name": pod, "namespace": "app"});
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
}

fn host(name: &str, is_control_plane: bool) -> Host {
    Host {
        instance_id: format!("i-{name}"),
        group: String::new(),
        image_id: String::new(),
        availability_zone: "eu-west-3a".to_owned(),
        instance_type: "m6i.large".to_owned(),
        is_control_plane,
        kubelet_version: "v1.34.2".to_owned(),
        labels: [].into(),
        taints: [].into(),
    }
}

/// A server over a cluster at rest with four pods of `web`; its time does not go by itself.
fn with_web(budget: Option<u32>) -> KubeApi {
    let mut cluster = KubeApi::new_cluster("wire", 1);
    cluster.settings.furnish = false;
    cluster.host_boots(host("control", true));
    for name in ["one", "two", "three"] {
        cluster.host_boots(host(name, false));
    }
    pass(&mut cluster, 120);
    cluster.install(Workload::new(WorkloadKind::Deployment, "app", "web", 4));
    if let Some(wanted) = budget {
        cluster.guard("app", "web", BudgetRule::MinAvailable(Amount::Count(wanted)));
    }
    pass(&mut cluster, 60);
    KubeApi::start_faster(cluster, 0)
}

fn pass(cluster: &mut Kubernetes, secs: u64) {
    cluster.advance(cluster.now().plus_secs(secs));
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn pods(client: &mut Client) -> Vec<String> {
    names(&client.get("/api/v1/namespaces/app/pods"))
}

fn cause(heard: &Heard) -> &str {
    let cause = &heard.body["details"]["causes"][0];
    assert_eq!(cause["reason"], "DisruptionBudget", "{heard:?}");
    cause["message"].as_str().unwrap()
}

#[test]
fn a_budget_that_was_never_counted() {
    let api = with_web(None);
    let rule = BudgetRule::MinAvailable(Amount::Count(1));
    api.with(|cluster| cluster.guard("app", "web", rule));
    let mut client = Client::new(&api);
    let pod = pods(&mut client).remove(0);
    let heard = client.evict(&pod);
    assert_eq!((heard.status, heard.retry_after.as_deref()), (429, Some("10")));
    assert_eq!(heard.body["details"]["retryAfterSeconds"], 10);
    assert!(cause(&heard).ends_with("is still being processed by the server."));
}

#[test]
fn a_budget_without_room() {
    let api = with_web(Some(4));
    let mut client = Client::new(&api);
    let pod = pods(&mut client).remove(0);
    let heard = client.evict(&pod);
    assert_eq!((heard.status, heard.retry_after.as_deref()), (429, None));
    assert_eq!(heard.body["details"].get("retryAfterSeconds"), None);
    assert!(cause(&heard).ends_with("needs 4 healthy pods and has 4 currently"));
}

#[test]
fn a_budget_with_room_for_one() {
    let api = with_web(Some(3));
    let mut client = Client::new(&api);
    let pods = pods(&mut client);
    let budget = "/apis/policy/v1/namespaces/app/poddisruptionbudgets/web";
    let dry = format!("/api/v1/namespaces/app/pods/{}/eviction?dryRun=All", pods[0]);
    assert_eq!(client.ask("POST", &dry, &eviction(&pods[0])).status, 201);
    assert_eq!(client.get(budget)["status"]["disruptionsAllowed"], 1);

    assert_eq!(client.evict(&pods[0]).status, 201);
    let after = client.get(budget);
    assert_eq!(after["status"]["disruptionsAllowed"], 0);
    assert!(after["status"]["disruptedPods"][&pods[0]].is_string(), "{after}");
    let condition = &after["status"]["conditions"][0];
    assert_eq!(condition["status"], "False");
    assert_eq!(condition["reason"], "InsufficientPods");
    let heard = client.evict(&pods[1]);
    assert!(cause(&heard).ends_with("does not allow evicting pods currently"));
    api.with(|cluster| pass(cluster, 60));
    assert_eq!(client.evict(&pods[1]).status, 201);
}

#[test]
fn two_budgets_of_one_pod() {
    let api = with_web(Some(1));
    let mut client = Client::new(&api);
    let second = json!({
        "metadata": {"name": "second"},
        "spec": {"maxUnavailable": "100%", "selector": {"matchLabels": {"app": "web"}}},
    });
    let target = "/apis/policy/v1/namespaces/app/poddisruptionbudgets";
    assert_eq!(client.ask("POST", target, &second).status, 201);
    api.with(|cluster| pass(cluster, 60));
    let pod = pods(&mut client).remove(0);
    let heard = client.evict(&pod);
    assert_eq!((heard.status, heard.body.get("reason")), (500, None));
    assert_eq!(client.ask("DELETE", &format!("{target}/second"), &Value::Null).status, 200);
    assert_eq!(client.evict(&pod).status, 201);
}

#[test]
fn what_is_missing_or_another_one() {
    let api = with_web(Some(1));
    let mut client = Client::new(&api);
    assert_eq!(client.evict("nobody").status, 404);
    let pod = pods(&mut client).remove(0);
    let options = json!({"preconditions": {"uid": "another"}});
    let mut body = eviction(&pod);
    body["deleteOptions"] = options.clone();
    let target = format!("/api/v1/namespaces/app/pods/{pod}");
    assert_eq!(client.ask("POST", &format!("{target}/eviction"), &body).status, 409);
    assert_eq!(client.ask("DELETE", &target, &options).status, 409);
    let node = names(&client.get("/api/v1/nodes")).remove(0);
    assert_eq!(client.ask("DELETE", &format!("/api/v1/nodes/{node}"), &options).status, 409);
    assert_eq!(client.ask("DELETE", &format!("/api/v1/nodes/{node}"), &Value::Null).status, 200);
    assert_eq!(client.ask("GET", &format!("/api/v1/nodes/{node}"), &Value::Null).status, 404);
}

/// Pending pods and pods on their way out ask no budget; without a kubelet a deleted pod stays, with
/// its deletion time, until it is forced.
#[test]
fn pods_on_a_node_without_a_kubelet() {
    let api = with_web(None);
    let mut client = Client::new(&api);
    let node = json!({"metadata": {"name": "bare"}, "spec": {"providerID": "aws:///z/i-1"}});
    let made = client.ask("POST", "/api/v1/nodes", &node);
    assert_eq!(made.status, 201);
    let taints = made.body["spec"]["taints"].to_string();
    assert!(taints.contains("node.kubernetes.io/not-ready"), "{taints}");
    assert_eq!(client.ask("POST", "/api/v1/nodes", &node).body["reason"], "AlreadyExists");

    let all = "/api/v1/namespaces/app/pods";
    let guard = json!({
        "metadata": {"name": "b"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "b"}}},
    });
    client.ask("POST", "/apis/policy/v1/namespaces/app/poddisruptionbudgets", &guard);
    for name in ["waits", "runs"] {
        let metadata = json!({"name": name, "labels": {"app": "b"}});
        let pod = json!({"metadata": metadata, "spec": {"nodeName": "bare"}});
        assert_eq!(client.ask("POST", all, &pod).status, 201);
    }
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let running = json!({"status": {"phase": "Running", "conditions": ready}});
    client.ask("PATCH", &format!("{all}/runs/status"), &running);
    api.with(|cluster| pass(cluster, 60));
    assert_eq!(client.evict("waits").status, 201);
    assert_eq!(client.evict("runs").status, 429);
    assert_eq!(client.ask("DELETE", &format!("{all}/runs"), &Value::Null).status, 200);
    assert_eq!(client.evict("runs").status, 201);
    api.with(|cluster| pass(cluster, 3600));
    let left = client.get(&format!("{all}/runs"));
    assert!(left["metadata"]["deletionTimestamp"].is_string(), "{left}");
    let now = json!({"gracePeriodSeconds": 0});
    client.ask("DELETE", &format!("{all}/runs"), &now);
    assert_eq!(client.ask("GET", &format!("{all}/runs"), &Value::Null).status, 404);
}

#[test]
fn a_stale_write_and_a_cordon() {
    let api = with_web(None);
    let mut client = Client::new(&api);
    let name = names(&client.get("/api/v1/nodes")).remove(1);
    let target = format!("/api/v1/nodes/{name}");
    let stale = client.get(&target);
    let cordon = json!({"spec": {"unschedulable": true}});
    let cordoned = client.ask("PATCH", &target, &cordon);
    assert_eq!(cordoned.body["spec"]["unschedulable"], true);
    assert_eq!(cordoned.body["spec"].get("taints"), None, "that is the controller's");
    let written = client.ask("PUT", &target, &stale);
    assert_eq!((written.status, &written.body["reason"]), (409, &json!("Conflict")));
    let mut patch = json!({"metadata": {"annotations": {"kprod.dev/a": "1"}}});
    patch["metadata"]["resourceVersion"] = stale["metadata"]["resourceVersion"].clone();
    assert_eq!(client.ask("PATCH", &target, &patch).status, 409);
    api.with(|cluster| pass(cluster, 5));
    let taints = client.get(&target)["spec"]["taints"].to_string();
    assert!(taints.contains("node.kubernetes.io/unschedulable"), "{taints}");
    let uncordon = json!({"spec": {"unschedulable": null}});
    client.ask("PATCH", &target, &uncordon);
    api.with(|cluster| pass(cluster, 5));
    let node = client.get(&target);
    assert_eq!((node["spec"].get("unschedulable"), node["spec"].get("taints")), (None, None));
}

#[test]
fn lists_come_in_pages_of_one_version_and_old_ones_are_gone() {
    let api = with_web(None);
    let mut client = Client::new(&api);
    let whole = pods(&mut client);
    let first = client.get("/api/v1/namespaces/app/pods?limit=3");
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    // What happens meanwhile is not in the list.
    client.evict(&whole[3]);
    api.with(|cluster| pass(cluster, 60));
    let next = format!("/api/v1/namespaces/app/pods?limit=3&continue={token}");
    let second = client.get(&next);
    assert_eq!([names(&first), names(&second)].concat(), whole);
    assert_eq!(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    let again = client.ask("GET", &next, &Value::Null);
    assert_eq!((again.status, &again.body["reason"]), (410, &json!("Expired")));
}

/// Reads a watch's events until one of a kind comes.
fn until(reader: &mut impl BufRead, word: &str) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut bytes = vec![0; size + 2];
        reader.read_exact(&mut bytes).unwrap();
        assert!(size > 0, "the watch ended before {word}: {events:#?}");
        let event: Value = serde_json::from_slice(&bytes[..size]).unwrap();
        let is_last = event["type"] == word;
        events.push(event);
        if is_last {
            return events;
        }
    }
}

fn watch(client: &mut Client, query: &str) -> BufReader<TcpStream> {
    let target = format!("/api/v1/namespaces/app/pods?watch=true&{query}");
    client.send("GET", &target, &Value::Null);
    let mut reader = BufReader::new(client.0.try_clone().unwrap());
    assert_eq!(head(&mut reader).unwrap().0, 200);
    reader
}

#[test]
fn a_watch_tells_every_change_in_order_then_how_far_it_is_and_ends() {
    let api = with_web(None);
    let mut client = Client::new(&api);
    let list = client.get("/api/v1/namespaces/app/pods");
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let query = format!("resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds=2");
    let mut watching = Client::new(&api);
    let mut reader = watch(&mut watching, &query);
    let pod = names(&list).remove(0);
    client.evict(&pod);
    api.with(|cluster| pass(cluster, 60));
    let events = until(&mut reader, "BOOKMARK");
    let words: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let gone = words.iter().position(|word| *word == "DELETED").unwrap();
    assert_eq!(events[gone]["object"]["metadata"]["name"], pod.as_str());
    assert!(words.contains(&"ADDED") && words.contains(&"MODIFIED"), "{words:?}");
    let version = |event: &Value| {
        let version = event["object"]["metadata"]["resourceVersion"].as_str();
        version.unwrap().parse::<u64>().unwrap()
    };
    let versions: Vec<u64> = events.iter().map(version).collect();
    assert!(versions.is_sorted(), "{versions:?}");
    let mut rest = String::new();
    reader.read_line(&mut rest).unwrap();
    assert_eq!(rest.trim(), "0", "it ends after its time-out");
}

#[test]
fn a_watch_from_a_forgotten_version_is_gone_and_one_without_a_version_tells_all() {
    let api = with_web(None);
    let mut client = Client::new(&api);
    let all = pods(&mut client);
    let now = api.with(|cluster| cluster.generation());
    api.faults(Faults { forgotten_before: now, ..Faults::default() });
    let mut reader = watch(&mut client, "resourceVersion=1&timeoutSeconds=5");
    let events = until(&mut reader, "ERROR");
    assert_eq!(events[0]["object"]["code"], 410);
    assert_eq!(events[0]["object"]["reason"], "Expired");
    let mut other = Client::new(&api);
    let mut reader = watch(&mut other, "timeoutSeconds=1&allowWatchBookmarks=true");
    let events = until(&mut reader, "BOOKMARK");
    let added = events.iter().filter(|event| event["type"] == "ADDED");
    let added = added.map(|event| event["object"]["metadata"]["name"].as_str().unwrap());
    assert_eq!(added.collect::<Vec<_>>(), all);
}

#[test]
fn health_version_and_strangers() {
    let api = with_web(None);
    let mut client = Client::new(&api);
    assert_eq!(client.get("/version")["gitVersion"], "v1.34.2");
    for path in ["/readyz", "/livez"] {
        assert_eq!(client.get(path), "ok");
    }
    let text = "GET /api/v1/nodes HTTP/1.1\r\nHost: api\r\n\r\n";
    client.0.write_all(text.as_bytes()).unwrap();
    let mut reader = BufReader::new(&client.0);
    assert_eq!(head(&mut reader).unwrap().0, 401);
}

#[test]
fn troubles_on_request() {
    let api = with_web(Some(1));
    let troubles = [
        (ApiTrouble::Unauthorized, 401),
        (ApiTrouble::Forbidden, 403),
        (ApiTrouble::Failing, 500),
        (ApiTrouble::Throttled, 429),
    ];
    for (trouble, code) in troubles {
        api.with(|cluster| cluster.break_api(trouble, None));
        let heard = Client::new(&api).ask("GET", "/api/v1/nodes", &Value::Null);
        assert_eq!(heard.status, code, "{heard:?}");
        assert_eq!(heard.retry_after.is_some(), code == 429);
        api.with(|cluster| cluster.faults.outages.clear());
    }
    let mut watching = Client::new(&api);
    let mut reader = watch(&mut watching, "timeoutSeconds=60");
    api.with(|cluster| cluster.break_api(ApiTrouble::Unreachable, None));
    assert!(Client::new(&api).try_ask("GET", "/api/v1/nodes", &Value::Null).is_none());
    let mut rest = Vec::new();
    // The stream breaks off; what was told before may still be read.
    let _ = reader.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).ends_with("0\r\n\r\n"));
    api.with(|cluster| cluster.faults.outages.clear());

    let mut client = Client::new(&api);
    let pod = pods(&mut client).remove(0);
    api.faults(Faults { answers_lost: 1, ..Faults::default() });
    let target = format!("/api/v1/namespaces/app/pods/{pod}/eviction");
    assert!(client.try_ask("POST", &target, &eviction(&pod)).is_none());
    let mut client = Client::new(&api);
    let left = client.get(&format!("/api/v1/namespaces/app/pods/{pod}"));
    assert!(left["metadata"]["deletionTimestamp"].is_string(), "it took effect: {left}");
    api.faults(Faults { delay: Duration::from_millis(30), ..Faults::default() });
    let began = Instant::now();
    client.get("/readyz");
    assert!(began.elapsed() >= Duration::from_millis(30));
    assert!(!api.requests().is_empty());
}

#[test]
fn machines_are_fed_in() {
    let mut cluster = KubeApi::new_cluster("fed", 1000);
    cluster.settings.furnish = false;
    let api = KubeApi::start(cluster);
    let hosts = || vec![host("control", true), host("one", false), host("two", false)];
    api.feed(hosts());
    let mut client = Client::new(&api);
    let wait = |wanted: usize, api: &KubeApi| {
        let deadline = Instant::now() + Duration::from_secs(20);
        let count = || api.with(|cluster| cluster.nodes().len());
        while count() != wanted && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(count(), wanted);
    };
    wait(3, &api);
    let nodes = client.get("/api/v1/nodes");
    let ids: Vec<&str> = nodes["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|n| n["spec"]["providerID"].as_str())
        .collect();
    assert!(ids.iter().all(|id| id.starts_with("aws:///eu-west-3a/i-")), "{ids:?}");
    api.feed(hosts().into_iter().take(2).collect());
    wait(2, &api);
}

#[test]
fn a_kubeconfig_leads_here() {
    let api = with_web(None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    api.write_kubeconfig(&file);
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(&api.address.to_string()) && text.contains(TOKEN), "{text}");
}
