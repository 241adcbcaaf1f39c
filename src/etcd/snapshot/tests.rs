//! Laws of lists, turns, retention and moments.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::slot::Slots;
use super::*;
use crate::etcd::epoch::ClusterId;

const CLUSTER: &str = "c.example.com";
const TOKEN: &str = "main.c.1.7";
const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn record(second: i64, token: &str) -> Record {
    let content = Content { bytes: 4128, sha256: "0".repeat(64) };
    let revision = second.unsigned_abs();
    let taken = Taken { member: "a".to_owned(), revision, at: at(second), content };
    let name = name(&taken);
    Record {
        object: object("s3://b", "c", "main", &name, "snapshot.db"),
        name,
        member: "a".to_owned(),
        epoch: 1,
        token: token.to_owned(),
        cluster_id: ClusterId(1),
        etcd_version: "3.4.23".parse().unwrap(),
        revision,
        term: 2,
        bytes: 4128,
        sha256: "0".repeat(64),
        taken_at: at(second),
        verified_at: at(second + 5),
        certificates_sha256: String::new(),
        request: None,
    }
}

fn list(seconds: impl IntoIterator<Item = i64>) -> List {
    seconds.into_iter().fold(List::empty(), |list, second| list.with(record(second, TOKEN)))
}

fn voters(count: usize) -> BTreeSet<String> {
    ["a", "b", "c", "d", "e"].into_iter().take(count).map(str::to_owned).collect()
}

fn member<'a>(name: &'a str, voters: &'a BTreeSet<String>) -> Member<'a> {
    let (token, leader) = (TOKEN, Some("b"));
    Member { cluster: CLUSTER, name, token, is_well: true, voters, leader }
}

fn schedule(interval_secs: u64) -> Schedule {
    Schedule { interval_secs, ..Schedule::USUAL }
}

fn sealed(database: &[u8]) -> Vec<u8> {
    [database, Sha256::digest(database).as_slice()].concat()
}

proptest! {
    /// A snapshot is what etcd sent; with any byte flipped, or cut off anywhere, it is none.
    #[test]
    fn a_flipped_byte_is_noticed(pages in 2..20_usize, seed in any::<u8>(), at in any::<prop::sample::Index>()) {
        let database: Vec<u8> = (0..pages * 512).map(|i| (i as u8).wrapping_mul(seed)).collect();
        let file = sealed(&database);
        let content = examine(file.as_slice()).unwrap();
        prop_assert_eq!(content.bytes, file.len() as u64);
        prop_assert_eq!(content.sha256, sha256_of(&file));
        let mut flipped = file.clone();
        flipped[at.index(file.len())] ^= 1;
        let noticed = matches!(examine(flipped.as_slice()), Err(ContentError::WrongSum { .. }));
        prop_assert!(noticed);
        prop_assert!(examine(&file[..at.index(file.len())]).is_err());
    }

    /// A list survives its object, and holds each name once, oldest first.
    #[test]
    fn a_list_survives_json(seconds in prop::collection::vec(NOW - 1000..NOW, 0..20)) {
        let list = list(seconds.clone()).claimed("b", at(NOW));
        prop_assert_eq!(List::parse("k", &list.to_bytes()), Ok(list.clone()));
        let distinct: BTreeSet<i64> = seconds.into_iter().collect();
        let listed: Vec<i64> = list.snapshots.iter().map(|r| r.taken_at.as_second()).collect();
        prop_assert_eq!(listed, distinct.into_iter().collect::<Vec<_>>());
    }

    /// Whatever is kept: all of the young ones, the newest, one of each day for as long as days are
    /// kept, those that are held, and nothing else; sorting again takes nothing more.
    #[test]
    fn retention_keeps_what_it_says(
        ages in prop::collection::btree_set(0..50 * 86_400_i64, 1..80),
        held in any::<prop::sample::Index>(),
    ) {
        let whole = list(ages.iter().map(|age| NOW - age));
        let held = BTreeSet::from([whole.snapshots[held.index(whole.snapshots.len())].name.clone()]);
        let usual = Schedule::USUAL;
        let Sorted { kept, gone } = sort(&whole, CLUSTER, &usual, at(NOW), &held);
        prop_assert_eq!(kept.snapshots.len() + gone.len(), whole.snapshots.len());
        prop_assert_eq!(kept.newest(), whole.newest());
        // A snapshot is of the day that its slot began in.
        let slots = Slots::of(CLUSTER, &usual);
        let day = |r: &Record| slots.begin(slots.at(r.taken_at)).as_second().div_euclid(86_400);
        for record in &gone {
            let age = NOW - record.taken_at.as_second();
            prop_assert!(age > usual.keep_all_secs as i64 && !held.contains(&record.name));
            let later = kept.snapshots.iter().any(|other| day(other) == day(record));
            prop_assert!(later || age > usual.keep_daily_secs as i64);
        }
        for record in &kept.snapshots {
            let age = NOW - record.taken_at.as_second();
            let is_last = !whole.snapshots.iter().any(|o| day(o) == day(record) && o.taken_at > record.taken_at);
            let is_newest = whole.newest() == Some(record);
            prop_assert!(
                age <= usual.keep_all_secs as i64
                    || (is_last && age <= usual.keep_daily_secs as i64)
                    || is_newest || held.contains(&record.name)
            );
        }
        prop_assert_eq!(sort(&kept, CLUSTER, &usual, at(NOW), &held).gone, Vec::new());
    }

    /// Whatever lies in the archive: what goes has left the list, or never was a snapshot. Nothing goes that is
    /// from before the list, and nothing at all while there is none: snapshots whose list was lost, or put
    /// back as it once was, are all there.
    #[test]
    fn no_snapshot_goes_that_may_have_been_listed(
        listed in prop::collection::btree_set(0..60 * DAY, 0..20),
        gone in prop::collection::btree_set(0..60 * DAY, 0..5),
        lying in prop::collection::vec((0..60 * DAY, any::<bool>(), any::<bool>()), 0..40),
    ) {
        let list = list(listed.iter().map(|age| NOW - age));
        let of = |ages: &BTreeSet<i64>| ages.iter().map(|age| record(NOW - age, TOKEN).name).collect();
        let (listed, gone): (BTreeSet<String>, BTreeSet<String>) = (of(&listed), of(&gone));
        let part = |age: i64, part: &str| {
            Lying { name: record(NOW - age, TOKEN).name, part: part.to_owned(), written_at: at(NOW - age + 3) }
        };
        let parts = |&(age, is_whole, has_certificates): &(i64, bool, bool)| {
            let beside = has_certificates.then(|| part(age, CERTIFICATES_PART));
            is_whole.then(|| part(age, SNAPSHOT_PART)).into_iter().chain(beside).collect::<Vec<_>>()
        };
        let lying: Vec<Lying> = lying.iter().flat_map(parts).collect();
        let goes = discarded(&list, &gone, &lying, at(NOW));
        let oldest = list.snapshots.first().map(|record| record.taken_at);
        for one in &lying {
            let is_whole = lying.iter().any(|other| other.name == one.name && other.part == SNAPSHOT_PART);
            let is_old = NOW - one.written_at.as_second() > UPLOAD_SECS_MAX;
            let broke_off = !is_whole && is_old && oldest.is_some_and(|oldest| one.written_at > oldest);
            let has_left = gone.contains(&one.name);
            let wanted = !listed.contains(&one.name) && (has_left || broke_off);
            prop_assert_eq!(goes.contains(&one.name), wanted, "{:?}", one);
        }
        prop_assert_eq!(discarded(&List::empty(), &BTreeSet::new(), &lying, at(NOW)), BTreeSet::new());
    }

    /// `main` and `events`, asked in the same slots, each some minutes later than its slot begins: whatever is
    /// kept of one for its day has a partner that is kept of the other.
    #[test]
    fn days_of_main_and_events_are_kept_together(
        cluster in "[a-z]{1,12}",
        late in prop::collection::vec((0..TOGETHER_SECS_MAX, 0..TOGETHER_SECS_MAX), 24 * 5),
        past in 0..3600_i64,
    ) {
        let slots = Slots::of(&cluster, &Schedule::USUAL);
        let now = at(NOW + past);
        let begun = |index: usize| slots.begin(slots.at(now) - 1 - index as i64).as_second();
        let kept = |after: Vec<i64>| {
            let records = after.into_iter().enumerate().map(|(index, after)| record(begun(index) + after, TOKEN));
            let list = List { snapshots: records.rev().collect(), ..List::empty() };
            sort(&list, &cluster, &Schedule::USUAL, now, &BTreeSet::new()).kept
        };
        let (main, events) = late.into_iter().unzip();
        let lists = [("main", kept(main)), ("events", kept(events))];
        let lists = BTreeMap::from(lists.map(|(etcd, kept)| (etcd.to_owned(), kept)));
        // What is about to be kept no longer for its hour may be without its partner.
        let is_settled = |record: &&Record| {
            let age = now.duration_since(record.taken_at).as_secs();
            (age - Schedule::USUAL.keep_all_secs as i64).abs() > 3600
        };
        let all = lists.values().flat_map(|kept| &kept.snapshots);
        let settled: Vec<&Record> = all.filter(is_settled).collect();
        prop_assert!(settled.len() > 2 * 46);
        for record in settled {
            prop_assert!(at_once(&lists, &record.name).is_ok(), "{}", record.name);
        }
    }

    /// While all are well, members that ask at any moment take one in each slot and no more, whoever
    /// asks; and none is ever older than an interval and the time that all need to step in.
    #[test]
    fn one_is_taken_in_each_interval(
        interval in 600..7200_u64,
        count in 1..6_usize,
        absent in 0..5_usize,
        start in NOW..NOW + 10_000,
    ) {
        let voters = voters(count);
        let schedule = schedule(interval);
        let mut list = List::empty();
        let end = start + 20 * interval as i64;
        let mut now = start;
        while now < end {
            for (index, name) in voters.iter().enumerate() {
                if count > 1 && index == absent {
                    continue;
                }
                if let Turn::Take(why) = turn(&member(name, &voters), &list, None, &schedule, at(now)) {
                    prop_assert_eq!(why, Reason::Due);
                    list = list.claimed(name, at(now)).with(Record { member: name.clone(), ..record(now, TOKEN) });
                }
            }
            let age = now - list.newest().unwrap().taken_at.as_second();
            let step_in = (interval / 6).min(600) as i64 * count as i64;
            prop_assert!(age <= interval as i64 + step_in, "{age}");
            now += 60;
        }
        // One at once, then one a slot.
        prop_assert!((19..=22).contains(&list.snapshots.len()), "{}", list.snapshots.len());
    }

    /// Whoever is told to wait until a moment takes none before it, if nothing changes.
    #[test]
    fn nothing_is_due_before_it_is_said(ago in 0..7200_i64, step in 1..3600_i64, name in 0..3_usize) {
        let voters = voters(3);
        let name = voters.iter().nth(name).unwrap();
        let list = list([NOW - ago]);
        let look = |now| turn(&member(name, &voters), &list, None, &Schedule::USUAL, at(now));
        if let Turn::NotBefore(until) = look(NOW) {
            prop_assert!(until > at(NOW));
            let now = NOW + step;
            prop_assert_eq!(matches!(look(now), Turn::Take(_)), at(now) >= until);
        }
    }

    /// Snapshots that are restored together are of one time, and the newest such.
    #[test]
    fn a_moment_is_of_one_time(
        main in prop::collection::vec(NOW - 20_000..NOW, 1..10),
        events in prop::collection::vec(NOW - 20_000..NOW, 1..10),
    ) {
        let lists = BTreeMap::from([
            ("main".to_owned(), list(main.clone())),
            ("events".to_owned(), list(events.clone())),
        ]);
        let apart = |one: i64, other: i64| (one - other).abs() <= TOGETHER_SECS_MAX;
        let paired = |one: &[i64], other: &[i64]| {
            one.iter().copied().filter(|at| other.iter().any(|o| apart(*at, *o))).max()
        };
        match newest_together(&lists) {
            Ok(moment) => {
                let times: Vec<i64> = moment.values().map(|r| r.taken_at.as_second()).collect();
                prop_assert_eq!(times.len(), 2);
                prop_assert!(apart(times[0], times[1]));
                let newest = paired(&main, &events).max(paired(&events, &main)).unwrap();
                prop_assert_eq!(times.iter().copied().max(), Some(newest));
                for record in moment.values() {
                    prop_assert!(at_once(&lists, &record.name).is_ok());
                }
            }
            Err(error) => {
                let is_apart = matches!(error, MomentError::Apart { .. });
                prop_assert!(is_apart);
                prop_assert_eq!(paired(&main, &events), None);
            }
        }
    }
}

#[test]
fn what_this_kprod_cannot_read_is_never_no_snapshots() {
    let newer = br#"{"format_version": 2, "snapshots": []}"#;
    assert!(matches!(List::parse("k", newer), Err(ListError::Newer { found: 2, .. })));
    for body in ["", "{}", "[]", r#"{"format_version": 1, "snapshots": [{}]}"#] {
        assert!(matches!(List::parse("k", body.as_bytes()), Err(ListError::Unreadable { .. })));
    }
}

#[test]
fn while_one_takes_a_snapshot_no_other_does_until_it_is_given_up() {
    let voters = voters(3);
    let empty = List::empty();
    let look = |name, list: &List, now| {
        turn(&member(name, &voters), list, None, &Schedule::USUAL, at(now))
    };
    assert_eq!(look("a", &empty, NOW), Turn::Take(Reason::Due));
    let claimed = empty.claimed("a", at(NOW));
    assert_eq!(look("b", &claimed, NOW + 1), Turn::NotBefore(at(NOW + CLAIM_SECS_MAX)));
    // Its program began anew: it goes on.
    assert_eq!(look("a", &claimed, NOW + 1), Turn::Take(Reason::Due));
    assert_eq!(look("b", &claimed, NOW + CLAIM_SECS_MAX), Turn::Take(Reason::Due));
    assert_eq!(claimed.with(record(NOW, TOKEN)).claim, None);
}

#[test]
fn the_leader_comes_last_and_followers_take_turns() {
    let voters = voters(5);
    let first = |slot: i64| {
        let last = list([slot * 3600 + NOW]);
        // The first moment at which anybody takes the next one.
        (NOW + slot * 3600..).step_by(30).find_map(|now| {
            let mut takers = voters.iter().filter(|name| {
                let turn = turn(&member(name, &voters), &last, None, &Schedule::USUAL, at(now));
                matches!(turn, Turn::Take(_))
            });
            takers.next().cloned()
        })
    };
    let takers: BTreeSet<String> = (0..8).filter_map(first).collect();
    assert_eq!(takers, ["a", "c", "d", "e"].map(str::to_owned).into());
}

#[test]
fn a_snapshot_of_another_epoch_is_none_of_this_one() {
    let voters = voters(3);
    let other = List::empty().with(record(NOW - 1, "main.c.0.1"));
    let look = turn(&member("b", &voters), &other, None, &Schedule::USUAL, at(NOW));
    assert_eq!(look, Turn::Take(Reason::Due));
}

#[test]
fn a_request_is_answered_once_and_by_whom_it_asks() {
    let voters = voters(3);
    let request = |member: Option<&str>, alone| Request {
        format_version: Request::FORMAT_VERSION,
        id: "r1".to_owned(),
        asked_at: at(NOW),
        member: member.map(str::to_owned),
        alone,
    };
    let young = list([NOW - 10]);
    let look = |name, list: &List, request: &Request, now, is_well| {
        let member = Member { is_well, ..member(name, &voters) };
        turn(&member, list, Some(request), &Schedule::USUAL, at(now))
    };
    let asked = Turn::Take(Reason::Asked { request: "r1".to_owned() });
    let any = request(None, false);
    assert_eq!(look("a", &young, &any, NOW, true), asked);
    // The leader steps in when nobody else has.
    assert_eq!(look("b", &young, &any, NOW, true), Turn::NotBefore(at(NOW + 60)));
    assert_eq!(look("b", &young, &any, NOW + 60, true), asked);
    let answered = young.with(Record { request: Some("r1".to_owned()), ..record(NOW + 5, TOKEN) });
    assert_ne!(look("a", &answered, &any, NOW + 10, true), asked);
    assert_ne!(look("a", &young, &any, NOW + REQUEST_SECS_MAX, true), asked);
    assert_ne!(look("a", &young, &any, NOW, false), asked);
    let of_c = request(Some("c"), true);
    assert_ne!(look("a", &young, &of_c, NOW, true), asked);
    assert_eq!(look("c", &young, &of_c, NOW, false), asked);
    // A member that is lost may have begun with one; the last one that is left does not wait for it.
    let claimed = young.claimed("b", at(NOW));
    assert_eq!(look("c", &claimed, &of_c, NOW, false), asked);
    assert_eq!(look("a", &claimed, &any, NOW, true), Turn::NotBefore(at(NOW + CLAIM_SECS_MAX)));
    assert_eq!(Request::parse(&of_c.to_bytes()), Some(of_c));
}

/// Two runs that ask at once end one after the other, whatever each of them asks for.
#[test]
fn a_request_waits_for_another_one_unless_that_is_over_or_can_only_wait_itself() {
    let of = |id: &str, member: Option<&str>| Request {
        format_version: Request::FORMAT_VERSION,
        id: id.to_owned(),
        asked_at: at(NOW),
        member: member.map(str::to_owned),
        alone: member.is_some(),
    };
    let (any, a, b) = (of("1", None), of("2", Some("a")), of("3", Some("b")));
    let (other_any, other_a) = (of("4", None), of("5", Some("a")));
    let none = List::empty();
    let beside = |mine: &Request, found: &Request, list: &List, now, has_asked| match mine.beside(
        Some(found),
        list,
        at(now),
        has_asked,
    ) {
        Beside::Ask => "asks",
        Beside::Wait => "waits",
        Beside::Behind(first) if first == found => "behind",
        Beside::Behind(_) => "behind nothing",
    };
    for mine in [&any, &a, &b] {
        assert_eq!(mine.beside(None, &none, at(NOW), true), Beside::Ask);
        for has_asked in [false, true] {
            assert_eq!(beside(mine, mine, &none, NOW, has_asked), "waits");
            let later = NOW + REQUEST_SECS_MAX;
            assert_eq!(beside(mine, &other_a, &none, later, has_asked), "asks", "nobody waits");
            let answer = Record { request: Some(other_a.id.clone()), ..record(NOW, TOKEN) };
            let list = List::empty().with(answer);
            assert_eq!(beside(mine, &other_a, &list, NOW, has_asked), "asks", "it is answered");
        }
    }
    for has_asked in [false, true] {
        assert_eq!(beside(&any, &other_any, &none, NOW, has_asked), "behind");
        assert_eq!(beside(&any, &a, &none, NOW, has_asked), "behind");
        assert_eq!(beside(&a, &any, &none, NOW, has_asked), "asks", "nobody else answers");
        assert_eq!(beside(&a, &other_a, &none, NOW, has_asked), "behind");
    }
    assert_eq!(beside(&b, &a, &none, NOW, false), "asks", "the first one's member may be gone");
    assert_eq!(beside(&a, &b, &none, NOW, true), "behind", "and it does not do the same in turn");
}
