//! Whose credentials: profile, role, account and region, and what is said when they are of no use.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::account::{Account, account_of};
use super::calls::Call;
use super::{Moto, PROD, STAGING, counted, flat};

/// What kprod says, and its exit code.
fn run(account: &Account<'_>, arguments: &[&str]) -> (i32, String) {
    let output = account.command(arguments).output().unwrap();
    (output.status.code().unwrap(), flat(&output))
}

/// A wrong account is noticed by the first call, before the state bucket is touched, and a wrong
/// region before any.
#[test]
fn another_account_or_region_is_refused_before_anything_else() {
    let account = Moto::shared().account();
    account.calls();
    let other = ["--cloud", "aws", "--set-string", "account=111111111111"];
    for verb in [&["plan", PROD][..], &["apply", PROD, "--yes"], &["observe", PROD]] {
        let (code, said) = run(&account, &[verb, &other].concat());
        assert_eq!(code, 5, "{said}");
        for word in ["111111111111", &account.number, "the environment", "--profile"] {
            assert!(said.contains(word), "{word} is not in {said}");
        }
        let calls = account.calls();
        assert!(calls.iter().all(|call| call.service == "iam" || call.service == "sts"));
        assert!(calls.iter().all(Call::is_read), "{calls:#?}");
    }
    let (code, said) = run(&account, &[&["unlock", PROD][..], &other].concat());
    assert_eq!(code, 5, "{said}");
    assert!(account.calls().iter().all(|call| call.service == "sts"));

    let (code, said) = run(&account, &["plan", PROD, "--cloud", "aws", "--region", "us-east-1"]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("us-east-1") && said.contains("eu-west-3"), "{said}");
    assert_eq!(account.calls().len(), 0);
}

/// A role of another account: STS is asked once, with the session's name and the external id, and
/// tells the account, so that nothing else has to.
#[test]
fn a_role_is_taken_on_and_tells_its_account() {
    let (own, other) = (Moto::shared().account(), Moto::shared().account());
    let network = other.network(PROD);
    own.calls();
    other.calls();
    let role = format!("arn:aws:iam::{}:role/ops", other.number);
    let plan = ["plan", PROD, "--assume-role", &role, "--external-id", "42", "--detailed-exitcode"];
    let output = own.kprod(&network, &plan);
    assert_eq!(output.status.code(), Some(2), "{}", flat(&output));
    let asked = own.calls();
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert_eq!(asked[0].action, "AssumeRole");
    assert_eq!(asked[0].params["ExternalId"], "42");
    assert!(asked[0].params["RoleSessionName"].starts_with("kprod-"), "{asked:#?}");
    assert!(!counted(&other.calls()).contains_key("sts:GetCallerIdentity"));

    let rule = json!({"service": "sts", "status": 403, "code": "AccessDenied",
        "message": "not authorized to perform: sts:AssumeRole"});
    own.faults(json!([rule]));
    let output = own.kprod(&network, &plan);
    assert_eq!(output.status.code(), Some(1));
    let said = flat(&output);
    for word in [&role, "AssumeRole", "--external-id", "get-session-token"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    own.faults(json!([]));
}

/// AWS's own files: keys, a role over another profile, and a profile that is not there.
#[test]
fn profiles_are_read_from_awss_files_and_a_named_one_wins() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name);
    let key = |name: &str| account.key(name);
    let keys = format!(
        "[work]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        key("AWS_ACCESS_KEY_ID"),
        key("AWS_SECRET_ACCESS_KEY"),
        key("AWS_SESSION_TOKEN"),
    );
    fs::write(file("credentials"), keys).unwrap();
    let role = format!("arn:aws:iam::{}:role/ops", account.number);
    fs::write(
        file("config"),
        format!("[profile ops]\nrole_arn = {role}\nsource_profile = work\n[profile empty]\n"),
    )
    .unwrap();
    let plan = |profile: &str, is_flag: bool| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kprod"));
        account_of(&mut command, &account.moto.url());
        command.env("AWS_CONFIG_FILE", file("config"));
        command.env("AWS_SHARED_CREDENTIALS_FILE", file("credentials"));
        command.args(["plan", STAGING, "--cloud", "aws"]).args(network.sets());
        match is_flag {
            // The keys in the environment are another account's.
            true => command.args(["--profile", profile]),
            false => command
                .env("AWS_PROFILE", profile)
                .env_remove("AWS_ACCESS_KEY_ID")
                .env_remove("AWS_SECRET_ACCESS_KEY"),
        };
        let output = command.output().unwrap();
        (output.status.code(), flat(&output))
    };
    for is_flag in [true, false] {
        for profile in ["work", "ops"] {
            let (code, said) = plan(profile, is_flag);
            assert_eq!(code, Some(0), "{profile}: {said}");
        }
        for profile in ["nope", "empty"] {
            let (code, said) = plan(profile, is_flag);
            assert_eq!(code, Some(1), "{profile}: {said}");
            let word = format!("profile `{profile}`");
            assert!(said.contains(&word) && said.contains("list-profiles"), "{said}");
        }
    }
}

/// Credentials that end in the middle: nothing new begins, 6, and the way to new ones; the same
/// command with new ones goes on. What counts is the run's own order: from the moment that it knows,
/// at most the other seven changes of its eight at a time end the call that they are in.
#[test]
fn credentials_that_end_in_the_middle_halt_the_run() {
    let account = Moto::shared().account();
    let network = account.network(STAGING);
    let message = "The security token included in the request is expired";
    account.faults(json!([
        {"service": "iam", "action": "Create.*", "skip": 1, "code": "ExpiredToken", "message": message}
    ]));
    let output = account.kprod(&network, &["apply", STAGING, "--yes", "--events", "jsonl"]);
    let said = flat(&output);
    assert_eq!(output.status.code(), Some(6), "{said}");
    for word in ["have ended", "aws sso login", "run the same command again"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is = |event: &Value, name: &str| event["event"] == name;
    let ended = events.iter().position(|event| is(event, "change_failed")).unwrap();
    let (before, after) = events.split_at(ended);
    assert!(before.iter().any(|event| is(event, "call_made")), "it was in the middle: {text}");
    assert!(after.iter().filter(|event| is(event, "call_made")).count() <= 7, "{text}");
    assert!(!after.iter().any(|event| is(event, "change_started")), "{text}");

    account.faults(json!([]));
    super::apply::apply(&account, &network).unwrap();
}

/// Before anything has begun, ended credentials and a clock that is off are errors like any other.
#[test]
fn ended_credentials_and_a_wrong_clock_are_told_apart() {
    let account = Moto::shared().account();
    for (service, code) in [("iam", "ExpiredToken"), ("iam", "RequestExpired")] {
        account.faults(json!([{"service": service, "code": code, "message": "expired"}]));
        let (exit, said) = run(&account, &["plan", PROD, "--cloud", "aws"]);
        assert_eq!(exit, 1, "{said}");
        assert!(said.contains("have ended") && said.contains("aws sso login"), "{said}");
    }
    account.faults(json!([]));
    for (offset, word) in [(3900, "1 h 5 min behind"), (-3900, "1 h 5 min ahead of")] {
        account.config(&json!({"clock_offset_seconds": offset}));
        let (exit, said) = run(&account, &["plan", PROD, "--cloud", "aws"]);
        assert_eq!(exit, 1, "{said}");
        let near = word.replace("5 min", "4 min");
        assert!(said.contains(word) || said.contains(&near), "{word} is not in {said}");
        assert!(said.contains("timedatectl"), "{said}");
    }
}
