//! Machines that do not come: an apply says which, and what AWS says of them.

use serde_json::json;

use super::account::said;
use super::{Moto, STAGING};

/// One zone has no capacity, and elsewhere machines are slow. The run ends as one to be resumed, and
/// names both; the next one waits for the rest and is content.
#[test]
fn machines_that_are_missing_or_late_are_named_and_the_next_run_waits_for_them() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    account.config(&json!({"launch_seconds": 1000, "shortages": [{"zone": "eu-west-3a"}]}));
    let halted = account.kprod(&network, &["apply", STAGING, "--yes", "--wait-timeout", "1s"]);
    let words = said(&halted);
    assert_eq!(halted.status.code(), Some(6), "{words}");
    let line = |group: &str| {
        let mut lines = words.lines().skip_while(|line| !line.contains("lack machines"));
        lines.find(|line| line.contains(group)).unwrap_or_else(|| panic!("{group}: {words}"))
    };
    line("control-plane-eu-west-3a.masters");
    line("control-plane-eu-west-3b.masters");
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("sufficient m6i.large capacity"), "{words}");
    assert!(words.contains("eu-west-3a"), "{words}");

    account.config(&json!({"launch_seconds": 0, "shortages": []}));
    account.let_pass(1000);
    let resumed = account.kprod(&network, &["apply", STAGING, "--yes"]);
    assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
    // The fleet's groups do not balance their zones, so a pool stays where it found capacity.
    let (code, plan) = account.plan(&network, &[]);
    assert_eq!(code, 0, "{plan:#}");
}
