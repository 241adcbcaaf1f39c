//! AWS in bad days: down, silent. A plan ends with 1, a run with 6 once it has begun; the
//! message names service, endpoint and way out, and the same command goes on when all is well.

use serde_json::{Value, json};

use super::account::Account;
use super::{Moto, PROD, STAGING, flat};

/// Everything that changes something.
const CHANGES: &str = "(?!Describe|List|Get|Head).*";

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

/// One service after the other fails every change: each run ends with 6, and the last one, when all
/// is well again, leaves the cluster as wanted.
#[test]
fn a_run_ends_resumable_whichever_service_goes_down() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    let first_of = |service: &str| match service {
        "ec2" => "security_group/nodes.staging.k8s.example.com",
        "iam" => "role/nodes.staging.k8s.example.com",
        "elasticloadbalancing" => "target_group/tcp-internal-staging-k8s--h7ikfj",
        "route53" => "hosted_zone/internal.staging.k8s.example.com",
        _ => "auto_scaling_group/on-demand-4x-32gb.staging.k8s.example.com",
    };
    // A group needs some of what the others make, so it comes last.
    let mut services = READ_BY_PLAN;
    services.swap(1, 4);
    for (index, (service, name)) in services.into_iter().enumerate() {
        let (mut rule, word) = ways_to_fail(service)[index % 2].clone();
        rule["action"] = json!(CHANGES);
        account.faults(json!([rule]));
        let only = ["--only", first_of(service)];
        let apply = ["apply", STAGING, "--yes", "--retry-timeout", "300ms"];
        let output = account.kprod(&network, &[&apply[..], &only].concat());
        let said = flat(&output);
        assert_eq!(output.status.code(), Some(6), "{service}: {said}");
        assert_told(&account, &said, name, word);
    }
    account.faults(json!([]));
    super::apply::apply(&account, &network).unwrap();
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
