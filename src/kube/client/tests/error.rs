//! Messages by what they have to name.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::kube::client::certificate::Validity;
use crate::kube::client::config::Origin;
use crate::kube::client::error::{explained, of_answer, of_client};
use crate::kube::{KubeError, KubeErrorKind};

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn origin() -> Origin {
    Origin {
        place: "/home/me/.kube/config".to_owned(),
        context: Some("prod".to_owned()),
        user: Some("admin".to_owned()),
        cluster: Some("prod-cluster".to_owned()),
        server: "https://api.prod.example.com/".to_owned(),
        ..Origin::default()
    }
}

/// What an eviction comes to that is answered so.
fn eviction(code: u16, header: Option<u64>, body: &serde_json::Value) -> KubeError {
    of_answer("EvictPod", code, header, body.to_string().as_bytes())
}

#[test]
fn a_budgets_429_is_told_from_a_busy_servers() {
    let processed = json!({
        "kind": "Status", "status": "Failure", "reason": "TooManyRequests", "code": 429,
        "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "details": {
            "causes": [{
                "reason": "DisruptionBudget",
                "message": "The disruption budget web is still being processed by the server.",
            }],
            "retryAfterSeconds": 10,
        },
    });
    let error = eviction(429, Some(10), &processed);
    assert_eq!(
        (error.kind, error.retry_after),
        (KubeErrorKind::Budget, Some(Duration::from_secs(10)))
    );
    assert_eq!(
        error.message,
        "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget \
         web is still being processed by the server."
    );
    let mut short = processed;
    short["details"]["retryAfterSeconds"].take();
    short["details"]["retryAfterSeconds"] = 0.into();
    assert_eq!(eviction(429, None, &short).retry_after, None);

    let busy = of_answer("EvictPod", 429, Some(1), b"Too many requests, please try again later.");
    assert_eq!(
        (busy.kind, busy.retry_after),
        (KubeErrorKind::Throttled, Some(Duration::from_secs(1)))
    );
    let busy =
        json!({"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": "busy"});
    assert_eq!(eviction(429, None, &busy).kind, KubeErrorKind::Throttled);
}

#[test]
fn answers_by_their_code() {
    let status = |code: u16| {
        let body =
            json!({"kind": "Status", "status": "Failure", "message": "said so", "code": code});
        let error = eviction(code, None, &body);
        assert_eq!(error.message, "said so");
        error.kind
    };
    assert_eq!(status(401), KubeErrorKind::Unauthorized);
    assert_eq!(status(403), KubeErrorKind::Forbidden);
    assert_eq!(status(404), KubeErrorKind::NotFound);
    assert_eq!(status(409), KubeErrorKind::Conflict);
    assert_eq!(status(422), KubeErrorKind::Invalid);
    // Two budgets select the pod: a status without a reason.
    assert_eq!(status(500), KubeErrorKind::Server);
    assert_eq!(status(503), KubeErrorKind::Server);
}

#[test]
fn a_page_of_a_proxy_is_no_missing_object_and_is_shortened() {
    let page = "<html>".repeat(1_000);
    let error = of_answer("DeletePod", 404, None, page.as_bytes());
    assert_eq!(error.kind, KubeErrorKind::Config);
    assert!(error.message.chars().count() < 600);
    let told = explained(error, &origin(), now());
    assert!(told.message.starts_with("https://api.prod.example.com/ is no API server"), "{told}");
    assert_eq!(of_answer("DeletePod", 502, None, b"").message, "HTTP 502 without a word");
}

#[test]
fn refused_credentials_name_file_context_user_and_way_out() {
    let refused = || KubeError::new(KubeErrorKind::Unauthorized, "ListNodes", "Unauthorized");
    let told = explained(refused(), &origin(), now());
    for part in ["/home/me/.kube/config", "`prod`", "`admin`", "api.prod.example.com", "--context"]
    {
        assert!(told.message.contains(part), "{part} is not in {told}");
    }
    let by_plugin = Origin { plugin: Some("`aws`".to_owned()), ..origin() };
    let told = explained(refused(), &by_plugin, now());
    assert!(told.message.contains("what `aws` gives is not taken"), "{told}");
}

#[test]
fn an_ended_client_certificate_is_told_from_an_unknown_one() {
    let certificate = Validity::of_pem(include_bytes!("../fixtures/client-ended.pem"));
    assert!(certificate.is_some());
    let origin = Origin { certificate, ..origin() };
    let refused = || KubeError::new(KubeErrorKind::Unauthorized, "ListNodes", "Unauthorized");
    let told = explained(refused(), &origin, now());
    assert_eq!(told.kind, KubeErrorKind::Certificate);
    assert!(told.message.contains("ended at 2020-01-01T00:00:00Z"), "{told}");
    assert!(told.message.contains("renew it"), "{told}");

    let early = explained(refused(), &origin, "2018-11-21T12:00:00Z".parse().unwrap());
    assert!(early.message.contains("is not valid before 2019-01-01T00:00:00Z"), "{early}");
    assert!(early.message.contains("set this machine's clock"), "{early}");

    let valid = explained(refused(), &origin, "2019-11-21T12:00:00Z".parse().unwrap());
    assert_eq!(valid.kind, KubeErrorKind::Unauthorized);
}

#[test]
fn what_is_not_allowed_says_where_the_rules_are() {
    let message = "nodes is forbidden: User \"admin\" cannot list resource \"nodes\"";
    let error = KubeError::new(KubeErrorKind::Forbidden, "ListNodes", message);
    let told = explained(error, &origin(), now()).message;
    assert!(told.starts_with(message), "{told}");
    assert!(told.contains("`prod`") && told.contains("kprod policy"), "{told}");
}

#[test]
fn what_the_client_has_read_already_means_the_same() {
    let of = |status: serde_json::Value| {
        let error = kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()));
        of_client("ListPods", &error, &origin(), now())
    };
    let forbidden = of(json!({"code": 403, "message": "no", "reason": "Forbidden"}));
    assert_eq!(forbidden.kind, KubeErrorKind::Forbidden);
    assert!(forbidden.message.starts_with("no: "), "{forbidden}");
    let page =
        of(json!({"code": 404, "message": "<html>", "reason": "Failed to parse error data"}));
    assert_eq!(page.kind, KubeErrorKind::Config);
    let busy = of(json!({"code": 429, "message": "busy", "reason": "Failed to parse error data"}));
    assert_eq!(busy.kind, KubeErrorKind::Throttled);
}
