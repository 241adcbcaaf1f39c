//! No connection, no TLS, no credentials.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kprod::kube::client::KubeLimits;
use kprod::kube::{Kube as _, KubeError, KubeErrorKind};
use serde_json::{Value, json};

use super::responder::{Responder, tls};
use super::{Home, busy, empty, holds};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../src/kube/client/fixtures/", $name)).as_slice()
    };
}

/// What a call comes to, with this server, authority and user.
async fn asked(
    certificate: &[u8],
    asks: bool,
    authority: &[u8],
    user: Value,
) -> Result<(), KubeError> {
    let responder = Responder::start(Some(tls(certificate, asks)), empty);
    let cluster = json!({
        "server": format!("https://{}", responder.address),
        "certificate-authority-data": STANDARD.encode(authority),
    });
    Home::with(cluster, user).connect().await.unwrap().ready().await
}

async fn served_with(certificate: &[u8], authority: &[u8]) -> Result<(), KubeError> {
    asked(certificate, false, authority, json!({"token": "secret"})).await
}

fn client_certificate(certificate: &[u8]) -> Value {
    json!({
        "client-certificate-data": STANDARD.encode(certificate),
        "client-key-data": STANDARD.encode(fixture!("client-key.pem")),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_servers_certificate() {
    served_with(fixture!("server.pem"), fixture!("ca.pem")).await.unwrap();
    let refused = async |certificate, authority| {
        let error = served_with(certificate, authority).await.unwrap_err();
        assert_eq!(error.kind, KubeErrorKind::Certificate);
        holds(&error, &["the certificate of https://127.0.0.1"]);
        error
    };
    let ended = refused(fixture!("server-ended.pem"), fixture!("ca.pem")).await;
    holds(&ended, &["has ended (2020-01-01T00:00:00Z)", "renew it on the control plane", "clock"]);
    let early = refused(fixture!("server-not-yet.pem"), fixture!("ca.pem")).await;
    holds(&early, &["is not valid yet (2100-01-01T00:00:00Z)", "the clock is wrong"]);
    let stranger = refused(fixture!("server.pem"), fixture!("another-ca.pem")).await;
    holds(&stranger, &["authority", "certificate-authority-data", "cluster `there`", "config"]);
    let name = refused(fixture!("server-other-name.pem"), fixture!("ca.pem")).await;
    holds(&name, &["for another name", "tls-server-name", "cluster `there`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_clients_certificate() {
    let with = |user| asked(fixture!("server.pem"), true, fixture!("ca.pem"), user);
    with(client_certificate(fixture!("client.pem"))).await.unwrap();
    let ended = with(client_certificate(fixture!("client-ended.pem"))).await.unwrap_err();
    assert_eq!(ended.kind, KubeErrorKind::Certificate);
    holds(
        &ended,
        &["the client certificate ended at 2020-01-01T00:00:00Z", "user `me`", "renew it"],
    );
    // The refusal may overtake the request, which then was never sent: like any caller, ask again.
    let mut none = with(json!({"token": "secret"})).await.unwrap_err();
    for _ in 0..5 {
        if none.kind == KubeErrorKind::Unreachable {
            none = with(json!({"token": "secret"})).await.unwrap_err();
        }
    }
    assert_eq!(none.kind, KubeErrorKind::Certificate);
    holds(&none, &["refuses the client certificate", "context `testing`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_speaks_no_tls() {
    let responder = Responder::start(None, empty);
    let cluster = json!({"server": format!("https://{}", responder.address)});
    let client = Home::with(cluster, json!({"token": "secret"})).connect().await.unwrap();
    let error = client.ready().await.unwrap_err();
    assert_eq!(error.kind, KubeErrorKind::Config);
    holds(&error, &["does not speak TLS", "`server` of cluster `there`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there() {
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home =
        Home::with(json!({"server": format!("http://{address}")}), json!({"token": "secret"}));
    let limits = KubeLimits { first_look: std::time::Duration::from_millis(300), ..busy() };
    let client = home.connect_with(limits).await.unwrap();
    let error = client.view().await.unwrap_err();
    assert_eq!(error.kind, KubeErrorKind::Unreachable);
    holds(&error, &["does not answer", "refused", "context `testing`", &address.to_string()]);
    assert!(error.kind.is_passing(), "it may come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_program_that_hangs_is_left_behind() {
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sleep", "args": ["600"], "interactiveMode": "Never",
    });
    let home = Home::with(json!({"server": "http://127.0.0.1:1"}), json!({"exec": exec}));
    let limits = KubeLimits { program: std::time::Duration::from_millis(500), ..busy() };
    let error = home.connect_with(limits).await.err().unwrap();
    assert_eq!(error.kind, KubeErrorKind::Config);
    holds(&error, &["`sleep`", "no credentials in 500ms", "user `me`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_program_gives_the_token() {
    let responder = Responder::start(None, empty);
    let given = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"given"}}"#;
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "echo", "args": [given], "interactiveMode": "Never",
    });
    let server = format!("http://{}", responder.address);
    let home = Home::with(json!({"server": server}), json!({"exec": exec}));
    home.connect_with(KubeLimits::default()).await.unwrap().ready().await.unwrap();
    let asked = responder.asked();
    assert!(asked.iter().all(|request| request.headers["authorization"] == "Bearer given"));
}
