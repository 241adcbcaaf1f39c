//! The whole input space of the decision, enumerated, with its laws; then what single inputs mean.
//!
//! Two other members see the cluster, in every way that matters to the decision; a stamp relates to the
//! epoch in every way; the rest is small. Versions are a space of their own beside that one: of the
//! program, of the data, and of what each other member says.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;
use crate::etcd::epoch::{Phase, Place, Restored};

const FORMED: ClusterId = ClusterId(0xf0);
const ELSE: ClusterId = ClusterId(0xe1);
const ME: &str = "a";
/// The cluster version wherever versions do not matter.
const EVEN: Minor = Minor::of_three(5);

fn identity() -> Identity {
    Identity { cluster: "c".to_owned(), etcd: "main".to_owned(), member: ME.to_owned() }
}

fn place(name: &str) -> Place {
    Place {
        peer_url: format!("https://etcd-{name}.internal.c:2380"),
        client_url: format!("https://etcd-{name}.internal.c:4001"),
    }
}

fn places(names: &[&str]) -> BTreeMap<String, Place> {
    names.iter().map(|name| ((*name).to_owned(), place(name))).collect()
}

fn snapshot() -> Restored {
    let (snapshot, sha256) = ("s".to_owned(), "0".repeat(64));
    Restored { snapshot, sha256, epoch: 1, bump_revisions: None }
}

fn first() -> Epoch {
    Epoch::first("c", "main", places(&["a", "b", "c"]), 1)
}

fn second() -> Epoch {
    let closed = first().closed(ELSE).unwrap();
    closed.next("c", "main", places(&["a", "b", "c"]), snapshot(), 2).unwrap()
}

fn epochs() -> Vec<Option<Epoch>> {
    let elsewhere = Epoch::first("c", "main", places(&["b", "c", "d"]), 1);
    let known = [first(), second(), elsewhere];
    let closed = known.clone().map(|epoch| epoch.closed(FORMED).unwrap());
    std::iter::once(None).chain(known.into_iter().chain(closed).map(Some)).collect()
}

fn stamps() -> Vec<Option<Stamp>> {
    let first = Stamp::new(&identity(), &first());
    let second = Stamp::new(&identity(), &second());
    let forged = Stamp { token: second.token.clone(), ..first.clone() };
    let before = Stamp { token: "main.c.1.before".to_owned(), ..first.clone() };
    let member = Stamp { member: "b".to_owned(), ..first.clone() };
    let etcd = Stamp { etcd: "events".to_owned(), ..first.clone() };
    let cluster = Stamp { cluster: "d".to_owned(), ..first.clone() };
    let all = [first, second, forged, before, member, etcd, cluster];
    std::iter::once(None).chain(all.into_iter().map(Some)).collect()
}

fn of(minor: u32) -> Version {
    Version { minor: Minor::of_three(minor), patch: 30 }
}

fn wrote(program: u32, cluster: u32) -> DataVersion {
    DataVersion::begun(of(program), Some(Minor::of_three(cluster)))
}

fn ours(stamp: Option<Stamp>, has_data: bool) -> Volume {
    Volume::Ours { stamp, version: has_data.then(|| wrote(5, 5)), has_data }
}

fn volumes() -> Vec<Volume> {
    let ours =
        stamps().into_iter().flat_map(|stamp| [false, true].map(|has| ours(stamp.clone(), has)));
    let strange = Volume::Strange { what: "xfs".to_owned() };
    [Volume::Blank, Volume::Emptied, strange].into_iter().chain(ours).collect()
}

fn listed(id: u64, name: &str, is_learner: bool, is_started: bool) -> Listed {
    let urls = |url: String| BTreeSet::from([url]);
    let known = place(name);
    Listed {
        id: MemberId(id),
        // Who was added and has not started has an address and no name.
        name: if is_started || !is_learner { name.to_owned() } else { String::new() },
        peer_urls: urls(known.peer_url),
        client_urls: if is_started { urls(known.client_url) } else { BTreeSet::new() },
        is_learner,
    }
}

/// What a list may say of this member.
fn mine() -> [Option<Listed>; 5] {
    let me = |is_learner, is_started| Some(listed(1, ME, is_learner, is_started));
    [None, me(false, true), me(false, false), me(true, true), me(true, false)]
}

fn speaks(cluster_id: ClusterId, is_healthy: bool, more: Option<Listed>) -> Answer {
    let others = [listed(2, "b", false, true), listed(3, "c", false, true)];
    let members = others.into_iter().chain(more).collect();
    let (program, cluster_version) = (None, Some(EVEN));
    Answer::Speaks(View { cluster_id, is_healthy, program, cluster_version, members })
}

fn answers() -> Vec<Answer> {
    let mut answers = vec![Answer::Silent];
    answers.extend(mine().map(|mine| speaks(FORMED, true, mine)));
    answers.extend(mine().into_iter().take(2).map(|mine| speaks(FORMED, false, mine)));
    answers.push(speaks(FORMED, true, Some(listed(4, "d", true, true))));
    answers.extend([true, false].map(|well| speaks(ELSE, well, mine()[1].clone())));
    answers
}

/// Every input.
fn sights() -> impl Iterator<Item = Sight> {
    let (volumes, epochs, answers) = (volumes(), epochs(), answers());
    volumes.into_iter().flat_map(move |volume| {
        let (epochs, answers) = (epochs.clone(), answers.clone());
        epochs.into_iter().flat_map(move |epoch| {
            let (volume, answers) = (volume.clone(), answers.clone());
            let pairs: Vec<(Answer, Answer)> = answers
                .iter()
                .flat_map(|b| answers.iter().map(move |c| (b.clone(), c.clone())))
                .collect();
            pairs.into_iter().flat_map(move |(b, c)| {
                let (volume, epoch) = (volume.clone(), epoch.clone());
                [(false, false), (false, true), (true, false), (true, true)].map(
                    |(has_reported, has_snapshots)| Sight {
                        identity: identity(),
                        volume: volume.clone(),
                        program: of(5),
                        epoch: epoch.clone(),
                        others: [("b", &b), ("c", &c)]
                            .map(|(name, answer)| (name.to_owned(), answer.clone()))
                            .into(),
                        has_reported,
                        has_snapshots,
                    },
                )
            })
        })
    })
}

/// A member without data, under the first epoch, that nobody answers.
fn blank() -> Sight {
    Sight {
        identity: identity(),
        volume: Volume::Blank,
        program: of(5),
        epoch: Some(first()),
        others: BTreeMap::new(),
        has_reported: false,
        has_snapshots: false,
    }
}

/// A member without data, when the cluster has formed and both others see the same.
fn late(answer: &Answer) -> Sight {
    let others = ["b", "c"].map(|name| (name.to_owned(), answer.clone())).into();
    Sight { epoch: Some(first().closed(FORMED).unwrap()), others, ..blank() }
}

fn has_data(sight: &Sight) -> bool {
    matches!(sight.volume, Volume::Ours { has_data: true, .. })
}

fn stamp(sight: &Sight) -> Option<&Stamp> {
    match &sight.volume {
        Volume::Ours { stamp, .. } => stamp.as_ref(),
        _ => None,
    }
}

fn views(sight: &Sight) -> impl Iterator<Item = &View> {
    sight.others.values().filter_map(|answer| match answer {
        Answer::Silent => None,
        Answer::Speaks(view) => Some(view),
    })
}

#[test]
fn the_space_holds_every_outcome() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = 0;
    for sight in sights() {
        let name = match decide(&sight) {
            Start::Wait(reason) => format!("wait: {reason:?}"),
            Start::Refuse(reason) => format!("refuse: {reason:?}"),
            other => format!("{other:?}"),
        };
        let name = name.split([' ', '{', '(']).take(2).collect::<Vec<_>>().join(" ");
        *seen.entry(name).or_default() += 1;
        count += 1;
    }
    assert_eq!(count, 19 * 7 * 11 * 11 * 4);
    // Existing, Bootstrap, three ways to join, six reasons to wait, nine to refuse.
    let names: Vec<&String> = seen.keys().collect();
    assert_eq!(seen.len(), 20, "{names:#?}");
}

#[test]
fn a_cluster_is_formed_only_where_there_is_none_and_never_was() {
    for sight in sights() {
        if decide(&sight) != Start::Bootstrap {
            continue;
        }
        let epoch = sight.epoch.as_ref().unwrap();
        assert_eq!(epoch.phase, Phase::Open, "{sight:?}");
        assert!(epoch.members.contains_key(ME), "{sight:?}");
        assert!(!has_data(&sight), "{sight:?}");
        assert_eq!(views(&sight).count(), 0, "{sight:?}");
        assert!(!sight.has_reported, "{sight:?}");
        assert!(!sight.has_snapshots || epoch.restored_from.is_some(), "{sight:?}");
    }
}

#[test]
fn a_member_that_wakes_up_late_forms_nothing() {
    for sight in sights() {
        if decide(&sight) != Start::Bootstrap {
            continue;
        }
        let epoch = sight.epoch.clone().unwrap();
        let closed = epoch.closed(FORMED).unwrap();
        let next = closed.next("c", "main", places(&["a", "b", "c"]), snapshot(), 9).unwrap();
        let later = |epoch: &Epoch| Sight { epoch: Some(epoch.clone()), ..sight.clone() };
        assert_ne!(decide(&later(&closed)), Start::Bootstrap, "{sight:?}");
        // On a volume that was meant for the epoch before, not even the next one is formed.
        if stamp(&sight).is_some() {
            assert_ne!(decide(&later(&next)), Start::Bootstrap, "{sight:?}");
        }
    }
}

#[test]
fn members_that_form_a_cluster_at_once_form_the_same_one() {
    // Which cluster is formed follows from token and members, which only the epoch holds: under one
    // epoch there is one answer, and under another one a stamp of the first is refused.
    let mut formed: BTreeMap<String, BTreeMap<String, Place>> = BTreeMap::new();
    for sight in sights().filter(|sight| decide(sight) == Start::Bootstrap) {
        let epoch = sight.epoch.unwrap();
        let members = formed.entry(epoch.token).or_insert_with(|| epoch.members.clone());
        assert_eq!(*members, epoch.members);
    }
    assert_eq!(formed.len(), 2);
}

#[test]
fn data_is_started_on_only_by_its_member_in_its_epoch() {
    for sight in sights() {
        let is_own = |stamp: &Stamp| {
            let epoch = sight.epoch.as_ref();
            stamp.is_of(&sight.identity)
                && epoch.is_some_and(|epoch| {
                    (epoch.number, &epoch.token) == (stamp.epoch, &stamp.token)
                })
        };
        let is_foreign = stamp(&sight).is_some_and(|stamp| !is_own(stamp));
        let start = decide(&sight);
        match start {
            Start::Existing => assert!(has_data(&sight) && !is_foreign, "{sight:?}"),
            Start::Learner(_) | Start::Bootstrap => {
                assert!(!has_data(&sight) && !is_foreign, "{sight:?}");
            }
            Start::Wait(_) | Start::Refuse(_) => {}
        }
        // A volume of somebody else is for people, whatever else is true.
        if stamp(&sight).is_some_and(|stamp| !stamp.is_of(&sight.identity)) {
            assert!(matches!(start, Start::Refuse(_)), "{sight:?}");
        }
        if is_foreign && sight.epoch.is_some() {
            assert!(matches!(start, Start::Refuse(_)), "{sight:?}");
        }
    }
}

#[test]
fn own_data_starts_whatever_others_say_unless_they_removed_it() {
    for sight in sights() {
        let Some(stamp) = stamp(&sight) else { continue };
        let is_own = sight.epoch.as_ref().is_some_and(|epoch| {
            *stamp == Stamp::new(&sight.identity, epoch) && epoch.members.contains_key(ME)
        });
        if !has_data(&sight) || !is_own {
            continue;
        }
        let formed = sight.epoch.as_ref().and_then(Epoch::cluster_id);
        let is_gone = views(&sight).any(|view| {
            view.is_healthy
                && Some(view.cluster_id) == formed
                && view.members.iter().all(|listed| listed.id != MemberId(1))
        });
        let wanted = if is_gone { Start::Refuse(RefuseReason::Removed) } else { Start::Existing };
        assert_eq!(decide(&sight), wanted, "{sight:?}");
    }
}

#[test]
fn a_member_joins_only_the_cluster_that_has_formed_and_only_by_its_quorum() {
    for sight in sights() {
        let Start::Learner(join) = decide(&sight) else { continue };
        let formed = sight.epoch.as_ref().and_then(Epoch::cluster_id);
        assert!(formed.is_some(), "{sight:?}");
        assert!(views(&sight).all(|view| Some(view.cluster_id) == formed), "{sight:?}");
        assert!(views(&sight).any(|view| view.is_healthy), "{sight:?}");
        if let Join::Replace { .. } = join {
            // Of three, one is lost: both others have to be well.
            assert_eq!(views(&sight).filter(|view| view.is_healthy).count(), 2, "{sight:?}");
        }
    }
}

#[test]
fn what_is_lost_or_strange_or_of_nobody_is_for_people() {
    for sight in sights() {
        let is_usable = match &sight.volume {
            Volume::Blank => true,
            Volume::Emptied | Volume::Strange { .. } => false,
            Volume::Ours { stamp, has_data, .. } => stamp.is_some() || !has_data,
        };
        assert!(is_usable || matches!(decide(&sight), Start::Refuse(_)), "{sight:?}");
    }
}

#[test]
fn without_an_epoch_nothing_starts() {
    for sight in sights().filter(|sight| sight.epoch.is_none()) {
        assert!(matches!(decide(&sight), Start::Wait(_) | Start::Refuse(_)), "{sight:?}");
    }
}

#[test]
fn an_empty_member_joins_by_how_it_stands_in_the_list() {
    let joins = mine().map(|mine| decide(&late(&speaks(FORMED, true, mine))));
    let lost = MemberId(1);
    let replace = Start::Learner(Join::Replace { lost });
    let resume = Start::Learner(Join::Resume { added: lost });
    let wanted = [Start::Learner(Join::Add), replace.clone(), replace.clone(), replace, resume];
    assert_eq!(joins, wanted);
}

#[test]
fn of_two_entries_the_lost_one_goes_first() {
    let View { mut members, .. } = match speaks(FORMED, true, mine()[1].clone()) {
        Answer::Speaks(view) => view,
        Answer::Silent => unreachable!(),
    };
    members.insert(0, Listed { id: MemberId(9), ..mine()[4].clone().unwrap() });
    let answer = Answer::Speaks(View {
        cluster_id: FORMED,
        is_healthy: true,
        program: None,
        cluster_version: None,
        members,
    });
    let lost = MemberId(1);
    assert_eq!(decide(&late(&answer)), Start::Learner(Join::Replace { lost }));
}

#[test]
fn of_five_members_two_may_be_replaced_one_after_the_other() {
    let members = ["a", "b", "c", "d", "e"];
    let list: Vec<Listed> =
        (1..).zip(members).map(|(id, name)| listed(id, name, false, true)).collect();
    let answer = Answer::Speaks(View {
        cluster_id: FORMED,
        is_healthy: true,
        program: None,
        cluster_version: Some(EVEN),
        members: list,
    });
    let epoch = Epoch::first("c", "main", places(&members), 1).closed(FORMED).unwrap();
    let sight = |well: &[&str]| Sight {
        epoch: Some(epoch.clone()),
        others: well.iter().map(|name| ((*name).to_owned(), answer.clone())).collect(),
        ..blank()
    };
    let replace = Start::Learner(Join::Replace { lost: MemberId(1) });
    assert_eq!(decide(&sight(&["b", "c", "d"])), replace);
    let too_few = WaitReason::TooFewToReplace { healthy: 2, needed: 3 };
    assert_eq!(decide(&sight(&["b", "c"])), Start::Wait(too_few));
}

/// Everything that versions are about: a member without data, with a volume that was stamped, and with
/// data; others that are silent, well, not well, and of another cluster.
fn versionless() -> Vec<Sight> {
    let own = Some(Stamp::new(&identity(), &first()));
    let volumes = [Volume::Blank, ours(own.clone(), false), ours(own, true)];
    let epochs = [None, Some(first()), Some(first().closed(FORMED).unwrap())];
    let me = || mine()[1].clone();
    let answers = [
        Answer::Silent,
        speaks(FORMED, true, me()),
        speaks(FORMED, false, me()),
        speaks(ELSE, true, me()),
    ];
    let mut sights = Vec::new();
    for volume in &volumes {
        for epoch in &epochs {
            for (b, c) in answers.iter().flat_map(|b| answers.iter().map(move |c| (b, c))) {
                let others = [("b", b), ("c", c)]
                    .map(|(name, answer)| (name.to_owned(), answer.clone()))
                    .into();
                let (volume, epoch) = (volume.clone(), epoch.clone());
                sights.push(Sight { volume, epoch, others, ..blank() });
            }
        }
    }
    sights
}

/// A sight with these versions: of the program, of the data, and as `b` and `c` tell them.
fn versioned(
    sight: &Sight,
    program: u32,
    data: Option<DataVersion>,
    told: [Option<u32>; 2],
) -> Sight {
    let mut sight = Sight { program: of(program), ..sight.clone() };
    if let Volume::Ours { version, has_data: true, .. } = &mut sight.volume {
        *version = data;
    }
    for (answer, told) in sight.others.values_mut().zip(told) {
        if let Answer::Speaks(view) = answer {
            view.cluster_version = told.map(Minor::of_three);
        }
    }
    sight
}

/// All that versions may be to each other, around the even one.
fn versions() -> impl Iterator<Item = (u32, Option<DataVersion>, [Option<u32>; 2])> {
    let data = [None, Some(wrote(4, 4)), Some(wrote(5, 5)), Some(wrote(6, 5)), Some(wrote(6, 6))];
    let told = [None, Some(4), Some(5), Some(6)];
    (3..=7).flat_map(move |program| {
        data.into_iter().flat_map(move |data| {
            told.into_iter().flat_map(move |b| told.map(|c| (program, data, [b, c])))
        })
    })
}

fn is_of_versions(start: &Start) -> bool {
    matches!(start, Start::Refuse(reason) if reason.is_about_program())
}

#[test]
fn versions_change_nothing_but_whether_a_program_may_start() {
    for even in versionless() {
        let decided = decide(&even);
        assert!(!is_of_versions(&decided), "{even:?}");
        for (program, data, told) in versions() {
            let sight = versioned(&even, program, data, told);
            let start = decide(&sight);
            assert!(start == decided || is_of_versions(&start), "{sight:?}: {start:?}");
            // What is nobody's to start on is refused for that, whatever the program.
            assert!(sight.epoch.is_some() || start == decided, "{sight:?}: {start:?}");
        }
    }
}

/// In words of its own, and not by [`reached`]: of all that the member knows of its cluster's version,
/// nothing is above its program, and the highest is at most one below it.
#[test]
fn no_program_starts_that_skips_a_version_or_goes_back() {
    let (mut started, mut refused) = (0, 0);
    for even in versionless() {
        for (program, data, told) in versions() {
            let sight = versioned(&even, program, data, told);
            let is_closed = sight.epoch.as_ref().is_some_and(|epoch| epoch.cluster_id().is_some());
            let told = views(&sight).filter(|view| is_closed && view.cluster_id == FORMED);
            let mut known: Vec<u32> =
                told.filter_map(|view| view.cluster_version).map(|told| told.minor).collect();
            known.extend(data.filter(|_| has_data(&sight)).map(|data| data.cluster.minor));
            let fits = known.iter().max().is_none_or(|max| (*max..=max + 1).contains(&program));
            match decide(&sight) {
                Start::Existing | Start::Learner(_) | Start::Bootstrap => {
                    assert!(fits, "{sight:?}");
                    started += 1;
                }
                start if is_of_versions(&start) => {
                    assert!(!fits, "{sight:?}");
                    refused += 1;
                }
                Start::Wait(_) | Start::Refuse(_) => {}
            }
        }
    }
    assert!(started > 5000 && refused > 5000, "{started} started, {refused} refused");
}

/// The same of the whole space of the rest.
#[test]
fn whatever_else_is_true_a_program_that_does_not_fit_starts_nothing_that_has_formed() {
    for program in [3, 4, 7, 8] {
        for even in sights() {
            let sight = Sight { program: of(program), ..even };
            let start = decide(&sight);
            let starts = matches!(start, Start::Existing | Start::Learner(_) | Start::Bootstrap);
            assert!(!starts || reached(&sight).is_none(), "{sight:?}: {start:?}");
        }
    }
}

#[test]
fn a_member_may_go_back_until_the_cluster_version_has_risen() {
    let own = ours(Some(Stamp::new(&identity(), &first())), true);
    let closed = Some(first().closed(FORMED).unwrap());
    let others =
        ["b", "c"].map(|name| (name.to_owned(), speaks(FORMED, true, mine()[1].clone()))).into();
    let sight = Sight { volume: own, epoch: closed, others, ..blank() };
    // It ran 3.6 while the others were at 3.5, as in an upgrade that is taken back.
    let mixed = |program, told| decide(&versioned(&sight, program, Some(wrote(6, 5)), told));
    assert_eq!(mixed(5, [Some(5), Some(5)]), Start::Existing);
    assert_eq!(mixed(6, [Some(5), Some(5)]), Start::Existing);
    let reached = EVEN;
    let too_new = RefuseReason::ProgramTooNew { program: of(7), reached };
    assert_eq!(mixed(7, [Some(5), Some(5)]), Start::Refuse(too_new), "3.6 was never everywhere");
    let reached = Minor::of_three(6);
    let too_old = RefuseReason::ProgramTooOld { program: of(5), reached };
    assert_eq!(mixed(5, [None, Some(6)]), Start::Refuse(too_old), "it has risen meanwhile");
    assert_eq!(mixed(7, [None, Some(6)]), Start::Existing);
}

/// A program that brings the next minor version asks whoever has the data, and nobody once the data is
/// of its own minor version.
#[test]
fn etcd_3_6_begins_with_data_of_3_5_26_or_later() {
    let release = |patch| Some(Version { minor: EVEN, patch });
    let stamp = Some(Stamp::new(&identity(), &first()));
    let mut decided = [0, 0];
    for (is_there, own) in [(false, None), (true, None), (true, release(9)), (true, release(25))]
        .into_iter()
        .chain([(true, release(26)), (true, Some(of(6)))])
    {
        for other in [None, release(25), release(26), Some(of(6))] {
            let Answer::Speaks(view) = speaks(FORMED, true, mine()[1].clone()) else { continue };
            let told = Answer::Speaks(View { program: other, ..view });
            let well = speaks(FORMED, true, mine()[1].clone());
            let mut volume = ours(stamp.clone(), is_there);
            if let Volume::Ours { version, .. } = &mut volume {
                *version = own.map(|own| DataVersion::begun(own, Some(EVEN)));
            }
            let sight = Sight {
                program: of(6),
                volume,
                epoch: Some(first().closed(FORMED).unwrap()),
                others: [("b".to_owned(), well), ("c".to_owned(), told)].into(),
                ..blank()
            };
            let is_early = |wrote: Option<Version>| {
                wrote.is_some_and(|wrote| wrote.minor == EVEN && wrote.patch < 26)
            };
            let fits = own == Some(of(6)) || !is_early(own) && !is_early(other);
            let start = decide(&sight);
            let is_refused = matches!(start, Start::Refuse(RefuseReason::ProgramTooSoon { .. }));
            assert_eq!(is_refused, !fits, "{own:?}, {other:?}: {start}");
            assert!(is_refused || !is_of_versions(&start), "{own:?}, {other:?}: {start}");
            // On 3.5 it starts whatever the release is.
            let before = Sight { program: of(5), ..sight };
            assert!(!is_of_versions(&decide(&before)), "{own:?}, {other:?}");
            decided[usize::from(is_refused)] += 1;
        }
    }
    assert!(decided.iter().all(|count| *count > 5), "{decided:?}");
}

#[test]
fn every_reason_has_words_and_every_refusal_a_way_out() {
    let uneven = versionless().into_iter().flat_map(|even| {
        versions().map(move |(program, data, told)| versioned(&even, program, data, told))
    });
    for sight in sights().chain(uneven) {
        let start = decide(&sight);
        assert!(!start.to_string().is_empty());
        if let Start::Refuse(reason) = start {
            assert!(!reason.way_out().is_empty());
        }
    }
}
