//! The state bucket on AWS: made, found wanting, missing, closed, elsewhere, somebody else's; and what
//! a run does when it is.

use std::process::Output;

use serde_json::{Value, json};

use super::account::Network;
use super::{Account, Moto, STAGING, counted};

/// What a verb said on both channels, in one line, with its exit code.
pub(super) fn told(output: &Output) -> (i32, String) {
    let text =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    let words: Vec<&str> = text.iter().flat_map(|text| text.split_whitespace()).collect();
    (output.status.code().unwrap(), words.join(" "))
}

/// A verb on staging whose state is in another bucket than the one that the network came with.
fn on_bucket(
    account: &Account<'_>,
    network: &Network,
    bucket: &str,
    verb: &[&str],
) -> (i32, String) {
    let set = format!("state_bucket={bucket}");
    let mut command = account.kprod_command(network, verb);
    told(&command.args(["--set", &set]).output().unwrap())
}

/// Makes a bucket by hand.
fn bucket_in(account: &Account<'_>, region: &str, name: &str) {
    account.seed("bucket", &json!({"name": name, "region": region}));
}

const APPLY: [&str; 5] = ["apply", STAGING, "--yes", "--retry-timeout", "2s"];

/// The verbs that change nothing in the account but say what is wrong with the bucket.
fn refused_by_every_verb(
    account: &Account<'_>,
    network: &Network,
    bucket: &str,
    expected: &[&str],
) {
    account.calls();
    for verb in [&APPLY[..], &["unlock", STAGING], &["state", "show", STAGING]] {
        let (code, said) = on_bucket(account, network, bucket, verb);
        assert_eq!(code, 1, "{verb:?}: {said}");
        for part in expected {
            assert!(said.contains(part), "{verb:?} lacks {part:?}: {said}");
        }
    }
    let calls = account.calls();
    let changed: Vec<_> =
        calls.iter().filter(|call| !call.is_read() && call.status < 300).collect();
    assert!(changed.is_empty(), "{changed:#?}");
}

#[test]
fn a_bucket_is_made_as_it_should_be_and_made_again_nothing_changes() {
    let moto = Moto::shared();
    let account = moto.account();
    let network = account.network(STAGING);
    let bucket = format!("made-{}", account.number);
    let create = ["state", "create", STAGING, "--yes"];

    let (code, said) = on_bucket(&account, &network, &bucket, &["state", "create", STAGING]);
    assert!(code == 1 && said.contains("give --yes") && said.contains("absent"), "{said}");
    account.calls();
    let (code, said) = on_bucket(&account, &network, &bucket, &create);
    assert_eq!(code, 0, "{said}");
    let made = counted(&account.calls());
    for operation in [
        "CreateBucket",
        "PutPublicAccessBlock",
        "PutBucketOwnershipControls",
        "PutBucketEncryption",
        "PutBucketVersioning",
        "PutBucketPolicy",
        "PutBucketLifecycleConfiguration",
    ] {
        assert_eq!(made.get(&format!("s3:{operation}")), Some(&1), "{operation}: {made:#?}");
    }
    let (code, said) = on_bucket(&account, &network, &bucket, &create);
    assert!(code == 0 && said.contains("as it should be"), "{said}");
    let again = account.calls();
    assert!(again.iter().all(super::calls::Call::is_read), "{:#?}", counted(&again));

    // The independent eye: what boto3 reads of it.
    let seen = account.seed("bucket_settings", &json!({"name": bucket}));
    assert_eq!(seen["location"], "eu-west-3");
    assert_eq!(seen["versioning"], "Enabled");
    assert_eq!(seen["encryption"], "AES256");
    assert_eq!(seen["ownership"], "BucketOwnerEnforced");
    assert_eq!(seen["access_block"].as_array().unwrap().iter().filter(|b| **b == true).count(), 4);
    let statement = &seen["policy"]["Statement"][0];
    assert_eq!((&statement["Effect"], &statement["Principal"]), (&json!("Deny"), &json!("*")));
    assert_eq!(statement["Condition"]["Bool"]["aws:SecureTransport"], "false");
    assert_eq!(seen["rules"].as_array().unwrap().len(), 2);

    // One setting that somebody changed is told, and set back; others' rules stay.
    account.seed("loosen_bucket", &json!({"name": bucket}));
    let (code, said) = on_bucket(&account, &network, &bucket, &["state", "show", STAGING]);
    assert!(code == 0 && said.contains("off -> on") && said.contains("2 differences"), "{said}");
    let (code, said) = on_bucket(&account, &network, &bucket, &create);
    assert_eq!(code, 0, "{said}");
    let mended = counted(&account.calls());
    assert!(mended.contains_key("s3:PutBucketVersioning"), "{mended:#?}");
    assert!(!mended.contains_key("s3:PutBucketEncryption"), "{mended:#?}");
    let seen = account.seed("bucket_settings", &json!({"name": bucket}));
    assert_eq!(seen["versioning"], "Enabled");
    let names: Vec<&str> =
        seen["rules"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(names.len() == 3 && names.contains(&"audit"), "{names:?}");

    let (code, said) = on_bucket(&account, &network, &bucket, &APPLY);
    assert_eq!(code, 0, "{said}");
    let (code, said) = on_bucket(&account, &network, &bucket, &["state", "show", STAGING]);
    assert!(code == 0 && said.contains("nobody holds it") && said.contains(": done"), "{said}");
}

#[test]
fn a_missing_bucket_is_named_before_anything_is_made() {
    let moto = Moto::shared();
    let account = moto.account();
    let network = account.network(STAGING);
    let bucket = format!("missing-{}", account.number);
    let expected = [bucket.as_str(), "does not exist", "kprod state create"];
    refused_by_every_verb(&account, &network, &bucket, &expected);
}

#[test]
fn a_bucket_in_another_region_is_refused_by_the_region_it_is_in() {
    let moto = Moto::shared();
    let account = moto.account();
    let network = account.network(STAGING);
    let bucket = format!("elsewhere-{}", account.number);
    bucket_in(&account, "eu-central-1", &bucket);
    let expected = [bucket.as_str(), "is in eu-central-1", "eu-west-3", "spec.configBase"];
    refused_by_every_verb(&account, &network, &bucket, &expected);
    let (code, said) =
        on_bucket(&account, &network, &bucket, &["state", "create", STAGING, "--yes"]);
    assert!(code == 1 && said.contains("is in eu-central-1"), "{said}");
}

#[test]
fn a_bucket_of_another_account_is_neither_read_nor_written() {
    let moto = Moto::shared();
    let (account, stranger) = (moto.account(), moto.account());
    let network = account.network(STAGING);
    let bucket = format!("foreign-{}", account.number);
    bucket_in(&stranger, "eu-west-3", &bucket);
    let expected = [bucket.as_str(), "belongs to another account than", "spec.configBase"];
    refused_by_every_verb(&account, &network, &bucket, &expected);
    let (code, said) =
        on_bucket(&account, &network, &bucket, &["state", "create", STAGING, "--yes"]);
    assert!(code == 1 && said.contains("belongs to another account"), "{said}");
}

#[test]
fn a_bucket_that_may_only_be_read_is_told_by_the_write_that_is_denied() {
    let moto = Moto::shared();
    let account = moto.account();
    let network = account.network(STAGING);
    let deny = |action: &str| {
        account.faults(json!([
            {"service": "s3", "action": action, "status": 403, "code": "AccessDenied", "message": "not authorized"}
        ]));
    };
    deny("PutObject|DeleteObject");
    account.calls();
    let (code, said) = told(&account.kprod(&network, &APPLY));
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("PutObject on `s3://") && said.contains("allow s3:PutObject on"),
        "{said}"
    );
    let calls = account.calls();
    assert!(calls.iter().all(|call| call.is_read() || call.service == "s3"), "{calls:#?}");
    // Reading still works.
    let (code, said) = told(&account.kprod(&network, &["state", "show", STAGING]));
    assert!(code == 0 && said.contains("nobody holds it"), "{said}");

    deny("GetObject");
    let (code, said) = told(&account.kprod(&network, &["unlock", STAGING]));
    assert!(code == 1 && said.contains("s3:GetObject") && said.contains("s3:ListBucket"), "{said}");
    // The lease is given back by a run that could not read what the last one left: its plan has read two
    // epochs before.
    account.faults(json!([
        {"service": "s3", "action": "GetObject", "skip": 2, "status": 403, "code": "AccessDenied", "message": "not authorized"}
    ]));
    let (code, said) = told(&account.kprod(&network, &APPLY));
    assert!(code == 1 && said.contains("GetObject on"), "{said}");
    account.faults(json!([]));
    let (code, said) = told(&account.kprod(&network, &["unlock", STAGING]));
    assert!(code == 0 && said.contains("nobody holds"), "{said}");
}

#[test]
fn without_a_place_for_the_state_nothing_is_changed() {
    let moto = Moto::shared();
    let account = moto.account();
    let network = account.network(STAGING);
    let folder = tempfile::tempdir().unwrap();
    let documents = folder.path().to_str().unwrap();
    let mut render = account.command(&["render", STAGING, "-o", documents]);
    assert!(render.args(network.sets()).output().unwrap().status.success());
    let mut files = vec!["-f".to_owned()];
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let kept: Vec<&str> = text.lines().filter(|line| !line.contains("configBase:")).collect();
        std::fs::write(&path, kept.join("\n")).unwrap();
        files.push(path.display().to_string());
    }
    account.calls();
    let mut apply = account.command(&["apply", "--cloud", "aws", "--yes"]);
    let (code, said) = told(&apply.args(&files).output().unwrap());
    assert!(code == 1 && said.contains("`spec.configBase` is not set"), "{said}");
    assert!(said.contains("kprod state create"), "{said}");
    let calls = account.calls();
    assert!(calls.iter().all(super::calls::Call::is_read), "{:#?}", counted(&calls));
}
