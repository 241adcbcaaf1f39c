#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write;

use jiff::Timestamp;

use super::*;
use crate::document::{Document, LineMap};
use crate::finding::has_errors;
use crate::pki::State;
use crate::spec::{Strictness, read};
use crate::yaml;

const TODAY: Date = jiff::civil::date(2026, 11, 22);

/// A cluster whose members of `main` are in the zones `a`, `b`, `c` of the letters given.
#[derive(Clone, Copy)]
struct Sketch<'a> {
    zones: &'a str,
    machine_type: &'a str,
    /// Further fields of the cluster, each a line.
    cluster: &'a [&'a str],
    /// Further fields of each member, each a line.
    member: &'a [&'a str],
    /// The day of the last drill.
    drill: Option<&'a str>,
}

const SOUND: Sketch<'_> = Sketch {
    zones: "abcab",
    machine_type: "m6i.large",
    cluster: &[],
    member: &[],
    drill: Some("2026-10-31"),
};

const BASE: &str = "  configBase: s3://state/c.example.com";

fn spec(sketch: Sketch<'_>) -> Spec {
    let mut text = String::from(
        "apiVersion: kprod.dev/v1alpha1\nkind: Cluster\nmetadata: {name: c.example.com}\nspec:\n  \
         kubernetesVersion: 1.34.2\n  networkID: vpc-1\n  networkCIDR: 10.0.0.0/16\n  dnsZone: \
         example.com\n  networking: {cilium: {}}\n  kubernetesApiAccess: [10.0.0.0/8]\n",
    );
    for line in sketch.cluster.iter().filter(|line| **line != "no base") {
        let _ = writeln!(text, "  {line}");
    }
    if !sketch.cluster.contains(&"no base") {
        let _ = writeln!(text, "{BASE}");
    }
    text.push_str("  subnets:\n");
    for (index, zone) in ["a", "b", "c"].iter().enumerate() {
        let _ = writeln!(
            text,
            "  - {{name: {zone}, type: Private, zone: eu-west-3{zone}, id: subnet-{zone}, cidr: \
             10.0.{}.0/20}}",
            index * 16
        );
    }
    text.push_str("  etcdClusters:\n  - name: main\n    etcdMembers:\n");
    let drill = sketch.drill.map(|day| format!("lastDrill: {day}")).unwrap_or_default();
    for index in 0..sketch.zones.len() {
        let _ = writeln!(text, "    - name: m{index}\n      instanceGroup: etcd-{index}");
        for line in sketch.member {
            let _ = writeln!(text, "      {line}");
        }
    }
    let _ = writeln!(text, "    backups: {{{drill}}}");
    let group = |name: &str, role: &str, machine_type: &str, zone: char| {
        format!(
            "---\napiVersion: kprod.dev/v1alpha1\nkind: InstanceGroup\nmetadata: {{name: {name}}}\n\
             spec:\n  image: ami-1\n  machineType: {machine_type}\n  minSize: 1\n  maxSize: 1\n  role: \
             {role}\n  subnets: [{zone}]\n"
        )
    };
    for (index, zone) in sketch.zones.chars().enumerate() {
        text.push_str(&group(&format!("etcd-{index}"), "Etcd", sketch.machine_type, zone));
    }
    text.push_str(&group("control-plane", "ControlPlane", "t3.micro", 'a'));
    let roots = yaml::parse(&text, &yaml::Limits::default()).unwrap();
    let document = |root| Document { file: "c.yaml".to_owned(), root, lines: LineMap::Identity };
    let parsed = read(roots.into_iter().map(document).collect::<Vec<_>>(), Strictness::Strict);
    assert!(!has_errors(&parsed.findings), "{:#?}\n{text}", parsed.findings);
    parsed.spec.unwrap()
}

/// What the lints say: number and weight.
fn said(sketch: Sketch<'_>) -> Vec<(&'static str, Severity)> {
    let findings = lint(&spec(sketch), TODAY);
    let mut said: Vec<_> =
        findings.iter().map(|finding| (finding.lint.unwrap_or("-"), finding.severity)).collect();
    said.sort();
    said.dedup();
    said
}

const PRODUCTION: &[&str] = &["profile: production"];

#[test]
fn a_sound_cluster_is_silent_in_production_too() {
    assert_eq!(said(SOUND), []);
    assert_eq!(said(Sketch { cluster: PRODUCTION, ..SOUND }), []);
}

#[test]
fn production_is_asked_for_more() {
    use Severity::{Error, Warning};
    let cases = [
        (Sketch { zones: "a", ..SOUND }, vec![], vec![("L18", Error)]),
        (Sketch { zones: "abc", ..SOUND }, vec![], vec![("L18", Warning)]),
        (
            Sketch { machine_type: "t3.large", ..SOUND },
            vec![("L20", Warning)],
            vec![("L20", Error)],
        ),
        (
            Sketch { machine_type: "c6i.large", ..SOUND },
            vec![("L20", Warning)],
            vec![("L20", Warning)],
        ),
        (
            Sketch { machine_type: "c6g.medium", ..SOUND },
            vec![("L20", Warning)],
            vec![("L20", Warning)],
        ),
        (
            Sketch { machine_type: "t3.micro", ..SOUND },
            vec![("L20", Warning), ("L20", Error)],
            vec![("L20", Error)],
        ),
    ];
    for (sketch, elsewhere, production) in cases {
        let what = (sketch.zones, sketch.machine_type);
        assert_eq!(said(sketch), elsewhere, "{what:?}");
        assert_eq!(said(Sketch { cluster: PRODUCTION, ..sketch }), production, "{what:?}");
    }
}

/// Of all ways to put up to seven members into three zones, those are refused that spread them over
/// zones one of which takes the quorum with it.
#[test]
fn a_spread_is_refused_when_a_zone_takes_the_quorum() {
    for members in [3_usize, 5, 7] {
        for first in 0..=members {
            for second in 0..=members - first {
                let counts = [first, second, members - first - second];
                let zones: String =
                    counts.iter().zip(["a", "b", "c"]).map(|(n, zone)| zone.repeat(*n)).collect();
                let used = counts.iter().filter(|count| **count > 0).count();
                let is_lost = counts.iter().any(|count| members - count < members / 2 + 1);
                let expected = match used {
                    1 => Some(Severity::Warning),
                    _ => is_lost.then_some(Severity::Error),
                };
                let found = said(Sketch { zones: &zones, ..SOUND });
                let found =
                    found.iter().find(|(id, _)| *id == "L19").map(|(_, severity)| *severity);
                assert_eq!(found, expected, "{zones}");
            }
        }
    }
}

#[test]
fn disks_are_large_fast_and_encrypted() {
    use Severity::{Error, Warning};
    let cases: [(&str, &[_]); 5] = [
        ("volumeSize: 4", &[("L20", Error)]),
        ("volumeSize: 10", &[("L20", Warning)]),
        ("volumeType: standard", &[("L20", Error)]),
        ("encryptedVolume: false", &[("L24", Error)]),
        ("volumeSize: 50", &[]),
    ];
    for (line, expected) in cases {
        assert_eq!(said(Sketch { member: &[line], ..SOUND }), expected, "{line}");
    }
    assert_eq!(said(Sketch { cluster: &["no base"], ..SOUND }), [("L25", Error)]);
}

#[test]
fn a_restore_was_tried_in_the_last_90_days_where_people_depend_on_it() {
    let drilled = |drill, cluster| said(Sketch { drill, cluster, ..SOUND });
    for (day, is_fine) in [
        (None, false),
        (Some("2026-11-22"), true),
        (Some("2026-08-24"), true),
        (Some("2026-08-23"), false),
        (Some("2026-11-23"), false),
    ] {
        let expected: &[_] = if is_fine { &[] } else { &[("L68", Severity::Warning)] };
        assert_eq!(drilled(day, PRODUCTION), expected, "{day:?}");
        assert_eq!(drilled(day, &[]), [], "{day:?}");
    }
}

#[test]
fn findings_name_field_and_line() {
    let findings = lint(&spec(Sketch { zones: "aab", ..SOUND }), TODAY);
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(
        finding.field.as_deref(),
        Some("Cluster/c.example.com spec.etcdClusters[0].etcdMembers")
    );
    assert!(finding.places[0].line.is_some() && finding.hint.is_some());
    assert!(finding.message.starts_with("2 of 3 members of `main` are in eu-west-3a"));
}

#[test]
fn a_waiver_holds_for_its_lint_until_its_day() {
    let waived = |waiver: &str| {
        let cluster = format!("waivers: [{waiver}]");
        said(Sketch { zones: "aab", cluster: &[&cluster], ..SOUND })
    };
    use Severity::{Error, Note, Warning};
    let until = |day: &str| waived(&format!("{{lint: L19, reason: moving, expires: {day}}}"));
    assert_eq!(until("2026-11-22"), [("L19", Note)]);
    assert_eq!(until("2026-11-21"), [("-", Warning), ("L19", Error)]);
    let other = waived("{lint: L20, reason: moving, expires: 2027-01-31}");
    assert_eq!(other, [("-", Warning), ("L19", Error)], "one that nothing needs");
    let unknown = waived("{lint: L91, reason: moving, expires: 2027-01-31}");
    assert_eq!(unknown, [("-", Error), ("L19", Error)]);
}

/// A moment of the running cluster, and one so many minutes before.
fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn before(mins: i64) -> Timestamp {
    now() - jiff::SignedDuration::from_mins(mins)
}

/// What is seen of a cluster of which nothing but this is known.
fn seen(snapshots: Option<Snapshots>, authority: Option<State>) -> Seen {
    Seen {
        now: now(),
        snapshots: snapshots.map(|snapshots| ("main".to_owned(), snapshots)).into_iter().collect(),
        snapshot_secs_max: 7200,
        authorities: authority
            .map(|state| ("authority/kubernetes.c".to_owned(), state))
            .into_iter()
            .collect(),
    }
}

#[test]
fn a_running_cluster_has_a_young_snapshot_once_it_is_older_than_one_may_be() {
    for (snapshots, expected) in [
        (None, None),
        (Some(Snapshots::Newest(before(120))), None),
        (Some(Snapshots::Newest(before(-5))), None),
        (Some(Snapshots::NoneSince(before(120))), None),
        (
            Some(Snapshots::Newest(before(121))),
            Some("the newest verified snapshot of etcd main is 121 min old, at most 120 min count"),
        ),
        (
            Some(Snapshots::NoneSince(before(121))),
            Some(
                "there is no verified snapshot of etcd main, whose members formed it 121 min ago: \
                 nothing would bring it back",
            ),
        ),
    ] {
        let found = lint_running(&spec(SOUND), &seen(snapshots, None), TODAY);
        let told: Vec<_> = found.iter().map(|f| (f.lint, f.severity, f.message.as_str())).collect();
        let expected = expected.map(|message| (Some("L25"), Severity::Warning, message));
        assert_eq!(told, Vec::from_iter(expected), "{snapshots:?}");
    }
}

#[test]
fn what_has_no_place_for_snapshots_gets_none_from_whoever_asks_for_one() {
    let never = seen(Some(Snapshots::NoneSince(before(999))), None);
    let hint = |sketch| lint_running(&spec(sketch), &never, TODAY)[0].hint.clone().unwrap();
    assert!(hint(SOUND).contains("kprod etcd snapshot c.example.com"));
    let no_place = hint(Sketch { cluster: &["no base"], ..SOUND });
    assert!(no_place.contains("backupStore") && !no_place.contains("kprod etcd snapshot"));
}

#[test]
fn an_authority_that_ends_is_told_with_its_address() {
    let (until, at) = (now(), now());
    for (state, is_told) in [
        (State::Valid { until: Some(until) }, false),
        (State::Keyless, false),
        (State::Ending { until }, true),
        (State::Ended { at }, true),
    ] {
        let found = lint_running(&spec(SOUND), &seen(None, Some(state.clone())), TODAY);
        let told = |f: &Finding| (f.lint, f.field.clone(), f.message == state.to_string());
        let expected = (Some("L32"), Some("authority/kubernetes.c".to_owned()), true);
        assert_eq!(
            found.iter().map(told).collect::<Vec<_>>(),
            Vec::from_iter(is_told.then_some(expected))
        );
    }
}

#[test]
fn a_waiver_holds_for_the_running_cluster_as_well() {
    let never = seen(Some(Snapshots::NoneSince(before(999))), Some(State::Ended { at: now() }));
    let waived = |id: &str, day: &str| {
        let cluster = format!("waivers: [{{lint: {id}, reason: a try, expires: {day}}}]");
        let spec = spec(Sketch { cluster: &[&cluster], ..SOUND });
        let found = lint_running(&spec, &never, TODAY);
        let told = found.iter().map(|f| (f.lint.unwrap(), f.severity)).collect::<Vec<_>>();
        // Whether it is needed only a look at the cluster tells; that it is over, its day.
        (told, lint(&spec, TODAY).len())
    };
    use Severity::{Note, Warning};
    assert_eq!(waived("L25", "2026-11-22"), (vec![("L25", Note), ("L32", Warning)], 0));
    assert_eq!(waived("L32", "2026-11-22"), (vec![("L25", Warning), ("L32", Note)], 0));
    assert_eq!(waived("L25", "2026-11-21"), (vec![("L25", Warning), ("L32", Warning)], 1));
}

/// Each rule of the list speaks, and nothing speaks that is not in the list.
#[test]
fn the_list_is_what_speaks() {
    let sketches = [
        Sketch { zones: "aab", machine_type: "t3.micro", ..SOUND },
        Sketch { zones: "a", cluster: PRODUCTION, drill: None, ..SOUND },
        Sketch { member: &["encryptedVolume: false"], cluster: &["no base"], ..SOUND },
    ];
    let mut heard: BTreeSet<&str> = sketches
        .into_iter()
        .flat_map(|sketch| said(sketch).into_iter().map(|(id, _)| id))
        .collect();
    let worst = seen(Some(Snapshots::NoneSince(before(999))), Some(State::Ended { at: now() }));
    let running = lint_running(&spec(SOUND), &worst, TODAY);
    let running: BTreeSet<&str> = running.iter().filter_map(|finding| finding.lint).collect();
    let of_running = LINTS.iter().filter(|lint| !lint.seen_by.is_empty()).map(|lint| lint.id);
    assert_eq!(running, of_running.collect());
    heard.extend(running);
    let listed: Vec<&str> = LINTS.iter().map(|lint| lint.id).collect();
    assert!(listed.is_sorted());
    assert_eq!(heard, listed.into_iter().collect());
}
