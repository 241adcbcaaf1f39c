//! Laws of the steps, and what must not be touched.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn wanted(kms_key: Option<&str>) -> WantedBucket {
    WantedBucket {
        address: StateAddress::parse("s3://state/c.example.com").unwrap(),
        region: "eu-west-3".to_owned(),
        kms_key: kms_key.map(str::to_owned),
    }
}

/// What a step does to a bucket.
fn make(settings: &mut BucketSettings, step: &BucketStep) {
    match step {
        BucketStep::Create(_) => {}
        BucketStep::BlockPublicAccess => settings.access_block = AccessBlock::ALL,
        BucketStep::EnforceOwner => settings.enforces_owner = true,
        BucketStep::Encrypt(encryption) => settings.encryption = Some(encryption.clone()),
        BucketStep::Version => settings.is_versioned = true,
        BucketStep::SetPolicy(policy) => settings.policy = Some(policy.clone()),
        BucketStep::ExpireVersions(rules) => {
            settings.version_rules.retain(|old| rules.iter().all(|new| new.id != old.id));
            settings.version_rules.extend(rules.iter().cloned());
        }
    }
}

fn policies() -> impl Strategy<Value = Option<Value>> {
    let other = json!({"Sid": "Audit", "Effect": "Allow", "Principal": {"AWS": "1"}, "Action": "s3:GetObject", "Resource": "*"});
    let narrow = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}}});
    prop_oneof![
        Just(None),
        Just(Some(json!({"Version": "2012-10-17", "Statement": other}))),
        Just(Some(json!({"Version": "2012-10-17", "Statement": [other, narrow]}))),
    ]
}

fn found() -> impl Strategy<Value = BucketSettings> {
    let encryption = prop_oneof![
        Just(None),
        Just(Some(Encryption::S3)),
        Just(Some(Encryption::Kms("arn:aws:kms:eu-west-3:1:key/abc".to_owned()))),
    ];
    let rules = prop::collection::vec(
        ("[a-c]", 1..9i32).prop_map(|(prefix, days)| VersionRule {
            id: format!("kprod old versions of c.example.com/{prefix}"),
            prefix,
            days,
        }),
        0..3,
    );
    let blocks = any::<[bool; 4]>().prop_map(|[one, two, three, four]| AccessBlock {
        block_public_acls: one,
        ignore_public_acls: two,
        block_public_policy: three,
        restrict_public_buckets: four,
    });
    (any::<bool>(), encryption, blocks, any::<bool>(), policies(), rules).prop_map(
        |(is_versioned, encryption, access_block, enforces_owner, policy, version_rules)| {
            BucketSettings {
                is_versioned,
                encryption,
                access_block,
                enforces_owner,
                policy,
                version_rules,
            }
        },
    )
}

proptest! {
    /// Made once, nothing is left to do; and what others set up is still there.
    #[test]
    fn the_steps_lead_to_the_wanted_bucket(
        found in found(),
        key in prop_oneof![Just(None), Just(Some("abc")), Just(Some("other"))],
    ) {
        let wanted = wanted(key);
        let mut settings = found.clone();
        for step in steps(&wanted, Some(&found)) {
            make(&mut settings, &step);
        }
        prop_assert_eq!(steps(&wanted, Some(&settings)), vec![]);
        let before = found.policy.map_or(0, |policy| policy["Statement"].as_array().map_or(1, Vec::len));
        let after = settings.policy.map_or(0, |policy| policy["Statement"].as_array().map_or(1, Vec::len));
        prop_assert_eq!(after, before + 1);
        for rule in &found.version_rules {
            prop_assert!(settings.version_rules.contains(rule));
        }
    }

    /// Cut off anywhere, the next run has only the rest to do.
    #[test]
    fn half_the_steps_leave_the_other_half(found in found(), made in 0..8usize) {
        let wanted = wanted(None);
        let all = steps(&wanted, Some(&found));
        let mut settings = found;
        for step in all.iter().take(made) {
            make(&mut settings, step);
        }
        let rest: Vec<BucketStep> = all.into_iter().skip(made).collect();
        prop_assert_eq!(steps(&wanted, Some(&settings)), rest);
    }
}

#[test]
fn a_new_bucket_is_made_first_and_set_up_whole() {
    let subjects: Vec<&str> = steps(&wanted(None), None).iter().map(BucketStep::subject).collect();
    assert_eq!(
        subjects,
        [
            "bucket",
            "public access",
            "object ownership",
            "default encryption",
            "versioning",
            "policy",
            "lifecycle"
        ]
    );
}

#[test]
fn a_stricter_bucket_is_left_alone() {
    let mut settings = BucketSettings::default();
    for step in steps(&wanted(None), None) {
        make(&mut settings, &step);
    }
    settings.encryption = Some(Encryption::Kms("arn:aws:kms:eu-west-3:1:key/abc".to_owned()));
    settings.policy = Some(json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Deny", "Principal": {"AWS": ["*"]}, "Action": ["*"], "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }}));
    assert_eq!(steps(&wanted(None), Some(&settings)), []);
    assert_eq!(steps(&wanted(Some("abc")), Some(&settings)), []);
}

#[test]
fn an_open_bucket_is_told_by_what_is_open() {
    let found = BucketSettings {
        access_block: AccessBlock { block_public_acls: false, ..AccessBlock::ALL },
        ..BucketSettings::default()
    };
    let step = &steps(&wanted(None), Some(&found))[0];
    assert_eq!(
        (step.subject(), step.before(Some(&found)).as_str()),
        ("public access", "without BlockPublicAcls")
    );
}

#[test]
fn an_address_names_bucket_and_prefix() {
    let address = |text: &str| {
        StateAddress::parse(text).map(|address| (address.key("k"), address.to_string()))
    };
    assert_eq!(address("s3://b/p/q/"), Some(("p/q/k".to_owned(), "s3://b/p/q".to_owned())));
    assert_eq!(address("s3://b"), Some(("k".to_owned(), "s3://b/".to_owned())));
    assert_eq!(address("s3://"), None);
    assert_eq!(address("file:///b"), None);
}
