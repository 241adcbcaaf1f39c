//! AWS in bad days: throttled, down, silent. A plan ends with 1, a run with 6 once it has begun; the
//! message names service, endpoint and way out, and the same command goes on when all is well.

use serde_json::{Value, json};

use super::account::Account;
use super::{Moto, PROD, STAGING, flat};

/// Services as signatures and as people name them.
const READ_BY_PLAN: [(&str, &str); 5] = [
    ("ec2", "EC2"),
    ("autoscaling", "Auto Scaling"),
    ("iam", "IAM"),
    ("elasticloadbalancing", "Elastic Load Balancing"),
    ("route53", "Route 53"),
];

/// How a service is down, and the word for it.
fn ways_to_fail(service: &str) -> [(Value, &'static str); 3] {
    [
        (json!({"service": service, "status": 503, "code": "ServiceUnavailable"}), "fails"),
        (json!({"service": service, "status": 500, "code": "InternalFailure"}), "fails"),
        (json!({"service": service, "mode": "reset"}), "broke"),
    ]
}

fn assert_told(account: &Account<'_>, said: &str, name: &str, word: &str) {
    for word in [name, word, &account.moto.url(), "run the same command again"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
}

#[test]
fn a_plan_names_the_service_that_is_down() {
    let account = Moto::shared().account();
    let network = account.network(PROD);
    for (service, name) in READ_BY_PLAN {
        for (rule, word) in ways_to_fail(service) {
            account.faults(json!([rule]));
            let output = account.kprod(&network, &["plan", PROD, "--retry-timeout", "300ms"]);
            let said = flat(&output);
            assert_eq!(output.status.code(), Some(1), "{rule}: {said}");
            assert_told(&account, &said, name, word);
        }
    }
    // Without the credentials telling their account, and without roles, STS is asked.
    for (rule, word) in ways_to_fail("sts") {
        account.faults(json!([rule]));
        let output = account.kprod(&network, &["plan", PROD, "--retry-timeout", "300ms"]);
        assert_eq!(output.status.code(), Some(1), "{rule}: {}", flat(&output));
        assert_told(&account, &flat(&output), "STS", word);
    }
    account.faults(json!([]));
    account.calls();
}

/// A service that takes the call and never answers is given up like one that is down.
#[test]
fn a_service_that_says_nothing_is_given_up() {
    let account = Moto::shared().account();
    let network = account.network(PROD);
    let rule = json!({"service": "route53", "mode": "delay", "delay_ms": 40_000});
    account.faults(json!([rule]));
    let output = account.kprod(&network, &["plan", PROD, "--retry-timeout", "1s"]);
    let said = flat(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Route 53") && said.contains("timeout"), "{said}");
    account.faults(json!([]));
}

/// Without the state bucket nothing begins.
#[test]
fn a_run_without_its_state_bucket_does_not_begin() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    for (rule, _) in ways_to_fail("s3") {
        account.faults(json!([rule]));
        account.calls();
        let apply = ["apply", STAGING, "--yes", "--retry-timeout", "300ms"];
        let output = account.kprod(&network, &apply);
        assert_eq!(output.status.code(), Some(1), "{rule}: {}", flat(&output));
        let calls = account.calls();
        let changes = calls.iter().filter(|call| call.service != "s3" && !call.is_read());
        assert_eq!(changes.count(), 0, "{rule}");
    }
    account.faults(json!([]));
}
