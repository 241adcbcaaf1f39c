//! The lease on AWS: one writer at a time, whoever sleeps, dies, or has a wrong clock.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::account::{Network, Run};
use super::calls::Calls;
use super::state::told;
use super::{Account, Moto, STAGING, counted};

const APPLY: [&str; 3] = ["apply", STAGING, "--yes"];

/// The lease as it stands in the bucket.
fn lease(account: &Account<'_>, network: &Network) -> Value {
    let key = format!("{STAGING}/lease/{STAGING}");
    account.seed("object", &json!({"bucket": network.state_bucket, "key": key}))
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// A run that is in the middle of its changes, slowed down so that it stays there.
fn half_way(account: &Account<'_>, network: &Network) -> Run {
    account.calls();
    account.faults(json!([{"action": "Create.*", "mode": "delay", "delay_ms": 400}]));
    let run = account.start(network, &APPLY);
    let mut seen = Calls::new();
    wait_until("the run is half-way", || {
        seen.extend(account.calls());
        changes(&seen).count() >= 5
    });
    run
}

/// Waits until whatever a run was about to send has been sent, and is not answered yet: what is on the
/// wire when a process is stopped is made, and no test can tell it from what should not be.
fn all_sent(account: &Account<'_>) {
    let writes = "(?!Describe|List|Get|Head).*";
    account.faults(json!([{"action": writes, "mode": "late", "delay_ms": 6_000}]));
    std::thread::sleep(Duration::from_secs(3));
}

/// What a run made, changed or removed outside of the bucket.
fn changes(calls: &Calls) -> impl Iterator<Item = &super::calls::Call> {
    calls.iter().filter(|call| !call.is_read() && call.service != "s3" && call.status < 300)
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("waited in vain until {what}");
}

/// Stopped in the middle, its lease broken, the work done by another: when it wakes up it changes
/// nothing more.
#[test]
fn a_holder_that_wakes_up_after_its_lease_was_broken_changes_nothing() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    let asleep = half_way(&account, &network);
    all_sent(&account);
    asleep.signal("STOP");
    let stopped = Instant::now();
    account.faults(json!([]));
    let (code, said) = told(&account.kprod(&network, &APPLY));
    assert!(code == 4 && said.contains("kprod unlock"), "{said}");
    let (code, said) = told(&account.kprod(&network, &["unlock", STAGING, "--yes"]));
    assert!(code == 0 && said.contains("broken"), "{said}");
    let (code, said) = told(&account.kprod(&network, &APPLY));
    assert!(code == 0 && said.contains("did not end"), "{said}");

    // A call that was about to be sent is given up when that is more than ten seconds ago.
    wait_until("it was asleep for long", || stopped.elapsed() > Duration::from_secs(12));
    account.calls();
    asleep.signal("CONT");
    let (code, _, said) = asleep.finish();
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("was lost"), "{said}");
    let calls = account.calls();
    assert_eq!(changes(&calls).count(), 0, "{calls:#?}");
    let written = calls.iter().filter(|call| !call.is_read() && call.status < 300);
    assert_eq!(written.count(), 0, "nor does it write over what the other one wrote: {calls:#?}");
    let (code, said) = told(&account.kprod(&network, &["state", "show", STAGING]));
    assert!(code == 0 && said.contains("nobody holds it") && said.contains(": done"), "{said}");
}

/// A dead run's lease is taken over at its end plus the longest call, by the bucket's clock, and not
/// before. The clock is put forward so that the test need not wait for all of it.
#[test]
fn a_killed_holder_is_succeeded_when_its_lease_has_ended_and_not_before() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    let mut killed = half_way(&account, &network);
    killed.kill();
    account.faults(json!([]));
    let left = lease(&account, &network);
    let free_at = time(&left["expires_at"]) + Duration::from_secs(60);
    account.config(&json!({"clock_offset_seconds": 200}));
    let (code, said) = told(&account.kprod(&network, &APPLY));
    assert_eq!(code, 4, "{said}");

    let patient = ["apply", STAGING, "--yes", "--lock-timeout", "3m", "--events", "jsonl"];
    let output = account.kprod(&network, &patient);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output).1);
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let taken = events.into_iter().find(|event| event["event"] == "lease_taken").unwrap();
    let taken_at = time(&taken["expires_at"]) - Duration::from_secs(180);
    // The bucket tells whole seconds.
    let early = free_at - Duration::from_secs(2);
    assert!(taken_at >= early, "taken at {taken_at}, free at {free_at}");
}

/// The lease goes by the bucket's clock: a machine that is minutes off, as far as AWS lets it sign at
/// all, writes the same lease as every other.
#[test]
fn a_lease_ends_by_the_buckets_clock_and_not_by_the_machines() {
    for offset_seconds in [-240, 240] {
        let account = Moto::shared().account();
        let network = account.network(STAGING);
        account.config(&json!({"clock_offset_seconds": offset_seconds}));
        let mut run = half_way(&account, &network);
        let held = lease(&account, &network);
        run.kill();
        let now = Timestamp::now() + jiff::SignedDuration::from_secs(offset_seconds);
        let left = time(&held["expires_at"]).duration_since(now).as_secs();
        assert!((60..=190).contains(&left), "{offset_seconds}: {left} s are left of {held}");
    }
}

/// An hour off, AWS takes no signature: verbs that only want the bucket say what to set.
#[test]
fn a_clock_an_hour_off_is_named_by_verbs_about_the_bucket() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    for offset_seconds in [-3600, 3600] {
        account.config(&json!({"clock_offset_seconds": offset_seconds}));
        account.calls();
        for verb in [&["unlock", STAGING][..], &["state", "create", STAGING, "--yes"]] {
            let (code, said) = told(&account.kprod(&network, verb));
            assert_eq!(code, 1, "{verb:?}: {said}");
            assert!(said.contains("set this machine's clock"), "{verb:?}: {said}");
        }
        let calls = account.calls();
        assert!(calls.iter().all(|call| call.status >= 400), "{:#?}", counted(&calls));
    }
}

/// What may befall a write to the bucket, and what the run makes of it.
#[test]
fn a_write_to_the_bucket_that_goes_wrong_is_sent_again_and_recognised() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    let (code, said) = told(&account.kprod(&network, &APPLY));
    assert_eq!(code, 0, "{said}");
    let error = |status: u16, code: &str| json!({"status": status, "code": code});
    let faults = [
        json!({"mode": "lost"}),
        json!({"mode": "reset"}),
        error(409, "ConditionalRequestConflict"),
        error(503, "SlowDown"),
        error(500, "InternalError"),
    ];
    for (round, fault) in faults.into_iter().enumerate() {
        for (what, skip) in [("PutObject", 0), ("PutObject", 1), ("DeleteObject", 0)] {
            let mut rule = fault.clone();
            let rest = json!({"service": "s3", "action": what, "skip": skip, "times": 1});
            rule.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            account.faults(json!([rule]));
            let max = format!(
                "spot_nodes.4x_32Gb.max={}",
                10 + round % 2 + 2 * usize::from(what == "DeleteObject") + 4 * skip
            );
            let run = [&APPLY[..], &["--set", &max]].concat();
            let (code, said) = told(&account.kprod(&network, &run));
            assert_eq!(code, 0, "{rule}: {said}");
            let at_end = lease(&account, &network);
            assert_eq!(at_end, Value::Null, "{rule}: the lease is given back");
        }
    }
    account.faults(json!([]));
}

/// How often a first apply talks to the bucket.
#[test]
#[expect(clippy::print_stdout, reason = "`--nocapture` tells the figure")]
fn a_first_apply_asks_the_bucket_little() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    account.calls();
    let (code, said) = told(&account.kprod(&network, &APPLY));
    assert_eq!(code, 0, "{said}");
    let calls = account.calls();
    let bucket: Calls = calls.into_iter().filter(|call| call.service == "s3").collect();
    println!("a first apply of staging asks the bucket: {:?}", counted(&bucket));
    let of = |operation: &str, key: &str| {
        let is_of = |call: &&super::calls::Call| {
            call.action == operation && call.params["Key"].contains(key)
        };
        bucket.iter().filter(is_of).count()
    };
    assert_eq!(of("GetObject", "lease/"), 0, "a free lease is taken by writing it");
    assert_eq!((of("GetObject", "journal/"), of("GetObject", "incarnation/")), (1, 1));
    assert_eq!((of("DeleteObject", "lease/"), of("PutObject", "incarnation/")), (1, 0));
}
