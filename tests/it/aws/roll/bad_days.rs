//! API servers and kubeconfigs that do not work, told by the program itself and lived through by the
//! real client in mid-roll.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kprod::sim::kubernetes::ApiTrouble;
use serde_json::{Value, json};

use super::super::flat;
use super::people::Pace;
use super::{FAST, Moto, STAGING, Stage, apply};
use crate::kube_api::{Faults, TOKEN};
use crate::kube_client::responder::{Answer, Responder, tls};

/// Machines are fast, and kprod's own waits as long as ever.
const HASTY: Pace = Pace { times: 1, haste: 10 };

/// A kubeconfig in a folder for tests.
fn kubeconfig(name: &str, cluster: &Value, token: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bad-kubeconfig-{name}"));
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "testing",
        "contexts": [{"name": "testing", "context": {"cluster": "there", "user": "me"}}],
        "clusters": [{"name": "there", "cluster": cluster}],
        "users": [{"name": "me", "user": {"token": token}}],
    });
    std::fs::write(&file, text.to_string()).unwrap();
    file
}

/// With each of these the program ends with 1, names what is wrong and the way out, and has changed
/// nothing.
#[test]
fn a_kubeconfig_that_does_not_work_is_told_before_anything_is_begun() {
    let moto = Moto::start();
    let mut stage = Stage::set(&moto, STAGING, &[], HASTY);
    stage.next_image();
    apply(&stage.owner, STAGING, &stage.sets);
    stage.owner.calls();
    let there = json!({"server": format!("http://{}", stage.people.api.address)});
    let ended = include_bytes!("../../../../src/kube/client/fixtures/server-ended.pem");
    let ended = Responder::start(Some(tls(ended, false)), |_| Answer::text(200, "ok"));
    let authority = include_bytes!("../../../../src/kube/client/fixtures/ca.pem");
    let ended = json!({
        "server": format!("https://{}", ended.address),
        "certificate-authority-data": STANDARD.encode(authority),
    });
    // A port that was free a moment ago.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = json!({"server": format!("http://{nobody}")});
    let none = PathBuf::from("/no/such/kubeconfig");
    let works = kubeconfig("works", &there, TOKEN);
    let cases: [(&Path, &[&str], &[&str]); 5] = [
        (&none, &[], &["/no/such/kubeconfig", "--kubeconfig"]),
        (&works, &["--context", "nowhere"], &["`nowhere`", "bad-kubeconfig-works", "testing"]),
        (&kubeconfig("stranger", &there, "x"), &[], &["does not take the credentials", "renew"]),
        (&kubeconfig("ended", &ended, TOKEN), &[], &["has ended (2020-01-01", "renew it"]),
        (&kubeconfig("nobody", &nobody, TOKEN), &[], &["does not answer", "refused", "/readyz"]),
    ];
    for (file, more, words) in cases {
        let verb = ["rolling-update", STAGING, "--yes", "--cloud", "aws", "--kubeconfig"];
        let mut command = stage.owner.command(&verb);
        let run = command.arg(file).args(more).args(&stage.sets).output().unwrap();
        let said = flat(&run);
        assert_eq!(run.status.code(), Some(1), "{file:?}: {said}");
        for word in words {
            assert!(said.contains(word), "no `{word}` in {said}");
        }
        let changes: Vec<_> =
            stage.owner.calls().into_iter().filter(|call| call.is_change()).collect();
        assert!(changes.is_empty(), "{file:?}: {changes:#?}");
    }
}

/// In mid-roll the API server is away for two minutes, and has forgotten by then where the watches
/// were (410): the lists are read again, and the roll goes on as if nothing had been.
#[test]
fn an_api_server_that_was_away_and_has_forgotten_the_watches_costs_nothing_but_time() {
    let moto = Moto::start();
    let mut stage = Stage::set(&moto, STAGING, &[], FAST);
    stage.next_image();
    apply(&stage.owner, STAGING, &stage.sets);
    stage.owner.calls();
    let errand = stage.errand("ann@laptop (process 1)");
    let run = errand.start(&stage.owner);
    assert!(stage.owner.changes_reach(12), "the roll is on its way");
    stage.people.api.requests();
    let forgotten_before = stage.people.api.with(|cluster| {
        let until = cluster.now().plus_secs(120);
        cluster.break_api(ApiTrouble::Unreachable, Some(until));
        cluster.generation() + 1
    });
    stage.people.api.faults(Faults { forgotten_before, ..Faults::default() });
    let told = errand.end(run).unwrap();
    assert_eq!((told.code, told.replaced), (0, 6), "{told:#?}");
    stage.is_rolled().unwrap();
    let requests = stage.people.api.requests();
    for kind in ["nodes", "pods", "poddisruptionbudgets"] {
        let is_list = |target: &str| target.contains(kind) && target.contains("limit=");
        let lists = requests.iter().filter(|r| r.status == 200 && is_list(&r.target));
        assert!(lists.count() >= 1, "{kind} were listed again");
    }
}
