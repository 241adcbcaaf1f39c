//! What the emulator promises to the tests: accounts apart, calls counted, faults as asked for.

use serde_json::json;

use super::calls::Call;
use super::{Moto, PROD, counted};

/// What one account holds, breaks and counts is its own.
#[test]
fn accounts_of_one_emulator_know_nothing_of_each_other() {
    let moto = Moto::shared();
    let (one, other) = (moto.account(), moto.account());
    let network = one.network(PROD);
    other.network(PROD);
    other.faults(json!([{"status": 503, "code": "Unavailable"}]));
    one.calls();
    let (code, plan) = one.plan(&network, &[]);
    assert_eq!((code, plan["account"].as_str()), (2, Some(one.number.as_str())));
    let calls = one.calls();
    assert!(calls.iter().all(|call| call.account == one.number && call.fault.is_none()));
    let order: Vec<(u64, u64)> = calls.iter().map(|call| (call.sequence, call.at_ms)).collect();
    assert!(order.is_sorted(), "{order:?}");
    assert!(one.calls().is_empty(), "asking forgets");

    let refused = other.kprod(&network, &["plan", PROD, "--retry-timeout", "1s"]);
    assert_eq!(refused.status.code(), Some(1));
    let calls = other.calls();
    assert!(
        calls.iter().any(|call| call.status == 503 && call.code == "Unavailable"),
        "{calls:#?}"
    );
}

/// An answer that is lost leaves no status, and a run in the middle of one can be stopped.
#[test]
fn a_run_can_be_held_and_ended_at_a_call() {
    let moto = Moto::shared();
    let account = moto.account();
    let network = account.network(PROD);
    account.calls();
    let held = json!({"service": "ec2", "action": "DescribeVolumes", "mode": "late"});
    account.faults(json!([with(&held, "delay_ms", json!(60_000))]));
    let mut run = account.start(&network, &["plan", PROD]);
    wait_for(|| account.calls().iter().any(|call| call.action == "DescribeVolumes"));
    assert!(run.ended().is_none());
    run.signal("STOP");
    run.signal("CONT");
    run.kill();

    account.faults(json!([with(&held, "mode", json!("reset"))]));
    account.config(&json!({"launch_seconds": 1}));
    let plan = ["plan", PROD, "--retry-timeout", "1s"];
    let (code, _, said) = account.start(&network, &plan).finish();
    assert_ne!(code, Some(2), "{said}");
    let calls = account.calls();
    let cut = calls.iter().find(|call| call.action == "DescribeVolumes").unwrap();
    assert_eq!((cut.status, cut.fault.as_deref()), (0, Some("reset")));
    assert!(calls.iter().all(Call::is_read) && counted(&calls)["ec2:DescribeVolumes"] >= 1);
}

fn with(rule: &serde_json::Value, field: &str, value: serde_json::Value) -> serde_json::Value {
    let mut rule = rule.clone();
    rule[field] = value;
    rule
}

/// Waits until something holds; a minute at most.
fn wait_for(holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("waited in vain");
}
