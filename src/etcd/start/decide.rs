//! The decision.

use super::{
    Answer, Identity, Join, Listed, RefuseReason, Sight, Stamp, Start, View, Volume, WaitReason,
};
use crate::etcd::epoch::{ClusterId, Epoch, Phase, Place};
use crate::etcd::guard::quorum;
use crate::etcd::version::{DataVersion, Gap, Minor, Version};

/// What a member that sees this is to do.
///
/// It forms a cluster only when all of these hold: its volume never held data, the epoch is open, no
/// other member speaks, none has reported under this epoch, and there is no snapshot unless the epoch
/// begins with one. It starts on data only when that is the data of this member in this epoch. Nothing is
/// started by a program that may not follow on the cluster version, or not on the release that has the data.
pub fn decide(sight: &Sight) -> Start {
    match try_decide(sight) {
        Ok(start) => start,
        Err(No::Wait(reason)) => Start::Wait(reason),
        Err(No::Refuse(reason)) => Start::Refuse(reason),
    }
}

/// Why nothing starts.
enum No {
    Wait(WaitReason),
    Refuse(RefuseReason),
}

fn try_decide(sight: &Sight) -> Result<Start, No> {
    let (stamp, has_data) = usable(&sight.volume, &sight.identity).map_err(No::Refuse)?;
    let epoch = sight.epoch.as_ref().ok_or(No::Wait(WaitReason::NoEpoch))?;
    let me = place(epoch, &sight.identity).map_err(No::Refuse)?;
    if let Some(stamp) = stamp {
        check_epoch(stamp, epoch).map_err(No::Refuse)?;
    }
    check_program(sight).map_err(No::Refuse)?;
    check_release(sight).map_err(No::Refuse)?;
    if has_data {
        return existing(sight, epoch, me);
    }
    let views = views(sight, epoch.cluster_id()).map_err(No::Refuse)?;
    match epoch.phase {
        Phase::Closed { .. } => join(sight, &views, me),
        Phase::Open => bootstrap(sight, epoch, &views),
    }
}

/// What the volume holds, if it is a volume that this member may use.
fn usable<'a>(
    volume: &'a Volume,
    identity: &Identity,
) -> Result<(Option<&'a Stamp>, bool), RefuseReason> {
    match volume {
        Volume::Blank => Ok((None, false)),
        Volume::Emptied => Err(RefuseReason::Emptied),
        Volume::Strange { what } => Err(RefuseReason::Strange { what: what.clone() }),
        Volume::Ours { stamp: None, has_data: true, .. } => Err(RefuseReason::Unstamped),
        Volume::Ours { stamp: Some(stamp), .. } if !stamp.is_of(identity) => {
            Err(RefuseReason::OtherMember { stamp: stamp.clone() })
        }
        Volume::Ours { stamp, has_data, .. } => Ok((stamp.as_ref(), *has_data)),
    }
}

fn place<'a>(epoch: &'a Epoch, identity: &Identity) -> Result<&'a Place, RefuseReason> {
    let number = epoch.number;
    epoch.members.get(&identity.member).ok_or(RefuseReason::NoMember { number })
}

/// Data belongs to the epoch that it was written under, and to no other.
fn check_epoch(stamp: &Stamp, epoch: &Epoch) -> Result<(), RefuseReason> {
    if (stamp.epoch, &stamp.token) == (epoch.number, &epoch.token) {
        return Ok(());
    }
    Err(RefuseReason::OtherEpoch { found: stamp.epoch, wanted: epoch.number })
}

/// The program may follow on what the cluster has reached. What that is nobody knows before a cluster has
/// formed; then any program may begin.
fn check_program(sight: &Sight) -> Result<(), RefuseReason> {
    let (program, Some(reached)) = (sight.program, reached(sight)) else { return Ok(()) };
    program.minor.may_follow(reached).map_err(|gap| match gap {
        Gap::Below => RefuseReason::ProgramTooOld { program, reached },
        Gap::Beyond => RefuseReason::ProgramTooNew { program, reached },
    })
}

/// A program that takes the data to its minor version may begin with what it is: what the member has
/// itself, and what the other members have, who give it what it lacks. Once the data has been taken there,
/// others change nothing.
fn check_release(sight: &Sight) -> Result<(), RefuseReason> {
    let program = sight.program;
    let own = noted(&sight.volume).map(|noted| noted.program);
    if own.is_some_and(|own| own.minor >= program.minor) {
        return Ok(());
    }
    let others = of_epoch(sight).filter_map(|view| view.program);
    let needed = |wrote: Version| program.needs_first(wrote).map(|needed| (wrote, needed));
    match own.into_iter().chain(others).find_map(needed) {
        Some((wrote, needed)) => Err(RefuseReason::ProgramTooSoon { program, wrote, needed }),
        None => Ok(()),
    }
}

/// The cluster version, as far as the member's data and the members of the epoch's cluster tell. It only
/// rises, so that whoever knows of the highest is right, well or not.
pub fn reached(sight: &Sight) -> Option<Minor> {
    let by_data = noted(&sight.volume).map(|noted| noted.cluster);
    of_epoch(sight).filter_map(|view| view.cluster_version).chain(by_data).max()
}

/// What is noted about versions beside the member's data, where it has any.
fn noted(volume: &Volume) -> Option<&DataVersion> {
    match volume {
        Volume::Ours { version, has_data: true, .. } => version.as_ref(),
        _ => None,
    }
}

/// What the members of the epoch's cluster say.
fn of_epoch(sight: &Sight) -> impl Iterator<Item = &View> {
    let formed = sight.epoch.as_ref().and_then(Epoch::cluster_id);
    let views = sight.others.values().filter_map(view);
    views.filter(move |view| formed == Some(view.cluster_id))
}

/// Data of this member and epoch is enough to start on: etcd itself keeps out members of other
/// clusters, and one strange answer must not keep a quorum from coming back. Only a cluster that says
/// for sure that this member was removed is listened to.
fn existing(sight: &Sight, epoch: &Epoch, me: &Place) -> Result<Start, No> {
    let formed = epoch.cluster_id();
    let of_epoch = |view: &&View| view.is_healthy && formed.is_some_and(|id| id == view.cluster_id);
    let mut views = sight.others.values().filter_map(view).filter(of_epoch);
    match views.any(|view| listed(view, &sight.identity.member, me).is_none()) {
        true => Err(No::Refuse(RefuseReason::Removed)),
        false => Ok(Start::Existing),
    }
}

fn view(answer: &Answer) -> Option<&View> {
    match answer {
        Answer::Silent => None,
        Answer::Speaks(view) => Some(view),
    }
}

/// What the members that speak say, if they speak of one cluster: the epoch's, if it has formed.
fn views(sight: &Sight, formed: Option<ClusterId>) -> Result<Vec<&View>, RefuseReason> {
    let mut one = formed;
    let mut views = Vec::new();
    for (member, answer) in &sight.others {
        let Some(view) = view(answer) else { continue };
        let wanted = *one.get_or_insert(view.cluster_id);
        if view.cluster_id != wanted {
            let (member, found) = (member.clone(), view.cluster_id);
            return Err(RefuseReason::OtherCluster { member, found, wanted });
        }
        views.push(view);
    }
    Ok(views)
}

/// Without data, once the cluster has formed.
fn join(sight: &Sight, views: &[&View], me: &Place) -> Result<Start, No> {
    let wait = |reason| Err(No::Wait(reason));
    let Some(view) = views.iter().find(|view| view.is_healthy) else {
        return wait(match views.is_empty() {
            true => WaitReason::NobodySpeaks,
            false => WaitReason::NoQuorum,
        });
    };
    let mine = listed(view, &sight.identity.member, me);
    let is_other = |listed: &&Listed| !is_listed(listed, &sight.identity.member, me);
    // etcd takes one learner at a time.
    if let Some(learner) = view.members.iter().filter(is_other).find(|other| other.is_learner) {
        return wait(WaitReason::LearnerBefore { name: learner.name.clone() });
    }
    let Some(mine) = mine else { return Ok(Start::Learner(Join::Add)) };
    if mine.is_learner && !mine.is_started() {
        return Ok(Start::Learner(Join::Resume { added: mine.id }));
    }
    let left = view.voters().filter(is_other).count();
    let healthy = views.iter().filter(|view| view.is_healthy).count();
    let needed = quorum(left);
    if healthy < needed {
        return wait(WaitReason::TooFewToReplace { healthy, needed });
    }
    Ok(Start::Learner(Join::Replace { lost: mine.id }))
}

/// The member in a list: by its name, or by its address while it has no name there. Of several, the one
/// with data that is lost goes first.
fn listed<'a>(view: &'a View, member: &str, me: &Place) -> Option<&'a Listed> {
    let found = view.members.iter().filter(|listed| is_listed(listed, member, me));
    found.min_by_key(|listed| (listed.is_learner && !listed.is_started(), listed.id))
}

fn is_listed(listed: &Listed, member: &str, me: &Place) -> bool {
    listed.name == member || listed.peer_urls.contains(&me.peer_url)
}

/// Without data, while the epoch is open.
fn bootstrap(sight: &Sight, epoch: &Epoch, views: &[&View]) -> Result<Start, No> {
    if !views.is_empty() || sight.has_reported {
        return Err(No::Wait(WaitReason::HasFormed));
    }
    if sight.has_snapshots && epoch.restored_from.is_none() {
        return Err(No::Refuse(RefuseReason::HasSnapshots));
    }
    Ok(Start::Bootstrap)
}
