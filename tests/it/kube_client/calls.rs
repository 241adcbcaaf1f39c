//! Requests as the server sees them, and what its answers come to.

use std::time::Duration;

use kprod::kube::client::KubeLimits;
use kprod::kube::{Kube as _, KubeCall, KubeErrorKind, NodePatch, PodId, Taint, TaintEffect};
use serde_json::json;

use super::responder::{Answer, Request, Responder};
use super::{Home, busy, counted, empty, holds, node, status};

fn evict() -> KubeCall {
    KubeCall::EvictPod {
        pod: PodId::new("ns", "web-0"),
        uid: "u-1".to_owned(),
        grace_secs: Some(9),
    }
}

/// What a call comes to whose requests are answered so.
async fn called(
    call: &KubeCall,
    handler: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
) -> (Result<(), kprod::kube::KubeError>, Vec<Request>) {
    called_with(busy(), call, handler).await
}

/// The same with other limits.
async fn called_with(
    limits: KubeLimits,
    call: &KubeCall,
    handler: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
) -> (Result<(), kprod::kube::KubeError>, Vec<Request>) {
    let is_call = |request: &Request| request.method != "GET" || request.path.ends_with("/a");
    let responder = Responder::start(None, counted(handler, is_call));
    let client = Home::at(&responder).connect_with(limits).await.unwrap();
    let result = client.call(call).await;
    let asked = responder.asked().into_iter().filter(is_call).collect();
    (result, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_carries_uid_and_grace() {
    let (result, asked) =
        called(&evict(), |_, _| Answer::json(201, &json!({"kind": "Status", "status": "Success"})))
            .await;
    result.unwrap();
    let [request] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/api/v1/namespaces/ns/pods/web-0/eviction");
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.body["kind"], "Eviction");
    let options = &request.body["deleteOptions"];
    assert_eq!(options["preconditions"], json!({"uid": "u-1"}));
    assert_eq!(options["gracePeriodSeconds"], 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_is_asked_once_and_tells_who_says_no() {
    let budget = |_: &Request, _| {
        let mut body = status(429, "TooManyRequests", "Cannot evict pod.");
        body["details"] = json!({
            "causes": [{"reason": "DisruptionBudget", "message": "The budget web needs 9."}],
        });
        Answer::json(429, &body).header("retry-after", "10")
    };
    let (result, asked) = called(&evict(), budget).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind, KubeErrorKind::Budget);
    assert_eq!(error.retry_after, Some(Duration::from_secs(10)));
    holds(&error, &["EvictPod", "Cannot evict pod. The budget web needs 9."]);
    assert_eq!(asked.len(), 1, "whether to ask again is for others to say");

    let busy = |_: &Request, _| {
        Answer::text(429, "Too many requests, please try again later.").header("retry-after", "1")
    };
    let (result, asked) = called(&evict(), busy).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind, error.retry_after),
        (KubeErrorKind::Throttled, Some(Duration::from_secs(1)))
    );
    assert_eq!(asked.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_taints_is_made_of_what_is_there_now() {
    let call = KubeCall::PatchNode {
        node: "a".to_owned(),
        patch: NodePatch {
            unschedulable: Some(true),
            add_taints: [Taint {
                key: "k".to_owned(),
                value: String::new(),
                effect: TaintEffect::PreferNoSchedule,
            }]
            .into(),
            ..NodePatch::default()
        },
    };
    let moved = |request: &Request, _| match request.method.as_str() {
        "GET" => Answer::json(200, &node("a", "77")),
        _ => Answer::json(409, &status(409, "Conflict", "the object has been modified")),
    };
    let (result, asked) = called(&call, moved).await;
    assert_eq!(result.unwrap_err().kind, KubeErrorKind::Conflict);
    let [get, patch] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((get.method.as_str(), get.path.as_str()), ("GET", "/api/v1/nodes/a"));
    assert_eq!(patch.headers["content-type"], "application/merge-patch+json");
    assert_eq!(patch.body["metadata"]["resourceVersion"], "77");
    assert_eq!(patch.body["spec"]["unschedulable"], true);
    assert_eq!(patch.body["spec"]["taints"][0]["key"], "k");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_of_a_node_that_is_away_asks_whether_it_still_is() {
    let patch = NodePatch { unschedulable: Some(true), if_away: true, ..NodePatch::default() };
    let call = KubeCall::PatchNode { node: "a".to_owned(), patch };
    let with = |ready: &'static str| {
        move |request: &Request, _: usize| {
            let mut node = node("a", "77");
            node["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
            assert!(matches!(request.method.as_str(), "GET" | "PATCH"));
            Answer::json(200, &node)
        }
    };
    let (result, asked) = called(&call, with("True")).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind, KubeErrorKind::Conflict);
    holds(&error, &["PatchNode", "a is back"]);
    assert_eq!(asked.len(), 1, "nothing is changed");
    let (result, asked) = called(&call, with("Unknown")).await;
    result.unwrap();
    assert_eq!(asked[1].body["metadata"]["resourceVersion"], "77");
    assert_eq!(asked[1].body["spec"]["unschedulable"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_names_the_object_it_means() {
    let gone =
        |_: &Request, _| Answer::json(404, &status(404, "NotFound", "nodes \"a\" not found"));
    let call = KubeCall::DeleteNode { node: "a".to_owned(), uid: "u-2".to_owned() };
    let (result, asked) = called(&call, gone).await;
    assert_eq!(result.unwrap_err().kind, KubeErrorKind::NotFound);
    assert_eq!(asked[0].method, "DELETE");
    assert_eq!(asked[0].body["preconditions"], json!({"uid": "u-2"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_answers_ends() {
    let limits = KubeLimits { request: Duration::from_millis(500), ..busy() };
    let (result, _) = called_with(limits, &evict(), |_, _| Answer::Silence).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind, KubeErrorKind::Unreachable);
    holds(&error, &["does not answer: nothing in 500ms", "context `testing`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_that_fail_are_named() {
    let not_ready = |_: &Request, _| Answer::text(500, "[+]ping ok\n[-]etcd failed: withheld\n");
    let is_ready = |request: &Request| request.path == "/readyz";
    let responder = Responder::start(None, counted(not_ready, is_ready));
    let client = Home::at(&responder).connect().await.unwrap();
    let error = client.ready().await.unwrap_err();
    assert_eq!(error.kind, KubeErrorKind::Server);
    holds(&error, &["the check etcd failed"]);
    let well = Responder::start(None, empty);
    Home::at(&well).connect().await.unwrap().ready().await.unwrap();
}
