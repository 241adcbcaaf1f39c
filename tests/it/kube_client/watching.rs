//! Lists and watches: pages, bookmarks, what was forgotten, what is refused.

use std::time::Duration;

use kprod::kube::{Kube as _, KubeErrorKind};
use serde_json::json;

use super::responder::{Answer, Request, Responder};
use super::{Home, counted, empty, holds, list, node, status, until};

fn is_nodes(request: &Request) -> bool {
    request.path == "/api/v1/nodes"
}

fn lists_of_nodes(responder: &Responder) -> usize {
    responder.asked().iter().filter(|request| is_nodes(request) && !request.is_watch()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_list_and_one_watch_of_each_kind_by_name() {
    let responder = Responder::start(None, empty);
    let client = Home::at(&responder).connect().await.unwrap();
    let view = client.view().await.unwrap();
    assert_eq!(view.server_version, "v1.34.2");
    let asked = responder.asked();
    let lists: Vec<&Request> =
        asked.iter().filter(|request| request.asks("limit").is_some()).collect();
    assert_eq!(lists.len(), 3);
    for request in lists {
        assert_eq!(request.asks("limit"), Some("500"));
        assert!(request.headers["user-agent"].starts_with("kprod/"), "{request:?}");
        assert_eq!(request.headers["authorization"], "Bearer secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_read_in_pages() {
    let pages = |request: &Request, _| {
        if request.is_watch() {
            return Answer::Watch(Vec::new());
        }
        match request.asks("continue") {
            None => Answer::json(
                200,
                &json!({"items": [node("a", "1")], "metadata": {"continue": "more"}}),
            ),
            Some("more") => Answer::json(200, &list(&[node("b", "2")], "7")),
            other => panic!("{other:?}"),
        }
    };
    let responder = Responder::start(None, counted(pages, is_nodes));
    let client = Home::at(&responder).connect().await.unwrap();
    let view = client.view().await.unwrap();
    assert_eq!(view.nodes.keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_from_where_the_last_one_ended() {
    let watches = |request: &Request, number: usize| match number {
        0 => Answer::json(200, &list(&[node("a", "1")], "5")),
        1 => Answer::ShortWatch(vec![
            json!({"type": "ADDED", "object": node("b", "6")}),
            json!({"type": "DELETED", "object": node("a", "7")}),
            json!({
                "type": "BOOKMARK",
                "object": {"kind": "Node", "apiVersion": "v1", "metadata": {"resourceVersion": "90"}},
            }),
        ]),
        _ => {
            assert_eq!(request.asks("resourceVersion"), Some("90"), "the bookmark is where it was");
            Answer::Watch(vec![json!({"type": "MODIFIED", "object": node("c", "91")})])
        }
    };
    let responder = Responder::start(None, counted(watches, is_nodes));
    let client = Home::at(&responder).connect().await.unwrap();
    until(&client, |view| view.nodes.keys().eq(["b", "c"])).await;
    assert_eq!(lists_of_nodes(&responder), 1);
    let first = responder.asked().into_iter().find(|r| is_nodes(r) && r.is_watch()).unwrap();
    assert_eq!(first.asks("resourceVersion"), Some("5"));
    assert_eq!(first.asks("allowWatchBookmarks"), Some("true"));
    assert_eq!(first.asks("timeoutSeconds"), Some("40"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_has_forgotten_is_listed_again() {
    let gone = || status(410, "Expired", "too old resource version: 5 (90)");
    let forgets_in_the_watch = move |_: &Request, number: usize| match number {
        0 => Answer::json(200, &list(&[node("a", "1")], "5")),
        1 => Answer::Watch(vec![json!({"type": "ERROR", "object": gone()})]),
        2 => Answer::json(200, &list(&[node("b", "2")], "90")),
        3 => Answer::json(410, &gone()),
        4 => Answer::json(200, &list(&[node("c", "3")], "91")),
        _ => Answer::Watch(Vec::new()),
    };
    let responder = Responder::start(None, counted(forgets_in_the_watch, is_nodes));
    let client = Home::at(&responder).connect().await.unwrap();
    until(&client, |view| view.nodes.keys().eq(["c"])).await;
    assert_eq!(lists_of_nodes(&responder), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_is_asked_again() {
    let busy = |request: &Request, number: usize| match number {
        0 => Answer::text(429, "Too many requests").header("retry-after", "0"),
        1 => Answer::text(503, "apiserver is shutting down"),
        2 => Answer::Silence,
        _ if request.is_watch() => Answer::Watch(Vec::new()),
        _ => Answer::json(200, &list(&[node("a", "1")], "5")),
    };
    let responder = Responder::start(None, counted(busy, is_nodes));
    let client = Home::at(&responder).connect().await.unwrap();
    until(&client, |view| view.nodes.contains_key("a")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_end_at_once_are_no_storm() {
    let ends = |request: &Request, _| match request.is_watch() {
        true => Answer::ShortWatch(Vec::new()),
        false => Answer::json(200, &list(&[], "5")),
    };
    let responder = Responder::start(None, counted(ends, is_nodes));
    let client = Home::at(&responder).connect().await.unwrap();
    client.view().await.unwrap();
    let watches = || responder.asked().iter().filter(|r| is_nodes(r) && r.is_watch()).count();
    let before = watches();
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Pauses of 25 ms at least, after the first few.
    assert!(watches() - before < 40, "{} watches", watches());
    assert_eq!(lists_of_nodes(&responder), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_fail_the_look_at_once() {
    let refuse = |_: &Request, _| Answer::json(401, &status(401, "Unauthorized", "Unauthorized"));
    let responder = Responder::start(None, counted(refuse, |_| true));
    let client = Home::at(&responder).connect().await.unwrap();
    let error = client.view().await.unwrap_err();
    assert_eq!(error.kind, KubeErrorKind::Unauthorized);
    let address = responder.address.to_string();
    holds(&error, &["context `testing`", "user `me`", "config", &address, "--context"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_rule_is_named_with_where_the_rules_are() {
    let message = "poddisruptionbudgets.policy is forbidden: User \"me\" cannot list resource \
                   \"poddisruptionbudgets\" in API group \"policy\" at the cluster scope";
    let refuse = move |_: &Request, _| Answer::json(403, &status(403, "Forbidden", message));
    let is_budgets = |request: &Request| request.path.ends_with("/poddisruptionbudgets");
    let responder = Responder::start(None, counted(refuse, is_budgets));
    let client = Home::at(&responder).connect().await.unwrap();
    let mut seen = client.view().await;
    // The other lists may come first.
    while let Err(error) = &seen
        && error.kind != KubeErrorKind::Forbidden
    {
        seen = client.view().await;
    }
    let error = seen.unwrap_err();
    holds(&error, &["ListPodDisruptionBudgets", "poddisruptionbudgets", "--for kubernetes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_later_fail_the_look_and_come_back() {
    let refuse_once = |request: &Request, number: usize| match number {
        0 => Answer::json(200, &list(&[node("a", "1")], "5")),
        1 => Answer::ShortWatch(vec![json!({
            "type": "ERROR", "object": status(401, "Unauthorized", "the token has ended"),
        })]),
        _ if request.is_watch() => {
            Answer::Watch(vec![json!({"type": "ADDED", "object": node("b", "6")})])
        }
        _ => Answer::json(200, &list(&[], "1")),
    };
    let responder = Responder::start(None, counted(refuse_once, is_nodes));
    let client = Home::at(&responder).connect().await.unwrap();
    // Between the refusal and the next watch a look may fail; after it, it does not.
    for _ in 0..100 {
        match client.view().await {
            Ok(view) if view.nodes.contains_key("b") => return,
            Ok(view) => {
                client.changed(view.generation, Duration::from_millis(50)).await;
            }
            Err(error) => {
                assert_eq!(error.kind, KubeErrorKind::Unauthorized, "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    panic!("it never came back");
}
