//! Laws of keys and certificates, and what OpenSSL says of them.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

const CLUSTER: &str = "prod.k8s.example.com";

fn now() -> Timestamp {
    "2026-11-22T05:00:00Z".parse().unwrap()
}

fn after(days: i64) -> Timestamp {
    now() + SignedDuration::from_hours(days * 24)
}

fn authorities() -> Vec<Authority> {
    Authority::of_cluster(["main", "events"])
}

fn peers(etcd: &str) -> Authority {
    Authority::EtcdPeers(etcd.to_owned())
}

fn make(authority: &Authority, cluster: &str, at: Timestamp) -> Signer {
    Signer::make(authority, cluster, PrivateKey::generate().unwrap(), at).unwrap()
}

fn member(name: &str) -> Member<'_> {
    let address = IpAddr::from(Ipv4Addr::new(10, 20, 16, 7));
    Member { cluster: CLUSTER, etcd: "main", name, address }
}

fn sign(signer: &Signer, request: &LeafRequest, at: Timestamp) -> Leaf {
    signer.sign(request, &PrivateKey::generate().unwrap(), at).unwrap()
}

/// OpenSSL's own opinion, with its strict checks, at a moment.
fn verifies(authority: &Signer, leaf: &Leaf, purpose: &str, name: &[&str], at: Timestamp) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (ca, own) = (folder.path().join("ca.pem"), folder.path().join("leaf.pem"));
    std::fs::write(&ca, authority.to_public()).unwrap();
    std::fs::write(&own, &leaf.certificate).unwrap();
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", purpose, "-attime"])
        .arg(at.as_second().to_string())
        .args(name)
        .arg("-CAfile")
        .args([&ca, &own])
        .output()
        .expect("openssl is installed");
    output.status.success()
}

#[test]
fn openssl_takes_every_leaf_for_its_use_its_names_and_no_other() {
    let (main, clients) = (make(&peers("main"), CLUSTER, now()), Authority::EtcdClients);
    let clients = make(&clients, CLUSTER, now());
    let a = member("a");
    let (host, domain) = ("etcd-a.internal.prod.k8s.example.com", "internal.prod.k8s.example.com");
    for kind in [MemberLeaf::Peer, MemberLeaf::Server] {
        let leaf = sign(&main, &a.leaf(kind), now());
        for purpose in ["sslserver", "sslclient"] {
            assert!(verifies(&main, &leaf, purpose, &[], now()), "{kind:?} {purpose}");
        }
        for name in [host, domain] {
            assert!(verifies(&main, &leaf, "sslserver", &["-verify_hostname", name], now()));
        }
        assert!(verifies(&main, &leaf, "sslserver", &["-verify_ip", "10.20.16.7"], now()));
        let other = "etcd-b.internal.prod.k8s.example.com";
        assert!(!verifies(&main, &leaf, "sslserver", &["-verify_hostname", other], now()));
        assert!(!verifies(&main, &leaf, "sslserver", &["-verify_ip", "10.20.16.8"], now()));
        let local = verifies(&main, &leaf, "sslserver", &["-verify_ip", "127.0.0.1"], now());
        assert_eq!(local, kind == MemberLeaf::Server);
        assert!(!verifies(&clients, &leaf, "sslclient", &[], now()), "another authority");
    }
    let own = sign(&main, &a.leaf(MemberLeaf::Client), now());
    let api = sign(&clients, &api_server_client(), now());
    for (signer, leaf) in [(&main, &own), (&clients, &api)] {
        assert!(verifies(signer, leaf, "sslclient", &[], now()));
        assert!(!verifies(signer, leaf, "sslserver", &[], now()), "a client is no server");
    }
    assert!(!verifies(&main, &api, "sslclient", &[], now()), "an API server is no peer");
}

#[test]
fn openssl_takes_a_leaf_from_an_hour_before_to_its_end() {
    let main = make(&peers("main"), CLUSTER, now());
    let leaf = sign(&main, &member("a").leaf(MemberLeaf::Peer), now());
    let holds = |at| verifies(&main, &leaf, "sslserver", &[], at);
    let an_hour = SignedDuration::from_hours(1);
    assert!(holds(now() - an_hour) && holds(after(364)));
    assert!(!holds(now() - an_hour - SignedDuration::from_secs(1)) && !holds(after(366)));
}

#[test]
fn openssl_reads_the_same_key_from_a_leaf_and_beside_it() {
    let main = make(&peers("main"), CLUSTER, now());
    let leaf = sign(&main, &member("a").leaf(MemberLeaf::Peer), now());
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
    std::fs::write(&key, leaf.key.expose()).unwrap();
    std::fs::write(&certificate, &leaf.certificate).unwrap();
    let run = |arguments: &[&str], file: &std::path::Path| {
        let output = Command::new("openssl").args(arguments).arg("-in").arg(file).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let (of_key, of_certificate) =
        (run(&["pkey", "-pubout"], &key), run(&["x509", "-noout", "-pubkey"], &certificate));
    assert_eq!(of_key, of_certificate);
    let text = run(&["x509", "-noout", "-text"], &certificate);
    for wanted in ["prime256v1", "ecdsa-with-SHA256", "CA:FALSE", "CN = etcd-main-a"] {
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn an_authority_reads_back_and_signs_on() {
    for authority in authorities() {
        let made = make(&authority, CLUSTER, now());
        let read = Signer::parse(&authority, CLUSTER, &made.to_secret()).unwrap();
        assert_eq!(read.to_public(), made.to_public());
        assert_eq!(read.to_secret(), made.to_secret());
        let public = check_public(&authority, CLUSTER, &read.to_public()).unwrap();
        assert_eq!(public.as_ref(), read.certificate());
        assert_eq!(public.is_some(), authority.has_certificate());
        assert_eq!(authority.to_string().parse(), Ok(authority));
    }
    let made = make(&peers("main"), CLUSTER, now());
    let read = Signer::parse(&peers("main"), CLUSTER, &made.to_secret()).unwrap();
    let leaf = sign(&read, &member("a").leaf(MemberLeaf::Peer), now());
    assert!(verifies(&made, &leaf, "sslserver", &[], now()));
}

#[test]
fn what_is_not_this_authority_is_refused() {
    let authority = peers("main");
    let made = make(&authority, CLUSTER, now());
    let elsewhere = make(&authority, "dev.k8s.example.com", now());
    let events = make(&peers("events"), CLUSTER, now());
    for other in [&elsewhere, &events] {
        let read = Signer::parse(&authority, CLUSTER, &other.to_secret());
        assert!(matches!(read, Err(PkiError::NotOurs { .. })), "{read:?}");
        assert!(check_public(&authority, CLUSTER, &other.to_public()).is_err());
    }
    let leaf = sign(&made, &member("a").leaf(MemberLeaf::Peer), now());
    assert!(
        check_public(&authority, CLUSTER, &leaf.certificate).is_err(),
        "a leaf is no authority"
    );
    let again = make(&authority, CLUSTER, now());
    let mixed = format!("{}\n{}", again.to_secret().expose(), "");
    let mixed = mixed.replace(&again.to_public(), &made.to_public());
    let read = Signer::parse(&authority, CLUSTER, &Secret::new(mixed));
    assert_eq!(read.unwrap_err(), PkiError::Mismatch);
    for nothing in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        let read = Signer::parse(&authority, CLUSTER, &Secret::new(nothing.to_owned()));
        assert_eq!(read.unwrap_err(), PkiError::Key);
    }
    let service = make(&Authority::ServiceAccount, CLUSTER, now());
    let private = service.to_secret().expose().to_owned();
    assert!(check_public(&Authority::ServiceAccount, CLUSTER, &private).is_err());
}

#[test]
fn an_authority_signs_what_is_its_own_while_it_is_valid() {
    let clients = make(&Authority::EtcdClients, CLUSTER, now());
    let key = PrivateKey::generate().unwrap();
    let peer = member("a").leaf(MemberLeaf::Peer);
    assert!(matches!(clients.sign(&peer, &key, now()), Err(PkiError::WrongAuthority(_))));
    let mut server = api_server_client();
    server.usages = [Usage::Server].into();
    assert!(matches!(clients.sign(&server, &key, now()), Err(PkiError::WrongAuthority(_))));
    let bare = make(&Authority::ServiceAccount, CLUSTER, now());
    let mut token = api_server_client();
    token.authority = Authority::ServiceAccount;
    assert!(matches!(bare.sign(&token, &key, now()), Err(PkiError::WrongAuthority(_))));
    for at in [after(-1), after(AUTHORITY_DAYS + 1)] {
        let signed = clients.sign(&api_server_client(), &key, at);
        assert_eq!(signed.unwrap_err(), PkiError::Ended(Authority::EtcdClients));
    }
}

#[test]
fn every_certificate_has_a_number_and_a_key_of_its_own() {
    let main = make(&peers("main"), CLUSTER, now());
    let request = member("a").leaf(MemberLeaf::Peer);
    let leaves: Vec<Leaf> = (0..64).map(|_| sign(&main, &request, now())).collect();
    let read = leaves.iter().map(|leaf| Certificate::parse(&leaf.certificate).unwrap());
    let serials: BTreeSet<String> = read.map(|certificate| certificate.serial).collect();
    assert_eq!(serials.len(), leaves.len());
    let keys: BTreeSet<&str> = leaves.iter().map(|leaf| leaf.key.expose()).collect();
    assert_eq!(keys.len(), leaves.len());
}

#[test]
fn each_private_key_has_a_place_of_its_own_and_no_path_is_below_another() {
    let all = authorities();
    let secrets: BTreeSet<String> = all.iter().map(|a| a.secret_parameter(CLUSTER)).collect();
    let public: BTreeSet<String> = all.iter().map(|a| a.public_parameter(CLUSTER)).collect();
    assert_eq!((secrets.len(), public.len()), (all.len(), all.len()));
    assert!(secrets.is_disjoint(&public));
    for secret in &secrets {
        assert!(!secret.starts_with(&format!("/kprod/{CLUSTER}/{PUBLIC_PLACE}/")));
        // What SSM takes. Source: Systems Manager API reference, PutParameter, `Name`.
        assert!(secret.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c)));
    }
}

#[test]
fn nothing_secret_is_in_any_debug_text() {
    for authority in authorities() {
        let made = make(&authority, CLUSTER, now());
        let secret = made.to_secret();
        let shown = format!("{made:?} {made:#?} {secret:?} {secret:#?} {:?}", made.to_public());
        assert_no_key(&shown, &secret);
    }
    let main = make(&peers("main"), CLUSTER, now());
    let leaf = sign(&main, &member("a").leaf(MemberLeaf::Peer), now());
    assert_no_key(&format!("{leaf:?}{:?}", PrivateKey::parse(&leaf.key)), &leaf.key);
    let broken = Secret::new(leaf.key.expose().replace("MIG", "MIH"));
    assert_no_key(&format!("{:?}", PrivateKey::parse(&broken)), &broken);
}

/// No line of a key's text that holds a part of its private number: PKCS #8 ends in the public half, in
/// the third line.
fn assert_no_key(shown: &str, secret: &Secret) {
    assert!(!shown.contains("PRIVATE"), "{shown}");
    let key = secret.expose().split("-----END PRIVATE KEY").next().unwrap();
    for line in key.lines().filter(|line| !line.starts_with("-----")).take(2) {
        assert!(!shown.contains(line));
    }
}

#[test]
fn a_long_name_of_a_cluster_fits_a_certificate_and_stays_its_own() {
    let names = ["a", "b"].map(|last| format!("{}.example.{last}", "long-label".repeat(9)));
    let made = names.each_ref().map(|name| make(&peers("main"), name, now()));
    let organizations = made.each_ref().map(|m| m.certificate().unwrap().organization.clone());
    assert_ne!(organizations[0], organizations[1]);
    assert!(organizations.iter().flatten().all(|name| name.len() == 64));
    assert!(Signer::parse(&peers("main"), &names[1], &made[0].to_secret()).is_err());
}

#[test]
fn what_differs_from_the_request_is_told_and_made_anew() {
    let main = make(&peers("main"), CLUSTER, now());
    let other = make(&peers("main"), CLUSTER, now());
    let (authority, request) = (main.certificate().unwrap(), member("a").leaf(MemberLeaf::Peer));
    let key = PrivateKey::generate().unwrap();
    let held = main.sign(&request, &key, now()).unwrap().certificate;
    let why = |request: &LeafRequest, authority: &Certificate, key: &PrivateKey| {
        renewal(request, authority, Some((&held, key)), now()).unwrap()
    };
    assert_eq!(why(&request, authority, &key), None);
    assert!(matches!(why(&request, other.certificate().unwrap(), &key), Some(Renewal::Differs(_))));
    let strange = PrivateKey::generate().unwrap();
    assert!(matches!(why(&request, authority, &strange), Some(Renewal::Differs(_))));
    let b = member("b").leaf(MemberLeaf::Peer);
    assert!(matches!(why(&b, authority, &key), Some(Renewal::Differs(_))));
    let mut moved = member("a");
    moved.address = IpAddr::from(Ipv4Addr::new(10, 20, 16, 8));
    let moved = moved.leaf(MemberLeaf::Peer);
    assert!(matches!(why(&moved, authority, &key), Some(Renewal::Differs(_))));
    let mut used = request.clone();
    used.usages = [Usage::Server].into();
    assert!(matches!(why(&used, authority, &key), Some(Renewal::Differs(_))));
    assert_eq!(renewal(&request, authority, None, now()), Ok(Some(Renewal::Missing)));
    let ended = renewal(&request, authority, Some((&held, &key)), after(AUTHORITY_DAYS + 1));
    assert_eq!(ended, Err(PkiError::Ended(peers("main"))));
}

#[test]
fn a_block_of_nothing_is_refused_at_once() {
    for body in ["", "\n", "MA==\n", "MII=\n"] {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n");
        assert!(Certificate::parse(&pem).is_err());
        let key = pem.replace("CERTIFICATE", "PUBLIC KEY");
        assert!(check_public(&Authority::ServiceAccount, CLUSTER, &key).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A leaf is left alone for the first third of its life and renewed after it, whenever its
    /// authority is made and it is signed; it never outlives its authority.
    #[test]
    fn leaves_are_renewed_at_a_third_and_end_with_their_authority(
        made in 0..10_000i64, signed in 1..AUTHORITY_DAYS, asked in 0..2 * LEAF_DAYS,
    ) {
        let epoch: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
        let day = |days: i64| epoch + SignedDuration::from_hours(24 * days);
        let main = make(&peers("main"), CLUSTER, day(made));
        let authority = main.certificate().unwrap();
        let request = member("a").leaf(MemberLeaf::Peer);
        let key = PrivateKey::generate().unwrap();
        let leaf = main.sign(&request, &key, day(made + signed)).unwrap();
        let read = Certificate::parse(&leaf.certificate).unwrap();
        prop_assert!(read.not_after <= authority.not_after && read.not_before >= authority.not_before);
        prop_assert!(read.not_after <= day(made + signed + LEAF_DAYS));
        prop_assert!(read.is_signed_by(authority) && !authority.is_signed_by(&read));
        let at = day(made + signed + asked);
        let found = renewal(&request, authority, Some((&leaf.certificate, &key)), at);
        let is_cut = read.not_after == authority.not_after;
        let is_due = at >= read.renew_at() && !is_cut;
        if at > authority.not_after {
            prop_assert_eq!(found, Err(PkiError::Ended(peers("main"))));
        } else {
            prop_assert_eq!(found, Ok(is_due.then_some(Renewal::Due)));
        }
        let (state, _) = state_of_leaf(&request, authority, Some(&leaf.certificate), at);
        let told = match state {
            State::Valid { until: Some(until) } | State::Due { until } | State::Ending { until } => {
                until == read.not_after && at <= until
            }
            State::Ended { at: end } => end == read.not_after && at > end,
            _ => false,
        };
        prop_assert!(told, "{:?}", state);
    }

    /// An authority is never renewed; that it ends is told two years before.
    #[test]
    fn the_end_of_an_authority_is_told_in_time(asked in 0..2 * AUTHORITY_DAYS) {
        let main = make(&peers("main"), CLUSTER, now());
        let (state, _) =
            state_of_authority(&peers("main"), CLUSTER, Some(&main.to_public()), after(asked));
        let left = AUTHORITY_DAYS - asked;
        match state {
            State::Valid { .. } => prop_assert!(left >= 2 * LEAF_DAYS),
            State::Ending { .. } => prop_assert!((0..2 * LEAF_DAYS).contains(&left)),
            State::Ended { .. } => prop_assert!(left < 0),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// Whatever bytes are found where a certificate should be, they are read or refused.
    #[test]
    fn nothing_that_is_found_panics_or_takes_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..800usize) {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(&bytes);
        for label in ["CERTIFICATE", "PUBLIC KEY", "PRIVATE KEY"] {
            let pem = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
            for authority in [peers("main"), Authority::ServiceAccount] {
                let _ = check_public(&authority, CLUSTER, &pem);
                let _ = Signer::parse(&authority, CLUSTER, &Secret::new(pem.clone()));
            }
        }
        let whole = make(&peers("main"), CLUSTER, now()).to_secret();
        let part: String = whole.expose().chars().take(cut).collect();
        let read = Signer::parse(&peers("main"), CLUSTER, &Secret::new(part.clone()));
        prop_assert_eq!(read.is_ok(), part.contains("-----END CERTIFICATE-----"));
    }
}
