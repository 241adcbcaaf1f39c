//! The cloud port's contract on AWS; the laws are in `contract`.

use std::process::Command;

use serde_json::json;

use super::{Moto, PROD};

/// The laws talk to AWS in this process, whose environment cannot be changed any more; so they run
/// in another one.
#[test]
fn aws_keeps_the_contract() {
    let moto = Moto::shared();
    let account = moto.account();
    let network = account.network(PROD);
    // Nothing that the laws are to see may pass too fast for a look.
    account.config(&json!({"target_seconds": 3, "deregistration_seconds": 3}));
    let policy = account.seed("policy", &json!({"name": "contract"}));
    let subnets: Vec<&str> = ["a", "b", "c"].iter().map(|zone| network.subnet(zone)).collect();
    let told = json!({
        "region": "eu-west-3",
        "vpc": network.text("/vpc"),
        "subnets": subnets,
        "zone": "k8s.example.com",
        "image": network.text("/image"),
        "policy_arn": policy["arn"],
    });
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "contract::aws_keeps_the_contract", "--ignored", "--nocapture"]);
    account
        .reach(&mut command)
        .env("KPROD_CONTRACT_NETWORK", told.to_string())
        .env("KPROD_CONTRACT_STATE", format!("s3://{}/contract", network.state_bucket));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{said}");
}
